//! `prio`: bands with a qdisc each, the one with the lower number first (net/sched/sch_prio.c).

use super::cls::{self, Verdict};
use super::fifo::{Fifo, FifoUnit};
use super::handle::Handle;
use super::pfifo_fast::{PRIO2BAND, TC_PRIO_MAX};
use super::qdisc::{Cx, NetXmit, Qdisc, QdiscOps, Sch};
use super::store::SkbRef;
use super::tc::{QdiscConfig, Refusal, Show};
use std::fmt;

/// `TCQ_PRIO_BANDS`: the most bands there can be.
const TCQ_PRIO_BANDS: u32 = 16;
/// Without an option.
const DEFAULT_BANDS: u32 = 3;

/// The options that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrioConfig {
    /// 2 to 16.
    pub bands: Option<u32>,
    /// Band of each priority.
    pub priomap: Option<[u8; TC_PRIO_MAX as usize + 1]>,
}

/// The qdisc's state (`struct prio_sched_data`).
pub(crate) struct Prio {
    bands: Vec<Qdisc>,
    prio2band: [u8; TC_PRIO_MAX as usize + 1],
    /// Packets in a band's own qdisc (`txqueuelen`).
    limit: u32,
}

impl Prio {
    /// `prio_init()`: a `pfifo` of `limit` packets in each band.
    pub fn new(config: &PrioConfig, handle: Handle, limit: u32) -> Result<Self, Refusal> {
        let mut q = Self {
            bands: Vec::new(),
            prio2band: PRIO2BAND,
            limit,
        };
        let bands = q.check(config)?;
        q.resize(bands, handle);
        q.prio2band = config.priomap.unwrap_or(q.prio2band);
        Ok(q)
    }

    fn check(&self, config: &PrioConfig) -> Result<u32, Refusal> {
        let bands = config.bands.unwrap_or(match self.bands.len() {
            0 => DEFAULT_BANDS,
            bands => bands as u32,
        });
        if !(2..=TCQ_PRIO_BANDS).contains(&bands) {
            return Err(Refusal::OutOfRange("bands", "2 to 16"));
        }
        let priomap = config.priomap.as_ref().unwrap_or(&self.prio2band);
        match priomap.iter().all(|band| u32::from(*band) < bands) {
            true => Ok(bands),
            false => Err(Refusal::OutOfRange("priomap", "a band that exists")),
        }
    }

    fn resize(&mut self, bands: u32, handle: Handle) {
        self.bands.truncate(bands as usize);
        for band in self.bands.len()..bands as usize {
            let fifo = Box::new(Fifo::new(FifoUnit::Packets, self.limit));
            let parent = handle.class(band as u16 + 1);
            self.bands.push(Qdisc::new(Handle::NONE, parent, 0, fifo));
        }
    }

    /// `prio_classify()`: the band, or what became of the packet.
    fn classify(&self, sch: &mut Sch, cx: &mut Cx<'_>, skb: &SkbRef) -> Result<usize, Verdict> {
        let priority = cx.skbs.skb(skb).map_or(0, |skb| skb.priority);
        let by_map = |priority: u32| usize::from(self.prio2band[(priority & TC_PRIO_MAX) as usize]);
        let mut class = Handle(priority);
        if class.major() != sch.handle.major() {
            match sch.filters.classify_queued(cx, skb) {
                Some(result) if result.verdict.ends() => return Err(result.verdict),
                Some(result) => class = result.classid,
                None if class.major() != 0 => return Ok(by_map(0)),
                None => return Ok(by_map(priority)),
            }
        }
        let band = usize::from(class.minor()).wrapping_sub(1);
        Ok(match band < self.bands.len() {
            true => band,
            false => by_map(0),
        })
    }

    fn band(class: Handle) -> usize {
        usize::from(class.minor()).wrapping_sub(1)
    }
}

impl QdiscOps for Prio {
    fn kind(&self) -> &'static str {
        "prio"
    }

    /// `prio_enqueue()`.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        match self.classify(sch, cx, &skb) {
            Ok(band) => sch.with_child(&mut self.bands[band], |child| child.enqueue(cx, skb)),
            Err(verdict) => cls::end(sch, cx, skb, Some(verdict)),
        }
    }

    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        self.bands
            .iter_mut()
            .find_map(|band| sch.with_child(band, |child| child.dequeue(cx)))
    }

    fn reset(&mut self, _sch: &mut Sch, cx: &mut Cx<'_>) {
        self.bands.iter_mut().for_each(|band| band.reset(cx));
    }

    /// `prio_tune()`.
    fn change(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        config: &QdiscConfig,
    ) -> Result<(), Refusal> {
        let QdiscConfig::Prio(config) = config else {
            return Err(Refusal::OtherKind(self.kind()));
        };
        let bands = self.check(config)?;
        for band in self.bands.iter_mut().skip(bands as usize) {
            sch.with_child(band, |child| child.reset(cx));
        }
        self.resize(bands, sch.handle);
        self.prio2band = config.priomap.unwrap_or(self.prio2band);
        Ok(())
    }

    fn dump(&self, f: &mut dyn fmt::Write, _: bool) -> fmt::Result {
        write!(f, "bands {} priomap", self.bands.len())?;
        self.prio2band
            .iter()
            .try_for_each(|band| write!(f, " {band}"))
    }

    fn children(&self) -> Vec<(Handle, &Qdisc)> {
        self.bands
            .iter()
            .map(|band| (band.sch.parent, band))
            .collect()
    }

    fn child_mut(&mut self, _: &Sch, class: Handle) -> Option<&mut Qdisc> {
        self.bands.get_mut(Self::band(class))
    }

    fn has_class(&self, _: &Sch, class: Handle) -> bool {
        Self::band(class) < self.bands.len()
    }

    fn dump_classes(&self, sch: &Sch, f: &mut dyn fmt::Write, show: Show<'_>) -> fmt::Result {
        for band in &self.bands {
            write!(f, "class prio {} parent {} ", band.sch.parent, sch.handle)?;
            if band.sch.handle != Handle::NONE {
                write!(f, "leaf {} ", band.sch.handle)?;
            }
            writeln!(f)?;
            if show.stats {
                super::tc::show::stats(f, &band.sch.stats, (band.sch.qlen, band.sch.backlog))?;
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
