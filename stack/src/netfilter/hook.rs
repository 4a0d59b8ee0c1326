//! The points where functions see every packet: netfilter's hooks and the two tc points.
//!
//! ```text
//! driver ─► TcIngress ─► NetdevIngress ─► PreRouting ─► route ─┬─► LocalIn ─► socket
//!                                                              │
//!                                                              └─► Forward ──┐
//!                                                                            ▼
//!  socket ─► route ─► LocalOut ─► (route again if mark or address changed) ─► PostRouting ─► neighbour
//!                                                                            │
//!                                          driver ◄─ qdisc ◄─ TcEgress ◄─ NetdevEgress
//! ```
//!
//! At one hook the functions run in ascending priority. Among equal priorities the one that was registered last runs first, as a
//! kernel reports it. Accept goes on to the next function; drop and stolen end the packet's way at once.

use super::Reject;
use super::nat::{NatFn, NatRequest};
use super::nft::NftChainId;
use crate::Ps;
use crate::skb::{IfIndex, SkBuff};
use std::fmt;

/// Where a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Hook {
    /// clsact ingress: first point on the receive path, before netfilter's (`sch_handle_ingress`).
    TcIngress,
    /// `NF_NETDEV_INGRESS`; chains of the inet family's ingress hook run here too. Data starts at the network header.
    NetdevIngress,
    /// `NF_INET_PRE_ROUTING`: an IP packet was received and its header is sound.
    PreRouting,
    /// `NF_INET_LOCAL_IN`: it is for this host. IPv4 datagrams are whole here; IPv6 fragments are put together after this hook.
    LocalIn,
    /// `NF_INET_FORWARD`: it goes out again; the hop limit is already counted down.
    Forward,
    /// `NF_INET_LOCAL_OUT`: this host made it, and it has a route.
    LocalOut,
    /// `NF_INET_POST_ROUTING`: last IP point of every packet that leaves, before it is fragmented.
    PostRouting,
    /// `NF_NETDEV_EGRESS`. Data starts at the Ethernet header.
    NetdevEgress,
    /// clsact egress, last point before the queue (`sch_handle_egress`).
    TcEgress,
}

impl Hook {
    /// Number of hooks.
    pub const COUNT: usize = 9;

    /// nft's word for it; the tc points are named as in `tc filter show`.
    pub const fn name(self) -> &'static str {
        match self {
            Hook::TcIngress => "tc ingress",
            Hook::NetdevIngress => "netdev ingress",
            Hook::PreRouting => "prerouting",
            Hook::LocalIn => "input",
            Hook::Forward => "forward",
            Hook::LocalOut => "output",
            Hook::PostRouting => "postrouting",
            Hook::NetdevEgress => "netdev egress",
            Hook::TcEgress => "tc egress",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Well-known priorities (`enum nf_ip_hook_priorities`).
pub mod priority {
    /// Fragments are put together.
    pub const CONNTRACK_DEFRAG: i32 = -400;
    /// Raw tables: before connection tracking.
    pub const RAW: i32 = -300;
    /// Connection tracking.
    pub const CONNTRACK: i32 = -200;
    /// Packet alteration.
    pub const MANGLE: i32 = -150;
    /// Destination NAT.
    pub const NAT_DST: i32 = -100;
    /// Filtering.
    pub const FILTER: i32 = 0;
    /// Mandatory access control.
    pub const SECURITY: i32 = 50;
    /// Source NAT.
    pub const NAT_SRC: i32 = 100;
    /// The very last.
    pub const LAST: i32 = i32::MAX;
}

/// Protocol family at a hook (`NFPROTO_*`). One registration sees all families, as nft's `inet` and `netdev` tables do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// A frame at the tc and netdev points, whatever it carries.
    Netdev,
}

/// What a hook function is told besides the packet (`struct nf_hook_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookState {
    /// The hook.
    pub hook: Hook,
    /// The family.
    pub family: Family,
    /// Device that the packet came in through; `None` when made here.
    pub iif: Option<IfIndex>,
    /// Device that the packet goes out through; `None` before routing and on input.
    pub oif: Option<IfIndex>,
    /// Simulated time.
    pub now: Ps,
}

/// What a hook function decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `NF_ACCEPT`: on to the next function.
    Accept,
    /// `NF_DROP`: the packet ends here.
    Drop,
    /// The packet ends here, and its sender is told (nft's `reject`).
    Reject(Reject),
    /// `NF_STOLEN`: the function took the packet (`std::mem::take`), the stack forgets it.
    Stolen,
}

/// A hook function. It may change the packet's bytes and fields; whoever changes addresses also mends the checksums. At
/// [`Hook::LocalOut`] it counts as a chain of type route: a packet whose mark, addresses or traffic class it changed is routed again.
pub type HookFn = Box<dyn FnMut(&mut SkBuff, &HookState) -> Verdict>;

/// A registration, for taking it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(u32);

/// The families that an entry sees, one bit per [`Family`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Families(u8);

impl Families {
    /// Every packet that passes the hook.
    pub const ALL: Families = Families(0b111);

    /// Only packets of `family`.
    pub const fn only(family: Family) -> Self {
        Self(1 << family as u8)
    }

    pub fn contains(self, family: Family) -> bool {
        self.0 & 1 << family as u8 != 0
    }
}

/// What netfilter itself puts on hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    /// `ipv4_conntrack_defrag()`, `ipv6_defrag()`.
    Defrag,
    /// `nf_conntrack_in()`.
    ConntrackIn,
    /// The nat chains as one block, and translation (`nf_nat_inet_fn()`).
    Nat,
    /// `nf_confirm()`.
    Confirm,
    /// A base chain (`nft_do_chain()`).
    Nft(NftChainId),
}

/// What an entry calls.
pub(crate) enum Callee {
    Function(HookFn),
    /// In the nat block only.
    Nat(NatFn),
    Builtin(Builtin),
}

/// What an entry calls, as [`Hooks::call`] hands it to the stack.
#[derive(Clone, Copy)]
pub(crate) enum Next {
    /// It was a function, and this is what it said.
    Done(Verdict),
    /// It needs the whole stack.
    Builtin(Builtin),
    /// It was a nat chain, and this is what the connection is translated to.
    Request(NatRequest),
    /// It does not see this packet.
    Skip,
    /// There are no more entries.
    End,
}

/// An entry to be registered (`struct nf_hook_ops`).
pub(crate) struct HookOps<'a> {
    pub hook: Hook,
    pub priority: i32,
    pub families: Families,
    /// For whom only this device's packets count (`netdev` chains).
    pub dev: Option<IfIndex>,
    /// For lists and traces.
    pub name: &'a str,
    pub callee: Callee,
}

struct Entry {
    id: HookId,
    priority: i32,
    families: Families,
    dev: Option<IfIndex>,
    name: String,
    callee: Callee,
}

/// All registered entries, by hook, in the order in which they run.
#[derive(Default)]
pub(crate) struct Hooks {
    chains: [Vec<Entry>; Hook::COUNT],
    /// Nat chains, which [`Builtin::Nat`] runs.
    nat: [Vec<Entry>; Hook::COUNT],
    /// Nat chains by family (IPv4, IPv6).
    nat_users: [usize; 2],
    /// Where [`Builtin::Nat`] is registered.
    pub nat_hook_ids: Vec<(Family, HookId)>,
    next_id: u32,
}

/// `nf_hook_entries_grow()`: in front of its equals, the last one registered runs first.
fn insert(chain: &mut Vec<Entry>, id: HookId, ops: HookOps<'_>) {
    let at = chain.partition_point(|e| e.priority < ops.priority);
    chain.insert(
        at,
        Entry {
            id,
            priority: ops.priority,
            families: ops.families,
            dev: ops.dev,
            name: ops.name.to_owned(),
            callee: ops.callee,
        },
    );
}

impl Hooks {
    fn new_id(&mut self) -> HookId {
        self.next_id += 1;
        HookId(self.next_id)
    }

    /// `nf_register_net_hook()`.
    pub fn register(&mut self, ops: HookOps<'_>) -> HookId {
        let id = self.new_id();
        insert(&mut self.chains[ops.hook as usize], id, ops);
        id
    }

    /// Puts a chain into the nat block.
    pub fn register_nat(&mut self, ops: HookOps<'_>) -> HookId {
        let id = self.new_id();
        insert(&mut self.nat[ops.hook as usize], id, ops);
        id
    }

    /// Takes a chain out of the nat block and says for which families it was there, and whether it was a function.
    pub fn unregister_nat(&mut self, id: HookId) -> Option<(Families, bool)> {
        self.nat.iter_mut().find_map(|chain| {
            let at = chain.iter().position(|e| e.id == id)?;
            let entry = chain.remove(at);
            Some((entry.families, matches!(entry.callee, Callee::Nat(_))))
        })
    }

    /// Number of nat chains of a family.
    pub fn nat_users(&mut self, family: Family) -> &mut usize {
        &mut self.nat_users[usize::from(family == Family::Ipv6)]
    }

    /// Takes the nat block of `family` off the hooks.
    pub fn unregister_nat_hooks(&mut self, family: Family) {
        let ids = std::mem::take(&mut self.nat_hook_ids);
        for (of, id) in ids {
            if of == family {
                self.unregister(id);
            } else {
                self.nat_hook_ids.push((of, id));
            }
        }
    }

    pub fn unregister(&mut self, id: HookId) -> bool {
        for chain in &mut self.chains {
            if let Some(at) = chain.iter().position(|e| e.id == id) {
                chain.remove(at);
                return true;
            }
        }
        false
    }

    pub fn list(&self, hook: Hook) -> impl Iterator<Item = (i32, &str)> {
        self.chains[hook as usize]
            .iter()
            .map(|e| (e.priority, e.name.as_str()))
    }

    pub fn is_empty(&self, hook: Hook) -> bool {
        self.chains[hook as usize].is_empty()
    }

    /// `nf_hook_ingress_active()`: whether packets of a device meet an entry.
    pub fn is_active(&self, hook: Hook, dev: IfIndex) -> bool {
        let mut entries = self.chains[hook as usize].iter();
        entries.any(|e| e.dev.is_none_or(|of| of == dev))
    }

    /// `nf_hook_entry_hookfn()`: the entry at `index`. Functions are called; what needs the stack is returned to it, so that an entry may
    /// use all of the stack and hooks nest.
    #[inline]
    pub fn call(&mut self, index: usize, skb: &mut SkBuff, state: &HookState) -> Next {
        call(&mut self.chains[state.hook as usize], index, skb, state)
    }

    /// The same in the nat block.
    pub fn call_nat(&mut self, index: usize, skb: &mut SkBuff, state: &HookState) -> Next {
        call(&mut self.nat[state.hook as usize], index, skb, state)
    }
}

#[inline]
fn call(chain: &mut [Entry], index: usize, skb: &mut SkBuff, state: &HookState) -> Next {
    let Some(entry) = chain.get_mut(index) else {
        return Next::End;
    };
    if !entry.families.contains(state.family) {
        return Next::Skip;
    }
    if entry.dev.is_some() {
        let here = match state.hook {
            Hook::NetdevEgress | Hook::TcEgress => state.oif,
            _ => state.iif,
        };
        if here != entry.dev {
            return Next::Skip;
        }
    }
    match &mut entry.callee {
        Callee::Function(function) => Next::Done(function(skb, state)),
        Callee::Nat(chain) => match chain(skb, state) {
            Some(request) => Next::Request(request),
            None => Next::Done(Verdict::Accept),
        },
        Callee::Builtin(builtin) => Next::Builtin(*builtin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn state(hook: Hook, family: Family) -> HookState {
        HookState {
            hook,
            family,
            iif: Some(IfIndex(2)),
            oif: None,
            now: 0,
        }
    }

    fn ops(hook: Hook, priority: i32, name: &str, function: HookFn) -> HookOps<'_> {
        HookOps {
            hook,
            priority,
            families: Families::ALL,
            dev: None,
            name,
            callee: Callee::Function(function),
        }
    }

    /// As `nf_hook_slow()`, for entries that are functions.
    fn run(hooks: &mut Hooks, state: &HookState) -> Verdict {
        let mut skb = SkBuff::default();
        for index in 0.. {
            match hooks.call(index, &mut skb, state) {
                Next::Done(Verdict::Accept) | Next::Skip => {}
                Next::Done(end) => return end,
                Next::End => break,
                Next::Builtin(_) | Next::Request(_) => unreachable!("none was registered"),
            }
        }
        Verdict::Accept
    }

    #[test]
    fn ascending_priority_and_last_registered_first() {
        let seen = Rc::new(RefCell::new(String::new()));
        let mut hooks = Hooks::default();
        for (name, priority) in [("a", 0), ("b", -300), ("c", 0), ("d", 50)] {
            let seen = Rc::clone(&seen);
            let function = move |_: &mut SkBuff, _: &HookState| {
                seen.borrow_mut().push_str(name);
                Verdict::Accept
            };
            hooks.register(ops(Hook::Forward, priority, name, Box::new(function)));
        }
        assert_eq!(
            run(&mut hooks, &state(Hook::Forward, Family::Ipv4)),
            Verdict::Accept
        );
        assert_eq!(*seen.borrow(), "bcad");
        let order: Vec<_> = hooks.list(Hook::Forward).collect();
        assert_eq!(order, [(-300, "b"), (0, "c"), (0, "a"), (50, "d")]);
    }

    #[test]
    fn drop_ends_the_chain_and_unregister_takes_out() {
        let mut hooks = Hooks::default();
        let at = Hook::LocalIn;
        let id = hooks.register(ops(at, 0, "drop", Box::new(|_, _| Verdict::Drop)));
        hooks.register(ops(at, 1, "never", Box::new(|_, _| Verdict::Stolen)));
        let state = state(at, Family::Ipv4);
        assert_eq!(run(&mut hooks, &state), Verdict::Drop);
        assert!(hooks.unregister(id) && !hooks.unregister(id));
        assert_eq!(run(&mut hooks, &state), Verdict::Stolen);
    }

    #[test]
    fn family_and_device_select() {
        let mut hooks = Hooks::default();
        let at = Hook::PreRouting;
        hooks.register(HookOps {
            families: Families::only(Family::Ipv6),
            ..ops(at, 0, "six", Box::new(|_, _| Verdict::Drop))
        });
        hooks.register(HookOps {
            dev: Some(IfIndex(3)),
            ..ops(at, 1, "eth3", Box::new(|_, _| Verdict::Stolen))
        });
        let mut four = state(at, Family::Ipv4);
        assert_eq!(run(&mut hooks, &four), Verdict::Accept);
        four.iif = Some(IfIndex(3));
        assert_eq!(run(&mut hooks, &four), Verdict::Stolen);
        assert_eq!(run(&mut hooks, &state(at, Family::Ipv6)), Verdict::Drop);
    }
}
