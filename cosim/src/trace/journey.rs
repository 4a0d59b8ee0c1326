//! A packet's journey: what happened to it, where and when.

use std::borrow::Cow;

use super::Layer;

/// Picoseconds of simulated time.
pub type Ps = u64;

/// One stage that a packet went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, simulated picoseconds.
    pub at: Ps,
    /// Which part of the machine.
    pub layer: Layer,
    /// What happened, in the words of that part.
    pub stage: Cow<'static, str>,
    /// With which values; may be empty.
    pub detail: String,
}

/// Names a packet in a run: received ones by their number in the capture (or in order of
/// arrival), others in the order in which the host made them. Both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketKey {
    /// A frame that arrived on the wire.
    In(u64),
    /// A packet that the host made: an answer, an error, a datagram put together from fragments.
    Made(u64),
}

impl std::fmt::Display for PacketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::In(n) => write!(f, "in #{n}"),
            Self::Made(n) => write!(f, "host #{n}"),
        }
    }
}

/// Everything that is known of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    /// Its name.
    pub key: PacketKey,
    /// The received packet that caused it, for a sent one.
    pub cause: Option<PacketKey>,
    /// Length in bytes, Ethernet header included, FCS not.
    pub len: usize,
    /// One line that says what it is.
    pub what: String,
    /// Its stages. Sorted by time when the journey is shown; equal times keep the order of arrival.
    pub events: Vec<Event>,
}

impl Journey {
    /// A journey without stages.
    pub fn new(key: PacketKey, cause: Option<PacketKey>, len: usize, what: String) -> Self {
        Self {
            key,
            cause,
            len,
            what,
            events: Vec::new(),
        }
    }

    /// Adds a stage.
    pub fn push(
        &mut self,
        at: Ps,
        layer: Layer,
        stage: impl Into<Cow<'static, str>>,
        detail: String,
    ) {
        self.events.push(Event {
            at,
            layer,
            stage: stage.into(),
            detail,
        });
    }

    /// Time of the earliest stage; 0 when there is none.
    pub fn start(&self) -> Ps {
        self.events.iter().map(|e| e.at).min().unwrap_or(0)
    }
}
