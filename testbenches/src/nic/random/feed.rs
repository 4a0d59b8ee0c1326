//! What a driver and the wire give the card; the model gets it first.

use super::{Life, score, stimulus};
use crate::{
    coverage::{Sample, classify, length_class},
    nic::host::Fail,
};
use hwmodel::{Device, WireFrame, model::feature as net};
use rand::RngExt;

/// What may be in the card and on the wire so that its receive store of 2048 words does not overflow.
const WINDOW_WORDS: usize = 1500;
const WINDOW_FRAMES: usize = 80;

impl Life<'_> {
    pub(super) fn feed_wire(&mut self) -> Result<(), Fail> {
        if self.quiet() {
            self.score.window = (0, 0); // what has not come was dropped
        }
        for _ in 0..8 {
            let (frames, words) = self.score.window;
            let full = words > WINDOW_WORDS || frames >= WINDOW_FRAMES;
            let none = self.left[0] == 0 && self.stream.is_empty();
            if none || (full && !self.plan.flood) || self.host.nic.wire_pending() > 8 {
                return Ok(());
            }
            self.tag = self.tag.wrapping_add(1);
            let frame = if let Some(segment) = self.stream.pop() {
                let frame = WireFrame::new(0, segment);
                stimulus::damage(self.rng, &self.plan, frame)
            } else {
                self.left[0] -= 1;
                if self.cutter.is_some() && self.rng.random_bool(0.2) {
                    self.begin_stream()?;
                }
                stimulus::incoming(self.rng, &self.plan, self.tag)
            };
            self.send(frame)?;
        }
        Ok(())
    }

    pub(super) fn begin_stream(&mut self) -> Result<(), Fail> {
        let chain = stimulus::stream(self.rng, &self.plan, self.tag.wrapping_add(1 << 31));
        if let Some(cutter) = &mut self.cutter {
            self.stream = cutter.transmit(0, &chain)?;
        }
        if self.rng.random_bool(0.1) && self.stream.len() > 2 {
            self.stream.swap(0, 1);
        }
        self.stream.reverse();
        Ok(())
    }

    /// A frame to the model, then to the card.
    pub(super) fn send(&mut self, frame: WireFrame) -> Result<(), Fail> {
        if let Some(delivered) = self.shadow.receive(frame.clone())? {
            let pairs = self.steering.pairs(delivered.pair);
            self.score
                .expect_incoming(&frame.bytes, pairs, delivered.header);
        }
        self.report.add("frames to the card", 1);
        self.last_progress = self.host.nic.now();
        let at = self.host.nic.now();
        self.host.nic.wire_send(WireFrame { at, ..frame });
        Ok(())
    }

    pub(super) fn feed_transmit(&mut self) -> Result<(), Fail> {
        let pairs = self.plan.pairs();
        for pair in 0..pairs {
            let most = if self.rng.random_bool(self.plan.eager) {
                self.rng.random_range(1..8)
            } else {
                0
            };
            for _ in 0..most {
                if self.left[1] == 0 || self.queues.all[2 * pair + 1].ring.free() == 0 {
                    break;
                }
                if !self.send_chain(pair)? {
                    break;
                }
            }
            self.queues.kick(self.host, 2 * pair + 1)?;
        }
        Ok(())
    }

    /// A chain to the model, then to the card; false when the driver has no room.
    pub(super) fn send_chain(&mut self, pair: usize) -> Result<bool, Fail> {
        let queue = 2 * pair + 1;
        let indirect = self.plan.has(net::RING_INDIRECT_DESC) && self.rng.random_bool(0.4);
        let bytes = stimulus::outgoing(self.rng, &self.plan, self.tag.wrapping_add(1));
        let before = self.queues.all[queue].ring.avail_position();
        let most = self.plan.elements;
        let room = (bytes.len(), &bytes[..]);
        if !self
            .queues
            .add(self.host, self.rng, queue, room, (most, indirect))
        {
            return Ok(false);
        }
        self.tag = self.tag.wrapping_add(1);
        self.left[1] -= 1;
        let places = self.queues.all[queue].ring.avail_position() - before;
        let split = match (indirect, places) {
            (true, _) => 3,
            (_, 1) => 0,
            (_, 2) => 1,
            _ => 2,
        };
        let frames = self.shadow.transmit(pair, &bytes)?;
        let body = &bytes[self.plan.header().min(bytes.len())..];
        let offload = match (bytes.first(), bytes.get(1)) {
            (_, Some(1 | 0x81)) => 2,
            (_, Some(4 | 0x84)) => 3,
            (_, Some(5)) => 4,
            (Some(flags), _) if flags & 1 != 0 => 1,
            _ => 0,
        };
        let sample = self.sample(body, 1, offload, split);
        self.report.add("chains to transmit", 1);
        self.report
            .add("chains that are dropped", frames.is_empty().into());
        self.score.expect_outgoing(pair, frames, sample);
        self.last_progress = self.host.nic.now();
        Ok(true)
    }

    pub(super) fn refill(&mut self, eager: f64) -> Result<(), Fail> {
        for queue in (0..self.queues.all.len()).step_by(2) {
            let most = if self.rng.random_bool(eager) { 8 } else { 0 };
            for _ in 0..most {
                let capacity = self.plan.capacity(self.rng);
                let indirect = self.plan.has(net::RING_INDIRECT_DESC) && self.rng.random_bool(0.3);
                let most = self.plan.elements;
                if !self.queues.add(
                    self.host,
                    self.rng,
                    queue,
                    (capacity, &[]),
                    (most, indirect),
                ) {
                    break;
                }
            }
            self.queues.kick(self.host, queue)?;
        }
        Ok(())
    }

    pub(super) fn sample(&self, frame: &[u8], direction: u8, offload: u8, split: u8) -> Sample {
        let pressure = match self.plan.pressure {
            3 if direction == 1 => 0,
            pressure => pressure,
        };
        let length = length_class(frame.len());
        let rest = [direction, offload, split, pressure, self.past];
        score::sample(classify(frame), length, rest)
    }
}
