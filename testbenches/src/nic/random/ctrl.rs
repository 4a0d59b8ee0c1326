//! Commands for the control queue (virtio 5.1.6.5): legal ones of all classes that were negotiated, and
//! some that are not.

use crate::{
    nic::host::{BUS_OFFSET, COMMANDS, Fail, Host, feature},
    ring::{DriverRing, Element, Memory},
};
use hwmodel::{Device, model::feature as net};
use rand::{Rng, RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Answers lie here, behind the command.
const ANSWER: u64 = COMMANDS.0 + BUS_OFFSET + 0x8000;
/// What the answer's place holds before there is one.
const NONE: u8 = 0xee;

/// VIRTIO_NET_OK.
pub const OK: u8 = 0;

/// How receive queues are chosen: as the last command about it said (5.1.6.5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steering {
    /// By table and hash (5.1.6.5.7), else any of the pairs, as the device likes (5.1.6.5.6).
    rss: bool,
    /// Pairs that the driver said it uses.
    pairs: u16,
}

impl Steering {
    /// A device that has had no command yet.
    pub const RESET: Self = Self {
        rss: false,
        pairs: 1,
    };

    /// A command was answered with VIRTIO_NET_OK.
    pub fn follow(&mut self, command: &[u8]) {
        let le16 = |at: usize| u16::from_le_bytes([command[at], command[at + 1]]);
        match *command {
            [4, 0, _, _] => {
                *self = Self {
                    rss: false,
                    pairs: le16(2),
                }
            }
            // max_tx_vq is behind hash_types, the mask, the unclassified queue and the table.
            [4, 1, ..] => {
                *self = Self {
                    rss: true,
                    pairs: le16(10 + 2 * (usize::from(le16(6)) + 1)),
                }
            }
            [4, 2, ..] => self.rss = false,
            _ => {}
        }
    }

    /// Pairs that may get a frame of which the model gives to `chosen`.
    pub fn pairs(self, chosen: usize) -> Range<usize> {
        if self.rss {
            chosen..chosen + 1
        } else {
            0..self.pairs.into()
        }
    }
}

/// VLANs that drivers of these tests let in, and that frames are in.
pub const VLANS: [u16; 4] = [1, 5, 100, 4094];
/// Addresses that drivers of these tests put into their tables, and that frames go to.
pub const STATIONS: [[u8; 6]; 4] = [
    [0x02, 0, 0, 0, 0, 0x77],
    [0x02, 0, 0, 0, 0, 0x78],
    [0x33, 0x33, 0, 0, 0, 0x01],
    [0x01, 0, 0x5e, 0, 0, 0x07],
];

/// Queue pairs that a driver with these features sets up (5.1.2).
pub fn pairs(features: u64, queue_pairs: u16) -> usize {
    let several = features & (net::MQ | net::RSS) != 0;
    if several { queue_pairs.into() } else { 1 }
}

/// Makes a command available: class and command, its data in one or two pieces, and the answer.
pub fn post<D: Device, T: Copy + Default>(
    host: &mut Host<D>,
    ring: &mut DriverRing<T>,
    command: &[u8],
) {
    let base = COMMANDS.0 + BUS_OFFSET;
    host.bus.write(base, command);
    host.bus.write(ANSWER, &[NONE]);
    let (head, data) = command.split_at(command.len().min(2));
    let pieces = [(base, head.len()), (base + 2, data.len()), (ANSWER, 1)];
    let elements: Vec<Element> = pieces
        .into_iter()
        .filter(|piece| piece.1 != 0)
        .map(|(addr, len)| Element {
            addr,
            len: len as u32,
        })
        .collect();
    let readable = elements.len() - 1;
    let (chain, _) = ring.prepare_mixed(&mut host.bus, &elements, readable, T::default(), 0);
    ring.publish(&mut host.bus, chain);
}

/// The answer, when it is there.
pub fn answer<D: Device, T: Copy>(
    host: &Host<D>,
    ring: &mut DriverRing<T>,
) -> Result<Option<u8>, Fail> {
    let mut used = Vec::new();
    ring.take_used(&host.bus, &mut used)?;
    let Some(used) = used.first() else {
        return Ok(None);
    };
    let mut byte = [0];
    host.bus.read(ANSWER, &mut byte);
    if used.len != Some(1) || byte[0] == NONE {
        return Err(format!("an answer of {:?} bytes: {byte:?}", used.len).into());
    }
    Ok(Some(byte[0]))
}

/// A command for a device with these features, mostly a legal one.
pub fn random(rng: &mut ChaCha8Rng, features: u64, queue_pairs: u16) -> Vec<u8> {
    let has = |bits: u64| features & bits != 0;
    let mut classes: Vec<fn(&mut ChaCha8Rng, u16) -> Vec<u8>> = vec![garbage];
    let mut offer = |on: bool, command: fn(&mut ChaCha8Rng, u16) -> Vec<u8>| {
        if on {
            classes.extend([command; 3]);
        }
    };
    offer(has(net::CTRL_RX), rx_mode);
    offer(has(net::CTRL_RX), mac_table);
    offer(has(net::CTRL_MAC_ADDR), |rng, _| {
        let mac = [0x02, 0, 0, 0, 0, rng.random_range(1..4)];
        [&[1u8, 1][..], &mac].concat()
    });
    offer(has(net::CTRL_VLAN), |rng, _| {
        let [low, high] = VLANS.choose(rng).copied().unwrap_or(1).to_le_bytes();
        vec![2, u8::from(rng.random_bool(0.3)), low, high]
    });
    offer(has(net::MQ), |rng, queue_pairs| {
        let pairs = rng.random_range(1..=queue_pairs);
        [&[4u8, 0][..], &pairs.to_le_bytes()].concat()
    });
    offer(has(net::RSS), rss);
    offer(has(net::HASH_REPORT), |rng, _| {
        let mut command = vec![4, 2];
        command.extend(hash_types(rng));
        command.extend([0; 8]);
        command.extend(key(rng));
        command
    });
    offer(has(net::NOTF_COAL), |rng, _| {
        let mut command = vec![6, rng.random_range(0..2)];
        command.extend(rng.random_range(0..20u32).to_le_bytes());
        command.extend(rng.random_range(0..60u32).to_le_bytes());
        command
    });
    let command = classes.choose(rng).copied().unwrap_or(garbage);
    command(rng, queue_pairs)
}

/// The commands without which a feature shows nothing.
pub fn first(rng: &mut ChaCha8Rng, features: u64, queue_pairs: u16) -> Vec<Vec<u8>> {
    let has = |bits: u64| features & bits != 0;
    let mut commands = Vec::new();
    if has(net::RSS) {
        commands.push(rss(rng, queue_pairs));
    } else if has(net::MQ) {
        commands.push([&[4u8, 0][..], &queue_pairs.to_le_bytes()].concat());
    }
    if has(net::CTRL_RX) {
        commands.push(mac_table(rng, queue_pairs));
    }
    if has(net::CTRL_VLAN) {
        for vlan in &VLANS[..2] {
            commands.push([&[2u8, 0][..], &vlan.to_le_bytes()].concat());
        }
    }
    commands
}

/// Whether a network device with these features has a control queue.
pub fn exists(features: u64) -> bool {
    features & feature::CTRL_VQ != 0
}

fn garbage(rng: &mut ChaCha8Rng, _: u16) -> Vec<u8> {
    let len = rng.random_range(1..20);
    // Not of class NOTF_COAL: limits of hours would look like lost interrupts.
    (0..len).map(|_| rng.random_range(0..6)).collect()
}

/// PROMISC and ALLMULTI, on or off.
fn rx_mode(rng: &mut ChaCha8Rng, _: u16) -> Vec<u8> {
    vec![0, rng.random_range(0..2), rng.random_range(0..2)]
}

/// struct virtio_net_ctrl_mac, twice; more entries than the device has now and then.
fn mac_table(rng: &mut ChaCha8Rng, _: u16) -> Vec<u8> {
    let mut command = vec![1, 0];
    for multicast in [false, true] {
        let mut list: Vec<[u8; 6]> = STATIONS
            .into_iter()
            .filter(|station| (station[0] & 1 == 1) == multicast && rng.random_bool(0.6))
            .collect();
        if rng.random_bool(0.1) {
            list.resize(33, [0x02 | u8::from(multicast), 9, 9, 9, 9, 9]);
        }
        command.extend((list.len() as u32).to_le_bytes());
        command.extend(list.concat());
    }
    command
}

fn hash_types(rng: &mut ChaCha8Rng) -> [u8; 4] {
    let types = *[0x1ff, 0x3f, 0x12, rng.random_range(0..0x200)]
        .choose(rng)
        .unwrap_or(&0x1ff);
    u32::to_le_bytes(types)
}

fn key(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut key = vec![0; 41];
    rng.fill_bytes(&mut key[1..]);
    key[0] = 40;
    key
}

/// struct virtio_net_rss_config.
fn rss(rng: &mut ChaCha8Rng, queue_pairs: u16) -> Vec<u8> {
    let entries = 1u16 << rng.random_range(0..8);
    let mut command = vec![4, 1];
    command.extend(hash_types(rng));
    command.extend((entries - 1).to_le_bytes());
    let mut pair = || rng.random_range(0..queue_pairs).to_le_bytes();
    for _ in 0..=entries {
        command.extend(pair()); // the unclassified queue first
    }
    command.extend(queue_pairs.to_le_bytes());
    command.extend(key(rng));
    command
}
