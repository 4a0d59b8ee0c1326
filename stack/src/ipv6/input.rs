//! `ipv6_rcv()` to the transport protocols.

use super::Defragged;
use super::IPV6_HLEN;
use super::exthdr::{
    BadOption, FRAG_HLEN, IPPROTO_ICMPV6, NEXTHDR_DEST, NEXTHDR_FRAGMENT, NEXTHDR_HOP,
    NEXTHDR_NONE, NEXTHDR_ROUTING, ext_len, parse_tlv,
};
use super::header::{Ipv6Header, multicast_scope};
use crate::drop_reason::DropReason;
use crate::fib::RouteType;
use crate::hook::{Family, Hook};
use crate::icmpv6::{self, HDR_FIELD, PARAMPROB, UNK_NEXTHDR, UNK_OPTION};
use crate::ipv4::{Flow, IPPROTO_TCP, IPPROTO_UDP, early_demux};
use crate::reassembly::FragUser;
use crate::skb::{IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};

/// Bytes at the front of a packet in pieces that are made linear on receive: IPv6 header, extension headers, transport header.
const MAX_LINEAR_HEADERS: usize = 256;

impl Stack {
    /// `ipv6_rcv()`.
    pub(crate) fn ipv6_rcv(&mut self, mut skb: SkBuff) {
        if let Err(reason) = ip6_rcv_core(&mut skb) {
            return self.kfree_skb(skb, reason);
        }
        let l2_many = matches!(skb.pkt_type, PktType::Broadcast | PktType::Multicast);
        if l2_many
            && self.ipv6_conf.dev(skb.dev).drop_unicast_in_l2_multicast != 0
            && Ipv6Header::new(skb.data()).is_some_and(|h| !h.daddr().is_multicast())
        {
            return self.kfree_skb(skb, DropReason::UnicastInL2Multicast);
        }
        // Extension headers are read from the linear part; nothing sensible has more of them.
        skb.pskb_may_pull(skb.len().min(MAX_LINEAR_HEADERS));
        // ipv6_parse_hopopts(): hop-by-hop options concern every node, so they come before the hook.
        if Ipv6Header::new(skb.data()).is_some_and(|h| h.next_header() == NEXTHDR_HOP) {
            let options = skb.data().get(IPV6_HLEN..);
            let Some(options) = options.and_then(|rest| rest.get(..ext_len(rest)?)) else {
                return self.kfree_skb(skb, DropReason::NotSpecified);
            };
            let payload_len = Ipv6Header::new(skb.data()).map(|h| h.payload_len());
            if let Err(bad) = parse_tlv(options, payload_len) {
                return self.bad_option(skb, IPV6_HLEN, bad);
            }
        }
        let dev = skb.dev;
        if self.nf_hook(Hook::PreRouting, Family::Ipv6, &mut skb, dev, IfIndex::NONE) {
            self.ip6_rcv_finish(skb);
        }
    }

    /// `ip6_rcv_finish()`: routing, then local delivery or forwarding.
    fn ip6_rcv_finish(&mut self, mut skb: SkBuff) {
        if skb.pkt_type == PktType::Host
            && let Some(protocol) = Ipv6Header::new(skb.data()).map(|h| h.next_header())
        {
            early_demux(&mut skb.pieces, protocol);
        }
        let route = match self.ip6_route_input(&skb) {
            Ok(route) => route,
            Err(no_route) => {
                if let Some(code) = no_route.unreach_code {
                    self.icmpv6_send(&skb, icmpv6::DEST_UNREACH, code, 0);
                }
                return self.kfree_skb(skb, no_route.reason);
            }
        };
        skb.dst = Some(route);
        self.trace(&skb, Stage::RouteInput);
        if route.kind == RouteType::Unicast {
            return self.ip6_forward(skb);
        }
        self.trace(&skb, Stage::LocalDeliver);
        let dev = skb.dev;
        if self.nf_hook(Hook::LocalIn, Family::Ipv6, &mut skb, dev, IfIndex::NONE) {
            self.ip6_input_finish(skb);
        }
    }

    /// `ip6_protocol_deliver_rcu()`: walks the extension headers and hands the rest to its protocol. Data starts at the IPv6 header.
    pub(super) fn ip6_input_finish(&mut self, mut skb: SkBuff) {
        let Some(header) = Ipv6Header::new(skb.data()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        let to_many = header.daddr().is_multicast();
        let flow = Flow {
            src: header.saddr().into(),
            dst: header.daddr().into(),
            to_many,
        };
        let mut next_header = header.next_header();
        // Offset of the field that named the header now looked at, for parameter problems.
        let mut named_at = 6;
        let mut offset = IPV6_HLEN;
        let mut atomic = false;
        // Where headers begin that raw sockets have not seen. Hop-by-hop options are gone by the time that Linux asks them.
        let mut raw_from = match next_header {
            NEXTHDR_HOP => offset + 1,
            _ => offset,
        };
        loop {
            let raw =
                offset >= raw_from && self.raw6_local_deliver(&skb, offset, next_header, &flow);
            let rest = skb.data().get(offset..).unwrap_or_default();
            match next_header {
                // Only the first header may be this one (RFC 8200 4.1), and it was looked at already.
                NEXTHDR_HOP if offset != IPV6_HLEN => return self.unknown_header(skb, named_at),
                NEXTHDR_HOP | NEXTHDR_DEST | NEXTHDR_ROUTING => {
                    let Some(ext) = ext_len(rest).and_then(|len| rest.get(..len)) else {
                        return self.kfree_skb(skb, DropReason::NotSpecified);
                    };
                    let (following, len, kind, segments_left) = (ext[0], ext.len(), ext[2], ext[3]);
                    let checked = if next_header == NEXTHDR_DEST {
                        parse_tlv(ext, None)
                    } else {
                        Ok(())
                    };
                    if let Err(bad) = checked {
                        return self.bad_option(skb, offset, bad);
                    }
                    // ipv6_rthdr_rcv(): who hears of it because many do has no segments to route, and neither RPL (3) nor segment routing
                    // (4) is switched on.
                    let off =
                        flow.to_many || skb.pkt_type != PktType::Host || matches!(kind, 3 | 4);
                    if next_header == NEXTHDR_ROUTING && off {
                        return self.kfree_skb(skb, DropReason::NotSpecified);
                    }
                    if next_header == NEXTHDR_ROUTING && segments_left != 0 {
                        // RFC 5095, RFC 8200 4.4: no type is supported; the problem is at the type field.
                        self.icmpv6_send(&skb, PARAMPROB, HDR_FIELD, offset as u32 + 2);
                        return self.kfree_skb(skb, DropReason::NotSpecified);
                    }
                    next_header = following;
                    named_at = offset;
                    offset += len;
                }
                NEXTHDR_FRAGMENT => {
                    let Some(fragment) = rest.first_chunk::<FRAG_HLEN>() else {
                        // ipv6_frag_rcv(): the problem is where the header begins.
                        self.icmpv6_send(&skb, PARAMPROB, HDR_FIELD, offset as u32);
                        return self.kfree_skb(skb, DropReason::NotSpecified);
                    };
                    let field = u16::from_be_bytes([fragment[2], fragment[3]]);
                    if field & !6 != 0 {
                        // The whole, without the fragment header, is walked from its start. A loop, not a call: fragments can be nested.
                        let Defragged::Whole(whole) =
                            self.ip6_defrag(skb, offset, named_at, FragUser::LocalDeliver)
                        else {
                            return;
                        };
                        let Some(header) = Ipv6Header::new(whole.data()) else {
                            return self.kfree_skb(whole, DropReason::IpInHdr);
                        };
                        raw_from = offset;
                        (next_header, named_at, offset) = (header.next_header(), 6, IPV6_HLEN);
                        skb = whole;
                        continue;
                    }
                    // An atomic fragment (RFC 6946) is complete in itself.
                    next_header = fragment[0];
                    atomic = true;
                    named_at = offset;
                    offset += FRAG_HLEN;
                }
                NEXTHDR_NONE => return self.kfree_skb(skb, DropReason::NotSpecified),
                IPPROTO_ICMPV6 | IPPROTO_UDP | IPPROTO_TCP => break,
                _ if raw => return self.consume_skb(skb, Consume::Tapped),
                _ => return self.unknown_header(skb, named_at),
            }
        }
        // skb_postpull_rcsum()
        if skb.skb_pull_rcsum(offset).is_none() {
            return self.kfree_skb(skb, DropReason::PktTooSmall);
        }
        skb.set_transport_header(0);
        skb.fragmented |= atomic;
        match next_header {
            IPPROTO_ICMPV6 => self.icmpv6_rcv(skb, flow),
            IPPROTO_UDP => self.udp_rcv(skb, flow),
            _ => self.tcp_rcv(skb, flow),
        }
    }

    /// RFC 8200 4: nobody handles what the field at `pointer` names.
    fn unknown_header(&mut self, skb: SkBuff, pointer: usize) {
        self.icmpv6_send(&skb, PARAMPROB, UNK_NEXTHDR, pointer as u32);
        self.kfree_skb(skb, DropReason::IpNoProto);
    }

    /// `ip6_tlvopt_unknown()`. `offset`: of the options header.
    fn bad_option(&mut self, skb: SkBuff, offset: usize, bad: BadOption) {
        match bad {
            BadOption::Malformed => self.kfree_skb(skb, DropReason::IpInHdr),
            BadOption::Cut => self.kfree_skb(skb, DropReason::PktTooSmall),
            BadOption::Jumbo { pointer } => {
                self.icmpv6_send(&skb, PARAMPROB, HDR_FIELD, (offset + pointer) as u32);
                self.kfree_skb(skb, DropReason::IpInHdr);
            }
            BadOption::Unknown { pointer, complain } => {
                let to_group =
                    Ipv6Header::new(skb.data()).is_some_and(|h| h.daddr().is_multicast());
                if complain == 1 || (complain == 2 && !to_group) {
                    self.icmpv6_send(&skb, PARAMPROB, UNK_OPTION, (offset + pointer) as u32);
                }
                self.kfree_skb(skb, DropReason::UnhandledProto);
            }
        }
    }

    /// `ndisc_error_report()`: the next hop does not answer.
    pub(crate) fn ipv6_link_failure(&mut self, skb: &SkBuff) {
        self.icmpv6_send(skb, icmpv6::DEST_UNREACH, icmpv6::ADDR_UNREACH, 0);
    }
}

/// `ip6_rcv_core()`.
fn ip6_rcv_core(skb: &mut SkBuff) -> Result<(), DropReason> {
    if skb.pkt_type == PktType::OtherHost {
        return Err(DropReason::OtherHost);
    }
    skb.pskb_may_pull(IPV6_HLEN);
    if skb.len() < IPV6_HLEN {
        return Err(DropReason::IpInHdr);
    }
    let header = Ipv6Header::new(skb.data()).ok_or(DropReason::UnhandledProto)?;
    let (saddr, daddr) = (header.saddr(), header.daddr());
    let on_wire = skb.dev != IfIndex::LO;
    // RFC 4291 2.5.3: the loopback address does not appear on the wire, nor do groups of scope 1; 2.7: nor groups of scope 0,
    // nor groups as sources.
    let scope = daddr.is_multicast().then(|| multicast_scope(daddr));
    let impossible = (on_wire && (saddr.is_loopback() || daddr.is_loopback() || scope == Some(1)))
        || scope == Some(0)
        || saddr.is_multicast();
    if impossible {
        return Err(DropReason::IpInHdr);
    }
    let (payload_len, next_header) = (header.payload_len(), header.next_header());
    // Length 0 with hop-by-hop options would be a jumbogram; those are not supported, the option is unknown then.
    if payload_len != 0 || next_header != NEXTHDR_HOP {
        if IPV6_HLEN + payload_len > skb.len() {
            return Err(DropReason::PktTooSmall);
        }
        skb.trim(IPV6_HLEN + payload_len);
    }
    skb.set_transport_header(IPV6_HLEN);
    Ok(())
}
