//! The frame store against a queue of frames.

use testbenches::{Options, packet_fifo::PACKET_FIFO};

#[test]
fn packet_fifo() {
    let options = Options::default();
    let report = (PACKET_FIFO.run)(&options).unwrap_or_else(|e| panic!("packet_fifo: {e}"));
    println!("packet_fifo, seed {}: {report}", options.seed);
    for case in [
        "frames",
        "words full",
        "metas full",
        "aborts",
        "drops",
        "flushes",
        "words kept by a flush",
        "cycles asleep",
    ] {
        assert!(report.count(case) > 50, "too little of: {case}");
    }
}
