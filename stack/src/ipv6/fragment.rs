//! `ip6_fragment()`: only the sender cuts packets (RFC 8200 4.5), and a router that put them together.

use super::IPV6_HLEN;
use super::exthdr::{FRAG_HLEN, NEXTHDR_FRAGMENT, ip6_find_1stfragopt};
use crate::drop_reason::DropReason;
use crate::icmpv6;
use crate::ipv4::header::put16;
use crate::pmtu::IPV6_MIN_MTU;
use crate::reassembly::Pieces;
use crate::skb::{CsumState, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use crate::validate_xmit::fill_checksum;
use crate::xmit::ETH_HLEN;

impl Stack {
    /// Sends `skb` (data at the IPv6 header) in pieces of at most `mtu` bytes. A packet that no socket lets be cut must have come in pieces too.
    pub(super) fn ip6_fragment(&mut self, mut skb: SkBuff, mtu: usize) {
        let pieces = skb.pieces.take();
        let longest = pieces.as_ref().map(|p| p.max);
        if longest.map_or(!skb.ignore_df, |longest| longest > mtu) {
            // Without pieces: a hook made a forwarded packet longer, or the socket wants to be told.
            self.icmpv6_send(&skb, icmpv6::PKT_TOOBIG, 0, mtu as u32);
            return self.kfree_skb(skb, DropReason::NotSpecified);
        }
        // None longer than what came, but RFC 8200 5 lets everybody send 1280 bytes.
        let mtu = longest.map_or(mtu, |longest| longest.max(IPV6_MIN_MTU as usize));
        let Some((prefix, named_at)) = ip6_find_1stfragopt(skb.data()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        let room = mtu.saturating_sub(prefix + FRAG_HLEN);
        if room < 8 || skb.len() < prefix {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        }
        if let CsumState::Partial { start, offset } = skb.csum {
            let start = usize::from(start).saturating_sub(ETH_HLEN);
            fill_checksum(&mut skb, start, usize::from(offset));
            skb.csum = CsumState::None;
        }
        skb.pieces = pieces;
        self.trace(&skb, Stage::Fragment);
        let pieces = skb.pieces.take();
        self.stats.fragmented += 1;
        // RFC 7739: not predictable; drawn from the seeded generator.
        let id = self.random() as u32;
        let total = skb.len() - prefix;
        let mut at = 0;
        let pieces = pieces.map(|pieces| pieces.with_longer_first(total));
        let same = pieces.as_ref().filter(|p| p.fit(total, room));
        for len in Pieces::cut(same, total, room) {
            // at ≤ 65535 and a multiple of 8: it is the field's value; the lowest bit says that more follow.
            let field = at as u16 | u16::from(at + len < total);
            match self.ip6_frag_next(&skb, (prefix, named_at), at, len, (field, id)) {
                Some(piece) => self.ip6_finish_output2(piece),
                None => return self.kfree_skb(skb, DropReason::NoMem),
            }
            at += len;
        }
        self.consume_skb(skb, Consume::Fragment);
    }

    /// The piece with bytes `at..at + len` of what follows the headers that every piece has: `prefix` bytes, in which the byte at
    /// `named_at` names the fragment header.
    fn ip6_frag_next(
        &mut self,
        skb: &SkBuff,
        (prefix, named_at): (usize, usize),
        at: usize,
        len: usize,
        (field, id): (u16, u32),
    ) -> Option<SkBuff> {
        let mut piece = self.alloc_skb(skb.dev, 0, prefix + FRAG_HLEN + len)?;
        let own = piece.id;
        piece.copy_meta(skb);
        self.conntrack.hold(piece.nfct);
        piece.id = own;
        piece.parent = skb.id;
        let bytes = skb.data();
        let mut fragment = [0u8; FRAG_HLEN];
        fragment[0] = bytes.get(named_at).copied().unwrap_or_default();
        fragment[2..4].copy_from_slice(&field.to_be_bytes());
        fragment[4..].copy_from_slice(&id.to_be_bytes());
        let filled = piece
            .put_slice(bytes.get(..prefix)?)
            .and_then(|()| piece.put_slice(&fragment))
            .and_then(|()| skb.skb_copy_bits(prefix + at, piece.put(len)?));
        if filled.is_none() {
            self.kfree_skb(piece, DropReason::NoMem);
            return None;
        }
        let packet = piece.data_mut();
        put16(packet, 4, (prefix - IPV6_HLEN + FRAG_HLEN + len) as u16);
        if let Some(name) = packet.get_mut(named_at) {
            *name = NEXTHDR_FRAGMENT;
        }
        piece.reset_network_header();
        piece.set_transport_header(prefix);
        Some(piece)
    }
}
