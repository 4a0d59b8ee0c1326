//! What a bad network does, with a seed: the same every time.

use super::super::testing::{Bench, MS, ip_packet};
use super::*;

fn netem(config: NetemConfig) -> Bench {
    Bench::new(Netem::new(&config, 7))
}

fn percent(percent: u32) -> Option<(u32, u32)> {
    Some(((u64::from(u32::MAX) * u64::from(percent) / 100) as u32, 0))
}

#[test]
fn a_delay_is_exact_and_keeps_the_order() {
    let mut bench = netem(NetemConfig {
        delay: Some((10 * MS as i64, 0, 0)),
        ..NetemConfig::default()
    });
    for n in 0..3 {
        bench.enqueue(n, 0, 100);
        bench.now += MS;
    }
    let sent = bench.run();
    assert_eq!(sent, [(0, 7 * MS), (1, 8 * MS), (2, 9 * MS)]);
}

#[test]
fn jitter_stays_within_and_reorders() {
    let mut bench = netem(NetemConfig {
        delay: Some((10 * MS as i64, 5 * MS as i64, 0)),
        limit: Some(10_000),
        ..NetemConfig::default()
    });
    for n in 0..2000 {
        bench.enqueue(n, 0, 100);
    }
    let sent = bench.run();
    assert_eq!(sent.len(), 2000);
    assert!(sent.iter().all(|(_, at)| (5 * MS..15 * MS).contains(at)));
    let mean = sent.iter().map(|(_, at)| at).sum::<u64>() / 2000;
    assert!(mean.abs_diff(10 * MS) < MS / 5, "{mean}");
    assert!(!sent.is_sorted_by_key(|(n, _)| *n));
}

#[test]
fn normal_jitter_has_its_deviation() {
    let mut bench = netem(NetemConfig {
        delay: Some((100 * MS as i64, 10 * MS as i64, 0)),
        normal: true,
        limit: Some(10_000),
        ..NetemConfig::default()
    });
    for n in 0..5000 {
        bench.enqueue(n, 0, 100);
    }
    let delays: Vec<f64> = bench
        .run()
        .iter()
        .map(|(_, at)| *at as f64 / MS as f64)
        .collect();
    let mean = delays.iter().sum::<f64>() / 5000.0;
    let variance = delays.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 5000.0;
    assert!((mean - 100.0).abs() < 1.0, "{mean}");
    assert!((variance.sqrt() - 10.0).abs() < 0.5, "{}", variance.sqrt());
}

#[test]
fn loss_duplicates_and_corruption_are_as_frequent_as_they_say() {
    let mut bench = netem(NetemConfig {
        loss: percent(20),
        duplicate: percent(10),
        corrupt: percent(5),
        limit: Some(100_000),
        ..NetemConfig::default()
    });
    for n in 0..10_000 {
        bench.enqueue_skb({
            let mut skb = ip_packet(100, 0);
            skb.mark = n;
            skb
        });
    }
    let sent = bench.drain();
    let mut unique = sent.clone();
    unique.dedup();
    // A packet is lost or doubled by independent chances; doubled and "lost" leaves one. A copy has a chance of loss of its own.
    let lost = bench.dropped.len();
    assert!((1900..2250).contains(&lost), "{lost}");
    assert!(
        (750..1050).contains(&(sent.len() + lost - 10_000)),
        "{}",
        sent.len()
    );
    assert_eq!(bench.held(), 0);
}

#[test]
fn equal_seeds_have_equal_results() {
    let run = |seed| {
        let mut bench = netem(NetemConfig {
            loss: percent(30),
            delay: Some((10 * MS as i64, 3 * MS as i64, u32::MAX / 4)),
            seed: Some(seed),
            ..NetemConfig::default()
        });
        for n in 0..200 {
            bench.enqueue(n, 0, 100);
        }
        bench.run()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_rate_spaces_packets() {
    // 8 Mbit/s: 1000 bytes take a millisecond, and the queue adds up.
    let mut bench = netem(NetemConfig {
        rate: Some(1_000_000),
        ..NetemConfig::default()
    });
    for n in 0..3 {
        bench.enqueue(n, 0, 1000);
    }
    assert_eq!(bench.run(), [(0, MS), (1, 2 * MS), (2, 3 * MS)]);
}

#[test]
fn every_fifth_packet_overtakes() {
    let mut bench = netem(NetemConfig {
        delay: Some((10 * MS as i64, 0, 0)),
        gap: Some(5),
        ..NetemConfig::default()
    });
    for n in 1..=10 {
        bench.enqueue(n, 0, 100);
    }
    let sent: Vec<u32> = bench.run().iter().map(|(n, _)| *n).collect();
    assert_eq!(sent, [10, 5, 1, 2, 3, 4, 6, 7, 8, 9]);
}
