//! The driver's queues: rings, buffers and how it waits for them.

use super::{ctrl, plan::Plan};
use crate::{
    nic::{
        host::{BUS_OFFSET, Fail, Host, RX_BUFFERS, TABLES, TX_BUFFERS},
        slots,
    },
    ring::{DriverRing, Element, Events, Used},
};
use hwmodel::{Device, Ps};
use rand::{Rng, RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// An interrupt that has not come for so long is lost; moderation holds it back for 60 us at the most.
const LOST: Ps = 400_000_000;
/// Bytes of a table of descriptors.
const TABLE: u64 = 1024;
/// Most elements of a buffer.
pub const ELEMENTS: usize = 12;
/// Bytes of a slot beyond its buffer that must stay untouched.
const GUARD: u64 = 64;

/// A buffer in the card's hands.
#[derive(Debug, Clone)]
pub struct Buffer {
    pub elements: Vec<Element>,
    pub capacity: usize,
    pub indirect: bool,
    /// Bytes of its slot that are watched.
    span: u64,
}

/// How a driver learns about used buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Polling,
    /// For the use of this position, since when it is used.
    Asleep(u64, Option<Ps>),
}

/// One queue.
pub struct Queue {
    pub ring: DriverRing<u32>,
    wait: Wait,
    irq: bool,
    unchecked: bool,
}

/// All queues of data, with the memory for their buffers.
pub struct Queues {
    /// In the order of their numbers.
    pub all: Vec<Queue>,
    pub control: Option<DriverRing<u32>>,
    /// Free slots and buffers in use, by direction.
    free: [Vec<u32>; 2],
    buffers: [Vec<Option<Buffer>>; 2],
    slot: [u64; 2],
    features: u64,
    event_idx: bool,
}

fn region(way: usize) -> (u64, u64) {
    [RX_BUFFERS, TX_BUFFERS][way]
}

fn ring(host: &mut Host, rng: &mut ChaCha8Rng, index: usize, features: u64) -> Result<Queue, Fail> {
    let size = match rng.random_range(0..6) {
        0 => rng.random_range(1..4),
        1 => *[16, 256, 1024].choose(rng).unwrap_or(&16),
        _ => rng.random_range(4..300),
    };
    Ok(Queue {
        ring: host.enable_queue(index, size, rng.random(), features, rng.random())?,
        wait: Wait::Polling,
        irq: false,
        unchecked: false,
    })
}

impl Queues {
    /// Enables all queues of a card.
    pub fn start(host: &mut Host, rng: &mut ChaCha8Rng, plan: &Plan) -> Result<Self, Fail> {
        let pairs = plan.pairs();
        let all = (0..2 * pairs)
            .map(|index| ring(host, rng, index, plan.features))
            .collect::<Result<Vec<_>, _>>()?;
        let control = ctrl::exists(plan.features)
            .then(|| host.enable_queue(2 * pairs, 16, 0, plan.features, 0))
            .transpose()?;
        let slot = [plan.rx_slot(), plan.tx_slot()];
        let count = |way: usize| (region(way).1 / slot[way]) as u32;
        Ok(Self {
            all,
            control,
            free: [0, 1].map(|way| (0..count(way)).collect()),
            buffers: [0, 1].map(|way| (0..count(way)).map(|_| None).collect()),
            slot,
            features: plan.features,
            event_idx: plan.event_idx(),
        })
    }

    /// Enables a queue again after its reset; its buffers are the driver's again.
    pub fn restart(
        &mut self,
        host: &mut Host,
        rng: &mut ChaCha8Rng,
        index: usize,
    ) -> Result<(), Fail> {
        let fresh = ring(host, rng, index, self.features)?;
        let mut old = std::mem::replace(&mut self.all[index], fresh).ring;
        for token in old.abandon() {
            self.buffers[index % 2][token as usize] = None;
            self.free[index % 2].push(token);
        }
        Ok(())
    }

    /// Place of a slot.
    fn at(&self, way: usize, number: u32) -> u64 {
        region(way).0 + self.slot[way] * u64::from(number)
    }

    /// Makes a buffer of `capacity` bytes available on a queue, `bytes` in it, in at most `most` elements;
    /// false when there is no room. With `indirect` in a table.
    pub fn add(
        &mut self,
        host: &mut Host,
        rng: &mut ChaCha8Rng,
        index: usize,
        (capacity, bytes): (usize, &[u8]),
        (most, indirect): (usize, bool),
    ) -> bool {
        let way = index % 2;
        let places = usize::from(self.all[index].ring.free());
        let most = if indirect { most } else { most.min(places) };
        if places == 0 {
            return false;
        }
        let Some(number) = self.free[way].pop() else {
            return false;
        };
        let slot = self.at(way, number);
        let elements = slots::cut(rng, slot, capacity as u64, most.clamp(1, ELEMENTS));
        let end = elements
            .iter()
            .map(|e| e.addr - BUS_OFFSET + u64::from(e.len));
        let span = end.max().unwrap_or(slot) - slot + GUARD;
        debug_assert!(span <= self.slot[way], "{capacity} bytes");
        if way == 0 {
            slots::wipe(&mut host.bus, slot, span);
        } else {
            slots::scatter(&mut host.bus, &elements, bytes);
        }
        let queue = &mut self.all[index];
        let (chain, _) = if indirect {
            // Of both directions, and anywhere in their places.
            let place = TABLE * (2 * u64::from(number) + way as u64) + rng.random_range(0..64);
            let table = TABLES.0 + BUS_OFFSET + place;
            queue
                .ring
                .prepare_indirect(&mut host.bus, (table, &elements), number, 0, || {
                    rng.next_u32() as u16
                })
        } else {
            queue.ring.prepare(&mut host.bus, &elements, number, 0)
        };
        queue.ring.publish(&mut host.bus, chain);
        queue.unchecked = true;
        self.buffers[way][number as usize] = Some(Buffer {
            elements,
            capacity,
            indirect,
            span,
        });
        true
    }

    /// Rings the doorbell if the card wants it.
    pub fn kick(&mut self, host: &mut Host, index: usize) -> Result<(), Fail> {
        let queue = &mut self.all[index];
        if std::mem::take(&mut queue.unchecked) && queue.ring.kick_needed(&host.bus) {
            host.kick(index)?;
        }
        Ok(())
    }

    /// A message for the queue came.
    pub fn interrupt(&mut self, index: usize) -> Result<(), Fail> {
        let queue = self.all.get_mut(index);
        queue.ok_or("a message of a queue that is not there")?.irq = true;
        Ok(())
    }

    /// Whether the driver would look at the queue now.
    pub fn awake(&mut self, host: &Host, rng: &mut ChaCha8Rng, index: usize) -> Result<bool, Fail> {
        let now = host.nic.now();
        let queue = &mut self.all[index];
        if std::mem::take(&mut queue.irq) {
            queue.wait = Wait::Polling;
        }
        let Wait::Asleep(position, since) = queue.wait else {
            return Ok(true);
        };
        let visible = queue.ring.visible(&host.bus);
        if visible > position {
            let since = since.unwrap_or(now);
            queue.wait = Wait::Asleep(position, Some(since));
            if now > since + LOST {
                return Err(format!(
                    "lost interrupt of queue {index}: armed for {position}, used up to {visible}"
                )
                .into());
            }
        } else if rng.random_bool(0.02) {
            // A driver that has something to add looks anyway.
            queue.wait = Wait::Polling;
        }
        Ok(false)
    }

    /// Used buffers, oldest first, all that can be seen.
    pub fn take(&mut self, host: &Host, index: usize) -> Result<Vec<Used<u32>>, Fail> {
        let mut taken = Vec::new();
        loop {
            let before = taken.len();
            self.all[index].ring.take_used(&host.bus, &mut taken)?;
            if taken.len() == before {
                return Ok(taken);
            }
        }
    }

    /// What a receive buffer that came back holds; its slot is free again.
    pub fn content(&mut self, host: &Host, used: &Used<u32>) -> Result<(Vec<u8>, Buffer), Fail> {
        let len = used.len.ok_or("a receive buffer without a length")? as usize;
        let buffer = self.release(0, used.token)?;
        let place = (self.at(0, used.token), buffer.span);
        if len == 0 {
            return Ok((Vec::new(), buffer));
        }
        let bytes = slots::gather(&host.bus, place, &buffer.elements, len)?;
        Ok((bytes, buffer))
    }

    /// Frees the slot of a buffer that came back.
    pub fn release(&mut self, way: usize, token: u32) -> Result<Buffer, Fail> {
        let buffer = self.buffers[way][token as usize].take();
        self.free[way].push(token);
        Ok(buffer.ok_or("a slot used twice")?)
    }

    /// Sleeps until an interrupt, unless the ring says at a second look that there is work.
    pub fn arm(&mut self, host: &mut Host, rng: &mut ChaCha8Rng, index: usize) {
        let queue = &mut self.all[index];
        let used = queue.ring.used_position();
        let (events, position) = match rng.random_range(0..4) {
            0 => (Events::Disable, None),
            1 | 2 if self.event_idx && queue.ring.outstanding() != 0 => {
                // Not too far ahead: what is behind may be all that comes.
                let to = queue.ring.avail_position().min(used + 3);
                let position = rng.random_range(used..to);
                (Events::Desc(position), Some(position))
            }
            _ => (Events::Enable, Some(used)),
        };
        queue.ring.set_events(&mut host.bus, events);
        queue.wait = Wait::Polling;
        if let Some(position) = position
            && queue.ring.visible(&host.bus) <= position
        {
            queue.wait = Wait::Asleep(position, None);
        }
    }

    /// No queue waits for an interrupt any more.
    pub fn wake_all(&mut self) {
        self.all
            .iter_mut()
            .for_each(|queue| queue.wait = Wait::Polling);
    }
}
