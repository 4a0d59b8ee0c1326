//! The way of a received frame: wire → MAC checks → filter → checksum, hash, steering → coalescing →
//! store → buffers.

use super::{
    ModelNic,
    coalesce::RxFrame,
    csum,
    ctrl_vq::Steering,
    events::Event,
    hdr::{self, F_DATA_VALID, NetHdr},
    parse::{Packet, ether_type},
    rss::{self, Hash},
    spec::feature,
    starve::Starvation,
    stats::{Stat, mac_ctrl},
    virtqueue::{Chain, QueueError, Times, Used},
};
use crate::{
    Ps,
    xgmii::{OCTET_PS, WireFrame},
};

/// Bytes of frames that wait for buffers in one queue; a single frame always has room.
const STORE: usize = 128 << 10;
/// Bytes of FCS.
const FCS: usize = 4;
/// Shortest frame, FCS included (IEEE 802.3 4A.4.2 minFrameSize).
const MIN_FRAME: usize = 64;

/// IEEE 802.3 31.4.1.3, Annex 31A, 31B.1: EtherType of MAC control, opcode and address of PAUSE.
const MAC_CONTROL: [u8; 2] = [0x88, 0x08];
const PAUSE: [u8; 2] = [0, 1];
const PAUSE_ADDRESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x01];
/// Duration of a pause quantum, 512 bit times.
const QUANTUM: Ps = 512 / 8 * OCTET_PS;

/// What became of an attempt to hand a frame over.
enum Delivery {
    Done,
    /// There are not enough buffers.
    Wait,
}

impl ModelNic {
    /// Bytes of `struct virtio_net_hdr` (5.1.6).
    pub(super) fn hdr_len(&self) -> usize {
        if self.common.features() & feature::HASH_REPORT != 0 {
            hdr::LEN_HASH
        } else {
            hdr::LEN
        }
    }

    /// [`Event::FrameIn`]: the oldest frame on the wire has ended.
    pub(super) fn frame_in(&mut self) {
        let Some(frame) = self.wire.end_incoming(self.now) else {
            return;
        };
        if !self.stats.mac(mac_ctrl::LOOPBACK) {
            self.mac_frame(frame);
        }
    }

    /// A frame that came in at the MAC.
    pub(super) fn mac_frame(&mut self, frame: WireFrame) {
        if let Some(stat) = self.mac_drops(&frame) {
            self.stats.add(stat, 1);
            return;
        }
        self.stats.add(Stat::RxFrames, 1);
        self.stats.add(Stat::RxBytes, frame.bytes.len() as u64);
        let control = frame.bytes[12..14] == MAC_CONTROL;
        if control && self.stats.mac(mac_ctrl::RX_PAUSE) {
            return self.mac_control(&frame.bytes);
        }
        self.receive(frame.bytes);
    }

    /// 802.3 Annex 31B: a MAC control frame goes no further than here.
    fn mac_control(&mut self, bytes: &[u8]) {
        let for_us = bytes[..6] == PAUSE_ADDRESS || bytes[..6] == self.config.mac;
        if !for_us || bytes[14..16] != PAUSE {
            return self.stats.add(Stat::RxMacCtrl, 1);
        }
        self.stats.add(Stat::RxPause, 1);
        let quanta = u16::from_be_bytes([bytes[16], bytes[17]]);
        for end in self
            .wire
            .pause(self.now, self.now + QUANTUM * Ps::from(quanta))
        {
            self.events.schedule(end, Event::FrameOut);
        }
        // There may be room earlier than it seemed.
        self.schedule_tx(self.now);
    }

    /// Of the reasons to drop a frame at the MAC the first that holds.
    fn mac_drops(&self, frame: &WireFrame) -> Option<Stat> {
        let len = frame.bytes.len() + FCS;
        // 5.1.4.1: the limit is one of what is behind the Ethernet header, a VLAN tag included in that.
        let tagged = ether_type(&frame.bytes).is_some_and(|(_, vlan)| vlan.is_some());
        let longest = self.config.max_frame() + FCS - if tagged { 0 } else { 4 };
        let faults = &frame.faults;
        let missing = faults.no_terminate.then_some(len);
        let wrong = faults.error_at.filter(|at| *at < len).or(missing);
        // In the column of 8 octets in which a frame grows too long it is given up, as in the RTL: what
        // follows is not looked at.
        let damaged = faults.short_preamble > 0
            || faults.no_sfd
            || wrong.is_some_and(|at| at / 8 <= longest / 8);
        if damaged {
            Some(Stat::RxError)
        } else if len > longest {
            Some(Stat::RxOversize)
        } else if len < MIN_FRAME {
            Some(Stat::RxRunt)
        } else {
            (!frame.fcs_ok).then_some(Stat::RxBadFcs)
        }
    }

    /// A good frame.
    fn receive(&mut self, bytes: Vec<u8>) {
        let features = self.common.features();
        let vlan = ether_type(&bytes).and_then(|(_, vlan)| vlan);
        let packet = Packet::parse(&bytes, true);
        let hash = self.hash(&bytes, packet.as_ref(), features);
        if !self.control.accepts(features, &bytes, vlan) {
            return self.stats.add(Stat::RxFiltered, 1);
        }
        let Some(queue) = self.steer(&bytes, packet.as_ref(), hash) else {
            return self.stats.add(Stat::RxDisabled, 1);
        };
        let verified = features & feature::GUEST_CSUM != 0
            && packet
                .as_ref()
                .is_some_and(|packet| csum::packet_verified(&bytes, packet));
        let mut hdr = NetHdr {
            flags: if verified { F_DATA_VALID } else { 0 },
            ..NetHdr::default()
        };
        if let Some(hash) = hash.filter(|_| features & feature::HASH_REPORT != 0) {
            (hdr.hash_value, hdr.hash_report) = (hash.value, hash.report);
        }
        let tso = match packet {
            Some(Packet { ipv6: true, .. }) => feature::GUEST_TSO6,
            _ => feature::GUEST_TSO4,
        };
        let wanted = verified && features & tso != 0;
        let frame = RxFrame {
            bytes,
            hdr,
            segments: 1,
        };
        let mut ready = Vec::new();
        let rx = &mut self.queues[usize::from(queue)].rx;
        let before = rx.coalescer.deadline();
        rx.coalescer
            .push(self.now, frame, packet.as_ref(), wanted, &mut ready);
        let deadline = rx.coalescer.deadline();
        if let Some(at) = deadline.filter(|_| deadline != before) {
            self.events.schedule(at, Event::Expire(queue));
        }
        self.store(queue, ready);
    }

    /// The hash of a packet, if the driver asked for one (5.1.6.4.3).
    fn hash(&self, frame: &[u8], packet: Option<&Packet>, features: u64) -> Option<Hash> {
        let types = self.control.hash_types;
        if features & (feature::RSS | feature::HASH_REPORT) == 0 || types == 0 {
            return None;
        }
        rss::hash(frame, packet?, &self.control.key, types)
    }

    /// The receive queue of a frame; `None` when it is not at work.
    fn steer(&self, frame: &[u8], packet: Option<&Packet>, hash: Option<Hash>) -> Option<u16> {
        let live = |pair: &u16| {
            let queue = self.queues.get(usize::from(2 * pair));
            queue.is_some_and(|queue| queue.vq.is_some())
        };
        let pair = match &self.control.steering {
            // 5.1.6.5.7.1: a queue in reset loses its packets.
            Steering::Rss {
                table,
                unclassified,
            } => hash
                .and_then(|hash| table.get(hash.value as usize & (table.len() - 1)))
                .copied()
                .or(Some(*unclassified))
                .filter(live),
            // 5.1.6.5.6.2: here another queue takes them.
            Steering::Automatic { pairs } => {
                let chosen = match packet {
                    Some(packet) if *pairs > 1 => self.flows.pair(frame, packet, *pairs),
                    _ => 0,
                };
                Some(chosen).filter(live).or((0..*pairs).find(live))
            }
        };
        pair.map(|pair| 2 * pair)
    }

    /// Frames leave the coalescer: from here on each counts as one, whatever becomes of it.
    pub(super) fn count_merged(&mut self, frames: &[RxFrame]) {
        for frame in frames.iter().filter(|frame| frame.segments > 1) {
            self.stats.add(Stat::RxCoalesced, frame.segments.into());
            self.stats.add(Stat::RxLroFrames, 1);
        }
    }

    /// Frames wait for buffers.
    pub(super) fn store(&mut self, queue: u16, frames: Vec<RxFrame>) {
        if frames.is_empty() {
            return;
        }
        self.count_merged(&frames);
        let rx = &mut self.queues[usize::from(queue)].rx;
        for frame in frames {
            let len = frame.bytes.len();
            if !rx.store.is_empty() && rx.bytes + len > STORE {
                self.stats.add(Stat::RxNoSpace, 1);
                continue;
            }
            rx.bytes += len;
            rx.store.push_back(frame);
        }
        self.schedule_delivery(queue, self.now + self.config.dma_write_latency);
    }

    /// The store of a queue is to be looked at.
    pub(super) fn schedule_delivery(&mut self, queue: u16, at: Ps) {
        let rx = &mut self.queues[usize::from(queue)].rx;
        if !rx.scheduled {
            rx.scheduled = true;
            self.events.schedule(at, Event::RxDeliver(queue));
        }
    }

    /// [`Event::Expire`].
    pub(super) fn expire(&mut self, queue: u16) {
        let mut ready = Vec::new();
        let coalescer = &mut self.queues[usize::from(queue)].rx.coalescer;
        coalescer.expire(self.now, &mut ready);
        if let Some(at) = coalescer.deadline() {
            self.events.schedule(at, Event::Expire(queue));
        }
        self.store(queue, ready);
    }

    /// [`Event::RxDeliver`]: hands frames over while there are buffers.
    pub(super) fn deliver(&mut self, queue: u16) {
        self.queues[usize::from(queue)].rx.scheduled = false;
        loop {
            match self.deliver_one(queue) {
                Ok(Delivery::Done) => {
                    self.queues[usize::from(queue)].rx.starvation = Starvation::default();
                    self.announce(queue, 1);
                }
                Ok(Delivery::Wait) => return self.wait_for_buffers(queue),
                Err(error) => return self.queue_failed(queue, error),
            }
        }
    }

    fn deliver_one(&mut self, queue: u16) -> Result<Delivery, QueueError> {
        let (reading, writing) = (self.read_done(), self.write_done());
        let hdr_len = self.hdr_len();
        let mergeable = self.common.features() & feature::MRG_RXBUF != 0;
        let entry = &mut self.queues[usize::from(queue)];
        let (rx, Some(vq)) = (&mut entry.rx, &mut entry.vq) else {
            return Ok(Delivery::Wait);
        };
        let Some(frame) = rx.store.front() else {
            return Ok(Delivery::Wait);
        };
        let wanted = (hdr_len + frame.bytes.len()) as u64;
        let capacity = |held: &[Chain]| held.iter().map(|chain| chain.len(true)).sum::<u64>();
        let places = |held: &[Chain]| held.iter().map(|c| u32::from(c.ndesc)).sum::<u32>();
        while capacity(&rx.held) < wanted && (rx.held.is_empty() || mergeable) {
            // The whole ring is here and does not suffice.
            if places(&rx.held) >= vq.size().into() {
                break;
            }
            let mut chain = Chain::default();
            let mut taken = vq.take(&mut self.dma, reading, &mut chain)?;
            if !taken {
                vq.arm(&mut self.dma, writing)?;
                taken = vq.take(&mut self.dma, reading, &mut chain)?;
            }
            if !taken {
                return Ok(Delivery::Wait);
            }
            rx.held.push(chain);
        }
        let Some(frame) = rx.store.pop_front() else {
            return Ok(Delivery::Wait);
        };
        rx.bytes -= frame.bytes.len();
        let chains = std::mem::take(&mut rx.held);
        let used = |chain: &Chain, len: u64| Used {
            id: chain.id,
            len: len as u32,
            ndesc: chain.ndesc,
        };
        if capacity(&chains) < wanted {
            let all: Vec<Used> = chains.iter().map(|chain| used(chain, 0)).collect();
            vq.put_used(&mut self.dma, writing, &all)?;
            self.stats.add(Stat::RxTruncated, 1);
            self.stats.add(Stat::RxBuffers, all.len() as u64);
            return Ok(Delivery::Done);
        }
        let all: Vec<Used> = chains
            .iter()
            .scan(wanted, |rest, chain| {
                let len = chain.len(true).min(*rest);
                *rest -= len;
                Some(used(chain, len))
            })
            .collect();
        let mut hdr = frame.hdr;
        hdr.num_buffers = chains.len() as u16;
        let parts = [&hdr.encode()[..hdr_len], &frame.bytes];
        self.scatter(&chains, parts, writing)?;
        // Borrowed anew: scatter() needs all of the device.
        if let Some(vq) = &mut self.queues[usize::from(queue)].vq {
            vq.put_used(&mut self.dma, writing, &all)?;
        }
        self.stats.add(Stat::RxBuffers, all.len() as u64);
        if hdr.flags & F_DATA_VALID != 0 {
            self.stats.add(Stat::RxCsumValid, 1);
        }
        Ok(Delivery::Done)
    }

    /// Writes `parts`, one behind the other, over the buffers of `chains`.
    fn scatter(
        &mut self,
        chains: &[Chain],
        parts: [&[u8]; 2],
        times: Times,
    ) -> Result<(), QueueError> {
        let slot = times.of(super::dma::id::RX_DATA);
        let mut segments = chains.iter().flat_map(|chain| &chain.segments);
        let (mut addr, mut room) = (0u64, 0usize);
        for mut part in parts {
            while !part.is_empty() {
                if room == 0 {
                    let Some(segment) = segments.next() else {
                        return Ok(());
                    };
                    (addr, room) = (segment.addr, segment.len as usize);
                    continue;
                }
                let (now, later) = part.split_at(part.len().min(room));
                self.dma.write(slot, addr, now)?;
                addr = addr.wrapping_add(now.len() as u64);
                room -= now.len();
                part = later;
            }
        }
        Ok(())
    }
}
