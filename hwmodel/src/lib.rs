//! The NIC's RTL under Verilator and what surrounds the chip: host memory, PCI function, wire

pub mod xgmii;

// Linked for Verilator's FST writer, which is C++.
use libz_sys as _;
use lz4_sys as _;

/// Verilator's version, the C++ compiler and its flags, one line: for reports of speed.
pub const TOOLCHAIN: &str = env!("WIREPATH_TOOLCHAIN");

/// Simulated time in picoseconds.
pub type Ps = u64;

/// Duration of a clock cycle: 156.25 MHz.
pub const CYCLE_PS: Ps = 6400;
