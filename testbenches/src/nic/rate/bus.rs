//! What the bus had to carry, and the block that holds frames up when they are slower than the line.

use super::{
    super::host::{RX, TX},
    bench::Load,
};
use hwmodel::{Access, AxiHostConfig, BusClient, CTRL_QUEUE, CYCLE_PS, DmaRecord, Ps};
use std::fmt;

/// Share of what there is from which on there is no more.
const FULL: f64 = 0.95;

/// Beats on the data channels of the bus, per cycle: 1.0 is all that there is.
#[derive(Debug, Clone, Default)]
pub struct BusLoad {
    /// Reads of descriptors, of event suppression structures, and of buffers.
    reads: [f64; 3],
    /// Writes of used descriptors and event suppression structures, of buffers, and messages.
    writes: [f64; 3],
    /// Of the beats that the host lets through, reads and writes.
    used: [f64; 2],
    /// Of the bursts that the host lets wait for an answer, reads and writes, on average.
    waiting: [f64; 2],
    /// By direction: share of the time in which a queue waited for descriptors, of the queue where it is
    /// the most.
    fetching: [f64; 2],
    /// The slowest read of descriptors, from its address to its last beat.
    descriptors: Ps,
}

impl BusLoad {
    /// Of what was on the bus between two times, with this host behind it.
    pub fn new(
        log: &[DmaRecord],
        load: &Load,
        host: &AxiHostConfig,
        [begin, end]: [Ps; 2],
    ) -> Self {
        /// Bytes of a beat.
        const BEAT: u64 = 16;
        let time = (end - begin).max(1) as f64;
        let mut bus = Self::default();
        let mut fetching = vec![0; 2 * usize::from(load.pairs)];
        for record in log.iter().filter(|record| record.end <= end) {
            let beats = (record.iova % BEAT + u64::from(record.len)).div_ceil(BEAT);
            let share = (beats * CYCLE_PS) as f64 / time;
            let client = BusClient::of(record.id);
            let way = usize::from(record.access == Access::Write);
            bus.waiting[way] += (record.end - record.start) as f64 / time;
            match (record.access, client) {
                (Access::Read, Some(BusClient::Descriptors(queue))) => {
                    bus.reads[0] += share;
                    bus.descriptors = bus.descriptors.max(record.end - record.start);
                    if let Some(sum) = fetching
                        .get_mut(usize::from(queue))
                        .filter(|_| queue != CTRL_QUEUE)
                    {
                        *sum += record.end - record.start;
                    }
                }
                (Access::Read, Some(BusClient::Ring(_))) => bus.reads[1] += share,
                (Access::Read, _) => bus.reads[2] += share,
                (Access::Write, Some(BusClient::Ring(_))) => bus.writes[0] += share,
                (Access::Write, Some(BusClient::Data(_))) => bus.writes[1] += share,
                (Access::Write, _) => bus.writes[2] += share,
            }
        }
        for (queue, sum) in fetching.into_iter().enumerate() {
            let most = &mut bus.fetching[queue % 2];
            *most = most.max(sum as f64 / time);
        }
        let taken = |stalls: u16| 1.0 - f64::from(stalls) / 1000.0;
        bus.used = [
            bus.reads.iter().sum::<f64>() / taken(host.stalls.r),
            bus.writes.iter().sum::<f64>() / taken(host.stalls.w),
        ];
        bus.waiting[0] /= host.max_reads as f64;
        bus.waiting[1] /= host.max_writes as f64;
        bus
    }

    /// The block that holds up the frames of a direction, and why, as far as can be seen from outside.
    /// Of the frames `store` found the receive store full, `starved` no buffer.
    pub fn culprit(&self, way: usize, [store, starved]: [u64; 2]) -> String {
        let latency = self.descriptors / 1000;
        let channel = |access: usize| {
            let (block, name) = [("dma_read", "read"), ("dma_write", "write")][access];
            if self.used[access] > FULL {
                Some(format!("{block}: the {name} channel is full"))
            } else if self.waiting[access] > FULL {
                Some(format!(
                    "{block}: the host lets no more {name}s wait for their answers"
                ))
            } else {
                None
            }
        };
        // The channel of the data first: who waits for it does not ask for descriptors, either.
        let (data, other) = if way == RX { (1, 0) } else { (0, 1) };
        if let Some(full) = channel(data).or_else(|| channel(other)) {
            full
        } else if self.fetching[way] > FULL {
            format!("virtqueue: always waits for descriptors, which take up to {latency} ns")
        } else if way == TX {
            format!("tx_dma or what is behind it; descriptors take up to {latency} ns")
        } else if starved > 0 {
            format!("rx_dma: {starved} frames found no buffer; descriptors take up to {latency} ns")
        } else if store > 0 {
            format!(
                "rx_dma: {store} frames found its store full; descriptors take up to {latency} ns"
            )
        } else {
            "mac_rx or rx_csum: frames are neither stored nor counted as dropped there".into()
        }
    }
}

impl fmt::Display for BusLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| 100. * share;
        let [descriptors, events, data] = self.reads.map(percent);
        let sum = descriptors + events + data;
        write!(
            f,
            "read channel {sum:.0} % (descriptors {descriptors:.0}, events {events:.0}, data {data:.0}), "
        )?;
        let [used, data, messages] = self.writes.map(percent);
        let sum = used + data + messages;
        write!(
            f,
            "write channel {sum:.0} % (rings {used:.0}, data {data:.0}, messages {messages:.0})"
        )
    }
}
