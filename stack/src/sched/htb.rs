//! `htb`: a tree of classes with a rate each, which borrow from their parents what those do not need (net/sched/sch_htb.c).
//!
//! A class may send while it has tokens of its own (`CanSend`), may borrow from its parent while it is below its ceiling (`MayBorrow`), or
//! must wait (`CantSend`). Leaves with packets are listed where they get their bandwidth from: in the row of their level when they may send,
//! in the feed of their parent when they borrow, and so on up. [`dequeue`](QdiscOps::dequeue) takes the lowest level and the most important
//! priority that has anybody listed and serves its leaves in turn, a quantum each.

mod class;
mod config;
mod hash;
mod sched;

pub(crate) use config::{HtbClassConfig, HtbConfig};

use super::cls::{self, FilterChains, Verdict};
use super::handle::Handle;
use super::qdisc::{Cx, NetXmit, Ns, Qdisc, QdiscOps, Sch};
use super::store::{SkbList, SkbRef};
use super::tc::{ClassConfig, QdiscConfig, Refusal, Show};
use crate::drop_reason::DropReason;
use class::{Class, ClassId, Feed};
use hash::ClassHash;
use std::fmt;

/// `TC_HTB_MAXDEPTH`: levels of classes; leaves are level 0, classes without a parent the highest.
const MAXDEPTH: usize = 8;
/// `TC_HTB_NUMPRIO`: priorities of leaves.
const NUMPRIO: usize = 8;

/// Classes of one level (`struct htb_level`).
#[derive(Default)]
struct Level {
    /// Classes that may send, by priority (`hprio`).
    rows: [Feed; NUMPRIO],
    /// Priorities whose row is not empty (`row_mask`).
    mask: u8,
    /// Classes that wait for tokens, by the time when they will have enough (`wait_pq`); the first one last.
    wait: Vec<(Ns, ClassId)>,
    /// No event is due before (`near_ev_cache`).
    near_event: Ns,
}

/// The qdisc's state (`struct htb_sched`).
pub(crate) struct Htb {
    classes: Vec<Option<Class>>,
    by_id: ClassHash,
    levels: [Level; MAXDEPTH],
    /// `default`: minor number of the class of packets that nothing classifies.
    defcls: u32,
    /// `r2q`: rate divided by it is the quantum.
    rate2quantum: u32,
    /// Packets of no class go first.
    direct: SkbList,
    direct_qlen: u32,
    direct_packets: u64,
    /// Packets in a leaf's own `pfifo`.
    limit: u32,
    /// Time of this `dequeue`.
    now: Ns,
}

/// Where a packet belongs.
enum Target {
    Direct,
    Leaf(ClassId),
}

impl Htb {
    /// `htb_init()`. `limit`: `txqueuelen`.
    pub fn new(config: &HtbConfig, limit: u32) -> Self {
        Self {
            classes: Vec::new(),
            by_id: ClassHash::default(),
            levels: Default::default(),
            defcls: config.default.unwrap_or(0),
            rate2quantum: config.r2q.unwrap_or(config::DEFAULT_R2Q).max(1),
            direct: SkbList::default(),
            direct_qlen: config.direct_qlen.unwrap_or(limit),
            direct_packets: 0,
            limit,
            now: 0,
        }
    }

    /// `htb_find()`.
    fn find(&self, sch: &Sch, handle: Handle) -> Option<ClassId> {
        (handle.major() == sch.handle.major())
            .then(|| self.by_id.find(handle))
            .flatten()
    }

    /// `htb_classify()`: by the packet's priority if that is a class here, else by filters, down to a leaf.
    fn classify(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        skb: &SkbRef,
    ) -> Result<Target, Verdict> {
        let priority = Handle(cx.skbs.skb(skb).map_or(0, |skb| skb.priority));
        if priority == sch.handle {
            return Ok(Target::Direct);
        }
        let mut class = self.find(sch, priority);
        loop {
            let filters: &mut FilterChains = match class.and_then(|id| self.class_mut(id)) {
                Some(found) if found.level == 0 => {
                    return Ok(class.map_or(Target::Direct, Target::Leaf));
                }
                Some(inner) => &mut inner.filters,
                None => &mut sch.filters,
            };
            let Some(result) = filters.classify_queued(cx, skb) else {
                break;
            };
            if result.verdict.ends() {
                return Err(result.verdict);
            }
            if result.classid == sch.handle {
                return Ok(Target::Direct);
            }
            let next = self.find(sch, result.classid);
            // A filter that leads to no class, or round in a circle, leads to the default class.
            let down = next.and_then(|id| self.class(id)).map(|c| c.level);
            let here = class.and_then(|id| self.class(id)).map(|c| c.level);
            match (down, here) {
                (Some(down), Some(here)) if down >= here => break,
                (None, _) => break,
                _ => class = next,
            }
        }
        let default = self.find(sch, sch.handle.class(self.defcls as u16));
        Ok(default
            .filter(|id| self.class(*id).is_some_and(|class| class.level == 0))
            .map_or(Target::Direct, Target::Leaf))
    }
}

impl QdiscOps for Htb {
    fn kind(&self) -> &'static str {
        "htb"
    }

    /// `htb_enqueue()`.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        let id = match self.classify(sch, cx, &skb) {
            Err(verdict) => return cls::end(sch, cx, skb, Some(verdict)),
            Ok(Target::Leaf(id)) => id,
            Ok(Target::Direct) if self.direct.len() < self.direct_qlen => {
                sch.inc(cx.skbs.pkt_len(&skb));
                self.direct.push_back(cx.skbs, skb);
                self.direct_packets += 1;
                return NetXmit::Success;
            }
            Ok(Target::Direct) => return sch.drop(cx, skb, DropReason::QdiscDrop),
        };
        let Some(class) = self.class_mut(id) else {
            return sch.drop(cx, skb, DropReason::QdiscDrop);
        };
        let result = sch.with_child(&mut class.leaf, |leaf| leaf.enqueue(cx, skb));
        match result {
            NetXmit::Success => self.activate(id),
            NetXmit::Drop | NetXmit::Cn => class.stats.drops += 1,
            NetXmit::Stolen => {}
        }
        result
    }

    /// `htb_dequeue()`.
    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        if let Some(skb) = self.direct.pop_front(cx.skbs) {
            sch.dec(cx.skbs.pkt_len(&skb));
            return Some(skb);
        }
        if sch.qlen == 0 {
            return None;
        }
        self.dequeue_classes(sch, cx)
    }

    /// `htb_reset()`.
    fn reset(&mut self, _sch: &mut Sch, cx: &mut Cx<'_>) {
        cx.purge(&mut self.direct, DropReason::NotSpecified);
        self.levels = Default::default();
        for class in self.classes.iter_mut().flatten() {
            class.leaf.reset(cx);
            class.reset();
        }
    }

    fn change(&mut self, _: &mut Sch, _: &mut Cx<'_>, config: &QdiscConfig) -> Result<(), Refusal> {
        // As in the kernel: there is no change operation.
        match config {
            QdiscConfig::Htb(_) => Err(Refusal::NotChangeable("htb's options")),
            _ => Err(Refusal::OtherKind(self.kind())),
        }
    }

    /// `htb_print_opt()`.
    fn dump(&self, f: &mut dyn fmt::Write, details: bool) -> fmt::Result {
        write!(f, "r2q {} default ", self.rate2quantum)?;
        match self.defcls {
            0 => f.write_str("0")?,
            class => write!(f, "{class:#x}")?,
        }
        write!(f, " direct_packets_stat {}", self.direct_packets)?;
        if details {
            f.write_str(" ver 3.17")?;
        }
        write!(f, " direct_qlen {}", self.direct_qlen)
    }

    fn children(&self) -> Vec<(Handle, &Qdisc)> {
        let leaves = self.by_id.iter().filter_map(|id| self.class(id));
        leaves
            .filter(|class| class.level == 0)
            .map(|class| (class.classid, &*class.leaf))
            .collect()
    }

    fn child_mut(&mut self, sch: &Sch, class: Handle) -> Option<&mut Qdisc> {
        let id = self.find(sch, class)?;
        let class = self.class_mut(id).filter(|class| class.level == 0)?;
        Some(&mut class.leaf)
    }

    fn class_filters(&mut self, class: Handle) -> Option<&mut FilterChains> {
        let id = self.by_id.find(class)?;
        Some(&mut self.class_mut(id)?.filters)
    }

    fn all_class_filters(&self) -> Vec<(Handle, &FilterChains)> {
        let classes = self.by_id.iter().filter_map(|id| self.class(id));
        classes
            .map(|class| (class.classid, &class.filters))
            .collect()
    }

    fn has_class(&self, sch: &Sch, class: Handle) -> bool {
        self.find(sch, class).is_some()
    }

    fn change_class(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        config: &ClassConfig,
    ) -> Result<(), Refusal> {
        self.htb_change_class(sch, cx, config)
    }

    fn delete_class(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        class: Handle,
    ) -> Result<(), Refusal> {
        self.htb_delete(sch, cx, class)
    }

    fn dump_classes(&self, sch: &Sch, f: &mut dyn fmt::Write, show: Show<'_>) -> fmt::Result {
        self.by_id
            .iter()
            .filter_map(|id| self.class(id))
            .try_for_each(|class| self.dump_class(sch, class, f, show))
    }
}

#[cfg(test)]
mod tests;
