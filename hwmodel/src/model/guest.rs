//! The model in a virtual machine: memory of another process, and when time may stand.

use super::ModelNic;
use crate::{
    error::Error,
    guest::{DmaMapError, GuestDevice, attach, detach},
    iommu::{MapError, Permission},
};
use std::fs::File;

impl GuestDevice for ModelNic {
    fn dma_map(
        &mut self,
        iova: u64,
        len: u64,
        file: &File,
        offset: u64,
        permission: Permission,
    ) -> Result<(), DmaMapError> {
        let (range, file) = ((iova, len), (file, offset));
        let (memory, iommu) = (&mut self.dma.memory, &mut self.dma.iommu);
        attach(memory, iommu, range, file, permission)
    }

    fn dma_unmap(&mut self, iova: u64, len: u64) -> Result<u64, MapError> {
        detach(&mut self.dma.memory, &mut self.dma.iommu, iova, len)
    }

    fn quiescent(&self) -> bool {
        self.events.is_empty()
    }

    fn function_reset(&mut self) -> Result<(), Error> {
        self.reset_function();
        Ok(())
    }
}
