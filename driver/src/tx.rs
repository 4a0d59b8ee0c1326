//! The transmit queue.

use std::rc::Rc;

use stack::netdev::NetFeatures;
use stack::page_pool::PagePool;
use stack::skb::{CsumState, GsoType, MAX_SKB_FRAGS, NET_SKB_PAD, SkBuff};
use stack::skb_checksum_help;

use crate::dma::DmaRegion;
use crate::features::Feature;
use crate::gso::{self, MAX_GSO_FRAME};
use crate::hdr::{F_NEEDS_CSUM, HDR_BYTES, VirtioNetHdr};
use crate::stats::Stats;
use crate::transport::Doorbell;
use crate::virtqueue::{BadUsedId, Segment, Virtqueue};

/// Descriptors of the longest chain of a frame in one piece: header and data.
pub const MAX_CHAIN: u16 = 2;
/// Descriptors of the longest chain of all (`2 + MAX_SKB_FRAGS`).
const MAX_SG_CHAIN: usize = MAX_CHAIN as usize + MAX_SKB_FRAGS;
/// Bytes of a transmit buffer with segmentation by the device: a packet of 64 KiB fits as many of them
/// as it may have pieces.
pub const GSO_BUFFER: usize = 4096;
/// Distance of two headers in the header area, bytes.
pub const HEADER_STRIDE: usize = 16;
const ETH_HLEN: usize = 14;

/// Transmit half of the device.
pub struct TxQueue {
    /// The ring.
    pub vq: Virtqueue<SkBuff>,
    /// Where its doorbell is.
    pub doorbell: Option<Doorbell>,
    /// Buffers that the device can reach: first those for the stack's packets and for copies, then the
    /// receive queues', which arrive here when packets are forwarded or answered.
    pools: Rc<[PagePool]>,
    /// Headers of frames without headroom, one place per buffer id.
    headers: DmaRegion,
    /// What is left to the device.
    offloads: NetFeatures,
    /// The stack was told to wait.
    pub stopped: bool,
    /// Free descriptors at which a stopped queue is woken.
    wake_at: u16,
    /// Descriptors that the frame needs which stopped the queue.
    wanted: u16,
}

impl TxQueue {
    /// `pools`: all of this device's, the transmit pool first. `headers`: [`HEADER_STRIDE`] bytes for each descriptor of `vq`.
    pub fn new(
        vq: Virtqueue<SkBuff>,
        pools: Rc<[PagePool]>,
        headers: DmaRegion,
        features: Feature,
    ) -> Self {
        // Waking at the first free descriptor would stop again at once.
        let wake_at = (vq.size() / 4).clamp(MAX_CHAIN, vq.size());
        let sg = usize::from(vq.size()) >= MAX_SG_CHAIN;
        Self {
            vq,
            doorbell: None,
            pools,
            headers,
            offloads: gso::net_features(features, sg),
            stopped: false,
            wake_at,
            wanted: 0,
        }
    }

    /// What the stack may leave to the queue. NETIF_F_SG: the ring takes frames in as many pieces as
    /// the stack makes.
    pub fn offloads(&self) -> NetFeatures {
        self.offloads
    }

    /// Buffers for the stack's packets.
    pub fn pool(&self) -> &PagePool {
        &self.pools[0]
    }

    /// Stops the queue until there is room for `skb`.
    pub fn stop(&mut self, skb: &SkBuff) {
        self.stopped = true;
        self.wanted = self.needed(skb);
    }

    /// Most descriptors that the frame can need: with a header of its own if there is no headroom.
    #[inline]
    fn needed(&self, skb: &SkBuff) -> u16 {
        // What is in more pieces than the device takes is copied into fewer.
        let frags = if self.offloads.sg {
            skb.nr_frags().min(MAX_SKB_FRAGS)
        } else {
            0
        };
        MAX_CHAIN + frags as u16
    }

    /// Takes the buffers back that the device has sent; wakes the queue when there is room.
    #[inline]
    pub fn clean(&mut self, stats: &mut Stats) -> Result<(), BadUsedId> {
        while let Some(used) = self.vq.pop()? {
            stats.tx_completed += 1;
            drop(used.cookie);
        }
        if self.stopped && self.vq.num_free() >= self.wake_at.max(self.wanted) {
            self.stopped = false;
            self.wanted = 0;
            stats.tx_woken += 1;
        }
        Ok(())
    }

    /// Whether `skb` can be taken now.
    #[inline]
    pub fn has_room_for(&self, skb: &SkBuff) -> bool {
        !self.stopped && self.vq.num_free() >= self.needed(skb)
    }

    /// Makes one frame available to the device, or drops and counts it. There must be
    /// [room](Self::has_room_for). `max_len`: bytes with the Ethernet header.
    #[inline]
    pub fn xmit(&mut self, skb: SkBuff, max_len: usize, stats: &mut Stats) {
        let len = skb.len();
        let gso = skb.gso.kind != GsoType::None;
        let longest = if gso { MAX_GSO_FRAME } else { max_len };
        if !(ETH_HLEN..=longest).contains(&len) {
            stats.tx_length_errors += 1;
            return;
        }
        let Some(mut skb) = self.reachable(skb, stats) else {
            return;
        };
        let hdr = if gso {
            self.gso_header(&skb, max_len, stats)
        } else {
            self.header(&mut skb, stats)
        };
        let Some(hdr) = hdr.map(VirtioNetHdr::encode) else {
            return;
        };

        // One descriptor for both where there is headroom (5.1.6.6: no particular framing).
        // A buffer that others read too is left alone: writing to it would copy it.
        let mut chain = [Segment { addr: 0, len: 0 }; MAX_SG_CHAIN];
        let mut used = 0;
        let front = if skb.is_cloned() {
            None
        } else {
            skb.push(HDR_BYTES)
        };
        if let Some(front) = front {
            front.copy_from_slice(&hdr);
        } else {
            stats.tx_header_desc += 1;
            chain[0] = self.place_header(hdr);
            used = 1;
        }
        // `reachable` has seen to it that each piece has an address, and that they are not too many.
        for (place, piece) in chain[used..].iter_mut().zip(skb.dma_segments().flatten()) {
            *place = Segment {
                addr: piece.addr,
                len: piece.len as u32,
            };
            used += 1;
        }
        let pieces = skb.nr_frags();
        if self.vq.add(&chain[..used], &[], skb).is_ok() {
            stats.tx_sg += u64::from(pieces > 0);
            stats.tx_gso += u64::from(gso);
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
        let sg = self.offloads.sg;
        let few = skb.nr_frags() <= if sg { MAX_SKB_FRAGS } else { 0 };
        if few && skb.is_in_any(&self.pools) {
            return Some(skb);
        }
        let copy = if sg {
            skb.copy_into_pages(self.pool(), NET_SKB_PAD)
        } else {
            skb.copy_into(self.pool(), NET_SKB_PAD)
        };
        match copy {
            Some(_) => stats.tx_bounce += 1,
            None => stats.tx_no_buffer += 1,
        }
        copy
    }

    /// The header for the packet; completes the checksum when the device cannot.
    #[inline]
    fn header(&self, skb: &mut SkBuff, stats: &mut Stats) -> Option<VirtioNetHdr> {
        let mut hdr = VirtioNetHdr::default();
        let CsumState::Partial { start, offset } = skb.csum else {
            return Some(hdr);
        };
        hdr.csum_start = start;
        hdr.csum_offset = offset;
        if !hdr.csum_fits(skb.len()) {
            stats.tx_csum_errors += 1;
            return None;
        }
        if self.offloads.hw_csum {
            hdr.flags = F_NEEDS_CSUM;
            stats.tx_csum_offload += 1;
            return Some(hdr);
        }
        skb_checksum_help(skb);
        stats.tx_csum_software += 1;
        Some(VirtioNetHdr::default())
    }

    /// The header for a packet that the device segments. `max_len`: bytes of a segment at most.
    fn gso_header(&self, skb: &SkBuff, max_len: usize, stats: &mut Stats) -> Option<VirtioNetHdr> {
        let hdr = gso::from_skb(skb).filter(|_| self.offloads.gso_ok(skb.gso));
        let Some((hdr, longest)) = hdr else {
            stats.tx_gso_errors += 1;
            return None;
        };
        if !hdr.csum_fits(skb.len()) {
            stats.tx_csum_errors += 1;
            return None;
        }
        if longest > max_len {
            stats.tx_length_errors += 1;
            return None;
        }
        stats.tx_csum_offload += 1;
        Some(hdr)
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
        self.wanted = 0;
    }
}
