//! Fragments, extension headers, path MTU.

use super::*;

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
        (
            43,
            [17, 0, 0, 1, 0, 0, 0, 0],
            0,
            42,
            DropReason::NotSpecified,
        ),
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
    // What waited was taken in and is no loss, as a kernel counts.
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 1);
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
fn a_driver_with_room_again_is_polled_without_an_interrupt() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let dst = "192.0.2.10:7".parse().unwrap();
    host.wire.borrow_mut().tx_room = 0;
    host.stack.udp_send_to(socket, dst, b"1", 0).unwrap();
    assert!(!host.stack.softirq_pending());
    host.wire.borrow_mut().tx_room = 9;
    host.stack.udp_send_to(socket, dst, b"2", 0).unwrap();
    assert!(host.stack.softirq_pending());
    while host.stack.net_rx_action(0) {}
    let sent = host.sent();
    assert_eq!(
        sent.iter().map(|f| verify(f)).collect::<Vec<_>>(),
        [b"1", b"2"]
    );
    host.assert_balanced();
}

/// Only whom it asked, at the address that it asked from; everybody else is told that nobody is there.
#[test]
fn a_connected_socket_hears_only_its_peer() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let peer = "192.0.2.10:4000".parse().unwrap();
    host.stack.udp_connect(socket, peer).unwrap();
    assert_eq!(
        host.stack.udp_local_addr(socket),
        Some("192.0.2.20:9".parse().unwrap())
    );
    host.receive([udp4(9, b"from the peer")]);
    let datagram = host.stack.udp_recv_from(socket).expect("delivered");
    assert_eq!(datagram.payload(), b"from the peer");
    let mut other = udp4(9, b"from another port");
    other[35] ^= 1;
    other[40..42].fill(0);
    host.receive([other]);
    assert!(host.stack.udp_recv_from(socket).is_none());
    assert_eq!(host.stack.drop_count(DropReason::NoSocket), 1);
    assert_eq!(host.sent().len(), 1, "port unreachable");
    let refused = host
        .stack
        .udp_connect(socket, "192.0.2.10:0".parse().unwrap());
    assert!(matches!(refused, Err(StackError::InvalidDestination(_))));
}
