//! `cosim trace`.

use super::args::TraceArgs;
use super::replay::host_config;
use crate::capture::Capture;
use crate::error::Error;
use crate::host::HostConfig;
use crate::replay::{ReplayOptions, check_frame, replay};

/// Runs the command.
pub fn run(args: &TraceArgs) -> Result<(), Error> {
    let capture = Capture::open(&args.capture.input)?;
    let path = || args.capture.input.clone();
    let frame = args
        .packet
        .checked_sub(1)
        .and_then(|i| capture.frames.get(i))
        .ok_or_else(|| Error::NoSuchFrame {
            path: path(),
            frames: capture.frames.len(),
            wanted: args.packet,
        })?;
    check_frame(frame, args.capture.host.mac).map_err(|reason| Error::FrameNotFed {
        path: path(),
        wanted: args.packet,
        reason,
    })?;

    let config = HostConfig {
        record: true,
        ..host_config(&args.capture)
    };
    let options = ReplayOptions {
        fast: args.capture.fast,
        last: Some(args.packet),
    };
    let replayed = replay(&capture, &config, options, |_| Ok(()), |_, _| ())?;
    super::print(&replayed.host.trace_of(args.packet as u64))
}
