//! A shortcut for the few prefixes that a host's tables mostly have: which one an address belongs to, as sorted ranges side by side.
//!
//! A lookup counts the ranges that start at or before the address, all of them, without a branch. The [`Trie`](super::trie::Trie) remains
//! what is true: the ranges are computed anew from it when a prefix comes or goes.

use super::key::Key;

/// Most prefixes for which it is quicker than the trie.
pub(super) const SMALL_TO: usize = 16;
/// Ranges of that many prefixes at most.
const RANGES: usize = 2 * SMALL_TO + 1;
/// No prefix.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Small<K> {
    /// Where the ranges start, the first one at 0.
    starts: Vec<K>,
    values: Vec<u32>,
}

impl<K: Key> Small<K> {
    /// From all prefixes of a table, at most [`SMALL_TO`].
    pub fn new(mut prefixes: Vec<(K, u8, u32)>) -> Self {
        prefixes.sort_unstable();
        let mut small = Self {
            starts: Vec::with_capacity(RANGES),
            values: Vec::with_capacity(RANGES),
        };
        small.begin(K::default(), NONE);
        // Prefixes that hold the place where we are: last address and value.
        let mut holding: Vec<(K, u32)> = Vec::new();
        for (key, len, value) in prefixes {
            small.close(&mut holding, Some(key));
            small.begin(key, value);
            holding.push((key.last(len), value));
        }
        small.close(&mut holding, None);
        small
    }

    /// Ends the prefixes whose last address is before `start`, or all of them: what holds them goes on.
    fn close(&mut self, holding: &mut Vec<(K, u32)>, start: Option<K>) {
        while let Some((last, _)) = holding.pop_if(|(last, _)| start.is_none_or(|s| *last < s)) {
            let outer = holding.last().map_or(NONE, |(_, value)| *value);
            if let Some(after) = last.next() {
                self.begin(after, outer);
            }
        }
    }

    /// A range with `value` begins at `start`.
    fn begin(&mut self, start: K, value: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        self.starts.push(start);
        self.values.push(value);
    }

    /// The value of the longest prefix that holds `key`.
    #[inline]
    pub fn longest(&self, key: K) -> Option<u32> {
        let before = self
            .starts
            .iter()
            .map(|s| u32::from(*s <= key))
            .sum::<u32>();
        let value = *self.values.get((before as usize).checked_sub(1)?)?;
        (value != NONE).then_some(value)
    }
}
