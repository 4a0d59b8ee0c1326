//! Notification moderation.

use testbenches::{Options, vq_moderation::VQ_MODERATION};

// shows (RTL): 5.1.6.5.9.1-1, 5.1.6.5.9.1-2, 5.1.6.5.9.4-1
#[test]
fn vq_moderation() {
    let options = Options::default();
    let report = (VQ_MODERATION.run)(&options).unwrap_or_else(|e| panic!("vq_moderation: {e}"));
    println!("vq_moderation, seed {}: {report}", options.seed);
    for case in ["expired", "full", "timers"] {
        assert!(report.count(case) > 50, "too little of: {case}");
    }
}
