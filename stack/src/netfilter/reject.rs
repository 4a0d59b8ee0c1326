//! `reject`: the packet is dropped and its sender is told (`nf_reject_ipv4.c`, `nf_reject_ipv6.c`, `nft_reject_netdev.c`).
//!
//! At the IP hooks the answer is a packet of this host like any other: it is routed and passes LocalOut and PostRouting, with a reference to
//! the rejected packet's connection. At a device's ingress hook there is neither: the answer goes straight back to the link that the packet
//! came from.

use super::conntrack::{L4, addresses};
use super::hook::{Family, HookState, Verdict};
use crate::checksum::{self, add, fold};
use crate::fib::RouteType;
use crate::icmp::{DEST_UNREACH, ICMP_HLEN};
use crate::icmpv6;
use crate::ipv4::header::{IP_DF, put16, send_check};
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPV4_HLEN, Upper};
use crate::ipv6::{IPPROTO_ICMPV6, IPV6_HLEN, OutputFlow6};
use crate::napi::{ETH_P_IP, ETH_P_IPV6};
use crate::skb::{CsumState, IfIndex, NET_SKB_PAD, PktType, SkBuff};
use crate::stack::Stack;
use crate::tcp::header::{Segment, TCP_HLEN, flag};
use crate::trace::Stage;
use crate::xmit::ETH_HLEN;
use std::net::IpAddr;

/// What the sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Destination unreachable of the packet's family, with this code.
    Unreach(u8),
    /// A TCP reset; nothing when the packet is not TCP.
    TcpReset,
}

/// `NFT_REJECT_ICMPX_*` as codes of ICMP and ICMPv6: no route, port unreachable, host unreachable, administratively prohibited.
const ICMPX: [(u8, u8); 4] = [(0, 0), (3, 4), (1, 3), (13, 1)];

impl Reject {
    /// `nft_reject_icmp_code()`, `nft_reject_icmpv6_code()`: the code that `reject with icmpx` number `code` stands for. Unknown numbers are port
    /// unreachable.
    pub fn icmpx(code: u8, family: Family) -> Self {
        let (v4, v6) = ICMPX.get(usize::from(code)).copied().unwrap_or(ICMPX[1]);
        Self::Unreach(if family == Family::Ipv6 { v6 } else { v4 })
    }
}

/// Bytes of the rejected packet that an error quotes at a device's ingress.
const QUOTE_V4: usize = 536;
const QUOTE_V6: usize = 1220;

/// Family of the packet, which a device's hook does not say.
fn family_of(skb: &SkBuff, state: &HookState) -> Option<Family> {
    match (state.family, skb.protocol) {
        (Family::Netdev, ETH_P_IP) => Some(Family::Ipv4),
        (Family::Netdev, ETH_P_IPV6) => Some(Family::Ipv6),
        (Family::Netdev, _) => None,
        (family, _) => Some(family),
    }
}

/// `nf_reject_verify_csum()`, `nf_ip_checksum()`: nobody is told about packets that are not what they were. Checksums that are not of the
/// Internet kind, or optional and absent, say nothing.
fn checksum_ok(skb: &mut SkBuff, family: Family, l4: L4) -> bool {
    /// GRE, ESP, AH, DCCP, SCTP, UDP-Lite.
    const OTHER_CHECKSUMS: [u8; 6] = [47, 50, 51, 33, 132, 136];
    let absent =
        l4.protocol == IPPROTO_UDP && skb.data().get(l4.offset + 6..l4.offset + 8) == Some(&[0, 0]);
    if OTHER_CHECKSUMS.contains(&l4.protocol) || (absent && family == Family::Ipv4) {
        return true;
    }
    let Some((src, dst)) = addresses(skb.data(), family) else {
        return false;
    };
    let len = skb.len().saturating_sub(l4.offset);
    let pseudo = match l4.protocol {
        IPPROTO_TCP | IPPROTO_UDP | IPPROTO_ICMPV6 => {
            checksum::pseudo_header(src, dst, l4.protocol, len as u32)
        }
        _ => 0,
    };
    skb.skb_csum_unnecessary() || fold(add(skb.skb_checksum(l4.offset, len), pseudo)) == 0xffff
}

/// `nf_reject_ip_tcphdr_put()`: the reset that answers `segment`. As in Linux its checksum is left to the device over IPv4,
/// and there over IPv6.
fn reset_segment(segment: &Segment, src: IpAddr, dst: IpAddr) -> [u8; TCP_HLEN] {
    let mut bytes = [0u8; TCP_HLEN];
    bytes[..2].copy_from_slice(&segment.dport.to_be_bytes());
    bytes[2..4].copy_from_slice(&segment.sport.to_be_bytes());
    bytes[12] = (TCP_HLEN / 4 * 16) as u8;
    if segment.has(flag::ACK) {
        bytes[4..8].copy_from_slice(&segment.ack.0.to_be_bytes());
        bytes[13] = flag::RST;
    } else {
        bytes[8..12].copy_from_slice(&segment.end_seq().0.to_be_bytes());
        bytes[13] = flag::RST | flag::ACK;
    }
    let pseudo = checksum::pseudo_header(src, dst, IPPROTO_TCP, TCP_HLEN as u32);
    let check = match src {
        IpAddr::V4(_) => fold(pseudo),
        IpAddr::V6(_) => !fold(add(checksum::sum(&bytes), pseudo)),
    };
    bytes[16..18].copy_from_slice(&check.to_be_bytes());
    bytes
}

impl Stack {
    /// `nft_reject_eval()`: tells the sender of `skb` what `reject` says. Whoever calls this drops the packet.
    pub(crate) fn nf_reject(&mut self, skb: &mut SkBuff, state: &HookState, reject: Reject) {
        let Some(family) = family_of(skb, state) else {
            return;
        };
        let Some(l4) = L4::of(skb.data(), family) else {
            return; // a fragment other than the first, or cut off
        };
        if !checksum_ok(skb, family, l4) {
            return;
        }
        if state.family == Family::Netdev {
            return self.nf_reject_netdev(skb, family, l4, reject);
        }
        match (reject, family) {
            (Reject::TcpReset, _) => self.nf_send_reset(skb, state, l4),
            (Reject::Unreach(code), Family::Ipv4) => {
                // nf_reject_fill_skb_dst(): a packet that was not routed yet gets the way to its sender, so that nobody takes it for one to
                // this host.
                if let (None, Some((IpAddr::V4(sender), _))) =
                    (skb.dst, addresses(skb.data(), family))
                {
                    match self.ip_route_output(sender, None, IfIndex::NONE, Upper::default()) {
                        Ok((route, _)) => skb.dst = Some(route),
                        Err(_) => return,
                    }
                }
                self.icmp_send(skb, DEST_UNREACH, code, 0);
            }
            (Reject::Unreach(code), _) => {
                self.icmpv6_send(skb, icmpv6::DEST_UNREACH, code, 0);
            }
        }
    }

    /// The segment that a reset answers; none is sent about resets.
    fn segment_to_reset(skb: &SkBuff, l4: L4) -> Option<Segment> {
        if l4.protocol != IPPROTO_TCP {
            return None;
        }
        let mut segment = Segment::parse(skb.data().get(l4.offset..)?)?;
        // Payload in other buffers counts too.
        segment.len = skb.len().checked_sub(l4.offset + segment.header_len)?;
        (!segment.has(flag::RST)).then_some(segment)
    }

    /// `nf_send_reset()`, `nf_send_reset6()`.
    fn nf_send_reset(&mut self, skb: &SkBuff, state: &HookState, l4: L4) {
        let (Some((src, dst)), Some(segment)) = (
            addresses(skb.data(), state.family),
            Self::segment_to_reset(skb, l4),
        ) else {
            return;
        };
        let to_many = matches!(skb.dst, Some(r) if matches!(r.kind, RouteType::Broadcast | RouteType::Multicast));
        if to_many || src.is_multicast() || dst.is_multicast() || src.is_unspecified() {
            return;
        }
        let mark = match src {
            IpAddr::V4(_) => self.ip4_reply_mark(skb),
            IpAddr::V6(_) => self.ip6_reply_mark(skb),
        };
        let payload = reset_segment(&segment, dst, src);
        // nf_send_reset6() looks for the way before there is a reset.
        if let (IpAddr::V6(to), IpAddr::V6(from)) = (src, dst) {
            let flow = OutputFlow6 {
                saddr: Some(from),
                mark,
                protocol: IPPROTO_TCP,
                sport: segment.dport,
                dport: segment.sport,
                ..OutputFlow6::to(to)
            };
            if !to.is_unicast_link_local() && self.ip6_route_output_flow(&flow).is_err() {
                return;
            }
        }
        let Some(mut reset) = self.nf_reject_packet(skb, dst, src, IPPROTO_TCP, &payload) else {
            return;
        };
        // The way back begins where the packet came from.
        let back = HookState {
            oif: state.iif,
            ..*state
        };
        reset.mark = mark;
        self.trace(&reset, Stage::Send);
        if self.ip_route_me_harder(&mut reset, &back) != Verdict::Accept {
            return self.kfree_skb(reset, crate::DropReason::NotSpecified);
        }
        if let (IpAddr::V6(_), Some(route)) = (src, reset.dst) {
            let hop_limit = self.ip6_dst_hoplimit(&route);
            if let Some(field) = reset.data_mut().get_mut(7) {
                *field = hop_limit;
            }
        }
        reset.nfct = self.conntrack.attach(skb.nfct);
        if let Some(nfct) = skb.nfct {
            self.conntrack.tcp_set_closing(nfct.id, state.now);
        }
        match src {
            IpAddr::V4(_) => self.ip_local_out(reset),
            IpAddr::V6(_) => {
                let mtu = self.mtu(reset.dev);
                self.ip6_local_out(reset, mtu)
            }
        };
    }

    /// `nf_reject_iphdr_put()`, `nf_reject_ip6hdr_put()`: a packet from `src` to `dst`, data at the IP header, without a route.
    fn nf_reject_packet(
        &mut self,
        about: &SkBuff,
        src: IpAddr,
        dst: IpAddr,
        protocol: u8,
        payload: &[u8],
    ) -> Option<SkBuff> {
        let ttl = match src {
            IpAddr::V4(_) => self.config.default_ttl,
            // The way there may say another one.
            IpAddr::V6(_) => self.ipv6_conf.all.hop_limit.clamp(1, 255) as u8,
        };
        let mut skb = SkBuff::alloc_heap(NET_SKB_PAD + ETH_HLEN + IPV6_HLEN, payload.len());
        skb.put_slice(payload)?;
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let tot_len = (IPV4_HLEN + payload.len()) as u16;
                let header = skb.push(IPV4_HLEN)?;
                header.fill(0);
                header[0] = 0x45;
                put16(header, 2, tot_len);
                put16(header, 6, IP_DF);
                header[8..10].copy_from_slice(&[ttl, protocol]);
                header[12..16].copy_from_slice(&src.octets());
                header[16..20].copy_from_slice(&dst.octets());
                send_check(header, IPV4_HLEN);
                skb.protocol = ETH_P_IP;
                skb.set_transport_header(IPV4_HLEN);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = skb.push(IPV6_HLEN)?;
                header.fill(0);
                header[0] = 0x60;
                put16(header, 4, payload.len() as u16);
                header[6..8].copy_from_slice(&[protocol, ttl]);
                header[8..24].copy_from_slice(&src.octets());
                header[24..40].copy_from_slice(&dst.octets());
                skb.protocol = ETH_P_IPV6;
                skb.set_transport_header(IPV6_HLEN);
            }
            _ => return None,
        }
        skb.reset_network_header();
        let mut skb = self.adopt(skb, about.dev);
        if protocol == IPPROTO_TCP && src.is_ipv4() {
            // Where it will be, with an Ethernet header in front.
            skb.csum = CsumState::Partial {
                start: (ETH_HLEN + IPV4_HLEN) as u16,
                offset: 16,
            };
        }
        skb.parent = about.id;
        Some(skb)
    }

    /// `nft_reject_netdev_eval()`: back to the Ethernet address that the frame came from, past all IP hooks.
    fn nf_reject_netdev(&mut self, skb: &SkBuff, family: Family, l4: L4, reject: Reject) {
        if skb.pkt_type == PktType::Broadcast || skb.pkt_type == PktType::Multicast {
            return;
        }
        let Some((src, dst)) = addresses(skb.data(), family) else {
            return;
        };
        let answer = match reject {
            Reject::TcpReset => Self::segment_to_reset(skb, l4).and_then(|segment| {
                let payload = reset_segment(&segment, dst, src);
                self.nf_reject_packet(skb, dst, src, IPPROTO_TCP, &payload)
            }),
            Reject::Unreach(code) => {
                let payload = unreach_message(skb, family, code, dst, src);
                let protocol = match family {
                    Family::Ipv6 => IPPROTO_ICMPV6,
                    _ => IPPROTO_ICMP,
                };
                self.nf_reject_packet(skb, dst, src, protocol, &payload)
            }
        };
        let Some(mut answer) = answer else { return };
        self.trace(&answer, Stage::Send);
        let mac = skb.mac_bytes().get(..6).zip(skb.mac_bytes().get(6..12));
        let (Some((asked, asker)), Some(header)) = (mac, answer.push(ETH_HLEN)) else {
            return self.kfree_skb(answer, crate::DropReason::DevHdr);
        };
        // nft_reject_queue_xmit(): from the address that was asked, which need not be the device's.
        header[..6].copy_from_slice(asker);
        header[6..12].copy_from_slice(asked);
        put16(header, 12, skb.protocol);
        answer.reset_mac_header();
        answer.iif = IfIndex::NONE;
        self.dev_queue_xmit(answer);
    }
}

/// `nf_reject_skb_v4_unreach()`, `nf_reject_skb_v6_unreach()`: the ICMP message, from `src` to `dst`.
fn unreach_message(skb: &SkBuff, family: Family, code: u8, src: IpAddr, dst: IpAddr) -> Vec<u8> {
    let (kind, quote) = match family {
        Family::Ipv6 => (icmpv6::DEST_UNREACH, QUOTE_V6),
        _ => (DEST_UNREACH, QUOTE_V4),
    };
    let quote = quote.min(skb.len());
    let mut message = vec![0; ICMP_HLEN + quote];
    message[0] = kind;
    message[1] = code;
    // The length is within the packet.
    let _ = skb.skb_copy_bits(0, &mut message[ICMP_HLEN..]);
    let pseudo = match family {
        Family::Ipv6 => checksum::pseudo_header(src, dst, IPPROTO_ICMPV6, message.len() as u32),
        _ => 0,
    };
    let check = !fold(add(checksum::sum(&message), pseudo));
    put16(&mut message, 2, check);
    message
}
