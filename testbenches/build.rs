//! Compiles the blocks under test.
//!
//! To add a block, add one entry to `table`: its module's name (the RTL file of that name is found
//! by itself, and so is what it instantiates) and its ports without `clk_i` and `rst_ni`. A testbench
//! then opens it by name and uses the generated constants:
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

use std::path::Path;
use verilate::{
    Error, Toolchain,
    blocks::{self, Block},
};

fn table() -> Vec<Block> {
    vec![
        Block::new("mac_rx")
            .input("xgmii_rxd_i", 64)
            .input("xgmii_rxc_i", 8)
            .input("max_frame_i", 16)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .output("m_axis_tuser_o", 1)
            .output("busy_o", 1)
            .output("stat_o", 19), // mac_rx_stat_t
        Block::new("mac_tx")
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tkeep_i", 8)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .output("s_axis_tready_o", 1)
            .output("xgmii_txd_o", 64)
            .output("xgmii_txc_o", 8)
            .output("busy_o", 1)
            .output("stat_o", 16), // mac_tx_stat_t
    ]
}

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/block.rs");
    let toolchain = Toolchain::find()?;
    blocks::compile(
        &toolchain,
        Path::new("../rtl"),
        &table(),
        cxx_build::bridge("src/block.rs"),
    )
}
