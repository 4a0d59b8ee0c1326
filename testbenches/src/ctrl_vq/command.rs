//! Commands of the control queue (virtio 1.2, 5.1.6.5) with what they do to the configuration.

use rand::{Rng, RngExt, seq::IndexedRandom};

/// Addresses of a kind that the device keeps.
const MAC_ENTRIES: usize = 32;
const KEY_BYTES: usize = 40;
/// Longest command, bytes.
const MAX_COMMAND: usize = 8192;

const CTRL_RX: u64 = 1 << 18;
const CTRL_VLAN: u64 = 1 << 19;
const MQ: u64 = 1 << 22;
const CTRL_MAC_ADDR: u64 = 1 << 23;
const NOTF_COAL: u64 = 1 << 53;
const HASH_REPORT: u64 = 1 << 57;
const RSS: u64 = 1 << 60;
/// Those that bring commands.
pub const FEATURES: [u64; 7] = [
    CTRL_RX,
    CTRL_VLAN,
    MQ,
    CTRL_MAC_ADDR,
    NOTF_COAL,
    HASH_REPORT,
    RSS,
];

pub type Mac = [u8; 6];

/// What the device's outputs must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub promisc: bool,
    pub allmulti: bool,
    pub mac: Mac,
    pub pairs: u16,
    pub steer: bool,
    pub report: bool,
    pub hash_types: u16,
    pub mask: u16,
    pub default_pair: u16,
    pub key: [u8; KEY_BYTES],
    /// Packets, microseconds.
    pub rx_coal: (u32, u32),
    pub tx_coal: (u32, u32),
    pub table: Vec<u16>,
    /// Unicast and multicast; `None`: all.
    pub addresses: [Option<Vec<Mac>>; 2],
    pub vlans: Vec<bool>,
}

impl Config {
    /// After a reset.
    pub fn new(mac: Mac, features: u64) -> Self {
        Self {
            promisc: false,
            allmulti: false,
            mac,
            pairs: 1,
            steer: false,
            report: features & HASH_REPORT != 0,
            hash_types: 0,
            mask: 0,
            default_pair: 0,
            key: [0; KEY_BYTES],
            rx_coal: (0, 0),
            tx_coal: (0, 0),
            table: vec![0; 128],
            addresses: [Some(Vec::new()), Some(Vec::new())],
            vlans: vec![false; 4096],
        }
    }
}

/// A command, and whether it must be answered with VIRTIO_NET_OK; its effect is in the configuration
/// then.
pub struct Command {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub ok: bool,
}

/// A random command, good or spoilt; a good one is applied to `config`.
pub fn random(rng: &mut impl Rng, features: u64, queue_pairs: u16, config: &mut Config) -> Command {
    let mut after = config.clone();
    let (name, feature, mut bytes) = match rng.random_range(0..11) {
        0 | 1 if rng.random() => promisc(rng, &mut after),
        0 | 1 => allmulti(rng, &mut after),
        2 => mac_table(rng, &mut after),
        3 => mac_addr(rng, &mut after),
        4 | 5 => vlan(rng, &mut after),
        6 => pairs(rng, queue_pairs, &mut after),
        7 => rss(rng, queue_pairs, &mut after),
        8 => hash(rng, &mut after),
        _ => coal(rng, &mut after),
    };
    let mut ok = features & feature != 0;
    if rng.random_bool(0.3) {
        ok = false;
        spoil(rng, name, queue_pairs, &mut bytes);
    } else if matches!(name, "RSS" | "HASH") && rng.random() {
        // Padding of the driver's structure.
        bytes.push(0);
    }
    if ok {
        *config = after;
    }
    Command { name, bytes, ok }
}

type Made = (&'static str, u64, Vec<u8>);

fn promisc(rng: &mut impl Rng, config: &mut Config) -> Made {
    config.promisc = rng.random();
    ("PROMISC", CTRL_RX, vec![0, 0, config.promisc.into()])
}

fn allmulti(rng: &mut impl Rng, config: &mut Config) -> Made {
    config.allmulti = rng.random();
    ("ALLMULTI", CTRL_RX, vec![0, 1, config.allmulti.into()])
}

fn mac_table(rng: &mut impl Rng, config: &mut Config) -> Made {
    let mut bytes = vec![1, 0];
    for (part, kept) in config.addresses.iter_mut().enumerate() {
        let count = *[0, 1, 2, 7, 31, 32, 33, 40, 600].choose(rng).unwrap_or(&0);
        let list: Vec<Mac> = (0..count)
            .map(|_| {
                let mut mac: Mac = rng.random();
                mac[0] = mac[0] & !1 | part as u8;
                mac
            })
            .collect();
        bytes.extend((count as u32).to_le_bytes());
        bytes.extend(list.iter().flatten());
        *kept = (count <= MAC_ENTRIES).then_some(list);
    }
    ("MAC_TABLE", CTRL_RX, bytes)
}

fn mac_addr(rng: &mut impl Rng, config: &mut Config) -> Made {
    config.mac = rng.random();
    config.mac[0] &= !1;
    let bytes = [&[1, 1], &config.mac[..]].concat();
    ("MAC_ADDR", CTRL_MAC_ADDR, bytes)
}

fn vlan(rng: &mut impl Rng, config: &mut Config) -> Made {
    let (id, add): (u16, bool) = (rng.random_range(0..4096), rng.random());
    config.vlans[usize::from(id)] = add;
    let [low, high] = id.to_le_bytes();
    ("VLAN", CTRL_VLAN, vec![2, (!add).into(), low, high])
}

fn pairs(rng: &mut impl Rng, queue_pairs: u16, config: &mut Config) -> Made {
    config.pairs = rng.random_range(1..=queue_pairs);
    config.steer = false;
    let [low, high] = config.pairs.to_le_bytes();
    ("PAIRS", MQ, vec![4, 0, low, high])
}

fn key(rng: &mut impl Rng, config: &mut Config, bytes: &mut Vec<u8>) {
    let len = *[40, 40, 40, 0, 1, 39].choose(rng).unwrap_or(&40);
    config.key = [0; KEY_BYTES];
    rng.fill(&mut config.key[..len]);
    bytes.push(len as u8);
    bytes.extend(&config.key[..len]);
}

fn rss(rng: &mut impl Rng, queue_pairs: u16, config: &mut Config) -> Made {
    config.hash_types = rng.random_range(0..0x200);
    config.mask = (1 << rng.random_range(0..=7)) - 1;
    config.default_pair = rng.random_range(0..queue_pairs);
    config.steer = true;
    let mut bytes = vec![4, 1];
    bytes.extend(u32::from(config.hash_types).to_le_bytes());
    bytes.extend(config.mask.to_le_bytes());
    bytes.extend(config.default_pair.to_le_bytes());
    for entry in &mut config.table[..=usize::from(config.mask)] {
        *entry = rng.random_range(0..queue_pairs);
        bytes.extend(entry.to_le_bytes());
    }
    config.pairs = rng.random_range(1..=queue_pairs);
    bytes.extend(config.pairs.to_le_bytes());
    key(rng, config, &mut bytes);
    ("RSS", RSS, bytes)
}

fn hash(rng: &mut impl Rng, config: &mut Config) -> Made {
    config.hash_types = rng.random_range(0..0x200);
    config.steer = false;
    let mut bytes = vec![4, 2];
    bytes.extend(u32::from(config.hash_types).to_le_bytes());
    bytes.extend([0; 8]);
    key(rng, config, &mut bytes);
    ("HASH", HASH_REPORT, bytes)
}

fn coal(rng: &mut impl Rng, config: &mut Config) -> Made {
    let (packets, usecs): (u32, u32) = rng.random();
    let receive: bool = rng.random();
    let limits = if receive {
        &mut config.rx_coal
    } else {
        &mut config.tx_coal
    };
    *limits = (packets, usecs);
    let mut bytes = vec![6, receive.into()];
    bytes.extend(packets.to_le_bytes());
    bytes.extend(usecs.to_le_bytes());
    ("COAL", NOTF_COAL, bytes)
}

/// Makes a good command one that the device must refuse.
fn spoil(rng: &mut impl Rng, name: &str, queue_pairs: u16, bytes: &mut Vec<u8>) {
    let set = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| {
        bytes[at..at + value.len()].copy_from_slice(value);
    };
    let entries = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[6], bytes[7]])) + 1;
    match (rng.random_range(0..6), name) {
        (0, _) => {
            // Too short by some; an RSS or hash configuration with an empty key must lose more than that.
            let left = bytes.len() - rng.random_range(1..=bytes.len());
            bytes.truncate(left);
        }
        (1, _) => *bytes = vec![rng.random_range(7..=255), 0, 0],
        (2, _) => bytes[1] = rng.random_range(3..=255),
        (3, "RSS" | "HASH") => set(bytes, 2, &0x200u32.to_le_bytes()),
        (3, _) => bytes.push(0),
        (4, _) => bytes.resize(MAX_COMMAND + rng.random_range(1..50), 0),
        (_, "PROMISC" | "ALLMULTI") => bytes[2] = rng.random_range(2..=255),
        (_, "MAC_TABLE") => {
            let count = u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
            let count = count.wrapping_add(*[1, 1 << 31, 5000].choose(rng).unwrap_or(&1));
            set(bytes, 2, &count.to_le_bytes());
            // One address more would take the second count for its own and might fit by chance.
            bytes.truncate(2 + 4 + 6 * (count as usize).min(600) - 1);
        }
        (_, "MAC_ADDR") => bytes[2] |= 1,
        (_, "VLAN") => bytes[3] |= 1 << rng.random_range(4..8),
        (_, "PAIRS") => {
            let pairs = *[0, queue_pairs + 1, 0x100].choose(rng).unwrap_or(&0);
            set(bytes, 2, &pairs.to_le_bytes());
        }
        (_, "RSS") => {
            let table = 10;
            let behind = table + 2 * entries(bytes);
            match rng.random_range(0..6) {
                0 => set(
                    bytes,
                    6,
                    &(*[2u16, 128, 255, 0xffff].choose(rng).unwrap_or(&2)).to_le_bytes(),
                ),
                1 => set(bytes, 8, &queue_pairs.to_le_bytes()),
                2 => set(bytes, behind - 2, &queue_pairs.to_le_bytes()),
                3 => set(bytes, behind, &0u16.to_le_bytes()),
                4 => set(bytes, behind, &(queue_pairs + 1).to_le_bytes()),
                _ => set(bytes, behind + 2, &[41]),
            }
        }
        (_, "HASH") => set(bytes, rng.random_range(6..14), &[1]),
        _ => bytes.truncate(9),
    }
}
