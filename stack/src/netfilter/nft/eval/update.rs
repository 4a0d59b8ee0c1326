//! Sets changed by packets (`nft_dynset_eval()`).

use super::Run;
use super::op::Env;
use crate::netfilter::nft::expr::{Elem, ElemData, Part};
use crate::netfilter::nft::program::SetUpdateOp;
use crate::netfilter::nft::set::{Data, Slot};
use crate::netfilter::nft::state::State;
use crate::netfilter::nft::stmt::SetOp;

impl Run<'_> {
    /// `None` ends the rule: the set is full, or the element's limit is exceeded.
    pub(super) fn set_update(&mut self, update: &mut SetUpdateOp, env: &mut Env<'_>) -> Option<()> {
        let key = self.key(&mut update.key, env)?;
        let mut values = [(0, 0); 2];
        for (value, node) in values.iter_mut().zip(&mut update.data) {
            let v = self.node(node, env)?;
            *value = (v, v);
        }
        let now = self.state.now;
        let set = env.sets.get_mut(update.set)?;
        let at = set.elems.lookup(key.as_slice(), now);
        if update.op == SetOp::Delete {
            return at.map(|at| set.elems.remove(at));
        }
        let default = set.spec.timeout.map(|ms| ms.saturating_mul(crate::MS));
        let life = update.life.or(default).filter(|_| set.spec.has_timeout);
        let at = match at {
            Some(at) => {
                // An update starts the life again; an add does not.
                if update.op == SetOp::Update
                    && let Some(slot) = set.elems.slot_mut(at)
                    && slot.expires.is_some()
                {
                    slot.expires = life.map(|life| now.saturating_add(life));
                }
                at
            }
            // A new element is the only thing that takes memory here.
            None => {
                let parts = key.as_slice().iter().map(|v| Part::Value(*v)).collect();
                let mut elem = Elem::new(parts);
                let data = match set.spec.data.as_slice() {
                    [] => Data::None,
                    types => {
                        let values = &values[..types.len().min(values.len())];
                        let parts = values.iter().map(|(v, _)| Part::Value(*v)).collect();
                        elem.data = Some(ElemData::Value(parts, types.to_vec()));
                        Data::Values(values.into())
                    }
                };
                // What a list shows besides the set's own timeout.
                elem.timeout = update
                    .life
                    .filter(|life| Some(*life) != default)
                    .map(|life| life / crate::MS);
                let own: Vec<State> = if update.state.is_empty() {
                    set.spec.stmts.iter().filter_map(State::new).collect()
                } else {
                    update.state.clone()
                };
                let slot = Slot {
                    elem,
                    data,
                    state: own,
                    expires: life.map(|life| now.saturating_add(life)),
                };
                set.elems.insert(slot, now).ok()?
            }
        };
        let slot = set.elems.slot_mut(at)?;
        slot.state
            .iter_mut()
            .all(|s| s.pass(self.skb, self.state, self.host))
            .then_some(())
    }
}
