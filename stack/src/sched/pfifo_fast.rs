//! `pfifo_fast`: three FIFOs, the one with the lower number first, chosen by the packet's priority (net/sched/sch_generic.c).

use super::handle::Handle;
use super::qdisc::{Cx, NetXmit, QdiscOps, Sch};
use super::store::{SkbList, SkbRef};
use super::tc::{QdiscConfig, Refusal};
use crate::drop_reason::DropReason;
use std::fmt;

/// Number of bands.
const PFIFO_FAST_BANDS: usize = 3;
/// `TC_PRIO_MAX`: priorities above count modulo 16.
pub(crate) const TC_PRIO_MAX: u32 = 15;
/// `sch_default_prio2band`: priority → band; `prio` starts from it, too.
pub(crate) const PRIO2BAND: [u8; TC_PRIO_MAX as usize + 1] =
    [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

/// `rt_tos2priority()`: the queueing priority that a packet's type of service stands for (RFC 1349, linux/pkt_sched.h).
pub(crate) fn rt_tos2priority(tos: u8) -> u32 {
    const BESTEFFORT: u32 = 0;
    const BULK: u32 = 2;
    const INTERACTIVE_BULK: u32 = 4;
    const INTERACTIVE: u32 = 6;
    // The four bits of RFC 1349: low delay above high throughput above high reliability; ECN's one does not matter.
    match (tos & 0x1e) >> 2 {
        0 | 1 => BESTEFFORT,
        2 | 3 => BULK,
        4 | 5 => INTERACTIVE,
        _ => INTERACTIVE_BULK,
    }
}

/// Three FIFOs of `txqueuelen` packets each.
pub(crate) struct PfifoFast {
    bands: [SkbList; PFIFO_FAST_BANDS],
    limit: u32,
}

impl PfifoFast {
    /// `limit`: packets per band.
    pub fn new(limit: u32) -> Self {
        Self {
            bands: Default::default(),
            limit,
        }
    }
}

impl QdiscOps for PfifoFast {
    fn kind(&self) -> &'static str {
        "pfifo_fast"
    }

    /// `pfifo_fast_enqueue()`.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        let priority = cx.skbs.skb(&skb).map_or(0, |skb| skb.priority);
        let band = PRIO2BAND[(priority & TC_PRIO_MAX) as usize];
        let queue = &mut self.bands[usize::from(band)];
        if queue.len() >= self.limit {
            return sch.drop(cx, skb, DropReason::QdiscDrop);
        }
        sch.inc(cx.skbs.pkt_len(&skb));
        queue.push_back(cx.skbs, skb);
        NetXmit::Success
    }

    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let skb = self.bands.iter_mut().find_map(|b| b.pop_front(cx.skbs))?;
        sch.dec(cx.skbs.pkt_len(&skb));
        Some(skb)
    }

    fn peek_len(&self, cx: &Cx<'_>) -> Option<u32> {
        self.bands.iter().find_map(|b| b.peek_len(cx.skbs))
    }

    fn can_bypass(&self) -> bool {
        true
    }

    fn reset(&mut self, _sch: &mut Sch, cx: &mut Cx<'_>) {
        for band in &mut self.bands {
            cx.purge(band, DropReason::NotSpecified);
        }
    }

    fn change(&mut self, _: &mut Sch, _: &mut Cx<'_>, config: &QdiscConfig) -> Result<(), Refusal> {
        match config {
            QdiscConfig::PfifoFast => Ok(()),
            _ => Err(Refusal::OtherKind(self.kind())),
        }
    }

    fn dump(&self, f: &mut dyn fmt::Write, _: bool) -> fmt::Result {
        write!(f, "bands {PFIFO_FAST_BANDS} priomap")?;
        PRIO2BAND.iter().try_for_each(|band| write!(f, " {band}"))
    }

    fn has_class(&self, _: &Sch, class: Handle) -> bool {
        (1..=PFIFO_FAST_BANDS).contains(&usize::from(class.minor()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tos_to_band() {
        // ip_tos2prio[] through sch_default_prio2band[]; the bits of precedence and ECN do not matter.
        for (tos, band) in [
            (0x00, 1),
            (0x02, 1),
            (0x04, 1),
            (0x06, 1),
            (0x08, 2),
            (0x0a, 2),
            (0x0c, 2),
            (0x0e, 2),
            (0x10, 0),
            (0x12, 0),
            (0x14, 0),
            (0x16, 0),
            (0x18, 1),
            (0x1a, 1),
            (0x1c, 1),
            (0x1e, 1),
        ] {
            let priority = rt_tos2priority(tos | 0xe1);
            assert_eq!(PRIO2BAND[priority as usize], band, "{tos:#x}");
        }
    }
}
