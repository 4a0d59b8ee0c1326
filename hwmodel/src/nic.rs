//! The simulated card: the RTL and everything around it, behind [`Device`].

mod config;
mod guest;
mod run;
#[cfg(test)]
mod tests;

pub use config::{NicConfig, THIN_FEATURES};

use crate::{
    CYCLE_PS, Ps,
    axi::{AxiHost, Host},
    axil::{AxiLite, Response},
    bridge::{Model, PinsIn, PinsOut, Window},
    counters::{Counters, DmaRecord},
    device::{Device, Stop},
    error::Error,
    iommu::IommuTable,
    memory::HostMemory,
    msix::MsixMessage,
    pci::{BAR_NOTIFY, Effect, PciConfig, check_access},
    xgmii::{WireFrame, XgmiiSink, XgmiiSource},
};
use std::collections::VecDeque;

/// Cycles for which the reset is held.
const RESET_CYCLES: u32 = 8;
/// Cycles that always run after a pin changed that the device does not report as busy by itself.
const SETTLE_CYCLES: u32 = 8;
/// Cycles after which a register read without answer is an error of the RTL.
const BAR_TIMEOUT: u64 = 10_000;

/// The RTL with its bus, memory, configuration space and wire.
pub struct Nic {
    config: NicConfig,
    model: Model,
    pins: PinsIn,
    out: PinsOut,
    window: Box<Window>,
    now: Ps,
    /// Cycles that must run before time may jump.
    settle: u32,
    /// What ended the simulation.
    failure: Option<Error>,

    host: Host,
    pci: PciConfig,
    axi: AxiHost,
    axil: AxiLite,
    /// The answer to the register read that the caller waits for.
    answer: Option<Response>,
    source: XgmiiSource,
    sink: XgmiiSink,

    frames: VecDeque<WireFrame>,
    waves: Waves,
    recording: Option<Recording>,
}

/// Stimulus of every cycle that ran since power-on, and a hash of the outputs.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// What was applied, reset included.
    pub pins: Vec<PinsIn>,
    /// As [`crate::BareModel::replay`] computes it.
    pub hash: u64,
}

/// State of the FST file.
#[derive(Debug, PartialEq, Eq)]
enum Waves {
    Off,
    /// Wanted, but its window has not begun.
    Waiting,
    Open,
}

impl Nic {
    /// A card after power-on, with its reset done. Its time is a few cycles.
    ///
    /// # Errors
    /// [`Error::Config`] for options out of range, [`Error::Memory`], and [`Error::Rtl`] when an
    /// assertion fails in reset.
    pub fn new(config: NicConfig) -> Result<Self, Error> {
        config.check()?;
        let memory = HostMemory::new(config.memory).map_err(|e| Error::Memory(e.to_string()))?;
        let mut pins = PinsIn::reset();
        pins.link_up = config.link_up;
        let mut nic = Self {
            model: Model::new(&config.straps(), config.variant()),
            pins,
            out: PinsOut::default(),
            window: Box::default(),
            now: 0,
            settle: 0,
            failure: None,
            host: Host::new(memory),
            pci: PciConfig::with_shape(&config.shape()),
            axi: AxiHost::new(config.axi.clone(), config.seed),
            axil: AxiLite::default(),
            answer: None,
            source: XgmiiSource::new(),
            sink: XgmiiSink::new(),
            frames: VecDeque::new(),
            waves: if config.waves.is_some() {
                Waves::Waiting
            } else {
                Waves::Off
            },
            recording: config.record.then(Recording::default),
            config,
        };
        nic.reset()?;
        Ok(nic)
    }

    /// The options that the card was made with.
    #[must_use]
    pub fn config(&self) -> &NicConfig {
        &self.config
    }

    /// What was applied to the pins so far; `None` unless [`NicConfig::record`] is set.
    #[must_use]
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// The device's transmit clock domain is quiet: nothing is in flight and time may jump.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.out.busy
    }

    /// Nothing happens in or around the chip until an access, a frame or a change of the link comes
    /// from outside: its clock may stand.
    #[must_use]
    pub fn quiescent(&self) -> bool {
        let around = [
            self.axi.next_event(),
            self.axil.next_event(),
            self.source.next_at(),
        ];
        !self.out.busy
            && self.out.timer == u32::MAX
            && self.settle == 0
            && !self.sink.in_frame()
            && around.iter().all(Option::is_none)
    }

    /// Resets the whole function, as a Function Level Reset or a reset of the bus does: the chip and
    /// configuration space; memory, IOMMU and wire stay. The MAC is reset with the rest, as in cards
    /// whose port has one function: a frame on its way out is cut, see [`Counters::wire_cut`].
    ///
    /// # Errors
    /// [`Error::Rtl`] when an assertion fails in reset.
    pub fn function_reset(&mut self) -> Result<(), Error> {
        self.pci = PciConfig::with_shape(&self.config.shape());
        self.reset()
    }

    /// A fault of the host: from now on DMA bursts that begin at a bus address in `ranges` are accepted
    /// but never answered, nor are those behind them with the same AXI ID, until another call takes
    /// the address out (with `&[]` all come late) or the function is reset.
    pub fn set_unanswered(&mut self, ranges: &[std::ops::Range<u64>]) {
        self.axi.set_unanswered(self.now, ranges);
        self.settle = SETTLE_CYCLES;
    }

    /// Gives the buffer of a received frame back, so that later frames need no new one.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.sink.recycle(bytes);
    }

    /// Smallest gap in front of frames that are sent to the device: [`XgmiiSource::set_gap`].
    pub fn set_wire_gap(&mut self, octets: u64, deficit_idle_count: bool) {
        self.source.set_gap(octets, deficit_idle_count);
    }

    /// Resets the chip, not the memory nor the wire.
    fn reset(&mut self) -> Result<(), Error> {
        let now = self.now;
        self.axi.reset(now, &mut self.host);
        self.axil = AxiLite::default();
        self.pins = PinsIn {
            link_up: self.pins.link_up,
            ..PinsIn::reset()
        };
        self.host.bus_master = self.pins.bus_master_en;
        self.host.counters.wire_cut += u64::from(self.sink.cut(now));
        for _ in 0..RESET_CYCLES {
            self.clock()?;
        }
        self.pins.rst_n = true;
        self.settle = SETTLE_CYCLES;
        Ok(())
    }

    /// Copies what configuration space decides to the pins.
    fn update_pins(&mut self) {
        self.pins.bus_master_en = self.pci.bus_master();
        self.host.bus_master = self.pins.bus_master_en;
        self.pins.msix_enable = self.pci.msix_enabled();
        self.pins.msix_mask = self.pci.msix_masked();
        self.settle = SETTLE_CYCLES;
    }

    /// Remembers what ended the simulation: the model cannot go on.
    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.failure = Some(error.clone());
        Err(error)
    }
}

impl Device for Nic {
    fn now(&self) -> Ps {
        self.now
    }

    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        if let Some(window) = self.pci.window(offset) {
            // Configuration accesses cannot fail; an error comes out of the next call that can.
            return self
                .bar_read(window.offset, window.width)
                .unwrap_or(u32::MAX);
        }
        self.pci.read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        match self.pci.write(offset, width, value) {
            Effect::None => self.update_pins(),
            Effect::FunctionReset => {
                if let Err(error) = self.function_reset() {
                    self.failure = Some(error);
                }
            }
            Effect::Window(window) => {
                // The width was checked, so this is a legal access.
                let _ = self.bar_write(window.offset, window.width, value);
            }
        }
    }

    fn bar_read(&mut self, offset: u32, width: u8) -> Result<u32, Error> {
        check_access(offset, width)?;
        self.host.counters.bar_reads += 1;
        let one_way = self.config.mmio_read_latency / 2;
        let arrival = self.now + one_way;
        if !self.pci.memory_enabled() {
            self.advance(arrival + one_way, false)?;
            return Ok(u32::MAX);
        }
        self.axil.read(arrival, offset as u16);
        self.answer = None;
        let answer = loop {
            if let Some(answer) = self.answer.take() {
                break answer;
            }
            let waited = self.now.saturating_sub(arrival) / CYCLE_PS;
            if waited > BAR_TIMEOUT {
                return self.fail(Error::BarTimeout {
                    at: self.now,
                    offset,
                    cycles: waited,
                });
            }
            self.advance(self.now + CYCLE_PS, false)?;
        };
        // A completion does not pass posted writes (PCIe 2.4.1).
        let back = (self.now + one_way).max(self.axi.writes_visible_at() + CYCLE_PS);
        self.advance(back, false)?;
        let word = answer.data.filter(|_| answer.ok).unwrap_or(u32::MAX);
        let value = word >> (8 * (offset % 4));
        Ok(value & u32::MAX >> (32 - 8 * u32::from(width)))
    }

    fn bar_write(&mut self, offset: u32, width: u8, value: u32) -> Result<(), Error> {
        check_access(offset, width)?;
        self.host.counters.bar_writes += 1;
        if !self.pci.memory_enabled() {
            return Ok(());
        }
        if (BAR_NOTIFY..BAR_NOTIFY + self.config.shape().notify_len).contains(&offset) {
            self.host.counters.doorbells += 1;
        }
        let arrival = self.now + self.config.mmio_write_latency;
        self.axil.write(arrival, offset as u16, width, value);
        Ok(())
    }

    fn wire_send(&mut self, frame: WireFrame) {
        self.host.counters.wire_in += 1;
        self.source.send(frame);
    }

    fn wire_pending(&self) -> usize {
        self.source.pending()
    }

    fn run_until(&mut self, until: Ps) -> Result<Stop, Error> {
        self.advance(until, true)
    }

    fn take_msix(&mut self) -> Option<MsixMessage> {
        self.host.messages.pop_front()
    }

    fn take_wire(&mut self) -> Option<WireFrame> {
        self.frames.pop_front()
    }

    fn memory(&self) -> &HostMemory {
        &self.host.memory
    }

    fn iommu(&mut self) -> &mut IommuTable {
        &mut self.host.iommu
    }

    fn set_link(&mut self, up: bool) {
        self.pins.link_up = up;
        self.settle = SETTLE_CYCLES;
    }

    fn counters(&self) -> Counters {
        self.host.counters
    }

    fn set_dma_log(&mut self, on: bool) {
        self.host.log = on.then(Vec::new);
    }

    fn take_dma_log(&mut self) -> Vec<DmaRecord> {
        self.host
            .log
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

impl Drop for Nic {
    fn drop(&mut self) {
        // The destructor of the model completes the file, too; here an error has no reader.
        let _ = self.model.pin_mut().close_waves();
    }
}
