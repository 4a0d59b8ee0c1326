//! Headers of an Ethernet frame, as far as offloads look into it.
//!
//! No tag, or one or two VLAN tags; IPv4 with options; IPv6 with the extension headers hop-by-hop
//! (at the first place only), routing, destination options and fragment. Every offset is checked
//! against the frame: accessors cannot read beyond it.

/// TCP (IANA protocol number).
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DEST_OPTIONS: u8 = 60;
/// Routing header types whose first address is the final destination (RFC 6275 6.4, RFC 8754 2).
const FINAL_FIRST: [u8; 2] = [2, 4];
/// Home Address option of destination options (RFC 6275 6.3).
const HOME_ADDRESS: u8 = 0xc9;
/// Bytes of an IPv6 header.
const IPV6_LEN: usize = 40;

/// Where things are; offsets count from the frame's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    /// IPv6, else IPv4.
    pub ipv6: bool,
    /// Of the IP header.
    pub l3: usize,
    /// Of what follows the IP header, its options and extension headers.
    pub l4: usize,
    /// Just behind the packet, Ethernet padding not included; not beyond the frame.
    pub end: usize,
    /// What is at `l4`.
    pub protocol: u8,
    /// A part of a larger packet.
    pub fragment: bool,
    /// There are IPv6 extension headers.
    pub extensions: bool,
    /// A routing header still has segments to visit: the destination is not the final one.
    pub segments_left: bool,
    /// Offset of the final destination, which the pseudo-header has (RFC 8200 8.1): in the IP header,
    /// or in a routing header with segments left. `None` when that is of a type that is not known.
    pub destination: Option<usize>,
    /// Offset of the address in a type 2 routing header (RFC 6275 6.4).
    pub routing_address: Option<usize>,
    /// Offset of the address in a Home Address option.
    pub home_address: Option<usize>,
    /// The frame holds the whole packet.
    pub whole: bool,
}

/// Two bytes in network order.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([field[0], field[1]]))
}

/// Four bytes in network order.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes([field[0], field[1], field[2], field[3]]))
}

/// Offset of the EtherType that no VLAN tag precedes any more, and the VLAN ID of the first tag.
pub(super) fn ether_type(frame: &[u8]) -> Option<(usize, Option<u16>)> {
    let mut at = 12;
    let mut vlan = None;
    for _ in 0..2 {
        // IEEE 802.1Q 9.6: C-tag and S-tag.
        if !matches!(be16(frame, at)?, 0x8100 | 0x88a8) {
            break;
        }
        vlan = vlan.or(Some(be16(frame, at + 2)? & 0xfff));
        at += 4;
    }
    Some((at, vlan))
}

impl Packet {
    /// The IP packet in `frame`; `None` when there is none or its header is cut or wrong. With
    /// `lengths` the packet ends where its own header says, else (segmentation, where the driver
    /// may leave the length out) with the frame.
    pub fn parse(frame: &[u8], lengths: bool) -> Option<Self> {
        let (at, _) = ether_type(frame)?;
        let l3 = at + 2;
        match be16(frame, at)? {
            0x0800 => Self::ipv4(frame, l3, lengths),
            0x86dd => Self::ipv6(frame, l3, lengths),
            _ => None,
        }
    }

    /// RFC 791 3.1.
    fn ipv4(frame: &[u8], l3: usize, lengths: bool) -> Option<Self> {
        let first = *frame.get(l3)?;
        let header = usize::from(first & 15) * 4;
        if first >> 4 != 4 || header < 20 || frame.len() < l3 + header {
            return None;
        }
        let total = if lengths {
            usize::from(be16(frame, l3 + 2)?)
        } else {
            frame.len() - l3
        };
        if total < header {
            return None;
        }
        Some(Self {
            ipv6: false,
            l3,
            l4: l3 + header,
            end: frame.len().min(l3 + total),
            protocol: *frame.get(l3 + 9)?,
            // More fragments, or an offset.
            fragment: be16(frame, l3 + 6)? & 0x3fff != 0,
            extensions: false,
            segments_left: false,
            destination: Some(l3 + 16),
            routing_address: None,
            home_address: None,
            whole: l3 + total <= frame.len(),
        })
    }

    /// RFC 8200 3, 4.
    fn ipv6(frame: &[u8], l3: usize, lengths: bool) -> Option<Self> {
        if *frame.get(l3)? >> 4 != 6 || frame.len() < l3 + IPV6_LEN {
            return None;
        }
        let total = if lengths {
            IPV6_LEN + usize::from(be16(frame, l3 + 4)?)
        } else {
            frame.len() - l3
        };
        let mut packet = Self {
            ipv6: true,
            l3,
            l4: l3 + IPV6_LEN,
            end: frame.len().min(l3 + total),
            protocol: *frame.get(l3 + 6)?,
            fragment: false,
            extensions: false,
            segments_left: false,
            destination: Some(l3 + 24),
            routing_address: None,
            home_address: None,
            whole: l3 + total <= frame.len(),
        };
        packet.extension_headers(frame)?;
        Some(packet)
    }

    fn extension_headers(&mut self, frame: &[u8]) -> Option<()> {
        let frame = &frame[..self.end];
        loop {
            let at = self.l4;
            let len = match self.protocol {
                HOP_BY_HOP if self.extensions => return Some(()),
                HOP_BY_HOP | ROUTING | DEST_OPTIONS => 8 + usize::from(*frame.get(at + 1)?) * 8,
                FRAGMENT => 8,
                _ => return Some(()),
            };
            if frame.len() < at + len {
                return None;
            }
            match self.protocol {
                ROUTING => {
                    if frame[at + 3] != 0 {
                        self.segments_left = true;
                        let known = FINAL_FIRST.contains(&frame[at + 2]) && len >= 24;
                        self.destination = self.destination.filter(|_| known).map(|_| at + 8);
                    }
                    if frame[at + 2] == 2 && len >= 24 {
                        self.routing_address = Some(at + 8);
                    }
                }
                DEST_OPTIONS => {
                    let found = home_address(frame, at + 2, at + len);
                    self.home_address = self.home_address.or(found);
                }
                // An atomic fragment (RFC 6946) is whole; still nobody sums it.
                FRAGMENT => self.fragment = true,
                _ => {}
            }
            self.extensions = true;
            self.protocol = frame[at];
            self.l4 = at + len;
            // Behind the first fragment's header nothing can be relied on.
            if self.fragment {
                return Some(());
            }
        }
    }

    /// Offsets of source and destination address.
    pub fn addresses(&self) -> [usize; 2] {
        if self.ipv6 {
            [self.l3 + 8, self.l3 + 24]
        } else {
            [self.l3 + 12, self.l3 + 16]
        }
    }

    /// Bytes of an address.
    pub fn address_len(&self) -> usize {
        if self.ipv6 { 16 } else { 4 }
    }

    /// A TCP or UDP packet that is not a fragment and whose ports are there.
    pub fn has_ports(&self) -> bool {
        !self.fragment && matches!(self.protocol, TCP | UDP) && self.l4 + 4 <= self.end
    }

    /// Bytes of the TCP header with options; `None` when it is not all there or is too short.
    pub fn tcp_header(&self, frame: &[u8]) -> Option<usize> {
        let len = usize::from(*frame.get(self.l4 + 12)? >> 4) * 4;
        (len >= 20 && self.l4 + len <= self.end).then_some(len)
    }

    /// Folded sum of the pseudo-header (RFC 9293 3.1, RFC 768, RFC 8200 8.1) for `len` bytes of
    /// `protocol`; with the IP header's destination when the final one is not known.
    pub fn pseudo_sum(&self, frame: &[u8], len: usize) -> u16 {
        let [source, destination] = self.addresses();
        let destination = self.destination.unwrap_or(destination);
        let address = |at: usize| super::csum::sum(&frame[at..at + self.address_len()]);
        let (len, protocol) = (len as u64, u64::from(self.protocol));
        super::csum::fold(address(source) + address(destination) + len + protocol)
    }
}

/// Options from `at` on, the third byte of their header. The option's alignment is 8n + 6 by its
/// definition (RFC 6275 6.3); at another place it is not one.
fn home_address(frame: &[u8], mut at: usize, end: usize) -> Option<usize> {
    let header = at - 2;
    while at < end {
        // Pad1 has no length (RFC 8200 4.2).
        if frame[at] == 0 {
            at += 1;
            continue;
        }
        let len = usize::from(*frame.get(at + 1)?);
        let aligned = (at - header) % 8 == 6;
        if frame[at] == HOME_ADDRESS && len == 16 && aligned && at + 18 <= end {
            return Some(at + 2);
        }
        at += 2 + len;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([next, 64]);
        frame.extend([0x11; 16]);
        frame.extend([0x22; 16]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn tags_options_and_padding() {
        let mut frame = vec![0; 12];
        frame.extend([0x88, 0xa8, 0x20, 0x05, 0x81, 0x00, 0, 7, 8, 0]);
        frame.extend([0x46, 0, 0, 32, 0, 1, 0x40, 0, 64, UDP, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 1]);
        frame.extend([0; 8]);
        frame.extend([0xee; 10]);
        assert_eq!(ether_type(&frame), Some((20, Some(5))));
        let packet = Packet::parse(&frame, true).unwrap();
        assert_eq!((packet.l3, packet.l4, packet.end), (22, 46, 54));
        assert!(packet.has_ports() && packet.whole && !packet.fragment);
        let long = Packet::parse(&frame, false).unwrap();
        assert_eq!(long.end, frame.len());
        frame[28] = 0x20;
        assert!(Packet::parse(&frame, true).unwrap().fragment);
    }

    #[test]
    fn extension_headers_are_followed() {
        let mut payload = vec![DEST_OPTIONS, 0, 1, 4, 0, 0, 0, 0]; // hop-by-hop: PadN
        payload.extend([ROUTING, 2, 1, 2, 0, 0, HOME_ADDRESS, 16]);
        payload.extend([0x33; 16]);
        payload.extend([UDP, 2, 2, 1, 0, 0, 0, 0]);
        payload.extend([0x44; 16]);
        payload.extend([0; 8]);
        let frame = ipv6(HOP_BY_HOP, &payload);
        let packet = Packet::parse(&frame, true).unwrap();
        assert_eq!((packet.protocol, packet.l4), (UDP, 54 + 56));
        assert!(packet.extensions && packet.segments_left && packet.has_ports());
        assert_eq!(frame[packet.home_address.unwrap()], 0x33);
        assert_eq!(frame[packet.routing_address.unwrap()], 0x44);
    }

    #[test]
    fn every_cut_is_survived() {
        let mut payload = vec![DEST_OPTIONS, 0, 0, 0, 0, 0, 0, 0];
        payload.extend([TCP, 1, 0, 1, 2, 0, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend([0; 20]);
        let frame = ipv6(HOP_BY_HOP, &payload);
        for len in 0..frame.len() {
            if let Some(packet) = Packet::parse(&frame[..len], true) {
                assert!(packet.end <= len && !packet.whole);
            }
        }
        assert!(Packet::parse(&frame, true).unwrap().whole);
    }

    #[test]
    fn fragments_have_no_ports() {
        let frame = ipv6(FRAGMENT, &[TCP, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0]);
        let packet = Packet::parse(&frame, true).unwrap();
        assert!(packet.fragment && !packet.has_ports());
    }
}
