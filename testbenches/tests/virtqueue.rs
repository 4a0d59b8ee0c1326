//! The packed-virtqueue engine.

use testbenches::{Options, virtqueue::VIRTQUEUE};

// shows (RTL): 2.6.1.1.1-2, 2.8.1-1, 2.8.4-1, 2.8.6-1, 2.8.7-1, 2.8.8-1, 2.8.9-1, 2.8.10-1
// shows (RTL): 2.8.10-2, 2.8.10-3
// shows (RTL): 2.8.12-1, 2.8.12-2, 2.8.15-2, 2.8.15-3, 2.8.18-1, 5.1.6.4.1-4, 6.2-2
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
