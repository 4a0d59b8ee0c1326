//! Which sockets there are, and what happens to them.

use crate::common::{MAC, PEER};
use crate::hex;
use etherparse::{IpNumber, PacketBuilder};

/// A packet from the neighbour, of protocol 200 unless said otherwise.
fn ip4(dst: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC).ipv4([192, 0, 2, 10], dst, 64);
    let mut bytes = Vec::new();
    builder
        .write(&mut bytes, IpNumber(protocol), payload)
        .unwrap();
    bytes
}

/// The same with IPv6, `next_header` first.
fn ip6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut bytes = [&MAC[..], &PEER, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([next_header, 64]);
    bytes.extend([address("fd00:9::1"), address("fd00:9::2")].concat());
    bytes.extend(payload);
    bytes
}

fn pings() -> [Vec<u8>; 2] {
    let mut four = Vec::new();
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64)
        .icmpv4_echo_request(7, 1);
    builder.write(&mut four, b"ping").unwrap();
    let mut six = Vec::new();
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv6(address("fd00:9::1"), address("fd00:9::2"), 64)
        .icmpv6_echo_request(7, 1);
    builder.write(&mut six, b"ping").unwrap();
    [four, six]
}

/// A frame with other MAC addresses of the receiver.
fn to(mac: [u8; 6], mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac);
    frame
}

fn tagged(tci: u16, frame: Vec<u8>) -> Vec<u8> {
    let tag = [&[0x81, 0], &tci.to_be_bytes()[..]].concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}

fn other(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&MAC[..], &PEER, &ethertype.to_be_bytes(), payload].concat()
}

/// Two fragments of one packet of protocol 200.
fn fragments() -> [Vec<u8>; 2] {
    let cut = |field: u16, payload: &[u8]| {
        let mut frame = ip4([192, 0, 2, 20], 200, payload);
        frame[18..20].copy_from_slice(&[0x12, 0x34]);
        frame[20..22].copy_from_slice(&field.to_be_bytes());
        let (header, _) = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap();
        frame[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
        frame
    };
    [cut(0x2000, b"01234567"), cut(1, b"89")]
}

/// What happens, a line each; `in`: a frame comes.
pub fn lines() -> Vec<String> {
    let here = [192, 0, 2, 20];
    let [ping4, ping6] = pings();
    let mut lines: Vec<String> = [
        "open all packet raw 0003 -",
        "open inner packet dgram 0003 eth_c",
        "open ip packet dgram 0800 -",
        "open lower packet raw 0800 eth_c",
        "open odd packet raw 88b5 -",
        "open four raw4 200",
        "open six raw6 200",
        "open icmp raw4 1",
        "open replies raw4 1",
        "filter replies fffffffe",
        "open icmp6 raw6 58",
        "filter icmp6 129",
        "open options raw6 60",
        "open summed raw6 202",
        "checksum summed 2",
        "open bound raw4 200",
        "bind bound 127.0.0.1",
        "open peer raw4 200",
        "connect peer 192.0.2.10",
        "open header raw4 255",
    ]
    .map(str::to_owned)
    .to_vec();
    let dest = [200, 0, 1, 4, 0, 0, 0, 0];
    let arp = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &PEER,
        &[192, 0, 2, 10],
        &[0; 6],
        &here,
    ]
    .concat();
    let frames = [
        ping4.clone(),
        ping6,
        // To somebody else, to everybody, to a group.
        to([2, 0, 0, 0, 0, 0x77], ping4.clone()),
        to([0xff; 6], other(0x0806, &arp)),
        to([1, 0x80, 0xc2, 0, 0, 0x21], other(0x88b5, b"grouped")),
        other(0x88b5, b"odd"),
        other(0x88b6, b"nobody's"),
        // 802.3: a length.
        other(10, b"0123456789"),
        ip4(here, 200, b"raw"),
        to([0xff; 6], ip4([192, 0, 2, 255], 200, b"to all")),
        // Nobody takes it: protocol unreachable goes out.
        ip4(here, 201, b"unknown"),
        ip6(200, b"raw6"),
        ip6(60, &[&dest[..], b"behind"].concat()),
        ip6(201, b"unknown"),
        // A sum that is wrong.
        ip6(202, b"ab\0\0"),
        // There are no VLANs on this device; id 0 is a priority only.
        tagged(0xe007, ip4(here, 200, b"vlan")),
        tagged(0xe000, ip4(here, 200, b"priority")),
        tagged(5, other(0x88b5, b"odd vlan")),
        tagged(5, tagged(6, other(0x88b5, b"two tags"))),
    ];
    let coming = frames.into_iter().chain(fragments());
    lines.extend(coming.map(|frame| format!("in {}", hex(&frame))));
    let mut own_header = vec![0x45, 0x10, 0, 0, 0, 0, 0, 0, 9, 200, 1, 2, 0, 0, 0, 0];
    own_header.extend([192, 0, 2, 10, b'h', b'i']);
    let peer = hex(&PEER);
    let going = [
        format!("out four 192.0.2.10 {}", hex(b"out")),
        format!("out four 127.0.0.1 {}", hex(b"lo")),
        format!("out four 0.0.0.0 {}", hex(b"any")),
        format!("out four 192.0.2.10 {}", hex(&[7; 3000])),
        format!("out six fd00:9::1 {}", hex(b"out")),
        format!("out summed fd00:9::1 {}", hex(b"ab\xff\xffcd")),
        format!("out summed ::1 {}", hex(b"ab\xff\xffcd")),
        format!("out header 192.0.2.10 {}", hex(&own_header)),
        // Its own sender does not see it, the others do.
        format!(
            "out all eth_c 0000 {peer} {}",
            hex(&to(PEER, other(0x88b5, b"own")))
        ),
        format!("out inner eth_c 0800 {peer} {}", hex(&ping4[14..])),
        format!(
            "out odd eth_c 88b5 {peer} {}",
            hex(&to(PEER, other(0x88b5, b"odd")))
        ),
        format!("out odd lo 0000 {peer} {}", hex(&other(0x88b5, b"lo"))),
        // Hooks: INPUT comes before raw sockets, ingress before those of one EtherType, egress before all that goes out. IP's OUTPUT does not
        // see what a packet socket sends.
        "nft add table ip t".to_owned(),
        "nft add chain ip t in { type filter hook input priority 0; }".to_owned(),
        "nft add rule ip t in ip protocol 200 drop".to_owned(),
        "nft add chain ip t out { type filter hook output priority 0; }".to_owned(),
        "nft add rule ip t out ip protocol 200 drop".to_owned(),
        format!("in {}", hex(&ip4(here, 200, b"dropped at input"))),
        format!(
            "out inner eth_c 0800 {peer} {}",
            hex(&ip4(here, 200, b"past output")[14..])
        ),
        "nft flush ruleset".to_owned(),
        "nft add table netdev t".to_owned(),
        "nft add chain netdev t in { type filter hook ingress device eth_c priority 0; }"
            .to_owned(),
        "nft add rule netdev t in ether type 0x88b5 drop".to_owned(),
        format!("in {}", hex(&other(0x88b5, b"dropped at ingress"))),
        "nft add chain netdev t out { type filter hook egress device eth_c priority 0; }"
            .to_owned(),
        "nft add rule netdev t out meta protocol 0x88b5 drop".to_owned(),
        format!(
            "out odd eth_c 88b5 {peer} {}",
            hex(&to(PEER, other(0x88b5, b"dropped")))
        ),
        "nft flush ruleset".to_owned(),
        "close four".to_owned(),
        "close peer".to_owned(),
        // The only one left is bound to another address.
        format!("in {}", hex(&ip4(here, 200, b"gone"))),
    ];
    lines.extend(going);
    lines
}
