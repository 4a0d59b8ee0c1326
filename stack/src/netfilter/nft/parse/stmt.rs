//! Statements.

use super::Parser;
use crate::netfilter::nft::DataType;
use crate::netfilter::nft::command::RuleSpec;
use crate::netfilter::nft::error::{NftError, Pos};
use crate::netfilter::nft::expr::{CtKey, Expr, ExtKind, SetRef};
use crate::netfilter::nft::exthdr;
use crate::netfilter::nft::lex::Kind;
use crate::netfilter::nft::model::TableFamily;
use crate::netfilter::nft::normal;
use crate::netfilter::nft::stmt::{
    Limit, Log, ObjKind, Quota, RejectKind, RelOp, Rhs, SetOp, Stmt,
};
use crate::skb::IfIndex;

/// Syslog levels by number.
pub(crate) const LOG_LEVELS: [&str; 9] = [
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit",
];

/// Rate units and their seconds.
pub(crate) const TIME_UNITS: [(&str, u64); 5] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3600),
    ("day", 86_400),
    ("week", 604_800),
];

/// `NF_LOG_*`
pub(crate) const LOG_FLAGS: [(&str, u32); 5] = [
    ("tcp sequence", 1),
    ("tcp options", 2),
    ("ip options", 4),
    ("skuid", 8),
    ("ether", 32),
];

/// Statements of nft that this stack does not have.
const NOT_SUPPORTED: [&str; 7] = ["queue", "tproxy", "synproxy", "flow", "xt", "socket", "osf"];

impl Parser<'_> {
    /// A rule up to its end; the end is left.
    pub(super) fn rule(&mut self) -> Result<RuleSpec, NftError> {
        let mut stmts = Vec::new();
        let mut comment = None;
        while !self.at_end() {
            if self.take_word("comment") {
                comment = Some(self.comment()?);
                if !self.at_end() {
                    return self.error("nothing follows the comment");
                }
                break;
            }
            let pos = self.pos();
            if let Some(Stmt::Verdict(_) | Stmt::Reject(_) | Stmt::Nat(_)) = stmts.last() {
                return Err(pos.error("the statement before it ends the rule"));
            }
            let stmt = self.stmt(&stmts)?;
            stmts.push(stmt);
        }
        if stmts.is_empty() {
            return self.error("expected a statement");
        }
        let stmts = normal::rule(stmts, self.table.family);
        Ok(RuleSpec { stmts, comment })
    }

    fn stmt(&mut self, before: &[Stmt]) -> Result<Stmt, NftError> {
        let pos = self.pos();
        match pos.word.as_str() {
            "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
                Ok(Stmt::Verdict(self.verdict()?))
            }
            "counter" | "limit" | "quota" => self.stateful(),
            "log" => self.log(),
            "reject" => self.reject(before),
            "snat" | "dnat" | "masquerade" | "redirect" => self.nat(before),
            "notrack" => {
                self.next();
                Ok(Stmt::Notrack)
            }
            "ct" if self.peek_at(1).is_word("count") => self.stateful(),
            "add" | "update" | "delete" => self.set_update(),
            "set" => self.set_update(),
            "meter" => self.meter(),
            "dup" | "fwd" => self.dup_or_fwd(&pos),
            "reset" => self.reset_option(),
            "ct" if self.peek_at(1).is_word("helper") && self.peek_at(2).is_word("set") => {
                self.at += 3;
                self.object(ObjKind::CtHelper)
            }
            "ct" if self.peek_at(1).is_word("timeout") && self.peek_at(2).is_word("set") => {
                self.at += 3;
                self.object(ObjKind::CtTimeout)
            }
            "ct" if self.peek_at(1).is_word("expectation") && self.peek_at(2).is_word("set") => {
                self.at += 3;
                self.object(ObjKind::CtExpectation)
            }
            word if NOT_SUPPORTED.contains(&word) => self.error("is not supported"),
            _ => self.expr_stmt(before),
        }
    }

    /// A match, `vmap`, or `… set …`.
    fn expr_stmt(&mut self, before: &[Stmt]) -> Result<Stmt, NftError> {
        let pos = self.pos();
        let left = self.concat_expr(&[])?;
        if self.take_word("vmap") {
            return self.vmap(left);
        }
        if self.take_word("set") {
            return match left {
                Expr::Meta(key) if key.is_settable() => {
                    Ok(Stmt::SetMeta(key, self.data_expr(&[key.dtype()])?))
                }
                Expr::Ct(key, dir) if key.is_settable() => {
                    Ok(Stmt::SetCt(key, dir, self.data_expr(&[key.dtype()])?))
                }
                Expr::Payload(_, field) => {
                    let value = self.data_expr(&[field.dtype])?;
                    Ok(Stmt::SetPayload(left, value))
                }
                Expr::Raw(..) => {
                    let value = self.data_expr(&[left.dtype()])?;
                    Ok(Stmt::SetPayload(left, value))
                }
                Expr::Exthdr(e) if matches!(e.kind, ExtKind::TcpOption(_)) => match e.field {
                    Some(field) => Ok(Stmt::SetExthdr(e, self.data_expr(&[field.dtype])?)),
                    None => Err(pos.error("a whole option cannot be set")),
                },
                _ => Err(pos.error("cannot be set")),
            };
        }
        let op = self.relop();
        let types = left.types();
        if types.contains(&DataType::Verdict) {
            return Err(pos.error("a verdict cannot be compared"));
        }
        // ct_expr_update_type(): only the protocol says what the number is.
        let ports = matches!(left, Expr::Ct(CtKey::ProtoSrc | CtKey::ProtoDst, _));
        if ports && !self.is("@") && !normal::has_ports(before) {
            return self.error("a port is told only behind a match on the transport protocol");
        }
        let right = self.rhs(&types)?;
        let stmt = normal::relation(left, op, right).map_err(|problem| pos.error(problem))?;
        Ok(stmt)
    }

    fn vmap(&mut self, key: Expr) -> Result<Stmt, NftError> {
        let types = key.types();
        if self.is("@") {
            let pos = self.peek_at(1).pos();
            let set = self.set_name(&types)?;
            let SetRef::Named(name) = &set else {
                return self.error("expected the name of a map");
            };
            let is_verdict = self
                .set_spec(name)
                .is_some_and(|s| s.data == [DataType::Verdict]);
            if !is_verdict {
                return Err(pos.error("is no map to verdicts"));
            }
            return Ok(Stmt::Vmap(key, set));
        }
        let elems = self.set_literal(&types, Some(&[DataType::Verdict]), None)?;
        let elems = self.anonymous(elems, &types)?;
        Ok(Stmt::Vmap(key, SetRef::Anonymous(elems)))
    }

    fn relop(&mut self) -> RelOp {
        let token = self.peek();
        let op = match token.text.as_str() {
            "==" | "eq" => RelOp::Eq,
            "!=" | "ne" => RelOp::Neq,
            "<" | "lt" => RelOp::Lt,
            ">" | "gt" => RelOp::Gt,
            "<=" | "le" => RelOp::Lte,
            ">=" | "ge" => RelOp::Gte,
            "!" => RelOp::Neg,
            _ => return RelOp::Implicit,
        };
        self.next();
        op
    }

    /// `counter`, `limit`, `quota`; with `name`: a named object.
    pub(super) fn stateful(&mut self) -> Result<Stmt, NftError> {
        if self.is_word("ct") && self.peek_at(1).is_word("count") {
            self.at += 2;
            let over = self.take_word("over");
            let count = self.number("a number of connections", u32::MAX.into())? as u32;
            return Ok(Stmt::CtCount { count, over });
        }
        let word = self.word("counter, limit or quota")?;
        let kind = match word.as_str() {
            "counter" => ObjKind::Counter,
            "limit" => ObjKind::Limit,
            "quota" => ObjKind::Quota,
            _ => {
                self.at -= 1;
                return self.error("expected counter, limit or quota");
            }
        };
        if self.take_word("name") {
            return self.object(kind);
        }
        Ok(match kind {
            ObjKind::Limit => Stmt::Limit(self.limit()?),
            ObjKind::Quota => Stmt::Quota(self.quota()?),
            _ => {
                let (packets, bytes) = self.counter_values()?;
                Stmt::Counter { packets, bytes }
            }
        })
    }

    /// Whether a statement with memory begins here.
    pub(super) fn is_stateful(&self) -> bool {
        let words = ["counter", "limit", "quota"];
        words.iter().any(|w| self.is_word(w))
            || (self.is_word("ct") && self.peek_at(1).is_word("count"))
    }

    /// Behind `name`: an object, or a map with the objects of keys.
    fn object(&mut self, kind: ObjKind) -> Result<Stmt, NftError> {
        let ends = |p: &Self, at| {
            let token = p.peek_at(at);
            token.kind == Kind::Quoted || p.peek_at(at + 1).kind != Kind::Word
        };
        let pos = self.pos();
        let before = self.at;
        // A key is followed by `map`; a name is not.
        if !ends(self, 0)
            && let Ok(key) = self.key_expr()
            && self.take_word("map")
        {
            let types = key.types();
            let set = if self.is("@") {
                let set = self.set_name(&types)?;
                let SetRef::Named(name) = &set else {
                    return Err(pos.error("expected the name of a map"));
                };
                if self.set_spec(name).is_none_or(|s| s.object != Some(kind)) {
                    return Err(pos.error(format!("is no map to {}s", kind.name())));
                }
                set
            } else {
                let elems = self.set_literal(&types, Some(&[]), Some(kind))?;
                SetRef::Anonymous(self.anonymous(elems, &types)?)
            };
            return Ok(Stmt::ObjectMap(kind, key, set));
        }
        self.at = before;
        let name = self.string("an object")?;
        Ok(Stmt::Object(kind, self.mention(name, before)))
    }

    /// `meter NAME [size N] { key [timeout T] statement }`
    fn meter(&mut self) -> Result<Stmt, NftError> {
        self.next();
        let set = self.name("a meter")?;
        let size = match self.take_word("size") {
            true => self.number("a size", u32::MAX.into())? as u32,
            // nft's default.
            false => 65535,
        };
        self.expect("{")?;
        self.skip_newlines();
        let key = self.concat_expr(&[])?;
        let timeout = match self.take_word("timeout") {
            true => Some(self.time()?),
            false => None,
        };
        let stmts = vec![self.stateful()?];
        self.skip_newlines();
        self.expect("}")?;
        Ok(Stmt::SetUpdate {
            op: match timeout {
                Some(_) => SetOp::Update,
                None => SetOp::Add,
            },
            set,
            key,
            data: None,
            timeout,
            stmts,
            meter: Some(size),
        })
    }

    /// `dup to DEVICE`, `fwd to DEVICE` in the family netdev, `dup to ADDRESS [device DEVICE]` in the families ip and ip6.
    fn dup_or_fwd(&mut self, pos: &Pos) -> Result<Stmt, NftError> {
        let address = match self.table.family {
            TableFamily::Ip => Some(DataType::Ipv4Addr),
            TableFamily::Ip6 => Some(DataType::Ipv6Addr),
            _ => None,
        };
        if let Some(t) = address.filter(|_| pos.word == "dup") {
            self.next();
            self.expect_word("to")?;
            let addr = self.data_expr(&[t])?;
            let dev = match self.take_word("device") {
                true => Some(self.device_index()?),
                false => None,
            };
            return Ok(Stmt::DupTo { addr, dev });
        }
        if self.table.family != TableFamily::Netdev {
            return Err(pos.error("is not supported in tables of this family"));
        }
        self.next();
        self.expect_word("to")?;
        let dev = self.device_index()?;
        Ok(match pos.word.as_str() {
            "dup" => Stmt::Dup(dev),
            _ => Stmt::Fwd(dev),
        })
    }

    fn device_index(&mut self) -> Result<IfIndex, NftError> {
        let at = self.pos();
        let dev = self.constant(DataType::IfaceIndex)?;
        let dev = u32::try_from(dev).map_err(|_| at.error("there is no such device"))?;
        Ok(IfIndex(dev))
    }

    /// `reset tcp option NAME`
    fn reset_option(&mut self) -> Result<Stmt, NftError> {
        self.next();
        self.expect_word("tcp")?;
        self.expect_word("option")?;
        let pos = self.pos();
        let option = exthdr::tcp_option(&self.word("an option")?, None);
        option
            .map(Stmt::ResetTcpOption)
            .ok_or_else(|| pos.error("unknown TCP option"))
    }

    /// `packets N bytes N`, or nothing.
    pub(super) fn counter_values(&mut self) -> Result<(u64, u64), NftError> {
        if !self.take_word("packets") {
            return Ok((0, 0));
        }
        let packets = self.number("a number of packets", u64::MAX)?;
        self.expect_word("bytes")?;
        Ok((packets, self.number("a number of bytes", u64::MAX)?))
    }

    /// A unit of bytes.
    fn byte_unit(&mut self) -> Option<u64> {
        let unit = match self.peek().text.as_str() {
            "bytes" => 1,
            "kbytes" => 1 << 10,
            "mbytes" => 1 << 20,
            _ => return None,
        };
        self.next();
        Some(unit)
    }

    /// `N bytes`, in bytes.
    fn byte_count(&mut self) -> Result<u64, NftError> {
        let pos = self.pos();
        let n = self.number("a number of bytes", u64::MAX)?;
        match self.byte_unit() {
            Some(unit) => n
                .checked_mul(unit)
                .ok_or_else(|| pos.error("too many bytes")),
            None => self.error("expected bytes, kbytes or mbytes"),
        }
    }

    /// `rate [over] N[ UNIT]/TIME [burst N UNIT]`
    pub(super) fn limit(&mut self) -> Result<Limit, NftError> {
        self.expect_word("rate")?;
        let over = self.take_word("over");
        let pos = self.pos();
        let n = self.number("a rate", u64::MAX)?;
        let unit = self.byte_unit();
        self.expect("/")?;
        let at = self.pos();
        let time = self.word("a unit of time")?;
        let Some((_, seconds)) = TIME_UNITS.iter().find(|(name, _)| *name == time) else {
            return Err(at.error("expected second, minute, hour, day or week"));
        };
        let rate = n
            .checked_mul(unit.unwrap_or(1))
            .filter(|r| *r > 0)
            .ok_or_else(|| pos.error("the rate is out of range"))?;
        let mut limit = Limit {
            rate,
            unit: *seconds,
            bytes: unit.is_some(),
            burst: if unit.is_some() { 0 } else { 5 },
            over,
        };
        if self.take_word("burst") {
            let at = self.pos();
            let n = self.number("a burst", u32::MAX.into())?;
            limit.burst = if limit.bytes {
                match self.byte_unit() {
                    Some(unit) => n
                        .checked_mul(unit)
                        .filter(|b| u32::try_from(*b).is_ok())
                        .ok_or_else(|| at.error("the burst is out of range"))?,
                    None => return self.error("expected bytes, kbytes or mbytes"),
                }
            } else {
                self.expect_word("packets")?;
                if n == 0 {
                    return Err(at.error("the burst is at least one packet"));
                }
                n
            };
        }
        // nft_limit_init(): what cannot be counted in nanoseconds is refused.
        if !crate::netfilter::nft::limit::fits(&limit) {
            return Err(pos.error("rate and burst are too large to be counted"));
        }
        Ok(limit)
    }

    /// `[over|until] N UNIT [used N UNIT]`
    pub(super) fn quota(&mut self) -> Result<Quota, NftError> {
        let over = self.take_word("over");
        if !over {
            self.take_word("until");
        }
        let bytes = self.byte_count()?;
        let used = match self.take_word("used") {
            true => self.byte_count()?,
            false => 0,
        };
        Ok(Quota { bytes, used, over })
    }

    fn log(&mut self) -> Result<Stmt, NftError> {
        self.next();
        let mut log = Log::default();
        loop {
            let pos = self.pos();
            if self.take_word("prefix") {
                let at = self.pos();
                let text = self.string("a prefix")?;
                if text.len() > 127 {
                    return Err(at.error("a prefix has at most 127 bytes"));
                }
                log.prefix = Some(text);
            } else if self.take_word("group") {
                log.group = Some(self.number("a group", u16::MAX.into())? as u16);
            } else if self.take_word("snaplen") {
                log.snaplen = Some(self.number("a length", u32::MAX.into())? as u32);
            } else if self.take_word("queue-threshold") {
                log.queue_threshold = Some(self.number("a threshold", u16::MAX.into())? as u16);
            } else if self.take_word("level") {
                let at = self.pos();
                let name = self.word("a level")?;
                let level = LOG_LEVELS.iter().position(|l| *l == name);
                let level = level.ok_or_else(|| at.error("unknown level"))?;
                log.level = Some(level as u8);
            } else if self.take_word("flags") {
                log.flags |= self.log_flags()?;
            } else {
                let syslog = log.level.is_some() || log.flags != 0;
                if syslog && log.group.is_some() {
                    return Err(pos.error("a log has either a group or a level and flags"));
                }
                return Ok(Stmt::Log(log));
            }
        }
    }

    fn log_flags(&mut self) -> Result<u32, NftError> {
        let pos = self.pos();
        let first = self.word("a flag of log")?;
        if first == "all" {
            return Ok(LOG_FLAGS.iter().fold(0, |all, (_, bit)| all | bit));
        }
        let bit = |name: &str| LOG_FLAGS.iter().find(|(n, _)| *n == name).map(|(_, b)| *b);
        if let Some(bit) = bit(&first) {
            return Ok(bit);
        }
        let mut bits = 0;
        loop {
            let second = self.word("a flag of log")?;
            match bit(&format!("{first} {second}")) {
                Some(bit) => bits |= bit,
                None => return Err(pos.error("unknown flag of log")),
            }
            if !self.take(",") {
                return Ok(bits);
            }
        }
    }

    /// `reject [with …]`
    fn reject(&mut self, before: &[Stmt]) -> Result<Stmt, NftError> {
        self.next();
        let family = self.table.family;
        if !self.take_word("with") {
            // stmt_evaluate_reject_inet(): what is known to be of one family gets that one's error.
            let both = matches!(family, TableFamily::Inet | TableFamily::Netdev);
            let version = normal::reject_version(before, family).filter(|_| both);
            return Ok(Stmt::Reject(version.map(|version| match version {
                4 => RejectKind::Icmp(3),
                _ => RejectKind::Icmpv6(4),
            })));
        }
        let pos = self.pos();
        let word = self.word("a kind of reject")?;
        if word == "tcp" {
            self.expect_word("reset")?;
            let other = normal::l4proto(before).is_some_and(|p| p != 6);
            if other {
                return Err(pos.error("a reset answers TCP only"));
            }
            return Ok(Stmt::Reject(Some(RejectKind::TcpReset)));
        }
        let (t, make): (_, fn(u8) -> RejectKind) = match word.as_str() {
            "icmp" if family != TableFamily::Ip6 => (DataType::IcmpCode, RejectKind::Icmp),
            "icmpv6" if family != TableFamily::Ip => (DataType::Icmpv6Code, RejectKind::Icmpv6),
            "icmpx" if matches!(family, TableFamily::Inet | TableFamily::Netdev) => {
                (DataType::IcmpxCode, RejectKind::Icmpx)
            }
            "icmp" | "icmpv6" | "icmpx" => {
                return Err(pos.error("cannot answer the packets of this family"));
            }
            _ => return Err(pos.error("reject with icmp, icmpv6, icmpx or tcp reset")),
        };
        // stmt_evaluate_reject_inet_family()
        let other = match normal::ip_version(before) {
            Some(4) => word == "icmpv6",
            Some(_) => word == "icmp",
            None => false,
        };
        if other {
            return Err(pos.error("the rule's packets are of the other family"));
        }
        self.take_word("type");
        let code = self.constant(t)? as u8;
        if word == "icmpx" && code > 3 {
            return Err(pos.error("icmpx has the codes 0 to 3"));
        }
        Ok(Stmt::Reject(Some(make(code))))
    }

    /// `add @set { key [timeout T] [statements] [: data] }`, or as it was once written `set add key [timeout T] @set`.
    fn set_update(&mut self) -> Result<Stmt, NftError> {
        let old = self.take_word("set");
        let op = match self.word("add, update or delete")?.as_str() {
            "add" => SetOp::Add,
            "update" => SetOp::Update,
            _ => SetOp::Delete,
        };
        if old {
            return self.old_set_update(op);
        }
        self.expect("@")?;
        let pos = self.pos();
        let set = self.name("a set")?;
        let Some(spec) = self.set_spec(&set) else {
            return Err(pos.error("there is no such set in this table"));
        };
        self.expect("{")?;
        self.skip_newlines();
        let key = self.concat_expr(&[])?;
        if !same_bits(&key.types(), &spec.key) {
            return Err(pos.error("the set's key has another type"));
        }
        let (mut timeout, mut stmts, mut data) = (None, Vec::new(), None);
        loop {
            self.skip_newlines();
            if self.take_word("timeout") {
                let at = self.pos();
                timeout = Some(self.time()?);
                if !spec.has_timeout {
                    return Err(at.error("the set has no flag timeout"));
                }
            } else if self.is_stateful() {
                let at = self.pos();
                let stmt = self.stateful()?;
                // nft_dynset_init(): NFT_EXPR_GC and NFT_SET_TIMEOUT exclude each other.
                if spec.has_timeout && matches!(stmt, Stmt::CtCount { .. }) {
                    return Err(at.error("the elements of this set end by themselves"));
                }
                stmts.push(stmt);
            } else if self.take(":") {
                data = Some(self.data_expr(&spec.data)?);
            } else {
                break;
            }
        }
        self.expect("}")?;
        if data.is_some() != spec.is_map {
            return Err(pos.error("a map's elements have data, a set's have none"));
        }
        if spec.interval {
            return Err(pos.error("a set of intervals cannot be changed by rules"));
        }
        Ok(Stmt::SetUpdate {
            op,
            set,
            key,
            data,
            timeout,
            stmts,
            meter: None,
        })
    }

    /// Behind `set add`.
    fn old_set_update(&mut self, op: SetOp) -> Result<Stmt, NftError> {
        let key = self.concat_expr(&[])?;
        let timeout = match self.take_word("timeout") {
            true => Some((self.pos(), self.time()?)),
            false => None,
        };
        self.expect("@")?;
        let pos = self.pos();
        let set = self.name("a set")?;
        let Some(spec) = self.set_spec(&set) else {
            return Err(pos.error("there is no such set in this table"));
        };
        if spec.is_map || spec.interval || !same_bits(&key.types(), &spec.key) {
            return Err(pos.error("is no set of such keys that rules can change"));
        }
        if let Some((at, _)) = timeout.as_ref().filter(|_| !spec.has_timeout) {
            return Err(at.error("the set has no flag timeout"));
        }
        Ok(Stmt::SetUpdate {
            op,
            set,
            key,
            data: None,
            timeout: timeout.map(|(_, timeout)| timeout),
            stmts: Vec::new(),
            meter: None,
        })
    }
}

/// Whether both are the same fields.
fn same_bits(a: &[DataType], b: &[DataType]) -> bool {
    a.iter().map(|t| t.bits()).eq(b.iter().map(|t| t.bits()))
}

/// What a rejected packet's sender is told when the rule does not say.
pub(crate) fn default_reject(family: TableFamily) -> RejectKind {
    match family {
        TableFamily::Ip => RejectKind::Icmp(3),
        TableFamily::Ip6 => RejectKind::Icmpv6(4),
        TableFamily::Inet | TableFamily::Netdev => RejectKind::Icmpx(1),
    }
}

/// A right side that is one plain value.
pub(crate) fn single(right: &Rhs) -> Option<u128> {
    match right {
        Rhs::Parts(parts) => match parts.as_slice() {
            [crate::netfilter::nft::expr::Part::Value(v)] => Some(*v),
            _ => None,
        },
        _ => None,
    }
}
