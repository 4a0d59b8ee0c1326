//! Commands of the control queue (virtio 5.1.6.5) and the state that they set.

use super::{
    moderation::Limits,
    rss::{Key, MAX_TABLE, hash_type},
    spec::feature,
};

/// Addresses of each kind that the table holds. More unicast addresses make the device take all
/// unicast frames, more multicast addresses all multicast frames (5.1.6.5.2, footnote).
pub const MAC_TABLE: usize = 32;
/// Longest command that is looked at, bytes.
pub(super) const MAX_COMMAND: usize = 8192;

/// Classes and their commands.
mod class {
    pub const RX: u8 = 0;
    pub const MAC: u8 = 1;
    pub const VLAN: u8 = 2;
    pub const MQ: u8 = 4;
    pub const NOTF_COAL: u8 = 6;
}

/// How frames find their receive queue: as the last command of class MQ said (5.1.6.5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Steering {
    /// By the flow's last transmit queue, among this many pairs (5.1.6.5.6).
    Automatic {
        /// 1..=max_virtqueue_pairs.
        pairs: u16,
    },
    /// By the hash (5.1.6.5.7).
    Rss {
        /// Number of the receive queue's pair, from 0; a power of two of entries.
        table: Vec<u16>,
        /// The pair for packets without hash.
        unclassified: u16,
    },
}

/// What the commands set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    /// The device's own address.
    pub mac: [u8; 6],
    promiscuous: bool,
    all_multicast: bool,
    /// `None`: there were too many.
    unicast: Option<Vec<[u8; 6]>>,
    multicast: Option<Vec<[u8; 6]>>,
    vlans: Box<[u64; 64]>,
    pub steering: Steering,
    /// Pairs that the driver uses: as VQ_PAIRS_SET or max_tx_vq of RSS_CONFIG said last.
    pairs: u16,
    /// Enabled hash types.
    pub hash_types: u32,
    pub key: Key,
    /// Of all receive queues, and of all transmit queues.
    pub rx_limits: Limits,
    pub tx_limits: Limits,
    queue_pairs: u16,
}

impl Control {
    /// As after reset: the permanent address, empty tables, one pair, no moderation.
    pub fn new(mac: [u8; 6], queue_pairs: u16) -> Self {
        Self {
            mac,
            promiscuous: false,
            all_multicast: false,
            unicast: Some(Vec::new()),
            multicast: Some(Vec::new()),
            vlans: Box::new([0; 64]),
            steering: Steering::Automatic { pairs: 1 },
            pairs: 1,
            hash_types: 0,
            key: Key::default(),
            rx_limits: Limits::default(),
            tx_limits: Limits::default(),
            queue_pairs,
        }
    }

    /// Carries out a command: class, command and data. False: VIRTIO_NET_ERR, nothing has changed.
    pub fn execute(&mut self, features: u64, command: &[u8]) -> bool {
        let [class, command, data @ ..] = command else {
            return false;
        };
        let has = |feature| features & feature != 0;
        let done = match (*class, *command) {
            (class::RX, 0) if has(feature::CTRL_RX) => flag(data).map(|on| self.promiscuous = on),
            (class::RX, 1) if has(feature::CTRL_RX) => flag(data).map(|on| self.all_multicast = on),
            (class::MAC, 0) if has(feature::CTRL_RX) => self.mac_table(data),
            (class::MAC, 1) if has(feature::CTRL_MAC_ADDR) => self.set_mac(data),
            (class::VLAN, 0) if has(feature::CTRL_VLAN) => self.vlan(data, true),
            (class::VLAN, 1) if has(feature::CTRL_VLAN) => self.vlan(data, false),
            (class::MQ, 0) if has(feature::MQ) => self.queue_pairs(data),
            (class::MQ, 1) if has(feature::RSS) => self.rss(data),
            (class::MQ, 2) if has(feature::HASH_REPORT) => self.hash(data),
            (class::NOTF_COAL, 0) if has(feature::NOTF_COAL) => {
                limits(data).map(|limits| self.tx_limits = limits)
            }
            (class::NOTF_COAL, 1) if has(feature::NOTF_COAL) => {
                limits(data).map(|limits| self.rx_limits = limits)
            }
            _ => None,
        };
        done.is_some()
    }

    /// Whether a frame may come in: by its destination (5.1.6.5.1, 5.1.6.5.2) once the driver can
    /// control that, and by its VLAN (5.1.6.5.3).
    pub fn accepts(&self, features: u64, frame: &[u8], vlan: Option<u16>) -> bool {
        let vlan_filter = features & feature::CTRL_VLAN != 0 && !self.promiscuous;
        if vlan_filter && vlan.is_some_and(|vlan| !self.has_vlan(vlan)) {
            return false;
        }
        if features & feature::CTRL_RX == 0 || self.promiscuous {
            return true;
        }
        let Some(to) = frame.first_chunk::<6>() else {
            return false;
        };
        let listed = |table: &Option<Vec<[u8; 6]>>| match table {
            Some(addresses) => addresses.contains(to),
            None => true,
        };
        if to[0] & 1 == 0 {
            *to == self.mac || listed(&self.unicast)
        } else {
            *to == [0xff; 6] || self.all_multicast || listed(&self.multicast)
        }
    }

    fn has_vlan(&self, vlan: u16) -> bool {
        let word = self.vlans.get(usize::from(vlan / 64));
        word.is_some_and(|word| word >> (vlan % 64) & 1 == 1)
    }

    /// Two tables, unicast and multicast, each with its count; nothing behind them.
    fn mac_table(&mut self, data: &[u8]) -> Option<()> {
        let (unicast, rest) = addresses(data)?;
        let (multicast, rest) = addresses(rest)?;
        if !rest.is_empty() {
            return None;
        }
        let table = |list: &[[u8; 6]]| (list.len() <= MAC_TABLE).then(|| list.to_vec());
        self.unicast = table(unicast);
        self.multicast = table(multicast);
        Some(())
    }

    fn set_mac(&mut self, data: &[u8]) -> Option<()> {
        let mac: [u8; 6] = data.try_into().ok()?;
        // A group address cannot be a station's own (IEEE 802.3 3.2.3).
        if mac[0] & 1 != 0 {
            return None;
        }
        self.mac = mac;
        Some(())
    }

    fn vlan(&mut self, data: &[u8], add: bool) -> Option<()> {
        let id = u16::from_le_bytes(data.try_into().ok()?);
        let word = self.vlans.get_mut(usize::from(id / 64))?;
        let bit = 1 << (id % 64);
        *word = if add { *word | bit } else { *word & !bit };
        Some(())
    }

    fn queue_pairs(&mut self, data: &[u8]) -> Option<()> {
        let pairs = u16::from_le_bytes(data.try_into().ok()?);
        if !(1..=self.queue_pairs).contains(&pairs) {
            return None;
        }
        self.pairs = pairs;
        self.steering = Steering::Automatic { pairs };
        Some(())
    }

    /// struct virtio_net_rss_config.
    fn rss(&mut self, data: &[u8]) -> Option<()> {
        let mut data = Reader(data);
        let types = data.hash_types()?;
        let entries = usize::from(data.le16()?) + 1;
        if !entries.is_power_of_two() || entries > MAX_TABLE {
            return None;
        }
        // Bits 1 to 16 of the virtqueue's number: that of its pair. The highest bit is reserved.
        let pairs = self.queue_pairs;
        let mut pair = || data.le16().filter(|pair| *pair < pairs);
        let unclassified = pair()?;
        let table = (0..entries).map(|_| pair()).collect::<Option<Vec<_>>>()?;
        let max_tx_vq = data.le16()?;
        let key = data.key()?;
        if !(1..=pairs).contains(&max_tx_vq) {
            return None;
        }
        self.steering = Steering::Rss {
            table,
            unclassified,
        };
        self.pairs = max_tx_vq;
        (self.hash_types, self.key) = (types, key);
        Some(())
    }

    /// struct virtio_net_hash_config, a command of automatic steering (5.1.6.5.6.4).
    fn hash(&mut self, data: &[u8]) -> Option<()> {
        let mut data = Reader(data);
        let types = data.hash_types()?;
        for _ in 0..4 {
            data.le16().filter(|reserved| *reserved == 0)?;
        }
        let key = data.key()?;
        self.steering = Steering::Automatic { pairs: self.pairs };
        (self.hash_types, self.key) = (types, key);
        Some(())
    }
}

/// One byte, 0 or 1.
fn flag(data: &[u8]) -> Option<bool> {
    match data {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// struct virtio_net_ctrl_mac, and what follows it.
fn addresses(data: &[u8]) -> Option<(&[[u8; 6]], &[u8])> {
    let (count, data) = data.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (list, rest) = data.split_at_checked(count.checked_mul(6)?)?;
    Some((list.as_chunks().0, rest))
}

/// struct virtio_net_ctrl_coal.
fn limits(data: &[u8]) -> Option<Limits> {
    let mut data = Reader(data);
    let limits = Limits {
        max_packets: data.le32()?,
        max_usecs: data.le32()?,
    };
    data.0.is_empty().then_some(limits)
}

/// Little-endian fields, one after the other.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn le16(&mut self) -> Option<u16> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_le_bytes(*field))
    }

    fn le32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*field))
    }

    fn hash_types(&mut self) -> Option<u32> {
        self.le32()
            .filter(|types| types & !hash_type::SUPPORTED == 0)
    }

    /// The key with its length in front. What follows is not looked at: Linux 7.3 sends the padding of
    /// its structure as well.
    fn key(&mut self) -> Option<Key> {
        let (len, rest) = self.0.split_first()?;
        Key::new(rest.get(..usize::from(*len))?)
    }
}

#[cfg(test)]
mod tests;
