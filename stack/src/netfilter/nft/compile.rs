//! Statements to [`Op`]s: names are resolved, and the protocol that a field belongs to is tested before the field is read, as nft's
//! linearization does.

use super::command::{Named, Refusal, TableName};
use super::datatype::DataType;
use super::expr::{BinOp, Elem, ElemData, Expr, ExtKind, MetaKey, Part, SetRef, VerdictExpr};
use super::model::TableFamily;
use super::normal;
use super::parse::default_reject;
use super::program::{
    HashField, Load, NatOp, NatOperand, Node, Op, SetPayloadOp, SetSel, SetUpdateOp, Test,
};
use super::proto::{Base, Proto};
use super::ruleset::Ruleset;
use super::set::{Data, Elements, MAX_FIELDS, Slot};
use super::state::State;
use super::stmt::{Nat, NatArg, NatKind, ObjKind, RelOp, Rhs, Stmt};
use super::verdict::Verdict;
use crate::{MS, Ps};

/// Dependencies that the rule has tested already.
#[derive(Clone, Copy, Default)]
struct Known {
    /// EtherType of the network layer.
    l3: Option<u16>,
    /// Transport protocol.
    l4: Option<u8>,
    /// The frame has an Ethernet header.
    ether: bool,
    /// It has a VLAN tag.
    vlan: bool,
}

pub(crate) struct Compiler<'a> {
    rules: &'a Ruleset,
    table: &'a TableName,
    /// Drawn where the text names no seed.
    seed: u64,
    known: Known,
    ops: Vec<Op>,
}

/// Why a rule cannot be made.
type Problem = Refusal;

/// The whole statement is to blame.
fn blame_all<T>(why: &str) -> Result<T, Problem> {
    Err(Refusal::whole(why))
}

impl<'a> Compiler<'a> {
    pub fn new(rules: &'a Ruleset, table: &'a TableName, seed: u64) -> Self {
        let l3 = match table.family {
            TableFamily::Ip => Some(0x0800),
            TableFamily::Ip6 => Some(0x86dd),
            _ => None,
        };
        Self {
            rules,
            table,
            seed,
            known: Known {
                l3,
                ..Known::default()
            },
            ops: Vec::new(),
        }
    }

    fn named(&self, name: &str) -> Named {
        Named {
            table: self.table.clone(),
            name: name.to_owned(),
            handle: None,
        }
    }

    /// All statements of a rule.
    pub fn rule(mut self, stmts: &[Stmt]) -> Result<Vec<Op>, Problem> {
        for (at, stmt) in stmts.iter().enumerate() {
            self.stmt(stmt, at)?;
        }
        Ok(self.ops)
    }

    fn stmt(&mut self, stmt: &Stmt, at: usize) -> Result<(), Problem> {
        let op = match stmt {
            Stmt::Match { left, op, right } => return self.relation(left, *op, right),
            Stmt::Verdict(verdict) => Op::Verdict(self.verdict(verdict)?),
            Stmt::Vmap(key, set) => {
                let key_nodes = self.key(key)?;
                let set = self.set(set, &key.types(), true)?;
                Op::Vmap {
                    key: key_nodes,
                    set,
                }
            }
            Stmt::Counter { .. } | Stmt::Limit(_) | Stmt::Quota(_) | Stmt::CtCount { .. } => {
                match State::new(stmt) {
                    Some(state) => Op::State(state, at),
                    None => return Ok(()),
                }
            }
            Stmt::Object(kind, name) => {
                let id = self.rules.object_id(*kind, &self.named(name));
                let missing = || format!("there is no {} {name:?} in this table", kind.name());
                let id = id.ok_or_else(|| Refusal::mention(name, missing()))?;
                match kind {
                    ObjKind::CtHelper => Op::CtHelper(id),
                    _ => Op::Object(id),
                }
            }
            Stmt::ObjectMap(_, key, set) => {
                let key_nodes = self.key(key)?;
                let set = self.set(set, &key.types(), true)?;
                Op::ObjectMap {
                    key: key_nodes,
                    set,
                }
            }
            Stmt::Log(log) => Op::Log(Box::new(log.clone())),
            Stmt::Reject(kind) => Op::Reject(self.reject(*kind)?),
            Stmt::Dup(dev) => Op::Dup(*dev),
            Stmt::DupTo { addr, dev } => Op::DupTo(self.node(addr)?, *dev),
            Stmt::Fwd(dev) => Op::Fwd(*dev),
            Stmt::Nat(nat) => self.nat(nat)?,
            Stmt::Notrack => Op::Notrack,
            Stmt::SetMeta(key, value) => Op::SetMeta(*key, self.node(value)?),
            Stmt::SetCt(key, dir, value) => Op::SetCt(*key, *dir, self.node(value)?),
            Stmt::SetPayload(field, value) => {
                self.depend(field)?;
                let value = self.node(value)?;
                let (csum, pseudo) = checksums(field);
                match self.load(field)? {
                    Load::Payload { base, offset, len } => Op::SetPayload(Box::new(SetPayloadOp {
                        base,
                        offset,
                        len,
                        csum,
                        pseudo,
                        value,
                    })),
                    _ => return blame_all("cannot be set"),
                }
            }
            Stmt::SetExthdr(e, value) => {
                self.depend(&Expr::Exthdr(*e))?;
                Op::SetExthdr(*e, self.node(value)?)
            }
            Stmt::ResetTcpOption(e) => match e.kind {
                ExtKind::TcpOption(number) => Op::ResetTcpOption(number),
                _ => return blame_all("only TCP options can be reset"),
            },
            Stmt::SetUpdate {
                op,
                set,
                key,
                data,
                timeout,
                stmts,
                ..
            } => {
                let key = self.key(key)?;
                let data = match data {
                    Some(data) => self.key(data)?,
                    None => Box::default(),
                };
                let id = self.rules.set_id(&self.named(set));
                let id = id.ok_or_else(|| format!("there is no set {set:?} in this table"))?;
                Op::SetUpdate(Box::new(SetUpdateOp {
                    op: *op,
                    set: id,
                    key,
                    data,
                    life: timeout.map(|ms| ms.saturating_mul(MS)),
                    state: stmts.iter().filter_map(State::new).collect(),
                }))
            }
        };
        self.ops.push(op);
        Ok(())
    }

    fn reject(
        &mut self,
        kind: Option<super::stmt::RejectKind>,
    ) -> Result<super::stmt::RejectKind, Problem> {
        use super::stmt::RejectKind;
        let kind = kind.unwrap_or_else(|| default_reject(self.table.family));
        // A kind that belongs to one family or protocol implies it.
        match kind {
            RejectKind::Icmp(_) => self.need_l3(0x0800)?,
            RejectKind::Icmpv6(_) => self.need_l3(0x86dd)?,
            RejectKind::TcpReset => self.need_l4(6)?,
            RejectKind::Icmpx(_) => {}
        }
        Ok(kind)
    }

    /// A verdict with its chain looked up.
    pub fn verdict(&self, verdict: &VerdictExpr) -> Result<Verdict, Problem> {
        let chain = |name: &str| {
            self.rules.chain_id(&self.named(name)).ok_or_else(|| {
                let problem = format!("there is no chain {name:?} in this table");
                Refusal::mention(name, problem)
            })
        };
        Ok(match verdict {
            VerdictExpr::Accept => Verdict::Accept,
            VerdictExpr::Drop => Verdict::Drop,
            VerdictExpr::Continue => Verdict::Continue,
            VerdictExpr::Return => Verdict::Return,
            VerdictExpr::Jump(name) => Verdict::Jump(chain(name)?),
            VerdictExpr::Goto(name) => Verdict::Goto(chain(name)?),
        })
    }

    fn test(&mut self, load: Load, test: Test) {
        self.ops.push(Op::Test(load, test));
    }

    fn need_l3(&mut self, ethertype: u16) -> Result<(), Problem> {
        match self.known.l3 {
            Some(known) if known == ethertype => return Ok(()),
            Some(_) => return blame_all("conflicts with the network protocol before it"),
            None => {}
        }
        match self.table.family {
            // Behind a VLAN tag the tag says what follows.
            TableFamily::Netdev if self.known.vlan => {
                let tag = Load::Payload {
                    base: Base::Link,
                    offset: 128,
                    len: 16,
                };
                self.test(tag, Test::Eq(ethertype.into()));
            }
            TableFamily::Netdev => {
                self.test(Load::Meta(MetaKey::Protocol), Test::Eq(ethertype.into()));
            }
            _ => {
                let nfproto = match ethertype {
                    0x0800 => 2,
                    0x86dd => 10,
                    _ => return blame_all("this family has no such packets"),
                };
                self.test(Load::Meta(MetaKey::NfProto), Test::Eq(nfproto));
            }
        }
        self.known.l3 = Some(ethertype);
        Ok(())
    }

    fn need_l4(&mut self, protocol: u8) -> Result<(), Problem> {
        match self.known.l4 {
            Some(known) if known == protocol => return Ok(()),
            Some(_) => return blame_all("conflicts with the transport protocol before it"),
            None => {}
        }
        self.test(Load::Meta(MetaKey::L4Proto), Test::Eq(protocol.into()));
        self.known.l4 = Some(protocol);
        Ok(())
    }

    fn need_ether(&mut self) {
        if !std::mem::replace(&mut self.known.ether, true) {
            // ARPHRD_ETHER. nft writes it so at egress, too, where the kernel asks the device that the packet is at.
            self.test(Load::Meta(MetaKey::IifType), Test::Eq(1));
        }
    }

    /// Tests for everything that the fields of `expr` take for granted.
    fn depend(&mut self, expr: &Expr) -> Result<(), Problem> {
        let mut protos = Vec::new();
        normal::protos(expr, &mut |p| protos.push(p));
        for proto in protos {
            match proto {
                Proto::Ether => self.need_ether(),
                Proto::Vlan => {
                    self.need_ether();
                    if !std::mem::replace(&mut self.known.vlan, true) {
                        let tpid = Load::Payload {
                            base: Base::Link,
                            offset: 96,
                            len: 16,
                        };
                        self.test(tpid, Test::Eq(0x8100));
                    }
                }
                // A table of one family takes the other one's messages for what its packets can carry, too.
                Proto::Icmp | Proto::Igmp if self.table.family != TableFamily::Ip6 => {
                    self.need_l3(0x0800)?;
                }
                Proto::Icmpv6 if self.table.family != TableFamily::Ip => self.need_l3(0x86dd)?,
                _ => {}
            }
            if let Some(ethertype) = proto.ethertype() {
                self.need_l3(ethertype)?;
            }
            if let Some(protocol) = proto.l4proto() {
                self.need_l4(protocol)?;
            }
        }
        self.depend_on_icmp_type(expr);
        if let Expr::Exthdr(e) = expr {
            match e.kind {
                ExtKind::Ip6(_) => self.need_l3(0x86dd)?,
                ExtKind::Ip4Option(_) => self.need_l3(0x0800)?,
                // A packet that is not TCP has no options: they are missing. So are chunks.
                ExtKind::TcpOption(_) | ExtKind::SctpChunk(_) => {}
            }
        }
        Ok(())
    }

    /// Fields that only messages of one type have.
    fn depend_on_icmp_type(&mut self, expr: &Expr) {
        let Expr::Payload(proto, field) = expr else {
            return;
        };
        let kind = match (proto, field.name) {
            (Proto::Icmp, "mtu") => 3,
            (Proto::Icmp, "gateway") => 5,
            (Proto::Icmpv6, "mtu") => 2,
            _ => return,
        };
        let load = Load::Payload {
            base: Base::Transport,
            offset: 0,
            len: 8,
        };
        self.test(load, Test::Eq(kind));
    }

    /// Where a field that is not computed comes from.
    fn load(&self, expr: &Expr) -> Result<Load, Problem> {
        Ok(match expr {
            Expr::Meta(key) => Load::Meta(*key),
            Expr::Ct(key, dir) => Load::Ct(*key, *dir),
            Expr::Payload(proto, field) => Load::Payload {
                base: proto.base(),
                offset: field.offset,
                len: field.dtype.bits() as u16,
            },
            Expr::Raw(base, offset, len) => Load::Payload {
                base: *base,
                offset: *offset,
                len: *len,
            },
            Expr::Exthdr(e) => Load::Exthdr(*e),
            Expr::Fib(flags, result) => Load::Fib(*flags, *result),
            Expr::Rt(key) => Load::Rt(*key),
            Expr::Ipsec(_) => Load::Ipsec,
            _ => return blame_all("is no field"),
        })
    }

    /// A value; its dependencies are tested before.
    fn node(&mut self, expr: &Expr) -> Result<Node, Problem> {
        Ok(match expr {
            Expr::Value(value, _) => Node::Const(*value),
            Expr::Bin(op @ (BinOp::Lshift | BinOp::Rshift), left, right) => {
                let Expr::Value(by, _) = right.as_ref() else {
                    return blame_all("the right side of an operator is a constant");
                };
                let max = left.dtype().max();
                Node::Shift {
                    of: Box::new(self.node(left)?),
                    right: *op == BinOp::Rshift,
                    by: u32::try_from(*by).unwrap_or(u32::MAX),
                    max,
                }
            }
            Expr::Bin(..) => match normal::mask_xor(expr) {
                Some((inner, mask, xor)) if !std::ptr::eq(inner, expr) => Node::Bits {
                    of: Box::new(self.node(inner)?),
                    mask,
                    xor,
                },
                _ => {
                    return blame_all("the right side of an operator is a constant");
                }
            },
            Expr::Concat(_) => return blame_all("a concatenation is no single value"),
            Expr::Map(key, set) => self.map(key, set, 0)?,
            Expr::Numgen {
                random,
                modulus,
                offset,
            } => Node::Numgen {
                random: *random,
                modulus: *modulus,
                offset: *offset,
                next: 0,
            },
            Expr::Jhash {
                expr,
                modulus,
                seed,
                offset,
            } => {
                let parts: &[Expr] = match expr.as_ref() {
                    Expr::Concat(parts) => parts,
                    one => std::slice::from_ref(one),
                };
                let mut fields = Vec::new();
                for part in parts {
                    let t = part.dtype();
                    fields.push(HashField {
                        node: self.node(part)?,
                        bytes: t.bits().div_ceil(8) as u8,
                        host_order: t.is_host_order(),
                    });
                }
                Node::Jhash {
                    fields: fields.into(),
                    modulus: *modulus,
                    seed: seed.unwrap_or(self.seed as u32),
                    offset: *offset,
                }
            }
            Expr::Symhash { modulus, offset } => Node::Symhash {
                modulus: *modulus,
                offset: *offset,
            },
            field => {
                self.depend(field)?;
                Node::Load(self.load(field)?)
            }
        })
    }

    fn map(&mut self, key: &Expr, set: &SetRef, field: usize) -> Result<Node, Problem> {
        let nodes = self.key(key)?;
        let set = self.set(set, &key.types(), true)?;
        Ok(Node::Map {
            key: nodes,
            set,
            field,
        })
    }

    /// The fields of a key.
    fn key(&mut self, expr: &Expr) -> Result<Box<[Node]>, Problem> {
        let parts: &[Expr] = match expr {
            Expr::Concat(parts) => parts,
            one => std::slice::from_ref(one),
        };
        check_key(&expr.types())?;
        parts.iter().map(|p| self.node(p)).collect()
    }

    /// A set by name, or made of the elements that stand in the rule.
    fn set(&mut self, set: &SetRef, types: &[DataType], map: bool) -> Result<SetSel, Problem> {
        match set {
            SetRef::Named(name) => {
                let id = self.rules.set_id(&self.named(name));
                let id = id.ok_or_else(|| format!("there is no set {name:?} in this table"))?;
                let is_map = self.rules.sets.get(id).is_some_and(|s| s.spec.is_map);
                if map && !is_map {
                    return Err(format!("{name:?} is no map").into());
                }
                Ok(SetSel::Named(id))
            }
            SetRef::Anonymous(elems) => {
                let bits: Vec<u32> = types.iter().map(|t| t.bits()).collect();
                let ranges = |e: &Elem| e.key.iter().any(|p| !matches!(p, Part::Value(_)));
                let interval = elems.iter().any(ranges);
                let mut set = Elements::new(&bits, interval, None, self.seed);
                for elem in elems {
                    let slot = self.slot(elem, 0, None, &[])?;
                    // What clashes was refused where it stands.
                    let _ = set.insert(slot, 0);
                }
                set.build();
                Ok(SetSel::Own(Box::new(set)))
            }
        }
    }

    /// An element as the engine uses it. `default`: life of the set's elements, if they have one.
    pub fn slot(
        &self,
        elem: &Elem,
        now: Ps,
        default: Option<u64>,
        stmts: &[Stmt],
    ) -> Result<Slot, Problem> {
        let data = match &elem.data {
            None => Data::None,
            Some(ElemData::Verdict(verdict)) => Data::Verdict(self.verdict(verdict)?),
            Some(ElemData::Object(kind, name)) => {
                let id = self.rules.object_id(*kind, &self.named(name));
                let missing = || format!("there is no {} {name:?} in this table", kind.name());
                Data::Object(id.ok_or_else(|| Refusal::mention(name, missing()))?)
            }
            Some(ElemData::Value(parts, types)) => {
                let bounds = parts.iter().zip(types).map(|(p, t)| p.bounds(t.bits()));
                Data::Values(bounds.collect())
            }
        };
        let life = elem.timeout.or(default).map(|ms| ms.saturating_mul(MS));
        let left = elem.expires.map(|ms| ms.saturating_mul(MS)).or(life);
        let own = if elem.stmts.is_empty() {
            stmts
        } else {
            &elem.stmts
        };
        Ok(Slot {
            elem: elem.clone(),
            data,
            state: own.iter().filter_map(State::new).collect(),
            expires: left.map(|left| now.saturating_add(left)),
        })
    }

    fn relation(&mut self, left: &Expr, op: RelOp, right: &Rhs) -> Result<(), Problem> {
        if let Rhs::Set(set) = right {
            let key = self.key(left)?;
            let set = self.set(set, &left.types(), false)?;
            let negate = op == RelOp::Neq;
            self.ops.push(Op::Lookup { key, set, negate });
            return Ok(());
        }
        let test = match (right, op) {
            (Rhs::Flags(mask), RelOp::Neg) => Test::Masked(*mask, 0),
            (Rhs::Flags(mask), _) => Test::NotMasked(*mask, 0),
            (Rhs::Masked { value, mask }, RelOp::Neq) => Test::NotMasked(*mask, *value),
            (Rhs::Masked { value, mask }, _) => Test::Masked(*mask, *value),
            (Rhs::Parts(parts), op) => match parts.as_slice() {
                [part] => part_test(*part, left.dtype(), op),
                _ => return blame_all("more values than fields"),
            },
            (Rhs::Set(_), _) => return Ok(()),
        };
        let node = self.node(left)?;
        self.learn(left, test)?;
        // What the text demands of a protocol field need not be tested twice.
        self.ops.push(match (node, test) {
            (Node::Load(load), test) => Op::Test(load, test),
            // (x & mask) == value in one step.
            (Node::Bits { of, mask, xor: 0 }, Test::Eq(value)) => match *of {
                Node::Load(load) => Op::Test(load, Test::Masked(mask, value)),
                of => Op::TestNode(of, Test::Masked(mask, value)),
            },
            (Node::Bits { of, mask, xor: 0 }, Test::Ne(value)) => match *of {
                Node::Load(load) => Op::Test(load, Test::NotMasked(mask, value)),
                of => Op::TestNode(of, Test::NotMasked(mask, value)),
            },
            (node, test) => Op::TestNode(node, test),
        });
        Ok(())
    }

    /// A match on a protocol field makes its value known to what follows.
    fn learn(&mut self, left: &Expr, test: Test) -> Result<(), Problem> {
        let Test::Eq(value) = test else { return Ok(()) };
        let conflict = || Err(Refusal::whole("conflicts with the protocol before it"));
        match left {
            Expr::Meta(MetaKey::L4Proto) => {
                let l4 = u8::try_from(value).ok();
                if self.known.l4.is_some() && self.known.l4 != l4 {
                    return conflict();
                }
                self.known.l4 = l4;
            }
            Expr::Payload(Proto::Ip, f) if f.name == "protocol" => {
                self.known.l4 = u8::try_from(value).ok();
            }
            Expr::Payload(Proto::Ip6, f) if f.name == "nexthdr" => {
                self.known.l4 = u8::try_from(value).ok();
            }
            Expr::Meta(MetaKey::NfProto) => {
                self.known.l3 = match value {
                    2 => Some(0x0800),
                    10 => Some(0x86dd),
                    _ => None,
                };
            }
            Expr::Meta(MetaKey::Protocol) => self.known.l3 = u16::try_from(value).ok(),
            _ => {}
        }
        Ok(())
    }

    fn nat(&mut self, nat: &Nat) -> Result<Op, Problem> {
        let v6 = nat.version == Some(6);
        if self.table.family == TableFamily::Inet && nat.addr.is_some() {
            self.need_l3(if v6 { 0x86dd } else { 0x0800 })?;
        }
        let t = if v6 {
            DataType::Ipv6Addr
        } else {
            DataType::Ipv4Addr
        };
        let mut addr = None;
        let mut port = None;
        match &nat.addr {
            None => {}
            Some(NatArg::Part(part)) => {
                let (lo, hi) = part.bounds(t.bits());
                addr = Some(NatOperand::Range(lo, hi));
            }
            Some(NatArg::Expr(Expr::Map(key, set))) => {
                let ports = match set {
                    SetRef::Named(name) => self
                        .rules
                        .set_id(&self.named(name))
                        .and_then(|id| self.rules.sets.get(id))
                        .is_some_and(|s| s.spec.data.len() == 2),
                    SetRef::Anonymous(elems) => elems.iter().any(
                        |e| matches!(&e.data, Some(ElemData::Value(parts, _)) if parts.len() == 2),
                    ),
                };
                addr = Some(self.nat_map(key, set, 0)?);
                if ports {
                    port = Some(self.nat_map(key, set, 1)?);
                }
            }
            Some(NatArg::Expr(e)) => addr = Some(NatOperand::Value(self.node(e)?)),
        }
        match &nat.port {
            None => {}
            Some(NatArg::Part(part)) => {
                let (lo, hi) = part.bounds(16);
                port = Some(NatOperand::Range(lo, hi));
            }
            Some(NatArg::Expr(Expr::Map(key, set))) => port = Some(self.nat_map(key, set, 0)?),
            Some(NatArg::Expr(e)) => port = Some(NatOperand::Value(self.node(e)?)),
        }
        Ok(Op::Nat(Box::new(NatOp {
            kind: nat.kind,
            v6,
            addr,
            port,
            random: nat.random,
            fully_random: nat.fully_random,
            persistent: nat.persistent,
            netmap: nat.prefix && matches!(nat.kind, NatKind::Snat | NatKind::Dnat),
        })))
    }

    fn nat_map(&mut self, key: &Expr, set: &SetRef, field: usize) -> Result<NatOperand, Problem> {
        let nodes = self.key(key)?;
        Ok(NatOperand::MapRange {
            key: nodes,
            set: self.set(set, &key.types(), true)?,
            field,
        })
    }
}

/// A key must fit into the kernel's registers.
pub(crate) fn check_key(types: &[DataType]) -> Result<(), Problem> {
    let words: u32 = types.iter().map(|t| t.bits().div_ceil(32)).sum();
    if types.len() > MAX_FIELDS || words > 16 {
        return blame_all("a key has at most 64 bytes");
    }
    Ok(())
}

fn part_test(part: Part, t: DataType, op: RelOp) -> Test {
    match (part, op) {
        (Part::Value(v), RelOp::Neq) => Test::Ne(v),
        (Part::Value(v), RelOp::Lt) => Test::Lt(v),
        (Part::Value(v), RelOp::Gt) => Test::Gt(v),
        (Part::Value(v), RelOp::Lte) => Test::Lte(v),
        (Part::Value(v), RelOp::Gte) => Test::Gte(v),
        (Part::Value(v), _) => Test::Eq(v),
        (Part::Range(lo, hi), RelOp::Neq) => Test::NotIn(lo, hi),
        (Part::Range(lo, hi), _) => Test::In(lo, hi),
        (Part::Prefix(v, len), op) => {
            let mask = t.max() & !super::expr::prefix_host_mask(t.bits(), len);
            match op {
                RelOp::Neq => Test::NotMasked(mask, v),
                _ => Test::Masked(mask, v),
            }
        }
    }
}

/// Where the checksum is that covers a field's header, in bytes from the header's start, and whether the transport checksum covers the
/// field, too (`proto_desc.checksum_key`, `.pseudohdr`).
fn checksums(field: &Expr) -> (Option<u16>, bool) {
    let Expr::Payload(proto, f) = field else {
        return (None, false);
    };
    let pseudo = match proto {
        Proto::Ip => matches!(f.name, "saddr" | "daddr" | "protocol" | "length"),
        Proto::Ip6 => matches!(f.name, "saddr" | "daddr" | "nexthdr" | "length"),
        _ => false,
    };
    let csum = match proto {
        Proto::Ip => Some(10),
        Proto::Tcp => Some(16),
        Proto::Udp => Some(6),
        Proto::Icmp | Proto::Igmp | Proto::Icmpv6 => Some(2),
        _ => None,
    };
    (csum, pseudo)
}
