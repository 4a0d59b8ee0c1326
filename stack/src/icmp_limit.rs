//! How many ICMP and ICMPv6 errors may be sent: the kernel's global credit and its tokens per destination (`icmp_global_allow()`,
//! `inet_peer_xrlim_allow()`, `ip_error()`, `ip_rt_send_redirect()`).

use crate::stack::Stack;
use crate::sysctl::Sysctl;
use crate::{MS, Ps, SEC};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Errors in a burst to one destination (`XRLIM_BURST_FACTOR`).
const XRLIM_BURST_FACTOR: u64 = 6;
/// `ip_rt_error_cost`: what an error about a packet without a route costs, besides.
const ERROR_COST: Ps = SEC;
/// `ip_rt_error_burst`.
const ERROR_BURST: Ps = 5 * SEC;
/// `ip_rt_redirect_load`: between the first and the second redirect; it doubles from one to the next.
const REDIRECT_LOAD: Ps = 20 * MS;
/// `ip_rt_redirect_number`: redirects that may be ignored before no more are sent.
const REDIRECT_NUMBER: u32 = 9;
/// `ip_rt_redirect_silence`: after so much time without packets to be redirected it begins anew.
const REDIRECT_SILENCE: Ps = REDIRECT_LOAD << (REDIRECT_NUMBER + 1);
/// Peers that are remembered.
const MAX_PEERS: usize = 1024;
/// A new peer was quiet for that long.
const NEW_PEER: Ps = 60 * SEC;
/// `ICMP_DEST_UNREACH`, `ICMP_SOURCE_QUENCH`, `ICMP_TIME_EXCEEDED`, `ICMP_PARAMETERPROB`.
const RATEMASK: u32 = 1 << 3 | 1 << 4 | 1 << 11 | 1 << 12;

/// `struct inet_peer`: how much may be sent to somebody, as time.
#[derive(Clone, Copy, Debug)]
struct Peer {
    tokens: Ps,
    last: Ps,
    redirects: u32,
}

/// The limits and their states.
pub(crate) struct IcmpLimiter {
    /// `icmp_ratemask`: one bit for each ICMP type that is limited.
    ratemask: u32,
    /// `icmp_msgs_burst`.
    msgs_burst: u32,
    /// Messages that may be sent; below 0 after a random number was taken off.
    credit: i64,
    /// When the credit was last raised.
    stamp: Option<Ps>,
    peers: BTreeMap<IpAddr, Peer>,
}

impl Default for IcmpLimiter {
    fn default() -> Self {
        Self {
            ratemask: RATEMASK,
            msgs_burst: 50,
            credit: 0,
            stamp: None,
            peers: BTreeMap::new(),
        }
    }
}

impl IcmpLimiter {
    /// `icmp_global_allow()`. `rate`: messages per second; `None`: no limit.
    fn allow_global(&mut self, now: Ps, rate: Option<u32>) -> bool {
        let Some(rate) = rate.filter(|_| self.credit <= 0) else {
            return true;
        };
        let quiet = self
            .stamp
            .map_or(SEC, |stamp| now.saturating_sub(stamp).min(SEC));
        let raise = (u128::from(rate) * u128::from(quiet) / u128::from(SEC)) as i64;
        if quiet < SEC / 50 || raise == 0 {
            return false;
        }
        self.stamp = Some(now);
        self.credit = (self.credit + raise).min(self.msgs_burst.into());
        true
    }

    /// `inet_getpeer()`: `None` when too many are remembered.
    fn peer(&mut self, now: Ps, address: IpAddr) -> Option<&mut Peer> {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&address) {
            // Who was quiet as long as somebody new is not worth remembering.
            self.peers
                .retain(|_, p| now.saturating_sub(p.last) < NEW_PEER);
            if self.peers.len() >= MAX_PEERS {
                return None;
            }
        }
        Some(self.peers.entry(address).or_insert(Peer {
            tokens: NEW_PEER,
            last: now,
            redirects: 0,
        }))
    }

    /// `inet_peer_xrlim_allow()`. `interval`: time that a message costs.
    pub fn allow_peer(&mut self, now: Ps, address: IpAddr, interval: Ps) -> bool {
        // inet_peer_xrlim_allow() says yes without a peer.
        let Some(peer) = self.peer(now, address) else {
            return true;
        };
        // Not again at one and the same time: what ip_error() has left stays.
        if now != peer.last || peer.tokens == NEW_PEER {
            let full = interval.saturating_mul(XRLIM_BURST_FACTOR);
            let gained = now.saturating_sub(peer.last);
            peer.tokens = peer.tokens.saturating_add(gained).min(full);
            peer.last = now;
        }
        let allowed = peer.tokens >= interval;
        if allowed {
            peer.tokens -= interval;
        }
        allowed
    }

    /// `ip_error()`: may the sender of a packet without a route be told?
    pub fn allow_no_route(&mut self, now: Ps, sender: IpAddr) -> bool {
        let Some(peer) = self.peer(now, sender) else {
            return true;
        };
        let gained = peer.tokens.saturating_add(now.saturating_sub(peer.last));
        peer.tokens = gained.min(ERROR_BURST);
        peer.last = now;
        let allowed = peer.tokens >= ERROR_COST;
        if allowed {
            peer.tokens -= ERROR_COST;
        }
        allowed
    }

    /// `ip_rt_send_redirect()`: is the sender of a packet that went a detour told now?
    pub fn allow_redirect(&mut self, now: Ps, sender: IpAddr) -> bool {
        let Some(peer) = self.peer(now, sender) else {
            return true;
        };
        if now.saturating_sub(peer.last) > REDIRECT_SILENCE {
            peer.tokens = 0;
            peer.redirects = 0;
        }
        if peer.redirects >= REDIRECT_NUMBER {
            peer.last = now;
            return false;
        }
        let due = peer.last.saturating_add(REDIRECT_LOAD << peer.redirects);
        let allowed = peer.redirects == 0 || now > due;
        if allowed {
            peer.last = now;
            peer.redirects += 1;
        }
        allowed
    }
}

impl Stack {
    /// `icmpv4_mask_allow()`, `icmpv4_global_allow()` and `icmpv4_xrlim_allow()`: may an error of this type go to `peer`?
    pub(crate) fn icmpv4_allow(&mut self, peer: IpAddr, kind: u8) -> bool {
        // Types that the mask does not have are not limited, nor is what nobody knows.
        let limited = kind <= 18 && self.icmp_limiter.ratemask >> kind & 1 == 1;
        !limited || self.icmp_allow(peer, self.config.icmp_ratelimit)
    }

    /// `icmpv6_xrlim_allow()`. `prefix_len`: of the route to `peer`; wide networks get more.
    pub(crate) fn icmpv6_allow(&mut self, peer: IpAddr, prefix_len: u8) -> bool {
        let wider = (128 - prefix_len.min(128)) >> 5;
        self.icmp_allow(peer, self.config.icmp_ratelimit >> wider)
    }

    fn icmp_allow(&mut self, peer: IpAddr, interval: Ps) -> bool {
        let (rate, now) = (self.config.icmp_msgs_per_sec, self.now);
        let allowed = self.icmp_limiter.allow_global(now, rate)
            && self.icmp_limiter.allow_peer(now, peer, interval);
        if allowed {
            // icmp_global_consume(): 0 to 2, so that nobody can count along.
            let taken = self.random() % 3;
            self.icmp_limiter.credit -= taken as i64;
        } else {
            self.stats.icmp_ratelimited += 1;
        }
        allowed
    }
}

/// The keys of this module.
pub(crate) const SYSCTLS: &[Sysctl] = &[
    Sysctl::int(
        "net.ipv4.icmp_msgs_per_sec",
        0..=i32::MAX as i64,
        |stack, _| {
            stack
                .config
                .icmp_msgs_per_sec
                .map_or(i32::MAX.into(), i64::from)
        },
        |stack, _, value| stack.config.icmp_msgs_per_sec = Some(value as u32),
    ),
    Sysctl::int(
        "net.ipv4.icmp_ratemask",
        0..=i32::MAX as i64,
        |stack, _| stack.icmp_limiter.ratemask.into(),
        |stack, _, value| stack.icmp_limiter.ratemask = value as u32,
    ),
    Sysctl::int(
        "net.ipv4.icmp_msgs_burst",
        0..=i32::MAX as i64,
        |stack, _| stack.icmp_limiter.msgs_burst.into(),
        |stack, _, value| stack.icmp_limiter.msgs_burst = value as u32,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn six_in_a_burst_and_then_one_a_second() {
        let mut limiter = IcmpLimiter::default();
        let mut sent = |at| limiter.allow_peer(at, peer(1), SEC);
        assert_eq!((0..10).filter(|&at| sent(at)).count(), 6);
        assert!(!sent(SEC - 20));
        assert!(sent(SEC + 20) && !sent(SEC + 21));
        assert!((0..6).all(|i| sent(100 * SEC + i)));
    }

    #[test]
    fn without_an_interval_only_missing_routes_count() {
        let mut limiter = IcmpLimiter::default();
        let mut sent =
            |at| limiter.allow_no_route(at, peer(1)) && limiter.allow_peer(at, peer(1), 0);
        assert_eq!((0..10).filter(|&at| sent(at)).count(), 5);
    }

    #[test]
    fn errors_about_missing_routes_cost_twice() {
        let mut limiter = IcmpLimiter::default();
        let mut sent = || limiter.allow_no_route(0, peer(1)) && limiter.allow_peer(0, peer(1), SEC);
        assert_eq!((0..10).filter(|_| sent()).count(), 2);
    }

    #[test]
    fn the_global_credit_is_raised_every_20_ms() {
        let mut limiter = IcmpLimiter::default();
        let mut burst = |at| {
            let mut sent = 0;
            while limiter.allow_global(at, Some(1000)) && sent < 1000 {
                limiter.credit -= 1;
                sent += 1;
            }
            sent
        };
        assert_eq!(burst(0), 50);
        assert_eq!(burst(10 * MS), 0);
        assert_eq!(burst(20 * MS), 20);
        assert_eq!(burst(SEC), 50);
    }

    #[test]
    fn redirects_become_rarer_and_end() {
        let mut limiter = IcmpLimiter::default();
        let at = |ms: u64| ms * MS;
        let mut sent = Vec::new();
        for ms in 0..20_000 {
            if limiter.allow_redirect(at(ms), peer(1)) {
                sent.push(ms);
            }
        }
        assert_eq!(sent, [0, 41, 122, 283, 604, 1245, 2526, 5087, 10208]);
        assert!(limiter.allow_redirect(at(50_000), peer(1)));
        assert!(limiter.allow_redirect(at(50_000), peer(2)));
    }
}
