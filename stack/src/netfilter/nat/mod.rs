//! Network address translation (`nf_nat_core.c`, `nf_nat_proto.c`).
//!
//! What a connection's packets are translated to is decided once per kind: the destination when its first packet passes PreRouting or
//! LocalOut, the source when it passes PostRouting or LocalIn. That is when the nat chains run, all of them as one block; a chain that decides
//! says so with a [`NatRequest`], and if none does, the packet stays as it is (a *null binding*). The decision is kept as the connection's
//! reply tuple; every further packet, and every ICMP error about one, is translated from that.

mod by_source;
mod ftp;
mod icmp;
mod manip;
mod masquerade;
mod packet;
mod setup;

pub(super) use by_source::BySource;

use super::hook::{Hook, HookState};
use crate::skb::SkBuff;
use std::net::IpAddr;

/// Which part of a packet is translated (`enum nf_nat_manip_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatManip {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

impl NatManip {
    /// `HOOK2MANIP`.
    pub(super) fn at(hook: Hook) -> Self {
        match hook {
            Hook::PostRouting | Hook::LocalIn => NatManip::Src,
            _ => NatManip::Dst,
        }
    }

    fn other(self) -> Self {
        match self {
            NatManip::Src => NatManip::Dst,
            NatManip::Dst => NatManip::Src,
        }
    }
}

/// What a packet may be translated to (`struct nf_nat_range2`). The default changes nothing but what is needed to tell flows apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatRange {
    /// First and last address; `None`: the address stays.
    pub addrs: Option<(IpAddr, IpAddr)>,
    /// First and last port (ICMP: id), host byte order; `None`: the port stays if it can.
    pub ports: Option<(u16, u16)>,
    /// `random`, `fully-random`: the port is drawn, even if it could stay.
    pub random: bool,
    /// `persistent`: a client gets the same address whatever its destination.
    pub persistent: bool,
    /// `prefix`: `addrs` is a network, and the host part of the packet's address is kept.
    pub netmap: bool,
}

/// What a nat chain decides for a connection: the statements `snat`, `dnat`, `masquerade`, `redirect`. It ends the nat block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatRequest {
    /// The source becomes one of the range.
    Snat(NatRange),
    /// The destination becomes one of the range.
    Dnat(NatRange),
    /// The source becomes the address of the device that the packet leaves through. The range's addresses do not count.
    Masquerade(NatRange),
    /// The destination becomes this host: the address of the device that the packet came through, or the loopback address for packets
    /// made here. The range's addresses do not count.
    Redirect(NatRange),
}

/// A nat chain as a function: the decision, or `None` to leave it to the next chain.
pub type NatFn = Box<dyn FnMut(&SkBuff, &HookState) -> Option<NatRequest>>;
