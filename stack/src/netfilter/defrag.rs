//! Datagrams are put together before connection tracking sees them (`nf_defrag_ipv4.c`, `nf_defrag_ipv6_hooks.c`): only a whole one has
//! ports. On its way out it is cut into pieces like those it came in.

use super::hook::{Family, Hook, HookState, Verdict};
use crate::ipv4::header::Ipv4Header;
use crate::ipv6::{Defragged, find_fragment_header};
use crate::netfilter::conntrack::{CtInfo, NfCt};
use crate::reassembly::FragUser;
use crate::skb::SkBuff;
use crate::stack::Stack;

impl Stack {
    /// `ipv4_conntrack_defrag()`, `ipv6_defrag()`. `None`: it waits for the others, or was refused; it is counted.
    pub(super) fn nf_defrag(&mut self, skb: &mut SkBuff, state: &HookState) -> Option<Verdict> {
        if let Some(nfct) = skb.nfct {
            // IPv6 looks only at what was not seen before (it came back through lo).
            let seen = state.family == Family::Ipv6 && nfct.template_zone().is_none();
            if seen || nfct.info == CtInfo::Untracked {
                return Some(Verdict::Accept);
            }
        }
        let nfct = skb.nfct;
        let user = self.nf_ct_defrag_user(nfct, state.hook);
        let whole = match state.family {
            Family::Ipv4 => {
                if !Ipv4Header::new(skb.data()).is_some_and(|h| h.is_fragment()) {
                    return Some(Verdict::Accept);
                }
                self.ip_defrag(std::mem::take(skb), user)
            }
            _ => {
                let Some((offset, named_at)) = find_fragment_header(skb.data()) else {
                    return Some(Verdict::Accept);
                };
                match self.ip6_defrag(std::mem::take(skb), offset, named_at, user) {
                    Defragged::Whole(whole) => Some(whole),
                    Defragged::Gone => None,
                    Defragged::AsItIs(fragment) => {
                        *skb = fragment;
                        return Some(Verdict::Accept);
                    }
                }
            }
        };
        *skb = whole?;
        skb.nfct = nfct;
        Some(Verdict::Accept)
    }

    /// `nf_ct_defrag_user()`: fragments of different zones are different datagrams, whatever their headers say.
    fn nf_ct_defrag_user(&self, nfct: Option<NfCt>, hook: Hook) -> FragUser {
        let seen = |nfct: NfCt| self.conntrack.get(nfct.id).map(|conn| conn.zone);
        let zone = nfct.and_then(|nfct| {
            let zone = nfct.template_zone().or_else(|| seen(nfct))?;
            Some(zone.id_of(nfct.info.dir()))
        });
        match hook {
            Hook::PreRouting => FragUser::ConntrackIn(zone.unwrap_or(0)),
            _ => FragUser::ConntrackOut(zone.unwrap_or(0)),
        }
    }
}
