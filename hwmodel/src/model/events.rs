//! What will happen, in order of time.

use crate::{CYCLE_PS, Ps, msix::MsixMessage};
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Something that happens to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A register write arrives.
    BarWrite { offset: u32, width: u8, value: u32 },
    /// The oldest frame on the receive side of the wire has ended.
    FrameIn,
    /// A frame on the transmit side has ended.
    FrameOut,
    /// A message arrives at the host.
    Message(MsixMessage),
    /// The transmit scheduler may go on.
    TxPoll,
    /// Data of this transmit queue's chains has come.
    TxDone(u16),
    /// This receive queue has frames or buffers to look at.
    RxDeliver(u16),
    /// Frames that this receive queue collects may have waited long enough.
    Expire(u16),
    /// The oldest frame of this receive queue may have waited for a buffer for too long.
    Starve(u16),
    /// Notifications of this queue may have waited long enough.
    Moderation(u16),
    /// The control queue has commands.
    Control,
    /// A device reset is over.
    Reset,
    /// A queue reset is over.
    ResetQueue(u16),
}

#[derive(Debug)]
struct Entry {
    at: Ps,
    /// Of what is due at the same time, what was scheduled first comes first.
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Events to come.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Entry>>,
    number: u64,
}

impl Events {
    /// Schedules `event` for the clock cycle that begins at `at` or next after it; returns its time.
    pub fn schedule(&mut self, at: Ps, event: Event) -> Ps {
        let at = at.next_multiple_of(CYCLE_PS);
        let number = self.number;
        self.number += 1;
        self.heap.push(Reverse(Entry { at, number, event }));
        at
    }

    /// Takes the first event that is due at `until` or before.
    pub fn pop(&mut self, until: Ps) -> Option<(Ps, Event)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        Some((entry.at, entry.event))
    }

    /// Nothing will happen.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Keeps the events for which `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(&Event) -> bool) {
        self.heap.retain(|Reverse(entry)| keep(&entry.event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_of_time_then_of_scheduling() {
        let mut events = Events::default();
        assert_eq!(events.schedule(6401, Event::FrameIn), 12_800);
        events.schedule(6400, Event::TxPoll);
        events.schedule(12_800, Event::Control);
        assert_eq!(events.pop(6399), None);
        assert_eq!(events.pop(100_000), Some((6400, Event::TxPoll)));
        assert_eq!(events.pop(100_000), Some((12_800, Event::FrameIn)));
        events.retain(|event| *event != Event::Control);
        assert_eq!(events.pop(100_000), None);
    }
}
