//! The checksum offloads against their references.

use testbenches::{
    Options, Report, Testbench,
    csum::{RX_CSUM, TX_CSUM},
};

fn run(testbench: &Testbench, seed: u64) -> Report {
    let options = Options {
        seed,
        ..Options::default()
    };
    let report = (testbench.run)(&options).unwrap_or_else(|e| panic!("{}: {e}", testbench.name));
    println!("{}, seed {seed}: {report}", testbench.name);
    report
}

// shows (RTL): 5.1.6.4.1-18
#[test]
fn rx_csum() {
    let report = run(&RX_CSUM, 1);
    for case in [
        "intact",
        "flipped",
        "fragments",
        "without checksum",
        "truncated",
        "checksum off by one",
        "misplaced options",
        "small segments verified",
        "too many tags",
        "damaged headers",
        "words swapped",
        "checksum field 0 or 0xffff",
        "noise",
    ] {
        assert!(report.count(case) > 0, "no {case}");
    }
    assert!(report.count("verified") > 2000);
    assert!(report.count("frames") - report.count("verified") > 1000);
}

// shows (RTL): 5.1.6.2-1, 5.1.6.2.2-1, 5.1.6.2.2-2
#[test]
fn tx_csum() {
    let report = run(&TX_CSUM, 1);
    for case in [
        "inserted",
        "not asked for",
        "malformed",
        "too long",
        "flushes",
        "UDP zero",
        "aborted",
    ] {
        assert!(report.count(case) > 0, "no {case}");
    }
}
