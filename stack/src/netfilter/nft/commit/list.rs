//! `list …`

use super::Transaction;
use crate::netfilter::nft::command::{Named, Refusal, Scope};
use crate::netfilter::nft::expr::Elem;
use crate::netfilter::nft::print::{Indent, Printer};
use crate::netfilter::nft::ruleset::{Set, Table};
use crate::netfilter::nft::stmt::ObjKind;

impl Transaction<'_> {
    pub(super) fn list(&mut self, scope: &Scope, handles: bool) -> Result<(), Refusal> {
        let printer = Printer {
            devices: self.devices,
            stateless: false,
            handles,
        };
        let mut out = std::mem::take(&mut self.output);
        let result = self.list_to(&printer, scope, &mut out);
        self.output = out;
        result
    }

    fn list_objects(&self, printer: &Printer<'_>, table: &Table, kind: ObjKind, out: &mut String) {
        printer.table_frame(table, out, |out| {
            let objects = table.objects.iter();
            let objects = objects.filter_map(|id| self.rules.objects.get(*id));
            for object in objects.filter(|o| o.spec.kind() == kind) {
                printer.object(object, out);
            }
        });
    }

    /// `get element`: the set with those of its elements that `keys` are found in (`nft_get_set_elem()`).
    pub(super) fn get_elements(&mut self, name: &Named, keys: &[Elem]) -> Result<(), Refusal> {
        let id = self.rules.set_id(name);
        let id = id.ok_or_else(|| self.missing(&name.table, "set"))?;
        let (Some(set), Some(table)) = (self.rules.sets.get(id), self.rules.table(&name.table))
        else {
            return Ok(());
        };
        let mut shown = Set {
            name: set.name.clone(),
            handle: set.handle,
            spec: set.spec.clone(),
            elems: set.elems.clone(),
        };
        let mut found = Vec::new();
        for key in keys {
            let bounds = key.key.iter().zip(&set.spec.key);
            let first: Vec<u128> = bounds.map(|(p, t)| p.bounds(t.bits()).0).collect();
            let at = set.elems.lookup(&first, self.now);
            found.push(at.ok_or_else(|| Refusal::whole("there is no such element"))?);
        }
        shown.elems.retain(|at| found.contains(&at));
        let printer = Printer {
            devices: self.devices,
            stateless: false,
            handles: false,
        };
        let mut out = String::new();
        printer.table_frame(table, &mut out, |out| {
            printer.set_block(&self.rules, &shown, self.now, out);
        });
        self.output += &out;
        Ok(())
    }

    fn list_to(
        &self,
        printer: &Printer<'_>,
        scope: &Scope,
        out: &mut String,
    ) -> Result<(), Refusal> {
        let rules = &self.rules;
        let of = |table: &Table| table.name.clone();
        match scope {
            Scope::Ruleset(family) => {
                for table in rules.tables_of(*family) {
                    printer.table(rules, table, self.now, out);
                }
            }
            Scope::Tables(family) => {
                for table in rules.tables_of(*family) {
                    let name = of(table);
                    out.push_str(&format!("table {} {}\n", name.family.name(), name.name));
                }
            }
            Scope::Table(name) => {
                let table = rules.table(name).ok_or_else(|| Self::no_table(name))?;
                printer.table(rules, table, self.now, out);
            }
            Scope::Chains(family) => {
                for table in rules.tables_of(*family) {
                    printer.table_frame(table, out, |out| {
                        for chain in table.chains.iter().filter_map(|id| rules.chains.get(*id)) {
                            printer.chain(chain, Indent::Declared, out);
                        }
                    });
                }
            }
            Scope::Chain(name) => {
                let id = rules.chain_id(name);
                let id = id.ok_or_else(|| self.missing(&name.table, "chain"))?;
                let table = rules.table(&name.table);
                let table = table.ok_or_else(|| Self::no_table(&name.table))?;
                printer.table_frame(table, out, |out| {
                    if let Some(chain) = rules.chains.get(id) {
                        printer.chain(chain, Indent::Whole, out);
                    }
                });
            }
            Scope::Sets(family) => {
                for table in rules.tables_of(*family) {
                    printer.table_frame(table, out, |out| {
                        let sets = table.sets.iter().filter_map(|id| rules.sets.get(*id));
                        for set in sets.filter(|set| !set.spec.is_meter) {
                            printer.set_block(rules, set, self.now, out);
                        }
                    });
                }
            }
            Scope::Set(name) => {
                let id = rules.set_id(name);
                let id = id.ok_or_else(|| self.missing(&name.table, "set"))?;
                let table = rules.table(&name.table);
                let table = table.ok_or_else(|| Self::no_table(&name.table))?;
                printer.table_frame(table, out, |out| {
                    if let Some(set) = rules.sets.get(id) {
                        printer.set_block(rules, set, self.now, out);
                    }
                });
            }
            Scope::Meters(family) => {
                for table in rules.tables_of(*family) {
                    printer.table_frame(table, out, |out| {
                        let sets = table.sets.iter().filter_map(|id| rules.sets.get(*id));
                        for set in sets.filter(|set| set.spec.is_meter) {
                            printer.set_block(rules, set, self.now, out);
                        }
                    });
                }
            }
            Scope::Nothing(family) => {
                for table in rules.tables_of(*family) {
                    printer.table_frame(table, out, |_| {});
                }
            }
            Scope::Objects(family, kind) => {
                for table in rules.tables_of(*family) {
                    self.list_objects(printer, table, *kind, out);
                }
            }
            Scope::ObjectsOf(kind, name) => {
                let table = rules.table(name).ok_or_else(|| Self::no_table(name))?;
                self.list_objects(printer, table, *kind, out);
            }
            Scope::Object(kind, name) => {
                let id = rules.object_id(*kind, name);
                let id = id.ok_or_else(|| self.missing(&name.table, kind.name()))?;
                let table = rules.table(&name.table);
                let table = table.ok_or_else(|| Self::no_table(&name.table))?;
                printer.table_frame(table, out, |out| {
                    if let Some(object) = rules.objects.get(id) {
                        printer.object(object, out);
                    }
                });
            }
        }
        Ok(())
    }
}
