use super::{
    AxiError, AxiHostConfig, Channel, Host, RESP_DECERR, RESP_OKAY, RESP_SLVERR, Violation,
    burst::{BEAT, Burst},
    write::Writer,
};
use crate::{
    CYCLE_PS, Ps,
    bridge::{Address, Beat, PinsIn, PinsOut, ReadBurst, Window},
    counters::DmaRecord,
    iommu::{Access, Refusal},
    memory::HostMemory,
    rng::Rng,
};
use std::{collections::VecDeque, ops::Range};

/// A read burst in flight.
#[derive(Debug)]
struct Read {
    burst: Burst,
    at: Ps,
    due: Ps,
    /// Physical address of the first beat, aligned to it.
    phys: Result<u64, Refusal>,
}

impl Read {
    /// Whether accepted data that is not visible yet goes where this burst reads.
    fn waits_for(&self, writer: &Writer) -> bool {
        let len = u64::from(self.burst.beats) * BEAT;
        self.phys.is_ok_and(|at| writer.covers(at..at + len))
    }

    /// Appends its data, as memory is now, to `beats`.
    fn fetch(&mut self, memory: &HostMemory, beats: &mut Vec<Beat>) {
        let count = usize::from(self.burst.beats);
        let end = beats.len() + count;
        if let Ok(phys) = self.phys
            && memory.read_beats(phys, count, beats).is_err()
        {
            // The mapping was checked when it was made; only memory taken away since then refuses.
            self.phys = Err(Refusal::NotMapped);
        }
        beats.resize(end, Beat { data: [0; 2] });
    }

    /// The code that its beats come with (AMBA AXI A3.4.4).
    fn resp(&self) -> u8 {
        match self.phys {
            Ok(_) => RESP_OKAY,
            Err(Refusal::Permission) => RESP_SLVERR,
            Err(_) => RESP_DECERR,
        }
    }
}

/// AR and R.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// In order of arrival, but the burst that is being answered is the first.
    pending: VecDeque<Read>,
    /// Data of the first burst, empty before it begins: memory as it is then, since a completion is
    /// assembled before it is sent. Bursts are not interleaved. In a window, what else may begin in it
    /// is behind.
    beats: Vec<Beat>,
    /// How many of them were put on the pins.
    sent: usize,
    /// The newest of them was not taken yet.
    presented: bool,
    /// An address that was valid without ready in the cycle before.
    held: Option<Burst>,
    /// Bursts to these bus addresses get no data.
    unanswered: Vec<Range<u64>>,
    /// Those bursts, and what came behind them with their IDs, oldest first.
    withheld: VecDeque<Read>,
    /// For the window that is open.
    bursts: Vec<ReadBurst>,
}

impl Reader {
    pub(super) fn next_event(&self, config: &AxiHostConfig) -> Option<Ps> {
        if self.begun() {
            return Some(0);
        }
        if config.out_of_order {
            return self.pending.iter().map(|r| r.due).min();
        }
        self.pending.front().map(|read| read.due)
    }

    fn begun(&self) -> bool {
        !self.beats.is_empty()
    }

    /// Prepares a window; its end. `None`: an address has waited, or a burst that begins now reads what
    /// `writer` has still to write.
    pub(super) fn open_window(
        &self,
        now: Ps,
        out: &PinsOut,
        pins: &mut PinsIn,
        window: &mut Window,
        config: &AxiHostConfig,
        writer: &Writer,
    ) -> Option<Ps> {
        window.take_ar = config.max_reads.saturating_sub(self.pending.len()) as u32;
        window.read_waits = self.presented;
        pins.m_axi_arready = window.take_ar > 0;
        pins.m_axi_rvalid = self.presented;
        if self.held.is_some() || out.m_axi_arvalid && !pins.m_axi_arready {
            return None;
        }
        match self.pending.front() {
            Some(read) if !self.begun() && read.waits_for(writer) => {
                (read.due > now).then_some(read.due)
            }
            _ => Some(Ps::MAX),
        }
    }

    /// Chooses the bursts that the window which begins at `now` answers: the one under way, and those
    /// whose data cannot change before they begin in it.
    pub(super) fn offer(
        &mut self,
        now: Ps,
        window: &mut Window,
        writer: &Writer,
        memory: &HostMemory,
    ) {
        let limit = window.limit as usize;
        let begun = self.begun();
        window.read_begun = u32::from(begun);
        window.read_more = false;
        self.bursts.clear();
        for (index, read) in self.pending.iter_mut().enumerate() {
            let cycle = read.due.saturating_sub(now).div_ceil(CYCLE_PS) as usize;
            if index > 0 || !begun {
                if cycle >= limit || self.beats.len() - self.sent >= limit {
                    break;
                }
                if read.waits_for(writer) {
                    window.read_more = true;
                    break;
                }
                read.fetch(memory, &mut self.beats);
            }
            self.bursts.push(ReadBurst {
                cycle: cycle as u32,
                end: (self.beats.len() - self.sent) as u32,
                id: read.burst.id,
                resp: read.resp(),
                done: 0,
            });
        }
    }

    /// What [`Reader::offer`] chose: beats that were not on the pins yet, and their bursts.
    pub(super) fn offered(&mut self) -> (&[Beat], &mut [ReadBurst]) {
        let beats = self.beats.get(self.sent..).unwrap_or_default();
        (beats, &mut self.bursts)
    }

    /// An address that was taken in a window whose first cycle began at `first`.
    pub(super) fn take(
        &mut self,
        first: Ps,
        address: &Address,
        visible: Ps,
        config: &AxiHostConfig,
        host: &mut Host,
    ) -> Result<(), AxiError> {
        let now = first + Ps::from(address.cycle) * CYCLE_PS;
        let due = (now + config.read_latency).max(visible);
        self.accept(now, Burst::from(*address), due, host)
            .map_err(violation(now))
    }

    /// Does what a window did whose first cycle began at `first`. Writes become visible up to the end of
    /// the last burst that was answered.
    pub(super) fn close_window(
        &mut self,
        first: Ps,
        window: &Window,
        pins: &mut PinsIn,
        writer: &mut Writer,
        host: &mut Host,
    ) {
        let (done, before) = (window.read_done as usize, self.sent);
        for index in 0..done {
            let at = first + Ps::from(self.bursts[index].done) * CYCLE_PS;
            writer.settle(at, at, host);
            self.finish(at, host);
        }
        // Of the beats, those of the burst under way stay.
        let ends = |count: usize| before + self.bursts[count - 1].end as usize;
        let start = if done == 0 { 0 } else { ends(done) };
        let begun = window.read_begun as usize;
        self.beats
            .truncate(if begun == 0 { 0 } else { ends(begun) });
        self.beats.drain(..start);
        self.sent = before + window.read_count as usize - start;
        self.presented = window.read_waits;
        pins.m_axi_rvalid = self.presented;
        if let Some(read) = self.pending.front().filter(|_| begun > done) {
            (pins.m_axi_rid, pins.m_axi_rresp) = (read.burst.id, read.resp());
            self.show(pins);
        }
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
        host: &mut Host,
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
                .map_err(violation(now))?;
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
        host: &mut Host,
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
        let latency = config.read_latency + rng.below(config.jitter);
        // PCIe 2.4.1: a read does not pass the posted writes before it.
        self.accept(now, burst, (now + latency).max(visible), host)
    }

    /// An address that is answered from `due` on.
    fn accept(&mut self, now: Ps, burst: Burst, due: Ps, host: &mut Host) -> Result<(), Violation> {
        burst.check()?;
        self.queue(Read {
            burst,
            at: now,
            due,
            phys: host.translate(burst.addr & !(BEAT - 1), burst, Access::Read),
        });
        Ok(())
    }

    /// Bursts of one ID keep their order (AMBA AXI A5.3): behind one without data none of it has any.
    fn queue(&mut self, read: Read) {
        let behind = self.withheld.iter().any(|w| w.burst.id == read.burst.id);
        if behind || super::hits(&self.unanswered, read.burst.addr) {
            self.withheld.push_back(read);
        } else {
            self.pending.push_back(read);
        }
    }

    /// [`super::AxiHost::set_unanswered`].
    pub(super) fn set_unanswered(&mut self, now: Ps, ranges: &[Range<u64>]) {
        self.unanswered = ranges.to_vec();
        for read in std::mem::take(&mut self.withheld) {
            let due = read.due.max(now);
            self.queue(Read { due, ..read });
        }
    }

    /// Puts the next beat on the pins, if one is due.
    fn present(
        &mut self,
        now: Ps,
        pins: &mut PinsIn,
        config: &AxiHostConfig,
        rng: &mut Rng,
        host: &Host,
    ) -> bool {
        if !self.begun() {
            let Some(chosen) = self.choose(now, config, rng) else {
                return false;
            };
            // Bursts of one ID keep their order: the chosen one is its ID's first.
            if let Some(read) = (chosen > 0).then(|| self.pending.remove(chosen)).flatten() {
                self.pending.push_front(read);
            }
            self.fetch(pins, host);
        }
        if rng.chance(config.stalls.r) {
            return false;
        }
        self.sent += 1;
        self.show(pins);
        true
    }

    /// Begins the first burst: reads its data.
    fn fetch(&mut self, pins: &mut PinsIn, host: &Host) {
        if let Some(read) = self.pending.front_mut() {
            pins.m_axi_rid = read.burst.id;
            read.fetch(&host.memory, &mut self.beats);
            pins.m_axi_rresp = read.resp();
            self.sent = 0;
        }
    }

    /// Puts the newest beat on the pins.
    fn show(&self, pins: &mut PinsIn) {
        if let Some(beat) = self.sent.checked_sub(1).and_then(|at| self.beats.get(at)) {
            pins.m_axi_rdata = beat.data;
            pins.m_axi_rlast = self.sent == self.beats.len();
        }
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
        let mut seen = 0u128;
        let mut chosen = None;
        let mut candidates = 0;
        for (index, read) in self.pending.iter().enumerate() {
            let id = 1 << (read.burst.id & 127);
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

    fn beat_done(&mut self, now: Ps, host: &mut Host) {
        self.presented = false;
        if self.sent == self.beats.len() {
            self.beats.clear();
            self.sent = 0;
            self.finish(now, host);
        }
    }

    /// The last beat of the first burst was taken.
    fn finish(&mut self, now: Ps, host: &mut Host) {
        let Some(read) = self.pending.pop_front() else {
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
    }
}

fn violation(at: Ps) -> impl Fn(Violation) -> AxiError {
    move |violation| AxiError {
        at,
        channel: Channel::Ar,
        violation,
    }
}
