//! A behavioural model of the device, written from the virtio specification and not from the RTL: the
//! reference that testbenches compare the RTL with, and the fast card where cycles do not matter.
//!
//! It implements [`Device`] as [`Nic`](crate::Nic) does and can take its place. Nothing is done per
//! clock cycle: time jumps from event to event. Its timing is that of a simple machine:
//!
//! | from | to | time |
//! | --- | --- | --- |
//! | `bar_write` | the register has changed | `mmio_write_latency` |
//! | doorbell | descriptors are read | `dma_read_latency` |
//! | descriptors of a chain | its data is read, the chain is used | `dma_read_latency` |
//! | data of a chain | first octet of its frame | when the wire is free |
//! | last octet of a received frame | it is in its buffers | `dma_write_latency` |
//! | used buffer | MSI-X message | `dma_write_latency` |
//!
//! A frame of *n* bytes takes 8 + *n* + 4 octets and a gap of 12 on the wire, 800 ps each. Memory has
//! no bandwidth of its own. A transmit chain occupies the scheduler for 4 cycles.
//!
//! Where the specification leaves room, the model does this: unknown destinations are let in unless
//! CTRL_RX was negotiated; promiscuous mode lets foreign VLANs in as well; a frame that does not fit
//! into the buffers is dropped and the buffers come back empty; a frame with an illegal header is
//! dropped and the queue goes on, a chain that breaks the rules of the ring stops its queue.

mod bar;
mod coalesce;
mod common_cfg;
mod config;
mod control;
mod csum;
mod ctrl_vq;
mod dma;
mod events;
mod guest;
mod hdr;
mod moderation;
mod msix;
mod parse;
mod queue;
mod rss;
mod rx;
mod spec;
mod starve;
mod stats;
mod steer;
mod tso;
mod tx;
mod virtqueue;
mod wire;

pub use config::{MAX_QUEUE_PAIRS, ModelConfig, SUPPORTED};
pub use ctrl_vq::MAC_TABLE;
pub use rss::hash_type;
pub use spec::feature;
pub use stats::Stat;

use self::{
    common_cfg::CommonCfg, ctrl_vq::Control, dma::Dma, events::Event, events::Events, msix::Msix,
    queue::Queue, stats::Stats, steer::FlowTable, virtqueue::Chain, wire::Wire,
};
use crate::{
    CYCLE_PS, Ps,
    counters::{Counters, DmaRecord},
    device::{Device, Stop},
    error::Error,
    iommu::IommuTable,
    memory::HostMemory,
    msix::MsixMessage,
    pci::{
        BAR_NOTIFY, DEVICE_CFG_LEN, Effect, NOTIFY_OFF_MULTIPLIER, PciConfig, PciShape,
        check_access,
    },
    xgmii::WireFrame,
};
use std::collections::VecDeque;

/// The model of the card with its bus, memory, configuration space and wire.
#[derive(Debug)]
pub struct ModelNic {
    config: ModelConfig,
    now: Ps,
    events: Events,

    pci: PciConfig,
    common: CommonCfg,
    msix: Msix,
    isr: u8,
    link: bool,
    stats: Stats,
    control: Control,
    flows: FlowTable,
    queues: Vec<Queue>,
    /// Queue that the transmit scheduler looks at first.
    tx_next: usize,
    /// When it does.
    tx_poll: Option<Ps>,
    tx_scratch: Chain,

    dma: Dma,
    wire: Wire,
    messages: VecDeque<MsixMessage>,
    frames: VecDeque<WireFrame>,
    /// When the newest posted write, and the newest message, arrive.
    write_until: Ps,
    message_until: Ps,
}

impl ModelConfig {
    /// Configuration space of such a card.
    fn pci(&self) -> PciConfig {
        let queues = self.queues();
        PciConfig::with_shape(&PciShape {
            vectors: queues + 1,
            notify_len: u32::from(queues) * NOTIFY_OFF_MULTIPLIER,
            device_cfg_len: DEVICE_CFG_LEN,
        })
    }
}

impl ModelNic {
    /// A card after power-on.
    ///
    /// # Errors
    /// [`Error::Config`] for options out of range, and [`Error::Memory`].
    pub fn new(config: ModelConfig) -> Result<Self, Error> {
        config.check()?;
        let memory = HostMemory::new(config.memory).map_err(|e| Error::Memory(e.to_string()))?;
        let queues = config.queues();
        let vectors = queues + 1;
        let common = CommonCfg::new(config.offered(), queues, vectors, config.max_queue_size);
        let new_queue = |_| Queue::new(config.coalesce_timeout);
        Ok(Self {
            now: 0,
            events: Events::default(),
            pci: config.pci(),
            common,
            msix: Msix::new(vectors),
            isr: 0,
            link: config.link_up,
            stats: Stats::new(config.queue_pairs),
            control: Control::new(config.mac, config.queue_pairs),
            flows: FlowTable::new(),
            queues: (0..queues).map(new_queue).collect(),
            tx_next: 0,
            tx_poll: None,
            tx_scratch: Chain::default(),
            dma: Dma::new(memory),
            wire: Wire::default(),
            messages: VecDeque::new(),
            frames: VecDeque::new(),
            write_until: 0,
            message_until: 0,
            config,
        })
    }

    /// The options that the card was made with.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A counter of the vendor region, without an access over the bus.
    #[must_use]
    pub fn stat(&self, stat: Stat) -> u64 {
        self.stats.get(stat)
    }

    /// Runs until `until`, or with `stop` until something is there to be taken.
    fn advance(&mut self, until: Ps, stop: bool) -> Stop {
        let until = until.next_multiple_of(CYCLE_PS).max(self.now);
        loop {
            if stop && !self.messages.is_empty() {
                return Stop::Msix;
            }
            if stop && !self.frames.is_empty() {
                return Stop::WireTx;
            }
            let Some((at, event)) = self.events.pop(until) else {
                self.now = until;
                return Stop::Time;
            };
            self.now = at;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::BarWrite {
                offset,
                width,
                value,
            } => self.register_write(offset, width, value),
            Event::FrameIn => self.frame_in(),
            Event::FrameOut => self.frame_out(),
            Event::Message(message) => {
                self.dma.counters.msix_messages += 1;
                self.messages.push_back(MsixMessage {
                    at: self.now,
                    ..message
                });
            }
            Event::TxPoll => self.tx_event(),
            Event::TxDone(queue) => self.tx_done(queue),
            Event::RxDeliver(queue) => self.deliver(queue),
            Event::Expire(queue) => self.expire(queue),
            Event::Starve(queue) => self.starve(queue),
            Event::Moderation(queue) => self.moderation_event(queue),
            Event::Control => self.control_event(),
            Event::Reset => self.reset_done(),
            Event::ResetQueue(queue) => self.queue_reset_done(queue),
        }
    }
}

impl Device for ModelNic {
    fn now(&self) -> Ps {
        self.now
    }

    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        if let Some(window) = self.pci.window(offset) {
            return self
                .bar_read(window.offset, window.width)
                .unwrap_or(u32::MAX);
        }
        self.pci.read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        match self.pci.write(offset, width, value) {
            Effect::None => self.pci_changed(),
            Effect::FunctionReset => self.reset_function(),
            Effect::Window(window) => {
                // The width was checked, so this is a legal access.
                let _ = self.bar_write(window.offset, window.width, value);
            }
        }
    }

    fn bar_read(&mut self, offset: u32, width: u8) -> Result<u32, Error> {
        check_access(offset, width)?;
        self.dma.counters.bar_reads += 1;
        let one_way = self.config.mmio_read_latency / 2;
        // A read does not pass posted writes, nor its answer those of the device (PCIe 2.4.1).
        self.advance((self.now + one_way).max(self.write_until), false);
        let value = if self.pci.memory_enabled() {
            self.register_read(offset, width)
        } else {
            u32::MAX
        };
        self.advance((self.now + one_way).max(self.message_until), false);
        Ok(value)
    }

    fn bar_write(&mut self, offset: u32, width: u8, value: u32) -> Result<(), Error> {
        check_access(offset, width)?;
        self.dma.counters.bar_writes += 1;
        if !self.pci.memory_enabled() {
            return Ok(());
        }
        let doorbells = u32::from(self.config.queues()) * NOTIFY_OFF_MULTIPLIER;
        if (BAR_NOTIFY..BAR_NOTIFY + doorbells).contains(&offset) {
            self.dma.counters.doorbells += 1;
        }
        let event = Event::BarWrite {
            offset,
            width,
            value,
        };
        let arrival = self.now + self.config.mmio_write_latency;
        self.write_until = self.events.schedule(arrival, event);
        Ok(())
    }

    fn wire_send(&mut self, frame: WireFrame) {
        self.dma.counters.wire_in += 1;
        let end = self.wire.arrive(self.now, frame);
        self.events.schedule(end, Event::FrameIn);
    }

    fn wire_pending(&self) -> usize {
        self.wire.pending(self.now)
    }

    fn run_until(&mut self, until: Ps) -> Result<Stop, Error> {
        Ok(self.advance(until, true))
    }

    fn take_msix(&mut self) -> Option<MsixMessage> {
        self.messages.pop_front()
    }

    fn take_wire(&mut self) -> Option<WireFrame> {
        self.frames.pop_front()
    }

    fn memory(&self) -> &HostMemory {
        &self.dma.memory
    }

    fn iommu(&mut self) -> &mut IommuTable {
        &mut self.dma.iommu
    }

    fn set_link(&mut self, up: bool) {
        if self.link != up {
            self.link = up;
            self.common.config_changed();
            self.config_interrupt();
        }
    }

    fn counters(&self) -> Counters {
        Counters {
            cycles_skipped: self.now / CYCLE_PS,
            ..self.dma.counters
        }
    }

    fn set_dma_log(&mut self, on: bool) {
        self.dma.log = on.then(Vec::new);
    }

    fn take_dma_log(&mut self) -> Vec<DmaRecord> {
        self.dma
            .log
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }
}
