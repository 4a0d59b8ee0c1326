//! `ip addr`.

use super::parse::{mac, refusal};
use super::{Family, Output, choose};
use crate::addr::IpCidr;
use crate::command::{CommandError, Word, Words};
use crate::dad::Dad;
use crate::fib::{Scope, names};
use crate::inetaddr::{IfAddr, Lifetime};
use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::{Ps, SEC};
use std::fmt::Write;
use std::net::IpAddr;

impl Stack {
    /// `ip addr [show|add|delete|flush] …`
    pub(super) fn ip_addr(&mut self, family: Family, mut words: Words<'_>) -> Output {
        let Some(command) = words.next() else {
            return Ok(self.ip_addr_show(family, None));
        };
        // iproute2's order.
        let names = [
            "add", "change", "chg", "replace", "delete", "list", "show", "lst", "flush",
        ];
        match choose(command, &names) {
            Some("list" | "show" | "lst") => {
                words.accept("dev");
                let dev = match words.is_empty() {
                    true => None,
                    false => Some(self.ip_device(&mut words)?),
                };
                words.finish()?;
                Ok(self.ip_addr_show(family, dev))
            }
            Some("flush") => {
                words.accept("dev");
                let dev = self.ip_device(&mut words)?;
                words.finish()?;
                let doomed: Vec<IpCidr> = self
                    .device_addrs(dev)
                    .filter(|a| family.includes(a.address().is_ipv4()))
                    .collect();
                for cidr in doomed {
                    // A secondary address went with its primary one.
                    let _ = self.del_addr(dev, cidr);
                }
                Ok(String::new())
            }
            Some("change" | "chg") => self.ip_addr_modify(family, "replace", words),
            Some(verb @ ("add" | "replace" | "delete")) => self.ip_addr_modify(family, verb, words),
            _ => Err(command.error("unknown command of ip addr")),
        }
    }

    /// `ipaddr_modify()`.
    fn ip_addr_modify(&mut self, family: Family, verb: &str, mut words: Words<'_>) -> Output {
        words.accept("local");
        let at = words.expect("an address")?;
        if at.is_default() {
            return Err(at.error("not an address"));
        }
        let cidr = at.prefix(family)?;
        let mut ifa = IfAddr::new(IfIndex::NONE, cidr);
        let (mut dev, mut label, mut preferred) = (None, None, None);
        while let Some(word) = words.next() {
            match word.text {
                "dev" => dev = Some(self.ip_device(&mut words)?),
                "scope" => {
                    let scope = words.expect("a scope")?;
                    ifa.scope = scope.named(names::parse_scope, "a scope")?;
                }
                "broadcast" | "brd" => {
                    let word = words.expect("a broadcast address")?;
                    ifa.broadcast = match (word.text, cidr.broadcast()) {
                        ("+", Some(last)) => Some(last),
                        ("+", None) => {
                            return Err(word.error("the network has no broadcast address"));
                        }
                        _ => match word.address(Family::V4)? {
                            IpAddr::V4(address) if cidr.address().is_ipv4() => Some(address),
                            _ => return Err(word.error("IPv6 has no broadcast")),
                        },
                    };
                }
                // For IPv4, iproute2 only warns.
                "nodad" => ifa.nodad = cidr.address().is_ipv6(),
                "noprefixroute" => ifa.noprefixroute = true,
                "peer" | "remote" if cidr.address().is_ipv4() => {
                    let peer = words
                        .expect("the address of the other end")?
                        .prefix(Family::V4)?;
                    let own = IpCidr::new(cidr.address(), peer.prefix_len());
                    ifa.cidr = own.map_err(|_| word.error("not a prefix"))?;
                    ifa.peer = (peer.address() != cidr.address()).then_some(peer);
                }
                "label" if cidr.address().is_ipv4() => label = Some(words.expect("a label")?),
                "metric" | "priority" | "preference" => ifa.metric = words.parse("a metric")?,
                "valid_lft" => ifa.lifetime.valid = self.lifetime(&mut words, cidr, 1)?,
                "preferred_lft" => {
                    preferred = Some(word);
                    ifa.lifetime.preferred = self.lifetime(&mut words, cidr, 0)?;
                }
                "peer" | "remote" | "label" | "anycast" => {
                    return Err(word.error("is not supported for IPv6 here"));
                }
                _ => return Err(word.error("unknown word of an address")),
            }
        }
        ifa.dev = dev.ok_or_else(|| words.end_error("dev DEVICE is missing"))?;
        let cidr = ifa.cidr;
        if let Some(word) = label {
            ifa.label = Some(self.label(ifa.dev, word)?);
        }
        if let (Some(word), Lifetime { valid, preferred }) = (preferred, ifa.lifetime)
            && valid.is_some_and(|end| preferred.is_none_or(|earlier| earlier > end))
        {
            return Err(word.error("preferred_lft is greater than valid_lft"));
        }
        let done = match verb {
            "delete" => self.del_addr(ifa.dev, cidr).map_err(|_| {
                let family = if cidr.address().is_ipv4() {
                    "ipv4"
                } else {
                    "ipv6"
                };
                match family {
                    "ipv4" => "Error: ipv4: Address not found.".to_owned(),
                    _ => "RTNETLINK answers: Cannot assign requested address".to_owned(),
                }
            }),
            "replace" if self.replace_ifa(&ifa) => Ok(()),
            _ => self.insert_ifa(ifa).map_err(|error| refusal(&error)),
        };
        done.map_err(|problem| at.error(problem))?;
        self.flush_devices();
        Ok(String::new())
    }

    /// Seconds from now on, or `forever`.
    fn lifetime(
        &self,
        words: &mut Words<'_>,
        cidr: IpCidr,
        least: u32,
    ) -> Result<Option<Ps>, CommandError> {
        let word = words.expect("seconds or forever")?;
        match word.text {
            "forever" => Ok(None),
            _ if cidr.address().is_ipv6() => Err(word.error("IPv6 addresses live forever here")),
            _ => match word.parse::<u32>("seconds or forever")? {
                seconds if seconds < least => Err(word.error("valid_lft is zero")),
                // INFINITY_LIFE_TIME
                u32::MAX => Ok(None),
                seconds => Ok(Some(self.now + Ps::from(seconds) * SEC)),
            },
        }
    }

    /// A name for an address: that of the device, and what one likes behind it.
    fn label(&self, dev: IfIndex, word: Word<'_>) -> Result<[u8; 16], CommandError> {
        let device = self.device_name(dev).unwrap_or_default();
        if !word.text.starts_with(device) {
            return Err(word.error(format!("\"dev\" ({device}) must match \"label\"")));
        }
        let mut label = [0; 16];
        match label[..15].get_mut(..word.text.len()) {
            Some(place) => place.copy_from_slice(word.text.as_bytes()),
            None => return Err(word.error("a label has at most 15 bytes")),
        }
        Ok(label)
    }

    fn ip_addr_show(&self, family: Family, dev: Option<IfIndex>) -> String {
        let mut out = String::new();
        for device in self.netdevs() {
            if dev.is_some_and(|d| d != device.index) {
                continue;
            }
            let of_dev =
                |a: &&IfAddr| a.dev == device.index && family.includes(a.cidr.address().is_ipv4());
            // With a family, only devices that have such addresses.
            if family != Family::Any && !self.addrs.iter().any(|a| of_dev(&a)) {
                continue;
            }
            out += &self.link_line(device, family != Family::V6, false);
            if family == Family::Any {
                let (kind, address, broadcast) = match device.index == IfIndex::LO {
                    true => ("loopback", [0; 6], [0; 6]),
                    false => ("ether", device.mac, [0xff; 6]),
                };
                let _ = writeln!(
                    out,
                    "    link/{kind} {} brd {}",
                    mac(address),
                    mac(broadcast)
                );
            }
            for ifa in self
                .addrs
                .iter()
                .filter(of_dev)
                .filter(|a| a.v4().is_some())
            {
                let _ = match (ifa.peer, ifa.v4()) {
                    (Some(peer), Some(own)) => write!(out, "    inet {own} peer {peer} "),
                    _ => write!(out, "    inet {} ", ifa.cidr),
                };
                if ifa.metric != 0 {
                    let _ = write!(out, "metric {} ", ifa.metric);
                }
                if let Some(broadcast) = ifa.broadcast {
                    let _ = write!(out, "brd {broadcast} ");
                }
                let _ = write!(out, "scope {} ", names::scope_name(ifa.scope));
                if ifa.secondary {
                    out += "secondary ";
                }
                if ifa.lifetime.preferred.is_some_and(|at| at <= self.now) {
                    out += "deprecated ";
                }
                if ifa.lifetime.valid.is_some() {
                    out += "dynamic ";
                }
                if ifa.noprefixroute {
                    out += "noprefixroute ";
                }
                let label = ifa.label.unwrap_or_default();
                let label = String::from_utf8_lossy(&label);
                let _ = writeln!(
                    out,
                    "{}",
                    match label.trim_end_matches('\0') {
                        "" => &device.name,
                        label => label,
                    }
                );
                let left = |end: Option<Ps>| match end {
                    None => "forever".to_owned(),
                    Some(end) => format!("{}sec", end.saturating_sub(self.now).div_ceil(SEC)),
                };
                let Lifetime { valid, preferred } = ifa.lifetime;
                // IFA_F_PERMANENT: what lives forever has no other times.
                let preferred = valid.and(preferred);
                let (valid, preferred) = (left(valid), left(preferred));
                let _ = writeln!(out, "       valid_lft {valid} preferred_lft {preferred}");
            }
            for ifa in self
                .addrs
                .iter()
                .filter(of_dev)
                .filter(|a| a.v4().is_none())
            {
                let scope = match ifa.scope {
                    Scope::UNIVERSE => "global".into(),
                    scope => names::scope_name(scope),
                };
                let _ = write!(out, "    inet6 {} ", ifa.cidr);
                if ifa.metric != 0 {
                    let _ = write!(out, "metric {} ", ifa.metric);
                }
                let _ = write!(out, "scope {scope} ");
                // iproute2's order.
                for (is, flag) in [
                    (ifa.nodad, "nodad "),
                    (ifa.dad == Dad::Failed, "dadfailed "),
                    (ifa.dad.is_tentative(), "tentative "),
                    (ifa.noprefixroute, "noprefixroute "),
                ] {
                    out += if is { flag } else { "" };
                }
                out.push('\n');
                out += LIFETIME;
            }
        }
        out
    }
}

/// IPv6 addresses do not expire here.
const LIFETIME: &str = "       valid_lft forever preferred_lft forever\n";
