//! Testbenches of the protocol checkers: legal traffic passes, and each broken rule is caught.
//!
//! A run of legal random traffic is recorded as pins, cycle by cycle. The checker must be silent about
//! it. Then, for each rule, the recording is spoilt in one place in a way that breaks that rule, and
//! the checker must stop with the rule's message.

mod axi4;
mod axil;
mod axis;
mod fifo;

use crate::{
    Error, Options, Report, Testbench,
    block::{Block, Stopped},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// AXI4-Stream.
pub const AXIS_CHECKER: Testbench = Testbench {
    name: "axis_checker",
    about: "AXI4-Stream rules: silent about legal streams, fires on each broken rule",
    run: |options| run(options, &axis::SUBJECT),
};
/// AXI4-Lite.
pub const AXIL_CHECKER: Testbench = Testbench {
    name: "axil_checker",
    about: "AXI4-Lite rules: silent about legal accesses, fires on each broken rule",
    run: |options| run(options, &axil::SUBJECT),
};
/// AXI4.
pub const AXI4_CHECKER: Testbench = Testbench {
    name: "axi4_checker",
    about: "AXI4 rules: silent about legal bursts, fires on each broken rule",
    run: |options| run(options, &axi4::SUBJECT),
};

/// FIFOs.
pub const FIFO_CHECKER: Testbench = Testbench {
    name: "fifo_checker",
    about: "FIFO rules: silent about legal words, fires on each broken rule",
    run: |options| run(options, &fifo::SUBJECT),
};

/// Pins of one cycle, as the block's input words.
type Pins = Vec<u64>;

/// A way to break a rule: finds a place in a recording and spoils it; `None` when there is none.
type Spoil = fn(&mut Vec<Pins>, &mut ChaCha8Rng) -> Option<()>;

/// A checker under test.
struct Subject {
    block: &'static str,
    /// Legal traffic of about so many cycles.
    legal: fn(usize, &mut ChaCha8Rng) -> Vec<Pins>,
    /// What is broken, how, and a part of the message that must come.
    rules: &'static [(&'static str, Spoil, &'static str)],
}

fn run(options: &Options, subject: &Subject) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    for _ in 0..20 * options.effort {
        let pins = (subject.legal)(2000, &mut rng);
        play(subject.block, options, &pins, &mut report)
            .map_err(|stopped| Error::Stopped { seed, stopped })?;
        report.add("legal runs", 1);
    }
    for (what, spoil, message) in subject.rules {
        for _ in 0..3 {
            // The place is random, and not each recording has one.
            let spoilt = (0..50).find_map(|_| {
                let mut pins = (subject.legal)(500, &mut rng);
                spoil(&mut pins, &mut rng).map(|()| pins)
            });
            let mismatch = |message: String| Error::Mismatch {
                seed,
                cycle: 0,
                message,
            };
            let pins = spoilt.ok_or_else(|| mismatch(format!("{what}: no place for it")))?;
            match play(subject.block, options, &pins, &mut report) {
                Err(stopped) if stopped.message.contains(message) => report.add(what, 1),
                Err(stopped) => {
                    return Err(mismatch(format!(
                        "{what}: {stopped} instead of {message:?}"
                    )));
                }
                Ok(()) => return Err(mismatch(format!("{what}: the checker saw nothing"))),
            }
        }
    }
    Ok(report)
}

fn play(name: &str, options: &Options, pins: &[Pins], report: &mut Report) -> Result<(), Stopped> {
    let mut block = Block::open(name)?;
    if let Some(path) = &options.waves {
        block.open_waves(path)?;
    }
    let result = pins.iter().try_for_each(|pins| block.step(pins, &mut []));
    report.cycles += block.cycle();
    result
}

/// A random cycle from `from` on in which `wanted` holds.
fn place(pins: &[Pins], rng: &mut ChaCha8Rng, wanted: impl Fn(usize) -> bool) -> Option<usize> {
    let places: Vec<usize> = (1..pins.len() - 1).filter(|at| wanted(*at)).collect();
    (!places.is_empty()).then(|| places[rng.random_range(0..places.len())])
}
