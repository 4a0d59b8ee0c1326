//! Rewriting headers (`nf_nat_ipv4_manip_pkt()`, `nf_nat_ipv6_manip_pkt()`), the checksums with them.

use super::NatManip;
use crate::checksum::{add, fold, replace16, sub, sum};
use crate::hook::Family;
use crate::ipv4::header::Ipv4Header;
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
use crate::ipv6::{IPPROTO_ICMPV6, find_upper};
use crate::netfilter::conntrack::Tuple;
use std::net::IpAddr;

/// What the checksum field of a transport header holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The checksum.
    Whole,
    /// The sum of the pseudo header, not inverted: the rest is left to the device (`CHECKSUM_PARTIAL`).
    Partial,
}

/// Offset of an address in the IP header, and its length.
fn address_at(family: Family, manip: NatManip) -> (usize, usize) {
    match (family, manip) {
        (Family::Ipv6, NatManip::Src) => (8, 16),
        (Family::Ipv6, NatManip::Dst) => (24, 16),
        (_, NatManip::Src) => (12, 4),
        (_, NatManip::Dst) => (16, 4),
    }
}

fn read16(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*field))
}

fn write16(bytes: &mut [u8], at: usize, value: u16) {
    crate::ipv4::header::put16(bytes, at, value);
}

/// Makes source or destination of the packet that begins with `packet` that of `target`. `false`: a header is cut off, nothing or only a
/// part was changed, and the packet is to be dropped.
pub(super) fn manip_pkt(
    packet: &mut [u8],
    family: Family,
    target: &Tuple,
    manip: NatManip,
    check: Check,
) -> bool {
    let transport = match family {
        Family::Ipv4 => match Ipv4Header::new(packet) {
            Some(header) => Some(header.header_len()),
            None => return false,
        },
        // A chain that cannot be followed, and a fragment other than the first: the address only.
        _ => find_upper(packet)
            .filter(|upper| !upper.later_fragment)
            .map(|upper| upper.offset),
    };
    let address = match manip {
        NatManip::Src => target.src,
        NatManip::Dst => target.dst,
    };
    let (at, len) = address_at(family, manip);
    let Some(field) = packet.get(at..at + len) else {
        return false;
    };
    let mut old = [0u8; 16];
    old[..len].copy_from_slice(field);
    let mut new = [0u8; 16];
    match address {
        IpAddr::V4(a) if len == 4 => new[..4].copy_from_slice(&a.octets()),
        IpAddr::V6(a) if len == 16 => new.copy_from_slice(&a.octets()),
        _ => return false,
    }
    let (old, new) = (&old[..len], &new[..len]);
    if let Some(offset) = transport
        && !transport_manip(packet, offset, target, manip, check, (sum(old), sum(new)))
    {
        return false;
    }
    if family == Family::Ipv4 {
        // csum_replace4()
        let Some(old_check) = read16(packet, 10) else {
            return false;
        };
        let check = replace_sum(old_check, sum(old), sum(new));
        write16(packet, 10, check);
    }
    if let Some(field) = packet.get_mut(at..at + len) {
        field.copy_from_slice(new);
    }
    true
}

/// Mends a checksum after words with the sum `old` became such with the sum `new` (RFC 1624 eqn. 3).
fn replace_sum(check: u16, old: u32, new: u32) -> u16 {
    !fold(add(sub(u32::from(!check), old), new))
}

/// Mends the checksum at `at` after an address of the pseudo header changed.
fn pseudo_changed(packet: &mut [u8], at: usize, check: Check, (old, new): (u32, u32)) {
    let Some(field) = read16(packet, at) else {
        return;
    };
    let mended = match check {
        Check::Whole => replace_sum(field, old, new),
        Check::Partial => fold(add(sub(u32::from(field), old), new)),
    };
    write16(packet, at, mended);
}

/// Changes the word at `at` and mends the checksum at `check_at`, which covers it, unless the device will compute that.
fn word_changed(packet: &mut [u8], at: usize, new: u16, check_at: usize, check: Check) {
    let (Some(old), Some(field)) = (read16(packet, at), read16(packet, check_at)) else {
        return;
    };
    write16(packet, at, new);
    if check == Check::Whole {
        write16(packet, check_at, replace16(field, old, new));
    }
}

/// `l4proto_manip_pkt()`. `address`: sums of the old and the new address.
fn transport_manip(
    packet: &mut [u8],
    offset: usize,
    target: &Tuple,
    manip: NatManip,
    check: Check,
    address: (u32, u32),
) -> bool {
    let len = packet.len().saturating_sub(offset);
    let (port_at, port) = match manip {
        NatManip::Src => (offset, target.src_port),
        NatManip::Dst => (offset + 2, target.dst_port),
    };
    match target.protocol {
        IPPROTO_TCP => {
            if len < 8 {
                return false;
            }
            // What ICMP errors quote may end before the checksum.
            if len < 20 {
                write16(packet, port_at, port);
                return true;
            }
            pseudo_changed(packet, offset + 16, check, address);
            word_changed(packet, port_at, port, offset + 16, check);
        }
        IPPROTO_UDP => {
            if len < 8 {
                return false;
            }
            // Without a checksum it stays so.
            if check == Check::Whole && read16(packet, offset + 6) == Some(0) {
                write16(packet, port_at, port);
                return true;
            }
            pseudo_changed(packet, offset + 6, check, address);
            word_changed(packet, port_at, port, offset + 6, check);
            if read16(packet, offset + 6) == Some(0) {
                write16(packet, offset + 6, 0xffff);
            }
        }
        IPPROTO_ICMP => {
            let Some(&kind) = packet.get(offset).filter(|_| len >= 8) else {
                return false;
            };
            // Queries and their answers carry an id.
            if matches!(kind, 0 | 8 | 13..=18) {
                word_changed(packet, offset + 4, target.src_port, offset + 2, check);
            }
        }
        IPPROTO_ICMPV6 => {
            let Some(&kind) = packet.get(offset).filter(|_| len >= 8) else {
                return false;
            };
            pseudo_changed(packet, offset + 2, check, address);
            if matches!(kind, 128 | 129) {
                word_changed(packet, offset + 4, target.src_port, offset + 2, check);
            }
        }
        _ => {}
    }
    true
}
