use std::path::PathBuf;

/// Why a model could not be built. The text is what the developer sees, so it names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `VERILATOR_ROOT`, `PATH` nor `.tools` holds a usable Verilator.
    #[error(
        "no Verilator 5.006 or newer: run `make tools`, or set VERILATOR_ROOT, or install your \
         distribution's package{0}"
    )]
    NoVerilator(String),
    /// `VERILATOR_ROOT` is set, but there is no executable in it.
    #[error(
        "VERILATOR_ROOT={0} holds no bin/verilator_bin: correct it, or unset it and run `make tools`"
    )]
    BadRoot(PathBuf),
    /// No C++ compiler that takes C++20.
    #[error("no C++ compiler: install clang++ or g++, or name one in CXX")]
    NoCompiler,
    /// Verilator refused the sources; its messages follow.
    #[error("Verilator refuses {top}:\n{messages}")]
    Verilator {
        /// The top module.
        top: String,
        /// What Verilator wrote to standard error.
        messages: String,
    },
    /// A C++ file does not compile.
    #[error("C++ of {name}: {source}")]
    Compile {
        /// The library that was being built.
        name: String,
        /// The compiler's complaint.
        source: cc::Error,
    },
    /// A port list of a block names something that cannot be.
    #[error("block {block}, port {port}: width {width} is not in 1..=4096")]
    PortWidth {
        /// The block.
        block: String,
        /// The port.
        port: String,
        /// The declared width, bits.
        width: u32,
    },
    /// `WIREPATH_BLOCKS` names a block that is not in the table.
    #[error("WIREPATH_BLOCKS names {0}, which is not in the tables of testbenches/build")]
    NoSuchBlock(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}
