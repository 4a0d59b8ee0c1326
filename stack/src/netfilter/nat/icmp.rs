//! ICMP errors about translated packets (`nf_nat_icmp_reply_translation()`): what they quote is translated back, so that the receiver
//! recognises its own packet.

use super::NatManip;
use super::manip::manip_pkt;
use super::packet::{check_of, status_bit};
use crate::checksum::{self, fold};
use crate::hook::{Family, HookState, Verdict};
use crate::icmp::{ICMP_HLEN, REDIRECT};
use crate::icmpv6;
use crate::ipv4::IPPROTO_ICMP;
use crate::ipv4::header::put16;
use crate::ipv6::IPPROTO_ICMPV6;
use crate::netfilter::conntrack::{CtStatus, L4, NfCt, Tuple, addresses};
use crate::netfilter::nat::manip::Check;
use crate::skb::SkBuff;
use crate::stack::Stack;

/// The ICMP protocol of a family.
fn icmp_of(family: Family) -> u8 {
    match family {
        Family::Ipv6 => IPPROTO_ICMPV6,
        _ => IPPROTO_ICMP,
    }
}

/// Whether the packet is ICMP of its family.
pub(super) fn is_icmp(skb: &SkBuff, family: Family) -> bool {
    L4::of(skb.data(), family).is_some_and(|l4| l4.protocol == icmp_of(family))
}

/// Sum of the pseudo header of an ICMP message of `len` bytes; ICMP over IPv4 has none.
fn pseudo_sum(packet: &[u8], family: Family, len: usize) -> u32 {
    match (family, addresses(packet, family)) {
        (Family::Ipv6, Some((src, dst))) => {
            checksum::pseudo_header(src, dst, IPPROTO_ICMPV6, len as u32)
        }
        _ => 0,
    }
}

impl Stack {
    pub(super) fn nf_nat_icmp_reply_translation(
        &mut self,
        skb: &mut SkBuff,
        state: &HookState,
        nfct: NfCt,
    ) -> Verdict {
        let family = state.family;
        let Some(conn) = self.conntrack.get(nfct.id) else {
            return Verdict::Accept;
        };
        let (dir, status) = (nfct.info.dir(), conn.status);
        let quoted_as = *conn.tuple(dir.reverse());
        let manip = NatManip::at(state.hook);
        let Some(l4) = L4::of(skb.data(), family) else {
            return Verdict::Drop;
        };
        let message_len = skb.len().saturating_sub(l4.offset);
        let Some(&kind) = skb.data().get(l4.offset) else {
            return Verdict::Drop;
        };
        if !skb.skb_csum_unnecessary() {
            let sum = skb.skb_checksum(l4.offset, message_len);
            let pseudo = pseudo_sum(skb.data(), family, message_len);
            if fold(checksum::add(sum, pseudo)) != 0xffff {
                return Verdict::Drop;
            }
        }
        let redirect = match family {
            Family::Ipv6 => icmpv6::REDIRECT,
            _ => REDIRECT,
        };
        if kind == redirect {
            // A route that is good for a packet before its translation is none for it after.
            let done = CtStatus::NAT_DONE_MASK;
            if status.0 & done.0 != done.0 || status.has(CtStatus::NAT_MASK) {
                return Verdict::Drop;
            }
        }
        if !status.has(status_bit(manip, dir)) {
            return Verdict::Accept;
        }
        let inner_at = l4.offset + ICMP_HLEN;
        let packet = skb.data_mut();
        let Some(inner) = packet.get_mut(inner_at..) else {
            return Verdict::Drop;
        };
        if !manip_pkt(inner, family, &quoted_as, manip.other(), Check::Whole) {
            return Verdict::Drop;
        }
        skb.forget_csum_complete();
        put16(skb.data_mut(), l4.offset + 2, 0);
        let sum = skb.skb_checksum(l4.offset, message_len);
        let pseudo = pseudo_sum(skb.data(), family, message_len);
        let check = !fold(checksum::add(sum, pseudo));
        put16(skb.data_mut(), l4.offset + 2, check);
        // The error itself comes from who the packet was sent to, as far as its sender knows.
        let Some(reply) = quoted_as.invert() else {
            return Verdict::Drop;
        };
        let target = Tuple {
            protocol: icmp_of(family),
            ..reply
        };
        let check = check_of(skb);
        if manip_pkt(skb.data_mut(), family, &target, manip, check) {
            Verdict::Accept
        } else {
            Verdict::Drop
        }
    }
}
