//! What a host answers, drops and remembers. Packets are built, and answers parsed, by `etherparse`, which shares no code with the stack.

#[path = "../common/mod.rs"]
mod common;
mod dad;
mod datagrams;
mod devices;
mod errors;
mod forwarding;
mod fragments;
mod link;
mod neighbours;
mod nexthops;
mod raw_errors;
mod redirects;
mod routing;
mod syn_options;
mod veth;

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
        ..NetFeatures::default()
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
