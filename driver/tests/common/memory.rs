//! Memory as the device sees it: bus addresses, and nothing outside of the one file.

use std::fs::File;

use driver::FileDma;
use memmap2::MmapRaw;

/// Where the memory begins on the bus; above 4 GiB so that a lost high half is noticed.
pub const BUS_BASE: u64 = 0x12_3450_0000;

/// The device's view of the memory.
pub struct BusMemory {
    map: MmapRaw,
}

/// An access outside of the memory.
#[derive(Debug, PartialEq, Eq)]
pub struct DmaFault {
    pub addr: u64,
    pub len: usize,
}

/// Memory of `len` bytes: the driver's allocator, and the device's view through a second mapping.
pub fn shared(len: u64) -> (FileDma, BusMemory) {
    let file: File = tempfile::tempfile().unwrap();
    file.set_len(len).unwrap();
    let dma = FileDma::new(&file, BUS_BASE).unwrap();
    (
        dma,
        BusMemory {
            map: MmapRaw::map_raw(&file).unwrap(),
        },
    )
}

impl BusMemory {
    fn at(&self, addr: u64, len: usize) -> Result<*mut u8, DmaFault> {
        let fault = DmaFault { addr, len };
        let offset = addr.checked_sub(BUS_BASE).ok_or(DmaFault { addr, len })?;
        match usize::try_from(offset)
            .ok()
            .and_then(|o| Some((o, o.checked_add(len)?)))
        {
            // SAFETY: offset + len lies within the mapping.
            Some((o, end)) if end <= self.map.len() => Ok(unsafe { self.map.as_mut_ptr().add(o) }),
            _ => Err(fault),
        }
    }

    pub fn read(&self, addr: u64, len: usize) -> Result<Vec<u8>, DmaFault> {
        let from = self.at(addr, len)?;
        // SAFETY: `at` checked the range; volatile, because the driver writes it too.
        Ok((0..len)
            .map(|i| unsafe { from.add(i).read_volatile() })
            .collect())
    }

    pub fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), DmaFault> {
        let to = self.at(addr, bytes.len())?;
        for (i, &byte) in bytes.iter().enumerate() {
            // SAFETY: as above.
            unsafe { to.add(i).write_volatile(byte) };
        }
        Ok(())
    }

    pub fn le16(&self, addr: u64) -> Result<u16, DmaFault> {
        Ok(u16::from_le_bytes(self.read(addr, 2)?.try_into().unwrap()))
    }

    pub fn le32(&self, addr: u64) -> Result<u32, DmaFault> {
        Ok(u32::from_le_bytes(self.read(addr, 4)?.try_into().unwrap()))
    }

    pub fn le64(&self, addr: u64) -> Result<u64, DmaFault> {
        Ok(u64::from_le_bytes(self.read(addr, 8)?.try_into().unwrap()))
    }
}
