//! What can go wrong, said so that the reader knows where and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// An error of the co-simulation: what is wrong, where, and (see [`Error::help`]) what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: `open`, `read`, `create`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The input is no capture, or a capture that cannot be replayed.
    #[error("{}: {fault}", path.display())]
    Capture {
        /// The capture.
        path: PathBuf,
        /// What is wrong with it.
        fault: CaptureFault,
    },
    /// `--packet N` names a frame that the capture does not hold.
    #[error("{} has {frames} frames, there is no frame {wanted}", path.display())]
    NoSuchFrame {
        /// The capture.
        path: PathBuf,
        /// Frames in it.
        frames: usize,
        /// The number asked for, from 1.
        wanted: usize,
    },
    /// `--packet N` names a frame that was not given to the wire.
    #[error("frame {wanted} of {} was not given to the wire: {reason}", path.display())]
    FrameNotFed {
        /// The capture.
        path: PathBuf,
        /// The number asked for, from 1.
        wanted: usize,
        /// Why it was left out.
        reason: &'static str,
    },
    /// The TAP device cannot be joined, or cannot be used any more.
    #[error("cannot {action} TAP device {name}: {source}")]
    Tap {
        /// What was tried: `join`, `wait for`, `look at`, `watch`, `read from`, `write to`.
        action: &'static str,
        /// The interface's name.
        name: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A socket cannot be made.
    #[error("cannot listen at {}: {source}", path.display())]
    Socket {
        /// Its name.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The simulated machine failed: an RTL assertion, a bus protocol fault, a device that does not come up.
    #[error("{what}: {reason}")]
    Machine {
        /// What was being done.
        what: &'static str,
        /// The reason given by the part that failed.
        reason: String,
    },
    /// A recording cannot be read.
    #[error("{reason}")]
    Oracle {
        /// Which, and why.
        reason: String,
    },
    /// Recordings of a kernel came out differently here.
    #[error("{failed} of {all} recordings differ")]
    Differs {
        /// Those that differ, or could not be run.
        failed: usize,
        /// All that were given.
        all: usize,
    },
    /// An option's value does not fit.
    #[error("{option} {value}: {reason}")]
    Option {
        /// The option, with its dashes.
        option: &'static str,
        /// The value given.
        value: String,
        /// Why it does not fit.
        reason: String,
    },
}

/// What is wrong with a capture file. Frames are numbered from 1, as `tshark` does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptureFault {
    /// The first four bytes are not pcap's magic number.
    NotPcap,
    /// It is a pcapng file.
    Pcapng,
    /// The file ends inside its 24-byte header.
    NoHeader,
    /// Its link type is not Ethernet (1); the number is that of the file.
    LinkType(u32),
    /// The file ends inside this frame's record.
    Cut {
        /// Frame number.
        frame: usize,
    },
    /// A record's header cannot be true.
    Corrupt {
        /// Frame number.
        frame: usize,
        /// Which field and why.
        reason: String,
    },
    /// The frame came longer after the first one than simulated time can tell.
    TooLate {
        /// Frame number.
        frame: usize,
        /// Seconds since the capture's first frame.
        seconds: u64,
        /// Most seconds that can be replayed.
        most: u64,
    },
    /// The frame was longer on the wire than what was captured of it (snapshot length).
    Snapped {
        /// Frame number.
        frame: usize,
        /// Bytes captured.
        captured: u32,
        /// Bytes on the wire.
        original: u32,
    },
}

impl fmt::Display for CaptureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPcap => f.write_str("not a pcap file (wrong magic number)"),
            Self::Pcapng => f.write_str("this is a pcapng file; only classic pcap is read"),
            Self::NoHeader => f.write_str("not a pcap file (shorter than its 24-byte header)"),
            Self::LinkType(n) => write!(f, "link type {n} is not Ethernet (1)"),
            Self::Cut { frame } => write!(f, "the file ends inside frame {frame}"),
            Self::Corrupt { frame, reason } => write!(f, "frame {frame} is corrupt: {reason}"),
            Self::TooLate {
                frame,
                seconds,
                most,
            } => write!(
                f,
                "frame {frame} is {seconds} s behind the first one, and capture times are kept for {most} s"
            ),
            Self::Snapped {
                frame,
                captured,
                original,
            } => write!(
                f,
                "frame {frame} was cut when it was captured: {captured} of {original} bytes are here"
            ),
        }
    }
}

impl Error {
    /// What the user can do about it, when there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::File {
                action: "open",
                source,
                ..
            } if source.kind() == std::io::ErrorKind::NotFound => Some("check the path".into()),
            Self::Capture { path, fault } => match fault {
                CaptureFault::Pcapng => Some(format!(
                    "convert it: editcap -F pcap {} out.pcap",
                    path.display()
                )),
                CaptureFault::NotPcap | CaptureFault::NoHeader => {
                    Some("give a capture as written by `tcpdump -w`".into())
                }
                CaptureFault::LinkType(_) => {
                    Some("capture on an Ethernet interface, not on `any` or a tunnel".into())
                }
                CaptureFault::Cut { .. } => Some(format!(
                    "keep what is whole: editcap -F pcap {} out.pcap",
                    path.display()
                )),
                CaptureFault::Snapped { .. } => {
                    Some("capture whole frames: tcpdump -s 0 -w out.pcap".into())
                }
                CaptureFault::TooLate { .. } => Some("feed the frames back to back: --fast".into()),
                CaptureFault::Corrupt { .. } => None,
            },
            Self::NoSuchFrame { frames, .. } => Some(format!(
                "--packet takes 1 to {frames}, the number that tshark shows"
            )),
            Self::FrameNotFed { .. } => {
                Some("choose a frame that another host sent, or give another --mac".into())
            }
            Self::Tap {
                action,
                name,
                source,
            } => Some(match source.kind() {
                _ if *action != "join" => {
                    format!("was it deleted while it was in use? `ip link show {name}` tells")
                }
                std::io::ErrorKind::PermissionDenied => {
                    "run as root (TAP needs CAP_NET_ADMIN)".into()
                }
                std::io::ErrorKind::NotFound => {
                    "/dev/net/tun is missing: load it with `modprobe tun`".into()
                }
                _ => format!(
                    "is it used by another program, or not a TAP? `ip -d link show {name}` tells"
                ),
            }),
            Self::Socket { path, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some(format!(
                    "give another name, or remove {} if nobody uses it",
                    path.display()
                ))
            }
            _ => None,
        }
    }

    /// Error text for a terminal: `error:` line, the causes, a `help:` line.
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}");
        if let Some(help) = self.help() {
            text.push_str("\n help: ");
            text.push_str(&help);
        }
        text
    }

    pub(crate) fn oracle(reason: impl fmt::Display) -> Self {
        Self::Oracle {
            reason: reason.to_string(),
        }
    }

    pub(crate) fn machine(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::Machine {
            what,
            reason: reason.to_string(),
        }
    }
}
