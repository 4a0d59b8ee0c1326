//! The transmit queue.

use stack::page_pool::PagePool;
use stack::skb::{CsumState, GsoType, NET_SKB_PAD, SkBuff};
use stack::skb_checksum_help;

use crate::dma::DmaRegion;
use crate::hdr::{F_NEEDS_CSUM, GSO_NONE, HDR_BYTES, VirtioNetHdr};
use crate::stats::Stats;
use crate::transport::Doorbell;
use crate::virtqueue::{BadUsedId, Segment, Virtqueue};

/// Descriptors of the longest chain: header and data.
pub const MAX_CHAIN: u16 = 2;
/// Distance of two headers in the header area, bytes.
pub const HEADER_STRIDE: usize = 16;
const ETH_HLEN: usize = 14;

/// Transmit half of the device.
pub struct TxQueue {
    /// The ring.
    pub vq: Virtqueue<SkBuff>,
    /// Where its doorbell is.
    pub doorbell: Option<Doorbell>,
    /// Buffers that the device can reach, for the stack's packets and for copies.
    pub pool: PagePool,
    /// Buffers of the same device that arrive here when packets are forwarded or answered.
    rx_pool: PagePool,
    /// Headers of frames without headroom, one place per buffer id.
    headers: DmaRegion,
    /// VIRTIO_NET_F_CSUM.
    csum: bool,
    /// The stack was told to wait.
    pub stopped: bool,
    /// Free descriptors at which a stopped queue is woken.
    wake_at: u16,
}

impl TxQueue {
    /// `headers`: [`HEADER_STRIDE`] bytes for each descriptor of `vq`.
    pub fn new(
        vq: Virtqueue<SkBuff>,
        pool: PagePool,
        rx_pool: PagePool,
        headers: DmaRegion,
        csum: bool,
    ) -> Self {
        // Waking at the first free descriptor would stop again at once.
        let wake_at = (vq.size() / 4).clamp(MAX_CHAIN, vq.size());
        Self {
            vq,
            doorbell: None,
            pool,
            rx_pool,
            headers,
            csum,
            stopped: false,
            wake_at,
        }
    }

    /// Takes the buffers back that the device has sent; wakes the queue when there is room.
    #[inline]
    pub fn clean(&mut self, stats: &mut Stats) -> Result<(), BadUsedId> {
        while let Some(used) = self.vq.pop()? {
            stats.tx_completed += 1;
            drop(used.cookie);
        }
        if self.stopped && self.vq.num_free() >= self.wake_at {
            self.stopped = false;
            stats.tx_woken += 1;
        }
        Ok(())
    }

    /// Whether a frame of any shape can be taken now.
    #[inline]
    pub fn has_room(&self) -> bool {
        !self.stopped && self.vq.num_free() >= MAX_CHAIN
    }

    /// Makes one frame available to the device, or drops and counts it. There must be
    /// [room](Self::has_room). `max_len`: bytes with the Ethernet header.
    #[inline]
    pub fn xmit(&mut self, skb: SkBuff, max_len: usize, stats: &mut Stats) {
        if skb.gso.kind != GsoType::None {
            stats.tx_gso_errors += 1;
            return;
        }
        let len = skb.len();
        if !(ETH_HLEN..=max_len).contains(&len) {
            stats.tx_length_errors += 1;
            return;
        }
        let Some(mut skb) = self.reachable(skb, stats) else {
            return;
        };
        let Some(hdr) = self.header(&mut skb, stats) else {
            return;
        };
        let hdr = hdr.encode();

        // One descriptor for both where there is headroom (5.1.6.6: no particular framing).
        let headroom = match skb.push(HDR_BYTES) {
            Some(front) => {
                front.copy_from_slice(&hdr);
                true
            }
            None => false,
        };
        // `reachable` has seen to it that there is an address.
        let addr = skb.dma_addr().unwrap_or_default();
        let data = Segment {
            addr,
            len: skb.len() as u32,
        };
        let added = if headroom {
            self.vq.add(&[data], &[], skb)
        } else {
            stats.tx_header_desc += 1;
            let header = self.place_header(hdr);
            self.vq.add(&[header, data], &[], skb)
        };
        if added.is_ok() {
            stats.tx_packets += 1;
            stats.tx_bytes += len as u64;
        } else {
            // There was room, so the queue is broken.
            stats.tx_dead += 1;
        }
    }

    /// The packet in a buffer that this device can reach. A page of another device's pool has a
    /// bus address too, but not one that means anything here.
    #[inline]
    fn reachable(&self, skb: SkBuff, stats: &mut Stats) -> Option<SkBuff> {
        if skb.is_in(&self.pool) || skb.is_in(&self.rx_pool) {
            return Some(skb);
        }
        let copy = skb.copy_into(&self.pool, NET_SKB_PAD);
        match copy {
            Some(_) => stats.tx_bounce += 1,
            None => stats.tx_no_buffer += 1,
        }
        copy
    }

    /// The header for the packet; completes the checksum when the device cannot.
    #[inline]
    fn header(&self, skb: &mut SkBuff, stats: &mut Stats) -> Option<VirtioNetHdr> {
        let mut hdr = VirtioNetHdr {
            gso_type: GSO_NONE,
            ..VirtioNetHdr::default()
        };
        let CsumState::Partial { start, offset } = skb.csum else {
            return Some(hdr);
        };
        hdr.csum_start = start;
        hdr.csum_offset = offset;
        if !hdr.csum_fits(skb.len()) {
            stats.tx_csum_errors += 1;
            return None;
        }
        if self.csum {
            hdr.flags = F_NEEDS_CSUM;
            stats.tx_csum_offload += 1;
            return Some(hdr);
        }
        skb_checksum_help(skb);
        stats.tx_csum_software += 1;
        Some(VirtioNetHdr::default())
    }

    /// Writes a header into the place of the buffer id that is next.
    fn place_header(&mut self, hdr: [u8; HDR_BYTES]) -> Segment {
        let at = usize::from(self.vq.next_id()) * HEADER_STRIDE;
        assert!(at + HDR_BYTES <= self.headers.len());
        // SAFETY: in bounds by the assertion; the id is free, so the device does not read there.
        unsafe {
            let to = self.headers.as_ptr().as_ptr().add(at);
            to.copy_from_nonoverlapping(hdr.as_ptr(), HDR_BYTES);
        }
        Segment {
            addr: self.headers.bus_addr() + at as u64,
            len: HDR_BYTES as u32,
        }
    }

    /// Drops all frames that the device has not sent. The device must not be using the queue.
    pub fn reset(&mut self, stats: &mut Stats) {
        // What it has sent is not lost; a broken ring says nothing about it.
        let _ = self.clean(stats);
        self.vq.reset(|skb| {
            stats.reset_tx_packets += 1;
            drop(skb);
        });
        self.stopped = false;
    }
}
