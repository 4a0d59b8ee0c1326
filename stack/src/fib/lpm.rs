//! Longest-prefix match.

use std::fmt::Debug;

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Key: Copy + Ord + Debug {
    /// Width in bits.
    const BITS: u8;
    /// The first `len` bits kept, the others 0. `len` ≤ [`BITS`](Self::BITS).
    fn prefix(self, len: u8) -> Self;
}

impl Key for u32 {
    const BITS: u8 = 32;
    fn prefix(self, len: u8) -> Self {
        self & Self::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
    }
}

impl Key for u128 {
    const BITS: u8 = 128;
    fn prefix(self, len: u8) -> Self {
        self & Self::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
    }
}

/// Prefixes with values. One sorted list per prefix length that occurs, longest first: a lookup is one binary search per length, and
/// hosts have few lengths.
#[derive(Clone, Debug)]
pub struct LpmTable<K, V> {
    levels: Vec<Level<K, V>>,
}

#[derive(Clone, Debug)]
struct Level<K, V> {
    len: u8,
    entries: Vec<(K, V)>,
}

impl<K, V> Default for LpmTable<K, V> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

impl<K: Key, V> LpmTable<K, V> {
    /// The value at exactly this prefix; inserted with `default` when there is none.
    pub fn entry(&mut self, key: K, len: u8, default: impl FnOnce() -> V) -> &mut V {
        let len = len.min(K::BITS);
        let key = key.prefix(len);
        let at = self.levels.partition_point(|level| level.len > len);
        if self.levels.get(at).is_none_or(|level| level.len != len) {
            self.levels.insert(
                at,
                Level {
                    len,
                    entries: Vec::new(),
                },
            );
        }
        let entries = &mut self.levels[at].entries;
        let i = match entries.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(i) => i,
            Err(i) => {
                entries.insert(i, (key, default()));
                i
            }
        };
        &mut entries[i].1
    }

    /// The value at exactly this prefix.
    pub fn get_mut(&mut self, key: K, len: u8) -> Option<&mut V> {
        let level = self.levels.iter_mut().find(|level| level.len == len)?;
        let key = key.prefix(len.min(K::BITS));
        let i = level.entries.binary_search_by(|(k, _)| k.cmp(&key)).ok()?;
        Some(&mut level.entries[i].1)
    }

    /// Removes exactly this prefix.
    pub fn remove(&mut self, key: K, len: u8) -> Option<V> {
        let at = self.levels.iter().position(|level| level.len == len)?;
        let key = key.prefix(len.min(K::BITS));
        let i = self.levels[at]
            .entries
            .binary_search_by(|(k, _)| k.cmp(&key))
            .ok()?;
        let (_, value) = self.levels[at].entries.remove(i);
        if self.levels[at].entries.is_empty() {
            self.levels.remove(at);
        }
        Some(value)
    }

    /// The values of all prefixes that hold `key`, the longest prefix first.
    pub fn matches(&self, key: K) -> impl Iterator<Item = &V> {
        self.levels.iter().filter_map(move |level| {
            let wanted = key.prefix(level.len);
            let i = level
                .entries
                .binary_search_by(|(k, _)| k.cmp(&wanted))
                .ok()?;
            Some(&level.entries[i].1)
        })
    }

    /// Everything, longest prefixes first, then by address.
    pub fn iter(&self) -> impl Iterator<Item = (K, u8, &V)> {
        self.levels
            .iter()
            .flat_map(|level| level.entries.iter().map(|(k, v)| (*k, level.len, v)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: of all prefixes that hold the key, the longest.
    fn naive(routes: &[(u32, u8, usize)], key: u32) -> Option<usize> {
        let holds = |&&(p, len, _): &&(u32, u8, usize)| key.prefix(len) == p.prefix(len);
        routes.iter().filter(holds).max_by_key(|r| r.1).map(|r| r.2)
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            routes in prop::collection::vec((any::<u32>(), 0u8..=32), 0..60),
            near in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0u8..=32), 0..60),
        ) {
            let mut table = LpmTable::default();
            let mut list: Vec<(u32, u8, usize)> = Vec::new();
            for (i, &(p, len)) in routes.iter().enumerate() {
                *table.entry(p, len, || i) = i;
                list.retain(|r| (r.0.prefix(len), r.1) != (p.prefix(len), len));
                list.push((p, len, i));
            }
            for (which, noise, keep) in near {
                // Keys near existing prefixes, else hardly any would match.
                let base = if routes.is_empty() { 0 } else { which.get(&routes).0 };
                let key = base.prefix(keep) | (noise & !u32::MAX.prefix(keep));
                prop_assert_eq!(table.matches(key).next().copied(), naive(&list, key));
            }
        }
    }

    #[test]
    fn remove_takes_out_exactly_one() {
        let mut table = LpmTable::default();
        *table.entry(0x0a00_0000u32, 8, || 0) = 1;
        *table.entry(0x0a00_0000u32, 16, || 0) = 2;
        assert_eq!(
            table.matches(0x0a00_0001).copied().collect::<Vec<_>>(),
            [2, 1]
        );
        assert_eq!(table.remove(0x0a00_ffff, 16), Some(2));
        assert_eq!(table.remove(0x0a00_ffff, 16), None);
        assert_eq!(table.matches(0x0a00_0001).copied().collect::<Vec<_>>(), [1]);
        assert_eq!(table.iter().count(), 1);
    }
}
