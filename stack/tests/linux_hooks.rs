//! What a kernel reported of packets on their way through a router, beside the chains that `cosim oracle` replays: tracepoints in order of time
//! (T1, T2) and the layers of XDP, tc and nft (T4). The recordings are in tests/data/oracle/linux-hooks.

mod common;

use common::Wire;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, Ipv4HeaderSlice, PacketBuilder};
use stack::{CsumState, IfIndex, SkBuff, Stack, StackConfig, Stage, Tracer};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

const T1: &str = include_str!("data/oracle/linux-hooks/T1_forward_udp_events.txt");
const T2: &str = include_str!("data/oracle/linux-hooks/T2_local_delivery_events.txt");
const T4: &str = include_str!("data/oracle/linux-hooks/T4_xdp_tc_nft_layering.txt");

/// The recordings' `r`, between `c` (10.0.1.2 at `eth_c`) and `s` (10.0.2.2 at `eth_s`).
struct Router {
    stack: Stack,
    wires: [Rc<RefCell<Wire>>; 2],
    seen: Seen,
}

impl Router {
    fn new() -> Self {
        let mut stack = Stack::new(StackConfig {
            ip_forward: true,
            ipv6: false,
            ..StackConfig::default()
        });
        let wires = ["eth_c", "eth_s"].map(|name| {
            let net = 1 + u8::from(name == "eth_s");
            let wire = Wire::new([2, 0, 0, 0, net, 1]);
            let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
            let addr = format!("10.0.{net}.1/24").parse().unwrap();
            stack.add_addr(dev, addr).unwrap();
            let peer = format!("10.0.{net}.2").parse().unwrap();
            stack.add_neighbour(dev, peer, [2, 0, 0, 0, net, 2]);
            wire
        });
        let seen = Seen::default();
        stack.set_tracer(Box::new(seen.clone()));
        Self { stack, wires, seen }
    }

    /// A frame arrives from network `net`, 1 or 2.
    fn receive(&mut self, net: u8, frame: Vec<u8>) {
        let mut wire = self.wires[usize::from(net - 1)].borrow_mut();
        wire.rx.push_back((frame, CsumState::None));
        drop(wire);
        self.stack.napi_schedule(IfIndex(u32::from(net) + 1));
        while self.stack.net_rx_action(0) {}
    }

    /// Takes what was sent into network `net`.
    fn sent(&mut self, net: u8) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.wires[usize::from(net - 1)].borrow_mut().tx)
    }
}

/// A datagram from the other end of network `net` to `dst`.
fn datagram(net: u8, dst: [u8; 4], sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, net, 2], [2, 0, 0, 0, net, 1])
        .ipv4([10, 0, net, 2], dst, 64)
        .udp(sport, dport)
        .write(&mut frame, payload)
        .expect("written");
    frame
}

/// Stages that are tracepoints of the kernel, as `NAME DEVICE LENGTH`, and `fib_table_lookup DESTINATION DEVICE`.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Vec<String>>>);

impl Tracer for Seen {
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        let device = |dev: IfIndex| ["lo", "eth_c", "eth_s"][dev.0 as usize - 1];
        let name = match stage {
            Stage::NetifReceive => "netif_receive_skb",
            Stage::RouteInput | Stage::RouteOutput => "fib_table_lookup",
            Stage::Qdisc => "net_dev_queue",
            Stage::Xmit => "net_dev_start_xmit",
            _ => return,
        };
        let line = match &skb.dst {
            Some(route) if name == "fib_table_lookup" => {
                let header = Ipv4HeaderSlice::from_slice(skb.network_bytes()).expect("IPv4");
                format!("{name} {} {}", header.destination_addr(), device(route.oif))
            }
            _ => format!("{name} {} {}", device(skb.dev), skb.len()),
        };
        self.0.borrow_mut().push(line);
    }
}

/// What a recording has of `r` of these.
fn recorded(text: &str) -> Vec<String> {
    let events = text
        .split_once("## events\n")
        .expect("a part with events")
        .1;
    let word = |line: &str, key: &str| {
        let behind = line.split_once(key).expect("the key").1;
        behind.split([' ', '/']).next().unwrap().to_owned()
    };
    let ours = |line: &&str| {
        ["dev=eth_", "dev eth_"]
            .iter()
            .any(|dev| line.contains(dev))
    };
    let line = |line: &str| match line.split_whitespace().nth(4)? {
        "fib_table_lookup" => Some(format!(
            "fib_table_lookup {} {}",
            word(line, " -> "),
            word(line, " dev ")
        )),
        name @ ("netif_receive_skb" | "net_dev_queue" | "net_dev_start_xmit") => Some(format!(
            "{name} {} {}",
            word(line, " dev="),
            word(line, " len=")
        )),
        _ => None,
    };
    events.lines().filter(ours).filter_map(line).collect()
}

#[test]
fn tracepoints_of_a_forwarded_datagram_and_of_its_answer_come_in_the_kernels_order() {
    let mut r = Router::new();
    r.receive(1, datagram(1, [10, 0, 2, 2], 40000, 9, b"hi"));
    r.receive(2, datagram(2, [10, 0, 1, 2], 9, 40000, b"Rhi"));
    let seen = r.seen.0.borrow();
    assert_eq!(seen.len(), 8);
    assert_eq!(*seen, recorded(T1));
}

#[test]
fn tracepoints_of_a_delivered_datagram_and_of_its_answer_come_in_the_kernels_order() {
    let mut r = Router::new();
    let socket = r.stack.udp_bind(Ipv4Addr::UNSPECIFIED.into(), 9).unwrap();
    r.receive(1, datagram(1, [10, 0, 1, 1], 40000, 9, b"hi"));
    let datagram = r.stack.udp_recv_from(socket).expect("delivered");
    r.stack
        .udp_send_to(socket, datagram.src, b"Rhi", 0)
        .unwrap();
    let seen = r.seen.0.borrow();
    assert_eq!(seen.len(), 5);
    assert_eq!(*seen, recorded(T2));
}

/// The part of T4 under a heading.
fn part(heading: &str) -> &'static str {
    let behind = T4.split_once(heading).expect("the heading").1;
    let body = behind.split_once('\n').expect("lines").1;
    body.split("\n## ").next().unwrap().trim()
}

/// A ruleset whose `counter packets N bytes M` begin at 0.
fn without_counts(listed: &str) -> String {
    let line = |line: &str| match line.split_once("counter packets ") {
        // N, `bytes`, M, and what follows.
        Some((before, counts)) => format!(
            "{before}counter {}\n",
            counts.split(' ').skip(3).collect::<Vec<_>>().join(" ")
        ),
        None => format!("{line}\n"),
    };
    listed.lines().map(line).collect()
}

/// T4 whole: XDP on `eth_c`, the same object's tc program behind clsact on both devices, the recorded ruleset with its counters at 0. One
/// datagram each to ports 7, 6, 8, 10, 9, and the error that `s` sent of the last one.
#[test]
fn xdp_tc_and_nft_are_layered_as_recorded() {
    let mut r = Router::new();
    let elf = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/bpf/layering.o"
    ))
    .unwrap();
    r.stack.xdp_attach(IfIndex(2), &elf, "xdp").unwrap();
    r.stack.tc_add_object("xdp.o", &elf, "tc").unwrap();
    for (dev, place) in [("eth_c", "ingress"), ("eth_s", "egress")] {
        let filter = format!("filter add dev {dev} {place} bpf direct-action obj xdp.o sec tc");
        for line in [format!("qdisc add dev {dev} clsact"), filter] {
            r.stack.tc(&line).expect(&line);
        }
    }
    let listed = part("## nft counters");
    r.stack.nft(&without_counts(listed)).unwrap();
    // Not in the listing: who sets the mark that it speaks of.
    r.stack.nft("table ip m { chain POSTROUTING { type filter hook postrouting priority mangle; meta mark set 0x55; } }").unwrap();

    for port in [7, 6, 8, 10, 9] {
        r.receive(1, datagram(1, [10, 0, 2, 2], port, port, b"x"));
    }
    let through = r.sent(2);
    assert_eq!(through.len(), 1, "9 came through");
    let mut error = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 2, 2], [2, 0, 0, 0, 2, 1])
        .ipv4([10, 0, 2, 2], [10, 0, 1, 2], 64)
        .icmpv4(Icmpv4Type::DestinationUnreachable(
            DestUnreachableHeader::Port,
        ))
        .write(&mut error, &through[0][14..])
        .unwrap();
    r.receive(2, error);

    // What c saw behind its own five: 8 back, with the ends of the cable exchanged, and the error.
    let lens: Vec<usize> = r.sent(1).iter().map(Vec::len).collect();
    assert_eq!(lens, [43, 71]);
    let here =
        ["list table netdev nd", "list table ip mangle"].map(|list| r.stack.nft(list).unwrap());
    assert_eq!(here.concat().trim(), listed);
    let recorded = part("## tc");
    for dev in ["eth_c", "eth_s"] {
        let here = r.stack.tc(&format!("-s qdisc show dev {dev}")).unwrap();
        let here = here.split_once("qdisc clsact").expect("clsact").1;
        let there = recorded
            .split_once(&format!("qdisc clsact ffff: dev {dev}"))
            .expect(dev)
            .1;
        let sent = |text: &str| text.lines().nth(1).unwrap().trim().to_owned();
        assert_eq!(sent(here), sent(there), "{dev}");
    }
}
