//! Where the headers of a TCP or UDP packet are.

use crate::checksum;
use crate::ipv4::header::Ipv4Header;
use crate::ipv4::{IPPROTO_TCP, IPPROTO_UDP};
use crate::ipv6::header::Ipv6Header;
use crate::ipv6::{IPV6_HLEN, NEXTHDR_DEST, NEXTHDR_HOP, NEXTHDR_ROUTING, ext_len};

/// Offsets of the headers, in bytes from the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub ipv6: bool,
    /// Of the transport header.
    pub protocol: u8,
    /// Length of the network header without IPv6 extension headers.
    pub network_len: usize,
    /// Where the transport header is.
    pub transport: usize,
    /// Where the payload is.
    pub payload: usize,
}

impl Layout {
    /// Reads the headers at the front of `network`; `None` when it is not a TCP segment or UDP datagram (a fragment is neither), or a
    /// header is cut off.
    pub fn parse(network: &[u8]) -> Option<Self> {
        let ipv6 = network.first()? >> 4 == 6;
        let (protocol, network_len, transport) = if ipv6 {
            // ipv6_gso_pull_exthdrs(): a fragment header ends it.
            let mut protocol = Ipv6Header::new(network)?.next_header();
            let mut offset = IPV6_HLEN;
            while matches!(protocol, NEXTHDR_HOP | NEXTHDR_ROUTING | NEXTHDR_DEST) {
                let rest = network.get(offset..)?;
                protocol = *rest.first()?;
                offset += ext_len(rest)?;
            }
            (protocol, IPV6_HLEN, offset)
        } else {
            let header = Ipv4Header::new(network)?;
            if header.is_fragment() {
                return None;
            }
            let len = header.header_len();
            (header.protocol(), len, len)
        };
        let rest = network.get(transport..)?;
        let header_len = match protocol {
            IPPROTO_TCP => usize::from(*rest.get(12)? >> 4) * 4,
            IPPROTO_UDP => 8,
            _ => return None,
        };
        if protocol == IPPROTO_TCP && header_len < 20 || header_len > rest.len() {
            return None;
        }
        Some(Self {
            ipv6,
            protocol,
            network_len,
            transport,
            payload: transport + header_len,
        })
    }

    /// Sum of the pseudo header for a transport header and payload of `len` bytes, with the addresses of the network header.
    pub fn pseudo_sum(&self, network: &[u8], len: usize) -> u32 {
        if self.ipv6 {
            Ipv6Header::new(network).map_or(0, |h| {
                checksum::pseudo_header_v6(h.saddr(), h.daddr(), self.protocol, len as u32)
            })
        } else {
            Ipv4Header::new(network).map_or(0, |h| {
                checksum::pseudo_header_v4(h.saddr(), h.daddr(), self.protocol, len as u16)
            })
        }
    }
}
