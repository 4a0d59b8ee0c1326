//! What is configured over the control queue: receive filter, address, VLANs, queue pairs, steering,
//! moderation. What was set once is set again after a reset.

use std::collections::BTreeSet;

use crate::ctrl::Command;
use crate::dma::DmaMemory;
use crate::error::Error;
use crate::features::Feature;
use crate::interrupts::Interrupts;
use crate::net::VirtioNet;
use crate::registers::PciRegisters;
use crate::rss::Rss;

/// An Ethernet address, first octet on the wire first.
type Mac = [u8; 6];

/// Receive modes (virtio 5.1.6.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxMode {
    /// All frames are received (IFF_PROMISC).
    pub promiscuous: bool,
    /// All frames to groups are received (IFF_ALLMULTI).
    pub all_multicast: bool,
}

/// Interrupt moderation (virtio 5.1.6.5.8; `ethtool -C`). All 0: each used buffer interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coalesce {
    /// Microseconds from a received frame to its interrupt, at the most.
    pub rx_usecs: u32,
    /// Received frames that wait for their interrupt, at the most.
    pub rx_max_packets: u32,
    /// Microseconds from a transmitted frame to its interrupt, at the most.
    pub tx_usecs: u32,
    /// Transmitted frames that wait for their interrupt, at the most.
    pub tx_max_packets: u32,
}

/// What was set, for after a reset.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    rx_mode: Option<RxMode>,
    /// Unicast and multicast addresses.
    mac_table: Option<(Vec<Mac>, Vec<Mac>)>,
    /// The address that frames are sent from, if it is not the device's own.
    pub mac: Option<Mac>,
    vlans: BTreeSet<u16>,
    rss: Option<Rss>,
    coalesce: Option<Coalesce>,
}

impl<P: PciRegisters, D: DmaMemory, I: Interrupts> VirtioNet<P, D, I> {
    /// Sets the receive modes (`ndo_set_rx_mode`). After probe: all frames to groups, no others but the
    /// device's own.
    ///
    /// # Errors
    /// VIRTIO_NET_F_CTRL_RX is not negotiated, or the device refuses or does not answer.
    pub fn set_rx_mode(&mut self, mode: RxMode) -> Result<(), Error> {
        self.require(Feature::CTRL_RX)?;
        self.command(Command::RX_PROMISC, &[mode.promiscuous.into()])?;
        self.command(Command::RX_ALLMULTI, &[mode.all_multicast.into()])?;
        self.settings.rx_mode = Some(mode);
        Ok(())
    }

    /// Sets the addresses that are received besides the device's own (virtio 5.1.6.5.2). A device may
    /// take what does not fit its table for "all".
    ///
    /// # Errors
    /// As [`set_rx_mode`](Self::set_rx_mode); also for more than some 600 addresses.
    pub fn set_mac_table(&mut self, unicast: &[Mac], multicast: &[Mac]) -> Result<(), Error> {
        self.require(Feature::CTRL_RX)?;
        let mut data = Vec::new();
        for table in [unicast, multicast] {
            data.extend((table.len() as u32).to_le_bytes());
            data.extend(table.as_flattened());
        }
        self.command(Command::MAC_TABLE_SET, &data)?;
        self.settings.mac_table = Some((unicast.to_vec(), multicast.to_vec()));
        Ok(())
    }

    /// Sets the device's address (`ndo_set_mac_address`).
    ///
    /// # Errors
    /// VIRTIO_NET_F_CTRL_MAC_ADDR is not negotiated, the address is a group's, or the device refuses or
    /// does not answer.
    pub fn set_mac_address(&mut self, mac: Mac) -> Result<(), Error> {
        self.require(Feature::CTRL_MAC_ADDR)?;
        if mac[0] & 1 != 0 {
            return Err(Error::Options {
                option: "mac",
                reason: "must not be a group address",
            });
        }
        self.command(Command::MAC_ADDR_SET, &mac)?;
        self.settings.mac = Some(mac);
        Ok(())
    }

    /// Has frames of VLAN `vid`, 0..=4095, received (`ndo_vlan_rx_add_vid`), or `not` any more.
    ///
    /// # Errors
    /// VIRTIO_NET_F_CTRL_VLAN is not negotiated, or the device refuses or does not answer.
    pub fn set_vlan(&mut self, vid: u16, received: bool) -> Result<(), Error> {
        self.require(Feature::CTRL_VLAN)?;
        if received {
            self.command(Command::VLAN_ADD, &vid.to_le_bytes())?;
            self.settings.vlans.insert(vid);
        } else {
            self.command(Command::VLAN_DEL, &vid.to_le_bytes())?;
            self.settings.vlans.remove(&vid);
        }
        Ok(())
    }

    /// Has the device spread received flows by hash over the table's queue pairs (`ethtool -X`).
    ///
    /// # Errors
    /// VIRTIO_NET_F_RSS is not negotiated, the table names a pair that is not in use or does not suit
    /// the device, or the device refuses or does not answer.
    pub fn set_rss(&mut self, rss: &Rss) -> Result<(), Error> {
        self.require(Feature::RSS)?;
        let limits = self.config.rss.unwrap_or_default();
        let data = rss.encode(limits, self.pairs.len() as u16)?;
        self.command(Command::MQ_RSS_CONFIG, &data)?;
        self.settings.rss = Some(rss.clone());
        Ok(())
    }

    /// Sets interrupt moderation for all queues.
    ///
    /// # Errors
    /// VIRTIO_NET_F_NOTF_COAL is not negotiated, or the device refuses or does not answer.
    pub fn set_coalesce(&mut self, coalesce: Coalesce) -> Result<(), Error> {
        self.require(Feature::NOTF_COAL)?;
        for (command, packets, usecs) in [
            (
                Command::NOTF_COAL_RX_SET,
                coalesce.rx_max_packets,
                coalesce.rx_usecs,
            ),
            (
                Command::NOTF_COAL_TX_SET,
                coalesce.tx_max_packets,
                coalesce.tx_usecs,
            ),
        ] {
            let data = [packets.to_le_bytes(), usecs.to_le_bytes()];
            self.command(command, data.as_flattened())?;
        }
        self.settings.coalesce = Some(coalesce);
        Ok(())
    }

    /// After DRIVER_OK: all that was set, or what a driver sets first.
    pub(crate) fn configure(&mut self) -> Result<(), Error> {
        let settings = self.settings.clone();
        if self.features.contains(Feature::CTRL_RX) {
            // The stack does not say which groups it is in.
            let mode = settings.rx_mode.unwrap_or(RxMode {
                promiscuous: false,
                all_multicast: true,
            });
            self.set_rx_mode(mode)?;
        }
        if let Some((unicast, multicast)) = &settings.mac_table {
            self.set_mac_table(unicast, multicast)?;
        }
        if let Some(mac) = settings.mac {
            self.set_mac_address(mac)?;
        }
        for vid in settings.vlans {
            self.set_vlan(vid, true)?;
        }
        if let Some(coalesce) = settings.coalesce {
            self.set_coalesce(coalesce)?;
        }
        // virtnet_set_queues(): after a reset a device uses one pair (5.1.6.5.5).
        let pairs = self.pairs.len() as u16;
        if pairs > 1 && self.features.contains(Feature::RSS) {
            let limits = self.config.rss.unwrap_or_default();
            let rss = settings.rss.unwrap_or_else(|| Rss::even(pairs, limits));
            self.set_rss(&rss)?;
        } else if pairs > 1 {
            self.command(Command::MQ_VQ_PAIRS_SET, &pairs.to_le_bytes())?;
        }
        Ok(())
    }

    fn require(&self, feature: Feature) -> Result<(), Error> {
        if self.features.contains(feature) {
            Ok(())
        } else {
            Err(Error::NotNegotiated { feature })
        }
    }

    fn command(&mut self, command: Command, data: &[u8]) -> Result<(), Error> {
        if self.needs_reset {
            return Err(Error::ControlTimeout { command });
        }
        let Some(ctrl) = &mut self.ctrl else {
            let feature = Feature::CTRL_VQ;
            return Err(Error::NotNegotiated { feature });
        };
        self.stats.ctrl_commands += 1;
        let limit = self.options.poll_limit;
        let answer = ctrl.command(&mut self.transport, command, data, limit);
        match &answer {
            Ok(()) | Err(Error::ControlTooLong { .. }) => {}
            Err(Error::ControlRefused { .. }) => self.stats.ctrl_refused += 1,
            Err(_) => self.needs_reset = true,
        }
        answer
    }
}
