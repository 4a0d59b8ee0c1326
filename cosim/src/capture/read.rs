//! Reads a classic pcap file whole, and refuses what cannot be replayed faithfully.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapParser, RawPcapPacket};
use pcap_file::{DataLink, PcapError, TsResolution};

use crate::error::{CaptureFault, Error};

/// Bits of the header's link type field that hold the number itself; above them the file may say
/// how many FCS octets end each frame (draft-ietf-opsawg-pcap, "General File Structure").
const LINK_TYPE_MASK: u32 = 0x03ff_ffff;
/// Set when the FCS length is given.
const FCS_PRESENT: u32 = 1 << 26;
/// The FCS length in 16-bit units stands from this bit up.
const FCS_LEN_SHIFT: u32 = 28;

/// A frame as it was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFrame {
    /// Number in the file, from 1, as tshark shows it.
    pub number: usize,
    /// Time since the epoch.
    pub time: Duration,
    /// Destination address to end of payload, FCS not included.
    pub bytes: Vec<u8>,
}

impl CapturedFrame {
    /// Source address, when the frame is long enough to have one.
    pub fn source(&self) -> Option<&[u8]> {
        self.bytes.get(6..12)
    }
}

/// A capture held in memory, frames in file order.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its frames.
    pub frames: Vec<CapturedFrame>,
}

impl Capture {
    /// Reads a capture file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Capture`] when it is not a whole classic
    /// pcap of whole Ethernet frames.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file_error = |action| {
            move |source| Error::File {
                action,
                path: path.to_path_buf(),
                source,
            }
        };
        let mut data = Vec::new();
        File::open(path)
            .map_err(file_error("open"))?
            .read_to_end(&mut data)
            .map_err(file_error("read"))?;
        let frames = parse(&data).map_err(|fault| Error::Capture {
            path: path.to_path_buf(),
            fault,
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            frames,
        })
    }
}

/// Parses a classic pcap image.
///
/// # Errors
/// The first fault found; nothing is skipped silently.
pub fn parse(data: &[u8]) -> Result<Vec<CapturedFrame>, CaptureFault> {
    if data.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        return Err(CaptureFault::Pcapng);
    }
    let (mut rest, parser) = PcapParser::new(data).map_err(|e| match e {
        PcapError::IncompleteBuffer => CaptureFault::NoHeader,
        _ => CaptureFault::NotPcap,
    })?;
    let header = parser.header();
    let link = u32::from(header.datalink);
    if link & LINK_TYPE_MASK != u32::from(DataLink::ETHERNET) {
        return Err(CaptureFault::LinkType(link & LINK_TYPE_MASK));
    }
    let fcs_len = if link & FCS_PRESENT != 0 {
        (link >> FCS_LEN_SHIFT) as usize * 2
    } else {
        0
    };

    let mut frames = Vec::new();
    while !rest.is_empty() {
        let number = frames.len() + 1;
        let (after, raw) = parser
            .next_raw_packet(rest)
            .map_err(|_| CaptureFault::Cut { frame: number })?;
        frames.push(frame(number, &raw, header.ts_resolution, fcs_len)?);
        rest = after;
    }
    Ok(frames)
}

fn frame(
    number: usize,
    raw: &RawPcapPacket<'_>,
    resolution: TsResolution,
    fcs_len: usize,
) -> Result<CapturedFrame, CaptureFault> {
    let corrupt = |reason| CaptureFault::Corrupt {
        frame: number,
        reason,
    };
    if raw.incl_len < raw.orig_len {
        return Err(CaptureFault::Snapped {
            frame: number,
            captured: raw.incl_len,
            original: raw.orig_len,
        });
    }
    if raw.incl_len > raw.orig_len {
        return Err(corrupt(format!(
            "{} bytes captured of a frame of {}",
            raw.incl_len, raw.orig_len
        )));
    }
    let (unit, max) = match resolution {
        TsResolution::MicroSecond => (1000, 1_000_000),
        TsResolution::NanoSecond => (1, 1_000_000_000),
    };
    if raw.ts_frac >= max {
        return Err(corrupt(format!(
            "its fraction of a second, {}, is a second or more",
            raw.ts_frac
        )));
    }
    let len = raw
        .data
        .len()
        .checked_sub(fcs_len)
        .ok_or_else(|| corrupt(format!("{} bytes are too few for its FCS", raw.data.len())))?;
    Ok(CapturedFrame {
        number,
        time: Duration::new(u64::from(raw.ts_sec), raw.ts_frac * unit),
        bytes: raw.data[..len].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(link: u32) -> Vec<u8> {
        let mut h = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        h.extend([0; 8]);
        h.extend(65535_u32.to_le_bytes());
        h.extend(link.to_le_bytes());
        h
    }

    fn record(sec: u32, usec: u32, original: u32, data: &[u8]) -> Vec<u8> {
        let mut r = Vec::new();
        for word in [sec, usec, data.len() as u32, original] {
            r.extend(word.to_le_bytes());
        }
        r.extend(data);
        r
    }

    #[test]
    fn whole_frames() {
        let mut file = header(1);
        file.extend(record(1, 2, 60, &[7; 60]));
        file.extend(record(1, 3, 61, &[8; 61]));
        let frames = parse(&file).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].time, Duration::new(1, 2000));
        assert_eq!((frames[1].number, frames[1].bytes.len()), (2, 61));
        assert_eq!(frames[0].source(), Some(&[7; 6][..]));
    }

    #[test]
    fn an_empty_capture_has_no_frames() {
        assert_eq!(parse(&header(1)), Ok(vec![]));
    }

    #[test]
    fn an_fcs_in_the_file_is_taken_off() {
        let mut file = header(1 | FCS_PRESENT | 2 << FCS_LEN_SHIFT);
        file.extend(record(0, 0, 64, &[7; 64]));
        assert_eq!(parse(&file).unwrap()[0].bytes.len(), 60);
        let mut short = header(1 | FCS_PRESENT | 2 << FCS_LEN_SHIFT);
        short.extend(record(0, 0, 3, &[7; 3]));
        assert!(matches!(
            parse(&short),
            Err(CaptureFault::Corrupt { frame: 1, .. })
        ));
    }

    #[test]
    fn bad_files_are_named() {
        assert_eq!(
            parse(b"GIF89a, and then some more bytes"),
            Err(CaptureFault::NotPcap)
        );
        assert_eq!(parse(&[]), Err(CaptureFault::NoHeader));
        assert_eq!(parse(&header(1)[..20]), Err(CaptureFault::NoHeader));
        assert_eq!(
            parse(&[0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0]),
            Err(CaptureFault::Pcapng)
        );
        assert_eq!(parse(&header(113)), Err(CaptureFault::LinkType(113)));
        let mut cut = header(1);
        cut.extend(&record(0, 0, 60, &[7; 60])[..50]);
        assert_eq!(parse(&cut), Err(CaptureFault::Cut { frame: 1 }));
        let mut snapped = header(1);
        snapped.extend(record(0, 0, 1514, &[7; 96]));
        assert_eq!(
            parse(&snapped),
            Err(CaptureFault::Snapped {
                frame: 1,
                captured: 96,
                original: 1514
            })
        );
        let mut late = header(1);
        late.extend(record(0, 1_000_000, 60, &[7; 60]));
        assert!(matches!(
            parse(&late),
            Err(CaptureFault::Corrupt { frame: 1, .. })
        ));
    }

    #[test]
    fn no_cut_of_a_good_file_panics() {
        let mut file = header(1);
        file.extend(record(1, 2, 60, &[7; 60]));
        for len in 0..file.len() {
            if len != 24 {
                assert!(parse(&file[..len]).is_err(), "cut to {len} bytes");
            }
        }
    }
}
