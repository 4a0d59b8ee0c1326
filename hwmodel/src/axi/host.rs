use super::burst::Burst;
use crate::{
    counters::{Counters, DmaRecord},
    iommu::{Access, IommuTable, Refusal},
    memory::HostMemory,
    msix::MsixMessage,
};
use std::collections::VecDeque;

/// What the channels act on: the host as a device sees it. One value per simulated device.
#[derive(Debug)]
pub(crate) struct Host {
    pub memory: HostMemory,
    pub iommu: IommuTable,
    /// Bus Master Enable of the command register.
    pub bus_master: bool,
    pub counters: Counters,
    /// Where finished bursts are noted, when somebody wants to know.
    pub log: Option<Vec<DmaRecord>>,
    /// Interrupt messages that were not taken, oldest first.
    pub messages: VecDeque<MsixMessage>,
}

impl Host {
    /// A host that knows of no device yet.
    pub(crate) fn new(memory: HostMemory) -> Self {
        Self {
            iommu: IommuTable::new(&memory),
            memory,
            bus_master: false,
            counters: Counters::default(),
            log: None,
            messages: VecDeque::new(),
        }
    }

    /// Where the beats of a burst are, from the one at `aligned`; it does not cross a page.
    pub(super) fn translate(
        &mut self,
        aligned: u64,
        burst: Burst,
        access: Access,
    ) -> Result<u64, Refusal> {
        if !self.bus_master {
            return Err(Refusal::NotBusMaster);
        }
        let len = burst.addr - aligned + burst.len();
        self.iommu.translate(aligned, len, access)
    }

    /// Counts and notes a finished burst.
    pub(super) fn done(&mut self, record: DmaRecord) {
        let len = u64::from(record.len);
        match (record.refused, record.access) {
            (Some(_), _) => self.counters.dma_refused += 1,
            (None, Access::Read) => {
                self.counters.dma_read_bursts += 1;
                self.counters.dma_read_bytes += len;
            }
            (None, Access::Write) => {
                self.counters.dma_write_bursts += 1;
                self.counters.dma_write_bytes += len;
            }
        }
        if let Some(log) = &mut self.log {
            log.push(record);
        }
    }
}
