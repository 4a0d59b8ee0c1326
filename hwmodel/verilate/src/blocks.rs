//! Test tops from a table: a block is its module's name and its ports. The C++ around the model and
//! the Rust constants for the ports are generated, so that a testbench is Rust only.

use crate::{Build, Error, Toolchain};
use std::{env, fmt::Write as _, fs, path::Path};

/// A module under test and its ports. `clk_i` and `rst_ni` are driven by the harness and not listed.
#[derive(Debug, Clone)]
pub struct Block {
    name: String,
    module: String,
    parameters: Vec<(String, String)>,
    inputs: Vec<(String, u32)>,
    outputs: Vec<(String, u32)>,
}

impl Block {
    /// The module `module`, found in the RTL folder by its file's name.
    pub fn new(module: &str) -> Self {
        Self {
            name: module.into(),
            module: module.into(),
            parameters: vec![],
            inputs: vec![],
            outputs: vec![],
        }
    }

    /// Another name, for a second instance of a module with other parameters.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Overrides a parameter; the value in Verilog's notation.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// An input port and its width in bits. Ports wider than 64 bits take several words, the lowest
    /// bits first.
    #[must_use]
    pub fn input(mut self, port: &str, width: u32) -> Self {
        self.inputs.push((port.into(), width));
        self
    }

    /// An output port and its width in bits, as for [`Block::input`].
    #[must_use]
    pub fn output(mut self, port: &str, width: u32) -> Self {
        self.outputs.push((port.into(), width));
        self
    }

    /// `count` inputs that are one port, an unpacked array; the constant is the first one's.
    #[must_use]
    pub fn input_array(mut self, port: &str, width: u32, count: u32) -> Self {
        self.inputs
            .extend((0..count).map(|i| (format!("{port}[{i}]"), width)));
        self
    }

    /// `count` outputs that are one port, as for [`Block::input_array`].
    #[must_use]
    pub fn output_array(mut self, port: &str, width: u32, count: u32) -> Self {
        self.outputs
            .extend((0..count).map(|i| (format!("{port}[{i}]"), width)));
        self
    }

    fn check(&self) -> Result<(), Error> {
        match self
            .inputs
            .iter()
            .chain(&self.outputs)
            .find(|(_, w)| !(1..=4096).contains(w))
        {
            None => Ok(()),
            Some((port, width)) => Err(Error::PortWidth {
                block: self.name.clone(),
                port: port.clone(),
                width: *width,
            }),
        }
    }
}

/// Verilates and compiles the blocks and the `cxx` bridge in `bridge` (the build of `cxx_build::bridge`)
/// into the calling crate, and writes the port constants to `OUT_DIR/blocks.rs`.
///
/// `WIREPATH_BLOCKS=mac_rx,mac_tx` restricts the models (not the constants) to some blocks, for short
/// turn-around times while working on them.
///
/// # Errors
/// What Verilator or the compiler refuse, and impossible port lists.
pub fn compile(
    toolchain: &Toolchain,
    rtl: &Path,
    table: &[Block],
    bridge: cc::Build,
) -> Result<(), Error> {
    println!("cargo::rerun-if-env-changed=WIREPATH_BLOCKS");
    let out = crate::out_dir();
    table.iter().try_for_each(Block::check)?;
    let constants = out.join("blocks.rs");
    fs::write(
        &constants,
        table.iter().map(rust_constants).collect::<String>(),
    )
    .map_err(Error::io(&constants))?;

    let blocks = selected(table)?;
    let mut models = Vec::new();
    for block in &blocks {
        let mut build = Build::new(&block.module, rtl)
            .prefix(format!("V{}", block.name))
            .trace(true);
        for (name, value) in &block.parameters {
            build = build.parameter(name, value);
        }
        models.push(build.verilate(toolchain)?);
    }

    // One translation unit per block, so that a changed block leaves the others alone.
    for (block, model) in blocks.iter().zip(&models) {
        let wrapper = model.dir.join(format!("{}_block.cpp", block.name));
        fs::write(&wrapper, cpp_wrapper(block)).map_err(Error::io(&wrapper))?;
    }
    let factory = out.join("blocks_factory.cpp");
    fs::write(&factory, cpp_factory(&blocks)).map_err(Error::io(&factory))?;
    crate::bridge(toolchain, bridge, &[factory])?;
    for model in &models {
        model.compile_with(toolchain, &[&out.join("cxxbridge/include")])?;
    }
    Ok(())
}

fn selected(table: &[Block]) -> Result<Vec<&Block>, Error> {
    let Some(names) = env::var("WIREPATH_BLOCKS").ok().filter(|n| !n.is_empty()) else {
        return Ok(table.iter().collect());
    };
    names
        .split(',')
        .map(|name| {
            table
                .iter()
                .find(|block| block.name == name)
                .ok_or_else(|| Error::NoSuchBlock(name.into()))
        })
        .collect()
}

fn words(width: u32) -> u32 {
    width.div_ceil(64)
}

fn total_words(ports: &[(String, u32)]) -> u32 {
    ports.iter().map(|(_, width)| words(*width)).sum()
}

/// `pub mod mac_rx { … }`: the block's name, its word counts, and each port's first word.
fn rust_constants(block: &Block) -> String {
    let mut text = String::new();
    let name = &block.name;
    let _ = writeln!(text, "/// Ports of the block `{name}`.\npub mod {name} {{");
    let _ = writeln!(text, "    /// What [`super::Block::open`] takes.");
    let _ = writeln!(text, "    pub const NAME: &str = \"{name}\";");
    for (side, ports) in [("IN", &block.inputs), ("OUT", &block.outputs)] {
        let _ = writeln!(text, "    /// Words on this side.");
        let _ = writeln!(
            text,
            "    pub const {side}_WORDS: usize = {};",
            total_words(ports)
        );
        let mut word = 0;
        for (port, width) in ports {
            // Of an array the first element.
            if let Some(port) = match port.split_once('[') {
                None => Some(port.as_str()),
                Some((array, "0]")) => Some(array),
                Some(_) => None,
            } {
                let _ = writeln!(
                    text,
                    "    /// `{port}`, {width} bits: index of its (lowest) word."
                );
                let _ = writeln!(
                    text,
                    "    pub const {}: usize = {word};",
                    port.to_uppercase()
                );
            }
            word += words(*width);
        }
        let function = if side == "IN" { "inputs" } else { "outputs" };
        let _ = writeln!(
            text,
            "    /// All zero, of the length that `Block::step` takes."
        );
        let _ = writeln!(
            text,
            "    pub const fn {function}() -> [u64; {side}_WORDS] {{"
        );
        let _ = writeln!(text, "        [0; {side}_WORDS]\n    }}");
    }
    text.push_str("}\n");
    text
}

/// The class that carries words to and from the model's ports.
fn cpp_wrapper(block: &Block) -> String {
    let name = &block.name;
    let (mut apply, mut sample) = (String::new(), String::new());
    let mut word = 0;
    for (port, width) in &block.inputs {
        if *width <= 64 {
            let mask = u64::MAX >> (64 - width);
            let _ = writeln!(
                apply,
                "        top_->{port} = in[{word}] & UINT64_C({mask:#x});"
            );
        } else {
            for half in 0..width.div_ceil(32) {
                let (index, shift) = (word + half / 2, 32 * (half % 2));
                let bits = (width - 32 * half).min(32);
                let mask = u32::MAX >> (32 - bits);
                let _ = writeln!(
                    apply,
                    "        top_->{port}[{half}] = (in[{index}] >> {shift}) & {mask:#x}u;"
                );
            }
        }
        word += words(*width);
    }
    word = 0;
    for (port, width) in &block.outputs {
        if *width <= 64 {
            let _ = writeln!(sample, "        out[{word}] = top_->{port};");
        } else {
            let halves = width.div_ceil(32);
            for index in 0..words(*width) {
                let low = format!("top_->{port}[{}]", 2 * index);
                let high = if 2 * index + 1 < halves {
                    format!(" | std::uint64_t{{top_->{port}[{}]}} << 32", 2 * index + 1)
                } else {
                    String::new()
                };
                let _ = writeln!(sample, "        out[{}] = {low}{high};", word + index);
            }
        }
        word += words(*width);
    }
    let (inputs, outputs) = (total_words(&block.inputs), total_words(&block.outputs));
    TEMPLATE
        .replace("@NAME@", name)
        .replace("@APPLY@", &apply)
        .replace("@SAMPLE@", &sample)
        .replace("@INPUTS@", &inputs.max(1).to_string())
        .replace("@OUTPUTS@", &outputs.max(1).to_string())
        .replace("@INPUT_WORDS@", &inputs.to_string())
        .replace("@OUTPUT_WORDS@", &outputs.to_string())
}

fn cpp_factory(blocks: &[&Block]) -> String {
    let mut text = String::from("#include <stdexcept>\n#include \"block.h\"\n");
    text.push_str("namespace wirepath::block {\n");
    for block in blocks {
        let _ = writeln!(text, "std::unique_ptr<Block> open_{}();", block.name);
    }
    text.push_str(
        "std::unique_ptr<Block> open(rust::Str name) {\n    const std::string n{name};\n",
    );
    for block in blocks {
        let _ = writeln!(text, "    if (n == \"{0}\") return open_{0}();", block.name);
    }
    text.push_str(
        "    throw std::runtime_error{\"block \" + n + \" was left out of this build\"};\n}\n}\n",
    );
    text
}

const TEMPLATE: &str = r#"// Generated: the block @NAME@.
#include <stdexcept>
#include "V@NAME@.h"
#include "block.h"
#include "verilated_fst_c.h"

namespace wirepath::block {
namespace {

class Block_@NAME@ final : public Block {
  public:
    Block_@NAME@() : top_{std::make_unique<V@NAME@>(&context_, "@NAME@")} {}
    ~Block_@NAME@() override {
        close_waves();
        // The scopes of a model sign off at the thread's context, which may be another model's.
        Verilated::threadContextp(&context_);
        top_->final();
    }

    void step(rust::Slice<const std::uint64_t> inputs, rust::Slice<std::uint64_t> outputs) override {
        if (inputs.size() != @INPUT_WORDS@ || outputs.size() != @OUTPUT_WORDS@)
            throw std::invalid_argument{"@NAME@: expected @INPUT_WORDS@ words in, @OUTPUT_WORDS@ out"};
        cycle(inputs.data(), outputs.data());
    }

    void reset() override {
        static const std::uint64_t in[@INPUTS@] = {};
        std::uint64_t out[@OUTPUTS@];
        top_->rst_ni = 0;
        for (int i = 0; i < 4; ++i) cycle(in, out);
        top_->rst_ni = 1;
    }

    void open_waves(rust::Str path) override {
        if (waves_) throw std::logic_error{"@NAME@: waves are open already"};
        context_.traceEverOn(true);
        waves_ = std::make_unique<VerilatedFstC>();
        top_->trace(waves_.get(), 99);
        waves_->open(std::string{path}.c_str());
    }

    void close_waves() override {
        if (waves_) waves_->close();
        waves_.reset();
    }

  private:
    // Inputs change and outputs are sampled while the clock is low.
    void cycle(const std::uint64_t* in, std::uint64_t* out) {
        (void)in;
        (void)out;
@APPLY@        top_->clk_i = 0;
        top_->eval();
@SAMPLE@        if (waves_) waves_->dump(context_.time());
        context_.timeInc(3200);
        top_->clk_i = 1;
        top_->eval();
        if (waves_) waves_->dump(context_.time());
        context_.timeInc(3200);
    }

    VerilatedContext context_;
    std::unique_ptr<V@NAME@> top_;
    std::unique_ptr<VerilatedFstC> waves_;
};

}  // namespace

std::unique_ptr<Block> open_@NAME@() { return std::make_unique<Block_@NAME@>(); }

}  // namespace wirepath::block
"#;
