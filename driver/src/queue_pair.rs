//! A receive and a transmit queue that are polled together: the driver's half of a NAPI instance.

use crate::rx::RxQueue;
use crate::tx::TxQueue;

/// One queue pair (virtio 5.1.2: receiveqN and transmitqN).
pub struct QueuePair {
    /// receiveqN.
    pub rx: RxQueue,
    /// transmitqN.
    pub tx: TxQueue,
    /// An interrupt was taken and `complete` did not end the polling yet: callbacks are off.
    pub napi_scheduled: bool,
    /// Frames of this pair.
    pub stats: QueueStats,
}

/// Counters of one queue pair; what they count is in [`Stats`](crate::Stats) too, for all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Frames handed to the stack.
    pub rx_packets: u64,
    /// Frames taken from the stack, those among them that are dropped.
    pub tx_packets: u64,
    /// Polls.
    pub polls: u64,
}

impl QueuePair {
    /// Queues that are not enabled yet.
    pub fn new(rx: RxQueue, tx: TxQueue) -> Self {
        Self {
            rx,
            tx,
            napi_scheduled: false,
            stats: QueueStats::default(),
        }
    }

    /// Index of receiveq number `pair` (from 0).
    pub fn rx_index(pair: usize) -> u16 {
        2 * pair as u16
    }

    /// Index of transmitq number `pair` (from 0).
    pub fn tx_index(pair: usize) -> u16 {
        2 * pair as u16 + 1
    }

    /// Whether a poll finds something.
    #[inline]
    pub fn has_used(&self) -> bool {
        self.rx.vq.has_used() || self.tx.vq.has_used()
    }

    /// No interrupts: the pair is polled.
    #[inline]
    pub fn disable_callbacks(&mut self) {
        self.rx.vq.disable_callbacks();
        self.tx.vq.disable_callbacks();
    }

    /// Asks for transmit interrupts if they are `wanted`; false when completions wait already.
    #[inline]
    pub fn enable_tx_callbacks(&mut self, wanted: bool) -> bool {
        if (wanted || self.tx.stopped) && self.tx.vq.num_free() < self.tx.vq.size() {
            self.tx.vq.enable_callbacks_delayed()
        } else {
            self.tx.vq.disable_callbacks();
            true
        }
    }
}
