//! The RTL and the model under the same driver: the same buffers, the same headers, the same frames on the
//! wire, the same counters. Times differ, so every step runs until both are quiet; the stores for frames
//! that wait for buffers differ in size, so few wait.

use crate::{
    driver::{Bench, MEMORY, US},
    frames::{Spec, padded},
};
use hwmodel::{
    Device, ModelConfig, ModelNic, Nic, NicConfig, WireFrame,
    model::{Stat, feature},
    xgmii::Faults,
};

/// Counters that both have: those that the RTL's package lists.
const COUNTERS: u32 = Stat::DmaError as u32 + 1;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, of_ten: u64) -> bool {
        self.below(10) < of_ten
    }
}

/// One thing that a driver or the wire does.
#[derive(Debug, Clone)]
enum Step {
    /// Receive buffers of a queue: the lengths of each one's parts, and whether they are in an indirect
    /// table.
    Buffers(u16, Vec<(Vec<u32>, bool)>),
    /// A frame to the card.
    Wire(Vec<u8>, bool, Faults),
    /// A frame from the card: queue, header and bytes, in parts of at most so many bytes, in an indirect
    /// table or not.
    Send(u16, [u8; 12], Vec<u8>, usize, bool),
    Link(bool),
    ResetQueue(u16),
    /// On the control queue.
    Command(Vec<u8>),
}

/// Legal and illegal commands (5.1.6.5).
fn command(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        // VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET.
        0 => vec![
            4,
            0,
            [0, 1, 1, 9][rng.below(4) as usize],
            rng.chance(1).into(),
        ],
        1 => vec![4, 0, 1],
        2 => (0..rng.below(8)).map(|_| rng.below(7) as u8).collect(),
        _ => vec![0xff, 0, 1],
    }
}

fn packet(rng: &mut Rng, longest: u64) -> Spec {
    let flags = [0x10, 0x18, 0x11][rng.below(3) as usize];
    Spec {
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

fn incoming(rng: &mut Rng) -> Step {
    let mut frame = match rng.below(10) {
        0 => vec![0xff; 50 + rng.below(1600) as usize],
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

/// Of a card with `pairs` pairs at work.
fn steps(rng: &mut Rng, features: u64, gso: bool, pairs: u16) -> Vec<Step> {
    let indirect = features & feature::RING_INDIRECT_DESC != 0;
    let mut steps = Vec::new();
    for index in 0..60 {
        steps.push(match rng.below(12) {
            0..=4 => incoming(rng),
            5..=8 => outgoing(rng, gso, pairs, indirect),
            9 => Step::Link(index % 2 == 0),
            11 if features & feature::CTRL_VQ != 0 && rng.chance(5) => Step::Command(command(rng)),
            10 if features & feature::RING_RESET != 0 => {
                Step::ResetQueue(rng.below(2 * u64::from(pairs)) as u16)
            }
            _ => {
                let part = |rng: &mut Rng| {
                    if rng.chance(8) {
                        2048
                    } else {
                        20 + rng.below(700) as u32
                    }
                };
                let buffer = |rng: &mut Rng| {
                    let parts = (0..1 + rng.below(3)).map(|_| part(rng)).collect();
                    (parts, indirect && rng.chance(4))
                };
                // Until VQ_PAIRS_SET frames come to the first pair only (5.1.6.5.6).
                let several = if rng.chance(2) { pairs } else { 1 };
                let queue = 2 * rng.below(several.into()) as u16;
                Step::Buffers(queue, (0..1 + rng.below(4)).map(|_| buffer(rng)).collect())
            }
        });
    }
    steps
}

/// All that came of a step.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Of a command.
    answer: Option<u8>,
    /// Queue, length, content.
    received: Vec<(u16, u32, Vec<u8>)>,
    /// By transmit queue.
    returned: Vec<usize>,
    sent: Vec<Vec<u8>>,
    /// By vector.
    interrupts: Vec<bool>,
    status: u32,
    config: Vec<u32>,
}

fn perform<D: Device>(bench: &mut Bench<D>, step: &Step) -> Seen {
    let mut answer = None;
    match step {
        Step::Buffers(queue, buffers) => {
            for (lens, indirect) in buffers {
                if usize::from(bench.rings[queue].free()) >= lens.len() {
                    let parts: Vec<_> = lens
                        .iter()
                        .map(|len| (bench.alloc(*len as usize), *len, true))
                        .collect();
                    if *indirect {
                        bench.post_indirect(*queue, &parts);
                    } else {
                        bench.post(*queue, &parts);
                    }
                }
            }
            bench.kick(*queue);
        }
        Step::Wire(bytes, fcs_ok, faults) => {
            // With several queues the RTL drops a frame that finds no buffer for long, so that it holds up
            // nobody; the model has a store for each queue.
            if bench.pairs() > 1 {
                for queue in (0..2 * bench.pairs()).step_by(2) {
                    while bench.rings[&queue].free() > 56 {
                        bench.fill(queue, 1, 2048);
                    }
                }
            }
            let frame = WireFrame::new(bench.nic.now(), bytes.clone());
            let frame = if *fcs_ok { frame } else { frame.bad_fcs() };
            bench.nic.wire_send(frame.with_faults(*faults));
        }
        Step::Send(queue, hdr, frame, longest, indirect) => {
            let bytes = [&hdr[..], frame].concat();
            let at = bench.alloc(bytes.len());
            bench.poke(at, &bytes);
            let longest = (*longest).max(bytes.len().div_ceil(8));
            let parts: Vec<_> = (0..bytes.len())
                .step_by(longest)
                .map(|from| {
                    let len = longest.min(bytes.len() - from) as u32;
                    (at + from as u64, len, false)
                })
                .collect();
            // A table of no descriptors would stop the queue.
            if *indirect && !parts.is_empty() {
                bench.post_indirect(*queue, &parts);
            } else {
                bench.post(*queue, &parts);
            }
            bench.kick(*queue);
        }
        Step::Link(up) => bench.nic.set_link(*up),
        Step::Command(bytes) => answer = Some(bench.command(bytes)),
        Step::ResetQueue(queue) => {
            bench.reset_queue(*queue);
            // The RTL drops what waited for buffers frame by frame.
            bench.run(20 * US);
            bench.enable(*queue, 64);
        }
    }
    bench.run(40 * US);
    let mut seen = Seen {
        answer,
        received: Vec::new(),
        returned: Vec::new(),
        sent: bench.sent(),
        interrupts: vec![false; usize::from(bench.queues()) + 1],
        status: bench.status(),
        config: (0..24).map(|at| bench.device_config(at, 1)).collect(),
    };
    for pair in 0..bench.pairs() {
        while let Some(used) = bench.used(2 * pair) {
            let content = bench.content(&used);
            seen.received.push((2 * pair, used.len, content));
        }
        let returned = std::iter::from_fn(|| bench.used(2 * pair + 1)).count();
        seen.returned.push(returned);
    }
    for vector in bench.messages() {
        seen.interrupts[usize::from(vector)] = true;
    }
    seen
}

// shows (RTL): 2.2.2-3, 2.6.1.1.1-1, 2.7.4.1-1, 2.8.7-1, 5.1.2-1, 5.1.4.1-1, 5.1.4.1-2, 5.1.4.1-4
// shows (RTL): 5.1.4.1-8, 5.1.4.1-9
// shows (RTL): 5.1.6.3.2-1, 5.1.6.3.2-2, 5.1.6.4.1-1, 5.1.6.4.1-2, 5.1.6.4.1-3, 5.1.6.4.1-5
// shows (RTL): 5.1.6.4.1-14
// shows (RTL): 5.1.6.5-1, 5.1.6.5.6.2-1, 6.2-3
#[test]
fn the_rtl_and_the_model_do_the_same() {
    for seed in 0..24 {
        let mut rng = Rng(seed);
        let mtu = [1500, 9000, 600][seed as usize % 3];
        let queue_pairs = [1, 4][seed as usize / 3 % 2];
        let memory = MEMORY;
        let rtl = NicConfig {
            mtu,
            queue_pairs,
            memory,
            ..NicConfig::default()
        };
        let mut rtl = Bench::with(Nic::new(rtl).unwrap(), queue_pairs);
        // What the one offers is what the other does.
        let offered = rtl.offered();
        let model = ModelConfig {
            mtu,
            queue_pairs,
            features: offered,
            memory,
            ..ModelConfig::default()
        };
        let mut model = Bench::with(ModelNic::new(model).unwrap(), queue_pairs);
        assert_eq!(model.offered(), offered);
        let mut features = offered & (rng.next() | rng.next());
        while feature::unmet(features) != 0 {
            features &= !feature::unmet(features);
        }
        rtl.bring_up(features, 64);
        model.bring_up(features, 64);
        let gso = features & feature::HOST_TSO4 != 0;
        for (number, step) in steps(&mut rng, features, gso, rtl.pairs())
            .iter()
            .enumerate()
        {
            let expected = perform(&mut model, step);
            let got = perform(&mut rtl, step);
            assert!(
                got == expected,
                "seed {seed}, features {features:#x}, step {number}: {step:?}\nrtl {got:?}\nmodel {expected:?}"
            );
        }
        assert_eq!(
            rtl.counters(COUNTERS),
            model.counters(COUNTERS),
            "seed {seed}"
        );
    }
}
