//! One routing table of one family (`struct fib_table`).

use super::info::{FibInfo, Infos, Nexthop, RouteType};
use super::lpm::Lpm;
use super::trie::Key;
use super::{FlowKey, LookupError};
use crate::skb::IfIndex;

/// The bits of the TOS that routes and `tos` rules look at (`INET_DSCP_LEGACY_TOS_MASK`).
pub(super) const IPTOS_RT_MASK: u8 = 0x1c;
/// No further alias.
const NONE: u32 = u32::MAX;

/// A route of a prefix (`struct fib_alias`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alias {
    /// Which [`FibInfo`](super::info::FibInfo).
    pub info: u32,
    /// The next one of the same prefix: by TOS downwards, then by metric, then by age.
    next: u32,
    pub kind: RouteType,
    /// Only packets with this TOS; 0: all.
    pub tos: u8,
    /// Length of the prefix.
    pub len: u8,
}

/// A route that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FibResult {
    /// Number of the table.
    pub table: u32,
    pub prefix_len: u8,
    /// TOS that the route is for; 0: all.
    pub tos: u8,
    pub kind: RouteType,
    pub info: u32,
    /// Which of its ways; not chosen yet when there are several and none was asked for.
    pub nexthop: usize,
    /// `realms` of the rule (`fib_result.tclassid`).
    pub realms: u32,
}

/// Routes of a family under a table's number.
#[derive(Debug)]
pub(crate) struct Table<K> {
    pub id: u32,
    lpm: Lpm<K>,
    aliases: Vec<Alias>,
    unused: Vec<u32>,
}

impl<K: Key> Table<K> {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            lpm: Lpm::default(),
            aliases: Vec::new(),
            unused: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lpm.is_empty()
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = (u32, &Alias)> {
        let mut at = first;
        std::iter::from_fn(move || {
            let alias = self.aliases.get(at as usize)?;
            let id = std::mem::replace(&mut at, alias.next);
            Some((id, alias))
        })
    }

    /// The routes of exactly this prefix, in the order in which they are tried.
    pub fn at(&self, key: K, len: u8) -> impl Iterator<Item = &Alias> {
        let first = self.lpm.get(key, len).unwrap_or(NONE);
        self.chain(first).map(|(_, alias)| alias)
    }

    /// Puts a route in front of the one at position `at` of its prefix's list.
    pub fn insert(&mut self, key: K, len: u8, at: usize, info: u32, kind: RouteType, tos: u8) {
        let first = self.lpm.get(key, len).unwrap_or(NONE);
        let before = at.checked_sub(1).and_then(|i| self.chain(first).nth(i));
        let before = before.map(|(id, _)| id);
        let next = match before {
            Some(before) => self.aliases[before as usize].next,
            None => first,
        };
        let alias = Alias {
            info,
            next,
            kind,
            tos,
            len,
        };
        let id = match self.unused.pop() {
            Some(id) => {
                self.aliases[id as usize] = alias;
                id
            }
            None => {
                self.aliases.push(alias);
                self.aliases.len() as u32 - 1
            }
        };
        match before {
            Some(before) => self.aliases[before as usize].next = id,
            None => {
                self.lpm.insert(key, len, id);
            }
        }
    }

    /// Takes out the first route of the prefix for which `gone` says so; returns it.
    pub fn remove(&mut self, key: K, len: u8, gone: impl Fn(&Alias) -> bool) -> Option<Alias> {
        let first = self.lpm.get(key, len)?;
        let mut before = None;
        let (id, alias) = self.chain(first).find_map(|(id, alias)| {
            let found = gone(alias).then_some((id, *alias));
            if found.is_none() {
                before = Some(id);
            }
            found
        })?;
        match before {
            Some(before) => self.aliases[before as usize].next = alias.next,
            None if alias.next == NONE => {
                self.lpm.remove(key, len);
            }
            None => {
                self.lpm.insert(key, len, alias.next);
            }
        }
        self.unused.push(id);
        Some(alias)
    }

    /// The first route of the prefix for which `which` says so gets another info.
    pub fn replace_info(&mut self, key: K, len: u8, which: impl Fn(&Alias) -> bool, info: u32) {
        let first = self.lpm.get(key, len).unwrap_or(NONE);
        let found = self.chain(first).find(|(_, alias)| which(alias));
        if let Some((id, _)) = found {
            self.aliases[id as usize].info = info;
        }
    }

    /// Every route: IPv4 as the kernel walks its trie, by address and then from long to short; IPv6 as it walks its tree, what is inside a
    /// prefix before the prefix.
    pub fn routes(&self) -> Vec<(K, u8, Alias)> {
        let mut prefixes = self.lpm.prefixes();
        if K::BITS == 32 {
            prefixes.sort_unstable_by(|a, b| (a.0, b.1).cmp(&(b.0, a.1)));
        } else {
            prefixes.sort_unstable_by(|a, b| match a.1.min(b.1) {
                // One holds the other: the longer one first.
                short if a.0.prefix(short) == b.0.prefix(short) => b.1.cmp(&a.1),
                _ => a.0.cmp(&b.0),
            });
        }
        let mut routes = Vec::with_capacity(prefixes.len());
        for (key, len, first) in prefixes {
            routes.extend(self.chain(first).map(|(_, alias)| (key, len, *alias)));
        }
        routes
    }

    /// `find_rr_leaf()` when the device is only preferred: whether no route of the prefix that begins at `first`, with the metric of `info`,
    /// goes through `oif`.
    #[cold]
    fn any_device(&self, first: u32, info: &FibInfo, oif: IfIndex, infos: &Infos) -> bool {
        let mut infos = self.chain(first).map(|(_, alias)| infos.get(alias.info));
        !infos.any(|other| {
            other.priority == info.priority && other.nexthops.iter().any(|n| n.oif == oif)
        })
    }

    /// `fib_table_lookup()`: the first route that fits, from the longest prefix on. `None`: the table says nothing.
    #[inline]
    pub fn lookup(
        &self,
        flow: &FlowKey<K>,
        infos: &Infos,
    ) -> Option<Result<FibResult, LookupError>> {
        let mut first = self.lpm.longest(flow.dst)?;
        loop {
            for (_, alias) in self.chain(first) {
                if alias.tos != 0 && alias.tos != flow.tos & IPTOS_RT_MASK {
                    continue;
                }
                let info = infos.get(alias.info);
                if info.scope < flow.scope {
                    continue;
                }
                // IPv6's routes that drop are routes through lo.
                let other_device = K::BITS != 32
                    && !flow.oif_preferred
                    && !matches!(flow.oif, IfIndex::NONE | IfIndex::LO);
                if alias.kind.is_reject() && other_device {
                    continue;
                }
                match alias.kind {
                    RouteType::Throw => return None,
                    RouteType::Blackhole => return Some(Err(LookupError::Invalid)),
                    RouteType::Unreachable => return Some(Err(LookupError::HostUnreachable)),
                    RouteType::Prohibit => return Some(Err(LookupError::Prohibited)),
                    _ => {}
                }
                let wanted = |oif| flow.oif == IfIndex::NONE || flow.oif == oif;
                let fits = |n: &Nexthop| wanted(n.oif) && !n.dead;
                let nexthop = info.nexthops.iter().position(fits);
                let any = || self.any_device(first, info, flow.oif, infos).then_some(0);
                if let Some(nexthop) = nexthop.or_else(|| flow.oif_preferred.then(any).flatten()) {
                    return Some(Ok(FibResult {
                        table: self.id,
                        prefix_len: alias.len,
                        tos: alias.tos,
                        kind: alias.kind,
                        info: alias.info,
                        nexthop,
                        realms: 0,
                    }));
                }
            }
            // Nothing there fits: the next shorter prefix.
            let len = self.aliases[first as usize].len;
            first = self.lpm.longest_within(flow.dst, len.checked_sub(1)?)?;
        }
    }
}
