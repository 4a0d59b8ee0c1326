//! The arbiters against the definition of round robin.

use testbenches::{
    Options, Report, Testbench,
    arbiter::{RR_ARBITER, TX_ARB},
};

fn run(bench: &Testbench) -> Report {
    let options = Options::default();
    let report = (bench.run)(&options).unwrap_or_else(|e| panic!("{}: {e}", bench.name));
    println!("{}, seed {}: {report}", bench.name, options.seed);
    report
}

#[test]
fn rr_arbiter() {
    assert!(run(&RR_ARBITER).count("turns") > 5000);
}

#[test]
fn tx_arb() {
    let report = run(&TX_ARB);
    for case in ["packets", "aborted packets"] {
        assert!(report.count(case) > 200, "too little of: {case}");
    }
}
