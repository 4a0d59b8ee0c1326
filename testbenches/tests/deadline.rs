//! Deadlines against a list.

use testbenches::{Options, deadline::DEADLINE};

#[test]
fn deadline() {
    let options = Options::default();
    let report = (DEADLINE.run)(&options).unwrap_or_else(|e| panic!("deadline: {e}"));
    println!("deadline, seed {}: {report}", options.seed);
    for case in ["woken", "woken after a change", "sleeps"] {
        assert!(report.count(case) > 50, "too little of: {case}");
    }
}
