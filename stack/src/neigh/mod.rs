//! Neighbours: which MAC address has the next hop, and does it still answer? The states and times are Linux's (net/core/neighbour.c)
//! for both ARP and neighbour discovery (RFC 4861 7.3).
//!
//! ```text
//!  (none) ──packet──► Incomplete ──answer──► Reachable ──30 s──► Stale ──packet──► Delay ──5 s──► Probe ──3 × 1 s──► Failed
//!                         └──3 × 1 s──► Failed    ▲────────────────── answer ───────┴──────────────┘
//! ```

mod table;

pub use table::NeighbourEntry;
pub(crate) use table::Neighbours;
use table::{MAX_PROBES, UCAST_PROBES};

use crate::addr::{MAC_BROADCAST, multicast_mac_v4, multicast_mac_v6};
use crate::drop_reason::DropReason;
use crate::fib::RouteType;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::timer::TimerKey;
use crate::trace::Stage;
use crate::{Ps, SEC};
use std::net::IpAddr;

/// `base_reachable_time`: how long an answer is believed. Linux draws it anew from 0.5 to 1.5 of this; here it is fixed, so that runs repeat.
const REACHABLE_TIME: Ps = 30 * SEC;
/// `delay_first_probe_time`: how long upper layers have to confirm before a probe is sent.
const DELAY_PROBE_TIME: Ps = 5 * SEC;
/// `retrans_time`: between two solicitations.
const RETRANS_TIME: Ps = SEC;
/// `locktime`: a second answer with another MAC address is ignored that long after the first (ARP only).
pub(crate) const LOCKTIME: Ps = SEC;
/// `unres_qlen_bytes`: buffer memory of the packets that wait for one neighbour.
const UNRES_QLEN_BYTES: usize = 212_992;

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
}

impl NudState {
    /// `NUD_VALID`: the MAC address can be used.
    pub fn is_valid(self) -> bool {
        !matches!(self, NudState::Incomplete | NudState::Failed)
    }

    /// `NUD_CONNECTED`: no doubt about it.
    pub fn is_connected(self) -> bool {
        matches!(self, NudState::Reachable | NudState::Permanent)
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

    /// `neigh_event_send()` for a known neighbour: its MAC address if it may be used.
    fn neigh_resolve(&mut self, dev: IfIndex, address: IpAddr) -> Option<[u8; 6]> {
        let now = self.now;
        let neigh = self.neighbours.get_mut(dev, address)?;
        neigh.used = now;
        if neigh.state == NudState::Stale {
            neigh.state = NudState::Delay;
            neigh.updated = now;
            self.neigh_set_timer(dev, address, Some(now + DELAY_PROBE_TIME));
        }
        let neigh = self.neighbours.get_mut(dev, address)?;
        neigh.state.is_valid().then_some(neigh.mac)
    }

    /// Keeps the packet until the neighbour answers; starts asking if nobody did yet.
    fn neigh_enqueue(&mut self, mut skb: SkBuff, address: IpAddr) {
        // The solicitation needs a page too, and so does all other traffic.
        skb.detach_if_scarce();
        let (dev, now, max) = (skb.dev, self.now, self.config.neigh_max);
        let Some(neigh) = self
            .neighbours
            .get_or_create(dev, address, now, max, &mut self.timers)
        else {
            return self.kfree_skb(skb, DropReason::NeighCreateFail);
        };
        let start = neigh.state != NudState::Incomplete;
        if start {
            neigh.state = NudState::Incomplete;
            // Linux counts as if the unicast probes had been used up: there is no address to send them to.
            neigh.probes = UCAST_PROBES;
            neigh.updated = now;
        }
        self.trace(&skb, Stage::NeighbourQueue);
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.queue_bytes += skb.truesize();
        neigh.queue.push_back(skb);
        while let Some(neigh) = self.neighbours.get_mut(dev, address) {
            if neigh.queue_bytes <= UNRES_QLEN_BYTES {
                break;
            }
            let Some(oldest) = neigh.queue.pop_front() else {
                break;
            };
            neigh.queue_bytes -= oldest.truesize();
            self.kfree_skb(oldest, DropReason::NeighQueueFull);
        }
        if start {
            self.neigh_set_timer(dev, address, Some(now + RETRANS_TIME));
            self.neigh_probe(dev, address);
        }
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
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.probes += 1;
        let unicast =
            (neigh.probes <= UCAST_PROBES && neigh.state == NudState::Probe).then_some(neigh.mac);
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
        let now = self.now;
        let Some(neigh) = self.neighbours.get_mut(dev, address) else {
            return;
        };
        neigh.timer = None;
        let next = match neigh.state {
            NudState::Reachable if believed_until(neigh.confirmed, REACHABLE_TIME) > now => {
                Some(believed_until(neigh.confirmed, REACHABLE_TIME))
            }
            NudState::Reachable if now <= neigh.used + DELAY_PROBE_TIME => {
                neigh.enter(NudState::Delay, now);
                Some(now + DELAY_PROBE_TIME)
            }
            NudState::Reachable => {
                neigh.enter(NudState::Stale, now);
                None
            }
            NudState::Delay if believed_until(neigh.confirmed, DELAY_PROBE_TIME) >= now => {
                neigh.enter(NudState::Reachable, now);
                Some(believed_until(neigh.confirmed, REACHABLE_TIME))
            }
            NudState::Delay => {
                neigh.enter(NudState::Probe, now);
                neigh.probes = 0;
                Some(now + RETRANS_TIME)
            }
            NudState::Probe | NudState::Incomplete => Some(now + RETRANS_TIME),
            NudState::Stale | NudState::Failed | NudState::Permanent => None,
        };
        let probing = matches!(neigh.state, NudState::Probe | NudState::Incomplete);
        let max = if neigh.state == NudState::Probe {
            UCAST_PROBES
        } else {
            MAX_PROBES
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
        let (now, max) = (self.now, self.config.neigh_max);
        let neigh = if update.create {
            self.neighbours
                .get_or_create(dev, address, now, max, &mut self.timers)
        } else {
            self.neighbours.get_mut(dev, address)
        };
        let Some(neigh) = neigh else { return };
        let old = neigh.state;
        if old == NudState::Permanent {
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
            let timer = (new == NudState::Reachable).then_some(now + REACHABLE_TIME);
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

    /// `ip neigh replace ADDRESS lladdr MAC dev IFINDEX nud permanent`. A full table or an unknown device is ignored.
    pub fn add_neighbour(&mut self, ifindex: IfIndex, address: IpAddr, mac: [u8; 6]) {
        if self.device(ifindex).is_none() {
            return;
        }
        let (now, max) = (self.now, self.config.neigh_max);
        let Some(neigh) =
            self.neighbours
                .get_or_create(ifindex, address, now, max, &mut self.timers)
        else {
            return;
        };
        neigh.enter(NudState::Permanent, now);
        neigh.mac = mac;
        self.neigh_set_timer(ifindex, address, None);
        self.neigh_send_queue(ifindex, address, mac);
        self.flush_devices();
    }

    /// `ip neigh show`: all neighbours, by device and address.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourEntry> + '_ {
        self.neighbours.iter()
    }
}
