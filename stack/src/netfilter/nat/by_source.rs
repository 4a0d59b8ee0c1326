//! Which connections a source has (`nf_nat_bysource`): the next one should get the same translated address.

use crate::netfilter::conntrack::{CtZone, Dir, Tuple};
use std::collections::HashMap;
use std::net::IpAddr;

/// A source: address, port, protocol, zone.
type Source = (IpAddr, u16, u8, u16);

/// The slots of the connections of each source, the newest last. Only looked up, never walked through: its order does not show.
#[derive(Default)]
pub(crate) struct BySource {
    sources: HashMap<Source, Vec<u32>>,
}

fn source(original: &Tuple, zone: CtZone) -> Source {
    // A zone of one direction only does not tell sources apart.
    let zone = match zone.dir {
        crate::netfilter::conntrack::ZoneDir::Both => zone.id_of(Dir::Original),
        _ => 0,
    };
    (original.src, original.src_port, original.protocol, zone)
}

impl BySource {
    pub fn add(&mut self, original: &Tuple, zone: CtZone, slot: u32) {
        let slots = self.sources.entry(source(original, zone)).or_default();
        slots.push(slot);
    }

    pub fn remove(&mut self, original: &Tuple, zone: CtZone, slot: u32) {
        let key = source(original, zone);
        if let Some(slots) = self.sources.get_mut(&key) {
            slots.retain(|&s| s != slot);
            if slots.is_empty() {
                self.sources.remove(&key);
            }
        }
    }

    /// The connections of the source of `tuple`, the newest first.
    pub fn of(&self, tuple: &Tuple, zone: CtZone) -> impl Iterator<Item = u32> + '_ {
        let slots = self.sources.get(&source(tuple, zone));
        slots.into_iter().flatten().rev().copied()
    }
}
