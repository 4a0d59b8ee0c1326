//! Names of tables, protocols and scopes, as `/etc/iproute2` has them.

use super::{RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN, Scope};
use std::borrow::Cow;

/// `rt_tables`.
const TABLES: &[(u32, &str)] = &[
    (RT_TABLE_LOCAL, "local"),
    (RT_TABLE_MAIN, "main"),
    (RT_TABLE_DEFAULT, "default"),
    (0, "unspec"),
];

/// `rt_protos`.
const PROTOCOLS: &[(u8, &str)] = &[
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (18, "keepalived"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

/// `rt_scopes`.
const SCOPES: &[(u8, &str)] = &[
    (0, "global"),
    (255, "nowhere"),
    (254, "host"),
    (253, "link"),
    (200, "site"),
];

/// IP protocols that rules can name (`getprotobyname()`).
const IPPROTOS: &[(u8, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (132, "sctp"),
    (136, "udplite"),
];

fn name<N: Copy + PartialEq + ToString>(
    list: &[(N, &'static str)],
    number: N,
) -> Cow<'static, str> {
    match list.iter().find(|(n, _)| *n == number) {
        Some((_, name)) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

fn number<N: Copy>(list: &[(N, &str)], text: &str) -> Option<N> {
    list.iter().find(|(_, name)| *name == text).map(|(n, _)| *n)
}

/// A number as iproute2 takes it: decimal, `0x…` or `0…`.
pub fn parse_number(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

fn small(text: &str) -> Option<u8> {
    parse_number(text)?.try_into().ok()
}

/// `main`, or the number.
pub fn table_name(table: u32) -> Cow<'static, str> {
    name(TABLES, table)
}

/// A table by name or number.
pub fn parse_table(text: &str) -> Option<u32> {
    number(TABLES, text).or_else(|| parse_number(text))
}

/// `kernel`, or the number.
pub fn protocol_name(protocol: u8) -> Cow<'static, str> {
    name(PROTOCOLS, protocol)
}

/// A routing protocol by name or number.
pub fn parse_protocol(text: &str) -> Option<u8> {
    number(PROTOCOLS, text).or_else(|| small(text))
}

/// `link`, or the number.
pub fn scope_name(scope: Scope) -> Cow<'static, str> {
    name(SCOPES, scope.0)
}

/// A scope by name or number.
pub fn parse_scope(text: &str) -> Option<Scope> {
    number(SCOPES, text).or_else(|| small(text)).map(Scope)
}

/// `tcp`, or `ipproto-N` as iproute2 prints unknown ones.
pub fn ipproto_name(protocol: u8) -> Cow<'static, str> {
    match name(IPPROTOS, protocol) {
        Cow::Owned(number) => Cow::Owned(format!("ipproto-{number}")),
        known => known,
    }
}

/// An IP protocol by name or number; 0 is none.
pub fn parse_ipproto(text: &str) -> Option<u8> {
    number(IPPROTOS, text)
        .or_else(|| small(text))
        .filter(|&p| p != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(parse_table("main"), Some(254));
        assert_eq!(parse_table("0x10"), Some(16));
        assert_eq!(parse_table("nonsense"), None);
        assert_eq!(table_name(77), "77");
        assert_eq!(parse_protocol("kernel"), Some(2));
        assert_eq!(parse_protocol("256"), None);
        assert_eq!(scope_name(Scope::LINK), "link");
        assert_eq!(parse_ipproto("udp"), Some(17));
        assert_eq!(parse_number("010"), Some(8));
    }
}
