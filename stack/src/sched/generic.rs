//! The queue between the stack and a driver: `__dev_xmit_skb()`, `qdisc_run()`, the watchdog (net/sched/sch_generic.c, net/core/dev.c).

use super::handle::Handle;
use super::qdisc::{Cx, Mirrored, NetXmit, Ns, Qdisc};
use super::store::{SkbList, SkbRef, SkbStore};
use super::tc::QdiscConfig;
use crate::Ps;
use crate::drop_reason::DropReason;
use crate::netdev::DeviceKind;
use crate::skb::{GsoType, IfIndex, SkBuff};
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::trace::Consume;
use crate::validate_xmit::validate_xmit_one;

/// Picoseconds in a nanosecond: the queues count in these, as the kernel does.
const PS_PER_NS: Ps = 1000;

/// What waits in front of a driver (`struct netdev_queue` and its qdisc).
pub(crate) struct TxQueue {
    /// `None` is `noqueue`: packets go to the driver at once, or are lost.
    pub root: Option<Qdisc>,
    skbs: SkbStore,
    to_free: SkbList,
    duplicates: SkbList,
    to_segment: SkbList,
    /// When the watchdog goes off.
    watchdog: Option<Ps>,
    /// When the qdiscs wanted to be asked again, the last time they had nothing to send.
    wake: Ns,
    pub hash_seed: u64,
}

/// A packet that the queue is done with, and why if it was dropped.
struct Freed {
    skb: SkBuff,
    reason: Option<DropReason>,
}

impl TxQueue {
    /// `noqueue`. `hash_seed`: the host's secret for hashing flows.
    pub fn noqueue(hash_seed: u64) -> Self {
        Self {
            root: None,
            skbs: SkbStore::default(),
            to_free: SkbList::default(),
            duplicates: SkbList::default(),
            to_segment: SkbList::default(),
            watchdog: None,
            wake: Ns::MAX,
            hash_seed,
        }
    }

    /// tc's name for the root's kind.
    pub fn kind(&self) -> &'static str {
        self.root.as_ref().map_or("noqueue", |root| root.ops.kind())
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.sch.qlen as usize)
    }

    /// When the qdiscs want to be asked again, after they had nothing to send.
    pub fn next_wake(&self) -> Option<Ps> {
        (self.wake != Ns::MAX).then(|| self.wake.saturating_mul(PS_PER_NS))
    }

    /// Lets the qdiscs work. `None` without any.
    pub fn with_root<R>(
        &mut self,
        now: Ns,
        mirrored: &mut Vec<Mirrored>,
        act: impl FnOnce(&mut Qdisc, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let root = self.root.as_mut()?;
        let mut cx = Cx {
            skbs: &mut self.skbs,
            now,
            wake: Ns::MAX,
            to_free: &mut self.to_free,
            mirrored,
            duplicates: &mut self.duplicates,
            to_segment: &mut self.to_segment,
            hash_seed: self.hash_seed,
        };
        let result = act(root, &mut cx);
        self.wake = cx.wake;
        Some(result)
    }

    /// The same without a root: for a qdisc that was taken out.
    pub fn with_detached<R>(
        &mut self,
        qdisc: &mut Qdisc,
        act: impl FnOnce(&mut Qdisc, &mut Cx<'_>) -> R,
    ) -> R {
        let mut cx = Cx {
            skbs: &mut self.skbs,
            now: 0,
            wake: Ns::MAX,
            to_free: &mut self.to_free,
            mirrored: &mut Vec::new(),
            duplicates: &mut self.duplicates,
            to_segment: &mut self.to_segment,
            hash_seed: self.hash_seed,
        };
        act(qdisc, &mut cx)
    }

    fn enqueue(&mut self, now: Ns, mirrored: &mut Vec<Mirrored>, skb: SkBuff) -> NetXmit {
        let pkt_len = qdisc_pkt_len(&skb);
        let skb = self.skbs.insert(skb, pkt_len);
        self.enqueue_ref(now, mirrored, skb)
    }

    fn enqueue_ref(&mut self, now: Ns, mirrored: &mut Vec<Mirrored>, skb: SkbRef) -> NetXmit {
        let enqueue = |root: &mut Qdisc, cx: &mut Cx<'_>| root.enqueue(cx, skb);
        self.with_root(now, mirrored, enqueue)
            .unwrap_or(NetXmit::Drop)
    }

    fn dequeue(&mut self, now: Ns, mirrored: &mut Vec<Mirrored>) -> Option<SkBuff> {
        let skb = self.with_root(now, mirrored, |root, cx| root.dequeue(cx))??;
        self.skbs.remove(skb)
    }

    /// Back to the head of the queue; `Err` without one.
    #[allow(clippy::result_large_err)]
    fn requeue(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        let Some(root) = &mut self.root else {
            return Err(skb);
        };
        let pkt_len = qdisc_pkt_len(&skb);
        let skb = self.skbs.insert(skb, pkt_len);
        root.requeue(&mut self.skbs, skb);
        Ok(())
    }

    /// The next packet that the qdiscs are done with; those that actions redirected are not among them.
    fn next_freed(&mut self) -> Option<Freed> {
        loop {
            let skb = self.to_free.pop_front(&self.skbs)?;
            let reason = self.skbs.cb(&skb).reason;
            if let Some(skb) = self.skbs.remove(skb) {
                return Some(Freed { skb, reason });
            }
        }
    }
}

/// `qdisc_pkt_len_init()`: bytes on the wire without FCS, with the headers of each segment of a large packet.
fn qdisc_pkt_len(skb: &SkBuff) -> u32 {
    let segs = usize::from(skb.gso.segs.max(1));
    let headers = gso_header_len(skb);
    let len = skb.len() + (segs - 1) * headers;
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Bytes of all headers of a large packet, which each of its segments has.
fn gso_header_len(skb: &SkBuff) -> usize {
    let transport = usize::try_from(skb.transport_offset()).unwrap_or(0);
    let transport_len = match skb.gso.kind {
        GsoType::None => return 0,
        GsoType::TcpV4 | GsoType::TcpV6 => {
            let data_offset = skb.data().get(transport + 12).copied();
            usize::from(data_offset.unwrap_or(0) >> 4) * 4
        }
        _ => 8,
    };
    transport + transport_len
}

impl Stack {
    /// The queues' time.
    pub(crate) fn sched_now(&self) -> Ns {
        self.now / PS_PER_NS
    }

    /// `__dev_xmit_skb()`: queues the packet on its device and sends what can be sent.
    pub(crate) fn dev_xmit_skb(&mut self, skb: SkBuff) {
        let dev = skb.dev;
        let Some(device) = self.device_mut(dev) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        // Without carrier Linux puts the noop queue in place, which drops.
        if !device.is_running() {
            self.dev_deactivate(dev);
            return self.tx_drop(skb, DropReason::QdiscDrop);
        }
        let Some(root) = &mut device.qdisc.root else {
            return self.sch_direct_xmit(skb);
        };
        if root.sch.qlen == 0 && root.ops.can_bypass() {
            root.sch.stats.update(qdisc_pkt_len(&skb), Some(&skb));
            return self.sch_direct_xmit(skb);
        }
        self.dev_enqueue(skb);
        self.qdisc_run(dev);
    }

    /// `dev_qdisc_enqueue()`: into the root qdisc. What it drops ends here.
    pub(crate) fn dev_enqueue(&mut self, skb: SkBuff) {
        let (dev, now) = (skb.dev, self.sched_now());
        let at = self.mirrored.len();
        let Some(device) = self.devices.get_mut(dev.0 as usize - 1) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        if device.qdisc.root.is_none() {
            return self.tx_drop(skb, DropReason::QdiscDrop);
        }
        device.qdisc.enqueue(now, &mut self.mirrored, skb);
        while let Some(copy) = device.qdisc.duplicates.pop_front(&device.qdisc.skbs) {
            self.stats.built += 1;
            device.qdisc.enqueue_ref(now, &mut self.mirrored, copy);
        }
        self.segment_queued(dev);
        self.free_queued(dev);
        self.tcf_mirred_forward(at);
    }

    /// Large packets that a qdisc cannot take as they are come in again, piece by piece (`tbf_segment()`, `netem_segment()`).
    fn segment_queued(&mut self, dev: IfIndex) {
        let now = self.sched_now();
        while let Some(device) = self.device_mut(dev) {
            let queue = &mut device.qdisc;
            let Some(skb) = queue.to_segment.pop_front(&queue.skbs) else {
                return;
            };
            let Some(skb) = queue.skbs.remove(skb) else {
                continue;
            };
            let mut segments = std::mem::take(&mut self.xmit_list);
            self.skb_gso_segment(skb, true, &mut segments);
            for segment in segments.drain(..) {
                if let Some(device) = self.devices.get_mut(dev.0 as usize - 1) {
                    device.qdisc.enqueue(now, &mut self.mirrored, segment);
                }
            }
            self.xmit_list = segments;
        }
    }

    /// The next packet that may be sent. What the qdiscs drop on the way to it ends here.
    pub(crate) fn dev_dequeue(&mut self, dev: IfIndex) -> Option<SkBuff> {
        let (now, at) = (self.sched_now(), self.mirrored.len());
        let index = (dev.0 as usize).checked_sub(1)?;
        let device = self.devices.get_mut(index)?;
        let skb = device.qdisc.dequeue(now, &mut self.mirrored);
        if !device.qdisc.to_free.is_empty() {
            self.free_queued(dev);
        }
        self.tcf_mirred_forward(at);
        skb
    }

    /// `__qdisc_run()`: sends what may be sent, until the driver is busy.
    pub(crate) fn qdisc_run(&mut self, dev: IfIndex) {
        while let Some(device) = self.device(dev) {
            if device.tx_stopped || device.qdisc.len() == 0 {
                return;
            }
            if !device.is_running() {
                return self.dev_deactivate(dev);
            }
            match self.dev_dequeue(dev) {
                Some(skb) => self.sch_direct_xmit(skb),
                None => return self.set_watchdog(dev),
            }
        }
    }

    /// `sch_direct_xmit()`: hands the driver what the packet becomes. What it does not take goes back to the head of the queue, in order.
    fn sch_direct_xmit(&mut self, mut skb: SkBuff) {
        let Some(device) = self.device(skb.dev) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        if device.tx_stopped {
            return self.dev_requeue_skb(skb);
        }
        // An ifb takes packets as they are: it gives them back. Nearly all others stay one packet, too.
        if device.kind == DeviceKind::Ifb || validate_xmit_one(&mut skb, device.features) {
            if let Some(skb) = self.dev_hard_start_xmit(skb) {
                self.dev_requeue_skb(skb);
            }
            return;
        }
        let mut list = std::mem::take(&mut self.xmit_list);
        self.validate_xmit_skb(skb, &mut list);
        while let Some(skb) = list.pop_front() {
            let Some(skb) = self.dev_hard_start_xmit(skb) else {
                continue;
            };
            while let Some(last) = list.pop_back() {
                self.dev_requeue_skb(last);
            }
            self.dev_requeue_skb(skb);
        }
        self.xmit_list = list;
    }

    /// `dev_requeue_skb()`. Without a queue the packet is lost.
    fn dev_requeue_skb(&mut self, skb: SkBuff) {
        let Some(device) = self.device_mut(skb.dev) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        if let Err(skb) = device.qdisc.requeue(skb) {
            self.tx_drop(skb, DropReason::CpuBacklog);
        }
    }

    /// Nothing may be sent now: comes back when the qdiscs said.
    fn set_watchdog(&mut self, dev: IfIndex) {
        let Some(device) = self.devices.get_mut(dev.0 as usize - 1) else {
            return;
        };
        let queue = &mut device.qdisc;
        let at = queue.next_wake();
        if at == queue.watchdog {
            return;
        }
        let key = TimerKey::Qdisc(dev);
        if let Some(old) = std::mem::replace(&mut queue.watchdog, at) {
            self.timers.stop(old, key);
        }
        if let Some(at) = at {
            self.timers.start(at, key);
        }
    }

    /// `qdisc_watchdog()`.
    pub(crate) fn qdisc_watchdog(&mut self, dev: IfIndex) {
        if let Some(device) = self.device_mut(dev) {
            device.qdisc.watchdog = None;
            self.qdisc_run(dev);
        }
    }

    /// `dev_deactivate()`: the carrier is gone, and what waited for it is lost.
    pub(crate) fn dev_deactivate(&mut self, dev: IfIndex) {
        let (now, mirrored) = (self.sched_now(), &mut Vec::new());
        let Some(device) = self.device_mut(dev) else {
            return;
        };
        if device.qdisc.len() > 0 {
            device
                .qdisc
                .with_root(now, mirrored, |root, cx| root.reset(cx));
            self.free_queued(dev);
            self.set_watchdog(dev);
        }
    }

    /// Ends the packets that the qdiscs are done with.
    pub(crate) fn free_queued(&mut self, dev: IfIndex) {
        while let Some(freed) = self.device_mut(dev).and_then(|d| d.qdisc.next_freed()) {
            match freed.reason {
                Some(reason) => self.tx_drop(freed.skb, reason),
                None => self.consume_skb(freed.skb, Consume::TcAction),
            }
        }
    }

    fn tx_drop(&mut self, skb: SkBuff, reason: DropReason) {
        self.count_tx_drop(skb.dev);
        self.kfree_skb(skb, reason);
    }

    /// `attach_default_qdiscs()`: `net.core.default_qdisc` for devices with a queue.
    pub(crate) fn attach_default_qdisc(&mut self, dev: IfIndex) {
        // IFF_NO_QUEUE
        let kind = self.device(dev).map(|device| device.kind);
        let no_queue = dev == IfIndex::LO
            || matches!(
                kind,
                Some(DeviceKind::Dummy | DeviceKind::Vlan { .. } | DeviceKind::Veth { .. })
            );
        let config = match no_queue {
            true => QdiscConfig::Noqueue,
            false => self.tc.default_qdisc.config(),
        };
        // Default options are never refused.
        if let Ok(root) = self.qdisc_create(dev, &config, Handle::NONE, Handle::ROOT) {
            self.replace_root(dev, root);
        }
    }

    /// `dev_graft_qdisc()`: another root; the packets of the old one are lost.
    pub(crate) fn replace_root(&mut self, dev: IfIndex, root: Option<Qdisc>) {
        let Some(device) = self.device_mut(dev) else {
            return;
        };
        let queue = &mut device.qdisc;
        if let Some(mut old) = std::mem::replace(&mut queue.root, root) {
            queue.with_detached(&mut old, |old, cx| old.reset(cx));
        }
        queue.wake = Ns::MAX;
        self.free_queued(dev);
        self.set_watchdog(dev);
    }
}
