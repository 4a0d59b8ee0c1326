//! What `tcp_v4_rcv()` and `tcp_v6_rcv()` check before they look for a socket. There is no TCP yet: no socket is ever found, and no reset is
//! sent, as nobody could tell which connections exist.

use crate::checksum;
use crate::drop_reason::DropReason;
use crate::ipv4::{Flow, IPPROTO_TCP};
use crate::skb::{PktType, SkBuff};
use crate::stack::Stack;

/// Shortest header in bytes.
const TCP_HLEN: usize = 20;

impl Stack {
    /// Data at the TCP header.
    pub(crate) fn tcp_rcv(&mut self, mut skb: SkBuff, flow: Flow) {
        skb.pskb_may_pull(TCP_HLEN);
        let reason = if skb.pkt_type != PktType::Host {
            DropReason::NotSpecified
        } else {
            match skb.data().get(12).map(|b| usize::from(b >> 4) * 4) {
                Some(offset) if offset >= TCP_HLEN && offset <= skb.len() => {
                    let pseudo =
                        checksum::pseudo_header(flow.src, flow.dst, IPPROTO_TCP, skb.len() as u32);
                    if skb.skb_checksum_validate(pseudo) {
                        DropReason::NoSocket
                    } else {
                        DropReason::TcpCsum
                    }
                }
                _ => DropReason::PktTooSmall,
            }
        };
        self.kfree_skb(skb, reason);
    }
}
