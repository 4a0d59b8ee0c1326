//! What the driver need not do: `validate_xmit_skb()` and its parts.

use crate::checksum;
use crate::drop_reason::DropReason;
use crate::gso::Segmenter;
use crate::netdev::NetFeatures;
use crate::page_pool::PagePool;
use crate::skb::{CsumState, GsoType, IfIndex, MAX_SKB_FRAGS, NET_SKB_PAD, SkBuff};
use crate::stack::Stack;
use crate::trace::Consume;
use std::collections::VecDeque;

impl Stack {
    /// `validate_xmit_skb()`: does in software what the device cannot: tags, segments, one piece, checksums. What the driver is to get
    /// is appended to `out`, in order; data starts at the Ethernet header.
    pub(crate) fn validate_xmit_skb(&mut self, mut skb: SkBuff, out: &mut VecDeque<SkBuff>) {
        let Some(device) = self.device(skb.dev) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        let features = device.features;
        if skb.vlan.is_some() && vlan_push_inside(&mut skb).is_none() {
            return self.kfree_skb(skb, DropReason::NoMem);
        }
        let too_large = skb.gso.kind != GsoType::None && !fits_device(&skb, features, &device.pool);
        if netif_needs_gso(&skb, features) || too_large {
            // Payload that the device cannot reach is copied while it is cut rather than piece by piece after that.
            let sg = features.sg && (skb.dev == IfIndex::LO || skb.is_in(&device.pool));
            let before = out.len();
            self.skb_gso_segment(skb, sg, out);
            for segment in out.range_mut(before..) {
                finish(segment, features);
            }
        } else {
            finish(&mut skb, features);
            out.push_back(skb);
        }
    }

    /// `skb_gso_segment()`: appends the packets that `skb` stands for to `out`; none, and the drop is counted, when its headers are not
    /// what its `gso` says. `sg`: they refer to its payload instead of copying it. Data starts at the Ethernet or the network header.
    pub(crate) fn skb_gso_segment(
        &mut self,
        mut skb: SkBuff,
        sg: bool,
        out: &mut VecDeque<SkBuff>,
    ) {
        skb.pskb_may_pull(skb.len().min(MAX_HEADERS));
        let Ok(segmenter) = Segmenter::new(&skb, sg) else {
            return self.kfree_skb(skb, DropReason::SkbGsoSeg);
        };
        for index in 0..segmenter.count() {
            let Some(mut segment) = self.alloc_skb(skb.dev, 0, segmenter.linear_len(index)) else {
                break;
            };
            let filled = segmenter.fill(index, &mut segment);
            self.conntrack.hold(segment.nfct);
            match filled {
                Some(()) => out.push_back(segment),
                None => self.kfree_skb(segment, DropReason::NoMem),
            }
        }
        self.consume_skb(skb, Consume::Gso);
    }
}

/// Ethernet with two tags, IPv6 with extension headers, TCP with options: what must be linear to be segmented.
const MAX_HEADERS: usize = 22 + 256 + 60;

/// `netif_needs_gso()`: the device cannot segment it, or would not know where the checksums are.
fn netif_needs_gso(skb: &SkBuff, features: NetFeatures) -> bool {
    skb.gso.kind != GsoType::None
        && (!features.gso_ok(skb.gso)
            || !matches!(skb.csum, CsumState::Partial { .. } | CsumState::Unnecessary))
}

/// Whether the device can be handed the packet in one: it reaches all pieces, or there is room for them in as many pages as it takes.
fn fits_device(skb: &SkBuff, features: NetFeatures, pool: &PagePool) -> bool {
    let frags = if features.sg { MAX_SKB_FRAGS } else { 0 };
    skb.dev == IfIndex::LO
        || (skb.nr_frags() <= frags && skb.is_in(pool))
        || NET_SKB_PAD + skb.len() <= (1 + frags) * pool.buf_size()
}

/// `validate_xmit_skb()` of a packet without a tag that is one on the wire. `false`: it is none of these, and nothing was done.
#[inline]
pub(crate) fn validate_xmit_one(skb: &mut SkBuff, features: NetFeatures) -> bool {
    let one = skb.vlan.is_none() && skb.gso.kind == GsoType::None;
    if one {
        finish(skb, features);
    }
    one
}

/// One packet: in as few pieces as the device takes (`skb_needs_linearize()`), with its checksum if the device computes none.
fn finish(skb: &mut SkBuff, features: NetFeatures) {
    if skb.is_nonlinear() && (!features.sg || skb.nr_frags() > MAX_SKB_FRAGS) {
        skb.skb_linearize();
    }
    if !features.hw_csum {
        skb_checksum_help(skb);
    }
}

/// `__vlan_hwaccel_push_inside()`: the tag goes into the frame. `None`: there is no room for it.
pub(crate) fn vlan_push_inside(skb: &mut SkBuff) -> Option<()> {
    const VLAN_HLEN: usize = 4;
    let vlan = skb.vlan?;
    let mut addresses = [0; 12];
    addresses.copy_from_slice(skb.data().get(..12)?);
    if skb.headroom() < VLAN_HLEN {
        skb.skb_cow(VLAN_HLEN + NET_SKB_PAD);
    }
    skb.push(VLAN_HLEN)?;
    let frame = skb.data_mut().get_mut(..16)?;
    frame[..12].copy_from_slice(&addresses);
    frame[12..14].copy_from_slice(&vlan.proto.to_be_bytes());
    frame[14..].copy_from_slice(&vlan.tci.to_be_bytes());
    skb.reset_mac_header();
    if let CsumState::Partial { start, .. } = &mut skb.csum {
        *start += VLAN_HLEN as u16;
    }
    skb.vlan = None;
    Some(())
}

/// `skb_checksum_help()`: fills in a checksum that was left to the device ([`CsumState::Partial`]), for a device that cannot. Data starts
/// at the Ethernet header; positions outside change nothing.
pub fn skb_checksum_help(skb: &mut SkBuff) {
    if let CsumState::Partial { start, offset } = skb.csum {
        fill_checksum(skb, usize::from(start), usize::from(offset));
        skb.csum = CsumState::None;
    }
}

/// Sums the packet from `start` to its end and stores the complement at `start + offset`; positions outside change nothing.
pub(crate) fn fill_checksum(skb: &mut SkBuff, start: usize, offset: usize) {
    let at = start + offset;
    if !skb.skb_ensure_writable(at + 2) {
        return;
    }
    let sum = skb.skb_checksum(start, skb.len());
    // 0 would mean "no checksum" in UDP; 0xffff is the same sum (CSUM_MANGLED_0).
    let value = match !checksum::fold(sum) {
        0 => 0xffff,
        value => value,
    };
    if let Some(field) = skb.data_mut().get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8], start: u16, offset: u16) -> Vec<u8> {
        let mut skb = SkBuff::from_vec(bytes.to_vec());
        skb.csum = CsumState::Partial { start, offset };
        skb_checksum_help(&mut skb);
        assert_eq!(skb.csum, CsumState::None);
        skb.data().to_vec()
    }

    #[test]
    fn checksum_of_rfc_1071() {
        // RFC 1071 section 3: these bytes sum to ddf2.
        let frame = [9, 9, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0];
        assert_eq!(filled(&frame, 2, 8)[10..], (!0xddf2u16).to_be_bytes());
    }

    #[test]
    fn checksum_of_an_odd_length_zero_and_positions_outside() {
        let odd = filled(&[0x12, 0x34, 0, 0, 0x56], 0, 2);
        assert_eq!(odd[2..4], (!(0x1234u16 + 0x5600)).to_be_bytes());
        assert_eq!(filled(&[0xff, 0xff, 0, 0], 0, 2)[2..4], [0xff, 0xff]);
        assert_eq!(filled(&[1, 2, 3], 4, 0), [1, 2, 3]);
        assert_eq!(filled(&[1, 2, 3], 0, 2), [1, 2, 3]);
    }
}
