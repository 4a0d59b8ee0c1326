//! Everything that is due at a later time, in one ordered set.

use crate::Ps;
use crate::addr::IpCidr;
use crate::reassembly::FragKey;
use crate::skb::IfIndex;
use crate::tcp::{TcpSocketId, TcpTimer};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What is due. The order among things due at the same time is the order of this type, the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// A neighbour's state changes or a solicitation is repeated.
    Neighbour(IfIndex, IpAddr),
    /// A tentative address is asked for, or becomes this host's.
    Dad(IfIndex, Ipv6Addr),
    /// An address of a device has lived long enough.
    Address(IfIndex, IpCidr),
    /// Neighbours that nobody needs are looked for.
    NeighGc,
    /// A datagram's fragments did not all come in time.
    Fragments(FragKey),
    /// A transmit queue waits for a free page.
    TxRetry(IfIndex),
    /// A qdisc may send again (`qdisc_watchdog`).
    Qdisc(IfIndex),
    /// A connection tracking entry expires.
    Conntrack,
    /// A connection's timer.
    Tcp(TcpSocketId, TcpTimer),
    /// A SYN-ACK of a listener was not answered: this host's end, the other.
    TcpRequest(TcpSocketId, SocketAddr, SocketAddr),
}

/// All running timers. Who starts one keeps its time, to stop it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Ps, TimerKey)>,
}

impl Timers {
    pub fn start(&mut self, at: Ps, key: TimerKey) {
        self.due.insert((at, key));
    }

    pub fn stop(&mut self, at: Ps, key: TimerKey) {
        self.due.remove(&(at, key));
    }

    pub fn next(&self) -> Option<Ps> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest one that is due at `now`.
    pub fn take_due(&mut self, now: Ps) -> Option<TimerKey> {
        let first = *self.due.first()?;
        if first.0 > now {
            return None;
        }
        self.due.remove(&first);
        Some(first.1)
    }
}
