//! Canonical text: what `nft list ruleset` prints.

mod ruleset;
mod stmt;

pub(crate) use ruleset::Indent;

use super::DataType;
use super::datatype::quoted;
use super::expr::{BinOp, Elem, ElemData, Expr, ExtKind, FibResult, Part, SetRef, VerdictExpr};
use super::exthdr;
use std::fmt::Write as _;

/// How to print.
#[derive(Clone, Copy)]
pub(crate) struct Printer<'a> {
    /// Names of the devices by number, from 1 on.
    pub devices: &'a [String],
    /// Without counters' values and the like (`nft -s`).
    pub stateless: bool,
    /// With handles (`nft -a`).
    pub handles: bool,
}

/// Writes into a string, which cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        let _ = write!($out, $($arg)*);
    };
}
pub(crate) use put;

/// Puts `separator` between the parts that `print` writes.
fn separated<T>(
    items: impl IntoIterator<Item = T>,
    separator: &str,
    out: &mut String,
    mut print: impl FnMut(T, &mut String),
) {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        print(item, out);
    }
}

impl Printer<'_> {
    /// One value.
    pub fn value(&self, t: DataType, value: u128, out: &mut String) {
        if t == DataType::IfaceIndex
            && let Some(name) = usize::try_from(value)
                .ok()
                .and_then(|i| self.devices.get(i.checked_sub(1)?))
                .filter(|name| !name.is_empty())
        {
            return quoted(name, out);
        }
        if t.is_bitmask() && value.count_ones() > 1 {
            return self.flags(t, value, " | ", out);
        }
        t.print(value, out);
    }

    /// Flags in ascending order of their bits.
    pub fn flags(&self, t: DataType, value: u128, separator: &str, out: &mut String) {
        if value == 0 {
            return t.print(0, out);
        }
        let bits = (0..128).map(|i| 1u128 << i).filter(|bit| value & bit != 0);
        separated(bits, separator, out, |bit, out| t.print(bit, out));
    }

    pub fn part(&self, t: DataType, part: Part, out: &mut String) {
        match part {
            Part::Value(v) => self.value(t, v, out),
            // Ends of ranges are numbers even where values have names (range_expr_print()).
            Part::Range(lo, hi) => {
                t.print_number(lo, out);
                out.push('-');
                t.print_number(hi, out);
            }
            Part::Prefix(v, _) if t.is_string() => {
                quoted(&format!("{}*", super::datatype::string_of(v)), out);
            }
            Part::Prefix(v, len) => {
                t.print(v, out);
                put!(out, "/{len}");
            }
        }
    }

    pub fn parts(&self, types: &[DataType], parts: &[Part], out: &mut String) {
        let zipped = parts.iter().zip(types);
        separated(zipped, " . ", out, |(part, t), out| {
            self.part(*t, *part, out)
        });
    }

    pub fn verdict(&self, verdict: &VerdictExpr, out: &mut String) {
        match verdict {
            VerdictExpr::Accept => out.push_str("accept"),
            VerdictExpr::Drop => out.push_str("drop"),
            VerdictExpr::Continue => out.push_str("continue"),
            VerdictExpr::Return => out.push_str("return"),
            VerdictExpr::Jump(chain) => {
                put!(out, "jump {chain}");
            }
            VerdictExpr::Goto(chain) => {
                put!(out, "goto {chain}");
            }
        }
    }

    pub fn elem(&self, types: &[DataType], elem: &Elem, out: &mut String) {
        if elem.key.is_empty() {
            out.push('*');
        } else {
            self.parts(types, &elem.key, out);
        }
        for stmt in &elem.stmts {
            out.push(' ');
            self.stmt(stmt, None, out);
        }
        if let Some(timeout) = elem.timeout {
            out.push_str(" timeout ");
            super::datatype::print_time(timeout, out);
        }
        if let Some(expires) = elem.expires.filter(|_| !self.stateless) {
            out.push_str(" expires ");
            super::datatype::print_time(expires, out);
        }
        if let Some(comment) = &elem.comment {
            put!(out, " comment \"{comment}\"");
        }
        match &elem.data {
            None => {}
            Some(ElemData::Verdict(verdict)) => {
                out.push_str(" : ");
                self.verdict(verdict, out);
            }
            Some(ElemData::Object(_, name)) => {
                put!(out, " : \"{name}\"");
            }
            Some(ElemData::Value(parts, types)) => {
                out.push_str(" : ");
                self.parts(types, parts, out);
            }
        }
    }

    pub fn set_ref(&self, types: &[DataType], set: &SetRef, out: &mut String) {
        match set {
            SetRef::Named(name) => {
                put!(out, "@{name}");
            }
            SetRef::Anonymous(elems) if elems.is_empty() => out.push_str("{ }"),
            SetRef::Anonymous(elems) => {
                out.push_str("{ ");
                separated(elems, ", ", out, |e, out| self.elem(types, e, out));
                out.push_str(" }");
            }
        }
    }

    /// A constant on the right of an operator.
    fn operand(&self, t: DataType, value: u128, op: BinOp, out: &mut String) {
        match (op, t) {
            (BinOp::Lshift | BinOp::Rshift, _) => {
                put!(out, "{value}");
            }
            (_, DataType::Integer(_) | DataType::HostInteger(_)) => {
                put!(out, "{value}");
            }
            _ if t.is_bitmask() && value.count_ones() > 1 => {
                out.push('(');
                self.flags(t, value, " | ", out);
                out.push(')');
            }
            _ => self.value(t, value, out),
        }
    }

    pub fn expr(&self, expr: &Expr, out: &mut String) {
        match expr {
            Expr::Value(value, t) => self.value(*t, *value, out),
            Expr::Meta(key) if key.is_unqualified() => out.push_str(key.name()),
            Expr::Meta(key) => {
                put!(out, "meta {}", key.name());
            }
            Expr::Ct(key, dir) => {
                out.push_str("ct ");
                if let Some(dir) = dir {
                    put!(out, "{} ", dir.name());
                }
                out.push_str(key.name());
            }
            Expr::Payload(proto, field) => {
                put!(out, "{} {}", proto.name(), field.name);
            }
            Expr::Raw(base, offset, len) => {
                put!(out, "@{},{offset},{len}", base.name());
            }
            Expr::Exthdr(e) => {
                match (e.kind, e.field) {
                    (ExtKind::Ip6(_), None) => out.push_str("exthdr "),
                    (ExtKind::Ip6(_), _) => {}
                    (ExtKind::TcpOption(_), _) => out.push_str("tcp option "),
                    (ExtKind::Ip4Option(_), _) => out.push_str("ip option "),
                    (ExtKind::SctpChunk(_), _) => out.push_str("sctp chunk "),
                }
                match e.field {
                    Some(field) if field.name.is_empty() => {
                        let number = match e.kind {
                            ExtKind::Ip6(n)
                            | ExtKind::Ip4Option(n)
                            | ExtKind::TcpOption(n)
                            | ExtKind::SctpChunk(n) => n,
                        };
                        put!(out, "@{number},{},{}", field.offset, field.dtype.bits());
                    }
                    Some(field) => {
                        put!(out, "{} {}", exthdr::name(*e), field.name);
                    }
                    None => out.push_str(&exthdr::name(*e)),
                }
            }
            Expr::Rt(key) => {
                put!(out, "rt {}", key.name());
            }
            Expr::Ipsec(ipsec) => {
                out.push_str(if ipsec.out { "ipsec out " } else { "ipsec in " });
                if ipsec.number > 0 {
                    put!(out, "spnum {} ", ipsec.number);
                }
                out.push_str(ipsec.key.name());
            }
            Expr::Fib(flags, result) => {
                let words = [
                    (flags.saddr, "saddr"),
                    (flags.daddr, "daddr"),
                    (flags.mark, "mark"),
                    (flags.iif, "iif"),
                    (flags.oif, "oif"),
                ];
                out.push_str("fib ");
                let set = words.iter().filter(|(set, _)| *set);
                separated(set, " . ", out, |(_, word), out| out.push_str(word));
                out.push_str(match result {
                    FibResult::Oif | FibResult::Exists => " oif",
                    FibResult::OifName => " oifname",
                    FibResult::Type => " type",
                });
            }
            Expr::Numgen {
                random,
                modulus,
                offset,
            } => {
                let how = if *random { "random" } else { "inc" };
                put!(out, "numgen {how} mod {modulus}");
                self.offset(*offset, out);
            }
            Expr::Jhash {
                expr,
                modulus,
                seed,
                offset,
            } => {
                out.push_str("jhash ");
                self.expr(expr, out);
                put!(out, " mod {modulus}");
                if let Some(seed) = seed {
                    put!(out, " seed 0x{seed:x}");
                }
                self.offset(*offset, out);
            }
            Expr::Symhash { modulus, offset } => {
                put!(out, "symhash mod {modulus}");
                self.offset(*offset, out);
            }
            Expr::Bin(op, left, right) => {
                self.expr(left, out);
                put!(out, " {} ", op.symbol());
                match right.as_ref() {
                    Expr::Value(value, _) => self.operand(left.dtype(), *value, *op, out),
                    right => self.expr(right, out),
                }
            }
            Expr::Concat(parts) => separated(parts, " . ", out, |p, out| self.expr(p, out)),
            Expr::Map(key, set) => {
                self.expr(key, out);
                out.push_str(" map ");
                self.set_ref(&key.types(), set, out);
            }
        }
    }

    fn offset(&self, offset: u32, out: &mut String) {
        if offset > 0 {
            put!(out, " offset {offset}");
        }
    }
}
