//! Frames to be sent (5.1.6.2): checksums, segmentation, what is illegal, turns and rate.

use crate::{
    driver::{Bench, US},
    frames::{Spec, padded},
};
use hwmodel::{
    Device, ModelConfig,
    model::{Stat, feature},
};

const GSO: u64 =
    feature::CSUM | feature::HOST_TSO4 | feature::HOST_TSO6 | feature::HOST_ECN | feature::HOST_USO;
const TX: u16 = 1;

fn spec(ipv6: bool, protocol: u8, payload: usize) -> Spec {
    Spec {
        ipv6,
        protocol,
        payload: (0..payload).map(|i| (i / 7) as u8).collect(),
        ..Spec::default()
    }
}

// shows (model): 5.1.4.1-5, 5.1.6.2.2-4
#[test]
fn frames_go_out_as_they_are_and_padded() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 16);
    let frames = [vec![3; 14], vec![4; 60], spec(false, 17, 1472).frame()];
    for frame in &frames {
        bench.send(TX, [0; 12], frame);
    }
    bench.run(10 * US);
    let expected: Vec<Vec<u8>> = frames.into_iter().map(padded).collect();
    assert_eq!(bench.sent(), expected);
    let bytes: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(bench.nic.stat(Stat::TxBytes), bytes as u64);
    for _ in 0..3 {
        assert_eq!(bench.used(TX).unwrap().len, 0);
    }
    assert_eq!(bench.used(TX), None);
}

// shows (model): 5.1.6.2-1
#[test]
fn checksums_are_filled_in() {
    let mut bench = Bench::start(ModelConfig::default(), feature::CSUM, 16);
    let mut expected = Vec::new();
    for (ipv6, protocol) in [(false, 6), (false, 17), (true, 6), (true, 17)] {
        for payload in [0, 1, 99, 1400] {
            let spec = spec(ipv6, protocol, payload);
            bench.send(TX, spec.hdr(0), &spec.partial());
            expected.push(padded(spec.frame()));
            bench.run(3 * US);
            bench.used(TX).unwrap();
        }
    }
    assert_eq!(bench.sent(), expected);
    assert_eq!(bench.nic.stat(Stat::TxCsum), expected.len() as u64);
}

// shows (model): 5.1.6.2-2
#[test]
fn super_frames_are_cut() {
    for (ipv6, protocol) in [(false, 6), (true, 6), (false, 17), (true, 17)] {
        for (size, payload) in [(1460 - 20, 60_000), (536, 4000), (100, 100), (1, 9)] {
            let mut bench = Bench::start(ModelConfig::default(), GSO, 16);
            let spec = Spec {
                vlan: Some(7),
                flags: 0x19, // ACK, PSH, FIN
                ..spec(ipv6, protocol, payload)
            };
            bench.send(TX, spec.hdr(size), &spec.partial());
            bench.run(100 * US);
            let sent = bench.sent();
            let pieces = payload.div_ceil(size.into());
            let mut expected = Vec::new();
            for (index, part) in spec.payload.chunks(size.into()).enumerate() {
                let mut piece = Spec {
                    payload: part.to_vec(),
                    seq: spec.seq + (index * usize::from(size)) as u32,
                    flags: if index + 1 == pieces { 0x19 } else { 0x10 },
                    ..spec.clone()
                }
                .frame();
                if !ipv6 {
                    // Identifications count up; the header's sum with them.
                    piece[22..24].copy_from_slice(&(7 + index as u16).to_be_bytes());
                    piece[28..30].fill(0);
                    let csum = !crate::frames::sum(&[&piece[18..38]]);
                    piece[28..30].copy_from_slice(&csum.to_be_bytes());
                }
                expected.push(padded(piece));
            }
            assert_eq!(sent, expected, "{ipv6} {protocol} {size}");
            assert_eq!(bench.nic.stat(Stat::TxSegments), pieces as u64);
            assert_eq!(bench.nic.stat(Stat::TxGso), 1);
        }
    }
}

#[test]
fn illegal_frames_are_dropped_and_the_queue_goes_on() {
    let mut bench = Bench::start(ModelConfig::default(), GSO & !feature::HOST_ECN, 32);
    let good = spec(false, 6, 3000);
    let hdr = good.hdr(1000);
    let with = |at: usize, value: u8| {
        let mut hdr = hdr;
        hdr[at] = value;
        hdr
    };
    let frame = good.partial();
    let cases: Vec<([u8; 12], Vec<u8>)> = vec![
        ([0; 12], vec![0; 13]),
        ([0; 12], vec![0; 1519]),
        (with(1, 0), frame.clone()),    // too long for one frame
        (with(1, 9), frame.clone()),    // no such type
        (with(1, 3), frame.clone()),    // UFO
        (with(1, 4), frame.clone()),    // not IPv6
        (with(1, 5), frame.clone()),    // not UDP
        (with(1, 0x81), frame.clone()), // ECN was not negotiated
        (with(0, 0), frame.clone()),    // no NEEDS_CSUM
        (with(6, 35), frame.clone()),   // csum_start is elsewhere
        (with(8, 6), frame.clone()),    // csum_offset is elsewhere
        (with(5, 0xff), frame.clone()), // segments too long
        (hdr, frame[..50].to_vec()),    // header beyond the frame
        ([1, 1, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0], frame.clone()), // size 0
        ([1, 0, 0, 0, 0, 0, 90, 0, 9, 0, 0, 0], vec![0; 100]), // checksum beyond the frame
    ];
    let count = cases.len() as u64;
    for (hdr, frame) in cases {
        let before = bench.nic.stat(Stat::TxMalformed);
        bench.send(TX, hdr, &frame);
        bench.run(3 * US);
        assert_eq!(bench.nic.stat(Stat::TxMalformed), before + 1, "{hdr:x?}");
        bench.used(TX).expect("the chain comes back");
    }
    assert!(bench.sent().is_empty());
    bench.send(TX, hdr, &frame);
    bench.run(10 * US);
    assert_eq!(bench.sent().len(), 3);
    assert_eq!(bench.nic.stat(Stat::TxMalformed), count);
    assert_eq!(bench.status() & 64, 0, "nothing is broken");
}

#[test]
fn chains_that_hold_no_frame_are_dropped() {
    let mut bench = Bench::start(ModelConfig::default(), GSO, 16);
    let at = bench.alloc(70_000);
    for parts in [
        vec![(at, 0, false)],
        vec![(at, 11, false)],
        vec![(at, 65_535, false), (at, 200, false)],
        vec![(at, u32::MAX, false); 3],
    ] {
        bench.post(TX, &parts);
        bench.kick(TX);
        bench.run(3 * US);
        bench.used(TX).expect("the chain comes back");
    }
    assert_eq!(bench.nic.stat(Stat::TxMalformed), 4);
    assert!(bench.sent().is_empty());
}

// shows (model): 2.7.4.1-1, 2.8.7-1
#[test]
fn buffers_may_be_split_anywhere() {
    for indirect in [false, true] {
        let features = GSO | feature::RING_INDIRECT_DESC;
        let mut bench = Bench::start(ModelConfig::default(), features, 64);
        let spec = spec(true, 6, 2000);
        let bytes = [&spec.hdr(700)[..], &spec.partial()].concat();
        let mut expected: Option<Vec<Vec<u8>>> = None;
        for step in [1usize, 7, 13, 100, 5000] {
            let at = bench.alloc(bytes.len() + 64);
            let mut parts = Vec::new();
            // The first 40 bytes in small pieces, each at its own place, the rest as it comes.
            let cut = 40.min(bytes.len());
            let mut from = 0;
            while from < bytes.len() {
                let limit = if from < cut { cut } else { bytes.len() };
                let len = if from < cut { step } else { bytes.len() }.min(limit - from);
                let place = bench.alloc(len) + 3;
                bench.poke(place, &bytes[from..from + len]);
                parts.push((place, len as u32, false));
                from += len;
            }
            parts.push((at, 0, false));
            if indirect {
                bench.post_indirect(TX, &parts);
            } else {
                bench.post(TX, &parts);
            }
            bench.kick(TX);
            bench.run(10 * US);
            bench.used(TX).expect("the chain comes back");
            let sent = bench.sent();
            assert_eq!(sent.len(), 3);
            assert_eq!(
                *expected.get_or_insert(sent.clone()),
                sent,
                "pieces of {step}"
            );
        }
    }
}

#[test]
fn queues_take_turns() {
    let config = ModelConfig {
        queue_pairs: 3,
        ..ModelConfig::default()
    };
    let features = feature::MQ | feature::CTRL_VQ;
    let mut bench = Bench::start(config, features, 64);
    for queue in [1u16, 3, 5] {
        for _ in 0..20 {
            bench.queue_frame(queue, [0; 12], &[queue as u8; 1000]);
        }
    }
    for queue in [1, 3, 5] {
        bench.kick(queue);
    }
    bench.run(100 * US);
    let order: Vec<u8> = bench.sent().iter().map(|frame| frame[0]).collect();
    assert_eq!(order.len(), 60);
    for window in order.windows(3).skip(3) {
        let mut seen = window.to_vec();
        seen.sort_unstable();
        assert_eq!(seen, [1, 3, 5], "{order:?}");
    }
}

#[test]
fn short_frames_go_out_at_line_rate() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 256);
    for _ in 0..256 {
        bench.queue_frame(TX, [0; 12], &[9; 60]);
    }
    bench.kick(TX);
    bench.run(40 * US);
    let frames: Vec<_> = std::iter::from_fn(|| bench.nic.take_wire()).collect();
    assert_eq!(frames.len(), 256);
    let gaps: Vec<u64> = frames.windows(2).map(|w| w[1].at - w[0].at).collect();
    assert!(gaps.iter().all(|gap| *gap == 67_200), "{gaps:?}");
}

#[test]
fn a_ring_does_not_drain_faster_than_the_wire() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 256);
    for _ in 0..200 {
        bench.queue_frame(TX, [0; 12], &[9; 1500]);
    }
    bench.kick(TX);
    // 1524 octets with preamble and gap: 1.2 us each.
    bench.run(40 * US);
    let mut used = 0;
    while bench.used(TX).is_some() {
        used += 1;
    }
    let sent = bench.sent().len();
    assert!((25..=35).contains(&sent), "{sent} sent");
    assert!(used <= sent + 14, "{used} used, {sent} sent");
}
