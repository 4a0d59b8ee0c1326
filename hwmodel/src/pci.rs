//! The PCI function: configuration space with the virtio capabilities (virtio 4.1) and MSI-X.
//!
//! On an FPGA the PCIe hard block serves it, so it is not part of the RTL; what the RTL must know of
//! it arrives on pins.

mod layout;
#[cfg(test)]
mod tests;

pub use layout::*;

use crate::error::Error;

/// What a write to configuration space asks of the device beyond the stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Function Level Reset (PCIe 6.6.2).
    FunctionReset,
    /// An access to pci_cfg_data (virtio 4.1.4.9): do this register access.
    Window(Window),
}

/// A register access through configuration space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// In BAR0.
    pub offset: u32,
    /// Bytes: 1, 2 or 4.
    pub width: u8,
}

/// What of the function depends on how many queues it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PciShape {
    /// MSI-X vectors, 1..=64.
    pub vectors: u16,
    /// Bytes of the doorbells.
    pub notify_len: u32,
    /// Bytes of the network device configuration.
    pub device_cfg_len: u32,
}

impl Default for PciShape {
    /// One queue pair.
    fn default() -> Self {
        Self {
            vectors: MSIX_VECTORS,
            notify_len: NOTIFY_LEN,
            device_cfg_len: DEVICE_CFG_LEN,
        }
    }
}

/// Configuration space of the function: 256 bytes; the extended space behind them reads as zero.
#[derive(Debug, Clone)]
pub struct PciConfig {
    bytes: [u8; 256],
    /// Bits that software may change.
    writable: [u8; 256],
}

impl Default for PciConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl PciConfig {
    /// As after reset, with one queue pair.
    #[must_use]
    pub fn new() -> Self {
        Self::with_shape(&PciShape::default())
    }

    /// As after reset.
    #[must_use]
    pub fn with_shape(shape: &PciShape) -> Self {
        let mut config = Self {
            bytes: [0; 256],
            writable: [0; 256],
        };
        config.header();
        config.pci_express();
        config.msix(shape);
        config.virtio(shape);
        config
    }

    /// Type 0 header (PCI 6.1).
    fn header(&mut self) {
        self.set16(0x00, VENDOR_ID);
        self.set16(0x02, DEVICE_ID);
        self.allow16(
            COMMAND,
            COMMAND_MEMORY | COMMAND_MASTER | 1 << 6 | 1 << 8 | 1 << 10,
        );
        self.set16(0x06, 1 << 4); // Status: capabilities list
        self.bytes[0x08] = REVISION_ID;
        self.bytes[0x09..0x0c].copy_from_slice(&[0x00, 0x00, 0x02]); // Ethernet controller
        self.writable[0x0c] = 0xff; // Cache Line Size: no effect, but writable
        self.allow32(BAR0, !(BAR0_LEN - 1)); // 32-bit memory, not prefetchable
        self.set16(0x2c, VENDOR_ID);
        self.set16(0x2e, SUBSYSTEM_ID);
        self.bytes[0x34] = CAP_PCIE as u8;
        self.writable[0x3c] = 0xff; // Interrupt Line; there is no pin
    }

    /// PCI Express capability, version 2 (PCIe 7.5.3), of an endpoint with FLR.
    fn pci_express(&mut self) {
        self.capability(CAP_PCIE, 0x10, CAP_MSIX);
        self.set16(CAP_PCIE + 2, 2);
        self.set32(CAP_PCIE + 4, 1 << 28 | 1 << 15 | 1); // FLR, role-based errors, 256-byte payload
        self.set16(DEVICE_CONTROL, 2 << 12 | 1 << 11 | 1 << 4);
        self.allow16(DEVICE_CONTROL, 0x7fff); // bit 15 reads as zero
        self.set32(CAP_PCIE + 0x0c, 8 << 4 | 3); // Link: x8, 8 GT/s
        self.allow16(CAP_PCIE + 0x10, 0x00c3);
        self.set16(CAP_PCIE + 0x12, 8 << 4 | 3);
        self.set32(CAP_PCIE + 0x2c, 0x0e); // 2.5, 5 and 8 GT/s
        self.set16(CAP_PCIE + 0x30, 3);
    }

    /// MSI-X capability (PCI 6.8.2).
    fn msix(&mut self, shape: &PciShape) {
        self.capability(CAP_MSIX, 0x11, CAP_COMMON);
        self.set16(MSIX_CONTROL, shape.vectors - 1);
        self.allow16(MSIX_CONTROL, MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK);
        self.set32(CAP_MSIX + 4, BAR_MSIX_TABLE);
        self.set32(CAP_MSIX + 8, BAR_MSIX_PBA);
    }

    /// Virtio structure capabilities (virtio 4.1.4).
    fn virtio(&mut self, shape: &PciShape) {
        let regions = [
            (
                CAP_COMMON,
                CAP_NOTIFY,
                1,
                16,
                BAR_COMMON_CFG,
                COMMON_CFG_LEN,
            ),
            (CAP_NOTIFY, CAP_ISR, 2, 20, BAR_NOTIFY, shape.notify_len),
            (CAP_ISR, CAP_DEVICE, 3, 16, BAR_ISR, 1),
            (
                CAP_DEVICE,
                CAP_WINDOW,
                4,
                16,
                BAR_DEVICE_CFG,
                shape.device_cfg_len,
            ),
            (CAP_WINDOW, 0, 5, 20, 0, 0),
        ];
        for (at, next, cfg_type, cap_len, offset, length) in regions {
            self.capability(at, 0x09, next);
            self.bytes[at + 2] = cap_len;
            self.bytes[at + 3] = cfg_type;
            self.set32(at + 8, offset);
            self.set32(at + 12, length);
        }
        self.set32(CAP_NOTIFY + 16, NOTIFY_OFF_MULTIPLIER);
        self.writable[CAP_WINDOW + 4] = 0xff; // bar
        self.allow32(CAP_WINDOW + 8, u32::MAX); // offset
        self.allow32(CAP_WINDOW + 12, u32::MAX); // length
    }

    fn capability(&mut self, at: usize, id: u8, next: usize) {
        self.bytes[at] = id;
        self.bytes[at + 1] = next as u8;
    }

    /// Reads `width` bytes (1, 2 or 4), little endian. Zero beyond 256 bytes; all ones for an access
    /// that is not naturally aligned, which no bus can make.
    #[must_use]
    pub fn read(&self, offset: u16, width: u8) -> u32 {
        let offset = usize::from(offset);
        if !aligned(offset, width) {
            return u32::MAX;
        }
        let end = (offset + usize::from(width)).min(self.bytes.len());
        let bytes = self.bytes.get(offset..end).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte))
    }

    /// Writes `width` bytes (1, 2 or 4), little endian; bits that are read-only stay.
    pub(crate) fn write(&mut self, offset: u16, width: u8, value: u32) -> Effect {
        let start = usize::from(offset);
        if !aligned(start, width) {
            return Effect::None;
        }
        let covered = start..start + usize::from(width);
        let reset_byte = DEVICE_CONTROL + 1;
        if covered.contains(&reset_byte) && value >> (8 * (reset_byte - start)) & 0x80 != 0 {
            return Effect::FunctionReset;
        }
        for (index, byte) in covered.zip(value.to_le_bytes()) {
            if let (Some(stored), Some(mask)) =
                (self.bytes.get_mut(index), self.writable.get(index))
            {
                *stored = *stored & !mask | byte & mask;
            }
        }
        self.window(offset).map_or(Effect::None, Effect::Window)
    }

    /// The register access that an access at `offset` means, if it is to pci_cfg_data and bar,
    /// offset and length of the capability make sense (virtio 4.1.4.9.1).
    pub(crate) fn window(&self, offset: u16) -> Option<Window> {
        let width = self.read32(CAP_WINDOW + 12);
        let window = Window {
            offset: self.read32(CAP_WINDOW + 8),
            width: width as u8,
        };
        let valid = usize::from(offset) == WINDOW_DATA
            && self.bytes[CAP_WINDOW + 4] == 0
            && matches!(width, 1 | 2 | 4)
            && window.offset.is_multiple_of(width)
            && window.offset < BAR0_LEN;
        valid.then_some(window)
    }

    /// Memory Space Enable: BAR0 answers.
    #[must_use]
    pub fn memory_enabled(&self) -> bool {
        self.read32(COMMAND) as u16 & COMMAND_MEMORY != 0
    }

    /// Bus Master Enable: the device may do DMA and send MSI-X messages.
    #[must_use]
    pub fn bus_master(&self) -> bool {
        self.read32(COMMAND) as u16 & COMMAND_MASTER != 0
    }

    /// MSI-X Enable.
    #[must_use]
    pub fn msix_enabled(&self) -> bool {
        self.msix_control() & MSIX_CONTROL_ENABLE != 0
    }

    /// MSI-X Function Mask.
    #[must_use]
    pub fn msix_masked(&self) -> bool {
        self.msix_control() & MSIX_CONTROL_MASK != 0
    }

    fn msix_control(&self) -> u16 {
        u16::from_le_bytes([self.bytes[MSIX_CONTROL], self.bytes[MSIX_CONTROL + 1]])
    }

    fn read32(&self, at: usize) -> u32 {
        self.read(at as u16, 4)
    }

    fn set16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn set32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn allow16(&mut self, at: usize, mask: u16) {
        self.writable[at..at + 2].copy_from_slice(&mask.to_le_bytes());
    }

    fn allow32(&mut self, at: usize, mask: u32) {
        self.writable[at..at + 4].copy_from_slice(&mask.to_le_bytes());
    }
}

/// Whether a CPU can make this access to BAR0.
///
/// # Errors
/// [`Error::BarAccess`].
pub(crate) fn check_access(offset: u32, width: u8) -> Result<(), Error> {
    if aligned(offset as usize, width) && offset < BAR0_LEN {
        Ok(())
    } else {
        Err(Error::BarAccess { offset, width })
    }
}

fn aligned(offset: usize, width: u8) -> bool {
    matches!(width, 1 | 2 | 4) && offset.is_multiple_of(usize::from(width))
}
