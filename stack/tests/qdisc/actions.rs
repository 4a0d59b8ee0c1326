//! Filters and actions, by what becomes of packets.

use crate::router::Router;
use stack::xdp::TcBpf;
use stack::{
    BpfVerdict, CsumState, DropReason, Gso, GsoType, Ps, SkBuff, StandaloneQdisc, TcProgram,
    checksum,
};

const MS: Ps = 1_000_000_000;

/// A router with these lines; a packet a millisecond arrives for each port; the ports that left.
fn ports(lines: &[&str], arriving: &[u16]) -> (Router, Vec<u16>) {
    let mut router = Router::new();
    for line in lines {
        router.prepare(line);
    }
    for (n, port) in arriving.iter().enumerate() {
        router.arrive((n as Ps + 1) * MS, *port, 100);
    }
    router.run_until(10_000 * MS);
    let left = router.departures.iter().map(|d| d.dport()).collect();
    router.assert_balanced();
    (router, left)
}

#[test]
fn u32_drops_at_ingress_and_egress() {
    let (router, left) = ports(
        &[
            "tc qdisc add dev eth_c clsact",
            "tc qdisc add dev eth_s clsact",
            "tc filter add dev eth_c ingress protocol ip u32 match ip dport 7 0xffff action drop",
            "tc filter add dev eth_s egress protocol ip u32 match ip dport 8 0xffff action drop",
        ],
        &[7, 8, 9],
    );
    assert_eq!(left, [9]);
    assert_eq!(router.stack.drop_count(DropReason::TcIngress), 1);
    assert_eq!(router.stack.drop_count(DropReason::TcEgress), 1);
}

#[test]
fn the_first_filter_by_priority_decides_and_continue_asks_the_next() {
    let (_, left) = ports(
        &[
            "tc qdisc add dev eth_c ingress",
            "tc filter add dev eth_c ingress prio 9 matchall action drop",
            "tc filter add dev eth_c ingress protocol ip prio 5 u32 match ip dport 7 0xffff action pass",
            "tc filter add dev eth_c ingress protocol ip prio 3 u32 match ip dport 8 0xffff action continue",
            "tc filter add dev eth_c ingress protocol ipv6 prio 1 matchall action pass",
        ],
        &[7, 8, 9],
    );
    assert_eq!(left, [7]);
}

#[test]
fn a_mark_set_at_ingress_chooses_a_class_by_fw() {
    let (mut router, left) = ports(
        &[
            "tc qdisc add dev eth_c clsact",
            "tc filter add dev eth_c ingress protocol ip u32 match ip dport 7 0xffff action skbedit mark 6",
            "tc qdisc add dev eth_s root handle 1: prio bands 3",
            "tc filter add dev eth_s parent 1: protocol ip handle 6 fw classid 1:3",
        ],
        &[7, 8],
    );
    assert_eq!(left, [7, 8]);
    let classes = router.stack.tc("tc -s class show dev eth_s").unwrap();
    let sent: Vec<&str> = classes.lines().filter(|l| l.contains("Sent")).collect();
    assert!(
        sent[1].contains(" 1 pkt") && sent[2].contains(" 1 pkt"),
        "{classes}"
    );
}

#[test]
fn a_copy_goes_elsewhere_and_the_packet_its_way() {
    let (router, left) = ports(
        &[
            "tc qdisc add dev eth_c clsact",
            "tc filter add dev eth_c ingress matchall action mirred egress mirror dev eth_s action pass",
        ],
        &[7],
    );
    // The copy as it came, then the packet as it was routed.
    assert_eq!(left, [7, 7]);
    assert_eq!(router.departures[0].frame[..6], [2, 0, 0, 0, 1, 1]);
    assert_eq!(router.departures[1].frame[..6], [2, 0, 0, 0, 2, 2]);
    assert_eq!(router.departures[0].frame[22], 64);
    assert_eq!(router.departures[1].frame[22], 63);
}

#[test]
fn redirections_in_a_circle_end() {
    let (router, left) = ports(
        &[
            "tc qdisc add dev eth_c clsact",
            "tc filter add dev eth_c ingress matchall action mirred ingress redirect dev eth_c",
        ],
        &[7],
    );
    assert!(left.is_empty());
    assert_eq!(router.stack.drop_count(DropReason::TcIngress), 1);
}

#[test]
fn an_ifb_shapes_what_leaves_and_sends_it_out_where_it_would_have_gone() {
    let (router, left) = ports(
        &[
            "ip link add ifb0 type ifb",
            "tc qdisc add dev ifb0 root netem delay 50ms",
            "tc qdisc add dev eth_s clsact",
            "tc filter add dev eth_s egress matchall action mirred egress redirect dev ifb0",
        ],
        &[7, 8],
    );
    assert_eq!(left, [7, 8]);
    let at: Vec<Ps> = router.departures.iter().map(|d| d.at).collect();
    assert_eq!(at, [51 * MS, 52 * MS]);
}

#[test]
fn a_mirrored_copy_ends_in_an_ifb() {
    let (router, left) = ports(
        &[
            "ip link add ifb0 type ifb",
            "tc qdisc add dev eth_c ingress",
            "tc filter add dev eth_c ingress matchall action mirred egress mirror dev ifb0",
        ],
        &[7],
    );
    assert_eq!(left, [7]);
    assert_eq!(router.stack.drop_count(DropReason::NotSpecified), 1);
}

#[test]
fn police_lets_its_rate_pass() {
    let mut router = Router::new();
    for line in [
        "tc qdisc add dev eth_c ingress",
        "tc filter add dev eth_c ingress protocol ip matchall action police rate 1mbit burst 10000 conform-exceed drop",
    ] {
        router.prepare(line);
    }
    // 8 Mbit/s of IP packets of 1000 bytes for a second.
    for n in 0..1000 {
        router.arrive(n * MS, 9, 972);
    }
    // A full bucket, and an eighth of what comes after.
    let passed = router.departures.len();
    assert!((133..=136).contains(&passed), "{passed}");
    assert_eq!(
        router.stack.drop_count(DropReason::TcIngress),
        1000 - passed as u64
    );
    let list = router
        .stack
        .tc("tc -s filter show dev eth_c ingress")
        .unwrap();
    let expected = format!("(dropped {0}, overlimits {0} requeues 0)", 1000 - passed);
    assert!(list.contains(&expected), "{list}");
    assert!(
        list.contains("police 0x1 rate 1Mbit burst 10000b mtu 2Kb action drop overhead 0b \n"),
        "{list}"
    );
}

/// A TCP packet of `payload` bytes that is to be cut into segments of 1460.
fn large_tcp(payload: usize) -> SkBuff {
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64)
        .tcp(1, 2, 0, 1000)
        .write(&mut frame, &vec![7; payload])
        .unwrap();
    let mut skb = SkBuff::from_vec(frame);
    skb.protocol = 0x0800;
    skb.csum = CsumState::Partial {
        start: 34,
        offset: 16,
    };
    skb.gso = Gso {
        kind: GsoType::TcpV4,
        size: 1460,
        segs: payload.div_ceil(1460) as u16,
        ..Gso::default()
    };
    skb.reset_mac_header();
    skb.pull(14).unwrap();
    skb.reset_network_header();
    skb.set_transport_header(20);
    skb.push(14).unwrap();
    skb
}

#[test]
fn a_packet_larger_than_the_bucket_is_cut() {
    for (burst, packets) in [(3000, 3), (10_000, 1), (1000, 0)] {
        let mut queue = StandaloneQdisc::new(1);
        queue
            .tc(&format!(
                "qdisc add dev q root tbf rate 1mbit burst {burst} limit 100000"
            ))
            .unwrap();
        queue.enqueue(large_tcp(4000), 0);
        assert_eq!(queue.len(), packets, "burst {burst}");
        // What is too long even then is lost.
        let lost = if burst == 1000 { 3 } else { 0 };
        assert_eq!(queue.dropped(), lost, "burst {burst}");
        let mut bytes = 0;
        while let Some(at) = queue.next_event().or(Some(0)).filter(|_| !queue.is_empty()) {
            bytes += queue.dequeue(at).map_or(0, |skb| skb.len());
        }
        let headers = 54 * packets;
        let expected = if burst == 1000 { 0 } else { 4000 + headers };
        assert_eq!(bytes, expected, "burst {burst}");
    }
}

#[test]
fn without_carrier_what_waits_is_lost() {
    let mut router = Router::new();
    router.wire_s.borrow_mut().tx_room = 0;
    for n in 0..3 {
        router.arrive(n, 9, 100);
    }
    assert_eq!(router.stack.stats().held, 3);
    router.wire_s.borrow_mut().link = false;
    router.arrive(4, 9, 100);
    assert_eq!(router.stack.stats().held, 0);
    assert_eq!(router.stack.drop_count(DropReason::NotSpecified), 3);
    assert_eq!(router.stack.drop_count(DropReason::QdiscDrop), 1);
    router.assert_balanced();
}

/// Drops what has an odd port, and marks the rest.
struct Odd;

impl TcProgram for Odd {
    fn run(&mut self, skb: &mut SkBuff, _now: Ps) -> BpfVerdict {
        skb.mark = 1;
        let odd = skb.network_bytes()[23] & 1 != 0;
        BpfVerdict {
            code: if odd { 2 } else { 0 },
            redirect: None,
        }
    }
}

#[test]
fn a_program_decides() {
    let mut router = Router::new();
    router.stack.tc_add_program("odd.o:tc", Box::new(Odd));
    router.prepare("tc qdisc add dev eth_c clsact");
    router.prepare("tc filter add dev eth_c ingress bpf da obj odd.o sec tc");
    for port in [7, 8, 9, 10] {
        router.arrive(u64::from(port) * MS, port, 10);
    }
    let left: Vec<u16> = router.departures.iter().map(|d| d.dport()).collect();
    assert_eq!(left, [8, 10]);
    let list = router.stack.tc("tc filter show dev eth_c ingress").unwrap();
    assert_eq!(
        list,
        "filter protocol all pref 49152 bpf chain 0 \n\
         filter protocol all pref 49152 bpf chain 0 handle 0x1 odd.o:tc direct-action not_in_hw \n"
    );
}

#[test]
fn an_object_of_clang_decides() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bpf/tc.o");
    let program = TcBpf::load(&std::fs::read(path).unwrap(), "classifier", 1).unwrap();
    let mut router = Router::new();
    router.stack.tc_add_program("tc.o", Box::new(program));
    router.prepare("tc qdisc add dev eth_c clsact");
    router.prepare("tc filter add dev eth_c ingress prio 1 bpf direct-action object-file tc.o");
    // Behind it, for what it has no opinion of.
    router.prepare("tc filter add dev eth_c ingress protocol ip prio 2 u32 match ip dport 7 0xffff action drop");
    for port in [1, 7, 8] {
        router.arrive(u64::from(port) * MS, port, 100);
    }
    let left: Vec<u16> = router.departures.iter().map(|d| d.dport()).collect();
    assert_eq!(left, [2, 8]);
    let frame = &router.departures[0].frame;
    let pseudo = checksum::pseudo_header_v4([10, 0, 1, 2].into(), [10, 0, 2, 2].into(), 17, 108);
    let sum = checksum::add(pseudo, checksum::sum(&frame[34..]));
    assert_eq!(
        checksum::fold(sum),
        0xffff,
        "the program mended the checksum"
    );
}

#[test]
fn tos_chooses_the_band_of_pfifo_fast() {
    let mut router = Router::new();
    router.prepare("tc qdisc replace dev eth_s root pfifo_fast");
    router.wire_s.borrow_mut().tx_room = 0;
    for (n, tos) in [(1u16, 0x08), (2, 0x00), (3, 0x10)] {
        let mut frame = crate::router::datagram(n, 10);
        frame[15] = tos;
        // The header checksum follows.
        let sum = u16::from_be_bytes([frame[24], frame[25]]) - u16::from(tos);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        router
            .wire_c
            .borrow_mut()
            .rx
            .push_back((frame, stack::CsumState::None));
        router.stack.napi_schedule(router.eth_c);
        router.work();
    }
    router.wire_s.borrow_mut().tx_room = 10;
    router.stack.napi_schedule(router.eth_s);
    router.work();
    let left: Vec<u16> = router.departures.iter().map(|d| d.dport()).collect();
    // The first one was at the driver already and came back to the head.
    assert_eq!(left, [1, 3, 2]);
}
