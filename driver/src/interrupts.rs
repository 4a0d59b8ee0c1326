//! How the device's MSI-X messages reach the driver.

use crate::error::BusError;

/// What the device writes to raise one interrupt (PCI Express 6.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiMessage {
    /// Bus address of the message, a multiple of 4.
    pub address: u64,
    /// The 32 bits that are written there.
    pub data: u32,
}

/// Interrupt delivery of the platform.
///
/// The platform calls [`VirtioNet::handle_irq`](crate::VirtioNet::handle_irq) with the vector
/// number when a message has arrived, from the same thread as everything else.
pub trait Interrupts {
    /// Vectors that the platform can deliver. The driver uses one for the configuration and one for
    /// each receive and transmit queue, and shares them when there are fewer; 0 is refused at probe.
    fn vectors(&self) -> u16;

    /// The message that the driver writes into the MSI-X table for `vector` (0 ≤ vector <
    /// [`vectors`](Self::vectors)). `None` when the platform itself programs the table, as VFIO
    /// does; then it also sets the enable bit of the capability. Asked again after a reset.
    ///
    /// # Errors
    /// The vector cannot be allocated.
    fn message(&mut self, vector: u16) -> Result<Option<MsiMessage>, BusError>;

    /// The driver has taken notice of `vector`: what the platform must do before the next message
    /// of it can be told apart (reading the eventfd, end of interrupt). Nothing by default.
    fn ack(&mut self, vector: u16) {
        let _ = vector;
    }
}
