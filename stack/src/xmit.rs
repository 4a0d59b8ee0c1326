//! From the IP layer to the driver: `__dev_queue_xmit()`, the queue, `dev_hard_start_xmit()`.

use crate::checksum;
use crate::drop_reason::DropReason;
use crate::hook::{Family, Hook};
use crate::netdev::{NapiState, NetFeatures, TX_QUEUE_LEN};
use crate::skb::{CsumState, IfIndex, MAX_SKB_FRAGS, NET_SKB_PAD, SkBuff};
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::trace::Stage;
use crate::{MS, Ps};

/// Bytes of an Ethernet header.
pub(crate) const ETH_HLEN: usize = 14;
/// Between two looks for a page when a queue waits for one.
const TX_RETRY: Ps = MS;

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

    /// `__dev_queue_xmit()`: netfilter egress comes before tc egress, and both before the queue.
    fn dev_queue_xmit(&mut self, skb: SkBuff) {
        let dev = skb.dev;
        let hooked = self
            .nf_hook(Hook::NetdevEgress, Family::Netdev, skb, IfIndex::NONE, dev)
            .and_then(|skb| self.nf_hook(Hook::TcEgress, Family::Netdev, skb, IfIndex::NONE, dev));
        let Some(skb) = hooked else {
            self.count_tx_drop(dev);
            return;
        };
        self.trace(&skb, Stage::Qdisc);
        let Some(device) = self.device_mut(dev) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        // Without carrier Linux puts the noop queue in place, which drops.
        if !device.ops.link_up() || device.qdisc.len() >= TX_QUEUE_LEN {
            self.count_tx_drop(dev);
            return self.kfree_skb(skb, DropReason::QdiscDrop);
        }
        if device.tx_stopped || !device.qdisc.is_empty() {
            device.qdisc.push_back(skb);
            return;
        }
        self.sch_direct_xmit(skb);
    }

    /// `qdisc_run()`: sends what waits, until the driver is busy.
    pub(crate) fn qdisc_run(&mut self, dev: IfIndex) {
        while let Some(device) = self.device_mut(dev) {
            if device.tx_stopped {
                return;
            }
            let Some(skb) = device.qdisc.pop_front() else {
                return;
            };
            self.sch_direct_xmit(skb);
        }
    }

    /// `validate_xmit_skb()` and `ndo_start_xmit()`.
    fn sch_direct_xmit(&mut self, skb: SkBuff) {
        let dev = skb.dev;
        let Some(device) = self.device(dev) else {
            return self.kfree_skb(skb, DropReason::DevReady);
        };
        let (features, pool) = (device.features, device.pool.clone());
        let mut skb = validate_xmit_skb(skb, features);
        if dev != IfIndex::LO && !skb.is_in(&pool) {
            let Some(copy) = self.copy_for_device(skb, features.sg) else {
                return;
            };
            skb = copy;
        }
        self.trace(&skb, Stage::Xmit);
        let bytes = skb.len() as u64;
        let Some(device) = self.device_mut(dev) else {
            return;
        };
        match device.ops.start_xmit(skb) {
            Ok(()) => {
                device.needs_flush = true;
                device.stats.tx_packets += 1;
                device.stats.tx_bytes += bytes;
                self.stats.transmitted += 1;
                if dev == IfIndex::LO {
                    self.napi_schedule(dev);
                }
            }
            Err(skb) => {
                device.tx_stopped = true;
                device.stats.tx_busy += 1;
                device.qdisc.push_front(skb);
            }
        }
    }

    /// A packet in a buffer that is not of the device's pool (heap, or received by another device, so that its bus address means nothing
    /// here) is copied into one that is. Without a free page it goes back to the queue, which is tried again after the next poll: at once,
    /// because that takes sent frames back, then whenever a call into the stack finds a page, and every [`TX_RETRY`].
    fn copy_for_device(&mut self, skb: SkBuff, sg: bool) -> Option<SkBuff> {
        let (dev, now) = (skb.dev, self.now);
        let device = self.device_mut(dev)?;
        let page = device.pool.buf_size();
        let pages = if sg { 1 + MAX_SKB_FRAGS } else { 1 };
        if NET_SKB_PAD + skb.len() > pages * page {
            self.count_tx_drop(dev);
            self.kfree_skb(skb, DropReason::NoMem);
            return None;
        }
        let Some(copy) = skb.copy_into_pages(&device.pool, NET_SKB_PAD) else {
            device.tx_stopped = true;
            device.no_page = true;
            device.stats.tx_busy += 1;
            device.qdisc.push_front(skb);
            // A poll that is going on has taken back what there was.
            let poll = device.napi != NapiState::Polling;
            if device.tx_retry.is_none() {
                let at = now + TX_RETRY;
                device.tx_retry = Some(at);
                self.timers.start(at, TimerKey::TxRetry(dev));
            }
            if poll {
                self.napi_schedule(dev);
            }
            return None;
        };
        // One packet in another buffer: it is neither made nor ended.
        Some(copy)
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

    fn count_tx_drop(&mut self, dev: IfIndex) {
        if let Some(device) = self.device_mut(dev) {
            device.stats.tx_dropped += 1;
        }
    }
}

/// `validate_xmit_skb()`: does in software what the device cannot.
fn validate_xmit_skb(mut skb: SkBuff, features: NetFeatures) -> SkBuff {
    // skb_needs_linearize()
    if skb.is_nonlinear() && (!features.sg || skb.nr_frags() > MAX_SKB_FRAGS) {
        skb.skb_linearize();
    }
    if !features.hw_csum {
        skb_checksum_help(&mut skb);
    }
    skb
}

/// `skb_checksum_help()`: fills in a checksum that was left to the device ([`CsumState::Partial`]), for a device that cannot. Data starts
/// at the Ethernet header; positions outside change nothing.
pub fn skb_checksum_help(skb: &mut SkBuff) {
    if let CsumState::Partial { start, offset } = skb.csum {
        fill_checksum(skb, usize::from(start), usize::from(offset));
        skb.csum = CsumState::None;
    }
}

/// Sums the packet from `start` to its end and stores the complement at `start + offset`; positions outside change nothing.
pub(crate) fn fill_checksum(skb: &mut SkBuff, start: usize, offset: usize) {
    let at = start + offset;
    if !skb.skb_ensure_writable(at + 2) {
        return;
    }
    let sum = skb.skb_checksum(start, skb.len());
    // 0 would mean "no checksum" in UDP; 0xffff is the same sum (CSUM_MANGLED_0).
    let value = match !checksum::fold(sum) {
        0 => 0xffff,
        value => value,
    };
    if let Some(field) = skb.data_mut().get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8], start: u16, offset: u16) -> Vec<u8> {
        let mut skb = SkBuff::from_vec(bytes.to_vec());
        skb.csum = CsumState::Partial { start, offset };
        skb_checksum_help(&mut skb);
        assert_eq!(skb.csum, CsumState::None);
        skb.data().to_vec()
    }

    #[test]
    fn checksum_of_rfc_1071() {
        // RFC 1071 section 3: these bytes sum to ddf2.
        let frame = [9, 9, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0];
        assert_eq!(filled(&frame, 2, 8)[10..], (!0xddf2u16).to_be_bytes());
    }

    #[test]
    fn checksum_of_an_odd_length_zero_and_positions_outside() {
        let odd = filled(&[0x12, 0x34, 0, 0, 0x56], 0, 2);
        assert_eq!(odd[2..4], (!(0x1234u16 + 0x5600)).to_be_bytes());
        assert_eq!(filled(&[0xff, 0xff, 0, 0], 0, 2)[2..4], [0xff, 0xff]);
        assert_eq!(filled(&[1, 2, 3], 4, 0), [1, 2, 3]);
        assert_eq!(filled(&[1, 2, 3], 0, 2), [1, 2, 3]);
    }
}
