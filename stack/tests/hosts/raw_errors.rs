//! What raw sockets hear of ICMP errors: what Linux 6.18 said to sockets of protocol 200 whose packets a neighbour complained about.

use super::errors::{errno, rows};
use super::*;
use stack::{IfIndex, SocketId};
use std::net::IpAddr;

const PROTOCOL: u8 = 200;
const BYTES: &[u8; 10] = b"0123456789";
const REFUSED: (u8, u8) = (3, 3);
const REFUSED6: (u8, u8) = (1, 4);
const UNREACHABLE: (u8, u8) = (3, 1);
const UNREACHABLE6: (u8, u8) = (1, 3);

fn ip(v6: bool, last: u8) -> IpAddr {
    let four = format!("192.0.2.{last}");
    let six = format!("fd00:9::{last}");
    (if v6 { six } else { four }).parse().unwrap()
}

fn peer(v6: bool) -> IpAddr {
    ip(v6, if v6 { 1 } else { 10 })
}

fn own(v6: bool) -> IpAddr {
    ip(v6, if v6 { 2 } else { 20 })
}

fn refused(v6: bool) -> (u8, u8) {
    if v6 { REFUSED6 } else { REFUSED }
}

/// `header` bytes of IP.
fn ip_hlen(v6: bool) -> usize {
    if v6 { 40 } else { 20 }
}

fn socket(host: &mut Host, v6: bool, connect: bool, recverr: bool) -> SocketId {
    let socket = host.stack.raw_socket(v6, PROTOCOL).unwrap();
    if connect {
        host.stack.raw_connect(socket, peer(v6)).unwrap();
    }
    host.stack.raw_set_recverr(socket, recverr).unwrap();
    socket
}

/// The packet, from its IP header on, that is sent by a socket of its own.
fn packet(host: &mut Host, v6: bool) -> Vec<u8> {
    let sender = socket(host, v6, true, false);
    let none = IfIndex::NONE;
    host.stack
        .raw_send_to(sender, None, none, BYTES, 0)
        .unwrap();
    host.stack.raw_close(sender).unwrap();
    host.sent().pop().unwrap()[14..].to_vec()
}

/// The neighbour tells about a packet that begins with `quoted`.
fn tell(host: &mut Host, v6: bool, (kind, code): (u8, u8), info: [u8; 4], quoted: &[u8]) {
    let mut error = Vec::new();
    let builder = PacketBuilder::ethernet2(PEER, MAC);
    match v6 {
        false => builder
            .ipv4(V4.0, V4.1, 64)
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

fn error(host: &mut Host, socket: SocketId) -> Option<&'static str> {
    host.stack.raw_take_error(socket).as_ref().map(errno)
}

/// With `IP_RECVERR` every error is heard, without it a socket with a peer hears the hard ones, which to IPv6's packet too big is none.
#[test]
fn who_hears_of_what() {
    for (v6, (kind, code, told, hard)) in rows() {
        let says = format!("v6 {v6} {kind}/{code}");
        let narrow = (v6, kind, code) == (false, 3, 4) || (v6, kind) == (true, 2);
        let told = if narrow { Some("EMSGSIZE") } else { told };
        let hard = if narrow && v6 { None } else { hard };
        // ee_info
        let (info, expected) = match (v6, kind, code) {
            (_, 3, _) | (true, 2, _) if v6 || code == 4 => ([0, 0, 5, 120], 1400),
            (false, 12, _) => ([5, 1, 2, 3], 5),
            (false, ..) => ([0, 0, 5, 120], 0),
            (true, ..) => ([0; 4], 0),
        };
        let mut host = Host::new(StackConfig::default());
        let quoted = packet(&mut host, v6);
        let alone = socket(&mut host, v6, false, false);
        let connected = socket(&mut host, v6, true, false);
        let recverr = socket(&mut host, v6, false, true);
        tell(&mut host, v6, (kind, code), info, &quoted);
        assert_eq!(error(&mut host, alone), None, "{says}");
        assert_eq!(error(&mut host, connected), hard, "{says}");
        assert_eq!(error(&mut host, recverr), told, "{says}");
        assert_eq!(host.stack.raw_recv_err(connected), None, "{says}");
        let queued = host.stack.raw_recv_err(recverr);
        assert_eq!(queued.as_ref().map(|q| errno(&q.error)), told, "{says}");
        if let Some(queued) = queued {
            assert_eq!((queued.kind, queued.code), (kind, code), "{says}");
            assert_eq!(queued.info, expected, "{says}");
            assert_eq!((queued.offender, queued.dst), (peer(v6), peer(v6)));
            assert_eq!(*queued.payload, *BYTES, "{says}");
        }
        host.assert_balanced();
    }
}

/// Eight bytes of what the IP headers carry have to be quoted; of a socket with headers of its own they are part of it.
#[test]
fn what_is_quoted() {
    for v6 in [false, true] {
        let mut host = Host::new(StackConfig::default());
        let quoted = packet(&mut host, v6);
        let heard = socket(&mut host, v6, true, true);
        for (bytes, expected) in [(0, None), (7, None), (8, Some(8)), (9, Some(9))] {
            let part = &quoted[..ip_hlen(v6) + bytes];
            tell(&mut host, v6, refused(v6), [0; 4], part);
            let queued = host.stack.raw_recv_err(heard);
            assert_eq!(queued.map(|q| q.payload.len()), expected);
        }
        host.stack.raw_set_hdrincl(heard, true).unwrap();
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        assert_eq!(*host.stack.raw_recv_err(heard).unwrap().payload, *quoted);
        host.stack.raw_set_hdrincl(heard, false).unwrap();
        // IPv4 believes a later fragment, too; IPv6 looks no further than its fragment header.
        let mut fragment = quoted.clone();
        match v6 {
            false => fragment[7] = 5,
            true => {
                fragment[6] = 44;
                fragment.splice(40..40, [PROTOCOL, 0, 0, 9, 0, 0, 0, 9]);
            }
        }
        tell(&mut host, v6, refused(v6), [0; 4], &fragment);
        assert_eq!(host.stack.raw_recv_err(heard).is_some(), !v6);
        if v6 {
            let mut optioned = quoted.clone();
            optioned[6] = 60;
            optioned.splice(40..40, [PROTOCOL, 0, 1, 4, 0, 0, 0, 0]);
            tell(&mut host, v6, refused(v6), [0; 4], &optioned);
            assert_eq!(*host.stack.raw_recv_err(heard).unwrap().payload, *BYTES);
        }
    }
}

#[test]
fn protocol_address_peer_and_device_select() {
    for v6 in [false, true] {
        let mut host = Host::new(StackConfig::default());
        let quoted = packet(&mut host, v6);
        let stack = &mut host.stack;
        let mut made = |protocol: u8, local: Option<IpAddr>, to: Option<IpAddr>, dev: IfIndex| {
            let socket = stack.raw_socket(v6, protocol).unwrap();
            stack.raw_set_recverr(socket, true).unwrap();
            if let Some(local) = local {
                stack.raw_bind(socket, local).unwrap();
            }
            if let Some(to) = to {
                stack.raw_connect(socket, to).unwrap();
            }
            stack.raw_bind_to_device(socket, dev).unwrap();
            socket
        };
        let (none, lo) = (IfIndex::NONE, IfIndex(1));
        let loopback: IpAddr = if v6 { "::1" } else { "127.0.0.1" }.parse().unwrap();
        let hear = [
            made(PROTOCOL, Some(own(v6)), None, none),
            made(PROTOCOL, None, Some(peer(v6)), IfIndex(2)),
        ];
        let others = [
            made(PROTOCOL + 1, None, None, none),
            made(PROTOCOL, Some(loopback), None, none),
            made(PROTOCOL, None, Some(ip(v6, 33)), none),
            made(PROTOCOL, None, None, lo),
        ];
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        for socket in hear {
            assert_eq!(error(&mut host, socket), Some("ECONNREFUSED"), "v6 {v6}");
        }
        for socket in others {
            assert_eq!(error(&mut host, socket), None, "v6 {v6}");
            assert_eq!(host.stack.raw_recv_err(socket), None, "v6 {v6}");
        }
    }
}

/// `sock_dequeue_err_skb()`: what was read is no error any more, what waits is.
#[test]
fn the_queue_says_what_the_error_is() {
    for v6 in [false, true] {
        let mut host = Host::new(StackConfig::default());
        let quoted = packet(&mut host, v6);
        let socket = socket(&mut host, v6, true, true);
        let unreachable = if v6 { UNREACHABLE6 } else { UNREACHABLE };
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        tell(&mut host, v6, unreachable, [0; 4], &quoted);
        assert_eq!(error(&mut host, socket), Some("EHOSTUNREACH"));
        let first = host.stack.raw_recv_err(socket).unwrap();
        assert_eq!(errno(&first.error), "ECONNREFUSED");
        assert_eq!(error(&mut host, socket), Some("EHOSTUNREACH"));
        let second = host.stack.raw_recv_err(socket).unwrap();
        assert_eq!(errno(&second.error), "EHOSTUNREACH");
        assert_eq!(error(&mut host, socket), None);
        // Read before anybody asked.
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        host.stack.raw_recv_err(socket).unwrap();
        assert_eq!(error(&mut host, socket), None);
        // Whoever wants to hear no more loses the queue, but not the error.
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        host.stack.raw_set_recverr(socket, false).unwrap();
        assert_eq!(host.stack.raw_recv_err(socket), None);
        assert_eq!(error(&mut host, socket), Some("ECONNREFUSED"));
        // What has no room is lost, the error is not.
        host.stack.raw_set_recverr(socket, true).unwrap();
        host.stack.raw_set_rcvbuf(socket, 1).unwrap();
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        assert_eq!(error(&mut host, socket), Some("ECONNREFUSED"));
        assert_eq!(host.stack.raw_recv_err(socket), None);
    }
}

/// A packet is sent although an error waits, one with a header of its own is not.
#[test]
fn sending_after_an_error() {
    for v6 in [false, true] {
        let mut host = Host::new(StackConfig::default());
        let quoted = packet(&mut host, v6);
        let socket = socket(&mut host, v6, true, false);
        let none = IfIndex::NONE;
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        let sent = host.stack.raw_send_to(socket, None, none, BYTES, 0);
        assert_eq!(sent, Ok(10));
        assert_eq!(error(&mut host, socket), Some("ECONNREFUSED"));
        host.stack.raw_set_hdrincl(socket, true).unwrap();
        tell(&mut host, v6, refused(v6), [0; 4], &quoted);
        let mut send = || host.stack.raw_send_to(socket, None, none, &quoted, 0);
        assert_eq!(
            send().as_ref().err().map(errno),
            Some("ECONNREFUSED"),
            "v6 {v6}"
        );
        assert_eq!(send(), Ok(quoted.len()));
    }
}

/// `raw_err()` remembers the path's MTU for any socket of the protocol, `rawv6_err()` for one that hears of errors. With `ip_no_pmtu_disc` there is
/// no hard error, and with 2 and 3 nobody hears anything.
#[test]
fn the_path_is_narrow() {
    for (v6, connect, recverr, learned) in [
        (false, false, false, true),
        (false, true, false, true),
        (false, false, true, true),
        (true, false, false, false),
        (true, true, false, true),
        (true, false, true, true),
    ] {
        let mut host = Host::new(StackConfig::default());
        let quoted = packet(&mut host, v6);
        let message = if v6 { (2, 0) } else { (3, 4) };
        let told = |host: &mut Host| {
            tell(host, v6, message, [0, 0, 5, 120], &quoted);
            let sender = socket(host, v6, true, false);
            let bytes = [0; 1400];
            let none = IfIndex::NONE;
            host.stack
                .raw_send_to(sender, None, none, &bytes, 0)
                .unwrap();
            host.stack.raw_close(sender).unwrap();
            // Cut to what the neighbour said.
            host.sent().len() > 1
        };
        assert!(!told(&mut host), "nobody can have sent it");
        socket(&mut host, v6, connect, recverr);
        assert_eq!(told(&mut host), learned, "{v6} {connect} {recverr}");
    }
    for (mode, hard) in [(0, Some("EMSGSIZE")), (1, None), (2, None), (3, None)] {
        let mut host = Host::new(StackConfig::default());
        let line = format!("-qw net.ipv4.ip_no_pmtu_disc={mode}");
        host.stack.sysctl(&line).unwrap();
        let quoted = packet(&mut host, false);
        let socket = socket(&mut host, false, true, false);
        tell(&mut host, false, (3, 4), [0, 0, 5, 120], &quoted);
        assert_eq!(error(&mut host, socket), hard, "mode {mode}");
    }
}
