//! How long a connection lives that never enters the table: as long as a packet refers to it.

use crate::router::Router;
use stack::StackError;
use std::net::{IpAddr, SocketAddr};

/// A router rejects its own datagram to `to`: the state of the error that comes back through `lo`, as its rules saw it.
fn state_of_error(icmp: &str, to: &str) -> String {
    let mut r = Router::new();
    let rules = format!(
        "table inet t {{
            chain out {{ type filter hook output priority 0; udp dport 9 reject; }}
            chain in {{
                type filter hook input priority 0;
                {icmp} type destination-unreachable ct state related counter
                {icmp} type destination-unreachable ct state invalid counter
            }}
        }}"
    );
    r.stack.nft(&rules).unwrap();
    let to: SocketAddr = to.parse().unwrap();
    let any: IpAddr = match to {
        SocketAddr::V4(_) => [0; 4].into(),
        SocketAddr::V6(_) => [0; 16].into(),
    };
    let socket = r.stack.udp_bind(any, 40000).unwrap();
    let sent = r.stack.udp_send_to(socket, to, b"hi", r.now);
    assert_eq!(sent, Err(StackError::Filtered));
    // The datagram is gone; the error waits in lo's backlog and keeps what it is about.
    assert_eq!(r.stack.conntrack().unlisted(), 1);
    while r.stack.net_rx_action(r.now) {}
    assert_eq!(r.stack.conntrack().count(), 0);
    let rules = r.stack.nft("list ruleset").unwrap();
    let states = rules.lines().filter_map(|line| {
        let counted = line.contains("counter packets 1 ");
        let (_, state) = line.split_once("ct state ")?;
        counted.then(|| state.split(' ').next().unwrap().to_owned())
    });
    states.collect::<Vec<_>>().join(", ")
}

/// As recorded: cosim/data/oracle/58_reject_output.
#[test]
fn an_error_about_a_packet_that_was_dropped_is_related() {
    assert_eq!(state_of_error("icmp", "10.0.2.2:9"), "related");
    assert_eq!(state_of_error("icmpv6", "[fd00:2::2]:9"), "related");
}

#[test]
fn an_error_that_leaves_takes_its_connection_along() {
    let mut r = Router::new();
    let rules = "table ip t { chain f { type filter hook forward priority 0; reject; }; }";
    r.stack.nft(rules).unwrap();
    let frame = crate::router::udp((crate::router::CLIENT, 7), (crate::router::SERVER, 9), b"x");
    assert!(r.client_sends(frame).is_empty());
    assert_eq!(r.c_wire.borrow().tx.len(), 1);
    assert_eq!(r.stack.conntrack().count(), 0);
}
