//! The wire: both ends of a 10 Gb/s XGMII (IEEE 802.3 clause 46), 64 bits a cycle.
//!
//! A column is `(data, ctrl)`: lane 0 is bits 7:0 of `data` and the first on the wire, bit *n* of
//! `ctrl` says that lane *n* is a control character. [`XgmiiSource`] makes columns from frames and
//! can break them on request; [`XgmiiSink`] makes frames from columns and checks them.
//!
//! Time on the wire is counted in octets of [`OCTET_PS`] and in transfers of four of them, because
//! a frame starts in lane 0 or 4 only (46.3.1.3).

mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use sink::XgmiiSink;
pub use source::XgmiiSource;

// A crossing hands columns over as they are; without the NIC's model there is no crossing.
#[cfg(feature = "nic")]
use crate::bridge::Column;

use crate::Ps;

/// Duration of one octet at 10 Gb/s.
pub const OCTET_PS: Ps = 800;
/// Octets in a column, one cycle of 156.25 MHz.
pub const COLUMN_OCTETS: u64 = 8;

/// One cycle of a direction.
#[cfg(not(feature = "nic"))]
#[derive(Debug, Clone, Copy)]
struct Column {
    data: u64,
    ctrl: u8,
}

/// Control character idle (table 46-3).
pub const IDLE: u8 = 0x07;
/// Control character start, in place of the first octet of the preamble.
pub const START: u8 = 0xfb;
/// Control character terminate, behind the last octet of the FCS.
pub const TERMINATE: u8 = 0xfd;
/// Control character error.
pub const ERROR: u8 = 0xfe;
/// The column between frames.
pub const IDLE_COLUMN: (u64, u8) = (0x0707_0707_0707_0707, 0xff);

/// Octet of the preamble.
pub const PREAMBLE: u8 = 0x55;
/// Start frame delimiter.
pub const SFD: u8 = 0xd5;

/// Gap between frames that a transmitter keeps on average, octets (4A.4.2 interPacketGap), counted
/// from the last octet of the FCS to the start character, terminate included (46.2.1).
pub const GAP: u64 = 12;
/// How far the gaps may fall behind [`GAP`], octets (46.3.1.4, deficit idle count).
pub const MAX_DEFICIT: u64 = 3;
/// The shortest gap that a receiver must stand, octets (46.2.1).
pub const MIN_RECEIVE_GAP: u64 = 5;

/// A frame on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame {
    /// Time of the start character. For a frame to send: not before this.
    pub at: Ps,
    /// Time just after the last octet of the FCS; not used for a frame to send.
    pub end: Ps,
    /// From the destination address to the last octet before the FCS.
    pub bytes: Vec<u8>,
    /// The FCS fits the bytes. A source sends its complement if not.
    pub fcs_ok: bool,
    /// What a source does wrong on purpose; nothing in frames from a sink.
    pub faults: Faults,
}

impl WireFrame {
    /// A correct frame that is to be sent at `at` or as soon after as the wire is free.
    #[must_use]
    pub fn new(at: Ps, bytes: Vec<u8>) -> Self {
        Self {
            at,
            end: at,
            bytes,
            fcs_ok: true,
            faults: Faults::default(),
        }
    }

    /// The same with a wrong FCS.
    #[must_use]
    pub fn bad_fcs(mut self) -> Self {
        self.fcs_ok = false;
        self
    }

    /// The same with `faults`.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }
}

/// Deviations from a correct frame that a source can make; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Octets of preamble left out, at most 6.
    pub short_preamble: u8,
    /// An octet of preamble stands in the place of the SFD.
    pub no_sfd: bool,
    /// An error character replaces this octet, counted from the destination address, FCS included.
    /// No effect behind the end.
    pub error_at: Option<usize>,
    /// Idle follows the FCS instead of terminate.
    pub no_terminate: bool,
    /// Octets of idle in front of the frame beyond the gap of the source.
    pub extra_gap: u32,
}

/// What a sink finds wrong with the columns. Times are those of the offending octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Something else than idle or start between frames.
    #[error("{at} ps: octet {octet:#04x} (control: {control}) between frames")]
    Stray {
        /// Picoseconds.
        at: Ps,
        /// Value in the lane.
        octet: u8,
        /// It was a control character.
        control: bool,
    },
    /// A start character in a lane other than 0 and 4.
    #[error("{at} ps: start in lane {lane}")]
    StartLane {
        /// Picoseconds.
        at: Ps,
        /// 0..=7.
        lane: u8,
    },
    /// Preamble or SFD is not as it must be.
    #[error("{at} ps: octet {octet:#04x} in place {index} of the preamble")]
    Preamble {
        /// Picoseconds.
        at: Ps,
        /// Value in the lane.
        octet: u8,
        /// 1..=7, counted from the start character.
        index: u8,
    },
    /// A control character other than terminate inside a frame.
    #[error("{at} ps: control character {octet:#04x} inside a frame")]
    Control {
        /// Picoseconds.
        at: Ps,
        /// Value in the lane.
        octet: u8,
    },
    /// A frame without room for an FCS.
    #[error("{at} ps: frame of {len} octets ends")]
    Short {
        /// Picoseconds.
        at: Ps,
        /// Octets behind the SFD, 0..=3.
        len: usize,
    },
    /// A gap that no deficit idle count allows.
    #[error("{at} ps: frame after a gap of {gap} octets")]
    Gap {
        /// Picoseconds.
        at: Ps,
        /// Octets.
        gap: u64,
    },
    /// Gaps below 12 octets on average.
    #[error("{at} ps: after a gap of {gap} octets the gaps are {deficit} octets behind")]
    Deficit {
        /// Picoseconds.
        at: Ps,
        /// Octets.
        gap: u64,
        /// Octets, more than [`MAX_DEFICIT`].
        deficit: u64,
    },
}

/// The frame check sequence of `bytes` in the order of the wire (3.2.9).
#[must_use]
pub fn fcs(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_le_bytes()
}

/// Deficit after a gap: what is missing to [`GAP`] is remembered, what is beyond forgives.
fn deficit_after(deficit: u64, target: u64, gap: u64) -> u64 {
    (deficit + target).saturating_sub(gap)
}
