//! Redirects that routers send to this host.

use super::*;

const GATEWAY: [u8; 4] = [192, 0, 2, 10];
const BETTER: [u8; 4] = [192, 0, 2, 77];
const BETTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const FAR: &str = "203.0.113.9:7";

/// A host with a default route through the neighbour, and a socket that sent `x` to [`FAR`].
fn host() -> (Host, stack::SocketId) {
    let mut host = Host::new(StackConfig::default());
    host.stack.ip("route add default via 192.0.2.10").unwrap();
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    assert_eq!(sends(&mut host, socket), PEER);
    (host, socket)
}

/// The MAC address that a datagram to [`FAR`] goes to.
fn sends(host: &mut Host, socket: stack::SocketId) -> [u8; 6] {
    let to = FAR.parse().unwrap();
    host.stack.udp_send_to(socket, to, b"x", host.now).unwrap();
    let sent = host.sent();
    assert_eq!(sent.len(), 1);
    sent[0][..6].try_into().unwrap()
}

/// A redirect about a datagram from port `port` to [`FAR`].
fn redirect(from: [u8; 4], to: [u8; 4], port: u16) -> Vec<u8> {
    let mut quoted = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 20], [203, 0, 113, 9], 64)
        .udp(port, 7)
        .write(&mut quoted, b"x")
        .unwrap();
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv4(from, [192, 0, 2, 20], 64)
        .icmpv4_raw(5, 1, to)
        .write(&mut bytes, &quoted)
        .unwrap();
    bytes
}

fn knows_better(host: &mut Host) {
    let line = "neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent";
    host.stack.ip(line).unwrap();
}

#[test]
fn the_better_gateway_is_used_for_five_minutes() {
    let (mut host, socket) = host();
    knows_better(&mut host);
    host.receive([redirect(GATEWAY, BETTER, 9)]);
    assert_eq!(sends(&mut host, socket), BETTER_MAC);
    // Only for this destination.
    let other = "203.0.113.10:7".parse().unwrap();
    host.stack
        .udp_send_to(socket, other, b"x", host.now)
        .unwrap();
    assert_eq!(host.sent()[0][..6], PEER);
    host.run_until(299 * SEC);
    assert_eq!(sends(&mut host, socket), BETTER_MAC);
    host.run_until(300 * SEC);
    assert_eq!(sends(&mut host, socket), PEER);
    host.assert_balanced();
}

/// `__ip_do_redirect()`: a gateway that is not known to be there is only asked.
#[test]
fn a_gateway_must_answer_first() {
    let (mut host, socket) = host();
    host.receive([redirect(GATEWAY, BETTER, 9)]);
    let asked = host.sent();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (&asked[0][12..14], &asked[0][38..42]),
        (&[8, 6][..], &BETTER[..])
    );
    assert_eq!(sends(&mut host, socket), PEER);
    let answer = [
        &[0, 1, 8, 0, 6, 4, 0, 2][..],
        &BETTER_MAC,
        &BETTER,
        &MAC,
        &[192, 0, 2, 20],
    ];
    host.receive([frame(0x0806, &answer.concat())]);
    assert_eq!(sends(&mut host, socket), PEER);
    host.receive([redirect(GATEWAY, BETTER, 9)]);
    assert_eq!(sends(&mut host, socket), BETTER_MAC);
}

#[test]
fn what_is_not_believed() {
    for (why, settings, message) in [
        ("another router", "", redirect([192, 0, 2, 11], BETTER, 9)),
        ("no socket sent it", "", redirect(GATEWAY, BETTER, 10)),
        (
            "not on the link",
            "",
            redirect(GATEWAY, [198, 51, 100, 1], 9),
        ),
        ("this host", "", redirect(GATEWAY, [192, 0, 2, 20], 9)),
        ("itself", "", redirect(GATEWAY, GATEWAY, 9)),
        (
            "refused",
            "net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.accept_redirects=0",
            redirect(GATEWAY, BETTER, 9),
        ),
        (
            "a router",
            "net.ipv4.ip_forward=1",
            redirect(GATEWAY, BETTER, 9),
        ),
        (
            "no gateway of a default route, which secure_redirects wants",
            "net.ipv4.conf.all.shared_media=0 net.ipv4.conf.eth0.shared_media=0",
            redirect(GATEWAY, BETTER, 9),
        ),
    ] {
        let (mut host, socket) = host();
        knows_better(&mut host);
        if !settings.is_empty() {
            host.stack.sysctl(&format!("-q {settings}")).unwrap();
        }
        host.receive([message]);
        // As the kernel, it asks for whatever a default route could lead to.
        host.sent();
        assert_eq!(sends(&mut host, socket), PEER, "{why}");
        host.assert_balanced();
    }
}

#[test]
fn without_shared_media_a_gateway_of_a_default_route_is_believed() {
    let (mut host, socket) = host();
    knows_better(&mut host);
    let settings = "-q net.ipv4.conf.all.shared_media=0 net.ipv4.conf.eth0.shared_media=0";
    host.stack.sysctl(settings).unwrap();
    host.stack
        .ip("route add default via 192.0.2.77 metric 100")
        .unwrap();
    host.receive([redirect(GATEWAY, BETTER, 9)]);
    assert_eq!(sends(&mut host, socket), BETTER_MAC);
}

#[test]
fn with_another_route_it_means_nothing() {
    let (mut host, socket) = host();
    knows_better(&mut host);
    host.receive([redirect(GATEWAY, BETTER, 9)]);
    let line = "neigh add 192.0.2.30 lladdr 02:00:00:00:00:30 dev eth0 nud permanent";
    host.stack.ip(line).unwrap();
    host.stack
        .ip("route replace default via 192.0.2.30")
        .unwrap();
    assert_eq!(sends(&mut host, socket), [2, 0, 0, 0, 0, 0x30]);
}

/// A redirect of neighbour discovery to `target`; `src`: who says so.
fn redirect6(src: &str, target: &str, dst: &str) -> Vec<u8> {
    let option = [&[2, 1][..], &BETTER_MAC].concat();
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv6(v6(src), v6("fd00:9::2"), 255)
        .icmpv6_raw(137, 0, [0; 4])
        .write(&mut bytes, &[&v6(target)[..], &v6(dst), &option].concat())
        .unwrap();
    bytes
}

#[test]
fn ipv6_routers_tell_too() {
    let dst = "fd00:77::1";
    for (src, target, settings, expected) in [
        ("fe80::a", "fe80::77", "", BETTER_MAC),
        // It is on the link itself.
        ("fe80::a", dst, "", BETTER_MAC),
        ("fe80::b", "fe80::77", "", PEER),
        ("fd00:9::1", "fe80::77", "", PEER),
        ("fe80::a", "fd00:9::77", "", PEER),
        (
            "fe80::a",
            "fe80::77",
            "net.ipv6.conf.eth0.accept_redirects=0",
            PEER,
        ),
        (
            "fe80::a",
            "fe80::77",
            "net.ipv6.conf.all.forwarding=1",
            PEER,
        ),
    ] {
        let mut host = Host::new(StackConfig::default());
        for line in [
            "neigh add fe80::a lladdr 02:00:00:00:00:0a dev eth0 nud permanent",
            "-6 route add default via fe80::a dev eth0",
        ] {
            host.stack.ip(line).unwrap();
        }
        if !settings.is_empty() {
            host.stack.sysctl(&format!("-q {settings}")).unwrap();
        }
        let socket = host.stack.udp_bind("::".parse().unwrap(), 9).unwrap();
        host.receive([redirect6(src, target, dst)]);
        let to = format!("[{dst}]:7").parse().unwrap();
        host.stack.udp_send_to(socket, to, b"x", host.now).unwrap();
        assert_eq!(host.sent()[0][..6], expected, "{src} {target} {settings}");
        host.assert_balanced();
    }
}
