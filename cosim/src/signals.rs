//! How a user ends a program that would run for ever.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};

/// A stream that becomes readable at SIGINT and SIGTERM, which from now on do not kill the process.
///
/// # Errors
/// The system's reason.
pub fn signals() -> io::Result<OwnedFd> {
    let (read, write) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGINT, write.try_clone()?)?;
    signal_hook::low_level::pipe::register(SIGTERM, write)?;
    Ok(read.into())
}
