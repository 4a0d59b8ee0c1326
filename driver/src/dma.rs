//! Memory that the CPU and the device both see.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::error::BusError;

/// Bytes that are contiguous for the CPU and on the bus, coherent for both sides.
///
/// The region lives as long as the struct: dropping it gives the memory back.
pub struct DmaRegion {
    ptr: NonNull<u8>,
    bus_addr: u64,
    len: usize,
    keep: Arc<dyn Any + Send + Sync>,
}

impl DmaRegion {
    /// Describes a region. `bus_addr`: what the device uses as address of the first byte (a bus
    /// address, not a physical one, when an IOMMU is between); `len`: bytes.
    ///
    /// # Safety
    /// `[ptr, ptr + len)` stays mapped, readable and writable while `keep` lives, no other region
    /// overlaps it, and nobody but the holder of the region and the device accesses it.
    pub unsafe fn new(
        ptr: NonNull<u8>,
        bus_addr: u64,
        len: usize,
        keep: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            ptr,
            bus_addr,
            len,
            keep,
        }
    }

    /// CPU address of the first byte.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Bus address of the first byte.
    pub fn bus_addr(&self) -> u64 {
        self.bus_addr
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for a region without bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What keeps the memory mapped; a clone of it outlives the region (for page pools).
    pub fn keep_alive(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.keep)
    }
}

impl std::fmt::Debug for DmaRegion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "DmaRegion {{ bus {:#x}, {} bytes }}",
            self.bus_addr, self.len
        )
    }
}

/// Source of [`DmaRegion`]s; Linux's `dma_alloc_coherent()`.
///
/// Memory is coherent: CPU and device need fences for order, but no cache maintenance.
pub trait DmaMemory {
    /// Allocates `len` bytes, zeroed, whose CPU and bus addresses are multiples of `align` (a
    /// power of two, at most 4096).
    ///
    /// # Errors
    /// No such piece of memory is left.
    fn alloc_coherent(&mut self, len: usize, align: usize) -> Result<DmaRegion, BusError>;
}
