//! The FIFO against a queue.

use testbenches::{Options, fifo::FIFO};

#[test]
fn fifo() {
    let options = Options::default();
    let report = (FIFO.run)(&options).unwrap_or_else(|e| panic!("fifo: {e}"));
    println!("fifo, seed {}: {report}", options.seed);
    for case in [
        "words",
        "cycles full",
        "both sides at once",
        "words flushed",
    ] {
        assert!(report.count(case) > 500, "too little of: {case}");
    }
}
