//! Addresses of devices, and the routes that come with them (net/ipv4/devinet.c, net/ipv6/addrconf.c).

use crate::Ps;
use crate::addr::{IpCidr, link_local};
use crate::anycast::anycast_route;
use crate::dad::Dad;
use crate::error::StackError;
use crate::fib::config::RouteFilter;
use crate::fib::{
    Mode, Nexthop, RT_TABLE_LOCAL, RT_TABLE_MAIN, RTPROT_KERNEL, RouteSpec, RouteType, Scope,
};
use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::timer::TimerKey;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `IP6_RT_PRIO_ADDRCONF`: metric of the route to an IPv6 address's network.
const IP6_RT_PRIO_ADDRCONF: u32 = 256;

/// `IFA_CACHEINFO`: ends of an address's life, or `None` where it has none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lifetime {
    pub valid: Option<Ps>,
    pub preferred: Option<Ps>,
}

/// An address of a device (`struct in_ifaddr`, `struct inet6_ifaddr`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct IfAddr {
    pub dev: IfIndex,
    pub cidr: IpCidr,
    pub scope: Scope,
    /// IPv4: another address of the same network came first.
    pub secondary: bool,
    /// IPv4: the broadcast address that was given with it.
    pub broadcast: Option<Ipv4Addr>,
    /// No route to its network comes with it (`IFA_F_NOPREFIXROUTE`).
    pub noprefixroute: bool,
    /// IPv4: the other end, whose network is this address's (`IFA_ADDRESS` where it is not `IFA_LOCAL`). As long a prefix as `cidr`.
    pub peer: Option<IpCidr>,
    /// IPv4: name that it is listed under, padded with zeros (`IFA_LABEL`); `None`: the device's.
    pub label: Option<[u8; 16]>,
    /// Metric of the route to its network (`IFA_RT_PRIORITY`); 0: the family's default.
    pub metric: u32,
    /// IPv4: when it goes, and when it is used no longer for what is new; `None`: never.
    pub lifetime: Lifetime,
    /// IPv6: whether it is this host's alone.
    pub dad: Dad,
    /// IPv6: it is used without asking (`IFA_F_NODAD`).
    pub nodad: bool,
}

impl IfAddr {
    /// With the scope that iproute2 and the kernel give it.
    pub fn new(dev: IfIndex, cidr: IpCidr) -> Self {
        let scope = match cidr.address() {
            IpAddr::V4(a) if a.is_loopback() => Scope::HOST,
            IpAddr::V6(a) if a.is_loopback() => Scope::HOST,
            IpAddr::V6(a) if a.is_unicast_link_local() => Scope::LINK,
            _ => Scope::UNIVERSE,
        };
        Self {
            dev,
            cidr,
            scope,
            secondary: false,
            broadcast: None,
            noprefixroute: false,
            peer: None,
            label: None,
            metric: 0,
            lifetime: Lifetime::default(),
            dad: Dad::Done,
            nodad: false,
        }
    }

    /// The address if it is IPv4.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        match self.cidr.address() {
            IpAddr::V4(a) => Some(a),
            IpAddr::V6(_) => None,
        }
    }

    /// The network that it is in, by one of its addresses: the peer's, if it has one.
    pub fn network(&self) -> IpCidr {
        self.peer.unwrap_or(self.cidr)
    }

    /// `inet_ifa_match()`
    fn same_network(&self, other: &Self) -> bool {
        self.dev == other.dev
            && self.cidr.prefix_len() == other.cidr.prefix_len()
            && self.network().contains(other.network().address())
    }
}

impl Stack {
    /// `ip addr add CIDR dev IFINDEX`: with it come the local route, the broadcast route and the route to the network.
    pub fn add_addr(&mut self, ifindex: IfIndex, cidr: IpCidr) -> Result<(), StackError> {
        self.insert_ifa(IfAddr::new(ifindex, cidr))
    }

    /// `inet_insert_ifa()`, `inet6_addr_add()`.
    pub(crate) fn insert_ifa(&mut self, ifa: IfAddr) -> Result<(), StackError> {
        let (dev, cidr) = (ifa.dev, ifa.cidr);
        self.device(dev).ok_or(StackError::NoDevice(dev))?;
        let address = cidr.address();
        let impossible = match address {
            IpAddr::V4(a) => a.is_multicast() || a.is_broadcast() || a.is_unspecified(),
            IpAddr::V6(a) => a.is_multicast() || a.is_unspecified(),
        };
        if impossible {
            return Err(StackError::InvalidAddress(address));
        }
        let same = |a: &&IfAddr| match address {
            // The same address may be there with another network.
            IpAddr::V4(_) => a.cidr == cidr && a.network() == ifa.network(),
            IpAddr::V6(_) => a.cidr.address() == address,
        };
        if self.addrs.iter().any(|a| a.dev == dev && same(&a)) {
            return Err(StackError::AddressExists(dev, cidr));
        }
        self.install_ifa(ifa);
        Ok(())
    }

    /// `inet_rtm_newaddr()` with `NLM_F_REPLACE`: an address that is there gets another life and metric; `false` when it is not there.
    pub(crate) fn replace_ifa(&mut self, ifa: &IfAddr) -> bool {
        let same = |a: &&IfAddr| (a.dev, a.cidr, a.network()) == (ifa.dev, ifa.cidr, ifa.network());
        let Some(old) = self.addrs.iter().find(same).copied() else {
            return false;
        };
        let life = |l: Lifetime| (l.valid, l.preferred);
        if (life(old.lifetime), old.metric) == (life(ifa.lifetime), ifa.metric) {
            return true;
        }
        let new = IfAddr {
            lifetime: ifa.lifetime,
            metric: ifa.metric,
            ..old
        };
        let key = TimerKey::Address(old.dev, old.cidr);
        if let Some(at) = old.lifetime.valid {
            self.timers.stop(at, key);
        }
        if let Some(at) = new.lifetime.valid {
            self.timers.start(at, key);
        }
        if let Some(place) = self.addrs.iter_mut().find(|a| same(&&**a)) {
            *place = new;
        }
        if old.metric != new.metric && !old.noprefixroute {
            // fib_modify_prefix_metric()
            self.del_route_matching(&RouteFilter {
                metric: Some(match (old.v4(), old.metric) {
                    (None, 0) => IP6_RT_PRIO_ADDRCONF,
                    (_, metric) => metric,
                }),
                oif: Some(old.dev),
                protocol: Some(RTPROT_KERNEL),
                ..RouteFilter::new(old.network(), RT_TABLE_MAIN)
            });
            self.install_ifa_again(&new);
        }
        true
    }

    /// An address that is known to be possible.
    pub(crate) fn install_ifa(&mut self, ifa: IfAddr) {
        let mut ifa = ifa;
        ifa.secondary = ifa.v4().is_some() && self.addrs.iter().any(|a| a.same_network(&ifa));
        self.addrconf_dad_begin(&mut ifa);
        if let Some(at) = ifa.lifetime.valid {
            self.timers.start(at, TimerKey::Address(ifa.dev, ifa.cidr));
        }
        self.link_ifa(ifa);
        self.install_ifa_routes(&ifa, |_| true);
    }

    /// The address is known to be free: now it is this host's (`addrconf_dad_completed()`).
    pub(crate) fn install_ifa_local(&mut self, ifa: &IfAddr) {
        self.install_ifa_routes(ifa, |route| route.table == RT_TABLE_LOCAL);
    }

    /// The device is up again: the address's routes, as for a new one.
    pub(crate) fn install_ifa_again(&mut self, ifa: &IfAddr) {
        self.install_ifa_routes(ifa, |_| true);
    }

    fn install_ifa_routes(&mut self, ifa: &IfAddr, which: fn(&RouteSpec) -> bool) {
        let source = self.primary_of(ifa);
        let mut routes = ifa_routes(ifa, source);
        if self.ipv6_conf.dev(ifa.dev).forwarding != 0 {
            routes.extend(anycast_route(ifa));
        }
        let up = self.is_up(ifa.dev);
        for route in routes.into_iter().filter(which) {
            // Until it is known to be free, its network is reached but nothing is taken in for it.
            let own = matches!(route.kind, RouteType::Local | RouteType::Anycast);
            if ifa.dad.is_tentative() && own {
                continue;
            }
            // fib_add_ifaddr(): a device that is down has but the addresses themselves.
            if !up && (route.kind != RouteType::Local || route.dst.address().is_ipv6()) {
                continue;
            }
            // Other devices may have the same network: theirs come first.
            let mode = match route.table {
                RT_TABLE_LOCAL if route.dst.address().is_ipv4() => Mode::Append,
                _ if route.dst.address().is_ipv4() => Mode::Prepend,
                _ => Mode::Append,
            };
            // It exists when another address brought the very same route.
            let _ = self.insert_route(route, mode);
        }
    }

    /// In the order in which the kernel lists and prefers addresses: IPv4's first ones behind those of nearer scope, the others last; IPv6's in
    /// front of those of the same or a nearer scope.
    fn link_ifa(&mut self, ifa: IfAddr) {
        let of_dev = |a: &IfAddr| a.dev == ifa.dev && a.v4().is_some() == ifa.v4().is_some();
        let list = &self.addrs;
        let first = list.iter().position(of_dev);
        let end = list.iter().rposition(of_dev).map(|last| last + 1);
        let before = |a: &IfAddr| of_dev(a) && !a.secondary && a.scope >= ifa.scope;
        let at = match ifa.v4() {
            Some(_) if ifa.secondary => end,
            Some(_) => list.iter().rposition(before).map(|last| last + 1).or(first),
            None => list
                .iter()
                .position(|a| of_dev(a) && a.scope >= ifa.scope)
                .or(end),
        };
        self.addrs.insert(at.unwrap_or(self.addrs.len()), ifa);
    }

    /// The device's first IPv6 addresses and routes (`addrconf_dev_config()`).
    pub(crate) fn addrconf_dev_config(&mut self, dev: IfIndex) {
        if self.ipv6_conf.dev(dev).disable_ipv6 != 0 {
            return;
        }
        let Some(mac) = self.device(dev).map(|d| d.mac) else {
            return;
        };
        let cidr = |address: Ipv6Addr, len| IpCidr::new(address.into(), len);
        if let Ok(own) = cidr(link_local(mac), 64) {
            self.install_ifa(IfAddr::new(dev, own));
        }
        let Ok(groups) = cidr(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8) else {
            return;
        };
        let route = RouteSpec {
            kind: RouteType::Multicast,
            table: RT_TABLE_LOCAL,
            metric: IP6_RT_PRIO_ADDRCONF,
            protocol: RTPROT_KERNEL,
            ..RouteSpec::dev(groups, dev)
        };
        let _ = self.insert_route(route, Mode::Append);
    }

    /// `ip addr del CIDR dev IFINDEX`: the address, the other ones of its network if it was their first (with `promote_secondaries` the next of them
    /// becomes the first), and the routes that came with them or name them as source.
    pub fn del_addr(&mut self, ifindex: IfIndex, cidr: IpCidr) -> Result<(), StackError> {
        let at = self
            .addrs
            .iter()
            .position(|a| a.dev == ifindex && a.cidr == cidr)
            .ok_or(StackError::AddressNotAvailable(cidr.address()))?;
        let gone = self.addrs.remove(at);
        self.addrconf_dad_stop(&gone);
        if let Some(at) = gone.lifetime.valid {
            self.timers.stop(at, TimerKey::Address(ifindex, cidr));
        }
        let mut others = Vec::new();
        if gone.v4().is_some() && !gone.secondary {
            while let Some(at) = self
                .addrs
                .iter()
                .position(|a| a.secondary && a.same_network(&gone))
            {
                let secondary = self.addrs.remove(at);
                self.del_ifa_routes(&secondary);
                others.push(secondary);
            }
        }
        self.del_ifa_routes(&gone);
        if self.ipv4_conf.or(ifindex, |conf| conf.promote_secondaries) {
            for ifa in others {
                self.install_ifa(ifa);
            }
        }
        Ok(())
    }

    /// `check_lifetime()`: the address has lived long enough.
    pub(crate) fn address_timer(&mut self, dev: IfIndex, cidr: IpCidr) {
        let now = self.now;
        let over = |a: &IfAddr| a.lifetime.valid.is_some_and(|at| at <= now);
        if self
            .addrs
            .iter()
            .any(|a| a.dev == dev && a.cidr == cidr && over(a))
        {
            // It is there.
            let _ = self.del_addr(dev, cidr);
        }
    }

    /// The first address of an address's network: itself, mostly.
    fn primary_of(&self, ifa: &IfAddr) -> IpAddr {
        let primary = |a: &&IfAddr| ifa.secondary && !a.secondary && a.same_network(ifa);
        let primary = self.addrs.iter().find(primary);
        primary.unwrap_or(ifa).cidr.address()
    }

    /// `fib_del_ifaddr()`: what no other address needs.
    fn del_ifa_routes(&mut self, gone: &IfAddr) {
        // Whatever source they name.
        let routes = |a: &IfAddr| {
            ifa_routes(a, a.cidr.address())
                .into_iter()
                .map(|route| RouteSpec { src: None, ..route })
        };
        let routes = |a: &IfAddr| routes(a).chain(anycast_route(a));
        let needed: Vec<RouteSpec> = self.addrs.iter().flat_map(routes).collect();
        for route in routes(gone) {
            if !needed.contains(&route) {
                self.remove_route_spec(&route);
            }
        }
        // fib_sync_down_addr()
        if !self.fib.is_local(gone.cidr.address()) {
            self.remove_routes_from(gone.cidr.address());
        }
        // Who was masqueraded with it: masq_inet_event().
        self.nf_nat_masq_address_removed(gone.dev, gone.cidr.address());
    }

    /// `inet_select_addr()`: an address of `dev`, one in the network of `target` if there is (0.0.0.0: any); any other device's otherwise. Only
    /// addresses of scope `scope` or farther.
    pub(crate) fn inet_select_addr(
        &self,
        dev: IfIndex,
        target: Ipv4Addr,
        scope: Scope,
    ) -> Option<Ipv4Addr> {
        let primary = || {
            self.addrs
                .iter()
                .filter(|a| a.cidr.address().is_ipv4() && !a.secondary && a.scope <= scope)
        };
        let of_dev = || primary().filter(|a| a.dev == dev);
        let near = |a: &&IfAddr| target.is_unspecified() || a.network().contains(target.into());
        of_dev()
            .find(near)
            .or_else(|| of_dev().next())
            .or_else(|| primary().find(|a| a.scope != Scope::LINK && a.dev != dev))?
            .v4()
    }

    /// `inet_addr_onlink()`: whether one network of the device holds both.
    pub(crate) fn inet_addr_onlink(&self, dev: IfIndex, a: Ipv4Addr, b: Ipv4Addr) -> bool {
        let holds = |ifa: &&IfAddr| ifa.dev == dev && ifa.network().contains(a.into());
        self.addrs
            .iter()
            .any(|ifa| holds(&ifa) && (b.is_unspecified() || ifa.network().contains(b.into())))
    }

    /// Whether `address` is one of `dev`'s own, and free to be used.
    pub(crate) fn has_addr(&self, dev: IfIndex, address: Ipv6Addr) -> bool {
        self.ifa_v6(dev, address)
            .is_some_and(|a| !a.dad.is_tentative())
    }

    /// `ipv6_get_ifaddr()`: the address of `dev`, whatever its state.
    pub(crate) fn ifa_v6(&self, dev: IfIndex, address: Ipv6Addr) -> Option<&IfAddr> {
        let mut addrs = self.addrs.iter();
        addrs.find(|a| a.dev == dev && a.cidr.address() == IpAddr::V6(address))
    }

    /// [`ifa_v6`](Self::ifa_v6), to be changed.
    pub(crate) fn ifa_v6_mut(&mut self, dev: IfIndex, address: Ipv6Addr) -> Option<&mut IfAddr> {
        let mut addrs = self.addrs.iter_mut();
        addrs.find(|a| a.dev == dev && a.cidr.address() == IpAddr::V6(address))
    }
}

/// `fib_add_ifaddr()`, `addrconf_add_ifaddr()`: the routes that come with an address; `source`: the first address of its network.
fn ifa_routes(ifa: &IfAddr, source: IpAddr) -> Vec<RouteSpec> {
    let (dev, cidr, address) = (ifa.dev, ifa.network(), ifa.cidr.address());
    let v4 = address.is_ipv4();
    let route = |dst: IpCidr, kind: RouteType| RouteSpec {
        kind,
        nexthops: vec![Nexthop::dev(dev)],
        // IPv6 selects source addresses (RFC 6724), no route prefers one.
        src: v4.then_some(source),
        table: match kind {
            RouteType::Unicast => RT_TABLE_MAIN,
            _ => RT_TABLE_LOCAL,
        },
        scope: Some(match kind {
            RouteType::Local => Scope::HOST,
            _ => Scope::LINK,
        }),
        protocol: RTPROT_KERNEL,
        ..RouteSpec::dev(dst, dev)
    };
    let host = IpCidr::host(address);
    let mut routes = vec![route(host, RouteType::Local)];
    if !v4 {
        // ::1 has no network.
        if !ifa.noprefixroute && (dev != IfIndex::LO || cidr != host) {
            routes.push(RouteSpec {
                metric: match ifa.metric {
                    0 => IP6_RT_PRIO_ADDRCONF,
                    metric => metric,
                },
                ..route(cidr.network(), RouteType::Unicast)
            });
        }
        return routes;
    }
    let mut broadcast = |address: Ipv4Addr| {
        let to_all = route(IpCidr::host(address.into()), RouteType::Broadcast);
        if !routes.contains(&to_all) {
            routes.push(to_all);
        }
    };
    if let Some(given) = ifa.broadcast.filter(|b| !b.is_broadcast()) {
        broadcast(given);
    }
    if !ifa.secondary && cidr != host {
        if let Some(last) = cidr.broadcast() {
            broadcast(last);
        }
        if ifa.noprefixroute {
            return routes;
        }
        let kind = match dev {
            IfIndex::LO => RouteType::Local,
            _ => RouteType::Unicast,
        };
        let scope = (dev == IfIndex::LO).then_some(Scope::HOST);
        let network = route(cidr.network(), kind);
        routes.push(RouteSpec {
            scope: scope.or(network.scope),
            metric: ifa.metric,
            ..network
        });
    }
    routes
}
