//! Flows of received packets by the letter of virtio 5.1.6.4.3, byte by byte: the reference for the
//! RTL's receive parser and its Toeplitz hash.

use std::ops::Range;

/// VIRTIO_NET_HASH_TYPE_* bit numbers; what is reported is one more.
mod kind {
    pub const IPV4: u32 = 0;
    pub const IPV6: u32 = 3;
    pub const IPV6_EX: u32 = 6;
    pub const WITH_TCP: u32 = 1;
    pub const WITH_UDP: u32 = 2;
}

/// What is hashed of a packet, as places in the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// IPv6, else IPv4.
    pub ipv6: bool,
    /// Source and destination address.
    pub addresses: [Range<usize>; 2],
    /// There are IPv6 extension headers.
    pub extensions: bool,
    /// Home address and type 2 routing address (RFC 6275).
    pub mobile: [Option<Range<usize>>; 2],
    /// Source and destination port, and whether they are TCP's, else UDP's.
    pub ports: Option<(Range<usize>, bool)>,
}

fn be16(frame: &[u8], at: usize) -> Option<usize> {
    let field = frame.get(at..at + 2)?;
    Some(usize::from(field[0]) << 8 | usize::from(field[1]))
}

/// The VLAN ID of the first tag (IEEE 802.1Q 9.6: C-tag or S-tag).
#[must_use]
pub fn vlan(frame: &[u8]) -> Option<usize> {
    matches!(be16(frame, 12)?, 0x8100 | 0x88a8).then(|| be16(frame, 14).map(|tci| tci & 0xfff))?
}

/// The flow of the packet in a frame without FCS: behind two VLAN tags at the most, with all of its
/// headers in the frame and in its own length.
#[must_use]
pub fn flow(frame: &[u8]) -> Option<Flow> {
    let mut l3 = 14;
    while l3 < 22 && matches!(be16(frame, l3 - 2)?, 0x8100 | 0x88a8) {
        l3 += 4;
    }
    match be16(frame, l3 - 2)? {
        0x0800 => ipv4(frame, l3),
        0x86dd => ipv6(frame, l3),
        _ => None,
    }
}

/// RFC 791 3.1.
fn ipv4(frame: &[u8], l3: usize) -> Option<Flow> {
    let first = *frame.get(l3)?;
    let header = usize::from(first & 15) * 4;
    let total = be16(frame, l3 + 2)?;
    let packet = frame.get(..frame.len().min(l3 + total))?;
    if first >> 4 != 4 || header < 20 || packet.len() < l3 + header {
        return None;
    }
    let whole = be16(packet, l3 + 6)? & 0x3fff == 0;
    Some(Flow {
        ipv6: false,
        addresses: [l3 + 12..l3 + 16, l3 + 16..l3 + 20],
        extensions: false,
        mobile: [None, None],
        ports: ports(packet, l3 + header, packet[l3 + 9]).filter(|_| whole),
    })
}

/// RFC 8200 3, 4.
fn ipv6(frame: &[u8], l3: usize) -> Option<Flow> {
    let total = 40 + be16(frame, l3 + 4)?;
    let packet = frame.get(..frame.len().min(l3 + total))?;
    if packet.get(l3)? >> 4 != 6 || packet.len() < l3 + 40 {
        return None;
    }
    let mut flow = Flow {
        ipv6: true,
        addresses: [l3 + 8..l3 + 24, l3 + 24..l3 + 40],
        extensions: false,
        mobile: [None, None],
        ports: None,
    };
    let (mut at, mut next) = (l3 + 40, packet[l3 + 6]);
    loop {
        let length = match next {
            0 if flow.extensions => break,
            0 | 43 | 60 => 8 + 8 * usize::from(*packet.get(at + 1)?),
            44 => 8,
            _ => break,
        };
        let header = packet.get(at..at + length)?;
        // RFC 6275 6.4: the last one counts.
        if next == 43 && header[2] == 2 && length >= 24 {
            flow.mobile[1] = Some(at + 8..at + 24);
        }
        // RFC 6275 6.3: the first one counts.
        if next == 60 && flow.mobile[0].is_none() {
            flow.mobile[0] = home_address(header).map(|place| at + place..at + place + 16);
        }
        flow.extensions = true;
        at += length;
        if next == 44 {
            // What follows need not be a header at all.
            return Some(flow);
        }
        next = header[0];
    }
    flow.ports = ports(packet, at, next);
    Some(flow)
}

/// RFC 8200 4.2: where a Home Address option, aligned as it must be, has its address.
fn home_address(header: &[u8]) -> Option<usize> {
    let mut at = 2;
    while at + 1 < header.len() {
        let length = usize::from(header[at + 1]);
        match header[at] {
            0 => at += 1,
            0xc9 if length == 16 && at % 8 == 6 && at + 18 <= header.len() => return Some(at + 2),
            _ => at += 2 + length,
        }
    }
    None
}

fn ports(packet: &[u8], at: usize, protocol: u8) -> Option<(Range<usize>, bool)> {
    let there = matches!(protocol, 6 | 17) && at + 4 <= packet.len();
    there.then_some((at..at + 4, protocol == 6))
}

/// "Verifying the RSS Hash Calculation": for each bit of the input that is 1, the 32 bits of the key
/// that begin at its place.
#[must_use]
pub fn toeplitz(key: &[u8; 40], input: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| {
        bytes
            .get(at / 8)
            .is_some_and(|b| b >> (7 - at % 8) & 1 == 1)
    };
    (0..8 * input.len())
        .filter(|&at| bit(input, at))
        .map(|at| (0..32).fold(0, |word, i| word << 1 | u32::from(bit(key, at + i))))
        .fold(0, |hash, word| hash ^ word)
}

/// Hash and VIRTIO_NET_HASH_REPORT_* of a frame with the hash types `types` enabled.
#[must_use]
pub fn hash(frame: &[u8], key: &[u8; 40], types: u32) -> Option<(u32, u32)> {
    let flow = flow(frame)?;
    let on = |kind: u32| types >> kind & 1 == 1;
    let with = match flow.ports {
        Some((_, true)) => Some(kind::WITH_TCP),
        Some((_, false)) => Some(kind::WITH_UDP),
        None => None,
    };
    let of = |base: u32| {
        let with_ports = with.map(|with| base + with).filter(|&kind| on(kind));
        with_ports.or(Some(base).filter(|&kind| on(kind)))
    };
    let extended = if flow.extensions {
        of(kind::IPV6_EX)
    } else {
        None
    };
    let plain = if flow.ipv6 { kind::IPV6 } else { kind::IPV4 };
    let chosen = extended.or_else(|| of(plain))?;
    let mut input = vec![];
    for (plain, mobile) in flow.addresses.into_iter().zip(flow.mobile) {
        let place = mobile.filter(|_| extended.is_some()).unwrap_or(plain);
        input.extend_from_slice(&frame[place]);
    }
    if !chosen.is_multiple_of(3)
        && let Some((ports, _)) = flow.ports
    {
        input.extend_from_slice(&frame[ports]);
    }
    Some((toeplitz(key, &input), chosen + 1))
}

/// The pair, of `pairs` in use, for a frame while the driver has not configured RSS: the device's own
/// choice, the same for both directions of a flow.
#[must_use]
pub fn spread(frame: &[u8], pairs: u32) -> u32 {
    let Some(flow) = flow(frame) else {
        return 0;
    };
    let [source, destination] = flow.addresses;
    let ports = flow.ports.map_or(0..0, |(ports, _)| ports);
    let bytes = [source, destination, ports].into_iter().flatten();
    let folded = bytes.fold(0, |fold, at| fold ^ frame[at]);
    (u32::from(folded.reverse_bits()) * pairs) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_selects_its_window() {
        let mut key = [0; 40];
        key[..8].copy_from_slice(&[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2]);
        assert_eq!(toeplitz(&key, &[0x80]), 0x6d5a_56da);
        assert_eq!(toeplitz(&key, &[0, 0x01]), 0x2b6d_12ad);
        assert_eq!(toeplitz(&key, &[]), 0);
    }

    #[test]
    fn flows_spread_and_answers_come_in_where_questions_did() {
        let datagram = |addresses: [u8; 8], ports: [u16; 2]| {
            let mut frame = vec![0; 12];
            frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
            frame.extend(addresses);
            frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            frame.extend([0, 8, 0, 0]);
            frame
        };
        let mut counts = [0; 8];
        for port in 40_000..40_400 {
            let out = datagram([10, 0, 0, 1, 10, 0, 0, 2], [port, 80]);
            let back = datagram([10, 0, 0, 2, 10, 0, 0, 1], [80, port]);
            assert_eq!(spread(&out, 8), spread(&back, 8));
            assert!(spread(&out, 3) < 3);
            counts[spread(&out, 8) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (30..=70).contains(count)),
            "{counts:?}"
        );
    }
}
