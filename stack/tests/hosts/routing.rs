//! What settings per device, rules and routes do to packets.

use super::*;
use std::cell::RefCell;

type Shared = Rc<RefCell<Wire>>;

/// A router: eth0 192.0.2.20/24 to the tests' neighbour, eth1 198.51.100.1/24 and eth2 203.0.113.1/24 with one known neighbour (.2) each.
fn router() -> (Host, Shared, Shared) {
    let mut host = Host::new(StackConfig {
        ip_forward: true,
        ..StackConfig::default()
    });
    let mut add = |name: &str, number: u8| {
        let wire = Wire::new([2, 0, 0, 0, number, 1]);
        host.stack.add_device(name, Box::new(Rc::clone(&wire)));
        wire
    };
    let (one, two) = (add("eth1", 1), add("eth2", 2));
    for line in [
        "addr add 198.51.100.1/24 dev eth1",
        "addr add 203.0.113.1/24 dev eth2",
        "neigh add 198.51.100.2 lladdr 2:0:0:0:1:2 dev eth1",
        "neigh add 203.0.113.2 lladdr 2:0:0:0:2:2 dev eth2",
        "neigh add 192.0.2.1 lladdr 2:0:0:0:0:1 dev eth0",
    ] {
        host.stack.ip(line).unwrap();
    }
    (host, one, two)
}

fn udp(from: [u8; 4], to: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv4(from, to, 64)
        .udp(ports.0, ports.1)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

fn to(daddr: [u8; 4]) -> Vec<u8> {
    udp([192, 0, 2, 10], daddr, (4000, 9), b"abc")
}

fn sent(wire: &Shared) -> usize {
    std::mem::take(&mut wire.borrow_mut().tx).len()
}

/// Receives a frame after `lines` of `ip` and `sysctl`, and says why it was dropped.
fn dropped_after(lines: &[&str], frame: Vec<u8>) -> Option<DropReason> {
    let (mut host, ..) = router();
    for line in lines {
        match line.starts_with("net.") {
            true => host.stack.sysctl(line),
            false => host.stack.ip(line),
        }
        .unwrap();
    }
    let before = host.stack.stats();
    host.receive([frame]);
    host.assert_balanced();
    let after = host.stack.stats();
    let new = |&(reason, n): &(DropReason, u64)| n > before.drop_count(reason);
    after.drops().find(new).map(|(reason, _)| reason)
}

#[test]
fn a_mark_chooses_the_table() {
    let (mut host, one, two) = router();
    for line in [
        "route add 10.9.0.0/16 via 198.51.100.2",
        "route add 10.9.0.0/16 via 203.0.113.2 table 77",
        "rule add fwmark 7 lookup 77",
    ] {
        host.stack.ip(line).unwrap();
    }
    host.receive([to([10, 9, 1, 1])]);
    assert_eq!((sent(&one), sent(&two)), (1, 0));
    let mark = |skb: &mut stack::SkBuff, _: &stack::HookState| {
        skb.mark = 7;
        stack::Verdict::Accept
    };
    host.stack
        .nf_register_hook(stack::Hook::PreRouting, -150, "mark", Box::new(mark));
    host.receive([to([10, 9, 1, 1])]);
    assert_eq!((sent(&one), sent(&two)), (0, 1));
    // Ports choose too.
    host.stack
        .ip("rule add pref 1 ipproto udp dport 9 unreachable")
        .unwrap();
    host.receive([to([10, 9, 1, 1])]);
    assert_eq!((sent(&one), sent(&two)), (0, 0));
    assert_eq!(host.stack.drop_count(DropReason::IpInNoRoutes), 1);
    host.assert_balanced();
}

#[test]
fn reverse_path_filter_is_the_larger_of_all_and_the_device() {
    let spoofed = || udp([203, 0, 113, 9], [198, 51, 100, 2], (1, 9), b"");
    let unknown = || udp([10, 1, 1, 1], [198, 51, 100, 2], (1, 9), b"");
    let why = |line: &str, frame| dropped_after(&[line], frame);
    assert_eq!(why("net.ipv4.conf.eth1.rp_filter=1", spoofed()), None);
    let strict = "net.ipv4.conf.eth0.rp_filter=1";
    assert_eq!(why(strict, spoofed()), Some(DropReason::IpRpFilter));
    let loose = "net.ipv4.conf.all.rp_filter=2";
    assert_eq!(why(loose, spoofed()), None);
    assert_eq!(why(loose, unknown()), Some(DropReason::IpRpFilter));
    // 2 of the device is larger than 1 of all.
    let both = [
        "net.ipv4.conf.all.rp_filter=1",
        "net.ipv4.conf.eth0.rp_filter=2",
    ];
    assert_eq!(dropped_after(&both, spoofed()), None);
}

#[test]
fn martians_and_what_permits_them() {
    let own = || udp([198, 51, 100, 1], [203, 0, 113, 2], (1, 9), b"");
    assert_eq!(dropped_after(&[], own()), Some(DropReason::IpLocalSource));
    let accept = ["net.ipv4.conf.eth0.accept_local=1"];
    assert_eq!(dropped_after(&accept, own()), None);
    let local = || udp([192, 0, 2, 10], [127, 0, 0, 1], (1, 9), b"");
    assert_eq!(dropped_after(&[], local()), Some(DropReason::IpLocalNet));
    let localnet = ["net.ipv4.conf.all.route_localnet=1"];
    assert_eq!(
        dropped_after(&localnet, local()),
        Some(DropReason::NoSocket)
    );
    let off = ["net.ipv4.conf.eth0.forwarding=0"];
    let through = || to([198, 51, 100, 2]);
    assert_eq!(
        dropped_after(&off, through()),
        Some(DropReason::IpInAddrErrors)
    );
    assert_eq!(dropped_after(&[], through()), None);
    let prohibit = ["route add prohibit 10.9.0.0/16"];
    assert_eq!(
        dropped_after(&prohibit, to([10, 9, 1, 1])),
        Some(DropReason::NotSpecified)
    );
}

#[test]
fn flows_are_spread_over_the_ways_and_stay_on_theirs() {
    let (mut host, one, two) = router();
    host.stack
        .ip("route add 10.9.0.0/16 nexthop via 198.51.100.2 weight 3 nexthop via 203.0.113.2")
        .unwrap();
    let flows = || (0..200u8).map(|i| to([10, 9, 1, i]));
    host.receive(flows());
    let first = (sent(&one), sent(&two));
    assert_eq!(first.0 + first.1, 200);
    assert!(
        (120..180).contains(&first.0),
        "{first:?} for weights 3 and 1"
    );
    host.receive(flows());
    assert_eq!((sent(&one), sent(&two)), first);
    // By addresses alone, all ports are one flow; with the other policy they are not.
    let ports = || (0..200u16).map(|i| udp([192, 0, 2, 10], [10, 9, 1, 1], (1000 + i, 9), b""));
    host.receive(ports());
    let (a, b) = (sent(&one), sent(&two));
    assert!(a == 0 || b == 0);
    let policy = "-q net.ipv4.fib_multipath_hash_policy=1";
    host.stack.sysctl(policy).unwrap();
    host.receive(ports());
    let (a, b) = (sent(&one), sent(&two));
    assert!(a > 0 && b > 0 && a + b == 200);
}

#[test]
fn a_routes_mtu_and_a_paths() {
    let (mut host, one, _) = router();
    host.stack
        .ip("route add 10.9.0.0/16 via 198.51.100.2 mtu 1000")
        .unwrap();
    let mut big = udp([192, 0, 2, 10], [10, 9, 1, 1], (1, 9), &[0; 1200]);
    big[20] = 0x40;
    fix4(&mut big);
    host.receive([big]);
    let complaint = host.sent();
    assert_eq!(complaint[0][34..36], [3, 4]);
    assert_eq!(complaint[0][40..42], 1000u16.to_be_bytes());
    assert_eq!(sent(&one), 0);

    // A router claims a path narrower than is believed: 552 and no don't-fragment.
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let dst = "192.0.2.10:9".parse().unwrap();
    host.stack.udp_send_to(socket, dst, &[0; 400], 0).unwrap();
    let before = host.sent();
    assert_eq!(before[0][20] & 0x40, 0x40);
    let claim =
        etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 100 };
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 1], [192, 0, 2, 20], 64)
        .icmpv4(etherparse::Icmpv4Type::DestinationUnreachable(claim))
        .write(&mut frame, &before[0][14..14 + 28])
        .unwrap();
    host.receive([frame]);
    let get = host.stack.ip("route get 192.0.2.10").unwrap();
    assert!(get.contains("expires 600sec mtu lock 552 "), "{get}");
    host.stack.udp_send_to(socket, dst, &[0; 400], 0).unwrap();
    host.stack.udp_send_to(socket, dst, &[0; 600], 0).unwrap();
    let after = host.sent();
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|f| f[20] & 0x40 == 0 && f.len() <= 566));
    host.assert_balanced();
}

#[test]
fn a_detour_over_the_same_link_is_told() {
    let (mut host, ..) = router();
    host.stack
        .ip("route add 10.9.0.0/16 via 192.0.2.1")
        .unwrap();
    host.receive([to([10, 9, 1, 1])]);
    let frames = host.sent();
    assert_eq!(frames.len(), 2);
    // Redirect for the host, to the better gateway; the packet goes on all the same.
    assert_eq!(frames[0][34..36], [5, 1]);
    assert_eq!(frames[0][38..42], [192, 0, 2, 1]);
    assert_eq!((frames[1][5], frames[1][22]), (1, 63));
    host.receive([to([10, 9, 1, 1])]);
    assert_eq!(host.sent().len(), 1, "the next one is due 40 ms later");
    for line in [
        "-q net.ipv4.conf.eth0.send_redirects=0",
        "-q net.ipv4.conf.all.send_redirects=0",
    ] {
        host.stack.sysctl(line).unwrap();
    }
    host.run_until(SEC);
    host.receive([to([10, 9, 1, 1])]);
    assert_eq!(host.sent().len(), 1);
    host.assert_balanced();
}

#[test]
fn errors_about_missing_routes_cost_the_sender_twice() {
    let (mut host, ..) = router();
    host.receive((0..10).map(|_| to([10, 9, 1, 1])));
    assert_eq!(host.sent().len(), 2);
    assert_eq!(host.stack.drop_count(DropReason::IpInNoRoutes), 10);
    host.run_until(2 * SEC + 1);
    host.receive((0..10).map(|_| to([10, 9, 1, 1])));
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn fragments_that_are_too_far_from_each_other() {
    let mut host = Host::new(StackConfig::default());
    let piece = |id: u16, first: bool| {
        let mut frame = udp4(9, &[1; 32]);
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        (frame[20], frame[21]) = if first { (0x20, 0) } else { (0, 5) };
        fix4(&mut frame);
        frame
    };
    host.receive([piece(1, true)]);
    // 65 others in between: this cannot be the rest of the first one.
    host.receive((2..67).map(|id| piece(id, true)));
    host.receive([piece(1, false)]);
    assert_eq!(host.stack.drop_count(DropReason::FragTooFar), 1);
    assert_eq!(host.stack.stats().reassembled, 0);
    host.stack.sysctl("-q net.ipv4.ipfrag_max_dist=0").unwrap();
    host.receive([piece(2, false)]);
    assert_eq!(host.stack.stats().reassembled, 1);
    host.assert_balanced();
}
