//! How many connections share something (`nf_conncount.c`): what `ct count` and connection limits count with.

use super::conn::CtZone;
use super::table::Conntrack;
use super::tuple::Tuple;
use crate::Ps;

/// Connections that are counted together (`struct nf_conncount_list`), those that ended taken out now and then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnCount {
    conns: Vec<(Tuple, CtZone)>,
    /// The kernel's tick in which they were last looked at: not more than once in each.
    swept: Option<Ps>,
}

impl ConnCount {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// `nf_conncount_gc_list()`
    fn sweep(&mut self, table: &Conntrack, now: Ps) {
        let tick = now / super::JIFFY;
        if self.swept.replace(tick) == Some(tick) {
            return;
        }
        self.conns.retain(|(tuple, zone)| {
            let found = table.find(tuple, *zone, now);
            let conn = found.and_then(|(id, _)| table.get(id));
            conn.is_some_and(|conn| !conn.is_closed())
        });
    }
}

impl Conntrack {
    /// `nf_conncount_add_skb()`: one more, unless it is counted already. What is confirmed was counted when it was new.
    pub(crate) fn count_into(
        &self,
        list: &mut ConnCount,
        tuple: Tuple,
        zone: CtZone,
        confirmed: bool,
        now: Ps,
    ) {
        list.sweep(self, now);
        if !confirmed && !list.conns.contains(&(tuple, zone)) {
            list.conns.push((tuple, zone));
        }
    }
}
