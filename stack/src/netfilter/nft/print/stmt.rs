//! Statements.

use super::{Printer, put, separated};
use crate::netfilter::nft::DataType;
use crate::netfilter::nft::expr::{Expr, Part};
use crate::netfilter::nft::model::TableFamily;
use crate::netfilter::nft::normal::part_of;
use crate::netfilter::nft::parse::{LOG_FLAGS, LOG_LEVELS, TIME_UNITS, default_reject};
use crate::netfilter::nft::stmt::{
    Limit, Log, Nat, NatArg, NatKind, Quota, RejectKind, RelOp, Rhs, SetOp, Stmt,
};
use std::fmt::Write as _;

impl Printer<'_> {
    /// All statements of a rule, and its comment.
    pub fn rule(
        &self,
        stmts: &[Stmt],
        comment: Option<&str>,
        family: TableFamily,
        out: &mut String,
    ) {
        separated(stmts, " ", out, |s, out| self.stmt(s, Some(family), out));
        if let Some(comment) = comment {
            put!(out, " comment \"{comment}\"");
        }
    }

    /// One statement; `family` of its table, `None` for statements of elements.
    pub fn stmt(&self, stmt: &Stmt, family: Option<TableFamily>, out: &mut String) {
        match stmt {
            Stmt::Match { left, op, right } => self.relation(left, *op, right, out),
            Stmt::Verdict(verdict) => self.verdict(verdict, out),
            Stmt::Vmap(key, set) => {
                self.expr(key, out);
                out.push_str(" vmap ");
                self.set_ref(&key.types(), set, out);
            }
            Stmt::Counter { .. } if self.stateless => out.push_str("counter"),
            Stmt::Counter { packets, bytes } => {
                put!(out, "counter packets {packets} bytes {bytes}");
            }
            Stmt::Limit(limit) => {
                out.push_str("limit ");
                self.limit(limit, out);
            }
            Stmt::Quota(quota) => {
                out.push_str("quota ");
                self.quota(quota, out);
            }
            Stmt::CtCount { count, over } => {
                let over = if *over { "over " } else { "" };
                put!(out, "ct count {over}{count}");
            }
            Stmt::ObjectMap(kind, key, set) => {
                let verb = if kind.is_ct() { "set" } else { "name" };
                put!(out, "{} {verb} ", kind.name());
                self.expr(key, out);
                out.push_str(" map ");
                self.set_ref(&key.types(), set, out);
            }
            Stmt::ResetTcpOption(e) => {
                out.push_str("reset ");
                self.expr(&Expr::Exthdr(*e), out);
            }
            Stmt::Object(kind, name) if kind.is_ct() => {
                put!(out, "{} set \"{name}\"", kind.name());
            }
            Stmt::Object(kind, name) => {
                put!(out, "{} name \"{name}\"", kind.name());
            }
            Stmt::Log(log) => self.log(log, out),
            Stmt::Reject(kind) => self.reject(*kind, family, out),
            Stmt::DupTo { addr, dev } => {
                out.push_str("dup to ");
                self.expr(addr, out);
                if let Some(dev) = dev {
                    out.push_str(" device ");
                    self.value(DataType::IfaceIndex, dev.0.into(), out);
                }
            }
            Stmt::Dup(dev) => {
                out.push_str("dup to ");
                self.value(DataType::IfaceIndex, dev.0.into(), out);
            }
            Stmt::Fwd(dev) => {
                out.push_str("fwd to ");
                self.value(DataType::IfaceIndex, dev.0.into(), out);
            }
            Stmt::Nat(nat) => self.nat(nat, out),
            Stmt::Notrack => out.push_str("notrack"),
            Stmt::SetMeta(key, value) => self.set(&Expr::Meta(*key), value, out),
            Stmt::SetCt(key, dir, value) => self.set(&Expr::Ct(*key, *dir), value, out),
            Stmt::SetPayload(field, value) => self.set(field, value, out),
            Stmt::SetExthdr(e, value) => self.set(&Expr::Exthdr(*e), value, out),
            Stmt::SetUpdate {
                op,
                set,
                key,
                data,
                timeout,
                stmts,
                meter,
            } => {
                let op = match op {
                    SetOp::Add => "add",
                    SetOp::Update => "update",
                    SetOp::Delete => "delete",
                };
                match meter {
                    Some(size) => {
                        put!(out, "meter {set} size {size} {{ ");
                    }
                    None => {
                        put!(out, "{op} @{set} {{ ");
                    }
                }
                self.expr(key, out);
                if let Some(timeout) = timeout {
                    out.push_str(" timeout ");
                    crate::netfilter::nft::datatype::print_time(*timeout, out);
                }
                for stmt in stmts {
                    out.push(' ');
                    self.stmt(stmt, None, out);
                }
                if let Some(data) = data {
                    out.push_str(" : ");
                    self.expr(data, out);
                }
                out.push_str(" }");
            }
        }
    }

    fn set(&self, what: &Expr, value: &Expr, out: &mut String) {
        self.expr(what, out);
        out.push_str(" set ");
        match value {
            Expr::Value(v, t) if t.is_bitmask() => self.flags(*t, *v, ",", out),
            value => self.expr(value, out),
        }
    }

    fn relation(&self, left: &Expr, op: RelOp, right: &Rhs, out: &mut String) {
        self.expr(left, out);
        if let Rhs::Masked { value, mask } = right
            && mask.count_ones() == 1
        {
            // One flag is no list.
            let t = left.dtype();
            out.push_str(" & ");
            t.print(*mask, out);
            out.push_str(if op == RelOp::Neq { " != " } else { " == " });
            t.print(*value, out);
            return;
        }
        let one_value = matches!(right, Rhs::Parts(p) if matches!(p.as_slice(), [Part::Value(_)]));
        let arithmetic = matches!(left, Expr::Bin(..)) && one_value;
        out.push_str(match op {
            RelOp::Implicit if arithmetic => " == ",
            RelOp::Implicit => " ",
            RelOp::Eq => " == ",
            RelOp::Neq => " != ",
            RelOp::Lt => " < ",
            RelOp::Gt => " > ",
            RelOp::Lte => " <= ",
            RelOp::Gte => " >= ",
            RelOp::Neg => " ! ",
        });
        let types = left.types();
        let t = left.dtype();
        match right {
            Rhs::Parts(parts) => match (parts.as_slice(), raw_root(left)) {
                // nft does not know what a raw number means.
                ([Part::Value(v)], true) => {
                    put!(out, "0x{v:x}");
                }
                ([Part::Value(v)], _) if t == DataType::TcpFlag => t.print(*v, out),
                _ => self.parts(&types, parts, out),
            },
            Rhs::Flags(value) => self.flags(t, *value, ",", out),
            Rhs::Masked { value, mask } => {
                if *value == 0 {
                    t.print(0, out);
                } else {
                    self.flags(t, *value, ",", out);
                }
                out.push_str(" / ");
                self.flags(t, *mask, ",", out);
            }
            Rhs::Set(set) => self.set_ref(&types, set, out),
        }
    }

    /// The largest unit that divides the number.
    fn byte_count(&self, n: u64, out: &mut String) {
        let (n, unit) = if n > 0 && n.is_multiple_of(1 << 20) {
            (n >> 20, "mbytes")
        } else if n > 0 && n.is_multiple_of(1 << 10) {
            (n >> 10, "kbytes")
        } else {
            (n, "bytes")
        };
        put!(out, "{n} {unit}");
    }

    /// Behind the word `limit`.
    pub fn limit(&self, limit: &Limit, out: &mut String) {
        out.push_str("rate ");
        if limit.over {
            out.push_str("over ");
        }
        if limit.bytes {
            self.byte_count(limit.rate, out);
        } else {
            put!(out, "{}", limit.rate);
        }
        let unit = TIME_UNITS.iter().find(|(_, s)| *s == limit.unit);
        put!(out, "/{}", unit.map_or("second", |(name, _)| name));
        match (limit.bytes, limit.burst) {
            (true, 0) | (false, 5) => {}
            (true, burst) => {
                out.push_str(" burst ");
                self.byte_count(burst, out);
            }
            (false, burst) => {
                put!(out, " burst {burst} packets");
            }
        }
    }

    /// Behind the word `quota`.
    pub fn quota(&self, quota: &Quota, out: &mut String) {
        if quota.over {
            out.push_str("over ");
        }
        self.byte_count(quota.bytes, out);
        if quota.used > 0 && !self.stateless {
            out.push_str(" used ");
            self.byte_count(quota.used, out);
        }
    }

    fn log(&self, log: &Log, out: &mut String) {
        out.push_str("log");
        if let Some(prefix) = &log.prefix {
            put!(out, " prefix \"{prefix}\"");
        }
        if let Some(group) = log.group {
            put!(out, " group {group}");
        }
        if let Some(snaplen) = log.snaplen {
            put!(out, " snaplen {snaplen}");
        }
        if let Some(threshold) = log.queue_threshold {
            put!(out, " queue-threshold {threshold}");
        }
        if let Some(level) = log.level.filter(|l| *l != 4)
            && let Some(name) = LOG_LEVELS.get(usize::from(level))
        {
            put!(out, " level {name}");
        }
        let all = LOG_FLAGS.iter().fold(0, |all, (_, bit)| all | bit);
        if log.flags == all {
            out.push_str(" flags all");
            return;
        }
        if log.flags & 3 != 0 {
            out.push_str(" flags tcp ");
            let words = [(1, "sequence"), (2, "options")];
            let set = words.iter().filter(|(bit, _)| log.flags & bit != 0);
            separated(set, ",", out, |(_, word), out| out.push_str(word));
        }
        for (name, bit) in &LOG_FLAGS[2..] {
            if log.flags & bit != 0 {
                put!(out, " flags {name}");
            }
        }
    }

    fn reject(&self, kind: Option<RejectKind>, family: Option<TableFamily>, out: &mut String) {
        out.push_str("reject");
        let Some(kind) = kind else { return };
        if family.is_some_and(|f| default_reject(f) == kind) {
            return;
        }
        let (word, t, code) = match kind {
            RejectKind::TcpReset => {
                out.push_str(" with tcp reset");
                return;
            }
            RejectKind::Icmp(code) => ("icmp", DataType::IcmpCode, code),
            RejectKind::Icmpv6(code) => ("icmpv6", DataType::Icmpv6Code, code),
            RejectKind::Icmpx(code) => ("icmpx", DataType::IcmpxCode, code),
        };
        put!(out, " with {word} ");
        t.print(code.into(), out);
    }

    fn nat(&self, nat: &Nat, out: &mut String) {
        out.push_str(match nat.kind {
            NatKind::Snat => "snat",
            NatKind::Dnat => "dnat",
            NatKind::Masquerade => "masquerade",
            NatKind::Redirect => "redirect",
        });
        let v6 = nat.version == Some(6);
        if nat.print_version {
            out.push_str(if v6 { " ip6" } else { " ip" });
        }
        if nat.prefix {
            out.push_str(" prefix");
        }
        if nat.addr.is_some() || nat.port.is_some() {
            out.push_str(" to ");
        }
        let t = if v6 {
            DataType::Ipv6Addr
        } else {
            DataType::Ipv4Addr
        };
        match &nat.addr {
            None => {}
            Some(NatArg::Expr(e)) => self.expr(e, out),
            // range_expr_to_prefix(): brackets are for single addresses and ranges only.
            Some(NatArg::Part(Part::Range(lo, hi)))
                if matches!(part_of(*lo, *hi, t), Part::Prefix(..)) =>
            {
                self.part(t, part_of(*lo, *hi, t), out);
            }
            Some(NatArg::Part(part)) if v6 && nat.port.is_some() => match *part {
                // With a port the address stands in brackets.
                Part::Range(lo, hi) => {
                    out.push('[');
                    t.print(lo, out);
                    out.push_str("]-[");
                    t.print(hi, out);
                    out.push(']');
                }
                part => {
                    out.push('[');
                    self.part(t, part, out);
                    out.push(']');
                }
            },
            Some(NatArg::Part(part)) => self.part(t, *part, out),
        }
        match &nat.port {
            None => {}
            Some(NatArg::Expr(e)) => {
                out.push(':');
                self.expr(e, out);
            }
            Some(NatArg::Part(part)) => {
                out.push(':');
                self.part(DataType::InetService, *part, out);
            }
        }
        let flags = [
            (nat.random, "random"),
            (nat.fully_random, "fully-random"),
            (nat.persistent, "persistent"),
        ];
        let set: Vec<_> = flags.iter().filter(|(set, _)| *set).collect();
        if !set.is_empty() {
            out.push(' ');
            separated(set, ",", out, |(_, word), out| out.push_str(word));
        }
    }
}

/// Whether the value comes from a raw payload.
fn raw_root(expr: &Expr) -> bool {
    match expr {
        Expr::Raw(..) => true,
        Expr::Bin(_, left, _) => raw_root(left),
        _ => false,
    }
}
