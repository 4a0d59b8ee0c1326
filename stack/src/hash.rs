//! The kernel's hash functions whose results can be seen from outside, and one for tables, whose results cannot.

/// Mixes two words well (the finisher of wyhash): for tables whose keys strangers choose, one of them with a secret in it.
#[inline]
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// `siphash()`: SipHash-2-4 of bytes (Aumasson, Bernstein 2012).
pub(crate) fn siphash(bytes: &[u8], key: (u64, u64)) -> u64 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    let round = |v: &mut [u64; 4]| {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    };
    let word = |v: &mut [u64; 4], word: u64| {
        v[3] ^= word;
        round(v);
        round(v);
        v[0] ^= word;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for bytes in words {
        word(&mut v, u64::from_le_bytes(*bytes));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    word(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// `JHASH_INITVAL`.
const JHASH_INITVAL: u32 = 0xdead_beef;

fn jhash_final(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

fn jhash_mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    *a = a.wrapping_sub(*c) ^ c.rotate_left(4);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(6);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(8);
    *b = b.wrapping_add(*a);
    *a = a.wrapping_sub(*c) ^ c.rotate_left(16);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(19);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(4);
    *b = b.wrapping_add(*a);
}

/// `jhash()` of include/linux/jhash.h: of bytes, as a little-endian machine reads them.
pub(crate) fn jhash(mut key: &[u8], initval: u32) -> u32 {
    let start = JHASH_INITVAL
        .wrapping_add(key.len() as u32)
        .wrapping_add(initval);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8], at: usize| {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(bytes.iter().skip(at)) {
            *to = *from;
        }
        u32::from_le_bytes(word)
    };
    while key.len() > 12 {
        a = a.wrapping_add(word(key, 0));
        b = b.wrapping_add(word(key, 4));
        c = c.wrapping_add(word(key, 8));
        jhash_mix(&mut a, &mut b, &mut c);
        key = &key[12..];
    }
    if key.is_empty() {
        return c;
    }
    a = a.wrapping_add(word(key, 0));
    b = b.wrapping_add(word(key, 4));
    c = c.wrapping_add(word(key, 8));
    jhash_final(a, b, c)
}

/// `jhash2()` of include/linux/jhash.h (lookup3 by Bob Jenkins): of an array of 32-bit words.
pub(crate) fn jhash2(words: &[u32], initval: u32) -> u32 {
    let start = JHASH_INITVAL
        .wrapping_add((words.len() as u32) << 2)
        .wrapping_add(initval);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = words;
    while let [x, y, z, more @ ..] = rest
        && !more.is_empty()
    {
        a = a.wrapping_add(*x);
        b = b.wrapping_add(*y);
        c = c.wrapping_add(*z);
        jhash_mix(&mut a, &mut b, &mut c);
        rest = more;
    }
    match rest {
        [] => return c,
        [x] => a = a.wrapping_add(*x),
        [x, y] => {
            a = a.wrapping_add(*x);
            b = b.wrapping_add(*y);
        }
        [x, y, z, ..] => {
            a = a.wrapping_add(*x);
            b = b.wrapping_add(*y);
            c = c.wrapping_add(*z);
        }
    }
    jhash_final(a, b, c)
}

/// `reciprocal_scale()`: maps a hash to 0 up to below `n`.
pub(crate) fn reciprocal_scale(hash: u32, n: u32) -> u32 {
    ((u64::from(hash) * u64::from(n)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// lookup3's own known answers (its start value is the length plus the seed, too).
    #[test]
    fn jhash_of_bytes() {
        assert_eq!(jhash(b"", 0), 0xdead_beef);
        assert_eq!(jhash(b"Four score and seven years ago", 0), 0x1777_0551);
        assert_eq!(jhash(b"Four score and seven years ago", 1), 0xcd62_8161);
        assert_eq!(jhash(&[1, 0, 0, 0, 2, 0, 0, 0], 7), jhash2(&[1, 2], 7));
    }

    /// The paper's appendix A: key 00…0f, message 00…0e.
    #[test]
    fn siphash_of_bytes() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(&message, key), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn scaled_evenly() {
        assert_eq!(reciprocal_scale(0, 10), 0);
        assert_eq!(reciprocal_scale(u32::MAX, 10), 9);
        assert_eq!(reciprocal_scale(0x8000_0000, 10), 5);
    }
}
