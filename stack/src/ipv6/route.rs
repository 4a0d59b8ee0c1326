//! Routing decisions for IPv6 packets, and the choice of source addresses.

use super::exthdr::find_upper;
use super::header::{Ipv6Header, multicast_scope};
use super::{IPPROTO_ICMPV6, IPV6_HLEN};
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::fib::{FibResult, FlowKey, FlowKeys, LookupError, Policy, Route, RouteType};
use crate::icmpv6;
use crate::ipv4::{INET_DSCP_MASK, IPPROTO_TCP, IPPROTO_UDP, Upper};
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use std::net::{IpAddr, Ipv6Addr};

/// Why a received packet has no way: the drop reason, and the code of the destination-unreachable message to send, if any.
pub(crate) struct NoRoute6 {
    pub reason: DropReason,
    pub unreach_code: Option<u8>,
    /// What the lookup said, if it was that: `ip route get` tells the user.
    pub error: Option<LookupError>,
}

impl From<DropReason> for NoRoute6 {
    fn from(reason: DropReason) -> Self {
        Self {
            reason,
            unreach_code: None,
            error: None,
        }
    }
}

/// `ff02::2`.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// What is known of a packet that is to be sent (`struct flowi6`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputFlow6 {
    pub daddr: Ipv6Addr,
    /// `None`: to be chosen.
    pub saddr: Option<Ipv6Addr>,
    /// Device that it must leave through; [`IfIndex::NONE`]: any.
    pub oif: IfIndex,
    pub mark: u32,
    pub traffic_class: u8,
    pub protocol: u8,
    pub sport: u16,
    pub dport: u16,
    /// What chooses among several ways, instead of a hash of this.
    pub mp_hash: Option<u32>,
}

impl OutputFlow6 {
    /// To `daddr`, nothing else known.
    pub fn to(daddr: Ipv6Addr) -> Self {
        Self {
            daddr,
            saddr: None,
            oif: IfIndex::NONE,
            mark: 0,
            traffic_class: 0,
            protocol: 0,
            sport: 0,
            dport: 0,
            mp_hash: None,
        }
    }

    fn key(&self) -> FlowKey<u128> {
        // rt6_need_strict(), and packets whose source is still to be chosen.
        let strict = self.daddr.is_unicast_link_local() || self.daddr.is_loopback();
        FlowKey {
            oif_preferred: self.saddr.is_some() && !strict,
            dst: self.daddr.to_bits(),
            src: self.saddr.map_or(0, Ipv6Addr::to_bits),
            iif: IfIndex::LO,
            oif: self.oif,
            mark: self.mark,
            tos: self.traffic_class & INET_DSCP_MASK,
            protocol: self.protocol,
            sport: self.sport,
            dport: self.dport,
            ..FlowKey::default()
        }
    }
}

impl Stack {
    /// The key of a packet with its IPv6 header at the data; `iif`: device that it came in through, `lo` if made here.
    pub(crate) fn flow6_of_skb(&self, skb: &SkBuff, iif: IfIndex) -> Option<FlowKey<u128>> {
        let header = Ipv6Header::new(skb.data())?;
        let mut flow = FlowKey {
            dst: header.daddr().to_bits(),
            src: header.saddr().to_bits(),
            iif,
            mark: skb.mark,
            tos: header.traffic_class() & INET_DSCP_MASK,
            ..FlowKey::default()
        };
        let needed = self.fib.v6.rules.needs_transport();
        if let Some(upper) = find_upper(skb.data()).filter(|_| needed) {
            flow.protocol = upper.protocol;
            let ports = skb.data().get(upper.offset..);
            if let Some(p) = ports.and_then(|rest| rest.first_chunk::<4>())
                && matches!(upper.protocol, IPPROTO_TCP | IPPROTO_UDP)
            {
                flow.sport = u16::from_be_bytes([p[0], p[1]]);
                flow.dport = u16::from_be_bytes([p[2], p[3]]);
            }
        }
        Some(flow)
    }

    /// `rt6_multipath_hash()` of a packet, from its IP header on.
    pub(crate) fn rt6_multipath_hash(&self, packet: &[u8]) -> u32 {
        Policy::of(&self.config, false).of_packet(packet, icmpv6_about(packet))
    }

    /// `fib6_select_path()`: one of several ways by the flow's hash; with a device asked for, the lookup chose. `hash`: of the packet that is
    /// to be sent on, or answered; `None`: by what the flow says.
    pub(crate) fn fib6_select_path(
        &self,
        found: &mut FibResult,
        flow: &FlowKey<u128>,
        hash: impl FnOnce(&Self) -> Option<u32>,
    ) {
        let info = self.fib.v6.info(found.info);
        if info.nexthops.len() < 2 || (flow.oif != IfIndex::NONE && !flow.oif_preferred) {
            return;
        }
        let address = |bits| IpAddr::V6(Ipv6Addr::from_bits(bits));
        let hash = hash(self).unwrap_or_else(|| {
            Policy::of(&self.config, false).of_flow(&FlowKeys {
                ports: (flow.sport, flow.dport),
                protocol: flow.protocol,
                ..FlowKeys::new(address(flow.src), address(flow.dst))
            })
        });
        found.nexthop = info.select_path(hash, |_| true, |_| false);
    }

    /// `ip6_route_input()` for a packet with its header at the data, which came in through `skb.dev`.
    pub(super) fn ip6_route_input(&self, skb: &SkBuff) -> Result<Route, NoRoute6> {
        let flow = self.flow6_of_skb(skb, skb.dev).ok_or(DropReason::IpInHdr)?;
        self.ip6_route_input_flow(&flow, Some(skb.data()))
    }

    /// `ip6_route_input_lookup()`, and what `ip6_input()` and `ip6_forward()` say to its result.
    /// `packet`: what came in, if there is something, from its IP header on.
    pub(crate) fn ip6_route_input_flow(
        &self,
        flow: &FlowKey<u128>,
        packet: Option<&[u8]>,
    ) -> Result<Route, NoRoute6> {
        let daddr = Ipv6Addr::from_bits(flow.dst);
        let (dev, forwarding) = (flow.iif, self.forwards_v6(flow.iif));
        if daddr.is_multicast() {
            let member = self.is_member_v6(dev, daddr) || (forwarding && daddr == ALL_ROUTERS);
            // ip6_mc_input() drops for others without a reason of its own.
            return if member {
                Ok(Route::link(RouteType::Multicast, dev))
            } else {
                Err(DropReason::NotSpecified.into())
            };
        }
        // rt6_need_strict(): a link-local address belongs to its own link only (RFC 4007).
        let strict = FlowKey { oif: dev, ..*flow };
        let link_local = daddr.is_unicast_link_local() && dev != IfIndex::LO;
        let found = match link_local {
            true => self.fib.v6.lookup(&strict),
            false => self.fib.v6.lookup(flow),
        };
        if let Ok(found) = found
            && matches!(found.kind, RouteType::Local | RouteType::Anycast)
        {
            return Ok(Route::of(&self.fib.v6, &found));
        }
        if !forwarding {
            return Err(DropReason::IpInAddrErrors.into());
        }
        let mut found = found.map_err(|error| {
            let (reason, unreach_code) = match error {
                // ip6_pkt_drop(): it is no address.
                LookupError::NetUnreachable | LookupError::HostUnreachable
                    if daddr.is_unspecified() =>
                {
                    (DropReason::IpInAddrErrors, Some(icmpv6::NOROUTE))
                }
                LookupError::Prohibited => (DropReason::IpInNoRoutes, Some(icmpv6::ADM_PROHIBITED)),
                LookupError::Invalid => (DropReason::NotSpecified, None),
                LookupError::NetUnreachable | LookupError::HostUnreachable => {
                    (DropReason::IpInNoRoutes, Some(icmpv6::NOROUTE))
                }
            };
            NoRoute6 {
                reason,
                unreach_code,
                error: Some(error),
            }
        })?;
        self.fib6_select_path(&mut found, flow, |stack| {
            packet.map(|packet| stack.rt6_multipath_hash(packet))
        });
        Ok(Route::of(&self.fib.v6, &found))
    }

    /// [`ip6_route_output_key`](Self::ip6_route_output_key), failures counted.
    pub(crate) fn ip6_route_output(
        &mut self,
        daddr: Ipv6Addr,
        saddr: Option<Ipv6Addr>,
        oif: IfIndex,
        upper: Upper,
    ) -> Result<(Route, Ipv6Addr), StackError> {
        self.ip6_route_output_flow(&OutputFlow6 {
            saddr,
            oif,
            mark: upper.mark,
            traffic_class: upper.tos,
            protocol: upper.protocol,
            sport: upper.ports.0,
            dport: upper.ports.1,
            ..OutputFlow6::to(daddr)
        })
    }

    /// [`ip6_route_output_key`](Self::ip6_route_output_key), failures counted.
    pub(crate) fn ip6_route_output_flow(
        &mut self,
        flow: &OutputFlow6,
    ) -> Result<(Route, Ipv6Addr), StackError> {
        let found = self.ip6_route_output_key(flow);
        self.stats.out_no_routes += u64::from(found.is_err());
        found
    }

    /// `ip6_route_output_flags()`: the way, and the source address: the given one, else selected.
    pub(crate) fn ip6_route_output_key(
        &self,
        flow: &OutputFlow6,
    ) -> Result<(Route, Ipv6Addr), StackError> {
        let (daddr, oif) = (flow.daddr, flow.oif);
        if oif != IfIndex::NONE && self.device(oif).is_none() {
            return Err(StackError::NoDevice(oif));
        }
        let unreachable = || StackError::NetUnreachable(daddr.into());
        let mut route = if daddr.is_multicast() {
            // ff00::/8 is a route of every device; without a device the source's is taken, or else the first.
            let by_source = || {
                let own = flow.saddr.map(IpAddr::V6);
                self.addrs.iter().find(|a| Some(a.cidr.address()) == own)
            };
            let first = || self.netdevs().map(|d| d.index).find(|&d| d != IfIndex::LO);
            let oif = oif
                .some()
                .or_else(|| by_source().map(|a| a.dev))
                .or_else(first)
                .ok_or_else(unreachable)?;
            Route::link(RouteType::Multicast, oif)
        } else {
            let mut found = self
                .fib
                .v6
                .lookup(&flow.key())
                .map_err(|error| match error {
                    LookupError::NetUnreachable => unreachable(),
                    LookupError::HostUnreachable => StackError::HostUnreachable(daddr.into()),
                    LookupError::Prohibited => StackError::Permission(daddr.into()),
                    LookupError::Invalid => StackError::InvalidDestination((daddr, 0).into()),
                })?;
            self.fib6_select_path(&mut found, &flow.key(), |_| flow.mp_hash);
            Route::of(&self.fib.v6, &found)
        };
        if matches!(route.kind, RouteType::Local | RouteType::Anycast) {
            route.oif = IfIndex::LO;
            route.src = Some(daddr.into());
        }
        let preferred = match route.src {
            Some(IpAddr::V6(src)) => Some(src),
            _ => None,
        };
        let source = flow
            .saddr
            .or(preferred)
            .or_else(|| self.ipv6_select_addr(route.oif, daddr))
            .ok_or_else(unreachable)?;
        self.redirects.apply(&mut route, daddr.into(), self.now);
        Ok((route, source))
    }

    /// `ip6_dst_hoplimit()`: the route's, else the device's.
    pub(crate) fn ip6_dst_hoplimit(&self, route: &Route) -> u8 {
        match route.hop_limit {
            0 => self.ipv6_conf.dev(route.oif).hop_limit.clamp(1, 255) as u8,
            hop_limit => hop_limit,
        }
    }

    /// `ip6_route_me_harder()`: the way of a packet that OUTPUT changed, with its header at the data. Link-local destinations and groups stay
    /// on `oif`.
    pub(crate) fn ip6_route_me_harder(
        &mut self,
        skb: &SkBuff,
        oif: IfIndex,
    ) -> Result<Route, StackError> {
        let Some(key) = self.flow6_of_skb(skb, IfIndex::LO) else {
            return Err(StackError::NetUnreachable(Ipv6Addr::UNSPECIFIED.into()));
        };
        let (saddr, daddr) = (Ipv6Addr::from_bits(key.src), Ipv6Addr::from_bits(key.dst));
        let strict = daddr.is_multicast() || daddr.is_unicast_link_local();
        let flow = OutputFlow6 {
            saddr: Some(saddr),
            oif: if strict { oif } else { IfIndex::NONE },
            mark: key.mark,
            traffic_class: key.tos,
            protocol: key.protocol,
            sport: key.sport,
            dport: key.dport,
            mp_hash: None,
            daddr,
        };
        Ok(self.ip6_route_output_flow(&flow)?.0)
    }

    /// `ipv6_dev_get_saddr()`: RFC 6724 5, rules 1 (same address), 2 (scope), 5 (outgoing device) and 8 (longest common prefix).
    pub(crate) fn ipv6_select_addr(&self, oif: IfIndex, daddr: Ipv6Addr) -> Option<Ipv6Addr> {
        let wanted = scope_of(daddr);
        let usable = self.addrs.iter().filter(|a| !a.dad.is_tentative());
        let candidates = usable.filter_map(|a| match a.cidr.address() {
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
}

/// Flow of the packet that an ICMPv6 error is about (`ip6_multipath_l3_keys()`), which takes that one's way.
fn icmpv6_about(packet: &[u8]) -> Option<FlowKeys> {
    Ipv6Header::new(packet).filter(|header| header.next_header() == IPPROTO_ICMPV6)?;
    let message = packet.get(IPV6_HLEN..)?;
    // Destination unreachable, packet too big, time exceeded, parameter problem.
    if !matches!(message.first()?, 1..=4) {
        return None;
    }
    let quoted = message.get(icmpv6::ICMPV6_HLEN..)?;
    let inner = Ipv6Header::new(quoted)?;
    let label = quoted.first_chunk::<4>()?;
    Some(FlowKeys {
        protocol: inner.next_header(),
        flow_label: u32::from_be_bytes([0, label[1] & 0xf, label[2], label[3]]),
        ..FlowKeys::new(inner.saddr().into(), inner.daddr().into())
    })
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
