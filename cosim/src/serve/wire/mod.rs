//! What is at the other end of the NIC's cable.

mod capture;
mod tap;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hwmodel::{Device, WireFrame};
use rustix::event::PollFlags;

use crate::addr::interface_name;
use crate::error::Error;
use capture::CaptureWire;
use tap::TapWire;

/// Shortest frame, bytes without FCS (IEEE 802.3 4A.4.2).
const MIN_FRAME: usize = 60;
/// Frames that wait for the NIC's pins before no more are taken.
const MAX_PENDING: usize = 64;

/// The other end, as it is typed: `tap:NAME`, `pcap:IN,OUT` or `loopback`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireKind {
    /// A TAP device of this machine.
    Tap(String),
    /// Frames of one capture come in at their times, what leaves the NIC goes to the other.
    Capture(PathBuf, PathBuf),
    /// What leaves the NIC comes back to it.
    Loopback,
}

impl FromStr for WireKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("tap", name)) => interface_name(name).map(Self::Tap),
            Some(("pcap", files)) => match files.split_once(',') {
                Some((input, output)) if !input.is_empty() && !output.is_empty() => {
                    Ok(Self::Capture(input.into(), output.into()))
                }
                _ => Err("write pcap:IN,OUT with a capture to feed and one to write".into()),
            },
            None if text == "loopback" => Ok(Self::Loopback),
            _ => Err("write tap:NAME, pcap:IN,OUT or loopback".into()),
        }
    }
}

/// The cable's other end.
pub struct Wire {
    end: End,
    /// The person at the controls left the cable plugged.
    plugged: bool,
    /// Changes of the link so far.
    pub changes: u64,
}

enum End {
    Tap(TapWire),
    Capture(Box<CaptureWire>),
    Loopback,
}

impl Wire {
    /// Joins the other end.
    ///
    /// # Errors
    /// [`Error::Tap`], [`Error::File`], [`Error::Capture`].
    pub fn open(kind: &WireKind) -> Result<Self, Error> {
        let end = match kind {
            WireKind::Tap(name) => End::Tap(TapWire::join(name)?),
            WireKind::Capture(input, output) => {
                End::Capture(Box::new(CaptureWire::open(input, output)?))
            }
            WireKind::Loopback => End::Loopback,
        };
        Ok(Self {
            end,
            plugged: true,
            changes: 0,
        })
    }

    /// There is a link.
    pub fn link(&self) -> bool {
        self.plugged
            && match &self.end {
                End::Tap(tap) => tap.up(),
                End::Capture(_) | End::Loopback => true,
            }
    }

    /// Plugs the cable in or pulls it.
    pub fn set_plugged(&mut self, plugged: bool) {
        self.plugged = plugged;
    }

    /// What to wait for.
    pub fn fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        match &self.end {
            End::Tap(tap) => tap.fds().to_vec(),
            End::Capture(_) | End::Loopback => vec![],
        }
    }

    /// Looks at what poll(2) reported for [`Wire::fds`], in the same order.
    ///
    /// # Errors
    /// [`Error::Tap`] when the device was deleted.
    pub fn polled(&mut self, events: &[PollFlags]) -> Result<(), Error> {
        match &mut self.end {
            End::Tap(tap) => tap.polled(events),
            End::Capture(_) | End::Loopback => Ok(()),
        }
    }

    /// When the next frame is due, wall time since the start.
    pub fn next_due(&self) -> Option<Duration> {
        match &self.end {
            End::Capture(capture) => capture.next_due(),
            End::Tap(_) | End::Loopback => None,
        }
    }

    /// The driver is ready: a capture begins.
    pub fn driver_ready(&mut self, wall: Duration) {
        if let End::Capture(capture) = &mut self.end {
            capture.begin(wall);
        }
    }

    /// Gives the NIC what came by `wall`. Without a link it is lost on the way.
    ///
    /// # Errors
    /// [`Error::Tap`].
    pub fn receive(&mut self, nic: &mut impl Device, wall: Duration) -> Result<(), Error> {
        let link = self.link();
        while nic.wire_pending() < MAX_PENDING {
            let frame = match &mut self.end {
                End::Tap(tap) => tap.receive()?,
                End::Capture(capture) => capture.receive(wall),
                End::Loopback => None,
            };
            let Some(frame) = frame else { break };
            if link {
                feed(nic, frame);
            }
        }
        Ok(())
    }

    /// Takes a frame that left the NIC. Without a link it is lost.
    ///
    /// # Errors
    /// [`Error::Tap`], [`Error::File`].
    pub fn send(
        &mut self,
        nic: &mut impl Device,
        frame: WireFrame,
        wall: Duration,
    ) -> Result<(), Error> {
        if !self.link() {
            return Ok(());
        }
        match &mut self.end {
            End::Tap(tap) => tap.send(&frame.bytes),
            End::Capture(capture) => capture.send(&frame.bytes, wall),
            End::Loopback => {
                feed(nic, frame.bytes);
                Ok(())
            }
        }
    }

    /// Frames that the other end did not take.
    pub fn not_taken(&self) -> u64 {
        match &self.end {
            End::Tap(tap) => tap.not_taken(),
            End::Capture(_) | End::Loopback => 0,
        }
    }

    /// Completes what was written.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn finish(self) -> Result<(), Error> {
        match self.end {
            End::Capture(capture) => capture.finish(),
            End::Tap(_) | End::Loopback => Ok(()),
        }
    }
}

fn feed(nic: &mut impl Device, mut frame: Vec<u8>) {
    if frame.len() < MIN_FRAME {
        frame.resize(MIN_FRAME, 0);
    }
    let now = nic.now();
    nic.wire_send(WireFrame::new(now, frame));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wires_are_told_apart() {
        assert_eq!("tap:wp0".parse(), Ok(WireKind::Tap("wp0".into())));
        assert_eq!("loopback".parse(), Ok(WireKind::Loopback));
        assert_eq!(
            "pcap:a.pcap,b.pcap".parse(),
            Ok(WireKind::Capture("a.pcap".into(), "b.pcap".into()))
        );
        for bad in [
            "",
            "tap",
            "tap:",
            "tap:a/b",
            "pcap:a",
            "pcap:,b",
            "pcap:a,",
            "loop",
            "loopback:x",
        ] {
            assert!(bad.parse::<WireKind>().is_err(), "{bad}");
        }
    }
}
