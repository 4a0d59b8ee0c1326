//! Random traffic in both directions between a driver, the card and the wire, with a scoreboard.

mod receive;
mod transmit;

use super::{
    frame::Outgoing,
    host::{Fail, Host, RX, RX_BUFFERS, Stat, Stats, TX, common, feature},
    slots::SLOT,
};
use crate::{
    ring::{DriverRing, Element, Events},
    testbench::Report,
};
use hwmodel::{CYCLE_PS, Device, Ps, Stop};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Nothing at all happened for so long: something is lost.
const DEADLINE: Ps = 2_000_000_000;
/// What may be in the card and on the wire so that its receive store of 2048 words never overflows.
const WINDOW_WORDS: usize = 1800;
const WINDOW_FRAMES: usize = 100;
/// Slots in use at the most, per direction.
const SLOTS: u32 = (RX_BUFFERS.1 / SLOT) as u32;

/// What is to be sent.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Lengths without FCS of frames to the card.
    pub rx: Vec<usize>,
    /// Lengths of frames from the card.
    pub tx: Vec<usize>,
    /// Frames with faults among those to the card, malformed ones among those from it.
    pub faults: bool,
    /// Frames come as fast as the wire carries them, no matter what the card can hold.
    pub flood: bool,
    /// Receive buffers that are too short for some frames are among those offered.
    pub short_buffers: bool,
    /// What leaves the card comes back to it.
    pub loopback: bool,
}

/// How a driver learns about used buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Polling,
    /// For the use of this position, since when it is used.
    Asleep(u64, Option<Ps>),
}

struct Slot {
    elements: Vec<Element>,
    capacity: usize,
}

struct Queue {
    ring: DriverRing<u32>,
    free: Vec<u32>,
    slots: Vec<Option<Slot>>,
    wait: Wait,
    /// An interrupt came that was not looked at.
    irq: bool,
    unchecked: bool,
}

/// Both queues of a card in use.
pub struct Traffic<'a> {
    pub host: &'a mut Host,
    pub rng: &'a mut ChaCha8Rng,
    pub report: &'a mut Report,
    features: u64,
    max_frame: usize,
    queues: [Queue; 2],
    most_elements: usize,
    eager: f64,
    load: Load,
    tag: u32,
    sent: VecDeque<Vec<u8>>,
    sent_words: usize,
    outgoing: VecDeque<Outgoing>,
    baseline: Stats,
    /// What the counters must have grown by.
    expected: Stats,
    last_progress: Ps,
    /// Since when the vectors of the queues are masked, if they are.
    masked: [Option<Ps>; 2],
    /// All is sent: what is left in the card gets its buffers.
    draining: bool,
    /// A queue was reset: what was in it is gone, and the counters' sums are not known.
    disturbed: bool,
    /// Hash of everything that came out of the card, with its time.
    trace: DefaultHasher,
}

impl<'a> Traffic<'a> {
    /// A device that is brought up and running, with random queues.
    pub fn start(
        host: &'a mut Host,
        rng: &'a mut ChaCha8Rng,
        report: &'a mut Report,
        features: u64,
        load: Load,
    ) -> Result<Self, Fail> {
        if !host.negotiate(features)? {
            return Err(format!("features {features:#x} refused").into());
        }
        host.enable_msix()?;
        let queues = [
            Self::queue(host, rng, RX, features)?,
            Self::queue(host, rng, TX, features)?,
        ];
        let baseline = host.stats()?;
        host.driver_ok()?;
        host.status()?; // behind the posted write: frames that come from now on are received
        let now = host.nic.now();
        Ok(Self {
            max_frame: usize::from(host.nic.config().mtu) + 18,
            features,
            queues,
            most_elements: *[1, 2, 5, 12].choose(rng).unwrap_or(&1),
            eager: *[0.1, 0.5, 0.9].choose(rng).unwrap_or(&0.5),
            load,
            tag: rng.random(),
            sent: VecDeque::new(),
            sent_words: 0,
            outgoing: VecDeque::new(),
            baseline,
            expected: Stats::default(),
            last_progress: now,
            masked: [None; 2],
            draining: false,
            disturbed: false,
            trace: DefaultHasher::new(),
            host,
            rng,
            report,
        })
    }

    fn queue(
        host: &mut Host,
        rng: &mut ChaCha8Rng,
        index: usize,
        features: u64,
    ) -> Result<Queue, Fail> {
        let size = match rng.random_range(0..6) {
            0 => rng.random_range(1..4),
            1 => *[16, 256, 1024].choose(rng).unwrap_or(&16),
            _ => rng.random_range(4..300),
        };
        Ok(Queue {
            ring: host.enable_queue(index, size, rng.random(), features, rng.random())?,
            free: (0..SLOTS).collect(),
            slots: (0..SLOTS).map(|_| None).collect(),
            wait: Wait::Polling,
            irq: false,
            unchecked: false,
        })
    }

    /// The card's counters when it started.
    pub fn baseline(&self) -> &Stats {
        &self.baseline
    }

    /// For messages.
    pub fn describe(&self) -> String {
        format!(
            "features {:#x}, rings {}/{}, elements up to {}",
            self.features,
            self.queues[RX].ring.config().size,
            self.queues[TX].ring.config().size,
            self.most_elements
        )
    }

    /// The same for two runs exactly when the same came out of the card at the same times.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn count(&mut self, stat: Stat, n: usize) {
        self.expected[stat as usize] += n as u64;
    }

    /// Until all is sent and accounted for, or `until`.
    pub fn run(&mut self, until: Ps) -> Result<(), Fail> {
        self.last_progress = self.host.nic.now();
        while !self.finished() && self.host.nic.now() < until {
            self.feed_wire();
            self.feed_transmit()?;
            self.refill()?;
            for index in [RX, TX] {
                self.poll(index)?;
                let odds = if self.masked[index].is_some() {
                    0.3
                } else {
                    0.01
                };
                if self.rng.random_bool(odds) {
                    self.mask(index, self.masked[index].is_none())?;
                }
            }
            let pause = *[0, 100, 1_000].choose(self.rng).unwrap_or(&0) * CYCLE_PS / 4;
            let pause = self.rng.random_range(0..=pause + CYCLE_PS);
            self.advance(self.host.nic.now() + pause)?;
            self.check_progress()?;
        }
        Ok(())
    }

    fn finished(&self) -> bool {
        self.load.rx.is_empty()
            && self.load.tx.is_empty()
            && self.outgoing.is_empty()
            && (self.sent.is_empty() || self.load.flood)
            && self.host.nic.wire_pending() == 0
            && self.queues[TX].ring.outstanding() == 0
    }

    // ---- driver ---------------------------------------------------------------------------------------

    fn poll(&mut self, index: usize) -> Result<(), Fail> {
        let now = self.host.nic.now();
        if std::mem::take(&mut self.queues[index].irq) {
            self.queues[index].wait = Wait::Polling;
        }
        let queue = &mut self.queues[index];
        let visible = queue.ring.visible(&self.host.bus);
        match queue.wait {
            Wait::Polling => {}
            Wait::Asleep(position, None) if visible > position => {
                queue.wait = Wait::Asleep(position, Some(now));
                return Ok(());
            }
            Wait::Asleep(position, Some(_)) if self.masked[index].is_some() => {
                queue.wait = Wait::Asleep(position, Some(now));
                return Ok(());
            }
            Wait::Asleep(position, Some(since)) if now > since + DEADLINE / 10 => {
                return Err(format!(
                    "lost interrupt of queue {index}: armed for {position}, used up to {visible}"
                )
                .into());
            }
            Wait::Asleep(..) => {
                // A driver that has something to add looks anyway, as a transmit queue does.
                if self.rng.random_bool(0.02) {
                    queue.wait = Wait::Polling;
                }
                return Ok(());
            }
        }
        let mut taken = Vec::new();
        let budget = self.rng.random_range(1..64);
        while taken.len() < budget {
            let before = taken.len();
            queue.ring.take_used(&self.host.bus, &mut taken)?;
            if taken.len() == before {
                break;
            }
        }
        if taken.is_empty() {
            self.arm(index);
            return Ok(());
        }
        self.last_progress = now;
        for used in taken {
            if index == RX {
                self.received(used)?;
            } else {
                self.queues[TX].slots[used.token as usize]
                    .take()
                    .ok_or("a slot used twice")?;
                self.queues[TX].free.push(used.token);
            }
        }
        Ok(())
    }

    /// Masks or unmasks a queue's vector in the MSI-X table (PCI 6.8.2.9).
    fn mask(&mut self, index: usize, on: bool) -> Result<(), Fail> {
        let control = self.host.map.msix_table + 16 * (index as u32 + 1) + 12;
        self.host.nic.bar_write(control, 4, on.into())?;
        // The answer comes behind the messages that left before the mask.
        let read = self.host.nic.bar_read(control, 1)?;
        if read != u32::from(on) {
            return Err(format!("vector control {read:#x} after writing {on}").into());
        }
        self.masked[index] = on.then(|| self.host.nic.now());
        self.report.add("masks", on.into());
        Ok(())
    }

    /// Sleeps until an interrupt, unless the ring says at a second look that there is work.
    fn arm(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        let used = queue.ring.used_position();
        let (events, position) = match self.rng.random_range(0..4) {
            0 => (Events::Disable, None),
            1 | 2 if self.features & feature::EVENT_IDX != 0 && queue.ring.outstanding() != 0 => {
                // Not too far ahead: what is behind may be all that comes.
                let to = queue.ring.avail_position().min(used + 3);
                let position = self.rng.random_range(used..to);
                (Events::Desc(position), Some(position))
            }
            _ => (Events::Enable, Some(used)),
        };
        queue.ring.set_events(&mut self.host.bus, events);
        if let Some(position) = position
            && queue.ring.visible(&self.host.bus) <= position
        {
            queue.wait = Wait::Asleep(position, None);
            self.report.add("sleeps", 1);
        }
    }

    fn kick(&mut self, index: usize) -> Result<(), Fail> {
        let queue = &mut self.queues[index];
        if std::mem::take(&mut queue.unchecked) {
            if queue.ring.kick_needed(&self.host.bus) {
                self.host.kick(index)?;
                self.report.add("kicks", 1);
            } else {
                self.report.add("kicks saved", 1);
            }
        }
        Ok(())
    }

    /// Runs the card up to `until` and takes what comes out of it; the driver does nothing meanwhile.
    pub fn advance(&mut self, until: Ps) -> Result<(), Fail> {
        loop {
            match self.host.nic.run_until(until)? {
                Stop::Time => return Ok(()),
                Stop::Msix => {
                    if let Some(message) = self.host.nic.take_msix() {
                        (message.at, message.data).hash(&mut self.trace);
                        let vector = Host::vector(&message)?;
                        self.report.add("interrupts", 1);
                        match vector {
                            1 | 2 => {
                                if self.masked[vector - 1].is_some_and(|at| message.at > at) {
                                    let at = self.masked[vector - 1];
                                    return Err(format!("{message:x?}, masked at {at:?}").into());
                                }
                                self.queues[vector - 1].irq = true;
                            }
                            _ => return Err("configuration interrupt".into()),
                        }
                    }
                }
                Stop::WireTx => {
                    if let Some(frame) = self.host.nic.take_wire() {
                        (frame.at, frame.end, &frame.bytes).hash(&mut self.trace);
                        self.left_the_card(&frame)?;
                        if self.load.loopback {
                            self.send_back(frame);
                        } else {
                            self.host.nic.recycle(frame.bytes);
                        }
                    }
                }
            }
        }
    }

    /// 2.6.1: resets a queue in the midst of it all and sets it up anew; the other one goes on.
    // shows (RTL): 2.6.1.1.1-3, 2.6.1.2.1-1, 4.1.4.3.1-10, 4.1.4.3.1-12
    pub fn reset_queue(&mut self, index: usize) -> Result<(), Fail> {
        self.host.write(common::QUEUE_SELECT, 2, index as u32)?;
        self.host.write(common::QUEUE_RESET, 2, 1)?;
        let limit = self.host.nic.now() + 100_000_000;
        while self.host.read(common::QUEUE_RESET, 2)? != 0 {
            if self.host.nic.now() > limit {
                return Err(format!("queue {index} is not reset after 100 us").into());
            }
        }
        if self.host.read(common::QUEUE_ENABLE, 2)? != 0 {
            return Err(format!("queue {index} is enabled after its reset").into());
        }
        // What is on its way comes out, or is dropped and counted.
        while self.host.nic.wire_pending() != 0 {
            self.advance(self.host.nic.now() + 10_000_000)?;
        }
        self.advance(self.host.nic.now() + 50_000_000)?;
        self.disturbed = true;
        if index == RX {
            self.sent.clear();
            self.sent_words = 0;
        } else {
            self.outgoing.clear();
        }
        self.queues[index] = Self::queue(self.host, self.rng, index, self.features)?;
        self.report.add("queue resets", 1);
        self.last_progress = self.host.nic.now();
        Ok(())
    }

    fn check_progress(&mut self) -> Result<(), Fail> {
        if self.host.nic.now() < self.last_progress + DEADLINE {
            return Ok(());
        }
        let stats = self.host.stats()?;
        let status = self.host.status()?;
        Err(format!(
            "stuck: {} frames on the way in, {} on the way out, rings {:?}, status {status:#x}, \
             counters {stats:?}, {:?}",
            self.sent.len(),
            self.outgoing.len(),
            self.queues
                .each_ref()
                .map(|q| (q.ring.outstanding(), q.ring.free(), q.wait)),
            self.host.nic.counters(),
        )
        .into())
    }

    /// At the end: takes what is still to be taken, and every frame must be in exactly one counter.
    pub fn settle(&mut self) -> Result<(), Fail> {
        self.draining = true;
        for index in [RX, TX] {
            self.mask(index, false)?;
        }
        // What waits comes in ring by ring, a ring may have one place, and a host may be slow.
        let (mut seen, mut since) = (0, 0);
        for round in 0..4096 {
            let taken = self.expected[Stat::RxBuffers as usize];
            if taken != seen {
                (seen, since) = (taken, round);
            } else if round - since >= 64 {
                break;
            }
            self.refill()?;
            for index in [RX, TX] {
                self.queues[index].wait = Wait::Polling;
                self.poll(index)?;
            }
            self.advance(self.host.nic.now() + 200 * CYCLE_PS * 8)?;
        }
        if self.disturbed {
            return Ok(());
        }
        let now = self.host.stats()?;
        let grown: Stats = std::array::from_fn(|i| now[i] - self.baseline[i]);
        if grown[Stat::TxUnderrun as usize] != 0 {
            return Err("a frame was cut on its way out".into());
        }
        let dropped = grown[Stat::RxNoSpace as usize] + grown[Stat::RxTruncated as usize];
        let missing = self.expected[Stat::RxFrames as usize]
            - (self.expected[Stat::RxBuffers as usize] - self.expected[Stat::RxTruncated as usize]);
        if dropped != missing {
            return Err(format!("{missing} frames are missing, {dropped} drops counted").into());
        }
        if !self.load.flood && grown[Stat::RxNoSpace as usize] != 0 {
            return Err("frames were dropped for lack of space".into());
        }
        self.report.add(
            "frames dropped for lack of space",
            grown[Stat::RxNoSpace as usize],
        );
        self.report
            .add("frames truncated", grown[Stat::RxTruncated as usize]);
        self.expected[Stat::RxNoSpace as usize] = grown[Stat::RxNoSpace as usize];
        if grown != self.expected {
            return Err(format!("counters {grown:?}, expected {:?}", self.expected).into());
        }
        Ok(())
    }
}
