//! Resets and errors: of the device, of a queue, of the function, at any moment; DMA that is refused.

use crate::{
    driver::{Bench, NEEDS_RESET, NEXT, US, WRITE},
    frames::Spec,
};
use hwmodel::{
    Counters, Device, ModelConfig,
    model::{Stat, feature},
};

const RX: u16 = 0;
const TX: u16 = 1;
const FEATURES: u64 = feature::RING_RESET
    | feature::MQ
    | feature::CTRL_VQ
    | feature::GUEST_CSUM
    | feature::GUEST_TSO4
    | feature::MRG_RXBUF;

fn config() -> ModelConfig {
    ModelConfig {
        queue_pairs: 2,
        ..ModelConfig::default()
    }
}

fn segment(index: u32) -> Vec<u8> {
    Spec {
        protocol: 6,
        seq: 1000 * index,
        payload: vec![1; 1000],
        ..Spec::default()
    }
    .frame()
}

/// Frames both ways, some held by coalescing, some without buffers.
fn traffic(bench: &mut Bench) {
    bench.fill(RX, 8, 2048);
    for index in 0..20 {
        bench.wire(&segment(index / 4 + 100 * (index % 3)));
        bench.queue_frame(TX, [0; 12], &[2; 1200]);
        bench.queue_frame(3, [0; 12], &[3; 300]);
    }
    bench.kick(TX);
    bench.kick(3);
}

fn works(bench: &mut Bench) {
    bench.sent();
    bench.send(TX, [0; 12], &[5; 100]);
    bench.fill(RX, 2, 2048);
    bench.wire(&[0xff; 100]);
    bench.run(30 * US);
    assert!(bench.sent().contains(&vec![5; 100]));
    let received = std::iter::from_fn(|| bench.receive(RX));
    assert!(received.map(|r| r.frame).any(|frame| frame == [0xff; 100]));
}

fn dma(counters: Counters) -> [u64; 4] {
    let Counters {
        dma_read_bytes,
        dma_write_bytes,
        dma_refused,
        msix_messages,
        ..
    } = counters;
    [dma_read_bytes, dma_write_bytes, dma_refused, msix_messages]
}

/// Every good frame is in a buffer or in a counter.
fn accounted(bench: &Bench) {
    let stat = |stat| bench.nic.stat(stat);
    let ends = [
        Stat::RxDisabled,
        Stat::RxNoSpace,
        Stat::RxTruncated,
        Stat::RxFiltered,
        Stat::RxNoBuffer,
    ];
    let lost: u64 = ends.map(stat).iter().sum();
    assert!(lost <= stat(Stat::RxFrames));
    assert!(lost + stat(Stat::RxBuffers) >= stat(Stat::RxFrames) - stat(Stat::RxCoalesced));
}

// shows (model): 2.1.2-1, 2.4.1-1, 2.4.1-2, 4.1.4.3.1-6
#[test]
fn a_device_reset_is_quiet_at_any_moment() {
    let mut bench = Bench::new(config());
    for step in 0..60u64 {
        bench.bring_up(FEATURES, 64);
        traffic(&mut bench);
        bench.run(step * 700_000);
        bench.reset();
        bench.messages();
        let before = dma(bench.nic.counters());
        while bench.nic.wire_pending() > 0 {
            bench.run(10 * US);
        }
        bench.run(60 * US);
        assert_eq!(dma(bench.nic.counters()), before, "step {step}");
        bench.sent();
        bench.run(60 * US);
        assert!(bench.sent().is_empty(), "a frame long after the reset");
        accounted(&bench);
    }
    bench.bring_up(FEATURES, 64);
    works(&mut bench);
}

// shows (model): 2.6.1.1.1-3, 4.1.4.3.1-10, 4.1.4.3.1-12
#[test]
fn a_queue_reset_leaves_the_others_alone() {
    let mut bench = Bench::start(config(), FEATURES, 64);
    for step in 0..40u64 {
        traffic(&mut bench);
        bench.run(step * 500_000);
        let queue = [RX, TX][step as usize % 2];
        bench.reset_queue(queue);
        bench.run(60 * US);
        bench.enable(queue, 64);
        while bench.used(3).is_some() {}
        // Old buffers: all queues begin anew, but for the one that was at work.
        for other in [RX, TX].into_iter().filter(|other| *other != queue) {
            bench.reset_queue(other);
            bench.enable(other, 64);
        }
        let others = bench.sent().iter().filter(|frame| frame[0] == 3).count();
        assert_eq!(others, 20, "all of the other transmit queue, step {step}");
        bench.messages();
        accounted(&bench);
    }
    works(&mut bench);
}

#[test]
fn a_function_level_reset_takes_everything() {
    let mut bench = Bench::start(config(), FEATURES, 64);
    traffic(&mut bench);
    bench.run(3 * US);
    bench.nic.config_write(0x48, 2, 0x8000);
    assert_eq!(bench.nic.config_read(0x04, 2), 0, "command register");
    assert_eq!(bench.nic.stat(Stat::TxFrames), 0, "counters");
    let before = dma(bench.nic.counters());
    let until = bench.nic.now() + 100 * US;
    while bench.nic.now() < until {
        bench.nic.run_until(until).unwrap();
        bench.sent();
        bench.messages();
    }
    let after = dma(bench.nic.counters());
    assert_eq!(after[..3], before[..3]);
    bench.nic.config_write(0x04, 2, 6);
    assert_eq!(bench.status(), 0);
    assert_eq!(bench.nic.bar_read(0x400c, 4), Ok(1), "vectors are masked");
    bench.bring_up(FEATURES, 64);
    works(&mut bench);
}

/// What a driver can do wrong, and what it costs.
// shows (model): 2.1.2-4
#[test]
fn a_broken_queue_stops_alone_and_says_so() {
    const NOWHERE: u64 = 0x7700_0000_0000;
    type Crime = fn(&mut Bench, u16);
    let crimes: [(&str, u16, Crime, bool); 8] = [
        (
            "buffer nowhere",
            TX,
            |b, q| b.post(q, &[(NOWHERE, 100, false)]),
            true,
        ),
        (
            "buffer at the end",
            TX,
            |b, q| b.post(q, &[(u64::MAX - 50, 100, false)]),
            true,
        ),
        (
            "receive buffer nowhere",
            RX,
            |b, q| b.post(q, &[(NOWHERE, 2048, true)]),
            true,
        ),
        (
            "writable",
            TX,
            |b, q| b.post(q, &[(NOWHERE, 100, true)]),
            false,
        ),
        (
            "readable",
            RX,
            |b, q| b.post(q, &[(NOWHERE, 2048, false)]),
            false,
        ),
        (
            "indirect",
            TX,
            |b, q| b.post_indirect(q, &[(NOWHERE, 100, false)]),
            false,
        ),
        ("endless", TX, endless, false),
        (
            "ring nowhere",
            TX,
            |b, q| {
                b.reset_queue(q);
                b.enable_at(q, 8, [NOWHERE; 3]);
            },
            true,
        ),
    ];
    for (name, queue, crime, refused) in crimes {
        let mut bench = Bench::start(config(), FEATURES, 8);
        bench.messages();
        crime(&mut bench, queue);
        bench.kick(queue);
        bench.wire(&[0xff; 100]);
        bench.run(10 * US);
        assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET, "{name}");
        assert_eq!(
            bench.messages().iter().filter(|v| **v == 0).count(),
            1,
            "{name}"
        );
        assert_eq!(bench.nic.stat(Stat::DmaError), refused.into(), "{name}");
        // The other pair goes on.
        bench.sent();
        bench.send(3, [0; 12], &[3; 100]);
        bench.run(10 * US);
        assert_eq!(bench.sent(), [[3; 100]], "{name}");
        bench.bring_up(FEATURES, 64);
        works(&mut bench);
    }
}

/// As many linked descriptors as the ring has.
fn endless(bench: &mut Bench, queue: u16) {
    let at = bench.alloc(64);
    bench.post(queue, &[(at, 8, false); 8]);
    let last = bench.rings[&queue].desc + 7 * 16 + 14;
    bench.poke(last, &(NEXT | 1 << 7).to_le_bytes());
    assert_eq!(WRITE & NEXT, 0);
}

#[test]
fn bus_mastering_off_is_a_refusal() {
    let mut bench = Bench::start(config(), FEATURES, 8);
    bench.nic.config_write(0x04, 2, 2);
    bench.send(TX, [0; 12], &[1; 60]);
    bench.run(10 * US);
    assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET);
    assert!(
        bench.messages().is_empty(),
        "no message without bus mastering"
    );
    bench.nic.config_write(0x04, 2, 6);
    bench.run(US);
    assert_eq!(bench.messages(), [0], "it was pending");
}

// shows (model): 2.1.2-4
#[test]
fn illegal_queue_sizes_stop_the_device() {
    for size in [0, 1025, 0xffff] {
        let mut bench = Bench::new(ModelConfig::default());
        bench.negotiate(0);
        bench.driver_ok();
        bench.write(0x16, 2, 1);
        bench.write(0x18, 2, size);
        bench.write(0x1c, 2, 1);
        assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET, "{size}");
        bench.run(US);
        assert_eq!(bench.messages(), [0]);
    }
}
