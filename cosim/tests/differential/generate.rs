//! Random cases.

use super::case::{Case, Chain, HOST_PAIRS, Packet};

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True in `n` of 100 cases.
    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const PORTS: [u16; 6] = [9, 53, 80, 99, 8080, 40000];

/// Two hosts on each side. A kernel limits the errors that one host is sent about routes, so every case has hosts of its own.
#[derive(Clone, Copy)]
struct Hosts([[[u8; 4]; 2]; 2]);

impl Hosts {
    fn new(seed: u64) -> Self {
        let first = 2 + 2 * (seed % HOST_PAIRS) as u8;
        let side = |net| [[10, 0, net, first], [10, 0, net, first + 1]];
        Self([side(1), side(2)])
    }

    fn text(self, side: usize, host: usize) -> String {
        let [a, b, c, d] = self.0[side][host];
        format!("{a}.{b}.{c}.{d}")
    }
}

/// Table, chain, type and hook; whether devices can be matched (in, out).
const CHAINS: [(&str, &str, &str, bool, bool); 16] = [
    (
        "ip raw",
        "PRE",
        "type filter hook prerouting priority -300;",
        true,
        false,
    ),
    (
        "ip raw",
        "OUT",
        "type filter hook output priority -300;",
        false,
        true,
    ),
    (
        "ip mangle",
        "PRE",
        "type filter hook prerouting priority -150;",
        true,
        false,
    ),
    (
        "ip mangle",
        "FWD",
        "type filter hook forward priority -150;",
        true,
        true,
    ),
    (
        "ip mangle",
        "OUT",
        "type route hook output priority -150;",
        false,
        true,
    ),
    (
        "ip mangle",
        "POST",
        "type filter hook postrouting priority -150;",
        false,
        true,
    ),
    (
        "ip nat",
        "PRE",
        "type nat hook prerouting priority -100;",
        true,
        false,
    ),
    (
        "ip nat",
        "IN",
        "type nat hook input priority 100;",
        true,
        false,
    ),
    (
        "ip nat",
        "OUT",
        "type nat hook output priority -100;",
        false,
        true,
    ),
    (
        "ip nat",
        "POST",
        "type nat hook postrouting priority 100;",
        false,
        true,
    ),
    (
        "ip filter",
        "IN",
        "type filter hook input priority 0;",
        true,
        false,
    ),
    (
        "ip filter",
        "FWD",
        "type filter hook forward priority 0;",
        true,
        true,
    ),
    (
        "ip filter",
        "OUT",
        "type filter hook output priority 0;",
        false,
        true,
    ),
    (
        "inet i",
        "FWD",
        "type filter hook forward priority 10;",
        true,
        true,
    ),
    (
        "inet i",
        "POST",
        "type filter hook postrouting priority 10;",
        false,
        true,
    ),
    (
        "netdev n",
        "ING",
        "type filter hook ingress device \"eth_c\" priority 0;",
        true,
        false,
    ),
];

fn ports(r: &mut Random) -> String {
    match r.below(4) {
        0 => format!("{{ {}, {} }}", PORTS[r.below(3)], PORTS[3 + r.below(3)]),
        1 => format!("{}-{}", 1 + r.below(50), 60 + r.below(60)),
        2 => format!("!= {}", PORTS[r.below(6)]),
        _ => PORTS[r.below(6)].to_string(),
    }
}

fn address(r: &mut Random, hosts: Hosts) -> String {
    let [a, b, c, d] = hosts.0[r.below(2)][r.below(2)];
    match r.below(4) {
        0 => format!("{a}.{b}.{c}.0/24"),
        1 => format!("!= {a}.{b}.{c}.{d}"),
        2 => format!("{{ {a}.{b}.{c}.{d}, 10.0.9.0-10.0.9.20 }}"),
        _ => format!("{a}.{b}.{c}.{d}"),
    }
}

/// One match.
fn matching(r: &mut Random, hosts: Hosts, iif: bool, oif: bool, tracked: bool) -> String {
    let (c, s) = (hosts.text(0, 0), hosts.text(1, 0));
    let (original, reply) = (
        format!("ct original ip daddr {s}"),
        format!("ct reply ip saddr {s}"),
    );
    let simple = [
        "ip protocol udp",
        "meta l4proto tcp",
        "ip ttl < 64",
        "ip ttl 64",
        "ip length > 60",
        "meta length 28-48",
        "ip dscp cs1",
        "ip frag-off & 0x1fff != 0",
        "icmp type echo-request",
        "icmp type { echo-reply, destination-unreachable }",
        "tcp flags syn",
        "tcp flags & (fin|syn|rst|ack) == syn",
        "tcp flags & rst == rst",
        "tcp window > 1000",
        "meta mark 0x5",
        "meta mark & 0x4 == 0x4",
        "meta mark != 0x0",
        "udp length > 12",
        "@th,0,16 > 100",
        "jhash ip saddr . ip daddr mod 4 seed 0x17 1",
        "numgen inc mod 3 1",
        "fib saddr type unicast",
        "meta pkttype host",
    ];
    let conntrack = [
        "ct state new",
        "ct state established,related",
        "ct state invalid",
        "ct state != established",
        "ct direction reply",
        "ct direction original",
        "ct status dnat",
        "ct status snat",
        "ct status confirmed",
        "ct mark 0x3",
        &original,
        &reply,
        "meta l4proto tcp ct original proto-dst 80",
    ];
    match r.below(20) {
        0..3 => format!("udp dport {}", ports(r)),
        3..5 => format!("tcp dport {}", ports(r)),
        // Two ports side by side are one wrong comparison for nft 1.0.6 when one is negated.
        5 => format!("th sport {}", PORTS[r.below(6)]),
        6 => format!("ip saddr {}", address(r, hosts)),
        7 => format!("ip daddr {}", address(r, hosts)),
        8 if iif => format!("iifname {}", r.of(&["\"eth_c\"", "\"eth_s\"", "\"eth_*\""])),
        9 if oif => format!(
            "oifname {}",
            r.of(&["\"eth_c\"", "\"eth_s\"", "!= \"eth_c\""])
        ),
        10 => format!("ip saddr . udp dport {{ {c} . 9, {s} . 53 }}"),
        11..14 if tracked => r.of(&conntrack).to_owned(),
        _ => r.of(&simple).to_owned(),
    }
}

/// What a rule ends with.
fn verdict(r: &mut Random, hosts: Hosts, table: &str, chain: &str, tracked: bool) -> String {
    let (nat, early) = (table == "ip nat", table == "ip raw");
    if nat {
        let to_c = hosts.text(0, r.below(2));
        let to_s = hosts.text(1, r.below(2));
        let port = PORTS[r.below(6)];
        let proto = r.of(&["tcp", "udp"]);
        return match chain {
            "PRE" => match r.below(5) {
                0 => format!("meta l4proto {proto} dnat to {to_s}:{port}"),
                1 => format!("dnat to {to_s}"),
                2 => format!("meta l4proto {proto} redirect to :{port}"),
                3 => format!("dnat to {to_c}"),
                _ => "accept".to_owned(),
            },
            "OUT" => match r.below(3) {
                0 => format!("dnat to {to_s}"),
                1 => format!("meta l4proto {proto} redirect to :{port}"),
                _ => "accept".to_owned(),
            },
            "IN" => r.of(&["accept", "snat to 10.0.1.77"]).to_owned(),
            _ => match r.below(5) {
                0 | 1 => "masquerade".to_owned(),
                2 => "snat to 10.0.2.77".to_owned(),
                3 => format!(
                    "meta l4proto {proto} snat to 10.0.2.1:{}",
                    3000 + r.below(9)
                ),
                _ => "accept".to_owned(),
            },
        };
    }
    let marks = [
        "meta mark set 0x5",
        "meta mark set meta mark | 0x4",
        "meta mark set udp dport map { 9 : 0x5, 53 : 0x7 }",
        "ip dscp set cs1",
        "ip ttl set 33",
    ];
    let tracks = [
        "ct mark set 0x3",
        "ct mark set meta mark",
        "meta mark set ct mark",
    ];
    let rejects = [
        "reject",
        "reject with icmp type host-prohibited",
        "reject with icmp type admin-prohibited",
        "meta l4proto tcp reject with tcp reset",
    ];
    let may_reject = table == "ip filter" || table == "ip mangle" && chain == "FWD";
    match r.below(12) {
        0 | 1 => "accept".to_owned(),
        2 => "drop".to_owned(),
        3 if may_reject => r.of(&rejects).to_owned(),
        4 | 5 => r.of(&marks).to_owned(),
        6 | 7 if tracked => r.of(&tracks).to_owned(),
        8 if early => "notrack".to_owned(),
        9 if table == "ip filter" => r.of(&["jump sub", "goto sub"]).to_owned(),
        10 => "udp dport vmap { 53 : drop, 99 : accept }".to_owned(),
        11 => "return".to_owned(),
        _ => String::new(),
    }
}

/// Whether a rule speaks of more than one transport protocol, which nft refuses.
fn contradicts(rule: &str) -> bool {
    let rule = rule.replace("reject with icmp", "");
    let named = ["udp", "tcp", "icmp"]
        .into_iter()
        .filter(|p| rule.contains(p));
    named.count() > 1
}

fn rule(r: &mut Random, hosts: Hosts, table: &str, chain: &str, iif: bool, oif: bool) -> String {
    loop {
        let rule = any_rule(r, hosts, table, chain, iif, oif);
        if !contradicts(&rule) {
            return rule;
        }
    }
}

fn any_rule(
    r: &mut Random,
    hosts: Hosts,
    table: &str,
    chain: &str,
    iif: bool,
    oif: bool,
) -> String {
    let tracked = !matches!(table, "ip raw" | "netdev n");
    let mut text = String::new();
    for _ in 0..1 + r.below(2) {
        text += &matching(r, hosts, iif, oif, tracked);
        text += " ";
    }
    text += "counter ";
    text += &verdict(r, hosts, table, chain, tracked);
    text.trim_end().to_owned()
}

fn config(r: &mut Random, hosts: Hosts) -> Vec<String> {
    let mut lines = Vec::new();
    let vias = [(0, 0), (1, 0), (1, 1)].map(|(side, n)| format!("via {}", hosts.text(side, n)));
    let vias: Vec<&str> = vias.iter().map(String::as_str).collect();
    for n in 3..7 {
        if !r.percent(30) {
            continue;
        }
        let network = format!("10.0.{n}.0/24");
        lines.push(match r.below(5) {
            0 => format!("ip route add blackhole {network}"),
            1 => format!("ip route add unreachable {network}"),
            2 => format!("ip route add prohibit {network}"),
            _ => format!("ip route add {network} {}", r.of(&vias)),
        });
    }
    if r.percent(40) {
        let via = r.of(&vias);
        lines.push(format!("ip route add default {via} table 100"));
        let from = format!("from {}", hosts.text(0, 1));
        let selector = r.of(&[
            "fwmark 0x5",
            &from,
            "to 10.0.4.0/24",
            "iif eth_c tos 0x10",
            "fwmark 0x4/0x4",
        ]);
        lines.push(format!("ip rule add {selector} lookup 100 priority 100"));
    }
    if r.percent(10) {
        let to = hosts.text(1, 1);
        lines.push(format!("ip rule add to {to} prohibit priority 90"));
    }
    lines
}

/// The Internet checksum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for bytes in parts {
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// An Ethernet frame into `device` around an IPv4 packet. `ip`: protocol, TTL, TOS, identification, fragment field.
pub fn frame(
    device: usize,
    src: [u8; 4],
    dst: [u8; 4],
    ip: (u8, u8, u8, u16, u16),
    transport: &[u8],
) -> Vec<u8> {
    let net = device as u8 + 1;
    let mut bytes = vec![2, 0, 0, 0, net, 1, 2, 0, 0, 0, net, 2, 8, 0];
    let (protocol, ttl, tos, id, frag) = ip;
    let mut header = vec![0x45, tos];
    header.extend((20 + transport.len() as u16).to_be_bytes());
    header.extend(id.to_be_bytes());
    header.extend(frag.to_be_bytes());
    header.extend([ttl, protocol, 0, 0]);
    header.extend(src);
    header.extend(dst);
    let check = checksum(&[&header]);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    bytes.extend(header);
    bytes.extend(transport);
    bytes
}

/// Sets the checksum of a TCP, UDP or ICMP part.
pub fn with_checksum(src: [u8; 4], dst: [u8; 4], protocol: u8, mut transport: Vec<u8>) -> Vec<u8> {
    let (at, pseudo) = match protocol {
        6 => (16, true),
        17 => (6, true),
        _ => (2, false),
    };
    if transport.len() < at + 2 {
        return transport;
    }
    transport[at..at + 2].fill(0);
    let len = (transport.len() as u16).to_be_bytes();
    let head = [&src[..], &dst, &[0, protocol], &len].concat();
    let value = if pseudo {
        checksum(&[&head, &transport])
    } else {
        checksum(&[&transport])
    };
    let value = if protocol == 17 && value == 0 {
        0xffff
    } else {
        value
    };
    transport[at..at + 2].copy_from_slice(&value.to_be_bytes());
    transport
}

/// A TCP segment with an MSS option when it is a SYN.
pub fn tcp(sport: u16, dport: u16, seq: u32, ack: u32, flags: u8, payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    let syn = flags & 2 != 0;
    bytes.extend([if syn { 0x60 } else { 0x50 }, flags]);
    bytes.extend(8192u16.to_be_bytes());
    bytes.extend([0; 4]);
    if syn {
        bytes.extend([2, 4, 5, 0xb4]);
    }
    bytes.extend(vec![b'p'; payload]);
    bytes
}

fn fresh(r: &mut Random, hosts: Hosts) -> Packet {
    let device = r.below(2);
    let (near, far) = (hosts.0[device], hosts.0[1 - device]);
    let src = near[r.below(2)];
    let own = [10, 0, device as u8 + 1, 1];
    let dst = match r.below(10) {
        0 | 1 => own,
        2 => [10, 0, 3 + r.below(5) as u8, 9],
        3 => [10, 0, 2 - device as u8, 1],
        _ => far[r.below(2)],
    };
    let ttl = if r.percent(5) { 1 } else { 64 };
    let tos = if r.percent(10) {
        [0x10, 0x20, 0xb8][r.below(3)]
    } else {
        0
    };
    let id = 1 + r.below(60_000) as u16;
    let (sport, dport) = (PORTS[r.below(6)], PORTS[r.below(6)]);
    let payload = r.below(40);
    let (protocol, transport) = match r.below(10) {
        0..4 => {
            let mut bytes = Vec::new();
            bytes.extend(sport.to_be_bytes());
            bytes.extend(dport.to_be_bytes());
            bytes.extend((8 + payload as u16).to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(vec![b'u'; payload]);
            (17, bytes)
        }
        4..8 => {
            let odd = [0x10, 0x12, 0x04, 0x14, 0x11, 0x18, 0x03, 0x00];
            let flags = if r.percent(70) { 2 } else { odd[r.below(8)] };
            let (seq, ack) = (r.next() as u32, r.next() as u32);
            let ack = if flags & 0x10 != 0 { ack } else { 0 };
            (6, tcp(sport, dport, seq, ack, flags, 0))
        }
        8 => {
            let mut bytes = vec![if r.percent(80) { 8 } else { 0 }, 0, 0, 0];
            bytes.extend((1 + r.below(3) as u16).to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(vec![b'i'; payload]);
            (1, bytes)
        }
        _ => (200, vec![0x11; 20 + payload]),
    };
    let mut transport = with_checksum(src, dst, protocol, transport);
    if r.percent(4) {
        // A wrong checksum, or a cut header.
        match r.below(2) {
            0 => transport[6] ^= 0x55,
            _ => transport.truncate(r.below(8)),
        }
    }
    let frame = frame(device, src, dst, (protocol, ttl, tos, id, 0), &transport);
    Packet::Fresh { device, frame }
}

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut r = Random(seed);
    let hosts = Hosts::new(seed);
    let mut chains: Vec<Chain> = Vec::new();
    let wanted = 2 + r.below(6);
    let mut picked: Vec<usize> = (0..wanted).map(|_| r.below(CHAINS.len())).collect();
    picked.sort_unstable();
    picked.dedup();
    let sub = picked.iter().any(|&i| CHAINS[i].0 == "ip filter");
    if sub {
        let rules = (0..1 + r.below(2)).map(|_| rule(&mut r, hosts, "ip sub", "sub", true, true));
        let rules = rules.collect();
        chains.push(Chain {
            table: "ip filter",
            name: "sub",
            base: "",
            rules,
        });
    }
    for i in picked {
        let (table, name, base, iif, oif) = CHAINS[i];
        let count = 1 + r.below(4);
        let rules = (0..count).map(|_| rule(&mut r, hosts, table, name, iif, oif));
        let rules = rules.collect();
        chains.push(Chain {
            table,
            name,
            base,
            rules,
        });
    }
    let config = config(&mut r, hosts);
    let mut packets = vec![fresh(&mut r, hosts)];
    for _ in 0..4 + r.below(12) {
        let nth = r.below(1000);
        // The last frame is the most interesting one.
        let nth = if r.percent(60) { usize::MAX } else { nth };
        packets.push(match r.below(20) {
            0..7 => fresh(&mut r, hosts),
            7..15 => Packet::Answer {
                nth,
                flags: if r.percent(20) {
                    [1, 4, 8][r.below(3)]
                } else {
                    0
                },
                payload: if r.percent(40) { r.below(100) } else { 0 },
            },
            15 | 16 => Packet::Error {
                nth,
                kind: [(3, 3), (3, 1), (11, 0), (3, 13), (12, 0)][r.below(5)],
            },
            17 | 18 => Packet::Again {
                nth,
                change: (0, 0),
            },
            _ => Packet::Again {
                nth,
                change: (r.below(2000), 1 + r.below(255) as u8),
            },
        });
    }
    Case {
        seed,
        chains,
        config,
        packets,
    }
}
