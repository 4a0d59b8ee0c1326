//! `ip`: routes, rules, addresses, links and neighbours as lines of iproute2.
//!
//! A subset; what is taken means what it means there, and lists are printed as iproute2 6.1 prints them. What the kernel would refuse is an
//! error at the word that it is about, with iproute2's words (`RTNETLINK answers: File exists`).

mod addr;
mod link;
mod maddr;
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
    /// `ip [-4|-6] [-s] [-o] route|rule|addr|link|neigh|nexthop|maddr …` as typed, with or without the leading word `ip`. Returns what `ip` prints. Errors name the word
    /// that is unknown or wrong, or that the kernel would refuse.
    pub fn ip(&mut self, line: &str) -> Output {
        let mut words = Words::new(line)?;
        words.accept("ip");
        let mut family = Family::Any;
        let (mut statistics, mut oneline) = (false, false);
        while let Some(option) = words.peek().filter(|w| w.text.starts_with('-')) {
            words.next();
            let named = words.clone().peek().map(|word| word.text);
            match (option.text, named) {
                ("-4", _) => family = Family::V4,
                ("-6", _) => family = Family::V6,
                ("-f" | "-family", Some("inet")) => family = Family::V4,
                ("-f" | "-family", Some("inet6")) => family = Family::V6,
                ("-s" | "-stats" | "-statistics", _) => statistics = true,
                ("-o" | "-oneline", _) => oneline = true,
                // There is no colour, and no name to look up.
                ("-c" | "-color" | "-N" | "-Numeric", _) => {}
                _ => return Err(option.error("unknown option")),
            }
            if matches!(option.text, "-f" | "-family") {
                words.next();
            }
        }
        if oneline && words.peek().is_some_and(|w| w.abbreviates("address")) {
            return Err(words.end_error("-o is known for all but addresses here"));
        }
        let printed = self.ip_object(family, words, statistics)?;
        Ok(match oneline {
            true => one_line_each(&printed),
            false => printed,
        })
    }

    fn ip_object(&mut self, family: Family, words: Words<'_>, statistics: bool) -> Output {
        let mut words = words;
        let object = words.expect("an object (route, rule, addr, link, neigh, nexthop, maddr)")?;
        // iproute2's order: "r" is a route, "n" a neighbour.
        let names = [
            "address",
            "link",
            "neighbour",
            "neighbor",
            "route",
            "rule",
            "nexthop",
            "maddress",
        ];
        match choose(object, &names) {
            Some("address") => self.ip_addr(family, words),
            Some("link") => self.ip_link(words, statistics),
            Some("maddress") => self.ip_maddr(words),
            Some("neighbour" | "neighbor") => self.ip_neigh(family, words),
            Some("nexthop") => self.ip_nexthop(family, words),
            Some("route") => self.ip_route(family, words),
            Some("rule") => self.ip_rule(family, words),
            _ => {
                Err(object.error("unknown object (route, rule, addr, link, neigh, nexthop, maddr)"))
            }
        }
    }
}

/// `-o`: what belongs together in one line, with a backslash where the lines ended.
fn one_line_each(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.starts_with([' ', '\t']) {
            true => out.push('\\'),
            false if !out.is_empty() => out.push('\n'),
            false => {}
        }
        out += line;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests;
