use super::*;
use crate::StackConfig;
use crate::drop_reason::DropReason;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn deliver(stack: &mut Stack) {
    while stack.net_rx_action(0) {}
    let s = stack.stats();
    let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
    assert_eq!(s.received + s.built, ended, "{s:?}");
}

/// Sends from a socket of its own over `lo`.
fn send(stack: &mut Stack, protocol: u8, to: &str, bytes: &[u8]) {
    let to = ip(to);
    let socket = stack.raw_socket(to.is_ipv6(), protocol).unwrap();
    stack
        .raw_send_to(socket, Some(to), IfIndex::NONE, bytes, 0)
        .unwrap();
    stack.raw_close(socket).unwrap();
    deliver(stack);
}

#[test]
fn ipv4_comes_with_its_header_and_ipv6_without() {
    let mut stack = Stack::new(StackConfig::default());
    let (four, six) = (
        stack.raw_socket(false, 200).unwrap(),
        stack.raw_socket(true, 200).unwrap(),
    );
    send(&mut stack, 200, "127.0.0.1", b"four");
    send(&mut stack, 200, "::1", b"six");
    let datagram = stack.raw_recv_from(four).unwrap();
    assert_eq!(datagram.payload().len(), 24);
    assert_eq!(
        (datagram.payload()[9], &datagram.payload()[20..]),
        (200, b"four".as_slice())
    );
    assert_eq!(datagram.src, "127.0.0.1:0".parse().unwrap());
    let datagram = stack.raw_recv_from(six).unwrap();
    assert_eq!(datagram.payload(), b"six");
    assert!(!stack.raw_readable(four) && stack.raw_recv_from(six).is_none());
    // Somebody took them: nobody was told that the protocol is not known.
    assert_eq!(stack.drop_count(DropReason::IpNoProto), 0);
    stack.raw_close(four).unwrap();
    send(&mut stack, 200, "127.0.0.1", b"four");
    assert_eq!(stack.drop_count(DropReason::IpNoProto), 1);
    assert_eq!(stack.raw_close(four), Err(StackError::NoSocket(four)));
}

#[test]
fn addresses_devices_and_peers_select() {
    let mut stack = Stack::new(StackConfig::default());
    let mut made = |local: &str, remote: &str, dev: u32| {
        let socket = stack.raw_socket(false, 200).unwrap();
        stack.raw_bind(socket, ip(local)).unwrap();
        stack.raw_bind_to_device(socket, IfIndex(dev)).unwrap();
        if !remote.is_empty() {
            stack.raw_connect(socket, ip(remote)).unwrap();
        }
        socket
    };
    let takes = [
        made("0.0.0.0", "", 0),
        made("127.0.0.1", "", 1),
        made("0.0.0.0", "127.0.0.1", 0),
    ];
    let others = [made("127.0.0.2", "", 0), made("0.0.0.0", "127.0.0.3", 0)];
    send(&mut stack, 200, "127.0.0.1", b"x");
    for socket in takes {
        assert!(stack.raw_readable(socket));
    }
    for socket in others {
        assert!(!stack.raw_readable(socket));
    }
    let odd = stack.raw_bind(takes[0], ip("192.0.2.1"));
    assert_eq!(odd, Err(StackError::AddressNotAvailable(ip("192.0.2.1"))));
    let odd = stack.raw_bind_to_device(takes[0], IfIndex(7));
    assert_eq!(odd, Err(StackError::NoDevice(IfIndex(7))));
}

#[test]
fn filters_of_both_icmps() {
    let mut stack = Stack::new(StackConfig::default());
    let (four, six) = (
        stack.raw_socket(false, IPPROTO_ICMP).unwrap(),
        stack.raw_socket(true, IPPROTO_ICMPV6).unwrap(),
    );
    // Replies only.
    let filter = IcmpFilter { data: !1 };
    stack.raw_set_icmp_filter(four, filter).unwrap();
    let filter = Icmp6Filter::BLOCK_ALL.pass(129);
    stack.raw_set_icmp6_filter(six, filter).unwrap();
    let refused = stack.raw_set_icmp_filter(six, IcmpFilter::default());
    assert_eq!(refused, Err(StackError::ProtocolNotSupported(58)));
    send(
        &mut stack,
        IPPROTO_ICMP,
        "127.0.0.1",
        &[8, 0, 0xf7, 0xff, 0, 0, 0, 0],
    );
    send(
        &mut stack,
        IPPROTO_ICMPV6,
        "::1",
        &[128, 0, 0xaa, 0xaa, 0, 0, 0, 0],
    );
    let kinds = |stack: &mut Stack, socket, at: usize| {
        let next = || stack.raw_recv_from(socket);
        std::iter::from_fn(next)
            .map(|d| d.payload()[at])
            .collect::<Vec<u8>>()
    };
    assert_eq!(kinds(&mut stack, four, 20), [0]);
    assert_eq!(kinds(&mut stack, six, 0), [129]);
    // As in 6.18: the reply is all zeros, its checksum too, which the kernel sends but does not take.
    assert_eq!(stack.drop_count(DropReason::IcmpCsum), 1);
}

#[test]
fn own_headers_are_completed() {
    let mut stack = Stack::new(StackConfig::default());
    let socket = stack.raw_socket(false, 200).unwrap();
    let sender = stack.raw_socket(false, IPPROTO_RAW).unwrap();
    let mut packet = vec![0x45, 0x10, 0xff, 0xff, 0, 0, 0, 0, 9, 200, 1, 2];
    packet.extend([0, 0, 0, 0, 127, 0, 0, 1, b'x']);
    let to = Some(ip("127.0.0.1"));
    let none = IfIndex::NONE;
    stack.raw_send_to(sender, to, none, &packet, 0).unwrap();
    deliver(&mut stack);
    let datagram = stack.raw_recv_from(socket).unwrap();
    let header = crate::ipv4::header::Ipv4Header::new(datagram.payload()).unwrap();
    assert!(header.checksum_ok());
    assert_eq!(
        (header.tot_len(), header.ttl(), header.tos()),
        (21, 9, 0x10)
    );
    assert_eq!(header.saddr(), Ipv4Addr::LOCALHOST);
    assert_ne!(header.id(), 0);
    let refused = stack.raw_send_to(sender, to, none, &packet[..19], 0);
    assert_eq!(refused, Err(StackError::InvalidHeader));
    let refused = stack.raw_send_to(sender, to, none, &vec![0x45; 65536], 0);
    assert!(matches!(refused, Err(StackError::MessageSize { .. })));
    let refused = stack.raw_send_to(sender, None, none, &packet, 0);
    assert_eq!(refused, Err(StackError::NotConnected));
}

#[test]
fn a_checksum_is_filled_in_and_verified() {
    let mut stack = Stack::new(StackConfig::default());
    let socket = stack.raw_socket(true, 200).unwrap();
    stack.raw_set_checksum(socket, Some(2)).unwrap();
    let odd = stack.raw_set_checksum(socket, Some(3));
    assert_eq!(odd, Err(StackError::InvalidChecksumOffset(3)));
    let (to, none) = (Some(ip("::1")), IfIndex::NONE);
    stack
        .raw_send_to(socket, to, none, b"ab\xff\xffcd", 0)
        .unwrap();
    deliver(&mut stack);
    let datagram = stack.raw_recv_from(socket).unwrap();
    assert_eq!(&datagram.payload()[..2], b"ab");
    let pseudo = crate::checksum::pseudo_header(ip("::1"), ip("::1"), 200, 6);
    let sum = crate::checksum::add(pseudo, crate::checksum::sum(datagram.payload()));
    assert_eq!(crate::checksum::fold(sum), 0xffff);
    send(&mut stack, 200, "::1", b"ab\xff\xffcd");
    assert!(!stack.raw_readable(socket));
    assert_eq!(stack.drop_count(DropReason::SkbCsum), 1);
    let refused = stack.raw_send_to(socket, to, none, b"abc", 0);
    assert_eq!(refused, Err(StackError::InvalidChecksumOffset(2)));
}

#[test]
fn a_full_socket_does_not_count_as_one() {
    let mut stack = Stack::new(StackConfig::default());
    let socket = stack.raw_socket(false, 200).unwrap();
    stack.raw_set_rcvbuf(socket, 1).unwrap();
    send(&mut stack, 200, "127.0.0.1", b"1");
    assert_eq!(stack.drop_count(DropReason::SocketRcvBuff), 0);
    send(&mut stack, 200, "127.0.0.1", b"2");
    assert_eq!(stack.drop_count(DropReason::SocketRcvBuff), 1);
    assert_eq!(stack.drop_count(DropReason::IpNoProto), 1);
    assert_eq!(stack.raw_recv_from(socket).unwrap().payload()[20..], *b"1");
    assert!(!stack.raw_readable(socket));
}
