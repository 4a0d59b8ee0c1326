//! What a ruleset is made of, besides rules: tables, chains, sets, objects.

use super::datatype::DataType;
use super::expr::Expr;
use super::stmt::{ObjKind, Stmt};
use crate::hook::Hook;

/// Family of a table: which packets its chains see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
    /// Frames of named devices.
    Netdev,
}

impl TableFamily {
    /// nft's word.
    pub fn name(self) -> &'static str {
        match self {
            TableFamily::Ip => "ip",
            TableFamily::Ip6 => "ip6",
            TableFamily::Inet => "inet",
            TableFamily::Netdev => "netdev",
        }
    }

    /// The family that nft calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ip, Self::Ip6, Self::Inet, Self::Netdev]
            .into_iter()
            .find(|f| f.name() == name)
    }
}

/// Type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainType {
    /// Sees every packet.
    Filter,
    /// Output only: a packet whose mark, addresses or TOS it changed is routed again (`nft_chain_route`).
    Route,
    /// Sees the first packet of a connection.
    Nat,
}

impl ChainType {
    /// nft's word.
    pub fn name(self) -> &'static str {
        match self {
            ChainType::Filter => "filter",
            ChainType::Route => "route",
            ChainType::Nat => "nat",
        }
    }
}

/// What a packet gets that reaches the end of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// It goes on.
    Accept,
    /// It ends.
    Drop,
}

impl Policy {
    /// nft's word.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        }
    }
}

/// Where and when a chain runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// Type.
    pub kind: ChainType,
    /// Hook.
    pub hook: Hook,
    /// Lower ones run first.
    pub priority: i32,
    /// What happens at its end.
    pub policy: Policy,
    /// Devices, for [`Hook::NetdevIngress`] and [`Hook::NetdevEgress`]; empty elsewhere.
    pub devices: Vec<String>,
}

/// Declaration of a set or map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetSpec {
    /// Types of the key's fields.
    pub key: Vec<DataType>,
    /// `typeof`: the expressions that the types come from.
    pub key_typeof: Option<Expr>,
    /// Types of a map's data; `[Verdict]` for verdict maps; empty for sets.
    pub data: Vec<DataType>,
    /// `interval` was written before the data's type: they may be ranges.
    pub data_interval: bool,
    /// `typeof` of the data.
    pub data_typeof: Option<Expr>,
    /// `map` was written.
    pub is_map: bool,
    /// A map whose data are objects of this kind.
    pub object: Option<ObjKind>,
    /// `constant`
    pub constant: bool,
    /// `interval`
    pub interval: bool,
    /// `timeout` (the flag)
    pub has_timeout: bool,
    /// `dynamic`
    pub dynamic: bool,
    /// Life of elements in milliseconds.
    pub timeout: Option<u64>,
    /// Milliseconds between two sweeps.
    pub gc_interval: Option<u64>,
    /// Most elements.
    pub size: Option<u32>,
    /// `policy memory`
    pub policy_memory: bool,
    /// Overlapping intervals are merged.
    pub auto_merge: bool,
    /// Each element gets these.
    pub stmts: Vec<Stmt>,
    /// It was made by a rule with `meter`, and is listed with the rule only.
    pub is_meter: bool,
    /// `comment "…"`
    pub comment: Option<String>,
}

/// A named object and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectSpec {
    /// Counter, limit or quota.
    Stateful(Stmt),
    /// `ct helper`
    CtHelper {
        /// Name of the helper.
        helper: String,
        /// IP protocol.
        protocol: u8,
        /// Family, when one is named.
        l3proto: Option<TableFamily>,
    },
    /// `ct timeout`
    CtTimeout {
        /// IP protocol: TCP or UDP.
        protocol: u8,
        /// Family, when one is named.
        l3proto: Option<TableFamily>,
        /// Seconds by state, in the order of [`ct_timeout_states`].
        policy: Vec<(&'static str, u32)>,
    },
    /// `ct expectation`
    CtExpectation {
        /// IP protocol.
        protocol: u8,
        /// Destination port.
        dport: u16,
        /// How long it is waited for, in milliseconds.
        timeout: u64,
        /// Connections that one may announce.
        size: u8,
        /// Family, when one is named.
        l3proto: Option<TableFamily>,
    },
}

/// States of TCP and UDP connections as `ct timeout` names them, with the seconds that nft does not list because they are usual.
pub fn ct_timeout_states(protocol: u8) -> &'static [(&'static str, u32)] {
    const TCP: [(&str, u32); 11] = [
        ("syn_sent", 120),
        ("syn_recv", 60),
        ("established", 432_000),
        ("fin_wait", 120),
        ("close_wait", 60),
        ("last_ack", 30),
        ("time_wait", 120),
        ("close", 10),
        ("syn_sent2", 120),
        ("retrans", 300),
        ("unack", 300),
    ];
    const UDP: [(&str, u32); 2] = [("unreplied", 30), ("replied", 120)];
    match protocol {
        17 => &UDP,
        _ => &TCP,
    }
}

impl ObjectSpec {
    /// Its kind.
    pub fn kind(&self) -> ObjKind {
        match self {
            ObjectSpec::Stateful(Stmt::Quota(_)) => ObjKind::Quota,
            ObjectSpec::Stateful(Stmt::Limit(_)) => ObjKind::Limit,
            ObjectSpec::Stateful(_) => ObjKind::Counter,
            ObjectSpec::CtHelper { .. } => ObjKind::CtHelper,
            ObjectSpec::CtTimeout { .. } => ObjKind::CtTimeout,
            ObjectSpec::CtExpectation { .. } => ObjKind::CtExpectation,
        }
    }
}
