//! `ip nexthop` and the routes that name a number: what iproute2 6.1 printed of a 6.18 kernel, over the same commands.

use crate::link::two_links;
use stack::Stack;

fn run(stack: &mut Stack, lines: &[&str]) -> String {
    let run = |line: &&str| stack.ip(line).unwrap_or_else(|e| panic!("ip {line}: {e}"));
    lines.iter().map(run).collect()
}

fn ready() -> Stack {
    let mut stack = two_links();
    run(
        &mut stack,
        &[
            "addr add 10.0.1.1/24 dev eth0",
            "addr add 10.0.2.1/24 dev eth1",
            "nexthop add id 1 via 10.0.2.2 dev eth1",
            "nexthop add id 2 via 10.0.1.2 dev eth0",
            "nexthop add id 3 dev eth0",
            "nexthop add id 4 blackhole",
            "nexthop add id 9 via 10.0.7.2 dev eth1 onlink",
            "nexthop add id 10 group 1/2,3",
            "nexthop add via 10.0.2.7 dev eth1",
            "route add 10.9.0.0/24 nhid 1",
            "route add 10.10.0.0/24 nhid 10 metric 7",
            "route add 10.11.0.0/24 nhid 4",
            "route add 10.13.0.0/24 nhid 3 src 10.0.1.1",
        ],
    );
    stack
}

const FIRST: &str = "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.1 \n\
                     10.0.2.0/24 dev eth1 proto kernel scope link src 10.0.2.1 \n";
const LAST: &str =
    "blackhole 10.11.0.0/24 nhid 4 dev lo \n10.13.0.0/24 nhid 3 dev eth0 src 10.0.1.1 \n";

#[test]
fn they_are_listed_as_the_kernel_lists_them() {
    let mut stack = ready();
    assert_eq!(
        run(&mut stack, &["nexthop"]),
        "id 1 via 10.0.2.2 dev eth1 scope link \n\
         id 2 via 10.0.1.2 dev eth0 scope link \n\
         id 3 dev eth0 scope host \n\
         id 4 blackhole \n\
         id 5 via 10.0.2.7 dev eth1 scope link \n\
         id 9 via 10.0.7.2 dev eth1 scope link onlink \n\
         id 10 group 1/2,3 \n"
    );
    let routes = "10.9.0.0/24 nhid 1 via 10.0.2.2 dev eth1 \n\
         10.10.0.0/24 nhid 10 metric 7 \n\
         \tnexthop via 10.0.2.2 dev eth1 weight 1 \n\
         \tnexthop via 10.0.1.2 dev eth0 weight 3 \n";
    assert_eq!(
        run(&mut stack, &["route show"]),
        format!("{FIRST}{routes}{LAST}")
    );
    let got = run(&mut stack, &["route get 10.9.0.1"]);
    assert!(
        got.starts_with("10.9.0.1 via 10.0.2.2 dev eth1 src 10.0.2.1"),
        "{got}"
    );
    let got = stack.ip("route get 10.11.0.1").unwrap_err().to_string();
    assert!(
        got.ends_with("RTNETLINK answers: Invalid argument"),
        "{got}"
    );
}

#[test]
fn routes_follow_them() {
    let mut stack = ready();
    let shown = run(
        &mut stack,
        &[
            "nexthop replace id 1 via 10.0.2.3 dev eth1",
            "nexthop del id 2",
            "route show",
        ],
    );
    let routes = "10.9.0.0/24 nhid 1 via 10.0.2.3 dev eth1 \n\
                  10.10.0.0/24 nhid 10 via 10.0.2.3 dev eth1 metric 7 \n";
    assert_eq!(shown, format!("{FIRST}{routes}{LAST}"));
    // The group goes with its last member.
    let shown = run(&mut stack, &["nexthop del id 1", "route show"]);
    assert_eq!(shown, format!("{FIRST}{LAST}"));
    let shown = run(&mut stack, &["link set eth0 down", "nexthop", "route show"]);
    assert_eq!(
        shown,
        "id 4 blackhole \n\
         id 5 via 10.0.2.7 dev eth1 scope link \n\
         id 9 via 10.0.7.2 dev eth1 scope link onlink \n\
         10.0.2.0/24 dev eth1 proto kernel scope link src 10.0.2.1 \n\
         blackhole 10.11.0.0/24 nhid 4 dev lo \n"
    );
    assert_eq!(run(&mut stack, &["nexthop flush"]), "Flushed 3 nexthops\n");
}

#[test]
fn refusals_are_the_kernels() {
    let mut stack = ready();
    for (line, refusal) in [
        ("nexthop add id 12 group 1/99", "Error: Invalid nexthop id."),
        (
            "nexthop add id 1 via 10.0.2.2 dev eth1",
            "RTNETLINK answers: File exists",
        ),
        (
            "nexthop add id 6 via 10.0.8.2 dev eth1",
            "Error: Nexthop has invalid gateway.",
        ),
        (
            "nexthop add id 6 via 10.0.2.2",
            "Error: Device attribute required for non-blackhole and non-fdb nexthops.",
        ),
        (
            "nexthop del id 77",
            "RTNETLINK answers: No such file or directory",
        ),
        (
            "route add 10.12.0.0/24 nhid 77",
            "Error: Nexthop id does not exist.",
        ),
    ] {
        let error = stack.ip(line).unwrap_err().to_string();
        assert!(error.ends_with(refusal), "{line}: {error}");
    }
}
