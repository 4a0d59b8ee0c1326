//! Frames of many flows for all receive queues, and the command that spreads them.

use crate::{
    flow,
    frames::{self, Shape},
    nic::{
        host::{Fail, Host, feature},
        random::ctrl,
    },
};
use hwmodel::{model::feature as net, rss_vectors::KEY};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// How received frames come to their queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// There is one.
    Single,
    /// As the device likes, among all: VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET (virtio 5.1.6.5.5).
    Pairs,
    /// By the driver's table and the Toeplitz hash: VIRTIO_NET_CTRL_MQ_RSS_CONFIG (5.1.6.5.7).
    Rss,
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "",
            Self::Pairs => "mq",
            Self::Rss => "rss",
        })
    }
}

/// All of VIRTIO_NET_HASH_TYPE_*.
const TYPES: u32 = 0x1ff;
/// Entries of the indirection table.
const TABLE: u16 = 128;
/// Flows for each queue.
const FLOWS: usize = 8;

impl Steering {
    /// What the driver has to negotiate for it.
    pub fn features(self) -> u64 {
        match self {
            Self::Single => 0,
            Self::Pairs => feature::CTRL_VQ | feature::MQ,
            Self::Rss => feature::CTRL_VQ | feature::MQ | net::RSS,
        }
    }

    /// DRIVER_OK, and the command; `features` as negotiated.
    pub fn start(self, host: &mut Host, features: u64, pairs: u16) -> Result<(), Fail> {
        let command = match self {
            Self::Single => {
                host.driver_ok()?;
                // Read back: the write has come.
                return host.status().map(|_| ());
            }
            Self::Pairs => [&[4u8, 0][..], &pairs.to_le_bytes()].concat(),
            Self::Rss => {
                let table = (0..TABLE).map(|entry| entry % pairs);
                let unclassified = 0u16;
                let mut command = vec![4, 1];
                command.extend(TYPES.to_le_bytes());
                command.extend((TABLE - 1).to_le_bytes());
                command.extend(unclassified.to_le_bytes());
                command.extend(table.flat_map(u16::to_le_bytes));
                command.extend(pairs.to_le_bytes());
                command.push(KEY.len() as u8);
                command.extend(KEY);
                command
            }
        };
        let index = 2 * usize::from(host.nic.config().queue_pairs);
        let mut ring = host.enable_queue::<()>(index, 4, 0, features, 0)?;
        host.driver_ok()?;
        ctrl::post(host, &mut ring, &command);
        host.kick(index)?;
        for _ in 0..100 {
            host.run(100)?;
            match ctrl::answer(host, &mut ring)? {
                Some(ctrl::OK) => return Ok(()),
                Some(code) => return Err(format!("{self:?} is answered with {code}").into()),
                None => {}
            }
        }
        Err(format!("{self:?} is not answered").into())
    }

    /// The queue pair that a frame belongs to, by the reference.
    fn pair(self, frame: &[u8], pairs: u16) -> usize {
        let pairs = usize::from(pairs);
        match self {
            Self::Single => 0,
            Self::Pairs => flow::spread(frame, pairs as u32) as usize,
            Self::Rss => flow::hash(frame, &KEY, TYPES)
                .map_or(0, |(hash, _)| hash as usize % usize::from(TABLE) % pairs),
        }
    }
}

/// `count` frames of `len` bytes in random order, as many for each of the pairs as for the others and of
/// [`FLOWS`] flows each, with their pairs.
pub fn frames(
    rng: &mut ChaCha8Rng,
    steering: Steering,
    pairs: u16,
    len: usize,
    count: u64,
) -> Vec<(usize, Vec<u8>)> {
    let mut flows = vec![Vec::new(); pairs.into()];
    while flows.iter().any(|flows| flows.len() < FLOWS) {
        let (tcp, ipv6) = (rng.random(), len > 100 && rng.random());
        let headers = 14 + if ipv6 { 40 } else { 20 } + if tcp { 20 } else { 8 };
        let shape = Shape {
            tcp,
            ipv6,
            payload: len - headers,
            ..Shape::default()
        };
        let frame = frames::build(&shape, rng).bytes;
        let pair = steering.pair(&frame, pairs);
        if flows[pair].len() < FLOWS {
            flows[pair].push(frame);
        }
    }
    let mut order: Vec<_> = (0..count as usize).map(|n| n % flows.len()).collect();
    order.shuffle(rng);
    order
        .into_iter()
        .map(|pair| (pair, flows[pair][rng.random_range(0..FLOWS)].clone()))
        .collect()
}
