//! The fixed IPv6 header (RFC 8200 3) as a checked view.

use std::net::Ipv6Addr;

/// Bytes that begin with a whole header of version 6.
#[derive(Clone, Copy)]
pub(crate) struct Ipv6Header<'a> {
    fixed: &'a [u8; 40],
}

impl<'a> Ipv6Header<'a> {
    /// `None` when there are fewer than 40 bytes or the version is not 6.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let fixed = bytes.first_chunk::<40>()?;
        (fixed[0] >> 4 == 6).then_some(Self { fixed })
    }

    /// Bytes behind the fixed header; 0 also in jumbograms.
    pub fn payload_len(&self) -> usize {
        usize::from(u16::from_be_bytes([self.fixed[4], self.fixed[5]]))
    }

    pub fn traffic_class(&self) -> u8 {
        self.fixed[0] << 4 | self.fixed[1] >> 4
    }

    pub fn next_header(&self) -> u8 {
        self.fixed[6]
    }

    pub fn hop_limit(&self) -> u8 {
        self.fixed[7]
    }

    pub fn saddr(&self) -> Ipv6Addr {
        address(self.fixed, 8)
    }

    pub fn daddr(&self) -> Ipv6Addr {
        address(self.fixed, 24)
    }
}

fn address(fixed: &[u8; 40], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&fixed[at..at + 16]);
    Ipv6Addr::from(octets)
}

/// Scope of a multicast address (RFC 4291 2.7).
pub(crate) fn multicast_scope(group: Ipv6Addr) -> u8 {
    group.octets()[1] & 0x0f
}
