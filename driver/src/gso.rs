//! Large packets in the virtio header (virtio 5.1.6.2, 5.1.6.4; `virtio_net_hdr_from_skb()`,
//! `virtio_net_hdr_to_skb()`).

use stack::netdev::NetFeatures;
use stack::skb::{CsumState, Gso, GsoType, SkBuff};

use crate::features::Feature;
use crate::hdr::{F_NEEDS_CSUM, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VirtioNetHdr};

/// Bytes of the longest large packet: one of IP that its length field can name, an Ethernet header and
/// two VLAN tags.
pub const MAX_GSO_FRAME: usize = 65535 + 14 + 8;

/// Where the data offset is in a TCP header, and where the checksum.
const TCP_OFFSET: usize = 12;
const TCP_CHECK: u16 = 16;
const TCP_HLEN: usize = 20;
const UDP_HLEN: usize = 8;

/// What the stack may leave to a device with `features`. `sg`: the ring takes packets in several pieces.
pub fn net_features(features: Feature, sg: bool) -> NetFeatures {
    let csum = features.contains(Feature::CSUM);
    let segments = |feature| csum && sg && features.contains(feature);
    NetFeatures {
        hw_csum: csum,
        rx_csum: features.contains(Feature::GUEST_CSUM),
        sg,
        tso4: segments(Feature::HOST_TSO4),
        tso6: segments(Feature::HOST_TSO6),
        tso_ecn: segments(Feature::HOST_ECN),
        uso: segments(Feature::HOST_USO),
        gro: true,
        ..NetFeatures::default()
    }
}

/// Bytes of all headers of a large packet whose transport header is `start` bytes behind its Ethernet
/// header; `None` when they are not there.
fn header_len(skb: &SkBuff, kind: GsoType, start: usize) -> Option<usize> {
    let transport = match kind {
        GsoType::None => return None,
        GsoType::UdpL4 => UDP_HLEN,
        GsoType::TcpV4 | GsoType::TcpV6 => {
            let mut offset = [0];
            skb.skb_copy_bits(start + TCP_OFFSET, &mut offset)?;
            let len = usize::from(offset[0] >> 4) * 4;
            (len >= TCP_HLEN).then_some(len)?
        }
    };
    (start + transport <= skb.len()).then_some(start + transport)
}

/// The header of a large packet that the device is to cut, and the bytes of its longest segment. `None`:
/// the packet is not what its `gso` says, or its checksum is not left to the device (5.1.6.2.1: NEEDS_CSUM
/// goes with every `gso_type`).
#[inline]
pub fn from_skb(skb: &SkBuff) -> Option<(VirtioNetHdr, usize)> {
    let CsumState::Partial { start, offset } = skb.csum else {
        return None;
    };
    let gso_type = match skb.gso.kind {
        GsoType::None => return None,
        GsoType::TcpV4 => GSO_TCPV4,
        GsoType::TcpV6 => GSO_TCPV6,
        GsoType::UdpL4 => GSO_UDP_L4,
    };
    let headers = header_len(skb, skb.gso.kind, start.into())?;
    if skb.gso.size == 0 || headers == skb.len() {
        return None;
    }
    let hdr = VirtioNetHdr {
        flags: F_NEEDS_CSUM,
        gso_type: gso_type | if skb.gso.ecn { GSO_ECN } else { 0 },
        hdr_len: headers.try_into().ok()?,
        gso_size: skb.gso.size,
        csum_start: start,
        csum_offset: offset,
        num_buffers: 0,
    };
    let segment = usize::from(skb.gso.size).min(skb.len() - headers);
    Some((hdr, headers + segment))
}

/// What a device may say of packets that it coalesced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestTso {
    features: Feature,
}

/// The device says what it must not say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGso;

impl GuestTso {
    /// With these features negotiated.
    pub fn new(features: Feature) -> Self {
        Self { features }
    }

    /// The segmentation that `hdr` gives the received packet `skb`, whose checksum state is known already.
    #[inline]
    pub fn to_skb(self, hdr: VirtioNetHdr, skb: &SkBuff) -> Result<Gso, BadGso> {
        if hdr.gso_type == GSO_NONE {
            return Ok(Gso::NONE);
        }
        // GUEST_ECN is not negotiated: the device must not coalesce what has CWR (5.1.6.4.1).
        let (kind, feature) = match hdr.gso_type {
            GSO_TCPV4 => (GsoType::TcpV4, Feature::GUEST_TSO4),
            GSO_TCPV6 => (GsoType::TcpV6, Feature::GUEST_TSO6),
            _ => return Err(BadGso),
        };
        let CsumState::Partial { start, offset } = skb.csum else {
            return Err(BadGso);
        };
        let headers = header_len(skb, kind, start.into()).ok_or(BadGso)?;
        let payload = skb.len() - headers;
        if !self.features.contains(feature)
            || offset != TCP_CHECK
            || hdr.gso_size == 0
            || payload == 0
            || skb.len() > MAX_GSO_FRAME
        {
            return Err(BadGso);
        }
        let segs = payload.div_ceil(hdr.gso_size.into());
        Ok(Gso {
            kind,
            size: hdr.gso_size,
            // At most MAX_GSO_FRAME: no more than 16 bits hold.
            segs: segs.try_into().unwrap_or(u16::MAX),
            ..Gso::NONE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TCP over IPv4 with `payload` bytes in segments of 100.
    fn large(payload: usize) -> SkBuff {
        let mut bytes = vec![0; 54 + payload];
        bytes[34 + TCP_OFFSET] = 5 << 4;
        let mut skb = SkBuff::from_vec(bytes);
        skb.csum = CsumState::Partial {
            start: 34,
            offset: TCP_CHECK,
        };
        skb.gso = Gso {
            kind: GsoType::TcpV4,
            size: 100,
            segs: payload.div_ceil(100) as u16,
            ..Gso::NONE
        };
        skb
    }

    #[test]
    fn both_ways_are_each_others_inverse() {
        let (hdr, longest) = from_skb(&large(250)).unwrap();
        assert_eq!((hdr.hdr_len, hdr.gso_size, longest), (54, 100, 154));
        let all = GuestTso::new(Feature::SUPPORTED);
        assert_eq!(all.to_skb(hdr, &large(250)), Ok(large(250).gso));
        let tso6 = GuestTso::new(Feature::GUEST_TSO6);
        assert_eq!(tso6.to_skb(hdr, &large(250)), Err(BadGso));
        let ecn = VirtioNetHdr {
            gso_type: GSO_TCPV4 | GSO_ECN,
            ..hdr
        };
        assert_eq!(all.to_skb(ecn, &large(250)), Err(BadGso));
    }

    #[test]
    fn what_is_not_as_it_says_is_refused() {
        let refused = |change: fn(&mut SkBuff)| {
            let mut skb = large(250);
            let hdr = from_skb(&skb).unwrap().0;
            change(&mut skb);
            assert_eq!(from_skb(&skb), None);
            let all = GuestTso::new(Feature::SUPPORTED);
            all.to_skb(hdr, &skb) == Err(BadGso)
        };
        assert!(refused(|skb| skb.csum = CsumState::None));
        assert!(refused(|skb| skb.trim(54)));
        assert!(refused(|skb| skb.trim(53)));
        assert!(refused(|skb| skb.data_mut()[34 + TCP_OFFSET] = 4 << 4));
        let mut no_size = large(250);
        no_size.gso.size = 0;
        assert_eq!(from_skb(&no_size), None);
    }

    #[test]
    fn segmentation_needs_checksums_and_pieces() {
        let all = net_features(Feature::SUPPORTED, true);
        assert!(all.tso4 && all.tso6 && all.tso_ecn && all.uso);
        for few in [
            net_features(Feature::SUPPORTED, false),
            net_features(!Feature::CSUM, true),
            net_features(Feature::BASIC, true),
        ] {
            assert!(!(few.tso4 || few.tso6 || few.tso_ecn || few.uso));
        }
    }
}
