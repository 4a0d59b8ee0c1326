//! AXI4-Stream.

use super::{Pins, Subject, place};
use crate::block::axis_checker as p;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// As in build/primitives.rs.
const MAX_STALL: usize = 40;

pub const SUBJECT: Subject = Subject {
    block: p::NAME,
    legal,
    rules: &[
        (
            "tvalid withdrawn",
            |pins, rng| withdraw(pins, rng),
            "tvalid withdrawn",
        ),
        (
            "tdata changed",
            |pins, rng| change(pins, rng, p::TDATA_I, 1),
            "changed while it waited",
        ),
        (
            "tlast changed",
            |pins, rng| change(pins, rng, p::TLAST_I, 1),
            "changed while it waited",
        ),
        (
            "tuser changed",
            |pins, rng| change(pins, rng, p::TUSER_I, 1),
            "changed while it waited",
        ),
        (
            "tkeep with a hole",
            |pins, rng| keep(pins, rng, 0x05),
            "not contiguous",
        ),
        (
            "tkeep empty",
            |pins, rng| keep(pins, rng, 0),
            "not contiguous",
        ),
        (
            "partial beat inside",
            |pins, rng| partial(pins, rng),
            "partial beat",
        ),
        ("no tready", stall, "no tready"),
    ],
};

fn legal(cycles: usize, rng: &mut ChaCha8Rng) -> Vec<Pins> {
    let (valid, ready) = (rng.random_range(0.2..1.0), rng.random_range(0.3..1.0));
    let mut pins = Vec::new();
    let mut offered: Option<Pins> = None;
    let mut stalled = 0;
    while pins.len() < cycles {
        let mut now = vec![0; p::IN_WORDS];
        if offered.is_none() && rng.random_bool(valid) {
            let last = rng.random_bool(0.2);
            let bytes = if last { rng.random_range(1..=8) } else { 8 };
            now[p::TVALID_I] = 1;
            now[p::TDATA_I] = rng.next_u64();
            now[p::TKEEP_I] = 0xff >> (8 - bytes);
            now[p::TLAST_I] = last.into();
            now[p::TUSER_I] = u64::from(last && rng.random());
            offered = Some(now.clone());
        } else if let Some(beat) = &offered {
            now.clone_from(beat);
        }
        let taken = rng.random_bool(ready) || stalled + 1 >= MAX_STALL;
        now[p::TREADY_I] = taken.into();
        stalled = if offered.is_some() && !taken {
            stalled + 1
        } else {
            0
        };
        if taken {
            offered = None;
        }
        pins.push(now);
    }
    pins
}

/// The cycle before offered a beat that nobody took.
fn waited(pins: &[Pins], at: usize) -> bool {
    pins[at - 1][p::TVALID_I] == 1 && pins[at - 1][p::TREADY_I] == 0
}

fn withdraw(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| waited(pins, at))?;
    pins[at][p::TVALID_I] = 0;
    Some(())
}

fn change(pins: &mut [Pins], rng: &mut ChaCha8Rng, port: usize, bit: u64) -> Option<()> {
    // tlast only on a full beat: a partial one that is not the last breaks another rule as well.
    let at = place(pins, rng, |at| {
        waited(pins, at) && pins[at][p::TKEEP_I] == 0xff
    })?;
    pins[at][port] ^= bit;
    Some(())
}

fn keep(pins: &mut [Pins], rng: &mut ChaCha8Rng, keep: u64) -> Option<()> {
    let at = place(pins, rng, |at| {
        pins[at][p::TVALID_I] == 1 && !waited(pins, at)
    })?;
    pins[at][p::TKEEP_I] = keep;
    pins[at][p::TREADY_I] = 1;
    Some(())
}

fn partial(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let inside = |at: usize| pins[at][p::TVALID_I] == 1 && pins[at][p::TLAST_I] == 0;
    let at = place(pins, rng, |at| inside(at) && !waited(pins, at))?;
    pins[at][p::TKEEP_I] = 0x0f;
    pins[at][p::TREADY_I] = 1;
    Some(())
}

fn stall(pins: &mut Vec<Pins>, rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| pins[at][p::TVALID_I] == 1)?;
    let mut beat = pins[at].clone();
    beat[p::TREADY_I] = 0;
    pins.splice(at..at, vec![beat; MAX_STALL + 2]);
    Some(())
}
