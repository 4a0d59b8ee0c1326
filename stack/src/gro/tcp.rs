//! `tcp_gro_receive()`, `tcp_gro_complete()`.

use super::network::network_flush;
use super::{Held, Judgement, Packet};
use crate::checksum;
use crate::gso::{TCP_CHECK, tcp_flag};
use crate::ipv4::header::put16;
use crate::skb::GsoType;

/// What the comparisons need of a header.
struct Header {
    seq: u32,
    ack: u32,
    /// Header length, reserved bits, flags and window (`tcp_flag_word()`).
    word: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, w0, w1, w2, w3] =
            bytes.first_chunk::<16>()?;
        Some(Self {
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            word: u32::from_be_bytes([w0, w1, w2, w3]),
        })
    }

    /// The flags, byte 13.
    fn flags(&self) -> u8 {
        (self.word >> 16) as u8
    }
}

/// `held` is the flow's packet, if there is one.
pub(super) fn gro_receive(held: Option<&mut Held>, packet: &mut Packet) -> Judgement {
    let Some(th) = Header::read(packet.header()) else {
        return Judgement {
            merged: false,
            flush_held: false,
            flush: true,
        };
    };
    let (len, gso_size) = (packet.payload_len(), usize::from(packet.skb.gso.size));
    let found = held.is_some();
    // The size that the packet is measured by: 1 when it is not compared with anything.
    let (mut size, mut merged) = (1, false);
    if let Some(held) = held {
        let mut flush = follows(held, packet, &th).is_none();
        // The kernel looks at the identification whatever else is wrong; it notes whether the sender counts.
        flush |= network_flush(held, packet);
        if !flush && held.append(packet) {
            merged = true;
            size = held.size;
            // The last packet's FIN and PSH are the whole one's.
            let at = held.layout.transport + 13;
            if let Some(flags) = held.skb.data_mut().get_mut(at) {
                *flags |= th.flags() & (tcp_flag::FIN | tcp_flag::PSH);
            }
        }
    }
    let short = match gso_size {
        0 => len < size,
        gso_size => len != usize::from(packet.count) * gso_size,
    };
    let ends = short
        || th.flags()
            & (tcp_flag::URG | tcp_flag::PSH | tcp_flag::RST | tcp_flag::SYN | tcp_flag::FIN)
            != 0;
    Judgement {
        merged,
        flush_held: found && (!merged || ends),
        flush: packet.flush || ends,
    }
}

/// Whether `packet` is what comes after `held` in the same stream, with the same options, flags, window and acknowledgement.
fn follows(held: &Held, packet: &Packet, th: &Header) -> Option<()> {
    let before = Header::read(held.header())?;
    let (len, gso_size) = (packet.payload_len(), usize::from(packet.skb.gso.size));
    let ignored = u32::from(tcp_flag::FIN | tcp_flag::PSH) << 16;
    let same = (th.word ^ before.word) & !ignored == 0
        && th.ack == before.ack
        && held.header().get(20..) == packet.header().get(20..);
    let fits = match gso_size {
        0 => (1..=held.size).contains(&len),
        gso_size => gso_size == held.size,
    };
    let next = before.seq.wrapping_add(held.payload_len() as u32) == th.seq;
    (same && fits && next).then_some(())
}

/// The kind of segmentation that takes it apart, the checksum's place, and whether CWR is set.
pub(super) fn gro_complete(header: &mut [u8], pseudo: u32, ipv6: bool) -> (GsoType, u16, bool) {
    put16(header, TCP_CHECK, checksum::fold(pseudo));
    let cwr = header
        .get(13)
        .is_some_and(|flags| flags & tcp_flag::CWR != 0);
    let kind = if ipv6 { GsoType::TcpV6 } else { GsoType::TcpV4 };
    (kind, TCP_CHECK as u16, cwr)
}
