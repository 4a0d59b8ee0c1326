//! What rules see of devices and Ethernet headers at each hook, counted by the kernel and here: frames that a host sends in every way, and
//! one that it forwards.

use crate::common::{MAC, PEER, Wire};
use crate::live::{assert_same, kernel};
use crate::peers;
use etherparse::PacketBuilder;
use stack::af_packet::{PacketSocketType, SockAddrLl};
use stack::{CsumState, Stack, StackConfig};
use std::fmt::Write as _;
use std::rc::Rc;

/// Matches; each is followed by a counter.
const MATCHES: &str = "
meta iiftype ether
meta iiftype != ether
meta iiftype loopback
meta oiftype ether
meta oiftype != ether
iif 0
oif 0
iifname eth_c
oifname eth_s
iifgroup 0
oifgroup 0
ether type ip
ether type ip6
ether type arp
ether type 0x1234
ether type vlan
ether type != ip
ether saddr 02:00:00:00:00:0b
ether saddr 02:00:00:00:00:0a
ether daddr 02:00:00:00:00:0a
ether daddr != 02:00:00:00:00:0a
ether saddr . ether type { 02:00:00:00:00:0b . ip6 }
vlan id 5
vlan pcp 1
vlan id 5 ip daddr 203.0.113.9
@ll,0,48 0x02000000000a
@ll,96,16 0x8100
@ll,128,16 0x0800
meta protocol ip
meta protocol ip6
ip ttl 64
ip daddr 192.0.2.10
ip6 hoplimit 64
ether type ip udp dport 9
icmpv6 type nd-neighbor-solicit
";

/// Both sides are configured by these. Nothing is sent that is not asked for.
const CONFIGURED: [&str; 9] = [
    "link set lo up",
    "addr add 192.0.2.20/24 dev eth_c",
    "addr add fd00:9::2/64 dev eth_c nodad",
    "addr add 198.51.100.1/24 dev eth_s",
    "neigh add 192.0.2.10 lladdr 02:00:00:00:00:0a dev eth_c nud permanent",
    "neigh add fd00:9::1 lladdr 02:00:00:00:00:0a dev eth_c nud permanent",
    "neigh add 198.51.100.30 lladdr 02:00:00:00:00:0a dev eth_s nud permanent",
    "link set eth_c up",
    "link set eth_s up",
];

/// Chains by table family: name and what is behind `hook`.
const CHAINS: [(&str, &[(&str, &str)]); 2] = [
    (
        "netdev",
        &[
            ("in_c", "ingress device eth_c"),
            ("out_c", "egress device eth_c"),
            ("out_s", "egress device eth_s"),
            ("in_lo", "ingress device lo"),
            ("out_lo", "egress device lo"),
        ],
    ),
    (
        "inet",
        &[
            ("pre", "prerouting"),
            ("in", "input"),
            ("through", "forward"),
            ("out", "output"),
            ("post", "postrouting"),
        ],
    ),
];

/// What the kernel says of its groups whenever it likes.
const QUIET: &str = "table ip6 quiet {
chain out { type filter hook output priority -500; icmpv6 type mld2-listener-report drop; }
}
";

fn ruleset() -> String {
    let mut text = QUIET.to_owned();
    for (family, chains) in CHAINS {
        let _ = writeln!(text, "table {family} t {{");
        for (name, hook) in chains {
            let _ = writeln!(
                text,
                "chain {name} {{ type filter hook {hook} priority 0; policy accept;"
            );
            for rule in MATCHES.lines().filter(|rule| !rule.is_empty()) {
                let _ = writeln!(text, "{rule} counter");
            }
            let _ = writeln!(text, "counter\n}}");
        }
        let _ = writeln!(text, "}}");
    }
    text
}

/// A packet socket sends these as they are.
fn frames() -> Vec<Vec<u8>> {
    let header = |protocol: u16| [&PEER[..], &MAC, &protocol.to_be_bytes()].concat();
    let mut udp = Vec::new();
    PacketBuilder::ethernet2(MAC, PEER)
        .ipv4([192, 0, 2, 20], [192, 0, 2, 10], 64)
        .udp(5, 9)
        .write(&mut udp, b"raw")
        .unwrap();
    let mut tagged = udp[..12].to_vec();
    tagged.extend([0x81, 0, 0x20, 5]);
    tagged.extend(&udp[12..]);
    let arp = [&header(0x0806)[..], &[0, 1, 8, 0, 6, 4, 0, 1], &[0; 20]].concat();
    vec![udp, tagged, arp, [&header(0x1234)[..], &[0; 46]].concat()]
}

/// What the host receives: a datagram that it forwards, and one with the tag of a VLAN that it is not in.
fn received() -> [Vec<u8>; 2] {
    let datagram = |src: [u8; 4], dst: [u8; 4]| {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2(PEER, MAC)
            .ipv4(src, dst, 65)
            .udp(5, 9)
            .write(&mut bytes, b"hi")
            .unwrap();
        bytes
    };
    let inner = datagram([203, 0, 113, 9], [203, 0, 113, 1]);
    let tagged = [&inner[..12], &[0x81, 0, 0, 5], &inner[12..]].concat();
    [datagram([192, 0, 2, 10], [198, 51, 100, 30]), tagged]
}

/// To whom datagrams are sent; nobody knows the address of the last one.
const DESTINATIONS: [&str; 5] = [
    "192.0.2.10",
    "192.0.2.10",
    "127.0.0.1",
    "fd00:9::1",
    "fd00:9::77",
];

const SEND: &str = "
import socket, sys
cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
for line in sys.stdin:
    verb, what = line.split()
    if verb == 'udp':
        family = socket.AF_INET6 if ':' in what else socket.AF_INET
        socket.socket(family, socket.SOCK_DGRAM).sendto(b'hi', (what, 9))
    else:
        cable.bind((verb, 0))
        cable.send(bytes.fromhex(what))
";

fn kernels(rules: &str) -> Option<String> {
    let ns = kernel()?;
    let within = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        ns.run(&words, "")
    };
    let there = [
        "python3 -c pass",
        "ip link add eth_c address 02:00:00:00:00:0b type veth peer name to_c",
        "ip link add eth_s address 02:00:00:00:00:0b type veth peer name to_s",
    ];
    if let Some(missing) = there.iter().find_map(|line| within(line).err()) {
        peers::skip(&["netns", "nft", "python3", "ifb"], &missing);
        return None;
    }
    for dev in ["eth_c", "eth_s", "to_c", "to_s"] {
        within(&format!("ip link set {dev} multicast off")).unwrap();
        within(&format!("sysctl -qw net.ipv6.conf.{dev}.addr_gen_mode=1")).unwrap();
    }
    for dev in ["to_c", "to_s"] {
        within(&format!("sysctl -qw net.ipv6.conf.{dev}.disable_ipv6=1")).unwrap();
        within(&format!("ip link set {dev} up")).unwrap();
    }
    within("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.auto_flowlabels=0").unwrap();
    // Who does not answer is asked once.
    within("sysctl -qw net.ipv6.neigh.eth_c.retrans_time_ms=3600000").unwrap();
    for line in CONFIGURED {
        within(&format!("ip {line}")).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    ns.run(&["nft", "-f", "-"], rules)
        .unwrap_or_else(|e| panic!("{e}\n{rules}"));
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut lines: String = DESTINATIONS.map(|to| format!("udp {to}\n")).concat();
    for frame in frames() {
        let _ = writeln!(lines, "eth_c {}", hex(&frame));
    }
    for frame in received() {
        let _ = writeln!(lines, "to_c {}", hex(&frame));
    }
    ns.run(&["python3", "-c", SEND], &lines).unwrap();
    Some(ns.run(&["nft", "list", "ruleset"], "").unwrap())
}

fn ours(rules: &str) -> String {
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ..StackConfig::default()
    });
    let wires = ["eth_c", "eth_s"].map(|name| {
        let wire = Wire::new(MAC);
        let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
        (dev, wire)
    });
    for line in CONFIGURED {
        stack.ip(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    stack.nft(rules).unwrap_or_else(|e| panic!("{e}\n{rules}"));
    for to in DESTINATIONS {
        let to = std::net::SocketAddr::new(to.parse().unwrap(), 9);
        let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
        let socket = stack.udp_bind(any.parse().unwrap(), 0).unwrap();
        stack.udp_send_to(socket, to, b"hi", 0).unwrap();
        while stack.net_rx_action(0) {}
    }
    let (dev, wire) = &wires[0];
    let socket = stack.packet_socket(PacketSocketType::Raw, 0);
    for frame in frames() {
        let to = SockAddrLl::to(*dev, 0, PEER);
        stack.packet_send_to(socket, Some(&to), &frame, 0).unwrap();
    }
    for frame in received() {
        wire.borrow_mut().rx.push_back((frame, CsumState::None));
    }
    stack.napi_schedule(*dev);
    while stack.net_rx_action(0) {}
    stack.nft("list ruleset").unwrap()
}

/// What kernel 6.18 counted.
const EXPECTED: &str = include_str!("../data/nft/devices.expected");

#[test]
fn devices_and_headers_are_counted_as_recorded() {
    assert_same("counters", &ours(&ruleset()), EXPECTED);
}

#[test]
fn the_kernel_counts_the_same_by_device() {
    if let Some(theirs) = kernels(&ruleset()) {
        assert_same("counters", &theirs, EXPECTED);
    }
}
