//! TCP (RFC 9293) as far as a host needs it to open, use and close connections like Linux: `tcp_v4_rcv()` / `tcp_v6_rcv()`, resets for closed
//! ports, listeners with SYN queue and accept backlog, active opens, data in order, retransmission (RFC 6298) with slow start and fast
//! retransmit (RFC 5681), delayed and quick acknowledgements, both closes, TIME-WAIT; MSS, window scale and timestamps (RFC 7323).
//!
//! What it does not have: SACK blocks (the option is negotiated as Linux does, segments out of order are dropped and asked for again), ECN,
//! urgent data, simultaneous open, SYN cookies, segmentation offload, keep-alive.
//!
//! ```text
//! tcp_rcv ─► connection? ─► sock ─► input (validate, ack, data, fin) ─► output (data, ACK)
//!        └─► listener?   ─► listen (SYN queue ─► accept queue)
//!        └─► nobody      ─► reset
//! ```

mod err;
pub(crate) mod header;
mod input;
mod listen;
mod output;
mod reset;
mod seq;
mod sock;
mod syscalls;
#[cfg(test)]
mod tests;
mod timer;

pub(crate) use sock::TcpTable;
pub use sock::{TcpSocketId, TcpState};
pub(crate) use timer::TcpTimer;

use crate::checksum;
use crate::drop_reason::DropReason;
use crate::ipv4::{Flow, IPPROTO_TCP};
use crate::skb::{IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use header::{MAX_TCP_HEADER, Segment, TCP_HLEN};
use std::net::{IpAddr, SocketAddr};

/// The link of an IPv6 link-local address; none otherwise.
fn scope_of(remote: SocketAddr) -> IfIndex {
    match remote {
        SocketAddr::V6(v6) => IfIndex(v6.scope_id()),
        SocketAddr::V4(_) => IfIndex::NONE,
    }
}

/// The other end as a connection is looked up by: a link-local one belongs to its link.
pub(crate) fn remote_addr(ip: IpAddr, port: u16, dev: IfIndex) -> SocketAddr {
    let mut remote = SocketAddr::new(ip, port);
    if let SocketAddr::V6(v6) = &mut remote
        && v6.ip().is_unicast_link_local()
    {
        v6.set_scope_id(dev.0);
    }
    remote
}

impl Stack {
    /// `tcp_v4_rcv()`, `tcp_v6_rcv()`: data at the TCP header.
    pub(crate) fn tcp_rcv(&mut self, mut skb: SkBuff, flow: Flow) {
        // Headers in one piece; the receive queue takes the payload from wherever it lies.
        skb.pskb_may_pull(skb.len().min(MAX_TCP_HEADER));
        if skb.pkt_type != PktType::Host {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        }
        let Some(mut segment) = Segment::parse(skb.data()) else {
            // A header that says that it is none is too small; one that is cut off has no reason of its own.
            let doff = skb.data().first_chunk::<TCP_HLEN>().map(|h| h[12] >> 4);
            return match doff {
                Some(0..5) => self.kfree_skb(skb, DropReason::PktTooSmall),
                _ => self.kfree_skb(skb, DropReason::NotSpecified),
            };
        };
        segment.len = skb.len() - segment.header_len;
        let pseudo = checksum::pseudo_header(flow.src, flow.dst, IPPROTO_TCP, skb.len() as u32);
        if !skb.skb_checksum_validate(pseudo) {
            return self.kfree_skb(skb, DropReason::TcpCsum);
        }
        self.trace(&skb, Stage::SocketLookup);
        let pair = (
            SocketAddr::new(flow.dst, segment.dport),
            remote_addr(flow.src, segment.sport, skb.iif),
        );
        if let Some(id) = self.tcp.lookup_established(&pair) {
            return self.tcp_rcv_sock(id, skb, flow, &segment);
        }
        if let Some(id) = self.tcp.lookup_listener(pair.0) {
            return self.tcp_rcv_listen(id, pair, skb, flow, &segment);
        }
        self.tcp_send_reset(&skb, flow, &segment);
        self.kfree_skb(skb, DropReason::NoSocket);
    }
}
