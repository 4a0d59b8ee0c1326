//! Which ICMP messages a raw socket does not take.

/// `struct icmp_filter` (`ICMP_FILTER`). Types from 32 on always pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpFilter {
    /// Bit n: messages of type n are not taken.
    pub data: u32,
}

impl IcmpFilter {
    /// `icmp_filter()`: whether messages of this type are kept away.
    pub fn blocks(self, kind: u8) -> bool {
        kind < 32 && self.data >> kind & 1 != 0
    }
}

/// `struct icmp6_filter` (`ICMPV6_FILTER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Icmp6Filter {
    /// Bit n % 32 of word n / 32: messages of type n are not taken.
    pub data: [u32; 8],
}

impl Icmp6Filter {
    /// `ICMP6_FILTER_SETBLOCKALL`.
    pub const BLOCK_ALL: Self = Self { data: [!0; 8] };

    /// `ICMP6_FILTER_SETPASS`.
    #[must_use]
    pub fn pass(mut self, kind: u8) -> Self {
        self.data[usize::from(kind / 32)] &= !(1 << (kind % 32));
        self
    }

    /// `icmpv6_filter()`: whether messages of this type are kept away.
    pub fn blocks(&self, kind: u8) -> bool {
        self.data[usize::from(kind / 32)] >> (kind % 32) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_a_type() {
        let echo_requests = IcmpFilter { data: 1 << 8 };
        let blocked: Vec<u8> = (0..=255).filter(|&t| echo_requests.blocks(t)).collect();
        assert_eq!(blocked, [8]);
        assert!(!IcmpFilter { data: !0 }.blocks(32));
        let only = Icmp6Filter::BLOCK_ALL.pass(129).pass(1);
        let passed: Vec<u8> = (0..=255).filter(|&t| !only.blocks(t)).collect();
        assert_eq!(passed, [1, 129]);
    }
}
