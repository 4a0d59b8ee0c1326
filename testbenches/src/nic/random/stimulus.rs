//! Frames for both ways.

use super::{
    ctrl::{STATIONS, VLANS},
    plan::Plan,
};
use crate::{
    frames::{self, Shape},
    nic::frame::{HDR, MIN_FRAME},
    seg,
};
use hwmodel::{WireFrame, model::feature as net, xgmii::Faults};
use rand::{Rng, RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// A frame of about `len` bytes: a packet of any shape where it fits, else anything.
fn frame(rng: &mut ChaCha8Rng, plan: &Plan, len: usize, tag: u32) -> Vec<u8> {
    // Headers are of random length: a shape that does not fit is thrown again.
    for _ in 0..4 {
        if rng.random_bool(0.3) {
            break;
        }
        let mut shape = Shape::random(rng, 0);
        shape.fragment = rng.random_bool(0.1);
        let overhead = frames::build(&shape, rng).bytes.len();
        if overhead > len {
            continue;
        }
        shape.payload = len - overhead;
        let mut bytes = frames::build(&shape, rng).bytes;
        if bytes.len() <= plan.max_frame() {
            bytes.resize(bytes.len().max(len), 0); // padding, as short packets have
            address(rng, plan, &mut bytes, tag);
            return bytes;
        }
    }
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    for tag in 0..rng.random_range(0..3) {
        if let Some(place) = bytes.get_mut(12 + 4 * tag..14 + 4 * tag) {
            place.copy_from_slice(&[0x81, 0]);
        }
    }
    address(rng, plan, &mut bytes, tag);
    bytes
}

/// Where it goes to, and what makes it unlike all others; no checksum covers either.
fn address(rng: &mut ChaCha8Rng, plan: &Plan, bytes: &mut [u8], tag: u32) {
    let to: [u8; 6] = match rng.random_range(0..10) {
        0 => [0xff; 6],
        1 | 2 => *STATIONS.choose(rng).unwrap_or(&[0xff; 6]),
        3 => rng.random(),
        _ => [
            0x02,
            0,
            0,
            0,
            0,
            if plan.has(net::CTRL_MAC_ADDR) {
                rng.random_range(1..4)
            } else {
                1
            },
        ],
    };
    for (place, byte) in bytes.iter_mut().zip(to) {
        *place = byte;
    }
    if let Some(place) = bytes.get_mut(8..12) {
        place.copy_from_slice(&tag.to_be_bytes());
    }
    let tagged = matches!(bytes.get(12..14), Some([0x81, 0] | [0x88, 0xa8]));
    if tagged && plan.has(net::CTRL_VLAN) && rng.random_bool(0.8) {
        let vlan = VLANS.choose(rng).copied().unwrap_or(1);
        if let Some(place) = bytes.get_mut(14..16) {
            place.copy_from_slice(&vlan.to_be_bytes());
        }
    }
}

/// A frame for the card, damaged now and then.
pub fn incoming(rng: &mut ChaCha8Rng, plan: &Plan, tag: u32) -> WireFrame {
    let len = plan.length(rng);
    let mut bytes = frame(rng, plan, len, tag);
    if rng.random_bool(0.05) && bytes.len() > 20 {
        // A bit that the FCS does not see: checksums and lengths that are wrong.
        let at = rng.random_range(14..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    damage(rng, plan, WireFrame::new(0, bytes))
}

/// A gap in front of a frame, and faults.
pub fn damage(rng: &mut ChaCha8Rng, plan: &Plan, frame: WireFrame) -> WireFrame {
    let most = if plan.flood { 1 } else { 200 };
    let extra_gap = rng.random_range(0..3) * rng.random_range(0..most);
    let mut frame = frame.with_faults(Faults {
        extra_gap,
        ..Faults::default()
    });
    match rng.random_range(0..50) {
        0 => frame.bad_fcs(),
        1 => {
            frame.faults.error_at = Some(rng.random_range(0..frame.bytes.len()));
            frame
        }
        _ => frame,
    }
}

/// A chain for a transmit queue: virtio_net_hdr and frame, mostly legal.
pub fn outgoing(rng: &mut ChaCha8Rng, plan: &Plan, tag: u32) -> Vec<u8> {
    let rest = vec![0; plan.header() - HDR];
    if plan.segments() && rng.random_bool(0.3) {
        let illegal = rng.random_ratio(1, 16);
        let (header, mut frame) = seg::super_frame(rng, plan.max_frame(), illegal);
        address(rng, plan, &mut frame, tag);
        return [&header[..], &rest, &frame].concat();
    }
    let len = plan.length(rng);
    let bytes = frame(rng, plan, len, tag);
    let mut header = [0u8; HDR];
    if plan.has(net::CSUM) && len >= MIN_FRAME && rng.random_bool(0.5) {
        let len = bytes.len();
        let start = rng.random_range(14..len - 2);
        let most = len - 2 - start;
        let offset = *[6, 16, rng.random_range(0..=most)]
            .choose(rng)
            .unwrap_or(&6);
        header[0] = 1;
        header[6..8].copy_from_slice(&(start as u16).to_le_bytes());
        header[8..10].copy_from_slice(&(offset.min(most) as u16).to_le_bytes());
    }
    // Something that is wrong, or does not matter.
    if rng.random_bool(0.05) {
        header[rng.random_range(0..HDR)] = rng.random();
    }
    let mut bytes = [&header[..], &rest, &bytes].concat();
    if rng.random_bool(0.01) {
        bytes.truncate(rng.random_range(1..HDR + 20));
    }
    bytes
}

/// A TCP stream's piece as a super-frame, for the model to cut: header and frame.
pub fn stream(rng: &mut ChaCha8Rng, plan: &Plan, tag: u32) -> Vec<u8> {
    let shape = Shape {
        tags: rng.random_range(0..3),
        ipv6: rng.random(),
        tcp: true,
        tcp_options: if rng.random() { 3 } else { 0 },
        ..Shape::default()
    };
    let most = plan.max_frame() - 100;
    // Of the smallest few become a short frame, and still none is padded.
    let (small, any) = (rng.random_range(8..32), rng.random_range(64..most));
    let size = *[536, 1448, any, small].choose(rng).unwrap_or(&536);
    let size = size.min(most);
    let shape = Shape {
        payload: rng.random_range(1..12 * size).min(30_000),
        ..shape
    };
    let (header, mut frame) = seg::stream(rng, &shape, size as u16);
    address(rng, plan, &mut frame, tag);
    [&header[..], &frame].concat()
}
