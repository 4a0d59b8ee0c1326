//! Neighbours: which MAC address has the next hop, and does it still answer? The states and times are Linux's (net/core/neighbour.c)
//! for both ARP and neighbour discovery (RFC 4861 7.3).
//!
//! ```text
//!  (none) ──packet──► Incomplete ──answer──► Reachable ──30 s──► Stale ──packet──► Delay ──5 s──► Probe ──3 × 1 s──► Failed
//!                         └──3 × 1 s──► Failed    ▲────────────────── answer ───────┴──────────────┘
//! ```

mod parms;
mod table;

pub(crate) use parms::{NeighConf, SYSCTLS};
pub use table::NeighbourEntry;
pub(crate) use table::Neighbours;

use crate::Ps;
use crate::addr::{MAC_BROADCAST, multicast_mac_v4, multicast_mac_v6};
use crate::drop_reason::DropReason;
use crate::fib::RouteType;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::trace::Stage;
use std::net::IpAddr;

/// State of a neighbour (`NUD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NudState {
    /// Solicited, not answered yet.
    Incomplete,
    /// Answered not long ago.
    Reachable,
    /// Known, but not confirmed for a while; used as it is.
    Stale,
    /// In use again; waiting for a confirmation before probing.
    Delay,
    /// Being solicited again, by unicast.
    Probe,
    /// Did not answer.
    Failed,
    /// Set by the administrator; never asked.
    Permanent,
    /// Needs no asking, as on a link without addresses; never asked.
    Noarp,
}

impl NudState {
    /// Every state.
    pub const ALL: [NudState; 8] = [
        NudState::Incomplete,
        NudState::Reachable,
        NudState::Stale,
        NudState::Delay,
        NudState::Probe,
        NudState::Failed,
        NudState::Permanent,
        NudState::Noarp,
    ];

    /// iproute2's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            NudState::Incomplete => "INCOMPLETE",
            NudState::Reachable => "REACHABLE",
            NudState::Stale => "STALE",
            NudState::Delay => "DELAY",
            NudState::Probe => "PROBE",
            NudState::Failed => "FAILED",
            NudState::Permanent => "PERMANENT",
            NudState::Noarp => "NOARP",
        }
    }

    /// Set by the administrator: no message changes it, and it is not forgotten.
    pub(crate) fn is_administered(self) -> bool {
        matches!(self, NudState::Permanent | NudState::Noarp)
    }

    /// `NUD_VALID`: the MAC address can be used.
    pub fn is_valid(self) -> bool {
        !matches!(self, NudState::Incomplete | NudState::Failed)
    }

    /// `NUD_CONNECTED`: no doubt about it.
    pub fn is_connected(self) -> bool {
        matches!(
            self,
            NudState::Reachable | NudState::Permanent | NudState::Noarp
        )
    }
}

/// Until when a confirmation at `confirmed` counts; 0 without one.
fn believed_until(confirmed: Option<Ps>, time: Ps) -> Ps {
    confirmed.map_or(0, |at| at.saturating_add(time))
}

/// What an ARP or NDP message says about a neighbour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeighUpdate {
    pub mac: Option<[u8; 6]>,
    pub state: NudState,
    /// `NEIGH_UPDATE_F_OVERRIDE`: replaces a MAC address that is known already.
    pub overrides: bool,
    /// `NEIGH_UPDATE_F_WEAK_OVERRIDE`: without override, a different address makes a connected entry stale (RFC 4861 7.2.5).
    pub weak_override: bool,
    /// Make an entry when there is none.
    pub create: bool,
}

impl Stack {
    /// `ip_finish_output2()`: the packet (data at the network header, `dev` set) goes to `nexthop`, at once or when it has answered.
    pub(crate) fn neigh_output(&mut self, skb: SkBuff, nexthop: IpAddr) {
        self.trace(&skb, Stage::Neighbour);
        let broadcast = matches!(skb.dst, Some(r) if r.kind == RouteType::Broadcast);
        let mapped = match nexthop {
            _ if skb.dev == IfIndex::LO => Some([0; 6]),
            // arp_constructor(), ndisc_constructor(): on a link without addresses everybody has the device's own.
            _ if self.noarp(skb.dev).is_some() => self.noarp(skb.dev),
            IpAddr::V4(a) if broadcast || a.is_broadcast() => Some(MAC_BROADCAST),
            IpAddr::V4(a) if a.is_multicast() => Some(multicast_mac_v4(a)),
            IpAddr::V6(a) if a.is_multicast() => Some(multicast_mac_v6(a)),
            _ => None,
        };
        match mapped.or_else(|| self.neigh_resolve(skb.dev, nexthop)) {
            Some(mac) => self.dev_hard_header_xmit(skb, mac),
            None => self.neigh_enqueue(skb, nexthop),
        }
    }

    /// The device's MAC address, if packets through it need no other (`IFF_NOARP`).
    pub(crate) fn noarp(&self, dev: IfIndex) -> Option<[u8; 6]> {
        let device = self.device(dev).filter(|device| device.flags.noarp)?;
        Some(device.mac)
    }

    /// A neighbour's MAC address, if it is known.
    pub(crate) fn neigh_mac(&mut self, dev: IfIndex, address: IpAddr) -> Option<[u8; 6]> {
        let neigh = self.neighbours.get_mut(dev, address)?;
        neigh.state.is_valid().then_some(neigh.mac)
    }

    /// `neigh_event_send()` for a known neighbour: its MAC address if it may be used.
    fn neigh_resolve(&mut self, dev: IfIndex, address: IpAddr) -> Option<[u8; 6]> {
        let now = self.now;
        let neigh = self.neighbours.get_mut(dev, address)?;
        neigh.used = now;
        let mac = neigh.state.is_valid().then_some(neigh.mac);
        if neigh.state == NudState::Stale {
            neigh.enter(NudState::Delay, now);
            let delay = self.neigh_conf.of(dev, address).delay_probe_time;
            self.neigh_set_timer(dev, address, Some(now + delay));
        }
        mac
    }

    /// `neigh_event_send()` without a packet: whether the neighbour may be used; it is asked when it is not known.
    pub(crate) fn neigh_event_send(&mut self, dev: IfIndex, address: IpAddr) -> bool {
        if self.neigh_resolve(dev, address).is_some() {
            return true;
        }
        if self.neigh_create(dev, address).is_some() {
            self.neigh_ask(dev, address);
        }
        false
    }

    /// Starts asking if nobody did yet.
    fn neigh_ask(&mut self, dev: IfIndex, address: IpAddr) {
        let (now, parms) = (self.now, self.neigh_conf.of(dev, address));
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        if neigh.state == NudState::Incomplete {
            return;
        }
        neigh.state = NudState::Incomplete;
        // Linux counts as if the unicast probes had been used up: there is no address to send them to.
        neigh.probes = parms.ucast_solicit;
        neigh.updated = now;
        self.neigh_set_timer(dev, address, Some(now + parms.retrans_time));
        self.neigh_probe(dev, address);
    }

    /// Keeps the packet until the neighbour answers; starts asking if nobody did yet.
    fn neigh_enqueue(&mut self, mut skb: SkBuff, address: IpAddr) {
        // The solicitation needs a page too, and so does all other traffic.
        skb.detach_if_scarce();
        let dev = skb.dev;
        let parms = self.neigh_conf.of(dev, address);
        if self.neigh_create(dev, address).is_none() {
            return self.kfree_skb(skb, DropReason::NeighCreateFail);
        }
        // __neigh_event_send(): the oldest make room, and the newest waits in any case.
        let size = skb.truesize();
        while let Some(neigh) = self.neighbours.get_mut(dev, address) {
            if neigh.queue_bytes + size <= parms.unres_qlen_bytes {
                break;
            }
            let Some(oldest) = neigh.queue.pop_front() else {
                break;
            };
            neigh.queue_bytes -= oldest.truesize();
            self.kfree_skb(oldest, DropReason::NeighQueueFull);
        }
        self.trace(&skb, Stage::NeighbourQueue);
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.queue_bytes += size;
        neigh.queue.push_back(skb);
        self.neigh_ask(dev, address);
    }

    fn neigh_set_timer(&mut self, dev: IfIndex, address: IpAddr, at: Option<Ps>) {
        if let Some(neigh) = self.neighbours.get_mut(dev, address) {
            let key = TimerKey::Neighbour(dev, address);
            if let Some(old) = std::mem::replace(&mut neigh.timer, at) {
                self.timers.stop(old, key);
            }
            if let Some(at) = at {
                self.timers.start(at, key);
            }
        }
    }

    /// `neigh_probe()`: sends a solicitation, by unicast while the old MAC address is being probed.
    fn neigh_probe(&mut self, dev: IfIndex, address: IpAddr) {
        let parms = self.neigh_conf.of(dev, address);
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.probes += 1;
        let unicast = (neigh.probes <= parms.ucast_solicit && neigh.state == NudState::Probe)
            .then_some(neigh.mac);
        // The source of the packet that waits, if any: the neighbour learns the address that will talk to it.
        let waiting = neigh.queue.front().map(|skb| skb.network_bytes());
        match address {
            IpAddr::V4(target) => {
                let source = waiting.and_then(crate::ipv4::saddr);
                self.arp_solicit(dev, target, source, unicast);
            }
            IpAddr::V6(target) => {
                let source = waiting.and_then(crate::ipv6::saddr);
                self.ndisc_solicit(dev, target, source, unicast);
            }
        }
    }

    /// `neigh_timer_handler()`.
    pub(crate) fn neigh_timer(&mut self, dev: IfIndex, address: IpAddr) {
        let (now, parms) = (self.now, self.neigh_conf.of(dev, address));
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.timer = None;
        let next = match neigh.state {
            NudState::Reachable if believed_until(neigh.confirmed, parms.reachable_time) > now => {
                Some(believed_until(neigh.confirmed, parms.reachable_time))
            }
            NudState::Reachable if now <= neigh.used + parms.delay_probe_time => {
                neigh.enter(NudState::Delay, now);
                Some(now + parms.delay_probe_time)
            }
            NudState::Reachable => {
                neigh.enter(NudState::Stale, now);
                None
            }
            NudState::Delay if believed_until(neigh.confirmed, parms.delay_probe_time) >= now => {
                neigh.enter(NudState::Reachable, now);
                Some(believed_until(neigh.confirmed, parms.reachable_time))
            }
            NudState::Delay => {
                neigh.enter(NudState::Probe, now);
                neigh.probes = 0;
                Some(now + parms.retrans_time)
            }
            NudState::Probe | NudState::Incomplete => Some(now + parms.retrans_time),
            NudState::Stale | NudState::Failed | NudState::Permanent | NudState::Noarp => None,
        };
        let probing = matches!(neigh.state, NudState::Probe | NudState::Incomplete);
        let max = if neigh.state == NudState::Probe {
            parms.ucast_solicit
        } else {
            parms.ucast_solicit.saturating_add(parms.mcast_solicit)
        };
        if probing && neigh.probes >= max {
            neigh.enter(NudState::Failed, now);
            return self.neigh_invalidate(dev, address);
        }
        self.neigh_set_timer(dev, address, next);
        if probing {
            self.neigh_probe(dev, address);
        }
    }

    /// `neigh_invalidate()`: what waited is lost, and its senders are told.
    fn neigh_invalidate(&mut self, dev: IfIndex, address: IpAddr) {
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.queue_bytes = 0;
        for skb in std::mem::take(&mut neigh.queue) {
            match address {
                IpAddr::V4(_) => self.ipv4_link_failure(&skb),
                IpAddr::V6(_) => self.ipv6_link_failure(&skb),
            }
            self.kfree_skb(skb, DropReason::NeighFailed);
        }
    }

    /// `neigh_update()`: takes in what a message says.
    pub(crate) fn neigh_update(&mut self, dev: IfIndex, address: IpAddr, update: NeighUpdate) {
        let (now, parms) = (self.now, self.neigh_conf.of(dev, address));
        let neigh = if update.create {
            self.neigh_create(dev, address)
        } else {
            self.neighbours.get_mut(dev, address)
        };
        let Some(neigh) = neigh else { return };
        let old = neigh.state;
        if old.is_administered() {
            return;
        }
        let mut mac = match update.mac {
            Some(mac) => mac,
            // Says that it is there, but not where: of use only when that is known.
            None if old.is_valid() => neigh.mac,
            None => return,
        };
        let mut new = update.state;
        if new.is_connected() {
            neigh.confirmed = Some(now);
        }
        if old.is_valid() {
            if mac != neigh.mac && !update.overrides {
                if !(update.weak_override && old.is_connected()) {
                    return;
                }
                mac = neigh.mac;
                new = NudState::Stale;
            } else if mac == neigh.mac && new == NudState::Stale {
                new = old;
            }
        }
        if new != old || mac != neigh.mac {
            neigh.updated = now;
        }
        if mac != neigh.mac && !new.is_connected() {
            neigh.confirmed = None;
        }
        neigh.mac = mac;
        neigh.state = new;
        if new != old {
            let timer = (new == NudState::Reachable).then_some(now + parms.reachable_time);
            self.neigh_set_timer(dev, address, timer);
        }
        if !old.is_valid() {
            self.neigh_send_queue(dev, address, mac);
        }
    }

    fn neigh_send_queue(&mut self, dev: IfIndex, address: IpAddr, mac: [u8; 6]) {
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.queue_bytes = 0;
        for skb in std::mem::take(&mut neigh.queue) {
            self.dev_hard_header_xmit(skb, mac);
        }
    }

    /// `neigh_create()`: the entry, a new one if there is none; `None` when the table is full.
    fn neigh_create(&mut self, dev: IfIndex, address: IpAddr) -> Option<&mut table::Neighbour> {
        let (now, max) = (self.now, self.config.neigh_max);
        if self.neighbours.len() >= self.config.neigh_gc_thresh1 && !self.neigh_gc_runs {
            self.neigh_gc_runs = true;
            let at = now + self.neigh_conf.v4.default.reachable_time / 2;
            self.timers.start(at, TimerKey::NeighGc);
        }
        self.neighbours
            .get_or_create(dev, address, now, max, &mut self.timers)
    }

    /// `neigh_periodic_work()`: with many entries, those that nobody needs are forgotten.
    pub(crate) fn neigh_gc(&mut self) {
        self.neigh_gc_runs = false;
        if self.neighbours.len() < self.config.neigh_gc_thresh1 {
            return;
        }
        let conf = &self.neigh_conf;
        let stale = |dev, address| conf.of(dev, address).gc_stale_time;
        for (dev, address) in self.neighbours.unused(self.now, stale) {
            self.neighbours.remove(dev, address, &mut self.timers);
        }
        self.neigh_gc_runs = true;
        let at = self.now + self.neigh_conf.v4.default.reachable_time / 2;
        self.timers.start(at, TimerKey::NeighGc);
    }

    /// `ip neigh replace ADDRESS lladdr MAC dev IFINDEX nud permanent`. A full table or an unknown device is ignored.
    pub fn add_neighbour(&mut self, ifindex: IfIndex, address: IpAddr, mac: [u8; 6]) {
        self.set_neighbour(ifindex, address, Some(mac), NudState::Permanent);
    }

    /// `neigh_add()`: what the administrator says. `false` when the table is full or there is no such device.
    pub(crate) fn set_neighbour(
        &mut self,
        dev: IfIndex,
        address: IpAddr,
        mac: Option<[u8; 6]>,
        state: NudState,
    ) -> bool {
        if self.device(dev).is_none() {
            return false;
        }
        let (now, parms) = (self.now, self.neigh_conf.of(dev, address));
        let Some(neigh) = self.neigh_create(dev, address) else {
            return false;
        };
        neigh.enter(state, now);
        neigh.mac = mac.unwrap_or_default();
        neigh.probes = 0;
        if state.is_connected() {
            neigh.confirmed = Some(now);
        }
        let timer = match state {
            NudState::Reachable => Some(now + parms.reachable_time),
            NudState::Delay => Some(now + parms.delay_probe_time),
            NudState::Incomplete | NudState::Probe => Some(now),
            NudState::Stale | NudState::Failed | NudState::Permanent | NudState::Noarp => None,
        };
        self.neigh_set_timer(dev, address, timer);
        match mac {
            Some(mac) if state.is_valid() => self.neigh_send_queue(dev, address, mac),
            _ if state == NudState::Failed => self.neigh_invalidate(dev, address),
            _ => {}
        }
        self.flush_devices();
        true
    }

    /// `ip neigh del ADDRESS dev IFINDEX`: what waited for it is lost. `false` when there is no such entry.
    pub(crate) fn del_neighbour(&mut self, dev: IfIndex, address: IpAddr) -> bool {
        self.neigh_invalidate(dev, address);
        let gone = self.neighbours.remove(dev, address, &mut self.timers);
        self.flush_devices();
        gone.is_some()
    }

    /// `ip neigh show`: all neighbours, by device and address.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourEntry> + '_ {
        self.neighbours.iter()
    }
}
