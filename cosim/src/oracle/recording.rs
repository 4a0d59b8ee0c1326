//! A recording's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::meta::Meta;
use crate::capture::{Capture, CapturedFrame};

/// The rules that every recording of the series starts from.
const BASE_NFT: &str = include_str!("../../data/oracle/base.nft");

/// The router's devices with a wire; `lo` besides.
pub const DEVICES: [&str; 2] = ["eth_c", "eth_s"];

/// Why a recording cannot be read.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `meta.json` is not what it should be.
    #[error("{}: {source}", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A capture cannot be read.
    #[error(transparent)]
    Capture(Box<crate::error::Error>),
    /// Neither a recording nor a directory of recordings.
    #[error("{}: no recording (meta.json) is here or one level below", .0.display())]
    NoRecording(PathBuf),
}

/// Everything that was recorded of one scenario.
#[derive(Debug)]
pub struct Recording {
    /// Its directory's name.
    pub name: String,
    /// `meta.json`.
    pub meta: Meta,
    /// The rules to begin with.
    pub base: String,
    /// Frames that entered, by device, in time order.
    pub incoming: BTreeMap<&'static str, Vec<CapturedFrame>>,
    /// Frames that left, by device; `lo` is here.
    pub outgoing: BTreeMap<&'static str, Vec<CapturedFrame>>,
    /// `conntrack -L` after the traffic, without its summary.
    pub conntrack: Vec<String>,
    /// `conntrack -E`, without its summary and notices.
    pub events: Vec<String>,
    /// What the trace printed of each packet that `r` made, in order.
    pub made: Vec<String>,
}

impl Recording {
    /// Reads the recording in `dir`. `base.nft` is taken from beside the directory when it is there, else from this crate.
    ///
    /// # Errors
    /// A file that is missing (except captures, which then saw no frame) or malformed.
    pub fn open(dir: &Path) -> Result<Self, RecordingError> {
        let path = dir.join("meta.json");
        let meta = serde_json::from_str(&read(&path)?)
            .map_err(|source| RecordingError::Meta { path, source })?;
        let absolute = fs::canonicalize(dir).map_err(|source| RecordingError::File {
            path: dir.to_path_buf(),
            source,
        })?;
        let beside = absolute.parent().map(|p| p.join("base.nft"));
        let base = match beside.filter(|p| p.is_file()) {
            Some(path) => read(&path)?,
            None => BASE_NFT.to_owned(),
        };
        let transcript = read(&dir.join("transcript.txt"))?;
        let mut incoming = BTreeMap::new();
        let mut outgoing = BTreeMap::new();
        for device in DEVICES {
            incoming.insert(device, frames(&dir.join(format!("in_{device}.pcap")))?);
            outgoing.insert(device, frames(&dir.join(format!("out_{device}.pcap")))?);
        }
        outgoing.insert("lo", frames(&dir.join("lo.pcap"))?);
        Ok(Self {
            name: absolute
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            meta,
            base,
            incoming,
            outgoing,
            conntrack: section(&transcript, "conntrack -L"),
            events: section(&transcript, "conntrack -E"),
            made: made(&transcript),
        })
    }
}

/// The recordings at `path`: itself, or those one level below, by name.
///
/// # Errors
/// There is none.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    if path.join("meta.json").is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let file_error = |source| RecordingError::File {
        path: path.to_path_buf(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(file_error)? {
        let below = entry.map_err(file_error)?.path();
        if below.join("meta.json").is_file() {
            found.push(below);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(RecordingError::NoRecording(path.to_path_buf()));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, RecordingError> {
    fs::read_to_string(path).map_err(|source| RecordingError::File {
        path: path.to_path_buf(),
        source,
    })
}

/// A capture that is missing saw no frame.
fn frames(path: &Path) -> Result<Vec<CapturedFrame>, RecordingError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let capture = Capture::open(path).map_err(|e| RecordingError::Capture(Box::new(e)))?;
    Ok(capture.frames)
}

/// The lines of a transcript's section whose title begins with `title`, without what is not about a connection.
fn section(transcript: &str, title: &str) -> Vec<String> {
    let title = format!("## {title}");
    transcript
        .lines()
        .skip_while(|line| !line.starts_with(&title))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.contains("src="))
        .map(str::to_owned)
        .collect()
}

/// The raw trace's lines about packets at the first output chain.
fn made(transcript: &str) -> Vec<String> {
    let lines = transcript.lines().filter(|l| l.starts_with("trace id "));
    lines
        .filter_map(|l| l.split_once(" ip raw OUTPUT packet: "))
        .map(|(_, packet)| packet.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_a_transcript() {
        let text = "# t\n## conntrack -L after traffic\nudp src=1\nconntrack v1: 1 shown.\n\n## conntrack -E\nNOTICE: x\n[1]\t[NEW] udp src=2\n## extra\nsrc=3\n";
        assert_eq!(section(text, "conntrack -L"), ["udp src=1"]);
        assert_eq!(section(text, "conntrack -E"), ["[1]\t[NEW] udp src=2"]);
        assert!(section(text, "nothing").is_empty());
    }
}
