//! The driver of a session: makes chains available, takes used ones, sleeps and wakes up.

use super::{Ending, Phase, Session, Wait};
use crate::{
    ring::{DESC_BYTES, DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, Element, Events},
    virtqueue::{
        axi::{MEMORY_BYTES, RING_BYTES},
        pins::Desc,
    },
};
use rand::{RngExt, seq::IndexedRandom};

impl Session<'_> {
    /// The driver's sending side: chains, in batches, and the kick that the device asked for.
    pub(super) fn make_available(&mut self) {
        if let Some((prepared, descs)) = self.staged.take() {
            if self.rng.random_bool(0.5) {
                self.staged = Some((prepared, descs));
                return;
            }
            self.ring.publish(&mut self.axi.memory, prepared);
            self.expected.extend(descs);
            self.unchecked = true;
        } else if self.wants_to_add() && self.rng.random_bool(self.add) {
            self.prepare();
        }
        // A batch of random length, one look at the event structure (2.8.21.3.1).
        if self.unchecked && (!self.wants_to_add() || self.rng.random_bool(0.2)) {
            self.unchecked = false;
            if self.ring.kick_needed(&self.axi.memory) {
                self.kicks
                    .push_back(self.now + self.rng.random_range(0..=self.notify_delay));
            } else {
                self.report.add("kicks saved", 1);
            }
        }
    }

    fn wants_to_add(&self) -> bool {
        let free = match self.ending {
            // An endless chain needs the whole ring.
            Ending::EndlessChain if self.added + 1 >= self.chains => self.ring.config().size,
            _ => 1,
        };
        self.phase == Phase::Running
            && self.staged.is_none()
            && !self.baited
            && self.added < self.chains
            && self.ring.free() >= free
    }

    fn prepare(&mut self) {
        let last = self.added + 1 == self.chains;
        let (mut length, mut flip) = (self.rng.random_range(1..=self.max_chain), 0);
        match self.ending {
            Ending::BadDescriptor { flip: bad } if last => flip = bad,
            Ending::EndlessChain if last => {
                length = self.ring.config().size;
                flip = DESC_F_NEXT;
            }
            _ => {}
        }
        self.baited = flip != 0;
        let table = self.table(flip);
        if let Some((_, longest)) = table {
            length = self.rng.random_range(1..=longest);
        } else {
            length = length.min(self.ring.free());
        }
        let mut elements: Vec<Element> = (0..length)
            .map(|_| Element {
                addr: self.rng.random(),
                len: self.rng.random_range(0..=70_000),
            })
            .collect();
        if flip == DESC_F_INDIRECT
            && let Some(last) = elements.last_mut()
        {
            last.len |= 1; // no table has such a length
        }
        let memory = &mut self.axi.memory;
        let (prepared, id) = match table {
            Some((addr, _)) => {
                let end = addr + DESC_BYTES * u64::from(length);
                self.axi.tables.push((self.added, addr, end));
                self.report.add("tables", 1);
                let noise = || self.rng.random();
                let table = (addr, elements.as_slice());
                self.ring
                    .prepare_indirect(memory, table, self.added, flip, noise)
            }
            None => self.ring.prepare(memory, &elements, self.added, flip),
        };
        let mut descs: Vec<Desc> = elements
            .iter()
            .enumerate()
            .map(|(index, e)| Desc {
                addr: e.addr,
                len: e.len,
                id: !id,
                next: true,
                inner: table.is_some() && index != 0,
            })
            .collect();
        if let Some(tail) = descs.last_mut() {
            *tail = Desc {
                id,
                next: false,
                ..*tail
            };
        }
        if self.baited {
            descs.pop();
        }
        self.staged = Some((prepared, descs));
        self.added += 1;
        self.report.add("chains", 1);
        self.report.add("descriptors", u64::from(length));
        self.last_progress = self.now;
    }

    /// Where the next chain's table is to be, and how many descriptors it has at the most; `None` for a
    /// chain in the ring. An error in the flags of the ring's own descriptor needs one.
    fn table(&mut self, flip: u16) -> Option<(u64, u16)> {
        const SLOT: u64 = 1024;
        let slots = (MEMORY_BYTES - RING_BYTES) as u64 / SLOT - 1;
        let fits =
            flip & !DESC_F_WRITE == 0 && self.indirect.is_some_and(|p| self.rng.random_bool(p));
        // They lie across the 4 KiB boundaries.
        let first = self.axi.memory.base + RING_BYTES as u64 + SLOT / 2;
        let free = (0..slots).find(|slot| {
            let from = first + slot * SLOT;
            let mut tables = self.axi.tables.iter();
            !tables.any(|(_, at, _)| (from..from + SLOT).contains(at))
        });
        let slot = free.filter(|_| fits)?;
        let offset = match self.rng.random_range(0..3) {
            0 => self.rng.random_range(0..300),
            _ => 16 * self.rng.random_range(0..18),
        };
        let longest = *[1, 3, 40].choose(self.rng).unwrap_or(&1);
        Some((first + slot * SLOT + offset, longest))
    }

    /// The driver's receiving side: takes used buffers, or arms events, looks again, and sleeps.
    pub(super) fn collect_used(&mut self) {
        match self.wait {
            Wait::Polling => {
                if self.rng.random_bool(0.2) {
                    return; // busy elsewhere
                }
                let mut taken = Vec::new();
                let result = self.ring.take_used(&self.axi.memory, &mut taken);
                self.last_error = result.err().map(|e| e.to_string());
                for used in &taken {
                    self.axi.tables.retain(|(chain, ..)| *chain != used.token);
                }
                if !taken.is_empty() {
                    self.last_progress = self.now;
                    self.report.add("chains used", taken.len() as u64);
                    return;
                }
                if self.ring.outstanding() != 0 && self.rng.random_bool(0.3) {
                    self.arm();
                }
            }
            Wait::Arming(position) => {
                self.wait = if self.ring.visible(&self.axi.memory) > position {
                    Wait::Polling
                } else {
                    Wait::Asleep(position, None)
                };
            }
            Wait::Asleep(position, None) if self.ring.visible(&self.axi.memory) > position => {
                self.wait = Wait::Asleep(position, Some(self.now));
            }
            Wait::Asleep(..) => {}
        }
        if self.irqs.front().is_some_and(|at| *at <= self.now) {
            self.irqs.pop_front();
            if matches!(self.wait, Wait::Asleep(..)) {
                self.report.add("woken", 1);
            }
            self.wait = Wait::Polling;
            if self.rng.random_bool(0.5) {
                self.set_events(Events::Disable);
            }
        }
    }

    fn arm(&mut self) {
        let used = self.ring.used_position();
        let events = match self.rng.random_range(0..3) {
            0 => Events::Disable,
            1 if self.event_idx => {
                Events::Desc(self.rng.random_range(used..self.ring.avail_position()))
            }
            _ => Events::Enable,
        };
        self.set_events(events);
        match events {
            Events::Disable => {}
            Events::Enable => self.wait = Wait::Arming(used),
            Events::Desc(position) => self.wait = Wait::Arming(position),
        }
    }

    fn set_events(&mut self, events: Events) {
        self.ring.set_events(&mut self.axi.memory, events);
        if let Events::Desc(position) = events {
            let mut word = [0; 4];
            crate::ring::Memory::read(&self.axi.memory, self.ring.config().driver, &mut word);
            self.armed.push_front((u32::from_le_bytes(word), position));
            self.armed.truncate(64);
        }
    }
}
