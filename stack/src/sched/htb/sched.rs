//! Who sends next: modes, lists and tokens.

use super::class::{Class, ClassId, MBUFFER, Mode};
use super::{Htb, Level, MAXDEPTH};
use crate::sched::qdisc::{Cx, Ns, Sch};
use crate::sched::store::SkbRef;

/// One second.
const NSEC_PER_SEC: Ns = 1_000_000_000;

/// The priorities in a mask, most important first.
fn priorities(mask: u8) -> impl Iterator<Item = usize> {
    (0..u8::BITS as usize).filter(move |prio| mask & 1 << prio != 0)
}

impl Level {
    /// `htb_add_to_wait_tree()`.
    fn wait_for(&mut self, wake: Ns, id: ClassId) {
        // Among equals the one that came last is last.
        let at = self.wait.partition_point(|(at, _)| *at > wake);
        self.wait.insert(at, (wake, id));
        self.near_event = self.near_event.min(wake);
    }

    fn stop_waiting(&mut self, id: ClassId) {
        self.wait.retain(|(_, waiting)| *waiting != id);
    }
}

impl Htb {
    pub(super) fn class(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn class_mut(&mut self, id: ClassId) -> Option<&mut Class> {
        self.classes.get_mut(id.0 as usize)?.as_mut()
    }

    /// The part of `htb_dequeue()` behind the direct packets.
    pub(super) fn dequeue_classes(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        self.now = cx.now;
        let mut next_event = self.now + 5 * NSEC_PER_SEC;
        for level in 0..MAXDEPTH {
            if self.now >= self.levels[level].near_event {
                let event = self.do_events(sch, level);
                self.levels[level].near_event = event.unwrap_or(self.now + NSEC_PER_SEC);
            }
            next_event = next_event.min(self.levels[level].near_event);
            for prio in priorities(self.levels[level].mask) {
                if let Some(skb) = self.dequeue_tree(sch, cx, prio, level) {
                    return Some(skb);
                }
            }
        }
        cx.watchdog(next_event.max(self.now + 1));
        None
    }

    /// `htb_do_events()`: changes the modes of the classes that waited long enough. Returns when the next one will have.
    fn do_events(&mut self, sch: &mut Sch, level: usize) -> Option<Ns> {
        loop {
            let &(wake, id) = self.levels[level].wait.last()?;
            if wake > self.now {
                return Some(wake);
            }
            self.levels[level].wait.pop();
            let now = self.now;
            let Some(class) = self.class(id) else {
                continue;
            };
            let diff = idle(now, class.checkpoint);
            let left = self.change_mode(sch, id, diff);
            self.wait_if_needed(id, left);
        }
    }

    fn wait_if_needed(&mut self, id: ClassId, delay: i64) {
        let now = self.now;
        let Some(class) = self
            .class_mut(id)
            .filter(|class| class.mode != Mode::CanSend)
        else {
            return;
        };
        // Now would be too late.
        class.wake = now + (delay.max(1) as Ns);
        let (level, wake) = (class.level, class.wake);
        self.levels[level].wait_for(wake, id);
    }

    /// `htb_change_class_mode()`: the mode after `diff` ns; returns how long until there is a better one.
    fn change_mode(&mut self, sch: &mut Sch, id: ClassId, diff: i64) -> i64 {
        let Some(class) = self.class_mut(id) else {
            return 0;
        };
        let (mode, left) = class.mode_after(diff);
        if mode == class.mode {
            return left;
        }
        if mode == Mode::CantSend {
            class.stats.overlimits += 1;
            sch.stats.overlimits += 1;
        }
        let (active, before) = (class.activity != 0, class.mode);
        if active && before != Mode::CantSend {
            self.deactivate_prios(id);
        }
        if let Some(class) = self.class_mut(id) {
            class.mode = mode;
        }
        if active && mode != Mode::CantSend {
            self.activate_prios(id);
        }
        left
    }

    /// `htb_activate()`: a leaf has packets.
    pub(super) fn activate(&mut self, id: ClassId) {
        if let Some(class) = self.class_mut(id).filter(|class| class.activity == 0) {
            class.activity = 1 << class.prio;
            self.activate_prios(id);
        }
    }

    /// `htb_deactivate()`: a leaf has none any more.
    pub(super) fn deactivate(&mut self, id: ClassId) {
        self.deactivate_prios(id);
        if let Some(class) = self.class_mut(id) {
            class.activity = 0;
        }
    }

    /// `htb_activate_prios()`: lists the class where it gets its bandwidth from, and its ancestors as far as they borrow, too.
    fn activate_prios(&mut self, id: ClassId) {
        let (mut id, mut mask) = (id, self.class(id).map_or(0, |class| class.activity));
        while mask != 0 {
            let Some(class) = self.class(id) else {
                return;
            };
            let (handle, level, mode) = (class.classid, class.level, class.mode);
            match (mode, class.parent) {
                (Mode::MayBorrow, Some(parent_id)) => {
                    let Some(parent) = self.class_mut(parent_id) else {
                        return;
                    };
                    for prio in priorities(mask) {
                        // With others in the feed the parent is listed already.
                        if !parent.feeds[prio].is_empty() {
                            mask &= !(1 << prio);
                        }
                        parent.feeds[prio].insert(handle, id);
                    }
                    parent.activity |= mask;
                    id = parent_id;
                }
                (Mode::CanSend, _) => {
                    let row = &mut self.levels[level];
                    row.mask |= mask;
                    for prio in priorities(mask) {
                        row.rows[prio].insert(handle, id);
                    }
                    return;
                }
                _ => return,
            }
        }
    }

    /// `htb_deactivate_prios()`.
    fn deactivate_prios(&mut self, id: ClassId) {
        let (mut id, mut mask) = (id, self.class(id).map_or(0, |class| class.activity));
        while mask != 0 {
            let Some(class) = self.class(id) else {
                return;
            };
            let (handle, level, mode) = (class.classid, class.level, class.mode);
            match (mode, class.parent) {
                (Mode::MayBorrow, Some(parent_id)) => {
                    let Some(parent) = self.class_mut(parent_id) else {
                        return;
                    };
                    let mut emptied = 0;
                    for prio in priorities(mask) {
                        parent.feeds[prio].remove_remembering(handle);
                        if parent.feeds[prio].is_empty() {
                            emptied |= 1 << prio;
                        }
                    }
                    mask = emptied;
                    parent.activity &= !mask;
                    id = parent_id;
                }
                (Mode::CanSend, _) => {
                    let row = &mut self.levels[level];
                    for prio in priorities(mask) {
                        row.rows[prio].remove(handle);
                        if row.rows[prio].is_empty() {
                            row.mask &= !(1 << prio);
                        }
                    }
                    return;
                }
                _ => return,
            }
        }
    }

    /// `htb_lookup_leaf()`: down the pointers from a row to the leaf whose turn it is. Where the end of a feed is reached, its parent has had
    /// its turn.
    fn lookup_leaf(&mut self, prio: usize, level: usize) -> Option<ClassId> {
        // Class whose feed is looked at; `None`: the row.
        let mut path: [Option<ClassId>; MAXDEPTH] = [None; MAXDEPTH];
        let mut depth = 0;
        // Each class is met twice at most, if the lists are what they should be.
        for _ in 0..=2 * self.classes.len() + MAXDEPTH {
            let feed = match path[depth] {
                None => &mut self.levels[level].rows[prio],
                Some(id) => &mut self.class_mut(id)?.feeds[prio],
            };
            match feed.current() {
                Some(id) if self.class(id)?.level == 0 => return Some(id),
                Some(id) => {
                    depth += 1;
                    *path.get_mut(depth)? = Some(id);
                }
                None if depth > 0 => {
                    depth -= 1;
                    match path[depth] {
                        None => self.levels[level].rows[prio].advance(),
                        Some(id) => self.class_mut(id)?.feeds[prio].advance(),
                    }
                }
                None if self.levels[level].rows[prio].is_empty() => return None,
                None => {}
            }
        }
        None
    }

    /// The turn of `leaf` is over, in the row or in its parent's feed.
    fn end_turn(&mut self, leaf: ClassId, prio: usize, level: usize) {
        let parent = self.class(leaf).and_then(|class| class.parent);
        match parent
            .filter(|_| level > 0)
            .and_then(|id| self.class_mut(id))
        {
            Some(parent) => parent.feeds[prio].advance(),
            None => self.levels[level].rows[prio].advance(),
        }
    }

    /// `htb_dequeue_tree()`: a packet of the leaves of one priority that get their bandwidth at `level`.
    fn dequeue_tree(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        prio: usize,
        level: usize,
    ) -> Option<SkbRef> {
        let mut start = self.lookup_leaf(prio, level)?;
        let mut id = start;
        loop {
            let class = self.class_mut(id)?;
            if class.leaf.sch.qlen == 0 {
                // The leaf's qdisc dropped what it had.
                self.deactivate(id);
                if self.levels[level].mask & 1 << prio == 0 {
                    return None;
                }
                let next = self.lookup_leaf(prio, level)?;
                if id == start {
                    start = next;
                }
                id = next;
                continue;
            }
            let skb = sch.with_child(&mut class.leaf, |leaf| leaf.dequeue(cx));
            if let Some(skb) = skb {
                self.sent(sch, cx, id, &skb, (prio, level));
                return Some(skb);
            }
            // A qdisc that holds packets back for its own reasons: the next leaf.
            self.end_turn(id, prio, level);
            id = self.lookup_leaf(prio, level)?;
            if id == start {
                return None;
            }
        }
    }

    fn sent(
        &mut self,
        sch: &mut Sch,
        cx: &Cx<'_>,
        id: ClassId,
        skb: &SkbRef,
        (prio, level): (usize, usize),
    ) {
        let Some(class) = self.class_mut(id) else {
            return;
        };
        let bytes = cx.skbs.pkt_len(skb);
        class.stats.update(bytes, cx.skbs.skb(skb));
        class.deficit[level] -= i64::from(bytes);
        let over = class.deficit[level] < 0;
        if over {
            class.deficit[level] += i64::from(class.quantum);
        }
        let empty = class.leaf.sch.qlen == 0;
        if over {
            self.end_turn(id, prio, level);
        }
        if empty {
            self.deactivate(id);
        }
        self.charge_class(sch, cx, id, level, skb);
    }

    /// `htb_charge_class()`: the packet costs tokens of the class that lent them and of those above it, and ceiling tokens of all.
    fn charge_class(
        &mut self,
        sch: &mut Sch,
        cx: &Cx<'_>,
        leaf: ClassId,
        level: usize,
        skb: &SkbRef,
    ) {
        let (bytes, now) = (cx.skbs.pkt_len(skb), self.now);
        let mut next = Some(leaf);
        while let Some(id) = next {
            let Some(class) = self.class_mut(id) else {
                return;
            };
            let diff = idle(now, class.checkpoint);
            if class.level >= level {
                class.lends = class.lends.wrapping_add(u32::from(class.level == level));
                class.account_tokens(bytes, diff);
            } else {
                class.borrows = class.borrows.wrapping_add(1);
                // The time is accounted for here.
                class.tokens += diff;
            }
            class.account_ctokens(bytes, diff);
            class.checkpoint = now;
            if class.level > 0 {
                class.stats.update(bytes, cx.skbs.skb(skb));
            }
            next = class.parent;
            let (before, own_level) = (class.mode, class.level);
            let left = self.change_mode(sch, id, 0);
            if self.class(id).is_some_and(|class| class.mode != before) {
                if before != Mode::CanSend {
                    self.levels[own_level].stop_waiting(id);
                }
                self.wait_if_needed(id, left);
            }
        }
    }
}

/// Time for which tokens come in.
fn idle(now: Ns, since: Ns) -> i64 {
    (now.saturating_sub(since) as i64).min(MBUFFER)
}
