//! `cosim replay`.

use std::time::Instant;

use hwmodel::Device;

use super::args::{CaptureArgs, DeviceKind, ReplayArgs};
use super::output::Output;
use crate::capture::{Capture, CaptureWriter};
use crate::error::Error;
use crate::host::{Host, HostConfig};
use crate::progress::Progress;
use crate::replay::{ReplayOptions, replay_to};

/// Runs the command.
///
/// # Errors
/// [`Error::Option`] when signals are wanted of a card that has none.
pub fn run(args: &ReplayArgs) -> Result<(), Error> {
    let config = HostConfig {
        waves: args.waves.clone(),
        record: args.trace.is_some(),
        ..host_config(&args.capture)
    };
    match (args.capture.host.device, &args.waves) {
        (DeviceKind::Rtl, _) => run_on(args, &config, || Host::new(&config)),
        (DeviceKind::Model, None) => run_on(args, &config, || Host::with_model(&config)),
        (DeviceKind::Model, Some(path)) => Err(Error::Option {
            option: "--waves",
            value: path.display().to_string(),
            reason: "the model has no signals; leave out --device model".into(),
        }),
    }
}

fn run_on<D: Device + 'static>(
    args: &ReplayArgs,
    config: &HostConfig,
    host: impl FnOnce() -> Result<Host<D>, Error>,
) -> Result<(), Error> {
    let capture = Capture::open(&args.capture.input)?;
    let mut out = args.out.as_deref().map(CaptureWriter::create).transpose()?;
    let trace = Output::create(args.trace.as_deref())?;
    let json = Output::create(args.summary.as_deref())?;
    let options = ReplayOptions {
        fast: args.capture.fast,
        last: None,
    };

    let progress = Progress::new(capture.frames.len() as u64);
    let started = Instant::now();
    let replayed = replay_to(
        host()?,
        &capture,
        config,
        options,
        |sent| match &mut out {
            Some(writer) => writer.write(sent.time, &sent.frame.bytes),
            None => Ok(()),
        },
        |frames, simulated| progress.set(frames, simulated as f64 / 1e12),
    )?;
    let mut summary = replayed.summary;
    summary.finish(started.elapsed());
    progress.finish();

    if let Some(writer) = out {
        writer.finish()?;
    }
    if let Some(file) = trace {
        file.write(&replayed.host.trace())?;
    }
    if let Some(file) = json {
        file.write(&summary.to_json())?;
    }
    super::print(&summary.to_string())
}

/// The host that the options describe.
pub fn host_config(args: &CaptureArgs) -> HostConfig {
    HostConfig {
        addrs: args.addr.clone(),
        ..args.host.config()
    }
}
