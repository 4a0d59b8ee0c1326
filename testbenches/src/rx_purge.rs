//! Testbench of `rx_purge`: resets amid frames that come, wait in a store and are on their way to the host.

use crate::{Error, Options, Report, Testbench, block::rx_purge as port, dut::Dut};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// `rx_purge` beside a store of frames.
pub const RX_PURGE: Testbench = Testbench {
    name: "rx_purge",
    about: "device resets at any cycle: each frame is taken, or counted once; nothing passes meanwhile",
    run,
};

/// Frames that the store holds, as in build/offload.rs.
const MAX_FRAMES: u64 = 8;

/// The store as `packet_fifo` describes itself: a ring, and a frame at its output.
#[derive(Debug, Default)]
struct Store {
    ring: u64,
    output: bool,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    store: Store,
    /// Beats of the frame on its way into the store that are to come.
    rest: u32,
    /// A reset came amid that frame: nothing of it is stored.
    cut: bool,
    /// Frames that left the store and are not at their end.
    under_way: u64,
    /// A reset was, and those are not all at their end.
    off: bool,
    /// Frames that a reset threw away, not yet counted.
    owed: u64,
    /// Chances of a beat, of a reset, of a frame that is taken, of one at its end, of another's count.
    rates: [f64; 5],
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        dut: Dut::open(port::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        store: Store::default(),
        rest: 0,
        cut: false,
        under_way: 0,
        off: false,
        owed: 0,
        rates: [0.; 5],
        report: Report::default(),
    };
    for _ in 0..200 * options.effort {
        let rng = &mut bench.rng;
        let mut of = |rates: &[f64]| *rates.choose(rng).unwrap_or(&0.5);
        bench.rates = [
            of(&[0.1, 0.7, 1.]),
            of(&[0., 0.01, 0.1, 0.5]),
            of(&[0., 0.05, 0.3, 1.]),
            of(&[0.02, 0.2, 1.]),
            of(&[0., 0.5, 0.9]),
        ];
        for _ in 0..200 {
            bench.cycle()?;
        }
        // Nothing new: all comes to its end.
        bench.rates = [0., 0., 1., 1., 0.];
        for _ in 0..10 * MAX_FRAMES {
            bench.cycle()?;
        }
        let rest = bench.owed + bench.store.ring + bench.under_way;
        bench.dut.check(rest == 0 && !bench.off, || {
            format!("{rest} frames have no end, off: {}", bench.off)
        })?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    fn cycle(&mut self) -> Result<(), Error> {
        let [beat, reset, take, end, other] = self.rates;
        let rng = &mut self.rng;
        let beat = rng.random_bool(beat) || (beat == 0. && self.rest > 0);
        if beat && self.rest == 0 {
            self.rest = rng.random_range(1..=6);
        }
        let last = beat && self.rest == 1;
        let bad = last && rng.random_bool(0.2);
        let reset = rng.random_bool(reset);
        let drained = self.under_way == 0;
        let ends = !drained && rng.random_bool(end);

        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::RESET_I] = reset.into();
        i[port::S_AXIS_TVALID_I] = beat.into();
        i[port::S_AXIS_TLAST_I] = last.into();
        i[port::S_AXIS_TUSER_I] = bad.into();
        i[port::FREE_FRAMES_I] = MAX_FRAMES - self.store.ring;
        i[port::FRAME_VALID_I] = self.store.output.into();
        i[port::DRAINED_I] = drained.into();
        i[port::DISABLED_I] = rng.random_bool(other).into();
        let takes = rng.random_bool(take);
        self.dut.step(&i, &mut o)?;

        let counts = self.owed > 0 && i[port::DISABLED_I] == 0;
        let due = [
            ("flush_o", port::FLUSH_O, reset),
            ("hold_o", port::HOLD_O, reset || self.off),
            ("off_o", port::OFF_O, self.off),
            ("disabled_o", port::DISABLED_O, counts),
            (
                "busy_o",
                port::BUSY_O,
                self.owed > 0 || (self.off && drained),
            ),
        ];
        for (name, output, due) in due {
            self.dut.check(o[output] == u64::from(due), || {
                format!(
                    "{name} {}, {} owed, off: {}, {:?}",
                    o[output], self.owed, self.off, self.store
                )
            })?;
        }
        self.owed -= u64::from(counts);
        self.report.add("frames counted", counts.into());

        // What the store does in this cycle.
        let taken = self.store.output && takes && !reset && !self.off;
        let moved = self.store.ring > 0 && (!self.store.output || taken);
        let full = self.store.ring == MAX_FRAMES;
        if reset {
            self.report.add("resets", 1);
            let amid = self.rest > 0 && !self.cut;
            self.report.add("resets amid a frame", amid.into());
            self.report.add("resets amid a reset", self.off.into());
            self.owed += self.store.ring + u64::from(self.store.output);
            self.store = Store::default();
            self.off = true;
            self.cut = self.rest > 0;
        } else {
            self.store.ring -= u64::from(moved);
            self.store.output = moved || (self.store.output && !taken);
            self.off &= !drained;
        }
        self.rest -= u32::from(beat);
        if last {
            if self.cut {
                // A bad one was counted as such.
                self.owed += u64::from(!bad);
                self.report.add("frames cut", (!bad).into());
            } else if !bad && !full {
                self.store.ring += 1;
            }
            self.cut = false;
        }
        self.report.add("frames taken", taken.into());
        self.under_way = self.under_way + u64::from(taken) - u64::from(ends);
        Ok(())
    }
}
