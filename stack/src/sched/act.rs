//! Actions of filters, one after the other (`tcf_action_exec()`, net/sched/act_api.c).

pub(crate) mod police;

use super::cls::Verdict;
use super::qdisc::{Mirrored, Ns, QdiscStats};
use crate::skb::{IfIndex, SkBuff};

/// What an action reaches besides the packet.
pub(crate) struct Env<'a> {
    pub now: Ns,
    /// `qdisc_pkt_len()`: on ingress without the Ethernet header.
    pub pkt_len: u32,
    /// Copies to be sent elsewhere.
    pub mirrored: &'a mut Vec<Mirrored>,
    /// Set when the packet itself goes elsewhere: the device, and whether as received there. The verdict is then
    /// [`Stolen`](Verdict::Stolen).
    pub redirect: Option<(IfIndex, bool)>,
}

/// What an action does.
#[derive(Clone, Debug)]
pub(crate) enum ActionKind {
    /// `gact`: nothing but a verdict.
    Gact(Verdict),
    /// `mirred`: to another device.
    Mirred(Mirred),
    /// `police`: a verdict by rate.
    Police(police::Police),
    /// `skbedit`: fields of the packet.
    Skbedit(Skbedit),
}

impl ActionKind {
    /// Number of kinds.
    pub const COUNT: usize = 4;

    /// Number of the kind, from 0 on.
    pub fn number(&self) -> usize {
        match self {
            ActionKind::Gact(_) => 0,
            ActionKind::Mirred(_) => 1,
            ActionKind::Police(_) => 2,
            ActionKind::Skbedit(_) => 3,
        }
    }
}

/// `mirred`: sends the packet or a copy of it elsewhere (net/sched/act_mirred.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mirred {
    pub dev: IfIndex,
    /// As if `dev` had received it, instead of sending it.
    pub ingress: bool,
    /// A copy; the packet itself goes on to the next action.
    pub mirror: bool,
    /// What is said of the packet itself: stolen when it is redirected.
    pub verdict: Verdict,
}

/// `skbedit` (net/sched/act_skbedit.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skbedit {
    pub priority: Option<u32>,
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    /// Kept for lists: there is one queue.
    pub queue_mapping: Option<u16>,
    pub verdict: Verdict,
}

/// An action of a filter (`struct tc_action`).
pub(crate) struct Action {
    pub kind: ActionKind,
    /// Number among its kind.
    pub index: u32,
    pub stats: QdiscStats,
    /// When it was made.
    pub install: Ns,
    /// When it ran first and last; `None`: never.
    pub used: Option<(Ns, Ns)>,
}

/// The actions of a filter, in order.
#[derive(Default)]
pub(crate) struct Actions(pub Vec<Action>);

impl Actions {
    /// `tcf_action_exec()`: until one does not say pipe.
    pub fn exec(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Verdict {
        let mut verdict = Verdict::Ok;
        if skb.tc_skip_classify {
            return verdict;
        }
        for action in &mut self.0 {
            verdict = action.act(skb, env);
            if verdict != Verdict::Pipe {
                break;
            }
        }
        verdict
    }
}

impl Action {
    fn act(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Verdict {
        let first = self.used.map_or(env.now, |(first, _)| first);
        self.used = Some((first, env.now));
        self.stats.update(env.pkt_len, Some(skb));
        match &mut self.kind {
            ActionKind::Gact(verdict) => {
                let verdict = *verdict;
                self.stats.drops += u64::from(verdict == Verdict::Shot);
                verdict
            }
            ActionKind::Mirred(mirred) => mirred.act(skb, env),
            ActionKind::Police(police) => {
                let (verdict, over) = police.act(env);
                self.stats.overlimits += u64::from(over);
                self.stats.drops += u64::from(verdict == Verdict::Shot);
                verdict
            }
            ActionKind::Skbedit(edit) => edit.act(skb),
        }
    }
}

impl Mirred {
    /// `tcf_mirred_act()`.
    fn act(self, skb: &mut SkBuff, env: &mut Env<'_>) -> Verdict {
        if !self.mirror {
            env.redirect = Some((self.dev, self.ingress));
            return self.verdict;
        }
        env.mirrored.push(Mirrored {
            skb: skb.skb_clone(),
            dev: self.dev,
            ingress: self.ingress,
            copy: true,
        });
        self.verdict
    }
}

impl Skbedit {
    /// `tcf_skbedit_act()`.
    fn act(self, skb: &mut SkBuff) -> Verdict {
        if let Some(priority) = self.priority {
            skb.priority = priority;
        }
        if let Some((mark, mask)) = self.mark {
            skb.mark = skb.mark & !mask | mark & mask;
        }
        self.verdict
    }
}
