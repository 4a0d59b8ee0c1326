//! `struct virtio_net_config` (virtio 5.1.4).

use crate::error::Error;
use crate::features::Feature;
use crate::registers::{PciRegisters, Width};
use crate::rss::RssLimits;
use crate::transport::Transport;

// Byte offsets of the fields.
const MAC: u32 = 0;
const STATUS: u32 = 6;
const MAX_VIRTQUEUE_PAIRS: u32 = 8;
const MTU: u32 = 10;
const SPEED: u32 = 12;
const DUPLEX: u32 = 16;
const RSS_MAX_KEY_SIZE: u32 = 17;
const RSS_MAX_INDIRECTION_TABLE_LENGTH: u32 = 18;
const SUPPORTED_HASH_TYPES: u32 = 20;

const STATUS_LINK_UP: u32 = 1;

/// The smallest MTU that a device may report (virtio 5.1.4.1).
const MIN_MTU: u16 = 68;

/// Duplex mode of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplex {
    /// One direction at a time.
    Half,
    /// Both directions at the same time.
    Full,
}

/// What the device says about itself and its link, as far as features make it valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Ethernet address, with VIRTIO_NET_F_MAC.
    pub mac: Option<[u8; 6]>,
    /// Carrier; true without VIRTIO_NET_F_STATUS (virtio 5.1.4.2).
    pub link_up: bool,
    /// Largest IP packet in bytes, with VIRTIO_NET_F_MTU; ≥ 68.
    pub mtu: Option<u16>,
    /// Link speed in Mbit/s, with VIRTIO_NET_F_SPEED_DUPLEX, when it is known.
    pub speed: Option<u32>,
    /// Duplex mode, with VIRTIO_NET_F_SPEED_DUPLEX, when it is known.
    pub duplex: Option<Duplex>,
    /// Queue pairs of the device, with VIRTIO_NET_F_MQ or VIRTIO_NET_F_RSS.
    pub max_queue_pairs: Option<u16>,
    /// What it can do of receive-side scaling, with VIRTIO_NET_F_RSS.
    pub rss: Option<RssLimits>,
}

impl NetConfig {
    /// Reads all valid fields consistently.
    ///
    /// # Errors
    /// Register access, an unstable configuration, a structure that is too short, an illegal MTU.
    pub fn read<P: PciRegisters>(
        transport: &mut Transport<P>,
        features: Feature,
    ) -> Result<Self, Error> {
        let fields = Feature::MAC | Feature::STATUS | Feature::MTU | Feature::SPEED_DUPLEX;
        let several = Feature::MQ | Feature::RSS;
        let mut config = Self {
            mac: None,
            link_up: true,
            mtu: None,
            speed: None,
            duplex: None,
            max_queue_pairs: None,
            rss: None,
        };
        if features & (fields | several) == Feature::NONE {
            return Ok(config);
        }
        transport.read_device_config(|device| {
            if features.contains(Feature::MAC) {
                let mut mac = [0; 6];
                for (field, byte) in (MAC..).zip(&mut mac) {
                    *byte = device.read(field, Width::U8)? as u8;
                }
                config.mac = Some(mac);
            }
            if features.contains(Feature::STATUS) {
                config.link_up = device.read(STATUS, Width::U16)? & STATUS_LINK_UP != 0;
            }
            if features.contains(Feature::MTU) {
                config.mtu = Some(device.read(MTU, Width::U16)? as u16);
            }
            if features.contains(Feature::SPEED_DUPLEX) {
                let speed = device.read(SPEED, Width::U32)?;
                // 5.1.4.2: every other value means "unknown".
                config.speed = (speed <= 0x7fff_ffff).then_some(speed);
                config.duplex = match device.read(DUPLEX, Width::U8)? {
                    0 => Some(Duplex::Half),
                    1 => Some(Duplex::Full),
                    _ => None,
                };
            }
            if features & several != Feature::NONE {
                let pairs = device.read(MAX_VIRTQUEUE_PAIRS, Width::U16)? as u16;
                config.max_queue_pairs = Some(pairs);
            }
            if features.contains(Feature::RSS) {
                let table = device.read(RSS_MAX_INDIRECTION_TABLE_LENGTH, Width::U16)?;
                config.rss = Some(RssLimits {
                    max_key_size: device.read(RSS_MAX_KEY_SIZE, Width::U8)? as u8,
                    max_table_len: table as u16,
                    hash_types: device.read(SUPPORTED_HASH_TYPES, Width::U32)?,
                });
            }
            Ok(())
        })?;
        match config.mtu {
            Some(mtu) if mtu < MIN_MTU => Err(Error::BadMtu { mtu }),
            _ => Ok(config),
        }
    }
}
