use super::{
    AxiError, AxiHostConfig, Channel, Host, RESP_DECERR, RESP_OKAY, RESP_SLVERR, Violation,
    burst::{BEAT, Burst},
};
use crate::{
    Ps,
    bridge::{PinsIn, PinsOut},
    counters::DmaRecord,
    iommu::{Access, Refusal},
    msix::{self, MsixMessage},
    rng::Rng,
};
use std::collections::VecDeque;

/// A write burst whose data has not all arrived.
#[derive(Debug, Clone, Copy)]
struct Write {
    burst: Burst,
    at: Ps,
    target: Target,
    /// Bytes whose strobe was set, so far.
    bytes: u32,
    beat: u16,
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
struct Beat {
    due: Ps,
    target: Target,
    data: [u64; 2],
    strobe: u16,
    /// It ends the oldest burst of [`Writer::closed`].
    last: bool,
}

/// AW, W and B.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Addresses without all their data, oldest first.
    open: VecDeque<Write>,
    /// Bursts whose data has all arrived and is not all visible, oldest first.
    closed: VecDeque<Write>,
    /// Accepted data that is not visible yet: one queue for all, so that order is kept.
    posted: VecDeque<Beat>,
    /// ID and code of responses that may be given.
    responses: VecDeque<(u8, u8)>,
    /// A response is on the pins and was not taken yet.
    presented: bool,
    held_aw: Option<Burst>,
    held_w: Option<([u64; 2], u16, bool)>,
    newest_due: Ps,
}

impl Writer {
    pub(super) fn visible_at(&self) -> Ps {
        self.newest_due
    }

    pub(super) fn next_event(&self) -> Option<Ps> {
        if self.presented || !self.responses.is_empty() {
            return Some(0);
        }
        self.posted.front().map(|beat| beat.due)
    }

    /// One cycle of the three channels.
    pub(super) fn drive(
        &mut self,
        now: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        config: &AxiHostConfig,
        rng: &mut Rng,
        host: &mut Host<'_>,
    ) -> Result<(), AxiError> {
        self.settle(now, now, host);
        self.respond(out, pins, config, rng);

        let unanswered = self.open.len() + self.closed.len() + self.responses.len();
        pins.m_axi_awready = unanswered < config.max_writes && !rng.chance(config.stalls.aw);
        if out.m_axi_awvalid || self.held_aw.is_some() {
            self.address(now, out, pins.m_axi_awready, host)
                .map_err(|violation| AxiError {
                    at: now,
                    channel: Channel::Aw,
                    violation,
                })?;
        }
        pins.m_axi_wready = !self.open.is_empty() && !rng.chance(config.stalls.w);
        if out.m_axi_wvalid || self.held_w.is_some() {
            self.data(now, out, pins.m_axi_wready, config, rng)
                .map_err(|violation| AxiError {
                    at: now,
                    channel: Channel::W,
                    violation,
                })?;
        }
        Ok(())
    }

    fn address(
        &mut self,
        now: Ps,
        out: &PinsOut,
        ready: bool,
        host: &mut Host<'_>,
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
    ) -> Result<(), Violation> {
        let (data, strobe, last) = (out.m_axi_wdata, out.m_axi_wstrb, out.m_axi_wlast);
        let unchanged = |held| out.m_axi_wvalid && held == (data, strobe, last);
        if self.held_w.take().is_some_and(|held| !unchanged(held)) {
            return Err(Violation::Unstable);
        }
        let Some(write) = self.open.front_mut().filter(|_| ready) else {
            self.held_w = Some((data, strobe, last));
            return Ok(());
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
        if last {
            self.closed.extend(self.open.pop_front());
        }
        let jitter = rng.below(config.jitter);
        // Posted writes do not pass each other (PCIe 2.4.1).
        self.newest_due = self.newest_due.max(now + config.write_latency + jitter);
        self.posted.push_back(Beat {
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
    pub(super) fn settle(&mut self, limit: Ps, now: Ps, host: &mut Host<'_>) {
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
                self.finish(now, &beat, host);
            }
            self.posted.pop_front();
        }
    }

    /// The last beat of a burst is visible: a message, a note, the response.
    fn finish(&mut self, now: Ps, beat: &Beat, host: &mut Host<'_>) {
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
            Target::Refused(refusal) => Some(refusal),
            Target::Msix if message.is_none() => Some(Refusal::NotMapped),
            _ => None,
        };
        let response = match refused {
            None => RESP_OKAY,
            Some(Refusal::Permission) => RESP_SLVERR,
            Some(_) => RESP_DECERR,
        };
        self.responses.push_back((burst.id, response));
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

/// The message that a write to the interrupt controller is, if it has the form of one: four bytes,
/// naturally aligned (PCI 6.8.3.5).
fn message(now: Ps, burst: &Burst, beat: &Beat) -> Option<MsixMessage> {
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
