//! What device and driver agreed on, told from the register accesses that pass by (virtio 3.1.1).

use driver::Feature;

const DEVICE_FEATURE_SELECT: u32 = 0x00;
const DEVICE_FEATURE: u32 = 0x04;
const DRIVER_FEATURE_SELECT: u32 = 0x08;
const DRIVER_FEATURE: u32 = 0x0c;
const DEVICE_STATUS: u32 = 0x14;

const DRIVER_OK: u8 = 4;
const DEVICE_NEEDS_RESET: u8 = 64;

/// Something that a person wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The driver is ready (DRIVER_OK): features that were offered and acknowledged.
    Ready(Feature, Feature),
    /// The driver saw that the device needs a reset.
    NeedsReset,
    /// The driver reset the device.
    Reset,
}

/// Watches accesses to the common configuration.
#[derive(Debug, Default)]
pub struct Negotiation {
    device_select: u32,
    driver_select: u32,
    offered: [u32; 2],
    acknowledged: [u32; 2],
    /// As the driver wrote or read it last.
    status: u8,
}

impl Negotiation {
    /// The driver wrote `width` bytes at `offset` of BAR0.
    pub fn written(&mut self, offset: u32, width: u8, value: u32) -> Option<Event> {
        match (offset, width) {
            (DEVICE_FEATURE_SELECT, 4) => self.device_select = value,
            (DRIVER_FEATURE_SELECT, 4) => self.driver_select = value,
            (DRIVER_FEATURE, 4) => {
                if let Some(half) = self.acknowledged.get_mut(self.driver_select as usize) {
                    *half = value;
                }
            }
            (DEVICE_STATUS, 1) => {
                let before = std::mem::replace(&mut self.status, value as u8);
                let new = self.status & !before;
                if self.status == 0 {
                    self.acknowledged = [0; 2];
                    return (before != 0).then_some(Event::Reset);
                }
                if new & DRIVER_OK != 0 {
                    return Some(Event::Ready(self.offered(), self.acknowledged()));
                }
            }
            _ => {}
        }
        None
    }

    /// The driver read `value`.
    pub fn read(&mut self, offset: u32, width: u8, value: u32) -> Option<Event> {
        match (offset, width) {
            (DEVICE_FEATURE, 4) => {
                if let Some(half) = self.offered.get_mut(self.device_select as usize) {
                    *half = value;
                }
            }
            (DEVICE_STATUS, 1) => {
                let before = std::mem::replace(&mut self.status, value as u8);
                let new = self.status & !before;
                return (new & DEVICE_NEEDS_RESET != 0).then_some(Event::NeedsReset);
            }
            _ => {}
        }
        None
    }

    /// Features that the driver saw.
    pub fn offered(&self) -> Feature {
        feature(self.offered)
    }

    /// Features that the driver chose.
    pub fn acknowledged(&self) -> Feature {
        feature(self.acknowledged)
    }

    /// The function was reset.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

fn feature([low, high]: [u32; 2]) -> Feature {
    Feature::from_bits(u64::from(low) | u64::from(high) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negotiation_is_followed() {
        let mut n = Negotiation::default();
        let offer =
            (Feature::VERSION_1 | Feature::RING_PACKED | Feature::MAC | Feature::MTU).bits();
        for status in [0, 1, 3] {
            assert_eq!(n.written(DEVICE_STATUS, 1, status), None);
        }
        for half in 0..2 {
            n.written(DEVICE_FEATURE_SELECT, 4, half);
            n.read(DEVICE_FEATURE, 4, (offer >> (32 * half)) as u32);
        }
        let choice = Feature::from_bits(offer).without(Feature::MTU);
        for half in [1, 0] {
            n.written(DRIVER_FEATURE_SELECT, 4, half);
            n.written(DRIVER_FEATURE, 4, (choice.bits() >> (32 * half)) as u32);
        }
        // There are two halves; other selections read as zero and take nothing.
        n.written(DRIVER_FEATURE_SELECT, 4, 2);
        n.written(DRIVER_FEATURE, 4, 7);
        assert_eq!(n.written(DEVICE_STATUS, 1, 0x0b), None);
        assert_eq!(
            n.written(DEVICE_STATUS, 1, 0x0f),
            Some(Event::Ready(Feature::from_bits(offer), choice))
        );
        assert_eq!(n.read(DEVICE_STATUS, 1, 0x0f), None);
        assert_eq!(n.read(DEVICE_STATUS, 1, 0x4f), Some(Event::NeedsReset));
        assert_eq!(n.read(DEVICE_STATUS, 1, 0x4f), None, "said once");
        assert_eq!(n.written(DEVICE_STATUS, 1, 0), Some(Event::Reset));
        assert_eq!(n.acknowledged(), Feature::NONE);
    }
}
