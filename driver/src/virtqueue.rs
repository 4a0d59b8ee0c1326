//! A packed virtqueue (virtio 2.8), the driver's half.
//!
//! Nothing that the device writes is trusted: indices come from the driver's own state, an id is
//! looked up before it is used, a length is clamped to what was offered.

use std::sync::atomic::{Ordering, fence};

use crate::dma::DmaMemory;
use crate::error::Error;
use crate::ring::Ring;
use crate::transport::RingAddresses;

// Descriptor flags (virtio 2.8.1, 2.8.3, 2.8.6).
const DESC_F_NEXT: u16 = 1 << 0;
const DESC_F_WRITE: u16 = 1 << 1;
const DESC_F_AVAIL: u16 = 1 << 7;
const DESC_F_USED: u16 = 1 << 15;

// Event flags (virtio 2.8.10).
const RING_EVENT_FLAGS_ENABLE: u16 = 0;
const RING_EVENT_FLAGS_DISABLE: u16 = 1;
const RING_EVENT_FLAGS_DESC: u16 = 2;
const EVENT_WRAP: u16 = 1 << 15;

/// A physically contiguous element of a buffer (virtio 2.8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bus address of the first byte.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
}

/// A buffer that the device has finished with.
#[derive(Debug, PartialEq, Eq)]
pub struct Used<T> {
    /// What [`Virtqueue::add`] was given.
    pub cookie: T,
    /// Bytes that the device wrote, at most those it was offered; 0 for a read-only buffer.
    pub len: u32,
    /// Bytes that the device claims to have written. More than `len` is a lie.
    pub claimed: u32,
}

/// The device used a buffer that it does not have. The queue is broken until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device used buffer id {id}, which it does not have")]
pub struct BadUsedId {
    /// What the used descriptor says.
    pub id: u16,
}

/// State of one buffer id.
struct Buffer<T> {
    /// `Some` while the device has the buffer.
    cookie: Option<T>,
    /// Descriptors of the chain.
    ndesc: u16,
    /// Next id of the free list (without IN_ORDER).
    next_free: u16,
    /// Bytes that the device may write.
    writable: u32,
}

/// A position in the ring with its wrap counter (virtio 2.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    index: u16,
    wrap: bool,
}

impl Position {
    const START: Self = Self {
        index: 0,
        wrap: true,
    };

    /// `by` ≤ `size` descriptors further on.
    #[inline]
    fn advance(self, by: u16, size: u16) -> Self {
        // At most 2 × 32768: needs 17 bits.
        let index = u32::from(self.index) + u32::from(by);
        if index >= u32::from(size) {
            Self {
                index: (index - u32::from(size)) as u16,
                wrap: !self.wrap,
            }
        } else {
            Self {
                index: index as u16,
                wrap: self.wrap,
            }
        }
    }

    /// As `desc_event_off` and `desc_event_wrap`.
    fn off_wrap(self) -> u16 {
        self.index | if self.wrap { EVENT_WRAP } else { 0 }
    }
}

/// The driver's half of one packed virtqueue; `T` is what the driver wants back with each buffer.
pub struct Virtqueue<T> {
    ring: Ring,
    buffers: Box<[Buffer<T>]>,
    /// Where the next descriptor is made available.
    next_avail: Position,
    /// Where the device writes the next used descriptor.
    next_used: Position,
    num_free: u16,
    /// First id of the free list (without IN_ORDER).
    free_head: u16,
    /// Descriptors made available since the last [`needs_kick`](Self::needs_kick).
    num_added: u32,
    /// With IN_ORDER: id and length of the last buffer of a batch that is being taken apart.
    batch: Option<(u16, u32)>,
    /// What the driver event suppression structure holds.
    driver_flags: u16,
    event_idx: bool,
    in_order: bool,
    broken: bool,
}

impl<T> Virtqueue<T> {
    /// Allocates a queue. `size`: descriptors, 1..=32768, not necessarily a power of two;
    /// `event_idx`, `in_order`: whether these features are negotiated.
    ///
    /// # Errors
    /// A size out of range, no memory.
    pub fn new<D: DmaMemory + ?Sized>(
        dma: &mut D,
        size: u16,
        event_idx: bool,
        in_order: bool,
    ) -> Result<Self, Error> {
        let ring = Ring::new(dma, size)?;
        let buffers = (0..size)
            .map(|_| Buffer {
                cookie: None,
                ndesc: 0,
                next_free: 0,
                writable: 0,
            })
            .collect();
        let mut queue = Self {
            ring,
            buffers,
            next_avail: Position::START,
            next_used: Position::START,
            num_free: size,
            free_head: 0,
            num_added: 0,
            batch: None,
            driver_flags: RING_EVENT_FLAGS_ENABLE,
            event_idx,
            in_order,
            broken: false,
        };
        queue.reset(|_| ());
        Ok(queue)
    }

    /// Returns to the initial state; `each` gets the cookies that the device had. The device must
    /// not be using the queue.
    pub fn reset(&mut self, mut each: impl FnMut(T)) {
        self.ring.clear();
        let size = self.size();
        for (buffer, next) in self.buffers.iter_mut().zip(1..) {
            if let Some(cookie) = buffer.cookie.take() {
                each(cookie);
            }
            // The list ends with an id that is never used: it is empty when the ring is full.
            buffer.next_free = next;
        }
        self.next_avail = Position::START;
        self.next_used = Position::START;
        self.num_free = size;
        self.free_head = 0;
        self.num_added = 0;
        self.batch = None;
        self.driver_flags = RING_EVENT_FLAGS_ENABLE;
        self.broken = false;
    }

    /// Number of descriptors.
    #[inline]
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// Descriptors that can be made available now.
    #[inline]
    pub fn num_free(&self) -> u16 {
        self.num_free
    }

    /// Descriptors that were made available since the device was last thought of.
    #[inline]
    pub fn num_added(&self) -> u32 {
        self.num_added
    }

    /// True after the device used an id that it does not have; until [`reset`](Self::reset).
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Where the device finds the queue.
    pub fn addresses(&self) -> RingAddresses {
        self.ring.addresses()
    }

    /// The id that the next buffer gets; nobody uses it while there is room in the ring.
    #[inline]
    pub fn next_id(&self) -> u16 {
        // With IN_ORDER the slot of the first descriptor serves as id: it is free because the
        // slot is, and ids then follow ring order, which is how a batch is taken apart.
        if self.in_order {
            self.next_avail.index
        } else {
            self.free_head
        }
    }

    /// Makes a buffer available: the elements that the device reads, then those that it writes
    /// (virtio 2.8.17). The device may see it at once, but is only told by a doorbell.
    ///
    /// # Errors
    /// Gives the cookie back when the ring has not enough room, the buffer has no element, or the
    /// queue is broken.
    #[inline]
    pub fn add(&mut self, readable: &[Segment], writable: &[Segment], cookie: T) -> Result<(), T> {
        let total = readable.len() + writable.len();
        if total == 0 || total > usize::from(self.num_free) || self.broken {
            return Err(cookie);
        }
        let ndesc = total as u16;
        let size = self.size();
        let head = self.next_avail;
        let id = self.next_id();
        let state = &mut self.buffers[usize::from(id)];
        self.free_head = state.next_free;

        let mut bytes = 0u32;
        let mut head_flags = 0;
        let mut at = head;
        let elements = readable
            .iter()
            .map(|segment| (segment, 0))
            .chain(writable.iter().map(|segment| (segment, DESC_F_WRITE)));
        for (i, (segment, direction)) in elements.enumerate() {
            let mut flags = direction | if at.wrap { DESC_F_AVAIL } else { DESC_F_USED };
            if i + 1 < total {
                flags |= DESC_F_NEXT;
            }
            if direction == DESC_F_WRITE {
                bytes = bytes.saturating_add(segment.len);
            }
            // The id counts in the last descriptor of a chain only (2.8.6), but does no harm.
            self.ring
                .write_desc(at.index, segment.addr, segment.len, id);
            if i == 0 {
                head_flags = flags;
            } else {
                self.ring.set_flags(at.index, flags);
            }
            at = at.advance(1, size);
        }
        state.cookie = Some(cookie);
        state.ndesc = ndesc;
        state.writable = bytes;
        self.next_avail = at;
        self.num_free -= ndesc;
        self.num_added = self.num_added.saturating_add(u32::from(ndesc));

        // 2.8.21.1.1: the whole chain before the flags that expose it. Pairs with the device's
        // ordered read of the flags before the rest.
        fence(Ordering::Release);
        self.ring.set_flags(head.index, head_flags);
        Ok(())
    }

    /// Whether the device wants to hear of what was made available since the last call
    /// (virtio 2.8.21.2). The caller rings the doorbell then.
    #[inline]
    pub fn needs_kick(&mut self) -> bool {
        let added = std::mem::take(&mut self.num_added);
        if added == 0 {
            return false;
        }
        // 2.8.21.3.1: expose the flags before reading the device's wish. Pairs with the fence
        // between the device's write of its event structure and its last look at the ring.
        fence(Ordering::SeqCst);
        let event = self.ring.device_event();
        match event.flags {
            RING_EVENT_FLAGS_DISABLE => false,
            RING_EVENT_FLAGS_DESC if self.event_idx => {
                let size = self.size();
                if added > u32::from(size) {
                    return true; // more than a lap: too far to say what was passed
                }
                let mut offset = event.off_wrap & !EVENT_WRAP;
                if (event.off_wrap & EVENT_WRAP != 0) != self.next_avail.wrap {
                    offset = offset.wrapping_sub(size);
                }
                need_event(offset, self.next_avail.index, added as u16)
            }
            // Without the feature there is only "enabled"; 3 is reserved.
            _ => true,
        }
    }

    /// Whether a used buffer waits to be taken.
    #[inline]
    pub fn has_used(&self) -> bool {
        !self.broken && (self.batch.is_some() || self.is_used(self.next_used))
    }

    /// Takes the next used buffer.
    ///
    /// # Errors
    /// [`BadUsedId`] once, when the device names a buffer that it does not have. After that the
    /// queue is broken and gives nothing any more.
    #[inline]
    pub fn pop(&mut self) -> Result<Option<Used<T>>, BadUsedId> {
        if self.broken {
            return Ok(None);
        }
        let (id, claimed) = match self.batch {
            None => {
                if !self.is_used(self.next_used) {
                    return Ok(None);
                }
                // Pairs with the device's barrier between the used descriptor (and the data of
                // the buffer) and these flags (virtio 2.8.22).
                fence(Ordering::Acquire);
                let (id, len) = self.ring.read_used(self.next_used.index);
                // Only a buffer that the device has can be used.
                if self
                    .buffers
                    .get(usize::from(id))
                    .is_none_or(|b| b.cookie.is_none())
                {
                    self.broken = true;
                    return Err(BadUsedId { id });
                }
                if self.in_order {
                    self.batch = Some((id, len));
                    self.next_of_batch(id, len)
                } else {
                    (id, len)
                }
            }
            Some((last, len)) => self.next_of_batch(last, len),
        };
        Ok(self.release(id, claimed))
    }

    /// With IN_ORDER, one used descriptor stands for all buffers up to `last` (virtio 2.8.8). The
    /// oldest of them is next; it is known by its slot. `len` is the last one's; a skipped one
    /// counts as used completely.
    #[inline]
    fn next_of_batch(&mut self, last: u16, len: u32) -> (u16, u32) {
        let oldest = self.next_used.index;
        if oldest == last {
            self.batch = None;
            (last, len)
        } else {
            // Ends at `last`: it was outstanding, and all that is outstanding lies between
            // `next_used` and `next_avail`.
            (oldest, self.buffers[usize::from(oldest)].writable)
        }
    }

    #[inline]
    fn release(&mut self, id: u16, claimed: u32) -> Option<Used<T>> {
        let size = self.size();
        let buffer = &mut self.buffers[usize::from(id)];
        let cookie = buffer.cookie.take()?;
        // Linux too takes `len` without a look at VIRTQ_DESC_F_WRITE, because QEMU never sets it
        // in a used descriptor; but what was not offered for writing has no length.
        let claimed = if buffer.writable == 0 { 0 } else { claimed };
        let len = claimed.min(buffer.writable);
        buffer.next_free = self.free_head;
        self.free_head = id;
        self.num_free += buffer.ndesc;
        self.next_used = self.next_used.advance(buffer.ndesc, size);
        Some(Used {
            cookie,
            len,
            claimed,
        })
    }

    /// Used: both bits equal the wrap counter (virtio 2.8.1).
    #[inline]
    fn is_used(&self, at: Position) -> bool {
        let flags = self.ring.flags(at.index);
        let avail = flags & DESC_F_AVAIL != 0;
        let used = flags & DESC_F_USED != 0;
        avail == used && used == at.wrap
    }

    /// Asks the device not to interrupt. A hint: a message may be under way already.
    #[inline]
    pub fn disable_callbacks(&mut self) {
        if self.driver_flags != RING_EVENT_FLAGS_DISABLE {
            self.driver_flags = RING_EVENT_FLAGS_DISABLE;
            self.ring.set_driver_flags(RING_EVENT_FLAGS_DISABLE);
        }
    }

    /// Asks for an interrupt for the next used buffer. False when one is there already: the
    /// interrupt may not come, the caller has to look again.
    #[inline]
    #[must_use]
    pub fn enable_callbacks(&mut self) -> bool {
        self.enable_callbacks_at(self.next_used)
    }

    /// As [`enable_callbacks`](Self::enable_callbacks), but with EVENT_IDX the interrupt comes
    /// when three quarters of what the device has now is used; `virtqueue_enable_cb_delayed()`.
    #[inline]
    #[must_use]
    pub fn enable_callbacks_delayed(&mut self) -> bool {
        let outstanding = u32::from(self.size() - self.num_free);
        let by = (outstanding * 3 / 4) as u16;
        self.enable_callbacks_at(self.next_used.advance(by, self.size()))
    }

    fn enable_callbacks_at(&mut self, at: Position) -> bool {
        let flags = if self.event_idx {
            self.ring.set_driver_off_wrap(at.off_wrap());
            // The device must not pair the new flags with an old position.
            fence(Ordering::Release);
            RING_EVENT_FLAGS_DESC
        } else {
            RING_EVENT_FLAGS_ENABLE
        };
        if self.driver_flags != flags {
            self.driver_flags = flags;
            self.ring.set_driver_flags(flags);
        }
        // The wish before the last look at the ring (2.8.22): the device writes the used
        // descriptor, fences, and reads the wish; so one of both sees the other.
        fence(Ordering::SeqCst);
        !self.has_used()
    }
}

/// `vring_need_event()`: whether the position `event` is among the `added` descriptors before `new`.
#[inline]
fn need_event(event: u16, new: u16, added: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < added
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_wraps_at_any_size() {
        for size in [1, 2, 3, 7, 256, 32768] {
            let last = Position {
                index: size - 1,
                wrap: true,
            };
            assert_eq!(
                last.advance(1, size),
                Position {
                    index: 0,
                    wrap: false
                }
            );
            assert_eq!(
                last.advance(size, size),
                Position {
                    index: size - 1,
                    wrap: false
                }
            );
        }
    }

    #[test]
    fn event_is_needed_only_when_passed() {
        assert!(need_event(4, 5, 1));
        assert!(!need_event(5, 5, 1));
        assert!(!need_event(3, 5, 1));
        assert!(need_event(3, 5, 2));
        // Position 6 of a ring of 7 in the lap before: 6 - 7 = -1.
        assert!(need_event(6u16.wrapping_sub(7), 1, 2));
        assert!(!need_event(6u16.wrapping_sub(7), 1, 1));
    }
}
