//! `unregister_netdevice()`: a device goes (`ip link del`). Its number is never another device's, so what still has the number finds nothing.

use crate::error::StackError;
use crate::netdev::{DeviceKind, NetDevice};
use crate::skb::IfIndex;
use crate::stack::Stack;

impl Stack {
    /// `for_each_netdev()`: the devices that are there, in the order of their numbers.
    pub(crate) fn netdevs(&self) -> impl Iterator<Item = &NetDevice> {
        let there = |device: &&NetDevice| device.kind != DeviceKind::Gone;
        self.devices.iter().filter(there)
    }

    /// `ip link del DEV`: the device is gone, with its addresses, routes, neighbours, queues and filters, the VLANs on it, and the other end of a veth.
    /// Rules that name it wait for another one of that name.
    ///
    /// # Errors
    /// No such device; [`StackError::NotSupported`] of one that no command made, `lo` among them.
    pub fn del_device(&mut self, dev: IfIndex) -> Result<(), StackError> {
        let device = self.device(dev).ok_or(StackError::NoDevice(dev))?;
        if device.kind == DeviceKind::Driver {
            return Err(StackError::NotSupported(dev));
        }
        let peer = self.veth_peer(dev);
        self.unregister_netdevice(dev);
        if let Some(peer) = peer {
            self.unregister_netdevice(peer);
        }
        self.nft_rename_device();
        self.flush_devices();
        Ok(())
    }

    /// `unregister_netdevice_many_notify()`.
    fn unregister_netdevice(&mut self, dev: IfIndex) {
        // vlan_device_event()
        for vlan in self.vlans_of(dev) {
            self.unregister_netdevice(vlan);
        }
        // It is there.
        let _ = self.set_link(dev, false);
        self.addrconf_ifdown(dev);
        // inetdev_destroy()
        let own: Vec<_> = self.device_addrs(dev).collect();
        for cidr in own {
            // Secondary ones went with the first of their network.
            let _ = self.del_addr(dev, cidr);
        }
        self.fib.remove_routes_of(dev);
        self.neighbours.remove_proxies_of(dev);
        // dev_shutdown(), tcx_uninstall(), dev_xdp_uninstall()
        self.replace_root(dev, None);
        let Some(device) = self.device_mut(dev) else {
            return;
        };
        let name = std::mem::take(&mut device.name);
        device.kind = DeviceKind::Gone;
        device.alias.clear();
        device.clsact = None;
        device.xdp = None;
        // fib_rules_event()
        self.fib.v4.rules.attach(&name, IfIndex::NONE);
        self.fib.v6.rules.attach(&name, IfIndex::NONE);
    }
}
