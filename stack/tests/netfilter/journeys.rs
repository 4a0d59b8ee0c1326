//! Connection tracking and NAT as stages of the trace: where they are, what they say, and from where on a packet has other addresses.

use crate::journal::Journal;
use crate::router::{CLIENT, Router, SERVER, tcp, udp};
use etherparse::{Icmpv4Type, PacketBuilder};

/// What each packet of `frames` said at its stage of connection tracking; `true`: from the client.
fn said(rules: &str, frames: &[(bool, Vec<u8>)]) -> Vec<String> {
    let mut r = Router::new();
    r.stack.nft(rules).unwrap();
    let journal = Journal::of(&mut r.stack);
    for (from_client, frame) in frames {
        match from_client {
            true => r.client_sends(frame.clone()),
            false => r.server_sends(frame.clone()),
        };
    }
    let text = journal.borrow_mut().take();
    let stages = text
        .lines()
        .map(|line| line.get(..28).unwrap_or(line).trim());
    let tracked = stages.filter(|stage| stage.starts_with("conntrack"));
    tracked.map(str::to_owned).collect()
}

const C: ([u8; 4], u16) = (CLIENT, 40000);
const S: ([u8; 4], u16) = (SERVER, 9);

/// The server has nothing at the port of `frame`.
fn port_unreachable(frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 2, 2], [2, 0, 0, 0, 2, 1])
        .ipv4(SERVER, CLIENT, 64)
        .icmpv4(Icmpv4Type::DestinationUnreachable(
            etherparse::icmpv4::DestUnreachableHeader::Port,
        ))
        .write(&mut bytes, &frame[14..42])
        .unwrap();
    bytes
}

/// The states of ctstate in nft's manual, each by what makes it.
#[test]
fn each_state_of_a_packet_is_a_stage() {
    let request = udp(C, S, b"hi");
    let unreachable = port_unreachable(&request);
    let frames = [
        (true, request.clone()),
        (true, request.clone()),
        (false, unreachable),
        (false, udp(S, C, b"Rhi")),
        (true, request.clone()),
        // An acknowledgement with SYN of a connection that nobody began.
        (
            false,
            tcp((SERVER, 80), (CLIENT, 40001), "S.", (5000, 1001), b""),
        ),
    ];
    assert_eq!(
        said("table ip t {}", &frames),
        [
            "conntrack new",
            "conntrack new",
            "conntrack related",
            "conntrack established",
            "conntrack established",
            "conntrack invalid",
        ]
    );
    // notrack comes first (raw, -300), and tracking leaves alone what it finds.
    let notrack = "table ip t { chain c { type filter hook prerouting priority -300; notrack; }; }";
    assert_eq!(said(notrack, &[(true, request)]), ["conntrack untracked"]);
}

/// A datagram to the router's port 8080 goes to the server's port 9 with the router's address, and its answer the way back.
#[test]
fn a_translated_flow() {
    let mut r = Router::new();
    r.stack
        .nft(
            "table ip t {
                chain pre { type nat hook prerouting priority -100; udp dport 8080 dnat to 10.0.2.2:9; }
                chain post { type nat hook postrouting priority 100; masquerade; }
            }",
        )
        .unwrap();
    let journal = Journal::of(&mut r.stack);
    let out = r.client_sends(udp(C, ([10, 0, 1, 1], 8080), b"hi"));
    let back = r.server_sends(udp(S, ([10, 0, 2, 1], 40000), b"Rhi"));
    assert_eq!((out.len(), back.len()), (1, 1));
    let text = journal.borrow_mut().take();
    let at = |stage: &str| {
        let lines = text.lines().filter(|line| line.trim().starts_with(stage));
        let packets = lines.map(|line| line.get(30..).unwrap_or_default().to_owned());
        packets.collect::<Vec<_>>()
    };
    // dstnat (-100) is behind connection tracking (-200) at PREROUTING, srcnat (100) at POSTROUTING; the answer's addresses change at the same
    // points, in the opposite way: what masqueraded the request gives the answer its destination, what sent it elsewhere its source.
    assert_eq!(
        at("conntrack"),
        [
            "UDP 10.0.1.2:40000 > 10.0.1.1:8080 mark 0",
            "UDP 10.0.2.2:9 > 10.0.2.1:40000 mark 0",
        ]
    );
    assert_eq!(
        at("nat"),
        [
            "UDP 10.0.1.2:40000 > 10.0.2.2:9 mark 0",
            "UDP 10.0.2.1:40000 > 10.0.2.2:9 mark 0",
            "UDP 10.0.2.2:9 > 10.0.1.2:40000 mark 0",
            "UDP 10.0.1.1:8080 > 10.0.1.2:40000 mark 0",
        ]
    );
    insta::assert_snapshot!("translated_flow", text);
}
