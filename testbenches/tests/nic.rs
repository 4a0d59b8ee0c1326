//! The whole NIC.
#![cfg(feature = "nic")]

use testbenches::{Options, Testbench, nic};

fn run(bench: &Testbench, seed: u64) -> testbenches::Report {
    let report = (bench.run)(&Options {
        seed,
        ..Options::default()
    });
    let report = report.unwrap_or_else(|error| panic!("{}: {error}", bench.name));
    println!("{}, seed {seed}: {report}", bench.name);
    report
}

// shows (RTL): 2.7.4.1-1, 2.8.1-1, 2.8.4-1, 2.8.6-1, 2.8.10-2, 2.8.10-3, 2.8.12-1, 2.8.15-1
// shows (RTL): 2.8.18-1
// shows (RTL): 5.1.4.1-4, 5.1.6.2-1, 5.1.6.2.2-4, 5.1.6.3.2-1, 5.1.6.3.2-2, 5.1.6.5.3.1-1, 6.2-2
// shows (RTL): 5.1.6.4.1-1, 5.1.6.4.1-5, 5.1.6.4.1-6, 5.1.6.4.1-7, 5.1.6.4.1-8, 5.1.6.4.1-9
// shows (RTL): 5.1.6.4.1-14, 5.1.6.4.1-17, 5.1.6.4.1-18
#[test]
fn traffic() {
    let mut report = testbenches::Report::default();
    // 31 once saw a message that left behind the answer to the read after its mask.
    for seed in [1, 2, 3, 31] {
        report.merge(&run(&nic::NIC_TRAFFIC, seed));
    }
    for what in [
        "frames received",
        "frames transmitted",
        "kicks saved",
        "interrupts",
        "sleeps",
    ] {
        assert!(report.count(what) > 0, "no {what}");
    }
}

/// Effort 4 is every length from 1 to 9216, in both directions.
// shows (RTL): 5.1.4.1-4, 5.1.4.1-5
#[test]
fn traffic_of_every_length() {
    let report = (nic::NIC_TRAFFIC.run)(&Options {
        seed: 4,
        effort: 4,
        ..Options::default()
    });
    let report = report.unwrap_or_else(|error| panic!("nic_traffic, seed 4: {error}"));
    println!("nic_traffic, seed 4, every length: {report}");
    // Longer and shorter ones the card drops and counts.
    let none: [usize; 0] = [];
    assert_eq!(report.missing("received", nic::RECEIVED), none);
    assert_eq!(report.missing("transmitted", nic::TRANSMITTED), none);
}

#[test]
fn control() {
    let report = run(&nic::NIC_CONTROL, 1);
    for what in ["link changes", "offers", "feature sets taken"] {
        assert!(report.count(what) > 0, "no {what}");
    }
}

#[test]
fn errors() {
    run(&nic::NIC_ERRORS, 1);
}

/// Seed 1 has a host without stalls, seed 2 one with.
#[test]
fn reset_at_every_cycle() {
    for seed in [1, 2] {
        let report = run(&nic::NIC_SWEEP, seed);
        assert!(report.count("resets while busy") > 150);
    }
}

#[test]
fn reset() {
    let mut report = testbenches::Report::default();
    for seed in [1, 2, 34] {
        report.merge(&run(&nic::NIC_RESET, seed));
    }
    for what in ["device resets", "queue resets"] {
        assert!(report.count(what) > 0, "no {what}");
    }
}

#[test]
fn stale() {
    let report = run(&nic::NIC_STALE, 1);
    for what in ["dropped by its reset", "frames for the second driver"] {
        assert!(report.count(what) > 0, "no {what}");
    }
}

/// 20,000 frames, with what they were.
#[test]
fn random() {
    let options = Options::default();
    let (report, coverage) =
        nic::random_coverage(&options).unwrap_or_else(|error| panic!("nic_random: {error}"));
    println!("nic_random, seed {}: {report}", options.seed);
    print!("{}", coverage.report());
    for what in [
        "frames received",
        "frames transmitted",
        "interrupts",
        "device resets",
        "function resets",
        "queue resets",
        "resets while busy",
        "commands",
    ] {
        assert!(report.count(what) > 0, "no {what}");
    }
    let frames = report.count("frames received") + report.count("frames transmitted");
    assert!(frames >= 20_000);
    // Cards with RSS and MQ whose drivers change between the two.
    for seed in [5, 8] {
        let options = Options {
            seed,
            ..Options::default()
        };
        nic::random_coverage(&options).unwrap_or_else(|error| panic!("nic_random: {error}"));
    }
    // No value of any dimension that the card offers is left out.
    let missed = |(name, n): &(String, u64)| *n == 0 && !name.contains(" x ");
    let missed: Vec<_> = coverage.bins().into_iter().filter(missed).collect();
    assert!(missed.is_empty(), "never hit: {missed:?}");
}

#[test]
fn idle_skip() {
    let report = run(&nic::NIC_SKIP, 1);
    assert!(report.count("cycles skipped") > 0);
}

#[test]
fn tso() {
    let report = run(&nic::NIC_TSO, 1);
    for what in ["super-frames", "illegal super-frames", "single frames"] {
        assert!(report.count(what) > 0, "no {what}");
    }
    assert_eq!(report.count("below line rate"), 0);
}

#[test]
fn rate() {
    let report = run(&nic::NIC_RATE, 1);
    assert_eq!(report.count("rows of super-frames"), 4);
    assert!(report.count("frames spread over receive queues") > 10_000);
}

#[test]
fn slow_host() {
    let report = run(&nic::NIC_SLOW_HOST, 1);
    assert_eq!(report.count("blamed"), 7);
}
