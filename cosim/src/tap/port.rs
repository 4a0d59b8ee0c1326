//! A TAP device, frame by frame, without waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::error::Error;

/// Longest frame that is taken, bytes.
const MAX_FRAME: usize = 16 * 1024;

/// This process's end of a TAP device.
pub struct TapPort {
    tap: SyncDevice,
    name: String,
    /// Frames that the device did not take because it is down or its queue is full.
    pub not_taken: u64,
    /// The last read was refused because the device is down.
    pub down: bool,
}

impl TapPort {
    /// Joins TAP device `name`, which is made when it is not there.
    ///
    /// # Errors
    /// [`Error::Tap`] without the right to do so.
    pub fn join(name: &str) -> Result<Self, Error> {
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
        Ok(Self {
            tap,
            name: name.to_string(),
            not_taken: 0,
            down: false,
        })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to poll.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.tap.as_fd()
    }

    /// The interface is up and running (IFF_UP, IFF_RUNNING).
    ///
    /// # Errors
    /// [`Error::Tap`] when it is gone.
    pub fn is_running(&self) -> Result<bool, Error> {
        self.tap.is_running().map_err(|e| self.error("look at", e))
    }

    /// Looks at what poll(2) reported for [`TapPort::fd`].
    ///
    /// # Errors
    /// [`Error::Tap`] when the device was deleted.
    pub fn check(&self, events: PollFlags) -> Result<(), Error> {
        // tun_chr_poll(): POLLERR once the interface is unregistered; these three are reported unasked.
        let broken = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        if events.intersects(broken) {
            return Err(self.error("wait for", io::Error::other("the interface is gone")));
        }
        Ok(())
    }

    /// The next frame that the kernel sends, if there is one.
    ///
    /// # Errors
    /// [`Error::Tap`] when the device cannot be read for good.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut buffer = [0; MAX_FRAME];
        self.down = false;
        match self.tap.recv(&mut buffer) {
            Ok(len) => Ok(Some(buffer[..len].to_vec())),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            // The interface is down: there is nothing to receive.
            Err(e) if is_down(&e) => {
                self.down = true;
                Ok(None)
            }
            Err(e) => Err(self.error("read from", e)),
        }
    }

    /// Gives a frame to the kernel, or counts it as not taken.
    ///
    /// # Errors
    /// [`Error::Tap`] when the device cannot be written for good.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        match self.tap.send(frame) {
            Ok(_) => Ok(()),
            Err(e) if is_down(&e) || e.kind() == io::ErrorKind::WouldBlock => {
                self.not_taken += 1;
                Ok(())
            }
            Err(e) => Err(self.error("write to", e)),
        }
    }

    /// An error of this device.
    pub fn error(&self, action: &'static str, source: io::Error) -> Error {
        Error::Tap {
            action,
            name: self.name.clone(),
            source,
        }
    }
}

fn is_down(error: &io::Error) -> bool {
    // tun_get_user(): EIO while the interface is not IFF_UP. EBADFD is not meant: it is gone for good.
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
