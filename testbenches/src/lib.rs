//! RTL testbenches, block by block and for the whole NIC
#![deny(missing_docs)]

pub mod block;

// Its build brings Verilator's runtime.
use hwmodel as _;
