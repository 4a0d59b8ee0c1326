//! Receive coalescing against segmentation.

use testbenches::{Options, coalesce::RX_COALESCE};

// shows (RTL): 5.1.6.4.1-11, 5.1.6.4.1-12, 5.1.6.4.1-13, 5.1.6.4.1-15
#[test]
fn rx_coalesce() {
    let report = (RX_COALESCE.run)(&Options::default()).unwrap_or_else(|e| panic!("{e}"));
    println!("rx_coalesce, seed 1: {report}");
    for case in [
        "plain",
        "PSH",
        "short",
        "longer",
        "out of order",
        "TCP header changes",
        "lower headers change",
        "options change",
        "identification jumps",
        "damaged",
        "padded",
        "other flags",
        "acknowledgements",
        "other traffic",
        "not stored",
        "of 64 KiB",
        "timeouts",
    ] {
        assert!(report.count(case) > 3, "few {case}: {report}");
    }
    assert!(report.count("merged segments") > 1000, "{report}");
    assert!(report.count("alone") > 500, "{report}");
}
