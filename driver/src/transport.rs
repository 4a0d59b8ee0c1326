//! The PCI transport: common configuration, device configuration, doorbells (virtio 4.1.4).

use crate::error::Error;
use crate::features::Feature;
use crate::pci::{self, Capabilities, Structure};
use crate::registers::{PciRegisters, Width};

// struct virtio_pci_common_cfg (virtio 4.1.4.3): byte offsets.
const DEVICE_FEATURE_SELECT: u32 = 0x00;
const DEVICE_FEATURE: u32 = 0x04;
const DRIVER_FEATURE_SELECT: u32 = 0x08;
const DRIVER_FEATURE: u32 = 0x0c;
const CONFIG_MSIX_VECTOR: u32 = 0x10;
const NUM_QUEUES: u32 = 0x12;
const DEVICE_STATUS: u32 = 0x14;
const CONFIG_GENERATION: u32 = 0x15;
const QUEUE_SELECT: u32 = 0x16;
const QUEUE_SIZE: u32 = 0x18;
const QUEUE_MSIX_VECTOR: u32 = 0x1a;
const QUEUE_ENABLE: u32 = 0x1c;
const QUEUE_NOTIFY_OFF: u32 = 0x1e;
const QUEUE_DESC: u32 = 0x20;
const QUEUE_DRIVER: u32 = 0x28;
const QUEUE_DEVICE: u32 = 0x30;
const QUEUE_RESET: u32 = 0x3a;
/// The structure up to and including `queue_device`.
const COMMON_CFG_BYTES: u32 = 0x38;
/// The structure up to and including `queue_reset`.
const COMMON_CFG_RESET_BYTES: u32 = 0x3c;

/// Bits of `device_status` (virtio 2.1).
pub mod status {
    /// The driver has noticed the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// The driver knows how to drive it.
    pub const DRIVER: u8 = 2;
    /// The driver is ready.
    pub const DRIVER_OK: u8 = 4;
    /// Negotiation is complete.
    pub const FEATURES_OK: u8 = 8;
    /// The device cannot go on without a reset.
    pub const DEVICE_NEEDS_RESET: u8 = 64;
    /// The driver has given up.
    pub const FAILED: u8 = 128;
}

/// Bus addresses of the three parts of a virtqueue (virtio 2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAddresses {
    /// Descriptor ring, 16-byte aligned.
    pub desc: u64,
    /// Driver event suppression structure, 4-byte aligned.
    pub driver: u64,
    /// Device event suppression structure, 4-byte aligned.
    pub device: u64,
}

/// Where the doorbell of a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    bar: u8,
    offset: u32,
    queue: u16,
}

/// One virtio function behind its registers.
#[derive(Debug)]
pub struct Transport<P> {
    pci: P,
    common: Structure,
    notify: Structure,
    notify_off_multiplier: u32,
    device: Option<Structure>,
    poll_limit: u32,
}

impl<P: PciRegisters> Transport<P> {
    /// `poll_limit`: reads of a register before the device is given up.
    pub fn new(pci: P, caps: &Capabilities, poll_limit: u32) -> Result<Self, Error> {
        Ok(Self {
            pci,
            common: caps
                .common
                .require("common configuration", COMMON_CFG_BYTES)?,
            notify: caps.notify.require("notification", 2)?,
            notify_off_multiplier: caps.notify_off_multiplier,
            device: caps.device,
            poll_limit,
        })
    }

    /// The registers underneath.
    pub fn pci(&mut self) -> &mut P {
        &mut self.pci
    }

    /// Resets the device and waits until it says so (virtio 4.1.4.3.2).
    pub fn reset(&mut self) -> Result<(), Error> {
        self.common_write(DEVICE_STATUS, Width::U8, 0)?;
        let mut status = 0;
        for _ in 0..self.poll_limit.max(1) {
            status = self.status()?;
            if status == 0 {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        Err(Error::ResetTimeout { status })
    }

    /// `device_status`.
    pub fn status(&mut self) -> Result<u8, Error> {
        Ok(self.common_read(DEVICE_STATUS, Width::U8)? as u8)
    }

    /// Sets bits of `device_status`; the driver never clears one (virtio 2.1.1).
    pub fn add_status(&mut self, bits: u8) -> Result<(), Error> {
        let status = self.status()? | bits;
        self.common_write(DEVICE_STATUS, Width::U8, u32::from(status))
    }

    /// What the device offers and can be used: VIRTIO_F_RING_RESET needs its register.
    pub fn offered_features(&mut self) -> Result<Feature, Error> {
        let mut bits = 0;
        for half in 0..2 {
            self.common_write(DEVICE_FEATURE_SELECT, Width::U32, half)?;
            bits |= u64::from(self.common_read(DEVICE_FEATURE, Width::U32)?) << (32 * half);
        }
        let offered = Feature::from_bits(bits);
        Ok(if self.common.length < COMMON_CFG_RESET_BYTES {
            offered.without(Feature::RING_RESET)
        } else {
            offered
        })
    }

    /// Writes `accepted`, sets FEATURES_OK and checks that it stays (virtio 3.1.1 steps 4 to 6).
    pub fn accept_features(&mut self, accepted: Feature) -> Result<(), Error> {
        for half in 0..2 {
            self.common_write(DRIVER_FEATURE_SELECT, Width::U32, half)?;
            let bits = (accepted.bits() >> (32 * half)) as u32;
            self.common_write(DRIVER_FEATURE, Width::U32, bits)?;
        }
        self.add_status(status::FEATURES_OK)?;
        if self.status()? & status::FEATURES_OK == 0 {
            return Err(Error::FeaturesRefused { asked: accepted });
        }
        Ok(())
    }

    /// `num_queues`.
    pub fn num_queues(&mut self) -> Result<u16, Error> {
        Ok(self.common_read(NUM_QUEUES, Width::U16)? as u16)
    }

    /// Maps configuration changes to a vector and checks the mapping (virtio 4.1.5.1.2.2).
    pub fn set_config_vector(&mut self, vector: u16) -> Result<(), Error> {
        self.set_vector(CONFIG_MSIX_VECTOR, vector)
    }

    /// Selects the queue that the following calls mean.
    pub fn select_queue(&mut self, queue: u16) -> Result<(), Error> {
        self.common_write(QUEUE_SELECT, Width::U16, u32::from(queue))
    }

    /// `queue_size` of the selected queue; after a reset, the largest that the device can do.
    pub fn queue_size(&mut self) -> Result<u16, Error> {
        Ok(self.common_read(QUEUE_SIZE, Width::U16)? as u16)
    }

    /// Maps the selected queue's events to a vector and checks the mapping.
    pub fn set_queue_vector(&mut self, vector: u16) -> Result<(), Error> {
        self.set_vector(QUEUE_MSIX_VECTOR, vector)
    }

    /// Tells the selected queue where it is and enables it (virtio 4.1.5.1.3).
    pub fn enable_queue(&mut self, size: u16, at: RingAddresses) -> Result<(), Error> {
        self.common_write(QUEUE_SIZE, Width::U16, u32::from(size))?;
        for (field, address) in [
            (QUEUE_DESC, at.desc),
            (QUEUE_DRIVER, at.driver),
            (QUEUE_DEVICE, at.device),
        ] {
            // 64-bit fields are two 32-bit accesses (virtio 4.1.3.1).
            self.common_write(field, Width::U32, address as u32)?;
            self.common_write(field + 4, Width::U32, (address >> 32) as u32)?;
        }
        self.common_write(QUEUE_ENABLE, Width::U16, 1)
    }

    /// Resets the selected queue and waits until it is done (virtio 2.6.1.2, 4.1.4.3.2). Needs
    /// VIRTIO_F_RING_RESET. `queue`: its index, for the error.
    pub fn reset_queue(&mut self, queue: u16) -> Result<(), Error> {
        self.common_write(QUEUE_RESET, Width::U16, 1)?;
        for _ in 0..self.poll_limit.max(1) {
            if self.common_read(QUEUE_RESET, Width::U16)? == 0 {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        Err(Error::QueueResetTimeout { queue })
    }

    /// The doorbell of the selected queue, whose index is `queue` (virtio 4.1.4.4).
    pub fn doorbell(&mut self, queue: u16) -> Result<Doorbell, Error> {
        let notify_off = self.common_read(QUEUE_NOTIFY_OFF, Width::U16)?;
        let offset = u64::from(notify_off) * u64::from(self.notify_off_multiplier);
        // 4.1.4.4.1: cap.length >= queue_notify_off * notify_off_multiplier + 2, even.
        if offset + 2 > u64::from(self.notify.length) || offset % 2 != 0 {
            return Err(Error::NotifyOffset { queue });
        }
        // Fits: offset < length, and offset + length lies within the BAR.
        let offset = self.notify.offset + offset as u32;
        Ok(Doorbell {
            bar: self.notify.bar,
            offset,
            queue,
        })
    }

    /// Rings a doorbell: without VIRTIO_F_NOTIFICATION_DATA a 16-bit write of the queue's index
    /// (virtio 4.1.5.2). The write is ordered behind the ring by the caller's fence.
    #[inline]
    pub fn ring(&mut self, doorbell: Doorbell) -> Result<(), Error> {
        self.pci
            .bar_write(
                doorbell.bar,
                doorbell.offset,
                Width::U16,
                u32::from(doorbell.queue),
            )
            .map_err(Error::Registers)
    }

    /// Runs `read` on the device configuration until `config_generation` is the same before and
    /// after it (virtio 2.5.1): fields that are read together belong together.
    pub fn read_device_config<T>(
        &mut self,
        mut read: impl FnMut(&mut DeviceConfigReader<'_, P>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let structure = self
            .device
            .ok_or(Error::MissingCapability("device configuration"))?;
        let mut before = self.common_read(CONFIG_GENERATION, Width::U8)?;
        for _ in 0..self.poll_limit.max(1) {
            let value = read(&mut DeviceConfigReader {
                pci: &mut self.pci,
                structure,
            })?;
            let after = self.common_read(CONFIG_GENERATION, Width::U8)?;
            if after == before {
                return Ok(value);
            }
            before = after;
        }
        Err(Error::ConfigUnstable)
    }

    /// Ends the use of the function: no memory access of the device after this.
    pub fn disable(&mut self) -> Result<(), Error> {
        pci::disable_bus_master(&mut self.pci)
    }

    fn set_vector(&mut self, field: u32, vector: u16) -> Result<(), Error> {
        self.common_write(field, Width::U16, u32::from(vector))?;
        if self.common_read(field, Width::U16)? as u16 != vector {
            return Err(Error::VectorRefused { vector });
        }
        Ok(())
    }

    fn common_read(&mut self, field: u32, width: Width) -> Result<u32, Error> {
        self.pci
            .bar_read(self.common.bar, self.common.offset + field, width)
            .map_err(Error::Registers)
    }

    fn common_write(&mut self, field: u32, width: Width, value: u32) -> Result<(), Error> {
        self.pci
            .bar_write(self.common.bar, self.common.offset + field, width, value)
            .map_err(Error::Registers)
    }
}

/// Access to the device configuration structure during one consistent read.
pub struct DeviceConfigReader<'a, P> {
    pci: &'a mut P,
    structure: Structure,
}

impl<P: PciRegisters> DeviceConfigReader<'_, P> {
    /// Reads one field. `field`: bytes from the start of the structure, naturally aligned.
    pub fn read(&mut self, field: u32, width: Width) -> Result<u32, Error> {
        self.structure
            .require("device configuration", field + u32::from(width.bytes()))?;
        self.pci
            .bar_read(self.structure.bar, self.structure.offset + field, width)
            .map_err(Error::Registers)
    }
}
