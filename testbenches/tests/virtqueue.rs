//! The packed-virtqueue engine.

use testbenches::{Options, virtqueue::VIRTQUEUE};

#[test]
fn virtqueue() {
    for seed in 1..=4 {
        let report = (VIRTQUEUE.run)(&Options {
            seed,
            ..Options::default()
        });
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        println!("seed {seed}: {report}");
        // The run means something only when each of these happened.
        for what in [
            "chains used",
            "kicks",
            "kicks saved",
            "interrupts",
            "interrupts saved",
            "woken",
            "timeouts",
            "used descriptors saved",
            "errors",
            "joined chains",
            "tables",
        ] {
            assert!(report.count(what) > 0, "seed {seed}: no {what}");
        }
    }
}
