//! From a transport protocol to the neighbour: `ip6_local_out()`, `ip6_output()`.

use super::IPV6_HLEN;
use super::header::Ipv6Header;
use crate::drop_reason::DropReason;
use crate::fib::Route;
use crate::gso::skb_gso_validate_network_len;
use crate::hook::{Family, Hook};
use crate::napi::ETH_P_IPV6;
use crate::ndp::is_ndisc;
use crate::skb::{GsoType, IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};

/// What the header of a locally made packet says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipv6Send {
    pub saddr: Ipv6Addr,
    pub daddr: Ipv6Addr,
    pub next_header: u8,
    pub traffic_class: u8,
    pub hop_limit: u8,
    pub route: Route,
    /// Longest packet that the path takes, in bytes.
    pub mtu: usize,
}

impl Stack {
    /// Puts the header in front of a transport packet and sends it. `false`: it did not get past the output hook.
    pub(crate) fn ip6_send_skb(&mut self, mut skb: SkBuff, send: Ipv6Send) -> bool {
        let payload_len = skb.len();
        skb.set_transport_header(0);
        let Some(header) = skb
            .push(IPV6_HLEN)
            .and_then(|h| h.first_chunk_mut::<IPV6_HLEN>())
        else {
            self.kfree_skb(skb, DropReason::NoMem);
            return false;
        };
        header[0] = 0x60 | send.traffic_class >> 4;
        header[1] = send.traffic_class << 4;
        header[2..4].fill(0);
        header[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        header[6] = send.next_header;
        header[7] = send.hop_limit;
        header[8..24].copy_from_slice(&send.saddr.octets());
        header[24..].copy_from_slice(&send.daddr.octets());
        skb.reset_network_header();
        skb.protocol = ETH_P_IPV6;
        skb.dst = Some(send.route);
        skb.dev = send.route.oif;
        self.ip6_local_out(skb, send.mtu)
    }

    /// `ip6_local_out()`: the output hook, which looks at the route again if it changed mark or addresses, and on.
    pub(crate) fn ip6_local_out(&mut self, mut skb: SkBuff, mtu: usize) -> bool {
        self.trace(&skb, Stage::RouteOutput);
        self.output_error = None;
        let oif = skb.dev;
        let passed = self.nf_hook(Hook::LocalOut, Family::Ipv6, &mut skb, IfIndex::NONE, oif);
        if passed {
            // A hook may have given it another route.
            let mtu = match skb.dst {
                Some(route) => mtu.min(self.dst_mtu_forward(&route)),
                None => mtu.min(self.mtu(skb.dev)),
            };
            return self.ip6_output(skb, mtu);
        }
        false
    }

    /// `ip6_output()`: the postrouting hook, then the MTU, then the neighbour. `false` when the hook dropped the packet.
    pub(super) fn ip6_output(&mut self, mut skb: SkBuff, mtu: usize) -> bool {
        let oif = skb.dev;
        let iif = match skb.iif {
            IfIndex::NONE if is_ndisc(&skb) => oif,
            iif => iif,
        };
        if !self.nf_hook(Hook::PostRouting, Family::Ipv6, &mut skb, iif, oif) {
            return false;
        }
        // What was put together here is not sent in longer pieces than it came in.
        let fits = match &skb.pieces {
            Some(pieces) => skb.len() <= mtu.min(pieces.max),
            None => skb.len() <= mtu || skb_gso_validate_network_len(&skb, mtu),
        };
        if fits {
            self.ip6_finish_output2(skb);
            return true;
        }
        if skb.gso.kind == GsoType::None {
            self.ip6_fragment(skb, mtu);
            return true;
        }
        // ip6_finish_output_gso_slowpath_drop(): the segments do not fit either.
        let mut segments = VecDeque::new();
        self.skb_gso_segment(skb, false, &mut segments);
        for segment in segments {
            self.ip6_fragment(segment, mtu);
        }
        true
    }

    pub(super) fn ip6_finish_output2(&mut self, skb: SkBuff) {
        let next = Ipv6Header::new(skb.data())
            .zip(skb.dst.as_ref())
            .map(|(header, route)| {
                let daddr = IpAddr::V6(header.daddr());
                route.nexthop(daddr)
            });
        match next {
            Some(nexthop) => self.neigh_output(skb, nexthop),
            None => self.kfree_skb(skb, DropReason::IpOutNoRoutes),
        }
    }
}
