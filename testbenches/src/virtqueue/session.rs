//! One life of a queue: enabled, used, and disabled for one reason or another.

mod driver;

use super::{
    Variant,
    axi::{Axi, MEMORY_BYTES, RING_BYTES, Refuse, Timing},
    pins::{self, Desc, UsedChain},
};
use crate::{
    block::{Block, Stopped, virtqueue_rx as p},
    bundle::WordWrite,
    ring::{self, DESC_F_INDIRECT, DESC_F_WRITE, DriverRing, Prepared, RingConfig},
    testbench::Report,
};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// How a session ends.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// All that was made available is used, then the queue is disabled.
    Drain,
    /// Disabled in this cycle of the session.
    Disable { at: u64 },
    /// Disabled soon after so many reads of the ring's last descriptors: the fetcher's position is
    /// then what it is after a reset.
    DisableAtRingEnd { laps: u32 },
    /// The driver breaks a rule in one descriptor: these flags are flipped in it.
    BadDescriptor { flip: u16 },
    /// A chain of as many descriptors as the ring has that does not end there.
    EndlessChain,
    /// An access is answered with an error, after so many of its kind.
    Refuse(Refuse, u32),
}

impl Ending {
    pub fn fault(rng: &mut ChaCha8Rng, write: bool) -> Self {
        match rng.random_range(0..7) {
            0 => Self::BadDescriptor { flip: DESC_F_WRITE },
            1 => Self::BadDescriptor {
                flip: DESC_F_INDIRECT,
            },
            2 => Self::EndlessChain,
            3 => Self::Refuse(Refuse::DescRead, rng.random_range(0..20)),
            4 => Self::Refuse(Refuse::EventRead, rng.random_range(0..10)),
            // Few used writes are left when transmit chains are merged.
            5 => Self::Refuse(
                Refuse::UsedWrite,
                rng.random_range(0..if write { 40 } else { 8 }),
            ),
            _ => Self::Refuse(Refuse::EventWrite, rng.random_range(0..4)),
        }
    }
}

/// What a session can fail with.
pub enum Failure {
    Stopped(Stopped),
    Mismatch(String),
}

/// Chains of one frame that are being used.
struct Group {
    /// The first, and its position: the driver sees it when all others are there.
    head: (UsedChain, u64),
    written: Vec<WordWrite>,
    closed: bool,
}

/// Cycles after which something that must happen has not: far above any latency of [`Timing`].
const DEADLINE: u64 = 20_000;
/// Cycles that a chain takes in the DMA engine at the most.
const ENGINE_DELAYS: [u64; 3] = [1, 20, 300];

/// The driver's way to learn about used buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// It looks whenever it likes.
    Polling,
    /// Armed for the use of this position, not yet looked again.
    Arming(u64),
    /// Sleeping until an interrupt; since when the position is used, if it is.
    Asleep(u64, Option<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The device reported an error; until this cycle it stays enabled.
    Broken(u64),
    /// Disabled since.
    Disabled(u64),
}

pub struct Session<'a> {
    dut: &'a mut Block,
    rng: &'a mut ChaCha8Rng,
    variant: Variant,
    ending: Ending,
    event_idx: bool,
    in_order: bool,
    /// Probability of an indirect chain, if the feature was negotiated.
    indirect: Option<f64>,
    chains: u32,
    max_chain: u16,
    desc_ready: f64,
    add: f64,
    engine_delay: u64,
    notify_delay: u64,

    inputs: Vec<u64>,
    outputs: [u64; p::OUT_WORDS],
    axi: Axi,
    ring: DriverRing<u32>,
    now: u64,
    phase: Phase,
    last_progress: u64,

    // Driver
    staged: Option<(Prepared, Vec<Desc>)>,
    added: u32,
    unchecked: bool,
    kicks: VecDeque<u64>,
    wait: Wait,
    irqs: VecDeque<u64>,
    armed: VecDeque<(u32, u64)>,
    /// The descriptor that the device must refuse was made available.
    baited: bool,
    last_error: Option<String>,

    // Scoreboard
    expected: VecDeque<Desc>,
    current: Vec<Desc>,
    engine: VecDeque<(UsedChain, u64)>,
    offered: bool,
    returned: VecDeque<UsedChain>,
    group: Option<Group>,
    /// Probability that two chains are one frame.
    join: f64,
    /// Positions whose chains were written, those of an open group included.
    position: u64,
    issued: u64,
    /// Used positions issued when the newest event read was asked for, and when older ones came.
    issued_asked: u64,
    issued_looks: [u64; 2],
    quiet_since: Option<u64>,
    asking: bool,
    report: Report,
}

impl<'a> Session<'a> {
    pub fn new(
        dut: &'a mut Block,
        variant: Variant,
        ending: Ending,
        rng: &'a mut ChaCha8Rng,
    ) -> Self {
        let size = match rng.random_range(0..8) {
            0 => 1,
            1 => 2,
            2 => rng.random_range(3..8),
            3 => *[16, 32, 64, 256].choose(rng).unwrap_or(&16),
            4 => rng.random_range(200..700),
            _ => rng.random_range(8..100),
        };
        // Two event structures in front of the ring, the ring anywhere behind them.
        let base = rng.random::<u64>() & !(MEMORY_BYTES as u64 - 1);
        let slack = (RING_BYTES as u64 - 64) / 16 - u64::from(size);
        let config = RingConfig {
            size,
            desc: base + 64 + 16 * rng.random_range(0..slack),
            driver: base + 4 * rng.random_range(0..8),
            device: base + 32 + 4 * rng.random_range(0..8),
            write: variant.write,
            in_order: rng.random_bool(0.5),
        };
        let refuse = match ending {
            Ending::Refuse(kind, after) => Some((kind, after)),
            _ => None,
        };
        let axi = Axi::new(config, base, variant.bus, Timing::random(rng), refuse);
        let longest = size.min(*[1, 4, 700].choose(rng).unwrap_or(&1));
        let chains = rng.random_range(1..400);
        Self {
            variant,
            ending,
            event_idx: rng.random_bool(0.5),
            in_order: config.in_order,
            indirect: *[None, Some(0.1), Some(0.5), Some(1.0)]
                .choose(rng)
                .unwrap_or(&None),
            chains: if longest > 100 {
                chains / 20 + 1
            } else {
                chains
            },
            max_chain: longest,
            desc_ready: *[1.0, 0.5, 0.05].choose(rng).unwrap_or(&1.0),
            add: *[1.0, 0.3, 0.02].choose(rng).unwrap_or(&1.0),
            engine_delay: *ENGINE_DELAYS.choose(rng).unwrap_or(&1),
            notify_delay: *[1, 30, 200].choose(rng).unwrap_or(&1),
            inputs: vec![0; p::R_DATA_I + variant.bus.div_ceil(8)],
            outputs: p::outputs(),
            axi,
            ring: DriverRing::new(config, rng.random()),
            now: 0,
            phase: Phase::Running,
            last_progress: 0,
            staged: None,
            added: 0,
            unchecked: false,
            kicks: VecDeque::new(),
            wait: Wait::Polling,
            irqs: VecDeque::new(),
            armed: VecDeque::new(),
            baited: false,
            last_error: None,
            expected: VecDeque::new(),
            current: Vec::new(),
            engine: VecDeque::new(),
            offered: false,
            returned: VecDeque::new(),
            group: None,
            join: *[0.0, 0.2, 0.8].choose(rng).unwrap_or(&0.0),
            position: 0,
            issued: 0,
            issued_asked: 0,
            issued_looks: [0; 2],
            quiet_since: None,
            asking: false,
            report: Report::default(),
            dut,
            rng,
        }
    }

    /// For messages.
    pub fn describe(&self) -> String {
        format!(
            "size {}, event_idx {}, in_order {}, indirect {:?}, chains up to {}, {:?}, session cycle {}",
            self.ring.config().size,
            self.event_idx,
            self.in_order,
            self.indirect,
            self.max_chain,
            self.ending,
            self.now
        )
    }

    pub fn into_report(self) -> Report {
        self.report
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Result<(), Failure> {
        while !self.cycle()? {}
        self.report.cycles += self.now;
        self.report.add("sessions", 1);
        Ok(())
    }

    fn enabled(&self) -> bool {
        !matches!(self.phase, Phase::Disabled(_))
    }

    fn cycle(&mut self) -> Result<bool, Failure> {
        self.drive();
        self.dut
            .step(&self.inputs, &mut self.outputs)
            .map_err(Failure::Stopped)?;
        let finished = self.check().map_err(Failure::Mismatch)?;
        self.now += 1;
        Ok(finished)
    }

    // ---- inputs -----------------------------------------------------------------------------------

    fn drive(&mut self) {
        let enabled = self.enabled();
        if enabled {
            self.make_available();
            self.collect_used();
        }
        pins::set_config(&mut self.inputs, self.ring.config(), enabled);
        self.inputs[p::EVENT_IDX_I] = u64::from(self.event_idx);
        self.inputs[p::IN_ORDER_I] = u64::from(self.in_order);
        self.inputs[p::INDIRECT_I] = u64::from(self.indirect.is_some());
        self.inputs[p::KICK_I] = 0;
        if self.kicks.front().is_some_and(|at| *at <= self.now) {
            self.kicks.pop_front();
            self.inputs[p::KICK_I] = 1;
            self.report.add("kicks", 1);
        }
        self.inputs[p::DESC_READY_I] = u64::from(self.rng.random_bool(self.desc_ready));
        if let Some((chain, due)) = self.engine.front() {
            self.offered |= *due <= self.now;
            self.inputs[p::USED_I..p::USED_I + 2].copy_from_slice(&chain.words());
        } else {
            self.inputs[p::USED_I] = self.rng.random();
            self.inputs[p::USED_I + 1] = self.rng.random_range(0..2);
        }
        self.inputs[p::USED_VALID_I] = u64::from(self.offered);
        self.axi.drive(self.now, &mut self.inputs, self.rng);
    }

    // ---- outputs ----------------------------------------------------------------------------------

    fn check(&mut self) -> Result<bool, String> {
        if let Some(error) = self.last_error.take() {
            return Err(error);
        }
        let seen = self
            .axi
            .accept(self.now, &self.inputs, &self.outputs, self.rng)?;
        if seen.event_asked {
            self.issued_asked = self.issued;
        }
        self.check_descriptors()?;
        if self.offered && self.outputs[p::USED_READY_O] == 1 {
            self.offered = false;
            if let Some((chain, _)) = self.engine.pop_front()
                && self.enabled()
            {
                self.returned.push_back(chain);
            }
        }
        if let Some(write) = seen.used {
            self.check_used(write)?;
        }
        self.check_irq()?;
        self.check_quiet()?;
        let result = self.check_phase();
        // A request that is not taken stays.
        self.asking = self.outputs[p::DESC_AR_VALID_O] == 1 && self.inputs[p::DESC_AR_READY_I] == 0;
        result
    }

    fn check_descriptors(&mut self) -> Result<(), String> {
        if self.outputs[p::DESC_VALID_O] == 0 || self.inputs[p::DESC_READY_I] == 0 {
            return Ok(());
        }
        let mut got = pins::desc(&self.outputs);
        if !self.enabled() {
            // What the queue held when it was disabled may be seen in that cycle.
            return Ok(());
        }
        let Some(wanted) = self.expected.pop_front() else {
            return Err(format!("{got:x?} was not made available"));
        };
        if got.next {
            got.id = wanted.id;
        }
        if got != wanted {
            return Err(format!("descriptor {got:x?}, expected {wanted:x?}"));
        }
        self.last_progress = self.now;
        self.current.push(got);
        if !got.next {
            let room: u64 = self.current.iter().map(|d| u64::from(d.len)).sum();
            let len = if self.variant.write {
                self.rng.random_range(0..=room.min(u64::from(u32::MAX))) as u32
            } else {
                0
            };
            let ndesc = self.current.iter().filter(|d| !d.inner).count() as u16;
            let delay = self.rng.random_range(1..=self.engine_delay);
            // A chain that is not offered yet may turn out to be one frame with this one.
            let waiting = self.engine.len() > usize::from(self.offered);
            if self.variant.write
                && waiting
                && self.rng.random_bool(self.join)
                && let Some((before, _)) = self.engine.back_mut()
            {
                before.more = true;
            }
            self.engine.push_back((
                UsedChain {
                    id: got.id,
                    len,
                    ndesc,
                    more: false,
                },
                self.now + delay,
            ));
            self.current.clear();
        }
        Ok(())
    }

    /// A used descriptor on its way to memory: the oldest returned chain's, or a batch of them, or one
    /// of a frame of several, whose first comes last (5.1.6.4.1).
    fn check_used(&mut self, write: WordWrite) -> Result<(), String> {
        if self.group.is_none() && self.returned.front().is_some_and(|chain| chain.more) {
            let head = self.returned.pop_front();
            self.group = head.map(|chain| Group {
                head: (chain, self.position),
                written: Vec::new(),
                closed: false,
            });
            self.position += head.map_or(0, |chain| u64::from(chain.ndesc));
        }
        match self.group.take() {
            Some(group) if group.closed => {
                self.report.add("joined chains", group.written.len() as u64);
                for other in &group.written {
                    let mut bytes = [0; 8];
                    ring::Memory::read(&self.axi.memory, other.addr, &mut bytes);
                    if u64::from_le_bytes(bytes) != other.data {
                        return Err(format!("the first of a frame before {other:x?}"));
                    }
                }
                self.expect_used(write, group.head.0, group.head.1)?;
                self.issued = self.position;
            }
            Some(mut group) => {
                let chain = self.returned.pop_front();
                let chain = chain.ok_or("used: the frame's next chain was not returned")?;
                self.expect_used(write, chain, self.position)?;
                self.position += u64::from(chain.ndesc);
                group.written.push(write);
                group.closed = !chain.more;
                self.group = Some(group);
            }
            None => {
                let id = (write.data >> 32) as u16;
                let batch = match self.returned.iter().position(|c| c.id == id) {
                    Some(older) if older == 0 || (self.in_order && !self.variant.write) => older,
                    other => {
                        return Err(format!(
                            "used id {id:#06x}: place {other:?} among the returned"
                        ));
                    }
                };
                if batch != 0 {
                    self.report.add("used descriptors saved", batch as u64);
                }
                let (mut last, at) = (None, self.position);
                for chain in self.returned.drain(..=batch) {
                    last = Some(chain);
                    self.position += u64::from(chain.ndesc);
                }
                if let Some(chain) = last {
                    self.expect_used(write, chain, at)?;
                }
                self.issued = self.position;
            }
        }
        self.last_progress = self.now;
        Ok(())
    }

    /// `write` must tell of `chain` at the free-running `position`.
    fn expect_used(&self, write: WordWrite, chain: UsedChain, position: u64) -> Result<(), String> {
        let ring = self.ring.config();
        let size = u64::from(ring.size);
        let direction = if self.variant.write { DESC_F_WRITE } else { 0 };
        let flags = u64::from(direction)
            | if (position / size).is_multiple_of(2) {
                0x8080
            } else {
                0
            };
        let expected = WordWrite {
            addr: ring.desc + 16 * (position % size) + 8,
            size: 3,
            data: flags << 48 | u64::from(chain.id) << 32 | u64::from(chain.len),
        };
        if write != expected {
            return Err(format!(
                "used descriptor {write:x?}, expected {expected:x?}"
            ));
        }
        Ok(())
    }

    /// The interrupt belongs to the event word that is on the bus in this very cycle.
    fn check_irq(&mut self) -> Result<(), String> {
        let irq = self.outputs[p::IRQ_O] == 1;
        let Some((word, refused)) = self.axi.event_data else {
            return if irq {
                Err("interrupt out of nowhere".into())
            } else {
                Ok(())
            };
        };
        let before = self.issued_looks[0];
        self.issued_looks = [self.issued_looks[1], self.issued];
        if irq && (refused || !self.enabled()) {
            return Err("interrupt in spite of an error, or disabled".into());
        }
        let due = self.enabled() && !refused;
        match word >> 16 & 3 {
            0 if due && !irq => return Err("no interrupt with events enabled".into()),
            1 if irq => return Err("interrupt with events disabled".into()),
            2 if irq => {
                let position = self
                    .armed
                    .iter()
                    .find(|(w, _)| *w == word)
                    .map(|(_, at)| *at);
                let span = self.issued_asked - before;
                if position.is_none_or(|at| at >= self.issued_asked)
                    && span < u64::from(self.ring.config().size)
                {
                    return Err(format!(
                        "interrupt for position {position:?}, used up to {}",
                        self.issued_asked
                    ));
                }
                if position.is_some_and(|at| at < before) {
                    self.report.add("interrupts too many", 1);
                }
            }
            _ => {}
        }
        if irq {
            self.irqs
                .push_back(self.now + self.rng.random_range(1..=self.notify_delay));
            self.report.add("interrupts", 1);
        } else {
            self.report.add("interrupts saved", 1);
        }
        Ok(())
    }

    /// busy_o = 0 means that nothing happens unless an input does.
    fn check_quiet(&mut self) -> Result<(), String> {
        let o = &self.outputs;
        let asking = o[p::DESC_AR_VALID_O] | o[p::EVENT_AR_VALID_O] | o[p::WRITE_VALID_O] == 1;
        let busy = o[p::BUSY_O] == 1;
        if asking && !busy {
            return Err("a request while busy_o = 0".into());
        }
        let i = &self.inputs;
        let stimulus = [
            p::KICK_I,
            p::USED_VALID_I,
            p::DESC_R_VALID_I,
            p::EVENT_R_VALID_I,
        ];
        let active = stimulus.iter().any(|port| i[*port] == 1)
            || i[p::WRITE_DONE_I] == 1
            || o[p::DESC_VALID_O] & i[p::DESC_READY_I] == 1;
        if busy && self.quiet_since.is_some_and(|since| since + 1 == self.now) && !active {
            return Err("busy_o rises without a reason".into());
        }
        self.quiet_since = (!busy && !active).then_some(self.now);
        Ok(())
    }

    /// Deadlines, and what comes next.
    fn check_phase(&mut self) -> Result<bool, String> {
        let error = self.outputs[p::ERROR_O] == 1;
        match self.phase {
            Phase::Running => {
                if error {
                    if !self.axi.error && !self.baited {
                        return Err("error_o without an error".into());
                    }
                    self.report.add("errors", 1);
                    self.phase = Phase::Broken(self.now + self.rng.random_range(0..300));
                    return Ok(false);
                }
                if self.axi.error {
                    return Err("an error response without error_o".into());
                }
                self.check_progress()?;
                let done = match self.ending {
                    Ending::Disable { at } => self.now >= at,
                    Ending::DisableAtRingEnd { laps } => {
                        let drained = self.added == self.chains && self.ring.outstanding() == 0;
                        drained || (self.axi.laps >= laps && self.rng.random_bool(0.2))
                    }
                    // The access to be refused may never happen.
                    Ending::Drain | Ending::Refuse(..) => {
                        self.added == self.chains && self.ring.outstanding() == 0
                    }
                    Ending::BadDescriptor { .. } | Ending::EndlessChain => false,
                };
                if done {
                    self.disable();
                }
            }
            Phase::Broken(until) => {
                // The DMA engine works on; descriptors are not read any more.
                let asking = self.outputs[p::DESC_AR_VALID_O] == 1;
                if asking && !self.asking && self.baited {
                    return Err("descriptors read after an error".into());
                }
                if self.now >= until {
                    self.disable();
                }
            }
            Phase::Disabled(since) => {
                if error {
                    return Err("error_o while disabled".into());
                }
                if self.outputs[p::IDLE_O] == 1 && !self.axi.is_idle() && self.now > since + 1 {
                    return Err("idle_o with requests outstanding".into());
                }
                if self.outputs[p::BUSY_O] == 0 && self.outputs[p::IDLE_O] == 1 {
                    return Ok(self.axi.is_idle()
                        && self.engine.is_empty()
                        && self.kicks.is_empty()
                        && self.now > since + 4);
                }
                if self.now > since + DEADLINE {
                    return Err("not idle though disabled".into());
                }
            }
        }
        Ok(false)
    }

    fn disable(&mut self) {
        self.quiet_since = None; // the configuration changes
        self.phase = Phase::Disabled(self.now);
    }

    /// Nothing is lost: what is available is fetched, what is used is told.
    fn check_progress(&mut self) -> Result<(), String> {
        let quiet = self.quiet_since.is_some()
            && self.axi.is_idle()
            && self.kicks.is_empty()
            && self.engine.is_empty()
            && self.staged.is_none()
            && !self.unchecked;
        if quiet && !self.expected.is_empty() && self.outputs[p::DESC_VALID_O] == 0 {
            return Err(format!(
                "lost kick: {} descriptors wait",
                self.expected.len()
            ));
        }
        if quiet && !self.returned.is_empty() {
            return Err(format!(
                "{} finished chains are not used",
                self.returned.len()
            ));
        }
        if let Wait::Asleep(position, since) = self.wait {
            let used = since.is_some_and(|since| self.now > since + DEADLINE || quiet);
            if used && self.irqs.is_empty() {
                return Err(format!(
                    "lost interrupt: armed for {position}, used up to {}",
                    self.ring.visible(&self.axi.memory)
                ));
            }
            if quiet && since.is_none() && self.irqs.is_empty() {
                // Nothing more comes by itself: the driver looks after a while, as by a timer.
                self.wait = Wait::Polling;
                self.report.add("timeouts", 1);
            }
        }
        if self.now > self.last_progress + DEADLINE {
            return Err(format!(
                "stuck: {} descriptors wait, {} chains out",
                self.expected.len(),
                self.ring.outstanding()
            ));
        }
        Ok(())
    }
}
