//! `ip nexthop`.

use super::parse::{EXISTS, NO_ENTRY, refusal};
use super::{Family, Output, choose};
use crate::addr::IpCidr;
use crate::command::{CommandError, Words};
use crate::fib::{Nexthop, NexthopObject, RouteSpec};
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;

impl Stack {
    /// `ip nexthop [show|add|replace|delete|flush] …`
    pub(super) fn ip_nexthop(&mut self, family: Family, mut words: Words<'_>) -> Output {
        let Some(command) = words.next() else {
            return Ok(self.ip_nexthop_show(None));
        };
        match choose(
            command,
            &["add", "replace", "delete", "list", "show", "lst", "flush"],
        ) {
            Some("list" | "show" | "lst") => {
                let id = match words.accept("id") {
                    true => Some(words.expect("a number")?.number()?),
                    false => None,
                };
                words.finish()?;
                Ok(self.ip_nexthop_show(id))
            }
            Some("flush") => {
                words.finish()?;
                let all: Vec<u32> = self.fib.nexthops.iter().map(|(id, _)| id).collect();
                for id in &all {
                    // A group may be gone with its last member.
                    self.fib.remove_nexthop(*id);
                }
                Ok(match all.len() {
                    0 => "Nothing to flush\n".to_owned(),
                    n => format!("Flushed {n} nexthops\n"),
                })
            }
            Some("delete") => {
                if !words.accept("id") {
                    return Err(words.end_error("id NUMBER is missing"));
                }
                let word = words.expect("a number")?;
                let id = word.number()?;
                words.finish()?;
                match self.fib.remove_nexthop(id) {
                    true => Ok(String::new()),
                    false => Err(word.error(NO_ENTRY)),
                }
            }
            Some(verb @ ("add" | "replace")) => {
                let (id, object) = self.parse_nexthop_object(family, &mut words)?;
                let id = match id.or_else(|| self.fib.nexthops.unused()) {
                    Some(id) => id,
                    None => return Err(words.end_error("no number is free")),
                };
                if verb == "add" && self.fib.nexthops.get(id).is_some() {
                    return Err(command.error(EXISTS));
                }
                let drops = |object: &NexthopObject| *object == NexthopObject::Blackhole;
                let old = self.fib.nexthops.get(id);
                if old.is_some_and(|old| drops(old) != drops(&object)) {
                    return Err(command.error("a blackhole is not replaced here, nor by one"));
                }
                self.fib.set_nexthop(id, object);
                Ok(String::new())
            }
            _ => Err(command.error("unknown command of ip nexthop")),
        }
    }

    /// `ipnh_modify()`: the number, if one is given, and what it shall stand for.
    fn parse_nexthop_object(
        &self,
        family: Family,
        words: &mut Words<'_>,
    ) -> Result<(Option<u32>, NexthopObject), CommandError> {
        let (mut id, mut group, mut blackhole) = (None, None, false);
        let mut way = Nexthop::dev(IfIndex::NONE);
        while let Some(word) = words.next() {
            match word.text {
                "id" => {
                    let word = words.expect("a number")?;
                    let number = word.number()?;
                    if number == 0 {
                        return Err(word.error("numbers begin with 1"));
                    }
                    id = Some(number);
                }
                "via" => {
                    words.accept("inet");
                    words.accept("inet6");
                    way.gateway = Some(words.expect("an address")?.address(family)?);
                }
                "dev" => way.oif = self.ip_device(words)?,
                "onlink" => way.onlink = true,
                "blackhole" => blackhole = true,
                "group" => {
                    let word = words.expect("numbers of nexthops")?;
                    let members = self.nexthop_members(word.text);
                    group = Some(members.map_err(|problem| word.error(problem))?);
                }
                _ => return Err(word.error("unknown word of a nexthop")),
            }
        }
        if let Some(members) = group {
            return Ok((id, NexthopObject::Group(members)));
        }
        if blackhole {
            return Ok((id, NexthopObject::Blackhole));
        }
        let refused = |problem: &str| words.end_error(problem);
        if way.oif == IfIndex::NONE {
            return Err(refused(
                "Error: Device attribute required for non-blackhole and non-fdb nexthops.",
            ));
        }
        if !self.is_up(way.oif) {
            return Err(refused("Error: Carrier for nexthop device is down."));
        }
        if let Some(gateway) = way.gateway {
            let all = match gateway.is_ipv4() {
                true => IpCidr::DEFAULT_V4,
                false => IpCidr::DEFAULT_V6,
            };
            let spec = RouteSpec::via(all, gateway);
            self.check_gateway(&spec, &way, gateway)
                .map_err(|error| refused(&refusal(&error)))?;
        }
        Ok((id, NexthopObject::Way(way)))
    }

    /// `NUMBER[,WEIGHT][/NUMBER[,WEIGHT]]…`
    fn nexthop_members(&self, text: &str) -> Result<Vec<(u32, u16)>, String> {
        let mut members = Vec::new();
        for member in text.split('/') {
            let (id, weight) = member.split_once(',').unwrap_or((member, "1"));
            let id: u32 = id.parse().map_err(|_| format!("{id:?} is no number"))?;
            let weight: u16 = weight
                .parse()
                .ok()
                .filter(|w| (1..=256).contains(w))
                .ok_or("a weight is 1 to 256")?;
            match self.fib.nexthops.get(id) {
                Some(NexthopObject::Way(_)) => {}
                Some(_) => return Err("a group consists of ways here".to_owned()),
                None => return Err("Error: Invalid nexthop id.".to_owned()),
            }
            if members.iter().any(|(other, _)| *other == id) {
                return Err("Error: Nexthop id can not be used twice in a group.".to_owned());
            }
            members.push((id, weight));
        }
        Ok(members)
    }

    /// `print_nexthop()`
    fn ip_nexthop_show(&self, only: Option<u32>) -> String {
        let mut out = String::new();
        for (id, object) in self.fib.nexthops.iter() {
            if only.is_some_and(|only| only != id) {
                continue;
            }
            let _ = write!(out, "id {id} ");
            match object {
                NexthopObject::Blackhole => out += "blackhole ",
                NexthopObject::Group(members) => {
                    let member = |(id, weight): &(u32, u16)| match weight {
                        1 => id.to_string(),
                        weight => format!("{id},{weight}"),
                    };
                    let members: Vec<_> = members.iter().map(member).collect();
                    let _ = write!(out, "group {} ", members.join("/"));
                }
                NexthopObject::Way(way) => {
                    if let Some(gateway) = way.gateway {
                        let _ = write!(out, "via {gateway} ");
                    }
                    let scope = match way.gateway {
                        Some(_) => "link",
                        None => "host",
                    };
                    let _ = write!(
                        out,
                        "dev {} scope {scope} ",
                        self.device_name(way.oif).unwrap_or_default()
                    );
                    if way.onlink {
                        out += "onlink ";
                    }
                }
            }
            out.push('\n');
        }
        out
    }
}
