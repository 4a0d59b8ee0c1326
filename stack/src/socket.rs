//! UDP sockets: who is bound where, and what waits to be read.

use crate::Ps;
use crate::error::StackError;
use crate::gso::Layout;
use crate::ipv4::header::Ipv4Header;
use crate::ipv6::header::Ipv6Header;
use crate::skb::{GsoType, IfIndex, SkBuff};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A UDP, raw or packet socket of one [`Stack`](crate::Stack).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub(crate) u32);

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a UDP or raw socket received. The payload still lies in the buffer that the device wrote, which goes back to its pool when this is dropped.
#[derive(Debug)]
pub struct Datagram {
    /// Who sent it; port 0 at a raw socket, as in [`dst`](Self::dst).
    pub src: SocketAddr,
    /// To which of this host's addresses (or groups, or broadcast) and which port.
    pub dst: SocketAddr,
    /// Device that it came in through.
    pub iif: IfIndex,
    /// When the driver took it from the ring.
    pub tstamp: Ps,
    pub(crate) skb: SkBuff,
}

impl Datagram {
    /// The payload: behind the UDP header; at a raw socket behind the IPv6 headers, or from the IPv4 header on.
    pub fn payload(&self) -> &[u8] {
        self.skb.data()
    }

    /// `UDP_GRO`'s control message: the payload is that of several datagrams of this many bytes each, the last one perhaps shorter.
    /// `None`: it is one datagram.
    pub fn gro_size(&self) -> Option<u16> {
        (self.skb.gso.kind == GsoType::UdpL4).then_some(self.skb.gso.size)
    }

    /// The packet, its data being the payload.
    pub fn skb(&self) -> &SkBuff {
        &self.skb
    }
}

/// `struct udp_sock`, the parts that exist here.
pub(crate) struct UdpSocket {
    /// Local address; unspecified = any (an IPv6 wildcard takes IPv6 only, as with `IPV6_V6ONLY`).
    pub local: SocketAddr,
    /// The only one whose datagrams are taken (`connect()`).
    pub remote: Option<SocketAddr>,
    /// The way to it (IPv6) is the one that `connect()` found before there was a source address (`sk_dst_cache`).
    pub unsourced: bool,
    pub rcvbuf: usize,
    /// `sk_rmem_alloc`: buffer memory of what waits.
    pub rmem_alloc: usize,
    pub queue: VecDeque<Datagram>,
    /// `IP_MTU_DISCOVER` = `IP_PMTUDISC_DO`.
    pub dont_fragment: bool,
    /// `SO_BROADCAST`.
    pub broadcast: bool,
    /// `UDP_GRO`: takes datagrams merged.
    pub gro: bool,
    /// What an ICMP error said of the last datagrams (`sk_err`).
    pub error: Option<StackError>,
}

impl UdpSocket {
    fn takes_from(&self, src: SocketAddr) -> bool {
        self.remote.is_none_or(|remote| remote == src)
    }
}

/// All sockets, by number and by port.
#[derive(Default)]
pub(crate) struct Sockets {
    table: BTreeMap<SocketId, UdpSocket>,
    /// Bound sockets; the wildcard address sorts before all others of its family.
    bound: BTreeMap<(u16, IpAddr), SocketId>,
    next: u32,
    /// Sockets with `UDP_GRO`: without any, nobody is looked up.
    gro: usize,
}

impl Sockets {
    pub fn held(&self) -> usize {
        self.table.values().map(|s| s.queue.len()).sum()
    }

    pub fn get(&self, id: SocketId) -> Option<&UdpSocket> {
        self.table.get(&id)
    }

    pub fn get_mut(&mut self, id: SocketId) -> Option<&mut UdpSocket> {
        self.table.get_mut(&id)
    }

    /// Whether a socket for `local` would take what belongs to another: same port and same or overlapping address.
    pub fn conflicts(&self, local: SocketAddr) -> bool {
        let (port, ip) = (local.port(), local.ip());
        if ip.is_unspecified() {
            self.on_port(port)
                .any(|(other, _)| other.is_ipv4() == ip.is_ipv4())
        } else {
            self.lookup(ip, port).is_some()
        }
    }

    fn on_port(&self, port: u16) -> impl Iterator<Item = (IpAddr, SocketId)> + '_ {
        let first = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let last = IpAddr::V6(std::net::Ipv6Addr::from([0xff; 16]));
        self.bound
            .range((port, first)..=(port, last))
            .map(|((_, ip), id)| (*ip, *id))
    }

    /// `__udp4_lib_lookup()`: the socket bound to this address, else to any.
    pub fn lookup(&self, ip: IpAddr, port: u16) -> Option<SocketId> {
        let any: IpAddr = match ip {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        self.bound
            .get(&(port, ip))
            .or_else(|| self.bound.get(&(port, any)))
            .copied()
    }

    /// [`lookup`](Self::lookup), past sockets that are connected to somebody else.
    pub fn lookup_connected(&self, dst: SocketAddr, src: SocketAddr) -> Option<SocketId> {
        let takes = |id: &SocketId| self.get(*id).is_some_and(|s| s.takes_from(src));
        let any: IpAddr = match dst.ip() {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let bound = |ip| self.bound.get(&(dst.port(), ip)).filter(|id| takes(id));
        bound(dst.ip()).or_else(|| bound(any)).copied()
    }

    /// Connects a socket; `false`, and nothing changed, when another one has `local`.
    pub fn connect(&mut self, id: SocketId, local: SocketAddr, remote: SocketAddr) -> bool {
        let key = (local.port(), local.ip());
        if self.bound.get(&key).is_some_and(|other| *other != id) {
            return false;
        }
        let Some(socket) = self.table.get_mut(&id) else {
            return false;
        };
        self.bound.remove(&(socket.local.port(), socket.local.ip()));
        self.bound.insert(key, id);
        socket.local = local;
        socket.remote = Some(remote);
        true
    }

    /// `udp_gro_receive()`: whether datagrams like `skb`, data at its network header, are wanted merged: the socket they are for asked, or
    /// there is none and they are to be merged for forwarding.
    pub fn gro_wanted(&self, skb: &SkBuff, layout: &Layout, forward: bool) -> bool {
        if self.gro == 0 {
            return forward;
        }
        let bytes = skb.data();
        let port = bytes
            .get(layout.transport + 2..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |port| u16::from_be_bytes(*port));
        let daddr = if layout.ipv6 {
            Ipv6Header::new(bytes).map(|h| h.daddr().into())
        } else {
            Ipv4Header::new(bytes).map(|h| h.daddr().into())
        };
        match daddr.and_then(|daddr| self.lookup(daddr, port)) {
            Some(id) => self.get(id).is_some_and(|socket| socket.gro),
            None => forward,
        }
    }

    /// `UDP_GRO` of a socket; `false`: no such socket.
    pub fn set_gro(&mut self, id: SocketId, on: bool) -> bool {
        let Some(socket) = self.table.get_mut(&id) else {
            return false;
        };
        self.gro -= usize::from(std::mem::replace(&mut socket.gro, on));
        self.gro += usize::from(on);
        true
    }

    /// All sockets that take what is sent to group or broadcast address `dst`, by address.
    pub fn group_receivers(&self, dst: SocketAddr, src: SocketAddr) -> Vec<SocketId> {
        let fits =
            |ip: IpAddr| ip == dst.ip() || (ip.is_unspecified() && ip.is_ipv4() == dst.is_ipv4());
        self.on_port(dst.port())
            .filter(|(ip, id)| fits(*ip) && self.get(*id).is_some_and(|s| s.takes_from(src)))
            .map(|(_, id)| id)
            .collect()
    }

    /// A number that no socket has had, of whatever kind.
    pub fn new_id(&mut self) -> SocketId {
        let id = SocketId(self.next);
        self.next += 1;
        id
    }

    pub fn insert(&mut self, socket: UdpSocket) -> SocketId {
        let id = self.new_id();
        self.bound
            .insert((socket.local.port(), socket.local.ip()), id);
        self.table.insert(id, socket);
        id
    }

    pub fn remove(&mut self, id: SocketId) -> Option<UdpSocket> {
        let socket = self.table.remove(&id)?;
        self.bound.remove(&(socket.local.port(), socket.local.ip()));
        self.gro -= usize::from(socket.gro);
        Some(socket)
    }
}
