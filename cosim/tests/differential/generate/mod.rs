//! Random cases.

mod config;
mod packets;
mod rules;

use std::net::{IpAddr, Ipv6Addr};

pub use config::SETTINGS;

use super::case::{Case, HOST_PAIRS};

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True in `n` of 100 cases.
    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    /// One of them.
    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// Ports of all that is sent first.
pub const PORTS: [u16; 6] = [9, 53, 80, 99, 8080, 40000];

/// Which IP a case speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    V4,
    V6,
    Both,
}

impl Speaks {
    /// Of one packet, or one address in a rule.
    fn v6(self, r: &mut Random) -> bool {
        match self {
            Speaks::V4 => false,
            Speaks::V6 => true,
            Speaks::Both => r.percent(50),
        }
    }
}

/// Two hosts on each side. A kernel limits the errors that one host is sent about routes, so every case has hosts of its own.
#[derive(Clone, Copy)]
struct Hosts(u8);

impl Hosts {
    fn new(seed: u64) -> Self {
        Self(2 + 2 * (seed % HOST_PAIRS) as u8)
    }

    /// Host 0 or 1 of side 0 or 1.
    fn addr(self, v6: bool, side: usize, host: usize) -> IpAddr {
        Self::at(v6, side as u8 + 1, self.0 + host as u8)
    }

    /// A host of network `net`.
    fn at(v6: bool, net: u8, host: u8) -> IpAddr {
        match v6 {
            false => [10, 0, net, host].into(),
            true => Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into()).into(),
        }
    }

    fn network(v6: bool, net: u8) -> String {
        match v6 {
            false => format!("10.0.{net}.0/24"),
            true => format!("fd00:{net}::/64"),
        }
    }

    fn any(self, r: &mut Random, v6: bool) -> (usize, IpAddr) {
        let side = r.below(2);
        (side, self.addr(v6, side, r.below(2)))
    }
}

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut r = Random(seed);
    let hosts = Hosts::new(seed);
    let speaks = match r.below(10) {
        0..6 => Speaks::V4,
        6..9 => Speaks::V6,
        _ => Speaks::Both,
    };
    let (chains, sets) = rules::chains(&mut r, hosts, speaks);
    let config = config::lines(&mut r, hosts, speaks);
    let packets = packets::packets(&mut r, hosts, speaks);
    Case {
        seed,
        rules: String::new(),
        chains,
        sets,
        config,
        packets,
    }
}
