//! Adding and removing routes, with the kernel's checks (`inet_rtm_newroute()`, `fib_create_info()`, `fib_check_nh()`, `ip6_route_info_create()`).

use super::trie::Key;
use super::{
    Alias, FibInfo, FlowKey, InsertError, Mode, NewRoute, Nexthop, NexthopObject, RT_TABLE_MAIN,
    Route, RouteSpec, RouteType, Rpdb, Scope,
};
use crate::addr::IpCidr;
use crate::error::StackError;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::net::IpAddr;

/// `IP6_RT_PRIO_USER`: metric of an IPv6 route that names none.
const IP6_RT_PRIO_USER: u32 = 1024;

/// Which routes to remove, as far as the command said.
#[derive(Clone, Debug)]
pub(crate) struct RouteFilter {
    pub dst: IpCidr,
    pub table: u32,
    pub kind: Option<RouteType>,
    pub tos: u8,
    pub metric: Option<u32>,
    pub src: Option<IpAddr>,
    pub scope: Option<Scope>,
    pub protocol: Option<u8>,
    pub gateway: Option<IpAddr>,
    pub oif: Option<IfIndex>,
}

impl RouteFilter {
    /// Every route to `dst` in a table.
    pub fn new(dst: IpCidr, table: u32) -> Self {
        Self {
            dst,
            table,
            kind: None,
            tos: 0,
            metric: None,
            src: None,
            scope: None,
            protocol: None,
            gateway: None,
            oif: None,
        }
    }

    /// `fib_table_delete()`'s conditions.
    fn fits(&self, alias: &Alias, info: &FibInfo) -> bool {
        let way = |n: &Nexthop| {
            self.gateway.is_none_or(|g| n.gateway == Some(g)) && self.oif.is_none_or(|d| n.oif == d)
        };
        let named = self.gateway.is_some() || self.oif.is_some();
        // IPv6 keeps routes that refuse on `lo` (`ip6_route_info_create()`), and lists them there.
        let refuses = alias.kind.is_reject() && self.dst.address().is_ipv6();
        let on_lo = refuses && self.gateway.is_none() && self.oif == Some(IfIndex::LO);
        alias.tos == self.tos
            && self.kind.is_none_or(|k| alias.kind == k)
            && self.metric.is_none_or(|m| info.priority == m)
            && self.src.is_none_or(|s| info.prefsrc == Some(s))
            && self.scope.is_none_or(|s| info.scope == s)
            && self.protocol.is_none_or(|p| info.protocol == p)
            && (!named || on_lo || info.nexthops.iter().any(way))
    }
}

/// A prefix as a trie has it.
pub(crate) fn key_v4(dst: IpCidr) -> Option<(u32, u8)> {
    match dst.address() {
        IpAddr::V4(a) => Some((a.to_bits().prefix(dst.prefix_len()), dst.prefix_len())),
        IpAddr::V6(_) => None,
    }
}

/// A prefix as a trie has it.
pub(crate) fn key_v6(dst: IpCidr) -> Option<(u128, u8)> {
    match dst.address() {
        IpAddr::V6(a) => Some((a.to_bits().prefix(dst.prefix_len()), dst.prefix_len())),
        IpAddr::V4(_) => None,
    }
}

impl RouteSpec {
    /// iproute2's choice for routes that name no scope.
    fn scope_or_default(&self) -> Scope {
        let gateway = self.nexthops.iter().any(|n| n.gateway.is_some());
        self.scope.unwrap_or(match self.kind {
            _ if self.dst.address().is_ipv6() => Scope::UNIVERSE,
            RouteType::Local => Scope::HOST,
            RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast => Scope::LINK,
            RouteType::Unicast if !gateway => Scope::LINK,
            _ => Scope::UNIVERSE,
        })
    }
}

impl Stack {
    /// `ip route add`. A gateway without a device is looked up among the connected networks.
    pub fn add_route(&mut self, spec: RouteSpec) -> Result<(), StackError> {
        self.new_route(spec, Mode::Add)
    }

    /// `ip route del DST`: all routes of table `main` to exactly this network.
    pub fn del_route(&mut self, dst: IpCidr) -> Result<(), StackError> {
        let mut removed = false;
        while self.del_route_matching(&RouteFilter::new(dst, RT_TABLE_MAIN)) {
            removed = true;
        }
        match removed {
            true => Ok(()),
            false => Err(StackError::NoRoute(dst)),
        }
    }

    /// `inet_rtm_delroute()`: the first route that fits; `false` when there is none.
    pub(crate) fn del_route_matching(&mut self, filter: &RouteFilter) -> bool {
        let fits = |alias: &Alias, info: &FibInfo| filter.fits(alias, info);
        match (key_v4(filter.dst), key_v6(filter.dst)) {
            (Some(dst), _) => self.fib.v4.remove(filter.table, dst, fits),
            (_, Some(dst)) => self.fib.v6.remove(filter.table, dst, fits),
            _ => false,
        }
    }

    /// `inet_rtm_newroute()`, `inet6_rtm_newroute()`: checks a route and puts it into its table.
    pub(crate) fn new_route(&mut self, spec: RouteSpec, mode: Mode) -> Result<(), StackError> {
        let mut spec = spec;
        if spec.nhid != 0 {
            self.resolve_nhid(&mut spec)?;
        } else if spec.kind.is_reject() {
            spec.nexthops.clear();
        } else if spec.nexthops.is_empty() {
            return Err(StackError::NoDevice(IfIndex::NONE));
        }
        if spec.dst.address().is_ipv6() && spec.metric == 0 {
            spec.metric = IP6_RT_PRIO_USER;
        }
        let scope = spec.scope_or_default();
        spec.scope = Some(scope);
        // What a number stands for was checked when it was given.
        let own = if spec.nhid == 0 {
            spec.nexthops.len()
        } else {
            0
        };
        for i in 0..own {
            let nexthop = spec.nexthops[i];
            if let Some(gateway) = nexthop.gateway {
                if scope >= Scope::LINK {
                    return Err(StackError::InvalidScope(spec.dst));
                }
                spec.nexthops[i].oif = self.check_gateway(&spec, &nexthop, gateway)?;
            } else if self.device(nexthop.oif).is_none() {
                return Err(StackError::NoDevice(nexthop.oif));
            } else if !self.is_up(nexthop.oif) {
                return Err(match spec.dst.address().is_ipv4() {
                    true => StackError::DeviceDown(nexthop.oif),
                    false => StackError::NexthopDown(nexthop.oif),
                });
            }
        }
        // fib_valid_prefsrc()
        if let Some(src) = spec.src {
            let own = spec.kind == RouteType::Local && src == spec.dst.address();
            if src.is_ipv4() != spec.dst.address().is_ipv4() || !(own || self.fib.is_local(src)) {
                return Err(StackError::AddressNotAvailable(src));
            }
        }
        let dst = spec.dst;
        self.insert_route(spec, mode).map_err(|error| match error {
            InsertError::Exists => StackError::RouteExists(dst),
            InsertError::Missing => StackError::RouteMissing(dst),
        })
    }

    /// The ways of a route by number; one to a blackhole drops.
    fn resolve_nhid(&self, spec: &mut RouteSpec) -> Result<(), StackError> {
        let missing = StackError::NexthopMissing(spec.nhid);
        let object = self.fib.nexthops.get(spec.nhid).ok_or(missing)?;
        spec.nexthops = self.fib.nexthops.ways(spec.nhid);
        if *object == NexthopObject::Blackhole {
            spec.kind = RouteType::Blackhole;
        }
        spec.scope = Some(spec.scope.unwrap_or(Scope::UNIVERSE));
        let v4 = |n: &Nexthop| n.gateway.is_some_and(|g| g.is_ipv4());
        if spec.dst.address().is_ipv6() && spec.nexthops.iter().any(v4) {
            return Err(StackError::NexthopFamily(spec.nhid));
        }
        Ok(())
    }

    /// `fib_check_nh()`, `ip6_route_check_nh()`: the device behind which the gateway is.
    pub(crate) fn check_gateway(
        &self,
        spec: &RouteSpec,
        nexthop: &Nexthop,
        gateway: IpAddr,
    ) -> Result<IfIndex, StackError> {
        let unreachable = StackError::GatewayUnreachable(gateway);
        let named = nexthop.oif != IfIndex::NONE;
        if named && self.device(nexthop.oif).is_none() {
            return Err(StackError::NoDevice(nexthop.oif));
        }
        let impossible = match gateway {
            IpAddr::V4(a) => a.is_unspecified() || a.is_multicast() || a.is_broadcast(),
            IpAddr::V6(a) => a.is_multicast() || self.fib.is_local(gateway),
        };
        if impossible {
            return Err(unreachable);
        }
        if nexthop.onlink {
            return match named {
                true if self.is_up(nexthop.oif) => Ok(nexthop.oif),
                true => Err(StackError::NexthopDown(nexthop.oif)),
                false => Err(unreachable),
            };
        }
        match gateway {
            // A link-local gateway is on the link of the device that was named.
            IpAddr::V6(a) if a.is_unicast_link_local() => {
                named.then_some(nexthop.oif).ok_or(unreachable)
            }
            IpAddr::V4(a) => {
                let scope = spec.scope_or_default();
                let flow = FlowKey {
                    dst: a.to_bits(),
                    iif: IfIndex::LO,
                    oif: nexthop.oif,
                    // The gateway must be nearer than what it leads to.
                    scope: Scope(scope.0.saturating_add(1)).max(Scope::LINK),
                    ..FlowKey::default()
                };
                let way = on_link(&self.fib.v4, spec.table, &flow);
                way.ok_or(unreachable)
            }
            IpAddr::V6(a) => {
                let flow = FlowKey {
                    dst: a.to_bits(),
                    iif: IfIndex::LO,
                    oif: nexthop.oif,
                    ..FlowKey::default()
                };
                let way = on_link(&self.fib.v6, spec.table, &flow);
                way.ok_or(unreachable)
            }
        }
    }

    /// Into the table, all checks done.
    pub(crate) fn insert_route(&mut self, spec: RouteSpec, mode: Mode) -> Result<(), InsertError> {
        let scope = spec.scope_or_default();
        let mut info = FibInfo {
            nexthops: spec.nexthops,
            priority: spec.metric,
            prefsrc: spec.src,
            scope,
            protocol: spec.protocol,
            metrics: spec.metrics,
            nhid: spec.nhid,
        };
        let (kind, tos) = (spec.kind, spec.tos);
        if let Some(dst) = key_v4(spec.dst) {
            let route = NewRoute {
                dst,
                kind,
                tos,
                info,
            };
            return self.fib.v4.insert(spec.table, route, mode);
        }
        let Some(dst) = key_v6(spec.dst) else {
            return Ok(());
        };
        info.scope = Scope::UNIVERSE;
        // rt6_qualify_for_ecmp(): a second gateway with the same metric makes it one route with two ways.
        let joins = |n: &Nexthop| n.gateway.is_some();
        if mode == Mode::Append
            && info.nhid == 0
            && kind == RouteType::Unicast
            && info.nexthops.iter().all(joins)
        {
            let sibling = |alias: &Alias, other: &FibInfo| {
                alias.kind == kind
                    && other.priority == info.priority
                    && other.nhid == 0
                    && other.nexthops.iter().all(joins)
                    && !other.nexthops.iter().any(|n| info.nexthops.contains(n))
            };
            let siblings = self.fib.v6.find(spec.table, dst, sibling);
            if let Some(mut nexthops) = siblings.map(|found| found.nexthops.clone()) {
                self.fib.v6.remove(spec.table, dst, sibling);
                nexthops.append(&mut info.nexthops);
                info.nexthops = nexthops;
            }
        }
        let route = NewRoute {
            dst,
            kind,
            tos: 0,
            info,
        };
        self.fib.v6.insert(spec.table, route, mode)
    }

    /// Removes the route that `spec` made.
    pub(crate) fn remove_route_spec(&mut self, spec: &RouteSpec) {
        let nexthop = spec.nexthops.first();
        self.del_route_matching(&RouteFilter {
            kind: Some(spec.kind),
            tos: spec.tos,
            metric: Some(spec.metric),
            src: spec.src,
            protocol: Some(spec.protocol),
            gateway: nexthop.and_then(|n| n.gateway),
            oif: nexthop.map(|n| n.oif),
            ..RouteFilter::new(spec.dst, spec.table)
        });
    }

    /// `fib_sync_down_addr()`: routes that prefer `source`, which is gone.
    pub(crate) fn remove_routes_from(&mut self, source: IpAddr) {
        fn sweep<K: Key>(rpdb: &mut Rpdb<K>, source: IpAddr) {
            let mut doomed = Vec::new();
            for table in rpdb.tables() {
                for (key, len, alias) in table.routes() {
                    if rpdb.info(alias.info).prefsrc == Some(source) {
                        doomed.push((table.id, (key, len)));
                    }
                }
            }
            for (table, dst) in doomed {
                rpdb.remove(table, dst, |_, info| info.prefsrc == Some(source));
            }
        }
        match source {
            IpAddr::V4(_) => sweep(&mut self.fib.v4, source),
            IpAddr::V6(_) => sweep(&mut self.fib.v6, source),
        }
    }
}

/// The device behind which an address is on the link: asked in the route's own table first, then by the rules. IPv6 asks the rules too when
/// the table's answer is of no use, IPv4 only when it has none.
fn on_link<K: Key>(rpdb: &Rpdb<K>, table: u32, flow: &FlowKey<K>) -> Option<IfIndex> {
    let direct = |found: super::FibResult| {
        let nexthop = rpdb.info(found.info).nexthops.get(found.nexthop)?;
        let host = matches!(found.kind, RouteType::Unicast | RouteType::Local);
        (host && nexthop.gateway.is_none()).then_some(nexthop.oif)
    };
    match rpdb.lookup_in(table, flow) {
        Ok(found) if K::BITS == 32 || direct(found).is_some() => direct(found),
        _ => direct(rpdb.lookup(flow).ok()?),
    }
}

/// `set_class_tag()`: the realms of `tag` where `realms` has none.
pub(crate) fn class_tag(realms: u32, tag: u32) -> u32 {
    let half = |mask| match realms & mask {
        0 => tag & mask,
        own => own,
    };
    half(0xffff) | half(0xffff_0000)
}

impl Route {
    /// What a packet carries of a route that was found.
    pub(crate) fn of<K: Key>(rpdb: &Rpdb<K>, found: &super::FibResult) -> Self {
        let info = rpdb.info(found.info);
        let nexthop = info.nexthops.get(found.nexthop);
        Self {
            gateway: nexthop.and_then(|n| n.gateway),
            src: info.prefsrc,
            mtu: info.metrics.mtu(),
            mtu_locked: info.metrics.mtu_locked(),
            hop_limit: info.metrics.values[super::RTAX_HOPLIMIT].min(255) as u8,
            fib: Some(*found),
            realms: class_tag(nexthop.map_or(0, |n| n.realms), found.realms),
            ..Self::link(found.kind, nexthop.map_or(IfIndex::NONE, |n| n.oif))
        }
    }
}
