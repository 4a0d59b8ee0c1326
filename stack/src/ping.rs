//! Ping sockets (net/ipv4/ping.c): echo requests out, their replies in.

use crate::DropReason;
use crate::Ps;
use crate::error::StackError;
use crate::icmp::{ECHO, finish_checksum, flow_port};
use crate::ipv4::{IPPROTO_ICMP, IPV4_HLEN, Ipv4Send, Upper};
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// Replies that wait to be read, per socket.
const MAX_WAITING: usize = 64;
/// Header in bytes.
const ICMP_HLEN: usize = 8;

/// An answer to an echo request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// Who answered.
    pub from: Ipv4Addr,
    /// Sequence number of the request.
    pub sequence: u16,
    /// Bytes behind the header.
    pub payload: Vec<u8>,
}

/// All ping sockets, by identifier (`ping_table`).
#[derive(Default)]
pub(crate) struct PingTable {
    sockets: BTreeMap<u16, VecDeque<EchoReply>>,
}

impl PingTable {
    /// Whether there is a socket with identifier `id`.
    pub fn is_bound(&self, id: u16) -> bool {
        self.sockets.contains_key(&id)
    }
}

impl Stack {
    /// `socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)` and `bind()`: echo replies with identifier `id` wait here from now on.
    ///
    /// # Errors
    /// [`StackError::AddressInUse`]: there is such a socket.
    pub fn ping_bind(&mut self, id: u16) -> Result<(), StackError> {
        if self.ping.sockets.contains_key(&id) {
            let any = (Ipv4Addr::UNSPECIFIED, id).into();
            return Err(StackError::AddressInUse(any));
        }
        self.ping.sockets.insert(id, VecDeque::new());
        Ok(())
    }

    /// Closes the socket with identifier `id`; `false` when there was none.
    pub fn ping_close(&mut self, id: u16) -> bool {
        self.ping.sockets.remove(&id).is_some()
    }

    /// `ping_v4_sendmsg()`: an echo request to `to`.
    ///
    /// # Errors
    /// No such socket, no route, too long, or a hook dropped it.
    pub fn ping_send_to(
        &mut self,
        id: u16,
        to: Ipv4Addr,
        sequence: u16,
        payload: &[u8],
        now: Ps,
    ) -> Result<(), StackError> {
        self.now = self.now.max(now);
        if !self.ping.sockets.contains_key(&id) {
            return Err(StackError::NotConnected);
        }
        let max = 65535 - IPV4_HLEN - ICMP_HLEN;
        if payload.len() > max {
            let len = payload.len();
            return Err(StackError::MessageSize { len, max });
        }
        let (route, saddr) = self.ip_route_output(
            to,
            None,
            IfIndex::NONE,
            Upper::new(IPPROTO_ICMP, (0, flow_port(ECHO, 0))),
        )?;
        let len = ICMP_HLEN + payload.len();
        let mut message = Vec::with_capacity(len);
        message.extend([ECHO, 0, 0, 0]);
        message.extend(id.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend(payload);
        finish_checksum(&mut message);
        let mut skb = self
            .alloc_skb(route.oif, IPV4_HLEN, len)
            .ok_or(StackError::NoBuffers)?;
        if skb.put_slice(&message).is_none() {
            self.kfree_skb(skb, DropReason::NoMem);
            return Err(StackError::NoBuffers);
        }
        skb.ignore_df = true;
        self.trace(&skb, Stage::Send);
        let send = Ipv4Send {
            saddr,
            daddr: to,
            protocol: IPPROTO_ICMP,
            tos: 0,
            // IP_PMTUDISC_WANT, as for UDP.
            dont_fragment: IPV4_HLEN + len <= self.dst_mtu(&route, to.into())
                && self.ip_dont_fragment(&route, to.into()),
            route,
        };
        let sent = self.ip_send_skb(skb, send);
        self.flush_devices();
        if sent { Ok(()) } else { Err(self.filtered()) }
    }

    /// The oldest reply that waits for the socket with identifier `id`.
    pub fn ping_recv(&mut self, id: u16) -> Option<EchoReply> {
        self.ping.sockets.get_mut(&id)?.pop_front()
    }

    /// `ping_rcv()`: an echo reply, data at the ICMP header.
    pub(crate) fn ping_rcv(&mut self, skb: SkBuff, from: Ipv4Addr) {
        let bytes = skb.to_vec();
        let Some((header, payload)) = bytes.split_first_chunk::<ICMP_HLEN>() else {
            return self.kfree_skb(skb, DropReason::PktTooSmall);
        };
        let id = u16::from_be_bytes([header[4], header[5]]);
        let Some(queue) = self.ping.sockets.get_mut(&id) else {
            return self.kfree_skb(skb, DropReason::NoSocket);
        };
        if queue.len() >= MAX_WAITING {
            return self.kfree_skb(skb, DropReason::SocketRcvBuff);
        }
        queue.push_back(EchoReply {
            from,
            sequence: u16::from_be_bytes([header[6], header[7]]),
            payload: payload.to_vec(),
        });
        self.trace(&skb, Stage::SocketQueue);
        self.consume_skb(skb, Consume::Icmp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StackConfig;

    #[test]
    fn a_host_answers_its_own_ping() {
        let mut stack = Stack::new(StackConfig::default());
        stack.ping_bind(7).unwrap();
        assert!(matches!(
            stack.ping_bind(7),
            Err(StackError::AddressInUse(_))
        ));
        stack
            .ping_send_to(7, Ipv4Addr::LOCALHOST, 3, b"abc", 0)
            .unwrap();
        while stack.net_rx_action(1) {}
        let expected = EchoReply {
            from: Ipv4Addr::LOCALHOST,
            sequence: 3,
            payload: b"abc".to_vec(),
        };
        assert_eq!(stack.ping_recv(7), Some(expected));
        assert_eq!(stack.ping_recv(7), None);
        assert!(stack.ping_close(7) && !stack.ping_close(7));
        let refused = stack.ping_send_to(7, Ipv4Addr::LOCALHOST, 4, b"", 2);
        assert_eq!(refused, Err(StackError::NotConnected));
    }
}
