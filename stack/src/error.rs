//! What goes wrong on the application's and administrator's side. A lost packet is no error: it is a
//! [`DropReason`](crate::DropReason).

use crate::addr::IpCidr;
use crate::skb::IfIndex;
use crate::socket::SocketId;
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// Why a call into the stack was refused. Each names the `errno` that Linux returns.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StackError {
    /// `EINVAL`: a BPF program that cannot be loaded.
    #[error(transparent)]
    Bpf(#[from] crate::bpf::BpfError),
    /// `EINVAL`: a BPF program of another type.
    #[error("the program is not of the type that is needed here")]
    WrongProgram,
    /// `ENODEV`: there is no such device.
    #[error("no device {0}")]
    NoDevice(IfIndex),
    /// `EINVAL`: no next hop has this number.
    #[error("there is no next hop {0}")]
    NexthopMissing(u32),
    /// `EINVAL`: the next hop of an IPv6 route has an IPv4 gateway.
    #[error("next hop {0} is of the other family")]
    NexthopFamily(u32),
    /// `ENETDOWN`: the device of an IPv4 route to its link is down.
    #[error("device {0} is down")]
    DeviceDown(IfIndex),
    /// `ENETDOWN`: the device of a gateway, or of an IPv6 route, is down.
    #[error("device {0} of the next hop is down")]
    NexthopDown(IfIndex),
    /// `EOPNOTSUPP`: the driver of the device cannot do that.
    #[error("device {0} cannot do that")]
    NotSupported(IfIndex),
    /// `EEXIST`: there is a device of this name.
    #[error("there is a device {0} already")]
    DeviceExists(String),
    /// `EEXIST`: the device has this address already.
    #[error("{1} is already on device {0}")]
    AddressExists(IfIndex, IpCidr),
    /// `EADDRNOTAVAIL`: the address is not this host's own.
    #[error("{0} is no address of this host")]
    AddressNotAvailable(IpAddr),
    /// `EINVAL`: the address cannot belong to a host (a group, broadcast).
    #[error("{0} cannot be a host's address")]
    InvalidAddress(IpAddr),
    /// `ENETUNREACH`: the gateway is not on a connected network.
    #[error("gateway {0} is not reachable on any link")]
    GatewayUnreachable(IpAddr),
    /// `EEXIST`: the route is there already.
    #[error("a route to {0} exists")]
    RouteExists(IpCidr),
    /// `ENOENT`: the route to be changed is not there.
    #[error("there is no route to {0} to be changed")]
    RouteMissing(IpCidr),
    /// `EINVAL`: a route with a gateway cannot be of scope link or nearer.
    #[error("the scope of the route to {0} does not fit its gateway")]
    InvalidScope(IpCidr),
    /// `ESRCH`: there is no such route.
    #[error("no route to {0}")]
    NoRoute(IpCidr),
    /// `EADDRINUSE`: another socket has the port.
    #[error("{0} is in use")]
    AddressInUse(SocketAddr),
    /// `EADDRINUSE`: all ephemeral ports are taken.
    #[error("no ephemeral port is free")]
    NoPorts,
    /// `EBADF`: there is no such socket.
    #[error("no socket {0}")]
    NoSocket(SocketId),
    /// `EPROTONOSUPPORT`: no raw socket can be of this protocol, or one of it has no such option (`EOPNOTSUPP`).
    #[error("a raw socket of protocol {0} cannot do that")]
    ProtocolNotSupported(u8),
    /// `EINVAL`: the checksum cannot be at this offset of the message.
    #[error("no checksum can be at byte {0}")]
    InvalidChecksumOffset(usize),
    /// `EINVAL`: what is sent with its own header does not begin with one.
    #[error("the bytes do not begin with a header")]
    InvalidHeader,
    /// `EMSGSIZE`: longer than a datagram can be, or than the path allows when fragmenting is forbidden.
    #[error("message of {len} bytes is longer than {max}")]
    MessageSize {
        /// Payload bytes.
        len: usize,
        /// Payload bytes that can be sent.
        max: usize,
    },
    /// `ENETUNREACH`: no route to the destination, here or on the way.
    #[error("no route to {0}")]
    NetUnreachable(IpAddr),
    /// `EHOSTUNREACH`: the route, or a router, says unreachable.
    #[error("{0} is unreachable")]
    HostUnreachable(IpAddr),
    /// `EPROTO`: a router or the other end found fault with a header.
    #[error("a header of a packet to {0} was found wrong")]
    ProtocolError(IpAddr),
    /// `ENOPROTOOPT`: the other end does not know the transport protocol.
    #[error("{0} does not know the protocol")]
    NoProtocol(IpAddr),
    /// `EOPNOTSUPP`: the source route could not be followed.
    #[error("the source route to {0} failed")]
    SourceRouteFailed(IpAddr),
    /// `EHOSTDOWN`: a router knows no such host.
    #[error("{0} is down")]
    HostDown(IpAddr),
    /// `ENONET`: the host is not connected to its network.
    #[error("{0} is not on the network")]
    NotOnNetwork(IpAddr),
    /// `EMSGSIZE`: a router told that the path takes less than what was sent.
    #[error("the path to {0} takes no packets of that length")]
    PathTooNarrow(IpAddr),
    /// `EACCES`: the route says prohibited, or the destination is a broadcast address and the socket did not ask for that.
    #[error("sending to {0} is not permitted")]
    Permission(IpAddr),
    /// `EINVAL`: the destination cannot be sent to: port 0, no address, other family than the socket, or a blackhole route.
    #[error("{0} is no destination for this socket")]
    InvalidDestination(SocketAddr),
    /// `ENOBUFS`: no packet buffer.
    #[error("no packet buffer")]
    NoBuffers,
    /// `ENOTCONN`: no such connection, or it is closed. `EDESTADDRREQ`: a raw or packet socket was told no destination.
    #[error("not connected")]
    NotConnected,
    /// `ECONNREFUSED`: the other end listens on no such port.
    #[error("{0} refused the connection")]
    ConnectionRefused(SocketAddr),
    /// `ECONNRESET`: the other end reset the connection.
    #[error("{0} reset the connection")]
    ConnectionReset(SocketAddr),
    /// `ETIMEDOUT`: the other end did not answer in time.
    #[error("{0} does not answer")]
    TimedOut(SocketAddr),
    /// `EPERM`: a hook at output dropped the packet.
    #[error("a hook dropped the packet")]
    Filtered,
}
