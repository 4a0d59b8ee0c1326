//! Making, changing, deleting and listing classes.

use super::class::{Class, ClassId, Mode};
use super::{Htb, MAXDEPTH, NUMPRIO};
use crate::sched::cls::FilterChains;
use crate::sched::fifo::{Fifo, FifoUnit};
use crate::sched::handle::Handle;
use crate::sched::qdisc::{Cx, Qdisc, QdiscStats, Sch};
use crate::sched::ratecfg::{RateCfg, ns2ticks, xmitsize, xmittime};
use crate::sched::tc::units::{Rate, Size};
use crate::sched::tc::{self, ClassConfig, Refusal, Show};
use std::fmt;

/// `r2q` without an option.
pub(super) const DEFAULT_R2Q: u32 = 10;
/// Interrupts per second that tc assumes for a burst without an option (`get_hz()` with high-resolution timers).
const HZ: u64 = 1_000_000_000;

/// The options that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct HtbConfig {
    /// Minor number of a class.
    pub default: Option<u32>,
    pub r2q: Option<u32>,
    /// Packets.
    pub direct_qlen: Option<u32>,
}

/// The options of a class.
#[derive(Clone, Debug)]
pub(crate) struct HtbClassConfig {
    pub rate: RateCfg,
    /// As fast as `rate` without the option.
    pub ceil: Option<RateCfg>,
    /// Bytes.
    pub burst: Option<u64>,
    /// Bytes.
    pub cburst: Option<u64>,
    /// Bytes.
    pub quantum: Option<u32>,
    pub prio: Option<u32>,
    /// Longest packet, from which bursts without an option are made; tc's 1600.
    pub mtu: u64,
}

impl Htb {
    /// `htb_change_class()`.
    pub(super) fn htb_change_class(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        config: &ClassConfig,
    ) -> Result<(), Refusal> {
        let options = &config.options;
        let found = self.find(sch, config.classid);
        let id = match found {
            Some(_) if config.only_new => return Err(Refusal::ClassExists(config.classid)),
            Some(id) => id,
            None if config.only_existing => return Err(Refusal::NoClass(config.classid)),
            None => self.add_class(sch, cx, config)?,
        };
        let rate2quantum = self.rate2quantum;
        let Some(class) = self.class_mut(id) else {
            return Err(Refusal::NoClass(config.classid));
        };
        class.rate = options.rate;
        class.ceil = options.ceil.unwrap_or(options.rate);
        let burst = |rate: u64, given: Option<u64>| {
            let size = given.unwrap_or(rate / HZ + options.mtu);
            xmittime(rate, size) as i64
        };
        class.buffer = burst(class.rate.rate, options.burst);
        class.cbuffer = burst(class.ceil.rate, options.cburst);
        if class.level == 0 {
            let quantum = class.rate.rate / u64::from(rate2quantum);
            class.quantum = options
                .quantum
                .unwrap_or(quantum.clamp(1000, 200_000) as u32);
            class.prio = options
                .prio
                .map_or(0, |prio| (prio as usize).min(NUMPRIO - 1));
        }
        if found.is_none() {
            (class.tokens, class.ctokens) = (class.buffer, class.cbuffer);
        }
        Ok(())
    }

    fn add_class(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        config: &ClassConfig,
    ) -> Result<ClassId, Refusal> {
        let classid = match config.classid {
            Handle::NONE => return Err(Refusal::NoClass(Handle::NONE)),
            handle if handle.major() == sch.handle.major() && handle.minor() != 0 => handle,
            handle => return Err(Refusal::WrongQdisc(handle)),
        };
        let parent = match config.parent {
            handle if handle.major() != sch.handle.major() => {
                return Err(Refusal::NoClass(handle));
            }
            // htb_change_class(): below a class that does not exist it is a root, as below the qdisc.
            handle => self.find(sch, handle),
        };
        let level_of_parent = parent
            .and_then(|id| self.class(id))
            .map(|class| class.level);
        if let Some(id) = parent {
            // The new inner class would have no level left.
            let above = self.class(id).and_then(|class| class.parent);
            if above
                .and_then(|id| self.class(id))
                .is_some_and(|class| class.level < 2)
            {
                return Err(Refusal::TooDeep);
            }
            if level_of_parent == Some(0) {
                self.make_inner(sch, cx, id);
            }
        }
        let fifo = Box::new(Fifo::new(FifoUnit::Packets, self.limit));
        let class = Class {
            classid,
            parent,
            level: 0,
            children: 0,
            prio: 0,
            quantum: 0,
            rate: config.options.rate,
            ceil: config.options.rate,
            buffer: 0,
            cbuffer: 0,
            tokens: 0,
            ctokens: 0,
            checkpoint: cx.now,
            mode: Mode::CanSend,
            activity: 0,
            wake: 0,
            leaf: Box::new(Qdisc::new(Handle::NONE, classid, 0, fifo)),
            deficit: [0; MAXDEPTH],
            feeds: Default::default(),
            filters: FilterChains::default(),
            stats: QdiscStats::default(),
            lends: 0,
            borrows: 0,
        };
        let id = match self.classes.iter().position(Option::is_none) {
            Some(at) => {
                self.classes[at] = Some(class);
                ClassId(at as u32)
            }
            None => {
                self.classes.push(Some(class));
                ClassId(self.classes.len() as u32 - 1)
            }
        };
        self.by_id.insert(classid, id);
        if let Some(parent) = parent.and_then(|id| self.class_mut(id)) {
            parent.children += 1;
        }
        Ok(id)
    }

    /// A leaf gets its first child: its packets are lost, and its level changes.
    fn make_inner(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, id: ClassId) {
        self.purge_leaf(sch, cx, id);
        let above = self.class(id).and_then(|class| class.parent);
        let level = above
            .and_then(|id| self.class(id))
            .map_or(MAXDEPTH, |class| class.level)
            - 1;
        if let Some(class) = self.class_mut(id) {
            class.level = level;
            class.mode = Mode::CanSend;
        }
    }

    /// Takes a leaf out of all lists and drops its packets.
    fn purge_leaf(&mut self, sch: &mut Sch, cx: &mut Cx<'_>, id: ClassId) {
        if let Some(class) = self.class_mut(id) {
            sch.with_child(&mut class.leaf, |leaf| leaf.reset(cx));
            if class.activity != 0 {
                self.deactivate(id);
            }
        }
        self.levels
            .iter_mut()
            .for_each(|level| level.wait.retain(|(_, waiting)| *waiting != id));
    }

    /// `htb_delete()`.
    pub(super) fn htb_delete(
        &mut self,
        sch: &mut Sch,
        cx: &mut Cx<'_>,
        handle: Handle,
    ) -> Result<(), Refusal> {
        let id = self.find(sch, handle).ok_or(Refusal::NoClass(handle))?;
        if self.class(id).is_some_and(|class| class.children > 0) {
            return Err(Refusal::ClassInUse(handle));
        }
        self.purge_leaf(sch, cx, id);
        self.by_id.remove(handle);
        let parent = self.classes[id.0 as usize]
            .take()
            .and_then(|class| class.parent);
        if let Some(parent) = parent.and_then(|id| self.class_mut(id)) {
            parent.children -= 1;
            if parent.children == 0 {
                // htb_parent_to_leaf(): a leaf again, with full buckets.
                let level = parent.level;
                parent.level = 0;
                (parent.tokens, parent.ctokens) = (parent.buffer, parent.cbuffer);
                (parent.checkpoint, parent.mode) = (cx.now, Mode::CanSend);
                let id = parent.classid;
                if let Some(id) = self.by_id.find(id) {
                    self.levels[level]
                        .wait
                        .retain(|(_, waiting)| *waiting != id);
                }
            }
        }
        Ok(())
    }

    /// `htb_dump_class()` and `htb_print_opt()`.
    pub(super) fn dump_class(
        &self,
        sch: &Sch,
        class: &Class,
        f: &mut dyn fmt::Write,
        show: Show<'_>,
    ) -> fmt::Result {
        write!(f, "class htb {} ", class.classid)?;
        match class.parent.and_then(|id| self.class(id)) {
            Some(parent) => write!(f, "parent {} ", parent.classid)?,
            None => f.write_str("root ")?,
        }
        let leaf = (class.level == 0).then_some(&class.leaf);
        if let Some(leaf) = leaf {
            if leaf.sch.handle != Handle::NONE {
                write!(f, "leaf {} ", leaf.sch.handle)?;
            }
            write!(f, "prio {} ", class.prio)?;
            if show.details {
                write!(f, "quantum {} ", class.quantum)?;
            }
        }
        write!(f, "rate {} ", Rate(class.rate.rate))?;
        if class.rate.overhead > 0 {
            write!(f, "overhead {} ", class.rate.overhead)?;
        }
        write!(f, "ceil {} ", Rate(class.ceil.rate))?;
        if show.details {
            f.write_str("linklayer ethernet ")?;
        }
        for (name, rate, buffer) in [
            ("burst", &class.rate, class.buffer),
            ("cburst", &class.ceil, class.cbuffer),
        ] {
            write!(f, "{name} {}", Size(xmitsize(rate.rate, buffer as u64)))?;
            if show.details {
                write!(f, "/1 mpu {}", Size(rate.mpu.into()))?;
            }
            f.write_char(' ')?;
        }
        if show.details {
            write!(f, "level {} ", class.level)?;
        }
        writeln!(f)?;
        if !show.stats {
            return Ok(());
        }
        let waiting = leaf.map_or((0, 0), |leaf| (leaf.sch.qlen, leaf.sch.backlog));
        tc::show::stats(f, &class.stats, waiting)?;
        writeln!(
            f,
            " lended: {} borrowed: {} giants: 0",
            class.lends, class.borrows
        )?;
        let (tokens, ctokens) = (ns2ticks(class.tokens), ns2ticks(class.ctokens));
        writeln!(f, " tokens: {tokens} ctokens: {ctokens}\n")?;
        debug_assert_eq!(class.classid.major(), sch.handle.major());
        Ok(())
    }
}
