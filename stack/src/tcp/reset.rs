//! `tcp_v4_send_reset()`, `tcp_v6_send_reset()`: the answer to a segment that belongs to no connection (RFC 9293 3.5.2).

use super::header::{HeaderBytes, Segment, TCP_HLEN, flag};
use super::output::{TcpSend, Way};
use super::seq::Seq;
use crate::checksum;
use crate::fib::RouteType;
use crate::ipv4::header::put16;
use crate::ipv4::{Flow, IPPROTO_TCP};
use crate::skb::SkBuff;
use crate::stack::Stack;
use crate::trace::Stage;
use std::net::SocketAddr;

/// A segment without payload that answers another: a reset, or the ACK of a connection that is only waiting for its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bare {
    pub seq: Seq,
    pub ack: Seq,
    pub flags: u8,
}

impl Bare {
    /// RFC 9293 3.10.7.1: the reset takes its sequence number from the ACK if there is one, else it acknowledges what came.
    pub fn reset(segment: &Segment) -> Self {
        if segment.has(flag::ACK) {
            Self {
                seq: segment.ack,
                ack: Seq(0),
                flags: flag::RST,
            }
        } else {
            Self {
                seq: Seq(0),
                ack: segment.end_seq(),
                flags: flag::RST | flag::ACK,
            }
        }
    }
}

/// `ip_dsfield`: the type of service, or the traffic class, of the packet that `skb` came in.
pub(super) fn dsfield(skb: &SkBuff) -> u8 {
    let header = skb.network_bytes();
    match header.first_chunk::<2>() {
        Some([first, second]) if first >> 4 == 6 => first << 4 | second >> 4,
        Some([_, tos]) => *tos,
        None => 0,
    }
}

impl Stack {
    /// Answers `segment` with a reset, unless it is one itself or was not sent to this host alone.
    pub(super) fn tcp_send_reset(&mut self, skb: &SkBuff, flow: Flow, segment: &Segment) {
        let local = matches!(skb.dst, Some(route) if route.kind == RouteType::Local);
        let anycast = matches!(skb.dst, Some(route) if route.kind == RouteType::Anycast);
        if anycast || segment.has(flag::RST) || flow.to_many || (flow.dst.is_ipv4() && !local) {
            return;
        }
        self.tcp_send_bare(skb, flow, segment, Bare::reset(segment), 0, &[]);
    }

    /// `ip_send_unicast_reply()` with a TCP header: ports and addresses of `segment` the other way round, checksum filled in.
    pub(super) fn tcp_send_bare(
        &mut self,
        skb: &SkBuff,
        flow: Flow,
        segment: &Segment,
        bare: Bare,
        window: u16,
        options: &[u8],
    ) {
        let mut bytes = HeaderBytes::new();
        bytes.extend(segment.dport.to_be_bytes());
        bytes.extend(segment.sport.to_be_bytes());
        bytes.extend(bare.seq.0.to_be_bytes());
        bytes.extend(bare.ack.0.to_be_bytes());
        // At most 40 bytes of options, in steps of 4.
        bytes.extend([(((TCP_HLEN + options.len()) / 4) << 4) as u8, bare.flags]);
        bytes.extend(window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend_from_slice(options);
        let pseudo = checksum::pseudo_header(flow.dst, flow.src, IPPROTO_TCP, bytes.len() as u32);
        let sum = checksum::add(checksum::sum(&bytes), pseudo);
        put16(&mut bytes, 16, !checksum::fold(sum));
        // ip_reply_arg, ipv6_get_dsfield(): the answer goes the same class of way.
        let tos = dsfield(skb);
        let own = SocketAddr::new(flow.dst, segment.dport);
        let peer = SocketAddr::new(flow.src, segment.sport);
        // Without a socket it reflects, else it has the socket's mark, which is not told here: TIME-WAIT's.
        let mark = match flow.src {
            std::net::IpAddr::V4(_) => self.ip4_reply_mark(skb),
            std::net::IpAddr::V6(_) => self.ip6_reply_mark(skb),
        };
        let way = Way {
            tos,
            mark,
            unsourced: false,
        };
        let Some((mut answer, send)) = self.tcp_alloc((own, peer), skb.dev, bytes.len(), way)
        else {
            // tcp_v6_send_response() has made it by then.
            if flow.src.is_ipv6() {
                let answer = self.adopt(SkBuff::alloc_heap(0, bytes.len()), skb.dev);
                self.kfree_skb(answer, crate::DropReason::NotSpecified);
            }
            return;
        };
        answer.parent = skb.id;
        if answer.put_slice(&bytes).is_none() {
            return self.kfree_skb(answer, crate::DropReason::NoMem);
        }
        self.trace(&answer, Stage::Send);
        // tcp_sk_init(): the socket that sends resets never lets them be fragmented.
        match send.with_tos(tos).whole() {
            // ip_send_unicast_reply() repeats the segment's options.
            TcpSend::V4(send) => {
                if let Some(options) = self.ip_options_echo(skb, send.saddr) {
                    self.ip_send_skb_options(answer, send, 0, &options);
                } else {
                    self.kfree_skb(answer, crate::DropReason::NotSpecified);
                }
            }
            send => self.tcp_ip_xmit(answer, send, 0),
        }
    }
}
