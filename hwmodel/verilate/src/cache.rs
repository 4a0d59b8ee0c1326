//! Libraries are compiled again only when their sources or flags changed: a build script runs for
//! any RTL edit, and the runtime and the other models have nothing to do with it.

use crate::{Error, Toolchain};
use std::{
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

/// Compiles `files` with `build` into `lib{name}.a` in `out`, unless it is there and up to date,
/// and prints the directives that link it. `headers` are files that the sources depend on.
pub fn library(
    name: &str,
    build: &mut cc::Build,
    files: &[PathBuf],
    headers: &[PathBuf],
    toolchain: &Toolchain,
    out: &Path,
) -> Result<(), Error> {
    let archive = out.join(format!("lib{name}.a"));
    let stamp_file = out.join(format!("{name}.stamp"));
    let compiler = build.try_get_compiler().map_err(|source| Error::Compile {
        name: name.into(),
        source,
    })?;
    let salt = format!("{} {:?}", toolchain.describe(), compiler.args());
    let stamp = stamp(files, headers, &salt)?;
    let known = fs::read_to_string(&stamp_file).is_ok_and(|s| s == stamp);
    if !known || !archive.is_file() {
        build
            .files(files)
            .out_dir(out)
            .try_compile(name)
            .map_err(|source| Error::Compile {
                name: name.into(),
                source,
            })?;
        fs::write(&stamp_file, stamp).map_err(Error::io(&stamp_file))?;
    }
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static={name}");
    Ok(())
}

fn stamp(files: &[PathBuf], headers: &[PathBuf], salt: &str) -> Result<String, Error> {
    let mut hasher = std::hash::DefaultHasher::new();
    salt.hash(&mut hasher);
    for path in files.iter().chain(headers) {
        path.hash(&mut hasher);
        fs::read(path).map_err(Error::io(path))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
