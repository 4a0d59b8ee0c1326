//! What several tests need.

#![allow(dead_code)]

#[path = "../../../stack/tests/peers/mod.rs"]
mod peers;

use std::path::PathBuf;
use std::process::{Command, Output};

use cosim::capture::Capture;
#[allow(unused_imports)] // not every test can skip
pub use peers::skip;

/// The real capture that comes with the project.
pub fn mixed_pcap() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mixed.pcap"))
}

/// Its first `frames` frames.
pub fn mixed(frames: usize) -> Capture {
    let mut capture = Capture::open(&mixed_pcap()).unwrap();
    capture.frames.truncate(frames);
    capture
}

/// Runs the program with these arguments.
pub fn cosim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cosim"))
        .args(args)
        .output()
        .unwrap()
}

/// Runs the program, which must succeed, and returns its standard output.
pub fn cosim_ok(args: &[&str]) -> String {
    let output = cosim(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "cosim {args:?}: {}\n{out}\n{err}",
        output.status
    );
    out
}

/// Bytes that a program printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a program can be started.
pub fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok()
}
