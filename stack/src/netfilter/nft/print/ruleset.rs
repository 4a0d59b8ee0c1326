//! Tables, chains, sets and objects.

use super::{Printer, put, separated};
use crate::Ps;
use crate::hook::Hook;
use crate::netfilter::nft::DataType;
use crate::netfilter::nft::expr::Elem;
use crate::netfilter::nft::model::{ObjectSpec, ct_timeout_states};
use crate::netfilter::nft::parse::type_names;
use crate::netfilter::nft::priority;
use crate::netfilter::nft::ruleset::{Chain, Object, ObjectState, Ruleset, Set, Table};
use crate::netfilter::nft::stmt::Stmt;
use std::fmt::Write as _;

/// How far lines are indented, and what is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indent {
    /// Everything in the table.
    Whole,
    /// Declarations without rules.
    Declared,
}

/// Elements on one line, by the type of the key (`calculate_delim()`).
fn elements_per_line(types: &[DataType]) -> usize {
    use DataType as T;
    match types {
        [
            T::NfProto
            | T::Integer(_)
            | T::HostInteger(_)
            | T::ArpOp
            | T::InetProto
            | T::InetService
            | T::TcpFlag
            | T::Mark
            | T::IfaceIndex
            | T::ClassId
            | T::Uid
            | T::Gid
            | T::CtDir,
        ] => 5,
        [T::Ipv4Addr | T::CtState | T::CtStatus | T::PktType] => 2,
        _ => 1,
    }
}

impl Printer<'_> {
    fn handle(&self, handle: u64, out: &mut String) {
        if self.handles {
            put!(out, " # handle {handle}");
        }
        out.push('\n');
    }

    /// `table FAMILY NAME {` and what `inside` writes.
    pub fn table_frame(&self, table: &Table, out: &mut String, inside: impl FnOnce(&mut String)) {
        put!(
            out,
            "table {} {} {{",
            table.name.family.name(),
            table.name.name
        );
        self.handle(table.handle, out);
        inside(out);
        out.push_str("}\n");
    }

    pub fn table(&self, rules: &Ruleset, table: &Table, now: Ps, out: &mut String) {
        self.table_frame(table, out, |out| {
            let mut first = true;
            if table.dormant {
                out.push_str("\tflags dormant\n");
                first = false;
            }
            if let Some(comment) = &table.comment {
                put!(out, "\tcomment \"{comment}\"\n");
            }
            let gap = |first: &mut bool, out: &mut String| {
                if !std::mem::replace(first, false) {
                    out.push('\n');
                }
            };
            let objects = table.objects.iter().filter_map(|id| rules.objects.get(*id));
            for object in objects {
                gap(&mut first, out);
                self.object(object, out);
            }
            let sets = table.sets.iter().filter_map(|id| rules.sets.get(*id));
            for set in sets.filter(|set| !set.spec.is_meter) {
                gap(&mut first, out);
                self.set_block(rules, set, now, out);
            }
            for chain in table.chains.iter().filter_map(|id| rules.chains.get(*id)) {
                gap(&mut first, out);
                self.chain(chain, Indent::Whole, out);
            }
        });
    }

    pub fn chain(&self, chain: &Chain, what: Indent, out: &mut String) {
        put!(out, "\tchain {} {{", chain.name);
        self.handle(chain.handle, out);
        if let Some(comment) = chain.comment.as_ref().filter(|_| what == Indent::Whole) {
            put!(out, "\t\tcomment \"{comment}\"\n");
        }
        if let Some(base) = &chain.base {
            let hook = match base.hook {
                Hook::NetdevIngress => "ingress",
                Hook::NetdevEgress => "egress",
                hook => hook.name(),
            };
            put!(out, "\t\ttype {} hook {hook}", base.kind.name());
            match base.devices.as_slice() {
                [] => {}
                [one] => {
                    put!(out, " device \"{one}\"");
                }
                many => {
                    out.push_str(" devices = { ");
                    separated(many, ", ", out, |name, out| {
                        put!(out, "\"{name}\"");
                    });
                    out.push_str(" }");
                }
            }
            out.push_str(" priority ");
            priority::print(chain.table.family, base.hook, base.priority, out);
            put!(out, "; policy {};\n", base.policy.name());
        }
        if what == Indent::Whole {
            for rule in &chain.rules {
                out.push_str("\t\t");
                let comment = rule.comment.as_deref();
                self.rule(&rule.current(), comment, chain.table.family, out);
                self.handle(rule.handle, out);
            }
        }
        out.push_str("\t}\n");
    }

    /// A set with its elements.
    pub fn set_block(&self, rules: &Ruleset, set: &Set, now: Ps, out: &mut String) {
        let spec = &set.spec;
        let word = if spec.is_map { "map" } else { "set" };
        put!(out, "\t{word} {} {{", set.name);
        self.handle(set.handle, out);
        match &spec.key_typeof {
            Some(key) => {
                out.push_str("\t\ttypeof ");
                self.expr(key, out);
            }
            None => {
                put!(out, "\t\ttype {}", type_names(&spec.key));
            }
        }
        match (&spec.data_typeof, spec.object) {
            (Some(data), _) => {
                out.push_str(" : ");
                self.expr(data, out);
            }
            (None, Some(kind)) => {
                put!(out, " : {}", kind.name());
            }
            (None, None) if spec.is_map => {
                let interval = if spec.data_interval { "interval " } else { "" };
                put!(out, " : {interval}{}", type_names(&spec.data));
            }
            _ => {}
        }
        out.push('\n');
        if spec.policy_memory {
            out.push_str("\t\tpolicy memory\n");
        }
        if let Some(size) = spec.size {
            put!(out, "\t\tsize {size}\n");
        }
        let flags = [
            (spec.constant, "constant"),
            (spec.dynamic, "dynamic"),
            (spec.interval, "interval"),
            (spec.has_timeout, "timeout"),
        ];
        // A timeout says the flag alone (set_print_declaration()).
        let said =
            |(set, word): &(bool, &str)| *set && (*word != "timeout" || spec.timeout.is_none());
        if flags.iter().any(said) {
            out.push_str("\t\tflags ");
            let set = flags.iter().filter(|(set, _)| *set);
            separated(set, ",", out, |(_, word), out| out.push_str(word));
            out.push('\n');
        }
        if spec.auto_merge {
            out.push_str("\t\tauto-merge\n");
        }
        if !spec.stmts.is_empty() {
            out.push_str("\t\t");
            separated(spec.stmts.iter(), " ", out, |stmt, out| match stmt {
                Stmt::Counter { .. } => out.push_str("counter"),
                stmt => self.stmt(stmt, None, out),
            });
            out.push('\n');
        }
        for (word, time) in [("timeout", spec.timeout), ("gc-interval", spec.gc_interval)] {
            if let Some(time) = time {
                put!(out, "\t\t{word} ");
                crate::netfilter::nft::datatype::print_time(time, out);
                out.push('\n');
            }
        }
        if let Some(comment) = &spec.comment {
            put!(out, "\t\tcomment \"{comment}\"\n");
        }
        let elems = rules.elements(set, now);
        if !elems.is_empty() {
            self.elements(&spec.key, &elems, out);
        }
        out.push_str("\t}\n");
    }

    fn elements(&self, types: &[DataType], elems: &[Elem], out: &mut String) {
        let per_line = elements_per_line(types);
        out.push_str("\t\telements = { ");
        for (i, elem) in elems.iter().enumerate() {
            if i > 0 && i % per_line == 0 {
                out.push_str(",\n\t\t\t     ");
            } else if i > 0 {
                out.push_str(", ");
            }
            self.elem(types, elem, out);
        }
        out.push_str(" }\n");
    }

    pub fn object(&self, object: &Object, out: &mut String) {
        put!(out, "\t{} {} {{", object.spec.kind().name(), object.name);
        self.handle(object.handle, out);
        if let Some(comment) = &object.comment {
            put!(out, "\t\tcomment \"{comment}\"\n");
        }
        match (&object.state, &object.spec) {
            (ObjectState::Stateful(state), _) => match state.stmt() {
                Stmt::Counter { .. } if self.stateless => {}
                Stmt::Counter { packets, bytes } => {
                    put!(out, "\t\tpackets {packets} bytes {bytes}\n");
                }
                Stmt::Limit(limit) => {
                    out.push_str("\t\t");
                    self.limit(&limit, out);
                    out.push('\n');
                }
                Stmt::Quota(quota) => {
                    out.push_str("\t\t");
                    self.quota(&quota, out);
                    out.push('\n');
                }
                _ => {}
            },
            (
                ObjectState::Stateless,
                ObjectSpec::CtExpectation {
                    protocol,
                    dport,
                    timeout,
                    size,
                    l3proto,
                },
            ) => {
                out.push_str("\t\tprotocol ");
                DataType::InetProto.print((*protocol).into(), out);
                put!(out, "\n\t\tdport {dport}\n\t\ttimeout ");
                crate::netfilter::nft::datatype::print_time(*timeout, out);
                let l3proto = l3proto.unwrap_or(object.table.family);
                put!(out, "\n\t\tsize {size}\n\t\tl3proto {}\n", l3proto.name());
            }
            (
                ObjectState::Stateless,
                ObjectSpec::CtTimeout {
                    protocol,
                    l3proto,
                    policy,
                },
            ) => {
                let name = if *protocol == 6 { "tcp" } else { "udp" };
                let l3proto = l3proto.unwrap_or(object.table.family);
                put!(out, "\t\tprotocol {name}\n\t\tl3proto {}\n", l3proto.name());
                let usual = ct_timeout_states(*protocol);
                let unusual = policy.iter().filter(|state| !usual.contains(state));
                out.push_str("\t\tpolicy = { ");
                separated(unusual, ", ", out, |(state, seconds), out| {
                    put!(out, "{state} : {seconds}");
                });
                out.push_str(" }\n");
            }
            (
                ObjectState::Stateless,
                ObjectSpec::CtHelper {
                    helper,
                    protocol,
                    l3proto,
                },
            ) => {
                let protocol = if *protocol == 6 { "tcp" } else { "udp" };
                put!(out, "\t\ttype \"{helper}\" protocol {protocol}\n");
                let l3proto = l3proto.unwrap_or(object.table.family);
                put!(out, "\t\tl3proto {}\n", l3proto.name());
            }
            _ => {}
        }
        out.push_str("\t}\n");
    }
}
