//! What a host answers, drops and remembers. Packets are built, and answers parsed, by `etherparse`, which shares no code with the stack.

mod common;

use common::{Host, MAC, PEER, SEC, Wire, frame};
use etherparse::{IpNumber, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use stack::{
    CsumState, DropReason, NetFeatures, NudState, RouteSpec, RouteType, StackConfig, StackError,
    Verdict,
};
use std::rc::Rc;

const V4: ([u8; 4], [u8; 4]) = ([192, 0, 2, 10], [192, 0, 2, 20]);

fn v6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// UDP from port 4000 of the neighbour.
fn udp4(port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv4(V4.0, V4.1, 64)
        .udp(4000, port);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn udp6(port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv6(v6("fd00:9::1"), v6("fd00:9::2"), 64)
        .udp(4000, port);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn ping4(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv4(V4.0, V4.1, 64)
        .icmpv4_echo_request(7, 1);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn ping6(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv6(v6("fd00:9::1"), v6("fd00:9::2"), 64)
        .icmpv6_echo_request(7, 1);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

/// Mends the IPv4 header checksum of a frame, so that a test can bend the header.
fn fix4(frame: &mut [u8]) {
    let (header, _) = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap();
    frame[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
}

/// Checks every checksum of a frame with etherparse; returns the transport payload.
fn verify(frame: &[u8]) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let net = packet.net.unwrap();
    if let NetSlice::Ipv4(ip) = &net {
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
    }
    match packet.transport.unwrap() {
        TransportSlice::Udp(udp) => {
            let header = udp.to_header();
            let wanted = match &net {
                NetSlice::Ipv4(ip) => header
                    .calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
                    .unwrap(),
                NetSlice::Ipv6(ip) => header
                    .calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
                    .unwrap(),
                other => panic!("{other:?}"),
            };
            assert_eq!(header.checksum, wanted);
            udp.payload().to_vec()
        }
        TransportSlice::Icmpv4(icmp) => {
            let header = icmp.header();
            assert_eq!(
                header.icmp_type.calc_checksum(icmp.payload()),
                header.checksum
            );
            icmp.payload().to_vec()
        }
        TransportSlice::Icmpv6(icmp) => {
            let NetSlice::Ipv6(ip) = &net else { panic!() };
            let (src, dst) = (ip.header().source(), ip.header().destination());
            assert!(icmp.is_checksum_valid(src, dst));
            icmp.payload().to_vec()
        }
        other => panic!("{other:?}"),
    }
}

/// The one drop reason that the frame leads to.
fn dropped(config: StackConfig, frame: Vec<u8>) -> DropReason {
    let mut host = Host::new(config);
    host.receive([frame]);
    host.assert_balanced();
    let drops: Vec<_> = host.stack.stats().drops().collect();
    assert_eq!(drops.len(), 1, "{drops:?}");
    drops[0].0
}

#[test]
fn pings_of_every_size_are_answered() {
    let mut host = Host::new(StackConfig::default());
    for size in (0..=1472).step_by(16).chain([1, 1471]) {
        let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
        host.receive([ping4(&payload)]);
        let sent = host.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0][..12], [PEER, MAC].concat());
        assert_eq!(sent[0][34], 0, "echo reply");
        assert_eq!(verify(&sent[0]), payload);
        host.receive([ping6(&payload[..payload.len().min(1452)])]);
        let sent = host.sent();
        assert_eq!(sent[0][54], 129, "echo reply");
        assert_eq!(verify(&sent[0]), payload[..payload.len().min(1452)]);
    }
    host.assert_balanced();
    assert_eq!(
        host.wire.borrow().pool.available(),
        512,
        "a buffer was lost"
    );
}

#[test]
fn udp_reaches_its_socket_and_the_answer_goes_back() {
    let mut host = Host::new(StackConfig::default());
    let four = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let six = host.stack.udp_bind("::".parse().unwrap(), 9).unwrap();
    host.receive([udp4(9, b"four"), udp6(9, b"six")]);
    for (socket, text) in [(four, b"four".as_slice()), (six, b"six")] {
        let datagram = host.stack.udp_recv_from(socket).unwrap();
        assert_eq!(datagram.payload(), text);
        let answer = [b"R", text].concat();
        host.stack
            .udp_send_to(socket, datagram.src, &answer, host.now)
            .unwrap();
        let sent = host.sent();
        assert_eq!(verify(&sent[0]), answer);
    }
    host.assert_balanced();
}

#[test]
fn the_device_gets_the_checksum_to_fill_in() {
    let wire = Wire::new(MAC);
    wire.borrow_mut().features = NetFeatures {
        hw_csum: true,
        rx_csum: true,
    };
    let mut host = Host::with_wire(StackConfig::default(), wire);
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 0).unwrap();
    assert!(host.stack.udp_local_addr(socket).unwrap().port() >= 32768);
    host.stack
        .udp_send_to(socket, "192.0.2.10:9".parse().unwrap(), b"abc", 0)
        .unwrap();
    assert_eq!(
        host.wire.borrow().tx_csum,
        [CsumState::Partial {
            start: 34,
            offset: 6
        }]
    );
    assert_eq!(host.wire.borrow().flushes, 1);
}

#[test]
fn drop_reasons_are_the_kernels() {
    let any = StackConfig::default;
    let mut bad = udp4(9, b"x");
    bad[24] ^= 1;
    assert_eq!(dropped(any(), bad), DropReason::IpCsum);
    let mut bad = udp4(9, b"x");
    bad[14] = 0x55;
    assert_eq!(dropped(any(), bad), DropReason::IpInHdr);
    let mut bad = udp4(9, b"x");
    bad[17] += 20;
    fix4(&mut bad);
    assert_eq!(dropped(any(), bad), DropReason::PktTooSmall);
    let mut bad = udp4(9, b"x");
    bad[5] ^= 1;
    assert_eq!(dropped(any(), bad), DropReason::OtherHost);
    assert_eq!(
        dropped(any(), frame(0x1234, &[0; 46])),
        DropReason::UnhandledProto
    );
    let mut bad = udp4(9, b"x");
    bad[26..30].copy_from_slice(&[127, 0, 0, 1]);
    fix4(&mut bad);
    assert_eq!(dropped(any(), bad), DropReason::IpLocalNet);
    let mut foreign = udp4(9, b"x");
    foreign[30..34].copy_from_slice(&[203, 0, 113, 1]);
    fix4(&mut foreign);
    assert_eq!(dropped(any(), foreign.clone()), DropReason::IpInAddrErrors);
    let router = StackConfig {
        ip_forward: true,
        ..any()
    };
    assert_eq!(
        dropped(router.clone(), foreign.clone()),
        DropReason::IpInNoRoutes
    );
    assert_eq!(dropped(any(), udp4(99, b"x")), DropReason::NoSocket);
    let mut bad = udp4(99, b"x");
    bad[40] ^= 1;
    assert_eq!(dropped(any(), bad), DropReason::UdpCsum);
    let mut bad = ping4(b"x");
    bad[36] ^= 1;
    assert_eq!(dropped(any(), bad), DropReason::IcmpCsum);
    let mut tcp = Vec::new();
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv4(V4.0, V4.1, 64)
        .tcp(1, 80, 0, 1000)
        .syn();
    builder.write(&mut tcp, &[]).unwrap();
    assert_eq!(dropped(any(), tcp), DropReason::NoSocket);
    let mut odd = Vec::new();
    let builder = PacketBuilder::ethernet2(PEER, MAC).ipv4(V4.0, V4.1, 64);
    builder.write(&mut odd, IpNumber(200), b"x").unwrap();
    assert_eq!(dropped(any(), odd), DropReason::IpNoProto);
    let tagged = [&udp4(9, b"x")[..12], &[0x81, 0, 0, 5], &udp4(9, b"x")[12..]].concat();
    assert_eq!(dropped(any(), tagged), DropReason::OtherHost);

    // A source that is not on the link it came from, and one that is this host's own.
    let mut spoofed = udp4(9, b"x");
    spoofed[26..30].copy_from_slice(&[203, 0, 113, 1]);
    fix4(&mut spoofed);
    let strict = StackConfig {
        rp_filter: stack::RpFilter::Strict,
        ..any()
    };
    assert_eq!(dropped(strict, spoofed), DropReason::IpRpFilter);
    let mut own = udp4(9, b"x");
    own[26..30].copy_from_slice(&V4.1);
    fix4(&mut own);
    assert_eq!(dropped(any(), own), DropReason::IpLocalSource);

    // A route that drops.
    let mut host = Host::new(router);
    let net = "203.0.113.0/24".parse().unwrap();
    host.stack
        .add_route(RouteSpec::reject(RouteType::Blackhole, net))
        .unwrap();
    host.receive([foreign]);
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 1);
    assert!(host.sent().is_empty());
}

#[test]
fn priority_tags_are_no_vlan() {
    let mut host = Host::new(StackConfig::default());
    let ping = ping4(b"abc");
    host.receive([[&ping[..12], &[0x81, 0, 0xe0, 0], &ping[12..]].concat()]);
    assert_eq!(verify(&host.sent()[0]), b"abc");
}

#[test]
fn a_full_socket_drops_but_takes_one() {
    let mut host = Host::new(StackConfig::default());
    let socket = host
        .stack
        .udp_bind("192.0.2.20".parse().unwrap(), 9)
        .unwrap();
    host.stack.udp_set_rcvbuf(socket, 1).unwrap();
    host.receive([udp4(9, b"1"), udp4(9, b"2")]);
    assert_eq!(host.stack.drop_count(DropReason::SocketRcvBuff), 1);
    assert_eq!(host.stack.udp_recv_from(socket).unwrap().payload(), b"1");
    assert!(host.stack.udp_recv_from(socket).is_none());
    host.receive([udp4(9, b"3")]);
    host.stack.udp_close(socket).unwrap();
    assert_eq!(
        host.stack.udp_close(socket),
        Err(StackError::NoSocket(socket))
    );
    host.assert_balanced();
}

#[test]
fn port_unreachable_quotes_the_packet_and_is_limited() {
    let mut host = Host::new(StackConfig::default());
    host.receive((0..20).map(|_| udp4(99, b"hello")));
    let sent = host.sent();
    // A burst of 6 to one destination, then one a second.
    assert_eq!(sent.len(), 6);
    assert_eq!((sent[0][34], sent[0][35], sent[0][15]), (3, 3, 0xc0));
    assert_eq!(verify(&sent[0]), udp4(99, b"hello")[14..]);
    assert_eq!(host.stack.stats().icmp_ratelimited, 14);
    host.now += SEC;
    host.receive([udp4(99, b"hello"), udp4(99, b"hello")]);
    assert_eq!(host.sent().len(), 1);
    host.receive([udp6(99, b"hello")]);
    let sent = host.sent();
    assert_eq!((sent[0][54], sent[0][55]), (1, 4));
    assert_eq!(verify(&sent[0]), udp6(99, b"hello")[14..]);
    host.assert_balanced();
}

/// An ARP packet from `mac`/`sip`.
fn arp(op: u8, mac: [u8; 6], sip: [u8; 4], tha: [u8; 6], tip: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, op];
    bytes.extend([&mac[..], &sip, &tha, &tip].concat());
    frame(0x0806, &bytes)
}

#[test]
fn arp_is_answered_and_learned() {
    let mut host = Host::new(StackConfig::default());
    let who = [2, 0, 0, 0, 0, 0x77];
    host.receive([arp(1, who, [192, 0, 2, 77], [0; 6], [192, 0, 2, 20])]);
    let sent = host.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][..6], who);
    assert_eq!(
        sent[0][20..],
        [&[0, 2][..], &MAC, &[192, 0, 2, 20], &who, &[192, 0, 2, 77]].concat()
    );
    let learned = host.stack.neighbours().find(|n| n.mac == who).unwrap();
    assert_eq!(learned.state, NudState::Stale);
    host.receive([arp(1, who, [192, 0, 2, 77], [0; 6], [192, 0, 2, 99])]);
    assert!(host.sent().is_empty(), "answered for somebody else");
    host.assert_balanced();
}

#[test]
fn packets_wait_for_the_neighbour() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let dst = "192.0.2.77:7".parse().unwrap();
    host.stack.udp_send_to(socket, dst, b"one", 0).unwrap();
    host.stack.udp_send_to(socket, dst, b"two", 0).unwrap();
    let sent = host.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][..6], [0xff; 6]);
    assert_eq!(host.stack.stats().held, 2);
    let who = [2, 0, 0, 0, 0, 0x77];
    host.receive([arp(2, who, [192, 0, 2, 77], MAC, [192, 0, 2, 20])]);
    let sent = host.sent();
    assert_eq!(
        sent.iter().map(|f| verify(f)).collect::<Vec<_>>(),
        [b"one", b"two"]
    );
    assert!(sent.iter().all(|f| f[..6] == who));
    // 30 s later the answer is old; with a packet then, probes go out by unicast after 5 s.
    host.run_until(31 * SEC);
    assert_eq!(
        host.stack
            .neighbours()
            .find(|n| n.mac == who)
            .unwrap()
            .state,
        NudState::Stale
    );
    host.stack
        .udp_send_to(socket, dst, b"three", host.now)
        .unwrap();
    host.run_until(60 * SEC);
    let sent = host.sent();
    assert_eq!(sent.len(), 1 + 3);
    assert!(
        sent[1..]
            .iter()
            .all(|f| f[..6] == who && f[12..14] == [8, 6])
    );
    assert_eq!(
        host.stack
            .neighbours()
            .find(|n| n.mac == who)
            .unwrap()
            .state,
        NudState::Failed
    );
    assert_eq!(host.stack.next_timer(), None);
    host.assert_balanced();
}

#[test]
fn a_neighbour_that_never_answers() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.udp_bind("::".parse().unwrap(), 9).unwrap();
    host.stack
        .udp_send_to(socket, "[fd00:9::77]:7".parse().unwrap(), b"x", 0)
        .unwrap();
    host.run_until(10 * SEC);
    let sent = host.sent();
    assert_eq!(sent.len(), 3, "three solicitations to the group");
    for solicitation in &sent {
        assert_eq!(solicitation[..6], [0x33, 0x33, 0xff, 0, 0, 0x77]);
        assert_eq!((solicitation[54], solicitation[21]), (135, 255));
        verify(solicitation);
    }
    assert_eq!(host.stack.drop_count(DropReason::NeighFailed), 1);
    host.assert_balanced();
}

/// A neighbour solicitation for fd00:9::2, with the sender's MAC address.
fn solicitation(hop_limit: u8) -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend(v6("fd00:9::2"));
    message.extend([1, 1]);
    message.extend([2, 0, 0, 0, 0, 0x99]);
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 0x99], MAC)
        .ipv6(v6("fd00:9::99"), v6("ff02::1:ff00:2"), hop_limit)
        .icmpv6_raw(135, 0, [0; 4]);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &message[4..]).unwrap();
    bytes[..6].copy_from_slice(&[0x33, 0x33, 0xff, 0, 0, 2]);
    bytes
}

#[test]
fn neighbour_discovery() {
    let mut host = Host::new(StackConfig::default());
    host.receive([solicitation(255)]);
    let sent = host.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0][54], sent[0][21], sent[0][58]), (136, 255, 0x60));
    assert_eq!(sent[0][78..], [&[2, 1][..], &MAC].concat());
    verify(&sent[0]);
    assert!(
        host.stack
            .neighbours()
            .any(|n| n.mac == [2, 0, 0, 0, 0, 0x99])
    );
    host.receive([solicitation(254)]);
    assert_eq!(host.stack.drop_count(DropReason::Ipv6NdiscHopLimit), 1);
    assert!(host.sent().is_empty());
}

#[test]
fn long_datagrams_are_cut_and_put_together() {
    for v6 in [false, true] {
        let (mut a, mut b) = (
            Host::new(StackConfig::default()),
            Host::new(StackConfig::default()),
        );
        let any = if v6 { "::" } else { "0.0.0.0" }.parse().unwrap();
        let (from, to) = (
            a.stack.udp_bind(any, 9).unwrap(),
            b.stack.udp_bind(any, 9).unwrap(),
        );
        let payload: Vec<u8> = (0..9000u32).map(|i| (i * 7) as u8).collect();
        let dst = if v6 { "[fd00:9::1]:9" } else { "192.0.2.10:9" }
            .parse()
            .unwrap();
        a.stack.udp_send_to(from, dst, &payload, 0).unwrap();
        let mut frames = a.sent();
        assert_eq!(frames.len(), 7);
        for f in &mut frames {
            // As if the neighbour had sent them: addresses swapped, which keeps every sum.
            f[..12].copy_from_slice(&[MAC, PEER].concat());
            let (src, len) = if v6 { (22, 16) } else { (26, 4) };
            for i in 0..len {
                f.swap(src + i, src + len + i);
            }
        }
        frames.reverse();
        b.receive(frames);
        assert_eq!(
            b.stack.udp_recv_from(to).unwrap().payload(),
            payload,
            "v6: {v6}"
        );
        assert_eq!(b.stack.stats().reassembled, 1);
        assert_eq!(b.stack.next_timer(), None);
        a.assert_balanced();
        b.assert_balanced();
        a.stack.udp_set_dont_fragment(from, true).unwrap();
        let refused = a.stack.udp_send_to(from, dst, &payload, 0);
        assert!(
            matches!(refused, Err(StackError::MessageSize { len: 9000, .. })),
            "{refused:?}"
        );
    }
}

/// An IPv6 packet to the host with `next_header` and `payload` behind the fixed header.
fn ip6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([next_header, 64]);
    bytes.extend([v6("fd00:9::1"), v6("fd00:9::2")].concat());
    bytes.extend(payload);
    frame(0x86dd, &bytes)
}

#[test]
fn extension_headers() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.udp_bind("::".parse().unwrap(), 9).unwrap();
    let udp = udp6(9, b"deep")[54..].to_vec();
    // Hop-by-hop (router alert), destination options (padding), routing with no segments left, an atomic fragment.
    let hop = [60, 0, 5, 2, 0, 0, 1, 0];
    let dest = [43, 0, 1, 4, 0, 0, 0, 0];
    let routing = [44, 0, 0, 0, 0, 0, 0, 0];
    let atomic = [17, 0, 0, 0, 0, 0, 0, 9];
    let chain = [&hop[..], &dest, &routing, &atomic, &udp].concat();
    host.receive([ip6(0, &chain)]);
    assert_eq!(host.stack.udp_recv_from(socket).unwrap().payload(), b"deep");
    // (first header, its bytes) -> (code, pointer) of the parameter problem, drop reason.
    let cases: [(u8, [u8; 8], u8, u32, DropReason); 4] = [
        (200, [0; 8], 1, 6, DropReason::IpNoProto),
        (60, [200, 0, 1, 4, 0, 0, 0, 0], 1, 40, DropReason::IpNoProto),
        (43, [17, 0, 0, 1, 0, 0, 0, 0], 0, 42, DropReason::IpInHdr),
        (
            60,
            [17, 0, 0x80, 4, 0, 0, 0, 0],
            2,
            42,
            DropReason::UnhandledProto,
        ),
    ];
    for (first, header, code, pointer, reason) in cases {
        let before = host.stack.drop_count(reason);
        host.receive([ip6(first, &[&header[..], &udp].concat())]);
        let sent = host.sent();
        assert_eq!(sent[0][54..56], [4, code], "{reason}");
        assert_eq!(sent[0][58..62], pointer.to_be_bytes(), "{reason}");
        verify(&sent[0]);
        assert_eq!(host.stack.drop_count(reason), before + 1);
    }
    host.assert_balanced();
}

#[test]
fn overlapping_fragments_spoil_the_datagram() {
    let fragment = |offset: u16, more: u16, len: usize| {
        let field = (offset | more).to_be_bytes();
        ip6(
            44,
            &[&[17, 0, field[0], field[1], 0, 0, 0, 5][..], &vec![0; len]].concat(),
        )
    };
    let mut host = Host::new(StackConfig::default());
    host.receive([fragment(0, 1, 16), fragment(32, 1, 16)]);
    assert_eq!(host.stack.stats().held, 2);
    host.receive([fragment(0, 1, 8)]);
    assert_eq!(host.stack.drop_count(DropReason::DupFrag), 1);
    host.receive([fragment(8, 1, 16)]);
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 3);
    assert_eq!(host.stack.stats().held, 0);
    assert_eq!(host.stack.next_timer(), None);
    // Lengths that are no multiple of 8, and ends beyond the longest datagram.
    host.receive([fragment(0, 1, 12), fragment(65528, 0, 16)]);
    let sent = host.sent();
    assert_eq!(
        sent.iter().map(|f| (f[55], f[61])).collect::<Vec<_>>(),
        [(0, 4), (0, 42)]
    );
    host.assert_balanced();
}

#[test]
fn link_statistics_count_frames_and_bytes() {
    let mut host = Host::new(StackConfig::default());
    let mut foreign = ping4(b"x");
    foreign[5] ^= 1;
    host.receive([ping4(b"abc"), frame(0x1234, &[0; 46]), foreign]);
    let stats = host.stack.link_stats(host.dev).unwrap();
    assert_eq!((stats.rx_packets, stats.rx_bytes), (3, 45 + 60 + 43));
    assert_eq!((stats.tx_packets, stats.tx_bytes), (1, 45));
    assert_eq!((stats.rx_dropped, stats.rx_otherhost_dropped), (1, 1));
}

#[test]
fn path_mtu_is_learned() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let dst = "192.0.2.10:9".parse().unwrap();
    host.stack.udp_send_to(socket, dst, &[0; 1400], 0).unwrap();
    let sent = host.sent();
    assert_eq!(sent.len(), 1);
    let mut complaint = Vec::new();
    let kind = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1000 },
    );
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 1], V4.1, 64)
        .icmpv4(kind);
    builder
        .write(&mut complaint, &sent[0][14..14 + 28])
        .unwrap();
    host.receive([complaint]);
    host.stack.udp_send_to(socket, dst, &[0; 1400], 0).unwrap();
    let sent = host.sent();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|f| f.len() <= 1014));
    host.assert_balanced();
}

#[test]
fn a_lone_fragment_times_out_and_its_sender_is_told() {
    let mut host = Host::new(StackConfig::default());
    let mut first = udp4(9, &[1; 32]);
    first[20] = 0x20;
    fix4(&mut first);
    host.receive([first]);
    assert_eq!(host.stack.next_timer(), Some(30 * SEC));
    host.run_until(30 * SEC);
    let sent = host.sent();
    assert_eq!((sent[0][34], sent[0][35]), (11, 1));
    assert_eq!(host.stack.drop_count(DropReason::FragReasmTimeout), 1);
    host.assert_balanced();
}

#[test]
fn a_busy_driver_keeps_the_order() {
    let mut host = Host::new(StackConfig::default());
    host.wire.borrow_mut().tx_room = 2;
    host.receive((0..10).map(|i| ping4(&[i; 8])));
    assert_eq!(host.sent().len(), 2);
    assert_eq!(host.stack.stats().held, 8);
    host.wire.borrow_mut().tx_room = usize::MAX;
    host.receive([]);
    let rest: Vec<u8> = host.sent().iter().map(|f| verify(f)[0]).collect();
    assert_eq!(rest, [2, 3, 4, 5, 6, 7, 8, 9]);
    host.wire.borrow_mut().link = false;
    host.receive([ping4(b"x")]);
    assert_eq!(host.stack.drop_count(DropReason::QdiscDrop), 1);
    host.assert_balanced();
}

#[test]
fn without_a_free_page_frames_wait_for_one() {
    let mut host = Host::new(StackConfig::default());
    let pool = host.wire.borrow().pool.clone();
    let held: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    host.receive([ping4(b"abc")]);
    assert!(host.sent().is_empty());
    assert_eq!(host.stack.stats().held, 1);
    drop(held);
    host.receive([]);
    assert_eq!(verify(&host.sent()[0]), b"abc");
    host.assert_balanced();
}

/// A router between 192.0.2.0/24 and 198.51.100.0/24.
fn router(mtu: u16) -> (Host, Rc<std::cell::RefCell<Wire>>) {
    let mut host = Host::new(StackConfig {
        ip_forward: true,
        ipv6_forward: true,
        ..StackConfig::default()
    });
    let far = Wire::new([2, 0, 0, 0, 1, 0x0b]);
    far.borrow_mut().mtu = mtu;
    let dev = host.stack.add_device("eth1", Box::new(Rc::clone(&far)));
    host.stack
        .add_addr(dev, "198.51.100.1/24".parse().unwrap())
        .unwrap();
    host.stack
        .add_neighbour(dev, "198.51.100.2".parse().unwrap(), [2, 0, 0, 0, 1, 2]);
    let route = RouteSpec::via(
        "203.0.113.0/24".parse().unwrap(),
        "198.51.100.2".parse().unwrap(),
    );
    host.stack.add_route(route).unwrap();
    (host, far)
}

fn to_far(ttl: u8, df: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv4(V4.0, [203, 0, 113, 7], ttl)
        .udp(4000, 9)
        .write(&mut bytes, payload)
        .unwrap();
    bytes[20] = if df { 0x40 } else { 0 };
    fix4(&mut bytes);
    bytes
}

#[test]
fn a_router_forwards_fragments_and_complains() {
    let (mut host, far) = router(1000);
    host.receive([to_far(64, true, b"abc")]);
    let sent = std::mem::take(&mut far.borrow_mut().tx);
    assert_eq!(
        (sent[0][..6].to_vec(), sent[0][22]),
        (vec![2, 0, 0, 0, 1, 2], 63)
    );
    assert_eq!(verify(&sent[0]), b"abc");
    host.receive([to_far(1, true, b"abc")]);
    assert_eq!(host.sent()[0][34..36], [11, 0]);
    assert_eq!(host.stack.drop_count(DropReason::IpInHdr), 1);
    host.receive([to_far(64, true, &[0; 1400])]);
    let sent = host.sent();
    assert_eq!(
        (&sent[0][34..36], &sent[0][40..42]),
        (&[3, 4][..], &1000u16.to_be_bytes()[..])
    );
    assert_eq!(host.stack.drop_count(DropReason::PktTooBig), 1);
    host.receive([to_far(64, false, &[0; 1400])]);
    assert_eq!(far.borrow().tx.len(), 2);
    assert!(far.borrow().tx.iter().all(|f| f.len() <= 1014));
    host.assert_balanced();
}

#[test]
fn a_hook_can_drop_and_steal() {
    let mut host = Host::new(StackConfig::default());
    let hook = |verdict| Box::new(move |_: &mut stack::SkBuff, _: &stack::HookState| verdict);
    let id = host
        .stack
        .nf_register_hook(stack::Hook::LocalIn, 0, "drop", hook(Verdict::Drop));
    host.receive([ping4(b"")]);
    assert_eq!(host.stack.drop_count(DropReason::NetfilterDrop), 1);
    assert!(host.stack.nf_unregister_hook(id));
    host.stack
        .nf_register_hook(stack::Hook::TcIngress, 0, "steal", hook(Verdict::Stolen));
    host.receive([ping4(b"")]);
    assert_eq!(host.stack.stats().stolen, 1);
    assert!(host.sent().is_empty());
    host.assert_balanced();
}

#[test]
fn output_is_routed_again_when_a_hook_changes_the_destination() {
    let (mut host, far) = router(1500);
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let redirect = |skb: &mut stack::SkBuff, _: &stack::HookState| {
        skb.data_mut()[16..20].copy_from_slice(&[198, 51, 100, 2]);
        Verdict::Accept
    };
    host.stack
        .nf_register_hook(stack::Hook::LocalOut, -100, "dnat", Box::new(redirect));
    host.stack
        .udp_send_to(socket, "192.0.2.10:9".parse().unwrap(), b"x", 0)
        .unwrap();
    assert!(host.sent().is_empty());
    assert_eq!(far.borrow().tx[0][..6], [2, 0, 0, 0, 1, 2]);
}

#[test]
fn loopback() {
    let mut host = Host::new(StackConfig::default());
    for (any, dst) in [
        ("0.0.0.0", "127.0.0.1:9"),
        ("0.0.0.0", "192.0.2.20:9"),
        ("::", "[::1]:9"),
        ("::", "[fd00:9::2]:9"),
    ] {
        let socket = host.stack.udp_bind(any.parse().unwrap(), 9).unwrap();
        for size in [0, 3, 60_000] {
            host.stack
                .udp_send_to(socket, dst.parse().unwrap(), &vec![7; size], 0)
                .unwrap();
            assert!(!host.stack.udp_readable(socket));
            while host.stack.net_rx_action(0) {}
            let datagram = host.stack.udp_recv_from(socket).unwrap();
            assert_eq!(datagram.payload(), vec![7; size], "{dst}");
            assert_eq!(datagram.src, dst.parse().unwrap());
        }
        host.stack.udp_close(socket).unwrap();
    }
    host.assert_balanced();
}

#[test]
fn sockets_and_addresses_are_checked() {
    let mut host = Host::new(StackConfig::default());
    let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    let socket = host.stack.udp_bind(ip("192.0.2.20"), 9).unwrap();
    assert!(matches!(
        host.stack.udp_bind(ip("0.0.0.0"), 9),
        Err(StackError::AddressInUse(_))
    ));
    assert!(matches!(
        host.stack.udp_bind(ip("10.0.0.1"), 9),
        Err(StackError::AddressNotAvailable(_))
    ));
    assert!(host.stack.udp_bind(ip("::"), 9).is_ok());
    let mut send = |dst: &str| host.stack.udp_send_to(socket, dst.parse().unwrap(), b"", 0);
    assert!(matches!(
        send("203.0.113.1:9"),
        Err(StackError::NetUnreachable(_))
    ));
    assert!(matches!(
        send("192.0.2.255:9"),
        Err(StackError::Permission(_))
    ));
    assert!(matches!(
        send("192.0.2.10:0"),
        Err(StackError::InvalidDestination(_))
    ));
    assert!(matches!(
        send("[fd00:9::1]:9"),
        Err(StackError::InvalidDestination(_))
    ));
    host.stack.udp_set_broadcast(socket, true).unwrap();
    host.stack
        .udp_send_to(socket, "192.0.2.255:9".parse().unwrap(), b"", 0)
        .unwrap();
    assert_eq!(host.sent()[0][..6], [0xff; 6]);
}

#[test]
fn a_journey_in_stages() {
    let mut host = Host::new(StackConfig::default());
    host.receive([ping4(b"abc")]);
    insta::assert_snapshot!("echo", host.journeys());
}
