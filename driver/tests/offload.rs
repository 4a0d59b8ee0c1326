//! Large packets in both directions: what the device is to segment, and what it coalesced.

mod common;

use common::bench::{Bench, HDR_PLAIN, frame};
use common::function::HDR;
use driver::{Feature, Options};
use stack::{CsumState, Frag, Gso, GsoType, NetDeviceOps, SkBuff};

const TCP4: u8 = 1;
const TCP6: u8 = 4;
const UDP_L4: u8 = 5;
const ECN: u8 = 0x80;

/// A driver that accepts everything but `off`, and a device that offers it.
fn bench(off: Feature) -> Bench {
    let options = Options {
        features: !off,
        ..Options::default()
    };
    let offered = Feature::SUPPORTED.without(Feature::CTRL_VQ | Feature::CONTROLLED);
    Bench::with(options, |f| f.offered = offered.bits())
}

/// The header of a packet that is cut into segments of `size` bytes behind `hdr_len` of headers; the
/// transport header is at 34.
fn gso_hdr(gso_type: u8, hdr_len: u16, size: u16, csum_offset: u8, num_buffers: u8) -> [u8; HDR] {
    let ([h0, h1], [s0, s1]) = (hdr_len.to_le_bytes(), size.to_le_bytes());
    let n = num_buffers;
    [1, gso_type, h0, h1, s0, s1, 34, 0, csum_offset, 0, n, 0]
}

/// TCP over IPv4 with 32 bytes of TCP header, as far as a driver looks.
fn tcp(payload: usize, seed: u8) -> Vec<u8> {
    let mut bytes = frame(66 + payload, seed);
    bytes[46] = 8 << 4;
    bytes
}

fn large(mut skb: SkBuff, kind: GsoType, offset: u16, size: u16) -> SkBuff {
    skb.csum = CsumState::Partial { start: 34, offset };
    skb.gso = Gso {
        kind,
        size,
        segs: 1,
        ..Gso::NONE
    };
    skb
}

/// `bytes` in pages of the device's own pool, as a socket fills them.
fn in_pages(bench: &Bench, bytes: &[u8]) -> SkBuff {
    let pool = bench.net.tx_pool();
    let (head, rest) = bytes.split_at(bytes.len().min(200));
    let mut skb = SkBuff::alloc(&pool, 64, head.len()).unwrap();
    skb.put_slice(head).unwrap();
    for part in rest.chunks(pool.buf_size()) {
        let mut page = pool.alloc().unwrap();
        page.as_mut_slice()[..part.len()].copy_from_slice(part);
        skb.add_frag(Frag::new(page.share(), 0, part.len()));
    }
    skb
}

#[test]
fn large_packets_go_to_the_device_as_they_are() {
    let mut bench = bench(Feature::NONE);
    let offered = bench.net.features();
    assert!(offered.tso4 && offered.tso6 && offered.tso_ecn && offered.uso);
    let mut cases = vec![
        (GsoType::TcpV4, TCP4, 16, 66, false),
        (GsoType::TcpV4, TCP4 | ECN, 16, 66, true),
        (GsoType::TcpV6, TCP6, 16, 66, false),
        (GsoType::UdpL4, UDP_L4, 6, 42, false),
    ];
    for (n, (kind, gso_type, check, hdr_len, ecn)) in cases.drain(..).enumerate() {
        for len in [1, 1448, 10_000, 65_000] {
            let bytes = tcp(len, n as u8);
            let mut skb = large(in_pages(&bench, &bytes), kind, check, 1400);
            skb.gso.ecn = ecn;
            bench.net.start_xmit(skb).unwrap();
            bench.net.flush();
            bench.dev.borrow_mut().transmit();
            let sent = bench.sent().pop().unwrap();
            assert_eq!(sent.hdr, gso_hdr(gso_type, hdr_len, 1400, check as u8, 0));
            assert!(sent.frame == bytes, "{kind:?}, {len} bytes");
            bench.napi(64);
        }
    }
    let stats = *bench.net.borrow().stats();
    assert_eq!((stats.tx_gso, stats.tx_csum_offload), (16, 16));
    assert_eq!((stats.tx_bounce, stats.tx_gso_errors), (0, 0));
    let pool = bench.net.tx_pool();
    assert_eq!(pool.available(), pool.count(), "all pages came back");
    bench.assert_clean();
}

/// From the heap a packet of 64 KiB is copied into as many pages as a chain may have.
#[test]
fn a_large_packet_that_the_device_cannot_reach_is_copied() {
    let mut bench = bench(Feature::NONE);
    let bytes = tcp(65_000, 3);
    let skb = large(SkBuff::from_vec(bytes.clone()), GsoType::TcpV4, 16, 1448);
    bench.net.start_xmit(skb).unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    assert!(bench.sent().pop().unwrap().frame == bytes);
    assert_eq!(bench.net.borrow().stats().tx_bounce, 1);
    bench.assert_clean();
}

#[test]
fn what_was_not_negotiated_or_is_not_so_is_dropped() {
    let mut bench = bench(Feature::HOST_TSO6 | Feature::HOST_ECN);
    let offered = bench.net.features();
    assert!(offered.tso4 && !offered.tso6 && !offered.tso_ecn && offered.uso);
    let packet = |kind| large(SkBuff::from_vec(tcp(3000, 0)), kind, 16, 1400);
    let mut bad = vec![packet(GsoType::TcpV6), packet(GsoType::TcpV4)];
    bad[1].gso.ecn = true;
    for change in [
        |skb: &mut SkBuff| skb.csum = CsumState::Unnecessary,
        |skb: &mut SkBuff| skb.gso.size = 0,
        |skb: &mut SkBuff| skb.data_mut()[46] = 4 << 4,
        |skb: &mut SkBuff| skb.trim(66),
    ] {
        bad.push(packet(GsoType::TcpV4));
        change(bad.last_mut().unwrap());
    }
    let errors = bad.len() as u64;
    for skb in bad {
        bench.net.start_xmit(skb).unwrap();
    }
    // Each segment would be longer than the MTU allows.
    bench
        .net
        .start_xmit(large(
            SkBuff::from_vec(tcp(3000, 0)),
            GsoType::TcpV4,
            16,
            1522,
        ))
        .unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    assert_eq!(bench.sent(), []);
    let stats = *bench.net.borrow().stats();
    assert_eq!((stats.tx_gso_errors, stats.tx_length_errors), (errors, 1));
    bench.assert_clean();
}

#[test]
fn a_frame_may_lie_in_several_buffers() {
    let mut bench = bench(Feature::NONE);
    let hdrs = [
        gso_hdr(TCP4, 66, 1448, 16, 0),
        gso_hdr(TCP6, 66, 1428, 16, 0),
    ];
    for n in 0..200usize {
        // One buffer exactly, a byte more, and so on up to the longest.
        let len = [1972, 1973, 1972 + 1984, 1972 + 1985, 9000, 65_549][n % 6];
        let bytes = tcp(len - 66, n as u8);
        let hdr = hdrs[n % 2];
        assert!(bench.dev.borrow_mut().receive_merged(hdr, &bytes));
        assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(60, 1)));
        assert!(bench.interrupts());
        let got = bench.napi(64);
        assert_eq!(got.len(), 2, "{len} bytes");
        assert!(got[0].to_vec() == bytes, "{len} bytes");
        assert_eq!(
            got[0].nr_frags(),
            (12 + len).div_ceil(1984) - 1,
            "no byte was copied"
        );
        assert!(got[0].is_in(&bench.net.borrow().rx_pool()));
        let (kind, size) = [(GsoType::TcpV4, 1448), (GsoType::TcpV6, 1428)][n % 2];
        let gso = got[0].gso;
        assert_eq!((gso.kind, gso.size), (kind, size));
        assert_eq!(usize::from(gso.segs), (len - 66).div_ceil(size.into()));
        let partial = CsumState::Partial {
            start: 34,
            offset: 16,
        };
        assert_eq!((got[0].csum, got[1].csum), (partial, CsumState::None));
    }
    let stats = *bench.net.borrow().stats();
    assert_eq!((stats.rx_packets, stats.rx_gso), (400, 200));
    assert_eq!(stats.rx_merged, 200 - 34, "34 fitted in one buffer");
    let pool = bench.net.borrow().rx_pool();
    bench.assert_clean();
    bench.net.borrow_mut().remove().unwrap();
    assert_eq!(pool.available(), pool.count(), "all buffers came back");
}

#[test]
fn a_device_that_lies_about_buffers_or_segments_loses_its_frame_only() {
    let mut bench = bench(Feature::GUEST_TSO6);
    let good = gso_hdr(TCP4, 66, 1448, 16, 1);
    let mut lies = vec![
        gso_hdr(TCP4, 66, 1448, 16, 2), // one buffer is used
        gso_hdr(TCP4, 66, 1448, 16, 255),
        gso_hdr(TCP4, 66, 0, 16, 1),
        gso_hdr(TCP4, 66, 1448, 6, 1), // where UDP has its checksum
        gso_hdr(TCP4 | ECN, 66, 1448, 16, 1),
        gso_hdr(TCP6, 66, 1448, 16, 1), // was switched off
        gso_hdr(UDP_L4, 42, 1448, 6, 1),
        gso_hdr(77, 66, 1448, 16, 1),
    ];
    let mut no_csum = good;
    no_csum[0] = 0;
    lies.push(no_csum);
    for lie in &lies {
        assert!(bench.dev.borrow_mut().receive(*lie, &tcp(1000, 0)));
        assert!(bench.interrupts());
        assert_eq!(bench.napi(64).len(), 0, "{lie:?}");
        assert!(bench.dev.borrow_mut().receive(good, &tcp(1000, 0)));
        assert!(bench.interrupts());
        assert_eq!(bench.napi(64).len(), 1);
    }
    let stats = *bench.net.borrow().stats();
    let lies = lies.len() as u64;
    assert_eq!((stats.rx_length_errors, stats.rx_gso_errors), (2, lies - 2));
    assert_eq!((stats.rx_num_buffers_errors, stats.rx_packets), (2, lies));
    bench.assert_clean();
}
