//! Longest-prefix match: a multibit trie with compressed nodes ("tree bitmap": Eatherton, Varghese, Dittia, 2004).
//!
//! A node decides over six bits of the key. Two bitmaps say which prefixes end in it (lengths 0 to 5 below the node, 63 in all) and which of
//! its 64 children exist; prefixes and children lie in blocks of their own, found by counting bits. The longest of IPv4's prefixes is
//! found in at most six nodes of 24 bytes, of which the first three stay in the cache. Adding and removing touch one path.

use super::blocks::Blocks;
use std::fmt::Debug;
use std::hash::Hash;

/// Bits that one node decides over.
const STRIDE: u8 = 6;
/// Zero bits that are put in front of every key, so that the last node of both families ends with the key's last bit.
const LEAD: u8 = 3;

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Key: Copy + Ord + Debug + Default + Hash {
    /// Width in bits.
    const BITS: u8;
    /// The first `len` bits kept, the others 0. `len` ≤ [`BITS`](Self::BITS).
    fn prefix(self, len: u8) -> Self;
    /// The six bits that level `level` of the trie decides over, those beyond the key's end 0.
    fn chunk(self, level: u8) -> u8;
    /// The address, if it is IPv4.
    fn as_v4(self) -> Option<u32>;
    /// The address as a number.
    fn as_v6(self) -> u128;
    /// The address of that number; only the last 32 bits of it for IPv4.
    fn from_v6(number: u128) -> Self;
    /// `self | bits << shift`, for putting a key together from its chunks.
    fn with_bits(self, bits: u8, shift: i32) -> Self;
}

impl Key for u32 {
    const BITS: u8 = 32;

    #[inline]
    fn as_v4(self) -> Option<u32> {
        Some(self)
    }

    fn as_v6(self) -> u128 {
        self.into()
    }

    fn from_v6(number: u128) -> Self {
        number as u32
    }

    #[inline]
    fn prefix(self, len: u8) -> Self {
        self & Self::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
    }

    #[inline]
    fn chunk(self, level: u8) -> u8 {
        // 3 + 32 + 1 bits.
        let wide = u64::from(self) << 1;
        (wide >> (30 - STRIDE * level) & 0x3f) as u8
    }

    fn with_bits(self, bits: u8, shift: i32) -> Self {
        let bits = u32::from(bits);
        self | if shift < 0 {
            bits >> -shift
        } else {
            bits << shift
        }
    }
}

impl Key for u128 {
    const BITS: u8 = 128;

    #[inline]
    fn as_v4(self) -> Option<u32> {
        None
    }

    fn as_v6(self) -> u128 {
        self
    }

    fn from_v6(number: u128) -> Self {
        number
    }

    #[inline]
    fn prefix(self, len: u8) -> Self {
        self & Self::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
    }

    #[inline]
    fn chunk(self, level: u8) -> u8 {
        let bits = match 125u8.checked_sub(STRIDE * level) {
            Some(shift) => self >> shift,
            // The last bit of the last chunk is beyond the key's end.
            None => self << 1,
        };
        bits as u8 & 0x3f
    }

    fn with_bits(self, bits: u8, shift: i32) -> Self {
        let bits = u128::from(bits);
        self | if shift < 0 {
            bits >> -shift
        } else {
            bits << shift
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Prefixes that end here: bit `2^l - 1 + b` is the one with the `l` bits `b` below this node.
    internal: u64,
    /// Children, by the six bits.
    external: u64,
    /// Block of the children, in order.
    children: u32,
    /// Block of the prefixes' values, in the order of `internal`.
    values: u32,
}

/// By the first five bits of a chunk: the prefixes of a node that hold it.
const HOLDS: [u64; 32] = {
    let mut table = [0; 32];
    let mut chunk = 0;
    while chunk < 32 {
        let mut len = 0;
        while len < 6 {
            table[chunk] |= 1 << ((1 << len) - 1 + (chunk >> (5 - len)));
            len += 1;
        }
        chunk += 1;
    }
    table
};

/// Bits of `map` below `bit`: the place in its block.
#[inline]
fn rank(map: u64, bit: u32) -> u32 {
    (map & ((1 << bit) - 1)).count_ones()
}

/// Level of the node in which a prefix of `len` bits ends, and its length there.
fn place(len: u8) -> (u8, u8) {
    ((len + LEAD) / STRIDE, (len + LEAD) % STRIDE)
}

/// Bit of the prefix of `inner` bits that holds `chunk`.
fn internal_bit(chunk: u8, inner: u8) -> u32 {
    (1 << inner) - 1 + u32::from(chunk >> (STRIDE - inner))
}

/// Prefixes with numbers as values.
#[derive(Clone, Debug)]
pub struct Trie<K> {
    nodes: Blocks<Node>,
    values: Blocks<u32>,
    root: Node,
    len: usize,
    key: std::marker::PhantomData<K>,
}

impl<K> Default for Trie<K> {
    fn default() -> Self {
        Self {
            nodes: Blocks::default(),
            values: Blocks::default(),
            root: Node::default(),
            len: 0,
            key: std::marker::PhantomData,
        }
    }
}

impl<K: Key> Trie<K> {
    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no prefix.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.nodes.memory() + self.values.memory()
    }

    /// The value of the longest prefix that holds `key`.
    #[inline]
    pub fn longest(&self, key: K) -> Option<u32> {
        let mut node = &self.root;
        let mut best = None;
        let mut level = 0;
        loop {
            let chunk = key.chunk(level);
            let held = node.internal & HOLDS[usize::from(chunk >> 1)];
            if held != 0 {
                best = Some((node, held));
            }
            if node.external >> chunk & 1 == 0 {
                break;
            }
            node = self
                .nodes
                .get(node.children + rank(node.external, u32::from(chunk)));
            level += 1;
        }
        let (node, held) = best?;
        let bit = 63 - held.leading_zeros();
        Some(*self.values.get(node.values + rank(node.internal, bit)))
    }

    /// The value and length of the longest prefix of at most `max_len` bits that holds `key`.
    pub fn longest_within(&self, key: K, max_len: u8) -> Option<(u32, u8)> {
        let (last, inner) = place(max_len.min(K::BITS));
        let mut node = &self.root;
        let mut best = None;
        for level in 0..=last {
            let chunk = key.chunk(level);
            let mut held = node.internal & HOLDS[usize::from(chunk >> 1)];
            if level == last {
                held &= (2 << internal_bit(u8::MAX >> 2, inner)) - 1;
            }
            if held != 0 {
                best = Some((node, held, level));
            }
            if node.external >> chunk & 1 == 0 {
                break;
            }
            node = self
                .nodes
                .get(node.children + rank(node.external, u32::from(chunk)));
        }
        let (node, held, level) = best?;
        let bit = 63 - held.leading_zeros();
        let value = *self.values.get(node.values + rank(node.internal, bit));
        Some((value, STRIDE * level + (bit + 1).ilog2() as u8 - LEAD))
    }

    fn node(&self, at: Option<u32>) -> &Node {
        at.map_or(&self.root, |at| self.nodes.get(at))
    }

    fn node_mut(&mut self, at: Option<u32>) -> &mut Node {
        match at {
            Some(at) => self.nodes.get_mut(at),
            None => &mut self.root,
        }
    }

    /// Where the value of exactly this prefix is.
    fn slot(&self, key: K, len: u8) -> Option<u32> {
        let (last, inner) = place(len.min(K::BITS));
        let mut node = &self.root;
        for level in 0..last {
            let chunk = key.chunk(level);
            if node.external >> chunk & 1 == 0 {
                return None;
            }
            node = self
                .nodes
                .get(node.children + rank(node.external, u32::from(chunk)));
        }
        let bit = internal_bit(key.chunk(last), inner);
        (node.internal >> bit & 1 == 1).then(|| node.values + rank(node.internal, bit))
    }

    /// The value of exactly this prefix.
    pub fn get(&self, key: K, len: u8) -> Option<u32> {
        Some(*self.values.get(self.slot(key, len)?))
    }

    /// Adds a prefix; an existing one gets the new value, and the old one is returned.
    pub fn insert(&mut self, key: K, len: u8, value: u32) -> Option<u32> {
        let len = len.min(K::BITS);
        if let Some(slot) = self.slot(key, len) {
            return Some(std::mem::replace(self.values.get_mut(slot), value));
        }
        self.len += 1;
        let (last, inner) = place(len);
        let mut at = None;
        for level in 0..last {
            let (node, chunk) = (*self.node(at), u32::from(key.chunk(level)));
            let rank = rank(node.external, chunk);
            let mut children = node.children;
            if node.external >> chunk & 1 == 0 {
                let count = node.external.count_ones() as usize;
                children = self
                    .nodes
                    .insert(children, count, rank as usize, Node::default());
                let node = self.node_mut(at);
                node.children = children;
                node.external |= 1 << chunk;
            }
            at = Some(children + rank);
        }
        let node = *self.node(at);
        let bit = internal_bit(key.chunk(last), inner);
        let count = node.internal.count_ones() as usize;
        let place = rank(node.internal, bit) as usize;
        let values = self.values.insert(node.values, count, place, value);
        let node = self.node_mut(at);
        node.values = values;
        node.internal |= 1 << bit;
        None
    }

    /// Removes exactly this prefix, and the nodes that only led to it.
    pub fn remove(&mut self, key: K, len: u8) -> Option<u32> {
        let len = len.min(K::BITS);
        let (last, inner) = place(len);
        // Nodes of the path: a trie of 128 bits has 22 levels.
        let mut path = [None; 22];
        let mut at = None;
        for level in 0..last {
            path[usize::from(level)] = at;
            let (node, chunk) = (self.node(at), u32::from(key.chunk(level)));
            if node.external >> chunk & 1 == 0 {
                return None;
            }
            at = Some(node.children + rank(node.external, chunk));
        }
        let node = *self.node(at);
        let bit = internal_bit(key.chunk(last), inner);
        if node.internal >> bit & 1 == 0 {
            return None;
        }
        let place = rank(node.internal, bit);
        let value = *self.values.get(node.values + place);
        let count = node.internal.count_ones() as usize;
        let values = self.values.remove(node.values, count, place as usize);
        let node = self.node_mut(at);
        node.values = values;
        node.internal &= !(1 << bit);
        self.len -= 1;
        for level in (0..last).rev() {
            let node = self.node(at);
            if node.internal | node.external != 0 {
                break;
            }
            at = path[usize::from(level)];
            let (node, chunk) = (*self.node(at), u32::from(key.chunk(level)));
            let count = node.external.count_ones() as usize;
            let place = rank(node.external, chunk) as usize;
            let children = self.nodes.remove(node.children, count, place);
            let node = self.node_mut(at);
            node.children = children;
            node.external &= !(1 << chunk);
        }
        Some(value)
    }

    /// All prefixes with their values, by no order that means anything.
    pub fn prefixes(&self) -> Vec<(K, u8, u32)> {
        let mut found = Vec::with_capacity(self.len);
        self.collect(&self.root, K::default(), 0, &mut found);
        found
    }

    /// All prefixes in the network `key/len`, itself included.
    pub fn prefixes_within(&self, key: K, len: u8) -> Vec<(K, u8, u32)> {
        let (last, _) = place(len);
        let (mut node, mut above) = (&self.root, K::default());
        for level in 0..last {
            let chunk = key.chunk(level);
            if node.external >> chunk & 1 == 0 {
                return Vec::new();
            }
            above = above.with_bits(chunk, Self::shift(level));
            node = self
                .nodes
                .get(node.children + rank(node.external, u32::from(chunk)));
        }
        let mut found = Vec::new();
        self.collect(node, above, last, &mut found);
        found.retain(|&(k, l, _)| l >= len && k.prefix(len) == key.prefix(len));
        found
    }

    /// Where the lowest bit of a level's chunk is in the key; it may be one beyond its end.
    fn shift(level: u8) -> i32 {
        i32::from(K::BITS) + i32::from(LEAD) - i32::from(STRIDE) * (i32::from(level) + 1)
    }

    fn collect(&self, node: &Node, key: K, level: u8, found: &mut Vec<(K, u8, u32)>) {
        let shift = Self::shift(level);
        let mut value = node.values;
        for bit in 0..63u32 {
            if node.internal >> bit & 1 == 1 {
                let inner = (bit + 1).ilog2() as u8;
                let bits = (bit + 1 - (1 << inner)) as u8;
                let key = key.with_bits(bits << (STRIDE - inner), shift);
                found.push((key, STRIDE * level + inner - LEAD, *self.values.get(value)));
                value += 1;
            }
        }
        let mut child = node.children;
        for chunk in 0..64u8 {
            if node.external >> chunk & 1 == 1 {
                let key = key.with_bits(chunk, shift);
                self.collect(self.nodes.get(child), key, level + 1, found);
                child += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The definition: of all prefixes that hold the key, the longest.
    fn naive<K: Key>(list: &BTreeMap<(K, u8), u32>, key: K, max: u8) -> Option<u32> {
        let holds = |&(&(p, len), _): &(&(K, u8), &u32)| len <= max && key.prefix(len) == p;
        list.iter()
            .filter(holds)
            .max_by_key(|((_, len), _)| *len)
            .map(|(_, v)| *v)
    }

    /// Adds and removes; keys near existing prefixes, else hardly any would match.
    fn check<K: Key>(steps: &[(K, u8, bool)], keys: &[(usize, K, u8, u8)]) {
        let (mut trie, mut list) = (Trie::default(), BTreeMap::new());
        for (i, &(key, len, add)) in steps.iter().enumerate() {
            let (len, value) = (len % (K::BITS + 1), i as u32);
            let prefix = (key.prefix(len), len);
            if add {
                assert_eq!(trie.insert(key, len, value), list.insert(prefix, value));
            } else {
                // Something that is there, mostly.
                let prefix = list.range(prefix..).next().map_or(prefix, |(p, _)| *p);
                assert_eq!(trie.remove(prefix.0, prefix.1), list.remove(&prefix));
            }
            assert_eq!(trie.get(prefix.0, len), list.get(&prefix).copied());
            assert_eq!(trie.len(), list.len());
        }
        let mut all = trie.prefixes();
        all.sort_unstable();
        assert!(
            all.iter()
                .map(|&(k, len, v)| ((k, len), v))
                .eq(list.clone())
        );
        for &(near, noise, keep, max) in keys {
            let base = list
                .keys()
                .nth(near % list.len().max(1))
                .map_or(noise, |p| p.0);
            let (keep, shift) = (keep % (K::BITS + 1), i32::from(keep % (K::BITS - 6)));
            let key = base.prefix(keep).with_bits(noise.chunk(1), shift);
            assert_eq!(trie.longest(key), naive(&list, key, K::BITS));
            assert_eq!(trie.longest(base), naive(&list, base, K::BITS));
            let max = max % (K::BITS + 1);
            let within = trie.longest_within(base, max);
            assert_eq!(within.map(|(value, _)| value), naive(&list, base, max));
            let right =
                within.is_none_or(|(v, len)| list.get(&(base.prefix(len), len)) == Some(&v));
            assert!(right);
        }
        for &(key, len) in list.keys().cloned().collect::<Vec<_>>().iter() {
            assert!(trie.remove(key, len).is_some() && trie.remove(key, len).is_none());
        }
        assert!(trie.is_empty() && trie.root.external == 0 && trie.root.internal == 0);
    }

    proptest! {
        #[test]
        fn equals_the_definition_v4(
            steps in prop::collection::vec((prop_oneof![any::<u32>(), 0x0a00_0000u32..0x0a00_0100], any::<u8>(), prop::bool::weighted(0.8)), 0..80),
            keys in prop::collection::vec((any::<usize>(), any::<u32>(), any::<u8>(), any::<u8>()), 0..40),
        ) {
            check(&steps, &keys);
        }

        #[test]
        fn equals_the_definition_v6(
            steps in prop::collection::vec((prop_oneof![any::<u128>(), 0u128..0x100], any::<u8>(), prop::bool::weighted(0.8)), 0..80),
            keys in prop::collection::vec((any::<usize>(), any::<u128>(), any::<u8>(), any::<u8>()), 0..40),
        ) {
            check(&steps, &keys);
        }
    }

    #[test]
    fn both_ends_of_the_key() {
        let mut trie = Trie::<u128>::default();
        trie.insert(0, 0, 1);
        trie.insert(u128::MAX, 128, 2);
        trie.insert(u128::MAX - 1, 127, 3);
        assert_eq!(trie.longest(u128::MAX), Some(2));
        assert_eq!(trie.longest(u128::MAX - 1), Some(3));
        assert_eq!(trie.longest(7), Some(1));
        assert_eq!(trie.longest_within(u128::MAX, 126), Some((1, 0)));
        assert_eq!(trie.prefixes_within(u128::MAX, 100).len(), 2);
    }
}
