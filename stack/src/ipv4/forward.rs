//! `ip_forward()`.

use super::header::{IP_DF, Ipv4Header, decrease_ttl, send_check};
use crate::drop_reason::DropReason;
use crate::fib::Scope;
use crate::gso::skb_gso_validate_network_len;
use crate::hook::{Family, Hook};
use crate::icmp::{self, unreach};
use crate::sched::rt_tos2priority;
use crate::skb::{PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use std::net::{IpAddr, Ipv4Addr};

/// Code of a redirect: for this host.
const REDIR_HOST: u8 = 1;

impl Stack {
    pub(super) fn ip_forward(&mut self, mut skb: SkBuff) {
        self.trace(&skb, Stage::Forward);
        let (Some(route), PktType::Host) = (&skb.dst, skb.pkt_type) else {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        let (redirect, oif) = (route.redirect, route.oif);
        let route = *route;
        let Some(header) = Ipv4Header::new(skb.data()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        // ip_dst_mtu_maybe_forward()
        let mtu = match self.config.ip_forward_use_pmtu {
            true => self.dst_mtu(&route, header.daddr().into()),
            false => self.dst_mtu_forward(&route),
        };
        if header.ttl() <= 1 {
            self.icmp_send(&skb, icmp::TIME_EXCEEDED, 0, 0);
            return self.kfree_skb(skb, DropReason::IpInHdr);
        }
        // ip_exceeds_mtu(): what was put together here may go on in the pieces that it came in; what GRO merged is judged by its segments.
        let too_big = skb.len() > mtu
            && match &skb.pieces {
                Some(pieces) => pieces.max > mtu,
                None => !skb_gso_validate_network_len(&skb, mtu),
            };
        if header.frag_off() & IP_DF != 0 && too_big {
            self.icmp_send(&skb, icmp::DEST_UNREACH, unreach::FRAG_NEEDED, mtu as u32);
            return self.kfree_skb(skb, DropReason::PktTooBig);
        }
        let header_len = header.header_len();
        if self.config.ip_forward_update_priority {
            skb.priority = rt_tos2priority(header.tos());
        }
        // skb_forward_csum(): what the device summed includes the TTL.
        skb.forget_csum_complete();
        decrease_ttl(skb.data_mut());
        if redirect {
            self.ip_rt_send_redirect(&skb);
        }
        skb.dev = oif;
        let iif = skb.iif;
        if !self.nf_hook(Hook::Forward, Family::Ipv4, &mut skb, iif, oif) {
            return;
        }
        if skb.opt.is_to_be_forwarded() {
            self.ip_forward_options(&mut skb, header_len);
        }
        self.ip_output(skb);
    }

    /// `ip_rt_send_redirect()`: the sender could have gone to the next hop itself, and is told so now and then.
    fn ip_rt_send_redirect(&mut self, skb: &SkBuff) {
        let (Some(header), Some(route)) = (Ipv4Header::new(skb.data()), &skb.dst) else {
            return;
        };
        let (saddr, daddr) = (header.saddr(), header.daddr());
        let IpAddr::V4(gateway) = route.nexthop(daddr.into()) else {
            return;
        };
        if self.icmp_limiter.allow_redirect(self.now, saddr.into()) {
            self.icmp_send(skb, icmp::REDIRECT, REDIR_HOST, gateway.to_bits());
        }
    }

    /// `ip_forward_options()`: enters this router where the options ask for it.
    fn ip_forward_options(&mut self, skb: &mut SkBuff, header_len: usize) {
        let Some(route) = skb.dst else { return };
        let Some(daddr) = Ipv4Header::new(skb.data()).map(|h| h.daddr()) else {
            return;
        };
        let IpAddr::V4(nexthop) = route.nexthop(daddr.into()) else {
            return;
        };
        let own = self.inet_select_addr(route.oif, nexthop, Scope::UNIVERSE);
        let own = own.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut opt = skb.opt;
        let packet = skb.data_mut();
        if opt.forward(packet.get_mut(..header_len).unwrap_or_default(), own) {
            send_check(packet, header_len);
        }
        skb.opt = opt;
    }
}
