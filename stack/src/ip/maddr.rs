//! `ip maddr`.

use super::parse::{mac, parse_mac};
use super::{Output, choose};
use crate::addr::{multicast_mac_v4, multicast_mac_v6, solicited_node};
use crate::command::Words;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All nodes, on the link and on the interface.
const ALL_NODES: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1),
];

impl Stack {
    /// `ip maddr [show [dev DEVICE]]`, `ip maddr add|delete MAC dev DEVICE`: devices let every multicast frame in, so the latter change nothing.
    pub(super) fn ip_maddr(&mut self, mut words: Words<'_>) -> Output {
        let command = words.next();
        let names = ["add", "delete", "list", "show", "lst"];
        match command.map(|word| (word, choose(word, &names))) {
            Some((_, Some("add" | "delete"))) => {
                let word = words.expect("a MAC address")?;
                let group = parse_mac(word.text).filter(|mac| mac[0] & 1 == 1);
                group.ok_or_else(|| word.error("not the MAC address of a group"))?;
                words.accept("dev");
                self.ip_device(&mut words)?;
                words.finish()?;
                Ok(String::new())
            }
            Some((word, None)) => Err(word.error("unknown command of ip maddr")),
            _ => {
                words.accept("dev");
                let dev = match words.is_empty() {
                    true => None,
                    false => Some(self.ip_device(&mut words)?),
                };
                words.finish()?;
                Ok(self.ip_maddr_show(dev))
            }
        }
    }

    fn ip_maddr_show(&self, only: Option<IfIndex>) -> String {
        let mut out = String::new();
        for device in self.netdevs() {
            if only.is_some_and(|dev| dev != device.index) {
                continue;
            }
            let _ = writeln!(out, "{}:\t{}", device.index.0, device.name);
            let mut v6 = Vec::new();
            if self.config.ipv6 {
                let own = self.device_addrs(device.index);
                let solicited = own.filter_map(|cidr| match cidr.address() {
                    IpAddr::V6(a) if device.index != IfIndex::LO => Some(solicited_node(a)),
                    _ => None,
                });
                v6.extend(solicited);
                v6.sort_unstable();
                v6.dedup();
                v6.extend(ALL_NODES);
            }
            if device.index != IfIndex::LO {
                let _ = writeln!(out, "\tlink  {}", mac(multicast_mac_v4(ALL_HOSTS)));
                for group in v6.iter().filter(|group| **group != ALL_NODES[1]) {
                    let _ = writeln!(out, "\tlink  {}", mac(multicast_mac_v6(*group)));
                }
            }
            let _ = writeln!(out, "\tinet  {ALL_HOSTS}");
            for group in v6 {
                let _ = writeln!(out, "\tinet6 {group}");
            }
        }
        out
    }
}
