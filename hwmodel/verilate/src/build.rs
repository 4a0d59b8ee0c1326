use crate::{Error, Toolchain, cache};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What Verilator is told about the code that it makes, the same for every model.
pub const FLAGS: [&str; 6] = [
    "--assert",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
];

/// One Verilator run: which top, from which folders, with which parameters.
#[derive(Debug, Clone)]
pub struct Build {
    top: String,
    prefix: String,
    rtl: PathBuf,
    parameters: Vec<(String, String)>,
    extra: Vec<PathBuf>,
    trace: bool,
    small: bool,
}

impl Build {
    /// The module `top` of the sources below the folder `rtl`. Modules are found by their file's
    /// name, packages by the ending `_pkg.sv`.
    pub fn new(top: impl Into<String>, rtl: impl Into<PathBuf>) -> Self {
        let top = top.into();
        Self {
            prefix: format!("V{top}"),
            top,
            rtl: rtl.into(),
            parameters: vec![],
            extra: vec![],
            trace: false,
            small: false,
        }
    }

    /// A file that nothing refers to, such as one of `bind`s: its path below the folder of the RTL.
    /// Left out when it is not there.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.extra.push(self.rtl.join(path));
        self
    }

    /// The C++ class's name, `V{top}` by default. Two models in one program need different ones.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Overrides a parameter of the top module; the value in Verilog's notation.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Whether waves (FST) can be written. Off by default, because the possibility alone costs time.
    #[must_use]
    pub fn trace(mut self, trace: bool) -> Self {
        self.trace = trace;
        self
    }

    /// Whether the code of a cycle is small enough to be made for the instruction cache
    /// ([`Toolchain::small_flags`]). Off by default.
    #[must_use]
    pub fn small(mut self, small: bool) -> Self {
        self.small = small;
        self
    }

    /// Runs Verilator. The C++ goes below `OUT_DIR`; every RTL file is a dependency of the build.
    ///
    /// # Errors
    /// [`Error::Verilator`] with its messages; its lint warnings are errors.
    pub fn verilate(self, toolchain: &Toolchain) -> Result<Model, Error> {
        let sources = Sources::scan(&self.rtl)?;
        let dir = crate::out_dir().join(&self.prefix);
        // Files of an earlier run with another version would be compiled too.
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(Error::io(&dir))?;
        }
        fs::create_dir_all(&dir).map_err(Error::io(&dir))?;

        let mut command = Command::new(&toolchain.verilator);
        command
            .env("VERILATOR_ROOT", &toolchain.root)
            .args(["--cc", "-sv", "-Wall"])
            .args(FLAGS)
            .args([
                "--top-module",
                &self.top,
                "--prefix",
                &self.prefix,
                "--Mdir",
            ])
            .arg(&dir);
        if self.trace {
            command.args(["--trace-fst", "--trace-structs"]);
        }
        for (name, value) in &self.parameters {
            command.arg(format!("-G{name}={value}"));
        }
        for folder in &sources.folders {
            command.arg("-y").arg(folder);
        }
        command.arg(crate::lint_waivers()).args(&sources.packages);
        command.arg(
            sources
                .file_of(&self.top)
                .unwrap_or_else(|| format!("{}.sv", self.top).into()),
        );
        command.args(self.extra.iter().filter(|path| path.is_file()));
        let output = command.output().map_err(Error::io(&toolchain.verilator))?;
        if !output.status.success() {
            let messages = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Verilator {
                top: self.top,
                messages,
            });
        }
        Ok(Model {
            prefix: self.prefix,
            dir,
            small: self.small,
        })
    }
}

/// A model as C++ sources, not yet compiled.
#[derive(Debug)]
pub struct Model {
    /// The C++ class's name; its header is `{prefix}.h`.
    pub prefix: String,
    /// The folder of the generated files.
    pub dir: PathBuf,
    small: bool,
}

impl Model {
    /// Compiles the model into a static library of the class's name and prints the directives that
    /// link it. Does nothing more when neither the C++ nor the flags changed.
    ///
    /// # Errors
    /// When the C++ does not compile.
    pub fn compile(&self, toolchain: &Toolchain) -> Result<(), Error> {
        self.compile_with(toolchain, &[])
    }

    /// As [`Model::compile`], with further header folders for files that were added to the folder.
    pub(crate) fn compile_with(
        &self,
        toolchain: &Toolchain,
        headers: &[&Path],
    ) -> Result<(), Error> {
        // All files in one: calls between them are inlined, and the headers are read once.
        let files = files_ending(&self.dir, ".cpp")?;
        let unity = crate::out_dir().join(format!("{}_unity.cc", self.prefix));
        let text: String = files
            .iter()
            .map(|file| format!("#include \"{}\"\n", file.display()))
            .collect();
        fs::write(&unity, text).map_err(Error::io(&unity))?;
        let mut build = toolchain.cc();
        build
            .warnings(false)
            .flag("-w")
            .include(&self.dir)
            .includes(headers);
        if self.small {
            build.flags(toolchain.small_flags());
        }
        let mut dependencies = files_ending(&self.dir, ".h")?;
        dependencies.extend(files);
        dependencies.push(crate::cpp_dir().join("triggers.h"));
        let out = crate::out_dir();
        cache::library(
            &self.prefix,
            &mut build,
            &[unity],
            &dependencies,
            toolchain,
            &out,
        )
    }
}

/// What lies below the RTL folder.
struct Sources {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    packages: Vec<PathBuf>,
}

impl Sources {
    fn scan(rtl: &Path) -> Result<Self, Error> {
        // Absolute paths in Verilator's messages can be clicked from anywhere.
        let rtl = fs::canonicalize(rtl).map_err(Error::io(rtl))?;
        let mut found = Self {
            folders: vec![],
            files: vec![],
            packages: vec![],
        };
        found.walk(&rtl)?;
        for path in found.files.iter().chain(&found.folders) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        // A package may use those of rtl/pkg, never the other way round.
        let is_package = |f: &&PathBuf| f.to_string_lossy().ends_with("_pkg.sv");
        found.packages = found.files.iter().filter(is_package).cloned().collect();
        found
            .packages
            .sort_by_key(|p| (!p.parent().is_some_and(|d| d.ends_with("pkg")), p.clone()));
        Ok(found)
    }

    fn walk(&mut self, folder: &Path) -> Result<(), Error> {
        self.folders.push(folder.to_owned());
        let mut entries = fs::read_dir(folder)
            .and_then(|entries| {
                entries
                    .map(|e| e.map(|e| e.path()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(Error::io(folder))?;
        entries.sort();
        for path in entries {
            if path.is_dir() {
                self.walk(&path)?;
            } else if path.extension().is_some_and(|e| e == "sv" || e == "svh") {
                self.files.push(path);
            }
        }
        Ok(())
    }

    fn file_of(&self, module: &str) -> Option<PathBuf> {
        self.files
            .iter()
            .find(|f| f.file_stem().is_some_and(|s| s == module))
            .cloned()
    }
}

fn files_ending(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(Error::io(dir))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    Ok(files)
}
