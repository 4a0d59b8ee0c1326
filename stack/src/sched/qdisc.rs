//! What all queueing disciplines share: [`Qdisc`], its counters, and the operations that each kind fills in.

use super::cls::FilterChains;
use super::handle::Handle;
use super::store::{SkbList, SkbRef, SkbStore};
use super::tc::{ClassConfig, QdiscConfig, Refusal};
use crate::drop_reason::DropReason;
use crate::skb::{GsoType, IfIndex, SkBuff};
use std::fmt;

/// Time of the queues in nanoseconds, as the kernel's (`ktime_get_ns()`).
pub(crate) type Ns = u64;

/// What became of a packet that was to be queued (`NET_XMIT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetXmit {
    /// `NET_XMIT_SUCCESS`: it waits.
    Success,
    /// `NET_XMIT_DROP`: it was dropped, and counted by the qdisc that did so.
    Drop,
    /// `NET_XMIT_CN`: packets were dropped, this one perhaps not among them: congestion.
    Cn,
    /// `__NET_XMIT_STOLEN`: an action took it.
    Stolen,
}

/// `gnet_stats_basic` and `gnet_stats_queue`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QdiscStats {
    /// Bytes that left the qdisc, [`pkt_len`](super::store::QdiscCb::pkt_len).
    pub bytes: u64,
    /// Packets that left the qdisc; the segments of a large one are counted one by one.
    pub packets: u64,
    /// Packets dropped here or below.
    pub drops: u64,
    /// Times that sending had to wait for the rate.
    pub overlimits: u64,
    /// Times that the driver gave a packet back.
    pub requeues: u64,
}

impl QdiscStats {
    /// `bstats_update()`.
    pub fn update(&mut self, bytes: u32, skb: Option<&SkBuff>) {
        self.bytes += u64::from(bytes);
        self.packets += skb.map_or(1, |skb| u64::from(skb.gso.segs.max(1)));
    }
}

/// The part of a qdisc that its kind shares with everybody (`struct Qdisc`).
pub(crate) struct Sch {
    /// Its number; `0:` for the one that a device has by default.
    pub handle: Handle,
    /// The class that it is attached to, or [`Handle::ROOT`].
    pub parent: Handle,
    /// Order of creation, for lists.
    pub serial: u64,
    /// Packets that wait, those of children included.
    pub qlen: u32,
    /// Their bytes.
    pub backlog: u32,
    pub stats: QdiscStats,
    /// The classifiers attached to the qdisc itself.
    pub filters: FilterChains,
}

impl Sch {
    /// A packet waits now.
    pub fn inc(&mut self, pkt_len: u32) {
        self.qlen += 1;
        self.backlog += pkt_len;
    }

    /// A packet left the queue.
    pub fn dec(&mut self, pkt_len: u32) {
        self.qlen -= 1;
        self.backlog -= pkt_len;
    }

    /// `qdisc_drop_reason()`: counts the packet as dropped here and ends it.
    pub fn drop(&mut self, cx: &mut Cx<'_>, skb: SkbRef, reason: DropReason) -> NetXmit {
        self.stats.drops += 1;
        cx.free(skb, reason);
        NetXmit::Drop
    }

    /// Does something with a child and takes over what changed there: packets that wait, and drops. That is what
    /// `qdisc_tree_reduce_backlog()` is for.
    pub fn with_child<R>(&mut self, child: &mut Qdisc, act: impl FnOnce(&mut Qdisc) -> R) -> R {
        let before = (child.sch.qlen, child.sch.backlog, child.sch.stats.drops);
        let result = act(child);
        self.qlen = self.qlen + child.sch.qlen - before.0;
        self.backlog = self.backlog + child.sch.backlog - before.1;
        self.stats.drops += child.sch.stats.drops - before.2;
        result
    }
}

/// A copy or the packet itself that an action sends elsewhere, once the classifier is done.
pub(crate) struct Mirrored {
    pub skb: SkBuff,
    /// Where it goes.
    pub dev: IfIndex,
    /// It is as if that device had received it, instead of sending it.
    pub ingress: bool,
    /// A copy: the packet itself went another way.
    pub copy: bool,
}

/// What a qdisc reaches besides itself while it works.
pub(crate) struct Cx<'a> {
    pub skbs: &'a mut SkbStore,
    pub now: Ns,
    /// The earliest time at which a qdisc wants to be asked for a packet again; `Ns::MAX`: none does.
    pub wake: Ns,
    /// Packets to be freed, with the reason in each one's `cb`.
    pub to_free: &'a mut SkbList,
    /// What actions of classifiers redirected.
    pub mirrored: &'a mut Vec<Mirrored>,
    /// Copies of packets, to be queued from the root once this one is.
    pub duplicates: &'a mut SkbList,
    /// Large packets that come in again from the root, cut into segments.
    pub to_segment: &'a mut SkbList,
    /// Secret of the flow hash (`hashrnd`).
    pub hash_seed: u64,
}

impl Cx<'_> {
    /// `__qdisc_drop()`: the packet ends.
    pub fn free(&mut self, skb: SkbRef, reason: DropReason) {
        self.skbs.cb_mut(&skb).reason = Some(reason);
        self.to_free.push_back(self.skbs, skb);
    }

    /// Another packet like this one comes after it.
    pub fn duplicate(&mut self, skb: &SkbRef) {
        let Some(copy) = self.skbs.skb(skb).map(SkBuff::skb_clone) else {
            return;
        };
        let copy = self.skbs.insert(copy, self.skbs.pkt_len(skb));
        self.skbs.cb_mut(&copy).duplicate = true;
        self.duplicates.push_back(self.skbs, copy);
    }

    /// The qdisc takes no large packets: this one comes in again as its segments.
    pub fn segment(&mut self, skb: SkbRef) {
        self.to_segment.push_back(self.skbs, skb);
    }

    /// Whether the packet stands for several on the wire.
    pub fn is_gso(&self, skb: &SkbRef) -> bool {
        let kind = self.skbs.skb(skb).map(|skb| skb.gso.kind);
        kind.is_some_and(|kind| kind != GsoType::None)
    }

    /// An action took the packet. What it redirected is out of the store already; the rest ends well.
    pub fn stolen(&mut self, skb: SkbRef) {
        self.to_free.push_back(self.skbs, skb);
    }

    /// `qdisc_watchdog_schedule_ns()`.
    pub fn watchdog(&mut self, at: Ns) {
        self.wake = self.wake.min(at);
    }

    /// Every packet of `list` ends with `reason`.
    pub fn purge(&mut self, list: &mut SkbList, reason: DropReason) {
        while let Some(skb) = list.pop_front(self.skbs) {
            self.free(skb, reason);
        }
    }
}

/// What a kind of qdisc can do (`struct Qdisc_ops`, `struct Qdisc_class_ops`).
pub(crate) trait QdiscOps {
    /// Its name in tc, e.g. `fq_codel`.
    fn kind(&self) -> &'static str;

    /// Takes a packet, or drops it. Whatever happens, `sch` counts it.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit;

    /// The packet to be sent next; `None` without one that may be sent now. If one may be later, the watchdog says when.
    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef>;

    /// Length of the packet that [`dequeue`](Self::dequeue) would give, if that can be told without taking it.
    fn peek_len(&self, _cx: &Cx<'_>) -> Option<u32> {
        None
    }

    /// Whether a packet that finds the qdisc empty may go to the driver directly (`TCQ_F_CAN_BYPASS`).
    fn can_bypass(&self) -> bool {
        false
    }

    /// Drops all packets, those of children too, and forgets what was learnt from them. The caller sets `sch`'s lengths to 0.
    fn reset(&mut self, sch: &mut Sch, cx: &mut Cx<'_>);

    /// `tc qdisc change`: takes over the options that were given.
    fn change(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        config: &QdiscConfig,
    ) -> Result<(), Refusal>;

    /// The options as `tc qdisc show` prints them, each with a space behind it where tc has one.
    fn dump(&self, f: &mut dyn fmt::Write, details: bool) -> fmt::Result;

    /// The lines that `tc -s qdisc show` adds for this kind.
    fn dump_stats(&self, _f: &mut dyn fmt::Write, _now: Ns) -> fmt::Result {
        Ok(())
    }

    /// The classes that a qdisc of its own can be attached to, with that qdisc, in the order of `tc class show`.
    fn children(&self) -> Vec<(Handle, &Qdisc)> {
        Vec::new()
    }

    /// The qdisc at `class`.
    fn child_mut(&mut self, _sch: &Sch, _class: Handle) -> Option<&mut Qdisc> {
        None
    }

    /// `tc qdisc add|replace … parent CLASS`: puts another qdisc at `class` and gives the old one back, with its packets, which no longer
    /// count here.
    fn graft(
        &mut self,
        sch: &mut Sch,
        class: Handle,
        new: Qdisc,
    ) -> Result<Option<Qdisc>, Refusal> {
        let child = self.child_mut(sch, class).ok_or(Refusal::NoClass(class))?;
        let old = std::mem::replace(child, new);
        sch.qlen -= old.sch.qlen;
        sch.backlog -= old.sch.backlog;
        Ok(Some(old))
    }

    /// The filters of `class`, if it can have some of its own.
    fn class_filters(&mut self, _class: Handle) -> Option<&mut FilterChains> {
        None
    }

    /// The filters of all classes.
    fn all_class_filters(&self) -> Vec<(Handle, &FilterChains)> {
        Vec::new()
    }

    /// Whether there is such a class.
    fn has_class(&self, sch: &Sch, class: Handle) -> bool;

    /// `tc class add|change|replace`.
    fn change_class(
        &mut self,
        _sch: &mut Sch,
        _cx: &mut Cx<'_>,
        _config: &ClassConfig,
    ) -> Result<(), Refusal> {
        Err(Refusal::NoClasses(self.kind()))
    }

    /// `tc class del`.
    fn delete_class(
        &mut self,
        _sch: &mut Sch,
        _cx: &mut Cx<'_>,
        _class: Handle,
    ) -> Result<(), Refusal> {
        Err(Refusal::NoClasses(self.kind()))
    }

    /// `tc class show`: one line per class, with more lines for statistics.
    fn dump_classes(
        &self,
        _sch: &Sch,
        _f: &mut dyn fmt::Write,
        _show: super::tc::Show<'_>,
    ) -> fmt::Result {
        Ok(())
    }
}

/// A queueing discipline.
pub(crate) struct Qdisc {
    pub sch: Sch,
    pub ops: Box<dyn QdiscOps>,
    /// Packets that were taken from the queue and came back: the driver was busy, or somebody only looked (`gso_skb`).
    gso_skb: SkbList,
}

impl Qdisc {
    pub fn new(handle: Handle, parent: Handle, serial: u64, ops: Box<dyn QdiscOps>) -> Self {
        Self {
            sch: Sch {
                handle,
                parent,
                serial,
                qlen: 0,
                backlog: 0,
                stats: QdiscStats::default(),
                filters: FilterChains::default(),
            },
            ops,
            gso_skb: SkbList::default(),
        }
    }

    /// `qdisc_enqueue()`.
    pub fn enqueue(&mut self, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        self.ops.enqueue(&mut self.sch, cx, skb)
    }

    /// `qdisc_dequeue_peeked()`: what came back goes first.
    pub fn dequeue(&mut self, cx: &mut Cx<'_>) -> Option<SkbRef> {
        if let Some(skb) = self.gso_skb.pop_front(cx.skbs) {
            self.sch.dec(cx.skbs.pkt_len(&skb));
            return Some(skb);
        }
        self.take(cx)
    }

    fn take(&mut self, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let skb = self.ops.dequeue(&mut self.sch, cx)?;
        let len = cx.skbs.pkt_len(&skb);
        self.sch.stats.update(len, cx.skbs.skb(&skb));
        Some(skb)
    }

    /// `qdisc_peek_dequeued()`: length of the next packet, which stays.
    pub fn peek_len(&mut self, cx: &mut Cx<'_>) -> Option<u32> {
        let known = self.gso_skb.peek_len(cx.skbs);
        if let Some(len) = known.or_else(|| self.ops.peek_len(cx)) {
            return Some(len);
        }
        if self.sch.qlen == 0 {
            return None;
        }
        let skb = self.take(cx)?;
        let len = cx.skbs.pkt_len(&skb);
        self.sch.inc(len);
        self.gso_skb.push_back(cx.skbs, skb);
        Some(len)
    }

    /// `dev_requeue_skb()`: the driver was busy.
    pub fn requeue(&mut self, skbs: &mut SkbStore, skb: SkbRef) {
        self.sch.inc(skbs.pkt_len(&skb));
        self.sch.stats.requeues += 1;
        self.gso_skb.push_front(skbs, skb);
    }

    /// `tc qdisc change`.
    pub fn change(&mut self, cx: &mut Cx<'_>, config: &QdiscConfig) -> Result<(), Refusal> {
        self.ops.change(&mut self.sch, cx, config)
    }

    /// `qdisc_reset()`.
    pub fn reset(&mut self, cx: &mut Cx<'_>) {
        cx.purge(&mut self.gso_skb, DropReason::NotSpecified);
        self.ops.reset(&mut self.sch, cx);
        (self.sch.qlen, self.sch.backlog) = (0, 0);
    }

    /// Does something at the qdisc with this handle, here or below, and keeps count of what waits on the way to it. `None` without such
    /// a qdisc.
    pub fn act_below<R>(&mut self, handle: Handle, act: impl FnOnce(&mut Qdisc) -> R) -> Option<R> {
        self.act_below_dyn(handle, &mut Some(act))
    }

    fn act_below_dyn<R, F: FnOnce(&mut Qdisc) -> R>(
        &mut self,
        handle: Handle,
        act: &mut Option<F>,
    ) -> Option<R> {
        if self.sch.handle == handle {
            return act.take().map(|act| act(self));
        }
        for class in self.child_places() {
            let Some(child) = self.ops.child_mut(&self.sch, class) else {
                continue;
            };
            let result = self
                .sch
                .with_child(child, |child| child.act_below_dyn(handle, act));
            if result.is_some() {
                return result;
            }
        }
        None
    }

    fn child_places(&self) -> Vec<Handle> {
        self.ops
            .children()
            .iter()
            .map(|(class, _)| *class)
            .collect()
    }

    /// Whether a filter of this qdisc leads to one of its classes.
    pub fn filters_to(&self, class: Handle) -> bool {
        let below = self.ops.all_class_filters();
        self.sch.filters.lead_to(class) || below.iter().any(|(_, filters)| filters.lead_to(class))
    }

    /// The qdisc with this handle, here or below.
    pub fn find_mut(&mut self, handle: Handle) -> Option<&mut Qdisc> {
        if self.sch.handle == handle {
            return Some(self);
        }
        let places = self.child_places();
        let Qdisc { sch, ops, .. } = self;
        for class in places {
            let below = ops
                .child_mut(sch, class)
                .is_some_and(|child| child.find_mut(handle).is_some());
            if below {
                return ops.child_mut(sch, class)?.find_mut(handle);
            }
        }
        None
    }

    /// The qdisc and all below it, outermost first.
    pub fn walk<'a>(&'a self, all: &mut Vec<&'a Qdisc>) {
        all.push(self);
        for (_, child) in self.ops.children() {
            child.walk(all);
        }
    }
}
