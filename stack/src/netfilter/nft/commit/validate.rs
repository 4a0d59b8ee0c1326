//! What must hold for the ruleset as a whole (`nft_table_validate()`): from no base chain are there loops, or more than 16 chains in a
//! row, or statements that the chain's type or hook does not have.

use crate::hook::Hook;
use crate::netfilter::nft::command::Refusal;
use crate::netfilter::nft::eval::JUMP_STACK_SIZE;
use crate::netfilter::nft::expr::{Expr, FibResult, MetaKey, RtKey};
use crate::netfilter::nft::model::{BaseChain, ChainType, TableFamily};
use crate::netfilter::nft::normal;
use crate::netfilter::nft::program::{Op, SetSel};
use crate::netfilter::nft::ruleset::Ruleset;
use crate::netfilter::nft::set::{Data, Elements};
use crate::netfilter::nft::stmt::{NatKind, ObjKind, Stmt};
use crate::netfilter::nft::verdict::Verdict;
use std::collections::BTreeSet;

/// The verdicts that a step can give.
pub(super) fn targets(op: &Op, rules: &Ruleset) -> Vec<Verdict> {
    let of = |elements: &Elements| {
        let verdicts = elements.slots().filter_map(|s| match s.data {
            Data::Verdict(v) => Some(v),
            _ => None,
        });
        verdicts.collect()
    };
    match op {
        Op::Verdict(v) => vec![*v],
        Op::Vmap {
            set: SetSel::Own(elements),
            ..
        } => of(elements),
        Op::Vmap {
            set: SetSel::Named(id),
            ..
        } => rules.sets.get(*id).map_or(Vec::new(), |s| of(&s.elems)),
        _ => Vec::new(),
    }
}

pub(super) fn validate(rules: &Ruleset) -> Result<(), Refusal> {
    for (id, chain) in rules.chains.iter() {
        for rule in &chain.rules {
            for op in &rule.ops {
                for verdict in targets(op, rules) {
                    if let Verdict::Jump(to) | Verdict::Goto(to) = verdict
                        && let Some(target) = rules.chains.get(to).filter(|c| c.base.is_some())
                    {
                        let problem = "a base chain cannot be jumped to";
                        return Err(Refusal::mention(&target.name, problem));
                    }
                }
            }
        }
        if let Some(base) = &chain.base {
            let mut walk = Walk {
                rules,
                base,
                family: chain.table.family,
                done: BTreeSet::new(),
                inside: Vec::new(),
            };
            walk.chain(id)?;
        }
    }
    Ok(())
}

struct Walk<'a> {
    rules: &'a Ruleset,
    base: &'a BaseChain,
    family: TableFamily,
    /// Chains that were looked at, with the depth at which they were.
    done: BTreeSet<(u32, usize)>,
    /// The chains that led here.
    inside: Vec<u32>,
}

impl Walk<'_> {
    fn chain(&mut self, id: u32) -> Result<(), Refusal> {
        if self.inside.contains(&id) {
            return Err(Refusal::whole("the jumps make a loop"));
        }
        if self.inside.len() >= JUMP_STACK_SIZE {
            return Err(Refusal::whole(format!(
                "more than {JUMP_STACK_SIZE} chains jump one into the other"
            )));
        }
        if !self.done.insert((id, self.inside.len())) {
            return Ok(());
        }
        let Some(chain) = self.rules.chains.get(id) else {
            return Ok(());
        };
        self.inside.push(id);
        for rule in &chain.rules {
            for stmt in &rule.stmts {
                self.stmt(stmt)?;
            }
            for op in &rule.ops {
                for verdict in targets(op, self.rules) {
                    if let Verdict::Jump(to) | Verdict::Goto(to) = verdict {
                        self.chain(to)?;
                    }
                }
            }
        }
        self.inside.pop();
        Ok(())
    }

    /// The `validate` functions of the kernel's expressions.
    fn stmt(&self, stmt: &Stmt) -> Result<(), Refusal> {
        use Hook::*;
        let at = |hooks: &[Hook]| hooks.contains(&self.base.hook);
        let netdev = self.family == TableFamily::Netdev;
        let device = at(&[NetdevIngress, NetdevEgress]);
        let (ok, what) = match stmt {
            Stmt::Nat(nat) => {
                let hooks: &[Hook] = match nat.kind {
                    NatKind::Snat => &[PostRouting, LocalIn],
                    NatKind::Dnat | NatKind::Redirect => &[PreRouting, LocalOut],
                    NatKind::Masquerade => &[PostRouting],
                };
                let ok = self.base.kind == ChainType::Nat && at(hooks);
                (ok, "this NAT statement")
            }
            Stmt::Reject(_) => (
                at(&[PreRouting, LocalIn, Forward, LocalOut, NetdevIngress]),
                "reject",
            ),
            Stmt::Dup(_) | Stmt::Fwd(_) => (netdev && device, "dup or fwd"),
            Stmt::SetMeta(MetaKey::PktType, _) => (
                at(&[PreRouting]) || (netdev && at(&[NetdevIngress])),
                "meta pkttype set",
            ),
            Stmt::SetCt(..) => (!netdev, "ct"),
            Stmt::Object(kind, _) | Stmt::ObjectMap(kind, ..)
                if matches!(kind, ObjKind::CtTimeout | ObjKind::CtExpectation) =>
            {
                (!device, "ct timeout or expectation set")
            }
            Stmt::Object(ObjKind::CtHelper, _) | Stmt::ObjectMap(ObjKind::CtHelper, ..) => {
                (!device, "ct helper set")
            }
            _ => (true, ""),
        };
        if !ok {
            return Err(Refusal::whole(format!(
                "{what} is not possible in a chain of this type and hook"
            )));
        }
        let mut result = Ok(());
        normal::exprs(stmt, &mut |expr| {
            let ok = match expr {
                Expr::Fib(flags, result) => {
                    let inputs = [PreRouting, LocalIn, Forward];
                    let outputs = [LocalOut, PostRouting, Forward];
                    match result {
                        // nft_fib_netdev_validate()
                        FibResult::Type if netdev && flags.oif => at(&[NetdevEgress]),
                        FibResult::Type if netdev && !flags.iif => device,
                        _ if netdev => at(&[NetdevIngress]),
                        FibResult::Type if flags.iif => at(&inputs),
                        FibResult::Type if flags.oif => at(&outputs),
                        FibResult::Type => !device,
                        _ => at(&inputs),
                    }
                }
                Expr::Ct(..) => !netdev,
                Expr::Rt(RtKey::Mtu) => at(&[Forward, LocalOut, PostRouting]),
                // nft_xfrm_validate()
                Expr::Ipsec(ipsec) if ipsec.out => at(&[Forward, LocalOut, PostRouting]),
                Expr::Ipsec(_) => at(&[PreRouting, LocalIn, Forward]),
                Expr::Meta(MetaKey::Sdif | MetaKey::SdifName) => at(&[LocalIn, Forward]),
                // nft_meta_get_validate()
                Expr::Meta(MetaKey::Ipsec) => at(&[PreRouting, LocalIn, Forward, NetdevIngress]),
                _ => true,
            };
            if !ok {
                let what = match expr {
                    Expr::Ct(..) => "ct",
                    Expr::Rt(_) => "rt mtu",
                    Expr::Meta(MetaKey::Ipsec) | Expr::Ipsec(_) => "ipsec",
                    Expr::Meta(_) => "meta sdif",
                    _ => "fib",
                };
                result = Err(Refusal::whole(format!(
                    "{what} is not possible in a chain of this type and hook"
                )));
            }
        });
        result
    }
}
