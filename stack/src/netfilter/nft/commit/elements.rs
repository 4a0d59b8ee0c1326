//! Elements of named sets.

use super::Transaction;
use crate::netfilter::nft::command::{Named, Refusal, TableName, Word};
use crate::netfilter::nft::compile::Compiler;
use crate::netfilter::nft::expr::{Elem, Part};
use crate::netfilter::nft::model::SetSpec;
use crate::netfilter::nft::normal;
use crate::netfilter::nft::set::Refused;

impl Transaction<'_> {
    pub(super) fn add_elements(
        &mut self,
        set: &Named,
        create: bool,
        elems: Vec<Elem>,
    ) -> Result<(), Refusal> {
        let id = self.rules.set_id(set);
        let id = id.ok_or_else(|| self.missing(&set.table, "set"))?;
        let Some(spec) = self.rules.sets.get(id).map(|s| s.spec.clone()) else {
            return Ok(());
        };
        for (at, elem) in elems.into_iter().enumerate() {
            self.add_element(&set.table, id, &spec, create, elem)
                .map_err(|refusal| match refusal.word {
                    Word::Name => Refusal::new(Word::Elem(at), refusal.problem),
                    _ => refusal,
                })?;
        }
        if spec.auto_merge && spec.key.len() == 1 {
            self.join_neighbours(id);
        }
        Ok(())
    }

    fn add_element(
        &mut self,
        table: &TableName,
        id: u32,
        spec: &SetSpec,
        create: bool,
        elem: Elem,
    ) -> Result<(), Refusal> {
        let ranges = elem.key.iter().any(|p| !matches!(p, Part::Value(_)));
        if ranges && !spec.interval {
            return Err("only a set with flags interval has prefixes and ranges".into());
        }
        if (elem.timeout.is_some() || elem.expires.is_some()) && !spec.has_timeout {
            return Err("only a set with flags timeout has elements that end".into());
        }
        let compiler = Compiler::new(&self.rules, table, 0);
        let slot = compiler.slot(&elem, self.now, spec.timeout, &spec.stmts)?;
        let Some(target) = self.rules.sets.get_mut(id) else {
            return Ok(());
        };
        match target.elems.insert(slot.clone(), self.now) {
            Ok(_) => Ok(()),
            Err(Refused::Full) => Err("the set is full".into()),
            Err(Refused::Exists(_)) if create => Err("the element exists".into()),
            Err(Refused::Exists(at)) => match target.elems.slot_mut(at) {
                // The same key may not mean two things.
                Some(old) if old.data != slot.data => {
                    Err("the element exists with other data".into())
                }
                Some(old) if spec.has_timeout => {
                    old.renew(slot, spec.timeout);
                    Ok(())
                }
                _ => Ok(()),
            },
            Err(Refused::Overlaps) if spec.auto_merge && spec.key.len() == 1 => {
                self.merge(id, &elem);
                Ok(())
            }
            Err(Refused::Overlaps) => Err("the interval overlaps with another one".into()),
        }
    }

    /// An interval that overlaps with others takes their place.
    fn merge(&mut self, id: u32, elem: &Elem) {
        let now = self.now;
        let Some(set) = self.rules.sets.get_mut(id) else {
            return;
        };
        let (Some(t), Some(part)) = (set.spec.key.first().copied(), elem.key.first()) else {
            return;
        };
        let (mut lo, mut hi) = part.bounds(t.bits());
        let mut kept = None;
        for at in set.elems.overlapping(&elem.key) {
            if let Some(slot) = set.elems.slot(at) {
                if let Some((l, h)) = slot.elem.key.first().map(|p| p.bounds(t.bits())) {
                    lo = lo.min(l);
                    hi = hi.max(h);
                }
                kept = Some(slot.clone());
            }
            set.elems.remove(at);
        }
        if let Some(mut slot) = kept {
            slot.elem.key = vec![normal::part_of(lo, hi, t)];
            // Nothing is in its place any more.
            let _ = set.elems.insert(slot, now);
        }
    }

    /// Intervals that touch become one.
    fn join_neighbours(&mut self, id: u32) {
        let now = self.now;
        let Some(set) = self.rules.sets.get_mut(id) else {
            return;
        };
        let Some(t) = set.spec.key.first().copied() else {
            return;
        };
        let mut slots: Vec<_> = set
            .elems
            .slots()
            .filter(|s| !s.elem.key.is_empty())
            .cloned()
            .collect();
        slots.sort_by(|a, b| normal::key_order(&a.elem.key, &b.elem.key, &set.spec.key));
        let bounds = |key: &[Part]| key.first().map_or((0, 0), |p| p.bounds(t.bits()));
        let mut joined: Vec<crate::netfilter::nft::set::Slot> = Vec::new();
        for slot in slots {
            let (lo, hi) = bounds(&slot.elem.key);
            match joined.last_mut() {
                Some(last)
                    if bounds(&last.elem.key).1.checked_add(1) == Some(lo)
                        && last.data == slot.data =>
                {
                    let (first, _) = bounds(&last.elem.key);
                    last.elem.key = vec![normal::part_of(first, hi, t)];
                }
                _ => joined.push(slot),
            }
        }
        let catch_all = set
            .elems
            .find(&[], now)
            .and_then(|at| set.elems.slot(at))
            .cloned();
        set.elems.clear();
        for slot in joined.into_iter().chain(catch_all) {
            let _ = set.elems.insert(slot, now);
        }
    }

    pub(super) fn delete_elements(&mut self, set: &Named, elems: Vec<Elem>) -> Result<(), Refusal> {
        let id = self.rules.set_id(set);
        let id = id.ok_or_else(|| self.missing(&set.table, "set"))?;
        let Some(set) = self.rules.sets.get_mut(id) else {
            return Ok(());
        };
        for (at, elem) in elems.into_iter().enumerate() {
            match set.elems.find(&elem.key, self.now) {
                Some(slot) => set.elems.remove(slot),
                None => return Err(Refusal::new(Word::Elem(at), "there is no such element")),
            }
        }
        Ok(())
    }
}
