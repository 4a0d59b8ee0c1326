//! Routes, policy rules, MTUs and settings.

use super::{Hosts, Random, Speaks};

/// Settings that a case may change, and what they are otherwise.
pub const SETTINGS: [(&str, &str, &str); 7] = [
    ("net.ipv4.conf.eth_c.rp_filter", "1", "0"),
    ("net.ipv4.conf.all.rp_filter", "2", "0"),
    ("net.netfilter.nf_conntrack_tcp_loose", "0", "1"),
    ("net.netfilter.nf_conntrack_tcp_be_liberal", "1", "0"),
    ("net.netfilter.nf_conntrack_acct", "1", "0"),
    ("net.ipv4.ip_default_ttl", "33", "64"),
    ("net.ipv4.conf.eth_s.forwarding", "0", "1"),
];

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
        }
    }
    if r.percent(8) {
        let (device, mtu) = (r.of(&["eth_c", "eth_s"]), r.of(&[1280, 1400]));
        lines.push(format!("ip link set {device} mtu {mtu}"));
    }
    if r.percent(10) {
        let (key, value, _) = r.of(&SETTINGS);
        lines.push(format!("sysctl -qw {key}={value}"));
    }
    lines
}

fn routes(r: &mut Random, hosts: Hosts, v6: bool, lines: &mut Vec<String>) {
    let ip = if v6 { "ip -6" } else { "ip" };
    let via = |side, host| format!("via {}", hosts.addr(v6, side, host));
    let vias = [via(0, 0), via(1, 0), via(1, 1)];
    for net in 3..7 {
        if !r.percent(30) {
            continue;
        }
        let network = Hosts::network(v6, net);
        lines.push(match r.below(5) {
            0 => format!("{ip} route add blackhole {network}"),
            1 => format!("{ip} route add unreachable {network}"),
            2 => format!("{ip} route add prohibit {network}"),
            _ => format!("{ip} route add {network} {}", r.of(&vias)),
        });
    }
    if r.percent(40) {
        let via = r.of(&vias);
        lines.push(format!("{ip} route add default {via} table 100"));
        let selectors = [
            "fwmark 0x5".to_owned(),
            format!("from {}", hosts.addr(v6, 0, 1)),
            format!("to {}", Hosts::network(v6, 4)),
            "iif eth_c tos 0x10".to_owned(),
            "tos 0x10".to_owned(),
            "fwmark 0x4/0x4".to_owned(),
            "iif eth_s".to_owned(),
            format!("not from {}", Hosts::network(v6, 1)),
            format!("oif eth_s to {}", Hosts::network(v6, 2)),
        ];
        let selector = r.of(&selectors);
        lines.push(format!("{ip} rule add {selector} lookup 100 priority 100"));
    }
    if r.percent(10) {
        let to = hosts.addr(v6, 1, 1);
        let action = r.of(&["prohibit", "unreachable", "blackhole"]);
        lines.push(format!("{ip} rule add to {to} {action} priority 90"));
    }
    if r.percent(6) {
        let length = r.of(&[0, 8, 24]);
        lines.push(format!(
            "{ip} rule add lookup main suppress_prefixlength {length} priority 80"
        ));
    }
}
