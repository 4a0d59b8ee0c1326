//! Devices are taken down and brought up (`ip link set DEV down|up`): what goes and comes with it in the routing tables, the neighbour table
//! and the connections.

use crate::error::StackError;
use crate::neigh::NudState;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::net::IpAddr;

/// `IFNAMSIZ` without the zero at the end: bytes of a device's name.
pub(crate) const IFNAMSIZ_MAX: usize = 15;

impl Stack {
    /// `IFF_UP`.
    pub fn is_up(&self, dev: IfIndex) -> bool {
        self.device(dev).is_some_and(|device| device.up)
    }

    /// `ip link set DEV up|down` (`dev_open()`, `dev_close()`). A device that is down receives and sends nothing.
    pub fn set_link(&mut self, dev: IfIndex, up: bool) -> Result<(), StackError> {
        let device = self.device_mut(dev).ok_or(StackError::NoDevice(dev))?;
        if std::mem::replace(&mut device.up, up) == up {
            return Ok(());
        }
        match up {
            true => self.netdev_up(dev),
            false => self.netdev_down(dev),
        }
        self.veth_carrier(dev);
        // vlan_device_event(): a VLAN is up and down with its device.
        for vlan in self.vlans_of(dev) {
            self.set_link(vlan, up)?;
        }
        Ok(())
    }

    /// `ip link set DEV name NAME` (`dev_change_name()`): rules that name devices follow the name, what knows the device by its number follows it.
    ///
    /// # Errors
    /// No such device, or another one has the name.
    pub fn rename_device(&mut self, dev: IfIndex, name: &str) -> Result<(), StackError> {
        match self.device_by_name(name) {
            Some(other) if other == dev => return Ok(()),
            Some(_) => return Err(StackError::DeviceExists(name.to_owned())),
            None => {}
        }
        let device = self.device_mut(dev).ok_or(StackError::NoDevice(dev))?;
        let old = std::mem::replace(&mut device.name, name.to_owned());
        // fib_rules_event()
        self.fib.v4.rules.attach(&old, IfIndex::NONE);
        self.fib.v4.rules.attach(name, dev);
        self.fib.v6.rules.attach(&old, IfIndex::NONE);
        self.fib.v6.rules.attach(name, dev);
        // inetdev_changename()
        for ifa in self.addrs.iter_mut().filter(|ifa| ifa.dev == dev) {
            if let Some(label) = &mut ifa.label {
                let text = String::from_utf8_lossy(label);
                let text = text.trim_end_matches('\0');
                let renamed = format!("{name}{}", text.strip_prefix(&old).unwrap_or_default());
                let len = renamed.len().min(IFNAMSIZ_MAX);
                *label = [0; 16];
                label[..len].copy_from_slice(&renamed.as_bytes()[..len]);
            }
        }
        self.nft_rename_device();
        Ok(())
    }

    /// `dev_set_mac_address()`: the device has another MAC address, and so have its VLANs that had the same; neighbours are forgotten
    /// (`neigh_changeaddr()`). Errors with [`StackError::NotSupported`] when its driver cannot.
    pub fn set_mac(&mut self, dev: IfIndex, mac: [u8; 6]) -> Result<(), StackError> {
        let device = self.device_mut(dev).ok_or(StackError::NoDevice(dev))?;
        if !device.ops.set_mac(mac) {
            return Err(StackError::NotSupported(dev));
        }
        let old = std::mem::replace(&mut device.mac, mac);
        self.neigh_flush_dev(dev);
        if self.is_up(dev) {
            self.arp_notify(dev);
        }
        for vlan in self.vlans_of(dev) {
            if self.device(vlan).is_some_and(|device| device.mac == old) {
                self.set_mac(vlan, mac)?;
            }
        }
        Ok(())
    }

    /// `NETDEV_UP`: the routes of the addresses are made again, all others are not.
    fn netdev_up(&mut self, dev: IfIndex) {
        let of_dev = self.addrs.iter().filter(|a| a.dev == dev).copied();
        for ifa in of_dev.collect::<Vec<_>>() {
            self.install_ifa_again(&ifa);
        }
        self.fib.sync_up(dev);
        self.addrconf_up(dev);
        self.arp_notify(dev);
    }

    /// `addrconf_notify()` of a device that is up: it gets its link-local address.
    pub(crate) fn addrconf_up(&mut self, dev: IfIndex) {
        if self.config.ipv6 && dev != IfIndex::LO && self.is_up(dev) {
            self.addrconf_dev_config(dev);
        }
    }

    /// `addrconf_ifdown()`: the device's IPv6 addresses go.
    pub(crate) fn addrconf_ifdown(&mut self, dev: IfIndex) {
        let of_dev = |a: &&crate::inetaddr::IfAddr| a.dev == dev && a.v4().is_none();
        let own: Vec<_> = self.addrs.iter().filter(of_dev).map(|a| a.cidr).collect();
        for cidr in own {
            // It is there: it was just listed.
            let _ = self.del_addr(dev, cidr);
        }
    }

    /// `inetdev_event()`: with `arp_notify` the addresses are announced.
    fn arp_notify(&mut self, dev: IfIndex) {
        if self.ipv4_conf.max(dev, |c| c.arp_notify) != 0 {
            self.arp_announce(dev);
        }
    }

    /// `NETDEV_DOWN`: the device's routes go, except those that say which addresses are this host's own; so do its IPv6 addresses.
    fn netdev_down(&mut self, dev: IfIndex) {
        self.dev_deactivate(dev);
        self.addrconf_ifdown(dev);
        self.fib.remove_nexthops_of(dev);
        self.fib.sync_down_dev(dev);
        self.neigh_flush_dev(dev);
        self.nf_nat_masq_device_down(dev);
    }

    /// `neigh_flush_dev()`: all neighbours that are reached through the device.
    fn neigh_flush_dev(&mut self, dev: IfIndex) {
        self.neigh_flush(dev, |_| true);
    }

    /// `neigh_carrier_down()`: all that nobody entered for good.
    pub(crate) fn neigh_carrier_down(&mut self, dev: IfIndex) {
        self.neigh_flush(dev, |state| state != NudState::Permanent);
    }

    fn neigh_flush(&mut self, dev: IfIndex, goes: impl Fn(NudState) -> bool) {
        let neighbours: Vec<IpAddr> = self
            .neighbours()
            .filter(|n| n.dev == dev && goes(n.state))
            .map(|n| n.address)
            .collect();
        for address in neighbours {
            self.del_neighbour(dev, address);
        }
    }
}
