//! The RTL and the model under the same driver: the same buffers, the same headers, the same frames on the
//! wire, the same counters. Times differ, so every step runs until both are quiet; the stores for frames
//! that wait for buffers differ in size, so few wait.

mod steps;

use crate::driver::{Bench, MEMORY, US};
use hwmodel::{
    Device, ModelConfig, ModelNic, Nic, NicConfig, WireFrame,
    model::{Stat, feature},
    pci::BAR_VENDOR,
};
use steps::{Rng, Step, steps};

/// Counters that both have: all.
const COUNTERS: u32 = Stat::ALL.len() as u32;

/// Register of the vendor region that sets the MAC: bit 0 loopback, bit 1 (set after reset) honours
/// PAUSE frames.
const MAC_CTRL: u32 = BAR_VENDOR + 0x10;
/// Copies all counters when written; the copies are from `FROZEN` on.
const SNAPSHOT: u32 = BAR_VENDOR + 0x14;
const FROZEN: u32 = BAR_VENDOR + 0x500;

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

/// With several queues the RTL drops a frame that finds no buffer for long, so that it holds up nobody; the
/// model has a store for each queue.
fn spare_buffers<D: Device>(bench: &mut Bench<D>) {
    if bench.pairs() > 1 {
        for queue in (0..2 * bench.pairs()).step_by(2) {
            while bench.rings[&queue].free() > 56 {
                bench.fill(queue, 1, 2048);
            }
        }
    }
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
            spare_buffers(bench);
            let frame = WireFrame::new(bench.nic.now(), bytes.clone());
            let frame = if *fcs_ok { frame } else { frame.bad_fcs() };
            bench.nic.wire_send(frame.with_faults(*faults));
        }
        Step::Burst(frames) => {
            // The RTL merges what is behind each other in its store, and hurries when that fills up.
            for queue in (0..2 * bench.pairs()).step_by(2) {
                let free = bench.rings[&queue].free();
                bench.fill(queue, free, 2048);
            }
            bench.run(20 * US);
            for bytes in frames {
                let frame = WireFrame::new(bench.nic.now(), bytes.clone());
                bench.nic.wire_send(frame);
            }
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
            // A super-frame may become as many frames as it has bytes, and reading a long one that
            // becomes none takes longer in the model.
            if hdr[1] != 0 || frame.len() > 10_000 {
                bench.run(3000 * US);
            }
        }
        Step::Link(up) => bench.nic.set_link(*up),
        Step::Command(bytes) => answer = Some(bench.command(bytes)),
        Step::Loopback(frame) => {
            spare_buffers(bench);
            bench.nic.bar_write(MAC_CTRL, 4, 3).unwrap();
            bench.send(1, [0; 12], frame);
            bench.nic.wire_send(WireFrame::new(0, vec![0xee; 90]));
            bench.run(40 * US);
            bench.nic.bar_write(MAC_CTRL, 4, 2).unwrap();
        }
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
// shows (RTL): 5.1.4.1-6, 5.1.4.1-7, 5.1.6.5-1, 5.1.6.5.1.1-1, 5.1.6.5.1.1-2, 5.1.6.5.2.1-2
// shows (RTL): 5.1.6.5.2.1-3, 5.1.6.5.3.1-1, 5.1.6.5.3.1-2, 5.1.6.5.6.2-1, 5.1.6.5.7.3-1
// shows (RTL): 5.1.6.5.7.3-2, 6.2-3
#[test]
fn the_rtl_and_the_model_do_the_same() {
    // Of all seeds: frames that were filtered, commands carried out, frames by receive queue.
    let (mut filtered, mut commands, mut spread) = (0, 0, [0; 4]);
    for seed in 0..36 {
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
            for (queue, ..) in &got.received {
                spread[usize::from(queue / 2)] += 1;
            }
        }
        let counters = rtl.counters(COUNTERS);
        assert_eq!(counters, model.counters(COUNTERS), "seed {seed}");
        assert_eq!(
            snapshot(&mut rtl),
            snapshot(&mut model),
            "snapshots, seed {seed}"
        );
        filtered += counters[Stat::RxFiltered as usize];
        commands += counters[Stat::CtrlOk as usize];
    }
    println!("{filtered} frames filtered, {commands} commands carried out, by queue {spread:?}");
    assert!(filtered > 20 && commands > 40 && spread.iter().all(|frames| *frames > 10));
}

/// Copies of all counters; nothing happens between the copy and the reads.
fn snapshot<D: Device>(bench: &mut Bench<D>) -> Vec<u64> {
    bench.nic.bar_write(SNAPSHOT, 4, 0).unwrap();
    let mut half = |at| u64::from(bench.nic.bar_read(at, 4).unwrap());
    let copies: Vec<u64> = (0..COUNTERS)
        .map(|index| half(FROZEN + 8 * index) | half(FROZEN + 8 * index + 4) << 32)
        .collect();
    assert_eq!(copies, bench.counters(COUNTERS));
    copies
}
