//! ICMPv6 (RFC 4443): echo, errors, and the way to neighbour discovery.

use crate::checksum;
use crate::drop_reason::DropReason;
use crate::fib::RouteType;
use crate::hook::Family;
use crate::icmp::flow_port;
use crate::ipv4::{Flow, Upper};
use crate::ipv6::header::Ipv6Header;
use crate::ipv6::{IPPROTO_ICMPV6, IPV6_HLEN, Ipv6Send, OutputFlow6, find_upper, upper_from};
use crate::pmtu::IPV6_MIN_MTU;
use crate::skb::{IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::net::{IpAddr, Ipv6Addr};

/// Destination unreachable.
pub(crate) const DEST_UNREACH: u8 = 1;
/// Packet too big.
pub(crate) const PKT_TOOBIG: u8 = 2;
/// Time exceeded; code 0: in transit.
pub(crate) const TIME_EXCEED: u8 = 3;
/// Parameter problem.
pub(crate) const PARAMPROB: u8 = 4;
/// Set in the types of messages that are no errors.
const INFOMSG_MASK: u8 = 0x80;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
/// Multicast listener query and report (RFC 2710).
const MGM_QUERY: u8 = 130;
const MGM_REPORT: u8 = 131;
/// Extended echo reply (RFC 8335).
const EXT_ECHO_REPLY: u8 = 161;
pub(crate) const REDIRECT: u8 = 137;

/// Codes of destination unreachable.
pub(crate) const NOROUTE: u8 = 0;
pub(crate) const ADM_PROHIBITED: u8 = 1;
pub(crate) const NOT_NEIGHBOUR: u8 = 2;
pub(crate) const ADDR_UNREACH: u8 = 3;
pub(crate) const PORT_UNREACH: u8 = 4;
/// Code of time exceeded: during reassembly.
pub(crate) const EXC_FRAGTIME: u8 = 1;
/// Codes of parameter problem.
pub(crate) const HDR_FIELD: u8 = 0;
pub(crate) const UNK_NEXTHDR: u8 = 1;
pub(crate) const UNK_OPTION: u8 = 2;
pub(crate) const HDR_INCOMP: u8 = 3;

/// Header of every message in bytes.
pub(crate) const ICMPV6_HLEN: usize = 8;

impl Stack {
    /// `icmpv6_rcv()`: data at the ICMPv6 header.
    pub(crate) fn icmpv6_rcv(&mut self, mut skb: SkBuff, flow: Flow) {
        self.trace(&skb, Stage::IcmpReceive);
        skb.skb_linearize();
        let pseudo = checksum::pseudo_header(flow.src, flow.dst, IPPROTO_ICMPV6, skb.len() as u32);
        if !skb.skb_checksum_validate(pseudo) {
            return self.kfree_skb(skb, DropReason::IcmpCsum);
        }
        let Some(&[kind, _, _, _, info @ ..]) = skb.data().first_chunk::<ICMPV6_HLEN>() else {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        let info = u32::from_be_bytes(info);
        let ended = match kind {
            ECHO_REQUEST => {
                let ignored = self.config.icmpv6_echo_ignore_all
                    || (flow.to_many && self.config.icmpv6_echo_ignore_multicast);
                match ignored {
                    true => Err(DropReason::NotSpecified),
                    false => self.icmpv6_echo(&skb, flow),
                }
            }
            // There are no ping sockets that could have asked.
            ECHO_REPLY | EXT_ECHO_REPLY => Err(DropReason::NoSocket),
            PKT_TOOBIG if skb.len() < ICMPV6_HLEN + IPV6_HLEN => Err(DropReason::NotSpecified),
            PKT_TOOBIG => icmpv6_notify(&skb).map(|()| {
                self.icmpv6_too_big(&skb);
                self.icmp_socket_deliver(&skb, Family::Ipv6, info);
            }),
            133..=137 => return self.ndisc_rcv(skb, flow),
            // Nobody here is a querier.
            MGM_QUERY | MGM_REPORT => Ok(()),
            // RFC 4443 2.4: unknown information is discarded silently, unknown errors go to the upper layers.
            kind if kind & INFOMSG_MASK != 0 => Err(DropReason::NotSpecified),
            _ => icmpv6_notify(&skb).map(|()| self.icmp_socket_deliver(&skb, Family::Ipv6, info)),
        };
        match ended {
            Ok(()) => self.consume_skb(skb, Consume::Icmp),
            Err(reason) => self.kfree_skb(skb, reason),
        }
    }

    /// `icmpv6_echo_reply()`.
    fn icmpv6_echo(&mut self, skb: &SkBuff, flow: Flow) -> Result<(), DropReason> {
        let (IpAddr::V6(asker), IpAddr::V6(asked)) = (flow.src, flow.dst) else {
            return Err(DropReason::NotSpecified);
        };
        if asker.is_unspecified() {
            return Err(DropReason::NotSpecified);
        }
        // RFC 4443 4.2: from the address that was asked, unless that was a group or is another's, too.
        let anycast = skb.dst.is_some_and(|r| r.kind == RouteType::Anycast);
        let own = (!flow.to_many && !anycast).then_some(asked);
        let upper = upper(self.ip6_reply_mark(skb));
        let Ok((route, saddr)) = self.ip6_route_output(asker, own, icmp6_iif(skb), upper) else {
            return Err(DropReason::NotSpecified);
        };
        let Some(mut reply) = self.alloc_skb(route.oif, IPV6_HLEN, skb.len()) else {
            return Ok(());
        };
        if reply.put_slice(skb.data()).is_none() {
            self.kfree_skb(reply, DropReason::NoMem);
            return Ok(());
        }
        reply.data_mut()[0] = ECHO_REPLY;
        reply.mark = upper.mark;
        reply.parent = skb.id;
        self.trace(&reply, Stage::Send);
        let traffic_class = Ipv6Header::new(skb.network_bytes()).map_or(0, |h| h.traffic_class());
        let hop_limit = self.ip6_dst_hoplimit(&route);
        self.icmp_xmit_locked = true;
        self.icmpv6_push(reply, saddr, asker, traffic_class, route, hop_limit);
        self.icmp_xmit_locked = false;
        Ok(())
    }

    /// `IP6_REPLY_MARK()`: the mark of what answers `skb` without a socket.
    pub(crate) fn ip6_reply_mark(&self, skb: &SkBuff) -> u32 {
        match self.config.fwmark_reflect_v6 {
            true => skb.mark,
            false => 0,
        }
    }

    /// Sets the checksum of a whole message and sends it.
    pub(crate) fn icmpv6_push(
        &mut self,
        mut skb: SkBuff,
        saddr: Ipv6Addr,
        daddr: Ipv6Addr,
        traffic_class: u8,
        route: crate::fib::Route,
        hop_limit: u8,
    ) {
        let message = skb.data_mut();
        crate::ipv4::header::put16(message, 2, 0);
        let pseudo = checksum::pseudo_header_v6(saddr, daddr, IPPROTO_ICMPV6, message.len() as u32);
        let check = !checksum::fold(checksum::add(pseudo, checksum::sum(message)));
        crate::ipv4::header::put16(message, 2, check);
        let mtu = self.dst_mtu(&route, daddr.into());
        let send = Ipv6Send {
            saddr,
            daddr,
            next_header: IPPROTO_ICMPV6,
            traffic_class,
            hop_limit,
            route,
            mtu,
        };
        skb.ignore_df = true;
        self.ip6_send_skb(skb, send);
    }

    /// Remembers the path's MTU (RFC 8201).
    fn icmpv6_too_big(&mut self, skb: &SkBuff) {
        let Some(&[.., m0, m1, m2, m3]) = skb.data().first_chunk::<ICMPV6_HLEN>() else {
            return;
        };
        let mtu = u32::from_be_bytes([m0, m1, m2, m3]);
        let Some(inner) = skb.data().get(ICMPV6_HLEN..).and_then(Ipv6Header::new) else {
            return;
        };
        let quoted = skb.data().get(ICMPV6_HLEN..).unwrap_or_default();
        if self.sent_here(quoted, Family::Ipv6) {
            self.update_pmtu(inner.daddr().into(), mtu);
        }
    }

    /// `icmp6_send()`: an error about `about`, whose network header must be in place. RFC 4443 2.4 says when none is sent.
    pub(crate) fn icmpv6_send(&mut self, about: &SkBuff, kind: u8, code: u8, info: u32) {
        if self.icmp_xmit_locked {
            return;
        }
        let quoted = about.network_bytes();
        let Some(header) = Ipv6Header::new(quoted) else {
            return;
        };
        let (sender, asked) = (header.saddr(), header.daddr());
        // (e): not about what went to many, but for packet too big and unknown options.
        let to_many =
            asked.is_multicast() || !matches!(about.pkt_type, PktType::Host | PktType::Outgoing);
        let excepted = kind == PKT_TOOBIG || (kind == PARAMPROB && code == UNK_OPTION);
        // (e.6): not to nobody or to many.
        if (to_many && !excepted)
            || sender.is_unspecified()
            || sender.is_multicast()
            || is_error(quoted)
        {
            return;
        }
        let mark = self.ip6_reply_mark(about);
        // From the address that was asked, if it is ours, else from the one that the route prefers, else from one of the device that the packet came in through.
        let own = match self.is_own_unicast(about, asked) {
            true => Some(asked),
            false if self.icmpv6_rt_has_prefsrc(sender, scope(sender, about), mark) => None,
            false => about
                .iif
                .some()
                .and_then(|iif| self.ipv6_select_addr(iif, sender)),
        };
        // Of several ways back the one that what it is about would take.
        let flow = OutputFlow6 {
            saddr: own,
            oif: scope(sender, about),
            mark,
            protocol: IPPROTO_ICMPV6,
            dport: flow_port(kind, code),
            mp_hash: Some(self.rt6_multipath_hash(about.network_bytes())),
            ..OutputFlow6::to(sender)
        };
        let Ok((route, saddr)) = self.ip6_route_output_flow(&flow) else {
            return;
        };
        // icmpv6_route_lookup(): many have the address.
        if route.kind == RouteType::Anycast {
            return;
        }
        let limited = route.oif != IfIndex::LO && kind != PKT_TOOBIG;
        let prefix_len = route.fib.map_or(128, |found| found.prefix_len);
        if limited && !self.icmpv6_allow(sender.into(), prefix_len) {
            return;
        }
        // (c): as much as fits the least MTU.
        let room = IPV6_MIN_MTU as usize - IPV6_HLEN - ICMPV6_HLEN;
        let quoted = &quoted[..quoted.len().min(room)];
        let Some(mut skb) = self.alloc_skb(route.oif, IPV6_HLEN, ICMPV6_HLEN + quoted.len()) else {
            return;
        };
        let mut head = [0u8; ICMPV6_HLEN];
        head[..2].copy_from_slice(&[kind, code]);
        head[4..].copy_from_slice(&info.to_be_bytes());
        if skb
            .put_slice(&head)
            .and_then(|()| skb.put_slice(quoted))
            .is_none()
        {
            return self.kfree_skb(skb, DropReason::NoMem);
        }
        skb.mark = mark;
        skb.parent = about.id;
        skb.nfct = self.conntrack.attach(about.nfct);
        self.trace(&skb, Stage::Send);
        let hop_limit = self.ip6_dst_hoplimit(&route);
        self.icmp_xmit_locked = true;
        self.icmpv6_push(skb, saddr, sender, 0, route, hop_limit);
        self.icmp_xmit_locked = false;
    }

    /// `icmpv6_rt_has_prefsrc()`: whether the route to a sender names the source to be used.
    fn icmpv6_rt_has_prefsrc(&self, sender: Ipv6Addr, oif: IfIndex, mark: u32) -> bool {
        let flow = OutputFlow6 {
            oif,
            mark,
            protocol: IPPROTO_ICMPV6,
            ..OutputFlow6::to(sender)
        };
        let found = self.ip6_route_output_key(&flow);
        found.is_ok_and(|(route, _)| route.kind == RouteType::Unicast && route.src.is_some())
    }

    fn is_own_unicast(&self, about: &SkBuff, asked: Ipv6Addr) -> bool {
        !asked.is_multicast()
            && !matches!(about.dst, Some(r) if r.kind == RouteType::Unicast)
            && (self.fib.is_local(asked.into()) || self.is_anycast(IfIndex::NONE, asked))
    }
}

/// `icmpv6_notify()`: the packet that an error quotes has its headers, and 8 bytes of what they carry.
fn icmpv6_notify(skb: &SkBuff) -> Result<(), DropReason> {
    let quoted = skb.data().get(ICMPV6_HLEN..).unwrap_or_default();
    if quoted.len() < IPV6_HLEN {
        return Err(DropReason::PktTooSmall);
    }
    // Whatever its version: nobody asks.
    let next_header = quoted[6];
    let upper = upper_from(quoted, next_header, IPV6_HLEN).ok_or(DropReason::Ipv6BadExtHdr)?;
    match quoted.len() < upper.offset + 8 {
        true => Err(DropReason::PktTooSmall),
        false => Ok(()),
    }
}

/// `icmp6_iif()`: the device that the packet came in through; for one that came over lo, the device of the address that it was sent to.
fn icmp6_iif(skb: &SkBuff) -> IfIndex {
    match (skb.dev, skb.dst) {
        (IfIndex::LO, Some(route)) => route.oif,
        (dev, _) => dev,
    }
}

/// What rules may ask of an echo reply with this mark.
fn upper(mark: u32) -> Upper {
    Upper {
        mark,
        ..Upper::new(IPPROTO_ICMPV6, (0, flow_port(ECHO_REPLY, 0)))
    }
}

/// Answers to link-local addresses go out of the device that the packet came through.
fn scope(peer: Ipv6Addr, skb: &SkBuff) -> IfIndex {
    if peer.is_unicast_link_local() {
        if skb.iif == IfIndex::NONE {
            skb.dev
        } else {
            skb.iif
        }
    } else {
        IfIndex::NONE
    }
}

/// `is_ineligible()`: the packet is an ICMPv6 error itself, or cannot be told from one. A redirect is none to Linux, unlike RFC 4443 2.4 (e.2).
fn is_error(packet: &[u8]) -> bool {
    match find_upper(packet) {
        Some(upper) if upper.protocol == IPPROTO_ICMPV6 && !upper.later_fragment => {
            let kind = packet.get(upper.offset);
            kind.is_none_or(|&kind| kind & INFOMSG_MASK == 0)
        }
        // A chain that is cut off is no ICMPv6 message, as far as anybody can see, nor is a fragment other than the first.
        _ => false,
    }
}
