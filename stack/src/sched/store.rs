//! Where the packets of a device's queues are: one slab per device, and lists through it.
//!
//! A qdisc moves packets between its queues by number only; no byte and no `SkBuff` moves, and nothing is allocated once the slab has
//! grown to the largest backlog.

use crate::drop_reason::DropReason;
use crate::skb::SkBuff;

/// No packet.
const NONE: u32 = u32::MAX;

/// A packet in the store. There is one for each packet: who has it must put it into a list, give it on or take it out.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "a packet that nobody holds is lost in the store"]
pub(crate) struct SkbRef(u32);

/// What the queues note about a packet (`struct qdisc_skb_cb`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct QdiscCb {
    /// `qdisc_pkt_len()`: bytes on the wire, Ethernet header included, FCS not; for a large packet with the headers of all its segments.
    pub pkt_len: u32,
    /// Memory that the packet occupies.
    pub truesize: u32,
    /// A time of the qdisc that has it, in its own unit.
    pub time: u64,
    /// Why it is dropped, if it is (`tcf_set_drop_reason()`); `None`: it ends well.
    pub reason: Option<DropReason>,
    /// netem made it: it makes no more of it.
    pub duplicate: bool,
}

struct Slot {
    skb: Option<SkBuff>,
    next: u32,
    cb: QdiscCb,
}

/// The packets of one device's queues.
#[derive(Default)]
pub(crate) struct SkbStore {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl SkbStore {
    /// Puts a packet in; `pkt_len` as in [`QdiscCb`].
    pub fn insert(&mut self, skb: SkBuff, pkt_len: u32) -> SkbRef {
        let cb = QdiscCb {
            pkt_len,
            truesize: u32::try_from(skb.truesize()).unwrap_or(u32::MAX),
            time: 0,
            reason: None,
            duplicate: false,
        };
        let slot = Slot {
            skb: Some(skb),
            next: NONE,
            cb,
        };
        match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                SkbRef(index)
            }
            None => {
                self.slots.push(slot);
                SkbRef(self.slots.len() as u32 - 1)
            }
        }
    }

    /// Takes the packet out; `None` when [`take`](Self::take) did.
    pub fn remove(&mut self, skb: SkbRef) -> Option<SkBuff> {
        self.free.push(skb.0);
        self.slots[skb.0 as usize].skb.take()
    }

    /// Takes the packet out but keeps its place, until [`remove`](Self::remove).
    pub fn take(&mut self, skb: &SkbRef) -> Option<SkBuff> {
        self.slots[skb.0 as usize].skb.take()
    }

    pub fn skb(&self, skb: &SkbRef) -> Option<&SkBuff> {
        self.slots[skb.0 as usize].skb.as_ref()
    }

    pub fn skb_mut(&mut self, skb: &SkbRef) -> Option<&mut SkBuff> {
        self.slots[skb.0 as usize].skb.as_mut()
    }

    pub fn cb(&self, skb: &SkbRef) -> &QdiscCb {
        &self.slots[skb.0 as usize].cb
    }

    pub fn cb_mut(&mut self, skb: &SkbRef) -> &mut QdiscCb {
        &mut self.slots[skb.0 as usize].cb
    }

    pub fn pkt_len(&self, skb: &SkbRef) -> u32 {
        self.cb(skb).pkt_len
    }

    /// Packets that are in.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// A queue of packets (`struct qdisc_skb_head`).
#[derive(Debug)]
pub(crate) struct SkbList {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for SkbList {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            len: 0,
        }
    }
}

impl SkbList {
    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push_back(&mut self, store: &mut SkbStore, skb: SkbRef) {
        store.slots[skb.0 as usize].next = NONE;
        if self.len == 0 {
            self.head = skb.0;
        } else {
            store.slots[self.tail as usize].next = skb.0;
        }
        self.tail = skb.0;
        self.len += 1;
    }

    pub fn push_front(&mut self, store: &mut SkbStore, skb: SkbRef) {
        store.slots[skb.0 as usize].next = self.head;
        if self.len == 0 {
            self.tail = skb.0;
        }
        self.head = skb.0;
        self.len += 1;
    }

    pub fn pop_front(&mut self, store: &SkbStore) -> Option<SkbRef> {
        if self.len == 0 {
            return None;
        }
        let skb = SkbRef(self.head);
        self.head = store.slots[self.head as usize].next;
        self.len -= 1;
        Some(skb)
    }

    /// Length of the first packet, [`QdiscCb::pkt_len`].
    pub fn peek_len(&self, store: &SkbStore) -> Option<u32> {
        (self.len > 0).then(|| store.slots[self.head as usize].cb.pkt_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_share_a_store_and_slots_come_back() {
        let mut store = SkbStore::default();
        let (mut a, mut b) = (SkbList::default(), SkbList::default());
        for n in 0..6u8 {
            let skb = store.insert(SkBuff::from_vec(vec![n; 10]), 10 + u32::from(n));
            if n % 2 == 0 { &mut a } else { &mut b }.push_back(&mut store, skb);
        }
        let first = a.pop_front(&store).unwrap();
        a.push_front(&mut store, first);
        assert_eq!((a.len(), a.peek_len(&store)), (3, Some(10)));
        let mut order = Vec::new();
        for list in [&mut b, &mut a] {
            while let Some(skb) = list.pop_front(&store) {
                order.push(store.remove(skb).unwrap().data()[0]);
            }
            assert!(list.is_empty() && list.peek_len(&store).is_none());
        }
        assert_eq!(order, [1, 3, 5, 0, 2, 4]);
        assert_eq!((store.len(), store.slots.len()), (0, 6));
        let again = store.insert(SkBuff::default(), 0);
        assert_eq!((store.len(), store.slots.len()), (1, 6));
        a.push_front(&mut store, again);
        assert_eq!(a.len(), 1);
    }
}
