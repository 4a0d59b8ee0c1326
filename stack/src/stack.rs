//! [`Stack`]: one host's network stack, and its configuration.

use crate::addr::{IpCidr, solicited_node};
use crate::af_packet::PacketSockets;
use crate::devconf::{DevConf, Ipv4Conf, Ipv6Conf};
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::fib::Fib;
use crate::gro::Gro;
use crate::hook::{Callee, Families, Hook, HookFn, HookId, HookOps, Hooks};
use crate::icmp_limit::IcmpLimiter;
use crate::inetaddr::IfAddr;
use crate::loopback::Loopback;
use crate::neigh::{NeighConf, Neighbours};
use crate::netdev::{DeviceKind, NetDevice, NetDeviceOps};
use crate::netfilter::conntrack::Conntrack;
use crate::netfilter::nft::{Nft, NftHooks};
use crate::page_pool::PagePool;
use crate::pmtu::PathMtu;
use crate::raw::RawSockets;
use crate::reassembly::FragQueues;
use crate::redirect::Redirects;
use crate::sched::tc::TcState;
use crate::sched::{Mirrored, TxQueue};
use crate::skb::{IfIndex, NET_SKB_PAD, PacketId, PktType, SkBuff};
use crate::socket::Sockets;
use crate::stats::{LinkStats, StackStats};
use crate::timer::{TimerKey, Timers};
use crate::trace::{Consume, Stage, Tracer};
use crate::xdp::XskSockets;
use crate::{Ps, SEC};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `net.ipv4.conf.all.rp_filter`: is the way back to a packet's source looked at (RFC 3704)?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpFilter {
    /// No.
    #[default]
    Off,
    /// It must be the device that received the packet.
    Strict,
    /// There must be one, through whatever device.
    Loose,
}

/// The sysctls of a stack; the defaults are Linux's.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// `net.ipv4.ip_forward`.
    pub ip_forward: bool,
    /// `net.ipv6.conf.all.forwarding`.
    pub ipv6_forward: bool,
    /// Whether IPv6 exists at all; without it no link-local addresses are made and IPv6 frames are `UNHANDLED_PROTO`.
    pub ipv6: bool,
    /// `net.ipv4.conf.all.rp_filter`.
    pub rp_filter: RpFilter,
    /// `net.ipv4.ip_default_ttl` and `net.ipv6.conf.all.hop_limit`.
    pub default_ttl: u8,
    /// `net.ipv4.icmp_echo_ignore_all`: echo requests are not answered.
    pub icmp_echo_ignore_all: bool,
    /// `net.ipv4.icmp_echo_ignore_broadcasts`.
    pub icmp_echo_ignore_broadcasts: bool,
    /// `net.ipv4.icmp_errors_use_inbound_ifaddr`: errors about packets for others come from an address of the device that received them.
    pub icmp_errors_use_inbound_ifaddr: bool,
    /// `net.ipv4.ip_no_pmtu_disc`: 0: packets forbid fragmenting, and routers are believed that they are too long. Else they do not; after such a
    /// message the path has the least MTU, with 2 it is ignored, with 3 it is believed if it quotes TCP.
    pub ip_no_pmtu_disc: u8,
    /// `net.ipv4.icmp_ratelimit`, `net.ipv6.icmp.ratelimit`: time between two errors to one destination, after a burst of 6; 0 = no limit.
    pub icmp_ratelimit: Ps,
    /// `net.ipv4.icmp_msgs_per_sec`: errors per second to all destinations together, with a burst of 50 (`icmp_msgs_burst`); `None` = no
    /// limit, which Linux does not have.
    pub icmp_msgs_per_sec: Option<u32>,
    /// `net.ipv4.fib_multipath_hash_policy`: a flow is what has the same addresses (0), or the same ports and protocol too (1), or as 0 by the
    /// packet inside of a tunnel's (2), or what `fib_multipath_hash_fields` says (3).
    pub fib_multipath_hash_policy: u8,
    /// `net.ipv6.fib_multipath_hash_policy`.
    pub fib_multipath_hash_policy_v6: u8,
    /// `net.ipv4.fib_multipath_hash_fields`: bits 0 source, 1 destination, 2 protocol, 3 flow label, 4 source port, 5 destination port; 6 to 11 the
    /// same of the packet inside.
    pub fib_multipath_hash_fields: u16,
    /// `net.ipv6.fib_multipath_hash_fields`.
    pub fib_multipath_hash_fields_v6: u16,
    /// `net.ipv4.fib_multipath_hash_seed`, for both families; 0: drawn from [`seed`](Self::seed), as Linux draws one.
    pub fib_multipath_hash_seed: u32,
    /// `net.ipv4.fib_multipath_use_neigh`: ways whose gateway is known not to answer are not taken.
    pub fib_multipath_use_neigh: bool,
    /// `net.ipv4.fwmark_reflect`: echo replies, ICMP errors and resets that belong to no socket have the mark of the packet that they answer.
    pub fwmark_reflect: bool,
    /// `net.ipv6.fwmark_reflect`.
    pub fwmark_reflect_v6: bool,
    /// `net.ipv4.tcp_syn_linear_timeouts`: so many SYNs more are sent, a second apart, before the time between them doubles.
    pub tcp_syn_linear_timeouts: u8,
    /// `net.ipv4.tcp_reflect_tos`: who accepts a connection answers with its SYN's type of service or traffic class.
    pub tcp_reflect_tos: bool,
    /// `net.ipv4.tcp_fwmark_accept`: a connection that comes in has the mark of its SYN, in both families.
    pub tcp_fwmark_accept: bool,
    /// `net.ipv4.ip_forward_use_pmtu`: what routers said about a path holds for packets that are sent on, too.
    pub ip_forward_use_pmtu: bool,
    /// `net.ipv4.ip_forward_update_priority`: packets that are sent on get their priority from their TOS.
    pub ip_forward_update_priority: bool,
    /// `net.ipv4.ip_nonlocal_bind`: sockets may be bound to addresses that are not this host's.
    pub ip_nonlocal_bind: bool,
    /// `net.ipv6.ip_nonlocal_bind`.
    pub ip_nonlocal_bind_v6: bool,
    /// `net.ipv4.ip_local_port_range`: first and last port for sockets that ask for none.
    pub ip_local_port_range: (u16, u16),
    /// `net.ipv4.ip_local_reserved_ports`: first and last of ranges that are left out there.
    pub ip_local_reserved_ports: Vec<(u16, u16)>,
    /// `net.ipv4.tcp_sack`: it is offered and accepted.
    pub tcp_sack: bool,
    /// `net.ipv4.tcp_timestamps`: they are offered and accepted (RFC 7323).
    pub tcp_timestamps: bool,
    /// `net.ipv4.tcp_window_scaling`: it is offered and accepted.
    pub tcp_window_scaling: bool,
    /// `net.ipv4.tcp_abort_on_overflow`: who finds the accept queue full is told so by a reset.
    pub tcp_abort_on_overflow: bool,
    /// `net.ipv4.tcp_syn_retries`: times that a SYN goes out again.
    pub tcp_syn_retries: u8,
    /// `net.ipv4.tcp_synack_retries`: times that a SYN-ACK goes out again.
    pub tcp_synack_retries: u8,
    /// `net.ipv4.tcp_retries2`: times that data goes out again.
    pub tcp_retries2: u8,
    /// `net.ipv4.tcp_fin_timeout`: how long an orphan waits for the other end's FIN.
    pub tcp_fin_timeout: Ps,
    /// `net.ipv6.icmp.echo_ignore_all`.
    pub icmpv6_echo_ignore_all: bool,
    /// `net.ipv6.icmp.echo_ignore_multicast`.
    pub icmpv6_echo_ignore_multicast: bool,
    /// `net.core.netdev_budget`: packets per run of the receive softirq.
    pub netdev_budget: usize,
    /// `net.core.rmem_default`: receive buffer of a new socket, in bytes of buffer memory (not payload).
    pub rmem_default: usize,
    /// `net.ipv4.ipfrag_high_thresh`, `net.ipv6.ip6frag_high_thresh`, `net.netfilter.nf_conntrack_frag6_high_thresh` at the start: bytes of
    /// buffer memory for waiting fragments, for each of the three.
    pub frag_high_thresh: usize,
    /// `net.ipv4.ipfrag_time`: how long fragments wait for the others.
    pub ipfrag_time: Ps,
    /// `net.ipv6.ip6frag_time`.
    pub ip6frag_time: Ps,
    /// `net.ipv4.neigh.default.gc_thresh3`: entries in the neighbour table, both families together.
    pub neigh_max: usize,
    /// `net.ipv4.neigh.default.gc_thresh1`: with fewer entries, none is forgotten because it is old.
    pub neigh_gc_thresh1: usize,
    /// Start of everything that Linux draws at random: IP identification, ephemeral ports.
    pub seed: u64,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            ip_forward: false,
            ipv6_forward: false,
            ipv6: true,
            rp_filter: RpFilter::Off,
            default_ttl: 64,
            icmp_echo_ignore_all: false,
            icmp_echo_ignore_broadcasts: true,
            icmp_errors_use_inbound_ifaddr: false,
            ip_no_pmtu_disc: 0,
            icmp_ratelimit: SEC,
            icmp_msgs_per_sec: Some(1000),
            fib_multipath_hash_policy: 0,
            fib_multipath_hash_policy_v6: 0,
            fib_multipath_hash_fields: 7,
            fib_multipath_hash_fields_v6: 7,
            fib_multipath_hash_seed: 0,
            fib_multipath_use_neigh: false,
            fwmark_reflect: false,
            fwmark_reflect_v6: false,
            tcp_syn_linear_timeouts: 4,
            tcp_reflect_tos: false,
            tcp_fwmark_accept: false,
            ip_forward_use_pmtu: false,
            ip_forward_update_priority: true,
            ip_nonlocal_bind: false,
            ip_nonlocal_bind_v6: false,
            ip_local_port_range: (32768, 60999),
            ip_local_reserved_ports: Vec::new(),
            tcp_sack: true,
            tcp_timestamps: true,
            tcp_window_scaling: true,
            tcp_abort_on_overflow: false,
            tcp_syn_retries: 6,
            tcp_synack_retries: 5,
            tcp_retries2: 15,
            tcp_fin_timeout: 60 * SEC,
            icmpv6_echo_ignore_all: false,
            icmpv6_echo_ignore_multicast: false,
            netdev_budget: 300,
            rmem_default: 212_992,
            frag_high_thresh: 4 << 20,
            ipfrag_time: 30 * SEC,
            ip6frag_time: 60 * SEC,
            neigh_max: 1024,
            neigh_gc_thresh1: 128,
            seed: 1,
        }
    }
}

/// One host's network stack: devices, addresses, routes, neighbours, hooks, sockets.
///
/// It does nothing on its own. The host calls [`net_rx_action`](Self::net_rx_action) after an interrupt and
/// [`run_timers`](Self::run_timers) when [`next_timer`](Self::next_timer) is due, always with the current simulated time, which must
/// not go backwards.
pub struct Stack {
    pub(crate) config: StackConfig,
    /// Settings without an effect that were changed, by name.
    pub(crate) kept_sysctls: std::collections::BTreeMap<String, i64>,
    pub(crate) now: Ps,
    pub(crate) devices: Vec<NetDevice>,
    pub(crate) addrs: Vec<IfAddr>,
    pub(crate) ipv4_conf: DevConf<Ipv4Conf>,
    pub(crate) ipv6_conf: DevConf<Ipv6Conf>,
    pub(crate) fib: Fib,
    pub(crate) hooks: Hooks,
    pub(crate) conntrack: Conntrack,
    pub(crate) sockets: Sockets,
    pub(crate) raw: RawSockets,
    pub(crate) packet: PacketSockets,
    pub(crate) tcp: crate::tcp::TcpTable,
    pub(crate) ping: crate::ping::PingTable,
    pub(crate) timers: Timers,
    pub(crate) neighbours: Neighbours,
    pub(crate) neigh_conf: NeighConf,
    /// The timer of [`TimerKey::NeighGc`] runs.
    pub(crate) neigh_gc_runs: bool,
    pub(crate) frags: FragQueues,
    pub(crate) pmtu: PathMtu,
    pub(crate) redirects: Redirects,
    pub(crate) icmp_limiter: IcmpLimiter,
    /// An ICMP or ICMPv6 message is on its way out: about that none is sent (`icmp_xmit_lock()`, `icmpv6_xmit_lock()`).
    pub(crate) icmp_xmit_locked: bool,
    /// Why a packet that OUTPUT changed has no way (`NF_DROP_ERR()`), until its sender asks.
    pub(crate) output_error: Option<StackError>,
    /// Last IPv4 identification used.
    pub(crate) ip_id: u16,
    pub(crate) stats: StackStats,
    pub(crate) poll_list: VecDeque<(IfIndex, u16)>,
    pub(crate) rx_list: Vec<SkBuff>,
    /// Packets of this host that come back to it (`softnet_data.input_pkt_queue`); those through `lo` wait in its driver.
    pub(crate) backlog: VecDeque<SkBuff>,
    pub(crate) xsk: XskSockets,
    /// Receive offload of the poll that is going on; empty between polls.
    pub(crate) gro: Gro,
    /// Packets on their way from the queue to a driver; empty between calls.
    pub(crate) xmit_list: VecDeque<SkBuff>,
    /// The nftables ruleset; `None` while it runs.
    pub(crate) nft: Option<Box<Nft>>,
    pub(crate) nft_hooks: NftHooks,
    pub(crate) tracer: Option<Box<dyn Tracer>>,
    /// Nanoseconds since 1970 when [`Stack::now`] was 0.
    pub(crate) realtime_at_start: u64,
    /// What `tc` keeps besides the devices.
    pub(crate) tc: TcState,
    /// Packets and copies that tc actions send elsewhere, until the classifier is done.
    pub(crate) mirrored: Vec<Mirrored>,
    /// Copies that rules made for other hosts (`dup to`), until the chain is through: for whom, and through which device.
    pub(crate) duplicates: Vec<(SkBuff, IpAddr, IfIndex)>,
    /// Such a copy is on its way out.
    pub(crate) duplicating: bool,
    /// Redirections within redirections.
    pub(crate) mirred_depth: u32,
    last_packet: u64,
    rng: u64,
}

impl Stack {
    /// A host with nothing but `lo` (127.0.0.1/8, ::1/128).
    pub fn new(config: StackConfig) -> Self {
        let mut stack = Self {
            kept_sysctls: std::collections::BTreeMap::new(),
            now: 0,
            devices: Vec::new(),
            addrs: Vec::new(),
            ipv4_conf: DevConf::default(),
            ipv6_conf: DevConf::default(),
            fib: Fib::default(),
            hooks: Hooks::default(),
            conntrack: Conntrack::new(config.seed),
            sockets: Sockets::default(),
            raw: RawSockets::default(),
            packet: PacketSockets::default(),
            tcp: crate::tcp::TcpTable::default(),
            ping: crate::ping::PingTable::default(),
            timers: Timers::default(),
            neighbours: Neighbours::new(config.seed.rotate_left(17) ^ 0x8ebc_6af0_9c88_c6e3),
            neigh_conf: NeighConf::default(),
            neigh_gc_runs: false,
            frags: FragQueues::new(config.frag_high_thresh),
            pmtu: PathMtu::default(),
            redirects: Redirects::default(),
            icmp_limiter: IcmpLimiter::default(),
            icmp_xmit_locked: false,
            output_error: None,
            ip_id: 0,
            stats: StackStats::default(),
            poll_list: VecDeque::new(),
            rx_list: Vec::new(),
            backlog: VecDeque::new(),
            xsk: XskSockets::default(),
            gro: Gro::default(),
            xmit_list: VecDeque::new(),
            nft: None,
            nft_hooks: NftHooks::default(),
            tc: TcState::default(),
            mirrored: Vec::new(),
            duplicates: Vec::new(),
            duplicating: false,
            mirred_depth: 0,
            tracer: None,
            realtime_at_start: 0,
            last_packet: 0,
            // splitmix64's increment: any seed, 0 too, gives a usable state.
            rng: config.seed.wrapping_add(0x9e37_79b9_7f4a_7c15),
            config,
        };
        stack.init_devconf();
        stack.register_device("lo", DeviceKind::Driver, Box::new(Loopback::new()));
        let mut loopback = vec![(IpAddr::V4(Ipv4Addr::LOCALHOST), 8)];
        if stack.config.ipv6 {
            loopback.push((IpAddr::V6(Ipv6Addr::LOCALHOST), 128));
        }
        for (address, len) in loopback {
            if let Ok(cidr) = IpCidr::new(address, len) {
                stack.install_ifa(IfAddr::new(IfIndex::LO, cidr));
            }
        }
        stack
    }

    /// Adds a device and brings it up. With IPv6 it gets its link-local address (EUI-64 of the MAC address), at once unless
    /// `net.ipv6.conf.default.accept_dad` was set: then it is tentative first. Routers are not solicited.
    pub fn add_device(&mut self, name: &str, ops: Box<dyn NetDeviceOps>) -> IfIndex {
        let index = self.register_device(name, DeviceKind::Driver, ops);
        self.addrconf_up(index);
        self.nft_update_hooks();
        index
    }

    /// `register_netdevice()`: the device, with the default settings.
    pub(crate) fn register_device(
        &mut self,
        name: &str,
        kind: DeviceKind,
        ops: Box<dyn NetDeviceOps>,
    ) -> IfIndex {
        let index = IfIndex(self.devices.len() as u32 + 1);
        let hash_seed = self.config.seed.rotate_left(32) ^ 0x5bd1_e995_9d1b_a1f7;
        let queue = TxQueue::noqueue(hash_seed);
        self.devices
            .push(NetDevice::new(name.to_owned(), index, kind, ops, queue));
        self.ipv4_conf.add_device();
        self.ipv6_conf.add_device();
        self.neigh_conf.add_device();
        self.fib.v4.rules.attach(name, index);
        self.fib.v6.rules.attach(name, index);
        self.attach_default_qdisc(index);
        index
    }

    /// Registers `function` at `hook`. Lower priorities run first; among equals the one registered last. `name` is for lists and
    /// traces.
    pub fn nf_register_hook(
        &mut self,
        hook: Hook,
        priority: i32,
        name: &str,
        function: HookFn,
    ) -> HookId {
        self.hooks.register(HookOps {
            hook,
            priority,
            families: Families::ALL,
            dev: None,
            name,
            callee: Callee::Function(function),
        })
    }

    /// Takes a hook function out; `false` when it was out already.
    pub fn nf_unregister_hook(&mut self, id: HookId) -> bool {
        self.hooks.unregister(id)
    }

    /// The functions at `hook` with their priorities, in the order in which they run.
    pub fn nf_hooks(&self, hook: Hook) -> impl Iterator<Item = (i32, &str)> {
        self.hooks.list(hook)
    }

    /// Sets the clock on the wall, which nftables' `meta time`, `day` and `hour` (UTC) ask for: nanoseconds since 1970 at simulated time 0. Until
    /// then that is 1970 itself.
    pub fn set_realtime(&mut self, at_start: u64) {
        self.realtime_at_start = at_start;
    }

    /// Sets who sees the stages of all packets; it replaces the one before.
    pub fn set_tracer(&mut self, tracer: Box<dyn Tracer>) {
        self.tracer = Some(tracer);
    }

    /// All counters.
    pub fn stats(&self) -> StackStats {
        let mut stats = self.stats.clone();
        let queued: usize = self.devices.iter().map(|d| d.qdisc.len()).sum();
        stats.held = (queued
            + self.backlog.len()
            + self.sockets.held()
            + self.raw.held()
            + self.packet.held()
            + self.xsk.held()
            + self.neighbours.held()
            + self.frags.held()) as u64;
        stats
    }

    /// Packets dropped for `reason`.
    pub fn drop_count(&self, reason: DropReason) -> u64 {
        self.stats.drop_count(reason)
    }

    /// `ip -s link show dev IFINDEX`.
    pub fn link_stats(&self, ifindex: IfIndex) -> Option<LinkStats> {
        Some(self.device(ifindex)?.stats)
    }

    /// The device's name.
    pub fn device_name(&self, ifindex: IfIndex) -> Option<&str> {
        Some(&self.device(ifindex)?.name)
    }

    /// The addresses of a device, in the order in which they were added.
    pub fn device_addrs(&self, ifindex: IfIndex) -> impl Iterator<Item = IpCidr> + '_ {
        self.addrs
            .iter()
            .filter(move |a| a.dev == ifindex)
            .map(|a| a.cidr)
    }

    /// When [`run_timers`](Self::run_timers) is to be called; `None`: nothing is due.
    pub fn next_timer(&self) -> Option<Ps> {
        self.timers.next()
    }

    /// Does everything that is due at `now`: repeated solicitations, neighbour states, fragments that waited too long, queues
    /// that wait for a buffer. [`softirq_pending`](Self::softirq_pending) says whether [`net_rx_action`](Self::net_rx_action) must follow.
    pub fn run_timers(&mut self, now: Ps) {
        self.now = self.now.max(now);
        while let Some(key) = self.timers.take_due(self.now) {
            match key {
                TimerKey::Neighbour(dev, address) => self.neigh_timer(dev, address),
                TimerKey::Dad(dev, address) => self.dad_timer(dev, address),
                TimerKey::Address(dev, cidr) => self.address_timer(dev, cidr),
                TimerKey::NeighGc => self.neigh_gc(),
                TimerKey::Fragments(key) => self.frag_expire(key),
                TimerKey::TxRetry(dev) => self.tx_retry_timer(dev),
                TimerKey::Qdisc(dev) => self.qdisc_watchdog(dev),
                TimerKey::Conntrack => self.nf_ct_gc(),
                TimerKey::Tcp(id, timer) => self.tcp_timer(id, timer),
                TimerKey::TcpRequest(id, local, remote) => {
                    self.tcp_request_timer(id, (local, remote));
                }
            }
        }
        self.flush_devices();
    }

    pub(crate) fn device(&self, index: IfIndex) -> Option<&NetDevice> {
        let device = self.devices.get((index.0 as usize).checked_sub(1)?);
        device.filter(|device| device.kind != DeviceKind::Gone)
    }

    pub(crate) fn device_mut(&mut self, index: IfIndex) -> Option<&mut NetDevice> {
        let device = self.devices.get_mut((index.0 as usize).checked_sub(1)?);
        device.filter(|device| device.kind != DeviceKind::Gone)
    }

    pub(crate) fn mtu(&self, index: IfIndex) -> usize {
        self.device(index).map_or(0, |d| {
            usize::from(d.mtu.map_or(d.ops.mtu(), |mtu| mtu.min(d.ops.max_mtu())))
        })
    }

    /// Whether IPv6 group `group` was joined on `dev`: all nodes, and the solicited-node groups of its addresses (RFC 4291 2.8).
    pub(crate) fn is_member_v6(&self, dev: IfIndex, group: Ipv6Addr) -> bool {
        const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let router = self.ipv6_conf.dev(dev).forwarding != 0;
        let of_network = |a: &IfAddr| match a.network().network().address() {
            // Those of the addresses that all routers have; whether the network is large enough for that is no harm here.
            IpAddr::V6(all_routers) => router && solicited_node(all_routers) == group,
            IpAddr::V4(_) => false,
        };
        group == ALL_NODES
            || self.addrs.iter().any(|a| match a.cidr.address() {
                IpAddr::V6(own) => a.dev == dev && (solicited_node(own) == group || of_network(a)),
                IpAddr::V4(_) => false,
            })
    }

    /// Next number of the seeded generator (splitmix64).
    pub(crate) fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.rng;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[inline]
    pub(crate) fn trace(&mut self, skb: &SkBuff, stage: Stage) {
        if let Some(tracer) = &mut self.tracer {
            tracer.event(skb, stage);
        }
    }

    pub(crate) fn new_packet_id(&mut self) -> PacketId {
        self.last_packet += 1;
        PacketId(self.last_packet)
    }

    /// The packet ends badly.
    pub(crate) fn kfree_skb(&mut self, skb: SkBuff, reason: DropReason) {
        self.stats.count_drop(reason);
        self.trace(&skb, Stage::Drop(reason));
        self.conntrack.put(skb.nfct);
    }

    /// The packet ends well.
    pub(crate) fn consume_skb(&mut self, skb: SkBuff, how: Consume) {
        self.stats.consumed += 1;
        self.trace(&skb, Stage::Consume(how));
        self.conntrack.put(skb.nfct);
    }

    /// A new, empty packet of this host, to leave through `dev`: in a page of the device's pool when it fits there, on the heap
    /// otherwise; `None` without such a device. `reserve`: bytes of network headers to be pushed; `len`: bytes to be put. Headroom for the link-layer and virtio
    /// headers is kept besides.
    pub(crate) fn alloc_skb(&mut self, dev: IfIndex, reserve: usize, len: usize) -> Option<SkBuff> {
        let headroom = NET_SKB_PAD + crate::xmit::ETH_HLEN + reserve;
        let pool: Option<&PagePool> = self.device(dev).map(|d| &d.pool);
        let skb = match pool {
            // With every page in flight the packet is made on the heap and waits in front of the driver for a page.
            Some(pool) => SkBuff::alloc(pool, headroom, len)
                .unwrap_or_else(|| SkBuff::alloc_heap(headroom, len)),
            None => return None,
        };
        Some(self.adopt(skb, dev))
    }

    /// Numbers and counts a packet that this host just made.
    pub(crate) fn adopt(&mut self, mut skb: SkBuff, dev: IfIndex) -> SkBuff {
        skb.id = self.new_packet_id();
        skb.dev = dev;
        skb.tstamp = self.now;
        skb.pkt_type = PktType::Host;
        self.stats.built += 1;
        skb
    }
}
