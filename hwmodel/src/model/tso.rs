//! Segmentation of TCP and UDP super-frames (virtio 5.1.6.2: HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_USO).
//!
//! What is repeated in front of each segment is told by the frame's own headers; `hdr_len` is not
//! relied on (5.1.6.2.2).

use super::{
    csum::{fold, sum},
    hdr::{F_NEEDS_CSUM, NetHdr, gso},
    parse::{Packet, TCP, UDP, be16, be32},
    spec::feature,
};

/// Longest super-frame: Ethernet header, two VLAN tags, IPv6 header and 65,535 bytes behind it.
pub(super) const MAX_FRAME: usize = 14 + 8 + 40 + 65_535;
/// Longest headers that are repeated, Ethernet included: what the RTL keeps of a frame.
const MAX_HEADERS: usize = 496;

/// Bits of byte 13 of a TCP header.
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Why a super-frame cannot be segmented: the frame is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GsoError {
    /// `gso_type` is not one of the specification's, or its feature was not negotiated.
    #[error("gso_type {0:#x}")]
    Type(u8),
    /// NEEDS_CSUM is not set (5.1.6.2.1: the driver MUST).
    #[error("without NEEDS_CSUM")]
    NoChecksum,
    /// `gso_size` is 0.
    #[error("gso_size is 0")]
    NoSize,
    /// The headers are not those of `gso_type`, are not all there, are too long to be kept, or do not
    /// say the final destination.
    #[error("headers do not fit gso_type {0:#x}")]
    Headers(u8),
    /// `csum_start` or `csum_offset` is not where the headers have the checksum.
    #[error("checksum at {0} + {1}")]
    ChecksumPlace(u16, u16),
    /// A segment would be longer than a frame may be.
    #[error("segments of {0} bytes")]
    TooLong(usize),
}

/// Where the parts of a super-frame are.
struct Plan {
    packet: Packet,
    /// Bytes of all headers.
    headers: usize,
    /// Offset of the transport checksum.
    csum: usize,
}

/// Cuts `frame` into frames of at most `max_frame` bytes that are complete in all fields, and gives
/// them to `emit` in order. Returns how many.
pub(super) fn segment(
    frame: &[u8],
    hdr: &NetHdr,
    features: u64,
    max_frame: usize,
    mut emit: impl FnMut(Vec<u8>),
) -> Result<u64, GsoError> {
    let plan = plan(frame, hdr, features)?;
    let size = usize::from(hdr.gso_size);
    let (headers, payload) = frame.split_at(plan.headers);
    let longest = plan.headers + size.min(payload.len());
    if longest > max_frame {
        return Err(GsoError::TooLong(longest));
    }
    let pieces = payload.len().div_ceil(size).max(1);
    for index in 0..pieces {
        let from = index * size;
        let piece = &payload[from..payload.len().min(from + size)];
        let mut out = Vec::with_capacity(headers.len() + piece.len());
        out.extend_from_slice(headers);
        out.extend_from_slice(piece);
        let last = index + 1 == pieces;
        finish(&mut out, &plan, index, from, last);
        emit(out);
    }
    Ok(pieces as u64)
}

/// Checks the header's fields against the frame.
fn plan(frame: &[u8], hdr: &NetHdr, features: u64) -> Result<Plan, GsoError> {
    let ecn = hdr.gso_type & gso::ECN != 0;
    let (ipv6, protocol, needed) = match hdr.gso_type & !gso::ECN {
        gso::TCPV4 => (Some(false), TCP, feature::HOST_TSO4),
        gso::TCPV6 => (Some(true), TCP, feature::HOST_TSO6),
        gso::UDP_L4 if !ecn => (None, UDP, feature::HOST_USO),
        _ => return Err(GsoError::Type(hdr.gso_type)),
    };
    let needed = needed | if ecn { feature::HOST_ECN } else { 0 };
    if features & needed != needed {
        return Err(GsoError::Type(hdr.gso_type));
    }
    if hdr.flags & F_NEEDS_CSUM == 0 {
        return Err(GsoError::NoChecksum);
    }
    if hdr.gso_size == 0 {
        return Err(GsoError::NoSize);
    }
    let wrong = GsoError::Headers(hdr.gso_type);
    let packet = Packet::parse(frame, false).ok_or(wrong)?;
    let version_fits = ipv6.is_none_or(|ipv6| ipv6 == packet.ipv6);
    if !version_fits || packet.protocol != protocol || packet.fragment {
        return Err(wrong);
    }
    let (transport, csum_offset) = if protocol == TCP {
        (packet.tcp_header(frame).ok_or(wrong)?, 16)
    } else {
        (8, 6)
    };
    let headers = packet.l4 + transport;
    if headers > frame.len().min(MAX_HEADERS) || packet.destination.is_none() {
        return Err(wrong);
    }
    let place = (usize::from(hdr.csum_start), hdr.csum_offset);
    if place != (packet.l4, csum_offset) {
        return Err(GsoError::ChecksumPlace(hdr.csum_start, hdr.csum_offset));
    }
    let csum = packet.l4 + usize::from(csum_offset);
    Ok(Plan {
        packet,
        headers,
        csum,
    })
}

/// Makes segment `index`, whose payload begins at `from`, a packet of its own.
fn finish(out: &mut [u8], plan: &Plan, index: usize, from: usize, last: bool) {
    let Packet { l3, l4, ipv6, .. } = plan.packet;
    let transport = out.len() - l4;
    let put16 = |out: &mut [u8], at: usize, value: u16| {
        out[at..at + 2].copy_from_slice(&value.to_be_bytes());
    };
    if ipv6 {
        let payload_len = out.len() - l3 - 40;
        put16(out, l3 + 4, payload_len as u16);
    } else {
        let total_len = out.len() - l3;
        put16(out, l3 + 2, total_len as u16);
        let id = be16(out, l3 + 4).unwrap_or_default();
        put16(out, l3 + 4, id.wrapping_add(index as u16));
        put16(out, l3 + 10, 0);
        let csum = !fold(sum(&out[l3..l4]));
        put16(out, l3 + 10, csum);
    }
    if plan.packet.protocol == TCP {
        let seq = be32(out, l4 + 4).unwrap_or_default();
        let seq = seq.wrapping_add(from as u32);
        out[l4 + 4..l4 + 8].copy_from_slice(&seq.to_be_bytes());
        let flags = &mut out[l4 + 13];
        if !last {
            *flags &= !(FIN | PSH);
        }
        // RFC 3168 6.1.2: a reduced window is told once.
        if index > 0 {
            *flags &= !CWR;
        }
    } else {
        put16(out, l4 + 4, transport as u16);
    }
    put16(out, plan.csum, 0);
    let pseudo = plan.packet.pseudo_sum(out, transport);
    let csum = !fold(sum(&out[l4..]) + u64::from(pseudo));
    let none = csum == 0 && plan.packet.protocol == UDP;
    put16(out, plan.csum, if none { 0xffff } else { csum });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::csum::verified;

    const ALL: u64 =
        feature::HOST_TSO4 | feature::HOST_TSO6 | feature::HOST_USO | feature::HOST_ECN;

    /// A super-frame: VLAN tag, IPv4 with options or IPv6 with destination options, TCP with options
    /// or UDP, and `payload` bytes.
    fn super_frame(ipv6: bool, tcp: bool, payload: usize) -> (Vec<u8>, NetHdr) {
        let mut frame = vec![2; 12];
        frame.extend([0x81, 0, 0, 9]);
        let protocol = if tcp { TCP } else { UDP };
        if ipv6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 60, 64]);
            frame.extend([0xab; 32]);
            frame.extend([protocol, 0, 1, 4, 0, 0, 0, 0]);
        } else {
            frame.extend([8, 0, 0x46, 0, 0, 0, 0xff, 0xfe, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 1]);
        }
        let start = frame.len();
        let (csum_offset, gso_type) = match (tcp, ipv6) {
            (true, false) => (16, gso::TCPV4),
            (true, true) => (16, gso::TCPV6),
            (false, _) => (6, gso::UDP_L4),
        };
        if tcp {
            frame.extend([0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 1]);
            frame.extend([0x80, CWR | 0x10 | PSH | FIN, 1, 0, 0, 0, 0, 0]);
            frame.extend([1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]);
        } else {
            frame.extend([0x12, 0x34, 0, 53, 0, 0, 0, 0]);
        }
        frame.extend((0..payload).map(|i| i as u8));
        let hdr = NetHdr {
            flags: F_NEEDS_CSUM,
            gso_type,
            gso_size: 1000,
            csum_start: start as u16,
            csum_offset,
            ..NetHdr::default()
        };
        (frame, hdr)
    }

    fn cut(frame: &[u8], hdr: &NetHdr) -> Result<Vec<Vec<u8>>, GsoError> {
        let mut out = Vec::new();
        let count = segment(frame, hdr, ALL, 1518, |f| out.push(f))?;
        assert_eq!(count, out.len() as u64);
        Ok(out)
    }

    // shows (model): 5.1.6.2-2, 5.1.6.2-3
    #[test]
    fn segments_are_whole_packets() {
        for (ipv6, tcp) in [(false, true), (true, true), (false, false), (true, false)] {
            for payload in [1, 999, 1000, 1001, 3500, 65_000] {
                let (frame, hdr) = super_frame(ipv6, tcp, payload);
                let start = usize::from(hdr.csum_start);
                let headers = start + if tcp { 32 } else { 8 };
                let out = cut(&frame, &hdr).unwrap();
                assert_eq!(out.len(), payload.div_ceil(1000));
                let mut joined = Vec::new();
                for (index, segment) in out.iter().enumerate() {
                    assert!(verified(segment), "{ipv6} {tcp} {payload} {index}");
                    joined.extend_from_slice(&segment[headers..]);
                    let last = index + 1 == out.len();
                    if !ipv6 {
                        let id = be16(segment, 22).unwrap();
                        assert_eq!(id, 0xfffe_u16.wrapping_add(index as u16));
                    }
                    if tcp {
                        let seq = be32(segment, start + 4).unwrap();
                        assert_eq!(seq, 0xffff_fff0_u32.wrapping_add(1000 * index as u32));
                        let flags = segment[start + 13];
                        assert_eq!(flags & (FIN | PSH) != 0, last);
                        assert_eq!(flags & CWR != 0, index == 0);
                        assert_eq!(flags & 0x10, 0x10);
                    }
                }
                assert_eq!(joined, frame[headers..]);
            }
        }
    }

    #[test]
    fn illegal_fields_are_told() {
        let (frame, hdr) = super_frame(false, true, 3000);
        let change = |f: fn(&mut NetHdr)| {
            let mut hdr = hdr;
            f(&mut hdr);
            cut(&frame, &hdr).unwrap_err()
        };
        assert_eq!(change(|h| h.gso_size = 0), GsoError::NoSize);
        assert_eq!(change(|h| h.flags = 0), GsoError::NoChecksum);
        for kind in [2, 3, 6, 0x40, gso::ECN, gso::ECN | gso::UDP_L4] {
            let hdr = NetHdr {
                gso_type: kind,
                ..hdr
            };
            assert_eq!(cut(&frame, &hdr).unwrap_err(), GsoError::Type(kind));
        }
        let six = change(|h| h.gso_type = gso::TCPV6);
        assert_eq!(six, GsoError::Headers(gso::TCPV6));
        let udp = change(|h| h.gso_type = gso::UDP_L4);
        assert_eq!(udp, GsoError::Headers(gso::UDP_L4));
        assert!(matches!(
            change(|h| h.csum_start += 2),
            GsoError::ChecksumPlace(..)
        ));
        assert!(matches!(
            change(|h| h.csum_offset = 6),
            GsoError::ChecksumPlace(..)
        ));
        assert!(matches!(
            change(|h| h.gso_size = 1460),
            GsoError::TooLong(_)
        ));
        for len in 0..usize::from(hdr.csum_start) + 32 {
            let error = cut(&frame[..len], &hdr).unwrap_err();
            assert_eq!(error, GsoError::Headers(gso::TCPV4), "{len} bytes");
        }
    }

    #[test]
    fn each_type_needs_its_feature() {
        for (ipv6, tcp, ecn, needed) in [
            (false, true, false, feature::HOST_TSO4),
            (true, true, false, feature::HOST_TSO6),
            (true, true, true, feature::HOST_ECN),
            (true, false, false, feature::HOST_USO),
        ] {
            let (frame, mut hdr) = super_frame(ipv6, tcp, 2000);
            if ecn {
                hdr.gso_type |= gso::ECN;
            }
            let run = |features| segment(&frame, &hdr, features, 1518, |_| ());
            assert_eq!(run(ALL), Ok(2));
            assert_eq!(run(ALL & !needed), Err(GsoError::Type(hdr.gso_type)));
        }
    }

    /// RFC 8200 8.1, RFC 8754 2: the first of the segment list is the final destination.
    #[test]
    fn pseudo_header_has_the_final_destination() {
        for (kind, units, known) in [(4, 2, true), (2, 2, true), (4, 1, false), (0, 2, false)] {
            let (mut frame, mut hdr) = super_frame(true, true, 1500);
            let l4 = usize::from(hdr.csum_start);
            let mut routing = vec![TCP, units, kind, 1, 0, 0, 0, 0];
            routing.extend(vec![0x5e; 8 * usize::from(units)]);
            frame[l4 - 8] = 43;
            hdr.csum_start += routing.len() as u16;
            frame.splice(l4..l4, routing);
            let out = cut(&frame, &hdr);
            assert_eq!(out.is_ok(), known, "type {kind}");
            for mut segment in out.into_iter().flatten() {
                // As the final destination sees it.
                segment[l4 + 3] = 0;
                segment.copy_within(l4 + 8..l4 + 24, 18 + 24);
                assert!(verified(&segment));
            }
        }
    }

    #[test]
    fn headers_are_kept_up_to_a_limit() {
        for (units, legal) in [(48, true), (49, false)] {
            let (mut frame, mut hdr) = super_frame(true, true, 1500);
            let l4 = usize::from(hdr.csum_start);
            let mut options = vec![TCP, units];
            options.resize(8 + 8 * usize::from(units), 0);
            frame[l4 - 8] = 60;
            hdr.csum_start += options.len() as u16;
            frame.splice(l4..l4, options);
            assert_eq!(cut(&frame, &hdr).is_ok(), legal, "{units} units");
        }
    }

    // shows (model): 5.1.6.2.2-3
    #[test]
    fn hdr_len_is_not_relied_on() {
        let (frame, hdr) = super_frame(true, true, 2500);
        let right = cut(&frame, &hdr).unwrap();
        for hdr_len in [0, 1, 60_000] {
            assert_eq!(cut(&frame, &NetHdr { hdr_len, ..hdr }).unwrap(), right);
        }
    }
}
