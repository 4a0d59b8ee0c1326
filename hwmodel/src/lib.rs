//! The NIC's RTL under Verilator and what surrounds the chip: host memory, PCI function, wire

// Linked for Verilator's FST writer, which is C++.
use libz_sys as _;
use lz4_sys as _;

/// Verilator's version, the C++ compiler and its flags, one line: for reports of speed.
pub const TOOLCHAIN: &str = env!("WIREPATH_TOOLCHAIN");
