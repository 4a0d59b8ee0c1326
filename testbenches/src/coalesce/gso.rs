//! Segmentation and its inverse, byte by byte: the reference for receive coalescing. Frames may be
//! merged when cutting the result gives them back.

use crate::inet;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

/// Where a plain TCP segment has its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// Offset of the IP header.
    pub l3: usize,
    /// Offset of the TCP header.
    pub l4: usize,
    /// Offset of the payload.
    pub headers: usize,
    /// IPv6, else IPv4.
    pub ipv6: bool,
}

fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// A segment with payload and verified checksums, without IP options or extension headers, without
/// padding, with no flag but ACK and PSH, and with no option but timestamps.
#[must_use]
pub fn plain(frame: &[u8]) -> Option<Plain> {
    if !inet::transport_verified(frame) {
        return None;
    }
    let mut l3 = 14;
    while l3 < 22 && matches!(be16(frame, l3 - 2), 0x8100 | 0x88a8) {
        l3 += 4;
    }
    let ipv6 = be16(frame, l3 - 2) == 0x86dd;
    let (header, end, protocol) = if ipv6 {
        (40, l3 + 40 + be16(frame, l3 + 4), frame[l3 + 6])
    } else {
        let header = usize::from(frame[l3] & 15) * 4;
        (header, l3 + be16(frame, l3 + 2), frame[l3 + 9])
    };
    let l4 = l3 + header;
    if protocol != 6 || !matches!(header, 20 | 40) || ipv6 != (header == 40) || end != frame.len() {
        return None;
    }
    let headers = l4 + usize::from(frame[l4 + 12] >> 4) * 4;
    let options = frame.get(l4 + 20..headers)?;
    let usual = options.is_empty() || options.len() == 12 && options.starts_with(&TIMESTAMPS);
    let flags = frame[l4 + 12] & 15 == 0 && frame[l4 + 13] & !PSH == ACK;
    (usual && flags && headers < frame.len()).then_some(Plain {
        l3,
        l4,
        headers,
        ipv6,
    })
}

/// One frame of several: the first one's headers, all payloads, the last one's PSH. Lengths and
/// checksums are not those of the whole.
#[must_use]
pub fn merge(frames: &[Vec<u8>], place: &Plain) -> Vec<u8> {
    let mut whole = frames[0].clone();
    for frame in &frames[1..] {
        whole.extend_from_slice(&frame[place.headers..]);
        whole[place.l4 + 13] |= frame[place.l4 + 13] & PSH;
    }
    whole
}

/// Cuts a frame into segments of `size` bytes (virtio 5.1.6.2, VIRTIO_NET_HDR_GSO_TCPV4 and 6).
#[must_use]
pub fn segment(whole: &[u8], place: &Plain, size: usize) -> Vec<Vec<u8>> {
    let (headers, payload) = whole.split_at(place.headers);
    let chunks: Vec<_> = payload.chunks(size).collect();
    let cut = |(index, chunk): (usize, &&[u8])| {
        let mut frame = [headers, chunk].concat();
        if !place.ipv6 {
            let id = be16(headers, place.l3 + 4) as u16;
            let id = id.wrapping_add(index as u16);
            frame[place.l3 + 4..place.l3 + 6].copy_from_slice(&id.to_be_bytes());
        }
        let seq = be32(headers, place.l4 + 4).wrapping_add((index * size) as u32);
        frame[place.l4 + 4..place.l4 + 8].copy_from_slice(&seq.to_be_bytes());
        if index + 1 < chunks.len() {
            frame[place.l4 + 13] &= !PSH;
        }
        finish(&mut frame, place);
        frame
    };
    chunks.iter().enumerate().map(cut).collect()
}

/// Lengths and checksums.
pub fn finish(frame: &mut [u8], place: &Plain) {
    let Plain { l3, l4, ipv6, .. } = *place;
    let base = if ipv6 { l4 } else { l3 };
    let at = if ipv6 { l3 + 4 } else { l3 + 2 };
    let length = (frame.len() - base) as u16;
    frame[at..at + 2].copy_from_slice(&length.to_be_bytes());
    if !ipv6 {
        frame[l3 + 10..l3 + 12].fill(0);
        let csum = !inet::sum(&frame[l3..l4]);
        frame[l3 + 10..l3 + 12].copy_from_slice(&csum.to_be_bytes());
    }
    frame[l4 + 16..l4 + 18].fill(0);
    let csum = !inet::add(pseudo(frame, place), &frame[l4..]);
    frame[l4 + 16..l4 + 18].copy_from_slice(&csum.to_be_bytes());
}

/// Sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1).
#[must_use]
pub fn pseudo(frame: &[u8], place: &Plain) -> u16 {
    let Plain { l3, l4, ipv6, .. } = *place;
    let addresses = if ipv6 {
        l3 + 8..l3 + 40
    } else {
        l3 + 12..l3 + 20
    };
    let length = ((frame.len() - l4) as u32).to_be_bytes();
    inet::add(inet::add(inet::sum(&frame[addresses]), &length), &[0, 6])
}

/// The frame with the identification taken out where it has no meaning: DF is set (RFC 6864 4.1).
#[must_use]
pub fn comparable(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if let Some(Plain { l3, l4, .. }) =
        plain(&frame).filter(|place| !place.ipv6 && frame[place.l3 + 6] & 0x40 != 0)
    {
        frame[l3 + 4..l3 + 6].fill(0);
        frame[l3 + 10..l3 + 12].fill(0);
        let csum = !inet::sum(&frame[l3..l4]);
        frame[l3 + 10..l3 + 12].copy_from_slice(&csum.to_be_bytes());
    }
    frame
}

/// Whether `next` may join `group`: all are plain, IP can tell the length of the whole, and cutting it
/// gives all of them back.
#[must_use]
pub fn joins(group: &[Vec<u8>], next: &[u8]) -> bool {
    let (Some(place), Some(other)) = (plain(&group[0]), plain(next)) else {
        return false;
    };
    let mut all = group.to_vec();
    all.push(next.to_vec());
    // Cheap reasons first: cutting is work.
    let size = group[0].len() - place.headers;
    let base = if place.ipv6 { place.l4 } else { place.l3 };
    let payload: usize = all.iter().map(|frame| frame.len() - place.headers).sum();
    if place != other || place.headers + payload - base > 0xffff {
        return false;
    }
    let parts = segment(&merge(&all, &place), &place, size);
    parts.len() == all.len()
        && parts
            .iter()
            .zip(&all)
            .all(|(part, frame)| comparable(part) == comparable(frame))
}
