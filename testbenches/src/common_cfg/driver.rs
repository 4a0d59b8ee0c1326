//! What the driver does: what it should, in accesses of all sizes, and much that it should not.

use super::{
    Bench,
    registers::{BYTES, MAX_QUEUE_SIZE, NO_VECTOR, feature, field, status},
};
use crate::{Error, bundle::Access};
use rand::{RngExt, seq::IndexedRandom};

impl Bench {
    /// From the first status to a reset of the device.
    pub fn session(&mut self) -> Result<(), Error> {
        for _ in 0..self.rng.random_range(0..30) {
            self.noise()?;
        }
        self.set_up()?;
        for _ in 0..6 {
            for _ in 0..self.rng.random_range(0..20) {
                self.noise()?;
            }
            self.look(20)?;
            if self.rng.random_bool(0.6) {
                self.reset_queues()?;
            }
        }
        self.reset_device()
    }

    /// 3.1.1: acknowledge, negotiate, set queues up, go.
    fn set_up(&mut self) -> Result<(), Error> {
        let mut status = status::ACKNOWLEDGE;
        self.put(field::STATUS, 1, status.into())?;
        status |= status::DRIVER;
        self.put(field::STATUS, 1, status.into())?;
        let base = feature::VERSION_1 | feature::RING_PACKED | feature::RING_RESET;
        let wanted = self.registers.offered
            & match self.rng.random_range(0..8) {
                0 => self.rng.random(),
                1 => base,
                2 => base | self.rng.random::<u64>(),
                _ => feature::completed(base | self.rng.random::<u64>()),
            };
        // Now and then one that is not there.
        let stray = if self.rng.random_bool(0.1) {
            self.rng.random()
        } else {
            0
        };
        let chosen = wanted | (stray & !self.registers.offered);
        for (select, half) in [(0, chosen), (1, chosen >> 32), (2, self.rng.random())] {
            self.put(field::DRIVER_FEATURE_SELECT, 4, select)?;
            self.put(field::DRIVER_FEATURE, 4, half & 0xffff_ffff)?;
            self.put(field::DEVICE_FEATURE_SELECT, 4, select)?;
            self.cycle(Access::Read(field::DEVICE_FEATURE))?;
            self.cycle(Access::Read(field::DRIVER_FEATURE))?;
        }
        status |= status::FEATURES_OK;
        self.put(field::STATUS, 1, status.into())?;
        let accepted = self.registers.has(status::FEATURES_OK);
        self.report.add("features accepted", accepted.into());
        self.report.add("features refused", (!accepted).into());
        for number in 0..self.rng.random_range(1..8) {
            self.set_up_queue(number)?;
        }
        status |= status::DRIVER_OK;
        self.put(field::STATUS, 1, status.into())
    }

    fn set_up_queue(&mut self, number: u64) -> Result<(), Error> {
        self.put(field::QUEUE_SELECT, 2, number)?;
        if self.selected_in_reset() {
            return Ok(());
        }
        let size = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(0..=0xffff),
            1 => *[0, u64::from(MAX_QUEUE_SIZE) + 1, 0x8000]
                .choose(&mut self.rng)
                .unwrap_or(&0),
            _ => self.rng.random_range(1..=u64::from(MAX_QUEUE_SIZE)),
        };
        self.put(field::QUEUE_SIZE, 2, size)?;
        let vector = self.vector();
        self.put(field::QUEUE_VECTOR, 2, vector)?;
        for area in [field::QUEUE_DESC, field::QUEUE_DRIVER, field::QUEUE_DEVICE] {
            let addr: u64 = self.rng.random();
            let mut halves = [(area, addr & 0xffff_ffff), (area + 4, addr >> 32)];
            if self.rng.random() {
                halves.reverse();
            }
            for (at, half) in halves {
                self.put(at, 4, half)?;
            }
        }
        self.put(field::QUEUE_ENABLE, 2, 1)
    }

    fn vector(&mut self) -> u64 {
        match self.rng.random_range(0..8) {
            0 => NO_VECTOR.into(),
            1 => self.rng.random_range(0..=0xffff),
            _ => self.rng.random_range(0..=u64::from(self.registers.vectors)),
        }
    }

    /// Some queues at once, as far as they are enabled; to the end, and they are set up again.
    fn reset_queues(&mut self) -> Result<(), Error> {
        if !self.registers.negotiated(feature::RING_RESET) {
            return Ok(());
        }
        let numbers: Vec<u64> = (0..6).filter(|_| self.rng.random_bool(0.3)).collect();
        for number in &numbers {
            self.put(field::QUEUE_SELECT, 2, *number)?;
            if !self.selected_in_reset() {
                self.put(field::QUEUE_RESET, 2, 1)?;
            }
        }
        // A reset of the device may come in between.
        if self.rng.random_bool(0.1) {
            return Ok(());
        }
        self.calm = self.rng.random_bool(0.7);
        for number in &numbers {
            self.put(field::QUEUE_SELECT, 2, *number)?;
            while self.selected_in_reset() && !self.registers.resetting {
                self.cycle(Access::Look(field::QUEUE_RESET & !3))?;
                self.calm |= self.rng.random_bool(0.005);
            }
            self.look(5)?;
            if self.rng.random() {
                self.set_up_queue(*number)?;
            }
        }
        self.calm = false;
        Ok(())
    }

    fn reset_device(&mut self) -> Result<(), Error> {
        self.put(field::STATUS, 1, 0)?;
        self.calm = self.rng.random_bool(0.7);
        while self.registers.resetting {
            // Who reads only waits; one that writes finds nothing of it.
            if self.rng.random_bool(0.1) {
                self.noise()?;
            } else {
                self.cycle(Access::Read(field::STATUS))?;
            }
            self.calm |= self.rng.random_bool(0.005);
        }
        self.calm = false;
        self.look(40)
    }

    /// Reads anything, of other regions too.
    fn look(&mut self, cycles: u32) -> Result<(), Error> {
        for _ in 0..cycles {
            let addr = match self.rng.random_range(0..10) {
                0 => 4 * self.rng.random_range(0..0x4000),
                _ => 4 * self.rng.random_range(0..BYTES as u16 / 4),
            };
            self.cycle(Access::Read(addr))?;
        }
        Ok(())
    }

    /// A write that no driver should do, or one that it may.
    fn noise(&mut self) -> Result<(), Error> {
        let len = *[1, 2, 4].choose(&mut self.rng).unwrap_or(&4);
        let at = len * self.rng.random_range(0..(BYTES as u16 + 8) / len);
        let value = match self.rng.random_range(0..5) {
            0 => self.rng.random_range(0..8),
            1 => self.rng.random_range(0..=u32::from(MAX_QUEUE_SIZE)),
            2 => u32::MAX,
            _ => self.rng.random(),
        };
        let touches = |field: u16, bytes: u16| at < field + bytes && at + len > field;
        // A queue in reset is left alone; without the feature queue_reset means nothing.
        let of_queue = touches(field::QUEUE_SIZE, BYTES as u16);
        let resets = touches(field::QUEUE_RESET, 2);
        let other = self.rng.random_bool(0.05);
        if of_queue && (self.selected_in_reset() || resets) && !other {
            return Ok(());
        }
        // A reset of the device comes in its time.
        let status = touches(field::STATUS, 1);
        if status && value >> (8 * (field::STATUS - at)) & 0xff == 0 && !other {
            return Ok(());
        }
        // Of another region this block sees writes too.
        let base = if other {
            0x1000 * self.rng.random_range(1..8)
        } else {
            0
        };
        self.cycle(Access::write(base + at, value, len))
    }

    /// Writes a field in one access, or in several smaller ones in any order.
    fn put(&mut self, at: u16, len: u16, value: u64) -> Result<(), Error> {
        let piece = match self.rng.random_range(0..6) {
            0 => 1,
            1 => 2.min(len),
            _ => len,
        };
        let mut places: Vec<u16> = (0..len / piece).map(|index| piece * index).collect();
        if self.rng.random() {
            places.reverse();
        }
        for place in places {
            let part = value >> (8 * place) & ((1 << (8 * piece)) - 1);
            self.cycle(Access::write(at + place, part as u32, piece))?;
            if self.rng.random_bool(0.3) {
                self.cycle(Access::Read(at & !3))?;
            }
        }
        Ok(())
    }
}
