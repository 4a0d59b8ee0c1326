//! Super-frames through the whole card: what comes of them, and how fast.

use super::{
    frame::{HDR, MIN_FRAME},
    host::{BUS_OFFSET, Fail, Host, Stat, Stats, TX, TX_BUFFERS, feature},
    mismatch, power_on,
};
use crate::{
    Error, Options, Report,
    frames::Shape,
    inet,
    ring::{DriverRing, Element, Memory},
    seg::stimulus::{self, ILLEGAL, SuperFrame},
};
use hwmodel::{CYCLE_PS, Device, NicConfig, Ps, Stop, xgmii::OCTET_PS};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::{collections::VecDeque, fmt};

/// Place of a super-frame, and how many there are.
const SLOT: u64 = 0x1_4000;
const SLOTS: u64 = 96;
/// Descriptors of the ring.
const SIZE: u16 = 512;
/// A chain of the longest super-frame in pages has so many elements.
const MOST: usize = 20;
/// The driver looks at its ring this often.
const PERIOD: Ps = 100 * CYCLE_PS;
/// Octets beside the frame on the wire: preamble, FCS, gap.
const OVERHEAD: u64 = 8 + 4 + 12;

/// The transmit half of a driver.
struct Sender<'a> {
    host: &'a mut Host,
    ring: DriverRing<u16>,
    slots: VecDeque<u64>,
}

impl<'a> Sender<'a> {
    fn new(host: &'a mut Host) -> Result<Self, Fail> {
        let features = feature::BASE | feature::EVENT_IDX | feature::SEGMENTATION;
        if !host.negotiate(features)? {
            return Err("segmentation is refused".into());
        }
        let ring = host.enable_queue(TX, SIZE, 0, features, 0)?;
        host.driver_ok()?;
        Ok(Self {
            host,
            ring,
            slots: (0..SLOTS).collect(),
        })
    }

    fn room(&self) -> bool {
        usize::from(self.ring.free()) >= MOST && !self.slots.is_empty()
    }

    /// Queues a stream of header and frame, cut into elements of these lengths (a rest goes into the
    /// last one).
    fn send(&mut self, stream: &[u8], cuts: &[usize]) -> Result<(), Fail> {
        let slot = self.slots.pop_front().ok_or("no slot")?;
        let mut at = TX_BUFFERS.0 + BUS_OFFSET + SLOT * slot;
        let mut elements = vec![];
        let mut rest = stream;
        for (index, cut) in cuts.iter().enumerate() {
            let last = index + 1 == cuts.len();
            let take = if last {
                rest.len()
            } else {
                rest.len().min(*cut)
            };
            if take == 0 {
                break;
            }
            let (now, later) = rest.split_at(take);
            self.host.bus.write(at, now);
            elements.push(Element {
                addr: at,
                len: take as u32,
            });
            at += take as u64;
            rest = later;
        }
        let (chain, _) = self
            .ring
            .prepare(&mut self.host.bus, &elements, slot as u16, 0);
        self.ring.publish(&mut self.host.bus, chain);
        Ok(())
    }

    /// Rings the bell when asked to, runs a while, and gives the frames that left meanwhile.
    fn turn(&mut self, frames: &mut Vec<(Ps, Vec<u8>)>) -> Result<(), Fail> {
        if self.ring.kick_needed(&self.host.bus) {
            self.host.kick(TX)?;
        }
        let until = self.host.nic.now() + PERIOD;
        while self.host.nic.run_until(until)? != Stop::Time {
            while self.host.nic.take_msix().is_some() {}
            while let Some(frame) = self.host.nic.take_wire() {
                frames.push((frame.at, frame.bytes));
            }
        }
        let mut used = vec![];
        self.ring.take_used(&self.host.bus, &mut used)?;
        self.slots.extend(used.iter().map(|u| u64::from(u.token)));
        Ok(())
    }
}

/// What the counters must have gone up by.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    frames: u64,
    malformed: u64,
    csum: u64,
    gso: u64,
    segments: u64,
    buffers: u64,
}

impl Counts {
    fn of(stats: &Stats) -> Self {
        let get = |stat: Stat| stats[stat as usize];
        Self {
            frames: get(Stat::TxFrames),
            malformed: get(Stat::TxMalformed),
            csum: get(Stat::TxCsum),
            gso: get(Stat::TxGso),
            segments: get(Stat::TxSegments),
            buffers: get(Stat::TxBuffers),
        }
    }
}

/// Random super-frames, legal and not, and single frames between them, in buffers cut anywhere.
pub fn random(
    host: &mut Host,
    rng: &mut ChaCha8Rng,
    report: &mut Report,
    count: u32,
    max_frame: usize,
) -> Result<(), Fail> {
    let mut sender = Sender::new(host)?;
    let mut wanted = VecDeque::new();
    let mut counts = Counts::default();
    let (mut sent, mut frames) = (0, vec![]);
    let mut active = sender.host.nic.now();
    while sent < count || !wanted.is_empty() || sender.slots.len() < SLOTS as usize {
        while sent < count && sender.room() {
            let stream = one(rng, report, max_frame, &mut wanted, &mut counts);
            let pieces = rng.random_range(1..=MOST);
            let longest = (stream.len() / pieces * 2).max(1);
            let cuts: Vec<usize> = (0..pieces).map(|_| rng.random_range(1..=longest)).collect();
            sender.send(&stream, &cuts)?;
            counts.buffers += 1;
            sent += 1;
        }
        sender.turn(&mut frames)?;
        for (_, frame) in frames.drain(..) {
            active = sender.host.nic.now();
            let Some(expected) = wanted.pop_front() else {
                return Err(format!("a frame of {} bytes too many", frame.len()).into());
            };
            if frame != expected {
                let differ = frame.iter().zip(&expected).position(|(a, b)| a != b);
                let lengths = (frame.len(), expected.len());
                return Err(
                    format!("{lengths:?} bytes, the first difference at {differ:?}").into(),
                );
            }
        }
        if sender.host.nic.now() > active + 2_000_000_000 {
            return Err(format!("{} frames are missing", wanted.len()).into());
        }
    }
    let seen = Counts::of(&sender.host.stats()?);
    if seen != counts {
        return Err(format!("counters {seen:?} instead of {counts:?}").into());
    }
    Ok(())
}

/// A stream for the ring; what is to come of it goes to `wanted` and `counts`.
fn one(
    rng: &mut ChaCha8Rng,
    report: &mut Report,
    max_frame: usize,
    wanted: &mut VecDeque<Vec<u8>>,
    counts: &mut Counts,
) -> Vec<u8> {
    let mut expect = |mut frame: Vec<u8>| {
        frame.resize(frame.len().max(MIN_FRAME), 0);
        wanted.push_back(frame);
    };
    let frame = match rng.random_range(0..10) {
        0..3 => {
            let mut bytes = vec![0; rng.random_range(60..1500)];
            rng.fill_bytes(&mut bytes);
            report.add("single frames", 1);
            counts.frames += 1;
            expect(bytes.clone());
            return [vec![0; HDR], bytes].concat();
        }
        3 => {
            report.add("illegal super-frames", 1);
            counts.malformed += 1;
            stimulus::illegal(rng.random_range(0..ILLEGAL.len()), max_frame, rng)
        }
        _ => {
            let frame = stimulus::random_legal(rng);
            if let Some(segments) = frame.segments(max_frame) {
                report.add("super-frames", 1);
                report.add("segments", segments.len() as u64);
                counts.gso += 1;
                counts.segments += segments.len() as u64;
                counts.csum += segments.len() as u64;
                counts.frames += segments.len() as u64;
                segments.into_iter().for_each(&mut expect);
            } else {
                counts.malformed += 1;
            }
            frame
        }
    };
    stream(&frame)
}

fn stream(frame: &SuperFrame) -> Vec<u8> {
    [&frame.hdr.bytes()[..], &frame.bytes].concat()
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct RateCase {
    gso_size: u16,
    ipv6: bool,
    tcp: bool,
    /// Segments of a super-frame.
    segments: usize,
    /// Super-frames.
    count: u32,
}

impl fmt::Display for RateCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.tcp, self.ipv6) {
            (true, false) => "TSO4",
            (true, true) => "TSO6",
            (false, _) => "USO ",
        };
        let bytes = usize::from(self.gso_size) * self.segments;
        let segments = self.segments as u32 * self.count;
        write!(
            f,
            "{:>8}  {kind}  {bytes:>11}  {segments:>8}",
            self.gso_size
        )
    }
}

const fn case(gso_size: u16, ipv6: bool, tcp: bool, segments: usize, count: u32) -> RateCase {
    RateCase {
        gso_size,
        ipv6,
        tcp,
        segments,
        count,
    }
}

/// 1460 and 536 without options, as super-frames of 64 KB and of a few segments.
pub const RATE_CASES: [RateCase; 7] = [
    case(1460, false, true, 44, 40),
    case(1460, false, true, 3, 200),
    case(536, false, true, 122, 20),
    case(536, false, true, 8, 150),
    case(1440, true, true, 45, 20),
    case(1472, false, false, 40, 20),
    case(8948, false, true, 7, 20),
];

impl RateCase {
    /// Bytes of payload of a segment.
    pub fn gso_size(&self) -> u16 {
        self.gso_size
    }
}

/// How fast segments left.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Frames per second.
    pub frames: f64,
    /// 1.0 = 10 Gb/s.
    pub share: f64,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.3}   {:>9.2} %",
            self.frames / 1e6,
            self.share * 100.
        )
    }
}

/// [`measure`] on a card of its own, whose cycles go into the report.
pub fn rate(
    options: &Options,
    rng: &mut ChaCha8Rng,
    report: &mut Report,
    case: RateCase,
) -> Result<Rate, Error> {
    let seed = options.seed;
    let config = NicConfig {
        mtu: 9202,
        seed,
        ..NicConfig::default()
    };
    let mut host = power_on(options, 0, config)?;
    let rate = measure(&mut host, rng, case)
        .map_err(|fail| mismatch(seed, host.nic.now(), &case.to_string(), &fail))?;
    report.cycles += host.nic.counters().cycles;
    Ok(rate)
}

/// Sends super-frames of one kind as fast as the card takes them: the header in an element of its own,
/// the payload in pages.
fn measure(host: &mut Host, rng: &mut ChaCha8Rng, case: RateCase) -> Result<Rate, Fail> {
    let shape = Shape {
        ipv6: case.ipv6,
        tcp: case.tcp,
        payload: usize::from(case.gso_size) * case.segments,
        ..Shape::default()
    };
    let mut sender = Sender::new(host)?;
    let (mut sent, mut frames, mut seen) = (0, vec![], vec![]);
    let wanted = case.segments * case.count as usize;
    let deadline = sender.host.nic.now() + 200_000_000_000;
    while seen.len() < wanted {
        while sent < case.count && sender.room() {
            let frame = stimulus::legal(&shape, case.gso_size, rng);
            let cuts = [&[HDR + frame.parts.payload][..], &[4096; MOST - 1]].concat();
            sender.send(&stream(&frame), &cuts)?;
            sent += 1;
        }
        sender.turn(&mut frames)?;
        for (at, frame) in frames.drain(..) {
            if !inet::transport_verified(&frame) {
                return Err(format!("segment {} has a wrong checksum", seen.len()).into());
            }
            seen.push((at, frame.len() as u64 + OVERHEAD));
        }
        if sender.host.nic.now() > deadline {
            return Err(format!("{} of {wanted} segments", seen.len()).into());
        }
    }
    // Times are those of a frame's first octet: the last one's length does not count.
    let (first, last) = (seen[0].0, seen[wanted - 1].0);
    let octets: u64 = seen[..wanted - 1].iter().map(|(_, octets)| octets).sum();
    let time = (last - first) as f64;
    Ok(Rate {
        frames: 1e12 * (wanted - 1) as f64 / time,
        share: (octets * OCTET_PS) as f64 / time,
    })
}
