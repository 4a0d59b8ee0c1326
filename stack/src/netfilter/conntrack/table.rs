//! All connections: where they are kept, how they are found, when they end.

use super::config::CtConfig;
use super::conn::{Conn, CtId, CtStatus, CtZone, NfCt, Proto};
use super::event::{self, CtEventKind, Events};
use super::expect::Expectation;
use super::ftp::FtpMaster;
use super::tuple::{Dir, Tuple};
use crate::Ps;
use crate::hook::{Family, HookId};
use crate::netfilter::nat::BySource;
use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::timer::TimerKey;
use hashbrown::HashTable;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// Slots that are looked at for a connection to evict (`NF_CT_EVICTION_RANGE`).
const EVICTION_RANGE: usize = 8;

/// Counters of connection tracking (`conntrack -S`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtStats {
    /// Packets that could not be tracked.
    pub invalid: u64,
    /// Connections that could not be confirmed.
    pub insert_failed: u64,
    /// Packets dropped because the table was full or a clash could not be resolved.
    pub drop: u64,
    /// Connections that were evicted to make room.
    pub early_drop: u64,
    /// ICMP errors about no known connection.
    pub error: u64,
    /// Clashes that were resolved.
    pub clash_resolve: u64,
}

/// A place for a connection.
#[derive(Default)]
struct Slot {
    generation: u32,
    conn: Option<Conn>,
}

/// All connections of a host.
pub struct Conntrack {
    /// The sysctls.
    pub config: CtConfig,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Confirmed tuples: slot number × 2 + direction.
    table: HashTable<u32>,
    /// Connections, confirmed or not.
    count: usize,
    /// Who ends when, at the earliest: a connection that lives longer is looked at again.
    expiry: BinaryHeap<Reverse<(Ps, CtId)>>,
    /// What the stack's timers know.
    armed: Option<Ps>,
    seed: u64,
    rng: u64,
    by_source: BySource,
    stats: CtStats,
    users: [usize; 2],
    pub(crate) hook_ids: Vec<(Family, HookId)>,
    pub(super) events: Events,
    pub(super) expected: Vec<Expectation>,
}

/// Mixes two words well (the finisher of wyhash).
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// `hash_conntrack_raw()`.
pub(super) fn hash(seed: u64, tuple: &Tuple, zone: u16) -> u64 {
    const K: [u64; 3] = [
        0xa076_1d64_78bd_642f,
        0xe703_7ed1_a0b4_28db,
        0x8ebc_6af0_9c88_c6e3,
    ];
    let rest = u64::from(tuple.src_port) << 48
        | u64::from(tuple.dst_port) << 32
        | u64::from(zone) << 16
        | u64::from(tuple.protocol);
    let addresses = match (tuple.src, tuple.dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => u64::from(s.to_bits()) << 32 | u64::from(d.to_bits()),
        (s, d) => {
            let half = |a: IpAddr, k| match a {
                IpAddr::V6(a) => mix((a.to_bits() >> 64) as u64 ^ k, a.to_bits() as u64 ^ seed),
                IpAddr::V4(a) => u64::from(a.to_bits()),
            };
            mix(half(s, K[0]) ^ seed, half(d, K[1]) ^ K[2])
        }
    };
    mix(
        addresses ^ seed ^ K[0],
        mix(rest ^ K[1], seed ^ K[2]) ^ K[1],
    )
}

impl Conntrack {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            config: CtConfig::default(),
            slots: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            count: 0,
            expiry: BinaryHeap::new(),
            armed: None,
            seed: mix(seed ^ 0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9) | 1,
            rng: seed.wrapping_add(0xd1b5_4a32_d192_ed03),
            by_source: BySource::default(),
            stats: CtStats::default(),
            users: [0; 2],
            hook_ids: Vec::new(),
            events: Events::default(),
            expected: Vec::new(),
        }
    }

    /// Who needs tracking for `family`.
    pub(crate) fn users(&mut self, family: Family) -> Option<&mut usize> {
        match family {
            Family::Ipv4 => Some(&mut self.users[0]),
            Family::Ipv6 => Some(&mut self.users[1]),
            Family::Netdev => None,
        }
    }

    /// The connection that a packet's reference names; `None` when it is gone, and for untracked packets.
    pub fn get(&self, id: CtId) -> Option<&Conn> {
        let slot = self.slots.get(id.index as usize)?;
        slot.conn
            .as_ref()
            .filter(|_| slot.generation == id.generation)
    }

    /// The same, to change its mark or labels.
    pub fn get_mut(&mut self, id: CtId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.conn
            .as_mut()
            .filter(|_| slot.generation == id.generation)
    }

    pub(super) fn conn_and_config(&mut self, id: CtId) -> Option<(&mut Conn, &CtConfig)> {
        let slot = self.slots.get_mut(id.index as usize)?;
        let conn = slot
            .conn
            .as_mut()
            .filter(|_| slot.generation == id.generation)?;
        Some((conn, &self.config))
    }

    /// `net.netfilter.nf_conntrack_count`: connections, those that are not confirmed yet included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Connections that packets under way refer to and that are not in the table: not confirmed yet, or taken out of it.
    pub fn unlisted(&self) -> usize {
        let conns = self.slots.iter().filter_map(|slot| slot.conn.as_ref());
        conns
            .filter(|c| !c.is_confirmed() || c.status.has(CtStatus::DYING))
            .count()
    }

    /// Counters.
    pub fn stats(&self) -> CtStats {
        self.stats
    }

    pub(super) fn stats_mut(&mut self) -> &mut CtStats {
        &mut self.stats
    }

    /// The confirmed connections with their names, by slot: an order that is the same in every run.
    pub fn iter(&self) -> impl Iterator<Item = (CtId, &Conn)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let conn = slot.conn.as_ref()?;
            let id = CtId {
                index: index as u32,
                generation: slot.generation,
            };
            conn.is_confirmed().then_some((id, conn))
        })
    }

    fn conn_at(&self, index: u32) -> Option<&Conn> {
        self.slots.get(index as usize)?.conn.as_ref()
    }

    fn id_at(&self, index: u32) -> CtId {
        CtId {
            index,
            generation: self.slots.get(index as usize).map_or(0, |s| s.generation),
        }
    }

    fn lookup(&self, tuple: &Tuple, zone_id: u16, now: Ps, dirs: CtZone) -> Option<(CtId, Dir)> {
        let found = self.table.find(hash(self.seed, tuple, zone_id), |&key| {
            let dir = if key & 1 == 0 {
                Dir::Original
            } else {
                Dir::Reply
            };
            self.conn_at(key >> 1).is_some_and(|conn| {
                conn.tuple(dir) == tuple
                    && conn.zone.id_of(dir) == dirs.id_of(dir)
                    && !conn.is_expired(now)
            })
        })?;
        // NAT can make both directions alike: the reply direction was entered last and is found first.
        let reply = |conn: &Conn| {
            conn.reply == *tuple && conn.zone.id_of(Dir::Reply) == dirs.id_of(Dir::Reply)
        };
        let dir = match found & 1 == 0 && !self.conn_at(found >> 1).is_some_and(reply) {
            true => Dir::Original,
            false => Dir::Reply,
        };
        Some((self.id_at(found >> 1), dir))
    }

    /// `nf_conntrack_find_get()`: the connection that a packet with this tuple belongs to, and its direction.
    pub fn find(&self, tuple: &Tuple, zone: CtZone, now: Ps) -> Option<(CtId, Dir)> {
        let (original, reply) = (zone.id_of(Dir::Original), zone.id_of(Dir::Reply));
        self.lookup(tuple, original, now, zone).or_else(|| {
            if original == reply {
                return None;
            }
            self.lookup(tuple, reply, now, zone)
        })
    }

    /// The connection with this tuple as its reply direction.
    pub(crate) fn find_reply(&self, tuple: &Tuple, zone: CtZone, now: Ps) -> Option<(CtId, Dir)> {
        self.lookup(tuple, zone.id_of(Dir::Reply), now, zone)
    }

    /// `nf_conntrack_tuple_taken()`: whether a connection other than `own` answers to this tuple. Two connections with the same original
    /// direction are one flow; that is for the resolution of clashes.
    pub(crate) fn tuple_taken(&self, tuple: &Tuple, own: CtId, zone: CtZone, now: Ps) -> bool {
        let own_original = self.get(own).map(|conn| conn.original);
        let key_hash = hash(self.seed, tuple, zone.id_of(Dir::Reply));
        self.table.iter_hash(key_hash).any(|&key| {
            let dir = if key & 1 == 0 {
                Dir::Original
            } else {
                Dir::Reply
            };
            self.conn_at(key >> 1).is_some_and(|conn| {
                let same_flow = own_original == Some(conn.original)
                    && conn.zone.id_of(Dir::Original) == zone.id_of(Dir::Original);
                conn.tuple(dir) == tuple
                    && conn.zone.id_of(dir) == zone.id_of(dir)
                    && !conn.is_expired(now)
                    && key >> 1 != own.index
                    && !same_flow
            })
        })
    }

    /// Remembers that connection `id` is of this source.
    pub(crate) fn add_source(&mut self, original: &Tuple, zone: CtZone, id: CtId) {
        self.by_source.add(original, zone, id.index);
    }

    /// The connections of the source of `tuple`, the newest first.
    pub(crate) fn of_source(&self, tuple: &Tuple, zone: CtZone) -> impl Iterator<Item = &Conn> {
        let slots = self.by_source.of(tuple, zone);
        slots.filter_map(|slot| self.conn_at(slot))
    }

    /// Next number of the generator (splitmix64), seeded with the stack's.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.rng;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Ends a connection that no packet under way belongs to.
    pub(crate) fn end(&mut self, id: CtId, now: Ps) {
        self.kill(id, now);
        self.free(id);
    }

    /// `__nf_conntrack_alloc()`: a connection that is not in the table yet. `None`: the table is full and nothing can be evicted.
    pub(super) fn alloc(
        &mut self,
        original: Tuple,
        reply: Tuple,
        zone: CtZone,
        now: Ps,
    ) -> Option<CtId> {
        if self.config.max != 0 && self.count >= self.config.max && !self.early_drop(&original, now)
        {
            return None;
        }
        let conn = Conn {
            original,
            reply,
            status: CtStatus::default(),
            mark: 0,
            labels: 0,
            zone,
            counters: self.config.acct.then(Default::default),
            id: 0,
            master: None,
            refs: 1,
            masq_index: IfIndex::NONE,
            proto: Proto::Other,
            helper: None,
            ftp: FtpMaster::default(),
            seqadj: Default::default(),
            event_mask: u16::MAX,
            timeout: 0,
            timeouts: None,
            events: 0,
            scheduled: 0,
        };
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                // The limit of connections is far below.
                let index = u32::try_from(self.slots.len())
                    .ok()
                    .filter(|&i| i < u32::MAX >> 1)?;
                self.slots.push(Slot::default());
                index
            }
        };
        let seed = self.seed;
        let slot = self.slots.get_mut(index as usize)?;
        slot.generation = slot.generation.wrapping_add(1);
        let conn = slot.conn.insert(conn);
        // nf_ct_get_id(): not guessable.
        conn.id = hash(seed ^ u64::from(slot.generation), &original, index as u16) as u32;
        self.count += 1;
        Some(self.id_at(index))
    }

    /// `early_drop()`: makes room by ending a connection that is not assured.
    fn early_drop(&mut self, tuple: &Tuple, now: Ps) -> bool {
        let len = self.slots.len();
        if len == 0 {
            return false;
        }
        let start = hash(self.seed, tuple, 0) as usize % len;
        for at in (start..start + EVICTION_RANGE.min(len)).map(|at| at % len) {
            let index = at as u32;
            let evict = self.conn_at(index).is_some_and(|conn| {
                conn.is_confirmed() && (conn.is_expired(now) || !conn.status.has(CtStatus::ASSURED))
            });
            if evict {
                let id = self.id_at(index);
                self.end(id, now);
                self.stats.early_drop += 1;
                return true;
            }
        }
        false
    }

    /// Enters both directions into the table; [`CtStatus::NAT_CLASH`]: the reply direction only.
    pub(super) fn insert(&mut self, id: CtId, now: Ps) {
        let Self {
            slots, table, seed, ..
        } = self;
        let seed = *seed;
        let Some(slot) = slots.get_mut(id.index as usize) else {
            return;
        };
        let Some(conn) = slot.conn.as_mut() else {
            return;
        };
        conn.timeout = conn.timeout.saturating_add(now);
        conn.scheduled = conn.timeout;
        conn.status |= CtStatus::CONFIRMED;
        let (at, clash) = (conn.timeout, conn.status.has(CtStatus::NAT_CLASH));
        for dir in [Dir::Original, Dir::Reply] {
            if clash && dir == Dir::Original {
                continue;
            }
            let Some(conn) = slots.get(id.index as usize).and_then(|s| s.conn.as_ref()) else {
                return;
            };
            let key_hash = hash(seed, conn.tuple(dir), conn.zone.id_of(dir));
            table.insert_unique(key_hash, id.index << 1 | dir as u32, |&key| {
                rehash(slots, seed, key)
            });
        }
        self.expiry.push(Reverse((at, id)));
    }

    /// `nf_ct_delete()`: takes a connection out of the table. Packets that refer to it still find it, until the last one ends.
    pub(crate) fn kill(&mut self, id: CtId, now: Ps) {
        let seed = self.seed;
        let Some(conn) = self
            .get(id)
            .filter(|c| c.is_confirmed() && !c.status.has(CtStatus::DYING))
        else {
            return;
        };
        let hashes = [Dir::Original, Dir::Reply]
            .map(|dir| hash(seed, conn.tuple(dir), conn.zone.id_of(dir)));
        for (dir, key_hash) in hashes.into_iter().enumerate() {
            let key = id.index << 1 | dir as u32;
            if let Ok(entry) = self.table.find_entry(key_hash, |&k| k == key) {
                entry.remove();
            }
        }
        if let Some(conn) = self.get_mut(id) {
            conn.status |= CtStatus::DYING;
        }
        self.remove_expectations(id);
        self.report(id, CtEventKind::Destroy, now);
    }

    /// Gives a connection's place back.
    fn free(&mut self, id: CtId) {
        let Some(slot) = self
            .slots
            .get_mut(id.index as usize)
            .filter(|s| s.generation == id.generation)
        else {
            return;
        };
        if let Some(conn) = slot.conn.take() {
            if conn.status.has(CtStatus::SRC_NAT_DONE) {
                self.by_source.remove(&conn.original, conn.zone, id.index);
            }
            self.free.push(id.index);
            self.count -= 1;
        }
    }

    /// `nf_ct_put()`: a packet ends. A connection that it made and that never entered the table, or that was taken out of it while the
    /// packet was on its way, ends with it.
    #[inline]
    pub(crate) fn put(&mut self, nfct: Option<NfCt>) {
        if let Some(nfct) = nfct {
            self.put_slow(nfct);
        }
    }

    fn put_slow(&mut self, nfct: NfCt) {
        let Some(conn) = self.get_mut(nfct.id) else {
            return;
        };
        // What is in the table is there whoever refers to it.
        let last = if conn.status.has(CtStatus::DYING) {
            true
        } else {
            !conn.is_confirmed() && {
                conn.refs = conn.refs.saturating_sub(1);
                conn.refs == 0
            }
        };
        if last {
            self.free(nfct.id);
        }
    }

    /// `nf_conntrack_get()`: another packet refers to the connection. Each one is given back with [`put`](Self::put).
    #[inline]
    pub(crate) fn hold(&mut self, nfct: Option<NfCt>) {
        if let Some(conn) = nfct.and_then(|nfct| self.get_mut(nfct.id)) {
            // Of those in the table nobody asks how many.
            if !conn.is_confirmed() {
                conn.refs = conn.refs.saturating_add(1);
            }
        }
    }

    /// `nf_conntrack_attach()`: the reference of an error about a packet that has this one. A connection that is not confirmed lives as
    /// long as either, so that an error that comes back through `lo` after the packet was dropped is still about it.
    pub(crate) fn attach(&mut self, about: Option<NfCt>) -> Option<NfCt> {
        let attached = about.and_then(NfCt::attach);
        self.hold(attached);
        attached
    }

    /// `__nf_ct_refresh_acct()`: the connection lives for `timeout` from now on.
    pub(super) fn refresh(&mut self, id: CtId, timeout: Ps, now: Ps) {
        let Some(conn) = self.get_mut(id) else { return };
        if conn.status.has(CtStatus::FIXED_TIMEOUT) {
            return;
        }
        if !conn.is_confirmed() {
            conn.timeout = timeout;
            return;
        }
        conn.timeout = now.saturating_add(timeout);
        // The queue is told only of an earlier end; for a later one it looks again when the time comes.
        if conn.timeout < conn.scheduled {
            conn.scheduled = conn.timeout;
            let at = conn.timeout;
            self.expiry.push(Reverse((at, id)));
        }
    }

    /// When [`gc`](Self::gc) has something to do.
    fn next_expiry(&self) -> Option<Ps> {
        self.expiry.peek().map(|Reverse((at, _))| *at)
    }

    /// `gc_worker()`: ends what is due at `now`.
    fn gc(&mut self, now: Ps) {
        while let Some(&Reverse((at, id))) = self.expiry.peek() {
            if at > now {
                break;
            }
            self.expiry.pop();
            let Some(conn) = self.get_mut(id).filter(|c| c.scheduled == at) else {
                continue; // an older note of a connection that is gone or noted again
            };
            if conn.timeout > now {
                conn.scheduled = conn.timeout;
                let at = conn.timeout;
                self.expiry.push(Reverse((at, id)));
            } else {
                self.end(id, now);
            }
        }
    }

    /// `nf_ct_iterate_cleanup_net()`: ends the connections for which `ends` says so.
    pub(crate) fn cleanup(&mut self, now: Ps, ends: impl Fn(&Conn) -> bool) {
        let ended: Vec<CtId> = self
            .iter()
            .filter(|(_, c)| ends(c))
            .map(|(id, _)| id)
            .collect();
        for id in ended {
            self.end(id, now);
        }
    }

    /// `conntrack -F`: ends all connections.
    pub fn flush(&mut self, now: Ps) {
        self.cleanup(now, |_| true);
    }

    /// Notes that something happened to a connection; [`deliver`](Self::deliver) reports it (`nf_conntrack_event_cache()`).
    pub(super) fn cache_event(&mut self, id: CtId, bit: u16) {
        if let Some(conn) = self.get_mut(id) {
            conn.events |= bit;
        }
    }

    /// `nf_ct_deliver_cached_events()`.
    pub(super) fn deliver(&mut self, id: CtId, now: Ps) {
        let Some(conn) = self.get(id) else { return };
        if conn.events == 0 || !conn.is_confirmed() || conn.status.has(CtStatus::DYING) {
            return;
        }
        let kind = if conn.events & (event::NEW | event::RELATED) != 0 {
            CtEventKind::New
        } else {
            CtEventKind::Update
        };
        self.report(id, kind, now);
    }
}

/// Where an entry of the table belongs when it grows.
fn rehash(slots: &[Slot], seed: u64, key: u32) -> u64 {
    let dir = if key & 1 == 0 {
        Dir::Original
    } else {
        Dir::Reply
    };
    slots
        .get((key >> 1) as usize)
        .and_then(|slot| slot.conn.as_ref())
        .map_or(0, |conn| hash(seed, conn.tuple(dir), conn.zone.id_of(dir)))
}

impl Stack {
    /// Connection tracking: connections, sysctls, events.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }

    /// The same, to be changed.
    pub fn conntrack_mut(&mut self) -> &mut Conntrack {
        &mut self.conntrack
    }

    /// Connections end whose time has come.
    pub(crate) fn nf_ct_gc(&mut self) {
        self.conntrack.armed = None;
        let now = self.now;
        self.conntrack.gc(now);
        self.nf_ct_rearm();
    }

    /// Keeps the stack's timer at the time of the next end.
    pub(crate) fn nf_ct_rearm(&mut self) {
        let next = self.conntrack.next_expiry();
        let armed = self.conntrack.armed;
        // A timer that comes too early looks, and is set again.
        if let Some(at) = next.filter(|&at| armed.is_none_or(|armed| at < armed)) {
            if let Some(armed) = armed {
                self.timers.stop(armed, TimerKey::Conntrack);
            }
            self.timers.start(at, TimerKey::Conntrack);
            self.conntrack.armed = Some(at);
        }
    }
}
