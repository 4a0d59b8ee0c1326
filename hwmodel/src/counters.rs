use crate::{Ps, iommu::Access, iommu::Refusal};

/// What happened at the device's pins since power-on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clock cycles that the model ran.
    pub cycles: u64,
    /// Clock cycles that passed without running it, because nothing could happen in them.
    pub cycles_skipped: u64,
    /// Bytes that the device read by DMA.
    pub dma_read_bytes: u64,
    /// Bursts in which it did.
    pub dma_read_bursts: u64,
    /// Bytes that the device wrote by DMA, MSI-X messages not included.
    pub dma_write_bytes: u64,
    /// Bursts in which it did.
    pub dma_write_bursts: u64,
    /// Bursts that were refused and answered with an error: not mapped, wrong direction, no bus
    /// mastering. They are not in the counts above.
    pub dma_refused: u64,
    /// MSI-X messages that arrived.
    pub msix_messages: u64,
    /// Register reads by the driver.
    pub bar_reads: u64,
    /// Register writes by the driver, doorbells included.
    pub bar_writes: u64,
    /// Register writes to the notification area (virtio 4.1.4.4).
    pub doorbells: u64,
    /// Register accesses that the device answered with an error.
    pub bar_errors: u64,
    /// Frames that began on the device's receive pins or wait for it.
    pub wire_in: u64,
    /// Frames that came from the device's transmit pins.
    pub wire_out: u64,
}

/// One DMA burst, for traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaRecord {
    /// Time of the address handshake.
    pub start: Ps,
    /// A read's last beat was taken; a write's data is visible.
    pub end: Ps,
    /// Direction, seen from the device.
    pub access: Access,
    /// AXI ID, which names the client in the device (`ID_*` in `rtl/pkg/nic_pkg.sv`).
    pub id: u8,
    /// Bus address of the first byte.
    pub iova: u64,
    /// Bytes: a read's up to the end of its last beat, a write's strobes.
    pub len: u32,
    /// Why it was refused, if it was.
    pub refused: Option<Refusal>,
}
