//! The lines that several lists have.

use crate::sched::qdisc::QdiscStats;
use std::fmt;

/// `print_tcstats2_attr()`: what passed, and what waits in packets and bytes.
pub(crate) fn stats(
    f: &mut dyn fmt::Write,
    stats: &QdiscStats,
    (qlen, backlog): (u32, u32),
) -> fmt::Result {
    indented(f, " ", stats, (qlen, backlog))
}

/// The same behind `prefix`.
pub(crate) fn indented(
    f: &mut dyn fmt::Write,
    prefix: &str,
    stats: &QdiscStats,
    (qlen, backlog): (u32, u32),
) -> fmt::Result {
    let QdiscStats {
        bytes,
        packets,
        drops,
        overlimits,
        requeues,
    } = stats;
    writeln!(
        f,
        "{prefix}Sent {bytes} bytes {packets} pkt (dropped {drops}, overlimits {overlimits} requeues {requeues}) "
    )?;
    let backlog = size(backlog);
    writeln!(f, "{prefix}backlog {backlog} {qlen}p requeues {requeues}")
}

fn size(bytes: u32) -> super::units::Size {
    super::units::Size(bytes.into())
}
