//! The neighbour table itself.

use super::NudState;
use crate::Ps;
use crate::skb::{IfIndex, SkBuff};
use crate::timer::{TimerKey, Timers};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// `ucast_solicit`: unicast probes before a known neighbour counts as gone.
pub(crate) const UCAST_PROBES: u32 = 3;
/// `ucast_solicit` + `mcast_solicit`: where the count of an unknown neighbour ends, which starts at the former.
pub(crate) const MAX_PROBES: u32 = UCAST_PROBES + 3;

/// One line of `ip neigh show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourEntry {
    /// Device behind which the neighbour is.
    pub dev: IfIndex,
    /// Its IP address.
    pub address: IpAddr,
    /// Its MAC address; all zero while unknown.
    pub mac: [u8; 6],
    /// How sure that is.
    pub state: NudState,
}

pub(crate) struct Neighbour {
    pub state: NudState,
    pub mac: [u8; 6],
    /// Packets that wait for the MAC address, oldest first, and their buffer memory in bytes.
    pub queue: VecDeque<SkBuff>,
    pub queue_bytes: usize,
    /// Solicitations sent in this state (see `UCAST_PROBES`).
    pub probes: u32,
    /// When the state or MAC address last changed.
    pub updated: Ps,
    /// When the neighbour last proved to be there; never: `None`.
    pub confirmed: Option<Ps>,
    /// When a packet was last sent to it.
    pub used: Ps,
    pub timer: Option<Ps>,
}

impl Neighbour {
    fn new(now: Ps) -> Self {
        Self {
            state: NudState::Failed,
            mac: [0; 6],
            queue: VecDeque::new(),
            queue_bytes: 0,
            probes: 0,
            updated: now,
            confirmed: None,
            used: now,
            timer: None,
        }
    }

    pub fn enter(&mut self, state: NudState, now: Ps) {
        self.state = state;
        self.updated = now;
    }
}

#[derive(Default)]
pub(crate) struct Neighbours {
    table: BTreeMap<(IfIndex, IpAddr), Neighbour>,
}

impl Neighbours {
    pub fn get_mut(&mut self, dev: IfIndex, address: IpAddr) -> Option<&mut Neighbour> {
        self.table.get_mut(&(dev, address))
    }

    /// The entry, new ones in state `Failed`. At `max` entries the one that was unused for longest makes room, unless it is
    /// permanent or packets wait for it (`neigh_forced_gc()`); `None` when there is no such.
    pub fn get_or_create(
        &mut self,
        dev: IfIndex,
        address: IpAddr,
        now: Ps,
        max: usize,
        timers: &mut Timers,
    ) -> Option<&mut Neighbour> {
        if self.table.len() >= max && !self.table.contains_key(&(dev, address)) {
            let idle = |n: &Neighbour| n.state != NudState::Permanent && n.queue.is_empty();
            let victim = self
                .table
                .iter()
                .filter(|(_, n)| idle(n))
                .min_by_key(|(_, n)| n.used)
                .map(|(k, _)| *k)?;
            if let Some(at) = self.table.remove(&victim).and_then(|n| n.timer) {
                timers.stop(at, TimerKey::Neighbour(victim.0, victim.1));
            }
        }
        Some(
            self.table
                .entry((dev, address))
                .or_insert_with(|| Neighbour::new(now)),
        )
    }

    pub fn iter(&self) -> impl Iterator<Item = NeighbourEntry> + '_ {
        self.table
            .iter()
            .map(|(&(dev, address), n)| NeighbourEntry {
                dev,
                address,
                mac: n.mac,
                state: n.state,
            })
    }

    pub fn held(&self) -> usize {
        self.table.values().map(|n| n.queue.len()).sum()
    }
}
