//! Hash of received packets (virtio 5.1.6.4.3) and the choice of a queue by it (5.1.6.5.7).

use super::parse::{Packet, TCP};

/// Longest key in bytes: what the longest input, two IPv6 addresses and two ports, can use.
pub const MAX_KEY: usize = 40;
/// Most entries of the indirection table.
pub const MAX_TABLE: usize = 128;

/// VIRTIO_NET_HASH_TYPE_*: bit n is reported as n + 1.
pub mod hash_type {
    /// Addresses of any IPv4 packet.
    pub const IPV4: u32 = 1 << 0;
    /// Addresses and ports of TCP over IPv4.
    pub const TCPV4: u32 = 1 << 1;
    /// Addresses and ports of UDP over IPv4.
    pub const UDPV4: u32 = 1 << 2;
    /// Addresses of any IPv6 packet.
    pub const IPV6: u32 = 1 << 3;
    /// Addresses and ports of TCP over IPv6.
    pub const TCPV6: u32 = 1 << 4;
    /// Addresses and ports of UDP over IPv6.
    pub const UDPV6: u32 = 1 << 5;
    /// As IPV6 with the addresses of mobile IPv6, when there are extension headers.
    pub const IP_EX: u32 = 1 << 6;
    /// As TCPV6 with the addresses of mobile IPv6.
    pub const TCP_EX: u32 = 1 << 7;
    /// As UDPV6 with the addresses of mobile IPv6.
    pub const UDP_EX: u32 = 1 << 8;
    /// All of them.
    pub const SUPPORTED: u32 = 0x1ff;
}

/// The key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; MAX_KEY]);

impl Default for Key {
    fn default() -> Self {
        Self([0; MAX_KEY])
    }
}

impl Key {
    /// A key of up to [`MAX_KEY`] bytes; what is missing counts as zero.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = [0; MAX_KEY];
        key.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Toeplitz hash: for each bit of the input that is 1, the 32 bits of the key that begin there.
    pub fn toeplitz(&self, input: impl Iterator<Item = u8>) -> u32 {
        let mut rest = self.0.iter();
        // The upper half of the window is what belongs to the next bit.
        let mut window = rest
            .by_ref()
            .take(8)
            .fold(0u64, |w, b| w << 8 | u64::from(*b));
        let mut hash = 0;
        for byte in input {
            for bit in (0..8).rev() {
                if byte >> bit & 1 == 1 {
                    hash ^= (window >> 32) as u32;
                }
                window <<= 1;
            }
            window |= u64::from(rest.next().copied().unwrap_or(0));
        }
        hash
    }
}

/// A hash and what it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash {
    pub value: u32,
    /// VIRTIO_NET_HASH_REPORT_*.
    pub report: u16,
}

/// The hash of a packet with `types` enabled; `None` when it is not of those.
pub(super) fn hash(frame: &[u8], packet: &Packet, key: &Key, types: u32) -> Option<Hash> {
    use hash_type::{IP_EX, IPV4, IPV6, TCP_EX, TCPV4, TCPV6, UDP_EX, UDPV4, UDPV6};
    let with_ports = packet.has_ports();
    let tcp = packet.protocol == TCP;
    // Which of three types fits: TCP, else UDP, else the addresses alone.
    let choose = |of_tcp: u32, of_udp: u32, of_ip: u32| {
        let of_transport = if tcp { of_tcp } else { of_udp };
        if with_ports && types & of_transport != 0 {
            Some((of_transport, true))
        } else if types & of_ip != 0 {
            Some((of_ip, false))
        } else {
            None
        }
    };
    let extended = if packet.extensions {
        choose(TCP_EX, UDP_EX, IP_EX)
    } else {
        None
    };
    let [mut source, mut destination] = packet.addresses();
    let chosen = if extended.is_some() {
        source = packet.home_address.unwrap_or(source);
        destination = packet.routing_address.unwrap_or(destination);
        extended
    } else if packet.ipv6 {
        choose(TCPV6, UDPV6, IPV6)
    } else {
        choose(TCPV4, UDPV4, IPV4)
    };
    let (hash_type, ports) = chosen?;
    let len = packet.address_len();
    let part = |at: usize, len: usize| frame.get(at..at + len).unwrap_or_default().iter().copied();
    let input = part(source, len)
        .chain(part(destination, len))
        .chain(part(packet.l4, if ports { 4 } else { 0 }));
    Some(Hash {
        value: key.toeplitz(input),
        report: hash_type.trailing_zeros() as u16 + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rss_vectors::{KEY, VECTORS};
    use std::net::{IpAddr, SocketAddr};

    fn octets(ip: IpAddr) -> Vec<u8> {
        match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        }
    }

    fn frame(destination: SocketAddr, source: SocketAddr, protocol: u8) -> Vec<u8> {
        let mut frame = vec![0; 12];
        if source.is_ipv6() {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, protocol, 64]);
        } else {
            frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
        }
        frame.extend(octets(source.ip()));
        frame.extend(octets(destination.ip()));
        frame.extend(source.port().to_be_bytes());
        frame.extend(destination.port().to_be_bytes());
        frame.extend([0; 16]);
        frame
    }

    // shows (model): 5.1.6.4.3.2-1, 5.1.6.4.3.3-1, 5.1.6.4.4-1
    #[test]
    fn published_vectors() {
        let key = Key::new(&KEY).unwrap();
        for (destination, source, addresses, ports) in VECTORS {
            let (destination, source) = (destination.parse().unwrap(), source.parse().unwrap());
            let frame = frame(destination, source, TCP);
            let packet = Packet::parse(&frame, true).unwrap();
            let base: u16 = if packet.ipv6 { 3 } else { 0 };
            let hash = |types| hash(&frame, &packet, &key, types);
            let report = |kind: u16, value| {
                let report = base + kind;
                Some(Hash { value, report })
            };
            assert_eq!(hash(hash_type::SUPPORTED), report(2, ports));
            assert_eq!(
                hash(hash_type::IPV4 | hash_type::IPV6),
                report(1, addresses)
            );
            let udp_only = hash_type::UDPV4 | hash_type::UDPV6;
            assert_eq!(hash(udp_only), None);
        }
    }

    // shows (model): 5.1.6.4.3.2-1
    #[test]
    fn other_packets_have_their_addresses_alone() {
        let key = Key::new(&KEY).unwrap();
        let (to, from) = (VECTORS[0].0.parse().unwrap(), VECTORS[0].1.parse().unwrap());
        let icmp = frame(to, from, 1);
        let packet = Packet::parse(&icmp, true).unwrap();
        let found = hash(&icmp, &packet, &key, hash_type::SUPPORTED).unwrap();
        assert_eq!((found.value, found.report), (VECTORS[0].2, 1));
        let mut fragment = frame(to, from, TCP);
        fragment[20] = 0x20;
        let packet = Packet::parse(&fragment, true).unwrap();
        let found = hash(&fragment, &packet, &key, hash_type::SUPPORTED).unwrap();
        assert_eq!((found.value, found.report), (VECTORS[0].2, 1));
    }

    /// 5.1.6.4.3.4: mobile IPv6's addresses stand in for the header's.
    // shows (model): 5.1.6.4.3.4-1
    #[test]
    fn home_and_routing_addresses() {
        let key = Key::new(&KEY).unwrap();
        let (to, from): (SocketAddr, SocketAddr) =
            (VECTORS[5].0.parse().unwrap(), VECTORS[5].1.parse().unwrap());
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24 + 24 + 20, 60, 64]);
        frame.extend([0x77; 32]);
        frame.extend([43, 2, 1, 2, 0, 0, 0xc9, 16]);
        frame.extend(octets(from.ip()));
        frame.extend([TCP, 2, 2, 1, 0, 0, 0, 0]);
        frame.extend(octets(to.ip()));
        frame.extend(from.port().to_be_bytes());
        frame.extend(to.port().to_be_bytes());
        frame.extend([0; 16]);
        let packet = Packet::parse(&frame, true).unwrap();
        let found = |types| hash(&frame, &packet, &key, types);
        let report = |value, report| Some(Hash { value, report });
        assert_eq!(found(hash_type::SUPPORTED), report(VECTORS[5].3, 8));
        assert_eq!(found(hash_type::IP_EX), report(VECTORS[5].2, 7));
        // Without the types for extension headers they are only skipped.
        let plain = found(hash_type::TCPV6).unwrap();
        assert!(plain.report == 5 && plain.value != VECTORS[5].3);
    }

    #[test]
    fn keys_may_be_shorter_not_longer() {
        assert!(Key::new(&[0; 41]).is_none());
        let short = Key::new(&KEY[..8]).unwrap();
        let mut padded = [0; 40];
        padded[..8].copy_from_slice(&KEY[..8]);
        assert_eq!(Some(short), Key::new(&padded));
    }
}
