//! What sockets hear of ICMP errors about their packets: the table is what 6.18 said to `SO_ERROR`.

use super::*;
use stack::{SocketId, TcpState};
use std::net::{IpAddr, SocketAddr};

pub type Errno = &'static str;
const ENETUNREACH: Errno = "ENETUNREACH";
const EHOSTUNREACH: Errno = "EHOSTUNREACH";
const ENOPROTOOPT: Errno = "ENOPROTOOPT";
const ECONNREFUSED: Errno = "ECONNREFUSED";
const EMSGSIZE: Errno = "EMSGSIZE";
const EOPNOTSUPP: Errno = "EOPNOTSUPP";
const EHOSTDOWN: Errno = "EHOSTDOWN";
const ENONET: Errno = "ENONET";
const EPROTO: Errno = "EPROTO";
const EACCES: Errno = "EACCES";

/// Type, code, TCP's error, and that of a connected UDP socket.
pub type Row = (u8, u8, Option<Errno>, Option<Errno>);

const V4_ERRORS: &[Row] = &[
    (3, 0, Some(ENETUNREACH), None),
    (3, 1, Some(EHOSTUNREACH), None),
    (3, 2, Some(ENOPROTOOPT), Some(ENOPROTOOPT)),
    (3, 3, Some(ECONNREFUSED), Some(ECONNREFUSED)),
    (3, 4, None, Some(EMSGSIZE)),
    (3, 5, Some(EOPNOTSUPP), None),
    (3, 6, Some(ENETUNREACH), Some(ENETUNREACH)),
    (3, 7, Some(EHOSTDOWN), Some(EHOSTDOWN)),
    (3, 8, Some(ENONET), Some(ENONET)),
    (3, 9, Some(ENETUNREACH), Some(ENETUNREACH)),
    (3, 10, Some(EHOSTUNREACH), Some(EHOSTUNREACH)),
    (3, 11, Some(ENETUNREACH), None),
    (3, 12, Some(EHOSTUNREACH), None),
    (3, 13, Some(EHOSTUNREACH), Some(EHOSTUNREACH)),
    (3, 14, Some(EHOSTUNREACH), Some(EHOSTUNREACH)),
    (3, 15, Some(EHOSTUNREACH), Some(EHOSTUNREACH)),
    (3, 16, None, None),
    (11, 0, Some(EHOSTUNREACH), None),
    (11, 1, None, None),
    (12, 0, Some(EPROTO), Some(EPROTO)),
    (4, 0, None, None),
    (5, 1, None, None),
];

const V6_ERRORS: &[Row] = &[
    (1, 0, Some(ENETUNREACH), None),
    (1, 1, Some(EACCES), Some(EACCES)),
    (1, 2, Some(EHOSTUNREACH), None),
    (1, 3, Some(EHOSTUNREACH), None),
    (1, 4, Some(ECONNREFUSED), Some(ECONNREFUSED)),
    (1, 5, Some(EACCES), Some(EACCES)),
    (1, 6, Some(EACCES), Some(EACCES)),
    (1, 7, Some(EPROTO), Some(EPROTO)),
    (2, 0, None, Some(EMSGSIZE)),
    (3, 0, Some(EHOSTUNREACH), None),
    (3, 1, Some(EHOSTUNREACH), None),
    (4, 0, Some(EPROTO), Some(EPROTO)),
    (4, 1, Some(EPROTO), Some(EPROTO)),
    (4, 2, Some(EPROTO), Some(EPROTO)),
    (7, 0, Some(EPROTO), None),
    (100, 0, Some(EPROTO), None),
];

pub fn rows() -> impl Iterator<Item = (bool, Row)> {
    let v4 = V4_ERRORS.iter().map(|&row| (false, row));
    v4.chain(V6_ERRORS.iter().map(|&row| (true, row)))
}

pub fn errno(error: &StackError) -> Errno {
    match error {
        StackError::NetUnreachable(_) => ENETUNREACH,
        StackError::HostUnreachable(_) => EHOSTUNREACH,
        StackError::NoProtocol(_) => ENOPROTOOPT,
        StackError::ConnectionRefused(_) => ECONNREFUSED,
        StackError::PathTooNarrow(_) => EMSGSIZE,
        StackError::SourceRouteFailed(_) => EOPNOTSUPP,
        StackError::HostDown(_) => EHOSTDOWN,
        StackError::NotOnNetwork(_) => ENONET,
        StackError::ProtocolError(_) => EPROTO,
        StackError::Permission(_) => EACCES,
        other => panic!("{other}"),
    }
}

fn peer(v6: bool, port: u16) -> SocketAddr {
    let ip: IpAddr = if v6 { "fd00:9::1" } else { "192.0.2.10" }.parse().unwrap();
    (ip, port).into()
}

/// A router tells about `frame`, which the host sent: its IP header and 8 bytes are quoted.
fn tell(host: &mut Host, v6: bool, kind: u8, code: u8, frame: &[u8]) {
    // An MTU for those that have one.
    let info = if (v6, kind) == (true, 2) || kind == 3 {
        [0, 0, 5, 120]
    } else {
        [0; 4]
    };
    let mut error = Vec::new();
    let quoted = &frame[14..14 + if v6 { 48 } else { 28 }];
    let builder = PacketBuilder::ethernet2(PEER, MAC);
    match v6 {
        false => builder
            .ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64)
            .icmpv4_raw(kind, code, info)
            .write(&mut error, quoted),
        true => builder
            .ipv6(crate::v6("fd00:9::1"), crate::v6("fd00:9::2"), 64)
            .icmpv6_raw(kind, code, info)
            .write(&mut error, quoted),
    }
    .unwrap();
    host.receive([error]);
}

/// A segment of the neighbour's port 80 to the host's port 5000.
fn segment(v6: bool, seq: u32, ack: u32, syn: bool) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC);
    let builder = match v6 {
        false => builder.ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64),
        true => builder.ipv6(crate::v6("fd00:9::1"), crate::v6("fd00:9::2"), 64),
    };
    let mut builder = builder.tcp(80, 5000, seq, 65535);
    if syn {
        builder = builder.syn();
    }
    if ack != 0 {
        builder = builder.ack(ack);
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).unwrap();
    bytes
}

fn seq(frame: &[u8], v6: bool) -> u32 {
    let at = if v6 { 58 } else { 38 };
    u32::from_be_bytes(frame[at..at + 4].try_into().unwrap())
}

#[test]
fn a_connection_that_is_being_made_ends() {
    for (v6, (kind, code, tcp, _)) in rows() {
        let mut host = Host::new(StackConfig::default());
        let socket = host.stack.tcp_connect(5000, peer(v6, 80), 0).unwrap();
        let syn = host.sent().pop().unwrap();
        tell(&mut host, v6, kind, code, &syn);
        let says = format!("v6 {v6} {kind}/{code}");
        let state = host.stack.tcp_state(socket);
        let expected = if tcp.is_some() {
            None
        } else {
            Some(TcpState::SynSent)
        };
        assert_eq!(state.filter(|s| *s != TcpState::Closed), expected, "{says}");
        let error = host.stack.tcp_take_error(socket);
        assert_eq!(error.as_ref().map(errno), tcp, "{says}");
        host.run_until(2 * SEC);
        assert_eq!(host.sent().is_empty(), tcp.is_some(), "another SYN: {says}");
        host.assert_balanced();
    }
}

#[test]
fn a_connection_that_is_there_remembers_it() {
    for (v6, (kind, code, tcp, _)) in rows() {
        let mut host = Host::new(StackConfig::default());
        let socket = host.stack.tcp_connect(5000, peer(v6, 80), 0).unwrap();
        let isn = seq(&host.sent()[0], v6);
        host.receive([segment(v6, 1000, isn.wrapping_add(1), true)]);
        host.sent();
        host.stack.tcp_send(socket, &[b'x'; 100], 0).unwrap();
        let data = host.sent().pop().unwrap();
        tell(&mut host, v6, kind, code, &data);
        let says = format!("v6 {v6} {kind}/{code}");
        assert_eq!(
            host.stack.tcp_state(socket),
            Some(TcpState::Established),
            "{says}"
        );
        assert_eq!(host.stack.tcp_recv(socket, 1, 0), Ok(None), "{says}");
        let error = host.stack.tcp_take_error(socket);
        assert_eq!(error.as_ref().map(errno), tcp, "{says}");
        assert_eq!(host.stack.tcp_take_error(socket), None, "{says}");
        // A guess: nothing with this number was sent.
        let mut guess = data.clone();
        guess[if v6 { 58 } else { 38 }] ^= 0x40;
        tell(&mut host, v6, kind, code, &guess);
        assert_eq!(host.stack.tcp_take_error(socket), None, "{says}");
        // If nothing arrives any more, it was the reason.
        tell(&mut host, v6, kind, code, &data);
        host.run_until(3600 * SEC);
        let error = host.stack.tcp_take_error(socket);
        match tcp {
            Some(_) => assert_eq!(error.as_ref().map(errno), tcp, "{says}"),
            None => assert_eq!(error, Some(StackError::TimedOut(peer(v6, 80))), "{says}"),
        }
    }
}

fn udp(host: &mut Host, v6: bool, connect: bool) -> (SocketId, Vec<u8>) {
    let any = if v6 { "::" } else { "0.0.0.0" }.parse().unwrap();
    let socket = host.stack.udp_bind(any, 4000).unwrap();
    if connect {
        host.stack.udp_connect(socket, peer(v6, 9)).unwrap();
    }
    let stack = &mut host.stack;
    stack.udp_send_to(socket, peer(v6, 9), b"y", 0).unwrap();
    let frame = host.sent().pop().unwrap();
    (socket, frame)
}

#[test]
fn a_connected_datagram_socket_hears_of_hard_errors() {
    for (v6, (kind, code, _, hard)) in rows() {
        let says = format!("v6 {v6} {kind}/{code}");
        let mut host = Host::new(StackConfig::default());
        let (socket, frame) = udp(&mut host, v6, true);
        tell(&mut host, v6, kind, code, &frame);
        let error = host.stack.udp_take_error(socket);
        assert_eq!(error.as_ref().map(errno), hard, "{says}");
        // The next call fails, the one after it does not.
        tell(&mut host, v6, kind, code, &frame);
        let mut send = || host.stack.udp_send_to(socket, peer(v6, 9), b"y", 0);
        assert_eq!(send().as_ref().err().map(errno), hard, "{says}");
        assert_eq!(send(), Ok(1), "{says}");
        // Whoever is not connected is not told, as it would not know whose error it is.
        let mut host = Host::new(StackConfig::default());
        let (socket, frame) = udp(&mut host, v6, false);
        tell(&mut host, v6, kind, code, &frame);
        assert_eq!(host.stack.udp_take_error(socket), None, "{says}");
    }
}

/// `tcp_req_err()`: IPv4 gives up for want of a way, IPv6 for what is final.
#[test]
fn a_listener_forgets_who_cannot_be_reached() {
    for (v6, kind, code, forgotten) in [
        (false, 3, 1, true),
        (false, 3, 3, false),
        (false, 11, 0, true),
        (true, 1, 0, false),
        (true, 1, 1, true),
        (true, 3, 0, false),
    ] {
        let mut host = Host::new(StackConfig::default());
        let any = if v6 { "::" } else { "0.0.0.0" }.parse().unwrap();
        host.stack.tcp_listen(any, 5000, 1).unwrap();
        host.receive([segment(v6, 1000, 0, true)]);
        let synack = host.sent().pop().unwrap();
        tell(&mut host, v6, kind, code, &synack);
        host.run_until(2 * SEC);
        let says = format!("v6 {v6} {kind}/{code}");
        assert_eq!(host.sent().is_empty(), forgotten, "{says}");
        host.assert_balanced();
    }
}

/// 6.18 sends the first five SYNs again a second after each other, and then waits twice as long each time.
#[test]
fn syns_are_sent_again_in_the_kernels_rhythm() {
    let mut host = Host::new(StackConfig::default());
    let socket = host.stack.tcp_connect(5000, peer(false, 80), 0).unwrap();
    let mut at = Vec::new();
    for second in 0..140 {
        host.run_until(second * SEC);
        at.extend(host.sent().iter().map(|_| second));
    }
    assert_eq!(at, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    let error = host.stack.tcp_take_error(socket);
    assert_eq!(error, Some(StackError::TimedOut(peer(false, 80))));
}

/// `tcp_reflect_tos`, as 6.18 answers a SYN of type 0xb9: 0xb8, whatever comes later.
#[test]
fn the_type_of_service_of_a_syn_is_reflected() {
    for (v6, on) in [(false, true), (true, true), (false, false)] {
        let mut host = Host::new(StackConfig::default());
        let line = format!("-qw net.ipv4.tcp_reflect_tos={}", u8::from(on));
        host.stack.sysctl(&line).unwrap();
        let any = if v6 { "::" } else { "0.0.0.0" }.parse().unwrap();
        let listener = host.stack.tcp_listen(any, 5000, 1).unwrap();
        let typed = |mut frame: Vec<u8>, tos: u8| {
            match v6 {
                true => (frame[14], frame[15]) = (0x60 | tos >> 4, tos << 4),
                false => {
                    frame[15] = tos;
                    fix4(&mut frame);
                }
            }
            frame
        };
        let types = |host: &mut Host| -> Vec<u8> {
            let tos = |f: &Vec<u8>| if v6 { f[14] << 4 | f[15] >> 4 } else { f[15] };
            host.sent().iter().map(tos).collect()
        };
        host.receive([typed(segment(v6, 1000, 0, true), 0xb9)]);
        let synack = host.wire.borrow().tx[0].clone();
        let expected = if on { 0xb8 } else { 0 };
        assert_eq!(types(&mut host), [expected]);
        let isn = seq(&synack, v6).wrapping_add(1);
        host.receive([typed(segment(v6, 1001, isn, false), 0x20)]);
        let socket = host.stack.tcp_accept(listener).unwrap();
        host.stack.tcp_send(socket, b"hi", 0).unwrap();
        assert_eq!(types(&mut host), [expected]);
    }
}
