//! Entries and events, compared with lines that a Linux 6.18 kernel printed for the same packets (addresses and ports included).

use crate::router::{CLIENT, Router, SERVER, echo, tcp, udp};

const C: ([u8; 4], u16) = (CLIENT, 40001);
const S: ([u8; 4], u16) = (SERVER, 80);

#[test]
fn udp_is_new_then_answered_then_a_stream_then_gone() {
    let mut r = Router::new();
    let (c, s) = ((CLIENT, 40000), (SERVER, 9));
    assert_eq!(r.client_sends(udp(c, s, b"hi")).len(), 1);
    assert_eq!(
        r.events(),
        [
            "    [NEW] udp      17 30 src=10.0.1.2 dst=10.0.2.2 sport=40000 dport=9 [UNREPLIED] src=10.0.2.2 dst=10.0.1.2 sport=9 dport=40000"
        ]
    );
    assert_eq!(r.server_sends(udp(s, c, b"Rhi")).len(), 1);
    assert_eq!(
        r.events(),
        [
            " [UPDATE] udp      17 30 src=10.0.1.2 dst=10.0.2.2 sport=40000 dport=9 src=10.0.2.2 dst=10.0.1.2 sport=9 dport=40000"
        ]
    );
    r.wait(1);
    assert_eq!(
        r.list(),
        "udp      17 29 src=10.0.1.2 dst=10.0.2.2 sport=40000 dport=9 src=10.0.2.2 dst=10.0.1.2 sport=9 dport=40000 mark=0 use=1\n"
    );
    r.wait(2);
    r.client_sends(udp(c, s, b"again"));
    assert_eq!(
        r.events(),
        [
            " [UPDATE] udp      17 120 src=10.0.1.2 dst=10.0.2.2 sport=40000 dport=9 src=10.0.2.2 dst=10.0.1.2 sport=9 dport=40000 [ASSURED]"
        ]
    );
    r.wait(121);
    assert_eq!(
        r.events(),
        [
            "[DESTROY] udp      17 src=10.0.1.2 dst=10.0.2.2 sport=40000 dport=9 src=10.0.2.2 dst=10.0.1.2 sport=9 dport=40000 [ASSURED]"
        ]
    );
    assert_eq!((r.list().as_str(), r.stack.conntrack().count()), ("", 0));
}

/// The recorded life of a connection (scenario 05).
#[test]
fn tcp_from_syn_to_time_wait() {
    let mut r = Router::new();
    r.client_sends(tcp(C, S, "S", (1000, 0), b""));
    r.server_sends(tcp(S, C, "S.", (5000, 1001), b""));
    r.client_sends(tcp(C, S, ".", (1001, 5001), b""));
    r.client_sends(tcp(C, S, "P.", (1001, 5001), b"hello"));
    r.server_sends(tcp(S, C, ".", (5001, 1006), b""));
    r.server_sends(tcp(S, C, "P.", (5001, 1006), b"hello"));
    r.client_sends(tcp(C, S, ".", (1006, 5006), b""));
    r.client_sends(tcp(C, S, "F.", (1006, 5006), b""));
    r.server_sends(tcp(S, C, "F.", (5006, 1007), b""));
    r.client_sends(tcp(C, S, ".", (1007, 5007), b""));
    let flow = "src=10.0.1.2 dst=10.0.2.2 sport=40001 dport=80";
    let back = "src=10.0.2.2 dst=10.0.1.2 sport=80 dport=40001";
    assert_eq!(
        r.events(),
        [
            format!("    [NEW] tcp      6 120 SYN_SENT {flow} [UNREPLIED] {back}"),
            format!(" [UPDATE] tcp      6 60 SYN_RECV {flow} {back}"),
            format!(" [UPDATE] tcp      6 432000 ESTABLISHED {flow} {back} [ASSURED]"),
            format!(" [UPDATE] tcp      6 120 FIN_WAIT {flow} {back} [ASSURED]"),
            format!(" [UPDATE] tcp      6 30 LAST_ACK {flow} {back} [ASSURED]"),
            format!(" [UPDATE] tcp      6 120 TIME_WAIT {flow} {back} [ASSURED]"),
        ]
    );
    r.wait(1);
    assert_eq!(
        r.list(),
        format!("tcp      6 119 TIME_WAIT {flow} {back} [ASSURED] mark=0 use=1\n")
    );
}

/// Scenarios 17 and 18: an ACK in the middle.
#[test]
fn the_middle_of_a_connection_is_picked_up_or_invalid() {
    let mut r = Router::new();
    r.client_sends(tcp(C, S, ".", (1000, 2000), b""));
    assert_eq!(
        r.events(),
        [
            "    [NEW] tcp      6 300 ESTABLISHED src=10.0.1.2 dst=10.0.2.2 sport=40001 dport=80 [UNREPLIED] src=10.0.2.2 dst=10.0.1.2 sport=80 dport=40001"
        ]
    );
    let mut r = Router::new();
    r.stack.conntrack_mut().config.tcp_loose = false;
    assert_eq!(r.client_sends(tcp(C, S, ".", (1000, 2000), b"")).len(), 1);
    assert_eq!((r.events().len(), r.stack.conntrack().count()), (0, 0));
    assert_eq!(r.stack.conntrack().stats().invalid, 1);
}

/// Scenario 33: a refused connection leaves nothing.
#[test]
fn a_reset_instead_of_an_answer_ends_the_connection() {
    let mut r = Router::new();
    r.client_sends(tcp(C, S, "S", (1000, 0), b""));
    r.now += 1_000_000_000;
    assert_eq!(r.server_sends(tcp(S, C, "R.", (0, 1001), b"")).len(), 1);
    assert_eq!(
        r.events()[1],
        "[DESTROY] tcp      6 120 CLOSE src=10.0.1.2 dst=10.0.2.2 sport=40001 dport=80 [UNREPLIED] src=10.0.2.2 dst=10.0.1.2 sport=80 dport=40001"
    );
    assert_eq!(r.stack.conntrack().count(), 0);
}

/// Scenario 19: a bad checksum or nonsense flags are INVALID, and still forwarded.
#[test]
fn broken_segments_make_no_entry() {
    let mut r = Router::new();
    let mut bad = tcp(C, S, "S", (1000, 0), b"");
    bad[14 + 20 + 16] ^= 1;
    assert_eq!(r.client_sends(bad).len(), 1);
    assert_eq!(r.client_sends(tcp(C, S, "SF", (1000, 0), b"")).len(), 1);
    let mut bad = udp((CLIENT, 1), (SERVER, 2), b"x");
    bad[14 + 20 + 6] ^= 1;
    assert_eq!(r.client_sends(bad.clone()).len(), 1);
    assert_eq!(
        (
            r.stack.conntrack().count(),
            r.stack.conntrack().stats().invalid
        ),
        (0, 3)
    );
    r.stack.conntrack_mut().config.checksum = false;
    r.client_sends(bad);
    assert_eq!(r.stack.conntrack().count(), 1);
}

#[test]
fn echo_replies_need_a_request() {
    let mut r = Router::new();
    r.server_sends(echo(SERVER, CLIENT, false, 7));
    assert_eq!(r.stack.conntrack().count(), 0);
    r.client_sends(echo(CLIENT, SERVER, true, 7));
    r.server_sends(echo(SERVER, CLIENT, false, 7));
    assert_eq!(
        r.list(),
        "icmp     1 30 src=10.0.1.2 dst=10.0.2.2 type=8 code=0 id=7 src=10.0.2.2 dst=10.0.1.2 type=0 code=0 id=7 mark=0 use=1\n"
    );
}

#[test]
fn a_full_table_evicts_who_is_not_assured_and_drops_otherwise() {
    let mut r = Router::new();
    r.stack.conntrack_mut().config.max = 2;
    for port in 1..=3 {
        assert_eq!(
            r.client_sends(udp((CLIENT, port), (SERVER, 9), b"x")).len(),
            1
        );
    }
    assert_eq!(
        (
            r.stack.conntrack().count(),
            r.stack.conntrack().stats().early_drop
        ),
        (2, 1)
    );
    // Once all are assured, nobody makes room.
    let mut r = Router::new();
    r.stack.conntrack_mut().config.max = 2;
    for _ in 0..2 {
        for port in 1..=2 {
            r.client_sends(udp((CLIENT, port), (SERVER, 9), b"x"));
            r.server_sends(udp((SERVER, 9), (CLIENT, port), b"x"));
        }
        r.wait(3);
    }
    assert_eq!(r.list().matches("ASSURED").count(), 2);
    assert!(
        r.client_sends(udp((CLIENT, 50), (SERVER, 9), b"x"))
            .is_empty()
    );
    assert_eq!(r.stack.conntrack().stats().drop, 1);
    assert_eq!(r.stack.drop_count(stack::DropReason::NetfilterDrop), 1);
}

/// A packet that is dropped after tracking leaves nothing behind (scenario 22).
#[test]
fn what_is_dropped_was_never_there() {
    use stack::{Hook, Verdict};
    let mut r = Router::new();
    let id = r.stack.nf_register_hook(
        Hook::Forward,
        0,
        "drop",
        Box::new(|skb, _| {
            assert!(skb.nfct.is_some());
            Verdict::Drop
        }),
    );
    assert!(
        r.client_sends(udp((CLIENT, 1), (SERVER, 2), b"x"))
            .is_empty()
    );
    assert_eq!(r.stack.conntrack().count(), 0);
    r.stack.nf_unregister_hook(id);
    r.client_sends(udp((CLIENT, 1), (SERVER, 2), b"x"));
    assert_eq!(r.events().len(), 1);
}

/// A connection whose sides offered each other 1000 bytes.
fn established() -> Router {
    let mut r = Router::new();
    r.client_sends(tcp(C, S, "S", (1000, 0), b""));
    r.server_sends(tcp(S, C, "S.", (5000, 1001), b""));
    r.client_sends(tcp(C, S, ".", (1001, 5001), b""));
    r.events();
    r
}

#[test]
fn what_no_window_allows_is_invalid() {
    let mut r = established();
    let invalid = |r: &Router| r.stack.conntrack().stats().invalid;
    // Beyond what the server offered; data that was never sent is acknowledged.
    assert_eq!(
        r.client_sends(tcp(C, S, ".", (80_000, 5001), b"x")).len(),
        1
    );
    assert_eq!(invalid(&r), 1);
    r.client_sends(tcp(C, S, ".", (1001, 9000), b""));
    assert_eq!(invalid(&r), 2);
    // Within it.
    r.client_sends(tcp(C, S, "P.", (1001, 5001), &[0; 1000]));
    assert_eq!(invalid(&r), 2);
    // Data that is not acknowledged is not waited for five days.
    assert!(
        r.list().starts_with("tcp      6 300 ESTABLISHED"),
        "{}",
        r.list()
    );
    r.server_sends(tcp(S, C, ".", (5001, 2001), b""));
    assert!(
        r.list().starts_with("tcp      6 432000 ESTABLISHED"),
        "{}",
        r.list()
    );
    let mut r = established();
    r.stack
        .sysctl("-qw net.netfilter.nf_conntrack_tcp_be_liberal=1")
        .unwrap();
    r.client_sends(tcp(C, S, ".", (80_000, 5001), b"x"));
    assert_eq!(invalid(&r), 0);
}

/// RFC 5961 3.2, as far as somebody in the middle can tell.
#[test]
fn only_an_exact_reset_ends_a_connection() {
    let mut r = established();
    r.server_sends(tcp(S, C, "R", (4000, 0), b""));
    assert_eq!(r.stack.conntrack().stats().invalid, 1);
    r.server_sends(tcp(S, C, "R", (5100, 0), b""));
    assert!(
        r.list().starts_with("tcp      6 10 ESTABLISHED"),
        "{}",
        r.list()
    );
    r.server_sends(tcp(S, C, "R", (5001, 0), b""));
    assert!(r.list().starts_with("tcp      6 10 CLOSE"), "{}", r.list());
}

#[test]
fn a_closed_connection_is_reopened_and_repeated_syns_do_not_live_on() {
    let mut r = established();
    r.client_sends(tcp(C, S, "F.", (1001, 5001), b""));
    r.server_sends(tcp(S, C, "F.", (5001, 1002), b""));
    r.client_sends(tcp(C, S, ".", (1002, 5002), b""));
    assert!(r.list().contains("TIME_WAIT"));
    r.events();
    r.client_sends(tcp(C, S, "S", (90_000, 0), b""));
    let events = r.events();
    assert!(
        events[0].starts_with("[DESTROY]") && events[1].contains("[NEW]"),
        "{events:?}"
    );
    r.wait(50);
    r.client_sends(tcp(C, S, "S", (90_000, 0), b""));
    assert!(
        r.list().starts_with("tcp      6 70 SYN_SENT"),
        "{}",
        r.list()
    );
}
