//! Frames as the hosts around the router make them, IPv4 and IPv6.

use std::net::IpAddr;

use cosim::oracle::frame::{ICMP, ICMPV6, TCP, UDP, put16};

/// More fragments, in IPv4's field.
const IP_MF: u16 = 0x2000;

/// An IP header, without the addresses.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Of what comes behind it.
    pub protocol: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Type of service, traffic class.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Don't fragment (IPv4).
    pub df: bool,
    /// Offset in bytes, and whether more follow.
    pub fragment: Option<(usize, bool)>,
    /// IPv6: extension headers of 8 bytes (0 hop-by-hop, 43 routing, 60 destination options), in order, before the fragment header.
    pub extensions: Vec<u8>,
}

/// The Internet checksum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for bytes in parts {
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// An Ethernet frame into `device` around a packet.
pub fn frame(
    device: usize,
    src: IpAddr,
    dst: IpAddr,
    header: &Header,
    transport: &[u8],
) -> Vec<u8> {
    let net = device as u8 + 1;
    let mut bytes = vec![2, 0, 0, 0, net, 1, 2, 0, 0, 0, net, 2];
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            bytes.extend([8, 0]);
            let mut ip = vec![0x45, header.tos];
            ip.extend((20 + transport.len() as u16).to_be_bytes());
            ip.extend(header.id.to_be_bytes());
            let (offset, more) = header.fragment.unwrap_or_default();
            let flags = if more { IP_MF } else { 0 } | if header.df { 0x4000 } else { 0 };
            ip.extend((flags | (offset / 8) as u16 & 0x1fff).to_be_bytes());
            ip.extend([header.ttl, header.protocol, 0, 0]);
            ip.extend(src.octets());
            ip.extend(dst.octets());
            let check = checksum(&[&ip]);
            put16(&mut ip, 10, check);
            bytes.extend(ip);
        }
        (src, dst) => {
            let v6 = |a| match a {
                IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
                IpAddr::V6(a) => a.octets(),
            };
            let mut kinds = header.extensions.clone();
            kinds.extend(header.fragment.map(|_| 44));
            let extensions = extensions(header, &kinds);
            bytes.extend([0x86, 0xdd, 0x60 | header.tos >> 4, header.tos << 4, 0, 0]);
            bytes.extend(((extensions.len() + transport.len()) as u16).to_be_bytes());
            bytes.extend([*kinds.first().unwrap_or(&header.protocol), header.ttl]);
            bytes.extend(v6(src));
            bytes.extend(v6(dst));
            bytes.extend(extensions);
        }
    }
    bytes.extend(transport);
    bytes
}

fn extensions(header: &Header, kinds: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, kind) in kinds.iter().enumerate() {
        let next = *kinds.get(i + 1).unwrap_or(&header.protocol);
        match kind {
            44 => {
                let (offset, more) = header.fragment.unwrap_or_default();
                bytes.extend([next, 0]);
                bytes.extend((offset as u16 & !7 | u16::from(more)).to_be_bytes());
                bytes.extend([0x12, 0x34]);
                bytes.extend(header.id.to_be_bytes());
            }
            // Type 4, no segments left: who does not know it goes on.
            43 => bytes.extend([next, 0, 4, 0, 0, 0, 0, 0]),
            // PadN.
            _ => bytes.extend([next, 0, 1, 4, 0, 0, 0, 0]),
        }
    }
    bytes
}

/// Sets the checksum of a TCP, UDP, ICMP or ICMPv6 part.
pub fn with_checksum(src: IpAddr, dst: IpAddr, protocol: u8, mut transport: Vec<u8>) -> Vec<u8> {
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        ICMP | ICMPV6 => 2,
        _ => return transport,
    };
    if transport.len() < at + 2 {
        return transport;
    }
    put16(&mut transport, at, 0);
    let mut pseudo = Vec::new();
    if protocol != ICMP {
        for address in [src, dst] {
            match address {
                IpAddr::V4(a) => pseudo.extend(a.octets()),
                IpAddr::V6(a) => pseudo.extend(a.octets()),
            }
        }
        pseudo.extend([0, protocol]);
        pseudo.extend((transport.len() as u16).to_be_bytes());
    }
    let value = match checksum(&[&pseudo, &transport]) {
        0 if protocol == UDP => 0xffff,
        value => value,
    };
    put16(&mut transport, at, value);
    transport
}

/// A UDP datagram without checksum.
pub fn udp(sport: u16, dport: u16, payload: usize, fill: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend((8 + payload as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((0..payload).map(|i| fill.wrapping_add(i as u8)));
    bytes
}

/// What a TCP segment says, besides ports and payload.
#[derive(Debug, Clone, Copy, Default)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// Options of a SYN besides the MSS: 1 window scale 3, 2 SACK permitted, 4 timestamps, as bits.
    pub options: u8,
    /// Window.
    pub window: u16,
}

/// A TCP segment with options when it is a SYN.
pub fn tcp(sport: u16, dport: u16, segment: Segment, payload: usize) -> Vec<u8> {
    let Segment {
        seq,
        ack,
        flags,
        options,
        window,
    } = segment;
    let mut said = Vec::new();
    if flags & 2 != 0 {
        said.extend([2, 4, 5, 0xb4]);
        if options & 1 != 0 {
            said.extend([1, 3, 3, 3]);
        }
        if options & 2 != 0 {
            said.extend([1, 1, 4, 2]);
        }
        if options & 4 != 0 {
            said.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]);
        }
    }
    let mut bytes = Vec::new();
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([(((20 + said.len()) / 4) << 4) as u8, flags]);
    bytes.extend(window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(said);
    bytes.extend(vec![b'p'; payload]);
    bytes
}
