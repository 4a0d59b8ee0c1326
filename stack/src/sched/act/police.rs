//! `police`: a token bucket that drops instead of delaying (net/sched/act_police.c).

use super::Env;
use crate::sched::cls::Verdict;
use crate::sched::qdisc::Ns;
use crate::sched::ratecfg::RateCfg;

/// Longest packet without an option: what the rate table of tc covers (255 cells of 8 bytes).
pub(crate) const DEFAULT_MTU: u32 = 255 << 3;

/// A policer.
#[derive(Clone, Debug)]
pub(crate) struct Police {
    pub rate: RateCfg,
    /// The bucket: time that the rate needs for the burst.
    pub burst: Ns,
    /// Bytes; longer packets exceed.
    pub mtu: u32,
    /// What is done with packets that exceed.
    pub exceed: Verdict,
    /// What is done with the others; `None`: not given, so they pass.
    pub conform: Option<Verdict>,
    tokens: i64,
    /// Time up to which tokens came in.
    t_c: Ns,
}

impl Police {
    /// A full bucket. `now`: the time.
    pub fn new(
        rate: RateCfg,
        burst: Ns,
        mtu: u32,
        exceed: Verdict,
        conform: Option<Verdict>,
    ) -> Self {
        Self {
            rate,
            burst,
            mtu,
            exceed,
            conform,
            tokens: burst as i64,
            t_c: 0,
        }
    }

    /// `tcf_police_act()`: the verdict, and whether the packet exceeds.
    pub fn act(&mut self, env: &Env<'_>) -> (Verdict, bool) {
        if env.pkt_len <= self.mtu {
            let burst = self.burst as i64;
            let gained = env.now.saturating_sub(self.t_c).min(self.burst) as i64;
            let tokens = (gained + self.tokens).min(burst) - self.rate.l2t_ns(env.pkt_len) as i64;
            if tokens >= 0 {
                (self.tokens, self.t_c) = (tokens, env.now);
                return (self.conform.unwrap_or(Verdict::Ok), false);
            }
        }
        (self.exceed, true)
    }
}
