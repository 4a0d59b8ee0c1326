//! `ip route add|append|prepend|replace|change|delete`.

use super::{METRICS, RTAX_RTO_MIN, parse_metric};
use crate::command::{CommandError, Word, Words};
use crate::fib::config::RouteFilter;
use crate::fib::names;
use crate::fib::{Mode, Nexthop, RT_TABLE_LOCAL, RT_TABLE_MAIN, RouteSpec, RouteType, Scope};
use crate::ip::parse::{NO_PROCESS, refusal};
use crate::ip::{Family, Output};
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::net::IpAddr;

/// A route as it was typed.
struct Typed<'a> {
    spec: RouteSpec,
    /// The destination's word, for errors.
    at: Word<'a>,
    family: Family,
    table: Option<u32>,
    scope: Option<Scope>,
    protocol: Option<u8>,
    metric: Option<u32>,
    kind: Option<RouteType>,
    via: Option<IpAddr>,
    dev: Option<IfIndex>,
    onlink: bool,
    realms: u32,
}

impl Stack {
    pub(super) fn ip_route_add(&mut self, family: Family, mode: Mode, words: Words<'_>) -> Output {
        let typed = self.parse_route(family, words)?;
        let (at, mut spec) = (typed.at, typed.spec);
        if spec.dst.address().is_ipv4() {
            if spec.dst.network() != spec.dst {
                return Err(at.error("Error: Invalid prefix for given prefix length."));
            }
        } else if spec.tos != 0 {
            return Err(at.error("Error: Invalid dsfield (tos): tos has no meaning in IPv6."));
        }
        spec.metric = typed.metric.unwrap_or(0);
        spec.scope = typed.scope;
        if let Some(protocol) = typed.protocol {
            spec.protocol = protocol;
        }
        self.new_route(spec, mode)
            .map_err(|error| at.error(refusal(&error)))?;
        Ok(String::new())
    }

    pub(super) fn ip_route_delete(&mut self, family: Family, words: Words<'_>) -> Output {
        let typed = self.parse_route(family, words)?;
        let filter = RouteFilter {
            kind: typed.kind,
            tos: typed.spec.tos,
            metric: typed.metric,
            src: typed.spec.src,
            scope: typed.scope,
            protocol: typed.protocol,
            gateway: typed.via,
            oif: typed.dev,
            ..RouteFilter::new(typed.spec.dst, typed.spec.table)
        };
        match self.del_route_matching(&filter) {
            true => Ok(String::new()),
            false => Err(typed.at.error(NO_PROCESS)),
        }
    }

    /// `iproute_modify()`.
    fn parse_route<'a>(
        &self,
        family: Family,
        mut words: Words<'a>,
    ) -> Result<Typed<'a>, CommandError> {
        let kind = words.peek().and_then(|w| route_type(w.text));
        if kind.is_some() {
            words.next();
        }
        words.accept("to");
        let at = words.expect("a prefix")?;
        let mut family = family;
        if !at.is_default() {
            let v4 = at.prefix(family)?.address().is_ipv4();
            family = if v4 { Family::V4 } else { Family::V6 };
        }
        let spec = RouteSpec::reject(kind.unwrap_or(RouteType::Unicast), at.prefix(family)?);
        let mut typed = Typed {
            spec,
            at,
            family,
            table: None,
            scope: None,
            protocol: None,
            metric: None,
            kind,
            via: None,
            dev: None,
            onlink: false,
            realms: 0,
        };
        while let Some(word) = words.next() {
            self.parse_route_word(&mut typed, word, &mut words)?;
        }
        if typed.spec.nexthops.is_empty() && (typed.via.is_some() || typed.dev.is_some()) {
            typed.spec.nexthops.push(Nexthop {
                gateway: typed.via,
                onlink: typed.onlink,
                realms: typed.realms,
                ..Nexthop::dev(typed.dev.unwrap_or(IfIndex::NONE))
            });
        }
        if at.is_default() {
            typed.spec.dst = at.prefix(typed.family)?;
        }
        let local = matches!(
            typed.spec.kind,
            RouteType::Local | RouteType::Broadcast | RouteType::Anycast
        );
        typed.spec.table = typed.table.unwrap_or(match local {
            true => RT_TABLE_LOCAL,
            false => RT_TABLE_MAIN,
        });
        Ok(typed)
    }

    fn parse_route_word(
        &self,
        typed: &mut Typed<'_>,
        word: Word<'_>,
        words: &mut Words<'_>,
    ) -> Result<(), CommandError> {
        match word.text {
            "via" => typed.via = Some(parse_via(&mut typed.family, words)?),
            "dev" | "oif" => typed.dev = Some(self.ip_device(words)?),
            "src" => typed.spec.src = Some(words.expect("an address")?.address(typed.family)?),
            "metric" | "priority" | "preference" => {
                typed.metric = Some(words.expect("a number")?.number()?);
            }
            "table" => {
                let table = words.expect("a table")?;
                typed.table = Some(table.named(names::parse_table, "a table")?);
            }
            "proto" | "protocol" => {
                let protocol = words.expect("a routing protocol")?;
                let parsed = protocol.named(names::parse_protocol, "a routing protocol")?;
                typed.protocol = Some(parsed);
            }
            "scope" => {
                let scope = words.expect("a scope")?;
                typed.scope = Some(scope.named(names::parse_scope, "a scope")?);
            }
            "tos" | "dsfield" => typed.spec.tos = parse_tos(words)?,
            "nhid" => typed.spec.nhid = words.expect("a number")?.number()?,
            "onlink" => typed.onlink = true,
            "pref" => {
                let pref = words.expect("a preference")?;
                match (pref.text, typed.family) {
                    ("medium", _) => {}
                    // IPv4 routes have none, and the kernel does not look.
                    ("low" | "high", Family::Any | Family::V4) => {}
                    _ => return Err(pref.error("only medium is known")),
                }
            }
            "realms" | "realm" => typed.realms = words.expect("a realm")?.realms()?,
            "expires" => {
                let seconds = words.expect("seconds")?;
                seconds.number()?;
                if typed.family == Family::V6 {
                    return Err(seconds.error("IPv6 routes do not expire here"));
                }
            }
            "ttl-propagate" => {
                // It is about MPLS.
                let word = words.expect("enabled or disabled")?;
                if !matches!(word.text, "enabled" | "disabled") {
                    return Err(word.error("not enabled or disabled"));
                }
            }
            "encap" => parse_encap(words)?,
            "nexthop" => {
                let nexthop = self.parse_nexthop(typed, words)?;
                typed.spec.nexthops.push(nexthop);
            }
            name => {
                let Some(&(at, _)) = METRICS.iter().find(|(_, n)| *n == name) else {
                    return Err(word.error("unknown word of a route"));
                };
                if at == RTAX_RTO_MIN || words.accept("lock") {
                    typed.spec.metrics.lock |= 1 << at;
                }
                typed.spec.metrics.values[at] = parse_metric(at, words)?;
            }
        }
        Ok(())
    }

    /// `parse_one_nh()`: what follows the word `nexthop`, up to the next one.
    fn parse_nexthop(
        &self,
        typed: &mut Typed<'_>,
        words: &mut Words<'_>,
    ) -> Result<Nexthop, CommandError> {
        let mut nexthop = Nexthop::dev(IfIndex::NONE);
        loop {
            if words.accept("via") {
                nexthop.gateway = Some(parse_via(&mut typed.family, words)?);
            } else if words.accept("dev") {
                nexthop.oif = self.ip_device(words)?;
            } else if words.accept("weight") {
                let word = words.expect("a weight")?;
                let weight = word.number()?;
                if !(1..=256).contains(&weight) {
                    return Err(word.error("weight is not within 1 to 256"));
                }
                nexthop.weight = weight as u16;
            } else if words.accept("realms") || words.accept("realm") {
                nexthop.realms = words.expect("a realm")?.realms()?;
            } else if words.accept("onlink") {
                nexthop.onlink = true;
            } else {
                return Ok(nexthop);
            }
        }
    }
}

/// `parse_encap()`: `ip` with what a tunnel device would put around packets (`ip_tun_build_state()`); other devices, which are all here, do not.
fn parse_encap(words: &mut Words<'_>) -> Result<(), CommandError> {
    let kind = words.expect("a kind of encapsulation")?;
    let family = match kind.text {
        "ip" => Family::V4,
        "ip6" => Family::V6,
        _ => return Err(kind.error("Error: lwt encapsulation type not supported.")),
    };
    while let Some(word) = words.peek() {
        match word.text {
            "src" | "dst" => {
                words.next();
                words.expect("an address")?.address(family)?;
            }
            "id" | "ttl" | "hoplimit" => {
                words.next();
                words.expect("a number")?.number()?;
            }
            "tos" | "dsfield" | "tc" => {
                words.next();
                parse_tos(words)?;
            }
            "key" | "csum" | "seq" => {
                words.next();
            }
            _ => break,
        }
    }
    Ok(())
}

/// `ADDRESS`, or `inet6 ADDRESS` for an IPv4 route with an IPv6 gateway.
fn parse_via(family: &mut Family, words: &mut Words<'_>) -> Result<IpAddr, CommandError> {
    if words.accept("inet6") {
        return words.expect("an address")?.address(Family::V6);
    }
    if words.accept("inet") {
        return words.expect("an address")?.address(Family::V4);
    }
    let address = words.expect("an address")?.address(*family)?;
    *family = match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    Ok(address)
}

/// A TOS without ECN bits, always hexadecimal.
pub(in crate::ip) fn parse_tos(words: &mut Words<'_>) -> Result<u8, CommandError> {
    let word = words.expect("a TOS")?;
    let hex = word.text.strip_prefix("0x").unwrap_or(word.text);
    let tos = u8::from_str_radix(hex, 16)
        .ok()
        .filter(|_| !hex.starts_with('+'));
    let tos = tos.ok_or_else(|| word.error("not a TOS"))?;
    if tos & 3 != 0 {
        return Err(word.error("Error: Invalid dsfield (tos): ECN bits must be 0."));
    }
    Ok(tos)
}

/// `rtnl_rtntype_a2n()`.
pub(super) fn route_type(text: &str) -> Option<RouteType> {
    RouteType::ALL.into_iter().find(|kind| kind.name() == text)
}
