//! Writes frames as they stood on the wire: nanosecond times, FCS included.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};

use crate::error::Error;

/// Link type Ethernet, with the header's FCS bits: present, two 16-bit units
/// (draft-ietf-opsawg-pcap, "General File Structure").
const ETHERNET_WITH_FCS: u32 = 1 | 1 << 26 | 2 << 28;

/// Longest frame a record may hold, bytes.
const SNAPLEN: u32 = 65535;

/// A pcap file that is being written.
pub struct CaptureWriter {
    path: PathBuf,
    writer: PcapWriter<BufWriter<File>>,
}

impl CaptureWriter {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| Error::File {
            action: "create",
            path: path.to_path_buf(),
            source,
        })?;
        let header = PcapHeader {
            snaplen: SNAPLEN,
            datalink: DataLink::from(ETHERNET_WITH_FCS),
            ts_resolution: TsResolution::NanoSecond,
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(BufWriter::new(file), header)
            .map_err(|e| write_error(path, e))?;
        Ok(Self {
            path: path.to_path_buf(),
            writer,
        })
    }

    /// Appends a frame.
    ///
    /// `time`: since the epoch, whole seconds below 2³². `frame`: as taken from the wire after its FCS
    /// was checked; the FCS is written behind it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&mut self, time: Duration, frame: &[u8]) -> Result<(), Error> {
        let mut data = Vec::with_capacity(frame.len() + 4);
        data.extend_from_slice(frame);
        data.extend_from_slice(&hwmodel::xgmii::fcs(frame));
        let len = data.len() as u32;
        let packet = RawPcapPacket {
            ts_sec: time.as_secs() as u32,
            ts_frac: time.subsec_nanos(),
            incl_len: len,
            orig_len: len,
            data: data.into(),
        };
        self.writer
            .write_raw_packet(&packet)
            .map_err(|e| write_error(&self.path, e))?;
        Ok(())
    }

    /// Writes what is buffered and closes the file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn finish(self) -> Result<(), Error> {
        self.writer
            .into_writer()
            .flush()
            .map_err(|source| Error::File {
                action: "write",
                path: self.path,
                source,
            })
    }
}

fn write_error(path: &Path, error: PcapError) -> Error {
    let source = match error {
        PcapError::IoError(source) => source,
        other => std::io::Error::other(other),
    };
    Error::File {
        action: "write",
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Capture;
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.pcap");
        let mut writer = CaptureWriter::create(&path).unwrap();
        writer
            .write(Duration::new(5, 123_456_789), &[9; 60])
            .unwrap();
        writer.finish().unwrap();
        let capture = Capture::open(&path).unwrap();
        assert_eq!(capture.frames.len(), 1);
        assert_eq!(capture.frames[0].bytes, [9; 60]);
        assert_eq!(capture.frames[0].time, Duration::new(5, 123_456_789));
        let raw = std::fs::read(&path).unwrap();
        assert_eq!(raw[20..24], 0x2400_0001_u32.to_le_bytes());
        assert_eq!(raw[raw.len() - 4..], hwmodel::xgmii::fcs(&[9; 60]));
    }
}
