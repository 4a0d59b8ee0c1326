//! Memory of another process, such as a virtual machine, in the device's reach.

use super::Nic;
use crate::{
    error::Error,
    guest::{DmaMapError, GuestDevice, attach, detach},
    iommu::{MapError, Permission},
};
use std::fs::File;

impl GuestDevice for Nic {
    fn dma_map(
        &mut self,
        iova: u64,
        len: u64,
        file: &File,
        offset: u64,
        permission: Permission,
    ) -> Result<(), DmaMapError> {
        Nic::dma_map(self, iova, len, file, offset, permission)
    }

    fn dma_unmap(&mut self, iova: u64, len: u64) -> Result<u64, MapError> {
        Nic::dma_unmap(self, iova, len)
    }

    fn quiescent(&self) -> bool {
        Nic::quiescent(self)
    }

    fn function_reset(&mut self) -> Result<(), Error> {
        Nic::function_reset(self)
    }
}

impl Nic {
    /// [`GuestDevice::dma_map`].
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
        let (range, file) = ((iova, len), (file, offset));
        attach(&mut self.memory, &mut self.iommu, range, file, permission)
    }

    /// [`GuestDevice::dma_unmap`].
    ///
    /// # Errors
    /// [`MapError::Overlap`] when a mapping is inside in part only; nothing is changed then.
    pub fn dma_unmap(&mut self, iova: u64, len: u64) -> Result<u64, MapError> {
        detach(&mut self.memory, &mut self.iommu, iova, len)
    }
}
