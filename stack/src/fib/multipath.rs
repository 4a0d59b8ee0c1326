//! Which of several ways a flow takes (`fib_multipath_hash()`, `rt6_multipath_hash()`).

use crate::StackConfig;
use crate::hash::{jhash2, siphash};
use crate::napi::{ETH_P_IP, ETH_P_IPV6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is hashed of a flow (`struct flow_keys`, as far as it takes part here).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKeys {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// Source and destination; 0: none.
    pub ports: (u16, u16),
    pub protocol: u8,
    /// IPv6's, 20 bits.
    pub flow_label: u32,
}

impl FlowKeys {
    /// Nothing but the two addresses.
    pub fn new(src: IpAddr, dst: IpAddr) -> Self {
        Self {
            src,
            dst,
            ports: (0, 0),
            protocol: 0,
            flow_label: 0,
        }
    }

    /// `flow_hash_from_keys_seed()`: the same in both directions. The bytes are those of the kernel's structure from `basic` on: protocol,
    /// flow label, two VLAN tags, key id, ports, ICMP, addresses, padding.
    fn hash(&self, key: u64) -> u32 {
        let mut bytes = [0; 72];
        bytes[2] = self.protocol;
        bytes[4..8].copy_from_slice(&self.flow_label.to_be_bytes());
        // __flow_hash_consistentify() compares as a little-endian machine reads them.
        let low_first = |(a, b): (u16, u16)| match b.swap_bytes() < a.swap_bytes() {
            true => (b, a),
            false => (a, b),
        };
        let ports = low_first(self.ports);
        bytes[28..30].copy_from_slice(&ports.0.to_be_bytes());
        bytes[30..32].copy_from_slice(&ports.1.to_be_bytes());
        let len = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let raw = |a: Ipv4Addr| u32::from_le_bytes(a.octets());
                let (a, b) = if raw(dst) < raw(src) {
                    (dst, src)
                } else {
                    (src, dst)
                };
                bytes[36..40].copy_from_slice(&a.octets());
                bytes[40..44].copy_from_slice(&b.octets());
                48
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let (a, b) = if dst < src { (dst, src) } else { (src, dst) };
                bytes[36..52].copy_from_slice(&a.octets());
                bytes[52..68].copy_from_slice(&b.octets());
                72
            }
            _ => 0,
        };
        match siphash(&bytes[..len], (key, key)) as u32 {
            0 => 1,
            hash => hash,
        }
    }

    /// Only what `fields` asks for, whose bits are those of `fib_multipath_hash_fields`.
    fn masked(&self, fields: u16) -> Self {
        let nobody: IpAddr = match self.src {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let wanted = |bit: u16| fields >> bit & 1 == 1;
        Self {
            src: if wanted(0) { self.src } else { nobody },
            dst: if wanted(1) { self.dst } else { nobody },
            protocol: if wanted(2) { self.protocol } else { 0 },
            flow_label: if wanted(3) { self.flow_label } else { 0 },
            ports: (
                if wanted(4) { self.ports.0 } else { 0 },
                if wanted(5) { self.ports.1 } else { 0 },
            ),
        }
    }
}

/// What the choice is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `fib_multipath_hash_policy`.
    number: u8,
    /// `fib_multipath_hash_fields`.
    fields: u16,
    /// Both halves of the hash's key.
    key: u64,
}

/// Offset of the field in an IPv6 header.
const IPV6_NEXT_HEADER: usize = 6;

/// Bits of `fib_multipath_hash_fields` that are about the packet itself; those about the one inside follow.
const OUTER: u16 = 0x3f;

impl Policy {
    /// What a host's settings say for IPv4 (else IPv6).
    pub fn of(config: &StackConfig, v4: bool) -> Self {
        let (number, fields) = match v4 {
            true => (
                config.fib_multipath_hash_policy,
                config.fib_multipath_hash_fields,
            ),
            false => (
                config.fib_multipath_hash_policy_v6,
                config.fib_multipath_hash_fields_v6,
            ),
        };
        // fib_multipath_hash_construct_key(); without a seed Linux draws a key.
        let key = match config.fib_multipath_hash_seed {
            0 => config.seed ^ 0x9e37_79b9_7f4a_7c15,
            seed => u64::from(seed) << 32 | u64::from(seed),
        };
        Self {
            number,
            fields,
            key,
        }
    }

    /// 31 bits for a flow of which no packet is there: `flow` is all that is known.
    pub fn of_flow(&self, flow: &FlowKeys) -> u32 {
        let v4 = flow.src.is_ipv4();
        let hash = match self.number {
            // IPv6 has flow label and protocol in it, too.
            0 | 2 if v4 => FlowKeys::new(flow.src, flow.dst).hash(self.key),
            0 | 2 => FlowKeys {
                ports: (0, 0),
                ..*flow
            }
            .hash(self.key),
            1 => FlowKeys {
                flow_label: 0,
                ..*flow
            }
            .hash(self.key),
            _ if self.fields & OUTER == 0 => 0,
            _ => flow.masked(self.fields).hash(self.key),
        };
        hash >> 1
    }

    /// 31 bits for a packet that begins with its IP header. `about`: what an ICMP error quotes, if it is one.
    pub fn of_packet(&self, packet: &[u8], about: Option<FlowKeys>) -> u32 {
        let Some((outer, encapsulated)) = dissect(packet, true) else {
            return 0;
        };
        let l3 = || match about.unwrap_or(outer) {
            keys if keys.src.is_ipv4() => FlowKeys::new(keys.src, keys.dst),
            keys => FlowKeys {
                ports: (0, 0),
                // ip6_multipath_l3_keys() does not look behind extension headers.
                protocol: about.map_or(packet[IPV6_NEXT_HEADER], |about| about.protocol),
                ..keys
            },
        };
        let hash = match self.number {
            0 => l3().hash(self.key),
            1 => FlowKeys {
                flow_label: 0,
                ..outer
            }
            .hash(self.key),
            2 => {
                let inner = dissect(packet, false).map_or(outer, |(keys, _)| keys);
                let keys = match inner.src.is_ipv4() {
                    true => FlowKeys::new(inner.src, inner.dst),
                    false => FlowKeys {
                        ports: (0, 0),
                        ..inner
                    },
                };
                keys.hash(self.key)
            }
            _ => {
                let own = match self.fields & OUTER {
                    0 => 0,
                    fields => outer.masked(fields).hash(self.key),
                };
                let inside = match self.fields & !OUTER {
                    0 => 0,
                    fields if encapsulated => dissect(packet, false)
                        .map_or(0, |(inner, _)| inner.masked(fields >> 6).hash(self.key)),
                    _ => 0,
                };
                jhash2(&[own, inside], 0)
            }
        };
        hash >> 1
    }
}

const IPPROTO_IPIP: u8 = 4;
const IPPROTO_IPV6: u8 = 41;
const IPPROTO_GRE: u8 = 47;
/// TCP, UDP, DCCP, ESP (its SPI), SCTP, UDP-Lite.
const WITH_PORTS: [u8; 6] = [6, 17, 33, 50, 132, 136];
/// Headers within headers that are looked into (`MAX_FLOW_DISSECT_HDRS`).
const MAX_HEADERS: usize = 15;

/// `__skb_flow_dissect()`: the flow of the packet itself (`outer`) or of the innermost one in it, and whether there is one in it.
pub(crate) fn dissect(packet: &[u8], outer: bool) -> Option<(FlowKeys, bool)> {
    let mut ethertype = match packet.first()? >> 4 {
        4 => ETH_P_IP,
        6 => ETH_P_IPV6,
        _ => return None,
    };
    let (mut rest, mut encapsulated, mut found) = (packet, false, None);
    for _ in 0..MAX_HEADERS {
        let (mut keys, behind) = match ethertype {
            ETH_P_IP => ipv4(rest),
            ETH_P_IPV6 => ipv6(rest),
            _ => None,
        }
        // What cannot be read leaves what was found before.
        .or_else(|| found.map(|keys| (keys, None)))?;
        let inner = match (keys.protocol, behind) {
            (_, None) => None,
            (IPPROTO_IPIP, Some(behind)) => Some((ETH_P_IP, behind)),
            (IPPROTO_IPV6, Some(behind)) => Some((ETH_P_IPV6, behind)),
            (IPPROTO_GRE, Some(behind)) => gre(behind),
            (protocol, Some(behind)) if WITH_PORTS.contains(&protocol) => {
                if let Some(p) = behind.first_chunk::<4>() {
                    let port = |at| u16::from_be_bytes([p[at], p[at + 1]]);
                    keys.ports = (port(0), port(2));
                }
                None
            }
            _ => None,
        };
        encapsulated |= inner.is_some();
        found = Some(keys);
        match inner {
            Some(next) if !outer => (ethertype, rest) = next,
            _ => break,
        }
    }
    Some((found?, encapsulated))
}

/// Addresses and protocol, and what is behind the header unless it is a fragment.
fn ipv4(packet: &[u8]) -> Option<(FlowKeys, Option<&[u8]>)> {
    let base = packet.first_chunk::<20>()?;
    let header_len = usize::from(base[0] & 0xf) * 4;
    let address = |at: usize| Ipv4Addr::new(base[at], base[at + 1], base[at + 2], base[at + 3]);
    let fragment = u16::from_be_bytes([base[6], base[7]]) & 0x3fff != 0;
    let keys = FlowKeys {
        protocol: base[9],
        ..FlowKeys::new(address(12).into(), address(16).into())
    };
    let behind = packet.get(header_len..).filter(|_| header_len >= 20);
    Some((keys, behind.filter(|_| !fragment)))
}

/// The same of IPv6, behind its extension headers.
fn ipv6(packet: &[u8]) -> Option<(FlowKeys, Option<&[u8]>)> {
    let base = packet.first_chunk::<40>()?;
    let address = |at: usize| {
        let bytes = base[at..at + 16].first_chunk::<16>();
        bytes.map_or(Ipv6Addr::UNSPECIFIED, |bytes| Ipv6Addr::from(*bytes))
    };
    let upper = crate::ipv6::find_upper(packet);
    let label = u32::from_be_bytes([0, base[1] & 0xf, base[2], base[3]]);
    let keys = FlowKeys {
        protocol: upper.as_ref().map_or(base[6], |upper| upper.protocol),
        flow_label: label,
        ..FlowKeys::new(address(8).into(), address(24).into())
    };
    let behind = upper.filter(|upper| !upper.later_fragment);
    Some((keys, behind.and_then(|upper| packet.get(upper.offset..))))
}

/// `__skb_flow_dissect_gre()`, version 0: what is inside, behind checksum, key and sequence number.
fn gre(header: &[u8]) -> Option<(u16, &[u8])> {
    let base = header.first_chunk::<4>()?;
    let flags = u16::from_be_bytes([base[0], base[1]]);
    // Version 0 without routing.
    if flags & 0x4007 != 0 {
        return None;
    }
    let optional = (flags & 0xb000).count_ones() as usize * 4;
    let inside = header.get(4 + optional..)?;
    Some((u16::from_be_bytes([base[2], base[3]]), inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(number: u8, fields: u16, seed: u32) -> Policy {
        let config = StackConfig {
            fib_multipath_hash_policy: number,
            fib_multipath_hash_policy_v6: number,
            fib_multipath_hash_fields: fields,
            fib_multipath_hash_fields_v6: fields,
            fib_multipath_hash_seed: seed,
            ..StackConfig::default()
        };
        Policy::of(&config, true)
    }

    fn flow(src: &str, dst: &str, ports: (u16, u16)) -> FlowKeys {
        FlowKeys {
            ports,
            protocol: 17,
            ..FlowKeys::new(src.parse().unwrap(), dst.parse().unwrap())
        }
    }

    #[test]
    fn both_directions_are_one_flow_and_flows_are_spread() {
        for (a, b) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let policy = policy(1, 7, 5);
            let there = policy.of_flow(&flow(a, b, (1000, 53)));
            assert_eq!(policy.of_flow(&flow(b, a, (53, 1000))), there);
            let low = (0..1000u16).filter(|&p| policy.of_flow(&flow(a, b, (p, 53))) < 1 << 30);
            let low = low.count();
            assert!((430..570).contains(&low), "{low} of 1000 in the lower half");
        }
    }

    /// What `ip route get DST from 10.0.3.1 ipproto udp sport … dport …` said of a route with two ways of one weight: whether the first was
    /// taken. Linux 6.18, `fib_multipath_hash_seed=12345`.
    #[test]
    fn the_kernels_answers() {
        let policy = policy(1, 7, 12345);
        for (dst, ports, first) in [
            ("10.0.9.217", (8806, 37304), true),
            ("10.0.9.17", (52578, 50055), true),
            ("10.0.9.127", (16717, 7728), false),
            ("10.0.9.121", (49871, 29458), true),
            ("10.0.9.202", (42703, 24879), false),
            ("10.0.9.125", (13760, 6152), true),
            ("10.0.9.214", (1858, 58545), false),
            ("10.0.9.156", (25547, 28362), false),
            ("10.0.9.1", (49957, 50277), true),
            ("10.0.9.69", (45603, 29189), false),
            ("10.0.9.59", (47287, 52549), true),
            ("10.0.9.27", (38742, 61950), true),
            ("10.0.9.8", (59076, 20804), false),
            ("10.0.9.167", (1463, 1668), true),
            ("10.0.9.241", (35483, 604), false),
            ("10.0.9.176", (57753, 24983), false),
        ] {
            let hash = policy.of_flow(&flow("10.0.3.1", dst, ports));
            assert_eq!(hash < 1 << 30, first, "{dst} {ports:?}");
        }
        // Fields 0x22 with 0xdeadbeef: destination and its port, of packets. Weights 3 and 2.
        let policy = self::policy(3, 0x22, 0xdead_beef);
        for (port, first) in [(9, true), (10, false), (11, false), (12, false), (13, true)] {
            let mut packet = vec![
                0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 1, 2, 10, 0, 9, 9,
            ];
            packet.extend([3, 232, 0, port, 0, 9, 0, 0, b'x']);
            let hash = u64::from(policy.of_packet(&packet, None));
            assert_eq!(hash < (3 << 31) / 5, first, "port {port}");
        }
    }

    #[test]
    fn each_policy_looks_at_its_own() {
        let (one, other) = ((1000, 53), (1001, 53));
        for (a, b) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let same = |number, fields| {
                let policy = policy(number, fields, 5);
                policy.of_flow(&flow(a, b, one)) == policy.of_flow(&flow(a, b, other))
            };
            assert!(same(0, 7) && same(2, 7) && !same(1, 7));
            assert!(same(3, 7) && same(3, 0x20) && !same(3, 0x10));
        }
    }

    #[test]
    fn the_innermost_packet() {
        let inner: Vec<u8> = [
            vec![
                0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
            ],
            vec![0, 7, 0, 9, 0, 8, 0, 0],
        ]
        .concat();
        let around = |protocol: u8, between: &[u8]| {
            let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
            packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            packet.extend(between);
            packet.extend(&inner);
            packet
        };
        let inside = flow("1.1.1.1", "2.2.2.2", (7, 9));
        for packet in [
            around(4, &[]),
            around(47, &[0, 0, 8, 0]),
            around(47, &[0x20, 0, 8, 0, 0, 0, 0, 5]),
        ] {
            let (outer, encapsulated) = dissect(&packet, true).unwrap();
            assert_eq!(outer.src, IpAddr::from([10, 0, 0, 1]));
            assert!(encapsulated);
            assert_eq!(dissect(&packet, false), Some((inside, true)));
        }
    }
}
