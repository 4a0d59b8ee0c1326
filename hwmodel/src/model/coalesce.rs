//! Receive coalescing: segments of a TCP stream become one frame (virtio 5.1.6.4, GUEST_TSO4/6).
//!
//! One table per receive queue. What is merged could be cut again into what came: segments that follow
//! each other, with the same headers but sequence number, PSH and checksum. A frame leaves the table
//! with a segment that has PSH or is shorter than the first, when the next segment does not fit (out of
//! order, another header, longer, 64 KiB reached), when anything else of its connection comes, when
//! its place is needed, and when its time is over. Connections with congestion notification are left
//! alone: GUEST_ECN is not offered.

use super::{
    csum::{fold, sum},
    hdr::{F_DATA_VALID, F_NEEDS_CSUM, NetHdr, gso},
    parse::{Packet, TCP, be32},
};
use crate::Ps;

/// Connections that one queue holds at a time.
pub(super) const FLOWS: usize = 8;
/// Longest IP packet.
const MAX_IP: usize = 65_535;
/// Bytes of the timestamps option with its padding, the only option that is merged (RFC 7323 A).
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// A frame on its way to the buffers, with what its header says; `num_buffers` comes later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RxFrame {
    pub bytes: Vec<u8>,
    pub hdr: NetHdr,
    /// Frames of the wire that it is made of.
    pub segments: u32,
}

/// A connection whose segments are collected.
#[derive(Debug)]
struct Flow {
    frame: RxFrame,
    packet: Packet,
    /// Bytes of all headers.
    headers: usize,
    /// Payload of the first segment, which all but the last have.
    size: usize,
    next_seq: u32,
    deadline: Ps,
}

/// The collected connections of one queue, oldest first.
#[derive(Debug)]
pub(super) struct Coalescer {
    flows: Vec<Flow>,
    timeout: Ps,
}

/// A segment that may be merged.
struct Segment {
    headers: usize,
    payload: usize,
    seq: u32,
    psh: bool,
}

impl Coalescer {
    /// Frames wait `timeout` picoseconds at the most.
    pub fn new(timeout: Ps) -> Self {
        Self {
            flows: Vec::new(),
            timeout,
        }
    }

    /// When the oldest frame's time is over.
    pub fn deadline(&self) -> Option<Ps> {
        self.flows.iter().map(|flow| flow.deadline).min()
    }

    /// Frames of the wire that are held.
    pub fn held(&self) -> u64 {
        self.flows.iter().map(|f| u64::from(f.frame.segments)).sum()
    }

    /// Forgets all that is held.
    pub fn clear(&mut self) {
        self.flows.clear();
    }

    /// Takes a frame. `wanted`: its IP version is to be coalesced, and its checksums were verified.
    /// What is ready goes to `out`, in the order of each connection.
    pub fn push(
        &mut self,
        now: Ps,
        frame: RxFrame,
        packet: Option<&Packet>,
        wanted: bool,
        out: &mut Vec<RxFrame>,
    ) {
        let Some(packet) = packet.filter(|p| p.protocol == TCP && p.has_ports()) else {
            out.push(frame);
            return;
        };
        let same = |flow: &Flow| same_connection(flow, &frame.bytes, packet);
        let found = self.flows.iter().position(same);
        let segment = Segment::new(&frame.bytes, packet).filter(|_| wanted);
        let Some(segment) = segment else {
            out.extend(found.map(|at| self.flows.remove(at).finish()));
            out.push(frame);
            return;
        };
        if let Some(at) = found {
            if self.flows[at].fits(&frame.bytes, packet, &segment) {
                let full = self.flows[at].merge(&frame.bytes, packet, &segment);
                if full {
                    out.push(self.flows.remove(at).finish());
                }
                return;
            }
            out.push(self.flows.remove(at).finish());
        }
        if segment.psh {
            out.push(frame);
            return;
        }
        if self.flows.len() == FLOWS {
            out.push(self.flows.remove(0).finish());
        }
        self.flows.push(Flow {
            packet: *packet,
            headers: segment.headers,
            size: segment.payload,
            next_seq: segment.seq.wrapping_add(segment.payload as u32),
            deadline: now + self.timeout,
            frame,
        });
    }

    /// Frames whose time is over.
    pub fn expire(&mut self, now: Ps, out: &mut Vec<RxFrame>) {
        let (due, rest) = std::mem::take(&mut self.flows)
            .into_iter()
            .partition(|flow| flow.deadline <= now);
        self.flows = rest;
        let due: Vec<Flow> = due;
        out.extend(due.into_iter().map(Flow::finish));
    }
}

/// Addresses, ports and what is in front of the IP header.
fn same_connection(flow: &Flow, frame: &[u8], packet: &Packet) -> bool {
    let other = &flow.frame.bytes;
    let [source, _] = packet.addresses();
    let addresses = source..source + 2 * packet.address_len();
    let ports = |packet: &Packet| packet.l4..packet.l4 + 4;
    flow.packet.ipv6 == packet.ipv6
        && flow.packet.l3 == packet.l3
        && other[..packet.l3] == frame[..packet.l3]
        && other[addresses.clone()] == frame[addresses]
        && other[ports(&flow.packet)] == frame[ports(packet)]
}

impl Segment {
    /// Data of a plain stream: no IP options or extension headers, no flag but ACK and PSH, no TCP
    /// option but timestamps.
    fn new(frame: &[u8], packet: &Packet) -> Option<Self> {
        let plain_ip = packet.l4 - packet.l3 == if packet.ipv6 { 40 } else { 20 };
        let tcp = packet.tcp_header(frame)?;
        let flags = frame[packet.l4 + 13];
        let options = &frame[packet.l4 + 20..packet.l4 + tcp];
        let plain_options =
            options.is_empty() || options.len() == 12 && options.starts_with(&TIMESTAMPS);
        let headers = packet.l4 + tcp;
        let payload = packet.end.checked_sub(headers)?;
        // The low bits of byte 12 are reserved but one, which is congestion notification (RFC 3540).
        let plain = flags & !PSH == ACK && frame[packet.l4 + 12] & 0x0f == 0;
        let mergeable = plain_ip && plain_options && plain && payload > 0;
        mergeable.then_some(Self {
            headers,
            payload,
            seq: be32(frame, packet.l4 + 4)?,
            psh: flags & PSH != 0,
        })
    }
}

impl Flow {
    /// Whether the segment continues the frame.
    fn fits(&self, frame: &[u8], packet: &Packet, segment: &Segment) -> bool {
        let other = &self.frame.bytes;
        let (l3, l4) = (packet.l3, packet.l4);
        let same = |range: std::ops::Range<usize>| other[range.clone()] == frame[range];
        let same_ip = if packet.ipv6 {
            // Class and flow label, next header, hop limit.
            same(l3..l3 + 4) && same(l3 + 6..l3 + 8)
        } else {
            // Type of service, fragment flags, time to live, protocol.
            same(l3 + 1..l3 + 2) && same(l3 + 6..l3 + 10)
        };
        // Acknowledgement and header length, window, options.
        let same_tcp = segment.headers == self.headers
            && same(l4 + 8..l4 + 13)
            && same(l4 + 14..l4 + 16)
            && same(l4 + 18..self.headers);
        let base = if packet.ipv6 { l3 + 40 } else { l3 };
        let packet_end = self.packet.end;
        same_ip
            && same_tcp
            && segment.seq == self.next_seq
            && segment.payload <= self.size
            && packet_end + segment.payload - base <= MAX_IP
    }

    /// Appends the segment; true when the frame is complete by that.
    fn merge(&mut self, frame: &[u8], packet: &Packet, segment: &Segment) -> bool {
        let bytes = &mut self.frame.bytes;
        // Ethernet padding is not part of the stream.
        bytes.truncate(self.packet.end);
        bytes.extend_from_slice(&frame[segment.headers..packet.end]);
        if segment.psh {
            bytes[self.packet.l4 + 13] |= PSH;
        }
        self.packet.end = bytes.len();
        self.frame.segments += 1;
        self.next_seq = segment.seq.wrapping_add(segment.payload as u32);
        segment.psh || segment.payload < self.size
    }

    /// The frame with the header that tells how to cut it; a single segment is what it was.
    fn finish(self) -> RxFrame {
        let Self {
            mut frame, packet, ..
        } = self;
        if frame.segments == 1 {
            return frame;
        }
        let (l3, l4) = (packet.l3, packet.l4);
        let bytes = &mut frame.bytes;
        let mut put16 = |at: usize, value: u16| {
            bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
        };
        if packet.ipv6 {
            put16(l3 + 4, (packet.end - l3 - 40) as u16);
        } else {
            put16(l3 + 2, (packet.end - l3) as u16);
            put16(l3 + 10, 0);
            let csum = !fold(sum(&bytes[l3..l4]));
            bytes[l3 + 10..l3 + 12].copy_from_slice(&csum.to_be_bytes());
        }
        // 5.1.6.4: the checksum is incomplete, its field has the pseudo-header's sum.
        let pseudo = packet.pseudo_sum(bytes, packet.end - l4);
        bytes[l4 + 16..l4 + 18].copy_from_slice(&pseudo.to_be_bytes());
        let hdr = &mut frame.hdr;
        hdr.flags = hdr.flags & !F_DATA_VALID | F_NEEDS_CSUM;
        hdr.gso_type = if packet.ipv6 { gso::TCPV6 } else { gso::TCPV4 };
        hdr.hdr_len = self.headers as u16;
        hdr.gso_size = self.size as u16;
        hdr.csum_start = l4 as u16;
        hdr.csum_offset = 16;
        frame
    }
}

#[cfg(test)]
mod tests {
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
}
