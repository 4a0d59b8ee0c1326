//! What a kernel draws at random has other values here. The first frame that shows such a value says what stands for what; from then on it
//! must hold everywhere.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::frame::{
    Check, ETH_HLEN, ICMP, ICMPV6, Ip, TCP, UDP, be16, be32, check, mend_check, put16, put32,
    set_check, set_header_check, sum_of, sum_of_bytes,
};

/// One direction of a connection, in the kernel's numbers.
type Flow = (IpAddr, u16, IpAddr, u16);

/// How far a timestamp clock may be off the line that its first value started, in milliseconds: a kernel's timers, which repeat segments, fire up
/// to an eighth late.
const TSTAMP_SLACK: i32 = 200;

const FLAG_SYN: u8 = 0x02;
const FLAG_RST: u8 = 0x04;
const FLAG_ACK: u8 = 0x10;

/// What stands for what: the kernel's value → the value here.
#[derive(Debug, Default)]
pub struct Renaming {
    /// Ports and ICMP ids chosen by NAT, by protocol and address.
    ports: BTreeMap<(u8, IpAddr, u16), u16>,
    /// The kernel's initial sequence number of each connection that there was, and what is added to the numbers behind it.
    sequence: BTreeMap<Flow, Vec<(u32, u32)>>,
    /// Numbers of segments that came in. NAT sends them on between other addresses.
    carried: BTreeMap<u32, u32>,
    /// What is added to the kernel's timestamps, and exact values.
    tstamp_offset: BTreeMap<Flow, u32>,
    tstamps: BTreeMap<(Flow, u32), u32>,
    /// What the values of a first fragment add to its sum here: the TCP checksum may be in the second one.
    fragments: BTreeMap<Datagram, u16>,
}

/// What the fragments of a datagram have in common: source, destination, identification.
type Datagram = (IpAddr, IpAddr, u32);

fn datagram(packet: &[u8], ip: &Ip) -> Datagram {
    let id = match ip.fragment_at {
        Some(at) => be32(packet, at + 4),
        None => u32::from(be16(packet, 4)),
    };
    (ip.src, ip.dst, id)
}

/// A port or id that NAT changed, in the kernel and here, though not to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Before NAT: source and destination.
    pub original: (u16, u16),
}

impl Renaming {
    /// The port here for the kernel's.
    pub fn port(&self, protocol: u8, address: IpAddr, port: u16) -> u16 {
        let key = (protocol, address, port);
        self.ports.get(&key).copied().unwrap_or(port)
    }

    /// Takes in what the pair of frames (the kernel's, and the one here that stands for it) shows for the first time. `made_here`: the packet was
    /// made in `r`, and not only forwarded. `drawn`: the ports that it had before NAT, in the kernel and here alike.
    pub fn learn(&mut self, kernel: &[u8], here: &[u8], made_here: bool, drawn: Option<Drawn>) {
        let (Some(k), Some(h)) = (kernel.get(ETH_HLEN..), here.get(ETH_HLEN..)) else {
            return;
        };
        let (Some(kip), Some(hip)) = (Ip::parse(k), Ip::parse(h)) else {
            return;
        };
        if (kip.src, kip.dst, kip.protocol) != (hip.src, hip.dst, hip.protocol) {
            return;
        }
        if let (Some(drawn), Some(ks), Some(hs)) = (drawn, keys(k, &kip), keys(h, &hip)) {
            let mut note = |address, kernel, here, original| {
                if kernel != here && kernel != original && here != original {
                    let key = (kip.protocol, address, kernel);
                    self.ports.entry(key).or_insert(here);
                }
            };
            note(kip.src, ks.0, hs.0, drawn.original.0);
            note(kip.dst, ks.1, hs.1, drawn.original.1);
        }
        if made_here && kip.protocol == TCP && kip.offset == 0 {
            self.learn_tcp(k, &kip, h, &hip);
        }
        if kip.protocol == TCP && kip.offset == 0 && kip.more {
            let mut translated = k.to_vec();
            self.translate_packet(&mut translated);
            let (old, new) = (kip.transport(k), kip.transport(&translated));
            let added = sum_of(&[!sum_of_bytes(old), sum_of_bytes(new)]);
            self.fragments.insert(datagram(k, &kip), added);
        }
        // An error to itself, about a segment that never left.
        let quoted = kip.header_len + 8;
        if made_here
            && kip.protocol == ICMP
            && kip.src == kip.dst
            && let (Some(k), Some(h)) = (k.get(quoted..), h.get(quoted..))
            && let (Some(kip), Some(hip)) = (Ip::parse(k), Ip::parse(h))
            && (kip.protocol, hip.protocol) == (TCP, TCP)
        {
            self.learn_tcp(k, &kip, h, &hip);
        }
    }

    fn learn_tcp(&mut self, k: &[u8], kip: &Ip, h: &[u8], hip: &Ip) {
        let (kt, ht) = (kip.transport(k), hip.transport(h));
        let flow = (kip.src, be16(kt, 0), kip.dst, be16(kt, 2));
        let flags = kt.get(13).copied().unwrap_or(0);
        if flags & FLAG_SYN != 0 {
            let (first, here) = (be32(kt, 4), be32(ht, 4));
            let known = self.sequence.entry(flow).or_default();
            let repeated = |&(k, offset): &(u32, u32)| k == first || k.wrapping_add(offset) == here;
            if !known.iter().any(repeated) {
                // Another connection between the same ends has timestamps of its own, too.
                if !known.is_empty() {
                    self.tstamp_offset.remove(&flow);
                }
                known.push((first, here.wrapping_sub(first)));
            }
        }
        // A reset to itself of a SYN that never left acknowledges it.
        if flags & (FLAG_RST | FLAG_ACK) == FLAG_RST | FLAG_ACK && be32(kt, 4) == 0 {
            let (next, here) = (be32(kt, 8), be32(ht, 8));
            let back = (flow.2, flow.3, flow.0, flow.1);
            let known = self.sequence.entry(back).or_default();
            if known.is_empty() {
                known.push((next, here.wrapping_sub(next)));
            }
        }
        if let (Some(ka), Some(ha)) = (tstamp_at(kt), tstamp_at(ht)) {
            let (kv, hv) = (be32(kt, ka), be32(ht, ha));
            let offset = *self
                .tstamp_offset
                .entry(flow)
                .or_insert(hv.wrapping_sub(kv));
            let drift = hv.wrapping_sub(kv.wrapping_add(offset)) as i32;
            if drift.abs() <= TSTAMP_SLACK {
                self.tstamps.insert((flow, kv), hv);
            }
        }
    }

    /// The same of a frame that comes in now. What it says may leave again in other segments.
    pub fn translate_incoming(&mut self, frame: &[u8]) -> Vec<u8> {
        let translated = self.translate(frame);
        let segment = |frame: &[u8]| {
            let packet = frame.get(ETH_HLEN..).filter(|_| is_ip(frame))?;
            let ip = Ip::parse(packet).filter(|ip| ip.protocol == TCP && ip.offset == 0)?;
            let transport = ip.transport(packet);
            (transport.len() >= 12).then(|| transport.to_vec())
        };
        if let (Some(kernel), Some(here)) = (segment(frame), segment(&translated)) {
            let times = tstamp_at(&kernel).map(|at| [at, at + 4]);
            for at in [4, 8].into_iter().chain(times.into_iter().flatten()) {
                self.carried.insert(be32(&kernel, at), be32(&here, at));
            }
        }
        translated
    }

    /// The kernel's frame in the values that hold here.
    pub fn translate(&self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        if is_ip(&frame)
            && let Some(packet) = frame.get_mut(ETH_HLEN..)
        {
            self.translate_packet(packet);
        }
        frame
    }

    fn translate_packet(&self, packet: &mut [u8]) {
        let Some(ip) = Ip::parse(packet) else { return };
        if ip.offset != 0 {
            // Of a TCP header the checksum is behind 16 bytes.
            if let Some(behind) = 16usize.checked_sub(ip.offset)
                && let Some(&added) = self.fragments.get(&datagram(packet, &ip))
                && ip.end >= ip.header_len + behind + 2
            {
                let at = ip.header_len + behind;
                let check = be16(packet, at);
                // RFC 1624 eqn. 3
                put16(packet, at, !sum_of(&[!check, added]));
            }
            return;
        }
        let before = check(packet, &ip);
        let at = ip.header_len;
        let transport = packet[at..ip.end].to_vec();
        match ip.protocol {
            TCP | UDP if transport.len() >= 4 => {
                let (sport, dport) = (be16(&transport, 0), be16(&transport, 2));
                put16(packet, at, self.port(ip.protocol, ip.src, sport));
                put16(packet, at + 2, self.port(ip.protocol, ip.dst, dport));
                if ip.protocol == TCP && transport.len() >= 8 {
                    self.translate_tcp(packet, &ip, &transport);
                }
            }
            ICMP if transport.len() >= 8 => match transport[0] {
                8 => put16(packet, at + 4, self.port(ICMP, ip.src, be16(&transport, 4))),
                0 => put16(packet, at + 4, self.port(ICMP, ip.dst, be16(&transport, 4))),
                3 | 4 | 5 | 11 | 12 => self.translate_packet(&mut packet[at + 8..ip.end]),
                _ => {}
            },
            ICMPV6 if transport.len() >= 8 => match transport[0] {
                128 => {
                    let id = self.port(ICMPV6, ip.src, be16(&transport, 4));
                    put16(packet, at + 4, id);
                }
                129 => {
                    let id = self.port(ICMPV6, ip.dst, be16(&transport, 4));
                    put16(packet, at + 4, id);
                }
                0..128 => self.translate_packet(&mut packet[at + 8..ip.end]),
                _ => {}
            },
            _ => {}
        }
        match before {
            Check::Good => set_check(packet, &ip),
            Check::Absent | Check::Bad => mend_check(packet, &ip, &transport),
            _ => {}
        }
    }

    fn translate_tcp(&self, packet: &mut [u8], ip: &Ip, transport: &[u8]) {
        let at = ip.header_len;
        let (sport, dport) = (be16(transport, 0), be16(transport, 2));
        let there = (ip.src, sport, ip.dst, dport);
        let back = (ip.dst, dport, ip.src, sport);
        let reset = transport.get(13).is_some_and(|f| f & FLAG_RST != 0);
        // A reset without a connection begins with 0, whatever the connection drew that was there before.
        if !reset || be32(transport, 4) != 0 {
            put32(packet, at + 4, self.number(&there, be32(transport, 4)));
        }
        // What ICMP quotes may end here.
        let Some(&flags) = transport.get(13) else {
            return;
        };
        // Nor does who acknowledges that 0.
        if flags & FLAG_ACK != 0 && be32(transport, 8) != 0 {
            put32(packet, at + 8, self.number(&back, be32(transport, 8)));
        }
        if let Some(option) = tstamp_at(transport) {
            let (value, echo) = (be32(transport, option), be32(transport, option + 4));
            put32(packet, at + option, self.tstamp(&there, value));
            if echo != 0 {
                put32(packet, at + option + 4, self.tstamp(&back, echo));
            }
        }
        for option in sack_edges(transport) {
            put32(
                packet,
                at + option,
                self.number(&back, be32(transport, option)),
            );
        }
    }

    /// A sequence number here for the kernel's: of several connections between the same ends it is of the one that began closest to it.
    fn number(&self, flow: &Flow, value: u32) -> u32 {
        let connections = self.sequence.get(flow).into_iter().flatten();
        let distance = |first: u32| (value.wrapping_sub(first) as i32).unsigned_abs();
        match connections.min_by_key(|(first, _)| distance(*first)) {
            Some((_, offset)) => value.wrapping_add(*offset),
            None => self.carried.get(&value).copied().unwrap_or(value),
        }
    }

    fn tstamp(&self, flow: &Flow, value: u32) -> u32 {
        let exact = self.tstamps.get(&(*flow, value)).copied();
        exact.unwrap_or_else(|| match self.tstamp_offset.get(flow) {
            Some(offset) => value.wrapping_add(*offset),
            None => self.carried.get(&value).copied().unwrap_or(value),
        })
    }

    /// What the kernel's frame that left should be here: translated, and with the identification of `here` when the packet was made in `r` (a
    /// kernel counts from where it likes; only that it is none, 0, means something).
    pub fn expected(&self, kernel: &[u8], here: &[u8], made_here: bool) -> Vec<u8> {
        let mut frame = self.translate(kernel);
        let ours = here.get(ETH_HLEN..).unwrap_or_default();
        if is_ip(&frame)
            && let Some(packet) = frame.get_mut(ETH_HLEN..)
        {
            take_fragment_identification(packet, ours);
            if made_here {
                take_identification(packet, ours);
                take_tstamp(packet, ours);
                take_time_of_day(packet, ours);
            }
        }
        frame
    }
}

fn is_ip(frame: &[u8]) -> bool {
    matches!(be16(frame, 12), 0x0800 | 0x86dd)
}

/// Gives an IPv6 fragment the identification of `ours`: a router that put a datagram together cuts it with a number of its own.
fn take_fragment_identification(packet: &mut [u8], ours: &[u8]) {
    let at = |packet: &[u8]| Ip::parse(packet).and_then(|ip| ip.fragment_at);
    if let (Some(theirs), Some(mine)) = (at(packet), at(ours)) {
        put32(packet, theirs + 4, be32(ours, mine + 4));
    }
}

/// Gives `packet` the identification of `ours`, if both have one. An error to `r` itself quotes a packet of its own, which has one, too.
fn take_identification(packet: &mut [u8], ours: &[u8]) {
    let Some(ip) = Ip::parse(packet).filter(|ip| ip.src.is_ipv4()) else {
        return;
    };
    let header_len = ip.header_len;
    if be16(packet, 4) != 0 && be16(ours, 4) != 0 {
        put16(packet, 4, be16(ours, 4));
        set_header_check(packet, header_len);
    }
    let quoted = header_len + 8;
    let error = matches!(packet.get(header_len), Some(3 | 4 | 5 | 11 | 12));
    let own = Ip::parse(packet.get(quoted..).unwrap_or_default())
        .is_some_and(|inner| inner.src == ip.dst && ip.src == ip.dst);
    if ip.protocol == ICMP && error && own {
        let before = check(packet, &ip);
        take_identification(
            &mut packet[quoted..],
            ours.get(quoted..).unwrap_or_default(),
        );
        if before == Check::Good {
            set_check(packet, &ip);
        }
    }
}

/// Gives a segment the timestamp of `ours`, if both are about as old: what a kernel sent in one millisecond may be sent in two here.
fn take_tstamp(packet: &mut [u8], ours: &[u8]) {
    let (Some(ip), Some(our_ip)) = (Ip::parse(packet), Ip::parse(ours)) else {
        return;
    };
    if ip.protocol != TCP || ip.offset != 0 {
        return;
    }
    let (theirs, mine) = (ip.transport(packet), our_ip.transport(ours));
    let (Some(at), Some(my_at)) = (tstamp_at(theirs), tstamp_at(mine)) else {
        return;
    };
    let drift = be32(mine, my_at).wrapping_sub(be32(theirs, at)) as i32;
    if drift.abs() <= TSTAMP_SLACK {
        let (value, before) = (be32(mine, my_at), check(packet, &ip));
        put32(packet, ip.header_len + at, value);
        if before == Check::Good {
            set_check(packet, &ip);
        }
    }
}

/// Gives an ICMP timestamp reply (RFC 792) the times of `ours`, if both tell one time for receiving and sending: the time of day is another
/// one here.
fn take_time_of_day(packet: &mut [u8], ours: &[u8]) {
    const TIMESTAMP_REPLY: u8 = 14;
    let (Some(ip), Some(our_ip)) = (Ip::parse(packet), Ip::parse(ours)) else {
        return;
    };
    let times = |packet: &[u8], ip: &Ip| {
        let message = ip.transport(packet);
        let reply = ip.protocol == ICMP && message.first() == Some(&TIMESTAMP_REPLY);
        let (received, sent) = (be32(message, 12), be32(message, 16));
        (reply && message.len() >= 20 && received == sent).then_some(received)
    };
    let (Some(_), Some(mine)) = (times(packet, &ip), times(ours, &our_ip)) else {
        return;
    };
    let before = check(packet, &ip);
    put32(packet, ip.header_len + 12, mine);
    put32(packet, ip.header_len + 16, mine);
    if before == Check::Good {
        set_check(packet, &ip);
    }
}

/// What NAT may change: ports, or the ICMP id as both.
pub fn keys(packet: &[u8], ip: &Ip) -> Option<(u16, u16)> {
    let transport = ip.transport(packet);
    match ip.protocol {
        ICMP if ip.offset == 0 && matches!(transport.first(), Some(0 | 8)) => {
            let id = be16(transport, 4);
            Some((id, id))
        }
        ICMPV6 if ip.offset == 0 && matches!(transport.first(), Some(128 | 129)) => {
            let id = be16(transport, 4);
            Some((id, id))
        }
        _ => ip.ports(packet),
    }
}

/// The options of a TCP header: kind, position, length.
fn options(transport: &[u8]) -> Vec<(u8, usize, usize)> {
    let end = usize::from(transport.get(12).copied().unwrap_or(0) >> 4) * 4;
    let mut found = Vec::new();
    let mut at = 20;
    while at < end.min(transport.len()) {
        match transport[at] {
            0 => break,
            1 => at += 1,
            kind => {
                let len = transport.get(at + 1).map_or(0, |&l| usize::from(l));
                if len < 2 || at + len > end.min(transport.len()) {
                    break;
                }
                found.push((kind, at, len));
                at += len;
            }
        }
    }
    found
}

/// Where the timestamp value is; the echo follows it.
fn tstamp_at(transport: &[u8]) -> Option<usize> {
    options(transport)
        .into_iter()
        .find(|&(kind, _, len)| kind == 8 && len == 10)
        .map(|(_, at, _)| at + 2)
}

fn sack_edges(transport: &[u8]) -> Vec<usize> {
    options(transport)
        .into_iter()
        .filter(|&(kind, _, len)| kind == 5 && len >= 10)
        .flat_map(|(_, at, len)| (at + 2..at + len - 3).step_by(4))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::DATAGRAM;
    use super::*;

    #[test]
    fn a_port_is_renamed_only_when_both_changed_it() {
        let drawn = Some(Drawn {
            original: (40000, 9),
        });
        let with = |port: u16| {
            let mut frame = DATAGRAM.to_vec();
            put16(&mut frame, 34, port);
            frame
        };
        let mut renaming = Renaming::default();
        renaming.learn(&with(40000), &with(1024), false, drawn);
        renaming.learn(&with(1024), &with(40000), false, drawn);
        assert_eq!(renaming.translate(&with(1024)), with(1024));
        renaming.learn(&with(1024), &with(5000), false, drawn);
        assert_eq!(renaming.translate(&with(1024)), with(5000));
        // The answer comes to the other port.
        let mut answer = with(9);
        answer[26..34].copy_from_slice(&[10, 0, 1, 1, 10, 0, 1, 2]);
        put16(&mut answer, 36, 1024);
        assert_eq!(be16(&renaming.translate(&answer), 36), 5000);
    }

    #[test]
    fn a_quoted_header_keeps_its_checksum_right() {
        let drawn = Some(Drawn {
            original: (40000, 9),
        });
        let with = |port: u16| {
            let mut frame = DATAGRAM.to_vec();
            put16(&mut frame, 34, port);
            let ip = Ip::parse(&frame[14..]).unwrap();
            set_check(&mut frame[14..], &ip);
            frame
        };
        let mut renaming = Renaming::default();
        renaming.learn(&with(1024), &with(5000), false, drawn);
        // Port unreachable, with no more than the UDP header.
        let error = |port: u16| {
            let mut frame = DATAGRAM[..34].to_vec();
            frame[14 + 9] = ICMP;
            frame.extend([3, 3, 0, 0, 0, 0, 0, 0]);
            frame.extend(&with(port)[14..42]);
            put16(&mut frame, 16, 56);
            let ip = Ip::parse(&frame[14..]).unwrap();
            set_check(&mut frame[14..], &ip);
            frame
        };
        assert_eq!(renaming.translate(&error(1024)), error(5000));
    }

    #[test]
    fn the_identification_of_own_packets_is_free_but_not_whether_there_is_one() {
        let renaming = Renaming::default();
        let mut here = DATAGRAM.to_vec();
        put16(&mut here, 18, 77);
        set_header_check(&mut here[14..], 20);
        assert_eq!(renaming.expected(&DATAGRAM, &here, true), here);
        assert_ne!(renaming.expected(&DATAGRAM, &here, false), here);
        put16(&mut here, 18, 0);
        set_header_check(&mut here[14..], 20);
        assert_ne!(renaming.expected(&DATAGRAM, &here, true), here);
    }
}
