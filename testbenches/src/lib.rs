//! RTL testbenches, block by block and for the whole NIC
#![deny(missing_docs)]

pub mod axis;
pub mod block;
pub mod csum;
pub mod frames;
pub mod inet;
pub mod mac;
pub mod packet_fifo;
pub mod ring;
mod testbench;
pub mod virtqueue;

pub use testbench::{Error, Options, Report, Testbench};

// Its build brings Verilator's runtime.
use hwmodel as _;
