//! The NIC's wire joined to a Linux TAP device.
//!
//! Simulated time follows the wall clock while nothing happens. While the simulation is busy it runs as
//! fast as it can, and lags. Nothing waits in a loop: the process sleeps in poll(2) until a frame, a
//! signal, or the next timer of the simulated kernel. A device that is down is waited for; one that was
//! deleted is an error.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hwmodel::Device;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::error::Error;
use crate::host::Host;
use crate::summary::Summary;
use crate::trace::Ps;

/// Frames taken from the TAP before the simulation runs again.
const BATCH: usize = 64;
/// Longest frame that is taken, bytes.
const MAX_FRAME: usize = 16 * 1024;
/// How long a TAP that refused to be read because it is down is left alone.
const DOWN_PAUSE: Duration = Duration::from_millis(100);

/// A host whose wire is a TAP device.
pub struct Bridge<D: Device> {
    tap: SyncDevice,
    name: String,
    /// Becomes readable when the process is asked to end.
    signals: OwnedFd,
    host: Host<D>,
    /// Simulated time at the start.
    epoch: Ps,
    frames: u64,
    /// Frames that the TAP did not take because it is down.
    not_taken: u64,
    /// The last read was refused because the TAP is down.
    down: bool,
}

impl<D: Device + 'static> Bridge<D> {
    /// Joins TAP device `name`, which is made when it is not there, to the host that `host` makes.
    ///
    /// # Errors
    /// [`Error::Tap`] without the right to do so, and what `host` returns.
    pub fn open(name: &str, host: impl FnOnce() -> Result<Host<D>, Error>) -> Result<Self, Error> {
        let tap_error = |source| Error::Tap {
            action: "join",
            name: name.to_string(),
            source,
        };
        let tap = DeviceBuilder::new()
            .name(name)
            .layer(Layer::L2)
            .inherit_enable_state()
            .build_sync()
            .map_err(tap_error)?;
        tap.set_nonblocking(true).map_err(tap_error)?;
        let signals = signals().map_err(|e| Error::machine("signals cannot be caught", e))?;
        let host = host()?;
        let epoch = host.now();
        Ok(Self {
            tap,
            name: name.to_string(),
            signals,
            host,
            epoch,
            frames: 0,
            not_taken: 0,
            down: false,
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
        if self.not_taken > 0 {
            summary
                .tx_drops
                .insert(format!("{} is down", self.name), self.not_taken);
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
        let (timeout, events) = if self.down {
            let pause = timeout.map_or(DOWN_PAUSE, |t| t.min(DOWN_PAUSE));
            (Some(pause), PollFlags::empty())
        } else {
            (timeout, PollFlags::IN)
        };
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let mut fds = [
            PollFd::from_borrowed_fd(self.tap_fd(), events),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(self.error("wait for", errno.into())),
        }
        if !fds[1].revents().is_empty() {
            return Ok(false);
        }
        // tun_chr_poll(): POLLERR once the interface is unregistered; these three are reported unasked.
        let broken = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        if fds[0].revents().intersects(broken) {
            return Err(self.error("wait for", io::Error::other("the interface is gone")));
        }
        Ok(true)
    }

    /// From the TAP to the wire.
    fn receive(&mut self) -> Result<(), Error> {
        let mut buffer = [0; MAX_FRAME];
        self.down = false;
        for _ in 0..BATCH {
            match self.tap.recv(&mut buffer) {
                Ok(len) => {
                    self.frames += 1;
                    let now = self.host.now();
                    self.host.wire_in(self.frames, now, buffer[..len].to_vec());
                }
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) =>
                {
                    break;
                }
                // The interface is down: there is nothing to receive.
                Err(e) if is_down(&e) => {
                    self.down = true;
                    break;
                }
                Err(e) => return Err(self.error("read from", e)),
            }
        }
        Ok(())
    }

    /// From the wire to the TAP.
    fn send(&mut self) -> Result<(), Error> {
        while let Some(frame) = self.host.take_wire() {
            match self.tap.send(&frame.bytes) {
                Ok(_) => {}
                Err(e) if is_down(&e) || e.kind() == io::ErrorKind::WouldBlock => {
                    self.not_taken += 1
                }
                Err(e) => return Err(self.error("write to", e)),
            }
        }
        Ok(())
    }

    fn tap_fd(&self) -> BorrowedFd<'_> {
        self.tap.as_fd()
    }

    fn error(&self, action: &'static str, source: io::Error) -> Error {
        Error::Tap {
            action,
            name: self.name.clone(),
            source,
        }
    }
}

/// A stream that becomes readable at SIGINT and SIGTERM.
fn signals() -> io::Result<OwnedFd> {
    let (read, write) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGINT, write.try_clone()?)?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, write)?;
    Ok(read.into())
}

fn is_down(error: &io::Error) -> bool {
    // tun_get_user(): EIO while the interface is not IFF_UP. EBADFD is not meant: it is gone for good.
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn picoseconds(duration: Duration) -> Ps {
    duration.as_nanos() as Ps * 1000
}
