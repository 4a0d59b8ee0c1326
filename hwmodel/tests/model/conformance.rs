//! Requirements of the specification that no other test shows, on the model and on the RTL.

use crate::{
    driver::{Bench, MEMORY, US},
    frames::Spec,
    receive::rss,
};
use hwmodel::{
    Device, ModelConfig, ModelNic, Nic, NicConfig,
    model::{Stat, feature, hash_type},
};

const RX: u16 = 0;
const TX: u16 = 1;
const NO_VECTOR: u32 = 0xffff;
/// Fields of the common configuration (4.1.4.3).
const CONFIG_MSIX_VECTOR: u32 = 0x10;
const CONFIG_GENERATION: u32 = 0x15;
const QUEUE_SELECT: u32 = 0x16;
const QUEUE_MSIX_VECTOR: u32 = 0x1a;
const QUEUE_ENABLE: u32 = 0x1c;
const QUEUE_RESET: u32 = 0x3a;
/// ISR status (4.1.4.5).
const ISR: u32 = 0x1000;
/// Message Control of the MSI-X capability, in configuration space.
const MSIX_CONTROL: u16 = 0x82;

fn model(queue_pairs: u16) -> Bench<ModelNic> {
    Bench::new(ModelConfig {
        queue_pairs,
        ..ModelConfig::default()
    })
}

fn rtl(queue_pairs: u16) -> Bench<Nic> {
    let config = NicConfig {
        queue_pairs,
        memory: MEMORY,
        ..NicConfig::default()
    };
    Bench::with(Nic::new(config).unwrap(), queue_pairs)
}

fn read_queue<D: Device>(bench: &mut Bench<D>, queue: u16, field: u32) -> u32 {
    bench.write(QUEUE_SELECT, 2, queue.into());
    bench.read(field, 2)
}

fn send<D: Device>(bench: &mut Bench<D>) {
    bench.queue_frame(TX, [0; 12], &[1; 60]);
    bench.kick(TX);
}

// shows (RTL): 4.1.4.3.1-7, 4.1.4.3.1-8, 4.1.5.1.2.1-5
// shows (model): 4.1.4.3.1-7, 4.1.4.3.1-8, 4.1.5.1.2.1-5
#[test]
fn a_reset_takes_queues_and_vectors_away() {
    fn check<D: Device>(mut bench: Bench<D>) {
        let features = feature::RING_RESET | feature::MQ | feature::CTRL_VQ;
        bench.bring_up(features, 16);
        for queue in 0..5 {
            let vector = read_queue(&mut bench, queue, QUEUE_MSIX_VECTOR);
            assert_eq!(vector, u32::from(queue) + 1);
            assert_eq!(read_queue(&mut bench, queue, QUEUE_ENABLE), 1);
        }
        assert_eq!(bench.read(CONFIG_MSIX_VECTOR, 2), 0);
        bench.reset();
        assert_eq!(bench.read(CONFIG_MSIX_VECTOR, 2), NO_VECTOR);
        assert!(bench.negotiate(features));
        for queue in 0..5 {
            let vector = read_queue(&mut bench, queue, QUEUE_MSIX_VECTOR);
            assert_eq!(vector, NO_VECTOR, "queue {queue}");
            assert_eq!(read_queue(&mut bench, queue, QUEUE_ENABLE), 0);
            assert_eq!(read_queue(&mut bench, queue, QUEUE_RESET), 0);
        }
    }
    check(model(2));
    check(rtl(2));
}

// shows (RTL): 4.1.4.3.1-9, 4.1.4.3.1-12
// shows (model): 4.1.4.3.1-9, 4.1.4.3.1-12
#[test]
fn a_queue_that_is_enabled_again_is_not_in_reset() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(feature::RING_RESET, 16);
        bench.reset_queue(TX);
        assert_eq!(read_queue(&mut bench, TX, QUEUE_ENABLE), 0);
        assert_eq!(read_queue(&mut bench, TX, QUEUE_RESET), 0);
        bench.enable(TX, 16);
        assert_eq!(read_queue(&mut bench, TX, QUEUE_ENABLE), 1);
        assert_eq!(read_queue(&mut bench, TX, QUEUE_RESET), 0);
    }
    check(model(1));
    check(rtl(1));
}

// shows (RTL): 4.1.5.1.2.1-3, 4.1.5.1.2.1-4, 4.1.5.3.1-1
// shows (model): 4.1.5.1.2.1-3, 4.1.5.1.2.1-4, 4.1.5.3.1-1
#[test]
fn a_queue_without_a_vector_is_silent() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(0, 16);
        bench.write(QUEUE_SELECT, 2, TX.into());
        bench.write(QUEUE_MSIX_VECTOR, 2, NO_VECTOR);
        assert_eq!(bench.read(QUEUE_MSIX_VECTOR, 2), NO_VECTOR);
        bench.messages();
        send(&mut bench);
        bench.run(20 * US);
        assert!(bench.used(TX).is_some());
        assert!(bench.messages().is_empty());
        bench.write(QUEUE_MSIX_VECTOR, 2, 2);
        assert_eq!(bench.read(QUEUE_MSIX_VECTOR, 2), 2);
        bench.run(20 * US);
        assert!(bench.messages().is_empty(), "nothing waited");
        send(&mut bench);
        bench.run(20 * US);
        assert_eq!(bench.messages(), [2]);
    }
    check(model(1));
    check(rtl(1));
}

// shows (RTL): 4.1.5.1.2.1-3, 4.1.5.4.1-1
// shows (model): 4.1.5.1.2.1-3, 4.1.5.4.1-1
#[test]
fn configuration_changes_without_a_vector_are_silent() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(feature::STATUS, 16);
        bench.write(CONFIG_MSIX_VECTOR, 2, NO_VECTOR);
        assert_eq!(bench.read(CONFIG_MSIX_VECTOR, 2), NO_VECTOR);
        bench.messages();
        bench.nic.set_link(false);
        bench.run(20 * US);
        assert_eq!(bench.device_config(6, 2), 0);
        assert!(bench.messages().is_empty());
        bench.write(CONFIG_MSIX_VECTOR, 2, 0);
        bench.run(20 * US);
        assert!(bench.messages().is_empty(), "nothing waited");
        bench.nic.set_link(true);
        bench.run(20 * US);
        assert_eq!(bench.messages(), [0]);
    }
    check(model(1));
    check(rtl(1));
}

// shows (RTL): 5.1.4.1-3
// shows (model): 5.1.4.1-3
#[test]
fn mtu_stays() {
    fn check<D: Device>(mut bench: Bench<D>) {
        const MTU: u32 = 10;
        let mtu = bench.device_config(MTU, 2);
        for _ in 0..2 {
            bench.bring_up(feature::MTU, 16);
            send(&mut bench);
            bench.nic.set_link(false);
            // It is read-only for the driver; whether the write is refused does not matter.
            let _ = bench.nic.bar_write(0x2000 + MTU, 2, 68);
            bench.run(20 * US);
            bench.nic.set_link(true);
            assert_eq!(bench.device_config(MTU, 2), mtu);
        }
        bench.reset();
        assert_eq!(bench.device_config(MTU, 2), mtu);
    }
    check(model(1));
    check(rtl(1));
}

// shows (RTL): 2.1.2-2, 2.1.2-3
// shows (model): 2.1.2-2, 2.1.2-3
#[test]
fn nothing_is_consumed_before_driver_ok() {
    fn check<D: Device>(mut bench: Bench<D>) {
        assert!(bench.negotiate(0));
        bench.enable(RX, 8);
        bench.enable(TX, 8);
        bench.fill(RX, 4, 2048);
        send(&mut bench);
        bench.wire(&[0xff; 100]);
        bench.run(20 * US);
        let counters = bench.nic.counters();
        assert_eq!((counters.dma_read_bytes, counters.dma_write_bytes), (0, 0));
        assert!(bench.sent().is_empty() && bench.messages().is_empty());
        assert!(bench.used(TX).is_none() && bench.used(RX).is_none());
        bench.driver_ok();
        bench.kick(TX);
        bench.run(20 * US);
        assert_eq!(bench.sent(), [[1; 60]]);
    }
    check(model(1));
    check(rtl(1));
}

// shows (RTL): 5.1.6.5.6.2-3
// shows (model): 5.1.6.5.6.2-3
#[test]
fn frames_are_dropped_while_no_receive_queue_is_there() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(feature::MQ | feature::CTRL_VQ | feature::RING_RESET, 16);
        assert_eq!(bench.command(&[4, 0, 2, 0]), 0);
        let disabled = Stat::RxDisabled as usize;
        let before = bench.counters(disabled as u32 + 1)[disabled];
        bench.reset_queue(RX);
        bench.reset_queue(RX + 2);
        for value in 0..3 {
            bench.wire(&[value; 100]);
        }
        bench.run(20 * US);
        let after = bench.counters(disabled as u32 + 1)[disabled];
        assert_eq!(after - before, 3);
        for queue in [RX, RX + 2] {
            bench.enable(queue, 16);
            bench.fill(queue, 8, 2048);
        }
        bench.run(20 * US);
        assert!(bench.used(RX).is_none() && bench.used(RX + 2).is_none());
    }
    check(model(2));
    check(rtl(2));
}

/// Flows that came to the last pair come to one of the first two when no more are in use.
// shows (model): 5.1.6.5.6.2-2
#[test]
fn no_frame_comes_to_a_pair_that_is_not_in_use() {
    let mut bench = model(4);
    bench.bring_up(feature::MQ | feature::CTRL_VQ, 64);
    for pair in 0..4 {
        bench.fill(2 * pair, 32, 2048);
    }
    assert_eq!(bench.command(&[4, 0, 4, 0]), 0);
    let flow = |port: u16| Spec {
        ports: [port, 53],
        ..Spec::default()
    };
    let back = |port: u16| {
        let Spec { hosts, ports, .. } = flow(port);
        Spec {
            hosts: [hosts[1], hosts[0]],
            ports: [ports[1], ports[0]],
            ..flow(port)
        }
        .frame()
    };
    for port in 0..16 {
        bench.send(7, [0; 12], &flow(port).frame());
        bench.run(3 * US);
        bench.wire(&back(port));
        bench.run(3 * US);
        assert_eq!(bench.receive(6).unwrap().frame, back(port));
    }
    assert_eq!(bench.command(&[4, 0, 2, 0]), 0);
    for port in 0..16 {
        bench.wire(&back(port));
        bench.run(3 * US);
        let received = bench.receive(0).or_else(|| bench.receive(2));
        assert_eq!(received.unwrap().frame, back(port));
    }
    assert!(bench.used(4).is_none() && bench.used(6).is_none());
}

// shows (RTL): 5.1.6.5.9.6-2
// shows (model): 5.1.6.5.9.6-2
#[test]
fn a_queue_that_is_enabled_again_is_moderated_as_its_kind() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(
            feature::NOTF_COAL | feature::CTRL_VQ | feature::RING_RESET,
            16,
        );
        // Transmit queues: four packets or 50 us.
        assert_eq!(bench.command(&[6, 0, 4, 0, 0, 0, 50, 0, 0, 0]), 0);
        bench.reset_queue(TX);
        bench.enable(TX, 16);
        bench.messages();
        send(&mut bench);
        bench.run(30 * US);
        assert!(bench.messages().is_empty());
        bench.run(30 * US);
        assert_eq!(bench.messages(), [2]);
    }
    check(model(1));
    check(rtl(1));
}

// shows (RTL): 4.1.4.5.1-2, 4.1.4.5.1-3, 4.1.4.5.1-5
// shows (model): 4.1.4.5.1-2, 4.1.4.5.1-3, 4.1.4.5.1-5
#[test]
fn without_msix_there_is_the_isr() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(0, 8);
        bench.nic.config_write(MSIX_CONTROL, 2, 0);
        send(&mut bench);
        bench.run(5 * US);
        bench.nic.set_link(false);
        bench.run(US);
        assert_eq!(bench.nic.bar_read(ISR, 1), Ok(3));
        assert_eq!(bench.nic.bar_read(ISR, 1), Ok(0), "cleared by the read");
        bench.nic.config_write(MSIX_CONTROL, 2, 0x8000);
        bench.run(5 * US);
        assert!(bench.messages().is_empty(), "nothing waited");
    }
    check(model(1));
    check(rtl(1));
}

/// With automatic steering the model takes another queue instead, a SHOULD (5.1.6.5.6.2) that the RTL leaves.
// shows (RTL): 2.6.1.1.1-1, 5.1.6.5.7.3-3
// shows (model): 2.6.1.1.1-1, 5.1.6.5.7.3-3
#[test]
fn a_queue_in_reset_loses_its_packets_with_rss() {
    fn dropped<D: Device>(bench: &mut Bench<D>) -> u64 {
        let disabled = Stat::RxDisabled as usize;
        bench.counters(disabled as u32 + 1)[disabled]
    }
    fn check<D: Device>(mut bench: Bench<D>) -> Bench<D> {
        let frame = Spec::default().frame();
        bench.bring_up(
            feature::RSS | feature::MQ | feature::CTRL_VQ | feature::RING_RESET,
            16,
        );
        assert_eq!(bench.command(&rss(&[1], 1, hash_type::SUPPORTED, 2)), 0);
        bench.fill(0, 4, 2048);
        bench.reset_queue(2);
        let before = dropped(&mut bench);
        bench.wire(&frame);
        bench.run(3 * US);
        assert_eq!(dropped(&mut bench), before + 1);
        bench
    }
    check(rtl(2));
    let mut bench = check(model(2));
    let before = dropped(&mut bench);
    assert_eq!(bench.command(&[4, 0, 2, 0]), 0, "automatic steering");
    for port in 0..4 {
        let spec = Spec {
            ports: [port, 9],
            ..Spec::default()
        };
        bench.wire(&spec.frame());
        bench.run(3 * US);
    }
    let seen = std::iter::from_fn(|| bench.receive(0)).count();
    assert_eq!(seen, 4, "all of them, to the queue that is left");
    assert_eq!(dropped(&mut bench), before);
}

// shows (RTL): 5.1.6.5.6-1, 5.1.6.5.6.2-2
#[test]
fn a_flow_has_one_queue_and_that_is_in_use() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(feature::MQ | feature::CTRL_VQ, 64);
        for pairs in [4, 2, 3] {
            assert_eq!(bench.command(&[4, 0, pairs, 0]), 0);
            for pair in 0..4 {
                bench.fill(2 * pair, 12, 2048);
                bench.kick(2 * pair);
            }
            let mut seen = [0; 4];
            for port in 0..12 {
                let frame = Spec {
                    ports: [port, 53],
                    ..Spec::default()
                }
                .frame();
                bench.wire(&frame);
                bench.run(3 * US);
                let pair = (0..4).find(|pair| bench.receive(2 * pair).is_some());
                let pair = pair.expect("the frame came");
                assert!(pair < u16::from(pairs));
                seen[usize::from(pair)] += 1;
                bench.fill(2 * pair, 1, 2048);
                bench.kick(2 * pair);
                bench.wire(&frame);
                bench.run(3 * US);
                assert!(bench.receive(2 * pair).is_some(), "the same queue");
            }
            let used = seen.iter().filter(|count| **count > 0).count();
            assert!(used > 1, "spread: {seen:?}");
        }
    }
    check(model(4));
    check(rtl(4));
}

/// What the driver sets itself is a change like any other.
// shows (RTL): 4.1.4.3.1-5
// shows (model): 4.1.4.3.1-5
#[test]
fn an_address_that_is_set_changes_the_generation() {
    fn check<D: Device>(mut bench: Bench<D>) {
        bench.bring_up(feature::CTRL_VQ | feature::CTRL_MAC_ADDR, 16);
        let generation = |bench: &mut Bench<D>| bench.read(CONFIG_GENERATION, 1);
        let mac = [2, 0, 0, 0, 7, 7];
        let command = [&[1, 1][..], &mac].concat();
        let first = generation(&mut bench);
        assert_eq!(bench.command(&command), 0);
        assert_eq!(bench.device_config(0, 1), 2);
        assert_eq!(bench.device_config(4, 2), 0x0707);
        let second = generation(&mut bench);
        assert_ne!(first, second);
        // Neither by what changes nothing, nor is there a configuration interrupt.
        assert_eq!(bench.command(&command), 0);
        assert_eq!(generation(&mut bench), second);
        assert!(!bench.messages().contains(&0));
        bench.reset();
        assert_ne!(bench.device_config(4, 2), 0x0707);
        assert_ne!(generation(&mut bench), second);
    }
    check(model(1));
    check(rtl(1));
}

/// What waits behind a mask is not sent of a queue that was reset; of a vector that another queue has, it is.
// shows (RTL): 2.6.1.1.1-2
// shows (model): 2.6.1.1.1-2
#[test]
fn a_queue_that_was_reset_is_not_pending() {
    fn check<D: Device>(mut bench: Bench<D>, shared: bool) {
        let (table, pba) = (0x4000, 0x5000);
        bench.bring_up(feature::RING_RESET, 16);
        let vector = if shared {
            let vector = u32::from(RX) + 1;
            bench.write(QUEUE_SELECT, 2, TX.into());
            bench.write(QUEUE_MSIX_VECTOR, 2, vector);
            vector
        } else {
            u32::from(TX) + 1
        };
        let mask = table + 16 * vector + 12;
        bench.write(mask, 4, 1);
        send(&mut bench);
        bench.run(10 * US);
        assert_eq!(bench.read(pba, 4), 1 << vector);
        bench.reset_queue(TX);
        bench.write(mask, 4, 0);
        bench.run(10 * US);
        let due: &[u16] = if shared { &[RX + 1] } else { &[] };
        assert_eq!(bench.messages(), due);
        assert_eq!(bench.read(pba, 4), 0);
    }
    for shared in [false, true] {
        check(model(1), shared);
        check(rtl(1), shared);
    }
}
