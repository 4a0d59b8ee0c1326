//! This project's side: what `tests/data/sockets/observe.py` does with the kernel's sockets.

use crate::common::{MAC, Wire};
use crate::{CONFIGURED, hex, unhex};
use stack::af_packet::{PacketSocketType, SockAddrLl};
use stack::{
    Datagram, Icmp6Filter, IcmpFilter, IfIndex, PacketFrame, PktType, SocketId, Stack, StackConfig,
};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

/// A host with its sockets.
pub struct Ours {
    pub stack: Stack,
    wire: Rc<RefCell<Wire>>,
    dev: IfIndex,
    sockets: Vec<(String, String, SocketId)>,
    /// What each socket saw, a line each, with the scenario's lines between.
    pub seen: Vec<String>,
}

impl Ours {
    pub fn new() -> Self {
        let mut stack = Stack::new(StackConfig::default());
        let wire = Wire::new(MAC);
        let dev = stack.add_device("eth_c", Box::new(Rc::clone(&wire)));
        for line in CONFIGURED {
            stack.ip(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        Self {
            stack,
            wire,
            dev,
            sockets: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn device(&self, name: &str) -> IfIndex {
        let devices = (1..).map(IfIndex);
        let mut named = devices.take_while(|d| self.stack.device_name(*d).is_some());
        named
            .find(|d| self.stack.device_name(*d) == Some(name))
            .unwrap_or(IfIndex::NONE)
    }

    fn open(&mut self, words: &[&str]) {
        let socket = match words[1..] {
            ["packet", kind, protocol, dev] => {
                let kind = match kind {
                    "raw" => PacketSocketType::Raw,
                    _ => PacketSocketType::Dgram,
                };
                let protocol = u16::from_str_radix(protocol, 16).unwrap();
                let socket = self.stack.packet_socket(kind, protocol);
                let dev = self.device(dev);
                self.stack.packet_bind(socket, dev, 0).unwrap();
                socket
            }
            [family, protocol] => {
                let protocol = protocol.parse().unwrap();
                self.stack.raw_socket(family == "raw6", protocol).unwrap()
            }
            _ => panic!("{words:?}"),
        };
        let (name, kind) = (words[0].to_owned(), words[1].to_owned());
        self.sockets.push((name, kind, socket));
    }

    pub fn run(&mut self, line: &str) {
        self.seen.push(format!("# {}", &line[..line.len().min(60)]));
        if let Some(commands) = line.strip_prefix("nft ") {
            self.stack.nft(commands).unwrap();
            return;
        }
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "open" {
            return self.open(&words[1..]);
        }
        let found = self.sockets.iter().position(|s| s.0 == words[1]);
        let (kind, socket) = found.map_or((String::new(), None), |at| {
            (self.sockets[at].1.clone(), Some(self.sockets[at].2))
        });
        let stack = &mut self.stack;
        match (words[0], kind.as_str(), socket, &words[2..]) {
            ("filter", "raw4", Some(socket), [data]) => {
                let data = u32::from_str_radix(data, 16).unwrap();
                stack
                    .raw_set_icmp_filter(socket, IcmpFilter { data })
                    .unwrap();
            }
            ("filter", _, Some(socket), [kind]) => {
                let filter = Icmp6Filter::BLOCK_ALL.pass(kind.parse().unwrap());
                stack.raw_set_icmp6_filter(socket, filter).unwrap();
            }
            ("checksum", _, Some(socket), [at]) => {
                let at = at.parse().unwrap();
                stack.raw_set_checksum(socket, Some(at)).unwrap();
            }
            ("bind", _, Some(socket), [addr]) => {
                stack.raw_bind(socket, addr.parse().unwrap()).unwrap();
            }
            ("connect", _, Some(socket), [addr]) => {
                stack.raw_connect(socket, addr.parse().unwrap()).unwrap();
            }
            ("close", _, Some(socket), []) => {
                stack.raw_close(socket).unwrap();
                self.sockets.retain(|s| s.2 != socket);
            }
            ("in", ..) => {
                let frame = (unhex(words[1]), stack::CsumState::None);
                self.wire.borrow_mut().rx.push_back(frame);
                stack.napi_schedule(self.dev);
            }
            ("out", "packet", Some(socket), [dev, protocol, addr, data]) => {
                let protocol = u16::from_str_radix(protocol, 16).unwrap();
                let mut mac = [0; 6];
                mac.copy_from_slice(&unhex(addr));
                let to = SockAddrLl::to(self.device(dev), protocol, mac);
                self.stack
                    .packet_send_to(socket, Some(&to), &unhex(data), 0)
                    .unwrap();
            }
            ("out", _, Some(socket), [addr, data]) => {
                let addr: IpAddr = addr.parse().unwrap();
                stack
                    .raw_send_to(socket, Some(addr), IfIndex::NONE, &unhex(data), 0)
                    .unwrap();
            }
            _ => panic!("{line}"),
        }
        while self.stack.net_rx_action(0) {}
        self.drain();
    }

    fn drain(&mut self) {
        for (name, kind, socket) in &self.sockets {
            if kind == "packet" {
                while let Some(frame) = self.stack.packet_recv_from(*socket) {
                    self.seen
                        .push(format!("{name} {}", packet_line(&self.stack, &frame)));
                }
            } else {
                while let Some(datagram) = self.stack.raw_recv_from(*socket) {
                    self.seen.push(format!("{name} {}", raw_line(&datagram)));
                }
            }
        }
    }
}

fn packet_line(stack: &Stack, frame: &PacketFrame) -> String {
    let kind = match frame.addr.pkttype {
        PktType::Host => "host",
        PktType::Broadcast => "broadcast",
        PktType::Multicast => "multicast",
        PktType::OtherHost => "otherhost",
        PktType::Outgoing => "outgoing",
    };
    let vlan = frame.vlan.map_or_else(
        || "-".to_owned(),
        |vlan| format!("{:04x}:{:04x}", vlan.proto, vlan.tci),
    );
    let dev = stack.device_name(frame.addr.ifindex).unwrap_or("?");
    let (protocol, hatype) = (frame.addr.protocol, frame.addr.hatype);
    let (addr, data) = (hex(&frame.addr.addr), hex(frame.payload()));
    format!("{dev} {kind} {protocol:04x} {hatype} {vlan} {addr} {data}")
}

fn raw_line(datagram: &Datagram) -> String {
    format!("{} {}", datagram.src.ip(), hex(datagram.payload()))
}
