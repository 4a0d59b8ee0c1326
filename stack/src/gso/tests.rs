//! Segments, against a parser that is not ours.

use super::*;
use crate::skb::{Frag, NET_SKB_PAD};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// A packet from its Ethernet header on, as a protocol of this host or GRO would hand it over: partial checksum, and the payload cut
/// into fragments at multiples of `piece`.
pub(crate) fn large(frame: &[u8], gso: Gso, piece: usize) -> SkBuff {
    let layout = Layout::parse(&frame[14..]).unwrap();
    let header_len = 14 + layout.payload;
    let mut skb = SkBuff::alloc_heap(NET_SKB_PAD, frame.len());
    skb.put_slice(&frame[..header_len]).unwrap();
    let check = match layout.protocol {
        IPPROTO_TCP => TCP_CHECK,
        _ => UDP_CHECK,
    };
    let len = frame.len() - 14 - layout.transport;
    let pseudo = layout.pseudo_sum(&frame[14..], len);
    put16(
        skb.data_mut(),
        14 + layout.transport + check,
        checksum::fold(pseudo),
    );
    for part in frame[header_len..].chunks(piece) {
        skb.add_frag(Frag::from_vec(part.to_vec()));
    }
    skb.reset_mac_header();
    skb.set_network_header(14);
    skb.csum = CsumState::Partial {
        start: (14 + layout.transport) as u16,
        offset: check as u16,
    };
    skb.protocol = u16::from_be_bytes([frame[12], frame[13]]);
    skb.gso = gso;
    skb
}

/// All segments as they go on the wire.
pub(crate) fn segments(skb: &SkBuff, sg: bool) -> Vec<Vec<u8>> {
    let segmenter = Segmenter::new(skb, sg).unwrap();
    (0..segmenter.count())
        .map(|index| {
            let mut segment = SkBuff::alloc_heap(NET_SKB_PAD, segmenter.linear_len(index));
            segmenter.fill(index, &mut segment).unwrap();
            assert_eq!(segment.headlen(), segmenter.linear_len(index));
            crate::skb_checksum_help(&mut segment);
            segment.to_vec()
        })
        .collect()
}

/// Checks lengths and checksums; IPv4 identification, or none, and the transport header.
fn check(frame: &[u8]) -> (Option<u16>, SlicedPacket<'_>) {
    let parsed = SlicedPacket::from_ethernet(frame).unwrap();
    let id = match parsed.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(usize::from(header.total_len), frame.len() - 14);
            if let Some(TransportSlice::Tcp(tcp)) = &parsed.transport {
                let sum = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload());
                assert_eq!(sum.unwrap(), tcp.checksum());
            }
            if let Some(TransportSlice::Udp(udp)) = &parsed.transport {
                let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
                assert_eq!(sum.unwrap(), udp.checksum());
                assert_eq!(usize::from(udp.length()), 8 + udp.payload().len());
            }
            Some(header.identification)
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert_eq!(usize::from(header.payload_length), frame.len() - 54);
            if let Some(TransportSlice::Tcp(tcp)) = &parsed.transport {
                let sum = tcp.to_header().calc_checksum_ipv6(&header, tcp.payload());
                assert_eq!(sum.unwrap(), tcp.checksum());
            }
            if let Some(TransportSlice::Udp(udp)) = &parsed.transport {
                let sum = udp.to_header().calc_checksum_ipv6(&header, udp.payload());
                assert_eq!(sum.unwrap(), udp.checksum());
            }
            None
        }
        other => panic!("{other:?}"),
    };
    (id, parsed)
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn tcp_frame(v6: bool, data: &[u8]) -> Vec<u8> {
    use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};
    let mut tcp = TcpHeader::new(80, 4000, 0xffff_fff0, 1000);
    (tcp.ack, tcp.psh, tcp.fin, tcp.cwr) = (true, true, true, true);
    tcp.acknowledgment_number = 77;
    tcp.set_options(&[
        TcpOptionElement::Noop,
        TcpOptionElement::Noop,
        TcpOptionElement::Timestamp(1, 2),
    ])
    .unwrap();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let mut bytes = Vec::new();
    if v6 {
        builder
            .ipv6([0xfd; 16], [0xfe; 16], 9)
            .tcp_header(tcp)
            .write(&mut bytes, data)
            .unwrap();
    } else {
        let mut ip = etherparse::Ipv4Header::new(
            0,
            9,
            etherparse::IpNumber::TCP,
            [10, 0, 0, 1],
            [10, 0, 0, 2],
        )
        .unwrap();
        ip.identification = 0xffff;
        ip.options = etherparse::Ipv4Options::try_from(&[1u8, 1, 1, 0][..]).unwrap();
        builder
            .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
            .tcp_header(tcp)
            .write(&mut bytes, data)
            .unwrap();
    }
    bytes
}

#[test]
fn tcp_segments_are_what_the_sender_would_have_sent() {
    let data = payload(3500);
    for v6 in [false, true] {
        for (sg, piece) in [(true, 999), (false, 1448), (true, 4000), (false, 1)] {
            let gso = Gso {
                kind: if v6 { GsoType::TcpV6 } else { GsoType::TcpV4 },
                size: 1000,
                segs: 4,
                ecn: true,
                ..Gso::default()
            };
            let skb = large(&tcp_frame(v6, &data), gso, piece);
            let segments = segments(&skb, sg);
            assert_eq!(segments.len(), 4);
            let mut together = Vec::new();
            for (i, frame) in segments.iter().enumerate() {
                let (id, parsed) = check(frame);
                assert_eq!(id, (!v6).then_some(0xffffu16.wrapping_add(i as u16)));
                let Some(TransportSlice::Tcp(tcp)) = parsed.transport else {
                    panic!("no TCP");
                };
                assert_eq!(
                    tcp.sequence_number(),
                    0xffff_fff0u32.wrapping_add(1000 * i as u32)
                );
                assert_eq!((tcp.fin(), tcp.psh(), tcp.cwr()), (i == 3, i == 3, i == 0));
                assert_eq!((tcp.acknowledgment_number(), tcp.options().len()), (77, 12));
                together.extend_from_slice(tcp.payload());
            }
            assert_eq!(together, data);
        }
    }
}

#[test]
fn accurate_ecn_keeps_cwr_and_fixed_ids_stay() {
    let gso = Gso {
        kind: GsoType::TcpV4,
        size: 100,
        segs: 3,
        accecn: true,
        fixed_id: true,
        ..Gso::default()
    };
    for frame in segments(&large(&tcp_frame(false, &payload(250)), gso, 100), true) {
        let (id, parsed) = check(&frame);
        let Some(TransportSlice::Tcp(tcp)) = parsed.transport else {
            panic!("no TCP");
        };
        assert_eq!((id, tcp.cwr()), (Some(0xffff), true));
    }
}

#[test]
fn udp_datagrams_of_one_size() {
    let data = payload(2999);
    for v6 in [false, true] {
        let builder = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6]);
        let mut frame = Vec::new();
        if v6 {
            builder
                .ipv6([0xfd; 16], [0xfe; 16], 9)
                .udp(5, 6)
                .write(&mut frame, &data)
                .unwrap();
        } else {
            builder
                .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9)
                .udp(5, 6)
                .write(&mut frame, &data)
                .unwrap();
        }
        let gso = Gso {
            kind: GsoType::UdpL4,
            size: 1000,
            segs: 3,
            ..Gso::default()
        };
        let together: Vec<u8> = segments(&large(&frame, gso, 1500), true)
            .iter()
            .flat_map(|frame| match check(frame).1.transport {
                Some(TransportSlice::Udp(udp)) => udp.payload().to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(together, data);
    }
}

#[test]
fn a_vlan_tag_in_the_frame_and_extension_headers_go_along() {
    // Destination options of 8 bytes in front of TCP.
    let mut frame = tcp_frame(true, &payload(2500));
    frame.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
    frame[20] = 60;
    let len = (frame.len() - 54) as u16;
    frame[18..20].copy_from_slice(&len.to_be_bytes());
    let gso = Gso {
        kind: GsoType::TcpV6,
        size: 1000,
        segs: 3,
        ..Gso::default()
    };
    let mut skb = large(&frame, gso, 1000);
    skb.push(4).unwrap();
    let header: Vec<u8> = [&frame[..12], &[0x81, 0, 0x20, 5], &frame[12..14]].concat();
    skb.data_mut()[..18].copy_from_slice(&header);
    skb.reset_mac_header();
    skb.csum = CsumState::Partial {
        start: 66,
        offset: 16,
    };
    let segments = segments(&skb, true);
    assert_eq!(segments.len(), 3);
    for segment in segments {
        assert_eq!(segment[..18], header);
        let untagged = [&segment[..12], &segment[16..]].concat();
        check(&untagged);
        assert_eq!(untagged[54..62], [6, 0, 1, 4, 0, 0, 0, 0]);
    }
}

#[test]
fn headers_that_are_something_else_are_refused() {
    let frame = tcp_frame(false, &payload(100));
    let gso = |kind, size| Gso {
        kind,
        size,
        segs: 1,
        ..Gso::default()
    };
    for bad in [
        gso(GsoType::None, 10),
        gso(GsoType::TcpV6, 10),
        gso(GsoType::UdpL4, 10),
        gso(GsoType::TcpV4, 0),
    ] {
        let skb = large(&frame, bad, 100);
        assert_eq!(Segmenter::new(&skb, true).err(), Some(BadGso), "{bad:?}");
    }
}

#[test]
fn a_large_packet_is_judged_by_its_segments() {
    let gso = Gso {
        kind: GsoType::TcpV4,
        size: 1436,
        segs: 2,
        ..Gso::default()
    };
    let mut skb = large(&tcp_frame(false, &payload(2000)), gso, 2000);
    skb.pull(14).unwrap();
    // 24 bytes of IPv4, 32 of TCP, 1436 of payload.
    assert!(skb_gso_validate_network_len(&skb, 1492));
    assert!(!skb_gso_validate_network_len(&skb, 1491));
    skb.gso = Gso::default();
    assert!(!skb_gso_validate_network_len(&skb, 65535));
}
