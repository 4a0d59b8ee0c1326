//! The level at which the peer is asked to pause: a store is filled as fast as the wire can while
//! everything takes as long as IEEE 802.3 lets it.

use super::{Dut, rng};
use crate::{
    Error, Options, Report,
    block::{mac_xoff as port, mac_xoff_short},
};
use rand::RngExt;

/// Words of the store of the block as it is built for this.
const STORE: u64 = 4096;
/// The longest frame, bytes with FCS.
const LONGEST: u64 = 9224;
/// Cycles of 64 bits in a quantum of 512.
const QUANTUM: u64 = 8;
/// 31B.3.7, and TIM5 of its PICS (31B.4.6): from the end of a PAUSE to the last moment at which a frame
/// may begin, at 10 Gb/s, both at the MDI; 10GBASE-T has 74 since 802.3ba (TIM6).
const REACTION: u64 = 60 * QUANTUM;
/// Preamble, a frame of 64 bytes; 100 m at 5 ns each there and back, in cycles of 6.4 ns.
const PAUSE: u64 = 9;
const CABLE: u64 = 1000 * 10 / 64;
/// Preamble and gap, bytes.
const GAP: u64 = 20;
const FCS: u64 = 4;

/// Cycles of a frame of `len` bytes with FCS.
fn cycles(len: u64) -> u64 {
    (len + GAP).div_ceil(8)
}

struct Bench {
    dut: Dut,
    i: Vec<u64>,
    o: Vec<u64>,
    used: u64,
    xoff: bool,
    busy: bool,
}

impl Bench {
    fn open(name: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            dut: Dut::open(name, options)?,
            i: port::inputs().to_vec(),
            o: port::outputs().to_vec(),
            used: 0,
            xoff: false,
            busy: false,
        })
    }

    /// A block that forgets the cable lets the store overflow, if only by its 156 cycles.
    fn seeded_bug_is_found(&self, options: &Options) -> Result<(), Error> {
        let options = Options {
            waves: None,
            ..options.clone()
        };
        let mut short = Self::open(mac_xoff_short::NAME, &options)?;
        short.i[port::MAX_FRAME_I] = LONGEST;
        short.i[port::ENABLE_I] = 1;
        // The last frame must begin at the last moment: of some length one does.
        for len in (900..1600).step_by(40) {
            match short.fill(len, LONGEST) {
                Err(Error::Mismatch { message, .. }) if message.contains("the store is full") => {
                    return Ok(());
                }
                result => result?,
            };
            short.used = 0;
            short.step()?;
            short.step()?;
        }
        Err(self.dut.mismatch("without a cable the store is not full"))
    }

    /// One cycle: what `busy_o` said about it must be so.
    fn step(&mut self) -> Result<bool, Error> {
        self.i[port::FREE_WORDS_I] = STORE - self.used;
        self.dut.step(&self.i, &mut self.o)?;
        let xoff = self.o[port::XOFF_O] == 1;
        if (xoff != self.xoff) != self.busy {
            return Err(self
                .dut
                .mismatch(format!("xoff_o goes to {xoff}, busy_o was {}", self.busy)));
        }
        self.xoff = xoff;
        self.busy = self.o[port::BUSY_O] == 1;
        Ok(xoff)
    }

    /// The store fills with frames of `len` bytes; what is left at the end, when it was `before`.
    fn fill(&mut self, len: u64, most: u64) -> Result<u64, Error> {
        // Until the PAUSE has left, behind a frame of ours, has come there, and the peer begins no more.
        let silence = cycles(most) + PAUSE + CABLE + REACTION;
        // The last moment at which the peer begins a frame.
        let mut deadline = None;
        let mut cycle = 0;
        while deadline.is_none_or(|deadline| cycle <= deadline) {
            // Its last one is the longest.
            let last = deadline.is_some_and(|deadline| cycle + cycles(len) > deadline);
            let len = if last { most } else { len };
            for at in 0..cycles(len) {
                if at < (len - FCS).div_ceil(8) {
                    if self.used == STORE {
                        let text = format!("the store is full: {len} of at most {most} bytes");
                        return Err(self.dut.mismatch(text));
                    }
                    self.used += 1;
                }
                if self.step()? {
                    deadline.get_or_insert(cycle + silence);
                }
                cycle += 1;
            }
        }
        Ok(STORE - self.used)
    }
}

pub(super) fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "mac_xoff");
    let mut report = Report::default();
    let mut bench = Bench::open(port::NAME, options)?;
    bench.seeded_bug_is_found(options)?;
    for round in 0..200 * options.effort {
        let most = match round {
            0 => LONGEST,
            1 => 9018,
            2 => 1522,
            _ => rng.random_range(86..=LONGEST),
        };
        let len = *[most, 64, rng.random_range(64..=most)]
            .get(round as usize % 3)
            .unwrap_or(&64);
        bench.i[port::MAX_FRAME_I] = most;
        bench.i[port::ENABLE_I] = 1;
        // Frames that are gone before: any place to begin from at which the peer was not asked.
        bench.used = rng.random_range(0..100);
        bench.step()?;
        let left = bench.fill(len, most)?;
        report.add("fillings", 1);
        report.add("words left at the end", left);
        // Not too early either: room for as much as two frames is used with the usual length.
        if most <= 1522 && left > 600 {
            let text = format!("{left} words are left with frames of {most} bytes");
            return Err(bench.dut.mismatch(text));
        }
        // Emptied it is quiet again, and before it is empty; once, and not before a good part is gone.
        let asked = bench.used;
        let mut changes = 0;
        while bench.used != 0 {
            let before = bench.xoff;
            bench.used -= 1;
            bench.step()?;
            changes += u64::from(bench.xoff != before);
            if changes == 1
                && before != bench.xoff
                && (bench.used == 0 || bench.used * 2 > asked + 100)
            {
                let text = format!("XON with {} of {asked} words", bench.used);
                return Err(bench.dut.mismatch(text));
            }
        }
        if changes != 1 || bench.xoff {
            let text = format!("{changes} changes while the store becomes empty");
            return Err(bench.dut.mismatch(text));
        }
        // Switched off it never asks, and takes back what it asked for.
        bench.used = STORE;
        bench.step()?;
        bench.i[port::ENABLE_I] = rng.random_range(0..2);
        bench.step()?;
        bench.step()?;
        if bench.xoff != (bench.i[port::ENABLE_I] == 1) {
            return Err(bench.dut.mismatch("xoff_o does not follow enable_i"));
        }
        bench.used = 0;
        bench.step()?;
        bench.step()?;
    }
    report.cycles = bench.dut.block.cycle();
    Ok(report)
}
