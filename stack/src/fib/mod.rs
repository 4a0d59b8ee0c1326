//! The forwarding information base: tables `local` and `main`, looked up in this order, as the default rules 0 and 32766 say.
//!
//! Policy rules and further tables do not exist yet; marks are carried through lookups but select nothing.

pub mod lpm;

use crate::addr::IpCidr;
use crate::skb::IfIndex;
use lpm::LpmTable;
use std::net::IpAddr;

/// What a route does with packets (`RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteType {
    /// Sends them on, to the gateway or straight to the destination.
    Unicast,
    /// The destination is this host.
    Local,
    /// The destination is everybody on the link.
    Broadcast,
    /// The destination is a group.
    Multicast,
    /// Drops them silently.
    Blackhole,
    /// Drops them, and says host unreachable.
    Unreachable,
    /// Drops them, and says administratively prohibited.
    Prohibit,
}

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
}

impl Route {
    /// The next hop: the gateway, or the destination itself.
    pub fn nexthop(&self, destination: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(destination)
    }
}

/// A route to be added, as `ip route add` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Destination network; host bits are ignored.
    pub dst: IpCidr,
    /// What it does.
    pub kind: RouteType,
    /// `via`: next hop on the link of `oif`.
    pub gateway: Option<IpAddr>,
    /// `dev`; may be left out ([`IfIndex::NONE`]) when the gateway says it, and for routes that drop.
    pub oif: IfIndex,
    /// `src`: preferred source address.
    pub src: Option<IpAddr>,
    /// `metric`: among equal prefixes the lowest wins.
    pub metric: u32,
}

impl RouteSpec {
    /// `ip route add DST via GATEWAY`; the device follows from the gateway's address.
    pub fn via(dst: IpCidr, gateway: IpAddr) -> Self {
        Self {
            dst,
            kind: RouteType::Unicast,
            gateway: Some(gateway),
            oif: IfIndex::NONE,
            src: None,
            metric: 0,
        }
    }

    /// `ip route add DST dev OIF`.
    pub fn dev(dst: IpCidr, oif: IfIndex) -> Self {
        Self {
            dst,
            kind: RouteType::Unicast,
            gateway: None,
            oif,
            src: None,
            metric: 0,
        }
    }

    /// `ip route add KIND DST` for the kinds that drop.
    pub fn reject(kind: RouteType, dst: IpCidr) -> Self {
        Self {
            dst,
            kind,
            gateway: None,
            oif: IfIndex::NONE,
            src: None,
            metric: 0,
        }
    }
}

/// Routes with one prefix, lowest metric first.
type Alternatives = Vec<(u32, Route)>;

/// One table for both families.
#[derive(Default)]
struct Table {
    v4: LpmTable<u32, Alternatives>,
    v6: LpmTable<u128, Alternatives>,
}

impl Table {
    fn alternatives(&mut self, dst: IpCidr) -> &mut Alternatives {
        match dst.address() {
            IpAddr::V4(a) => self.v4.entry(a.to_bits(), dst.prefix_len(), Vec::new),
            IpAddr::V6(a) => self.v6.entry(a.to_bits(), dst.prefix_len(), Vec::new),
        }
    }

    fn lookup(&self, dst: IpAddr, accept: impl Fn(&Route) -> bool) -> Option<Route> {
        let pick = |alternatives: &Alternatives| {
            alternatives
                .iter()
                .map(|(_, r)| r)
                .find(|r| accept(r))
                .copied()
        };
        match dst {
            IpAddr::V4(a) => self.v4.matches(a.to_bits()).find_map(pick),
            IpAddr::V6(a) => self.v6.matches(a.to_bits()).find_map(pick),
        }
    }

    /// Removes the routes at `dst` that `gone` says; returns how many.
    fn remove(&mut self, dst: IpCidr, gone: impl Fn(&Route) -> bool) -> usize {
        let alternatives = self.alternatives(dst);
        let before = alternatives.len();
        alternatives.retain(|(_, r)| !gone(r));
        let removed = before - alternatives.len();
        if alternatives.is_empty() {
            match dst.address() {
                IpAddr::V4(a) => self.v4.remove(a.to_bits(), dst.prefix_len()).is_some(),
                IpAddr::V6(a) => self.v6.remove(a.to_bits(), dst.prefix_len()).is_some(),
            };
        }
        removed
    }
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableId {
    Local,
    Main,
}

/// All routes of a host.
#[derive(Default)]
pub(crate) struct Fib {
    local: Table,
    main: Table,
}

impl Fib {
    fn table(&mut self, id: TableId) -> &mut Table {
        match id {
            TableId::Local => &mut self.local,
            TableId::Main => &mut self.main,
        }
    }

    /// Adds a route; `false` when the same one (prefix, metric, way) is there.
    pub fn add(&mut self, id: TableId, spec: &RouteSpec) -> bool {
        let route = Route {
            kind: spec.kind,
            oif: spec.oif,
            gateway: spec.gateway,
            src: spec.src,
        };
        let alternatives = self.table(id).alternatives(spec.dst);
        if alternatives.contains(&(spec.metric, route)) {
            return false;
        }
        let at = alternatives.partition_point(|(metric, _)| *metric <= spec.metric);
        alternatives.insert(at, (spec.metric, route));
        true
    }

    /// Removes the routes to exactly `dst` for which `gone` says so; returns how many.
    pub fn remove(&mut self, id: TableId, dst: IpCidr, gone: impl Fn(&Route) -> bool) -> usize {
        self.table(id).remove(dst, gone)
    }

    /// `fib_lookup()`. With `oif`, only routes through this device count (local ones always do).
    pub fn lookup(&self, dst: IpAddr, oif: IfIndex) -> Option<Route> {
        let fits = |r: &Route| oif == IfIndex::NONE || r.oif == oif || r.oif == IfIndex::NONE;
        self.local
            .lookup(dst, |_| true)
            .or_else(|| self.main.lookup(dst, fits))
    }

    /// Lookup in `main` only, for finding the device of a gateway.
    pub fn lookup_main(&self, dst: IpAddr, oif: IfIndex) -> Option<Route> {
        self.main
            .lookup(dst, |r| oif == IfIndex::NONE || r.oif == oif)
    }

    /// The local entry for `dst`, of whatever kind.
    pub fn lookup_local(&self, dst: IpAddr) -> Option<Route> {
        self.local.lookup(dst, |_| true)
    }

    /// Whether `address` is one of this host's own.
    pub fn is_local(&self, address: IpAddr) -> bool {
        matches!(
            self.lookup_local(address),
            Some(Route {
                kind: RouteType::Local,
                ..
            })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> IpCidr {
        text.parse().unwrap()
    }

    #[test]
    fn metric_and_device_choose_among_equals() {
        let mut fib = Fib::default();
        let (a, b) = (IfIndex(2), IfIndex(3));
        fib.add(
            TableId::Main,
            &RouteSpec {
                metric: 10,
                ..RouteSpec::dev(cidr("10.0.0.0/8"), a)
            },
        );
        fib.add(
            TableId::Main,
            &RouteSpec {
                metric: 5,
                ..RouteSpec::dev(cidr("10.0.0.0/8"), b)
            },
        );
        let dst = "10.1.2.3".parse().unwrap();
        assert_eq!(fib.lookup(dst, IfIndex::NONE).unwrap().oif, b);
        assert_eq!(fib.lookup(dst, a).unwrap().oif, a);
        assert_eq!(
            fib.remove(TableId::Main, cidr("10.0.0.0/8"), |r| r.oif == b),
            1
        );
        assert_eq!(fib.lookup(dst, IfIndex::NONE).unwrap().oif, a);
        assert_eq!(fib.lookup("11.0.0.1".parse().unwrap(), IfIndex::NONE), None);
    }

    #[test]
    fn local_comes_before_main() {
        let mut fib = Fib::default();
        let local = RouteSpec {
            kind: RouteType::Local,
            ..RouteSpec::dev(cidr("fd00::1/128"), IfIndex(2))
        };
        assert!(fib.add(TableId::Local, &local));
        assert!(!fib.add(TableId::Local, &local));
        fib.add(
            TableId::Main,
            &RouteSpec::dev(cidr("fd00::/64"), IfIndex(2)),
        );
        assert!(fib.is_local("fd00::1".parse().unwrap()));
        assert!(!fib.is_local("fd00::2".parse().unwrap()));
        assert_eq!(
            fib.lookup("fd00::1".parse().unwrap(), IfIndex::NONE)
                .unwrap()
                .kind,
            RouteType::Local
        );
    }
}
