//! Compiles Verilator's runtime and, with the feature `nic`, the NIC's model in three variants: a thin
//! one with one queue pair and few features, a full one with all, and a full one with protocol checkers
//! on every interface that can write waves.
//!
//! `WIREPATH_RTL` names another folder of RTL to take instead of `rtl/`: a `nic.sv` with the same
//! ports, and what it instantiates.

use std::{env, path::PathBuf};
use verilate::{Build, Error, Toolchain, runtime};

/// HostDataWidth, bits: the bridge carries this much per beat.
const HOST_DATA_WIDTH: &str = "128";

/// QueuePairs of the full variants: `nic_pkg::MAX_QUEUE_PAIRS`.
const QUEUE_PAIRS: &str = "8";

/// Feature bits that the thin variant has, hexadecimal: VERSION_1, RING_PACKED, ACCESS_PLATFORM, EVENT_IDX,
/// IN_ORDER, RING_RESET, CSUM, GUEST_CSUM, MTU, MAC, STATUS, SPEED_DUPLEX.
const THIN_FEATURES: &str = "8000010f2001002b";

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
    if env::var_os("CARGO_FEATURE_NIC").is_some() {
        nic(&toolchain)?;
    }
    // Of libz-sys and lz4-sys: the headers that Verilator's FST writer needs.
    let headers: Vec<PathBuf> = ["DEP_Z_INCLUDE", "DEP_LZ4_INCLUDE"]
        .into_iter()
        .filter_map(env::var_os)
        .map(Into::into)
        .collect();
    runtime::compile(&toolchain, &headers, &verilate::out_dir())
}

fn nic(toolchain: &Toolchain) -> Result<(), Error> {
    for file in ["src/bridge.rs", "cpp"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=WIREPATH_RTL");
    let rtl = env::var_os("WIREPATH_RTL").map_or_else(|| PathBuf::from("../rtl"), PathBuf::from);
    let nic = Build::new("nic", rtl).parameter("HostDataWidth", HOST_DATA_WIDTH);
    println!("cargo::rustc-env=WIREPATH_THIN_FEATURES={THIN_FEATURES}");
    let thin = nic
        .clone()
        .prefix("Vnic_thin")
        .parameter("Features", format!("64'h{THIN_FEATURES}"))
        .small(true)
        .verilate(toolchain)?;
    let nic = nic.parameter("QueuePairs", QUEUE_PAIRS);
    let full = nic.clone().prefix("Vnic_full").verilate(toolchain)?;
    let traced = nic
        .prefix("Vnic_traced")
        .file("check/nic_checks.sv")
        .trace(true)
        .verilate(toolchain)?;

    let mut bridge = cxx_build::bridge("src/bridge.rs");
    bridge
        .include("cpp")
        .include(&thin.dir)
        .include(&full.dir)
        .include(&traced.dir);
    verilate::bridge(
        toolchain,
        bridge,
        &[
            "cpp/nic.cpp".into(),
            "cpp/nic_full.cpp".into(),
            "cpp/nic_traced.cpp".into(),
        ],
    )?;
    thin.compile(toolchain)?;
    full.compile(toolchain)?;
    traced.compile(toolchain)
}
