//! Routers, and hooks that change what they do.

use super::*;

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
fn what_has_no_way_back_is_counted() {
    let mut host = Host::new(StackConfig::default());
    let far = ([203, 0, 113, 7], v6("2001:db8::7"));
    let v4 = || PacketBuilder::ethernet2(PEER, MAC).ipv4(far.0, V4.1, 64);
    let v6 = || PacketBuilder::ethernet2(PEER, MAC).ipv6(far.1, v6("fd00:9::2"), 64);
    let mut frames: [Vec<u8>; 4] = Default::default();
    let [ping4, udp4, ping6, udp6] = &mut frames;
    v4().icmpv4_echo_request(7, 1).write(ping4, b"x").unwrap();
    v4().udp(4000, 9).write(udp4, b"x").unwrap();
    v6().icmpv6_echo_request(7, 1).write(ping6, b"x").unwrap();
    v6().udp(4000, 9).write(udp6, b"x").unwrap();
    for (n, frame) in (1..).zip(frames) {
        host.receive([frame]);
        assert_eq!(host.stack.stats().out_no_routes, n);
    }
    for (n, (own, to)) in (5..).zip([("0.0.0.0", "203.0.113.7:9"), ("::", "[2001:db8::7]:9")]) {
        let socket = host.stack.udp_bind(own.parse().unwrap(), 0).unwrap();
        let to: std::net::SocketAddr = to.parse().unwrap();
        assert_eq!(
            host.stack.udp_send_to(socket, to, b"x", 0),
            Err(StackError::NetUnreachable(to.ip()))
        );
        assert_eq!(host.stack.stats().out_no_routes, n);
    }
    assert!(host.sent().is_empty());
    host.assert_balanced();
}

/// A mark that a rule sets leads to a device that takes less than the one that the socket believed in.
#[test]
fn a_socket_that_permits_it_has_its_packets_cut_in_spite_of_the_bit() {
    for mtu in [1000, 1280] {
        let (mut host, far) = router(mtu);
        host.wire.borrow_mut().tx.clear();
        for line in [
            "addr add 2001:db8:1::1/64 dev eth1 nodad",
            "neigh add 2001:db8:1::2 lladdr 2:0:0:0:1:2 dev eth1",
            "route add 10.9.0.0/24 via 192.0.2.10",
            "route add 10.9.0.0/24 via 198.51.100.2 table 77",
            "rule add fwmark 7 lookup 77",
            "-6 route add 2001:db8:9::/48 via fd00:9::1",
            "-6 route add 2001:db8:9::/48 via 2001:db8:1::2 table 77",
            "-6 rule add fwmark 7 lookup 77",
        ] {
            // With less than 1280 bytes there is no IPv6.
            if mtu >= 1280 || !(line.contains("-6") || line.contains("db8")) {
                host.stack.ip(line).unwrap();
            }
        }
        let rules = "add table inet m; add chain inet m o { type route hook output priority -150; }; \
                     add rule inet m o ip daddr 10.9.0.9 meta mark set 7; \
                     add rule inet m o ip6 daddr 2001:db8:9::9 meta mark set 7";
        host.stack.nft(rules).unwrap();
        let sent = || -> Vec<(usize, u16)> {
            let frames = std::mem::take(&mut far.borrow_mut().tx);
            let bits = |f: &Vec<u8>| u16::from_be_bytes([f[20], f[21]]) >> 13;
            frames.iter().map(|f| (f.len() - 14, bits(f))).collect()
        };
        // Total lengths, and the bits don't fragment (2) and more fragments (1), as 6.18 sends them.
        let pieces = |protocol_header: usize| {
            let first = (usize::from(mtu) - 20) & !7;
            [(20 + first, 1), (20 + protocol_header + 1300 - first, 0)]
        };
        let stack = &mut host.stack;
        let udp = stack.udp_bind("0.0.0.0".parse().unwrap(), 0).unwrap();
        let to = "10.9.0.9:9".parse().unwrap();
        stack.udp_send_to(udp, to, &[b'x'; 1300], 0).unwrap();
        assert_eq!(sent(), pieces(8));
        stack.ping_bind(7).unwrap();
        let far_host = "10.9.0.9".parse().unwrap();
        stack
            .ping_send_to(7, far_host, 1, &[b'x'; 1300], 0)
            .unwrap();
        assert_eq!(sent(), pieces(8));
        let raw = stack.raw_socket(false, 253).unwrap();
        let none = stack::IfIndex::NONE;
        stack
            .raw_send_to(raw, Some(far_host.into()), none, &[b'x'; 1300], 0)
            .unwrap();
        assert_eq!(sent(), pieces(0));
        // IP_PMTUDISC_DO.
        stack.udp_set_dont_fragment(udp, true).unwrap();
        let _ = stack.udp_send_to(udp, to, &[b'x'; 1300], 0);
        assert_eq!(sent(), []);
        assert_eq!(stack.drop_count(DropReason::NotSpecified), 1);
        if mtu < 1280 {
            continue;
        }
        let sizes = |frames: Vec<(usize, u16)>| frames.iter().map(|f| f.0).collect::<Vec<_>>();
        let udp = stack.udp_bind("::".parse().unwrap(), 0).unwrap();
        let to = "[2001:db8:9::9]:9".parse().unwrap();
        stack.udp_send_to(udp, to, &[b'x'; 1300], 0).unwrap();
        assert_eq!(sizes(sent()), [1280, 124]);
        let raw = stack.raw_socket(true, 253).unwrap();
        let far_host = "2001:db8:9::9".parse().unwrap();
        stack
            .raw_send_to(raw, Some(far_host), none, &[b'x'; 1300], 0)
            .unwrap();
        assert_eq!(sizes(sent()), [1280, 116]);
        stack.udp_set_dont_fragment(udp, true).unwrap();
        let _ = stack.udp_send_to(udp, to, &[b'x'; 1300], 0);
        assert_eq!(sent(), []);
        // Headers of the application's own say what may be done.
        let raw = stack.raw_socket(true, 253).unwrap();
        stack.raw_set_hdrincl(raw, true).unwrap();
        let header = [
            &[0x60, 0, 0, 0, 5, 20, 253, 64][..],
            &v6("fd00:9::2"),
            &v6("2001:db8:9::9"),
        ]
        .concat();
        let packet = [header, vec![b'x'; 1300]].concat();
        let _ = stack.raw_send_to(raw, Some(far_host), none, &packet, 0);
        assert_eq!(sent(), []);
        assert_eq!(stack.drop_count(DropReason::NotSpecified), 3);
    }
}
