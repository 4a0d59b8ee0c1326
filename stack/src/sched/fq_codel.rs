//! `fq_codel`: a queue with CoDel for each flow, served in turn, flows that are new first (RFC 8290, net/sched/sch_fq_codel.c).

mod options;

pub(crate) use options::FqCodelConfig;

use super::codel::{CodelParams, CodelQueue, CodelStats, CodelVars};
use super::flow_hash::{reciprocal_scale, skb_get_hash};
use super::handle::Handle;
use super::qdisc::{Cx, NetXmit, Ns, QdiscOps, Sch};
use super::store::{SkbList, SkbRef};
use super::tc::{QdiscConfig, Refusal};
use crate::drop_reason::DropReason;
use std::fmt;

/// Which list a flow is in, if in any.
const NO_FLOW: u32 = u32::MAX;

/// `struct fq_codel_flow`.
struct Flow {
    queue: SkbList,
    /// Bytes in `queue`.
    backlog: u32,
    /// Bytes that it may still send in this turn.
    deficit: i32,
    cvars: CodelVars,
    /// The flow behind it in its list; [`NO_FLOW`] at the end.
    next: u32,
    /// Whether it is in one of the lists.
    listed: bool,
}

/// A list of flows through [`Flow::next`].
struct FlowList {
    head: u32,
    tail: u32,
    len: u32,
}

impl FlowList {
    const EMPTY: FlowList = FlowList {
        head: NO_FLOW,
        tail: NO_FLOW,
        len: 0,
    };

    fn first(&self) -> Option<u32> {
        (self.len > 0).then_some(self.head)
    }

    fn push_back(&mut self, flows: &mut [Flow], index: u32) {
        let flow = &mut flows[index as usize];
        (flow.next, flow.listed) = (NO_FLOW, true);
        match self.len {
            0 => self.head = index,
            _ => flows[self.tail as usize].next = index,
        }
        self.tail = index;
        self.len += 1;
    }

    fn pop_front(&mut self, flows: &mut [Flow]) {
        if self.len > 0 {
            let flow = &mut flows[self.head as usize];
            self.head = flow.next;
            flow.listed = false;
            self.len -= 1;
        }
    }
}

/// The qdisc's state (`struct fq_codel_sched_data`).
pub(crate) struct FqCodel {
    flows: Vec<Flow>,
    new_flows: FlowList,
    old_flows: FlowList,
    /// Packets in all flows.
    limit: u32,
    /// Bytes per turn.
    quantum: u32,
    /// Packets dropped at once when a limit is passed.
    drop_batch: u32,
    /// Memory for all packets, bytes.
    memory_limit: u32,
    memory_usage: u32,
    params: CodelParams,
    stats: CodelStats,
    drop_overlimit: u32,
    drop_overmemory: u32,
    new_flow_count: u32,
}

impl FqCodel {
    /// `fq_codel_init()`. `mtu`: bytes of the largest packet with its Ethernet header.
    pub fn new(config: &FqCodelConfig, mtu: u32) -> Result<Self, Refusal> {
        let mut q = Self {
            flows: Vec::new(),
            new_flows: FlowList::EMPTY,
            old_flows: FlowList::EMPTY,
            limit: 10 * 1024,
            quantum: mtu,
            drop_batch: 64,
            memory_limit: 32 << 20,
            memory_usage: 0,
            params: options::default_params(mtu),
            stats: CodelStats::default(),
            drop_overlimit: 0,
            drop_overmemory: 0,
            new_flow_count: 0,
        };
        q.configure(config)?;
        let flows = config.flows.unwrap_or(options::DEFAULT_FLOWS);
        q.flows.resize_with(flows as usize, || Flow {
            queue: SkbList::default(),
            backlog: 0,
            deficit: 0,
            cvars: CodelVars::default(),
            next: NO_FLOW,
            listed: false,
        });
        Ok(q)
    }

    /// `fq_codel_classify()`: the flow's number, or what became of the packet.
    fn classify(
        &self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        skb: &SkbRef,
    ) -> Result<usize, Option<super::cls::Verdict>> {
        let count = self.flows.len();
        let Some(packet) = cx.skbs.skb_mut(skb) else {
            return Err(None);
        };
        let by_minor = |minor: u16| match usize::from(minor) {
            n if (1..=count).contains(&n) => Some(n - 1),
            _ => None,
        };
        let priority = Handle(packet.priority);
        if priority.major() == sch.handle.major()
            && let Some(flow) = by_minor(priority.minor())
        {
            return Ok(flow);
        }
        if sch.filters.is_empty() {
            return Ok(reciprocal_scale(skb_get_hash(packet, cx.hash_seed), count as u32) as usize);
        }
        match sch.filters.classify_queued(cx, skb) {
            Some(result) if result.verdict.ends() => Err(Some(result.verdict)),
            Some(result) => by_minor(result.classid.minor()).ok_or(None),
            None => Err(None),
        }
    }

    /// `fq_codel_drop()`: the flow with the longest backlog loses half of it, at most `drop_batch` packets. Returns the flow and the number
    /// of packets.
    fn drop_from_fattest(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> (usize, u32) {
        let mut fattest = 0;
        for (index, flow) in self.flows.iter().enumerate() {
            if flow.backlog > self.flows[fattest].backlog {
                fattest = index;
            }
        }
        let flow = &mut self.flows[fattest];
        let threshold = flow.backlog / 2;
        let (mut bytes, mut count) = (0, 0);
        while let Some(skb) = flow.queue.pop_front(cx.skbs) {
            let cb = *cx.skbs.cb(&skb);
            bytes += cb.pkt_len;
            count += 1;
            self.memory_usage = self.memory_usage.saturating_sub(cb.truesize);
            sch.dec(cb.pkt_len);
            sch.drop(cx, skb, DropReason::QdiscOverlimit);
            if count >= self.drop_batch || bytes >= threshold {
                break;
            }
        }
        // CoDel is to push harder, too.
        flow.cvars.count = flow.cvars.count.wrapping_add(count);
        flow.backlog -= bytes;
        (fattest, count)
    }
}

/// One flow in the hands of CoDel.
struct FlowQueue<'a> {
    flow: &'a mut SkbList,
    flow_backlog: &'a mut u32,
    memory_usage: &'a mut u32,
    sch: &'a mut Sch,
}

impl CodelQueue for FlowQueue<'_> {
    fn pop(&mut self, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let skb = self.flow.pop_front(cx.skbs)?;
        let cb = cx.skbs.cb(&skb);
        *self.flow_backlog -= cb.pkt_len;
        *self.memory_usage = self.memory_usage.saturating_sub(cb.truesize);
        self.sch.dec(cb.pkt_len);
        Some(skb)
    }

    fn backlog(&self) -> u32 {
        self.sch.backlog
    }

    fn drop(&mut self, cx: &mut Cx<'_>, skb: SkbRef, reason: DropReason) {
        self.sch.drop(cx, skb, reason);
    }
}

impl QdiscOps for FqCodel {
    fn kind(&self) -> &'static str {
        "fq_codel"
    }

    /// `fq_codel_enqueue()`.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        let index = match self.classify(sch, cx, &skb) {
            Ok(index) => index,
            Err(verdict) => return super::cls::end(sch, cx, skb, verdict),
        };
        let now = cx.now;
        let cb = cx.skbs.cb_mut(&skb);
        cb.time = now;
        let (pkt_len, truesize) = (cb.pkt_len, cb.truesize);
        let flow = &mut self.flows[index];
        flow.queue.push_back(cx.skbs, skb);
        flow.backlog += pkt_len;
        sch.inc(pkt_len);
        if !flow.listed {
            flow.deficit = i32::try_from(self.quantum).unwrap_or(i32::MAX);
            self.new_flows.push_back(&mut self.flows, index as u32);
            self.new_flow_count = self.new_flow_count.wrapping_add(1);
        }
        self.memory_usage = self.memory_usage.saturating_add(truesize);
        let over_memory = self.memory_usage > self.memory_limit;
        if sch.qlen <= self.limit && !over_memory {
            return NetXmit::Success;
        }
        let (fattest, dropped) = self.drop_from_fattest(sch, cx);
        self.drop_overlimit = self.drop_overlimit.wrapping_add(dropped);
        if over_memory {
            self.drop_overmemory = self.drop_overmemory.wrapping_add(dropped);
        }
        match fattest == index {
            true => NetXmit::Cn,
            false => NetXmit::Success,
        }
    }

    /// `fq_codel_dequeue()`: deficit round robin over the new flows, then the old ones (RFC 8290 4.2).
    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        loop {
            let (index, is_new) = match self.new_flows.first() {
                Some(index) => (index, true),
                None => (self.old_flows.first()?, false),
            };
            let flow = &mut self.flows[index as usize];
            if flow.deficit <= 0 {
                flow.deficit = flow.deficit.saturating_add_unsigned(self.quantum);
                self.unlist_first(is_new);
                self.old_flows.push_back(&mut self.flows, index);
                continue;
            }
            let mut queue = FlowQueue {
                flow: &mut flow.queue,
                flow_backlog: &mut flow.backlog,
                memory_usage: &mut self.memory_usage,
                sch,
            };
            match flow
                .cvars
                .dequeue(&mut queue, cx, &self.params, &mut self.stats)
            {
                Some(skb) => {
                    let pkt_len = cx.skbs.pkt_len(&skb);
                    flow.deficit = flow.deficit.saturating_sub_unsigned(pkt_len);
                    return Some(skb);
                }
                None => {
                    self.unlist_first(is_new);
                    // A flow that was new waits for a turn of the old ones: else one with few packets could be new all the time.
                    if is_new && self.old_flows.len > 0 {
                        self.old_flows.push_back(&mut self.flows, index);
                    }
                }
            }
        }
    }

    fn can_bypass(&self) -> bool {
        self.limit >= 1
    }

    /// `fq_codel_reset()`.
    fn reset(&mut self, _sch: &mut Sch, cx: &mut Cx<'_>) {
        for flow in &mut self.flows {
            cx.purge(&mut flow.queue, DropReason::NotSpecified);
            (flow.backlog, flow.listed) = (0, false);
            flow.cvars = CodelVars::default();
        }
        (self.new_flows, self.old_flows) = (FlowList::EMPTY, FlowList::EMPTY);
        self.memory_usage = 0;
    }

    /// `fq_codel_change()`.
    fn change(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        config: &QdiscConfig,
    ) -> Result<(), Refusal> {
        let QdiscConfig::FqCodel(config) = config else {
            return Err(Refusal::OtherKind(self.kind()));
        };
        if config.flows.is_some() {
            return Err(Refusal::NotChangeable("flows"));
        }
        self.configure(config)?;
        // What is above the new limits goes, in the order in which it would be sent.
        while sch.qlen > self.limit || self.memory_usage > self.memory_limit {
            let Some(skb) = self.dequeue(sch, cx) else {
                break;
            };
            sch.drop(cx, skb, DropReason::QdiscOverlimit);
        }
        Ok(())
    }

    fn dump(&self, f: &mut dyn fmt::Write, _: bool) -> fmt::Result {
        self.dump_options(f)
    }

    fn dump_stats(&self, f: &mut dyn fmt::Write, _: Ns) -> fmt::Result {
        self.dump_xstats(f)
    }

    fn has_class(&self, _: &Sch, class: Handle) -> bool {
        (1..=self.flows.len()).contains(&usize::from(class.minor()))
    }
}

impl FqCodel {
    fn unlist_first(&mut self, new: bool) {
        match new {
            true => self.new_flows.pop_front(&mut self.flows),
            false => self.old_flows.pop_front(&mut self.flows),
        }
    }
}

#[cfg(test)]
mod tests;
