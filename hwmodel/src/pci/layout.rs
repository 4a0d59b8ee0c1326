//! Numbers of the function: identities, where capabilities are, where structures are in BAR0.
//! Offsets in BAR0 are those of `rtl/pkg/nic_pkg.sv`; a test compares them.

/// Vendor ID of all virtio devices (virtio 4.1.2).
pub const VENDOR_ID: u16 = 0x1af4;
/// 0x1040 plus the device type, 1 for a network card (virtio 4.1.2).
pub const DEVICE_ID: u16 = 0x1041;
/// At least 1 for a device that is not transitional (virtio 4.1.2.1).
pub const REVISION_ID: u8 = 1;
/// At least 0x40 for a device that is not transitional (virtio 4.1.2.1).
pub const SUBSYSTEM_ID: u16 = 0x1100;

/// Command register.
pub const COMMAND: usize = 0x04;
/// Memory Space Enable.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Bus Master Enable.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Base Address Register 0.
pub const BAR0: usize = 0x10;
/// Bytes of BAR0.
pub const BAR0_LEN: u32 = 0x1_0000;

/// PCI Express capability.
pub const CAP_PCIE: usize = 0x40;
/// Device Control, whose bit 15 starts a Function Level Reset.
pub const DEVICE_CONTROL: usize = CAP_PCIE + 8;
/// MSI-X capability.
pub const CAP_MSIX: usize = 0x80;
/// Message Control.
pub const MSIX_CONTROL: usize = CAP_MSIX + 2;
/// MSI-X Enable.
pub const MSIX_CONTROL_ENABLE: u16 = 1 << 15;
/// Function Mask.
pub const MSIX_CONTROL_MASK: u16 = 1 << 14;
/// Vectors of a card with one queue pair: configuration change, receive, transmit, control queue.
pub const MSIX_VECTORS: u16 = 4;
/// VIRTIO_PCI_CAP_COMMON_CFG.
pub const CAP_COMMON: usize = 0x90;
/// VIRTIO_PCI_CAP_NOTIFY_CFG.
pub const CAP_NOTIFY: usize = 0xa0;
/// VIRTIO_PCI_CAP_ISR_CFG.
pub const CAP_ISR: usize = 0xb4;
/// VIRTIO_PCI_CAP_DEVICE_CFG.
pub const CAP_DEVICE: usize = 0xc4;
/// VIRTIO_PCI_CAP_PCI_CFG.
pub const CAP_WINDOW: usize = 0xd4;
/// pci_cfg_data (virtio 4.1.4.9).
pub const WINDOW_DATA: usize = CAP_WINDOW + 16;

/// Common configuration (virtio 4.1.4.3).
pub const BAR_COMMON_CFG: u32 = 0x0000;
/// Bytes of it, up to queue_reset.
pub const COMMON_CFG_LEN: u32 = 0x3c;
/// ISR status (virtio 4.1.4.5).
pub const BAR_ISR: u32 = 0x1000;
/// Network device configuration (virtio 5.1.4).
pub const BAR_DEVICE_CFG: u32 = 0x2000;
/// Bytes of it, up to supported_hash_types.
pub const DEVICE_CFG_LEN: u32 = 24;
/// Doorbells (virtio 4.1.4.4).
pub const BAR_NOTIFY: u32 = 0x3000;
/// Bytes between doorbells.
pub const NOTIFY_OFF_MULTIPLIER: u32 = 4;
/// Bytes of the doorbells of one queue pair and the control queue.
pub const NOTIFY_LEN: u32 = 3 * NOTIFY_OFF_MULTIPLIER;
/// MSI-X table.
pub const BAR_MSIX_TABLE: u32 = 0x4000;
/// MSI-X pending bits.
pub const BAR_MSIX_PBA: u32 = 0x5000;
/// Build information and statistics.
pub const BAR_VENDOR: u32 = 0x6000;
