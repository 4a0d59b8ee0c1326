//! RFC 8289's control law and state machine. Numbers were calculated from the formulas with whole numbers of any size, not with this code.

use super::super::fifo::{Fifo, FifoUnit};
use super::super::testing::{Bench, MS, ip_packet};
use super::*;
use crate::checksum;
use crate::sched::qdisc::{NetXmit, QdiscOps, Sch};
use crate::sched::store::SkbList;
use crate::sched::tc::{QdiscConfig, Refusal};
use std::fmt;

/// One queue under CoDel's control, as the kernel's `codel` qdisc.
struct Codel {
    queue: SkbList,
    vars: CodelVars,
    stats: CodelStats,
    params: CodelParams,
}

struct Queue<'a>(&'a mut SkbList, &'a mut Sch);

impl CodelQueue for Queue<'_> {
    fn pop(&mut self, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let skb = self.0.pop_front(cx.skbs)?;
        self.1.dec(cx.skbs.pkt_len(&skb));
        Some(skb)
    }
    fn backlog(&self) -> u32 {
        self.1.backlog
    }
    fn drop(&mut self, cx: &mut Cx<'_>, skb: SkbRef, reason: DropReason) {
        self.1.drop(cx, skb, reason);
    }
}

impl QdiscOps for Codel {
    fn kind(&self) -> &'static str {
        "codel"
    }
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        cx.skbs.cb_mut(&skb).time = cx.now;
        sch.inc(cx.skbs.pkt_len(&skb));
        self.queue.push_back(cx.skbs, skb);
        NetXmit::Success
    }
    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let mut queue = Queue(&mut self.queue, sch);
        self.vars
            .dequeue(&mut queue, cx, &self.params, &mut self.stats)
    }
    fn reset(&mut self, _: &mut Sch, _: &mut Cx<'_>) {}
    fn change(&mut self, _: &mut Sch, _: &mut Cx<'_>, _: &QdiscConfig) -> Result<(), Refusal> {
        Ok(())
    }
    fn dump(&self, _: &mut dyn fmt::Write, _: bool) -> fmt::Result {
        Ok(())
    }
    fn has_class(&self, _: &Sch, _: crate::sched::handle::Handle) -> bool {
        false
    }
}

fn codel(ecn: bool) -> Bench {
    Bench::new(Codel {
        queue: SkbList::default(),
        vars: CodelVars::default(),
        stats: CodelStats::default(),
        params: CodelParams {
            target: codel_duration(5_000),
            interval: codel_duration(100_000),
            mtu: 1514,
            ecn,
            ce_threshold: None,
        },
    })
}

/// Keeps 20 packets of 1000 bytes waiting, one of them sent every ms, so that each waits for 20 ms; returns the milliseconds, from the first
/// packet that had waited that long, at which packets were dropped.
fn drops_of_a_standing_queue(bench: &mut Bench, ms: u64, tos: u8) -> Vec<u64> {
    let start = bench.now;
    let mut drops = Vec::new();
    for n in 0..ms {
        bench.now = start + n * MS;
        bench.enqueue_skb(ip_packet(1000, tos));
        if n < 20 {
            continue;
        }
        let before = bench.dropped.len();
        bench.dequeue();
        for _ in before..bench.dropped.len() {
            drops.push(n - 20);
            // What was dropped is replaced by one that waited as long.
            bench.now = start + (n - 20) * MS;
            bench.enqueue_skb(ip_packet(1000, tos));
            bench.now = start + n * MS;
        }
    }
    drops
}

#[test]
fn inverse_square_roots() {
    // (count, 1/sqrt(count) in 16 bits after one step of Newton's method per count, error below)
    let expected = [
        (2, 32769, 0.3),
        (3, 36864, 0.03),
        (4, 31968, 0.03),
        (5, 28935, 0.02),
        (8, 23037, 0.01),
        (16, 16360, 0.002),
        (32, 11580, 0.001),
        (64, 8191, 0.001),
    ];
    let mut vars = CodelVars {
        rec_inv_sqrt: u16::MAX,
        ..CodelVars::default()
    };
    for count in 2..=64 {
        vars.count = count;
        vars.newton_step();
        if let Some((_, value, error)) = expected.iter().find(|e| e.0 == count) {
            assert_eq!(vars.rec_inv_sqrt, *value, "count {count}");
            let exact = 65536.0 / f64::from(count).sqrt();
            assert!(
                (f64::from(*value) / exact - 1.0).abs() < *error,
                "count {count}"
            );
        }
    }
}

#[test]
fn the_control_law_is_interval_by_square_root_of_count() {
    let mut vars = CodelVars::default();
    for (inverse, interval, next) in [
        (65535, 97656, 97654),
        (32769, 97656, 48829),
        (8191, 97656, 12205),
    ] {
        vars.rec_inv_sqrt = inverse;
        assert_eq!(vars.control_law(1000, interval), 1000 + next);
    }
    // Time wraps around.
    vars.rec_inv_sqrt = 65535;
    assert_eq!(vars.control_law(u32::MAX, 97656), 97653);
}

#[test]
fn drops_come_faster_until_the_queue_is_short() {
    let mut bench = codel(false);
    let drops = drops_of_a_standing_queue(&mut bench, 640, 0);
    // The first one an interval after the target was exceeded; then interval, interval/√2, interval/√3 … later (RFC 8289 3.2), as far as the
    // integer square root goes.
    assert_eq!(
        drops,
        [100, 200, 250, 307, 356, 400, 440, 478, 513, 546, 577, 607]
    );
    assert!(
        bench
            .dropped
            .iter()
            .all(|d| d.1 == DropReason::QdiscCongested)
    );
}

#[test]
fn ecn_marks_instead_of_dropping() {
    let mut bench = codel(true);
    let start = bench.now;
    let mut marks = Vec::new();
    for n in 0..320u64 {
        bench.now = start + n * MS;
        bench.enqueue_skb(ip_packet(1000, 0x02));
        if n >= 20 && bench.dequeue_tos().is_some_and(|(_, tos)| tos == 0x03) {
            marks.push(n - 20);
        }
    }
    assert_eq!(marks, [100, 200, 250]);
    assert!(bench.dropped.is_empty());
}

#[test]
fn short_waits_and_short_queues_are_left_alone() {
    // 4 ms are below the target.
    let mut bench = codel(false);
    for n in 0..1000u64 {
        bench.now += MS;
        bench.enqueue_skb(ip_packet(1000, 0));
        if n >= 4 {
            assert!(bench.dequeue().is_some());
        }
    }
    // One packet is less than an MTU, however long it waits.
    let mut lone = codel(false);
    for _ in 0..10 {
        lone.enqueue_skb(ip_packet(1514, 0));
        lone.now += 500 * MS;
        assert!(lone.dequeue().is_some());
    }
    assert!(bench.dropped.is_empty() && lone.dropped.is_empty());
}

#[test]
fn the_dropping_state_ends_and_remembers() {
    let mut bench = codel(false);
    let first = drops_of_a_standing_queue(&mut bench, 640, 0);
    // The queue runs empty: the state is left.
    bench.drain();
    assert_eq!(bench.held(), 0);
    // Soon after, the drops start where they were: not at 100 ms distance again.
    bench.dropped.clear();
    let again = drops_of_a_standing_queue(&mut bench, 300, 0);
    assert!(again.len() > 3, "{again:?} after {first:?}");
    assert!(again[1] - again[0] < 50, "{again:?}");
}

#[test]
fn marking_keeps_the_header_checksum_right() {
    for (tos, marked, result) in [
        (0, false, 0),
        (1, true, 3),
        (2, true, 3),
        (3, true, 3),
        (0xb9, true, 0xbb),
    ] {
        let mut skb = ip_packet(100, tos);
        assert_eq!(super::super::ecn::inet_ecn_set_ce(&mut skb), marked);
        assert_eq!(skb.data()[15], result);
        assert_eq!(checksum::checksum(&skb.data()[14..34]), 0);
    }
}

#[test]
fn a_fifo_for_comparison_drops_nothing() {
    let mut bench = Bench::new(Fifo::new(FifoUnit::Packets, 1000));
    assert!(drops_of_a_standing_queue(&mut bench, 640, 0).is_empty());
}
