//! Testbench of `msix`: a driver that masks whenever it likes, and messages that take their time.
//!
//! The reference knows of no registers between an event and its message, only what a driver may rely
//! on: an event leads to a message behind it, no message has no event, what is masked is silent
//! and shows in the PBA, and no vector is passed over twice for the same other one.

mod driver;

use crate::{
    Error, Options, Report, Testbench,
    block::msix as port,
    bundle::{Access, WordWrite},
    dut::Dut,
};
use driver::{Table, VECTORS};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// `msix` between a driver, a function's capability and a write channel.
pub const MSIX: Testbench = Testbench {
    name: "msix",
    about: "messages against events under mask races, function mask, bus master, PBA, table, device reset",
    run,
};

/// `BAR_MSIX_TABLE` and `BAR_MSIX_PBA`.
const TABLE: u16 = 0x4000;
const PBA: u16 = 0x5000;
/// Cycles from an event to its message when nothing is in the way.
const LATENCY: u64 = 2;
/// Nothing may take longer than this once everybody is willing.
const PATIENCE: u64 = 200;

/// What the capability and the command register say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Levels {
    enable: bool,
    mask: bool,
    master: bool,
}

impl Levels {
    const OPEN: Self = Self {
        enable: true,
        mask: false,
        master: true,
    };

    fn open(self) -> bool {
        self == Self::OPEN
    }
}

/// A vector's events and what became of them.
#[derive(Debug, Clone, Copy, Default)]
struct Vector {
    /// Events that no message has told of.
    events: u64,
    /// Of these, the one of the cycle before: too late for a message that is offered now.
    fresh: u64,
    /// Of these, those that the offered message tells of.
    offered: u64,
    /// Cycles since it may not send, the one of the change included; 0 while it may.
    silent: u64,
    /// Cycles since it may send, likewise.
    willing: u64,
    /// Other vectors whose message was offered while it was due and might be sent, one bit each.
    passed_by: u64,
}

/// A message on the port.
#[derive(Debug, Clone, Copy)]
struct Offer {
    vector: usize,
    message: WordWrite,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    vectors: usize,
    levels: Levels,
    table: Table,
    state: [Vector; VECTORS],
    offer: Option<Offer>,
    /// Messages that the channel took and did not answer.
    unanswered: u64,
    /// Rates of this while: events, accesses, levels, the channel, its answers.
    mood: Mood,
    /// Inputs and outputs of a cycle without busy_o and events, after which the next one has the same.
    asleep: Option<([u64; 2], [u64; port::OUT_WORDS])>,
    report: Report,
}

#[derive(Debug, Clone, Copy)]
struct Mood {
    events: f64,
    writes: f64,
    levels: f64,
    ready: f64,
    answers: f64,
    clear: f64,
}

impl Mood {
    /// Nothing new, and nobody who waits.
    const DRAIN: Self = Self {
        events: 0.0,
        writes: 0.0,
        levels: 0.0,
        ready: 1.0,
        answers: 1.0,
        clear: 0.0,
    };

    fn random(rng: &mut ChaCha8Rng) -> Self {
        let mut one_of = |choices: &[f64]| *choices.choose(rng).unwrap_or(&0.0);
        Self {
            events: one_of(&[0.005, 0.05, 0.5]),
            writes: one_of(&[0.0, 0.05, 0.6]),
            levels: one_of(&[0.0, 0.01, 0.1]),
            ready: one_of(&[0.02, 0.3, 1.0]),
            answers: one_of(&[0.0, 0.05, 1.0]),
            clear: one_of(&[0.0, 0.0, 0.01]),
        }
    }
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut dut = Dut::open(port::NAME, options)?;
    let mut report = Report::default();
    for vectors in (1..=VECTORS)
        .cycle()
        .take(12 * VECTORS * options.effort as usize)
    {
        dut.reset()?;
        let mut bench = Bench {
            dut,
            vectors,
            levels: Levels {
                enable: false,
                mask: false,
                master: false,
            },
            table: Table::new(vectors),
            state: [Vector::default(); VECTORS],
            offer: None,
            unanswered: 0,
            mood: Mood::DRAIN,
            asleep: None,
            report: Report::default(),
            rng: ChaCha8Rng::seed_from_u64(rng.random()),
        };
        bench.life()?;
        report.merge(&bench.report);
        dut = bench.dut;
    }
    report.cycles = dut.cycle();
    Ok(report)
}

impl Bench {
    fn life(&mut self) -> Result<(), Error> {
        for vector in 0..self.vectors {
            self.cycle(Table::name(TABLE, vector), 0, 0)?;
        }
        for _ in 0..8 {
            self.mood = Mood::random(&mut self.rng);
            for _ in 0..300 {
                self.random_cycle()?;
            }
            self.drain()?;
            self.alone()?;
        }
        Ok(())
    }

    fn random_cycle(&mut self) -> Result<(), Error> {
        let mood = self.mood;
        if self.rng.random_bool(mood.levels) {
            let level = self.rng.random_range(0..6);
            match level {
                0 => self.levels.enable ^= true,
                1 | 2 => self.levels.mask ^= true,
                3 => self.levels.master ^= true,
                _ => self.levels = Levels::OPEN,
            }
        }
        let access = if self.rng.random_bool(mood.writes) {
            self.table.random_write(TABLE, &mut self.rng)
        } else if self.rng.random_bool(0.6) {
            Access::Look(PBA)
        } else {
            Access::Read(TABLE + 4 * self.rng.random_range(0..0x800))
        };
        let mut irq = 0;
        for vector in 0..self.vectors {
            irq |= u64::from(self.rng.random_bool(mood.events)) << vector;
        }
        let clear = if self.rng.random_bool(mood.clear) {
            // A device reset, or that of a queue.
            let one = 1 << self.rng.random_range(0..VECTORS);
            *[(1 << VECTORS) - 1, one]
                .choose(&mut self.rng)
                .unwrap_or(&one)
        } else {
            0
        };
        self.cycle(access, irq, clear)
    }

    /// All is open: whatever is due comes.
    fn drain(&mut self) -> Result<(), Error> {
        self.mood = Mood::DRAIN;
        self.levels = Levels::OPEN;
        for vector in 0..self.vectors {
            self.cycle(Table::mask(TABLE, vector, false), 0, 0)?;
        }
        for _ in 0..PATIENCE {
            self.cycle(Access::Look(PBA), 0, 0)?;
        }
        let left = self.state.iter().any(|vector| vector.events > 0);
        self.dut.check(!left && self.offer.is_none(), || {
            format!("still due: {:?}, {:?}", self.state, self.offer)
        })?;
        self.dut.check(self.unanswered == 0, || "never idle".into())
    }

    /// A single event of an idle block is told of at once.
    fn alone(&mut self) -> Result<(), Error> {
        let vector = self.rng.random_range(0..self.vectors);
        self.mood.ready = 0.0;
        self.cycle(Access::Look(PBA), 1 << vector, 0)?;
        for _ in 0..LATENCY {
            self.cycle(Access::Look(PBA), 0, 0)?;
        }
        let offered = self.offer.is_some_and(|offer| offer.vector == vector);
        self.dut.check(offered, || format!("{vector} is late"))?;
        self.report.add("messages at once", 1);
        self.mood.ready = 1.0;
        for _ in 0..4 {
            self.cycle(Access::Look(PBA), 0, 0)?;
        }
        Ok(())
    }

    fn cycle(&mut self, access: Access, irq: u64, clear: u64) -> Result<(), Error> {
        let (mut i, mut o) = (port::inputs(), port::outputs());
        let ready = self.rng.random_bool(self.mood.ready);
        let done = self.unanswered > 0 && self.rng.random_bool(self.mood.answers);
        i[port::ENABLE_I] = self.levels.enable.into();
        i[port::MASK_I] = self.levels.mask.into();
        i[port::MASTER_I] = self.levels.master.into();
        i[port::CLEAR_I] = clear;
        i[port::VECTORS_I] = self.vectors as u64;
        i[port::REQ_I] = access.word();
        i[port::IRQ_I] = irq;
        i[port::WRITE_READY_I] = ready.into();
        i[port::WRITE_DONE_I] = done.into();
        for (number, vector) in self.state.iter_mut().enumerate() {
            let open = self.levels.open() && !self.table.masked(number);
            vector.silent = if open { 0 } else { vector.silent + 1 };
            vector.willing = if open { vector.willing + 1 } else { 0 };
            if !open {
                vector.passed_by = 0;
            }
        }
        self.dut.step(&i, &mut o)?;

        self.check_sleep(&i, &o, irq | clear != 0 || done || ready)?;
        self.check_read(access, o[port::RDATA_O])?;
        self.check_offer(&o)?;
        // Before what ends with this cycle.
        let idle = self.offer.is_none() && self.unanswered == 0;
        self.dut.check(o[port::IDLE_O] == u64::from(idle), || {
            format!("idle_o {} instead of {idle}", o[port::IDLE_O])
        })?;

        // What happens at the end of this cycle.
        if let Some(offer) = self.offer.filter(|_| ready) {
            let vector = &mut self.state[offer.vector];
            vector.events -= vector.offered;
            vector.offered = 0;
            self.offer = None;
            self.unanswered += 1;
            self.report.add("messages", 1);
        }
        self.unanswered -= u64::from(done);
        self.dut.check(self.unanswered <= 15, || {
            "more messages than it can count".into()
        })?;
        for (number, vector) in self.state.iter_mut().enumerate() {
            vector.fresh = irq >> number & 1;
            vector.events += vector.fresh;
            self.report.add("events", vector.fresh);
        }
        // Nothing is due any more of what is reset, and what the channel did not take is gone.
        let gone = |number: usize| !self.levels.enable || clear >> number & 1 == 1;
        for (number, vector) in self.state.iter_mut().enumerate() {
            if gone(number) {
                (vector.events, vector.fresh, vector.offered) = (0, 0, 0);
                vector.passed_by = 0;
            }
        }
        self.offer = self.offer.filter(|offer| !gone(offer.vector));
        match clear.count_ones() {
            0 => {}
            1 => self.report.add("queue resets", 1),
            _ => self.report.add("device resets", 1),
        }
        self.table.apply(TABLE, access);
        Ok(())
    }

    /// Without busy_o and without anything that comes in, nothing changes.
    fn check_sleep(
        &mut self,
        i: &[u64],
        o: &[u64; port::OUT_WORDS],
        input: bool,
    ) -> Result<(), Error> {
        let levels = i[port::ENABLE_I] << 2 | i[port::MASK_I] << 1 | i[port::MASTER_I];
        let still = [levels, i[port::REQ_I]];
        if let Some((inputs, before)) = &self.asleep
            && *inputs == still
        {
            self.dut.check(before == o, || {
                format!("{before:x?} changed to {o:x?} without busy_o")
            })?;
            self.report.add("cycles asleep", 1);
        }
        let write = i[port::REQ_I] >> 53 & 1 == 1;
        self.asleep = (o[port::BUSY_O] == 0 && !input && !write).then_some((still, *o));
        Ok(())
    }

    /// The table reads as it was written; the PBA tells of what is due and may not be sent.
    fn check_read(&mut self, access: Access, read: u64) -> Result<(), Error> {
        let (Access::Look(addr) | Access::Read(addr)) = access else {
            return Ok(());
        };
        if addr != PBA {
            let expected = u64::from(self.table.read(addr.wrapping_sub(TABLE)));
            return self.dut.check(read == expected, || {
                format!("{addr:#x} reads {read:#x} instead of {expected:#x}")
            });
        }
        for (number, vector) in self.state.iter().enumerate() {
            let bit = read >> number & 1 == 1;
            // A message may be offered until the cycle behind the mask.
            let exact = vector.silent > 1 || vector.events == 0;
            let expected = vector.events > 0;
            self.dut.check(!exact || bit == expected, || {
                format!("PBA bit {number} is {bit}: {vector:?}")
            })?;
            self.report.add("pending bits", (exact && bit).into());
        }
        self.dut
            .check(read >> VECTORS == 0, || format!("PBA {read:#x}"))
    }

    fn check_offer(&mut self, o: &[u64]) -> Result<(), Error> {
        let message = WordWrite::of(&o[port::WRITE_O..]);
        match (o[port::WRITE_VALID_O] == 1, self.offer) {
            (false, None) => {}
            (false, Some(offer)) => {
                // Withdrawn, which nothing but a mask may do; its events are due again.
                let vector = &mut self.state[offer.vector];
                self.dut.check(vector.willing <= 1, || {
                    format!("the message of {} is gone", offer.vector)
                })?;
                vector.offered = 0;
                self.offer = None;
                self.report.add("messages withdrawn", 1);
            }
            (true, Some(offer)) => {
                self.dut.check(message == offer.message, || {
                    format!("{message:x?} instead of {offer:x?}, which waits")
                })?;
                let silent = self.state[offer.vector].silent;
                self.dut.check(silent <= 1, || {
                    format!("{offer:x?} is offered, masked {silent} cycles ago")
                })?;
            }
            (true, None) => {
                let Some(vector) = self.table.vector_of(message) else {
                    return Err(self.dut.mismatch(format!("{message:x?} is of no vector")));
                };
                let state = &mut self.state[vector];
                // The mask of this cycle or the one before may be too late for it.
                let told = state.events - state.fresh;
                self.dut.check(state.silent <= 1 && told > 0, || {
                    format!("a message of {vector} in spite of {state:?}")
                })?;
                state.offered = told;
                state.passed_by = 0;
                self.offer = Some(Offer { vector, message });
                self.check_turn(vector)?;
            }
        }
        Ok(())
    }

    /// `served` was offered: the others that wait have not waited for it before.
    fn check_turn(&mut self, served: usize) -> Result<(), Error> {
        for (number, vector) in self.state.iter_mut().enumerate() {
            // What came or was shown in the cycle before may have been too late to be chosen.
            if number == served || vector.events == vector.fresh || vector.willing <= 1 {
                continue;
            }
            let twice = vector.passed_by >> served & 1 == 1;
            self.dut.check(!twice, || {
                format!("{number} waits for {served} a second time: {vector:?}")
            })?;
            vector.passed_by |= 1 << served;
            self.report.add("messages that others waited for", 1);
        }
        Ok(())
    }
}
