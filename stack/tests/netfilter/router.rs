//! The router: `c` (10.0.1.1/24, fd00:1::1/64) towards the client, `s` (10.0.2.1/24, fd00:2::1/64) towards the server.

use crate::common::{SEC, Wire};
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};
use stack::{CsumState, Family, IfIndex, Ps, Stack, StackConfig};
use std::cell::RefCell;
use std::net::Ipv6Addr;
use std::rc::Rc;

pub const CLIENT: [u8; 4] = [10, 0, 1, 2];
pub const SERVER: [u8; 4] = [10, 0, 2, 2];

pub struct Router {
    pub stack: Stack,
    pub c: IfIndex,
    pub s: IfIndex,
    pub c_wire: Rc<RefCell<Wire>>,
    pub s_wire: Rc<RefCell<Wire>>,
    pub now: Ps,
}

impl Router {
    pub fn new() -> Self {
        let mut stack = Stack::new(StackConfig {
            ip_forward: true,
            ipv6_forward: true,
            ..StackConfig::default()
        });
        let mut port = |name: &str, net: u8| {
            let wire = Wire::new([2, 0, 0, 0, net, 1]);
            let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
            for cidr in [format!("10.0.{net}.1/24"), format!("fd00:{net}::1/64")] {
                stack.add_addr(dev, cidr.parse().unwrap()).unwrap();
            }
            for peer in [format!("10.0.{net}.2"), format!("fd00:{net}::2")] {
                stack.add_neighbour(dev, peer.parse().unwrap(), [2, 0, 0, 0, net, 2]);
            }
            (dev, wire)
        };
        let ((c, c_wire), (s, s_wire)) = (port("c", 1), port("s", 2));
        stack.nf_ct_netns_get(Family::Ipv4);
        stack.nf_ct_netns_get(Family::Ipv6);
        stack.conntrack_mut().events_on();
        Self {
            stack,
            c,
            s,
            c_wire,
            s_wire,
            now: 0,
        }
    }

    fn receive(&mut self, dev: IfIndex, frame: Vec<u8>) {
        let wire = if dev == self.c {
            &self.c_wire
        } else {
            &self.s_wire
        };
        wire.borrow_mut().rx.push_back((frame, CsumState::None));
        self.stack.napi_schedule(dev);
        while self.stack.net_rx_action(self.now) {}
    }

    /// A frame from the client; what went out to the server.
    pub fn client_sends(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.receive(self.c, frame);
        std::mem::take(&mut self.s_wire.borrow_mut().tx)
    }

    /// A frame from the server; what went out to the client.
    pub fn server_sends(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.receive(self.s, frame);
        std::mem::take(&mut self.c_wire.borrow_mut().tx)
    }

    /// Time passes, with all timers on the way.
    pub fn run_until(&mut self, until: Ps) {
        while let Some(at) = self.stack.next_timer().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.run_timers(self.now);
        }
        self.now = until;
    }

    pub fn wait(&mut self, seconds: u64) {
        self.run_until(self.now + seconds * SEC);
    }

    /// `conntrack -L`.
    pub fn list(&self) -> String {
        self.stack.conntrack().list(self.now)
    }

    /// The lines of `conntrack -E` since the last call.
    pub fn events(&mut self) -> Vec<String> {
        let events = self.stack.conntrack_mut().take_events();
        events.into_iter().map(|e| e.line).collect()
    }
}

fn ether(net: u8) -> PacketBuilderStep<etherparse::Ethernet2Header> {
    PacketBuilder::ethernet2([2, 0, 0, 0, net, 2], [2, 0, 0, 0, net, 1])
}

/// Which side a frame comes from: the third byte of its source address says it.
pub fn udp(src: ([u8; 4], u16), dst: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = ether(src.0[2]).ipv4(src.0, dst.0, 64).udp(src.1, dst.1);
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// A TCP segment with window 1000; `flags` as tcpdump writes them: `S`, `S.`, `.`, `P.`, `F.`, `R`.
pub fn tcp(
    src: ([u8; 4], u16),
    dst: ([u8; 4], u16),
    flags: &str,
    (seq, ack): (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let mut header = TcpHeader::new(src.1, dst.1, seq, 1000);
    header.acknowledgment_number = ack;
    for flag in flags.chars() {
        match flag {
            'S' => header.syn = true,
            'F' => header.fin = true,
            'R' => header.rst = true,
            'P' => header.psh = true,
            'U' => header.urg = true,
            '.' => header.ack = true,
            other => panic!("no TCP flag is written {other}"),
        }
    }
    let mut frame = Vec::new();
    let builder = ether(src.0[2]).ipv4(src.0, dst.0, 64).tcp_header(header);
    builder.write(&mut frame, payload).unwrap();
    frame
}

pub fn echo(src: [u8; 4], dst: [u8; 4], request: bool, id: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let ip = ether(src[2]).ipv4(src, dst, 64);
    let builder = if request {
        ip.icmpv4_echo_request(id, 1)
    } else {
        ip.icmpv4_echo_reply(id, 1)
    };
    builder.write(&mut frame, b"ping").unwrap();
    frame
}

pub fn udp6(src: &str, sport: u16, dst: &str, dport: u16, payload: &[u8]) -> Vec<u8> {
    let (src, dst): (Ipv6Addr, Ipv6Addr) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut frame = Vec::new();
    let builder = ether(src.segments()[1] as u8)
        .ipv6(src.octets(), dst.octets(), 64)
        .udp(sport, dport);
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// Source and destination port of a TCP or UDP frame.
pub fn ports(frame: &[u8]) -> (u16, u16) {
    let at = if frame[12..14] == [0x86, 0xdd] {
        54
    } else {
        34
    };
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    (word(at), word(at + 2))
}

/// Whether the checksums of both layers are right, as an independent implementation computes them.
pub fn checksums_ok(frame: &[u8]) -> bool {
    use etherparse::{InternetSlice, SlicedPacket, TransportSlice};
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(net) = packet.net else { return false };
    let (src, dst) = match &net {
        InternetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            if header.calc_header_checksum() != header.header_checksum {
                return false;
            }
            let (src, dst) = (ip.header().source_addr(), ip.header().destination_addr());
            (src.to_ipv6_mapped(), dst.to_ipv6_mapped())
        }
        InternetSlice::Ipv6(ip) => (ip.header().source_addr(), ip.header().destination_addr()),
        _ => return false,
    };
    let v4 = src.to_ipv4_mapped().zip(dst.to_ipv4_mapped());
    let both = |v4, v6| match v4 {
        Some(check) => check,
        None => v6,
    };
    match packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            let payload = udp.payload();
            let header = udp.to_header();
            let four = v4.map(|(s, d)| {
                header
                    .calc_checksum_ipv4_raw(s.octets(), d.octets(), payload)
                    .unwrap()
            });
            let six = header
                .calc_checksum_ipv6_raw(src.octets(), dst.octets(), payload)
                .unwrap();
            both(four, six) == header.checksum
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let payload = tcp.payload();
            let header = tcp.to_header();
            let four = v4.map(|(s, d)| {
                header
                    .calc_checksum_ipv4_raw(s.octets(), d.octets(), payload)
                    .unwrap()
            });
            let six = header
                .calc_checksum_ipv6_raw(src.octets(), dst.octets(), payload)
                .unwrap();
            both(four, six) == header.checksum
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            icmp.icmp_type().calc_checksum(icmp.payload()) == icmp.checksum()
        }
        Some(TransportSlice::Icmpv6(icmp)) => icmp.is_checksum_valid(src.octets(), dst.octets()),
        _ => false,
    }
}
