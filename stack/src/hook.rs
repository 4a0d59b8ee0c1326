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
    /// `NF_STOLEN`: the function took the packet (`std::mem::take`), the stack forgets it.
    Stolen,
}

/// A hook function. It may change the packet's bytes and fields; whoever changes addresses also mends the checksums.
pub type HookFn = Box<dyn FnMut(&mut SkBuff, &HookState) -> Verdict>;

/// A registration, for taking it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(u32);

struct Entry {
    id: HookId,
    priority: i32,
    name: String,
    function: HookFn,
}

/// All registered functions, by hook, in the order in which they run.
#[derive(Default)]
pub(crate) struct Hooks {
    chains: [Vec<Entry>; Hook::COUNT],
    next_id: u32,
}

impl Hooks {
    pub fn register(&mut self, hook: Hook, priority: i32, name: &str, function: HookFn) -> HookId {
        let id = HookId(self.next_id);
        self.next_id += 1;
        let chain = &mut self.chains[hook as usize];
        // In front of its equals: the last one registered runs first.
        let at = chain.partition_point(|e| e.priority < priority);
        chain.insert(
            at,
            Entry {
                id,
                priority,
                name: name.to_owned(),
                function,
            },
        );
        id
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

    /// `nf_hook_slow()`.
    pub fn run(&mut self, skb: &mut SkBuff, state: &HookState) -> Verdict {
        for entry in &mut self.chains[state.hook as usize] {
            match (entry.function)(skb, state) {
                Verdict::Accept => {}
                end => return end,
            }
        }
        Verdict::Accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn state(hook: Hook) -> HookState {
        HookState {
            hook,
            family: Family::Ipv4,
            iif: None,
            oif: None,
            now: 0,
        }
    }

    #[test]
    fn ascending_priority_and_last_registered_first() {
        let seen = Rc::new(RefCell::new(String::new()));
        let mut hooks = Hooks::default();
        for (name, priority) in [("a", 0), ("b", -300), ("c", 0), ("d", 50)] {
            let seen = Rc::clone(&seen);
            hooks.register(
                Hook::Forward,
                priority,
                name,
                Box::new(move |_, _| {
                    seen.borrow_mut().push_str(name);
                    Verdict::Accept
                }),
            );
        }
        assert_eq!(
            hooks.run(&mut SkBuff::default(), &state(Hook::Forward)),
            Verdict::Accept
        );
        assert_eq!(*seen.borrow(), "bcad");
        let order: Vec<_> = hooks.list(Hook::Forward).collect();
        assert_eq!(order, [(-300, "b"), (0, "c"), (0, "a"), (50, "d")]);
    }

    #[test]
    fn drop_ends_the_chain_and_unregister_takes_out() {
        let mut hooks = Hooks::default();
        let id = hooks.register(Hook::LocalIn, 0, "drop", Box::new(|_, _| Verdict::Drop));
        hooks.register(Hook::LocalIn, 1, "never", Box::new(|_, _| Verdict::Stolen));
        assert_eq!(
            hooks.run(&mut SkBuff::default(), &state(Hook::LocalIn)),
            Verdict::Drop
        );
        assert!(hooks.unregister(id) && !hooks.unregister(id));
        assert_eq!(
            hooks.run(&mut SkBuff::default(), &state(Hook::LocalIn)),
            Verdict::Stolen
        );
    }
}
