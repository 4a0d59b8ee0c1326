//! Received redirects: shorter ways that routers told this host of (RFC 1122 3.2.2.2, RFC 4861 8.3; net/ipv4/route.c, net/ipv6/route.c).

use crate::fib::{Nexthop, Route, RouteType, Scope};
use crate::icmp::ICMP_HLEN;
use crate::ipv4::header::Ipv4Header;
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, OutputFlow};
use crate::ipv6::OutputFlow6;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::{Ps, SEC};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `RT_GC_TIMEOUT`: how long a redirect is believed.
const TIMEOUT_V4: Ps = 300 * SEC;
/// `net.ipv6.route.gc_timeout`. Linux counts from the last use, here it is from when it was learned.
const TIMEOUT_V6: Ps = 60 * SEC;
/// Destinations that are remembered.
const MAX_ENTRIES: usize = 1024;

/// The other way to a destination (`fnhe_gw`).
#[derive(Clone, Copy, Debug)]
struct Redirected {
    /// The route's gateway and device: with another route the redirect means nothing.
    from: IpAddr,
    oif: IfIndex,
    /// The better gateway, or the destination itself.
    to: IpAddr,
    expires: Ps,
}

/// All of them, by destination.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    table: BTreeMap<IpAddr, Redirected>,
}

impl Redirects {
    /// `rt_cache_flush()`: nothing is known of these destinations any more.
    pub fn forget(&mut self, which: impl Fn(IpAddr) -> bool) {
        self.table.retain(|destination, _| !which(*destination));
    }

    /// `find_exception()`: another next hop for packets to `daddr` that this host makes.
    #[inline]
    pub fn apply(&self, route: &mut Route, daddr: IpAddr, now: Ps) {
        if self.table.is_empty() {
            return;
        }
        if let Some(r) = self.table.get(&daddr)
            && r.expires > now
            && route.gateway == Some(r.from)
            && route.oif == r.oif
        {
            route.gateway = (r.to != daddr).then_some(r.to);
        }
    }

    fn learn(&mut self, daddr: IpAddr, redirected: Redirected, now: Ps) {
        self.table.retain(|_, r| r.expires > now);
        if self.table.len() < MAX_ENTRIES || self.table.contains_key(&daddr) {
            self.table.insert(daddr, redirected);
        }
    }
}

impl Stack {
    /// `icmp_redirect()`: data at the ICMP header of a redirect from `router`. As in the kernel the packet that it quotes must be that of a
    /// socket of this host.
    pub(crate) fn icmp_redirect(&mut self, skb: &SkBuff, router: Ipv4Addr) {
        let message = skb.data();
        let Some(gateway) = message.get(4..8).and_then(|b| b.first_chunk::<4>()) else {
            return;
        };
        let gateway = Ipv4Addr::from(*gateway);
        let Some(inner) = message.get(ICMP_HLEN..) else {
            return;
        };
        let Some(header) = Ipv4Header::new(inner) else {
            return;
        };
        let flow = OutputFlow {
            saddr: Some(header.saddr()),
            tos: header.tos(),
            protocol: header.protocol(),
            ..OutputFlow::to(header.daddr())
        };
        let ports = inner.get(header.header_len()..);
        if self.fib.is_local(header.saddr().into()) && self.has_sender(&flow, ports) {
            self.ip_do_redirect(skb.dev, router, gateway, &flow);
        }
    }

    /// Whether a socket can have sent the packet; `ports`: its bytes behind the IP header.
    fn has_sender(&self, flow: &OutputFlow, ports: Option<&[u8]>) -> bool {
        let Some(&[s0, s1, d0, d1]) = ports.and_then(|p| p.first_chunk::<4>()) else {
            return false;
        };
        let end = |ip: Option<Ipv4Addr>, a, b| {
            let ip = ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
            SocketAddr::new(ip.into(), u16::from_be_bytes([a, b]))
        };
        let (own, other) = (end(flow.saddr, s0, s1), end(Some(flow.daddr), d0, d1));
        match flow.protocol {
            IPPROTO_ICMP => true,
            IPPROTO_UDP => self.sockets.lookup_connected(own, other).is_some(),
            IPPROTO_TCP => self.tcp.lookup_established(&(own, other)).is_some(),
            _ => false,
        }
    }

    /// `__ip_do_redirect()`: believed from the gateway that is used now, about a gateway on the link that answers.
    fn ip_do_redirect(&mut self, dev: IfIndex, router: Ipv4Addr, gw: Ipv4Addr, flow: &OutputFlow) {
        let Ok((route, _)) = self.ip_route_output_key(flow) else {
            return;
        };
        let conf = &self.ipv4_conf;
        let (all, own) = (conf.all.accept_redirects, conf.dev(dev).accept_redirects);
        let accepted = match conf.dev(dev).forwarding != 0 {
            true => all != 0 && own != 0,
            false => all != 0 || own != 0,
        };
        let from: IpAddr = router.into();
        let possible = !(gw.is_multicast() || gw.is_broadcast() || gw.is_unspecified());
        if route.gateway != Some(from) || gw == router || !accepted || !possible {
            return;
        }
        let fits = match conf.or(dev, |c| c.shared_media) {
            true => self.fib.v4.addr_type(gw.to_bits()) == RouteType::Unicast,
            false => {
                let secure = conf.or(dev, |c| c.secure_redirects);
                self.inet_addr_onlink(dev, gw, router)
                    && (!secure || self.is_default_gateway(gw, dev))
            }
        };
        if !fits {
            return;
        }
        if !self.neigh_event_send(route.oif, gw.into()) {
            // Whether it is there is being asked; the next redirect finds it.
            return;
        }
        let redirected = Redirected {
            from,
            oif: route.oif,
            to: gw.into(),
            expires: self.now + TIMEOUT_V4,
        };
        self.redirects
            .learn(flow.daddr.into(), redirected, self.now);
    }

    /// `ip_fib_check_default()`: a default route leads through this gateway.
    fn is_default_gateway(&self, gateway: Ipv4Addr, dev: IfIndex) -> bool {
        let v4 = &self.fib.v4;
        let through = |n: &Nexthop| n.oif == dev && n.gateway == Some(gateway.into());
        v4.tables()
            .iter()
            .flat_map(|table| table.at(0, 0))
            .map(|alias| v4.info(alias.info))
            .any(|info| info.scope < Scope::LINK && info.nexthops.iter().any(through))
    }

    /// `rt6_do_redirect()`: whether it is believed that packets to `daddr` are better sent to `target`; from `router`, through `dev`.
    pub(crate) fn rt6_do_redirect(
        &mut self,
        dev: IfIndex,
        router: Ipv6Addr,
        target: Ipv6Addr,
        daddr: Ipv6Addr,
    ) -> bool {
        let conf = self.ipv6_conf.dev(dev);
        if conf.forwarding != 0 || conf.accept_redirects == 0 {
            return false;
        }
        let flow = OutputFlow6 {
            oif: dev,
            ..OutputFlow6::to(daddr)
        };
        let from: IpAddr = router.into();
        match self.ip6_route_output_key(&flow) {
            Ok((route, _)) if route.gateway == Some(from) && route.oif == dev => {}
            _ => return false,
        }
        let redirected = Redirected {
            from,
            oif: dev,
            to: target.into(),
            expires: self.now + TIMEOUT_V6,
        };
        self.redirects.learn(daddr.into(), redirected, self.now);
        true
    }
}
