//! What rules, elements and named objects remember: counters, limits, quotas.

use super::limit::Bucket;
use super::stmt::{Limit, Quota, Stmt};
use crate::Ps;

/// A statement with memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Counter { packets: u64, bytes: u64 },
    Limit(Limit, Bucket),
    Quota(Quota),
}

impl State {
    /// The state that a statement starts with; `None` for statements without memory.
    pub fn new(stmt: &Stmt) -> Option<Self> {
        match stmt {
            Stmt::Counter { packets, bytes } => Some(State::Counter {
                packets: *packets,
                bytes: *bytes,
            }),
            Stmt::Limit(limit) => Some(State::Limit(*limit, Bucket::new(limit))),
            Stmt::Quota(quota) => Some(State::Quota(*quota)),
            _ => None,
        }
    }

    /// The statement with its present values.
    pub fn stmt(&self) -> Stmt {
        match self {
            State::Counter { packets, bytes } => Stmt::Counter {
                packets: *packets,
                bytes: *bytes,
            },
            State::Limit(limit, _) => Stmt::Limit(*limit),
            // What goes beyond is counted, but not shown (nft_quota_do_dump()).
            State::Quota(quota) => Stmt::Quota(Quota {
                used: quota.used.min(quota.bytes),
                ..*quota
            }),
        }
    }

    /// Sees a packet of `len` bytes; whether the rule goes on.
    #[inline]
    pub fn pass(&mut self, len: usize, now: Ps) -> bool {
        match self {
            State::Counter { packets, bytes } => {
                *packets = packets.wrapping_add(1);
                *bytes = bytes.wrapping_add(len as u64);
                true
            }
            State::Limit(_, bucket) => bucket.pass(len, now),
            // nft_overquota()
            State::Quota(quota) => {
                quota.used = quota.used.saturating_add(len as u64);
                (quota.used > quota.bytes) == quota.over
            }
        }
    }

    /// `reset`: back to zero.
    pub fn reset(&mut self) {
        match self {
            State::Counter { packets, bytes } => (*packets, *bytes) = (0, 0),
            State::Quota(quota) => quota.used = 0,
            State::Limit(..) => {}
        }
    }
}
