//! Segmentation in software (`skb_gso_segment()`): one large packet becomes the packets that it stands for.
//!
//! Every segment gets a copy of the headers with its own lengths, IPv4 identification, TCP sequence number and flags; the payload is
//! referred to where the device gathers, and copied where it does not. Checksums are left to the device ([`CsumState::Partial`]) and
//! filled in by `validate_xmit_skb()` when it cannot.

mod layout;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use layout::Layout;

use crate::checksum;
use crate::ipv4::header::{put16, send_check};
use crate::ipv4::{IPPROTO_TCP, IPPROTO_UDP};
use crate::skb::{CsumState, Gso, GsoType, SkBuff};

/// TCP flags in byte 13 of the header.
pub(crate) mod tcp_flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const URG: u8 = 0x20;
    pub const CWR: u8 = 0x80;
}

/// Offset of the checksum in a TCP header.
pub(crate) const TCP_CHECK: usize = 16;
/// Offset of the checksum in a UDP header.
pub(crate) const UDP_CHECK: usize = 6;

/// Why a packet cannot be segmented (`-EINVAL`): its headers are not what its [`Gso`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadGso;

/// A packet about to be segmented, with its headers looked at.
pub(crate) struct Segmenter<'a> {
    skb: &'a SkBuff,
    layout: Layout,
    /// Bytes from data to the network header.
    mac_len: usize,
    /// Bytes from data to the payload.
    header_len: usize,
    /// Refer to the payload instead of copying it.
    sg: bool,
}

impl<'a> Segmenter<'a> {
    /// `skb`'s data starts at the network header or before it (at the Ethernet header), and the headers are linear.
    pub fn new(skb: &'a SkBuff, sg: bool) -> Result<Self, BadGso> {
        let mac_len = usize::try_from(skb.network_offset()).map_err(|_| BadGso)?;
        let layout = Layout::parse(skb.network_bytes()).ok_or(BadGso)?;
        let fits = match skb.gso.kind {
            GsoType::None => false,
            GsoType::TcpV4 => !layout.ipv6 && layout.protocol == IPPROTO_TCP,
            GsoType::TcpV6 => layout.ipv6 && layout.protocol == IPPROTO_TCP,
            GsoType::UdpL4 => layout.protocol == IPPROTO_UDP,
        };
        let header_len = mac_len + layout.payload;
        if !fits || skb.gso.size == 0 || header_len > skb.headlen() {
            return Err(BadGso);
        }
        Ok(Self {
            skb,
            layout,
            mac_len,
            header_len,
            sg,
        })
    }

    /// Number of segments, at least 1.
    pub fn count(&self) -> usize {
        let payload = self.skb.len() - self.header_len;
        payload.div_ceil(usize::from(self.skb.gso.size)).max(1)
    }

    /// Bytes that segment `index` needs in its linear part.
    pub fn linear_len(&self, index: usize) -> usize {
        let (_, len) = self.range(index);
        self.header_len + if self.sg { 0 } else { len }
    }

    /// Where the payload of segment `index` begins in the packet's, and its length.
    fn range(&self, index: usize) -> (usize, usize) {
        let size = usize::from(self.skb.gso.size);
        let payload = self.skb.len() - self.header_len;
        let at = (index * size).min(payload);
        (at, size.min(payload - at))
    }

    /// Fills `segment`, an empty packet with tailroom for [`linear_len`](Self::linear_len) bytes, with segment `index`. All fields but
    /// its number are those of the large packet. `None`: there was no room.
    pub fn fill(&self, index: usize, segment: &mut SkBuff) -> Option<()> {
        let (at, len) = self.range(index);
        let id = segment.id;
        segment.copy_meta(self.skb);
        segment.id = id;
        segment.parent = self.skb.id;
        segment.gso = Gso::default();
        segment.csum_valid = false;
        segment.put_slice(self.skb.data().get(..self.header_len)?)?;
        if self.sg {
            self.skb.share_range(self.header_len + at, len, segment);
        } else {
            let payload = segment.put(len)?;
            self.skb.skb_copy_bits(self.header_len + at, payload)?;
        }
        if self.skb.mac_offset() == 0 {
            segment.reset_mac_header();
        }
        segment.set_network_header(self.mac_len);
        segment.set_transport_header(self.mac_len + self.layout.transport);
        self.mend_headers(index, at, len, segment);
        Some(())
    }

    fn mend_headers(&self, index: usize, at: usize, len: usize, segment: &mut SkBuff) {
        let gso = self.skb.gso;
        let whole = self.skb.len() - self.mac_len;
        let (transport, payload) = (self.layout.transport, self.layout.payload);
        let pseudo = self.pseudo_sum(whole - transport, payload - transport + len);
        let last = index + 1 == self.count();
        let ip_len = payload + len;
        let packet = segment.data_mut().get_mut(self.mac_len..);
        let packet = packet.unwrap_or_default();
        if self.layout.ipv6 {
            put16(packet, 4, (ip_len - 40) as u16);
        } else {
            // inet_gso_segment(): consecutive identifications, unless they were all the same.
            if !gso.fixed_id
                && let Some(&[hi, lo]) = packet.get(4..6).and_then(<[u8]>::first_chunk)
            {
                put16(
                    packet,
                    4,
                    u16::from_be_bytes([hi, lo]).wrapping_add(index as u16),
                );
            }
            put16(packet, 2, ip_len as u16);
            send_check(packet, self.layout.network_len);
        }
        let Some(header) = packet.get_mut(transport..payload) else {
            return;
        };
        let check = if self.layout.protocol == IPPROTO_TCP {
            tcp_segment_header(header, at as u32, index == 0, last, gso.accecn);
            TCP_CHECK
        } else {
            put16(header, 4, (8 + len) as u16);
            UDP_CHECK
        };
        put16(header, check, checksum::fold(pseudo));
        segment.csum = CsumState::Partial {
            start: (self.mac_start() + transport) as u16,
            offset: check as u16,
        };
    }

    /// Bytes from the Ethernet header to the network header: what [`CsumState::Partial`] counts from. Without an Ethernet header in
    /// front one without tags is to come.
    fn mac_start(&self) -> usize {
        match self.mac_len {
            0 => crate::xmit::ETH_HLEN,
            n => n,
        }
    }

    /// Sum of a segment's pseudo header. It is mended from the packet's if that is in the checksum field, as addresses of a routing
    /// header would be wrong.
    fn pseudo_sum(&self, old_len: usize, new_len: usize) -> u32 {
        let network = self.skb.network_bytes();
        if let CsumState::Partial { .. } = self.skb.csum {
            let at = self.layout.transport
                + match self.layout.protocol {
                    IPPROTO_TCP => TCP_CHECK,
                    _ => UDP_CHECK,
                };
            if let Some(&[hi, lo]) = network.get(at..).and_then(<[u8]>::first_chunk) {
                let old = u32::from(u16::from_be_bytes([hi, lo]));
                return checksum::add(checksum::sub(old, old_len as u32), new_len as u32);
            }
        }
        self.layout.pseudo_sum(network, new_len)
    }
}

/// `tcp_gso_segment()`: FIN and PSH on the last segment only, CWR on the first only, as the sender of separate segments would have it
/// (RFC 3168 6.1.2), but for Accurate ECN, where it is part of a counter.
fn tcp_segment_header(header: &mut [u8], at: u32, first: bool, last: bool, accecn: bool) {
    if let Some(seq) = header.get_mut(4..8).and_then(<[u8]>::first_chunk_mut) {
        *seq = u32::from_be_bytes(*seq).wrapping_add(at).to_be_bytes();
    }
    if let Some(flags) = header.get_mut(13) {
        if !last {
            *flags &= !(tcp_flag::FIN | tcp_flag::PSH);
        }
        if !first && !accecn {
            *flags &= !tcp_flag::CWR;
        }
    }
}

/// `skb_gso_validate_network_len()`: whether each segment of a large packet, from its network header on, has at most `mtu` bytes. Data
/// starts at the network header. `false` for ordinary packets.
pub(crate) fn skb_gso_validate_network_len(skb: &SkBuff, mtu: usize) -> bool {
    skb.gso.kind != GsoType::None
        && Layout::parse(skb.network_bytes())
            .is_some_and(|layout| layout.payload + usize::from(skb.gso.size) <= mtu)
}
