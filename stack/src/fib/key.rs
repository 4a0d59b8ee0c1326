//! Addresses of both families as numbers, and how the [`Trie`](super::trie::Trie) cuts them.

use std::fmt::Debug;
use std::hash::Hash;

/// Bits that one node decides over.
pub(super) const STRIDE: u8 = 6;
/// Zero bits that are put in front of every key, so that the last node of both families ends with the key's last bit.
pub(super) const LEAD: u8 = 3;

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Key: Copy + Ord + Debug + Default + Hash {
    /// Width in bits.
    const BITS: u8;
    /// The first `len` bits kept, the others 0. `len` ≤ [`BITS`](Self::BITS).
    fn prefix(self, len: u8) -> Self;
    /// The last address of the network of `len` bits that `self` begins. `len` ≤ [`BITS`](Self::BITS).
    fn last(self, len: u8) -> Self;
    /// The next address; `None` after the last one.
    fn next(self) -> Option<Self>;
    /// Number of first bits that both have in common.
    fn common(self, other: Self) -> u8;
    /// The six bits that level `level` of the trie decides over, those beyond the key's end 0.
    fn chunk(self, level: u8) -> u8;
    /// The address, if it is IPv4.
    fn as_v4(self) -> Option<u32>;
    /// The address as a number.
    fn as_v6(self) -> u128;
    /// The address of that number; only the last 32 bits of it for IPv4.
    fn from_v6(number: u128) -> Self;
    /// `self | bits << shift`, for putting a key together from its chunks.
    fn with_bits(self, bits: u8, shift: i32) -> Self;
}

impl Key for u32 {
    const BITS: u8 = 32;

    #[inline]
    fn as_v4(self) -> Option<u32> {
        Some(self)
    }

    fn as_v6(self) -> u128 {
        self.into()
    }

    fn from_v6(number: u128) -> Self {
        number as u32
    }

    #[inline]
    fn prefix(self, len: u8) -> Self {
        self & Self::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
    }

    fn last(self, len: u8) -> Self {
        self | Self::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    #[inline]
    fn common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    #[inline]
    fn chunk(self, level: u8) -> u8 {
        // 3 + 32 + 1 bits.
        let wide = u64::from(self) << 1;
        (wide >> (30 - STRIDE * level) & 0x3f) as u8
    }

    fn with_bits(self, bits: u8, shift: i32) -> Self {
        let bits = u32::from(bits);
        self | if shift < 0 {
            bits >> -shift
        } else {
            bits << shift
        }
    }
}

impl Key for u128 {
    const BITS: u8 = 128;

    #[inline]
    fn as_v4(self) -> Option<u32> {
        None
    }

    fn as_v6(self) -> u128 {
        self
    }

    fn from_v6(number: u128) -> Self {
        number
    }

    #[inline]
    fn prefix(self, len: u8) -> Self {
        self & Self::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
    }

    fn last(self, len: u8) -> Self {
        self | Self::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    #[inline]
    fn common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    #[inline]
    fn chunk(self, level: u8) -> u8 {
        let bits = match 125u8.checked_sub(STRIDE * level) {
            Some(shift) => self >> shift,
            // The last bit of the last chunk is beyond the key's end.
            None => self << 1,
        };
        bits as u8 & 0x3f
    }

    fn with_bits(self, bits: u8, shift: i32) -> Self {
        let bits = u128::from(bits);
        self | if shift < 0 {
            bits >> -shift
        } else {
            bits << shift
        }
    }
}
