//! Fields of the packet and about it (`nft_payload.c`, `nft_meta.c`, `nft_exthdr.c`, `nft_fib.c`).

use super::Run;
use crate::hook::{Family, Hook};
use crate::ipv6::IPV6_HLEN;
use crate::ndp::is_ndisc;
use crate::netfilter::nft::datatype::{bytes_value, string_bits};
use crate::netfilter::nft::expr::{ExtField, ExtKind, Exthdr, FibFlags, FibResult, MetaKey};
use crate::netfilter::nft::program::Load;
use crate::netfilter::nft::proto::Base;
use crate::skb::{IfIndex, PktType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Bytes that a field can stretch over: 128 bits that do not start at a byte.
const SPAN: usize = 17;

/// Where a header starts, in bytes from the network header.
type Position = isize;

impl Run<'_> {
    #[inline]
    pub(super) fn load(&mut self, load: Load) -> Option<u128> {
        match load {
            Load::Payload { base, offset, len } => self.payload(base, offset, len),
            Load::Meta(key) => self.meta(key),
            Load::Ct(key, dir) => self.host.ct_get(self.skb, key, dir),
            Load::Exthdr(e) => self.exthdr(e),
            Load::Fib(flags, result) => self.fib(flags, result),
            Load::Rt(key) => self.host.rt(self.skb, self.state, key),
            // nft_xfrm_get_eval(): no security path, no route with one.
            Load::Ipsec => None,
        }
    }

    /// Start of what offsets of `base` count from; `None` when there is no such header.
    pub(super) fn position(&self, base: Base) -> Option<Position> {
        let transport = || {
            (self.packet.l4proto.is_some() && !self.packet.later_fragment)
                .then_some(self.packet.thoff as isize)
        };
        match base {
            Base::Network => Some(0),
            Base::Transport => transport(),
            Base::Link => {
                // Packets of this host have no Ethernet header before the device.
                let at_device = matches!(
                    self.state.hook,
                    Hook::NetdevIngress | Hook::NetdevEgress | Hook::TcIngress | Hook::TcEgress
                );
                let offset = self.skb.mac_offset() - self.skb.network_offset();
                ((at_device || self.skb.iif != IfIndex::NONE) && offset <= -14).then_some(offset)
            }
            // nft_payload_inner_offset()
            Base::Inner => {
                let start = transport()?;
                let len = match self.packet.l4proto? {
                    6 => (self.bytes_value(start + 12, 1)? as isize >> 4) * 4,
                    17 | 33 | 136 => 8,
                    47 => 4,
                    _ => return None,
                };
                Some(start + len)
            }
        }
    }

    /// Up to 17 bytes from `at` bytes behind (before, when negative) the network header, as a number.
    fn bytes_value(&self, at: isize, len: usize) -> Option<u128> {
        let mut span = [0; SPAN];
        self.copy(at, span.get_mut(..len)?)?;
        Some(bytes_value(span.get(..len)?))
    }

    /// Bytes of the packet, wherever they are.
    pub(super) fn copy(&self, at: isize, to: &mut [u8]) -> Option<()> {
        if let Ok(at) = usize::try_from(at)
            && let Some(linear) = self.skb.network_bytes().get(at..at + to.len())
        {
            to.copy_from_slice(linear);
            return Some(());
        }
        let from_data = at + self.skb.network_offset();
        match usize::try_from(from_data) {
            Ok(offset) => self.skb.skb_copy_bits(offset, to),
            Err(_) => {
                let mac = at + self.skb.network_offset() - self.skb.mac_offset();
                let mac = usize::try_from(mac).ok()?;
                let bytes = self.skb.mac_bytes().get(mac..mac + to.len())?;
                to.copy_from_slice(bytes);
                Some(())
            }
        }
    }

    #[inline]
    fn payload(&mut self, base: Base, offset: u16, len: u16) -> Option<u128> {
        let (offset, len) = (usize::from(offset), usize::from(len));
        let (first, skip) = (offset / 8, offset % 8);
        let position = match base {
            Base::Network => 0,
            Base::Link => return self.link(offset, len),
            Base::Transport => {
                let bytes = (skip + len).div_ceil(8);
                if !self.packet.has_transport(first, bytes) {
                    return None;
                }
                self.packet.thoff as isize
            }
            base => self.position(base)?,
        };
        // Whole bytes in the linear part are what nearly every rule reads.
        if skip == 0 && position >= 0 {
            let at = position as usize + first;
            let bytes = self.skb.network_bytes();
            let found = match len {
                8 => bytes.get(at).map(|b| u128::from(*b)),
                16 => chunk(bytes, at).map(|b| u16::from_be_bytes(b).into()),
                32 => chunk(bytes, at).map(|b| u32::from_be_bytes(b).into()),
                128 => chunk(bytes, at).map(u128::from_be_bytes),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        let mut span = [0; SPAN];
        let span = span.get_mut(..(skip + len).div_ceil(8))?;
        self.copy(position + first as isize, span)?;
        Some(bits(span, skip, len))
    }

    /// The Ethernet header, with the VLAN tag in it that the device took out (`nft_payload_copy_vlan()`).
    fn link(&mut self, offset: usize, len: usize) -> Option<u128> {
        let position = self.position(Base::Link)?;
        let Some(vlan) = self.skb.vlan else {
            let (first, skip) = (offset / 8, offset % 8);
            let mut span = [0; SPAN];
            let span = span.get_mut(..(skip + len).div_ceil(8))?;
            self.copy(position + first as isize, span)?;
            return Some(bits(span, skip, len));
        };
        let mut header = [0; 18];
        self.copy(position, &mut header[..12])?;
        header[12..14].copy_from_slice(&vlan.proto.to_be_bytes());
        header[14..16].copy_from_slice(&vlan.tci.to_be_bytes());
        self.copy(position + 12, &mut header[16..18])?;
        let (first, skip) = (offset / 8, offset % 8);
        let span = header.get(first..first + (skip + len).div_ceil(8))?;
        Some(bits(span, skip, len))
    }

    /// `nft_meta_get_eval()`
    #[inline]
    fn meta(&mut self, key: MetaKey) -> Option<u128> {
        match key {
            MetaKey::L4Proto => self.packet.l4proto.map(u128::from),
            MetaKey::NfProto => Some(match self.state.family {
                Family::Ipv4 => 2,
                Family::Ipv6 => 10,
                Family::Netdev => 5,
            }),
            MetaKey::Mark => Some(self.skb.mark.into()),
            key => self.meta_seldom(key),
        }
    }

    fn meta_seldom(&mut self, key: MetaKey) -> Option<u128> {
        let (iif, oif) = (self.state.iif, self.state.oif);
        Some(match key {
            MetaKey::L4Proto | MetaKey::NfProto | MetaKey::Mark => return self.meta(key),
            MetaKey::Length => self.skb.len() as u128,
            MetaKey::Protocol => self.skb.protocol.into(),
            MetaKey::Priority => self.skb.priority.into(),
            // No device is 0, and no name.
            MetaKey::Iif => iif.map_or(0, |d| d.0).into(),
            MetaKey::Oif => oif.map_or(0, |d| d.0).into(),
            MetaKey::IifName => self.device_name(iif),
            MetaKey::OifName => self.device_name(oif),
            MetaKey::IifType => self.host.device_type(self.skb_dev()?).into(),
            MetaKey::OifType => self.host.device_type(oif?).into(),
            MetaKey::IifGroup => self.host.device_group(iif?).into(),
            MetaKey::OifGroup => self.host.device_group(oif?).into(),
            MetaKey::SkUid => self.host.socket_owner(self.skb)?.0.into(),
            MetaKey::SkGid => self.host.socket_owner(self.skb)?.1.into(),
            MetaKey::NfTrace => self.skb.nf_trace.into(),
            MetaKey::RtClassId => self.skb.dst?.realms.into(),
            MetaKey::PktType => return self.pkt_type(),
            MetaKey::Cpu => 0,
            MetaKey::Cgroup => {
                self.host.socket_owner(self.skb)?;
                0
            }
            // No packet was transformed.
            MetaKey::Ipsec => 0,
            // No device is enslaved to one of layer 3.
            MetaKey::Sdif | MetaKey::SdifName => 0,
            MetaKey::IifKind => string_bits(self.host.device_kind(iif?)?),
            MetaKey::OifKind => string_bits(self.host.device_kind(oif?)?),
            MetaKey::Random => self.host.random().into(),
            MetaKey::Time => u128::from(self.realtime()),
            // 1970 began with a Thursday.
            MetaKey::Day => u128::from((self.realtime() / NSEC_PER_SEC / 86_400 + 4) % 7),
            MetaKey::Hour => u128::from(self.realtime() / NSEC_PER_SEC % 86_400),
        })
    }

    /// Nanoseconds since 1970.
    fn realtime(&self) -> u64 {
        self.host.realtime(self.state.now)
    }

    /// `skb->dev`, which `iiftype` asks and no other key: where the packet came in, and once its way out is set (behind OUTPUT) where it goes
    /// out. What is made here has none before that, but for neighbour discovery.
    fn skb_dev(&self) -> Option<IfIndex> {
        match self.state.hook {
            Hook::PostRouting | Hook::NetdevEgress | Hook::TcEgress => self.state.oif,
            Hook::LocalOut if is_ndisc(self.skb) => self.state.oif,
            _ => self.state.iif,
        }
    }

    fn device_name(&self, dev: Option<IfIndex>) -> u128 {
        dev.and_then(|d| self.host.device_name(d))
            .map_or(0, string_bits)
    }

    /// `nft_meta_get_eval_pkttype_lo()`: what is made here is told apart by its destination.
    fn pkt_type(&self) -> Option<u128> {
        let value = |t| match t {
            PktType::Host => 0,
            PktType::Broadcast => 1,
            PktType::Multicast => 2,
            PktType::OtherHost => 3,
            PktType::Outgoing => 4,
        };
        if self.skb.pkt_type != PktType::Outgoing {
            return Some(value(self.skb.pkt_type));
        }
        if self.state.oif.is_none() && self.state.iif.is_none() {
            return Some(value(self.skb.pkt_type));
        }
        Some(match (self.state.family, self.address(true)?) {
            (Family::Ipv4, IpAddr::V4(a)) if a.is_broadcast() => 1,
            (Family::Ipv4 | Family::Ipv6, a) if a.is_multicast() => 2,
            (Family::Ipv4, _) => 1,
            (Family::Ipv6, _) => 0,
            (Family::Netdev, _) => value(self.skb.pkt_type),
        })
    }

    /// Source or destination address of the packet.
    fn address(&self, destination: bool) -> Option<IpAddr> {
        let v6 = match self.state.family {
            Family::Ipv4 => false,
            Family::Ipv6 => true,
            Family::Netdev => match self.skb.protocol {
                0x0800 => false,
                0x86dd => true,
                _ => return None,
            },
        };
        let bytes = self.skb.network_bytes();
        Some(if v6 {
            let at = if destination { 24 } else { 8 };
            Ipv6Addr::from(chunk::<16>(bytes, at)?).into()
        } else {
            let at = if destination { 16 } else { 12 };
            Ipv4Addr::from(chunk::<4>(bytes, at)?).into()
        })
    }

    /// `nft_fib4_eval()`, `nft_fib6_eval()`
    fn fib(&mut self, flags: FibFlags, result: FibResult) -> Option<u128> {
        let address = self.address(flags.daddr)?;
        self.host.fib(self.skb, self.state, address, flags, result)
    }

    /// `nft_exthdr_ipv6_eval()`, `nft_exthdr_ipv4_eval()`, `nft_exthdr_tcp_eval()`
    fn exthdr(&mut self, e: Exthdr) -> Option<u128> {
        let found = match e.kind {
            ExtKind::Ip6(number) => self.ip6_header(number),
            ExtKind::Ip4Option(number) => self.ip_option(number),
            ExtKind::TcpOption(number) => self.tcp_option(number).map(|(at, _)| at),
            ExtKind::SctpChunk(kind) => return self.sctp_chunk(kind, e.field),
        };
        let Some(field) = e.field else {
            return Some(found.is_some().into());
        };
        let offset = usize::from(field.offset);
        let len = field.dtype.bits() as usize;
        let (first, skip) = (offset / 8, offset % 8);
        let mut span = [0; SPAN];
        let span = span.get_mut(..(skip + len).div_ceil(8))?;
        self.copy(found? as isize + first as isize, span)?;
        Some(bits(span, skip, len))
    }

    /// `ipv6_find_hdr()`: where the extension header starts.
    fn ip6_header(&self, wanted: u8) -> Option<usize> {
        if self.state.family == Family::Ipv4 {
            return None;
        }
        let bytes = self.skb.network_bytes();
        let mut next = *bytes.get(6)?;
        let mut at = IPV6_HLEN;
        loop {
            let [following, len] = match next {
                0 | 43 | 44 | 51 | 60 => chunk(bytes, at)?,
                // What is no extension header (mobility is none here) ends the chain, wherever that is.
                _ => return (next == wanted).then_some(at),
            };
            let len = usize::from(len);
            let len = match next {
                44 => {
                    // Behind a later fragment's header is no other.
                    let field = u16::from_be_bytes(chunk(bytes, at + 2)?);
                    if field & !7 != 0 && wanted != 44 {
                        return None;
                    }
                    8
                }
                51 => (len + 2) * 4,
                _ => (len + 1) * 8,
            };
            if next == wanted {
                return Some(at);
            }
            next = following;
            at += len;
        }
    }

    /// `nft_exthdr_sctp_eval()`: a field of the first chunk of this type, or whether there is one.
    fn sctp_chunk(&self, kind: u8, field: Option<ExtField>) -> Option<u128> {
        // The common header.
        let mut at = self.packet.thoff + 12;
        let end = self.skb.len() - self.skb.network_offset().max(0) as usize;
        let sctp = self.packet.l4proto == Some(132) && !self.packet.later_fragment;
        let found = loop {
            let mut header = [0; 4];
            if !sctp || at >= end || self.copy(at as isize, &mut header).is_none() {
                break None;
            }
            let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
            if len == 0 {
                break None;
            }
            if header[0] == kind {
                break Some(len);
            }
            at += len.next_multiple_of(4);
        };
        let Some(field) = field else {
            return Some(found.is_some().into());
        };
        let (offset, len) = (usize::from(field.offset), field.dtype.bits() as usize);
        let (first, bytes) = (offset / 8, len.div_ceil(8));
        let whole = found?;
        if first + bytes > whole || at + whole > end {
            return None;
        }
        let mut span = [0; SPAN];
        let span = span.get_mut(..bytes)?;
        self.copy((at + first) as isize, span)?;
        Some(bits(span, 0, len))
    }

    fn ip_option(&self, wanted: u8) -> Option<usize> {
        let bytes = self.skb.network_bytes();
        let end = usize::from(bytes.first()? & 0x0f) * 4;
        find_option(bytes, 20, end, wanted).map(|(at, _)| at)
    }

    /// Position of a TCP option from the network header, and its length.
    pub(super) fn tcp_option(&self, wanted: u8) -> Option<(usize, usize)> {
        if self.packet.l4proto != Some(6) || self.packet.later_fragment {
            return None;
        }
        let bytes = self.skb.network_bytes();
        let start = self.packet.thoff;
        let end = start + usize::from(bytes.get(start + 12)? >> 4) * 4;
        // nft_tcp_header_pointer(): all of the header, or nothing of it.
        find_option(bytes.get(..end)?, start + 20, end, wanted)
    }
}

/// Looks for an option among those between `at` and `end`; where, and how long.
fn find_option(bytes: &[u8], mut at: usize, end: usize, wanted: u8) -> Option<(usize, usize)> {
    while at < end {
        let kind = *bytes.get(at)?;
        // End and no-operation are one byte.
        let len = match kind {
            0 | 1 => 1,
            _ => usize::from(*bytes.get(at + 1)?),
        };
        if len == 0 || at + len > end || (kind > 1 && len < 2) {
            return None;
        }
        if kind == wanted {
            return Some((at, len));
        }
        if kind == 0 {
            return None;
        }
        at += len;
    }
    None
}

#[inline]
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// `len` bits of `span` behind the first `skip`. They fit into 128 bits.
pub(super) fn bits(span: &[u8], skip: usize, len: usize) -> u128 {
    let mut value = 0u128;
    let mut done = 0;
    for (i, byte) in span.iter().enumerate() {
        let (mut byte, mut n) = (u128::from(*byte), 8);
        if i == 0 {
            byte &= 0xff >> skip;
            n -= skip;
        }
        // The last byte may have bits that do not belong to the field.
        let take = n.min(len - done);
        value = value << take | byte >> (n - take);
        done += take;
        if done == len {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_bytes() {
        assert_eq!(bits(&[0x45], 0, 4), 4);
        assert_eq!(bits(&[0x45], 4, 4), 5);
        assert_eq!(bits(&[0x12, 0x34], 4, 12), 0x234);
        assert_eq!(bits(&[0x12, 0x34, 0x56], 6, 6), 0b10_0011 & 0x3f);
        assert_eq!(bits(&[0xff; 16], 0, 128), u128::MAX);
    }

    #[test]
    fn options_do_not_run_away() {
        assert_eq!(find_option(&[1, 1, 2, 4, 5, 6], 0, 6, 2), Some((2, 4)));
        assert_eq!(find_option(&[1, 2, 0, 4], 0, 4, 4), None);
        assert_eq!(find_option(&[2, 9, 0, 4], 0, 4, 2), None);
        assert_eq!(find_option(&[0, 2, 2], 0, 3, 2), None);
    }
}
