//! `ip_defrag()`: IPv4's side of putting datagrams together (RFC 791 2.3, RFC 815); the queue itself is [`crate::reassembly`].

use super::header::{IP_DF, IP_MF, Ipv4Header};
use super::output::rewrite_lengths;
use crate::drop_reason::DropReason;
use crate::reassembly::{FragKey, FragUser, Fragment, Inserted};
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;

/// Longest datagram, header included.
const IP_MAX_LEN: usize = 65535;

impl Stack {
    /// Keeps a fragment; the whole datagram when it was the last one missing.
    pub(crate) fn ip_defrag(&mut self, mut skb: SkBuff, user: FragUser) -> Option<SkBuff> {
        let Some(header) = Ipv4Header::new(skb.data()) else {
            self.kfree_skb(skb, DropReason::IpInHdr);
            return None;
        };
        let key = FragKey {
            src: header.saddr().into(),
            dst: header.daddr().into(),
            id: u32::from(header.id()),
            protocol: header.protocol(),
            user,
            dev: IfIndex::NONE,
        };
        let (start, more, ecn) = (
            header.offset(),
            header.frag_off() & IP_MF != 0,
            header.tos() & 3,
        );
        let (df, header_len) = (header.frag_off() & IP_DF != 0, header.header_len());
        if skb.pull(header_len).is_none() {
            self.kfree_skb(skb, DropReason::PktTooSmall);
            return None;
        }
        // Only the last fragment may have a length that is no multiple of 8; Linux rounds the others down.
        let len = if more { skb.len() & !7 } else { skb.len() };
        skb.trim(len);
        let end = start + len;
        self.trace(&skb, Stage::DefragQueue);
        let fragment = Fragment {
            start,
            end,
            more,
            ecn,
            header_len,
            dont_fragment: df,
            named_at: 0,
            skb,
        };
        match self.frag_insert(key, fragment) {
            Inserted::Waiting => None,
            Inserted::Complete(fragments, ecn) => self.ip_frag_reasm(fragments, ecn),
        }
    }

    /// `ip_frag_reasm()`: the first fragment's header, then all payloads.
    fn ip_frag_reasm(&mut self, fragments: Vec<Fragment>, ecn: u8) -> Option<SkBuff> {
        let first = fragments.first()?;
        let header_len = first.header_len;
        let len = |f: &Fragment| f.header_len + (f.end - f.start);
        // Who set don't-fragment on the longest one looks for the path's MTU.
        let longest = fragments.iter().map(len).max();
        let df = fragments.iter().filter(|f| f.dont_fragment).map(len).max() == longest;
        let payload: usize = fragments.iter().map(|f| f.skb.len()).sum();
        if header_len + payload > IP_MAX_LEN {
            self.frag_purge(fragments);
            return None;
        }
        let mut whole = self.inet_frag_reasm(fragments)?;
        let packet = whole.data_mut();
        if let Some(tos) = packet.get_mut(1) {
            *tos |= ecn;
        }
        rewrite_lengths(
            packet,
            header_len,
            header_len + payload,
            if df { IP_DF } else { 0 },
        );
        whole.reset_network_header();
        whole.set_transport_header(header_len);
        self.trace(&whole, Stage::Defrag);
        Some(whole)
    }
}
