//! What the programs of `r` did, told from the packets that `r` sent without being asked to.
//!
//! A kernel answers on its own with ICMP, resets, SYN-ACKs, acknowledgements and repetitions. Everything else was a program: a datagram,
//! a first SYN (`connect`), new bytes of a connection (`send`), a first FIN (`close`), a reset of a connection that it had. A SYN-ACK tells
//! of a listener, a datagram that was delivered of a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::frame::be32;
use super::plan::{Sent, Spoken};
use stack::Ps;

/// Whether it is a group, or everybody on a link.
pub fn to_many(to: SocketAddrV4) -> bool {
    to.ip().is_multicast() || to.ip().is_broadcast()
}

/// What a program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Binds a UDP socket to the port, on all addresses.
    UdpBind(u16),
    /// Sends a datagram from a bound port; `saddr` is the source address that the kernel gave it.
    UdpSend {
        /// Source.
        from: SocketAddrV4,
        /// Destination, before any NAT.
        to: SocketAddrV4,
        /// Payload.
        payload: Vec<u8>,
    },
    /// Connects the port's socket: only answers from there are taken.
    UdpConnect(u16, SocketAddrV4),
    /// Ends the program that has the port.
    UdpClose(u16),
    /// Listens on the port, on all addresses.
    TcpListen(u16),
    /// Stops listening.
    TcpUnlisten(u16),
    /// Connects from a port.
    TcpConnect {
        /// Source; the address is the one that the kernel chose.
        from: SocketAddrV4,
        /// Destination, before any NAT.
        to: SocketAddrV4,
    },
    /// Sends bytes over a connection, named by both its ends.
    TcpSend(Pair, Vec<u8>),
    /// Reads what there is, then closes.
    TcpClose(Pair),
    /// Closes without reading.
    TcpAbort(Pair),
    /// `ping`: an echo request.
    Ping {
        /// Destination, before any NAT.
        to: Ipv4Addr,
        /// Identifier.
        id: u16,
        /// Sequence number.
        sequence: u16,
        /// Bytes behind the header.
        payload: Vec<u8>,
    },
}

/// A connection: `r`'s end, the other end, as the program saw them.
pub type Pair = (SocketAddrV4, SocketAddrV4);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What is known of a connection of `r` so far.
#[derive(Debug, Default)]
struct Connection {
    /// One behind the highest sequence number sent.
    sent: Option<u32>,
    /// A program has it: it was connected or accepted.
    owned: bool,
    closed: bool,
    accepted: bool,
}

/// Tells programs' doings from the packets that `r` sent, given in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Programs {
    connections: BTreeMap<Pair, Connection>,
    /// Listening ports, and when their last connection was closed.
    listeners: BTreeMap<u16, Option<Ps>>,
    /// Ports of UDP sockets.
    sockets: BTreeSet<u16>,
    /// Ports of clients, which spoke first, and to whom.
    clients: BTreeMap<u16, SocketAddrV4>,
    /// Ports that refused a datagram.
    refused: BTreeSet<u16>,
    actions: Vec<(Ps, Action)>,
}

impl Programs {
    /// A datagram was delivered to a port; `refused`: with a port-unreachable message as the answer.
    pub fn delivered(&mut self, at: Ps, port: u16, refused: bool) {
        if refused {
            // Who had the port was gone by then. The socket is there before the first packet, so it goes before this one.
            self.refused.insert(port);
            // A client's socket refuses what does not come from whom it asked.
            if !self.clients.contains_key(&port) && self.sockets.remove(&port) {
                self.actions
                    .push((at.saturating_sub(1), Action::UdpClose(port)));
            }
        } else {
            self.bind(at, port);
        }
    }

    fn bind(&mut self, at: Ps, port: u16) {
        // Programs start before the traffic does, unless their port was seen without them.
        let at = match self.refused.contains(&port) {
            true => at.saturating_sub(2),
            false => 0,
        };
        if self.sockets.insert(port) {
            self.actions.push((at, Action::UdpBind(port)));
        }
    }

    /// `r` sent a packet.
    pub fn sent(&mut self, sent: &Sent) {
        let at = sent.at;
        match &sent.spoken {
            Spoken::Udp { from, to, payload } => {
                let (from, to, payload) = (*from, *to, payload.clone());
                let port = from.port();
                let speaks_first = !self.sockets.contains(&port);
                if speaks_first || self.clients.get(&port).is_some_and(|asked| *asked != to) {
                    if !speaks_first {
                        self.actions.push((at, Action::UdpClose(port)));
                        self.actions.push((at, Action::UdpBind(port)));
                    }
                    self.bind(at, port);
                    self.clients.insert(port, to);
                    // Nobody connects to many.
                    if !to_many(to) {
                        self.actions.push((at, Action::UdpConnect(port, to)));
                    }
                }
                self.actions
                    .push((at, Action::UdpSend { from, to, payload }));
            }
            Spoken::Tcp { from, to, segment } => self.tcp(at, (*from, *to), segment),
            Spoken::Echo {
                to,
                id,
                sequence,
                payload,
            } => self.actions.push((
                at,
                Action::Ping {
                    to: *to,
                    id: *id,
                    sequence: *sequence,
                    payload: payload.clone(),
                },
            )),
            Spoken::Kernel => {}
        }
    }

    fn tcp(&mut self, at: Ps, pair: Pair, segment: &[u8]) {
        let flags = segment.get(13).copied().unwrap_or(0);
        let header = usize::from(segment.get(12).copied().unwrap_or(0) >> 4) * 4;
        let payload = segment.get(header..).unwrap_or_default();
        let seq = be32(segment, 4);
        let known = self.connections.contains_key(&pair);
        if flags & (SYN | ACK) == SYN {
            let connection = self.connections.entry(pair).or_default();
            if connection.sent != Some(seq.wrapping_add(1)) {
                *connection = Connection {
                    sent: Some(seq.wrapping_add(1)),
                    owned: true,
                    ..Connection::default()
                };
                let (from, to) = pair;
                self.actions.push((at, Action::TcpConnect { from, to }));
            }
            return;
        }
        if flags & (SYN | ACK) == SYN | ACK {
            let port = pair.0.port();
            let connection = self.connections.entry(pair).or_default();
            *connection = Connection {
                sent: Some(seq.wrapping_add(1)),
                owned: true,
                accepted: true,
                ..Connection::default()
            };
            // It listened before the SYN came, whenever that was.
            self.listeners.insert(port, None);
            return;
        }
        let Some(connection) = self.connections.get_mut(&pair).filter(|_| known) else {
            return;
        };
        if flags & RST != 0 {
            // Only a program that closes makes a kernel acknowledge and reset at the same time.
            if connection.owned && !connection.closed && flags & ACK != 0 {
                connection.closed = true;
                self.actions.push((at, Action::TcpAbort(pair)));
            }
            return;
        }
        let end = seq.wrapping_add(payload.len() as u32);
        let before = connection.sent.unwrap_or(seq);
        let new = end.wrapping_sub(before) as i32;
        if new > 0 && !payload.is_empty() {
            let from = payload.len().saturating_sub(new as usize);
            connection.sent = Some(end);
            let bytes = payload.get(from..).unwrap_or_default().to_vec();
            self.actions.push((at, Action::TcpSend(pair, bytes)));
        }
        if flags & FIN != 0 && !connection.closed {
            connection.closed = true;
            if connection.accepted {
                self.listeners.insert(pair.0.port(), Some(at));
            }
            self.actions.push((at, Action::TcpClose(pair)));
        }
    }

    /// Everything that was done, with its time.
    pub fn finish(self) -> Vec<(Ps, Action)> {
        let mut all = self.actions;
        for (port, closed) in self.listeners {
            all.push((0, Action::TcpListen(port)));
            // The programs of the recordings take one connection and end with it.
            if let Some(at) = closed {
                all.push((at + 1, Action::TcpUnlisten(port)));
            }
        }
        all.sort_by_key(|(at, _)| *at);
        all
    }
}
