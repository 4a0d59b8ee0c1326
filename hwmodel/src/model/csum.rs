//! Internet checksums: inserted on transmit, verified on receive.

use super::parse::{Packet, TCP, UDP, be16};

/// Sum of big-endian 16-bit words, an odd last byte padded with zero (RFC 1071 1); not folded. Right
/// for up to 2^48 words.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    // 2^16 is 1 in this arithmetic, so wider words give the same sum after folding.
    let wide: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_be_bytes(*word)))
        .sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    wide + u64::from(u32::from_be_bytes(last))
}

/// Folds a sum to 16 bits.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Fills in a checksum (virtio 5.1.6.2, NEEDS_CSUM): the sum from `start` to the frame's end, whose
/// checksum field holds the pseudo-header's, is complemented and stored `offset` bytes behind. False
/// when the field is not wholly in the frame, which is then unchanged.
#[must_use]
pub(super) fn insert(frame: &mut [u8], start: usize, offset: usize) -> bool {
    let at = start + offset;
    if at + 2 > frame.len() {
        return false;
    }
    let mut csum = !fold(sum(&frame[start..]));
    // UDP, told by its place: 0 means that there is none (RFC 768).
    if csum == 0 && offset == 6 {
        csum = 0xffff;
    }
    frame[at..at + 2].copy_from_slice(&csum.to_be_bytes());
    true
}

/// Whether the frame holds a whole TCP or UDP packet whose transport checksum is there and right, and
/// the IPv4 header's as well (5.1.6.4, DATA_VALID). False says no more than that it was not verified.
#[cfg(test)]
pub(super) fn verified(frame: &[u8]) -> bool {
    Packet::parse(frame, true).is_some_and(|packet| packet_verified(frame, &packet))
}

/// The same of a frame that was parsed.
pub(super) fn packet_verified(frame: &[u8], packet: &Packet) -> bool {
    let transport = &frame[packet.l4.min(packet.end)..packet.end];
    let sound = match packet.protocol {
        TCP => transport.len() >= 20,
        // RFC 768: the length is IP's; a checksum of 0 is none (IPv6: RFC 8200 8.1 forbids it).
        UDP => {
            be16(transport, 4).map(usize::from) == Some(transport.len())
                && be16(transport, 6).is_some_and(|csum| csum != 0)
        }
        _ => false,
    };
    if !sound || packet.fragment || packet.segments_left || !packet.whole {
        return false;
    }
    let header_ok = packet.ipv6 || fold(sum(&frame[packet.l3..packet.l4])) == 0xffff;
    let pseudo = packet.pseudo_sum(frame, transport.len());
    header_ok && fold(sum(transport) + u64::from(pseudo)) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 3: the worked example, and what padding does.
    #[test]
    fn sum_is_the_rfcs() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2);
        for len in 0..bytes.len() {
            let by_word: u64 = bytes[..len]
                .chunks(2)
                .map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)))
                .sum();
            assert_eq!(fold(sum(&bytes[..len])), fold(by_word), "{len} bytes");
        }
    }

    /// A UDP datagram over IPv4 without checksum: 192.0.2.10:40000 to 192.0.2.20:7, "hi".
    fn datagram() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 30, 0, 1, 0x40, 0, 64, UDP, 0, 0]);
        frame.extend([192, 0, 2, 10, 192, 0, 2, 20]);
        let header = !fold(sum(&frame[14..34]));
        frame[24..26].copy_from_slice(&header.to_be_bytes());
        frame.extend([0x9c, 0x40, 0, 7, 0, 10, 0, 0, b'h', b'i']);
        frame
    }

    #[test]
    fn inserted_checksums_verify() {
        let mut frame = datagram();
        assert!(!verified(&frame), "no checksum is there");
        let packet = Packet::parse(&frame, true).unwrap();
        let pseudo = packet.pseudo_sum(&frame, 10);
        frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
        assert!(insert(&mut frame, 34, 6));
        assert!(verified(&frame));
        frame.extend([0; 16]);
        assert!(verified(&frame), "padding is not summed");
        for at in 14..44 {
            let mut bad = frame.clone();
            bad[at] ^= 0x10;
            assert!(!verified(&bad), "byte {at}");
        }
    }

    #[test]
    fn udp_zero_goes_out_as_all_ones() {
        let frame = vec![0xff, 0xff, 0, 0, 0, 0, 0, 0];
        for (offset, expected) in [(6, [0xff, 0xff]), (4, [0, 0])] {
            let mut frame = frame.clone();
            assert!(insert(&mut frame, 0, offset));
            assert_eq!(frame[offset..offset + 2], expected, "at {offset}");
        }
        for (start, offset) in [(4, 3), (7, 0), (70_000, 6), (65_535, 65_535)] {
            let mut same = frame.clone();
            assert!(!insert(&mut same, start, offset));
            assert_eq!(same, frame);
        }
    }
}
