//! Answers that cannot be given: a peer that asks and then answers no ARP request, one without a route.

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

/// A ping from a network to which there is no route: taken, and the answer that could not be sent is counted.
#[test]
fn an_answer_without_a_route_is_counted() {
    let mut capture = mixed(5);
    let mut ping = capture.frames.pop().unwrap();
    // 192.0.2.10 becomes 198.51.100.10, and the header's checksum follows (RFC 1071).
    let words = |b: &[u8]| -> u32 {
        b.chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum()
    };
    ping.bytes[26..30].copy_from_slice(&[198, 51, 100, 10]);
    ping.bytes[24..26].fill(0);
    let mut sum = words(&ping.bytes[14..34]);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    ping.bytes[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    capture.frames = vec![ping];
    let config = HostConfig {
        addrs: vec!["192.0.2.20/24".parse().unwrap()],
        ..HostConfig::default()
    };
    let options = ReplayOptions {
        fast: true,
        last: None,
    };
    let summary = replay(&capture, &config, options, |_| Ok(()), |_, _| ())
        .unwrap()
        .summary;
    assert_eq!(summary.unaccounted(), 0, "{summary}");
    assert_eq!(summary.delivered.get("ICMP"), Some(&1), "{summary}");
    assert_eq!(
        summary.tx_drops.get("stack: no route"),
        Some(&1),
        "{summary}"
    );
}
