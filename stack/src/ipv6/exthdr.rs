//! Extension headers (RFC 8200 4): the chain, and the options inside.

use super::IPV6_HLEN;
use super::header::Ipv6Header;

/// Hop-by-hop options.
pub(crate) const NEXTHDR_HOP: u8 = 0;
/// Routing header.
pub(crate) const NEXTHDR_ROUTING: u8 = 43;
/// Fragment header.
pub(crate) const NEXTHDR_FRAGMENT: u8 = 44;
/// ICMPv6.
pub(crate) const IPPROTO_ICMPV6: u8 = 58;
/// Nothing follows.
pub(crate) const NEXTHDR_NONE: u8 = 59;
/// Destination options.
pub(crate) const NEXTHDR_DEST: u8 = 60;

/// Length of the fragment header.
pub(crate) const FRAG_HLEN: usize = 8;

/// Padding of one byte.
const TLV_PAD1: u8 = 0;
/// Padding of more bytes.
const TLV_PADN: u8 = 1;
/// Router alert (RFC 2711).
const TLV_ROUTERALERT: u8 = 5;
/// Jumbo payload (RFC 2675).
const TLV_JUMBO: u8 = 0xc2;

/// What is wrong with an options header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadOption {
    /// Malformed: dropped without a message.
    Malformed,
    /// An option nobody knows, whose type says that the packet must not be used. `pointer`: offset of the option in the options header;
    /// `complain`: 0 silently, 1 with a message, 2 with a message unless the packet was sent to a group.
    Unknown { pointer: usize, complain: u8 },
    /// A jumbo payload option with a length that it cannot have; `pointer`: offset of what is wrong in the options header.
    Jumbo { pointer: usize },
    /// It says that the packet is longer than it is.
    Cut,
}

/// `ip6_parse_tlv()`: `header` is the whole options header, length bytes included. `hop_by_hop`: the payload length that the packet's header
/// says, in hop-by-hop options, as those that only exist there are known; they begin 40 bytes into the packet.
pub(crate) fn parse_tlv(header: &[u8], hop_by_hop: Option<usize>) -> Result<(), BadOption> {
    let mut at = 2;
    let mut padding = 0;
    while let Some(&kind) = header.get(at) {
        if kind == TLV_PAD1 {
            padding += 1;
            // More than 7 bytes of padding in a row serve nothing but covert channels.
            if padding > 7 {
                return Err(BadOption::Malformed);
            }
            at += 1;
            continue;
        }
        let len = usize::from(*header.get(at + 1).ok_or(BadOption::Malformed)?) + 2;
        let option = header.get(at..at + len).ok_or(BadOption::Malformed)?;
        if kind == TLV_PADN {
            padding += len;
            if padding > 7 || option[2..].iter().any(|&b| b != 0) {
                return Err(BadOption::Malformed);
            }
        } else {
            padding = 0;
            match (kind, hop_by_hop) {
                (TLV_ROUTERALERT, Some(_)) if len == 4 => {}
                (TLV_ROUTERALERT, Some(_)) => return Err(BadOption::Malformed),
                (TLV_JUMBO, Some(payload_len)) => return Err(jumbo(at, option, payload_len)),
                // RFC 8200 4.2: the two highest bits say what to do with an option that is not known.
                _ if kind >> 6 == 0 => {}
                _ => {
                    return Err(BadOption::Unknown {
                        pointer: at,
                        complain: (kind >> 6) - 1,
                    });
                }
            }
        }
        at += len;
    }
    Ok(())
}

/// `ipv6_hop_jumbo()`. No device has such long packets: one that is in order is cut.
fn jumbo(at: usize, option: &[u8], payload_len: usize) -> BadOption {
    const IPV6_MAXPLEN: u32 = 65535;
    let Some(&[_, _, a, b, c, d]) = option.first_chunk::<6>() else {
        return BadOption::Malformed;
    };
    // RFC 2675 2: its place is a multiple of 4, plus 2.
    if option.len() != 6 || at % 4 != 2 {
        return BadOption::Malformed;
    }
    match u32::from_be_bytes([a, b, c, d]) {
        0..=IPV6_MAXPLEN => BadOption::Jumbo { pointer: at + 2 },
        _ if payload_len != 0 => BadOption::Jumbo { pointer: at },
        _ => BadOption::Cut,
    }
}

/// Length in bytes of an extension header (other than fragment) that begins with `bytes`; `None` when it is cut off.
pub(crate) fn ext_len(bytes: &[u8]) -> Option<usize> {
    let len = (usize::from(*bytes.get(1)?) + 1) * 8;
    (len <= bytes.len()).then_some(len)
}

/// What follows the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upper {
    pub protocol: u8,
    /// Offset of the upper-layer header from the start of the IPv6 header.
    pub offset: usize,
    /// A fragment other than the first: what is at `offset` is no header.
    pub later_fragment: bool,
}

/// `ipv6_skip_exthdr()`: finds the upper-layer header of the packet that begins with `packet`; `None` when the chain is cut off.
pub(crate) fn find_upper(packet: &[u8]) -> Option<Upper> {
    upper_from(packet, Ipv6Header::new(packet)?.next_header(), IPV6_HLEN)
}

/// The same from a header on: that at `offset`, which is a `protocol`.
pub(crate) fn upper_from(packet: &[u8], mut protocol: u8, mut offset: usize) -> Option<Upper> {
    loop {
        let rest = packet.get(offset..)?;
        match protocol {
            NEXTHDR_HOP | NEXTHDR_ROUTING | NEXTHDR_DEST => {
                protocol = *rest.first()?;
                offset += ext_len(rest)?;
            }
            NEXTHDR_FRAGMENT => {
                let fragment = rest.first_chunk::<FRAG_HLEN>()?;
                protocol = fragment[0];
                offset += FRAG_HLEN;
                if u16::from_be_bytes([fragment[2], fragment[3]]) & !7 != 0 {
                    return Some(Upper {
                        protocol,
                        offset,
                        later_fragment: true,
                    });
                }
            }
            _ => {
                return Some(Upper {
                    protocol,
                    offset,
                    later_fragment: false,
                });
            }
        }
    }
}

/// `find_prev_fhdr()`: offset of the fragment header, and of the field that names it; `None` without one.
pub(crate) fn find_fragment_header(packet: &[u8]) -> Option<(usize, usize)> {
    let mut kind = Ipv6Header::new(packet)?.next_header();
    let (mut offset, mut named_at) = (IPV6_HLEN, 6);
    while kind != NEXTHDR_FRAGMENT {
        if !matches!(kind, NEXTHDR_HOP | NEXTHDR_ROUTING | NEXTHDR_DEST) {
            return None;
        }
        let rest = packet.get(offset..)?;
        kind = *rest.first()?;
        named_at = offset;
        offset += ext_len(rest)?;
    }
    (packet.len() >= offset + FRAG_HLEN).then_some((offset, named_at))
}

/// `ip6_find_1stfragopt()`: where the part begins that fragments share out, and where the field is that names its first header. Hop-by-hop
/// options, and destination options that no routing header precedes, go into every fragment (RFC 8200 4.5; that one follows is not asked for).
pub(crate) fn ip6_find_1stfragopt(packet: &[u8]) -> Option<(usize, usize)> {
    let mut kind = Ipv6Header::new(packet)?.next_header();
    let (mut offset, mut named_at, mut routed) = (IPV6_HLEN, 6, false);
    loop {
        match kind {
            NEXTHDR_HOP => {}
            NEXTHDR_ROUTING => routed = true,
            NEXTHDR_DEST if !routed => {}
            _ => return Some((offset, named_at)),
        }
        let rest = packet.get(offset..)?;
        kind = *rest.first()?;
        named_at = offset;
        offset += ext_len(rest)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options() {
        assert_eq!(parse_tlv(&[58, 0, 1, 4, 0, 0, 0, 0], None), Ok(()));
        assert_eq!(parse_tlv(&[58, 0, 5, 2, 0, 0, 0, 0], Some(8)), Ok(()));
        assert_eq!(
            parse_tlv(&[58, 0, 1, 4, 0, 1, 0, 0], None),
            Err(BadOption::Malformed)
        );
        assert_eq!(
            parse_tlv(&[58, 0, 1, 5, 0, 0, 0, 0], None),
            Err(BadOption::Malformed)
        );
        let unknown = |kind| parse_tlv(&[58, 0, kind, 4, 0, 0, 0, 0], None);
        assert_eq!(unknown(0x3e), Ok(()));
        assert_eq!(
            unknown(0x7e),
            Err(BadOption::Unknown {
                pointer: 2,
                complain: 0
            })
        );
        assert_eq!(
            unknown(0x9e),
            Err(BadOption::Unknown {
                pointer: 2,
                complain: 1
            })
        );
        assert_eq!(
            unknown(0xde),
            Err(BadOption::Unknown {
                pointer: 2,
                complain: 2
            })
        );
    }

    proptest! {
        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_tlv(&bytes, Some(0));
            if let Some(first) = bytes.first_mut() {
                *first = 0x60;
            }
            if let Some(upper) = find_upper(&bytes) {
                prop_assert!(upper.offset >= IPV6_HLEN && upper.offset <= bytes.len());
            }
        }
    }
}
