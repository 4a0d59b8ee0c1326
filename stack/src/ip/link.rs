//! `ip link`.

use super::parse::{mac, parse_mac};
use super::{Output, choose};
use crate::command::{CommandError, Word, Words};
use crate::link::IFNAMSIZ_MAX;
use crate::netdev::{DeviceKind, NetDevice};
use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::stats::LinkStats;
use crate::virtual_dev::VLAN_PROTOCOLS;
use std::fmt::Write;

/// Least MTU of an Ethernet device in bytes.
const ETH_MIN_MTU: u16 = 68;
/// First number that is no VLAN id.
const VLAN_VID_MASK: u16 = 0xfff;

impl Stack {
    /// `ip link [show|set|add|delete] …`. Drivers say the largest MTU, and whether their MAC address can be set.
    pub(super) fn ip_link(&mut self, mut words: Words<'_>, statistics: bool) -> Output {
        let Some(command) = words.next() else {
            return Ok(self.ip_link_show(None, statistics));
        };
        match choose(command, &["add", "set", "delete", "show", "lst", "list"]) {
            Some("add") => self.ip_link_add(words),
            Some("delete") => self.ip_link_delete(words),
            Some("set") => self.ip_link_set(words),
            Some(_) => {
                words.accept("dev");
                let name = match words.is_empty() {
                    true => None,
                    false => {
                        let dev = self.ip_device(&mut words)?;
                        self.device_name(dev).map(str::to_owned)
                    }
                };
                words.finish()?;
                Ok(self.ip_link_show(name.as_deref(), statistics))
            }
            None => Err(command.error("unknown command of ip link")),
        }
    }

    /// `ip link set [dev] NAME …`: a word after the other, as iproute2 reads them; carried out when all are understood.
    fn ip_link_set(&mut self, mut words: Words<'_>) -> Output {
        words.accept("dev");
        let dev = self.ip_device(&mut words)?;
        let mut up = None;
        let Some(device) = self.device(dev) else {
            return Ok(String::new());
        };
        let (mut flags, mut mtu, mut address) = (device.flags, device.mtu, None);
        let mut name = None;
        let (mut group, mut alias) = (device.group, device.alias.clone());
        let mut tx_queue_len = device.tx_queue_len;
        let most = device.ops.max_mtu();
        while let Some(word) = words.next() {
            match word.text {
                "up" | "down" => up = Some(word.text == "up"),
                "mtu" => mtu = Some(parse_mtu(&mut words, most)?),
                "arp" => flags.noarp = !on_off(&mut words)?,
                "multicast" => flags.multicast = on_off(&mut words)?,
                "allmulticast" => flags.allmulti = on_off(&mut words)?,
                "promisc" => flags.promisc = on_off(&mut words)?,
                "txqueuelen" | "qlen" | "txqlen" => {
                    tx_queue_len = words.parse::<u32>("a number of packets")? as usize;
                }
                "alias" => alias = words.expect("an alias")?.text.to_owned(),
                "group" => {
                    let word = words.expect("a group")?;
                    group = word.group()?;
                }
                "address" | "addr" => {
                    let word = words.expect("a MAC address")?;
                    let mac = parse_mac(word.text).filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]);
                    let mac = mac.ok_or_else(|| word.error("not the MAC address of a device"))?;
                    address = Some((word, mac));
                }
                "name" => {
                    let word = words.expect("a name")?;
                    name = Some(device_name(word)?);
                }
                _ => {
                    let known = "up, down, name, mtu, address, arp, multicast, allmulticast, promisc, txqueuelen, alias and group";
                    return Err(word.error(format!("only {known} can be set")));
                }
            }
        }
        if let Some((word, mac)) = address {
            self.set_mac(dev, mac)
                .map_err(|_| word.error("RTNETLINK answers: Operation not supported"))?;
        }
        if let Some(device) = self.device_mut(dev) {
            (device.flags, device.mtu) = (flags, mtu);
            (device.group, device.alias) = (group, alias);
            device.tx_queue_len = tx_queue_len;
        }
        if let Some(name) = name {
            let text = name.text;
            self.rename_device(dev, text)
                .map_err(|_| name.error("RTNETLINK answers: File exists"))?;
        }
        self.fib.set_group(dev, group);
        if let Some(up) = up {
            // The device is there.
            let _ = self.set_link(dev, up);
        }
        self.flush_devices();
        Ok(String::new())
    }

    /// `ip link delete [dev] NAME [type TYPE]`: whatever its type, as in Linux.
    fn ip_link_delete(&mut self, mut words: Words<'_>) -> Output {
        words.accept("dev");
        let name = words.clone().next();
        let dev = self.ip_device(&mut words)?;
        if words.accept("type") {
            let word = words.expect("a type of device")?;
            if !["ifb", "dummy", "vlan", "veth"].contains(&word.text) {
                return Err(word.error("unknown device type: ifb, dummy, vlan, veth"));
            }
        }
        words.finish()?;
        let refused = |word: Word<'_>| word.error("RTNETLINK answers: Operation not supported");
        match (self.del_device(dev), name) {
            (Err(_), Some(name)) => Err(refused(name)),
            _ => Ok(String::new()),
        }
    }

    /// `ip link add [link DEV] [name] NAME [mtu MTU] [address MAC] [txqueuelen N] type ifb|dummy|vlan|veth …`
    fn ip_link_add(&mut self, mut words: Words<'_>) -> Output {
        let lower = match words.accept("link") {
            true => Some(self.ip_device(&mut words)?),
            false => None,
        };
        let _ = words.accept("name") || words.accept("dev");
        let name = device_name(words.expect("a name")?)?;
        // The same words as for a device that is there, but for those that the type has.
        let mut settings = Vec::new();
        let lower = match (lower, words.accept("link")) {
            (None, true) => Some(self.ip_device(&mut words)?),
            (lower, _) => lower,
        };
        while !words.accept("type") {
            let word = words.next();
            match word.map(|word| word.text) {
                Some(
                    "mtu" | "address" | "txqueuelen" | "arp" | "multicast" | "alias" | "group",
                ) => {
                    settings.extend(word.map(|word| word.text));
                    settings.push(words.expect("a value")?.text);
                }
                Some("up") => settings.push("up"),
                Some(_) => {
                    let unknown = |word: Word<'_>| word.error("unknown option of ip link add");
                    return Err(word.map(unknown).unwrap_or_else(|| words.end_error("")));
                }
                None => return Err(words.end_error("\"type\" is missing")),
            }
        }
        let kind = words.expect("a type of device")?;
        let mut peer_settings = None;
        let added = match (kind.text, lower) {
            ("ifb" | "dummy", Some(_)) => Err("has no other device below it".to_owned()),
            ("ifb", _) => self.add_ifb(name.text).map_err(|e| e.to_string()),
            ("dummy", _) => self.add_dummy(name.text).map_err(|e| e.to_string()),
            ("veth", Some(_)) => Err("has no other device below it".to_owned()),
            ("veth", None) => {
                let (peer, of_peer) = self.veth_options(&mut words)?;
                peer_settings = of_peer.map(|line| format!("{peer} {line}"));
                let added = self.add_veth(name.text, &peer);
                added.map(|(dev, _)| dev).map_err(|e| e.to_string())
            }
            ("vlan", None) => Err("\"link\" and the device below it are missing".to_owned()),
            ("vlan", Some(lower)) => {
                let (proto, id) = vlan_options(&mut words)?;
                let added = self.add_vlan(lower, name.text, proto, id);
                added.map_err(|e| e.to_string())
            }
            _ => return Err(kind.error("unknown device type: ifb, dummy, vlan, veth")),
        };
        words.finish()?;
        added.map_err(|problem| name.error(problem))?;
        if let Some(line) = peer_settings {
            self.ip_link_set(Words::new(&line)?)?;
        }
        match settings.is_empty() {
            true => Ok(String::new()),
            false => {
                let line = format!("{} {}", name.text, settings.join(" "));
                self.ip_link_set(Words::new(&line)?)
            }
        }
    }

    /// `[peer [name] NAME [mtu MTU] …]`: the other end's name, and what is to be set of it.
    fn veth_options(
        &self,
        words: &mut Words<'_>,
    ) -> Result<(String, Option<String>), CommandError> {
        // dev_alloc_name()
        let free = |name: &String| self.device_by_name(name).is_none();
        let numbered = || (0..).map(|i| format!("veth{i}")).find(free);
        if !words.accept("peer") {
            words.clone().finish()?;
            return Ok((numbered().unwrap_or_default(), None));
        }
        let _ = words.accept("name") || words.accept("dev");
        let name = device_name(words.expect("a name")?)?.text.to_owned();
        let mut settings = Vec::new();
        while let Some(word) = words.next() {
            if !["mtu", "address", "txqueuelen", "arp", "multicast"].contains(&word.text) {
                return Err(word.error("unknown option of a veth's peer"));
            }
            settings.extend([word.text, words.expect("a value")?.text]);
        }
        let line = (!settings.is_empty()).then(|| settings.join(" "));
        Ok((name, line))
    }

    fn ip_link_show(&self, name: Option<&str>, statistics: bool) -> String {
        let mut out = String::new();
        for device in self.netdevs() {
            if name.is_some_and(|name| name != device.name) {
                continue;
            }
            out += &self.link_line(device, true, true);
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
            if !device.alias.is_empty() {
                let _ = writeln!(out, "    alias {}", device.alias);
            }
            if statistics {
                write_statistics(&mut out, &device.stats);
            }
        }
        out
    }

    /// `print_linkinfo()`: the first line of a device. `queue`: with what only link messages say; `mode`: as `ip link` has it.
    pub(super) fn link_line(&self, device: &NetDevice, queue: bool, mode: bool) -> String {
        let loopback = device.index == IfIndex::LO;
        let carrier = loopback || device.has_carrier();
        let peer = match device.kind {
            DeviceKind::Veth { peer } => Some(peer),
            _ => None,
        };
        // print_link_flags()
        let flags = [
            (device.up && !carrier, "NO-CARRIER"),
            (loopback, "LOOPBACK"),
            (!loopback, "BROADCAST"),
            (!loopback && device.flags.multicast, "MULTICAST"),
            (device.flags.noarp, "NOARP"),
            (device.flags.allmulti, "ALLMULTI"),
            (device.flags.promisc, "PROMISC"),
            (device.up, "UP"),
            (device.up && carrier, "LOWER_UP"),
            (peer.is_some_and(|peer| !self.is_up(peer)), "M-DOWN"),
        ];
        let flags = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag);
        let flags = flags.collect::<Vec<_>>().join(",");
        let state = match (loopback, carrier) {
            _ if !device.up => "DOWN",
            (true, _) => "UNKNOWN",
            _ if matches!(device.kind, DeviceKind::Ifb | DeviceKind::Dummy) => "UNKNOWN",
            (false, true) => "UP",
            (false, false) if peer.is_some() => "LOWERLAYERDOWN",
            (false, false) => "DOWN",
        };
        let (index, mtu) = (device.index.0, self.mtu(device.index));
        let name = match device.kind {
            DeviceKind::Vlan { lower, .. } | DeviceKind::Veth { peer: lower } => {
                format!(
                    "{}@{}",
                    device.name,
                    self.device_name(lower).unwrap_or("NONE")
                )
            }
            _ => device.name.clone(),
        };
        let qdisc = match queue {
            true => format!("qdisc {} ", device.qdisc.kind()),
            false => String::new(),
        };
        let qlen = device.tx_queue_len;
        let of_group = match device.group {
            0 => "group default ".to_owned(),
            number => format!("group {number} "),
        };
        let group = match (queue, mode) {
            (false, _) => String::new(),
            (true, true) => format!("mode DEFAULT {of_group}"),
            (true, false) => of_group,
        };
        format!("{index}: {name}: <{flags}> mtu {mtu} {qdisc}state {state} {group}qlen {qlen}\n")
    }
}

/// `print_stats64()`: columns as wide as their headings.
fn write_statistics(out: &mut String, stats: &LinkStats) {
    let names = |out: &mut String, head: &str, names: [&str; 6]| {
        let _ = write!(out, "    {head}");
        for name in names {
            let _ = write!(out, " {name:>7}");
        }
        out.push('\n');
    };
    let values = |out: &mut String, values: [u64; 6]| {
        let _ = write!(out, "       ");
        for value in values {
            let _ = write!(out, " {value:>7}");
        }
        out.push('\n');
    };
    let rx = ["bytes", "packets", "errors", "dropped", "missed", "mcast"];
    let tx = [
        "bytes", "packets", "errors", "dropped", "carrier", "collsns",
    ];
    names(out, "RX:", rx);
    let dropped = stats.rx_dropped;
    values(
        out,
        [
            stats.rx_bytes,
            stats.rx_packets,
            0,
            dropped,
            0,
            stats.multicast,
        ],
    );
    names(out, "TX:", tx);
    values(
        out,
        [stats.tx_bytes, stats.tx_packets, 0, stats.tx_dropped, 0, 0],
    );
}

/// `dev_valid_name()`.
fn device_name(name: Word<'_>) -> Result<Word<'_>, CommandError> {
    let wrong = |c: char| c == '/' || c == ':' || c.is_ascii_whitespace();
    let text = name.text;
    let short = !text.is_empty() && text.len() <= IFNAMSIZ_MAX;
    match short && text != "." && text != ".." && !text.contains(wrong) {
        true => Ok(name),
        false => Err(name.error("not a name for a device")),
    }
}

fn on_off(words: &mut Words<'_>) -> Result<bool, CommandError> {
    let word = words.expect("on or off")?;
    match word.text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(word.error("not on or off")),
    }
}

fn parse_mtu(words: &mut Words<'_>, most: u16) -> Result<u16, CommandError> {
    let word = words.expect("an MTU")?;
    let mtu = word.text.parse::<u16>().ok();
    mtu.filter(|mtu| (ETH_MIN_MTU..=most).contains(mtu))
        .ok_or_else(|| word.error(format!("an MTU is {ETH_MIN_MTU} to {most} here")))
}

/// `id ID [protocol PROTO]`: tag protocol and VLAN id.
fn vlan_options(words: &mut Words<'_>) -> Result<(u16, u16), CommandError> {
    let (mut proto, mut id) = (VLAN_PROTOCOLS[0].1, None);
    while let Some(word) = words.next() {
        match word.text {
            "id" => {
                let word = words.expect("a VLAN id")?;
                let number = word.parse::<u16>("a VLAN id")?;
                if number >= VLAN_VID_MASK {
                    return Err(word.error("a VLAN id is 0 to 4094"));
                }
                id = Some(number);
            }
            "protocol" | "proto" => {
                let word = words.expect("a protocol")?;
                let named = |(name, _): &&(&str, u16)| name.eq_ignore_ascii_case(word.text);
                let found = VLAN_PROTOCOLS.iter().find(named);
                proto = found.ok_or_else(|| word.error("not 802.1Q or 802.1ad"))?.1;
            }
            _ => return Err(word.error("only id and protocol can be said of a VLAN")),
        }
    }
    match id {
        Some(id) => Ok((proto, id)),
        None => Err(words.end_error("the id of the VLAN is missing")),
    }
}
