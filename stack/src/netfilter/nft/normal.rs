//! The form in which rules are kept: what the kernel's bytecode still knows of what was typed, so that a list reads the same as
//! `nft list ruleset`'s.

use super::datatype::DataType;
use super::expr::{BinOp, CtKey, Elem, Expr, MetaKey, Part};
use super::model::TableFamily;
use super::proto::{Base, Field, Proto};
use super::stmt::{RelOp, Rhs, Stmt};

/// Sorts the elements of a set that stands in a rule, takes out repetitions, and joins intervals that overlap or touch.
pub(crate) fn anonymous(mut elems: Vec<Elem>, types: &[DataType]) -> Vec<Elem> {
    let ranges = |e: &Elem| e.key.iter().any(|p| !matches!(p, Part::Value(_)));
    // nft leaves concatenations of ranges in the kernel's order, which is that of insertion.
    if types.len() == 1 || !elems.iter().any(ranges) {
        elems.sort_by(|a, b| key_order(&a.key, &b.key, types));
    }
    elems.dedup_by(|a, b| a.key == b.key && a.data == b.data);
    let [t] = types else { return elems };
    let mergeable = |e: &Elem| e.data.is_none() && !e.key.is_empty();
    let intervals = elems
        .iter()
        .any(|e| !matches!(e.key.as_slice(), [Part::Value(_)] | []));
    if !intervals || t.is_string() || !elems.iter().all(mergeable) {
        return elems;
    }
    let mut merged: Vec<Elem> = Vec::with_capacity(elems.len());
    for elem in elems {
        let Some((lo, hi)) = elem.key.first().map(|p| p.bounds(t.bits())) else {
            continue;
        };
        if let Some(last) = merged.last_mut()
            && let Some((last_lo, last_hi)) = last.key.first().map(|p| p.bounds(t.bits()))
            && lo <= last_hi.saturating_add(1)
        {
            if hi > last_hi {
                last.key = vec![part_of(last_lo, hi, *t)];
            }
            continue;
        }
        merged.push(Elem {
            key: vec![part_of(lo, hi, *t)],
            ..elem
        });
    }
    merged
}

/// The order in which nft lists elements.
pub(crate) fn key_order(a: &[Part], b: &[Part], types: &[DataType]) -> std::cmp::Ordering {
    let ranges = |key: &[Part]| key.iter().any(|p| !matches!(p, Part::Value(_)));
    let interval = ranges(a) || ranges(b);
    if types.len() > 1 && !interval {
        return a.is_empty().cmp(&b.is_empty()).then_with(|| {
            let ranks = concatenation_ranks(a, types);
            ranks.cmp(concatenation_ranks(b, types))
        });
    }
    let rank = |key: &[Part]| -> Vec<(u128, u128)> {
        key.iter()
            .zip(types)
            .map(|(part, t)| {
                let (lo, hi) = part.bounds(t.bits());
                if t.is_string() && !interval {
                    // Strings are host-order numbers to nft: compared from the last byte.
                    (lo.swap_bytes(), hi.swap_bytes())
                } else if t.is_bitmask() {
                    // Several flags sort as the lowest of them, in front of it alone.
                    (lo & lo.wrapping_neg(), u128::MAX - lo)
                } else {
                    (lo, hi)
                }
            })
            .collect()
    };
    // The catch-all element comes last.
    a.is_empty()
        .cmp(&b.is_empty())
        .then_with(|| rank(a).cmp(&rank(b)))
}

/// What orders concatenated values (nft's `concat_expr_msort_value()`): the bytes of all fields as one number, of which the last byte is
/// the highest.
fn concatenation_ranks<'a>(
    key: &'a [Part],
    types: &'a [DataType],
) -> impl Iterator<Item = u128> + 'a {
    let fields = key.iter().zip(types).rev();
    fields.map(|(part, t)| {
        let (value, _) = part.bounds(t.bits());
        let unused = u128::BITS - t.bits().div_ceil(8) * 8;
        match t.is_host_order() || unused == u128::BITS {
            true => value,
            false => (value << unused).swap_bytes(),
        }
    })
}

/// An interval in the form in which nft prints it: a prefix where it is one.
pub(crate) fn part_of(lo: u128, hi: u128, t: DataType) -> Part {
    if lo == hi {
        return Part::Value(lo);
    }
    let size = hi - lo;
    let is_prefix = size & size.wrapping_add(1) == 0 && lo & size == 0;
    // DTYPE_F_PREFIX
    let prefixed = matches!(
        t,
        DataType::Ipv4Addr | DataType::Ipv6Addr | DataType::Mark | DataType::Realm
    );
    if prefixed && is_prefix {
        return Part::Prefix(lo, t.bits() - size.count_ones());
    }
    Part::Range(lo, hi)
}

/// `(x & mask) ^ xor`, to which the kernel reduces every chain of `&`, `|` and `^` with constants.
pub(crate) fn mask_xor(expr: &Expr) -> Option<(&Expr, u128, u128)> {
    let max = expr.dtype().max();
    match expr {
        Expr::Bin(op @ (BinOp::And | BinOp::Or | BinOp::Xor), left, right) => {
            let Expr::Value(c, _) = right.as_ref() else {
                return None;
            };
            let (x, mask, xor) = mask_xor(left)?;
            Some(match op {
                BinOp::And => (x, mask & c, xor & c),
                BinOp::Or => (x, mask & !c & max, xor & !c | c),
                _ => (x, mask, xor ^ c),
            })
        }
        other => Some((other, max, 0)),
    }
}

/// Joins chains of operators as a list of the kernel's bytecode shows them.
pub(crate) fn fold(expr: Expr) -> Expr {
    let t = expr.dtype();
    let Some((x, mask, xor)) = mask_xor(&expr) else {
        return expr;
    };
    let or = xor & !mask;
    let (mask, xor) = (mask | or, xor & !or);
    let mut out = x.clone();
    for (op, c, idle) in [
        (BinOp::And, mask, t.max()),
        (BinOp::Xor, xor, 0),
        (BinOp::Or, or, 0),
    ] {
        if c != idle {
            out = Expr::Bin(op, Box::new(out), Box::new(Expr::Value(c, t)));
        }
    }
    out
}

/// A raw payload; fields whose header is known have a name.
fn raw(base: Base, offset: u16, len: u16, family: TableFamily) -> Expr {
    let proto = match (base, family) {
        (Base::Transport, _) => Proto::Th,
        (Base::Network, TableFamily::Ip) => Proto::Ip,
        (Base::Network, TableFamily::Ip6) => Proto::Ip6,
        _ => return Expr::Raw(base, offset, len),
    };
    let same = |f: &&Field| f.offset == offset && f.dtype.bits() == u32::from(len);
    match proto.fields().iter().find(same) {
        Some(field) => Expr::Payload(proto, field),
        None => Expr::Raw(base, offset, len),
    }
}

/// A match from what was typed; the error says what does not fit.
pub(crate) fn relation(left: Expr, op: RelOp, right: Rhs) -> Result<Stmt, String> {
    let ordered = matches!(op, RelOp::Lt | RelOp::Gt | RelOp::Lte | RelOp::Gte);
    let plain = match &right {
        Rhs::Parts(parts) => matches!(parts.as_slice(), [Part::Value(_)]),
        Rhs::Flags(_) => true,
        _ => false,
    };
    if ordered && !plain {
        return Err("only one value can be smaller or larger".to_owned());
    }
    if matches!((&left, &right), (Expr::Concat(_), Rhs::Parts(_))) {
        return Err("a concatenation is compared with a set, not with one value".to_owned());
    }
    // From one evening to the next morning is what is not from morning to evening.
    if let Rhs::Parts(parts) = &right
        && let [Part::Range(from, to)] = *parts.as_slice()
        && to < from
    {
        let op = match op {
            RelOp::Neq => RelOp::Implicit,
            _ => RelOp::Neq,
        };
        return Ok(matched(left, op, Rhs::Parts(vec![Part::Range(to, from)])));
    }
    let t = left.dtype();
    if op == RelOp::Neg && !(t.is_bitmask() && matches!(right, Rhs::Flags(_))) {
        return Err("! is for flags".to_owned());
    }
    // flags & (a | b) == a, and the like.
    if let (Expr::Bin(BinOp::And, inner, mask), Rhs::Flags(value)) = (&left, &right)
        && let Expr::Value(mask, _) = mask.as_ref()
        && t.is_bitmask()
    {
        let (mask, value) = (*mask, *value);
        let left = inner.as_ref().clone();
        let eq = matches!(op, RelOp::Eq | RelOp::Implicit);
        return Ok(match (eq, op, value) {
            (true, _, 0) => matched(left, RelOp::Neg, Rhs::Flags(mask)),
            (_, RelOp::Neq, 0) => matched(left, RelOp::Implicit, Rhs::Flags(mask)),
            (true, _, _) => matched(left, RelOp::Implicit, Rhs::Masked { value, mask }),
            (_, RelOp::Neq, _) => matched(left, RelOp::Neq, Rhs::Masked { value, mask }),
            _ => return Err("flags are compared with == and != only".to_owned()),
        });
    }
    // (x ^ c) == v is x == v ^ c
    if let (Expr::Bin(BinOp::Xor, inner, c), Rhs::Parts(parts)) = (&left, &right)
        && let (Expr::Value(c, _), [Part::Value(value)]) = (c.as_ref(), parts.as_slice())
        && !ordered
    {
        let right = Rhs::Parts(vec![Part::Value(value ^ c)]);
        return relation(inner.as_ref().clone(), op, right);
    }
    // address & netmask == network
    if let (Expr::Bin(BinOp::And, inner, mask), Rhs::Parts(parts)) = (&left, &right)
        && let (Expr::Value(mask, _), [Part::Value(value)]) = (mask.as_ref(), parts.as_slice())
        && matches!(t, DataType::Ipv4Addr | DataType::Ipv6Addr)
        && !ordered
    {
        let host = !mask & t.max();
        if host & host.wrapping_add(1) == 0 && value & host == 0 {
            let len = t.bits() - host.count_ones();
            let part = if host == 0 {
                Part::Value(*value)
            } else {
                Part::Prefix(*value, len)
            };
            return Ok(matched(
                inner.as_ref().clone(),
                eq(op),
                Rhs::Parts(vec![part]),
            ));
        }
    }
    Ok(match right {
        // With an operator flags are compared as a number.
        Rhs::Flags(value) if !matches!(op, RelOp::Implicit | RelOp::Neg) => {
            matched(left, op, Rhs::Parts(vec![Part::Value(value)]))
        }
        Rhs::Masked { .. } if op == RelOp::Eq => matched(left, RelOp::Implicit, right),
        right @ Rhs::Parts(_) if t.is_bitmask() => matched(left, op, right),
        right => matched(left, eq(op), right),
    })
}

/// `==` is not printed, so it is not kept.
fn eq(op: RelOp) -> RelOp {
    if op == RelOp::Eq { RelOp::Implicit } else { op }
}

fn matched(left: Expr, op: RelOp, right: Rhs) -> Stmt {
    Stmt::Match { left, op, right }
}

/// The value that a match demands of a field.
fn demanded(stmt: &Stmt) -> Option<(&Expr, u128)> {
    match stmt {
        Stmt::Match {
            left,
            op: RelOp::Implicit | RelOp::Eq,
            right,
        } => Some((left, super::parse::single(right)?)),
        _ => None,
    }
}

/// Whether a match on the transport protocol says something of the network protocol, too.
fn says_both(stmt: &Stmt, family: TableFamily) -> bool {
    let of_header = matches!(
        stmt,
        Stmt::Match {
            left: Expr::Payload(..),
            ..
        }
    );
    of_header && matches!(family, TableFamily::Inet | TableFamily::Netdev)
}

/// The transport protocol that a match is about in so many words.
fn says_l4proto(stmt: &Stmt) -> Option<u128> {
    let (left, value) = demanded(stmt)?;
    match left {
        Expr::Meta(MetaKey::L4Proto) => Some(value),
        Expr::Payload(Proto::Ip, f) if f.name == "protocol" => Some(value),
        Expr::Payload(Proto::Ip6, f) if f.name == "nexthdr" => Some(value),
        _ => None,
    }
}

/// The network protocol that a match is about in so many words, as an EtherType.
fn says_l3proto(stmt: &Stmt) -> Option<u128> {
    let (left, value) = demanded(stmt)?;
    match left {
        Expr::Meta(MetaKey::NfProto) if value == 2 => Some(0x0800),
        Expr::Meta(MetaKey::NfProto) if value == 10 => Some(0x86dd),
        Expr::Meta(MetaKey::Protocol) => Some(value),
        Expr::Payload(Proto::Ether, f) if f.name == "type" => Some(value),
        _ => None,
    }
}

/// Calls `see` with every header that an expression looks into.
pub(crate) fn protos(expr: &Expr, see: &mut dyn FnMut(Proto)) {
    match expr {
        Expr::Payload(proto, _) => see(*proto),
        Expr::Bin(_, a, b) => {
            protos(a, see);
            protos(b, see);
        }
        Expr::Concat(parts) => parts.iter().for_each(|p| protos(p, see)),
        Expr::Map(key, _) => protos(key, see),
        Expr::Jhash { expr, .. } => protos(expr, see),
        _ => {}
    }
}

/// The headers that a match looks into.
fn stmt_protos(stmt: &Stmt) -> Vec<Proto> {
    let mut found = Vec::new();
    if let Stmt::Match { left, .. } | Stmt::Vmap(left, _) = stmt {
        protos(left, &mut |p| found.push(p));
    }
    found
}

/// Behind a match on the protocol `th` is the header of that protocol.
fn name_ports(stmts: &mut [Stmt]) {
    const WITH_PORTS: [Proto; 5] = [
        Proto::Tcp,
        Proto::Udp,
        Proto::Udplite,
        Proto::Dccp,
        Proto::Sctp,
    ];
    let mut named = None;
    for stmt in stmts {
        let says = says_l4proto(stmt);
        match stmt {
            Stmt::Match { left, .. } | Stmt::Vmap(left, _) => {
                if let (Expr::Payload(proto @ Proto::Th, field), Some(known)) = (left, named)
                    && let Some(same) = Proto::field(known, field.name)
                {
                    (*proto, *field) = (known, same);
                }
            }
            _ => named = None,
        }
        let known = |p: &Proto| p.l4proto().map(u128::from) == says;
        if says.is_some() {
            named = WITH_PORTS.into_iter().find(known);
        }
    }
}

/// Takes out matches that a later one implies: `ip protocol tcp tcp dport 22` is `tcp dport 22`.
pub(crate) fn rule(mut stmts: Vec<Stmt>, family: TableFamily) -> Vec<Stmt> {
    for stmt in &mut stmts {
        if let Stmt::Match { left, .. } | Stmt::Vmap(left, _) | Stmt::SetPayload(left, _) = stmt
            && let Expr::Raw(base, offset, len) = *left
        {
            *left = raw(base, offset, len, family);
        }
    }
    name_ports(&mut stmts);
    let mut at = 0;
    while at < stmts.len() {
        let stmt = &stmts[at];
        let l4 = says_l4proto(stmt).filter(|_| !says_both(stmt, family));
        let l3 = says_l3proto(stmt)
            .filter(|_| matches!(family, TableFamily::Inet | TableFamily::Netdev));
        // The next match on a header of the layer above takes the condition over.
        let implied = stmts[at + 1..]
            .iter()
            .take_while(|s| matches!(s, Stmt::Match { .. } | Stmt::Vmap(..)))
            .flat_map(stmt_protos)
            .any(|p| match (l4, l3) {
                (Some(l4), _) => p.l4proto().is_some_and(|n| u128::from(n) == l4),
                (_, Some(l3)) => p.ethertype().is_some_and(|n| u128::from(n) == l3),
                _ => false,
            });
        if implied && (l4.is_some() || l3.is_some()) {
            stmts.remove(at);
        } else {
            at += 1;
        }
    }
    reject_implies(&mut stmts, family);
    merge_order(&mut stmts);
    query_types(&mut stmts);
    stmts
}

/// What a match says of the network protocol for a `reject` behind it: to nft `meta protocol` does so at devices only.
fn says_for_reject(stmt: &Stmt, family: TableFamily) -> Option<u128> {
    let of_frame = matches!(demanded(stmt), Some((Expr::Meta(MetaKey::Protocol), _)));
    says_l3proto(stmt).filter(|_| !of_frame || family == TableFamily::Netdev)
}

/// `stmt_reject_postprocess()`: an error that belongs to one family takes the match on that family over. (nft lists a reset so, too; but
/// without the match the rule would answer both families.)
fn reject_implies(stmts: &mut Vec<Stmt>, family: TableFamily) {
    use super::stmt::RejectKind;
    let Some((Stmt::Reject(Some(kind)), before)) = stmts.split_last() else {
        return;
    };
    let both = matches!(family, TableFamily::Inet | TableFamily::Netdev);
    if !both || matches!(kind, RejectKind::Icmpx(_) | RejectKind::TcpReset) {
        return;
    }
    let matches = before
        .iter()
        .rev()
        .take_while(|s| matches!(s, Stmt::Match { .. } | Stmt::Vmap(..)));
    let mut found = matches.map(|s| says_for_reject(s, family).is_some());
    if let Some(back) = found.position(|says| says) {
        let at = before.len() - 1 - back;
        stmts.remove(at);
    }
}

/// IP version of the packets that come to a `reject` behind `stmts` in a table for both, when nft knows it.
pub(crate) fn reject_version(stmts: &[Stmt], family: TableFamily) -> Option<u8> {
    let known = |s: &&Stmt| says_l3proto(s).is_none() || says_for_reject(s, family).is_some();
    let stmts: Vec<Stmt> = stmts.iter().filter(known).cloned().collect();
    ip_version(&stmts)
}

/// Ids and sequence numbers are in queries and their answers only: without a match on the type before it nft adds one.
fn query_types(stmts: &mut Vec<Stmt>) {
    let field = |stmt: &Stmt| match stmt {
        Stmt::Match {
            left: Expr::Payload(proto @ (Proto::Icmp | Proto::Icmpv6), f),
            ..
        } => Some((*proto, f.name)),
        _ => None,
    };
    let mut typed = false;
    for at in 0..stmts.len() {
        match field(&stmts[at]) {
            Some((_, "type")) => typed = true,
            Some((proto, "id" | "sequence")) if !typed => {
                let (kinds, t) = match proto {
                    Proto::Icmp => ([0, 8], DataType::IcmpType),
                    _ => ([128, 129], DataType::Icmpv6Type),
                };
                let elems = kinds.map(|k| Elem::new(vec![Part::Value(k)])).to_vec();
                if let Some(field) = proto.field("type").filter(|f| f.dtype == t) {
                    let right = Rhs::Set(super::expr::SetRef::Anonymous(elems));
                    let left = Expr::Payload(proto, field);
                    stmts.insert(at, matched(left, RelOp::Implicit, right));
                }
                return;
            }
            _ => {}
        }
    }
}

/// nft joins two comparisons with constants in neighbouring fields into one, and lists them in the order of the fields.
fn merge_order(stmts: &mut [Stmt]) {
    // What is joined fits into one register.
    let span = |stmt: &Stmt| match demanded(stmt)? {
        (Expr::Payload(proto, f), _) if f.dtype.bits() % 8 == 0 && !f.dtype.is_bitmask() => {
            Some((*proto, u32::from(f.offset), f.dtype.bits()))
        }
        _ => None,
    };
    for i in 1..stmts.len() {
        if let (Some((p, a, first)), Some((q, b, len))) = (span(&stmts[i - 1]), span(&stmts[i]))
            && p == q
            && b + len == a
            && len + first <= 32
        {
            stmts.swap(i - 1, i);
        }
    }
}

/// The transport protocol of the packets that pass `stmts`, when there is one.
pub(crate) fn l4proto(stmts: &[Stmt]) -> Option<u8> {
    stmts.iter().find_map(|s| {
        says_l4proto(s)
            .and_then(|n| u8::try_from(n).ok())
            .or_else(|| stmt_protos(s).iter().find_map(|p| p.l4proto()))
    })
}

/// Whether the packets that pass `stmts` are known to have a transport protocol.
pub(crate) fn has_ports(stmts: &[Stmt]) -> bool {
    l4proto(stmts).is_some()
        || stmts.iter().any(|s| match s {
            Stmt::Match { left, .. } | Stmt::Vmap(left, _) => match left {
                Expr::Meta(MetaKey::L4Proto) | Expr::Ct(CtKey::Protocol, _) => true,
                Expr::Payload(Proto::Ip, f) => f.name == "protocol",
                Expr::Payload(Proto::Ip6, f) => f.name == "nexthdr",
                Expr::Concat(parts) => parts.iter().any(|p| {
                    matches!(p, Expr::Meta(MetaKey::L4Proto))
                        || matches!(p, Expr::Payload(Proto::Th, _))
                }),
                _ => false,
            },
            _ => false,
        })
}

/// IP version of the packets that pass `stmts` in an inet table, when it is known.
pub(crate) fn ip_version(stmts: &[Stmt]) -> Option<u8> {
    stmts.iter().find_map(|s| {
        if let Some(ethertype) = says_l3proto(s) {
            return match ethertype {
                0x0800 => Some(4),
                0x86dd => Some(6),
                _ => None,
            };
        }
        stmt_protos(s).iter().find_map(|p| match p {
            Proto::Ip | Proto::Icmp => Some(4),
            Proto::Ip6 | Proto::Icmpv6 => Some(6),
            _ => None,
        })
    })
}

/// Calls `see` with every expression of a statement, parts included.
pub(crate) fn exprs(stmt: &Stmt, see: &mut dyn FnMut(&Expr)) {
    match stmt {
        Stmt::Match { left, .. } | Stmt::Vmap(left, _) | Stmt::ObjectMap(_, left, _) => {
            within(left, see)
        }
        Stmt::SetMeta(_, value) | Stmt::SetExthdr(_, value) | Stmt::DupTo { addr: value, .. } => {
            within(value, see)
        }
        Stmt::SetCt(key, dir, value) => {
            see(&Expr::Ct(*key, *dir));
            within(value, see);
        }
        Stmt::SetPayload(field, value) => {
            within(field, see);
            within(value, see);
        }
        Stmt::SetUpdate { key, data, .. } => {
            within(key, see);
            if let Some(data) = data {
                within(data, see);
            }
        }
        Stmt::Nat(nat) => {
            for arg in [&nat.addr, &nat.port].into_iter().flatten() {
                if let super::stmt::NatArg::Expr(e) = arg {
                    within(e, see);
                }
            }
        }
        _ => {}
    }
}

fn within(expr: &Expr, see: &mut dyn FnMut(&Expr)) {
    see(expr);
    match expr {
        Expr::Bin(_, a, b) => {
            within(a, see);
            within(b, see);
        }
        Expr::Concat(parts) => parts.iter().for_each(|p| within(p, see)),
        Expr::Map(key, _) => within(key, see),
        Expr::Jhash { expr, .. } => within(expr, see),
        _ => {}
    }
}

/// A chain got another name: so do the jumps to it.
pub(crate) fn rename_chain(stmts: &mut [Stmt], old: &str, new: &str) {
    use super::expr::{ElemData, SetRef, VerdictExpr};
    let rename = |verdict: &mut VerdictExpr| {
        if let VerdictExpr::Jump(name) | VerdictExpr::Goto(name) = verdict
            && name == old
        {
            new.clone_into(name);
        }
    };
    for stmt in stmts {
        match stmt {
            Stmt::Verdict(verdict) => rename(verdict),
            Stmt::Vmap(_, SetRef::Anonymous(elems)) => {
                for elem in elems {
                    if let Some(ElemData::Verdict(verdict)) = &mut elem.data {
                        rename(verdict);
                    }
                }
            }
            _ => {}
        }
    }
}
