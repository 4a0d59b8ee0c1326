//! Random routing tables whose prefixes are as long as those of the Internet's, and addresses that are in them.

use stack::fib::trie::Key;
use std::collections::HashSet;

/// Prefix lengths of the IPv4 table (bgp.potaroo.net, 2025) in per mille: /24 is most of it.
const LENGTHS: &[(u8, u32)] = &[
    (12, 1),
    (13, 1),
    (14, 1),
    (15, 2),
    (16, 14),
    (17, 8),
    (18, 14),
    (19, 26),
    (20, 45),
    (21, 54),
    (22, 117),
    (23, 105),
    (24, 612),
];
/// Addresses that are looked up in turn.
pub const KEYS: usize = 1 << 16;

/// splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn length(state: &mut u64) -> u8 {
    let mut at = random(state) as u32 % 1000;
    for &(len, share) in LENGTHS {
        match at.checked_sub(share) {
            Some(rest) => at = rest,
            None => return len,
        }
    }
    24
}

/// `routes` different prefixes, and addresses that are held by a random one each, so that the caches are of as little use as they can be.
/// IPv6 prefixes are twice as long.
pub fn table<K: Key>(routes: usize, spread: impl Fn(u64, u64) -> K) -> (Vec<(K, u8)>, Vec<K>) {
    let mut state = routes as u64;
    let (mut seen, mut prefixes, mut keys) = (HashSet::new(), Vec::new(), Vec::new());
    while prefixes.len() < routes {
        let len = length(&mut state) * (K::BITS / 64).max(1);
        let key = spread(random(&mut state), random(&mut state));
        if seen.insert((key.prefix(len), len)) {
            prefixes.push((key.prefix(len), len));
            keys.push(key);
        }
    }
    let mut key = || keys[random(&mut state) as usize % keys.len()];
    let keys = (0..KEYS).map(|_| key()).collect();
    (prefixes, keys)
}

/// An IPv4 address of any kind.
pub fn v4(a: u64, _: u64) -> u32 {
    a as u32
}

/// A global IPv6 address (2000::/3).
pub fn v6(a: u64, b: u64) -> u128 {
    (u128::from(a) << 64 | u128::from(b)) >> 3 | 1 << 125
}
