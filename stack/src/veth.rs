//! `veth`: two devices with a wire between them (drivers/net/veth.c); both ends are this host's. What one sends the other receives, by software and
//! without offloads: a checksum is filled in and a large packet cut before they leave, which Linux leaves to whoever sends them on.

use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::netdev::{DeviceKind, NetDeviceOps, NetFeatures};
use crate::page_pool::PagePool;
use crate::skb::{IfIndex, NET_SKB_PAD, PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use crate::xmit::ETH_HLEN;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes of a packet, if nobody says otherwise; the most is what 16 bits can say.
const MTU: u16 = 1500;
/// `netdev_max_backlog`: frames that wait for the receive softirq.
const MAX_BACKLOG: usize = 1000;
/// Buffers for what this host itself sends, and their bytes; longer packets travel on the heap.
const POOL: usize = 16;
const BUF_SIZE: usize = 2048;
/// Bytes of a tag.
const VLAN_HLEN: usize = 4;

/// Frames on their way in one direction.
type Wire = Rc<RefCell<VecDeque<SkBuff>>>;

/// One end.
struct Veth {
    tx: Wire,
    rx: Wire,
    mac: [u8; 6],
    pool: PagePool,
}

impl NetDeviceOps for Veth {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        let mut wire = self.tx.borrow_mut();
        if wire.len() >= MAX_BACKLOG {
            return Err(skb);
        }
        wire.push_back(skb);
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let mut wire = self.rx.borrow_mut();
        let n = budget.min(wire.len());
        rx.extend(wire.drain(..n));
        n
    }

    fn complete(&mut self) -> bool {
        self.rx.borrow().is_empty()
    }

    fn link_up(&self) -> bool {
        true
    }

    fn mtu(&self) -> u16 {
        MTU
    }

    fn max_mtu(&self) -> u16 {
        u16::MAX
    }

    fn set_mac(&mut self, mac: [u8; 6]) -> bool {
        self.mac = mac;
        true
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn features(&self) -> NetFeatures {
        NetFeatures::default()
    }

    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

impl Stack {
    /// `ip link add NAME type veth peer name PEER`: the device and its peer, which gets the lower index, as in Linux. Both are down. Errors when there
    /// is a device of one of the names, or they are the same.
    pub fn add_veth(&mut self, name: &str, peer: &str) -> Result<(IfIndex, IfIndex), StackError> {
        self.check_new_name(name)?;
        self.check_new_name(peer)?;
        if name == peer {
            return Err(StackError::DeviceExists(name.to_owned()));
        }
        let (there, back) = (Wire::default(), Wire::default());
        let first = self.devices.len() as u32 + 1;
        let end = |tx: &Wire, rx: &Wire, index: u32| {
            let [a, b, c, d] = index.to_be_bytes();
            Box::new(Veth {
                tx: tx.clone(),
                rx: rx.clone(),
                // Locally administered.
                mac: [0x02, 0xfc, a, b, c, d],
                pool: PagePool::heap(POOL, NET_SKB_PAD + BUF_SIZE),
            })
        };
        let kind = |peer| DeviceKind::Veth {
            peer: IfIndex(peer),
        };
        let peer = self.register_device(peer, kind(first + 1), end(&back, &there, first));
        let dev = self.register_device(name, kind(first), end(&there, &back, first + 1));
        self.veth_carrier(dev);
        self.nft_update_hooks();
        Ok((dev, peer))
    }

    /// The peer of an end.
    pub(crate) fn veth_peer(&self, dev: IfIndex) -> Option<IfIndex> {
        match self.device(dev)?.kind {
            DeviceKind::Veth { peer } => Some(peer),
            _ => None,
        }
    }

    /// `veth_open()`, `veth_close()`: there is carrier while both ends are up. Who is at an end that loses it forgets whom it reached
    /// (`neigh_carrier_down()`).
    pub(crate) fn veth_carrier(&mut self, dev: IfIndex) {
        let Some(peer) = self.veth_peer(dev) else {
            return;
        };
        let carrier = self.is_up(dev) && self.is_up(peer);
        for end in [dev, peer] {
            let Some(device) = self.device_mut(end) else {
                continue;
            };
            if std::mem::replace(&mut device.carrier, carrier) && !carrier {
                self.dev_deactivate(end);
                self.neigh_carrier_down(end);
            }
        }
    }

    /// `veth_xmit()`: the frame goes to the other end as if it came from a wire (`skb_scrub_packet()`), but its mark stays: both are one host's.
    pub(crate) fn veth_xmit(&mut self, mut skb: SkBuff, peer: IfIndex) {
        let (dev, bytes) = (skb.dev, skb.len());
        // is_skb_forwardable()
        let fits = bytes <= self.mtu(peer) + ETH_HLEN + VLAN_HLEN;
        if !fits || !self.is_up(peer) {
            self.count_rx_drop(peer);
            self.count_tx_drop(dev);
            return self.kfree_skb(skb, DropReason::NotSpecified);
        }
        self.trace(&skb, Stage::Xmit);
        self.conntrack.put(skb.nfct.take());
        skb.nf_trace = false;
        skb.dst = None;
        skb.sk = None;
        skb.ignore_df = false;
        skb.pkt_type = PktType::Host;
        skb.iif = IfIndex::NONE;
        let Some(device) = self.device_mut(dev) else {
            return;
        };
        match device.ops.start_xmit(skb) {
            Ok(()) => {
                device.stats.tx_packets += 1;
                device.stats.tx_bytes += bytes as u64;
                self.stats.transmitted += 1;
                self.napi_schedule(peer);
            }
            Err(skb) => {
                self.count_tx_drop(dev);
                self.kfree_skb(skb, DropReason::CpuBacklog);
            }
        }
    }
}
