//! Ports of `rx_offload` that are structures of `nic_pkg` and `rx_flow_pkg`, bit by bit.

/// Puts the low `width` bits of `value` at bit `at` of a wide port.
fn put(words: &mut [u64], at: usize, width: usize, value: u64) {
    for bit in 0..width {
        let (word, place) = ((at + bit) / 64, (at + bit) % 64);
        words[word] = words[word] & !(1 << place) | (value >> bit & 1) << place;
    }
}

/// What of `ctrl_cfg_t` reception looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// VIRTIO_NET_CTRL_RX_PROMISC.
    pub promisc: bool,
    /// VIRTIO_NET_CTRL_RX_ALLMULTI.
    pub allmulti: bool,
    /// The own address, first octet in bits 7:0.
    pub mac: u64,
    /// Queue pairs in use without RSS, 1..=8.
    pub pairs: u32,
    /// RSS chooses the queue.
    pub steer: bool,
    /// VIRTIO_NET_HASH_TYPE_*.
    pub hash_types: u32,
    /// Entries of the indirection table - 1.
    pub mask: u32,
    /// For packets without hash.
    pub default_pair: u32,
}

impl Config {
    /// `ctrl_cfg_t`.
    pub fn pack(&self, words: &mut [u64]) {
        put(words, 128, 3, self.default_pair.into());
        put(words, 131, 7, self.mask.into());
        put(words, 138, 16, self.hash_types.into());
        put(words, 155, 1, self.steer.into());
        put(words, 156, 4, self.pairs.into());
        put(words, 160, 48, self.mac);
        put(words, 208, 1, self.allmulti.into());
        put(words, 209, 1, self.promisc.into());
    }
}

/// A write to one of the tables.
#[derive(Debug, Clone, Copy)]
pub enum Write {
    /// Entry of the address table (0..=31 unicast, 32..=63 multicast), and the address.
    Mac(usize, u64),
    /// How many there are of unicast and multicast addresses, and whether there were too many.
    MacSet([usize; 2], [bool; 2]),
    /// VLAN ID, and whether it is added.
    Vlan(u64, bool),
    /// Entry of the indirection table, and the pair.
    Rss(usize, u64),
}

impl Write {
    /// `ctrl_write_t`.
    pub fn pack(self, words: &mut [u64]) {
        match self {
            Self::Rss(index, pair) => {
                put(words, 0, 3, pair);
                put(words, 3, 7, index as u64);
                put(words, 10, 1, 1);
            }
            Self::Vlan(id, on) => {
                put(words, 11, 12, id);
                put(words, 23, 1, on.into());
                put(words, 24, 1, 1);
            }
            Self::MacSet([unicast, multicast], [all_unicast, all_multicast]) => {
                put(words, 25, 1, all_unicast.into());
                put(words, 26, 1, all_multicast.into());
                put(words, 27, 6, unicast as u64);
                put(words, 33, 6, multicast as u64);
                put(words, 39, 1, 1);
            }
            Self::Mac(index, address) => {
                put(words, 40, 48, address);
                put(words, 88, 6, index as u64);
                put(words, 94, 1, 1);
            }
        }
    }
}

/// `rx_meta_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Checksums verified.
    pub csum_valid: bool,
    /// Receive queue pair.
    pub pair: u32,
    /// VIRTIO_NET_HASH_REPORT_*.
    pub report: u32,
    /// The hash.
    pub hash: u32,
}

impl Meta {
    /// From the port.
    pub fn unpack(word: u64) -> Self {
        Self {
            csum_valid: word >> 63 == 1,
            pair: (word >> 60 & 7) as u32,
            report: (word >> 56 & 15) as u32,
            hash: (word >> 24) as u32,
        }
    }
}
