use super::{
    AxiError, AxiHostConfig, Channel, Host, RESP_DECERR, RESP_OKAY, RESP_SLVERR, Violation,
    burst::{BEAT, Burst},
};
use crate::{
    CYCLE_PS, Ps,
    bridge::{Address, PinsIn, PinsOut, Response, WINDOW, Window, WriteBeat},
    counters::DmaRecord,
    iommu::{Access, Refusal},
    memory::HostMemory,
    msix::{self, MsixMessage},
    rng::Rng,
};
use std::{collections::VecDeque, ops::Range};

/// A write burst whose data has not all arrived.
#[derive(Debug, Clone, Copy)]
struct Write {
    burst: Burst,
    at: Ps,
    target: Target,
    /// Bytes whose strobe was set, so far.
    bytes: u32,
    beat: u16,
    /// When its newest beat is visible.
    due: Ps,
}

impl Write {
    /// Why the data, which has all arrived, will go nowhere.
    fn refusal(&self, memory: &HostMemory) -> Option<Refusal> {
        match self.target {
            // The address is past the last beat now. Memory may have been taken away since it was
            // checked.
            Target::Memory(end) => memory
                .ptr(end - BEAT, BEAT as usize)
                .err()
                .map(|_| Refusal::NotMapped),
            target => refusal(target),
        }
    }
}

/// Where a burst's data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Host memory: physical address of the next beat, aligned to it.
    Memory(u64),
    /// The interrupt controller.
    Msix,
    /// Nowhere.
    Refused(Refusal),
}

/// A data beat on its way to memory.
#[derive(Debug, Clone, Copy)]
struct Posted {
    due: Ps,
    target: Target,
    data: [u64; 2],
    strobe: u16,
    /// It ends the oldest burst of [`Writer::closed`].
    last: bool,
}

/// What the device gave in a window, in order.
pub(super) struct Given<'a> {
    pub aw: &'a [Address],
    pub beats: &'a [WriteBeat],
}

/// AW, W and B.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Addresses without all their data, oldest first.
    open: VecDeque<Write>,
    /// Bursts whose data has all arrived and is not all visible, oldest first.
    closed: VecDeque<Write>,
    /// Accepted data that is not visible yet: one queue for all, so that order is kept.
    posted: VecDeque<Posted>,
    /// ID and code of responses that may be given.
    responses: VecDeque<(u8, u8)>,
    /// A response is on the pins and was not taken yet.
    presented: bool,
    held_aw: Option<Burst>,
    held_w: Option<WriteBeat>,
    newest_due: Ps,
    /// Bursts to these bus addresses get no response.
    unanswered: Vec<Range<u64>>,
    /// Bus address, ID and code of the responses that are not given, and of those that came behind them
    /// with their IDs, oldest first.
    withheld: VecDeque<(u64, u8, u8)>,
}

impl Writer {
    pub(super) fn visible_at(&self) -> Ps {
        self.newest_due
    }

    /// When the pins change or a message comes: with the last beat of a burst.
    pub(super) fn next_event(&self) -> Option<Ps> {
        if self.presented || !self.responses.is_empty() {
            return Some(0);
        }
        self.closed.front().map(|write| write.due)
    }

    /// Whether data that is not visible yet goes to one of these physical addresses.
    pub(super) fn covers(&self, range: Range<u64>) -> bool {
        self.closed.iter().chain(&self.open).any(|write| {
            let Target::Memory(end) = write.target else {
                return false;
            };
            write.beat > 0 && range.start < end && end - u64::from(write.beat) * BEAT < range.end
        })
    }

    /// Prepares a window, and the responses that become due; its end. `None`: something has waited.
    #[allow(clippy::too_many_arguments)] // as drive()
    pub(super) fn open_window(
        &self,
        now: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        window: &mut Window,
        config: &AxiHostConfig,
        host: &Host,
        responses: &mut Vec<Response>,
    ) -> Option<Ps> {
        window.take_aw = config.max_writes.saturating_sub(self.unanswered()) as u32;
        window.open = self.open.len() as u32;
        window.response_waits = self.presented;
        pins.m_axi_awready = window.take_aw > 0;
        pins.m_axi_wready = window.open > 0;
        pins.m_axi_bvalid = self.presented;
        let refused = out.m_axi_awvalid && !pins.m_axi_awready
            || out.m_axi_wvalid && !pins.m_axi_wready && !out.m_axi_awvalid;
        if refused || self.held_aw.is_some() || self.held_w.is_some() {
            return None;
        }
        responses.extend(
            self.responses
                .iter()
                .map(|&(id, resp)| Response { cycle: 0, id, resp }),
        );
        for (index, write) in self.closed.iter().enumerate() {
            let cycle = write.due.saturating_sub(now).div_ceil(CYCLE_PS);
            if cycle >= Ps::from(WINDOW) {
                break;
            }
            let is_message = write.target == Target::Msix;
            let refusal = match is_message {
                true => self.refused_message(index),
                false => write.refusal(&host.memory),
            };
            responses.push(Response {
                cycle: cycle as u32,
                id: write.burst.id,
                resp: response(refusal),
            });
            // Somebody may wait for the message: the window ends with its cycle.
            if is_message {
                return Some(now + (cycle + 1) * CYCLE_PS);
            }
        }
        Some(Ps::MAX)
    }

    /// Why the burst `index` of those that are closed, to the interrupt controller, is no message.
    fn refused_message(&self, index: usize) -> Option<Refusal> {
        let (write, mut ends) = (
            &self.closed[index],
            self.posted.iter().filter(|beat| beat.last),
        );
        let message = ends
            .nth(index)
            .and_then(|beat| message(0, &write.burst, beat));
        message.is_none().then_some(Refusal::NotMapped)
    }

    /// The addresses and data that were taken in a window up to `cycle`; its first began at `first`.
    pub(super) fn take(
        &mut self,
        first: Ps,
        cycle: u32,
        given: &mut Given<'_>,
        config: &AxiHostConfig,
        host: &mut Host,
    ) -> Result<(), AxiError> {
        loop {
            match (given.aw.split_first(), given.beats.split_first()) {
                // An address comes with its data or before it.
                (Some((aw, rest)), beat)
                    if aw.cycle <= cycle && beat.is_none_or(|(b, _)| aw.cycle <= b.cycle) =>
                {
                    given.aw = rest;
                    let now = first + Ps::from(aw.cycle) * CYCLE_PS;
                    self.open(now, Burst::from(*aw), host)
                        .map_err(violation(now, Channel::Aw))?;
                }
                (_, Some((beat, rest))) if beat.cycle <= cycle => {
                    given.beats = rest;
                    let now = first + Ps::from(beat.cycle) * CYCLE_PS;
                    self.accept(beat, now + config.write_latency)
                        .map_err(violation(now, Channel::W))?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// The last cycle of a window began at `last`.
    pub(super) fn close_window(
        &mut self,
        last: Ps,
        window: &Window,
        pins: &mut PinsIn,
        host: &mut Host,
    ) {
        self.settle(last, last, host);
        let mut given = self.responses.drain(..window.response_count as usize);
        // The newest one stays on the pins until it is taken.
        if let Some((id, code)) = given.next_back() {
            pins.m_axi_bid = id;
            pins.m_axi_bresp = code;
        }
        self.presented = window.response_waits;
        pins.m_axi_bvalid = self.presented;
    }

    /// Bursts without response.
    fn unanswered(&self) -> usize {
        self.open.len() + self.closed.len() + self.responses.len()
    }

    /// One cycle of the three channels.
    pub(super) fn drive(
        &mut self,
        now: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        config: &AxiHostConfig,
        rng: &mut Rng,
        host: &mut Host,
    ) -> Result<(), AxiError> {
        self.settle(now, now, host);
        self.respond(out, pins, config, rng);

        pins.m_axi_awready = self.unanswered() < config.max_writes && !rng.chance(config.stalls.aw);
        if out.m_axi_awvalid || self.held_aw.is_some() {
            self.address(now, out, pins.m_axi_awready, host)
                .map_err(violation(now, Channel::Aw))?;
        }
        pins.m_axi_wready = !self.open.is_empty() && !rng.chance(config.stalls.w);
        if out.m_axi_wvalid || self.held_w.is_some() {
            self.data(now, out, pins.m_axi_wready, config, rng)?;
        }
        Ok(())
    }

    fn address(
        &mut self,
        now: Ps,
        out: &PinsOut,
        ready: bool,
        host: &mut Host,
    ) -> Result<(), Violation> {
        let burst = Burst::of(out, Access::Write);
        if self
            .held_aw
            .take()
            .is_some_and(|held| !out.m_axi_awvalid || held != burst)
        {
            return Err(Violation::Unstable);
        }
        if !ready {
            self.held_aw = Some(burst);
            return Ok(());
        }
        self.open(now, burst, host)
    }

    /// An address: its data may come.
    fn open(&mut self, now: Ps, burst: Burst, host: &mut Host) -> Result<(), Violation> {
        burst.check()?;
        let target = if msix::RANGE.contains(&burst.addr) && burst.beats == 1 && host.bus_master {
            Target::Msix
        } else {
            match host.translate(burst.addr & !(BEAT - 1), burst, Access::Write) {
                Ok(phys) => Target::Memory(phys),
                Err(refusal) => Target::Refused(refusal),
            }
        };
        self.open.push_back(Write {
            burst,
            at: now,
            target,
            bytes: 0,
            beat: 0,
            due: 0,
        });
        Ok(())
    }

    fn data(
        &mut self,
        now: Ps,
        out: &PinsOut,
        ready: bool,
        config: &AxiHostConfig,
        rng: &mut Rng,
    ) -> Result<(), AxiError> {
        let beat = WriteBeat {
            data: out.m_axi_wdata,
            strobe: out.m_axi_wstrb,
            last: out.m_axi_wlast,
            cycle: 0,
        };
        let unchanged = |held| out.m_axi_wvalid && held == beat;
        if self.held_w.take().is_some_and(|held| !unchanged(held)) {
            return Err(violation(now, Channel::W)(Violation::Unstable));
        }
        if ready {
            let due = now + config.write_latency + rng.below(config.jitter);
            return self.accept(&beat, due).map_err(violation(now, Channel::W));
        }
        self.held_w = Some(beat);
        Ok(())
    }

    /// A data beat that is visible at `due`, or behind those before it.
    fn accept(&mut self, beat: &WriteBeat, due: Ps) -> Result<(), Violation> {
        let &WriteBeat {
            data, strobe, last, ..
        } = beat;
        let Some(write) = self.open.front_mut() else {
            return Ok(()); // wready is low while nothing is open
        };
        let allowed = write.burst.lanes(write.beat);
        if strobe & !allowed != 0 {
            return Err(Violation::Strobe { strobe, allowed });
        }
        write.beat += 1;
        write.bytes += strobe.count_ones();
        let (beat, beats) = (write.beat, write.burst.beats);
        if last != (beat == beats) {
            return Err(Violation::Last { last, beat, beats });
        }
        let target = write.target;
        if let Target::Memory(phys) = &mut write.target {
            *phys += BEAT;
        }
        // Posted writes do not pass each other (PCIe 2.4.1).
        self.newest_due = self.newest_due.max(due);
        write.due = self.newest_due;
        if last {
            self.closed.extend(self.open.pop_front());
        }
        self.posted.push_back(Posted {
            due: self.newest_due,
            target,
            data,
            strobe,
            last,
        });
        Ok(())
    }

    /// Makes what is due by `limit` visible; responses follow.
    #[inline]
    pub(super) fn settle(&mut self, limit: Ps, now: Ps, host: &mut Host) {
        while let Some(beat) = self.posted.front_mut().filter(|beat| beat.due <= limit) {
            // The mapping was checked when it was made; only memory taken away since then refuses.
            if let Target::Memory(phys) = beat.target
                && host
                    .memory
                    .write_beat(phys, beat.data, beat.strobe)
                    .is_err()
            {
                beat.target = Target::Refused(Refusal::NotMapped);
            }
            if beat.last {
                let beat = *beat;
                // In the first cycle that finds it due.
                let at = beat.due.next_multiple_of(CYCLE_PS).min(now);
                self.finish(at, &beat, host);
            }
            self.posted.pop_front();
        }
    }

    /// The last beat of a burst is visible: a message, a note, the response.
    fn finish(&mut self, now: Ps, beat: &Posted, host: &mut Host) {
        let Some(Write {
            burst, at, bytes, ..
        }) = self.closed.pop_front()
        else {
            return;
        };
        let message = match beat.target {
            Target::Msix => message(now, &burst, beat),
            _ => None,
        };
        let refused = match beat.target {
            Target::Msix if message.is_none() => Some(Refusal::NotMapped),
            target => refusal(target),
        };
        self.answer(burst.addr, burst.id, response(refused));
        if let Some(message) = message {
            host.counters.msix_messages += 1;
            host.messages.push_back(message);
        } else {
            host.done(DmaRecord {
                start: at,
                end: now,
                access: Access::Write,
                id: burst.id,
                iova: burst.addr,
                len: bytes,
                refused,
            });
        }
    }

    /// Responses of one ID keep their order (AMBA AXI A5.3).
    fn answer(&mut self, addr: u64, id: u8, code: u8) {
        let behind = self.withheld.iter().any(|&(_, other, _)| other == id);
        if behind || super::hits(&self.unanswered, addr) {
            self.withheld.push_back((addr, id, code));
        } else {
            self.responses.push_back((id, code));
        }
    }

    /// [`super::AxiHost::set_unanswered`].
    pub(super) fn set_unanswered(&mut self, ranges: &[Range<u64>]) {
        self.unanswered = ranges.to_vec();
        for (addr, id, code) in std::mem::take(&mut self.withheld) {
            self.answer(addr, id, code);
        }
    }

    fn respond(&mut self, out: &PinsOut, pins: &mut PinsIn, config: &AxiHostConfig, rng: &mut Rng) {
        if !self.presented {
            let chosen = self
                .choose(config, rng)
                .filter(|_| !rng.chance(config.stalls.b));
            let response = chosen.and_then(|index| self.responses.remove(index));
            self.presented = response.is_some();
            pins.m_axi_bvalid = self.presented;
            if let Some((id, code)) = response {
                pins.m_axi_bid = id;
                pins.m_axi_bresp = code;
            }
        }
        if self.presented && out.m_axi_bready {
            self.presented = false;
        }
    }

    /// Index of the response to give next: the oldest, or any that is its ID's oldest.
    fn choose(&self, config: &AxiHostConfig, rng: &mut Rng) -> Option<usize> {
        if !config.out_of_order || self.responses.len() < 2 {
            return (!self.responses.is_empty()).then_some(0);
        }
        let index = rng.below(self.responses.len() as u64) as usize;
        let id = self.responses.get(index)?.0;
        self.responses.iter().position(|response| response.0 == id)
    }
}

fn violation(at: Ps, channel: Channel) -> impl Fn(Violation) -> AxiError {
    move |violation| AxiError {
        at,
        channel,
        violation,
    }
}

/// Why a burst's data goes nowhere.
fn refusal(target: Target) -> Option<Refusal> {
    match target {
        Target::Refused(refusal) => Some(refusal),
        Target::Memory(_) | Target::Msix => None,
    }
}

/// The code that a burst is answered with (AMBA AXI A3.4.4).
fn response(refused: Option<Refusal>) -> u8 {
    match refused {
        None => RESP_OKAY,
        Some(Refusal::Permission) => RESP_SLVERR,
        Some(_) => RESP_DECERR,
    }
}

/// The message that a write to the interrupt controller is, if it has the form of one: four bytes,
/// naturally aligned (PCI 6.8.3.5).
fn message(now: Ps, burst: &Burst, beat: &Posted) -> Option<MsixMessage> {
    let lane = burst.addr & (BEAT - 1);
    if !lane.is_multiple_of(4) || beat.strobe != 0xf << lane {
        return None;
    }
    let word = beat.data[(lane / 8) as usize] >> (lane % 8 * 8);
    Some(MsixMessage {
        at: now,
        address: burst.addr,
        data: word as u32,
    })
}
