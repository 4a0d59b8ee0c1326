//! Connections as text, as libnetfilter_conntrack writes them (`conntrack -L`).

use super::JIFFY;
use super::conn::{Conn, CtCounter, CtStatus, ZoneDir};
use super::table::Conntrack;
use super::tuple::{Dir, IPPROTO_GRE, Tuple};
use crate::hook::Family;
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
use crate::ipv6::IPPROTO_ICMPV6;
use crate::{Ps, SEC};
use std::fmt::Write;

/// What [`Conntrack::list_with`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Only connections of this family; `None`: IPv4 and IPv6.
    pub family: Option<Family>,
    /// `-o extended`: the network protocol first.
    pub extended: bool,
    /// `-o id`: the number last.
    pub id: bool,
    pub(super) timeout: bool,
    pub(super) state: bool,
    pub(super) counters: bool,
    pub(super) mark: bool,
    pub(super) helper: bool,
    pub(super) use_count: bool,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            family: None,
            extended: false,
            id: false,
            timeout: true,
            state: true,
            counters: true,
            mark: true,
            helper: true,
            use_count: true,
        }
    }
}

impl Conntrack {
    /// The confirmed connections as `conntrack -L` prints them (without its summary), one a line, in the order in which their places
    /// are numbered. Linux's order is that of its hash table, which is different in every run.
    pub fn list(&self, now: Ps) -> String {
        self.list_with(now, &ListOptions::default())
    }

    /// The same, as `options` say.
    pub fn list_with(&self, now: Ps, options: &ListOptions) -> String {
        let mut text = String::new();
        for (_, conn) in self.iter() {
            // Linux does not show what is over but not removed yet, nor what lost a clash.
            let hidden = conn.expires_in(now) == 0 || conn.status.has(CtStatus::NAT_CLASH);
            let other = options.family.is_some_and(|f| f != conn.original.family());
            if !hidden && !other {
                write_conn(&mut text, conn, now, options);
                text.push('\n');
            }
        }
        text
    }
}

/// `nfct_snprintf()`.
pub(super) fn write_conn(text: &mut String, conn: &Conn, now: Ps, options: &ListOptions) {
    let before = text.len();
    // Writing to a string cannot fail.
    let _ = write_fields(text, conn, now, options);
    while text.len() > before && text.ends_with(' ') {
        text.pop();
    }
}

fn write_fields(
    text: &mut String,
    conn: &Conn,
    now: Ps,
    options: &ListOptions,
) -> std::fmt::Result {
    if options.extended {
        let (name, number) = match conn.original.family() {
            Family::Ipv6 => ("ipv6", 10),
            _ => ("ipv4", 2),
        };
        write!(text, "{name:<8} {number} ")?;
    }
    let protocol = conn.original.protocol;
    write!(text, "{:<8} {protocol} ", protocol_name(protocol))?;
    if options.timeout {
        write!(text, "{} ", seconds(conn, now))?;
    }
    if options.state
        && let Some(state) = conn.tcp_state()
    {
        write!(text, "{state} ")?;
    }
    let counter = |dir: Dir| {
        let counters = conn.counters.filter(|_| options.counters)?;
        Some(counters[dir as usize])
    };
    write_tuple(text, &conn.original)?;
    write_zone(text, conn, ZoneDir::Original)?;
    write_counter(text, counter(Dir::Original))?;
    if !conn.status.has(CtStatus::SEEN_REPLY) {
        text.push_str("[UNREPLIED] ");
    }
    write_tuple(text, &conn.reply)?;
    write_zone(text, conn, ZoneDir::Reply)?;
    write_counter(text, counter(Dir::Reply))?;
    if conn.status.has(CtStatus::ASSURED) {
        text.push_str("[ASSURED] ");
    }
    if options.mark {
        write!(text, "mark={} ", conn.mark)?;
    }
    write_zone(text, conn, ZoneDir::Both)?;
    if let Some(helper) = conn.helper.filter(|_| options.helper) {
        write!(text, "helper={} ", helper.name())?;
    }
    if options.use_count {
        // References: packets that are under way do not count here.
        text.push_str("use=1 ");
    }
    if options.id {
        write!(text, "id={} ", conn.id)?;
    }
    Ok(())
}

/// The zone, if it counts in this direction: that of one direction stands behind its tuple.
fn write_zone(text: &mut String, conn: &Conn, dir: ZoneDir) -> std::fmt::Result {
    if conn.zone.id == 0 || conn.zone.dir != dir {
        return Ok(());
    }
    let name = match dir {
        ZoneDir::Both => "zone",
        ZoneDir::Original => "zone-orig",
        ZoneDir::Reply => "zone-reply",
    };
    write!(text, "{name}={} ", conn.zone.id)
}

fn write_tuple(text: &mut String, tuple: &Tuple) -> std::fmt::Result {
    write!(text, "src={} dst={} ", tuple.src, tuple.dst)?;
    match tuple.protocol {
        IPPROTO_TCP | IPPROTO_UDP => {
            write!(text, "sport={} dport={} ", tuple.src_port, tuple.dst_port)?;
        }
        IPPROTO_ICMP | IPPROTO_ICMPV6 => write!(
            text,
            "type={} code={} id={} ",
            tuple.icmp_type(),
            tuple.icmp_code(),
            tuple.src_port
        )?,
        IPPROTO_GRE => write!(
            text,
            "srckey={:#x} dstkey={:#x} ",
            tuple.src_port, tuple.dst_port
        )?,
        _ => {}
    }
    Ok(())
}

fn write_counter(text: &mut String, counter: Option<CtCounter>) -> std::fmt::Result {
    match counter {
        Some(c) => write!(text, "packets={} bytes={} ", c.packets, c.bytes),
        None => Ok(()),
    }
}

/// `proto2str`.
fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        IPPROTO_TCP => "tcp",
        IPPROTO_UDP => "udp",
        IPPROTO_ICMP => "icmp",
        IPPROTO_ICMPV6 => "icmpv6",
        33 => "dccp",
        47 => "gre",
        132 => "sctp",
        136 => "udplite",
        _ => "unknown",
    }
}

/// Whole seconds left. Linux counts in clock ticks, so an instant after 30 s were set it still shows 30.
fn seconds(conn: &Conn, now: Ps) -> u64 {
    let end = now.saturating_add(conn.expires_in(now));
    (end / JIFFY - now / JIFFY) / (SEC / JIFFY)
}
