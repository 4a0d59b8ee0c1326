//! IGMP (RFC 3376), as a host hears it that is in no group but 224.0.0.1, of which nobody is told.

use crate::drop_reason::DropReason;
use crate::skb::SkBuff;
use crate::stack::Stack;
use crate::trace::Consume;

/// Protocol number.
pub(crate) const IPPROTO_IGMP: u8 = 2;
/// Membership query.
const MEMBERSHIP_QUERY: u8 = 0x11;
/// Length of the messages of versions 1 and 2.
const IGMP_HLEN: usize = 8;
/// Least length of a query of version 3.
const IGMPV3_QUERY_HLEN: usize = 12;

impl Stack {
    /// `igmp_rcv()`: data at the IGMP header.
    pub(crate) fn igmp_rcv(&mut self, mut skb: SkBuff) {
        skb.skb_linearize();
        let whole = skb.len() >= IGMP_HLEN && skb.skb_checksum_validate(0);
        let query = skb.data().first() == Some(&MEMBERSHIP_QUERY)
            && (skb.len() == IGMP_HLEN || skb.len() >= IGMPV3_QUERY_HLEN);
        match whole && query {
            true => self.consume_skb(skb, Consume::Icmp),
            // What others report concerns who is in their groups.
            false => self.kfree_skb(skb, DropReason::NotSpecified),
        }
    }
}
