//! Notification moderation.

use testbenches::{Options, vq_moderation::VQ_MODERATION};

#[test]
fn vq_moderation() {
    let options = Options::default();
    let report = (VQ_MODERATION.run)(&options).unwrap_or_else(|e| panic!("vq_moderation: {e}"));
    println!("vq_moderation, seed {}: {report}", options.seed);
    for case in ["expired", "full", "timers"] {
        assert!(report.count(case) > 50, "too little of: {case}");
    }
}
