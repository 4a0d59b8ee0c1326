//! `tc qdisc` (`tc_modify_qdisc()`, net/sched/sch_api.c).

use super::{Flags, QdiscConfig, Refusal, Show, Verb, options};
use crate::command::{CommandError, Words};
use crate::netdev::TX_QUEUE_LEN;
use crate::sched::fifo::{Fifo, FifoUnit};
use crate::sched::fq_codel::FqCodel;
use crate::sched::handle::Handle;
use crate::sched::htb::Htb;
use crate::sched::ingress::Clsact;
use crate::sched::netem::Netem;
use crate::sched::pfifo_fast::PfifoFast;
use crate::sched::prio::Prio;
use crate::sched::qdisc::{Qdisc, QdiscOps};
use crate::sched::tbf::Tbf;
use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::xmit::ETH_HLEN;

/// First handle that is made up (`qdisc_alloc_handle()`).
const FIRST_AUTO_HANDLE: u16 = 0x8000;

/// Where a line wants a qdisc, and under which name.
#[derive(Default)]
struct Place {
    dev: Option<IfIndex>,
    parent: Option<Handle>,
    handle: Option<Handle>,
    /// `Some(true)`: clsact.
    ingress: Option<bool>,
}

impl Stack {
    pub(super) fn tc_qdisc(
        &mut self,
        words: &mut Words<'_>,
        flags: Flags,
    ) -> Result<String, CommandError> {
        let verb = Verb::read(words)?;
        let place = self.read_place(words)?;
        let Some(dev) = place.dev else {
            return match verb {
                Verb::Show => {
                    words.finish()?;
                    Ok(self.list_qdiscs(None, flags))
                }
                _ => Err(words.end_error("\"dev\" is required")),
            };
        };
        let word = words.peek();
        let end = words.end_error("");
        let refused = |refusal: Refusal| match word {
            Some(word) => refusal.at(word),
            None => CommandError {
                problem: refusal.to_string(),
                ..end
            },
        };
        if verb == Verb::Show {
            words.finish()?;
            return Ok(self.list_qdiscs(Some(dev), flags));
        }
        if let Some(clsact) = place.ingress {
            words.finish()?;
            self.modify_clsact(dev, verb, clsact).map_err(refused)?;
            return Ok(String::new());
        }
        let Some(parent) = place.parent else {
            return Err(words.end_error("\"root\" or \"parent\" is required"));
        };
        if verb == Verb::Delete {
            // The kind may be named, but the place says it all.
            while words.next().is_some() {}
            self.delete_qdisc(dev, parent, place.handle)
                .map_err(refused)?;
            return Ok(String::new());
        }
        let config = options::qdisc(words)?;
        self.modify_qdisc(dev, verb, parent, place.handle, &config)
            .map_err(refused)?;
        Ok(String::new())
    }

    fn read_place(&self, words: &mut Words<'_>) -> Result<Place, CommandError> {
        let mut place = Place::default();
        while let Some(word) = words.peek() {
            match word.text {
                "dev" => {
                    words.next();
                    place.dev = Some(self.tc_device(words)?);
                    continue;
                }
                "root" => place.parent = Some(Handle::ROOT),
                "ingress" | "clsact" => place.ingress = Some(word.text == "clsact"),
                "parent" => {
                    words.next();
                    let parent: Handle = words.parse("a class (MAJOR:MINOR in hexadecimal)")?;
                    match parent {
                        Handle::CLSACT => place.ingress = Some(place.ingress == Some(true)),
                        _ => place.parent = Some(parent),
                    }
                    continue;
                }
                "handle" => {
                    words.next();
                    place.handle = Some(options::qdisc_handle(words)?);
                    continue;
                }
                _ => break,
            }
            words.next();
        }
        Ok(place)
    }

    /// `ingress` and `clsact`.
    fn modify_clsact(&mut self, dev: IfIndex, verb: Verb, clsact: bool) -> Result<(), Refusal> {
        let device = self.device_mut(dev).ok_or(Refusal::NoQdisc)?;
        match (verb, &mut device.clsact) {
            (Verb::Delete, place @ Some(_)) => *place = None,
            (Verb::Delete, None) => return Err(Refusal::NoQdisc),
            (Verb::Add, Some(_)) => return Err(Refusal::Exclusive),
            (Verb::Change, None) => return Err(Refusal::NoQdisc),
            (_, Some(there)) if there.clsact == clsact => {}
            (Verb::Change, Some(there)) => return Err(Refusal::OtherKind(there.kind())),
            (_, place) => {
                *place = Some(Box::new(Clsact {
                    clsact,
                    ..Clsact::default()
                }));
            }
        }
        Ok(())
    }

    /// `qdisc_create()`: `None` is `noqueue`.
    pub(crate) fn qdisc_create(
        &mut self,
        dev: IfIndex,
        config: &QdiscConfig,
        handle: Handle,
        parent: Handle,
    ) -> Result<Option<Qdisc>, Refusal> {
        let now = self.sched_now();
        let limit = self.device(dev).map_or(TX_QUEUE_LEN, |d| d.tx_queue_len) as u32;
        let mtu = (self.mtu(dev) + ETH_HLEN) as u32;
        let ops: Box<dyn QdiscOps> = match config {
            QdiscConfig::Noqueue => return Ok(None),
            QdiscConfig::PfifoFast => Box::new(PfifoFast::new(limit)),
            QdiscConfig::Pfifo { limit: given } => {
                Box::new(Fifo::new(FifoUnit::Packets, given.unwrap_or(limit)))
            }
            QdiscConfig::Bfifo { limit: given } => {
                let bytes = limit.saturating_mul(mtu);
                Box::new(Fifo::new(FifoUnit::Bytes, given.unwrap_or(bytes)))
            }
            QdiscConfig::FqCodel(config) => Box::new(FqCodel::new(config, mtu)?),
            QdiscConfig::Htb(config) => Box::new(Htb::new(config, limit)),
            QdiscConfig::Tbf(config) => Box::new(Tbf::new(*config, handle, now)),
            QdiscConfig::Prio(config) => Box::new(Prio::new(config, handle, limit)?),
            QdiscConfig::Netem(config) => {
                let seed = match config.seed {
                    Some(seed) => seed,
                    None => self.random(),
                };
                Box::new(Netem::new(config, seed))
            }
        };
        self.tc.serial += 1;
        Ok(Some(Qdisc::new(handle, parent, self.tc.serial, ops)))
    }

    /// `qdisc_alloc_handle()`.
    fn alloc_handle(&mut self, dev: IfIndex) -> Result<Handle, Refusal> {
        for _ in FIRST_AUTO_HANDLE..u16::MAX {
            let next = self
                .tc
                .auto_handle
                .wrapping_add(1)
                .max(FIRST_AUTO_HANDLE + 1);
            self.tc.auto_handle = if next == u16::MAX {
                FIRST_AUTO_HANDLE + 1
            } else {
                next
            };
            let handle = Handle::new(self.tc.auto_handle, 0);
            if self.find_qdisc(dev, handle).is_none() {
                return Ok(handle);
            }
        }
        Err(Refusal::NoHandles)
    }

    /// `qdisc_lookup()`.
    pub(super) fn find_qdisc(&mut self, dev: IfIndex, handle: Handle) -> Option<&mut Qdisc> {
        self.device_mut(dev)?.qdisc.root.as_mut()?.find_mut(handle)
    }

    fn modify_qdisc(
        &mut self,
        dev: IfIndex,
        verb: Verb,
        parent: Handle,
        handle: Option<Handle>,
        config: &QdiscConfig,
    ) -> Result<(), Refusal> {
        if handle.is_some_and(|handle| handle.major() == 0 || handle.major() == u16::MAX) {
            return Err(Refusal::InvalidHandle);
        }
        let there = self.qdisc_at(dev, parent)?;
        if let Some((old, kind)) = there {
            let same_kind = kind == config.kind();
            // tc_modify_qdisc(): what is named is meant, whatever it is; else another kind takes the place of the one that is there.
            match handle {
                Some(handle) if handle != old => {
                    if verb != Verb::Replace {
                        return Err(Refusal::NeedsReplace);
                    }
                }
                Some(_) if verb == Verb::Add => return Err(Refusal::Exclusive),
                Some(_) if !same_kind => return Err(Refusal::OtherKind(kind)),
                None if !same_kind => {}
                None if verb == Verb::Add => return Err(Refusal::Exclusive),
                _ => return self.change_qdisc(dev, old, config),
            }
        } else if verb == Verb::Change {
            return Err(Refusal::NoQdisc);
        }
        let handle = match handle {
            // A name that another qdisc has is an error, except for the one that goes.
            Some(handle)
                if there.is_none_or(|(old, _)| old != handle)
                    && self.find_qdisc(dev, handle).is_some() =>
            {
                return Err(Refusal::Exclusive);
            }
            Some(handle) => handle,
            None => self.alloc_handle(dev)?,
        };
        let new = self.qdisc_create(dev, config, handle, parent)?;
        if parent == Handle::ROOT {
            self.replace_root(dev, new);
            return Ok(());
        }
        match new {
            Some(new) => self.graft(dev, parent, new),
            None => Err(Refusal::NotThere("noqueue")),
        }
    }

    /// Handle and kind of the qdisc that a user attached at `parent`; `None`: there is only one by default.
    fn qdisc_at(
        &mut self,
        dev: IfIndex,
        parent: Handle,
    ) -> Result<Option<(Handle, &'static str)>, Refusal> {
        let device = self.device_mut(dev).ok_or(Refusal::NoQdisc)?;
        let visible = |qdisc: &Qdisc| {
            (qdisc.sch.handle != Handle::NONE).then(|| (qdisc.sch.handle, qdisc.ops.kind()))
        };
        if parent == Handle::ROOT {
            return Ok(device.qdisc.root.as_ref().and_then(visible));
        }
        let root = device.qdisc.root.as_mut().ok_or(Refusal::NoQdisc)?;
        let above = root
            .find_mut(parent.class(0))
            .filter(|q| q.sch.handle != Handle::NONE);
        let Qdisc { sch, ops, .. } = above.ok_or(Refusal::NoQdisc)?;
        if !ops.has_class(sch, parent) {
            return Err(Refusal::NoClass(parent));
        }
        Ok(ops.child_mut(sch, parent).and_then(|child| visible(child)))
    }

    fn change_qdisc(
        &mut self,
        dev: IfIndex,
        handle: Handle,
        config: &QdiscConfig,
    ) -> Result<(), Refusal> {
        let now = self.sched_now();
        let mirrored = &mut Vec::new();
        let Some(device) = self.device_mut(dev) else {
            return Err(Refusal::NoQdisc);
        };
        let result = device.qdisc.with_root(now, mirrored, |root, cx| {
            root.act_below(handle, |qdisc| qdisc.change(cx, config))
        });
        self.free_queued(dev);
        self.qdisc_run(dev);
        result.flatten().unwrap_or(Err(Refusal::NoQdisc))
    }

    /// `qdisc_graft()` below the root: the old qdisc's packets are lost.
    fn graft(&mut self, dev: IfIndex, parent: Handle, new: Qdisc) -> Result<(), Refusal> {
        let now = self.sched_now();
        let mut new = Some(new);
        let device = self.device_mut(dev).ok_or(Refusal::NoQdisc)?;
        let result = device.qdisc.with_root(now, &mut Vec::new(), |root, _| {
            root.act_below(parent.class(0), |above| match new.take() {
                Some(new) => above.ops.graft(&mut above.sch, parent, new),
                None => Ok(None),
            })
        });
        let old = result.flatten().unwrap_or(Err(Refusal::NoQdisc))?;
        if let Some(mut old) = old
            && let Some(device) = self.device_mut(dev)
        {
            device
                .qdisc
                .with_detached(&mut old, |old, cx| old.reset(cx));
        }
        self.free_queued(dev);
        Ok(())
    }

    fn delete_qdisc(
        &mut self,
        dev: IfIndex,
        parent: Handle,
        handle: Option<Handle>,
    ) -> Result<(), Refusal> {
        let (old, _) = match self.qdisc_at(dev, parent)? {
            Some(there) => there,
            None if parent == Handle::ROOT => return Err(Refusal::DefaultQdisc),
            None => return Err(Refusal::NoQdisc),
        };
        if handle.is_some_and(|handle| handle != old) {
            return Err(Refusal::InvalidHandle);
        }
        if parent == Handle::ROOT {
            self.attach_default_qdisc(dev);
            return Ok(());
        }
        // A class without a qdisc of the user's has the default one again.
        let config = QdiscConfig::Pfifo { limit: None };
        match self.qdisc_create(dev, &config, Handle::NONE, parent)? {
            Some(default) => self.graft(dev, parent, default),
            None => Ok(()),
        }
    }

    pub(super) fn show<'a>(&self, flags: Flags, names: &'a [String]) -> Show<'a> {
        Show {
            stats: flags.stats,
            details: flags.details,
            now: self.sched_now(),
            names,
        }
    }
}

impl QdiscConfig {
    /// tc's word for the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            QdiscConfig::Noqueue => "noqueue",
            QdiscConfig::Pfifo { .. } => "pfifo",
            QdiscConfig::Bfifo { .. } => "bfifo",
            QdiscConfig::PfifoFast => "pfifo_fast",
            QdiscConfig::FqCodel(_) => "fq_codel",
            QdiscConfig::Htb(_) => "htb",
            QdiscConfig::Tbf(_) => "tbf",
            QdiscConfig::Prio(_) => "prio",
            QdiscConfig::Netem(_) => "netem",
        }
    }
}
