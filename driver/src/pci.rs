//! Finding the virtio structures: the walk through the PCI capability list (virtio 4.1.4).

use crate::error::Error;
use crate::registers::{PciRegisters, Width};

/// Vendor ID of every virtio device (virtio 4.1.2).
const VIRTIO_VENDOR: u16 = 0x1af4;
/// 0x1040 + device type 1 (virtio 4.1.2), and the transitional ID of a network device.
const VIRTIO_NET_DEVICES: [u16; 2] = [0x1041, 0x1000];

// PCI configuration header, type 0 (PCI Local Bus 6.1).
const PCI_VENDOR_ID: u16 = 0x00;
const PCI_DEVICE_ID: u16 = 0x02;
const PCI_COMMAND: u16 = 0x04;
const PCI_STATUS: u16 = 0x06;
const PCI_CAPABILITY_POINTER: u16 = 0x34;

const COMMAND_MEMORY_SPACE: u32 = 1 << 1;
const COMMAND_BUS_MASTER: u32 = 1 << 2;
const COMMAND_INTX_DISABLE: u32 = 1 << 10;
const STATUS_CAPABILITIES: u32 = 1 << 4;

const CAP_ID_VENDOR: u32 = 0x09;
const CAP_ID_MSIX: u32 = 0x11;
/// The first 64 bytes of configuration space are the header; no capability can lie in them.
const FIRST_CAPABILITY: u8 = 0x40;
/// 256 bytes minus the header, at four bytes each: a longer list must be a loop.
const MAX_CAPABILITIES: usize = 48;

// cfg_type of struct virtio_pci_cap (virtio 4.1.4).
const CFG_TYPE_COMMON: u32 = 1;
const CFG_TYPE_NOTIFY: u32 = 2;
const CFG_TYPE_DEVICE: u32 = 4;

/// A structure in a memory BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure {
    /// BAR number, 0..=5.
    pub bar: u8,
    /// Bytes from the start of the BAR.
    pub offset: u32,
    /// Bytes; `offset + length` lies within the BAR.
    pub length: u32,
}

impl Structure {
    /// Fails unless the structure has `needed` bytes.
    pub(crate) fn require(self, what: &'static str, needed: u32) -> Result<Self, Error> {
        if self.length < needed {
            return Err(Error::ShortStructure {
                what,
                length: self.length,
                needed,
            });
        }
        Ok(self)
    }
}

/// The MSI-X capability (PCI Express 7.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixCapability {
    /// Offset of the capability in configuration space, bytes.
    pub offset: u8,
    /// Entries of the table, 1..=2048.
    pub table_size: u16,
    /// The table: 16 bytes per entry.
    pub table: Structure,
}

/// What the capability list of a virtio function says. The ISR structure is not among it: it is for
/// INTx (virtio 4.1.4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// VIRTIO_PCI_CAP_COMMON_CFG (virtio 4.1.4.3).
    pub common: Structure,
    /// VIRTIO_PCI_CAP_NOTIFY_CFG (virtio 4.1.4.4).
    pub notify: Structure,
    /// `notify_off_multiplier`, bytes between doorbells; 0: all queues share one.
    pub notify_off_multiplier: u32,
    /// VIRTIO_PCI_CAP_DEVICE_CFG (virtio 4.1.4.6).
    pub device: Option<Structure>,
    /// MSI-X, when the function has it and the table lies in a BAR that can be accessed.
    pub msix: Option<MsixCapability>,
}

/// Checks vendor and device ID (virtio 4.1.2.1).
pub fn match_device<P: PciRegisters>(pci: &mut P) -> Result<(), Error> {
    let vendor = config_read(pci, PCI_VENDOR_ID, Width::U16)? as u16;
    let device = config_read(pci, PCI_DEVICE_ID, Width::U16)? as u16;
    if vendor != VIRTIO_VENDOR || !VIRTIO_NET_DEVICES.contains(&device) {
        return Err(Error::NotVirtioNet { vendor, device });
    }
    Ok(())
}

/// Lets the function answer memory accesses; INTx stays silent, MSI-X is used.
pub fn enable_memory<P: PciRegisters>(pci: &mut P) -> Result<(), Error> {
    change_command(pci, COMMAND_MEMORY_SPACE | COMMAND_INTX_DISABLE, 0)
}

/// Lets the function read and write memory; `pci_set_master()`.
pub fn enable_bus_master<P: PciRegisters>(pci: &mut P) -> Result<(), Error> {
    change_command(pci, COMMAND_BUS_MASTER, 0)
}

/// Takes bus mastering away: whatever the device does now, it cannot reach memory any more.
pub fn disable_bus_master<P: PciRegisters>(pci: &mut P) -> Result<(), Error> {
    change_command(pci, 0, COMMAND_BUS_MASTER)
}

fn change_command<P: PciRegisters>(pci: &mut P, set: u32, clear: u32) -> Result<(), Error> {
    let command = config_read(pci, PCI_COMMAND, Width::U16)?;
    config_write(pci, PCI_COMMAND, Width::U16, (command | set) & !clear)
}

/// Walks the capability list. Takes the first instance of each structure that lies in a BAR that
/// can be accessed, and skips what it does not know (virtio 4.1.4.1).
pub fn find_capabilities<P: PciRegisters>(pci: &mut P) -> Result<Capabilities, Error> {
    let mut common = None;
    let mut notify = None;
    let mut device = None;
    let mut msix = None;

    let mut walk = CapabilityWalk::start(pci)?;
    while let Some((offset, id)) = walk.next(pci)? {
        match id {
            CAP_ID_MSIX if msix.is_none() => msix = read_msix(pci, offset)?,
            CAP_ID_VENDOR => {
                let cap = u16::from(offset);
                // All fits into the 256 bytes or it is not a virtio capability.
                let cap_len = config_read(pci, cap + 2, Width::U8)?;
                if cap_len < 16 || u32::from(offset) + cap_len > 256 {
                    continue;
                }
                let cfg_type = config_read(pci, cap + 3, Width::U8)?;
                let Some(structure) = read_structure(pci, cap)? else {
                    continue;
                };
                match cfg_type {
                    CFG_TYPE_COMMON => _ = common.get_or_insert(structure),
                    CFG_TYPE_NOTIFY if notify.is_none() && cap_len >= 20 => {
                        notify = Some((structure, config_read(pci, cap + 16, Width::U32)?));
                    }
                    CFG_TYPE_DEVICE => _ = device.get_or_insert(structure),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    let (notify, notify_off_multiplier) = notify.ok_or(Error::MissingCapability("notification"))?;
    Ok(Capabilities {
        common: common.ok_or(Error::MissingCapability("common configuration"))?,
        notify,
        notify_off_multiplier,
        device,
        msix,
    })
}

/// Follows `cap_next` without trusting it.
struct CapabilityWalk {
    next: u8,
    left: usize,
}

impl CapabilityWalk {
    fn start<P: PciRegisters>(pci: &mut P) -> Result<Self, Error> {
        let next = if config_read(pci, PCI_STATUS, Width::U16)? & STATUS_CAPABILITIES != 0 {
            config_read(pci, PCI_CAPABILITY_POINTER, Width::U8)? as u8
        } else {
            0
        };
        Ok(Self {
            next,
            left: MAX_CAPABILITIES,
        })
    }

    /// Offset and ID of the next capability.
    fn next<P: PciRegisters>(&mut self, pci: &mut P) -> Result<Option<(u8, u32)>, Error> {
        // The two low bits are reserved (PCI Local Bus 6.7).
        let offset = self.next & !3;
        if offset == 0 {
            return Ok(None);
        }
        if offset < FIRST_CAPABILITY || self.left == 0 {
            return Err(Error::CapabilityList { offset });
        }
        self.left -= 1;
        let id = config_read(pci, u16::from(offset), Width::U8)?;
        self.next = config_read(pci, u16::from(offset) + 1, Width::U8)? as u8;
        Ok(Some((offset, id)))
    }
}

/// `bar`, `offset` and `length` of a struct virtio_pci_cap; `None` for a reserved BAR number or a
/// range that cannot be accessed.
fn read_structure<P: PciRegisters>(pci: &mut P, cap: u16) -> Result<Option<Structure>, Error> {
    let bar = config_read(pci, cap + 4, Width::U8)? as u8;
    let offset = config_read(pci, cap + 8, Width::U32)?;
    let length = config_read(pci, cap + 12, Width::U32)?;
    Ok(within_bar(pci, bar, offset, length))
}

fn read_msix<P: PciRegisters>(pci: &mut P, offset: u8) -> Result<Option<MsixCapability>, Error> {
    let cap = u16::from(offset);
    if cap + 12 > 256 {
        return Ok(None);
    }
    let control = config_read(pci, cap + 2, Width::U16)?;
    let table = config_read(pci, cap + 4, Width::U32)?;
    // Table Size is encoded as N - 1; the BAR indicator is the offset's low three bits.
    let table_size = (control & 0x7ff) as u16 + 1;
    let bar = (table & 7) as u8;
    let structure = within_bar(pci, bar, table & !7, u32::from(table_size) * 16);
    Ok(structure.map(|table| MsixCapability {
        offset,
        table_size,
        table,
    }))
}

fn within_bar<P: PciRegisters>(pci: &P, bar: u8, offset: u32, length: u32) -> Option<Structure> {
    let end = u64::from(offset) + u64::from(length);
    (bar <= 5 && length > 0 && end <= pci.bar_len(bar)).then_some(Structure {
        bar,
        offset,
        length,
    })
}

pub(crate) fn config_read<P: PciRegisters>(
    pci: &mut P,
    offset: u16,
    width: Width,
) -> Result<u32, Error> {
    pci.config_read(offset, width).map_err(Error::Registers)
}

pub(crate) fn config_write<P: PciRegisters>(
    pci: &mut P,
    offset: u16,
    width: Width,
    value: u32,
) -> Result<(), Error> {
    pci.config_write(offset, width, value)
        .map_err(Error::Registers)
}
