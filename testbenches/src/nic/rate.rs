//! Throughput in simulated time: how near to 10 Gb/s the card comes with a driver that costs nothing.

use super::{
    frame::HDR,
    host::{BUS_OFFSET, Fail, Host, RX, RX_BUFFERS, Stat, TX, TX_BUFFERS, feature},
    mismatch, power_on, tso,
};
use crate::{
    ring::{DriverRing, Element, Memory},
    testbench::{Error, Options, Report},
};
use hwmodel::{
    Access, BusClient, CYCLE_PS, Device, DmaRecord, NicConfig, Ps, Stop, WireFrame, xgmii::OCTET_PS,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// Octets beside the frame on the wire: preamble, FCS, gap.
const OVERHEAD: u64 = 8 + 4 + 12;
/// Place of a buffer; more than the longest frame.
const SLOT: u64 = 0x3000;
/// Buffers of all rings of a direction.
const SIZE: u16 = 512;
/// The driver looks at its rings this often.
const PERIOD: Ps = 100 * CYCLE_PS;

/// Share of 10 Gb/s from which on it is line rate: the driver looks at what came every 100 cycles only.
const LINE_RATE: f64 = 0.99;

/// Bytes with FCS, as Ethernet sizes are told.
const RATE_SIZES: [usize; 5] = [64, 128, 512, 1518, 9018];

/// The MSS whose super-frames are measured as well.
const MSS: [u16; 2] = [1460, 536];

/// A line of the table: frames per second, and how many the line can carry.
fn row(what: &str, rate: f64, share: f64, lost: u64) {
    println!(
        "  {what:<26}  {:>8.3} / {:<8.3}  {:>9.1} %   {lost:>7}",
        rate / 1e6,
        rate / share / 1e6,
        share * 100.,
    );
}

/// All sizes, on one queue pair and spread over eight, and super-frames; an error when one is short of line
/// rate.
pub fn run(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut report = Report::default();
    let mut slow = Vec::new();
    println!("  bytes  queues  direction        Mframe/s / possible   of 10 Gb/s   dropped");
    let spread = RATE_SIZES.into_iter().map(|size| (size, 8));
    for (number, (size, pairs)) in RATE_SIZES
        .into_iter()
        .map(|size| (size, 1))
        .chain(spread)
        .enumerate()
    {
        let frames = (400_000 / size as u64).clamp(150, 2000) * u64::from(options.effort);
        for (name, rx, tx) in [
            ("receive", frames, 0),
            ("transmit", 0, frames),
            ("both", frames, frames),
        ] {
            let config = NicConfig {
                mtu: 9202,
                queue_pairs: pairs,
                seed,
                ..NicConfig::default()
            };
            let mut host = power_on(options, number, config)?;
            let (rates, bus) = measure(&mut host, size - 4, [rx, tx], pairs.into())
                .map_err(|fail| mismatch(seed, host.nic.now(), name, &fail))?;
            for (way, rate) in ["in ", "out"]
                .into_iter()
                .zip(rates)
                .filter(|(_, r)| r.wanted > 0)
            {
                let what = format!("{size:>5}  {pairs:>6}  {name:<8} {way}");
                row(&what, rate.frames, rate.share, rate.lost);
            }
            let stats = host
                .stats()
                .map_err(|fail| mismatch(seed, host.nic.now(), name, &fail))?;
            for (way, rate) in rates.iter().enumerate().filter(|(_, r)| r.wanted > 0) {
                if rate.lost == 0 && rate.share >= LINE_RATE {
                    continue;
                }
                let full = stats[Stat::RxNoSpace as usize];
                let culprit = bus.culprit(way, full, rate.lost.saturating_sub(full));
                println!("         {bus}\n         held up by {culprit}");
                slow.push(format!(
                    "{size} bytes, {pairs} queues, {name}: {:.1} %, {} lost: {culprit}",
                    rate.share * 100.,
                    rate.lost
                ));
            }
            report.cycles += host.nic.counters().cycles;
            report.add("frames", rx + tx);
        }
    }
    other_sizes(options, &mut report, &mut slow)?;
    super_frames(options, &mut report, &mut slow)?;
    if slow.is_empty() {
        return Ok(report);
    }
    Err(mismatch(seed, 0, "below line rate", &Fail(slow.join("; "))))
}

/// Sizes between those of the table, in both directions at once, on one queue and on eight: some short ones,
/// whose last words are of every length, and some longer ones; from effort 4 on all.
fn other_sizes(
    options: &Options,
    report: &mut Report,
    slow: &mut Vec<String>,
) -> Result<(), Error> {
    /// Octets on the wire of a measurement.
    const OCTETS: u64 = 400_000;
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let last = RATE_SIZES[RATE_SIZES.len() - 1];
    let sizes: Vec<usize> = if options.effort >= 4 {
        (64..=last).collect()
    } else {
        let longer = (0..8).map(|_| rng.random_range(88..=last));
        (64..88).chain(longer).collect()
    };
    let mut worst = [(f64::MAX, 0); 2];
    for pairs in [1, 8] {
        let config = NicConfig {
            mtu: 9202,
            queue_pairs: pairs,
            seed,
            ..NicConfig::default()
        };
        let mut host = power_on(options, 0, config)?;
        for size in &sizes {
            let frames = OCTETS.div_ceil(*size as u64 + 20);
            let (rates, _) = measure(&mut host, size - 4, [frames; 2], pairs.into())
                .map_err(|fail| mismatch(seed, host.nic.now(), "other sizes", &fail))?;
            for ((way, rate), worst) in ["in", "out"].into_iter().zip(rates).zip(&mut worst) {
                if rate.share < worst.0 {
                    *worst = (rate.share, *size);
                }
                if rate.lost != 0 || rate.share < LINE_RATE {
                    let (share, lost) = (rate.share * 100., rate.lost);
                    slow.push(format!(
                        "{size} bytes, {pairs} queues, {way}: {share:.1} %, {lost} lost"
                    ));
                }
            }
            report.add("other sizes", 1);
        }
        report.cycles += host.nic.counters().cycles;
    }
    let [(into, into_size), (out, out_size)] = worst.map(|(share, size)| (share * 100., size));
    println!(
        "  {} other sizes in both directions at once, the slowest: in {into:.1} % ({into_size} bytes), \
         out {out:.1} % ({out_size} bytes)",
        report.count("other sizes"),
    );
    Ok(())
}

/// Segments of super-frames as they leave, at those of [`MSS`].
fn super_frames(
    options: &Options,
    report: &mut Report,
    slow: &mut Vec<String>,
) -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    println!("  gso_size  type  super-frame  segments");
    let cases = tso::RATE_CASES
        .into_iter()
        .filter(|case| MSS.contains(&case.gso_size()));
    for case in cases {
        let rate = tso::rate(options, &mut rng, report, case)?;
        row(&case.to_string(), rate.frames, rate.share, 0);
        if rate.share < LINE_RATE {
            let share = rate.share * 100.;
            slow.push(format!("{case}: {share:.1} %: tx_seg or tx_dma"));
        }
        report.add("rows of super-frames", 1);
    }
    Ok(())
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
    /// Those of them that the card dropped.
    pub lost: u64,
}

/// Beats on the data channels of the bus, per cycle: 1.0 is all that there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct BusLoad {
    /// Reads of descriptors, of event suppression structures, and of buffers.
    pub reads: [f64; 3],
    /// Writes of used descriptors and event suppression structures, of buffers, and messages.
    pub writes: [f64; 3],
    /// The slowest read of descriptors, from its address to its last beat.
    pub descriptors: Ps,
}

impl BusLoad {
    fn new(log: &[DmaRecord], time: Ps) -> Self {
        /// Bytes of a beat.
        const BEAT: u64 = 16;
        let cycle = CYCLE_PS as f64 / time as f64;
        let mut load = Self::default();
        for record in log {
            let beats = (record.iova % BEAT + u64::from(record.len)).div_ceil(BEAT);
            let share = beats as f64 * cycle;
            match (record.access, BusClient::of(record.id)) {
                (Access::Read, Some(BusClient::Descriptors(_))) => {
                    load.reads[0] += share;
                    load.descriptors = load.descriptors.max(record.end - record.start);
                }
                (Access::Read, Some(BusClient::Ring(_))) => load.reads[1] += share,
                (Access::Read, _) => load.reads[2] += share,
                (Access::Write, Some(BusClient::Ring(_))) => load.writes[0] += share,
                (Access::Write, Some(BusClient::Data(_))) => load.writes[1] += share,
                (Access::Write, _) => load.writes[2] += share,
            }
        }
        load
    }

    /// The block that holds up the frames of a direction, and why, as far as can be seen from outside.
    /// `store` is how many found the receive store full, `starved` how many no buffer.
    pub fn culprit(&self, way: usize, store: u64, starved: u64) -> String {
        /// Share of a channel from which on nothing more goes through it.
        const FULL: f64 = 0.97;
        let sum = |channel: &[f64]| channel.iter().sum::<f64>();
        let latency = self.descriptors / 1000;
        if way == RX && sum(&self.writes) > FULL {
            "dma_write: the write channel is full".into()
        } else if sum(&self.reads) > FULL {
            "dma_read: the read channel is full".into()
        } else if way == TX {
            format!("tx_dma or what is behind it; descriptors take up to {latency} ns")
        } else if starved > 0 {
            format!("virtqueue: {starved} frames found no descriptor; they take up to {latency} ns")
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
    bus: BusLoad,
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
        self.bus = BusLoad::new(&self.host.nic.take_dma_log(), active - begin);
        Ok(())
    }
}

/// Sends `rx` frames of `len` bytes to the card and `tx` from it, at the same time; those from it come
/// from `pairs` transmit queues. The rates, and what the bus had to carry.
pub fn measure(
    host: &mut Host,
    len: usize,
    [rx, tx]: [u64; 2],
    pairs: usize,
) -> Result<([Rate; 2], BusLoad), Fail> {
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
    let counts = [rx, tx].map(|wanted| Count {
        skip: wanted / 8,
        ..Count::default()
    });
    let mut bench = Bench {
        host,
        added: vec![0; rings.len()],
        rings,
        len,
        counts,
        bus: BusLoad::default(),
    };
    bench.host.nic.set_dma_log(true);
    bench.run(rx, tx)?;
    let rates = [
        bench.counts[RX].rate(len, rx),
        bench.counts[TX].rate(len, tx),
    ];
    Ok((rates, bench.bus))
}
