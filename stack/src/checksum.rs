//! The Internet checksum (RFC 1071).
//!
//! Partial sums are `u32` one's-complement sums of 16-bit big-endian words, folded or not; [`fold`] makes 16 bits of them, and the
//! complement of that goes into a header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One's-complement sum of `bytes`, the first one being the high byte of a word; an odd last byte is padded with zero. At most 17 bits.
pub fn sum(bytes: &[u8]) -> u32 {
    // 8 bytes at a time in native order: the sum is independent of byte order but for a final swap (RFC 1071 2.B), and of the word
    // size but for the final fold (2.C). Two accumulators of half words never overflow: 2^32 additions of 32-bit values would be needed.
    let (mut low, mut high) = (0u64, 0u64);
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    for word in words {
        let mut eight = [0u8; 8];
        eight.copy_from_slice(word);
        let word = u64::from_ne_bytes(eight);
        low += word & 0xffff_ffff;
        high += word >> 32;
    }
    let mut last = [0u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = u64::from_ne_bytes(last);
    let mut total = low + high + (last & 0xffff_ffff) + (last >> 32);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u32::from((total as u16).to_be())
}

/// Sum of two partial sums.
pub fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u32::from(carry)
}

/// Difference of two partial sums: `a` without what `b` summed.
pub fn sub(a: u32, b: u32) -> u32 {
    add(a, u32::from(!fold(b)))
}

/// The sum with its bytes in the other place: what it is of bytes that begin one byte later (RFC 1071 2.B).
pub fn swap(sum: u32) -> u32 {
    u32::from(fold(sum).swap_bytes())
}

/// `csum_block_add()`: sum of two parts, the second one beginning at an odd place if `odd`.
pub fn block_add(sum: u32, part: u32, odd: bool) -> u32 {
    add(sum, if odd { swap(part) } else { part })
}

/// `csum_block_sub()`: `sum` without a part that begins at an odd place if `odd`.
pub fn block_sub(sum: u32, part: u32, odd: bool) -> u32 {
    sub(sum, if odd { swap(part) } else { part })
}

/// Folds a partial sum into 16 bits (not inverted).
pub fn fold(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum of `bytes`: the complement of their folded sum. Over data that holds a right checksum it is 0.
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// Sum of the IPv4 pseudo header (RFC 768, RFC 9293 3.1). `len`: transport header and payload in bytes.
pub fn pseudo_header_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: u16) -> u32 {
    let (s, d) = (src.to_bits(), dst.to_bits());
    (s >> 16) + (s & 0xffff) + (d >> 16) + (d & 0xffff) + u32::from(protocol) + u32::from(len)
}

/// Sum of the IPv6 pseudo header (RFC 8200 8.1). `len`: transport header and payload in bytes.
pub fn pseudo_header_v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, len: u32) -> u32 {
    let halves = sum(&src.octets()) + sum(&dst.octets());
    halves + (len >> 16) + (len & 0xffff) + u32::from(protocol)
}

/// Sum of the pseudo header of either family; 0 when the families differ.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> u32 {
    match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => pseudo_header_v4(s, d, protocol, len as u16),
        (IpAddr::V6(s), IpAddr::V6(d)) => pseudo_header_v6(s, d, protocol, len),
        _ => 0,
    }
}

/// Mends a checksum after a 16-bit word it covers changed (RFC 1624 eqn. 3).
pub fn replace16(check: u16, old: u16, new: u16) -> u16 {
    !fold(u32::from(!check) + u32::from(!old) + u32::from(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, word by word.
    fn reference(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }

    #[test]
    fn rfc1071_example() {
        // Section 3: 0001 f203 f4f5 f6f7 sums to ddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2);
        assert_eq!(checksum(&bytes), 0x220d);
    }

    #[test]
    fn rfc1624_example() {
        // Section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0x0000.
        assert_eq!(replace16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn a_recorded_header_is_right() {
        let header = [
            0x45, 0x00, 0x00, 0x1e, 0x11, 0x26, 0x40, 0x00, 0x40, 0x11, 0x13, 0xa7, 0x0a, 0x00,
            0x01, 0x02, 0x0a, 0x00, 0x01, 0x01,
        ];
        assert_eq!(checksum(&header), 0);
    }

    proptest! {
        #[test]
        fn equals_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(fold(sum(&bytes)), reference(&bytes));
        }

        #[test]
        fn parts_add_up(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..150) {
            // Cut at even places only: an odd one would swap the bytes of the second part (RFC 1071 2.B).
            let (a, b) = bytes.split_at((cut * 2).min(bytes.len() & !1));
            let whole = sum(&bytes);
            prop_assert_eq!(fold(add(sum(a), sum(b))), fold(whole));
            let rest = fold(sub(whole, sum(a)));
            // 0 and 0xffff are the same number in one's complement.
            prop_assert!(rest == fold(sum(b)) || (rest == 0xffff && fold(sum(b)) == 0));
        }
    }
}
