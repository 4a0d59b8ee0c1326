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
    /// Frames that a reset of the function cut on the device's transmit pins. The link partner drops
    /// them: they end without Terminate.
    pub wire_cut: u64,
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

/// The control queue's number in AXI IDs, whatever number the driver knows it by (`ID_CTRL` in
/// `rtl/pkg/nic_pkg.sv`).
pub const CTRL_QUEUE: u8 = 16;

/// Who made a burst: what an AXI ID says (`ID_*` in `rtl/pkg/nic_pkg.sv`). Queues count as in virtio
/// 5.1.2 with all pairs, the control queue is [`CTRL_QUEUE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusClient {
    /// Reads of a queue's descriptors.
    Descriptors(u8),
    /// A queue's event suppression structures and used descriptors.
    Ring(u8),
    /// A queue's buffers.
    Data(u8),
    /// MSI-X messages.
    Message,
}

impl BusClient {
    /// The ID.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Descriptors(queue) => queue,
            Self::Ring(queue) => 1 << 5 | queue,
            Self::Data(queue) => 2 << 5 | queue,
            Self::Message => 3 << 5,
        }
    }

    /// Whose ID it is; `None` for one that the device does not use.
    #[must_use]
    pub const fn of(id: u8) -> Option<Self> {
        let queue = id & 0x1f;
        match id >> 5 {
            0 if queue <= CTRL_QUEUE => Some(Self::Descriptors(queue)),
            1 if queue <= CTRL_QUEUE => Some(Self::Ring(queue)),
            2 if queue <= CTRL_QUEUE => Some(Self::Data(queue)),
            3 if queue == 0 => Some(Self::Message),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_rtl() {
        let package = include_str!("../../rtl/pkg/nic_pkg.sv");
        let line = |name: &str| {
            let found = package.lines().find(|line| {
                line.contains("localparam") && line.split_whitespace().any(|word| word == name)
            });
            found.unwrap_or_else(|| panic!("{name} is not in nic_pkg"))
        };
        for (name, value) in [
            ("ID_DESC", "3'd0;"),
            ("ID_RING", "3'd1;"),
            ("ID_DATA", "3'd2;"),
            ("ID_MSIX", "8'h60;"),
            ("ID_CTRL", "5'd16;"),
        ] {
            assert!(line(name).contains(value), "{name}");
        }
        for id in 0..=u8::MAX {
            assert!(BusClient::of(id).is_none_or(|client| client.id() == id));
        }
        assert_eq!(BusClient::of(0x60), Some(BusClient::Message));
        assert_eq!(BusClient::of(0x43), Some(BusClient::Data(3)));
    }
}
