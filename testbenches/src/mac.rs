//! The MAC: CRC, receive, transmit, and both against each other.
//!
//! The reference is the wire model of [`hwmodel::xgmii`] (encoder and checker, `crc32fast` for the
//! FCS) and, for receive, [`Fate`]: which counter a frame must end in.

mod crc;
mod fate;
mod loopback;
mod pause;
mod rx;
mod rx_port;
mod tx;
mod tx_port;
mod xoff;

pub use fate::Fate;
pub use rx_port::{Received, RxPort, RxStat};
pub use tx_port::{TxPort, TxStat};

use crate::{Error, Options, Report, Testbench, dut::Dut};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// For the list of all testbenches.
pub const TESTBENCHES: [Testbench; 7] = [
    Testbench {
        name: "mac_crc32",
        about: "CRC-32 of every length against crc32fast",
        run: crc::run,
    },
    Testbench {
        name: "mac_rx",
        about: "XGMII receive against a scoreboard: every length, both start lanes, faults",
        run: rx::run,
    },
    Testbench {
        name: "mac_tx",
        about: "XGMII transmit against the wire checker: every length, gaps, rate, underrun",
        run: tx::run,
    },
    Testbench {
        name: "mac_loop",
        about: "what transmit sends is what receive delivers",
        run: loopback::run,
    },
    Testbench {
        name: "mac_control_rx",
        about: "PAUSE and other control frames among frames like them, good and bad",
        run: pause::run_rx,
    },
    Testbench {
        name: "mac_pause_tx",
        about: "no frame begins in a pause; XOFF, again in time, and XON between frames",
        run: pause::run_tx,
    },
    Testbench {
        name: "mac_xoff",
        about: "a store filled at line rate while own frame, cable and peer take their longest: never full",
        run: xoff::run,
    },
];

/// Longest frame of the tests in bytes, FCS not included.
const LONGEST: usize = 9216;
/// Length of the FCS in bytes.
const FCS: usize = 4;
/// Shortest frame in bytes, FCS not included.
const SHORTEST: usize = 60;

/// The part `name` of a testbench has random numbers of its own, so that parts do not disturb each
/// other.
fn rng(options: &Options, name: &str) -> ChaCha8Rng {
    let part = name.bytes().fold(0, |hash: u64, byte| {
        hash.wrapping_mul(257) + u64::from(byte)
    });
    ChaCha8Rng::seed_from_u64(options.seed.wrapping_add(part.rotate_left(32)))
}

fn random_bytes(rng: &mut ChaCha8Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    // A VLAN tag makes the longest frame longer.
    if len >= 16 && rng.random_bool(0.3) {
        let tag = [[0x81, 0x00], [0x88, 0xa8]][rng.random_range(0..2)];
        bytes[12..14].copy_from_slice(&tag);
    }
    bytes
}

/// A part of a testbench, or all of it.
type Part = fn(&Options) -> Result<Report, Error>;

/// Runs the parts of a testbench, each with a device of its own, and adds up their reports.
fn run_parts(options: &Options, parts: &[Part]) -> Result<Report, Error> {
    let mut report = Report::default();
    for (index, part) in parts.iter().enumerate() {
        // One FST file can hold one device: the first part's.
        let waves = options.waves.clone().filter(|_| index == 0);
        report.merge(&part(&Options {
            waves,
            ..options.clone()
        })?);
    }
    Ok(report)
}
