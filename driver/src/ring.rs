//! The memory of a packed virtqueue: the only place that touches what the device also touches.
//!
//! ```text
//! offset 0        descriptor ring, 16 bytes × size
//! + padding       driver event suppression structure, on a cache line of its own
//! + 64            device event suppression structure, on a cache line of its own
//! ```
//!
//! `flags` of a descriptor and both halves of an event suppression structure are what the two
//! sides synchronise on, so they are atomics; the rest of a descriptor is volatile. Order between
//! them comes from fences in [`virtqueue`](crate::virtqueue), which says what each pairs with.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::dma::{DmaMemory, DmaRegion};
use crate::error::Error;
use crate::transport::RingAddresses;

/// struct pvirtq_desc (virtio 2.8.13); little endian.
#[repr(C)]
struct Desc {
    addr: u64,
    len: u32,
    id: u16,
    flags: u16,
}

const DESC_BYTES: usize = 16;
const CACHE_LINE: usize = 64;

/// The largest packed ring (virtio 2.8).
pub const MAX_SIZE: u16 = 1 << 15;

/// One of the two event suppression structures (virtio 2.8.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `desc_event_off` in bits 14:0, `desc_event_wrap` in bit 15.
    pub off_wrap: u16,
    /// `desc_event_flags`.
    pub flags: u16,
}

/// The shared memory of one queue.
#[derive(Debug)]
pub struct Ring {
    region: DmaRegion,
    size: u16,
}

impl Ring {
    /// Allocates the three parts, zeroed. `size`: descriptors, 1..=[`MAX_SIZE`].
    pub fn new<D: DmaMemory + ?Sized>(dma: &mut D, size: u16) -> Result<Self, Error> {
        if size == 0 || size > MAX_SIZE {
            return Err(Error::QueueSize {
                size: u32::from(size),
            });
        }
        let len = Self::driver_offset(size) + 2 * CACHE_LINE;
        let what = "a virtqueue";
        let region = dma
            .alloc_coherent(len, 4096)
            .map_err(|source| Error::Dma { what, source })?;
        // `Desc` is read in place; and the device would refuse other alignments (virtio 2.8.11).
        let misaligned = !(region.as_ptr().as_ptr() as usize).is_multiple_of(DESC_BYTES)
            || region.bus_addr() % DESC_BYTES as u64 != 0;
        if region.len() < len || misaligned {
            let source = "the platform's region is too short or misaligned".into();
            return Err(Error::Dma { what, source });
        }
        let mut ring = Self { region, size };
        ring.clear();
        Ok(ring)
    }

    const fn driver_offset(size: u16) -> usize {
        (size as usize * DESC_BYTES).next_multiple_of(CACHE_LINE)
    }

    /// Number of descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Where the device finds the parts.
    pub fn addresses(&self) -> RingAddresses {
        let desc = self.region.bus_addr();
        let driver = desc + Self::driver_offset(self.size) as u64;
        RingAddresses {
            desc,
            driver,
            device: driver + CACHE_LINE as u64,
        }
    }

    /// Zeroes all parts. The device must not be using them.
    pub fn clear(&mut self) {
        let len = Self::driver_offset(self.size) + 2 * CACHE_LINE;
        // SAFETY: `new` checked that the region has `len` bytes, and it is ours (DmaRegion::new).
        unsafe { self.region.as_ptr().as_ptr().write_bytes(0, len) };
    }

    #[inline]
    fn desc(&self, index: u16) -> NonNull<Desc> {
        assert!(index < self.size, "descriptor {index} of {}", self.size);
        // SAFETY: index < size and the region holds `size` descriptors, aligned (checked in `new`).
        unsafe { self.region.as_ptr().cast::<Desc>().add(usize::from(index)) }
    }

    /// Writes everything of a descriptor but its flags.
    #[inline]
    pub fn write_desc(&mut self, index: u16, addr: u64, len: u32, id: u16) {
        let desc = self.desc(index).as_ptr();
        // SAFETY: `desc` is valid and aligned; volatile because the device reads it.
        unsafe {
            (&raw mut (*desc).addr).write_volatile(addr.to_le());
            (&raw mut (*desc).len).write_volatile(len.to_le());
            (&raw mut (*desc).id).write_volatile(id.to_le());
        }
    }

    /// `id` and `len` of a used descriptor.
    #[inline]
    pub fn read_used(&self, index: u16) -> (u16, u32) {
        let desc = self.desc(index).as_ptr();
        // SAFETY: `desc` is valid and aligned; volatile because the device writes it.
        unsafe {
            let id = (&raw const (*desc).id).read_volatile();
            let len = (&raw const (*desc).len).read_volatile();
            (u16::from_le(id), u32::from_le(len))
        }
    }

    /// Flags of a descriptor.
    #[inline]
    pub fn flags(&self, index: u16) -> u16 {
        u16::from_le(self.flags_cell(index).load(Ordering::Relaxed))
    }

    /// Writes the flags of a descriptor.
    #[inline]
    pub fn set_flags(&mut self, index: u16, flags: u16) {
        self.flags_cell(index)
            .store(flags.to_le(), Ordering::Relaxed);
    }

    #[inline]
    fn flags_cell(&self, index: u16) -> &AtomicU16 {
        let desc = self.desc(index).as_ptr();
        // SAFETY: valid and aligned as above, lives as long as `self`; in this process it is only
        // ever accessed as an atomic.
        unsafe { AtomicU16::from_ptr(&raw mut (*desc).flags) }
    }

    /// Writes `off_wrap` of the driver event suppression structure.
    #[inline]
    pub fn set_driver_off_wrap(&mut self, off_wrap: u16) {
        self.event_cell(0, 0)
            .store(off_wrap.to_le(), Ordering::Relaxed);
    }

    /// Writes the flags of the driver event suppression structure.
    #[inline]
    pub fn set_driver_flags(&mut self, flags: u16) {
        self.event_cell(0, 1)
            .store(flags.to_le(), Ordering::Relaxed);
    }

    /// Flags of the device event suppression structure: `desc_event_flags`.
    #[inline]
    pub fn device_event(&self) -> Event {
        // The flags are read first: `off_wrap` only means something when they say so, and the
        // device writes them last. The acquire load keeps the order.
        let flags = u16::from_le(self.event_cell(CACHE_LINE, 1).load(Ordering::Acquire)) & 3;
        let off_wrap = u16::from_le(self.event_cell(CACHE_LINE, 0).load(Ordering::Relaxed));
        Event { off_wrap, flags }
    }

    /// 16-bit cell number `half` of the structure at `offset` bytes behind the driver's.
    #[inline]
    fn event_cell(&self, offset: usize, half: usize) -> &AtomicU16 {
        debug_assert!(offset + 4 <= 2 * CACHE_LINE && half < 2);
        let at = Self::driver_offset(self.size) + offset + 2 * half;
        // SAFETY: within the region, even (checked in `new`); only accessed as an atomic.
        unsafe { AtomicU16::from_ptr(self.region.as_ptr().add(at).cast().as_ptr()) }
    }
}
