//! Compiles the blocks under test.
//!
//! To add a block, add one entry to the table of its folder in `rtl/`: its module's name (the RTL file
//! of that name is found by itself, and so is what it instantiates) and its ports without `clk_i` and
//! `rst_ni`. A testbench then opens it by name and uses the generated constants:
//!
//! ```ignore
//! use testbenches::block::{Block, mac_rx};
//! let mut dut = Block::open(mac_rx::NAME)?; // reset has been applied
//! let (mut i, mut o) = (mac_rx::inputs(), mac_rx::outputs());
//! i[mac_rx::XGMII_RXC_I] = 0xff;
//! dut.step(&i, &mut o)?; // o = what the rising edge saw together with i
//! ```
//!
//! Short turn-around while working on one block: `WIREPATH_BLOCKS=mac_rx cargo test -p testbenches
//! --no-default-features --test mac` builds this model only, and not the whole NIC.

mod ctrl;
mod dma;

mod mac;
mod offload;
mod primitives;

use std::path::Path;
use verilate::{
    Error, Toolchain,
    blocks::{self, Block},
};

fn table() -> Vec<Block> {
    let folders = [
        primitives::table(),
        mac::table(),
        offload::table(),
        dma::table(),
        ctrl::table(),
    ];
    folders.concat()
}

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/block.rs");
    let toolchain = Toolchain::find()?;
    blocks::compile(
        &toolchain,
        Path::new("../rtl"),
        &table(),
        cxx_build::bridge("src/block.rs"),
    )
}
