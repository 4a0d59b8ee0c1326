//! From the driver's buffers to the wire.

use super::{Slot, Traffic, WINDOW_FRAMES, WINDOW_WORDS};
use crate::nic::{
    frame::{self, HDR, MIN_FRAME},
    host::{Fail, Stat, TX, TX_BUFFERS, feature},
    slots::{self, SLOT},
};
use hwmodel::{Device, WireFrame};
use rand::RngExt;

impl Traffic<'_> {
    pub(super) fn feed_transmit(&mut self) -> Result<(), Fail> {
        let most = if self.rng.random_bool(self.eager) {
            self.rng.random_range(1..20)
        } else {
            0
        };
        for _ in 0..most {
            let (Some(&len), true) = (self.load.tx.last(), self.queues[TX].ring.free() != 0) else {
                break;
            };
            // What comes back must fit into the store, like all else.
            let returning = self
                .outgoing
                .iter()
                .map(|o| o.bytes.len().div_ceil(8))
                .sum::<usize>();
            let words = self.sent_words + returning + len.max(HDR + MIN_FRAME).div_ceil(8);
            let frames = self.sent.len() + self.outgoing.len();
            if self.load.loopback && (words > WINDOW_WORDS || frames >= WINDOW_FRAMES) {
                break;
            }
            let Some(number) = self.queues[TX].free.pop() else {
                break;
            };
            self.tag = self.tag.wrapping_add(1);
            let csum = self.features & feature::CSUM != 0;
            let out = if self.load.faults && self.rng.random_bool(0.05) {
                frame::malformed(self.rng, self.max_frame)
            } else {
                self.load.tx.pop();
                frame::outgoing(self.rng, len, self.tag, self.max_frame, csum)
            };
            match &out.wire {
                Some(wire) => {
                    self.count(Stat::TxFrames, 1);
                    self.count(Stat::TxBytes, wire.len());
                    self.count(Stat::TxCsum, usize::from(out.csum));
                }
                None => self.count(Stat::TxMalformed, 1),
            }
            self.count(Stat::TxBuffers, 1);
            let slot = TX_BUFFERS.0 + SLOT * u64::from(number);
            let queue = &mut self.queues[TX];
            let most = self.most_elements.min(usize::from(queue.ring.free()));
            let elements = slots::cut(self.rng, slot, out.bytes.len() as u64, most);
            slots::scatter(&mut self.host.bus, &elements, &out.bytes);
            let (chain, _) = queue.ring.prepare(&mut self.host.bus, &elements, number, 0);
            queue.ring.publish(&mut self.host.bus, chain);
            queue.slots[number as usize] = Some(Slot {
                elements,
                capacity: out.bytes.len(),
            });
            queue.unchecked = true;
            if out.wire.is_some() {
                self.outgoing.push_back(out);
            }
            self.report.add("chains to transmit", 1);
            self.last_progress = self.host.nic.now();
            if self.rng.random_bool(0.3) {
                self.kick(TX)?;
            }
        }
        self.kick(TX)
    }

    pub(super) fn left_the_card(&mut self, wire: &WireFrame) -> Result<(), Fail> {
        let Some(due) = self.outgoing.pop_front() else {
            return Err(format!("a frame of {} bytes leaves unasked", wire.bytes.len()).into());
        };
        let len = due.bytes.len() - HDR;
        let due = due.wire.unwrap_or_default();
        if !wire.fcs_ok || wire.bytes != due {
            let differs = wire.bytes.iter().zip(&due).position(|(a, b)| a != b);
            return Err(format!(
                "{} ps: frame of {} bytes (FCS right: {}) instead of {}, first difference at {differs:?}",
                wire.at,
                wire.bytes.len(),
                wire.fcs_ok,
                due.len()
            )
            .into());
        }
        self.report.add("frames transmitted", 1);
        self.report.judged("transmitted", len);
        self.last_progress = self.host.nic.now();
        Ok(())
    }
}
