//! Receive coalescing, `rx_offload`'s verdicts and `rx_coalesce` with a store between them: what comes
//! out, cut again, is what went in; and what may be merged is.

mod gso;
mod stream;

use crate::{
    Error, Options, Report, Testbench,
    axis::{self},
    block::{rx_coalesce as port, rx_offload as offload},
    dut::Dut,
};
use gso::Plain;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use stream::Stream;

/// Segmentation undoes coalescing.
pub const RX_COALESCE: Testbench = Testbench {
    name: "rx_coalesce",
    about: "TCP streams merged and cut again give the same frames; groups as the definition has them",
    run,
};

/// Cycles that a group waits: `Patience`.
const PATIENCE: u64 = 3125;

/// A frame in the store.
#[derive(Debug, Clone)]
struct Stored {
    bytes: Vec<u8>,
    /// `rx_meta_t`.
    meta: u64,
    /// A frame that the store did not take came just before.
    gap: bool,
}

/// `rx_frame_t`, a frame that comes out.
#[derive(Debug, Clone, Copy)]
struct Frame {
    words: [u64; 3],
}

impl Frame {
    /// Bits `at..at + width` of `rx_frame_t`.
    fn field(&self, at: usize, width: usize) -> usize {
        let bit = |at: usize| self.words[at / 64] >> (at % 64) & 1;
        (0..width).fold(0, |value, i| value | (bit(at + i) as usize) << i)
    }

    fn flags(&self) -> usize {
        self.field(0, 8)
    }

    fn gso_type(&self) -> usize {
        self.field(8, 8)
    }

    fn hdr_len(&self) -> usize {
        self.field(16, 16)
    }

    fn gso_size(&self) -> usize {
        self.field(32, 16)
    }

    fn csum(&self) -> (usize, usize) {
        (self.field(48, 16), self.field(64, 16))
    }

    fn hash(&self) -> usize {
        self.field(80, 32)
    }

    fn len(&self) -> usize {
        self.field(131, 17)
    }
}

/// How a round goes.
#[derive(Debug, Clone, Copy)]
struct Mood {
    /// Everything is in the store before the first frame is asked for, so groups are as large as they
    /// may be.
    all_there: bool,
    enable: bool,
    guest_csum: bool,
    /// Chance per cycle that the next frame is there; that the DMA side takes a frame, a word.
    arrive: f64,
    take_frame: f64,
    take_word: f64,
    hurry: f64,
    /// About as many of the bench's cycles make the time that a group waits.
    timeout: u64,
}

struct Bench {
    offload: Dut,
    dut: Dut,
    rng: ChaCha8Rng,
    mood: Mood,
    /// Frames that are to come, in the store, and whose meta was taken.
    coming: VecDeque<Stored>,
    metas: VecDeque<Stored>,
    words: VecDeque<u64>,
    open: VecDeque<Stored>,
    /// `deadline_o`.
    due: Option<u64>,
    /// Frames that came out, whose words are still to come.
    told: VecDeque<Frame>,
    got: Vec<u8>,
    /// Counted by pulses and not yet seen.
    coalesced: u64,
    lro: u64,
    before: Option<([u64; port::IN_WORDS], [u64; port::OUT_WORDS])>,
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        offload: Dut::open_variant(offload::NAME, options)?,
        dut: Dut::open(port::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        mood: Mood {
            all_there: true,
            enable: true,
            guest_csum: true,
            arrive: 1.0,
            take_frame: 1.0,
            take_word: 1.0,
            hurry: 0.0,
            timeout: 1,
        },
        coming: VecDeque::new(),
        metas: VecDeque::new(),
        words: VecDeque::new(),
        open: VecDeque::new(),
        due: None,
        told: VecDeque::new(),
        got: vec![],
        coalesced: 0,
        lro: 0,
        before: None,
        report: Report::default(),
    };
    for round in 0..120 * options.effort {
        bench.round(round)?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

/// Inputs but for the time, which goes on while the clock stands.
fn still(inputs: &[u64; port::IN_WORDS]) -> [u64; port::IN_WORDS] {
    let mut inputs = *inputs;
    inputs[port::CYCLE_I] = 0;
    inputs
}

impl Bench {
    fn round(&mut self, round: u32) -> Result<(), Error> {
        let rng = &mut self.rng;
        let mut chance = || [0.05, 0.5, 0.9, 1.0, 1.0][rng.random_range(0..5)];
        self.mood = Mood {
            all_there: round.is_multiple_of(3),
            enable: round.is_multiple_of(3) || round % 7 != 1,
            guest_csum: round % 5 != 4,
            arrive: chance() / 20.0,
            take_frame: chance(),
            take_word: chance(),
            hurry: [0.0, 0.0, 0.01][round as usize % 3],
            timeout: if round.is_multiple_of(3) {
                400
            } else {
                rng.random_range(1..400)
            },
        };
        // Segments from one byte to jumbo; long groups reach 64 KiB.
        let (longest, count, trouble) = match round % 6 {
            0 => (1460, 120, 0.01),
            1 => (8948, 30, 0.05),
            3 => (8948, 60, 0.005),
            2 => (60, 60, 0.1),
            _ => (600, 60, 0.3),
        };
        let frames = self.frames(longest, count, trouble);
        self.judge(frames)?;
        self.pass()
    }

    /// Some streams, in turns or one at a time.
    fn frames(&mut self, longest: usize, count: usize, trouble: f64) -> Vec<Vec<u8>> {
        let rng = &mut self.rng;
        let mut streams: Vec<Stream> = (0..rng.random_range(1..=2))
            .map(|_| Stream::new(rng, longest))
            .collect();
        let change = [0.0, 0.02, 0.5][rng.random_range(0..3)];
        let mut now = 0;
        let mut frames = vec![];
        for _ in 0..count {
            if rng.random_bool(change) {
                now = rng.random_range(0..streams.len());
            }
            let (what, frame) = streams[now].frame(rng, trouble);
            self.report.add(what, 1);
            frames.push(frame);
        }
        frames
    }

    /// Sends the frames through `rx_offload`, now and then without a cycle between them; those that the
    /// store takes are then to come.
    fn judge(&mut self, frames: Vec<Vec<u8>>) -> Result<(), Error> {
        let mut coming = VecDeque::new();
        let mut inside = VecDeque::new();
        for bytes in frames {
            let (lost, user) = (self.rng.random_ratio(1, 40), self.rng.random_ratio(1, 40));
            let mut gap = [0, 0, 1, 2, 10][self.rng.random_range(0..5)];
            coming.extend(std::iter::repeat_n(None, gap));
            gap = [0, 0, 0, 1][self.rng.random_range(0..4)];
            for beat in axis::beats(&bytes, &mut self.rng) {
                coming.extend(std::iter::repeat_n(None, self.rng.random_range(0..=gap)));
                coming.push_back(Some((beat, user)));
            }
            inside.push_back((bytes, lost, user));
        }
        let mut gap = false;
        let mut no_room = false;
        let mut quiet = 0;
        while !inside.is_empty() || quiet < 2 {
            quiet = if inside.is_empty() { quiet + 1 } else { 0 };
            let (mut i, mut o) = ([0; offload::IN_WORDS], [0; offload::OUT_WORDS]);
            i[offload::TSO4_I] = 1;
            i[offload::TSO6_I] = 1;
            // Hash and queue go along.
            i[offload::FLOW_I] = 1;
            i[offload::CFG_I + 2] = 0x1ff << 10;
            i[offload::RSS_KEY_I] = 0x1234_5678_9abc_def0;
            i[offload::NO_ROOM_I] = std::mem::take(&mut no_room).into();
            if let Some(Some((beat, user))) = coming.pop_front() {
                i[offload::S_AXIS_TVALID_I] = 1;
                i[offload::S_AXIS_TDATA_I] = beat.data;
                i[offload::S_AXIS_TKEEP_I] = beat.keep.into();
                i[offload::S_AXIS_TLAST_I] = beat.last.into();
                i[offload::S_AXIS_TUSER_I] = (beat.last && user).into();
            }
            self.offload.step(&i, &mut o)?;
            if o[offload::M_AXIS_TVALID_O] == 0 || o[offload::M_AXIS_TLAST_O] == 0 {
                continue;
            }
            let Some((bytes, lost, user)) = inside.pop_front() else {
                return Err(self.mismatch("a frame from nowhere came out of rx_offload".into()));
            };
            let meta = o[offload::META_O];
            if lost || user {
                self.report.add("not stored", 1);
                no_room = !user;
            } else {
                self.coming.push_back(Stored { bytes, meta, gap });
            }
            gap = lost || user;
        }
        Ok(())
    }

    /// Runs until everything came out.
    fn pass(&mut self) -> Result<(), Error> {
        if self.mood.all_there {
            // What comes before it is switched on passes as it is.
            for _ in 0..4 {
                self.cycle()?;
            }
            let all = std::mem::take(&mut self.coming);
            all.into_iter().for_each(|frame| self.arrive(frame));
        }
        let limit = self.dut.cycle() + 2_000_000;
        let mut quiet = 0;
        while quiet < 20 {
            self.cycle()?;
            let rest = self.coming.len() + self.metas.len() + self.open.len() + self.told.len();
            quiet = if rest == 0 { quiet + 1 } else { 0 };
            if self.dut.cycle() > limit {
                return Err(self.mismatch("frames stay inside".into()));
            }
        }
        if (self.lro, self.coalesced) != (0, 0) {
            let counted = format!("{} frames, {} segments too many", self.lro, self.coalesced);
            return Err(self.mismatch(counted));
        }
        Ok(())
    }

    fn arrive(&mut self, frame: Stored) {
        for beat in axis::beats(&frame.bytes, &mut self.rng) {
            self.words.push_back(beat.data);
        }
        self.metas.push_back(frame);
    }

    fn cycle(&mut self) -> Result<(), Error> {
        let now = self.dut.cycle();
        if !self.mood.all_there
            && self.rng.random_bool(self.mood.arrive)
            && let Some(frame) = self.coming.pop_front()
        {
            self.arrive(frame);
        }
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        i[port::ENABLE_I] = self.mood.enable.into();
        i[port::GUEST_CSUM_I] = self.mood.guest_csum.into();
        i[port::HURRY_I] = self.rng.random_bool(self.mood.hurry).into();
        if let Some(frame) = self.metas.front() {
            i[port::META_VALID_I] = 1;
            i[port::META_LEN_I] = frame.bytes.len() as u64;
            i[port::META_I] = frame.meta;
        }
        if let Some(word) = self.words.front() {
            i[port::DATA_VALID_I] = 1;
            i[port::DATA_I] = *word;
        }
        i[port::FRAME_READY_I] = self.rng.random_bool(self.mood.take_frame).into();
        let take = !self.told.is_empty() && self.rng.random_bool(self.mood.take_word);
        i[port::DATA_READY_I] = take.into();
        let wall = now * (PATIENCE / self.mood.timeout);
        let due = self.due.is_some_and(|deadline| wall >= deadline);
        // Of a deadline of before, which comes in the cycle behind its end at the latest: nobody must mind.
        let ended = self
            .before
            .is_some_and(|(_, o)| o[port::SET_O] | o[port::CLEAR_O] == 1);
        let stale = ended && self.rng.random();
        i[port::CYCLE_I] = wall;
        i[port::DUE_I] = (due || stale).into();
        self.dut.step(&i, &mut o)?;

        // The DMA side keeps the clock running while it takes something.
        if let Some((inputs, outputs)) = &self.before
            && outputs[port::BUSY_O] == 0
            && outputs[port::FRAME_VALID_O] & inputs[port::FRAME_READY_I] == 0
            && outputs[port::DATA_VALID_O] & inputs[port::DATA_READY_I] == 0
            && inputs[port::DUE_I] == 0
            && still(inputs) == still(&i)
            && *outputs != o
        {
            return Err(self.mismatch(format!("changed to {o:x?} without busy_o")));
        }
        let before = self.before.replace((i, o));

        self.report.add("timeouts", due.into());
        if due || o[port::CLEAR_O] == 1 {
            self.due = None;
        }
        if o[port::SET_O] == 1 {
            // The group began in the cycle before.
            let deadline = before.map(|(inputs, _)| inputs[port::CYCLE_I] + PATIENCE);
            if deadline != Some(o[port::DEADLINE_O]) {
                let text = format!("deadline {} for {deadline:?}", o[port::DEADLINE_O]);
                return Err(self.mismatch(text));
            }
            self.due = deadline;
        }
        self.coalesced += o[port::COALESCED_O];
        self.lro += o[port::LRO_O];
        if i[port::META_VALID_I] & o[port::META_READY_O] == 1 {
            self.open.extend(self.metas.pop_front());
        }
        if i[port::DATA_VALID_I] & o[port::DATA_READY_O] == 1 {
            self.words.pop_front();
        }
        // The frame is told before its first word is taken: also in the same cycle.
        if o[port::FRAME_VALID_O] & i[port::FRAME_READY_I] == 1 {
            let mut words = [0; 3];
            words.copy_from_slice(&o[port::FRAME_O..port::FRAME_O + 3]);
            self.told.push_back(Frame { words });
        }
        if o[port::DATA_VALID_O] == 1 && take {
            self.word(o[port::DATA_O])?;
        }
        Ok(())
    }

    fn word(&mut self, word: u64) -> Result<(), Error> {
        self.got.extend(word.to_le_bytes());
        let Some(frame) = self.told.front().copied() else {
            return Err(self.mismatch("a word without a frame".into()));
        };
        if self.got.len() >= frame.len() {
            let mut bytes = std::mem::take(&mut self.got);
            bytes.truncate(frame.len());
            self.told.pop_front();
            self.compare(frame, bytes)?;
        }
        Ok(())
    }

    /// A whole frame against those that the store gave.
    fn compare(&mut self, frame: Frame, bytes: Vec<u8>) -> Result<(), Error> {
        let Some(first) = self.open.front().cloned() else {
            return Err(self.mismatch("a frame from nowhere".into()));
        };
        if frame.hash() != (first.meta >> 24 & 0xffff_ffff) as usize {
            return Err(self.mismatch("another frame's hash".into()));
        }
        let place = gso::plain(&first.bytes);
        if frame.gso_type() == 0 {
            let verified = first.meta >> 63 == 1 && self.mood.guest_csum;
            let plain = [frame.flags(), frame.hdr_len(), frame.gso_size()];
            if bytes != first.bytes || plain != [usize::from(verified) << 1, 0, 0] {
                return Err(self.mismatch(format!("{plain:?} {bytes:02x?} of {first:02x?}")));
            }
            self.open.pop_front();
            self.report.add("alone", 1);
            return self.largest(&[first.bytes]);
        }
        let Some(place) = place.filter(|_| self.mood.enable) else {
            return Err(self.mismatch(format!("nothing to merge with: {first:02x?}")));
        };
        let parts = self.cut(frame, bytes, &place)?;
        for part in &parts {
            let expected = self.open.pop_front();
            let expected = expected.map(|frame| gso::comparable(&frame.bytes));
            if expected.as_ref() != Some(&gso::comparable(part)) {
                return Err(self.mismatch(format!("{part:02x?} of {expected:02x?}")));
            }
        }
        let count = parts.len() as u64;
        self.report.add("merged frames", 1);
        self.report.add("merged segments", count);
        if frame.len() > 64_000 {
            self.report.add("of 64 KiB", 1);
        }
        self.lro = self.lro.wrapping_sub(1);
        self.coalesced = self.coalesced.wrapping_sub(count);
        self.largest(&parts)
    }

    /// What a driver's stack would do with it (virtio 5.1.6.4).
    fn cut(&self, frame: Frame, mut bytes: Vec<u8>, place: &Plain) -> Result<Vec<Vec<u8>>, Error> {
        let expected = [
            1,
            if place.ipv6 { 4 } else { 1 },
            place.headers,
            place.l4,
            16,
        ];
        let (csum_start, csum_offset) = frame.csum();
        let seen = [
            frame.flags(),
            frame.gso_type(),
            frame.hdr_len(),
            csum_start,
            csum_offset,
        ];
        if seen != expected {
            return Err(self.mismatch(format!("header {seen:?} instead of {expected:?}")));
        }
        // The field has the pseudo-header's sum; completed, the packet is right as a whole.
        let at = csum_start + csum_offset;
        let sum = gso::pseudo(&bytes, place).to_be_bytes();
        if bytes[at..at + 2] != sum {
            return Err(self.mismatch(format!(
                "pseudo {:02x?}, not {sum:02x?}",
                &bytes[at..at + 2]
            )));
        }
        let complete = !crate::inet::sum(&bytes[csum_start..]);
        bytes[at..at + 2].copy_from_slice(&complete.to_be_bytes());
        if gso::plain(&bytes) != Some(*place) {
            return Err(self.mismatch(format!("not a packet: {:02x?}", &bytes[..place.headers])));
        }
        let parts = gso::segment(&bytes, place, frame.gso_size());
        if parts.len() < 2 {
            return Err(self.mismatch("one segment is none".into()));
        }
        Ok(parts)
    }

    /// When all frames are there, a group ends only where nothing could be added.
    fn largest(&mut self, group: &[Vec<u8>]) -> Result<(), Error> {
        if !self.mood.all_there || !self.mood.enable || self.mood.hurry > 0.0 {
            return Ok(());
        }
        let mut rest = self.open.iter().chain(&self.metas);
        let Some(next) = rest.next() else {
            return Ok(());
        };
        let joins = gso::joins(group, &next.bytes);
        if joins && !next.gap && !self.full(group) {
            return Err(self.mismatch(format!("{} frames, and one more fits", group.len())));
        }
        if joins {
            self.report.add("left alone", 1);
        }
        Ok(())
    }

    /// No more segments of full size fit: then none is waited for.
    fn full(&self, group: &[Vec<u8>]) -> bool {
        let headers = gso::plain(&group[0]).map_or(0, |place| place.headers);
        let payload: usize = group.iter().map(|frame| frame.len() - headers).sum();
        payload + group[0].len() > 65_400
    }

    fn mismatch(&self, message: String) -> Error {
        self.dut.mismatch(message)
    }
}
