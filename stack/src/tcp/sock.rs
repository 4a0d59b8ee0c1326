//! What a connection and a listener are made of, and the table of all of them.

use super::header::Options;
use super::seq::Seq;
use crate::Ps;
use crate::error::StackError;
use crate::ipv4::options::SavedOptions;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A TCP socket of one [`Stack`](crate::Stack): a listener or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpSocketId(pub(crate) u32);

impl fmt::Display for TcpSocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp {}", self.0)
    }
}

/// States of RFC 9293 3.3.2. A connection in SYN-RECEIVED is not a socket yet: it waits in its listener's SYN queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// Waits for connections.
    Listen,
    /// A SYN was sent.
    SynSent,
    /// Data flows.
    Established,
    /// Closed here; the FIN is not acknowledged yet.
    FinWait1,
    /// Closed here and acknowledged; the other end may still send.
    FinWait2,
    /// Closed by the other end.
    CloseWait,
    /// Both ends closed at the same time.
    Closing,
    /// Closed by both; the last FIN is not acknowledged yet.
    LastAck,
    /// Waits until no old segment can be on its way.
    TimeWait,
    /// Gone, after a reset or too many retries.
    Closed,
}

/// Who a connection is between: this host's end, then the other.
pub(super) type Pair = (SocketAddr, SocketAddr);

/// `struct tcp_sock`.
#[derive(Debug)]
pub(crate) struct TcpSock {
    pub pair: Pair,
    /// `SO_MARK`.
    pub mark: u32,
    /// Type of service or traffic class of what is sent (`inet->tos`, `np->tclass`).
    pub tos: u8,
    /// IPv4 options of what is sent.
    pub opt: SavedOptions,
    /// The way to the other end (IPv6) is the one that `connect()` found before there was a source address (`sk_dst_cache`).
    pub unsourced: bool,
    pub state: TcpState,
    /// Oldest unacknowledged number, next to be sent, highest sent so far.
    pub snd_una: Seq,
    pub snd_nxt: Seq,
    pub snd_max: Seq,
    /// The other end's window in bytes, and the segment that told it.
    pub snd_wnd: u32,
    pub snd_wl1: Seq,
    pub snd_wl2: Seq,
    pub snd_wscale: u8,
    /// Largest payload in bytes.
    pub mss: u32,
    /// Congestion window and slow start threshold in bytes (RFC 5681).
    pub cwnd: u32,
    pub ssthresh: u32,
    /// Acknowledgements in a row that acknowledged nothing new.
    pub dupacks: u32,
    /// Bytes from `snd_una` on (after the SYN); what lies beyond `snd_nxt` was not sent yet.
    pub write_queue: VecDeque<u8>,
    /// A FIN follows the last byte.
    pub fin_queued: bool,
    /// Next number expected, and what the window said last: from where and how much.
    pub rcv_nxt: Seq,
    pub rcv_wup: Seq,
    pub rcv_wnd: u32,
    pub rcv_wscale: u8,
    /// What `tcp_select_initial_window()` chose; the window does not grow beyond it.
    pub rcv_ssthresh: u32,
    /// Largest segment seen, an estimate of what the other end sends (`rcv_mss`).
    pub rcv_mss: u32,
    pub receive_queue: VecDeque<u8>,
    /// The other end's FIN was received.
    pub eof: bool,
    /// RFC 7323: timestamps in use, the other end's last one, and what is added to our clock.
    pub tstamp_ok: bool,
    pub ts_recent: u32,
    pub ts_offset: u32,
    /// `icsk_ack`: immediate acknowledgements left, whether we answer with data (then they wait for it), and what is pending.
    pub quick: u32,
    pub pingpong: bool,
    /// Acknowledgement timeout; 0 until data was received.
    pub ato: Ps,
    pub lrcvtime: Ps,
    /// RFC 6298: smoothed round-trip time and variation, time-out, tries, and the segment that is being timed.
    pub srtt: Option<Ps>,
    pub rttvar: Ps,
    pub rto: Ps,
    pub retries: u32,
    pub timed: Option<(Seq, Ps)>,
    /// When what is due; each has a timer of its own.
    pub retransmit_at: Option<Ps>,
    pub delack_at: Option<Ps>,
    pub gone_at: Option<Ps>,
    /// Next IPv4 identification (`inet_id`).
    pub ip_id: u16,
    /// The application closed it.
    pub orphan: bool,
    /// Why it ended (`sk_err`), until the application asked.
    pub error: Option<StackError>,
    /// What a router said of it (`sk_err_soft`): the reason if nothing arrives any more.
    pub soft_error: Option<StackError>,
}

/// A connection that is being made (`struct tcp_request_sock`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub isn: Seq,
    pub irs: Seq,
    pub options: Options,
    /// `ir_mark`: of the connection that becomes of it.
    pub mark: u32,
    /// The SYN's type of service or traffic class, without the ECN bits (`syn_tos`).
    pub tos: u8,
    /// What answers the SYN's IPv4 options (`ireq_opt`).
    pub opt: SavedOptions,
    pub ts_offset: u32,
    /// The window that the SYN-ACK offered, in bytes.
    pub rcv_wnd: u32,
    /// SYN-ACKs sent, less one.
    pub retries: u32,
    pub at: Ps,
    pub sent_at: Ps,
}

/// `struct inet_connection_sock` in LISTEN.
#[derive(Debug)]
pub(super) struct Listener {
    pub local: SocketAddr,
    /// `sk_max_ack_backlog`: connections that may wait to be accepted, less one.
    pub backlog: usize,
    pub syn_queue: BTreeMap<Pair, Request>,
    pub accept_queue: VecDeque<TcpSocketId>,
}

impl Listener {
    /// `sk_acceptq_is_full()`: Linux lets one more wait than `listen()` asked for.
    pub fn acceptq_is_full(&self) -> bool {
        self.accept_queue.len() > self.backlog
    }
}

/// All TCP sockets (`tcp_hashinfo`).
#[derive(Default)]
pub(crate) struct TcpTable {
    /// `None`: it is being worked on.
    socks: BTreeMap<TcpSocketId, Option<Box<TcpSock>>>,
    listeners: BTreeMap<TcpSocketId, Listener>,
    established: BTreeMap<Pair, TcpSocketId>,
    listening: BTreeMap<(u16, IpAddr), TcpSocketId>,
    next: u32,
}

impl TcpTable {
    fn new_id(&mut self) -> TcpSocketId {
        self.next += 1;
        TcpSocketId(self.next)
    }

    /// `inet_hash()` of a connection.
    pub fn insert(&mut self, sock: TcpSock) -> TcpSocketId {
        let id = self.new_id();
        self.established.insert(sock.pair, id);
        self.socks.insert(id, Some(Box::new(sock)));
        id
    }

    /// Takes a connection out of its place while it is worked on; [`put`](Self::put) brings it back.
    pub fn take(&mut self, id: TcpSocketId) -> Option<Box<TcpSock>> {
        self.socks.get_mut(&id)?.take()
    }

    /// Puts a connection back; one that is gone loses its pair, and its number too when the application let go of it.
    pub fn put(&mut self, id: TcpSocketId, sock: Box<TcpSock>) {
        if sock.state == TcpState::Closed {
            if self.established.get(&sock.pair) == Some(&id) {
                self.established.remove(&sock.pair);
            }
            if sock.orphan {
                self.socks.remove(&id);
                return;
            }
        }
        if let Some(place) = self.socks.get_mut(&id) {
            *place = Some(sock);
        }
    }

    pub fn get(&self, id: TcpSocketId) -> Option<&TcpSock> {
        self.socks.get(&id)?.as_deref()
    }

    pub fn lookup_established(&self, pair: &Pair) -> Option<TcpSocketId> {
        self.established.get(pair).copied()
    }

    pub fn listen(&mut self, local: SocketAddr, backlog: usize) -> TcpSocketId {
        let id = self.new_id();
        self.listening.insert((local.port(), local.ip()), id);
        self.listeners.insert(
            id,
            Listener {
                local,
                backlog,
                syn_queue: BTreeMap::new(),
                accept_queue: VecDeque::new(),
            },
        );
        id
    }

    /// `__inet_lookup_listener()`: bound to this address, else to any.
    pub fn lookup_listener(&self, local: SocketAddr) -> Option<TcpSocketId> {
        let any: IpAddr = match local.ip() {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        self.listening
            .get(&(local.port(), local.ip()))
            .or_else(|| self.listening.get(&(local.port(), any)))
            .copied()
    }

    pub(super) fn listener(&self, id: TcpSocketId) -> Option<&Listener> {
        self.listeners.get(&id)
    }

    pub(super) fn listener_mut(&mut self, id: TcpSocketId) -> Option<&mut Listener> {
        self.listeners.get_mut(&id)
    }

    pub(super) fn remove_listener(&mut self, id: TcpSocketId) -> Option<Listener> {
        let listener = self.listeners.remove(&id)?;
        self.listening
            .remove(&(listener.local.port(), listener.local.ip()));
        Some(listener)
    }

    /// Whether a listener or a connection uses the local port (`inet_csk_bind_conflict()`, without `SO_REUSEADDR`).
    pub fn port_in_use(&self, local: SocketAddr) -> bool {
        let same = |other: SocketAddr| {
            other.port() == local.port()
                && other.is_ipv4() == local.is_ipv4()
                && (other.ip() == local.ip()
                    || other.ip().is_unspecified()
                    || local.ip().is_unspecified())
        };
        self.listeners.values().any(|l| same(l.local))
            || self.established.keys().any(|pair| same(pair.0))
    }
}
