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

/// How the queues share vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// Each queue has one.
    Queue,
    /// The two queues of a pair have one.
    Pair,
    /// All queues have one.
    Queues,
    /// All queues and the configuration have one.
    All,
}

/// Which vector stands for what. Events share a vector when there are not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// Configuration changes.
    pub config: u16,
    sharing: Sharing,
    pairs: u16,
}

impl Vectors {
    /// Shares `count` vectors between the configuration and the queues of `pairs`: one for each event, or
    /// one for each pair, or one for all queues (as Linux's `vp_find_vqs()` falls back), or one for all.
    pub fn assign(count: u16, pairs: u16) -> Option<Self> {
        let sharing = match count {
            0 => return None,
            1 => Sharing::All,
            _ if count > 2 * pairs => Sharing::Queue,
            _ if count > pairs => Sharing::Pair,
            _ => Sharing::Queues,
        };
        Some(Self {
            config: 0,
            sharing,
            pairs,
        })
    }

    /// Of used buffers of the receive queue of `pair`, counted from 0.
    pub fn rx(self, pair: u16) -> u16 {
        match self.sharing {
            Sharing::Queue => 1 + 2 * pair,
            Sharing::Pair => 1 + pair,
            Sharing::Queues => 1,
            Sharing::All => 0,
        }
    }

    /// Of used buffers of the transmit queue of `pair`.
    pub fn tx(self, pair: u16) -> u16 {
        self.rx(pair) + u16::from(self.sharing == Sharing::Queue)
    }

    /// Whether `vector` is one of that pair's.
    #[inline]
    pub(crate) fn serves(self, vector: u16, pair: u16) -> bool {
        vector == self.rx(pair) || vector == self.tx(pair)
    }

    /// Number of vectors in use.
    fn count(self) -> u16 {
        self.tx(self.pairs - 1) + 1
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
        assert_eq!(Vectors::assign(0, 1), None);
        for (count, pairs, used) in [
            (1, 1, 1),
            (2, 1, 2),
            (3, 1, 3),
            (2048, 1, 3),
            (1, 4, 1),
            (2, 4, 2),
            (4, 4, 2),
            (5, 4, 5),
            (8, 4, 5),
            (9, 4, 9),
        ] {
            let vectors = Vectors::assign(count, pairs).unwrap();
            assert_eq!(vectors.count(), used, "{count} for {pairs} pairs");
        }
        let each = Vectors::assign(9, 4).unwrap();
        assert_eq!(
            (each.rx(0), each.tx(0), each.rx(3), each.tx(3)),
            (1, 2, 7, 8)
        );
        let pair = Vectors::assign(5, 4).unwrap();
        assert_eq!((pair.rx(3), pair.tx(3)), (4, 4));
    }
}
