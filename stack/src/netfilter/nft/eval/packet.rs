//! Where a packet's headers are (`struct nft_pktinfo`).

use crate::hook::Family;
use crate::ipv4::IPV4_HLEN;
use crate::ipv4::header::Ipv4Header;
use crate::ipv6::IPV6_HLEN;
use crate::ipv6::exthdr::find_upper;
use crate::ipv6::header::Ipv6Header;
use crate::skb::SkBuff;
use crate::tcp::header::TCP_HLEN;
use crate::udp::UDP_HLEN;

/// Bytes of the network header that are at hand: those that every packet of its kind has.
const NETWORK: usize = IPV6_HLEN;
/// Bytes of the transport header that are at hand, likewise.
const TRANSPORT: usize = TCP_HLEN;

/// Where [`Packet::view`] has what.
pub(crate) mod view {
    /// The mark, 4 bytes.
    pub const MARK: usize = 0;
    /// The transport protocol, 1 byte.
    pub const L4PROTO: usize = 4;
    /// The network header.
    pub const NETWORK: usize = 8;
    /// The transport header.
    pub const TRANSPORT: usize = NETWORK + super::NETWORK;
    /// Its size: the last field can be read as four bytes.
    pub const LEN: usize = TRANSPORT + super::TRANSPORT + 3;
}

/// Positions of the headers, found once a base chain, and what rules mostly read, at places that do not depend on the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    view: [u8; view::LEN],
    /// Bytes of the network header that are in `view`.
    pub network_len: u8,
    /// One more than the bytes of the transport header that are in `view`; 0: no transport protocol is known.
    pub transport_len: u8,
    /// It is a fragment other than the first: what is at `thoff` is no header.
    pub later_fragment: bool,
    /// Transport protocol; `None` when there is none to be found.
    pub l4proto: Option<u8>,
    /// Transport header, in bytes from the network header.
    pub thoff: usize,
}

/// What [`Packet`] knows of the headers.
#[derive(Clone, Copy)]
struct Headers {
    l4proto: Option<u8>,
    thoff: usize,
    later_fragment: bool,
}

/// Copies `N` bytes, which for a length that is known is a few moves and no call; `None` if there are fewer.
#[inline]
fn copy<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<usize> {
    *to.first_chunk_mut::<N>()? = *from.first_chunk::<N>()?;
    Some(N)
}

/// As many bytes of `from` as both have.
fn copy_rest(to: &mut [u8], from: &[u8]) -> usize {
    let len = to.len().min(from.len());
    to[..len].copy_from_slice(&from[..len]);
    len
}

impl Packet {
    /// `nft_set_pktinfo_ipv4()`, `nft_set_pktinfo_ipv6()`; at a device, where nobody looked at the header yet, their `_validate` forms.
    #[inline]
    pub fn new(skb: &SkBuff, family: Family) -> Self {
        let headers = Headers::new(skb, family);
        let mut packet = Self {
            view: [0; view::LEN],
            network_len: 0,
            transport_len: 0,
            later_fragment: headers.later_fragment,
            l4proto: headers.l4proto,
            thoff: headers.thoff,
        };
        packet.view[view::L4PROTO] = headers.l4proto.unwrap_or(0);
        packet.refresh(skb);
        packet
    }

    /// The packet's bytes or its mark changed.
    #[inline]
    pub fn refresh(&mut self, skb: &SkBuff) {
        let bytes = skb.network_bytes();
        self.view[view::MARK..view::L4PROTO].copy_from_slice(&skb.mark.to_be_bytes());
        let (network, transport) = self.view.split_at_mut(view::TRANSPORT);
        let network = &mut network[view::NETWORK..];
        // Both lengths are less than 256.
        let copied = copy::<NETWORK>(network, bytes)
            .or_else(|| copy::<IPV4_HLEN>(network, bytes))
            .unwrap_or_else(|| copy_rest(network, bytes));
        self.network_len = copied as u8;
        if self.l4proto.is_some() {
            let header = bytes.get(self.thoff..).unwrap_or_default();
            let transport = &mut transport[..TRANSPORT];
            let copied = copy::<TRANSPORT>(transport, header)
                .or_else(|| copy::<UDP_HLEN>(transport, header))
                .unwrap_or_else(|| copy_rest(transport, header));
            self.transport_len = 1 + copied as u8;
        }
    }

    /// Four bytes from `at` on of what [`view`] names.
    #[inline]
    pub fn view(&self, at: u8) -> u32 {
        let bytes = self
            .view
            .get(usize::from(at)..)
            .and_then(<[u8]>::first_chunk);
        u32::from_be_bytes(*bytes.unwrap_or(&[0; 4]))
    }

    /// Whether `len` bytes from `at` on can be read of the transport header. Of a later fragment, which has none, the kernel reads all the
    /// same what its quick way reads: 1, 2 or 4 bytes at a multiple of their number (`nft_payload_fast_eval()`).
    #[inline]
    pub fn has_transport(&self, at: usize, len: usize) -> bool {
        let quick = matches!(len, 1 | 2 | 4) && at.is_multiple_of(len);
        self.l4proto.is_some() && (quick || !self.later_fragment)
    }
}

impl Headers {
    /// There are none that could be found.
    const UNKNOWN: Self = Self {
        l4proto: None,
        thoff: 0,
        later_fragment: false,
    };

    #[inline]
    fn new(skb: &SkBuff, family: Family) -> Self {
        match (family, skb.protocol) {
            (Family::Ipv4, _) => Self::ipv4(skb, false),
            (Family::Ipv6, _) => Self::ipv6(skb, false),
            (Family::Netdev, 0x0800) => Self::ipv4(skb, true),
            (Family::Netdev, 0x86dd) => Self::ipv6(skb, true),
            (Family::Netdev, _) => Self::UNKNOWN,
        }
    }

    #[inline]
    fn ipv4(skb: &SkBuff, validate: bool) -> Self {
        let Some(header) = Ipv4Header::new(skb.network_bytes()) else {
            return Self::UNKNOWN;
        };
        let total = skb.len() as isize - skb.network_offset();
        let len = header.tot_len();
        if validate && (len as isize > total || len < header.header_len()) {
            return Self::UNKNOWN;
        }
        Self {
            l4proto: Some(header.protocol()),
            thoff: header.header_len(),
            later_fragment: header.offset() != 0,
        }
    }

    fn ipv6(skb: &SkBuff, validate: bool) -> Self {
        let bytes = skb.network_bytes();
        let Some(header) = Ipv6Header::new(bytes) else {
            return Self::UNKNOWN;
        };
        let total = skb.len() as isize - skb.network_offset();
        if validate && header.payload_len() as isize + 40 > total {
            return Self::UNKNOWN;
        }
        match find_upper(bytes) {
            Some(upper) => Self {
                l4proto: Some(upper.protocol),
                // ipv6_find_hdr() finds no transport header in a later fragment, and nft counts from the packet's first byte then.
                thoff: if upper.later_fragment {
                    0
                } else {
                    upper.offset
                },
                later_fragment: upper.later_fragment,
            },
            None => Self::UNKNOWN,
        }
    }
}
