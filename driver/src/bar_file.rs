//! [`PciRegisters`] of a real function through files, as `/sys/bus/pci/devices/…` has them:
//! `config` is read and written, `resource0` … `resource5` are mapped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::MmapRaw;
use volatile_register::RW;

use crate::error::BusError;
use crate::registers::{PciRegisters, Width};

/// First base address register (PCI Local Bus 6.2.5).
const PCI_BASE_ADDRESS_0: u64 = 0x10;
const BASE_ADDRESS_IO_SPACE: u32 = 1;

/// The registers of one PCI function behind files.
#[derive(Debug)]
pub struct BarFile {
    config: File,
    bars: [Option<MmapRaw>; 6],
}

impl BarFile {
    /// Opens the files in `dir`, e.g. `/sys/bus/pci/devices/0000:00:05.0`. A BAR without a file,
    /// with an empty one, or in I/O space is not there.
    ///
    /// # Errors
    /// A file cannot be opened or mapped; the right to do so is root's.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let config = OpenOptions::new()
            .read(true)
            .write(true)
            .open(dir.join("config"))?;
        let mut bars = [const { None }; 6];
        for (number, bar) in bars.iter_mut().enumerate() {
            let mut register = [0; 4];
            config.read_exact_at(&mut register, PCI_BASE_ADDRESS_0 + 4 * number as u64)?;
            if u32::from_le_bytes(register) & BASE_ADDRESS_IO_SPACE == 0 {
                *bar = map(&dir.join(format!("resource{number}")))?;
            }
        }
        Ok(Self { config, bars })
    }

    /// The cell at `offset`, if it is aligned and within the BAR.
    fn cell<T>(&self, bar: u8, offset: u32) -> Result<&RW<T>, BusError>
    where
        T: Copy,
    {
        let map = self.bars.get(usize::from(bar)).and_then(Option::as_ref);
        let map = map.ok_or_else(|| format!("BAR {bar} is not there"))?;
        let (offset, size) = (offset as usize, size_of::<T>());
        if offset % size != 0 || offset.checked_add(size).is_none_or(|end| end > map.len()) {
            return Err(format!("{size} bytes at {offset:#x} of BAR {bar}").into());
        }
        // SAFETY: in bounds and aligned (a mapping is page aligned); the mapping lives as long as
        // `self`, and all access to it is volatile, through these cells.
        Ok(unsafe { &*map.as_ptr().add(offset).cast::<RW<T>>() })
    }
}

fn map(path: &Path) -> io::Result<Option<MmapRaw>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    MmapRaw::map_raw(&file).map(Some)
}

impl PciRegisters for BarFile {
    fn config_read(&mut self, offset: u16, width: Width) -> Result<u32, BusError> {
        let mut bytes = [0; 4];
        let used = &mut bytes[..usize::from(width.bytes())];
        self.config.read_exact_at(used, u64::from(offset))?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32) -> Result<(), BusError> {
        let bytes = &value.to_le_bytes()[..usize::from(width.bytes())];
        Ok(self.config.write_all_at(bytes, u64::from(offset))?)
    }

    fn bar_read(&mut self, bar: u8, offset: u32, width: Width) -> Result<u32, BusError> {
        Ok(match width {
            Width::U8 => u32::from(self.cell::<u8>(bar, offset)?.read()),
            Width::U16 => u32::from(u16::from_le(self.cell(bar, offset)?.read())),
            Width::U32 => u32::from_le(self.cell(bar, offset)?.read()),
        })
    }

    fn bar_write(
        &mut self,
        bar: u8,
        offset: u32,
        width: Width,
        value: u32,
    ) -> Result<(), BusError> {
        // SAFETY: what a register write makes a device do is the driver's affair; memory of this
        // process is reached by the device only through regions that the driver gave it.
        unsafe {
            match width {
                Width::U8 => self.cell(bar, offset)?.write(value as u8),
                Width::U16 => self.cell(bar, offset)?.write((value as u16).to_le()),
                Width::U32 => self.cell(bar, offset)?.write(value.to_le()),
            }
        }
        Ok(())
    }

    fn bar_len(&self, bar: u8) -> u64 {
        let map = self.bars.get(usize::from(bar)).and_then(Option::as_ref);
        map.map_or(0, |map| map.len() as u64)
    }
}
