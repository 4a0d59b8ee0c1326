//! Both directions of the wire: when frames begin and end at 10 Gb/s.

use crate::{
    Ps,
    xgmii::{GAP, OCTET_PS, WireFrame},
};
use std::collections::VecDeque;

/// Octets of preamble and start frame delimiter.
const PREAMBLE: u64 = 8;
/// Octets of FCS.
const FCS: u64 = 4;
/// Octets of the shortest frame without FCS; shorter ones are padded (IEEE 802.3 4A.4.2).
const MIN_FRAME: usize = 60;

/// Time of so many octets.
pub(super) const fn octets(count: u64) -> Ps {
    count * OCTET_PS
}

fn duration(bytes: usize) -> Ps {
    octets(PREAMBLE + bytes as u64 + FCS)
}

/// Frames on the wire and in front of it; each direction is in order.
#[derive(Debug, Default)]
pub(super) struct Wire {
    incoming: VecDeque<WireFrame>,
    /// When the next frame to the device may begin.
    incoming_free: Ps,
    outgoing: VecDeque<WireFrame>,
    /// When the next frame from the device may begin.
    outgoing_free: Ps,
}

impl Wire {
    /// Queues a frame to the device, not before `now`; returns when it will have ended.
    pub fn arrive(&mut self, now: Ps, mut frame: WireFrame) -> Ps {
        let gap = octets(frame.faults.extra_gap.into());
        frame.at = frame.at.max(now).max(self.incoming_free + gap);
        frame.end = frame.at + duration(frame.bytes.len());
        self.incoming_free = frame.end + octets(GAP);
        let end = frame.end;
        self.incoming.push_back(frame);
        end
    }

    /// Frames to the device that have not begun.
    pub fn pending(&self, now: Ps) -> usize {
        let begun = self.incoming.partition_point(|frame| frame.at <= now);
        self.incoming.len() - begun
    }

    /// Takes a frame to the device that has ended.
    pub fn end_incoming(&mut self, now: Ps) -> Option<WireFrame> {
        pop_ended(&mut self.incoming, now)
    }

    /// When the device's side is free.
    pub fn free_at(&self) -> Ps {
        self.outgoing_free
    }

    /// Queues a frame of the device, padded, not before `ready`; returns when it will have ended.
    pub fn send(&mut self, mut bytes: Vec<u8>, ready: Ps) -> Ps {
        if bytes.len() < MIN_FRAME {
            bytes.resize(MIN_FRAME, 0);
        }
        let at = ready.max(self.outgoing_free);
        let end = at + duration(bytes.len());
        self.outgoing_free = end + octets(GAP);
        self.outgoing.push_back(WireFrame {
            end,
            ..WireFrame::new(at, bytes)
        });
        end
    }

    /// Takes a frame of the device that has ended.
    pub fn end_outgoing(&mut self, now: Ps) -> Option<WireFrame> {
        pop_ended(&mut self.outgoing, now)
    }

    /// A reset: what has not begun is not sent.
    pub fn cut_outgoing(&mut self, now: Ps) {
        let begun = self.outgoing.partition_point(|frame| frame.at <= now);
        self.outgoing.truncate(begun);
        let last = self.outgoing.back().map_or(now, |frame| frame.end);
        self.outgoing_free = self.outgoing_free.min(last + octets(GAP));
    }
}

fn pop_ended(frames: &mut VecDeque<WireFrame>, now: Ps) -> Option<WireFrame> {
    frames.front().filter(|frame| frame.end <= now)?;
    frames.pop_front()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_rate_is_ten_gigabit() {
        let mut wire = Wire::default();
        // 64 bytes with FCS: 14.88 million frames a second.
        let ends: Vec<Ps> = (0..1000).map(|_| wire.send(vec![0; 60], 0)).collect();
        assert_eq!(ends[999] - ends[0], 999 * 67_200);
        let frame = wire.end_outgoing(ends[0]).unwrap();
        assert_eq!((frame.at, frame.end, frame.bytes.len()), (0, 57_600, 60));
        assert!(wire.end_outgoing(ends[0]).is_none());
        assert_eq!(wire.send(vec![0; 14], Ps::MAX / 2) - Ps::MAX / 2, 57_600);
    }

    #[test]
    fn frames_arrive_one_behind_the_other() {
        let mut wire = Wire::default();
        assert_eq!(wire.arrive(100, WireFrame::new(0, vec![0; 60])), 57_700);
        assert_eq!(
            wire.arrive(100, WireFrame::new(50, vec![0; 60])),
            57_700 + 67_200
        );
        assert_eq!(
            (wire.pending(0), wire.pending(100), wire.pending(1 << 40)),
            (2, 1, 0)
        );
        assert!(wire.end_incoming(57_699).is_none());
        assert!(wire.end_incoming(57_700).is_some());
    }

    #[test]
    fn a_reset_cuts_what_has_not_begun() {
        let mut wire = Wire::default();
        for _ in 0..5 {
            wire.send(vec![0; 60], 0);
        }
        wire.cut_outgoing(70_000);
        let left = std::iter::from_fn(|| wire.end_outgoing(Ps::MAX)).count();
        assert_eq!((left, wire.free_at()), (2, 2 * 67_200));
    }
}
