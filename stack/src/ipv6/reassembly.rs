//! `ipv6_frag_rcv()`: IPv6's side of putting datagrams together (RFC 8200 4.5); the queue itself is [`crate::reassembly`].

use super::exthdr::{FRAG_HLEN, NEXTHDR_NONE, find_upper};
use super::header::Ipv6Header;
use super::{IPPROTO_ICMPV6, IPV6_HLEN};
use crate::drop_reason::DropReason;
use crate::icmpv6::{HDR_FIELD, HDR_INCOMP, ICMPV6_HLEN, PARAMPROB};
use crate::ipv4::header::put16;
use crate::ipv4::{IPPROTO_TCP, IPPROTO_UDP};
use crate::reassembly::{FragKey, FragUser, Fragment, Inserted};
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::tcp::header::TCP_HLEN;
use crate::trace::Stage;
use crate::udp::UDP_HLEN;

/// Longest payload.
const IPV6_MAXPLEN: usize = 65535;

/// What became of a fragment.
pub(crate) enum Defragged {
    /// It was the last one missing: the whole datagram, without fragment header.
    Whole(SkBuff),
    /// It waits for the others, or was refused and counted.
    Gone,
    /// Connection tracking leaves a malformed one to the receiver.
    AsItIs(SkBuff),
}

impl Stack {
    /// Keeps a fragment. `offset`: of the fragment header; `named_at`: of the field that named it. The receiver tells the sender of a malformed
    /// one (`ipv6_frag_rcv()`); connection tracking does not (`nf_ct_frag6_gather()`).
    pub(crate) fn ip6_defrag(
        &mut self,
        mut skb: SkBuff,
        offset: usize,
        named_at: usize,
        user: FragUser,
    ) -> Defragged {
        let receiver = user == FragUser::LocalDeliver;
        let parsed = Ipv6Header::new(skb.data()).zip(
            skb.data()
                .get(offset..)
                .and_then(|r| r.first_chunk::<FRAG_HLEN>()),
        );
        let Some((header, &fragment)) = parsed else {
            self.kfree_skb(skb, DropReason::IpInHdr);
            return Defragged::Gone;
        };
        let (saddr, daddr, ecn) = (header.saddr(), header.daddr(), header.traffic_class() & 3);
        let field = u16::from_be_bytes([fragment[2], fragment[3]]);
        let (start, more) = (usize::from(field & !7), field & 1 != 0);
        let len = skb.len() - offset - FRAG_HLEN;
        let local =
            saddr.is_unicast_link_local() || daddr.is_unicast_link_local() || daddr.is_multicast();
        let key = FragKey {
            src: saddr.into(),
            dst: daddr.into(),
            id: u32::from_be_bytes([fragment[4], fragment[5], fragment[6], fragment[7]]),
            protocol: 0,
            user,
            dev: if local { skb.dev } else { IfIndex::NONE },
        };
        // The first fragment must hold the whole header chain (RFC 7112).
        if thdr_truncated(skb.data()) {
            if !receiver {
                return Defragged::AsItIs(skb);
            }
            self.icmpv6_send(&skb, PARAMPROB, HDR_INCOMP, 0);
            self.kfree_skb(skb, DropReason::NotSpecified);
            return Defragged::Gone;
        }
        // RFC 8200 4.5: a fragment with more to follow has a multiple of 8 bytes (the length field is at fault), and none reaches beyond
        // the longest payload (the offset field is).
        let problem = if start + len > IPV6_MAXPLEN {
            Some(offset + 2)
        } else if more && !len.is_multiple_of(8) {
            if !receiver {
                self.frag_discard(&key);
                return Defragged::AsItIs(skb);
            }
            Some(4)
        } else {
            None
        };
        if let Some(pointer) = problem {
            if receiver {
                self.icmpv6_send(&skb, PARAMPROB, HDR_FIELD, pointer as u32);
            }
            self.kfree_skb(skb, key.refused());
            return Defragged::Gone;
        }
        if skb.pull(offset + FRAG_HLEN).is_none() {
            self.kfree_skb(skb, DropReason::PktTooSmall);
            return Defragged::Gone;
        }
        self.trace(&skb, Stage::DefragQueue);
        let fragment = Fragment {
            start,
            end: start + len,
            more,
            ecn,
            header_len: offset,
            dont_fragment: false,
            named_at,
            skb,
        };
        match self.frag_insert(key, fragment) {
            Inserted::Waiting => Defragged::Gone,
            Inserted::Complete(fragments, ecn) => match self.ip6_frag_reasm(fragments, ecn) {
                Some(whole) => Defragged::Whole(whole),
                None => Defragged::Gone,
            },
        }
    }

    /// `ip6_frag_reasm()`: what preceded the first fragment's header, then all payloads.
    fn ip6_frag_reasm(&mut self, fragments: Vec<Fragment>, ecn: u8) -> Option<SkBuff> {
        let first = fragments.first()?;
        let (header_len, named_at) = (first.header_len, first.named_at);
        let payload: usize = fragments.iter().map(|f| f.skb.len()).sum();
        if header_len - IPV6_HLEN + payload > IPV6_MAXPLEN {
            self.frag_purge(fragments);
            return None;
        }
        // The fragment header goes: what named it now names what it named.
        let next_header = first
            .skb
            .network_bytes()
            .get(header_len)
            .copied()
            .unwrap_or_default();
        let mut whole = self.inet_frag_reasm(fragments)?;
        whole.fragmented = true;
        let packet = whole.data_mut();
        put16(packet, 4, (header_len - IPV6_HLEN + payload) as u16);
        if let Some(name) = packet.get_mut(named_at) {
            *name = next_header;
        }
        if let Some(byte) = packet.get_mut(1) {
            *byte |= ecn << 4;
        }
        whole.reset_network_header();
        whole.set_transport_header(header_len);
        self.trace(&whole, Stage::Defrag);
        Some(whole)
    }
}

/// `ipv6frag_thdr_truncated()`: whether a first fragment ends before its upper-layer header does, as far as the protocol is known. A chain
/// that cannot be followed is not truncated.
fn thdr_truncated(packet: &[u8]) -> bool {
    let Some(upper) = find_upper(packet).filter(|u| !u.later_fragment) else {
        return false;
    };
    let needed = match upper.protocol {
        NEXTHDR_NONE => return false,
        IPPROTO_TCP => TCP_HLEN,
        IPPROTO_UDP => UDP_HLEN,
        IPPROTO_ICMPV6 => ICMPV6_HLEN,
        _ => 1,
    };
    packet.len() < upper.offset + needed
}
