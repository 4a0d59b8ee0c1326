//! A device whose memory is another process's, such as a virtual machine's.

use crate::{
    device::Device,
    error::Error,
    iommu::{IommuTable, MapError, Permission},
    memory::HostMemory,
    pci::MSIX_CONTROL,
};
use std::{fs::File, io};

/// What a service that gives a card to another process needs of it beyond [`Device`].
pub trait GuestDevice: Device {
    /// Lets the device use `len` bytes from bus address `iova`: they are those of `file` from
    /// `offset`, mapped and not copied. All three are multiples of the page size. A file is mapped as
    /// a whole, once.
    ///
    /// # Errors
    /// [`DmaMapError`]; nothing is changed then.
    fn dma_map(
        &mut self,
        iova: u64,
        len: u64,
        file: &File,
        offset: u64,
        permission: Permission,
    ) -> Result<(), DmaMapError> {
        let (memory, iommu) = self.reach();
        let phys = memory.attach(file, offset, len)?;
        iommu.set_memory(memory);
        let mapped = iommu.map(iova, len, phys, permission);
        if mapped.is_err() {
            memory.detach(phys);
            iommu.set_memory(memory);
        }
        Ok(mapped?)
    }

    /// Takes back all that [`GuestDevice::dma_map`] gave inside of `len` bytes from `iova`; how many
    /// bytes that was. What is in flight to them still arrives, unless that was the last of its file.
    ///
    /// # Errors
    /// [`MapError::Overlap`] when a mapping is inside in part only; nothing is changed then.
    fn dma_unmap(&mut self, iova: u64, len: u64) -> Result<u64, MapError> {
        let (memory, iommu) = self.reach();
        let mut bytes = 0;
        for phys in iommu.unmap_range(iova, len)? {
            bytes += phys.end - phys.start;
            memory.detach(phys.start);
        }
        iommu.set_memory(memory);
        Ok(bytes)
    }

    /// The memory that the device can reach, and the table in front of it.
    fn reach(&mut self) -> (&mut HostMemory, &mut IommuTable);

    /// Nothing happens in or around the device until an access, a frame or a change of the link comes
    /// from outside: time may stand.
    fn quiescent(&self) -> bool;

    /// Resets the whole function, as a Function Level Reset or a reset of the bus does; memory, IOMMU
    /// and wire stay.
    ///
    /// # Errors
    /// When the RTL does not survive it.
    fn function_reset(&mut self) -> Result<(), Error>;

    /// MSI-X vectors, 1..=64.
    fn vectors(&mut self) -> u16 {
        // Table Size (PCI 3.0, 6.8.2.3) is one less.
        (self.config_read(MSIX_CONTROL as u16, 2) as u16 & 0x7ff) + 1
    }
}

/// Why memory of another process cannot be given to the device.
#[derive(Debug, thiserror::Error)]
pub enum DmaMapError {
    /// The file cannot be mapped.
    #[error("the memory's file: {0}")]
    File(#[from] io::Error),
    /// The bus addresses do not fit.
    #[error(transparent)]
    Table(#[from] MapError),
}
