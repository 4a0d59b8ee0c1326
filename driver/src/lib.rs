//! The virtio-net driver: PCI capabilities, packed virtqueues, NAPI.
//!
//! The driver sees hardware only through three traits: [`PciRegisters`], [`DmaMemory`] and
//! [`Interrupts`]. Section numbers in comments are those of "Virtual I/O Device (VIRTIO) Version
//! 1.2".

#![deny(missing_docs)]

mod bar_file;
mod config;
mod control;
mod ctrl;
mod dma;
mod dma_file;
mod error;
mod features;
mod gso;
mod hdr;
mod interrupts;
mod irq_file;
mod msix;
mod napi;
mod net;
mod options;
mod pci;
mod queue_pair;
mod registers;
mod ring;
mod rss;
mod rx;
mod stats;
mod transport;
mod tx;
pub mod virtqueue;

pub use bar_file::BarFile;
pub use config::{Duplex, NetConfig};
pub use control::{Coalesce, RxMode};
pub use ctrl::Command;
pub use dma::{DmaMemory, DmaRegion};
pub use dma_file::FileDma;
pub use error::{BusError, Error};
pub use features::Feature;
pub use interrupts::{Interrupts, MsiMessage};
pub use irq_file::FdInterrupts;
pub use msix::Vectors;
pub use napi::IrqAction;
pub use net::{NetDevHandle, Queue, VirtioNet};
pub use options::{MAX_QUEUE_PAIRS, Options, TxCompletion};
pub use queue_pair::QueueStats;
pub use registers::{PciRegisters, Width};
pub use rss::{KEY_BYTES, Rss, RssLimits};
pub use stats::Stats;
pub use transport::RingAddresses;
