//! Testbenches of the checksum offloads: verification on receive, insertion on transmit.

mod rx;
mod tx;

use crate::Testbench;

/// `rx_csum` against byte-wise sums on frames built by another library, whole and damaged.
pub const RX_CSUM: Testbench = Testbench {
    name: "rx_csum",
    about: "TCP/UDP verification: every length, tags, options, extension headers, every byte flipped",
    run: rx::run,
};

/// `tx_csum` against byte-wise sums at random places, with malformed headers, stalls and resets.
pub const TX_CSUM: Testbench = Testbench {
    name: "tx_csum",
    about: "checksum insertion: every alignment and length, malformed headers, back-pressure, flush",
    run: tx::run,
};
