//! What programs call: listen, connect, accept, send, receive, close.

use super::header::Options;
use super::output::{initial_window, tcp_time_stamp};
use super::seq::Seq;
use super::sock::{Pair, TcpSock, TcpSocketId, TcpState};
use super::timer::TIMEOUT_INIT;
use crate::Ps;
use crate::error::StackError;
use crate::ipv4::options::SavedOptions;
use crate::ipv4::{IPPROTO_TCP, Upper};
use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::timer::TimerKey;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Bytes that wait to be sent, at most (`tcp_wmem`, 4 MiB).
const SNDBUF: usize = 4 << 20;

impl TcpSock {
    /// A connection whose next number to send is `seq`.
    pub(super) fn new(pair: Pair, seq: Seq, rcv_wnd: u32) -> Self {
        Self {
            pair,
            mark: 0,
            tos: 0,
            opt: SavedOptions::NONE,
            unsourced: false,
            state: TcpState::SynSent,
            snd_una: seq,
            snd_nxt: seq,
            snd_max: seq,
            snd_wnd: 0,
            snd_wl1: Seq(0),
            snd_wl2: Seq(0),
            snd_wscale: 0,
            mss: 536,
            cwnd: 536,
            ssthresh: u32::MAX,
            dupacks: 0,
            write_queue: VecDeque::new(),
            fin_queued: false,
            rcv_nxt: Seq(0),
            rcv_wup: Seq(0),
            rcv_wnd,
            rcv_wscale: 0,
            rcv_ssthresh: rcv_wnd,
            rcv_mss: 536,
            receive_queue: VecDeque::new(),
            eof: false,
            tstamp_ok: false,
            ts_recent: 0,
            ts_offset: 0,
            quick: 0,
            pingpong: false,
            ato: 0,
            lrcvtime: 0,
            srtt: None,
            rttvar: 0,
            rto: TIMEOUT_INIT,
            retries: 0,
            timed: None,
            retransmit_at: None,
            delack_at: None,
            gone_at: None,
            ip_id: 0,
            orphan: false,
            error: None,
            soft_error: None,
        }
    }

    /// The timestamp option of a segment that is sent now.
    pub(super) fn tstamp_option(&self, now: Ps) -> Options {
        Options {
            tstamp: self
                .tstamp_ok
                .then(|| (tcp_time_stamp(now, self.ts_offset), self.ts_recent)),
            ..Options::default()
        }
    }
}

impl Stack {
    /// `listen()` on `addr`:`port`; the unspecified address means all of that family. One connection more than `backlog` may wait to be
    /// accepted, as on Linux.
    ///
    /// # Errors
    /// [`StackError::AddressNotAvailable`], [`StackError::AddressInUse`].
    pub fn tcp_listen(
        &mut self,
        addr: IpAddr,
        port: u16,
        backlog: usize,
    ) -> Result<TcpSocketId, StackError> {
        if !addr.is_unspecified() && !self.may_bind(addr) {
            return Err(StackError::AddressNotAvailable(addr));
        }
        let local = SocketAddr::new(addr, port);
        if self.tcp.port_in_use(local) {
            return Err(StackError::AddressInUse(local));
        }
        Ok(self.tcp.listen(local, backlog))
    }

    /// `connect()` to `remote` from `port` (0: a free ephemeral one). It does not wait: [`tcp_state`](Self::tcp_state) tells when the
    /// connection is there, [`tcp_take_error`](Self::tcp_take_error) why it is not.
    ///
    /// # Errors
    /// No route, no free port, or the port is in use.
    pub fn tcp_connect(
        &mut self,
        port: u16,
        remote: SocketAddr,
        now: Ps,
    ) -> Result<TcpSocketId, StackError> {
        self.now = self.now.max(now);
        let upper = Upper::new(IPPROTO_TCP, (port, remote.port()));
        let source = match remote {
            // ip_route_connect(): a rule may say other things of the source than of none.
            SocketAddr::V4(to) => {
                let (_, source) = self.ip_route_output(*to.ip(), None, IfIndex::NONE, upper)?;
                self.ip_route_output(*to.ip(), Some(source), IfIndex::NONE, upper)?;
                IpAddr::V4(source)
            }
            SocketAddr::V6(to) => self
                .ip6_route_output(*to.ip(), None, super::scope_of(remote), upper)
                .map(|(_, source)| IpAddr::V6(source))?,
        };
        if remote.port() == 0 || remote.ip().is_multicast() {
            return Err(StackError::InvalidDestination(remote));
        }
        let local = self.tcp_local_addr(source, port)?;
        let pair = (local, remote);
        // inet6_csk_xmit() stays on the way of ip6_dst_lookup_flow(); ip_route_connect() looks again with the source.
        let unsourced = remote.is_ipv6();
        let advmss = self.tcp_advmss(&pair, unsourced);
        let isn = Seq(self.random() as u32);
        let mut sock = TcpSock::new(pair, isn, initial_window(advmss));
        sock.ts_offset = self.random() as u32;
        sock.ip_id = self.random() as u16;
        sock.unsourced = unsourced;
        sock.snd_nxt = isn + 1;
        sock.snd_max = sock.snd_nxt;
        sock.timed = Some((sock.snd_nxt, self.now));
        let id = self.tcp.insert(sock);
        // Into the table first: through lo the answer may be on its way already.
        if let Some(mut sock) = self.tcp.take(id) {
            self.tcp_send_syn(&mut sock, isn);
            self.tcp_rearm_rto(id, &mut sock);
            self.tcp.put(id, sock);
        }
        self.flush_devices();
        Ok(id)
    }

    /// `inet_hash_connect()`.
    fn tcp_local_addr(&mut self, source: IpAddr, port: u16) -> Result<SocketAddr, StackError> {
        if port != 0 {
            let local = SocketAddr::new(source, port);
            if self.tcp.port_in_use(local) {
                return Err(StackError::AddressInUse(local));
            }
            return Ok(local);
        }
        let at = |port| SocketAddr::new(source, port);
        self.ephemeral_port(|stack, port| !stack.tcp.port_in_use(at(port)))
            .map(at)
    }

    /// `accept()`: the oldest connection that waits; `None` when there is none.
    pub fn tcp_accept(&mut self, listener: TcpSocketId) -> Option<TcpSocketId> {
        self.tcp.listener_mut(listener)?.accept_queue.pop_front()
    }

    /// State of a socket; `None` without such a socket.
    pub fn tcp_state(&self, id: TcpSocketId) -> Option<TcpState> {
        if self.tcp.listener(id).is_some() {
            return Some(TcpState::Listen);
        }
        Some(self.tcp.get(id)?.state)
    }

    /// Both ends of a connection, this host's first.
    pub fn tcp_addrs(&self, id: TcpSocketId) -> Option<(SocketAddr, SocketAddr)> {
        Some(self.tcp.get(id)?.pair)
    }

    /// `SO_ERROR`: why the connection ended, or what a router said of it last, once.
    pub fn tcp_take_error(&mut self, id: TcpSocketId) -> Option<StackError> {
        let mut sock = self.tcp.take(id)?;
        let error = sock.error.take().or_else(|| sock.soft_error.take());
        self.tcp.put(id, sock);
        error
    }

    /// `send()`: queues what fits and sends what the windows allow. Returns the bytes taken.
    ///
    /// # Errors
    /// [`StackError::NotConnected`] without a connection, or after it was closed on this side.
    pub fn tcp_send(
        &mut self,
        id: TcpSocketId,
        bytes: &[u8],
        now: Ps,
    ) -> Result<usize, StackError> {
        self.now = self.now.max(now);
        let Some(mut sock) = self.tcp.take(id) else {
            return Err(StackError::NotConnected);
        };
        let open = matches!(
            sock.state,
            TcpState::SynSent | TcpState::Established | TcpState::CloseWait
        );
        if !open || sock.fin_queued {
            self.tcp.put(id, sock);
            return Err(StackError::NotConnected);
        }
        let room = SNDBUF.saturating_sub(sock.write_queue.len());
        let taken = bytes.len().min(room);
        sock.write_queue.extend(&bytes[..taken]);
        self.tcp_write_xmit(id, &mut sock);
        self.tcp.put(id, sock);
        self.flush_devices();
        Ok(taken)
    }

    /// `recv()`: at most `max` bytes. `Ok(None)`: nothing waits yet; empty: the other end closed.
    ///
    /// # Errors
    /// [`StackError::NotConnected`] without a connection; what ended it when it ended badly.
    pub fn tcp_recv(
        &mut self,
        id: TcpSocketId,
        max: usize,
        now: Ps,
    ) -> Result<Option<Vec<u8>>, StackError> {
        self.now = self.now.max(now);
        let Some(mut sock) = self.tcp.take(id) else {
            return Err(StackError::NotConnected);
        };
        let result = if !sock.receive_queue.is_empty() {
            let n = max.min(sock.receive_queue.len());
            let bytes = sock.receive_queue.drain(..n).collect();
            // tcp_cleanup_rbuf(): tells of the room when it became at least twice as much.
            let left = sock.rcv_wnd.saturating_sub(sock.rcv_nxt - sock.rcv_wup);
            let free = sock.rcv_ssthresh;
            if sock.receive_queue.is_empty() && left * 2 <= free && !sock.eof {
                self.tcp_send_ack(id, &mut sock);
            }
            Ok(Some(bytes))
        } else if let Some(error) = sock.error.take() {
            Err(error)
        } else if sock.eof || sock.state == TcpState::Closed {
            Ok(Some(Vec::new()))
        } else {
            Ok(None)
        };
        self.tcp.put(id, sock);
        self.flush_devices();
        result
    }

    /// `close()`: a listener's waiting connections are reset; a connection sends its FIN behind what waits, or a reset when received bytes were
    /// not read (RFC 2525 2.17).
    ///
    /// # Errors
    /// [`StackError::NotConnected`] without such a socket.
    pub fn tcp_close(&mut self, id: TcpSocketId, now: Ps) -> Result<(), StackError> {
        self.now = self.now.max(now);
        if let Some(listener) = self.tcp.remove_listener(id) {
            for (pair, request) in listener.syn_queue {
                self.timers
                    .stop(request.at, TimerKey::TcpRequest(id, pair.0, pair.1));
            }
            for child in listener.accept_queue {
                if let Some(mut sock) = self.tcp.take(child) {
                    sock.orphan = true;
                    if sock.state != TcpState::Closed {
                        self.tcp_send_active_reset(child, &mut sock);
                        self.tcp_done(child, &mut sock, None);
                    }
                    self.tcp.put(child, sock);
                }
            }
            self.flush_devices();
            return Ok(());
        }
        let Some(mut sock) = self.tcp.take(id) else {
            return Err(StackError::NotConnected);
        };
        if sock.orphan {
            self.tcp.put(id, sock);
            return Err(StackError::NotConnected);
        }
        sock.orphan = true;
        let unread = !sock.receive_queue.is_empty();
        match sock.state {
            TcpState::Established | TcpState::CloseWait if unread => {
                self.tcp_send_active_reset(id, &mut sock);
                self.tcp_done(id, &mut sock, None);
            }
            TcpState::Established | TcpState::CloseWait => {
                sock.state = if sock.state == TcpState::Established {
                    TcpState::FinWait1
                } else {
                    TcpState::LastAck
                };
                sock.fin_queued = true;
                self.tcp_write_xmit(id, &mut sock);
            }
            TcpState::SynSent => self.tcp_done(id, &mut sock, None),
            _ => {}
        }
        self.tcp.put(id, sock);
        self.flush_devices();
        Ok(())
    }
}
