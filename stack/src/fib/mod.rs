//! The forwarding information base: rules that choose tables, tables that choose routes, routes that choose ways out.
//!
//! ```text
//! FlowKey ─► Rules (priority, from, to, iif, oif, mark, tos, ports) ─► Table ─► Lpm (longest prefix) ─► Alias (tos, metric)
//!                                                                                                            ▼
//!                                                Route ◄─ fib_select_path (flow hash, weights) ◄─ FibInfo (ways, src, metrics)
//! ```

mod blocks;
pub(crate) mod config;
mod direct;
mod down;
mod info;
mod key;
pub mod lpm;
mod multipath;
pub mod names;
mod nexthop;
pub(crate) mod rules;
mod small;
pub(crate) mod table;
pub mod trie;

pub(crate) use config::class_tag;
pub use info::{FibInfo, Metrics, Nexthop, RouteType, Scope};
pub(crate) use info::{Infos, RTAX_ADVMSS, RTAX_HOPLIMIT, RTAX_MTU};
pub(crate) use multipath::{FlowKeys, Policy};
pub(crate) use nexthop::{NexthopObject, NexthopObjects};
pub(crate) use table::{Alias, FibResult, Table};

use crate::addr::IpCidr;
use crate::skb::IfIndex;
use rules::{Action, Rule, Rules};
use std::net::IpAddr;
use trie::Key;

/// Table `default`.
pub const RT_TABLE_DEFAULT: u32 = 253;
/// Table `main`.
pub const RT_TABLE_MAIN: u32 = 254;
/// Table `local`.
pub const RT_TABLE_LOCAL: u32 = 255;

/// `RTPROT_KERNEL`: the route came with an address.
pub(crate) const RTPROT_KERNEL: u8 = 2;
/// `RTPROT_BOOT`: the route was typed.
pub(crate) const RTPROT_BOOT: u8 = 3;

/// The result of a lookup, which a packet carries (`struct rtable`, `struct rt6_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// What to do.
    pub kind: RouteType,
    /// Device to leave through; for local packets the device of the address.
    pub oif: IfIndex,
    /// Next hop when the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// Source address for packets that do not have one yet.
    pub src: Option<IpAddr>,
    /// The route's own MTU in bytes, IP header included; 0: the device's.
    pub mtu: u32,
    /// That MTU holds whatever the path says (`mtu lock`).
    pub mtu_locked: bool,
    /// Hop limit of packets made here; 0: the default.
    pub hop_limit: u8,
    /// Where it was found, if it was; it may be gone since.
    pub(crate) fib: Option<FibResult>,
    /// Of the source in the high, of the destination in the low 16 bits (`dst.tclassid`); 0: none. IPv4 only.
    pub realms: u32,
    /// The next hop is on the link that the packet came from: the sender is told (`IPSKB_DOREDIRECT`).
    pub redirect: bool,
    /// A packet to everybody on another link is sent there (`bc_forwarding`).
    pub(crate) directed: bool,
}

impl Route {
    /// A route of this kind to the link of `oif`.
    pub fn link(kind: RouteType, oif: IfIndex) -> Self {
        Self {
            kind,
            oif,
            gateway: None,
            src: None,
            mtu: 0,
            mtu_locked: false,
            hop_limit: 0,
            fib: None,
            realms: 0,
            redirect: false,
            directed: false,
        }
    }

    /// The next hop: the gateway, or the destination itself.
    pub fn nexthop(&self, destination: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(destination)
    }
}

/// A route to be added, as `ip route add` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Destination network; host bits are ignored.
    pub dst: IpCidr,
    /// What it does.
    pub kind: RouteType,
    /// Ways out; none for routes that drop. A device may be left out ([`IfIndex::NONE`]) when the gateway says it.
    pub nexthops: Vec<Nexthop>,
    /// `src`: preferred source address.
    pub src: Option<IpAddr>,
    /// `metric`: among equal prefixes the lowest wins. 0 means 1024 in IPv6.
    pub metric: u32,
    /// `table`: its number.
    pub table: u32,
    /// `tos`: only packets with this TOS; 0: all. IPv4 only.
    pub tos: u8,
    /// `scope`; what iproute2 would say if `None`.
    pub scope: Option<Scope>,
    /// `proto`: who made it (`RTPROT_*`).
    pub protocol: u8,
    /// Values for connections.
    pub metrics: Metrics,
    /// `nhid`: the number of the next hop that says the ways; 0: `nexthops` does.
    pub nhid: u32,
}

impl RouteSpec {
    fn new(dst: IpCidr, kind: RouteType, nexthops: Vec<Nexthop>) -> Self {
        Self {
            dst,
            kind,
            nexthops,
            src: None,
            metric: 0,
            table: RT_TABLE_MAIN,
            tos: 0,
            scope: None,
            protocol: RTPROT_BOOT,
            metrics: Metrics::default(),
            nhid: 0,
        }
    }

    /// `ip route add DST via GATEWAY`; the device follows from the gateway's address.
    pub fn via(dst: IpCidr, gateway: IpAddr) -> Self {
        let nexthop = Nexthop {
            gateway: Some(gateway),
            ..Nexthop::dev(IfIndex::NONE)
        };
        Self::new(dst, RouteType::Unicast, vec![nexthop])
    }

    /// `ip route add DST dev OIF`.
    pub fn dev(dst: IpCidr, oif: IfIndex) -> Self {
        Self::new(dst, RouteType::Unicast, vec![Nexthop::dev(oif)])
    }

    /// `ip route add KIND DST` for the kinds that drop.
    pub fn reject(kind: RouteType, dst: IpCidr) -> Self {
        Self::new(dst, kind, Vec::new())
    }
}

/// What a lookup looks at (`struct flowi4`, `struct flowi6`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowKey<K> {
    pub dst: K,
    /// All 0: not known yet.
    pub src: K,
    /// Device that the packet came in through; `lo` for packets made here.
    pub iif: IfIndex,
    /// Device that the packet must leave through, if any.
    pub oif: IfIndex,
    /// IPv6: `oif` is only preferred among routes that are alike otherwise (a lookup without `RT6_LOOKUP_F_IFACE`).
    pub oif_preferred: bool,
    pub mark: u32,
    /// The TOS or traffic class without its two ECN bits.
    pub tos: u8,
    /// Protocol and ports, when they are needed.
    pub protocol: u8,
    pub sport: u16,
    pub dport: u16,
    /// Only routes as near as this.
    pub scope: Scope,
}

impl Default for Scope {
    fn default() -> Self {
        Scope::UNIVERSE
    }
}

/// Why there is no way, with the `errno` that Linux uses for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// `ENETUNREACH`: no rule and no table says anything, or a rule says `unreachable`.
    NetUnreachable,
    /// `EHOSTUNREACH`: an `unreachable` route.
    HostUnreachable,
    /// `EACCES`: `prohibit`.
    Prohibited,
    /// `EINVAL`: `blackhole`.
    Invalid,
}

/// How a route joins those of the same prefix, TOS and metric (`NLM_F_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// There must be none.
    Add,
    /// Behind them.
    Append,
    /// In front of them.
    Prepend,
    /// In place of the first.
    Replace,
    /// In place of the first, which must be there.
    Change,
}

/// Why a route was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InsertError {
    /// `EEXIST`.
    Exists,
    /// `ENOENT`.
    Missing,
}

/// A route to be put into a table, all checks done.
#[derive(Clone, Debug)]
pub(crate) struct NewRoute<K> {
    pub dst: (K, u8),
    pub kind: RouteType,
    pub tos: u8,
    pub info: FibInfo,
}

/// Rules and tables of one family.
#[derive(Debug)]
pub(crate) struct Rpdb<K> {
    pub rules: Rules<K>,
    /// Sorted by number.
    tables: Vec<Table<K>>,
    infos: Infos,
    /// There was a route or a rule with realms (`fib_num_tclassid_users`): sources are looked up for theirs.
    pub realms: bool,
    /// `group` of devices that are in another than 0, for `suppress_ifgroup`.
    pub groups: Vec<(IfIndex, u32)>,
}

impl<K: Key> Default for Rpdb<K> {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            tables: Vec::new(),
            infos: Infos::default(),
            realms: false,
            groups: Vec::new(),
        }
    }
}

impl<K: Key> Rpdb<K> {
    #[inline]
    pub fn table(&self, id: u32) -> Option<&Table<K>> {
        let at = self.tables.binary_search_by_key(&id, |t| t.id).ok()?;
        Some(&self.tables[at])
    }

    pub fn tables(&self) -> &[Table<K>] {
        &self.tables
    }

    #[inline]
    pub fn info(&self, id: u32) -> &FibInfo {
        self.infos.get(id)
    }

    /// `dst_metric(dst, RTAX_ADVMSS)`: 0 when the route does not say.
    pub fn advmss(&self, route: Option<&Route>) -> u32 {
        let found = route.and_then(|route| route.fib);
        found.map_or(0, |found| self.info(found.info).metrics.values[RTAX_ADVMSS])
    }

    /// `fib_table_insert()`, `fib6_add()`.
    pub fn insert(
        &mut self,
        table: u32,
        route: NewRoute<K>,
        mode: Mode,
    ) -> Result<(), InsertError> {
        let at = match self.tables.binary_search_by_key(&table, |t| t.id) {
            Ok(at) => at,
            Err(_) if mode == Mode::Change => return Err(InsertError::Missing),
            Err(at) => {
                self.tables.insert(at, Table::new(table));
                at
            }
        };
        self.realms |= route.info.nexthops.iter().any(|n| n.realms != 0);
        let (key, len) = (route.dst.0.prefix(route.dst.1), route.dst.1);
        let (tos, metric) = (route.tos, route.info.priority);
        let (table, infos) = (&mut self.tables[at], &mut self.infos);
        let rank = |a: &Alias| (std::cmp::Reverse(a.tos), infos.get(a.info).priority);
        let wanted = (std::cmp::Reverse(tos), metric);
        let first = table.at(key, len).take_while(|a| rank(a) < wanted).count();
        let equals = table.at(key, len).filter(|a| rank(a) == wanted).count();
        let same = |a: &&Alias| {
            rank(a) == wanted && a.kind == route.kind && *infos.get(a.info) == route.info
        };
        let same = table.at(key, len).position(|a| same(&a));
        let replaced = matches!(mode, Mode::Replace | Mode::Change) && equals > 0;
        match mode {
            Mode::Change if equals == 0 => return Err(InsertError::Missing),
            // What is replaced by itself stays.
            _ if replaced && same == Some(first) => return Ok(()),
            Mode::Add if equals > 0 => return Err(InsertError::Exists),
            _ if same.is_some() => return Err(InsertError::Exists),
            _ => {}
        }
        let old = table.at(key, len).nth(first).copied();
        let info = infos.acquire(route.info);
        let position = match mode {
            Mode::Append => first + equals,
            _ => first,
        };
        if let Some(old) = old.filter(|_| replaced) {
            table.remove(key, len, |a| {
                (a.info, a.tos, a.kind) == (old.info, old.tos, old.kind)
            });
            infos.release(old.info);
        }
        table.insert(key, len, position, info, route.kind, tos);
        Ok(())
    }

    /// The first route of the prefix for which `fits` says so.
    pub fn find(
        &self,
        table: u32,
        dst: (K, u8),
        fits: impl Fn(&Alias, &FibInfo) -> bool,
    ) -> Option<&FibInfo> {
        let mut routes = self.table(table)?.at(dst.0.prefix(dst.1), dst.1);
        let alias = routes.find(|a| fits(a, self.info(a.info)))?;
        Some(self.info(alias.info))
    }

    /// `fib_table_delete()`: takes out the first route of the prefix for which `gone` says so.
    pub fn remove(
        &mut self,
        table: u32,
        dst: (K, u8),
        gone: impl Fn(&Alias, &FibInfo) -> bool,
    ) -> bool {
        let Ok(at) = self.tables.binary_search_by_key(&table, |t| t.id) else {
            return false;
        };
        let (table, infos) = (&mut self.tables[at], &mut self.infos);
        let key = dst.0.prefix(dst.1);
        let removed = table.remove(key, dst.1, |a| gone(a, infos.get(a.info)));
        if let Some(alias) = removed {
            infos.release(alias.info);
        }
        removed.is_some()
    }

    /// `fib_lookup()`: what the rules and their tables say.
    #[inline]
    pub fn lookup(&self, flow: &FlowKey<K>) -> Result<FibResult, LookupError> {
        if self.rules.is_custom() {
            return self.lookup_rules(flow);
        }
        // The first rules name these tables for every packet.
        for table in [RT_TABLE_LOCAL, RT_TABLE_MAIN, RT_TABLE_DEFAULT] {
            if let Some(found) = self.table(table).and_then(|t| t.lookup(flow, &self.infos)) {
                return found;
            }
        }
        Err(LookupError::NetUnreachable)
    }

    /// `fib_rules_lookup()`.
    fn lookup_rules(&self, flow: &FlowKey<K>) -> Result<FibResult, LookupError> {
        let rules = self.rules.list();
        let mut at = 0;
        while let Some(rule) = rules.get(at) {
            at += 1;
            if !rule.matches(flow) {
                continue;
            }
            let found = match rule.action {
                // There are no layer 3 master devices.
                Action::Nop | Action::L3mdev => continue,
                Action::Goto(priority) => {
                    // Only forward, so that this ends; a target that is not there is passed over.
                    at = self
                        .rules
                        .target(priority)
                        .filter(|&to| to >= at)
                        .unwrap_or(at);
                    continue;
                }
                Action::Table(id) => self.table(id).and_then(|t| t.lookup(flow, &self.infos)),
                Action::Blackhole => Some(Err(LookupError::Invalid)),
                Action::Unreachable => Some(Err(LookupError::NetUnreachable)),
                Action::Prohibit => Some(Err(LookupError::Prohibited)),
            };
            match found {
                None => {}
                Some(Ok(result)) if self.suppresses(rule, &result) => {}
                Some(found) => {
                    return found.map(|found| FibResult {
                        realms: rule.realms,
                        ..found
                    });
                }
            }
        }
        Err(LookupError::NetUnreachable)
    }

    /// `fib4_rule_suppress()`, `fib6_rule_suppress()`: the rule does not want what its table says.
    fn suppresses(&self, rule: &Rule<K>, found: &FibResult) -> bool {
        let short = |least| found.prefix_len <= least;
        let of_group = |group| {
            let way = self.info(found.info).nexthops.get(found.nexthop);
            way.is_some_and(|way| {
                let known = self.groups.iter().find(|(dev, _)| *dev == way.oif);
                known.map_or(0, |(_, group)| *group) == group
            })
        };
        rule.suppress_prefixlength.is_some_and(short) || rule.suppress_ifgroup.is_some_and(of_group)
    }

    /// Lookup in one table only.
    pub fn lookup_in(&self, table: u32, flow: &FlowKey<K>) -> Result<FibResult, LookupError> {
        self.table(table)
            .and_then(|t| t.lookup(flow, &self.infos))
            .unwrap_or(Err(LookupError::NetUnreachable))
    }

    /// `inet_addr_type()`: what table `local` says of an address; `Unicast` when nothing.
    pub fn addr_type(&self, address: K) -> RouteType {
        let flow = FlowKey {
            dst: address,
            ..FlowKey::default()
        };
        match self.lookup_in(RT_TABLE_LOCAL, &flow) {
            Ok(found) => found.kind,
            Err(_) => RouteType::Unicast,
        }
    }
}

/// All routes and rules of a host.
#[derive(Debug, Default)]
pub(crate) struct Fib {
    pub v4: Rpdb<u32>,
    pub v6: Rpdb<u128>,
    /// Next hops by number, for both families.
    pub nexthops: NexthopObjects,
}

impl Fib {
    /// The device is in `group` now.
    pub fn set_group(&mut self, dev: IfIndex, group: u32) {
        for groups in [&mut self.v4.groups, &mut self.v6.groups] {
            groups.retain(|(of, _)| *of != dev);
            if group != 0 {
                groups.push((dev, group));
            }
        }
    }

    /// Whether `address` is one of this host's own.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.addr_type(address) == RouteType::Local
    }

    /// `inet_addr_type()`.
    pub fn addr_type(&self, address: IpAddr) -> RouteType {
        match address {
            IpAddr::V4(a) => self.v4.addr_type(a.to_bits()),
            IpAddr::V6(a) => self.v6.addr_type(a.to_bits()),
        }
    }

    /// The way to `dst` through `oif` ([`IfIndex::NONE`]: any), by the rules, for a packet that is made here.
    pub fn lookup(&self, dst: IpAddr, oif: IfIndex, mark: u32) -> Option<Route> {
        fn by_rules<K: Key>(rpdb: &Rpdb<K>, dst: K, oif: IfIndex, mark: u32) -> Option<Route> {
            let flow = FlowKey {
                dst,
                iif: IfIndex::LO,
                oif,
                mark,
                ..FlowKey::default()
            };
            Some(Route::of(rpdb, &rpdb.lookup(&flow).ok()?))
        }
        match dst {
            IpAddr::V4(a) => by_rules(&self.v4, a.to_bits(), oif, mark),
            IpAddr::V6(a) => by_rules(&self.v6, a.to_bits(), oif, mark),
        }
    }

    /// What table `local` says of an address.
    pub fn lookup_local(&self, address: IpAddr) -> Option<Route> {
        fn in_local<K: Key>(rpdb: &Rpdb<K>, dst: K) -> Option<Route> {
            let flow = FlowKey {
                dst,
                ..FlowKey::default()
            };
            Some(Route::of(
                rpdb,
                &rpdb.lookup_in(RT_TABLE_LOCAL, &flow).ok()?,
            ))
        }
        match address {
            IpAddr::V4(a) => in_local(&self.v4, a.to_bits()),
            IpAddr::V6(a) => in_local(&self.v6, a.to_bits()),
        }
    }
}
