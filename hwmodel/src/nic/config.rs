use crate::{
    Ps,
    axi::AxiHostConfig,
    bridge::{Straps, Variant},
    error::Error,
    model::MAX_QUEUE_PAIRS,
    pci::{DEVICE_CFG_LEN, NOTIFY_OFF_MULTIPLIER, PciShape},
};
use std::{ops::Range, path::PathBuf};

/// Virtio feature bits of the fastest build of the RTL: a card with one queue pair that may offer no
/// others is simulated by it.
pub const THIN_FEATURES: u64 = match u64::from_str_radix(env!("WIREPATH_THIN_FEATURES"), 16) {
    Ok(bits) => bits,
    Err(_) => panic!("build.rs gives a hexadecimal number"),
};

/// Options of a card and of the bus and memory around it.
#[derive(Debug, Clone)]
pub struct NicConfig {
    /// MAC address, first octet on the wire first.
    pub mac: [u8; 6],
    /// Bytes, 68..=9202. Frames may have 18 bytes more: Ethernet header and one VLAN tag.
    pub mtu: u16,
    /// Virtio feature bits that may be offered; what the RTL lacks is not offered anyway. A card that
    /// keeps to [`THIN_FEATURES`] is the fastest.
    pub features: u64,
    /// Receive and transmit queue pairs, 1..=8.
    pub queue_pairs: u16,
    /// The link is up at power-on.
    pub link_up: bool,
    /// How the host answers DMA.
    pub axi: AxiHostConfig,
    /// Round trip of a register read over the bus, without the device's own cycles, picoseconds.
    pub mmio_read_latency: Ps,
    /// One way of a posted register write, picoseconds.
    pub mmio_write_latency: Ps,
    /// Bytes of host memory.
    pub memory: usize,
    /// For all that is random in the host model.
    pub seed: u64,
    /// Time jumps while nothing can happen. Off: every cycle runs, with the same results.
    pub idle_skip: bool,
    /// Protocol checkers watch every interface of the chip (`rtl/check/nic_checks.sv`); what breaks a rule
    /// stops it. On with waves. This model is slower.
    pub checks: bool,
    /// FST file to write. The model that can do so is slower even outside of the window.
    pub waves: Option<PathBuf>,
    /// The time for which waves are written.
    pub waves_window: Range<Ps>,
    /// Keep the stimulus of every cycle, for [`crate::BareModel::replay`].
    pub record: bool,
}

impl Default for NicConfig {
    fn default() -> Self {
        Self {
            mac: [0x02, 0, 0, 0, 0, 0x01],
            mtu: 1500,
            features: u64::MAX,
            queue_pairs: 1,
            link_up: true,
            axi: AxiHostConfig::default(),
            mmio_read_latency: 800_000,
            mmio_write_latency: 250_000,
            memory: 64 << 20,
            seed: 1,
            idle_skip: true,
            checks: false,
            waves: None,
            waves_window: 0..Ps::MAX,
            record: false,
        }
    }
}

impl NicConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(68..=9202).contains(&self.mtu) {
            let value = self.mtu.into();
            return Err(Error::Config {
                name: "mtu",
                value,
                range: "68..=9202 bytes",
            });
        }
        if self.mac[0] & 1 != 0 {
            let value = self.mac[0].into();
            return Err(Error::Config {
                name: "first octet of the MAC address",
                value,
                range: "the unicast addresses",
            });
        }
        if !(1..=MAX_QUEUE_PAIRS).contains(&self.queue_pairs) {
            let value = self.queue_pairs.into();
            return Err(Error::Config {
                name: "queue_pairs",
                value,
                range: "1..=8",
            });
        }
        Ok(())
    }

    /// Which build of the RTL serves this card.
    pub(crate) fn variant(&self) -> Variant {
        let thin = self.queue_pairs == 1 && self.features & !THIN_FEATURES == 0;
        match (self.waves.is_some() || self.checks, thin) {
            (true, _) => Variant::Traced,
            (false, true) => Variant::Thin,
            (false, false) => Variant::Full,
        }
    }

    /// Configuration space of such a card: a vector for configuration changes, for the queues of each
    /// pair and for the control queue.
    pub(crate) fn shape(&self) -> PciShape {
        let queues = 2 * self.queue_pairs + 1;
        PciShape {
            vectors: queues + 1,
            notify_len: u32::from(queues) * NOTIFY_OFF_MULTIPLIER,
            device_cfg_len: DEVICE_CFG_LEN,
        }
    }

    pub(crate) fn straps(&self) -> Straps {
        let mac = self
            .mac
            .iter()
            .rev()
            .fold(0, |mac, octet| mac << 8 | u64::from(*octet));
        Straps {
            features: self.features,
            mac,
            mtu: self.mtu,
            queue_pairs: self.queue_pairs as u8,
        }
    }
}
