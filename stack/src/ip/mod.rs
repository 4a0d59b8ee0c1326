//! `ip`: routes, rules, addresses, links and neighbours as lines of iproute2.
//!
//! A subset; what is taken means what it means there, and lists are printed as iproute2 6.1 prints them. What the kernel would refuse is an
//! error at the word that it is about, with iproute2's words (`RTNETLINK answers: File exists`).

mod addr;
mod link;
mod neigh;
mod nexthop;
mod parse;
mod route;
mod rule;

use route::parse_tos as route_tos;

use crate::command::{CommandError, Word, Words};
use crate::stack::Stack;

/// Which addresses a command is about: `-4`, `-6`, or what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    /// Whether addresses of IPv4 (else IPv6) are meant.
    fn includes(self, v4: bool) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => v4,
            Family::V6 => !v4,
        }
    }
}

type Output = Result<String, CommandError>;

/// The first of `names` that a word is or abbreviates.
fn choose(word: Word<'_>, names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| word.abbreviates(name))
}

impl Stack {
    /// `ip [-4|-6] route|rule|addr|link|neigh|nexthop …` as typed, with or without the leading word `ip`. Returns what `ip` prints. Errors name the word
    /// that is unknown or wrong, or that the kernel would refuse.
    pub fn ip(&mut self, line: &str) -> Output {
        let mut words = Words::new(line)?;
        words.accept("ip");
        let mut family = Family::Any;
        while let Some(option) = words.peek().filter(|w| w.text.starts_with('-')) {
            family = match option.text {
                "-4" => Family::V4,
                "-6" => Family::V6,
                _ => return Err(option.error("unknown option")),
            };
            words.next();
        }
        let object = words.expect("an object (route, rule, addr, link, neigh, nexthop)")?;
        // iproute2's order: "r" is a route, "n" a neighbour.
        let names = [
            "address",
            "link",
            "neighbour",
            "neighbor",
            "route",
            "rule",
            "nexthop",
        ];
        match choose(object, &names) {
            Some("address") => self.ip_addr(family, words),
            Some("link") => self.ip_link(words),
            Some("neighbour" | "neighbor") => self.ip_neigh(family, words),
            Some("nexthop") => self.ip_nexthop(family, words),
            Some("route") => self.ip_route(family, words),
            Some("rule") => self.ip_rule(family, words),
            _ => Err(object.error("unknown object (route, rule, addr, link, neigh, nexthop)")),
        }
    }
}

#[cfg(test)]
mod tests;
