//! The link to the NIC: when each frame can begin on a 10 Gb/s wire.

use crate::trace::Ps;

/// Duration of one octet.
pub const OCTET_PS: Ps = 800;
/// Octets before the destination address: start, preamble, start frame delimiter.
const PREAMBLE: u64 = 8;
/// Octets of frame check sequence.
const FCS: u64 = 4;
/// Octets between frames, on average (IEEE 802.3 4A.4.2).
const GAP: u64 = 12;
/// How far gaps may fall behind (46.3.1.4, deficit idle count).
const MAX_DEFICIT: u64 = 3;
/// A frame begins in lane 0 or 4 (46.3.1.3).
const TRANSFER: u64 = 4;

/// Time of one frame on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The start character.
    pub at: Ps,
    /// Just after the last octet of the FCS.
    pub end: Ps,
}

/// A transmitter's clock: hands out slots in order.
#[derive(Debug, Default)]
pub struct Link {
    last_end: Option<u64>,
    deficit: u64,
}

impl Link {
    /// The earliest slot not before `at` for a frame of `len` bytes, FCS not included.
    pub fn slot(&mut self, at: Ps, len: usize) -> Slot {
        let wanted = at.div_ceil(OCTET_PS * TRANSFER) * TRANSFER;
        let mut start = wanted;
        if let Some(end) = self.last_end {
            let early = (end + GAP) / TRANSFER * TRANSFER;
            let behind = self.behind(early - end);
            start = wanted.max(if behind <= MAX_DEFICIT {
                early
            } else {
                early + TRANSFER
            });
            self.deficit = self.behind(start - end);
        }
        let end = start + PREAMBLE + len as u64 + FCS;
        self.last_end = Some(end);
        Slot {
            at: start * OCTET_PS,
            end: end * OCTET_PS,
        }
    }

    /// Deficit after a gap of `gap` octets.
    fn behind(&self, gap: u64) -> u64 {
        (self.deficit + GAP).saturating_sub(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_to_back_frames_fill_the_wire_exactly() {
        for len in 60..200 {
            let mut link = Link::default();
            let count = 1000;
            let last = (0..=count).map(|_| link.slot(0, len).at).last().unwrap();
            let ideal = count * (len as u64 + 24) * OCTET_PS;
            assert!(
                last.abs_diff(ideal) <= 4 * OCTET_PS,
                "{len}: {last} and {ideal}"
            );
        }
    }

    #[test]
    fn a_late_frame_waits_for_its_time() {
        let mut link = Link::default();
        assert_eq!(
            link.slot(1, 60),
            Slot {
                at: 3200,
                end: 3200 + 72 * OCTET_PS
            }
        );
        assert_eq!(link.slot(1_000_000, 60).at, 1_001_600);
    }
}
