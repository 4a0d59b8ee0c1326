//! What is due later: retransmission (RFC 6298), delayed acknowledgements, SYN-ACKs, the end of TIME-WAIT.

use super::header::flag;
use super::sock::{Pair, TcpSock, TcpSocketId, TcpState};
use crate::error::StackError;
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::{MS, Ps, SEC};

/// First time-out, and least and most ever (`TCP_TIMEOUT_INIT`, `TCP_RTO_MIN`, `TCP_RTO_MAX`).
pub(super) const TIMEOUT_INIT: Ps = SEC;
const RTO_MIN: Ps = 200 * MS;
const RTO_MAX: Ps = 120 * SEC;
/// `TCP_ATO_MIN`: how long an acknowledgement waits for data to ride on.
pub(super) const ATO_MIN: Ps = 40 * MS;
/// `TCP_TIMEWAIT_LEN`.
pub(super) const TIMEWAIT_LEN: Ps = 60 * SEC;

/// Which of a connection's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TcpTimer {
    /// Nothing was acknowledged for too long.
    Retransmit,
    /// An acknowledgement waited long enough.
    DelayedAck,
    /// TIME-WAIT, or an orphan's FIN-WAIT-2, is over.
    Gone,
}

impl TcpSock {
    /// RFC 6298 2.2 and 2.3.
    pub(super) fn measured(&mut self, rtt: Ps) {
        match self.srtt {
            None => {
                self.srtt = Some(rtt);
                self.rttvar = rtt / 2;
            }
            Some(srtt) => {
                self.rttvar = (3 * self.rttvar + srtt.abs_diff(rtt)) / 4;
                self.srtt = Some((7 * srtt + rtt) / 8);
            }
        }
        let srtt = self.srtt.unwrap_or(rtt);
        self.rto = (srtt + (4 * self.rttvar).max(RTO_MIN)).min(RTO_MAX);
    }
}

impl Stack {
    pub(super) fn tcp_rearm_rto(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        self.tcp_stop_retransmit(id, sock);
        let at = self.now + sock.rto;
        sock.retransmit_at = Some(at);
        self.timers
            .start(at, TimerKey::Tcp(id, TcpTimer::Retransmit));
    }

    pub(super) fn tcp_stop_retransmit(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        if let Some(at) = sock.retransmit_at.take() {
            self.timers
                .stop(at, TimerKey::Tcp(id, TcpTimer::Retransmit));
        }
    }

    /// `tcp_send_delayed_ack()`; one that waits already keeps its time.
    pub(super) fn tcp_send_delayed_ack(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        if sock.delack_at.is_none() {
            let at = self.now + ATO_MIN;
            sock.delack_at = Some(at);
            self.timers
                .start(at, TimerKey::Tcp(id, TcpTimer::DelayedAck));
        }
    }

    pub(super) fn tcp_stop_delack(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        if let Some(at) = sock.delack_at.take() {
            self.timers
                .stop(at, TimerKey::Tcp(id, TcpTimer::DelayedAck));
        }
    }

    /// `tcp_time_wait()`: the connection ends after [`TIMEWAIT_LEN`], an orphan in FIN-WAIT-2 after `tcp_fin_timeout`.
    pub(super) fn tcp_start_gone(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        self.tcp_stop_retransmit(id, sock);
        if let Some(at) = sock.gone_at.take() {
            self.timers.stop(at, TimerKey::Tcp(id, TcpTimer::Gone));
        }
        let at = self.now
            + match sock.state {
                TcpState::FinWait2 => self.config.tcp_fin_timeout,
                _ => TIMEWAIT_LEN,
            };
        sock.gone_at = Some(at);
        self.timers.start(at, TimerKey::Tcp(id, TcpTimer::Gone));
    }

    /// `tcp_done()`: all timers stop.
    pub(super) fn tcp_done(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        error: Option<StackError>,
    ) {
        self.tcp_stop_retransmit(id, sock);
        self.tcp_stop_delack(id, sock);
        if let Some(at) = sock.gone_at.take() {
            self.timers.stop(at, TimerKey::Tcp(id, TcpTimer::Gone));
        }
        sock.state = TcpState::Closed;
        sock.error = error;
    }

    /// A timer of connection `id` is due.
    pub(crate) fn tcp_timer(&mut self, id: TcpSocketId, timer: TcpTimer) {
        let Some(mut sock) = self.tcp.take(id) else {
            return;
        };
        match timer {
            TcpTimer::Retransmit => {
                sock.retransmit_at = None;
                self.tcp_retransmit_timer(id, &mut sock);
            }
            TcpTimer::DelayedAck => {
                // tcp_delack_timer_handler(): nobody answered in time, so it is no conversation after all.
                sock.delack_at = None;
                sock.pingpong = false;
                self.tcp_send_ack(id, &mut sock);
            }
            TcpTimer::Gone => {
                sock.gone_at = None;
                self.tcp_done(id, &mut sock, None);
            }
        }
        self.tcp.put(id, sock);
    }

    /// `tcp_retransmit_timer()`: the oldest segment again, twice the time-out, and one segment of congestion window (RFC 5681 3.1).
    fn tcp_retransmit_timer(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        let connecting = sock.state == TcpState::SynSent;
        let linear: u32 = self.config.tcp_syn_linear_timeouts.into();
        let most = match connecting {
            true => linear + u32::from(self.config.tcp_syn_retries),
            false => self.config.tcp_retries2.into(),
        };
        if sock.retries >= most {
            // tcp_write_err()
            let error = sock.soft_error.take();
            let error = error.unwrap_or(StackError::TimedOut(sock.pair.1));
            return self.tcp_done(id, sock, Some(error));
        }
        sock.retries += 1;
        sock.timed = None; // Karn's algorithm
        if !connecting || sock.retries > linear {
            sock.rto = (sock.rto * 2).min(RTO_MAX);
        }
        if connecting {
            let isn = sock.snd_una;
            self.tcp_send_syn(sock, isn);
            return self.tcp_rearm_rto(id, sock);
        }
        let flight = sock.snd_nxt - sock.snd_una;
        sock.ssthresh = (flight / 2).max(2 * sock.mss);
        sock.cwnd = sock.mss;
        // Everything after the oldest segment is sent again as acknowledgements come (go-back-N).
        sock.snd_nxt = sock.snd_una;
        let queued = sock.write_queue.len();
        if queued > 0 && sock.snd_wnd == 0 {
            self.tcp_send_segment(id, sock, sock.snd_una, flag::ACK, 0..1);
            sock.snd_nxt = sock.snd_una + 1;
            if sock.snd_nxt.after(sock.snd_max) {
                sock.snd_max = sock.snd_nxt;
            }
        } else {
            self.tcp_write_xmit(id, sock);
        }
        self.tcp_rearm_rto(id, sock);
    }

    /// A SYN-ACK was not answered in time (`reqsk_timer_handler()`).
    pub(crate) fn tcp_request_timer(&mut self, listener: TcpSocketId, pair: Pair) {
        let (now, most) = (self.now, self.config.tcp_synack_retries);
        let Some(queue) = self.tcp.listener_mut(listener).map(|l| &mut l.syn_queue) else {
            return;
        };
        let Some(request) = queue.get_mut(&pair) else {
            return;
        };
        if request.retries >= most.into() {
            queue.remove(&pair);
            return;
        }
        request.retries += 1;
        request.at = now + (TIMEOUT_INIT << request.retries.min(7)).min(RTO_MAX);
        let again = *request;
        self.timers
            .start(again.at, TimerKey::TcpRequest(listener, pair.0, pair.1));
        self.tcp_send_synack(&pair, &again);
    }
}
