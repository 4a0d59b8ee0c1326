//! A shortcut for large IPv4 tables: which prefix an address belongs to, as sorted ranges ("DXR": Zec, Rizzo, Mikuc, 2012).
//!
//! The first 16 bits of an address choose a bucket. The prefixes of 16 bits and more in a bucket cut it into ranges; the numbers at which they
//! start lie side by side, with the values behind them, so that a lookup is a step into an array that fits the second-level cache, and a
//! search in one to three neighbouring cache lines. What is in no such prefix belongs to the bucket's longest shorter one.
//!
//! The [`Trie`](super::trie::Trie) remains what is true: a bucket is computed anew from it when one of its prefixes changes.

use std::collections::BTreeMap;

/// Bits that choose the bucket.
pub(super) const BUCKET_BITS: u8 = 16;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// No prefix.
const NONE: u32 = u32::MAX;

/// The ranges of one bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Where its block begins.
    at: u32,
    /// Number of ranges; 0: there are no prefixes of 16 bits and more.
    len: u32,
}

/// The longest prefix of less than 16 bits that holds a bucket.
#[derive(Clone, Copy, Debug)]
struct Short {
    value: u32,
    /// Its length, if there is one.
    len: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Direct {
    buckets: Vec<Bucket>,
    short: Vec<Short>,
    /// Blocks: starts of the ranges, two in a word, then their values.
    pool: Vec<u32>,
    /// Unused blocks by size.
    free: BTreeMap<usize, Vec<u32>>,
    /// Kept for the next change.
    ranges: Vec<(u16, u32)>,
    stack: Vec<(u16, u32)>,
}

/// Words for the starts of `len` ranges.
fn start_words(len: usize) -> usize {
    len.div_ceil(2)
}

/// Words of the block for `len` ranges. Few sizes, so that blocks fit again.
fn block_words(len: usize) -> usize {
    match start_words(len) + len {
        words @ 0..=32 => words.next_multiple_of(4),
        words => words.next_multiple_of((words / 4).next_power_of_two()),
    }
}

fn bucket_of(key: u32) -> usize {
    (key >> 16) as usize
}

impl Direct {
    pub fn new() -> Self {
        Self {
            buckets: vec![Bucket::default(); BUCKETS],
            short: vec![
                Short {
                    value: NONE,
                    len: 0
                };
                BUCKETS
            ],
            pool: Vec::new(),
            free: BTreeMap::new(),
            ranges: Vec::new(),
            stack: Vec::new(),
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        BUCKETS * (size_of::<Bucket>() + size_of::<Short>())
            + self.pool.capacity() * size_of::<u32>()
    }

    /// The value of the longest prefix that holds `key`.
    #[inline]
    pub fn longest(&self, key: u32) -> Option<u32> {
        let bucket = self.buckets[bucket_of(key)];
        let mut value = NONE;
        if bucket.len > 0 {
            let len = bucket.len as usize;
            let block = &self.pool[bucket.at as usize..][..start_words(len) + len];
            let (starts, values) = block.split_at(start_words(len));
            let key = key as u16;
            // The last start that is not beyond the key; the first one is 0.
            let (mut base, mut size) = (0, len);
            while size > 1 {
                let half = size / 2;
                let middle = base + half;
                let start = (starts[middle / 2] >> (middle % 2 * 16)) as u16;
                base = if start <= key { middle } else { base };
                size -= half;
            }
            value = values[base];
        }
        if value == NONE {
            value = self.short[bucket_of(key)].value;
        }
        (value != NONE).then_some(value)
    }

    /// A prefix of less than 16 bits came or has another value.
    pub fn insert_short(&mut self, key: u32, len: u8, value: u32) {
        let first = bucket_of(key);
        for short in &mut self.short[first..first + (BUCKETS >> len)] {
            if short.value == NONE || short.len <= len {
                *short = Short { value, len };
            }
        }
    }

    /// A prefix of less than 16 bits went; `next` is the longest that still holds all of it.
    pub fn remove_short(&mut self, key: u32, len: u8, next: Option<(u32, u8)>) {
        let first = bucket_of(key);
        let (value, next_len) = next.unwrap_or((NONE, 0));
        for short in &mut self.short[first..first + (BUCKETS >> len)] {
            if short.value != NONE && short.len == len {
                *short = Short {
                    value,
                    len: next_len,
                };
            }
        }
    }

    /// The bucket of `key` from its prefixes of 16 bits and more, sorted by address and length.
    pub fn rebuild(&mut self, key: u32, prefixes: &[(u32, u8, u32)]) {
        self.cut(prefixes);
        let old = self.buckets[bucket_of(key)];
        if old.len > 0 {
            let words = block_words(old.len as usize);
            self.free.entry(words).or_default().push(old.at);
        }
        let len = self.ranges.len();
        let mut bucket = Bucket::default();
        if !prefixes.is_empty() {
            let words = block_words(len);
            let at = match self.free.get_mut(&words).and_then(Vec::pop) {
                Some(at) => at as usize,
                None => {
                    let at = self.pool.len();
                    self.pool.resize(at + words, 0);
                    at
                }
            };
            let (starts, values) = self.pool[at..at + words].split_at_mut(start_words(len));
            starts.fill(0);
            for (i, &(start, value)) in self.ranges.iter().enumerate() {
                starts[i / 2] |= u32::from(start) << (i % 2 * 16);
                values[i] = value;
            }
            bucket = Bucket {
                at: at as u32,
                len: len as u32,
            };
        }
        self.buckets[bucket_of(key)] = bucket;
    }

    /// Cuts a bucket into ranges.
    fn cut(&mut self, prefixes: &[(u32, u8, u32)]) {
        self.ranges.clear();
        self.ranges.push((0, NONE));
        // Prefixes that hold the place where we are: last address and value.
        self.stack.clear();
        self.stack.push((u16::MAX, NONE));
        for &(key, len, value) in prefixes {
            let start = key as u16;
            self.close_before(u32::from(start));
            begin(&mut self.ranges, start, value);
            let last = start | (u32::MAX.checked_shr(u32::from(len)).unwrap_or(0)) as u16;
            self.stack.push((last, value));
        }
        self.close_before(1 << 16);
    }

    /// Ends the prefixes whose last address is before `start`: what holds them goes on.
    fn close_before(&mut self, start: u32) {
        while let Some(&(last, _)) = self.stack.last() {
            if u32::from(last) >= start {
                return;
            }
            self.stack.pop();
            if let (Some(&(_, outer)), Some(after)) = (self.stack.last(), last.checked_add(1)) {
                begin(&mut self.ranges, after, outer);
            }
        }
    }
}

/// A range with `value` begins at `start`.
fn begin(ranges: &mut Vec<(u16, u32)>, start: u16, value: u32) {
    if ranges.last().is_some_and(|last| last.0 == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|last| last.1 != value) {
        ranges.push((start, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_prefixes_cut_a_bucket() {
        let mut direct = Direct::new();
        let at = 0x0a01_0000;
        let prefixes = [
            (at, 16, 1),
            (at, 24, 2),
            (at + 0x80, 25, 3),
            (at + 0xff, 32, 4),
        ];
        direct.rebuild(at, &prefixes);
        direct.insert_short(0x0a00_0000, 8, 9);
        let look = |low: u32| direct.longest(at + low);
        assert_eq!(
            [look(0), look(0x7f), look(0x80), look(0xfe)],
            [Some(2), Some(2), Some(3), Some(3)]
        );
        assert_eq!(
            [look(0xff), look(0x100), look(0xffff)],
            [Some(4), Some(1), Some(1)]
        );
        assert_eq!(direct.longest(0x0a02_0000), Some(9));
        assert_eq!(direct.longest(0x0b00_0000), None);
    }

    #[test]
    fn shorter_prefixes_fill_what_is_left() {
        let mut direct = Direct::new();
        direct.rebuild(0, &[(0x100, 24, 1)]);
        direct.insert_short(0, 8, 8);
        direct.insert_short(0, 0, 7);
        assert_eq!(
            [direct.longest(0xff), direct.longest(0x100)],
            [Some(8), Some(1)]
        );
        assert_eq!(direct.longest(u32::MAX), Some(7));
        direct.remove_short(0, 8, Some((7, 0)));
        assert_eq!(direct.longest(0xff), Some(7));
        direct.remove_short(0, 0, None);
        assert_eq!(direct.longest(0xff), None);
        direct.rebuild(0, &[]);
        assert_eq!(direct.longest(0x100), None);
    }
}
