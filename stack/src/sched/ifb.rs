//! `ifb`: a device whose only purpose is its queue (drivers/net/ifb.c). What is redirected to it goes through its qdisc and then on where it
//! was met: to the protocols if it was being received, out of its device if it was being sent.

use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::netdev::{DeviceKind, NetDeviceOps, NetFeatures};
use crate::page_pool::PagePool;
use crate::skb::{IfIndex, NET_SKB_PAD, SkBuff};
use crate::stack::Stack;
use crate::xmit::ETH_HLEN;
use std::collections::VecDeque;

/// Packets that wait for the softirq before the queue stops, and the device's `tx_queue_len` (`TX_Q_LIMIT`).
pub(crate) const TX_QUEUE_LEN: usize = 32;
/// Buffers for what this host itself would send through it.
const POOL: usize = 8;

/// The driver: what was sent waits for its poll, which stands for the tasklet.
pub(crate) struct Ifb {
    queue: VecDeque<SkBuff>,
    pool: PagePool,
    mac: [u8; 6],
}

impl Ifb {
    pub fn new(mac: [u8; 6]) -> Self {
        Self {
            queue: VecDeque::new(),
            pool: PagePool::heap(POOL, NET_SKB_PAD + ETH_HLEN + 1500),
            mac,
        }
    }
}

impl NetDeviceOps for Ifb {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        if self.queue.len() >= TX_QUEUE_LEN {
            return Err(skb);
        }
        self.queue.push_back(skb);
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.queue.len());
        rx.extend(self.queue.drain(..n));
        n
    }

    fn complete(&mut self) -> bool {
        self.queue.is_empty()
    }

    fn link_up(&self) -> bool {
        true
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn features(&self) -> NetFeatures {
        NetFeatures {
            hw_csum: true,
            rx_csum: true,
            sg: true,
            ..NetFeatures::default()
        }
    }

    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

impl Stack {
    /// `ip link add NAME type ifb`. The device is up. Errors when there is a device of that name.
    pub fn add_ifb(&mut self, name: &str) -> Result<IfIndex, StackError> {
        self.check_new_name(name)?;
        let [.., a, b, c, d] = (self.devices.len() as u32 + 1).to_be_bytes();
        // Locally administered.
        let ops = Box::new(Ifb::new([0x02, 0xfb, a, b, c, d]));
        Ok(self.register_device(name, DeviceKind::Ifb, ops))
    }

    /// `ifb_ri_tasklet()`: the packet goes on where it was redirected.
    pub(crate) fn ifb_ri_tasklet(&mut self, ifb: IfIndex, mut skb: SkBuff) {
        self.stats.received += 1;
        let Some(device) = self.device_mut(ifb) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        device.stats.rx_packets += 1;
        device.stats.rx_bytes += skb.len() as u64;
        // Only what was redirected has a way on.
        let origin = self.device(skb.iif).is_some();
        let Some(came_in) = skb.redirected.take().filter(|_| origin) else {
            self.count_rx_drop(ifb);
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        skb.dev = skb.iif;
        // Also of what is received and then forwarded.
        skb.nf_skip_egress = true;
        if !came_in {
            skb.tc_skip_classify = true;
            return self.dev_queue_xmit(skb);
        }
        let header = usize::try_from(skb.network_offset()).unwrap_or(ETH_HLEN);
        match skb.skb_pull_rcsum(header) {
            Some(()) => {
                let dev = skb.dev;
                self.deliver_skb(skb, dev, false);
            }
            None => self.kfree_skb(skb, DropReason::HdrTrunc),
        }
    }
}
