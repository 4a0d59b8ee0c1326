//! The packed ring over many turns (2.8): wrap counters, doorbells, tables.

use crate::driver::{Bench, US};
use hwmodel::{Device, ModelConfig, model::feature};

const TX: u16 = 1;

// shows (model): 2.8.1-1, 2.8.6-1, 2.8.7-1, 2.8.12-1, 2.8.18-1, 6.2-2
#[test]
fn many_turns_with_chains_of_every_length() {
    for size in [1u16, 2, 3, 7, 16, 100] {
        let features = feature::RING_EVENT_IDX | feature::IN_ORDER | feature::RING_INDIRECT_DESC;
        let mut bench = Bench::start(ModelConfig::default(), features, size);
        let frame = [[0; 12].to_vec(), (0..120).collect()].concat();
        let at = bench.alloc(frame.len());
        bench.poke(at, &frame);
        for turn in 0..60u16 {
            let count = 1 + turn % size.min(9);
            let step = 132 / u32::from(count);
            let mut parts = Vec::new();
            for index in 0..u32::from(count) {
                let len = if index + 1 == count.into() {
                    132 - index * step
                } else {
                    step
                };
                parts.push((at + u64::from(index * step), len, false));
            }
            if turn % 5 == 4 {
                bench.post_indirect(TX, &parts);
            } else {
                bench.post(TX, &parts);
            }
            bench.kick(TX);
            bench.run(3 * US);
            let used = bench
                .used(TX)
                .unwrap_or_else(|| panic!("turn {turn} of {size}"));
            assert_eq!(used.parts, parts);
            assert_eq!(bench.sent(), [&frame[12..]]);
        }
        assert_eq!(bench.used(TX), None);
    }
}

// shows (model): 2.8.10-3
#[test]
fn doorbells_are_wanted_only_while_the_device_sleeps() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 64);
    assert_eq!(bench.device_event(TX), 0, "asleep: every buffer");
    for _ in 0..40 {
        bench.queue_frame(TX, [0; 12], &[1; 1500]);
    }
    bench.kick(TX);
    bench.run(2 * US);
    assert_eq!(bench.device_event(TX), 1, "at work");
    bench.queue_frame(TX, [0; 12], &[2; 60]);
    bench.run(100 * US);
    assert_eq!(bench.sent().len(), 41, "found without a doorbell");
    assert_eq!(bench.device_event(TX), 0);
    let mut indexed = Bench::start(ModelConfig::default(), feature::RING_EVENT_IDX, 64);
    assert_eq!(indexed.device_event(TX), 2, "at a descriptor");
    indexed.send(TX, [0; 12], &[1; 60]);
    indexed.run(5 * US);
    let at = indexed.rings[&TX].device;
    assert_eq!(
        indexed.peek(at, 4),
        [1, 0x80, 2, 0],
        "the next one, wrap counter 1"
    );
}

/// Buffers that were made available before the queue went to work need no doorbell.
// shows (model): 2.1.2-2, 2.1.2-3
#[test]
fn a_queue_looks_once_when_it_starts() {
    let mut bench = Bench::new(ModelConfig::default());
    bench.negotiate(0);
    bench.enable(0, 8);
    bench.enable(TX, 8);
    bench.queue_frame(TX, [0; 12], &[1; 60]);
    bench.run(5 * US);
    assert!(bench.sent().is_empty(), "not before DRIVER_OK");
    assert_eq!(bench.nic.counters().dma_read_bytes, 0);
    bench.driver_ok();
    bench.run(5 * US);
    assert_eq!(bench.sent(), [[1; 60]]);
}
