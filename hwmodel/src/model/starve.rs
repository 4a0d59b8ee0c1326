//! Receive queues without buffers: while several queues are at work, none of them holds up the others.
//!
//! Frames of all queues share one store, so one that waits for a buffer keeps back those behind it. With
//! one enabled receive queue that is right: its frames wait, and the store overflows at last. With
//! several, a frame waits [`PATIENCE`], then it is dropped, and so is what follows for its queue until
//! that has a buffer (as NICs do whose queues have "drop enable" set). Chains that were taken for the
//! frame go back empty.

use super::{
    ModelNic,
    events::Event,
    stats::Stat,
    virtqueue::{Direction, Used},
};
use crate::{CYCLE_PS, Ps};

/// How long a frame waits: `StarveCycles` of `rtl/dma/rx_dma.sv`.
const PATIENCE: Ps = 1024 * CYCLE_PS;

/// What a receive queue knows of its want.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Starvation {
    /// There were buffers when there was a frame.
    #[default]
    No,
    /// The oldest frame waits until then.
    Waiting(Ps),
    /// A frame was dropped, and no buffer has come since.
    Dropping,
}

impl ModelNic {
    fn several_rx_queues(&self) -> bool {
        let live = |queue: &u16| {
            self.direction(*queue) == Some(Direction::Receive)
                && self.queues[usize::from(*queue)].vq.is_some()
        };
        (0..self.queues.len() as u16).filter(live).count() > 1
    }

    /// The queue has a frame perhaps, and not enough buffers.
    pub(super) fn wait_for_buffers(&mut self, queue: u16) {
        let several = self.several_rx_queues();
        let rx = &mut self.queues[usize::from(queue)].rx;
        if rx.store.is_empty() || !several {
            rx.starvation = Starvation::No;
            return;
        }
        match rx.starvation {
            Starvation::No => {
                let at = self
                    .events
                    .schedule(self.now + PATIENCE, Event::Starve(queue));
                rx.starvation = Starvation::Waiting(at);
            }
            Starvation::Waiting(_) => {}
            Starvation::Dropping => self.drop_waiting(queue),
        }
    }

    /// [`Event::Starve`].
    pub(super) fn starve(&mut self, queue: u16) {
        let rx = &mut self.queues[usize::from(queue)].rx;
        if rx.starvation != Starvation::Waiting(self.now) {
            return;
        }
        rx.starvation = Starvation::No;
        if self.several_rx_queues() {
            self.queues[usize::from(queue)].rx.starvation = Starvation::Dropping;
            self.drop_waiting(queue);
        } else {
            self.wait_for_buffers(queue);
        }
    }

    fn drop_waiting(&mut self, queue: u16) {
        let times = self.write_done();
        let entry = &mut self.queues[usize::from(queue)];
        let rx = &mut entry.rx;
        let dropped = rx.store.iter().map(|frame| u64::from(frame.segments)).sum();
        rx.store.clear();
        rx.bytes = 0;
        let held = std::mem::take(&mut rx.held);
        self.stats.add(Stat::RxNoBuffer, dropped);
        let Some(vq) = entry.vq.as_mut().filter(|_| !held.is_empty()) else {
            return;
        };
        for chain in &held {
            let used = Used {
                id: chain.id,
                len: 0,
                ndesc: chain.ndesc,
            };
            if let Err(error) = vq.put_used(&mut self.dma, times, &[used]) {
                return self.queue_failed(queue, error);
            }
        }
        self.stats.add(Stat::RxBuffers, held.len() as u64);
        self.announce(queue, 1);
    }
}
