//! Duplicate address detection. The states and their words are those that a 6.18 kernel and iproute2 6.1 showed for the same lines.

use super::*;

const WANTED: &str = "fd00:9::5";

/// A host that adds [`WANTED`] where new addresses are asked for first.
fn adding(settings: &str) -> Host {
    let mut host = Host::new(StackConfig::default());
    host.stack
        .sysctl(&format!("-q net.ipv6.conf.eth0.accept_dad=1 {settings}"))
        .unwrap();
    host.stack
        .ip(&format!("addr add {WANTED}/64 dev eth0"))
        .unwrap();
    host
}

fn state(host: &mut Host) -> String {
    let listed = host.stack.ip("-6 addr show dev eth0").unwrap();
    let line = listed.lines().find(|l| l.contains(WANTED)).unwrap();
    line.split(" global ").nth(1).unwrap().to_owned()
}

/// A neighbour solicitation (135) or advertisement (136) about [`WANTED`].
fn about(kind: u8, src: &str, options: &[u8]) -> Vec<u8> {
    let group = match kind {
        135 => "ff02::1:ff00:5",
        _ => "ff02::1",
    };
    let [.., a, b, c, d] = v6(group);
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, [0x33, 0x33, a, b, c, d])
        .ipv6(v6(src), v6(group), 255)
        .icmpv6_raw(kind, 0, [0; 4])
        .write(&mut bytes, &[&v6(WANTED)[..], options].concat())
        .unwrap();
    bytes
}

fn ping() -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv6(v6("fd00:9::1"), v6(WANTED), 64)
        .icmpv6_echo_request(7, 1)
        .write(&mut bytes, b"x")
        .unwrap();
    bytes
}

#[test]
fn an_address_is_asked_for_before_it_is_used() {
    let mut host = adding("");
    assert_eq!(state(&mut host), "tentative ");
    let routes = host.stack.ip("-6 route show table all").unwrap();
    assert!(!routes.contains("local fd00:9::5"), "{routes}");
    host.receive([ping()]);
    assert!(host.sent().is_empty());
    assert_eq!(host.stack.drop_count(DropReason::IpInAddrErrors), 1);
    // Within a second it asks, from nobody.
    host.run_until(SEC);
    let asked = host.sent();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0][..6], [0x33, 0x33, 0xff, 0, 0, 5]);
    assert_eq!(asked[0][21], 255, "hop limit");
    assert_eq!(asked[0][22..54], [v6("::"), v6("ff02::1:ff00:5")].concat());
    let message = verify(&asked[0]);
    assert_eq!(message[..16], v6(WANTED));
    assert_eq!((message.len(), message[16..18].to_vec()), (24, vec![14, 1]));
    // Its own question comes back (RFC 7527): that is nobody else's.
    host.receive(asked);
    assert_eq!(state(&mut host), "tentative ");
    host.run_until(2 * SEC);
    assert_eq!(state(&mut host), "");
    assert!(host.sent().is_empty());
    host.receive([ping()]);
    assert_eq!(host.sent().len(), 1);
    assert_eq!(host.stack.next_timer(), None);
    host.assert_balanced();
}

#[test]
fn whoever_has_it_keeps_it() {
    // An answer; somebody who asks for it too, with and without a nonce of his own.
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    for taken in [
        about(136, "fe80::77", &[2, 1, 2, 0, 0, 0, 0, 0x77]),
        about(135, "::", &[]),
        about(135, "::", &nonce),
    ] {
        let mut host = adding("");
        host.run_until(SEC);
        host.sent();
        host.receive([taken]);
        assert_eq!(state(&mut host), "dadfailed tentative ");
        host.run_until(10 * SEC);
        host.receive([ping()]);
        assert!(host.sent().is_empty(), "it is not this host's");
        // Nor is it a source, although it would fit best.
        let socket = host.stack.udp_bind("::".parse().unwrap(), 9).unwrap();
        let to = "[fd00:9::1]:7".parse().unwrap();
        host.stack.udp_send_to(socket, to, b"x", host.now).unwrap();
        assert_eq!(host.sent()[0][22..38], v6("fd00:9::2"));
        host.stack
            .ip(&format!("addr del {WANTED}/64 dev eth0"))
            .unwrap();
        assert_eq!(host.stack.next_timer(), None);
        host.assert_balanced();
    }
}

/// Who asks where it is, and not for himself, gets no answer and disturbs nobody.
#[test]
fn a_tentative_address_does_not_answer() {
    let mut host = adding("");
    host.receive([about(135, "fd00:9::1", &[1, 1, 2, 0, 0, 0, 0, 0x0a])]);
    assert!(host.sent().is_empty());
    assert_eq!(state(&mut host), "tentative ");
    host.run_until(3 * SEC);
    assert_eq!(state(&mut host), "");
}

#[test]
fn settings_say_whether_and_how_often() {
    let mut host = adding(
        "net.ipv6.conf.eth0.dad_transmits=3 net.ipv6.conf.all.enhanced_dad=0 net.ipv6.conf.eth0.enhanced_dad=0",
    );
    host.run_until(10 * SEC);
    let asked = host.sent();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|f| verify(f).len() == 16), "no option");
    assert_eq!(state(&mut host), "");

    let mut host = adding("net.ipv6.conf.eth0.dad_transmits=0");
    host.run_until(SEC);
    assert_eq!((host.sent().len(), state(&mut host)), (0, String::new()));

    let mut host = adding("net.ipv6.conf.eth0.accept_dad=0");
    assert_eq!(
        (host.stack.next_timer(), state(&mut host)),
        (None, String::new())
    );

    let mut host = adding("");
    host.stack.ip("addr del fd00:9::5/64 dev eth0").unwrap();
    host.stack
        .ip("addr add fd00:9::5/64 dev eth0 nodad")
        .unwrap();
    assert_eq!(
        (host.stack.next_timer(), state(&mut host)),
        (None, "nodad ".to_owned())
    );
    host.receive([ping()]);
    assert_eq!(host.sent().len(), 1);
}

/// Without carrier nobody would hear the question: it waits.
#[test]
fn it_waits_for_carrier() {
    let mut host = adding("");
    host.wire.borrow_mut().link = false;
    host.run_until(10 * SEC);
    assert_eq!(
        (host.sent().len(), state(&mut host)),
        (0, "tentative ".to_owned())
    );
    host.wire.borrow_mut().link = true;
    host.run_until(13 * SEC);
    assert_eq!((host.sent().len(), state(&mut host)), (1, String::new()));
}
