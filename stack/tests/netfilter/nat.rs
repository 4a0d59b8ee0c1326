//! Translation there and back.

use crate::router::{CLIENT, Router, SERVER, checksums_ok, echo, ports, tcp, udp, udp6};
use etherparse::SlicedPacket;
use stack::netfilter::nat::{NatRange, NatRequest};
use stack::{Family, Hook};
use std::net::IpAddr;

const ROUTER_C: [u8; 4] = [10, 0, 1, 1];
const ROUTER_S: [u8; 4] = [10, 0, 2, 1];

fn at(address: impl Into<IpAddr>) -> NatRange {
    let address = address.into();
    NatRange {
        addrs: Some((address, address)),
        ..NatRange::default()
    }
}

fn nat(router: &mut Router, hook: Hook, request: NatRequest) {
    let family = Family::Ipv4;
    router
        .stack
        .nf_nat_register(family, hook, 0, "nat", Box::new(move |_, _| Some(request)))
        .unwrap();
}

fn masquerade(router: &mut Router) {
    nat(
        router,
        Hook::PostRouting,
        NatRequest::Masquerade(NatRange::default()),
    );
}

/// Addresses and ports of a frame: source, destination.
fn ends(frame: &[u8]) -> (([u8; 4], u16), ([u8; 4], u16)) {
    let address = |at: usize| [frame[at], frame[at + 1], frame[at + 2], frame[at + 3]];
    let (sport, dport) = ports(frame);
    ((address(26), sport), (address(30), dport))
}

/// Scenarios 06, 07 and 09: the addresses at each point are in the recordings of the hooks; here are the frames and the entry.
#[test]
fn dnat_and_masquerade_of_one_flow() {
    let mut r = Router::new();
    let to = NatRange {
        ports: Some((9, 9)),
        ..at(SERVER)
    };
    nat(&mut r, Hook::PreRouting, NatRequest::Dnat(to));
    masquerade(&mut r);
    let out = r.client_sends(udp((CLIENT, 40000), (ROUTER_C, 8080), b"hi"));
    assert_eq!(ends(&out[0]), ((ROUTER_S, 40000), (SERVER, 9)));
    assert!(checksums_ok(&out[0]));
    let back = r.server_sends(udp((SERVER, 9), (ROUTER_S, 40000), b"Rhi"));
    assert_eq!(ends(&back[0]), ((ROUTER_C, 8080), (CLIENT, 40000)));
    assert!(checksums_ok(&back[0]));
    assert_eq!(
        r.list(),
        "udp      17 30 src=10.0.1.2 dst=10.0.1.1 sport=40000 dport=8080 src=10.0.2.2 dst=10.0.2.1 sport=9 dport=40000 mark=0 use=1\n"
    );
}

#[test]
fn a_port_that_is_taken_is_replaced_and_privileged_stays_privileged() {
    let mut r = Router::new();
    masquerade(&mut r);
    let mut seen = Vec::new();
    for (i, port) in [
        (2, 40000),
        (3, 40000),
        (4, 40000),
        (2, 700),
        (3, 700),
        (2, 22),
        (3, 22),
    ] {
        let out = r.client_sends(udp(([10, 0, 1, i], port), (SERVER, 9), b"x"));
        let (source, _) = ends(&out[0]);
        assert_eq!(source.0, ROUTER_S);
        assert!(!seen.contains(&source.1), "port {} twice", source.1);
        match port {
            40000 => assert!(source.1 >= 1024),
            700 => assert!((600..1024).contains(&source.1)),
            _ => assert!((1..512).contains(&source.1)),
        }
        seen.push(source.1);
    }
    assert_eq!((seen[0], seen[3], seen[5]), (40000, 700, 22));
    // Another destination: the port is free there.
    let out = r.client_sends(udp(([10, 0, 1, 3], 40000), ([10, 0, 2, 3], 9), b"x"));
    assert_eq!(out[0][12..14], [8, 6], "it waits for ARP");
    let entry = "src=10.0.2.3 dst=10.0.2.1 sport=9";
    assert!(r.list().contains(entry), "{}", r.list());
}

#[test]
fn one_source_keeps_its_translated_port_towards_everybody() {
    let mut r = Router::new();
    nat(
        &mut r,
        Hook::PostRouting,
        NatRequest::Snat(NatRange {
            ports: Some((5000, 5009)),
            ..at(ROUTER_S)
        }),
    );
    let first = r.client_sends(udp((CLIENT, 40000), (SERVER, 9), b"x"));
    let second = r.client_sends(udp((CLIENT, 40000), (SERVER, 10), b"x"));
    assert_eq!(ports(&first[0]).0, ports(&second[0]).0);
    assert!((5000..5010).contains(&ports(&first[0]).0));
    // Ten ports for one destination: the eleventh client has none and is refused.
    for client in 3..12 {
        assert_eq!(
            r.client_sends(udp(([10, 0, 1, client], 40000), (SERVER, 9), b"x"))
                .len(),
            1
        );
    }
    assert!(
        r.client_sends(udp(([10, 0, 1, 50], 40000), (SERVER, 9), b"x"))
            .is_empty()
    );
}

#[test]
fn echo_ids_are_translated() {
    let mut r = Router::new();
    masquerade(&mut r);
    r.client_sends(echo(CLIENT, SERVER, true, 7));
    let out = r.client_sends(echo([10, 0, 1, 3], SERVER, true, 7));
    assert!(checksums_ok(&out[0]));
    let id = u16::from_be_bytes([out[0][38], out[0][39]]);
    assert_ne!(id, 7);
    let back = r.server_sends(echo(SERVER, ROUTER_S, false, id));
    // Nobody answers for 10.0.1.3, so the reply waits for its neighbour; it is translated already.
    assert!(back.is_empty() || back[0][12..14] == [8, 6]);
    assert!(r.list().contains("type=0 code=0 id=7"), "{}", r.list());
    let back = r.server_sends(echo(SERVER, ROUTER_S, false, 7));
    assert_eq!(ends(&back[0]).1.0, CLIENT);
    assert!(checksums_ok(&back[0]));
}

#[test]
fn errors_about_translated_packets_quote_what_was_sent() {
    let mut r = Router::new();
    let to = NatRange {
        ports: Some((99, 99)),
        ..at(SERVER)
    };
    nat(&mut r, Hook::PreRouting, NatRequest::Dnat(to));
    masquerade(&mut r);
    let sent = udp((CLIENT, 40000), (ROUTER_C, 8080), b"hello");
    let out = r.client_sends(sent.clone());
    // The server says that nobody listens on port 99.
    let mut message = Vec::new();
    let icmp = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::Port,
    );
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 2, 2], [2, 0, 0, 0, 2, 1])
        .ipv4(SERVER, ROUTER_S, 64)
        .icmpv4(icmp)
        .write(&mut message, &out[0][14..])
        .unwrap();
    let back = r.server_sends(message);
    assert!(checksums_ok(&back[0]));
    assert_eq!(back[0][26..34], [ROUTER_C, CLIENT].concat());
    // Quoted: what the client sent, but for the TTL that was counted down before the translation.
    let (mut quoted, mut original) = (back[0][14 + 28..].to_vec(), sent[14..].to_vec());
    assert_eq!((quoted[8], original[8]), (63, 64));
    for packet in [&mut quoted, &mut original] {
        packet[8] = 0;
        packet[10..12].fill(0);
    }
    assert_eq!(quoted, original);
    assert!(r.list().contains("[UNREPLIED]"));
}

#[test]
fn hairpin_client_reaches_its_own_network_through_the_router() {
    let mut r = Router::new();
    nat(
        &mut r,
        Hook::PreRouting,
        NatRequest::Dnat(at([10, 0, 1, 3])),
    );
    masquerade(&mut r);
    r.stack
        .add_neighbour(r.c, "10.0.1.3".parse().unwrap(), [2, 0, 0, 0, 1, 3]);
    assert!(
        r.client_sends(tcp((CLIENT, 1000), (ROUTER_S, 80), "S", (1, 0), b""))
            .is_empty()
    );
    let out = std::mem::take(&mut r.c_wire.borrow_mut().tx);
    assert_eq!(ends(&out[0]), ((ROUTER_C, 1000), ([10, 0, 1, 3], 80)));
    r.client_sends(tcp(
        ([10, 0, 1, 3], 80),
        (ROUTER_C, 1000),
        "S.",
        (9, 2),
        b"",
    ));
    let back = std::mem::take(&mut r.c_wire.borrow_mut().tx);
    assert_eq!(ends(&back[0]), ((ROUTER_S, 80), (CLIENT, 1000)));
    assert!(checksums_ok(&back[0]));
}

#[test]
fn redirect_brings_it_here() {
    let mut r = Router::new();
    let ports = NatRange {
        ports: Some((9, 9)),
        ..NatRange::default()
    };
    nat(&mut r, Hook::PreRouting, NatRequest::Redirect(ports));
    let socket = r.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    r.client_sends(udp((CLIENT, 40000), (SERVER, 8080), b"hi"));
    let datagram = r.stack.udp_recv_from(socket).unwrap();
    assert_eq!(datagram.dst.to_string(), "10.0.1.1:9");
    r.stack
        .udp_send_to(socket, datagram.src, b"Rhi", r.now)
        .unwrap();
    let back = std::mem::take(&mut r.c_wire.borrow_mut().tx);
    assert_eq!(ends(&back[0]), ((SERVER, 8080), (CLIENT, 40000)));
    assert!(checksums_ok(&back[0]));
}

#[test]
fn output_dnat_is_routed_again() {
    let mut r = Router::new();
    nat(&mut r, Hook::LocalOut, NatRequest::Dnat(at(SERVER)));
    let socket = r.stack.udp_bind("0.0.0.0".parse().unwrap(), 40000).unwrap();
    // Routed to the client's side first.
    r.stack
        .udp_send_to(socket, "10.0.1.2:9".parse().unwrap(), b"hi", 0)
        .unwrap();
    let out = std::mem::take(&mut r.s_wire.borrow_mut().tx);
    assert_eq!(ends(&out[0]).1, (SERVER, 9));
    assert!(checksums_ok(&out[0]));
    // The source was chosen for the first route, and stays.
    r.server_sends(udp((SERVER, 9), (ROUTER_C, 40000), b"Rhi"));
    let answer = r.stack.udp_recv_from(socket).unwrap();
    assert_eq!(answer.src.to_string(), "10.0.1.2:9");
}

#[test]
fn masqueraded_flows_end_with_their_address() {
    let mut r = Router::new();
    masquerade(&mut r);
    r.client_sends(udp((CLIENT, 1), (SERVER, 2), b"x"));
    r.stack.nf_nat_masq_device_down(r.c);
    assert_eq!(r.stack.conntrack().count(), 1);
    r.stack
        .del_addr(r.s, "10.0.2.1/24".parse().unwrap())
        .unwrap();
    assert_eq!(r.stack.conntrack().count(), 0);
}

#[test]
fn ipv6_is_translated_too() {
    let mut r = Router::new();
    let to: IpAddr = "fd00:2::2".parse().unwrap();
    let dnat = NatRequest::Dnat(NatRange {
        ports: Some((9, 9)),
        ..at(to)
    });
    let masquerade = NatRequest::Masquerade(NatRange::default());
    for (hook, request) in [(Hook::PreRouting, dnat), (Hook::PostRouting, masquerade)] {
        r.stack
            .nf_nat_register(
                Family::Ipv6,
                hook,
                0,
                "nat",
                Box::new(move |_, _| Some(request)),
            )
            .unwrap();
    }
    let out = r.client_sends(udp6("fd00:1::2", 40000, "fd00:1::1", 8080, b"hi"));
    assert!(checksums_ok(&out[0]));
    assert_eq!(ports(&out[0]), (40000, 9));
    let back = r.server_sends(udp6("fd00:2::2", 9, "fd00:2::1", 40000, b"Rhi"));
    assert!(checksums_ok(&back[0]));
    assert_eq!(ports(&back[0]), (8080, 40000));
    assert_eq!(
        r.list(),
        "udp      17 30 src=fd00:1::2 dst=fd00:1::1 sport=40000 dport=8080 src=fd00:2::2 dst=fd00:2::1 sport=9 dport=40000 mark=0 use=1\n"
    );
    assert!(SlicedPacket::from_ethernet(&back[0]).is_ok());
}

/// `find_best_ips_proto()`: the address of a range is a hash of the flow's, the kernel's hash.
#[test]
fn the_same_address_of_a_range_as_the_kernel() {
    let mut r = Router::new();
    r.stack
        .nft(
            "table ip t {
                chain post { type nat hook postrouting priority 100;
                    udp dport 9 snat to 10.0.2.100-10.0.3.7
                    udp dport 10 snat to 10.0.2.100-10.0.2.109 persistent
                }
                chain pre { type nat hook prerouting priority -100; udp dport 11 dnat to 10.0.2.100-10.0.2.131; }
            }",
        )
        .unwrap();
    let rows = include_str!("../data/nat/ranges.txt");
    let mut compared = 0;
    for row in rows.lines().filter(|row| !row.starts_with('#')) {
        let words: Vec<&str> = row.split(' ').collect();
        let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().octets();
        let port: u16 = words[2].parse().unwrap();
        let (src, dst) = (address(words[0]), address(words[1]));
        r.client_sends(udp((src, 4000 + port), (dst, port), b"x"));
        let flow = format!("src={} dst={} sport={} ", words[0], words[1], 4000 + port);
        let list = r.list();
        let entry = list.lines().find(|l| l.contains(&flow)).unwrap();
        let wanted = match port {
            11 => format!("[UNREPLIED] src={} ", words[3]),
            _ => format!("[UNREPLIED] src={} dst={} ", words[1], words[3]),
        };
        assert!(entry.contains(&wanted), "{row}: {entry}");
        compared += 1;
    }
    assert_eq!(compared, 42);
}
