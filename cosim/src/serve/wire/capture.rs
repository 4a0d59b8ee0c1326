//! Two captures instead of a network.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::capture::{Capture, CaptureWriter, CapturedFrame};
use crate::error::Error;

/// A capture that is played at its own speed, and one that is written.
pub struct CaptureWire {
    /// Those that were not played.
    frames: VecDeque<CapturedFrame>,
    /// Time of the first frame in the capture.
    first: Duration,
    /// Wall time since the start at which it is played, once the driver is ready.
    begin: Option<Duration>,
    writer: CaptureWriter,
    /// Date of the start.
    date: Duration,
}

impl CaptureWire {
    /// Reads one capture, creates the other.
    pub fn open(input: &Path, output: &Path) -> Result<Self, Error> {
        let capture = Capture::open(input)?;
        let first = capture.frames.first().map_or(Duration::ZERO, |f| f.time);
        Ok(Self {
            frames: capture.frames.into(),
            first,
            begin: None,
            writer: CaptureWriter::create(output)?,
            date: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        })
    }

    /// The capture begins now, unless it did so before.
    pub fn begin(&mut self, wall: Duration) {
        self.begin.get_or_insert(wall);
    }

    /// Wall time of the next frame. Captures are not always in order of time; the wire is.
    pub fn next_due(&self) -> Option<Duration> {
        let next = self.frames.front()?;
        Some(self.begin? + next.time.saturating_sub(self.first))
    }

    /// The next frame, if its time has come.
    pub fn receive(&mut self, wall: Duration) -> Option<Vec<u8>> {
        if self.next_due()? > wall {
            return None;
        }
        self.frames.pop_front().map(|frame| frame.bytes)
    }

    /// Writes a frame that left the NIC.
    pub fn send(&mut self, frame: &[u8], wall: Duration) -> Result<(), Error> {
        self.writer.write(self.date + wall, frame)
    }

    /// Completes the file.
    pub fn finish(self) -> Result<(), Error> {
        self.writer.finish()
    }
}
