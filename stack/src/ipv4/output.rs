//! From a transport protocol to the neighbour: `ip_local_out()`, `ip_output()`.

use super::IPV4_HLEN;
use super::header::{IP_DF, Ipv4Header, put16, send_check};
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::fib::{Route, RouteType};
use crate::gso::skb_gso_validate_network_len;
use crate::hook::{Family, Hook};
use crate::napi::ETH_P_IP;
use crate::skb::{GsoType, IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// What the header of a locally made packet says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipv4Send {
    pub saddr: Ipv4Addr,
    pub daddr: Ipv4Addr,
    pub protocol: u8,
    pub tos: u8,
    /// Set the don't-fragment bit.
    pub dont_fragment: bool,
    pub route: Route,
}

impl Stack {
    /// Puts the header in front of a transport packet and sends it. `false`: it did not get past the output hook.
    pub(crate) fn ip_send_skb(&mut self, skb: SkBuff, send: Ipv4Send) -> bool {
        let id = self.ip_select_ident();
        self.ip_send_skb_id(skb, send, id)
    }

    /// [`ip_send_skb`](Self::ip_send_skb) with a given identification: sockets count their own, and answers without a socket that must not be
    /// fragmented have none (RFC 6864 4.1).
    pub(crate) fn ip_send_skb_id(&mut self, skb: SkBuff, send: Ipv4Send, id: u16) -> bool {
        self.ip_send_skb_options(skb, send, id, &[])
    }

    /// The same with options, a multiple of 4 bytes and at most 40.
    pub(crate) fn ip_send_skb_options(
        &mut self,
        mut skb: SkBuff,
        send: Ipv4Send,
        id: u16,
        options: &[u8],
    ) -> bool {
        // __ip_make_skb(), ip_select_ttl(): what goes to a group stays on the link (IP_MULTICAST_TTL).
        let ttl = match send.route.hop_limit {
            _ if send.route.kind == RouteType::Multicast => 1,
            0 => self.config.default_ttl,
            ttl => ttl,
        };
        let header_len = IPV4_HLEN + options.len();
        let tot_len = skb.len() + header_len;
        skb.set_transport_header(0);
        let Some(header) = skb.push(header_len).filter(|h| h.len() >= IPV4_HLEN) else {
            self.kfree_skb(skb, DropReason::NoMem);
            return false;
        };
        // At most 60 / 4.
        header[0] = 0x40 | (header_len / 4) as u8;
        header[1] = send.tos;
        // Longer datagrams are refused before they are built.
        header[2..4].copy_from_slice(&(tot_len as u16).to_be_bytes());
        header[4..6].copy_from_slice(&id.to_be_bytes());
        header[6..8].copy_from_slice(&(if send.dont_fragment { IP_DF } else { 0 }).to_be_bytes());
        header[8] = ttl;
        header[9] = send.protocol;
        header[12..16].copy_from_slice(&send.saddr.octets());
        header[16..IPV4_HLEN].copy_from_slice(&send.daddr.octets());
        header[IPV4_HLEN..].copy_from_slice(options);
        send_check(header, header_len);
        skb.reset_network_header();
        skb.protocol = ETH_P_IP;
        skb.dst = Some(send.route);
        skb.dev = send.route.oif;
        self.ip_local_out(skb)
    }

    /// What a sender is told of a packet that a hook dropped.
    pub(crate) fn filtered(&mut self) -> StackError {
        self.output_error.take().unwrap_or(StackError::Filtered)
    }

    /// `ip_local_out()`: the output hook, which looks at the route again if it changed mark or addresses, and on.
    pub(crate) fn ip_local_out(&mut self, mut skb: SkBuff) -> bool {
        self.trace(&skb, Stage::RouteOutput);
        self.output_error = None;
        let oif = skb.dev;
        let passed = self.nf_hook(Hook::LocalOut, Family::Ipv4, &mut skb, IfIndex::NONE, oif);
        if passed {
            self.ip_mc_output(&skb);
            return self.ip_output(skb);
        }
        false
    }

    /// The first half of `ip_mc_output()`: what this host sends to everybody on a link, or to a group that it is in itself (224.0.0.1; no socket
    /// joins others), comes back to it through the device that it leaves through.
    fn ip_mc_output(&mut self, skb: &SkBuff) {
        const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
        let oif = skb.dev;
        let loops = match skb.dst.map(|route| route.kind) {
            Some(RouteType::Broadcast) => true,
            Some(RouteType::Multicast) => {
                Ipv4Header::new(skb.data()).is_some_and(|header| header.daddr() == ALL_HOSTS)
            }
            _ => false,
        };
        if !loops || oif == IfIndex::LO {
            return;
        }
        let mut copy = skb.skb_clone();
        copy.parent = skb.id;
        copy.id = self.new_packet_id();
        self.stats.built += 1;
        self.conntrack.hold(copy.nfct);
        if self.nf_hook(
            Hook::PostRouting,
            Family::Ipv4,
            &mut copy,
            IfIndex::NONE,
            oif,
        ) {
            self.dev_loopback_xmit(copy);
        }
    }

    /// `ip_output()`: the postrouting hook, then the MTU, then the neighbour. `false` when the hook dropped the packet.
    pub(crate) fn ip_output(&mut self, skb: SkBuff) -> bool {
        let iif = skb.iif;
        self.ip_output_from(skb, iif)
    }

    /// The same; `indev`: the device that the hook is told of as that of input.
    pub(crate) fn ip_output_from(&mut self, mut skb: SkBuff, indev: IfIndex) -> bool {
        let (iif, oif) = (skb.iif, skb.dev);
        if !self.nf_hook(Hook::PostRouting, Family::Ipv4, &mut skb, indev, oif) {
            return false;
        }
        let daddr = Ipv4Header::new(skb.data()).map(|h| IpAddr::V4(h.daddr()));
        let mtu = match (&skb.dst, daddr) {
            (Some(route), Some(daddr))
                if iif == IfIndex::NONE || self.config.ip_forward_use_pmtu =>
            {
                self.dst_mtu(route, daddr)
            }
            (Some(route), _) => self.dst_mtu_forward(route),
            (None, _) => self.mtu(oif),
        };
        if skb.pieces.is_none() && (skb.len() <= mtu || skb_gso_validate_network_len(&skb, mtu)) {
            self.ip_finish_output2(skb);
            return true;
        }
        if skb.gso.kind == GsoType::None {
            self.ip_fragment(skb, mtu);
            return true;
        }
        // ip_finish_output_gso(): the segments do not fit either.
        let mut segments = VecDeque::new();
        self.skb_gso_segment(skb, false, &mut segments);
        for segment in segments {
            self.ip_fragment(segment, mtu);
        }
        true
    }

    pub(super) fn ip_finish_output2(&mut self, skb: SkBuff) {
        let next = Ipv4Header::new(skb.data())
            .zip(skb.dst.as_ref())
            .map(|(header, route)| {
                let daddr = IpAddr::V4(header.daddr());
                route.nexthop(daddr)
            });
        match next {
            Some(nexthop) => self.neigh_output(skb, nexthop),
            None => self.kfree_skb(skb, DropReason::IpOutNoRoutes),
        }
    }

    /// `ip_select_ident()`: one counter for all destinations, from 0 on.
    pub(crate) fn ip_select_ident(&mut self) -> u16 {
        self.ip_id = self.ip_id.wrapping_add(1);
        self.ip_id
    }
}

/// Sets total length and fragment field, and the header checksum anew.
pub(super) fn rewrite_lengths(packet: &mut [u8], header_len: usize, tot_len: usize, frag_off: u16) {
    put16(packet, 2, tot_len as u16);
    put16(packet, 6, frag_off);
    send_check(packet, header_len);
}
