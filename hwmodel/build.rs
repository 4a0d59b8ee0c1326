//! Compiles Verilator's runtime and, with the feature `nic`, the model of the NIC.

use std::{env, path::PathBuf};
use verilate::{Error, Toolchain, runtime};

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=build.rs");
    let toolchain = Toolchain::find()?;
    println!(
        "cargo::rustc-env=WIREPATH_TOOLCHAIN={}",
        toolchain.describe()
    );
    // Of libz-sys and lz4-sys: the headers that Verilator's FST writer needs.
    let headers: Vec<PathBuf> = ["DEP_Z_INCLUDE", "DEP_LZ4_INCLUDE"]
        .into_iter()
        .filter_map(env::var_os)
        .map(Into::into)
        .collect();
    runtime::compile(&toolchain, &headers, &verilate::out_dir())
}
