//! `matchall`: every packet (net/sched/cls_matchall.c).

use super::{Exts, TcfResult};
use crate::sched::act::Env;
use crate::skb::SkBuff;

/// The one filter of its priority.
#[derive(Default)]
pub(crate) struct Matchall {
    pub exts: Option<Exts>,
    /// Packets that it was asked about.
    pub hits: u64,
}

impl Matchall {
    pub fn classify(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Option<TcfResult> {
        self.hits += 1;
        self.exts.as_mut()?.exec(skb, env)
    }
}
