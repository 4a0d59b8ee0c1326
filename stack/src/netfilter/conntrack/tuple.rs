//! Which flow a packet belongs to, in one direction (`struct nf_conntrack_tuple`).

use crate::hook::Family;
use crate::ipv4::header::Ipv4Header;
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, is_later_fragment};
use crate::ipv6::{IPPROTO_ICMPV6, find_upper};
use std::net::IpAddr;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// TCP and UDP: source port. ICMP and ICMPv6: the id of the query. 0 otherwise. Host byte order.
    pub src_port: u16,
    /// TCP and UDP: destination port. ICMP and ICMPv6: type in the high byte, code in the low one. 0 otherwise. Host byte order.
    pub dst_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// Direction of a packet in its connection (`IP_CT_DIR_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Dir {
    /// As the first packet.
    Original,
    /// Against it.
    Reply,
}

impl Dir {
    /// The other one.
    pub const fn reverse(self) -> Self {
        match self {
            Dir::Original => Dir::Reply,
            Dir::Reply => Dir::Original,
        }
    }
}

/// Where a packet's transport header is (`get_l4proto()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L4 {
    pub protocol: u8,
    /// Bytes from the start of the IP header.
    pub offset: usize,
}

impl L4 {
    /// `None` for fragments other than the first, and for headers that are cut off. `packet` begins with the IP header.
    pub fn of(packet: &[u8], family: Family) -> Option<Self> {
        match family {
            Family::Ipv4 => {
                let header = Ipv4Header::new(packet)?;
                (!is_later_fragment(&header)).then(|| Self {
                    protocol: header.protocol(),
                    offset: header.header_len(),
                })
            }
            Family::Ipv6 => {
                let upper = find_upper(packet)?;
                (!upper.later_fragment).then_some(Self {
                    protocol: upper.protocol,
                    offset: upper.offset,
                })
            }
            Family::Netdev => None,
        }
    }
}

/// ICMP query types, each with the type that answers it (`invmap` of nf_conntrack_proto_icmp.c): echo, timestamp, information, address mask.
const ICMP_QUERIES: [(u8, u8); 4] = [(8, 0), (13, 14), (15, 16), (17, 18)];
/// The same of ICMPv6: echo, node information (RFC 4620).
const ICMPV6_QUERIES: [(u8, u8); 2] = [(128, 129), (139, 140)];

fn icmp_queries(protocol: u8) -> &'static [(u8, u8)] {
    if protocol == IPPROTO_ICMP {
        &ICMP_QUERIES
    } else {
        &ICMPV6_QUERIES
    }
}

/// GRE, e.g. tunnels and PPTP's data.
pub(super) const IPPROTO_GRE: u8 = 47;
/// What PPTP's GRE carries (`GRE_PROTO_PPP`, RFC 2637).
const GRE_PROTO_PPP: u16 = 0x880b;

/// `gre_pkt_to_tuple()`: version 1, PPTP's, has a call; what else there is, or is cut off, has nothing that tells connections apart. `None`:
/// version 1 that is not PPTP's.
fn gre_key(header: &[u8]) -> Option<u16> {
    let Some(&[_, flags, p0, p1, _, _, c0, c1]) = header.first_chunk() else {
        return Some(0);
    };
    if flags & 7 != 1 {
        return Some(0);
    }
    (u16::from_be_bytes([p0, p1]) == GRE_PROTO_PPP).then_some(u16::from_be_bytes([c0, c1]))
}

impl Tuple {
    /// `nf_ct_get_tuple()`: of the packet that begins with the IP header `packet`. `None` when a header is cut off.
    pub(crate) fn of(packet: &[u8], family: Family, l4: L4) -> Option<Self> {
        let (src, dst) = addresses(packet, family)?;
        let transport = packet.get(l4.offset..)?;
        let (src_port, dst_port) = match l4.protocol {
            IPPROTO_TCP | IPPROTO_UDP => {
                let &[s0, s1, d0, d1] = transport.first_chunk()?;
                (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]))
            }
            IPPROTO_ICMP | IPPROTO_ICMPV6 => {
                let &[kind, code, _, _, id0, id1, _, _] = transport.first_chunk()?;
                (
                    u16::from_be_bytes([id0, id1]),
                    u16::from_be_bytes([kind, code]),
                )
            }
            IPPROTO_GRE => (0, gre_key(transport)?),
            _ => (0, 0),
        };
        Some(Self {
            src,
            dst,
            src_port,
            dst_port,
            protocol: l4.protocol,
        })
    }

    /// `nf_ct_invert_tuple()`: the other direction. `None` for ICMP messages that nothing answers.
    pub fn invert(&self) -> Option<Self> {
        let (src_port, dst_port) = if self.is_icmp() {
            let (kind, code) = (self.icmp_type(), self.icmp_code());
            let answer =
                icmp_queries(self.protocol)
                    .iter()
                    .find_map(|&(query, reply)| match kind {
                        k if k == query => Some(reply),
                        k if k == reply => Some(query),
                        _ => None,
                    })?;
            (self.src_port, u16::from_be_bytes([answer, code]))
        } else {
            (self.dst_port, self.src_port)
        };
        Some(Self {
            src: self.dst,
            dst: self.src,
            src_port,
            dst_port,
            protocol: self.protocol,
        })
    }

    /// ICMP or ICMPv6.
    pub fn is_icmp(&self) -> bool {
        matches!(self.protocol, IPPROTO_ICMP | IPPROTO_ICMPV6)
    }

    /// ICMP: the message type.
    pub fn icmp_type(&self) -> u8 {
        self.dst_port.to_be_bytes()[0]
    }

    /// ICMP: the message code.
    pub fn icmp_code(&self) -> u8 {
        self.dst_port.to_be_bytes()[1]
    }

    /// Whether it is an ICMP query, which may begin a connection (`valid_new`).
    pub(crate) fn is_icmp_query(&self) -> bool {
        icmp_queries(self.protocol)
            .iter()
            .any(|&(query, _)| query == self.icmp_type())
    }

    /// The family of the addresses.
    pub fn family(&self) -> Family {
        if self.src.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        }
    }
}

/// Source and destination address.
pub(crate) fn addresses(packet: &[u8], family: Family) -> Option<(IpAddr, IpAddr)> {
    match family {
        Family::Ipv4 => {
            let header = Ipv4Header::new(packet)?;
            Some((header.saddr().into(), header.daddr().into()))
        }
        Family::Ipv6 => {
            let header = crate::ipv6::header::Ipv6Header::new(packet)?;
            Some((header.saddr().into(), header.daddr().into()))
        }
        Family::Netdev => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_pptp_are_told_apart() {
        let key = |header: &[u8]| gre_key(header);
        assert_eq!(key(&[0, 0, 8, 0]), Some(0), "version 0");
        assert_eq!(
            key(&[0x30, 0x01, 0x88, 0x0b, 0, 9, 0x12, 0x34]),
            Some(0x1234)
        );
        assert_eq!(
            key(&[0x30, 0x81, 0x88, 0x0b, 0, 9, 0x12, 0x34]),
            Some(0x1234)
        );
        assert_eq!(key(&[0x30, 0x01, 0x08, 0x00, 0, 9, 0x12, 0x34]), None);
        assert_eq!(key(&[0x30, 0x01, 0x88]), Some(0), "cut off");
    }

    #[test]
    fn inverting_twice_gives_the_same() {
        let tcp = Tuple {
            src: "10.0.0.1".parse().unwrap(),
            dst: "10.0.0.2".parse().unwrap(),
            src_port: 1,
            dst_port: 2,
            protocol: IPPROTO_TCP,
        };
        let back = tcp.invert().unwrap();
        assert_eq!((back.src, back.src_port), (tcp.dst, 2));
        assert_eq!(back.invert(), Some(tcp));
        let echo = Tuple {
            src_port: 77,
            dst_port: 0x0800,
            protocol: IPPROTO_ICMP,
            ..tcp
        };
        let reply = echo.invert().unwrap();
        assert_eq!((reply.src_port, reply.icmp_type()), (77, 0));
        assert!(echo.is_icmp_query() && !reply.is_icmp_query());
        let unreachable = Tuple {
            dst_port: 0x0301,
            ..echo
        };
        assert_eq!(unreachable.invert(), None);
    }
}
