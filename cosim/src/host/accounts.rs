//! Where every received frame ended.

use std::collections::{BTreeMap, HashSet};

use stack::trace::Consume;
use stack::{DropReason, IfIndex, PacketId, SkBuff, Stage};

/// Counts frames on the wire, and follows each received packet to its end.
#[derive(Debug, Default)]
pub struct Accounts {
    pub frames_in: u64,
    pub bytes_in: u64,
    pub frames_out: u64,
    pub bytes_out: u64,
    /// Received packets by what took them.
    pub delivered: BTreeMap<&'static str, u64>,
    /// Received packets that the stack dropped.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Packets of this host that the stack dropped.
    pub dropped_own: BTreeMap<DropReason, u64>,
    /// Received packets that have not ended.
    open: HashSet<PacketId>,
    /// Packets of this host on their way to the driver.
    open_own: HashSet<PacketId>,
    received: u64,
}

impl Accounts {
    pub fn frame_in(&mut self, bytes: usize) {
        self.frames_in += 1;
        self.bytes_in += bytes as u64;
    }

    pub fn frame_out(&mut self, bytes: usize) {
        self.frames_out += 1;
        self.bytes_out += bytes as u64;
    }

    /// Received packets whose end was not seen: in sockets, waiting for fragments.
    pub fn held(&self) -> u64 {
        self.open.len() as u64
    }

    /// Whether any packet is still on its way.
    pub fn waiting(&self) -> bool {
        !self.open.is_empty() || !self.open_own.is_empty()
    }

    /// Packets that came out of the receive ring.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn stage(&mut self, skb: &SkBuff, stage: Stage) {
        if matches!(
            stage,
            Stage::Xmit | Stage::Drop(_) | Stage::Consume(_) | Stage::Stolen
        ) {
            self.open_own.remove(&skb.id);
        }
        match stage {
            Stage::Send => {
                self.open_own.insert(skb.id);
            }
            // What the host sends to itself over lo never was on the wire.
            Stage::NapiPoll if skb.iif != IfIndex::LO => {
                self.received += 1;
                self.open.insert(skb.id);
            }
            // A datagram made of fragments is the host's own: the fragments are accounted for.
            Stage::Consume(how) if self.open.remove(&skb.id) => {
                *self.delivered.entry(taker(how)).or_default() += 1;
            }
            Stage::Stolen if self.open.remove(&skb.id) => {
                *self.delivered.entry("hook function").or_default() += 1;
            }
            // A forwarded packet leaves with its own number.
            Stage::Xmit if self.open.remove(&skb.id) => {
                *self.delivered.entry("forwarded").or_default() += 1;
            }
            Stage::Drop(reason) => {
                let received = self.open.remove(&skb.id);
                let table = if received {
                    &mut self.dropped
                } else {
                    &mut self.dropped_own
                };
                *table.entry(reason).or_default() += 1;
            }
            _ => {}
        }
    }
}

fn taker(how: Consume) -> &'static str {
    match how {
        Consume::Recv => "read from a socket",
        Consume::Arp => "ARP",
        Consume::Icmp => "ICMP",
        Consume::Tcp => "TCP",
        Consume::Ndisc => "neighbour discovery",
        Consume::Defrag => "fragment of a whole datagram",
        Consume::Fragment => "forwarded in fragments",
        Consume::Gro => "merged into a larger packet",
        Consume::Gso => "forwarded in segments",
        Consume::TcAction => "tc action",
        Consume::SocketClose => "socket closed",
        Consume::Tapped => "copied to raw or packet sockets",
    }
}
