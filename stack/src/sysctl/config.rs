//! The keys of [`StackConfig`](crate::StackConfig) that belong to no device.

use super::Sysctl;
use crate::MS;
use crate::SEC;

/// Largest number of a kernel `int`.
const INT_MAX: i64 = i32::MAX as i64;

macro_rules! config {
    ($name:literal, $range:expr, $field:ident) => {
        Sysctl::int(
            $name,
            $range,
            |stack, _| i64::try_from(stack.config.$field).unwrap_or(i64::MAX),
            |stack, _, value| {
                if let Ok(value) = value.try_into() {
                    stack.config.$field = value;
                }
            },
        )
    };
    // In multiples of `unit` picoseconds.
    ($name:literal, $range:expr, $field:ident, $unit:expr) => {
        Sysctl::int(
            $name,
            $range,
            |stack, _| i64::try_from(stack.config.$field / $unit).unwrap_or(i64::MAX),
            |stack, _, value| stack.config.$field = value.unsigned_abs().saturating_mul($unit),
        )
    };
}

macro_rules! switch {
    ($name:literal, $field:ident) => {
        Sysctl::int(
            $name,
            0..=1,
            |stack, _| i64::from(stack.config.$field),
            |stack, _, value| stack.config.$field = value != 0,
        )
    };
}

pub(super) const SYSCTLS: &[Sysctl] = &[
    config!("net.core.netdev_budget", 1..=INT_MAX, netdev_budget),
    config!("net.core.rmem_default", 2304..=INT_MAX, rmem_default),
    config!("net.ipv4.ip_default_ttl", 1..=255, default_ttl),
    switch!("net.ipv4.icmp_echo_ignore_all", icmp_echo_ignore_all),
    switch!(
        "net.ipv4.icmp_echo_ignore_broadcasts",
        icmp_echo_ignore_broadcasts
    ),
    switch!(
        "net.ipv4.icmp_errors_use_inbound_ifaddr",
        icmp_errors_use_inbound_ifaddr
    ),
    config!("net.ipv4.ip_no_pmtu_disc", 0..=255, ip_no_pmtu_disc),
    config!("net.ipv4.icmp_ratelimit", 0..=INT_MAX, icmp_ratelimit, MS),
    config!("net.ipv4.icmp_msgs_per_sec", 0..=INT_MAX, icmp_msgs_per_sec),
    config!(
        "net.ipv4.fib_multipath_hash_policy",
        0..=1,
        fib_multipath_hash_policy
    ),
    config!(
        "net.ipv6.fib_multipath_hash_policy",
        0..=1,
        fib_multipath_hash_policy_v6
    ),
    config!("net.ipv4.ipfrag_time", 0..=INT_MAX, ipfrag_time, SEC),
    config!("net.ipv6.ip6frag_time", 0..=INT_MAX, ip6frag_time, SEC),
    config!("net.ipv4.ipfrag_high_thresh", 0..=INT_MAX, frag_high_thresh),
    config!(
        "net.ipv6.ip6frag_high_thresh",
        0..=INT_MAX,
        frag_high_thresh
    ),
];
