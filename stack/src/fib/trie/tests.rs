//! Against the definition of the longest prefix.

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

/// No node without a reason to be there, and every node where its key says.
fn well_formed<K: Key>(trie: &Trie<K>, node: &Node<K>) {
    let children = node.external.count_ones();
    assert!(node.level == 0 || node.internal != 0 || children > 1);
    assert_eq!(node.key, node.key.prefix(above(node.level)));
    for chunk in 0..64 {
        if let Some(child) = node.child(chunk) {
            let child = trie.nodes.get(child);
            assert!(child.level > node.level && child.key.chunk(node.level) == chunk);
            assert!(node.is_on_path(child.key));
            well_formed(trie, child);
        }
    }
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
        well_formed(&trie, &trie.root);
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
        let right = within.is_none_or(|(v, len)| list.get(&(base.prefix(len), len)) == Some(&v));
        assert!(right);
    }
    for &(key, len) in list.keys().cloned().collect::<Vec<_>>().iter() {
        assert!(trie.remove(key, len).is_some() && trie.remove(key, len).is_none());
    }
    assert!(trie.is_empty() && trie.root.external == 0 && trie.root.internal == 0);
    assert_eq!((trie.nodes.used(), trie.values.used()), (0, 0));
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
    assert_eq!(trie.prefixes_within(u128::MAX, 100, 128).len(), 2);
    assert_eq!(trie.prefixes_within(u128::MAX, 100, 127).len(), 1);
    assert_eq!(trie.prefixes_within(u128::MAX, 100, 126).len(), 0);
}
