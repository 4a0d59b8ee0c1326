//! The whole card under traffic: frames arrive intact in both directions, messages come behind their
//! data, and neither idle skip nor the bus model's whims change what arrives.
#![cfg(feature = "nic")]

mod mini;

use hwmodel::{
    AxiHostConfig, BareModel, Counters, Device, DmaRecord, Nic, NicConfig, Ps, Recording, Stop,
    THIN_FEATURES, WireFrame, pci,
};
use mini::Mini;

/// Between frames, so that the slowest bus keeps up and nothing is dropped.
const SLOW: Ps = 20_000_000;

/// Frame `index`, with content that tells it from all others.
fn frame(index: u64) -> Vec<u8> {
    let len = 60 + (index * 37 % 1455) as usize;
    let mut bytes: Vec<u8> = (0..len)
        .map(|at| (at as u64 * 7 + index * 13) as u8)
        .collect();
    bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    bytes[12..14].copy_from_slice(&[0x88, 0xb5]); // local experimental EtherType
    bytes
}

fn assert_frame(bytes: &[u8], index: u64, place: &str) {
    let expected = frame(index);
    let differs = bytes.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(
        (bytes.len(), differs),
        (expected.len(), None),
        "frame {index} {place}: length, first difference"
    );
}

struct Seen {
    recording: Option<Recording>,
    messages: Vec<Ps>,
    echoed: Vec<(Ps, Ps)>,
    bursts: Vec<DmaRecord>,
    counters: Counters,
}

/// Sends `count` frames to the card, `spacing` apart or as fast as the wire takes them; its driver
/// sends each back. Checks both ways.
fn echo(config: NicConfig, count: u64, spacing: Ps) -> Seen {
    let mut mini = Mini::new(Nic::new(config).expect("a card")).expect("bring-up");
    mini.nic.set_dma_log(true);
    // max_virtqueue_pairs (virtio 5.1.4).
    let pairs = mini.nic.bar_read(pci::BAR_DEVICE_CFG + 8, 2).unwrap();
    assert_eq!(pairs, u32::from(mini.nic.config().queue_pairs));
    for index in 0..count {
        let at = mini.nic.now() + index * spacing;
        mini.nic.wire_send(WireFrame::new(at, frame(index)));
    }
    let (mut received, mut back) = (0, 0);
    let (mut messages, mut echoed) = (vec![], vec![]);
    let mut bytes = Vec::new();
    let end = mini.nic.now() + 20_000_000_000;
    while back < count {
        match mini.nic.run_until(end).expect("the card runs") {
            Stop::Time => panic!("{received} of {count} frames received, {back} sent back"),
            Stop::Msix => {
                let message = mini.nic.take_msix().expect("it was announced");
                assert_eq!((message.address, message.data), (0xfee0_0000, 0x41));
                assert_eq!(message.at, mini.nic.now() - 6400);
                messages.push(message.at);
            }
            Stop::WireTx => {
                let sent = mini.nic.take_wire().expect("it was announced");
                assert!(sent.fcs_ok);
                assert_frame(&sent.bytes, back, "on the wire");
                echoed.push((sent.at, sent.end));
                back += 1;
            }
        }
        let before = received;
        while mini.receive(&mut bytes) {
            assert_frame(&bytes, received, "in memory");
            assert!(mini.send(&bytes));
            received += 1;
        }
        if received > before {
            mini.refill().unwrap();
            mini.ring(1).unwrap();
        }
    }
    let counters = mini.nic.counters();
    assert_eq!(counters.msix_messages, messages.len() as u64);
    assert_eq!((counters.wire_in, counters.wire_out), (count, count));
    assert_eq!((counters.dma_refused, counters.bar_errors), (0, 0));
    Seen {
        messages,
        echoed,
        bursts: mini.nic.take_dma_log(),
        counters,
        recording: mini.nic.recording().cloned(),
    }
}

/// RTL that was built with everything and offers little is the RTL that was built with little.
#[test]
fn what_is_not_offered_is_as_if_not_built_cycle_by_cycle() {
    for axi in [AxiHostConfig::default(), AxiHostConfig::random(5)] {
        let config = NicConfig {
            features: THIN_FEATURES,
            record: true,
            axi,
            ..NicConfig::default()
        };
        let seen = echo(config.clone(), 60, SLOW);
        let recording = seen.recording.expect("it was asked for");
        let thin = BareModel::new(&config).replay(&recording.pins, true);
        let full = BareModel::full(&config).replay(&recording.pins, true);
        assert_eq!(thin, Ok(recording.hash));
        assert_eq!(full, thin);
        let two = NicConfig {
            queue_pairs: 2,
            ..config
        };
        let other = BareModel::full(&two).replay(&recording.pins, true);
        assert_ne!(other, thin, "the driver reads how many pairs there are");
    }
}

#[test]
fn frames_go_both_ways() {
    let seen = echo(NicConfig::default(), 200, 0);
    assert!(!seen.messages.is_empty());
    let payload: u64 = (0..200).map(|i| frame(i).len() as u64 + 12).sum();
    assert!(seen.counters.dma_read_bytes >= payload);
    assert!(seen.counters.dma_write_bytes >= payload);
}

#[test]
fn idle_skip_changes_nothing_under_traffic() {
    for axi in [AxiHostConfig::default(), AxiHostConfig::random(3)] {
        let run = |idle_skip| {
            let config = NicConfig {
                idle_skip,
                axi: axi.clone(),
                ..NicConfig::default()
            };
            echo(config, 60, SLOW)
        };
        let (skipped, ran) = (run(true), run(false));
        assert_eq!(skipped.messages, ran.messages);
        assert_eq!(skipped.echoed, ran.echoed);
        assert!(skipped.counters.cycles_skipped > 0);
        let total = |c: Counters| c.cycles + c.cycles_skipped;
        assert_eq!(total(skipped.counters), total(ran.counters));
        let same = |c| Counters {
            cycles: 0,
            cycles_skipped: 0,
            ..c
        };
        assert_eq!(same(skipped.counters), same(ran.counters));
    }
}

#[test]
fn any_bus_delivers_everything() {
    for seed in 0..20 {
        println!("seed {seed}");
        let config = NicConfig {
            axi: AxiHostConfig::random(seed),
            seed,
            ..NicConfig::default()
        };
        echo(config, 40, SLOW);
    }
}

#[test]
fn two_runs_are_the_same() {
    let run = || {
        let axi = AxiHostConfig::random(11);
        let seen = echo(
            NicConfig {
                axi,
                ..NicConfig::default()
            },
            50,
            SLOW,
        );
        (seen.messages, seen.echoed, seen.counters)
    };
    assert_eq!(run(), run());
}

/// A recording needs every cycle on its own; without one, most run many at a time.
#[test]
fn cycles_in_one_crossing_change_nothing() {
    let narrow = AxiHostConfig {
        max_reads: 2,
        max_writes: 1,
        ..AxiHostConfig::default()
    };
    let near = AxiHostConfig {
        read_latency: 20_000,
        write_latency: 70_000,
        ..AxiHostConfig::default()
    };
    let cases = [
        (AxiHostConfig::default(), SLOW / 10),
        (AxiHostConfig::default(), 0),
        (narrow, SLOW / 10),
        (near, 0),
        (AxiHostConfig::random(8), SLOW / 10),
    ];
    for (axi, spacing) in cases {
        for idle_skip in [false, true] {
            let run = |record| {
                let config = NicConfig {
                    record,
                    idle_skip,
                    axi: axi.clone(),
                    ..NicConfig::default()
                };
                let seen = echo(config, 60, spacing);
                (seen.messages, seen.echoed, seen.bursts, seen.counters)
            };
            assert_eq!(run(true), run(false));
        }
    }
}
