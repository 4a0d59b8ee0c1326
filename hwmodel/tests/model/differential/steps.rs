//! What happens to both devices: random, but each time the same from the same seed.

use crate::frames::{Spec, padded};
use hwmodel::{model::feature, xgmii::Faults};

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, of_ten: u64) -> bool {
        self.below(10) < of_ten
    }
}

/// One thing that a driver or the wire does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Receive buffers of a queue: the lengths of each one's parts, and whether they are in an indirect
    /// table.
    Buffers(u16, Vec<(Vec<u32>, bool)>),
    /// A frame to the card.
    Wire(Vec<u8>, bool, Faults),
    /// Segments of one TCP connection to the card, back to back. What is merged must not depend on time,
    /// so they are few, and the last one says that nothing follows.
    Burst(Vec<Vec<u8>>),
    /// A frame from the card: queue, header and bytes, in parts of at most so many bytes, in an indirect
    /// table or not.
    Send(u16, [u8; 12], Vec<u8>, usize, bool),
    Link(bool),
    /// A frame that comes back, and others that the loopback keeps out.
    Loopback(Vec<u8>),
    ResetQueue(u16),
    /// Class, command and data for the control queue.
    Command(Vec<u8>),
}

/// Destinations: the card's own address, others, groups.
const STATIONS: [[u8; 6]; 6] = [
    [2, 0, 0, 0, 0, 1],
    [2, 0, 0, 0, 0, 1],
    [2, 0, 0, 0, 0, 9],
    [0x33, 0x33, 0, 0, 0, 1],
    [1, 0, 0x5e, 0, 0, 1],
    [0xff; 6],
];

/// A command, not always a legal one.
fn command(rng: &mut Rng, pairs: u16) -> Vec<u8> {
    let station = |rng: &mut Rng| STATIONS[rng.below(6) as usize];
    let mut bytes = match rng.below(9) {
        0 => vec![0, 0, rng.below(3) as u8],
        1 => vec![0, 1, rng.below(2) as u8],
        2 | 3 => {
            // Unicast and multicast addresses, now and then more than the table holds.
            let mut bytes = vec![1, 0];
            for group in [false, true] {
                let count = if rng.chance(1) { 40 } else { rng.below(4) };
                bytes.extend((count as u32).to_le_bytes());
                for _ in 0..count {
                    let mut address = station(rng);
                    address[0] = address[0] & !1 | u8::from(group);
                    bytes.extend(address);
                }
            }
            bytes
        }
        4 => [&[1, 1][..], &station(rng)].concat(),
        5 => vec![
            2,
            rng.below(2) as u8,
            5,
            if rng.chance(1) { 0x50 } else { 0 },
        ],
        // One pair, or too many: how flows spread over several is the device's choice.
        6 => vec![4, 0, [0, 1, 1, 9][rng.below(4) as usize], 0],
        7 => {
            let entries = [1u16, 2, 4, 8, 3][rng.below(5) as usize];
            let mut bytes = vec![4, 1];
            bytes.extend((rng.next() as u32 & 0x1ff).to_le_bytes());
            bytes.extend((entries - 1).to_le_bytes());
            for _ in 0..=entries {
                let beyond = u64::from(rng.chance(1));
                let pair = rng.below(u64::from(pairs) + beyond) as u16;
                bytes.extend(pair.to_le_bytes());
            }
            bytes.extend(pairs.to_le_bytes());
            let key = [40, 40, 16, 0][rng.below(4) as usize];
            bytes.push(key);
            bytes.extend((0..key).map(|_| rng.next() as u8));
            bytes
        }
        _ => (0..1 + rng.below(12)).map(|_| rng.below(8) as u8).collect(),
    };
    if rng.chance(1) {
        let len = 1 + rng.below(bytes.len() as u64) as usize;
        bytes.truncate(len);
    }
    bytes
}

fn packet(rng: &mut Rng, longest: u64) -> Spec {
    let flags = [0x10, 0x18, 0x11][rng.below(3) as usize];
    Spec {
        to: STATIONS[rng.below(6) as usize],
        vlan: rng.chance(3).then_some(5),
        ipv6: rng.chance(5),
        protocol: if rng.chance(5) { 6 } else { 17 },
        ports: [rng.next() as u16, rng.next() as u16],
        seq: rng.next() as u32,
        flags,
        payload: (0..rng.below(longest)).map(|_| rng.next() as u8).collect(),
        ..Spec::default()
    }
}

/// A PAUSE, or something like it (802.3 31B.1).
fn mac_control(rng: &mut Rng) -> Vec<u8> {
    let to = match rng.below(4) {
        0 => [2, 0, 0, 0, 0, 1],
        1 => [2, 0, 0, 0, 0, 7],
        _ => [0x01, 0x80, 0xc2, 0, 0, 0x01],
    };
    let quanta = rng.below(60) as u8;
    let opcode = if rng.chance(7) { 1 } else { rng.next() as u8 };
    let mut frame = [&to[..], &[6; 6], &[0x88, 0x08, 0, opcode, 0, quanta]].concat();
    frame.resize(60, 0);
    frame
}

fn incoming(rng: &mut Rng) -> Step {
    let mut frame = match rng.below(10) {
        0 => vec![0xff; 50 + rng.below(1600) as usize],
        1 => mac_control(rng),
        _ => padded(packet(rng, 1440).frame()),
    };
    if rng.chance(3) {
        let at = rng.below(frame.len() as u64) as usize;
        frame[at] ^= 1 << rng.below(8);
    }
    let faults = Faults {
        error_at: rng.chance(1).then(|| rng.below(60) as usize),
        ..Faults::default()
    };
    Step::Wire(frame, !rng.chance(1), faults)
}

fn burst(rng: &mut Rng) -> Step {
    let mut spec = Spec {
        protocol: 6,
        flags: 0x10,
        ..packet(rng, 1)
    };
    let size = 10 + rng.below(1400) as usize;
    let count = 2 + rng.below(7);
    let segment = |index| {
        let short = index + 1 == count && rng.chance(5);
        // Of what is padded to the Ethernet minimum the RTL merges nothing.
        let len = if short {
            6 + rng.below(size as u64 - 5) as usize
        } else {
            size
        };
        spec.payload = (0..len).map(|_| rng.next() as u8).collect();
        if index + 1 == count {
            spec.flags = 0x18;
        }
        let mut frame = padded(spec.frame());
        // Now and then out of order or damaged, but of the same connection: the model lets others pass by.
        match rng.below(30) {
            0 => spec.seq = spec.seq.wrapping_add(1),
            1 => *frame.last_mut().unwrap() ^= 1,
            _ => {}
        }
        spec.seq = spec.seq.wrapping_add(len as u32);
        frame
    };
    Step::Burst((0..count).map(segment).collect())
}

fn outgoing(rng: &mut Rng, gso: bool, pairs: u16, indirect: bool) -> Step {
    let spec = packet(rng, if gso { 30_000 } else { 1440 });
    let size = if gso { 100 + rng.below(1300) as u16 } else { 0 };
    let (mut hdr, mut frame) = match rng.below(5) {
        0 => ([0; 12], spec.frame()),
        _ => (spec.hdr(size), spec.partial()),
    };
    if rng.chance(2) {
        hdr[rng.below(10) as usize] = rng.next() as u8;
    }
    if rng.chance(1) {
        frame.truncate(rng.below(80) as usize);
    }
    let queue = 2 * rng.below(pairs.into()) as u16 + 1;
    let longest = 1 + rng.below(3000) as usize;
    Step::Send(queue, hdr, frame, longest, indirect && rng.chance(5))
}

fn part(rng: &mut Rng) -> u32 {
    if rng.chance(8) {
        2048
    } else {
        20 + rng.below(700) as u32
    }
}

fn buffers(rng: &mut Rng, pairs: u16, indirect: bool) -> Step {
    let buffer = |rng: &mut Rng| {
        let parts = (0..1 + rng.below(3)).map(|_| part(rng)).collect();
        (parts, indirect && rng.chance(4))
    };
    // Until VQ_PAIRS_SET frames come to the first pair only (5.1.6.5.6).
    let several = if rng.chance(2) { pairs } else { 1 };
    let queue = 2 * rng.below(several.into()) as u16;
    Step::Buffers(queue, (0..1 + rng.below(4)).map(|_| buffer(rng)).collect())
}

/// Of a card with `pairs` pairs at work.
pub fn steps(rng: &mut Rng, features: u64, gso: bool, pairs: u16) -> Vec<Step> {
    let indirect = features & feature::RING_INDIRECT_DESC != 0;
    let mut steps = Vec::new();
    for index in 0..60 {
        let step = match rng.below(13) {
            0..=3 => incoming(rng),
            4 => {
                steps.push(buffers(rng, pairs, indirect));
                burst(rng)
            }
            5..=8 => outgoing(rng, gso, pairs, indirect),
            9 | 11 if features & feature::CTRL_VQ != 0 && rng.chance(6) => {
                Step::Command(command(rng, pairs))
            }
            9 => Step::Link(index % 2 == 0),
            10 if features & feature::RING_RESET != 0 => {
                Step::ResetQueue(rng.below(2 * u64::from(pairs)) as u16)
            }
            12 => Step::Loopback(padded(packet(rng, 600).frame())),
            _ => buffers(rng, pairs, indirect),
        };
        steps.push(step);
    }
    // What waits is not yet in the counters: buffers for all of it.
    for _ in 0..4 {
        for pair in 0..pairs {
            steps.push(Step::Buffers(2 * pair, vec![(vec![2048], false); 60]));
        }
    }
    steps
}
