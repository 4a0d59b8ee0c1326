use super::*;
use crate::StackConfig;
use crate::drop_reason::DropReason;
use crate::napi::{ETH_P_8021Q, ETH_P_IP};

const NONE: IfIndex = IfIndex::NONE;

/// Works until nothing is left, and every packet has ended once.
fn deliver(stack: &mut Stack) {
    while stack.net_rx_action(0) {}
    let s = stack.stats();
    let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
    assert_eq!(s.received + s.built, ended, "{s:?}");
}

/// A frame for `lo`: no addresses, this EtherType.
fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[0; 12], ethertype.to_be_bytes().as_slice(), payload].concat()
}

fn seen(stack: &mut Stack, socket: SocketId) -> Vec<(PktType, u16, Vec<u8>)> {
    std::iter::from_fn(|| stack.packet_recv_from(socket))
        .map(|f| (f.addr.pkttype, f.addr.protocol, f.payload().to_vec()))
        .collect()
}

#[test]
fn a_socket_does_not_see_its_own_go_out() {
    let mut stack = Stack::new(StackConfig::default());
    let own = stack.packet_socket(PacketSocketType::Raw, ETH_P_ALL);
    let other = stack.packet_socket(PacketSocketType::Dgram, ETH_P_ALL);
    let incoming = stack.packet_socket(PacketSocketType::Raw, ETH_P_ALL);
    stack.packet_set_ignore_outgoing(incoming, true).unwrap();
    let typed = stack.packet_socket(PacketSocketType::Dgram, 0x88b5);
    let elsewhere = stack.packet_socket(PacketSocketType::Raw, ETH_P_IP);
    let bytes = frame(0x88b5, b"abc");
    stack.packet_bind(own, IfIndex::LO, 0).unwrap();
    stack.packet_send_to(own, None, &bytes, 0).unwrap();
    deliver(&mut stack);
    let came = (PktType::Host, 0x88b5, bytes.clone());
    assert_eq!(seen(&mut stack, own), std::slice::from_ref(&came));
    assert_eq!(seen(&mut stack, incoming), [came]);
    let inner = |kind| (kind, 0x88b5, b"abc".to_vec());
    let both = [inner(PktType::Outgoing), inner(PktType::Host)];
    assert_eq!(seen(&mut stack, other), both);
    assert_eq!(seen(&mut stack, typed), [inner(PktType::Host)]);
    assert!(!stack.packet_readable(elsewhere));
    // Somebody wanted it.
    assert_eq!(stack.drop_count(DropReason::UnhandledProto), 0);
    assert_eq!(stack.link_stats(IfIndex::LO).unwrap().rx_dropped, 0);
}

#[test]
fn a_hook_at_ingress_makes_a_frame_unwanted() {
    let mut stack = Stack::new(StackConfig::default());
    let all = stack.packet_socket(PacketSocketType::Raw, ETH_P_ALL);
    stack.add_dummy("d0").unwrap();
    let to = SockAddrLl::to(IfIndex::LO, 0, [0; 6]);
    // As the kernel counts: a rule at another device changes nothing.
    for (dev, unwanted) in [("d0", 0), ("lo", 1)] {
        let chain = format!(
            "table netdev {dev} {{ chain c {{ type filter hook ingress device {dev} priority 0; }} }}"
        );
        stack.nft(&chain).unwrap();
        stack
            .packet_send_to(all, Some(&to), &frame(0x88b5, b"x"), 0)
            .unwrap();
        deliver(&mut stack);
        assert_eq!(seen(&mut stack, all).len(), 1);
        let dropped = stack.drop_count(DropReason::UnhandledProto);
        assert_eq!(dropped, unwanted, "{dev}");
    }
}

#[test]
fn what_a_datagram_socket_sends_gets_a_header() {
    let mut stack = Stack::new(StackConfig::default());
    let dev = stack.add_dummy("d0").unwrap();
    let socket = stack.packet_socket(PacketSocketType::Dgram, 0);
    let raw = stack.packet_socket(PacketSocketType::Raw, ETH_P_ALL);
    let to = SockAddrLl::to(dev, 0x88b5, [2, 0, 0, 0, 0, 9]);
    let down = stack.packet_send_to(socket, Some(&to), b"x", 0);
    assert_eq!(down, Err(StackError::DeviceDown(dev)));
    stack.set_link(dev, true).unwrap();
    deliver(&mut stack);
    seen(&mut stack, raw);
    stack.packet_send_to(socket, Some(&to), b"x", 0).unwrap();
    let mac = stack.device(dev).unwrap().mac;
    let sent = [&[2, 0, 0, 0, 0, 9], mac.as_slice(), &[0x88, 0xb5, b'x']].concat();
    let got = stack.packet_recv_from(raw).unwrap();
    assert_eq!(got.payload(), sent);
    assert_eq!((got.addr.addr, got.addr.ifindex), (mac, dev));
    assert_eq!(got.addr.hatype, ARPHRD_ETHER);
    let long = |stack: &mut Stack, len| stack.packet_send_to(socket, Some(&to), &vec![0; len], 0);
    assert_eq!(long(&mut stack, 1500), Ok(1500));
    let refused = StackError::MessageSize {
        len: 1501,
        max: 1500,
    };
    assert_eq!(long(&mut stack, 1501), Err(refused));
    // A tag may come on top.
    let mut tagged = frame(ETH_P_8021Q, &[0; 1504]);
    assert_eq!(stack.packet_send_to(raw, Some(&to), &tagged, 0), Ok(1518));
    tagged[13] = 1;
    let refused = StackError::MessageSize {
        len: 1518,
        max: 1514,
    };
    assert_eq!(
        stack.packet_send_to(raw, Some(&to), &tagged, 0),
        Err(refused)
    );
    let refused = stack.packet_send_to(raw, Some(&to), &tagged[..13], 0);
    assert_eq!(refused, Err(StackError::InvalidHeader));
    let refused = stack.packet_send_to(socket, None, b"x", 0);
    assert_eq!(refused, Err(StackError::NoDevice(NONE)));
    let refused = stack.packet_bind(socket, IfIndex(9), 0);
    assert_eq!(refused, Err(StackError::NoDevice(IfIndex(9))));
}

#[test]
fn a_full_socket_counts_what_it_lost() {
    let mut stack = Stack::new(StackConfig::default());
    let socket = stack.packet_socket(PacketSocketType::Raw, 0x88b5);
    stack.packet_set_rcvbuf(socket, 1).unwrap();
    let to = SockAddrLl::to(IfIndex::LO, 0, [0; 6]);
    for _ in 0..3 {
        stack
            .packet_send_to(socket, Some(&to), &frame(0x88b5, b"x"), 0)
            .unwrap();
    }
    deliver(&mut stack);
    let expected = PacketStatistics {
        packets: 3,
        drops: 2,
    };
    assert_eq!(stack.packet_statistics(socket), Ok(expected));
    assert_eq!(
        stack.packet_statistics(socket),
        Ok(PacketStatistics::default())
    );
    assert_eq!(stack.drop_count(DropReason::PacketSockError), 2);
    stack.packet_close(socket).unwrap();
    assert_eq!(
        stack.packet_close(socket),
        Err(StackError::NoSocket(socket))
    );
    deliver(&mut stack);
}

#[test]
fn a_vlan_and_the_device_below_are_tapped_each() {
    let mut stack = Stack::new(StackConfig::default());
    let vlan = stack.add_vlan(IfIndex::LO, "v", ETH_P_8021Q, 5).unwrap();
    stack.set_link(vlan, true).unwrap();
    deliver(&mut stack);
    let sender = stack.packet_socket(PacketSocketType::Raw, ETH_P_ALL);
    let all = stack.packet_socket(PacketSocketType::Raw, ETH_P_ALL);
    // What comes in below is for a socket of the device below even when it goes on in the VLAN.
    let below = stack.packet_socket(PacketSocketType::Dgram, 0x88b5);
    stack.packet_bind(below, IfIndex::LO, 0).unwrap();
    let to = SockAddrLl::to(vlan, 0, [0; 6]);
    let plain = frame(0x88b5, b"x");
    stack.packet_send_to(sender, Some(&to), &plain, 0).unwrap();
    deliver(&mut stack);
    let tagged = frame(ETH_P_8021Q, &[0, 5, 0x88, 0xb5, b'x']);
    let tag = Vlan {
        proto: ETH_P_8021Q,
        tci: 5,
    };
    let mut frames = |socket| {
        std::iter::from_fn(|| stack.packet_recv_from(socket))
            .map(|f| (f.addr.ifindex, f.addr.pkttype, f.vlan, f.payload().to_vec()))
            .collect::<Vec<_>>()
    };
    let (out, host) = (PktType::Outgoing, PktType::Host);
    let came = [
        (IfIndex::LO, host, Some(tag), plain.clone()),
        (vlan, host, None, plain.clone()),
    ];
    let went = [(vlan, out, None, plain), (IfIndex::LO, out, None, tagged)];
    assert_eq!(frames(all), [went, came.clone()].concat());
    assert_eq!(frames(sender), came);
    assert_eq!(frames(below), [(vlan, host, None, b"x".to_vec())]);
}
