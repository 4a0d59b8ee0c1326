//! Testbenches of transmit segmentation (virtio 1.2, 5.1.6.2).

mod bench;
mod kernel;
mod rate;
mod reference;
pub(crate) mod stimulus;

use crate::{Testbench, frames::Shape};
use rand::{Rng, RngExt};

/// `tx_seg` against an independent segmentation and against a kernel's.
pub const TX_SEG: Testbench = Testbench {
    name: "tx_seg",
    about: "TSO4/TSO6/ECN/USO: all header forms, illegal fields, aborts, back-pressure, a kernel's segments",
    run: bench::run,
};

/// Output rate of `tx_seg` against line rate.
pub const TX_SEG_RATE: Testbench = Testbench {
    name: "tx_seg_rate",
    about: "segments per cycle for gso_size 64 to 8948 against line rate; mixed with single frames",
    run: rate::run,
};

/// Fields of `struct virtio_net_hdr` (virtio 5.1.6) that a transmitted frame has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NetHdr {
    pub flags: u8,
    pub gso_type: u8,
    pub hdr_len: u16,
    pub gso_size: u16,
    pub csum_start: u16,
    pub csum_offset: u16,
    pub num_buffers: u16,
}

const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Bytes of the longest headers that are repeated, Ethernet included.
const MAX_HEADERS: usize = 496;
/// Bytes of the longest super-frame.
const MAX_SUPER_FRAME: usize = 14 + 8 + 40 + 65_535;

impl NetHdr {
    pub fn bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        let words = [
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
            self.num_buffers,
        ];
        for (field, word) in bytes[2..].chunks_mut(2).zip(words) {
            field.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// A random super-frame with its `virtio_net_hdr`; an illegal one when wanted.
#[cfg_attr(not(feature = "nic"), expect(dead_code))] // whole cards need it
pub(crate) fn super_frame(
    rng: &mut impl Rng,
    max_frame: usize,
    illegal: bool,
) -> ([u8; 12], Vec<u8>) {
    let frame = if illegal {
        let way = rng.random_range(0..stimulus::ILLEGAL.len());
        stimulus::illegal(way, max_frame, rng)
    } else {
        stimulus::random_legal(rng)
    };
    (frame.hdr.bytes(), frame.bytes)
}

/// A piece of a TCP stream as it is sent and received: no flags but ACK, and PSH at its end.
#[cfg_attr(not(feature = "nic"), expect(dead_code))] // whole cards need it
pub(crate) fn stream(rng: &mut impl Rng, shape: &Shape, gso_size: u16) -> ([u8; 12], Vec<u8>) {
    let mut frame = stimulus::legal(shape, gso_size, rng);
    frame.hdr.gso_type &= !GSO_ECN;
    let flags = frame.parts.l4 + 13;
    frame.bytes[flags] = if rng.random() { 0x10 } else { 0x18 };
    (frame.hdr.bytes(), frame.bytes)
}
