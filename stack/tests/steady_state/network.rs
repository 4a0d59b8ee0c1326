//! Forwarding of both families, rules and sets, connection tracking, NAT, fragments, and what ends in this host.

use crate::host::{BATCH, ROUNDS, Scene, counts, steady};
use crate::packets::{FAR, OWN, echo_requests, fragments, tcp, udp, udp6};

const FORWARDED: (usize, usize, usize) = (BATCH, 0, 0);
const READ: (usize, usize, usize) = (0, BATCH, 0);
const DROPPED: (usize, usize, usize) = (0, 0, BATCH);

fn with_rules(rules: &str, frames: Vec<Vec<u8>>) -> Scene<'_> {
    Scene {
        rules,
        ..Scene::new(frames)
    }
}

#[test]
fn forwarding() {
    steady("udp", Scene::new(udp(FAR)), FORWARDED);
    steady("tcp", Scene::new(tcp(FAR)), FORWARDED);
    steady("udp over ipv6", Scene::new(udp6(2, 0x30)), FORWARDED);
}

#[test]
fn rules_and_sets() {
    let ports: Vec<_> = (1..1000).map(|n| n.to_string()).collect();
    let rules = format!(
        "table inet t {{
            set ports {{ type inet_service; elements = {{ {} }}; }}
            map marks {{ type ipv4_addr : mark; elements = {{ 192.0.2.10 : 7, 192.0.2.11 : 8 }}; }}
            map ways {{ type inet_proto : verdict; elements = {{ udp : jump one, tcp : jump one }}; }}
            set pairs {{ type ipv4_addr . inet_service; flags interval; elements = {{ 192.0.2.0/24 . 5000-6000 }}; }}
            chain one {{ counter; ip saddr . udp sport @pairs counter; return; }}
            chain c {{
                type filter hook forward priority 0; policy accept;
                udp sport @ports drop
                meta mark set ip saddr map @marks
                meta l4proto vmap @ways
                limit rate 1/second counter
                ip dscp set af11
                th dport {{ 1-8, 10-20 }} drop
            }}
        }}",
        ports.join(", ")
    );
    steady("udp", with_rules(&rules, udp(FAR)), FORWARDED);
    steady("tcp", with_rules(&rules, tcp(FAR)), FORWARDED);
    let six = with_rules(&rules, udp6(2, 0x30));
    steady("udp over ipv6", six, FORWARDED);
    let drop = "table inet t { chain c { type filter hook prerouting priority 0; policy drop; }; }";
    steady("dropped", with_rules(drop, udp(FAR)), DROPPED);
    let devices = "table netdev t {
        chain i { type filter hook ingress device eth0 priority 0; ether type ip counter; ip saddr 192.0.2.10 counter; }
        chain e { type filter hook egress device eth1 priority 0; udp dport 9 counter; }
    }";
    steady("netdev", with_rules(devices, udp(FAR)), FORWARDED);
    let dynamic = "table ip t {
        set seen { type inet_service; size 1000; flags dynamic, timeout; timeout 1h; }
        chain c { type filter hook forward priority 0; policy accept; update @seen { udp sport }; }
    }";
    steady("set of what came", with_rules(dynamic, udp(FAR)), FORWARDED);
}

#[test]
fn connection_tracking_and_nat() {
    let track = "table inet t { chain c { type filter hook forward priority 0; policy drop; ct state new,established accept; }; }";
    steady("udp", with_rules(track, udp(FAR)), FORWARDED);
    steady("tcp, invalid", with_rules(track, tcp(FAR)), DROPPED);
    let six = with_rules(track, udp6(2, 0x30));
    steady("udp over ipv6", six, FORWARDED);
    let masquerade =
        "table ip t { chain p { type nat hook postrouting priority 100; masquerade; }; }";
    let out = with_rules(masquerade, udp(FAR));
    steady("udp, masqueraded", out, FORWARDED);
    let dnat = "table ip t { chain p { type nat hook prerouting priority -100; udp dport 9 dnat to 198.51.100.30:99; }; }";
    let other = with_rules(dnat, udp(OWN));
    steady("udp, to another host", other, FORWARDED);
    let redirect = "table ip t { chain p { type nat hook prerouting priority -100; udp dport 9 redirect to :9; }; }";
    let redirected = with_rules(redirect, udp(FAR));
    steady("udp, redirected", redirected, READ);
}

#[test]
fn local_delivery() {
    steady("udp", Scene::new(udp(OWN)), READ);
    steady("udp over ipv6", Scene::new(udp6(1, 1)), READ);
    let track = "table inet t { chain c { type filter hook input priority 0; policy drop; ct state new,established accept; }; }";
    steady("udp, tracked", with_rules(track, udp(OWN)), READ);
    // An answer each.
    let requests = Scene::new(echo_requests());
    steady("echo requests", requests, (BATCH, 0, 0));
    for frames in [udp(OWN), udp6(1, 1)] {
        let echo = Scene {
            echo: true,
            ..Scene::new(frames)
        };
        steady("udp, echoed", echo, (BATCH, BATCH, 0));
    }
    // Nobody listens: a reset each.
    steady("tcp", Scene::new(tcp(OWN)), (BATCH, 0, BATCH));
}

#[test]
fn fragments_that_pass() {
    steady("forwarded", Scene::new(fragments(FAR)), FORWARDED);
}

/// A datagram in pieces is something new, as a connection is: Linux makes an `inet_frag_queue` of it (`inet_frag_create()`) and gives that
/// back when it is whole. Here it is what the whole knows of its pieces, to be taken apart into the same again.
#[test]
fn fragments_that_are_put_together() {
    const DATAGRAMS: usize = BATCH / 2;
    let track = "table ip t { chain c { type filter hook forward priority 0; policy drop; ct state new,established accept; }; }";
    for (scene, sent, read) in [
        (Scene::new(fragments(OWN)), 0, DATAGRAMS),
        // Put together for connection tracking, and taken apart again.
        (with_rules(track, fragments(FAR)), BATCH, 0),
    ] {
        let (count, allocations) = counts(scene);
        assert_eq!(
            (count.sent, count.read, count.dropped),
            (ROUNDS * sent, ROUNDS * read, 0)
        );
        assert_eq!(allocations, ROUNDS * DATAGRAMS);
    }
}
