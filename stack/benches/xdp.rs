//! Time per received frame of XDP: a program that drops, one that sends back, and the same frames without a program (forwarded). No
//! simulated hardware: a device is two queues.

#[allow(dead_code)]
mod source;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use source::{BATCH, FAR, Options, Router, udp_frame};

fn bench(c: &mut Criterion) {
    let elf = include_bytes!("../tests/data/bpf/layering.o");
    let mut group = c.benchmark_group("xdp");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, port, attach) in [
        ("drop", 7, true),
        ("tx", 8, true),
        ("pass", 9, true),
        ("none", 9, false),
    ] {
        let mut router = Router::new(vec![udp_frame(FAR, port, 18)], Options::default());
        if attach {
            let attached = router.stack.xdp_attach(router.dev, elf, "xdp");
            attached.expect("attached");
        }
        let mut ran = false;
        group.bench_function(name, |b| {
            ran = true;
            b.iter(|| router.batch());
        });
        let stats = router.stack.xdp_stats(router.dev).unwrap_or_default();
        assert_eq!(
            (stats.drop > 0, stats.tx > 0),
            (ran && name == "drop", ran && name == "tx")
        );
        assert_eq!(stats.faults + stats.aborted + stats.tx_errors, 0);
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
