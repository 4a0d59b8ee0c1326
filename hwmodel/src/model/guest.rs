//! The model in a virtual machine: memory of another process, and when time may stand.

use super::ModelNic;
use crate::{error::Error, guest::GuestDevice, iommu::IommuTable, memory::HostMemory};

impl GuestDevice for ModelNic {
    fn reach(&mut self) -> (&mut HostMemory, &mut IommuTable) {
        (&mut self.dma.memory, &mut self.dma.iommu)
    }

    fn quiescent(&self) -> bool {
        self.events.is_empty()
    }

    fn function_reset(&mut self) -> Result<(), Error> {
        self.reset_function();
        Ok(())
    }
}
