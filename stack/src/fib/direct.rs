//! A shortcut for large IPv4 tables: nodes of 64 slots, in which neighbours with the same prefix share one value ("Poptrie": Asai, Ohara, 2015).
//!
//! The first 18 bits of an address choose a node, the next six one of its slots, which is a /24. A bit for each slot says whether its value is
//! another than the one before; counting the bits up to the slot finds its value in the node's run of values. So a lookup reads a node and a
//! value, without a branch in between that depends on what it read. A /24 with longer prefixes in it has the number of four more nodes for its
//! value, a slot for each address.
//!
//! The [`Trie`](super::trie::Trie) remains what is true: the slots of a node are computed anew from it when one of their prefixes changes.

/// Bits that choose the first node.
pub(super) const NODE_BITS: u8 = 18;
/// Bits that choose its slot as well.
pub(super) const SLOT_BITS: u8 = 24;
const NODES: usize = 1 << NODE_BITS;
const SLOTS: usize = 64;
/// Addresses of a /24.
const DEEP_SLOTS: usize = 1 << (32 - SLOT_BITS);
/// In the value of a slot: the rest is the number of four more nodes.
const DEEP: u32 = 1 << 31;
/// No prefix.
const NONE: u32 = DEEP - 1;
/// Values of prefixes are less.
pub(super) const VALUES: u32 = NONE;
/// The run of a node without prefixes.
const EMPTY_RUN: u32 = 0;
/// Values that may lie unused, besides as many as are in use.
const SLACK: usize = 1 << 16;

/// 16 bytes, never in two lines of a cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Node {
    /// Slots whose value is not that of the slot before, the first one always among them.
    starts: u64,
    /// Its run of values, one for each bit of `starts`.
    run: u32,
    /// What a slot without a prefix has: the value of the longest prefix that is too short for the node.
    outer: u32,
}

const EMPTY: Node = Node {
    starts: 1,
    run: EMPTY_RUN,
    outer: NONE,
};

impl Node {
    /// Values in its run that are its own.
    fn len(&self) -> usize {
        match self.run {
            EMPTY_RUN => 0,
            _ => self.starts.count_ones() as usize,
        }
    }
}

/// Runs of values, one behind the other.
#[derive(Clone, Debug)]
struct Runs {
    values: Vec<u32>,
    /// Values of former runs.
    unused: usize,
}

impl Runs {
    /// The value of a node's slot.
    #[inline]
    fn get(&self, node: &Node, slot: u32) -> u32 {
        let up_to = node.starts << (63 - slot);
        self.values[(node.run + up_to.count_ones() - 1) as usize]
    }

    /// The values of all slots.
    fn slots(&self, node: &Node) -> [u32; SLOTS] {
        std::array::from_fn(|slot| self.get(node, slot as u32))
    }

    /// Gives the node other slots: in its old run, if that is long enough.
    fn write(&mut self, node: &mut Node, slots: &[u32]) {
        let old = node.len();
        let (mut run, mut len) = ([NONE; SLOTS], 0);
        node.starts = 0;
        for (slot, value) in slots.iter().enumerate() {
            if slot == 0 || *value != slots[slot - 1] {
                node.starts |= 1 << slot;
                run[len] = *value;
                len += 1;
            }
        }
        let run = &run[..len];
        if run == [NONE] {
            node.run = EMPTY_RUN;
            self.unused += old;
        } else if len <= old {
            self.values[node.run as usize..][..len].copy_from_slice(run);
            self.unused += old - len;
        } else {
            // 2^32 values are more memory than a table of routes can have.
            node.run = self.values.len() as u32;
            self.values.extend_from_slice(run);
            self.unused += old;
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Direct {
    nodes: Vec<Node>,
    /// Lengths of the prefixes behind [`Node::outer`].
    outer_len: Vec<u8>,
    /// The nodes of the /24s with longer prefixes.
    deep: Vec<[Node; 4]>,
    /// Those of them that are not in use.
    free: Vec<u32>,
    runs: Runs,
}

fn node_of(key: u32) -> usize {
    (key >> (32 - NODE_BITS)) as usize
}

/// Which slot of its node an address is in.
#[inline]
fn slot_of(key: u32) -> u32 {
    key >> (32 - SLOT_BITS) & (SLOTS as u32 - 1)
}

/// Slots of a network of `outer` bits, the longest prefix last in each. All prefixes are in that network, and longer or equal; the shorter
/// ones come first.
fn slots<const N: usize>(prefixes: &[(u32, u8, u32)], outer: u8) -> [u32; N] {
    let mut slots = [NONE; N];
    let shift = 32 - u32::from(outer) - N.ilog2();
    for &(key, len, value) in prefixes {
        let first = (key >> shift) as usize % N;
        slots[first..first + (N >> (len - outer))].fill(value);
    }
    slots
}

impl Direct {
    pub fn new() -> Self {
        Self {
            nodes: vec![EMPTY; NODES],
            outer_len: vec![0; NODES],
            deep: Vec::new(),
            free: Vec::new(),
            runs: Runs {
                values: vec![NONE],
                unused: 0,
            },
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let nodes = NODES + 4 * self.deep.capacity();
        nodes * size_of::<Node>() + NODES + self.runs.values.capacity() * size_of::<u32>()
    }

    /// The value of the longest prefix that holds `key`.
    #[inline]
    pub fn longest(&self, key: u32) -> Option<u32> {
        let node = &self.nodes[node_of(key)];
        let mut value = self.runs.get(node, slot_of(key));
        if value >= DEEP {
            let nodes = &self.deep[(value - DEEP) as usize];
            let node = &nodes[(key >> 6 & 3) as usize];
            value = self.runs.get(node, key & 63);
            if value == NONE {
                value = node.outer;
            }
        }
        if value == NONE {
            value = node.outer;
        }
        (value != NONE).then_some(value)
    }

    /// A prefix of less than 18 bits came, went or has another value; `now` is the longest one that holds all of it, itself included.
    pub fn set_short(&mut self, key: u32, len: u8, now: Option<(u32, u8)>) {
        let now = now.unwrap_or((NONE, 0));
        let first = node_of(key);
        let range = first..first + (NODES >> len);
        let lens = &mut self.outer_len[range.clone()];
        for (node, outer_len) in self.nodes[range].iter_mut().zip(lens) {
            if *outer_len <= len {
                (node.outer, *outer_len) = now;
            }
        }
    }

    /// The node of `key` from its prefixes of 18 to 24 bits, sorted by length.
    pub fn set_node(&mut self, key: u32, prefixes: &[(u32, u8, u32)]) {
        let mut slots = slots::<SLOTS>(prefixes, NODE_BITS);
        let old = self.runs.slots(&self.nodes[node_of(key)]);
        for (slot, old) in slots.iter_mut().zip(old) {
            if old >= DEEP {
                for node in &mut self.deep[(old - DEEP) as usize] {
                    node.outer = *slot;
                }
                *slot = old;
            }
        }
        self.runs.write(&mut self.nodes[node_of(key)], &slots);
        self.tidy();
    }

    /// The slot of `key` from its prefixes of more than 24 bits, sorted by length.
    pub fn set_slot(&mut self, key: u32, prefixes: &[(u32, u8, u32)]) {
        let slot = slot_of(key);
        let value = self.runs.get(&self.nodes[node_of(key)], slot);
        let deep = match value.checked_sub(DEEP) {
            Some(deep) => deep,
            None => {
                let deep = self.free.pop().unwrap_or(self.deep.len() as u32);
                if deep as usize == self.deep.len() {
                    self.deep.push([EMPTY; 4]);
                }
                for node in &mut self.deep[deep as usize] {
                    node.outer = value;
                }
                self.set_value(key, DEEP | deep);
                deep
            }
        };
        let slots = slots::<DEEP_SLOTS>(prefixes, SLOT_BITS);
        let nodes = &mut self.deep[deep as usize];
        for (node, slots) in nodes.iter_mut().zip(slots.chunks(SLOTS)) {
            self.runs.write(node, slots);
        }
        if prefixes.is_empty() {
            let outer = nodes[0].outer;
            self.free.push(deep);
            self.set_value(key, outer);
        }
        self.tidy();
    }

    /// The slot of `key` gets another value.
    fn set_value(&mut self, key: u32, value: u32) {
        let node = &mut self.nodes[node_of(key)];
        let mut slots = self.runs.slots(node);
        slots[slot_of(key) as usize] = value;
        self.runs.write(node, &slots);
    }

    /// Lays the runs close together when more of them is unused than used.
    fn tidy(&mut self) {
        let used = self.runs.values.len() - self.runs.unused;
        if self.runs.unused <= used + SLACK {
            return;
        }
        let mut values = Vec::with_capacity(used + used / 2);
        values.push(NONE);
        for node in self.nodes.iter_mut().chain(self.deep.iter_mut().flatten()) {
            let len = node.len();
            if len > 0 {
                let run = &self.runs.values[node.run as usize..][..len];
                node.run = values.len() as u32;
                values.extend_from_slice(run);
            }
        }
        self.runs = Runs { values, unused: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(direct: &Direct) -> usize {
        direct.runs.values.len() - direct.runs.unused
    }

    #[test]
    fn nested_prefixes_share_a_node() {
        let mut direct = Direct::new();
        let at = 0x0a01_0000;
        direct.set_node(at, &[(at, 18, 1), (at + 0x100, 23, 2), (at + 0x200, 24, 3)]);
        direct.set_slot(at, &[(at + 0x80, 25, 4), (at + 0xff, 32, 5)]);
        direct.set_short(0x0a00_0000, 8, Some((9, 8)));
        let look = |low: u32| direct.longest(at + low);
        assert_eq!([look(0), look(0x7f)], [Some(1); 2]);
        assert_eq!(
            [look(0x80), look(0xfe), look(0xff)],
            [Some(4), Some(4), Some(5)]
        );
        assert_eq!(
            [look(0x100), look(0x1ff), look(0x200)],
            [Some(2), Some(2), Some(3)]
        );
        assert_eq!([look(0x300), look(0x3fff)], [Some(1); 2]);
        assert_eq!([look(0x4000), look(0x1_0000)], [Some(9); 2]);
        assert_eq!(direct.longest(0x0b00_0000), None);
    }

    #[test]
    fn a_slot_with_longer_prefixes_keeps_what_is_around_them() {
        let mut direct = Direct::new();
        direct.set_slot(0x100, &[(0x180, 25, 1)]);
        assert_eq!(
            [0x17f, 0x180].map(|key| direct.longest(key)),
            [None, Some(1)]
        );
        direct.set_node(0x100, &[(0x100, 24, 2)]);
        assert_eq!(
            [0xff, 0x100, 0x17f, 0x180].map(|key| direct.longest(key)),
            [None, Some(2), Some(2), Some(1)]
        );
        direct.set_slot(0x100, &[]);
        assert_eq!([0x17f, 0x180].map(|key| direct.longest(key)), [Some(2); 2]);
        direct.set_node(0x100, &[]);
        assert_eq!([0x17f, 0x180].map(|key| direct.longest(key)), [None; 2]);
        assert_eq!((direct.deep.len(), direct.free.len()), (1, 1));
        assert_eq!(used(&direct), 1);
    }

    #[test]
    fn memory_is_used_again() {
        let mut direct = Direct::new();
        let hosts: Vec<_> = (0..256).step_by(2).map(|key| (key, 32, key)).collect();
        for turn in 0..4 * SLACK as u32 / 256 {
            let key = turn << 8;
            let here: Vec<_> = hosts.iter().map(|&(k, len, v)| (key | k, len, v)).collect();
            direct.set_slot(key, &here);
            assert_eq!([2, 3].map(|low| direct.longest(key | low)), [Some(2), None]);
            direct.set_slot(key, &[]);
        }
        assert_eq!(used(&direct), 1);
        assert!(direct.deep.len() == 1 && direct.runs.values.len() <= SLACK + 2 * 256);
    }

    #[test]
    fn shorter_prefixes_fill_what_is_left() {
        let mut direct = Direct::new();
        direct.set_node(0, &[(0x100, 24, 1)]);
        direct.set_short(0, 8, Some((8, 8)));
        direct.set_short(0, 0, Some((7, 0)));
        assert_eq!(
            [direct.longest(0xff), direct.longest(0x100)],
            [Some(8), Some(1)]
        );
        assert_eq!(direct.longest(u32::MAX), Some(7));
        direct.set_short(0, 8, Some((7, 0)));
        assert_eq!(direct.longest(0xff), Some(7));
        direct.set_short(0, 0, None);
        assert_eq!(direct.longest(0xff), None);
        direct.set_node(0, &[]);
        assert_eq!(direct.longest(0x100), None);
    }
}
