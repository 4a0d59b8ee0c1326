//! The neighbour table itself.

use super::NudState;
use crate::Ps;
use crate::hash::mix;
use crate::skb::{IfIndex, SkBuff};
use crate::timer::{TimerKey, Timers};
use hashbrown::HashTable;
use std::collections::VecDeque;
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

/// Who a neighbour is.
type Key = (IfIndex, IpAddr);

/// `arp_hashfn()`, `ndisc_hashfn()`.
#[inline]
fn hash(seed: u64, (dev, address): Key) -> u64 {
    let address = match address {
        IpAddr::V4(a) => u64::from(a.to_bits()),
        IpAddr::V6(a) => mix((a.to_bits() >> 64) as u64 ^ seed, a.to_bits() as u64),
    };
    mix(address ^ seed, u64::from(dev.0) ^ 0xa076_1d64_78bd_642f)
}

/// All neighbours of a host (`struct neigh_table`), found by hash. Whatever lists them does so by device and address.
pub(crate) struct Neighbours {
    table: HashTable<(Key, Neighbour)>,
    /// `hash_rnd`: strangers choose the addresses.
    seed: u64,
    /// Addresses that are answered for (`struct pneigh_entry`), behind a device or ([`IfIndex::NONE`]) all.
    proxies: Vec<Key>,
}

impl Neighbours {
    pub fn new(seed: u64) -> Self {
        Self {
            table: HashTable::new(),
            seed,
            proxies: Vec::new(),
        }
    }

    /// `pneigh_lookup()`.
    pub fn is_proxy(&self, dev: IfIndex, address: IpAddr) -> bool {
        let mut proxies = self.proxies.iter();
        proxies.any(|&(of, a)| a == address && (of == dev || of == IfIndex::NONE))
    }

    /// `pneigh_create()`; it may be there already.
    pub fn add_proxy(&mut self, dev: IfIndex, address: IpAddr) {
        if !self.proxies.contains(&(dev, address)) {
            self.proxies.push((dev, address));
        }
    }

    /// `pneigh_delete()`: `false` when there is none.
    pub fn remove_proxy(&mut self, dev: IfIndex, address: IpAddr) -> bool {
        let before = self.proxies.len();
        self.proxies.retain(|proxy| *proxy != (dev, address));
        self.proxies.len() < before
    }

    /// `pneigh_ifdown()`.
    pub fn remove_proxies_of(&mut self, dev: IfIndex) {
        self.proxies.retain(|(of, _)| *of != dev);
    }

    /// Every proxy, in the order in which they were added.
    pub fn proxies(&self) -> &[(IfIndex, IpAddr)] {
        &self.proxies
    }

    #[inline]
    pub fn get_mut(&mut self, dev: IfIndex, address: IpAddr) -> Option<&mut Neighbour> {
        let key = (dev, address);
        let found = self
            .table
            .find_mut(hash(self.seed, key), |(k, _)| *k == key)?;
        Some(&mut found.1)
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
        if self.table.len() >= max && self.get_mut(dev, address).is_none() {
            let idle = |n: &Neighbour| !n.state.is_administered() && n.queue.is_empty();
            let (_, victim) = self
                .table
                .iter()
                .filter(|(_, n)| idle(n))
                .map(|(k, n)| (n.used, *k))
                .min()?;
            self.remove(victim.0, victim.1, timers);
        }
        let (seed, key) = (self.seed, (dev, address));
        let entry = self
            .table
            .entry(hash(seed, key), |(k, _)| *k == key, |(k, _)| hash(seed, *k))
            .or_insert_with(|| (key, Neighbour::new(now)));
        Some(&mut entry.into_mut().1)
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
        let key = (dev, address);
        let found = self
            .table
            .find_entry(hash(self.seed, key), |(k, _)| *k == key);
        let (_, neigh) = found.ok()?.remove().0;
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
        let gone = |n: &Neighbour, (dev, address): Key| {
            !n.state.is_administered()
                && n.queue.is_empty()
                && n.timer.is_none()
                && (n.state == NudState::Failed
                    || now > n.used.saturating_add(stale_time(dev, address)))
        };
        let unused = self.table.iter().filter(|(key, n)| gone(n, *key));
        let mut unused: Vec<Key> = unused.map(|(key, _)| *key).collect();
        unused.sort_unstable();
        unused
    }

    /// By device and address.
    pub fn iter(&self) -> impl Iterator<Item = NeighbourEntry> + '_ {
        let entry = |((dev, address), n): &(Key, Neighbour)| NeighbourEntry {
            dev: *dev,
            address: *address,
            mac: n.mac,
            state: n.state,
            router: n.router,
        };
        let mut entries: Vec<_> = self.table.iter().map(entry).collect();
        entries.sort_unstable_by_key(|n| (n.dev, n.address));
        entries.into_iter()
    }

    pub fn held(&self) -> usize {
        self.table.iter().map(|(_, n)| n.queue.len()).sum()
    }
}
