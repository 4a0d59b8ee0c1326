//! Longest-prefix match in tables of 1 k, 100 k and 1 M routes, whose lengths are those of the Internet's table, for addresses that are held by a
//! random route each, so that the caches are of as little use as they can be.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stack::fib::lpm::Lpm;
use stack::fib::trie::Key;
use std::hint::black_box;
use std::time::Duration;

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
const KEYS: usize = 1 << 16;

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

/// A table of `routes` prefixes, and addresses in them. IPv6 prefixes are twice as long and within 2000::/3.
fn table<K: Key>(routes: usize, spread: impl Fn(u64, u64) -> K) -> (Lpm<K>, Vec<K>) {
    let mut state = routes as u64;
    let mut trie = Lpm::default();
    let mut prefixes = Vec::new();
    trie.insert(K::default(), 0, u32::MAX - 1);
    while trie.len() < routes {
        let len = length(&mut state) * (K::BITS / 64).max(1);
        let key = spread(random(&mut state), random(&mut state));
        trie.insert(key.prefix(len), len, prefixes.len() as u32);
        prefixes.push(key);
    }
    let keys = (0..KEYS).map(|_| prefixes[random(&mut state) as usize % prefixes.len()]);
    let keys = keys.collect();
    (trie, keys)
}

fn lookups<K: Key>(c: &mut Criterion, family: &str, spread: impl Fn(u64, u64) -> K) {
    let mut group = c.benchmark_group(family);
    group.throughput(Throughput::Elements(1));
    for (name, routes) in [("1k", 1_000), ("100k", 100_000), ("1M", 1_000_000)] {
        let (trie, keys) = table(routes, &spread);
        println!(
            "{family}/{name}: {:.1} bytes per route",
            trie.memory() as f64 / routes as f64
        );
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                next = (next + 1) % KEYS;
                black_box(trie.longest(black_box(keys[next])))
            });
        });
        // Each lookup waits for the one before, as packets that are handled one by one do.
        let mut last = 0;
        group.bench_function(format!("{name}/one after the other"), |b| {
            b.iter(|| {
                next = (next + 1 + (last & 1)) % KEYS;
                last = trie.longest(keys[next]).unwrap_or(0) as usize;
                last
            });
        });
    }
    group.finish();
}

fn updates(c: &mut Criterion) {
    let (mut trie, keys) = table(1_000_000, |a, _| a as u32);
    let mut next = 0;
    c.bench_function("ipv4/1M/add and delete", |b| {
        b.iter(|| {
            next = (next + 1) % KEYS;
            // A host route beside a route that is there.
            trie.insert(keys[next] ^ 1, 32, 7);
            trie.remove(keys[next] ^ 1, 32)
        });
    });
}

fn lpm(c: &mut Criterion) {
    lookups(c, "ipv4", |a, _| a as u32);
    let global = |a: u64, b: u64| (u128::from(a) << 64 | u128::from(b)) >> 3 | 1 << 125;
    lookups(c, "ipv6", global);
    updates(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = lpm
}
criterion_main!(benches);
