//! `inet_gro_receive()`, `ipv6_gro_receive()`, and what both say of packets that follow each other.

use super::{Held, Packet};
use crate::checksum;
use crate::gso::Layout;
use crate::ipv4::header::{IP_DF, Ipv4Header, put16, send_check};
use crate::ipv6::IPV6_HLEN;
use crate::skb::SkBuff;

/// The headers of a packet that may be merged, and whether its flow ends with it. `None`: it goes up at once, without a look at what is
/// held.
pub(super) fn gro_receive(skb: &SkBuff) -> Option<(Layout, bool)> {
    let bytes = skb.data();
    let layout = Layout::parse(bytes)?;
    let flush = if layout.ipv6 {
        let payload_len = u16::from_be_bytes([bytes[4], bytes[5]]);
        IPV6_HLEN + usize::from(payload_len) != skb.len()
    } else {
        let header = Ipv4Header::new(bytes)?;
        if header.header_len() != 20 || checksum::checksum(bytes.get(..20)?) != 0 {
            return None;
        }
        header.tot_len() != skb.len() || header.frag_off() & !IP_DF != 0
    };
    Some((layout, flush))
}

/// Addresses and, in IPv6, flow label and extension headers.
pub(super) fn same_network_flow(held: &Held, packet: &Packet) -> bool {
    let (a, b) = (held.skb.data(), packet.skb.data());
    let same = |from: usize, to: usize| a.get(from..to) == b.get(from..to);
    if !packet.layout.ipv6 {
        return same(12, 20);
    }
    // All but traffic class, payload length and hop limit.
    let label = |p: &[u8]| {
        p.first_chunk::<4>()
            .map(|w| u32::from_be_bytes(*w) & 0xf00f_ffff)
    };
    held.layout.transport == packet.layout.transport
        && label(a) == label(b)
        && same(6, 7)
        && same(8, held.layout.transport)
}

/// `gro_receive_network_flush()`: whether `packet`'s network header is not what must follow `held`'s.
pub(super) fn network_flush(held: &mut Held, packet: &Packet) -> bool {
    let (a, b) = (held.skb.data(), packet.skb.data());
    if packet.layout.ipv6 {
        // ipv6_gro_flush()
        let class = |p: &[u8]| {
            p.first_chunk::<2>()
                .map(|w| u16::from_be_bytes(*w) & 0x0ff0)
        };
        return class(a) != class(b) || a.get(7) != b.get(7);
    }
    // inet_gro_flush()
    let (Some(a), Some(b)) = (Ipv4Header::new(a), Ipv4Header::new(b)) else {
        return true;
    };
    if a.ttl() != b.ttl() || a.tos() != b.tos() || (a.frag_off() ^ b.frag_off()) & IP_DF != 0 {
        return true;
    }
    let offset = b.id().wrapping_sub(a.id());
    // The second packet tells whether the sender counts.
    if held.count == 1 && offset == 0 {
        held.fixed_id = true;
    }
    offset != if held.fixed_id { 0 } else { held.count }
}

/// `inet_gro_complete()`, `ipv6_gro_complete()`: `len` bytes are there from the network header on.
pub(super) fn gro_complete(packet: &mut [u8], layout: &Layout, len: usize) {
    if layout.ipv6 {
        put16(packet, 4, (len - IPV6_HLEN) as u16);
    } else {
        put16(packet, 2, len as u16);
        send_check(packet, layout.network_len);
    }
}
