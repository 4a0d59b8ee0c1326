//! What holds for any text: nothing panics, an error has a place, and what is listed is read as itself.

use proptest::prelude::*;
use stack::nft::Nft;

/// Words that rulesets are made of, and some that they are not.
const WORDS: [&str; 96] = [
    "add",
    "table",
    "chain",
    "rule",
    "set",
    "map",
    "element",
    "delete",
    "flush",
    "list",
    "ruleset",
    "insert",
    "ip",
    "ip6",
    "inet",
    "netdev",
    "t",
    "c",
    "s",
    "type",
    "filter",
    "nat",
    "hook",
    "prerouting",
    "input",
    "priority",
    "0",
    "-150",
    "policy",
    "accept",
    "drop",
    "{",
    "}",
    "(",
    ")",
    ";",
    ",",
    ".",
    ":",
    "\n",
    "=",
    "==",
    "!=",
    "!",
    "<",
    "&",
    "|",
    "/",
    "-",
    "@",
    "$",
    "*",
    "[",
    "]",
    "tcp",
    "udp",
    "dport",
    "flags",
    "syn",
    "ack",
    "saddr",
    "daddr",
    "10.0.0.1",
    "fd00::1",
    "22",
    "80",
    "1-5",
    "65536",
    "0x10",
    "meta",
    "mark",
    "ct",
    "state",
    "new",
    "vmap",
    "map",
    "jump",
    "goto",
    "counter",
    "packets",
    "bytes",
    "limit",
    "rate",
    "10/second",
    "reject",
    "with",
    "dnat",
    "to",
    "masquerade",
    "log",
    "prefix",
    "\"x\"",
    "elements",
    "interval",
    "timeout",
    "1h",
];

/// Matches and statements that are put together to rules.
const PARTS: [&str; 24] = [
    "ip saddr 10.0.0.0/8",
    "ip daddr != { 1.1.1.1, 2.2.2.0/24, 3.3.3.3-3.3.3.9 }",
    "tcp dport { 22, 80-90 }",
    "udp sport 53",
    "meta mark & 0xf0 == 0x10",
    "ct state new,established",
    "ct status dnat",
    "tcp flags syn / syn,ack",
    "ip ttl > 5",
    "ip dscp ef",
    "iifname \"eth*\"",
    "icmp type echo-request",
    "ip saddr . tcp dport { 1.1.1.1 . 22, 2.2.2.2 . 80 }",
    "fib saddr . iif oif missing",
    "limit rate over 5/minute burst 7 packets",
    "numgen random mod 4 1",
    "counter",
    "meta mark set meta mark | 0x100",
    "ct mark set 5",
    "log prefix \"x\"",
    "ip ttl set 3",
    "meta l4proto tcp",
    "ip protocol udp",
    "jhash ip saddr mod 8 seed 0x1 2-3",
];

const ENDS: [&str; 6] = [
    "accept",
    "drop",
    "reject",
    "jump x",
    "tcp dport vmap { 1 : accept, 2 : jump x }",
    "counter",
];

fn listed(text: &str) -> Result<String, String> {
    let mut nft = Nft::new(1);
    nft.apply(text, 0).map_err(|e| e.to_string())?;
    Ok(nft.list(0, false))
}

proptest! {
    #[test]
    fn any_words(words in prop::collection::vec(prop::sample::select(WORDS.as_slice()), 0..40)) {
        let text = words.join(" ");
        if let Err(e) = Nft::new(1).apply(&text, 0) {
            prop_assert!(e.line >= 1 && e.column >= 1, "{e}: {text}");
        }
    }

    #[test]
    fn any_characters(text in "\\PC{0,200}") {
        let _ = Nft::new(1).apply(&text, 0);
        let _ = Nft::new(1).apply_json(&text, 0);
    }

    #[test]
    fn a_list_is_read_as_itself(
        parts in prop::collection::vec(prop::sample::select(PARTS.as_slice()), 0..4),
        end in prop::sample::select(ENDS.as_slice()),
    ) {
        let rule = format!("{} {end}", parts.join(" "));
        let text = format!(
            "table ip t {{\nchain x {{\n}}\nchain c {{\ntype filter hook input priority 0\n{rule}\n}}\n}}"
        );
        // Protocols that exclude each other are refused.
        if let Ok(first) = listed(&text) {
            prop_assert_eq!(listed(&first), Ok(first.clone()), "{}", rule);
        }
    }

    #[test]
    fn any_packet(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        rule in prop::sample::select(PARTS.as_slice()),
        v6 in any::<bool>(),
    ) {
        use crate::packets::{forward, run, skb};
        let family = if v6 { "inet" } else { "ip" };
        let rules = format!("{rule} counter\nip daddr set 1.2.3.4\ntcp dport set 5\nudp dport set 6");
        let mut nft = forward(family, "", &rules);
        let mut skb = skb(bytes, if v6 { 0x86dd } else { 0x0800 });
        let len = skb.len();
        run(&mut nft, &mut skb);
        prop_assert_eq!(skb.len(), len);
    }
}
