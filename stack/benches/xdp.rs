//! Time per received frame of XDP: a program that drops, one that sends back, and the same frames without a program (forwarded). No
//! simulated hardware.

mod source;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use source::{BATCH, MAC, PEER, router};
use stack::NetFeatures;

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
        let mut frame = Vec::new();
        etherparse::PacketBuilder::ethernet2(PEER, MAC)
            .ipv4([192, 0, 2, 10], [198, 51, 100, 30], 64)
            .udp(port, port)
            .write(&mut frame, &[0x5a; 18])
            .expect("written");
        let (mut stack, dev, source) = router(vec![frame], NetFeatures::default());
        if attach {
            stack.xdp_attach(dev, elf, "xdp").expect("attached");
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                source.borrow_mut().left = BATCH;
                stack.napi_schedule(dev);
                while stack.net_rx_action(0) {}
            });
        });
        let stats = stack.xdp_stats(dev).unwrap_or_default();
        assert_eq!(
            (stats.drop > 0, stats.tx > 0),
            (name == "drop", name == "tx")
        );
        assert_eq!(stats.faults + stats.aborted + stats.tx_errors, 0);
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
