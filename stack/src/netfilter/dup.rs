//! Copies of packets for other hosts (`dup to`; net/ipv4/netfilter/nf_dup_ipv4.c, net/ipv6/netfilter/nf_dup_ipv6.c).

use crate::drop_reason::DropReason;
use crate::fib::Route;
use crate::hook::{Family, Hook};
use crate::ipv4::{INET_DSCP_MASK, OutputFlow};
use crate::ipv6::OutputFlow6;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use std::net::IpAddr;

impl Stack {
    /// Sends the copies that a chain made. Their rules make no further ones.
    pub(crate) fn nf_dup_output(&mut self) {
        if self.duplicating || self.duplicates.is_empty() {
            return;
        }
        self.duplicating = true;
        for (copy, to, dev) in std::mem::take(&mut self.duplicates) {
            match self.nf_dup_route(&copy, to, dev) {
                Some(route) => self.nf_dup_local_out(copy, route, to),
                None => self.kfree_skb(copy, DropReason::IpOutNoRoutes),
            }
        }
        self.duplicating = false;
    }

    /// `nf_dup_ipv4_route()`, `nf_dup_ipv6_route()`: the way to the host, not to whom the packet is for.
    fn nf_dup_route(&self, copy: &SkBuff, to: IpAddr, dev: IfIndex) -> Option<Route> {
        let found = match to {
            IpAddr::V4(to) => self.ip_route_output_key(&OutputFlow {
                oif: dev,
                tos: copy.data().get(1)? & INET_DSCP_MASK,
                ..OutputFlow::to(to)
            }),
            IpAddr::V6(to) => {
                let found = self.ip6_route_output_key(&OutputFlow6 {
                    oif: dev,
                    ..OutputFlow6::to(to)
                });
                return found.ok().map(|(route, _)| route);
            }
        };
        found.ok().map(|(route, _)| route)
    }

    /// `ip_local_out()`, `ip6_local_out()`. IPv4: the device of a copy is known before its hooks, so the last one is told of it as that of input.
    fn nf_dup_local_out(&mut self, mut copy: SkBuff, mut route: Route, to: IpAddr) {
        // FLOWI_FLAG_KNOWN_NH
        route.gateway = route.gateway.or(Some(to));
        let oif = route.oif;
        copy.dev = oif;
        copy.dst = Some(route);
        if to.is_ipv6() {
            self.ip6_local_out(copy, usize::MAX);
            return;
        }
        self.trace(&copy, Stage::RouteOutput);
        let none = IfIndex::NONE;
        if self.nf_hook(Hook::LocalOut, Family::Ipv4, &mut copy, none, oif) {
            let indev = copy.dev;
            self.ip_output_from(copy, indev);
        }
    }
}
