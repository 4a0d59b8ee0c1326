//! Rules as the engine runs them: names resolved, dependencies written out.

use super::expr::{CtDir, CtKey, Exthdr, FibFlags, FibResult, MetaKey, RtKey};
use super::proto::Base;
use super::set::Elements;
use super::state::State;
use super::stmt::{Log, NatKind, RejectKind, SetOp};
use super::verdict::Verdict;
use crate::Ps;
use crate::skb::IfIndex;

/// A field that is read from the packet or about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Bits of a header.
    Payload {
        base: Base,
        offset: u16,
        len: u16,
    },
    Meta(MetaKey),
    Ct(CtKey, Option<CtDir>),
    Exthdr(Exthdr),
    /// An address of the packet, looked up.
    Fib(FibFlags, FibResult),
    /// The packet's route.
    Rt(RtKey),
    /// A transformation that the packet did not go through.
    Ipsec,
}

/// The set that a rule looks into.
#[derive(Clone)]
pub(crate) enum SetSel {
    Named(u32),
    Own(Box<Elements>),
}

/// A field of what is hashed, as the kernel's registers hold it.
#[derive(Clone)]
pub(crate) struct HashField {
    pub node: Node,
    pub bytes: u8,
    /// Little end first.
    pub host_order: bool,
}

/// A value that is computed.
#[derive(Clone)]
pub(crate) enum Node {
    Const(u128),
    Load(Load),
    /// `(x & mask) ^ xor`
    Bits {
        of: Box<Node>,
        mask: u128,
        xor: u128,
    },
    /// `x << by`, cut to `max`; to the right with `right`.
    Shift {
        of: Box<Node>,
        right: bool,
        by: u32,
        max: u128,
    },
    /// A field of the data of the element that has this key.
    Map {
        key: Box<[Node]>,
        set: SetSel,
        field: usize,
    },
    Numgen {
        random: bool,
        modulus: u32,
        offset: u32,
        next: u32,
    },
    Jhash {
        fields: Box<[HashField]>,
        modulus: u32,
        seed: u32,
        offset: u32,
    },
    Symhash {
        modulus: u32,
        offset: u32,
    },
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Eq(u128),
    Ne(u128),
    Lt(u128),
    Gt(u128),
    Lte(u128),
    Gte(u128),
    In(u128, u128),
    NotIn(u128, u128),
    /// `(x & mask) == value`
    Masked(u128, u128),
    /// `(x & mask) != value`
    NotMasked(u128, u128),
}

impl Test {
    #[inline]
    pub fn holds(self, x: u128) -> bool {
        match self {
            Test::Eq(v) => x == v,
            Test::Ne(v) => x != v,
            Test::Lt(v) => x < v,
            Test::Gt(v) => x > v,
            Test::Lte(v) => x <= v,
            Test::Gte(v) => x >= v,
            Test::In(lo, hi) => lo <= x && x <= hi,
            Test::NotIn(lo, hi) => x < lo || hi < x,
            Test::Masked(mask, v) => x & mask == v,
            Test::NotMasked(mask, v) => x & mask != v,
        }
    }
}

/// An argument of a nat statement: first and last value.
#[derive(Clone)]
pub(crate) enum NatOperand {
    Range(u128, u128),
    /// A computed value, which is both.
    Value(Node),
    /// Data of a map that may be a range.
    MapRange {
        key: Box<[Node]>,
        set: SetSel,
        field: usize,
    },
}

#[derive(Clone)]
pub(crate) struct NatOp {
    pub kind: NatKind,
    pub v6: bool,
    pub addr: Option<NatOperand>,
    pub port: Option<NatOperand>,
    pub random: bool,
    pub fully_random: bool,
    pub persistent: bool,
    pub netmap: bool,
}

#[derive(Clone)]
pub(crate) struct SetUpdateOp {
    pub op: SetOp,
    pub set: u32,
    pub key: Box<[Node]>,
    pub data: Box<[Node]>,
    pub life: Option<Ps>,
    pub state: Vec<State>,
}

/// A field that is written.
#[derive(Clone)]
pub(crate) struct SetPayloadOp {
    pub base: Base,
    /// In bits.
    pub offset: u16,
    /// In bits.
    pub len: u16,
    /// Where the header's own checksum is, in bytes from `base`.
    pub csum: Option<u16>,
    /// The transport checksum covers the field through the pseudo header.
    pub pseudo: bool,
    pub value: Node,
}

/// One step. A step that does not hold ends the rule (`NFT_BREAK`).
#[derive(Clone)]
pub(crate) enum Op {
    /// The commonest: a field is compared.
    Test(Load, Test),
    TestNode(Node, Test),
    Lookup {
        key: Box<[Node]>,
        set: SetSel,
        negate: bool,
    },
    Vmap {
        key: Box<[Node]>,
        set: SetSel,
    },
    /// A statement with memory; the number of the statement that it is.
    State(State, usize),
    Object(u32),
    /// The object that is the data of the element with this key.
    ObjectMap {
        key: Box<[Node]>,
        set: SetSel,
    },
    SetMeta(MetaKey, Node),
    SetCt(CtKey, Option<CtDir>, Node),
    CtHelper(u32),
    SetPayload(Box<SetPayloadOp>),
    SetExthdr(Exthdr, Node),
    /// The option of this kind.
    ResetTcpOption(u8),
    SetUpdate(Box<SetUpdateOp>),
    Log(Box<Log>),
    Dup(IfIndex),
    /// A copy to a host: its address, and the device to it.
    DupTo(Node, Option<IfIndex>),
    Fwd(IfIndex),
    Nat(Box<NatOp>),
    Notrack,
    Reject(RejectKind),
    Verdict(Verdict),
}
