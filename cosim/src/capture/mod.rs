//! Captures: what is fed to the wire, and what left it.

mod read;
mod write;

pub use read::{Capture, CapturedFrame};
pub use write::CaptureWriter;
