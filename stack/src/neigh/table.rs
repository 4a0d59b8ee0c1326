//! The neighbour table itself.

use super::NudState;
use crate::Ps;
use crate::skb::{IfIndex, SkBuff};
use crate::timer::{TimerKey, Timers};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

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
    /// It said that it is a router (IPv6).
    pub router: bool,
}

pub(crate) struct Neighbour {
    pub state: NudState,
    pub mac: [u8; 6],
    /// `NTF_ROUTER`.
    pub router: bool,
    /// Packets that wait for the MAC address, oldest first, and their buffer memory in bytes.
    pub queue: VecDeque<SkBuff>,
    pub queue_bytes: usize,
    /// Solicitations sent in this state; an unknown neighbour begins with `ucast_solicit`.
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
            router: false,
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
            let idle = |n: &Neighbour| !n.state.is_administered() && n.queue.is_empty();
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

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// `neigh_release()`: the entry goes; it is returned for what it holds.
    pub fn remove(
        &mut self,
        dev: IfIndex,
        address: IpAddr,
        timers: &mut Timers,
    ) -> Option<Neighbour> {
        let neigh = self.table.remove(&(dev, address))?;
        if let Some(at) = neigh.timer {
            timers.stop(at, TimerKey::Neighbour(dev, address));
        }
        Some(neigh)
    }

    /// `neigh_periodic_work()`: entries that failed or that nobody used for long.
    pub fn unused(
        &self,
        now: Ps,
        stale_time: impl Fn(IfIndex, IpAddr) -> Ps,
    ) -> Vec<(IfIndex, IpAddr)> {
        let gone = |n: &Neighbour, (dev, address): (IfIndex, IpAddr)| {
            !n.state.is_administered()
                && n.queue.is_empty()
                && n.timer.is_none()
                && (n.state == NudState::Failed
                    || now > n.used.saturating_add(stale_time(dev, address)))
        };
        self.table
            .iter()
            .filter(|(key, n)| gone(n, **key))
            .map(|(key, _)| *key)
            .collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = NeighbourEntry> + '_ {
        self.table
            .iter()
            .map(|(&(dev, address), n)| NeighbourEntry {
                dev,
                address,
                mac: n.mac,
                state: n.state,
                router: n.router,
            })
    }

    pub fn held(&self) -> usize {
        self.table.values().map(|n| n.queue.len()).sum()
    }
}
