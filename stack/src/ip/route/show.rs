//! `ip route show` and `ip route flush`.

use super::metrics;
use super::modify::route_type;
use crate::addr::IpCidr;
use crate::command::{CommandError, Words};
use crate::fib::config::RouteFilter;
use crate::fib::names;
use crate::fib::trie::Key;
use crate::fib::{
    Alias, FibInfo, FibResult, Nexthop, RT_TABLE_MAIN, RTPROT_BOOT, RouteType, Rpdb, Scope, Table,
};
use crate::ip::parse::realms;
use crate::ip::{Family, Output};
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a prefix is chosen.
#[derive(Clone, Copy, Debug)]
enum Selector {
    /// `exact`: this one.
    Exact(IpCidr),
    /// `root`: it and what is inside.
    Root(IpCidr),
    /// `match`: it and what holds it.
    Match(IpCidr),
}

/// Which routes are shown; by default all of all tables.
#[derive(Default)]
struct Shown {
    /// `None`: all tables.
    table: Option<u32>,
    prefix: Option<Selector>,
    dev: Option<IfIndex>,
    via: Option<IpAddr>,
    protocol: Option<u8>,
    scope: Option<Scope>,
    kind: Option<RouteType>,
}

impl Shown {
    fn fits(&self, dst: IpCidr, kind: RouteType, info: &FibInfo) -> bool {
        let prefix = match self.prefix {
            None => true,
            Some(Selector::Exact(p)) => p == dst,
            Some(Selector::Root(p)) => {
                p.prefix_len() <= dst.prefix_len() && p.contains(dst.address())
            }
            Some(Selector::Match(p)) => {
                dst.prefix_len() <= p.prefix_len() && dst.contains(p.address())
            }
        };
        let way = |n: &Nexthop| {
            self.dev.is_none_or(|d| n.oif == d) && self.via.is_none_or(|v| n.gateway == Some(v))
        };
        let ways = self.dev.is_none() && self.via.is_none();
        prefix
            && self.protocol.is_none_or(|p| info.protocol == p)
            && self.scope.is_none_or(|s| info.scope == s)
            && self.kind.is_none_or(|k| kind == k)
            && (ways || info.nexthops.iter().any(way))
    }
}

/// A prefix out of a trie.
fn cidr<K: Key>(key: K, len: u8) -> IpCidr {
    let address = match key.as_v4() {
        Some(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4)),
        None => IpAddr::V6(Ipv6Addr::from_bits(key.as_v6())),
    };
    // The length came with the key.
    IpCidr::new(address, len).unwrap_or(IpCidr::host(address))
}

/// `default`, `10.0.0.1`, `10.0.0.0/8`.
fn destination(dst: IpCidr) -> String {
    match dst.prefix_len() {
        0 => "default".to_owned(),
        _ if dst == IpCidr::host(dst.address()) => dst.address().to_string(),
        _ => dst.to_string(),
    }
}

impl Stack {
    pub(super) fn ip_route_show(&mut self, family: Family, words: Words<'_>) -> Output {
        let (family, shown) = self.parse_shown(family, words)?;
        let mut out = String::new();
        // Without a table of its own, a list without family is IPv4's.
        let v4 = family != Family::V6;
        let v6 = family == Family::V6 || (family == Family::Any && shown.table.is_none());
        if v4 {
            self.show_tables(&self.fib.v4, &shown, &mut out);
        }
        if v6 {
            self.show_tables(&self.fib.v6, &shown, &mut out);
        }
        Ok(out)
    }

    pub(super) fn ip_route_flush(&mut self, family: Family, mut words: Words<'_>) -> Output {
        let all = words.is_empty();
        if all {
            return Err(words.end_error("what to flush is missing"));
        }
        // iproute_flush_cache(): what routers said of paths and better gateways.
        if words.accept("cache") {
            words.finish()?;
            self.rt_cache_flush(|destination| family.includes(destination.is_ipv4()));
            return Ok(String::new());
        }
        let (family, shown) = self.parse_shown(family, words)?;
        let mut doomed = Vec::new();
        if family != Family::V6 {
            doomed_of(&self.fib.v4, &shown, &mut doomed);
        }
        if family == Family::V6 {
            doomed_of(&self.fib.v6, &shown, &mut doomed);
        }
        for filter in doomed {
            self.del_route_matching(&filter);
        }
        Ok(String::new())
    }

    fn parse_shown(
        &self,
        family: Family,
        mut words: Words<'_>,
    ) -> Result<(Family, Shown), CommandError> {
        let mut family = family;
        let mut shown = Shown {
            table: Some(RT_TABLE_MAIN),
            ..Shown::default()
        };
        while let Some(word) = words.next() {
            match word.text {
                "table" => {
                    let table = words.expect("a table")?;
                    shown.table = match table.text {
                        "all" => None,
                        _ => Some(table.named(names::parse_table, "a table")?),
                    };
                }
                "dev" | "oif" => shown.dev = Some(self.ip_device(&mut words)?),
                "via" => shown.via = Some(words.expect("an address")?.address(family)?),
                "proto" | "protocol" => {
                    let protocol = words.expect("a routing protocol")?;
                    let protocol = protocol.named(names::parse_protocol, "a routing protocol")?;
                    shown.protocol = Some(protocol);
                }
                "scope" => {
                    let scope = words.expect("a scope")?;
                    shown.scope = Some(scope.named(names::parse_scope, "a scope")?);
                }
                "type" => {
                    let kind = words.expect("a route type")?;
                    shown.kind = Some(kind.named(route_type, "a route type")?);
                }
                _ => {
                    let word = match word.text {
                        "to" => words.expect("a prefix")?,
                        _ => word,
                    };
                    let selector: fn(IpCidr) -> Selector = match word.text {
                        "root" => Selector::Root,
                        "match" => Selector::Match,
                        "exact" => Selector::Exact,
                        _ => {
                            let prefix = word.prefix(family)?;
                            shown.prefix = Some(Selector::Exact(prefix));
                            family = family_of(prefix);
                            continue;
                        }
                    };
                    let prefix = words.expect("a prefix")?.prefix(family)?;
                    shown.prefix = Some(selector(prefix));
                    family = family_of(prefix);
                }
            }
        }
        Ok((family, shown))
    }

    /// `ip route get fibmatch`: the route that was found, as a list has it.
    pub(super) fn show_found<K: Key>(&self, rpdb: &Rpdb<K>, found: &FibResult) -> String {
        let shown = Shown::default();
        let mut out = String::new();
        let table = rpdb.tables().iter().find(|table| table.id == found.table);
        let mut routes = table.into_iter().flat_map(|table| table.routes());
        let same = |alias: &Alias, len: u8| {
            (alias.info, alias.tos, alias.kind, len)
                == (found.info, found.tos, found.kind, found.prefix_len)
        };
        if let Some((key, len, alias)) = routes.find(|(_, len, alias)| same(alias, *len)) {
            let (dst, info) = (cidr(key, len), rpdb.info(alias.info));
            self.show_route(found.table, dst, &alias, info, &shown, &mut out);
        }
        out
    }

    fn show_tables<K: Key>(&self, rpdb: &Rpdb<K>, shown: &Shown, out: &mut String) {
        for table in in_dump_order(rpdb) {
            if shown.table.is_some_and(|t| t != table.id) {
                continue;
            }
            for (key, len, alias) in table.routes() {
                let (dst, info) = (cidr(key, len), rpdb.info(alias.info));
                if shown.fits(dst, alias.kind, info) {
                    self.show_route(table.id, dst, &alias, info, shown, out);
                }
            }
        }
    }

    /// `print_route()`.
    fn show_route(
        &self,
        table: u32,
        dst: IpCidr,
        alias: &Alias,
        info: &FibInfo,
        shown: &Shown,
        out: &mut String,
    ) {
        let v6 = dst.address().is_ipv6();
        if alias.kind != RouteType::Unicast {
            *out += alias.kind.name();
            out.push(' ');
        }
        *out += &destination(dst);
        out.push(' ');
        if info.nhid != 0 {
            let _ = write!(out, "nhid {} ", info.nhid);
        }
        if alias.tos != 0 {
            let _ = write!(out, "tos {:#04x} ", alias.tos);
        }
        if let [nexthop] = info.nexthops[..] {
            let alone = Nexthop {
                realms: 0,
                ..nexthop
            };
            self.show_nexthop(&alone, v6, shown.dev.is_none(), out);
        } else if alias.kind.is_reject() && (v6 || info.nhid != 0) {
            *out += "dev lo ";
        }
        if table != RT_TABLE_MAIN && shown.table.is_none() {
            let _ = write!(out, "table {} ", names::table_name(table));
        }
        if info.protocol != RTPROT_BOOT {
            let _ = write!(out, "proto {} ", names::protocol_name(info.protocol));
        }
        if info.scope != Scope::UNIVERSE {
            let _ = write!(out, "scope {} ", names::scope_name(info.scope));
        }
        if let Some(src) = info.prefsrc {
            let _ = write!(out, "src {src} ");
        }
        if info.priority != 0 || v6 {
            let _ = write!(out, "metric {} ", info.priority);
        }
        if let [nexthop] = info.nexthops[..] {
            *out += &realms(nexthop.realms);
        }
        *out += &metrics(&info.metrics);
        if let [Nexthop { onlink: true, .. }] = info.nexthops[..] {
            *out += "onlink ";
        }
        if v6 {
            *out += "pref medium";
        }
        if info.nexthops.len() > 1 {
            for nexthop in &info.nexthops {
                *out += "\n\tnexthop ";
                self.show_nexthop(nexthop, v6, true, out);
                let _ = write!(out, "weight {} ", nexthop.weight);
                // print_rta_nexthops(): the kernel's order of flags.
                if nexthop.dead {
                    *out += "dead ";
                }
                if nexthop.onlink {
                    *out += "onlink ";
                }
                if nexthop.dead {
                    *out += "linkdown ";
                }
            }
        }
        out.push('\n');
    }

    fn show_nexthop(&self, nexthop: &Nexthop, v6: bool, dev: bool, out: &mut String) {
        if let Some(gateway) = nexthop.gateway {
            let other = if gateway.is_ipv6() && !v6 {
                "inet6 "
            } else {
                ""
            };
            let _ = write!(out, "via {other}{gateway} ");
        }
        *out += &realms(nexthop.realms);
        if dev && nexthop.oif != IfIndex::NONE {
            let _ = write!(out, "dev {} ", self.ip_device_name(nexthop.oif));
        }
    }
}

/// Tables as the kernel walks its hash of them: by the last eight bits of the number, of those the newest first.
fn in_dump_order<K: Key>(rpdb: &Rpdb<K>) -> Vec<&Table<K>> {
    let mut tables: Vec<_> = rpdb.tables().iter().filter(|t| !t.is_empty()).collect();
    tables.sort_by_key(|t| (t.id & 0xff, t.id));
    tables
}

fn doomed_of<K: Key>(rpdb: &Rpdb<K>, shown: &Shown, doomed: &mut Vec<RouteFilter>) {
    for table in rpdb.tables() {
        if shown.table.is_some_and(|t| t != table.id) {
            continue;
        }
        for (key, len, alias) in table.routes() {
            let (dst, info) = (cidr(key, len), rpdb.info(alias.info));
            if shown.fits(dst, alias.kind, info) {
                doomed.push(RouteFilter {
                    kind: Some(alias.kind),
                    tos: alias.tos,
                    metric: Some(info.priority),
                    ..RouteFilter::new(dst, table.id)
                });
            }
        }
    }
}

fn family_of(prefix: IpCidr) -> Family {
    match prefix.address() {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}
