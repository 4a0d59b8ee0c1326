//! `ip_route_input_slow()`: where to with a packet that came in.

use super::is_zeronet;
use super::validate::Source;
use crate::drop_reason::DropReason;
use crate::fib::{FibResult, FlowKey, LookupError, Route, RouteType, class_tag};
use crate::icmp::unreach;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use std::net::{IpAddr, Ipv4Addr};

/// Why a received packet has no way: the drop reason, and the code of the destination-unreachable message to send, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoute {
    pub reason: DropReason,
    pub unreach_code: Option<u8>,
    /// What the lookup said, if it was that: `ip route get` tells the user.
    pub error: Option<LookupError>,
}

impl From<DropReason> for NoRoute {
    fn from(reason: DropReason) -> Self {
        Self {
            reason,
            unreach_code: None,
            error: None,
        }
    }
}

impl NoRoute {
    /// `ip_error()`: without forwarding nothing is told to the sender.
    fn of(error: LookupError, forwarding: bool) -> Self {
        let (reason, unreach_code) = match error {
            _ if !forwarding => (DropReason::IpInAddrErrors, None),
            LookupError::NetUnreachable => (DropReason::IpInNoRoutes, Some(unreach::NET)),
            LookupError::HostUnreachable => (DropReason::NotSpecified, Some(unreach::HOST)),
            LookupError::Prohibited => (DropReason::NotSpecified, Some(unreach::PKT_FILTERED)),
            LookupError::Invalid => (DropReason::NotSpecified, None),
        };
        Self {
            reason,
            unreach_code,
            error: Some(if forwarding {
                error
            } else {
                LookupError::HostUnreachable
            }),
        }
    }
}

impl Stack {
    /// `ip_route_input_noref()` for a packet with its header at the data, which came in through `skb.dev`.
    pub(crate) fn ip_route_input(&self, skb: &SkBuff) -> Result<Route, NoRoute> {
        let flow = self.flow_of_skb(skb, skb.dev).ok_or(DropReason::IpInHdr)?;
        self.ip_route_input_flow(&flow, Some(skb))
    }

    /// `ip_route_input_rcu()`. `skb`: the packet, if there is one.
    pub(crate) fn ip_route_input_flow(
        &self,
        flow: &FlowKey<u32>,
        skb: Option<&SkBuff>,
    ) -> Result<Route, NoRoute> {
        let (saddr, daddr) = (Ipv4Addr::from_bits(flow.src), Ipv4Addr::from_bits(flow.dst));
        let dev = flow.iif;
        if daddr.is_multicast() {
            return self.ip_route_input_mc(flow, saddr, daddr);
        }
        if saddr.is_multicast() || saddr.is_broadcast() {
            return Err(DropReason::IpInvalidSource.into());
        }
        if daddr.is_broadcast() || (saddr.is_unspecified() && daddr.is_unspecified()) {
            return self.broadcast_input(flow, saddr);
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
        let forwarding = self.ipv4_conf.dev(dev).forwarding != 0;
        let found = self
            .fib
            .v4
            .lookup(flow)
            .map_err(|error| NoRoute::of(error, forwarding))?;
        match found.kind {
            // IN_DEV_BFORWARD(), before anybody asks whether this is a router.
            RouteType::Broadcast if self.ipv4_conf.and(dev, |c| c.bc_forwarding) => {
                let route = self.ip_mkroute_input(flow, found, skb)?;
                Ok(Route {
                    directed: true,
                    ..route
                })
            }
            RouteType::Broadcast => Ok(Route {
                fib: Some(found),
                ..self.broadcast_input(flow, saddr)?
            }),
            RouteType::Local => {
                let source = self.fib_validate_source(flow, flow.dst, IfIndex::NONE)?;
                Ok(Route {
                    realms: source.realms,
                    ..Route::of(&self.fib.v4, &found)
                })
            }
            _ if !forwarding => Err(NoRoute::of(LookupError::HostUnreachable, false)),
            RouteType::Unicast => self.ip_mkroute_input(flow, found, skb),
            _ => Err(DropReason::IpInvalidDest.into()),
        }
    }

    /// `ip_mkroute_input()`: the way on, and whether the sender should have taken it itself.
    fn ip_mkroute_input(
        &self,
        flow: &FlowKey<u32>,
        found: FibResult,
        skb: Option<&SkBuff>,
    ) -> Result<Route, NoRoute> {
        let mut found = found;
        self.fib_select_path(&mut found, flow, |stack| {
            skb.map(|skb| stack.fib_multipath_hash(skb.data()))
        });
        let mut route = Route::of(&self.fib.v4, &found);
        let Source { direct, realms } = self.fib_validate_source(flow, flow.dst, route.oif)?;
        route.realms = class_tag(route.realms, realms);
        let dev = flow.iif;
        if direct && route.oif == dev && self.ipv4_conf.or(dev, |c| c.send_redirects) {
            let gateway = match route.gateway {
                Some(IpAddr::V4(gateway)) => gateway,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            route.redirect = self.ipv4_conf.or(dev, |c| c.shared_media)
                || self.inet_addr_onlink(dev, Ipv4Addr::from_bits(flow.src), gateway);
        }
        Ok(route)
    }

    /// `brd_input`: everybody on the link of the device is meant.
    fn broadcast_input(&self, flow: &FlowKey<u32>, saddr: Ipv4Addr) -> Result<Route, NoRoute> {
        let source = match is_zeronet(saddr) {
            true => Source::default(),
            false => self.fib_validate_source(flow, 0, IfIndex::NONE)?,
        };
        Ok(Route {
            realms: source.realms,
            ..Route::link(RouteType::Broadcast, flow.iif)
        })
    }

    /// `ip_route_input_mc()`. Only 224.0.0.1 is joined (there is no IGMP), the rest is not for us.
    fn ip_route_input_mc(
        &self,
        flow: &FlowKey<u32>,
        saddr: Ipv4Addr,
        daddr: Ipv4Addr,
    ) -> Result<Route, NoRoute> {
        const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
        let dev = flow.iif;
        if daddr != ALL_HOSTS {
            return Err(DropReason::NotSpecified.into());
        }
        if saddr.is_multicast() || saddr.is_broadcast() {
            return Err(DropReason::IpInvalidSource.into());
        }
        if saddr.is_loopback()
            && dev != IfIndex::LO
            && !self.ipv4_conf.or(dev, |c| c.route_localnet)
        {
            return Err(DropReason::IpLocalNet.into());
        }
        // 224.0.0.1 is a link-local group, so a host without an address may send to it.
        if !is_zeronet(saddr) {
            self.fib_validate_source(flow, 0, IfIndex::NONE)?;
        }
        Ok(Route::link(RouteType::Multicast, dev))
    }
}
