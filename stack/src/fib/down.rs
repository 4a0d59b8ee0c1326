//! Routes through devices that go down and come up again (`fib_sync_down_dev()`, `fib_sync_up()`).

use super::info::{FibInfo, RouteType};
use super::trie::Key;
use super::{Fib, Rpdb};
use crate::skb::IfIndex;

impl Fib {
    /// The device is down: its ways are dead, and routes without another way go. Those that say which IPv4 addresses are this host's stay.
    pub fn sync_down_dev(&mut self, dev: IfIndex) {
        self.v4.sync_dev(dev, |kind| kind != RouteType::Local, true);
        self.v6.sync_dev(dev, |_| true, true);
    }

    /// The device is up: what is left of routes with several ways gets its own way back.
    pub fn sync_up(&mut self, dev: IfIndex) {
        self.v4.sync_dev(dev, |_| true, false);
        self.v6.sync_dev(dev, |_| true, false);
    }

    /// The device goes for good (`fib_disable_ip()`, `fib6_ifdown()`): IPv4 loses the routes that have any way through it, IPv6 the ways.
    pub fn remove_routes_of(&mut self, dev: IfIndex) {
        self.v4.remove_ways_of(dev, true);
        self.v6.remove_ways_of(dev, false);
    }
}

impl<K: Key> Rpdb<K> {
    fn remove_ways_of(&mut self, dev: IfIndex, whole_route: bool) {
        for table in &mut self.tables {
            for (key, len, alias) in table.routes() {
                let mut info: FibInfo = self.infos.get(alias.info).clone();
                if !info.nexthops.iter().any(|n| n.oif == dev) {
                    continue;
                }
                info.nexthops.retain(|n| n.oif != dev);
                let this = |a: &super::Alias| (a.info, a.tos) == (alias.info, alias.tos);
                if whole_route || info.nexthops.is_empty() {
                    table.remove(key, len, this);
                } else {
                    let new = self.infos.acquire(info);
                    table.replace_info(key, len, this, new);
                }
                self.infos.release(alias.info);
            }
        }
    }

    fn sync_dev(&mut self, dev: IfIndex, concerned: impl Fn(RouteType) -> bool, dead: bool) {
        for table in &mut self.tables {
            for (key, len, alias) in table.routes() {
                let info = self.infos.get(alias.info);
                let changes = info.nexthops.iter().any(|n| n.oif == dev && n.dead != dead);
                if !changes || !concerned(alias.kind) {
                    continue;
                }
                let mut info: FibInfo = info.clone();
                for nexthop in info.nexthops.iter_mut().filter(|n| n.oif == dev) {
                    nexthop.dead = dead;
                }
                let this = |a: &super::Alias| (a.info, a.tos) == (alias.info, alias.tos);
                if info.nexthops.iter().all(|n| n.dead) {
                    table.remove(key, len, this);
                } else {
                    let new = self.infos.acquire(info);
                    table.replace_info(key, len, this, new);
                }
                self.infos.release(alias.info);
            }
        }
    }
}
