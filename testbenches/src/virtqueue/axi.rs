//! Memory behind the block's three AXI ports: random latency, random readiness, chosen errors.

use super::pins;
use crate::{block::virtqueue_rx as p, bundle::WordWrite, ring};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{collections::VecDeque, ops::RangeInclusive};

/// Bytes of memory for the ring and its event structures, at the start.
pub const RING_BYTES: usize = 1 << 16;
/// Bytes of memory, all of it mapped. What is behind the ring's part holds indirect tables.
pub const MEMORY_BYTES: usize = 1 << 17;
const PAGE: u64 = 4096;

/// Flat memory from `base`.
pub struct Flat {
    pub base: u64,
    bytes: Vec<u8>,
}

impl ring::Memory for Flat {
    fn read(&self, addr: u64, to: &mut [u8]) {
        let at = (addr - self.base) as usize;
        to.copy_from_slice(&self.bytes[at..at + to.len()]);
    }

    fn write(&mut self, addr: u64, from: &[u8]) {
        let at = (addr - self.base) as usize;
        self.bytes[at..at + from.len()].copy_from_slice(from);
    }
}

/// How the memory side behaves.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Probability of ready in a cycle.
    pub ready: f64,
    /// Cycles from acceptance to data or response.
    pub latency: RangeInclusive<u64>,
    /// Probability that due data comes in a cycle.
    pub flow: f64,
}

impl Timing {
    pub fn random(rng: &mut ChaCha8Rng) -> Self {
        let slowest = *[0, 3, 20, 150].choose(rng).unwrap_or(&0);
        Self {
            ready: *[1.0, 0.7, 0.2].choose(rng).unwrap_or(&1.0),
            latency: slowest / 3..=slowest,
            flow: *[1.0, 0.8, 0.3].choose(rng).unwrap_or(&1.0),
        }
    }
}

/// Which access is answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuse {
    DescRead,
    EventRead,
    UsedWrite,
    EventWrite,
}

struct Burst {
    addr: u64,
    beat_bytes: usize,
    beats: usize,
    sent: usize,
    due: u64,
    refused_beat: Option<usize>,
    /// What memory held when the request came; else each descriptor is read when it is sent.
    early: Option<Vec<u8>>,
    /// The descriptor being sent: its 16 bytes are read at once, as the root complex does.
    held: [u8; 16],
}

struct Write {
    word: WordWrite,
    apply_at: u64,
    done_at: u64,
    applied: bool,
    refused: bool,
}

/// What happened on the ports in one cycle, for the scoreboard.
#[derive(Debug, Default)]
pub struct Seen {
    /// A used descriptor was handed to the write channel.
    pub used: Option<WordWrite>,
    /// The event structure was asked for.
    pub event_asked: bool,
}

/// The memory side of the block.
pub struct Axi {
    pub memory: Flat,
    timing: Timing,
    bus: usize,
    desc: VecDeque<Burst>,
    event: VecDeque<Burst>,
    writes: VecDeque<Write>,
    /// Access to refuse, and how many of its kind pass before.
    refuse: Option<(Refuse, u32)>,
    /// Event word that the block looks at in this cycle, and whether it came with an error. It takes
    /// what is on the bus into a register first.
    pub event_data: Option<(u32, bool)>,
    /// The same of an error response.
    pub error: bool,
    /// Both as they are on the bus in this cycle.
    on_bus: (Option<(u32, bool)>, bool),
    /// A used descriptor is acknowledged in this cycle.
    pub used_done: bool,
    /// Descriptor bursts up to the ring's end that were answered.
    pub laps: u32,
    ring: ring::RingConfig,
    /// Indirect tables that the device may read: chain, first byte, byte behind.
    pub tables: Vec<(u32, u64, u64)>,
}

impl Axi {
    pub fn new(
        ring: ring::RingConfig,
        base: u64,
        bus: usize,
        timing: Timing,
        refuse: Option<(Refuse, u32)>,
    ) -> Self {
        Self {
            memory: Flat {
                base,
                bytes: vec![0; MEMORY_BYTES],
            },
            timing,
            bus,
            desc: VecDeque::new(),
            event: VecDeque::new(),
            writes: VecDeque::new(),
            refuse,
            event_data: None,
            on_bus: (None, false),
            error: false,
            used_done: false,
            laps: 0,
            ring,
            tables: Vec::new(),
        }
    }

    /// Nothing is waiting for an answer.
    pub fn is_idle(&self) -> bool {
        self.desc.is_empty() && self.event.is_empty() && self.writes.is_empty()
    }

    /// Drives the inputs of this cycle.
    pub fn drive(&mut self, now: u64, inputs: &mut [u64], rng: &mut ChaCha8Rng) {
        for port in [p::DESC_AR_READY_I, p::EVENT_AR_READY_I, p::WRITE_READY_I] {
            inputs[port] = u64::from(rng.random_bool(self.timing.ready));
        }
        self.drive_read(now, inputs, rng);
        self.drive_response(now, inputs, rng);
    }

    fn drive_read(&mut self, now: u64, inputs: &mut [u64], rng: &mut ChaCha8Rng) {
        let due = |queue: &VecDeque<Burst>| queue.front().is_some_and(|b| b.due <= now);
        let (desc, event) = (due(&self.desc), due(&self.event));
        // Different IDs: in any order, beats mixed.
        let take_event = event && (!desc || rng.random_bool(0.5));
        let valid = (desc || event) && rng.random_bool(self.timing.flow);
        inputs[p::DESC_R_VALID_I] = u64::from(valid && !take_event);
        inputs[p::EVENT_R_VALID_I] = u64::from(valid && take_event);
        inputs[p::R_ERROR_I] = 0;
        inputs[p::R_LAST_I] = u64::from(rng.random_bool(0.5));
        // What is not asked for on the bus is anything.
        inputs[p::R_DATA_I..]
            .iter_mut()
            .for_each(|word| *word = rng.random());
        (self.event_data, self.error) = std::mem::take(&mut self.on_bus);
        if !valid {
            return;
        }
        let queue = if take_event {
            &mut self.event
        } else {
            &mut self.desc
        };
        let Some(burst) = queue.front_mut() else {
            return;
        };
        let offset = burst.sent * burst.beat_bytes;
        let addr = burst.addr + offset as u64;
        let mut beat = [0; 16];
        let beat = &mut beat[..burst.beat_bytes];
        match &burst.early {
            Some(bytes) => beat.copy_from_slice(&bytes[offset..offset + beat.len()]),
            None => {
                let half = offset % 16;
                if half == 0 {
                    let whole = 16.min(burst.beats * burst.beat_bytes - offset);
                    ring::Memory::read(&self.memory, addr, &mut burst.held[..whole]);
                }
                beat.copy_from_slice(&burst.held[half..half + beat.len()]);
            }
        }
        for (index, byte) in beat.iter().enumerate() {
            let lane = (addr as usize + index) % self.bus;
            let word = &mut inputs[p::R_DATA_I + lane / 8];
            *word = *word & !(0xff << (lane % 8 * 8)) | u64::from(*byte) << (lane % 8 * 8);
        }
        let refused = burst.refused_beat == Some(burst.sent);
        self.on_bus.1 = refused;
        inputs[p::R_ERROR_I] = u64::from(refused);
        if take_event {
            let word = u32::from_le_bytes([beat[0], beat[1], beat[2], beat[3]]);
            self.on_bus.0 = Some((word, refused));
        }
        burst.sent += 1;
        let last = burst.sent == burst.beats;
        inputs[p::R_LAST_I] = u64::from(last);
        if last {
            let end = burst.addr + (burst.beats * burst.beat_bytes) as u64;
            let ring_end = self.ring.desc + u64::from(self.ring.size) * ring::DESC_BYTES;
            self.laps += u32::from(!take_event && end == ring_end);
            queue.pop_front();
        }
    }

    fn drive_response(&mut self, now: u64, inputs: &mut [u64], rng: &mut ChaCha8Rng) {
        // In order, as AXI demands for one ID.
        if let Some(write) = self.writes.iter_mut().find(|w| !w.applied)
            && write.apply_at <= now
        {
            write.applied = true;
            if !write.refused {
                let lane = write.word.addr as usize % 8;
                let bytes = write.word.data.to_le_bytes();
                let len = 1 << write.word.size;
                ring::Memory::write(&mut self.memory, write.word.addr, &bytes[lane..lane + len]);
            }
        }
        let done = self
            .writes
            .front()
            .is_some_and(|w| w.applied && w.done_at <= now)
            && rng.random_bool(self.timing.flow);
        inputs[p::WRITE_DONE_I] = u64::from(done);
        inputs[p::WRITE_ERROR_I] = u64::from(rng.random_bool(0.5)); // counts with done only
        self.used_done = false;
        if done && let Some(write) = self.writes.pop_front() {
            inputs[p::WRITE_ERROR_I] = u64::from(write.refused);
            self.on_bus.1 |= write.refused;
            self.used_done = write.word.size == 3;
        }
    }

    fn refused(&mut self, kind: Refuse) -> bool {
        match &mut self.refuse {
            Some((wanted, 0)) if *wanted == kind => {
                self.refuse = None;
                true
            }
            Some((wanted, after)) if *wanted == kind => {
                *after -= 1;
                false
            }
            _ => false,
        }
    }

    /// Takes the requests of this cycle.
    pub fn accept(
        &mut self,
        now: u64,
        inputs: &[u64],
        outputs: &[u64],
        rng: &mut ChaCha8Rng,
    ) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let fire = |valid: usize, ready: usize| outputs[valid] == 1 && inputs[ready] == 1;
        if fire(p::DESC_AR_VALID_O, p::DESC_AR_READY_I) {
            self.accept_desc(now, outputs, rng)?;
        }
        if fire(p::EVENT_AR_VALID_O, p::EVENT_AR_READY_I) {
            let addr = outputs[p::EVENT_AR_ADDR_O];
            if addr != self.ring.driver {
                return Err(format!(
                    "event read at {addr:#x}, not {:#x}",
                    self.ring.driver
                ));
            }
            let refused = self.refused(Refuse::EventRead);
            let burst = self.burst(now, addr, 4, 1, refused, rng);
            self.event.push_back(burst);
            seen.event_asked = true;
        }
        if fire(p::WRITE_VALID_O, p::WRITE_READY_I) {
            let word = pins::write(outputs);
            if word.size == 3 {
                seen.used = Some(word);
            } else if word.size != 2 || word.addr != self.ring.device {
                return Err(format!(
                    "stray write of 2^{} bytes to {:#x}",
                    word.size, word.addr
                ));
            }
            let kind = if word.size == 3 {
                Refuse::UsedWrite
            } else {
                Refuse::EventWrite
            };
            let apply_at = now + 1 + rng.random_range(self.timing.latency.clone()) / 2;
            let done_at = apply_at + rng.random_range(self.timing.latency.clone()) / 2;
            let refused = self.refused(kind);
            self.writes.push_back(Write {
                word,
                apply_at,
                done_at,
                applied: false,
                refused,
            });
        }
        Ok(seen)
    }

    fn accept_desc(
        &mut self,
        now: u64,
        outputs: &[u64],
        rng: &mut ChaCha8Rng,
    ) -> Result<(), String> {
        let (addr, beats) = (
            outputs[p::DESC_AR_ADDR_O],
            outputs[p::DESC_AR_LEN_O] as usize + 1,
        );
        let beat_bytes = self.bus.min(16);
        let end = addr + (beats * beat_bytes) as u64;
        let ring_end = self.ring.desc + u64::from(self.ring.size) * ring::DESC_BYTES;
        let in_ring = addr >= self.ring.desc && end <= ring_end;
        let mut tables = self.tables.iter();
        let in_table = tables.any(|(_, from, to)| addr >= from & !15 && end < to + 16);
        if !(in_ring || in_table) || (addr | end) & 15 != 0 {
            return Err(format!(
                "descriptor read {addr:#x}..{end:#x} leaves the ring and its tables"
            ));
        }
        if addr / PAGE != (end - 1) / PAGE {
            return Err(format!("descriptor read {addr:#x}..{end:#x} crosses 4 KiB"));
        }
        let refused = self.refused(Refuse::DescRead);
        let burst = self.burst(now, addr, beat_bytes, beats, refused, rng);
        self.desc.push_back(burst);
        Ok(())
    }

    fn burst(
        &self,
        now: u64,
        addr: u64,
        beat_bytes: usize,
        beats: usize,
        refused: bool,
        rng: &mut ChaCha8Rng,
    ) -> Burst {
        let early = rng.random_bool(0.5).then(|| {
            let mut bytes = vec![0; beat_bytes * beats];
            ring::Memory::read(&self.memory, addr, &mut bytes);
            bytes
        });
        Burst {
            addr,
            beat_bytes,
            beats,
            sent: 0,
            due: now + 1 + rng.random_range(self.timing.latency.clone()),
            refused_beat: refused.then(|| rng.random_range(0..beats)),
            early,
            held: [0; 16],
        }
    }
}
