//! Elements whose keys are ranges in several fields.
//!
//! For every field the ends of all ranges cut the numbers into pieces; a piece knows, as a bit map, which elements cover it. A lookup
//! finds the piece of each field by binary search and joins the bit maps. Where elements overlap the oldest is found.

use super::MAX_FIELDS;

#[derive(Clone, Debug, Default)]
struct Field {
    /// First number of each piece, ascending.
    starts: Vec<u128>,
    /// Bit maps of the pieces, `words` words each.
    maps: Vec<u64>,
}

/// First and last value of each field.
type Bounds = Box<[(u128, u128)]>;

#[derive(Clone, Debug)]
pub(crate) struct Ranges {
    entries: Vec<(Bounds, u32)>,
    fields: Box<[Field]>,
    words: usize,
    stale: bool,
}

impl Ranges {
    pub fn new(fields: usize) -> Self {
        Self {
            entries: Vec::new(),
            fields: vec![Field::default(); fields].into(),
            words: 0,
            stale: false,
        }
    }

    pub fn insert(&mut self, bounds: &[(u128, u128)], slot: u32) {
        self.entries.push((bounds.into(), slot));
        self.stale = true;
    }

    pub fn remove(&mut self, slot: u32) {
        self.entries.retain(|(_, s)| *s != slot);
        self.stale = true;
    }

    /// Slots of the entries that `point` falls into, the oldest first.
    pub fn containing<'a>(
        &'a self,
        point: impl Fn(usize) -> u128 + 'a,
    ) -> impl Iterator<Item = u32> {
        let inside = move |own: &Bounds| {
            let mut fields = own.iter().enumerate();
            fields.all(|(i, (lo, hi))| (*lo..=*hi).contains(&point(i)))
        };
        let found = self.entries.iter().filter(move |(own, _)| inside(own));
        found.map(|(_, slot)| *slot)
    }

    /// Cuts the fields into pieces again when elements came or went.
    pub fn build(&mut self) {
        if !self.stale {
            return;
        }
        self.stale = false;
        self.words = self.entries.len().div_ceil(64);
        for (i, field) in self.fields.iter_mut().enumerate() {
            let ranges = || self.entries.iter().filter_map(|(b, _)| b.get(i).copied());
            let mut starts: Vec<u128> = ranges()
                .flat_map(|(lo, hi)| [Some(lo), hi.checked_add(1)])
                .flatten()
                .collect();
            starts.sort_unstable();
            starts.dedup();
            let mut maps = vec![0u64; starts.len() * self.words];
            for (n, (lo, hi)) in ranges().enumerate() {
                let from = starts.partition_point(|s| *s < lo);
                let to = starts.partition_point(|s| *s <= hi);
                for piece in from..to {
                    maps[piece * self.words + n / 64] |= 1 << (n % 64);
                }
            }
            *field = Field { starts, maps };
        }
    }

    /// The oldest entry that `key` falls into and that `counts`.
    pub fn find(&self, key: &[u128], counts: impl Fn(u32) -> bool) -> Option<u32> {
        if self.stale {
            // Between two builds nothing is looked up by packets; be right anyway.
            let point = |i: usize| key.get(i).copied().unwrap_or_default();
            return self.containing(point).find(|slot| counts(*slot));
        }
        let mut pieces = [0; MAX_FIELDS];
        for ((field, k), piece) in self.fields.iter().zip(key).zip(&mut pieces) {
            *piece = field.starts.partition_point(|s| s <= k).checked_sub(1)?;
        }
        for word in 0..self.words {
            let mut common = u64::MAX;
            for (field, piece) in self.fields.iter().zip(&pieces) {
                common &= field
                    .maps
                    .get(piece * self.words + word)
                    .copied()
                    .unwrap_or(0);
            }
            while common != 0 {
                let n = word * 64 + common.trailing_zeros() as usize;
                let (_, slot) = self.entries.get(n)?;
                if counts(*slot) {
                    return Some(*slot);
                }
                common &= common - 1;
            }
        }
        None
    }
}
