//! The command line.

mod args;
mod replay;
mod tap;
mod trace;

pub use args::{Cli, Command};

use crate::error::Error;

/// Runs the command that was given.
///
/// # Errors
/// What the command could not do; the caller prints [`Error::report`].
pub fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Replay(args) => replay::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Tap(args) => tap::run(&args),
    }
}
