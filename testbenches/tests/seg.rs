//! Transmit segmentation against its references.

use testbenches::{
    Options, Report, Testbench,
    seg::{TX_SEG, TX_SEG_RATE},
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

// shows (RTL): 5.1.6.2-2, 5.1.6.2-3, 5.1.6.2.2-1, 5.1.6.2.2-3
#[test]
fn tx_seg() {
    for seed in 1..=3 {
        let report = run(&TX_SEG, seed);
        for case in [
            "TSO4",
            "TSO6",
            "USO",
            "ECN",
            "one segment",
            "60 KB and more",
            "final destination",
            "of a kernel",
            "through",
            "not negotiated",
            "aborted",
            "flushes",
            "gso_size 0",
            "headers too long",
        ] {
            assert!(report.count(case) > 0, "no {case}");
        }
        assert!(report.count("segments") > 5000);
    }
}

#[test]
fn tx_seg_rate() {
    let report = run(&TX_SEG_RATE, 1);
    for size in [64, 536, 1448, 1460, 8948] {
        let percent = report.count(&format!("gso_size {size}, % of line rate"));
        assert!(percent >= 100, "gso_size {size}: {percent} % of line rate");
    }
}
