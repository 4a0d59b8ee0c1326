//! `pfifo` and `bfifo`: first in, first out, up to a number of packets or bytes (net/sched/sch_fifo.c).

use super::handle::Handle;
use super::qdisc::{Cx, NetXmit, QdiscOps, Sch};
use super::store::{SkbList, SkbRef};
use super::tc::units::Size;
use super::tc::{QdiscConfig, Refusal};
use crate::drop_reason::DropReason;
use std::fmt;

/// What a [`Fifo`]'s limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FifoUnit {
    /// `pfifo`.
    Packets,
    /// `bfifo`.
    Bytes,
}

/// One queue, tail drop.
pub(crate) struct Fifo {
    unit: FifoUnit,
    limit: u32,
    queue: SkbList,
}

impl Fifo {
    /// `limit`: packets or bytes.
    pub fn new(unit: FifoUnit, limit: u32) -> Self {
        Self {
            unit,
            limit,
            queue: SkbList::default(),
        }
    }
}

impl QdiscOps for Fifo {
    fn kind(&self) -> &'static str {
        match self.unit {
            FifoUnit::Packets => "pfifo",
            FifoUnit::Bytes => "bfifo",
        }
    }

    /// `pfifo_enqueue()`, `bfifo_enqueue()`.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        let len = cx.skbs.pkt_len(&skb);
        let room = match self.unit {
            FifoUnit::Packets => sch.qlen < self.limit,
            FifoUnit::Bytes => sch.backlog.saturating_add(len) <= self.limit,
        };
        if !room {
            return sch.drop(cx, skb, DropReason::QdiscDrop);
        }
        self.queue.push_back(cx.skbs, skb);
        sch.inc(len);
        NetXmit::Success
    }

    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let skb = self.queue.pop_front(cx.skbs)?;
        sch.dec(cx.skbs.pkt_len(&skb));
        Some(skb)
    }

    fn peek_len(&self, cx: &Cx<'_>) -> Option<u32> {
        self.queue.peek_len(cx.skbs)
    }

    fn can_bypass(&self) -> bool {
        self.limit >= 1
    }

    fn reset(&mut self, _sch: &mut Sch, cx: &mut Cx<'_>) {
        cx.purge(&mut self.queue, DropReason::NotSpecified);
    }

    fn change(&mut self, _: &mut Sch, _: &mut Cx<'_>, config: &QdiscConfig) -> Result<(), Refusal> {
        match (self.unit, config) {
            (FifoUnit::Packets, QdiscConfig::Pfifo { limit })
            | (FifoUnit::Bytes, QdiscConfig::Bfifo { limit }) => {
                self.limit = limit.unwrap_or(self.limit);
                Ok(())
            }
            _ => Err(Refusal::OtherKind(self.kind())),
        }
    }

    fn dump(&self, f: &mut dyn fmt::Write, _: bool) -> fmt::Result {
        match self.unit {
            FifoUnit::Packets => write!(f, "limit {}p", self.limit),
            FifoUnit::Bytes => write!(f, "limit {}", Size(self.limit.into())),
        }
    }

    fn has_class(&self, _: &Sch, _: Handle) -> bool {
        false
    }
}
