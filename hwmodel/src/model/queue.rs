//! A virtqueue with what belongs to it: life, doorbells, notifications, errors.

use super::{
    ModelNic,
    coalesce::{Coalescer, RxFrame},
    events::Event,
    moderation::{Limits, Moderation},
    spec::feature,
    starve::Starvation,
    stats::Stat,
    virtqueue::{Chain, Direction, QueueError, Times, Used, Virtqueue},
};
use crate::Ps;
use std::collections::VecDeque;

/// One queue of the device, whether enabled or not.
#[derive(Debug)]
pub(super) struct Queue {
    /// Where the device is in the ring; `None` while the queue is not at work.
    pub vq: Option<Virtqueue>,
    pub moderation: Moderation,
    /// When an event looks at the moderation.
    moderation_at: Option<Ps>,
    pub rx: RxQueue,
    pub tx: TxQueue,
}

/// What a receive queue holds.
#[derive(Debug)]
pub(super) struct RxQueue {
    /// Frames that wait for buffers, oldest first, and their bytes.
    pub store: VecDeque<RxFrame>,
    pub bytes: usize,
    /// Buffers that were taken for the first of them.
    pub held: Vec<Chain>,
    pub coalescer: Coalescer,
    pub starvation: Starvation,
    /// An event is on its way that looks at the store.
    pub scheduled: bool,
}

/// What a transmit queue holds.
#[derive(Debug, Default)]
pub(super) struct TxQueue {
    /// When descriptors that a doorbell told of are there; `None`: nothing is known to be available.
    pub ready: Option<Ps>,
    /// Chains whose data is on its way, and when it comes.
    pub reading: VecDeque<(Ps, Used)>,
}

impl Queue {
    pub fn new(coalesce_timeout: Ps) -> Self {
        Self {
            vq: None,
            moderation: Moderation::default(),
            moderation_at: None,
            rx: RxQueue {
                store: VecDeque::new(),
                bytes: 0,
                held: Vec::new(),
                coalescer: Coalescer::new(coalesce_timeout),
                starvation: Starvation::default(),
                scheduled: false,
            },
            tx: TxQueue::default(),
        }
    }
}

impl ModelNic {
    /// What a queue is for (5.1.2), with the features that were negotiated.
    pub(super) fn direction(&self, queue: u16) -> Option<Direction> {
        let features = self.common.features();
        let pairs = if features & (feature::MQ | feature::RSS) != 0 {
            self.config.queue_pairs
        } else {
            1
        };
        if queue < 2 * pairs {
            return Some(if queue.is_multiple_of(2) {
                Direction::Receive
            } else {
                Direction::Transmit
            });
        }
        (queue == 2 * pairs && features & feature::CTRL_VQ != 0).then_some(Direction::Control)
    }

    /// Times of an access whose data has come now.
    pub(super) fn read_done(&self) -> Times {
        Times {
            start: self.now.saturating_sub(self.config.dma_read_latency),
            end: self.now,
        }
    }

    /// Times of a write that is visible now.
    pub(super) fn write_done(&self) -> Times {
        Times {
            start: self.now.saturating_sub(self.config.dma_write_latency),
            end: self.now,
        }
    }

    /// Starts and stops queues as the registers say.
    pub(super) fn refresh_queues(&mut self) {
        for queue in 0..self.queues.len() as u16 {
            let direction = self.direction(queue);
            let ring = self.common.live(queue).filter(|_| direction.is_some());
            let index = usize::from(queue);
            match (ring, direction, self.queues[index].vq.is_some()) {
                (Some(ring), Some(direction), false) => {
                    let limits = self.limits(direction);
                    let features = self.common.features();
                    let times = self.write_done();
                    let mut vq = Virtqueue::new(ring, direction, features);
                    let armed = vq.arm(&mut self.dma, times);
                    let entry = &mut self.queues[index];
                    entry.vq = Some(vq);
                    entry.moderation = Moderation::new(limits);
                    match armed {
                        // Buffers may have been made available before: look once.
                        Ok(()) => self.kick(queue),
                        Err(error) => self.queue_failed(queue, error),
                    }
                }
                (None, _, true) => self.stop_queue(queue),
                _ => {}
            }
        }
    }

    fn limits(&self, direction: Direction) -> Limits {
        match direction {
            Direction::Receive => self.control.rx_limits,
            Direction::Transmit => self.control.tx_limits,
            Direction::Control => Limits::default(),
        }
    }

    /// The queue lets go of all that it has. Frames that waited are dropped.
    pub(super) fn stop_queue(&mut self, queue: u16) {
        let Some(entry) = self.queues.get_mut(usize::from(queue)) else {
            return;
        };
        entry.vq = None;
        entry.moderation = Moderation::default();
        entry.tx = TxQueue::default();
        let rx = &mut entry.rx;
        let mut waiting: Vec<RxFrame> = rx.store.drain(..).collect();
        rx.bytes = 0;
        rx.held.clear();
        rx.starvation = Starvation::default();
        let stored = waiting.len();
        rx.coalescer.expire(crate::Ps::MAX, &mut waiting);
        rx.coalescer.clear();
        self.count_merged(&waiting[stored..]);
        let dropped = waiting.len() as u64;
        self.stats.add(Stat::RxDisabled, dropped);
    }

    /// A doorbell of this queue arrives (4.1.5.2).
    pub(super) fn kick(&mut self, queue: u16) {
        let Some(direction) = self.direction(queue) else {
            return;
        };
        let ready = self.now + self.config.dma_read_latency;
        let times = self.write_done();
        let Some(entry) = self.queues.get_mut(usize::from(queue)) else {
            return;
        };
        let Some(vq) = &mut entry.vq else { return };
        if let Err(error) = vq.disarm(&mut self.dma, times) {
            return self.queue_failed(queue, error);
        }
        match direction {
            Direction::Receive => self.schedule_delivery(queue, ready),
            Direction::Transmit => {
                entry.tx.ready.get_or_insert(ready);
                self.schedule_tx(ready);
            }
            Direction::Control => {
                self.events.schedule(ready, Event::Control);
            }
        }
    }

    /// `packets` of a queue were used: its notification's conditions may be met (5.1.6.5.9).
    pub(super) fn announce(&mut self, queue: u16, packets: u32) {
        let now = self.now;
        let entry = &mut self.queues[usize::from(queue)];
        if entry.moderation.used(packets, now) {
            self.notify(queue);
        } else if entry.moderation_at.is_none() {
            self.schedule_moderation(queue);
        }
    }

    fn schedule_moderation(&mut self, queue: u16) {
        let entry = &mut self.queues[usize::from(queue)];
        if let Some(deadline) = entry.moderation.deadline() {
            let at = deadline.max(self.now);
            entry.moderation_at = Some(self.events.schedule(at, Event::Moderation(queue)));
        }
    }

    /// [`Event::Moderation`].
    pub(super) fn moderation_event(&mut self, queue: u16) {
        let now = self.now;
        let entry = &mut self.queues[usize::from(queue)];
        entry.moderation_at = None;
        if entry.moderation.expired(now) {
            self.notify(queue);
        } else {
            self.schedule_moderation(queue);
        }
    }

    /// New limits for the queues of one direction; what waits may be due by them.
    pub(super) fn set_limits(&mut self, direction: Direction, limits: Limits) {
        for queue in 0..self.queues.len() as u16 {
            if self.direction(queue) != Some(direction) {
                continue;
            }
            let now = self.now;
            let entry = &mut self.queues[usize::from(queue)];
            if entry.moderation.set(limits, now) {
                self.notify(queue);
            } else {
                // An event for the old deadline does no harm.
                self.schedule_moderation(queue);
            }
        }
    }

    /// Interrupts the driver if it wants to know (2.8.10).
    pub(super) fn notify(&mut self, queue: u16) {
        let times = self.read_done();
        let Some(vq) = &mut self.queues[usize::from(queue)].vq else {
            return;
        };
        match vq.notification_due(&mut self.dma, times) {
            Ok(true) => {
                // 4.1.4.5: the bit is for drivers without MSI-X.
                if !self.pci.msix_enabled() {
                    self.isr |= 1;
                }
                let vector = self.common.queue_vector(queue);
                self.raise(vector);
            }
            Ok(false) => {}
            Err(error) => self.queue_failed(queue, error),
        }
    }

    /// The queue met what it cannot go on with: it stops, the others go on (2.1.2).
    pub(super) fn queue_failed(&mut self, queue: u16, error: QueueError) {
        if let QueueError::Dma(_) = error {
            self.stats.add(Stat::DmaError, 1);
        }
        self.common.stop_queue(queue);
        self.stop_queue(queue);
        self.device_failed();
    }

    /// Sets DEVICE_NEEDS_RESET and tells the driver (2.1.2).
    pub(super) fn device_failed(&mut self) {
        if self.common.needs_reset() {
            self.config_interrupt();
        }
    }

    /// A configuration change notification (4.1.5.3), not before DRIVER_OK.
    pub(super) fn config_interrupt(&mut self) {
        if self.common.driver_ok() {
            self.isr |= 2;
            let vector = self.common.config_vector();
            self.raise(vector);
        }
    }
}
