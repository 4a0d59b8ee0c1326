//! The NIC's RTL under Verilator, and what surrounds the chip: host memory behind an IOMMU, the PCI
//! function, interrupt messages, and the wire.
//!
//! [`Nic`] puts it together and is a [`Device`], the interface that hosts use; [`ModelNic`] is the same
//! card without RTL, from the specification and event by event. One FFI crossing per
//! clock cycle carries all pins ([`PinsIn`], [`PinsOut`]). An assertion that fails in the RTL is an
//! [`Error::Rtl`] with time and scope.
//!
//! Without the feature `nic` only the wire and the host models are built, for testbenches of single
//! RTL blocks.
#![deny(missing_docs)]

pub mod rss_vectors;
pub mod xgmii;

#[cfg(feature = "nic")]
mod axi;
#[cfg(feature = "nic")]
mod axil;
#[cfg(feature = "nic")]
mod bridge;
#[cfg(feature = "nic")]
mod counters;
#[cfg(feature = "nic")]
mod device;
#[cfg(feature = "nic")]
mod error;
#[cfg(feature = "nic")]
mod guest;
#[cfg(feature = "nic")]
pub mod iommu;
#[cfg(feature = "nic")]
mod memory;
#[cfg(feature = "nic")]
pub mod model;
#[cfg(feature = "nic")]
pub mod msix;
#[cfg(feature = "nic")]
mod nic;
#[cfg(feature = "nic")]
pub mod pci;
#[cfg(feature = "nic")]
mod replay;
#[cfg(feature = "nic")]
mod rng;

pub use xgmii::WireFrame;
#[cfg(feature = "nic")]
pub use {
    axi::{AxiError, AxiHostConfig, Channel, Stalls, Violation},
    bridge::{PinsIn, PinsOut},
    counters::{BusClient, CTRL_QUEUE, Counters, DmaRecord},
    device::{Device, Stop},
    error::Error,
    guest::{DmaMapError, GuestDevice},
    iommu::{Access, IommuTable, MapError, Permission, Refusal},
    memory::{HostMemory, OutOfMemory},
    model::{ModelConfig, ModelNic},
    msix::MsixMessage,
    nic::{Nic, NicConfig, Recording, THIN_FEATURES},
    replay::BareModel,
};

// Linked for Verilator's FST writer, which is C++.
use libz_sys as _;
use lz4_sys as _;

/// Verilator's version, the C++ compiler and its flags, one line: for reports of speed.
pub const TOOLCHAIN: &str = env!("WIREPATH_TOOLCHAIN");

/// Simulated time in picoseconds.
pub type Ps = u64;

/// Duration of a clock cycle: 156.25 MHz.
pub const CYCLE_PS: Ps = 6400;
