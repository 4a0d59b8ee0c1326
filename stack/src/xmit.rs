//! From the IP layer to the driver: `__dev_queue_xmit()`, the queue, `dev_hard_start_xmit()`.

use crate::drop_reason::DropReason;
use crate::hook::{Family, Hook};
use crate::netdev::{DeviceKind, NapiState};
use crate::sched::{reciprocal_scale, skb_get_hash};
use crate::skb::{IfIndex, MAX_SKB_FRAGS, NET_SKB_PAD, SkBuff, Vlan};
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::trace::Stage;
use crate::{MS, Ps};

/// Bytes of an Ethernet header.
pub(crate) const ETH_HLEN: usize = 14;
/// Between two looks for a page when a queue waits for one.
const TX_RETRY: Ps = MS;

/// What became of a packet that the device cannot reach.
enum Copied {
    Yes(SkBuff),
    /// All pages are in flight; the queue is stopped until there is one.
    NoPage(SkBuff),
    /// It fits no page.
    Dropped,
}

impl Stack {
    /// `eth_header()` and on: puts the link-layer header in front of the packet and queues it on `skb.dev`.
    pub(crate) fn dev_hard_header_xmit(&mut self, mut skb: SkBuff, dest: [u8; 6]) {
        let Some(dev) = self.device(skb.dev) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        let source = dev.mac;
        let protocol = skb.protocol;
        let Some(header) = skb.push(ETH_HLEN) else {
            return self.kfree_skb(skb, DropReason::DevHdr);
        };
        header[..6].copy_from_slice(&dest);
        header[6..12].copy_from_slice(&source);
        header[12..].copy_from_slice(&protocol.to_be_bytes());
        skb.reset_mac_header();
        self.dev_queue_xmit(skb);
    }

    /// `__dev_queue_xmit()`: netfilter egress comes before tc egress, and both before the queue. What tc sends here passes netfilter by. Data
    /// starts at the Ethernet header.
    pub(crate) fn dev_queue_xmit(&mut self, mut skb: SkBuff) {
        let (dev, netdev, none) = (skb.dev, Family::Netdev, IfIndex::NONE);
        if !(skb.nf_skip_egress || self.nf_hook(Hook::NetdevEgress, netdev, &mut skb, none, dev))
            || !self.nf_hook(Hook::TcEgress, netdev, &mut skb, none, dev)
        {
            return self.count_tx_drop(dev);
        }
        // What ends there is counted there.
        if self.sch_handle_egress(&mut skb) {
            skb.nf_skip_egress = false;
            self.trace(&skb, Stage::Qdisc);
            self.dev_xmit_skb(skb);
        }
    }

    /// `dev_hard_start_xmit()`: the driver gets the packet. It comes back when the driver is busy, or no buffer that it can reach is free.
    pub(crate) fn dev_hard_start_xmit(&mut self, mut skb: SkBuff) -> Option<SkBuff> {
        let dev = skb.dev;
        let Some(device) = self.device(dev) else {
            self.kfree_skb(skb, DropReason::DevReady);
            return None;
        };
        if let DeviceKind::Vlan { lower, proto, id } = device.kind {
            self.dev_queue_xmit_nit(&skb);
            self.vlan_dev_hard_start_xmit(skb, lower, Vlan { proto, tci: id });
            return None;
        }
        if let DeviceKind::Veth { peer } = device.kind {
            self.dev_queue_xmit_nit(&skb);
            self.veth_xmit(skb, peer);
            return None;
        }
        let is_virtual = dev == IfIndex::LO || device.kind == DeviceKind::Ifb;
        if !is_virtual && !skb.is_in(&device.pool) {
            match self.copy_for_device(skb) {
                Copied::Yes(copy) => skb = copy,
                Copied::NoPage(skb) => return Some(skb),
                Copied::Dropped => return None,
            }
        }
        self.dev_queue_xmit_nit(&skb);
        self.trace(&skb, Stage::Xmit);
        let mut skb = skb;
        self.netdev_core_pick_tx(&mut skb);
        if !is_virtual {
            // The packet ends with its transmission; nothing behind this asks for its connection.
            self.conntrack.put(skb.nfct.take());
        }
        let bytes = skb.len() as u64;
        let device = self.device_mut(dev)?;
        match device.ops.start_xmit(skb) {
            Ok(()) => {
                device.needs_flush = true;
                device.stats.tx_packets += 1;
                device.stats.tx_bytes += bytes;
                self.stats.transmitted += 1;
                if is_virtual {
                    self.napi_schedule(dev);
                }
                None
            }
            Err(skb) => {
                device.tx_stopped = true;
                device.stats.tx_busy += 1;
                Some(skb)
            }
        }
    }

    /// `netdev_core_pick_tx()`: with several transmit queues, the one for the packet's flow. What was received keeps to the queue that it
    /// came from (`skb_tx_hash()`).
    #[inline]
    fn netdev_core_pick_tx(&self, skb: &mut SkBuff) {
        let Some(device) = self.device(skb.dev).filter(|d| d.num_queues() > 1) else {
            return;
        };
        let queues = device.num_queues();
        skb.queue_mapping = match skb.rx_queue.checked_sub(1) {
            Some(queue) => queue % queues,
            None => {
                let hash = skb_get_hash(skb, device.qdisc.hash_seed);
                reciprocal_scale(hash, queues.into()) as u16
            }
        };
    }

    /// A packet in a buffer that is not of the device's pool (heap, or received by another device, so that its bus address means nothing
    /// here) is copied into one that is. Without a free page it goes back to the queue, which is tried again after the next poll: at once,
    /// because that takes sent frames back, then whenever a call into the stack finds a page, and every [`TX_RETRY`].
    fn copy_for_device(&mut self, skb: SkBuff) -> Copied {
        let (dev, now) = (skb.dev, self.now);
        let Some(device) = self.device_mut(dev) else {
            self.kfree_skb(skb, DropReason::DevReady);
            return Copied::Dropped;
        };
        let page = device.pool.buf_size();
        let pages = if device.features.sg {
            1 + MAX_SKB_FRAGS
        } else {
            1
        };
        if NET_SKB_PAD + skb.len() > pages * page {
            self.count_tx_drop(dev);
            self.kfree_skb(skb, DropReason::NoMem);
            return Copied::Dropped;
        }
        let Some(copy) = skb.copy_into_pages(&device.pool, NET_SKB_PAD) else {
            device.tx_stopped = true;
            device.no_page = true;
            device.stats.tx_busy += 1;
            // A poll that is going on has taken back what there was.
            let poll = !device.napi.contains(&NapiState::Polling);
            if device.tx_retry.is_none() {
                let at = now + TX_RETRY;
                device.tx_retry = Some(at);
                self.timers.start(at, TimerKey::TxRetry(dev));
            }
            if poll {
                self.napi_schedule(dev);
            }
            return Copied::NoPage(skb);
        };
        // One packet in another buffer: it is neither made nor ended.
        Copied::Yes(copy)
    }

    /// The queue waited long enough for a page: the poll takes sent frames back, which may not have caused an interrupt.
    pub(crate) fn tx_retry_timer(&mut self, dev: IfIndex) {
        if let Some(device) = self.device_mut(dev) {
            device.tx_retry = None;
            if device.no_page {
                self.napi_schedule(dev);
            }
        }
    }

    /// The end of a batch: drivers ring their doorbells, and queues that can go on are polled (`netif_tx_wake_queue()`).
    pub(crate) fn flush_devices(&mut self) {
        for i in 0..self.devices.len() {
            let device = &mut self.devices[i];
            if std::mem::take(&mut device.needs_flush) {
                device.ops.flush();
            }
            let ready = || match device.no_page {
                true => device.pool.available() > 0,
                false => device.ops.tx_ready(),
            };
            if device.tx_stopped && ready() {
                let dev = device.index;
                self.napi_schedule(dev);
            }
        }
    }

    pub(crate) fn count_tx_drop(&mut self, dev: IfIndex) {
        if let Some(device) = self.device_mut(dev) {
            device.stats.tx_dropped += 1;
        }
    }
}
