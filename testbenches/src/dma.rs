//! Testbenches of the AXI4 master: requests of many clients in, transactions of one bus out, and their
//! answers back to whom they belong.
//!
//! What a burst may be is decided before: `tx_dma` and `rx_scatter` end theirs at multiples of 16 beats
//! (their benches check it), so that none crosses 4 KiB. Here bursts start and end anywhere inside of
//! that, at its edges above all, and must arrive byte by byte.

mod axi;
mod host;
mod port;
mod read;
mod source;
mod write;

use crate::Testbench;

/// `dma_read` alone.
pub const DMA_READ: Testbench = Testbench {
    name: "dma_read",
    about: "read requests of all clients: IDs, sizes, turns, offers that stay, reset",
    run: read::run,
};

/// `dma_write` alone.
pub const DMA_WRITE: Testbench = Testbench {
    name: "dma_write",
    about: "words and bursts: bytes, strobes, one order on both channels, turns, no idle beat, reset",
    run: write::run,
};

/// Both with what brings the answers back.
pub const DMA_PORT: Testbench = Testbench {
    name: "dma_port",
    about: "answers late, out of order, refused or never: each to its client, AXI rules, reset in flight",
    run: port::run,
};

/// Queues in `dma_read` and `dma_write`, as in build/dma.rs: a pair and the control queue.
const QUEUES: usize = 3;
/// Beats of a burst at the most, and the multiple of beats where it ends (`nic_pkg`).
const BURST: u64 = 16;
/// Nothing of what is due came for so many cycles.
const STUCK: u64 = 2000;

/// AXI IDs as `nic_pkg` gives them: kind, queue; the control queue is 16 in every card.
mod id {
    pub const DESC: u64 = 0x00;
    pub const RING: u64 = 0x20;
    pub const DATA: u64 = 0x40;
    pub const MSIX: u64 = 0x60;
    pub const CTRL: u64 = 16;

    /// A queue's part of it.
    pub fn queue(queue: usize, queues: usize) -> u64 {
        if queue + 1 == queues {
            CTRL
        } else {
            queue as u64
        }
    }
}
