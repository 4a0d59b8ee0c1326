//! The way of each packet, stage by stage, in simulated time.

mod bus;
mod describe;
mod journey;
mod recorder;
mod software;
mod text;

pub use describe::describe;
pub use journey::{Event, Journey, PacketKey, Ps};
pub use recorder::Recorder;
pub use text::journey as journey_text;

/// The part of the machine where a stage happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The XGMII pins.
    Wire,
    /// The bus between NIC and host memory.
    Dma,
    /// Interrupt delivery.
    Irq,
    /// The driver.
    Driver,
    /// The kernel path.
    Kernel,
    /// The application.
    App,
}

impl Layer {
    /// Short name for a column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Dma => "dma",
            Self::Irq => "irq",
            Self::Driver => "driver",
            Self::Kernel => "kernel",
            Self::App => "app",
        }
    }
}
