//! Testbench of `dma_watch`: what is outstanding, and who waits for too long, against plain counts.

use crate::{Error, Options, Report, Testbench, block::dma_watch as port, dut::Dut};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random transactions of four clients, some of which are answered late.
pub const DMA_WATCH: Testbench = Testbench {
    name: "dma_watch",
    about: "lost completions: never before one period, always before two, gone with the last one",
    run,
};

/// As in build/dma.rs.
const CLIENTS: usize = 4;
/// Cycles.
const PERIOD: u64 = 64;
/// Edges from an event, or the end of a period, to the output.
const LATE: u64 = 2;

#[derive(Debug, Clone, Copy, Default)]
struct Client {
    /// Reads and writes without an end.
    outstanding: [u64; 2],
    /// When it last began to wait, or one of them ended.
    since: u64,
    /// It is not answered until then.
    deaf_until: u64,
}

impl Client {
    fn waits(&self) -> bool {
        self.outstanding != [0; 2]
    }
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report::default();
    let mut dut = Dut::open(port::NAME, options)?;
    let mut clients = [Client::default(); CLIENTS];
    let mut were_lost = [false; CLIENTS];
    let mut busy = 0.3;
    let starts = [
        (port::AR_VALID_I, port::AR_READY_I, port::AR_CLIENT_I),
        (port::AW_VALID_I, port::AW_READY_I, port::AW_CLIENT_I),
    ];
    let ends = [port::READ_DONE_I, port::WRITE_DONE_I];
    for now in 0..100_000 * u64::from(options.effort) {
        if now % 500 == 0 {
            busy = [0.0, 0.02, 0.3][rng.random_range(0..3)];
        }
        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::PERIOD_I] = u64::from(now % PERIOD == 0);
        let before = clients;
        for way in 0..2 {
            let c = rng.random_range(0..CLIENTS);
            // An address is offered, and maybe taken; or somebody could take one.
            let (valid, ready, client) = starts[way];
            i[valid] = u64::from(rng.random_bool(busy) && clients[c].outstanding[way] < 20);
            i[ready] = u64::from(rng.random_bool(0.7));
            i[client] = c as u64;
            if i[valid] & i[ready] == 1 {
                clients[c].outstanding[way] += 1;
                if !before[c].waits() {
                    clients[c].since = now;
                }
                if rng.random_bool(0.02) {
                    clients[c].deaf_until = now + rng.random_range(0..6 * PERIOD);
                }
            }
            let c = rng.random_range(0..CLIENTS);
            let hears = now >= before[c].deaf_until;
            if hears && before[c].outstanding[way] > 0 && rng.random_bool(0.5) {
                i[ends[way]] = 1 << c;
                clients[c].outstanding[way] -= 1;
                clients[c].since = now;
                report.add("answers", 1);
            }
        }
        dut.step(&i, &mut o)?;
        // The outputs are those that the edge saw: of what happened before.
        for (c, client) in before.iter().enumerate() {
            let lost = o[port::LOST_O] >> c & 1 == 1;
            let waited = now - client.since;
            // Once lost it stays so, also while it is answered, until the last answer.
            let wrong = match (lost, were_lost[c]) {
                (true, false) => !client.waits() || waited < PERIOD,
                (true, true) => !client.waits() && waited > LATE,
                (false, false) => client.waits() && waited > 2 * PERIOD + LATE,
                (false, true) => client.waits() && client.since + LATE < now,
            };
            were_lost[c] = lost;
            if wrong {
                let message = format!("client {c} lost: {lost} at {now}: {client:?}");
                return Err(dut.mismatch(message));
            }
            report.add("cycles lost", u64::from(lost));
        }
    }
    report.cycles = dut.cycle();
    Ok(report)
}
