//! Throughput in simulated time: how near to 10 Gb/s the card comes with a driver that costs nothing.

use super::{
    frame::HDR,
    host::{BUS_OFFSET, Fail, Host, RX, RX_BUFFERS, TX, TX_BUFFERS, feature},
};
use crate::ring::{DriverRing, Element, Memory};
use hwmodel::{CYCLE_PS, Device, Ps, Stop, WireFrame, xgmii::OCTET_PS};

/// Octets beside the frame on the wire: preamble, FCS, gap.
const OVERHEAD: u64 = 8 + 4 + 12;
/// Place of a buffer; more than the longest frame.
const SLOT: u64 = 0x3000;
/// Buffers of all rings of a direction.
const SIZE: u16 = 512;
/// The driver looks at its rings this often.
const PERIOD: Ps = 100 * CYCLE_PS;

/// Frames per second and share of the line, per direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    /// Frames per second, 0 when the direction was idle.
    pub frames: f64,
    /// 1.0 = 10 Gb/s.
    pub share: f64,
    /// Frames that the card dropped.
    pub lost: u64,
}

/// Frames that came between two looks.
#[derive(Debug, Default)]
struct Count {
    all: u64,
    first: Option<(Ps, u64)>,
    last: Ps,
}

impl Count {
    fn add(&mut self, n: u64, at: Ps) {
        self.all += n;
        self.last = at;
        self.first.get_or_insert((at, n));
    }

    /// From the first look to the last.
    fn rate(&self, len: usize, wanted: u64) -> Rate {
        let Some((from, n)) = self.first.filter(|(from, _)| *from < self.last) else {
            return Rate {
                lost: wanted - self.all,
                ..Rate::default()
            };
        };
        let per_frame = (self.last - from) as f64 / (self.all - n) as f64;
        Rate {
            frames: 1e12 / per_frame,
            share: ((len as u64 + OVERHEAD) * OCTET_PS) as f64 / per_frame,
            lost: wanted - self.all,
        }
    }
}

/// Buffers of a queue: the first of them among those of its direction, and how many.
fn share(way: usize, pair: u64, pairs: u64) -> (u64, u64) {
    let size = u64::from(SIZE);
    match (way, pair) {
        // Until VQ_PAIRS_SET (5.1.6.5.6) all frames come to the first pair.
        (RX, 0) if pairs > 1 => (0, size / 2),
        (RX, _) if pairs > 1 => (size / 2 + (pair - 1) * size / 16, size / 16),
        _ => (pair * (size / pairs), size / pairs),
    }
}

struct Bench<'a> {
    host: &'a mut Host,
    /// In the order of the queues' numbers (virtio 5.1.2).
    rings: Vec<DriverRing<u16>>,
    len: usize,
    /// By queue.
    added: Vec<u64>,
    /// By direction.
    counts: [Count; 2],
}

impl Bench<'_> {
    /// Makes buffers of a direction available on all its queues, one after the other, `most` at the most
    /// since the beginning.
    fn add(&mut self, way: usize, most: u64) -> Result<(), Fail> {
        let region = if way == RX {
            RX_BUFFERS.0
        } else {
            TX_BUFFERS.0
        };
        let pairs = (self.rings.len() / 2) as u64;
        for pair in 0..pairs {
            let queue = 2 * pair as usize + way;
            // A share each, and the first ones what is left over.
            let most = most / pairs + u64::from(pair < most % pairs);
            let (first, size) = share(way, pair, pairs);
            while self.rings[queue].free() != 0 && self.added[queue] < most {
                let slot = (first + self.added[queue] % size) as u16;
                let addr = region + BUS_OFFSET + SLOT * u64::from(slot);
                let element = Element {
                    addr,
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

    /// Takes what a direction's queues return.
    fn take(&mut self, way: usize) -> Result<u64, Fail> {
        let mut taken = Vec::new();
        for queue in (way..self.rings.len()).step_by(2) {
            let mut before = usize::MAX;
            while before != taken.len() {
                before = taken.len();
                self.rings[queue].take_used(&self.host.bus, &mut taken)?;
            }
        }
        Ok(taken.len() as u64)
    }

    fn run(&mut self, rx: u64, tx: u64) -> Result<(), Fail> {
        self.add(RX, u64::MAX)?;
        self.host.run(1000)?; // the first buffers are there before the first frame
        for _ in 0..rx {
            let frame = WireFrame::new(self.host.nic.now(), vec![0x5a; self.len]);
            self.host.nic.wire_send(frame);
        }
        let mut active = self.host.nic.now();
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
        Ok(())
    }
}

/// Sends `rx` frames of `len` bytes to the card and `tx` from it, at the same time; those from it come
/// from `pairs` transmit queues.
pub fn measure(
    host: &mut Host,
    len: usize,
    [rx, tx]: [u64; 2],
    pairs: usize,
) -> Result<[Rate; 2], Fail> {
    let several = if pairs > 1 {
        feature::CTRL_VQ | feature::MQ
    } else {
        0
    };
    let features = feature::BASE | feature::EVENT_IDX | feature::IN_ORDER | several;
    if !host.negotiate(features)? {
        return Err(format!("features {features:#x} are refused").into());
    }
    let rings = (0..2 * pairs)
        .map(|queue| {
            let (_, size) = share(queue % 2, queue as u64 / 2, pairs as u64);
            host.enable_queue(queue, size as u16, 0, features, 0)
        })
        .collect::<Result<Vec<_>, _>>()?;
    host.driver_ok()?;
    host.status()?;
    // All frames are alike: the buffers are filled once.
    let mut packet = vec![0x5a; HDR + len];
    packet[..HDR].fill(0);
    for slot in 0..u64::from(SIZE) {
        host.bus
            .write(TX_BUFFERS.0 + BUS_OFFSET + SLOT * slot, &packet);
    }
    let counts = [Count::default(), Count::default()];
    let mut bench = Bench {
        host,
        added: vec![0; rings.len()],
        rings,
        len,
        counts,
    };
    bench.run(rx, tx)?;
    Ok([
        bench.counts[RX].rate(len, rx),
        bench.counts[TX].rate(len, tx),
    ])
}
