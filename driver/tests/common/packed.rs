//! The device's half of a packed virtqueue, from virtio 1.2 section 2.8.
//!
//! Positions are counted without end; slot and wrap counter follow from the count: slot = count
//! mod size, wrap = 1 in every even lap. So the arithmetic is not the driver's.

use driver::RingAddresses;

use super::memory::{BusMemory, DmaFault};

const NEXT: u16 = 0x0001;
const WRITE: u16 = 0x0002;
const INDIRECT: u16 = 0x0004;
const AVAIL: u16 = 0x0080;
const USED: u16 = 0x8000;

/// One element of a buffer as the device found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub addr: u64,
    pub len: u32,
    pub writable: bool,
}

/// One buffer that the driver made available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub id: u16,
    pub elements: Vec<Element>,
}

impl Chain {
    pub fn writable(&self) -> u32 {
        self.elements
            .iter()
            .filter(|e| e.writable)
            .map(|e| e.len)
            .sum()
    }
}

/// What the driver may not do.
#[derive(Debug, PartialEq, Eq)]
pub enum Violation {
    Dma(DmaFault),
    IndirectNotNegotiated,
    ReadableAfterWritable,
    LongerThanTheRing,
    /// A descriptor inside of a chain is not available though the first one is (2.8.6).
    PartialChain,
    BadEvent(u16),
}

impl From<DmaFault> for Violation {
    fn from(fault: DmaFault) -> Self {
        Self::Dma(fault)
    }
}

/// What the device wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Always,
    Never,
    /// When the descriptor at this count is made available.
    At(u64),
}

pub struct DeviceQueue {
    pub at: RingAddresses,
    pub size: u16,
    pub event_idx: bool,
    /// Descriptors taken so far.
    pub taken: u64,
    /// Descriptors used (or skipped) so far.
    pub used: u64,
    /// `used` when the driver's wish was last looked at.
    announced: u64,
    pub wish: Wish,
}

impl DeviceQueue {
    pub fn new(at: RingAddresses, size: u16, event_idx: bool) -> Self {
        Self {
            at,
            size,
            event_idx,
            taken: 0,
            used: 0,
            announced: 0,
            wish: Wish::Always,
        }
    }

    fn slot(&self, count: u64) -> u64 {
        self.at.desc + 16 * (count % u64::from(self.size))
    }

    fn wrap(&self, count: u64) -> bool {
        (count / u64::from(self.size)).is_multiple_of(2)
    }

    /// 2.8.1: AVAIL equals the wrap counter, USED does not.
    fn is_available(&self, mem: &BusMemory, count: u64) -> Result<bool, Violation> {
        let flags = mem.le16(self.slot(count) + 14)?;
        Ok((flags & AVAIL != 0) == self.wrap(count) && (flags & USED != 0) != self.wrap(count))
    }

    pub fn has_available(&self, mem: &BusMemory) -> Result<bool, Violation> {
        Ok(self.taken - self.used < u64::from(self.size) && self.is_available(mem, self.taken)?)
    }

    /// Takes the next buffer (2.8.6, 2.8.17).
    pub fn take(&mut self, mem: &BusMemory) -> Result<Option<Chain>, Violation> {
        if !self.has_available(mem)? {
            return Ok(None);
        }
        let mut elements: Vec<Element> = Vec::new();
        loop {
            let count = self.taken + elements.len() as u64;
            if elements.len() == usize::from(self.size) {
                return Err(Violation::LongerThanTheRing);
            }
            if !self.is_available(mem, count)? {
                return Err(Violation::PartialChain);
            }
            let slot = self.slot(count);
            let flags = mem.le16(slot + 14)?;
            if flags & INDIRECT != 0 {
                return Err(Violation::IndirectNotNegotiated);
            }
            let writable = flags & WRITE != 0;
            if !writable && elements.last().is_some_and(|e| e.writable) {
                return Err(Violation::ReadableAfterWritable);
            }
            elements.push(Element {
                addr: mem.le64(slot)?,
                len: mem.le32(slot + 8)?,
                writable,
            });
            if flags & NEXT == 0 {
                self.taken = count + 1;
                return Ok(Some(Chain {
                    id: mem.le16(slot + 12)?,
                    elements,
                }));
            }
        }
    }

    /// Writes one used descriptor for `ndesc` descriptors: a chain, or with IN_ORDER a batch of
    /// chains whose last one has `id` (2.8.6, 2.8.8).
    pub fn put_used(
        &mut self,
        mem: &BusMemory,
        id: u16,
        len: u32,
        ndesc: usize,
        written: bool,
    ) -> Result<(), Violation> {
        let slot = self.slot(self.used);
        mem.write(slot + 8, &len.to_le_bytes())?;
        mem.write(slot + 12, &id.to_le_bytes())?;
        std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
        let mut flags = if self.wrap(self.used) {
            AVAIL | USED
        } else {
            0
        };
        if written {
            flags |= WRITE;
        }
        mem.write(slot + 14, &flags.to_le_bytes())?;
        self.used += ndesc as u64;
        Ok(())
    }

    /// Whether the driver must be interrupted for what was used since the last call (2.8.10).
    pub fn interrupt_due(&mut self, mem: &BusMemory) -> Result<bool, Violation> {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let range = std::mem::replace(&mut self.announced, self.used)..self.used;
        let off_wrap = mem.le16(self.at.driver)?;
        match mem.le16(self.at.driver + 2)? {
            0 => Ok(!range.is_empty()),
            1 => Ok(false),
            2 if self.event_idx => {
                let (off, wrap) = (u64::from(off_wrap & 0x7fff), off_wrap & 0x8000 != 0);
                if off >= u64::from(self.size) {
                    return Err(Violation::BadEvent(off_wrap));
                }
                Ok(range
                    .into_iter()
                    .any(|n| n % u64::from(self.size) == off && self.wrap(n) == wrap))
            }
            flags => Err(Violation::BadEvent(flags)),
        }
    }

    /// Writes the device event suppression structure.
    pub fn set_wish(&mut self, mem: &BusMemory, wish: Wish) -> Result<(), Violation> {
        let flags: u16 = match wish {
            Wish::Always => 0,
            Wish::Never => 1,
            Wish::At(count) => {
                let off = (count % u64::from(self.size)) as u16;
                let off_wrap = off | if self.wrap(count) { 0x8000 } else { 0 };
                mem.write(self.at.device, &off_wrap.to_le_bytes())?;
                2
            }
        };
        mem.write(self.at.device + 2, &flags.to_le_bytes())?;
        self.wish = wish;
        Ok(())
    }

    /// Whether the wish means that a doorbell is due when the counts `range` are made available.
    pub fn doorbell_due(&self, range: std::ops::Range<u64>) -> bool {
        match self.wish {
            Wish::Always => !range.is_empty(),
            Wish::Never => false,
            Wish::At(count) => range.contains(&count),
        }
    }
}
