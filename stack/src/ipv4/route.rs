//! Routing decisions for IPv4 packets: `ip_route_input_slow()` and `ip_route_output_key()`.

use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::fib::{Route, RouteType};
use crate::icmp::unreach;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::net::{IpAddr, Ipv4Addr};

/// Why a received packet has no way: the drop reason, and the code of the destination-unreachable message to send, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoute {
    pub reason: DropReason,
    pub unreach_code: Option<u8>,
}

impl From<DropReason> for NoRoute {
    fn from(reason: DropReason) -> Self {
        Self {
            reason,
            unreach_code: None,
        }
    }
}

/// `ipv4_is_zeronet()`: 0.0.0.0/8.
fn is_zeronet(a: Ipv4Addr) -> bool {
    a.octets()[0] == 0
}

impl Stack {
    /// `ip_route_input_rcu()`: where to with a packet that came in through `dev`.
    pub(crate) fn ip_route_input(
        &self,
        saddr: Ipv4Addr,
        daddr: Ipv4Addr,
        dev: IfIndex,
    ) -> Result<Route, NoRoute> {
        if daddr.is_multicast() {
            return self.ip_route_input_mc(saddr, daddr, dev);
        }
        if saddr.is_multicast() || saddr.is_broadcast() {
            return Err(DropReason::IpInvalidSource.into());
        }
        let to_link = Route {
            kind: RouteType::Broadcast,
            oif: dev,
            gateway: None,
            src: None,
        };
        if daddr.is_broadcast() || (saddr.is_unspecified() && daddr.is_unspecified()) {
            self.validate_unless_zeronet(saddr, dev)?;
            return Ok(to_link);
        }
        if is_zeronet(saddr) {
            return Err(DropReason::IpInvalidSource.into());
        }
        if is_zeronet(daddr) {
            return Err(DropReason::IpInvalidDest.into());
        }
        // A loopback address that is not on lo.
        let loopback = (daddr.is_loopback() || saddr.is_loopback()) && dev != IfIndex::LO;
        if loopback && !self.ipv4_conf.or(dev, |c| c.route_localnet) {
            return Err(DropReason::IpLocalNet.into());
        }
        let forward = self.ipv4_conf.dev(dev).forwarding != 0;
        let found = self.fib.lookup(daddr.into(), IfIndex::NONE);
        match found {
            Some(route) if route.kind == RouteType::Broadcast => {
                self.validate_unless_zeronet(saddr, dev)?;
                Ok(to_link)
            }
            Some(route) if route.kind == RouteType::Local => {
                self.fib_validate_source(saddr, dev)?;
                Ok(route)
            }
            // ip_error(): without forwarding nothing is told to the sender.
            _ if !forward => Err(DropReason::IpInAddrErrors.into()),
            None => Err(NoRoute {
                reason: DropReason::IpInNoRoutes,
                unreach_code: Some(unreach::NET),
            }),
            Some(route) => match route.kind {
                RouteType::Unicast => {
                    self.fib_validate_source(saddr, dev)?;
                    Ok(route)
                }
                RouteType::Unreachable => Err(NoRoute {
                    reason: DropReason::NotSpecified,
                    unreach_code: Some(unreach::HOST),
                }),
                RouteType::Prohibit => Err(NoRoute {
                    reason: DropReason::NotSpecified,
                    unreach_code: Some(unreach::PKT_FILTERED),
                }),
                RouteType::Blackhole => Err(DropReason::NotSpecified.into()),
                RouteType::Local | RouteType::Broadcast | RouteType::Multicast => {
                    Err(DropReason::IpInvalidDest.into())
                }
            },
        }
    }

    /// Groups: only 224.0.0.1 is joined (there is no IGMP), the rest is not for us.
    fn ip_route_input_mc(
        &self,
        saddr: Ipv4Addr,
        daddr: Ipv4Addr,
        dev: IfIndex,
    ) -> Result<Route, NoRoute> {
        const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
        if daddr != ALL_HOSTS {
            return Err(DropReason::IpInvalidDest.into());
        }
        if saddr.is_multicast() || saddr.is_broadcast() {
            return Err(DropReason::IpInvalidSource.into());
        }
        if saddr.is_loopback() && dev != IfIndex::LO {
            return Err(DropReason::IpLocalNet.into());
        }
        // 224.0.0.1 is a link-local group, so a host without an address may send to it.
        self.validate_unless_zeronet(saddr, dev)?;
        Ok(Route {
            kind: RouteType::Multicast,
            oif: dev,
            gateway: None,
            src: None,
        })
    }

    fn validate_unless_zeronet(&self, saddr: Ipv4Addr, dev: IfIndex) -> Result<(), NoRoute> {
        if is_zeronet(saddr) {
            Ok(())
        } else {
            self.fib_validate_source(saddr, dev)
        }
    }

    /// `fib_validate_source()`: own addresses do not come from outside; with `rp_filter` the way back is looked at.
    fn fib_validate_source(&self, saddr: Ipv4Addr, dev: IfIndex) -> Result<(), NoRoute> {
        if dev == IfIndex::LO {
            return Ok(());
        }
        let back = self.fib.lookup_local(saddr.into());
        if back.is_some_and(|r| r.kind == RouteType::Local) {
            return Err(DropReason::IpLocalSource.into());
        }
        let rp_filter = self.ipv4_conf.max(dev, |c| c.rp_filter);
        if rp_filter == 0 {
            return Ok(());
        }
        let back = self.fib.lookup(saddr.into(), IfIndex::NONE);
        let fits = |r: &Route| r.kind == RouteType::Unicast && (rp_filter != 1 || r.oif == dev);
        match back {
            Some(r) if fits(&r) => Ok(()),
            _ => Err(DropReason::IpRpFilter.into()),
        }
    }

    /// [`ip_route_output_key`](Self::ip_route_output_key), failures counted.
    pub(crate) fn ip_route_output(
        &mut self,
        daddr: Ipv4Addr,
        saddr: Option<Ipv4Addr>,
        oif: IfIndex,
    ) -> Result<(Route, Ipv4Addr), StackError> {
        let found = self.ip_route_output_key(daddr, saddr, oif);
        self.stats.out_no_routes += u64::from(found.is_err());
        found
    }

    /// `ip_route_output_key()`: the way to `daddr`, and the source address: `saddr` if given, else the one that the route prefers.
    fn ip_route_output_key(
        &self,
        daddr: Ipv4Addr,
        saddr: Option<Ipv4Addr>,
        oif: IfIndex,
    ) -> Result<(Route, Ipv4Addr), StackError> {
        if let Some(s) = saddr.filter(|&s| !self.fib.is_local(s.into())) {
            return Err(StackError::AddressNotAvailable(s.into()));
        }
        let unreachable = StackError::NetUnreachable(daddr.into());
        let limited = daddr.is_broadcast() || daddr.is_multicast();
        let mut route = match self.fib.lookup(daddr.into(), oif) {
            Some(route) => route,
            // The limited broadcast and groups go out of the device that was named, or that has the source address.
            None if limited => {
                let named = oif
                    .some()
                    .or_else(|| Some(self.fib.lookup_local(saddr?.into())?.oif));
                let oif = named.ok_or(unreachable)?;
                Route {
                    kind: RouteType::Unicast,
                    oif,
                    gateway: None,
                    src: None,
                }
            }
            None => return Err(unreachable),
        };
        match route.kind {
            RouteType::Local => {
                // What is sent to an own address goes through lo.
                route.oif = IfIndex::LO;
                route.src = Some(daddr.into());
            }
            RouteType::Unicast if daddr.is_broadcast() => {
                route = Route {
                    kind: RouteType::Broadcast,
                    gateway: None,
                    ..route
                };
            }
            RouteType::Unicast if daddr.is_multicast() => {
                route = Route {
                    kind: RouteType::Multicast,
                    gateway: None,
                    ..route
                };
            }
            RouteType::Unicast | RouteType::Broadcast | RouteType::Multicast => {}
            RouteType::Unreachable => return Err(StackError::HostUnreachable(daddr.into())),
            RouteType::Prohibit => return Err(StackError::Permission(daddr.into())),
            RouteType::Blackhole => return Err(StackError::InvalidDestination((daddr, 0).into())),
        }
        let preferred = match route.src {
            Some(IpAddr::V4(src)) => Some(src),
            _ => None,
        };
        let nexthop = match route.nexthop(daddr.into()) {
            IpAddr::V4(nexthop) => nexthop,
            IpAddr::V6(_) => daddr,
        };
        let source = saddr
            .or(preferred)
            .or_else(|| self.inet_select_addr(route.oif, nexthop));
        Ok((route, source.ok_or(unreachable_source(daddr))?))
    }

    /// `inet_select_addr()`: an address of `dev`, one in the network of `target` if there is; any other device's otherwise.
    pub(crate) fn inet_select_addr(&self, dev: IfIndex, target: Ipv4Addr) -> Option<Ipv4Addr> {
        let v4 = |a: &&crate::stack::IfAddr| a.cidr.address().is_ipv4();
        let of_dev = || self.addrs.iter().filter(v4).filter(|a| a.dev == dev);
        let elsewhere = || self.addrs.iter().filter(v4).find(|a| a.dev != IfIndex::LO);
        let found = of_dev()
            .find(|a| a.cidr.contains(target.into()))
            .or_else(|| of_dev().next())
            .or_else(elsewhere)?;
        match found.cidr.address() {
            IpAddr::V4(a) => Some(a),
            IpAddr::V6(_) => None,
        }
    }
}

fn unreachable_source(daddr: Ipv4Addr) -> StackError {
    StackError::NetUnreachable(daddr.into())
}
