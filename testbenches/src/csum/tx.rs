//! `tx_csum`: what goes out must be what virtio 5.1.6.2 asks for, byte by byte, or nothing.

use crate::{
    Error, Options, Report,
    axis::{self, Beat, Collector},
    block::tx_csum as port,
    dut::Dut,
    frames::{self, Shape},
    inet,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// `struct virtio_net_hdr` (virtio 5.1.6), the fields that are looked at.
#[derive(Debug, Clone, Copy, Default)]
struct NetHdr {
    flags: u8,
    gso_type: u8,
    csum_start: u16,
    csum_offset: u16,
}

const NEEDS_CSUM: u8 = 1;

/// Bytes of the longest frame that the block stores, whatever `max_frame_i` says.
const MAX_STORED: usize = (2048 - 16) * 8;

/// Cycles after which a block that still is not through never will be.
const STUCK: u64 = 200_000;

impl NetHdr {
    /// The header's 12 bytes; what is not looked at is random.
    fn bytes(self, rng: &mut impl Rng) -> [u8; 12] {
        let mut bytes: [u8; 12] = rng.random();
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        bytes[6..8].copy_from_slice(&self.csum_start.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.csum_offset.to_le_bytes());
        bytes
    }
}

/// What is to come of a header and a frame: the frame, and whether a checksum was put in.
fn reference(hdr: NetHdr, frame: &[u8], csum_en: bool, max: usize) -> Option<(Vec<u8>, bool)> {
    if hdr.gso_type != 0 || frame.len() < 14 || frame.len() > max.min(MAX_STORED) {
        return None;
    }
    let mut frame = frame.to_vec();
    if hdr.flags & NEEDS_CSUM == 0 {
        return Some((frame, false));
    }
    let start = usize::from(hdr.csum_start);
    let at = start + usize::from(hdr.csum_offset);
    if !csum_en || at + 2 > frame.len() {
        return None;
    }
    let mut csum = !inet::sum(&frame[start..]);
    if hdr.csum_offset == 6 && csum == 0 {
        csum = 0xffff; // RFC 768: zero would say that there is none
    }
    frame[at..at + 2].copy_from_slice(&csum.to_be_bytes());
    Some((frame, true))
}

struct Expected {
    frame: Vec<u8>,
    /// A flush came when its readout may or may not have begun.
    optional: bool,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    csum_en: bool,
    max_frame: usize,
    /// Beats, and whether tuser is to be set.
    source: VecDeque<(Beat, bool)>,
    offered: bool,
    expected: VecDeque<Expected>,
    collector: Collector,
    /// A beat on the output that was not taken.
    stalled: Option<Beat>,
    /// Chance that the source has nothing in a cycle, and that the sink is not ready.
    gap: f64,
    stall: f64,
    malformed: [u64; 2], // expected, seen
    inserted: [u64; 2],
    free_words: u64,
    /// The outputs of a cycle without input and busy_o, which the next one must have too.
    asleep: Option<[u64; port::OUT_WORDS]>,
    report: Report,
}

pub(super) fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        dut: Dut::open(port::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        csum_en: true,
        max_frame: 9216,
        source: VecDeque::new(),
        offered: false,
        expected: VecDeque::new(),
        collector: Collector::default(),
        stalled: None,
        gap: 0.0,
        stall: 0.0,
        malformed: [0; 2],
        inserted: [0; 2],
        free_words: 0,
        asleep: None,
        report: Report::default(),
    };
    bench.every_length()?;
    bench.real_packets(300 * options.effort)?;
    bench.udp_zero()?;
    for round in 0..6 * options.effort {
        (bench.gap, bench.stall) = [(0.0, 0.0), (0.3, 0.1), (0.0, 0.5)][round as usize % 3];
        bench.csum_en = round % 4 != 3;
        bench.max_frame = [1514, 9216, 65535][round as usize % 3];
        bench.random_frames(300)?;
    }
    (bench.gap, bench.stall, bench.csum_en, bench.max_frame) = (0.0, 0.0, true, 9216);
    bench.latency()?;
    bench.no_gap_between_frames()?;
    bench.credit()?;
    bench.flush_of_stored()?;
    for _ in 0..60 * options.effort {
        bench.random_flush()?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    /// All short lengths with the checksum at every place, and long frames at the limits.
    fn every_length(&mut self) -> Result<(), Error> {
        for length in 14..=180 {
            for start in 0..length - 1 {
                if start > 40 && start % 7 != length % 7 {
                    continue;
                }
                let most = length - 2 - start;
                let offset = if start % 3 == 0 {
                    most
                } else {
                    self.rng.random_range(0..=most)
                };
                let (csum_start, csum_offset) = (start as u16, offset as u16);
                let hdr = NetHdr {
                    flags: NEEDS_CSUM,
                    csum_start,
                    csum_offset,
                    gso_type: 0,
                };
                self.random_frame(hdr, length)?;
            }
        }
        for length in (181..=1600).chain(9200..=9216) {
            let start = self.rng.random_range(0..=length - 2);
            let csum_offset = self.rng.random_range(0..=length - 2 - start) as u16;
            let csum_start = start as u16;
            let hdr = NetHdr {
                flags: NEEDS_CSUM,
                csum_start,
                csum_offset,
                gso_type: 0,
            };
            self.random_frame(hdr, length)?;
        }
        self.drain()
    }

    /// Frames of another library, with the pseudo-header's sum in the field, must come out as built.
    fn real_packets(&mut self, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            let shape = Shape::random(&mut self.rng, 1400);
            let built = frames::build(&shape, &mut self.rng);
            let mut frame = built.bytes.clone();
            let field = built.l4 + built.csum_offset;
            frame[field..field + 2].fill(0);
            // What is missing to the right sum is the pseudo-header's.
            let whole = u16::from_be_bytes([built.bytes[field], built.bytes[field + 1]]);
            let pseudo = inet::add(!whole, &(!inet::sum(&frame[built.l4..])).to_be_bytes());
            frame[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
            let hdr = NetHdr {
                flags: NEEDS_CSUM,
                gso_type: 0,
                csum_start: built.l4 as u16,
                csum_offset: built.csum_offset as u16,
            };
            self.offer(hdr, &frame)?;
            let sent = self.expected.back().map(|e| &e.frame);
            if sent.is_none_or(|sent| !inet::transport_verified(sent) || *sent != built.bytes) {
                return Err(self.mismatch("the reference differs from the library".into()));
            }
            self.report.add("real packets", 1);
        }
        self.drain()
    }

    /// Sums of all ones: a checksum of zero, sent as 0xffff for UDP only.
    fn udp_zero(&mut self) -> Result<(), Error> {
        for round in 0..64 {
            let length = self.rng.random_range(60..100);
            let start = self.rng.random_range(14..30);
            let csum_offset = [6, 16][round % 2];
            let mut frame = vec![0; length];
            self.rng.fill_bytes(&mut frame);
            let rest = start + 2..length;
            let word = !inet::sum(&[&[0, 0], &frame[rest]].concat());
            frame[start..start + 2].copy_from_slice(&word.to_be_bytes());
            let hdr = NetHdr {
                flags: NEEDS_CSUM,
                gso_type: 0,
                csum_start: start as u16,
                csum_offset,
            };
            self.offer(hdr, &frame)?;
            let at = start + usize::from(csum_offset);
            let field = self.expected.back().map(|e| [e.frame[at], e.frame[at + 1]]);
            if field != Some(if csum_offset == 6 { [0xff; 2] } else { [0; 2] }) {
                return Err(self.mismatch(format!("zero became {field:x?}")));
            }
            self.report.add("UDP zero", u64::from(csum_offset == 6));
        }
        self.drain()
    }

    /// Any header, any length, nonsense included.
    fn random_frames(&mut self, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            let length = match self.rng.random_range(0..20) {
                0 => self.rng.random_range(0..16),
                1 => self.max_frame - 4 + self.rng.random_range(0..8),
                2 => self.rng.random_range(14..=9300),
                _ => self.rng.random_range(14..=300),
            };
            let edge = length.saturating_sub(self.rng.random_range(0..6)) as u16;
            let hdr = NetHdr {
                flags: self.rng.random_range(0..=255),
                gso_type: if self.rng.random_ratio(1, 12) {
                    self.rng.random()
                } else {
                    0
                },
                csum_start: match self.rng.random_range(0..8) {
                    0 => self.rng.random(),
                    1 => edge,
                    _ => self.rng.random_range(0..=length as u16 / 2),
                },
                csum_offset: match self.rng.random_range(0..8) {
                    0 => self.rng.random(),
                    1 => edge / 2,
                    _ => [6, 16][self.rng.random_range(0..2)],
                },
            };
            if self.rng.random_ratio(1, 20) {
                // Not even a header.
                let short = self.rng.random_range(1..=12);
                let bytes = hdr.bytes(&mut self.rng);
                self.send(&bytes[..short], false);
                self.malformed[0] += 1;
                self.report.add("within the header", 1);
            } else if self.rng.random_ratio(1, 10) {
                // Cut by an error, which is counted where it happened: dropped.
                let mut bytes = vec![0; 12 + length];
                self.rng.fill_bytes(&mut bytes);
                self.send(&bytes, true);
                self.report.add("aborted", 1);
            } else {
                self.random_frame(hdr, length)?;
            }
        }
        self.drain()
    }

    fn send(&mut self, bytes: &[u8], abort: bool) {
        let beats = axis::beats(bytes, &mut self.rng);
        let last = |beat: &Beat| abort && beat.last;
        self.source
            .extend(beats.into_iter().map(|beat| (beat, last(&beat))));
    }

    /// Cycles from the last beat in to the first word out, as the contract says.
    fn latency(&mut self) -> Result<(), Error> {
        for (flags, length, expected) in [
            (0, 62, 8),
            (0, 64, 8),
            (0, 65, 9),
            (NEEDS_CSUM, 62, 9),
            (NEEDS_CSUM, 60, 10),
        ] {
            let hdr = NetHdr {
                flags,
                ..NetHdr::default()
            };
            self.random_frame(hdr, length)?;
            while !self.source.is_empty() {
                self.cycle(false)?;
            }
            let start = self.dut.cycle() - 1;
            while !self.collector.inside() {
                self.cycle(false)?;
                self.give_up_after(start + 100)?;
            }
            let latency = self.dut.cycle() - 1 - start;
            if latency != expected {
                return Err(self.mismatch(format!("{latency} cycles, {length} bytes, {flags}")));
            }
            self.drain()?;
        }
        Ok(())
    }

    /// Frames that wait in the store leave in as many cycles as they have words.
    fn no_gap_between_frames(&mut self) -> Result<(), Error> {
        self.stall = 1.0;
        let mut words = 0;
        for length in [17, 17, 18, 24, 25, 17, 60, 64, 17, 100] {
            let hdr = NetHdr {
                flags: NEEDS_CSUM,
                ..NetHdr::default()
            };
            self.random_frame(hdr, length)?;
            words += length.div_ceil(8) as u32;
        }
        self.cycles(300)?;
        self.stall = 0.0;
        self.cycles(words)?;
        if !self.expected.is_empty() {
            return Err(self.mismatch(format!("{} frames late", self.expected.len())));
        }
        self.drain()
    }

    /// As many beats as `free_words_o` says must be taken one after the other, the output being stuck.
    fn credit(&mut self) -> Result<(), Error> {
        for lengths in [14..15, 14..80, 60..61, 9216..9217, 14..9216] {
            let stuck = self.stall;
            self.stall = 1.0;
            let mut taken = 0;
            self.cycles(8)?;
            while self.free_words > 0 {
                let credit = self.free_words;
                while (self.source.len() as u64) < credit {
                    let length = self.rng.random_range(lengths.clone());
                    self.random_frame(NetHdr::default(), length)?;
                }
                let rest = self.source.split_off(credit as usize);
                for _ in 0..credit {
                    let left = self.source.len();
                    self.cycle(false)?;
                    if self.source.len() == left {
                        return Err(self.mismatch(format!("tready fell within {credit} words")));
                    }
                }
                self.source.extend(rest);
                taken += credit;
                // What is on its way gets stored.
                let waiting = std::mem::take(&mut self.source);
                self.cycles(8)?;
                self.source = waiting;
            }
            self.report.add("words on credit", taken);
            self.stall = stuck;
            self.drain()?;
        }
        Ok(())
    }

    /// Of frames in store, only the one that is being read out survives.
    fn flush_of_stored(&mut self) -> Result<(), Error> {
        self.stall = 1.0;
        for _ in 0..6 {
            self.random_frame(NetHdr::default(), 100)?;
        }
        self.cycles(120)?;
        self.cycle(true)?;
        self.expected.truncate(1);
        self.stall = 0.0;
        self.random_frame(NetHdr::default(), 90)?;
        self.report.add("flushes", 1);
        self.drain()
    }

    /// A flush in any moment: a frame on its way out is completed, everything else is gone.
    fn random_flush(&mut self) -> Result<(), Error> {
        (self.gap, self.stall) = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4)][self.rng.random_range(0..3)];
        for _ in 0..8 {
            let length = self.rng.random_range(14..200);
            let hdr = NetHdr {
                flags: NEEDS_CSUM,
                csum_start: 3,
                csum_offset: 8,
                gso_type: 0,
            };
            self.random_frame(hdr, length)?;
        }
        let cycles = self.rng.random_range(0..200);
        self.cycles(cycles)?;
        let sending = self.collector.inside() || self.stalled.is_some();
        let taken_before = self.expected.len();
        self.cycle(true)?;
        self.source.clear();
        self.offered = false;
        // In the flush's own cycle the frame may have ended.
        let sending = sending && self.expected.len() == taken_before;
        self.expected.truncate(1 + usize::from(sending));
        if let Some(next) = self.expected.get_mut(usize::from(sending)) {
            next.optional = true;
        }
        self.random_frame(NetHdr::default(), 77)?;
        self.report.add("flushes", 1);
        // How many began to go out is not known.
        self.drain_frames()?;
        self.inserted[0] = self.inserted[1];
        self.drain()
    }

    fn random_frame(&mut self, hdr: NetHdr, length: usize) -> Result<(), Error> {
        let mut frame = vec![0; length];
        self.rng.fill_bytes(&mut frame);
        self.offer(hdr, &frame)
    }

    /// Queues a frame for the source and what must come of it; runs while much is waiting.
    fn offer(&mut self, hdr: NetHdr, frame: &[u8]) -> Result<(), Error> {
        let bytes = [&hdr.bytes(&mut self.rng), frame].concat();
        self.send(&bytes, false);
        match reference(hdr, frame, self.csum_en, self.max_frame) {
            Some((frame, inserted)) => {
                self.expected.push_back(Expected {
                    frame,
                    optional: false,
                });
                self.inserted[0] += u64::from(inserted);
                self.report.add(
                    if inserted {
                        "inserted"
                    } else {
                        "not asked for"
                    },
                    1,
                );
            }
            None => {
                self.malformed[0] += 1;
                self.report.add("malformed", 1);
                self.report
                    .add("too long", u64::from(frame.len() > self.max_frame));
            }
        }
        let limit = self.dut.cycle() + STUCK;
        while self.stall < 1.0 && self.source.len() > 4000 {
            self.cycle(false)?;
            self.give_up_after(limit)?;
        }
        Ok(())
    }

    fn cycles(&mut self, count: u32) -> Result<(), Error> {
        (0..count).try_for_each(|_| self.cycle(false))
    }

    /// Runs until everything is out.
    fn drain_frames(&mut self) -> Result<(), Error> {
        let limit = self.dut.cycle() + STUCK;
        self.cycles(8)?;
        // A beat taken in a cycle makes the block busy in the next one only.
        while self.asleep.is_none() || !self.source.is_empty() {
            self.cycle(false)?;
            self.give_up_after(limit)?;
        }
        self.expected.retain(|e| !e.optional);
        if let Some(lost) = self.expected.front() {
            return Err(self.mismatch(format!("lost a frame of {} bytes", lost.frame.len())));
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

    /// Runs until everything is out, and compares the counts.
    fn drain(&mut self) -> Result<(), Error> {
        self.drain_frames()?;
        for (what, [expected, seen]) in [
            ("malformed_o", self.malformed),
            ("csum_inserted_o", self.inserted),
        ] {
            if expected != seen {
                return Err(self.mismatch(format!("{what}: {seen} pulses, {expected} expected")));
            }
        }
        Ok(())
    }

    fn cycle(&mut self, flush: bool) -> Result<(), Error> {
        self.offered = !self.source.is_empty() && (self.offered || !self.rng.random_bool(self.gap));
        let ready = !self.rng.random_bool(self.stall);
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        i[port::FLUSH_I] = flush.into();
        i[port::CSUM_EN_I] = self.csum_en.into();
        i[port::MAX_FRAME_I] = self.max_frame as u64;
        i[port::M_AXIS_TREADY_I] = ready.into();
        i[port::S_AXIS_TDATA_I] = self.rng.next_u64();
        if let Some((beat, abort)) = self.source.front().filter(|_| self.offered) {
            i[port::S_AXIS_TUSER_I] = (*abort).into();
            i[port::S_AXIS_TVALID_I] = 1;
            i[port::S_AXIS_TDATA_I] = beat.data;
            i[port::S_AXIS_TKEEP_I] = beat.keep.into();
            i[port::S_AXIS_TLAST_I] = beat.last.into();
        }
        self.dut.step(&i, &mut o)?;

        if self.asleep.is_some_and(|before| before != o) {
            return Err(self.mismatch(format!("changed to {o:x?} without busy_o")));
        }
        self.asleep = (o[port::BUSY_O] == 0 && !flush && !self.offered).then_some(o);
        self.report
            .add("cycles asleep", self.asleep.is_some().into());

        if self.offered && o[port::S_AXIS_TREADY_O] == 1 {
            self.source.pop_front();
            self.offered = false;
        }
        self.free_words = o[port::FREE_WORDS_O];
        self.malformed[1] += o[port::MALFORMED_O];
        self.inserted[1] += o[port::CSUM_INSERTED_O];

        let beat = (o[port::M_AXIS_TVALID_O] == 1).then(|| Beat {
            data: o[port::M_AXIS_TDATA_O],
            keep: o[port::M_AXIS_TKEEP_O] as u8,
            last: o[port::M_AXIS_TLAST_O] == 1,
        });
        if self.stalled.is_some() && beat != self.stalled {
            return Err(self.mismatch("a beat changed while tready was low".into()));
        }
        if self.collector.inside() && beat.is_none() {
            return Err(self.mismatch("a gap inside a frame".into()));
        }
        self.stalled = beat.filter(|_| !ready);
        if let Some(beat) = beat.filter(|_| ready) {
            match self.collector.push(beat) {
                Ok(Some(frame)) => self.compare(&frame)?,
                Ok(None) => {}
                Err(message) => return Err(self.mismatch(message)),
            }
        }
        Ok(())
    }

    fn compare(&mut self, frame: &[u8]) -> Result<(), Error> {
        if self
            .expected
            .front()
            .is_some_and(|e| e.optional && e.frame != frame)
        {
            self.expected.pop_front();
        }
        match self.expected.pop_front() {
            Some(expected) if expected.frame == frame => Ok(()),
            Some(expected) => {
                let differ = expected.frame.iter().zip(frame).position(|(a, b)| a != b);
                Err(self.mismatch(format!(
                    "{} bytes instead of {}, the first difference at {differ:?}",
                    frame.len(),
                    expected.frame.len()
                )))
            }
            None => Err(self.mismatch(format!("a frame of {} bytes too many", frame.len()))),
        }
    }

    fn mismatch(&self, message: String) -> Error {
        self.dut.mismatch(message)
    }
}
