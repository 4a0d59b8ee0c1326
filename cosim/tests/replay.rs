//! Real traffic through the whole machine.

mod common;

use std::fmt::Write;

use common::mixed;
use cosim::capture::Capture;
use cosim::host::HostConfig;
use cosim::replay::{ReplayOptions, replay};
use cosim::summary::Summary;

/// The capture's server.
fn server() -> HostConfig {
    HostConfig {
        addrs: vec![
            "192.0.2.20/24".parse().unwrap(),
            "2001:db8::20/64".parse().unwrap(),
        ],
        udp_echo: vec![7, 5201],
        record: true,
        ..HostConfig::default()
    }
}

const FAST: ReplayOptions = ReplayOptions {
    fast: true,
    last: None,
};
const TIMED: ReplayOptions = ReplayOptions {
    fast: false,
    last: None,
};

/// Everything that a run gives and that must not depend on how it is run.
#[derive(PartialEq)]
struct Outcome {
    trace: String,
    wire: String,
    summary: Summary,
}

fn run(capture: &Capture, config: &HostConfig, options: ReplayOptions) -> Outcome {
    let mut wire = String::new();
    let replayed = replay(
        capture,
        config,
        options,
        |sent| {
            assert!(sent.frame.fcs_ok, "the NIC sent a bad FCS");
            writeln!(wire, "{:?} {:02x?}", sent.time, sent.frame.bytes).unwrap();
            Ok(())
        },
        |_, _| (),
    )
    .unwrap_or_else(|e| panic!("{}", e.report()));
    Outcome {
        trace: replayed.host.trace(),
        wire,
        summary: replayed.summary,
    }
}

#[test]
fn every_frame_is_accounted_for() {
    let capture = mixed(usize::MAX);
    for options in [TIMED, FAST] {
        let summary = run(
            &capture,
            &HostConfig {
                record: false,
                ..server()
            },
            options,
        )
        .summary;
        println!("{options:?}\n{summary}");
        let counts = summary.capture.clone().unwrap();
        assert_eq!(counts.frames, capture.frames.len() as u64);
        assert_eq!(counts.frames, counts.fed + counts.own + counts.unusable);
        assert_eq!(summary.wire.frames_in, counts.fed);
        assert_eq!(summary.unaccounted(), 0);
        assert_eq!(summary.held, 0);
        assert!(summary.delivered["ICMP"] > 0 && summary.delivered["ARP"] > 0);
        assert!(summary.delivered["read from a socket"] > 0);
        assert!(summary.wire.frames_out > 0 && summary.host.interrupts > 0);
    }
}

#[test]
fn two_runs_are_the_same() {
    let capture = mixed(60);
    let (first, second) = (
        run(&capture, &server(), FAST),
        run(&capture, &server(), FAST),
    );
    assert!(!first.trace.is_empty() && !first.wire.is_empty());
    assert!(first == second, "two runs with the same seed differ");
}

#[test]
fn skipping_idle_cycles_changes_nothing() {
    let capture = mixed(32);
    let with = run(&capture, &server(), FAST);
    let without = run(
        &capture,
        &HostConfig {
            idle_skip: false,
            ..server()
        },
        FAST,
    );
    assert!(with.summary.time.cycles_skipped > 0);
    assert_eq!(without.summary.time.cycles_skipped, 0);
    assert_eq!(with.wire, without.wire);
    assert_eq!(with.trace, without.trace);
}

#[test]
fn a_trace_does_not_change_what_happens() {
    let capture = mixed(32);
    let with = run(&capture, &server(), FAST);
    let without = run(
        &capture,
        &HostConfig {
            record: false,
            ..server()
        },
        FAST,
    );
    assert!(without.trace.is_empty());
    assert_eq!(with.wire, without.wire);
}

/// The trace without its two columns of times: those change with every cycle that the RTL gains. That they
/// are the same in every run is for other tests.
fn without_times(trace: &str) -> String {
    let cut = |line: &str| match line.strip_prefix("  ").and_then(|rest| rest.get(27..)) {
        Some(rest) => rest
            .split("time 0 is")
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_string(),
        None => line.to_string(),
    };
    trace.lines().map(cut).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_ping_and_its_reply() {
    let outcome = run(&mixed(5), &server(), TIMED);
    insta::assert_snapshot!(without_times(&outcome.trace));
}

#[test]
fn software_checksums_give_the_same_bytes() {
    let capture = mixed(180);
    let off = driver::Feature::CSUM | driver::Feature::GUEST_CSUM;
    let hardware = run(&capture, &server(), FAST);
    let software = run(
        &capture,
        &HostConfig {
            features_off: off,
            ..server()
        },
        FAST,
    );
    let bytes = |o: &Outcome| -> Vec<String> {
        o.wire
            .lines()
            .filter_map(|l| l.split_once(" ["))
            .map(|(_, b)| b.to_string())
            .collect()
    };
    assert_eq!(bytes(&hardware), bytes(&software));
    assert!(hardware.summary.host.cpu_busy_ns < software.summary.host.cpu_busy_ns);
}

#[test]
fn frames_for_others_are_dropped_with_a_reason() {
    let other = HostConfig {
        mac: "02:00:00:00:00:77".parse().unwrap(),
        ..server()
    };
    let summary = run(&mixed(60), &other, FAST).summary;
    println!("{summary}");
    assert_eq!(summary.unaccounted(), 0);
    assert!(summary.drops["stack: OTHERHOST"] > 0);
}
