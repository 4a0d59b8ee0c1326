//! What ICMP errors say to raw sockets: `raw_icmp_error()`, `raw6_icmp_error()`, and the error queue (`IP_RECVERR`, `IPV6_RECVERR`).

use super::RawSocket;
use crate::error::StackError;
use crate::icmp_err::{IcmpErr, Quote};
use crate::ipv4::Flow;
use crate::skb::SkBuff;
use crate::socket::SocketId;
use crate::stack::Stack;
use std::net::IpAddr;

/// `struct sock_extended_err` and what comes with it: an ICMP error about a packet that a socket sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SockExtendedErr {
    /// `ee_errno`.
    pub error: StackError,
    /// `ee_type`: the message's type.
    pub kind: u8,
    /// `ee_code`.
    pub code: u8,
    /// `ee_info`: of ICMP the MTU in bytes, or the byte that is the problem, else 0; of ICMPv6 bytes 4 to 7 of the message.
    pub info: u32,
    /// `SO_EE_OFFENDER`: who sent the message.
    pub offender: IpAddr,
    /// To whom the packet was sent.
    pub dst: IpAddr,
    /// What the message quotes of what the application gave: what follows the IP headers, or of a socket with
    /// [`raw_set_hdrincl`](Stack::raw_set_hdrincl) all from the IP header on.
    pub payload: Box<[u8]>,
}

/// An entry of the error queue.
pub(super) struct Queued {
    err: SockExtendedErr,
    /// Of the message, in bytes: what the entry takes of the receive buffer.
    truesize: usize,
}

impl RawSocket {
    /// `sock_queue_err_skb()`: what does not fit is lost, but not the error.
    fn queue_err(&mut self, err: SockExtendedErr, truesize: usize) {
        if self.rmem_alloc + truesize < self.rcvbuf {
            self.rmem_alloc += truesize;
            self.error_queue.push_back(Queued { err, truesize });
        }
    }

    fn purge_errors(&mut self) {
        let freed: usize = self.error_queue.drain(..).map(|q| q.truesize).sum();
        self.rmem_alloc -= freed;
    }
}

impl Stack {
    /// `raw_icmp_error()`, `raw6_icmp_error()`: every socket that would take the answer to the quoted packet. `err`: what the message means, of a
    /// peer without a port; `info`: [`SockExtendedErr::info`].
    pub(crate) fn raw_icmp_error(
        &mut self,
        skb: &SkBuff,
        quote: &Quote<'_>,
        (kind, code): (u8, u8),
        err: Option<&IcmpErr>,
        info: u32,
    ) {
        // ipv6_skip_exthdr() does not go beyond the header of a later fragment.
        if quote.own.is_ipv6() && quote.later_fragment {
            return;
        }
        let (own, peer) = (quote.own.ip(), quote.peer.ip());
        let answer = Flow {
            src: peer,
            dst: own,
            to_many: false,
        };
        for at in 0..self.raw.table.len() {
            let socket = &self.raw.table[at];
            if !socket.takes(quote.protocol, &answer, skb.dev) {
                continue;
            }
            let asked = socket.recverr || socket.remote.is_some();
            let narrow = err.is_some_and(|e| matches!(e.error, StackError::PathTooNarrow(_)));
            // raw_err() remembers the MTU for any socket, rawv6_err() for those that hear of it.
            if narrow && (asked || own.is_ipv4()) {
                self.update_pmtu(peer, info);
            }
            let Some(err) = err.filter(|_| asked) else {
                continue;
            };
            let socket = &mut self.raw.table[at];
            // IPv6: IPV6_PMTUDISC_WANT is not IPV6_PMTUDISC_DO; IPv4: it is not IP_PMTUDISC_DONT.
            let hard = err.hard && (!narrow || (!socket.ipv6 && socket.pmtudisc));
            if socket.recverr {
                let from = if socket.hdrincl { 0 } else { quote.offset };
                let err = SockExtendedErr {
                    error: err.error.clone(),
                    kind,
                    code,
                    info,
                    offender: quote.offender,
                    dst: peer,
                    payload: quote.bytes.get(from..).unwrap_or_default().into(),
                };
                socket.queue_err(err, skb.truesize());
            }
            if socket.recverr || hard {
                socket.error = Some(err.error.clone());
            }
        }
    }

    /// `IP_RECVERR`, `IPV6_RECVERR`: ICMP errors about what the socket sent are queued for [`raw_recv_err`](Self::raw_recv_err), and each fails a
    /// call; without it only hard ones do, and only of a socket with a peer ([`raw_connect`](Self::raw_connect)). To switch it off empties the
    /// queue. Errors of this host itself are told by the call only.
    ///
    /// # Errors
    /// No such socket.
    pub fn raw_set_recverr(&mut self, socket: SocketId, on: bool) -> Result<(), StackError> {
        let raw = self.raw.get_mut(socket)?;
        raw.recverr = on;
        if !on {
            raw.purge_errors();
        }
        Ok(())
    }

    /// `recvmsg()` with `MSG_ERRQUEUE`: the oldest error that waits; `None` when there is none (or no such socket). What
    /// [`raw_take_error`](Self::raw_take_error) says from then on is the next that waits, if one does.
    pub fn raw_recv_err(&mut self, socket: SocketId) -> Option<SockExtendedErr> {
        let raw = self.raw.get_mut(socket).ok()?;
        let Queued { err, truesize } = raw.error_queue.pop_front()?;
        raw.rmem_alloc -= truesize;
        // sock_dequeue_err_skb()
        raw.error = raw.error_queue.front().map(|next| next.err.error.clone());
        Some(err)
    }

    /// `SO_ERROR`: what the last ICMP error told the socket, once. It also fails the next packet with a header of its own, as in Linux; others are
    /// sent.
    pub fn raw_take_error(&mut self, socket: SocketId) -> Option<StackError> {
        self.raw.get_mut(socket).ok()?.error.take()
    }
}
