//! Longest-prefix match: a [`Trie`], and shortcuts through it for large IPv4 tables and for those with few prefixes.

use super::direct::{Direct, NODE_BITS, SLOT_BITS, VALUES};
use super::small::{SMALL_TO, Small};
use super::trie::{Key, Trie};

/// Prefixes from which on the shortcut pays for its memory (4.5 MB at least).
const DIRECT_FROM: usize = 512;

/// Prefixes with numbers (less than 2^31 - 1) as values.
#[derive(Clone, Debug)]
pub struct Lpm<K> {
    trie: Trie<K>,
    /// With few prefixes.
    small: Option<Small<K>>,
    /// With many.
    direct: Option<Box<Direct>>,
}

impl<K: Key> Default for Lpm<K> {
    fn default() -> Self {
        Self {
            trie: Trie::default(),
            small: None,
            direct: None,
        }
    }
}

impl<K: Key> Lpm<K> {
    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.trie.len()
    }

    /// Whether there is no prefix.
    pub fn is_empty(&self) -> bool {
        self.trie.is_empty()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.trie.memory() + self.direct.as_ref().map_or(0, |d| d.memory())
    }

    /// The value of the longest prefix that holds `key`.
    #[inline]
    pub fn longest(&self, key: K) -> Option<u32> {
        if let Some(small) = &self.small {
            return small.longest(key);
        }
        match (&self.direct, key.as_v4()) {
            (Some(direct), Some(key)) => direct.longest(key),
            _ => self.trie.longest(key),
        }
    }

    /// A prefix came, went or has another value.
    fn rebuild_small(&mut self) {
        let few = (1..=SMALL_TO).contains(&self.trie.len());
        self.small = few.then(|| Small::new(self.trie.prefixes()));
    }

    /// The value of the longest prefix of at most `max_len` bits that holds `key`.
    pub fn longest_within(&self, key: K, max_len: u8) -> Option<u32> {
        self.trie
            .longest_within(key, max_len)
            .map(|(value, _)| value)
    }

    /// The value of exactly this prefix.
    pub fn get(&self, key: K, len: u8) -> Option<u32> {
        self.trie.get(key, len)
    }

    /// Adds a prefix; an existing one gets the new value, and the old one is returned.
    pub fn insert(&mut self, key: K, len: u8, value: u32) -> Option<u32> {
        debug_assert!(value < VALUES);
        let key = key.prefix(len);
        let old = self.trie.insert(key, len, value);
        self.rebuild_small();
        if self.direct.is_some() {
            self.changed(key, len);
        } else if K::BITS == 32 && self.trie.len() >= DIRECT_FROM {
            self.direct = Some(Box::new(Direct::new()));
            for (key, len, _) in self.trie.prefixes() {
                self.changed(key, len);
            }
        }
        old
    }

    /// Removes exactly this prefix.
    pub fn remove(&mut self, key: K, len: u8) -> Option<u32> {
        let key = key.prefix(len);
        let old = self.trie.remove(key, len)?;
        self.rebuild_small();
        if self.trie.len() < DIRECT_FROM / 2 {
            self.direct = None;
        } else {
            self.changed(key, len);
        }
        Some(old)
    }

    /// All prefixes with their values, by no order that means anything.
    pub fn prefixes(&self) -> Vec<(K, u8, u32)> {
        self.trie.prefixes()
    }

    /// Tells the shortcut about a prefix that came, went or has another value.
    fn changed(&mut self, key: K, len: u8) {
        let (Some(direct), Some(v4)) = (&mut self.direct, key.as_v4()) else {
            return;
        };
        if len < NODE_BITS {
            direct.set_short(v4, len, self.trie.longest_within(key, len));
            return;
        }
        let (outer, longest) = match len {
            ..=SLOT_BITS => (NODE_BITS, SLOT_BITS),
            _ => (SLOT_BITS, K::BITS),
        };
        let mut prefixes = Vec::new();
        for (key, len, value) in self.trie.prefixes_within(key.prefix(outer), outer, longest) {
            prefixes.extend(key.as_v4().map(|key| (key, len, value)));
        }
        prefixes.sort_unstable_by_key(|&(_, len, _)| len);
        if longest == SLOT_BITS {
            direct.set_node(v4, &prefixes);
        } else {
            prefixes.retain(|&(_, len, _)| len > SLOT_BITS);
            direct.set_slot(v4, &prefixes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Addresses that share prefixes, and the ends.
    fn any_address() -> impl Strategy<Value = u32> {
        let ends = prop_oneof![Just(0), Just(u32::MAX)];
        prop_oneof![4 => 0x0a00_0000u32..0x0a00_0100, 2 => any::<u32>(), 1 => ends]
    }

    proptest! {
        /// With enough prefixes for the shortcut, coming and going around the limit, it says what the trie says.
        #[test]
        fn the_shortcut_says_what_the_trie_says(
            fill in prop::collection::vec((any::<u32>(), 12u8..=32), 2 * DIRECT_FROM),
            // Few places, so that prefixes nest and are removed again: three nodes and what is before and behind them.
            steps in prop::collection::vec((0x09ff_ff00u32..0x0a00_8100, 0u8..=32, any::<bool>()), 1..200),
        ) {
            let mut lpm = Lpm::default();
            for (i, &(key, len)) in fill.iter().enumerate() {
                lpm.insert(key, len, i as u32);
            }
            for (i, &(key, len, add)) in steps.iter().enumerate() {
                let nested = steps[i / 2].0.prefix(len);
                if add {
                    lpm.insert(key, len, 10_000 + i as u32);
                    lpm.insert(nested, len, 20_000 + i as u32);
                } else {
                    lpm.remove(nested, len);
                }
            }
            prop_assert!(lpm.direct.is_some());
            for &(key, _) in &fill {
                prop_assert_eq!(lpm.longest(key), lpm.trie.longest(key));
            }
            // Both ends of what came and went, and the places around them.
            for &(key, len, _) in &steps {
                let (first, last) = (key.prefix(len), key.last(len));
                for key in [key, first, last, first.wrapping_sub(1), last.wrapping_add(1)] {
                    prop_assert_eq!(lpm.longest(key), lpm.trie.longest(key));
                }
            }
            for (key, len) in fill {
                lpm.remove(key, len);
                prop_assert_eq!(lpm.longest(key), lpm.trie.longest(key));
            }
            for (key, len, _) in lpm.prefixes() {
                lpm.remove(key, len);
            }
            prop_assert!(lpm.direct.is_none());
        }

        /// So it does with a few, nested or not, at both ends of the addresses.
        #[test]
        fn few_prefixes_say_what_the_trie_says(
            steps in prop::collection::vec((any_address(), 0u8..=32, prop::bool::weighted(0.7)), 1..40),
            keys in prop::collection::vec(any_address(), 20),
        ) {
            let (mut lpm, mut wide) = (Lpm::<u32>::default(), Lpm::<u128>::default());
            for (value, &(key, len, add)) in steps.iter().enumerate() {
                let (key6, len6) = (u128::from(key) << 96 | u128::from(key), len * 4);
                match add {
                    true => {
                        lpm.insert(key, len, value as u32);
                        wide.insert(key6, len6, value as u32);
                    }
                    false => {
                        lpm.remove(key, len);
                        wide.remove(key6, len6);
                    }
                }
                for &key in keys.iter().chain([&key]) {
                    prop_assert_eq!(lpm.longest(key), lpm.trie.longest(key));
                    for key in [u128::from(key) << 96 | u128::from(key), u128::from(key)] {
                        prop_assert_eq!(wide.longest(key), wide.trie.longest(key));
                    }
                }
            }
        }
    }
}
