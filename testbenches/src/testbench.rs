//! What all testbenches have in common: options in, a report or the first mistake out.

use crate::block::Stopped;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

/// A testbench: constrained-random stimulus against one block or the NIC, with a reference of its own.
#[derive(Debug, Clone, Copy)]
pub struct Testbench {
    /// Name for the command line, `mac_rx`.
    pub name: &'static str,
    /// One line: what is compared with what.
    pub about: &'static str,
    /// Runs it once.
    pub run: fn(&Options) -> Result<Report, Error>,
}

/// How a testbench is to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed of all random choices; the same seed gives the same run.
    pub seed: u64,
    /// Amount of random stimulus: 1 is what fits a test run (seconds), 10 is ten times that.
    pub effort: u32,
    /// Write all cycles to this FST file.
    pub waves: Option<PathBuf>,
    /// What is wrong with a block on purpose: its testbench must find it.
    pub bug: Option<Bug>,
}

/// A seeded bug, in what a testbench sees of a block's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bug {
    /// The block's name.
    pub block: &'static str,
    /// The word of its outputs, a constant of [`block`](crate::block).
    pub output: usize,
    /// What is wrong with it.
    pub kind: BugKind,
}

/// What can be wrong with an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BugKind {
    /// It always has this value.
    Stuck(u64),
    /// It comes so many cycles late; 0 until then.
    Late(usize),
    /// These bits are inverted.
    Inverted(u64),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            effort: 1,
            waves: None,
            bug: None,
        }
    }
}

/// What a testbench did, for people: counts that show that the interesting cases did happen.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Clock cycles simulated.
    pub cycles: u64,
    /// What was counted, in the order of the first count.
    pub counts: Vec<(&'static str, u64)>,
    /// Lengths, bytes without FCS, of frames of which every byte was judged, by what happened to them.
    pub lengths: BTreeMap<&'static str, BTreeSet<usize>>,
}

impl Report {
    /// Adds `n` to the count called `what`.
    pub fn add(&mut self, what: &'static str, n: u64) {
        match self.counts.iter_mut().find(|(name, _)| *name == what) {
            Some((_, count)) => *count += n,
            None => self.counts.push((what, n)),
        }
    }

    /// The count called `what`, 0 when nothing was counted.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.counts
            .iter()
            .find(|(name, _)| *name == what)
            .map_or(0, |(_, n)| *n)
    }

    /// A frame of `len` bytes was judged after `what` happened to it.
    pub fn judged(&mut self, what: &'static str, len: usize) {
        self.lengths.entry(what).or_default().insert(len);
    }

    /// Those of `lengths` of which no frame was judged after `what`.
    #[must_use]
    pub fn missing(&self, what: &str, lengths: impl Iterator<Item = usize>) -> Vec<usize> {
        let judged = self.lengths.get(what);
        lengths
            .filter(|len| judged.is_none_or(|judged| !judged.contains(len)))
            .collect()
    }

    /// Adds the cycles, counts and lengths of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.cycles += other.cycles;
        for (what, lengths) in &other.lengths {
            self.lengths.entry(what).or_default().extend(lengths);
        }
        other.counts.iter().for_each(|(what, n)| self.add(what, *n));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cycles", self.cycles)?;
        self.counts
            .iter()
            .try_for_each(|(what, n)| write!(f, ", {n} {what}"))
    }
}

/// Why a testbench failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An assertion of the RTL failed.
    #[error("seed {seed}: {stopped}")]
    Stopped {
        /// The run's seed.
        seed: u64,
        /// Where and why.
        stopped: Stopped,
    },
    /// The block did something else than the reference.
    #[error("seed {seed}, cycle {cycle}: {message}")]
    Mismatch {
        /// The run's seed.
        seed: u64,
        /// The block's cycle, reset included.
        cycle: u64,
        /// What was expected and what came.
        message: String,
    },
}
