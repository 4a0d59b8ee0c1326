//! One step of a rule.

use super::Run;
use crate::hook::Family;
use crate::netfilter::nft::expr::MetaKey;
use crate::netfilter::nft::host::HelperSpec;
use crate::netfilter::nft::model::ObjectSpec;
use crate::netfilter::nft::program::{Node, Op, SetSel};
use crate::netfilter::nft::ruleset::{Object, ObjectState, Set, Slab};
use crate::netfilter::nft::set::{Data, Elements, MAX_FIELDS};
use crate::netfilter::nft::stmt::RejectKind;
use crate::netfilter::nft::verdict::Verdict;
use crate::skb::{IfIndex, PktType};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What rules share.
pub(super) struct Env<'a> {
    pub sets: &'a mut Slab<Set>,
    pub objects: &'a mut Slab<Object>,
}

/// What a step says.
pub(super) enum Step {
    /// On to the next step.
    Next,
    /// `NFT_BREAK`: on to the next rule.
    Break,
    /// The rule ends so.
    End(Verdict),
    /// The packet's way ends so.
    Reject(RejectKind),
    /// So does this: through another device.
    Forward(IfIndex),
}

impl Step {
    #[inline]
    fn unless_false(holds: bool) -> Self {
        if holds { Step::Next } else { Step::Break }
    }
}

/// The fields of a key, on the stack.
pub(super) struct Key {
    fields: [u128; MAX_FIELDS],
    len: usize,
}

impl Key {
    pub fn as_slice(&self) -> &[u128] {
        &self.fields[..self.len]
    }
}

/// The elements that a rule looks into.
#[inline]
pub(super) fn elements<'a>(set: &'a mut SetSel, env: &'a mut Env<'_>) -> Option<&'a mut Elements> {
    match set {
        SetSel::Own(elements) => Some(elements),
        SetSel::Named(id) => Some(&mut env.sets.get_mut(*id)?.elems),
    }
}

impl Run<'_> {
    #[inline]
    pub(super) fn op(&mut self, op: &mut Op, env: &mut Env<'_>) -> Step {
        match op {
            Op::Test(load, test) => match self.load(*load) {
                Some(x) => Step::unless_false(test.holds(x)),
                None => Step::Break,
            },
            Op::State(state, _) => Step::unless_false(state.pass(self.skb, self.state, self.host)),
            Op::Verdict(verdict) => Step::End(*verdict),
            op => self.seldom(op, env),
        }
    }

    fn seldom(&mut self, op: &mut Op, env: &mut Env<'_>) -> Step {
        match op {
            Op::Test(..) | Op::State(..) | Op::Verdict(_) => Step::Next,
            Op::TestNode(node, test) => match self.node(node, env) {
                Some(x) => Step::unless_false(test.holds(x)),
                None => Step::Break,
            },
            Op::Lookup { key, set, negate } => match self.find(key, set, env) {
                Some(found) => Step::unless_false(found.is_some() != *negate),
                None => Step::Break,
            },
            Op::Vmap { key, set } => {
                let Some(Some(at)) = self.find(key, set, env) else {
                    return Step::Break;
                };
                match elements(set, env).and_then(|e| e.slot(at)).map(|s| &s.data) {
                    Some(Data::Verdict(verdict)) => Step::End(*verdict),
                    _ => Step::Break,
                }
            }
            Op::Object(id) | Op::CtHelper(id) => self.object(*id, env),
            // nft_objref_map_eval()
            Op::ObjectMap { key, set } => {
                let Some(Some(at)) = self.find(key, set, env) else {
                    return Step::Break;
                };
                match elements(set, env).and_then(|e| e.slot(at)).map(|s| &s.data) {
                    Some(&Data::Object(id)) => self.object(id, env),
                    _ => Step::Break,
                }
            }
            Op::SetMeta(key, node) => match self.node(node, env) {
                Some(value) => {
                    self.set_meta(*key, value);
                    Step::Next
                }
                None => Step::Break,
            },
            Op::SetCt(key, dir, node) => match self.node(node, env) {
                Some(value) => {
                    self.host.ct_set(self.skb, *key, *dir, value);
                    Step::Next
                }
                None => Step::Break,
            },
            Op::SetPayload(set) => match self.node(&mut set.value, env) {
                Some(x) => Step::unless_false(self.set_payload(set, x).is_some()),
                None => Step::Break,
            },
            Op::SetExthdr(e, value) => match self.node(value, env) {
                Some(x) => Step::unless_false(self.set_tcp_option(*e, x).is_some()),
                None => Step::Break,
            },
            Op::ResetTcpOption(number) => {
                Step::unless_false(self.reset_tcp_option(*number).is_some())
            }
            Op::SetUpdate(update) => Step::unless_false(self.set_update(update, env).is_some()),
            Op::Log(log) => {
                self.host.log(self.skb, self.state, log);
                Step::Next
            }
            // nft_dup_ipv4_eval(), nft_dup_ipv6_eval()
            Op::DupTo(node, dev) => match self.node(node, env) {
                Some(value) => {
                    let to = match self.state.family {
                        Family::Ipv6 => Ipv6Addr::from_bits(value).into(),
                        _ => Ipv4Addr::from_bits(value as u32).into(),
                    };
                    self.host.dup_to(self.skb, self.state, to, *dev);
                    Step::Next
                }
                None => Step::Break,
            },
            Op::Dup(dev) => {
                self.host.dup(self.skb, *dev);
                Step::Next
            }
            Op::Fwd(dev) => Step::Forward(*dev),
            Op::Nat(nat) => self.nat(nat, env),
            Op::Notrack => {
                self.host.notrack(self.skb);
                Step::Next
            }
            Op::Reject(kind) => self.reject(*kind),
        }
    }

    /// `nft_objref_eval()`
    fn object(&mut self, id: u32, env: &mut Env<'_>) -> Step {
        match env.objects.get_mut(id).map(|o| &mut o.state) {
            Some(ObjectState::Stateful(state)) => {
                Step::unless_false(state.pass(self.skb, self.state, self.host))
            }
            Some(ObjectState::Stateless) => {
                match env.objects.get(id).map(|o| &o.spec) {
                    // nft_ct_helper_obj_eval()
                    Some(ObjectSpec::CtHelper {
                        helper, protocol, ..
                    }) => {
                        let protocol = *protocol;
                        let spec = HelperSpec { helper, protocol };
                        self.host.ct_helper(self.skb, spec);
                    }
                    Some(ObjectSpec::CtTimeout {
                        protocol, policy, ..
                    }) => self.host.ct_timeout(self.skb, *protocol, policy),
                    Some(&ObjectSpec::CtExpectation {
                        protocol,
                        dport,
                        timeout,
                        size,
                        ..
                    }) => {
                        let life = (timeout, size);
                        return match self.host.ct_expect(self.skb, (protocol, dport), life) {
                            Some(true) => Step::Next,
                            Some(false) => Step::End(Verdict::Drop),
                            None => Step::Break,
                        };
                    }
                    _ => {}
                }
                Step::Next
            }
            None => Step::Break,
        }
    }

    /// All fields of a key; `None` when one cannot be read.
    #[inline]
    pub(super) fn key(&mut self, nodes: &mut [Node], env: &mut Env<'_>) -> Option<Key> {
        let mut key = Key {
            fields: [0; MAX_FIELDS],
            len: nodes.len().min(MAX_FIELDS),
        };
        for (field, node) in key.fields.iter_mut().zip(nodes) {
            *field = self.node(node, env)?;
        }
        Some(key)
    }

    /// `nft_lookup_eval()`: the element that has the key, if there is one; `None` when the key cannot be read.
    #[inline]
    pub(super) fn find(
        &mut self,
        key: &mut [Node],
        set: &mut SetSel,
        env: &mut Env<'_>,
    ) -> Option<Option<u32>> {
        if let [node] = key {
            let value = self.node(node, env)?;
            return Some(self.lookup(&[value], set, env));
        }
        let key = self.key(key, env)?;
        Some(self.lookup(key.as_slice(), set, env))
    }

    /// The element's own counters and limits see the packet, too.
    #[inline]
    fn lookup(&mut self, key: &[u128], set: &mut SetSel, env: &mut Env<'_>) -> Option<u32> {
        let elements = elements(set, env)?;
        let at = elements.lookup(key, self.state.now)?;
        let state = &mut elements.slot_mut(at)?.state;
        // A limit that is exceeded ends the rule, found or not.
        let mut state = state.iter_mut();
        state
            .all(|s| s.pass(self.skb, self.state, self.host))
            .then_some(at)
    }

    /// `nft_reject_*_eval()`: what cannot be answered is dropped all the same.
    fn reject(&mut self, kind: RejectKind) -> Step {
        if kind == RejectKind::TcpReset && self.packet.l4proto != Some(6) {
            return Step::End(Verdict::Drop);
        }
        Step::Reject(kind)
    }

    fn set_meta(&mut self, key: MetaKey, value: u128) {
        match key {
            MetaKey::Mark => {
                self.skb.mark = value as u32;
                self.packet.refresh(self.skb);
            }
            MetaKey::Priority => self.skb.priority = value as u32,
            MetaKey::NfTrace => self.skb.nf_trace = value != 0,
            // nft_meta_set_eval_pkttype(): only among those that are received.
            MetaKey::PktType => {
                let ours = |t| {
                    matches!(
                        t,
                        PktType::Host
                            | PktType::Broadcast
                            | PktType::Multicast
                            | PktType::OtherHost
                    )
                };
                let new = match value {
                    0 => PktType::Host,
                    1 => PktType::Broadcast,
                    2 => PktType::Multicast,
                    3 => PktType::OtherHost,
                    _ => return,
                };
                if ours(self.skb.pkt_type) {
                    self.skb.pkt_type = new;
                }
            }
            _ => {}
        }
    }
}
