//! What is merged and what is not, rule by rule; and that segmentation gives back what came.

use super::*;
use crate::gso::tests::segments;
use crate::skb::NET_SKB_PAD;
use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, TcpHeader};
use proptest::prelude::*;

/// One packet to be made.
#[derive(Clone, Debug)]
struct Spec {
    v6: bool,
    udp: bool,
    port: u16,
    seq: u32,
    ack: u32,
    /// Byte 13 of the TCP header.
    flags: u8,
    window: u16,
    stamp: u32,
    ttl: u8,
    /// DSCP and ECN.
    tos: u8,
    id: u16,
    df: bool,
    len: usize,
}

const PLAIN: Spec = Spec {
    v6: false,
    udp: false,
    port: 80,
    seq: 1,
    ack: 5,
    flags: 0x10,
    window: 100,
    stamp: 7,
    ttl: 64,
    tos: 0,
    id: 100,
    df: true,
    len: 100,
};

impl Spec {
    fn frame(&self) -> Vec<u8> {
        let payload: Vec<u8> = (0..self.len)
            .map(|i| (self.seq as usize + i) as u8)
            .collect();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let protocol = if self.udp {
            IpNumber::UDP
        } else {
            IpNumber::TCP
        };
        let ip = if self.v6 {
            IpHeaders::Ipv6(
                Ipv6Header {
                    traffic_class: self.tos,
                    hop_limit: self.ttl,
                    next_header: protocol,
                    source: [0xfd; 16],
                    destination: [0xfe; 16],
                    ..Ipv6Header::default()
                },
                Default::default(),
            )
        } else {
            let mut ip =
                Ipv4Header::new(0, self.ttl, protocol, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
            ip.identification = self.id;
            ip.dont_fragment = self.df;
            ip.dscp = (self.tos >> 2).try_into().unwrap();
            ip.ecn = (self.tos & 3).try_into().unwrap();
            IpHeaders::Ipv4(ip, Default::default())
        };
        let mut bytes = Vec::new();
        if self.udp {
            builder
                .ip(ip)
                .udp(self.port, 9)
                .write(&mut bytes, &payload)
                .unwrap();
            return bytes;
        }
        let mut tcp = TcpHeader::new(self.port, 9, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        let flag = |bit: u8| self.flags & bit != 0;
        (tcp.fin, tcp.syn, tcp.rst, tcp.psh) = (flag(1), flag(2), flag(4), flag(8));
        (tcp.ack, tcp.urg, tcp.ece, tcp.cwr) = (flag(16), flag(32), flag(64), flag(128));
        tcp.set_options(&[etherparse::TcpOptionElement::Timestamp(self.stamp, 0)])
            .unwrap();
        builder
            .ip(ip)
            .tcp_header(tcp)
            .write(&mut bytes, &payload)
            .unwrap();
        bytes
    }

    /// The packet that follows this one in its stream.
    fn next(&self) -> Spec {
        Spec {
            seq: self.seq.wrapping_add(self.len as u32),
            id: self.id.wrapping_add(1),
            ..self.clone()
        }
    }
}

/// As `eth_type_trans()` leaves it.
fn received(frame: &[u8]) -> SkBuff {
    let mut skb = SkBuff::alloc_heap(NET_SKB_PAD, frame.len());
    skb.put_slice(frame).unwrap();
    skb.reset_mac_header();
    skb.pull(14).unwrap();
    skb.reset_network_header();
    skb
}

fn gro(frames: &[Vec<u8>]) -> Vec<SkBuff> {
    let mut gro = Gro::default();
    for frame in frames {
        gro.receive(received(frame), |_, _| true);
    }
    gro.flush();
    std::mem::take(&mut gro.ready)
}

/// Packets in each packet that goes up.
fn counts(specs: &[Spec]) -> Vec<u16> {
    let frames: Vec<_> = specs.iter().map(Spec::frame).collect();
    let up = gro(&frames);
    // Whatever was merged, the wire sees the same again.
    assert_eq!(on_the_wire(&up).concat(), frames.concat());
    up.iter().map(|skb| skb.gso.segs.max(1)).collect()
}

/// What leaves when the packets are forwarded as they are.
fn on_the_wire(up: &[SkBuff]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for skb in up {
        let mut skb = skb.skb_clone();
        skb.push(14).unwrap();
        if skb.gso.kind == GsoType::None {
            frames.push(skb.to_vec());
        } else {
            frames.extend(segments(&skb, true));
        }
    }
    frames
}

/// `n` packets of one stream.
fn stream(first: &Spec, n: usize) -> Vec<Spec> {
    std::iter::successors(Some(first.clone()), |s| Some(s.next()))
        .take(n)
        .collect()
}

#[test]
fn a_stream_becomes_one_packet() {
    for (v6, udp) in [(false, false), (true, false), (false, true), (true, true)] {
        let specs = stream(&Spec { v6, udp, ..PLAIN }, 20);
        let frames: Vec<_> = specs.iter().map(Spec::frame).collect();
        let up = gro(&frames);
        assert_eq!(up.len(), 1);
        let headers = frames[0].len() - 14 - 100;
        assert_eq!(up[0].len(), headers + 2000);
        assert_eq!((up[0].gso.size, up[0].gso.segs), (100, 20));
        assert!(matches!(up[0].csum, CsumState::Partial { .. }));
        assert_eq!(up[0].nr_frags(), 19);
        assert_eq!(on_the_wire(&up), frames);
    }
}

#[test]
fn tcp_ends_with_a_short_segment_or_a_flag() {
    let three = stream(&PLAIN, 3);
    let mut short = three.clone();
    short[1].len = 99;
    short[2].seq -= 1;
    assert_eq!(counts(&short), [2, 1]);
    for flag in [0x01, 0x08] {
        let mut specs = three.clone();
        specs[1].flags |= flag;
        assert_eq!(counts(&specs), [2, 1], "flag {flag:#x}");
    }
    for flag in [0x02, 0x04, 0x20] {
        let mut specs = three.clone();
        specs[1].flags |= flag;
        assert_eq!(counts(&specs), [1, 1, 1], "flag {flag:#x}");
    }
    // A longer one starts anew.
    let mut longer = three.clone();
    longer[1].len = 101;
    longer[2].seq += 1;
    assert_eq!(counts(&longer), [1, 2]);
    // So does one without payload, which is not held itself.
    let mut empty = three;
    empty[1].len = 0;
    empty[2].seq -= 100;
    assert_eq!(counts(&empty), [1, 1, 1]);
}

#[test]
fn tcp_headers_must_agree() {
    let changes: [fn(&mut Spec); 9] = [
        |s| s.seq += 1,
        |s| s.ack += 1,
        |s| s.window += 1,
        |s| s.stamp += 1,
        |s| s.ttl -= 1,
        |s| s.tos ^= 4,
        |s| s.df = false,
        |s| s.id += 5,
        |s| s.flags |= 0x80,
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut specs = stream(&PLAIN, 2);
        change(&mut specs[1]);
        assert_eq!(counts(&specs), [1, 1], "change {i}");
    }
    // Other ports are another flow: both go on.
    let mut specs = stream(&PLAIN, 2);
    specs.extend(stream(&Spec { port: 81, ..PLAIN }, 2));
    specs.swap(1, 2);
    let frames: Vec<_> = specs.iter().map(Spec::frame).collect();
    assert_eq!(gro(&frames).len(), 2);
}

#[test]
fn identifications_count_or_stay() {
    for df in [true, false] {
        let mut fixed = stream(&Spec { df, ..PLAIN }, 4);
        for spec in &mut fixed {
            spec.id = 9;
        }
        let frames: Vec<_> = fixed.iter().map(Spec::frame).collect();
        let up = gro(&frames);
        assert!(up.len() == 1 && up[0].gso.fixed_id);
        assert_eq!(on_the_wire(&up), frames);
    }
    // The second packet decides.
    let mut specs = stream(&PLAIN, 4);
    specs[2].id = specs[1].id;
    assert_eq!(counts(&specs), [2, 1, 1]);
}

#[test]
fn congestion_flags_are_kept() {
    let specs = stream(
        &Spec {
            flags: 0x90,
            ..PLAIN
        },
        3,
    );
    let frames: Vec<_> = specs.iter().map(Spec::frame).collect();
    let up = gro(&frames);
    assert!(up.len() == 1 && up[0].gso.accecn);
    assert_eq!(on_the_wire(&up), frames);
}

#[test]
fn udp_ends_with_a_shorter_datagram_or_64() {
    let udp = Spec { udp: true, ..PLAIN };
    let mut specs = stream(&udp, 4);
    specs[2].len = 50;
    assert_eq!(counts(&specs), [3, 1]);
    // A longer one is the first of its own.
    specs[2].len = 101;
    assert_eq!(counts(&specs), [2, 2]);
    assert_eq!(
        counts(&stream(
            &Spec {
                len: 10,
                ..udp.clone()
            },
            70
        )),
        [64, 6]
    );
    // Nobody wants them merged.
    let mut gro = Gro::default();
    for spec in stream(&udp, 2) {
        gro.receive(received(&spec.frame()), |_, _| false);
        assert_eq!(gro.ready.drain(..).count(), 1);
    }
}

#[test]
fn a_merged_packet_stays_below_64_kib() {
    let counts = counts(&stream(&Spec { len: 1448, ..PLAIN }, 60));
    assert_eq!(counts, [45, 15]);
}

#[test]
fn a_wrong_checksum_a_fragment_and_padding_are_not_merged() {
    let good: Vec<_> = stream(&PLAIN, 3).iter().map(Spec::frame).collect();
    let mut broken = good.clone();
    broken[1][70] ^= 1;
    assert_eq!(gro(&broken).len(), 3);
    // What the device vouches for is not looked at again.
    let mut gro_ = Gro::default();
    for frame in &broken {
        let mut skb = received(frame);
        skb.csum = CsumState::Unnecessary;
        gro_.receive(skb, |_, _| true);
    }
    gro_.flush();
    assert_eq!(gro_.ready.len(), 1);
    let mut broken = good.clone();
    broken[1][24] ^= 1;
    assert_eq!(gro(&broken).len(), 3, "IP checksum");
    let mut padded = good.clone();
    padded[1].push(0);
    assert_eq!(gro(&padded).len(), 3, "padding");
    let mut fragment = good;
    let header = &mut fragment[1][14..34];
    header[6] = 0x20;
    crate::ipv4::header::send_check(header, 20);
    assert_eq!(gro(&fragment).len(), 3, "fragment");
}

#[test]
fn eight_flows_are_held_and_the_oldest_gives_way() {
    let mut gro = Gro::default();
    for port in 1..=9 {
        gro.receive(received(&Spec { port, ..PLAIN }.frame()), |_, _| true);
    }
    assert_eq!(gro.ready.len(), 1);
    assert_eq!(gro.ready[0].data()[20..22], [0, 1]);
    // Another hash, another list.
    let mut skb = received(&Spec { port: 10, ..PLAIN }.frame());
    skb.hash = 1;
    gro.receive(skb, |_, _| true);
    assert_eq!(gro.ready.len(), 1);
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let step = (0..4usize, 0..12u8, 1..200usize, any::<bool>());
    let start = prop::collection::vec(
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<u16>()),
        4,
    );
    (start, prop::collection::vec(step, 1..60)).prop_map(|(start, steps)| {
        let mut flows: Vec<Spec> = (0..)
            .zip(start)
            .map(|(port, (v6, udp, df, id))| Spec {
                v6,
                udp,
                df,
                id,
                port,
                ..PLAIN
            })
            .collect();
        let mut specs = Vec::new();
        for (flow, change, len, fixed) in steps {
            let spec = &mut flows[flow];
            match change {
                0 => spec.seq = spec.seq.wrapping_add(1),
                1 => spec.ack += 1,
                2 => spec.ttl ^= 1,
                3 => spec.tos ^= 0x04,
                4 => spec.id = spec.id.wrapping_add(3),
                5 => spec.stamp += 1,
                6 => spec.flags ^= 0x80,
                7 => spec.len = len,
                _ => {}
            }
            let mut packet = spec.clone();
            // PSH, FIN now and then.
            packet.flags |= match len {
                0..10 => 8,
                10..15 => 1,
                _ => 0,
            };
            specs.push(packet);
            *spec = spec.next();
            if fixed && flow == 0 {
                spec.id = spec.id.wrapping_sub(1);
            }
        }
        specs
    })
}

/// The frame with a transport checksum of 0 as its other name, 0xffff: whoever completes a checksum writes that
/// (`CSUM_MANGLED_0`).
fn normal_zero(frame: &[u8]) -> Vec<u8> {
    let layout = Layout::parse(&frame[14..]).unwrap();
    let check = 14
        + layout.transport
        + if layout.protocol == IPPROTO_TCP {
            16
        } else {
            6
        };
    let mut frame = frame.to_vec();
    if frame[check..check + 2] == [0, 0] {
        frame[check..check + 2].fill(0xff);
    }
    frame
}

proptest! {
    /// GSO(GRO(x)) = x: each flow's packets leave as they came, in the order in which they came.
    #[test]
    fn segmentation_undoes_merging(specs in specs(), budget in 1usize..64) {
        let frames: Vec<_> = specs.iter().map(|s| normal_zero(&s.frame())).collect();
        let mut up = Vec::new();
        for poll in frames.chunks(budget) {
            up.extend(gro(poll));
        }
        let left: Vec<_> = on_the_wire(&up).iter().map(|f| normal_zero(f)).collect();
        prop_assert_eq!(left.len(), frames.len());
        for port in 0..4u16 {
            let of_flow = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
                let at = |f: &Vec<u8>| if f[12] == 0x86 { 54 } else { 34 };
                frames.iter().filter(|f| f[at(f)..at(f) + 2] == port.to_be_bytes()).cloned().collect()
            };
            prop_assert_eq!(of_flow(&left), of_flow(&frames));
        }
    }

    #[test]
    fn any_bytes_go_up(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 14..200), 0..20)) {
        let mut merged = 0;
        let mut gro = Gro::default();
        for mut frame in frames.clone() {
            frame[12] = 8;
            if let Some(first) = frame.get_mut(14) {
                *first = if *first & 1 == 0 { 0x45 } else { 0x60 };
            }
            merged += usize::from(gro.receive(received(&frame), |_, _| true).is_some());
        }
        gro.flush();
        prop_assert_eq!(gro.ready.len() + merged, frames.len());
    }
}
