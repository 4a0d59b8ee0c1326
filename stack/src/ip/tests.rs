use crate::{IpCidr, Stack, StackConfig};
use proptest::prelude::*;

fn stack() -> Stack {
    Stack::new(StackConfig::default())
}

#[test]
fn words_that_are_unknown_are_named() {
    let mut stack = stack();
    let mut say = |line| stack.ip(line).unwrap_err().to_string();
    assert_eq!(
        say("ip route add 10.0.0.0/8 vie 10.0.0.1"),
        r#"1:25: "vie": unknown word of a route"#
    );
    assert_eq!(
        say("ip route add 1.2.3.4 dev d7"),
        r#"1:26: "d7": Cannot find device "d7""#
    );
    assert_eq!(
        say("rule add from 1.2.3.4/40 lookup 5"),
        r#"1:15: "1.2.3.4/40": not a prefix of this family"#
    );
    assert_eq!(say("route get"), "1:10: end of line: an address is missing");
    assert_eq!(
        say("route add 10.0.0.0/8 via 9.9.9.9"),
        r#"1:11: "10.0.0.0/8": Error: Nexthop has invalid gateway."#
    );
    assert_eq!(
        say("bla"),
        r#"1:1: "bla": unknown object (route, rule, addr, link, neigh, nexthop, maddr)"#
    );
}

#[test]
fn a_host_alone_shows_what_linux_shows_but_for_the_mtu_of_lo() {
    let mut stack = stack();
    assert_eq!(
        stack.ip("-4 route show table all").unwrap(),
        "local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1 \n\
         local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 \n\
         broadcast 127.255.255.255 dev lo table local proto kernel scope link src 127.0.0.1 \n"
    );
    assert_eq!(
        stack.ip("addr").unwrap(),
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65535 qdisc noqueue state UNKNOWN group default qlen 1000\n    \
         link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    \
         inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n    \
         inet6 ::1/128 scope host \n       valid_lft forever preferred_lft forever\n"
    );
    let local = "local 127.0.0.1 dev lo table local src 127.0.0.1 uid 0 \n    cache <local> \n";
    assert_eq!(stack.ip("route get 127.0.0.1").unwrap(), local);
}

#[test]
fn addresses_come_and_go_with_their_routes() {
    let mut stack = stack();
    let before = stack.ip("route show table all").unwrap();
    for line in [
        "addr add 10.0.0.1/16 brd + dev lo",
        "addr add 10.0.0.77/16 dev lo",
        "addr add fd00::1/64 dev lo",
        "route add 10.9.0.0/16 dev lo src 10.0.0.1",
    ] {
        stack.ip(line).unwrap();
    }
    let addrs = stack.ip("-4 addr show dev lo").unwrap();
    assert!(addrs.contains("inet 10.0.0.1/16 brd 10.0.255.255 scope global lo\n"));
    assert!(addrs.contains("inet 10.0.0.77/16 scope global secondary lo\n"));
    let local = stack
        .ip("route show table local root 10.0.0.77/32")
        .unwrap();
    assert_eq!(
        local,
        "local 10.0.0.77 dev lo proto kernel scope host src 10.0.0.1 \n"
    );
    let twice = stack.ip("addr add 10.0.0.1/16 dev lo").unwrap_err();
    assert_eq!(twice.problem, "Error: ipv4: Address already assigned.");
    // The secondary one goes with it.
    stack.ip("addr del 10.0.0.1/16 dev lo").unwrap();
    stack.ip("addr del fd00::1/64 dev lo").unwrap();
    assert_eq!(stack.ip("route show table all").unwrap(), before);
    assert_eq!(stack.ip("-4 addr").unwrap().matches("inet ").count(), 1);
}

#[test]
fn routes_of_one_prefix_keep_their_order() {
    let mut stack = stack();
    let mut run = |line: &str| stack.ip(line).unwrap();
    run("addr add 10.0.0.1/16 dev lo");
    run("route add 20.0.0.0/8 dev lo metric 5");
    run("route add 20.0.0.0/8 dev lo metric 3");
    run("route append 20.0.0.0/8 dev lo metric 3 proto static");
    run("route prepend 20.0.0.0/8 dev lo metric 3 proto bgp");
    run("route add 20.0.0.0/8 dev lo tos 0x10");
    assert_eq!(
        run("route show"),
        "20.0.0.0/8 tos 0x10 dev lo scope link \n\
         20.0.0.0/8 dev lo proto bgp scope link metric 3 \n\
         20.0.0.0/8 dev lo scope link metric 3 \n\
         20.0.0.0/8 dev lo proto static scope link metric 3 \n\
         20.0.0.0/8 dev lo scope link metric 5 \n"
    );
    run("route replace blackhole 20.0.0.0/8 metric 3");
    run("route del 20.0.0.0/8 proto static");
    run("route change 20.0.0.0/8 dev lo metric 5 mtu lock 1300 hoplimit 9");
    assert_eq!(
        run("route show 20.0.0.0/8"),
        "20.0.0.0/8 tos 0x10 dev lo scope link \n\
         blackhole 20.0.0.0/8 metric 3 \n\
         20.0.0.0/8 dev lo scope link metric 3 \n\
         20.0.0.0/8 dev lo scope link metric 5 mtu lock 1300 hoplimit 9 \n"
    );
    let exists = stack
        .ip("route add 20.0.0.0/8 dev lo metric 3")
        .unwrap_err();
    assert_eq!(exists.problem, "RTNETLINK answers: File exists");
}

/// As a 6.18 kernel lists and takes it.
#[test]
fn a_route_that_refuses_is_deleted_as_it_is_listed() {
    let mut stack = stack();
    stack.ip("-6 route add unreachable fd03::/64").unwrap();
    let listed = stack.ip("-6 route show fd03::/64").unwrap();
    assert_eq!(
        listed,
        "unreachable fd03::/64 dev lo metric 1024 pref medium\n"
    );
    stack
        .ip(&format!("-6 route del {}", listed.trim_end()))
        .unwrap();
    assert_eq!(stack.ip("-6 route show fd03::/64").unwrap(), "");
}

#[test]
fn rules_print_as_they_were_typed() {
    let mut stack = stack();
    let rules = [
        "5:\tfrom 10.0.0.0/8 to 11.0.0.0/8 tos 0x10 fwmark 0x1/0x3 iif lo oif d9 [detached] ipproto tcp sport 1-9 dport 53 lookup 100",
        "6:\tnot from 10.0.0.0/8 unreachable",
        "7:\tfrom all goto 32766",
        "8:\tfrom all lookup main suppress_prefixlength 0",
        "9:\tfrom all ipproto ipproto-99 goto 5000 [unresolved]",
        "10:\tfrom 1.2.3.4 prohibit proto 77",
        "11:\tfrom all nop",
    ];
    for rule in rules {
        let line = rule
            .replace(":\t", " ")
            .replace(" [detached]", "")
            .replace(" [unresolved]", "")
            .replace("ipproto-", "")
            .replace(" proto 77", " protocol 77");
        stack.ip(&format!("rule add pref {line}")).unwrap();
    }
    let shown = stack.ip("rule").unwrap();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[1..lines.len() - 2], rules);
    let again = stack.ip("rule add pref 11 nop").unwrap_err();
    assert_eq!(again.problem, "RTNETLINK answers: File exists");
    stack.ip("rule del pref 11").unwrap();
    let none = stack.ip("rule del pref 11").unwrap_err();
    assert_eq!(none.problem, "RTNETLINK answers: No such file or directory");
    let back = stack.ip("rule add pref 11 goto 3").unwrap_err();
    assert_eq!(back.problem, "Error: Backward goto not supported.");
}

#[test]
fn several_ways_and_ipv6() {
    let mut stack = stack();
    let mut run = |line: &str| stack.ip(line).unwrap();
    run("addr add 10.0.0.1/16 dev lo");
    run("addr add fd00::1/64 dev lo");
    run("route add 10.0.0.0/16 dev lo");
    run("route add 10.9.0.0/16 nexthop via 10.0.0.2 weight 2 nexthop via 10.0.0.3 dev lo");
    assert_eq!(
        run("route show 10.9.0.0/16"),
        "10.9.0.0/16 \n\tnexthop via 10.0.0.2 dev lo weight 2 \n\tnexthop via 10.0.0.3 dev lo weight 1 \n"
    );
    run("route add fd02::/64 via fd00::2 mtu 1300");
    run("-6 route append fd02::/64 via fd00::3 mtu 1300");
    run("-6 route add default via fe80::1 dev lo metric 5");
    run("route add unreachable fd03::/64");
    assert_eq!(
        run("-6 route show"),
        "fd00::/64 dev lo proto kernel metric 256 pref medium\n\
         fd02::/64 metric 1024 mtu 1300 pref medium\n\tnexthop via fd00::2 dev lo weight 1 \n\tnexthop via fd00::3 dev lo weight 1 \n\
         unreachable fd03::/64 dev lo metric 1024 pref medium\n\
         default via fe80::1 dev lo metric 5 pref medium\n"
    );
    let refused = stack.ip("route get fd03::5").unwrap_err();
    assert_eq!(refused.problem, "RTNETLINK answers: No route to host");
}

#[test]
fn neighbours_are_set_and_listed() {
    let mut stack = stack();
    let mut run = |line: &str| stack.ip(line).unwrap();
    run("neigh add 10.0.0.5 lladdr 2:0:0:0:0:1 dev lo");
    run("neigh add 10.0.0.6 lladdr 2:0:0:0:0:2 dev lo nud stale");
    run("neigh replace fd00::6 lladdr 2:0:0:0:0:2 dev lo nud permanent");
    assert_eq!(
        run("neigh"),
        "10.0.0.5 dev lo lladdr 02:00:00:00:00:01 PERMANENT \n\
         10.0.0.6 dev lo lladdr 02:00:00:00:00:02 STALE \n\
         fd00::6 dev lo lladdr 02:00:00:00:00:02 PERMANENT \n"
    );
    assert_eq!(
        run("-6 neigh show dev lo"),
        "fd00::6 lladdr 02:00:00:00:00:02 PERMANENT \n"
    );
    run("neigh flush dev lo");
    assert_eq!(run("neigh show nud stale"), "");
    run("neigh del 10.0.0.5 dev lo");
    let error = stack.ip("neigh del 10.0.0.5 dev lo").unwrap_err();
    assert_eq!(
        error.problem,
        "RTNETLINK answers: No such file or directory"
    );
}

/// Words of `ip` lines, and such that hardly are.
fn word() -> impl Strategy<Value = String> {
    let known = "route|rule|addr|link|neigh|add|del|show|get|flush|replace|append|change|set|to|from|via|dev|lo|d9|\
        src|metric|table|main|all|local|100|proto|static|scope|link|tos|0x10|onlink|nexthop|weight|mtu|lock|1400|\
        default|unreachable|throw|blackhole|pref|5|9|not|fwmark|7/3|iif|oif|ipproto|tcp|sport|1-9|dport|lookup|\
        goto|nop|suppress_prefixlength|0|mark|nud|lladdr|2:0:0:0:0:1|permanent|brd|inet6|root|match|-6|-4";
    let known: Vec<_> = known.split('|').map(|w| w.trim().to_owned()).collect();
    prop_oneof![
        8 => prop::sample::select(known),
        3 => (any::<[u8; 4]>(), 0u8..40).prop_map(|([a, b, c, d], l)| format!("{a}.{b}.{c}.{d}/{l}")),
        1 => (any::<u128>(), 0u8..140).prop_map(|(a, l)| format!("{}/{l}", std::net::Ipv6Addr::from(a))),
        1 => "[ -~é]{0,8}",
    ]
}

proptest! {
    #[test]
    fn no_line_panics(lines in prop::collection::vec(prop::collection::vec(word(), 0..12), 1..8)) {
        let mut stack = stack();
        for line in lines {
            let _ = stack.ip(&line.join(" "));
        }
        stack.ip("route show table all").unwrap();
        stack.ip("-6 rule show").unwrap();
    }

    /// What is shown can be typed, and then the same is shown.
    #[test]
    fn what_is_shown_can_be_typed(
        routes in prop::collection::vec((any::<u32>(), 1u8..=32, 0u32..4, 0u8..3, prop::sample::select(vec![
            "dev lo", "dev lo mtu 1400", "via 127.0.0.7 dev lo onlink", "dev lo table 100 proto static", "dev lo scope host",
            "nexthop via 127.0.0.7 dev lo weight 3 onlink nexthop dev lo weight 2", "dev lo mtu lock 1300 hoplimit 3",
        ])), 0..30),
    ) {
        let (mut first, mut second) = (stack(), stack());
        for (key, len, metric, tos, rest) in routes {
            let cidr = IpCidr::new(std::net::Ipv4Addr::from(key).into(), len).unwrap().network();
            let tos = tos * 8;
            let _ = first.ip(&format!("route add {cidr} metric {metric} tos {tos:#04x} {rest}"));
        }
        let shown = first.ip("-4 route show table all").unwrap();
        for route in shown.replace("\n\t", " ").lines() {
            // It came with lo.
            if !route.contains("proto kernel") {
                second.ip(&format!("route append {route}")).unwrap();
            }
        }
        prop_assert_eq!(second.ip("-4 route show table all").unwrap(), shown);
    }
}
