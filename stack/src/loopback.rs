//! `lo`: what is sent comes back through the backlog.

use crate::netdev::{NetDeviceOps, NetFeatures};
use crate::page_pool::PagePool;
use crate::skb::{NET_SKB_PAD, SkBuff};
use std::collections::VecDeque;

/// `netdev_max_backlog`: packets that wait for the receive softirq.
const MAX_BACKLOG: usize = 1000;
/// Largest IP packet that a buffer of the pool takes; longer ones travel on the heap.
const BUF_SIZE: usize = 2048;

/// The loopback device. Its backlog stands for the per-CPU one that `netif_rx()` fills.
pub(crate) struct Loopback {
    backlog: VecDeque<SkBuff>,
    pool: PagePool,
}

impl Loopback {
    pub fn new() -> Self {
        Self {
            backlog: VecDeque::new(),
            pool: PagePool::heap(64, NET_SKB_PAD + BUF_SIZE),
        }
    }
}

impl NetDeviceOps for Loopback {
    fn start_xmit(&mut self, mut skb: SkBuff) -> Result<(), SkBuff> {
        if self.backlog.len() >= MAX_BACKLOG {
            return Err(skb);
        }
        // skb_orphan()
        skb.sk = None;
        self.backlog.push_back(skb);
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.backlog.len());
        rx.extend(self.backlog.drain(..n));
        n
    }

    fn complete(&mut self) -> bool {
        self.backlog.is_empty()
    }

    fn link_up(&self) -> bool {
        true
    }

    fn mtu(&self) -> u16 {
        u16::MAX
    }

    fn mac(&self) -> [u8; 6] {
        [0; 6]
    }

    fn features(&self) -> NetFeatures {
        NetFeatures {
            hw_csum: true,
            rx_csum: true,
            sg: true,
            tso4: true,
            tso6: true,
            tso_ecn: true,
            tso_mangleid: true,
            uso: true,
            ..NetFeatures::default()
        }
    }

    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}
