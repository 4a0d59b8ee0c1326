//! The command line.

mod args;
mod oracle;
mod output;
mod replay;
mod serve;
mod tap;
mod trace;

pub use args::{Cli, Command};

use std::io::{ErrorKind, Write};

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
        Command::Serve(args) => serve::run(&args),
        Command::Oracle(args) => oracle::run(&args),
    }
}

/// Prints `text` to standard output. A reader that has gone away (`| head`) has seen what it wanted.
fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::File {
            action: "write",
            path: "standard output".into(),
            source: e,
        }),
        _ => Ok(()),
    }
}
