//! The receive DMA.

use testbenches::{Options, rx_dma::RX_DMA};

// shows (RTL): 2.7.4.1-1, 5.1.6.3.2-1, 5.1.6.3.2-2, 5.1.6.4.1-1, 5.1.6.4.1-2, 5.1.6.4.1-3
#[test]
fn rx_dma() {
    let mut report = testbenches::Report::default();
    for seed in 1..=4 {
        let one = (RX_DMA.run)(&Options {
            seed,
            ..Options::default()
        });
        let one = one.unwrap_or_else(|error| panic!("rx_dma: {error}"));
        println!("rx_dma, seed {seed}: {one}");
        report.merge(&one);
    }
    // The run means something only when each of these happened.
    for what in [
        "delivered",
        "truncated",
        "no buffer",
        "disabled",
        "joined chains",
        "void chains",
        "errors",
        "disables",
        "responses held back",
        "cycles asleep",
    ] {
        assert!(report.count(what) > 10, "too little of: {what}");
    }
}
