//! Frames as fields: where they are, and what differs between two.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ethernet header in bytes.
pub const ETH_HLEN: usize = 14;
/// ICMP.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMPv6.
pub const ICMPV6: u8 = 58;
/// Header of IPv6 in bytes.
const IPV6_HLEN: usize = 40;

/// 16 bits in network byte order; 0 outside.
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
}

/// 32 bits in network byte order; 0 outside.
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}

/// Writes 16 bits; nothing happens outside.
pub fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Writes 32 bits; nothing happens outside.
pub fn put32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(field) = bytes.get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// A packet's parts. All positions count from the packet's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol number; IPv6: of what comes behind the extension headers.
    pub protocol: u8,
    /// Header in bytes; IPv6: with the extension headers.
    pub header_len: usize,
    /// Bytes that the length field says.
    pub total_len: usize,
    /// Bytes that are there of it.
    pub end: usize,
    /// Fragment offset in bytes.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
    /// IPv6: where the fragment header is.
    pub fragment_at: Option<usize>,
}

impl Ip {
    /// `None`: no IP header.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        if packet.first()? >> 4 == 6 {
            return Self::parse_v6(packet);
        }
        let header_len = usize::from(packet.first()? & 15) * 4;
        if packet.len() < header_len || header_len < 20 || packet[0] >> 4 != 4 {
            return None;
        }
        let address = |at: usize| Ipv4Addr::from(be32(packet, at)).into();
        let (total_len, fragment) = (usize::from(be16(packet, 2)), be16(packet, 6));
        Some(Self {
            src: address(12),
            dst: address(16),
            protocol: packet[9],
            header_len,
            total_len,
            end: total_len.min(packet.len()).max(header_len),
            offset: usize::from(fragment & 0x1fff) * 8,
            more: fragment & 0x2000 != 0,
            fragment_at: None,
        })
    }

    fn parse_v6(packet: &[u8]) -> Option<Self> {
        let address = |at: usize| -> Option<IpAddr> {
            let bytes = packet.get(at..)?.first_chunk::<16>()?;
            Some(Ipv6Addr::from(*bytes).into())
        };
        let mut ip = Self {
            src: address(8)?,
            dst: address(24)?,
            protocol: packet[6],
            header_len: IPV6_HLEN,
            total_len: IPV6_HLEN + usize::from(be16(packet, 4)),
            end: 0,
            offset: 0,
            more: false,
            fragment_at: None,
        };
        // Hop-by-hop options, routing, fragment, destination options; a chain that is cut off ends where it is.
        while let (0 | 43 | 44 | 60, Some(&[next, len])) = (
            ip.protocol,
            packet.get(ip.header_len..).and_then(<[u8]>::first_chunk),
        ) {
            let at = ip.header_len;
            ip.header_len += match ip.protocol {
                44 => 8,
                _ => 8 + 8 * usize::from(len),
            };
            if ip.protocol == 44 {
                let field = be16(packet, at + 2);
                (ip.offset, ip.more) = (usize::from(field & !7), field & 1 != 0);
                ip.fragment_at = Some(at);
            }
            ip.protocol = next;
            if ip.offset != 0 {
                break;
            }
        }
        ip.header_len = ip.header_len.min(packet.len());
        ip.end = ip.total_len.min(packet.len()).max(ip.header_len);
        Some(ip)
    }

    /// The packet's transport part.
    pub fn transport<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.header_len..self.end).unwrap_or_default()
    }

    /// Whether all of it is here, in one piece.
    pub fn whole(&self) -> bool {
        self.end == self.total_len && self.offset == 0 && !self.more
    }

    /// Source and destination port, as far as the protocol has ports and the bytes are there.
    pub fn ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        let transport = self.transport(packet);
        let has = matches!(self.protocol, TCP | UDP) && self.offset == 0 && transport.len() >= 4;
        has.then(|| (be16(transport, 0), be16(transport, 2)))
    }
}

/// Offset of the checksum in the transport header.
pub fn check_offset(protocol: u8) -> Option<usize> {
    match protocol {
        ICMP | ICMPV6 => Some(2),
        TCP => Some(16),
        UDP => Some(6),
        _ => None,
    }
}

/// What stands in a transport checksum field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// There is none.
    Absent,
    /// The pseudo header's sum: the sender left the rest to its device (`CHECKSUM_PARTIAL`).
    Partial,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
}

/// Folds a sum of 16-bit words.
fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// One's complement sum of words.
pub fn sum_of(words: &[u16]) -> u16 {
    fold(words.iter().map(|&word| u32::from(word)).sum())
}

/// One's complement sum of `bytes` as 16-bit words.
pub fn sum_of_bytes(bytes: &[u8]) -> u16 {
    fold(sum(bytes))
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [a, b] => u32::from(u16::from_be_bytes([*a, *b])),
        [a] => u32::from(*a) << 8,
        _ => 0,
    });
    words.fold(0, |all, word| u32::from(fold(all + word)))
}

fn pseudo_sum(ip: &Ip) -> u32 {
    let len = ip.total_len.saturating_sub(ip.header_len) as u32;
    let address = |address| match address {
        IpAddr::V4(a) => sum(&a.octets()),
        IpAddr::V6(a) => sum(&a.octets()),
    };
    u32::from(ip.protocol) + len + address(ip.src) + address(ip.dst)
}

/// `set_check` for a packet that is quoted and cut, or whose checksum is wrong and stays so: words of its transport header that changed from
/// `before` are made good for in its checksum, if that is there.
pub fn mend_check(packet: &mut [u8], ip: &Ip, before: &[u8]) {
    let at = match check_offset(ip.protocol) {
        Some(offset) => ip.header_len + offset,
        None => return,
    };
    let field = be16(packet, at);
    if ip.offset != 0 || packet.len() < at + 2 || field == 0 {
        return;
    }
    // RFC 1624 eqn. 3; the checksum itself is the same in both.
    let old = !fold(sum(before));
    let new = fold(sum(ip.transport(packet)));
    let all = fold(u32::from(!field) + u32::from(old) + u32::from(new));
    put16(packet, at, !all);
}

/// What the transport checksum of a whole packet is.
pub fn check(packet: &[u8], ip: &Ip) -> Check {
    let transport = ip.transport(packet);
    let Some(at) = check_offset(ip.protocol).filter(|at| ip.whole() && transport.len() >= at + 2)
    else {
        return Check::Absent;
    };
    let field = be16(transport, at);
    let pseudo = match ip.protocol {
        ICMP => 0,
        _ => pseudo_sum(ip),
    };
    if ip.protocol == UDP && field == 0 {
        return Check::Absent;
    }
    if fold(u32::from(fold(pseudo)) + sum(transport)) == 0xffff {
        Check::Good
    } else if ip.protocol != ICMP && field == fold(pseudo) {
        Check::Partial
    } else {
        Check::Bad
    }
}

/// Sets a transport checksum that was [`Check::Good`] before the packet was changed.
pub fn set_check(packet: &mut [u8], ip: &Ip) {
    let Some(at) = check_offset(ip.protocol) else {
        return;
    };
    put16(packet, ip.header_len + at, 0);
    let pseudo = if ip.protocol == ICMP {
        0
    } else {
        pseudo_sum(ip)
    };
    let all = fold(u32::from(fold(pseudo)) + sum(ip.transport(packet)));
    let value = match !all {
        0 if ip.protocol == UDP => 0xffff,
        value => value,
    };
    put16(packet, ip.header_len + at, value);
}

/// Sets the header checksum.
pub fn set_header_check(packet: &mut [u8], header_len: usize) {
    put16(packet, 10, 0);
    let value = !fold(sum(packet.get(..header_len).unwrap_or_default()));
    put16(packet, 10, value);
}

/// A field of a frame: name, position, length.
type Field = (&'static str, usize, usize);

fn fields(frame: &[u8]) -> Vec<Field> {
    let mut all: Vec<Field> = vec![
        ("ether daddr", 0, 6),
        ("ether saddr", 6, 6),
        ("ether type", 12, 2),
    ];
    if !matches!(be16(frame, 12), 0x0800 | 0x86dd) {
        all.push(("payload", ETH_HLEN, usize::MAX));
        return all;
    }
    let Some(ip) = frame.get(ETH_HLEN..).and_then(Ip::parse) else {
        all.push(("payload", ETH_HLEN, usize::MAX));
        return all;
    };
    let v4 = [
        ("ip version and header length", 0, 1),
        ("ip tos", 1, 1),
        ("ip length", 2, 2),
        ("ip id", 4, 2),
        ("ip frag-off", 6, 2),
        ("ip ttl", 8, 1),
        ("ip protocol", 9, 1),
        ("ip checksum", 10, 2),
        ("ip saddr", 12, 4),
        ("ip daddr", 16, 4),
        ("ip options", 20, ip.header_len.saturating_sub(20)),
    ];
    let v6 = [
        ("ip6 version, traffic class, flow label", 0, 4),
        ("ip6 length", 4, 2),
        ("ip6 nexthdr", 6, 1),
        ("ip6 hoplimit", 7, 1),
        ("ip6 source", 8, 16),
        ("ip6 destination", 24, 16),
        (
            "ip6 extension headers",
            40,
            ip.header_len.saturating_sub(40),
        ),
    ];
    let header = match ip.src {
        IpAddr::V4(_) => &v4[..],
        IpAddr::V6(_) => &v6[..],
    };
    for &(name, at, len) in header {
        all.push((name, ETH_HLEN + at, len));
    }
    let at = ETH_HLEN + ip.header_len;
    let transport = ip.transport(&frame[ETH_HLEN..]);
    let known: &[Field] = match ip.protocol {
        _ if ip.offset != 0 => &[],
        UDP => &[
            ("udp sport", 0, 2),
            ("udp dport", 2, 2),
            ("udp length", 4, 2),
            ("udp checksum", 6, 2),
        ],
        TCP => &[
            ("tcp sport", 0, 2),
            ("tcp dport", 2, 2),
            ("tcp seq", 4, 4),
            ("tcp ack", 8, 4),
            ("tcp header length", 12, 1),
            ("tcp flags", 13, 1),
            ("tcp window", 14, 2),
            ("tcp checksum", 16, 2),
            ("tcp urgent", 18, 2),
        ],
        ICMP | ICMPV6 => &[
            ("icmp type", 0, 1),
            ("icmp code", 1, 1),
            ("icmp checksum", 2, 2),
            ("icmp id", 4, 2),
            ("icmp sequence", 6, 2),
        ],
        _ => &[],
    };
    all.extend(
        known
            .iter()
            .map(|&(name, from, len)| (name, at + from, len)),
    );
    let mut payload = known.last().map_or(0, |(_, from, len)| from + len);
    if ip.protocol == TCP && ip.offset == 0 && transport.len() >= 20 {
        let header = usize::from(transport[12] >> 4) * 4;
        all.push(("tcp options", at + 20, header.saturating_sub(20)));
        payload = header.max(20);
    }
    all.push(("payload", at + payload, usize::MAX));
    all
}

fn slice(frame: &[u8], at: usize, len: usize) -> &[u8] {
    let end = at.saturating_add(len).min(frame.len());
    frame.get(at..end).unwrap_or_default()
}

fn show(name: &str, bytes: &[u8]) -> String {
    let address = name.ends_with("addr") && bytes.len() == 4;
    let number = !name.ends_with("checksum") && !name.contains("flags") && !name.contains("off");
    match bytes {
        _ if address => Ipv4Addr::from(be32(bytes, 0)).to_string(),
        [b] if number && name != "payload" => b.to_string(),
        [_, _] if number && name != "ether type" && name != "payload" => be16(bytes, 0).to_string(),
        [_, _, _, _] if number && name != "payload" => be32(bytes, 0).to_string(),
        [] => "nothing".to_owned(),
        _ => {
            let hex: String = bytes.iter().take(64).map(|b| format!("{b:02x}")).collect();
            let cut = if bytes.len() > 64 { "…" } else { "" };
            format!("0x{hex}{cut} ({} bytes)", bytes.len())
        }
    }
}

/// The fields in which two frames differ: name, in the first, in the second. Fields are those of the first.
pub fn differing_fields(kernel: &[u8], here: &[u8]) -> Vec<(String, String, String)> {
    let mut found: Vec<_> = fields(kernel)
        .into_iter()
        .filter_map(|(name, at, len)| {
            let (k, h) = (slice(kernel, at, len), slice(here, at, len));
            (k != h).then(|| (name.to_owned(), show(name, k), show(name, h)))
        })
        .collect();
    if found.is_empty() && kernel != here {
        found.push(("bytes".into(), show("bytes", kernel), show("bytes", here)));
    }
    found
}

/// One line about a frame.
pub fn summary(frame: &[u8]) -> String {
    let packet = frame.get(ETH_HLEN..).unwrap_or_default();
    let known = matches!(be16(frame, 12), 0x0800 | 0x86dd);
    let Some(ip) = Ip::parse(packet).filter(|_| known) else {
        return format!("ether type {:#06x}, {} bytes", be16(frame, 12), frame.len());
    };
    let (src, dst, len) = (ip.src, ip.dst, ip.total_len);
    let transport = ip.transport(packet);
    match (ip.protocol, ip.ports(packet)) {
        (TCP, Some((s, d))) => format!(
            "tcp {src}:{s} > {dst}:{d} flags {:#04x} length {len}",
            transport.get(13).copied().unwrap_or(0)
        ),
        (UDP, Some((s, d))) => format!("udp {src}:{s} > {dst}:{d} length {len}"),
        (ICMP | ICMPV6, _) if transport.len() >= 2 && ip.offset == 0 => format!(
            "icmp type {} code {} {src} > {dst} length {len}",
            transport[0], transport[1]
        ),
        (p, _) => format!(
            "protocol {p} {src} > {dst} offset {} length {len}",
            ip.offset
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `10.0.1.2:40000 > 10.0.1.1:9` "hi", checksum left to the device.
    pub const DATAGRAM: [u8; 44] = [
        2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2, 8, 0, 0x45, 0, 0, 30, 0x11, 0x26, 0x40, 0, 64, 17,
        0x13, 0xa7, 10, 0, 1, 2, 10, 0, 1, 1, 0x9c, 0x40, 0, 9, 0, 10, 0x16, 0x1e, b'h', b'i',
    ];

    #[test]
    fn checksums_are_told_apart() {
        let mut packet = DATAGRAM[14..].to_vec();
        let ip = Ip::parse(&packet).unwrap();
        assert_eq!(check(&packet, &ip), Check::Partial);
        set_check(&mut packet, &ip);
        assert_eq!(check(&packet, &ip), Check::Good);
        packet[29] ^= 1;
        assert_eq!(check(&packet, &ip), Check::Bad);
        put16(&mut packet, 26, 0);
        assert_eq!(check(&packet, &ip), Check::Absent);
        let before = packet.clone();
        set_header_check(&mut packet, 20);
        assert_eq!(packet, before);
    }

    #[test]
    fn differences_have_names() {
        let mut other = DATAGRAM;
        other[14 + 8] = 63;
        other[14 + 19] = 7;
        other[43] = b'o';
        let found: Vec<String> = differing_fields(&DATAGRAM, &other)
            .into_iter()
            .map(|(name, k, h)| format!("{name} {k} {h}"))
            .collect();
        let expected = [
            "ip ttl 64 63",
            "ip daddr 10.0.1.1 10.0.1.7",
            "payload 0x6869 (2 bytes) 0x686f (2 bytes)",
        ];
        assert_eq!(found, expected);
        assert!(differing_fields(&DATAGRAM, &DATAGRAM).is_empty());
        assert_eq!(
            summary(&DATAGRAM),
            "udp 10.0.1.2:40000 > 10.0.1.1:9 length 30"
        );
        for len in 0..DATAGRAM.len() {
            summary(&DATAGRAM[..len]);
            assert!(!differing_fields(&DATAGRAM, &DATAGRAM[..len]).is_empty());
        }
    }
}
