//! The host's end of the NIC's AXI4 master: memory behind latency, limits and back-pressure.
//!
//! Writes are posted as on PCIe: they become visible in the order of their data beats, MSI-X messages
//! among them, and a read returns what the writes accepted before it have written.

mod burst;
mod config;
mod host;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use burst::{AxiError, Channel, Violation};
pub use config::{AxiHostConfig, Stalls};
pub(crate) use host::Host;

use crate::{
    CYCLE_PS, Ps,
    bridge::{Beat, PinsIn, PinsOut, ReadBurst, Response, WINDOW, Window},
    rng::Rng,
};
use read::Reader;
use std::ops::Range;
use write::Writer;

/// OKAY (AMBA AXI A3.4.4).
const RESP_OKAY: u8 = 0b00;
/// The target refused: an IOMMU mapping that does not allow the direction.
const RESP_SLVERR: u8 = 0b10;
/// No target: an address that is not mapped.
const RESP_DECERR: u8 = 0b11;

/// Both directions of the AXI4 port.
pub(crate) struct AxiHost {
    config: AxiHostConfig,
    seed: u64,
    reader: Reader,
    writer: Writer,
    /// While the device asks for nothing, the pins stay as they are until then.
    wake: Ps,
    /// For the window that is open.
    responses: Vec<Response>,
    /// Some addresses get no answers, or did not: every cycle is decided on its own.
    faulty: bool,
}

/// Whether `addr` is in one of `ranges`.
fn hits(ranges: &[Range<u64>], addr: u64) -> bool {
    ranges.iter().any(|range| range.contains(&addr))
}

impl AxiHost {
    pub(crate) fn new(config: AxiHostConfig, seed: u64) -> Self {
        Self {
            reader: Reader::default(),
            writer: Writer::default(),
            seed,
            wake: 0,
            responses: Vec::new(),
            faulty: false,
            config,
        }
    }

    /// From now on bursts that begin at a bus address in `ranges` are accepted but get no data and no
    /// response, nor do those that come behind them with their AXI ID. What no longer is among them is
    /// answered at last.
    pub(crate) fn set_unanswered(&mut self, now: Ps, ranges: &[Range<u64>]) {
        self.reader.set_unanswered(now, ranges);
        self.writer.set_unanswered(ranges);
        self.faulty = true;
        self.wake = 0;
    }

    /// Forgets what is in flight, as a reset of the chip does. Write data that was accepted stays.
    pub(crate) fn reset(&mut self, now: Ps, host: &mut Host) {
        self.writer.settle(Ps::MAX, now, host);
        self.reader = Reader::default();
        self.writer = Writer::default();
        self.faulty = false;
        self.wake = 0;
    }

    /// Decides the inputs of the cycle that begins at `now` from the outputs that hold in it, and
    /// does what the handshakes of its edge do.
    #[inline]
    pub(crate) fn drive(
        &mut self,
        now: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        host: &mut Host,
    ) -> Result<(), AxiError> {
        let asks = out.m_axi_arvalid | out.m_axi_awvalid | out.m_axi_wvalid;
        if now < self.wake && !asks {
            return Ok(());
        }
        self.drive_busy(now, out, pins, host)
    }

    fn drive_busy(
        &mut self,
        now: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        host: &mut Host,
    ) -> Result<(), AxiError> {
        let config = &self.config;
        // Each cycle has random numbers of its own, so that cycles that time jumps over take none.
        let rng = &mut match config.is_random() {
            true => Rng::new(Rng::new(self.seed ^ now).next_u64()),
            false => Rng::new(0),
        };
        self.writer.drive(now, out, pins, config, rng, host)?;
        let visible = self.writer.visible_at();
        self.reader
            .drive(now, visible, out, pins, config, rng, host)?;
        self.wake = match self.next_event() {
            // With random stalls the readies change in every cycle.
            _ if config.stalls.any() => 0,
            // The cycle behind a beat or response takes it from the pins.
            _ if pins.m_axi_rvalid || pins.m_axi_bvalid => 0,
            Some(event) => event,
            None => Ps::MAX,
        };
        Ok(())
    }

    /// Prepares a window: cycles in which the host only goes on with what it decided before, and takes
    /// what the device gives. The time at which it must end; `None` when the host is needed now.
    #[inline]
    pub(crate) fn open_window(
        &mut self,
        now: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        window: &mut Window,
        host: &Host,
    ) -> Option<Ps> {
        self.responses.clear();
        if self.faulty {
            return None;
        }
        if self.config.is_random() {
            // Each cycle's answers are drawn anew: none may be due, and nothing may be taken.
            (window.take_aw, window.take_ar, window.open) = (0, 0, 0);
            (window.read_begun, window.read_more) = (0, false);
            (window.read_waits, window.response_waits) = (false, false);
            let asks = out.m_axi_arvalid | out.m_axi_awvalid | out.m_axi_wvalid;
            return (now < self.wake && !asks).then_some(self.wake);
        }
        let config = &self.config;
        let cycles = |latency: Ps| (latency / CYCLE_PS).min(Ps::from(WINDOW)) as u32;
        window.read_latency = cycles(config.read_latency);
        window.write_latency = cycles(config.write_latency);
        if window.read_latency == 0 || window.write_latency == 0 {
            return None;
        }
        let writer = &self.writer;
        let read = self
            .reader
            .open_window(now, out, pins, window, config, writer)?;
        let responses = &mut self.responses;
        let write = writer.open_window(now, out, pins, window, config, host, responses)?;
        Some(read.min(write))
    }

    /// Behind [`AxiHost::open_window`], when the window's limit is known: what it may put on the pins, data
    /// of read bursts and write responses.
    pub(crate) fn answers(
        &mut self,
        now: Ps,
        window: &mut Window,
        host: &Host,
    ) -> (&[Beat], &mut [ReadBurst], &[Response]) {
        if self.config.is_random() {
            return (&[], &mut [], &[]);
        }
        self.reader.offer(now, window, &self.writer, &host.memory);
        let (beats, bursts) = self.reader.offered();
        (beats, bursts, &self.responses)
    }

    /// Does what the handshakes of a window did, whose first cycle began at `first`.
    pub(crate) fn close_window(
        &mut self,
        first: Ps,
        window: &Window,
        pins: &mut PinsIn,
        host: &mut Host,
    ) -> Result<(), AxiError> {
        let config = &self.config;
        if config.is_random() {
            return Ok(());
        }
        let mut given = write::Given {
            aw: &window.aw[..window.aw_count as usize],
            beats: &window.writes[..window.write_count as usize],
        };
        for address in &window.ar[..window.ar_count as usize] {
            self.writer
                .take(first, address.cycle, &mut given, config, host)?;
            let visible = self.writer.visible_at();
            self.reader.take(first, address, visible, config, host)?;
        }
        self.writer
            .take(first, u32::MAX, &mut given, config, host)?;
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        reader.close_window(first, window, pins, writer, host);
        let last = first + Ps::from(window.cycles - 1) * CYCLE_PS;
        writer.close_window(last, window, pins, host);
        self.wake = 0;
        Ok(())
    }

    /// Makes writes visible that are due by `limit`.
    #[inline]
    pub(crate) fn settle(&mut self, limit: Ps, host: &mut Host) {
        self.writer.settle(limit, limit, host);
    }

    /// When this side next does something by itself; `None` when nothing is in flight.
    pub(crate) fn next_event(&self) -> Option<Ps> {
        match (
            self.reader.next_event(&self.config),
            self.writer.next_event(),
        ) {
            (Some(read), Some(write)) => Some(read.min(write)),
            (read, write) => read.or(write),
        }
    }

    /// When all write data that was accepted so far is visible: a completion must not overtake it.
    pub(crate) fn writes_visible_at(&self) -> Ps {
        self.writer.visible_at()
    }
}
