//! ARP, neighbour discovery, and packets that wait for them.

use super::*;

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
fn neighbours_that_never_answer_do_not_take_all_buffers() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    for n in 0..680 {
        let absent = format!("192.0.2.{}:7", 100 + n % 8).parse().unwrap();
        host.stack.udp_send_to(socket, absent, b"x", 0).unwrap();
    }
    assert_eq!(host.sent().len(), 8, "a solicitation for each");
    let pool = host.wire.borrow().pool.clone();
    assert!(pool.available() >= pool.count() / 8 - 1, "{pool:?}");
    host.run_until(SEC);
    assert_eq!(host.sent().len(), 8, "and a second one");
    let dst = "192.0.2.77:7".parse().unwrap();
    host.stack
        .udp_send_to(socket, dst, b"good", host.now)
        .unwrap();
    assert_eq!(host.sent().len(), 1);
    let who = [2, 0, 0, 0, 0, 0x77];
    host.receive([arp(2, who, [192, 0, 2, 77], MAC, [192, 0, 2, 20])]);
    let sent = host.sent();
    assert_eq!(
        sent.iter().map(|f| verify(f)).collect::<Vec<_>>(),
        [b"good"]
    );
    host.receive([ping4(b"still there?")]);
    assert_eq!(host.sent().len(), 1);
    host.run_until(10 * SEC);
    assert_eq!(host.stack.drop_count(DropReason::NeighFailed), 680);
    assert_eq!(pool.available(), pool.count());
    host.assert_balanced();
}

#[test]
fn a_queue_without_buffers_goes_on_when_there_is_one() {
    for (by_timer, in_poll) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut host = Host::new(StackConfig::default());
        let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
        let dst = "192.0.2.10:7".parse().unwrap();
        let pool = host.wire.borrow().pool.clone();
        let held: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
        if in_poll {
            host.receive([ping4(b"1")]);
        } else {
            host.stack.udp_send_to(socket, dst, b"1", 0).unwrap();
            assert!(host.stack.softirq_pending());
            while host.stack.net_rx_action(0) {}
        }
        host.run_until(SEC / 100);
        assert!(host.sent().is_empty());
        assert_eq!(host.stack.stats().held, 1);
        drop(held);
        if by_timer {
            host.run_until(SEC / 50);
        } else {
            host.stack.udp_send_to(socket, dst, b"2", host.now).unwrap();
            assert!(host.stack.softirq_pending());
            while host.stack.net_rx_action(host.now) {}
        }
        let sent = host.sent();
        assert_eq!(sent.len(), if by_timer { 1 } else { 2 });
        assert!(verify(&sent[0]).ends_with(b"1"), "in order");
        host.run_until(SEC);
        assert_eq!(host.stack.next_timer(), None);
        host.assert_balanced();
    }
}

#[test]
fn who_is_answered_and_who_is_believed() {
    let who = [2, 0, 0, 0, 0, 0x77];
    let request = |sip: [u8; 4], tip: [u8; 4]| arp(1, who, sip, [0; 6], tip);
    let mut host = Host::new(StackConfig::default());
    let far = Wire::new([2, 0, 0, 0, 1, 1]);
    host.stack.add_device("eth1", Box::new(far));
    for line in [
        "addr add 198.51.100.1/24 dev eth1",
        "addr add 192.0.2.21/24 dev eth0",
    ] {
        host.stack.ip(line).unwrap();
    }
    // Any own address is answered for on any device, unless arp_ignore says otherwise.
    let far_own = || request([192, 0, 2, 77], [198, 51, 100, 1]);
    host.receive([far_own()]);
    assert_eq!(host.sent().len(), 1);
    let set = |host: &mut Host, line: &str| host.stack.sysctl(&format!("-q {line}")).unwrap();
    set(&mut host, "net.ipv4.conf.eth0.arp_ignore=1");
    host.receive([far_own(), request([192, 0, 2, 77], [192, 0, 2, 21])]);
    assert_eq!(host.sent().len(), 1);
    set(&mut host, "net.ipv4.conf.eth0.arp_ignore=2");
    host.receive([
        request([192, 0, 2, 77], [192, 0, 2, 21]),
        request([10, 0, 0, 1], [192, 0, 2, 21]),
    ]);
    assert_eq!(host.sent().len(), 1);

    // An announcement makes nobody known, unless arp_accept says so.
    let announce = || arp(1, who, [192, 0, 2, 88], [0; 6], [192, 0, 2, 88]);
    let known = |host: &Host| {
        host.stack
            .neighbours()
            .any(|n| n.address.to_string() == "192.0.2.88")
    };
    host.receive([announce()]);
    assert!(!known(&host));
    set(&mut host, "net.ipv4.conf.all.arp_accept=1");
    host.receive([announce()]);
    assert!(known(&host));

    // A router with proxy_arp answers for what is behind its other devices.
    let behind = || request([192, 0, 2, 77], [198, 51, 100, 9]);
    set(&mut host, "net.ipv4.ip_forward=1");
    host.receive([behind()]);
    assert!(host.sent().is_empty());
    set(&mut host, "net.ipv4.conf.eth0.proxy_arp=1");
    host.receive([behind()]);
    assert_eq!(host.sent()[0][20..22], [0, 2]);

    // The packet's source is shown in requests, unless arp_announce says otherwise.
    let socket = host
        .stack
        .udp_bind("198.51.100.1".parse().unwrap(), 9)
        .unwrap();
    let ask = |host: &mut Host, dst: &str| {
        host.stack
            .udp_send_to(socket, dst.parse().unwrap(), b"x", 0)
            .unwrap();
        let sent = host.sent();
        assert_eq!(sent[0][12..14], [8, 6]);
        sent[0][28..32].to_vec()
    };
    assert_eq!(ask(&mut host, "192.0.2.101:7"), [198, 51, 100, 1]);
    set(&mut host, "net.ipv4.conf.eth0.arp_announce=1");
    assert_eq!(ask(&mut host, "192.0.2.102:7"), [192, 0, 2, 20]);
    host.assert_balanced();
}

#[test]
fn all_addresses_are_announced() {
    let mut host = Host::new(StackConfig::default());
    host.stack.notify_peers(host.dev);
    let (arp, na): (Vec<_>, Vec<_>) = host.sent().into_iter().partition(|f| f[12..14] == [8, 6]);
    // A gratuitous request, and advertisements for fd00:9::2 and the link-local address.
    assert_eq!((arp.len(), na.len()), (1, 2));
    assert_eq!(
        (&arp[0][..6], &arp[0][20..22]),
        (&[0xff; 6][..], &[0, 1][..])
    );
    assert_eq!(arp[0][28..32], arp[0][38..42]);
    assert!(na.iter().all(|f| f[..2] == [0x33, 0x33] && f[54] == 136));
    host.assert_balanced();
}

#[test]
fn solicitations_and_times_are_set_per_device() {
    let mut host = Host::new(StackConfig::default());
    for key in [
        "ucast_solicit=1",
        "mcast_solicit=2",
        "retrans_time_ms=100",
        "base_reachable_time_ms=2000",
        "delay_first_probe_time=1",
    ] {
        host.stack
            .sysctl(&format!("-q net.ipv4.neigh.eth0.{key}"))
            .unwrap();
    }
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let dst = "192.0.2.77:7".parse().unwrap();
    host.stack.udp_send_to(socket, dst, b"x", 0).unwrap();
    host.run_until(SEC);
    assert_eq!(host.sent().len(), 2);
    assert_eq!(host.stack.drop_count(DropReason::NeighFailed), 1);
    let who = [2, 0, 0, 0, 0, 0x77];
    let state = |host: &Host| {
        let found = host
            .stack
            .neighbours()
            .find(|n| n.address.to_string() == "192.0.2.77");
        found.unwrap().state
    };
    host.stack.udp_send_to(socket, dst, b"x", 0).unwrap();
    host.receive([arp(2, who, [192, 0, 2, 77], MAC, [192, 0, 2, 20])]);
    assert_eq!(state(&host), NudState::Reachable);
    // Used lately, so that it is asked again, by one unicast request.
    host.run_until(host.now + 3 * SEC / 2);
    host.stack.udp_send_to(socket, dst, b"x", host.now).unwrap();
    host.sent();
    host.run_until(host.now + 6 * SEC / 10);
    assert_eq!(state(&host), NudState::Delay);
    host.run_until(host.now + 95 * SEC / 100);
    assert_eq!(state(&host), NudState::Probe);
    let probes = host.sent();
    assert_eq!((probes.len(), &probes[0][..6]), (1, &who[..]));
    host.run_until(host.now + SEC);
    assert_eq!(state(&host), NudState::Failed);
    host.assert_balanced();
}

#[test]
fn old_neighbours_are_forgotten_when_there_are_many() {
    let mut host = Host::new(StackConfig::default());
    host.stack
        .sysctl("-q net.ipv4.neigh.default.gc_thresh1=4")
        .unwrap();
    for i in 1..=8 {
        let state = if i == 1 { "permanent" } else { "stale" };
        let line = format!(
            "neigh replace 192.0.2.{} lladdr 2:0:0:0:0:9 dev eth0 nud {state}",
            100 + i
        );
        host.stack.ip(&line).unwrap();
    }
    host.run_until(30 * SEC);
    assert_eq!(host.stack.neighbours().count(), 10);
    host.run_until(80 * SEC);
    assert_eq!(host.stack.ip("neigh show nud stale").unwrap(), "");
    assert_eq!(host.stack.neighbours().count(), 3);
}

/// As 6.18 does it: a queue for nothing still holds the packet that came last.
#[test]
fn the_newest_packet_waits_in_any_case() {
    for (limit, expected) in [("unres_qlen_bytes=0", vec![11]), ("unres_qlen=0", vec![11])] {
        let mut host = Host::new(StackConfig::default());
        host.stack
            .sysctl(&format!("-qw net.ipv4.neigh.eth0.{limit}"))
            .unwrap();
        let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 0).unwrap();
        for port in [9u16, 10, 11] {
            let to = (std::net::Ipv4Addr::new(192, 0, 2, 9), port).into();
            host.stack.udp_send_to(socket, to, b"x", 0).unwrap();
        }
        assert_eq!(host.stack.drop_count(DropReason::NeighQueueFull), 2);
        assert_eq!(host.sent().len(), 1, "one solicitation");
        host.receive([arp(2, PEER, [192, 0, 2, 9], MAC, [192, 0, 2, 20])]);
        let ports: Vec<u8> = host.sent().iter().map(|f| f[37]).collect();
        assert_eq!(ports, expected, "{limit}");
        host.assert_balanced();
    }
    // The same limit in frames: 2090 bytes each.
    let mut host = Host::new(StackConfig::default());
    let mut run = |line: &str| host.stack.sysctl(&format!("net.ipv4.neigh.eth0.{line}"));
    let value = |out: Result<String, _>| -> u32 {
        let out: String = out.unwrap_or_else(|e: stack::CommandError| panic!("{e}"));
        out.rsplit(' ').next().unwrap().trim().parse().unwrap()
    };
    assert_eq!(value(run("unres_qlen")), 101);
    run("unres_qlen=3").unwrap();
    assert_eq!(value(run("unres_qlen_bytes")), 6270);
    run("unres_qlen=1027504").unwrap();
    assert_eq!(value(run("unres_qlen_bytes")), 2_147_483_360);
    assert!(run("unres_qlen=1027505").is_err() && run("unres_qlen=-1").is_err());
    run("unres_qlen_bytes=5000").unwrap();
    assert_eq!(value(run("unres_qlen")), 2);
}
