//! Hash, steering and filter of received frames, and what a device reset throws away of them.

use testbenches::{Options, rx_offload::RX_OFFLOAD, rx_purge::RX_PURGE};

// shows (RTL): 5.1.6.4.3.2-1, 5.1.6.4.3.3-1, 5.1.6.4.3.4-1, 5.1.6.5.2.1-1
#[test]
fn rx_offload() {
    for seed in [1, 2] {
        let options = Options {
            seed,
            ..Options::default()
        };
        let report = (RX_OFFLOAD.run)(&options).unwrap_or_else(|e| panic!("{e}"));
        println!("rx_offload, seed {seed}: {report}");
        for case in [
            "published vectors",
            "extension chains",
            "noise",
            "truncated",
            "VLAN changes under traffic",
            "hashed",
            "hashed with extension headers",
            "mobile addresses",
            "filtered",
            "let in by a filter",
        ] {
            assert!(report.count(case) > 20, "few {case}: {report}");
        }
    }
}

#[test]
fn rx_purge() {
    let report = (RX_PURGE.run)(&Options::default()).unwrap_or_else(|e| panic!("{e}"));
    println!("rx_purge: {report}");
    for case in [
        "frames taken",
        "frames counted",
        "frames cut",
        "resets amid a frame",
        "resets amid a reset",
    ] {
        assert!(report.count(case) > 100, "few {case}: {report}");
    }
}
