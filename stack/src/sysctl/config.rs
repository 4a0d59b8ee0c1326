//! The keys of [`StackConfig`](crate::StackConfig) that belong to no device.

use super::Sysctl;
use crate::MS;
use crate::SEC;

/// Largest number of a kernel `int`.
const INT_MAX: i64 = i32::MAX as i64;

/// Numbers of `proc_dou8vec_minmax()`.
const BYTE: std::ops::RangeInclusive<i64> = 0..=255;

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
        switch!($name, 0..=1, $field)
    };
    // Some are bytes that count as "not 0".
    ($name:literal, $range:expr, $field:ident) => {
        Sysctl::int(
            $name,
            $range,
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
    config!(
        "net.ipv4.fib_multipath_hash_policy",
        0..=3,
        fib_multipath_hash_policy
    ),
    config!(
        "net.ipv6.fib_multipath_hash_policy",
        0..=3,
        fib_multipath_hash_policy_v6
    ),
    config!(
        "net.ipv4.fib_multipath_hash_fields",
        1..=0xfff,
        fib_multipath_hash_fields
    ),
    config!(
        "net.ipv6.fib_multipath_hash_fields",
        1..=0xfff,
        fib_multipath_hash_fields_v6
    ),
    config!(
        "net.ipv4.fib_multipath_hash_seed",
        0..=u32::MAX as i64,
        fib_multipath_hash_seed
    ),
    switch!("net.ipv4.fib_multipath_use_neigh", fib_multipath_use_neigh),
    switch!("net.ipv4.fwmark_reflect", BYTE, fwmark_reflect),
    switch!("net.ipv6.fwmark_reflect", BYTE, fwmark_reflect_v6),
    config!(
        "net.ipv4.tcp_syn_linear_timeouts",
        0..=127,
        tcp_syn_linear_timeouts
    ),
    switch!("net.ipv4.tcp_reflect_tos", tcp_reflect_tos),
    switch!("net.ipv4.tcp_fwmark_accept", BYTE, tcp_fwmark_accept),
    switch!("net.ipv4.ip_forward_use_pmtu", BYTE, ip_forward_use_pmtu),
    switch!(
        "net.ipv4.ip_forward_update_priority",
        ip_forward_update_priority
    ),
    switch!("net.ipv4.ip_nonlocal_bind", BYTE, ip_nonlocal_bind),
    switch!("net.ipv6.ip_nonlocal_bind", BYTE, ip_nonlocal_bind_v6),
    switch!("net.ipv4.tcp_sack", BYTE, tcp_sack),
    switch!("net.ipv4.tcp_timestamps", BYTE, tcp_timestamps),
    switch!("net.ipv4.tcp_window_scaling", BYTE, tcp_window_scaling),
    switch!(
        "net.ipv4.tcp_abort_on_overflow",
        BYTE,
        tcp_abort_on_overflow
    ),
    config!("net.ipv4.tcp_syn_retries", 1..=127, tcp_syn_retries),
    config!("net.ipv4.tcp_synack_retries", BYTE, tcp_synack_retries),
    config!("net.ipv4.tcp_retries2", BYTE, tcp_retries2),
    config!(
        "net.ipv4.tcp_fin_timeout",
        0..=INT_MAX / 250,
        tcp_fin_timeout,
        SEC
    ),
    switch!(
        "net.ipv6.icmp.echo_ignore_all",
        BYTE,
        icmpv6_echo_ignore_all
    ),
    switch!(
        "net.ipv6.icmp.echo_ignore_multicast",
        BYTE,
        icmpv6_echo_ignore_multicast
    ),
    // One limit for both families here.
    config!("net.ipv6.icmp.ratelimit", 0..=INT_MAX, icmp_ratelimit, MS),
    config!("net.ipv4.ipfrag_time", 0..=INT_MAX, ipfrag_time, SEC),
    config!("net.ipv6.ip6frag_time", 0..=INT_MAX, ip6frag_time, SEC),
];
