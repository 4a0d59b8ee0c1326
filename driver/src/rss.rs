//! Receive-side scaling (virtio 5.1.6.5.7).

use crate::error::Error;

/// Bytes of a Toeplitz key for IPv6 with ports.
pub const KEY_BYTES: usize = 40;
/// Entries of a table as Linux's `virtnet` asks for.
const TABLE: u16 = 128;

/// What a device can do; fields of `struct virtio_net_config` (virtio 5.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RssLimits {
    /// `rss_max_key_size`: bytes.
    pub max_key_size: u8,
    /// `rss_max_indirection_table_length`: entries.
    pub max_table_len: u16,
    /// `supported_hash_types`: VIRTIO_NET_RSS_HASH_TYPE_* bits.
    pub hash_types: u32,
}

/// How received flows are spread over queue pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rss {
    /// VIRTIO_NET_RSS_HASH_TYPE_* bits: which headers are hashed.
    pub hash_types: u32,
    /// Toeplitz key.
    pub key: [u8; KEY_BYTES],
    /// Queue pair for each value of the hash modulo the table's length, a power of two.
    pub table: Vec<u16>,
    /// Queue pair of what is not hashed.
    pub unclassified: u16,
}

/// VIRTIO_NET_RSS_HASH_TYPE_IPv4, TCPv4, UDPv4, IPv6, TCPv6, UDPv6.
const COMMON_TYPES: u32 = 0x3f;

/// The key of the published verification suite: any is as good as long as nobody chooses flows by it.
const DEFAULT_KEY: [u8; KEY_BYTES] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

impl Rss {
    /// All common flows, evenly over `pairs` (`ethtool_rxfh_indir_default()`).
    pub fn even(pairs: u16, limits: RssLimits) -> Self {
        let most = TABLE.min(limits.max_table_len.max(1));
        // The largest power of two that is not more.
        let len = 1 << most.ilog2();
        Self {
            hash_types: COMMON_TYPES & limits.hash_types,
            key: DEFAULT_KEY,
            table: (0..len).map(|i| i % pairs.max(1)).collect(),
            unclassified: 0,
        }
    }

    /// `struct virtio_net_rss_config`; `pairs`: those in use.
    ///
    /// # Errors
    /// What the device cannot do.
    pub fn encode(&self, limits: RssLimits, pairs: u16) -> Result<Vec<u8>, Error> {
        let bad = |option, reason| Err(Error::Options { option, reason });
        let len = self.table.len();
        if !len.is_power_of_two() || len > usize::from(limits.max_table_len) {
            return bad(
                "table",
                "must have a power of two of entries that the device has room for",
            );
        }
        if self
            .table
            .iter()
            .chain([&self.unclassified])
            .any(|pair| *pair >= pairs)
        {
            return bad("table", "must name queue pairs that are in use");
        }
        if self.hash_types & !limits.hash_types != 0 {
            return bad("hash_types", "must be among those that the device supports");
        }
        if KEY_BYTES > usize::from(limits.max_key_size) {
            return bad("key", "must not be longer than the device's");
        }
        let mut data = self.hash_types.to_le_bytes().to_vec();
        data.extend((len as u16 - 1).to_le_bytes());
        data.extend(self.unclassified.to_le_bytes());
        data.extend(self.table.iter().flat_map(|pair| pair.to_le_bytes()));
        data.extend(pairs.to_le_bytes());
        data.push(KEY_BYTES as u8);
        data.extend(self.key);
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RssLimits = RssLimits {
        max_key_size: 40,
        max_table_len: 100,
        hash_types: 0x1ff,
    };

    #[test]
    fn layout_is_the_specifications() {
        let rss = Rss {
            table: vec![0, 1, 2, 1],
            unclassified: 2,
            ..Rss::even(3, LIMITS)
        };
        let data = rss.encode(LIMITS, 3).unwrap();
        assert_eq!(data[..8], [0x3f, 0, 0, 0, 3, 0, 2, 0]);
        assert_eq!(data[8..16], [0, 0, 1, 0, 2, 0, 1, 0]);
        assert_eq!(data[16..19], [3, 0, 40]);
        assert_eq!(data[19..], DEFAULT_KEY);
    }

    #[test]
    fn an_even_table_fits_and_names_all_pairs() {
        let rss = Rss::even(3, LIMITS);
        assert_eq!(rss.table.len(), 64);
        assert_eq!(rss.table[..4], [0, 1, 2, 0]);
        assert!(rss.encode(LIMITS, 3).is_ok());
        for (change, pairs) in [
            (
                Rss {
                    table: vec![0; 3],
                    ..rss.clone()
                },
                3,
            ),
            (
                Rss {
                    table: vec![0; 128],
                    ..rss.clone()
                },
                3,
            ),
            (
                Rss {
                    table: vec![],
                    ..rss.clone()
                },
                3,
            ),
            (
                Rss {
                    hash_types: 1 << 9,
                    ..rss.clone()
                },
                3,
            ),
            (rss.clone(), 2),
        ] {
            assert!(matches!(
                change.encode(LIMITS, pairs),
                Err(Error::Options { .. })
            ));
        }
        let short = RssLimits {
            max_key_size: 39,
            ..LIMITS
        };
        assert!(rss.encode(short, 3).is_err());
    }
}
