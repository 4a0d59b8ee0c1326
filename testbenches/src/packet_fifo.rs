//! Testbench of the frame store `packet_fifo`, in both flavours of its flush.

use crate::{
    Error, Options, Report, Testbench,
    block::{packet_fifo, packet_fifo_keep},
    dut::Dut,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// The store against a queue of frames.
pub const PACKET_FIFO: Testbench = Testbench {
    name: "packet_fifo",
    about: "commit, abort, overflow of words and metas, stalls and flush against a queue",
    run,
};

// The parameters in build/primitives.rs.
const DEPTH: u64 = 64;
const META_DEPTH: u64 = 8;

/// The ports, which are at the same places in both flavours.
use packet_fifo as port;
const _: () = assert!(
    port::IN_WORDS == packet_fifo_keep::IN_WORDS
        && port::OUT_WORDS == packet_fifo_keep::OUT_WORDS
        && port::DATA_READY_I == packet_fifo_keep::DATA_READY_I
        && port::BUSY_O == packet_fifo_keep::BUSY_O
);

/// An item of a read stream and the cycle of its commit.
#[derive(Debug, Clone, Copy)]
struct Item<T> {
    value: T,
    committed: u64,
}

/// What the next beats of the write side are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Store,
    /// Until tlast; whether it is a drop that is to be reported.
    Ignore {
        overflow: bool,
    },
}

/// Probabilities that hold for a while.
#[derive(Debug, Clone, Copy)]
struct Mood {
    write: f64,
    read_data: f64,
    read_meta: f64,
    abort: f64,
    flush: f64,
    longest: usize,
    /// Offer beats only while `ready_o` allows it.
    polite: bool,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    keeps_open: bool,
    mood: Mood,
    /// Words to come of the frame that is being offered, and its last beat's tkeep.
    offering: VecDeque<u64>,
    last_keep: u8,
    abort: bool,
    meta: u64,
    writing: Writing,
    frame: Vec<u64>,
    words: VecDeque<Item<u64>>,
    /// Meta, length in bytes.
    metas: VecDeque<Item<(u64, u64)>>,
    /// Words whose frame's meta was popped.
    open: u64,
    ready: bool,
    drop_due: bool,
    /// The outputs of a cycle without input and busy_o, which the next one must have too.
    asleep: Option<[u64; port::OUT_WORDS]>,
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    for (name, keeps_open) in [(packet_fifo::NAME, false), (packet_fifo_keep::NAME, true)] {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let mut bench = Bench {
            dut: Dut::open_variant(name, options)?,
            mood: Mood::random(&mut rng),
            rng,
            keeps_open,
            offering: VecDeque::new(),
            last_keep: 0,
            abort: false,
            meta: 0,
            writing: Writing::Store,
            frame: vec![],
            words: VecDeque::new(),
            metas: VecDeque::new(),
            open: 0,
            ready: true,
            drop_due: false,
            asleep: None,
            report: Report::default(),
        };
        for _ in 0..150 * options.effort {
            bench.mood = Mood::random(&mut bench.rng);
            for _ in 0..1000 {
                bench.cycle()?;
            }
        }
        bench.report.cycles = bench.dut.cycle();
        report.merge(&bench.report);
    }
    Ok(report)
}

impl Mood {
    fn random(rng: &mut impl Rng) -> Self {
        let mut chance = || [0.05, 0.5, 0.9, 1.0, 1.0][rng.random_range(0..5)];
        let (write, read_data, read_meta) = (chance(), chance(), chance());
        Self {
            write,
            read_data,
            read_meta,
            abort: [0.0, 0.1, 0.5][rng.random_range(0..3)],
            flush: [0.0, 0.0, 0.02][rng.random_range(0..3)],
            longest: [8, 30, 300, 560][rng.random_range(0..4)],
            polite: rng.random(),
        }
    }
}

impl Bench {
    fn next_frame(&mut self) {
        // A source that wants nothing dropped cannot offer what never fits.
        let longest = if self.mood.polite {
            self.mood.longest.min(300)
        } else {
            self.mood.longest
        };
        let length = self.rng.random_range(1..=longest);
        self.offering = (0..length.div_ceil(8))
            .map(|_| self.rng.next_u64())
            .collect();
        self.last_keep = (0xffu16 >> ((8 - length % 8) % 8)) as u8;
        self.abort = self.rng.random_bool(self.mood.abort);
        self.meta = u64::from(self.rng.random::<u16>());
    }

    fn cycle(&mut self) -> Result<(), Error> {
        let now = self.dut.cycle();
        if self.offering.is_empty() {
            self.next_frame();
        }
        let valid = self.rng.random_bool(self.mood.write) && (self.ready || !self.mood.polite);
        let last = self.offering.len() == 1;
        let flush = self.rng.random_bool(self.mood.flush);
        let read_meta = self.rng.random_bool(self.mood.read_meta) && !(self.keeps_open && flush);
        let read_data =
            self.rng.random_bool(self.mood.read_data) && (!self.keeps_open || self.open > 0);

        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        i[port::FLUSH_I] = flush.into();
        i[port::S_AXIS_TDATA_I] = self.offering[0];
        i[port::S_AXIS_TKEEP_I] = if last { self.last_keep.into() } else { 0xff };
        i[port::S_AXIS_TVALID_I] = valid.into();
        i[port::S_AXIS_TLAST_I] = last.into();
        i[port::S_AXIS_TUSER_I] = (self.abort && last).into();
        i[port::S_META_I] = self.meta;
        i[port::META_READY_I] = read_meta.into();
        i[port::DATA_READY_I] = read_data.into();
        self.dut.step(&i, &mut o)?;

        if self.asleep.is_some_and(|before| before != o) {
            return Err(self.mismatch(format!("changed to {o:x?} without busy_o")));
        }
        let input = valid || flush || read_meta || read_data;
        self.asleep = (o[port::BUSY_O] == 0 && !input).then_some(o);
        self.report
            .add("cycles asleep", self.asleep.is_some().into());

        let (free_words, free_metas) = self.check_write_side(&o)?;
        self.pop(now, read_meta, read_data, &o)?;
        if valid {
            self.write(now, free_words, free_metas);
        }
        if flush {
            self.flush(valid && last);
        }
        if valid {
            self.offering.pop_front();
        }
        // What the store can take in the next cycle at least.
        self.ready =
            o[port::READY_O] == 1 && free_words > u64::from(valid) && free_metas > u64::from(valid);
        Ok(())
    }

    /// Room, by what was stored and not yet read into the output registers.
    fn check_write_side(&mut self, o: &[u64]) -> Result<(u64, u64), Error> {
        let shown = |valid: usize| o[valid];
        let stored = (self.words.len() + self.frame.len()) as u64 - shown(port::DATA_VALID_O);
        let free_words = DEPTH - stored;
        let free_metas = META_DEPTH - (self.metas.len() as u64 - shown(port::META_VALID_O));
        let ready = u64::from(free_words > 0 && free_metas > 0);
        let expected = [free_words, free_metas, ready, u64::from(self.drop_due)];
        let seen = [
            port::FREE_WORDS_O,
            port::FREE_METAS_O,
            port::READY_O,
            port::DROP_O,
        ]
        .map(|p| o[p]);
        if seen != expected {
            let message =
                format!("free words, metas, ready, drop: {seen:?}, expected {expected:?}");
            return Err(self.mismatch(message));
        }
        self.drop_due = false;
        self.report.add("words full", u64::from(free_words == 0));
        self.report.add("metas full", u64::from(free_metas == 0));
        Ok((free_words, free_metas))
    }

    fn pop(&mut self, now: u64, meta: bool, data: bool, o: &[u64]) -> Result<(), Error> {
        let front = self.metas.front().copied();
        self.timely(
            "meta",
            now,
            o[port::META_VALID_O],
            front.map(|m| m.committed),
            o,
        )?;
        if let Some(Item {
            value: (expected, len),
            ..
        }) = front.filter(|_| o[port::META_VALID_O] == 1)
        {
            if (o[port::META_DATA_O], o[port::META_LEN_O]) != (expected, len) {
                let message = format!(
                    "meta {:#x}, expected {expected:#x}, {len}",
                    o[port::META_DATA_O]
                );
                return Err(self.mismatch(message));
            }
            if meta {
                self.metas.pop_front();
                self.open += len.div_ceil(8);
                self.report.add("frames", 1);
            }
        }
        let front = self.words.front().copied();
        self.timely(
            "data",
            now,
            o[port::DATA_VALID_O],
            front.map(|w| w.committed),
            o,
        )?;
        if let Some(word) = front.filter(|_| o[port::DATA_VALID_O] == 1) {
            if o[port::DATA_O] != word.value {
                return Err(self.mismatch(format!("{:#x} instead of {word:x?}", o[port::DATA_O])));
            }
            if data {
                self.words.pop_front();
                self.open = self.open.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// An item must be shown from the second cycle after its commit on, and never before that.
    fn timely(
        &self,
        what: &str,
        now: u64,
        valid: u64,
        committed: Option<u64>,
        o: &[u64],
    ) -> Result<(), Error> {
        let due = committed.is_some_and(|at| at + 2 <= now);
        let settling = committed.is_some_and(|at| at + 1 == now);
        if (valid == 1) != due || (settling && o[port::BUSY_O] != 1) {
            return Err(self.mismatch(format!("{what}: valid {valid}, committed {committed:?}")));
        }
        Ok(())
    }

    fn write(&mut self, now: u64, free_words: u64, free_metas: u64) {
        let last = self.offering.len() == 1;
        let abort = last && self.abort;
        let overflow = match self.writing {
            Writing::Ignore { overflow } => overflow,
            Writing::Store if abort => false,
            Writing::Store if free_words == 0 || (last && free_metas == 0) => true,
            Writing::Store => {
                self.frame.push(self.offering[0]);
                if last {
                    let bytes =
                        8 * (self.frame.len() as u64 - 1) + u64::from(self.last_keep.count_ones());
                    let words = self.frame.drain(..);
                    self.words.extend(words.map(|value| Item {
                        value,
                        committed: now,
                    }));
                    self.metas.push_back(Item {
                        value: (self.meta, bytes),
                        committed: now,
                    });
                }
                return;
            }
        };
        self.frame.clear();
        self.writing = if last {
            Writing::Store
        } else {
            Writing::Ignore { overflow }
        };
        self.drop_due = overflow && last && !abort;
        self.report.add("aborts", u64::from(abort));
        self.report.add("drops", u64::from(self.drop_due));
    }

    fn flush(&mut self, ended: bool) {
        let inside = !self.frame.is_empty() || self.writing != Writing::Store;
        self.frame.clear();
        self.drop_due = false;
        // The offered frame has begun when any beat of it went in, this cycle's included.
        self.writing = if inside && !ended {
            Writing::Ignore { overflow: false }
        } else {
            Writing::Store
        };
        self.metas.clear();
        let keep = if self.keeps_open { self.open } else { 0 };
        self.words.truncate(keep as usize);
        self.open = keep;
        self.report.add("flushes", 1);
        self.report.add("words kept by a flush", keep);
    }

    fn mismatch(&self, message: String) -> Error {
        let flavour = if self.keeps_open {
            "FlushKeepsOpen"
        } else {
            "plain"
        };
        let message = format!("{flavour}: {message}; {:?}", self.mood);
        self.dut.mismatch(message)
    }
}
