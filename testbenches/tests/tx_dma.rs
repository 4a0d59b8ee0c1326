//! The transmit DMA against a memory.

use testbenches::{Options, tx_dma::TX_DMA};

#[test]
fn tx_dma() {
    let options = Options::default();
    let report = (TX_DMA.run)(&options).unwrap_or_else(|e| panic!("tx_dma: {e}"));
    println!("tx_dma, seed {}: {report}", options.seed);
    for (case, least) in [
        ("packets", 1000),
        ("chains that are no frame", 50),
        ("stops", 20),
        ("packets cut by a stop", 1),
        ("lengths without an idle cycle", 50),
    ] {
        assert!(report.count(case) >= least, "too little of: {case}");
    }
}
