//! `rx_csum`: the stream must come out unaltered after a fixed time, with the right verdict.

use crate::{
    Error, Options, Report,
    axis::{self, Beat},
    block::rx_csum as port,
    dut::Dut,
    frames::{self, Frame, Shape},
    inet,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Cycles from a beat in to the same beat out, as the block's contract says.
const LATENCY: u64 = 8;

struct Expected {
    cycle: u64,
    beat: Beat,
    user: bool,
    csum_valid: bool,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    expected: VecDeque<Expected>,
    /// Chance of an idle cycle after a beat.
    gap: f64,
    report: Report,
}

pub(super) fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        dut: Dut::open(port::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        expected: VecDeque::new(),
        gap: 0.0,
        report: Report::default(),
    };
    bench.every_length()?;
    bench.every_byte_flipped(options.effort)?;
    bench.small_segments()?;
    for round in 0..6 * options.effort {
        bench.gap = [0.0, 0.0, 0.3][round as usize % 3];
        bench.random_frames(400)?;
    }
    bench.noise(500 * options.effort)?;
    bench.idle(LATENCY + 1)?;
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    fn every_length(&mut self) -> Result<(), Error> {
        for payload in (0..=1480).chain(8900..=8916) {
            let ipv6 = self.rng.random();
            let tcp = self.rng.random();
            let tags = self.rng.random_range(0..=2);
            let shape = Shape {
                ipv6,
                tcp,
                tags,
                payload,
                ..Shape::default()
            };
            let frame = frames::build(&shape, &mut self.rng);
            self.intact(&frame)?;
            // The smallest mistakes, at the lengths where the sum carries most often.
            if payload < 600 && payload & 0xff > 0xd0 {
                for off in [1, !0, 0x100, !0xff] {
                    let bytes = self.checksum_off_by(off, &frame);
                    let verified = inet::transport_verified(&bytes);
                    self.send(&bytes, verified)?;
                }
            }
        }
        Ok(())
    }

    fn checksum_off_by(&self, off: u16, frame: &Frame) -> Vec<u8> {
        let mut bytes = frame.bytes.clone();
        let field = frame.l4 + frame.csum_offset;
        let csum = u16::from_be_bytes([bytes[field], bytes[field + 1]]).wrapping_add(off);
        bytes[field..field + 2].copy_from_slice(&csum.to_be_bytes());
        bytes
    }

    /// Changes each byte of some frames; whether it is covered is known from the frame's layout.
    fn every_byte_flipped(&mut self, effort: u32) -> Result<(), Error> {
        for round in 0..8 * effort {
            let shape = Shape {
                tags: (round % 3) as u8,
                ipv6: round % 2 == 1,
                tcp: round % 4 >= 2,
                ip_options: (round % 5) as u8,
                payload: self.rng.random_range(0..60),
                ..Shape::default()
            };
            let mut frame = frames::build(&shape, &mut self.rng);
            let end = frame.bytes.len();
            self.pad(&mut frame.bytes);
            for at in 0..frame.bytes.len() {
                let covered = (frame.l3 - 2..end).contains(&at)
                    || (0..frame.l3 - 2).contains(&at) && at >= 12 && (at - 12) % 4 < 2;
                let mut damaged = frame.bytes.clone();
                // The version is covered, the traffic class and the flow label are not, and neither
                // is the hop limit (RFC 8200 8.1).
                let (covered, damage) = match at.checked_sub(frame.l3) {
                    Some(0) if shape.ipv6 => {
                        let version = self.rng.random();
                        (
                            version,
                            self.rng.random_range(1..16) << (4 * u8::from(version)),
                        )
                    }
                    Some(1..=3 | 7) if shape.ipv6 => (false, self.rng.random_range(1..=255)),
                    _ => (covered, self.rng.random_range(1..=255)),
                };
                damaged[at] ^= damage;
                if inet::transport_verified(&damaged) == covered {
                    return Err(self.mismatch(format!(
                        "the reference says otherwise: byte {at} of {shape:?} changed by {damage:#x}"
                    )));
                }
                self.send(&damaged, !covered)?;
                self.report.add("flipped", 1);
            }
        }
        Ok(())
    }

    /// Frames of any shape, whole ones and all kinds of others.
    fn random_frames(&mut self, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            let case = self.rng.random_range(0..20);
            let mut shape = Shape::random(&mut self.rng, 1400);
            shape.fragment = case == 0;
            shape.tcp &= case != 1;
            shape.zeros = case == 3;
            if case == 2 {
                (shape.ipv6, shape.extensions) = (true, 3 | shape.extensions);
            }
            let frame = frames::build(&shape, &mut self.rng);
            match case {
                3..=6 => self.truncated(&frame)?,
                0..=12 => {
                    let (what, mut bytes) = self.disturbed(case, &frame);
                    self.pad(&mut bytes);
                    let verified = inet::transport_verified(&bytes);
                    self.send(&bytes, verified)?;
                    self.report.add(what, 1);
                }
                _ => self.intact(&frame)?,
            }
        }
        Ok(())
    }

    fn disturbed(&mut self, case: u32, frame: &Frame) -> (&'static str, Vec<u8>) {
        let mut bytes = frame.bytes.clone();
        let (l3, l4, csum_offset) = (frame.l3, frame.l4, frame.csum_offset);
        let what = match case {
            0 => "fragments",
            1 => {
                bytes[l4 + 6..l4 + 8].fill(0);
                "without checksum"
            }
            2 => {
                // Hop-by-hop options belong at the first place (RFC 8200 4.1), here they are second.
                (bytes[l3 + 6], bytes[l3 + 40]) = (60, 0);
                "misplaced options"
            }
            7 => {
                // A third tag hides the packet.
                bytes.splice(12..12, [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3]);
                "too many tags"
            }
            8 | 9 => {
                // Damage in the headers that the other fields can make good or not.
                let at = self.rng.random_range(12..l4 + 8);
                bytes[at] = self.rng.random();
                "damaged headers"
            }
            10 => {
                // Ones' complement sums cannot see this: two 16-bit words change places.
                if let Some(words) = bytes.get_mut(l4 + 8..l4 + 12) {
                    words.rotate_left(2);
                }
                "words swapped"
            }
            11 => {
                let off = [1, !0, 0x100, !0xff][self.rng.random_range(0..4)];
                bytes = self.checksum_off_by(off, frame);
                "checksum off by one"
            }
            _ => {
                // All ones and all zeros are the same number; only UDP takes zero for none.
                let field = l4 + csum_offset;
                let tail = bytes.len() - 2;
                if (bytes.len() - l4).is_multiple_of(2) && tail > field + 4 {
                    // The packet's last word absorbs the difference.
                    let old = u16::from_be_bytes([bytes[field], bytes[field + 1]]);
                    let word = inet::add(old, &bytes[tail..]);
                    bytes[field..field + 2].fill(if self.rng.random() { 0xff } else { 0 });
                    bytes[tail..].copy_from_slice(&word.to_be_bytes());
                }
                "checksum field 0 or 0xffff"
            }
        };
        (what, bytes)
    }

    /// Cut anywhere; what was cut off the last beat may still be on the bus, and must not count.
    fn truncated(&mut self, frame: &Frame) -> Result<(), Error> {
        // Beyond the headers, and just before the end, is where it matters most.
        let length = match self.rng.random_range(0..3) {
            0 => self.rng.random_range(1..40),
            1 => frame.bytes.len() - self.rng.random_range(1..17),
            _ => self.rng.random_range(1..frame.bytes.len()),
        };
        let mut beats = axis::beats(&frame.bytes, &mut self.rng);
        beats.truncate(length.div_ceil(8));
        if let Some(beat) = beats.last_mut() {
            beat.last = true;
            beat.keep = (0xff_u16 >> ((8 - length % 8) % 8)) as u8;
        }
        let verified = inet::transport_verified(&frame.bytes[..length]);
        self.send_beats(&beats, verified)?;
        self.report.add("truncated", 1);
        Ok(())
    }

    /// Transport packets of no or a few bytes whose sum is right, too short for their headers or not.
    fn small_segments(&mut self) -> Result<(), Error> {
        for length in 0..=26 {
            for round in 0..16 {
                let mut shape = Shape::random(&mut self.rng, 0);
                shape.ipv6 = round & 1 == 1;
                self.small_segment(&shape, [6, 17, 17, 1][round / 4], length)?;
            }
        }
        Ok(())
    }

    fn small_segment(&mut self, shape: &Shape, protocol: u8, length: usize) -> Result<(), Error> {
        let mut segment = vec![0; length];
        self.rng.fill_bytes(&mut segment);
        let length = segment.len() as u16;
        if let Some(udp_length) = segment.get_mut(4..6) {
            let wrong = self.rng.random_ratio(1, 4);
            udp_length.copy_from_slice(&(length ^ u16::from(wrong)).to_be_bytes());
        }
        let mut bytes = frames::build_segment(shape, protocol, &segment, &mut self.rng);
        self.pad(&mut bytes);
        let verified = inet::transport_verified(&bytes);
        self.send(&bytes, verified)?;
        self.report.add("small segments", 1);
        self.report.add("small segments verified", verified.into());
        Ok(())
    }

    /// Random bytes behind an EtherType or two, one-beat frames included.
    fn noise(&mut self, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            let length = self.rng.random_range(1..=120);
            let mut bytes = vec![0; length];
            self.rng.fill_bytes(&mut bytes);
            let types = [0x08_00u16, 0x86_dd, 0x81_00, 0x88_a8, 0x08_06, 0x00_2e];
            for at in [12, 16, 20] {
                let ethertype = types[self.rng.random_range(0..types.len())];
                if let Some(field) = bytes.get_mut(at..at + 2) {
                    field.copy_from_slice(&ethertype.to_be_bytes());
                }
            }
            let verified = inet::transport_verified(&bytes);
            self.send(&bytes, verified)?;
            self.report.add("noise", 1);
        }
        Ok(())
    }

    fn intact(&mut self, frame: &Frame) -> Result<(), Error> {
        let mut bytes = frame.bytes.clone();
        self.pad(&mut bytes);
        if !inet::transport_verified(&bytes) {
            return Err(self.mismatch(format!(
                "the reference refuses an intact frame {bytes:02x?}"
            )));
        }
        self.report.add("intact", 1);
        self.send(&bytes, true)
    }

    /// Ethernet padding, with garbage instead of zeros, sometimes more than needed.
    fn pad(&mut self, bytes: &mut Vec<u8>) {
        let least = if self.rng.random_ratio(1, 8) {
            bytes.len() + 9
        } else {
            60
        };
        while bytes.len() < least {
            bytes.push(self.rng.random());
        }
    }

    fn send(&mut self, frame: &[u8], csum_valid: bool) -> Result<(), Error> {
        let beats = axis::beats(frame, &mut self.rng);
        self.send_beats(&beats, csum_valid)
    }

    fn send_beats(&mut self, beats: &[Beat], csum_valid: bool) -> Result<(), Error> {
        let user = self.rng.random_ratio(1, 8);
        for &beat in beats {
            self.cycle(Some((beat, user && beat.last, csum_valid)))?;
            while self.gap > 0.0 && self.rng.random_bool(self.gap) {
                self.idle(1)?;
            }
        }
        self.report.add("frames", 1);
        self.report.add("verified", u64::from(csum_valid));
        Ok(())
    }

    fn idle(&mut self, cycles: u64) -> Result<(), Error> {
        (0..cycles).try_for_each(|_| self.cycle(None))
    }

    fn cycle(&mut self, beat: Option<(Beat, bool, bool)>) -> Result<(), Error> {
        let cycle = self.dut.cycle();
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        // Without tvalid the other signals are anything.
        i[port::S_AXIS_TDATA_I] = self.rng.next_u64();
        i[port::S_AXIS_TLAST_I] = 1;
        if let Some((beat, user, _)) = beat {
            i[port::S_AXIS_TVALID_I] = 1;
            i[port::S_AXIS_TDATA_I] = beat.data;
            i[port::S_AXIS_TKEEP_I] = beat.keep.into();
            i[port::S_AXIS_TLAST_I] = beat.last.into();
            i[port::S_AXIS_TUSER_I] = user.into();
        }
        self.dut.step(&i, &mut o)?;

        if (o[port::BUSY_O] == 1) == self.expected.is_empty() {
            return Err(self.mismatch(format!("busy_o {}", o[port::BUSY_O])));
        }
        let due = self
            .expected
            .front()
            .is_some_and(|e| e.cycle + LATENCY == cycle);
        if (o[port::M_AXIS_TVALID_O] == 1) != due {
            return Err(self.mismatch(format!("tvalid {}", o[port::M_AXIS_TVALID_O])));
        }
        if let Some(expected) = due.then(|| self.expected.pop_front()).flatten() {
            let mask = u64::MAX >> (64 - 8 * expected.beat.keep.count_ones());
            let same = o[port::M_AXIS_TDATA_O] & mask == expected.beat.data & mask
                && o[port::M_AXIS_TKEEP_O] == u64::from(expected.beat.keep)
                && o[port::M_AXIS_TLAST_O] == u64::from(expected.beat.last)
                && o[port::M_AXIS_TUSER_O] == u64::from(expected.user);
            if !same {
                return Err(self.mismatch(format!("{o:x?} instead of {:x?}", expected.beat)));
            }
            if expected.beat.last && o[port::CSUM_VALID_O] != u64::from(expected.csum_valid) {
                let message = format!("csum_valid_o {}", o[port::CSUM_VALID_O]);
                return Err(self.mismatch(message));
            }
        }
        if let Some((beat, user, csum_valid)) = beat {
            self.expected.push_back(Expected {
                cycle,
                beat,
                user,
                csum_valid,
            });
        }
        Ok(())
    }

    fn mismatch(&self, message: String) -> Error {
        self.dut.mismatch(message)
    }
}
