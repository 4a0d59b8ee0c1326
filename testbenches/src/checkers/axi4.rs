//! AXI4.

use super::{Pins, Subject, place};
use crate::block::axi4_checker as p;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// As in build/primitives.rs.
const MAX_READY: usize = 40;
const DATA_BYTES: u64 = 16;
const IDS: u64 = 4;

pub const SUBJECT: Subject = Subject {
    block: p::NAME,
    legal,
    rules: &[
        (
            "awvalid withdrawn",
            |pins, rng| withdraw(pins, rng, p::AWVALID_I, p::AWREADY_I),
            "withdrawn",
        ),
        (
            "wvalid withdrawn",
            |pins, rng| withdraw(pins, rng, p::WVALID_I, p::WREADY_I),
            "withdrawn",
        ),
        (
            "bvalid withdrawn",
            |pins, rng| withdraw(pins, rng, p::BVALID_I, p::BREADY_I),
            "withdrawn",
        ),
        (
            "arvalid withdrawn",
            |pins, rng| withdraw(pins, rng, p::ARVALID_I, p::ARREADY_I),
            "withdrawn",
        ),
        (
            "rvalid withdrawn",
            |pins, rng| withdraw(pins, rng, p::RVALID_I, p::RREADY_I),
            "withdrawn",
        ),
        (
            "awaddr changed",
            |pins, rng| change(pins, rng, [p::AWVALID_I, p::AWREADY_I, p::AWADDR_I]),
            "payload changed",
        ),
        (
            "wdata changed",
            |pins, rng| change(pins, rng, [p::WVALID_I, p::WREADY_I, p::WDATA_I]),
            "payload changed",
        ),
        (
            "bresp changed",
            |pins, rng| change(pins, rng, [p::BVALID_I, p::BREADY_I, p::BRESP_I]),
            "payload changed",
        ),
        (
            "araddr changed",
            |pins, rng| change(pins, rng, [p::ARVALID_I, p::ARREADY_I, p::ARADDR_I]),
            "payload changed",
        ),
        (
            "rdata changed",
            |pins, rng| change(pins, rng, [p::RVALID_I, p::RREADY_I, p::RDATA_I]),
            "payload changed",
        ),
        (
            "write across 4 KiB",
            |pins, rng| {
                fire(pins, rng, p::AWVALID_I, |pins| {
                    cross(pins, p::AWADDR_I, p::AWLEN_I, p::AWSIZE_I)
                })
            },
            "illegal write burst",
        ),
        (
            "read across 4 KiB",
            |pins, rng| {
                fire(pins, rng, p::ARVALID_I, |pins| {
                    cross(pins, p::ARADDR_I, p::ARLEN_I, p::ARSIZE_I)
                })
            },
            "illegal read burst",
        ),
        (
            "FIXED write",
            |pins, rng| fire(pins, rng, p::AWVALID_I, |pins| pins[p::AWBURST_I] = 0),
            "illegal write burst",
        ),
        (
            "WRAP read",
            |pins, rng| fire(pins, rng, p::ARVALID_I, |pins| pins[p::ARBURST_I] = 2),
            "illegal read burst",
        ),
        (
            "write beat wider than the bus",
            |pins, rng| fire(pins, rng, p::AWVALID_I, |pins| pins[p::AWSIZE_I] = 5),
            "illegal write burst",
        ),
        (
            "wlast early",
            |pins, rng| last(pins, rng, p::WVALID_I, p::WLAST_I, 0),
            "wlast at the wrong beat",
        ),
        (
            "wlast late",
            |pins, rng| last(pins, rng, p::WVALID_I, p::WLAST_I, 1),
            "wlast at the wrong beat",
        ),
        (
            "rlast early",
            |pins, rng| last(pins, rng, p::RVALID_I, p::RLAST_I, 0),
            "rlast at the wrong beat",
        ),
        (
            "rlast late",
            |pins, rng| last(pins, rng, p::RVALID_I, p::RLAST_I, 1),
            "rlast at the wrong beat",
        ),
        ("strobe outside", strobe, "strobe outside"),
        (
            "response of another ID",
            |pins, rng| fire(pins, rng, p::BVALID_I, |pins| pins[p::BID_I] = 0x33),
            "write response to nothing",
        ),
        (
            "data of another ID",
            |pins, rng| fire(pins, rng, p::RVALID_I, |pins| pins[p::RID_I] = 0x33),
            "nobody asked for",
        ),
        (
            "no bready",
            |pins, rng| stall(pins, rng, p::BVALID_I),
            "within the bound",
        ),
        (
            "no rready",
            |pins, rng| stall(pins, rng, p::RVALID_I),
            "within the bound",
        ),
    ],
};

/// A channel that offers one payload after the other.
#[derive(Default)]
struct Channel {
    waiting: VecDeque<Vec<(usize, u64)>>,
    offered: bool,
}

impl Channel {
    /// Drives the pins; true when the payload is taken in this cycle.
    fn drive(
        &mut self,
        pins: &mut Pins,
        rng: &mut impl Rng,
        valid: usize,
        ready: usize,
        rate: f64,
    ) -> bool {
        pins[ready] = rng.random_bool(rate).into();
        let Some(payload) = self.waiting.front() else {
            return false;
        };
        if !self.offered && rng.random_bool(0.3) {
            return false;
        }
        self.offered = true;
        pins[valid] = 1;
        for (port, value) in payload {
            pins[*port] = *value;
        }
        if pins[ready] == 1 {
            self.offered = false;
            self.waiting.pop_front();
            return true;
        }
        false
    }
}

/// Random reads and writes, data ahead of and behind its address, answers in any order among IDs.
fn legal(cycles: usize, rng: &mut ChaCha8Rng) -> Vec<Pins> {
    let rate = rng.random_range(0.5..1.0);
    let [mut aw, mut w, mut b, mut ar, mut r]: [Channel; 5] = Default::default();
    // IDs of writes whose address, and whose data, is out; answered from both.
    let (mut addresses, mut ends) = (VecDeque::new(), 0);
    let mut issued = VecDeque::new();
    // Reads per ID: beats.
    let mut reads: Vec<VecDeque<u64>> = vec![VecDeque::new(); IDS as usize];
    let mut asked = VecDeque::new();
    let mut pins = Vec::new();
    while pins.len() < cycles {
        if aw.waiting.len() < 2 && w.waiting.len() < 100 && rng.random_bool(0.2) {
            let (id, addr, len, size) = burst(rng);
            aw.waiting.push_back(vec![
                (p::AWID_I, id),
                (p::AWADDR_I, addr),
                (p::AWLEN_I, len),
                (p::AWSIZE_I, size),
                (p::AWBURST_I, 1),
            ]);
            issued.push_back(id);
            let mut at = addr;
            for beat in 0..=len {
                let lane = at % DATA_BYTES;
                let end = (lane >> size << size) + (1 << size);
                let strobe = (u64::MAX >> (64 - (end - lane))) << lane;
                w.waiting.push_back(vec![
                    (p::WDATA_I, rng.next_u64()),
                    (
                        p::WSTRB_I,
                        strobe
                            & if rng.random() {
                                u64::MAX
                            } else {
                                rng.next_u64()
                            },
                    ),
                    (p::WLAST_I, (beat == len).into()),
                ]);
                at = ((at >> size) + 1) << size;
            }
        }
        if ar.waiting.len() < 2 && rng.random_bool(0.2) {
            let (id, addr, len, size) = burst(rng);
            ar.waiting.push_back(vec![
                (p::ARID_I, id),
                (p::ARADDR_I, addr),
                (p::ARLEN_I, len),
                (p::ARSIZE_I, size),
                (p::ARBURST_I, 1),
            ]);
            asked.push_back((id, len));
        }
        let mut now = vec![0; p::IN_WORDS];
        // Answers belong to what was out before this cycle.
        b.drive(&mut now, rng, p::BVALID_I, p::BREADY_I, rate);
        r.drive(&mut now, rng, p::RVALID_I, p::RREADY_I, rate);
        if aw.drive(&mut now, rng, p::AWVALID_I, p::AWREADY_I, rate) {
            addresses.extend(issued.pop_front());
        }
        if w.drive(&mut now, rng, p::WVALID_I, p::WREADY_I, rate) && now[p::WLAST_I] == 1 {
            ends += 1;
        }
        if ends > 0
            && let Some(id) = addresses.pop_front()
        {
            ends -= 1;
            b.waiting.push_back(vec![(p::BID_I, id), (p::BRESP_I, 0)]);
        }
        if ar.drive(&mut now, rng, p::ARVALID_I, p::ARREADY_I, rate)
            && let Some((id, len)) = asked.pop_front()
        {
            reads[id as usize].push_back(len);
        }
        if r.waiting.len() < 4 {
            let id = rng.random_range(0..IDS);
            if let Some(left) = reads[id as usize].front_mut() {
                let last = *left == 0;
                r.waiting.push_back(vec![
                    (p::RID_I, id),
                    (p::RDATA_I, rng.next_u64()),
                    (p::RLAST_I, last.into()),
                ]);
                if last {
                    reads[id as usize].pop_front();
                } else {
                    *left -= 1;
                }
            }
        }
        pins.push(now);
    }
    pins
}

/// ID, address, beats - 1 and log2 of a beat's bytes of a legal burst.
fn burst(rng: &mut impl Rng) -> (u64, u64, u64, u64) {
    let size = rng.random_range(0..=4);
    let len = rng.random_range(0..16);
    let page = rng.random_range(0..1 << 40) << 12;
    let room = 4096 - ((len + 1) << size);
    (
        rng.random_range(0..IDS),
        page + rng.random_range(0..=room) / (1 << size) * (1 << size),
        len,
        size,
    )
}

fn waited(pins: &[Pins], at: usize, valid: usize, ready: usize) -> bool {
    pins[at - 1][valid] == 1 && pins[at - 1][ready] == 0
}

fn withdraw(pins: &mut [Pins], rng: &mut ChaCha8Rng, valid: usize, ready: usize) -> Option<()> {
    let at = place(pins, rng, |at| waited(pins, at, valid, ready))?;
    pins[at][valid] = 0;
    Some(())
}

fn change(
    pins: &mut [Pins],
    rng: &mut ChaCha8Rng,
    [valid, ready, payload]: [usize; 3],
) -> Option<()> {
    // Taken only later, so that this rule and no other is broken now.
    let at = place(pins, rng, |at| waited(pins, at, valid, ready))?;
    pins[at][payload] ^= 1;
    Some(())
}

/// Spoils a payload in the cycle in which it is offered and taken at once.
fn fire(pins: &mut [Pins], rng: &mut ChaCha8Rng, valid: usize, spoil: fn(&mut Pins)) -> Option<()> {
    let ready = READY.iter().find(|(v, _)| *v == valid)?.1;
    let at = place(pins, rng, |at| {
        pins[at][valid] == 1 && pins[at][ready] == 1 && !waited(pins, at, valid, ready)
    })?;
    spoil(&mut pins[at]);
    Some(())
}

const READY: [(usize, usize); 5] = [
    (p::AWVALID_I, p::AWREADY_I),
    (p::WVALID_I, p::WREADY_I),
    (p::BVALID_I, p::BREADY_I),
    (p::ARVALID_I, p::ARREADY_I),
    (p::RVALID_I, p::RREADY_I),
];

fn cross(pins: &mut Pins, addr: usize, len: usize, size: usize) {
    let page = pins[addr] >> 12 << 12;
    (pins[len], pins[size]) = (1, 3);
    pins[addr] = page + 4096 - 8;
}

/// Turns a last beat into an inner one or the other way round.
fn last(
    pins: &mut [Pins],
    rng: &mut ChaCha8Rng,
    valid: usize,
    port: usize,
    was: u64,
) -> Option<()> {
    let ready = READY.iter().find(|(v, _)| *v == valid)?.1;
    let at = place(pins, rng, |at| {
        pins[at][valid] == 1
            && pins[at][ready] == 1
            && !waited(pins, at, valid, ready)
            && pins[at][port] == was
            && at + 100 < pins.len()
    })?;
    pins[at][port] ^= 1;
    Some(())
}

/// A strobe of a byte that is not of a narrow beat whose address is known.
fn strobe(pins: &mut Vec<Pins>, rng: &mut ChaCha8Rng) -> Option<()> {
    pins.clear();
    pins.resize(4, vec![0; p::IN_WORDS]);
    let mut address = vec![0; p::IN_WORDS];
    address[p::AWVALID_I] = 1;
    address[p::AWREADY_I] = 1;
    address[p::AWSIZE_I] = 2;
    address[p::AWBURST_I] = 1;
    address[p::AWADDR_I] = 0x104;
    let mut data = vec![0; p::IN_WORDS];
    data[p::WVALID_I] = 1;
    data[p::WREADY_I] = 1;
    data[p::WLAST_I] = 1;
    data[p::WSTRB_I] = [0x00f, 0x1f0, 0x8000][rng.random_range(0..3)];
    pins.extend([address, data]);
    Some(())
}

fn stall(pins: &mut Vec<Pins>, rng: &mut ChaCha8Rng, valid: usize) -> Option<()> {
    let at = place(pins, rng, |at| pins[at][valid] == 1)?;
    let mut offer = pins[at].clone();
    for (_, ready) in READY {
        offer[ready] = 0;
    }
    pins.splice(at..at, vec![offer; MAX_READY + 2]);
    Some(())
}
