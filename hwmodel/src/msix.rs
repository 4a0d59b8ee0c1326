//! Interrupt messages, as the interrupt controller of the host receives them.

use crate::Ps;
use std::ops::RangeInclusive;

/// Addresses whose writes are interrupts and not memory: those of an x86 host (0xFEEx_xxxx), which
/// pass the IOMMU untranslated.
pub const RANGE: RangeInclusive<u64> = 0xfee0_0000..=0xfeef_ffff;

/// One MSI-X message: a posted write of four bytes. It arrives when all DMA writes before it are
/// visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsixMessage {
    /// Time of arrival.
    pub at: Ps,
    /// Message Address, as programmed into the table.
    pub address: u64,
    /// Message Data, as programmed into the table.
    pub data: u32,
}
