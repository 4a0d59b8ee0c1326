//! `net.netfilter.nf_conntrack_*` by name.

use super::config::CtConfig;
use crate::stack::Stack;
use crate::sysctl::Sysctl;
use crate::{Ps, SEC};

/// Largest number of a kernel `int`.
const INT_MAX: i64 = i32::MAX as i64;

/// A key whose value is a flag.
macro_rules! flag {
    ($name:literal, $field:ident) => {
        Sysctl::int(
            concat!("net.netfilter.nf_conntrack_", $name),
            0..=1,
            |stack, _| i64::from(config(stack).$field),
            |stack, _, value| config_mut(stack).$field = value != 0,
        )
    };
}

/// A key whose value is a time in seconds.
macro_rules! seconds {
    ($name:literal, $($field:ident).+) => {
        Sysctl::int(
            concat!("net.netfilter.nf_conntrack_", $name),
            0..=INT_MAX,
            |stack, _| whole_seconds(config(stack).$($field).+),
            |stack, _, value| config_mut(stack).$($field).+ = value.unsigned_abs().saturating_mul(SEC),
        )
    };
}

fn config(stack: &Stack) -> &CtConfig {
    &stack.conntrack.config
}

fn config_mut(stack: &mut Stack) -> &mut CtConfig {
    &mut stack.conntrack.config
}

fn whole_seconds(time: Ps) -> i64 {
    i64::try_from(time / SEC).unwrap_or(i64::MAX)
}

fn number(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The keys.
pub(crate) const SYSCTLS: &[Sysctl] = &[
    Sysctl::int(
        "net.netfilter.nf_conntrack_max",
        0..=INT_MAX,
        |stack, _| number(config(stack).max),
        |stack, _, value| config_mut(stack).max = value.unsigned_abs() as usize,
    ),
    Sysctl::int(
        "net.netfilter.nf_conntrack_expect_max",
        1..=INT_MAX,
        |stack, _| number(config(stack).expect_max),
        |stack, _, value| config_mut(stack).expect_max = value.unsigned_abs() as usize,
    ),
    Sysctl::int(
        "net.netfilter.nf_conntrack_tcp_max_retrans",
        0..=255,
        |stack, _| i64::from(config(stack).tcp_max_retrans),
        |stack, _, value| config_mut(stack).tcp_max_retrans = value as u8,
    ),
    Sysctl::int(
        "net.netfilter.nf_conntrack_events",
        0..=2,
        |stack, _| i64::from(config(stack).events),
        |stack, _, value| config_mut(stack).events = value as u8,
    ),
    flag!("checksum", checksum),
    flag!("acct", acct),
    flag!("tcp_loose", tcp_loose),
    flag!("tcp_be_liberal", tcp_be_liberal),
    flag!("tcp_ignore_invalid_rst", tcp_ignore_invalid_rst),
    seconds!("tcp_timeout_syn_sent", tcp.syn_sent),
    seconds!("tcp_timeout_syn_recv", tcp.syn_recv),
    seconds!("tcp_timeout_established", tcp.established),
    seconds!("tcp_timeout_fin_wait", tcp.fin_wait),
    seconds!("tcp_timeout_close_wait", tcp.close_wait),
    seconds!("tcp_timeout_last_ack", tcp.last_ack),
    seconds!("tcp_timeout_time_wait", tcp.time_wait),
    seconds!("tcp_timeout_close", tcp.close),
    seconds!("tcp_timeout_max_retrans", tcp.max_retrans),
    seconds!("tcp_timeout_unacknowledged", tcp.unacknowledged),
    seconds!("udp_timeout", udp_timeout),
    seconds!("udp_timeout_stream", udp_timeout_stream),
    seconds!("icmp_timeout", icmp_timeout),
    seconds!("icmpv6_timeout", icmpv6_timeout),
    seconds!("gre_timeout", gre_timeout),
    seconds!("gre_timeout_stream", gre_timeout_stream),
    seconds!("generic_timeout", generic_timeout),
];
