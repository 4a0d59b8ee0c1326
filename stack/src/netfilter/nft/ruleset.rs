//! Everything that is configured: tables, and in them chains, sets and objects.
//!
//! Chains, sets and objects are found by number from the engine, which is quick, and by name from commands. A number is used again
//! only when nothing refers to it any more: what is in use cannot be deleted.

use super::command::{Named, TableName};
use super::expr::{Elem, ElemData, VerdictExpr};
use super::fast::FastRule;
use super::model::{BaseChain, ObjectSpec, SetSpec, TableFamily};
use super::program::Op;
use super::set::Elements;
use super::state::State;
use super::stmt::{ObjKind, Stmt};
use super::verdict::Verdict;

/// A rule and its memory.
#[derive(Clone)]
pub(crate) struct Rule {
    pub handle: u64,
    pub stmts: Vec<Stmt>,
    pub comment: Option<String>,
    pub ops: Vec<Op>,
    /// As it is listed, counters as they were when it was added.
    pub text: String,
}

impl Rule {
    /// The statements with their present values.
    pub fn current(&self) -> Vec<Stmt> {
        let mut stmts = self.stmts.clone();
        for op in &self.ops {
            if let Op::State(state, at) = op
                && let Some(stmt) = stmts.get_mut(*at)
            {
                *stmt = state.stmt();
            }
        }
        stmts
    }
}

#[derive(Clone)]
pub(crate) struct Chain {
    pub name: String,
    pub table: TableName,
    pub handle: u64,
    pub base: Option<BaseChain>,
    pub comment: Option<String>,
    pub rules: Vec<Rule>,
    /// What each rule begins with, made when a transaction ends.
    pub fast: Vec<FastRule>,
    /// Tells it from another chain that gets its number later, and base chains apart by age.
    pub serial: u64,
}

#[derive(Clone)]
pub(crate) struct Set {
    pub name: String,
    pub handle: u64,
    pub spec: SetSpec,
    pub elems: Elements,
}

#[derive(Clone)]
pub(crate) enum ObjectState {
    Stateful(State),
    /// What [`Object::spec`] says is all.
    Stateless,
}

#[derive(Clone)]
pub(crate) struct Object {
    pub name: String,
    pub table: TableName,
    pub handle: u64,
    pub spec: ObjectSpec,
    pub comment: Option<String>,
    pub state: ObjectState,
}

#[derive(Clone)]
pub(crate) struct Table {
    pub name: TableName,
    pub handle: u64,
    pub comment: Option<String>,
    pub dormant: bool,
    /// Handle of the next thing in it.
    pub next_handle: u64,
    pub chains: Vec<u32>,
    pub sets: Vec<u32>,
    pub objects: Vec<u32>,
}

impl Table {
    pub fn handle(&mut self) -> u64 {
        self.next_handle += 1;
        self.next_handle
    }
}

/// Things by number.
#[derive(Clone)]
pub(crate) struct Slab<T>(Vec<Option<T>>);

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, item: T) -> u32 {
        match self.0.iter().position(Option::is_none) {
            Some(at) => {
                self.0[at] = Some(item);
                at as u32
            }
            None => {
                self.0.push(Some(item));
                (self.0.len() - 1) as u32
            }
        }
    }

    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        self.0.get(at as usize)?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.0.get_mut(at as usize)?.as_mut()
    }

    pub fn remove(&mut self, at: u32) {
        if let Some(slot) = self.0.get_mut(at as usize) {
            *slot = None;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = self.0.iter().enumerate();
        numbered.filter_map(|(i, item)| Some((i as u32, item.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Ruleset {
    pub tables: Vec<Table>,
    pub chains: Slab<Chain>,
    pub sets: Slab<Set>,
    pub objects: Slab<Object>,
    pub last_table_handle: u64,
}

impl Ruleset {
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|t| t.name == *name)
    }

    pub fn table_mut(&mut self, name: &TableName) -> Option<&mut Table> {
        self.tables.iter_mut().find(|t| t.name == *name)
    }

    pub fn tables_of(&self, family: Option<TableFamily>) -> impl Iterator<Item = &Table> {
        let fits = move |t: &&Table| family.is_none_or(|f| t.name.family == f);
        self.tables.iter().filter(fits)
    }

    /// The number of a chain.
    pub fn chain_id(&self, chain: &Named) -> Option<u32> {
        let table = self.table(&chain.table)?;
        table.chains.iter().copied().find(|id| {
            self.chains.get(*id).is_some_and(|c| match chain.handle {
                Some(handle) => c.handle == handle,
                None => c.name == chain.name,
            })
        })
    }

    /// The number of a set.
    pub fn set_id(&self, set: &Named) -> Option<u32> {
        let table = self.table(&set.table)?;
        table.sets.iter().copied().find(|id| {
            self.sets.get(*id).is_some_and(|s| match set.handle {
                Some(handle) => s.handle == handle,
                None => s.name == set.name,
            })
        })
    }

    /// The number of an object.
    pub fn object_id(&self, kind: ObjKind, object: &Named) -> Option<u32> {
        let table = self.table(&object.table)?;
        table.objects.iter().copied().find(|id| {
            self.objects.get(*id).is_some_and(|o| {
                o.spec.kind() == kind
                    && match object.handle {
                        Some(handle) => o.handle == handle,
                        None => o.name == object.name,
                    }
            })
        })
    }

    /// A verdict of the engine in words.
    pub fn verdict_expr(&self, verdict: Verdict) -> VerdictExpr {
        let name = |id| {
            self.chains
                .get(id)
                .map_or(String::new(), |c: &Chain| c.name.clone())
        };
        match verdict {
            Verdict::Accept => VerdictExpr::Accept,
            Verdict::Drop => VerdictExpr::Drop,
            Verdict::Continue => VerdictExpr::Continue,
            Verdict::Return => VerdictExpr::Return,
            Verdict::Jump(id) => VerdictExpr::Jump(name(id)),
            Verdict::Goto(id) => VerdictExpr::Goto(name(id)),
        }
    }

    /// The living elements of a set as declared, with present state, in the order of a list.
    pub fn elements(&self, set: &Set, now: crate::Ps) -> Vec<Elem> {
        let mut elems: Vec<Elem> = set
            .elems
            .slots()
            .filter(|s| s.expires.is_none_or(|at| now < at))
            .map(|slot| {
                let mut elem = slot.elem.clone();
                elem.stmts = slot.state.iter().map(State::stmt).collect();
                elem.expires = slot.expires.map(|at| (at - now) / crate::MS);
                if let (Some(ElemData::Verdict(v)), super::set::Data::Verdict(now)) =
                    (&mut elem.data, &slot.data)
                {
                    // Chains may have been renamed.
                    *v = self.verdict_expr(*now);
                }
                elem
            })
            .collect();
        // Concatenations of ranges stay in the order of insertion.
        if !set.spec.interval || set.spec.key.len() == 1 {
            elems.sort_by(|a, b| super::normal::key_order(&a.key, &b.key, &set.spec.key));
        }
        elems
    }
}
