//! Path MTUs that routers told us about (RFC 1191, RFC 8201): the exceptions to the routes' and devices' MTUs.

use crate::fib::Route;
use crate::hook::Family;
use crate::icmp::{ECHO, ECHOREPLY};
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
use crate::ipv6::IPPROTO_ICMPV6;
use crate::netfilter::conntrack::{L4, Tuple};
use crate::stack::Stack;
use crate::sysctl::Sysctl;
use crate::{Ps, SEC};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Least MTU of every IPv6 link (RFC 8200 5).
pub(crate) const IPV6_MIN_MTU: u32 = 1280;
/// Destinations that are remembered.
const MAX_ENTRIES: usize = 1024;

/// What a router said about a path (`struct fib_nh_exception`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    /// Longest packet in bytes, IP header included.
    pub mtu: u32,
    /// When it is forgotten.
    pub expires: Ps,
    /// Narrower than is believed, so that packets are sent without don't-fragment instead (`rt_mtu_locked`).
    pub locked: bool,
}

/// All paths that are known, by destination.
pub(crate) struct PathMtu {
    table: BTreeMap<IpAddr, Learned>,
    /// `net.ipv4.route.min_pmtu`: IPv4 paths are not believed to be narrower.
    min_pmtu: u32,
    /// `net.ipv4.route.mtu_expires`, `net.ipv6.route.mtu_expires`: how long a router is believed.
    expires: Ps,
}

impl Default for PathMtu {
    fn default() -> Self {
        Self {
            table: BTreeMap::new(),
            min_pmtu: 552,
            expires: 600 * SEC,
        }
    }
}

impl PathMtu {
    /// `__ip_rt_update_pmtu()`, `rt6_do_update_pmtu()`: the path to `destination` carries at most `mtu` bytes; so far `known` were
    /// thought to fit. It is not widened by this, and no IPv6 path is narrower than 1280.
    pub fn learn(&mut self, destination: IpAddr, mtu: u32, known: u32, now: Ps) {
        self.table.retain(|_, learned| learned.expires > now);
        if self.table.len() >= MAX_ENTRIES && !self.table.contains_key(&destination) {
            return;
        }
        let v4 = destination.is_ipv4();
        if known < mtu || (!v4 && (mtu == known || mtu < IPV6_MIN_MTU)) {
            return;
        }
        let locked = v4 && mtu < self.min_pmtu;
        let learned = Learned {
            mtu: if locked {
                known.min(self.min_pmtu)
            } else {
                mtu
            },
            expires: now.saturating_add(self.expires),
            locked,
        };
        self.table.insert(destination, learned);
    }

    /// `rt_cache_flush()`: nothing is known of these destinations any more.
    pub fn forget(&mut self, which: impl Fn(IpAddr) -> bool) {
        self.table.retain(|destination, _| !which(*destination));
    }

    /// What is remembered of the path to `destination`.
    pub fn learned(&self, destination: IpAddr, now: Ps) -> Option<Learned> {
        let learned = self.table.get(&destination)?;
        (learned.expires > now).then_some(*learned)
    }
}

impl Stack {
    /// `ip_dst_mtu_maybe_forward()` with `forward`: longest packet that a route takes, in bytes. What routers said about the path
    /// concerns who sends, not who forwards.
    pub(crate) fn dst_mtu_forward(&self, route: &Route) -> usize {
        match route.mtu {
            0 => self.mtu(route.oif),
            // IP_MAX_MTU; the device's does not count.
            mtu => (mtu as usize).min(65_535),
        }
    }

    /// `dst_mtu()`: longest packet that the path to `daddr` takes, in bytes.
    pub(crate) fn dst_mtu(&self, route: &Route, daddr: IpAddr) -> usize {
        let mtu = self.dst_mtu_forward(route);
        match self.pmtu.learned(daddr, self.now) {
            Some(learned) => mtu.min(learned.mtu as usize),
            None => mtu,
        }
    }

    /// `ip_mtu_locked()`: the path's MTU is given, so that don't-fragment would find out nothing.
    pub(crate) fn ip_mtu_locked(&self, route: &Route, daddr: IpAddr) -> bool {
        let learned = self.pmtu.learned(daddr, self.now);
        route.mtu_locked || learned.is_some_and(|l| l.locked)
    }

    /// `ip_dont_fragment()` of a socket that asks for nothing special (`IP_PMTUDISC_WANT`; with `ip_no_pmtu_disc` `IP_PMTUDISC_DONT`).
    pub(crate) fn ip_dont_fragment(&self, route: &Route, daddr: IpAddr) -> bool {
        self.config.ip_no_pmtu_disc == 0 && !self.ip_mtu_locked(route, daddr)
    }

    /// `udp_err()`, `tcp_v4_err()`, `icmp_err()` and IPv6's: whether somebody here can have sent the packet that begins with `quoted`. UDP and TCP
    /// believe what they hear about packets of their sockets only.
    pub(crate) fn sent_here(&self, quoted: &[u8], family: Family) -> bool {
        let Some(tuple) = L4::of(quoted, family).and_then(|l4| Tuple::of(quoted, family, l4))
        else {
            return false;
        };
        let own = SocketAddr::new(tuple.src, tuple.src_port);
        let peer = SocketAddr::new(tuple.dst, tuple.dst_port);
        self.fib.is_local(tuple.src)
            && match tuple.protocol {
                IPPROTO_UDP => self.sockets.lookup_connected(own, peer).is_some(),
                IPPROTO_TCP => self.tcp.lookup_established(&(own, peer)).is_some(),
                // Otherwise nobody but a ping socket cares (`ping_err()`).
                IPPROTO_ICMP => match tuple.icmp_type() {
                    ECHOREPLY => true,
                    ECHO => self.ping.is_bound(tuple.src_port),
                    _ => false,
                },
                IPPROTO_ICMPV6 => true,
                _ => false,
            }
    }

    /// `rt_cache_flush()`, and what `ip -6 route flush cache` does: forgets what routers said of these destinations.
    pub(crate) fn rt_cache_flush(&mut self, which: impl Fn(IpAddr) -> bool) {
        self.pmtu.forget(&which);
        self.redirects.forget(which);
    }

    /// `ipv4_update_pmtu()`, `ip6_update_pmtu()`: a router says that packets to `daddr` may be at most `mtu` bytes long.
    pub(crate) fn update_pmtu(&mut self, daddr: IpAddr, mtu: u32) {
        let Some(route) = self.fib.lookup(daddr, crate::IfIndex::NONE, 0) else {
            return;
        };
        // IPv6 does not know fixed MTUs: without discovery nothing gets through.
        if route.mtu_locked && daddr.is_ipv4() {
            return;
        }
        let known = self.dst_mtu(&route, daddr) as u32;
        self.pmtu.learn(daddr, mtu, known, self.now);
    }
}

/// The keys of this module.
pub(crate) const SYSCTLS: &[Sysctl] = &[
    Sysctl::int(
        "net.ipv4.route.min_pmtu",
        68..=i32::MAX as i64,
        |stack, _| stack.pmtu.min_pmtu.into(),
        |stack, _, value| stack.pmtu.min_pmtu = value as u32,
    ),
    Sysctl::int(
        "net.ipv4.route.mtu_expires",
        0..=i32::MAX as i64,
        |stack, _| (stack.pmtu.expires / SEC) as i64,
        |stack, _, value| stack.pmtu.expires = value as u64 * SEC,
    ),
    Sysctl::int(
        "net.ipv6.route.mtu_expires",
        0..=i32::MAX as i64,
        |stack, _| (stack.pmtu.expires / SEC) as i64,
        |stack, _, value| stack.pmtu.expires = value as u64 * SEC,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believed_for_a_while_and_not_below_the_floor() {
        let mut pmtu = PathMtu::default();
        let (v4, v6) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        pmtu.learn(v4, 68, 1500, 0);
        let learned = pmtu.learned(v4, 1).unwrap();
        assert_eq!((learned.mtu, learned.locked), (552, true));
        pmtu.learn(v4, 1000, 552, 1);
        assert_eq!(pmtu.learned(v4, 2), Some(learned), "it is not widened");
        pmtu.learn(v6, 1279, 1500, 0);
        assert_eq!(pmtu.learned(v6, 1), None);
        pmtu.learn(v6, 1400, 1500, 0);
        assert_eq!(pmtu.learned(v6, 600 * SEC - 1).map(|l| l.mtu), Some(1400));
        assert_eq!(pmtu.learned(v6, 600 * SEC), None);
    }
}
