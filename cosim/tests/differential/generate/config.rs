//! Routes, policy rules, MTUs and settings.

use super::{Hosts, Random, Speaks};

/// Settings that a case may change, the values that it may give them, and what they are otherwise.
pub const SETTINGS: [(&str, &[&str], &str); 11] = [
    ("net.ipv4.conf.eth_c.rp_filter", &["1"], "0"),
    ("net.ipv4.conf.all.rp_filter", &["2"], "0"),
    ("net.netfilter.nf_conntrack_tcp_loose", &["0"], "1"),
    ("net.netfilter.nf_conntrack_tcp_be_liberal", &["1"], "0"),
    ("net.netfilter.nf_conntrack_acct", &["1"], "0"),
    ("net.ipv4.ip_default_ttl", &["33"], "64"),
    ("net.ipv4.conf.eth_s.forwarding", &["0"], "1"),
    // Last, for they are drawn by `multipath()` only.
    (
        "net.ipv4.fib_multipath_hash_policy",
        &["1", "1", "2", "3"],
        "0",
    ),
    (
        "net.ipv6.fib_multipath_hash_policy",
        &["1", "1", "2", "3"],
        "0",
    ),
    (
        "net.ipv4.fib_multipath_hash_fields",
        &["0x22", "0x33", "0x1", "0x37", "0x4"],
        "7",
    ),
    (
        "net.ipv6.fib_multipath_hash_fields",
        &["0x22", "0x33", "0x8", "0x3f", "0x4"],
        "7",
    ),
];

/// How many of them are drawn at any time.
const ANY_TIME: usize = 7;

/// The lines of a case.
pub fn lines(r: &mut Random, hosts: Hosts, speaks: Speaks) -> Vec<String> {
    let mut lines = Vec::new();
    for v6 in [false, true] {
        let spoken = match speaks {
            Speaks::V4 => !v6,
            Speaks::V6 => v6,
            Speaks::Both => true,
        };
        if spoken {
            routes(r, hosts, v6, &mut lines);
            rules(r, hosts, v6, &mut lines);
            multipath(r, v6, &mut lines);
        }
    }
    if r.percent(8) {
        let (device, mtu) = (r.of(&["eth_c", "eth_s"]), r.of(&[1280, 1400]));
        lines.push(format!("ip link set {device} mtu {mtu}"));
    }
    if r.percent(10) {
        let setting = SETTINGS[r.below(ANY_TIME)];
        lines.push(set(r, setting));
    }
    lines
}

fn set(r: &mut Random, (key, values, _): (&str, &[&str], &str)) -> String {
    format!("sysctl -qw {key}={}", r.of(values))
}

fn ip(v6: bool) -> &'static str {
    if v6 { "ip -6" } else { "ip" }
}

/// Gateways.
const GATEWAYS: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// A way to somewhere: one gateway, or several with weights.
fn way(r: &mut Random, hosts: Hosts, v6: bool) -> String {
    let via = |(side, host)| format!("via {}", hosts.addr(v6, side, host));
    if r.percent(60) {
        return via(r.of(&GATEWAYS));
    }
    let mut gateways = GATEWAYS.to_vec();
    gateways.remove(r.below(gateways.len()));
    gateways.truncate(2 + r.below(2));
    let weighed = |gateway| {
        let weight = r.of(&[1, 1, 2, 3, 7, 200]);
        format!("nexthop {} weight {weight}", via(gateway))
    };
    gateways
        .into_iter()
        .map(weighed)
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a route says of its packets (`RTA_METRICS`), and the source that it prefers.
fn metrics(r: &mut Random, v6: bool) -> String {
    if r.percent(65) {
        return String::new();
    }
    let own = Hosts::at(v6, 1 + r.below(2) as u8, 1);
    match r.below(7) {
        0 | 1 => format!(" mtu {}", r.of(&[1280, 1300, 1400, 1600])),
        2 => format!(" mtu lock {}", r.of(&[1280, 1300])),
        3 => format!(" advmss {}", r.of(&[500, 1400])),
        4 => format!(" hoplimit {}", r.of(&[1, 7, 255])),
        5 => format!(" src {own} hoplimit 9"),
        _ => format!(" src {own}"),
    }
}

fn routes(r: &mut Random, hosts: Hosts, v6: bool, lines: &mut Vec<String>) {
    let ip = ip(v6);
    for net in 3..8 {
        if !r.percent(30) {
            continue;
        }
        let network = Hosts::network(v6, net);
        let mut metric = 0;
        // The lower metric wins, whichever came first.
        for _ in 0..1 + r.below(7) / 5 {
            let numbered = match metric {
                0 if r.percent(70) => String::new(),
                0 => format!(" metric {}", r.of(&[1, 2000])),
                _ => format!(" metric {metric}"),
            };
            metric = r.of(&[5, 3000]);
            lines.push(match r.below(9) {
                0 => format!("{ip} route add blackhole {network}{numbered}"),
                1 => format!("{ip} route add unreachable {network}{numbered}"),
                2 => format!("{ip} route add prohibit {network}{numbered}"),
                3 => format!("{ip} route add throw {network}{numbered}"),
                _ => {
                    let (metrics, way) = (metrics(r, v6), way(r, hosts, v6));
                    // What is behind the ways of several would be about the last one.
                    format!("{ip} route add {network}{numbered}{metrics} {way}")
                }
            });
        }
    }
    if r.percent(15) {
        // To a host that others are on the link with: what answers and errors to it look like.
        let (side, host) = hosts.any(r, v6);
        let length = if v6 { 128 } else { 32 };
        let metrics = metrics(r, v6);
        let way = match r.below(4) {
            0 => format!("via {}", hosts.addr(v6, side, 1)),
            1 => way(r, hosts, v6),
            _ => format!("dev {}", ["eth_c", "eth_s"][side]),
        };
        lines.push(format!("{ip} route add {host}/{length}{metrics} {way}"));
    }
}

fn rules(r: &mut Random, hosts: Hosts, v6: bool, lines: &mut Vec<String>) {
    let ip = ip(v6);
    if r.percent(40) {
        let (metrics, way) = (metrics(r, v6), way(r, hosts, v6));
        lines.push(format!("{ip} route add default{metrics} table 100 {way}"));
        let network = |net| Hosts::network(v6, net);
        for priority in [100, 70].into_iter().take(1 + r.below(4) / 3) {
            let selectors = [
                "fwmark 0x5".to_owned(),
                "fwmark 0x4/0x4".to_owned(),
                "fwmark 0x1/0x3".to_owned(),
                "fwmark 0x0/0x4 tos 0x10".to_owned(),
                "not fwmark 0x4/0x6".to_owned(),
                format!("from {}", hosts.addr(v6, 0, 1)),
                format!("from {} to {}", network(1), hosts.addr(v6, 1, 0)),
                format!("to {}", network(4)),
                format!("to {} iif eth_s", network(3)),
                "iif eth_c tos 0x10".to_owned(),
                "tos 0x10".to_owned(),
                "iif eth_s".to_owned(),
                "iif lo".to_owned(),
                format!("iif lo to {}", network(2)),
                format!("not from {}", network(1)),
                format!("oif eth_s to {}", network(2)),
                "oif eth_c".to_owned(),
                "ipproto udp dport 53".to_owned(),
                "ipproto tcp sport 80-99".to_owned(),
                format!("to {} ipproto udp", network(2)),
                "sport 40000".to_owned(),
            ];
            let selector = r.of(&selectors);
            let action = match r.below(8) {
                0 => "lookup 100 suppress_prefixlength 0".to_owned(),
                1 => "goto 32766".to_owned(),
                _ => "lookup 100".to_owned(),
            };
            lines.push(format!(
                "{ip} rule add {selector} {action} priority {priority}"
            ));
        }
    }
    if r.percent(10) {
        let to = hosts.addr(v6, 1, 1);
        let action = r.of(&["prohibit", "unreachable", "blackhole"]);
        lines.push(format!("{ip} rule add to {to} {action} priority 90"));
    }
    if r.percent(6) {
        let length = r.of(&[0, 8, 24, 64]);
        lines.push(format!(
            "{ip} rule add lookup main suppress_prefixlength {length} priority 80"
        ));
    }
}

/// How the ways of a route are chosen from, when there is a choice.
fn multipath(r: &mut Random, v6: bool, lines: &mut Vec<String>) {
    let prefix = format!("{} route ", ip(v6));
    let choice = |line: &String| line.starts_with(&prefix) && line.contains(" nexthop ");
    if !lines.iter().any(choice) || r.percent(25) {
        return;
    }
    let [.., policy_v4, policy_v6, fields_v4, fields_v6] = SETTINGS;
    let (policy, fields) = match v6 {
        false => (policy_v4, fields_v4),
        true => (policy_v6, fields_v6),
    };
    let policy = set(r, policy);
    if policy.ends_with("=3") && r.percent(70) {
        lines.push(set(r, fields));
    }
    lines.push(policy);
}
