//! The card in a virtual machine: memory of another process, and when time may stand.

use super::Nic;
use crate::{error::Error, guest::GuestDevice, iommu::IommuTable, memory::HostMemory};

impl GuestDevice for Nic {
    fn reach(&mut self) -> (&mut HostMemory, &mut IommuTable) {
        (&mut self.host.memory, &mut self.host.iommu)
    }

    fn quiescent(&self) -> bool {
        Nic::quiescent(self)
    }

    fn function_reset(&mut self) -> Result<(), Error> {
        Nic::function_reset(self)
    }
}
