use super::{FCS, SHORTEST};
use hwmodel::xgmii::WireFrame;

/// What must become of a received frame: the counter that it ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Delivered.
    Good,
    /// Wrong FCS.
    BadFcs,
    /// Shorter than 64 bytes with FCS.
    Runt,
    /// Longer than the limit.
    Oversize,
    /// Wrong preamble, control character inside, or no terminate.
    Error,
}

impl Fate {
    /// The fate of `frame` at a receiver that takes `max_frame` bytes, FCS included, of a frame with a
    /// VLAN tag and 4 less of one without.
    ///
    /// Errors come first, but a receiver that works on words of 8 octets gives a frame up in the
    /// word in which it grows too long and does not look at what follows.
    #[must_use]
    pub fn of(frame: &WireFrame, max_frame: usize) -> Self {
        let len = frame.bytes.len() + FCS;
        let tag = frame.bytes.get(12..14);
        let tagged = matches!(tag, Some([0x81, 0x00] | [0x88, 0xa8]));
        let max_frame = if tagged { max_frame } else { max_frame - 4 };
        let faults = &frame.faults;
        let control = faults
            .error_at
            .filter(|place| *place < len)
            .or(faults.no_terminate.then_some(len));
        let bad_preamble = faults.short_preamble > 0 || faults.no_sfd;
        if bad_preamble || control.is_some_and(|place| place / 8 <= max_frame / 8) {
            Self::Error
        } else if len > max_frame {
            Self::Oversize
        } else if len < SHORTEST + FCS {
            Self::Runt
        } else if frame.fcs_ok {
            Self::Good
        } else {
            Self::BadFcs
        }
    }
}
