//! Testbench of the receive DMA: frames in, buffers and used chains out, against the specification.
//!
//! The reference knows what the driver may rely on (virtio 5.1.6.4): a frame's bytes and header are
//! in its buffers before the first of them comes back, all chains of a frame are joined, all but the
//! last are full, `num_buffers` counts them, and what was not delivered was counted with a reason that
//! holds.

mod bench;
mod memory;
mod pins;
mod queue;

use crate::{
    Error, Options, Report, Testbench,
    block::{rx_dma, rx_dma_64, rx_dma_512},
    dut::Dut,
};
use bench::{Bench, Failure};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// `rx_dma` between a frame source, receive queues and memory, all of them random.
pub const RX_DMA: Testbench = Testbench {
    name: "rx_dma",
    about: "frames into buffers of any split: mergeable, headers, starved and stuck queues, disable at any cycle",
    run,
};

/// `StarveCycles` in build/dma.rs.
const PATIENCE: u64 = 200;
/// Sessions per variant and effort.
const SESSIONS: u32 = 40;

/// A build of the block.
#[derive(Debug, Clone, Copy)]
struct Variant {
    name: &'static str,
    pairs: usize,
    /// Bytes of the host's data bus.
    bus: usize,
    out_words: usize,
    in_words: usize,
}

const VARIANTS: [Variant; 3] = [
    Variant {
        name: rx_dma::NAME,
        pairs: 1,
        bus: 16,
        out_words: rx_dma::OUT_WORDS,
        in_words: rx_dma::IN_WORDS,
    },
    Variant {
        name: rx_dma_64::NAME,
        pairs: 4,
        bus: 8,
        out_words: rx_dma_64::OUT_WORDS,
        in_words: rx_dma_64::IN_WORDS,
    },
    Variant {
        name: rx_dma_512::NAME,
        pairs: 3,
        bus: 64,
        out_words: rx_dma_512::OUT_WORDS,
        in_words: rx_dma_512::IN_WORDS,
    },
];

/// What one session is about.
#[derive(Debug, Clone)]
struct Scenario {
    mergeable: bool,
    hash_report: bool,
    frames: u32,
    /// Longest frame.
    longest: usize,
    /// Longest descriptor; the shortest is empty.
    piece: u32,
    /// Most descriptors of a chain.
    chain: usize,
    /// Ring entries.
    size: u16,
    /// Probability per cycle that a frame is offered, a data word is there, a queue's next chain, a
    /// ready.
    offer: f64,
    data: f64,
    refill: f64,
    ready: f64,
    used: f64,
    /// Cycles from a burst to its response.
    latency: u64,
    /// A queue that never gets a buffer.
    starved: Option<usize>,
    /// A queue whose responses stop after some bursts.
    stuck: Option<usize>,
    /// Probability per cycle that a queue is disabled.
    disable: f64,
    /// Probability that a response is an error.
    error: f64,
}

impl Scenario {
    fn random(variant: &Variant, rng: &mut ChaCha8Rng) -> Self {
        let mergeable = rng.random_bool(0.6);
        let chance = |rng: &mut ChaCha8Rng| *[0.1, 0.5, 1.0, 1.0].choose(rng).unwrap_or(&1.0);
        let several = variant.pairs > 1;
        let queue = |rng: &mut ChaCha8Rng| rng.random_range(0..variant.pairs);
        let longest = *[64, 300, 1514, 9234, 66_000].choose(rng).unwrap_or(&64);
        let piece = *[1, 20, 150, 2048, 70_000].choose(rng).unwrap_or(&2048);
        Self {
            mergeable,
            hash_report: rng.random(),
            frames: if longest > 9000 { 8 } else { 40 },
            longest,
            piece: if longest > 2000 {
                piece.max(150)
            } else {
                piece
            },
            chain: *[1, 1, 3, 20].choose(rng).unwrap_or(&1),
            size: rng.random_range(1..=64),
            offer: chance(rng),
            data: chance(rng),
            refill: *[0.01, 0.1, 1.0].choose(rng).unwrap_or(&1.0),
            ready: chance(rng),
            used: chance(rng),
            latency: *[0, 10, 100, 800].choose(rng).unwrap_or(&0),
            starved: (several && rng.random_bool(0.3)).then(|| queue(rng)),
            stuck: (several && rng.random_bool(0.3)).then(|| queue(rng)),
            disable: *[0.0, 0.0, 0.002, 0.01].choose(rng).unwrap_or(&0.0),
            error: *[0.0, 0.0, 0.01].choose(rng).unwrap_or(&0.0),
        }
    }
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    let seed = options.seed;
    for (index, variant) in VARIANTS.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index as u64);
        let mut dut = Dut::open_variant(variant.name, options)?;
        for number in 0..SESSIONS * options.effort {
            let scenario = Scenario::random(variant, &mut rng);
            let mut bench = Bench::new(&mut dut.block, *variant, scenario.clone(), &mut rng);
            let result = bench.run();
            report.merge(&bench.report);
            result.map_err(|failure| match failure {
                Failure::Stopped(stopped) => dut.stopped(stopped),
                Failure::Mismatch(message) => dut.mismatch(format!(
                    "{} session {number} ({scenario:?}): {message}",
                    variant.name
                )),
            })?;
        }
    }
    Ok(report)
}
