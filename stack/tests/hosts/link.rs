//! `ip link set … down|up`.

use crate::common::{MAC, Wire};
use stack::{DropReason, Stack, StackConfig};
use std::rc::Rc;

pub fn two_links() -> Stack {
    let mut stack = Stack::new(StackConfig::default());
    for name in ["eth0", "eth1"] {
        stack.add_device(name, Box::new(Rc::clone(&Wire::new(MAC))));
    }
    stack
}

/// What iproute2 6.1 printed of a 6.18 kernel, over the same commands.
#[test]
fn routes_go_and_come_as_the_kernels_do() {
    let mut stack = two_links();
    let run = |stack: &mut Stack, lines: &[&str]| -> String {
        lines.iter().map(|line| stack.ip(line).unwrap()).collect()
    };
    let shown = run(
        &mut stack,
        &[
            "addr add 10.0.1.1/24 dev eth0",
            "addr add 10.0.2.1/24 dev eth1",
            "route add 10.9.0.0/24 nexthop via 10.0.1.2 dev eth0 nexthop via 10.0.2.2 dev eth1 onlink",
            "route add 10.8.0.0/24 via 10.0.2.2",
            "neigh add 10.0.2.2 lladdr 02:00:00:00:02:02 dev eth1 nud permanent",
            "link set eth1 down",
            "route show",
            "route show table local dev eth1",
            "neigh show",
        ],
    );
    let multipath = |flags: &str| {
        format!(
            "10.9.0.0/24 \n\tnexthop via 10.0.1.2 dev eth0 weight 1 \n\tnexthop via 10.0.2.2 dev eth1 weight 1 {flags} \n"
        )
    };
    let first = "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.1 \n";
    let expected = format!(
        "{first}{}local 10.0.2.1 proto kernel scope host src 10.0.2.1 \n",
        multipath("dead onlink linkdown")
    );
    assert_eq!(shown, expected);
    for (line, refusal) in [
        (
            "route add 10.7.0.0/24 dev eth1",
            "Device for nexthop is not up.",
        ),
        (
            "route add 10.7.0.0/24 via 10.0.2.9 dev eth1 onlink",
            "Nexthop device is not up.",
        ),
        (
            "-6 route add fd01::/64 dev eth1",
            "Nexthop device is not up.",
        ),
        (
            "route add 10.7.0.0/24 via 10.0.2.9",
            "Nexthop has invalid gateway.",
        ),
    ] {
        let error = stack.ip(line).unwrap_err().to_string();
        assert!(error.contains(refusal), "{line}: {error}");
    }
    let shown = run(
        &mut stack,
        &[
            "addr add 10.0.3.1/24 dev eth1",
            "link set dev eth1 up",
            "route show",
        ],
    );
    let expected = format!(
        "{first}10.0.2.0/24 dev eth1 proto kernel scope link src 10.0.2.1 \n\
         10.0.3.0/24 dev eth1 proto kernel scope link src 10.0.3.1 \n{}",
        multipath("onlink")
    );
    assert_eq!(shown, expected);
}

#[test]
fn what_comes_in_while_it_is_down_is_lost() {
    let mut host = crate::Host::new(StackConfig::default());
    host.stack.ip("link set eth0 down").unwrap();
    host.receive([crate::ping4(b"x")]);
    assert_eq!(host.stack.drop_count(DropReason::DevReady), 1);
    assert!(host.sent().is_empty());
    host.stack.ip("link set eth0 up").unwrap();
    host.stack
        .ip("neigh replace 192.0.2.10 lladdr 02:00:00:00:00:0a dev eth0")
        .unwrap();
    host.receive([crate::ping4(b"x")]);
    assert_eq!(host.sent().len(), 1);
}

/// What iproute2 6.1 printed of a 6.18 kernel, over the same commands.
#[test]
fn addresses_come_without_a_route_when_asked() {
    let mut stack = two_links();
    for line in [
        "addr add 10.0.1.1/24 dev eth0 noprefixroute",
        "addr add 10.0.1.2/24 dev eth0 noprefixroute",
        "addr add fd00::1/64 dev eth0 noprefixroute",
    ] {
        stack.ip(line).unwrap();
    }
    assert_eq!(stack.ip("route show").unwrap(), "");
    assert_eq!(
        stack.ip("route show table local dev eth0").unwrap(),
        "local 10.0.1.1 proto kernel scope host src 10.0.1.1 \n\
         local 10.0.1.2 proto kernel scope host src 10.0.1.1 \n\
         broadcast 10.0.1.255 proto kernel scope link src 10.0.1.1 \n"
    );
    assert!(!stack.ip("-6 route show").unwrap().contains("fd00::/64"));
    let shown = stack.ip("addr show dev eth0").unwrap();
    for line in [
        "inet 10.0.1.1/24 scope global noprefixroute eth0\n",
        "inet 10.0.1.2/24 scope global secondary noprefixroute eth0\n",
        "inet6 fd00::1/64 scope global noprefixroute \n",
    ] {
        assert!(shown.contains(line), "{line}{shown}");
    }
}
