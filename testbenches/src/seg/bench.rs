//! `tx_seg` between a driver of beats and a scoreboard.

use super::{
    GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, MAX_SUPER_FRAME, NEEDS_CSUM, NetHdr,
    kernel, reference,
    stimulus::{self, ILLEGAL, SuperFrame},
};
use crate::{
    Error, Options, Report,
    axis::{self, Beat, Collector},
    block::tx_seg as port,
    dut::Dut,
    frames::Shape,
    inet,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Cycles after which a block that still is not through never will be.
const STUCK: u64 = 100_000;

/// A frame that is to come out, without its header.
#[derive(Debug)]
struct Expected {
    bytes: Vec<u8>,
    /// Header of a frame that goes through unchanged; a segment otherwise.
    header: Option<[u8; 12]>,
    /// A segment of this frame, which is cut: this one or a later one may be missing.
    cut: Option<u64>,
}

pub(super) struct Bench {
    dut: Dut,
    pub rng: ChaCha8Rng,
    pub max_frame: usize,
    /// Negotiated: TSO4, TSO6, ECN, USO.
    pub features: [bool; 4],
    pub hash_hdr: bool,
    source: VecDeque<(Beat, bool)>,
    offered: bool,
    expected: VecDeque<Expected>,
    collector: Collector,
    stalled: Option<(Beat, bool)>,
    pub gap: f64,
    pub stall: f64,
    malformed: [u64; 2], // expected, seen
    gso: [u64; 2],
    segments: [u64; 2], // came out, seen
    frames: u64,
    asleep: Option<[u64; 5]>,
    pub report: Report,
}

pub(super) fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench::open(options)?;
    bench.directed()?;
    for way in 0..ILLEGAL.len() {
        bench.illegal(way, 6)?;
    }
    bench.features_switched_off()?;
    kernel::run(&mut bench)?;
    for round in 0..16 * options.effort {
        (bench.gap, bench.stall) =
            [(0.0, 0.0), (0.3, 0.1), (0.0, 0.5), (0.05, 0.05)][round as usize % 4];
        bench.max_frame = [9216, 1518, 16_200][round as usize % 3];
        bench.hash_hdr = round % 2 == 1;
        bench.random(25)?;
    }
    bench.flushes(30 * options.effort)?;
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    pub fn open(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            dut: Dut::open(port::NAME, options)?,
            rng: ChaCha8Rng::seed_from_u64(options.seed),
            max_frame: 9216,
            features: [true; 4],
            hash_hdr: false,
            source: VecDeque::new(),
            offered: false,
            expected: VecDeque::new(),
            collector: Collector::default(),
            stalled: None,
            gap: 0.0,
            stall: 0.0,
            malformed: [0; 2],
            gso: [0; 2],
            segments: [0; 2],
            frames: 0,
            asleep: None,
            report: Report::default(),
        })
    }

    /// Every payload length around the boundaries, every header alignment.
    fn directed(&mut self) -> Result<(), Error> {
        for options in 0..4 {
            for payload in (0..100).chain([1459, 1460, 1461, 2919, 2920, 2921, 65_000]) {
                let shape = Shape {
                    tags: (payload % 3) as u8,
                    ipv6: payload % 2 == 1,
                    tcp: options > 0,
                    tcp_options: options * 3,
                    payload,
                    ..Shape::default()
                };
                let gso_size = if payload < 100 { 17 } else { 1460 };
                let frame = stimulus::legal(&shape, gso_size, &mut self.rng);
                self.offer(&frame)?;
            }
        }
        for kind in [2, 4] {
            for units in 2..10 {
                let frame = stimulus::routed(kind, units, &mut self.rng);
                self.offer(&frame)?;
                self.report.add("final destination", 1);
            }
        }
        self.drain()
    }

    fn illegal(&mut self, way: usize, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            let frame = stimulus::illegal(way, self.max_frame, &mut self.rng);
            self.send(&frame);
            self.malformed[0] += 1;
            self.report.add(ILLEGAL[way], 1);
            let next = stimulus::random_legal(&mut self.rng);
            self.offer(&next)?;
        }
        self.drain()
    }

    /// What was not negotiated goes through as it is.
    fn features_switched_off(&mut self) -> Result<(), Error> {
        for off in 0..16u8 {
            self.features = std::array::from_fn(|bit| off >> bit & 1 == 0);
            for _ in 0..8 {
                let frame = stimulus::random_legal(&mut self.rng);
                self.offer(&frame)?;
            }
            // Types that there are not, and ECN with what has no TCP.
            for gso_type in [2, 3, 6, 0x40, GSO_ECN, GSO_ECN | GSO_UDP_L4, 0x7f] {
                let mut frame = stimulus::random_legal(&mut self.rng);
                frame.hdr.gso_type = gso_type;
                self.offer(&frame)?;
            }
            self.drain()?;
        }
        self.features = [true; 4];
        Ok(())
    }

    fn random(&mut self, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            match self.rng.random_range(0..20) {
                0..6 => self.plain(),
                6 | 7 => {
                    let way = self.rng.random_range(0..ILLEGAL.len());
                    let frame = stimulus::illegal(way, self.max_frame, &mut self.rng);
                    self.send(&frame);
                    self.malformed[0] += 1;
                    self.report.add(ILLEGAL[way], 1);
                }
                8 | 9 => self.aborted(),
                10 if self.rng.random_ratio(1, 3) => self.endless()?,
                _ => {
                    let frame = stimulus::random_legal(&mut self.rng);
                    self.offer(&frame)?;
                }
            }
            self.run_down(3000)?;
            if self.rng.random_ratio(1, 8) {
                self.drain()?;
            }
        }
        self.drain()
    }

    /// A frame that is not to be segmented; very short ones and too long ones, too.
    fn plain(&mut self) {
        let length = match self.rng.random_range(0..8) {
            0 => self.rng.random_range(0..14),
            1 => self.rng.random_range(14..=self.max_frame),
            _ => self.rng.random_range(14..200),
        };
        let mut bytes = vec![0; length];
        self.rng.fill_bytes(&mut bytes);
        let hdr = NetHdr {
            flags: self.rng.random(),
            hdr_len: self.rng.random(),
            gso_size: self.rng.random(),
            csum_start: self.rng.random(),
            csum_offset: self.rng.random(),
            num_buffers: self.rng.random(),
            gso_type: GSO_NONE,
        };
        self.send_bytes(hdr, &bytes, false);
        self.expect_through(hdr, bytes);
    }

    fn expect_through(&mut self, hdr: NetHdr, bytes: Vec<u8>) {
        self.expected.push_back(Expected {
            bytes,
            header: Some(hdr.bytes()),
            cut: None,
        });
        self.report.add("through", 1);
    }

    /// A frame that an error cuts: complete segments may come, nothing of it is counted.
    fn aborted(&mut self) {
        let mut frame = stimulus::random_legal(&mut self.rng);
        let at = self.rng.random_range(1..=frame.bytes.len());
        let whole = frame.segments(self.max_frame);
        frame.bytes.truncate(at);
        if self.rng.random_ratio(1, 3) {
            frame.hdr.gso_type = GSO_NONE;
        } else if let Some(whole) = whole {
            let size = usize::from(frame.hdr.gso_size);
            let complete = at.saturating_sub(frame.parts.payload + 1) / size;
            let cut = Some(self.frames);
            for bytes in whole.into_iter().take(complete) {
                self.expected.push_back(Expected {
                    bytes,
                    header: None,
                    cut,
                });
            }
        }
        self.send_bytes(frame.hdr, &frame.bytes, true);
        self.report.add("aborted", 1);
    }

    /// More than any IP packet has: what was complete when it was noticed has gone out.
    fn endless(&mut self) -> Result<(), Error> {
        let mut frame = stimulus::random_legal(&mut self.rng);
        frame.hdr.gso_size = self.rng.random_range(500..1200);
        let length = self.rng.random_range(MAX_SUPER_FRAME + 1..90_000);
        frame.bytes.resize(length, 0xa5);
        let whole = reference::segments(&frame.bytes, &frame.parts, frame.hdr.gso_size.into());
        let count = (MAX_SUPER_FRAME - frame.parts.payload) / usize::from(frame.hdr.gso_size);
        for bytes in whole.into_iter().take(count) {
            self.expected.push_back(Expected {
                bytes,
                header: None,
                cut: Some(self.frames),
            });
        }
        self.malformed[0] += 1;
        self.report.add("longer than any packet", 1);
        self.send(&frame);
        self.run_down(3000)
    }

    /// After a flush in any moment the next frame comes out, and nothing else.
    fn flushes(&mut self, count: u32) -> Result<(), Error> {
        (self.max_frame, self.hash_hdr) = (9216, false);
        for _ in 0..count {
            (self.gap, self.stall) =
                [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4)][self.rng.random_range(0..3)];
            for _ in 0..3 {
                let frame = stimulus::random_legal(&mut self.rng);
                self.send(&frame);
            }
            for _ in 0..self.rng.random_range(0..1500) {
                self.expected.clear();
                self.cycle_unchecked(false)?;
            }
            self.source.clear();
            self.offered = false;
            self.cycle_unchecked(true)?;
            self.expected.clear();
            self.collector = Collector::default();
            self.stalled = None;
            (self.malformed[0], self.gso[0]) = (self.malformed[1], self.gso[1]);
            self.segments[0] = self.segments[1];
            let frame = stimulus::random_legal(&mut self.rng);
            self.offer(&frame)?;
            self.report.add("flushes", 1);
            self.drain()?;
        }
        Ok(())
    }

    /// Sends a super-frame and expects what must come of it.
    pub fn offer(&mut self, frame: &SuperFrame) -> Result<(), Error> {
        self.queue(frame);
        self.run_down(4000)
    }

    /// The same without running.
    pub fn queue(&mut self, frame: &SuperFrame) {
        let [tso4, tso6, ecn, uso] = self.features;
        let tcp_ecn = frame.hdr.gso_type & GSO_ECN == 0 || ecn;
        let negotiated = match frame.hdr.gso_type & !GSO_ECN {
            GSO_TCPV4 => tso4 && tcp_ecn,
            GSO_TCPV6 => tso6 && tcp_ecn,
            GSO_UDP_L4 => uso && frame.hdr.gso_type & GSO_ECN == 0,
            _ => false,
        };
        self.send(frame);
        if !negotiated {
            self.report.add("not negotiated", 1);
            // What could not be a frame is dropped when it would have to be stored.
            if frame.bytes.len() > self.max_frame {
                self.expected.push_back(Expected {
                    bytes: frame.bytes.clone(),
                    header: Some(frame.hdr.bytes()),
                    cut: Some(self.frames),
                });
                self.malformed[0] += 1;
            } else {
                self.expect_through(frame.hdr, frame.bytes.clone());
            }
        } else if let Some(segments) = frame.segments(self.max_frame) {
            self.gso[0] += 1;
            self.report.add("segmented", 1);
            self.report.add("segments", segments.len() as u64);
            for (what, hit) in [
                ("ECN", frame.hdr.gso_type & GSO_ECN != 0),
                ("TSO4", frame.hdr.gso_type & !GSO_ECN == GSO_TCPV4),
                ("TSO6", frame.hdr.gso_type & !GSO_ECN == GSO_TCPV6),
                ("USO", frame.hdr.gso_type == GSO_UDP_L4),
                ("one segment", segments.len() == 1),
                ("60 KB and more", frame.bytes.len() > 60_000),
            ] {
                self.report.add(what, hit.into());
            }
            self.expected
                .extend(segments.into_iter().map(|bytes| Expected {
                    bytes,
                    header: None,
                    cut: None,
                }));
        } else {
            self.malformed[0] += 1;
            self.report.add("segments too long", 1);
        }
    }

    /// Sends a super-frame whose segments are known.
    ///
    /// `header` are the first 10 bytes of `struct virtio_net_hdr`.
    pub fn queue_known(
        &mut self,
        header: &[u8],
        frame: &[u8],
        segments: Vec<Vec<u8>>,
    ) -> Result<(), Error> {
        let mut stream = [header, &[0, 0]].concat();
        stream.extend(frame);
        let beats = axis::beats(&stream, &mut self.rng);
        self.source
            .extend(beats.into_iter().map(|beat| (beat, false)));
        self.frames += 1;
        self.gso[0] += 1;
        self.report.add("segments", segments.len() as u64);
        self.expected
            .extend(segments.into_iter().map(|bytes| Expected {
                bytes,
                header: None,
                cut: None,
            }));
        self.run_down(1000)
    }

    fn send(&mut self, frame: &SuperFrame) {
        self.send_bytes(frame.hdr, &frame.bytes, false);
    }

    fn send_bytes(&mut self, hdr: NetHdr, bytes: &[u8], abort: bool) {
        let mut stream = hdr.bytes().to_vec();
        if self.hash_hdr {
            stream.extend(self.rng.random::<[u8; 8]>());
        }
        stream.extend(bytes);
        let beats = axis::beats(&stream, &mut self.rng);
        self.source
            .extend(beats.into_iter().map(|beat| (beat, abort && beat.last)));
        self.frames += 1;
    }

    /// Runs until at most `left` beats wait to be sent.
    fn run_down(&mut self, left: usize) -> Result<(), Error> {
        let limit = self.dut.cycle() + STUCK;
        while self.source.len() > left {
            self.cycle()?;
            self.give_up_after(limit)?;
        }
        Ok(())
    }

    /// Runs until everything is out, and compares the counts.
    pub fn drain(&mut self) -> Result<(), Error> {
        let limit = self.dut.cycle() + STUCK;
        while self.asleep.is_none() || !self.source.is_empty() {
            self.cycle()?;
            self.give_up_after(limit)?;
        }
        let lost = self.expected.iter().find(|e| e.cut.is_none());
        if let Some(lost) = lost {
            return Err(self.mismatch(format!("lost a frame of {} bytes", lost.bytes.len())));
        }
        // Frames that were too long to be stored and went through nevertheless.
        self.expected.clear();
        for (what, [expected, seen]) in [
            ("malformed_o", self.malformed),
            ("gso_o", self.gso),
            ("segment_o", self.segments),
        ] {
            if expected != seen {
                return Err(self.mismatch(format!("{what}: {seen} pulses, {expected} expected")));
            }
        }
        Ok(())
    }

    fn give_up_after(&self, limit: u64) -> Result<(), Error> {
        if self.dut.cycle() <= limit {
            return Ok(());
        }
        let (left, to_come) = (self.source.len(), self.expected.len());
        Err(self.mismatch(format!(
            "stuck: {left} beats left, {to_come} frames to come"
        )))
    }

    pub fn cycle(&mut self) -> Result<(), Error> {
        match self.cycle_unchecked(false)? {
            Some((frame, false)) => self.compare(&frame),
            _ => Ok(()),
        }
    }

    /// One cycle; the frame that ended in it and whether it was aborted.
    fn cycle_unchecked(&mut self, flush: bool) -> Result<Option<(Vec<u8>, bool)>, Error> {
        self.offered = !self.source.is_empty() && (self.offered || !self.rng.random_bool(self.gap));
        let ready = !self.rng.random_bool(self.stall);
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        i[port::FLUSH_I] = flush.into();
        let features = [port::TSO4_I, port::TSO6_I, port::ECN_I, port::USO_I];
        for (pin, on) in features.into_iter().zip(self.features) {
            i[pin] = on.into();
        }
        i[port::HASH_HDR_I] = self.hash_hdr.into();
        i[port::MAX_FRAME_I] = self.max_frame as u64;
        i[port::M_AXIS_TREADY_I] = ready.into();
        i[port::S_AXIS_TDATA_I] = self.rng.next_u64();
        if let Some((beat, abort)) = self.source.front().filter(|_| self.offered) {
            i[port::S_AXIS_TVALID_I] = 1;
            i[port::S_AXIS_TDATA_I] = beat.data;
            i[port::S_AXIS_TKEEP_I] = beat.keep.into();
            i[port::S_AXIS_TLAST_I] = beat.last.into();
            i[port::S_AXIS_TUSER_I] = (*abort).into();
        }
        self.dut.step(&i, &mut o)?;

        let offered = self.offered;
        let state = [
            port::M_AXIS_TVALID_O,
            port::MALFORMED_O,
            port::GSO_O,
            port::SEGMENT_O,
            port::BUSY_O,
        ]
        .map(|pin| o[pin]);
        if !offered && self.asleep.is_some_and(|before| before != state) {
            return Err(self.mismatch(format!("changed to {state:?} without busy_o")));
        }
        self.asleep = (o[port::BUSY_O] == 0 && !flush && !offered).then_some(state);
        self.report
            .add("cycles asleep", self.asleep.is_some().into());

        if offered && o[port::S_AXIS_TREADY_O] == 1 {
            self.source.pop_front();
            self.offered = false;
        }
        self.malformed[1] += o[port::MALFORMED_O];
        self.gso[1] += o[port::GSO_O];
        self.segments[1] += o[port::SEGMENT_O];

        let beat = (o[port::M_AXIS_TVALID_O] == 1).then(|| {
            let beat = Beat {
                data: o[port::M_AXIS_TDATA_O],
                keep: o[port::M_AXIS_TKEEP_O] as u8,
                last: o[port::M_AXIS_TLAST_O] == 1,
            };
            (beat, o[port::M_AXIS_TUSER_O] == 1)
        });
        if self.stalled.is_some() && beat != self.stalled {
            return Err(self.mismatch("a beat changed while tready was low".into()));
        }
        self.stalled = beat.filter(|_| !ready && !flush);
        let Some((beat, abort)) = beat.filter(|_| ready) else {
            return Ok(None);
        };
        match self.collector.push(beat) {
            Ok(frame) => Ok(frame.map(|frame| (frame, abort))),
            Err(message) => Err(self.mismatch(message)),
        }
    }

    fn compare(&mut self, frame: &[u8]) -> Result<(), Error> {
        let short = frame.len() < 12;
        let (header, bytes) = frame.split_at(frame.len().min(12));
        loop {
            let Some(expected) = self.expected.pop_front() else {
                return Err(self.mismatch(format!("a frame of {} bytes too many", bytes.len())));
            };
            let (complete, header_right) = match expected.header {
                Some(through) => (bytes.to_vec(), header == through),
                None => match self.complete(header, bytes) {
                    Ok(complete) => (complete, true),
                    Err(message) if expected.cut.is_none() => return Err(self.mismatch(message)),
                    Err(_) => (vec![], false),
                },
            };
            if complete == expected.bytes && header_right && !short {
                if expected.header.is_none() {
                    self.segments[0] += 1;
                } else if expected.cut.is_some() {
                    // Too long, and yet it went through: what comes next drops and counts it.
                    self.malformed[0] -= 1;
                }
                return Ok(());
            }
            // Of a cut frame nothing comes behind a segment that is missing.
            if let Some(cut) = expected.cut {
                self.expected.retain(|e| e.cut != Some(cut));
                continue;
            }
            let differ = expected
                .bytes
                .iter()
                .zip(&complete)
                .position(|(a, b)| a != b);
            return Err(self.mismatch(format!(
                "{} bytes instead of {}, the first difference at {differ:?}, header {header:x?}",
                complete.len(),
                expected.bytes.len()
            )));
        }
    }

    /// Does what the header of a segment asks for (5.1.6.2, NEEDS_CSUM).
    fn complete(&self, header: &[u8], bytes: &[u8]) -> Result<Vec<u8>, String> {
        let le16 = |at: usize| usize::from(header[at]) | usize::from(header[at + 1]) << 8;
        let (start, offset) = (le16(6), le16(8));
        let rest = [0, 2, 3, 4, 5, 10, 11].map(|at| header[at]);
        if header[1] != GSO_NONE || rest != [NEEDS_CSUM, 0, 0, 0, 0, 0, 0] {
            return Err(format!("header {header:x?} of a segment"));
        }
        if bytes.len() > self.max_frame || start + offset + 2 > bytes.len() {
            return Err(format!("{} bytes, checksum at {start}", bytes.len()));
        }
        let mut bytes = bytes.to_vec();
        let csum = !inet::sum(&bytes[start..]);
        let csum = if csum == 0 && offset == 6 {
            0xffff
        } else {
            csum
        };
        bytes[start + offset..start + offset + 2].copy_from_slice(&csum.to_be_bytes());
        Ok(bytes)
    }

    pub fn mismatch(&self, message: String) -> Error {
        self.dut.mismatch(message)
    }

    /// Cycles so far, for rates.
    pub fn now(&self) -> u64 {
        self.dut.cycle()
    }

    /// Beats that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.source.len()
    }

    /// Frames that are still to come.
    pub fn to_come(&self) -> usize {
        self.expected.len()
    }
}
