//! From the wire into the driver's buffers.

use super::{Slot, Traffic, WINDOW_FRAMES, WINDOW_WORDS};
use crate::{
    inet,
    nic::{
        frame::{self, HDR, MIN_FRAME},
        host::{Fail, RX, RX_BUFFERS, Stat, feature},
        slots::{self, SLOT},
    },
    ring::Used,
};
use hwmodel::{Device, WireFrame, xgmii::Faults};
use rand::RngExt;

impl Traffic<'_> {
    pub(super) fn feed_wire(&mut self) {
        for _ in 0..8 {
            let Some(&len) = self.load.rx.last() else {
                return;
            };
            let words = len.div_ceil(8);
            let full = self.sent_words + words > WINDOW_WORDS || self.sent.len() >= WINDOW_FRAMES;
            if (full && !self.load.flood) || self.host.nic.wire_pending() > 8 {
                return;
            }
            self.load.rx.pop();
            self.tag = self.tag.wrapping_add(1);
            let bytes = frame::random(self.rng, len, self.tag);
            let longest = frame::longest(&bytes, self.max_frame);
            let most = if self.load.flood { 1 } else { 300 };
            let gap = self.rng.random_range(0..3) * self.rng.random_range(0..most);
            let mut wire = WireFrame::new(self.host.nic.now(), bytes).with_faults(Faults {
                extra_gap: gap,
                ..Faults::default()
            });
            self.report.add("frames to the card", 1);
            self.last_progress = self.host.nic.now();
            if len < MIN_FRAME {
                self.count(Stat::RxRunt, 1);
            } else if len > longest {
                self.count(Stat::RxOversize, 1);
            } else if self.load.faults && self.rng.random_bool(0.05) {
                if self.rng.random() {
                    wire = wire.bad_fcs();
                    self.count(Stat::RxBadFcs, 1);
                } else {
                    wire.faults.error_at = Some(self.rng.random_range(0..len));
                    self.count(Stat::RxError, 1);
                }
            } else {
                self.count(Stat::RxFrames, 1);
                self.count(Stat::RxBytes, len);
                self.sent_words += words;
                self.sent.push_back(wire.bytes.clone());
            }
            self.host.nic.wire_send(wire);
        }
    }

    pub(super) fn send_back(&mut self, frame: WireFrame) {
        // What may be sent without a VLAN tag can be 4 bytes too long to be received.
        if frame.bytes.len() > frame::longest(&frame.bytes, self.max_frame) {
            self.count(Stat::RxOversize, 1);
        } else {
            self.count(Stat::RxFrames, 1);
            self.count(Stat::RxBytes, frame.bytes.len());
            self.sent_words += frame.bytes.len().div_ceil(8);
            self.sent.push_back(frame.bytes.clone());
        }
        self.host
            .nic
            .wire_send(WireFrame::new(self.host.nic.now(), frame.bytes));
    }

    pub(super) fn refill(&mut self) -> Result<(), Fail> {
        // In a flood buffers come too slowly, so that the card's store overflows.
        let eager = match self.load.flood {
            _ if self.draining => 1.0,
            true => 0.05,
            false => self.eager,
        };
        let most = if self.rng.random_bool(eager) { 8 } else { 0 };
        for _ in 0..most {
            let queue = &mut self.queues[RX];
            if queue.ring.free() == 0 {
                break;
            }
            let Some(number) = queue.free.pop() else {
                break;
            };
            let slot = RX_BUFFERS.0 + SLOT * u64::from(number);
            let mut capacity = HDR + self.max_frame;
            if self.load.short_buffers && self.rng.random_bool(0.3) {
                capacity = self.rng.random_range(1..capacity);
            } else if self.rng.random() {
                capacity += self.rng.random_range(0..2000);
            }
            slots::wipe(&mut self.host.bus, slot, SLOT);
            let most = self.most_elements.min(usize::from(queue.ring.free()));
            let elements = slots::cut(self.rng, slot, capacity as u64, most);
            let (chain, _) = queue.ring.prepare(&mut self.host.bus, &elements, number, 0);
            queue.ring.publish(&mut self.host.bus, chain);
            queue.slots[number as usize] = Some(Slot { elements, capacity });
            queue.unchecked = true;
            self.last_progress = self.host.nic.now();
        }
        self.kick(RX)
    }

    pub(super) fn received(&mut self, used: Used<u32>) -> Result<(), Fail> {
        let number = used.token;
        let slot = self.queues[RX].slots[number as usize]
            .take()
            .ok_or("a slot used twice")?;
        self.queues[RX].free.push(number);
        let at = RX_BUFFERS.0 + SLOT * u64::from(number);
        let len = used.len.ok_or("a receive buffer without a length")? as usize;
        self.count(Stat::RxBuffers, 1);
        if len == 0 {
            if !self.load.short_buffers {
                return Err("a frame was truncated though all buffers are long enough".into());
            }
            self.count(Stat::RxTruncated, 1);
            let frame = self
                .sent
                .pop_front()
                .ok_or("truncated, but nothing was sent")?;
            self.sent_words = self.sent.iter().map(|f| f.len().div_ceil(8)).sum();
            if frame.len() + HDR <= slot.capacity {
                return Err(
                    format!("{} bytes, truncated to {}", frame.len(), slot.capacity).into(),
                );
            }
            return Ok(());
        }
        let bytes = slots::gather(&self.host.bus, (at, SLOT), &slot.elements, len)?;
        let Some(place) = self
            .sent
            .iter()
            .position(|f| bytes.get(HDR..) == Some(&f[..]))
        else {
            return Err(self.strange(&bytes).into());
        };
        if place != 0 && !self.load.flood {
            return Err(format!("{place} frames were left out before one of {len} bytes").into());
        }
        if self.load.flood {
            self.report.add("frames dropped in a flood", place as u64);
        }
        let frame = self.sent.drain(..=place).next_back().ok_or("no frame")?;
        self.sent_words = self.sent.iter().map(|f| f.len().div_ceil(8)).sum();
        let header = frame::rx_header(&frame, self.features & feature::GUEST_CSUM != 0);
        if bytes[..HDR] != header {
            return Err(format!(
                "header {:02x?}, expected {header:02x?}, of a frame of {} bytes, buffer of {}",
                &bytes[..HDR],
                frame.len(),
                slot.capacity
            )
            .into());
        }
        if header[0] != 0 {
            self.count(Stat::RxCsumValid, 1);
        }
        self.report.add("frames received", 1);
        self.report.judged("received", frame.len());
        Ok(())
    }

    /// Says how an unexpected frame differs from the one that was due.
    fn strange(&self, bytes: &[u8]) -> String {
        let Some(due) = self.sent.front() else {
            return format!("a frame of {} bytes that was not sent", bytes.len());
        };
        let body = bytes.get(HDR..).unwrap_or_default();
        let differs = body.iter().zip(due).position(|(a, b)| a != b);
        let summed = inet::transport_verified(due);
        format!(
            "frame of {} bytes instead of {} (checksummed: {summed}), first difference at {differs:?}",
            body.len(),
            due.len()
        )
    }
}
