//! RFC 8290's queues: new flows first, turns by bytes, and who pays when there is no room.

use super::super::testing::{Bench, MS, ip_packet};
use super::*;
use proptest::prelude::*;

fn fq_codel(config: FqCodelConfig) -> Bench {
    Bench::new(FqCodel::new(&config, 1514).unwrap())
}

#[test]
fn flows_take_turns_of_a_quantum() {
    let mut bench = fq_codel(FqCodelConfig {
        quantum: Some(1500),
        ..FqCodelConfig::default()
    });
    for n in 0..6 {
        bench.enqueue(100 + n, 1, 1000);
    }
    for n in 0..6 {
        bench.enqueue(200 + n, 2, 500);
    }
    // 1500 bytes: the second packet of flow 1 is started with 500 bytes left; flow 2 sends three. From then on the debt counts.
    let order = [100, 101, 200, 201, 202, 102, 203, 204, 205, 103, 104, 105];
    assert_eq!(bench.drain(), order);
}

#[test]
fn a_new_flow_goes_before_the_old_ones_but_only_once() {
    let mut bench = fq_codel(FqCodelConfig::default());
    for n in 0..8 {
        bench.enqueue(100 + n, 1, 1514);
    }
    // Its first turn over, flow 1 is an old one.
    assert_eq!([bench.dequeue(), bench.dequeue()], [Some(100), Some(101)]);
    bench.enqueue(200, 2, 100);
    assert_eq!(bench.dequeue(), Some(200));
    // Flow 2 ran empty while it was new: it waits behind flow 1, so its next packet has no precedence.
    assert_eq!(bench.dequeue(), Some(102));
    bench.enqueue(201, 2, 100);
    let order = bench.drain();
    assert!(order[0] == 201 || order[0] == 103, "{order:?}");
    assert_eq!(order.len(), 6);
    assert!(bench.dropped.is_empty());
}

#[test]
fn the_fattest_flow_loses_half() {
    let mut bench = fq_codel(FqCodelConfig {
        limit: Some(20),
        ..FqCodelConfig::default()
    });
    for n in 0..18 {
        assert_eq!(bench.enqueue(n, 1, 1000), NetXmit::Success);
    }
    assert_eq!(bench.enqueue(100, 2, 1000), NetXmit::Success);
    assert_eq!(bench.enqueue(101, 2, 1000), NetXmit::Success);
    // One too many, of flow 2: flow 1 pays, from its head, and the sender of this one is not told.
    assert_eq!(bench.enqueue(102, 2, 1000), NetXmit::Success);
    let lost: Vec<u32> = bench.dropped.iter().map(|d| d.0).collect();
    assert_eq!(lost, (0..9).collect::<Vec<_>>());
    assert!(
        bench
            .dropped
            .iter()
            .all(|d| d.1 == DropReason::QdiscOverlimit)
    );
    assert_eq!(
        (bench.qdisc.sch.qlen, bench.qdisc.sch.backlog),
        (12, 12_000)
    );
    assert_eq!(bench.qdisc.sch.stats.drops, 9);
    // Flow 1 itself is told.
    for n in 0..8 {
        assert_eq!(bench.enqueue(20 + n, 1, 1000), NetXmit::Success);
    }
    assert_eq!(bench.enqueue(30, 1, 1000), NetXmit::Cn);
}

#[test]
fn drops_come_in_batches_of_64_at_most() {
    let mut bench = fq_codel(FqCodelConfig {
        limit: Some(1000),
        ..FqCodelConfig::default()
    });
    for n in 0..1001 {
        bench.enqueue(n, 1, 100);
    }
    assert_eq!(bench.dropped.len(), 64);
}

#[test]
fn memory_counts_too() {
    let mut bench = fq_codel(FqCodelConfig {
        memory_limit: Some(20_000),
        ..FqCodelConfig::default()
    });
    let mut n = 0;
    while bench.dropped.is_empty() {
        bench.enqueue(n, 1, 1000);
        n += 1;
    }
    // A packet of 1000 bytes takes 1000 and its overhead.
    let truesize = ip_packet(1000, 0).truesize() as u32;
    assert_eq!(n, 20_000 / truesize + 1);
    let mut text = String::new();
    bench.qdisc.ops.dump_stats(&mut text, 0).unwrap();
    assert!(text.contains(" drop_overmemory 7"), "{text}");
}

#[test]
fn packets_of_a_flow_keep_their_order_and_codel_controls_each_flow() {
    let mut bench = fq_codel(FqCodelConfig::default());
    // Flow 1 stands at 30 ms for half a second, flow 2 sends now and then.
    let mut seen = Vec::new();
    for n in 0..500u32 {
        bench.now += MS;
        bench.enqueue(n, 1, 1000);
        if n % 50 == 49 {
            bench.enqueue(10_000 + n, 2, 100);
            assert_eq!(
                bench.dequeue(),
                Some(10_000 + n),
                "a sparse flow waits for nobody"
            );
        }
        if n >= 30 {
            seen.extend(bench.dequeue());
        }
    }
    assert!(seen.is_sorted());
    assert!(!bench.dropped.is_empty());
    assert!(
        bench
            .dropped
            .iter()
            .all(|d| d.1 == DropReason::QdiscCongested && d.0 < 10_000)
    );
}

#[test]
fn without_a_class_the_hash_chooses_and_is_kept() {
    let mut bench = fq_codel(FqCodelConfig::default());
    let mut skb = ip_packet(100, 0);
    skb.hash = 0x8000_0000;
    bench.enqueue_skb(skb);
    bench.enqueue(1, 513, 100);
    // 0x80000000 of 1024 flows is number 512, which is class 513: both are in one flow.
    let mut text = String::new();
    bench.qdisc.ops.dump_stats(&mut text, 0).unwrap();
    assert!(text.contains(" new_flow_count 1 "), "{text}");
}

proptest! {
    /// Whatever comes and goes: every packet is sent, dropped or there, and the counts say so.
    #[test]
    fn packets_in_are_packets_out(steps in prop::collection::vec((0..4u16, 60..1515usize, 0..20u64), 1..400)) {
        let mut bench = fq_codel(FqCodelConfig {
            limit: Some(40),
            flows: Some(3),
            memory_limit: Some(60_000),
            ..FqCodelConfig::default()
        });
        let (mut queued, mut sent) = (0, 0);
        for (class, len, ms) in steps {
            bench.now += ms * MS;
            if class < 3 {
                bench.enqueue(queued, class + 1, len);
                queued += 1;
            } else {
                sent += u32::from(bench.dequeue().is_some());
            }
            let held = queued - sent - bench.dropped.len() as u32;
            prop_assert_eq!(bench.qdisc.sch.qlen, held);
            prop_assert_eq!(bench.held() as u32, held);
            prop_assert!(held <= 40);
        }
        bench.drain();
        prop_assert_eq!((bench.qdisc.sch.qlen, bench.qdisc.sch.backlog, bench.held()), (0, 0, 0));
        prop_assert_eq!(bench.qdisc.sch.stats.drops, bench.dropped.len() as u64);
    }
}
