//! Packet sockets (net/packet/af_packet.c): frames as they come in and go out, and frames of one's own.
//!
//! ```text
//! in:  driver → XDP → GRO → [ETH_P_ALL] → tc ingress → netfilter ingress → VLAN → [one EtherType] → protocol
//! out: protocol, [send] → netfilter egress → tc egress → qdisc → [ETH_P_ALL] → driver
//! ```
//!
//! A socket does not see what it sent itself going out, others do; through `lo` it comes back to all of them. Sockets of one EtherType see
//! nothing that goes out. There are no rings (`PACKET_RX_RING`), fanout groups or socket filters, and a device's own choice of what it
//! receives is not changed (`PACKET_ADD_MEMBERSHIP`).

mod receive;
mod send;
#[cfg(test)]
mod tests;

use crate::Ps;
use crate::error::StackError;
use crate::skb::{CsumState, IfIndex, PktType, SkBuff, Vlan};
use crate::socket::SocketId;
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::collections::VecDeque;

/// Protocol of a packet socket that takes every frame (`ETH_P_ALL`).
pub const ETH_P_ALL: u16 = 0x0003;
/// `sll_hatype` of Ethernet.
pub const ARPHRD_ETHER: u16 = 1;
/// `sll_hatype` of `lo`.
pub const ARPHRD_LOOPBACK: u16 = 772;

/// Whether a packet socket deals with frames or with what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketSocketType {
    /// `SOCK_RAW`: frames begin with the Ethernet header.
    Raw,
    /// `SOCK_DGRAM`: the Ethernet header is taken off and put in front.
    Dgram,
}

/// `struct sockaddr_ll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SockAddrLl {
    /// EtherType, host byte order. To be sent: 0 at a socket of frames: as the frame says.
    pub protocol: u16,
    /// Device.
    pub ifindex: IfIndex,
    /// [`ARPHRD_ETHER`] or [`ARPHRD_LOOPBACK`]; not looked at when sending.
    pub hatype: u16,
    /// To whom the frame is; not looked at when sending.
    pub pkttype: PktType,
    /// MAC address: of the sender; to be sent: of the receiver, not looked at at a socket of frames.
    pub addr: [u8; 6],
}

impl SockAddrLl {
    /// Where to send.
    pub fn to(ifindex: IfIndex, protocol: u16, addr: [u8; 6]) -> Self {
        Self {
            protocol,
            ifindex,
            hatype: ARPHRD_ETHER,
            pkttype: PktType::Host,
            addr,
        }
    }
}

/// What a packet socket received.
#[derive(Debug)]
pub struct PacketFrame {
    /// Where it was seen, and who sent it.
    pub addr: SockAddrLl,
    /// `tp_vlan_tci` and `tp_vlan_tpid` (`PACKET_AUXDATA`): a tag that is no longer in the bytes.
    pub vlan: Option<Vlan>,
    /// When the driver took it from the ring, or the host made it.
    pub tstamp: Ps,
    skb: SkBuff,
}

impl PacketFrame {
    /// The bytes, from the Ethernet header on or from behind it ([`PacketSocketType`]).
    pub fn payload(&self) -> &[u8] {
        self.skb.data()
    }

    /// `TP_STATUS_CSUMNOTREADY`: its checksum is not filled in, because a device is to do that or it never left this host.
    pub fn csum_not_ready(&self) -> bool {
        matches!(self.skb.csum, CsumState::Partial { .. })
    }

    /// The packet, its data being the payload.
    pub fn skb(&self) -> &SkBuff {
        &self.skb
    }
}

/// `struct tpacket_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketStatistics {
    /// `tp_packets`: frames that came to the socket, those that were lost too.
    pub packets: u64,
    /// `tp_drops`: frames for which its buffer had no room.
    pub drops: u64,
}

/// `struct packet_sock`.
pub(crate) struct PacketSocket {
    id: SocketId,
    kind: PacketSocketType,
    /// EtherType whose frames are taken, [`ETH_P_ALL`], or 0: none.
    protocol: u16,
    /// Device whose frames are taken; none: of all.
    device: IfIndex,
    /// `PACKET_IGNORE_OUTGOING`.
    ignore_outgoing: bool,
    stats: PacketStatistics,
    rcvbuf: usize,
    /// `sk_rmem_alloc`.
    rmem_alloc: usize,
    queue: VecDeque<PacketFrame>,
}

/// All packet sockets, oldest first.
#[derive(Default)]
pub(crate) struct PacketSockets {
    table: Vec<PacketSocket>,
}

impl PacketSockets {
    pub fn held(&self) -> usize {
        self.table.iter().map(|socket| socket.queue.len()).sum()
    }

    fn position(&self, id: SocketId) -> Result<usize, StackError> {
        // Numbers only grow.
        let found = self.table.binary_search_by_key(&id, |socket| socket.id);
        found.map_err(|_| StackError::NoSocket(id))
    }

    fn get(&self, id: SocketId) -> Result<&PacketSocket, StackError> {
        Ok(&self.table[self.position(id)?])
    }

    fn get_mut(&mut self, id: SocketId) -> Result<&mut PacketSocket, StackError> {
        let at = self.position(id)?;
        Ok(&mut self.table[at])
    }
}

impl Stack {
    /// `socket(AF_PACKET, kind, htons(protocol))`: frames of this EtherType from all devices, all frames with [`ETH_P_ALL`], none with 0.
    pub fn packet_socket(&mut self, kind: PacketSocketType, protocol: u16) -> SocketId {
        let id = self.sockets.new_id();
        self.packet.table.push(PacketSocket {
            id,
            kind,
            protocol,
            device: IfIndex::NONE,
            ignore_outgoing: false,
            stats: PacketStatistics::default(),
            rcvbuf: self.config.rmem_default,
            rmem_alloc: 0,
            queue: VecDeque::new(),
        });
        id
    }

    /// `packet_bind()`: from now on only frames of device `dev` ([`IfIndex::NONE`]: of all) and of this protocol; 0 leaves that as it is.
    ///
    /// # Errors
    /// No such socket, no such device.
    pub fn packet_bind(
        &mut self,
        socket: SocketId,
        dev: IfIndex,
        protocol: u16,
    ) -> Result<(), StackError> {
        if dev != IfIndex::NONE && self.device(dev).is_none() {
            return Err(StackError::NoDevice(dev));
        }
        let packet = self.packet.get_mut(socket)?;
        packet.device = dev;
        if protocol != 0 {
            packet.protocol = protocol;
        }
        Ok(())
    }

    /// `PACKET_IGNORE_OUTGOING`: frames that go out are not taken.
    pub fn packet_set_ignore_outgoing(
        &mut self,
        socket: SocketId,
        on: bool,
    ) -> Result<(), StackError> {
        self.packet.get_mut(socket)?.ignore_outgoing = on;
        Ok(())
    }

    /// `SO_RCVBUF`: bytes of buffer memory (not payload) from which on nothing more is taken; not doubled.
    pub fn packet_set_rcvbuf(&mut self, socket: SocketId, bytes: usize) -> Result<(), StackError> {
        self.packet.get_mut(socket)?.rcvbuf = bytes;
        Ok(())
    }

    /// `PACKET_STATISTICS`: since it was asked the last time.
    pub fn packet_statistics(&mut self, socket: SocketId) -> Result<PacketStatistics, StackError> {
        Ok(std::mem::take(&mut self.packet.get_mut(socket)?.stats))
    }

    /// Whether a frame waits.
    pub fn packet_readable(&self, socket: SocketId) -> bool {
        let packet = self.packet.get(socket);
        packet.is_ok_and(|packet| !packet.queue.is_empty())
    }

    /// `recvfrom()`: the oldest frame that waits; `None` when there is none (or no such socket).
    pub fn packet_recv_from(&mut self, socket: SocketId) -> Option<PacketFrame> {
        let packet = self.packet.get_mut(socket).ok()?;
        let frame = packet.queue.pop_front()?;
        packet.rmem_alloc -= frame.skb.truesize();
        self.stats.consumed += 1;
        self.trace(&frame.skb, Stage::Recv);
        self.trace(&frame.skb, Stage::Consume(Consume::Recv));
        Some(frame)
    }

    /// Closes a socket; what nobody read is gone.
    pub fn packet_close(&mut self, socket: SocketId) -> Result<(), StackError> {
        let at = self.packet.position(socket)?;
        for frame in self.packet.table.remove(at).queue {
            self.consume_skb(frame.skb, Consume::SocketClose);
        }
        Ok(())
    }
}
