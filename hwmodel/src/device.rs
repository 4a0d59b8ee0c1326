use crate::{
    Ps,
    counters::{Counters, DmaRecord},
    error::Error,
    iommu::IommuTable,
    memory::HostMemory,
    msix::MsixMessage,
    xgmii::WireFrame,
};

/// Why [`Device::run_until`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The time has come.
    Time,
    /// [`Device::take_msix`] has a message.
    Msix,
    /// [`Device::take_wire`] has a frame.
    WireTx,
}

/// A network card on a PCI bus and a wire, as a host sees it: the RTL, or another model in its place.
///
/// Times are picoseconds. Widths are bytes: 1, 2 or 4. Values are little endian.
pub trait Device {
    /// The device's time; a multiple of the clock cycle.
    fn now(&self) -> Ps;

    /// Reads configuration space. All ones when the access is not naturally aligned.
    fn config_read(&mut self, offset: u16, width: u8) -> u32;

    /// Writes configuration space.
    fn config_write(&mut self, offset: u16, width: u8, value: u32);

    /// Reads a register of BAR0. Runs the clock until the answer has come back over the bus; it does
    /// so behind all DMA writes that the device made before. All ones while Memory Space Enable is 0.
    ///
    /// # Errors
    /// [`Error::BarAccess`], and what [`Device::run_until`] may say.
    fn bar_read(&mut self, offset: u32, width: u8) -> Result<u32, Error>;

    /// Writes a register of BAR0. The write is posted: it is on its way when this returns, and arrives
    /// in order with all others and before later reads.
    ///
    /// # Errors
    /// [`Error::BarAccess`].
    fn bar_write(&mut self, offset: u32, width: u8, value: u32) -> Result<(), Error>;

    /// Queues a frame for the device's receive pins, not before `frame.at` and behind those queued.
    fn wire_send(&mut self, frame: WireFrame);

    /// Frames that were queued and have not begun.
    fn wire_pending(&self) -> usize;

    /// Runs until `until`, rounded up to a clock cycle, or until a message or frame is there to be
    /// taken. Comes back at once when one is there already.
    ///
    /// # Errors
    /// When the RTL stops or breaks a protocol. The same error comes again from every later call.
    fn run_until(&mut self, until: Ps) -> Result<Stop, Error>;

    /// The oldest MSI-X message that was not taken.
    fn take_msix(&mut self) -> Option<MsixMessage>;

    /// The oldest transmitted frame that was not taken.
    fn take_wire(&mut self) -> Option<WireFrame>;

    /// Host memory. A clone is the same memory.
    fn memory(&self) -> &HostMemory;

    /// What the device may access.
    fn iommu(&mut self) -> &mut IommuTable;

    /// The link's state, as the PHY reports it.
    fn set_link(&mut self, up: bool);

    /// What happened so far.
    fn counters(&self) -> Counters;

    /// Starts or stops noting DMA bursts.
    fn set_dma_log(&mut self, on: bool);

    /// The bursts since the last call, in the order in which they ended.
    fn take_dma_log(&mut self) -> Vec<DmaRecord>;
}
