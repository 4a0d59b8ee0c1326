use crate::Error;
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The oldest Verilator that compiles the RTL.
const OLDEST: (u32, u32) = (5, 6);

/// A Verilator and a C++ compiler that were found on this machine.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// What Verilator calls `VERILATOR_ROOT`: the folder with `include/`.
    pub root: PathBuf,
    /// The executable, `verilator_bin`.
    pub verilator: PathBuf,
    /// What `--version` said, one line.
    pub version: String,
    /// The C++ compiler's command.
    pub compiler: PathBuf,
    /// The first line of what it says to `--version`.
    pub compiler_version: String,
}

impl Toolchain {
    /// Looks in `VERILATOR_ROOT`, then on `PATH`, then in `.tools` of the workspace (where `make
    /// tools` puts it), and for a compiler in `CXX`, then clang++, then g++ (clang's code is 1.5 to
    /// 2 times as fast on Verilator's output).
    ///
    /// # Errors
    /// [`Error::NoVerilator`], [`Error::BadRoot`] or [`Error::NoCompiler`].
    pub fn find() -> Result<Self, Error> {
        // Not PATH: it differs from one shell to the next, and each change would build all again.
        for name in ["VERILATOR_ROOT", "CXX", "WIREPATH_NATIVE"] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        for file in [crate::cpp_dir(), crate::lint_waivers()] {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let compiler = find_compiler()?;
        let compiler_version = compiler_version(&compiler);
        if let Some(root) = env::var_os("VERILATOR_ROOT").filter(|r| !r.is_empty()) {
            let root = PathBuf::from(root);
            return [root.join("bin/verilator_bin"), root.join("verilator_bin")]
                .into_iter()
                .find_map(|bin| probe(&bin, Some(&root)))
                .map(|(root, verilator, version)| Self {
                    root,
                    verilator,
                    version,
                    compiler,
                    compiler_version,
                })
                .ok_or(Error::BadRoot(root));
        }
        let on_path = on_path("verilator_bin").map(|bin| (bin, None));
        let tools = workspace().join(".tools/python/verilator");
        let fetched = Some((tools.join("bin/verilator_bin"), Some(tools.as_path())));
        let mut refused = String::new();
        for (bin, root) in [on_path, fetched].into_iter().flatten() {
            let Some((root, verilator, version)) = probe(&bin, root) else {
                continue;
            };
            if recent_enough(&version) {
                println!("cargo::rerun-if-changed={}", verilator.display());
                return Ok(Self {
                    root,
                    verilator,
                    version,
                    compiler,
                    compiler_version,
                });
            }
            refused = format!(" ({} is {version})", verilator.display());
        }
        Err(Error::NoVerilator(refused))
    }

    /// Whether the compiler is clang, whatever its version.
    pub(crate) fn is_clang(&self) -> bool {
        self.compiler.to_string_lossy().contains("clang")
    }

    /// Flags that the generated C++, the runtime and the bridge are all compiled with.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec!["-std=gnu++20", "-O2"];
        // Integer code only, so another instruction set cannot change a result.
        // WIREPATH_NATIVE=0 builds a model that also runs on another machine.
        if env::var("WIREPATH_NATIVE").as_deref() != Ok("0") {
            flags.push("-march=native");
        }
        flags
    }

    /// Flags for the generated C++ of a small model ([`Build::small`](crate::Build::small)), behind the common ones.
    /// One cycle runs through some 30 KiB of it from beginning to end: what does not fit the
    /// instruction cache waits, so that short code wins over clever code; and a vector load of what was
    /// just stored in pieces waits for all of them. A large model fits in no case and gains nothing.
    #[must_use]
    pub fn small_flags(&self) -> &'static [&'static str] {
        if self.is_clang() {
            &["-Os", "-fno-vectorize", "-fno-slp-vectorize"]
        } else {
            &[]
        }
    }

    /// One line for reports: Verilator's version and flags, the compiler's name, version and flags.
    #[must_use]
    pub fn describe(&self) -> String {
        let small = match self.small_flags() {
            [] => String::new(),
            flags => format!("; the thin model with {}", flags.join(" ")),
        };
        format!(
            "Verilator {} {}; {} ({}) {}{small}",
            self.version,
            crate::build::FLAGS.join(" "),
            self.compiler.display(),
            self.compiler_version,
            self.flags().join(" "),
        )
    }

    /// A C++ compilation with the common flags and the runtime's headers.
    #[must_use]
    pub fn cc(&self) -> cc::Build {
        let mut build = cc::Build::new();
        self.configure(&mut build);
        build
    }

    /// Gives `build` the common compiler, flags, defines and header folders, so that its objects fit
    /// those of the runtime. It prints no link directives by itself.
    pub fn configure(&self, build: &mut cc::Build) {
        build
            .cpp(true)
            .compiler(&self.compiler)
            .no_default_flags(true)
            .flag("-fPIC")
            // Everything is linked into one program: calls between files may be inlined.
            .flag("-fvisibility=hidden")
            .flag("-fno-semantic-interposition")
            .flag("-ffunction-sections")
            .cargo_metadata(false)
            .define("VL_TIME_CONTEXT", None)
            .define("VL_USER_FATAL", None)
            .define("VL_USER_STOP", None)
            .define("VL_USER_FINISH", None)
            .define("VM_COVERAGE", "0")
            .define("VM_SC", "0")
            .define("VM_TIMING", "0")
            .define("VM_TRACE", "1")
            .define("VM_TRACE_FST", "1")
            .define("VM_TRACE_VCD", "0")
            .include(crate::cpp_dir())
            // System headers: their warnings are not ours.
            .flag("-isystem")
            .flag(self.root.join("include"))
            .flag("-isystem")
            .flag(self.root.join("include/vltstd"))
            .flag("-include")
            .flag(crate::cpp_dir().join("hooks.h"));
        if self.triggers_are_bools() {
            build
                .flag("-include")
                .flag(crate::cpp_dir().join("triggers.h"));
        }
        for flag in self.flags() {
            build.flag(flag);
        }
    }
}

impl Toolchain {
    /// The runtime keeps triggers in a way that `cpp/triggers.h` replaces.
    fn triggers_are_bools(&self) -> bool {
        std::fs::read_to_string(self.root.join("include/verilated_types.h"))
            .is_ok_and(|text| text.contains("std::array<bool, T_size> m_flags"))
    }
}

/// The workspace that this crate is part of.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn find_compiler() -> Result<PathBuf, Error> {
    if let Some(cxx) = env::var_os("CXX").filter(|c| !c.is_empty()) {
        return Ok(cxx.into());
    }
    ["clang++", "g++"]
        .into_iter()
        .find_map(on_path)
        .ok_or(Error::NoCompiler)
}

/// What the compiler says that it is: the same name is another program on another machine.
fn compiler_version(compiler: &Path) -> String {
    let output = Command::new(compiler)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let said = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    match said.unwrap_or_default().lines().next() {
        Some(line) => line.trim().to_owned(),
        None => "of unknown version".to_owned(),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Asks an executable for its version and root; `None` when it does not run.
fn probe(bin: &Path, root: Option<&Path>) -> Option<(PathBuf, PathBuf, String)> {
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(bin);
        command.args(arguments).stdin(Stdio::null());
        if let Some(root) = root {
            command.env("VERILATOR_ROOT", root);
        }
        let output = command.output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = ask(&["--version"])?;
    let version = version.trim_start_matches("Verilator").trim().to_owned();
    let root = match root {
        Some(root) => root.to_owned(),
        None => ask(&["--getenv", "VERILATOR_ROOT"])?.into(),
    };
    root.join("include/verilated.h")
        .is_file()
        .then(|| (root, bin.to_owned(), version))
}

/// Whether a version line means 5.006 or later. A development build has no number: believe it.
fn recent_enough(version: &str) -> bool {
    let mut numbers = version.split_whitespace().next().unwrap_or("").split('.');
    match (
        numbers.next().map(str::parse::<u32>),
        numbers.next().map(str::parse::<u32>),
    ) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::recent_enough;

    #[test]
    fn versions() {
        assert!(recent_enough("5.006 2023-01-22 rev (Debian 5.006-3)"));
        assert!(recent_enough("5.048"));
        assert!(recent_enough("rev vUNKNOWN-built20260516-4e853d8"));
        assert!(!recent_enough("4.228 2022-10-02"));
        assert!(!recent_enough("5.004 2022-12-14"));
    }
}
