//! Time per packet of a qdisc: one packet out and in again, with a backlog that stays the same. Packets are not made or freed, so what is
//! measured is the qdisc and the store of its packets.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stack::{SkBuff, StandaloneQdisc};
use std::hint::black_box;

/// Between two packets: with these backlogs nobody waits so long that CoDel would drop.
const STEP: u64 = 1_000_000;

/// A queue with `flows` flows of `each` packets of 1000 bytes.
fn filled(name: &str, lines: &[&str], flows: u32, each: u32) -> StandaloneQdisc {
    let mut queue = StandaloneQdisc::new(1);
    for line in lines {
        queue.tc(line).expect("a line that tc knows");
    }
    for n in 0..flows * each {
        let mut skb = SkBuff::from_vec(vec![0; 1000]);
        // Spread evenly over the flows of fq_codel and over both classes of htb.
        skb.hash = (n % flows + 1).wrapping_mul(u32::MAX / flows);
        if name == "pfifo_fast" {
            // Over its bands; for fq_codel with handle 0: it would be a flow's number.
            skb.priority = n % 16;
        }
        skb.mark = n % 2 + 1;
        queue.enqueue(skb, 0);
    }
    assert_eq!(queue.len() as u32, flows * each);
    queue
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("sched");
    group.throughput(Throughput::Elements(1));
    let htb = [
        "qdisc add dev q root handle 1: htb default 10",
        "class add dev q parent 1: classid 1:1 htb rate 100gbit quantum 1514",
        "class add dev q parent 1:1 classid 1:10 htb rate 40gbit ceil 100gbit quantum 1514",
        "class add dev q parent 1:1 classid 1:20 htb rate 40gbit ceil 100gbit quantum 1514",
        "filter add dev q parent 1: handle 2 fw classid 1:20",
    ];
    let cases: [(&str, &[&str], u32, u32); 6] = [
        ("pfifo", &["qdisc add dev q root pfifo"], 1, 64),
        ("pfifo_fast", &["qdisc add dev q root pfifo_fast"], 1, 64),
        ("fq_codel", &[], 1, 64),
        ("fq_codel", &[], 1000, 2),
        ("htb", &htb, 1, 64),
        (
            "tbf",
            &["qdisc add dev q root tbf rate 100gbit burst 1mb limit 1mb"],
            1,
            64,
        ),
    ];
    for (name, lines, flows, each) in cases {
        let mut queue = filled(name, lines, flows, each);
        let mut now = 0;
        group.bench_function(
            BenchmarkId::new(name, format!("{flows} flows")),
            |bencher| {
                bencher.iter(|| {
                    now += STEP;
                    let skb = queue.dequeue(now).expect("there is always one");
                    queue.enqueue(black_box(skb), now);
                });
            },
        );
        assert_eq!(queue.dropped(), 0, "{name}");
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
