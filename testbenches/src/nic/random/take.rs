//! What comes out of the card, into the driver's buffers and onto the wire.

use super::Life;
use crate::nic::host::{Fail, Host};
use hwmodel::{Device, Ps, Stop, model::Stat};

impl Life<'_> {
    pub(super) fn poll_all(&mut self, all: bool) -> Result<(), Fail> {
        for index in 0..self.queues.all.len() {
            if all || self.queues.awake(self.host, self.rng, index)? {
                self.poll(index)?;
            }
        }
        Ok(())
    }

    pub(super) fn poll(&mut self, index: usize) -> Result<(), Fail> {
        let taken = self.queues.take(self.host, index)?;
        if taken.is_empty() {
            self.queues.arm(self.host, self.rng, index);
            return Ok(());
        }
        self.last_progress = self.host.nic.now();
        if index % 2 == 1 {
            for used in taken {
                self.queues.release(1, used.token)?;
            }
            return Ok(());
        }
        let mut rest = &taken[..];
        while let Some((first, others)) = rest.split_first() {
            self.score.count(Stat::RxBuffers, 1);
            let (mut bytes, buffer) = self.queues.content(self.host, first)?;
            rest = others;
            if bytes.is_empty() {
                self.score.empty += 1;
                continue;
            }
            if bytes.len() < self.plan.header() {
                return Err(format!("{} bytes, less than a header", bytes.len()).into());
            }
            let buffers = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
            if buffers == 0 || buffers - 1 > rest.len() {
                return Err(format!(
                    "num_buffers is {buffers}, {} buffers came together",
                    rest.len() + 1
                )
                .into());
            }
            let elements = buffer.elements.len();
            let mut full = bytes.len() == buffer.capacity;
            for used in &rest[..buffers - 1] {
                // 5.1.6.4.1: all but the last are full.
                if !full {
                    return Err("a buffer that is not full, and another behind it".into());
                }
                let (more, buffer) = self.queues.content(self.host, used)?;
                full = more.len() == buffer.capacity;
                bytes.extend(more);
            }
            self.score.count(Stat::RxBuffers, buffers as u64 - 1);
            rest = &rest[buffers - 1..];
            let split = match (buffers, buffer.indirect, elements) {
                (1, true, _) => 3,
                (1, _, 1) => 0,
                (1, _, 2) => 1,
                (1, ..) => 2,
                (_, _, 1) => 4,
                _ => 5,
            };
            self.received(index / 2, bytes, split)?;
        }
        Ok(())
    }

    pub(super) fn received(
        &mut self,
        pair: usize,
        mut bytes: Vec<u8>,
        split: u8,
    ) -> Result<(), Fail> {
        let frame = bytes.split_off(self.plan.header());
        let mut header = bytes;
        header[10..12].copy_from_slice(&[1, 0]);
        let frames = self
            .score
            .received(pair, &header, &frame, &mut self.cutter)?;
        let offload = match (header[1], header.get(16..18), header[0]) {
            (1.., ..) => 6,
            (_, Some(report), _) if report != [0, 0] => 5,
            (_, _, 1..) => 1,
            _ => 0,
        };
        let sample = self.sample(&frame, 0, offload, split);
        self.coverage.hit(sample);
        self.report.add("frames received", frames);
        self.report
            .add("super-frames received", (frames > 1).into());
        Ok(())
    }

    pub(super) fn advance(&mut self, until: Ps) -> Result<(), Fail> {
        loop {
            match self.host.nic.run_until(until)? {
                Stop::Time => return Ok(()),
                Stop::Msix => {
                    if let Some(message) = self.host.nic.take_msix() {
                        self.report.add("interrupts", 1);
                        match Host::vector(&message)? {
                            0 => return Err("configuration interrupt".into()),
                            vector if vector > self.queues.all.len() => {} // the control queue's
                            vector => self.queues.interrupt(vector - 1)?,
                        }
                    }
                }
                Stop::WireTx => {
                    if let Some(frame) = self.host.nic.take_wire() {
                        if !frame.fcs_ok {
                            return Err("a frame leaves with a wrong FCS".into());
                        }
                        self.last_progress = self.host.nic.now();
                        self.report.add("frames transmitted", 1);
                        let sample = self.score.left_the_card(&frame.bytes)?;
                        if let Some(sample) = sample {
                            self.coverage.hit(sample);
                        }
                        self.host.nic.recycle(frame.bytes);
                    }
                }
            }
        }
    }
}
