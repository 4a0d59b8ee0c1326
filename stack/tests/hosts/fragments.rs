//! Limits of reassembly, as 6.18 was seen to keep them.

use super::*;

/// A piece of a datagram to the host: `len` bytes from `at` on.
fn piece(id: u16, at: usize, len: usize, more: bool) -> Vec<u8> {
    let mut frame = udp4(9, &vec![0; len.saturating_sub(8)]);
    frame[16..18].copy_from_slice(&((20 + len) as u16).to_be_bytes());
    frame.truncate(34 + len);
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    let field = (at / 8) as u16 | u16::from(more) << 13;
    frame[20..22].copy_from_slice(&field.to_be_bytes());
    fix4(&mut frame);
    frame
}

fn set(host: &mut Host, lines: &[&str]) {
    for line in lines {
        host.stack.sysctl(line).unwrap();
    }
}

#[test]
fn memory_is_a_limit_for_fragments_of_known_datagrams_too() {
    let mut host = Host::new(StackConfig::default());
    set(
        &mut host,
        &[
            "-q net.ipv4.ipfrag_low_thresh=1000",
            "-q net.ipv4.ipfrag_high_thresh=12000",
            "-q net.ipv4.ipfrag_max_dist=0",
        ],
    );
    // Five buffers of a little more than 2 KiB are more than 12000 bytes.
    host.receive((100..112).map(|id| piece(id, 0, 1480, true)));
    assert_eq!(host.stack.stats().held, 5);
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 7);
    // The last piece of the first one does not get in either.
    host.receive([piece(100, 1480, 400, false)]);
    assert_eq!(host.stack.stats().reassembled, 0);
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 8);
    host.assert_balanced();
}

#[test]
fn without_memory_there_is_no_reassembly() {
    let mut host = Host::new(StackConfig::default());
    set(
        &mut host,
        &[
            "-q net.ipv4.ipfrag_low_thresh=0",
            "-q net.ipv4.ipfrag_high_thresh=0",
        ],
    );
    host.receive([piece(1, 0, 800, true)]);
    assert_eq!(host.stack.stats().held, 0);
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 1);
}

#[test]
fn each_threshold_is_a_bound_of_the_other() {
    let mut host = Host::new(StackConfig::default());
    for (key, accepted) in [
        ("ipv4.ipfrag_high_thresh=0", false),
        ("ipv4.ipfrag_high_thresh=3145727", false),
        ("ipv4.ipfrag_high_thresh=3145728", true),
        ("ipv4.ipfrag_low_thresh=4194305", false),
        ("ipv4.ipfrag_low_thresh=0", true),
        ("ipv4.ipfrag_high_thresh=0", true),
        ("ipv4.ipfrag_high_thresh=9223372036854775807", true),
        ("ipv6.ip6frag_high_thresh=5", false),
        ("ipv6.ip6frag_low_thresh=4194305", false),
        ("netfilter.nf_conntrack_frag6_high_thresh=5", false),
        ("netfilter.nf_conntrack_frag6_low_thresh=4194305", false),
        ("netfilter.nf_conntrack_frag6_timeout=-5", true),
    ] {
        let taken = host.stack.sysctl(&format!("-qw net.{key}")).is_ok();
        assert_eq!(taken, accepted, "{key}");
    }
}

/// The last piece ends at 65520 bytes; with the header that is too long for the length field.
#[test]
fn a_datagram_beyond_64_kib_is_forgotten_when_it_is_whole() {
    let mut host = Host::new(StackConfig::default());
    let first = (0..44).map(|i| piece(77, i * 1480, 1480, true));
    host.receive(first.chain([piece(77, 44 * 1480, 400, false)]));
    assert_eq!(host.stack.stats().reassembled, 0);
    assert_eq!(
        (host.stack.stats().held, host.stack.stats().dropped),
        (0, 0)
    );
    host.run_until(40 * SEC);
    assert_eq!(host.sent(), Vec::<Vec<u8>>::new());
    host.assert_balanced();
}

/// What does not fit is dropped; what was there before is only no longer kept.
#[test]
fn what_contradicts_is_the_only_drop() {
    let overlap = [(0, 800, true), (1600, 800, true), (400, 800, true)];
    let end = [(0, 800, true), (1600, 80, false), (2400, 800, false)];
    for pieces in [overlap, end] {
        let mut host = Host::new(StackConfig::default());
        host.receive(pieces.map(|(at, len, more)| piece(1, at, len, more)));
        assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 1);
        assert_eq!(
            (host.stack.stats().held, host.stack.stats().dropped),
            (0, 1)
        );
        host.assert_balanced();
    }
    // Not ECN capable, and congestion experienced.
    let mut host = Host::new(StackConfig::default());
    let mut marked = piece(3, 800, 800, false);
    marked[15] = 3;
    fix4(&mut marked);
    host.receive([piece(3, 0, 800, true), marked]);
    assert_eq!(
        (host.stack.stats().held, host.stack.stats().dropped),
        (0, 0)
    );
    assert_eq!(host.stack.stats().reassembled, 0);
}

#[test]
fn no_errors_a_second_are_no_errors() {
    let mut host = Host::new(StackConfig {
        icmp_ratelimit: 0,
        ..StackConfig::default()
    });
    host.receive([udp4(99, b"x")]);
    assert_eq!(host.sent().len(), 1);
    let mut host = Host::new(StackConfig {
        icmp_ratelimit: 0,
        ..StackConfig::default()
    });
    set(&mut host, &["-qw net.ipv4.icmp_msgs_per_sec=0"]);
    host.receive((0..5).map(|_| udp4(99, b"x")));
    host.now = 10 * SEC;
    host.receive((0..5).map(|_| udp4(99, b"x")));
    assert_eq!(host.sent().len(), 0);
}
