//! A peer that asks and then answers no ARP request.

mod common;

use common::mixed;
use cosim::host::HostConfig;
use cosim::replay::{ReplayOptions, replay};

/// The answer waits for its neighbour, and after three requests the host tells itself over the loopback
/// device that it is unreachable. None of that was on the wire, and none of it may be taken for it.
#[test]
fn what_the_host_tells_itself_is_no_received_frame() {
    let mut capture = mixed(5);
    let ping = capture.frames.pop().unwrap();
    capture.frames = vec![ping];
    let config = HostConfig {
        addrs: vec!["192.0.2.20/24".parse().unwrap()],
        record: true,
        ..HostConfig::default()
    };
    let options = ReplayOptions {
        fast: true,
        last: None,
    };
    let replayed = replay(&capture, &config, options, |_| Ok(()), |_, _| ()).unwrap();
    let (summary, trace) = (&replayed.summary, replayed.host.trace());
    assert_eq!(summary.unaccounted(), 0, "{summary}");
    assert_eq!(summary.wire.frames_in, 1);
    assert_eq!(summary.host.received, 1, "{summary}");
    assert_eq!(summary.delivered.values().sum::<u64>(), 1, "{summary}");
    assert_eq!(summary.wire.frames_out, 3, "three ARP requests: {summary}");
    assert!(
        summary.tx_drops.contains_key("stack: NEIGH_FAILED"),
        "{summary}"
    );
    assert!(trace.contains("unreachable"), "{trace}");
}
