//! What rules, elements and named objects remember: counters, limits, quotas.

use super::host::NftHost;
use super::limit::Bucket;
use super::stmt::{Limit, Quota, Stmt};
use crate::hook::HookState;
use crate::netfilter::conntrack::ConnCount;
use crate::skb::SkBuff;

/// A statement with memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Counter {
        packets: u64,
        bytes: u64,
    },
    Limit(Limit, Bucket),
    Quota(Quota),
    CtCount {
        count: u32,
        over: bool,
        list: ConnCount,
    },
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
            Stmt::CtCount { count, over } => Some(State::CtCount {
                count: *count,
                over: *over,
                list: ConnCount::default(),
            }),
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
            State::CtCount { count, over, .. } => Stmt::CtCount {
                count: *count,
                over: *over,
            },
        }
    }

    /// Sees a packet; whether the rule goes on.
    #[inline]
    pub fn pass(&mut self, skb: &SkBuff, state: &HookState, host: &mut dyn NftHost) -> bool {
        let (len, now) = (skb.len(), state.now);
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
            // nft_connlimit_do_eval()
            State::CtCount { count, over, list } => {
                host.ct_count(skb, state, list) && (list.len() > *count as usize) == *over
            }
        }
    }

    /// `reset`: back to zero.
    pub fn reset(&mut self) {
        match self {
            State::Counter { packets, bytes } => (*packets, *bytes) = (0, 0),
            State::Quota(quota) => quota.used = 0,
            State::Limit(..) | State::CtCount { .. } => {}
        }
    }
}
