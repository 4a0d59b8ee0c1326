//! Testbench of `fifo`: a word comes out as it went in, in order, once.

use crate::{
    Error, Options, Report, Testbench,
    block::{fifo as port, fifo_2, fifo_checker},
    dut::Dut,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Two sizes of `fifo` against a queue; what the small one does, `fifo_checker` judges as well.
pub const FIFO: Testbench = Testbench {
    name: "fifo",
    about: "full, empty, both sides at once, flush: order, count and handshakes against a queue",
    run,
};

/// The ports but the data, which are last, are at the same places for all widths.
const _: () = assert!(port::DATA_I == fifo_2::DATA_I && port::DATA_O == fifo_2::DATA_O);

/// Words of the widest data port.
const WORDS: usize = fifo_2::IN_WORDS - fifo_2::DATA_I;

/// A build of the block.
struct Build {
    name: &'static str,
    depth: usize,
    /// Bits.
    width: usize,
    /// The checker's ports have its width.
    checked: bool,
}

/// As in build/primitives.rs.
const BUILDS: [Build; 2] = [
    Build {
        name: port::NAME,
        depth: 4,
        width: 16,
        checked: true,
    },
    Build {
        name: fifo_2::NAME,
        depth: 2,
        width: 70,
        checked: false,
    },
];

fn run(options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    for build in &BUILDS {
        report.merge(&run_build(build, options)?);
    }
    Ok(report)
}

fn run_build(build: &Build, options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report::default();
    let mut dut = Dut::open_variant(build.name, options)?;
    let mut checker = match build.checked {
        true => Some(Dut::open_variant(fifo_checker::NAME, options)?),
        false => None,
    };
    let words = build.width.div_ceil(64);
    let mut held: VecDeque<[u64; WORDS]> = VecDeque::new();
    // What is offered stays.
    let mut offer = None;
    let (mut put, mut take, mut flush) = (0.5, 0.5, 0.0);
    for cycle in 0..100_000 * u64::from(options.effort) {
        if cycle % 200 == 0 {
            put = [0.1, 0.5, 1.0][rng.random_range(0..3)];
            take = [0.1, 0.5, 1.0][rng.random_range(0..3)];
            flush = [0.0, 0.0, 0.05][rng.random_range(0..3)];
        }
        if offer.is_none() && rng.random_bool(put) {
            let mut word: [u64; WORDS] = rng.random();
            word[words..].fill(0);
            word[words - 1] &= u64::MAX >> (words * 64 - build.width);
            offer = Some(word);
        }
        let (ready, clear) = (rng.random_bool(take), rng.random_bool(flush));
        let (mut i, mut o) = ([0; fifo_2::IN_WORDS], [0; fifo_2::OUT_WORDS]);
        i[port::FLUSH_I] = clear.into();
        i[port::READY_I] = ready.into();
        i[port::VALID_I] = offer.is_some().into();
        i[port::DATA_I..].copy_from_slice(&offer.unwrap_or_default());
        let (ins, outs) = (port::DATA_I + words, port::DATA_O + words);
        dut.step(&i[..ins], &mut o[..outs])?;
        if let Some(checker) = &mut checker {
            let mut i = fifo_checker::inputs();
            i[fifo_checker::FLUSH_I] = clear.into();
            i[fifo_checker::IN_I] = offer.unwrap_or_default()[0];
            i[fifo_checker::IN_VALID_I] = offer.is_some().into();
            i[fifo_checker::IN_READY_I] = o[port::READY_O];
            i[fifo_checker::OUT_I] = o[port::DATA_O];
            i[fifo_checker::OUT_VALID_I] = o[port::VALID_O];
            i[fifo_checker::OUT_READY_I] = ready.into();
            checker.step(&i, &mut [])?;
        }

        let full = held.len() == build.depth;
        let seen = [port::READY_O, port::VALID_O, port::COUNT_O].map(|at| o[at]);
        let expected = [(!full).into(), (!held.is_empty()).into(), held.len() as u64];
        dut.check(seen == expected, || {
            format!("ready, valid, count: {seen:?} instead of {expected:?}")
        })?;
        if let Some(due) = held.front() {
            let shown = &o[port::DATA_O..outs];
            dut.check(*shown == due[..words], || {
                format!("{shown:x?} instead of {due:x?}")
            })?;
        }
        let popped = ready && held.pop_front().is_some();
        let pushed = offer.filter(|_| !full);
        if pushed.is_some() {
            offer = None;
        }
        held.extend(pushed);
        report.add("words", popped.into());
        report.add("cycles full", full.into());
        report.add("both sides at once", (popped && pushed.is_some()).into());
        if clear {
            report.add("words flushed", held.len() as u64);
            held.clear();
        }
    }
    report.cycles = dut.cycle();
    Ok(report)
}
