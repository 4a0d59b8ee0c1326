//! `ip link`.

use super::parse::mac;
use super::{Output, choose};
use crate::command::Words;
use crate::netdev::NetDevice;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::Write;

/// `IFNAMSIZ` without the zero at the end: bytes of a device's name.
const IFNAMSIZ_MAX: usize = 15;
/// Least MTU of an Ethernet device in bytes.
const ETH_MIN_MTU: u16 = 68;

impl Stack {
    /// `ip link [show|set|add] …`. Only devices of type ifb can be added. Their drivers say the MAC address and the largest MTU: only a smaller one
    /// can be set.
    pub(super) fn ip_link(&mut self, mut words: Words<'_>) -> Output {
        let Some(command) = words.next() else {
            return Ok(self.ip_link_show(None));
        };
        match choose(command, &["add", "set", "show", "lst", "list"]) {
            Some("add") => self.ip_link_add(words),
            Some("set") => {
                words.accept("dev");
                let dev = self.ip_device(&mut words)?;
                let mut up = None;
                while let Some(word) = words.next() {
                    match word.text {
                        "up" | "down" => up = Some(word.text == "up"),
                        "mtu" => {
                            let word = words.expect("an MTU")?;
                            let mtu = word.text.parse::<u16>();
                            let most = self.device(dev).map_or(0, |d| d.ops.mtu());
                            let mtu = mtu.ok().filter(|mtu| (ETH_MIN_MTU..=most).contains(mtu));
                            let Some(mtu) = mtu else {
                                let text = format!("an MTU is {ETH_MIN_MTU} to {most} here");
                                return Err(word.error(text));
                            };
                            if let Some(device) = self.device_mut(dev) {
                                device.mtu = Some(mtu);
                            }
                        }
                        _ => return Err(word.error("only up, down and mtu can be set")),
                    }
                }
                if let Some(up) = up {
                    // The device is there.
                    let _ = self.set_link(dev, up);
                }
                self.flush_devices();
                Ok(String::new())
            }
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
                Ok(self.ip_link_show(name.as_deref()))
            }
            None => Err(command.error("unknown command of ip link")),
        }
    }

    /// `ip link add [name] NAME type ifb`.
    fn ip_link_add(&mut self, mut words: Words<'_>) -> Output {
        let _ = words.accept("name") || words.accept("dev");
        let name = words.expect("a name")?;
        if name.text.is_empty() || name.text.len() > IFNAMSIZ_MAX || name.text.contains('/') {
            return Err(name.error("not a name for a device"));
        }
        if !words.accept("type") {
            return Err(match words.next() {
                Some(word) => word.error("unknown option of ip link add"),
                None => words.end_error("\"type\" is missing"),
            });
        }
        let kind = words.expect("a type of device")?;
        if kind.text != "ifb" {
            return Err(kind.error("unknown device type: ifb"));
        }
        words.finish()?;
        match self.add_ifb(name.text) {
            Ok(_) => Ok(String::new()),
            Err(error) => Err(name.error(error.to_string())),
        }
    }

    fn ip_link_show(&self, name: Option<&str>) -> String {
        let mut out = String::new();
        for device in &self.devices {
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
        }
        out
    }

    /// `print_linkinfo()`: the first line of a device. `queue`: with what only link messages say; `mode`: as `ip link` has it.
    pub(super) fn link_line(&self, device: &NetDevice, queue: bool, mode: bool) -> String {
        let loopback = device.index == IfIndex::LO;
        let carrier = loopback || device.ops.link_up();
        let flags = match (loopback, carrier) {
            (true, _) if !device.up => "LOOPBACK",
            _ if !device.up && device.is_ifb => "BROADCAST,NOARP",
            _ if !device.up => "BROADCAST,MULTICAST",
            (true, _) => "LOOPBACK,UP,LOWER_UP",
            _ if device.is_ifb => "BROADCAST,NOARP,UP,LOWER_UP",
            (false, true) => "BROADCAST,MULTICAST,UP,LOWER_UP",
            (false, false) => "NO-CARRIER,BROADCAST,MULTICAST,UP",
        };
        let state = match (loopback, carrier) {
            _ if !device.up => "DOWN",
            (true, _) => "UNKNOWN",
            _ if device.is_ifb => "UNKNOWN",
            (false, true) => "UP",
            (false, false) => "DOWN",
        };
        let (index, name, mtu) = (device.index.0, &device.name, self.mtu(device.index));
        let qdisc = match queue {
            true => format!("qdisc {} ", device.qdisc.kind()),
            false => String::new(),
        };
        let qlen = device.tx_queue_len();
        let group = match (queue, mode) {
            (false, _) => "",
            (true, true) => "mode DEFAULT group default ",
            (true, false) => "group default ",
        };
        format!("{index}: {name}: <{flags}> mtu {mtu} {qdisc}state {state} {group}qlen {qlen}\n")
    }
}
