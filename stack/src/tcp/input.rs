//! A connection's segments in: `tcp_rcv_state_process()`, `tcp_validate_incoming()`, `tcp_ack()`, `tcp_data_queue()`, `tcp_fin()`
//! (RFC 9293 3.10.7.3 and 3.10.7.4).

use super::header::{HeaderBytes, Segment, flag};
use super::output::WSCALE;
use super::reset::Bare;
use super::sock::{TcpSock, TcpSocketId, TcpState};
use super::timer::ATO_MIN;
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::ipv4::Flow;
use crate::skb::SkBuff;
use crate::stack::Stack;
use crate::trace::{Consume, Stage};

/// Duplicate acknowledgements that mean a loss (RFC 5681 3.2).
const TCP_FASTRETRANS_THRESH: u32 = 3;
/// `TCP_MAX_QUICKACKS`.
const TCP_MAX_QUICKACKS: u32 = 16;

impl Stack {
    /// `tcp_v4_do_rcv()`.
    pub(super) fn tcp_rcv_sock(
        &mut self,
        id: TcpSocketId,
        skb: SkBuff,
        flow: Flow,
        segment: &Segment,
    ) {
        let Some(mut sock) = self.tcp.take(id) else {
            return self.kfree_skb(skb, DropReason::NoSocket);
        };
        let outcome = match sock.state {
            TcpState::SynSent => self.tcp_rcv_synsent(id, &mut sock, &skb, flow, segment),
            TcpState::TimeWait => {
                let reopen = segment.flags & (flag::SYN | flag::ACK | flag::RST) == flag::SYN
                    && segment.seq.after(sock.rcv_nxt);
                let listener = self.tcp.lookup_listener(sock.pair.0);
                if let Some(listener) = listener.filter(|_| reopen) {
                    // TCP_TW_SYN: a newer connection takes the place.
                    let pair = sock.pair;
                    self.tcp_done(id, &mut sock, None);
                    self.tcp.put(id, sock);
                    return self.tcp_rcv_listen(listener, pair, skb, flow, segment);
                }
                self.tcp_timewait_state_process(id, &mut sock, &skb, flow, segment)
            }
            _ => self.tcp_rcv_established(id, &mut sock, &skb, segment),
        };
        self.tcp.put(id, sock);
        match outcome {
            Ok(()) => self.consume_skb(skb, Consume::Tcp),
            Err(reason) => self.kfree_skb(skb, reason),
        }
    }

    /// `tcp_rcv_synsent_state_process()`.
    fn tcp_rcv_synsent(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        skb: &SkBuff,
        flow: Flow,
        segment: &Segment,
    ) -> Result<(), DropReason> {
        let acks = segment.has(flag::ACK);
        if acks && segment.ack != sock.snd_nxt {
            self.tcp_send_reset(skb, flow, segment);
            return Err(DropReason::TcpInvalidAckSequence);
        }
        if segment.has(flag::RST) {
            if !acks {
                return Err(DropReason::TcpReset);
            }
            let refused = StackError::ConnectionRefused(sock.pair.1);
            self.tcp_done(id, sock, Some(refused));
            return Ok(());
        }
        // A SYN without ACK would be a simultaneous open.
        if !segment.has(flag::SYN) || !acks {
            return Err(DropReason::TcpFlags);
        }
        // tcp_finish_connect()
        let options = segment.options;
        sock.rcv_nxt = segment.seq + 1;
        sock.rcv_wup = sock.rcv_nxt;
        sock.snd_una = segment.ack;
        sock.snd_wl1 = segment.seq;
        sock.snd_wl2 = segment.ack;
        sock.snd_wnd = u32::from(segment.window);
        if let Some(shift) = options.wscale {
            sock.snd_wscale = shift;
            sock.rcv_wscale = WSCALE;
        }
        sock.tstamp_ok = options.tstamp.is_some();
        sock.ts_recent = options.tstamp.map_or(0, |(theirs, _)| theirs);
        let advmss = self.tcp_advmss(&sock.pair, sock.unsourced);
        sock.set_mss(options.mss, advmss);
        if let Some((_, at)) = sock.timed.take() {
            sock.measured(self.now.saturating_sub(at));
        }
        sock.retries = 0;
        sock.state = TcpState::Established;
        sock.lrcvtime = self.now;
        self.tcp_stop_retransmit(id, sock);
        if sock.write_queue.is_empty() && !sock.fin_queued {
            self.tcp_send_ack(id, sock);
        } else {
            self.tcp_write_xmit(id, sock);
        }
        Ok(())
    }

    /// `tcp_timewait_state_process()`: an old segment is acknowledged once more, a reset ends it.
    fn tcp_timewait_state_process(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        skb: &SkBuff,
        flow: Flow,
        segment: &Segment,
    ) -> Result<(), DropReason> {
        if segment.has(flag::RST) {
            if segment.seq == sock.rcv_nxt {
                self.tcp_done(id, sock, None);
            }
        } else if segment.seq_len() > 0 || segment.seq != sock.rcv_nxt {
            let bare = Bare {
                seq: sock.snd_nxt,
                ack: sock.rcv_nxt,
                flags: flag::ACK,
            };
            let window = (sock.rcv_wnd >> sock.rcv_wscale).min(65535) as u16;
            let mut options = HeaderBytes::new();
            sock.tstamp_option(self.now).write(&mut options);
            self.tcp_send_bare(skb, flow, segment, bare, window, &options);
            self.tcp_start_gone(id, sock);
        }
        // Linux says no more about what reaches a connection that is only waiting.
        Err(DropReason::NotSpecified)
    }

    /// `tcp_rcv_established()` and the synchronized states of `tcp_rcv_state_process()`.
    fn tcp_rcv_established(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        skb: &SkBuff,
        segment: &Segment,
    ) -> Result<(), DropReason> {
        self.tcp_validate_incoming(id, sock, segment)?;
        if !segment.has(flag::ACK) {
            return Err(DropReason::TcpFlags);
        }
        self.tcp_ack(id, sock, segment)?;
        if sock.state == TcpState::Closed {
            return Ok(());
        }
        let result = self.tcp_data_queue(id, sock, skb, segment);
        if sock.state == TcpState::Closed {
            return result;
        }
        // tcp_data_snd_check(), tcp_ack_snd_check()
        self.tcp_write_xmit(id, sock);
        if sock.rcv_nxt != sock.rcv_wup {
            let due = sock.rcv_nxt - sock.rcv_wup > sock.rcv_mss;
            if due || (sock.quick > 0 && !sock.pingpong) {
                self.tcp_send_ack(id, sock);
            } else {
                self.tcp_send_delayed_ack(id, sock);
            }
        }
        result
    }

    /// `tcp_validate_incoming()`: PAWS (RFC 7323 5), sequence number, RST and SYN with challenge ACKs (RFC 5961).
    fn tcp_validate_incoming(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        segment: &Segment,
    ) -> Result<(), DropReason> {
        let reset = segment.has(flag::RST);
        if let (true, Some((theirs, _))) = (sock.tstamp_ok, segment.options.tstamp)
            && (theirs.wrapping_sub(sock.ts_recent) as i32) < 0
            && !reset
        {
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpRfc7323Paws);
        }
        let right_edge = sock.rcv_wup + sock.rcv_wnd;
        let old = segment.end_seq().before(sock.rcv_wup);
        if old || segment.seq.after(right_edge) {
            if !reset {
                self.tcp_send_ack(id, sock);
            }
            return Err(if old {
                DropReason::TcpOldSequence
            } else {
                DropReason::TcpInvalidSequence
            });
        }
        if reset {
            if segment.seq == sock.rcv_nxt {
                // tcp_reset(). An orphan in FIN-WAIT-2 is a time-wait socket in Linux, which says no more.
                let waiting = sock.orphan && sock.state == TcpState::FinWait2;
                let error = StackError::ConnectionReset(sock.pair.1);
                self.tcp_done(id, sock, Some(error));
                return Err(if waiting {
                    DropReason::NotSpecified
                } else {
                    DropReason::TcpReset
                });
            }
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpReset);
        }
        if segment.has(flag::SYN) {
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpInvalidSyn);
        }
        if let (true, Some((theirs, _))) = (sock.tstamp_ok, segment.options.tstamp)
            && !segment.seq.after(sock.rcv_wup)
        {
            sock.ts_recent = theirs;
        }
        Ok(())
    }

    /// `tcp_ack()`.
    fn tcp_ack(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        segment: &Segment,
    ) -> Result<(), DropReason> {
        if segment.ack.after(sock.snd_max) {
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpAckUnsentData);
        }
        let window = u32::from(segment.window) << sock.snd_wscale;
        let newer = segment.seq.after(sock.snd_wl1)
            || (segment.seq == sock.snd_wl1 && !segment.ack.before(sock.snd_wl2));
        let same_window = window == sock.snd_wnd;
        if newer && !segment.ack.before(sock.snd_una) {
            sock.snd_wnd = window;
            sock.snd_wl1 = segment.seq;
            sock.snd_wl2 = segment.ack;
        }
        if !segment.ack.after(sock.snd_una) {
            let duplicate = segment.ack == sock.snd_una
                && segment.seq_len() == 0
                && same_window
                && sock.snd_max != sock.snd_una;
            if duplicate {
                self.tcp_fast_retransmit(id, sock);
            }
            return Ok(());
        }
        let acked = segment.ack - sock.snd_una;
        let bytes = (acked as usize).min(sock.write_queue.len());
        sock.write_queue.drain(..bytes);
        sock.snd_una = segment.ack;
        if sock.snd_nxt.before(sock.snd_una) {
            sock.snd_nxt = sock.snd_una;
        }
        // RFC 5681 3.1: slow start, then one segment per round trip.
        sock.cwnd += if sock.cwnd < sock.ssthresh {
            acked.min(sock.mss)
        } else {
            (u64::from(sock.mss) * u64::from(sock.mss) / u64::from(sock.cwnd.max(1))) as u32
        };
        if let Some((_, at)) = sock.timed.take_if(|(seq, _)| !seq.after(segment.ack)) {
            sock.measured(self.now.saturating_sub(at));
        }
        sock.retries = 0;
        sock.dupacks = 0;
        if sock.snd_una == sock.snd_max {
            self.tcp_stop_retransmit(id, sock);
        } else {
            self.tcp_rearm_rto(id, sock);
        }
        let fin_acked =
            sock.fin_queued && sock.write_queue.is_empty() && sock.snd_una == sock.snd_max;
        match sock.state {
            TcpState::FinWait1 if fin_acked => {
                sock.state = TcpState::FinWait2;
                if sock.orphan {
                    self.tcp_start_gone(id, sock);
                }
            }
            TcpState::Closing if fin_acked => {
                sock.state = TcpState::TimeWait;
                self.tcp_start_gone(id, sock);
            }
            TcpState::LastAck if fin_acked => self.tcp_done(id, sock, None),
            _ => {}
        }
        Ok(())
    }

    /// The third duplicate acknowledgement: the oldest segment again, and half the window (RFC 5681 3.2, without its recovery phase).
    fn tcp_fast_retransmit(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        sock.dupacks += 1;
        if sock.dupacks != TCP_FASTRETRANS_THRESH {
            return;
        }
        let flight = sock.snd_max - sock.snd_una;
        sock.ssthresh = (flight / 2).max(2 * sock.mss);
        sock.cwnd = sock.ssthresh;
        sock.timed = None;
        sock.snd_nxt = sock.snd_una;
        self.tcp_write_xmit(id, sock);
        self.tcp_rearm_rto(id, sock);
    }

    /// `tcp_data_queue()`: takes in what comes next; everything else is asked for (again).
    fn tcp_data_queue(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        skb: &SkBuff,
        segment: &Segment,
    ) -> Result<(), DropReason> {
        if segment.len == 0 && !segment.has(flag::FIN) {
            return Ok(());
        }
        if sock.eof {
            // Nothing can follow a FIN; only it may come again.
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpOldData);
        }
        if segment.seq.after(sock.rcv_nxt) {
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpOfoDrop);
        }
        if !segment.end_seq().after(sock.rcv_nxt) {
            sock.enter_quickack();
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpOldData);
        }
        let known = (sock.rcv_nxt - segment.seq) as usize;
        let new = segment.len.saturating_sub(known);
        if new > 0 && sock.orphan {
            // RFC 9293 3.10.7.4: nobody is there to read it.
            self.tcp_send_active_reset(id, sock);
            let error = StackError::ConnectionReset(sock.pair.1);
            self.tcp_done(id, sock, Some(error));
            return Err(DropReason::TcpAbortOnData);
        }
        let room = (sock.rcv_wup + sock.rcv_wnd) - sock.rcv_nxt;
        let taken = new.min(room as usize);
        if taken < new && taken == 0 {
            self.tcp_send_ack(id, sock);
            return Err(DropReason::TcpOverwindow);
        }
        if taken > 0 {
            self.trace(skb, Stage::SocketQueue);
            for part in skb.range(segment.header_len + known, taken) {
                sock.receive_queue.extend(part);
            }
            // At most a window.
            sock.rcv_nxt = sock.rcv_nxt + taken as u32;
            // tcp_event_data_recv()
            sock.rcv_mss = sock.rcv_mss.max(segment.len as u32);
            if sock.ato == 0 {
                sock.enter_quickack();
                sock.ato = ATO_MIN;
            }
            sock.lrcvtime = self.now;
        }
        if segment.has(flag::FIN) && taken == new {
            self.tcp_fin(id, sock);
        }
        Ok(())
    }

    /// `tcp_fin()`.
    fn tcp_fin(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        sock.rcv_nxt = sock.rcv_nxt + 1;
        sock.eof = true;
        match sock.state {
            TcpState::Established => {
                sock.state = TcpState::CloseWait;
                // What follows is likely our own FIN, which acknowledges this one.
                sock.pingpong = true;
            }
            TcpState::FinWait1 => {
                self.tcp_send_ack(id, sock);
                sock.state = TcpState::Closing;
            }
            TcpState::FinWait2 => {
                self.tcp_send_ack(id, sock);
                sock.state = TcpState::TimeWait;
                self.tcp_start_gone(id, sock);
            }
            _ => {}
        }
    }
}

impl TcpSock {
    /// `tcp_enter_quickack_mode()`.
    fn enter_quickack(&mut self) {
        let most = (self.rcv_wnd / (2 * self.rcv_mss.max(1))).clamp(2, TCP_MAX_QUICKACKS);
        self.quick = self.quick.max(most);
        self.pingpong = false;
    }
}
