//! Packets for raw sockets: `raw_local_deliver()`, `raw6_local_deliver()`, behind the INPUT hook and before the transport protocol.

use super::RawSocket;
use crate::checksum;
use crate::drop_reason::DropReason;
use crate::ipv4::{Flow, IPPROTO_ICMP};
use crate::ipv6::IPPROTO_ICMPV6;
use crate::skb::{IfIndex, SkBuff};
use crate::socket::Datagram;
use crate::stack::Stack;
use crate::trace::Stage;

impl RawSocket {
    /// `raw_v4_match()`, `raw_v6_match()`.
    pub(super) fn takes(&self, protocol: u8, flow: &Flow, dev: IfIndex) -> bool {
        self.protocol == protocol
            && self.ipv6 == flow.dst.is_ipv6()
            && self.remote.is_none_or(|remote| remote == flow.src)
            && (self.device == IfIndex::NONE || self.device == dev)
            && (self.local.is_unspecified()
                || self.local == flow.dst
                // inet6_mc_check() of a socket that is in no group (IPV6_MULTICAST_ALL).
                || (self.ipv6 && flow.dst.is_multicast()))
    }

    /// `icmp_filter()`, `icmpv6_filter()`: the application does not want the message. `message`: from the transport header on.
    fn filters(&self, message: &SkBuff) -> bool {
        let kind = || {
            let mut kind = [0];
            message.skb_copy_bits(0, &mut kind).map(|()| kind[0])
        };
        match (self.ipv6, self.protocol) {
            (false, IPPROTO_ICMP) => kind().is_none_or(|kind| self.icmp_filter.blocks(kind)),
            (true, IPPROTO_ICMPV6) => kind().is_none_or(|kind| self.icmp6_filter.blocks(kind)),
            _ => false,
        }
    }
}

impl Stack {
    /// `raw_v4_input()`, `ipv6_raw_deliver()`: gives a copy to every socket that takes it, the newest first. Data at the header that
    /// `protocol` names. `true`: there was such a socket, so that nobody is told that the protocol is not known here. One whose buffer is
    /// full does not count.
    #[inline]
    pub(crate) fn raw_local_deliver(&mut self, skb: &SkBuff, protocol: u8, flow: &Flow) -> bool {
        !self.raw.table.is_empty() && self.raw_deliver(skb, protocol, flow)
    }

    /// The same of an IPv6 packet, with data at the IPv6 header; `offset`: of the header that `next_header` names.
    #[inline]
    pub(crate) fn raw6_local_deliver(
        &mut self,
        skb: &SkBuff,
        offset: usize,
        next_header: u8,
        flow: &Flow,
    ) -> bool {
        if self.raw.table.is_empty() {
            return false;
        }
        let mut message = skb.skb_clone();
        let pulled = message.skb_pull_rcsum(offset);
        message.set_transport_header(0);
        pulled.is_some() && self.raw_deliver(&message, next_header, flow)
    }

    fn raw_deliver(&mut self, skb: &SkBuff, protocol: u8, flow: &Flow) -> bool {
        let mut delivered = false;
        for at in (0..self.raw.table.len()).rev() {
            let socket = &self.raw.table[at];
            if !socket.takes(protocol, flow, skb.dev) {
                continue;
            }
            let full = socket.rmem_alloc >= socket.rcvbuf;
            delivered |= !full;
            if !full && socket.filters(skb) {
                continue;
            }
            let mut copy = skb.skb_clone();
            // nf_reset_ct(): the clone never had a hold of it.
            copy.nfct = None;
            copy.id = self.new_packet_id();
            copy.parent = skb.id;
            self.stats.built += 1;
            match full {
                true => self.kfree_skb(copy, DropReason::SocketRcvBuff),
                false => self.raw_rcv_skb(at, copy, flow),
            }
        }
        delivered
    }

    /// `raw_rcv()`, `rawv6_rcv()`: into the queue of the socket in place `at`.
    fn raw_rcv_skb(&mut self, at: usize, mut skb: SkBuff, flow: &Flow) {
        let socket = &self.raw.table[at];
        if socket.ipv6 {
            let verify = socket.checksum.is_some() || socket.hdrincl;
            let len = u32::try_from(skb.len()).unwrap_or(u32::MAX);
            let pseudo = checksum::pseudo_header(flow.src, flow.dst, socket.protocol, len);
            if verify && !skb.checksum_ok(pseudo) {
                return self.kfree_skb(skb, DropReason::SkbCsum);
            }
        }
        // The application reads it as one slice.
        skb.skb_linearize();
        skb.detach_if_scarce();
        if !socket.ipv6 {
            skb.rewind_to_network();
        }
        self.trace(&skb, Stage::SocketQueue);
        let socket = &mut self.raw.table[at];
        socket.rmem_alloc += skb.truesize();
        socket.queue.push_back(Datagram {
            src: (flow.src, 0).into(),
            dst: (flow.dst, 0).into(),
            iif: skb.iif,
            tstamp: skb.tstamp,
            skb,
        });
    }
}
