//! Wirepath's co-simulation: a host with the Verilog NIC, the virtio-net driver and the kernel
//! path on a simulated CPU, in one deterministic event loop.

#![deny(missing_docs)]

pub mod addr;
pub mod capture;
pub mod error;
