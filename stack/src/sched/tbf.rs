//! `tbf`: a token bucket for rate and burst, with a second one for the peak rate if wanted (net/sched/sch_tbf.c).

use super::fifo::{Fifo, FifoUnit};
use super::handle::Handle;
use super::qdisc::{Cx, NetXmit, Ns, Qdisc, QdiscOps, Sch};
use super::ratecfg::{RateCfg, ns2ticks, xmitsize};
use super::store::SkbRef;
use super::tc::units::{Rate, Size, Time};
use super::tc::{QdiscConfig, Refusal, Show};
use crate::drop_reason::DropReason;
use std::fmt;

/// A token bucket's options; all of them are needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TbfConfig {
    pub rate: RateCfg,
    /// Bytes.
    pub burst: u32,
    /// Bytes that may wait.
    pub limit: u32,
    /// Peak rate, and the bytes that may go at once (`mtu`, also called `minburst`).
    pub peak: Option<(RateCfg, u32)>,
}

/// The qdisc's state (`struct tbf_sched_data`).
pub(crate) struct Tbf {
    config: TbfConfig,
    /// Longest packet; longer ones are dropped.
    max_size: u32,
    /// Size of the bucket, as time at the rate.
    buffer: i64,
    /// Size of the bucket of the peak rate.
    mtu: i64,
    tokens: i64,
    ptokens: i64,
    /// Time up to which tokens came in.
    t_c: Ns,
    /// Where packets wait: a `bfifo`, unless another qdisc was put in its place.
    inner: Box<Qdisc>,
}

impl Tbf {
    /// `tbf_init()`. `now`: the time. The bucket is full.
    pub fn new(config: TbfConfig, handle: Handle, now: Ns) -> Self {
        let fifo = Box::new(Fifo::new(FifoUnit::Bytes, config.limit));
        let mut q = Self {
            config,
            max_size: 0,
            buffer: 0,
            mtu: 0,
            tokens: 0,
            ptokens: 0,
            t_c: now,
            inner: Box::new(Qdisc::new(Handle::NONE, handle.class(1), 0, fifo)),
        };
        q.configure(config);
        q
    }

    /// `tbf_change()`.
    fn configure(&mut self, config: TbfConfig) {
        self.config = config;
        self.max_size = config.burst;
        // tc hands over the bytes (TCA_TBF_BURST), and the kernel reckons.
        self.buffer = config.rate.l2t_ns(config.burst) as i64;
        if let Some((peak, mtu)) = config.peak {
            self.max_size = self.max_size.min(mtu);
            self.mtu = peak.l2t_ns(mtu) as i64;
        }
        (self.tokens, self.ptokens) = (self.buffer, self.mtu);
    }
}

impl QdiscOps for Tbf {
    fn kind(&self) -> &'static str {
        "tbf"
    }

    /// `tbf_enqueue()`.
    fn enqueue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, skb: SkbRef) -> NetXmit {
        if cx.skbs.pkt_len(&skb) > self.max_size {
            if cx.is_gso(&skb) {
                cx.segment(skb);
                return NetXmit::Success;
            }
            return sch.drop(cx, skb, DropReason::QdiscDrop);
        }
        sch.with_child(&mut self.inner, |inner| inner.enqueue(cx, skb))
    }

    /// `tbf_dequeue()`.
    fn dequeue(&mut self, sch: &mut Sch, cx: &mut Cx<'_>) -> Option<SkbRef> {
        let len = sch.with_child(&mut self.inner, |inner| inner.peek_len(cx))?;
        let gained = (cx.now.saturating_sub(self.t_c) as i64).min(self.buffer);
        let mut ptokens = 0;
        if let Some((peak, _)) = &self.config.peak {
            ptokens = (gained + self.ptokens).min(self.mtu) - peak.l2t_ns(len) as i64;
        }
        let tokens = (gained + self.tokens).min(self.buffer) - self.config.rate.l2t_ns(len) as i64;
        if tokens >= 0 && ptokens >= 0 {
            (self.t_c, self.tokens, self.ptokens) = (cx.now, tokens, ptokens);
            return sch.with_child(&mut self.inner, |inner| inner.dequeue(cx));
        }
        let missing = (-tokens).max(-ptokens);
        cx.watchdog(cx.now.saturating_add(missing as u64));
        sch.stats.overlimits += 1;
        None
    }

    /// `tbf_reset()`.
    fn reset(&mut self, _sch: &mut Sch, cx: &mut Cx<'_>) {
        self.inner.reset(cx);
        self.t_c = cx.now;
        (self.tokens, self.ptokens) = (self.buffer, self.mtu);
    }

    fn change(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        config: &QdiscConfig,
    ) -> Result<(), Refusal> {
        let QdiscConfig::Tbf(config) = config else {
            return Err(Refusal::OtherKind(self.kind()));
        };
        if self.inner.sch.handle == Handle::NONE {
            let limit = QdiscConfig::Bfifo {
                limit: Some(config.limit),
            };
            sch.with_child(&mut self.inner, |inner| inner.change(cx, &limit))?;
        }
        self.configure(*config);
        Ok(())
    }

    /// `tbf_print_opt()`.
    fn dump(&self, f: &mut dyn fmt::Write, details: bool) -> fmt::Result {
        let TbfConfig {
            rate, limit, peak, ..
        } = &self.config;
        let burst = xmitsize(rate.rate, self.buffer as u64);
        write!(f, "rate {} burst {}", Rate(rate.rate), Size(burst))?;
        if details {
            write!(f, "/1 mpu {}", Size(rate.mpu.into()))?;
        }
        f.write_char(' ')?;
        if let Some((peak, _)) = peak {
            write!(f, "peakrate {} ", Rate(peak.rate))?;
            let mtu = xmitsize(peak.rate, self.mtu as u64);
            match details {
                true => write!(f, "mtu {}/1 mpu {} ", Size(mtu), Size(peak.mpu.into()))?,
                false => write!(f, "minburst {} ", Size(mtu))?,
            }
        }
        // The time for which a packet waits behind a full queue.
        let latency = |rate: &RateCfg, at_once: i64| {
            let at_once = ns2ticks(at_once) * 64 / 1000;
            let us = 1e6 * (f64::from(*limit) / rate.rate as f64) - at_once as f64;
            us.max(0.0)
        };
        let mut us = latency(rate, self.buffer);
        if let Some((peak, _)) = peak {
            us = us.max(latency(peak, self.mtu));
        }
        write!(f, "lat {} ", Time::from_us(us as u64))?;
        if rate.overhead > 0 {
            write!(f, "overhead {} ", rate.overhead)?;
        }
        if details {
            f.write_str("linklayer ethernet ")?;
        }
        Ok(())
    }

    fn children(&self) -> Vec<(Handle, &Qdisc)> {
        vec![(self.inner.sch.parent, &self.inner)]
    }

    fn child_mut(&mut self, _: &Sch, class: Handle) -> Option<&mut Qdisc> {
        (class.minor() == 1).then_some(&mut *self.inner)
    }

    fn has_class(&self, _: &Sch, class: Handle) -> bool {
        class.minor() == 1
    }

    fn dump_classes(&self, sch: &Sch, f: &mut dyn fmt::Write, show: Show<'_>) -> fmt::Result {
        write!(f, "class tbf {} ", sch.handle.class(1))?;
        write!(f, "parent {} ", sch.handle)?;
        if self.inner.sch.handle != Handle::NONE {
            write!(f, "leaf {} ", self.inner.sch.handle)?;
        }
        writeln!(f)?;
        if show.stats { writeln!(f) } else { Ok(()) }
    }
}
