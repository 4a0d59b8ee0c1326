//! Statements: what a rule is made of.

use super::expr::{CtDir, CtKey, Expr, Exthdr, MetaKey, Part, SetRef, VerdictExpr};
use crate::skb::IfIndex;

/// How a match compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelOp {
    /// No operator was written: equal, or for flags: any of them is set.
    Implicit,
    /// `==`
    Eq,
    /// `!=`
    Neq,
    /// `<`
    Lt,
    /// `>`
    Gt,
    /// `<=`
    Lte,
    /// `>=`
    Gte,
    /// `!`: none of the flags is set.
    Neg,
}

/// What a match compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rhs {
    /// Values or ranges, one a field.
    Parts(Vec<Part>),
    /// Flags, of which any (or with [`RelOp::Neg`] none) is set.
    Flags(u128),
    /// `value / mask`: the flags in `mask` are exactly those in `value`.
    Masked {
        /// Flags that are set.
        value: u128,
        /// Flags that are looked at.
        mask: u128,
    },
    /// Elements of a set.
    Set(SetRef),
}

/// Token bucket (`nft_limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Packets or bytes per `unit`.
    pub rate: u64,
    /// Seconds.
    pub unit: u64,
    /// Counts bytes, not packets.
    pub bytes: bool,
    /// How many at once.
    pub burst: u64,
    /// Matches what exceeds the rate.
    pub over: bool,
}

/// Byte quota (`nft_quota`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes.
    pub bytes: u64,
    /// Bytes so far.
    pub used: u64,
    /// Matches when it is exceeded, else until it is.
    pub over: bool,
}

/// `log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Text in front.
    pub prefix: Option<String>,
    /// Syslog level by number; 4 (warn) by default.
    pub level: Option<u8>,
    /// nfnetlink_log group.
    pub group: Option<u16>,
    /// Bytes of the packet for the group.
    pub snaplen: Option<u32>,
    /// Packets that the group collects.
    pub queue_threshold: Option<u16>,
    /// `NF_LOG_*` bits.
    pub flags: u32,
}

/// What the sender of a rejected packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectKind {
    /// ICMP destination unreachable with this code.
    Icmp(u8),
    /// ICMPv6 destination unreachable with this code.
    Icmpv6(u8),
    /// Either, by the packet's family; code of nft's own (`NFT_REJECT_ICMPX_*`).
    Icmpx(u8),
    /// A TCP reset.
    TcpReset,
}

/// Which NAT a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// `snat`
    Snat,
    /// `dnat`
    Dnat,
    /// `masquerade`
    Masquerade,
    /// `redirect`
    Redirect,
}

/// A value or a range of values that are computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatArg {
    /// A constant.
    Part(Part),
    /// Computed for each packet.
    Expr(Expr),
}

/// `snat`, `dnat`, `masquerade`, `redirect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Which.
    pub kind: NatKind,
    /// `ip` or `ip6` as written or found out; 4 or 6.
    pub version: Option<u8>,
    /// The family was said or must be said.
    pub print_version: bool,
    /// New address.
    pub addr: Option<NatArg>,
    /// New port.
    pub port: Option<NatArg>,
    /// `random`
    pub random: bool,
    /// `fully-random`
    pub fully_random: bool,
    /// `persistent`
    pub persistent: bool,
    /// `prefix`: the host part is kept.
    pub prefix: bool,
}

/// What is done to a set from the packet path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOp {
    /// `add @set { … }`
    Add,
    /// `update @set { … }`: as add, and the timeout starts again.
    Update,
    /// `delete @set { … }`
    Delete,
}

/// Kinds of named objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjKind {
    /// `counter`
    Counter,
    /// `quota`
    Quota,
    /// `limit`
    Limit,
    /// `ct helper`
    CtHelper,
    /// `ct timeout`
    CtTimeout,
    /// `ct expectation`
    CtExpectation,
}

impl ObjKind {
    /// A rule names it with `set`.
    pub(crate) fn is_ct(self) -> bool {
        matches!(
            self,
            ObjKind::CtHelper | ObjKind::CtTimeout | ObjKind::CtExpectation
        )
    }
}

impl ObjKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ObjKind::Counter => "counter",
            ObjKind::Quota => "quota",
            ObjKind::Limit => "limit",
            ObjKind::CtHelper => "ct helper",
            ObjKind::CtTimeout => "ct timeout",
            ObjKind::CtExpectation => "ct expectation",
        }
    }
}

/// One statement of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stmt {
    /// Goes on when it is true.
    Match {
        /// What is looked at.
        left: Expr,
        /// How.
        op: RelOp,
        /// What with.
        right: Rhs,
    },
    /// Ends the rule, or the chain, or the hook.
    Verdict(VerdictExpr),
    /// Verdict of the element that has this key.
    Vmap(Expr, SetRef),
    /// Counts packets and bytes.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Bytes so far, from the network header on.
        bytes: u64,
    },
    /// Goes on within the rate.
    Limit(Limit),
    /// Goes on within the quota.
    Quota(Quota),
    /// `ct count`: goes on while no more than `count` connections are known, or with `over` when there are more.
    CtCount {
        /// Connections.
        count: u32,
        /// Matches what exceeds the number.
        over: bool,
    },
    /// A named object.
    Object(ObjKind, String),
    /// The object that the map has for this key.
    ObjectMap(ObjKind, Expr, SetRef),
    /// Says so in the log.
    Log(Log),
    /// Drops and tells the sender; `None`: port unreachable of the packet's family.
    Reject(Option<RejectKind>),
    /// `dup to`: a copy leaves through the device of this index.
    Dup(IfIndex),
    /// `dup to ADDRESS [device DEV]`: a copy is sent to that host, whomever it is for.
    DupTo {
        /// Address of the host, of the table's family.
        addr: Expr,
        /// Device that it leaves through.
        dev: Option<IfIndex>,
    },
    /// `fwd to`: the packet leaves through the device of this index.
    Fwd(IfIndex),
    /// Translates addresses.
    Nat(Nat),
    /// No connection tracking for this packet.
    Notrack,
    /// `meta KEY set VALUE`
    SetMeta(MetaKey, Expr),
    /// `ct KEY set VALUE`
    SetCt(CtKey, Option<CtDir>, Expr),
    /// `FIELD set VALUE`
    SetPayload(Expr, Expr),
    /// `tcp option … set VALUE`
    SetExthdr(Exthdr, Expr),
    /// `reset tcp option …`: no-operations take its place.
    ResetTcpOption(Exthdr),
    /// Changes a set.
    SetUpdate {
        /// How.
        op: SetOp,
        /// Name of the set.
        set: String,
        /// The element's key.
        key: Expr,
        /// Its data, for maps.
        data: Option<Expr>,
        /// Its life in milliseconds.
        timeout: Option<u64>,
        /// Its own counters and limits.
        stmts: Vec<Stmt>,
        /// `meter NAME size N { … }`: the set is the rule's own, of at most so many elements.
        meter: Option<u32>,
    },
}
