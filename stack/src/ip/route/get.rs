//! `ip route get`: what would happen to a packet (`inet_rtm_getroute()`, `inet6_rtm_getroute()`).

use super::metrics;
use super::modify::parse_tos;
use crate::SEC;
use crate::command::{CommandError, Word, Words};
use crate::error::StackError;
use crate::fib::names;
use crate::fib::{
    FibResult, FlowKey, LookupError, Metrics, RT_TABLE_LOCAL, RT_TABLE_MAIN, RTAX_MTU, RTPROT_BOOT,
    RTPROT_KERNEL, Route, RouteType,
};
use crate::ip::parse::{realms, refusal};
use crate::ip::{Family, Output};
use crate::ipv4::{IPPROTO_UDP, OutputFlow};
use crate::ipv6::OutputFlow6;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The packet that is asked about.
struct Asked<'a> {
    at: Word<'a>,
    dst: IpAddr,
    from: Option<IpAddr>,
    iif: IfIndex,
    oif: IfIndex,
    mark: u32,
    tos: u8,
    protocol: u8,
    sport: u16,
    dport: u16,
    /// The route is asked for, not what becomes of a packet.
    fibmatch: bool,
}

impl Stack {
    pub(super) fn ip_route_get(&mut self, family: Family, words: Words<'_>) -> Output {
        let asked = self.parse_asked(family, words)?;
        match (asked.dst, asked.from) {
            (IpAddr::V4(dst), None) => self.get_v4(&asked, dst, None),
            (IpAddr::V4(dst), Some(IpAddr::V4(from))) => self.get_v4(&asked, dst, Some(from)),
            (IpAddr::V6(dst), None) => self.get_v6(&asked, dst, None),
            (IpAddr::V6(dst), Some(IpAddr::V6(from))) => self.get_v6(&asked, dst, Some(from)),
            _ => Err(asked.at.error("addresses of different families")),
        }
    }

    fn parse_asked<'a>(
        &self,
        family: Family,
        mut words: Words<'a>,
    ) -> Result<Asked<'a>, CommandError> {
        let mut fibmatch = words.accept("fibmatch");
        words.accept("to");
        let at = words.expect("an address")?;
        let dst = at.address(family)?;
        let family = if dst.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        let mut asked = Asked {
            at,
            dst,
            from: None,
            iif: IfIndex::NONE,
            oif: IfIndex::NONE,
            mark: 0,
            tos: 0,
            protocol: 0,
            sport: 0,
            dport: 0,
            fibmatch: false,
        };
        while let Some(word) = words.next() {
            match word.text {
                "from" => asked.from = Some(words.expect("an address")?.address(family)?),
                "iif" => asked.iif = self.ip_device(&mut words)?,
                "oif" | "dev" => asked.oif = self.ip_device(&mut words)?,
                "mark" => asked.mark = words.expect("a mark")?.number()?,
                "tos" | "dsfield" => asked.tos = parse_tos(&mut words)?,
                "ipproto" => {
                    let protocol = words.expect("an IP protocol")?;
                    asked.protocol = protocol.named(names::parse_ipproto, "an IP protocol")?;
                }
                "sport" => asked.sport = words.parse("a port")?,
                "dport" => asked.dport = words.parse("a port")?,
                "fibmatch" => fibmatch = true,
                // Everything is root's.
                "uid" => drop(words.expect("a user")?.number()?),
                _ => return Err(word.error("unknown word of ip route get")),
            }
        }
        asked.fibmatch = fibmatch;
        Ok(asked)
    }

    fn get_v4(&self, asked: &Asked<'_>, dst: Ipv4Addr, from: Option<Ipv4Addr>) -> Output {
        let refuse = |error: StackError| asked.at.error(refusal(&error));
        let from = from.filter(|from| !from.is_unspecified());
        // A question about no protocol is one about UDP.
        let protocol = if asked.protocol == 0 {
            IPPROTO_UDP
        } else {
            asked.protocol
        };
        let (mut route, source) = if asked.iif == IfIndex::NONE {
            let flow = OutputFlow {
                saddr: from,
                oif: asked.oif,
                mark: asked.mark,
                tos: asked.tos,
                protocol,
                sport: asked.sport,
                dport: asked.dport,
                ..OutputFlow::to(dst)
            };
            let (route, source) = self.ip_route_output_key(&flow).map_err(refuse)?;
            (route, Some(source))
        } else {
            let flow = FlowKey {
                dst: dst.to_bits(),
                src: from.unwrap_or(Ipv4Addr::UNSPECIFIED).to_bits(),
                iif: asked.iif,
                mark: asked.mark,
                tos: asked.tos,
                protocol,
                sport: asked.sport,
                dport: asked.dport,
                ..FlowKey::default()
            };
            let found = self.ip_route_input_flow(&flow, None);
            let route = found.map_err(|no| refuse(lookup_error(no.error, asked.dst)))?;
            (route, None)
        };
        if let (true, Some(found)) = (asked.fibmatch, &route.fib) {
            return Ok(self.show_found(&self.fib.v4, found));
        }
        let mut flags = Vec::new();
        let to_us = matches!(route.kind, RouteType::Local | RouteType::Broadcast);
        if to_us {
            flags.push("local");
        }
        match route.kind {
            RouteType::Broadcast => flags.push("brd"),
            RouteType::Multicast => flags.push("mc"),
            _ => {}
        }
        if route.redirect {
            flags.push("redirect");
        }
        if asked.iif != IfIndex::NONE && to_us {
            route.oif = IfIndex::LO;
        }
        let mut out = self.get_head(asked, &route, from.map(IpAddr::V4));
        if let Some(source) = source.filter(|_| from.is_none()) {
            let _ = write!(out, "src {source} ");
        }
        if asked.mark != 0 {
            let _ = write!(out, "mark {} ", mark(asked.mark));
        }
        out += &realms(route.realms);
        // Whose lookup it was: root's.
        out += if source.is_some() {
            "uid 0 \n    cache "
        } else {
            "\n    cache "
        };
        if !flags.is_empty() {
            let _ = write!(out, "<{}> ", flags.join(","));
        }
        // What goes to everybody, or to a group over a default route, uses nothing of the route but its device.
        let used = |found: &FibResult| match route.kind {
            RouteType::Broadcast => false,
            RouteType::Multicast => found.prefix_len >= 4,
            _ => true,
        };
        let mut values = route.fib.filter(used).map_or(Metrics::default(), |found| {
            self.fib.v4.info(found.info).metrics
        });
        let learned = self.pmtu.learned(asked.dst, self.now);
        if let Some(learned) = learned.filter(|_| asked.iif == IfIndex::NONE && !to_us) {
            let _ = write!(out, "expires {}sec ", (learned.expires - self.now) / SEC);
            values.values[RTAX_MTU] = learned.mtu;
            values.lock |= u32::from(learned.locked) << RTAX_MTU;
        }
        out += &metrics(&values);
        if asked.iif != IfIndex::NONE {
            let _ = write!(out, "iif {} ", self.ip_device_name(asked.iif));
        }
        out.push('\n');
        Ok(out)
    }

    fn get_v6(&self, asked: &Asked<'_>, dst: Ipv6Addr, from: Option<Ipv6Addr>) -> Output {
        let refuse = |error: StackError| asked.at.error(refusal(&error));
        let (mut route, source) = if asked.iif == IfIndex::NONE {
            let flow = OutputFlow6 {
                saddr: from,
                oif: asked.oif,
                mark: asked.mark,
                traffic_class: asked.tos,
                protocol: asked.protocol,
                sport: asked.sport,
                dport: asked.dport,
                ..OutputFlow6::to(dst)
            };
            let (route, _) = self.ip6_route_output_key(&flow).map_err(refuse)?;
            // Not the source that was given: the one that would have been chosen.
            let preferred = match route.src {
                Some(IpAddr::V6(source)) => Some(source),
                _ => self.ipv6_select_addr(route.oif, dst),
            };
            (route, preferred)
        } else {
            let flow = FlowKey {
                dst: dst.to_bits(),
                src: from.unwrap_or(Ipv6Addr::UNSPECIFIED).to_bits(),
                iif: asked.iif,
                mark: asked.mark,
                tos: asked.tos,
                protocol: asked.protocol,
                sport: asked.sport,
                dport: asked.dport,
                ..FlowKey::default()
            };
            let found = self.ip6_route_input_flow(&flow, None);
            let route = found.map_err(|no| refuse(lookup_error(no.error, asked.dst)))?;
            (route, None)
        };
        if let (true, Some(found)) = (asked.fibmatch, &route.fib) {
            return Ok(self.show_found(&self.fib.v6, found));
        }
        if route.kind == RouteType::Local {
            route.oif = IfIndex::LO;
        }
        let from = from.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let mut out = self.get_head(asked, &route, Some(from.into()));
        if let Some(source) = source {
            let _ = write!(out, "src {source} ");
        }
        let info = route.fib.map(|found| self.fib.v6.info(found.info));
        // A group's route is not looked up: it is every device's.
        let _ = write!(out, "metric {} ", info.map_or(256, |i| i.priority));
        out += &info.map_or(String::new(), |i| metrics(&i.metrics));
        if asked.iif != IfIndex::NONE {
            let _ = write!(out, "iif {} ", self.ip_device_name(asked.iif));
        }
        out += "pref medium\n";
        Ok(out)
    }

    /// Up to the source: `unicast` is not said.
    fn get_head(&self, asked: &Asked<'_>, route: &Route, from: Option<IpAddr>) -> String {
        let mut out = String::new();
        if route.kind != RouteType::Unicast {
            out = format!("{} ", route.kind.name());
        }
        let _ = write!(out, "{} ", asked.dst);
        if let Some(from) = from {
            let _ = write!(out, "from {from} ");
        }
        if let Some(tos) = route.fib.map(|f| f.tos).filter(|&tos| tos != 0) {
            let _ = write!(out, "tos {tos:#04x} ");
        }
        if let Some(gateway) = route.gateway {
            let other = if gateway.is_ipv6() && asked.dst.is_ipv4() {
                "inet6 "
            } else {
                ""
            };
            let _ = write!(out, "via {other}{gateway} ");
        }
        let _ = write!(out, "dev {} ", self.ip_device_name(route.oif));
        let table = match route.fib {
            Some(found) => found.table,
            // A group's route is every device's, in table local.
            None if asked.dst.is_ipv6() => RT_TABLE_LOCAL,
            None => RT_TABLE_MAIN,
        };
        if table != RT_TABLE_MAIN {
            let _ = write!(out, "table {} ", names::table_name(table));
        }
        if asked.dst.is_ipv6() {
            let protocol = route.fib.map(|f| self.fib.v6.info(f.info).protocol);
            let protocol = protocol.unwrap_or(RTPROT_KERNEL);
            if protocol != RTPROT_BOOT {
                let _ = write!(out, "proto {} ", names::protocol_name(protocol));
            }
        }
        out
    }
}

/// Marks below 16 are decimal in iproute2.
fn mark(mark: u32) -> String {
    if mark >= 16 {
        format!("{mark:#x}")
    } else {
        mark.to_string()
    }
}

/// What the kernel answers for a packet that it would have dropped on input.
fn lookup_error(error: Option<LookupError>, dst: IpAddr) -> StackError {
    match error {
        Some(LookupError::NetUnreachable) => StackError::NetUnreachable(dst),
        Some(LookupError::HostUnreachable) => StackError::HostUnreachable(dst),
        Some(LookupError::Prohibited) => StackError::Permission(dst),
        // Also what is a martian or fails the reverse path check.
        Some(LookupError::Invalid) | None => StackError::InvalidAddress(dst),
    }
}
