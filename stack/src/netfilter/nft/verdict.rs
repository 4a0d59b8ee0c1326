//! Verdicts as the engine uses them, and as it returns them.

use super::stmt::RejectKind;
use crate::skb::IfIndex;

/// What comes after a rule; chains by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    Accept,
    Drop,
    Return,
    Jump(u32),
    Goto(u32),
}

/// What a base chain decided about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NftVerdict {
    /// On to the next hook function.
    Accept,
    /// The packet ends here.
    Drop,
    /// The packet ends here and its sender is told; the caller does so, after the chain.
    Reject(RejectKind),
    /// It leaves through this device (`nft_fwd_netdev_eval()`).
    Forward(IfIndex),
    /// Somebody else has the packet now.
    Stolen,
}
