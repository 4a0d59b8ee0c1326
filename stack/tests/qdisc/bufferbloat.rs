//! A bulk flow fills the queue in front of a link of 10 Mbit/s; a sparse one shares it (RFC 8290's reason to be).

use crate::router::{Router, datagram};
use stack::{CsumState, Ps};

const MS: Ps = 1_000_000_000;
/// Time on the wire of one byte at 10 Mbit/s.
const BYTE: Ps = 800_000;
/// Frames in the driver's ring.
const RING: usize = 2;
/// The sparse flow's port; the bulk flow has another.
const SPARSE: u16 = 53;

/// Waiting times of the sparse flow's packets in ms, and the number of bulk packets that arrived.
struct Outcome {
    delays: Vec<f64>,
    bulk: usize,
    seconds: f64,
}

impl Outcome {
    fn worst(&self) -> f64 {
        self.delays.iter().copied().fold(0.0, f64::max)
    }

    fn mean(&self) -> f64 {
        self.delays.iter().sum::<f64>() / self.delays.len() as f64
    }

    fn bulk_mbit(&self) -> f64 {
        self.bulk as f64 * 1514.0 * 8.0 / self.seconds / 1e6
    }
}

/// 5 s of 12 Mbit/s in large packets and a packet of 142 bytes every 20 ms, through a ring of two frames onto a link of 10 Mbit/s.
fn run(qdisc: &str) -> Outcome {
    let mut router = Router::new();
    if !qdisc.is_empty() {
        router.prepare(&format!("tc qdisc replace dev eth_s root {qdisc}"));
    }
    // A queue of 1000 packets needs its pages.
    router.wire_s.borrow_mut().tx_room = RING;
    let end = 5000 * MS;
    let (bulk_every, sparse_every) = (1514 * 8 * 1_000_000 / 12, 20 * MS);
    let (mut next_bulk, mut next_sparse) = (0, 10 * MS);
    // When the frame that is on the wire has left, and those behind it in the ring.
    let mut link: std::collections::VecDeque<(Ps, usize)> = Default::default();
    let mut idle_at = 0;
    let (mut asked, mut delays, mut bulk, mut seen) = (Vec::new(), Vec::new(), 0, 0);
    loop {
        let sent = link.front().map(|(at, _)| *at);
        let times = [
            Some(next_bulk),
            Some(next_sparse),
            sent,
            router.stack.next_timer(),
        ];
        let Some(now) = times.into_iter().flatten().min().filter(|now| *now < end) else {
            break;
        };
        if sent == Some(now) {
            // The frame has left: there is room in the ring, and an interrupt says so.
            let (at, index) = link.pop_front().unwrap();
            match router.departures[index].dport() {
                SPARSE => delays.push((at - asked[delays.len()]) as f64 / MS as f64),
                _ => bulk += 1,
            }
            router.run_until(now);
            router.wire_s.borrow_mut().tx_room += 1;
            router.stack.napi_schedule(router.eth_s);
            router.work();
        } else if now == next_bulk {
            router.run_until(now);
            router
                .wire_c
                .borrow_mut()
                .rx
                .push_back((datagram(9, 1472), CsumState::None));
            router.stack.napi_schedule(router.eth_c);
            router.work();
            next_bulk += bulk_every;
        } else if now == next_sparse {
            asked.push(now);
            router.arrive(now, SPARSE, 100);
            next_sparse += sparse_every;
        } else {
            router.run_until(now);
        }
        while seen < router.departures.len() {
            idle_at = now.max(idle_at) + router.departures[seen].frame.len() as Ps * BYTE;
            link.push_back((idle_at, seen));
            seen += 1;
        }
    }
    router.assert_balanced();
    Outcome {
        delays,
        bulk,
        seconds: end as f64 / 1e12,
    }
}

#[test]
fn a_sparse_flow_does_not_wait_behind_a_bulk_flow() {
    let fq_codel = run("");
    let pfifo = run("pfifo");
    for (name, outcome) in [("fq_codel", &fq_codel), ("pfifo", &pfifo)] {
        println!(
            "{name}: sparse flow {} packets, delay {:.2} ms mean, {:.2} ms at most; bulk flow {:.2} Mbit/s",
            outcome.delays.len(),
            outcome.mean(),
            outcome.worst(),
            outcome.bulk_mbit()
        );
    }
    // All of them arrive, soon, and the link stays full.
    assert!(fq_codel.delays.len() >= 248);
    assert!(fq_codel.worst() < 10.0);
    assert!(fq_codel.bulk_mbit() > 9.5);
    assert!(pfifo.worst() > 50.0 * fq_codel.worst());
}
