//! The address that all routers of an IPv6 network have (RFC 4291 2.6.1; net/ipv6/anycast.c).

use crate::addr::IpCidr;
use crate::fib::{Mode, RT_TABLE_LOCAL, RTPROT_KERNEL, RouteSpec, RouteType, Scope};
use crate::inetaddr::IfAddr;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::net::{IpAddr, Ipv6Addr};

impl Stack {
    /// `dev_forward_change()`: a device's addresses bring that of all routers, or no longer do.
    pub(crate) fn addrconf_forward_change(&mut self, dev: IfIndex) {
        let on = self.ipv6_conf.dev(dev).forwarding != 0 && self.is_up(dev);
        let addrs: Vec<IfAddr> = self
            .addrs
            .iter()
            .filter(|a| a.dev == dev)
            .copied()
            .collect();
        let settled = addrs.iter().filter(|a| !a.dad.is_tentative());
        for route in settled.filter_map(anycast_route) {
            match on {
                true => drop(self.insert_route(route, Mode::Append)),
                false => self.remove_route_spec(&route),
            }
        }
    }

    /// Whether an IPv6 address is that of all routers of a network of `dev` ([`IfIndex::NONE`]: of any device) of this router
    /// (`ipv6_chk_acast_addr()`).
    pub(crate) fn is_anycast(&self, dev: IfIndex, address: Ipv6Addr) -> bool {
        let same = |a: &IfAddr| {
            (a.dev == dev || dev == IfIndex::NONE)
                && !a.dad.is_tentative()
                && self.ipv6_conf.dev(a.dev).forwarding != 0
                && anycast_route(a).is_some_and(|r| r.dst.address() == IpAddr::V6(address))
        };
        self.addrs.iter().any(same)
    }
}

/// `addrconf_join_anycast()`: the address that all routers of an IPv6 network have (RFC 4291 2.6.1), unless there is room for two hosts only
/// (RFC 6164).
pub(crate) fn anycast_route(ifa: &IfAddr) -> Option<RouteSpec> {
    const POINT_TO_POINT: u8 = 127;
    let network = ifa.network().network();
    let all_routers = network.address();
    let has = all_routers.is_ipv6()
        && network.prefix_len() < POINT_TO_POINT
        && !all_routers.is_unspecified()
        && ifa.dev != IfIndex::LO;
    has.then(|| RouteSpec {
        kind: RouteType::Anycast,
        table: RT_TABLE_LOCAL,
        scope: Some(Scope::LINK),
        protocol: RTPROT_KERNEL,
        ..RouteSpec::dev(IpCidr::host(all_routers), ifa.dev)
    })
}
