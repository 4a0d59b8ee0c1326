//! Expressions: what a rule looks at, compares with and computes.

use super::datatype::DataType;
use super::proto::{Base, Field, Proto};
use super::stmt::Stmt;
use DataType as T;

/// `meta KEY` (`NFT_META_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are nft's
pub enum MetaKey {
    Length,
    Protocol,
    NfProto,
    L4Proto,
    Priority,
    Mark,
    Iif,
    IifName,
    IifType,
    IifGroup,
    Oif,
    OifName,
    OifType,
    OifGroup,
    SkUid,
    SkGid,
    NfTrace,
    RtClassId,
    PktType,
    Cpu,
    Cgroup,
    Random,
    Time,
    Day,
    Hour,
    Ipsec,
    Sdif,
    SdifName,
    IifKind,
    OifKind,
}

const META: [(&str, MetaKey, DataType); 31] = [
    ("length", MetaKey::Length, T::HostInteger(32)),
    ("protocol", MetaKey::Protocol, T::EtherType),
    ("nfproto", MetaKey::NfProto, T::NfProto),
    ("l4proto", MetaKey::L4Proto, T::InetProto),
    ("priority", MetaKey::Priority, T::ClassId),
    ("mark", MetaKey::Mark, T::Mark),
    ("iif", MetaKey::Iif, T::IfaceIndex),
    ("iifname", MetaKey::IifName, T::IfName),
    ("iiftype", MetaKey::IifType, T::IfaceType),
    ("iifgroup", MetaKey::IifGroup, T::DevGroup),
    ("oif", MetaKey::Oif, T::IfaceIndex),
    ("oifname", MetaKey::OifName, T::IfName),
    ("oiftype", MetaKey::OifType, T::IfaceType),
    ("oifgroup", MetaKey::OifGroup, T::DevGroup),
    ("skuid", MetaKey::SkUid, T::Uid),
    ("skgid", MetaKey::SkGid, T::Gid),
    ("nftrace", MetaKey::NfTrace, T::HostInteger(1)),
    ("rtclassid", MetaKey::RtClassId, T::Realm),
    ("pkttype", MetaKey::PktType, T::PktType),
    ("cpu", MetaKey::Cpu, T::HostInteger(32)),
    ("cgroup", MetaKey::Cgroup, T::HostInteger(32)),
    ("random", MetaKey::Random, T::Integer(32)),
    ("time", MetaKey::Time, T::Date),
    ("day", MetaKey::Day, T::Day),
    ("hour", MetaKey::Hour, T::Hour),
    ("ipsec", MetaKey::Ipsec, T::Boolean),
    // An old name.
    ("secpath", MetaKey::Ipsec, T::Boolean),
    ("sdif", MetaKey::Sdif, T::IfaceIndex),
    ("sdifname", MetaKey::SdifName, T::IfName),
    ("iifkind", MetaKey::IifKind, T::IfName),
    ("oifkind", MetaKey::OifKind, T::IfName),
];

impl MetaKey {
    /// The key that nft calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(META.iter().find(|(n, _, _)| *n == name)?.1)
    }

    /// nft's word.
    pub fn name(self) -> &'static str {
        META.iter()
            .find(|(_, k, _)| *k == self)
            .map_or("", |(n, _, _)| n)
    }

    /// Type of its value.
    pub fn dtype(self) -> DataType {
        META.iter()
            .find(|(_, k, _)| *k == self)
            .map_or(T::HostInteger(32), |(_, _, t)| *t)
    }

    /// Keys that stand (and are printed) without the word `meta`.
    pub(crate) fn is_unqualified(self) -> bool {
        use MetaKey::*;
        matches!(
            self,
            Iif | IifName | IifType | IifGroup | Oif | OifName | OifType | OifGroup
        ) && !matches!(self, IifType | OifType)
    }

    /// Keys that may stand without the word `meta` in a text.
    pub(crate) fn may_be_unqualified(self) -> bool {
        use MetaKey::*;
        self.is_unqualified()
            || matches!(
                self,
                Mark | IifType
                    | OifType
                    | SkUid
                    | SkGid
                    | NfTrace
                    | RtClassId
                    | PktType
                    | Cpu
                    | Cgroup
                    | Ipsec
                    | Time
                    | Day
                    | Hour
            )
    }

    /// Keys that `meta KEY set` can set.
    pub(crate) fn is_settable(self) -> bool {
        use MetaKey::*;
        matches!(self, Mark | Priority | NfTrace | PktType)
    }
}

/// `ct KEY` (`NFT_CT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are nft's
pub enum CtKey {
    State,
    Direction,
    Status,
    Mark,
    Expiration,
    Helper,
    L3Proto,
    /// `saddr`, family from the table.
    Saddr,
    Daddr,
    /// `ip saddr`.
    IpSaddr,
    IpDaddr,
    Ip6Saddr,
    Ip6Daddr,
    Protocol,
    ProtoSrc,
    ProtoDst,
    Label,
    Bytes,
    Packets,
    AvgPkt,
    Zone,
    Event,
    Id,
}

const CT: [(&str, CtKey, DataType); 23] = [
    ("state", CtKey::State, T::CtState),
    ("direction", CtKey::Direction, T::CtDir),
    ("status", CtKey::Status, T::CtStatus),
    ("mark", CtKey::Mark, T::Mark),
    ("expiration", CtKey::Expiration, T::Time),
    ("helper", CtKey::Helper, T::String),
    ("l3proto", CtKey::L3Proto, T::NfProto),
    ("saddr", CtKey::Saddr, T::Ipv4Addr),
    ("daddr", CtKey::Daddr, T::Ipv4Addr),
    ("ip saddr", CtKey::IpSaddr, T::Ipv4Addr),
    ("ip daddr", CtKey::IpDaddr, T::Ipv4Addr),
    ("ip6 saddr", CtKey::Ip6Saddr, T::Ipv6Addr),
    ("ip6 daddr", CtKey::Ip6Daddr, T::Ipv6Addr),
    ("protocol", CtKey::Protocol, T::InetProto),
    ("proto-src", CtKey::ProtoSrc, T::InetService),
    ("proto-dst", CtKey::ProtoDst, T::InetService),
    ("label", CtKey::Label, T::CtLabel),
    ("bytes", CtKey::Bytes, T::HostInteger(64)),
    ("packets", CtKey::Packets, T::HostInteger(64)),
    ("avgpkt", CtKey::AvgPkt, T::HostInteger(64)),
    ("zone", CtKey::Zone, T::HostInteger(16)),
    ("event", CtKey::Event, T::CtEvent),
    ("id", CtKey::Id, T::HostInteger(32)),
];

impl CtKey {
    /// The key that nft calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(CT.iter().find(|(n, _, _)| *n == name)?.1)
    }

    /// nft's word or words.
    pub fn name(self) -> &'static str {
        CT.iter()
            .find(|(_, k, _)| *k == self)
            .map_or("", |(n, _, _)| n)
    }

    /// Type of its value.
    pub fn dtype(self) -> DataType {
        CT.iter()
            .find(|(_, k, _)| *k == self)
            .map_or(T::HostInteger(32), |(_, _, t)| *t)
    }

    /// Keys that only make sense for one direction of the connection.
    pub(crate) fn needs_direction(self) -> bool {
        use CtKey::*;
        matches!(
            self,
            Saddr | Daddr | IpSaddr | IpDaddr | Ip6Saddr | Ip6Daddr | ProtoSrc | ProtoDst
        )
    }

    /// Keys that may name a direction.
    pub(crate) fn may_have_direction(self) -> bool {
        use CtKey::*;
        self.needs_direction()
            || matches!(self, Bytes | Packets | AvgPkt | Zone | Protocol | L3Proto)
    }

    /// Keys that `ct KEY set` can set.
    pub(crate) fn is_settable(self) -> bool {
        matches!(
            self,
            CtKey::Mark | CtKey::Zone | CtKey::Label | CtKey::Event
        )
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtDir {
    /// As the first packet went.
    Original,
    /// The way back.
    Reply,
}

impl CtDir {
    pub(crate) fn name(self) -> &'static str {
        match self {
            CtDir::Original => "original",
            CtDir::Reply => "reply",
        }
    }
}

/// What an extension header or option match looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExtKind {
    /// IPv6 extension header with this protocol number.
    Ip6(u8),
    /// IPv4 option of this type.
    Ip4Option(u8),
    /// TCP option of this kind.
    TcpOption(u8),
    /// SCTP chunk of this type.
    SctpChunk(u8),
}

/// `exthdr`, `tcp option`, `ip option`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exthdr {
    /// Which header or option.
    pub kind: ExtKind,
    /// Its field; `None` asks whether it is there at all.
    pub field: Option<ExtField>,
}

/// A field of an extension header or option. One without a name is some bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtField {
    /// nft's word.
    pub name: &'static str,
    /// First bit from the start of the header or option.
    pub offset: u16,
    /// Type of the value.
    pub dtype: DataType,
}

/// What a `fib` expression looks up with (`NFTA_FIB_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FibFlags {
    /// The source address.
    pub saddr: bool,
    /// The destination address.
    pub daddr: bool,
    /// The mark.
    pub mark: bool,
    /// The input device must fit.
    pub iif: bool,
    /// The output device must fit.
    pub oif: bool,
}

/// What a `fib` expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FibResult {
    /// Index of the route's device; 0 without a route.
    Oif,
    /// Name of the route's device.
    OifName,
    /// Type of the address.
    Type,
    /// Whether there is a route (`fib … oif exists`).
    Exists,
}

/// `rt KEY` (`NFT_RT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RtKey {
    /// `mtu`: the largest TCP segment that fits the packet's way, and the way back.
    Mtu,
    /// `classid`: the route's realm.
    ClassId,
    /// `ip nexthop`: whom the packet is sent to next.
    IpNexthop,
    /// `ip6 nexthop`
    Ip6Nexthop,
    /// `ipsec`: whether it goes through a transformation.
    Ipsec,
}

impl RtKey {
    /// Every key, by nft's words.
    pub(crate) const ALL: [(&str, RtKey, DataType); 5] = [
        ("mtu", RtKey::Mtu, T::HostInteger(16)),
        ("classid", RtKey::ClassId, T::Realm),
        ("ip nexthop", RtKey::IpNexthop, T::Ipv4Addr),
        ("ip6 nexthop", RtKey::Ip6Nexthop, T::Ipv6Addr),
        ("ipsec", RtKey::Ipsec, T::Boolean),
    ];

    fn entry(self) -> (&'static str, RtKey, DataType) {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, key, _)| *key == self).unwrap_or(Self::ALL[0])
    }

    /// nft's word or words.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// Type of its value.
    pub fn dtype(self) -> DataType {
        self.entry().2
    }
}

/// `ipsec` (`NFTA_XFRM_*`): a key of one of the transformations that a packet went through, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipsec {
    /// `out`: that will be done, not `in`: that was done.
    pub out: bool,
    /// `spnum`: which of them, from 0 on.
    pub number: u8,
    /// What is asked of it.
    pub key: IpsecKey,
}

/// `ipsec in KEY` (`NFT_XFRM_KEY_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are nft's
pub enum IpsecKey {
    ReqId,
    Spi,
    IpSaddr,
    IpDaddr,
    Ip6Saddr,
    Ip6Daddr,
}

impl IpsecKey {
    const ALL: [(&str, IpsecKey, DataType); 6] = [
        ("reqid", IpsecKey::ReqId, T::HostInteger(32)),
        ("spi", IpsecKey::Spi, T::Integer(32)),
        ("ip saddr", IpsecKey::IpSaddr, T::Ipv4Addr),
        ("ip daddr", IpsecKey::IpDaddr, T::Ipv4Addr),
        ("ip6 saddr", IpsecKey::Ip6Saddr, T::Ipv6Addr),
        ("ip6 daddr", IpsecKey::Ip6Daddr, T::Ipv6Addr),
    ];

    /// The key that nft calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(Self::ALL.iter().find(|(n, _, _)| *n == name)?.1)
    }

    fn entry(self) -> (&'static str, IpsecKey, DataType) {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, key, _)| *key == self).unwrap_or(Self::ALL[0])
    }

    /// nft's word or words.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// Type of its value.
    pub fn dtype(self) -> DataType {
        self.entry().2
    }
}

/// Arithmetic on bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinOp {
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `<<`
    Lshift,
    /// `>>`
    Rshift,
}

impl BinOp {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            BinOp::And => "&",
            BinOp::Or => "|",
            BinOp::Xor => "^",
            BinOp::Lshift => "<<",
            BinOp::Rshift => ">>",
        }
    }

    /// How tightly it binds.
    pub(crate) fn level(self) -> u8 {
        match self {
            BinOp::Or => 0,
            BinOp::Xor => 1,
            BinOp::And => 2,
            BinOp::Lshift | BinOp::Rshift => 3,
        }
    }

    pub(crate) fn apply(self, a: u128, b: u128) -> u128 {
        let shift = u32::try_from(b).unwrap_or(u32::MAX);
        match self {
            BinOp::And => a & b,
            BinOp::Or => a | b,
            BinOp::Xor => a ^ b,
            BinOp::Lshift => a.checked_shl(shift).unwrap_or(0),
            BinOp::Rshift => a.checked_shr(shift).unwrap_or(0),
        }
    }
}

/// A set that an expression names, or that stands in the rule itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetRef {
    /// `@name`
    Named(String),
    /// `{ … }`
    Anonymous(Vec<Elem>),
}

/// A value that a rule computes for a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// A constant.
    Value(u128, DataType),
    /// Metadata of the packet.
    Meta(MetaKey),
    /// The packet's connection.
    Ct(CtKey, Option<CtDir>),
    /// A header field.
    Payload(Proto, &'static Field),
    /// `@base,offset,len`, both in bits.
    Raw(Base, u16, u16),
    /// Extension headers and options.
    Exthdr(Exthdr),
    /// Route lookup.
    Fib(FibFlags, FibResult),
    /// The packet's route.
    Rt(RtKey),
    /// The packet's transformations.
    Ipsec(Ipsec),
    /// Counting up.
    Numgen {
        /// Random instead of counting.
        random: bool,
        /// Numbers below this.
        modulus: u32,
        /// Added to the number.
        offset: u32,
    },
    /// `jhash EXPR mod N seed S offset O`.
    Jhash {
        /// What is hashed.
        expr: Box<Expr>,
        /// Numbers below this.
        modulus: u32,
        /// Seed; drawn at random when the rule names none.
        seed: Option<u32>,
        /// Added to the number.
        offset: u32,
    },
    /// `symhash mod N offset O`: of the flow, equal in both directions.
    Symhash {
        /// Numbers below this.
        modulus: u32,
        /// Added to the number.
        offset: u32,
    },
    /// Bit arithmetic.
    Bin(BinOp, Box<Expr>, Box<Expr>),
    /// `a . b`
    Concat(Vec<Expr>),
    /// `EXPR map SET`: the data of the element with this key.
    Map(Box<Expr>, SetRef),
}

impl Expr {
    /// Type of the value; that of the first field for a concatenation, and for a map with a named set that is not known here an
    /// integer.
    pub fn dtype(&self) -> DataType {
        match self {
            Expr::Value(_, t) => *t,
            Expr::Meta(key) => key.dtype(),
            Expr::Ct(key, _) => key.dtype(),
            Expr::Payload(_, field) => field.dtype,
            Expr::Raw(_, _, len) => T::Integer(*len),
            Expr::Exthdr(e) => e.field.map_or(T::Boolean, |f| f.dtype),
            Expr::Fib(_, result) => match result {
                FibResult::Oif => T::IfaceIndex,
                FibResult::OifName => T::IfName,
                FibResult::Type => T::FibAddrType,
                FibResult::Exists => T::Boolean,
            },
            Expr::Rt(key) => key.dtype(),
            Expr::Ipsec(ipsec) => ipsec.key.dtype(),
            Expr::Numgen { .. } | Expr::Jhash { .. } | Expr::Symhash { .. } => T::HostInteger(32),
            Expr::Bin(_, left, _) => left.dtype(),
            Expr::Concat(parts) => parts.first().map_or(T::Integer(0), Expr::dtype),
            Expr::Map(_, SetRef::Anonymous(elems)) => match elems
                .first()
                .and_then(|e| e.data.as_ref())
            {
                Some(ElemData::Value(_, types)) => types.first().copied().unwrap_or(T::Integer(32)),
                _ => T::Verdict,
            },
            Expr::Map(_, SetRef::Named(_)) => T::Integer(32),
        }
    }

    /// Types of all fields.
    pub fn types(&self) -> Vec<DataType> {
        match self {
            Expr::Concat(parts) => parts.iter().map(Expr::dtype).collect(),
            one => vec![one.dtype()],
        }
    }
}

/// One field of a key: a value or a range of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// One value.
    Value(u128),
    /// `address/len`, or a name that ends in `*`: the first `len` bits are given.
    Prefix(u128, u32),
    /// Both included.
    Range(u128, u128),
}

impl Part {
    /// First and last value in a field of `bits` bits.
    pub fn bounds(self, bits: u32) -> (u128, u128) {
        match self {
            Part::Value(v) => (v, v),
            Part::Range(lo, hi) => (lo, hi),
            Part::Prefix(v, len) => {
                let host = prefix_host_mask(bits, len);
                (v & !host, v | host)
            }
        }
    }
}

/// The bits behind a prefix of `len` bits in a field of `bits` bits.
pub(crate) fn prefix_host_mask(bits: u32, len: u32) -> u128 {
    match bits.min(128).saturating_sub(len) {
        0 => 0,
        n => u128::MAX >> (128 - n),
    }
}

/// What a packet does after a rule, where a rule or a verdict map says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerdictExpr {
    /// `accept`
    Accept,
    /// `drop`
    Drop,
    /// `continue`
    Continue,
    /// `return`
    Return,
    /// `jump CHAIN`
    Jump(String),
    /// `goto CHAIN`
    Goto(String),
}

/// Data of a map element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElemData {
    /// Verdict map.
    Verdict(VerdictExpr),
    /// An object of the table, by its name.
    Object(super::stmt::ObjKind, String),
    /// Values, one a field of the map's data type.
    Value(Vec<Part>, Vec<DataType>),
}

/// One element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elem {
    /// One part a field; empty for `*` (all that match nothing else).
    pub key: Vec<Part>,
    /// Data, in maps.
    pub data: Option<ElemData>,
    /// Life in milliseconds, where it differs from the set's.
    pub timeout: Option<u64>,
    /// What is left of it in milliseconds when it is not the whole.
    pub expires: Option<u64>,
    /// `comment "…"`
    pub comment: Option<String>,
    /// Counters and limits of its own.
    pub stmts: Vec<Stmt>,
}

impl Elem {
    /// An element with nothing but a key.
    pub fn new(key: Vec<Part>) -> Self {
        Self {
            key,
            data: None,
            timeout: None,
            expires: None,
            comment: None,
            stmts: Vec::new(),
        }
    }
}
