//! CoDel, controlled delay: drops or marks when packets have waited longer than a target for longer than an interval (RFC 8289,
//! include/net/codel_impl.h).
//!
//! Arithmetic is the kernel's: times in units of 1024 ns that wrap around, and `1/sqrt(count)` in fixed point, refined by one step of
//! Newton's method per drop.

use super::qdisc::{Cx, Ns};
use super::store::SkbRef;
use crate::drop_reason::DropReason;

/// Time in units of 1024 ns, modulo 2³² (`codel_time_t`).
pub(crate) type CodelTime = u32;

/// A unit of [`CodelTime`] is 2¹⁰ ns.
const CODEL_SHIFT: u32 = 10;
/// `rec_inv_sqrt` has 16 bits; the arithmetic is done with 32.
const REC_INV_SQRT_SHIFT: u32 = 16;

/// The point of time `now`.
pub(crate) fn codel_time(now: Ns) -> CodelTime {
    (now >> CODEL_SHIFT) as u32
}

/// `MS2TIME`, `US2TIME`: a duration in microseconds.
pub(crate) const fn codel_duration(us: u64) -> CodelTime {
    ((us * 1000) >> CODEL_SHIFT) as u32
}

/// `codel_time_to_us()`.
pub(crate) fn codel_time_to_us(time: CodelTime) -> u64 {
    (u64::from(time) << CODEL_SHIFT) / 1000
}

/// `codel_time_after(a, b)`: a is later than b.
fn after(a: CodelTime, b: CodelTime) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

fn before(a: CodelTime, b: CodelTime) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// `struct codel_params`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodelParams {
    /// Waiting time that is all right.
    pub target: CodelTime,
    /// How long it may be exceeded; about the round-trip time of the connections.
    pub interval: CodelTime,
    /// A queue of this many bytes is never too long.
    pub mtu: u32,
    /// Mark instead of dropping, when the packet allows it.
    pub ecn: bool,
    /// Mark everything that waited longer than this; `None`: do not.
    pub ce_threshold: Option<CodelTime>,
}

/// `struct codel_vars`: state of one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CodelVars {
    /// Drops since the dropping state was entered.
    pub count: u32,
    /// `count` when it was entered.
    pub lastcount: u32,
    /// In the dropping state.
    pub dropping: bool,
    /// 1/sqrt(count), with 16 bits behind the point.
    pub rec_inv_sqrt: u16,
    /// When the waiting time, having gone above the target, will have been there for an interval; 0: it is below.
    pub first_above_time: CodelTime,
    /// Time of the next drop.
    pub drop_next: CodelTime,
    /// How long the last packet waited.
    pub ldelay: CodelTime,
}

/// `struct codel_stats`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CodelStats {
    /// Largest packet seen, bytes.
    pub maxpacket: u32,
    /// Packets marked instead of dropped.
    pub ecn_mark: u32,
    /// Packets marked because of `ce_threshold`.
    pub ce_mark: u32,
}

/// The queue that [`CodelVars::dequeue`] controls: where packets come from and go to.
pub(crate) trait CodelQueue {
    /// The next packet, however long it waited.
    fn pop(&mut self, cx: &mut Cx<'_>) -> Option<SkbRef>;
    /// Bytes that wait, in all queues that share the link.
    fn backlog(&self) -> u32;
    /// The packet is dropped.
    fn drop(&mut self, cx: &mut Cx<'_>, skb: SkbRef, reason: DropReason);
}

impl CodelVars {
    /// `codel_Newton_step()`: x' = x/2 · (3 − count·x²).
    pub fn newton_step(&mut self) {
        let invsqrt = u64::from(self.rec_inv_sqrt) << REC_INV_SQRT_SHIFT;
        let invsqrt2 = (invsqrt * invsqrt) >> 32;
        let value = (3u64 << 32).wrapping_sub(u64::from(self.count).wrapping_mul(invsqrt2));
        // One of the two divisions by two now, so that the product fits into 64 bits.
        let value = (value >> 2).wrapping_mul(invsqrt) >> (32 - 2 + 1);
        self.rec_inv_sqrt = (value >> REC_INV_SQRT_SHIFT) as u16;
    }

    /// `codel_control_law()`: `t` + interval/sqrt(count).
    pub fn control_law(&self, t: CodelTime, interval: CodelTime) -> CodelTime {
        let inv_sqrt = u64::from(self.rec_inv_sqrt) << REC_INV_SQRT_SHIFT;
        t.wrapping_add(((u64::from(interval) * inv_sqrt) >> 32) as u32)
    }

    /// `codel_should_drop()`: has the queue been too long for an interval?
    fn should_drop(
        &mut self,
        skb: Option<&SkbRef>,
        cx: &Cx<'_>,
        params: &CodelParams,
        stats: &mut CodelStats,
        backlog: u32,
        now: CodelTime,
    ) -> bool {
        let Some(skb) = skb else {
            self.first_above_time = 0;
            return false;
        };
        let cb = cx.skbs.cb(skb);
        self.ldelay = now.wrapping_sub(codel_time(cb.time));
        stats.maxpacket = stats.maxpacket.max(cb.pkt_len);
        if before(self.ldelay, params.target) || backlog <= params.mtu {
            self.first_above_time = 0;
            return false;
        }
        if self.first_above_time == 0 {
            self.first_above_time = now.wrapping_add(params.interval);
            return false;
        }
        after(now, self.first_above_time)
    }

    /// `codel_dequeue()`: the next packet of `queue` that is to be sent; the ones before it were dropped. Packets carry the time when
    /// they were queued, in nanoseconds, in their `cb`.
    pub fn dequeue(
        &mut self,
        queue: &mut impl CodelQueue,
        cx: &mut Cx<'_>,
        params: &CodelParams,
        stats: &mut CodelStats,
    ) -> Option<SkbRef> {
        let Some(mut skb) = queue.pop(cx) else {
            self.dropping = false;
            return None;
        };
        let now = codel_time(cx.now);
        let drop = self.should_drop(Some(&skb), cx, params, stats, queue.backlog(), now);
        if self.dropping {
            if !drop {
                self.dropping = false;
            }
            // High rates of drops are due several at a time.
            while self.dropping && !before(now, self.drop_next) {
                self.count = self.count.wrapping_add(1);
                self.newton_step();
                if params.ecn && set_ce(cx, &skb) {
                    stats.ecn_mark += 1;
                    self.drop_next = self.control_law(self.drop_next, params.interval);
                    break;
                }
                queue.drop(cx, skb, DropReason::QdiscCongested);
                let next = queue.pop(cx);
                if self.should_drop(next.as_ref(), cx, params, stats, queue.backlog(), now) {
                    self.drop_next = self.control_law(self.drop_next, params.interval);
                } else {
                    self.dropping = false;
                }
                skb = next?;
            }
        } else if drop {
            let left = if params.ecn && set_ce(cx, &skb) {
                stats.ecn_mark += 1;
                Some(skb)
            } else {
                queue.drop(cx, skb, DropReason::QdiscCongested);
                let next = queue.pop(cx);
                self.should_drop(next.as_ref(), cx, params, stats, queue.backlog(), now);
                next
            };
            self.enter_dropping(now, params.interval);
            skb = left?;
        }
        self.mark_late(cx, &skb, params, stats);
        Some(skb)
    }

    /// Starts with the rate at which the queue was brought under control the last time, if that was not long ago.
    fn enter_dropping(&mut self, now: CodelTime, interval: CodelTime) {
        self.dropping = true;
        let delta = self.count.wrapping_sub(self.lastcount);
        let recent = before(now.wrapping_sub(self.drop_next), interval.wrapping_mul(16));
        if delta > 1 && recent {
            self.count = delta;
            // An approximation is good enough: the next steps mend it.
            self.newton_step();
        } else {
            self.count = 1;
            self.rec_inv_sqrt = u16::MAX;
        }
        self.lastcount = self.count;
        self.drop_next = self.control_law(now, interval);
    }

    fn mark_late(
        &self,
        cx: &mut Cx<'_>,
        skb: &SkbRef,
        params: &CodelParams,
        stats: &mut CodelStats,
    ) {
        let late = params
            .ce_threshold
            .is_some_and(|threshold| after(self.ldelay, threshold));
        if late && set_ce(cx, skb) {
            stats.ce_mark += 1;
        }
    }
}

fn set_ce(cx: &mut Cx<'_>, skb: &SkbRef) -> bool {
    cx.skbs
        .skb_mut(skb)
        .is_some_and(super::ecn::inet_ecn_set_ce)
}

#[cfg(test)]
mod tests;
