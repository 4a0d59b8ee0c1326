//! BAR0: which register is where, and what accesses do.

use super::{
    ModelNic,
    common_cfg::Effect,
    ctrl_vq::Control,
    events::Event,
    msix::{Message, Msix},
    rss,
    spec::{self, feature},
    stats::{Stat, Stats},
};
use crate::{
    Ps,
    msix::{self, MsixMessage},
    pci::{
        BAR_COMMON_CFG, BAR_DEVICE_CFG, BAR_ISR, BAR_MSIX_PBA, BAR_MSIX_TABLE, BAR_NOTIFY,
        BAR_VENDOR, COMMON_CFG_LEN, DEVICE_CFG_LEN, NOTIFY_OFF_MULTIPLIER,
    },
};

/// How long a reset takes.
const RESET_TIME: Ps = 200_000;

impl ModelNic {
    /// The value of `width` bytes at `offset`, which is aligned.
    pub(super) fn register_read(&mut self, offset: u32, width: u8) -> u32 {
        let word = self.read_word(offset & !3, offset % 4, width);
        let value = word >> (8 * (offset % 4));
        value & u32::MAX >> (32 - 8 * u32::from(width))
    }

    fn read_word(&mut self, offset: u32, byte: u32, width: u8) -> u32 {
        let place = offset & 0xfff;
        match offset & 0xf000 {
            BAR_COMMON_CFG if place < COMMON_CFG_LEN => self.common.read(place),
            // 4.1.4.5: a read of the byte clears it.
            BAR_ISR if place == 0 && byte == 0 && width > 0 => std::mem::take(&mut self.isr).into(),
            BAR_DEVICE_CFG if place < DEVICE_CFG_LEN => {
                let config = self.device_config();
                let at = place as usize;
                let bytes = [config[at], config[at + 1], config[at + 2], config[at + 3]];
                u32::from_le_bytes(bytes)
            }
            BAR_MSIX_TABLE => self.msix.read_table(place),
            BAR_MSIX_PBA => self.msix.read_pending(place),
            BAR_VENDOR => self.stats.read(place),
            _ => 0,
        }
    }

    /// 5.1.4. Fields whose feature is not offered are zero but for those that every driver may read.
    fn device_config(&self) -> [u8; DEVICE_CFG_LEN as usize] {
        let offered = self.config.offered();
        let mut bytes = [0; DEVICE_CFG_LEN as usize];
        bytes[..6].copy_from_slice(&self.control.mac);
        let status = if self.link { spec::S_LINK_UP } else { 0 };
        bytes[6..8].copy_from_slice(&status.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.config.queue_pairs.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.config.mtu.to_le_bytes());
        bytes[12..16].copy_from_slice(&spec::SPEED_MBPS.to_le_bytes());
        bytes[16] = spec::DUPLEX_FULL;
        if offered & (feature::RSS | feature::HASH_REPORT) != 0 {
            bytes[17] = rss::MAX_KEY as u8;
            bytes[20..].copy_from_slice(&rss::hash_type::SUPPORTED.to_le_bytes());
        }
        if offered & feature::RSS != 0 {
            bytes[18..20].copy_from_slice(&(rss::MAX_TABLE as u16).to_le_bytes());
        }
        bytes
    }

    /// [`Event::BarWrite`].
    pub(super) fn register_write(&mut self, offset: u32, width: u8, value: u32) {
        let shift = 8 * (offset % 4);
        let mask = (u32::MAX >> (32 - 8 * u32::from(width))) << shift;
        let value = value << shift & mask;
        let (word, place) = (offset & !3, offset & 0xffc);
        match word & 0xf000 {
            BAR_COMMON_CFG if place < COMMON_CFG_LEN => {
                let effect = self.common.write(place, mask, value);
                self.common_effect(effect);
            }
            // 4.1.5.2: the queue is told by the doorbell's place.
            BAR_NOTIFY => self.kick((place / NOTIFY_OFF_MULTIPLIER) as u16),
            BAR_MSIX_TABLE => {
                self.msix.write_table(place, mask, value);
                self.send_messages();
            }
            BAR_VENDOR => self.stats.write(place, mask, value),
            _ => {}
        }
    }

    fn common_effect(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Refresh => self.refresh_queues(),
            Effect::BadSize => self.device_failed(),
            Effect::Reset => {
                self.stop_all();
                self.events.schedule(self.now + RESET_TIME, Event::Reset);
            }
            Effect::ResetQueue(queue) => {
                self.stop_queue(queue);
                self.events
                    .schedule(self.now + RESET_TIME, Event::ResetQueue(queue));
            }
        }
    }

    /// All queues let go at once; no frame begins any more.
    fn stop_all(&mut self) {
        for queue in 0..self.queues.len() as u16 {
            self.stop_queue(queue);
        }
        self.wire.cut_outgoing(self.now);
        self.msix.clear();
    }

    /// [`Event::Reset`]: everything is as at power-on but counters, MSI-X table and generation.
    pub(super) fn reset_done(&mut self) {
        self.stop_all();
        self.common.reset();
        self.isr = 0;
        if self.control.mac != self.config.mac {
            self.common.config_changed();
        }
        self.control = Control::new(self.config.mac, self.config.queue_pairs);
        self.flows.clear();
    }

    /// Function Level Reset: at once, with the registers that belong to PCI and the counters. Register
    /// writes that are on their way are lost.
    pub(super) fn reset_function(&mut self) {
        self.pci = self.config.pci();
        self.msix = Msix::new(self.config.queues() + 1);
        let lost = |event: &Event| {
            matches!(
                event,
                Event::BarWrite { .. } | Event::Reset | Event::ResetQueue(_)
            )
        };
        self.events.retain(|event| !lost(event));
        self.reset_done();
        self.stats = Stats::new(self.config.queue_pairs);
        self.pci_changed();
    }

    /// Configuration space decides over DMA and interrupts.
    pub(super) fn pci_changed(&mut self) {
        self.dma.bus_master = self.pci.bus_master();
        if !self.pci.msix_enabled() {
            self.msix.clear();
        }
        self.send_messages();
    }

    /// A queue's reset is over: it does not notify any more (2.6.1.1), also not when its vector's mask ends.
    /// A vector that others have as well is pending for them.
    pub(super) fn queue_reset_done(&mut self, queue: u16) {
        if let Some(vector) = self.common.reset_queue(queue) {
            self.msix.forget(vector);
        }
    }

    /// A vector is to be sent. Without MSI-X nothing becomes pending.
    pub(super) fn raise(&mut self, vector: u16) {
        if self.pci.msix_enabled() {
            self.msix.raise(vector);
            self.send_messages();
        }
    }

    /// Sends what is pending and not masked (PCI 3.0, 6.8.2). A message is behind the writes before it.
    fn send_messages(&mut self) {
        let allowed = |pci: &crate::pci::PciConfig| {
            pci.msix_enabled() && !pci.msix_masked() && pci.bus_master()
        };
        while allowed(&self.pci) {
            let Some(Message { address, data }) = self.msix.take() else {
                return;
            };
            let at = self.now + self.config.dma_write_latency;
            if msix::RANGE.contains(&address) {
                let message = MsixMessage { at, address, data };
                self.message_until = self.events.schedule(at, Event::Message(message));
                continue;
            }
            let slot = self.write_done().of(super::dma::id::MSIX);
            if self.dma.write(slot, address, &data.to_le_bytes()).is_err() {
                self.stats.add(Stat::DmaError, 1);
                self.device_failed();
            }
        }
    }
}
