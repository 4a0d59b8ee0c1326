//! Build support: finds Verilator and compiles a SystemVerilog top into a C++ model.
//!
//! A build script uses it in this order, because the linker resolves symbols from left to right:
//! verilate ([`Build`]), compile the bridge that uses the model, [`Model::compile`], and once per
//! program [`runtime::compile`]. [`blocks::compile`] does all but the last for small test tops that
//! are declared in a table.
#![deny(missing_docs)]

pub mod blocks;
mod build;
mod cache;
mod error;
pub mod runtime;
mod toolchain;

pub use build::{Build, Model};
pub use error::Error;
pub use toolchain::Toolchain;

use std::path::{Path, PathBuf};

/// Compiles `files` and the code that `cxx_build::bridge` generated into a static library of the
/// calling crate, and prints the directives that link it. Models and runtime come after it.
///
/// # Errors
/// When the C++ does not compile.
pub fn bridge(toolchain: &Toolchain, mut build: cc::Build, files: &[PathBuf]) -> Result<(), Error> {
    let name = format!(
        "{}_bridge",
        std::env::var("CARGO_PKG_NAME").unwrap_or_default()
    );
    toolchain.configure(&mut build);
    build
        .files(files)
        .try_compile(&name)
        .map_err(|source| Error::Compile {
            name: name.clone(),
            source,
        })?;
    println!("cargo::rustc-link-search=native={}", out_dir().display());
    println!("cargo::rustc-link-lib=static={name}");
    Ok(())
}

/// The folder of the C++ headers `hooks.h` and `block.h`.
#[must_use]
pub fn cpp_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cpp")
}

/// The file that tells Verilator which warnings do not apply.
pub(crate) fn lint_waivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lint.vlt")
}

/// The folder that Cargo gives a build script for its output.
///
/// # Panics
/// Outside a build script.
#[must_use]
pub fn out_dir() -> PathBuf {
    std::env::var_os("OUT_DIR")
        .expect("OUT_DIR: only build scripts call this")
        .into()
}
