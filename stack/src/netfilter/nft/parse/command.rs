//! Commands: `add table …`, `delete rule …`, `list ruleset`, and whole `table … { … }` blocks.

use super::Parser;
use crate::netfilter::nft::command::{Action, Named, Place, Places, Scope, TableName};
use crate::netfilter::nft::error::NftError;
use crate::netfilter::nft::lex::Kind;
use crate::netfilter::nft::model::TableFamily;
use crate::netfilter::nft::stmt::ObjKind;

impl Parser<'_> {
    /// All commands up to the end of the text.
    pub(super) fn text(&mut self) -> Result<(), NftError> {
        loop {
            while self.peek().kind == Kind::Newline || self.is(";") {
                self.at += 1;
            }
            if self.peek().kind == Kind::End {
                return Ok(());
            }
            self.command()?;
            if self.is("}") {
                return self.error("unexpected word");
            }
            self.end_of_stmt()?;
        }
    }

    /// Where the words stand of the command that was just read.
    pub(super) fn take_places(&mut self) -> Places {
        let next = Places {
            start: self.places.start,
            ..Places::default()
        };
        std::mem::replace(&mut self.places, next)
    }

    fn command(&mut self) -> Result<(), NftError> {
        self.places = Places {
            start: self.at,
            name: self.at,
            ..Places::default()
        };
        let verb = self.peek().text.clone();
        let quoted = self.peek().kind != Kind::Word;
        match verb.as_str() {
            _ if quoted => self.error("expected a command"),
            "add" | "create" => {
                self.next();
                self.add(verb == "create")
            }
            "insert" => {
                self.next();
                self.take_word("rule");
                self.rule_command(true)
            }
            "replace" => {
                self.next();
                self.take_word("rule");
                self.replace()
            }
            "delete" => {
                self.next();
                self.delete()
            }
            "flush" | "reset" | "list" => {
                self.next();
                self.scoped(&verb)
            }
            "get" => {
                self.next();
                self.get()
            }
            // What it tells is for the eye.
            "describe" => {
                while !self.at_end() {
                    self.next();
                }
                Ok(())
            }
            "rename" => {
                self.next();
                self.expect_word("chain")?;
                let chain = self.named("a chain")?;
                let to = self.name("a chain")?;
                let places = self.take_places();
                self.push(places, Action::RenameChain { chain, to });
                Ok(())
            }
            "include" => self.error("include is not supported: there are no files here"),
            // A command without a verb adds.
            "table" | "chain" | "rule" | "set" | "map" | "element" | "counter" | "quota"
            | "limit" | "ct" => self.add(false),
            _ => self.error("unknown command"),
        }
    }

    /// `[family]`, `ip` when none is named.
    pub(super) fn family(&mut self) -> Result<TableFamily, NftError> {
        // A table may be called `ip`, too: a family is followed by another word.
        let token = self.peek();
        let next_is_word = self.peek_at(1).kind == Kind::Word;
        if token.kind == Kind::Word && next_is_word {
            if let Some(family) = TableFamily::from_name(&token.text) {
                self.next();
                return Ok(family);
            }
            if ["arp", "bridge"].contains(&token.text.as_str()) {
                return self.error("tables of this family are not supported");
            }
        }
        Ok(TableFamily::Ip)
    }

    pub(super) fn table_name(&mut self) -> Result<TableName, NftError> {
        let family = self.family()?;
        (self.places.table, self.places.name) = (self.at, self.at);
        let name = self.name("a table")?;
        Ok(TableName { family, name })
    }

    /// `[family] table name`
    pub(super) fn named(&mut self, what: &str) -> Result<Named, NftError> {
        let table = self.table_name()?;
        self.table = table.clone();
        if self.take_word("handle") {
            self.places.name = self.at;
            let handle = self.number("a handle", u64::MAX)?;
            return Ok(Named {
                table,
                name: String::new(),
                handle: Some(handle),
            });
        }
        self.places.name = self.at;
        let name = self.name(what)?;
        Ok(Named {
            table,
            name,
            handle: None,
        })
    }

    fn add(&mut self, create: bool) -> Result<(), NftError> {
        let kind = self.peek().text.clone();
        match kind.as_str() {
            "table" => {
                self.next();
                self.table_block(create)
            }
            "chain" => {
                self.next();
                let chain = self.named("a chain")?;
                let mut rules = Vec::new();
                self.chain_block(chain, create, &mut rules)?;
                self.commands.append(&mut rules);
                Ok(())
            }
            "set" | "map" => {
                self.next();
                let set = self.named("a set")?;
                let mut elements = Vec::new();
                self.expect("{")?;
                self.set_block(set, create, kind == "map", &mut elements)?;
                self.commands.append(&mut elements);
                Ok(())
            }
            "element" => {
                self.next();
                let (set, elems) = self.elements()?;
                let places = self.take_places();
                self.push(places, Action::AddElements { set, create, elems });
                Ok(())
            }
            "counter" | "quota" | "limit" | "ct" => {
                let kind = self.object_kind()?;
                let object = self.named("an object")?;
                self.object_block(kind, object, create)
            }
            "flowtable" | "secmark" | "synproxy" => self.error("is not supported"),
            _ => {
                self.take_word("rule");
                self.rule_command(false)
            }
        }
    }

    /// `element TABLE SET { … }` behind the word `element`.
    fn elements(&mut self) -> Result<(Named, Vec<crate::netfilter::nft::expr::Elem>), NftError> {
        let set = self.named("a set")?;
        let Some(spec) = self.set_spec(&set.name) else {
            let pos = self.tokens[self.places.name].pos();
            return Err(pos.error("there is no such set in this table"));
        };
        let data = spec.is_map.then_some(spec.data.as_slice());
        let elems = self.set_literal(&spec.key, data, spec.object)?;
        Ok((set, elems))
    }

    /// The same, of elements that are there already.
    fn elements_by_key(
        &mut self,
    ) -> Result<(Named, Vec<crate::netfilter::nft::expr::Elem>), NftError> {
        self.by_key = true;
        let elements = self.elements();
        self.by_key = false;
        elements
    }

    /// `get element`
    fn get(&mut self) -> Result<(), NftError> {
        self.expect_word("element")?;
        let (set, elems) = self.elements_by_key()?;
        let places = self.take_places();
        self.push(places, Action::GetElements { set, elems });
        Ok(())
    }

    pub(super) fn object_kind(&mut self) -> Result<ObjKind, NftError> {
        let word = self.word("a kind of object")?;
        Ok(match word.as_str() {
            "counter" => ObjKind::Counter,
            "quota" => ObjKind::Quota,
            "limit" => ObjKind::Limit,
            _ => {
                if self.take_word("timeout") {
                    return Ok(ObjKind::CtTimeout);
                }
                if self.take_word("expectation") {
                    return Ok(ObjKind::CtExpectation);
                }
                if !self.take_word("helper") {
                    return self.error("expected helper, timeout or expectation");
                }
                ObjKind::CtHelper
            }
        })
    }

    /// `[family] table chain [position] statements`
    fn rule_command(&mut self, insert: bool) -> Result<(), NftError> {
        let chain = self.named("a chain")?;
        let mut place = if insert { Place::First } else { Place::Last };
        for (word, index) in [("handle", false), ("position", false), ("index", true)] {
            if self.take_word(word) {
                self.places.rule = self.at;
                let n = self.number(word, u64::MAX)?;
                place = match (insert, index) {
                    (true, true) => Place::BeforeIndex(n),
                    (false, true) => Place::AfterIndex(n),
                    (true, false) => Place::Before(n),
                    (false, false) => Place::After(n),
                };
            }
        }
        let rule = self.rule()?;
        let places = self.take_places();
        self.push(places, Action::AddRule { chain, place, rule });
        Ok(())
    }

    fn replace(&mut self) -> Result<(), NftError> {
        let chain = self.named("a chain")?;
        self.expect_word("handle")?;
        self.places.rule = self.at;
        let place = Place::Instead(self.number("a handle", u64::MAX)?);
        let rule = self.rule()?;
        let places = self.take_places();
        self.push(places, Action::AddRule { chain, place, rule });
        Ok(())
    }

    fn delete(&mut self) -> Result<(), NftError> {
        let action = match self.peek().text.as_str() {
            "table" => {
                self.next();
                // By handle there is a family at most: `delete table ip handle 3`.
                let family = self.family()?;
                let by_handle = self.take_word("handle");
                (self.places.table, self.places.name) = (self.at, self.at);
                let (name, handle) = if by_handle {
                    (String::new(), Some(self.number("a handle", u64::MAX)?))
                } else {
                    (self.name("a table")?, None)
                };
                Action::DeleteTable {
                    table: TableName { family, name },
                    handle,
                }
            }
            "chain" => {
                self.next();
                let chain = self.named("a chain")?;
                Action::DeleteChain { chain }
            }
            "rule" => {
                self.next();
                let chain = self.named("a chain")?;
                self.expect_word("handle")?;
                self.places.rule = self.at;
                let handle = self.number("a handle", u64::MAX)?;
                Action::DeleteRule { chain, handle }
            }
            "set" | "map" => {
                self.next();
                let set = self.named("a set")?;
                Action::DeleteSet { set }
            }
            "element" => {
                self.next();
                let (set, elems) = self.elements_by_key()?;
                Action::DeleteElements { set, elems }
            }
            "counter" | "quota" | "limit" | "ct" => {
                let kind = self.object_kind()?;
                let object = self.named("an object")?;
                Action::DeleteObject { kind, object }
            }
            _ => return self.error("cannot be deleted"),
        };
        let places = self.take_places();
        self.push(places, action);
        Ok(())
    }

    /// `list`, `flush` and `reset`.
    fn scoped(&mut self, verb: &str) -> Result<(), NftError> {
        let mut handles = false;
        while self.is("-") {
            // `list -a ruleset` as in `nft -a list ruleset`.
            self.next();
            self.expect_word("a")?;
            handles = true;
        }
        let word = self.word("what to act upon")?;
        let scope = match word.as_str() {
            "ruleset" => Scope::Ruleset(self.optional_family()),
            "tables" => Scope::Tables(self.optional_family()),
            "chains" => Scope::Chains(self.optional_family()),
            "sets" | "maps" => Scope::Sets(self.optional_family()),
            "table" => Scope::Table(self.table_name()?),
            "chain" => Scope::Chain(self.named("a chain")?),
            "set" | "map" => Scope::Set(self.named("a set")?),
            "counters" => self.objects(ObjKind::Counter)?,
            "quotas" => self.objects(ObjKind::Quota)?,
            "limits" => self.objects(ObjKind::Limit)?,
            "ct" => {
                self.at -= 1;
                let kind = self.object_kind()?;
                match self.is_word("table") {
                    true => self.objects(kind)?,
                    false => Scope::Object(kind, self.named("an object")?),
                }
            }
            "meters" => Scope::Meters(self.optional_family()),
            "meter" => Scope::Set(self.named("a meter")?),
            // Offloaded flows, synproxies, security marks: there are none.
            "flowtables" | "synproxys" | "secmarks" => Scope::Nothing(self.optional_family()),
            // Functions that the kernel has at its hooks: for the eye.
            "hooks" => {
                while !self.at_end() {
                    self.next();
                }
                return Ok(());
            }
            "counter" => Scope::Object(ObjKind::Counter, self.named("a counter")?),
            "quota" => Scope::Object(ObjKind::Quota, self.named("a quota")?),
            "limit" => Scope::Object(ObjKind::Limit, self.named("a limit")?),
            _ => {
                self.at -= 1;
                return self.error(format!("cannot {verb} this"));
            }
        };
        let possible = match verb {
            "flush" => matches!(
                scope,
                Scope::Ruleset(_) | Scope::Table(_) | Scope::Chain(_) | Scope::Set(_)
            ),
            "reset" => matches!(
                scope,
                Scope::Objects(..) | Scope::ObjectsOf(..) | Scope::Object(..)
            ),
            _ => true,
        };
        if !possible {
            let places = self.take_places();
            return self.error_at_start(&places, format!("cannot {verb} this"));
        }
        let action = match verb {
            "flush" => Action::Flush(scope),
            "reset" => Action::Reset(scope),
            _ => Action::List { scope, handles },
        };
        let places = self.take_places();
        self.push(places, action);
        Ok(())
    }

    /// `counters [FAMILY]`, `counters table [FAMILY] NAME`
    fn objects(&mut self, kind: ObjKind) -> Result<Scope, NftError> {
        if self.take_word("table") {
            return Ok(Scope::ObjectsOf(kind, self.table_name()?));
        }
        Ok(Scope::Objects(self.optional_family(), kind))
    }

    fn optional_family(&mut self) -> Option<TableFamily> {
        let family = TableFamily::from_name(&self.peek().text)?;
        self.next();
        Some(family)
    }
}
