//! Filters and their actions as `tc filter show` prints them (tc/tc_filter.c, tc/f_*.c, tc/m_*.c).

use super::{Classifier, Exts, LL_PROTOCOLS, TcfProto};
use crate::sched::act::{Action, ActionKind, Mirred};
use crate::sched::handle::Handle;
use crate::sched::qdisc::Ns;
use crate::sched::ratecfg::xmitsize;
use crate::sched::tc::units::{Rate, Size};
use crate::sched::tc::{Show, show};
use std::fmt::{self, Write};

type Out<'a> = &'a mut dyn Write;

impl TcfProto {
    /// The line for the priority, then one for each filter. `place`: printed behind `filter `.
    pub(super) fn dump(&self, f: Out<'_>, place: &str, show: Show<'_>) -> fmt::Result {
        let head = format!(
            "filter {place}protocol {} pref {} {} chain 0 ",
            protocol(self.protocol),
            self.prio,
            self.kind()
        );
        writeln!(f, "{head}")?;
        match &self.classifier {
            Classifier::U32(u32) => {
                let table = u32.table;
                writeln!(f, "{head}fh {table:x}: ht divisor 1 ")?;
                for filter in &u32.filters {
                    let node = filter.node;
                    write!(
                        f,
                        "{head}fh {table:x}::{node:x} order {node} key ht {table:x} bkt 0 "
                    )?;
                    match filter.has_flowid {
                        true => write!(f, "*flowid {} ", filter.exts.classid)?,
                        false if filter.exts.actions.0.is_empty() => {}
                        false => f.write_str("terminal flowid ")?,
                    }
                    f.write_str("not_in_hw ")?;
                    for key in &filter.keys {
                        let next = if key.nexthdr { "nexthdr+" } else { "" };
                        write!(
                            f,
                            "\n  match {:08x}/{:08x} at {next}{}",
                            key.value, key.mask, key.offset
                        )?;
                    }
                    exts(f, &filter.exts, show)?;
                }
            }
            Classifier::Matchall(all) => {
                if let Some(own) = &all.exts {
                    write!(f, "{head}handle 0x1 ")?;
                    if own.classid != Handle::NONE {
                        write!(f, "flowid {} ", own.classid)?;
                    }
                    f.write_str("\n  not_in_hw")?;
                    if show.stats {
                        write!(f, " (rule hit {})", all.hits)?;
                    }
                    exts(f, own, show)?;
                }
            }
            Classifier::Fw(fw) => {
                for filter in &fw.filters {
                    write!(f, "{head}handle {:#x}", filter.mark)?;
                    if filter.mask != u32::MAX {
                        write!(f, "/{:#x}", filter.mask)?;
                    }
                    f.write_char(' ')?;
                    if filter.exts.classid != Handle::NONE {
                        write!(f, "classid {} ", filter.exts.classid)?;
                    }
                    exts(f, &filter.exts, show)?;
                }
            }
            Classifier::Bpf(bpf) => {
                for entry in &bpf.programs {
                    write!(f, "{head}handle {:#x} ", entry.handle)?;
                    if entry.exts.classid != Handle::NONE {
                        write!(f, "flowid {} ", entry.exts.classid)?;
                    }
                    write!(f, "{} ", entry.name)?;
                    if entry.direct_action {
                        f.write_str("direct-action ")?;
                    }
                    f.write_str("not_in_hw ")?;
                    exts(f, &entry.exts, show)?;
                }
            }
        }
        Ok(())
    }
}

fn protocol(ethertype: u16) -> String {
    let name = LL_PROTOCOLS.iter().find(|(p, _)| *p == ethertype);
    name.map_or_else(|| format!("[{ethertype}]"), |(_, name)| (*name).to_owned())
}

/// `tc_print_action()` and the end of the filter's text.
fn exts(f: Out<'_>, exts: &Exts, show: Show<'_>) -> fmt::Result {
    for (i, action) in exts.actions.0.iter().enumerate() {
        write!(f, "\n\taction order {}: ", i + 1)?;
        action.dump(f, show)?;
        if show.stats {
            writeln!(f, "\tAction statistics:")?;
            show::indented(f, "\t", &action.stats, (0, 0))?;
        }
    }
    writeln!(f)
}

impl Action {
    fn dump(&self, f: Out<'_>, show: Show<'_>) -> fmt::Result {
        let index = self.index;
        match &self.kind {
            ActionKind::Gact(verdict) => {
                writeln!(f, "gact action {}", verdict.name())?;
                writeln!(f, "\t random type none pass val 0")?;
                write!(f, "\t index {index} ref 1 bind 1")?;
            }
            ActionKind::Mirred(mirred) => {
                let Mirred {
                    dev,
                    ingress,
                    mirror,
                    verdict,
                } = *mirred;
                let direction = if ingress { "Ingress" } else { "Egress" };
                let what = if mirror { "Mirror" } else { "Redirect" };
                let (dev, verdict) = (show.device(dev), verdict.name());
                writeln!(f, "mirred ({direction} {what} to device {dev}) {verdict}")?;
                write!(f, "\tindex {index} ref 1 bind 1")?;
            }
            ActionKind::Police(police) => {
                let burst = xmitsize(police.rate.rate, police.burst);
                write!(f, " police {index:#x} rate {} ", Rate(police.rate.rate))?;
                write!(f, "burst {} mtu {} ", Size(burst), Size(police.mtu.into()))?;
                write!(f, "action {}", police.exceed.name())?;
                if let Some(conform) = police.conform {
                    write!(f, "/{}", conform.name())?;
                }
                writeln!(f, " overhead {} ", Size(police.rate.overhead.into()))?;
                f.write_str("\tref 1 bind 1 ")?;
            }
            ActionKind::Skbedit(edit) => {
                f.write_str("skbedit ")?;
                if let Some(queue) = edit.queue_mapping {
                    write!(f, " queue_mapping {queue}")?;
                }
                if let Some(priority) = edit.priority {
                    write!(f, " priority {}", Handle(priority))?;
                }
                match edit.mark {
                    Some((mark, u32::MAX)) => write!(f, " mark {mark}")?,
                    Some((mark, mask)) => write!(f, " mark {mark}/{mask:#x}")?,
                    None => {}
                }
                writeln!(f, " {}", edit.verdict.name())?;
                write!(f, "\t index {index} ref 1 bind 1")?;
            }
        }
        if show.stats {
            self.dump_times(f, show.now)?;
        }
        writeln!(f)?;
        // print_police() ends with an empty line of its own.
        match self.kind {
            ActionKind::Police(_) => writeln!(f),
            _ => Ok(()),
        }
    }

    /// `print_tm()`: seconds since.
    fn dump_times(&self, f: Out<'_>, now: Ns) -> fmt::Result {
        let since = |then: Ns| now.saturating_sub(then) / 1_000_000_000;
        let installed = since(self.install);
        match self.used {
            Some((first, last)) => {
                write!(f, " installed {installed} sec used {} sec", since(last))?;
                // tc prints no time of 0.
                match since(first) {
                    0 => Ok(()),
                    first => write!(f, " firstused {first} sec"),
                }
            }
            None => write!(f, " installed {installed} sec used {installed} sec"),
        }
    }
}
