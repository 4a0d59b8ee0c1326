//! One class: its tokens, its mode, and the lists it takes part in.

use super::{MAXDEPTH, NUMPRIO};
use crate::sched::cls::FilterChains;
use crate::sched::handle::Handle;
use crate::sched::qdisc::{Ns, Qdisc, QdiscStats};
use crate::sched::ratecfg::RateCfg;

/// Place of a class in [`Htb::classes`](super::Htb).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassId(pub u32);

/// `enum htb_cmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Above its ceiling: it waits.
    CantSend,
    /// Above its rate: only with the parent's tokens.
    MayBorrow,
    /// With its own tokens.
    CanSend,
}

/// Classes that are served in turn, by ascending number (`struct htb_prio`: a tree with a pointer to the next one).
#[derive(Default)]
pub(super) struct Feed {
    members: Vec<(Handle, ClassId)>,
    /// Whose turn it is (`ptr`); `None`: the end was reached.
    turn: Option<Handle>,
    /// It was the turn of this class, which is no longer here (`last_ptr_id`): it is that of the next one by number.
    lost_turn: Option<Handle>,
}

impl Feed {
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// `htb_add_to_id_tree()`.
    pub fn insert(&mut self, handle: Handle, id: ClassId) {
        let at = self.members.partition_point(|(h, _)| *h < handle);
        self.members.insert(at, (handle, id));
    }

    /// Takes a class out of a row: if it was its turn, it is the next one's.
    pub fn remove(&mut self, handle: Handle) {
        if self.turn == Some(handle) {
            self.advance();
        }
        self.members.retain(|(h, _)| *h != handle);
    }

    /// Takes a class out of its parent's feed: if it was its turn, that is remembered by number, so that it has its place again when it
    /// comes back soon.
    pub fn remove_remembering(&mut self, handle: Handle) {
        if self.turn == Some(handle) {
            (self.turn, self.lost_turn) = (None, Some(handle));
        }
        self.members.retain(|(h, _)| *h != handle);
    }

    /// Whose turn it is. `None`: the end was reached; the turn is the first one's now.
    pub fn current(&mut self) -> Option<ClassId> {
        if self.turn.is_none()
            && let Some(lost) = self.lost_turn
        {
            let at = self.members.partition_point(|(h, _)| *h < lost);
            self.turn = self.members.get(at).map(|(h, _)| *h);
        }
        self.lost_turn = None;
        let Some(turn) = self.turn else {
            self.turn = self.members.first().map(|(h, _)| *h);
            return None;
        };
        let at = self.members.binary_search_by_key(&turn, |(h, _)| *h).ok()?;
        Some(self.members[at].1)
    }

    /// `htb_next_rb_node()`.
    pub fn advance(&mut self) {
        self.turn = self.turn.and_then(|turn| {
            let at = self.members.partition_point(|(h, _)| *h <= turn);
            self.members.get(at).map(|(h, _)| *h)
        });
    }
}

/// `struct htb_class`.
pub(super) struct Class {
    pub classid: Handle,
    pub parent: Option<ClassId>,
    /// 0: a leaf; [`MAXDEPTH`] − 1: an inner class without a parent.
    pub level: usize,
    pub children: u32,
    /// Priority, 0 (most important) to 7. Of leaves.
    pub prio: usize,
    /// Bytes per turn. Of leaves.
    pub quantum: u32,
    pub rate: RateCfg,
    pub ceil: RateCfg,
    /// Size of the buckets of rate and ceiling, as time.
    pub buffer: i64,
    pub cbuffer: i64,
    pub tokens: i64,
    pub ctokens: i64,
    /// Time up to which tokens came in (`t_c`).
    pub checkpoint: Ns,
    pub mode: Mode,
    /// Priorities for which the class is listed (`prio_activity`).
    pub activity: u8,
    /// When it has its place in the queue of those who wait (`pq_key`).
    pub wake: Ns,
    /// Of leaves.
    pub leaf: Box<Qdisc>,
    /// Bytes left of a turn, by the level that the bandwidth comes from. Of leaves.
    pub deficit: [i64; MAXDEPTH],
    /// Children that borrow, by priority. Of inner classes.
    pub feeds: [Feed; NUMPRIO],
    pub filters: FilterChains,
    pub stats: QdiscStats,
    /// Packets sent with tokens of this class, and with its parent's.
    pub lends: u32,
    pub borrows: u32,
}

/// The most time that counts as idle (`mbuffer`): a minute.
pub(super) const MBUFFER: i64 = 60_000_000_000;

impl Class {
    /// `htb_class_mode()`, as it would be after `diff` ns more; and how long until it is better.
    pub fn mode_after(&self, diff: i64) -> (Mode, i64) {
        let ctokens = self.ctokens + diff;
        if ctokens < 0 {
            return (Mode::CantSend, -ctokens);
        }
        let tokens = self.tokens + diff;
        if tokens >= 0 {
            return (Mode::CanSend, diff);
        }
        (Mode::MayBorrow, -tokens)
    }

    /// `htb_accnt_tokens()`.
    pub fn account_tokens(&mut self, bytes: u32, diff: i64) {
        self.tokens = account(self.tokens, diff, self.buffer, self.rate.l2t_ns(bytes));
    }

    /// `htb_accnt_ctokens()`.
    pub fn account_ctokens(&mut self, bytes: u32, diff: i64) {
        self.ctokens = account(self.ctokens, diff, self.cbuffer, self.ceil.l2t_ns(bytes));
    }

    /// Its part of `htb_reset()`.
    pub fn reset(&mut self) {
        self.activity = 0;
        self.mode = Mode::CanSend;
        self.feeds = Default::default();
    }
}

fn account(tokens: i64, diff: i64, buffer: i64, cost: Ns) -> i64 {
    let tokens = (diff + tokens).min(buffer) - i64::try_from(cost).unwrap_or(i64::MAX >> 1);
    // More than a minute is never owed.
    tokens.max(1 - MBUFFER)
}
