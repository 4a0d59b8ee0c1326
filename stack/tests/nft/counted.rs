//! The same packets past the same rules, in the kernel and here: every rule must count the same packets, and rewrites must be seen by the
//! rules behind them.

use crate::live::{assert_same, kernel};
use crate::packets::TestHost;
use crate::peers;
use etherparse::{PacketBuilder, TcpOptionElement};
use stack::nft::{Nft, NftCtx};
use stack::{Family, Hook, HookState, IfIndex, SkBuff};
use std::fmt::Write as _;

/// Matches; each is followed by a counter.
const MATCHES: &str = "
ip saddr 127.0.0.1
ip daddr 127.0.0.0/30
ip daddr 127.0.0.2-127.0.0.3
ip daddr { 127.0.0.2, 127.0.0.4-127.0.0.9, 127.1.0.0/16 }
ip daddr != 127.0.0.2
ip ttl 3-60
ip ttl > 63
ip length < 40
ip length >= 44
ip dscp ef
ip dscp { cs0, af11 }
ip ecn not-ect
ip hdrlength 5
ip version 4
ip protocol udp
ip protocol != tcp
ip protocol { tcp, icmp }
ip frag-off & 0x1fff != 0
ip frag-off & 0x2000 != 0
meta l4proto udp
meta l4proto { tcp, udp } th dport 53
udp dport 53
udp dport != 53
udp dport 50-80
udp dport { 22, 53, 1000-2000 }
udp sport > 40000
udp length 10
udp checksum != 0
tcp dport 80
tcp sport . tcp dport { 40001 . 80, 1 . 2 }
ip daddr . udp dport { 127.0.0.1 . 53, 127.0.0.2 . 80 }
ip daddr . udp dport { 127.0.0.0/30 . 50-60, 127.0.0.4 . 1-100 }
tcp flags syn
tcp flags syn,ack
tcp flags == syn
tcp flags & (syn|ack) == syn
tcp flags ! ack
tcp flags != syn
tcp window 1000-65535
tcp doff 6
tcp sequence 1000
tcp option maxseg size 1460
tcp option maxseg size > 1400
tcp option maxseg exists
tcp option timestamp missing
tcp option window count 7
icmp type echo-request
icmp type != echo-request
icmp type { echo-reply, destination-unreachable }
icmp code 0
icmp id 5
icmp sequence 6-9
ip option ra exists
ip option rr missing
@th,16,16 53
@nh,64,8 0x40
@ih,0,8 0x68
meta length 30-50
meta mark 0x77
meta mark & 0xf0 == 0x70
meta mark != 0x77
meta pkttype host
oifname lo
oifname != lo
oifname { \"eth*\", \"lo\" }
iifname lo
iif 0
meta nfproto ipv4 udp dport 53
meta skuid 0
jhash ip daddr . udp dport mod 4 seed 0x5 0
jhash ip daddr . udp dport mod 4 seed 0x5 1
jhash udp dport mod 3 seed 0x7 2
jhash meta mark . ip saddr mod 5 seed 0x1 { 0, 1, 2 }
numgen inc mod 3 0
numgen inc mod 3 offset 7 8
limit rate 1/week burst 3 packets
limit rate over 1/week burst 2 packets
quota over 100 bytes
quota until 200 bytes
meta mark set 0x78 meta mark 0x78
meta mark & 0x0f == 0x08
meta mark set meta mark & 0xf0 | 0x07 meta mark 0x77
meta mark set udp dport map { 53 : 0x100, 1-52 : 0x200, 80-90 : 0x300 }
meta mark 0x100
meta mark set 0x77
ip ttl set 9 ip ttl 9
ip dscp set cs3 ip dscp cs3
ip daddr set 127.0.0.99 ip daddr 127.0.0.99
udp checksum 1-30000
udp dport set 4242 udp dport 4242
udp checksum 0-30000
tcp option maxseg size set 1200 tcp option maxseg size 1200
tcp checksum 0-30000
ip checksum 0-30000
ip checksum 0-20000
";

fn packets() -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut push = |builder: etherparse::PacketBuilderStep<etherparse::UdpHeader>,
                    payload: &[u8]| {
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).unwrap();
        packets.push(bytes);
    };
    for (last, dport, ttl) in [
        (1, 53, 64),
        (2, 80, 64),
        (3, 1500, 5),
        (9, 22, 1),
        (77, 53, 255),
    ] {
        let ip = PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, last], ttl);
        push(ip.udp(40000 + u16::from(last), dport), b"hi");
    }
    for (dport, ack) in [(80, false), (443, true)] {
        let mut tcp = PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 2], 64)
            .tcp(40001, dport, 1000, 64000)
            .syn();
        if ack {
            tcp = tcp.ack(77);
        }
        let options = [
            TcpOptionElement::MaximumSegmentSize(1460),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(7),
        ];
        let mut bytes = Vec::new();
        tcp.options(&options)
            .unwrap()
            .write(&mut bytes, b"")
            .unwrap();
        packets.push(bytes);
    }
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 4], 64)
        .icmpv4_echo_request(5, 6)
        .write(&mut bytes, b"ping")
        .unwrap();
    packets.push(bytes);
    for packet in &mut packets {
        // The kernel gives an id to packets that have none.
        packet[4..6].copy_from_slice(&0x1234u16.to_be_bytes());
        fix(packet);
    }
    // A first and a later fragment, and one with another traffic class.
    for (at, value) in [(6, 0x20), (7, 0x10), (1, 0xb8)] {
        let mut packet = packets[0].clone();
        packet[at] = value;
        fix(&mut packet);
        packets.push(packet);
    }
    packets
}

/// The header checksum.
fn fix(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let check = stack::checksum::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&check.to_be_bytes());
}

fn ruleset() -> String {
    let mut rules = String::new();
    for rule in MATCHES.lines().filter(|l| !l.is_empty()) {
        // In an ip table nft refuses to ask for the family.
        let rule = rule.replace("meta nfproto ipv4 ", "");
        let _ = writeln!(rules, "\t\t{rule} counter");
    }
    format!(
        "table ip t {{\n\tchain c {{\n\t\ttype filter hook output priority 0; policy drop;\n\t\tmeta mark != 0x77 drop\n{rules}\t}}\n}}\n"
    )
}

const SEND: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
s.setsockopt(socket.SOL_SOCKET, 36, 0x77)
for line in sys.stdin:
    packet = bytes.fromhex(line)
    try: s.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
    except PermissionError: pass
";

#[test]
fn the_kernel_counts_the_same() {
    let Some(ns) = kernel() else { return };
    if ns.run(&["python3", "-c", ""], "").is_err() {
        return peers::skip(
            &["netns", "nft", "python3"],
            "no python3 to send packets with",
        );
    }
    let text = ruleset();
    ns.run(&["ip", "link", "set", "lo", "up"], "").unwrap();
    ns.run(&["nft", "-f", "-"], &text)
        .unwrap_or_else(|e| panic!("{e}\n{text}"));
    let packets = packets();
    let mut lines = String::new();
    for packet in &packets {
        for byte in packet {
            let _ = write!(lines, "{byte:02x}");
        }
        lines.push('\n');
    }
    ns.run(&["python3", "-c", SEND], &lines).unwrap();
    let theirs = ns.run(&["nft", "list", "ruleset"], "").unwrap();

    let mut nft = Nft::new(1);
    nft.set_devices(vec!["lo".to_owned()]);
    nft.apply(&text, 0).unwrap();
    let chain = nft.base_chains()[0].id;
    let state = HookState {
        hook: Hook::LocalOut,
        family: Family::Ipv4,
        iif: None,
        oif: Some(IfIndex::LO),
        now: 0,
    };
    for packet in packets {
        let mut skb = SkBuff::from_vec(packet);
        skb.protocol = 0x0800;
        skb.mark = 0x77;
        let mut host = TestHost {
            owner: Some((0, 0)),
            ..TestHost::default()
        };
        let mut ctx = NftCtx {
            skb: &mut skb,
            state: &state,
            host: &mut host,
        };
        nft.do_chain(chain, &mut ctx);
    }
    assert_same("counters", &nft.list(0, false), &theirs);
}
