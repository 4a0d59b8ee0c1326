use super::{
    AxiError, AxiHostConfig, Channel, Host, RESP_DECERR, RESP_OKAY, RESP_SLVERR, Violation,
    burst::{BEAT, Burst},
};
use crate::{
    Ps,
    bridge::{PinsIn, PinsOut},
    counters::DmaRecord,
    iommu::{Access, Refusal},
    rng::Rng,
};
use std::collections::VecDeque;

/// A read burst in flight.
#[derive(Debug)]
struct Read {
    burst: Burst,
    at: Ps,
    due: Ps,
    /// Physical address of the next beat, aligned to it.
    phys: Result<u64, Refusal>,
    left: u16,
}

/// AR and R.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// In order of arrival, but the burst that is being answered is the first.
    pending: VecDeque<Read>,
    /// The first burst has begun: bursts are not interleaved.
    begun: bool,
    /// A beat is on the pins and was not taken yet.
    presented: bool,
    /// An address that was valid without ready in the cycle before.
    held: Option<Burst>,
}

impl Reader {
    pub(super) fn next_event(&self, config: &AxiHostConfig) -> Option<Ps> {
        if self.begun {
            return Some(0);
        }
        if config.out_of_order {
            return self.pending.iter().map(|r| r.due).min();
        }
        self.pending.front().map(|read| read.due)
    }

    /// One cycle of both channels. `visible` is when the writes accepted so far are in memory.
    #[allow(clippy::too_many_arguments)] // one call from one place; a struct would only rename them
    pub(super) fn drive(
        &mut self,
        now: Ps,
        visible: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        config: &AxiHostConfig,
        rng: &mut Rng,
        host: &mut Host<'_>,
    ) -> Result<(), AxiError> {
        if !self.presented {
            self.presented = self.present(now, pins, config, rng, host);
            pins.m_axi_rvalid = self.presented;
        }
        if self.presented && out.m_axi_rready {
            self.beat_done(now, host);
        }

        pins.m_axi_arready = self.pending.len() < config.max_reads && !rng.chance(config.stalls.ar);
        if out.m_axi_arvalid || self.held.is_some() {
            self.address(now, visible, out, pins.m_axi_arready, config, rng, host)
                .map_err(|violation| AxiError {
                    at: now,
                    channel: Channel::Ar,
                    violation,
                })?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn address(
        &mut self,
        now: Ps,
        visible: Ps,
        out: &PinsOut,
        ready: bool,
        config: &AxiHostConfig,
        rng: &mut Rng,
        host: &mut Host<'_>,
    ) -> Result<(), Violation> {
        let burst = Burst::of(out, Access::Read);
        if self
            .held
            .take()
            .is_some_and(|held| !out.m_axi_arvalid || held != burst)
        {
            return Err(Violation::Unstable);
        }
        if !ready {
            self.held = Some(burst);
            return Ok(());
        }
        burst.check()?;
        let latency = config.read_latency + rng.below(config.jitter);
        self.pending.push_back(Read {
            burst,
            at: now,
            // PCIe 2.4.1: a read does not pass the posted writes before it.
            due: (now + latency).max(visible),
            phys: host.translate(burst.addr & !(BEAT - 1), burst, Access::Read),
            left: burst.beats,
        });
        Ok(())
    }

    /// Puts the next beat on the pins, if one is due.
    fn present(
        &mut self,
        now: Ps,
        pins: &mut PinsIn,
        config: &AxiHostConfig,
        rng: &mut Rng,
        host: &Host<'_>,
    ) -> bool {
        if !self.begun {
            let Some(chosen) = self.choose(now, config, rng) else {
                return false;
            };
            // Bursts of one ID keep their order: the chosen one is its ID's first.
            if let Some(read) = (chosen > 0).then(|| self.pending.remove(chosen)).flatten() {
                self.pending.push_front(read);
            }
        }
        if rng.chance(config.stalls.r) {
            return false;
        }
        let Some(read) = self.pending.front_mut() else {
            return false;
        };
        self.begun = true;
        // The mapping was checked when it was made; only memory taken away since then refuses.
        (pins.m_axi_rdata, pins.m_axi_rresp) = match read.phys {
            Ok(phys) => match host.memory.read_beat(phys) {
                Ok(data) => (data, RESP_OKAY),
                Err(_) => {
                    read.phys = Err(Refusal::NotMapped);
                    ([0; 2], RESP_DECERR)
                }
            },
            Err(Refusal::Permission) => ([0; 2], RESP_SLVERR),
            Err(_) => ([0; 2], RESP_DECERR),
        };
        if let Ok(phys) = &mut read.phys {
            *phys += BEAT;
        }
        read.left -= 1;
        pins.m_axi_rid = read.burst.id;
        pins.m_axi_rlast = read.left == 0;
        true
    }

    /// Index of the burst to answer next: the oldest, or any that is its ID's oldest.
    fn choose(&self, now: Ps, config: &AxiHostConfig, rng: &mut Rng) -> Option<usize> {
        if !config.out_of_order {
            return self
                .pending
                .front()
                .filter(|read| read.due <= now)
                .map(|_| 0);
        }
        let mut seen = 0u16;
        let mut chosen = None;
        let mut candidates = 0;
        for (index, read) in self.pending.iter().enumerate() {
            let id = 1 << (read.burst.id & 15);
            if seen & id == 0 && read.due <= now {
                candidates += 1;
                if rng.below(candidates) == 0 {
                    chosen = Some(index);
                }
            }
            seen |= id;
        }
        chosen
    }

    fn beat_done(&mut self, now: Ps, host: &mut Host<'_>) {
        self.presented = false;
        let Some(read) = self.pending.front().filter(|read| read.left == 0) else {
            return;
        };
        host.done(DmaRecord {
            start: read.at,
            end: now,
            access: Access::Read,
            id: read.burst.id,
            iova: read.burst.addr,
            len: read.burst.len() as u32,
            refused: read.phys.err(),
        });
        self.begun = false;
        self.pending.pop_front();
    }
}
