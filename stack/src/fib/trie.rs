//! Longest-prefix match: a multibit trie with compressed nodes ("tree bitmap": Eatherton, Varghese, Dittia, 2004) and compressed paths.
//!
//! A node decides over six bits of the key. Two bitmaps say which prefixes end in it (lengths 0 to 5 below the node, 63 in all) and which of
//! its 64 children exist; prefixes and children lie in blocks of their own, found by counting bits. A node that would hold no prefix and have
//! one child is left out: the child says at which bit it stands, and which bits lead to it. So a lookup passes as many nodes as there are
//! places where prefixes part or nest, however long they are. Adding and removing touch one path.

use super::blocks::Blocks;
pub use super::key::Key;
use super::key::{LEAD, STRIDE};

#[derive(Clone, Copy, Debug, Default)]
struct Node<K> {
    /// Prefixes that end here: bit `2^l - 1 + b` is the one with the `l` bits `b` below this node.
    internal: u64,
    /// Children, by the six bits.
    external: u64,
    /// Block of the children, in order.
    children: u32,
    /// Block of the prefixes' values, in the order of `internal`.
    values: u32,
    /// The bits before those that the node decides over.
    key: K,
    /// Which six bits it decides over.
    level: u8,
}

impl<K: Key> Node<K> {
    fn new(key: K, level: u8) -> Self {
        Self {
            internal: 0,
            external: 0,
            children: 0,
            values: 0,
            key: key.prefix(above(level)),
            level,
        }
    }

    /// Number of the child that `chunk` chooses, if it exists.
    #[inline]
    fn child(&self, chunk: u8) -> Option<u32> {
        let exists = self.external >> chunk & 1 == 1;
        exists.then(|| self.children + rank(self.external, u32::from(chunk)))
    }

    /// Whether the bits before the node are those of `key`.
    #[inline]
    fn is_on_path(&self, key: K) -> bool {
        self.key.common(key) >= above(self.level)
    }
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

/// Bits of the key before those that a node of this level decides over.
#[inline]
fn above(level: u8) -> u8 {
    (level * STRIDE).saturating_sub(LEAD)
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
    nodes: Blocks<Node<K>>,
    values: Blocks<u32>,
    root: Node<K>,
    len: usize,
}

impl<K: Key> Default for Trie<K> {
    fn default() -> Self {
        Self {
            nodes: Blocks::default(),
            values: Blocks::default(),
            root: Node::default(),
            len: 0,
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
        loop {
            let chunk = key.chunk(node.level);
            let held = node.internal & HOLDS[usize::from(chunk >> 1)];
            if held != 0 {
                best = Some((node, held));
            }
            let Some(child) = node.child(chunk) else {
                break;
            };
            node = self.nodes.get(child);
            if !node.is_on_path(key) {
                break;
            }
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
        while node.level <= last && node.is_on_path(key) {
            let chunk = key.chunk(node.level);
            let mut held = node.internal & HOLDS[usize::from(chunk >> 1)];
            if node.level == last {
                held &= (2 << internal_bit(u8::MAX >> 2, inner)) - 1;
            }
            if held != 0 {
                best = Some((node, held));
            }
            let Some(child) = node.child(chunk) else {
                break;
            };
            node = self.nodes.get(child);
        }
        let (node, held) = best?;
        let bit = 63 - held.leading_zeros();
        let value = *self.values.get(node.values + rank(node.internal, bit));
        let len = STRIDE * node.level + (bit + 1).ilog2() as u8 - LEAD;
        Some((value, len))
    }

    fn node(&self, at: Option<u32>) -> &Node<K> {
        at.map_or(&self.root, |at| self.nodes.get(at))
    }

    fn node_mut(&mut self, at: Option<u32>) -> &mut Node<K> {
        match at {
            Some(at) => self.nodes.get_mut(at),
            None => &mut self.root,
        }
    }

    /// Where the value of exactly this prefix is.
    fn slot(&self, key: K, len: u8) -> Option<u32> {
        let (last, inner) = place(len);
        let mut node = &self.root;
        while node.level < last {
            node = self.nodes.get(node.child(key.chunk(node.level))?);
        }
        if node.level != last || !node.is_on_path(key) {
            return None;
        }
        let bit = internal_bit(key.chunk(last), inner);
        (node.internal >> bit & 1 == 1).then(|| node.values + rank(node.internal, bit))
    }

    /// The value of exactly this prefix.
    pub fn get(&self, key: K, len: u8) -> Option<u32> {
        Some(*self.values.get(self.slot(key, len.min(K::BITS))?))
    }

    /// Adds a prefix; an existing one gets the new value, and the old one is returned.
    pub fn insert(&mut self, key: K, len: u8, value: u32) -> Option<u32> {
        let len = len.min(K::BITS);
        let key = key.prefix(len);
        if let Some(slot) = self.slot(key, len) {
            return Some(std::mem::replace(self.values.get_mut(slot), value));
        }
        self.len += 1;
        let (last, inner) = place(len);
        let mut at = None;
        loop {
            let node = *self.node(at);
            if node.level == last {
                break;
            }
            let chunk = key.chunk(node.level);
            let Some(child_at) = node.child(chunk) else {
                at = Some(self.add_child(at, chunk, Node::new(key, last)));
                break;
            };
            let child = *self.nodes.get(child_at);
            let common = key.common(child.key).min(above(child.level));
            // The last node that both prefixes can pass.
            let part = last.min((common + LEAD) / STRIDE);
            if part < child.level {
                let mut fork = Node::new(key, part);
                fork.children = self.nodes.insert(0, 0, 0, child);
                fork.external = 1 << child.key.chunk(part);
                *self.nodes.get_mut(child_at) = fork;
            }
            at = Some(child_at);
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

    /// Gives the node `at` a child that it does not have; returns where that is.
    fn add_child(&mut self, at: Option<u32>, chunk: u8, child: Node<K>) -> u32 {
        let node = *self.node(at);
        let rank = rank(node.external, u32::from(chunk));
        let count = node.external.count_ones() as usize;
        let children = self
            .nodes
            .insert(node.children, count, rank as usize, child);
        let node = self.node_mut(at);
        node.children = children;
        node.external |= 1 << chunk;
        children + rank
    }

    /// Removes exactly this prefix, and the nodes that nothing needs without it.
    pub fn remove(&mut self, key: K, len: u8) -> Option<u32> {
        let len = len.min(K::BITS);
        let slot = self.slot(key, len)?;
        let value = *self.values.get(slot);
        let (last, inner) = place(len);
        let (mut parent, mut at) = (None, None);
        while self.node(at).level < last {
            let node = self.node(at);
            parent = at;
            at = Some(node.child(key.chunk(node.level))?);
        }
        let node = *self.node(at);
        let bit = internal_bit(key.chunk(last), inner);
        let count = node.internal.count_ones() as usize;
        let place = (slot - node.values) as usize;
        let values = self.values.remove(node.values, count, place);
        self.len -= 1;
        let node = self.node_mut(at);
        node.values = values;
        node.internal &= !(1 << bit);
        if at.is_some() && node.internal | node.external == 0 {
            let node = *self.node(parent);
            let chunk = key.chunk(node.level);
            let count = node.external.count_ones() as usize;
            let place = rank(node.external, u32::from(chunk)) as usize;
            let children = self.nodes.remove(node.children, count, place);
            let node = self.node_mut(parent);
            node.children = children;
            node.external &= !(1 << chunk);
            at = parent;
        }
        self.leave_out(at);
        Some(value)
    }

    /// Puts the only child of a node without prefixes in its place. The root stays.
    fn leave_out(&mut self, at: Option<u32>) {
        let Some(at) = at else { return };
        let node = *self.nodes.get(at);
        if node.internal == 0 && node.external.count_ones() == 1 {
            let child = *self.nodes.get(node.children);
            self.nodes.remove(node.children, 1, 0);
            *self.nodes.get_mut(at) = child;
        }
    }

    /// All prefixes with their values, by no order that means anything.
    pub fn prefixes(&self) -> Vec<(K, u8, u32)> {
        let mut found = Vec::with_capacity(self.len);
        self.collect(&self.root, K::BITS, &mut found);
        found
    }

    /// All prefixes of at most `max_len` bits in the network `key/len`, itself included.
    pub fn prefixes_within(&self, key: K, len: u8, max_len: u8) -> Vec<(K, u8, u32)> {
        let (last, _) = place(len);
        let mut node = &self.root;
        while node.level < last {
            match node.child(key.chunk(node.level)) {
                Some(child) => node = self.nodes.get(child),
                None => return Vec::new(),
            }
        }
        let mut found = Vec::new();
        if node.key.common(key) >= len.min(above(node.level)) {
            self.collect(node, max_len, &mut found);
            let within = |l| (len..=max_len).contains(&l);
            found.retain(|&(k, l, _)| within(l) && k.prefix(len) == key.prefix(len));
        }
        found
    }

    /// The prefixes that end in `node` and in those below it where prefixes of `max_len` bits end, or shorter ones.
    fn collect(&self, node: &Node<K>, max_len: u8, found: &mut Vec<(K, u8, u32)>) {
        if node.level > place(max_len).0 {
            return;
        }
        // Where the lowest bit of the node's chunk is in the key; it may be one beyond its end.
        let shift =
            i32::from(K::BITS) + i32::from(LEAD) - i32::from(STRIDE) * (i32::from(node.level) + 1);
        let mut value = node.values;
        for bit in 0..63u32 {
            if node.internal >> bit & 1 == 1 {
                let inner = (bit + 1).ilog2() as u8;
                let bits = (bit + 1 - (1 << inner)) as u8;
                let key = node.key.with_bits(bits << (STRIDE - inner), shift);
                let len = STRIDE * node.level + inner - LEAD;
                found.push((key, len, *self.values.get(value)));
                value += 1;
            }
        }
        for child in 0..node.external.count_ones() {
            // At most as deep as there are levels.
            self.collect(self.nodes.get(node.children + child), max_len, found);
        }
    }
}

#[cfg(test)]
mod tests;
