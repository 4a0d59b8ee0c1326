//! Memory of another process, such as a virtual machine, in the device's reach.

use super::Nic;
use crate::iommu::{MapError, Permission};
use std::{fs::File, io};

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

impl Nic {
    /// Lets the device use `len` bytes from bus address `iova`: they are those of `file` from
    /// `offset`, mapped and not copied. All three are multiples of the page size.
    ///
    /// # Errors
    /// [`DmaMapError`]; nothing is changed then.
    pub fn dma_map(
        &mut self,
        iova: u64,
        len: u64,
        file: &File,
        offset: u64,
        permission: Permission,
    ) -> Result<(), DmaMapError> {
        let phys = self.memory.attach(file, offset, len)?;
        self.iommu.set_memory(&self.memory);
        let mapped = self.iommu.map(iova, len, phys, permission);
        if mapped.is_err() {
            self.memory.detach(phys);
            self.iommu.set_memory(&self.memory);
        }
        Ok(mapped?)
    }

    /// Takes back all that [`Nic::dma_map`] gave inside of `len` bytes from `iova`; how many bytes
    /// that was. What is in flight to them is refused.
    ///
    /// # Errors
    /// [`MapError::Overlap`] when a mapping is inside in part only; nothing is changed then.
    pub fn dma_unmap(&mut self, iova: u64, len: u64) -> Result<u64, MapError> {
        let mut bytes = 0;
        for phys in self.iommu.unmap_range(iova, len)? {
            bytes += phys.end - phys.start;
            // A mapping that IommuTable::map() made into the anonymous file leaves the file there.
            if phys.start != 0 {
                self.memory.detach(phys.start);
            }
        }
        self.iommu.set_memory(&self.memory);
        Ok(bytes)
    }
}
