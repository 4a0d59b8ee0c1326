//! Commands, resets, and the end of a life, where everything has to add up.

use super::{DEADLINE, Life, counters, ctrl, plan::Reset, score::Counts, shadow_counts};
use crate::nic::host::{Fail, common, enable_bus, status};
use hwmodel::{
    Device, Ps,
    model::{Stat, feature as net},
};

/// Cycles after which a card that was reset does nothing any more: what waits in the receive store, 128 KiB
/// at the most, is dropped word by word, and the rest is quiet long before that.
const QUIET_CYCLES: u64 = (128 << 10) / 8 + 3300;

/// A reset is done within this time: the host's bursts that are under way, each delayed by its stalls.
const RESET: Ps = 300_000_000;

impl Life<'_> {
    /// A command while nothing is on its way, so that both see it between the same frames.
    pub(super) fn quiet_command(&mut self) -> Result<(), Fail> {
        if self.queues.control.is_none() {
            return Ok(());
        }
        self.drain()?;
        let command = ctrl::random(self.rng, self.plan.features, self.plan.queue_pairs);
        self.command(&command)
    }

    pub(super) fn command(&mut self, command: &[u8]) -> Result<(), Fail> {
        let expected = self.shadow.command(command)?;
        let Some(ring) = &mut self.queues.control else {
            return Err("a command without a control queue".into());
        };
        ctrl::post(self.host, ring, command);
        self.host.kick(2 * self.plan.pairs())?;
        let limit = self.host.nic.now() + DEADLINE;
        let answer = loop {
            self.advance(self.host.nic.now() + 1_000_000)?;
            let Some(ring) = &mut self.queues.control else {
                return Err("no control queue".into());
            };
            if let Some(answer) = ctrl::answer(self.host, ring)? {
                break Some(answer);
            }
            if self.host.nic.now() > limit {
                break None;
            }
        };
        if answer != expected {
            return Err(
                format!("{command:x?} is answered {answer:?}, expected {expected:?}").into(),
            );
        }
        if answer == Some(ctrl::OK) {
            self.steering.follow(command);
        }
        // Filters take a while to be what was said.
        self.advance(self.host.nic.now() + 30_000_000)?;
        self.report.add("commands", 1);
        Ok(())
    }

    /// Until nothing comes any more, with buffers for all that is left.
    pub(super) fn drain(&mut self) -> Result<(), Fail> {
        self.queues.wake_all();
        let mut idle = 0;
        for _ in 0..10_000 {
            let before = self.last_progress;
            self.refill(1.0)?;
            self.poll_all(true)?;
            self.advance(self.host.nic.now() + 2_000_000)?;
            let quiet = before == self.last_progress && self.host.nic.wire_pending() == 0;
            idle = if quiet { idle + 1 } else { 0 };
            if idle > 30 {
                return Ok(());
            }
        }
        Err("traffic never ends".into())
    }

    /// 2.6.1: resets a queue in the midst of it all and sets it up anew; the others go on.
    pub(super) fn reset_queue(&mut self, index: usize) -> Result<(), Fail> {
        self.host.write(common::QUEUE_SELECT, 2, index as u32)?;
        self.host.write(common::QUEUE_RESET, 2, 1)?;
        let limit = self.host.nic.now() + RESET;
        while self.host.read(common::QUEUE_RESET, 2)? != 0 {
            if self.host.nic.now() > limit {
                return Err(format!("queue {index} is not reset after {RESET} ps").into());
            }
        }
        if self.host.read(common::QUEUE_ENABLE, 2)? != 0 {
            return Err(format!("queue {index} is enabled after its reset").into());
        }
        // What was used before is the driver's; what is on its way comes out, or is dropped and counted.
        self.queues.wake_all();
        self.poll(index)?;
        for _ in 0..40 {
            for queue in 0..self.queues.all.len() {
                if queue != index {
                    self.poll(queue)?;
                }
            }
            self.advance(self.host.nic.now() + 5_000_000)?;
        }
        self.queues.restart(self.host, self.rng, index)?;
        self.drain()?;
        if index.is_multiple_of(2) {
            self.score.forget_incoming();
        } else {
            self.score.forget_outgoing(index / 2);
        }
        self.past = Reset::Queue(index).value();
        self.report.add("queue resets", 1);
        self.last_progress = self.host.nic.now();
        Ok(())
    }

    /// Ends in the midst of it all.
    pub(super) fn end(mut self, reset: Reset) -> Result<(), Fail> {
        let busy = self.host.nic.busy();
        match reset {
            Reset::Function => {
                self.host.nic.function_reset()?;
                enable_bus(&mut self.host.nic);
                self.report.add("function resets", 1);
            }
            _ => {
                self.host.reset(RESET)?;
                self.report.add("device resets", 1);
            }
        }
        self.report.add("resets while busy", busy.into());
        // Frames that are still on the wire must not reach memory, nor what was under way before.
        let before = self.host.nic.counters();
        while self.host.nic.wire_pending() != 0 {
            self.host.run(100)?;
        }
        self.host.run(QUIET_CYCLES)?;
        let after = self.host.nic.counters();
        let bus = |c: &hwmodel::Counters| {
            let bytes = (c.dma_read_bytes, c.dma_write_bytes, c.dma_refused);
            (bytes, c.msix_messages)
        };
        if bus(&before) != bus(&after) {
            return Err(format!("bus traffic after {reset:?}: {before:?}, then {after:?}").into());
        }
        if self.host.nic.busy() {
            return Err(format!("busy for {QUIET_CYCLES} cycles after {reset:?}").into());
        }
        if reset == Reset::Device {
            self.ends_add_up()?;
        }
        while self.host.nic.take_msix().is_some() {}
        while self.host.nic.take_wire().is_some() {}
        Ok(())
    }

    /// Each good frame is in a buffer, or in one of the drops, even so.
    pub(super) fn ends_add_up(&mut self) -> Result<(), Fail> {
        let now = counters(self.host)?;
        let grown = |stat: Stat| now[stat as usize] - self.baseline[stat as usize];
        let single = !self.plan.has(net::MRG_RXBUF) && !self.plan.coalesces();
        let drops = [
            Stat::RxNoSpace,
            Stat::RxDisabled,
            Stat::RxTruncated,
            Stat::RxNoBuffer,
            Stat::RxFiltered,
        ];
        let dropped: u64 = drops.into_iter().map(grown).sum();
        // A truncated frame is in a buffer, too: one that comes back empty, or that the reset kept.
        let (buffers, truncated) = (grown(Stat::RxBuffers), grown(Stat::RxTruncated));
        let frames = grown(Stat::RxFrames);
        let most = buffers + dropped;
        if single && !(most - truncated..=most).contains(&frames) {
            return Err(format!(
                "{frames} good frames, {buffers} buffers came back, {dropped} dropped, of which {truncated} \
                 truncated: {now:?}"
            )
            .into());
        }
        self.report
            .add("frames dropped by resets", grown(Stat::RxDisabled));
        Ok(())
    }

    /// At the end: takes what is still to be taken, and every frame must be in exactly one counter.
    pub(super) fn settle(mut self) -> Result<(), Fail> {
        self.drain()?;
        if self.host.status()? & status::NEEDS_RESET != 0 {
            return Err("DEVICE_NEEDS_RESET".into());
        }
        let now = counters(self.host)?;
        let grown: Counts = std::array::from_fn(|i| now[i] - self.baseline[i]);
        let drops = grown[Stat::RxNoSpace as usize] + grown[Stat::RxNoBuffer as usize];
        self.report
            .add("frames dropped for lack of space or buffers", drops);
        if self.score.disturbed {
            return Ok(());
        }
        let shadow = shadow_counts(&self.shadow);
        for &(stat, _) in Stat::ALL {
            let counted_here = matches!(
                stat,
                Stat::RxBuffers | Stat::RxCsumValid | Stat::RxCoalesced | Stat::RxLroFrames
            );
            if !counted_here {
                let index = stat as usize;
                self.score
                    .count(stat, shadow[index] - self.shadow_base[index]);
            }
        }
        self.score.settle(&grown, self.plan.features)
    }
}
