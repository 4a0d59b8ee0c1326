//! ICMP (RFC 792, RFC 1122 3.2.2): echo, and errors about packets that could not go on. What answers a packet records routes and times as that
//! one did.

use crate::checksum;
use crate::drop_reason::DropReason;
use crate::fib::{RouteType, Scope};
use crate::hook::Family;
use crate::ipv4::header::Ipv4Header;
use crate::ipv4::{IPV4_HLEN, Ipv4Send, OutputFlow, Upper};
use crate::skb::{IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::net::IpAddr;

/// Echo reply.
pub(crate) const ECHOREPLY: u8 = 0;
/// Destination unreachable.
pub(crate) const DEST_UNREACH: u8 = 3;
/// Source quench.
const SOURCE_QUENCH: u8 = 4;
/// Redirect.
pub(crate) const REDIRECT: u8 = 5;
/// Echo request.
pub(crate) const ECHO: u8 = 8;
/// Time exceeded; code 0: in transit.
pub(crate) const TIME_EXCEEDED: u8 = 11;
/// Code of time exceeded: during reassembly.
pub(crate) const EXC_FRAGTIME: u8 = 1;
/// Parameter problem.
pub(crate) const PARAMETERPROB: u8 = 12;
/// Timestamp request.
const TIMESTAMP: u8 = 13;
/// Timestamp reply.
const TIMESTAMPREPLY: u8 = 14;
/// Extended echo request (RFC 8335).
const EXT_ECHO: u8 = 42;
/// Extended echo reply.
const EXT_ECHOREPLY: u8 = 43;
/// Last type that Linux knows (`NR_ICMP_TYPES`).
pub(crate) const NR_ICMP_TYPES: u8 = 18;

/// Codes of destination unreachable.
pub(crate) mod unreach {
    pub const NET: u8 = 0;
    pub const HOST: u8 = 1;
    pub const PROTOCOL: u8 = 2;
    pub const PORT: u8 = 3;
    pub const FRAG_NEEDED: u8 = 4;
    pub const PKT_FILTERED: u8 = 13;
}

/// Header of every message in bytes.
pub(crate) const ICMP_HLEN: usize = 8;
/// Longest error message, IP header included (RFC 1812 4.3.2.3).
const MAX_ERROR_LEN: usize = 576;
impl Stack {
    /// `icmp_rcv()`: data at the ICMP header.
    pub(crate) fn icmp_rcv(&mut self, mut skb: SkBuff, flow: crate::ipv4::Flow) {
        self.trace(&skb, Stage::IcmpReceive);
        skb.skb_linearize();
        if !skb.skb_checksum_validate(0) {
            return self.kfree_skb(skb, DropReason::IcmpCsum);
        }
        let Some(&[kind, ..]) = skb.data().first_chunk::<ICMP_HLEN>() else {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        if flow.to_many && kind != EXT_ECHO {
            // RFC 1122 3.2.2.6: an echo request to many may be discarded silently.
            let refused = match kind {
                ECHO | TIMESTAMP => self.config.icmp_echo_ignore_broadcasts,
                17 | 18 => false,
                _ => true,
            };
            if refused {
                return self.kfree_skb(skb, DropReason::InvalidProto);
            }
        }
        let ended = match kind {
            ECHO => {
                if !self.config.icmp_echo_ignore_all {
                    self.icmp_echo(&skb, flow);
                }
                Ok(())
            }
            TIMESTAMP => self.icmp_timestamp(&skb, flow),
            ECHOREPLY | EXT_ECHOREPLY => match flow.src {
                IpAddr::V4(from) => return self.ping_rcv(skb, from),
                IpAddr::V6(_) => Err(DropReason::NoSocket),
            },
            DEST_UNREACH | SOURCE_QUENCH | TIME_EXCEEDED | PARAMETERPROB => self.icmp_unreach(&skb),
            REDIRECT if skb.len() < ICMP_HLEN + IPV4_HLEN => Err(DropReason::PktTooSmall),
            REDIRECT => {
                if let IpAddr::V4(router) = flow.src {
                    self.icmp_redirect(&skb, router);
                }
                Ok(())
            }
            // icmp_build_probe(): nobody is told about interfaces (`icmp_echo_enable_probe` is off).
            EXT_ECHO => Ok(()),
            // RFC 1122 3.2.2: unknown types must be silently discarded.
            kind if kind > NR_ICMP_TYPES => Err(DropReason::UnhandledProto),
            _ => Ok(()),
        };
        match ended {
            Ok(()) => self.consume_skb(skb, Consume::Icmp),
            Err(reason) => self.kfree_skb(skb, reason),
        }
    }

    /// `icmp_unreach()`: an error about a packet that this host sent.
    fn icmp_unreach(&mut self, skb: &SkBuff) -> Result<(), DropReason> {
        let message = skb.data();
        let (kind, code) = (message[0], message[1]);
        let quoted = message.get(ICMP_HLEN..).unwrap_or_default();
        let Some(&[first, ..]) = quoted.first_chunk::<IPV4_HLEN>() else {
            return Err(DropReason::NotSpecified);
        };
        if first & 0xf < 5 {
            return Err(DropReason::IpInHdr);
        }
        match (kind, code) {
            (DEST_UNREACH, unreach::FRAG_NEEDED) => self.icmp_frag_needed(skb),
            // The byte that is the problem.
            (PARAMETERPROB, _) => self.icmp_socket_deliver(skb, Family::Ipv4, message[4].into()),
            _ => self.icmp_socket_deliver(skb, Family::Ipv4, 0),
        }
        Ok(())
    }

    /// `icmp_echo()`: the same bytes back, from the address that was asked.
    fn icmp_echo(&mut self, skb: &SkBuff, flow: crate::ipv4::Flow) {
        self.icmp_reply(skb, flow, ECHOREPLY, skb.data());
    }

    /// `icmp_timestamp()`: when the request came and when the answer leaves.
    fn icmp_timestamp(&mut self, skb: &SkBuff, flow: crate::ipv4::Flow) -> Result<(), DropReason> {
        let asked = skb.data().get(..ICMP_HLEN + 4);
        let asked = asked.ok_or(DropReason::PktTooSmall)?;
        let millis = self.inet_current_timestamp();
        let mut message = [0; ICMP_HLEN + 12];
        let (begin, times) = message.split_at_mut(asked.len());
        begin.copy_from_slice(asked);
        begin[1] = 0;
        times[..4].copy_from_slice(&millis.to_be_bytes());
        times[4..].copy_from_slice(&millis.to_be_bytes());
        self.icmp_reply(skb, flow, TIMESTAMPREPLY, &message);
        Ok(())
    }

    /// `icmp_reply()`: `message`, as type `kind`, to who sent `skb`.
    fn icmp_reply(&mut self, skb: &SkBuff, flow: crate::ipv4::Flow, kind: u8, message: &[u8]) {
        let (IpAddr::V4(asker), IpAddr::V4(asked)) = (flow.src, flow.dst) else {
            return;
        };
        // RFC 1122 3.2.2.6: the reply's source is the request's destination; if that was many, an address of ours.
        let own = self.fib.is_local(flow.dst).then_some(asked);
        let oif = if flow.to_many { skb.dev } else { IfIndex::NONE };
        let tos = Ipv4Header::new(skb.network_bytes()).map_or(0, |h| h.tos());
        let mark = self.ip4_reply_mark(skb);
        let Ok((route, saddr)) = self.ip_route_output(asker, own, oif, upper(tos, mark)) else {
            return;
        };
        let Some(options) = self.ip_options_echo(skb, saddr) else {
            return;
        };
        let headers = IPV4_HLEN + options.len();
        let Some(mut reply) = self.alloc_skb(route.oif, headers, message.len()) else {
            return;
        };
        if reply.put_slice(message).is_none() {
            return self.kfree_skb(reply, DropReason::NoMem);
        }
        let message = reply.data_mut();
        message[0] = kind;
        finish_checksum(message);
        reply.parent = skb.id;
        reply.mark = mark;
        self.trace(&reply, Stage::Send);
        let send = Ipv4Send {
            saddr,
            daddr: asker,
            protocol: crate::ipv4::IPPROTO_ICMP,
            tos,
            dont_fragment: false,
            route,
        };
        self.icmp_push_reply(reply, send, &options);
    }

    /// `IP4_REPLY_MARK()`: the mark of what answers `skb` without a socket.
    pub(crate) fn ip4_reply_mark(&self, skb: &SkBuff) -> u32 {
        match self.config.fwmark_reflect {
            true => skb.mark,
            false => 0,
        }
    }

    /// `icmp_push_reply()`, under the lock that says that a message is on its way.
    fn icmp_push_reply(&mut self, skb: SkBuff, send: Ipv4Send, options: &[u8]) {
        self.icmp_xmit_locked = true;
        let id = self.ip_select_ident();
        self.ip_send_skb_options(skb, send, id, options);
        self.icmp_xmit_locked = false;
    }

    /// `icmp_unreach()` with "fragmentation needed": remembers the path's MTU (RFC 1191).
    fn icmp_frag_needed(&mut self, skb: &SkBuff) {
        let message = skb.data();
        let told = message
            .get(6..8)
            .map_or(0, |m| u32::from(u16::from_be_bytes([m[0], m[1]])));
        let Some(inner) = message.get(ICMP_HLEN..).and_then(Ipv4Header::new) else {
            return;
        };
        let mtu = match self.config.ip_no_pmtu_disc {
            0 => told,
            2 => return,
            // icmp_tag_validation(): TCP looks whether it sent what is quoted.
            3 if inner.protocol() == crate::ipv4::IPPROTO_TCP => told,
            3 => return,
            // Nothing is known of the path but that it is narrow.
            _ => 0,
        };
        let quoted = message.get(ICMP_HLEN..).unwrap_or_default();
        if self.sent_here(quoted, Family::Ipv4) {
            let destination = inner.daddr().into();
            self.update_pmtu(destination, mtu);
        }
        self.icmp_socket_deliver(skb, Family::Ipv4, mtu);
    }

    /// `icmp_send()`: an error about `about`, whose network header must be in place. RFC 1122 3.2.2 says when none is sent.
    pub(crate) fn icmp_send(&mut self, about: &SkBuff, kind: u8, code: u8, info: u32) {
        if self.icmp_xmit_locked {
            return;
        }
        let Some(header) = Ipv4Header::new(about.network_bytes()) else {
            return;
        };
        let (sender, tos) = (header.saddr(), header.tos());
        if !may_complain(about, &header) {
            return;
        }
        let asked = header.daddr();
        // The error comes from the address that was asked, if it is ours, else from the one that fits the way back.
        let elsewhere = matches!(about.dst, Some(route) if route.kind == RouteType::Unicast);
        let own = (!elsewhere && self.fib.is_local(asked.into())).then_some(asked);
        let own = own.or_else(|| {
            (self.config.icmp_errors_use_inbound_ifaddr && about.pkt_type != PktType::Outgoing)
                .then(|| self.inet_select_addr(about.iif, sender, Scope::LINK))?
        });
        // RFC 1812 4.3.2.5: precedence internetwork control, the rest as in the packet.
        let tos = (tos & 0x1e) | 0xc0;
        let upper = upper(tos, self.ip4_reply_mark(about));
        // icmp_route_lookup(): of several ways back the one that what it is about would take.
        let flow = OutputFlow {
            saddr: own,
            mark: upper.mark,
            tos,
            protocol: upper.protocol,
            dport: flow_port(kind, code),
            mp_hash: Some(self.fib_multipath_hash(about.network_bytes())),
            ..OutputFlow::to(sender)
        };
        let Ok((route, saddr)) = self.ip_route_output_flow(&flow) else {
            return;
        };
        // Path MTU discovery must work: frag-needed is never held back (icmpv4_mask_allow()). Nor is what goes to ourselves.
        let limited =
            route.oif != IfIndex::LO && !(kind == DEST_UNREACH && code == unreach::FRAG_NEEDED);
        if limited && !self.icmpv4_allow(sender.into(), kind) {
            return;
        }
        let Some(options) = self.ip_options_echo(about, saddr) else {
            return;
        };
        let quoted = about.network_bytes();
        let headers = IPV4_HLEN + options.len();
        let room = MAX_ERROR_LEN
            .min(self.mtu(route.oif))
            .saturating_sub(headers + ICMP_HLEN);
        let quoted = &quoted[..quoted.len().min(room)];
        let Some(mut skb) = self.alloc_skb(route.oif, headers, ICMP_HLEN + quoted.len()) else {
            return;
        };
        let mut head = [0u8; ICMP_HLEN];
        head[..2].copy_from_slice(&[kind, code]);
        head[4..].copy_from_slice(&info.to_be_bytes());
        if skb
            .put_slice(&head)
            .and_then(|()| skb.put_slice(quoted))
            .is_none()
        {
            return self.kfree_skb(skb, DropReason::NoMem);
        }
        finish_checksum(skb.data_mut());
        skb.mark = upper.mark;
        skb.parent = about.id;
        skb.nfct = self.conntrack.attach(about.nfct);
        self.trace(&skb, Stage::Send);
        let protocol = crate::ipv4::IPPROTO_ICMP;
        self.icmp_push_reply(
            skb,
            Ipv4Send {
                saddr,
                daddr: sender,
                protocol,
                tos,
                dont_fragment: false,
                route,
            },
            &options,
        );
    }
}

/// Type and code as a flow has them: where others have the destination port (`struct flowi_uli`).
pub(crate) fn flow_port(kind: u8, code: u8) -> u16 {
    u16::from_be_bytes([kind, code])
}

/// What rules may ask of a message with this type of service and mark.
fn upper(tos: u8, mark: u32) -> Upper {
    Upper {
        tos,
        mark,
        ..Upper::new(crate::ipv4::IPPROTO_ICMP, (0, 0))
    }
}

/// RFC 1122 3.2.2: no error about an error, about a packet to many (as its route says: before routing a rule may reject what goes to all) or
/// from nobody, or about a fragment other than the first.
fn may_complain(about: &SkBuff, header: &Ipv4Header<'_>) -> bool {
    let to_many = !matches!(about.pkt_type, PktType::Host | PktType::Outgoing)
        || matches!(about.dst, Some(r) if !r.directed && matches!(r.kind, RouteType::Broadcast | RouteType::Multicast));
    let from = header.saddr();
    let from_nobody = from.is_unspecified() || from.is_multicast() || from.is_broadcast();
    if to_many || from_nobody || crate::ipv4::is_later_fragment(header) {
        return false;
    }
    if header.protocol() == crate::ipv4::IPPROTO_ICMP {
        let kind = about.network_bytes().get(header.header_len()).copied();
        return kind.is_some_and(is_query);
    }
    true
}

/// `icmp_pointers[].error`: the types that `icmp_send()` does not take for errors, as each is a question or an answer. To Linux 6.18 an error is
/// what it does not know, too: the types that were never given away, and what routers say of themselves (RFC 1256).
fn is_query(kind: u8) -> bool {
    matches!(kind, ECHOREPLY | ECHO | TIMESTAMP..=NR_ICMP_TYPES)
}

/// `icmp_is_err()`: the message is about another packet.
pub(crate) fn icmp_is_err(kind: u8) -> bool {
    matches!(
        kind,
        DEST_UNREACH | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETERPROB
    )
}

/// Sets the checksum of a whole ICMP message. Of one that is all zeros, as an echo reply can be, it is 0, not 0xffff:
/// `csum_partial_copy_nocheck()` begins with all ones. Who gets it, Linux among them, finds that it is wrong.
pub(crate) fn finish_checksum(message: &mut [u8]) {
    if let Some(field) = message.get_mut(2..4) {
        field.fill(0);
    }
    let check = match checksum::checksum(message) {
        0xffff => 0,
        check => check,
    };
    crate::ipv4::header::put16(message, 2, check);
}
