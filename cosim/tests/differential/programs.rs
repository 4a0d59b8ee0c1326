//! Programs of the router: what they send through the kernel's sockets and through the stack's, and what those received.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use cosim::oracle::frame::UDP;
use cosim::oracle::rename::Renaming;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, connect, ipproto, sendto, socket_with,
    sockopt,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use stack::{Ps, SocketId, Stack, StackError};

use super::case::{How, Own};

/// Longest datagram that is read.
const MAX_DATAGRAM: usize = 66_000;

/// A datagram that a socket received: its port, who sent it, payload.
pub type Received = (u16, SocketAddr, Vec<u8>);

/// A socket of a case: IPv6, port.
type Name = (bool, u16);

fn name(own: &Own) -> Name {
    (own.to.is_ipv6(), own.port)
}

fn any(v6: bool) -> IpAddr {
    match v6 {
        false => Ipv4Addr::UNSPECIFIED.into(),
        true => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn payload(own: &Own) -> Vec<u8> {
    (0..own.payload)
        .map(|i| b'o'.wrapping_add(i as u8))
        .collect()
}

/// The sockets in the kernel's namespace, until a case ends.
#[derive(Default)]
pub struct Theirs {
    udp: BTreeMap<Name, UdpSocket>,
    ping: BTreeMap<u16, OwnedFd>,
}

impl Theirs {
    /// Does what a program does; the error that it gets.
    pub fn send(&mut self, namespace: &str, own: &Own) -> Result<(), i32> {
        let sent = within(namespace, || self.send_there(own, name(own)));
        sent.map_err(|e| e.raw_os_error().unwrap_or(0))
    }

    fn send_there(&mut self, own: &Own, name: Name) -> io::Result<()> {
        let family = match name.0 {
            false => AddressFamily::INET,
            true => AddressFamily::INET6,
        };
        let local = SocketAddr::new(any(name.0), own.port);
        let socket = |kind, protocol| socket_with(family, kind, SocketFlags::NONBLOCK, protocol);
        match own.how {
            How::Udp | How::UdpConnected => {
                if let Entry::Vacant(new) = self.udp.entry(name) {
                    let socket = socket(SocketType::DGRAM, None)?;
                    if name.0 {
                        sockopt::set_ipv6_v6only(&socket, true)?;
                    }
                    bind(&socket, &local)?;
                    new.insert(UdpSocket::from(socket));
                }
                let socket = &self.udp[&name];
                // An error that was reported before is of another packet.
                socket.take_error()?;
                match own.how {
                    How::UdpConnected => {
                        socket.connect(own.to)?;
                        socket.send(&payload(own))?;
                    }
                    _ => drop(socket.send_to(&payload(own), own.to)?),
                }
            }
            How::Tcp => {
                let socket = socket(SocketType::STREAM, None)?;
                sockopt::set_socket_reuseaddr(&socket, true)?;
                bind(&socket, &local)?;
                match connect(&socket, &own.to) {
                    Ok(()) | Err(Errno::INPROGRESS) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            How::Ping => {
                if let Entry::Vacant(new) = self.ping.entry(own.port) {
                    let socket = socket(SocketType::DGRAM, Some(ipproto::ICMP))?;
                    bind(&socket, &local)?;
                    new.insert(socket);
                }
                let mut message = vec![8, 0, 0, 0, 0, 0, 0, 1];
                message.extend(payload(own));
                let socket = &self.ping[&own.port];
                sockopt::socket_error(socket)?.ok();
                sendto(socket, &message, SendFlags::empty(), &own.to)?;
            }
        }
        Ok(())
    }

    /// What the UDP sockets received, with the ports that hold here.
    pub fn received(&self, renaming: &Renaming, known: &[u16]) -> Vec<Received> {
        let mut all = Vec::new();
        let mut buffer = vec![0; MAX_DATAGRAM];
        for ((_, port), socket) in &self.udp {
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((len, mut from)) => {
                        from.set_port(renaming.port(UDP, from.ip(), from.port()));
                        all.push((*port, shown(from, known), buffer[..len].to_vec()));
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    // What was reported about a datagram.
                    Err(_) => {}
                }
            }
        }
        all
    }
}

/// A sender, without the port if NAT drew it: one that no packet of the case has.
fn shown(mut from: SocketAddr, known: &[u16]) -> SocketAddr {
    if !known.contains(&from.port()) {
        from.set_port(0);
    }
    from
}

/// Runs it in a thread whose network namespace is this one: sockets stay where they were made.
fn within<T: Send>(namespace: &str, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let file = File::open(format!("/run/netns/{namespace}"))?;
    let there = move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    };
    let done = std::thread::scope(|scope| scope.spawn(there).join());
    done.unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

/// The stack's sockets.
#[derive(Default)]
pub struct Ours {
    udp: BTreeMap<Name, SocketId>,
}

impl Ours {
    /// The same through the stack.
    pub fn send(&mut self, stack: &mut Stack, own: &Own, now: Ps) -> Result<(), i32> {
        self.send_here(stack, own, now)
            .map_err(|e| errno(&e).raw_os_error())
    }

    fn send_here(&mut self, stack: &mut Stack, own: &Own, now: Ps) -> Result<(), StackError> {
        let name = name(own);
        match own.how {
            How::Udp | How::UdpConnected => {
                let socket = match self.udp.get(&name) {
                    Some(socket) => *socket,
                    None => stack.udp_bind(any(name.0), own.port)?,
                };
                self.udp.insert(name, socket);
                // As on the kernel's side.
                let _ = stack.udp_take_error(socket);
                if own.how == How::UdpConnected {
                    stack.udp_connect(socket, own.to)?;
                }
                stack.udp_send_to(socket, own.to, &payload(own), now)?;
            }
            How::Tcp => {
                let connection = stack.tcp_connect(own.port, own.to, now)?;
                // A rule may have refused it.
                while stack.net_rx_action(now) {}
                stack.tcp_close(connection, now)?;
            }
            How::Ping => {
                // Bound by an echo request before.
                let _ = stack.ping_bind(own.port);
                if let IpAddr::V4(to) = own.to.ip() {
                    stack.ping_send_to(own.port, to, 1, &payload(own), now)?;
                }
            }
        }
        Ok(())
    }

    /// What the UDP sockets received.
    pub fn received(&self, stack: &mut Stack, known: &[u16]) -> Vec<Received> {
        let mut all = Vec::new();
        for ((_, port), socket) in &self.udp {
            while let Some(datagram) = stack.udp_recv_from(*socket) {
                let from = shown(datagram.src, known);
                all.push((*port, from, datagram.payload().to_vec()));
            }
        }
        all
    }
}

/// The `errno` that the error's documentation names, as far as sending and connecting may give it.
fn errno(error: &StackError) -> Errno {
    match error {
        StackError::NetUnreachable(_) => Errno::NETUNREACH,
        StackError::HostUnreachable(_) => Errno::HOSTUNREACH,
        StackError::Permission(_) => Errno::ACCESS,
        StackError::Filtered => Errno::PERM,
        StackError::InvalidDestination(_) => Errno::INVAL,
        StackError::AddressInUse(_) => Errno::ADDRINUSE,
        StackError::AddressNotAvailable(_) => Errno::ADDRNOTAVAIL,
        StackError::MessageSize { .. } => Errno::MSGSIZE,
        StackError::ConnectionRefused(_) => Errno::CONNREFUSED,
        StackError::NoBuffers => Errno::NOBUFS,
        _ => Errno::NOSYS,
    }
}
