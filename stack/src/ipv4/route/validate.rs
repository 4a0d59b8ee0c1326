//! `fib_validate_source()`: could the packet's source really have sent it from there?

use super::input::NoRoute;
use crate::drop_reason::DropReason;
use crate::fib::{FlowKey, RouteType};
use crate::skb::IfIndex;
use crate::stack::Stack;

/// What the way back to a source says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    /// It is on the link of the device.
    pub direct: bool,
    /// Its realm in the high 16 bits, in the low ones that of the rule for what goes there (`fib_combine_itag()`).
    pub realms: u32,
}

impl Stack {
    /// Own addresses do not come from outside; with `rp_filter` the way back is looked at. `daddr`: 0 for broadcasts; `oif`: device that a
    /// packet to be sent on leaves through.
    pub(super) fn fib_validate_source(
        &self,
        flow: &FlowKey<u32>,
        daddr: u32,
        oif: IfIndex,
    ) -> Result<Source, NoRoute> {
        let dev = flow.iif;
        // Packets over lo keep the route with which they were sent.
        if dev == IfIndex::LO {
            return Ok(Source::default());
        }
        let rp_filter = self.ipv4_conf.max(dev, |c| c.rp_filter);
        let accept_local = self.ipv4_conf.or(dev, |c| c.accept_local);
        let may_redirect = oif == dev && self.ipv4_conf.or(dev, |c| c.send_redirects);
        let simple = rp_filter == 0 && !may_redirect && !self.fib.v4.realms;
        if simple && (accept_local || !self.fib.v4.rules.is_custom()) {
            if !accept_local && self.fib.v4.addr_type(flow.src) == RouteType::Local {
                return Err(DropReason::IpLocalSource.into());
            }
            return Ok(Source::default());
        }
        self.validate_by_lookup(flow, daddr, oif, rp_filter, accept_local)
    }

    /// `__fib_validate_source()`.
    fn validate_by_lookup(
        &self,
        flow: &FlowKey<u32>,
        daddr: u32,
        oif: IfIndex,
        rp_filter: i32,
        accept_local: bool,
    ) -> Result<Source, NoRoute> {
        let dev = flow.iif;
        let marked = self.ipv4_conf.or(dev, |c| c.src_valid_mark);
        // The packet on its way back.
        let back = FlowKey {
            dst: flow.src,
            src: daddr,
            iif: if oif == IfIndex::NONE {
                IfIndex::LO
            } else {
                oif
            },
            oif: IfIndex::NONE,
            mark: if marked { flow.mark } else { 0 },
            sport: flow.dport,
            dport: flow.sport,
            ..*flow
        };
        let last_resort = || match rp_filter {
            0 => Ok(Source::default()),
            _ => Err(NoRoute::from(DropReason::IpRpFilter)),
        };
        let Ok(found) = self.fib.v4.lookup(&back) else {
            return last_resort();
        };
        match found.kind {
            RouteType::Unicast => {}
            RouteType::Local if accept_local => {}
            RouteType::Local => return Err(DropReason::IpLocalSource.into()),
            _ => return Err(DropReason::IpInvalidSource.into()),
        }
        let info = self.fib.v4.info(found.info);
        let direct = |at: usize| {
            let nexthop = info.nexthops.get(at);
            nexthop.is_some_and(|n| n.gateway.is_none())
        };
        let own = info.nexthops.get(found.nexthop).map_or(0, |n| n.realms) << 16;
        let own = if own == 0 { found.realms << 16 } else { own };
        let realms = own | found.realms >> 16;
        let source = |direct| Source { direct, realms };
        // fib_info_nh_uses_dev()
        if info.nexthops.iter().any(|n| n.oif == dev) {
            return Ok(source(direct(found.nexthop)));
        }
        // A device without addresses cannot be in any network.
        if !self.addrs.iter().any(|a| a.dev == dev && a.v4().is_some()) {
            return last_resort();
        }
        if rp_filter == 1 {
            return Err(DropReason::IpRpFilter.into());
        }
        let through = FlowKey { oif: dev, ..back };
        let on_link = self.fib.v4.lookup(&through).is_ok_and(|found| {
            let nexthop = self.fib.v4.info(found.info).nexthops.get(found.nexthop);
            found.kind == RouteType::Unicast && nexthop.is_some_and(|n| n.gateway.is_none())
        });
        Ok(source(on_link))
    }
}
