//! The virtio-net driver: PCI capabilities, packed virtqueues, NAPI.
//!
//! The driver sees hardware only through three traits: [`PciRegisters`], [`DmaMemory`] and
//! [`Interrupts`]. Section numbers in comments are those of "Virtual I/O Device (VIRTIO) Version
//! 1.2".

#![deny(missing_docs)]

mod dma;
mod error;
mod features;
mod interrupts;
mod options;
mod registers;

pub use dma::{DmaMemory, DmaRegion};
pub use error::{BusError, Error};
pub use features::Feature;
pub use interrupts::{Interrupts, MsiMessage};
pub use options::{Options, TxCompletion};
pub use registers::{PciRegisters, Width};
