//! `list …`

use super::Transaction;
use crate::netfilter::nft::command::Scope;
use crate::netfilter::nft::print::{Indent, Printer};
use crate::netfilter::nft::ruleset::Table;

impl Transaction<'_> {
    pub(super) fn list(&mut self, scope: &Scope, handles: bool) -> Result<(), String> {
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

    fn list_to(
        &self,
        printer: &Printer<'_>,
        scope: &Scope,
        out: &mut String,
    ) -> Result<(), String> {
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
                let id = rules.chain_id(name).ok_or("there is no such chain")?;
                let table = rules.table(&name.table).ok_or("there is no such table")?;
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
                let id = rules.set_id(name).ok_or("there is no such set")?;
                let table = rules.table(&name.table).ok_or("there is no such table")?;
                printer.table_frame(table, out, |out| {
                    if let Some(set) = rules.sets.get(id) {
                        printer.set_block(rules, set, self.now, out);
                    }
                });
            }
            Scope::Objects(family, kind) => {
                for table in rules.tables_of(*family) {
                    printer.table_frame(table, out, |out| {
                        let objects = table.objects.iter().filter_map(|id| rules.objects.get(*id));
                        for object in objects.filter(|o| o.spec.kind() == *kind) {
                            printer.object(object, out);
                        }
                    });
                }
            }
            Scope::Object(kind, name) => {
                let id = rules
                    .object_id(*kind, name)
                    .ok_or("there is no such object")?;
                let table = rules.table(&name.table).ok_or("there is no such table")?;
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
