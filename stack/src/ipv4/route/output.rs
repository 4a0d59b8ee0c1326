//! `ip_route_output_key()`: where to with a packet that is made here.

use super::flow::INET_DSCP_MASK;
use super::is_zeronet;
use crate::error::StackError;
use crate::fib::{FlowKey, LookupError, Route, RouteType, Scope};
use crate::ipv4::header::Ipv4Header;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use std::net::{IpAddr, Ipv4Addr};

/// What rules may ask of a packet besides its addresses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Upper {
    /// Type of service or traffic class.
    pub tos: u8,
    pub protocol: u8,
    /// Source and destination port; 0: not known, or there is none.
    pub ports: (u16, u16),
    pub mark: u32,
}

impl Upper {
    pub fn new(protocol: u8, ports: (u16, u16)) -> Self {
        Self {
            tos: 0,
            protocol,
            ports,
            mark: 0,
        }
    }
}

/// What is known of a packet that is to be sent (`struct flowi4`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputFlow {
    pub daddr: Ipv4Addr,
    /// `None`: to be chosen.
    pub saddr: Option<Ipv4Addr>,
    /// Device that it must leave through; [`IfIndex::NONE`]: any.
    pub oif: IfIndex,
    pub mark: u32,
    pub tos: u8,
    pub protocol: u8,
    pub sport: u16,
    pub dport: u16,
    /// `FLOWI_FLAG_ANYSRC`: the source need not be this host's own.
    pub any_source: bool,
    /// What chooses among several ways, instead of a hash of this.
    pub mp_hash: Option<u32>,
}

impl OutputFlow {
    /// To `daddr`, nothing else known.
    pub fn to(daddr: Ipv4Addr) -> Self {
        Self {
            daddr,
            saddr: None,
            oif: IfIndex::NONE,
            mark: 0,
            tos: 0,
            protocol: 0,
            sport: 0,
            dport: 0,
            any_source: false,
            mp_hash: None,
        }
    }

    fn key(&self) -> FlowKey<u32> {
        FlowKey {
            dst: self.daddr.to_bits(),
            src: self.saddr.map_or(0, Ipv4Addr::to_bits),
            iif: IfIndex::LO,
            oif: self.oif,
            mark: self.mark,
            tos: self.tos & INET_DSCP_MASK,
            protocol: self.protocol,
            sport: self.sport,
            dport: self.dport,
            ..FlowKey::default()
        }
    }
}

impl Stack {
    /// [`ip_route_output_key`](Self::ip_route_output_key), failures counted.
    pub(crate) fn ip_route_output(
        &mut self,
        daddr: Ipv4Addr,
        saddr: Option<Ipv4Addr>,
        oif: IfIndex,
        upper: Upper,
    ) -> Result<(Route, Ipv4Addr), StackError> {
        self.ip_route_output_flow(&OutputFlow {
            saddr,
            oif,
            mark: upper.mark,
            tos: upper.tos,
            protocol: upper.protocol,
            sport: upper.ports.0,
            dport: upper.ports.1,
            ..OutputFlow::to(daddr)
        })
    }

    /// [`ip_route_output_key`](Self::ip_route_output_key), failures counted.
    pub(crate) fn ip_route_output_flow(
        &mut self,
        flow: &OutputFlow,
    ) -> Result<(Route, Ipv4Addr), StackError> {
        let found = self.ip_route_output_key(flow);
        self.stats.out_no_routes += u64::from(found.is_err());
        found
    }

    /// `ip_route_output_key_hash_rcu()`: the way, and the source address: the given one, else the one that the route prefers.
    pub(crate) fn ip_route_output_key(
        &self,
        flow: &OutputFlow,
    ) -> Result<(Route, Ipv4Addr), StackError> {
        let mut flow = *flow;
        let daddr = flow.daddr;
        let unreachable = || StackError::NetUnreachable(daddr.into());
        if let Some(saddr) = flow.saddr {
            if saddr.is_multicast() || saddr.is_broadcast() || is_zeronet(saddr) {
                return Err(StackError::AddressNotAvailable(saddr.into()));
            }
            // Groups and the limited broadcast go out of the device that has the source address.
            if flow.oif == IfIndex::NONE && (daddr.is_multicast() || daddr.is_broadcast()) {
                let own = self.addrs.iter().find(|a| a.v4() == Some(saddr));
                flow.oif = own.ok_or_else(unreachable)?.dev;
                return self.on_link(&flow, saddr);
            }
            if !flow.any_source && !self.fib.is_local(saddr.into()) {
                return Err(StackError::AddressNotAvailable(saddr.into()));
            }
        }
        if flow.oif != IfIndex::NONE {
            if self.device(flow.oif).is_none() {
                return Err(StackError::NoDevice(flow.oif));
            }
            let any = |scope| self.inet_select_addr(flow.oif, Ipv4Addr::UNSPECIFIED, scope);
            let [a, b, c, _] = daddr.octets();
            if daddr.is_broadcast() || [a, b, c] == [224, 0, 0] {
                let source = flow.saddr.or_else(|| any(Scope::LINK));
                return self.on_link(&flow, source.ok_or_else(unreachable)?);
            }
            if flow.saddr.is_none() && daddr.is_multicast() {
                flow.saddr = any(Scope::UNIVERSE);
            }
        }
        if daddr.is_unspecified() {
            // To this host itself.
            let own = flow.saddr.unwrap_or(Ipv4Addr::LOCALHOST);
            return Ok((Route::link(RouteType::Local, IfIndex::LO), own));
        }
        let mut found = match self.fib.v4.lookup(&flow.key()) {
            Ok(found) => found,
            // The device was named, so the destination is taken to be on its link.
            Err(_) if flow.oif != IfIndex::NONE => {
                let any = || self.inet_select_addr(flow.oif, Ipv4Addr::UNSPECIFIED, Scope::LINK);
                let source = flow.saddr.or_else(any);
                return self.on_link(&flow, source.ok_or_else(unreachable)?);
            }
            Err(error) => {
                return Err(match error {
                    LookupError::NetUnreachable => unreachable(),
                    LookupError::HostUnreachable => StackError::HostUnreachable(daddr.into()),
                    LookupError::Prohibited => StackError::Permission(daddr.into()),
                    LookupError::Invalid => StackError::InvalidDestination((daddr, 0).into()),
                });
            }
        };
        if found.kind == RouteType::Local {
            // What is sent to an own address goes through lo.
            let route = Route::of(&self.fib.v4, &found);
            let preferred = match route.src {
                Some(IpAddr::V4(src)) => src,
                _ => daddr,
            };
            let route = Route {
                oif: IfIndex::LO,
                ..route
            };
            return self.mkroute_output(&flow, route, flow.saddr.unwrap_or(preferred));
        }
        self.fib_select_path(&mut found, &flow.key(), |_| flow.mp_hash);
        let source = flow.saddr.or_else(|| self.fib_result_prefsrc(&found));
        let mut route = Route::of(&self.fib.v4, &found);
        // A group that only a default route holds has no gateway.
        if daddr.is_multicast() && found.prefix_len < 4 {
            let fib = route.fib;
            route = Route {
                fib,
                ..Route::link(route.kind, route.oif)
            };
        }
        self.mkroute_output(&flow, route, source.ok_or_else(unreachable)?)
    }

    /// The destination is on the link of the device that was named or follows from the source.
    fn on_link(
        &self,
        flow: &OutputFlow,
        source: Ipv4Addr,
    ) -> Result<(Route, Ipv4Addr), StackError> {
        self.mkroute_output(flow, Route::link(RouteType::Unicast, flow.oif), source)
    }

    /// `__mkroute_output()`.
    fn mkroute_output(
        &self,
        flow: &OutputFlow,
        route: Route,
        source: Ipv4Addr,
    ) -> Result<(Route, Ipv4Addr), StackError> {
        let mut route = route;
        let invalid = StackError::InvalidDestination((flow.daddr, 0).into());
        let localnet = self.ipv4_conf.or(route.oif, |c| c.route_localnet);
        if source.is_loopback() && route.oif != IfIndex::LO && !localnet {
            return Err(invalid);
        }
        if flow.daddr.is_broadcast() {
            // Nothing of the route is used but its device.
            let fib = route.fib;
            route = Route {
                fib,
                ..Route::link(RouteType::Broadcast, route.oif)
            };
        } else if flow.daddr.is_multicast() {
            route.kind = RouteType::Multicast;
        } else if is_zeronet(flow.daddr) {
            return Err(invalid);
        }
        route.src = Some(source.into());
        self.redirects
            .apply(&mut route, flow.daddr.into(), self.now);
        Ok((route, source))
    }

    /// `ip_route_me_harder()`: the way of a packet that OUTPUT changed, with its header at the data. Its source need not be this host's own.
    pub(crate) fn ip_route_me_harder_v4(&mut self, skb: &SkBuff) -> Result<Route, StackError> {
        let Some(header) = Ipv4Header::new(skb.data()) else {
            return Err(StackError::NetUnreachable(Ipv4Addr::UNSPECIFIED.into()));
        };
        let (saddr, daddr) = (header.saddr(), header.daddr());
        let key = self.flow_of_skb(skb, IfIndex::LO).unwrap_or_default();
        let usable = matches!(
            self.fib.v4.addr_type(saddr.to_bits()),
            RouteType::Local | RouteType::Unicast
        );
        let usable = usable && !saddr.is_unspecified();
        let flow = OutputFlow {
            saddr: usable.then_some(saddr),
            mark: key.mark,
            tos: key.tos,
            protocol: key.protocol,
            sport: key.sport,
            dport: key.dport,
            any_source: usable,
            ..OutputFlow::to(daddr)
        };
        Ok(self.ip_route_output_flow(&flow)?.0)
    }
}
