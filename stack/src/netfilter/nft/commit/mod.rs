//! Commands take effect: all of a text, or none (`nf_tables_api.c`).

mod elements;
mod list;
mod remove;
mod validate;

use super::NftError;
use super::command::{Action, Cmd, Named, Place, Refusal, RuleSpec, Scope, TableName, Word};
use super::compile::{Compiler, check_key};
use super::fast::FastRule;
use super::lex::Token;
use super::model::{BaseChain, ChainType, ObjectSpec, Policy, SetSpec, TableFamily};
use super::print::Printer;
use super::ruleset::{Chain, Object, ObjectState, Rule, Ruleset, Set, Table};
use super::set::Elements;
use super::state::State;
use super::stmt::Stmt;
use crate::Ps;
use crate::hook::Hook;
use crate::netfilter::conntrack::Helper;

const NO_POLICY: &str = "only a base chain (type, hook, priority) has a policy";

/// A transaction under way: a copy of the ruleset that takes the old one's place when everything went well.
pub(crate) struct Transaction<'a> {
    pub rules: Ruleset,
    pub devices: &'a [String],
    pub now: Ps,
    /// Where seeds come from.
    pub random: &'a mut dyn FnMut() -> u64,
    /// What `list` commands printed.
    pub output: String,
    /// Number of the next base chain, so that one in another's place is known.
    pub next_serial: u64,
}

impl Transaction<'_> {
    /// Carries out `commands`; `tokens` are the words that their places are numbers of.
    pub fn run(&mut self, commands: Vec<Cmd>, tokens: &[Token]) -> Result<(), NftError> {
        let error = |token: usize, problem: String| {
            let token = tokens.get(token).or(tokens.first());
            token.map(Token::pos).unwrap_or_default().error(problem)
        };
        let mut start = 0;
        for Cmd { places, action } in commands {
            start = places.start;
            let done = self.action(action);
            done.map_err(|refusal| error(places.token(&refusal.word), refusal.problem))?;
        }
        // The kernel validates whole tables when it commits; the last command is to blame as well as any.
        let valid = validate::validate(&self.rules);
        valid.map_err(|refusal| error(start, refusal.problem))?;
        for set in self.rules.sets.iter_mut() {
            set.elems.build();
        }
        for chain in self.rules.chains.iter_mut() {
            chain.fast = chain.rules.iter().map(|r| FastRule::new(&r.ops)).collect();
        }
        Ok(())
    }

    fn action(&mut self, action: Action) -> Result<(), Refusal> {
        match action {
            Action::AddTable {
                table,
                create,
                comment,
                dormant,
            } => self.add_table(table, create, comment, dormant),
            Action::AddChain {
                chain,
                create,
                base,
                policy,
                comment,
            } => self.add_chain(chain, create, base, policy, comment),
            Action::RenameChain { chain, to } => self.rename_chain(&chain, to),
            Action::AddRule { chain, place, rule } => {
                self.add_rule(&chain, place, rule)?;
                // Loops are told where they are closed.
                validate::validate(&self.rules)
            }
            Action::AddSet { set, create, spec } => self.add_set(set, create, *spec),
            Action::AddElements { set, create, elems } => self.add_elements(&set, create, elems),
            Action::DeleteElements { set, elems } => self.delete_elements(&set, elems),
            Action::GetElements { set, elems } => self.get_elements(&set, &elems),
            Action::AddObject {
                object,
                create,
                spec,
                comment,
            } => self.add_object(object, create, spec, comment),
            Action::DeleteTable { table, handle } => self.delete_table(&table, handle),
            Action::DeleteChain { chain } => self.delete_chain(&chain),
            Action::DeleteRule { chain, handle } => self.delete_rule(&chain, handle),
            Action::DeleteSet { set } => self.delete_set(&set),
            Action::DeleteObject { kind, object } => self.delete_object(kind, &object),
            Action::Flush(scope) => self.flush(&scope),
            Action::Reset(scope) => self.reset(&scope),
            Action::List { scope, handles } => self.list(&scope, handles),
        }
    }

    fn no_table(table: &TableName) -> Refusal {
        let problem = format!("there is no table {} {}", table.family.name(), table.name);
        Refusal::new(Word::Table, problem)
    }

    /// What is missing: the table, or `what` in it.
    fn missing(&self, table: &TableName, what: &str) -> Refusal {
        match self.rules.table(table) {
            Some(_) => format!("there is no such {what} in this table").into(),
            None => Self::no_table(table),
        }
    }

    fn add_table(
        &mut self,
        name: TableName,
        create: bool,
        comment: Option<String>,
        dormant: Option<bool>,
    ) -> Result<(), Refusal> {
        if let Some(table) = self.rules.table_mut(&name) {
            if create {
                return Err("the table exists".into());
            }
            if let Some(dormant) = dormant {
                table.dormant = dormant;
            }
            return Ok(());
        }
        self.rules.last_table_handle += 1;
        let handle = self.rules.last_table_handle;
        self.rules.tables.push(Table {
            name,
            handle,
            comment,
            dormant: dormant.unwrap_or(false),
            next_handle: 0,
            chains: Vec::new(),
            sets: Vec::new(),
            objects: Vec::new(),
        });
        Ok(())
    }

    /// `nf_tables_newchain()`
    fn add_chain(
        &mut self,
        chain: Named,
        create: bool,
        base: Option<BaseChain>,
        policy: Option<Policy>,
        comment: Option<String>,
    ) -> Result<(), Refusal> {
        if let Some(base) = &base {
            check_base(chain.table.family, base)?;
        }
        if let Some(id) = self.rules.chain_id(&chain) {
            if create {
                return Err("the chain exists".into());
            }
            let Some(old) = self.rules.chains.get_mut(id) else {
                return Ok(());
            };
            return match (&mut old.base, base) {
                (_, None) if policy.is_none() => Ok(()),
                (Some(old), None) => {
                    old.policy = policy.unwrap_or(old.policy);
                    Ok(())
                }
                (None, None) => Err(Refusal::whole(NO_POLICY)),
                (None, Some(_)) => Err("the chain exists and is no base chain".into()),
                (Some(old), Some(new)) => {
                    let same = (old.kind, old.hook, old.priority, &old.devices)
                        == (new.kind, new.hook, new.priority, &new.devices);
                    if !same {
                        let problem = "the chain exists with another type, hook or priority";
                        return Err(Refusal::whole(problem));
                    }
                    old.policy = policy.unwrap_or(old.policy);
                    Ok(())
                }
            };
        }
        if policy.is_some() && base.is_none() {
            return Err(Refusal::whole(NO_POLICY));
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let Some(table) = self.rules.table_mut(&chain.table) else {
            return Err(Self::no_table(&chain.table));
        };
        let handle = table.handle();
        let id = self.rules.chains.insert(Chain {
            name: chain.name,
            table: chain.table.clone(),
            handle,
            base,
            comment,
            rules: Vec::new(),
            fast: Vec::new(),
            serial,
        });
        if let Some(table) = self.rules.table_mut(&chain.table) {
            table.chains.push(id);
        }
        Ok(())
    }

    fn rename_chain(&mut self, chain: &Named, to: String) -> Result<(), Refusal> {
        let id = self.rules.chain_id(chain);
        let id = id.ok_or_else(|| self.missing(&chain.table, "chain"))?;
        let taken = Named {
            name: to.clone(),
            handle: None,
            ..chain.clone()
        };
        if self.rules.chain_id(&taken).is_some() {
            return Err(Refusal::whole("a chain of this name exists"));
        }
        let old = self.rules.chains.get(id).map(|c| c.name.clone());
        if let Some(chain) = self.rules.chains.get_mut(id) {
            chain.name.clone_from(&to);
        }
        // Rules that jump there say so by name.
        let old = old.unwrap_or_default();
        for other in self.rules.chains.iter_mut() {
            if other.table == chain.table {
                for rule in &mut other.rules {
                    super::normal::rename_chain(&mut rule.stmts, &old, &to);
                }
            }
        }
        Ok(())
    }

    /// `nf_tables_newrule()`
    fn add_rule(&mut self, chain: &Named, place: Place, spec: RuleSpec) -> Result<(), Refusal> {
        let id = self.rules.chain_id(chain);
        let id = id.ok_or_else(|| self.missing(&chain.table, "chain"))?;
        self.add_meters(chain, &spec)?;
        let seed = (self.random)();
        let ops = Compiler::new(&self.rules, &chain.table, seed).rule(&spec.stmts)?;
        let handle = self.rules.table_mut(&chain.table).map_or(0, Table::handle);
        let mut text = String::new();
        let printer = Printer {
            devices: self.devices,
            stateless: false,
            handles: false,
        };
        let comment = spec.comment.as_deref();
        printer.rule(&spec.stmts, comment, chain.table.family, &mut text);
        let rule = Rule {
            handle,
            stmts: spec.stmts,
            comment: spec.comment,
            ops,
            text,
        };
        let Some(chain) = self.rules.chains.get_mut(id) else {
            return Ok(());
        };
        let rules = &mut chain.rules;
        let by_handle = |rules: &[Rule], handle| {
            let found = rules.iter().position(|r| r.handle == handle);
            found.ok_or_else(|| Refusal::new(Word::Rule, "there is no rule with this handle"))
        };
        let by_index = |rules: &[Rule], index: u64| {
            let found = usize::try_from(index).ok().filter(|i| *i < rules.len());
            found.ok_or_else(|| Refusal::new(Word::Rule, "there is no rule with this index"))
        };
        let at = match place {
            // Handle 0 is none: nft sends it as if it had not been said.
            Place::Last | Place::After(0) => rules.len(),
            Place::First | Place::Before(0) => 0,
            Place::After(handle) => by_handle(rules, handle)? + 1,
            Place::Before(handle) => by_handle(rules, handle)?,
            Place::AfterIndex(index) => by_index(rules, index)? + 1,
            Place::BeforeIndex(index) => by_index(rules, index)?,
            Place::Instead(handle) => {
                let at = by_handle(rules, handle)?;
                rules.remove(at);
                at
            }
        };
        rules.insert(at, rule);
        Ok(())
    }

    /// The sets of a rule's meters.
    fn add_meters(&mut self, chain: &Named, rule: &RuleSpec) -> Result<(), Refusal> {
        for stmt in &rule.stmts {
            let Stmt::SetUpdate {
                set,
                key,
                timeout,
                meter: Some(size),
                ..
            } = stmt
            else {
                continue;
            };
            let set = Named {
                table: chain.table.clone(),
                name: set.clone(),
                handle: None,
            };
            let spec = SetSpec {
                key: key.types(),
                size: Some(*size),
                dynamic: true,
                has_timeout: timeout.is_some(),
                is_meter: true,
                ..SetSpec::default()
            };
            self.add_set(set, false, spec)?;
        }
        Ok(())
    }

    fn add_set(&mut self, set: Named, create: bool, spec: SetSpec) -> Result<(), Refusal> {
        check_key(&spec.key)?;
        check_key(&spec.data)?;
        if spec.dynamic && spec.interval {
            return Err("a set of intervals cannot be dynamic".into());
        }
        if let Some(id) = self.rules.set_id(&set) {
            if create {
                return Err("the set exists".into());
            }
            let same = self.rules.sets.get(id).is_some_and(|old| {
                (&old.spec.key, &old.spec.data, old.spec.interval)
                    == (&spec.key, &spec.data, spec.interval)
            });
            if !same {
                return Err("the set exists with another type".into());
            }
            return Ok(());
        }
        let seed = (self.random)();
        let bits: Vec<u32> = spec.key.iter().map(|t| t.bits()).collect();
        let elems = Elements::new(&bits, spec.interval, spec.size, seed);
        let Some(table) = self.rules.table_mut(&set.table) else {
            return Err(Self::no_table(&set.table));
        };
        let handle = table.handle();
        let id = self.rules.sets.insert(Set {
            name: set.name,
            handle,
            spec,
            elems,
        });
        if let Some(table) = self.rules.table_mut(&set.table) {
            table.sets.push(id);
        }
        Ok(())
    }

    fn add_object(
        &mut self,
        object: Named,
        create: bool,
        spec: ObjectSpec,
        comment: Option<String>,
    ) -> Result<(), Refusal> {
        if self.rules.object_id(spec.kind(), &object).is_some() {
            return match create {
                true => Err("the object exists".into()),
                false => Ok(()),
            };
        }
        check_helper(object.table.family, &spec)?;
        let state = match &spec {
            ObjectSpec::Stateful(stmt) => match State::new(stmt) {
                Some(state) => ObjectState::Stateful(state),
                None => return Err("the statement has no state".into()),
            },
            ObjectSpec::CtHelper { .. }
            | ObjectSpec::CtTimeout { .. }
            | ObjectSpec::CtExpectation { .. } => ObjectState::Stateless,
        };
        let Some(table) = self.rules.table_mut(&object.table) else {
            return Err(Self::no_table(&object.table));
        };
        let handle = table.handle();
        let id = self.rules.objects.insert(Object {
            name: object.name,
            table: object.table.clone(),
            handle,
            spec,
            comment,
            state,
        });
        if let Some(table) = self.rules.table_mut(&object.table) {
            table.objects.push(id);
        }
        Ok(())
    }

    /// `reset counters`, `reset quota …`: lists, and then sets to zero.
    fn reset(&mut self, scope: &Scope) -> Result<(), Refusal> {
        self.list(scope, false)?;
        let ids: Vec<u32> = match scope {
            Scope::Object(kind, object) => {
                self.rules.object_id(*kind, object).into_iter().collect()
            }
            Scope::Objects(family, kind) => {
                let tables = self.rules.tables_of(*family);
                let ids = tables.flat_map(|t| t.objects.iter().copied());
                let fits = |id: &u32| {
                    self.rules
                        .objects
                        .get(*id)
                        .is_some_and(|o| o.spec.kind() == *kind)
                };
                ids.filter(fits).collect()
            }
            Scope::ObjectsOf(kind, table) => {
                let ids = self.rules.table(table).into_iter();
                let ids = ids.flat_map(|t| t.objects.iter().copied());
                let of_kind = |o: &Object| o.spec.kind() == *kind;
                ids.filter(|id| self.rules.objects.get(*id).is_some_and(of_kind))
                    .collect()
            }
            _ => Vec::new(),
        };
        for id in ids {
            if let Some(ObjectState::Stateful(state)) =
                self.rules.objects.get_mut(id).map(|o| &mut o.state)
            {
                state.reset();
            }
        }
        Ok(())
    }
}

/// `nft_ct_helper_obj_init()`: the helper must exist, for packets of the table's family.
fn check_helper(family: TableFamily, spec: &ObjectSpec) -> Result<(), Refusal> {
    let ObjectSpec::CtHelper {
        helper,
        protocol,
        l3proto,
    } = spec
    else {
        return Ok(());
    };
    let other = match (family, l3proto) {
        (TableFamily::Ip, Some(l3)) => *l3 == TableFamily::Ip6,
        (TableFamily::Ip6, Some(l3)) => *l3 == TableFamily::Ip,
        _ => false,
    };
    if other {
        return Err(Refusal::whole("the table has no packets of this family"));
    }
    match Helper::from_name(helper, *protocol) {
        Some(_) => Ok(()),
        None => Err(Refusal::whole("there is no such helper for this protocol")),
    }
}

/// Which chain types may be at which hooks and priorities (`nft_chain_parse_hook()`).
fn check_base(family: TableFamily, base: &BaseChain) -> Result<(), Refusal> {
    let fits = match base.kind {
        ChainType::Filter => true,
        ChainType::Route => base.hook == Hook::LocalOut && family != TableFamily::Netdev,
        ChainType::Nat => {
            family != TableFamily::Netdev
                && matches!(
                    base.hook,
                    Hook::PreRouting | Hook::LocalIn | Hook::LocalOut | Hook::PostRouting
                )
        }
    };
    if !fits {
        return Err(Refusal::whole(format!(
            "a chain of type {} cannot be at this hook",
            base.kind.name()
        )));
    }
    // Connection tracking must have seen the packet.
    if base.kind == ChainType::Nat && base.priority <= crate::hook::priority::CONNTRACK {
        return Err(Refusal::whole(
            "the priority of a nat chain is larger than -200",
        ));
    }
    let mut devices = base.devices.clone();
    devices.sort();
    devices.dedup();
    if devices.len() != base.devices.len() {
        return Err(Refusal::whole("a device is named twice"));
    }
    if base.policy == Policy::Drop && base.devices.is_empty() && family == TableFamily::Netdev {
        return Err(Refusal::whole("a chain at this hook needs a device"));
    }
    Ok(())
}
