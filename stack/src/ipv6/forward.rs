//! `ip6_forward()`.

use super::header::Ipv6Header;
use crate::drop_reason::DropReason;
use crate::gso::skb_gso_validate_network_len;
use crate::hook::{Family, Hook};
use crate::icmpv6;
use crate::pmtu::IPV6_MIN_MTU;
use crate::skb::{PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;

impl Stack {
    pub(super) fn ip6_forward(&mut self, mut skb: SkBuff) {
        self.trace(&skb, Stage::Forward);
        let (Some(route), PktType::Host) = (skb.dst, skb.pkt_type) else {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        let Some(hop_limit) = Ipv6Header::new(skb.data()).map(|h| h.hop_limit()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        skb.forget_csum_complete();
        if hop_limit <= 1 {
            self.icmpv6_send(&skb, icmpv6::TIME_EXCEED, 0, 0);
            return self.kfree_skb(skb, DropReason::IpInHdr);
        }
        let Some(saddr) = Ipv6Header::new(skb.data()).map(|h| h.saddr()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        if route.oif == skb.dev {
            self.ip6_redirect_sender(&skb, &route);
        } else if saddr.is_unspecified() || saddr.is_loopback() {
            return self.kfree_skb(skb, DropReason::IpInAddrErrors);
        } else if saddr.is_unicast_link_local() {
            // RFC 4291 2.5.6: such packets do not leave their link.
            self.icmpv6_send(&skb, icmpv6::DEST_UNREACH, icmpv6::NOT_NEIGHBOUR, 0);
            return self.kfree_skb(skb, DropReason::IpInAddrErrors);
        }
        // ip6_dst_mtu_maybe_forward(): a route's counts when it is locked; what is else known of the path stops the packet on its way out.
        let most = match route.mtu_locked {
            true => self.dst_mtu_forward(&route),
            false => self.mtu(route.oif),
        };
        let most = most.max(IPV6_MIN_MTU as usize);
        // ip6_pkt_too_big(): what was put together here goes on in pieces, and what GRO merged is judged by its segments.
        let too_big = skb.len() > most
            && match &skb.pieces {
                Some(pieces) => pieces.max > most,
                None => !skb_gso_validate_network_len(&skb, most),
            };
        if too_big {
            self.icmpv6_send(&skb, icmpv6::PKT_TOOBIG, 0, most as u32);
            return self.kfree_skb(skb, DropReason::PktTooBig);
        }
        let mtu = match Ipv6Header::new(skb.data()).map(|h| h.daddr()) {
            Some(daddr) => self.dst_mtu(&route, daddr.into()),
            None => self.dst_mtu_forward(&route),
        };
        if let Some(field) = skb.data_mut().get_mut(7) {
            *field = hop_limit - 1;
        }
        skb.dev = route.oif;
        let (iif, oif) = (skb.iif, route.oif);
        if self.nf_hook(Hook::Forward, Family::Ipv6, &mut skb, iif, oif) {
            self.ip6_output(skb, mtu);
        }
    }
}
