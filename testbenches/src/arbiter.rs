//! Testbenches of the arbiters: who has the next turn, and that nobody waits for longer than one turn of
//! each of the others.

use crate::{
    Error, Options, Report, Testbench,
    axis::{self, Beat, Collector},
    block::{rr_arbiter, tx_arb},
    dut::Dut,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// `rr_arbiter` against the definition of round robin.
pub const RR_ARBITER: Testbench = Testbench {
    name: "rr_arbiter",
    about: "one grant, the next client that asks, each other one once at the most before it",
    run: run_rr,
};

/// `tx_arb` between sources of packets and a receiver that is not always ready.
pub const TX_ARB: Testbench = Testbench {
    name: "tx_arb",
    about: "whole packets of one stream at a time, in turn, without an idle cycle, offered beats stay",
    run: run_tx,
};

/// Clients and streams, as in build/primitives.rs.
const CLIENTS: usize = 5;
const STREAMS: usize = 4;

/// Turns of the others since each one began to ask.
#[derive(Debug)]
pub(crate) struct Turns<const N: usize> {
    /// `None`: it does not ask.
    others: [Option<[u32; N]>; N],
    /// The one that had a turn last.
    last: Option<usize>,
}

impl<const N: usize> Turns<N> {
    pub fn new() -> Self {
        Self {
            others: [None; N],
            last: None,
        }
    }

    /// Those that ask in this cycle; one that asks no longer begins anew.
    pub fn asking(&mut self, asks: [bool; N]) {
        for (others, asks) in self.others.iter_mut().zip(asks) {
            *others = match (*others, asks) {
                (Some(turns), true) => Some(turns),
                (None, true) => Some([0; N]),
                (_, false) => None,
            };
        }
    }

    /// Who is next: the first that asks behind the one that was served last.
    pub fn next(&self) -> Option<usize> {
        let first = self.last.map_or(0, |last| last + 1);
        (first..first + N)
            .map(|at| at % N)
            .find(|at| self.others[*at].is_some())
    }

    /// `who` has its turn; an error when somebody waits for a second turn of another.
    pub fn served(&mut self, who: usize) -> Result<(), String> {
        self.last = Some(who);
        self.others[who] = None;
        for (waits, others) in self.others.iter_mut().enumerate() {
            if let Some(others) = others {
                others[who] += 1;
                if others[who] > 1 {
                    return Err(format!("{who} has a second turn while {waits} waits"));
                }
            }
        }
        Ok(())
    }
}

fn run_rr(options: &Options) -> Result<Report, Error> {
    use rr_arbiter as port;
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report::default();
    let mut dut = Dut::open(port::NAME, options)?;
    let mut turns = Turns::<CLIENTS>::new();
    let (mut ask, mut leave, mut take) = (0.5, 0.1, 0.5);
    let mut asks = [false; CLIENTS];
    for cycle in 0..50_000 * u64::from(options.effort) {
        if cycle % 500 == 0 {
            ask = [0.02, 0.3, 1.0][rng.random_range(0..3)];
            leave = [0.0, 0.0, 0.2][rng.random_range(0..3)];
            take = [0.1, 0.7, 1.0][rng.random_range(0..3)];
        }
        // One that waits may give up.
        for asks in &mut asks {
            *asks = if *asks {
                !rng.random_bool(leave)
            } else {
                rng.random_bool(ask)
            };
        }
        turns.asking(asks);
        let taken = rng.random_bool(take) && asks.contains(&true);
        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::VALID_I] = asks
            .iter()
            .rev()
            .fold(0, |all, asks| all << 1 | u64::from(*asks));
        i[port::TAKE_I] = taken.into();
        dut.step(&i, &mut o)?;
        let due = turns.next();
        let grant = due.map_or(0, |who| 1 << who);
        let index = due.unwrap_or_default() as u64;
        if o[port::GRANT_O] != grant || (due.is_some() && o[port::INDEX_O] != index) {
            let text = format!(
                "grant {:#b}, index {}, expected {due:?} of {turns:?}",
                o[port::GRANT_O],
                o[port::INDEX_O]
            );
            return Err(dut.mismatch(text));
        }
        if let Some(who) = due.filter(|_| taken) {
            turns.served(who).map_err(|text| dut.mismatch(text))?;
            asks[who] = rng.random_bool(ask);
            report.add("turns", 1);
        }
    }
    report.cycles = dut.cycle();
    Ok(report)
}

/// A beat and its tuser.
type Marked = (Beat, bool);

/// The sources, and what is due of each.
struct Sources {
    dut: Dut,
    rng: ChaCha8Rng,
    report: Report,
    /// Beats of each stream that were not taken, of whole packets.
    beats: [VecDeque<Marked>; STREAMS],
    /// The first of them is on the port.
    offered: [bool; STREAMS],
    /// Packets in the order in which they must come out of each, and whether they are aborted.
    due: [VecDeque<(Vec<u8>, bool)>; STREAMS],
    turns: Turns<STREAMS>,
    /// Whose packet is under way.
    owner: Option<usize>,
    collector: Collector,
    /// A beat that was offered and not taken.
    stalled: Option<Marked>,
}

fn run_tx(options: &Options) -> Result<Report, Error> {
    let mut bench = Sources {
        dut: Dut::open(tx_arb::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        report: Report::default(),
        beats: Default::default(),
        offered: [false; STREAMS],
        due: Default::default(),
        turns: Turns::new(),
        owner: None,
        collector: Collector::default(),
        stalled: None,
    };
    for _ in 0..60 * options.effort {
        let load = [0.01, 0.1, 1.0][bench.rng.random_range(0..3)];
        let gap = [0.0, 0.0, 0.3][bench.rng.random_range(0..3)];
        let stall = [0.0, 0.3, 0.9][bench.rng.random_range(0..3)];
        // Some streams have nothing for a while.
        let silent = bench.rng.random_range(0..1 << STREAMS);
        for _ in 0..1000 {
            bench.feed(load, gap, silent);
            bench.cycle(stall)?;
        }
    }
    while bench.due.iter().any(|due| !due.is_empty()) {
        bench.feed(0.0, 0.0, 0);
        bench.cycle(0.0)?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Sources {
    fn feed(&mut self, load: f64, gap: f64, silent: u32) {
        for stream in 0..STREAMS {
            let more = silent >> stream & 1 == 0 && self.rng.random_bool(load);
            if self.beats[stream].is_empty() && more {
                let mut bytes = vec![0; self.rng.random_range(1..100)];
                self.rng.fill_bytes(&mut bytes);
                let abort = self.rng.random_ratio(1, 8);
                let beats = axis::beats(&bytes, &mut self.rng);
                self.beats[stream].extend(beats.into_iter().map(|beat| (beat, beat.last && abort)));
                self.due[stream].push_back((bytes, abort));
            }
            // What is offered stays.
            let waits = !self.beats[stream].is_empty();
            self.offered[stream] = waits && (self.offered[stream] || !self.rng.random_bool(gap));
        }
    }

    fn cycle(&mut self, stall: f64) -> Result<(), Error> {
        use tx_arb as port;
        let ready = !self.rng.random_bool(stall);
        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::M_AXIS_TREADY_I] = ready.into();
        for stream in 0..STREAMS {
            let Some((beat, user)) = self.beats[stream].front() else {
                continue;
            };
            i[port::S_AXIS_TVALID_I] |= u64::from(self.offered[stream]) << stream;
            i[port::S_AXIS_TLAST_I] |= u64::from(beat.last) << stream;
            i[port::S_AXIS_TUSER_I] |= u64::from(*user) << stream;
            i[port::S_AXIS_TDATA_I + stream] = beat.data;
            i[port::S_AXIS_TKEEP_I + stream] = beat.keep.into();
        }
        self.dut.step(&i, &mut o)?;

        // One that is in the middle of its packet does not ask for a turn.
        if self.owner.is_none() {
            self.turns.asking(self.offered);
            self.owner = self.turns.next();
            if let Some(owner) = self.owner {
                self.turns
                    .served(owner)
                    .map_err(|text| self.dut.mismatch(text))?;
                self.report.add("turns", 1);
            }
        } else {
            let mut asks = self.offered;
            asks[self.owner.unwrap_or_default()] = false;
            self.turns.asking(asks);
        }
        let out = Beat {
            data: o[port::M_AXIS_TDATA_O],
            keep: o[port::M_AXIS_TKEEP_O] as u8,
            last: o[port::M_AXIS_TLAST_O] == 1,
        };
        let out = (o[port::M_AXIS_TVALID_O] == 1).then_some((out, o[port::M_AXIS_TUSER_O] == 1));
        if self.stalled.is_some() && out != self.stalled {
            return Err(self.dut.mismatch("a beat that waits has changed"));
        }
        self.stalled = out.filter(|_| !ready);
        let owner = self.owner.filter(|owner| self.offered[*owner]);
        let expected = owner.and_then(|owner| self.beats[owner].front().copied());
        if out != expected {
            let text = format!("{out:x?} instead of {expected:x?} of {owner:?}");
            return Err(self.dut.mismatch(text));
        }
        let taken = owner.filter(|_| ready);
        let grant = taken.map_or(0, |owner| 1 << owner);
        if o[port::S_AXIS_TREADY_O] & i[port::S_AXIS_TVALID_I] != grant {
            let text = format!(
                "tready {:#b} instead of {grant:#b}",
                o[port::S_AXIS_TREADY_O]
            );
            return Err(self.dut.mismatch(text));
        }
        if let Some(owner) = taken {
            self.taken(owner)?;
        }
        Ok(())
    }

    /// The beat of `owner` that was offered is through.
    fn taken(&mut self, owner: usize) -> Result<(), Error> {
        let Some((beat, user)) = self.beats[owner].pop_front() else {
            return Err(self.dut.mismatch("a beat from nowhere"));
        };
        self.offered[owner] = false;
        let packet = self.collector.push(beat);
        let packet = packet.map_err(|text| self.dut.mismatch(text))?;
        if let Some(packet) = packet {
            if self.due[owner].pop_front() != Some((packet, user)) {
                let text = format!("stream {owner}: not the packet that was due");
                return Err(self.dut.mismatch(text));
            }
            self.owner = None;
            self.report.add("packets", 1);
            self.report.add("aborted packets", user.into());
        }
        Ok(())
    }
}
