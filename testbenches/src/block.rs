//! RTL blocks by name, from the table in `build.rs`: one word (or more) per port, one step per cycle.

use std::path::Path;

#[cxx::bridge(namespace = "wirepath::block")]
mod ffi {
    unsafe extern "C++" {
        include!("block.h");

        type Block;

        fn open(name: &str) -> Result<UniquePtr<Block>>;
        fn step(self: Pin<&mut Block>, inputs: &[u64], outputs: &mut [u64]) -> Result<()>;
        fn reset(self: Pin<&mut Block>) -> Result<()>;
        fn open_waves(self: Pin<&mut Block>, path: &str) -> Result<()>;
        fn close_waves(self: Pin<&mut Block>) -> Result<()>;
    }
}

include!(concat!(env!("OUT_DIR"), "/blocks.rs"));

/// The RTL stopped: a failed assertion, `$fatal`, `$stop`, or a wrong number of words.
#[derive(Debug, thiserror::Error)]
#[error("cycle {cycle}: {message}")]
pub struct Stopped {
    /// Cycles since [`Block::open`], the reset's included.
    pub cycle: u64,
    /// What the RTL printed, with the scope (`%m`).
    pub message: String,
}

/// A block under test with its clock and reset.
pub struct Block {
    model: cxx::UniquePtr<ffi::Block>,
    cycle: u64,
}

impl Block {
    /// The block called `name`, after a reset of four cycles.
    ///
    /// # Errors
    /// When the build left the block out (`WIREPATH_BLOCKS`), or an assertion fails in reset.
    pub fn open(name: &str) -> Result<Self, Stopped> {
        let stopped = |e: cxx::Exception| Stopped {
            cycle: 0,
            message: e.what().into(),
        };
        let mut block = Self {
            model: ffi::open(name).map_err(stopped)?,
            cycle: 0,
        };
        block.reset()?;
        Ok(block)
    }

    /// One clock cycle. `inputs` hold during it, and `outputs` are sampled before its rising edge: a
    /// handshake happens in this cycle exactly when its valid and ready are set in these two.
    ///
    /// # Errors
    /// When an assertion of the RTL fails; the block is not usable afterwards.
    pub fn step(&mut self, inputs: &[u64], outputs: &mut [u64]) -> Result<(), Stopped> {
        let result = self.model.pin_mut().step(inputs, outputs);
        self.cycle += 1;
        result.map_err(|e| self.stopped(&e))
    }

    /// Four cycles of reset with all inputs 0.
    ///
    /// # Errors
    /// When an assertion of the RTL fails.
    pub fn reset(&mut self) -> Result<(), Stopped> {
        let result = self.model.pin_mut().reset();
        self.cycle += 4;
        result.map_err(|e| self.stopped(&e))
    }

    /// Cycles since [`Block::open`], the reset's included.
    #[must_use]
    pub fn cycle(&self) -> u64 {
        self.cycle
    }

    /// Writes all that follows to an FST file, until [`Block::close_waves`] or the end.
    ///
    /// # Errors
    /// When waves are open already.
    pub fn open_waves(&mut self, path: &Path) -> Result<(), Stopped> {
        let result = self.model.pin_mut().open_waves(&path.to_string_lossy());
        result.map_err(|e| self.stopped(&e))
    }

    /// Completes the FST file.
    ///
    /// # Errors
    /// Never, as far as Verilator says.
    pub fn close_waves(&mut self) -> Result<(), Stopped> {
        let result = self.model.pin_mut().close_waves();
        result.map_err(|e| self.stopped(&e))
    }

    fn stopped(&self, exception: &cxx::Exception) -> Stopped {
        Stopped {
            cycle: self.cycle,
            message: exception.what().into(),
        }
    }
}
