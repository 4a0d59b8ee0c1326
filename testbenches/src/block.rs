//! RTL blocks by name, from the tables in `build/`: one word (or more) per port, one step per cycle.

use crate::{Bug, BugKind};
use std::{collections::VecDeque, path::Path};

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
    bug: Option<Bug>,
    /// Values of an output that is late.
    late: VecDeque<u64>,
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
            bug: None,
            late: VecDeque::new(),
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
        result.map_err(|e| self.stopped(&e))?;
        if let Some(bug) = self.bug {
            self.spoil(bug, &mut outputs[bug.output]);
        }
        Ok(())
    }

    /// What [`step`](Self::step) tells of an output is wrong from now on.
    pub fn seed_bug(&mut self, bug: Option<Bug>) {
        self.bug = bug;
        self.late.clear();
    }

    fn spoil(&mut self, bug: Bug, output: &mut u64) {
        *output = match bug.kind {
            BugKind::Stuck(value) => value,
            BugKind::Inverted(bits) => *output ^ bits,
            BugKind::Late(cycles) => {
                self.late.push_back(*output);
                let due = self.late.len() > cycles;
                let due = due.then(|| self.late.pop_front()).flatten();
                due.unwrap_or_default()
            }
        };
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
