//! `meta.json`: what was prepared, and the walk of every packet.

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
pub struct Meta {
    /// The recording's name.
    pub name: String,
    /// What it shows.
    pub desc: String,
    /// Commands that came on top of the topology and `base.nft`.
    pub prep: Vec<Prep>,
    /// Every packet that `r` saw, in the order in which they were seen first.
    pub packets: Vec<Vec<Visit>>,
}

/// A command, and where it was typed.
#[derive(Debug, Clone, Deserialize)]
pub struct Prep {
    /// Network namespace: `c`, `r` or `s`.
    pub ns: String,
    /// As typed into a shell.
    pub cmd: String,
}

/// A packet at a base chain. A field that the trace did not print is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Visit {
    /// `table/chain`.
    pub chain: String,
    /// Family of the table.
    pub family: String,
    /// Device that it came in through.
    pub iif: Option<String>,
    /// Device that it goes out through.
    pub oif: Option<String>,
    /// Source address.
    pub saddr: Option<String>,
    /// Destination address.
    pub daddr: Option<String>,
    /// Protocol by name.
    pub protocol: Option<String>,
    /// Time to live.
    pub ttl: Option<String>,
    /// Total length in bytes.
    pub length: Option<String>,
    /// Source port.
    pub sport: Option<String>,
    /// Destination port.
    pub dport: Option<String>,
    /// ICMP type by name.
    pub icmp_type: Option<String>,
    /// Comments of the rules that matched, in order.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Rules without comment that decided something.
    #[serde(default)]
    pub rules: Vec<Matched>,
    /// `drop` when the chain's policy did that.
    pub verdict: Option<String>,
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Matched {
    /// As `nft list` prints it.
    pub rule: String,
    /// `accept`, `drop`, …
    pub verdict: String,
}

impl Visit {
    /// Whether this is a chain at netdev egress, whose trace says nothing about the packet.
    pub fn is_bare(&self) -> bool {
        self.saddr.is_none()
    }
}
