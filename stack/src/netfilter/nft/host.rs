//! What rules ask of the rest of the stack.

use super::expr::{CtDir, CtKey, FibFlags, FibResult, RtKey};
use super::stmt::{Log, NatKind};
use super::trace::NftEvent;
use crate::Ps;
use crate::hook::HookState;
use crate::netfilter::conntrack::ConnCount;
use crate::skb::{IfIndex, SkBuff};
use std::net::IpAddr;

/// A range of addresses and ports, and how to choose from it (`struct nf_nat_range2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NftNat {
    /// Which statement.
    pub kind: NatKind,
    /// First and last new address; `None` keeps it (or takes that of the device, for masquerade and redirect).
    pub addr: Option<(IpAddr, IpAddr)>,
    /// First and last new port.
    pub port: Option<(u16, u16)>,
    /// `random`
    pub random: bool,
    /// `fully-random`
    pub fully_random: bool,
    /// `persistent`
    pub persistent: bool,
    /// The addresses are a network whose host part is kept (`NF_NAT_RANGE_NETMAP`).
    pub netmap: bool,
}

/// A `ct helper` object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperSpec<'a> {
    /// Name of the helper, e.g. `ftp`.
    pub helper: &'a str,
    /// IP protocol.
    pub protocol: u8,
}

/// The packet's device, connection, routes and the like, as rules see them. Everything has a default that says "there is none", so that
/// rules can be run without a whole stack.
///
/// Numbers are in host order; addresses are the number that their bytes make in network order; names are their bytes, padded with
/// zeros to 16.
pub trait NftHost {
    /// `ct KEY`: `None` without a connection (and for the keys that the connection does not have), which ends the rule. `state` is
    /// asked also for packets without a connection: they are `invalid`, or `untracked`.
    fn ct_get(&mut self, skb: &SkBuff, key: CtKey, dir: Option<CtDir>) -> Option<u128> {
        let _ = (skb, dir);
        // nft_ct_get_eval(): no connection is NF_CT_STATE_INVALID_BIT.
        (key == CtKey::State).then_some(1)
    }

    /// `ct KEY set`.
    fn ct_set(&mut self, skb: &mut SkBuff, key: CtKey, dir: Option<CtDir>, value: u128) {
        let _ = (skb, key, dir, value);
    }

    /// `ct helper set`.
    fn ct_helper(&mut self, skb: &mut SkBuff, helper: HelperSpec<'_>) {
        let _ = (skb, helper);
    }

    /// `ct timeout set`: seconds by the state's name, for connections of one IP protocol.
    fn ct_timeout(&mut self, skb: &mut SkBuff, protocol: u8, policy: &[(&'static str, u32)]) {
        let _ = (skb, protocol, policy);
    }

    /// `ct expectation set`: expects a connection of `(protocol, port)` for so many milliseconds, and at most so many of them. `None`: it expects none;
    /// `false` drops the packet.
    fn ct_expect(&mut self, skb: &mut SkBuff, what: (u8, u16), life: (u64, u8)) -> Option<bool> {
        let _ = (skb, what, life);
        None
    }

    /// `nf_conncount_add_skb()`: notes the packet's connection in `list`, out of which go those that ended. `false`: it has none.
    fn ct_count(&mut self, skb: &SkBuff, state: &HookState, list: &mut ConnCount) -> bool {
        let _ = (skb, state, list);
        false
    }

    /// `notrack`.
    fn notrack(&mut self, skb: &mut SkBuff) {
        let _ = skb;
    }

    /// `nf_nat_setup_info()`: `true` accepts the packet, `false` drops it.
    fn nat(&mut self, skb: &mut SkBuff, state: &HookState, nat: &NftNat) -> bool {
        let _ = (skb, state, nat);
        true
    }

    /// `dup to`: a copy leaves through `dev`.
    fn dup(&mut self, skb: &mut SkBuff, dev: IfIndex) {
        let _ = (skb, dev);
    }

    /// `dup to ADDRESS`: a copy is sent to `to`, through `dev` if one is named.
    fn dup_to(&mut self, skb: &mut SkBuff, state: &HookState, to: IpAddr, dev: Option<IfIndex>) {
        let _ = (skb, state, to, dev);
    }

    /// `fib`: the route to `address`. For [`FibResult::Exists`] 0 or 1, for `Oif` the index, for `OifName` the name, for `Type` the
    /// number of the type (`RTN_*`).
    fn fib(
        &mut self,
        skb: &SkBuff,
        state: &HookState,
        address: IpAddr,
        flags: FibFlags,
        result: FibResult,
    ) -> Option<u128> {
        let _ = (skb, state, address, flags, result);
        None
    }

    /// `rt KEY`. `None`: the packet has no route yet, or one of the other family.
    fn rt(&mut self, skb: &SkBuff, state: &HookState, key: RtKey) -> Option<u128> {
        let _ = (skb, state, key);
        None
    }

    /// Name of a device.
    fn device_name(&self, dev: IfIndex) -> Option<&str> {
        let _ = dev;
        None
    }

    /// `ARPHRD_*` of a device: Ethernet (1), or loopback (772) for `lo`.
    fn device_type(&self, dev: IfIndex) -> u16 {
        if dev == IfIndex::LO { 772 } else { 1 }
    }

    /// `ip link set group`: 0 is the default one.
    fn device_group(&self, dev: IfIndex) -> u32 {
        let _ = dev;
        0
    }

    /// What kind of virtual device it is (`ip link add type KIND`); `None` for real ones and lo.
    fn device_kind(&self, dev: IfIndex) -> Option<&str> {
        let _ = dev;
        None
    }

    /// Nanoseconds since 1970 at `now` (`ktime_get_real_ns()`), for `meta time`, `day` and `hour`: those of `now` itself unless the host knows
    /// better.
    fn realtime(&self, now: Ps) -> u64 {
        now / 1000
    }

    /// The next random number.
    fn random(&mut self) -> u32 {
        0
    }

    /// User and group of the socket that sends the packet.
    fn socket_owner(&self, skb: &SkBuff) -> Option<(u32, u32)> {
        let _ = skb;
        None
    }

    /// Whether somebody wants [`trace`](Self::trace) to be called: then packets with `nf_trace` set are reported.
    fn tracing(&self) -> bool {
        false
    }

    /// A packet with `nf_trace` came to a base chain, matched a rule or met a policy.
    fn trace(&mut self, skb: &SkBuff, event: &NftEvent<'_>) {
        let _ = (skb, event);
    }

    /// A packet met a `log` statement.
    fn log(&mut self, skb: &SkBuff, state: &HookState, log: &Log) {
        let _ = (skb, state, log);
    }
}

/// A host without anything: rules see the packet only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl NftHost for NoHost {}
