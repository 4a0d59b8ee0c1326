//! What the clients of the write side want: words, and receive bursts with their beats.

use super::BURST;
use crate::bundle::WordWrite;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Bytes of a write, in the order of their places.
pub type Bytes = Vec<(u64, u8)>;

/// A word of 1, 2, 4 or 8 bytes at its own place in `page`, and its bytes.
pub fn word(page: u64, rng: &mut ChaCha8Rng) -> (WordWrite, Bytes) {
    let size = rng.random_range(0..4);
    let addr = page + (rng.random_range(0..4096) >> size << size);
    let data: u64 = rng.random();
    let bytes = (addr..addr + (1 << size)).map(|at| (at, (data >> (8 * (at % 8))) as u8));
    (WordWrite { addr, size, data }, bytes.collect())
}

/// A burst's address.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    pub pair: u64,
    pub addr: u64,
    /// Beats - 1.
    pub len: u64,
}

/// A beat.
#[derive(Debug, Clone)]
pub struct Beat {
    pub data: Vec<u64>,
    pub strb: u64,
}

/// The receive DMA: addresses and beats on their ways, whole bursts only.
#[derive(Debug, Default)]
pub struct Bursts {
    pub addresses: VecDeque<Address>,
    pub beats: VecDeque<Beat>,
}

impl Bursts {
    /// One more, of beats of `bus` bytes, in `page`; the bytes that it writes.
    pub fn push(&mut self, pair: u64, page: u64, bus: u64, rng: &mut ChaCha8Rng) -> Bytes {
        let window = BURST * bus;
        let base = page + rng.random_range(0..4096 / window) * window;
        let first = base
            + if rng.random() {
                0
            } else {
                rng.random_range(0..window)
            };
        let room = base + window - first;
        // One byte, a few, or all to the end.
        let count = match rng.random_range(0..4) {
            0 => rng.random_range(1..=room.min(8)),
            1 => room,
            _ => rng.random_range(1..=room),
        };
        let bytes: Bytes = (first..first + count)
            .map(|at| (at, rng.next_u32() as u8))
            .collect();
        let start = first / bus;
        let end = (first + count - 1) / bus;
        for beat in start..=end {
            let mut data = vec![0; bus.div_ceil(8) as usize];
            let mut strb = 0;
            for (at, byte) in bytes.iter().filter(|(at, _)| at / bus == beat) {
                let lane = at % bus;
                data[lane as usize / 8] |= u64::from(*byte) << (8 * (lane % 8));
                strb |= 1 << lane;
            }
            self.beats.push_back(Beat { data, strb });
        }
        self.addresses.push_back(Address {
            pair,
            addr: first,
            len: end - start,
        });
        bytes
    }
}
