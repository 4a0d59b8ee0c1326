//! Completions that do not come, against plain counts.

use testbenches::{Options, dma_watch::DMA_WATCH};

#[test]
fn dma_watch() {
    let options = Options::default();
    let report = (DMA_WATCH.run)(&options).unwrap_or_else(|e| panic!("dma_watch: {e}"));
    println!("dma_watch, seed {}: {report}", options.seed);
    for case in ["answers", "cycles lost"] {
        assert!(report.count(case) > 1000, "too little of: {case}");
    }
}
