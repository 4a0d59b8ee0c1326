//! A driver that costs nothing, and what it counts.

use super::{
    bus::BusLoad,
    flows::{self, Steering},
};
use crate::{
    nic::{
        frame::HDR,
        host::{BUS_OFFSET, Fail, Host, RX, RX_BUFFERS, Stat, TX, TX_BUFFERS, feature},
    },
    ring::{DriverRing, Element, Memory},
};
use hwmodel::{CYCLE_PS, Device, Ps, Stop, WireFrame, xgmii::OCTET_PS};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Octets beside the frame on the wire: preamble, FCS, gap.
const OVERHEAD: u64 = 8 + 4 + 12;
/// Place of a buffer; more than the longest frame.
const SLOT: u64 = 0x3000;
/// Buffers of all rings of a direction.
const SIZE: u16 = 512;
/// The driver looks at its rings this often.
const PERIOD: Ps = 100 * CYCLE_PS;

/// What goes through the card.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Bytes of a frame without FCS, at least 60.
    pub len: usize,
    /// Queue pairs that the driver uses, with as many buffers each.
    pub pairs: u16,
    /// How received frames find theirs.
    pub steering: Steering,
    /// Frames to the card and from it, at the same time.
    pub frames: [u64; 2],
}

/// Frames per second and share of the line, per direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    /// Frames per second, 0 when the direction was idle.
    pub frames: f64,
    /// 1.0 = 10 Gb/s.
    pub share: f64,
    /// Frames that were sent.
    pub wanted: u64,
    /// Those of them that did not arrive.
    pub lost: u64,
}

/// What came of a [`Load`].
#[derive(Debug)]
pub struct Measured {
    /// By direction.
    pub rates: [Rate; 2],
    /// Frames of each receive queue.
    pub spread: Vec<u64>,
    /// What the bus had to carry meanwhile.
    pub bus: BusLoad,
    /// Frames that found the receive store full, and those that found no buffer.
    pub dropped: [u64; 2],
}

impl Measured {
    /// The block that holds up a direction, as far as can be seen from outside.
    pub fn culprit(&self, way: usize) -> String {
        self.bus.culprit(way, self.dropped)
    }
}

/// Frames that came between two looks.
#[derive(Debug, Default)]
struct Count {
    /// The beginning, which does not count.
    skip: u64,
    all: u64,
    /// When the first ones behind it were seen, and how many had come until then.
    first: Option<(Ps, u64)>,
    last: Ps,
}

impl Count {
    fn add(&mut self, n: u64, at: Ps) {
        self.all += n;
        self.last = at;
        if self.all > self.skip {
            self.first.get_or_insert((at, self.all));
        }
    }

    /// From the first look behind the beginning to the last.
    fn rate(&self, len: usize, wanted: u64) -> Rate {
        let Some((from, n)) = self.first.filter(|(from, _)| *from < self.last) else {
            return Rate {
                wanted,
                lost: wanted - self.all,
                ..Rate::default()
            };
        };
        let per_frame = (self.last - from) as f64 / (self.all - n) as f64;
        Rate {
            frames: 1e12 / per_frame,
            share: ((len as u64 + OVERHEAD) * OCTET_PS) as f64 / per_frame,
            wanted,
            lost: wanted - self.all,
        }
    }
}

struct Bench<'a> {
    host: &'a mut Host,
    /// In the order of the queues' numbers (virtio 5.1.2).
    rings: Vec<DriverRing<u16>>,
    len: usize,
    /// Buffers of a queue.
    size: u64,
    /// By queue.
    added: Vec<u64>,
    /// By direction.
    counts: [Count; 2],
    /// What is still to come to each receive queue.
    expected: Vec<VecDeque<Vec<u8>>>,
    /// What has.
    spread: Vec<u64>,
}

impl Bench<'_> {
    /// Makes buffers of a direction available on all its queues, one after the other, `most` at the most
    /// since the beginning.
    fn add(&mut self, way: usize, most: u64) -> Result<(), Fail> {
        let pairs = (self.rings.len() / 2) as u64;
        for pair in 0..pairs {
            let queue = 2 * pair as usize + way;
            // A share each, and the first ones what is left over.
            let most = most / pairs + u64::from(pair < most % pairs);
            while self.rings[queue].free() != 0 && self.added[queue] < most {
                let slot = (pair * self.size + self.added[queue] % self.size) as u16;
                let element = Element {
                    addr: place(way, slot),
                    len: (HDR + self.len) as u32,
                };
                let ring = &mut self.rings[queue];
                let (chain, _) = ring.prepare(&mut self.host.bus, &[element], slot, 0);
                ring.publish(&mut self.host.bus, chain);
                self.added[queue] += 1;
            }
            if self.rings[queue].kick_needed(&self.host.bus) {
                self.host.kick(queue)?;
            }
        }
        Ok(())
    }

    /// Takes what a direction's queues return; what was received must be what was sent to that queue, in
    /// that order.
    fn take(&mut self, way: usize) -> Result<u64, Fail> {
        let mut all = 0;
        for queue in (way..self.rings.len()).step_by(2) {
            let mut taken = Vec::new();
            let mut before = usize::MAX;
            while before != taken.len() {
                before = taken.len();
                self.rings[queue].take_used(&self.host.bus, &mut taken)?;
            }
            all += taken.len() as u64;
            if way == TX {
                continue;
            }
            let pair = queue / 2;
            self.spread[pair] += taken.len() as u64;
            let mut bytes = vec![0; self.len];
            for used in taken {
                self.host
                    .bus
                    .read(place(RX, used.token) + HDR as u64, &mut bytes);
                let missing = self.expected[pair].iter().position(|sent| *sent == bytes);
                let Some(missing) = missing.filter(|_| used.len == Some((HDR + self.len) as u32))
                else {
                    let start = &bytes[..54];
                    return Err(format!("receive queue {pair}: not sent to it: {start:x?}…").into());
                };
                self.expected[pair].drain(..=missing);
            }
        }
        Ok(all)
    }

    /// When the first frame was there to be sent, and when the last one had come.
    fn run(&mut self, frames: Vec<Vec<u8>>, tx: u64) -> Result<[Ps; 2], Fail> {
        let rx = frames.len() as u64;
        self.add(RX, u64::MAX)?;
        self.host.run(1000)?; // the first buffers are there before the first frame
        for bytes in frames {
            let frame = WireFrame::new(self.host.nic.now(), bytes);
            self.host.nic.wire_send(frame);
        }
        let mut active = self.host.nic.now();
        let begin = active;
        self.host.nic.take_dma_log();
        while self.counts[RX].all < rx || self.counts[TX].all < tx {
            self.add(RX, u64::MAX)?;
            self.add(TX, tx)?;
            let until = self.host.nic.now() + PERIOD;
            while self.host.nic.run_until(until)? != Stop::Time {
                while self.host.nic.take_msix().is_some() {}
                while let Some(frame) = self.host.nic.take_wire() {
                    self.counts[TX].add(1, frame.at);
                    active = self.host.nic.now();
                    self.host.nic.recycle(frame.bytes);
                }
            }
            let received = self.take(RX)?;
            if received != 0 {
                active = self.host.nic.now();
                self.counts[RX].add(received, active);
            }
            self.take(TX)?;
            if self.host.nic.now() > active + 100_000_000 {
                break; // what has not come was dropped
            }
        }
        Ok([begin, active])
    }
}

/// Bus address of a buffer.
fn place(way: usize, slot: u16) -> u64 {
    let region = if way == RX {
        RX_BUFFERS.0
    } else {
        TX_BUFFERS.0
    };
    region + BUS_OFFSET + SLOT * u64::from(slot)
}

/// Puts a load on the card. Received frames are of many flows, as many for each queue as for the others;
/// an error when one comes to another queue or is not as it was sent.
pub fn measure(host: &mut Host, rng: &mut ChaCha8Rng, load: Load) -> Result<Measured, Fail> {
    let Load {
        len,
        pairs,
        steering,
        frames: [rx, tx],
    } = load;
    let features = feature::BASE | feature::EVENT_IDX | feature::IN_ORDER | steering.features();
    if !host.negotiate(features)? {
        return Err(format!("features {features:#x} are refused").into());
    }
    let size = SIZE / pairs;
    let rings = (0..2 * usize::from(pairs))
        .map(|queue| host.enable_queue(queue, size, 0, features, 0))
        .collect::<Result<Vec<_>, _>>()?;
    steering.start(host, features, pairs)?;
    // What is sent is alike: the buffers are filled once.
    let mut packet = vec![0x5a; HDR + len];
    packet[..HDR].fill(0);
    for slot in 0..SIZE {
        host.bus.write(place(TX, slot), &packet);
    }
    let mut expected = vec![VecDeque::new(); pairs.into()];
    let mut frames = Vec::with_capacity(rx as usize);
    for (pair, frame) in flows::frames(rng, steering, pairs, len, rx) {
        expected[pair].push_back(frame.clone());
        frames.push(frame);
    }
    let counts = [rx, tx].map(|wanted| Count {
        skip: wanted / 8,
        ..Count::default()
    });
    let before = host.stats()?;
    let mut bench = Bench {
        host,
        added: vec![0; rings.len()],
        rings,
        len,
        size: size.into(),
        counts,
        expected,
        spread: vec![0; pairs.into()],
    };
    bench.host.nic.set_dma_log(true);
    let time = bench.run(frames, tx)?;
    let Bench {
        host,
        counts,
        spread,
        ..
    } = bench;
    let log = host.nic.take_dma_log();
    let now = host.stats()?;
    let measured = Measured {
        rates: [counts[RX].rate(len, rx), counts[TX].rate(len, tx)],
        bus: BusLoad::new(&log, &load, &host.nic.config().axi, time),
        dropped: [Stat::RxNoSpace, Stat::RxNoBuffer]
            .map(|stat| now[stat as usize] - before[stat as usize]),
        spread,
    };
    let fair = rx / u64::from(pairs);
    let lost = measured.rates[RX].lost;
    if let Some(queue) = measured.spread.iter().position(|n| n + lost < fair) {
        let spread = &measured.spread;
        return Err(format!("receive queue {queue} has not got its {fair}: {spread:?}").into());
    }
    Ok(measured)
}
