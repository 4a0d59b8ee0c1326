//! Testbench of `deadline`: who is woken, when, and for how long the clock may stand.

use crate::{Error, Options, Report, Testbench, block::deadline as port, dut::Dut};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The earliest of four deadlines against a list.
pub const DEADLINE: Testbench = Testbench {
    name: "deadline",
    about: "deadlines set, replaced, cleared and met, over a clock that stands in between",
    run,
};

/// Clients, as in build/primitives.rs.
const N: usize = 4;
const CYCLE_MASK: u64 = (1 << 48) - 1;
/// Edges from a deadline to its pulse.
const LATE: u64 = N as u64 + 1;

#[derive(Debug, Clone, Copy, Default)]
struct Client {
    /// In cycles that never wrap.
    armed: Option<u64>,
    /// Edges since a deadline went away.
    gone: u64,
    /// Edges since the deadline has come.
    overdue: u64,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report::default();
    let mut dut = Dut::open(port::NAME, options)?;
    // Near the end of 48 bits, so that every run passes it.
    let mut now: u64 = CYCLE_MASK - 100_000;
    let mut clients = [Client::default(); N];
    let (mut rate, mut span) = (0.5, 10);
    // The outputs are those of an edge before the clock stood.
    let mut slept = false;
    for edge in 0..200_000 * u64::from(options.effort) {
        if edge % 1000 == 0 {
            rate = [0.001, 0.01, 0.3][rng.random_range(0..3)];
            span = [1, 30, 3000, 1 << 20, 1 << 40][rng.random_range(0..5)];
        }
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        i[port::CYCLE_I] = now & CYCLE_MASK;
        let mut news = [None; N];
        for (n, new) in news.iter_mut().enumerate() {
            let set = rng.random_bool(rate);
            let clear = rng.random_bool(rate);
            // One in the past is due at once.
            let at = (now + rng.random_range(0..span)).saturating_sub(rng.random_range(0..3));
            put(&mut i[port::DEADLINE_I..], 48 * n, at & CYCLE_MASK);
            i[port::SET_I] |= u64::from(set) << n;
            i[port::CLEAR_I] |= u64::from(clear) << n;
            if set || clear {
                *new = Some(set.then_some(at));
            }
        }
        dut.step(&i, &mut o)?;

        let mismatch = |message: String| dut.mismatch(message);
        for (n, client) in clients.iter_mut().enumerate() {
            client.gone += 1;
            let due = o[port::DUE_O] >> n & 1 == 1;
            match client.armed {
                // What was set by the edge before cannot be due yet.
                _ if due && client.gone <= 1 => report.add("woken after a change", 1),
                // The pulse shows behind the edge that saw the deadline.
                Some(at) if due && at < now => {
                    client.armed = None;
                    report.add("woken", 1);
                }
                _ if due => return Err(mismatch(format!("client {n} woken at {now}: {client:?}"))),
                Some(at) if at < now => {
                    client.overdue += 1;
                    if client.overdue > LATE {
                        return Err(mismatch(format!("client {n} sleeps at {now}: {client:?}")));
                    }
                }
                _ => {}
            }
            if let Some(new) = news[n] {
                *client = Client {
                    armed: new,
                    ..Client::default()
                };
            }
        }

        let timer = o[port::TIMER_O];
        if o[port::BUSY_O] == 1 || news.iter().any(Option::is_some) || slept {
            now += 1;
            slept = false;
            continue;
        }
        let armed = clients.iter().filter_map(|client| client.armed).min();
        let expected = match armed {
            None => u64::from(u32::MAX),
            // Of the most that the port can say one is taken off, as the edge behind this one sees one more than now.
            Some(at) => match at.checked_sub(now) {
                Some(left) => left.min(u64::from(u32::MAX) - 1),
                None => {
                    return Err(mismatch(format!(
                        "asleep at {now}, behind {at}: {clients:?}"
                    )));
                }
            },
        };
        if timer != expected {
            return Err(mismatch(format!(
                "timer_o = {timer} at {now} instead of {expected}: {clients:?}"
            )));
        }
        // The clock stands for as long as it may.
        let sleep = if armed.is_none() { 50 } else { timer };
        report.add("cycles asleep", sleep);
        report.add("sleeps", 1);
        slept = sleep > 0;
        now += sleep.max(1);
    }
    report.cycles = dut.cycle();
    Ok(report)
}

/// Puts 48 bits at `bit` of a port.
fn put(words: &mut [u64], bit: usize, value: u64) {
    words[bit / 64] |= value << (bit % 64);
    if bit % 64 > 16 {
        words[bit / 64 + 1] |= value >> (64 - bit % 64);
    }
}
