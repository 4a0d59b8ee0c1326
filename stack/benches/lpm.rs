//! Longest-prefix match in tables of 1 k, 100 k and 1 M routes, whose lengths are those of the Internet's table, for addresses that are held by a
//! random route each, so that the caches are of as little use as they can be.

#[path = "source/routes.rs"]
mod routes;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use routes::KEYS;
use stack::fib::lpm::Lpm;
use stack::fib::trie::Key;
use std::hint::black_box;
use std::time::Duration;

/// The table, a default route in it, and addresses to look up.
fn table<K: Key>(routes: usize, spread: impl Fn(u64, u64) -> K) -> (Lpm<K>, Vec<K>) {
    let (prefixes, keys) = routes::table(routes, spread);
    let mut lpm = Lpm::default();
    lpm.insert(K::default(), 0, routes as u32);
    for (value, (key, len)) in prefixes.into_iter().enumerate() {
        lpm.insert(key, len, value as u32);
    }
    (lpm, keys)
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
    let (mut trie, keys) = table(1_000_000, routes::v4);
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
    lookups(c, "ipv4", routes::v4);
    lookups(c, "ipv6", routes::v6);
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
