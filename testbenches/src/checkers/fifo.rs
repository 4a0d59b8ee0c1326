//! A FIFO.

use super::{Pins, Subject, place};
use crate::block::fifo_checker as p;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// As in build/primitives.rs.
const DEPTH: usize = 4;
const MASK: u64 = 0xffff;

pub const SUBJECT: Subject = Subject {
    block: p::NAME,
    legal,
    rules: &[
        (
            "word taken while full",
            |pins, rng| overflow(pins, rng),
            "overflow",
        ),
        (
            "offer withdrawn",
            |pins, rng| withdraw(pins, rng),
            "withdrawn",
        ),
        (
            "word offered while empty",
            |pins, rng| underflow(pins, rng),
            "underflow",
        ),
        (
            "word altered",
            |pins, rng| alter(pins, rng),
            "not the one that is due",
        ),
        (
            "word left out",
            |pins, rng| skip(pins, rng),
            "not the one that is due",
        ),
    ],
};

fn legal(cycles: usize, rng: &mut ChaCha8Rng) -> Vec<Pins> {
    let (offers, takes) = (rng.random_range(0.2..1.0), rng.random_range(0.2..1.0));
    let mut held: VecDeque<u64> = VecDeque::new();
    let mut offered = None;
    let mut pins = Vec::new();
    while pins.len() < cycles {
        let mut now = vec![0; p::IN_WORDS];
        if offered.is_none() && rng.random_bool(offers) {
            offered = Some(rng.next_u64() & MASK);
        }
        let room = held.len() < DEPTH;
        now[p::IN_READY_I] = room.into();
        if let Some(word) = offered {
            now[p::IN_VALID_I] = 1;
            now[p::IN_I] = word;
        }
        if let Some(word) = held.front() {
            now[p::OUT_VALID_I] = 1;
            now[p::OUT_I] = *word;
        }
        now[p::OUT_READY_I] = rng.random_bool(takes).into();
        let flush = rng.random_bool(0.01);
        now[p::FLUSH_I] = flush.into();
        if flush {
            held.clear();
            offered = None;
        } else {
            if now[p::OUT_READY_I] == 1 {
                held.pop_front();
            }
            if room && let Some(word) = offered.take() {
                held.push_back(word);
            }
        }
        pins.push(now);
    }
    pins
}

fn overflow(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| {
        let now = &pins[at];
        now[p::IN_VALID_I] == 1 && now[p::IN_READY_I] == 0 && now[p::FLUSH_I] == 0
    })?;
    pins[at][p::IN_READY_I] = 1;
    Some(())
}

fn withdraw(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| {
        let before = &pins[at - 1];
        let waited = before[p::IN_VALID_I] == 1 && before[p::IN_READY_I] == 0;
        waited && before[p::FLUSH_I] == 0 && pins[at][p::FLUSH_I] == 0
    })?;
    pins[at][p::IN_VALID_I] = 0;
    Some(())
}

fn underflow(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| {
        pins[at][p::OUT_VALID_I] == 0 && pins[at][p::FLUSH_I] == 0
    })?;
    pins[at][p::OUT_VALID_I] = 1;
    Some(())
}

fn alter(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| {
        pins[at][p::OUT_VALID_I] == 1 && pins[at][p::FLUSH_I] == 0
    })?;
    pins[at][p::OUT_I] ^= 1 << rng.random_range(0..16);
    Some(())
}

/// The word behind the one that is due.
fn skip(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| {
        let (now, next) = (&pins[at], &pins[at + 1]);
        let both = now[p::OUT_VALID_I] == 1 && next[p::OUT_VALID_I] == 1;
        let quiet = now[p::FLUSH_I] == 0 && next[p::FLUSH_I] == 0;
        both && quiet && now[p::OUT_READY_I] == 1 && now[p::OUT_I] != next[p::OUT_I]
    })?;
    pins[at][p::OUT_I] = pins[at + 1][p::OUT_I];
    Some(())
}
