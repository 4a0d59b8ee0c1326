//! Next hops by number, which several routes share (`ip nexthop`, net/ipv4/nexthop.c).

use super::info::Nexthop;
use super::trie::Key;
use super::{Fib, Rpdb};
use crate::skb::IfIndex;
use std::collections::{BTreeMap, BTreeSet};

/// What a number stands for (`struct nexthop`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NexthopObject {
    /// One way.
    Way(Nexthop),
    /// Packets are dropped.
    Blackhole,
    /// Several of them by number, each with its weight.
    Group(Vec<(u32, u16)>),
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NexthopObjects(BTreeMap<u32, NexthopObject>);

impl NexthopObjects {
    pub fn get(&self, id: u32) -> Option<&NexthopObject> {
        self.0.get(&id)
    }

    /// By number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &NexthopObject)> {
        self.0.iter().map(|(id, object)| (*id, object))
    }

    /// `nh_find_unused_id()`: the lowest number that is free; the kernel looks from the last one that it found so on.
    pub fn unused(&self) -> Option<u32> {
        (1..=u32::MAX).find(|id| !self.0.contains_key(id))
    }

    /// The ways of a number; none for a blackhole.
    pub fn ways(&self, id: u32) -> Vec<Nexthop> {
        match self.0.get(&id) {
            Some(NexthopObject::Way(way)) => vec![*way],
            Some(NexthopObject::Group(members)) => {
                let way = |(id, weight): &(u32, u16)| match self.0.get(id) {
                    Some(NexthopObject::Way(way)) => Some(Nexthop {
                        weight: *weight,
                        ..*way
                    }),
                    _ => None,
                };
                members.iter().filter_map(way).collect()
            }
            Some(NexthopObject::Blackhole) | None => Vec::new(),
        }
    }

    /// The number and the groups that have it.
    fn concerned(&self, id: u32) -> BTreeSet<u32> {
        let has = |object: &NexthopObject| matches!(object, NexthopObject::Group(members) if members.iter().any(|(m, _)| *m == id));
        let groups = self.0.iter().filter(|(_, object)| has(object));
        groups.map(|(group, _)| *group).chain([id]).collect()
    }
}

impl Fib {
    /// `insert_nexthop()`, `replace_nexthop()`: routes that go there go the new way.
    pub fn set_nexthop(&mut self, id: u32, object: NexthopObject) {
        self.nexthops.0.insert(id, object);
        self.nexthops_changed(&self.nexthops.concerned(id));
    }

    /// `remove_nexthop()`: its routes go; groups lose it, and go with their last one. `false` when there is none.
    pub fn remove_nexthop(&mut self, id: u32) -> bool {
        let concerned = self.nexthops.concerned(id);
        if self.nexthops.0.remove(&id).is_none() {
            return false;
        }
        for object in self.nexthops.0.values_mut() {
            if let NexthopObject::Group(members) = object {
                members.retain(|(member, _)| *member != id);
            }
        }
        let empty = |object: &NexthopObject| matches!(object, NexthopObject::Group(members) if members.is_empty());
        self.nexthops.0.retain(|_, object| !empty(object));
        self.nexthops_changed(&concerned);
        true
    }

    /// `nexthop_flush_dev()`
    pub fn remove_nexthops_of(&mut self, dev: IfIndex) {
        let of_dev = |(id, object): (u32, &NexthopObject)| match object {
            NexthopObject::Way(way) if way.oif == dev => Some(id),
            _ => None,
        };
        let gone: Vec<u32> = self.nexthops.iter().filter_map(of_dev).collect();
        for id in gone {
            self.remove_nexthop(id);
        }
    }

    fn nexthops_changed(&mut self, concerned: &BTreeSet<u32>) {
        self.v4.nexthops_changed(concerned, &self.nexthops);
        self.v6.nexthops_changed(concerned, &self.nexthops);
    }
}

impl<K: Key> Rpdb<K> {
    fn nexthops_changed(&mut self, concerned: &BTreeSet<u32>, objects: &NexthopObjects) {
        for table in &mut self.tables {
            for (key, len, alias) in table.routes() {
                let info = self.infos.get(alias.info);
                if !concerned.contains(&info.nhid) {
                    continue;
                }
                let this = |a: &super::Alias| (a.info, a.tos) == (alias.info, alias.tos);
                let mut info = info.clone();
                if objects.get(info.nhid).is_none() {
                    table.remove(key, len, this);
                } else {
                    info.nexthops = objects.ways(info.nhid);
                    let new = self.infos.acquire(info);
                    table.replace_info(key, len, this, new);
                }
                self.infos.release(alias.info);
            }
        }
    }
}
