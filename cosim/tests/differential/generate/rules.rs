//! Rules: chains, sets, matches, what they end with.

use super::super::case::Chain;
use super::{Hosts, PORTS, Random, Speaks};

/// A base chain: table, chain, type, hook and priority; whether devices can be matched (in, out).
struct Base {
    table: &'static str,
    name: &'static str,
    at: &'static str,
    iif: bool,
    oif: bool,
}

const fn base(
    table: &'static str,
    name: &'static str,
    at: &'static str,
    iif: bool,
    oif: bool,
) -> Base {
    Base {
        table,
        name,
        at,
        iif,
        oif,
    }
}

/// Tables `i` and `n` are of their own families, the others of the case's.
const BASES: [Base; 20] = [
    base(
        "raw",
        "PRE",
        "filter hook prerouting priority -300",
        true,
        false,
    ),
    base(
        "raw",
        "OUT",
        "filter hook output priority -300",
        false,
        true,
    ),
    base(
        "mangle",
        "PRE",
        "filter hook prerouting priority -150",
        true,
        false,
    ),
    base(
        "mangle",
        "FWD",
        "filter hook forward priority -150",
        true,
        true,
    ),
    base(
        "mangle",
        "OUT",
        "route hook output priority -150",
        false,
        true,
    ),
    base(
        "mangle",
        "POST",
        "filter hook postrouting priority -150",
        false,
        true,
    ),
    base(
        "nat",
        "PRE",
        "nat hook prerouting priority -100",
        true,
        false,
    ),
    base(
        "nat",
        "PRE",
        "nat hook prerouting priority -100",
        true,
        false,
    ),
    base("nat", "IN", "nat hook input priority 100", true, false),
    base("nat", "OUT", "nat hook output priority -100", false, true),
    base(
        "nat",
        "POST",
        "nat hook postrouting priority 100",
        false,
        true,
    ),
    base(
        "nat",
        "POST",
        "nat hook postrouting priority 100",
        false,
        true,
    ),
    base(
        "filter",
        "PRE",
        "filter hook prerouting priority 0",
        true,
        false,
    ),
    base("filter", "IN", "filter hook input priority 0", true, false),
    base(
        "filter",
        "FWD",
        "filter hook forward priority 0",
        true,
        true,
    ),
    base(
        "filter",
        "OUT",
        "filter hook output priority 0",
        false,
        true,
    ),
    base("i", "FWD", "filter hook forward priority 10", true, true),
    base(
        "i",
        "POST",
        "filter hook postrouting priority 10",
        false,
        true,
    ),
    base("i", "OUT", "filter hook output priority 10", false, true),
    base(
        "n",
        "ING",
        "filter hook ingress device \"eth_c\" priority 0",
        true,
        false,
    ),
];

/// What a rule is written for.
#[derive(Clone, Copy)]
struct Place<'a> {
    hosts: Hosts,
    speaks: Speaks,
    /// With its family.
    table: &'a str,
    kind: &'a str,
    chain: &'a str,
    iif: bool,
    oif: bool,
    /// Connections are known there.
    tracked: bool,
}

/// `ip` or `ip6`, and the same for ICMP.
fn words(v6: bool) -> (&'static str, &'static str) {
    match v6 {
        false => ("ip", "icmp"),
        true => ("ip6", "icmpv6"),
    }
}

/// The chains of a case with their rules, and the sets that these name.
pub fn chains(r: &mut Random, hosts: Hosts, speaks: Speaks) -> (Vec<Chain>, Vec<String>) {
    let wanted = 2 + r.below(6);
    let mut picked: Vec<usize> = (0..wanted).map(|_| r.below(BASES.len())).collect();
    picked.sort_unstable();
    picked.dedup_by_key(|&mut i| (BASES[i].table, BASES[i].name));
    let (mut chains, mut sets) = (Vec::new(), Vec::new());
    // A case that speaks both has tables of either.
    let family = match speaks {
        Speaks::V4 => "ip",
        Speaks::V6 => "ip6",
        Speaks::Both => "inet",
    };
    let mut add = |r: &mut Random, place: Place<'_>, name, base, count| {
        let rules = (0..count).map(|_| rule(r, place, &mut sets)).collect();
        chains.push(Chain {
            table: place.table.to_owned(),
            name,
            base,
            rules,
        });
    };
    if picked.iter().any(|&i| BASES[i].table == "filter") {
        let place = Place {
            hosts,
            speaks,
            table: &format!("{family} filter"),
            kind: "sub",
            chain: "sub",
            iif: true,
            oif: true,
            tracked: true,
        };
        let count = 1 + r.below(2);
        add(r, place, "sub", String::new(), count);
    }
    for i in picked {
        let Base {
            table,
            name,
            at,
            iif,
            oif,
        } = BASES[i];
        let of = match table {
            "i" => "inet",
            "n" => "netdev",
            _ => family,
        };
        let place = Place {
            hosts,
            speaks,
            table: &format!("{of} {table}"),
            kind: table,
            chain: name,
            iif,
            oif,
            tracked: !matches!(table, "raw" | "n"),
        };
        let policy = match table == "filter" && r.percent(6) {
            true => " policy drop;",
            false => "",
        };
        let count = 1 + r.below(4);
        add(r, place, name, format!("type {at};{policy}"), count);
    }
    (chains, sets)
}

fn ports(r: &mut Random) -> String {
    match r.below(5) {
        0 => format!("{{ {}, {} }}", PORTS[r.below(3)], PORTS[3 + r.below(3)]),
        1 => format!("{}-{}", 1 + r.below(50), 60 + r.below(60)),
        2 => format!("!= {}", r.of(&PORTS)),
        3 => format!("{{ 1-{}, 99, 8000-9000 }}", 20 + r.below(60)),
        _ => r.of(&PORTS).to_string(),
    }
}

fn address(r: &mut Random, hosts: Hosts, v6: bool) -> String {
    let (side, host) = hosts.any(r, v6);
    let far = |host| Hosts::at(v6, 9, host);
    match r.below(5) {
        0 => Hosts::network(v6, side as u8 + 1),
        1 => format!("!= {host}"),
        2 => format!("{{ {host}, {}-{} }}", far(1), far(20)),
        3 => format!("{host}-{}", Hosts::at(v6, side as u8 + 1, 250)),
        _ => host.to_string(),
    }
}

/// A named set of the table, made if need be; `text` is what stands in its braces.
fn named(sets: &mut Vec<String>, what: &str, table: &str, text: &str) -> String {
    let name = format!("s{}", sets.len());
    sets.push(format!("add {what} {table} {name} {{ {text} }}"));
    name
}

/// A match that looks something up.
fn lookup(r: &mut Random, place: Place<'_>, v6: bool, sets: &mut Vec<String>) -> String {
    let hosts = place.hosts;
    let (ip, _) = words(v6);
    let kind = if v6 { "ipv6_addr" } else { "ipv4_addr" };
    let (c, s) = (hosts.addr(v6, 0, 0), hosts.addr(v6, 1, 0));
    let (net1, net2) = (Hosts::network(v6, 1), Hosts::network(v6, 2));
    let proto = r.of(&["udp", "tcp"]);
    match r.below(7) {
        0 => format!("{ip} saddr . {proto} dport {{ {c} . 9, {s} . 53, {c} . 80 }}"),
        1 => format!("{ip} daddr . {proto} dport {{ {net2} . 1-100, {s} . 8080, {c} . 0-60000 }}"),
        2 => {
            let text = format!("type {kind}; flags interval; elements = {{ {c}, {net2} }};");
            let set = named(sets, "set", place.table, &text);
            format!(
                "{ip} {} @{set}",
                r.of(&["saddr", "daddr", "saddr != ", "daddr !="])
            )
        }
        3 => {
            let text = format!(
                "type {kind} . inet_service; flags interval; elements = {{ {net1} . 50-100, {s} . 9, {net2} . 40000 }};"
            );
            let set = named(sets, "set", place.table, &text);
            format!("{ip} saddr . {proto} {} @{set}", r.of(&["dport", "sport"]))
        }
        4 => {
            let text = "type inet_service; elements = { 9, 80, 40000 };";
            let set = named(sets, "set", place.table, text);
            format!("{proto} dport @{set}")
        }
        5 => {
            let text = format!(
                "typeof {ip} saddr . meta l4proto . th dport; flags interval; elements = {{ {net1} . udp . 0-99, {net2} . tcp . 80 }};"
            );
            let set = named(sets, "set", place.table, &text);
            format!("{ip} saddr . meta l4proto . th dport @{set}")
        }
        _ => format!("{ip} saddr . {ip} daddr {{ {c} . {s}, {s} . {c} }}"),
    }
}

/// One match.
fn matching(r: &mut Random, place: Place<'_>, v6: bool, sets: &mut Vec<String>) -> String {
    let hosts = place.hosts;
    let (ip, icmp) = words(v6);
    let s = hosts.addr(v6, 1, 0);
    let simple = [
        "meta l4proto tcp",
        "meta l4proto udp",
        "meta length 28-48",
        "tcp flags syn",
        "tcp flags & (fin|syn|rst|ack) == syn",
        "tcp flags & rst == rst",
        "tcp window > 1000",
        "tcp option window exists",
        "tcp option maxseg size > 1000",
        "meta mark 0x5",
        "meta mark & 0x4 == 0x4",
        "meta mark != 0x0",
        "udp length > 12",
        "@th,0,16 > 100",
        "numgen inc mod 3 1",
        "fib saddr type unicast",
        "fib daddr type local",
        "meta pkttype host",
        "limit rate 2/hour burst 3 packets",
        "quota over 200 bytes",
        "ether saddr 02:00:00:00:01:02",
    ];
    let of_v4 = [
        "ip protocol udp",
        "ip ttl < 64",
        "ip ttl 64",
        "ip length > 60",
        "ip dscp cs1",
        "ip frag-off & 0x1fff != 0",
        "ip frag-off & 0x2000 != 0",
        "icmp type echo-request",
        "icmp type { echo-reply, destination-unreachable }",
        "jhash ip saddr . ip daddr mod 4 seed 0x17 1",
    ];
    let of_v6 = [
        "ip6 nexthdr udp",
        "ip6 hoplimit < 64",
        "ip6 hoplimit 64",
        "ip6 length > 30",
        "ip6 dscp cs1",
        "exthdr frag exists",
        "exthdr hbh exists",
        "frag frag-off > 0",
        "frag more-fragments 1",
        "icmpv6 type echo-request",
        "icmpv6 type { echo-reply, destination-unreachable, packet-too-big }",
        "jhash ip6 saddr . ip6 daddr mod 4 seed 0x17 1",
    ];
    let original = format!("ct original {ip} daddr {s}");
    let reply = format!("ct reply {ip} saddr {s}");
    let conntrack = [
        "ct state new",
        "ct state established,related",
        "ct state invalid",
        "ct state untracked",
        "ct state != established",
        "ct direction reply",
        "ct direction original",
        "ct status dnat",
        "ct status snat",
        "ct status confirmed",
        "ct status assured",
        "ct mark 0x3",
        "ct zone 1",
        &original,
        &reply,
        "meta l4proto tcp ct original proto-dst 80",
        "ct state . ct mark { new . 0x0, established . 0x3 }",
    ];
    let device = |r: &mut Random, names: &[&'static str]| r.of(names);
    match r.below(24) {
        0..3 => format!("udp dport {}", ports(r)),
        3..5 => format!("tcp dport {}", ports(r)),
        // Two ports side by side are one wrong comparison for nft 1.0.6 when one is negated.
        5 => format!("th sport {}", r.of(&PORTS)),
        6 => format!("{ip} saddr {}", address(r, hosts, v6)),
        7 => format!("{ip} daddr {}", address(r, hosts, v6)),
        8 if place.iif => {
            let names = [
                "\"eth_c\"",
                "\"eth_s\"",
                "\"eth_*\"",
                "{ \"eth_c\", \"lo\" }",
            ];
            format!("iifname {}", device(r, &names))
        }
        9 if place.oif => {
            let names = ["\"eth_c\"", "\"eth_s\"", "!= \"eth_c\""];
            format!("oifname {}", device(r, &names))
        }
        10 | 11 => lookup(r, place, v6, sets),
        12..15 if place.tracked => r.of(&conntrack).to_owned(),
        15 | 16 if v6 => r.of(&of_v6).to_owned(),
        15 | 16 => r.of(&of_v4).to_owned(),
        17 if place.iif && r.percent(30) => "fib saddr . iif oif exists".to_owned(),
        18 if r.percent(30) => format!("meta l4proto {}", if v6 { "ipv6-icmp" } else { icmp }),
        _ => r.of(&simple).to_owned(),
    }
}

/// What a rule of a nat chain ends with.
fn translation(r: &mut Random, place: Place<'_>, v6: bool, sets: &mut Vec<String>) -> String {
    let hosts = place.hosts;
    let port = r.of(&PORTS);
    let proto = r.of(&["tcp", "udp"]);
    // A chain of family inet says which.
    let inet = place.table.starts_with("inet");
    let (family, only) = match (inet, v6) {
        (false, _) => ("", ""),
        (true, false) => ("ip ", "meta nfproto ipv4 "),
        (true, true) => ("ip6 ", "meta nfproto ipv6 "),
    };
    let with_port = |addr: std::net::IpAddr, port: &str| match v6 {
        false => format!("{addr}:{port}"),
        true => format!("[{addr}]:{port}"),
    };
    let (to_c, to_s) = (hosts.addr(v6, 0, r.below(2)), hosts.addr(v6, 1, r.below(2)));
    let (s0, s1) = (hosts.addr(v6, 1, 0), hosts.addr(v6, 1, 1));
    let own = Hosts::at(v6, 2, 1);
    let foreign = Hosts::at(v6, 2, 0x77);
    let text = match place.chain {
        "PRE" | "OUT" => match r.below(10) {
            0 => format!(
                "meta l4proto {proto} dnat {family}to {}",
                with_port(to_s, &port.to_string())
            ),
            1 => format!("dnat {family}to {to_s}"),
            2 => format!("meta l4proto {proto} redirect to :{port}"),
            3 => format!("dnat {family}to {to_c}"),
            4 => format!("dnat {family}to {s0}-{s1}"),
            5 => format!(
                "meta l4proto {proto} dnat {family}to {proto} dport map {{ 80 : {s0}, 9 : {s1}, 99-8080 : {to_c} }}"
            ),
            6 => {
                let kind = if v6 { "ipv6_addr" } else { "ipv4_addr" };
                let text = format!(
                    "type inet_service : {kind} . inet_service; elements = {{ 80 : {s0} . 9, 53 : {s1} . 53 }};"
                );
                let map = named(sets, "map", place.table, &text);
                format!(
                    "dnat {} to {proto} dport map @{map}",
                    if v6 { "ip6" } else { "ip" }
                )
            }
            7 => format!(
                "meta l4proto {proto} dnat {family}to {} persistent",
                with_port(to_s, "20000-29999")
            ),
            _ => "accept".to_owned(),
        },
        "IN" => match r.below(2) {
            0 => "accept".to_owned(),
            _ => format!("snat {family}to {}", Hosts::at(v6, 1, 0x77)),
        },
        _ => match r.below(9) {
            0..3 => "masquerade".to_owned(),
            3 => format!("snat {family}to {foreign}"),
            4 => format!(
                "meta l4proto {proto} snat {family}to {}",
                with_port(own, &(3000 + r.below(9)).to_string())
            ),
            5 => format!("meta l4proto {proto} masquerade to :20000-29999"),
            6 => format!(
                "meta l4proto {proto} snat {family}to {}",
                with_port(own, "20000-29999")
            ),
            7 => "masquerade persistent".to_owned(),
            _ => "accept".to_owned(),
        },
    };
    match text.contains(" to ") && !text.contains("redirect") && !text.contains("masquerade") {
        true => format!("{only}{text}"),
        false => text,
    }
}

/// What a rule ends with.
fn verdict(r: &mut Random, place: Place<'_>, v6: bool, sets: &mut Vec<String>) -> String {
    if place.kind == "nat" {
        return translation(r, place, v6, sets);
    }
    let (ip, icmp) = words(v6);
    let (c, s) = (place.hosts.addr(v6, 0, 0), place.hosts.addr(v6, 1, 0));
    let (hops, unreach) = match v6 {
        false => (
            "ttl",
            [
                "host-prohibited",
                "admin-prohibited",
                "net-unreachable",
                "host-unreachable",
            ],
        ),
        true => (
            "hoplimit",
            [
                "no-route",
                "admin-prohibited",
                "addr-unreachable",
                "policy-fail",
            ],
        ),
    };
    let marks = [
        "meta mark set 0x5".to_owned(),
        "meta mark set meta mark | 0x4".to_owned(),
        "meta mark set udp dport map { 9 : 0x5, 53 : 0x7 }".to_owned(),
        format!("meta mark set {ip} saddr map {{ {c} : 0x5, {s} : 0x4 }}"),
        format!("{ip} dscp set cs1"),
        format!("{ip} dscp set 4"),
        format!("{ip} {hops} set 33"),
        "meta priority set 1:2".to_owned(),
        "log prefix \"case\"".to_owned(),
    ];
    let tracks = [
        "ct mark set 0x3",
        "ct mark set meta mark",
        "meta mark set ct mark",
        "ct mark set ct mark | 0x4",
    ];
    let early = [
        "notrack",
        "ct zone set 1",
        "ct original zone set 1",
        "ct reply zone set 2",
    ];
    let inet = place.table.starts_with("inet");
    let rejects = [
        "reject".to_owned(),
        match inet {
            false => format!("reject with {icmp} type {}", r.of(&unreach)),
            true => format!(
                "reject with icmpx type {}",
                r.of(&[
                    "port-unreachable",
                    "admin-prohibited",
                    "no-route",
                    "host-unreachable"
                ])
            ),
        },
        "meta l4proto tcp reject with tcp reset".to_owned(),
    ];
    let may_reject = matches!(place.kind, "filter" | "sub" | "i") && place.chain != "POST"
        || place.kind == "mangle" && place.chain == "FWD";
    match r.below(15) {
        0 | 1 => "accept".to_owned(),
        2 => "drop".to_owned(),
        3 if may_reject => r.of(&rejects),
        4 | 5 => r.of(&marks),
        6 | 7 if place.tracked => r.of(&tracks).to_owned(),
        6..9 if place.kind == "raw" => r.of(&early).to_owned(),
        9 if place.kind == "filter" => r.of(&["jump sub", "goto sub"]).to_owned(),
        10 => "udp dport vmap { 53 : drop, 99 : accept }".to_owned(),
        11 => format!("{ip} saddr . tcp dport vmap {{ {c} . 80 : drop, {s} . 0-99 : return }}"),
        12 => {
            let kind = if v6 { "ipv6_addr" } else { "ipv4_addr" };
            let text = format!("type {kind}; flags dynamic,timeout; timeout 1h; size 64;");
            let set = named(sets, "set", place.table, &text);
            let verb = r.of(&["add", "update"]);
            match r.below(2) {
                0 => format!("{verb} @{set} {{ {ip} saddr }}"),
                _ => format!("{ip} saddr @{set} drop\n{verb} @{set} {{ {ip} saddr }}"),
            }
        }
        13 => "return".to_owned(),
        _ => String::new(),
    }
}

/// Whether a rule speaks of more than one transport protocol, or of both IPs, which nft refuses.
fn contradicts(rule: &str, inet: bool) -> bool {
    let (rule, _) = rule.split_once("reject with").unwrap_or((rule, ""));
    let named = |all: &[&str]| {
        let found = rule.split(|c: char| !c.is_alphanumeric());
        let mut found: Vec<&str> = found.filter(|w| all.contains(w)).collect();
        found.sort_unstable();
        found.dedup();
        found.len()
    };
    // nft 1.0.6 merges a rule's Ethernet addresses with the type that other matches ask for, past what stands between them.
    let ether = rule.contains("ether ") && (inet || named(&["ip", "ip6"]) > 0);
    ether
        || named(&["udp", "tcp", "icmp", "icmpv6"]) > 1
        || named(&["ip", "ip6"]) > 1
        || rule.contains("icmp") && rule.contains("th ")
}

fn rule(r: &mut Random, place: Place<'_>, sets: &mut Vec<String>) -> String {
    loop {
        let before = sets.len();
        let rule = any_rule(r, place, sets);
        let inet = place.table.starts_with("inet") || place.table.starts_with("netdev");
        if !contradicts(&rule, inet) {
            return rule;
        }
        sets.truncate(before);
    }
}

fn any_rule(r: &mut Random, place: Place<'_>, sets: &mut Vec<String>) -> String {
    let v6 = place.speaks.v6(r);
    let mut text = String::new();
    for _ in 0..1 + r.below(2) {
        text += &matching(r, place, v6, sets);
        text += " ";
    }
    text += "counter ";
    let verdict = verdict(r, place, v6, sets);
    match verdict.split_once('\n') {
        // Two rules in one: the first looks at what the second does.
        Some((first, second)) => {
            let (table, chain) = (place.table, place.chain);
            format!("counter {first}\nadd rule {table} {chain} {text}{second}")
        }
        None => text + &verdict,
    }
    .trim_end()
    .to_owned()
}
