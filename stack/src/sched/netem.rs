//! `netem`: delays, loses, duplicates, corrupts and reorders packets as a bad network does (net/sched/sch_netem.c). Everything random comes
//! from a generator of its own, which the host seeds.

mod distribution;
mod options;
mod random;

pub(crate) use options::NetemConfig;

use super::handle::Handle;
use super::qdisc::{Cx, NetXmit, Ns, Qdisc, QdiscOps, Sch};
use super::store::{SkbList, SkbRef};
use super::tc::{QdiscConfig, Refusal, Show};
use crate::drop_reason::DropReason;
use crate::skb_checksum_help;
use options::Options;
use random::Prng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

/// A packet that waits, by the time when it is sent; among equals the one that came first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    time_to_send: Ns,
    serial: u64,
    skb: SkbRef,
}

/// The qdisc's state (`struct netem_sched_data`).
pub(crate) struct Netem {
    options: Options,
    prng: Prng,
    /// Packets by time to send (`t_root`, `t_head`).
    tfifo: BinaryHeap<Reverse<Waiting>>,
    /// Packets that are sent at once: they overtake the others.
    reordered: SkbList,
    /// Latest time to send in `tfifo`: with a rate the next packet goes after it.
    last_to_send: Ns,
    serial: u64,
    /// Packets since the last one that was reordered.
    counter: u32,
    /// What comes out of the delay goes in here, if it was attached.
    inner: Option<Box<Qdisc>>,
}

impl Netem {
    /// `netem_init()`.
    pub fn new(config: &NetemConfig, seed: u64) -> Self {
        let mut q = Self {
            options: Options::default(),
            prng: Prng::new(config.seed.unwrap_or(seed)),
            tfifo: BinaryHeap::new(),
            reordered: SkbList::default(),
            last_to_send: 0,
            serial: 0,
            counter: 0,
            inner: None,
        };
        q.options.change(config);
        q
    }

    /// One bit of the packet flips.
    fn corrupt(&mut self, cx: &mut Cx<'_>, skb: &SkbRef) {
        let Some(packet) = cx.skbs.skb_mut(skb) else {
            return;
        };
        // The checksum is that of the good packet.
        skb_checksum_help(packet);
        let at = self.prng.below(packet.headlen() as u32) as usize;
        let bit = self.prng.below(8);
        if let Some(byte) = packet.data_mut().get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    /// When the packet is sent.
    fn time_to_send(&mut self, now: Ns, pkt_len: u32) -> Ns {
        let options = &mut self.options;
        let mut delay = options.delay.draw(&mut self.prng);
        let mut start = now;
        if let Some(rate) = options.rate {
            // The link is busy until the last packet that waits has left; the delay runs meanwhile.
            if !self.tfifo.is_empty() {
                delay = (delay - (self.last_to_send as i64 - now as i64)).max(0);
                start = self.last_to_send;
            }
            delay += options::packet_time_ns(rate, pkt_len) as i64;
        }
        start.saturating_add_signed(delay)
    }

    /// `tfifo_enqueue()`.
    fn tfifo_enqueue(&mut self, skb: SkbRef, time_to_send: Ns) {
        self.last_to_send = match self.tfifo.is_empty() {
            true => time_to_send,
            false => self.last_to_send.max(time_to_send),
        };
        self.serial += 1;
        self.tfifo.push(Reverse(Waiting {
            time_to_send,
            serial: self.serial,
            skb,
        }));
    }

    /// Takes the first packet whose time has come; otherwise the watchdog is told.
    fn tfifo_dequeue(&mut self, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let Reverse(first) = self.tfifo.peek()?;
        if first.time_to_send > cx.now {
            cx.watchdog(first.time_to_send);
            return None;
        }
        self.tfifo.pop().map(|Reverse(waiting)| waiting.skb)
    }
}

impl QdiscOps for Netem {
    fn kind(&self) -> &'static str {
        "netem"
    }

    /// `netem_enqueue()`.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        // Each segment has chances of its own; and a checksum of its own, which a flipped bit must not get into.
        if self.options.corrupt.probability > 0 && cx.is_gso(&skb) {
            cx.segment(skb);
            return NetXmit::Success;
        }
        let is_copy = cx.skbs.cb(&skb).duplicate;
        let mut count = 1u32;
        if !is_copy && self.options.duplicate.happens(&mut self.prng) {
            count += 1;
        }
        if self.options.loss.happens(&mut self.prng) {
            let marked = self.options.ecn
                && cx
                    .skbs
                    .skb_mut(&skb)
                    .is_some_and(super::ecn::inet_ecn_set_ce);
            match marked {
                true => sch.stats.drops += 1,
                false => count -= 1,
            }
        }
        if count == 0 {
            return sch.drop(cx, skb, DropReason::QdiscDrop);
        }
        if count > 1 {
            cx.duplicate(&skb);
        }
        if self.options.corrupt.happens(&mut self.prng) {
            self.corrupt(cx, &skb);
        }
        if self.tfifo.len() >= self.options.limit as usize {
            return sch.drop(cx, skb, DropReason::QdiscDrop);
        }
        let pkt_len = cx.skbs.pkt_len(&skb);
        sch.inc(pkt_len);
        let gap = self.options.gap;
        if gap == 0 || self.counter < gap - 1 || !self.options.reorder.happens(&mut self.prng) {
            let time = self.time_to_send(cx.now, pkt_len);
            self.counter += 1;
            self.tfifo_enqueue(skb, time);
        } else {
            self.counter = 0;
            self.reordered.push_front(cx.skbs, skb);
            sch.stats.requeues += 1;
        }
        NetXmit::Success
    }

    /// `netem_dequeue()`.
    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        if let Some(skb) = self.reordered.pop_front(cx.skbs) {
            sch.dec(cx.skbs.pkt_len(&skb));
            return Some(skb);
        }
        while let Some(skb) = self.tfifo_dequeue(cx) {
            sch.dec(cx.skbs.pkt_len(&skb));
            let Some(inner) = &mut self.inner else {
                return Some(skb);
            };
            sch.with_child(inner, |inner| inner.enqueue(cx, skb));
        }
        let inner = self.inner.as_mut()?;
        sch.with_child(inner, |inner| inner.dequeue(cx))
    }

    fn reset(&mut self, _sch: &mut Sch, cx: &mut Cx<'_>) {
        while let Some(Reverse(waiting)) = self.tfifo.pop() {
            cx.free(waiting.skb, DropReason::NotSpecified);
        }
        cx.purge(&mut self.reordered, DropReason::NotSpecified);
        if let Some(inner) = &mut self.inner {
            inner.reset(cx);
        }
    }

    /// `netem_change()`.
    fn change(&mut self, _: &mut Sch, _: &mut Cx<'_>, config: &QdiscConfig) -> Result<(), Refusal> {
        let QdiscConfig::Netem(config) = config else {
            return Err(Refusal::OtherKind(self.kind()));
        };
        self.options.change(config);
        if let Some(seed) = config.seed {
            self.prng = Prng::new(seed);
        }
        Ok(())
    }

    fn dump(&self, f: &mut dyn fmt::Write, _: bool) -> fmt::Result {
        self.options.dump(f)
    }

    fn children(&self) -> Vec<(Handle, &Qdisc)> {
        self.inner
            .iter()
            .map(|inner| (inner.sch.parent, &**inner))
            .collect()
    }

    fn child_mut(&mut self, _: &Sch, class: Handle) -> Option<&mut Qdisc> {
        self.inner.as_deref_mut().filter(|_| class.minor() == 1)
    }

    fn graft(
        &mut self,
        sch: &mut Sch,
        class: Handle,
        new: Qdisc,
    ) -> Result<Option<Qdisc>, Refusal> {
        if class.minor() != 1 {
            return Err(Refusal::NoClass(class));
        }
        let old = self.inner.replace(Box::new(new));
        if let Some(old) = &old {
            sch.qlen -= old.sch.qlen;
            sch.backlog -= old.sch.backlog;
        }
        Ok(old.map(|old| *old))
    }

    fn has_class(&self, _: &Sch, class: Handle) -> bool {
        class.minor() == 1
    }

    fn dump_classes(&self, sch: &Sch, f: &mut dyn fmt::Write, show: Show<'_>) -> fmt::Result {
        let Some(inner) = &self.inner else {
            return Ok(());
        };
        let (class, leaf) = (sch.handle.class(1), inner.sch.handle);
        writeln!(f, "class netem {class} parent {} leaf {leaf} ", sch.handle)?;
        if show.stats { writeln!(f) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
