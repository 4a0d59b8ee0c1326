//! What a route says besides its prefix, shared by all routes that say the same (`struct fib_info`).

use crate::skb::IfIndex;
use std::collections::HashMap;
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
    /// The destination is this host, as one of several with this address (IPv6).
    Anycast,
    /// Drops them silently.
    Blackhole,
    /// Drops them, and says host unreachable.
    Unreachable,
    /// Drops them, and says administratively prohibited.
    Prohibit,
    /// This table says nothing: the next rule is asked.
    Throw,
}

impl RouteType {
    /// iproute2's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            RouteType::Unicast => "unicast",
            RouteType::Local => "local",
            RouteType::Broadcast => "broadcast",
            RouteType::Multicast => "multicast",
            RouteType::Anycast => "anycast",
            RouteType::Blackhole => "blackhole",
            RouteType::Unreachable => "unreachable",
            RouteType::Prohibit => "prohibit",
            RouteType::Throw => "throw",
        }
    }

    /// Every type, in the order in which iproute2 looks for its word.
    pub const ALL: [RouteType; 9] = [
        RouteType::Unicast,
        RouteType::Local,
        RouteType::Broadcast,
        RouteType::Anycast,
        RouteType::Multicast,
        RouteType::Blackhole,
        RouteType::Unreachable,
        RouteType::Prohibit,
        RouteType::Throw,
    ];

    /// Whether it has no way out (`fib_props[].error`).
    pub const fn is_reject(self) -> bool {
        matches!(
            self,
            RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
        )
    }
}

/// How far away the destinations of an IPv4 route or the users of an address are (`RT_SCOPE_*`): the larger, the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub u8);

impl Scope {
    /// Anywhere.
    pub const UNIVERSE: Scope = Scope(0);
    /// This site.
    pub const SITE: Scope = Scope(200);
    /// On the link.
    pub const LINK: Scope = Scope(253);
    /// This host.
    pub const HOST: Scope = Scope(254);
    /// Nowhere.
    pub const NOWHERE: Scope = Scope(255);
}

/// Kinds of metrics (`RTAX_MAX` + 1).
pub(crate) const RTAX_COUNT: usize = 18;
/// `RTAX_MTU`.
pub(crate) const RTAX_MTU: usize = 2;
/// `RTAX_ADVMSS`.
pub(crate) const RTAX_ADVMSS: usize = 8;
/// `RTAX_HOPLIMIT`.
pub(crate) const RTAX_HOPLIMIT: usize = 10;

/// Values for connections over a route (`RTA_METRICS`), by `RTAX_*`; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metrics {
    /// The values.
    pub values: [u32; RTAX_COUNT],
    /// One bit per value that must not be changed by what the path says.
    pub lock: u32,
}

impl Metrics {
    /// `mtu`: longest packet in bytes, IP header included; 0: the device's.
    pub fn mtu(&self) -> u32 {
        self.values[RTAX_MTU]
    }

    /// `mtu lock`: path MTU discovery does not change it, and does not forbid fragmenting.
    pub fn mtu_locked(&self) -> bool {
        self.lock >> RTAX_MTU & 1 == 1
    }
}

/// One way out (`struct fib_nh`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nexthop {
    /// Device to leave through.
    pub oif: IfIndex,
    /// `via`.
    pub gateway: Option<IpAddr>,
    /// 1 to 256: its part of the flows, among the ways of one route.
    pub weight: u16,
    /// The gateway is on the link though no route says so.
    pub onlink: bool,
    /// The device is down (`RTNH_F_DEAD`).
    pub dead: bool,
    /// `realms`: of the source in the high, of the destination in the low 16 bits (`nh_tclassid`); 0: none. IPv4 only.
    pub realms: u32,
}

impl Nexthop {
    /// The destination is on the link of `oif`.
    pub fn dev(oif: IfIndex) -> Self {
        Self {
            oif,
            gateway: None,
            weight: 1,
            onlink: false,
            dead: false,
            realms: 0,
        }
    }
}

/// The shared part of routes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FibInfo {
    /// Ways out; empty for routes that drop.
    pub nexthops: Vec<Nexthop>,
    /// `metric`.
    pub priority: u32,
    /// `src`.
    pub prefsrc: Option<IpAddr>,
    /// `scope`.
    pub scope: Scope,
    /// `proto`: who made it (`RTPROT_*`).
    pub protocol: u8,
    /// Values for connections.
    pub metrics: Metrics,
    /// `nhid`: the number that the ways come from; 0: none.
    pub nhid: u32,
}

impl FibInfo {
    /// `fib_select_multipath()`: the way for a flow with this 31-bit hash. Ways that are not `good` are left out; those that `prefer` names
    /// come first.
    pub(crate) fn select_path(
        &self,
        hash: u32,
        good: impl Fn(&Nexthop) -> bool,
        prefer: impl Fn(&Nexthop) -> bool,
    ) -> usize {
        let alive = || self.nexthops.iter().filter(|n| !n.dead);
        let total: u64 = alive().map(|n| u64::from(n.weight)).sum();
        let (mut sum, mut best, mut best_score) = (0, 0, None);
        for (i, nexthop) in self.nexthops.iter().enumerate() {
            if nexthop.dead {
                continue;
            }
            sum += u64::from(nexthop.weight);
            // DIV_ROUND_CLOSEST(weights so far << 31, total) - 1.
            let upper_bound = ((sum << 31) + total / 2) / total - 1;
            if !good(nexthop) {
                continue;
            }
            let within = u64::from(hash) <= upper_bound;
            let score = 2 * u8::from(prefer(nexthop)) + u8::from(within);
            if best_score.is_none_or(|best| best < score) {
                (best, best_score) = (i, Some(score));
            }
        }
        best
    }
}

/// All infos, counted by their users (`fib_info_hash`).
#[derive(Debug, Default)]
pub(crate) struct Infos {
    infos: Vec<(FibInfo, u32)>,
    unused: Vec<u32>,
    by_content: HashMap<FibInfo, u32>,
}

impl Infos {
    #[inline]
    pub fn get(&self, id: u32) -> &FibInfo {
        &self.infos[id as usize].0
    }

    /// `fib_create_info()`: the number of an info with this content, one user more.
    pub fn acquire(&mut self, info: FibInfo) -> u32 {
        if let Some(&id) = self.by_content.get(&info) {
            self.infos[id as usize].1 += 1;
            return id;
        }
        let id = self.unused.pop().unwrap_or(self.infos.len() as u32);
        self.by_content.insert(info.clone(), id);
        if id as usize == self.infos.len() {
            self.infos.push((info, 1));
        } else {
            self.infos[id as usize] = (info, 1);
        }
        id
    }

    /// `fib_release_info()`: one user less.
    pub fn release(&mut self, id: u32) {
        let (info, users) = &mut self.infos[id as usize];
        *users -= 1;
        if *users == 0 {
            self.by_content.remove(info);
            self.unused.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(weights: &[u16]) -> FibInfo {
        let nexthop = |(i, &weight)| Nexthop {
            weight,
            ..Nexthop::dev(IfIndex(i as u32 + 1))
        };
        FibInfo {
            nexthops: weights.iter().enumerate().map(nexthop).collect(),
            priority: 0,
            prefsrc: None,
            scope: Scope::UNIVERSE,
            protocol: 3,
            metrics: Metrics::default(),
            nhid: 0,
        }
    }

    #[test]
    fn hashes_are_shared_out_by_weight() {
        let info = info(&[1, 2, 1]);
        let (all, none) = (|_: &Nexthop| true, |_: &Nexthop| false);
        for (quarter, way) in [(0, 0), (1, 1), (2, 1), (3, 2)] {
            let first = quarter << 29;
            assert_eq!(info.select_path(first, all, none), way);
            assert_eq!(info.select_path(first + (1 << 29) - 1, all, none), way);
        }
        assert_eq!(info.select_path(0, all, |n| n.oif == IfIndex(3)), 2);
        assert_eq!(info.select_path(0, |n| n.oif != IfIndex(1), none), 1);
    }

    #[test]
    fn equal_infos_are_one() {
        let mut infos = Infos::default();
        let (a, b) = (infos.acquire(info(&[1])), infos.acquire(info(&[2])));
        assert_eq!(infos.acquire(info(&[1])), a);
        assert_ne!(a, b);
        infos.release(a);
        infos.release(a);
        assert_eq!(infos.acquire(info(&[7])), a);
        assert_eq!(infos.get(a).nexthops[0].weight, 7);
    }
}
