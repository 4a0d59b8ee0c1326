//! MSI-X: the table in the BAR and the enable bit in configuration space (PCI Express 6.1.4, 7.7.2).

use crate::error::Error;
use crate::interrupts::{Interrupts, MsiMessage};
use crate::pci::{self, MsixCapability};
use crate::registers::{PciRegisters, Width};

/// Message Control, bytes from the start of the capability.
const MESSAGE_CONTROL: u16 = 2;
const CONTROL_ENABLE: u32 = 1 << 15;
const CONTROL_FUNCTION_MASK: u32 = 1 << 14;

// One table entry: byte offsets.
const ENTRY_BYTES: u32 = 16;
const ENTRY_ADDRESS_LOW: u32 = 0;
const ENTRY_ADDRESS_HIGH: u32 = 4;
const ENTRY_DATA: u32 = 8;
const ENTRY_CONTROL: u32 = 12;
const ENTRY_MASKED: u32 = 1;

/// Which vector stands for what. Events share a vector when there are not three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// Configuration changes.
    pub config: u16,
    /// Used buffers of the receive queue.
    pub rx: u16,
    /// Used buffers of the transmit queue.
    pub tx: u16,
}

impl Vectors {
    /// Shares `count` vectors: one for each event, or one for the configuration and one for both
    /// queues, or one for all (as Linux's `vp_find_vqs()` falls back).
    pub fn assign(count: u16) -> Option<Self> {
        match count {
            0 => None,
            1 => Some(Self {
                config: 0,
                rx: 0,
                tx: 0,
            }),
            2 => Some(Self {
                config: 0,
                rx: 1,
                tx: 1,
            }),
            _ => Some(Self {
                config: 0,
                rx: 1,
                tx: 2,
            }),
        }
    }

    /// Number of vectors in use.
    fn count(self) -> u16 {
        self.tx + 1
    }
}

/// Programs the table and enables MSI-X, unless the platform does both itself.
pub fn enable<P: PciRegisters, I: Interrupts>(
    pci: &mut P,
    irq: &mut I,
    cap: &MsixCapability,
    vectors: Vectors,
) -> Result<(), Error> {
    let mut enabled = false;
    for vector in 0..vectors.count() {
        let message = irq
            .message(vector)
            .map_err(|source| Error::Interrupt { vector, source })?;
        let Some(message) = message else { continue };
        if !enabled {
            // Enabled but masked as a whole: no message leaves with half an entry.
            set_control(pci, cap, CONTROL_ENABLE | CONTROL_FUNCTION_MASK)?;
            enabled = true;
        }
        write_entry(pci, cap, vector, message)?;
    }
    if enabled {
        set_control(pci, cap, CONTROL_ENABLE)?;
    }
    Ok(())
}

/// Disables MSI-X.
pub fn disable<P: PciRegisters>(pci: &mut P, cap: &MsixCapability) -> Result<(), Error> {
    set_control(pci, cap, 0)
}

fn write_entry<P: PciRegisters>(
    pci: &mut P,
    cap: &MsixCapability,
    vector: u16,
    message: MsiMessage,
) -> Result<(), Error> {
    // Within the table: the caller uses no more vectors than table_size.
    let entry = cap.table.offset + u32::from(vector) * ENTRY_BYTES;
    let mut write = |field, value| {
        pci.bar_write(cap.table.bar, entry + field, Width::U32, value)
            .map_err(Error::Registers)
    };
    write(ENTRY_CONTROL, ENTRY_MASKED)?;
    write(ENTRY_ADDRESS_LOW, message.address as u32)?;
    write(ENTRY_ADDRESS_HIGH, (message.address >> 32) as u32)?;
    write(ENTRY_DATA, message.data)?;
    write(ENTRY_CONTROL, 0)
}

fn set_control<P: PciRegisters>(pci: &mut P, cap: &MsixCapability, bits: u32) -> Result<(), Error> {
    let offset = u16::from(cap.offset) + MESSAGE_CONTROL;
    let rest =
        pci::config_read(pci, offset, Width::U16)? & !(CONTROL_ENABLE | CONTROL_FUNCTION_MASK);
    pci::config_write(pci, offset, Width::U16, rest | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_shared_when_there_are_few() {
        assert_eq!(Vectors::assign(0), None);
        for (count, used) in [(1, 1), (2, 2), (3, 3), (2048, 3)] {
            assert_eq!(Vectors::assign(count).unwrap().count(), used);
        }
    }
}
