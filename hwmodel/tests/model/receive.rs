//! Received frames (5.1.6.4): buffers, checksums, coalescing, hash, steering.

use crate::{
    driver::{Bench, US},
    frames::{Spec, padded},
};
use hwmodel::{
    Device, ModelConfig, WireFrame,
    model::{Stat, feature, hash_type},
};

const RX: u16 = 0;
const COMMAND_RSS: [u8; 2] = [4, 1];

fn pairs(queue_pairs: u16) -> ModelConfig {
    ModelConfig {
        queue_pairs,
        ..ModelConfig::default()
    }
}

// shows (model): 5.1.6.3.2-2, 5.1.6.4.1-1, 5.1.6.4.1-14, 5.1.6.4.1-18
#[test]
fn a_frame_lies_behind_its_header() {
    let mut bench = Bench::start(ModelConfig::default(), feature::GUEST_CSUM, 8);
    bench.fill(RX, 8, 2048);
    let good = Spec::default().frame();
    let mut bad = good.clone();
    bad[60] ^= 1;
    bench.wire(&good);
    bench.wire(&bad);
    bench.wire(&padded(vec![0xff; 20]));
    bench.run(5 * US);
    for (frame, flags) in [(good, 2), (bad, 0), (padded(vec![0xff; 20]), 0)] {
        let received = bench.receive(RX).unwrap();
        assert_eq!(received.frame, frame);
        assert_eq!(received.hdr, [flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }
    assert_eq!(bench.nic.stat(Stat::RxCsumValid), 1);
    assert_eq!(bench.nic.stat(Stat::RxBuffers), 3);
}

// shows (model): 5.1.6.4.1-5
#[test]
fn without_guest_csum_flags_are_zero() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 8);
    bench.fill(RX, 1, 2048);
    bench.wire(&Spec::default().frame());
    bench.run(5 * US);
    assert_eq!(bench.receive(RX).unwrap().hdr[0], 0);
}

// shows (model): 5.1.4.1-4
#[test]
fn bad_frames_never_reach_memory() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 8);
    bench.fill(RX, 8, 2048);
    let before = bench.nic.counters().dma_write_bytes;
    let now = bench.nic.now();
    let frame = |len: usize| WireFrame::new(now, vec![1; len]);
    let tagged = |len: usize| {
        let mut frame = frame(len);
        frame.bytes[12..14].copy_from_slice(&[0x81, 0]);
        frame
    };
    let faulty = |change: fn(&mut hwmodel::xgmii::Faults)| {
        let mut frame = frame(100);
        change(&mut frame.faults);
        frame
    };
    let cases = [
        (frame(59), Stat::RxRunt),
        (frame(1515), Stat::RxOversize),
        (tagged(1519), Stat::RxOversize),
        (frame(100).bad_fcs(), Stat::RxBadFcs),
        (faulty(|f| f.short_preamble = 1), Stat::RxError),
        (faulty(|f| f.no_sfd = true), Stat::RxError),
        (faulty(|f| f.error_at = Some(50)), Stat::RxError),
        (faulty(|f| f.no_terminate = true), Stat::RxError),
    ];
    for (frame, stat) in cases {
        let count = bench.nic.stat(stat);
        bench.nic.wire_send(frame);
        bench.run(5 * US);
        assert_eq!(bench.nic.stat(stat), count + 1, "{stat:?}");
    }
    assert_eq!(bench.nic.counters().dma_write_bytes, before);
    assert_eq!(bench.nic.stat(Stat::RxFrames), 0);
}

#[test]
fn frames_wait_for_buffers() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 8);
    for value in 0..3 {
        bench.wire(&[value; 100]);
    }
    bench.run(5 * US);
    assert_eq!(bench.receive(RX), None);
    for value in 0..3 {
        bench.fill(RX, 1, 2048);
        bench.run(5 * US);
        assert_eq!(bench.receive(RX).unwrap().frame, [value; 100]);
    }
    assert_eq!(bench.nic.stat(Stat::RxNoSpace), 0);
    for _ in 0..400 {
        bench.wire(&[9; 1500]);
    }
    bench.run(600 * US);
    let lost = bench.nic.stat(Stat::RxNoSpace);
    assert!((300..400).contains(&lost), "{lost} lost for want of room");
}

#[test]
fn a_frame_that_does_not_fit_is_dropped_and_the_buffer_comes_back() {
    let mut bench = Bench::start(ModelConfig::default(), 0, 8);
    bench.fill(RX, 1, 100);
    bench.fill(RX, 1, 200);
    bench.wire(&[7; 150]);
    bench.wire(&[8; 150]);
    bench.run(5 * US);
    assert_eq!(bench.used(RX).unwrap().len, 0);
    assert_eq!(bench.receive(RX).unwrap().frame, [8; 150]);
    assert_eq!(bench.nic.stat(Stat::RxTruncated), 1);
}

// shows (model): 5.1.6.3.2-1, 5.1.6.4.1-2, 5.1.6.4.1-3
#[test]
fn buffers_are_merged() {
    let config = ModelConfig {
        mtu: 9202,
        ..ModelConfig::default()
    };
    for hash in [0, feature::HASH_REPORT | feature::CTRL_VQ] {
        let mut bench = Bench::start(
            config.clone(),
            feature::MRG_RXBUF | feature::RING_RESET | hash,
            256,
        );
        let hdr_len = bench.hdr_len();
        for len in [60, 488, 489, 500, 511, 512, 513, 1500, 9216] {
            bench.fill(RX, 20, 512);
            let frame: Vec<u8> = (0..len).map(|i| i as u8).collect();
            bench.wire(&frame);
            bench.run(20 * US);
            let received = bench.receive(RX).unwrap();
            assert_eq!(received.frame, frame, "{len} bytes");
            let buffers = (len + hdr_len).div_ceil(512);
            assert_eq!(usize::from(received.le16(10)), buffers);
            assert_eq!(bench.used(RX), None);
            bench.reset_queue(RX);
            bench.enable(RX, 256);
        }
    }
}

/// A ring whose buffers are too small even together must not block the queue for ever.
#[test]
fn a_ring_too_small_for_a_frame_goes_on() {
    let mut bench = Bench::start(ModelConfig::default(), feature::MRG_RXBUF, 4);
    bench.fill(RX, 4, 100);
    bench.wire(&[7; 1000]);
    bench.run(5 * US);
    for _ in 0..4 {
        assert_eq!(bench.used(RX).unwrap().len, 0);
    }
    assert_eq!(bench.nic.stat(Stat::RxTruncated), 1);
    bench.fill(RX, 4, 100);
    bench.wire(&[8; 300]);
    bench.run(5 * US);
    assert_eq!(bench.receive(RX).unwrap().frame, [8; 300]);
}

fn tcp(ipv6: bool, index: u32, len: usize, flags: u8) -> Spec {
    Spec {
        ipv6,
        protocol: 6,
        seq: 1000 + 1000 * index,
        payload: vec![index as u8; len],
        flags,
        ..Spec::default()
    }
}

const LRO: u64 =
    feature::GUEST_CSUM | feature::GUEST_TSO4 | feature::GUEST_TSO6 | feature::MRG_RXBUF;

// shows (model): 5.1.6.4.1-12, 5.1.6.4.1-13, 5.1.6.4.1-15, 5.1.6.4.1-17
#[test]
fn a_stream_is_coalesced() {
    for ipv6 in [false, true] {
        let mut bench = Bench::start(ModelConfig::default(), LRO, 64);
        bench.fill(RX, 64, 2048);
        for index in 0..5 {
            let flags = if index == 4 { 0x18 } else { 0x10 };
            bench.wire(&tcp(ipv6, index, 1000, flags).frame());
        }
        bench.run(10 * US);
        let received = bench.receive(RX).unwrap();
        let expected = Spec {
            payload: (0..5).flat_map(|i| vec![i; 1000]).collect(),
            ..tcp(ipv6, 0, 0, 0x18)
        };
        assert_eq!(received.frame, expected.partial());
        let mut hdr = expected.hdr(1000);
        hdr[10] = 3; // 12 + 5054 or 5074 bytes in buffers of 2048
        assert_eq!(received.hdr, hdr);
        assert_eq!(bench.nic.stat(Stat::RxCoalesced), 5);
        assert_eq!(bench.nic.stat(Stat::RxLroFrames), 1);
        assert_eq!(bench.receive(RX), None);
    }
}

#[test]
fn a_held_segment_comes_when_its_time_is_over() {
    let config = ModelConfig {
        coalesce_timeout: 30 * US,
        ..ModelConfig::default()
    };
    let mut bench = Bench::start(config, LRO, 64);
    bench.fill(RX, 64, 2048);
    bench.wire(&tcp(false, 0, 1000, 0x10).frame());
    bench.run(5 * US);
    bench.wire(&tcp(false, 1, 1000, 0x10).frame());
    bench.run(20 * US);
    assert_eq!(bench.receive(RX), None);
    bench.run(10 * US);
    let received = bench.receive(RX).unwrap();
    assert_eq!((received.frame.len(), received.le16(4)), (2054, 1000));
}

// shows (model): 5.1.6.4.1-6, 5.1.6.4.1-8
#[test]
fn nothing_is_coalesced_that_was_not_asked_for() {
    for (off, ipv6) in [(feature::GUEST_TSO4, false), (feature::GUEST_TSO6, true)] {
        let mut bench = Bench::start(ModelConfig::default(), LRO & !off, 64);
        bench.fill(RX, 64, 2048);
        for index in 0..3 {
            bench.wire(&tcp(ipv6, index, 1000, 0x10).frame());
        }
        bench.run(10 * US);
        for index in 0..3 {
            let received = bench.receive(RX).unwrap();
            assert_eq!(received.frame, tcp(ipv6, index, 1000, 0x10).frame());
            assert_eq!((received.hdr[0], received.hdr[1]), (2, 0));
        }
    }
}

/// VIRTIO_NET_CTRL_MQ_RSS_CONFIG (5.1.6.5.7) with a key of 40 bytes.
pub fn rss(table: &[u16], unclassified: u16, types: u32, pairs: u16) -> Vec<u8> {
    let mut command = COMMAND_RSS.to_vec();
    command.extend(types.to_le_bytes());
    command.extend((table.len() as u16 - 1).to_le_bytes());
    let words = [&[unclassified], table, &[pairs]].concat();
    command.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    command.push(40);
    command.extend((0..40u8).map(|i| i.wrapping_mul(37) ^ 0x6d));
    command
}

// shows (model): 5.1.6.4.3-1, 5.1.6.4.4-1, 5.1.6.5.7.3-1, 5.1.6.5.7.3-2
#[test]
fn the_hash_chooses_the_queue_and_is_reported() {
    let features = feature::RSS | feature::HASH_REPORT | feature::CTRL_VQ;
    let mut bench = Bench::start(pairs(4), features, 64);
    for pair in 0..4 {
        bench.fill(2 * pair, 60, 2048);
    }
    let table = [3, 1, 2, 0, 1, 1, 3, 2];
    assert_eq!(bench.command(&rss(&table, 2, hash_type::SUPPORTED, 4)), 0);
    let mut seen = [0; 4];
    for port in 0..40 {
        let frame = Spec {
            ports: [port, 80],
            ipv6: port % 2 == 0,
            ..Spec::default()
        }
        .frame();
        bench.wire(&frame);
        bench.run(3 * US);
        let mut found = None;
        for pair in 0..4u16 {
            if let Some(received) = bench.receive(2 * pair) {
                assert_eq!(found, None, "once");
                let hash = [12, 13, 14, 15].map(|at| received.hdr[at]);
                found = Some((pair, u32::from_le_bytes(hash), received.le16(16)));
                assert_eq!(received.frame, frame);
            }
        }
        let (pair, hash, report) = found.unwrap();
        assert_eq!(pair, table[hash as usize % 8]);
        assert_eq!(report, if port % 2 == 0 { 6 } else { 3 }, "UDPv6 or UDPv4");
        seen[usize::from(pair)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    // What has no hash goes where the driver said.
    bench.wire(&padded(vec![0xff; 14]));
    bench.run(3 * US);
    assert_eq!(bench.receive(4).unwrap().le16(16), 0);
}

/// With several queues at work a frame waits for a buffer for 1024 cycles, 6.6 us.
#[test]
fn a_starved_queue_loses_its_packets_when_others_are_at_work() {
    let features = feature::RSS | feature::CTRL_VQ | feature::RING_RESET | feature::MRG_RXBUF;
    let mut bench = Bench::start(pairs(2), features, 16);
    assert_eq!(bench.command(&rss(&[1], 0, hash_type::SUPPORTED, 2)), 0);
    bench.fill(0, 4, 2048);
    bench.fill(2, 1, 40);
    let frame = Spec::default().frame();
    let lost = |bench: &Bench| bench.nic.stat(Stat::RxNoBuffer);
    // In time.
    bench.wire(&frame);
    bench.run(4 * US);
    bench.fill(2, 1, 2048);
    bench.kick(2);
    bench.run(20 * US);
    assert_eq!(bench.receive(2).unwrap().frame, frame);
    assert_eq!(lost(&bench), 0);
    // Too late: its first chain goes back empty, and the next frame does not wait any more.
    bench.fill(2, 1, 40);
    bench.wire(&frame);
    bench.run(20 * US);
    assert_eq!(lost(&bench), 1);
    assert_eq!(bench.used(2).unwrap().len, 0);
    bench.wire(&frame);
    bench.run(3 * US);
    assert_eq!(lost(&bench), 2);
    // The other queue goes on, and so does this one.
    bench.wire(&padded(vec![0xff; 14]));
    bench.fill(2, 2, 2048);
    bench.wire(&frame);
    bench.run(10 * US);
    assert!(bench.receive(0).is_some());
    assert_eq!(bench.receive(2).unwrap().frame, frame);
    // Alone it waits.
    bench.reset_queue(0);
    bench.wire(&frame);
    bench.wire(&frame);
    bench.run(50 * US);
    assert!(bench.receive(2).is_some());
    assert_eq!(lost(&bench), 2);
    bench.fill(2, 1, 2048);
    bench.run(10 * US);
    assert!(bench.receive(2).is_some());
}

// shows (model): 5.1.6.5.6-1, 5.1.6.5.6.2-1
#[test]
fn answers_come_to_the_queue_that_asked() {
    let mut bench = Bench::start(pairs(4), feature::MQ | feature::CTRL_VQ, 64);
    for pair in 0..4 {
        bench.fill(2 * pair, 32, 2048);
    }
    let flow = |port: u16| Spec {
        ports: [port, 53],
        ..Spec::default()
    };
    let back = |port: u16| {
        let Spec { hosts, ports, .. } = flow(port);
        Spec {
            hosts: [hosts[1], hosts[0]],
            ports: [ports[1], ports[0]],
            ..flow(port)
        }
        .frame()
    };
    // 5.1.6.5.6.2: before the command only the first queue is used.
    for port in 0..16 {
        bench.wire(&back(port));
    }
    bench.run(10 * US);
    for _ in 0..16 {
        assert!(bench.receive(0).is_some());
    }
    assert_eq!(bench.command(&[4, 0, 4, 0]), 0);
    for port in 0..16 {
        let pair = port % 4;
        bench.send(2 * pair + 1, [0; 12], &flow(port).frame());
        bench.run(3 * US);
        bench.wire(&back(port));
        bench.run(3 * US);
        assert_eq!(bench.receive(2 * pair).unwrap().frame, back(port));
    }
}

#[test]
fn a_starved_queue_blocks_no_other() {
    let mut bench = Bench::start(pairs(2), feature::RSS | feature::CTRL_VQ, 64);
    assert_eq!(bench.command(&rss(&[1], 0, hash_type::SUPPORTED, 2)), 0);
    bench.fill(0, 32, 2048);
    for _ in 0..200 {
        bench.wire(&Spec::default().frame());
    }
    bench.wire(&padded(vec![0xff; 14]));
    bench.run(60 * US);
    assert!(bench.receive(0).is_some());
    assert_eq!(bench.receive(2), None);
}
