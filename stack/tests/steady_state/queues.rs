//! Queues: each qdisc by itself, and what tc does with packets on their way.

use crate::counting;
use crate::host::{BATCH, ROUNDS, Scene, counts, steady};
use crate::packets::{FAR, OWN, udp};
use stack::{SkBuff, StandaloneQdisc};

/// One microsecond.
const US: u64 = 1_000_000;

const QDISCS: [&[&str]; 8] = [
    &["qdisc replace dev q root pfifo"],
    &["qdisc replace dev q root bfifo"],
    &["qdisc replace dev q root pfifo_fast"],
    &["qdisc replace dev q root fq_codel"],
    &["qdisc replace dev q root tbf rate 800mbit burst 5000 limit 1mb"],
    &["qdisc replace dev q root netem delay 2ms 1ms reorder 10% gap 5"],
    &[
        "qdisc replace dev q root handle 1: prio",
        "filter add dev q parent 1: handle 1 fw classid 1:2",
    ],
    &[
        "qdisc replace dev q root handle 1: htb default 10",
        "class add dev q parent 1: classid 1:1 htb rate 800mbit",
        "class add dev q parent 1:1 classid 1:10 htb rate 300mbit ceil 800mbit",
        "class add dev q parent 1:1 classid 1:20 htb rate 100mbit ceil 800mbit",
        "filter add dev q parent 1: protocol all u32 match u32 0 0 at 0 action skbedit mark 3 continue",
        "filter add dev q parent 1: handle 2 fw classid 1:20",
    ],
];

#[test]
fn no_allocation_per_packet() {
    for lines in QDISCS {
        let mut queue = StandaloneQdisc::new(1);
        for line in lines {
            queue.tc(line).unwrap();
        }
        // 2000 packets of 1000 flows go round: what comes out goes in again, in bursts of changing length.
        let mut out: Vec<SkBuff> = Vec::with_capacity(2000);
        for n in 0..2000u32 {
            let mut skb = SkBuff::from_vec(vec![0; 1000]);
            (skb.hash, skb.priority, skb.mark) = ((n % 1000 + 1) * 4_000_000, n % 8, n % 3);
            out.push(skb);
        }
        let (mut now, mut sent, mut allocated) = (0, 0u64, 0);
        for round in 0..3000u32 {
            let before = counting::allocations();
            for _ in 0..(round % 17).min(out.len() as u32) {
                queue.enqueue(out.swap_remove(out.len() / 2), now);
            }
            now += u64::from(round % 5) * 20 * US;
            for _ in 0..round % 13 {
                let Some(skb) = queue.dequeue(now) else { break };
                out.push(skb);
                sent += 1;
            }
            // The first rounds fill what grows once.
            if round > 2000 {
                allocated += counting::allocations() - before;
            }
            // What was dropped is made again, outside.
            while queue.len() + out.len() < 2000 {
                out.push(SkBuff::from_vec(vec![0; 1000]));
            }
        }
        assert!(sent > 5000, "{lines:?}: {sent}");
        assert_eq!(allocated, 0, "{lines:?}");
    }
}

fn with_tc<'a>(tc: &'a [&'a str], frames: Vec<Vec<u8>>) -> Scene<'a> {
    Scene {
        tc,
        ..Scene::new(frames)
    }
}

#[test]
fn forwarding_through_queues() {
    const ALL: (usize, usize, usize) = (BATCH, 0, 0);
    for root in [
        "pfifo_fast",
        "fq_codel",
        "tbf rate 1gbit burst 100kb limit 1mb",
    ] {
        let line = format!("qdisc replace dev eth1 root {root}");
        steady(root, with_tc(&[&line], udp(FAR)), ALL);
    }
    let htb = [
        "qdisc replace dev eth1 root handle 1: htb default 10",
        "class add dev eth1 parent 1: classid 1:1 htb rate 800mbit",
        "class add dev eth1 parent 1:1 classid 1:10 htb rate 300mbit ceil 800mbit",
        "class add dev eth1 parent 1:1 classid 1:20 htb rate 100mbit ceil 800mbit",
        "filter add dev eth1 parent 1: protocol ip u32 match ip sport 5001 0xffff classid 1:20",
    ];
    steady("htb", with_tc(&htb, udp(FAR)), ALL);
}

#[test]
fn queues_that_are_too_slow() {
    // Twice as much comes as leaves; the rest is dropped.
    for lines in [
        &["qdisc replace dev eth1 root tbf rate 13mbit burst 5000 limit 20000"][..],
        &[
            "qdisc replace dev eth1 root handle 1: htb default 10",
            "class add dev eth1 parent 1: classid 1:10 htb rate 13mbit burst 5000",
            "qdisc add dev eth1 parent 1:10 handle 10: pfifo limit 100",
        ],
        &[
            "qdisc replace dev eth1 root handle 1: htb default 10",
            "class add dev eth1 parent 1: classid 1:10 htb rate 13mbit burst 5000",
            "qdisc add dev eth1 parent 1:10 handle 10: fq_codel limit 100",
        ],
    ] {
        let (count, allocations) = counts(with_tc(lines, udp(FAR)));
        assert_eq!(allocations, 0, "{lines:?}");
        let all = ROUNDS * BATCH;
        assert!((all / 3..all * 2 / 3).contains(&count.sent), "{count:?}");
        assert!(count.sent + count.dropped > all * 9 / 10, "{count:?}");
    }
}

#[test]
fn classifiers_and_actions() {
    let mark = [
        "qdisc add dev eth0 clsact",
        "qdisc add dev eth1 clsact",
        "filter add dev eth0 ingress protocol ip u32 match ip dport 9 0xffff action skbedit mark 6",
        "filter add dev eth1 egress handle 6 fw action ok",
    ];
    steady("marks", with_tc(&mark, udp(FAR)), (BATCH, 0, 0));
    let drop = [
        "qdisc add dev eth1 clsact",
        "filter add dev eth1 egress matchall action drop",
    ];
    steady("egress drop", with_tc(&drop, udp(FAR)), (0, 0, BATCH));
    let police = [
        "qdisc add dev eth0 ingress",
        "filter add dev eth0 ingress protocol ip matchall action police rate 1gbit burst 100kb conform-exceed drop",
    ];
    steady("police", with_tc(&police, udp(OWN)), (0, BATCH, 0));
    let mirror = [
        "qdisc add dev eth0 ingress",
        "filter add dev eth0 ingress matchall action mirred egress mirror dev eth1",
    ];
    steady("mirror", with_tc(&mirror, udp(OWN)), (BATCH, BATCH, 0));
    let redirect = [
        "qdisc add dev eth0 ingress",
        "filter add dev eth0 ingress matchall action mirred egress redirect dev eth1",
    ];
    steady("redirect", with_tc(&redirect, udp(OWN)), (BATCH, 0, 0));
}
