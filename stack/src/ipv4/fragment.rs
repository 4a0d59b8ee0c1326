//! `ip_fragment()`: cutting a packet that is too long for its way out (RFC 791 2.3).

use super::header::{IP_DF, IP_MF, IP_OFFSET, Ipv4Header};
use super::options;
use super::output::rewrite_lengths;
use crate::drop_reason::DropReason;
use crate::icmp::{self, unreach};
use crate::reassembly::Pieces;
use crate::skb::{CsumState, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use crate::validate_xmit::fill_checksum;
use crate::xmit::ETH_HLEN;

impl Stack {
    /// Sends `skb` (data at the IP header) in pieces of at most `mtu` bytes.
    pub(super) fn ip_fragment(&mut self, mut skb: SkBuff, mtu: usize) {
        let Some(header) = Ipv4Header::new(skb.data()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        let (header_len, frag_off) = (header.header_len(), header.frag_off());
        let pieces = skb.pieces.take();
        let df = frag_off & IP_DF;
        // What came in pieces may leave in such, but in none that are longer; the bit on what a socket sent is for others.
        let longest = pieces.as_ref().map(|p| p.max);
        if df != 0 && longest.map_or(!skb.ignore_df, |longest| longest > mtu) {
            self.icmp_send(&skb, icmp::DEST_UNREACH, unreach::FRAG_NEEDED, mtu as u32);
            // The caller knows why (EMSGSIZE).
            return self.kfree_skb(skb, DropReason::NotSpecified);
        }
        let mtu = longest.map_or(mtu, |longest| mtu.min(longest));
        let room = mtu.saturating_sub(header_len);
        if room < 8 {
            return self.kfree_skb(skb, DropReason::PktTooBig);
        }
        // The device cannot sum over several frames.
        if let CsumState::Partial { start, offset } = skb.csum {
            let start = usize::from(start).saturating_sub(ETH_HLEN);
            fill_checksum(&mut skb, start, usize::from(offset));
            skb.csum = CsumState::None;
        }
        let total = skb.len() - header_len;
        // Pieces that do not fit are cut anew: the packet is traced as one that has none.
        skb.pieces = pieces.filter(|p| p.fit(total, room));
        self.trace(&skb, Stage::Fragment);
        let same = skb.pieces.take();
        self.stats.fragmented += 1;
        let (base, more_after) = (frag_off & IP_OFFSET, frag_off & IP_MF);
        // ip_fraglist_prepare() has no don't-fragment bit, though the pieces came with it (IPSKB_FRAG_PMTU), ip_frag_next() has only theirs.
        let df = if same.is_some() || longest.is_none() {
            0
        } else {
            df
        };
        let mut at = 0;
        for len in Pieces::cut(same.as_deref(), total, room) {
            let more = if at + len < total { IP_MF } else { more_after };
            // at ≤ 65535, so at / 8 fits 13 bits; base + at / 8 does as the whole datagram is at most 65535 bytes.
            let field = base.wrapping_add((at / 8) as u16) & IP_OFFSET | more | df;
            match self.ip_frag_next(&skb, header_len, at, len, field) {
                Some(piece) => self.ip_finish_output2(piece),
                None => return self.kfree_skb(skb, DropReason::NoMem),
            }
            at += len;
        }
        self.consume_skb(skb, Consume::Fragment);
    }

    /// `ip_frag_next()`: the piece with payload bytes `at..at + len`.
    fn ip_frag_next(
        &mut self,
        skb: &SkBuff,
        header_len: usize,
        at: usize,
        len: usize,
        field: u16,
    ) -> Option<SkBuff> {
        let mut piece = self.alloc_skb(skb.dev, 0, header_len + len)?;
        let id = piece.id;
        piece.copy_meta(skb);
        self.conntrack.hold(piece.nfct);
        piece.id = id;
        piece.parent = skb.id;
        let filled = piece
            .put_slice(skb.data().get(..header_len)?)
            .and_then(|()| skb.skb_copy_bits(header_len + at, piece.put(len)?));
        if filled.is_none() {
            self.kfree_skb(piece, DropReason::NoMem);
            return None;
        }
        let packet = piece.data_mut();
        if at > 0 {
            options::blank_uncopied(packet.get_mut(20..header_len).unwrap_or_default());
        }
        rewrite_lengths(packet, header_len, header_len + len, field);
        piece.reset_network_header();
        piece.set_transport_header(header_len);
        Some(piece)
    }
}
