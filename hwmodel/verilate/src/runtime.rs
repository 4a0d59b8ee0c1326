//! Verilator's own C++, compiled once for all models of a program.

use crate::{Error, Toolchain, cache};
use std::path::{Path, PathBuf};

/// Compiles Verilator's runtime (with FST writing) and [`hooks`](crate) into `libverilated.a` and
/// prints the directives that link it. `headers` are the folders of `zlib.h` and `lz4.h`.
///
/// Do this once per program, and after the models, because the linker resolves from left to right.
///
/// # Errors
/// When a file does not compile.
pub fn compile(toolchain: &Toolchain, headers: &[PathBuf], out: &Path) -> Result<(), Error> {
    let include = toolchain.root.join("include");
    let files = [
        include.join("verilated.cpp"),
        include.join("verilated_threads.cpp"),
        include.join("verilated_fst_c.cpp"),
        crate::cpp_dir().join("hooks.cpp"),
    ];
    let mut build = toolchain.cc();
    build.warnings(false).flag("-w").includes(headers);
    cache::library(
        "wirepath_verilated",
        &mut build,
        &files,
        &[
            crate::cpp_dir().join("hooks.h"),
            crate::cpp_dir().join("triggers.h"),
        ],
        toolchain,
        out,
    )?;
    println!("cargo::rustc-link-lib=pthread");
    // clang++ calls libatomic for some of the runtime's atomics.
    if toolchain.is_clang() {
        println!("cargo::rustc-link-lib=atomic");
    }
    Ok(())
}
