//! The driver's side of a packed virtqueue, written from the specification (virtio 1.2, 2.8) for the
//! testbenches alone: it shares nothing with the driver of this project, and it objects to every used
//! descriptor that the specification or the device's own contract (order of use) does not allow.

use std::collections::VecDeque;

/// Memory as bus addresses show it to the driver.
pub trait Memory {
    /// Copies bytes out. The range is one that the testbench laid out, so it cannot fail.
    fn read(&self, addr: u64, to: &mut [u8]);
    /// Copies bytes in.
    fn write(&mut self, addr: u64, from: &[u8]);
}

/// `VIRTQ_DESC_F_NEXT` (2.8.13).
pub const DESC_F_NEXT: u16 = 1;
/// `VIRTQ_DESC_F_WRITE` (2.8.13).
pub const DESC_F_WRITE: u16 = 2;
/// `VIRTQ_DESC_F_INDIRECT` (2.8.13).
pub const DESC_F_INDIRECT: u16 = 4;
const DESC_F_AVAIL: u16 = 1 << 7;
const DESC_F_USED: u16 = 1 << 15;
/// Bytes of a descriptor.
pub const DESC_BYTES: u64 = 16;

/// Place and kind of a virtqueue.
#[derive(Debug, Clone, Copy)]
pub struct RingConfig {
    /// Descriptors, 1..=32768.
    pub size: u16,
    /// Bus address of the descriptor ring, a multiple of 16.
    pub desc: u64,
    /// Bus address of the driver event suppression structure, a multiple of 4.
    pub driver: u64,
    /// Bus address of the device event suppression structure, a multiple of 4.
    pub device: u64,
    /// The device writes the buffers: a receive queue.
    pub write: bool,
    /// `VIRTIO_F_IN_ORDER` negotiated.
    pub in_order: bool,
}

/// One element of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Bus address.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
}

/// What a driver asks to be told (2.8.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Every use.
    Enable,
    /// Nothing.
    Disable,
    /// The use of the descriptor with this free-running ring position.
    Desc(u64),
}

/// A buffer that the device gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used<T> {
    /// What was given to [`DriverRing::add`].
    pub token: T,
    /// Bytes that the device wrote; `None` for a buffer that a later used descriptor covers.
    pub len: Option<u32>,
}

/// What the device must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The Buffer ID is not that of a buffer that the device has.
    #[error("used position {position}: id {id:#06x} is not in the device's hands")]
    UnknownId {
        /// Free-running ring position of the used descriptor.
        position: u64,
        /// Buffer ID found there.
        id: u16,
    },
    /// A buffer was used before an older one, or (without `IN_ORDER`) others were skipped.
    #[error("used position {position}: id {id:#06x} before its turn, {older} older ones are out")]
    Order {
        /// Free-running ring position of the used descriptor.
        position: u64,
        /// Buffer ID found there.
        id: u16,
        /// Buffers made available earlier and not yet used.
        older: usize,
    },
    /// A used length above what the buffer holds.
    #[error("used position {position}: {len} bytes in a buffer of {room}")]
    Length {
        /// Free-running ring position of the used descriptor.
        position: u64,
        /// Bytes said to be written.
        len: u32,
        /// Bytes of the buffer.
        room: u64,
    },
    /// `VIRTQ_DESC_F_WRITE` does not say which way the buffer went, or other flags are set.
    #[error("used position {position}: flags {flags:#06x}")]
    Flags {
        /// Free-running ring position of the used descriptor.
        position: u64,
        /// Flags found there.
        flags: u16,
    },
}

#[derive(Debug)]
struct Outstanding<T> {
    id: u16,
    descriptors: u16,
    room: u64,
    token: T,
}

/// Driver of one packed virtqueue. Positions are free-running counts of descriptors; the wrap counter
/// is 1 in the first lap and changes with every lap (2.8.1).
#[derive(Debug)]
pub struct DriverRing<T> {
    config: RingConfig,
    avail: u64,
    used: u64,
    published: u64,
    checked: u64,
    outstanding: VecDeque<Outstanding<T>>,
    next_id: u16,
}

/// A chain that is written but for the flags of its first descriptor.
#[derive(Debug)]
#[must_use = "the device sees nothing of it before DriverRing::publish"]
pub struct Prepared {
    addr: u64,
    flags: u16,
    end: u64,
}

impl<T: Copy> DriverRing<T> {
    /// A ring in its initial state; the caller cleared the memory. `first_id` is where Buffer IDs
    /// start.
    #[must_use]
    pub fn new(config: RingConfig, first_id: u16) -> Self {
        Self {
            config,
            avail: 0,
            used: 0,
            published: 0,
            checked: 0,
            outstanding: VecDeque::new(),
            next_id: first_id,
        }
    }

    /// Place and kind.
    #[must_use]
    pub fn config(&self) -> &RingConfig {
        &self.config
    }

    /// Descriptors that can be added.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.config.size - (self.avail - self.used) as u16
    }

    /// Buffers in the device's hands.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Free-running position of the next descriptor to be used.
    #[must_use]
    pub fn used_position(&self) -> u64 {
        self.used
    }

    /// Free-running position of the next descriptor to be made available.
    #[must_use]
    pub fn avail_position(&self) -> u64 {
        self.avail
    }

    fn wrap(&self, position: u64) -> bool {
        (position / u64::from(self.config.size)) & 1 == 0
    }

    fn desc_addr(&self, position: u64) -> u64 {
        self.config.desc + position % u64::from(self.config.size) * DESC_BYTES
    }

    /// Writes a chain of at most [`free`](Self::free) elements; `flip` are flags that are wrong on
    /// purpose in its last descriptor. Returns it with its Buffer ID.
    pub fn prepare(
        &mut self,
        memory: &mut impl Memory,
        elements: &[Element],
        token: T,
        flip: u16,
    ) -> (Prepared, u16) {
        let readable = if self.config.write { 0 } else { elements.len() };
        self.prepare_mixed(memory, elements, readable, token, flip)
    }

    /// As [`prepare`](Self::prepare) for a buffer of which the device reads the first `readable`
    /// elements and writes the others, as those of the control queue.
    pub fn prepare_mixed(
        &mut self,
        memory: &mut impl Memory,
        elements: &[Element],
        readable: usize,
        token: T,
        flip: u16,
    ) -> (Prepared, u16) {
        debug_assert!(!elements.is_empty() && elements.len() <= usize::from(self.free()));
        while self.outstanding.iter().any(|o| o.id == self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        // Any number will do (2.8.13); one that jumps shows that the device does not count on it.
        self.next_id = self.next_id.wrapping_mul(5).wrapping_add(1);

        let end = self.avail + elements.len() as u64;
        let mut head = Prepared {
            addr: 0,
            flags: 0,
            end,
        };
        for (index, element) in elements.iter().enumerate() {
            let position = self.avail + index as u64;
            let last = index + 1 == elements.len();
            let avail = if self.wrap(position) {
                DESC_F_AVAIL
            } else {
                DESC_F_USED
            };
            let direction = if index < readable { 0 } else { DESC_F_WRITE };
            let flags = (avail | direction) ^ if last { flip } else { DESC_F_NEXT };
            // The id counts in the last descriptor only (2.8.6).
            let id = if last { id } else { !id };
            let addr = self.desc_addr(position);
            memory.write(addr, &element.addr.to_le_bytes());
            memory.write(addr + 8, &element.len.to_le_bytes());
            memory.write(addr + 12, &id.to_le_bytes());
            // 2.8.6: the first descriptor becomes available when all others are written.
            if index == 0 {
                head = Prepared {
                    addr: addr + 14,
                    flags,
                    end,
                };
            } else {
                memory.write(addr + 14, &flags.to_le_bytes());
            }
        }
        self.avail = end;
        self.outstanding.push_back(Outstanding {
            id,
            descriptors: elements.len() as u16,
            room: elements.iter().map(|e| u64::from(e.len)).sum(),
            token,
        });
        (head, id)
    }

    /// Writes a chain of one descriptor that refers to a table at `table`, any byte (2.8.8); the
    /// caller owns its memory until the chain is used. `noise` gives what the device must not look at;
    /// `flip` are flags that are wrong on purpose in the table's last descriptor.
    pub fn prepare_indirect(
        &mut self,
        memory: &mut impl Memory,
        (table, elements): (u64, &[Element]),
        token: T,
        flip: u16,
        mut noise: impl FnMut() -> u16,
    ) -> (Prepared, u16) {
        let direction = if self.config.write { DESC_F_WRITE } else { 0 };
        let mut addr = table;
        for (index, element) in elements.iter().enumerate() {
            let last = index + 1 == elements.len();
            let flags = noise() & !DESC_F_WRITE | direction;
            memory.write(addr, &element.addr.to_le_bytes());
            memory.write(addr + 8, &element.len.to_le_bytes());
            memory.write(addr + 12, &noise().to_le_bytes());
            let flags = flags ^ if last { flip } else { 0 };
            memory.write(addr + 14, &flags.to_le_bytes());
            addr += DESC_BYTES;
        }
        let element = Element {
            addr: table,
            len: (addr - table) as u32,
        };
        // WRITE means nothing here.
        let flags = DESC_F_INDIRECT | noise() & DESC_F_WRITE;
        let prepared = self.prepare(memory, &[element], token, flags);
        if let Some(outstanding) = self.outstanding.back_mut() {
            outstanding.room = elements.iter().map(|e| u64::from(e.len)).sum();
        }
        prepared
    }

    /// Makes a chain available; chains are published in the order in which they were prepared.
    pub fn publish(&mut self, memory: &mut impl Memory, chain: Prepared) {
        memory.write(chain.addr, &chain.flags.to_le_bytes());
        self.published = chain.end;
    }

    /// Whether the device wants to know about what was made available since the last call (2.8.14).
    pub fn kick_needed(&mut self, memory: &impl Memory) -> bool {
        let (from, to) = (
            std::mem::replace(&mut self.checked, self.published),
            self.published,
        );
        let mut word = [0; 4];
        memory.read(self.config.device, &mut word);
        let word = u32::from_le_bytes(word);
        match word >> 16 & 3 {
            0 => to > from,
            2 => (from..to).any(|position| self.event_word(position) == word as u16),
            _ => false,
        }
    }

    /// `desc_event_off` and `desc_event_wrap` of a position.
    fn event_word(&self, position: u64) -> u16 {
        let offset = (position % u64::from(self.config.size)) as u16;
        offset | u16::from(self.wrap(position)) << 15
    }

    /// Writes the driver event suppression structure. The caller looks at the ring again afterwards.
    pub fn set_events(&self, memory: &mut impl Memory, events: Events) {
        let (flags, position) = match events {
            Events::Enable => (0u16, 0),
            Events::Disable => (1, 0),
            Events::Desc(position) => (2, position),
        };
        memory.write(self.config.driver, &self.event_word(position).to_le_bytes());
        memory.write(self.config.driver + 2, &flags.to_le_bytes());
    }

    /// The used descriptor at `position`, when it is there: flags, id, length.
    fn look(&self, memory: &impl Memory, position: u64) -> Option<(u16, u16, u32)> {
        let mut bytes = [0; 16];
        memory.read(self.desc_addr(position), &mut bytes);
        let flags = u16::from_le_bytes([bytes[14], bytes[15]]);
        let wrap = self.wrap(position);
        let both = ((flags & DESC_F_AVAIL != 0) == wrap) && ((flags & DESC_F_USED != 0) == wrap);
        both.then(|| {
            (
                flags,
                u16::from_le_bytes([bytes[12], bytes[13]]),
                u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            )
        })
    }

    /// The position behind all used descriptors that can be seen, nothing taken.
    #[must_use]
    pub fn visible(&self, memory: &impl Memory) -> u64 {
        let (mut position, mut next) = (self.used, 0);
        while next < self.outstanding.len() {
            let Some((_, id, _)) = self.look(memory, position) else {
                break;
            };
            let Some(index) = self.outstanding.iter().skip(next).position(|o| o.id == id) else {
                break;
            };
            for buffer in self.outstanding.iter().skip(next).take(index + 1) {
                position += u64::from(buffer.descriptors);
            }
            next += index + 1;
        }
        position
    }

    /// Takes back all that is in the device's hands, as after a reset of the queue.
    pub fn abandon(&mut self) -> Vec<T> {
        self.outstanding.drain(..).map(|o| o.token).collect()
    }

    /// Takes what the next used descriptor gives back, oldest first; nothing when there is none.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn take_used(
        &mut self,
        memory: &impl Memory,
        taken: &mut Vec<Used<T>>,
    ) -> Result<(), RingError> {
        if self.outstanding.is_empty() {
            return Ok(());
        }
        let position = self.used;
        let Some((flags, id, len)) = self.look(memory, position) else {
            return Ok(());
        };
        let older = self.outstanding.iter().position(|o| o.id == id);
        let older = older.ok_or(RingError::UnknownId { position, id })?;
        // This device always uses in order; only with IN_ORDER may it leave descriptors out.
        if older != 0 && !self.config.in_order {
            return Err(RingError::Order {
                position,
                id,
                older,
            });
        }
        let expected = if self.config.write { DESC_F_WRITE } else { 0 };
        if flags & !(DESC_F_AVAIL | DESC_F_USED) != expected {
            return Err(RingError::Flags { position, flags });
        }
        for (index, buffer) in self.outstanding.drain(..=older).enumerate() {
            let last = index == older;
            if last && self.config.write && u64::from(len) > buffer.room {
                return Err(RingError::Length {
                    position,
                    len,
                    room: buffer.room,
                });
            }
            self.used += u64::from(buffer.descriptors);
            taken.push(Used {
                token: buffer.token,
                len: last.then_some(len),
            });
        }
        Ok(())
    }
}
