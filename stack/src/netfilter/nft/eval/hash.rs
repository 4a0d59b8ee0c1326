//! Bob Jenkins' lookup3 hash, as `include/linux/jhash.h` has it.

use super::Packet;
use crate::hook::Family;
use crate::skb::SkBuff;

/// `JHASH_INITVAL`
const INITVAL: u32 = 0xdead_beef;

fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    *a = a.wrapping_sub(*c);
    *a ^= c.rotate_left(4);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a);
    *b ^= a.rotate_left(6);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b);
    *c ^= b.rotate_left(8);
    *b = b.wrapping_add(*a);
    *a = a.wrapping_sub(*c);
    *a ^= c.rotate_left(16);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a);
    *b ^= a.rotate_left(19);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b);
    *c ^= b.rotate_left(4);
    *b = b.wrapping_add(*a);
}

fn last(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c ^= b;
    c = c.wrapping_sub(b.rotate_left(14));
    a ^= c;
    a = a.wrapping_sub(c.rotate_left(11));
    b ^= a;
    b = b.wrapping_sub(a.rotate_left(25));
    c ^= b;
    c = c.wrapping_sub(b.rotate_left(16));
    a ^= c;
    a = a.wrapping_sub(c.rotate_left(4));
    b ^= a;
    b = b.wrapping_sub(a.rotate_left(14));
    c ^= b;
    c.wrapping_sub(b.rotate_left(24))
}

/// `jhash()` of bytes on a little-endian machine.
pub(super) fn jhash(key: &[u8], seed: u32) -> u32 {
    let start = INITVAL.wrapping_add(key.len() as u32).wrapping_add(seed);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8], i: usize| {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(bytes.iter().skip(4 * i)) {
            *to = *from;
        }
        u32::from_le_bytes(word)
    };
    let mut rest = key;
    while rest.len() > 12 {
        a = a.wrapping_add(word(rest, 0));
        b = b.wrapping_add(word(rest, 1));
        c = c.wrapping_add(word(rest, 2));
        mix(&mut a, &mut b, &mut c);
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    a = a.wrapping_add(word(rest, 0));
    b = b.wrapping_add(word(rest, 1));
    c = c.wrapping_add(word(rest, 2));
    last(a, b, c)
}

/// `__skb_get_hash_symmetric()`: of addresses and ports, the same in both directions. Linux's has a random key, so only this is told of it.
pub(super) fn symmetric(skb: &SkBuff, packet: &Packet, family: Family) -> u32 {
    let bytes = skb.network_bytes();
    let (saddr, daddr) = match family {
        Family::Ipv6 => (bytes.get(8..24), bytes.get(24..40)),
        _ => (bytes.get(12..16), bytes.get(16..20)),
    };
    let (Some(saddr), Some(daddr)) = (saddr, daddr) else {
        return 0;
    };
    let ports = match packet.l4proto {
        Some(6 | 17 | 132 | 136) if !packet.later_fragment => {
            bytes.get(packet.thoff..packet.thoff + 4)
        }
        _ => None,
    };
    let (sport, dport) = ports.map_or((&[][..], &[][..]), |p| p.split_at(2));
    // The smaller end first.
    let (first, second) = if (saddr, sport) <= (daddr, dport) {
        ((saddr, sport), (daddr, dport))
    } else {
        ((daddr, dport), (saddr, sport))
    };
    let mut key = [0; 40];
    let mut len = 0;
    for part in [first.0, first.1, second.0, second.1] {
        key[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    jhash(&key[..len], u32::from(packet.l4proto.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of lookup3's hashlittle() (its self test), whose start value is the length plus the seed, too.
    #[test]
    fn known_answers() {
        assert_eq!(jhash(b"", 0), 0xdead_beef);
        assert_eq!(jhash(b"Four score and seven years ago", 0), 0x1777_0551);
        assert_eq!(jhash(b"Four score and seven years ago", 1), 0xcd62_8161);
    }
}
