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
