//! A packet at a NAT hook (`nf_nat_inet_fn()`, `nf_nat_ipv4_local_fn()`).

use super::manip::{Check, manip_pkt};
use super::{NatFn, NatManip, NatRequest};
use crate::hook::{Callee, Families, Family, Hook, HookId, HookOps, HookState, Verdict, priority};
use crate::ipv4::IPPROTO_TCP;
use crate::netfilter::conntrack::{CtInfo, CtStatus, Dir, NfCt};
use crate::netfilter::hook::{Builtin, Next};
use crate::skb::{CsumState, IfIndex, SkBuff};
use crate::stack::Stack;
use crate::tcp::header::TCP_HLEN;
use crate::udp::UDP_HLEN;

/// What a checksum field of `skb` holds.
pub(super) fn check_of(skb: &SkBuff) -> Check {
    match skb.csum {
        CsumState::Partial { .. } => Check::Partial,
        _ => Check::Whole,
    }
}

impl Stack {
    /// Registers a nat chain: `chain` sees the first packet of each connection at `hook` and may decide what it is translated to. Only
    /// PreRouting, LocalIn, LocalOut and PostRouting have them (`None` elsewhere). `priority` orders nat chains among each other; the block
    /// of them all runs at −100 (destination) or 100 (source). The first chain of a family turns NAT on for it, and connection tracking.
    pub fn nf_nat_register(
        &mut self,
        family: Family,
        hook: Hook,
        priority: i32,
        name: &str,
        chain: NatFn,
    ) -> Option<HookId> {
        let id = self.nf_nat_register_fn(HookOps {
            hook,
            priority,
            families: Families::only(family),
            dev: None,
            name,
            callee: Callee::Nat(chain),
        })?;
        self.nf_ct_netns_get(family);
        Some(id)
    }

    /// `nf_nat_register_fn()`. For base chains connection tracking is turned on by their statements.
    pub(crate) fn nf_nat_register_fn(&mut self, ops: HookOps<'_>) -> Option<HookId> {
        let at = [
            Hook::PreRouting,
            Hook::LocalIn,
            Hook::LocalOut,
            Hook::PostRouting,
        ];
        if !at.contains(&ops.hook) {
            return None;
        }
        let families = ops.families;
        let id = self.hooks.register_nat(ops);
        for family in [Family::Ipv4, Family::Ipv6] {
            if families.contains(family) {
                self.nf_nat_get(family);
            }
        }
        Some(id)
    }

    /// Takes a nat chain out; `false` when it was out already. The last one of a family turns NAT off; connections that are translated
    /// no longer are.
    pub fn nf_nat_unregister(&mut self, id: HookId) -> bool {
        let Some((families, function)) = self.hooks.unregister_nat(id) else {
            return false;
        };
        for family in [Family::Ipv4, Family::Ipv6] {
            if families.contains(family) {
                self.nf_nat_put(family);
                if function {
                    self.nf_ct_netns_put(family);
                }
            }
        }
        true
    }

    fn nf_nat_get(&mut self, family: Family) {
        let users = self.hooks.nat_users(family);
        *users += 1;
        if *users > 1 {
            return;
        }
        let names = match family {
            Family::Ipv6 => [
                "nf_nat_ipv6_in",
                "nf_nat_ipv6_out",
                "nf_nat_ipv6_local_fn",
                "nf_nat_ipv6_fn",
            ],
            _ => [
                "nf_nat_ipv4_pre_routing",
                "nf_nat_ipv4_out",
                "nf_nat_ipv4_local_fn",
                "nf_nat_ipv4_local_in",
            ],
        };
        let entries = [
            (Hook::PreRouting, priority::NAT_DST),
            (Hook::PostRouting, priority::NAT_SRC),
            (Hook::LocalOut, priority::NAT_DST),
            (Hook::LocalIn, priority::NAT_SRC),
        ];
        for ((hook, priority), name) in entries.into_iter().zip(names) {
            let id = self.nf_register_builtin(hook, priority, family, Builtin::Nat, name);
            self.hooks.nat_hook_ids.push((family, id));
        }
    }

    fn nf_nat_put(&mut self, family: Family) {
        let users = self.hooks.nat_users(family);
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.hooks.unregister_nat_hooks(family);
        }
    }

    /// `nf_nat_ipv4_fn()`, `nf_nat_ipv6_fn()`, and at LocalOut what follows a changed destination.
    pub(in crate::netfilter) fn nf_nat_fn(
        &mut self,
        skb: &mut SkBuff,
        state: &HookState,
    ) -> Verdict {
        let Some(nfct) = skb.nfct.filter(|n| self.conntrack.get(n.id).is_some()) else {
            return Verdict::Accept; // INVALID or untracked
        };
        let error = matches!(nfct.info, CtInfo::Related | CtInfo::RelatedReply);
        let verdict = if error && super::icmp::is_icmp(skb, state.family) {
            self.nf_nat_icmp_reply_translation(skb, state, nfct)
        } else {
            self.nf_nat_inet_fn(skb, state, nfct)
        };
        if verdict != Verdict::Accept || state.hook != Hook::LocalOut {
            return verdict;
        }
        let Some(conn) = self.conntrack.get(nfct.id) else {
            return verdict;
        };
        let dir = nfct.info.dir();
        let (ours, theirs) = (conn.tuple(dir), conn.tuple(dir.reverse()));
        if ours.dst == theirs.src {
            return verdict;
        }
        self.ip_route_me_harder(skb, state)
    }

    /// `nf_nat_inet_fn()`.
    fn nf_nat_inet_fn(&mut self, skb: &mut SkBuff, state: &HookState, nfct: NfCt) -> Verdict {
        let manip = NatManip::at(state.hook);
        let first = matches!(
            nfct.info,
            CtInfo::New | CtInfo::Related | CtInfo::RelatedReply
        );
        if first && !self.conntrack.nat_initialized(nfct.id, manip) {
            let mut index = 0;
            loop {
                let verdict = match self.hooks.call_nat(index, skb, state) {
                    Next::End => break,
                    Next::Request(request) => self.nf_nat_request(skb, state, nfct, request),
                    Next::Done(verdict) => verdict,
                    // No rule of a nat chain sends a packet elsewhere.
                    Next::Builtin(Builtin::Nft(chain)) => {
                        let verdict = self.nft_do_chain(chain, skb, state);
                        verdict.unwrap_or(Verdict::Stolen)
                    }
                    Next::Skip | Next::Builtin(_) => Verdict::Accept,
                };
                if verdict != Verdict::Accept {
                    return verdict;
                }
                if self.conntrack.nat_initialized(nfct.id, manip) {
                    return self.nf_nat_packet(skb, state, nfct, manip);
                }
                index += 1;
            }
            self.conntrack.nat_null_binding(nfct.id, manip, state.now);
        } else if self.masquerade_moved(state, nfct) {
            // nf_nat_oif_changed(): its address is of another device now.
            self.conntrack.kill(nfct.id, state.now);
            return Verdict::Drop;
        }
        self.nf_nat_packet(skb, state, nfct, manip)
    }

    fn masquerade_moved(&self, state: &HookState, nfct: NfCt) -> bool {
        state.hook == Hook::PostRouting
            && nfct.info.dir() == Dir::Original
            && self.conntrack.get(nfct.id).is_some_and(|conn| {
                conn.masq_index != IfIndex::NONE && state.oif != Some(conn.masq_index)
            })
    }

    /// Does what a nat statement says. A statement in a chain where it does not belong changes nothing.
    pub(crate) fn nf_nat_request(
        &mut self,
        skb: &SkBuff,
        state: &HookState,
        nfct: NfCt,
        request: NatRequest,
    ) -> Verdict {
        let (range, manip) = match request {
            NatRequest::Snat(range) => (
                range.netmapped(skb, state.family, NatManip::Src),
                NatManip::Src,
            ),
            NatRequest::Dnat(range) => (
                range.netmapped(skb, state.family, NatManip::Dst),
                NatManip::Dst,
            ),
            NatRequest::Masquerade(range) => {
                let original = self.conntrack.get(nfct.id).map(|c| c.original.src);
                // A host without an address (DHCP) does not mean to be translated.
                if original.is_none_or(|src| src.is_unspecified()) {
                    return Verdict::Accept;
                }
                match self.masquerade_source(skb, state) {
                    Some((dev, address)) => {
                        if let Some(conn) = self.conntrack.get_mut(nfct.id) {
                            conn.masq_index = dev;
                        }
                        (range.with_address(address), NatManip::Src)
                    }
                    None => return Verdict::Drop,
                }
            }
            NatRequest::Redirect(range) => match self.redirect_destination(skb, state) {
                Some(address) => (range.with_address(address), NatManip::Dst),
                None => return Verdict::Drop,
            },
        };
        if manip == NatManip::at(state.hook) {
            self.conntrack
                .nat_setup_info(nfct.id, &range, manip, state.now);
        }
        Verdict::Accept
    }

    /// `nf_nat_packet()`: translates the packet as was decided.
    fn nf_nat_packet(
        &mut self,
        skb: &mut SkBuff,
        state: &HookState,
        nfct: NfCt,
        manip: NatManip,
    ) -> Verdict {
        let Some(conn) = self.conntrack.get(nfct.id) else {
            return Verdict::Accept;
        };
        let dir = nfct.info.dir();
        if !conn.status.has(status_bit(manip, dir)) {
            return Verdict::Accept;
        }
        // The packet becomes the inverse of what the other side sees.
        let Some(target) = conn.tuple(dir.reverse()).invert() else {
            return Verdict::Accept;
        };
        let check = check_of(skb);
        if !manip_pkt(skb.data_mut(), state.family, &target, manip, check) {
            return Verdict::Drop;
        }
        skb.forget_csum_complete();
        if let Some(pieces) = &mut skb.pieces {
            pieces.pull(match target.protocol {
                IPPROTO_TCP => TCP_HLEN,
                _ => UDP_HLEN,
            });
        }
        Verdict::Accept
    }
}

/// The status that says whether `manip` changes packets of direction `dir`: for replies it undoes the other one.
pub(super) fn status_bit(manip: NatManip, dir: Dir) -> CtStatus {
    match (manip, dir) {
        (NatManip::Src, Dir::Original) | (NatManip::Dst, Dir::Reply) => CtStatus::SRC_NAT,
        _ => CtStatus::DST_NAT,
    }
}
