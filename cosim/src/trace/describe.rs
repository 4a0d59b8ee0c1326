//! One line that says what a frame is, for people. Not a parser to build on: it reads what it
//! needs and stays silent about the rest.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

const ETH_P_IP: u16 = 0x0800;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021AD: u16 = 0x88a8;

/// Describes an Ethernet frame (destination address first, FCS not included), e.g.
/// `ICMP 192.0.2.10 > 192.0.2.20 echo request id 0x2c39 seq 1`.
pub fn describe(frame: &[u8]) -> String {
    describe_ethernet(frame).unwrap_or_else(|| "frame cut short".into())
}

fn describe_ethernet(frame: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut at = 12;
    let mut ethertype = be16(frame, at)?;
    while matches!(ethertype, ETH_P_8021Q | ETH_P_8021AD) {
        let _ = write!(text, "vlan {} ", be16(frame, at + 2)? & 0x0fff);
        at += 4;
        ethertype = be16(frame, at)?;
    }
    let payload = frame.get(at + 2..)?;
    match ethertype {
        ETH_P_ARP => text += &arp(payload)?,
        ETH_P_IP => text += &ipv4(payload)?,
        ETH_P_IPV6 => text += &ipv6(payload)?,
        other => {
            let _ = write!(text, "ethertype {other:#06x}");
        }
    }
    Some(text)
}

fn arp(p: &[u8]) -> Option<String> {
    let (sender, target) = (ipv4_addr(p, 14)?, ipv4_addr(p, 24)?);
    Some(match be16(p, 6)? {
        1 => format!("ARP who-has {target} tell {sender}"),
        2 => format!("ARP {sender} is-at {}", mac(p, 8)?),
        op => format!("ARP operation {op}"),
    })
}

fn ipv4(p: &[u8]) -> Option<String> {
    let header_len = usize::from(p.first()? & 0x0f) * 4;
    let (src, dst, protocol) = (ipv4_addr(p, 12)?, ipv4_addr(p, 16)?, *p.get(9)?);
    let fragment = be16(p, 6)?;
    let (offset, more) = (usize::from(fragment & 0x1fff) * 8, fragment & 0x2000 != 0);
    if offset != 0 || more {
        return Some(format!(
            "IPv4 {src} > {dst} fragment id {:#06x} offset {offset}{}",
            be16(p, 4)?,
            if more { "" } else { ", the last" }
        ));
    }
    Some(upper(
        protocol,
        &src.to_string(),
        &dst.to_string(),
        p.get(header_len..)?,
    ))
}

fn ipv6(p: &[u8]) -> Option<String> {
    let (src, dst) = (ipv6_addr(p, 8)?, ipv6_addr(p, 24)?);
    let mut next = *p.get(6)?;
    let mut at = 40;
    // Hop-by-hop, routing, destination options (RFC 8200 4.1); at most as many as fit.
    while matches!(next, 0 | 43 | 60) {
        next = *p.get(at)?;
        at += 8 + usize::from(*p.get(at + 1)?) * 8;
    }
    if next == 44 {
        let field = be16(p, at + 2)?;
        return Some(format!(
            "IPv6 {src} > {dst} fragment offset {}{}",
            field & 0xfff8,
            if field & 1 == 0 { ", the last" } else { "" }
        ));
    }
    Some(upper(
        next,
        &src.to_string(),
        &dst.to_string(),
        p.get(at..)?,
    ))
}

fn upper(protocol: u8, src: &str, dst: &str, p: &[u8]) -> String {
    match protocol {
        1 => icmp(src, dst, p, "ICMP", 8, 0),
        58 => icmp(src, dst, p, "ICMPv6", 128, 129),
        17 => ports("UDP", src, dst, p).map(|t| match be16(p, 4) {
            Some(len) => format!("{t} {} bytes", len.saturating_sub(8)),
            None => t,
        }),
        6 => ports("TCP", src, dst, p).map(|t| t + &tcp_flags(p)),
        other => Some(format!("IP protocol {other} {src} > {dst}")),
    }
    .unwrap_or_else(|| format!("IP protocol {protocol} {src} > {dst}, cut short"))
}

fn icmp(src: &str, dst: &str, p: &[u8], name: &str, request: u8, reply: u8) -> Option<String> {
    let kind = *p.first()?;
    let what = match (name, kind) {
        _ if kind == request || kind == reply => format!(
            "echo {} id {:#06x} seq {}",
            if kind == request { "request" } else { "reply" },
            be16(p, 4)?,
            be16(p, 6)?
        ),
        ("ICMP", 3) => format!("destination unreachable, code {}", p.get(1)?),
        ("ICMP", 11) | ("ICMPv6", 3) => format!("time exceeded, code {}", p.get(1)?),
        ("ICMPv6", 1) => format!("destination unreachable, code {}", p.get(1)?),
        ("ICMPv6", 133) => "router solicitation".into(),
        ("ICMPv6", 134) => "router advertisement".into(),
        ("ICMPv6", 135) => format!("neighbour solicitation for {}", ipv6_addr(p, 8)?),
        ("ICMPv6", 136) => format!("neighbour advertisement of {}", ipv6_addr(p, 8)?),
        ("ICMPv6", 143) => "multicast listener report".into(),
        _ => format!("type {kind} code {}", p.get(1)?),
    };
    Some(format!("{name} {src} > {dst} {what}"))
}

fn ports(name: &str, src: &str, dst: &str, p: &[u8]) -> Option<String> {
    Some(format!(
        "{name} {src} port {} > {dst} port {}",
        be16(p, 0)?,
        be16(p, 2)?
    ))
}

fn tcp_flags(p: &[u8]) -> String {
    let Some(flags) = p.get(13) else {
        return String::new();
    };
    let names = [(2, "SYN"), (16, "ACK"), (8, "PSH"), (1, "FIN"), (4, "RST")];
    let set: Vec<_> = names
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, n)| *n)
        .collect();
    format!(" {}", set.join(","))
}

fn be16(p: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(p.get(at..at + 2)?.try_into().ok()?))
}

fn ipv4_addr(p: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(<[u8; 4]>::try_from(p.get(at..at + 4)?).ok()?.into())
}

fn ipv6_addr(p: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(<[u8; 16]>::try_from(p.get(at..at + 16)?).ok()?.into())
}

fn mac(p: &[u8], at: usize) -> Option<crate::addr::Mac> {
    Some(crate::addr::Mac(p.get(at..at + 6)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Capture;

    fn capture() -> Capture {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mixed.pcap");
        Capture::open(std::path::Path::new(path)).unwrap()
    }

    #[test]
    fn frames_of_a_real_capture() {
        let capture = capture();
        let line = |n: usize| describe(&capture.frames[n - 1].bytes);
        assert_eq!(line(3), "ARP who-has 192.0.2.20 tell 192.0.2.10");
        assert_eq!(line(4), "ARP 192.0.2.20 is-at 02:00:00:00:00:0b");
        assert_eq!(
            line(5),
            "ICMP 192.0.2.10 > 192.0.2.20 echo request id 0x2c39 seq 1"
        );
        assert_eq!(
            line(12),
            "IPv4 192.0.2.10 > 192.0.2.20 fragment id 0x30d8 offset 1480"
        );
        assert_eq!(
            line(13),
            "IPv4 192.0.2.10 > 192.0.2.20 fragment id 0x30d8 offset 2960, the last"
        );
        assert_eq!(
            line(1),
            "ICMPv6 fe80::c800:a9ff:fec6:d996 > ff02::16 multicast listener report"
        );
        assert_eq!(
            line(25),
            "ICMPv6 2001:db8::10 > ff02::1:ff00:20 neighbour solicitation for 2001:db8::20"
        );
        assert_eq!(
            line(28),
            "ICMPv6 2001:db8::20 > 2001:db8::10 echo reply id 0x2d1b seq 1"
        );
        assert_eq!(
            line(31),
            "UDP 192.0.2.10 port 39390 > 192.0.2.20 port 53 53 bytes"
        );
        assert_eq!(
            line(33),
            "TCP 192.0.2.10 port 46930 > 192.0.2.20 port 80 SYN"
        );
    }

    #[test]
    fn cut_frames_do_not_panic() {
        for frame in &capture().frames {
            for len in 0..frame.bytes.len().min(120) {
                let _ = describe(&frame.bytes[..len]);
            }
        }
    }
}
