//! Keys whose values are more than one number.

use super::in_range;
use crate::reassembly::{POOL4, POOL6, POOL6_NF};
use crate::stack::Stack;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// A key, and how its value is read and written.
#[derive(Clone, Copy)]
pub(super) struct TextKey {
    pub name: &'static str,
    pub get: fn(&Stack) -> String,
    /// Errors say what is wrong with the value.
    pub set: fn(&mut Stack, &str) -> Result<(), String>,
}

/// How much memory fragments may take: each bound is one of the other (`proc_doulongvec_minmax()`).
macro_rules! frag_thresh {
    ($high:literal, $low:literal, $pool:expr) => {
        [
            only(
                $high,
                |stack| stack.frags.pools[$pool].high.to_string(),
                |stack, value| {
                    let pool = &mut stack.frags.pools[$pool];
                    pool.high = unsigned(value, pool.low..=u64::MAX)?;
                    Ok(())
                },
            ),
            only(
                $low,
                |stack| stack.frags.pools[$pool].low.to_string(),
                |stack, value| {
                    let pool = &mut stack.frags.pools[$pool];
                    pool.low = unsigned(value, 0..=pool.high)?;
                    Ok(())
                },
            ),
        ]
    };
}

const FRAG4: [TextKey; 2] = frag_thresh!(
    "net.ipv4.ipfrag_high_thresh",
    "net.ipv4.ipfrag_low_thresh",
    POOL4
);
const FRAG6: [TextKey; 2] = frag_thresh!(
    "net.ipv6.ip6frag_high_thresh",
    "net.ipv6.ip6frag_low_thresh",
    POOL6
);
const FRAG6_NF: [TextKey; 2] = frag_thresh!(
    "net.netfilter.nf_conntrack_frag6_high_thresh",
    "net.netfilter.nf_conntrack_frag6_low_thresh",
    POOL6_NF
);

/// The keys.
pub(super) const TEXTS: &[TextKey] = &[
    TextKey {
        name: crate::sched::DEFAULT_QDISC,
        get: |stack| stack.default_qdisc().to_owned(),
        set: |stack, value| stack.set_default_qdisc(value),
    },
    TextKey {
        name: "net.ipv4.ip_local_port_range",
        get: |stack| {
            let (first, last) = stack.config.ip_local_port_range;
            format!("{first}\t{last}")
        },
        set: |stack, value| {
            let now = stack.config.ip_local_port_range;
            let [first, last] = numbers(value, [now.0.into(), now.1.into()])?;
            // Lower ones are for those who ask for them.
            let least = stack.kept("net.ipv4.ip_unprivileged_port_start").max(1);
            let port = |number: i64| u16::try_from(number).ok().filter(|_| number >= least);
            let range = port(first).zip(port(last)).filter(|(a, b)| a <= b);
            stack.config.ip_local_port_range = range.ok_or("not a range of ports")?;
            Ok(())
        },
    },
    TextKey {
        name: "net.ipv4.ip_local_reserved_ports",
        get: |stack| ranges(&stack.config.ip_local_reserved_ports),
        set: |stack, value| {
            stack.config.ip_local_reserved_ports = parse_ranges(value)?;
            Ok(())
        },
    },
    // Ping sockets belong to root here.
    only(
        "net.ipv4.ping_group_range",
        |_| "1\t0".to_owned(),
        |_, value| match numbers(value, [1, 0])? {
            [first, last] if first < 0 || last < 0 => Err("not a range of groups".to_owned()),
            _ => Ok(()),
        },
    ),
    // The windows that this stack opens, in bytes.
    only(
        "net.ipv4.tcp_rmem",
        |_| tabbed(TCP_RMEM),
        |_, value| same(value, TCP_RMEM),
    ),
    only(
        "net.ipv4.tcp_wmem",
        |_| tabbed(TCP_WMEM),
        |_, value| same(value, TCP_WMEM),
    ),
    only(
        "net.ipv4.tcp_congestion_control",
        |_| RENO.to_owned(),
        |_, value| reno(value),
    ),
    only(
        "net.ipv4.tcp_available_congestion_control",
        |_| RENO.to_owned(),
        |_, value| reno(value),
    ),
    only(
        "net.ipv4.tcp_allowed_congestion_control",
        |_| RENO.to_owned(),
        |_, value| reno(value),
    ),
    only(
        "net.ipv6.icmp.ratemask",
        |_| RATEMASK6.to_owned(),
        |_, value| match value {
            RATEMASK6 => Ok(()),
            _ => Err(format!("only {RATEMASK6} is possible here")),
        },
    ),
    only(
        "net.netfilter.nf_conntrack_count",
        |stack| stack.conntrack.count().to_string(),
        |_, _| Err("the key can only be read".to_owned()),
    ),
    FRAG4[0],
    FRAG4[1],
    FRAG6[0],
    FRAG6[1],
    FRAG6_NF[0],
    FRAG6_NF[1],
    // Writing forgets what routers said; there is nothing to read.
    only(
        "net.ipv4.route.flush",
        |_| String::new(),
        |stack, value| flush(stack, value, IpAddr::is_ipv4),
    ),
    only(
        "net.ipv6.route.flush",
        |_| String::new(),
        |stack, value| flush(stack, value, IpAddr::is_ipv6),
    ),
];

const TCP_RMEM: [i64; 3] = [4096, 131_072, 33_554_432];
const TCP_WMEM: [i64; 3] = [4096, 16_384, 4_194_304];
const RENO: &str = "reno";
/// All types of ICMPv6 but packet too big and echo requests.
const RATEMASK6: &str = "0-1,3-127";

const fn only(
    name: &'static str,
    get: fn(&Stack) -> String,
    set: fn(&mut Stack, &str) -> Result<(), String>,
) -> TextKey {
    TextKey { name, get, set }
}

fn flush(stack: &mut Stack, value: &str, family: fn(&IpAddr) -> bool) -> Result<(), String> {
    let _ = numbers(value, [0])?;
    stack.rt_cache_flush(|destination| family(&destination));
    Ok(())
}

fn reno(value: &str) -> Result<(), String> {
    match value {
        RENO => Ok(()),
        _ => Err("only reno is known here".to_owned()),
    }
}

fn tabbed(values: [i64; 3]) -> String {
    values.map(|value| value.to_string()).join("\t")
}

fn same(value: &str, only: [i64; 3]) -> Result<(), String> {
    match numbers(value, only)? == only {
        true => Ok(()),
        false => Err(format!("only {} is possible here", tabbed(only))),
    }
}

/// A number as `proc_dointvec()` reads it: decimal, `0x…` or `0…`.
pub(super) fn number(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a number");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (digits, base) = match digits.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    let number = i64::from_str_radix(digits, base)
        .ok()
        .filter(|_| !digits.starts_with(['+', '-']))
        .ok_or_else(wrong)?;
    Ok(if negative { -number } else { number })
}

/// A number within the range. Larger ones than an `i64` are not worth telling apart.
fn unsigned(value: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let bound = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let number = in_range(value, &(bound(*range.start())..=bound(*range.end())))?;
    // Not below 0, as the range is not.
    Ok(number.unsigned_abs())
}

/// Up to `N` numbers; those that are left out stay as they are.
fn numbers<const N: usize>(value: &str, now: [i64; N]) -> Result<[i64; N], String> {
    let mut values = now;
    let mut words = value.split_whitespace();
    for (to, word) in values.iter_mut().zip(words.by_ref()) {
        *to = number(word)?;
    }
    match words.next() {
        Some(word) => Err(format!("{word:?} is one number too many")),
        None => Ok(values),
    }
}

/// `8080,9000-9010` (`proc_do_large_bitmap()`).
fn parse_ranges(value: &str) -> Result<Vec<(u16, u16)>, String> {
    let mut found: Vec<(u16, u16)> = Vec::new();
    for part in value
        .split([',', ' ', '\t'])
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let port = |text: &str| u16::try_from(number(text).ok()?).ok();
        let range = port(first).zip(port(last)).filter(|(a, b)| a <= b);
        found.push(range.ok_or_else(|| format!("{part:?} is not a range of ports"))?);
    }
    found.sort_unstable();
    // Neighbours and what overlaps are one.
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in found {
        match merged.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    Ok(merged)
}

fn ranges(list: &[(u16, u16)]) -> String {
    let shown = list.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_the_kernel_reads_them() {
        assert_eq!(number("0x10"), Ok(16));
        assert_eq!(number("010"), Ok(8));
        assert_eq!(number("-1"), Ok(-1));
        for wrong in ["", "-", "0x", "+1", "--1", "1a", "0x-1"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert_eq!(numbers("5", [1, 2]), Ok([5, 2]));
        assert!(numbers("5 6 7", [1, 2]).is_err());
    }

    #[test]
    fn ranges_are_put_together() {
        let found = parse_ranges("9000-9010,8080, 8081 9005-9020").unwrap();
        assert_eq!(ranges(&found), "8080-8081,9000-9020");
        assert_eq!(ranges(&parse_ranges("65535,1").unwrap()), "1,65535");
        assert!(parse_ranges("2-1").is_err() && parse_ranges("70000").is_err());
    }
}
