//! `table … { … }`, `chain … { … }`, `set … { … }` and objects.
//!
//! What a block declares comes in nft's order, whatever the order in the text: table, chains, objects, sets, elements, rules. So a rule
//! may jump to a chain that is written further down.

use super::Parser;
use crate::hook::Hook;
use crate::netfilter::nft::DataType;
use crate::netfilter::nft::command::{Action, Cmd, Named, Place, Places};
use crate::netfilter::nft::error::{NftError, Pos};
use crate::netfilter::nft::expr::Elem;
use crate::netfilter::nft::lex::Kind;
use crate::netfilter::nft::model::{
    BaseChain, ChainType, ObjectSpec, Policy, SetSpec, TableFamily, ct_timeout_states,
};
use crate::netfilter::nft::priority;
use crate::netfilter::nft::stmt::{ObjKind, Stmt};

impl Parser<'_> {
    /// Goes past separators; `true` when the block ends, the brace taken.
    fn block_end(&mut self) -> Result<bool, NftError> {
        while self.peek().kind == Kind::Newline || self.is(";") {
            self.at += 1;
        }
        if self.peek().kind == Kind::End {
            return self.error("the block is not closed");
        }
        Ok(self.take("}"))
    }

    pub(super) fn table_block(&mut self, create: bool) -> Result<(), NftError> {
        let table = self.table_name()?;
        self.table = table.clone();
        let places = self.take_places();
        let (mut comment, mut dormant) = (None, None);
        let start = self.commands.len();
        let (mut elements, mut rules) = (Vec::new(), Vec::new());
        if self.take("{") {
            self.declare_sets();
            while !self.block_end()? {
                let pos = self.pos();
                self.places = Places {
                    start: self.at,
                    elems: Vec::new(),
                    mentions: Vec::new(),
                    ..places.clone()
                };
                let word = self.word("a part of a table")?;
                let named = |p: &mut Self, what: &str| {
                    p.places.name = p.at;
                    Ok::<_, NftError>(Named {
                        table: table.clone(),
                        name: p.name(what)?,
                        handle: None,
                    })
                };
                match word.as_str() {
                    "chain" => {
                        let chain = named(self, "a chain")?;
                        self.chain_block(chain, false, &mut rules)?;
                    }
                    "set" | "map" => {
                        let set = named(self, "a set")?;
                        self.expect("{")?;
                        self.set_block(set, false, word == "map", &mut elements)?;
                    }
                    "counter" | "quota" | "limit" | "ct" => {
                        self.at -= 1;
                        let kind = self.object_kind()?;
                        let object = named(self, "an object")?;
                        self.object_block(kind, object, false)?;
                    }
                    "comment" => comment = Some(self.comment()?),
                    "flags" => {
                        self.expect_word("dormant")?;
                        dormant = Some(true);
                    }
                    "flowtable" => return Err(pos.error("flow tables are not supported")),
                    _ => return Err(pos.error("unknown part of a table")),
                }
            }
            dormant = dormant.or(Some(false));
        }
        self.commands.insert(
            start,
            Cmd {
                places,
                action: Action::AddTable {
                    table,
                    create,
                    comment,
                    dormant,
                },
            },
        );
        // A stable sort keeps the order within each kind.
        self.commands[start + 1..].sort_by_key(|c| match c.action {
            Action::AddChain { .. } => 0,
            Action::AddObject { .. } => 1,
            _ => 2,
        });
        self.commands.append(&mut elements);
        self.commands.append(&mut rules);
        Ok(())
    }

    /// Makes the sets of the table whose block begins here known to rules above them. What is wrong with a set is said when it is read.
    fn declare_sets(&mut self) {
        let (start, depth) = (self.at, self.depth);
        let known = self.commands.len();
        let mut nested = 0usize;
        while self.peek().kind != Kind::End {
            let is_set = nested == 0
                && (self.is_word("set") || self.is_word("map"))
                && self.peek_at(2).is("{");
            if self.is("{") {
                nested += 1;
            } else if self.is("}") {
                match nested.checked_sub(1) {
                    Some(outer) => nested = outer,
                    None => break,
                }
            } else if is_set {
                let (at, is_map) = (self.at, self.is_word("map"));
                let set = Named {
                    table: self.table.clone(),
                    name: self.peek_at(1).text.clone(),
                    handle: None,
                };
                self.at += 3;
                let _ = self.set_block(set, false, is_map, &mut Vec::new());
                self.at = at;
            }
            self.at += 1;
        }
        self.commands.truncate(known);
        (self.at, self.depth) = (start, depth);
    }

    /// A chain, with or without a block; its rules go to `rules`.
    pub(super) fn chain_block(
        &mut self,
        chain: Named,
        create: bool,
        rules: &mut Vec<Cmd>,
    ) -> Result<(), NftError> {
        let own = self.take_places();
        let mut base: Option<BaseChain> = None;
        let (mut policy, mut comment) = (None, None);
        if self.take("{") {
            while !self.block_end()? {
                if self.is_word("type") {
                    if base.is_some() {
                        return self.error("the chain has a type already");
                    }
                    base = Some(self.hook_spec()?);
                } else if self.take_word("policy") {
                    let word = self.word("a policy")?;
                    policy = Some(match word.as_str() {
                        "accept" => Policy::Accept,
                        "drop" => Policy::Drop,
                        _ => {
                            self.at -= 1;
                            return self.error("a policy is accept or drop");
                        }
                    });
                } else if self.take_word("comment") {
                    comment = Some(self.comment()?);
                } else if self.is_word("flags") || self.is_word("devices") {
                    return self.error("is not supported here");
                } else {
                    self.places = Places {
                        start: self.at,
                        ..own.clone()
                    };
                    let rule = self.rule()?;
                    let place = Place::Last;
                    let chain = chain.clone();
                    rules.push(Cmd {
                        places: self.take_places(),
                        action: Action::AddRule { chain, place, rule },
                    });
                    continue;
                }
                self.end_of_stmt()?;
            }
        }
        if let (Some(base), Some(policy)) = (&mut base, policy) {
            base.policy = policy;
        }
        self.push(
            own,
            Action::AddChain {
                chain,
                create,
                base,
                policy,
                comment,
            },
        );
        Ok(())
    }

    /// `type T hook H [device D] priority P`
    fn hook_spec(&mut self) -> Result<BaseChain, NftError> {
        self.expect_word("type")?;
        let kind = match self.word("a chain type")?.as_str() {
            "filter" => ChainType::Filter,
            "route" => ChainType::Route,
            "nat" => ChainType::Nat,
            _ => {
                self.at -= 1;
                return self.error("a chain's type is filter, route or nat");
            }
        };
        self.expect_word("hook")?;
        let hook = match self.word("a hook")?.as_str() {
            "ingress" => Hook::NetdevIngress,
            "egress" => Hook::NetdevEgress,
            "prerouting" => Hook::PreRouting,
            "input" => Hook::LocalIn,
            "forward" => Hook::Forward,
            "output" => Hook::LocalOut,
            "postrouting" => Hook::PostRouting,
            _ => {
                self.at -= 1;
                return self.error("unknown hook");
            }
        };
        let family = self.table.family;
        let at_device = matches!(hook, Hook::NetdevIngress | Hook::NetdevEgress);
        let fits = match family {
            TableFamily::Netdev => at_device,
            TableFamily::Inet => hook != Hook::NetdevEgress,
            _ => !at_device,
        };
        if !fits {
            self.at -= 1;
            return self.error(format!("family {} has no such hook", family.name()));
        }
        let mut devices = Vec::new();
        if self.take_word("device") {
            devices.push(self.string("a device")?);
        } else if self.take_word("devices") {
            self.expect("=")?;
            self.expect("{")?;
            self.skip_newlines();
            while !self.take("}") {
                devices.push(self.string("a device")?);
                self.skip_newlines();
                if !self.take(",") && !self.is("}") {
                    return self.error("expected , or }");
                }
                self.skip_newlines();
            }
        }
        if devices.is_empty() == at_device {
            return self.error(if at_device {
                "a chain at this hook needs a device"
            } else {
                "only ingress and egress chains have devices"
            });
        }
        self.expect_word("priority")?;
        let priority = self.priority(family, hook)?;
        Ok(BaseChain {
            kind,
            hook,
            priority,
            policy: Policy::Accept,
            devices,
        })
    }

    /// A number, or a name with an offset: `filter`, `mangle - 5`.
    fn priority(&mut self, family: TableFamily, hook: Hook) -> Result<i32, NftError> {
        let pos = self.pos();
        let sign = |p: &mut Self| {
            if p.take("-") {
                Some(-1)
            } else if p.take("+") {
                Some(1)
            } else {
                None
            }
        };
        let leading = sign(self);
        if self.peek().text.starts_with(|c: char| c.is_ascii_digit()) {
            let n = self.number("a priority", i32::MAX as u64)? as i32;
            return Ok(n * leading.unwrap_or(1));
        }
        let name = self.word("a priority")?;
        let Some(base) = priority::from_name(family, hook, &name) else {
            return Err(pos.error("is no priority of this family and hook"));
        };
        match sign(self) {
            None => Ok(base),
            Some(sign) => {
                let n = self.number("an offset", i32::MAX as u64)? as i32;
                base.checked_add(sign * n)
                    .ok_or_else(|| pos.error("the priority is out of range"))
            }
        }
    }

    /// The inside of a set's block, the opening brace taken.
    pub(super) fn set_block(
        &mut self,
        set: Named,
        create: bool,
        is_map: bool,
        elements: &mut Vec<Cmd>,
    ) -> Result<(), NftError> {
        let own = self.take_places();
        let mut spec = SetSpec {
            is_map,
            ..SetSpec::default()
        };
        let mut elems: Option<(Places, Vec<Elem>)> = None;
        while !self.block_end()? {
            let pos = self.pos();
            match self.word("a property of a set")?.as_str() {
                "type" => {
                    spec.key = self.type_list()?;
                    if is_map {
                        self.expect(":")?;
                        match self.object_word() {
                            Some(kind) => spec.object = Some(kind),
                            None => {
                                spec.data_interval = self.take_word("interval");
                                spec.data = self.type_list()?;
                            }
                        }
                    }
                }
                "typeof" => {
                    let key = self.concat_expr(&[])?;
                    spec.key = key.types();
                    spec.key_typeof = Some(key);
                    if is_map {
                        self.expect(":")?;
                        if self.take_word("verdict") {
                            spec.data = vec![crate::netfilter::nft::DataType::Verdict];
                        } else if let Some(kind) = self.object_word() {
                            spec.object = Some(kind);
                        } else {
                            let data = self.concat_expr(&[])?;
                            spec.data = data.types();
                            spec.data_typeof = Some(data);
                        }
                    }
                }
                "flags" => self.set_flags(&mut spec)?,
                "timeout" => {
                    spec.timeout = Some(self.time()?);
                    spec.has_timeout = true;
                }
                "gc-interval" => spec.gc_interval = Some(self.time()?),
                "size" => spec.size = Some(self.number("a size", u32::MAX.into())? as u32),
                "policy" => {
                    spec.policy_memory = self.take_word("memory");
                    if !spec.policy_memory {
                        self.expect_word("performance")?;
                    }
                }
                "auto-merge" => spec.auto_merge = true,
                "comment" => spec.comment = Some(self.comment()?),
                "counter" | "limit" | "quota" | "ct" => {
                    self.at -= 1;
                    let stmt = self.stateful()?;
                    spec.stmts.push(stmt);
                }
                "elements" => {
                    self.expect("=")?;
                    let data = is_map.then_some(spec.data.as_slice());
                    let found = self.set_literal(&spec.key, data, spec.object)?;
                    let (start, name) = (own.start, own.name);
                    let places = Places {
                        start,
                        name,
                        table: own.table,
                        ..self.take_places()
                    };
                    elems = Some((places, found));
                }
                _ => return Err(pos.error("unknown property of a set")),
            }
            self.end_of_stmt()?;
        }
        if spec.key.is_empty() {
            return self.error_at_start(&own, "the set has no type");
        }
        if spec.key.contains(&crate::netfilter::nft::DataType::Verdict) {
            return self.error_at_start(&own, "a verdict cannot be a key");
        }
        self.sets
            .insert((set.table.clone(), set.name.clone()), spec.clone());
        if let Some((places, elems)) = elems {
            let (set, create) = (set.clone(), false);
            let action = Action::AddElements { set, create, elems };
            elements.push(Cmd { places, action });
        }
        let spec = Box::new(spec);
        self.push(own, Action::AddSet { set, create, spec });
        Ok(())
    }

    /// The kind of objects that a map's data are.
    fn object_word(&mut self) -> Option<ObjKind> {
        let kind = match self.peek().text.as_str() {
            "counter" => ObjKind::Counter,
            "quota" => ObjKind::Quota,
            "limit" => ObjKind::Limit,
            _ => return None,
        };
        self.next();
        Some(kind)
    }

    fn type_list(&mut self) -> Result<Vec<crate::netfilter::nft::DataType>, NftError> {
        let mut types = Vec::new();
        loop {
            let pos = self.pos();
            let name = self.word("a type")?;
            let found = crate::netfilter::nft::DataType::from_name(&name);
            types.push(found.ok_or_else(|| pos.error("unknown type"))?);
            if !self.take(".") {
                return Ok(types);
            }
        }
    }

    fn set_flags(&mut self, spec: &mut SetSpec) -> Result<(), NftError> {
        loop {
            match self.word("a flag")?.as_str() {
                "constant" => spec.constant = true,
                "interval" => spec.interval = true,
                "timeout" => spec.has_timeout = true,
                "dynamic" => spec.dynamic = true,
                _ => {
                    self.at -= 1;
                    return self.error("unknown flag of a set");
                }
            }
            if !self.take(",") {
                return Ok(());
            }
        }
    }

    /// An object, with or without its block.
    pub(super) fn object_block(
        &mut self,
        kind: ObjKind,
        object: Named,
        create: bool,
    ) -> Result<(), NftError> {
        let places = self.take_places();
        let block = self.take("{");
        let mut comment = None;
        if block {
            self.skip_newlines();
            if self.take_word("comment") {
                comment = Some(self.comment()?);
                if !self.is_word("packets") {
                    self.end_of_stmt()?;
                }
                self.skip_newlines();
            }
        }
        let spec = match kind {
            ObjKind::Counter => {
                let (packets, bytes) = self.counter_values()?;
                ObjectSpec::Stateful(Stmt::Counter { packets, bytes })
            }
            ObjKind::Quota => ObjectSpec::Stateful(Stmt::Quota(self.quota()?)),
            ObjKind::Limit => ObjectSpec::Stateful(Stmt::Limit(self.limit()?)),
            ObjKind::CtHelper => self.ct_helper()?,
            ObjKind::CtTimeout => self.ct_timeout()?,
            ObjKind::CtExpectation => self.ct_expectation()?,
        };
        if block && !self.block_end()? {
            self.expect_word("comment")?;
            comment = Some(self.comment()?);
            if !self.block_end()? {
                return self.error("expected }");
            }
        }
        self.push(
            places,
            Action::AddObject {
                object,
                create,
                spec,
                comment,
            },
        );
        Ok(())
    }

    /// `[protocol tcp;] [l3proto ip;] policy = { STATE : SECONDS, … };`
    fn ct_timeout(&mut self) -> Result<ObjectSpec, NftError> {
        let (mut protocol, mut l3proto, mut policy) = (6, None, Vec::new());
        loop {
            while self.peek().kind == Kind::Newline || self.is(";") {
                self.at += 1;
            }
            if self.is("}") || self.is_word("comment") || self.peek().kind == Kind::End {
                break;
            }
            let pos = self.pos();
            match self.word("protocol, l3proto or policy")?.as_str() {
                "protocol" => {
                    let at = self.pos();
                    protocol = match self.word("tcp or udp")?.as_str() {
                        "tcp" => 6,
                        "udp" => 17,
                        _ => return Err(at.error("timeouts are those of tcp or udp")),
                    };
                }
                "l3proto" => {
                    let at = self.pos();
                    let family = TableFamily::from_name(&self.word("a family")?);
                    l3proto = Some(family.ok_or_else(|| at.error("unknown family"))?);
                }
                "policy" => policy = self.timeout_policy()?,
                _ => return Err(pos.error("expected protocol, l3proto or policy")),
            }
        }
        // The protocol may stand behind the states.
        let states = ct_timeout_states(protocol);
        let place = |state: &str| states.iter().position(|(name, _)| *name == state);
        let mut found = Vec::new();
        for (at, state, seconds) in policy {
            let Some(place) = place(&state) else {
                return Err(at.error("is no state of this protocol"));
            };
            found.push((place, seconds));
        }
        found.sort_unstable();
        Ok(ObjectSpec::CtTimeout {
            protocol,
            l3proto,
            policy: found
                .iter()
                .map(|(place, seconds)| (states[*place].0, *seconds))
                .collect(),
        })
    }

    /// `protocol tcp; dport N; timeout T; size N; [l3proto ip;]`
    fn ct_expectation(&mut self) -> Result<ObjectSpec, NftError> {
        let start = self.pos();
        let (mut protocol, mut dport, mut l3proto) = (None, None, None);
        let (mut timeout, mut size) = (None, None);
        loop {
            while self.peek().kind == Kind::Newline || self.is(";") {
                self.at += 1;
            }
            if self.is("}") || self.is_word("comment") || self.peek().kind == Kind::End {
                break;
            }
            let pos = self.pos();
            match self
                .word("protocol, dport, timeout, size or l3proto")?
                .as_str()
            {
                "protocol" => protocol = Some(self.constant(DataType::InetProto)? as u8),
                "dport" => dport = Some(self.number("a port", u16::MAX.into())? as u16),
                "timeout" => timeout = Some(self.time()?),
                "size" => size = Some(self.number("a number", u8::MAX.into())? as u8),
                "l3proto" => {
                    let at = self.pos();
                    let family = TableFamily::from_name(&self.word("a family")?);
                    l3proto = Some(family.ok_or_else(|| at.error("unknown family"))?);
                }
                _ => return Err(pos.error("expected protocol, dport, timeout, size or l3proto")),
            }
        }
        // nft_ct_expect_obj_init()
        let missing = || start.error("an expectation has protocol, dport, timeout and size");
        Ok(ObjectSpec::CtExpectation {
            protocol: protocol.ok_or_else(missing)?,
            dport: dport.ok_or_else(missing)?,
            timeout: timeout.ok_or_else(missing)?,
            size: size.ok_or_else(missing)?,
            l3proto,
        })
    }

    /// `= { STATE : SECONDS, … }`
    fn timeout_policy(&mut self) -> Result<Vec<(Pos, String, u32)>, NftError> {
        self.expect("=")?;
        self.expect("{")?;
        let mut policy = Vec::new();
        loop {
            self.skip_newlines();
            if self.take("}") {
                return Ok(policy);
            }
            let pos = self.pos();
            let state = self.word("a state")?;
            self.expect(":")?;
            let seconds = self.number("a number of seconds", u32::MAX.into())? as u32;
            policy.push((pos, state, seconds));
            self.skip_newlines();
            if !self.take(",") && !self.is("}") {
                return self.error("expected , or }");
            }
        }
    }

    /// `type "ftp" protocol tcp; [l3proto ip;]`
    fn ct_helper(&mut self) -> Result<ObjectSpec, NftError> {
        self.expect_word("type")?;
        let helper = self.string("a helper")?;
        self.expect_word("protocol")?;
        let protocol = match self.word("tcp or udp")?.as_str() {
            "tcp" => 6,
            "udp" => 17,
            _ => {
                self.at -= 1;
                return self.error("a helper's protocol is tcp or udp");
            }
        };
        let mut l3proto = None;
        while self.peek().kind == Kind::Newline || self.is(";") {
            self.at += 1;
        }
        if self.take_word("l3proto") {
            let word = self.word("a family")?;
            l3proto = TableFamily::from_name(&word);
            if l3proto.is_none() {
                self.at -= 1;
                return self.error("unknown family");
            }
        }
        Ok(ObjectSpec::CtHelper {
            helper,
            protocol,
            l3proto,
        })
    }
}
