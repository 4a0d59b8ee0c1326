//! DMA of the model: copies between the device and host memory, through the IOMMU.

use crate::{
    Ps,
    counters::{Counters, DmaRecord},
    iommu::{Access, IommuTable, PAGE, Refusal},
    memory::HostMemory,
};
use std::sync::atomic::{Ordering, fence};

/// Who does an access: the AXI IDs of the RTL's clients, so that traces read alike. The queues of one
/// kind share those of the first pair.
pub(super) mod id {
    use crate::counters::BusClient::{Data, Descriptors, Message, Ring};

    /// Read: receive descriptors.
    pub const RX_DESC: u8 = Descriptors(0).id();
    /// Read: transmit descriptors.
    pub const TX_DESC: u8 = Descriptors(1).id();
    /// Event suppression of receive queues, used write.
    pub const RX_RING: u8 = Ring(0).id();
    /// Event suppression of transmit queues, used write.
    pub const TX_RING: u8 = Ring(1).id();
    /// Write: receive buffers.
    pub const RX_DATA: u8 = Data(0).id();
    /// Read: transmit buffers.
    pub const TX_DATA: u8 = Data(1).id();
    /// Write: MSI-X messages that go to memory.
    pub const MSIX: u8 = Message.id();
    /// All of the control queue.
    pub const CTRL: u8 = Data(crate::counters::CTRL_QUEUE).id();
}

/// When an access is on the bus, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// One of [`id`].
    pub id: u8,
    /// Begin.
    pub start: Ps,
    /// A read's data has come; a write is visible.
    pub end: Ps,
}

/// The device's way to memory.
#[derive(Debug)]
pub(super) struct Dma {
    pub memory: HostMemory,
    pub iommu: IommuTable,
    /// Bus Master Enable.
    pub bus_master: bool,
    pub counters: Counters,
    pub log: Option<Vec<DmaRecord>>,
}

impl Dma {
    pub fn new(memory: HostMemory) -> Self {
        Self {
            iommu: IommuTable::new(&memory),
            memory,
            bus_master: false,
            counters: Counters::default(),
            log: None,
        }
    }

    /// Reads from bus address `iova`. Bytes up to the page that is refused are copied.
    pub fn read(&mut self, slot: Slot, iova: u64, to: &mut [u8]) -> Result<(), Refusal> {
        let mut done = 0;
        while done < to.len() {
            let len = to.len() - done;
            let (phys, len) = self.page(slot, iova, done, len, Access::Read)?;
            let part = &mut to[done..done + len];
            let read = self.memory.read(phys, part);
            read.map_err(|_| self.gone())?;
            self.counters.dma_read_bytes += len as u64;
            self.counters.dma_read_bursts += 1;
            done += len;
        }
        Ok(())
    }

    /// Writes to bus address `iova`. Bytes up to the page that is refused are written.
    pub fn write(&mut self, slot: Slot, iova: u64, from: &[u8]) -> Result<(), Refusal> {
        let mut done = 0;
        while done < from.len() {
            let len = from.len() - done;
            let (phys, len) = self.page(slot, iova, done, len, Access::Write)?;
            let written = self.memory.write(phys, &from[done..done + len]);
            written.map_err(|_| self.gone())?;
            self.counters.dma_write_bytes += len as u64;
            self.counters.dma_write_bursts += 1;
            done += len;
        }
        Ok(())
    }

    /// Writes 8 bytes to an aligned address so that nobody sees the last two before the rest, nor
    /// before what was written earlier: a driver may look from another thread.
    pub fn write_flags_last(
        &mut self,
        slot: Slot,
        iova: u64,
        bytes: [u8; 8],
    ) -> Result<(), Refusal> {
        let (phys, _) = self.page(slot, iova, 0, bytes.len(), Access::Write)?;
        let (fields, flags) = bytes.split_at(6);
        let written = self.memory.write(phys, fields);
        written.map_err(|_| self.gone())?;
        // Pairs with the driver's acquire between the flags and the fields (virtio 2.8.21.3).
        fence(Ordering::Release);
        let written = self.memory.write(phys + 6, flags);
        written.map_err(|_| self.gone())?;
        self.counters.dma_write_bytes += 8;
        self.counters.dma_write_bursts += 1;
        Ok(())
    }

    /// The mapping points to memory that was taken away.
    #[cold]
    fn gone(&mut self) -> Refusal {
        self.counters.dma_refused += 1;
        Refusal::NotMapped
    }

    /// Physical address and bytes of the part of an access that lies in the page at `iova + done`.
    #[inline]
    fn page(
        &mut self,
        slot: Slot,
        iova: u64,
        done: usize,
        len: usize,
        access: Access,
    ) -> Result<(u64, usize), Refusal> {
        let start = iova.checked_add(done as u64);
        let at = start.unwrap_or(u64::MAX);
        let len = len.min((PAGE - at % PAGE) as usize);
        let phys = match start {
            None => Err(Refusal::NotMapped),
            Some(_) if !self.bus_master => Err(Refusal::NotBusMaster),
            Some(at) => self.iommu.translate(at, len as u64, access),
        };
        if let Some(log) = &mut self.log {
            log.push(DmaRecord {
                start: slot.start,
                end: slot.end,
                access,
                id: slot.id,
                iova: at,
                len: len as u32,
                refused: phys.err(),
            });
        }
        if phys.is_err() {
            self.counters.dma_refused += 1;
        }
        phys.map(|phys| (phys, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iommu::Permission;

    const SLOT: Slot = Slot {
        id: id::RX_DATA,
        start: 10,
        end: 20,
    };

    fn dma() -> Dma {
        let mut dma = Dma::new(HostMemory::new(1 << 16).unwrap());
        dma.bus_master = true;
        dma.log = Some(Vec::new());
        dma
    }

    #[test]
    fn pages_may_lie_anywhere() {
        let mut dma = dma();
        let map = [(0x10_0000, 0x3000), (0x10_1000, 0x1000)];
        for (iova, phys) in map {
            dma.iommu
                .map(iova, PAGE, phys, Permission::ReadWrite)
                .unwrap();
        }
        let bytes: Vec<u8> = (0..100).collect();
        dma.write(SLOT, 0x10_0fd0, &bytes).unwrap();
        let mut seen = [0; 100];
        dma.read(SLOT, 0x10_0fd0, &mut seen).unwrap();
        assert_eq!(seen, *bytes);
        let mut tail = [0; 52];
        dma.memory.read(0x1000, &mut tail).unwrap();
        assert_eq!(tail, bytes[48..]);
        assert_eq!(dma.counters.dma_write_bytes, 100);
        assert_eq!(dma.log.as_ref().unwrap().len(), 4);
    }

    #[test]
    fn refusals_are_counted_and_logged() {
        let mut dma = dma();
        dma.iommu.map(0, PAGE, 0, Permission::Read).unwrap();
        assert_eq!(dma.write(SLOT, 8, &[1]), Err(Refusal::Permission));
        let far = dma.read(SLOT, u64::MAX - 4, &mut [0; 300]);
        assert_eq!(far, Err(Refusal::NotMapped), "no wrap to address 0");
        dma.bus_master = false;
        assert_eq!(dma.read(SLOT, 0, &mut [0]), Err(Refusal::NotBusMaster));
        assert_eq!(dma.counters.dma_refused, 3);
        assert_eq!(dma.counters.dma_read_bytes, 0);
        let log = dma.log.unwrap();
        assert_eq!(log[0].refused, Some(Refusal::Permission));
        assert_eq!((log[0].start, log[0].end, log[0].id), (10, 20, id::RX_DATA));
    }
}
