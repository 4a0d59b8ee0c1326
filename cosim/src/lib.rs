//! Wirepath's co-simulation: a host with the Verilog NIC, the virtio-net driver and the kernel
//! path on a simulated CPU, in one deterministic event loop.

#![deny(missing_docs)]

pub mod addr;
pub mod capture;
pub mod cli;
pub mod cpu;
pub mod error;
pub mod features;
pub mod host;
pub mod link;
pub mod oracle;
pub mod progress;
pub mod replay;
pub mod serve;
pub mod signals;
pub mod summary;
pub mod tap;
pub mod trace;
