//! Routing decisions for IPv6 packets, and the choice of source addresses.

use super::header::multicast_scope;
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::fib::{Route, RouteType};
use crate::icmpv6;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::net::{IpAddr, Ipv6Addr};

/// Why a received packet has no way: the drop reason, and the code of the destination-unreachable message to send, if any.
pub(crate) struct NoRoute6 {
    pub reason: DropReason,
    pub unreach_code: Option<u8>,
}

impl From<DropReason> for NoRoute6 {
    fn from(reason: DropReason) -> Self {
        Self {
            reason,
            unreach_code: None,
        }
    }
}

/// `ff02::2`.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

impl Stack {
    /// `ip6_route_input()`.
    pub(super) fn ip6_route_input(
        &self,
        saddr: Ipv6Addr,
        daddr: Ipv6Addr,
        dev: IfIndex,
    ) -> Result<Route, NoRoute6> {
        if daddr.is_multicast() {
            let member = self.is_member_v6(dev, daddr)
                || ((self.ipv6_conf.all.forwarding != 0) && daddr == ALL_ROUTERS);
            // ip6_mc_input() drops for others without a reason of its own.
            return if member {
                Ok(Route {
                    kind: RouteType::Multicast,
                    oif: dev,
                    gateway: None,
                    src: None,
                })
            } else {
                Err(DropReason::NotSpecified.into())
            };
        }
        let found = self.fib.lookup(daddr.into(), IfIndex::NONE);
        match found {
            // A link-local address belongs to its own link only (RFC 4007).
            Some(r)
                if r.kind == RouteType::Local
                    && daddr.is_unicast_link_local()
                    && dev != IfIndex::LO
                    && !self.has_addr(dev, daddr) =>
            {
                Err(DropReason::IpInAddrErrors.into())
            }
            Some(route) if route.kind == RouteType::Local => Ok(route),
            _ if self.ipv6_conf.all.forwarding == 0 => Err(DropReason::IpInAddrErrors.into()),
            Some(route) if route.kind == RouteType::Unicast => {
                // RFC 4291 2.5.6: link-local packets are not forwarded.
                if daddr.is_unicast_link_local() {
                    Err(DropReason::IpInAddrErrors.into())
                } else if saddr.is_unicast_link_local() {
                    let unreach_code = Some(icmpv6::NOT_NEIGHBOUR);
                    Err(NoRoute6 {
                        reason: DropReason::IpInAddrErrors,
                        unreach_code,
                    })
                } else if saddr.is_unspecified() || saddr.is_loopback() {
                    Err(DropReason::IpInAddrErrors.into())
                } else {
                    Ok(route)
                }
            }
            Some(route) if route.kind == RouteType::Prohibit => Err(NoRoute6 {
                reason: DropReason::NotSpecified,
                unreach_code: Some(icmpv6::ADM_PROHIBITED),
            }),
            Some(route) if route.kind == RouteType::Blackhole => {
                Err(DropReason::NotSpecified.into())
            }
            _ => Err(NoRoute6 {
                reason: DropReason::IpInNoRoutes,
                unreach_code: Some(icmpv6::NOROUTE),
            }),
        }
    }

    /// [`ip6_route_output_flags`](Self::ip6_route_output_flags), failures counted.
    pub(crate) fn ip6_route_output(
        &mut self,
        daddr: Ipv6Addr,
        saddr: Option<Ipv6Addr>,
        scope: IfIndex,
    ) -> Result<(Route, Ipv6Addr), StackError> {
        let found = self.ip6_route_output_flags(daddr, saddr, scope);
        self.stats.out_no_routes += u64::from(found.is_err());
        found
    }

    /// `ip6_route_output_flags()`: the way to `daddr` (through `scope` if given), and the source address: `saddr` if given, else selected.
    fn ip6_route_output_flags(
        &self,
        daddr: Ipv6Addr,
        saddr: Option<Ipv6Addr>,
        scope: IfIndex,
    ) -> Result<(Route, Ipv6Addr), StackError> {
        if scope != IfIndex::NONE && self.device(scope).is_none() {
            return Err(StackError::NoDevice(scope));
        }
        let unreachable = || StackError::NetUnreachable(daddr.into());
        let mut route = if daddr.is_multicast() {
            // ff00::/8 is a route of every device; without a scope the source's device is taken, or else the first.
            let by_source = || {
                saddr.and_then(|s| {
                    self.addrs
                        .iter()
                        .find(|a| a.cidr.address() == IpAddr::V6(s))
                })
            };
            let first = || {
                self.devices
                    .iter()
                    .map(|d| d.index)
                    .find(|&d| d != IfIndex::LO)
            };
            let oif = scope
                .some()
                .or_else(|| by_source().map(|a| a.dev))
                .or_else(first)
                .ok_or_else(unreachable)?;
            Route {
                kind: RouteType::Multicast,
                oif,
                gateway: None,
                src: None,
            }
        } else {
            self.fib
                .lookup(daddr.into(), scope)
                .ok_or_else(unreachable)?
        };
        match route.kind {
            RouteType::Local => {
                route.oif = IfIndex::LO;
                route.src = Some(daddr.into());
            }
            RouteType::Unicast | RouteType::Multicast | RouteType::Broadcast => {}
            RouteType::Unreachable => return Err(StackError::HostUnreachable(daddr.into())),
            RouteType::Prohibit => return Err(StackError::Permission(daddr.into())),
            RouteType::Blackhole => return Err(StackError::InvalidDestination((daddr, 0).into())),
        }
        let preferred = match route.src {
            Some(IpAddr::V6(src)) => Some(src),
            _ => None,
        };
        let source = saddr
            .or(preferred)
            .or_else(|| self.ipv6_select_addr(route.oif, daddr))
            .ok_or_else(unreachable)?;
        Ok((route, source))
    }

    /// `ipv6_dev_get_saddr()`: RFC 6724 5, rules 1 (same address), 2 (scope), 5 (outgoing device) and 8 (longest common prefix).
    pub(crate) fn ipv6_select_addr(&self, oif: IfIndex, daddr: Ipv6Addr) -> Option<Ipv6Addr> {
        let wanted = scope_of(daddr);
        let candidates = self.addrs.iter().filter_map(|a| match a.cidr.address() {
            // Link-local sources only make sense on their own link; for link-local destinations so do all others.
            IpAddr::V6(own)
                if a.dev == oif || (!own.is_unicast_link_local() && wanted > SCOPE_LINK) =>
            {
                Some((a.dev, own))
            }
            _ => None,
        });
        let rank = |&(dev, own): &(IfIndex, Ipv6Addr)| {
            let scope = scope_of(own);
            // Rule 2: the smallest scope that is not smaller than the destination's; else the largest.
            let fits = if scope >= wanted {
                (1, 16 - scope)
            } else {
                (0, scope)
            };
            let common = (own.to_bits() ^ daddr.to_bits()).leading_zeros().min(64);
            (own == daddr, fits, dev == oif, common)
        };
        // The first among equals: max_by_key would take the last.
        let mut best: Option<(IfIndex, Ipv6Addr)> = None;
        for candidate in candidates.filter(|(_, own)| !own.is_loopback() || daddr.is_loopback()) {
            if best.as_ref().is_none_or(|b| rank(&candidate) > rank(b)) {
                best = Some(candidate);
            }
        }
        best.map(|(_, own)| own)
    }

    /// Whether `address` is one of `dev`'s own.
    pub(crate) fn has_addr(&self, dev: IfIndex, address: Ipv6Addr) -> bool {
        self.addrs
            .iter()
            .any(|a| a.dev == dev && a.cidr.address() == IpAddr::V6(address))
    }
}

/// Link-local scope.
const SCOPE_LINK: u8 = 2;

/// RFC 6724 3.1.
fn scope_of(address: Ipv6Addr) -> u8 {
    if address.is_multicast() {
        multicast_scope(address)
    } else if address.is_unicast_link_local() || address.is_loopback() {
        SCOPE_LINK
    } else {
        14
    }
}
