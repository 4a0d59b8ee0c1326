//! The NIC's bursts on the bus, and which packet each belongs to.

use std::collections::VecDeque;

use hwmodel::{Access, BusClient, CTRL_QUEUE, DmaRecord};
use stack::SkBuff;

use super::{Journey, Layer, PacketKey, Ps};

/// Bytes of the `virtio_net_hdr` that stands in front of every frame in memory (virtio 5.1.6).
const NET_HDR_BYTES: u64 = 12;
/// Queue number of the transmit queue's doorbell (virtio 5.1.2).
const TX_QUEUE: u16 = 1;
/// Bursts that are kept while they wait for their packet; older ones belong to none.
const KEPT: usize = 4096;

fn overlaps(burst: &DmaRecord, (from, to): (u64, u64)) -> bool {
    burst.iova < to && from < burst.iova + u64::from(burst.len)
}

/// A frame in the transmit ring.
pub struct TxBuffer {
    /// Its packet.
    pub key: PacketKey,
    /// When the driver took it.
    pub at: Ps,
    /// First and last bus address, `virtio_net_hdr` included; `None` when it is not in such a buffer.
    range: Option<(u64, u64)>,
    /// Destination, source, EtherType: what does not change on the way to the wire.
    pub addresses: Vec<u8>,
}

impl TxBuffer {
    /// A frame (Ethernet header first) that goes to the driver now.
    pub fn new(key: PacketKey, at: Ps, skb: &SkBuff) -> Self {
        let range = skb
            .dma_addr()
            .map(|a| (a.saturating_sub(NET_HDR_BYTES), a + skb.len() as u64));
        let addresses = skb.data().iter().take(14).copied().collect();
        Self {
            key,
            at,
            range,
            addresses,
        }
    }
}

/// What was seen on the bus and is not yet a packet's.
#[derive(Default)]
pub struct BusLog {
    rx_data: VecDeque<DmaRecord>,
    tx_data: VecDeque<DmaRecord>,
    used: VecDeque<DmaRecord>,
    descriptors: VecDeque<DmaRecord>,
    doorbells: VecDeque<Ps>,
}

impl BusLog {
    /// A burst has ended.
    pub fn push(&mut self, burst: DmaRecord) {
        // Of a pair the first queue receives (virtio 5.1.2).
        let receives = |queue: u8| queue.is_multiple_of(2);
        let list = match (BusClient::of(burst.id), burst.access) {
            (Some(BusClient::Data(CTRL_QUEUE) | BusClient::Ring(CTRL_QUEUE)), _) => return,
            (Some(BusClient::Data(_)), Access::Write) => &mut self.rx_data,
            (Some(BusClient::Data(_)), Access::Read) => &mut self.tx_data,
            (Some(BusClient::Ring(queue)), Access::Write) if receives(queue) => &mut self.used,
            (Some(BusClient::Descriptors(queue)), Access::Read) if !receives(queue) => {
                &mut self.descriptors
            }
            _ => return,
        };
        push_bounded(list, burst);
    }

    /// The driver wrote the doorbell of `queue`.
    pub fn doorbell(&mut self, at: Ps, queue: u16) {
        if queue == TX_QUEUE {
            push_bounded(&mut self.doorbells, at);
        }
    }

    /// Adds how `skb` got into memory; returns when its used descriptor was written.
    pub fn receive_events(
        &mut self,
        skb: &SkBuff,
        arrived: Ps,
        polled: Ps,
        journey: &mut Journey,
    ) -> Option<Ps> {
        let at = skb.dma_addr()?;
        let range = (at.saturating_sub(NET_HDR_BYTES), at + skb.len() as u64);
        // Buffers are used again and again: what came before the frame is of another.
        while self.rx_data.front().is_some_and(|b| b.end < arrived) {
            self.rx_data.pop_front();
        }
        let last = data_events(&mut self.rx_data, range, "DMA write", journey)?;
        while self.used.front().is_some_and(|b| b.end < last) {
            self.used.pop_front();
        }
        let used = self.used.front().filter(|b| b.start <= polled)?;
        journey.push(
            used.end,
            Layer::Dma,
            "used descriptor",
            format!("written at {:#x}", used.iova),
        );
        Some(used.end)
    }

    /// Adds how a frame got out of memory.
    pub fn transmit_events(&mut self, tx: &TxBuffer, journey: &mut Journey) {
        let Some(range) = tx.range else { return };
        while self.tx_data.front().is_some_and(|b| b.end < tx.at) {
            self.tx_data.pop_front();
        }
        let first = self
            .tx_data
            .iter()
            .find(|b| overlaps(b, range))
            .map(|b| b.start);
        data_events(&mut self.tx_data, range, "DMA read", journey);
        let Some(first) = first else { return };
        drop_before(&mut self.doorbells, tx.at, |at| *at);
        if let Some(at) = self.doorbells.front().filter(|at| **at <= first) {
            journey.push(*at, Layer::Driver, "doorbell", "transmit queue".into());
        }
        drop_before(&mut self.descriptors, tx.at, |b| b.start);
        // The engine starts with the first descriptor of a burst before the last one is there.
        let read = self.descriptors.iter().take_while(|b| b.start <= first);
        if let Some(b) = read.last() {
            let detail = format!("{} bytes from {:#x}", b.len, b.iova);
            journey.push(b.start, Layer::Dma, "descriptor read", detail);
        }
    }
}

/// Takes the bursts that touch `range` out of `list` and adds the first and the last beat to the
/// journey; returns the time of the last.
fn data_events(
    list: &mut VecDeque<DmaRecord>,
    range: (u64, u64),
    name: &'static str,
    journey: &mut Journey,
) -> Option<Ps> {
    let (mut first, mut last, mut bytes, mut bursts) = (Ps::MAX, 0, 0, 0);
    list.retain(|burst| {
        let ours = overlaps(burst, range);
        if ours {
            first = first.min(burst.start);
            last = last.max(burst.end);
            bytes += burst.len;
            bursts += 1;
        }
        !ours
    });
    if bursts == 0 {
        return None;
    }
    journey.push(
        first,
        Layer::Dma,
        format!("{name} begins"),
        format!("at {:#x}", range.0),
    );
    let plural = if bursts == 1 { "" } else { "s" };
    journey.push(
        last,
        Layer::Dma,
        format!("{name} ends"),
        format!("{bytes} bytes, {bursts} burst{plural}"),
    );
    Some(last)
}

fn drop_before<T>(list: &mut VecDeque<T>, time: Ps, of: impl Fn(&T) -> Ps) {
    while list.front().is_some_and(|item| of(item) < time) {
        list.pop_front();
    }
}

fn push_bounded<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == KEPT {
        list.pop_front();
    }
    list.push_back(item);
}
