//! Register access to one PCI function: configuration space and memory BARs.

use crate::error::BusError;

/// Width of one register access. Wider fields are accessed as two 32-bit halves (virtio 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// 8 bits.
    U8 = 1,
    /// 16 bits, naturally aligned.
    U16 = 2,
    /// 32 bits, naturally aligned.
    U32 = 4,
}

impl Width {
    /// Bytes that the access covers: 1, 2 or 4.
    pub const fn bytes(self) -> u8 {
        self as u8
    }
}

/// The registers of one PCI function.
///
/// Values are in CPU byte order and right-aligned; the implementation converts to and from the
/// little-endian bytes of the bus. Offsets are multiples of the access width. BAR writes are
/// posted: they may return before the device has seen them, but never overtake each other, and a
/// BAR read returns only after every earlier write has arrived (PCI Local Bus 3.2.5.5).
pub trait PciRegisters {
    /// Reads configuration space. `offset`: bytes, 0..=4095.
    ///
    /// # Errors
    /// The access could not be made.
    fn config_read(&mut self, offset: u16, width: Width) -> Result<u32, BusError>;

    /// Writes configuration space. `offset`: bytes, 0..=4095.
    ///
    /// # Errors
    /// The access could not be made.
    fn config_write(&mut self, offset: u16, width: Width, value: u32) -> Result<(), BusError>;

    /// Reads a memory BAR. `bar`: 0..=5; `offset`: bytes from its start.
    ///
    /// # Errors
    /// The BAR is not there, the access lies outside of it, or the bus reported an error.
    fn bar_read(&mut self, bar: u8, offset: u32, width: Width) -> Result<u32, BusError>;

    /// Writes a memory BAR. `bar`: 0..=5; `offset`: bytes from its start.
    ///
    /// # Errors
    /// The BAR is not there, the access lies outside of it, or the bus reported an error.
    fn bar_write(&mut self, bar: u8, offset: u32, width: Width, value: u32)
    -> Result<(), BusError>;

    /// Bytes of memory BAR `bar` that can be accessed; 0 when there is no such BAR, when it is an
    /// I/O BAR, or when the number is above 5.
    fn bar_len(&self, bar: u8) -> u64;
}
