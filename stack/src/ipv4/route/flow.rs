//! What a lookup needs to know of a packet.

use crate::fib::{FibResult, FlowKey, FlowKeys, Nexthop, Policy, Scope};
use crate::ipv4::header::Ipv4Header;
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use std::net::{IpAddr, Ipv4Addr};

/// The TOS without its two ECN bits (`INET_DSCP_MASK`).
pub(crate) const INET_DSCP_MASK: u8 = 0xfc;
/// SCTP has its ports where TCP and UDP have them.
const IPPROTO_SCTP: u8 = 132;

/// Source and destination port of a packet at its IPv4 header; 0 without.
fn ports(packet: &[u8], header: &Ipv4Header<'_>) -> (u16, u16) {
    let transport = matches!(header.protocol(), IPPROTO_TCP | IPPROTO_UDP | IPPROTO_SCTP);
    let ports = packet
        .get(header.header_len()..)
        .and_then(|rest| rest.first_chunk::<4>())
        // skb_flow_dissect_flow_keys(): fragments have none, the first one neither.
        .filter(|_| transport && !header.is_fragment());
    ports.map_or((0, 0), |p| {
        let port = |at| u16::from_be_bytes([p[at], p[at + 1]]);
        (port(0), port(2))
    })
}

impl Stack {
    /// Whether lookups need protocol and ports, for a rule.
    fn needs_transport(&self) -> bool {
        self.fib.v4.rules.needs_transport()
    }

    /// The key of a packet with its IPv4 header at the data; `iif`: device that it came in through, `lo` if made here.
    pub(crate) fn flow_of_skb(&self, skb: &SkBuff, iif: IfIndex) -> Option<FlowKey<u32>> {
        let header = Ipv4Header::new(skb.data())?;
        let mut flow = FlowKey {
            dst: header.daddr().to_bits(),
            src: header.saddr().to_bits(),
            iif,
            mark: skb.mark,
            tos: header.tos() & INET_DSCP_MASK,
            ..FlowKey::default()
        };
        if self.needs_transport() {
            flow.protocol = header.protocol();
            (flow.sport, flow.dport) = ports(skb.data(), &header);
        }
        Some(flow)
    }

    /// `fib_multipath_hash()` of a packet, from its IP header on.
    pub(crate) fn fib_multipath_hash(&self, packet: &[u8]) -> u32 {
        Policy::of(&self.config, true).of_packet(packet, icmp_about(packet))
    }

    /// `fib_select_path()`: one of several ways by the flow's hash; with a device asked for, the lookup chose. `hash`: of the packet that
    /// is to be sent on, or answered; `None`: by what the flow says.
    pub(super) fn fib_select_path(
        &self,
        found: &mut FibResult,
        flow: &FlowKey<u32>,
        hash: impl FnOnce(&Self) -> Option<u32>,
    ) {
        let info = self.fib.v4.info(found.info);
        if info.nexthops.len() < 2 || flow.oif != IfIndex::NONE {
            return;
        }
        let source = Ipv4Addr::from_bits(flow.src);
        let hash = hash(self).unwrap_or_else(|| {
            Policy::of(&self.config, true).of_flow(&FlowKeys {
                ports: (flow.sport, flow.dport),
                protocol: flow.protocol,
                ..FlowKeys::new(source.into(), Ipv4Addr::from_bits(flow.dst).into())
            })
        });
        // Who came in from outside has no source here.
        let own = flow.iif == IfIndex::LO && flow.src != 0;
        let good = |n: &Nexthop| !self.config.fib_multipath_use_neigh || self.fib_good_nh(n);
        found.nexthop = info.select_path(hash, good, |n| {
            own && self.nexthop_source(n, info.scope) == Some(source)
        });
    }

    /// `fib_good_nh()`: the gateway is not known to be silent.
    fn fib_good_nh(&self, nexthop: &Nexthop) -> bool {
        let known = |gateway| {
            let mut all = self.neighbours();
            all.find(|n| (n.dev, n.address) == (nexthop.oif, gateway))
        };
        let known = nexthop.gateway.and_then(known);
        known.is_none_or(|neighbour| neighbour.state.is_valid())
    }

    /// `fib_info_update_nhc_saddr()`: the source that a way stands for.
    fn nexthop_source(&self, nexthop: &Nexthop, scope: Scope) -> Option<Ipv4Addr> {
        let near = match nexthop.gateway {
            Some(IpAddr::V4(gateway)) => gateway,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        self.inet_select_addr(nexthop.oif, near, scope)
    }

    /// `fib_result_prefsrc()`: the source of packets over a route that names none.
    pub(super) fn fib_result_prefsrc(&self, found: &FibResult) -> Option<Ipv4Addr> {
        let info = self.fib.v4.info(found.info);
        if let Some(IpAddr::V4(source)) = info.prefsrc {
            return Some(source);
        }
        self.nexthop_source(info.nexthops.get(found.nexthop)?, info.scope)
    }
}

/// Addresses of the packet that an ICMP error is about (`ip_multipath_l3_keys()`).
fn icmp_about(packet: &[u8]) -> Option<FlowKeys> {
    let header = Ipv4Header::new(packet)?;
    if header.protocol() != IPPROTO_ICMP || header.offset() != 0 {
        return None;
    }
    let message = packet.get(header.header_len()..)?;
    // Destination unreachable, redirect, time exceeded, parameter problem.
    if !matches!(message.first()?, 3 | 5 | 11 | 12) {
        return None;
    }
    let inner = Ipv4Header::new(message.get(8..)?)?;
    Some(FlowKeys::new(inner.saddr().into(), inner.daddr().into()))
}
