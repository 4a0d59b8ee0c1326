//! ICMP and ICMPv6 messages about other packets: RELATED to the connection of the packet that they quote.

use super::conn::{CtInfo, CtZone, NfCt};
use super::table::Conntrack;
use super::tuple::{Dir, L4, Tuple, addresses};
use crate::hook::{Family, HookState};
use crate::icmp::{ICMP_HLEN, NR_ICMP_TYPES, icmp_is_err};
use crate::ipv4::IPPROTO_ICMP;
use crate::ipv6::IPPROTO_ICMPV6;
use crate::skb::SkBuff;

/// ICMPv6 messages that are not tracked: multicast listener (130–132, 143) and neighbour discovery (133–136).
fn is_untracked(kind: u8) -> bool {
    matches!(kind, 130..=136 | 143)
}

impl Conntrack {
    /// `nf_conntrack_handle_icmp()`. `false`: INVALID. An error gets its reference; a query has none afterwards and goes on.
    pub(super) fn handle_icmp(
        &mut self,
        skb: &mut SkBuff,
        state: &HookState,
        l4: L4,
        zone: CtZone,
    ) -> bool {
        let family = match l4.protocol {
            IPPROTO_ICMP => Family::Ipv4,
            _ => Family::Ipv6,
        };
        if family != state.family {
            return true; // ICMP over IPv6 or the other way round; the tracker refuses it
        }
        let header = skb
            .data()
            .get(l4.offset..)
            .and_then(|h| h.first_chunk::<ICMP_HLEN>());
        let Some(&[kind, ..]) = header else {
            return false;
        };
        if !self.checksum_ok(skb, state, l4) {
            return false;
        }
        let error = match l4.protocol {
            IPPROTO_ICMPV6 if is_untracked(kind) => {
                skb.nfct = Some(NfCt::UNTRACKED);
                return true;
            }
            IPPROTO_ICMPV6 => kind < 128,
            _ if kind > NR_ICMP_TYPES => return false,
            _ => icmp_is_err(kind),
        };
        if !error {
            return true;
        }
        match self.inet_error(skb, state, l4, zone) {
            Some(nfct) => {
                skb.nfct = Some(nfct);
                true
            }
            None => false,
        }
    }

    /// `nf_conntrack_inet_error()`: the connection of the quoted packet. `None`: there is none, or the error goes to somebody else than
    /// who sent that packet.
    fn inet_error(&self, skb: &SkBuff, state: &HookState, l4: L4, zone: CtZone) -> Option<NfCt> {
        let packet = skb.data();
        let (_, outer_dst) = addresses(packet, state.family)?;
        let quoted = packet.get(l4.offset + ICMP_HLEN..)?;
        let inner = Tuple::of(quoted, state.family, L4::of(quoted, state.family)?)?;
        // The quoted packet went the other way.
        let (id, dir) = self.find(&inner.invert()?, zone, state.now)?;
        if self.get(id)?.tuple(dir).dst != outer_dst {
            return None;
        }
        let info = match dir {
            Dir::Original => CtInfo::Related,
            Dir::Reply => CtInfo::RelatedReply,
        };
        Some(NfCt { id, info })
    }
}
