//! The way of a frame to be sent: chains → header → checksum or segmentation → wire.
//!
//! Queues take turns, a chain each. What has been read and not sent is bounded by [`STORE`], so that
//! a ring does not drain faster than the wire.

use super::{
    ModelNic, csum,
    ctrl_vq::Steering,
    dma::id,
    events::Event,
    hdr::{F_NEEDS_CSUM, NetHdr, gso},
    parse::Packet,
    spec::feature,
    stats::{Stat, mac_ctrl},
    tso,
    virtqueue::{Chain, Direction, QueueError, Times, Used},
    wire,
};
use crate::{CYCLE_PS, Ps};

/// Bytes that may have been read from memory and not yet sent.
const STORE: u64 = 16 << 10;
/// The scheduler's time for a chain: less than the shortest frame takes on the wire.
const CHAIN_TIME: Ps = 4 * CYCLE_PS;
/// Bytes of an Ethernet header.
const ETH_HLEN: usize = 14;

impl ModelNic {
    /// The scheduler is to look at the queues at `at` or before.
    pub(super) fn schedule_tx(&mut self, at: Ps) {
        let at = at.max(self.now);
        if self.tx_poll.is_none_or(|polled| polled > at) {
            self.tx_poll = Some(self.events.schedule(at, Event::TxPoll));
        }
    }

    /// [`Event::TxPoll`]: takes one chain of the next queue that has one.
    pub(super) fn tx_event(&mut self) {
        // A poll that was moved to an earlier time leaves an event behind.
        if self.tx_poll != Some(self.now) {
            return;
        }
        self.tx_poll = None;
        let room_at = self.wire.free_at().saturating_sub(wire::octets(STORE));
        if room_at > self.now {
            return self.schedule_tx(room_at);
        }
        let count = self.queues.len();
        let mut soonest: Option<Ps> = None;
        for turn in 0..count {
            let queue = (self.tx_next + turn) % count;
            match self.queues[queue].tx.ready {
                Some(at) if at <= self.now => {
                    let number = queue as u16;
                    match self.tx_chain(number) {
                        Ok(true) => {
                            self.tx_next = (queue + 1) % count;
                            return self.schedule_tx(self.now + CHAIN_TIME);
                        }
                        Ok(false) => self.queues[queue].tx.ready = None,
                        Err(error) => self.queue_failed(number, error),
                    }
                }
                Some(at) => soonest = Some(soonest.map_or(at, |s| s.min(at))),
                None => {}
            }
        }
        if let Some(at) = soonest {
            self.schedule_tx(at);
        }
    }

    /// Takes a chain and sends what it says. False when there is none: the driver will ring.
    fn tx_chain(&mut self, queue: u16) -> Result<bool, QueueError> {
        let (reading, writing) = (self.read_done(), self.write_done());
        let mut chain = std::mem::take(&mut self.tx_scratch);
        let result = match &mut self.queues[usize::from(queue)].vq {
            None => Ok(false),
            Some(vq) => match vq.take(&mut self.dma, reading, &mut chain) {
                Ok(false) => vq
                    .arm(&mut self.dma, writing)
                    .and_then(|()| vq.take(&mut self.dma, reading, &mut chain)),
                taken => taken,
            },
        };
        let result = match result {
            Ok(true) => self.tx_data(queue, &chain).map(|()| true),
            other => other,
        };
        self.tx_scratch = chain;
        result
    }

    /// Reads a chain's data; it is used when that has come.
    fn tx_data(&mut self, queue: u16, chain: &Chain) -> Result<(), QueueError> {
        let done = self.now + self.config.dma_read_latency;
        let hdr_len = self.hdr_len();
        let len = usize::try_from(chain.len(false)).unwrap_or(usize::MAX);
        let legal = hdr_len + ETH_HLEN..=hdr_len + tso::MAX_FRAME;
        if legal.contains(&len) {
            let mut bytes = vec![0; len];
            self.gather(chain, &mut bytes, done)?;
            self.tx_frame(queue, bytes, hdr_len, done);
        } else {
            self.stats.add(Stat::TxMalformed, 1);
        }
        let used = Used {
            id: chain.id,
            len: 0,
            ndesc: chain.ndesc,
        };
        let reading = &mut self.queues[usize::from(queue)].tx.reading;
        reading.push_back((done, used));
        self.events.schedule(done, Event::TxDone(queue));
        Ok(())
    }

    fn gather(&mut self, chain: &Chain, to: &mut [u8], done: Ps) -> Result<(), QueueError> {
        let times = Times {
            start: self.now,
            end: done,
        };
        let mut rest = to;
        for segment in &chain.segments {
            let (part, later) = rest.split_at_mut(rest.len().min(segment.len as usize));
            self.dma.read(times.of(id::TX_DATA), segment.addr, part)?;
            rest = later;
        }
        Ok(())
    }

    /// Sends what stands in `bytes` behind a header, not before `ready`. What is illegal is dropped
    /// and counted, and the queue goes on.
    fn tx_frame(&mut self, queue: u16, mut bytes: Vec<u8>, hdr_len: usize, ready: Ps) {
        let Some(hdr) = bytes.first_chunk().map(NetHdr::decode) else {
            return;
        };
        bytes.drain(..hdr_len);
        self.learn(queue, &bytes);
        let features = self.common.features();
        let max_frame = self.config.max_frame();
        if hdr.gso_type != gso::NONE {
            let mut frames = Vec::new();
            match tso::segment(&bytes, &hdr, features, max_frame, |frame| {
                frames.push(frame)
            }) {
                Ok(count) => {
                    self.stats.add(Stat::TxGso, 1);
                    self.stats.add(Stat::TxSegments, count);
                    self.stats.add(Stat::TxCsum, count);
                }
                Err(_) => self.stats.add(Stat::TxMalformed, 1),
            }
            for frame in frames {
                self.send(frame, ready);
            }
            return;
        }
        let needs_csum = hdr.flags & F_NEEDS_CSUM != 0;
        let (start, offset) = (hdr.csum_start.into(), hdr.csum_offset.into());
        let legal = bytes.len() <= max_frame
            && (!needs_csum
                || features & feature::CSUM != 0 && csum::insert(&mut bytes, start, offset));
        if !legal {
            return self.stats.add(Stat::TxMalformed, 1);
        }
        if needs_csum {
            self.stats.add(Stat::TxCsum, 1);
        }
        self.send(bytes, ready);
    }

    /// 5.1.6.5.6: the flow's answers are to come in through the same pair.
    fn learn(&mut self, queue: u16, frame: &[u8]) {
        if !matches!(self.control.steering, Steering::Automatic { pairs: 2.. }) {
            return;
        }
        if let Some(packet) = Packet::parse(frame, false) {
            self.flows.learn(frame, &packet, queue / 2);
        }
    }

    /// Puts a frame on the wire behind those that are there.
    fn send(&mut self, frame: Vec<u8>, ready: Ps) {
        let end = self.wire.send(frame, ready);
        self.events.schedule(end, Event::FrameOut);
    }

    /// [`Event::FrameOut`].
    pub(super) fn frame_out(&mut self) {
        while let Some(frame) = self.wire.end_outgoing(self.now) {
            self.stats.add(Stat::TxFrames, 1);
            self.stats.add(Stat::TxBytes, frame.bytes.len() as u64);
            if self.stats.mac(mac_ctrl::LOOPBACK) {
                self.mac_frame(frame);
                continue;
            }
            self.dma.counters.wire_out += 1;
            self.frames.push_back(frame);
        }
    }

    /// [`Event::TxDone`]: chains whose data has come are the driver's again.
    pub(super) fn tx_done(&mut self, queue: u16) {
        let writing = self.write_done();
        let entry = &mut self.queues[usize::from(queue)];
        let Some(vq) = &mut entry.vq else { return };
        let due = |(at, _): &&(Ps, Used)| at.next_multiple_of(CYCLE_PS) <= self.now;
        let mut packets = 0;
        while let Some(&(_, used)) = entry.tx.reading.front().filter(due) {
            entry.tx.reading.pop_front();
            packets += 1;
            if let Err(error) = vq.put_used(&mut self.dma, writing, &[used]) {
                return self.queue_failed(queue, error);
            }
        }
        if packets > 0 {
            self.stats.add(Stat::TxBuffers, packets.into());
            self.announce(queue, packets);
        }
    }

    /// [`Event::Control`]: one command of the control queue (5.1.6.5).
    pub(super) fn control_event(&mut self) {
        let control = (0..self.queues.len() as u16)
            .find(|queue| self.direction(*queue) == Some(Direction::Control));
        let Some(queue) = control else { return };
        match self.control_chain(queue) {
            Ok(true) => {
                self.announce(queue, 1);
                self.events.schedule(self.now + CHAIN_TIME, Event::Control);
            }
            Ok(false) => {}
            Err(error) => self.queue_failed(queue, error),
        }
    }
}
