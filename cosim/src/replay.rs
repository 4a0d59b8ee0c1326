//! Feeds a capture to a host, frame by frame, and hands on what leaves the NIC.

use std::time::Duration;

use hwmodel::{Device, Nic, WireFrame};

use crate::addr::Mac;
use crate::capture::{Capture, CapturedFrame};
use crate::error::{CaptureFault, Error};
use crate::host::{Host, HostConfig};
use crate::summary::{CaptureCounts, Summary};
use crate::trace::Ps;

/// Shortest frame that can be fed, bytes: an Ethernet header.
const ETH_HLEN: usize = 14;
/// The first frame begins this long after the host is ready.
const LEAD: Ps = 1_000_000;
/// Longest time from the first frame to the last, seconds: 200 days. `Ps` overflows after 213, and the
/// kernel's timers look ahead.
const LONGEST: u64 = 200 * 24 * 60 * 60;

/// How to feed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayOptions {
    /// Back to back instead of at capture times.
    pub fast: bool,
    /// Only the frames up to this number of the capture; all when `None`.
    pub last: Option<usize>,
}

/// A frame that left the NIC.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Time of its first byte: that of the capture's first frame plus the simulated time since then.
    pub time: Duration,
    /// The frame.
    pub frame: WireFrame,
}

/// A replay that has come to its end.
pub struct Replayed<D: Device = Nic> {
    /// The host, for its trace.
    pub host: Host<D>,
    /// What it came to; [`Summary::finish`] is to be called with the wall time.
    pub summary: Summary,
}

/// Whether a frame of the capture is given to the wire, and why not.
///
/// # Errors
/// The reason.
pub fn check_frame(frame: &CapturedFrame, own: Mac) -> Result<(), &'static str> {
    if frame.bytes.len() < ETH_HLEN {
        Err("it is shorter than an Ethernet header")
    } else if frame.source() == Some(&own.0[..]) {
        Err("the captured host sent it itself (its source is --mac)")
    } else {
        Ok(())
    }
}

/// Replays `capture` to a new host whose card is the RTL: [`replay_to`].
///
/// # Errors
/// As there, and [`Error::Machine`] when the host does not come up.
pub fn replay(
    capture: &Capture,
    config: &HostConfig,
    options: ReplayOptions,
    sent: impl FnMut(Sent) -> Result<(), Error>,
    progress: impl FnMut(u64, Ps),
) -> Result<Replayed, Error> {
    let host = Host::new(config)?;
    replay_to(host, capture, config, options, sent, progress)
}

/// Replays `capture` to `host`, which was made with `config`. `sent` gets every frame that leaves the NIC; `progress` is called
/// with the number of frames fed and the simulated time since the first, in picoseconds.
///
/// # Errors
/// [`Error::Machine`], [`Error::Capture`] when a frame comes too long after the first one, or whatever
/// `sent` returns.
pub fn replay_to<D: Device + 'static>(
    mut host: Host<D>,
    capture: &Capture,
    config: &HostConfig,
    options: ReplayOptions,
    mut sent: impl FnMut(Sent) -> Result<(), Error>,
    mut progress: impl FnMut(u64, Ps),
) -> Result<Replayed<D>, Error> {
    let start = host.now() + LEAD;
    let last = options.last.unwrap_or(usize::MAX);
    let epoch = capture
        .frames
        .first()
        .map_or(Duration::ZERO, |frame| frame.time);
    let mut counts = CaptureCounts::default();

    let mut hand_on = |host: &mut Host<D>| -> Result<(), Error> {
        while let Some(frame) = host.take_wire() {
            let time = epoch + Duration::from_nanos(frame.at.saturating_sub(start) / 1000);
            sent(Sent { time, frame })?;
        }
        Ok(())
    };
    for frame in capture
        .frames
        .iter()
        .take_while(|frame| frame.number <= last)
    {
        counts.frames += 1;
        progress(counts.frames, host.now().saturating_sub(start));
        match check_frame(frame, config.mac) {
            Ok(()) => counts.fed += 1,
            Err(_) if frame.bytes.len() < ETH_HLEN => {
                counts.unusable += 1;
                continue;
            }
            Err(_) => {
                counts.own += 1;
                continue;
            }
        }
        // Captures are not always in order of time; the wire is.
        let since = frame.time.saturating_sub(epoch);
        let offset = if options.fast {
            0
        } else {
            offset(since).ok_or_else(|| Error::Capture {
                path: capture.path.clone(),
                fault: CaptureFault::TooLate {
                    frame: frame.number,
                    seconds: since.as_secs(),
                    most: LONGEST,
                },
            })?
        };
        let begins = host.wire_in(frame.number as u64, start + offset, frame.bytes.clone());
        host.run_until(begins)?;
        hand_on(&mut host)?;
    }
    host.finish()?;
    hand_on(&mut host)?;

    let mut summary = host.summary(start)?;
    summary.capture = Some(counts);
    Ok(Replayed { host, summary })
}

/// Time since the first frame as simulated time; `None` when it is too long.
fn offset(since: Duration) -> Option<Ps> {
    if since > Duration::from_secs(LONGEST) {
        return None;
    }
    Ps::try_from(since.as_nanos()).ok()?.checked_mul(1000)
}
