//! Raw sockets (net/ipv4/raw.c, net/ipv6/raw.c): a copy of every packet of one IP protocol, and packets without a transport protocol.
//!
//! What is received is as the application sees it in Linux: of IPv4 the whole packet with its header, of IPv6 what follows the extension
//! headers. [`Datagram::src`](crate::Datagram::src) and `dst` have port 0. They are in no groups (`IP_ADD_MEMBERSHIP`).

mod err;
mod filter;
mod input;
mod output;
#[cfg(test)]
mod tests;

pub use err::SockExtendedErr;
pub use filter::{Icmp6Filter, IcmpFilter};

use crate::error::StackError;
use crate::fib::RouteType;
use crate::ipv4::{IPPROTO_ICMP, Upper};
use crate::ipv6::IPPROTO_ICMPV6;
use crate::skb::IfIndex;
use crate::socket::{Datagram, SocketId};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Protocol number whose sockets write their own headers and receive nothing of others (`IPPROTO_RAW`).
pub const IPPROTO_RAW: u8 = 255;
/// Where ICMPv6 has its checksum.
const ICMPV6_CHECK_OFFSET: usize = 2;

/// `struct raw_sock`, `struct raw6_sock`.
pub(crate) struct RawSocket {
    id: SocketId,
    ipv6: bool,
    /// `inet_num`.
    protocol: u8,
    /// `inet_rcv_saddr`: the only address whose packets are taken; unspecified: any.
    local: IpAddr,
    /// `inet_daddr`: the only one whose packets are taken, and to whom is sent.
    remote: Option<IpAddr>,
    /// `sk_bound_dev_if`.
    device: IfIndex,
    /// `IP_HDRINCL`, `IPV6_HDRINCL`.
    hdrincl: bool,
    /// `IPV6_CHECKSUM`: offset of the checksum that is verified and filled in.
    checksum: Option<usize>,
    icmp_filter: IcmpFilter,
    icmp6_filter: Icmp6Filter,
    broadcast: bool,
    rcvbuf: usize,
    /// `sk_rmem_alloc`.
    rmem_alloc: usize,
    queue: VecDeque<Datagram>,
    /// `IP_RECVERR`, `IPV6_RECVERR`.
    recverr: bool,
    /// `IP_PMTUDISC_WANT`, not `IP_PMTUDISC_DONT`.
    pmtudisc: bool,
    /// `sk_err`.
    error: Option<StackError>,
    /// `sk_error_queue`.
    error_queue: VecDeque<err::Queued>,
}

/// All raw sockets, oldest first (`raw_v4_hashinfo`, `raw_v6_hashinfo`).
#[derive(Default)]
pub(crate) struct RawSockets {
    table: Vec<RawSocket>,
}

impl RawSockets {
    pub fn held(&self) -> usize {
        self.table.iter().map(|socket| socket.queue.len()).sum()
    }

    fn position(&self, id: SocketId) -> Result<usize, StackError> {
        // Numbers only grow.
        let found = self.table.binary_search_by_key(&id, |socket| socket.id);
        found.map_err(|_| StackError::NoSocket(id))
    }

    fn get(&self, id: SocketId) -> Result<&RawSocket, StackError> {
        Ok(&self.table[self.position(id)?])
    }

    fn get_mut(&mut self, id: SocketId) -> Result<&mut RawSocket, StackError> {
        let at = self.position(id)?;
        Ok(&mut self.table[at])
    }
}

impl Stack {
    /// `socket(AF_INET, SOCK_RAW, protocol)`; with `ipv6` `AF_INET6`. A socket of [`IPPROTO_RAW`] begins with
    /// [`raw_set_hdrincl`](Self::raw_set_hdrincl), one of ICMPv6 with its checksum.
    ///
    /// # Errors
    /// [`StackError::ProtocolNotSupported`] of protocol 0.
    pub fn raw_socket(&mut self, ipv6: bool, protocol: u8) -> Result<SocketId, StackError> {
        if protocol == 0 {
            return Err(StackError::ProtocolNotSupported(protocol));
        }
        let id = self.sockets.new_id();
        let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        let icmpv6 = ipv6 && protocol == IPPROTO_ICMPV6;
        self.raw.table.push(RawSocket {
            id,
            ipv6,
            protocol,
            local: if ipv6 { v6 } else { v4 },
            remote: None,
            device: IfIndex::NONE,
            hdrincl: protocol == IPPROTO_RAW,
            checksum: icmpv6.then_some(ICMPV6_CHECK_OFFSET),
            icmp_filter: IcmpFilter::default(),
            icmp6_filter: Icmp6Filter::default(),
            broadcast: false,
            rcvbuf: self.config.rmem_default,
            rmem_alloc: 0,
            queue: VecDeque::new(),
            recverr: false,
            pmtudisc: self.config.ip_no_pmtu_disc == 0,
            error: None,
            error_queue: VecDeque::new(),
        });
        Ok(id)
    }

    /// `raw_bind()`: from now on only packets to `addr` are taken (an IPv6 socket takes those to groups too), and it is the source of what
    /// is sent, unless it is a group's or a broadcast address.
    ///
    /// # Errors
    /// No such socket, an address of the other family, or one that is not this host's.
    pub fn raw_bind(&mut self, socket: SocketId, addr: IpAddr) -> Result<(), StackError> {
        let family = self.raw.get(socket)?.ipv6;
        if addr.is_ipv6() != family {
            return Err(StackError::InvalidDestination((addr, 0).into()));
        }
        let many = addr.is_multicast() || self.fib.addr_type(addr) == RouteType::Broadcast;
        if !addr.is_unspecified() && !many && !self.may_bind(addr) {
            return Err(StackError::AddressNotAvailable(addr));
        }
        self.raw.get_mut(socket)?.local = addr;
        Ok(())
    }

    /// `SO_BINDTODEVICE`: only what comes in through `dev` is taken, and what is sent leaves through it; [`IfIndex::NONE`]: any.
    ///
    /// # Errors
    /// No such socket, no such device.
    pub fn raw_bind_to_device(&mut self, socket: SocketId, dev: IfIndex) -> Result<(), StackError> {
        if dev != IfIndex::NONE && self.device(dev).is_none() {
            return Err(StackError::NoDevice(dev));
        }
        self.raw.get_mut(socket)?.device = dev;
        Ok(())
    }

    /// `connect()`: from now on only packets from `remote` to the source address that the route to it has are taken.
    ///
    /// # Errors
    /// No such socket, an address of the other family, no route.
    pub fn raw_connect(&mut self, socket: SocketId, remote: IpAddr) -> Result<(), StackError> {
        let raw = self.raw.get(socket)?;
        let (mut local, oif) = (raw.local, raw.device);
        let upper = Upper::new(raw.protocol, (0, 0));
        if local.is_unspecified() {
            local = match (raw.ipv6, remote) {
                (false, IpAddr::V4(to)) => self.ip_route_output(to, None, oif, upper)?.1.into(),
                (true, IpAddr::V6(to)) => self.ip6_route_output(to, None, oif, upper)?.1.into(),
                _ => return Err(StackError::InvalidDestination((remote, 0).into())),
            };
        } else if local.is_ipv4() != remote.is_ipv4() {
            return Err(StackError::InvalidDestination((remote, 0).into()));
        }
        let raw = self.raw.get_mut(socket)?;
        (raw.local, raw.remote) = (local, Some(remote));
        Ok(())
    }

    /// `IP_HDRINCL`, `IPV6_HDRINCL`: what is sent begins with the IP header.
    pub fn raw_set_hdrincl(&mut self, socket: SocketId, on: bool) -> Result<(), StackError> {
        self.raw.get_mut(socket)?.hdrincl = on;
        Ok(())
    }

    /// `SO_BROADCAST`: permits sending to broadcast addresses.
    pub fn raw_set_broadcast(&mut self, socket: SocketId, on: bool) -> Result<(), StackError> {
        self.raw.get_mut(socket)?.broadcast = on;
        Ok(())
    }

    /// `SO_RCVBUF`: bytes of buffer memory (not payload) from which on nothing more is taken; not doubled.
    pub fn raw_set_rcvbuf(&mut self, socket: SocketId, bytes: usize) -> Result<(), StackError> {
        self.raw.get_mut(socket)?.rcvbuf = bytes;
        Ok(())
    }

    /// `ICMP_FILTER`: messages that an IPv4 socket of ICMP does not take.
    ///
    /// # Errors
    /// No such socket; [`StackError::ProtocolNotSupported`] of a socket of another protocol.
    pub fn raw_set_icmp_filter(
        &mut self,
        socket: SocketId,
        filter: IcmpFilter,
    ) -> Result<(), StackError> {
        let raw = self.raw.get_mut(socket)?;
        if raw.ipv6 || raw.protocol != IPPROTO_ICMP {
            return Err(StackError::ProtocolNotSupported(raw.protocol));
        }
        raw.icmp_filter = filter;
        Ok(())
    }

    /// `ICMPV6_FILTER` (RFC 3542 3.2): messages that an IPv6 socket of ICMPv6 does not take.
    ///
    /// # Errors
    /// No such socket; [`StackError::ProtocolNotSupported`] of a socket of another protocol.
    pub fn raw_set_icmp6_filter(
        &mut self,
        socket: SocketId,
        filter: Icmp6Filter,
    ) -> Result<(), StackError> {
        let raw = self.raw.get_mut(socket)?;
        if !raw.ipv6 || raw.protocol != IPPROTO_ICMPV6 {
            return Err(StackError::ProtocolNotSupported(raw.protocol));
        }
        raw.icmp6_filter = filter;
        Ok(())
    }

    /// `IPV6_CHECKSUM` (RFC 3542 3.1): offset in bytes, behind the IPv6 headers, of the checksum that the stack verifies and fills in; `None`:
    /// it does neither.
    ///
    /// # Errors
    /// No such socket; [`StackError::InvalidChecksumOffset`] of an odd one, and of any for an IPv4 socket or ICMPv6, whose checksum is given.
    pub fn raw_set_checksum(
        &mut self,
        socket: SocketId,
        offset: Option<usize>,
    ) -> Result<(), StackError> {
        let raw = self.raw.get_mut(socket)?;
        let at = offset.unwrap_or(0);
        if !raw.ipv6 || raw.protocol == IPPROTO_ICMPV6 || at % 2 == 1 {
            return Err(StackError::InvalidChecksumOffset(at));
        }
        raw.checksum = offset;
        Ok(())
    }

    /// Whether a packet waits.
    pub fn raw_readable(&self, socket: SocketId) -> bool {
        let raw = self.raw.get(socket);
        raw.is_ok_and(|raw| !raw.queue.is_empty())
    }

    /// `recvfrom()`: the oldest packet that waits; `None` when there is none (or no such socket).
    pub fn raw_recv_from(&mut self, socket: SocketId) -> Option<Datagram> {
        let raw = self.raw.get_mut(socket).ok()?;
        let datagram = raw.queue.pop_front()?;
        raw.rmem_alloc -= datagram.skb.truesize();
        self.stats.consumed += 1;
        self.trace(&datagram.skb, Stage::Recv);
        self.trace(&datagram.skb, Stage::Consume(Consume::Recv));
        Some(datagram)
    }

    /// Closes a socket; what nobody read is gone.
    pub fn raw_close(&mut self, socket: SocketId) -> Result<(), StackError> {
        let at = self.raw.position(socket)?;
        for datagram in self.raw.table.remove(at).queue {
            self.consume_skb(datagram.skb, Consume::SocketClose);
        }
        Ok(())
    }
}
