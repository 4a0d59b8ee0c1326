//! Taking things away. What is in use stays.

use super::Transaction;
use crate::netfilter::nft::command::{Named, Refusal, Scope, TableName, Word};
use crate::netfilter::nft::expr::{Expr, SetRef};
use crate::netfilter::nft::normal;
use crate::netfilter::nft::program::{Op, SetSel};
use crate::netfilter::nft::ruleset::Ruleset;
use crate::netfilter::nft::set::{Data, Slot};
use crate::netfilter::nft::stmt::{ObjKind, Rhs, Stmt};
use crate::netfilter::nft::verdict::Verdict;

impl Transaction<'_> {
    pub(super) fn delete_table(
        &mut self,
        name: &TableName,
        handle: Option<u64>,
    ) -> Result<(), Refusal> {
        let found = self.rules.tables.iter().position(|t| match handle {
            Some(handle) => t.handle == handle && t.name.family == name.family,
            None => t.name == *name,
        });
        let Some(at) = found else {
            return Err(Self::no_table(name));
        };
        let table = self.rules.tables.remove(at);
        for id in table.chains {
            self.rules.chains.remove(id);
        }
        for id in table.sets {
            self.rules.sets.remove(id);
        }
        for id in table.objects {
            self.rules.objects.remove(id);
        }
        Ok(())
    }

    pub(super) fn delete_chain(&mut self, chain: &Named) -> Result<(), Refusal> {
        let Some(id) = self.rules.chain_id(chain) else {
            return Err(self.missing(&chain.table, "chain"));
        };
        // Its own rules go with it, so only others can keep it.
        if chain_in_use(&self.rules, id) {
            return Err("the chain is in use".into());
        }
        self.rules.chains.remove(id);
        if let Some(table) = self.rules.table_mut(&chain.table) {
            table.chains.retain(|c| *c != id);
        }
        Ok(())
    }

    pub(super) fn delete_rule(&mut self, chain: &Named, handle: u64) -> Result<(), Refusal> {
        let id = self.rules.chain_id(chain);
        let id = id.ok_or_else(|| self.missing(&chain.table, "chain"))?;
        let Some(chain) = self.rules.chains.get_mut(id) else {
            return Ok(());
        };
        // Handle 0 is none, and without one all rules are meant.
        if handle == 0 {
            chain.rules.clear();
            return Ok(());
        }
        let at = chain.rules.iter().position(|r| r.handle == handle);
        let missing = || Refusal::new(Word::Rule, "there is no rule with this handle");
        chain.rules.remove(at.ok_or_else(missing)?);
        Ok(())
    }

    pub(super) fn delete_set(&mut self, set: &Named) -> Result<(), Refusal> {
        let Some(id) = self.rules.set_id(set) else {
            return Err(self.missing(&set.table, "set"));
        };
        let name = self.rules.sets.get(id).map(|s| s.name.clone());
        let name = name.unwrap_or_default();
        if stmts_of(&self.rules, &set.table).any(|s| uses_set(s, &name)) {
            return Err("the set is in use".into());
        }
        self.rules.sets.remove(id);
        if let Some(table) = self.rules.table_mut(&set.table) {
            table.sets.retain(|s| *s != id);
        }
        Ok(())
    }

    pub(super) fn delete_object(&mut self, kind: ObjKind, object: &Named) -> Result<(), Refusal> {
        let Some(id) = self.rules.object_id(kind, object) else {
            return Err(self.missing(&object.table, kind.name()));
        };
        let name = self.rules.objects.get(id).map(|o| o.name.clone());
        let uses =
            |s: &Stmt| matches!(s, Stmt::Object(k, n) if *k == kind && Some(n) == name.as_ref());
        if stmts_of(&self.rules, &object.table).any(uses) || object_in_map(&self.rules, id) {
            return Err("the object is in use".into());
        }
        self.rules.objects.remove(id);
        if let Some(table) = self.rules.table_mut(&object.table) {
            table.objects.retain(|o| *o != id);
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, scope: &Scope) -> Result<(), Refusal> {
        match scope {
            Scope::Ruleset(family) => {
                let names: Vec<_> = self
                    .rules
                    .tables_of(*family)
                    .map(|t| t.name.clone())
                    .collect();
                for name in names {
                    self.delete_table(&name, None)?;
                }
                Ok(())
            }
            Scope::Table(name) => {
                let Some(table) = self.rules.table(name) else {
                    return Err(Self::no_table(name));
                };
                for id in table.chains.clone() {
                    if let Some(chain) = self.rules.chains.get_mut(id) {
                        chain.rules.clear();
                    }
                }
                Ok(())
            }
            Scope::Chain(chain) => {
                let id = self.rules.chain_id(chain);
                let id = id.ok_or_else(|| self.missing(&chain.table, "chain"))?;
                if let Some(chain) = self.rules.chains.get_mut(id) {
                    chain.rules.clear();
                }
                Ok(())
            }
            Scope::Set(set) => {
                let id = self.rules.set_id(set);
                let id = id.ok_or_else(|| self.missing(&set.table, "set"))?;
                if let Some(set) = self.rules.sets.get_mut(id) {
                    set.elems.clear();
                }
                Ok(())
            }
            _ => Err("cannot be flushed".into()),
        }
    }
}

fn stmts_of<'r>(rules: &'r Ruleset, table: &TableName) -> impl Iterator<Item = &'r Stmt> {
    let table = table.clone();
    let chains = rules.chains.iter().map(|(_, chain)| chain);
    chains
        .filter(move |c| c.table == table)
        .flat_map(|c| &c.rules)
        .flat_map(|r| &r.stmts)
}

/// Whether rules of other chains or elements of maps lead to a chain.
fn chain_in_use(rules: &Ruleset, id: u32) -> bool {
    let leads = |v: Verdict| matches!(v, Verdict::Jump(to) | Verdict::Goto(to) if to == id);
    let by_rule = rules
        .chains
        .iter()
        .filter(|(other, _)| *other != id)
        .flat_map(|(_, c)| &c.rules)
        .flat_map(|r| &r.ops)
        .any(|op| super::validate::targets(op, rules).into_iter().any(leads));
    let by_map = rules
        .sets
        .iter()
        .flat_map(|(_, s)| s.elems.slots())
        .any(|slot| matches!(slot.data, Data::Verdict(v) if leads(v)));
    by_rule || by_map
}

/// Whether a map, named or within a rule, has the object.
fn object_in_map(rules: &Ruleset, id: u32) -> bool {
    let has = |slot: &Slot| slot.data == Data::Object(id);
    let literal =
        |op: &Op| matches!(op, Op::ObjectMap { set: SetSel::Own(set), .. } if set.slots().any(has));
    let in_rule = rules
        .chains
        .iter()
        .flat_map(|(_, c)| &c.rules)
        .flat_map(|r| &r.ops)
        .any(literal);
    let mut sets = rules.sets.iter();
    in_rule || sets.any(|(_, set)| set.elems.slots().any(has))
}

fn uses_set(stmt: &Stmt, name: &str) -> bool {
    let named = |set: &SetRef| matches!(set, SetRef::Named(n) if n == name);
    let mut found = match stmt {
        Stmt::Match {
            right: Rhs::Set(set),
            ..
        }
        | Stmt::Vmap(_, set)
        | Stmt::ObjectMap(_, _, set) => named(set),
        Stmt::SetUpdate { set, .. } => set == name,
        _ => false,
    };
    normal::exprs(stmt, &mut |expr| {
        if let Expr::Map(_, set) = expr {
            found |= named(set);
        }
    });
    found
}
