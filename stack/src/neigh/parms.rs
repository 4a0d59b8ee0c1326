//! `net.ipv4.neigh.DEV.*` and `net.ipv6.neigh.DEV.*` (`struct neigh_parms`).

use crate::devconf::DevConf;
use crate::skb::IfIndex;
use crate::sysctl::Sysctl;
use crate::{MS, Ps, SEC};
use std::net::IpAddr;

/// How neighbours of one family behind one device are treated; the defaults are Linux's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeighParms {
    /// `base_reachable_time_ms`: how long an answer is believed. Linux draws it anew from 0.5 to 1.5 of this; here it is fixed.
    pub reachable_time: Ps,
    /// `retrans_time_ms`: between two solicitations.
    pub retrans_time: Ps,
    /// `delay_first_probe_time`: how long upper layers have to confirm before a probe is sent.
    pub delay_probe_time: Ps,
    /// `locktime`: a second answer with another MAC address is ignored that long after the first (ARP only).
    pub locktime: Ps,
    /// `gc_stale_time`: how long an entry that nobody uses is kept when there are many.
    pub gc_stale_time: Ps,
    /// `ucast_solicit`: solicitations to the known MAC address before it counts as gone.
    pub ucast_solicit: u32,
    /// `mcast_solicit`: solicitations to everybody before the neighbour counts as absent.
    pub mcast_solicit: u32,
    /// `unres_qlen_bytes`: buffer memory of the packets that wait for one neighbour.
    pub unres_qlen_bytes: usize,
}

impl Default for NeighParms {
    fn default() -> Self {
        Self {
            reachable_time: 30 * SEC,
            retrans_time: SEC,
            delay_probe_time: 5 * SEC,
            locktime: SEC,
            gc_stale_time: 60 * SEC,
            ucast_solicit: 3,
            mcast_solicit: 3,
            unres_qlen_bytes: 212_992,
        }
    }
}

/// The parameters of both families.
#[derive(Debug, Default)]
pub(crate) struct NeighConf {
    pub v4: DevConf<NeighParms>,
    pub v6: DevConf<NeighParms>,
}

impl NeighConf {
    /// A new device, the next by index.
    pub fn add_device(&mut self) {
        self.v4.add_device();
        self.v6.add_device();
    }

    /// Those for `address` behind `dev`.
    pub fn of(&self, dev: IfIndex, address: IpAddr) -> NeighParms {
        match address {
            IpAddr::V4(_) => *self.v4.dev(dev),
            IpAddr::V6(_) => *self.v6.dev(dev),
        }
    }
}

const INT_MAX: i64 = i32::MAX as i64;

macro_rules! time {
    ($name:literal, $family:ident, $field:ident, $unit:expr) => {
        Sysctl::int(
            $name,
            0..=INT_MAX,
            |stack, scope| (stack.neigh_conf.$family.get(scope).$field / $unit) as i64,
            |stack, scope, value| {
                stack.neigh_conf.$family.get_mut(scope).$field = value as u64 * $unit;
            },
        )
    };
}

macro_rules! count {
    ($name:literal, $family:ident, $field:ident) => {
        Sysctl::int(
            $name,
            0..=INT_MAX,
            |stack, scope| stack.neigh_conf.$family.get(scope).$field as i64,
            |stack, scope, value| {
                stack.neigh_conf.$family.get_mut(scope).$field = value as _;
            },
        )
    };
}

/// What a full Ethernet frame takes in memory (`SKB_TRUESIZE(ETH_FRAME_LEN)`), in bytes.
const FRAME_TRUESIZE: i64 = 2090;

/// `proc_unres_qlen()`: the same limit in frames.
macro_rules! frames {
    ($name:literal, $family:ident) => {
        Sysctl::int(
            $name,
            0..=INT_MAX / FRAME_TRUESIZE,
            |stack, scope| {
                let bytes = stack.neigh_conf.$family.get(scope).unres_qlen_bytes;
                bytes as i64 / FRAME_TRUESIZE
            },
            |stack, scope, value| {
                let bytes = (value * FRAME_TRUESIZE) as usize;
                stack.neigh_conf.$family.get_mut(scope).unres_qlen_bytes = bytes;
            },
        )
    };
}

/// USER_HZ: what `locktime` counts in.
const CENTISECOND: Ps = 10 * MS;
/// One 250th of a second, which IPv6's `retrans_time` counts in.
const JIFFY: Ps = 4 * MS;

/// The keys of this module. Names with `default` and devices; there is no `all`.
pub(crate) const SYSCTLS: &[Sysctl] = &[
    time!(
        "net.ipv4.neigh.*.base_reachable_time_ms",
        v4,
        reachable_time,
        MS
    ),
    time!(
        "net.ipv4.neigh.*.base_reachable_time",
        v4,
        reachable_time,
        SEC
    ),
    time!("net.ipv4.neigh.*.retrans_time_ms", v4, retrans_time, MS),
    time!(
        "net.ipv4.neigh.*.retrans_time",
        v4,
        retrans_time,
        CENTISECOND
    ),
    time!(
        "net.ipv4.neigh.*.delay_first_probe_time",
        v4,
        delay_probe_time,
        SEC
    ),
    time!("net.ipv4.neigh.*.locktime", v4, locktime, CENTISECOND),
    time!("net.ipv4.neigh.*.gc_stale_time", v4, gc_stale_time, SEC),
    count!("net.ipv4.neigh.*.ucast_solicit", v4, ucast_solicit),
    count!("net.ipv4.neigh.*.mcast_solicit", v4, mcast_solicit),
    count!("net.ipv4.neigh.*.unres_qlen_bytes", v4, unres_qlen_bytes),
    frames!("net.ipv4.neigh.*.unres_qlen", v4),
    time!(
        "net.ipv6.neigh.*.base_reachable_time_ms",
        v6,
        reachable_time,
        MS
    ),
    time!(
        "net.ipv6.neigh.*.base_reachable_time",
        v6,
        reachable_time,
        SEC
    ),
    time!("net.ipv6.neigh.*.retrans_time_ms", v6, retrans_time, MS),
    time!("net.ipv6.neigh.*.retrans_time", v6, retrans_time, JIFFY),
    time!(
        "net.ipv6.neigh.*.delay_first_probe_time",
        v6,
        delay_probe_time,
        SEC
    ),
    time!("net.ipv6.neigh.*.locktime", v6, locktime, CENTISECOND),
    time!("net.ipv6.neigh.*.gc_stale_time", v6, gc_stale_time, SEC),
    count!("net.ipv6.neigh.*.ucast_solicit", v6, ucast_solicit),
    count!("net.ipv6.neigh.*.mcast_solicit", v6, mcast_solicit),
    count!("net.ipv6.neigh.*.unres_qlen_bytes", v6, unres_qlen_bytes),
    frames!("net.ipv6.neigh.*.unres_qlen", v6),
    Sysctl::int(
        "net.ipv4.neigh.default.gc_thresh1",
        0..=INT_MAX,
        |stack, _| stack.config.neigh_gc_thresh1 as i64,
        |stack, _, value| stack.config.neigh_gc_thresh1 = value as usize,
    ),
    Sysctl::int(
        "net.ipv4.neigh.default.gc_thresh3",
        0..=INT_MAX,
        |stack, _| stack.config.neigh_max as i64,
        |stack, _, value| stack.config.neigh_max = value as usize,
    ),
];
