//! What a session is: features, sizes, the host's ways, and where its resets are. All of it follows from
//! the seed and from what the card offers.

use super::ctrl;
use crate::nic::{frame::MIN_FRAME, host::feature};
use hwmodel::{AxiHostConfig, NicConfig, Stalls, model::feature as net};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// What ends a life, or disturbs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// device_status = 0 (2.4.1).
    Device,
    /// Function Level Reset.
    Function,
    /// queue_reset (2.6.1) of this queue.
    Queue(usize),
}

impl Reset {
    /// Its value of the coverage's dimension "reset".
    pub fn value(self) -> u8 {
        match self {
            Self::Device => 1,
            Self::Function => 2,
            Self::Queue(queue) => 3 + (queue % 2) as u8,
        }
    }
}

/// A bring-up and what follows.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Negotiated.
    pub features: u64,
    pub queue_pairs: u16,
    pub mtu: u16,
    /// Frames come as fast as the wire carries them, no matter what the card can hold.
    pub flood: bool,
    /// Receive buffers that are too short are among those offered.
    pub short: bool,
    /// Chance that a driver fills its queues when it could.
    pub eager: f64,
    pub elements: usize,
    /// Value of the coverage's dimension "pressure".
    pub pressure: u8,
}

/// How the host's bus behaves, and the card on it.
pub fn card(rng: &mut ChaCha8Rng, seed: u64) -> NicConfig {
    let axi = match rng.random_range(0..5) {
        0 | 1 => AxiHostConfig::default(),
        // As fast as a link of today, and in any order.
        2 => AxiHostConfig {
            read_latency: rng.random_range(100_000..700_000),
            jitter: rng.random_range(0..300_000),
            out_of_order: true,
            stalls: Stalls {
                aw: 50,
                w: 50,
                b: 100,
                ar: 50,
                r: 100,
            },
            ..AxiHostConfig::default()
        },
        _ => AxiHostConfig::random(rng.random()),
    };
    NicConfig {
        mtu: *[1500, 1500, 9000, 9202, 600].choose(rng).unwrap_or(&1500),
        // One pair runs on the build for one.
        queue_pairs: if rng.random_bool(0.4) {
            1
        } else {
            rng.random_range(2..=8)
        },
        axi,
        mmio_read_latency: rng.random_range(0..1_000_000),
        mmio_write_latency: rng.random_range(0..400_000),
        checks: rng.random_bool(0.3),
        seed,
        ..NicConfig::default()
    }
}

/// Value of the coverage's dimension "pressure" of a host.
fn pressure(axi: &AxiHostConfig) -> u8 {
    let stalls = &axi.stalls;
    let most = [stalls.aw, stalls.w, stalls.b, stalls.ar, stalls.r];
    match most.into_iter().max() {
        _ if axi.max_reads < 4 || axi.max_writes < 4 => 2,
        Some(0) | None => 0,
        Some(700..) => 2,
        Some(_) => 1,
    }
}

impl Plan {
    /// Any features of those in `offered`, and what they need.
    pub fn new(rng: &mut ChaCha8Rng, card: &NicConfig, offered: u64) -> Self {
        // All of them, half, or few.
        let wanted = match rng.random_range(0..4) {
            0 => u64::MAX,
            1 => rng.random::<u64>() & rng.random::<u64>(),
            _ => rng.random::<u64>() | rng.random::<u64>(),
        };
        let mut features = offered & (wanted | feature::BASE);
        while net::unmet(features) != 0 {
            features &= !net::unmet(features);
        }
        let flood = rng.random_bool(0.15);
        Self {
            features,
            queue_pairs: card.queue_pairs,
            mtu: card.mtu,
            flood,
            short: rng.random_bool(0.2),
            eager: *[0.3, 0.6, 0.95].choose(rng).unwrap_or(&0.6),
            elements: *[1, 2, 5, 12].choose(rng).unwrap_or(&1),
            pressure: if flood { 3 } else { pressure(&card.axi) },
        }
    }

    /// All these features were negotiated.
    pub fn has(&self, features: u64) -> bool {
        self.features & features == features
    }

    pub fn event_idx(&self) -> bool {
        self.has(net::RING_EVENT_IDX)
    }

    /// Queue pairs that are set up.
    pub fn pairs(&self) -> usize {
        ctrl::pairs(self.features, self.queue_pairs)
    }

    /// Bytes of virtio_net_hdr.
    pub fn header(&self) -> usize {
        if self.has(net::HASH_REPORT) { 20 } else { 12 }
    }

    /// Bytes of the longest frame, VLAN tag included, FCS not.
    pub fn max_frame(&self) -> usize {
        usize::from(self.mtu) + 18
    }

    pub fn coalesces(&self) -> bool {
        self.features & (net::GUEST_TSO4 | net::GUEST_TSO6) != 0
    }

    pub fn segments(&self) -> bool {
        self.features & (net::HOST_TSO4 | net::HOST_TSO6 | net::HOST_USO) != 0
    }

    /// Bytes from a receive buffer to the next: 5.1.6.3.1 wants 65562 where super-frames may come.
    pub fn rx_slot(&self) -> u64 {
        if self.coalesces() && !self.has(net::MRG_RXBUF) {
            0x1_1000
        } else {
            0x4000
        }
    }

    pub fn tx_slot(&self) -> u64 {
        if self.segments() { 0x1_1000 } else { 0x4000 }
    }

    /// Length of a receive buffer: enough for any frame, unless short ones are offered or frames may go
    /// over several.
    pub fn capacity(&self, rng: &mut ChaCha8Rng) -> usize {
        let whole = self.header()
            + if self.coalesces() {
                65_550
            } else {
                self.max_frame()
            };
        if self.has(net::MRG_RXBUF) {
            return match rng.random_range(0..4) {
                0 => rng.random_range(64..300),
                1 => 1536 + rng.random_range(0..512),
                2 => rng.random_range(300..4096),
                _ => self.header() + self.max_frame(),
            };
        }
        if self.short && rng.random_bool(0.3) {
            return rng.random_range(1..whole);
        }
        whole
    }

    /// Length of a frame, FCS not included, without regard to whether the card takes it.
    pub fn length(&self, rng: &mut ChaCha8Rng) -> usize {
        let most = self.max_frame();
        match rng.random_range(0..40) {
            0 => rng.random_range(14..MIN_FRAME),
            1 => rng.random_range(most - 6..most + 60),
            2..=8 => MIN_FRAME,
            9..=18 => rng.random_range(61..124),
            19..=26 => rng.random_range(124..508),
            27..=34 => rng.random_range(508..=most.clamp(510, 1514)),
            _ => rng.random_range(1000.min(most - 1)..=most),
        }
    }
}
