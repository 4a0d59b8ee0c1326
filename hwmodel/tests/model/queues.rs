//! Several queue pairs of the RTL: they share the wire fairly, and what goes wrong on one queue stops that
//! queue only.

use crate::driver::{Bench, MEMORY, NEEDS_RESET, US};
use hwmodel::{Device, Nic, NicConfig, Stop, model::feature};

const PAIRS: u16 = 4;
const FEATURES: u64 = feature::MQ | feature::CTRL_VQ | feature::RING_RESET;
/// Longer than the RTL waits for a completion: twice its WatchPeriod, and some.
const WATCH: u64 = 900 * US;

fn transmitq(pair: u16) -> u16 {
    2 * pair + 1
}

/// A card with all its queues at work.
fn card() -> Bench<Nic> {
    let config = NicConfig {
        queue_pairs: PAIRS,
        memory: MEMORY,
        ..NicConfig::default()
    };
    let mut bench = Bench::with(Nic::new(config).unwrap(), PAIRS);
    assert_eq!(bench.offered() & FEATURES, FEATURES);
    bench.bring_up(FEATURES, 64);
    bench.run(10 * US); // all queues have looked at their rings
    bench
}

/// Frame `number` of a queue; its length depends on both.
fn frame(queue: u16, number: u8) -> Vec<u8> {
    let len = 60 + usize::from(queue) * 71 + usize::from(number) * 17 % 500;
    let mut bytes = vec![number; len];
    bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]);
    bytes[12..15].copy_from_slice(&[0x88, 0xb5, queue as u8]);
    bytes
}

/// Queues `count` frames on each of `queues` and rings for all of them at the end.
fn send(bench: &mut Bench<Nic>, queues: &[u16], numbers: std::ops::Range<u8>) {
    for &queue in queues {
        for number in numbers.clone() {
            bench.queue_frame(queue, [0; 12], &frame(queue, number));
        }
    }
    for &queue in queues {
        bench.kick(queue);
    }
}

/// The frames that came of each queue, in order, and the order of the queues.
fn arrivals(bench: &mut Bench<Nic>) -> Vec<(u16, u8)> {
    bench
        .sent()
        .iter()
        .map(|bytes| {
            let (queue, number) = (u16::from(bytes[14]), bytes[15]);
            assert_eq!(bytes, &frame(queue, number));
            (queue, number)
        })
        .collect()
}

fn of(arrivals: &[(u16, u8)], queue: u16) -> Vec<u8> {
    let numbers = arrivals.iter().filter(|a| a.0 == queue).map(|a| a.1);
    numbers.collect()
}

fn returned(bench: &mut Bench<Nic>, queue: u16) -> usize {
    std::iter::from_fn(|| bench.used(queue)).count()
}

/// Sends on all queues but `broken`; all of it arrives.
fn others_go_on(bench: &mut Bench<Nic>, broken: u16, numbers: std::ops::Range<u8>) {
    let queues: Vec<u16> = (0..PAIRS).map(transmitq).filter(|q| *q != broken).collect();
    send(bench, &queues, numbers.clone());
    bench.run(60 * US);
    let seen = arrivals(bench);
    for &queue in &queues {
        assert_eq!(of(&seen, queue), numbers.clone().collect::<Vec<_>>());
        assert_eq!(returned(bench, queue), numbers.len());
    }
}

#[test]
fn all_queues_send_and_take_turns() {
    let mut bench = card();
    let queues: Vec<u16> = (0..PAIRS).map(transmitq).collect();
    send(&mut bench, &queues, 0..40);
    bench.run(200 * US);
    let seen = arrivals(&mut bench);
    for &queue in &queues {
        assert_eq!(of(&seen, queue), (0..40).collect::<Vec<_>>());
        assert_eq!(returned(&mut bench, queue), 40);
    }
    // The doorbells come one after the other; from then on all have something, and each gets its turn.
    let middle = &seen[40..120];
    for window in middle.windows(2 * usize::from(PAIRS)) {
        for queue in &queues {
            assert!(
                window.iter().any(|a| a.0 == *queue),
                "queue {queue} waits for more than its turn: {middle:?}"
            );
        }
    }
    assert_eq!(bench.status() & NEEDS_RESET, 0);
}

// shows (RTL): 2.1.2-4, 2.6.1.1.1-3, 4.1.4.3.1-10
#[test]
fn an_error_response_stops_its_queue_only() {
    for part in 0..2 {
        let mut bench = card();
        let broken = transmitq(2);
        // The frame's second half is where nothing is mapped; the first is on its way by then.
        let at = bench.alloc(4096);
        let mut parts = vec![(at, 3000, false), (0x6660_0000, 3000, false)];
        parts.rotate_left(part);
        bench.post(broken, &parts);
        send(&mut bench, &[1, 3, 7], 0..8);
        bench.kick(broken);
        bench.run(60 * US);
        let seen = arrivals(&mut bench);
        for queue in [1, 3, 7] {
            assert_eq!(of(&seen, queue), (0..8).collect::<Vec<_>>());
            assert_eq!(returned(&mut bench, queue), 8);
        }
        assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET);
        assert!(bench.messages().contains(&0), "a configuration interrupt");
        assert_eq!(returned(&mut bench, broken), 0);
        others_go_on(&mut bench, broken, 8..24);
        // 2.6.1: the queue comes back by its own reset.
        bench.reset_queue(broken);
        bench.enable(broken, 64);
        send(&mut bench, &[broken], 0..5);
        bench.run(30 * US);
        let seen = arrivals(&mut bench);
        assert_eq!(of(&seen, broken), (0..5).collect::<Vec<_>>());
    }
}

/// What of a queue gets no completions.
#[derive(Debug, Clone, Copy)]
enum Missing {
    Data,
    /// The second half of a frame that is too long to be stored before it is sent.
    Half,
    Descriptors,
    Event,
}

// shows (RTL): 2.1.2-4
#[test]
fn completions_that_never_come_stop_their_queue_only() {
    for missing in [
        Missing::Data,
        Missing::Half,
        Missing::Descriptors,
        Missing::Event,
    ] {
        println!("{missing:?}");
        let mut bench = card();
        let broken = transmitq(1);
        let at = bench.alloc(16 * 4096);
        let ring = &bench.rings[&broken];
        let hole = match missing {
            Missing::Data => at..at + 60_000,
            Missing::Half => at + 20_000..at + 60_000,
            Missing::Descriptors => ring.desc..ring.desc + 1024,
            Missing::Event => ring.driver..ring.driver + 4,
        };
        bench.nic.set_unanswered(&[hole]);
        match missing {
            Missing::Event => send(&mut bench, &[broken], 0..1),
            _ => {
                bench.post(broken, &[(at, 50_000, false)]);
                bench.kick(broken);
            }
        }
        let held = matches!(missing, Missing::Half);
        if !held {
            others_go_on(&mut bench, broken, 0..20);
            assert_eq!(bench.status() & NEEDS_RESET, 0, "it may still come");
        }
        bench.run(WATCH);
        assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET);
        assert!(bench.messages().contains(&0), "a configuration interrupt");
        others_go_on(&mut bench, broken, 20..40);

        // A reset does not wait for ever; the queue cannot be used before the answers have come.
        bench.reset_queue(broken);
        bench.enable(broken, 64);
        send(&mut bench, &[broken], 0..3);
        bench.run(20 * US);
        assert_eq!(arrivals(&mut bench), [], "a stopped queue sends nothing");
        others_go_on(&mut bench, broken, 40..50);
        bench.nic.set_unanswered(&[]);
        bench.run(20 * US);
        assert_eq!(arrivals(&mut bench), [], "what comes late is thrown away");

        bench.reset();
        bench.bring_up(FEATURES, 64);
        let queues: Vec<u16> = (0..PAIRS).map(transmitq).collect();
        send(&mut bench, &queues, 0..10);
        bench.run(60 * US);
        let seen = arrivals(&mut bench);
        for &queue in &queues {
            assert_eq!(of(&seen, queue), (0..10).collect::<Vec<_>>());
        }
        assert_eq!(bench.status() & NEEDS_RESET, 0);
    }
}

// shows (RTL): 2.4.1-1, 4.1.4.3.1-6
#[test]
fn a_device_reset_waits_for_lost_completions_within_a_bound() {
    let mut bench = card();
    let at = bench.alloc(4096);
    let hole = at..at + 4096;
    bench.nic.set_unanswered(std::slice::from_ref(&hole));
    bench.post(1, &[(at, 1000, false)]);
    bench.kick(1);
    bench.run(5 * US);
    bench.write(0x14, 1, 0);
    let begin = bench.nic.now();
    while bench.status() != 0 {
        assert!(bench.nic.now() < begin + WATCH, "the reset takes too long");
    }
    bench.nic.set_unanswered(&[]);
    bench.bring_up(FEATURES, 64);
    send(&mut bench, &[1], 0..10);
    bench.run(30 * US);
    assert_eq!(of(&arrivals(&mut bench), 1), (0..10).collect::<Vec<_>>());
}

/// A long command is under way when the card, or its control queue, is reset: at any moment of it.
// shows (RTL): 2.4.1-1, 2.6.1.1.1-1
#[test]
fn a_command_does_not_outlive_a_reset() {
    const FEATURES: u64 = feature::CTRL_VQ | feature::CTRL_RX | feature::RING_RESET;
    const CTRL: u16 = 2;
    /// Between one moment and the next; the whole command takes about 20 µs.
    const STEP: u64 = US / 5;
    let config = NicConfig {
        queue_pairs: 1,
        memory: MEMORY,
        ..NicConfig::default()
    };
    let mut bench = Bench::with(Nic::new(config).unwrap(), 1);
    // VIRTIO_NET_CTRL_MAC_TABLE_SET, 32 unicast addresses and 32 of groups (5.1.6.5.2).
    let entries = |first: u8| (0..32).flat_map(move |n| [first, 0, 0, 0, 1, n]);
    let unicast = [1, 0, 32, 0, 0, 0].into_iter().chain(entries(2));
    let table: Vec<u8> = unicast.chain([32, 0, 0, 0]).chain(entries(1)).collect();
    let mut late = 0;
    for moment in 0..150 {
        for device in [true, false] {
            bench.bring_up(FEATURES, 64);
            let (at, ack) = (bench.alloc(table.len()), bench.alloc(1));
            bench.poke(at, &table);
            bench.poke(ack, &[0xee]);
            bench.post(CTRL, &[(at, table.len() as u32, false), (ack, 1, true)]);
            bench.kick(CTRL);
            let until = bench.nic.now() + moment * STEP;
            while bench.nic.run_until(until).unwrap() != Stop::Time {
                bench.messages();
            }
            if device {
                bench.bring_up(FEATURES, 64);
            } else {
                bench.reset_queue(CTRL);
                bench.enable(CTRL, 64);
            }
            let answer = bench.peek(ack, 1);
            late += u64::from(answer == [0xee]);
            assert_eq!(bench.command(&[0, 0, 1]), 0, "moment {moment}, {device}");
            assert_eq!(bench.peek(ack, 1), answer, "moment {moment}, {device}");
        }
    }
    assert!((50..250).contains(&late), "{late} commands were cut off");
}
