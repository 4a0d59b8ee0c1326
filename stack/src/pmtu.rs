//! Path MTUs that routers told us about (RFC 1191, RFC 8201): the exceptions to the devices' MTUs.

use crate::{Ps, SEC};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `mtu_expires`: how long a router is believed.
const MTU_EXPIRES: Ps = 600 * SEC;
/// `min_pmtu`: IPv4 paths are not believed to be narrower.
const MIN_PMTU_V4: u32 = 552;
/// Least MTU of every IPv6 link (RFC 8200 5).
pub(crate) const IPV6_MIN_MTU: u32 = 1280;
/// Destinations that are remembered.
const MAX_ENTRIES: usize = 1024;

/// What a router said about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    /// Longest packet in bytes, IP header included.
    pub mtu: u32,
    /// When it is forgotten.
    pub expires: Ps,
    /// Narrower than is believed, so that packets are sent without don't-fragment instead (`rt_mtu_locked`).
    pub locked: bool,
}

/// Destination → path MTU in bytes (IP header included) and when it is forgotten.
#[derive(Default)]
pub(crate) struct PathMtu {
    table: BTreeMap<IpAddr, (u32, Ps)>,
}

impl PathMtu {
    /// Remembers that the path to `destination` carries at most `mtu` bytes.
    pub fn learn(&mut self, destination: IpAddr, mtu: u32, now: Ps) {
        self.table.retain(|_, (_, expires)| *expires > now);
        if self.table.len() >= MAX_ENTRIES && !self.table.contains_key(&destination) {
            return;
        }
        let floor = if destination.is_ipv4() {
            MIN_PMTU_V4
        } else {
            IPV6_MIN_MTU
        };
        self.table.insert(
            destination,
            (mtu.max(floor), now.saturating_add(MTU_EXPIRES)),
        );
    }

    /// What is remembered of the path to `destination`.
    pub fn learned(&self, destination: IpAddr, now: Ps) -> Option<Learned> {
        let &(mtu, expires) = self.table.get(&destination)?;
        (expires > now).then_some(Learned {
            mtu,
            expires,
            locked: false,
        })
    }

    /// The MTU to use towards `destination` through a device with MTU `device`.
    pub fn lookup(&self, destination: IpAddr, device: usize, now: Ps) -> usize {
        match self.table.get(&destination) {
            Some(&(mtu, expires)) if expires > now => device.min(mtu as usize),
            _ => device,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believed_for_a_while_and_not_below_the_floor() {
        let mut pmtu = PathMtu::default();
        let (v4, v6) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        pmtu.learn(v4, 68, 0);
        pmtu.learn(v6, 1400, 0);
        assert_eq!(pmtu.lookup(v4, 1500, 1), 552);
        assert_eq!(pmtu.lookup(v6, 1500, 1), 1400);
        assert_eq!(pmtu.lookup(v6, 1300, 1), 1300);
        assert_eq!(pmtu.lookup(v6, 1500, MTU_EXPIRES), 1500);
    }
}
