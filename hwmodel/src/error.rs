use crate::{Ps, axi::AxiError, xgmii::WireError};

/// What ends a simulation, or makes it impossible. Nothing that a packet or a driver's ring contains
/// is an error here: those the device answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An assertion, `$fatal`, `$stop` or `$finish` of the RTL.
    #[error("{at} ps: {message}")]
    Rtl {
        /// Time of the edge.
        at: Ps,
        /// What the RTL printed, with its scope.
        message: String,
    },
    /// The RTL broke the AXI protocol.
    #[error(transparent)]
    Axi(#[from] AxiError),
    /// The RTL sent something that is not Ethernet.
    #[error("transmit pins: {0}")]
    Wire(#[from] WireError),
    /// A register access that no CPU makes: not 1, 2 or 4 bytes, not aligned, or outside of BAR0.
    #[error("register access of {width} bytes at {offset:#x}")]
    BarAccess {
        /// Offset in BAR0.
        offset: u32,
        /// Bytes.
        width: u8,
    },
    /// The RTL did not answer a register access.
    #[error("{at} ps: no answer to the read of register {offset:#x} after {cycles} cycles")]
    BarTimeout {
        /// When it was given up.
        at: Ps,
        /// Offset in BAR0.
        offset: u32,
        /// Cycles since the access arrived.
        cycles: u64,
    },
    /// Host memory could not be had.
    #[error("host memory: {0}")]
    Memory(String),
    /// Waves cannot be written.
    #[error("waves: {0}")]
    Waves(String),
    /// An option is outside of what the device takes.
    #[error("{name} = {value}: not in {range}")]
    Config {
        /// Which.
        name: &'static str,
        /// What was given.
        value: u64,
        /// What is possible.
        range: &'static str,
    },
}
