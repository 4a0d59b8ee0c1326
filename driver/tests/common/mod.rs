//! The opposite end of the driver: a virtio network function in software. It is written from the
//! text of the specification, shares no code with the driver, and reaches memory only through bus
//! addresses, by a mapping of its own.

#![allow(dead_code)] // each test binary uses its part

pub mod bench;
pub mod function;
pub mod memory;
pub mod packed;
pub mod pci;
