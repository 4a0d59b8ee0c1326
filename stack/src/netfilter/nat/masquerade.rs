//! Addresses that depend on devices: masquerade, redirect, and whole networks (`nf_nat_masquerade.c`, `nf_nat_redirect.c`).

use super::{NatManip, NatRange};
use crate::fib::Scope;
use crate::hook::{Family, Hook, HookState};
use crate::ipv6::header::multicast_scope;
use crate::netfilter::conntrack::addresses;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl NatRange {
    /// The same range with one address.
    pub(super) fn with_address(self, address: IpAddr) -> Self {
        Self {
            addrs: Some((address, address)),
            ..self
        }
    }

    /// `nft_nat_setup_netmap()`: of a `prefix` the network part, of the packet's address the host part.
    pub(super) fn netmapped(self, skb: &SkBuff, family: Family, manip: NatManip) -> Self {
        let (true, Some((first, last)), Some((src, dst))) =
            (self.netmap, self.addrs, addresses(skb.data(), family))
        else {
            return self;
        };
        let own = match manip {
            NatManip::Src => src,
            NatManip::Dst => dst,
        };
        let mapped = match (first, last, own) {
            (IpAddr::V4(first), IpAddr::V4(last), IpAddr::V4(own)) => {
                let host = first.to_bits() ^ last.to_bits();
                Ipv4Addr::from_bits(first.to_bits() & !host | own.to_bits() & host).into()
            }
            (IpAddr::V6(first), IpAddr::V6(last), IpAddr::V6(own)) => {
                let host = first.to_bits() ^ last.to_bits();
                Ipv6Addr::from_bits(first.to_bits() & !host | own.to_bits() & host).into()
            }
            _ => return self,
        };
        self.with_address(mapped)
    }
}

impl Stack {
    /// The device that the packet leaves through and its address (`nf_nat_masquerade_ipv4()`); `None` when it has none.
    pub(super) fn masquerade_source(
        &self,
        skb: &SkBuff,
        state: &HookState,
    ) -> Option<(IfIndex, IpAddr)> {
        let dev = state.oif?;
        let (_, daddr) = addresses(skb.data(), state.family)?;
        let nexthop = skb.dst.map_or(daddr, |route| route.nexthop(daddr));
        let address = match (daddr, nexthop) {
            (IpAddr::V4(_), IpAddr::V4(nexthop)) => {
                self.inet_select_addr(dev, nexthop, Scope::UNIVERSE)?.into()
            }
            (IpAddr::V6(daddr), _) => self.ipv6_select_addr(dev, daddr)?.into(),
            _ => return None,
        };
        Some((dev, address))
    }

    /// `nf_nat_redirect_ipv4()`, `nf_nat_redirect_ipv6()`: where redirected packets go.
    pub(super) fn redirect_destination(&self, skb: &SkBuff, state: &HookState) -> Option<IpAddr> {
        let v6 = state.family == Family::Ipv6;
        if state.hook == Hook::LocalOut {
            return Some(match v6 {
                true => Ipv6Addr::LOCALHOST.into(),
                false => Ipv4Addr::LOCALHOST.into(),
            });
        }
        let dev = state.iif?;
        if !v6 {
            let mut own = self.device_addrs(dev).map(|cidr| cidr.address());
            return own.find(IpAddr::is_ipv4);
        }
        // nf_nat_redirect_ipv6_usable(): what was for a link stays on it, what was for everywhere may go to any address.
        let (_, daddr) = addresses(skb.data(), state.family)?;
        let wanted = limited_scope(daddr);
        let own = self
            .addrs
            .iter()
            .filter(|a| a.dev == dev && !a.dad.is_tentative());
        let fits = |a: IpAddr| a.is_ipv6() && (wanted.is_none() || limited_scope(a) == wanted);
        own.map(|a| a.cidr.address()).find(|&a| fits(a))
    }

    /// A device went down: connections that were masqueraded with its address end (`masq_device_event()`).
    pub fn nf_nat_masq_device_down(&mut self, dev: IfIndex) {
        let now = self.now;
        self.conntrack.cleanup(now, |conn| conn.masq_index == dev);
    }

    /// An address was removed from a device (`masq_inet_event()`): connections that were masqueraded with it end.
    pub fn nf_nat_masq_address_removed(&mut self, dev: IfIndex, address: IpAddr) {
        let now = self.now;
        self.conntrack.cleanup(now, |conn| {
            conn.masq_index == dev && conn.reply.dst == address
        });
    }
}

/// The scope of an IPv6 address if that is less than global (`ipv6_addr_scope()`, RFC 4291 2.7): 1 node, 2 link, 5 site.
fn limited_scope(address: IpAddr) -> Option<u8> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let scope = match address.segments()[0] {
        0xff00.. => multicast_scope(address),
        0xfec0..0xff00 => 5,
        0xfe80..0xfec0 => 2,
        _ if address.is_loopback() => 1,
        _ => 0,
    };
    Some(scope).filter(|scope| matches!(scope, 1 | 2 | 5))
}
