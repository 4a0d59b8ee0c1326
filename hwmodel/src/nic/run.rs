//! The clock: one cycle, many cycles, and the jump over those in which nothing happens.

use super::{Nic, Waves};
use crate::{
    CYCLE_PS, Ps,
    axi::Host,
    bridge::{ffi, hash_pins},
    device::Stop,
    error::Error,
    xgmii::IDLE_COLUMN,
};

/// Fewer quiet cycles than this run one by one.
const WORTH: u32 = 4;

fn rtl_error(model: &ffi::Model, exception: &cxx::Exception) -> Error {
    Error::Rtl {
        at: model.time(),
        message: exception.what().to_owned(),
    }
}

impl Nic {
    /// Runs until `until`, or with `stop` until something is there to be taken.
    pub(super) fn advance(&mut self, until: Ps, stop: bool) -> Result<Stop, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        loop {
            if stop && !self.messages.is_empty() {
                return Ok(Stop::Msix);
            }
            if stop && !self.frames.is_empty() {
                return Ok(Stop::WireTx);
            }
            if self.now >= until {
                return Ok(Stop::Time);
            }
            if !self.out.busy && self.config.idle_skip && self.skip(until) {
                continue;
            }
            let quiet = self.quiet_cycles(until);
            let result = if quiet < WORTH {
                self.cycle()
            } else {
                self.quiet(quiet)
            };
            if let Err(error) = result {
                return self.fail(error);
            }
        }
    }

    /// How many cycles from now on the inputs stay as they are, if the device asks for nothing.
    #[inline]
    fn quiet_cycles(&self, until: Ps) -> u32 {
        let out = &self.out;
        if self.axi.wake() <= self.now
            || out.m_axi_awvalid | out.m_axi_wvalid | out.m_axi_arvalid
            || self.sink.in_frame()
            || (out.xgmii_txd, out.xgmii_txc) != IDLE_COLUMN
            || self.settle > 0
            || self.recording.is_some()
            || self.waves != Waves::Off
        {
            return 0;
        }
        let axil = self.axil.next_event().unwrap_or(Ps::MAX);
        let wire = self.source.next_at().unwrap_or(Ps::MAX);
        let event = until.min(self.axi.wake()).min(axil).div_ceil(CYCLE_PS);
        let cycles = event
            .min(wire / CYCLE_PS)
            .saturating_sub(self.now / CYCLE_PS);
        u32::try_from(cycles).unwrap_or(u32::MAX)
    }

    /// Up to `cycles` cycles in one crossing, none of which needs the host.
    fn quiet(&mut self, cycles: u32) -> Result<(), Error> {
        (self.pins.xgmii_rxd, self.pins.xgmii_rxc) = IDLE_COLUMN;
        let mut model = self.model.pin_mut();
        let until_idle = self.config.idle_skip;
        let ran = model
            .as_mut()
            .run(self.now, &self.pins, &mut self.out, cycles, until_idle)
            .map_err(|exception| rtl_error(&model, &exception))?;
        self.now += Ps::from(ran) * CYCLE_PS;
        self.counters.cycles += u64::from(ran);
        // What the last of them sent is a column like any other.
        self.receive()
    }

    /// Jumps to the next cycle in which an input changes. False when that is this one.
    fn skip(&mut self, until: Ps) -> bool {
        if self.settle > 0 || self.sink.in_frame() {
            return false;
        }
        let mut event = until.div_ceil(CYCLE_PS) * CYCLE_PS;
        let bus = [self.axi.next_event(), self.axil.next_event()];
        for at in bus.into_iter().flatten() {
            event = event.min(at.div_ceil(CYCLE_PS) * CYCLE_PS);
        }
        if let Some(at) = self.source.next_at() {
            event = event.min(at);
        }
        if self.out.timer != u32::MAX {
            event = event.min(self.now + u64::from(self.out.timer) * CYCLE_PS);
        }
        if event <= self.now {
            return false;
        }
        self.counters.cycles_skipped += (event - self.now) / CYCLE_PS;
        self.now = event;
        true
    }

    /// One clock cycle with all that surrounds the chip.
    #[inline]
    fn cycle(&mut self) -> Result<(), Error> {
        let (now, out) = (self.now, &self.out);
        let mut host = Host {
            memory: &self.memory,
            iommu: &mut self.iommu,
            bus_master: self.pins.bus_master_en,
            counters: &mut self.counters,
            log: self.dma_log.as_mut(),
            messages: &mut self.messages,
        };
        self.axi.drive(now, out, &mut self.pins, &mut host)?;
        if let Some(response) = self.axil.drive(now, out, &mut self.pins) {
            self.counters.bar_errors += u64::from(!response.ok);
            if response.data.is_some() {
                self.answer = Some(response);
            }
        }
        (self.pins.xgmii_rxd, self.pins.xgmii_rxc) = self.source.next(now);
        self.settle = self.settle.saturating_sub(1);
        self.clock()?;
        self.receive()
    }

    /// Takes the column that the device transmits.
    #[inline]
    fn receive(&mut self) -> Result<(), Error> {
        let column = (self.out.xgmii_txd, self.out.xgmii_txc);
        if (column != IDLE_COLUMN || self.sink.in_frame())
            && let Some(frame) = self.sink.push(self.now, column.0, column.1)?
        {
            self.counters.wire_out += 1;
            self.frames.push_back(frame);
        }
        Ok(())
    }

    /// The edge itself.
    #[inline]
    pub(super) fn clock(&mut self) -> Result<(), Error> {
        if self.waves != Waves::Off {
            self.update_waves()?;
        }
        let mut model = self.model.pin_mut();
        model
            .as_mut()
            .step(self.now, &self.pins, &mut self.out)
            .map_err(|exception| rtl_error(&model, &exception))?;
        if let Some(recording) = &mut self.recording {
            recording.pins.push(self.pins);
            recording.hash = hash_pins(recording.hash, &self.out);
        }
        self.now += CYCLE_PS;
        self.counters.cycles += 1;
        Ok(())
    }

    /// Opens and closes the FST file at the borders of its window.
    fn update_waves(&mut self) -> Result<(), Error> {
        let inside = self.config.waves_window.contains(&self.now);
        let result = match (&self.waves, &self.config.waves) {
            (Waves::Waiting, Some(path)) if inside => {
                self.waves = Waves::Open;
                self.model.pin_mut().open_waves(&path.to_string_lossy())
            }
            (Waves::Open, _) if !inside => {
                self.waves = Waves::Off;
                self.model.pin_mut().close_waves()
            }
            _ => return Ok(()),
        };
        result.map_err(|exception| Error::Waves(exception.what().to_owned()))
    }
}
