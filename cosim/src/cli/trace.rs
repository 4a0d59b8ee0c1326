//! `cosim trace`.

use hwmodel::Device;

use super::args::{DeviceKind, TraceArgs};
use super::replay::host_config;
use crate::capture::Capture;
use crate::error::Error;
use crate::host::{Host, HostConfig};
use crate::replay::{ReplayOptions, check_frame, replay_to};

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
    let number = args.packet as u64;
    let journey = match args.capture.host.device {
        DeviceKind::Rtl => journey(Host::new(&config)?, &capture, &config, options, number),
        DeviceKind::Model => journey(
            Host::with_model(&config)?,
            &capture,
            &config,
            options,
            number,
        ),
    };
    super::print(&journey?)
}

fn journey<D: Device + 'static>(
    host: Host<D>,
    capture: &Capture,
    config: &HostConfig,
    options: ReplayOptions,
    number: u64,
) -> Result<String, Error> {
    let replayed = replay_to(host, capture, config, options, |_| Ok(()), |_, _| ())?;
    Ok(replayed.host.trace_of(number))
}
