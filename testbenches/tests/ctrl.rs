//! The blocks behind BAR0 that keep registers: each against what a driver may rely on.

use testbenches::{
    Options, Report, Testbench, axil_slave::AXIL_SLAVE, common_cfg::COMMON_CFG,
    device_cfg::DEVICE_CFG, msix::MSIX, stats::STATS,
};

fn run(bench: &Testbench, cases: &[(&str, u64)]) {
    let options = Options::default();
    let report: Report = (bench.run)(&options).unwrap_or_else(|e| panic!("{}: {e}", bench.name));
    println!("{}, seed {}: {report}", bench.name, options.seed);
    for (case, least) in cases {
        assert!(report.count(case) >= *least, "too little of: {case}");
    }
}

// shows (RTL): 2.1.2-4, 2.2.2-2, 4.1.3.2-1, 4.1.4.3.1-3, 4.1.4.3.1-4, 4.1.4.3.1-5, 4.1.4.3.1-6
// shows (RTL): 4.1.4.3.1-7, 4.1.4.3.1-8, 4.1.4.3.1-9, 4.1.4.3.1-10, 4.1.4.3.1-11, 4.1.4.3.1-12, 4.1.4.3.1-13
// shows (RTL): 4.1.5.1.2.1-2, 4.1.5.1.2.1-3, 4.1.5.1.2.1-4, 4.1.5.1.2.1-5, 4.1.5.1.2.1-6, 5.1.2-1
#[test]
fn common_cfg() {
    let cases = [
        ("registers read", 20_000),
        ("features accepted", 100),
        ("features refused", 50),
        ("queue resets", 200),
        ("device resets", 200),
        ("device resets amid those of queues", 10),
        ("changes at a reset", 1),
        ("notifications", 50),
        ("errors", 50),
        ("cycles asleep", 1000),
    ];
    run(&COMMON_CFG, &cases);
}

#[test]
fn msix() {
    let cases = [
        ("messages", 1000),
        ("messages at once", 100),
        ("messages withdrawn", 100),
        ("pending bits", 1000),
        ("device resets", 20),
        ("queue resets", 20),
        ("cycles asleep", 1000),
    ];
    run(&MSIX, &cases);
}

#[test]
fn stats() {
    let cases = [
        ("counters", 5000),
        ("carries between two halves", 1),
        ("snapshots amid events", 200),
        ("resets", 2),
    ];
    run(&STATS, &cases);
}

#[test]
fn axil_slave() {
    let cases = [
        ("writes", 2000),
        ("reads", 2000),
        ("reads behind writes", 500),
        ("reads behind messages", 500),
        ("cycles asleep", 500),
    ];
    run(&AXIL_SLAVE, &cases);
}

#[test]
fn device_cfg() {
    let cases = [
        ("words", 20_000),
        ("link changes", 1000),
        ("other changes", 500),
        ("bits set while others are read", 500),
    ];
    run(&DEVICE_CFG, &cases);
}
