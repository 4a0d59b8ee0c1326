//! The application: UDP sockets that send back what they get (RFC 862), and such that only read it (RFC 863).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hwmodel::Device;
use stack::{SocketId, Stack};

use super::machine::Shared;
use crate::error::Error;

/// What a socket's server does with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Echo,
    Discard,
}

/// One process that serves all sockets.
pub struct UdpServer {
    sockets: Vec<(SocketId, Service)>,
}

impl UdpServer {
    /// Binds each port on all addresses, IPv4 and IPv6.
    ///
    /// # Errors
    /// [`Error::Option`] when a port is named twice.
    pub fn bind(stack: &mut Stack, echo: &[u16], discard: &[u16]) -> Result<Self, Error> {
        let mut sockets = Vec::new();
        let echo = echo.iter().map(|port| (port, Service::Echo));
        let discard = discard.iter().map(|port| (port, Service::Discard));
        for (port, service) in echo.chain(discard) {
            for any in [
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ] {
                let socket = stack.udp_bind(any, *port).map_err(|e| Error::Option {
                    option: match service {
                        Service::Echo => "--udp-echo",
                        Service::Discard => "udp_discard",
                    },
                    value: port.to_string(),
                    reason: e.to_string(),
                })?;
                sockets.push((socket, service));
            }
        }
        Ok(Self { sockets })
    }

    /// The process was woken: it reads every socket until it is empty and serves each datagram.
    pub fn run<D: Device>(&mut self, stack: &mut Stack, machine: &Shared<D>) {
        charge(machine, |costs| costs.wakeup);
        for (socket, service) in &self.sockets {
            while let Some(datagram) = stack.udp_recv_from(*socket) {
                charge(machine, |costs| costs.syscall);
                machine.borrow_mut().set_cause(Some(datagram.skb().id));
                let now = machine.borrow().cpu.now();
                if *service == Service::Discard {
                    continue;
                }
                // What finds no route is counted by the stack; an echo server goes on.
                let _ = stack.udp_send_to(*socket, datagram.src, datagram.payload(), now);
                machine.borrow_mut().set_cause(None);
            }
        }
    }
}

fn charge<D: Device>(machine: &Shared<D>, cost: impl Fn(&crate::cpu::Costs) -> u64) {
    let mut machine = machine.borrow_mut();
    let cost = cost(&machine.costs);
    machine.work(cost);
}
