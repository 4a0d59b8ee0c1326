//! What the testbenches of single blocks begin with: the block, its waves, and what its errors are
//! reported with.

use crate::{
    Error, Options,
    block::{Block, Stopped},
};

/// A block under test.
pub(crate) struct Dut {
    /// Its model.
    pub block: Block,
    seed: u64,
}

impl Dut {
    /// The block called `name` after its reset; waves go to the file that `options` name.
    ///
    /// # Errors
    /// [`Error::Stopped`]
    pub fn open(name: &str, options: &Options) -> Result<Self, Error> {
        let seed = options.seed;
        let stopped = |stopped| Error::Stopped { seed, stopped };
        let mut block = Block::open(name).map_err(stopped)?;
        if let Some(path) = &options.waves {
            block.open_waves(path).map_err(stopped)?;
        }
        block.seed_bug(options.bug.filter(|bug| bug.block == name));
        Ok(Self { block, seed })
    }

    /// One of several in a run: its waves go to a file of its own, `out.NAME.fst`.
    ///
    /// # Errors
    /// [`Error::Stopped`]
    pub fn open_variant(name: &str, options: &Options) -> Result<Self, Error> {
        let waves = options.waves.as_ref();
        let waves = waves.map(|path| path.with_extension(format!("{name}.fst")));
        let options = Options {
            waves,
            ..options.clone()
        };
        Self::open(name, &options)
    }

    /// [`Block::step`]
    ///
    /// # Errors
    /// [`Error::Stopped`]
    pub fn step(&mut self, inputs: &[u64], outputs: &mut [u64]) -> Result<(), Error> {
        let result = self.block.step(inputs, outputs);
        result.map_err(|stopped| self.stopped(stopped))
    }

    /// [`Block::reset`]
    ///
    /// # Errors
    /// [`Error::Stopped`]
    pub fn reset(&mut self) -> Result<(), Error> {
        let result = self.block.reset();
        result.map_err(|stopped| self.stopped(stopped))
    }

    /// [`Block::cycle`]
    pub fn cycle(&self) -> u64 {
        self.block.cycle()
    }

    /// An assertion of the RTL failed.
    pub fn stopped(&self, stopped: Stopped) -> Error {
        let seed = self.seed;
        Error::Stopped { seed, stopped }
    }

    /// The block did something else than the reference, in this cycle.
    pub fn mismatch(&self, message: impl Into<String>) -> Error {
        Error::Mismatch {
            seed: self.seed,
            cycle: self.cycle(),
            message: message.into(),
        }
    }

    /// [`mismatch`](Self::mismatch) unless `good`.
    pub fn check(&self, good: bool, message: impl FnOnce() -> String) -> Result<(), Error> {
        if good {
            Ok(())
        } else {
            Err(self.mismatch(message()))
        }
    }
}
