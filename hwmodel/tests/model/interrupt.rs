//! Interrupts: vectors, suppression, moderation, masks, pending bits (2.8.10, 4.1.5.1.2, 5.1.6.5.9).

use crate::driver::{Bench, MEMORY, MSI, NEEDS_RESET, US};
use hwmodel::{Device, ModelConfig, Nic, NicConfig, Stop, model::feature};

const TX: u16 = 1;
const PBA: u32 = 0x5000;
const TABLE: u32 = 0x4000;

fn send(bench: &mut Bench, count: usize) {
    for _ in 0..count {
        bench.queue_frame(TX, [0; 12], &[1; 60]);
    }
    bench.kick(TX);
}

// shows (model): 4.1.5.1.2.1-2
#[test]
fn each_queue_has_its_vector() {
    let config = ModelConfig {
        queue_pairs: 2,
        ..ModelConfig::default()
    };
    let features = feature::MQ | feature::CTRL_VQ;
    let mut bench = Bench::start(config, features, 8);
    for queue in [1, 3] {
        bench.send(queue, [0; 12], &[1; 60]);
        bench.run(3 * US);
        assert_eq!(bench.messages(), [queue + 1]);
    }
    bench.fill(0, 1, 2048);
    bench.wire(&[0xff; 60]);
    bench.run(3 * US);
    assert_eq!(bench.messages(), [1]);
    bench.command(&[4, 0, 2, 0]);
    assert_eq!(bench.messages(), [5]);
}

#[test]
fn a_message_stops_the_run_when_it_is_there() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 8);
    bench.send(TX, [0; 12], &[1; 60]);
    let before = bench.nic.now();
    // Posted write, descriptor, data, 72 octets on the wire.
    assert_eq!(bench.nic.run_until(before + 100 * US), Ok(Stop::WireTx));
    let took = bench.nic.now() - before;
    assert!((1_307_000..1_340_000).contains(&took), "{took} ps");
    assert_eq!(bench.sent().len(), 1);
    // And the message, which is behind the used descriptor.
    assert_eq!(bench.nic.run_until(before + 100 * US), Ok(Stop::Msix));
    let took = bench.nic.now() - before;
    assert!((1_450_000..1_500_000).contains(&took), "{took} ps");
    assert_eq!(bench.used(TX).unwrap().len, 0, "data before interrupt");
    assert_eq!(bench.nic.take_msix().unwrap().at, bench.nic.now());
    let until = before + 100 * US;
    assert_eq!(bench.nic.run_until(until), Ok(Stop::Time));
    assert!((until..until + 6400).contains(&bench.nic.now()));
}

// shows (model): 2.8.10-1, 2.8.10-2
#[test]
fn the_driver_is_told_when_it_wants_to_be() {
    let mut bench = Bench::start(ModelConfig::default(), feature::RING_EVENT_IDX, 8);
    bench.set_driver_event(TX, 0, 1);
    send(&mut bench, 3);
    bench.run(5 * US);
    assert!(bench.messages().is_empty(), "disabled");
    // Places 3, 4, 5, 6, 7, then 0 of the next turn: told at place 6.
    bench.set_driver_event(TX, 6 | 1 << 15, 2);
    let mut told = Vec::new();
    for place in 3..11 {
        while bench.used(TX).is_some() {}
        send(&mut bench, 1);
        bench.run(5 * US);
        if !bench.messages().is_empty() {
            told.push(place);
        }
        if place == 6 {
            // The next turn has the other wrap counter.
            bench.set_driver_event(TX, 1, 2);
        }
    }
    assert_eq!(told, [6, 9]);
    bench.set_driver_event(TX, 0, 0);
    while bench.used(TX).is_some() {}
    send(&mut bench, 1);
    bench.run(5 * US);
    assert_eq!(bench.messages(), [2]);
}

// shows (model): 2.8.10-1
#[test]
fn without_event_idx_only_flags_count() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 8);
    for (flags, told) in [(0, true), (1, false), (2, true)] {
        bench.set_driver_event(TX, 0x7fff, flags);
        send(&mut bench, 1);
        bench.run(5 * US);
        assert_eq!(!bench.messages().is_empty(), told, "flags {flags}");
    }
}

fn coalesce(command: u8, packets: u32, usecs: u32) -> Vec<u8> {
    let mut bytes = vec![6, command];
    bytes.extend(packets.to_le_bytes());
    bytes.extend(usecs.to_le_bytes());
    bytes
}

// shows (model): 5.1.6.5.9.1-1, 5.1.6.5.9.4-1, 5.1.6.5.9.6-1
#[test]
fn notifications_are_moderated() {
    let features = feature::NOTF_COAL | feature::CTRL_VQ;
    let mut bench = Bench::start(ModelConfig::default(), features, 64);
    assert_eq!(bench.command(&coalesce(0, 4, 50)), 0);
    assert_eq!(bench.command(&coalesce(1, 3, 20)), 0);
    bench.messages();
    send(&mut bench, 10);
    bench.run(10 * US);
    assert_eq!(bench.messages(), [2, 2], "of 10 packets two times four");
    bench.run(50 * US);
    assert_eq!(bench.messages(), [2], "the rest when the time is over");
    bench.run(100 * US);
    assert!(bench.messages().is_empty());
    bench.fill(0, 8, 2048);
    bench.wire(&[0xff; 60]);
    bench.run(15 * US);
    assert!(bench.messages().is_empty());
    bench.run(10 * US);
    assert_eq!(bench.messages(), [1], "20 us after the first packet");
    // Packets that wait are due at once by new limits (5.1.6.5.9.4).
    send(&mut bench, 2);
    bench.run(5 * US);
    assert!(bench.messages().is_empty());
    assert_eq!(bench.command(&coalesce(0, 2, 50)), 0);
    assert_eq!(bench.messages(), [2, 3]);
    bench.bring_up(features, 64);
    bench.messages();
    send(&mut bench, 1);
    bench.run(5 * US);
    assert_eq!(bench.messages(), [2], "no moderation after reset");
}

/// Messages of the RTL with their times: bursts of packets on a moderated queue.
fn moderated(idle_skip: bool) -> Vec<(u64, u32)> {
    let config = NicConfig {
        idle_skip,
        memory: MEMORY,
        ..NicConfig::default()
    };
    let mut bench = Bench::with(Nic::new(config).unwrap(), 1);
    bench.bring_up(feature::NOTF_COAL | feature::CTRL_VQ, 64);
    assert_eq!(bench.command(&coalesce(0, 4, 50)), 0);
    assert_eq!(bench.command(&coalesce(1, 3, 20)), 0);
    while bench.nic.take_msix().is_some() {}
    let begin = bench.nic.now();
    let mut told = Vec::new();
    let mut wait = |bench: &mut Bench<Nic>, time| {
        // No register is read: the clock stands whenever it may.
        let until = bench.nic.now() + time;
        while bench.nic.run_until(until).unwrap() != Stop::Time {
            while bench.nic.take_wire().is_some() {}
            while let Some(message) = bench.nic.take_msix() {
                told.push((message.at - begin, ((message.address - MSI) / 16) as u32));
            }
        }
    };
    // Below the limit: when the time is over.
    for _ in 0..2 {
        bench.queue_frame(TX, [0; 12], &[1; 60]);
    }
    bench.kick(TX);
    wait(&mut bench, 100 * US);
    // At the limit: at once, and one that is over waits.
    for _ in 0..4 {
        bench.queue_frame(TX, [0; 12], &[1; 60]);
        bench.kick(TX);
        wait(&mut bench, 3 * US);
    }
    bench.queue_frame(TX, [0; 12], &[1; 60]);
    bench.kick(TX);
    wait(&mut bench, 100 * US);
    bench.fill(0, 8, 2048);
    bench.wire(&[0xff; 60]);
    wait(&mut bench, 100 * US);
    told
}

// shows (RTL): 5.1.6.5.9.1-1
#[test]
fn the_rtl_moderates_and_its_clock_stands_meanwhile() {
    let told = moderated(true);
    let vectors: Vec<u32> = told.iter().map(|(_, vector)| *vector).collect();
    assert_eq!(vectors, [2, 2, 2, 1]);
    let at: Vec<u64> = told.iter().map(|(at, _)| at / US).collect();
    // 50 us behind the first packet; with the fourth; 50 us behind the one that was over; 20 us.
    assert!(
        (50..54).contains(&at[0]) && (109..113).contains(&at[1]),
        "{at:?}"
    );
    assert!(
        (162..166).contains(&at[2]) && (232..236).contains(&at[3]),
        "{at:?}"
    );
    assert_eq!(moderated(false), told, "without idle skip");
}

#[test]
fn masked_messages_are_pending() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 32);
    let entry = TABLE + 16 * 2 + 12;
    for by_function in [false, true] {
        let mask = |bench: &mut Bench, on: bool| {
            if by_function {
                let value = 0x8000 | u32::from(on) << 14;
                bench.nic.config_write(0x82, 2, value);
            } else {
                bench.nic.bar_write(entry, 4, on.into()).unwrap();
            }
        };
        mask(&mut bench, true);
        for _ in 0..3 {
            send(&mut bench, 1);
            bench.run(5 * US);
        }
        assert!(bench.messages().is_empty());
        assert_eq!(bench.nic.bar_read(PBA, 4), Ok(1 << 2));
        mask(&mut bench, false);
        bench.run(US);
        assert_eq!(bench.messages(), [2], "once");
        assert_eq!(bench.nic.bar_read(PBA, 4), Ok(0));
    }
}

/// A driver that masks and reads back gets no message any more.
#[test]
fn the_read_of_a_mask_is_behind_all_messages() {
    for delay in 0..60 {
        let mut bench = Bench::start(ModelConfig::default(), 0, 32);
        send(&mut bench, 1);
        let until = bench.nic.now() + delay * 32_000;
        while bench.nic.now() < until && bench.nic.run_until(until) != Ok(Stop::Time) {
            bench.nic.take_wire();
            if bench.nic.run_until(until) == Ok(Stop::Msix) {
                break;
            }
        }
        bench.nic.bar_write(TABLE + 44, 4, 1).unwrap();
        bench.nic.bar_read(TABLE + 44, 4).unwrap();
        let before = bench.messages().len();
        bench.run(20 * US);
        assert!(bench.messages().is_empty(), "delay {delay}");
        let pending = bench.nic.bar_read(PBA, 4).unwrap() >> 2 & 1;
        assert_eq!(before + pending as usize, 1, "neither lost nor twice");
    }
}

#[test]
fn messages_may_go_to_memory() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 8);
    let at = bench.alloc(16);
    let words = [at as u32, (at >> 32) as u32, 0x1234_5678];
    for (word, value) in (0u32..).zip(words) {
        bench
            .nic
            .bar_write(TABLE + 32 + 4 * word, 4, value)
            .unwrap();
    }
    send(&mut bench, 1);
    bench.run(5 * US);
    assert_eq!(bench.peek(at, 4), 0x1234_5678u32.to_le_bytes());
    bench.nic.bar_write(TABLE + 36, 4, 0xffff_0000).unwrap();
    send(&mut bench, 1);
    bench.run(5 * US);
    assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET, "refused");
    assert_eq!(bench.messages(), [0]);
}
