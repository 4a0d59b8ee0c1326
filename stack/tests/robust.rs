//! Whatever bytes arrive: nothing panics, every packet ends once, no buffer is lost. And fragments, however cut and in whatever order, are put
//! together to the same datagram.

mod common;

use common::{Host, MAC, PEER};
use etherparse::PacketBuilder;
use pcap_file::pcap::PcapReader;
use proptest::prelude::*;
use stack::{DropReason, StackConfig};
use std::fs::File;

/// Frames that get past the Ethernet header more often than not.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let ethertype = prop_oneof![
        Just([0x08u8, 0x00]),
        Just([0x86, 0xdd]),
        Just([0x08, 0x06]),
        Just([0x81, 0x00]),
        any::<[u8; 2]>(),
    ];
    let dest = prop_oneof![
        Just(MAC),
        Just([0xff; 6]),
        Just([0x33, 0x33, 0, 0, 0, 1]),
        any::<[u8; 6]>()
    ];
    (dest, ethertype, prop::collection::vec(any::<u8>(), 0..200)).prop_map(
        |(dest, ethertype, mut body)| {
            if let ([0x08, 0x00], [first, ..]) = (ethertype, &mut body[..]) {
                *first = 0x45 + (*first & 1);
            }
            if let ([0x86, 0xdd], [first, ..]) = (ethertype, &mut body[..]) {
                *first = 0x60;
            }
            [&dest[..], &PEER, &ethertype, &body].concat()
        },
    )
}

/// Good packets with a few bytes changed, and the IPv4 header checksum mended.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let kind = 0u8..6;
    let changes = prop::collection::vec((0usize..120, any::<u8>()), 0..4);
    (kind, changes, prop::collection::vec(any::<u8>(), 0..64)).prop_map(
        |(kind, changes, payload)| {
            let (a, b) = ([192, 0, 2, 10], [192, 0, 2, 20]);
            let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
            let (c, d) = (v6("fd00:9::1"), v6("fd00:9::2"));
            let eth = PacketBuilder::ethernet2(PEER, MAC);
            let mut bytes = Vec::new();
            match kind {
                0 => eth
                    .ipv4(a, b, 64)
                    .udp(1, 9)
                    .write(&mut bytes, &payload)
                    .unwrap(),
                1 => eth
                    .ipv4(a, b, 64)
                    .icmpv4_echo_request(1, 2)
                    .write(&mut bytes, &payload)
                    .unwrap(),
                2 => eth
                    .ipv6(c, d, 255)
                    .udp(1, 9)
                    .write(&mut bytes, &payload)
                    .unwrap(),
                3 => eth
                    .ipv6(c, d, 255)
                    .icmpv6_raw(135, 0, [0; 4])
                    .write(&mut bytes, &payload)
                    .unwrap(),
                4 => eth
                    .ipv4(a, b, 64)
                    .tcp(1, 2, 3, 4)
                    .write(&mut bytes, &payload)
                    .unwrap(),
                _ => eth
                    .ipv6(c, d, 64)
                    .icmpv6_echo_request(1, 2)
                    .write(&mut bytes, &payload)
                    .unwrap(),
            }
            for (at, value) in changes {
                let at = 12 + at;
                if at < bytes.len() {
                    bytes[at] = value;
                }
            }
            if bytes[12..14] == [8, 0] && bytes[14] >> 4 == 4 {
                let len = usize::from(bytes[14] & 15) * 4;
                if len >= 20 && bytes.len() >= 14 + len {
                    bytes[24..26].fill(0);
                    let mut sum = 0u32;
                    for pair in bytes[14..14 + len].chunks(2) {
                        sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
                    }
                    while sum > 0xffff {
                        sum = (sum & 0xffff) + (sum >> 16);
                    }
                    bytes[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
                }
            }
            bytes
        },
    )
}

fn survive(frames: Vec<Vec<u8>>, router: bool) {
    let config = StackConfig {
        ip_forward: router,
        ipv6_forward: router,
        ..StackConfig::default()
    };
    let mut host = Host::new(config);
    let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
    let n = frames.len() as u64;
    host.receive(frames);
    assert!(host.stack.stats().received >= n);
    host.assert_balanced();
    host.run_until(100 * common::SEC);
    while host.stack.udp_recv_from(socket).is_some() {}
    host.assert_balanced();
    assert_eq!(host.stack.stats().held, 0);
    let pool = host.wire.borrow().pool.clone();
    assert_eq!(pool.available(), pool.count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_frames(frames in prop::collection::vec(frames(), 1..20), router in any::<bool>()) {
        survive(frames, router);
    }

    #[test]
    fn bent_frames(frames in prop::collection::vec(bent(), 1..20), router in any::<bool>()) {
        survive(frames, router);
    }

    #[test]
    fn ipv6_fragments_in_any_order(
        payload in prop::collection::vec(any::<u8>(), 1..4000),
        cuts in prop::collection::btree_set(1usize..500, 0..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 14),
    ) {
        let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        let mut whole = Vec::new();
        PacketBuilder::ethernet2(PEER, MAC)
            .ipv6(v6("fd00:9::1"), v6("fd00:9::2"), 64)
            .udp(1, 9)
            .write(&mut whole, &payload)
            .unwrap();
        let datagram = &whole[54..];
        let mut bounds: Vec<usize> = cuts.into_iter().map(|c| c * 8).filter(|&c| c < datagram.len()).collect();
        bounds.insert(0, 0);
        bounds.push(datagram.len());
        // Two options headers before the fragment header: the second names it, and must name UDP afterwards.
        let unfragmentable = [0u8, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0];
        let mut fragments: Vec<Vec<u8>> = bounds
            .windows(2)
            .map(|w| {
                let mut header = whole[14..54].to_vec();
                header[4..6].copy_from_slice(&((16 + 8 + w[1] - w[0]) as u16).to_be_bytes());
                header[6] = 60;
                let mut before = unfragmentable;
                before[0] = 60;
                let field = (w[0] as u16 | u16::from(w[1] != datagram.len())).to_be_bytes();
                let fragment = [17, 0, field[0], field[1], 1, 2, 3, 4];
                [&whole[..14], &header, &before, &fragment, &datagram[w[0]..w[1]]].concat()
            })
            .collect();
        for (i, index) in (1..fragments.len()).rev().zip(order) {
            fragments.swap(i, index.index(i + 1));
        }
        let mut host = Host::new(StackConfig::default());
        let socket = host.stack.udp_bind("::".parse().unwrap(), 9).unwrap();
        host.receive(fragments);
        let datagram = host.stack.udp_recv_from(socket).expect("no datagram");
        prop_assert_eq!(datagram.payload(), &payload[..]);
        host.assert_balanced();
    }

    #[test]
    fn any_split_in_any_order_gives_the_same_datagram(
        payload in prop::collection::vec(any::<u8>(), 1..4000),
        cuts in prop::collection::btree_set(1usize..500, 0..12),
        order in any::<u64>(),
        repeat in any::<prop::sample::Index>(),
    ) {
        let mut whole = Vec::new();
        PacketBuilder::ethernet2(PEER, MAC)
            .ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64)
            .udp(1, 9)
            .write(&mut whole, &payload)
            .unwrap();
        let datagram = &whole[34..];
        let mut bounds: Vec<usize> = cuts.into_iter().map(|c| c * 8).filter(|&c| c < datagram.len()).collect();
        bounds.insert(0, 0);
        bounds.push(datagram.len());
        let mut fragments: Vec<Vec<u8>> = bounds
            .windows(2)
            .map(|w| {
                let mut header = etherparse::Ipv4Header::from_slice(&whole[14..34]).unwrap().0;
                header.dont_fragment = false;
                header.identification = 77;
                header.more_fragments = w[1] != datagram.len();
                header.fragment_offset = etherparse::IpFragOffset::try_new((w[0] / 8) as u16).unwrap();
                header.total_len = (20 + w[1] - w[0]) as u16;
                header.header_checksum = header.calc_header_checksum();
                [&whole[..14], &header.to_bytes(), &datagram[w[0]..w[1]]].concat()
            })
            .collect();
        // A repeated fragment changes nothing while the datagram is incomplete.
        let again = fragments[repeat.index(fragments.len())].clone();
        let mut state = order;
        for i in (1..fragments.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            fragments.swap(i, (state >> 33) as usize % (i + 1));
        }
        let doubled = fragments.len() > 1 && again != fragments[fragments.len() - 1];
        if doubled {
            let at = fragments.iter().position(|f| *f == again).unwrap();
            fragments.insert(at + 1, again);
        }
        let mut host = Host::new(StackConfig::default());
        let socket = host.stack.udp_bind("0.0.0.0".parse().unwrap(), 9).unwrap();
        host.receive(fragments);
        let datagram = host.stack.udp_recv_from(socket).expect("no datagram");
        prop_assert_eq!(datagram.payload(), &payload[..]);
        prop_assert_eq!(host.stack.drop_count(DropReason::DupFrag), u64::from(doubled));
        host.assert_balanced();
    }
}

/// A capture of ordinary traffic, if the co-simulation's test data is there.
#[test]
fn a_real_capture() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../cosim/data/mixed.pcap");
    let Ok(file) = File::open(path) else { return };
    let mut reader = PcapReader::new(file).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let mut frame = packet.unwrap().data.into_owned();
        if frame.len() >= 6 && frame[0] & 1 == 0 {
            frame[..6].copy_from_slice(&MAC);
        }
        frames.push(frame);
    }
    assert!(frames.len() > 100);
    survive(frames.clone(), false);
    survive(frames, true);
}
