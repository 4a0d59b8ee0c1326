//! What can go wrong between the driver and a device.

use crate::ctrl::Command;
use crate::features::Feature;

/// An error of the platform (register access, memory, interrupts), with the platform's words.
pub type BusError = Box<dyn std::error::Error + Send + Sync>;

/// Errors of probe, reset and configuration. Lost packets are never errors: they are counted in
/// [`Stats`](crate::Stats).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A register access failed.
    #[error("register access failed: {0}")]
    Registers(#[source] BusError),
    /// DMA memory could not be had.
    #[error("no DMA memory for {what}: {source}")]
    Dma {
        /// What it was for.
        what: &'static str,
        /// The platform's reason.
        source: BusError,
    },
    /// An interrupt vector could not be had.
    #[error("interrupt vector {vector} is not available: {source}")]
    Interrupt {
        /// Vector number.
        vector: u16,
        /// The platform's reason.
        source: BusError,
    },
    /// The platform delivers no interrupts, or the device has no MSI-X table entry.
    #[error("no MSI-X vector can be used")]
    NoVectors,
    /// Not a modern virtio network device (virtio 4.1.2.1).
    #[error("not a virtio network device: vendor {vendor:#06x}, device {device:#06x}")]
    NotVirtioNet {
        /// PCI vendor ID.
        vendor: u16,
        /// PCI device ID.
        device: u16,
    },
    /// A capability that the driver cannot do without is missing or unusable.
    #[error("the device has no usable {0} capability")]
    MissingCapability(&'static str),
    /// The list of capabilities leads to itself or out of the header's reach.
    #[error("the PCI capability list is broken at offset {offset:#04x}")]
    CapabilityList {
        /// Where the walk stopped, bytes in configuration space.
        offset: u8,
    },
    /// The structure behind a capability ends before a field that is needed.
    #[error("the {what} structure has {length} bytes, {needed} are needed")]
    ShortStructure {
        /// Which structure.
        what: &'static str,
        /// Bytes that the capability promises.
        length: u32,
        /// Bytes that the driver needs.
        needed: u32,
    },
    /// The device does not offer a feature that the driver cannot do without.
    #[error("the device does not offer {missing}")]
    MissingFeature {
        /// The bits that are missing.
        missing: Feature,
    },
    /// The device cleared FEATURES_OK (virtio 3.1.1 step 6).
    #[error("the device refused the features {asked}")]
    FeaturesRefused {
        /// What the driver asked for.
        asked: Feature,
    },
    /// `device_status` did not become 0 after a reset (virtio 4.1.4.3.2).
    #[error("the device did not finish its reset: status {status:#04x}")]
    ResetTimeout {
        /// What it read as at last.
        status: u8,
    },
    /// `queue_reset` did not become 0 (virtio 2.6.1).
    #[error("virtqueue {queue} did not finish its reset")]
    QueueResetTimeout {
        /// Index of the queue.
        queue: u16,
    },
    /// A queue reset was asked for without VIRTIO_F_RING_RESET.
    #[error("VIRTIO_F_RING_RESET was not negotiated")]
    NoQueueReset,
    /// The device does not have a queue that it must have.
    #[error("virtqueue {queue} does not exist")]
    NoQueue {
        /// Index of the queue.
        queue: u16,
    },
    /// A queue size outside 1..=32768 (virtio 2.8).
    #[error("virtqueue size {size} is outside 1..=32768")]
    QueueSize {
        /// The size.
        size: u32,
    },
    /// The doorbell of a queue lies outside the notification structure (virtio 4.1.4.4).
    #[error("the doorbell of virtqueue {queue} lies outside the notification structure")]
    NotifyOffset {
        /// Index of the queue.
        queue: u16,
    },
    /// The device could not map an event to a vector (virtio 4.1.5.1.2).
    #[error("the device refused MSI-X vector {vector}")]
    VectorRefused {
        /// The vector.
        vector: u16,
    },
    /// `config_generation` never stood still (virtio 2.5.1).
    #[error("the device configuration changes faster than it can be read")]
    ConfigUnstable,
    /// The device reports an MTU below 68 bytes (virtio 5.1.4.1).
    #[error("the device reports an MTU of {mtu} bytes")]
    BadMtu {
        /// What it reports, bytes.
        mtu: u16,
    },
    /// Something was asked for that needs a feature.
    #[error("{feature} was not negotiated")]
    NotNegotiated {
        /// The feature.
        feature: Feature,
    },
    /// The device answered a control command with something else than VIRTIO_NET_OK.
    #[error("the device refused control command {command} with {ack}")]
    ControlRefused {
        /// Class and number.
        command: Command,
        /// The answer.
        ack: u8,
    },
    /// The device did not answer a control command, or asked for a reset instead.
    #[error("the device did not answer control command {command}")]
    ControlTimeout {
        /// Class and number.
        command: Command,
    },
    /// A control command with more data than the driver has room for.
    #[error(
        "control command {command} has {len} bytes of data, {} is the most",
        crate::ctrl::MAX_DATA
    )]
    ControlTooLong {
        /// Class and number.
        command: Command,
        /// Bytes.
        len: usize,
    },
    /// The option structure contradicts itself.
    #[error("option {option}: {reason}")]
    Options {
        /// Name of the field.
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}
