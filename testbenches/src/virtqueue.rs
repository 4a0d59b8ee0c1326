//! Testbench of the packed-virtqueue engine: a driver and a DMA engine around it, both random.

mod axi;
mod pins;
mod session;

use crate::{
    block::{virtqueue_rx, virtqueue_rx_256, virtqueue_tx, virtqueue_tx_64},
    dut::Dut,
    testbench::{Error, Options, Report, Testbench},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use session::{Ending, Session};

/// `virtqueue` between a driver written from the specification and a DMA engine model.
pub const VIRTQUEUE: Testbench = Testbench {
    name: "virtqueue",
    about: "packed ring: order, wraps, chains, events both ways, errors, disable at any cycle",
    run,
};

/// A build of the block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    name: &'static str,
    /// Receive queue.
    write: bool,
    /// Bytes of the host's data bus.
    bus: usize,
}

const VARIANTS: [Variant; 4] = [
    Variant {
        name: virtqueue_rx::NAME,
        write: true,
        bus: 16,
    },
    Variant {
        name: virtqueue_tx::NAME,
        write: false,
        bus: 16,
    },
    Variant {
        name: virtqueue_rx_256::NAME,
        write: true,
        bus: 32,
    },
    Variant {
        name: virtqueue_tx_64::NAME,
        write: false,
        bus: 8,
    },
];

/// Sessions (enable to disable) per variant and effort.
const SESSIONS: u32 = 60;

fn run(options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    for (index, variant) in VARIANTS.iter().enumerate() {
        let seed = options.seed;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index as u64);
        let mut dut = Dut::open_variant(variant.name, options)?;
        for number in 0..SESSIONS * options.effort {
            let ending = match number % 4 {
                0 => Ending::Drain,
                1 => Ending::DisableAtRingEnd {
                    laps: rng.random_range(1..5),
                },
                2 => Ending::Disable {
                    at: rng.random_range(1..3000),
                },
                _ => Ending::fault(&mut rng, variant.write),
            };
            let mut session = Session::new(&mut dut.block, *variant, ending, &mut rng);
            let result = session.run();
            let text = session.describe();
            report.merge(&session.into_report());
            result.map_err(|failure| match failure {
                session::Failure::Stopped(stopped) => dut.stopped(stopped),
                session::Failure::Mismatch(message) => dut.mismatch(format!(
                    "{} session {number} ({text}): {message}",
                    variant.name
                )),
            })?;
        }
    }
    Ok(report)
}
