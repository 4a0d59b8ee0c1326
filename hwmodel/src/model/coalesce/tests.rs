use super::*;
use crate::model::{csum, spec::feature, tso};

const TIMEOUT: Ps = 10_000_000;

/// One TCP segment from port `port`, with timestamps.
fn segment(ipv6: bool, port: u16, seq: u32, payload: &[u8], flags: u8) -> Vec<u8> {
    let mut frame = vec![6; 12];
    let tcp_len = 32 + payload.len() as u16;
    if ipv6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(tcp_len.to_be_bytes());
        frame.extend([TCP, 64]);
        frame.extend([0x20; 32]);
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + tcp_len).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let csum = !fold(sum(&frame[14..34]));
        frame[24..26].copy_from_slice(&csum.to_be_bytes());
    }
    let l4 = frame.len();
    frame.extend(port.to_be_bytes());
    frame.extend([0, 80]);
    frame.extend(seq.to_be_bytes());
    frame.extend([0, 0, 0, 9, 0x80, flags, 1, 0, 0, 0, 0, 0]);
    frame.extend([1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]);
    frame.extend(payload);
    let packet = Packet::parse(&frame, true).unwrap();
    let pseudo = packet.pseudo_sum(&frame, usize::from(tcp_len));
    frame[l4 + 16..l4 + 18].copy_from_slice(&pseudo.to_be_bytes());
    assert!(csum::insert(&mut frame, l4, 16));
    frame
}

struct Bench {
    table: Coalescer,
    out: Vec<RxFrame>,
}

impl Bench {
    fn new() -> Self {
        Self {
            table: Coalescer::new(TIMEOUT),
            out: Vec::new(),
        }
    }

    fn push(&mut self, now: Ps, bytes: Vec<u8>) {
        let packet = Packet::parse(&bytes, true);
        let wanted = csum::verified(&bytes);
        let frame = RxFrame {
            bytes,
            hdr: NetHdr {
                flags: F_DATA_VALID,
                ..NetHdr::default()
            },
            segments: 1,
        };
        self.table
            .push(now, frame, packet.as_ref(), wanted, &mut self.out);
    }

    fn segments(&self) -> Vec<u32> {
        self.out.iter().map(|frame| frame.segments).collect()
    }
}

// shows (model): 5.1.6.4.1-12, 5.1.6.4.1-13, 5.1.6.4.1-15
#[test]
fn a_stream_becomes_one_frame_that_can_be_cut_again() {
    for ipv6 in [false, true] {
        let mut bench = Bench::new();
        let data: Vec<u8> = (0..3500u32).map(|i| i as u8).collect();
        let mut sent = Vec::new();
        for (index, part) in data.chunks(1000).enumerate() {
            let seq = 0xffff_ff00_u32.wrapping_add(1000 * index as u32);
            let flags = if index == 3 { ACK | PSH } else { ACK };
            let mut frame = segment(ipv6, 5, seq, part, flags);
            if !ipv6 {
                // Segmentation counts identifications up; so does this sender.
                frame[19] += index as u8;
                frame[24..26].fill(0);
                let csum = !fold(sum(&frame[14..34]));
                frame[24..26].copy_from_slice(&csum.to_be_bytes());
            }
            sent.push(frame.clone());
            bench.push(0, frame);
        }
        assert_eq!(bench.segments(), [4], "complete with PSH");
        let merged = &bench.out[0];
        assert_eq!(merged.hdr.flags, F_NEEDS_CSUM);
        assert_eq!((merged.hdr.gso_size, merged.hdr.csum_offset), (1000, 16));
        let mut whole = merged.bytes.clone();
        assert!(csum::insert(&mut whole, merged.hdr.csum_start.into(), 16));
        assert!(csum::verified(&whole), "a fully checksummed packet");
        let mut again = Vec::new();
        let features = feature::HOST_TSO4 | feature::HOST_TSO6;
        tso::segment(&merged.bytes, &merged.hdr, features, 1518, |f| {
            again.push(f)
        })
        .unwrap();
        assert_eq!(again, sent);
    }
}

#[test]
fn what_does_not_fit_flushes() {
    let base = |seq| segment(false, 5, seq, &[1; 100], ACK);
    let altered = |at: usize, value: u8| {
        let mut frame = base(100);
        frame[at] = value;
        for range in [24..26, 50..52] {
            frame[range].fill(0);
        }
        let csum = !fold(sum(&frame[14..34]));
        frame[24..26].copy_from_slice(&csum.to_be_bytes());
        let packet = Packet::parse(&frame, true).unwrap();
        let pseudo = packet.pseudo_sum(&frame, 132);
        frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
        assert!(csum::insert(&mut frame, 34, 16));
        frame
    };
    // Second segment, and what is out at once.
    let cases: [(&str, Vec<u8>, &[u32]); 10] = [
        ("in order", base(100), &[]),
        ("out of order", base(300), &[1]),
        ("again", base(0), &[1]),
        ("longer", segment(false, 5, 100, &[1; 101], ACK), &[1]),
        ("shorter", segment(false, 5, 100, &[1; 99], ACK), &[2]),
        ("time to live", altered(22, 63), &[1]),
        ("acknowledgement", altered(45, 10), &[1]),
        ("timestamp", altered(60, 7), &[1]),
        ("no data", segment(false, 5, 100, &[], ACK), &[1, 1]),
        ("FIN", segment(false, 5, 100, &[1; 100], ACK | 1), &[1, 1]),
    ];
    for (name, second, expected) in cases {
        let mut bench = Bench::new();
        bench.push(0, base(0));
        bench.push(0, second);
        assert_eq!(bench.segments(), expected, "{name}");
        if let Some(first) = bench.out.first().filter(|f| f.segments == 1) {
            assert_eq!(
                (first.bytes.clone(), first.hdr.flags),
                (base(0), F_DATA_VALID)
            );
        }
    }
}

// shows (model): 5.1.6.4.1-11
#[test]
fn wrong_checksums_keep_their_place_in_the_stream() {
    let mut bench = Bench::new();
    bench.push(0, segment(true, 5, 0, &[1; 100], ACK));
    let mut bad = segment(true, 5, 100, &[1; 100], ACK);
    bad[100] ^= 1;
    bench.push(0, bad);
    bench.push(0, segment(true, 5, 200, &[1; 100], ACK | PSH));
    assert_eq!(bench.segments(), [1, 1, 1]);
    assert_eq!(bench.table.held(), 0);
}

#[test]
fn a_frame_ends_at_64_kib() {
    let mut bench = Bench::new();
    for index in 0..50u32 {
        bench.push(0, segment(false, 5, 1400 * index, &[3; 1400], ACK));
    }
    assert_eq!(bench.segments(), [46]);
    let packet = Packet::parse(&bench.out[0].bytes, true).unwrap();
    assert_eq!(packet.end - packet.l3, 52 + 46 * 1400);
}

#[test]
fn time_and_place_are_bounded() {
    let mut bench = Bench::new();
    for port in 0..FLOWS as u16 {
        bench.push(
            1000 * u64::from(port),
            segment(false, port, 0, &[1; 9], ACK),
        );
    }
    assert!(bench.out.is_empty());
    assert_eq!(bench.table.deadline(), Some(TIMEOUT));
    bench.push(9000, segment(false, 99, 0, &[1; 9], ACK));
    assert_eq!(bench.segments(), [1], "the oldest makes room");
    let mut out = Vec::new();
    bench.table.expire(TIMEOUT + 1000, &mut out);
    assert_eq!((out.len(), bench.table.held()), (1, FLOWS as u64 - 1));
    bench.table.expire(TIMEOUT + 9000, &mut out);
    assert_eq!((out.len(), bench.table.deadline()), (FLOWS, None));
}
