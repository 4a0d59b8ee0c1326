//! Which packets belong to one flow: the hash over addresses, protocol and ports.

use crate::napi::{ETH_P_IP, ETH_P_IPV6};
use crate::skb::SkBuff;

/// Offset of the protocol in an IPv4 header, and of the addresses.
const IPV4: (usize, usize) = (9, 12);
/// The same in an IPv6 header.
const IPV6: (usize, usize) = (6, 8);

/// `skb_get_hash()`: the hash that the device reported, or one of the packet's own that is kept from then on. `seed`: the host's secret.
/// Never 0 for IP.
pub(crate) fn skb_get_hash(skb: &mut SkBuff, seed: u64) -> u32 {
    if skb.hash == 0 {
        skb.hash = flow_hash(skb, seed);
    }
    skb.hash
}

/// `reciprocal_scale()`: maps `value` from 0…2³²−1 to 0…`range`−1.
pub(crate) fn reciprocal_scale(value: u32, range: u32) -> u32 {
    ((u64::from(value) * u64::from(range)) >> 32) as u32
}

/// `__skb_get_hash()`: addresses, protocol, and ports of TCP, UDP, UDP-Lite, DCCP and SCTP when the packet is not a fragment.
fn flow_hash(skb: &SkBuff, seed: u64) -> u32 {
    let header = skb.network_bytes();
    let mut hash = Mixer(seed ^ u64::from(skb.protocol));
    match skb.protocol {
        ETH_P_IP => {
            let Some((base, _)) = header.split_first_chunk::<20>() else {
                return 0;
            };
            let protocol = base[IPV4.0];
            hash.add(&base[IPV4.1..]);
            hash.word(u64::from(protocol));
            let fragment = u16::from_be_bytes([base[6], base[7]]) & 0x3fff != 0;
            let header_len = usize::from(base[0] & 0xf) * 4;
            hash.ports(protocol, fragment, header.get(header_len..));
        }
        ETH_P_IPV6 => {
            let Some((base, rest)) = header.split_first_chunk::<40>() else {
                return 0;
            };
            let protocol = base[IPV6.0];
            hash.add(&base[IPV6.1..]);
            hash.word(u64::from(protocol));
            hash.ports(protocol, false, Some(rest));
        }
        _ => hash.add(skb.mac_bytes().get(..12).unwrap_or_default()),
    }
    match hash.finish() {
        0 => 1,
        value => value,
    }
}

/// Multiply-and-fold over 64-bit words: fast, keyed, and the same on every machine.
struct Mixer(u64);

/// 2⁶⁴ divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mixer {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        let folded = product as u64 ^ (product >> 64) as u64;
        self.0 = folded.wrapping_add(MULTIPLIER);
    }

    fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn ports(&mut self, protocol: u8, fragment: bool, transport: Option<&[u8]>) {
        const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
        let ports = transport.and_then(|t| t.first_chunk::<4>());
        if let Some(ports) = ports.filter(|_| !fragment && WITH_PORTS.contains(&protocol)) {
            self.word(u64::from(u32::from_be_bytes(*ports)));
        }
    }

    fn finish(mut self) -> u32 {
        self.word(0);
        (self.0 >> 32) as u32
    }
}
