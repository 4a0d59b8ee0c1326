//! Time per forwarded packet, from the driver's poll to the other driver: without rules, with 10, 100 and 1000 rules that do not match, one
//! after the other, and with 1000 ports in one set beside one rule with one port. No simulated hardware: a device is two queues.

#[allow(dead_code)]
mod source;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use source::{BATCH, FAR, Options, Router, rules, udp_frame};

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, rules) in rules::forward() {
        let frame = udp_frame(FAR, 9, 18);
        let mut router = Router::with_rules(vec![frame], Options::default(), &rules);
        group.bench_function(name, |b| b.iter(|| router.batch()));
        router.check();
    }
    let mut router = Router::new(vec![udp_frame(FAR, 9, 1472)], Options::default());
    group.bench_function("1514 bytes", |b| b.iter(|| router.batch()));
    router.check();
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
