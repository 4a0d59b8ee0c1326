//! One session: everything around the block, cycle by cycle.

use super::{
    PATIENCE, Scenario, Variant,
    memory::Memory,
    pins,
    queue::{Drop, Frame, Queue},
};
use crate::{
    Report,
    block::{Block, Stopped, rx_dma as p},
};
use rand::{RngExt, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Cycles in which something must happen while everything is there.
const DEADLINE: u64 = 20_000;
/// Cycles after which a disabled queue gets the responses that were held back.
const GRACE: u64 = 4000;
/// Cycles of silence after which a queue may be set up anew, as in `common_cfg`.
const QUIET: u32 = 4;

pub enum Failure {
    Stopped(Stopped),
    Mismatch(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Mismatch(message)
    }
}

/// A burst whose command was taken.
struct Burst {
    pair: usize,
    addr: u64,
    beats: u32,
    touched: Vec<u64>,
}

/// Life of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    On,
    /// Disabled at this cycle; quiet for so many.
    Off {
        since: u64,
        quiet: u32,
    },
    /// Set up again at this cycle.
    Resting {
        until: u64,
    },
}

pub struct Bench<'a> {
    dut: &'a mut Block,
    variant: Variant,
    scenario: Scenario,
    rng: &'a mut ChaCha8Rng,
    pub report: Report,
    inputs: Vec<u64>,
    outputs: Vec<u64>,
    before: Option<(Vec<u64>, Vec<u64>)>,
    now: u64,
    memory: Memory,
    queues: Vec<Queue>,
    life: Vec<Life>,
    visible: Vec<usize>,
    sink_busy: Vec<bool>,
    /// Frame on the port, its queue, and what it holds.
    offered: Option<(usize, Frame)>,
    words: VecDeque<u64>,
    /// Words at the front of `words` that belong to frames that were taken.
    open_words: usize,
    frames: u64,
    last: Option<(usize, u64)>,
    burst: Option<Burst>,
    responses: Vec<VecDeque<(u64, Vec<u64>)>>,
    bursts: Vec<u64>,
    taken: u64,
    drops: [u64; 3],
    disabled: u64,
    csum: [u64; 2],
    stalled: u64,
    several_since: u64,
    progress: u64,
    stopping: bool,
}

impl<'a> Bench<'a> {
    pub fn new(
        dut: &'a mut Block,
        variant: Variant,
        scenario: Scenario,
        rng: &'a mut ChaCha8Rng,
    ) -> Self {
        let n = variant.pairs;
        Self {
            dut,
            scenario,
            rng,
            report: Report::default(),
            inputs: vec![0; variant.in_words],
            outputs: vec![0; variant.out_words],
            before: None,
            now: 0,
            memory: Memory::default(),
            queues: (0..n).map(|_| Queue::default()).collect(),
            life: vec![Life::Resting { until: 0 }; n],
            visible: vec![0; n],
            sink_busy: vec![false; n],
            offered: None,
            words: VecDeque::new(),
            open_words: 0,
            frames: 0,
            last: None,
            burst: None,
            responses: (0..n).map(|_| VecDeque::new()).collect(),
            bursts: vec![0; n],
            taken: 0,
            drops: [0; 3],
            disabled: 0,
            csum: [0; 2],
            stalled: 0,
            several_since: 0,
            progress: 0,
            stopping: false,
            variant,
        }
    }

    pub fn run(&mut self) -> Result<(), Failure> {
        loop {
            self.cycle()?;
            let sent = self.frames >= u64::from(self.scenario.frames) && self.offered.is_none();
            let waiting = self.queues.iter().any(|q| !q.open.is_empty()) || !sent;
            let late = self.now > self.progress + DEADLINE;
            if late && waiting && self.scenario.stuck.is_none() && self.scenario.starved.is_none() {
                return Err(format!("nothing happens: {} words wait", self.words.len()).into());
            }
            if !waiting || late {
                break;
            }
        }
        // The end: all queues are disabled, and what is left is dropped.
        self.stopping = true;
        self.scenario.data = 1.0;
        for pair in 0..self.variant.pairs {
            self.disable(pair);
        }
        let deadline = self.now + 4 * DEADLINE;
        while self
            .life
            .iter()
            .any(|life| !matches!(life, Life::Resting { .. }))
            || self.offered.is_some()
            || !self.words.is_empty()
            || self.outputs[p::BUSY_O] == 1
        {
            self.cycle()?;
            if self.now > deadline {
                return Err(format!("not quiet after the end: {:?}", self.life).into());
            }
        }
        self.account()
    }

    /// Every frame is somewhere.
    fn account(&mut self) -> Result<(), Failure> {
        let delivered: u64 = self.queues.iter().map(|q| q.delivered).sum();
        for (what, n) in [
            ("delivered", delivered),
            ("truncated", self.drops[0]),
            ("no buffer", self.drops[1]),
            ("disabled", self.drops[2]),
        ] {
            self.report.add(what, n);
        }
        self.report.cycles += self.now;
        let open: u64 = self.queues.iter().map(|q| q.open.len() as u64).sum();
        if self.drops[2] != self.disabled + open {
            return Err(format!(
                "{} frames counted as disabled, expected {}",
                self.drops[2],
                self.disabled + open
            )
            .into());
        }
        if self.taken != delivered + self.drops.iter().sum::<u64>() {
            let message = format!(
                "{} frames: {delivered} delivered, {:?}",
                self.taken, self.drops
            );
            return Err(message.into());
        }
        if self.csum[0] > self.csum[1] {
            return Err(format!("checksums counted: {:?}", self.csum).into());
        }
        Ok(())
    }

    fn several(&self) -> bool {
        self.life.iter().filter(|life| **life == Life::On).count() > 1
    }

    fn disable(&mut self, pair: usize) {
        if self.life[pair] == Life::On {
            self.life[pair] = Life::Off {
                since: self.now,
                quiet: 0,
            };
            self.queues[pair].enabled = false;
            self.report.add("disables", 1);
        }
    }

    fn next_frame(&mut self) {
        let len = self.rng.random_range(14..=self.scenario.longest);
        // A queue that does not exist cannot be chosen; one that is disabled can.
        let pair = self.rng.random_range(0..self.variant.pairs);
        let bytes: Vec<u8> = (0..len).map(|_| self.rng.random()).collect();
        for chunk in bytes.chunks(8) {
            let mut word: [u8; 8] = self.rng.random();
            word[..chunk.len()].copy_from_slice(chunk);
            self.words.push_back(u64::from_le_bytes(word));
        }
        let frame = Frame {
            number: self.frames,
            bytes,
            hdr: self.rng.random(),
        };
        self.frames += 1;
        self.offered = Some((pair, frame));
    }

    fn drive(&mut self) {
        let chance = |rng: &mut ChaCha8Rng, p: f64| u64::from(rng.random_bool(p));
        if self.offered.is_none()
            && self.frames < u64::from(self.scenario.frames)
            && !self.stopping
            && self.rng.random_bool(self.scenario.offer)
        {
            self.next_frame();
        }
        if self.scenario.disable > 0.0 && self.rng.random_bool(self.scenario.disable) {
            let pair = self.rng.random_range(0..self.variant.pairs);
            self.disable(pair);
        }
        let i = &mut self.inputs;
        i[p::MERGEABLE_I] = self.scenario.mergeable.into();
        i[p::HASH_REPORT_I] = self.scenario.hash_report.into();
        i[p::FRAME_VALID_I] = self.offered.is_some().into();
        if let Some((pair, frame)) = &self.offered {
            pins::set_frame(i, frame.bytes.len(), *pair, frame.hdr);
        }
        i[p::DATA_VALID_I] =
            u64::from(!self.words.is_empty()) & chance(self.rng, self.scenario.data);
        i[p::DATA_I] = self.words.front().copied().unwrap_or(0);
        for port in [p::ENABLE_I, p::DESC_VALID_I, p::USED_READY_I] {
            i[port] = 0;
        }
        for pair in 0..self.variant.pairs {
            let queue = &mut self.queues[pair];
            let bit = 1 << pair;
            i[p::SIZE_I + pair] = queue.size.into();
            if !queue.enabled {
                i[p::USED_READY_I] |= bit;
                continue;
            }
            i[p::ENABLE_I] |= bit;
            if self.scenario.starved != Some(pair) && self.rng.random_bool(self.scenario.refill) {
                queue.refill(pair, &self.scenario, &mut self.memory, self.rng);
            }
            if self.rng.random_bool(self.scenario.refill.max(0.05)) {
                let more = self.rng.random_range(1..=16);
                self.visible[pair] = (self.visible[pair] + more).min(queue.offered.len());
            }
            if self.visible[pair] > 0 {
                i[p::DESC_VALID_I] |= bit;
                pins::set_desc(i, &self.variant, pair, queue.offered[0]);
            }
            if self.sink_busy[pair] && self.rng.random_bool(self.scenario.used) {
                self.sink_busy[pair] = false;
            }
            if !self.sink_busy[pair] {
                i[p::USED_READY_I] |= bit;
            }
        }
        i[p::AW_READY_I] = u64::from(self.burst.is_none()) & chance(self.rng, self.scenario.ready);
        i[p::W_READY_I] = u64::from(self.burst.is_some()) & chance(self.rng, self.scenario.ready);

        i[p::B_VALID_I] = 0;
        i[p::B_ERROR_I] = self.rng.random_range(0..2); // counts with a response only
        let late = |pair: usize| matches!(self.life[pair], Life::Off { since, .. } if self.now > since + GRACE);
        let stuck = |pair: usize| self.scenario.stuck == Some(pair) && self.bursts[pair] > 20;
        let due = |&pair: &usize| {
            (!stuck(pair) || late(pair))
                && self.responses[pair]
                    .front()
                    .is_some_and(|r| r.0 <= self.now)
        };
        if let Some(pair) = (0..self.variant.pairs).filter(due).choose(self.rng)
            && let Some((_, touched)) = self.responses[pair].pop_front()
        {
            self.report.add("responses held back", stuck(pair).into());
            let error = self.rng.random_bool(self.scenario.error);
            i[p::B_VALID_I] = 1 << pair;
            i[p::B_ERROR_I] = error.into();
            touched
                .iter()
                .for_each(|base| self.memory.pending(*base, -1));
        }
    }

    fn cycle(&mut self) -> Result<(), Failure> {
        self.drive();
        let result = self.dut.step(&self.inputs, &mut self.outputs);
        result.map_err(Failure::Stopped)?;
        self.check_sleep()?;
        self.check_stall()?;
        self.accept_frame()?;
        self.check_stats()?;
        self.accept_used()?;
        self.accept_write()?;
        self.run_lives()?;
        self.now += 1;
        Ok(())
    }

    fn out(&self, port: usize) -> u64 {
        self.outputs[port]
    }

    /// busy_o = 0: nothing changes until an input does.
    fn check_sleep(&mut self) -> Result<(), Failure> {
        let b = self.inputs[p::B_VALID_I] != 0;
        if let Some((inputs, outputs)) = self.before.take()
            && inputs == self.inputs
            && outputs != self.outputs
        {
            return Err(
                format!("changed without busy_o: {outputs:x?}, {:x?}", self.outputs).into(),
            );
        }
        if self.out(p::BUSY_O) == 0 && !b {
            self.report.add("cycles asleep", 1);
            // What counts with a valid only must not keep the inputs from being the same.
            self.before = Some((self.inputs.clone(), self.outputs.clone()));
        }
        Ok(())
    }

    /// A starved or stuck queue blocks no other: while frames wait, something happens.
    fn check_stall(&mut self) -> Result<(), Failure> {
        if !self.several() {
            self.several_since = self.now;
        }
        let moves = self.out(p::FRAME_READY_O) == 1
            || (self.out(p::DATA_READY_O) & self.inputs[p::DATA_VALID_I]) == 1
            || self.out(p::DESC_READY_O) & self.inputs[p::DESC_VALID_I] != 0
            || (self.out(p::W_VALID_O) & self.inputs[p::W_READY_I]) == 1
            || self.burst.is_some()
            || self.out(p::AW_VALID_O) == 1;
        if moves {
            self.progress = self.now;
        }
        self.stalled = if moves || self.offered.is_none() || self.now < self.several_since + 10 {
            0
        } else {
            self.stalled + 1
        };
        if self.stalled > PATIENCE + 100 {
            return Err(format!("a frame is held up for {} cycles", self.stalled).into());
        }
        Ok(())
    }

    fn accept_frame(&mut self) -> Result<(), Failure> {
        if self.out(p::DATA_READY_O) == 1 && self.inputs[p::DATA_VALID_I] == 1 {
            if self.open_words == 0 {
                return Err("a word of a frame that was not taken".to_string().into());
            }
            self.open_words -= 1;
            self.words.pop_front();
        }
        let fire = self.inputs[p::FRAME_VALID_I] == 1 && self.out(p::FRAME_READY_O) == 1;
        if fire && let Some((pair, frame)) = self.offered.take() {
            self.open_words += frame.bytes.len().div_ceil(8);
            self.last = Some((pair, frame.number));
            self.csum[1] += frame.hdr[0] >> 1 & 1;
            self.queues[pair].open.push_back(frame);
            self.taken += 1;
        }
        let taken = self.out(p::DESC_READY_O) & self.inputs[p::DESC_VALID_I];
        for pair in (0..self.variant.pairs).filter(|pair| taken >> pair & 1 == 1) {
            let number = self.last.map_or(u64::MAX, |(_, number)| number);
            self.queues[pair].take_desc(number);
            self.visible[pair] -= 1;
        }
        Ok(())
    }

    fn check_stats(&mut self) -> Result<(), Failure> {
        self.csum[0] += self.out(p::STAT_CSUM_O);
        let hdr = self.hdr_len();
        if self.out(p::STAT_TRUNCATED_O) == 1 {
            let (pair, _) = self.last.ok_or("truncated: no frame".to_string())?;
            self.queues[pair].truncated(self.scenario.mergeable, hdr)?;
            self.drops[Drop::Truncated as usize] += 1;
        }
        if self.out(p::STAT_NO_BUFFER_O) == 1 {
            let (pair, _) = self.last.ok_or("no buffer: no frame".to_string())?;
            // The block sees one cycle later that it is the only one.
            if self.now > self.several_since && self.now < self.several_since + PATIENCE {
                return Err("a frame was not waited with".to_string().into());
            }
            // Of chains that wait to go back: the block holds at least that many.
            let full = self.queues[pair].held() > 25;
            if self.inputs[p::DESC_VALID_I] >> pair & 1 == 1 && !full {
                return Err("dropped though there is a buffer".to_string().into());
            }
            self.queues[pair].open.pop_back();
            self.drops[Drop::NoBuffer as usize] += 1;
        }
        self.drops[Drop::Disabled as usize] += self.out(p::STAT_DISABLED_O);
        let errors = self.inputs[p::B_VALID_I] * self.inputs[p::B_ERROR_I];
        if self.out(p::ERROR_O) != errors {
            return Err(
                format!("error_o {:#x}, expected {errors:#x}", self.out(p::ERROR_O)).into(),
            );
        }
        for pair in (0..self.variant.pairs).filter(|pair| errors >> pair & 1 == 1) {
            self.report.add("errors", 1);
            self.disable(pair);
        }
        Ok(())
    }

    fn hdr_len(&self) -> usize {
        if self.scenario.hash_report { 20 } else { 12 }
    }

    fn accept_used(&mut self) -> Result<(), Failure> {
        let valid = self.out(p::USED_VALID_O);
        if valid.count_ones() > 1 || valid & !self.inputs[p::ENABLE_I] != 0 {
            return Err(format!("used_valid_o {valid:#x}").into());
        }
        let fire = valid & self.inputs[p::USED_READY_I];
        if fire == 0 {
            return Ok(());
        }
        let pair = fire.trailing_zeros() as usize;
        let used = pins::used(&self.outputs);
        let hdr = self.hdr_len();
        let queue = &mut self.queues[pair];
        let voided = queue.returned(used, self.scenario.mergeable, hdr, &mut self.memory)?;
        self.report.add("chains back", 1);
        self.report.add("void chains", voided.into());
        self.report.add("joined chains", used.more.into());
        self.sink_busy[pair] = true;
        self.progress = self.now;
        Ok(())
    }

    fn accept_write(&mut self) -> Result<(), Failure> {
        let bus = self.variant.bus as u64;
        if let Some(mut burst) = self.burst.take() {
            if self.out(p::W_VALID_O) == 0 {
                return Err("a burst was offered before all its beats"
                    .to_string()
                    .into());
            }
            if self.inputs[p::W_READY_I] == 0 {
                self.burst = Some(burst);
                return Ok(());
            }
            let base = burst.addr & !(bus - 1);
            let strobes = self.out(p::W_STRB_O);
            for lane in (0..bus).filter(|lane| strobes >> lane & 1 == 1) {
                let at = base + lane;
                let word = self.outputs[p::W_DATA_O + lane as usize / 8];
                let byte = (word >> (lane % 8 * 8)) as u8;
                if at < burst.addr {
                    return Err(format!("byte {at:#x} before the burst's start").into());
                }
                let region = self.memory.write(burst.pair, at, byte)?;
                if !burst.touched.contains(&region) {
                    self.memory.pending(region, 1);
                    burst.touched.push(region);
                }
            }
            burst.addr = base + bus;
            burst.beats -= 1;
            if burst.beats > 0 {
                self.burst = Some(burst);
            } else {
                let latency = self.rng.random_range(0..=self.scenario.latency);
                let queue = &mut self.responses[burst.pair];
                queue.push_back((self.now + latency, burst.touched));
                self.bursts[burst.pair] += 1;
            }
            return Ok(());
        }
        if self.out(p::AW_VALID_O) == 1 && self.inputs[p::AW_READY_I] == 1 {
            let (addr, beats) = (self.out(p::AW_ADDR_O), self.out(p::AW_LEN_O) as u32 + 1);
            let end = (addr & !(bus - 1)) + u64::from(beats) * bus;
            if addr / 4096 != (end - 1) / 4096 {
                return Err(format!("burst at {addr:#x} of {beats} beats crosses 4 KiB").into());
            }
            let pair = self.out(p::AW_PAIR_O) as usize;
            if matches!(self.life[pair], Life::Resting { .. }) {
                return Err(format!("burst for queue {pair}, which is not enabled").into());
            }
            self.burst = Some(Burst {
                pair,
                addr,
                beats,
                touched: vec![],
            });
        }
        Ok(())
    }

    fn run_lives(&mut self) -> Result<(), Failure> {
        for pair in 0..self.variant.pairs {
            match &mut self.life[pair] {
                Life::On => {}
                Life::Off { since, quiet } => {
                    // What the virtqueue held is gone at once.
                    self.queues[pair].offered.clear();
                    self.visible[pair] = 0;
                    let idle = self.outputs[p::IDLE_O] >> pair & 1 == 1;
                    *quiet = if idle { *quiet + 1 } else { 0 };
                    if *quiet >= QUIET {
                        if !self.responses[pair].is_empty() {
                            return Err(format!("queue {pair}: idle, responses are missing").into());
                        }
                        self.memory.forget(pair);
                        let until = self.now + self.rng.random_range(0..300);
                        self.life[pair] = Life::Resting { until };
                    } else if self.now > *since + GRACE + DEADLINE {
                        return Err(format!("queue {pair}: not idle though disabled").into());
                    }
                }
                Life::Resting { until } => {
                    if self.now >= *until && !self.stopping {
                        self.disabled += self.queues[pair].open.len() as u64;
                        let size = self.scenario.size;
                        self.queues[pair].restart(size);
                        self.sink_busy[pair] = false;
                        self.bursts[pair] = 0;
                        self.life[pair] = Life::On;
                    }
                }
            }
        }
        Ok(())
    }
}
