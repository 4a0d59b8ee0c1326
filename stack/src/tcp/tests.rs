//! Connections of a host with itself, over `lo`.

use super::*;
use crate::hook::{Family, Hook, Verdict};
use crate::ipv4::header::Ipv4Header;
use crate::{MS, Ps, SEC, StackConfig, StackError};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

const PORT: u16 = 80;

struct Net {
    stack: Stack,
    now: Ps,
    /// Flags and payload length of every segment sent, in order.
    sent: Rc<RefCell<Vec<(u8, usize)>>>,
    /// Numbers of segments (from 0) that are lost.
    lost: Rc<RefCell<BTreeSet<usize>>>,
}

impl Net {
    fn new() -> Self {
        let mut stack = Stack::new(StackConfig::default());
        let sent = Rc::new(RefCell::new(Vec::new()));
        let lost = Rc::new(RefCell::new(BTreeSet::new()));
        let (log, drops) = (Rc::clone(&sent), Rc::clone(&lost));
        let watch = move |skb: &mut SkBuff, state: &crate::HookState| {
            let header_len = match state.family {
                Family::Ipv6 => 40,
                _ => Ipv4Header::new(skb.data()).map_or(0, |h| h.header_len()),
            };
            let Some(segment) = skb.data().get(header_len..).and_then(Segment::parse) else {
                return Verdict::Accept;
            };
            log.borrow_mut().push((segment.flags, segment.len));
            if drops.borrow().contains(&(log.borrow().len() - 1)) {
                return Verdict::Drop;
            }
            Verdict::Accept
        };
        stack.nf_register_hook(Hook::PostRouting, 0, "watch", Box::new(watch));
        Self {
            stack,
            now: 0,
            sent,
            lost,
        }
    }

    /// Lets `time` pass, everything that is due in it included.
    fn run(&mut self, time: Ps) {
        let until = self.now + time;
        loop {
            while self.stack.net_rx_action(self.now) {}
            match self.stack.next_timer().filter(|at| *at <= until) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.stack.run_timers(self.now);
                }
                None => break,
            }
        }
        self.now = until;
    }

    fn connect(&mut self, address: &str) -> (TcpSocketId, TcpSocketId, TcpSocketId) {
        let ip: IpAddr = address.parse().unwrap();
        let listener = self.stack.tcp_listen(ip, PORT, 1).unwrap();
        let client = self
            .stack
            .tcp_connect(0, SocketAddr::new(ip, PORT), self.now)
            .unwrap();
        self.run(MS);
        let server = self.stack.tcp_accept(listener).expect("a connection");
        assert_eq!(self.stack.tcp_state(client), Some(TcpState::Established));
        (listener, client, server)
    }

    fn flags(&self) -> Vec<u8> {
        self.sent.borrow().iter().map(|s| s.0).collect()
    }

    fn assert_balanced(&self) {
        let s = self.stack.stats();
        let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
        assert_eq!(s.received + s.built, ended, "{s:?}");
    }
}

/// One request, one answer, the client closes first: the segments that a kernel sent for the same, see `05_forward_tcp_lifecycle`.
#[test]
fn the_segments_of_a_recorded_conversation() {
    for address in ["127.0.0.1", "::1"] {
        let mut net = Net::new();
        let (_, client, server) = net.connect(address);
        net.run(2 * MS);
        assert_eq!(net.stack.tcp_send(client, b"hi", net.now), Ok(2));
        net.run(4 * MS);
        assert_eq!(
            net.stack.tcp_recv(server, 100, net.now),
            Ok(Some(b"hi".to_vec()))
        );
        net.stack.tcp_send(server, b"Rhi", net.now).unwrap();
        net.run(MS / 10);
        assert_eq!(
            net.stack.tcp_recv(client, 100, net.now),
            Ok(Some(b"Rhi".to_vec()))
        );
        net.stack.tcp_close(client, net.now).unwrap();
        net.run(MS / 10);
        assert_eq!(net.stack.tcp_recv(server, 10, net.now), Ok(Some(vec![])));
        net.stack.tcp_close(server, net.now).unwrap();
        net.run(MS);
        let expected = [
            0x02, 0x12, 0x10, // SYN, SYN-ACK, ACK
            0x18, 0x10, // "hi" and a quick ACK
            0x18, 0x10, // "Rhi" and a quick ACK
            0x11, 0x11, 0x10, // FIN, FIN that acknowledges it, ACK
        ];
        assert_eq!(net.flags(), expected, "{address}");
        assert_eq!(net.stack.tcp_state(client), Some(TcpState::TimeWait));
        assert_eq!(net.stack.tcp_state(server), None);
        net.run(61 * SEC);
        assert_eq!(net.stack.tcp_state(client), None);
        net.assert_balanced();
    }
}

#[test]
fn a_closed_port_answers_with_a_reset() {
    let mut net = Net::new();
    let to = "127.0.0.1:81".parse().unwrap();
    let client = net.stack.tcp_connect(1234, to, 0).unwrap();
    net.run(MS);
    assert_eq!(net.flags(), [0x02, 0x14]);
    assert_eq!(
        net.stack.tcp_take_error(client),
        Some(StackError::ConnectionRefused(to))
    );
    assert_eq!(net.stack.drop_count(DropReason::NoSocket), 1);
    net.run(10 * SEC);
    assert_eq!(net.flags().len(), 2, "nothing is repeated");
    net.assert_balanced();
}

#[test]
fn lost_segments_are_sent_again() {
    // SYN, SYN-ACK, ACK, data, FINs: whatever is lost, all bytes arrive once and in order.
    let text: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    for lost in [
        &[0][..],
        &[1],
        &[2],
        &[3],
        &[4],
        &[0, 1, 3, 5, 7],
        &[3, 4, 5, 6, 7, 8],
        &[10, 11],
    ] {
        let mut net = Net::new();
        net.lost.borrow_mut().extend(lost);
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let listener = net.stack.tcp_listen(ip, PORT, 0).unwrap();
        let client = net
            .stack
            .tcp_connect(0, SocketAddr::new(ip, PORT), 0)
            .unwrap();
        let sent = net.stack.tcp_send(client, &text, 0).unwrap();
        assert_eq!(sent, text.len());
        net.run(20 * SEC);
        let server = net.stack.tcp_accept(listener).expect("a connection");
        let mut received = Vec::new();
        for _ in 0..100 {
            while let Some(bytes) = net.stack.tcp_recv(server, 7000, net.now).unwrap() {
                received.extend(bytes);
            }
            net.run(SEC);
            if received.len() == text.len() {
                break;
            }
        }
        assert!(
            received == text,
            "{} of {} bytes with {lost:?} lost",
            received.len(),
            text.len()
        );
        net.stack.tcp_close(client, net.now).unwrap();
        net.run(5 * SEC);
        assert_eq!(net.stack.tcp_recv(server, 1, net.now), Ok(Some(vec![])));
        net.stack.tcp_close(server, net.now).unwrap();
        net.run(100 * SEC);
        assert_eq!(net.stack.tcp_state(client), None, "{lost:?}");
        assert_eq!(net.stack.tcp_state(server), None, "{lost:?}");
        net.assert_balanced();
    }
}

#[test]
fn a_full_backlog_leaves_syns_unanswered() {
    let mut net = Net::new();
    let to: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let listener = net.stack.tcp_listen(to.ip(), PORT, 0).unwrap();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let client = net.stack.tcp_connect(0, to, net.now).unwrap();
            net.run(10 * MS);
            client
        })
        .collect();
    assert_eq!(net.stack.tcp_state(clients[0]), Some(TcpState::Established));
    assert_eq!(net.stack.tcp_state(clients[1]), Some(TcpState::SynSent));
    let stats = net.stack.stats();
    assert_eq!((stats.listen_overflows, stats.listen_drops), (2, 2));
    assert_eq!(stats.dropped, 0, "a SYN that is not answered has no reason");
    assert!(net.stack.tcp_accept(listener).is_some());
    net.run(2 * SEC);
    // The repeated SYNs find room for one.
    assert_eq!(net.stack.tcp_state(clients[1]), Some(TcpState::Established));
    assert_eq!(net.stack.tcp_state(clients[2]), Some(TcpState::SynSent));
}

#[test]
fn closing_with_unread_bytes_resets() {
    let mut net = Net::new();
    let (_, client, server) = net.connect("127.0.0.1");
    net.stack.tcp_send(client, b"unread", net.now).unwrap();
    net.run(MS);
    net.stack.tcp_close(server, net.now).unwrap();
    net.run(MS);
    assert_eq!(net.flags().last(), Some(&0x14));
    let error = net.stack.tcp_recv(client, 1, net.now);
    assert!(matches!(error, Err(StackError::ConnectionReset(_))));
    assert_eq!(net.stack.drop_count(DropReason::TcpReset), 1);
}

#[test]
fn a_closed_window_opens_again() {
    let mut net = Net::new();
    let (_, client, server) = net.connect("127.0.0.1");
    let big = vec![7u8; 300_000];
    net.stack.tcp_send(client, &big, net.now).unwrap();
    net.run(SEC);
    let mut received = 0;
    for _ in 0..200 {
        if let Some(bytes) = net.stack.tcp_recv(server, 5000, net.now).unwrap() {
            received += bytes.len();
        }
        net.run(100 * MS);
    }
    assert_eq!(received, big.len());
}

#[test]
fn no_segment_panics() {
    let mut net = Net::new();
    let (_, client, server) = net.connect("127.0.0.1");
    let (local, remote) = net.stack.tcp_addrs(server).unwrap();
    let mut seed = 7u64;
    for _ in 0..20_000 {
        let mut bytes = [0u8; 64];
        for b in &mut bytes {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *b = (seed >> 56) as u8;
        }
        bytes[..2].copy_from_slice(&remote.port().to_be_bytes());
        bytes[2..4].copy_from_slice(&local.port().to_be_bytes());
        let len = 20 + usize::from(bytes[63] % 44);
        let mut skb = SkBuff::from_vec(bytes[..len].to_vec());
        skb.csum = crate::CsumState::Unnecessary;
        let flow = Flow {
            src: remote.ip(),
            dst: local.ip(),
            to_many: false,
        };
        net.stack.tcp_rcv(skb, flow);
        net.run(MS / 100);
    }
    assert!(net.stack.tcp_state(client).is_some());
}
