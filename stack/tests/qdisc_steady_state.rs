//! In the steady state no qdisc allocates per packet.

mod counting;

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
