//! Addresses with a prefix length, and the few address facts that the standard library does not offer on stable.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use thiserror::Error;

/// MAC address to everybody on the link.
pub const MAC_BROADCAST: [u8; 6] = [0xff; 6];

/// An address and the length of its network prefix, as `ip addr` writes it: `192.0.2.20/24`, `fd00::2/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpCidr {
    address: IpAddr,
    prefix_len: u8,
}

/// Why a text is not an [`IpCidr`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CidrError {
    /// Not an IPv4 or IPv6 address before the slash.
    #[error("{0:?} is not an IP address")]
    Address(String),
    /// Not a number after the slash, or one that is too large for the family.
    #[error("{0:?} is not a prefix length for {1}")]
    PrefixLen(String, IpAddr),
}

impl IpCidr {
    /// `address/prefix_len`; the host part is kept. Errors when the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, CidrError> {
        if prefix_len > Self::max_len(address) {
            return Err(CidrError::PrefixLen(prefix_len.to_string(), address));
        }
        Ok(Self {
            address,
            prefix_len,
        })
    }

    /// The single address `address/32` or `address/128`.
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix_len: Self::max_len(address),
        }
    }

    /// `0.0.0.0/0`.
    pub const DEFAULT_V4: IpCidr = IpCidr {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        prefix_len: 0,
    };
    /// `::/0`.
    pub const DEFAULT_V6: IpCidr = IpCidr {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        prefix_len: 0,
    };

    fn max_len(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }

    /// The address, host part included.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Length of the network prefix in bits.
    pub fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whether `address` lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix_len))
                    .unwrap_or(0);
                (a.to_bits() ^ b.to_bits()) & mask == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix_len))
                    .unwrap_or(0);
                (a.to_bits() ^ b.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    /// The network: the host part 0.
    pub fn network(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => Ipv4Addr::from_bits(
                a.to_bits()
                    & u32::MAX
                        .checked_shl(32 - u32::from(self.prefix_len))
                        .unwrap_or(0),
            )
            .into(),
            IpAddr::V6(a) => Ipv6Addr::from_bits(
                a.to_bits()
                    & u128::MAX
                        .checked_shl(128 - u32::from(self.prefix_len))
                        .unwrap_or(0),
            )
            .into(),
        };
        Self { address, ..*self }
    }

    /// The directed broadcast address of an IPv4 network of at most 30 bits; `None` otherwise.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(a) if self.prefix_len < 31 => Some(Ipv4Addr::from_bits(
                a.to_bits() | (u32::MAX >> self.prefix_len),
            )),
            _ => None,
        }
    }
}

impl FromStr for IpCidr {
    type Err = CidrError;

    /// `ADDRESS/LEN`; a bare `ADDRESS` is a host address.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, len) = text
            .split_once('/')
            .map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address
            .parse()
            .map_err(|_| CidrError::Address(address.to_owned()))?;
        match len {
            None => Ok(Self::host(address)),
            Some(len) => {
                let n = len
                    .parse()
                    .map_err(|_| CidrError::PrefixLen(len.to_owned(), address))?;
                Self::new(address, n)
            }
        }
    }
}

impl fmt::Display for IpCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// The MAC address of an IPv4 group (RFC 1112 6.4).
pub fn multicast_mac_v4(group: Ipv4Addr) -> [u8; 6] {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// The MAC address of an IPv6 group (RFC 2464 7).
pub fn multicast_mac_v6(group: Ipv6Addr) -> [u8; 6] {
    let o = group.octets();
    [0x33, 0x33, o[12], o[13], o[14], o[15]]
}

/// `ff02::1:ffXX:XXXX` of an address (RFC 4291 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let o = address.octets();
    Ipv6Addr::from([
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, o[13], o[14], o[15],
    ])
}

/// The link-local address of a MAC address: modified EUI-64 (RFC 4291 appendix A).
pub fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidr_reads_what_it_writes() {
        for text in ["192.0.2.20/24", "fd00:9::2/64", "0.0.0.0/0", "10.0.0.1/32"] {
            assert_eq!(text.parse::<IpCidr>().unwrap().to_string(), text);
        }
        assert_eq!("::1".parse::<IpCidr>().unwrap().prefix_len(), 128);
        assert!("10.0.0.1/33".parse::<IpCidr>().is_err());
        assert!("10.0.0/8".parse::<IpCidr>().is_err());
        assert!("10.0.0.0/".parse::<IpCidr>().is_err());
    }

    #[test]
    fn networks() {
        let net: IpCidr = "10.0.1.1/24".parse().unwrap();
        assert!(net.contains("10.0.1.255".parse().unwrap()));
        assert!(!net.contains("10.0.2.1".parse().unwrap()));
        assert!(IpCidr::DEFAULT_V4.contains("1.2.3.4".parse().unwrap()));
        assert!(!IpCidr::DEFAULT_V4.contains("::1".parse().unwrap()));
        assert_eq!(net.broadcast(), Some(Ipv4Addr::new(10, 0, 1, 255)));
        assert_eq!("10.0.1.1/31".parse::<IpCidr>().unwrap().broadcast(), None);
    }

    #[test]
    fn derived_addresses() {
        assert_eq!(
            link_local([2, 0, 0, 0, 0, 0xb]),
            "fe80::ff:fe00:b".parse::<Ipv6Addr>().unwrap()
        );
        let target: Ipv6Addr = "fd00::1234:5678".parse().unwrap();
        assert_eq!(
            solicited_node(target),
            "ff02::1:ff34:5678".parse::<Ipv6Addr>().unwrap()
        );
        assert_eq!(
            multicast_mac_v4(Ipv4Addr::new(224, 129, 2, 3)),
            [1, 0, 0x5e, 1, 2, 3]
        );
    }
}
