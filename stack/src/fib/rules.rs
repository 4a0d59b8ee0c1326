//! The routing policy database: which table is asked, for which packets (net/core/fib_rules.c).

use super::table::IPTOS_RT_MASK;
use super::trie::Key;
use super::{FlowKey, RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN};
use crate::skb::IfIndex;

/// `RTPROT_KERNEL`: the rules that are there from the start.
pub(crate) const RTPROT_KERNEL: u8 = 2;

/// `GLOBAL_ROOT_UID`.
const ROOT_UID: u32 = 0;

/// What a rule says (`FR_ACT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// `lookup`: ask this table.
    Table(u32),
    /// `goto`: on with the first rule of this priority.
    Goto(u32),
    Nop,
    /// `l3mdev`: the table of the packet's VRF, of which there are none.
    L3mdev,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// A device in a rule: by name, as it may come later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleDev {
    pub name: String,
    /// [`IfIndex::NONE`] while there is no such device: nothing matches.
    pub index: IfIndex,
}

/// A rule (`struct fib_rule`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule<K> {
    pub priority: u32,
    /// `not`.
    pub invert: bool,
    /// Network of the source, host bits as typed; length 0: any.
    pub from: (K, u8),
    /// Network of the destination; length 0: any.
    pub to: (K, u8),
    pub iif: Option<RuleDev>,
    pub oif: Option<RuleDev>,
    pub mark: u32,
    pub mask: u32,
    /// 0: any.
    pub tos: u8,
    /// `ipproto`; 0: any.
    pub ipproto: u8,
    pub sport: Option<(u16, u16)>,
    pub dport: Option<(u16, u16)>,
    /// `uidrange`: first and last user. Everything here is root's, as what is forwarded is in Linux.
    pub uids: Option<(u32, u32)>,
    pub action: Action,
    /// Routes with a prefix of at most this length do not count.
    pub suppress_prefixlength: Option<u8>,
    /// Routes through devices of this group do not count.
    pub suppress_ifgroup: Option<u32>,
    /// `realms`: of the source in the high, of the destination in the low 16 bits; 0: none.
    pub realms: u32,
    /// Who made it (`RTPROT_*`).
    pub protocol: u8,
}

impl<K: Key> Rule<K> {
    /// A rule for all packets.
    pub fn new(priority: u32, action: Action) -> Self {
        Self {
            priority,
            invert: false,
            from: (K::default(), 0),
            to: (K::default(), 0),
            iif: None,
            oif: None,
            mark: 0,
            mask: 0,
            tos: 0,
            ipproto: 0,
            sport: None,
            dport: None,
            uids: None,
            action,
            suppress_prefixlength: None,
            suppress_ifgroup: None,
            realms: 0,
            protocol: 3,
        }
    }

    /// `fib_rule_match()` and `fib4_rule_match()`.
    #[inline]
    pub fn matches(&self, flow: &FlowKey<K>) -> bool {
        let holds = |(key, len): (K, u8), address: K| address.prefix(len) == key.prefix(len);
        let through = |dev: &Option<RuleDev>, index: IfIndex| {
            dev.as_ref()
                .is_none_or(|d| d.index != IfIndex::NONE && d.index == index)
        };
        let within = |range: Option<(u16, u16)>, port: u16| {
            range.is_none_or(|(first, last)| (first..=last).contains(&port))
        };
        // IPv4's `tos` leaves the precedence bits out, IPv6's does not.
        let tos = match K::BITS {
            32 => flow.tos & IPTOS_RT_MASK,
            _ => flow.tos,
        };
        let fits = (self.mark ^ flow.mark) & self.mask == 0
            && holds(self.from, flow.src)
            && holds(self.to, flow.dst)
            && through(&self.iif, flow.iif)
            && through(&self.oif, flow.oif)
            && (self.tos == 0 || self.tos == tos)
            && (self.ipproto == 0 || self.ipproto == flow.protocol)
            && within(self.sport, flow.sport)
            && within(self.dport, flow.dport)
            && self.uids.is_none_or(|(first, _)| first == ROOT_UID);
        fits != self.invert
    }

    /// Whether protocol and ports of a packet must be known.
    fn needs_transport(&self) -> bool {
        self.ipproto != 0 || self.sport.is_some() || self.dport.is_some()
    }
}

/// The rules of a family, by priority; equals in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Rules<K> {
    list: Vec<Rule<K>>,
    needs_transport: bool,
    custom: bool,
}

impl<K: Key> Default for Rules<K> {
    /// `fib_default_rules_init()`, `fib6_rules_net_init()`.
    fn default() -> Self {
        let table = |priority, table| Rule {
            protocol: RTPROT_KERNEL,
            ..Rule::new(priority, Action::Table(table))
        };
        let mut list = vec![table(0, RT_TABLE_LOCAL), table(32766, RT_TABLE_MAIN)];
        if K::BITS == 32 {
            list.push(table(32767, RT_TABLE_DEFAULT));
        }
        Self {
            list,
            needs_transport: false,
            custom: false,
        }
    }
}

impl<K: Key> Rules<K> {
    pub fn list(&self) -> &[Rule<K>] {
        &self.list
    }

    /// `fib4_has_custom_rules()`: there are, or were, others than the first ones.
    pub fn is_custom(&self) -> bool {
        self.custom
    }

    /// Whether lookups need protocol and ports (`fib4_rules_early_flow_dissect()`).
    pub fn needs_transport(&self) -> bool {
        self.needs_transport
    }

    /// `fib_default_rule_pref()`: in front of the second rule.
    pub fn default_priority(&self) -> u32 {
        self.list
            .get(1)
            .map_or(0, |second| second.priority.saturating_sub(1))
    }

    /// Adds a rule behind its equals; `false` when it is there. As the kernel sees it (`rule_exists()`), a rule without source, destination
    /// or TOS is there when one with such is, and `not` makes no difference.
    pub fn add(&mut self, rule: Rule<K>) -> bool {
        let or = |wanted: (K, u8), there: (K, u8)| if wanted.1 == 0 { there } else { wanted };
        let same = |r: &&Rule<K>| {
            **r == Rule {
                protocol: r.protocol,
                invert: r.invert,
                from: or(rule.from, r.from),
                to: or(rule.to, r.to),
                tos: if rule.tos == 0 { r.tos } else { rule.tos },
                ..rule.clone()
            }
        };
        if self.list.iter().any(|r| same(&r)) {
            return false;
        }
        let at = self.list.partition_point(|r| r.priority <= rule.priority);
        self.list.insert(at, rule);
        self.changed();
        true
    }

    /// Takes out the first rule for which `gone` says so.
    pub fn remove(&mut self, gone: impl Fn(&Rule<K>) -> bool) -> bool {
        let at = self.list.iter().position(gone);
        if let Some(at) = at {
            self.list.remove(at);
            self.changed();
        }
        at.is_some()
    }

    /// `ip rule flush`: everything but the rule for `local`.
    pub fn flush(&mut self) {
        self.list.retain(|r| r.priority == 0);
        self.changed();
    }

    fn changed(&mut self) {
        self.custom = true;
        self.needs_transport = self.list.iter().any(Rule::needs_transport);
    }

    /// A device came: rules may name it (`attach_rules()`).
    pub fn attach(&mut self, name: &str, index: IfIndex) {
        for rule in &mut self.list {
            for dev in [&mut rule.iif, &mut rule.oif].into_iter().flatten() {
                if dev.name == name {
                    dev.index = index;
                }
            }
        }
    }

    /// Where `goto` goes on.
    pub fn target(&self, priority: u32) -> Option<usize> {
        let at = self.list.partition_point(|r| r.priority < priority);
        (self.list.get(at)?.priority == priority).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_sorted_and_the_default_priority_is_before_the_second() {
        let mut rules = Rules::<u32>::default();
        assert!(!rules.is_custom());
        assert_eq!(rules.default_priority(), 32765);
        assert!(rules.add(Rule::new(5, Action::Table(7))));
        assert!(!rules.add(Rule::new(5, Action::Table(7))));
        assert!(rules.add(Rule::new(5, Action::Nop)));
        assert_eq!(rules.default_priority(), 4);
        let order: Vec<_> = rules
            .list()
            .iter()
            .map(|r| (r.priority, r.action))
            .collect();
        assert_eq!(order[1..3], [(5, Action::Table(7)), (5, Action::Nop)]);
        assert_eq!((rules.target(5), rules.target(6)), (Some(1), None));
        rules.flush();
        assert_eq!(rules.list().len(), 1);
    }

    #[test]
    fn a_rule_looks_at_everything_it_names() {
        let rule = Rule::<u32> {
            from: (0x0a00_0000, 8),
            mark: 1,
            mask: 3,
            dport: Some((53, 60)),
            ..Rule::new(5, Action::Nop)
        };
        let flow = FlowKey {
            src: 0x0a01_0203,
            mark: 5,
            dport: 60,
            ..FlowKey::default()
        };
        assert!(rule.matches(&flow));
        assert!(!rule.matches(&FlowKey { mark: 2, ..flow }));
        assert!(!rule.matches(&FlowKey { dport: 61, ..flow }));
        assert!(!rule.matches(&FlowKey { src: 1, ..flow }));
        let inverted = Rule {
            invert: true,
            ..rule
        };
        assert!(!inverted.matches(&flow) && inverted.matches(&FlowKey { src: 1, ..flow }));
        assert!(inverted.needs_transport());
    }
}
