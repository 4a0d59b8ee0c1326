//! Devices that commands make (`ip link add`): `dummy`, which takes everything and does nothing with it, and VLANs, which are what another device
//! sends and receives with a tag (drivers/net/dummy.c, net/8021q).

use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::napi::{ETH_P_8021AD, ETH_P_8021Q, is_vlan, vlan_untag};
use crate::netdev::{DeviceKind, NetDeviceOps, NetFeatures};
use crate::page_pool::PagePool;
use crate::skb::{IfIndex, NET_SKB_PAD, PktType, SkBuff, Vlan};
use crate::stack::Stack;
use crate::validate_xmit::vlan_push_inside;
use crate::xmit::ETH_HLEN;

/// Bytes of an Ethernet device's packets, if nobody says otherwise.
const ETH_DATA_LEN: u16 = 1500;
/// Buffers for what this host sends through a dummy.
const POOL: usize = 8;

/// A device that sends into the void and receives nothing.
struct Void {
    mac: [u8; 6],
    mtu: u16,
    max_mtu: u16,
    features: NetFeatures,
    pool: PagePool,
}

impl NetDeviceOps for Void {
    fn start_xmit(&mut self, _: SkBuff) -> Result<(), SkBuff> {
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self, _: usize, _: &mut Vec<SkBuff>) -> usize {
        0
    }

    fn complete(&mut self) -> bool {
        true
    }

    fn link_up(&self) -> bool {
        true
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn max_mtu(&self) -> u16 {
        self.max_mtu
    }

    fn set_mac(&mut self, mac: [u8; 6]) -> bool {
        self.mac = mac;
        true
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn features(&self) -> NetFeatures {
        self.features
    }

    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

impl Stack {
    /// `ip link add NAME type dummy`. The device is down. Errors when there is a device of that name.
    pub fn add_dummy(&mut self, name: &str) -> Result<IfIndex, StackError> {
        self.check_new_name(name)?;
        let [.., a, b, c, d] = (self.devices.len() as u32 + 1).to_be_bytes();
        let ops = Void {
            // Locally administered.
            mac: [0x02, 0xfd, a, b, c, d],
            mtu: ETH_DATA_LEN,
            max_mtu: ETH_DATA_LEN,
            features: NetFeatures {
                hw_csum: true,
                sg: true,
                ..NetFeatures::default()
            },
            pool: PagePool::heap(POOL, NET_SKB_PAD + ETH_HLEN + usize::from(ETH_DATA_LEN)),
        };
        let dev = self.register_device(name, DeviceKind::Dummy, Box::new(ops));
        self.nft_update_hooks();
        Ok(dev)
    }

    /// `ip link add link LOWER name NAME type vlan id ID [protocol PROTO]`: `id` 0 to 4094, `proto` 0x8100 or 0x88a8. The device is down. Errors when
    /// there is a device of that name, or one for that tag.
    pub fn add_vlan(
        &mut self,
        lower: IfIndex,
        name: &str,
        proto: u16,
        id: u16,
    ) -> Result<IfIndex, StackError> {
        self.check_new_name(name)?;
        let real = self.device(lower).ok_or(StackError::NoDevice(lower))?;
        let ops = Void {
            mac: real.mac,
            mtu: self.mtu(lower).try_into().unwrap_or(u16::MAX),
            max_mtu: self.mtu(lower).try_into().unwrap_or(u16::MAX),
            // The real device segments and sums with the tag in the frame as it does without.
            features: real.features,
            pool: real.pool.clone(),
        };
        let tag = Vlan { proto, tci: id };
        if let Some(other) = self.vlan_find_dev(lower, tag) {
            let name = self.device_name(other).unwrap_or_default();
            return Err(StackError::DeviceExists(name.to_owned()));
        }
        let kind = DeviceKind::Vlan { lower, proto, id };
        let dev = self.register_device(name, kind, Box::new(ops));
        self.nft_update_hooks();
        Ok(dev)
    }

    pub(crate) fn check_new_name(&self, name: &str) -> Result<(), StackError> {
        match self.device_by_name(name) {
            Some(_) => Err(StackError::DeviceExists(name.to_owned())),
            None => Ok(()),
        }
    }

    /// `vlan_find_dev()`: the device for this tag on `lower`.
    pub(crate) fn vlan_find_dev(&self, lower: IfIndex, tag: Vlan) -> Option<IfIndex> {
        let kind = DeviceKind::Vlan {
            lower,
            proto: tag.proto,
            id: tag.id(),
        };
        let device = self.devices.iter().find(|device| device.kind == kind)?;
        Some(device.index)
    }

    /// The VLANs of a device.
    pub(crate) fn vlans_of(&self, dev: IfIndex) -> Vec<IfIndex> {
        let on_dev = |kind| matches!(kind, DeviceKind::Vlan { lower, .. } if lower == dev);
        let vlans = self.devices.iter().filter(|device| on_dev(device.kind));
        vlans.map(|device| device.index).collect()
    }

    /// `vlan_do_receive()`: the frame, whose tag is gone, comes in once more through the VLAN's device.
    pub(crate) fn vlan_do_receive(&mut self, dev: IfIndex, mut skb: SkBuff, orig_dev: IfIndex) {
        let Some(device) = self.device_mut(dev).filter(|device| device.up) else {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        };
        if skb.pkt_type == PktType::OtherHost && skb.mac_bytes().get(..6) == Some(&device.mac) {
            skb.pkt_type = PktType::Host;
        }
        // A tag within the tag.
        let header = skb.mac_bytes().first_chunk::<ETH_HLEN>().copied();
        let tagged = is_vlan(skb.protocol);
        if tagged && !header.is_some_and(|header| vlan_untag(&mut skb, &header)) {
            return self.kfree_skb(skb, DropReason::NotSpecified);
        }
        device.stats.rx_packets += 1;
        device.stats.rx_bytes += skb.len() as u64;
        if skb.pkt_type == PktType::Multicast {
            device.stats.multicast += 1;
        }
        skb.dev = dev;
        skb.iif = dev;
        self.netif_receive_skb_core(skb, orig_dev);
    }

    /// `vlan_dev_hard_start_xmit()`: the frame gets the tag, and leaves through the device below.
    pub(crate) fn vlan_dev_hard_start_xmit(&mut self, mut skb: SkBuff, lower: IfIndex, tag: Vlan) {
        let (dev, bytes) = (skb.dev, skb.len() as u64);
        // The tag of a VLAN within this one.
        if skb.vlan.is_some() && vlan_push_inside(&mut skb).is_none() {
            self.count_tx_drop(dev);
            return self.kfree_skb(skb, DropReason::NoMem);
        }
        if let Some(device) = self.device_mut(dev) {
            device.stats.tx_packets += 1;
            device.stats.tx_bytes += bytes;
        }
        skb.vlan = Some(tag);
        skb.dev = lower;
        self.dev_queue_xmit(skb);
    }
}

/// Tag protocols by the names that iproute2 has for them.
pub(crate) const VLAN_PROTOCOLS: [(&str, u16); 2] =
    [("802.1Q", ETH_P_8021Q), ("802.1ad", ETH_P_8021AD)];
