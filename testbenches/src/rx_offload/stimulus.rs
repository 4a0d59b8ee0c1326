//! Frames whose flows are worth a look: those of given addresses, extension headers of all kinds, noise.

use crate::frames::{self, Shape};
use rand::{Rng, RngExt};
use std::net::SocketAddr;

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
