//! Duplicate address detection (RFC 4862 5.4, RFC 7527; net/ipv6/addrconf.c, `addrconf_dad_*()`): a new IPv6 address is asked for on the link
//! before it is used.
//!
//! ```text
//! added ─► tentative ─ up to 1 s ─► solicitation from :: ─ retrans_time ─► … ─► own: packets to it are taken in, it is a source
//!              └── somebody has it, or asks for it too ─► dadfailed: it is never used
//! ```
//!
//! It happens where `net.ipv6.conf.DEV.accept_dad` says so and the address was not added with `nodad`.

use crate::inetaddr::IfAddr;
use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::{Ps, SEC};
use std::net::{IpAddr, Ipv6Addr};

/// `MAX_RTR_SOLICITATION_DELAY` (`router_solicitation_delay`): the first solicitation is sent at random within this time (RFC 4862 5.4.2).
const MAX_DELAY: Ps = SEC;

/// How far the detection for an address has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dad {
    /// The address may be used.
    #[default]
    Done,
    /// `IFA_F_TENTATIVE`: it is being asked for.
    Probing {
        /// Solicitations still to be sent.
        left: u32,
        /// When the next one is, or the wait is over.
        at: Ps,
        /// By which this host knows its own solicitations when they come back; 0: they carry none.
        nonce: u64,
    },
    /// `IFA_F_TENTATIVE | IFA_F_DADFAILED`: somebody else has it.
    Failed,
}

impl Dad {
    /// The address must not be used.
    pub fn is_tentative(self) -> bool {
        self != Dad::Done
    }
}

impl Stack {
    /// `addrconf_dad_begin()`, `addrconf_dad_kick()`: a new address becomes tentative where that is wanted.
    pub(crate) fn addrconf_dad_begin(&mut self, ifa: &mut IfAddr) {
        let IpAddr::V6(address) = ifa.cidr.address() else {
            return;
        };
        let wanted = self.ipv6_conf.max(ifa.dev, |c| c.accept_dad) >= 1;
        if !wanted || ifa.nodad || ifa.dev == IfIndex::LO {
            return;
        }
        let at = self.now + self.random() % MAX_DELAY;
        // RFC 7527 4.1: 48 random bits.
        let nonce = match self.ipv6_conf.or(ifa.dev, |c| c.enhanced_dad) {
            true => (self.random() >> 16).max(1),
            false => 0,
        };
        let left = self
            .ipv6_conf
            .dev(ifa.dev)
            .dad_transmits
            .max(0)
            .unsigned_abs();
        ifa.dad = Dad::Probing { left, at, nonce };
        self.timers.start(at, TimerKey::Dad(ifa.dev, address));
    }

    /// The address is gone.
    pub(crate) fn addrconf_dad_stop(&mut self, ifa: &IfAddr) {
        if let (IpAddr::V6(address), Dad::Probing { at, .. }) = (ifa.cidr.address(), ifa.dad) {
            self.timers.stop(at, TimerKey::Dad(ifa.dev, address));
        }
    }

    /// `addrconf_dad_work()`: asks, or has asked long enough.
    pub(crate) fn dad_timer(&mut self, dev: IfIndex, address: Ipv6Addr) {
        let up = self.device(dev).is_some_and(|d| d.is_running());
        let wait = self.neigh_conf.of(dev, address.into()).retrans_time;
        // HZ/100 at the least.
        let at = self.now + wait.max(SEC / 100);
        let Some(ifa) = self.ifa_v6_mut(dev, address) else {
            return;
        };
        let Dad::Probing { left, nonce, .. } = ifa.dad else {
            return;
        };
        if up && left == 0 {
            ifa.dad = Dad::Done;
            let ifa = *ifa;
            return self.install_ifa_local(&ifa);
        }
        // Without carrier nobody would hear it: later.
        let left = left - u32::from(up);
        ifa.dad = Dad::Probing { left, at, nonce };
        self.timers.start(at, TimerKey::Dad(dev, address));
        if up {
            self.ndisc_send_dad_ns(dev, address, nonce);
        }
    }

    /// `addrconf_dad_failure()`: somebody else has the address, or wants it too.
    pub(crate) fn addrconf_dad_failure(&mut self, dev: IfIndex, address: Ipv6Addr) {
        let Some(ifa) = self.ifa_v6_mut(dev, address) else {
            return;
        };
        let before = *ifa;
        if before.dad.is_tentative() {
            ifa.dad = Dad::Failed;
            self.addrconf_dad_stop(&before);
        }
    }
}
