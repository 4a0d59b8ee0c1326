//! A listener: SYN queue, accept queue (`tcp_conn_request()`, `tcp_check_req()`).

use super::header::{Segment, flag};
use super::output::{WSCALE, request_window};
use super::reset::dsfield;
use super::seq::Seq;
use super::sock::{Pair, Request, TcpSock, TcpSocketId, TcpState};
use super::timer::TIMEOUT_INIT;
use crate::drop_reason::DropReason;
use crate::ipv4::Flow;
use crate::skb::SkBuff;
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::trace::Consume;

/// `INET_ECN_MASK`.
const INET_ECN_MASK: u8 = 3;

impl Stack {
    /// A segment for a port that listens, of a connection that is not made yet.
    pub(super) fn tcp_rcv_listen(
        &mut self,
        id: TcpSocketId,
        pair: Pair,
        skb: SkBuff,
        flow: Flow,
        segment: &Segment,
    ) {
        let Some(listener) = self.tcp.listener(id) else {
            return self.kfree_skb(skb, DropReason::NoSocket);
        };
        if let Some(&request) = listener.syn_queue.get(&pair) {
            return self.tcp_check_req(id, pair, request, skb, flow, segment);
        }
        // RFC 9293 3.10.7.2.
        if segment.has(flag::RST) {
            return self.kfree_skb(skb, DropReason::TcpReset);
        }
        if segment.has(flag::ACK) {
            self.tcp_send_reset(&skb, flow, segment);
            return self.kfree_skb(skb, DropReason::TcpFlags);
        }
        if !segment.has(flag::SYN) || segment.has(flag::FIN) {
            return self.kfree_skb(skb, DropReason::TcpFlags);
        }
        self.tcp_conn_request(id, pair, segment, &skb);
        // Linux consumes the SYN even when it makes no request of it, and counts why.
        self.consume_skb(skb, Consume::Tcp);
    }

    /// `tcp_conn_request()`: notes the SYN and answers it, unless a queue is full.
    fn tcp_conn_request(&mut self, id: TcpSocketId, pair: Pair, segment: &Segment, syn: &SkBuff) {
        let Some(listener) = self.tcp.listener(id) else {
            return;
        };
        // inet_csk_reqsk_queue_is_full(), sk_acceptq_is_full()
        if listener.acceptq_is_full() {
            self.stats.listen_overflows += 1;
            self.stats.listen_drops += 1;
            return;
        }
        if listener.syn_queue.len() > listener.backlog {
            self.stats.listen_drops += 1;
            return;
        }
        // tcp_parse_options(): what is off was not asked for.
        let mut options = segment.options;
        options.sack_ok &= self.config.tcp_sack;
        options.wscale = options.wscale.filter(|_| self.config.tcp_window_scaling);
        options.tstamp = options.tstamp.filter(|_| self.config.tcp_timestamps);
        options.tstamp = options.tstamp.map(|(theirs, _)| (theirs, 0));
        let advmss = self.tcp_advmss(&pair, false);
        let request = Request {
            isn: Seq(self.random() as u32),
            irs: segment.seq,
            options,
            // inet_request_mark()
            mark: match self.config.tcp_fwmark_accept {
                true => syn.mark,
                false => 0,
            },
            tos: dsfield(syn) & !INET_ECN_MASK,
            opt: self.tcp_v4_save_options(syn, pair.0.ip()),
            ts_offset: self.random() as u32,
            rcv_wnd: request_window(advmss, &options),
            retries: 0,
            at: self.now + TIMEOUT_INIT,
            sent_at: self.now,
        };
        if let Some(listener) = self.tcp.listener_mut(id) {
            listener.syn_queue.insert(pair, request);
        }
        self.timers
            .start(request.at, TimerKey::TcpRequest(id, pair.0, pair.1));
        self.tcp_send_synack(&pair, &request);
    }

    /// `tcp_check_req()`: a segment for a connection whose SYN-ACK is on its way.
    fn tcp_check_req(
        &mut self,
        id: TcpSocketId,
        pair: Pair,
        request: Request,
        skb: SkBuff,
        flow: Flow,
        segment: &Segment,
    ) {
        let syn = segment.flags & (flag::SYN | flag::ACK | flag::RST) == flag::SYN;
        if syn && segment.seq == request.irs {
            // The SYN-ACK was lost.
            self.tcp_send_synack(&pair, &request);
            return self.consume_skb(skb, Consume::Tcp);
        }
        let expected = request.irs + 1;
        let window = expected + request.rcv_wnd;
        if segment.seq.before(expected) || segment.seq.after(window) {
            return self.kfree_skb(skb, DropReason::TcpInvalidSequence);
        }
        if segment.has(flag::RST) || syn {
            self.tcp_drop_request(id, &pair, &request);
            if syn {
                self.tcp_send_reset(&skb, flow, segment);
            }
            return self.kfree_skb(skb, DropReason::TcpReset);
        }
        if !segment.has(flag::ACK) {
            return self.kfree_skb(skb, DropReason::TcpFlags);
        }
        if segment.ack != request.isn + 1 {
            self.tcp_send_reset(&skb, flow, segment);
            return self.kfree_skb(skb, DropReason::TcpFlags);
        }
        // tcp_v4_syn_recv_sock(): with a full accept queue the ACK is forgotten, and the SYN-ACK goes out again later.
        if self.tcp.listener(id).is_some_and(|l| l.acceptq_is_full()) {
            self.stats.listen_overflows += 1;
            self.stats.listen_drops += 1;
            if self.config.tcp_abort_on_overflow {
                self.tcp_drop_request(id, &pair, &request);
                self.tcp_send_reset(&skb, flow, segment);
            }
            return self.kfree_skb(skb, DropReason::TcpListenOverflow);
        }
        self.tcp_drop_request(id, &pair, &request);
        let child = self.tcp_create_openreq_child(pair, &request, segment);
        if let Some(listener) = self.tcp.listener_mut(id) {
            listener.accept_queue.push_back(child);
        }
        self.tcp_rcv_sock(child, skb, flow, segment);
    }

    pub(super) fn tcp_drop_request(&mut self, id: TcpSocketId, pair: &Pair, request: &Request) {
        if let Some(listener) = self.tcp.listener_mut(id) {
            listener.syn_queue.remove(pair);
        }
        self.timers
            .stop(request.at, TimerKey::TcpRequest(id, pair.0, pair.1));
    }

    /// `tcp_create_openreq_child()`: the connection, established.
    fn tcp_create_openreq_child(
        &mut self,
        pair: Pair,
        request: &Request,
        segment: &Segment,
    ) -> TcpSocketId {
        let advmss = self.tcp_advmss(&pair, false);
        let mut sock = TcpSock::new(pair, request.isn + 1, request.rcv_wnd);
        sock.state = TcpState::Established;
        sock.mark = request.mark;
        // tcp_v4_syn_recv_sock(), tcp_v6_syn_recv_sock()
        if self.config.tcp_reflect_tos {
            sock.tos = request.tos;
        }
        sock.opt = request.opt;
        sock.rcv_nxt = request.irs + 1;
        sock.rcv_wup = sock.rcv_nxt;
        sock.snd_wl1 = segment.seq;
        sock.snd_wl2 = segment.ack;
        sock.tstamp_ok = request.options.tstamp.is_some();
        sock.ts_recent = request.options.tstamp.map_or(0, |(theirs, _)| theirs);
        sock.ts_offset = request.ts_offset;
        if let Some(shift) = request.options.wscale {
            sock.snd_wscale = shift;
            sock.rcv_wscale = WSCALE;
        }
        sock.snd_wnd = u32::from(segment.window) << sock.snd_wscale;
        sock.set_mss(request.options.mss, advmss);
        sock.ip_id = self.random() as u16;
        if request.retries == 0 {
            sock.measured(self.now.saturating_sub(request.sent_at));
        }
        self.tcp.insert(sock)
    }
}
