//! Internet checksums by the letter of the RFCs, byte by byte: the reference for the RTL's.

/// RFC 1071 1: ones' complement sum of big-endian 16-bit words, an odd last byte padded with zero.
/// The result is folded and not complemented.
#[must_use]
pub fn sum(bytes: &[u8]) -> u16 {
    add(0, bytes)
}

/// Adds `bytes` to a sum that so far covers an even number of bytes.
#[must_use]
pub fn add(sum: u16, bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)));
    let mut total = u64::from(sum) + words.sum::<u64>();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Whether a receiver that follows VLAN tags (two at most), IPv4 options and the IPv6 extension
/// headers hop-by-hop, routing (at the last segment) and destination options can say that this
/// Ethernet frame (without FCS) carries a TCP or UDP packet whose checksums are all there and right.
#[must_use]
pub fn transport_verified(frame: &[u8]) -> bool {
    verify_ethernet(frame).is_some()
}

fn verify_ethernet(frame: &[u8]) -> Option<()> {
    let mut at = 12;
    for _ in 0..2 {
        if matches!(be16(frame, at)?, 0x8100 | 0x88a8) {
            at += 4;
        }
    }
    let packet = frame.get(at + 2..)?;
    match be16(frame, at)? {
        0x0800 => verify_ipv4(packet),
        0x86dd => verify_ipv6(packet),
        _ => None,
    }
}

/// RFC 791 3.1.
fn verify_ipv4(packet: &[u8]) -> Option<()> {
    let first = *packet.first()?;
    let header_len = usize::from(first & 15) * 4;
    let packet = packet.get(..usize::from(be16(packet, 2)?))?;
    let (header, payload) = packet.split_at_checked(header_len)?;
    // More fragments, or an offset: only a part of the transport packet is here.
    let fragment = be16(header, 6)? & 0x3fff != 0;
    let sound = first >> 4 == 4 && header_len >= 20 && !fragment && sum(header) == 0xffff;
    let protocol = *header.get(9)?;
    // RFC 768, RFC 9293 3.1: source, destination, zero, protocol, length.
    let length = u16::try_from(payload.len()).ok()?;
    let pseudo = add(sum(header.get(12..20)?), &u16::from(protocol).to_be_bytes());
    let pseudo = add(pseudo, &length.to_be_bytes());
    (sound && verify_transport(protocol, payload, pseudo)).then_some(())
}

/// RFC 8200 3, 4, 8.1.
fn verify_ipv6(packet: &[u8]) -> Option<()> {
    let header = packet.get(..40)?;
    let mut rest = packet.get(40..40 + usize::from(be16(header, 4)?))?;
    let mut next = header[6];
    let mut first = true;
    while matches!(next, 43 | 60) || (next == 0 && first) {
        let length = 8 + 8 * usize::from(*rest.get(1)?);
        if next == 43 && *rest.get(3)? != 0 {
            return None;
        }
        next = rest[0];
        rest = rest.get(length..)?;
        first = false;
    }
    let pseudo = add(
        sum(&header[8..40]),
        &u32::try_from(rest.len()).ok()?.to_be_bytes(),
    );
    let pseudo = add(pseudo, &u32::from(next).to_be_bytes());
    (header[0] >> 4 == 6 && verify_transport(next, rest, pseudo)).then_some(())
}

fn verify_transport(protocol: u8, segment: &[u8], pseudo: u16) -> bool {
    let there = match protocol {
        6 => segment.len() >= 20,
        // A zero checksum means that there is none (RFC 768), and is illegal over IPv6 (RFC 8200 8.1).
        17 => {
            segment.len() >= 8
                && be16(segment, 4).map(usize::from) == Some(segment.len())
                && be16(segment, 6) != Some(0)
        }
        _ => false,
    };
    there && add(pseudo, segment) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_1071_section_3() {
        assert_eq!(
            sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            0xddf2
        );
        // The same words, bytes swapped: the sum is swapped (RFC 1071 2 B).
        assert_eq!(
            sum(&[0x01, 0x00, 0x03, 0xf2, 0xf5, 0xf4, 0xf7, 0xf6]),
            0xf2dd
        );
        // Odd length: section 4.1 pads with zero.
        assert_eq!(sum(&[0x00, 0x01, 0xf2]), 0xf201);
    }

    #[test]
    fn rfc_1624_section_4() {
        // The header's words sum to 0xcd7a without the field 0x5555; the checksum is ~(0xcd7a + 0x5555).
        let rest = sum(&[0xcd, 0x7a, 0x55, 0x55]);
        assert_eq!(!rest, 0xdd2f);
        // With the field changed to 0x3285, it is 0x0000, the case that the RFC is about.
        assert_eq!(!sum(&[0xcd, 0x7a, 0x32, 0x85]), 0x0000);
    }
}
