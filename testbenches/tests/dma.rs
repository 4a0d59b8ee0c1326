//! The AXI4 master, block by block: all arrives, and every answer reaches whom it belongs to.

use testbenches::{
    Options, Testbench,
    dma::{DMA_PORT, DMA_READ, DMA_WRITE},
};

fn run(bench: &Testbench, cases: &[(&str, u64)]) {
    let options = Options::default();
    let report = (bench.run)(&options).unwrap_or_else(|e| panic!("{}: {e}", bench.name));
    println!("{}, seed {}: {report}", bench.name, options.seed);
    for (case, least) in cases {
        assert!(report.count(case) >= *least, "too little of: {case}");
    }
}

#[test]
fn dma_read() {
    let cases = [("requests", 5000), ("resets", 5), ("idle cycles", 100)];
    run(&DMA_READ, &cases);
}

#[test]
fn dma_write() {
    let cases = [
        ("words", 2000),
        ("bursts", 2000),
        ("bursts up to 4 KiB", 50),
        ("writes", 5000),
        ("beats without an idle cycle", 2000),
        ("resets", 10),
    ];
    run(&DMA_WRITE, &cases);
}

#[test]
fn dma_port() {
    let cases = [
        ("beats read", 20_000),
        ("writes answered", 5000),
        ("errors", 500),
        ("completions lost", 10),
        ("resets in flight", 10),
    ];
    run(&DMA_PORT, &cases);
}
