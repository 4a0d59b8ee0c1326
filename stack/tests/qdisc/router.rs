//! The router of the recordings: `eth_c` (10.0.1.1/24) and `eth_s` (10.0.2.1/24), and a clock.

use crate::common::Wire;
use etherparse::PacketBuilder;
use stack::{CsumState, IfIndex, NetFeatures, Ps, Stack, StackConfig};
use std::cell::RefCell;
use std::rc::Rc;

/// A frame that left, and when.
pub struct Departure {
    pub at: Ps,
    pub frame: Vec<u8>,
}

impl Departure {
    /// The UDP destination port.
    pub fn dport(&self) -> u16 {
        u16::from_be_bytes([self.frame[36], self.frame[37]])
    }
}

pub struct Router {
    pub stack: Stack,
    pub eth_c: IfIndex,
    pub eth_s: IfIndex,
    pub wire_c: Rc<RefCell<Wire>>,
    pub wire_s: Rc<RefCell<Wire>>,
    pub now: Ps,
    /// What left through `eth_s`.
    pub departures: Vec<Departure>,
}

impl Router {
    pub fn new() -> Self {
        let mut stack = Stack::new(StackConfig {
            ip_forward: true,
            ipv6: false,
            ..StackConfig::default()
        });
        let mut device = |name: &str, net: u8| {
            let wire = Wire::new([2, 0, 0, 0, net, 1]);
            wire.borrow_mut().features = NetFeatures {
                hw_csum: true,
                rx_csum: true,
                ..NetFeatures::default()
            };
            let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
            let cidr = format!("10.0.{net}.1/24").parse().unwrap();
            stack.add_addr(dev, cidr).unwrap();
            let neighbour = format!("10.0.{net}.2").parse().unwrap();
            stack.add_neighbour(dev, neighbour, [2, 0, 0, 0, net, 2]);
            (dev, wire)
        };
        let (eth_c, wire_c) = device("eth_c", 1);
        let (eth_s, wire_s) = device("eth_s", 2);
        Self {
            stack,
            eth_c,
            eth_s,
            wire_c,
            wire_s,
            now: 0,
            departures: Vec::new(),
        }
    }

    /// A line of the recording's preparation.
    pub fn prepare(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ip", ..] => {
                self.stack
                    .ip(line)
                    .unwrap_or_else(|e| panic!("{line}: {e}"));
            }
            _ => {
                self.stack
                    .tc(line)
                    .unwrap_or_else(|e| panic!("{line}: {e}"));
            }
        }
    }

    /// A datagram from `c` to `s` arrives at `at`; what is due before that happens first.
    pub fn arrive(&mut self, at: Ps, dport: u16, payload: usize) {
        self.run_until(at);
        let frame = datagram(dport, payload);
        self.wire_c
            .borrow_mut()
            .rx
            .push_back((frame, CsumState::None));
        self.stack.napi_schedule(self.eth_c);
        self.work();
    }

    /// Time passes, with all timers on the way.
    pub fn run_until(&mut self, until: Ps) {
        while let Some(at) = self.stack.next_timer().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.run_timers(self.now);
            self.work();
        }
        self.now = until;
    }

    /// Softirqs until there are none, then what left.
    pub fn work(&mut self) {
        while self.stack.softirq_pending() {
            self.stack.net_rx_action(self.now);
        }
        let at = self.now;
        let sent = std::mem::take(&mut self.wire_s.borrow_mut().tx);
        self.departures
            .extend(sent.into_iter().map(|frame| Departure { at, frame }));
    }

    /// Every packet has ended exactly once or is waiting somewhere.
    pub fn assert_balanced(&self) {
        let s = self.stack.stats();
        let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
        assert_eq!(s.received + s.built, ended, "{s:?}");
    }
}

/// A frame from `c` to port `dport` of `s`.
pub fn datagram(dport: u16, payload: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], [2, 0, 0, 0, 1, 1])
        .ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64)
        .udp(40_000, dport)
        .write(&mut frame, &vec![0x5a; payload])
        .unwrap();
    frame
}
