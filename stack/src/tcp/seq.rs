//! Sequence numbers: 32 bits that wrap (RFC 9293 3.4).

use std::ops::{Add, Sub};

/// A sequence number. Comparisons hold for numbers less than 2³¹ apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seq(pub u32);

impl Seq {
    /// `before()`.
    pub fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `after()`.
    pub fn after(self, other: Self) -> bool {
        other.before(self)
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl Sub for Seq {
    type Output = u32;
    /// How far `self` is ahead of the other.
    fn sub(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_across_the_wrap() {
        let (low, high) = (Seq(5), Seq(u32::MAX - 5));
        assert!(high.before(low) && low.after(high));
        assert!(!low.before(low) && !low.after(low));
        assert_eq!(high + 11, low);
        assert_eq!(low - high, 11);
    }
}
