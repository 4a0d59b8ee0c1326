//! Redirects that an IPv6 router sends (RFC 4861 8.2): the sender of a packet could have gone to the next hop itself.

use crate::SEC;
use crate::fib::Route;
use crate::icmpv6::REDIRECT;
use crate::ipv4::Upper;
use crate::ipv6::header::Ipv6Header;
use crate::ipv6::{IPPROTO_ICMPV6, IPV6_HLEN};
use crate::ndp::{OPT_REDIRECTED, OPT_TARGET_LL};
use crate::pmtu::IPV6_MIN_MTU;
use crate::skb::SkBuff;
use crate::stack::Stack;
use crate::trace::Stage;
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of a redirect before its options: ICMPv6 header, target, destination.
const RD_HLEN: usize = 40;
/// Option with a MAC address, in bytes.
const LL_OPTION: usize = 8;
/// The option's header before the redirected packet, in bytes.
const RD_OPTION: usize = 8;

impl Stack {
    /// The part of `ip6_forward()` about packets that leave through the device that they came in through; `skb`'s data is at its IPv6 header.
    /// How often is limited by sender, and by destination.
    pub(crate) fn ip6_redirect_sender(&mut self, skb: &SkBuff, route: &Route) {
        let Some(header) = Ipv6Header::new(skb.data()) else {
            return;
        };
        let (sender, daddr) = (header.saddr(), header.daddr());
        let IpAddr::V6(target) = route.nexthop(daddr.into()) else {
            return;
        };
        if self.icmp_limiter.allow_peer(self.now, daddr.into(), SEC) {
            self.ndisc_send_redirect(skb, sender, daddr, target);
        }
    }

    /// `ndisc_send_redirect()`.
    fn ndisc_send_redirect(
        &mut self,
        skb: &SkBuff,
        sender: Ipv6Addr,
        daddr: Ipv6Addr,
        target: Ipv6Addr,
    ) {
        let dev = skb.dev;
        let own = self
            .device_addrs(dev)
            .find_map(|cidr| match cidr.address() {
                IpAddr::V6(a) if a.is_unicast_link_local() => Some(a),
                _ => None,
            });
        let Some(own) = own else { return };
        // A router is told by its link-local address (RFC 4861 4.5).
        if daddr != target && !target.is_unicast_link_local() {
            return;
        }
        let upper = Upper::new(IPPROTO_ICMPV6, (0, 0));
        let Ok((back, _)) = self.ip6_route_output(sender, Some(own), dev, upper) else {
            return;
        };
        let is_neighbour = back.gateway.is_none();
        if !is_neighbour || !self.icmp_limiter.allow_peer(self.now, sender.into(), SEC) {
            return;
        }
        let mac = self.neigh_mac(dev, target.into());
        let fixed = RD_HLEN + mac.map_or(0, |_| LL_OPTION);
        // As much as fits the least MTU, in steps of 8.
        let room = IPV6_MIN_MTU as usize - IPV6_HLEN - fixed;
        let option = room.min(skb.len() + RD_OPTION) & !7;
        let mut message = vec![0; fixed + option];
        message[0] = REDIRECT;
        message[8..24].copy_from_slice(&target.octets());
        message[24..RD_HLEN].copy_from_slice(&daddr.octets());
        if let Some(mac) = mac {
            message[RD_HLEN..RD_HLEN + 2].copy_from_slice(&[OPT_TARGET_LL, 1]);
            message[RD_HLEN + 2..fixed].copy_from_slice(&mac);
        }
        // At most 1192 bytes, in units of 8.
        message[fixed..fixed + 2].copy_from_slice(&[OPT_REDIRECTED, (option / 8) as u8]);
        let quoted = &mut message[fixed + RD_OPTION..];
        // The packet has as many bytes.
        let _ = skb.skb_copy_bits(0, quoted);
        let Some(mut redirect) = self.alloc_skb(dev, IPV6_HLEN, message.len()) else {
            return;
        };
        if redirect.put_slice(&message).is_none() {
            return self.kfree_skb(redirect, crate::DropReason::NoMem);
        }
        redirect.parent = skb.id;
        self.trace(&redirect, Stage::Send);
        self.icmpv6_push(redirect, own, sender, 0, back, 255);
    }
}
