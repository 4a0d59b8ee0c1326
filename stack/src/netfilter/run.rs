//! Running a hook's entries over a packet.

use super::hook::{
    Builtin, Callee, Families, Family, Hook, HookId, HookOps, HookState, Next, Verdict, priority,
};
use super::reroute::FlowKey;
use crate::drop_reason::DropReason;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;

/// Network and transport header, as far as NAT changes them.
fn headers(skb: &SkBuff) -> [u8; 64] {
    let mut bytes = [0; 64];
    let packet = skb.network_bytes();
    let len = packet.len().min(bytes.len());
    bytes[..len].copy_from_slice(&packet[..len]);
    bytes
}

impl Stack {
    /// `nf_hook()`: runs the entries of a hook. `false` when the packet ended there; it is counted then, and `skb` is empty.
    #[inline]
    #[must_use = "false: the packet ended there"]
    pub(crate) fn nf_hook(
        &mut self,
        hook: Hook,
        family: Family,
        skb: &mut SkBuff,
        iif: IfIndex,
        oif: IfIndex,
    ) -> bool {
        self.trace(skb, Stage::Hook(hook));
        if self.hooks.is_empty(hook) {
            return true;
        }
        let state = HookState {
            hook,
            family,
            iif: iif.some(),
            oif: oif.some(),
            now: self.now,
        };
        self.nf_hook_slow(skb, &state)
    }

    /// `nf_hook_slow()`. Entries are found by index: each may use the whole stack, and hooks nest (an error that FORWARD rejects with
    /// passes OUTPUT before FORWARD goes on).
    fn nf_hook_slow(&mut self, skb: &mut SkBuff, state: &HookState) -> bool {
        let mut index = 0;
        loop {
            let nfct = skb.nfct;
            let before = (state.hook == Hook::LocalOut).then(|| FlowKey::of(skb, state.family));
            let verdict = match self.hooks.call(index, skb, state) {
                Next::End => return true,
                Next::Skip => Verdict::Accept,
                Next::Done(Verdict::Accept) => match before {
                    Some(before) => self.nf_reroute(skb, state, before),
                    None => Verdict::Accept,
                },
                Next::Done(verdict) => verdict,
                Next::Builtin(builtin) => match self.nf_builtin(builtin, skb, state) {
                    Some(verdict) => verdict,
                    None => return false,
                },
                // Nat chains are on no hook themselves.
                Next::Request(_) => Verdict::Accept,
            };
            if let Verdict::Reject(reject) = verdict {
                self.nf_reject(skb, state, reject);
            }
            match verdict {
                Verdict::Accept => index += 1,
                Verdict::Drop | Verdict::Reject(_) => {
                    let reason = match state.hook {
                        Hook::TcIngress => DropReason::TcIngress,
                        Hook::TcEgress => DropReason::TcEgress,
                        _ => DropReason::NetfilterDrop,
                    };
                    self.kfree_skb(std::mem::take(skb), reason);
                    return false;
                }
                Verdict::Stolen => {
                    // Whoever took the packet took it without its connection, unless that is in the table already.
                    self.conntrack.put(nfct);
                    self.stats.stolen += 1;
                    self.trace(skb, Stage::Stolen);
                    *skb = SkBuff::default();
                    return false;
                }
            }
        }
    }

    /// `None`: the packet is elsewhere now (it waits for other fragments), and counted there.
    fn nf_builtin(
        &mut self,
        builtin: Builtin,
        skb: &mut SkBuff,
        state: &HookState,
    ) -> Option<Verdict> {
        Some(match builtin {
            Builtin::Defrag => return self.nf_defrag(skb, state),
            Builtin::ConntrackIn => {
                let verdict = self.conntrack.nf_conntrack_in(skb, state);
                let info = skb.nfct.map(|nfct| nfct.info);
                self.trace(skb, Stage::Conntrack(info));
                verdict
            }
            Builtin::Nat if self.tracer.is_some() => {
                let before = headers(skb);
                let verdict = self.nf_nat_fn(skb, state);
                if headers(skb) != before {
                    self.trace(skb, Stage::Nat);
                }
                verdict
            }
            Builtin::Nat => self.nf_nat_fn(skb, state),
            Builtin::Nft(chain) => return self.nft_do_chain(chain, skb, state),
            Builtin::Confirm => {
                let verdict = self.conntrack.nf_confirm(skb, state);
                self.nf_ct_rearm();
                verdict
            }
        })
    }

    /// `nf_ct_netns_get()`: somebody needs connection tracking for `family` (IPv4 or IPv6): a `ct` expression, a nat chain, a test. The
    /// first one puts it on the hooks. Each call is taken back by one of [`nf_ct_netns_put`](Self::nf_ct_netns_put).
    pub fn nf_ct_netns_get(&mut self, family: Family) {
        let Some(users) = self.conntrack.users(family) else {
            return;
        };
        *users += 1;
        if *users > 1 {
            return;
        }
        let v6 = family == Family::Ipv6;
        let names = if v6 {
            ["ipv6_conntrack_in", "ipv6_conntrack_local", "ipv6_defrag"]
        } else {
            [
                "ipv4_conntrack_in",
                "ipv4_conntrack_local",
                "ipv4_conntrack_defrag",
            ]
        };
        let (defrag, track, last) = (
            priority::CONNTRACK_DEFRAG,
            priority::CONNTRACK,
            priority::LAST,
        );
        let entries = [
            (Hook::PreRouting, defrag, Builtin::Defrag, names[2]),
            (Hook::LocalOut, defrag, Builtin::Defrag, names[2]),
            (Hook::PreRouting, track, Builtin::ConntrackIn, names[0]),
            (Hook::LocalOut, track, Builtin::ConntrackIn, names[1]),
            (Hook::PostRouting, last, Builtin::Confirm, "nf_confirm"),
            (Hook::LocalIn, last, Builtin::Confirm, "nf_confirm"),
        ];
        for (hook, priority, builtin, name) in entries {
            let id = self.nf_register_builtin(hook, priority, family, builtin, name);
            self.conntrack.hook_ids.push((family, id));
        }
    }

    /// `nf_ct_netns_put()`: the last one who no longer needs it takes connection tracking off the hooks. Entries stay until they expire.
    pub fn nf_ct_netns_put(&mut self, family: Family) {
        let Some(users) = self.conntrack.users(family) else {
            return;
        };
        if *users != 1 {
            *users = users.saturating_sub(1);
            return;
        }
        *users = 0;
        let hooks = &mut self.hooks;
        self.conntrack.hook_ids.retain(|&(of, id)| {
            if of == family {
                hooks.unregister(id);
            }
            of != family
        });
    }

    pub(super) fn nf_register_builtin(
        &mut self,
        hook: Hook,
        priority: i32,
        family: Family,
        builtin: Builtin,
        name: &str,
    ) -> HookId {
        self.hooks.register(HookOps {
            hook,
            priority,
            families: Families::only(family),
            dev: None,
            name,
            callee: Callee::Builtin(builtin),
        })
    }
}
