//! A shortcut for large IPv4 tables: which prefix an address belongs to, as sorted ranges ("DXR": Zec, Rizzo, Mikuc, 2012).
//!
//! The first 18 bits of an address choose a bucket. The prefixes of 18 bits and more in a bucket cut it into ranges, whose starts and values
//! lie side by side in lines as long as those of the cache: a lookup reads the bucket, then mostly one line, else a few starts of
//! lines. What is in no such prefix belongs to the bucket's longest shorter one, which the bucket names.
//!
//! The [`Trie`](super::trie::Trie) remains what is true: a bucket is computed anew from it when one of its prefixes changes.

use std::collections::BTreeMap;

/// Bits that choose the bucket.
pub(super) const BUCKET_BITS: u8 = 18;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// Bits of an address within its bucket.
pub(super) const LOW_BITS: u8 = 32 - BUCKET_BITS;
/// No prefix, no lines.
const NONE: u32 = u32::MAX;
/// Ranges of a line.
const RANGES: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Its first line; [`NONE`]: there are no prefixes of 18 bits and more.
    lines: u32,
    /// Value of the longest prefix of less than 18 bits that holds the bucket.
    short: u32,
}

/// Up to ten ranges, in order: 64 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    values: [u32; RANGES],
    /// Where they start in the bucket. Those that are not used begin behind its end.
    starts: [u16; RANGES],
    /// Lines of the bucket, in its first one.
    count: u16,
}

const EMPTY: Line = Line {
    values: [NONE; RANGES],
    starts: [u16::MAX; RANGES],
    count: 0,
};

#[derive(Clone, Debug)]
pub(super) struct Direct {
    buckets: Vec<Bucket>,
    /// Lengths of the prefixes behind [`Bucket::short`].
    short_len: Vec<u8>,
    lines: Vec<Line>,
    /// Unused runs of lines, by their number.
    free: BTreeMap<usize, Vec<u32>>,
    /// Kept for the next change.
    ranges: Vec<(u16, u32)>,
    stack: Vec<(u16, u32)>,
}

fn bucket_of(key: u32) -> usize {
    (key >> LOW_BITS) as usize
}

/// The address within its bucket.
fn low(key: u32) -> u16 {
    (key & ((1 << LOW_BITS) - 1)) as u16
}

/// The last address of a bucket.
const LAST: u16 = (1 << LOW_BITS) - 1;

impl Direct {
    pub fn new() -> Self {
        let bucket = Bucket {
            lines: NONE,
            short: NONE,
        };
        Self {
            buckets: vec![bucket; BUCKETS],
            short_len: vec![0; BUCKETS],
            lines: Vec::new(),
            free: BTreeMap::new(),
            ranges: Vec::new(),
            stack: Vec::new(),
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        BUCKETS * (size_of::<Bucket>() + 1) + self.lines.capacity() * size_of::<Line>()
    }

    /// The value of the longest prefix that holds `key`.
    #[inline]
    pub fn longest(&self, key: u32) -> Option<u32> {
        let bucket = self.buckets[bucket_of(key)];
        let mut value = NONE;
        if bucket.lines != NONE {
            value = self.find(bucket.lines as usize, low(key));
        }
        if value == NONE {
            value = bucket.short;
        }
        (value != NONE).then_some(value)
    }

    /// The value of the range that holds `low`, in the bucket whose lines begin at `at`.
    #[inline]
    fn find(&self, at: usize, low: u16) -> u32 {
        let mut line = &self.lines[at];
        let mut size = usize::from(line.count);
        // The last line that does not start beyond the address; the first one starts at 0.
        let mut base = at;
        while size > 1 {
            let half = size / 2;
            let middle = &self.lines[base + half];
            if middle.starts[0] <= low {
                (base, line) = (base + half, middle);
            }
            size -= half;
        }
        let before = line.starts[1..].iter().filter(|s| **s <= low).count();
        line.values[before]
    }

    /// A prefix of less than 18 bits came or has another value.
    pub fn insert_short(&mut self, key: u32, len: u8, value: u32) {
        let first = bucket_of(key);
        let range = first..first + (BUCKETS >> len);
        let lens = &mut self.short_len[range.clone()];
        for (bucket, own_len) in self.buckets[range].iter_mut().zip(lens) {
            if bucket.short == NONE || *own_len <= len {
                (bucket.short, *own_len) = (value, len);
            }
        }
    }

    /// A prefix of less than 18 bits went; `next` is the longest that still holds all of it.
    pub fn remove_short(&mut self, key: u32, len: u8, next: Option<(u32, u8)>) {
        let first = bucket_of(key);
        let range = first..first + (BUCKETS >> len);
        let next = next.unwrap_or((NONE, 0));
        let lens = &mut self.short_len[range.clone()];
        for (bucket, own_len) in self.buckets[range].iter_mut().zip(lens) {
            if bucket.short != NONE && *own_len == len {
                (bucket.short, *own_len) = next;
            }
        }
    }

    /// The bucket of `key` from its prefixes of 18 bits and more, sorted by address and length.
    pub fn rebuild(&mut self, key: u32, prefixes: &[(u32, u8, u32)]) {
        self.cut(prefixes);
        let old = self.buckets[bucket_of(key)].lines;
        if old != NONE {
            let count = usize::from(self.lines[old as usize].count);
            self.free.entry(count).or_default().push(old);
        }
        let mut first = NONE;
        if !prefixes.is_empty() {
            let count = self.ranges.len().div_ceil(RANGES);
            let at = match self.free.get_mut(&count).and_then(Vec::pop) {
                Some(at) => at as usize,
                None => {
                    let at = self.lines.len();
                    self.lines.resize(at + count, EMPTY);
                    at
                }
            };
            let lines = &mut self.lines[at..at + count];
            for (line, ranges) in lines.iter_mut().zip(self.ranges.chunks(RANGES)) {
                *line = EMPTY;
                for (i, &(start, value)) in ranges.iter().enumerate() {
                    (line.starts[i], line.values[i]) = (start, value);
                }
            }
            // A bucket has 2^14 addresses.
            lines[0].count = count as u16;
            first = at as u32;
        }
        self.buckets[bucket_of(key)].lines = first;
    }

    /// Cuts a bucket into ranges.
    fn cut(&mut self, prefixes: &[(u32, u8, u32)]) {
        self.ranges.clear();
        self.ranges.push((0, NONE));
        // Prefixes that hold the place where we are: last address and value.
        self.stack.clear();
        self.stack.push((LAST, NONE));
        for &(key, len, value) in prefixes {
            let start = low(key);
            self.close_before(start);
            begin(&mut self.ranges, start, value);
            let last = start | low(u32::MAX.checked_shr(u32::from(len)).unwrap_or(0));
            self.stack.push((last, value));
        }
        self.close_before(LAST + 1);
    }

    /// Ends the prefixes whose last address is before `start`: what holds them goes on.
    fn close_before(&mut self, start: u16) {
        while let Some(&(last, _)) = self.stack.last() {
            if last >= start {
                return;
            }
            self.stack.pop();
            if let Some(&(_, outer)) = self.stack.last().filter(|_| last < LAST) {
                begin(&mut self.ranges, last + 1, outer);
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
            (at, 18, 1),
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
            [look(0xff), look(0x100), look(0x3fff)],
            [Some(4), Some(1), Some(1)]
        );
        assert_eq!([look(0x4000), look(0x1_0000)], [Some(9), Some(9)]);
        assert_eq!(direct.longest(0x0b00_0000), None);
    }

    #[test]
    fn full_lines_follow_each_other() {
        for count in [9, 10, 11, 20, 21, 1024] {
            let mut direct = Direct::new();
            let prefixes: Vec<_> = (0..count).map(|i| (i << 4, 28, i)).collect();
            direct.rebuild(0, &prefixes);
            for (key, _, value) in prefixes {
                assert_eq!(direct.longest(key), Some(value));
                assert_eq!(direct.longest(key + 15), Some(value));
            }
            let after = direct.longest(count << 4);
            assert_eq!(after, None, "{count}");
            // Fewer lines, then the same again in the place that is free.
            let used = direct.lines.len();
            direct.rebuild(0, &[(0, 32, 7)]);
            let prefixes: Vec<_> = (0..count).map(|i| (i << 4, 28, i)).collect();
            direct.rebuild(0, &prefixes);
            assert!(direct.lines.len() <= used + 1);
            assert_eq!(direct.longest(0x10), Some(1));
        }
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
