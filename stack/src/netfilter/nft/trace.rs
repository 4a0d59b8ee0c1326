//! What `nft monitor trace` shows.

use super::model::TableFamily;
use crate::hook::HookState;
use std::fmt;

/// Where an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NftPlace<'a> {
    /// Family of the table.
    pub family: TableFamily,
    /// Name of the table.
    pub table: &'a str,
    /// Name of the chain: the base chain, or the one that was jumped to.
    pub chain: &'a str,
    /// Hook and devices.
    pub state: &'a HookState,
}

/// What happened to a packet in a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NftEvent<'a> {
    /// The first event of a packet with `nf_trace` in this base chain follows; the packet is as the chain sees it.
    Packet(NftPlace<'a>),
    /// A rule matched (`rule … (verdict …)`).
    Rule {
        /// Where.
        place: NftPlace<'a>,
        /// Handle of the rule.
        handle: u64,
        /// The rule as `nft list ruleset` prints it, counters as they were when it was added.
        rule: &'a str,
        /// The rule's comment.
        comment: Option<&'a str>,
        /// `continue`, `accept`, `jump CHAIN` …
        verdict: &'a str,
    },
    /// The end of the base chain was reached (`policy …`).
    Policy {
        /// Where.
        place: NftPlace<'a>,
        /// `accept` or `drop`.
        verdict: &'a str,
    },
}

impl<'a> NftEvent<'a> {
    /// Where it happened.
    pub fn place(&self) -> &NftPlace<'a> {
        match self {
            NftEvent::Packet(place)
            | NftEvent::Rule { place, .. }
            | NftEvent::Policy { place, .. } => place,
        }
    }
}

impl fmt::Display for NftEvent<'_> {
    /// As a line of `nft monitor trace`, without the id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        write!(
            f,
            "{} {} {} ",
            place.family.name(),
            place.table,
            place.chain
        )?;
        match self {
            NftEvent::Packet(_) => write!(f, "packet"),
            NftEvent::Rule { rule, verdict, .. } => write!(f, "rule {rule} (verdict {verdict})"),
            NftEvent::Policy { verdict, .. } => write!(f, "policy {verdict}"),
        }
    }
}
