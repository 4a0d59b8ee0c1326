//! The NIC's wire joined to a Linux TAP device.
//!
//! Simulated time follows the wall clock while nothing happens. While the simulation is busy it runs as
//! fast as it can, and lags. Nothing waits in a loop: the process sleeps in poll(2) until a frame, a
//! signal, or the next timer of the simulated kernel. A device that is down is waited for; one that was
//! deleted is an error.

mod port;

pub use port::TapPort;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use hwmodel::Device;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::Error;
use crate::host::Host;
use crate::signals::signals;
use crate::summary::Summary;
use crate::trace::Ps;

/// Frames taken from the TAP before the simulation runs again.
const BATCH: usize = 64;
/// How long a TAP that refused to be read because it is down is left alone.
const DOWN_PAUSE: Duration = Duration::from_millis(100);

/// A host whose wire is a TAP device.
pub struct Bridge<D: Device> {
    tap: TapPort,
    /// Becomes readable when the process is asked to end.
    signals: OwnedFd,
    host: Host<D>,
    /// Simulated time at the start.
    epoch: Ps,
    frames: u64,
}

impl<D: Device + 'static> Bridge<D> {
    /// Joins TAP device `name`, which is made when it is not there, to the host that `host` makes.
    ///
    /// # Errors
    /// [`Error::Tap`] without the right to do so, and what `host` returns.
    pub fn open(name: &str, host: impl FnOnce() -> Result<Host<D>, Error>) -> Result<Self, Error> {
        let tap = TapPort::join(name)?;
        let signals = signals().map_err(|e| Error::machine("signals cannot be caught", e))?;
        let host = host()?;
        let epoch = host.now();
        Ok(Self {
            tap,
            signals,
            host,
            epoch,
            frames: 0,
        })
    }

    /// Carries frames until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// [`Error::Tap`] when the device goes away, [`Error::Machine`].
    pub fn run(&mut self) -> Result<Summary, Error> {
        let started = Instant::now();
        while self.wait(started)? {
            let wall = self.epoch + picoseconds(started.elapsed());
            // A lagging simulation does not catch up by sleeping.
            self.host.run_until(wall)?;
            self.receive()?;
            self.host.run_until_quiet()?;
            self.send()?;
        }
        let mut summary = self.host.summary(self.epoch)?;
        if self.tap.not_taken > 0 {
            summary
                .tx_drops
                .insert(format!("{} is down", self.tap.name()), self.tap.not_taken);
        }
        summary.finish(started.elapsed());
        Ok(summary)
    }

    /// Sleeps until there is something to do. False: the process is asked to end.
    fn wait(&self, started: Instant) -> Result<bool, Error> {
        let timeout = self.host.next_timer().map(|at| {
            let due = Duration::from_nanos(at.saturating_sub(self.epoch).div_ceil(1000));
            due.saturating_sub(started.elapsed())
        });
        // poll(2) may call a TAP readable that refuses to be read: then time, not the TAP, ends the sleep.
        let (timeout, events) = if self.tap.down {
            let pause = timeout.map_or(DOWN_PAUSE, |t| t.min(DOWN_PAUSE));
            (Some(pause), PollFlags::empty())
        } else {
            (timeout, PollFlags::IN)
        };
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let mut fds = [
            PollFd::from_borrowed_fd(self.tap.fd(), events),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(self.tap.error("wait for", errno.into())),
        }
        if !fds[1].revents().is_empty() {
            return Ok(false);
        }
        self.tap.check(fds[0].revents())?;
        Ok(true)
    }

    /// From the TAP to the wire.
    fn receive(&mut self) -> Result<(), Error> {
        for _ in 0..BATCH {
            let Some(frame) = self.tap.receive()? else {
                break;
            };
            self.frames += 1;
            let now = self.host.now();
            self.host.wire_in(self.frames, now, frame);
        }
        Ok(())
    }

    /// From the wire to the TAP.
    fn send(&mut self) -> Result<(), Error> {
        while let Some(frame) = self.host.take_wire() {
            self.tap.send(&frame.bytes)?;
        }
        Ok(())
    }
}

fn picoseconds(duration: Duration) -> Ps {
    duration.as_nanos() as Ps * 1000
}
