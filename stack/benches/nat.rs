//! Time per forwarded packet with connection tracking and NAT: of connections that are known, and of ones that are new (made, confirmed and
//! ended again). No simulated hardware: a device is two queues.

#[allow(dead_code)]
mod source;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use source::{BATCH, FAR, Options, Router, rules, udp_frame};

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("nat");
    group.throughput(Throughput::Elements(BATCH as u64));
    let options = Options {
        csum_none: true,
        vary_port: true,
        ..Options::default()
    };
    for (name, rules) in [
        ("untracked", String::new()),
        ("conntrack", rules::track()),
        ("masquerade", rules::masquerade()),
    ] {
        let router = || Router::with_rules(vec![udp_frame(FAR, 9, 18)], options, &rules);
        let mut known = router();
        group.bench_function(format!("{name}/established"), |b| b.iter(|| known.batch()));
        known.check();
        if rules.is_empty() {
            continue;
        }
        let mut new = router();
        group.bench_function(format!("{name}/new"), |b| {
            b.iter(|| {
                new.batch();
                new.stack.conntrack_mut().flush(0);
            });
        });
        new.check();
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
