//! `udp_gro_receive_segment()`, `udp_gro_complete_segment()`: datagrams of one size, for sockets that asked (`UDP_GRO`) and for forwarding.

use super::network::network_flush;
use super::{Held, Judgement, Packet};
use crate::checksum;
use crate::gso::UDP_CHECK;
use crate::ipv4::header::put16;
use crate::skb::GsoType;

/// Datagrams in one packet (`UDP_GRO_CNT_MAX`).
const UDP_GRO_CNT_MAX: u16 = 64;
const UDP_HLEN: usize = 8;

/// Length field of a header.
fn ulen(header: &[u8]) -> usize {
    match header.first_chunk::<UDP_HLEN>() {
        Some(&[.., l0, l1, _, _]) => usize::from(u16::from_be_bytes([l0, l1])),
        None => 0,
    }
}

/// Whether a datagram may be merged at all: with a checksum, a right one, and without padding.
pub(super) fn acceptable(packet: &mut Packet) -> bool {
    let without = packet.header().get(UDP_CHECK..) == Some(&[0, 0]);
    let len = ulen(packet.header());
    !without
        && len > UDP_HLEN
        && len == packet.skb.len() - packet.layout.transport
        && (packet.flush || packet.checksum_validate())
}

/// `held` is the flow's packet, if there is one.
pub(super) fn gro_receive(held: Option<&mut Held>, packet: &mut Packet) -> Judgement {
    let Some(held) = held else {
        return Judgement {
            merged: false,
            flush_held: false,
            flush: packet.flush,
        };
    };
    let (len, first) = (ulen(packet.header()), ulen(held.header()));
    let flush = network_flush(held, packet);
    let merged = len <= first && !flush && held.append(packet);
    Judgement {
        merged,
        // A shorter datagram is the last one.
        flush_held: !merged || len != first || held.count >= UDP_GRO_CNT_MAX,
        flush: packet.flush,
    }
}

/// As in `tcp`; `len`: bytes of header and payload.
pub(super) fn gro_complete(header: &mut [u8], pseudo: u32, len: usize) -> (GsoType, u16, bool) {
    put16(header, 4, len as u16);
    put16(header, UDP_CHECK, checksum::fold(pseudo));
    (GsoType::UdpL4, UDP_CHECK as u16, false)
}
