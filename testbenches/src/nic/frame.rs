//! What goes over the wire and into transmit queues, and what must become of it.

use crate::{frames, inet};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// `struct virtio_net_hdr` with num_buffers (5.1.6).
pub const HDR: usize = 12;
/// Shortest frame without FCS.
pub const MIN_FRAME: usize = 60;
/// VIRTIO_NET_HDR_F_NEEDS_CSUM.
const F_NEEDS_CSUM: u8 = 1;
/// VIRTIO_NET_HDR_F_DATA_VALID.
const F_DATA_VALID: u8 = 2;

/// `len` bytes: a TCP or UDP packet now and then, else anything. `tag` makes it unlike all others.
pub fn random(rng: &mut ChaCha8Rng, len: usize, tag: u32) -> Vec<u8> {
    if len >= 200 && rng.random_bool(0.4) {
        let shape = frames::Shape::random(rng, 0);
        let overhead = frames::build(&shape, rng).bytes.len();
        let payload = len.saturating_sub(overhead);
        let mut bytes = frames::build(&frames::Shape { payload, ..shape }, rng).bytes;
        // Extension headers are of random length; what fits is taken.
        if bytes.len() == len {
            // Unlike all others in the source address, which no checksum covers.
            bytes[8..12].copy_from_slice(&tag.to_be_bytes());
            return bytes;
        }
    }
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    for (place, byte) in bytes.iter_mut().skip(8).zip(tag.to_be_bytes()) {
        *place = byte;
    }
    bytes
}

/// The longest frame like this one that the card takes, when it takes `max` bytes of one with a VLAN
/// tag: the limit is one of what is behind the Ethernet header (5.1.4.1).
pub fn longest(frame: &[u8], max: usize) -> usize {
    match frame.get(12..14) {
        Some([0x81, 0x00] | [0x88, 0xa8]) => max,
        _ => max - 4,
    }
}

/// The header that a received frame must have (5.1.6.4).
pub fn rx_header(frame: &[u8], guest_csum: bool) -> [u8; HDR] {
    let mut header = [0; HDR];
    if guest_csum && inet::transport_verified(frame) {
        header[0] = F_DATA_VALID;
    }
    header[10] = 1; // num_buffers
    header
}

/// A frame for the transmit queue.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// virtio_net_hdr and frame, as the driver gives them.
    pub bytes: Vec<u8>,
    /// What leaves the card, padding included; `None` when it must be dropped as malformed.
    pub wire: Option<Vec<u8>>,
    /// A checksum is to be inserted.
    pub csum: bool,
}

/// A frame of `len` bytes to transmit, with a checksum to be filled in now and then.
pub fn outgoing(rng: &mut ChaCha8Rng, len: usize, tag: u32, max: usize, csum: bool) -> Outgoing {
    let frame = random(rng, len, tag);
    let mut header = [0u8; HDR];
    let insert = csum && len >= MIN_FRAME && rng.random_bool(0.4);
    let mut wire = frame.clone();
    if insert {
        let start = rng.random_range(14..len - 2);
        let offset = if rng.random() {
            6
        } else {
            rng.random_range(0..=len - 2 - start)
        };
        let offset = offset.min(len - 2 - start);
        header[0] = F_NEEDS_CSUM;
        header[6..8].copy_from_slice(&(start as u16).to_le_bytes());
        header[8..10].copy_from_slice(&(offset as u16).to_le_bytes());
        // 5.1.6.2: the sum from csum_start to the end, complemented, replaces the field.
        let mut value = !inet::sum(&frame[start..]);
        if value == 0 && offset == 6 {
            value = 0xffff; // RFC 768: zero would say that there is no checksum
        }
        wire[start + offset..start + offset + 2].copy_from_slice(&value.to_be_bytes());
    }
    if wire.len() < MIN_FRAME {
        wire.resize(MIN_FRAME, 0);
    }
    let legal = (14..=max).contains(&len);
    Outgoing {
        bytes: [&header[..], &frame].concat(),
        wire: legal.then_some(wire),
        csum: insert && legal,
    }
}

/// Something that must not leave the card, and must not hurt it either.
pub fn malformed(rng: &mut ChaCha8Rng, max: usize) -> Outgoing {
    let len = rng.random_range(MIN_FRAME..200);
    let mut bytes = vec![0; HDR + len];
    rng.fill_bytes(&mut bytes[HDR..]);
    match rng.random_range(0..6) {
        // Shorter than the header, or hardly longer.
        0 => bytes.truncate(rng.random_range(1..HDR + 14)),
        1 => bytes.resize(HDR + max + rng.random_range(1..3000), 0x5a),
        // gso_type that was not negotiated.
        2 => bytes[1] = rng.random_range(1..=255),
        // The field begins, or ends, behind the frame.
        3 => {
            bytes[0] = F_NEEDS_CSUM;
            let start = rng.random_range(0..=u16::MAX);
            let offset = (len as u16).saturating_sub(start).saturating_sub(1);
            bytes[6..8].copy_from_slice(&start.to_le_bytes());
            bytes[8..10].copy_from_slice(&offset.to_le_bytes());
        }
        4 => {
            bytes[0] = F_NEEDS_CSUM;
            bytes[6..8].copy_from_slice(&14u16.to_le_bytes());
            bytes[8..10].copy_from_slice(&rng.random_range(len as u16..=u16::MAX).to_le_bytes());
        }
        _ => {
            bytes[0] = F_NEEDS_CSUM;
            bytes[6..10].fill(0xff);
        }
    }
    Outgoing {
        bytes,
        wire: None,
        csum: false,
    }
}
