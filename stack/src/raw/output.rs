//! `raw_sendmsg()`, `rawv6_sendmsg()`.

use crate::Ps;
use crate::checksum;
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::fib::{Route, RouteType};
use crate::ipv4::header::{Ipv4Header, put16, send_check};
use crate::ipv4::{IPPROTO_UDP, IPV4_HLEN, Ipv4Send, OutputFlow};
use crate::ipv6::header::Ipv6Header;
use crate::ipv6::{IPV6_HLEN, Ipv6Send, OutputFlow6};
use crate::napi::{ETH_P_IP, ETH_P_IPV6};
use crate::skb::{IfIndex, SkBuff};
use crate::socket::SocketId;
use crate::stack::Stack;
use crate::trace::Stage;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes that the 16-bit lengths of both IP headers can say.
const MAX_LEN: usize = 65535;

impl Stack {
    /// `sendto()`, or `send()` to who the socket is connected to when there is no `dst`. `bytes` are what follows the IP header; with
    /// [`raw_set_hdrincl`](Self::raw_set_hdrincl) they begin with it, and the route is that to `dst`, whatever it says: then the stack fills
    /// in the source and the identification of an IPv4 header if they are 0, and its total length and checksum always. `dev`: device to
    /// leave through (the scope id, `IP_PKTINFO`); [`IfIndex::NONE`]: that of [`raw_bind_to_device`](Self::raw_bind_to_device), or any. The
    /// unspecified address is this host. Returns the bytes sent, which is all of them.
    ///
    /// # Errors
    /// No such socket, no destination, no route, too long (own headers are never fragmented), a broadcast address without
    /// [`raw_set_broadcast`](Self::raw_set_broadcast), bytes that begin with no header or have no room for the checksum
    /// ([`raw_set_checksum`](Self::raw_set_checksum)), or a hook dropped it; and with a header of
    /// its own what [`raw_take_error`](Self::raw_take_error) would say.
    pub fn raw_send_to(
        &mut self,
        socket: SocketId,
        dst: Option<IpAddr>,
        dev: IfIndex,
        bytes: &[u8],
        now: Ps,
    ) -> Result<usize, StackError> {
        self.now = self.now.max(now);
        let raw = self.raw.get(socket)?;
        let dst = dst.or(raw.remote).ok_or(StackError::NotConnected)?;
        let oif = dev.some().unwrap_or(raw.device);
        let sent = match (raw.ipv6, dst) {
            (false, IpAddr::V4(daddr)) => self.raw_sendmsg(socket, daddr, oif, bytes),
            (true, IpAddr::V6(daddr)) => self.rawv6_sendmsg(socket, daddr, oif, bytes),
            _ => Err(StackError::InvalidDestination((dst, 0).into())),
        };
        self.flush_devices();
        match sent? {
            true => Ok(bytes.len()),
            false => Err(self.filtered()),
        }
    }

    /// `raw_sendmsg()`. `false`: a hook dropped it.
    fn raw_sendmsg(
        &mut self,
        socket: SocketId,
        daddr: Ipv4Addr,
        oif: IfIndex,
        bytes: &[u8],
    ) -> Result<bool, StackError> {
        let raw = self.raw.get(socket)?;
        let (hdrincl, broadcast, protocol) = (raw.hdrincl, raw.broadcast, raw.protocol);
        check_len(bytes, MAX_LEN - if hdrincl { 0 } else { IPV4_HLEN })?;
        let saddr = match raw.local {
            IpAddr::V4(local) if self.fib.is_local(local.into()) => Some(local),
            _ => None,
        };
        let daddr = match daddr.is_unspecified() {
            true => saddr.unwrap_or(Ipv4Addr::LOCALHOST),
            false => daddr,
        };
        let (route, saddr) = self.ip_route_output_flow(&OutputFlow {
            saddr,
            oif,
            protocol,
            // inet_sk_flowi_flags()
            any_source: hdrincl,
            ..OutputFlow::to(daddr)
        })?;
        if route.kind == RouteType::Broadcast && !broadcast {
            return Err(StackError::Permission(daddr.into()));
        }
        if hdrincl {
            return self.raw_send_hdrinc(socket, route, saddr, bytes);
        }
        let mut skb = self.raw_build(route.oif, IPV4_HLEN, bytes)?;
        skb.ignore_df = true;
        let mtu = self.dst_mtu(&route, daddr.into());
        let send = Ipv4Send {
            saddr,
            daddr,
            protocol,
            tos: 0,
            dont_fragment: IPV4_HLEN + bytes.len() <= mtu
                && self.ip_dont_fragment(&route, daddr.into()),
            route,
        };
        Ok(self.ip_send_skb(skb, send))
    }

    /// `raw_send_hdrinc()`. Linux looks at the length only; here the bytes must begin with an IPv4 header.
    fn raw_send_hdrinc(
        &mut self,
        socket: SocketId,
        route: Route,
        saddr: Ipv4Addr,
        bytes: &[u8],
    ) -> Result<bool, StackError> {
        check_len(bytes, self.mtu(route.oif))?;
        self.raw_sock_error(socket)?;
        let header = Ipv4Header::new(bytes).ok_or(StackError::InvalidHeader)?;
        let (header_len, no_id) = (header.header_len(), header.id() == 0);
        let no_source = header.saddr().is_unspecified();
        let mut skb = self.raw_build(route.oif, 0, bytes)?;
        let id = no_id.then(|| self.ip_select_ident());
        let packet = skb.data_mut();
        if no_source && let Some(field) = packet.get_mut(12..16) {
            field.copy_from_slice(&saddr.octets());
        }
        put16(packet, 2, bytes.len() as u16);
        if let Some(id) = id {
            put16(packet, 4, id);
        }
        send_check(packet, header_len);
        skb.reset_network_header();
        skb.set_transport_header(header_len);
        skb.protocol = ETH_P_IP;
        skb.dst = Some(route);
        skb.dev = route.oif;
        Ok(self.ip_local_out(skb))
    }

    /// `rawv6_sendmsg()`. `false`: a hook dropped it.
    fn rawv6_sendmsg(
        &mut self,
        socket: SocketId,
        daddr: Ipv6Addr,
        oif: IfIndex,
        bytes: &[u8],
    ) -> Result<bool, StackError> {
        let raw = self.raw.get(socket)?;
        let (hdrincl, check_offset, protocol) = (raw.hdrincl, raw.checksum, raw.protocol);
        let saddr = match raw.local {
            IpAddr::V6(local) if self.fib.is_local(local.into()) => Some(local),
            _ => None,
        };
        let daddr = match daddr.is_unspecified() {
            true => Ipv6Addr::LOCALHOST,
            false => daddr,
        };
        let (route, saddr) = self.ip6_route_output_flow(&OutputFlow6 {
            saddr,
            oif,
            protocol,
            ..OutputFlow6::to(daddr)
        })?;
        let mtu = self.dst_mtu(&route, daddr.into());
        if hdrincl {
            check_len(bytes, self.mtu(route.oif))?;
            self.raw_sock_error(socket)?;
            Ipv6Header::new(bytes).ok_or(StackError::InvalidHeader)?;
            let mut skb = self.raw_build(route.oif, 0, bytes)?;
            skb.reset_network_header();
            skb.set_transport_header(IPV6_HLEN);
            skb.protocol = ETH_P_IPV6;
            skb.dst = Some(route);
            skb.dev = route.oif;
            return Ok(self.ip6_local_out(skb, mtu));
        }
        check_len(bytes, MAX_LEN)?;
        if let Some(at) = check_offset.filter(|at| at + 1 >= bytes.len()) {
            return Err(StackError::InvalidChecksumOffset(at));
        }
        let mut skb = self.raw_build(route.oif, IPV6_HLEN, bytes)?;
        skb.ignore_df = true;
        if let Some(at) = check_offset {
            fill_checksum(skb.data_mut(), at, saddr, daddr, protocol);
        }
        let hop_limit = match daddr.is_multicast() {
            true => 1,
            false => self.ip6_dst_hoplimit(&route),
        };
        let send = Ipv6Send {
            saddr,
            daddr,
            next_header: protocol,
            traffic_class: 0,
            hop_limit,
            route,
            mtu,
        };
        Ok(self.ip6_send_skb(skb, send))
    }

    /// `sock_error()`, which `sock_alloc_send_skb()` asks; what `ip_append_data()` takes for a packet without a transport header does not.
    fn raw_sock_error(&mut self, socket: SocketId) -> Result<(), StackError> {
        match self.raw_take_error(socket) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// A packet of `bytes`, with room for an IP header of `network_hlen` bytes.
    fn raw_build(
        &mut self,
        oif: IfIndex,
        network_hlen: usize,
        bytes: &[u8],
    ) -> Result<SkBuff, StackError> {
        let mut skb = self
            .alloc_skb(oif, network_hlen, bytes.len())
            .ok_or(StackError::NoBuffers)?;
        if skb.put_slice(bytes).is_none() {
            self.kfree_skb(skb, DropReason::NoMem);
            return Err(StackError::NoBuffers);
        }
        self.trace(&skb, Stage::Send);
        Ok(skb)
    }
}

/// `EMSGSIZE`.
fn check_len(bytes: &[u8], max: usize) -> Result<(), StackError> {
    let len = bytes.len();
    match len > max {
        true => Err(StackError::MessageSize { len, max }),
        false => Ok(()),
    }
}

/// `rawv6_push_pending_frames()`: the checksum of the whole message, at byte `at` of it. What the application left there does not count.
fn fill_checksum(message: &mut [u8], at: usize, saddr: Ipv6Addr, daddr: Ipv6Addr, protocol: u8) {
    put16(message, at, 0);
    let pseudo = checksum::pseudo_header_v6(saddr, daddr, protocol, message.len() as u32);
    let check = !checksum::fold(checksum::add(pseudo, checksum::sum(message)));
    // RFC 8200 8.1: 0 would say that there is none (CSUM_MANGLED_0).
    let mangled = check == 0 && protocol == IPPROTO_UDP;
    put16(message, at, if mangled { 0xffff } else { check });
}
