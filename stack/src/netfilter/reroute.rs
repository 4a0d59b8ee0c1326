//! `ip_route_me_harder()`, `ip6_route_me_harder()`: another look at the route of a packet that OUTPUT changed.

use super::hook::{Family, HookState, Verdict};
use crate::ipv4::header::Ipv4Header;
use crate::ipv6::header::Ipv6Header;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use std::net::IpAddr;

/// What a route depends on, as far as a hook can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowKey {
    addresses: Option<(IpAddr, IpAddr)>,
    tos: u8,
    mark: u32,
}

impl FlowKey {
    pub fn of(skb: &SkBuff, family: Family) -> Self {
        let mut key = Self {
            addresses: None,
            tos: 0,
            mark: skb.mark,
        };
        match family {
            Family::Ipv4 => {
                if let Some(header) = Ipv4Header::new(skb.data()) {
                    key.addresses = Some((header.saddr().into(), header.daddr().into()));
                    key.tos = header.tos();
                }
            }
            Family::Ipv6 => {
                if let Some(header) = Ipv6Header::new(skb.data()) {
                    key.addresses = Some((header.saddr().into(), header.daddr().into()));
                    key.tos = header.traffic_class();
                }
            }
            Family::Netdev => {}
        }
        key
    }
}

impl Stack {
    /// What a chain of type route does after its rules: if they changed what the route depends on, it is looked up again
    /// (`nf_route_table_hook4()`). The hooks that follow still see the old output device.
    pub(super) fn nf_reroute(
        &mut self,
        skb: &mut SkBuff,
        state: &HookState,
        before: FlowKey,
    ) -> Verdict {
        let now = FlowKey::of(skb, state.family);
        match now.addresses {
            Some(_) if now != before => self.ip_route_me_harder(skb, state),
            _ => Verdict::Accept,
        }
    }

    /// `ip_route_me_harder()`, `ip6_route_me_harder()`.
    pub(crate) fn ip_route_me_harder(&mut self, skb: &mut SkBuff, state: &HookState) -> Verdict {
        let found = match state.family {
            Family::Ipv4 => self.ip_route_me_harder_v4(skb),
            Family::Ipv6 => self.ip6_route_me_harder(skb, state.oif.unwrap_or(IfIndex::NONE)),
            Family::Netdev => return Verdict::Accept,
        };
        let route = match found {
            Ok(route) => route,
            Err(error) => {
                self.output_error = Some(error);
                return Verdict::Drop;
            }
        };
        skb.dst = Some(route);
        skb.dev = route.oif;
        self.trace(skb, Stage::RouteOutput);
        Verdict::Accept
    }
}
