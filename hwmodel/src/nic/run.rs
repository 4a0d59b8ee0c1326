//! The clock: one cycle, many cycles, and the jump over those in which nothing happens.

use super::{Nic, Waves};
use crate::{
    CYCLE_PS, Ps,
    bridge::{WINDOW, ffi},
    device::Stop,
    error::Error,
    xgmii::IDLE_COLUMN,
};

/// Windows shorter than this run cycle by cycle.
const WORTH: u32 = 2;

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
            let reason = if stop && !self.host.messages.is_empty() {
                Stop::Msix
            } else if stop && !self.frames.is_empty() {
                Stop::WireTx
            } else if self.now >= until {
                Stop::Time
            } else {
                if let Err(error) = self.progress(until) {
                    return self.fail(error);
                }
                continue;
            };
            // The caller sees memory as it is behind the newest cycle.
            let limit = self.now.saturating_sub(CYCLE_PS);
            self.axi.settle(limit, &mut self.host);
            return Ok(reason);
        }
    }

    /// A jump, a window or a cycle.
    #[inline]
    fn progress(&mut self, until: Ps) -> Result<(), Error> {
        if !self.out.busy && self.config.idle_skip && self.skip(until) {
            return Ok(());
        }
        let limit = self.window_limit(until);
        if limit < WORTH {
            self.cycle()
        } else {
            self.window(limit)
        }
    }

    /// How many cycles may run from now on before the host has to decide something.
    #[inline]
    fn window_limit(&mut self, until: Ps) -> u32 {
        if self.settle > 0 || self.recording.is_some() || self.waves != Waves::Off {
            return 0;
        }
        let Some(bus) = self.axi.open_window(
            self.now,
            &self.out,
            &mut self.pins,
            &mut self.window,
            &self.host,
        ) else {
            return 0;
        };
        let axil = self.axil.next_event().unwrap_or(Ps::MAX);
        self.source.begin(self.now, WINDOW.into());
        let event = until.min(bus).min(axil).div_ceil(CYCLE_PS);
        let cycles = event.saturating_sub(self.now / CYCLE_PS);
        cycles.min(WINDOW.into()) as u32
    }

    /// Up to `limit` cycles in one crossing.
    fn window(&mut self, limit: u32) -> Result<(), Error> {
        let first = self.now;
        let window = &mut self.window;
        window.begin = first;
        self.pins.cycle = first / CYCLE_PS;
        window.limit = limit;
        window.until_idle = self.config.idle_skip;
        window.in_frame = self.sink.in_frame();
        (self.pins.xgmii_rxd, self.pins.xgmii_rxc) = IDLE_COLUMN;
        let mut model = self.model.pin_mut();
        let rx = self.source.columns();
        let (reads, bursts, responses) = self.axi.answers(first, window, &self.host);
        model
            .as_mut()
            .run(
                &self.pins,
                rx,
                reads,
                bursts,
                responses,
                window,
                &mut self.out,
            )
            .map_err(|exception| rtl_error(&model, &exception))?;
        let cycles = window.cycles;
        self.now += Ps::from(cycles) * CYCLE_PS;
        self.host.counters.cycles += u64::from(cycles);
        self.source.skip_columns(cycles as usize);
        self.axi
            .close_window(first, window, &mut self.pins, &mut self.host)?;
        for index in window.first_column..cycles {
            let column = self.window.columns[index as usize];
            let at = first + Ps::from(index + 1) * CYCLE_PS;
            self.receive(at, column.data, column.ctrl)?;
        }
        Ok(())
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
        let cycles = (event - self.now) / CYCLE_PS;
        if self.out.timer != u32::MAX {
            self.out.timer -= cycles as u32;
        }
        self.host.counters.cycles_skipped += cycles;
        self.now = event;
        true
    }

    /// One clock cycle with all that surrounds the chip.
    #[inline]
    fn cycle(&mut self) -> Result<(), Error> {
        let (now, out) = (self.now, &self.out);
        self.axi.drive(now, out, &mut self.pins, &mut self.host)?;
        if let Some(response) = self.axil.drive(now, out, &mut self.pins) {
            self.host.counters.bar_errors += u64::from(!response.ok);
            if response.data.is_some() {
                self.answer = Some(response);
            }
        }
        (self.pins.xgmii_rxd, self.pins.xgmii_rxc) = self.source.next(now);
        self.settle = self.settle.saturating_sub(1);
        self.clock()?;
        self.receive(self.now, self.out.xgmii_txd, self.out.xgmii_txc)
    }

    /// Takes a column that the device transmits.
    #[inline]
    fn receive(&mut self, at: Ps, data: u64, ctrl: u8) -> Result<(), Error> {
        if ((data, ctrl) != IDLE_COLUMN || self.sink.in_frame())
            && let Some(frame) = self.sink.push(at, data, ctrl)?
        {
            self.host.counters.wire_out += 1;
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
        self.pins.cycle = self.now / CYCLE_PS;
        let mut model = self.model.pin_mut();
        let (now, pins, out) = (self.now, &self.pins, &mut self.out);
        match &mut self.recording {
            None => model.as_mut().step(now, pins, out),
            Some(recording) => {
                recording.pins.push(*pins);
                let hashed = model.as_mut().step_hashed(now, pins, out, recording.hash);
                hashed.map(|hash| recording.hash = hash)
            }
        }
        .map_err(|exception| rtl_error(&model, &exception))?;
        self.now += CYCLE_PS;
        self.host.counters.cycles += 1;
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
