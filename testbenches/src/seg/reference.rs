//! Segmentation by the letter of the RFCs, byte by byte: the reference for the RTL's. It is told where
//! the headers are and does not look for them.

use crate::inet;

/// Where the parts of a super-frame are; offsets from its first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    /// IPv6 instead of IPv4.
    pub ipv6: bool,
    /// TCP instead of UDP.
    pub tcp: bool,
    /// Of the IP header.
    pub l3: usize,
    /// Of the transport header.
    pub l4: usize,
    /// Of the payload.
    pub payload: usize,
    /// Of the address that the pseudo-header has as the destination.
    pub destination: usize,
}

impl Parts {
    /// Offset of the transport checksum from `l4`.
    pub fn csum_offset(&self) -> usize {
        if self.tcp { 16 } else { 6 }
    }

    /// Sum of the pseudo-header for a transport packet of `length` bytes (RFC 9293 3.1, RFC 768,
    /// RFC 8200 8.1); not complemented.
    pub fn pseudo(&self, frame: &[u8], length: usize) -> u16 {
        let (source, size) = if self.ipv6 { (8, 16) } else { (12, 4) };
        let source = self.l3 + source;
        let sum = inet::sum(&frame[source..source + size]);
        let sum = inet::add(sum, &frame[self.destination..self.destination + size]);
        let sum = inet::add(sum, &(length as u32).to_be_bytes());
        inet::add(sum, &[0, if self.tcp { 6 } else { 17 }])
    }

    #[cfg(test)]
    /// Whether the checksum of this frame's transport header is right.
    pub fn verified(&self, frame: &[u8]) -> bool {
        let transport = &frame[self.l4..];
        inet::add(self.pseudo(frame, transport.len()), transport) == 0xffff
    }
}

/// The frames that have to go on the wire, complete with checksums.
pub(crate) fn segments(frame: &[u8], parts: &Parts, gso_size: usize) -> Vec<Vec<u8>> {
    let (headers, payload) = frame.split_at(parts.payload);
    let count = payload.len().div_ceil(gso_size).max(1);
    (0..count)
        .map(|index| {
            let from = index * gso_size;
            let to = payload.len().min(from + gso_size);
            let mut out = [headers, &payload[from..to]].concat();
            number(&mut out, parts, index, from, index + 1 == count);
            out
        })
        .collect()
}

/// Makes the copied headers those of segment `index`.
fn number(out: &mut [u8], parts: &Parts, index: usize, from: usize, last: bool) {
    let &Parts { l3, l4, .. } = parts;
    let set = |out: &mut [u8], at: usize, value: usize| {
        out[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
    };
    let length = out.len();
    if parts.ipv6 {
        // RFC 8200 3: the rest of the packet following this IPv6 header.
        set(out, l3 + 4, length - l3 - 40);
    } else {
        set(out, l3 + 2, length - l3);
        let id = usize::from(out[l3 + 4]) << 8 | usize::from(out[l3 + 5]);
        set(out, l3 + 4, id + index);
        set(out, l3 + 10, 0);
        let csum = !inet::sum(&out[l3..l4.min(l3 + 4 * usize::from(out[l3] & 15))]);
        set(out, l3 + 10, csum.into());
    }
    if parts.tcp {
        let seq = out[l4 + 4..l4 + 8]
            .iter()
            .fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        let seq = seq.wrapping_add(from as u32);
        out[l4 + 4..l4 + 8].copy_from_slice(&seq.to_be_bytes());
        if !last {
            out[l4 + 13] &= !0b0000_1001; // PSH, FIN
        }
        if index != 0 {
            out[l4 + 13] &= !0b1000_0000; // CWR
        }
    } else {
        set(out, l4 + 4, length - l4);
    }
    let field = l4 + parts.csum_offset();
    set(out, field, 0);
    let csum = !inet::add(parts.pseudo(out, length - l4), &out[l4..]);
    let none = csum == 0 && !parts.tcp;
    set(out, field, if none { 0xffff } else { csum.into() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{self, Shape};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// What another library's receiver would say of the segments; one segment is the frame itself.
    #[test]
    fn segments_are_right_packets() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for round in 0..400 {
            let shape = Shape::random(&mut rng, 5000);
            let frame = frames::build(&shape, &mut rng);
            let parts = Parts {
                ipv6: shape.ipv6,
                tcp: shape.tcp,
                l3: frame.l3,
                l4: frame.l4,
                payload: frame.bytes.len() - shape.payload,
                destination: frame.l3 + if shape.ipv6 { 24 } else { 16 },
            };
            let whole = segments(&frame.bytes, &parts, 65_535);
            assert!(
                whole == std::slice::from_ref(&frame.bytes),
                "round {round}: {shape:?}"
            );
            let mut payload = vec![];
            for segment in segments(&frame.bytes, &parts, 700) {
                assert!(inet::transport_verified(&segment), "round {round}");
                assert!(parts.verified(&segment));
                payload.extend_from_slice(&segment[parts.payload..]);
            }
            assert_eq!(payload, frame.bytes[parts.payload..]);
        }
    }
}
