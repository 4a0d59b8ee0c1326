//! Rates, ceilings, borrowing and priorities.

use super::super::ratecfg::RateCfg;
use super::super::testing::{Bench, MS};
use super::*;

const MBIT: u64 = 125_000;

fn htb(default: u32) -> Bench {
    let config = HtbConfig {
        default: Some(default),
        ..HtbConfig::default()
    };
    Bench::new(Htb::new(&config, 1000))
}

fn class(bench: &mut Bench, id: u16, parent: u16, rate: u64, ceil: u64, prio: u32) {
    let config = ClassConfig {
        classid: Handle::new(1, id),
        parent: Handle::new(1, parent),
        only_new: true,
        only_existing: false,
        options: HtbClassConfig {
            rate: RateCfg::new(rate, 0, 0),
            ceil: Some(RateCfg::new(ceil, 0, 0)),
            burst: Some(2000),
            cburst: Some(2000),
            quantum: Some(1000),
            prio: Some(prio),
            mtu: 1600,
        },
    };
    bench
        .with(|q, cx| q.ops.change_class(&mut q.sch, cx, &config))
        .unwrap();
}

/// Packets of each class that were sent in `ms`, when classes 10 and 20 always have more.
fn share(bench: &mut Bench, ms: u64) -> (usize, usize) {
    let end = bench.now + ms * MS;
    let mut sent = (0, 0);
    let mut waiting = (0, 0);
    while bench.now < end {
        for (count, id) in [(&mut waiting.0, 0x10), (&mut waiting.1, 0x20)] {
            while *count < 5 {
                bench.enqueue(id, id as u16, 1000);
                *count += 1;
            }
        }
        while let Some(id) = bench.dequeue() {
            match id {
                0x10 => (sent.0, waiting.0) = (sent.0 + 1, waiting.0 - 1),
                _ => (sent.1, waiting.1) = (sent.1 + 1, waiting.1 - 1),
            }
            bench.enqueue(id, id as u16, 1000);
            match id {
                0x10 => waiting.0 += 1,
                _ => waiting.1 += 1,
            }
        }
        bench.now = bench.wake.min(end);
    }
    sent
}

#[test]
fn both_busy_each_has_its_rate() {
    let mut bench = htb(0);
    class(&mut bench, 1, 0, 4 * MBIT, 4 * MBIT, 0);
    class(&mut bench, 0x10, 1, 3 * MBIT, 4 * MBIT, 0);
    class(&mut bench, 0x20, 1, MBIT, 4 * MBIT, 0);
    // 4 Mbit/s are 500 packets of 1000 bytes a second.
    let (a, b) = share(&mut bench, 4000);
    assert!(
        (1490..1515).contains(&a) && (490..515).contains(&b),
        "{a} {b}"
    );
}

#[test]
fn what_is_left_is_borrowed_in_proportion_to_quanta_or_by_priority() {
    for (prio, expected) in [(0, (240..260, 240..260)), (1, (350..380, 125..140))] {
        let mut bench = htb(0);
        class(&mut bench, 1, 0, 4 * MBIT, 4 * MBIT, 0);
        class(&mut bench, 0x10, 1, MBIT, 4 * MBIT, 0);
        class(&mut bench, 0x20, 1, MBIT, 4 * MBIT, prio);
        let (a, b) = share(&mut bench, 1000);
        assert!(
            expected.0.contains(&a) && expected.1.contains(&b),
            "prio {prio}: {a} {b}"
        );
    }
}

#[test]
fn a_ceiling_is_one() {
    let mut bench = htb(0);
    class(&mut bench, 1, 0, 4 * MBIT, 4 * MBIT, 0);
    class(&mut bench, 0x10, 1, MBIT, 2 * MBIT, 0);
    for n in 0..500 {
        bench.enqueue(n, 0x10, 1000);
    }
    let sent = bench.run();
    // Three at once, as the bucket is overdrawn once; then one every 4 ms.
    assert_eq!(sent.len(), 500);
    assert_eq!(sent[499].1 / MS, 497 * 4);
}

#[test]
fn packets_without_a_class_are_not_shaped() {
    let mut bench = htb(0x99);
    class(&mut bench, 0x10, 0, MBIT, MBIT, 0);
    for n in 0..50 {
        bench.enqueue(n, 0, 1000);
    }
    assert_eq!(bench.drain().len(), 50);
    let mut text = String::new();
    bench.qdisc.ops.dump(&mut text, false).unwrap();
    assert_eq!(
        text,
        "r2q 10 default 0x99 direct_packets_stat 50 direct_qlen 1000"
    );
}

#[test]
fn classes_come_and_go_with_packets_in_them() {
    let mut bench = htb(0x10);
    class(&mut bench, 1, 0, MBIT, MBIT, 0);
    class(&mut bench, 0x10, 1, MBIT, MBIT, 0);
    for n in 0..10 {
        bench.enqueue(n, 0, 1000);
    }
    assert_eq!(bench.drain(), [0, 1, 2]);
    let delete = |bench: &mut Bench, id| {
        let class = Handle::new(1, id);
        bench.with(|q, cx| q.ops.delete_class(&mut q.sch, cx, class))
    };
    assert_eq!(
        delete(&mut bench, 1),
        Err(Refusal::ClassInUse(Handle::new(1, 1)))
    );
    assert_eq!(delete(&mut bench, 0x10), Ok(()));
    assert_eq!(
        (bench.qdisc.sch.qlen, bench.held(), bench.dropped.len()),
        (0, 0, 7)
    );
    // 1:1 is a leaf again.
    bench.now += 1000 * MS;
    bench.enqueue(77, 1, 1000);
    assert_eq!(bench.drain(), [77]);
    assert_eq!(delete(&mut bench, 1), Ok(()));
    assert_eq!(
        delete(&mut bench, 1),
        Err(Refusal::NoClass(Handle::new(1, 1)))
    );
}

#[test]
fn seven_levels_and_no_more() {
    let mut bench = htb(0);
    class(&mut bench, 1, 0, MBIT, MBIT, 0);
    let mut refused = None;
    for id in 2..12u16 {
        let config = ClassConfig {
            classid: Handle::new(1, id),
            parent: Handle::new(1, id - 1),
            only_new: true,
            only_existing: false,
            options: HtbClassConfig {
                rate: RateCfg::new(MBIT, 0, 0),
                ceil: None,
                burst: None,
                cburst: None,
                quantum: None,
                prio: None,
                mtu: 1600,
            },
        };
        let result = bench.with(|q, cx| q.ops.change_class(&mut q.sch, cx, &config));
        if result.is_err() {
            refused = refused.or(Some((id, result)));
        }
    }
    assert_eq!(refused, Some((9, Err(Refusal::TooDeep))));
    // The deepest leaf sends through all of them.
    bench.enqueue(5, 8, 100);
    assert_eq!(bench.drain(), [5]);
}
