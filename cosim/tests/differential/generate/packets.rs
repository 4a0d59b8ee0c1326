//! What is sent: new packets, whole and in fragments, answers, errors, repetitions.

use std::net::{IpAddr, SocketAddr};

use cosim::oracle::frame::{ICMP, ICMPV6, TCP, UDP};

use super::super::case::{EXACT, How, Own, Packet};
use super::super::frames::{Header, Segment, frame, tcp, udp, with_checksum};
use super::{Hosts, PORTS, Random, Speaks};

/// The packets of a case.
pub fn packets(r: &mut Random, hosts: Hosts, speaks: Speaks) -> Vec<Packet> {
    let mut packets = fresh(r, hosts, speaks);
    for _ in 0..4 + r.below(12) {
        // The last frame is the most interesting one.
        let nth = r.below(1000);
        let nth = if r.percent(60) { usize::MAX } else { nth };
        match r.below(23) {
            20.. => packets.push(Packet::Own(own(r, hosts, speaks))),
            0..7 => packets.extend(fresh(r, hosts, speaks)),
            7..15 => packets.push(answer(r, nth)),
            15 | 16 => packets.push(Packet::Error {
                nth,
                // ICMPv6 has others: they are taken from the same numbers.
                kind: r.of(&[(3, 3), (3, 1), (11, 0), (3, 13), (12, 0), (3, 4), (11, 1)]),
                quote: r.of(&[8, 8, 8, 20, 64, 4]),
            }),
            17 | 18 => packets.push(Packet::Again {
                nth,
                change: (0, 0),
            }),
            _ => packets.push(Packet::Again {
                nth,
                change: (r.below(2000), 1 + r.below(255) as u8),
            }),
        }
    }
    packets
}

fn answer(r: &mut Random, nth: usize) -> Packet {
    let flags = match r.below(20) {
        0..3 => r.of(&[1, 4, 8, 0x20]),
        3 => EXACT | r.of(&[0x02, 0x04, 0x10, 0x11, 0x12, 0x14, 0x18, 0x01, 0x00, 0x29]),
        _ => 0,
    };
    Packet::Answer {
        nth,
        flags,
        payload: if r.percent(40) { r.below(100) } else { 0 },
        off: match r.below(20) {
            0 => r.of(&[-1, 1, 1000, -1000, 70_000, -70_000, 1 << 30]),
            _ => 0,
        },
    }
}

/// What a program of the router sends.
fn own(r: &mut Random, hosts: Hosts, speaks: Speaks) -> Own {
    let v6 = speaks.v6(r);
    let mut to = match r.below(12) {
        0 => Hosts::at(v6, 1 + r.below(2) as u8, 1),
        1..5 => Hosts::at(v6, 3 + r.below(5) as u8, 8 + r.below(4) as u8),
        _ => hosts.any(r, v6).1,
    };
    let how = match r.below(8) {
        0..3 => How::Udp,
        3 => How::UdpConnected,
        4..6 => How::Tcp,
        // There are ping sockets of IPv4 only.
        _ if v6 => How::Udp,
        _ => How::Ping,
    };
    if how == How::Tcp && (to == Hosts::at(v6, 1, 1) || to == Hosts::at(v6, 2, 1)) {
        // It would talk to itself.
        to = hosts.any(r, v6).1;
    }
    Own {
        how,
        port: match how {
            How::Ping => 1 + r.below(3) as u16,
            _ => r.of(&PORTS),
        },
        to: SocketAddr::new(to, if how == How::Ping { 0 } else { r.of(&PORTS) }),
        payload: match r.below(12) {
            0 => 1250 + r.below(300),
            _ => r.below(40),
        },
    }
}

/// A new packet into a device: one frame, or several fragments.
fn fresh(r: &mut Random, hosts: Hosts, speaks: Speaks) -> Vec<Packet> {
    let v6 = speaks.v6(r);
    let device = r.below(2);
    let src = hosts.addr(v6, device, r.below(2));
    let dst = destination(r, hosts, v6, device);
    let (protocol, transport) = transport(r, v6);
    let mut header = Header {
        protocol,
        ttl: if r.percent(5) { 1 } else { 64 },
        tos: match r.percent(10) {
            true => r.of(&[0x10, 0x20, 0xb8]),
            false => 0,
        },
        id: 1 + r.below(60_000) as u16,
        df: r.percent(20),
        fragment: None,
        extensions: Vec::new(),
    };
    if v6 && r.percent(8) {
        header.extensions = r.of(&[vec![0], vec![60], vec![43], vec![0, 60], vec![60, 43, 60]]);
    }
    let mut transport = with_checksum(src, dst, protocol, transport);
    if r.percent(4) {
        // A wrong checksum, or a cut header.
        match r.below(2) {
            0 if transport.len() > 6 => transport[6] ^= 0x55,
            _ => transport.truncate(r.below(8)),
        }
    }
    let made = |header: &Header, bytes: &[u8]| Packet::Fresh {
        device,
        frame: frame(device, src, dst, header, bytes),
    };
    if r.percent(12) {
        header.df = r.percent(5);
        if dst == Hosts::at(v6, 1, 1) || dst == Hosts::at(v6, 2, 1) {
            // A kernel that put fragments together for connection tracking begins to deliver them behind their extension headers.
            header.extensions.clear();
        }
        let pieces = pieces(r, &transport);
        return pieces
            .into_iter()
            .map(|(at, more, bytes)| {
                header.fragment = Some((at, more));
                made(&header, &bytes)
            })
            .collect();
    }
    vec![made(&header, &transport)]
}

fn destination(r: &mut Random, hosts: Hosts, v6: bool, device: usize) -> IpAddr {
    let (near, far) = (device as u8 + 1, 2 - device as u8);
    match r.below(60) {
        0..12 => Hosts::at(v6, near, 1),
        12..18 => Hosts::at(v6, 3 + r.below(5) as u8, 8 + r.below(4) as u8),
        18..24 => Hosts::at(v6, far, 1),
        24 => match v6 {
            false => r.of(&[[10, 0, near, 255], [224, 0, 0, 1], [255; 4]]).into(),
            true => IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1]),
        },
        _ => hosts.addr(v6, 1 - device, r.below(2)),
    }
}

fn transport(r: &mut Random, v6: bool) -> (u8, Vec<u8>) {
    let (sport, dport) = (r.of(&PORTS), r.of(&PORTS));
    let payload = match r.below(25) {
        0 => 1250 + r.below(200),
        _ => r.below(40),
    };
    match r.below(10) {
        0..4 => (UDP, udp(sport, dport, payload, b'u')),
        4..8 => {
            let odd = [0x10, 0x12, 0x04, 0x14, 0x11, 0x18, 0x03, 0x00];
            let flags = if r.percent(70) { 2 } else { r.of(&odd) };
            let (seq, ack) = (r.next() as u32, r.next() as u32);
            let segment = Segment {
                seq,
                ack: if flags & 0x10 != 0 { ack } else { 0 },
                flags,
                options: r.below(8) as u8,
                window: r.of(&[8192, 8192, 0, 100, 65535]),
            };
            (TCP, tcp(sport, dport, segment, 0))
        }
        8 => {
            let (protocol, request, reply) = match v6 {
                false => (ICMP, 8, 0),
                true => (ICMPV6, 128, 129),
            };
            let mut bytes = vec![if r.percent(80) { request } else { reply }, 0, 0, 0];
            bytes.extend((1 + r.below(3) as u16).to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(vec![b'i'; payload]);
            (protocol, bytes)
        }
        _ => (200, vec![0x11; 20 + payload]),
    }
}

/// Cuts a transport part into fragments: where each begins, whether more follow, its bytes. Mostly as it should be done; some overlap, repeat,
/// come in another order, or do not come.
fn pieces(r: &mut Random, transport: &[u8]) -> Vec<(usize, bool, Vec<u8>)> {
    let size = r.of(&[8, 8, 16, 24, 48, 512]);
    // No more than a dozen.
    let size = size.max(transport.len() / 12 / 8 * 8);
    let last = transport.len().saturating_sub(1) / size;
    let mut pieces: Vec<_> = transport
        .chunks(size)
        .enumerate()
        .map(|(i, bytes)| (i * size, i < last, bytes.to_vec()))
        .collect();
    let n = r.below(pieces.len());
    if pieces.is_empty() {
        return vec![(0, false, Vec::new())];
    }
    match r.below(12) {
        0 => pieces.reverse(),
        1 => pieces.swap(0, n),
        2 => pieces.push(pieces[n].clone()),
        3 => pieces.insert(0, pieces[n].clone()),
        4 => drop(pieces.remove(n)),
        5 => {
            // Overlaps its neighbour with other bytes.
            let (at, more, mut bytes) = pieces[n].clone();
            bytes.extend([0x55; 8]);
            pieces.insert(r.below(pieces.len()), (at, more, bytes));
        }
        6 => pieces[n].0 = pieces[n].0.saturating_sub(8),
        7 => {
            // A piece that is no multiple of 8 long and not the last.
            let (_, more, bytes) = &mut pieces[n];
            bytes.truncate(bytes.len().max(2) - 1);
            *more = true;
        }
        8 => pieces[n].1 = !pieces[n].1,
        _ => {}
    }
    pieces
}
