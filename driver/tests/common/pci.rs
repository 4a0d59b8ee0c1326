//! The function on its bus: configuration space, BARs and messages, as the driver's traits show them.

use std::cell::RefCell;
use std::rc::Rc;

use driver::{BusError, Interrupts, MsiMessage, PciRegisters, Width};

use super::function::{
    COMMON, DEVICE, Function, ISR, MSIX_CAP, NOTIFY, NOTIFY_MULTIPLIER, REGISTER_BAR, TABLE,
    TABLE_BAR,
};

/// Configuration space with the capabilities, among them some that a driver must pass over.
pub fn config_space(vectors: u16) -> [u8; 256] {
    let mut config = [0; 256];
    config[..4].copy_from_slice(&[0xf4, 0x1a, 0x41, 0x10]);
    config[6] = 0x10; // capability list
    config[0x34] = 0x40;
    // MSI-X: size - 1, table, PBA.
    config[0x40..0x44].copy_from_slice(&[0x11, 0x50, (vectors - 1) as u8, 0]);
    config[0x44..0x48].copy_from_slice(&(TABLE | u32::from(TABLE_BAR)).to_le_bytes());
    config[0x48..0x4c].copy_from_slice(&(0x800 | u32::from(TABLE_BAR)).to_le_bytes());
    let mut virtio =
        |at: usize, next: u8, len: u8, cfg_type: u8, bar: u8, offset: u32, length: u32| {
            config[at..at + 5].copy_from_slice(&[0x09, next, len, cfg_type, bar]);
            config[at + 8..at + 12].copy_from_slice(&offset.to_le_bytes());
            config[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
        };
    virtio(0x50, 0x60, 16, 9, REGISTER_BAR, 0, 16); // vendor data: not ours
    virtio(0x60, 0x70, 16, 1, 7, 0, 64); // common, but in a reserved BAR
    virtio(0x70, 0x80, 16, 1, REGISTER_BAR, 0xffff_fff0, 64); // common, but beyond the BAR
    virtio(0x80, 0x90, 16, 1, REGISTER_BAR, COMMON, 64);
    virtio(0x90, 0xb0, 24, 2, REGISTER_BAR, NOTIFY, 0x100);
    virtio(0xb0, 0xc0, 16, 3, REGISTER_BAR, ISR, 1);
    virtio(0xc0, 0xd0, 16, 4, REGISTER_BAR, DEVICE, 24);
    virtio(0xd0, 0xe0, 16, 1, REGISTER_BAR, 0x700, 64); // second choice
    virtio(0xe0, 0x00, 20, 5, 0, 0, 0);
    config[0xa0..0xa4].copy_from_slice(&NOTIFY_MULTIPLIER.to_le_bytes());
    config
}

/// The driver's access to the function.
#[derive(Clone)]
pub struct Pci(pub Rc<RefCell<Function>>);

impl PciRegisters for Pci {
    fn config_read(&mut self, offset: u16, width: Width) -> Result<u32, BusError> {
        let mut f = self.0.borrow_mut();
        if let Some(Some(lie)) = f.lies.pop_front() {
            return Ok(lie & mask(width));
        }
        let at = usize::from(offset);
        let bytes = f.config.get(at..at + usize::from(width.bytes()));
        let bytes = bytes.ok_or("beyond configuration space")?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32) -> Result<(), BusError> {
        let mut f = self.0.borrow_mut();
        // Command and MSI-X control only (virtio 4.1.4.1: capabilities are not written).
        if ![4, MSIX_CAP as u16 + 2].contains(&offset) && f.lies.is_empty() {
            f.violation(format!("configuration space written at {offset:#x}"));
        }
        for (i, byte) in value
            .to_le_bytes()
            .into_iter()
            .take(width.bytes().into())
            .enumerate()
        {
            *f.config
                .get_mut(usize::from(offset) + i)
                .ok_or("beyond configuration space")? = byte;
        }
        Ok(())
    }

    fn bar_read(&mut self, bar: u8, offset: u32, width: Width) -> Result<u32, BusError> {
        let mut f = self.0.borrow_mut();
        if let Some(Some(lie)) = f.lies.pop_front() {
            return Ok(lie & mask(width));
        }
        if bar != REGISTER_BAR || f.config[4] & 2 == 0 {
            f.violation(format!("read of BAR {bar}"));
        }
        Ok(f.read(offset, width))
    }

    fn bar_write(
        &mut self,
        bar: u8,
        offset: u32,
        width: Width,
        value: u32,
    ) -> Result<(), BusError> {
        let mut f = self.0.borrow_mut();
        if f.fail_writes {
            return Err("link is down".into());
        }
        let at = offset.wrapping_sub(TABLE) as usize;
        if bar == REGISTER_BAR {
            f.write(offset, width, value);
        } else if bar == TABLE_BAR && width == Width::U32 && at + 4 <= f.table.len() {
            f.table[at..at + 4].copy_from_slice(&value.to_le_bytes());
        } else {
            f.violation(format!("write of BAR {bar} at {offset:#x}"));
        }
        Ok(())
    }

    fn bar_len(&self, bar: u8) -> u64 {
        match bar {
            REGISTER_BAR => 0x2000,
            TABLE_BAR => 0x1000,
            _ => 0,
        }
    }
}

fn mask(width: Width) -> u32 {
    u32::MAX >> (32 - 8 * u32::from(width.bytes()))
}

/// Messages whose address and data name the vector.
#[derive(Clone, Copy)]
pub struct Msi {
    pub vectors: u16,
}

impl Interrupts for Msi {
    fn vectors(&self) -> u16 {
        self.vectors
    }

    fn message(&mut self, vector: u16) -> Result<Option<MsiMessage>, BusError> {
        let address = 0x1_fee0_0000 + 16 * u64::from(vector);
        Ok(Some(MsiMessage {
            address,
            data: 0x4000 + u32::from(vector),
        }))
    }
}

/// The vector that a message stands for.
pub fn vector_of(message: MsiMessage) -> u16 {
    let vector = ((message.address - 0x1_fee0_0000) / 16) as u16;
    assert_eq!(message.data, 0x4000 + u32::from(vector));
    vector
}
