//! Explicit congestion notification in the IP header (RFC 3168, include/net/inet_ecn.h).

use crate::checksum;
use crate::napi::{ETH_P_IP, ETH_P_IPV6};
use crate::skb::SkBuff;

/// The two ECN bits of the type of service.
const INET_ECN_MASK: u8 = 3;

/// `INET_ECN_set_ce()`: marks the packet as having met congestion. `false`: its sender does not know ECN, or it is no IP packet, and it is
/// unchanged; `true` also when it was marked already.
pub(crate) fn inet_ecn_set_ce(skb: &mut SkBuff) -> bool {
    let protocol = skb.protocol;
    let Some(header) = network_header_mut(skb) else {
        return false;
    };
    match protocol {
        ETH_P_IP => set_ce_v4(header),
        ETH_P_IPV6 => set_ce_v6(header),
        _ => false,
    }
}

fn network_header_mut(skb: &mut SkBuff) -> Option<&mut [u8]> {
    let offset = usize::try_from(skb.network_offset()).ok()?;
    skb.data_mut().get_mut(offset..)
}

fn set_ce_v4(header: &mut [u8]) -> bool {
    let Some([_, tos, .., check1, check0]) = header.first_chunk_mut::<12>() else {
        return false;
    };
    match *tos & INET_ECN_MASK {
        0 => return false,
        INET_ECN_MASK => return true,
        _ => {}
    }
    let old = u16::from(*tos);
    *tos |= INET_ECN_MASK;
    let sum = u16::from_be_bytes([*check1, *check0]);
    let sum = checksum::replace16(sum, old, u16::from(*tos));
    [*check1, *check0] = sum.to_be_bytes();
    true
}

fn set_ce_v6(header: &mut [u8]) -> bool {
    let Some([_, class_low, ..]) = header.first_chunk_mut::<40>() else {
        return false;
    };
    // The traffic class is between version and flow label: its ECN bits are bits 4 and 5 of the second byte.
    match *class_low >> 4 & INET_ECN_MASK {
        0 => false,
        _ => {
            *class_low |= INET_ECN_MASK << 4;
            true
        }
    }
}
