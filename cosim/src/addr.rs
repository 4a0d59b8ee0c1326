//! Addresses as they are typed on a command line.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    /// Not six groups of two hexadecimal digits with colons.
    #[error("not an Ethernet address; write six hexadecimal pairs, like 02:00:00:00:00:0b")]
    Mac,
    /// The group bit of the first byte is set: no interface has such an address.
    #[error("a group address (lowest bit of the first byte is 1) cannot be an interface's own")]
    Group,
    /// All six bytes are zero.
    #[error("the all-zero address cannot be an interface's own")]
    Zero,
    /// No `/` in an interface address.
    #[error("the prefix length is missing; write it behind the address, like 192.0.2.20/24")]
    NoPrefix,
    /// The part before the `/` is no IPv4 or IPv6 address.
    #[error("`{0}` is neither an IPv4 nor an IPv6 address")]
    Ip(String),
    /// The part behind the `/` is no number in range.
    #[error("prefix length `{0}` is not a number from 0 to {1}")]
    Prefix(String, u8),
    /// A multicast, unspecified or broadcast address.
    #[error("{0} cannot be an interface's own address")]
    NotUnicast(IpAddr),
}

impl FromStr for Mac {
    type Err = AddrError;

    fn from_str(s: &str) -> Result<Self, AddrError> {
        let mut bytes = [0; 6];
        let mut groups = s.split(':');
        for byte in &mut bytes {
            let group = groups.next().ok_or(AddrError::Mac)?;
            if group.len() != 2 || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(AddrError::Mac);
            }
            *byte = u8::from_str_radix(group, 16).map_err(|_| AddrError::Mac)?;
        }
        if groups.next().is_some() {
            return Err(AddrError::Mac);
        }
        if bytes[0] & 1 != 0 {
            return Err(AddrError::Group);
        }
        if bytes == [0; 6] {
            return Err(AddrError::Zero);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An interface address with its prefix length, as `ip address add` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfAddr {
    /// The host's own address (host bits kept).
    pub addr: IpAddr,
    /// Length of the on-link prefix in bits: 0–32 for IPv4, 0–128 for IPv6.
    pub prefix_len: u8,
}

impl FromStr for IfAddr {
    type Err = AddrError;

    fn from_str(s: &str) -> Result<Self, AddrError> {
        let (addr, prefix) = s.split_once('/').ok_or(AddrError::NoPrefix)?;
        let addr: IpAddr = addr.parse().map_err(|_| AddrError::Ip(addr.to_string()))?;
        let max = if addr.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix
            .parse()
            .ok()
            .filter(|n| *n <= max)
            .ok_or_else(|| AddrError::Prefix(prefix.to_string(), max))?;
        let broadcast = matches!(addr, IpAddr::V4(v4) if v4.is_broadcast());
        if addr.is_multicast() || addr.is_unspecified() || broadcast {
            return Err(AddrError::NotUnicast(addr));
        }
        Ok(Self { addr, prefix_len })
    }
}

impl fmt::Display for IfAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

/// Linux's rules for interface names (`dev_valid_name()`).
///
/// # Errors
/// A sentence with the rule.
pub fn interface_name(name: &str) -> Result<String, String> {
    let fits = (1..16).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace());
    if fits {
        Ok(name.to_string())
    } else {
        Err("an interface name has 1 to 15 bytes, without `/`, `:`, `%` and spaces".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_addresses() {
        let mac: Mac = "02:00:5E:00:00:0b".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:00:00:0b");
        for (text, error) in [
            ("", AddrError::Mac),
            ("02:00:00:00:00", AddrError::Mac),
            ("02:00:00:00:00:0b:01", AddrError::Mac),
            ("2:0:0:0:0:b", AddrError::Mac),
            ("02-00-00-00-00-0b", AddrError::Mac),
            ("+2:00:00:00:00:0b", AddrError::Mac),
            ("01:00:5e:00:00:01", AddrError::Group),
            ("00:00:00:00:00:00", AddrError::Zero),
        ] {
            assert_eq!(text.parse::<Mac>(), Err(error), "{text}");
        }
    }

    #[test]
    fn interface_addresses() {
        let v4: IfAddr = "192.0.2.20/24".parse().unwrap();
        assert_eq!(
            (v4.to_string().as_str(), v4.prefix_len),
            ("192.0.2.20/24", 24)
        );
        let v6: IfAddr = "2001:db8::20/64".parse().unwrap();
        assert!(v6.addr.is_ipv6());
        for text in [
            "192.0.2.20",
            "192.0.2.20/33",
            "192.0.2.300/24",
            "2001:db8::/129",
            "::/64",
            "224.0.0.1/4",
            "ff02::1/64",
            "255.255.255.255/32",
            "192.0.2.20/",
            "/24",
            "192.0.2.20/-1",
        ] {
            assert!(text.parse::<IfAddr>().is_err(), "{text}");
        }
    }
}
