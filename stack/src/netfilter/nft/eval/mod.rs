//! The engine (`net/netfilter/nf_tables_core.c`).

mod hash;
mod load;
mod nat;
mod node;
mod op;
mod packet;
mod rewrite;
mod update;

pub(crate) use packet::{Packet, view};

use super::Nft;
use super::host::NftHost;
use super::model::{Policy, TableFamily};
use super::program::Op;
use super::ruleset::{Chain, Ruleset};
use super::trace::{NftEvent, NftPlace};
use super::verdict::{NftVerdict, Verdict};
use crate::hook::{Family, HookState};
use crate::skb::SkBuff;
use op::{Env, Step};

/// `NFT_JUMP_STACK_SIZE`
pub(crate) const JUMP_STACK_SIZE: usize = 16;

/// Number of a base chain, for [`Nft::do_chain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NftChainId {
    pub(crate) slot: u32,
    /// Another chain may be in the slot later.
    pub(crate) serial: u64,
}

/// What a base chain is run with.
pub struct NftCtx<'a> {
    /// The packet.
    pub skb: &'a mut SkBuff,
    /// The hook that it is at.
    pub state: &'a HookState,
    /// Everything else.
    pub host: &'a mut dyn NftHost,
}

impl Nft {
    /// `nft_do_chain()`: runs the base chain `chain` over a packet.
    ///
    /// The number comes from [`Nft::base_chains`]. A chain that is gone accepts. Rejected packets are left to the caller, who tells the
    /// sender after this call.
    pub fn do_chain(&mut self, chain: NftChainId, ctx: &mut NftCtx<'_>) -> NftVerdict {
        let Some(base) = self
            .rules
            .chains
            .get(chain.slot)
            .filter(|c| c.serial == chain.serial)
        else {
            return NftVerdict::Accept;
        };
        let policy = base.base.as_ref().map_or(Policy::Accept, |b| b.policy);
        let inet = base.table.family != TableFamily::Netdev;
        // nft_do_chain_inet_ingress(): only IP packets come to inet's ingress chains, and only sound ones pass.
        let family = match (ctx.state.family, inet, ctx.skb.protocol) {
            (Family::Netdev, true, 0x0800) => Family::Ipv4,
            (Family::Netdev, true, 0x86dd) => Family::Ipv6,
            (Family::Netdev, true, _) => return NftVerdict::Accept,
            (family, _, _) => family,
        };
        let state = HookState {
            family,
            ..*ctx.state
        };
        let mut run = Run {
            packet: Packet::new(ctx.skb, ctx.state.family),
            state: &state,
            skb: &mut *ctx.skb,
            host: &mut *ctx.host,
            reported: false,
        };
        if inet && ctx.state.family == Family::Netdev && run.packet.l4proto.is_none() {
            return NftVerdict::Drop;
        }
        run.base_chain(&mut self.rules, chain.slot, policy)
    }
}

/// One packet in one base chain.
pub(crate) struct Run<'a> {
    packet: Packet,
    state: &'a HookState,
    skb: &'a mut SkBuff,
    host: &'a mut dyn NftHost,
    /// The packet itself was reported already in this base chain.
    reported: bool,
}

impl Run<'_> {
    fn base_chain(&mut self, rules: &mut Ruleset, base: u32, policy: Policy) -> NftVerdict {
        let mut stack = [(0u32, 0u32); JUMP_STACK_SIZE];
        let mut depth = 0;
        let (mut chain, mut next) = (base, 0);
        loop {
            let (rule, step) = self.next_match(rules, chain, next);
            next = rule + 1;
            if self.traced() {
                self.report_rule(rules, chain, rule, &step);
            }
            match step {
                // A rule without a verdict, reported.
                Step::Next => {}
                Step::End(Verdict::Accept) => return NftVerdict::Accept,
                Step::End(Verdict::Drop) => return NftVerdict::Drop,
                Step::Reject(kind) => return NftVerdict::Reject(kind),
                Step::Forward(dev) => return NftVerdict::Forward(dev),
                Step::End(Verdict::Jump(to)) => {
                    // Loops and depths are refused when rules are added.
                    let Some(frame) = stack.get_mut(depth) else {
                        return NftVerdict::Drop;
                    };
                    // A chain has far fewer rules.
                    *frame = (chain, next as u32);
                    depth += 1;
                    (chain, next) = (to, 0);
                }
                Step::End(Verdict::Goto(to)) => (chain, next) = (to, 0),
                Step::End(Verdict::Return | Verdict::Continue) | Step::Break => {
                    if depth == 0 {
                        break;
                    }
                    depth -= 1;
                    let (caller, rule) = stack[depth];
                    (chain, next) = (caller, rule as usize);
                }
            }
        }
        if self.traced()
            && let Some(chain) = rules.chains.get(base)
        {
            self.report(&NftEvent::Policy {
                place: place(chain, self.state),
                verdict: policy.name(),
            });
        }
        match policy {
            Policy::Accept => NftVerdict::Accept,
            Policy::Drop => NftVerdict::Drop,
        }
    }

    /// Runs the rules of a chain from `next` on, up to one with a verdict, or with somebody watching up to one that matches: its number
    /// and what it said. `Break` is the end of the chain.
    fn next_match(&mut self, rules: &mut Ruleset, chain: u32, next: usize) -> (usize, Step) {
        let mut env = Env {
            sets: &mut rules.sets,
            objects: &mut rules.objects,
        };
        let Some(chain) = rules.chains.get_mut(chain) else {
            return (next, Step::Break);
        };
        for (at, fast) in chain.fast.iter().enumerate().skip(next) {
            let steps = match fast.check(&self.packet) {
                Some(false) => continue,
                Some(true) => usize::from(fast.steps),
                None => 0,
            };
            let Some(rule) = chain.rules.get_mut(at) else {
                break;
            };
            match self.steps(rule.ops.get_mut(steps..).unwrap_or_default(), &mut env) {
                Step::Break => {}
                Step::Next => {
                    if self.traced() {
                        return (at, Step::Next);
                    }
                }
                end => return (at, end),
            }
        }
        (chain.rules.len(), Step::Break)
    }

    /// The steps of a rule.
    fn steps(&mut self, ops: &mut [Op], env: &mut Env<'_>) -> Step {
        for op in ops {
            match self.op(op, env) {
                // NFT_CONTINUE is what the verdict was before.
                Step::Next | Step::End(Verdict::Continue) => {}
                end => return end,
            }
        }
        Step::Next
    }

    #[inline]
    fn traced(&self) -> bool {
        self.skb.nf_trace && self.host.tracing()
    }

    /// Tells of an event; of the first one in a base chain after the packet itself.
    fn report(&mut self, event: &NftEvent<'_>) {
        if !std::mem::replace(&mut self.reported, true) {
            self.host.trace(self.skb, &NftEvent::Packet(*event.place()));
        }
        self.host.trace(self.skb, event);
    }

    fn report_rule(&mut self, rules: &Ruleset, chain: u32, at: usize, step: &Step) {
        let Some(chain) = rules.chains.get(chain) else {
            return;
        };
        // No rule: the end of the chain.
        let Some(rule) = chain.rules.get(at) else {
            return;
        };
        let name = |id: u32| rules.chains.get(id).map_or("", |c| c.name.as_str());
        let verdict = match *step {
            Step::End(Verdict::Accept) => "accept".to_owned(),
            Step::End(Verdict::Drop) | Step::Reject(_) => "drop".to_owned(),
            Step::Forward(_) => "stolen".to_owned(),
            Step::End(Verdict::Return) => "return".to_owned(),
            Step::End(Verdict::Jump(to)) => format!("jump {}", name(to)),
            Step::End(Verdict::Goto(to)) => format!("goto {}", name(to)),
            _ => "continue".to_owned(),
        };
        self.report(&NftEvent::Rule {
            place: place(chain, self.state),
            handle: rule.handle,
            rule: &rule.text,
            comment: rule.comment.as_deref(),
            verdict: &verdict,
        });
    }
}

fn place<'a>(chain: &'a Chain, state: &'a HookState) -> NftPlace<'a> {
    NftPlace {
        family: chain.table.family,
        table: &chain.table.name,
        chain: &chain.name,
        state,
    }
}
