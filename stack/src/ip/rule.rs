//! `ip rule`.

use super::parse::{EXISTS, NO_ENTRY, realms};
use super::route_tos;
use super::{Family, Output, choose};
use crate::addr::IpCidr;
use crate::command::{CommandError, Word, Words};
use crate::fib::rules::{Action, Rule, RuleDev};
use crate::fib::trie::Key;
use crate::fib::{RT_TABLE_MAIN, RTPROT_BOOT, RTPROT_KERNEL, Rpdb, names};
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A rule as it was typed, before the family is known.
#[derive(Clone, Debug, Default)]
struct Typed {
    invert: bool,
    priority: Option<u32>,
    from: Option<IpCidr>,
    to: Option<IpCidr>,
    iif: Option<RuleDev>,
    oif: Option<RuleDev>,
    mark: Option<(u32, u32)>,
    tos: u8,
    ipproto: u8,
    sport: Option<(u16, u16)>,
    dport: Option<(u16, u16)>,
    uids: Option<(u32, u32)>,
    action: Option<Action>,
    suppress: Option<u8>,
    suppress_group: Option<u32>,
    realms: Option<u32>,
    protocol: Option<u8>,
}

impl Stack {
    /// `ip rule [show|add|delete|flush] …`
    pub(super) fn ip_rule(&mut self, family: Family, mut words: Words<'_>) -> Output {
        let Some(command) = words.next() else {
            return Ok(self.ip_rule_show(family));
        };
        match choose(command, &["list", "lst", "show", "add", "delete", "flush"]) {
            Some("list" | "lst" | "show") => {
                words.finish()?;
                Ok(self.ip_rule_show(family))
            }
            Some("flush") => {
                words.finish()?;
                match family {
                    Family::V6 => self.fib.v6.rules.flush(),
                    _ => self.fib.v4.rules.flush(),
                }
                Ok(String::new())
            }
            Some(add @ ("add" | "delete")) => {
                let (family, typed) = self.parse_rule(family, words)?;
                let done = match family {
                    Family::V6 => modify(&mut self.fib.v6, &typed, add == "add"),
                    _ => modify(&mut self.fib.v4, &typed, add == "add"),
                };
                done.map_err(|problem| command.error(problem))?;
                Ok(String::new())
            }
            _ => Err(command.error("unknown command of ip rule")),
        }
    }

    /// `iprule_modify()`.
    fn parse_rule(
        &self,
        family: Family,
        mut words: Words<'_>,
    ) -> Result<(Family, Typed), CommandError> {
        let (mut family, mut typed) = (family, Typed::default());
        while let Some(word) = words.next() {
            match word.text {
                "not" => typed.invert = true,
                "from" => typed.from = selector(&mut family, &mut words)?,
                "to" => typed.to = selector(&mut family, &mut words)?,
                "iif" | "dev" => typed.iif = Some(self.rule_dev(&mut words)?),
                "oif" => typed.oif = Some(self.rule_dev(&mut words)?),
                "priority" | "preference" | "pref" | "order" => {
                    typed.priority = Some(words.expect("a priority")?.number()?);
                }
                "fwmark" => typed.mark = Some(mark(words.expect("a mark")?)?),
                "tos" | "dsfield" => typed.tos = route_tos(&mut words)?,
                "ipproto" => {
                    let protocol = words.expect("an IP protocol")?;
                    typed.ipproto = protocol.named(names::parse_ipproto, "an IP protocol")?;
                }
                "sport" => typed.sport = Some(ports(words.expect("a port")?)?),
                "dport" => typed.dport = Some(ports(words.expect("a port")?)?),
                "uidrange" => typed.uids = Some(uids(words.expect("a range of users")?)?),
                "protocol" => {
                    let protocol = words.expect("a routing protocol")?;
                    let protocol = protocol.named(names::parse_protocol, "a routing protocol")?;
                    typed.protocol = Some(protocol);
                }
                "table" | "lookup" => {
                    let table = words.expect("a table")?;
                    let table = table.named(names::parse_table, "a table")?;
                    typed.action = Some(Action::Table(table));
                }
                "suppress_prefixlength" | "sup_pl" => {
                    typed.suppress = Some(words.parse("a prefix length")?);
                }
                "suppress_ifgroup" | "sup_group" => {
                    let word = words.expect("a group of devices")?;
                    typed.suppress_group = Some(word.group()?);
                }
                "realms" | "realm" => {
                    typed.realms = Some(words.expect("a realm")?.realms()?);
                }
                "l3mdev" => typed.action = Some(Action::L3mdev),
                "goto" => {
                    typed.action = Some(Action::Goto(words.expect("a priority")?.number()?));
                }
                "nop" => typed.action = Some(Action::Nop),
                "blackhole" => typed.action = Some(Action::Blackhole),
                "unreachable" => typed.action = Some(Action::Unreachable),
                "prohibit" => typed.action = Some(Action::Prohibit),
                "type" => {
                    let kind = words.expect("a rule type")?;
                    typed.action = match kind.text {
                        "unicast" => typed.action,
                        "blackhole" => Some(Action::Blackhole),
                        "unreachable" => Some(Action::Unreachable),
                        "prohibit" => Some(Action::Prohibit),
                        _ => return Err(kind.error("not a rule type")),
                    };
                }
                _ => return Err(word.error("unknown word of a rule")),
            }
        }
        Ok((family, typed))
    }

    fn rule_dev(&self, words: &mut Words<'_>) -> Result<RuleDev, CommandError> {
        let name = words.expect("a device")?.text.to_owned();
        let index = self.device_by_name(&name).unwrap_or(IfIndex::NONE);
        Ok(RuleDev { name, index })
    }

    fn ip_rule_show(&self, family: Family) -> String {
        match family {
            Family::V6 => show(&self.fib.v6),
            _ => show(&self.fib.v4),
        }
    }
}

/// `PREFIX`; `all` is any.
fn selector(family: &mut Family, words: &mut Words<'_>) -> Result<Option<IpCidr>, CommandError> {
    let word = words.expect("a prefix")?;
    if word.is_default() {
        return Ok(None);
    }
    let prefix = word.prefix(*family)?;
    *family = match prefix.address() {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    Ok(Some(prefix))
}

/// `MARK[/MASK]`.
fn mark(word: Word<'_>) -> Result<(u32, u32), CommandError> {
    let (mark, mask) = match word.text.split_once('/') {
        Some((mark, mask)) => (mark, names::parse_number(mask)),
        None => (word.text, Some(u32::MAX)),
    };
    names::parse_number(mark)
        .zip(mask)
        .ok_or_else(|| word.error("not a mark"))
}

/// `PORT` or `FIRST-LAST`.
fn ports(word: Word<'_>) -> Result<(u16, u16), CommandError> {
    let (first, last) = word.text.split_once('-').unwrap_or((word.text, word.text));
    let port = |text: &str| text.parse().ok().filter(|&port: &u16| port != 0);
    port(first)
        .zip(port(last))
        .filter(|(first, last)| first <= last)
        .ok_or_else(|| word.error("not a port or a range of ports"))
}

/// `FIRST-LAST`.
fn uids(word: Word<'_>) -> Result<(u32, u32), CommandError> {
    let range = word.text.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    });
    range.ok_or_else(|| word.error("not a range of users"))
}

/// A prefix as a rule has it, host bits kept as typed.
fn key<K: Key>(prefix: Option<IpCidr>) -> (K, u8) {
    match prefix {
        None => (K::default(), 0),
        Some(prefix) => {
            let bits = match prefix.address() {
                IpAddr::V4(a) => a.to_bits().into(),
                IpAddr::V6(a) => a.to_bits(),
            };
            (K::from_v6(bits), prefix.prefix_len())
        }
    }
}

/// `fib_nl_newrule()`, `fib_nl_delrule()`.
fn modify<K: Key>(rpdb: &mut Rpdb<K>, typed: &Typed, add: bool) -> Result<(), String> {
    let rules = &mut rpdb.rules;
    let (mark, mask) = typed.mark.unwrap_or((0, 0));
    if !add {
        let matches = |rule: &Rule<K>| {
            let same = typed.priority.is_none_or(|p| rule.priority == p)
                && typed.from.is_none_or(|_| rule.from == key(typed.from))
                && typed.to.is_none_or(|_| rule.to == key(typed.to))
                && typed.mark.is_none_or(|m| (rule.mark, rule.mask) == m)
                && (typed.tos == 0 || rule.tos == typed.tos)
                && (typed.ipproto == 0 || rule.ipproto == typed.ipproto);
            let devices = typed
                .iif
                .as_ref()
                .is_none_or(|d| rule.iif.as_ref() == Some(d))
                && typed
                    .oif
                    .as_ref()
                    .is_none_or(|d| rule.oif.as_ref() == Some(d));
            let ports = typed.sport.is_none_or(|_| rule.sport == typed.sport)
                && typed.dport.is_none_or(|_| rule.dport == typed.dport)
                && typed.uids.is_none_or(|_| rule.uids == typed.uids);
            let action = typed.action.is_none_or(|a| rule.action == a)
                && typed
                    .suppress
                    .is_none_or(|s| rule.suppress_prefixlength == Some(s))
                && typed.realms.is_none_or(|r| rule.realms == r)
                && typed
                    .suppress_group
                    .is_none_or(|g| rule.suppress_ifgroup == Some(g))
                && typed.protocol.is_none_or(|p| rule.protocol == p)
                && (!typed.invert || rule.invert);
            same && devices && ports && action
        };
        return match rules.remove(matches) {
            true => Ok(()),
            false => Err(NO_ENTRY.to_owned()),
        };
    }
    let priority = typed.priority.unwrap_or_else(|| rules.default_priority());
    if let Some(Action::Goto(target)) = typed.action
        && target <= priority
    {
        return Err("Error: Backward goto not supported.".to_owned());
    }
    let rule = Rule {
        invert: typed.invert,
        from: key(typed.from),
        to: key(typed.to),
        iif: typed.iif.clone(),
        oif: typed.oif.clone(),
        mark,
        mask,
        tos: typed.tos,
        ipproto: typed.ipproto,
        sport: typed.sport,
        dport: typed.dport,
        uids: typed.uids,
        suppress_prefixlength: typed.suppress,
        suppress_ifgroup: typed.suppress_group,
        realms: typed.realms.unwrap_or(0),
        protocol: typed.protocol.unwrap_or(RTPROT_BOOT),
        ..Rule::new(
            priority,
            typed.action.unwrap_or(Action::Table(RT_TABLE_MAIN)),
        )
    };
    rpdb.realms |= rule.realms != 0;
    match rules.add(rule) {
        true => Ok(()),
        false => Err(EXISTS.to_owned()),
    }
}

/// `print_rule()` for all rules.
fn show<K: Key>(rpdb: &Rpdb<K>) -> String {
    let mut out = String::new();
    for rule in rpdb.rules.list() {
        let _ = write!(out, "{}:\t", rule.priority);
        if rule.invert {
            out += "not ";
        }
        let _ = write!(out, "from {}", prefix(rule.from));
        if rule.to.1 != 0 {
            let _ = write!(out, " to {}", prefix(rule.to));
        }
        if rule.tos != 0 {
            let _ = write!(out, " tos {:#04x}", rule.tos);
        }
        if rule.mark != 0 || rule.mask != 0 {
            let _ = write!(out, " fwmark {:#x}", rule.mark);
            if rule.mask != u32::MAX {
                let _ = write!(out, "/{:#x}", rule.mask);
            }
        }
        for (name, dev) in [("iif", &rule.iif), ("oif", &rule.oif)] {
            if let Some(dev) = dev {
                let _ = write!(out, " {name} {}", dev.name);
                if dev.index == IfIndex::NONE {
                    out += " [detached]";
                }
            }
        }
        if let Some((first, last)) = rule.uids {
            let _ = write!(out, " uidrange {first}-{last}");
        }
        if rule.ipproto != 0 {
            let _ = write!(out, " ipproto {}", names::ipproto_name(rule.ipproto));
        }
        for (name, range) in [("sport", rule.sport), ("dport", rule.dport)] {
            match range {
                Some((first, last)) if first == last => {
                    let _ = write!(out, " {name} {first}");
                }
                Some((first, last)) => {
                    let _ = write!(out, " {name} {first}-{last}");
                }
                None => {}
            }
        }
        match rule.action {
            Action::Table(table) => {
                let _ = write!(out, " lookup {}", names::table_name(table));
                if let Some(len) = rule.suppress_prefixlength {
                    let _ = write!(out, " suppress_prefixlength {len}");
                }
                match rule.suppress_ifgroup {
                    Some(0) => out += " suppress_ifgroup default",
                    Some(group) => {
                        let _ = write!(out, " suppress_ifgroup {group}");
                    }
                    None => {}
                }
            }
            Action::Goto(priority) => {
                let _ = write!(out, " goto {priority}");
                if rpdb.rules.target(priority).is_none() {
                    out += " [unresolved]";
                }
            }
            Action::L3mdev => out += " lookup [l3mdev-table]",
            Action::Nop => out += " nop",
            Action::Blackhole => out += " blackhole",
            Action::Unreachable => out += " unreachable",
            Action::Prohibit => out += " prohibit",
        }
        if rule.realms != 0 {
            let _ = write!(out, " {}", realms(rule.realms).trim_end());
        }
        if !matches!(rule.protocol, RTPROT_KERNEL | RTPROT_BOOT) {
            let _ = write!(out, " proto {}", names::protocol_name(rule.protocol));
        }
        out.push('\n');
    }
    out
}

/// `all`, `10.0.0.1` or `10.0.0.0/8`.
fn prefix<K: Key>((key, len): (K, u8)) -> String {
    let address = match key.as_v4() {
        Some(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4)),
        None => IpAddr::V6(Ipv6Addr::from_bits(key.as_v6())),
    };
    match len {
        0 => "all".to_owned(),
        _ if len == K::BITS => address.to_string(),
        _ => format!("{address}/{len}"),
    }
}
