//! The device's side of a packed virtqueue (virtio 2.8).
//!
//! All reads and writes of the ring happen at one moment of simulated time, but the driver may be
//! another thread that looks at the same memory, so the order that the specification asks for is kept.

use super::{
    dma::{Dma, Slot, id},
    spec::{desc, event, feature},
};
use crate::{Ps, iommu::Refusal};
use std::sync::atomic::{Ordering, fence};

/// Longest table of descriptors that is taken, whatever the ring's size.
const MAX_TABLE: u32 = 1024;
/// Bytes of a descriptor.
const DESC_LEN: u32 = 16;

/// Why a queue cannot go on: it stops until it is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueueError {
    /// The bus refused an access.
    #[error("DMA refused: {0}")]
    Dma(#[from] Refusal),
    /// A descriptor for the wrong direction, or a readable one behind a writable one (2.8.17).
    #[error("descriptor of the wrong direction")]
    Direction,
    /// An indirect table that was not negotiated, is linked, is empty or is not whole.
    #[error("illegal indirect table")]
    Indirect,
    /// A chain longer than the ring, or a table longer than the device allows.
    #[error("chain too long")]
    TooLong,
}

/// Which way a queue's buffers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The device writes them all: a receive queue.
    Receive,
    /// The device reads them all: a transmit queue.
    Transmit,
    /// Both: the control queue.
    Control,
}

impl Direction {
    /// Who reads descriptors, and who touches the rest of the ring.
    fn ids(self) -> (u8, u8) {
        match self {
            Self::Receive => (id::RX_DESC, id::RX_RING),
            Self::Transmit => (id::TX_DESC, id::TX_RING),
            Self::Control => (id::CTRL, id::CTRL),
        }
    }
}

/// Where a ring is: what the common configuration says while the queue is enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RingConfig {
    /// Descriptors, 1..=32768.
    pub size: u16,
    /// Bus address of the descriptor ring.
    pub desc: u64,
    /// Bus address of the driver event suppression structure.
    pub driver: u64,
    /// Bus address of the device event suppression structure.
    pub device: u64,
}

/// A piece of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Bus address.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
    /// The device writes it.
    pub write: bool,
}

/// A buffer as the driver made it available.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Buffer ID.
    pub id: u16,
    /// Ring entries that it took.
    pub ndesc: u16,
    pub segments: Vec<Segment>,
}

impl Chain {
    /// Bytes that the device reads, or writes.
    pub fn len(&self, write: bool) -> u64 {
        let wanted = self.segments.iter().filter(|s| s.write == write);
        wanted.map(|s| u64::from(s.len)).sum()
    }
}

/// A finished buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    pub id: u16,
    /// Bytes written.
    pub len: u32,
    pub ndesc: u16,
}

/// A place in the ring with the wrap counter that belongs to it (2.8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    index: u16,
    wrap: bool,
}

impl Position {
    const START: Self = Self {
        index: 0,
        wrap: true,
    };

    /// `count` places further, at most one turn.
    fn advance(self, count: u16, size: u16) -> Self {
        let index = u32::from(self.index) + u32::from(count);
        if index < size.into() {
            let index = index as u16;
            return Self { index, ..self };
        }
        Self {
            index: (index - u32::from(size)) as u16,
            wrap: !self.wrap,
        }
    }
}

/// One enabled queue.
#[derive(Debug)]
pub(super) struct Virtqueue {
    ring: RingConfig,
    direction: Direction,
    event_idx: bool,
    indirect: bool,
    /// Next descriptor to take.
    avail: Position,
    /// Next descriptor to write as used.
    used: Position,
    /// Places used since the driver's wish was last looked at.
    unannounced: u16,
    /// The driver knows that notifications are wanted, and where.
    armed: Option<Position>,
    table: Vec<u8>,
}

impl Virtqueue {
    /// A queue at its start, with `features` negotiated.
    pub fn new(ring: RingConfig, direction: Direction, features: u64) -> Self {
        Self {
            ring,
            direction,
            event_idx: features & feature::RING_EVENT_IDX != 0,
            indirect: features & feature::RING_INDIRECT_DESC != 0,
            avail: Position::START,
            used: Position::START,
            unannounced: 0,
            armed: None,
            table: Vec::new(),
        }
    }

    /// Descriptors of the ring.
    pub fn size(&self) -> u16 {
        self.ring.size
    }

    /// Takes the next available buffer; false when there is none.
    pub fn take(
        &mut self,
        dma: &mut Dma,
        slot: Times,
        chain: &mut Chain,
    ) -> Result<bool, QueueError> {
        let slot = slot.of(self.direction.ids().0);
        chain.segments.clear();
        let mut at = self.avail;
        let mut flags = [0; 2];
        dma.read(slot, self.desc_addr(at) + 14, &mut flags)?;
        let flags = u16::from_le_bytes(flags);
        // 2.8.1: available when the AVAIL bit is the wrap counter and the USED bit is not.
        if (flags & desc::AVAIL != 0) != at.wrap || (flags & desc::USED != 0) == at.wrap {
            return Ok(false);
        }
        // Pairs with the driver's release between the chain and its first flags (2.8.21.1).
        fence(Ordering::Acquire);
        chain.ndesc = 0;
        loop {
            let mut bytes = [0; DESC_LEN as usize];
            dma.read(slot, self.desc_addr(at), &mut bytes)?;
            let d = Descriptor::decode(&bytes);
            chain.ndesc += 1;
            // The id that counts is that of the last descriptor (2.8.6).
            chain.id = d.id;
            if d.flags & desc::INDIRECT != 0 {
                if chain.ndesc != 1 || d.flags & desc::NEXT != 0 {
                    return Err(QueueError::Indirect);
                }
                self.read_table(dma, slot, d, chain)?;
            } else {
                self.push(chain, d)?;
            }
            at = at.advance(1, self.ring.size);
            if d.flags & desc::NEXT == 0 {
                break;
            }
            if chain.ndesc == self.ring.size {
                return Err(QueueError::TooLong);
            }
        }
        self.avail = at;
        Ok(true)
    }

    /// 2.8.8: a table of descriptors in a buffer. Of their flags only WRITE means anything.
    fn read_table(
        &mut self,
        dma: &mut Dma,
        slot: Slot,
        d: Descriptor,
        chain: &mut Chain,
    ) -> Result<(), QueueError> {
        if !self.indirect || d.len == 0 || !d.len.is_multiple_of(DESC_LEN) {
            return Err(QueueError::Indirect);
        }
        if d.len / DESC_LEN > MAX_TABLE.max(self.ring.size.into()) {
            return Err(QueueError::TooLong);
        }
        let mut table = std::mem::take(&mut self.table);
        table.resize(d.len as usize, 0);
        let read = dma.read(slot, d.addr, &mut table);
        let parsed = read.map_err(QueueError::from).and_then(|()| {
            table
                .as_chunks::<{ DESC_LEN as usize }>()
                .0
                .iter()
                .try_for_each(|bytes| self.push(chain, Descriptor::decode(bytes)))
        });
        self.table = table;
        parsed
    }

    fn push(&self, chain: &mut Chain, d: Descriptor) -> Result<(), QueueError> {
        let write = d.flags & desc::WRITE != 0;
        let legal = match self.direction {
            Direction::Receive => write,
            Direction::Transmit => !write,
            // 2.8.17: all that is read comes before all that is written.
            Direction::Control => write || chain.segments.last().is_none_or(|last| !last.write),
        };
        if !legal {
            return Err(QueueError::Direction);
        }
        chain.segments.push(Segment {
            addr: d.addr,
            len: d.len,
            write,
        });
        Ok(())
    }

    /// Returns buffers. The driver sees the first of them last, so that it never finds a part of what
    /// belongs together (5.1.6.4: "use all buffers used by a single receive packet together").
    pub fn put_used(
        &mut self,
        dma: &mut Dma,
        slot: Times,
        used: &[Used],
    ) -> Result<(), QueueError> {
        let slot = slot.of(self.direction.ids().1);
        let size = self.ring.size;
        let mut at = used
            .iter()
            .fold(self.used, |at, used| at.advance(used.ndesc, size));
        let end = at;
        for used in used.iter().rev() {
            at = at.retreat(used.ndesc, size);
            let mut flags = if at.wrap { desc::AVAIL | desc::USED } else { 0 };
            if used.len > 0 {
                flags |= desc::WRITE;
            }
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&used.len.to_le_bytes());
            bytes[4..6].copy_from_slice(&used.id.to_le_bytes());
            bytes[6..].copy_from_slice(&flags.to_le_bytes());
            dma.write_flags_last(slot, self.desc_addr(at) + 8, bytes)?;
            self.unannounced = self.unannounced.saturating_add(used.ndesc);
        }
        self.used = end;
        Ok(())
    }

    /// Whether the driver wants to be notified of what was used since it was last asked (2.8.10).
    pub fn notification_due(&mut self, dma: &mut Dma, slot: Times) -> Result<bool, QueueError> {
        // Store before load: pairs with the driver's barrier between asking for a notification and
        // looking at the ring once more.
        fence(Ordering::SeqCst);
        let mut bytes = [0; 4];
        dma.read(
            slot.of(self.direction.ids().1),
            self.ring.driver,
            &mut bytes,
        )?;
        let [o0, o1, f0, _] = bytes;
        let count = std::mem::take(&mut self.unannounced);
        let flags = u16::from(f0) & 3;
        Ok(match flags {
            event::DISABLE => false,
            event::DESC if self.event_idx => {
                let off_wrap = u16::from_le_bytes([o0, o1]);
                count > 0 && self.passed(off_wrap, count)
            }
            _ => count > 0,
        })
    }

    /// Whether the place that `off_wrap` names is among the last `count` that were used.
    fn passed(&self, off_wrap: u16, count: u16) -> bool {
        let wanted = i32::from(off_wrap & 0x7fff);
        let size = i32::from(self.ring.size);
        // Places behind the used position, of this turn or of the one before.
        let turn = if (off_wrap >> 15 == 1) == self.used.wrap {
            0
        } else {
            size
        };
        let behind = i32::from(self.used.index) - wanted + turn;
        (1..=i32::from(count)).contains(&behind)
    }

    /// Tells the driver to notify when it makes the next buffer available; the caller must look for
    /// one once more afterwards.
    pub fn arm(&mut self, dma: &mut Dma, slot: Times) -> Result<(), QueueError> {
        if self.armed != Some(self.avail) {
            let flags = if self.event_idx {
                event::DESC
            } else {
                event::ENABLE
            };
            self.write_event(dma, slot, flags)?;
            self.armed = Some(self.avail);
        }
        // Pairs with the driver's barrier between making available and reading the event.
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Tells the driver that the device is at work and needs no notification. With an event index the
    /// old one, which has passed, says so already.
    pub fn disarm(&mut self, dma: &mut Dma, slot: Times) -> Result<(), QueueError> {
        if self.armed.take().is_some() && !self.event_idx {
            self.write_event(dma, slot, event::DISABLE)?;
        }
        Ok(())
    }

    fn write_event(&self, dma: &mut Dma, slot: Times, flags: u16) -> Result<(), QueueError> {
        let off_wrap = self.avail.index | u16::from(self.avail.wrap) << 15;
        let [o0, o1] = off_wrap.to_le_bytes();
        let [f0, f1] = flags.to_le_bytes();
        let slot = slot.of(self.direction.ids().1);
        Ok(dma.write(slot, self.ring.device, &[o0, o1, f0, f1])?)
    }

    fn desc_addr(&self, at: Position) -> u64 {
        let offset = u64::from(at.index) * u64::from(DESC_LEN);
        self.ring.desc.wrapping_add(offset)
    }
}

impl Position {
    /// `count` places back, at most one turn.
    fn retreat(self, count: u16, size: u16) -> Self {
        match self.index.checked_sub(count) {
            Some(index) => Self { index, ..self },
            None => Self {
                index: self.index + size - count,
                wrap: !self.wrap,
            },
        }
    }
}

/// Begin and end of an access, without whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub start: Ps,
    pub end: Ps,
}

impl Times {
    pub fn of(self, id: u8) -> Slot {
        Slot {
            id,
            start: self.start,
            end: self.end,
        }
    }
}

/// One element of the ring or of a table (2.8.13).
#[derive(Debug, Clone, Copy)]
struct Descriptor {
    addr: u64,
    len: u32,
    id: u16,
    flags: u16,
}

impl Descriptor {
    fn decode(bytes: &[u8; DESC_LEN as usize]) -> Self {
        let word = u128::from_le_bytes(*bytes);
        Self {
            addr: word as u64,
            len: (word >> 64) as u32,
            id: (word >> 96) as u16,
            flags: (word >> 112) as u16,
        }
    }
}

#[cfg(test)]
mod tests;
