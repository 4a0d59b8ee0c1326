//! What the tests of single qdiscs need: packets, a clock, and a look at what was dropped.

use super::handle::Handle;
use super::qdisc::{Cx, Mirrored, NetXmit, Ns, Qdisc, QdiscOps};
use super::store::{SkbList, SkbStore};
use crate::drop_reason::DropReason;
use crate::napi::ETH_P_IP;
use crate::skb::SkBuff;

/// One millisecond.
pub(super) const MS: Ns = 1_000_000;

/// A qdisc with handle `1:` and everything around it.
pub(super) struct Bench {
    pub qdisc: Qdisc,
    pub now: Ns,
    /// When the qdisc wanted to be asked again, after the last [`dequeue`](Self::dequeue).
    pub wake: Ns,
    skbs: SkbStore,
    to_free: SkbList,
    duplicates: SkbList,
    to_segment: SkbList,
    mirrored: Vec<Mirrored>,
    /// Packets that were dropped: their number and the reason.
    pub dropped: Vec<(u32, DropReason)>,
}

impl Bench {
    pub fn new(ops: impl QdiscOps + 'static) -> Self {
        Self {
            qdisc: Qdisc::new(Handle::new(1, 0), Handle::ROOT, 0, Box::new(ops)),
            now: 1000 * MS,
            wake: Ns::MAX,
            skbs: SkbStore::default(),
            to_free: SkbList::default(),
            duplicates: SkbList::default(),
            to_segment: SkbList::default(),
            mirrored: Vec::new(),
            dropped: Vec::new(),
        }
    }

    pub fn with<R>(&mut self, act: impl FnOnce(&mut Qdisc, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            skbs: &mut self.skbs,
            now: self.now,
            wake: Ns::MAX,
            to_free: &mut self.to_free,
            mirrored: &mut self.mirrored,
            duplicates: &mut self.duplicates,
            to_segment: &mut self.to_segment,
            hash_seed: 1,
        };
        let result = act(&mut self.qdisc, &mut cx);
        self.wake = cx.wake;
        while let Some(skb) = self.to_free.pop_front(&self.skbs) {
            let reason = self.skbs.cb(&skb).reason;
            let mark = self.skbs.remove(skb).map_or(0, |skb| skb.mark);
            self.dropped
                .push((mark, reason.unwrap_or(DropReason::NotSpecified)));
        }
        result
    }

    /// Queues packet number `mark` of `len` bytes for class `1:class` (0: the qdisc decides), and the copies that are made of it.
    pub fn enqueue(&mut self, mark: u32, class: u16, len: usize) -> NetXmit {
        let priority = match class {
            0 => 0,
            class => Handle::new(1, class).0,
        };
        let mut skb = ip_packet(len, 0);
        (skb.mark, skb.priority) = (mark, priority);
        self.enqueue_skb(skb)
    }

    pub fn enqueue_skb(&mut self, skb: SkBuff) -> NetXmit {
        let len = skb.len() as u32;
        let skb = self.skbs.insert(skb, len);
        let result = self.with(|qdisc, cx| qdisc.enqueue(cx, skb));
        while let Some(copy) = self.duplicates.pop_front(&self.skbs) {
            self.with(|qdisc, cx| qdisc.enqueue(cx, copy));
        }
        result
    }

    /// The next packet's number and TOS byte.
    pub fn dequeue_tos(&mut self) -> Option<(u32, u8)> {
        let skb = self.with(|qdisc, cx| qdisc.dequeue(cx))?;
        let skb = self.skbs.remove(skb)?;
        Some((skb.mark, skb.data()[15]))
    }

    /// The next packet's number.
    pub fn dequeue(&mut self) -> Option<u32> {
        self.dequeue_tos().map(|(mark, _)| mark)
    }

    /// All packets that may be sent now.
    pub fn drain(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.dequeue()).collect()
    }

    /// Sends until nothing is left, waiting where the qdisc says so; numbers with the time in ns since the start.
    pub fn run(&mut self) -> Vec<(u32, Ns)> {
        let start = self.now;
        let mut sent = Vec::new();
        loop {
            while let Some(mark) = self.dequeue() {
                sent.push((mark, self.now - start));
            }
            if self.wake == Ns::MAX || self.qdisc.sch.qlen == 0 {
                return sent;
            }
            assert!(self.wake > self.now, "a wake-up that is not in the future");
            self.now = self.wake;
        }
    }

    /// Packets in the store: all that were neither sent nor dropped.
    pub fn held(&self) -> usize {
        self.skbs.len()
    }
}

/// A frame of `len` bytes with an IPv4 header of this TOS.
pub(super) fn ip_packet(len: usize, tos: u8) -> SkBuff {
    let mut skb = SkBuff::from_vec(vec![0; len.max(34)]);
    skb.data_mut()[14..16].copy_from_slice(&[0x45, tos]);
    skb.protocol = ETH_P_IP;
    let sum = crate::checksum::checksum(&skb.data()[14..34]);
    skb.data_mut()[24..26].copy_from_slice(&sum.to_be_bytes());
    skb.reset_mac_header();
    skb.pull(14);
    skb.reset_network_header();
    skb.push(14);
    skb
}
