//! The control queue's commands.

use testbenches::{Options, ctrl_vq::CTRL_VQ};

// shows (RTL): 5.1.6.4.3-1, 5.1.6.5-1, 5.1.6.5.1.1-1, 5.1.6.5.1.1-2, 5.1.6.5.2.1-2, 5.1.6.5.6.4-1
// shows (RTL): 5.1.6.5.9.6-1
#[test]
fn ctrl_vq() {
    let options = Options::default();
    let report = (CTRL_VQ.run)(&options).unwrap_or_else(|e| panic!("ctrl_vq: {e}"));
    println!("ctrl_vq, seed {}: {report}", options.seed);
    for case in [
        "PROMISC",
        "ALLMULTI",
        "MAC_TABLE",
        "MAC_ADDR",
        "VLAN",
        "PAIRS",
        "RSS",
        "HASH",
        "COAL",
        "refused commands",
        "cut off",
    ] {
        assert!(report.count(case) > 20, "too little of: {case}");
    }
}
