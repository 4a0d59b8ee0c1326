//! `tc qdisc|class|filter show`.

use super::{Flags, Show, show};
use crate::netdev::NetDevice;
use crate::sched::cls::FilterChains;
use crate::sched::handle::Handle;
use crate::sched::qdisc::Qdisc;
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::fmt::{self, Write};

/// Transmit queues of a device, and one more: what the kernel counts as references of its root.
const ROOT_REFERENCES: u32 = 2;

/// Bucket of a qdisc in the device's hash table (`hash_32()` with 4 bits): the order of lists.
fn bucket(handle: Handle) -> u32 {
    handle.0.wrapping_mul(0x61c8_8647) >> 28
}

impl Stack {
    /// `tc qdisc show [dev NAME]`.
    pub(super) fn list_qdiscs(&self, dev: Option<IfIndex>, flags: Flags) -> String {
        let names = self.device_names();
        let show = self.show(flags, &names);
        let mut out = String::new();
        for device in self.netdevs() {
            if dev.is_none_or(|dev| dev == device.index) {
                // Writing to a string does not fail.
                let _ = list_device(&mut out, device, dev.is_none(), show);
            }
        }
        out
    }

    /// `tc class show dev NAME [parent HANDLE]`.
    pub(super) fn list_classes(
        &self,
        dev: IfIndex,
        parent: Option<Handle>,
        flags: Flags,
    ) -> String {
        let names = self.device_names();
        let show = self.show(flags, &names);
        let mut out = String::new();
        let wanted = parent.filter(|parent| *parent != Handle::ROOT);
        for qdisc in self.qdiscs(dev) {
            if wanted.is_none_or(|parent| parent.class(0) == qdisc.sch.handle) {
                let _ = qdisc.ops.dump_classes(&qdisc.sch, &mut out, show);
            }
        }
        out
    }

    /// `tc filter show dev NAME [parent HANDLE|ingress|egress]`.
    pub(super) fn list_filters(
        &self,
        dev: IfIndex,
        parent: Option<Handle>,
        flags: Flags,
    ) -> String {
        let names = self.device_names();
        let show = self.show(flags, &names);
        let mut out = String::new();
        let Some(device) = self.device(dev) else {
            return out;
        };
        if let Some(parent) = parent.filter(|parent| parent.major() == u16::MAX) {
            if let Some(clsact) = &device.clsact {
                let filters = match parent {
                    Handle::MIN_EGRESS => &clsact.egress,
                    _ => &clsact.ingress,
                };
                let _ = filters.dump(&mut out, "", show);
            }
            return out;
        }
        let root = device
            .qdisc
            .root
            .as_ref()
            .map_or(Handle::NONE, |root| root.sch.handle);
        let wanted = match parent {
            None | Some(Handle::NONE) => root,
            Some(parent) => parent,
        };
        for qdisc in self.qdiscs(dev) {
            let own = std::iter::once((qdisc.sch.handle, &qdisc.sch.filters));
            let places: Vec<(Handle, &FilterChains)> =
                own.chain(qdisc.ops.all_class_filters()).collect();
            for (place, filters) in places {
                if place == wanted {
                    let place = match parent {
                        Some(parent) if parent != Handle::NONE => String::new(),
                        _ => format!("parent {place} "),
                    };
                    let _ = filters.dump(&mut out, &place, show);
                }
            }
        }
        out
    }

    /// The qdiscs of a device that are listed, in the kernel's order.
    fn qdiscs(&self, dev: IfIndex) -> Vec<&Qdisc> {
        self.device(dev).map(listed).unwrap_or_default()
    }
}

/// The root, then the others as they are found in the hash table.
fn listed(device: &NetDevice) -> Vec<&Qdisc> {
    let mut all = Vec::new();
    let Some(root) = &device.qdisc.root else {
        return all;
    };
    root.walk(&mut all);
    let mut others = all.split_off(1);
    others.retain(|qdisc| qdisc.sch.handle != Handle::NONE);
    others.sort_by_key(|q| (bucket(q.sch.handle), std::cmp::Reverse(q.sch.serial)));
    all.extend(others);
    all
}

fn list_device(
    out: &mut String,
    device: &NetDevice,
    with_name: bool,
    show: Show<'_>,
) -> fmt::Result {
    let dev = match with_name {
        true => format!("dev {} ", device.name),
        false => String::new(),
    };
    if device.qdisc.root.is_none() {
        writeln!(out, "qdisc noqueue 0: {dev}root refcnt {ROOT_REFERENCES} ")?;
        if show.stats {
            show::stats(out, &Default::default(), (0, 0))?;
        }
    }
    for qdisc in listed(device) {
        write!(
            out,
            "qdisc {} {:x}: {dev}",
            qdisc.ops.kind(),
            qdisc.sch.handle.major()
        )?;
        match qdisc.sch.parent {
            Handle::ROOT => write!(out, "root refcnt {ROOT_REFERENCES} ")?,
            parent => write!(out, "parent {parent} ")?,
        }
        qdisc.ops.dump(out, show.details)?;
        writeln!(out)?;
        if show.stats {
            show::stats(out, &qdisc.sch.stats, (qdisc.sch.qlen, qdisc.sch.backlog))?;
            qdisc.ops.dump_stats(out, show.now)?;
        }
    }
    if let Some(clsact) = &device.clsact {
        write!(
            out,
            "qdisc {} ffff: {dev}parent {} ",
            clsact.kind(),
            Handle::CLSACT
        )?;
        match clsact.clsact {
            true => writeln!(out)?,
            false => writeln!(out, "---------------- ")?,
        }
        if show.stats {
            show::stats(out, &clsact.stats, (0, 0))?;
        }
    }
    Ok(())
}
