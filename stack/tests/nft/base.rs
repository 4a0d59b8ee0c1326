//! The ruleset that every recording starts from, and the commands that came on top.

use stack::{Stack, StackConfig};

const BASE: &str = include_str!("../data/nft/base.nft");

/// Rules that were added to it, as typed.
const MORE: [&str; 11] = [
    "add rule ip nat dnat_rules udp dport 8080 dnat to 10.0.2.2:9",
    "add rule ip nat snat_rules oifname eth_s masquerade",
    "add rule ip nat dnat_rules udp dport 8080 redirect to :9",
    "add rule ip mangle mangle_out udp dport 9 meta mark set 7",
    "add rule ip raw raw_pre udp dport 9 notrack",
    "add rule ip filter fwd_rules udp dport 9 drop",
    "add rule ip filter fwd_rules udp dport 9 reject",
    "add table ip z",
    "add chain ip z A { type filter hook forward priority 0; }",
    "add chain ip z B { type filter hook forward priority 0; policy drop; }",
    "add rule ip z B counter",
];

#[test]
fn it_is_read_listed_and_read_again() {
    let mut stack = Stack::new(StackConfig::default());
    stack.nft(BASE).unwrap();
    for command in MORE {
        stack
            .nft(command)
            .unwrap_or_else(|e| panic!("{command}: {e}"));
    }
    let listed = stack.nft("list ruleset").unwrap();
    insta::assert_snapshot!("base", listed);
    stack.nft(&format!("flush ruleset\n{listed}")).unwrap();
    assert_eq!(stack.nft("list ruleset").unwrap(), listed);
}
