//! Where a packet's headers are (`struct nft_pktinfo`).

use crate::hook::Family;
use crate::ipv4::header::Ipv4Header;
use crate::ipv6::exthdr::find_upper;
use crate::ipv6::header::Ipv6Header;
use crate::skb::SkBuff;

/// Bytes from the network header on that are at hand: an IPv4 header with options and ports, or an IPv6 header and ports.
const HEAD: usize = 64;

/// Positions of the headers, found once a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// The first bytes from the network header on, zeros behind `head_len`.
    head: [u8; HEAD],
    head_len: usize,
    /// Transport protocol; `None` when there is none to be found.
    pub l4proto: Option<u8>,
    /// Transport header, in bytes from the network header.
    pub thoff: usize,
    /// A fragment other than the first: what is at `thoff` is no header.
    pub later_fragment: bool,
}

impl Packet {
    /// `nft_set_pktinfo_ipv4()`, `nft_set_pktinfo_ipv6()`; at a device, where nobody looked at the header yet, their `_validate` forms.
    #[inline]
    pub fn new(skb: &SkBuff, family: Family) -> Self {
        let mut packet = Self::headers(skb, family);
        packet.refresh(skb);
        packet
    }

    /// The packet's bytes changed.
    pub fn refresh(&mut self, skb: &SkBuff) {
        let bytes = skb.network_bytes();
        match bytes.first_chunk::<HEAD>() {
            Some(head) => {
                self.head = *head;
                self.head_len = HEAD;
            }
            None => {
                self.head_len = bytes.len();
                self.head[..bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// `N` bytes of the network header from `at` on; `None` when they are not at hand.
    #[inline]
    pub fn network<const N: usize>(&self, at: u8) -> Option<[u8; N]> {
        let head = self.head.get(..self.head_len)?;
        head.get(usize::from(at)..)?.first_chunk::<N>().copied()
    }

    /// Whether `len` bytes from `at` on can be read of the transport header. Of a later fragment, which has none, the kernel reads all the
    /// same what its quick way reads: 1, 2 or 4 bytes at a multiple of their number (`nft_payload_fast_eval()`).
    #[inline]
    pub fn has_transport(&self, at: usize, len: usize) -> bool {
        let quick = matches!(len, 1 | 2 | 4) && at.is_multiple_of(len);
        self.l4proto.is_some() && (quick || !self.later_fragment)
    }

    /// Of the transport header likewise.
    #[inline]
    pub fn transport<const N: usize>(&self, at: u8) -> Option<[u8; N]> {
        if !self.has_transport(usize::from(at), N) {
            return None;
        }
        let head = self.head.get(..self.head_len)?;
        head.get(self.thoff + usize::from(at)..)?
            .first_chunk::<N>()
            .copied()
    }

    fn headers(skb: &SkBuff, family: Family) -> Self {
        match (family, skb.protocol) {
            (Family::Ipv4, _) => Self::ipv4(skb, false),
            (Family::Ipv6, _) => Self::ipv6(skb, false),
            (Family::Netdev, 0x0800) => Self::ipv4(skb, true),
            (Family::Netdev, 0x86dd) => Self::ipv6(skb, true),
            (Family::Netdev, _) => Self::UNKNOWN,
        }
    }

    const UNKNOWN: Self = Self {
        head: [0; HEAD],
        head_len: 0,
        l4proto: None,
        thoff: 0,
        later_fragment: false,
    };

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
            ..Self::UNKNOWN
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
                thoff: upper.offset,
                later_fragment: upper.later_fragment,
                ..Self::UNKNOWN
            },
            None => Self::UNKNOWN,
        }
    }
}
