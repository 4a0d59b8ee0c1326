//! Ways to lose a packet, and the reason that a kernel gave for each: every row of `T3_drop_reasons.txt`, over `c — r — s` as there. A row
//! counts the drops of all three hosts; `QUEUE_PURGE` is the recording tool's own sockets being closed.

mod common;

use common::Wire;
use etherparse::{IpNumber, PacketBuilder};
use stack::{CsumState, DropReason, IfIndex, SkBuff, Stack, StackConfig, Stage, Tracer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

const ROWS: &str = include_str!("data/oracle/drops/T3_drop_reasons.txt");
const C: [u8; 4] = [10, 0, 1, 2];
const R: [u8; 4] = [10, 0, 1, 1];
const S: [u8; 4] = [10, 0, 2, 2];
const C_MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];
const R_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];

#[derive(Clone, Default)]
struct Drops(Rc<RefCell<Vec<DropReason>>>);

impl Tracer for Drops {
    fn event(&mut self, _skb: &SkBuff, stage: Stage) {
        if let Stage::Drop(reason) = stage {
            self.0.borrow_mut().push(reason);
        }
    }
}

type Port = (IfIndex, Rc<RefCell<Wire>>);

/// One of the three hosts.
struct Node {
    stack: Stack,
    ports: Vec<Port>,
}

impl Node {
    fn new(drops: &Drops, links: &[(&str, [u8; 4], [u8; 6])]) -> Self {
        let mut stack = Stack::new(StackConfig {
            ipv6: false,
            icmp_ratelimit: 0,
            ..StackConfig::default()
        });
        let ports = links.iter().map(|(name, addr, mac)| {
            let wire = Wire::new(*mac);
            let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
            let cidr = format!("{}/24", Ipv4Addr::from(*addr));
            stack.add_addr(dev, cidr.parse().unwrap()).unwrap();
            let (other, mut peer) = (addr[3] ^ 3, *mac);
            peer[5] ^= 3;
            let neighbour = [addr[0], addr[1], addr[2], other];
            stack.add_neighbour(dev, IpAddr::from(neighbour), peer);
            (dev, wire)
        });
        let ports = ports.collect();
        stack.set_tracer(Box::new(drops.clone()));
        Self { stack, ports }
    }
}

/// `c — r — s`.
struct Net {
    c: Node,
    r: Node,
    s: Node,
    drops: Drops,
    now: u64,
}

impl Net {
    fn new() -> Self {
        let drops = Drops::default();
        let (r_s, s_mac) = ([2, 0, 0, 0, 2, 1], [2, 0, 0, 0, 2, 2]);
        let mut net = Self {
            c: Node::new(&drops, &[("eth0", C, C_MAC)]),
            r: Node::new(
                &drops,
                &[("eth_c", R, R_MAC), ("eth_s", [10, 0, 2, 1], r_s)],
            ),
            s: Node::new(&drops, &[("eth0", S, s_mac)]),
            drops,
            now: 0,
        };
        net.r.stack.sysctl("-qw net.ipv4.ip_forward=1").unwrap();
        for (node, gateway) in [(&mut net.c, R), (&mut net.s, [10, 0, 2, 1])] {
            let gateway = Ipv4Addr::from(gateway);
            node.stack
                .ip(&format!("route add default via {gateway}"))
                .unwrap();
        }
        net
    }

    /// Lets frames cross the links until none is under way.
    fn settle(&mut self) {
        loop {
            for node in [&mut self.c, &mut self.r, &mut self.s] {
                while node.stack.net_rx_action(self.now) {}
            }
            let mut moved = carry(&mut self.c, 0, &mut self.r, 0);
            moved |= carry(&mut self.r, 0, &mut self.c, 0);
            moved |= carry(&mut self.r, 1, &mut self.s, 0);
            moved |= carry(&mut self.s, 0, &mut self.r, 1);
            if !moved {
                break;
            }
        }
    }

    /// `c`'s raw socket sends a frame.
    fn inject(&mut self, frame: Vec<u8>) {
        let (dev, wire) = &self.r.ports[0];
        wire.borrow_mut().rx.push_back((frame, CsumState::None));
        self.r.stack.napi_schedule(*dev);
        self.settle();
    }

    /// Lets time pass.
    fn wait(&mut self, time: u64) {
        self.now += time;
        for node in [&mut self.c, &mut self.r, &mut self.s] {
            node.stack.run_timers(self.now);
        }
        self.settle();
    }
}

fn carry(from: &mut Node, out: usize, to: &mut Node, into: usize) -> bool {
    let frames = std::mem::take(&mut from.ports[out].1.borrow_mut().tx);
    let moved = !frames.is_empty();
    let (dev, wire) = &to.ports[into];
    for frame in frames {
        wire.borrow_mut().rx.push_back((frame, CsumState::None));
        to.stack.napi_schedule(*dev);
    }
    moved
}

fn udp(src: [u8; 4], dst: [u8; 4], ttl: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(C_MAC, R_MAC)
        .ipv4(src, dst, ttl)
        .udp(4000, port);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// Changes the IP header and mends its checksum.
fn with_ip(mut frame: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let header = &mut frame[14..34];
    change(header);
    header[10..12].fill(0);
    let check = stack::checksum::checksum(header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    frame
}

/// Does what the row says; the drops are in `net.drops`.
#[allow(clippy::too_many_lines)]
fn lose(cause: &str, net: &mut Net) {
    let plain = || udp(C, S, 64, 9, b"x");
    match cause {
        "ip_csum" => {
            let mut frame = plain();
            frame[24] ^= 1;
            net.inject(frame);
        }
        "ip_version" => net.inject(with_ip(plain(), |ip| ip[0] = 0x55)),
        "ip_short" => net.inject(with_ip(plain(), |ip| ip[2..4].copy_from_slice(&[1, 0]))),
        "other_mac" => {
            let mut frame = plain();
            frame[5] = 0x77;
            net.inject(frame);
        }
        "ethertype" => {
            let mut frame = plain();
            frame[12..14].copy_from_slice(&[0x12, 0x34]);
            net.inject(frame);
        }
        "no_route" => net.inject(udp(C, [10, 99, 0, 1], 64, 9, b"x")),
        "blackhole" => {
            net.r.stack.ip("route add blackhole 10.99.0.0/16").unwrap();
            net.inject(udp(C, [10, 99, 0, 1], 64, 9, b"x"));
        }
        "ttl" => net.inject(udp(C, S, 1, 9, b"x")),
        "martian_src" => net.inject(udp([127, 0, 0, 1], S, 64, 9, b"x")),
        "rp_filter" => {
            let strict = "-qw net.ipv4.conf.eth_c.rp_filter=1";
            net.r.stack.sysctl(strict).unwrap();
            net.inject(udp([10, 0, 2, 77], S, 64, 9, b"x"));
        }
        "df_mtu" => {
            net.r.stack.ip("link set eth_s mtu 1000").unwrap();
            net.inject(with_ip(udp(C, S, 64, 9, &[0; 1200]), |ip| ip[6] = 0x40));
        }
        "fwd_off" => {
            net.r.stack.sysctl("-qw net.ipv4.ip_forward=0").unwrap();
            net.inject(plain());
        }
        "udp_nosock" => net.inject(udp(C, R, 64, 9, b"x")),
        "udp_csum" => {
            net.r.stack.udp_bind(R.into(), 9).unwrap();
            let mut frame = udp(C, R, 64, 9, b"x");
            frame[40] ^= 1;
            net.inject(frame);
        }
        "tcp_nosock" => {
            let builder = PacketBuilder::ethernet2(C_MAC, R_MAC)
                .ipv4(C, R, 64)
                .tcp(4000, 9, 1, 1024)
                .syn();
            let mut frame = Vec::new();
            builder.write(&mut frame, &[]).unwrap();
            net.inject(frame);
        }
        "proto_unknown" => {
            let mut frame = Vec::new();
            PacketBuilder::ethernet2(C_MAC, R_MAC)
                .ipv4(C, R, 64)
                .write(&mut frame, IpNumber(200), b"x")
                .unwrap();
            net.inject(frame);
        }
        "frag_timeout_none" => {
            // It still waits when the host is gone.
            net.inject(with_ip(udp(C, R, 64, 9, b"12345678"), |ip| ip[6] = 0x20));
            assert_eq!(net.r.stack.stats().held, 1);
        }
        "nft_drop" => {
            let rules = "add table ip f; add chain ip f i { type filter hook input priority 0; policy drop; }";
            net.r.stack.nft(rules).unwrap();
            net.inject(udp(C, R, 64, 9, b"x"));
        }
        "nft_netdev_drop" => {
            let rules = "add table netdev f; add chain netdev f i { type filter hook ingress device \"eth_c\" priority 0; policy drop; }";
            net.r.stack.nft(rules).unwrap();
            net.inject(plain());
        }
        "tc_ingress_drop" => {
            net.r.stack.tc("qdisc add dev eth_c clsact").unwrap();
            net.r
                .stack
                .tc("filter add dev eth_c ingress matchall action drop")
                .unwrap();
            net.inject(udp(C, R, 64, 10, b"x"));
        }
        "xdp_drop" | "xdp_aborted" => {
            let port = if cause == "xdp_drop" { 7 } else { 6 };
            let (dev, _) = net.r.ports[0];
            let object = include_bytes!("data/bpf/layering.o");
            net.r.stack.xdp_attach(dev, object, "xdp").unwrap();
            net.inject(udp(C, R, 64, port, b"x"));
        }
        "qdisc_overflow" => {
            let limit = "qdisc add dev eth_s root tbf rate 8kbit burst 200 limit 200";
            net.r.stack.tc(limit).unwrap();
            // Frames of 192 bytes: one passes with the first tokens, one waits, and there is no room for more.
            for _ in 0..5 {
                net.inject(udp(C, S, 64, 9, &[0; 1400][..150]));
            }
        }
        "rcvbuf_full" => {
            let socket = net.r.stack.udp_bind(R.into(), 9).unwrap();
            net.r.stack.udp_set_rcvbuf(socket, 2304).unwrap();
            // An empty queue takes one.
            for _ in 0..11 {
                net.inject(udp(C, R, 64, 9, &[0; 800]));
            }
        }
        "tcp_listen_overflow" => overflow(net),
        other => panic!("no test for `{other}`"),
    }
}

/// Four clients, a backlog of one: the first connects, the others' SYNs are taken in without an answer and without a reason. Then all go: the
/// first client closes, the listener ends, and its reset meets a connection that only waits for its end.
fn overflow(net: &mut Net) {
    let listener = net.r.stack.tcp_listen(R.into(), 9, 0).unwrap();
    let to = SocketAddr::from((R, 9));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let client = net.c.stack.tcp_connect(0, to, net.now).unwrap();
            net.settle();
            client
        })
        .collect();
    let states: Vec<_> = clients.iter().map(|&c| net.c.stack.tcp_state(c)).collect();
    let (there, waits) = (
        Some(stack::TcpState::Established),
        Some(stack::TcpState::SynSent),
    );
    assert_eq!(states, [there, waits, waits, waits]);
    let stats = net.r.stack.stats();
    assert_eq!((stats.listen_overflows, stats.listen_drops), (3, 3));
    assert!(net.drops.0.borrow().is_empty());
    for client in clients {
        net.c.stack.tcp_close(client, net.now).unwrap();
        net.settle();
    }
    // The delayed acknowledgement of the FIN.
    net.wait(common::SEC / 10);
    net.r.stack.tcp_close(listener, net.now).unwrap();
    net.settle();
}

#[test]
fn every_row_has_the_kernels_reason() {
    let mut rows = 0;
    for line in ROWS.lines().filter(|l| !l.starts_with('#')) {
        let cause = line.split_whitespace().next().unwrap();
        // `REASON @ function+offset`, with semicolons between; the description in front is 56 columns wide.
        let kernel: Vec<&str> = line
            .split(';')
            .filter_map(|part| part.split_once(" @ "))
            .map(|(before, _)| before.split_whitespace().last().unwrap())
            .filter(|reason| *reason != "QUEUE_PURGE")
            .collect();
        let mut net = Net::new();
        lose(cause, &mut net);
        let here: Vec<&str> = net.drops.0.borrow().iter().map(|r| r.name()).collect();
        println!("{cause}: {}", here.join(", "));
        assert_eq!(here, kernel, "{line}");
        let counted: BTreeMap<_, _> = net.r.stack.stats().drops().collect();
        assert!(counted.len() <= here.len(), "{cause}: {counted:?}");
        for node in [&net.c, &net.r, &net.s] {
            let s = node.stack.stats();
            let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
            assert_eq!(s.received + s.built, ended, "{cause}: {s:?}");
        }
        rows += 1;
    }
    assert_eq!(rows, 25);
}
