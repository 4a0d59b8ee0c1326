//! nft's data types: how wide a value is, how it is read, how it is printed.
//!
//! Every value of one field is held as a `u128`, the number that the field stands for; strings (interface names, helpers) and addresses
//! are the number that their bytes make in network order, strings padded with zeros behind to 16 bytes.

use super::symbols::{self, Symbols};
use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The type of a field, a set's key or data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are nft's
pub enum DataType {
    Verdict,
    /// A plain number of so many bits in network byte order.
    Integer(u16),
    /// A plain number that the kernel holds in host byte order.
    HostInteger(u16),
    String,
    NfProto,
    EtherAddr,
    EtherType,
    Ipv4Addr,
    Ipv6Addr,
    ArpOp,
    InetProto,
    InetService,
    IcmpType,
    IcmpCode,
    Icmpv6Type,
    Icmpv6Code,
    IcmpxCode,
    IgmpType,
    TcpFlag,
    Mark,
    IfaceIndex,
    IfName,
    IfaceType,
    PktType,
    CtState,
    CtDir,
    CtStatus,
    CtLabel,
    CtEvent,
    Realm,
    DevGroup,
    ClassId,
    Uid,
    Gid,
    /// A span of time in milliseconds.
    Time,
    Boolean,
    Dscp,
    Ecn,
    FibAddrType,
    Day,
    /// Seconds since midnight.
    Hour,
    /// Nanoseconds since 1970.
    Date,
    MhType,
    DccpType,
}

use DataType as T;

/// Types that can be named after `type`, and how.
const NAMES: [(&str, DataType); 37] = [
    ("verdict", T::Verdict),
    ("nf_proto", T::NfProto),
    ("ether_addr", T::EtherAddr),
    ("ether_type", T::EtherType),
    ("ipv4_addr", T::Ipv4Addr),
    ("ipv6_addr", T::Ipv6Addr),
    ("arp_op", T::ArpOp),
    ("inet_proto", T::InetProto),
    ("inet_service", T::InetService),
    ("icmp_type", T::IcmpType),
    ("icmp_code", T::IcmpCode),
    ("icmpv6_type", T::Icmpv6Type),
    ("icmpv6_code", T::Icmpv6Code),
    ("icmpx_code", T::IcmpxCode),
    ("igmp_type", T::IgmpType),
    ("tcp_flag", T::TcpFlag),
    ("mark", T::Mark),
    ("iface_index", T::IfaceIndex),
    ("ifname", T::IfName),
    ("iface_type", T::IfaceType),
    ("pkt_type", T::PktType),
    ("ct_state", T::CtState),
    ("ct_dir", T::CtDir),
    ("ct_status", T::CtStatus),
    ("ct_label", T::CtLabel),
    ("realm", T::Realm),
    ("devgroup", T::DevGroup),
    ("classid", T::ClassId),
    ("uid", T::Uid),
    ("gid", T::Gid),
    ("boolean", T::Boolean),
    ("dscp", T::Dscp),
    ("ecn", T::Ecn),
    ("fib_addrtype", T::FibAddrType),
    ("day", T::Day),
    ("mh_type", T::MhType),
    ("dccp_pkttype", T::DccpType),
];

impl DataType {
    /// The type that nft calls `name` in `type NAME`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(NAMES.iter().find(|(n, _)| *n == name)?.1)
    }

    /// nft's word for it.
    pub fn name(self) -> &'static str {
        match self {
            T::Integer(_) | T::HostInteger(_) => "integer",
            T::String => "string",
            T::Time | T::Date => "time",
            T::Hour => "hour",
            T::CtEvent => "ct_event",
            _ => NAMES
                .iter()
                .find(|(_, t)| *t == self)
                .map_or("integer", |(n, _)| n),
        }
    }

    /// Width in bits.
    pub fn bits(self) -> u32 {
        match self {
            T::Verdict => 0,
            T::Integer(n) | T::HostInteger(n) => u32::from(n),
            T::Boolean => 1,
            T::DccpType => 4,
            T::Ecn => 2,
            T::Dscp => 6,
            T::NfProto
            | T::InetProto
            | T::IcmpType
            | T::IcmpCode
            | T::Icmpv6Type
            | T::Icmpv6Code
            | T::IcmpxCode
            | T::IgmpType
            | T::TcpFlag
            | T::PktType
            | T::CtDir
            | T::Day
            | T::MhType => 8,
            T::EtherType | T::ArpOp | T::InetService | T::IfaceType => 16,
            T::EtherAddr => 48,
            T::Date => 64,
            T::String | T::IfName | T::Ipv6Addr | T::CtLabel => 128,
            _ => 32,
        }
    }

    /// Whether the kernel holds it in host byte order in its registers (matters to hashes).
    pub(crate) fn is_host_order(self) -> bool {
        matches!(
            self,
            T::HostInteger(_)
                | T::Mark
                | T::IfaceIndex
                | T::IfaceType
                | T::CtState
                | T::CtStatus
                | T::CtLabel
                | T::CtEvent
                | T::Realm
                | T::DevGroup
                | T::ClassId
                | T::Uid
                | T::Gid
                | T::Time
                | T::Hour
                | T::Date
                | T::FibAddrType
        )
    }

    /// Flags, of which several can be set.
    pub fn is_bitmask(self) -> bool {
        matches!(
            self,
            T::TcpFlag | T::CtState | T::CtStatus | T::CtLabel | T::CtEvent
        )
    }

    pub(crate) fn is_string(self) -> bool {
        matches!(self, T::String | T::IfName)
    }

    /// Largest value.
    pub fn max(self) -> u128 {
        match self.bits() {
            0 => 0,
            bits => u128::MAX >> (128 - bits.min(128)),
        }
    }

    pub(crate) fn symbols(self) -> Symbols {
        match self {
            T::NfProto => symbols::NF_PROTO,
            T::EtherType => symbols::ETHER_TYPE,
            T::ArpOp => symbols::ARP_OP,
            T::InetProto => symbols::INET_PROTO,
            T::InetService => super::services::INET_SERVICE,
            T::IcmpType => symbols::ICMP_TYPE,
            T::IcmpCode => symbols::ICMP_CODE,
            T::Icmpv6Type => symbols::ICMPV6_TYPE,
            T::Icmpv6Code => symbols::ICMPV6_CODE,
            T::IcmpxCode => symbols::ICMPX_CODE,
            T::IgmpType => symbols::IGMP_TYPE,
            T::TcpFlag => symbols::TCP_FLAG,
            T::IfaceType => symbols::IFACE_TYPE,
            T::PktType => symbols::PKT_TYPE,
            T::CtState => symbols::CT_STATE,
            T::CtDir => symbols::CT_DIR,
            T::CtStatus => symbols::CT_STATUS,
            T::CtEvent => symbols::CT_EVENT,
            T::Boolean => symbols::BOOLEAN,
            T::Dscp => symbols::DSCP,
            T::Ecn => symbols::ECN,
            T::FibAddrType => symbols::FIB_ADDRTYPE,
            T::Day => symbols::DAY,
            T::DevGroup => symbols::DEVGROUP,
            T::Realm => symbols::REALM,
            T::MhType => symbols::MH_TYPE,
            T::DccpType => symbols::DCCP_TYPE,
            _ => &[],
        }
    }

    /// Reads one value from one word; the error says what a value of this type is.
    pub(crate) fn parse(self, text: &str) -> Result<u128, String> {
        if let Some((_, value)) = self.symbols().iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let bad = |what: &str| Err(format!("not {what}"));
        let value = match self {
            T::Ipv4Addr => parse_ipv4(text),
            T::Ipv6Addr => text.parse::<Ipv6Addr>().ok().map(|a| a.to_bits()),
            T::EtherAddr => super::lex::parse_mac(text).map(|m| bytes_value(&m)),
            T::String | T::IfName => return string_value(text),
            T::Time => parse_time(text).map(u128::from),
            T::Hour => parse_hour(text).or_else(|| parse_number(text)),
            T::Date => parse_date(text).or_else(|| parse_number(text)),
            T::ClassId => parse_classid(text).or_else(|| parse_number(text)),
            T::Uid => named(symbols::USERS, text).or_else(|| parse_number(text)),
            T::Gid => named(symbols::GROUPS, text).or_else(|| parse_number(text)),
            // Bits by number; the kernel has 128 of them.
            T::CtLabel => match parse_number(text) {
                Some(bit) if bit < 128 => Some(1 << bit),
                _ => None,
            },
            T::Verdict => None,
            _ => parse_number(text),
        };
        match value {
            Some(value) if value <= self.max() => Ok(value),
            Some(_) => Err(format!("{} is at most {}", self.name(), self.max())),
            None => match self {
                T::Ipv4Addr => bad("an IPv4 address"),
                T::Ipv6Addr => bad("an IPv6 address"),
                T::EtherAddr => bad("a MAC address"),
                T::InetService => bad("a port or service name"),
                T::Time => bad("a span of time (1h2m3s)"),
                _ => bad(&format!("a value of type {}", self.name())),
            },
        }
    }

    /// Prints one value as `nft list ruleset` does.
    pub(crate) fn print(self, value: u128, out: &mut String) {
        // Ports are printed as numbers, as nft does without -S.
        let symbols = if self == T::InetService {
            &[][..]
        } else {
            self.symbols()
        };
        if let Some((name, _)) = symbols.iter().find(|(_, v)| *v == value) {
            match self {
                T::Day | T::DevGroup => quoted(name, out),
                _ => out.push_str(name),
            }
            return;
        }
        self.print_unnamed(value, out);
    }

    /// Prints one value without using names for it.
    pub(crate) fn print_number(self, value: u128, out: &mut String) {
        match self {
            T::Time => {
                let _ = write!(out, "{}s", value / 1000);
            }
            _ => self.print_unnamed(value, out),
        }
    }

    fn print_unnamed(self, value: u128, out: &mut String) {
        // Writing into a string cannot fail.
        let _ = match self {
            T::Ipv4Addr => write!(out, "{}", Ipv4Addr::from_bits(value as u32)),
            T::Ipv6Addr => write!(out, "{}", Ipv6Addr::from_bits(value)),
            T::EtherAddr => print_mac(value, out),
            T::String | T::IfName => {
                quoted(&string_of(value), out);
                Ok(())
            }
            T::Mark | T::CtState | T::CtStatus | T::Realm if self != T::Realm => {
                write!(out, "0x{value:08x}")
            }
            T::TcpFlag | T::Dscp => write!(out, "0x{value:02x}"),
            T::EtherType | T::ArpOp | T::IfaceType => write!(out, "0x{value:04x}"),
            T::ClassId => print_classid(value, out),
            T::Time => {
                print_time(value as u64, out);
                Ok(())
            }
            T::Hour => print_hour(value, out),
            T::Date => print_date(value, out),
            T::CtLabel if value.count_ones() == 1 => write!(out, "{}", value.trailing_zeros()),
            _ => write!(out, "{value}"),
        };
    }
}

/// An IPv4 address as `inet_aton()` reads it: four bytes, or a number for the last of them on; or `localhost`, which needs no looking up.
fn parse_ipv4(text: &str) -> Option<u128> {
    if text == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.to_bits().into());
    }
    let parts: Option<Vec<u128>> = text.split('.').map(parse_number).collect();
    let parts = parts?;
    let (last, first) = parts.split_last()?;
    let left = 4usize.checked_sub(first.len()).filter(|left| *left > 0)?;
    let fits = first.iter().all(|byte| *byte < 256) && last >> (8 * left) == 0;
    let high = first.iter().fold(0, |all, byte| all << 8 | byte);
    fits.then(|| high << (8 * left) | last)
}

fn named(symbols: Symbols, text: &str) -> Option<u128> {
    let found = symbols.iter().find(|(name, _)| *name == text)?;
    Some(found.1)
}

/// A number, decimal, octal with a leading 0 as in C, or hexadecimal.
pub(crate) fn parse_number(text: &str) -> Option<u128> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u128::from_str_radix(hex, 16).ok();
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if text.len() > 1 && text.starts_with('0') {
        return u128::from_str_radix(text, 8).ok();
    }
    text.parse().ok()
}

pub(crate) fn bytes_value(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |v, b| v << 8 | u128::from(*b))
}

/// At most 15 bytes, as the kernel's `IFNAMSIZ` with its final zero.
fn string_value(text: &str) -> Result<u128, String> {
    if text.is_empty() || text.len() > 15 {
        return Err("a name has 1 to 15 bytes".to_owned());
    }
    Ok(string_bits(text))
}

/// The value of a name that is known to fit; longer ones are cut to 16 bytes.
pub(crate) fn string_bits(text: &str) -> u128 {
    let mut bytes = [0; 16];
    let len = text.len().min(16);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    u128::from_be_bytes(bytes)
}

pub(crate) fn string_of(value: u128) -> String {
    let bytes = value.to_be_bytes();
    let len = bytes.iter().position(|b| *b == 0).unwrap_or(16);
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

pub(crate) fn quoted(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn print_mac(value: u128, out: &mut String) -> fmt::Result {
    for (i, byte) in value.to_be_bytes()[10..].iter().enumerate() {
        if i > 0 {
            out.push(':');
        }
        write!(out, "{byte:02x}")?;
    }
    Ok(())
}

/// `major:minor`, both hexadecimal.
fn parse_classid(text: &str) -> Option<u128> {
    let half = |text: &str| match text {
        "" => Some(0),
        text => u16::from_str_radix(text, 16).ok(),
    };
    match text {
        "none" => Some(0),
        "root" => Some(0xffff_ffff),
        _ => {
            let (major, minor) = text.split_once(':')?;
            Some(u128::from(half(major)?) << 16 | u128::from(half(minor)?))
        }
    }
}

fn print_classid(value: u128, out: &mut String) -> fmt::Result {
    match (value >> 16, value & 0xffff) {
        (0, 0) => write!(out, "none"),
        (0xffff, 0xffff) => write!(out, "root"),
        (major, minor) => write!(out, "{major:x}:{minor:x}"),
    }
}

/// `1d2h3m4s5ms` in milliseconds; a bare number is seconds.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<u64>().ok()?.checked_mul(1000);
    }
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = match rest.get(..letters)? {
            "w" => 7 * 86_400_000,
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        rest = rest.get(letters..)?;
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty()).then_some(total)
}

/// `time_print()`.
pub(crate) fn print_time(ms: u64, out: &mut String) {
    let start = out.len();
    let parts = [
        (86_400_000, u64::MAX, "d"),
        (3_600_000, 24, "h"),
        (60_000, 60, "m"),
        (1000, 60, "s"),
        (1, 1000, "ms"),
    ];
    for (unit, modulus, name) in parts {
        let n = ms / unit % modulus;
        if n > 0 {
            let _ = write!(out, "{n}{name}");
        }
    }
    if out.len() == start {
        out.push_str("0s");
    }
}

/// `12:34` or `12:34:56`.
fn parse_hour(text: &str) -> Option<u128> {
    let mut parts = text.split(':');
    let h: u128 = parts.next()?.parse().ok()?;
    let m: u128 = parts.next()?.parse().ok()?;
    let s: u128 = match parts.next() {
        Some(s) => s.parse().ok()?,
        None => 0,
    };
    (h < 24 && m < 60 && s < 60 && parts.next().is_none()).then(|| h * 3600 + m * 60 + s)
}

fn print_hour(value: u128, out: &mut String) -> fmt::Result {
    let (h, m, s) = (value / 3600, value / 60 % 60, value % 60);
    match s {
        0 => write!(out, "\"{h:02}:{m:02}\""),
        s => write!(out, "\"{h:02}:{m:02}:{s:02}\""),
    }
}

/// `2020-01-31 12:34:56`, with less of it as zeros; UTC.
fn parse_date(text: &str) -> Option<u128> {
    let (date, hour) = text.split_once(' ').unwrap_or((text, "00:00"));
    let mut parts = date.split('-');
    let y: i64 = parts.next()?.parse().ok()?;
    let m: i64 = parts.next()?.parse().ok()?;
    let d: i64 = parts.next()?.parse().ok()?;
    let valid = (1970..10_000).contains(&y) && (1..=12).contains(&m) && (1..=31).contains(&d);
    if !valid || parts.next().is_some() {
        return None;
    }
    let seconds = days_from_civil(y, m, d) * 86_400;
    Some((u128::try_from(seconds).ok()? + parse_hour(hour)?) * 1_000_000_000)
}

/// Days since 1970-01-01 in the Gregorian calendar, years counted from March so that the leap day is the last.
fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let doy = (153 * (m + if m > 2 { -3 } else { 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn print_date(value: u128, out: &mut String) -> fmt::Result {
    let seconds = (value / 1_000_000_000) as i64;
    let days = seconds.div_euclid(86_400);
    // The year first by estimate, then the month by search: a list is printed for people.
    let mut year = 1970 + days / 366;
    while days_from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|m| days_from_civil(year, *m, 1) <= days)
        .unwrap_or(1);
    let day = days - days_from_civil(year, month, 1) + 1;
    let s = seconds.rem_euclid(86_400);
    write!(
        out,
        "\"{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}\"",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(t: DataType, text: &str) -> String {
        let mut out = String::new();
        t.print(t.parse(text).unwrap(), &mut out);
        out
    }

    #[test]
    fn values_are_printed_as_nft_does() {
        assert_eq!(printed(T::Mark, "7"), "0x00000007");
        assert_eq!(printed(T::InetService, "ssh"), "22");
        assert_eq!(printed(T::InetProto, "6"), "tcp");
        assert_eq!(printed(T::EtherAddr, "0:1:2:3:4:5"), "00:01:02:03:04:05");
        assert_eq!(printed(T::Ipv6Addr, "fd00:0:0::1"), "fd00::1");
        assert_eq!(printed(T::IfName, "eth0"), "\"eth0\"");
        assert_eq!(printed(T::Time, "90m"), "1h30m");
        assert_eq!(printed(T::Dscp, "46"), "ef");
        assert_eq!(
            printed(T::Date, "2020-02-29 01:02:03"),
            "\"2020-02-29 01:02:03\""
        );
        assert_eq!(printed(T::Hour, "12:00"), "\"12:00\"");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(T::InetService.parse("65536").is_err());
        assert!(T::InetProto.parse("256").is_err());
        assert_eq!(T::Ipv4Addr.parse("10.7").unwrap(), 0x0a00_0007);
        assert_eq!(T::Ipv4Addr.parse("0xff").unwrap(), 0xff);
        for wrong in [
            "10.0.0.256",
            "10.0.0.0.0",
            "10.0x1000000",
            "",
            "10..1",
            "10.0.0.-1",
        ] {
            assert!(T::Ipv4Addr.parse(wrong).is_err(), "{wrong}");
        }
        assert!(T::IfName.parse("a-name-of-16-byte").is_err());
        assert!(T::Time.parse("99999999999999999999w").is_err());
        assert!(T::CtLabel.parse("128").is_err());
    }
}
