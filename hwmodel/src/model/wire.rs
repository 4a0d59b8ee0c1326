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

/// A frame of the device.
#[derive(Debug)]
struct Outgoing {
    frame: WireFrame,
    /// Not before, whatever is on the wire.
    ready: Ps,
}

/// Frames on the wire and in front of it; each direction is in order.
#[derive(Debug, Default)]
pub(super) struct Wire {
    incoming: VecDeque<WireFrame>,
    /// When the next frame to the device may begin.
    incoming_free: Ps,
    outgoing: VecDeque<Outgoing>,
    /// When the next frame from the device may begin.
    outgoing_free: Ps,
    /// The peer wants no frame to begin before.
    paused_until: Ps,
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
        self.incoming.front().filter(|frame| frame.end <= now)?;
        self.incoming.pop_front()
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
        let frame = WireFrame::new(0, bytes);
        self.place(Outgoing { frame, ready })
    }

    /// Puts a frame behind those that are there; returns when it will have ended.
    fn place(&mut self, mut outgoing: Outgoing) -> Ps {
        let Outgoing { frame, ready } = &mut outgoing;
        frame.at = self.outgoing_free.max(*ready).max(self.paused_until);
        frame.end = frame.at + duration(frame.bytes.len());
        let end = frame.end;
        self.outgoing_free = end + octets(GAP);
        self.outgoing.push_back(outgoing);
        end
    }

    /// No frame begins before `until`, and what an earlier pause held back is free (802.3 31B.3.2);
    /// returns when those that have not begun by `now` will have ended.
    pub fn pause(&mut self, now: Ps, until: Ps) -> Vec<Ps> {
        let begun = self.outgoing.partition_point(|o| o.frame.at <= now);
        let waiting = self.outgoing.split_off(begun);
        if !waiting.is_empty() {
            let last = self
                .outgoing
                .back()
                .map_or(now, |o| o.frame.end + octets(GAP));
            self.outgoing_free = self.outgoing_free.min(last);
        }
        self.paused_until = until;
        let ready = |mut o: Outgoing| {
            o.ready = o.ready.max(now);
            o
        };
        waiting.into_iter().map(|o| self.place(ready(o))).collect()
    }

    /// Takes a frame of the device that has ended.
    pub fn end_outgoing(&mut self, now: Ps) -> Option<WireFrame> {
        self.outgoing.front().filter(|o| o.frame.end <= now)?;
        self.outgoing.pop_front().map(|o| o.frame)
    }

    /// A reset: what has not begun is not sent.
    pub fn cut_outgoing(&mut self, now: Ps) {
        let begun = self.outgoing.partition_point(|o| o.frame.at <= now);
        self.outgoing.truncate(begun);
        let last = self.outgoing.back().map_or(now, |o| o.frame.end);
        self.outgoing_free = self.outgoing_free.min(last + octets(GAP));
    }
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
    fn a_pause_holds_back_what_has_not_begun() {
        let mut wire = Wire::default();
        for _ in 0..3 {
            wire.send(vec![0; 60], 0);
        }
        // The second has begun, the third waits; a new one behind it does, too.
        let ends = wire.pause(70_000, 1_000_000);
        assert_eq!(ends, [1_057_600]);
        assert_eq!(wire.send(vec![0; 60], 80_000), 1_124_800);
        // XON: at once, but behind the one on the wire.
        assert_eq!(wire.pause(90_000, 90_000), [192_000, 259_200]);
        assert_eq!(wire.send(vec![0; 60], 0), 326_400);
        // Nothing waits: a later frame does not wait either once the pause is over.
        let mut wire = Wire::default();
        assert!(wire.pause(0, 500).is_empty());
        assert_eq!(wire.send(vec![0; 60], 1000), 58_600);
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
