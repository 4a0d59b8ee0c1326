//! `ip neigh`.

use super::parse::{EXISTS, NO_ENTRY, mac, parse_mac};
use super::{Family, Output, choose};
use crate::addr::IpCidr;
use crate::command::{CommandError, Words};
use crate::neigh::{NeighbourEntry, NudState};
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;

/// Which neighbours are meant.
#[derive(Default)]
struct Filter {
    dev: Option<IfIndex>,
    state: Option<NudState>,
    prefix: Option<IpCidr>,
}

impl Filter {
    fn takes(&self, neighbour: &NeighbourEntry) -> bool {
        self.dev.is_none_or(|dev| neighbour.dev == dev)
            && self.state.is_none_or(|state| neighbour.state == state)
            && self
                .prefix
                .is_none_or(|prefix| prefix.contains(neighbour.address))
    }
}

impl Stack {
    /// `ip neigh [show|add|replace|change|delete|flush] …`
    pub(super) fn ip_neigh(&mut self, family: Family, mut words: Words<'_>) -> Output {
        let Some(command) = words.next() else {
            return Ok(self.ip_neigh_show(family, &Filter::default()));
        };
        let names = [
            "add", "change", "chg", "replace", "delete", "get", "list", "show", "lst", "flush",
        ];
        match choose(command, &names) {
            Some("get") => self.ip_neigh_get(family, words),
            Some("list" | "show" | "lst") if words.accept("proxy") => {
                words.finish()?;
                Ok(self.ip_neigh_show_proxies())
            }
            Some("list" | "show" | "lst") => {
                let filter = self.parse_neigh_filter(family, &mut words)?;
                Ok(self.ip_neigh_show(family, &filter))
            }
            Some("flush") => {
                if words.is_empty() {
                    return Err(words.end_error("what to flush is missing"));
                }
                let filter = self.parse_neigh_filter(family, &mut words)?;
                // Without a state, what is permanent stays.
                let doomed: Vec<NeighbourEntry> = self
                    .neighbours()
                    .filter(|n| family.includes(n.address.is_ipv4()))
                    .filter(|n| filter.takes(n))
                    .filter(|n| {
                        let lasting = matches!(n.state, NudState::Permanent | NudState::Noarp);
                        filter.state.is_some() || !lasting
                    })
                    .collect();
                for neighbour in doomed {
                    self.del_neighbour(neighbour.dev, neighbour.address);
                }
                Ok(String::new())
            }
            Some(verb) => self.ip_neigh_modify(family, verb, words),
            None => Err(command.error("unknown command of ip neigh")),
        }
    }

    /// `ip neigh add|replace|delete proxy ADDRESS [dev DEVICE]`: requests for an address behind another device are answered.
    fn ip_neigh_proxy(&mut self, family: Family, verb: &str, mut words: Words<'_>) -> Output {
        let at = words.expect("an address")?;
        let address = at.address(family)?;
        if address.is_ipv6() {
            return Err(at.error("there is no NDP proxy here"));
        }
        let mut dev = IfIndex::NONE;
        while let Some(word) = words.next() {
            match word.text {
                "dev" => dev = self.ip_device(&mut words)?,
                "protocol" | "proto" => drop(words.expect("a routing protocol")?),
                _ => return Err(word.error("unknown word of a neighbour")),
            }
        }
        match verb {
            "delete" if !self.neighbours.remove_proxy(dev, address) => Err(at.error(NO_ENTRY)),
            "delete" => Ok(String::new()),
            _ => {
                self.neighbours.add_proxy(dev, address);
                Ok(String::new())
            }
        }
    }

    fn ip_neigh_show_proxies(&self) -> String {
        let mut out = String::new();
        for (dev, address) in self.neighbours.proxies() {
            let _ = match *dev {
                IfIndex::NONE => writeln!(out, "{address} proxy "),
                dev => writeln!(out, "{address} dev {} proxy ", self.ip_device_name(dev)),
            };
        }
        out
    }

    /// `ip neigh get ADDRESS dev DEVICE`.
    fn ip_neigh_get(&self, family: Family, mut words: Words<'_>) -> Output {
        words.accept("to");
        let at = words.expect("an address")?;
        let address = at.address(family)?;
        if !words.accept("dev") {
            return Err(words.end_error("dev DEVICE is missing"));
        }
        let dev = self.ip_device(&mut words)?;
        words.finish()?;
        let mut all = self.neighbours();
        let found = all.find(|n| (n.dev, n.address) == (dev, address));
        let found = found.ok_or_else(|| at.error(NO_ENTRY))?;
        Ok(self.neigh_line(&found, true))
    }

    /// `[dev DEVICE] [nud STATE] [[to] PREFIX]`
    fn parse_neigh_filter(
        &self,
        family: Family,
        words: &mut Words<'_>,
    ) -> Result<Filter, CommandError> {
        let mut filter = Filter::default();
        while let Some(word) = words.next() {
            match word.text {
                "dev" => filter.dev = Some(self.ip_device(words)?),
                "nud" => {
                    let word = words.expect("a state")?;
                    filter.state = match word.text {
                        "all" => None,
                        _ => Some(word.named(parse_state, "a neighbour's state")?),
                    };
                }
                text => {
                    let word = match text {
                        "to" => words.expect("a prefix")?,
                        _ => word,
                    };
                    filter.prefix = match word.text {
                        "all" | "any" | "default" => None,
                        _ => Some(word.prefix(family)?),
                    };
                }
            }
        }
        Ok(filter)
    }

    /// `ipneigh_modify()`.
    fn ip_neigh_modify(&mut self, family: Family, verb: &str, mut words: Words<'_>) -> Output {
        if words.accept("proxy") {
            return self.ip_neigh_proxy(family, verb, words);
        }
        words.accept("to");
        let at = words.expect("an address")?;
        let address = at.address(family)?;
        let (mut dev, mut lladdr, mut state) = (None, None, NudState::Permanent);
        while let Some(word) = words.next() {
            match word.text {
                "dev" => dev = Some(self.ip_device(&mut words)?),
                "lladdr" => {
                    let word = words.expect("a MAC address")?;
                    lladdr = Some(word.named(parse_mac, "a MAC address")?);
                }
                "nud" => {
                    let word = words.expect("a state")?;
                    state = word.named(parse_state, "a neighbour's state")?;
                }
                // Who made it, and who looks after it, does not change what it is.
                "protocol" | "proto" => drop(words.expect("a routing protocol")?),
                "extern_learn" => {}
                _ => return Err(word.error("unknown word of a neighbour")),
            }
        }
        let dev = dev.ok_or_else(|| words.end_error("dev DEVICE is missing"))?;
        let known = self
            .neighbours()
            .find(|n| (n.dev, n.address) == (dev, address));
        match (verb, known) {
            ("delete", Some(_)) => {
                self.del_neighbour(dev, address);
                return Ok(String::new());
            }
            ("delete" | "change" | "chg", None) => return Err(at.error(NO_ENTRY)),
            ("add", Some(_)) => return Err(at.error(EXISTS)),
            _ => {}
        }
        let mac = lladdr.or(known.map(|n| n.mac).filter(|m| *m != [0; 6]));
        if mac.is_none() && state.is_valid() && state != NudState::Noarp {
            return Err(at.error("RTNETLINK answers: Invalid argument"));
        }
        if !self.set_neighbour(dev, address, mac, state) {
            return Err(at.error("RTNETLINK answers: No buffer space available"));
        }
        Ok(String::new())
    }

    fn ip_neigh_show(&self, family: Family, filter: &Filter) -> String {
        let mut out = String::new();
        for v4 in [true, false] {
            for n in self.neighbours() {
                let shown = n.address.is_ipv4() == v4
                    && family.includes(v4)
                    && filter.takes(&n)
                    && (filter.state.is_some() || n.state != NudState::Noarp);
                if !shown {
                    continue;
                }
                out += &self.neigh_line(&n, filter.dev.is_none());
            }
        }
        out
    }
}

impl Stack {
    /// `print_neigh()`.
    fn neigh_line(&self, n: &NeighbourEntry, with_dev: bool) -> String {
        let mut out = format!("{} ", n.address);
        if with_dev {
            let _ = write!(out, "dev {} ", self.ip_device_name(n.dev));
        }
        if n.state.is_valid() && n.state != NudState::Noarp {
            let _ = write!(out, "lladdr {} ", mac(n.mac));
        }
        if n.router {
            out += "router ";
        }
        let _ = writeln!(out, "{} ", n.state.name());
        out
    }
}

/// `nud_state_a2n()`.
fn parse_state(text: &str) -> Option<NudState> {
    NudState::ALL
        .into_iter()
        .find(|state| state.name().eq_ignore_ascii_case(text))
}
