//! Common configuration (virtio 4.1.4.3): negotiation, status, queue set-up.
//!
//! Registers only: what a write asks of the rest of the device comes back as an [`Effect`].

use super::{
    spec::{NO_VECTOR, feature, status},
    virtqueue::RingConfig,
};

/// Registers of one queue.
#[derive(Debug, Clone, Copy)]
struct QueueRegs {
    ring: RingConfig,
    vector: u16,
    enable: bool,
    /// A queue reset is under way (2.6.1).
    reset: bool,
    /// Stopped by an error, until the device is reset or the queue is.
    stopped: bool,
}

/// What a register write asks for beyond the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// device_status was written with 0.
    Reset,
    /// Reset this queue.
    ResetQueue(u16),
    /// A queue may have become live, or all may.
    Refresh,
    /// A queue of an illegal size was enabled.
    BadSize,
}

/// The registers.
#[derive(Debug)]
pub(super) struct CommonCfg {
    offered: u64,
    vectors: u16,
    max_queue_size: u16,
    device_feature_select: u32,
    driver_feature_select: u32,
    driver_features: u64,
    config_vector: u16,
    queue_select: u16,
    status: u8,
    generation: u8,
    /// A device reset is under way: status reads what it was (2.4.1).
    resetting: bool,
    queues: Vec<QueueRegs>,
}

impl CommonCfg {
    pub fn new(offered: u64, queues: u16, vectors: u16, max_queue_size: u16) -> Self {
        let mut regs = Self {
            offered,
            vectors,
            max_queue_size,
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            queue_select: 0,
            status: 0,
            generation: 0,
            resetting: false,
            queues: Vec::new(),
        };
        regs.queues = vec![regs.reset_queue_regs(); queues.into()];
        regs
    }

    fn reset_queue_regs(&self) -> QueueRegs {
        QueueRegs {
            ring: RingConfig {
                size: self.max_queue_size,
                ..RingConfig::default()
            },
            vector: NO_VECTOR,
            enable: false,
            reset: false,
            stopped: false,
        }
    }

    /// A device reset is over. The generation goes on counting.
    pub fn reset(&mut self) {
        let fresh = Self::new(
            self.offered,
            self.queues.len() as u16,
            self.vectors,
            self.max_queue_size,
        );
        *self = Self {
            generation: self.generation,
            ..fresh
        };
    }

    /// A queue's reset is over. Returns its vector when nobody else has it.
    pub fn reset_queue(&mut self, queue: u16) -> Option<u16> {
        let fresh = self.reset_queue_regs();
        let regs = self.queues.get_mut(usize::from(queue))?;
        let vector = std::mem::replace(regs, fresh).vector;
        let shared = self.config_vector == vector || self.queues.iter().any(|q| q.vector == vector);
        (!shared).then_some(vector)
    }

    /// Features that the driver chose; 0 before FEATURES_OK.
    pub fn features(&self) -> u64 {
        if self.status & status::FEATURES_OK != 0 {
            self.driver_features
        } else {
            0
        }
    }

    /// The driver is set up and no reset is under way.
    pub fn driver_ok(&self) -> bool {
        let both = status::DRIVER_OK | status::FEATURES_OK;
        self.status & both == both && !self.resetting
    }

    /// The vector of configuration changes.
    pub fn config_vector(&self) -> u16 {
        self.config_vector
    }

    /// The vector of a queue.
    pub fn queue_vector(&self, queue: u16) -> u16 {
        self.queues
            .get(usize::from(queue))
            .map_or(NO_VECTOR, |regs| regs.vector)
    }

    /// Where a queue's ring is, if the queue is at work.
    pub fn live(&self, queue: u16) -> Option<RingConfig> {
        let regs = self.queues.get(usize::from(queue))?;
        let live = regs.enable && !regs.reset && !regs.stopped && self.driver_ok();
        live.then_some(regs.ring)
    }

    /// Sets DEVICE_NEEDS_RESET; true when it was not set.
    pub fn needs_reset(&mut self) -> bool {
        let before = self.status;
        self.status |= status::DEVICE_NEEDS_RESET;
        before & status::DEVICE_NEEDS_RESET == 0
    }

    /// An error stops a queue.
    pub fn stop_queue(&mut self, queue: u16) {
        if let Some(regs) = self.queues.get_mut(usize::from(queue)) {
            regs.stopped = true;
        }
    }

    /// The device configuration changed (4.1.4.3: config_generation).
    pub fn config_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// The 32-bit word at `offset`, a multiple of 4.
    pub fn read(&self, offset: u32) -> u32 {
        let half = |value: u64, select: u32| match select {
            0 => value as u32,
            1 => (value >> 32) as u32,
            _ => 0,
        };
        let two = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        match offset {
            0x00 => self.device_feature_select,
            0x04 => half(self.offered, self.device_feature_select),
            0x08 => self.driver_feature_select,
            0x0c => half(self.driver_features, self.driver_feature_select),
            0x10 => two(self.config_vector, self.queues.len() as u16),
            0x14 => two(
                u16::from_le_bytes([self.status, self.generation]),
                self.queue_select,
            ),
            _ => match self.queues.get(usize::from(self.queue_select)) {
                // 4.1.4.3.1: a queue that does not exist has size 0; no vector is mapped to it.
                None if offset == 0x18 => two(0, NO_VECTOR),
                None => 0,
                Some(q) => match offset {
                    0x18 => two(q.ring.size, q.vector),
                    // queue_notify_off: doorbells are in the order of the queues.
                    0x1c => two(q.enable.into(), self.queue_select),
                    0x20 => half(q.ring.desc, 0),
                    0x24 => half(q.ring.desc, 1),
                    0x28 => half(q.ring.driver, 0),
                    0x2c => half(q.ring.driver, 1),
                    0x30 => half(q.ring.device, 0),
                    0x34 => half(q.ring.device, 1),
                    // queue_notify_data is for NOTF_CONFIG_DATA: the number that a doorbell carries.
                    0x38 => two(self.queue_select, q.reset.into()),
                    _ => 0,
                },
            },
        }
    }

    /// Writes the bytes of `mask` of the word at `offset`, a multiple of 4.
    pub fn write(&mut self, offset: u32, mask: u32, value: u32) -> Effect {
        let merged = self.read(offset) & !mask | value & mask;
        let (low, high) = (merged as u16, (merged >> 16) as u16);
        match offset {
            0x00 => self.device_feature_select = merged,
            0x08 => self.driver_feature_select = merged,
            // 2.2.1: not after FEATURES_OK.
            0x0c if self.status & status::FEATURES_OK == 0 => {
                let shift = match self.driver_feature_select {
                    0 => 0,
                    1 => 32,
                    _ => return Effect::None,
                };
                self.driver_features &= !(0xffff_ffff << shift);
                self.driver_features |= u64::from(merged) << shift;
            }
            0x10 if mask & 0xffff != 0 => self.config_vector = self.legal_vector(low),
            0x14 => {
                if mask & 0xffff_0000 != 0 {
                    self.queue_select = high;
                }
                if mask & 0xff != 0 {
                    return self.write_status(value as u8);
                }
            }
            0x18.. => return self.write_queue(offset, mask, merged, low, high),
            _ => {}
        }
        Effect::None
    }

    /// 2.1.1, 3.1.1: bits are only ever added; DEVICE_NEEDS_RESET is the device's.
    fn write_status(&mut self, value: u8) -> Effect {
        if value == 0 {
            let begun = std::mem::replace(&mut self.resetting, true);
            return if begun { Effect::None } else { Effect::Reset };
        }
        self.status |= value & status::BY_DRIVER;
        if value & status::FEATURES_OK != 0 && self.acceptable(self.driver_features) {
            self.status |= status::FEATURES_OK;
        }
        Effect::Refresh
    }

    /// 2.2.2: a valid subset of the offer.
    fn acceptable(&self, features: u64) -> bool {
        features & !self.offered == 0
            && features & feature::REQUIRED == feature::REQUIRED
            && feature::unmet(features) == 0
    }

    fn write_queue(&mut self, offset: u32, mask: u32, merged: u32, low: u16, high: u16) -> Effect {
        let vector = self.legal_vector(high);
        let ring_reset = self.features() & feature::RING_RESET != 0;
        let (queue, max) = (self.queue_select, self.max_queue_size);
        let Some(q) = self.queues.get_mut(usize::from(queue)) else {
            return Effect::None;
        };
        // 4.1.4.3.2: the fields are not to be changed while the queue is enabled.
        let fixed = q.enable;
        let set_low = |field: &mut u64, keep: u32| {
            *field = *field & !0xffff_ffff | u64::from(merged & keep);
        };
        let set_high = |field: &mut u64| *field = *field & 0xffff_ffff | u64::from(merged) << 32;
        match offset {
            0x18 => {
                if mask & 0xffff != 0 && !fixed {
                    q.ring.size = low;
                }
                if mask & 0xffff_0000 != 0 {
                    q.vector = vector;
                }
            }
            0x1c if low & 1 != 0 && !fixed => {
                if q.ring.size == 0 || q.ring.size > max {
                    return Effect::BadSize;
                }
                q.enable = true;
                return Effect::Refresh;
            }
            // 2.8.13, 2.8.14: rings are aligned to 16 bytes, event structures to 4.
            0x20 if !fixed => set_low(&mut q.ring.desc, !15),
            0x24 if !fixed => set_high(&mut q.ring.desc),
            0x28 if !fixed => set_low(&mut q.ring.driver, !3),
            0x2c if !fixed => set_high(&mut q.ring.driver),
            0x30 if !fixed => set_low(&mut q.ring.device, !3),
            0x34 if !fixed => set_high(&mut q.ring.device),
            0x38 if high & 1 != 0 && ring_reset && q.enable && !q.reset => {
                q.reset = true;
                return Effect::ResetQueue(queue);
            }
            _ => {}
        }
        Effect::None
    }

    /// 4.1.5.1.2: a vector that does not exist reads back as NO_VECTOR.
    fn legal_vector(&self, vector: u16) -> u16 {
        if vector < self.vectors {
            vector
        } else {
            NO_VECTOR
        }
    }
}

#[cfg(test)]
mod tests;
