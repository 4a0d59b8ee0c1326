//! UDP (RFC 768) over both families: `__udp4_lib_rcv()`, `udp_sendmsg()`, and the sockets' calls.

use crate::Ps;
use crate::checksum;
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::ipv4::{Flow, IPPROTO_UDP, IPV4_HLEN, Ipv4Send, Upper};
use crate::ipv6::{IPV6_HLEN, Ipv6Send};
use crate::skb::{CsumState, GsoType, IfIndex, SkBuff, SoftSum};
use crate::socket::{Datagram, SocketId, UdpSocket};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use crate::validate_xmit::fill_checksum;
use crate::xmit::ETH_HLEN;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes up to which a packet is summed up again at once (`CHECKSUM_BREAK`).
const CHECKSUM_BREAK: usize = 76;
/// Header in bytes.
pub(crate) const UDP_HLEN: usize = 8;
/// Offset of the checksum in the header.
const CHECK_OFFSET: u16 = 6;

impl Stack {
    /// `__udp4_lib_rcv()`, `__udp6_lib_rcv()`: data at the UDP header.
    pub(crate) fn udp_rcv(&mut self, mut skb: SkBuff, flow: Flow) {
        skb.pskb_may_pull(UDP_HLEN);
        let Some(&[s0, s1, d0, d1, l0, l1, c0, c1]) = skb.data().first_chunk::<UDP_HLEN>() else {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        let len = match u16::from_be_bytes([l0, l1]) {
            // RFC 2675 4: too long for the field; Linux does not ask for a jumbogram.
            0 if flow.src.is_ipv6() => skb.len(),
            len => len.into(),
        };
        if len > skb.len() || len < UDP_HLEN {
            return self.kfree_skb(skb, DropReason::PktTooSmall);
        }
        skb.trim(len);
        let absent = (c0, c1) == (0, 0);
        // udp6_csum_init(): a short packet is summed up again, of a long one the sum that was taken before is believed.
        let stale = skb.soft_sum == SoftSum::Stale && len > CHECKSUM_BREAK;
        let good = if absent || stale {
            // Whether a socket does without is asked when it is known.
            absent
        } else {
            skb.skb_checksum_validate(checksum::pseudo_header(
                flow.src,
                flow.dst,
                IPPROTO_UDP,
                len as u32,
            ))
        };
        if !good {
            return self.kfree_skb(skb, DropReason::UdpCsum);
        }
        let mut src = SocketAddr::new(flow.src, u16::from_be_bytes([s0, s1]));
        if let SocketAddr::V6(v6) = &mut src {
            // So that an answer finds the link.
            if v6.ip().is_unicast_link_local() {
                v6.set_scope_id(skb.iif.0);
            }
        }
        let dst = SocketAddr::new(flow.dst, u16::from_be_bytes([d0, d1]));
        self.trace(&skb, Stage::SocketLookup);
        // RFC 8200 8.1: only IPv4 may do without a checksum (no socket has UDP_NO_CHECK6_RX).
        let zero = absent && flow.src.is_ipv6();
        if flow.to_many && zero {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        }
        if flow.to_many {
            return self.udp_mcast_deliver(skb, src, dst);
        }
        match self.sockets.lookup_connected(dst, src) {
            Some(_) if zero => self.kfree_skb(skb, DropReason::UdpCsum),
            None if zero => self.kfree_skb(skb, DropReason::NoSocket),
            Some(id) => self.udp_queue_rcv_skb(id, skb, src, dst),
            None => {
                // nf_reset_ct(): the error does not inherit the connection.
                self.conntrack.put(skb.nfct.take());
                if flow.src.is_ipv4() {
                    self.icmp_send(
                        &skb,
                        crate::icmp::DEST_UNREACH,
                        crate::icmp::unreach::PORT,
                        0,
                    );
                } else {
                    self.icmpv6_send(
                        &skb,
                        crate::icmpv6::DEST_UNREACH,
                        crate::icmpv6::PORT_UNREACH,
                        0,
                    );
                }
                self.kfree_skb(skb, DropReason::NoSocket);
            }
        }
    }

    /// `__udp4_lib_mcast_deliver()`: every socket on the port gets the packet, all but the last a copy.
    fn udp_mcast_deliver(&mut self, skb: SkBuff, src: SocketAddr, dst: SocketAddr) {
        let receivers = self.sockets.group_receivers(dst, src);
        let Some((&last, others)) = receivers.split_last() else {
            // Nobody is told (IGNOREDMULTI); Linux gives no reason.
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        for &id in others {
            let mut copy = skb.skb_clone();
            copy.id = self.new_packet_id();
            copy.parent = skb.id;
            self.stats.built += 1;
            self.udp_queue_rcv_skb(id, copy, src, dst);
        }
        self.udp_queue_rcv_skb(last, skb, src, dst);
    }

    /// `udp_queue_rcv_skb()`: what was merged is taken apart again for a socket that did not ask for it (`udp_unexpected_gso()`).
    fn udp_queue_rcv_skb(
        &mut self,
        id: SocketId,
        mut skb: SkBuff,
        src: SocketAddr,
        dst: SocketAddr,
    ) {
        let unexpected = || self.sockets.get(id).is_some_and(|socket| !socket.gro);
        if skb.gso.kind != GsoType::UdpL4 || !unexpected() {
            return self.udp_enqueue_schedule_skb(id, skb, src, dst);
        }
        let mut segments = VecDeque::new();
        skb.rewind_to_network();
        self.skb_gso_segment(skb, false, &mut segments);
        for mut segment in segments {
            let transport = usize::try_from(segment.transport_offset()).unwrap_or(0);
            match segment.pull(transport) {
                Some(()) => self.udp_enqueue_schedule_skb(id, segment, src, dst),
                None => self.kfree_skb(segment, DropReason::PktTooSmall),
            }
        }
    }

    /// `__udp_enqueue_schedule_skb()`.
    fn udp_enqueue_schedule_skb(
        &mut self,
        id: SocketId,
        mut skb: SkBuff,
        src: SocketAddr,
        dst: SocketAddr,
    ) {
        // nf_reset_ct()
        self.conntrack.put(skb.nfct.take());
        // The application reads the payload as one slice.
        skb.skb_linearize();
        skb.detach_if_scarce();
        let size = skb.truesize();
        let full = match self.sockets.get(id) {
            // An empty queue always takes one.
            Some(socket) => socket.rmem_alloc > 0 && socket.rmem_alloc + size > socket.rcvbuf,
            None => true,
        };
        if full {
            return self.kfree_skb(skb, DropReason::SocketRcvBuff);
        }
        if skb.pull(UDP_HLEN).is_none() {
            return self.kfree_skb(skb, DropReason::PktTooSmall);
        }
        self.trace(&skb, Stage::SocketQueue);
        let datagram = Datagram {
            src,
            dst,
            iif: skb.iif,
            tstamp: skb.tstamp,
            skb,
        };
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.rmem_alloc += size;
            socket.queue.push_back(datagram);
        }
    }

    /// Makes a UDP socket bound to `addr`:`port`. Port 0: a free ephemeral one. The unspecified address of a family: all addresses of
    /// that family.
    pub fn udp_bind(&mut self, addr: IpAddr, port: u16) -> Result<SocketId, StackError> {
        let broadcast_or_group = addr.is_multicast()
            || matches!(addr, IpAddr::V4(a) if a.is_broadcast())
            || self.is_broadcast(addr);
        if !addr.is_unspecified() && !broadcast_or_group && !self.may_bind(addr) {
            return Err(StackError::AddressNotAvailable(addr));
        }
        let port = match port {
            0 => self.ephemeral_port(|stack, port| {
                !stack.sockets.conflicts(SocketAddr::new(addr, port))
            })?,
            port => port,
        };
        let local = SocketAddr::new(addr, port);
        if self.sockets.conflicts(local) {
            return Err(StackError::AddressInUse(local));
        }
        Ok(self.sockets.insert(UdpSocket {
            local,
            rcvbuf: self.config.rmem_default,
            rmem_alloc: 0,
            queue: VecDeque::new(),
            dont_fragment: false,
            broadcast: false,
            gro: false,
            error: None,
            remote: None,
            unsourced: false,
        }))
    }

    /// `connect()`: from now on only datagrams from `remote` are taken, and only those to the source address that the route to it has.
    ///
    /// # Errors
    /// [`StackError::NoSocket`], no route, another socket has that address and port, or a destination of the other family or port 0.
    pub fn udp_connect(&mut self, socket: SocketId, remote: SocketAddr) -> Result<(), StackError> {
        let sock = self
            .sockets
            .get(socket)
            .ok_or(StackError::NoSocket(socket))?;
        let mut local = sock.local;
        let unsourced = local.ip().is_unspecified();
        if remote.port() == 0 || remote.is_ipv4() != local.is_ipv4() {
            return Err(StackError::InvalidDestination(remote));
        }
        let upper = Upper::new(IPPROTO_UDP, (local.port(), remote.port()));
        // Without a way to the new other end the socket keeps the one that it has.
        match (local.ip(), remote) {
            (IpAddr::V4(own), SocketAddr::V4(to)) => {
                let own = (!unsourced).then_some(own);
                let (_, source) = self.ip_route_output(*to.ip(), own, IfIndex::NONE, upper)?;
                if unsourced {
                    // ip_route_connect(): a rule may say other things of the source than of none.
                    self.ip_route_output(*to.ip(), Some(source), IfIndex::NONE, upper)?;
                }
                local.set_ip(source.into());
            }
            (IpAddr::V6(own), SocketAddr::V6(to)) => {
                let own = (!unsourced).then_some(own);
                let dev = IfIndex(to.scope_id());
                let (_, source) = self.ip6_route_output(*to.ip(), own, dev, upper)?;
                local.set_ip(source.into());
            }
            _ => return Err(StackError::InvalidDestination(remote)),
        }
        if self.sockets.connect(socket, local, remote) {
            if let Some(socket) = self.sockets.get_mut(socket) {
                socket.unsourced = unsourced;
            }
            Ok(())
        } else {
            Err(StackError::AddressInUse(local))
        }
    }

    /// `inet_can_nonlocal_bind()`: whether a socket may have the address.
    pub(crate) fn may_bind(&self, addr: IpAddr) -> bool {
        self.fib.is_local(addr)
            || match addr {
                IpAddr::V4(_) => self.config.ip_nonlocal_bind,
                IpAddr::V6(_) => self.config.ip_nonlocal_bind_v6,
            }
    }

    /// `udp_lib_get_port()`, `inet_hash_connect()`: from a drawn start, the first port of `ip_local_port_range` that is `free`.
    pub(crate) fn ephemeral_port(
        &mut self,
        free: impl Fn(&Self, u16) -> bool,
    ) -> Result<u16, StackError> {
        let (first, last) = self.config.ip_local_port_range;
        let count = u32::from(last.saturating_sub(first)) + 1;
        let start = (self.random() % u64::from(count)) as u32;
        let reserved = |port: u16| {
            let mut ranges = self.config.ip_local_reserved_ports.iter();
            ranges.any(|(a, b)| (*a..=*b).contains(&port))
        };
        (0..count)
            .map(|i| first + ((start + i) % count) as u16)
            .find(|&port| !reserved(port) && free(self, port))
            .ok_or(StackError::NoPorts)
    }

    /// Closes a socket; what nobody read is gone.
    pub fn udp_close(&mut self, socket: SocketId) -> Result<(), StackError> {
        let closed = self
            .sockets
            .remove(socket)
            .ok_or(StackError::NoSocket(socket))?;
        for datagram in closed.queue {
            self.consume_skb(datagram.skb, Consume::SocketClose);
        }
        Ok(())
    }

    /// `getsockname()`.
    pub fn udp_local_addr(&self, socket: SocketId) -> Option<SocketAddr> {
        Some(self.sockets.get(socket)?.local)
    }

    /// `SO_RCVBUF`: bytes of buffer memory (not payload) that may wait. Unlike the system call this does not double the value.
    pub fn udp_set_rcvbuf(&mut self, socket: SocketId, bytes: usize) -> Result<(), StackError> {
        self.sockets
            .get_mut(socket)
            .ok_or(StackError::NoSocket(socket))?
            .rcvbuf = bytes;
        Ok(())
    }

    /// `IP_MTU_DISCOVER`: with `true` (`IP_PMTUDISC_DO`) longer datagrams than the path takes are refused instead of fragmented.
    pub fn udp_set_dont_fragment(&mut self, socket: SocketId, on: bool) -> Result<(), StackError> {
        self.sockets
            .get_mut(socket)
            .ok_or(StackError::NoSocket(socket))?
            .dont_fragment = on;
        Ok(())
    }

    /// `SO_BROADCAST`: permits sending to broadcast addresses.
    pub fn udp_set_broadcast(&mut self, socket: SocketId, on: bool) -> Result<(), StackError> {
        self.sockets
            .get_mut(socket)
            .ok_or(StackError::NoSocket(socket))?
            .broadcast = on;
        Ok(())
    }

    /// `UDP_GRO`: with `true`, datagrams of one size that came right after each other are received as one
    /// ([`Datagram::gro_size`]), if the device's features include `gro`.
    pub fn udp_set_gro(&mut self, socket: SocketId, on: bool) -> Result<(), StackError> {
        if self.sockets.set_gro(socket, on) {
            Ok(())
        } else {
            Err(StackError::NoSocket(socket))
        }
    }

    /// `SO_ERROR`: what an ICMP error told a connected socket ([`udp_connect`](Self::udp_connect)) of its datagrams, once.
    pub fn udp_take_error(&mut self, socket: SocketId) -> Option<StackError> {
        self.sockets.get_mut(socket)?.error.take()
    }

    /// Whether a datagram waits.
    pub fn udp_readable(&self, socket: SocketId) -> bool {
        self.sockets
            .get(socket)
            .is_some_and(|s| !s.queue.is_empty())
    }

    /// `recvfrom()`: the oldest datagram that waits; `None` when there is none (or no such socket).
    pub fn udp_recv_from(&mut self, socket: SocketId) -> Option<Datagram> {
        let sock = self.sockets.get_mut(socket)?;
        let datagram = sock.queue.pop_front()?;
        sock.rmem_alloc -= datagram.skb.truesize();
        self.stats.consumed += 1;
        self.trace(&datagram.skb, Stage::Recv);
        self.trace(&datagram.skb, Stage::Consume(Consume::Recv));
        Some(datagram)
    }

    /// `sendto()`: sends `payload` as one datagram. An IPv6 link-local destination names its device in the scope id. Returns the bytes
    /// sent, which is all of them.
    ///
    /// # Errors
    /// No such socket, no route, a destination that cannot be, or too long; and, in place of sending, what [`udp_take_error`](Self::udp_take_error)
    /// would have returned.
    pub fn udp_send_to(
        &mut self,
        socket: SocketId,
        dst: SocketAddr,
        payload: &[u8],
        now: Ps,
    ) -> Result<usize, StackError> {
        self.now = self.now.max(now);
        let sock = self
            .sockets
            .get(socket)
            .ok_or(StackError::NoSocket(socket))?;
        let (local, dont_fragment, broadcast) = (sock.local, sock.dont_fragment, sock.broadcast);
        let unsourced = sock.unsourced && sock.remote == Some(dst);
        if dst.port() == 0 || dst.is_ipv4() != local.is_ipv4() || dst.ip().is_unspecified() {
            return Err(StackError::InvalidDestination(dst));
        }
        // sock_error(): what became of the last ones fails the next.
        if let Some(error) = self.udp_take_error(socket) {
            return Err(error);
        }
        let result = match (local.ip(), dst) {
            (IpAddr::V4(own), SocketAddr::V4(to)) => {
                let limited = to.ip().is_broadcast() || self.is_broadcast(dst.ip());
                if limited && !broadcast {
                    Err(StackError::Permission(dst.ip()))
                } else {
                    self.udp_send_v4(
                        own,
                        local.port(),
                        *to.ip(),
                        to.port(),
                        payload,
                        dont_fragment,
                    )
                }
            }
            (IpAddr::V6(own), SocketAddr::V6(to)) => {
                let scope = IfIndex(to.scope_id());
                self.udp_send_v6(
                    own,
                    local.port(),
                    *to.ip(),
                    to.port(),
                    (scope, unsourced),
                    payload,
                    dont_fragment,
                )
            }
            _ => Err(StackError::InvalidDestination(dst)),
        };
        self.flush_devices();
        result.map(|()| payload.len())
    }

    fn udp_send_v4(
        &mut self,
        own: Ipv4Addr,
        sport: u16,
        daddr: Ipv4Addr,
        dport: u16,
        payload: &[u8],
        dont_fragment: bool,
    ) -> Result<(), StackError> {
        let bound = (!own.is_unspecified() && self.fib.is_local(own.into())).then_some(own);
        let (route, saddr) = self.ip_route_output(
            daddr,
            bound,
            IfIndex::NONE,
            Upper::new(IPPROTO_UDP, (sport, dport)),
        )?;
        let mtu = self.dst_mtu(&route, daddr.into());
        let len = UDP_HLEN + payload.len();
        check_size(payload.len(), IPV4_HLEN, mtu, dont_fragment)?;
        let whole = IPV4_HLEN + len <= mtu;
        let pseudo = checksum::pseudo_header_v4(saddr, daddr, IPPROTO_UDP, len as u16);
        let mut skb =
            self.udp_build(route.oif, IPV4_HLEN, (sport, dport), payload, pseudo, whole)?;
        // ip_sk_ignore_df()
        skb.ignore_df = !dont_fragment;
        // IP_PMTUDISC_WANT: don't-fragment, unless it must be fragmented here; IP_PMTUDISC_DO: in any case.
        let send = Ipv4Send {
            saddr,
            daddr,
            protocol: IPPROTO_UDP,
            tos: 0,
            dont_fragment: dont_fragment || whole && self.ip_dont_fragment(&route, daddr.into()),
            route,
        };
        if self.ip_send_skb(skb, send) {
            Ok(())
        } else {
            Err(self.filtered())
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn udp_send_v6(
        &mut self,
        own: Ipv6Addr,
        sport: u16,
        daddr: Ipv6Addr,
        dport: u16,
        (scope, unsourced): (IfIndex, bool),
        payload: &[u8],
        dont_fragment: bool,
    ) -> Result<(), StackError> {
        let bound = (!own.is_unspecified() && self.fib.is_local(own.into())).then_some(own);
        let upper = Upper::new(IPPROTO_UDP, (sport, dport));
        let asked = bound.filter(|_| !unsourced);
        let (route, source) = self.ip6_route_output(daddr, asked, scope, upper)?;
        let saddr = bound.unwrap_or(source);
        let mtu = self.dst_mtu(&route, daddr.into());
        let len = UDP_HLEN + payload.len();
        check_size(payload.len(), IPV6_HLEN, mtu, dont_fragment)?;
        let whole = IPV6_HLEN + len <= mtu;
        let pseudo = checksum::pseudo_header_v6(saddr, daddr, IPPROTO_UDP, len as u32);
        let mut skb =
            self.udp_build(route.oif, IPV6_HLEN, (sport, dport), payload, pseudo, whole)?;
        skb.ignore_df = !dont_fragment;
        let hop_limit = if daddr.is_multicast() {
            1
        } else {
            self.ip6_dst_hoplimit(&route)
        };
        let send = Ipv6Send {
            saddr,
            daddr,
            next_header: IPPROTO_UDP,
            traffic_class: 0,
            hop_limit,
            route,
            mtu,
        };
        if self.ip6_send_skb(skb, send) {
            Ok(())
        } else {
            Err(self.filtered())
        }
    }

    /// `udp_send_skb()`: header and payload. The checksum is left to the device if it can and the datagram stays whole.
    fn udp_build(
        &mut self,
        oif: IfIndex,
        network_hlen: usize,
        (sport, dport): (u16, u16),
        payload: &[u8],
        pseudo: u32,
        whole: bool,
    ) -> Result<SkBuff, StackError> {
        let offload = whole && self.device(oif).is_some_and(|d| d.features.hw_csum);
        let len = UDP_HLEN + payload.len();
        let mut skb = self
            .alloc_skb(oif, network_hlen, len)
            .ok_or(StackError::NoBuffers)?;
        let mut header = [0u8; UDP_HLEN];
        header[..2].copy_from_slice(&sport.to_be_bytes());
        header[2..4].copy_from_slice(&dport.to_be_bytes());
        header[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        // The pseudo header's sum: what the device, or the line below, adds the rest to.
        header[6..].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        if skb
            .put_slice(&header)
            .and_then(|()| skb.put_slice(payload))
            .is_none()
        {
            self.kfree_skb(skb, DropReason::NoMem);
            return Err(StackError::NoBuffers);
        }
        if offload {
            skb.csum = CsumState::Partial {
                start: (ETH_HLEN + network_hlen) as u16,
                offset: CHECK_OFFSET,
            };
        } else {
            fill_checksum(&mut skb, 0, usize::from(CHECK_OFFSET));
        }
        self.trace(&skb, Stage::Send);
        Ok(skb)
    }

    /// Whether `address` is the broadcast address of a connected network.
    fn is_broadcast(&self, address: IpAddr) -> bool {
        self.fib.addr_type(address) == crate::fib::RouteType::Broadcast
    }
}

/// `EMSGSIZE`: longer than 16-bit lengths allow, or than the path does without fragments. The IPv6 payload length does not count its
/// own header.
fn check_size(
    len: usize,
    network_hlen: usize,
    mtu: usize,
    dont_fragment: bool,
) -> Result<(), StackError> {
    let counted = if network_hlen == IPV4_HLEN {
        IPV4_HLEN
    } else {
        0
    };
    let most = 65535 - UDP_HLEN - counted;
    let path = mtu.saturating_sub(network_hlen + UDP_HLEN);
    let max = if dont_fragment { most.min(path) } else { most };
    if len > max {
        Err(StackError::MessageSize { len, max })
    } else {
        Ok(())
    }
}
