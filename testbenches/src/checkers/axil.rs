//! AXI4-Lite.

use super::{Pins, Subject, place};
use crate::block::axil_checker as p;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// As in build/primitives.rs.
const MAX_WAIT: usize = 60;

/// valid, ready and payload ports of a channel.
type Channel = (usize, usize, &'static [usize]);
const AW: Channel = (p::AWVALID_I, p::AWREADY_I, &[p::AWADDR_I]);
const W: Channel = (p::WVALID_I, p::WREADY_I, &[p::WDATA_I, p::WSTRB_I]);
const B: Channel = (p::BVALID_I, p::BREADY_I, &[p::BRESP_I]);
const AR: Channel = (p::ARVALID_I, p::ARREADY_I, &[p::ARADDR_I]);
const R: Channel = (p::RVALID_I, p::RREADY_I, &[p::RDATA_I, p::RRESP_I]);

pub const SUBJECT: Subject = Subject {
    block: p::NAME,
    legal,
    rules: &[
        (
            "awvalid withdrawn",
            |pins, rng| withdraw(pins, rng, AW),
            "withdrawn",
        ),
        (
            "wvalid withdrawn",
            |pins, rng| withdraw(pins, rng, W),
            "withdrawn",
        ),
        (
            "bvalid withdrawn",
            |pins, rng| withdraw(pins, rng, B),
            "withdrawn",
        ),
        (
            "arvalid withdrawn",
            |pins, rng| withdraw(pins, rng, AR),
            "withdrawn",
        ),
        (
            "rvalid withdrawn",
            |pins, rng| withdraw(pins, rng, R),
            "withdrawn",
        ),
        (
            "awaddr changed",
            |pins, rng| change(pins, rng, AW),
            "payload changed",
        ),
        (
            "wdata changed",
            |pins, rng| change(pins, rng, W),
            "payload changed",
        ),
        (
            "araddr changed",
            |pins, rng| change(pins, rng, AR),
            "payload changed",
        ),
        (
            "rdata changed",
            |pins, rng| change(pins, rng, R),
            "payload changed",
        ),
        (
            "response to no write",
            |pins, rng| invent(pins, rng, B),
            "write response to nothing",
        ),
        (
            "answer to no read",
            |pins, rng| invent(pins, rng, R),
            "read response to nothing",
        ),
        (
            "exclusive response",
            |pins, rng| exclusive(pins, rng),
            "exclusive",
        ),
        ("no answer", silence, "no answer"),
    ],
};

/// A master with one access at a time and a slave that answers after a while.
fn legal(cycles: usize, rng: &mut ChaCha8Rng) -> Vec<Pins> {
    let mut bus = Bus {
        pins: vec![],
        state: vec![0; p::IN_WORDS],
    };
    while bus.pins.len() < cycles {
        bus.wait(rng.random_range(0..5));
        let (addr, data) = (rng.random_range(0..0x10000), u64::from(rng.next_u32()));
        if rng.random() {
            let channels: [(Channel, &[u64]); 2] = [(AW, &[addr]), (W, &[data, 0xf])];
            for (channel, payload) in channels {
                bus.transfer(rng, channel, payload);
            }
            bus.wait(rng.random_range(0..8));
            bus.transfer(rng, B, &[0]);
        } else {
            bus.transfer(rng, AR, &[addr]);
            bus.wait(rng.random_range(0..8));
            bus.transfer(rng, R, &[data, 0]);
        }
    }
    bus.pins
}

struct Bus {
    pins: Vec<Pins>,
    state: Pins,
}

impl Bus {
    fn wait(&mut self, cycles: usize) {
        for _ in 0..cycles {
            self.pins.push(self.state.clone());
        }
    }

    fn transfer(&mut self, rng: &mut impl Rng, (valid, ready, ports): Channel, payload: &[u64]) {
        for (port, value) in ports.iter().zip(payload) {
            self.state[*port] = *value;
        }
        self.state[valid] = 1;
        self.wait(rng.random_range(0..6));
        self.state[ready] = 1;
        self.wait(1);
        (self.state[valid], self.state[ready]) = (0, 0);
    }
}

fn waited(pins: &[Pins], at: usize, (valid, ready, _): Channel) -> bool {
    pins[at - 1][valid] == 1 && pins[at - 1][ready] == 0
}

fn withdraw(pins: &mut [Pins], rng: &mut ChaCha8Rng, channel: Channel) -> Option<()> {
    let at = place(pins, rng, |at| waited(pins, at, channel))?;
    pins[at][channel.0] = 0;
    Some(())
}

fn change(pins: &mut [Pins], rng: &mut ChaCha8Rng, channel: Channel) -> Option<()> {
    let at = place(pins, rng, |at| waited(pins, at, channel))?;
    pins[at][channel.2[0]] ^= 4;
    Some(())
}

/// An answer while the bus is at rest.
fn invent(pins: &mut [Pins], rng: &mut ChaCha8Rng, channel: Channel) -> Option<()> {
    let at_rest = |at: usize| {
        let begins = [AW, AR]
            .iter()
            .any(|(valid, _, _)| pins[at + 1][*valid] == 1);
        begins
            && [AW, W, B, AR, R]
                .iter()
                .all(|(valid, _, _)| pins[at][*valid] == 0)
    };
    let at = place(pins, rng, at_rest)?;
    (pins[at][channel.0], pins[at][channel.1]) = (1, 1);
    Some(())
}

fn exclusive(pins: &mut [Pins], rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| {
        pins[at][p::BVALID_I] == 1 && !waited(pins, at, B)
    })?;
    pins[at][p::BRESP_I] = 1;
    Some(())
}

/// The slave has a read and does nothing.
fn silence(pins: &mut Vec<Pins>, rng: &mut ChaCha8Rng) -> Option<()> {
    let at = place(pins, rng, |at| {
        pins[at - 1][p::ARVALID_I] == 1 && pins[at - 1][p::ARREADY_I] == 1
    })?;
    let rest = vec![0; p::IN_WORDS];
    pins.splice(at..at, vec![rest; MAX_WAIT + 2]);
    Some(())
}
