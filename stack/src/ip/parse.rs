//! What several objects have in common: addresses, prefixes, devices, and the kernel's refusals.

use super::Family;
use crate::addr::IpCidr;
use crate::command::{CommandError, Word, Words};
use crate::error::StackError;
use crate::fib::names;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::net::{IpAddr, Ipv4Addr};

/// `EEXIST`.
pub(super) const EXISTS: &str = "RTNETLINK answers: File exists";
/// `ENOENT`.
pub(super) const NO_ENTRY: &str = "RTNETLINK answers: No such file or directory";
/// `ESRCH`.
pub(super) const NO_PROCESS: &str = "RTNETLINK answers: No such process";

/// How iproute2 shows what the kernel said.
pub(super) fn refusal(error: &StackError) -> String {
    match error {
        StackError::NoDevice(_) => "RTNETLINK answers: No such device".to_owned(),
        StackError::DeviceDown(_) => "Error: Device for nexthop is not up.".to_owned(),
        StackError::NexthopMissing(_) => "Error: Nexthop id does not exist.".to_owned(),
        StackError::NexthopFamily(_) => {
            "Error: IPv6 routes can not use an IPv4 nexthop.".to_owned()
        }
        StackError::NexthopDown(_) => "Error: Nexthop device is not up.".to_owned(),
        StackError::AddressExists(_, cidr) if cidr.address().is_ipv4() => {
            "Error: ipv4: Address already assigned.".to_owned()
        }
        StackError::AddressExists(..) => "Error: ipv6: address already assigned.".to_owned(),
        StackError::GatewayUnreachable(_) => "Error: Nexthop has invalid gateway.".to_owned(),
        StackError::InvalidScope(_) => "Error: Nexthop has invalid scope.".to_owned(),
        StackError::RouteExists(_) => EXISTS.to_owned(),
        StackError::RouteMissing(_) => NO_ENTRY.to_owned(),
        StackError::NoRoute(_) => NO_PROCESS.to_owned(),
        StackError::NetUnreachable(_) | StackError::AddressNotAvailable(_) => {
            "RTNETLINK answers: Network is unreachable".to_owned()
        }
        StackError::HostUnreachable(_) => "RTNETLINK answers: No route to host".to_owned(),
        StackError::Permission(_) => "RTNETLINK answers: Permission denied".to_owned(),
        StackError::InvalidAddress(_) | StackError::InvalidDestination(_) => {
            "RTNETLINK answers: Invalid argument".to_owned()
        }
        other => other.to_string(),
    }
}

/// An address as iproute2 takes it: IPv4 may leave out bytes at the end (`10.1` is 10.1.0.0).
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let mut bytes = [0; 4];
    let mut parts = text.split('.');
    for (byte, part) in bytes.iter_mut().zip(parts.by_ref()) {
        let number =
            names::parse_number(part).filter(|_| part.starts_with(|c: char| c.is_ascii_digit()))?;
        *byte = u8::try_from(number).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(bytes).into())
}

impl Word<'_> {
    /// An address of the family.
    pub(super) fn address(&self, family: Family) -> Result<IpAddr, CommandError> {
        address(self.text)
            .filter(|a| family.includes(a.is_ipv4()))
            .ok_or_else(|| self.error("not an address of this family"))
    }

    /// `ADDRESS[/LEN]`, or `default`, `any` and `all`; IPv4 when nothing says which family.
    pub(super) fn prefix(&self, family: Family) -> Result<IpCidr, CommandError> {
        if self.is_default() {
            return Ok(match family {
                Family::V6 => IpCidr::DEFAULT_V6,
                _ => IpCidr::DEFAULT_V4,
            });
        }
        let wrong = || self.error("not a prefix of this family");
        let (head, len) = match self.text.split_once('/') {
            Some((head, len)) => (head, Some(len)),
            None => (self.text, None),
        };
        let address = address(head)
            .filter(|a| family.includes(a.is_ipv4()))
            .ok_or_else(wrong)?;
        match len {
            None => Ok(IpCidr::host(address)),
            Some(len) => {
                let len = len.parse().map_err(|_| wrong())?;
                IpCidr::new(address, len).map_err(|_| wrong())
            }
        }
    }

    pub(super) fn is_default(&self) -> bool {
        matches!(self.text, "default" | "any" | "all")
    }

    /// A number, also as `0x…`.
    pub(super) fn number(&self) -> Result<u32, CommandError> {
        names::parse_number(self.text).ok_or_else(|| self.error("not a number"))
    }

    /// `get_rt_realms_or_raw()`: `[SOURCE/]DESTINATION`, each 0 to 65535, or `cosmos` for 0.
    pub(super) fn realms(&self) -> Result<u32, CommandError> {
        let realm = |text: &str| match text {
            "cosmos" => Some(0),
            _ => names::parse_number(text).filter(|&number| number <= 0xffff),
        };
        let Some((source, destination)) = self.text.split_once('/') else {
            // A bare number is both of them.
            let whole = names::parse_number(self.text).or_else(|| realm(self.text));
            return whole.ok_or_else(|| self.error("not a realm"));
        };
        let both = realm(source).zip(realm(destination));
        let (source, destination) = both.ok_or_else(|| self.error("not a realm"))?;
        Ok(source << 16 | destination)
    }

    /// A group of devices: `default`, or a number.
    pub(super) fn group(&self) -> Result<u32, CommandError> {
        match self.text {
            "default" => Ok(0),
            _ => self.number(),
        }
    }

    /// What a function of [`names`] makes of the word.
    pub(super) fn named<T>(
        &self,
        parse: impl Fn(&str) -> Option<T>,
        what: &str,
    ) -> Result<T, CommandError> {
        parse(self.text).ok_or_else(|| self.error(format!("not {what}")))
    }
}

impl Stack {
    /// A device by its name.
    pub(super) fn ip_device(&self, words: &mut Words<'_>) -> Result<IfIndex, CommandError> {
        let word = words.expect("a device")?;
        self.device_by_name(word.text)
            .ok_or_else(|| word.error(format!("Cannot find device {:?}", word.text)))
    }

    /// The name of a device in a list.
    pub(super) fn ip_device_name(&self, dev: IfIndex) -> &str {
        self.device_name(dev).unwrap_or("*")
    }
}

/// Realms as iproute2 writes them, with a space behind.
pub(super) fn realms(both: u32) -> String {
    match (both >> 16, both & 0xffff) {
        (0, 0) => String::new(),
        (0, destination) => format!("realm {destination} "),
        (source, destination) => format!("realms {source}/{destination} "),
    }
}

/// A MAC address as iproute2 writes it.
pub(super) fn mac(bytes: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// A MAC address as iproute2 takes it: six hexadecimal bytes with colons.
pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for (byte, part) in bytes.iter_mut().zip(parts.by_ref()) {
        *byte = u8::from_str_radix(part, 16)
            .ok()
            .filter(|_| !part.starts_with('+'))?;
    }
    (parts.next().is_none() && text.matches(':').count() == 5).then_some(bytes)
}
