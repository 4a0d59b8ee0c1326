//! The ruleset of a [`Stack`]: `Stack::nft`, its base chains on the hooks, and what its rules ask of the host.

use super::expr::{CtDir, CtKey, Expr, FibFlags, FibResult, RtKey};
use super::model::{ChainType, TableFamily};
use super::stmt::{Log, NatKind, RejectKind, Stmt};
use super::{
    HelperSpec, Nft, NftBaseChain, NftChainId, NftCtx, NftError, NftEvent, NftHost, NftNat,
    NftVerdict, normal,
};
use crate::checksum;
use crate::fib::{FlowKey as FibKey, LookupError, Route, RouteType};
use crate::hook::{Callee, Families, Family, Hook, HookId, HookOps, HookState, Verdict};
use crate::ipv4::{INET_DSCP_MASK, IPV4_HLEN, OutputFlow};
use crate::ipv6::header::Ipv6Header;
use crate::ipv6::{IPV6_HLEN, OutputFlow6, find_upper};
use crate::netfilter::Reject;
use crate::netfilter::conntrack::{
    ConnCount, CtInfo, CtZone, Dir, L4, NfCt, Tuple, ZoneDir, addresses,
};
use crate::netfilter::hook::Builtin;
use crate::netfilter::nat::{NatRange, NatRequest};
use crate::netfilter::reroute::FlowKey;
use crate::sched::Mirrored;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::tcp::header::TCP_HLEN;
use crate::{MS, Ps};
use std::net::{IpAddr, Ipv4Addr};

/// What of the ruleset is on the hooks.
#[derive(Default)]
pub(crate) struct NftHooks {
    chains: Vec<Registered>,
    /// Connection tracking is on because rules ask for it: IPv4, IPv6.
    conntrack: [bool; 2],
}

struct Registered {
    id: NftChainId,
    nat: bool,
    hooks: Vec<HookId>,
    /// One of its devices is not there yet.
    incomplete: bool,
}

impl Nft {
    /// Families whose packets must be tracked: `ct` was said (`nft_ct_get_init()`). Nat chains say so themselves.
    fn needs_conntrack(&self) -> [bool; 2] {
        let mut needs = [false; 2];
        for (_, chain) in self.rules.chains.iter() {
            for stmt in chain.rules.iter().flat_map(|r| &r.stmts) {
                let mut asks = matches!(stmt, Stmt::Nat(_) | Stmt::CtCount { .. });
                if let Stmt::Object(kind, _) | Stmt::ObjectMap(kind, ..) = stmt {
                    asks |= kind.is_ct();
                }
                if let Stmt::SetUpdate { stmts, .. } = stmt {
                    asks |= stmts.iter().any(|s| matches!(s, Stmt::CtCount { .. }));
                }
                normal::exprs(stmt, &mut |e| asks |= matches!(e, Expr::Ct(..)));
                // nft_nat_init(): in a table for both, an address says for which one.
                let version = match stmt {
                    Stmt::Nat(nat) if matches!(nat.kind, NatKind::Snat | NatKind::Dnat) => {
                        nat.version
                    }
                    _ => None,
                };
                needs[0] |= asks && chain.table.family != TableFamily::Ip6 && version != Some(6);
                needs[1] |= asks && chain.table.family != TableFamily::Ip && version != Some(4);
            }
        }
        needs
    }
}

impl Stack {
    /// `nft`: does what `text` says, which is the content of a ruleset file, or one command as it is typed after the word `nft` (quotes that are
    /// for a shell taken off). Either all of it takes effect or nothing. Returns what `list` commands print.
    pub fn nft(&mut self, text: &str) -> Result<String, NftError> {
        self.nft_with(|nft, now| nft.apply(text, now))
    }

    /// `nft -j -f`: the same of a libnftables JSON text, e.g. what `nft -j list ruleset` printed elsewhere.
    pub fn nft_json(&mut self, json: &str) -> Result<String, NftError> {
        self.nft_with(|nft, now| nft.apply_json(json, now))
    }

    fn nft_with(
        &mut self,
        run: impl FnOnce(&mut Nft, Ps) -> Result<String, NftError>,
    ) -> Result<String, NftError> {
        let names = self.devices.iter().map(|d| d.name.clone()).collect();
        let mut nft = match self.nft.take() {
            Some(nft) => nft,
            None => Box::new(Nft::new(self.random())),
        };
        nft.set_devices(names);
        let result = run(&mut nft, self.now);
        self.nft = Some(nft);
        self.nft_update_hooks();
        result
    }

    /// `NETDEV_CHANGENAME`: chains of devices are at those that have their names now.
    pub(crate) fn nft_rename_device(&mut self) {
        let names = self.devices.iter().map(|d| d.name.clone()).collect();
        let Some(nft) = &mut self.nft else { return };
        nft.set_devices(names);
        let chains = nft.base_chains();
        let of_devices = |id| {
            let mut of = chains.iter().filter(|c| c.id == id);
            of.any(|c| !c.base.devices.is_empty())
        };
        for chain in &mut self.nft_hooks.chains {
            chain.incomplete |= of_devices(chain.id);
        }
        self.nft_update_hooks();
    }

    /// Puts new base chains on the hooks and takes those off that are gone; called again when a device was added.
    pub(crate) fn nft_update_hooks(&mut self) {
        let Some(nft) = &self.nft else { return };
        let chains = nft.base_chains();
        let needs = nft.needs_conntrack();
        let stays = |r: &Registered| !r.incomplete && chains.iter().any(|c| c.id == r.id);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.nft_hooks.chains)
            .into_iter()
            .partition(stays);
        self.nft_hooks.chains = kept;
        for old in gone {
            for id in old.hooks {
                if old.nat {
                    self.nf_nat_unregister(id);
                } else {
                    self.nf_unregister_hook(id);
                }
            }
        }
        for chain in chains {
            if !self.nft_hooks.chains.iter().any(|r| r.id == chain.id) {
                self.nft_register(&chain);
            }
        }
        // After the chains: a chain exists before its rules, so at equal priority tracking comes first.
        for (i, family) in [Family::Ipv4, Family::Ipv6].into_iter().enumerate() {
            let has = std::mem::replace(&mut self.nft_hooks.conntrack[i], needs[i]);
            match (has, needs[i]) {
                (false, true) => self.nf_ct_netns_get(family),
                (true, false) => self.nf_ct_netns_put(family),
                _ => {}
            }
        }
    }

    /// `nf_tables_register_hook()`
    fn nft_register(&mut self, chain: &NftBaseChain) {
        let name = format!("{} {} {}", chain.family.name(), chain.table, chain.name);
        let families = match chain.family {
            TableFamily::Ip => Families::only(Family::Ipv4),
            TableFamily::Ip6 => Families::only(Family::Ipv6),
            TableFamily::Inet | TableFamily::Netdev => Families::ALL,
        };
        let base = &chain.base;
        let nat = base.kind == ChainType::Nat;
        let ops = |dev| HookOps {
            hook: base.hook,
            priority: base.priority,
            families,
            dev,
            name: &name,
            callee: Callee::Builtin(Builtin::Nft(chain.id)),
        };
        let mut hooks = Vec::new();
        let mut incomplete = false;
        if nat {
            hooks.extend(self.nf_nat_register_fn(ops(None)));
        } else if base.devices.is_empty() {
            hooks.push(self.hooks.register(ops(None)));
        } else {
            // A device that is not there yet is waited for.
            for device in &base.devices {
                match self.devices.iter().find(|d| d.name == *device) {
                    Some(device) => hooks.push(self.hooks.register(ops(Some(device.index)))),
                    None => incomplete = true,
                }
            }
        }
        self.nft_hooks.chains.push(Registered {
            id: chain.id,
            nat,
            hooks,
            incomplete,
        });
    }

    /// `nft_do_chain_inet()` and the like: a base chain as a hook function. `None`: the packet left through another device.
    pub(in crate::netfilter) fn nft_do_chain(
        &mut self,
        chain: NftChainId,
        skb: &mut SkBuff,
        state: &HookState,
    ) -> Option<Verdict> {
        let Some(mut nft) = self.nft.take() else {
            return Some(Verdict::Accept);
        };
        let copies = self.mirrored.len();
        let route = state.hook == Hook::LocalOut && nft.is_route_chain(chain);
        let before = route.then(|| FlowKey::of(skb, state.family));
        let verdict = nft.do_chain(
            chain,
            &mut NftCtx {
                skb,
                state,
                host: self,
            },
        );
        self.nft = Some(nft);
        self.tcf_mirred_forward(copies);
        self.nf_dup_output();
        Some(match verdict {
            NftVerdict::Forward(dev) => {
                self.mirrored.push(Mirrored {
                    skb: std::mem::take(skb),
                    dev,
                    ingress: false,
                    copy: false,
                });
                self.tcf_mirred_forward(copies);
                return None;
            }
            NftVerdict::Accept => match before {
                // nf_route_table_hook4()
                Some(before) => self.nf_reroute(skb, state, before),
                None => Verdict::Accept,
            },
            NftVerdict::Drop => Verdict::Drop,
            NftVerdict::Stolen => Verdict::Stolen,
            NftVerdict::Reject(kind) => {
                let v6 = state.family == Family::Ipv6
                    || (state.family == Family::Netdev && skb.protocol == 0x86dd);
                let family = if v6 { Family::Ipv6 } else { Family::Ipv4 };
                Verdict::Reject(match kind {
                    RejectKind::TcpReset => Reject::TcpReset,
                    RejectKind::Icmp(code) | RejectKind::Icmpv6(code) => Reject::Unreach(code),
                    RejectKind::Icmpx(code) => Reject::icmpx(code, family),
                })
            }
        })
    }

    /// `nft_fib4_eval()`, `nft_fib6_eval()`: the way to one of the packet's addresses, by the rules, as if it was sent back. `dev`: the
    /// device that the rule names.
    fn nft_fib_lookup(
        &self,
        skb: &SkBuff,
        address: IpAddr,
        dev: Option<IfIndex>,
        (iif, mark): (IfIndex, u32),
    ) -> Result<Route, LookupError> {
        let packet = skb.network_bytes();
        // At a device the hook has no family, but the address has one.
        let family = match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        };
        let other = match addresses(packet, family) {
            Some((src, dst)) if src == address => dst,
            Some((src, _)) => src,
            None => address,
        };
        let nobody = |a: Ipv4Addr| a.is_multicast() || a.is_broadcast() || a.is_unspecified();
        // nft_pktinfo.tprot; rules that ask for ports find none.
        let protocol = match family {
            Family::Ipv4 => packet.get(9).copied(),
            _ => find_upper(packet).map(|upper| upper.protocol),
        };
        let protocol = protocol.unwrap_or(0);
        match (address, other) {
            (IpAddr::V4(to), IpAddr::V4(from)) => {
                let flow = FibKey {
                    dst: to.to_bits(),
                    // get_saddr()
                    src: if nobody(from) { 0 } else { from.to_bits() },
                    iif,
                    mark,
                    tos: packet.get(1).map_or(0, |tos| tos & !3),
                    protocol,
                    ..FibKey::default()
                };
                Ok(Route::of(&self.fib.v4, &self.fib.v4.lookup(&flow)?))
            }
            (IpAddr::V6(to), IpAddr::V6(from)) => {
                let flow = FibKey {
                    dst: to.to_bits(),
                    src: from.to_bits(),
                    iif,
                    oif: match to.is_unicast_link_local() {
                        true => dev.unwrap_or(skb.dev),
                        false => IfIndex::NONE,
                    },
                    mark,
                    tos: Ipv6Header::new(packet).map_or(0, |h| h.traffic_class() & INET_DSCP_MASK),
                    protocol,
                    ..FibKey::default()
                };
                let mut found = self.fib.v6.lookup(&flow)?;
                // Of several ways the one of the packet; IPv4 leaves it open, see fib_info_nh_uses_dev().
                self.fib6_select_path(&mut found, &flow, |stack| {
                    Some(stack.rt6_multipath_hash(packet))
                });
                Ok(Route::of(&self.fib.v6, &found))
            }
            _ => Err(LookupError::NetUnreachable),
        }
    }

    /// `inet_dev_addr_type()`, `nft_fib6_eval_type()`: an `RTN_*` number. IPv4's asks the table of own addresses, IPv6's the rules.
    fn nft_address_type(
        &self,
        skb: &SkBuff,
        address: IpAddr,
        (dev, mark): (Option<IfIndex>, u32),
    ) -> u128 {
        const UNICAST: u128 = 1;
        const LOCAL: u128 = 2;
        const BROADCAST: u128 = 3;
        const MULTICAST: u128 = 5;
        const BLACKHOLE: u128 = 6;
        const UNREACHABLE: u128 = 7;
        const PROHIBIT: u128 = 8;
        match address {
            IpAddr::V4(a) if a.is_broadcast() || a.is_unspecified() => return BROADCAST,
            a if a.is_multicast() => return MULTICAST,
            _ => {}
        }
        if address.is_ipv6() {
            match self.nft_fib_lookup(skb, address, dev, (IfIndex::LO, mark)) {
                Ok(_) => {}
                Err(LookupError::Invalid) => return BLACKHOLE,
                Err(LookupError::Prohibited) => return PROHIBIT,
                Err(LookupError::NetUnreachable | LookupError::HostUnreachable) => {
                    return UNREACHABLE;
                }
            }
        }
        let found = self.fib.lookup_local(address);
        match found.filter(|r| dev.is_none_or(|dev| r.oif == dev)) {
            Some(r) if r.kind == RouteType::Local => LOCAL,
            Some(r) if r.kind == RouteType::Broadcast => BROADCAST,
            _ => UNICAST,
        }
    }
}

/// Largest TCP segment where nothing better is known (`TCP_MSS_DEFAULT`).
const TCP_MSS_DEFAULT: usize = 536;

impl NftHost for Stack {
    /// `nf_dup_netdev_egress()`
    fn dup(&mut self, skb: &mut SkBuff, dev: IfIndex) {
        let copy = Mirrored {
            skb: skb.skb_clone(),
            dev,
            ingress: false,
            copy: true,
        };
        self.mirrored.push(copy);
    }

    /// `nf_dup_ipv4()`, `nf_dup_ipv6()`: the copy is made now, and sent when the chain is through.
    fn dup_to(&mut self, skb: &mut SkBuff, state: &HookState, to: IpAddr, dev: Option<IfIndex>) {
        // A copy is not copied (current->in_nf_duplicate).
        if self.duplicating {
            return;
        }
        let mut copy = skb.skb_copy();
        copy.parent = skb.id;
        copy.id = self.new_packet_id();
        // Not counted towards the connection.
        copy.nfct = Some(NfCt::UNTRACKED);
        self.stats.built += 1;
        // Two hosts that send copies to each other do not do so for ever.
        let came_in = matches!(state.hook, Hook::PreRouting | Hook::LocalIn);
        let packet = copy.data_mut();
        match to {
            IpAddr::V4(_) if packet.len() >= IPV4_HLEN => {
                packet[6] |= 0x40;
                packet[8] = packet[8].wrapping_sub(came_in.into());
                let header = usize::from(packet[0] & 0x0f) * 4;
                packet[10..12].fill(0);
                let sum = checksum::checksum(&packet[..header.min(packet.len())]);
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            IpAddr::V6(_) if packet.len() >= IPV6_HLEN => {
                packet[7] = packet[7].wrapping_sub(came_in.into());
            }
            _ => {}
        }
        self.duplicates
            .push((copy, to, dev.unwrap_or(IfIndex::NONE)));
    }

    fn ct_count(&mut self, skb: &SkBuff, state: &HookState, list: &mut ConnCount) -> bool {
        let conn = skb.nfct.and_then(|n| self.conntrack.get(n.id));
        let counted = match conn {
            Some(conn) => Some((*conn.tuple(Dir::Original), conn.zone, conn.is_confirmed())),
            // nf_ct_get_tuplepr()
            None => {
                let packet = skb.network_bytes();
                let tuple =
                    L4::of(packet, state.family).and_then(|l4| Tuple::of(packet, state.family, l4));
                tuple.map(|tuple| (tuple, CtZone::default(), false))
            }
        };
        let Some((tuple, zone, confirmed)) = counted else {
            return false;
        };
        let now = self.now;
        self.conntrack.count_into(list, tuple, zone, confirmed, now);
        true
    }

    fn ct_get(&mut self, skb: &SkBuff, key: CtKey, dir: Option<CtDir>) -> Option<u128> {
        let conn = skb.nfct.and_then(|n| self.conntrack.get(n.id));
        if key == CtKey::State {
            const INVALID: u128 = 1;
            return Some(match (skb.nfct.map(|n| n.info), conn) {
                (Some(CtInfo::Untracked), _) => 64,
                // What `ct zone set` left counts as a new connection.
                (Some(_), None) if skb.nfct.and_then(NfCt::template_zone).is_some() => 8,
                (_, None) => INVALID,
                (Some(CtInfo::Established | CtInfo::EstablishedReply), _) => 2,
                (Some(CtInfo::Related | CtInfo::RelatedReply), _) => 4,
                (Some(CtInfo::New), _) => 8,
                (None, _) => INVALID,
            });
        }
        let conn = conn?;
        let of = match dir {
            Some(CtDir::Reply) => Dir::Reply,
            _ => Dir::Original,
        };
        let tuple = conn.tuple(of);
        let v4 = |a: IpAddr| match a {
            IpAddr::V4(a) => Some(u128::from(a.to_bits())),
            IpAddr::V6(_) => None,
        };
        let v6 = |a: IpAddr| match a {
            IpAddr::V6(a) => Some(a.to_bits()),
            IpAddr::V4(_) => None,
        };
        let counted = |value: fn(u64, u64) -> u64| {
            // Without nf_conntrack_acct nothing was counted.
            let counters = conn.counters.unwrap_or_default();
            let one = |dir: usize| value(counters[dir].packets, counters[dir].bytes);
            Some(u128::from(match dir {
                Some(CtDir::Original) => one(0),
                Some(CtDir::Reply) => one(1),
                None => one(0).wrapping_add(one(1)),
            }))
        };
        Some(match key {
            CtKey::State => return None,
            CtKey::Direction => (skb.nfct?.info.dir() == Dir::Reply).into(),
            CtKey::Status => conn.status.0.into(),
            CtKey::Mark => conn.mark.into(),
            CtKey::Expiration => (conn.expires_in(self.now) / crate::MS).into(),
            CtKey::Helper => super::datatype::string_bits(conn.helper_name()?),
            CtKey::L3Proto => {
                if conn.original.src.is_ipv4() {
                    2
                } else {
                    10
                }
            }
            CtKey::IpSaddr => v4(tuple.src)?,
            CtKey::IpDaddr => v4(tuple.dst)?,
            CtKey::Ip6Saddr => v6(tuple.src)?,
            CtKey::Ip6Daddr => v6(tuple.dst)?,
            CtKey::Saddr => v4(tuple.src).or_else(|| v6(tuple.src))?,
            CtKey::Daddr => v4(tuple.dst).or_else(|| v6(tuple.dst))?,
            CtKey::Protocol => tuple.protocol.into(),
            CtKey::ProtoSrc => tuple.src_port.into(),
            CtKey::ProtoDst => tuple.dst_port.into(),
            CtKey::Label => conn.labels,
            CtKey::Bytes => counted(|_, bytes| bytes)?,
            CtKey::Packets => counted(|packets, _| packets)?,
            CtKey::AvgPkt => {
                let bytes = counted(|_, bytes| bytes)?;
                bytes
                    .checked_div(counted(|packets, _| packets)?)
                    .unwrap_or(0)
            }
            CtKey::Zone => match dir {
                Some(_) => conn.zone.id_of(of).into(),
                None => conn.zone.id.into(),
            },
            CtKey::Event => return None,
            CtKey::Id => conn.id.into(),
        })
    }

    /// `nft_ct_set_eval()`, `nft_ct_set_zone_eval()`
    fn ct_set(&mut self, skb: &mut SkBuff, key: CtKey, dir: Option<CtDir>, value: u128) {
        if key == CtKey::Zone {
            // What is not to be tracked is, after all.
            if skb.nfct.is_none_or(|nfct| nfct == NfCt::UNTRACKED) {
                let dir = match dir {
                    None => ZoneDir::Both,
                    Some(CtDir::Original) => ZoneDir::Original,
                    Some(CtDir::Reply) => ZoneDir::Reply,
                };
                let id = value as u16;
                skb.nfct = Some(NfCt::template(CtZone { id, dir }));
            }
            return;
        }
        let Some(id) = skb.nfct.map(|n| n.id) else {
            return;
        };
        match key {
            CtKey::Mark => self.conntrack.set_mark(id, value as u32),
            CtKey::Label => self.conntrack.set_labels(id, value),
            // The bits are those of the events' numbers.
            CtKey::Event => self.conntrack.set_event_mask(id, value as u16),
            _ => {}
        }
    }

    fn ct_helper(&mut self, skb: &mut SkBuff, helper: HelperSpec<'_>) {
        if let Some(nfct) = skb.nfct {
            self.conntrack
                .set_helper(nfct.id, helper.helper, helper.protocol);
        }
    }

    fn ct_timeout(&mut self, skb: &mut SkBuff, protocol: u8, policy: &[(&'static str, u32)]) {
        if let Some(nfct) = skb.nfct {
            self.conntrack.set_timeouts(nfct.id, protocol, policy);
        }
    }

    fn ct_expect(
        &mut self,
        skb: &mut SkBuff,
        what: (u8, u16),
        (timeout, size): (u64, u8),
    ) -> Option<bool> {
        let timeout = timeout.saturating_mul(MS);
        self.conntrack
            .expect_by_rule(skb.nfct?, what, (timeout, size), self.now)
    }

    /// `nft_notrack_eval()`
    fn notrack(&mut self, skb: &mut SkBuff) {
        if skb.nfct.is_none() {
            skb.nfct = Some(NfCt::UNTRACKED);
        }
    }

    /// `nft_nat_eval()`, `nft_masq_eval()`, `nft_redir_eval()`
    fn nat(&mut self, skb: &mut SkBuff, state: &HookState, nat: &NftNat) -> bool {
        let Some(nfct) = skb.nfct else { return true };
        let range = NatRange {
            addrs: nat.addr,
            ports: nat.port,
            random: nat.random || nat.fully_random,
            persistent: nat.persistent,
            netmap: nat.netmap,
        };
        let request = match nat.kind {
            NatKind::Snat => NatRequest::Snat(range),
            NatKind::Dnat => NatRequest::Dnat(range),
            NatKind::Masquerade => NatRequest::Masquerade(range),
            NatKind::Redirect => NatRequest::Redirect(range),
        };
        self.nf_nat_request(skb, state, nfct, request) == Verdict::Accept
    }

    /// `nft_fib4_eval()`, `nft_fib6_eval()` and their `_eval_type()`
    fn fib(
        &mut self,
        skb: &SkBuff,
        state: &HookState,
        address: IpAddr,
        flags: FibFlags,
        result: FibResult,
    ) -> Option<u128> {
        let dev = match (flags.iif, flags.oif) {
            (true, _) => state.iif,
            (_, true) => state.oif,
            _ => None,
        };
        let mark = if flags.mark { skb.mark } else { 0 };
        if result == FibResult::Type {
            return Some(self.nft_address_type(skb, address, (dev, mark)));
        }
        // What comes over lo, or from nowhere yet (DHCP), is taken for right.
        let unchecked = state.hook != Hook::Forward
            && (state.iif == Some(IfIndex::LO) || address.is_unspecified());
        let oif = if unchecked {
            state.iif
        } else {
            // A packet that is forwarded is asked for as if it came from where it goes.
            let back = match (state.hook, flags.iif, state.oif) {
                (Hook::Forward, true, Some(oif)) => oif,
                _ => IfIndex::LO,
            };
            let route = self.nft_fib_lookup(skb, address, dev, (back, mark));
            // fib_info_nh_uses_dev(): of several ways any will do.
            let uses = |r: &Route, dev| match (address, r.fib) {
                (IpAddr::V4(_), Some(found)) => {
                    let mut ways = self.fib.v4.info(found.info).nexthops.iter();
                    ways.any(|way| way.oif == dev)
                }
                _ => r.oif == dev,
            };
            let wanted = |r: &Route| dev.is_none_or(|dev| uses(r, dev));
            route
                .ok()
                .filter(|r| r.kind == RouteType::Unicast && wanted(r))
                .map(|r| dev.unwrap_or(r.oif))
        };
        Some(match result {
            FibResult::Exists => oif.is_some().into(),
            FibResult::Oif => oif.map_or(0, |dev| dev.0).into(),
            _ => {
                let name = oif.and_then(|dev| NftHost::device_name(self, dev));
                name.map_or(0, super::datatype::string_bits)
            }
        })
    }

    /// `nft_rt_get_eval()`, `get_tcpmss()`
    fn rt(&mut self, skb: &SkBuff, state: &HookState, key: RtKey) -> Option<u128> {
        let route = skb.dst?;
        let (src, dst) = addresses(skb.network_bytes(), state.family)?;
        // rt_nexthop(), rt6_nexthop()
        let nexthop = route.gateway.unwrap_or(dst);
        match (key, nexthop) {
            (RtKey::Mtu, _) => {}
            (RtKey::ClassId, _) => return Some(route.realms.into()),
            // Routes are not transformed.
            (RtKey::Ipsec, _) => return Some(0),
            (RtKey::IpNexthop, IpAddr::V4(to)) => return Some(to.to_bits().into()),
            (RtKey::Ip6Nexthop, IpAddr::V6(to)) => return Some(to.to_bits()),
            (RtKey::IpNexthop | RtKey::Ip6Nexthop, _) => return None,
        }
        let mut mtu = self.dst_mtu(&route, dst);
        let back = match src {
            IpAddr::V4(to) => self.ip_route_output_key(&OutputFlow::to(to)).map(|r| r.0),
            IpAddr::V6(to) => self.ip6_route_output_key(&OutputFlow6::to(to)).map(|r| r.0),
        };
        if let Ok(back) = back {
            mtu = mtu.min(self.dst_mtu(&back, src));
        }
        let headers = if src.is_ipv4() { IPV4_HLEN } else { IPV6_HLEN } + TCP_HLEN;
        let mss = mtu
            .checked_sub(headers)
            .filter(|&mss| mss > 0 && mtu <= 0xffff);
        Some(mss.unwrap_or(TCP_MSS_DEFAULT) as u128)
    }

    fn device_name(&self, dev: IfIndex) -> Option<&str> {
        Stack::device_name(self, dev)
    }

    fn device_group(&self, dev: IfIndex) -> u32 {
        self.device(dev).map_or(0, |device| device.group)
    }

    fn device_kind(&self, dev: IfIndex) -> Option<&str> {
        self.device(dev)?.link_kind()
    }

    fn realtime(&self, now: Ps) -> u64 {
        self.realtime_at_start.saturating_add(now / 1000)
    }

    fn random(&mut self) -> u32 {
        (Stack::random(self) >> 32) as u32
    }

    fn tracing(&self) -> bool {
        self.tracer.is_some()
    }

    fn trace(&mut self, skb: &SkBuff, event: &NftEvent<'_>) {
        if let Some(tracer) = &mut self.tracer {
            tracer.nft(skb, event);
        }
    }

    fn log(&mut self, skb: &SkBuff, state: &HookState, log: &Log) {
        if let Some(tracer) = &mut self.tracer {
            tracer.nft_log(skb, state, log);
        }
    }
}
