//! `ip6_fragment()`: only the sender cuts packets (RFC 8200 4.5).

use super::IPV6_HLEN;
use super::exthdr::{FRAG_HLEN, NEXTHDR_FRAGMENT};
use crate::drop_reason::DropReason;
use crate::icmpv6;
use crate::ipv4::header::put16;
use crate::skb::{CsumState, IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use crate::validate_xmit::fill_checksum;
use crate::xmit::ETH_HLEN;

impl Stack {
    /// Sends `skb` (data at the IPv6 header) in pieces of at most `mtu` bytes. Packets made here have no extension headers, so the
    /// fragment header follows the fixed one.
    pub(super) fn ip6_fragment(&mut self, mut skb: SkBuff, mtu: usize) {
        if skb.iif != IfIndex::NONE {
            // A hook made a forwarded packet longer.
            self.icmpv6_send(&skb, icmpv6::PKT_TOOBIG, 0, mtu as u32);
            return self.kfree_skb(skb, DropReason::PktTooBig);
        }
        let step = mtu.saturating_sub(IPV6_HLEN + FRAG_HLEN) & !7;
        if step == 0 || skb.len() < IPV6_HLEN {
            return self.kfree_skb(skb, DropReason::PktTooBig);
        }
        if let CsumState::Partial { start, offset } = skb.csum {
            let start = usize::from(start).saturating_sub(ETH_HLEN);
            fill_checksum(&mut skb, start, usize::from(offset));
            skb.csum = CsumState::None;
        }
        self.trace(&skb, Stage::Fragment);
        self.stats.fragmented += 1;
        // RFC 7739: not predictable; drawn from the seeded generator.
        let id = self.random() as u32;
        let total = skb.len() - IPV6_HLEN;
        let mut at = 0;
        while at < total {
            let len = step.min(total - at);
            // at ≤ 65535 and a multiple of 8: it is the field's value; the lowest bit says that more follow.
            let field = at as u16 | u16::from(at + len < total);
            match self.ip6_frag_next(&skb, at, len, field, id) {
                Some(piece) => self.ip6_finish_output2(piece),
                None => return self.kfree_skb(skb, DropReason::NoMem),
            }
            at += len;
        }
        self.consume_skb(skb, Consume::Fragment);
    }

    fn ip6_frag_next(
        &mut self,
        skb: &SkBuff,
        at: usize,
        len: usize,
        field: u16,
        id: u32,
    ) -> Option<SkBuff> {
        let mut piece = self.alloc_skb(skb.dev, 0, IPV6_HLEN + FRAG_HLEN + len)?;
        let own = piece.id;
        piece.copy_meta(skb);
        piece.id = own;
        piece.parent = skb.id;
        let bytes = skb.data();
        let mut fragment = [0u8; FRAG_HLEN];
        fragment[0] = bytes.get(6).copied().unwrap_or_default();
        fragment[2..4].copy_from_slice(&field.to_be_bytes());
        fragment[4..].copy_from_slice(&id.to_be_bytes());
        let filled = piece
            .put_slice(bytes.get(..IPV6_HLEN)?)
            .and_then(|()| piece.put_slice(&fragment))
            .and_then(|()| skb.skb_copy_bits(IPV6_HLEN + at, piece.put(len)?));
        if filled.is_none() {
            self.kfree_skb(piece, DropReason::NoMem);
            return None;
        }
        let packet = piece.data_mut();
        put16(packet, 4, (FRAG_HLEN + len) as u16);
        if let Some(next_header) = packet.get_mut(6) {
            *next_header = NEXTHDR_FRAGMENT;
        }
        piece.reset_network_header();
        piece.set_transport_header(IPV6_HLEN);
        Some(piece)
    }
}
