//! [`DmaMemory`] in a mapped file: a huge page with known bus address, or the memory that a
//! simulated device maps as well.

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::MmapRaw;

use crate::dma::{DmaMemory, DmaRegion};
use crate::error::BusError;

/// Bus addresses and CPU addresses agree modulo this.
const PAGE: u64 = 4096;

/// Hands out pieces of one shared mapping from its start to its end. Pieces are not reused: a
/// driver allocates at probe and frees all at once.
#[derive(Debug)]
pub struct FileDma {
    map: Arc<MmapRaw>,
    base: NonNull<u8>,
    bus_base: u64,
    used: usize,
}

impl FileDma {
    /// Maps all of `file`, shared. `bus_base`: bus address of its first byte, a multiple of 4096;
    /// the whole file is contiguous on the bus.
    ///
    /// # Errors
    /// The file cannot be mapped, or `bus_base` is not aligned or too high.
    pub fn new(file: &File, bus_base: u64) -> io::Result<Self> {
        let map = MmapRaw::map_raw(file)?;
        let fits = bus_base.checked_add(map.len() as u64).is_some();
        let base = NonNull::new(map.as_mut_ptr()).filter(|_| fits && bus_base.is_multiple_of(PAGE));
        let base = base.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            map: Arc::new(map),
            base,
            bus_base,
            used: 0,
        })
    }

    /// Bytes that are still free, before alignment.
    pub fn available(&self) -> usize {
        self.map.len() - self.used
    }
}

impl DmaMemory for FileDma {
    fn alloc_coherent(&mut self, len: usize, align: usize) -> Result<DmaRegion, BusError> {
        if !align.is_power_of_two() || align as u64 > PAGE {
            return Err(format!("alignment {align} is not a power of two up to {PAGE}").into());
        }
        let start = self.used.next_multiple_of(align);
        let end = start.checked_add(len).filter(|&end| end <= self.map.len());
        let Some(end) = end else {
            let left = self.map.len().saturating_sub(start);
            return Err(format!("{len} bytes wanted, {left} are left").into());
        };
        self.used = end;
        // SAFETY: [start, end) lies within the mapping, which lives as long as `keep`; no other
        // region overlaps it, because `used` only grows.
        let region = unsafe {
            let ptr = self.base.add(start);
            ptr.as_ptr().write_bytes(0, len);
            let keep = Arc::clone(&self.map) as Arc<_>;
            DmaRegion::new(ptr, self.bus_base + start as u64, len, keep)
        };
        Ok(region)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn regions_are_aligned_disjoint_and_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * 4096).unwrap();
        file.write_all_at(&[0xaa; 4096], 0).unwrap();
        let mut dma = FileDma::new(&file, 0x4000_0000).unwrap();
        let a = dma.alloc_coherent(100, 16).unwrap();
        let b = dma.alloc_coherent(4096, 4096).unwrap();
        assert_eq!((a.bus_addr(), b.bus_addr()), (0x4000_0000, 0x4000_1000));
        assert_eq!(b.as_ptr().as_ptr() as usize % 4096, 0);
        // SAFETY: within region `a`.
        unsafe { a.as_ptr().as_ptr().write(0x5a) };
        let mut bytes = [0; 101];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(
            (bytes[0], bytes[1], bytes[99], bytes[100]),
            (0x5a, 0, 0, 0xaa)
        );
        assert!(dma.alloc_coherent(4097, 16).is_err());
        assert!(dma.alloc_coherent(usize::MAX, 16).is_err());
        assert!(dma.alloc_coherent(1, 3).is_err());
        // The mapping outlives its source.
        drop((dma, file));
        // SAFETY: within region `a`, which keeps the mapping.
        assert_eq!(unsafe { a.as_ptr().as_ptr().read() }, 0x5a);
    }

    #[test]
    fn a_misaligned_bus_address_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert!(FileDma::new(&file, 0x800).is_err());
        assert!(FileDma::new(&file, u64::MAX - 4095).is_err());
    }
}
