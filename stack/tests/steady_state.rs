//! In the steady state the kernel path allocates nothing per packet: forwarding of both families, rules and sets, connection tracking, NAT,
//! datagrams to a socket. (`offload_allocations.rs` and `qdisc_steady_state.rs` say it of XDP, GRO and the queues.)

mod common;
mod counting;

use common::{MAC, PEER};
use etherparse::PacketBuilder;
use stack::{
    CsumState, IfIndex, NetDeviceOps, NetFeatures, PagePool, SkBuff, SocketId, Stack, StackConfig,
};
use std::cell::RefCell;
use std::rc::Rc;

/// Frames of one poll, each a flow of its own.
const BATCH: usize = 32;
/// Between two polls.
const MS: u64 = 1_000_000_000;

/// Receives the same frames in every poll, and takes what is sent.
struct Wire {
    frames: Vec<Vec<u8>>,
    pool: PagePool,
    left: usize,
    sent: usize,
}

impl NetDeviceOps for Wire {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.sent += 1;
        drop(skb);
        Ok(())
    }
    fn flush(&mut self) {}
    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.left);
        for frame in self.frames.iter().take(n) {
            let mut page = self.pool.alloc().expect("a page");
            page.as_mut_slice()[64..64 + frame.len()].copy_from_slice(frame);
            let mut skb = SkBuff::build(page, 64, frame.len());
            skb.csum = CsumState::Unnecessary;
            rx.push(skb);
        }
        self.left -= n;
        n
    }
    fn complete(&mut self) -> bool {
        self.left == 0
    }
    fn link_up(&self) -> bool {
        true
    }
    fn mtu(&self) -> u16 {
        1500
    }
    fn mac(&self) -> [u8; 6] {
        MAC
    }
    fn features(&self) -> NetFeatures {
        NetFeatures {
            hw_csum: true,
            rx_csum: true,
            gro: true,
            ..NetFeatures::default()
        }
    }
    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

/// A router that is also a host: networks 192.0.2.0/24 and fd00:1::/64 on eth0, 198.51.100.0/24 and fd00:2::/64 on eth1.
struct Host {
    stack: Stack,
    dev: IfIndex,
    input: Rc<RefCell<Wire>>,
    output: Rc<RefCell<Wire>>,
    socket: SocketId,
    now: u64,
}

impl Host {
    fn new(rules: &str, frames: Vec<Vec<u8>>) -> Self {
        let pool = PagePool::heap(256, 2048);
        let wire = |frames| {
            let (pool, left, sent) = (pool.clone(), 0, 0);
            Rc::new(RefCell::new(Wire {
                frames,
                pool,
                left,
                sent,
            }))
        };
        let (input, output) = (wire(frames), wire(Vec::new()));
        let mut stack = Stack::new(StackConfig {
            ip_forward: true,
            ipv6_forward: true,
            ..StackConfig::default()
        });
        let dev = stack.add_device("eth0", Box::new(Rc::clone(&input)));
        let far = stack.add_device("eth1", Box::new(Rc::clone(&output)));
        for (dev, cidr) in [
            (dev, "192.0.2.1/24"),
            (dev, "fd00:1::1/64"),
            (far, "198.51.100.1/24"),
            (far, "fd00:2::1/64"),
        ] {
            stack.add_addr(dev, cidr.parse().unwrap()).unwrap();
        }
        for (dev, address) in [
            (dev, "192.0.2.10"),
            (far, "198.51.100.30"),
            (far, "fd00:2::30"),
        ] {
            stack.add_neighbour(dev, address.parse().unwrap(), PEER);
        }
        if !rules.is_empty() {
            stack.nft(rules).unwrap();
        }
        let socket = stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
        Self {
            stack,
            dev,
            input,
            output,
            socket,
            now: MS,
        }
    }

    /// One interrupt, what is due, and an application that reads. Returns the datagrams read.
    fn round(&mut self) -> usize {
        self.now += MS;
        self.input.borrow_mut().left = BATCH;
        self.stack.napi_schedule(self.dev);
        while self.stack.net_rx_action(self.now) {}
        if self.stack.next_timer().is_some_and(|at| at <= self.now) {
            self.stack.run_timers(self.now);
        }
        std::iter::from_fn(|| self.stack.udp_recv_from(self.socket)).count()
    }
}

fn v4(dst: [u8; 4], protocol: u8) -> Vec<Vec<u8>> {
    let frame = |n: u16| {
        let mut frame = Vec::new();
        let ip = PacketBuilder::ethernet2(PEER, MAC).ipv4([192, 0, 2, 10], dst, 64);
        match protocol {
            6 => ip.tcp(5000 + n, 80, 1, 1000).write(&mut frame, &[]),
            1 => ip.icmpv4_echo_request(n, 1).write(&mut frame, &[0; 56]),
            _ => ip.udp(5000 + n, 9).write(&mut frame, &[0x5a; 64]),
        }
        .unwrap();
        frame
    };
    (0..BATCH as u16).map(frame).collect()
}

fn v6() -> Vec<Vec<u8>> {
    let address = |net: u8, host: u8| {
        let mut address = [0; 16];
        (address[0], address[3], address[15]) = (0xfd, net, host);
        address
    };
    let frame = |n: u16| {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(PEER, MAC)
            .ipv6(address(1, 0x10), address(2, 0x30), 64)
            .udp(5000 + n, 9)
            .write(&mut frame, &[0x5a; 64])
            .unwrap();
        frame
    };
    (0..BATCH as u16).map(frame).collect()
}

/// Runs until everything that grows has grown, then counts. `sent` and `read`: packets a round.
fn steady(what: &str, rules: &str, frames: Vec<Vec<u8>>, sent: usize, read: usize) {
    let mut host = Host::new(rules, frames);
    for _ in 0..100 {
        host.round();
    }
    const ROUNDS: usize = 50;
    let (before, sent_before) = (counting::allocations(), host.output.borrow().sent);
    let sent_back = host.input.borrow().sent;
    let mut received = 0;
    for _ in 0..ROUNDS {
        received += host.round();
    }
    let allocations = counting::allocations() - before;
    assert_eq!(host.stack.stats().dropped, 0, "{what}");
    let out = host.output.borrow().sent - sent_before + host.input.borrow().sent - sent_back;
    assert_eq!((out, received), (ROUNDS * sent, ROUNDS * read), "{what}");
    assert_eq!(
        allocations,
        0,
        "{what}: allocations in {} packets",
        ROUNDS * BATCH
    );
}

const FAR: [u8; 4] = [198, 51, 100, 30];
const OWN: [u8; 4] = [192, 0, 2, 1];

#[test]
fn forwarding() {
    steady("udp", "", v4(FAR, 17), BATCH, 0);
    steady("tcp", "", v4(FAR, 6), BATCH, 0);
    steady("udp over ipv6", "", v6(), BATCH, 0);
}

#[test]
fn rules_and_sets() {
    let ports: Vec<_> = (1..1000).map(|n| n.to_string()).collect();
    let rules = format!(
        "table inet t {{
            set ports {{ type inet_service; elements = {{ {} }}; }}
            map marks {{ type ipv4_addr : mark; elements = {{ 192.0.2.10 : 7, 192.0.2.11 : 8 }}; }}
            map ways {{ type inet_proto : verdict; elements = {{ udp : jump one, tcp : jump one }}; }}
            set pairs {{ type ipv4_addr . inet_service; flags interval; elements = {{ 192.0.2.0/24 . 5000-6000 }}; }}
            chain one {{ counter; ip saddr . udp sport @pairs counter; return; }}
            chain c {{
                type filter hook forward priority 0; policy accept;
                udp sport @ports drop
                meta mark set ip saddr map @marks
                meta l4proto vmap @ways
                limit rate 1/second counter
                ip dscp set af11
                th dport {{ 1-8, 10-20 }} drop
            }}
        }}",
        ports.join(", ")
    );
    steady("udp", &rules, v4(FAR, 17), BATCH, 0);
    steady("tcp", &rules, v4(FAR, 6), BATCH, 0);
    steady("udp over ipv6", &rules, v6(), BATCH, 0);
}

#[test]
fn connection_tracking_and_nat() {
    let track = "table inet t { chain c { type filter hook forward priority 0; policy drop; ct state new,established accept; }; }";
    steady("udp", track, v4(FAR, 17), BATCH, 0);
    steady("udp over ipv6", track, v6(), BATCH, 0);
    let masquerade =
        "table ip t { chain p { type nat hook postrouting priority 100; masquerade; }; }";
    steady("udp, masqueraded", masquerade, v4(FAR, 17), BATCH, 0);
    let dnat = "table ip t { chain p { type nat hook prerouting priority -100; udp dport 9 dnat to 198.51.100.30:99; }; }";
    steady("udp, to another host", dnat, v4(OWN, 17), BATCH, 0);
    let redirect = "table ip t { chain p { type nat hook prerouting priority -100; udp dport 9 redirect to :9; }; }";
    steady("udp, redirected", redirect, v4(FAR, 17), 0, BATCH);
}

#[test]
fn local_delivery() {
    steady("udp", "", v4(OWN, 17), 0, BATCH);
    let track = "table ip t { chain c { type filter hook input priority 0; policy drop; ct state new,established accept; }; }";
    steady("udp, tracked", track, v4(OWN, 17), 0, BATCH);
    // An answer each.
    steady("echo requests", "", v4(OWN, 1), BATCH, 0);
}
