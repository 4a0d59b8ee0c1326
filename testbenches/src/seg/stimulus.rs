//! Super-frames for `tx_seg`: all header forms, with what a driver may leave wrong, and illegal ones.

use super::{
    GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, MAX_HEADERS, NEEDS_CSUM, NetHdr,
    reference::{self, Parts},
};
use crate::frames::{self, Shape};
use rand::{Rng, RngExt};

/// A frame with its header.
#[derive(Debug, Clone)]
pub(crate) struct SuperFrame {
    pub hdr: NetHdr,
    pub bytes: Vec<u8>,
    pub parts: Parts,
}

impl SuperFrame {
    /// Its segments, when its fields are legal; `None` when they are longer than `max_frame`.
    pub fn segments(&self, max_frame: usize) -> Option<Vec<Vec<u8>>> {
        let size = usize::from(self.hdr.gso_size);
        let payload = self.bytes.len() - self.parts.payload;
        let longest = self.parts.payload + size.min(payload);
        (longest <= max_frame).then(|| reference::segments(&self.bytes, &self.parts, size))
    }
}

/// A super-frame that must be segmented when its headers are not too long and its features are there.
/// Lengths, checksums and `hdr_len` are garbage: a device does not rely on them.
pub(crate) fn legal(shape: &Shape, gso_size: u16, rng: &mut impl Rng) -> SuperFrame {
    let frame = frames::build(shape, rng);
    let mut bytes = frame.bytes;
    let parts = Parts {
        ipv6: shape.ipv6,
        tcp: shape.tcp,
        l3: frame.l3,
        l4: frame.l4,
        payload: bytes.len() - shape.payload,
        destination: frame.l3 + if shape.ipv6 { 24 } else { 16 },
    };
    let garbage: [u8; 2] = rng.random();
    if shape.ipv6 {
        bytes[parts.l3 + 4..parts.l3 + 6].copy_from_slice(&garbage);
    } else {
        bytes[parts.l3 + 2..parts.l3 + 4].copy_from_slice(&garbage);
        bytes[parts.l3 + 10] = rng.random();
    }
    let field = parts.l4 + parts.csum_offset();
    bytes[field..field + 2].copy_from_slice(&rng.random::<[u8; 2]>());
    if shape.tcp {
        bytes[parts.l4 + 13] = rng.random();
        if rng.random_ratio(1, 4) {
            bytes[parts.l4 + 4..parts.l4 + 6].fill(0xff); // the sequence number will wrap
        }
    } else {
        bytes[parts.l4 + 4] = rng.random();
    }
    if !shape.ipv6 && rng.random_ratio(1, 4) {
        bytes[parts.l3 + 4] = 0xff; // the identification will wrap
    }
    let gso_type = match (shape.tcp, shape.ipv6) {
        (true, false) => GSO_TCPV4,
        (true, true) => GSO_TCPV6,
        (false, _) => GSO_UDP_L4,
    };
    let ecn = shape.tcp && rng.random_ratio(1, 3);
    let hdr = NetHdr {
        flags: NEEDS_CSUM | (rng.random::<u8>() & !NEEDS_CSUM & 0x7f),
        gso_type: gso_type | if ecn { GSO_ECN } else { 0 },
        hdr_len: rng.random(),
        gso_size,
        csum_start: parts.l4 as u16,
        csum_offset: parts.csum_offset() as u16,
        num_buffers: rng.random(),
    };
    SuperFrame { hdr, bytes, parts }
}

/// Any header form, up to 64 KiB now and then.
pub(crate) fn random_legal(rng: &mut impl Rng) -> SuperFrame {
    loop {
        let gso_size = match rng.random_range(0..10) {
            0 => rng.random_range(1..40),
            1 => rng.random_range(1..9000),
            2 => 1460,
            3 => 536,
            _ => rng.random_range(40..1400),
        };
        let most = match rng.random_range(0..12) {
            0 => 65_400.min(usize::from(gso_size) * 400),
            1 => 0,
            _ => (usize::from(gso_size) * 9).min(20_000),
        };
        let shape = Shape::random(rng, 0);
        // Extension headers take up to 8 KB of what the length field of IPv6 can say.
        let most = most.min(if shape.extensions == 0 {
            65_400
        } else {
            57_000
        });
        let shape = Shape {
            payload: rng.random_range(0..=most),
            ..shape
        };
        let mut frame = legal(&shape, gso_size, rng);
        // Segment boundaries that fall on the payload's end.
        if shape.payload > usize::from(gso_size) && rng.random_ratio(1, 4) {
            let whole = shape.payload - shape.payload % usize::from(gso_size);
            frame.bytes.truncate(frame.parts.payload + whole);
        }
        if frame.parts.payload <= MAX_HEADERS && frame.bytes.len() <= 65_500 {
            return frame;
        }
    }
}

/// A super-frame over IPv6 whose routing header of this type still has segments left, with `units` of
/// 8 bytes behind the first.
pub(crate) fn routed(kind: u8, units: u8, rng: &mut impl Rng) -> SuperFrame {
    let shape = Shape {
        ipv6: true,
        tcp: rng.random(),
        payload: rng.random_range(100..3000),
        ..Shape::default()
    };
    let mut frame = legal(&shape, 500, rng);
    let parts = &mut frame.parts;
    let at = parts.l3 + 40;
    let mut routing = vec![0; 8 + 8 * usize::from(units)];
    rng.fill_bytes(&mut routing);
    routing[0] = std::mem::replace(&mut frame.bytes[parts.l3 + 6], 43);
    routing[1] = units;
    routing[2] = kind;
    routing[3] = rng.random_range(1..=255);
    let added = routing.len();
    frame.bytes.splice(at..at, routing);
    parts.l4 += added;
    parts.payload += added;
    parts.destination = at + 8;
    frame.hdr.csum_start += added as u16;
    frame
}

/// Ways to be illegal.
pub(crate) const ILLEGAL: &[&str] = &[
    "gso_size 0",
    "NEEDS_CSUM not set",
    "csum_start elsewhere",
    "csum_offset elsewhere",
    "protocol of another type",
    "IP version of another type",
    "cut within the headers",
    "segments too long",
    "headers too long",
    "fragment",
    "data offset or IHL too small",
    "EtherType unknown",
    "three VLAN tags",
    "routing header unknown",
    "hop-by-hop not first",
];

/// Makes a legal super-frame illegal in the way with this number.
pub(crate) fn illegal(way: usize, max_frame: usize, rng: &mut impl Rng) -> SuperFrame {
    let mut frame = loop {
        let frame = random_legal(rng);
        if frame.bytes.len() < 20_000 {
            break frame;
        }
    };
    let parts = frame.parts;
    match ILLEGAL[way] {
        "gso_size 0" => frame.hdr.gso_size = 0,
        "NEEDS_CSUM not set" => frame.hdr.flags &= !NEEDS_CSUM,
        "csum_start elsewhere" => {
            frame.hdr.csum_start ^= 1 << rng.random_range(0..16);
        }
        "csum_offset elsewhere" => {
            frame.hdr.csum_offset ^= 1 << rng.random_range(0..16);
        }
        "protocol of another type" => {
            // Neither 6 nor 17, and no extension header.
            let at = parts.l3 + if parts.ipv6 { 6 } else { 9 };
            frame.bytes[at] = rng.random_range(61..=255);
        }
        "IP version of another type" => {
            if parts.tcp && rng.random() {
                frame.hdr.gso_type ^= GSO_TCPV4 ^ GSO_TCPV6;
            } else {
                frame.bytes[parts.l3] ^= 0x20;
            }
        }
        "cut within the headers" => {
            frame.bytes.truncate(rng.random_range(1..parts.payload));
        }
        "segments too long" => {
            let room = max_frame - parts.payload;
            frame.hdr.gso_size = rng.random_range(room as u16 + 1..=u16::MAX);
            let payload = rng.random_range(room + 1..room + 2000);
            frame.bytes.resize(parts.payload + payload, 0x5a);
        }
        "headers too long" => {
            frame = routed(43, rng.random_range(60..=255), rng);
            let at = frame.parts.l3 + 40;
            frame.bytes[at + 3] = 0; // Segments Left
        }
        "fragment" => {
            if parts.ipv6 {
                let at = parts.l3 + 40;
                let next = std::mem::replace(&mut frame.bytes[parts.l3 + 6], 44);
                frame.bytes.splice(at..at, [next, 0, 0, 0, 1, 2, 3, 4]);
                frame.hdr.csum_start += 8;
            } else {
                let fragment = 1u16 << rng.random_range(0..14);
                frame.bytes[parts.l3 + 6] = (fragment >> 8) as u8;
                frame.bytes[parts.l3 + 7] = fragment as u8;
            }
        }
        "data offset or IHL too small" => {
            if parts.ipv6 && !parts.tcp {
                frame.hdr.gso_size = 0; // has neither
            } else if parts.tcp {
                let doff: u8 = rng.random_range(0..5);
                frame.bytes[parts.l4 + 12] = doff << 4 | frame.bytes[parts.l4 + 12] & 15;
            } else {
                frame.bytes[parts.l3] = 0x40 | rng.random_range(0..5);
            }
        }
        "EtherType unknown" => frame.bytes[parts.l3 - 1] ^= 0x10,
        "three VLAN tags" => {
            let tags = (0..3).flat_map(|_| [0x81, 0, 0, 1]).collect::<Vec<u8>>();
            frame.bytes.splice(12..12, tags);
            frame.hdr.csum_start += 12;
        }
        "routing header unknown" => {
            frame = if rng.random() {
                routed(0, 4, rng)
            } else {
                routed(4, rng.random_range(0..2), rng)
            };
        }
        _ => {
            // Destination options, then hop-by-hop (RFC 8200 4.1).
            frame = routed(0, 1, rng);
            let at = frame.parts.l3 + 40;
            frame.bytes[at - 34] = 60;
            let next = std::mem::replace(&mut frame.bytes[at], 0);
            frame.bytes[at + 1] = 0;
            frame.bytes[at + 8] = next;
            frame.bytes[at + 9] = 0;
        }
    }
    frame
}
