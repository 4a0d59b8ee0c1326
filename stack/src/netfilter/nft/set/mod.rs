//! Sets and maps: elements, and the index that finds them.
//!
//! Like the kernel's set types: a hash where keys are values, a sorted array where keys are intervals, and for concatenations of
//! intervals one sorted array a field whose results are bit maps that are joined (the idea of `nft_set_pipapo`).

mod hash;
mod ranges;

use super::expr::{Elem, Part};
use super::state::State;
use super::verdict::Verdict;
use crate::Ps;
use hash::Seeded;
use ranges::Ranges;
use std::collections::HashMap;

/// Fields of a concatenation at most: each takes a 32-bit register of sixteen at least.
pub(crate) const MAX_FIELDS: usize = 16;

/// Data of an element as the engine uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    None,
    Verdict(Verdict),
    /// Its number.
    Object(u32),
    /// First and last value of each field.
    Values(Box<[(u128, u128)]>),
}

/// An element and its state.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// As declared; statements and expiry in it are not current.
    pub elem: Elem,
    pub data: Data,
    pub state: Vec<State>,
    /// When it ends; `None`: never.
    pub expires: Option<Ps>,
}

impl Slot {
    /// The element is added again, as `again`, to a set whose elements live `default` milliseconds: another life takes the old one's place
    /// (`nft_add_set_elem()`, `NFT_TRANS_UPD_TIMEOUT`).
    pub fn renew(&mut self, again: Slot, default: Option<u64>) {
        let life = |elem: &Elem| elem.timeout.or(default);
        if life(&self.elem) != life(&again.elem) || again.elem.expires.is_some() {
            self.elem.timeout = again.elem.timeout;
            self.expires = again.expires;
        }
    }

    fn is_alive(&self, now: Ps) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}

#[derive(Clone)]
enum Index {
    One(HashMap<u128, u32, Seeded>),
    Many(HashMap<Box<[u128]>, u32, Seeded>),
    /// Sorted, without overlaps.
    Intervals(Vec<(u128, u128, u32)>),
    Ranges(Ranges),
}

/// Why an element cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The same key is there already; the number of its slot.
    Exists(u32),
    /// Its interval overlaps with another one; of concatenations: one of its ends is found already.
    Overlaps,
    /// The set has as many elements as it may.
    Full,
}

/// The elements of a set.
#[derive(Clone)]
pub(crate) struct Elements {
    bits: Box<[u32]>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    index: Index,
    catch_all: Option<u32>,
    len: usize,
    max: usize,
}

impl Elements {
    /// `bits`: width of each field. `interval`: keys may be ranges. `max`: most elements.
    pub fn new(bits: &[u32], interval: bool, max: Option<u32>, seed: u64) -> Self {
        let index = match (interval, bits) {
            (false, [_]) => Index::One(HashMap::with_hasher(Seeded::new(seed))),
            (false, _) => Index::Many(HashMap::with_hasher(Seeded::new(seed))),
            (true, [_]) => Index::Intervals(Vec::new()),
            (true, _) => Index::Ranges(Ranges::new(bits.len())),
        };
        Self {
            bits: bits.into(),
            slots: Vec::new(),
            free: Vec::new(),
            index,
            catch_all: None,
            len: 0,
            max: max.map_or(usize::MAX, |n| n as usize),
        }
    }

    pub fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)?.as_ref()
    }

    #[inline]
    pub fn slot_mut(&mut self, at: u32) -> Option<&mut Slot> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    /// Finds the living element that `key`, one value a field, falls into.
    #[inline]
    pub fn lookup(&self, key: &[u128], now: Ps) -> Option<u32> {
        let alive = |at: &u32| self.slot(*at).is_some_and(|s| s.is_alive(now));
        let found = match &self.index {
            Index::One(map) => key.first().and_then(|k| map.get(k)).copied(),
            Index::Many(map) => map.get(key).copied(),
            Index::Intervals(sorted) => key.first().and_then(|k| {
                let at = sorted
                    .partition_point(|(lo, _, _)| lo <= k)
                    .checked_sub(1)?;
                let (_, hi, slot) = sorted[at];
                (*k <= hi).then_some(slot)
            }),
            Index::Ranges(ranges) => ranges.find(key, |at| alive(&at)),
        };
        found.filter(alive).or(self.catch_all.filter(alive))
    }

    fn bounds(&self, key: &[Part]) -> Vec<(u128, u128)> {
        let fields = key.iter().zip(&self.bits);
        fields.map(|(part, bits)| part.bounds(*bits)).collect()
    }

    /// The element with exactly this key, living or not; among concatenated ranges the oldest living one that the first value of `key` falls
    /// into, which is what `nft_pipapo_deactivate()` takes.
    pub fn find(&self, key: &[Part], now: Ps) -> Option<u32> {
        if key.is_empty() {
            return self.catch_all;
        }
        let bounds = self.bounds(key);
        match &self.index {
            Index::One(map) => map.get(&bounds.first()?.0).copied(),
            Index::Many(map) => {
                let key: Vec<u128> = bounds.iter().map(|(lo, _)| *lo).collect();
                map.get(key.as_slice()).copied()
            }
            Index::Intervals(sorted) => {
                let (lo, hi) = *bounds.first()?;
                let at = sorted.binary_search_by_key(&lo, |(lo, _, _)| *lo).ok()?;
                (sorted[at].1 == hi).then_some(sorted[at].2)
            }
            Index::Ranges(_) => {
                let first: Vec<u128> = bounds.iter().map(|(lo, _)| *lo).collect();
                self.lookup(&first, now)
                    .filter(|at| Some(*at) != self.catch_all)
            }
        }
    }

    /// `nft_pipapo_insert()`: neither end of `key` may be found already, so a special case is added before the rule that it is taken from, and
    /// never behind.
    fn clash(&self, ranges: &Ranges, key: &[Part], now: Ps) -> Result<(), Refused> {
        let bounds = self.bounds(key);
        let (first, last): (Vec<u128>, Vec<u128>) = bounds.iter().copied().unzip();
        let alive = |at: u32| self.slot(at).is_some_and(|s| s.is_alive(now));
        let same = |at| {
            self.slot(at)
                .is_some_and(|s| self.bounds(&s.elem.key) == bounds)
        };
        match ranges
            .find(&first, alive)
            .or_else(|| ranges.find(&last, alive))
        {
            None => Ok(()),
            Some(at) if same(at) => Err(Refused::Exists(at)),
            Some(_) => Err(Refused::Overlaps),
        }
    }

    /// The elements of a set of plain intervals whose keys have values in common with `key`.
    pub fn overlapping(&self, key: &[Part]) -> Vec<u32> {
        let bounds = self.bounds(key);
        let (Index::Intervals(sorted), Some(&(lo, hi))) = (&self.index, bounds.first()) else {
            return Vec::new();
        };
        let from = sorted.partition_point(|(_, h, _)| *h < lo);
        sorted[from..]
            .iter()
            .take_while(|(l, _, _)| *l <= hi)
            .map(|(_, _, slot)| *slot)
            .collect()
    }

    /// Adds an element; a dead one with the same key makes room.
    pub fn insert(&mut self, slot: Slot, now: Ps) -> Result<u32, Refused> {
        if let (Index::Ranges(ranges), false) = (&self.index, slot.elem.key.is_empty()) {
            self.clash(ranges, &slot.elem.key, now)?;
        } else if let Some(at) = self.find(&slot.elem.key, now) {
            match self.slot(at) {
                Some(old) if old.is_alive(now) => return Err(Refused::Exists(at)),
                _ => self.remove(at),
            }
        }
        for at in self.overlapping(&slot.elem.key) {
            match self.slot(at) {
                Some(old) if old.is_alive(now) => return Err(Refused::Overlaps),
                _ => self.remove(at),
            }
        }
        if self.len >= self.max {
            self.collect(now);
            if self.len >= self.max {
                return Err(Refused::Full);
            }
        }
        let bounds = self.bounds(&slot.elem.key);
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        self.len += 1;
        let Some(&(lo, hi)) = bounds.first() else {
            self.catch_all = Some(at);
            return Ok(at);
        };
        match &mut self.index {
            Index::One(map) => {
                map.insert(lo, at);
            }
            Index::Many(map) => {
                map.insert(bounds.iter().map(|(lo, _)| *lo).collect(), at);
            }
            Index::Intervals(sorted) => {
                let pos = sorted.partition_point(|(l, _, _)| *l < lo);
                sorted.insert(pos, (lo, hi, at));
            }
            Index::Ranges(ranges) => ranges.insert(&bounds, at),
        }
        Ok(at)
    }

    pub fn remove(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(at);
        self.len -= 1;
        let bounds = self.bounds(&slot.elem.key);
        let Some(&(lo, _)) = bounds.first() else {
            self.catch_all = None;
            return;
        };
        match &mut self.index {
            Index::One(map) => {
                map.remove(&lo);
            }
            Index::Many(map) => {
                let key: Vec<u128> = bounds.iter().map(|(lo, _)| *lo).collect();
                map.remove(key.as_slice());
            }
            Index::Intervals(sorted) => {
                if let Ok(pos) = sorted.binary_search_by_key(&lo, |(l, _, _)| *l) {
                    sorted.remove(pos);
                }
            }
            Index::Ranges(ranges) => ranges.remove(at),
        }
    }

    /// The first of `elems`, in this order, that a set of keys of `bits` does not take, and why not.
    pub fn first_refused(bits: &[u32], elems: &[Elem]) -> Option<(usize, Refused)> {
        let ranges = |e: &Elem| e.key.iter().any(|p| !matches!(p, Part::Value(_)));
        let mut set = Self::new(bits, elems.iter().any(ranges), None, 0);
        elems.iter().enumerate().find_map(|(i, elem)| {
            let slot = Slot {
                elem: elem.clone(),
                data: Data::None,
                state: Vec::new(),
                expires: None,
            };
            let refused = set.insert(slot, 0).err()?;
            let same = |at| set.slot(at).is_some_and(|s| s.elem.data == elem.data);
            match refused {
                Refused::Exists(at) if same(at) => None,
                refused => Some((i, refused)),
            }
        })
    }

    /// Takes out what has ended (`nft_rhash_gc()`).
    pub fn collect(&mut self, now: Ps) {
        for at in 0..self.slots.len() {
            if self.slots[at].as_ref().is_some_and(|s| !s.is_alive(now)) {
                self.remove(at as u32);
            }
        }
    }

    pub fn clear(&mut self) {
        self.retain(|_| false);
    }

    /// Takes out the slots that are not to `stay`.
    pub fn retain(&mut self, stay: impl Fn(u32) -> bool) {
        for at in 0..self.slots.len() as u32 {
            if !stay(at) {
                self.remove(at);
            }
        }
    }

    /// Makes the index ready after a transaction.
    pub fn build(&mut self) {
        if let Index::Ranges(ranges) = &mut self.index {
            ranges.build();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(key: Vec<Part>) -> Slot {
        Slot {
            elem: Elem::new(key),
            data: Data::None,
            state: Vec::new(),
            expires: None,
        }
    }

    #[test]
    fn intervals_do_not_overlap() {
        let mut set = Elements::new(&[32], true, None, 1);
        set.insert(slot(vec![Part::Prefix(0x0a00_0000, 8)]), 0)
            .unwrap();
        let inside = slot(vec![Part::Value(0x0a00_0001)]);
        assert_eq!(set.insert(inside, 0), Err(Refused::Overlaps));
        assert!(set.lookup(&[0x0aff_ffff], 0).is_some());
        assert!(set.lookup(&[0x0b00_0000], 0).is_none());
        assert!(set.lookup(&[0x09ff_ffff], 0).is_none());
    }

    #[test]
    fn elements_end() {
        let mut set = Elements::new(&[16], false, Some(1), 1);
        let mut short = slot(vec![Part::Value(5)]);
        short.expires = Some(100);
        set.insert(short, 0).unwrap();
        assert!(set.lookup(&[5], 99).is_some());
        assert!(set.lookup(&[5], 100).is_none());
        // The dead one makes room.
        assert_eq!(
            set.insert(slot(vec![Part::Value(6)]), 99),
            Err(Refused::Full)
        );
        set.insert(slot(vec![Part::Value(6)]), 100).unwrap();
        assert_eq!(set.slots().count(), 1);
    }

    #[test]
    fn the_catch_all_comes_last() {
        let mut set = Elements::new(&[16], false, None, 1);
        let all = set.insert(slot(Vec::new()), 0).unwrap();
        let five = set.insert(slot(vec![Part::Value(5)]), 0).unwrap();
        assert_eq!(set.lookup(&[5], 0), Some(five));
        assert_eq!(set.lookup(&[6], 0), Some(all));
        set.remove(all);
        assert_eq!(set.lookup(&[6], 0), None);
    }

    /// What a 6.18 kernel did with `ip saddr . tcp dport` and these ranges, one after the other.
    #[test]
    fn a_special_case_comes_before_its_rule() {
        let key = |a: u128, n: u128, from: u128, to: u128| {
            vec![Part::Range(a, a + n), Part::Range(from, to)]
        };
        let mut set = Elements::new(&[32, 16], true, None, 1);
        let special = set.insert(slot(key(0x0a00_0000, 0xff, 80, 80)), 0).unwrap();
        let starts_inside = slot(key(0x0a00_0000, 0xffff, 80, 90));
        assert_eq!(set.insert(starts_inside, 0), Err(Refused::Overlaps));
        let rule = set
            .insert(slot(key(0x0a00_0000, 0xffff, 1, 100)), 0)
            .unwrap();
        for inside in [key(0x0a00_0005, 0, 80, 80), key(0x0a00_0000, 0x7f, 70, 90)] {
            assert_eq!(set.insert(slot(inside), 0), Err(Refused::Overlaps));
        }
        let again = slot(key(0x0a00_0000, 0xff, 80, 80));
        assert_eq!(set.insert(again, 0), Err(Refused::Exists(special)));
        set.build();
        assert_eq!(set.lookup(&[0x0a00_0009, 80], 0), Some(special));
        assert_eq!(set.lookup(&[0x0a00_0009, 81], 0), Some(rule));
        // Taken away by any of its keys, the special case first.
        let value = [Part::Value(0x0a00_0007), Part::Value(80)];
        assert_eq!(set.find(&value, 0), Some(special));
        set.remove(special);
        assert_eq!(set.find(&value, 0), Some(rule));
        assert_eq!(
            set.find(&[Part::Value(0x0b00_0000), Part::Value(80)], 0),
            None
        );
    }

    #[test]
    fn a_special_case_that_ended_is_passed_over() {
        let range = |hi| vec![Part::Range(5, hi), Part::Value(1)];
        let mut set = Elements::new(&[16, 16], true, None, 1);
        let mut short = slot(vec![Part::Value(6), Part::Value(1)]);
        short.expires = Some(100);
        let short = set.insert(short, 0).unwrap();
        let rule = set.insert(slot(range(9)), 0).unwrap();
        set.build();
        assert_eq!(set.lookup(&[6, 1], 99), Some(short));
        assert_eq!(set.lookup(&[6, 1], 100), Some(rule));
    }

    proptest! {
        /// Concatenated ranges give what a search through all of them gives.
        #[test]
        fn ranges_find_what_a_linear_search_finds(
            keys in prop::collection::vec((0u128..40, 0u128..10, 0u128..40, 0u128..10), 0..30),
            probes in prop::collection::vec((0u128..50, 0u128..50), 1..40),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut set = Elements::new(&[16, 16], true, None, 1);
            let mut kept = Vec::new();
            for (a, n, b, m) in keys {
                let key = vec![Part::Range(a, a + n), Part::Range(b, b + m)];
                if let Ok(at) = set.insert(slot(key), 0) {
                    kept.push((at, a..=a + n, b..=b + m));
                }
            }
            for index in gone {
                if !kept.is_empty() {
                    let (at, _, _) = kept.remove(index.index(kept.len()));
                    set.remove(at);
                }
            }
            set.build();
            for (x, y) in probes {
                // They may overlap: the oldest one counts.
                let expected = kept.iter().find(|(_, a, b)| a.contains(&x) && b.contains(&y));
                prop_assert_eq!(set.lookup(&[x, y], 0), expected.map(|(at, _, _)| *at));
            }
        }
    }
}
