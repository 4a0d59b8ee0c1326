//! Hashes of a packet.

use super::Packet;
use crate::hash::jhash;
use crate::hook::Family;
use crate::skb::SkBuff;

/// `__skb_get_hash_symmetric()`: of addresses and ports, the same in both directions. Linux's has a random key, so only this is told of it.
pub(super) fn symmetric(skb: &SkBuff, packet: &Packet, family: Family) -> u32 {
    let bytes = skb.network_bytes();
    let (saddr, daddr) = match family {
        Family::Ipv6 => (bytes.get(8..24), bytes.get(24..40)),
        _ => (bytes.get(12..16), bytes.get(16..20)),
    };
    let (Some(saddr), Some(daddr)) = (saddr, daddr) else {
        return 0;
    };
    let ports = match packet.l4proto {
        Some(6 | 17 | 132 | 136) if !packet.later_fragment => {
            bytes.get(packet.thoff..packet.thoff + 4)
        }
        _ => None,
    };
    let (sport, dport) = ports.map_or((&[][..], &[][..]), |p| p.split_at(2));
    // The smaller end first.
    let (first, second) = if (saddr, sport) <= (daddr, dport) {
        ((saddr, sport), (daddr, dport))
    } else {
        ((daddr, dport), (saddr, sport))
    };
    let mut key = [0; 40];
    let mut len = 0;
    for part in [first.0, first.1, second.0, second.1] {
        key[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    jhash(&key[..len], u32::from(packet.l4proto.unwrap_or(0)))
}
