//! The receive queue: pool buffers with the header right in front of the frame. One buffer per frame, or
//! with VIRTIO_NET_F_MRG_RXBUF as many as it takes: the first becomes the skb's linear part, the others
//! its fragments.

use stack::page_pool::{Page, PagePool};
use stack::skb::{CsumState, Frag, SkBuff};

use crate::features::Feature;
use crate::gso::GuestTso;
use crate::hdr::{F_DATA_VALID, F_NEEDS_CSUM, HDR_BYTES, VirtioNetHdr};
use crate::stats::Stats;
use crate::transport::Doorbell;
use crate::virtqueue::{BadUsedId, Segment, Used, Virtqueue};

/// Bytes before the header: room for what a forwarding stack pushes, a multiple of every bus
/// width so that the device's writes start aligned. The frame is at [`RX_HEADROOM`] + 12, which
/// puts the IP header on 4 + 2 bytes as `NET_IP_ALIGN` does.
pub const RX_HEADROOM: usize = 64;
/// Ethernet header with two VLAN tags.
pub const ETH_OVERHEAD: usize = 14 + 8;
const ETH_HLEN: usize = 14;

/// Bytes of a receive buffer for frames of `mtu`: multiples of 2 KiB, as pages divide well. A frame on
/// the wire fits one; only what the device coalesced takes several.
pub fn buffer_size(mtu: u16) -> usize {
    (RX_HEADROOM + HDR_BYTES + ETH_OVERHEAD + usize::from(mtu)).next_multiple_of(2048)
}

/// Receive half of a queue pair.
pub struct RxQueue {
    /// The ring.
    pub vq: Virtqueue<Page>,
    /// Where its doorbell is.
    pub doorbell: Option<Doorbell>,
    pool: PagePool,
    /// Refill when so many descriptors are free.
    refill_at: u16,
    /// VIRTIO_NET_F_GUEST_CSUM.
    guest_csum: bool,
    /// VIRTIO_NET_F_MRG_RXBUF.
    mergeable: bool,
    guest_tso: GuestTso,
    /// What each frame says of its queue.
    recorded: u16,
}

impl RxQueue {
    /// `pool`: DMA-able buffers of at least [`buffer_size`] bytes. `recorded`: what frames say of their
    /// queue (`skb_record_rx_queue()`), counted from 1; 0 says nothing.
    pub fn new(vq: Virtqueue<Page>, pool: PagePool, features: Feature, recorded: u16) -> Self {
        let refill_at = (vq.size() / 4).max(1);
        Self {
            vq,
            doorbell: None,
            pool,
            refill_at,
            guest_csum: features.contains(Feature::GUEST_CSUM),
            mergeable: features.contains(Feature::MRG_RXBUF),
            guest_tso: GuestTso::new(features),
            recorded,
        }
    }

    /// Whether enough buffers are missing to be worth a refill.
    #[inline]
    pub fn wants_refill(&self) -> bool {
        self.vq.num_free() >= self.refill_at
    }

    /// Whether the device has no buffer at all: no receive interrupt can come.
    pub fn is_starved(&self) -> bool {
        self.vq.num_free() == self.vq.size() && !self.vq.is_broken()
    }

    /// Gives the device as many buffers as ring and pool allow.
    pub fn refill(&mut self, stats: &mut Stats) {
        while self.vq.num_free() > 0 && !self.vq.is_broken() {
            let Some(page) = self.pool.alloc() else {
                stats.rx_refill_failed += 1;
                return;
            };
            let Some(addr) = page.bus_addr() else { return };
            let segment = Segment {
                addr: addr + RX_HEADROOM as u64,
                len: (page.len() - RX_HEADROOM) as u32,
            };
            if self.vq.add(&[], &[segment], page).is_err() {
                return;
            }
        }
    }

    /// Takes the next frame. `Ok(None)`: nothing left. Frames that cannot be used are counted and
    /// passed over.
    #[inline]
    pub fn receive(&mut self, stats: &mut Stats) -> Result<Option<SkBuff>, BadUsedId> {
        while let Some(used) = self.vq.pop()? {
            if let Some(skb) = self.receive_buf(used, stats)? {
                stats.rx_packets += 1;
                stats.rx_bytes += skb.len() as u64;
                return Ok(Some(skb));
            }
        }
        Ok(None)
    }

    /// `receive_buf()`: the frame that begins in `used`; `None`, and a counter, when it cannot be used.
    #[inline]
    fn receive_buf(
        &mut self,
        used: Used<Page>,
        stats: &mut Stats,
    ) -> Result<Option<SkBuff>, BadUsedId> {
        let page = used.cookie;
        // 5.1.6.4: the device writes header and frame as one.
        let frame_len = (used.len as usize).saturating_sub(HDR_BYTES);
        let hdr = page
            .as_slice()
            .get(RX_HEADROOM..)
            .and_then(<[u8]>::first_chunk);
        let (Some(hdr), ETH_HLEN..) = (hdr, frame_len) else {
            stats.rx_length_errors += 1;
            return Ok(None);
        };
        let hdr = VirtioNetHdr::decode(hdr);
        let mut lied = used.claimed > used.len;
        let mut skb = SkBuff::build(page, RX_HEADROOM + HDR_BYTES, frame_len);
        let mut complete = true;
        if hdr.num_buffers != 1 {
            complete = self.collect(hdr.num_buffers, &mut skb, &mut lied, stats)?;
        }
        if lied {
            stats.bad_used_len += 1;
            return Ok(None);
        }
        if !complete {
            stats.rx_length_errors += 1;
            return Ok(None);
        }
        let Some(csum) = self.csum_state(hdr, skb.len(), stats) else {
            return Ok(None);
        };
        skb.csum = csum;
        let Ok(gso) = self.guest_tso.to_skb(hdr, &skb) else {
            stats.rx_gso_errors += 1;
            return Ok(None);
        };
        stats.rx_gso += u64::from(gso.segs > 0);
        skb.gso = gso;
        skb.rx_queue = self.recorded;
        Ok(Some(skb))
    }

    /// Appends the buffers that follow the first of `num_buffers`. `Ok(false)`: they are not all there, or
    /// there must not be more than one. `lied` is set when one is used with more bytes than it has.
    #[cold]
    fn collect(
        &mut self,
        num_buffers: u16,
        skb: &mut SkBuff,
        lied: &mut bool,
        stats: &mut Stats,
    ) -> Result<bool, BadUsedId> {
        if !self.mergeable || num_buffers == 0 {
            // 5.1.6.4.1: must be 1 without MRG_RXBUF. QEMU before 10.0 leaves 0, which harms
            // nobody; but the rest of a frame that goes on in the next buffer is not there.
            stats.rx_num_buffers_errors += 1;
            return Ok(num_buffers == 0);
        }
        for _ in 1..num_buffers {
            // 5.1.6.4.1: the device uses all of them before it announces one.
            let Some(used) = self.vq.pop()? else {
                stats.rx_num_buffers_errors += 1;
                return Ok(false);
            };
            *lied |= used.claimed > used.len;
            let frag = Frag::new(used.cookie.share(), RX_HEADROOM, used.len as usize);
            skb.add_frag(frag);
        }
        stats.rx_merged += 1;
        Ok(true)
    }

    /// What the header says of the checksum (virtio 5.1.6.4.2); `None` when it is nonsense.
    #[inline]
    fn csum_state(&self, hdr: VirtioNetHdr, len: usize, stats: &mut Stats) -> Option<CsumState> {
        if !self.guest_csum {
            // 5.1.6.4.1: the device must leave the flags 0; whatever it says does not count.
            return Some(CsumState::None);
        }
        if hdr.flags & F_NEEDS_CSUM != 0 {
            if !hdr.csum_fits(len) {
                stats.rx_csum_errors += 1;
                return None;
            }
            stats.rx_csum_partial += 1;
            return Some(CsumState::Partial {
                start: hdr.csum_start,
                offset: hdr.csum_offset,
            });
        }
        if hdr.flags & F_DATA_VALID != 0 {
            stats.rx_csum_valid += 1;
            return Some(CsumState::Unnecessary);
        }
        Some(CsumState::None)
    }

    /// The pool behind the queue.
    pub fn pool(&self) -> PagePool {
        self.pool.clone()
    }

    /// Takes all buffers back. The device must not be using the queue.
    pub fn reset(&mut self, stats: &mut Stats) {
        self.vq.reset(|page| {
            stats.reset_rx_buffers += 1;
            drop(page);
        });
    }
}
