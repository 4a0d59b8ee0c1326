//! Receive coalescing: segments of a TCP stream become one frame (virtio 5.1.6.4, GUEST_TSO4/6).
//!
//! One table per receive queue. What is merged could be cut again into what came: segments that follow
//! each other, with the same headers but sequence number, PSH and checksum; IPv4's identification is
//! the next one, or has no meaning because of DF (RFC 6864 4.1). A frame leaves the table
//! with a segment that has PSH or is shorter than the first, when the next segment does not fit (out of
//! order, another header, longer, 64 KiB reached), when anything else of its connection comes, when
//! its place is needed, and when its time is over. Connections with congestion notification are left
//! alone: GUEST_ECN is not offered.

use super::{
    csum::{fold, sum},
    hdr::{F_DATA_VALID, F_NEEDS_CSUM, NetHdr, gso},
    parse::{Packet, TCP, be16, be32},
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
    /// IPv4's identification; means nothing for IPv6.
    next_id: u16,
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
    id: u16,
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
    #[cfg(test)]
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
            next_id: segment.id.wrapping_add(1),
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
            id: be16(frame, packet.l3 + 4)?,
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
            let atomic = frame[l3 + 6] & 0x40 != 0;
            let in_order = atomic || segment.id == self.next_id;
            same(l3 + 1..l3 + 2) && same(l3 + 6..l3 + 10) && in_order
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
        self.next_id = segment.id.wrapping_add(1);
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
mod tests;
