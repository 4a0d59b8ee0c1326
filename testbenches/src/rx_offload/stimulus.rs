//! Frames whose flows are worth a look: the published vectors, extension headers of all kinds, noise.

use crate::frames::{self, Shape};
use rand::{Rng, RngExt};
use std::net::SocketAddr;

/// "Verifying the RSS Hash Calculation" (Microsoft): the key.
pub const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// The same page: destination, source, hash of the addresses, hash with the TCP ports.
#[rustfmt::skip]
pub const VECTORS: [(&str, &str, u32, u32); 8] = [
    ("161.142.100.80:1766", "66.9.149.187:2794", 0x323e_8fc2, 0x51cc_c178),
    ("65.69.140.83:4739", "199.92.111.2:14230", 0xd718_262a, 0xc626_b0ea),
    ("12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0_a5de, 0x5c2b_394a),
    ("209.142.163.6:2217", "38.27.205.30:48228", 0x8298_9176, 0xafc7_327f),
    ("202.188.127.2:1303", "153.39.163.191:44251", 0x5d18_09c5, 0x10e8_28a2),
    ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc1_8cd5, 0x4020_7d3d),
    ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c_461c, 0xdde5_1bbf),
    ("[fe80::200:f8ff:fe21:67cf]:38024", "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251",
     0x4b61_e985, 0x02d1_feef),
];

/// A TCP frame from `source` to `destination`.
pub fn tcp(source: SocketAddr, destination: SocketAddr, rng: &mut impl Rng) -> Vec<u8> {
    let shape = Shape {
        ipv6: source.is_ipv6(),
        tcp: true,
        ..Shape::default()
    };
    let frame = frames::build(&shape, rng);
    let mut bytes = frame.bytes;
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    for (index, address) in [source, destination].into_iter().enumerate() {
        match address {
            SocketAddr::V4(v4) => put(frame.l3 + 12 + 4 * index, &v4.ip().octets()),
            SocketAddr::V6(v6) => put(frame.l3 + 8 + 16 * index, &v6.ip().octets()),
        }
        put(frame.l4 + 2 * index, &address.port().to_be_bytes());
    }
    bytes
}

/// An IPv6 frame with a chain of extension headers: options of mobile IPv6 at right and wrong places,
/// routing headers of several types, fragments, lengths that end anywhere.
pub fn chain(rng: &mut impl Rng) -> Vec<u8> {
    let mut payload = vec![];
    let mut kinds = vec![];
    for index in 0..rng.random_range(0..4) {
        let kind = match rng.random_range(0..10) {
            0 if index == 0 => 0,
            0 | 1 => 44,
            2..=4 => 43,
            5 => 0,
            _ => 60,
        };
        kinds.push(kind);
    }
    let transport = [6u8, 17, 6, 17, 58, 59][rng.random_range(0..6)];
    for (index, kind) in kinds.iter().enumerate() {
        let next = kinds.get(index + 1).copied().unwrap_or(transport);
        match kind {
            43 => payload.extend(routing(next, rng)),
            44 => payload.extend([next, 0, 0, rng.random_range(0..2), 1, 2, 3, 4]),
            _ => payload.extend(options(next, rng)),
        }
    }
    let body = payload.len();
    payload.resize(body + rng.random_range(0..40), 0);
    rng.fill_bytes(&mut payload[body..]);
    let mut frame = vec![0; 12];
    rng.fill_bytes(&mut frame);
    for _ in 0..rng.random_range(0..3) {
        frame.extend([0x81, 0, rng.random(), rng.random()]);
    }
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    let short = if rng.random_ratio(1, 6) {
        rng.random_range(0..=payload.len())
    } else {
        0
    };
    frame.extend(((payload.len() - short) as u16).to_be_bytes());
    frame.extend([kinds.first().copied().unwrap_or(transport), 64]);
    frame.extend((0..32).map(|_| rng.random::<u8>()));
    frame.extend(payload);
    frame
}

fn routing(next: u8, rng: &mut impl Rng) -> Vec<u8> {
    let units = [2, 2, 1, 0, 4][rng.random_range(0..5)];
    let kind = [2, 2, 2, 0, 4][rng.random_range(0..5)];
    let mut header = vec![next, units, kind, rng.random_range(0..2)];
    header.extend((0..4 + 8 * usize::from(units)).map(|_| rng.random::<u8>()));
    header
}

/// Destination (or hop-by-hop) options: padding, unknown ones, Home Address options.
fn options(next: u8, rng: &mut impl Rng) -> Vec<u8> {
    let mut header = vec![next, 0];
    for _ in 0..rng.random_range(0..5) {
        match rng.random_range(0..6) {
            0 => header.push(0),
            1 | 2 => {
                // Up to the right place, or somewhere else.
                let gap = (14 - header.len() % 8) % 8;
                match gap {
                    0 => {}
                    1 => header.push(0),
                    _ => {
                        header.extend([1, (gap - 2) as u8]);
                        header.extend(vec![0; gap - 2]);
                    }
                }
                let length = if rng.random_ratio(1, 8) { 15 } else { 16 };
                header.extend([0xc9, length]);
                header.extend((0..length).map(|_| rng.random::<u8>()));
            }
            3 => {
                header.extend([0xc9, 16]);
                header.extend((0..16).map(|_| rng.random::<u8>()));
            }
            _ => {
                let length = if rng.random_ratio(1, 10) {
                    255
                } else {
                    rng.random_range(0..12)
                };
                header.extend([rng.random_range(1..9), length]);
                header.extend((0..length).map(|_| rng.random::<u8>()));
            }
        }
    }
    while header.len() % 8 != 0 {
        header.push(0);
    }
    header[1] = (header.len() / 8 - 1) as u8;
    if rng.random_ratio(1, 10) {
        // The header ends inside an option.
        header[1] = rng.random_range(0..=header[1]);
        header.truncate(8 + 8 * usize::from(header[1]));
    }
    header
}

/// Random bytes behind an EtherType or two.
pub fn noise(rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(60..=140)];
    rng.fill_bytes(&mut bytes);
    let types = [0x08_00u16, 0x86_dd, 0x81_00, 0x88_a8, 0x08_06, 0x00_2e];
    for at in [12, 16, 20] {
        let kind = types[rng.random_range(0..types.len())];
        bytes[at..at + 2].copy_from_slice(&kind.to_be_bytes());
    }
    // Often a version and header length that fit.
    for at in [14, 18, 22] {
        if rng.random() {
            bytes[at] = [0x45, 0x46, 0x60][rng.random_range(0..3)];
        }
    }
    bytes
}
