//! Two packets of one flow that no connection is known of yet, under way at the same time: each has a connection of its own, and one of them
//! is confirmed first. Protocols without a state (UDP, `allow_clash`) can go on with either; others lose the second packet.

use super::conn::{CtId, CtStatus, CtZone, NfCt};
use super::table::Conntrack;
use super::tuple::Dir;
use crate::hook::Verdict;
use crate::ipv4::IPPROTO_UDP;
use crate::skb::SkBuff;
use crate::{Ps, SEC};

impl Conntrack {
    /// `nf_ct_resolve_clash()`: `winner` is confirmed already and has a tuple of the connection of `loser`, which `skb` was to confirm.
    pub(super) fn resolve_clash(
        &mut self,
        skb: &mut SkBuff,
        loser: NfCt,
        winner: CtId,
        now: Ps,
    ) -> Verdict {
        if self.try_resolve(skb, loser, winner, now) {
            self.stats_mut().clash_resolve += 1;
            return Verdict::Accept;
        }
        self.stats_mut().drop += 1;
        self.stats_mut().insert_failed += 1;
        Verdict::Drop
    }

    fn try_resolve(&mut self, skb: &mut SkBuff, loser: NfCt, winner: CtId, now: Ps) -> bool {
        let Some(lost) = self.get(loser.id) else {
            return false;
        };
        if lost.original.protocol != IPPROTO_UDP {
            return false;
        }
        let (original, reply, zone) = (lost.original, lost.reply, lost.zone);
        let adopt = |ct: &Self, id: CtId| {
            // nf_ct_can_merge(): the same connection, or the same seen from the other end.
            let zones = |zone: CtZone| [Dir::Original, Dir::Reply].map(|dir| zone.id_of(dir));
            ct.get(id).is_some_and(|won| {
                let [first, second] = zones(zone);
                let (there, back) = (won.original, won.reply);
                (there, back, zones(won.zone)) == (original, reply, [first, second])
                    || (there, back, zones(won.zone)) == (reply, original, [second, first])
            })
        };
        let taken = self.find_reply(&reply, zone, now).map(|(id, _)| id);
        for id in [Some(winner), taken].into_iter().flatten() {
            if adopt(self, id) {
                self.put(Some(loser));
                skb.nfct = Some(NfCt {
                    id,
                    info: loser.info,
                });
                return true;
            }
        }
        if taken.is_some() {
            return false;
        }
        // nf_ct_resolve_clash_harder(): it will see replies only, and not for long.
        if let Some(conn) = self.get_mut(loser.id) {
            conn.timeout = SEC;
            conn.status |= CtStatus::FIXED_TIMEOUT | CtStatus::NAT_CLASH;
        }
        self.insert(loser.id, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::{Family, Hook, HookState};
    use crate::netfilter::conntrack::CtStats;
    use crate::netfilter::nat::{NatManip, NatRange};
    use std::net::{IpAddr, Ipv4Addr};

    const A: [u8; 4] = [10, 0, 1, 2];
    const B: [u8; 4] = [10, 0, 2, 2];

    fn state(hook: Hook) -> HookState {
        HookState {
            hook,
            family: Family::Ipv4,
            iif: None,
            oif: None,
            now: 5 * SEC,
        }
    }

    /// A packet from one address and port to another, with the connection that it gets before routing.
    fn arrives(
        ct: &mut Conntrack,
        protocol: u8,
        src: ([u8; 4], u16),
        dst: ([u8; 4], u16),
    ) -> SkBuff {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet.extend(src.0.into_iter().chain(dst.0));
        packet.extend(src.1.to_be_bytes().into_iter().chain(dst.1.to_be_bytes()));
        match protocol {
            // Length, no checksum, payload.
            IPPROTO_UDP => packet.extend([0, 20, 0, 0]),
            // A SYN.
            _ => packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 16, 0, 0, 0, 0, 0]),
        }
        packet.resize(40, 0);
        let mut skb = SkBuff::from_vec(packet);
        skb.csum = crate::skb::CsumState::Unnecessary;
        assert_eq!(
            ct.nf_conntrack_in(&mut skb, &state(Hook::PreRouting)),
            Verdict::Accept
        );
        assert!(skb.nfct.is_some());
        skb
    }

    fn leaves(ct: &mut Conntrack, skb: &mut SkBuff) -> Verdict {
        ct.nf_confirm(skb, &state(Hook::PostRouting))
    }

    fn id(skb: &SkBuff) -> CtId {
        skb.nfct.map(|nfct| nfct.id).unwrap()
    }

    /// `dnat to`, as a rule would do it.
    fn dnat(ct: &mut Conntrack, skb: &SkBuff, to: [u8; 4], port: u16) {
        let to = IpAddr::from(Ipv4Addr::from(to));
        let range = NatRange {
            addrs: Some((to, to)),
            ports: Some((port, port)),
            ..NatRange::default()
        };
        ct.nat_setup_info(id(skb), &range, NatManip::Dst, 5 * SEC);
    }

    const RESOLVED: CtStats = CtStats {
        clash_resolve: 1,
        invalid: 0,
        insert_failed: 0,
        drop: 0,
        early_drop: 0,
        error: 0,
    };

    #[test]
    fn the_same_flow_twice_is_one_connection() {
        let mut ct = Conntrack::new(1);
        let (a, b) = ((A, 40000), (B, 53));
        let mut first = arrives(&mut ct, IPPROTO_UDP, a, b);
        let mut second = arrives(&mut ct, IPPROTO_UDP, a, b);
        assert_ne!(id(&first), id(&second));
        assert_eq!(leaves(&mut ct, &mut first), Verdict::Accept);
        assert_eq!(leaves(&mut ct, &mut second), Verdict::Accept);
        // __nf_ct_resolve_clash(): it goes on with the winner's, its own is gone.
        assert_eq!(id(&first), id(&second));
        assert_eq!((ct.count(), ct.stats()), (1, RESOLVED));
    }

    /// Both ends ask at once; `nf_ct_match_reverse()`.
    #[test]
    fn both_ends_at_once_are_one_connection() {
        let mut ct = Conntrack::new(1);
        let (a, b) = ((A, 500), (B, 500));
        let mut there = arrives(&mut ct, IPPROTO_UDP, a, b);
        let mut back = arrives(&mut ct, IPPROTO_UDP, b, a);
        assert_eq!(leaves(&mut ct, &mut there), Verdict::Accept);
        assert_eq!(leaves(&mut ct, &mut back), Verdict::Accept);
        assert_eq!(id(&there), id(&back));
        assert_eq!((ct.count(), ct.stats()), (1, RESOLVED));
    }

    /// `nf_ct_resolve_clash_harder()`: two queries of one resolver (A and AAAA) that a rule sent to different servers.
    #[test]
    fn what_was_translated_otherwise_sees_replies_for_a_second() {
        let mut ct = Conntrack::new(1);
        let (a, service) = ((A, 40000), (B, 53));
        let mut first = arrives(&mut ct, IPPROTO_UDP, a, service);
        let mut second = arrives(&mut ct, IPPROTO_UDP, a, service);
        dnat(&mut ct, &first, [10, 0, 2, 3], 53);
        dnat(&mut ct, &second, [10, 0, 2, 4], 53);
        assert_eq!(leaves(&mut ct, &mut first), Verdict::Accept);
        assert_eq!(leaves(&mut ct, &mut second), Verdict::Accept);
        let own = id(&second);
        assert_ne!(id(&first), own);
        assert_eq!((ct.count(), ct.stats()), (2, RESOLVED));
        let loser = ct.get(own).unwrap();
        assert!(
            loser
                .status
                .has(CtStatus::FIXED_TIMEOUT | CtStatus::NAT_CLASH)
        );
        assert!(loser.is_confirmed());
        let (zone, original, reply) = (loser.zone, loser.original, loser.reply);
        let now = 5 * SEC;
        // Its original direction is the winner's; of its own there is the other one.
        assert_eq!(
            ct.find(&original, zone, now),
            Some((id(&first), Dir::Original))
        );
        assert_eq!(ct.find(&reply, zone, now), Some((own, Dir::Reply)));
        assert_eq!(ct.find(&reply, zone, now + SEC + 1), None);
        // conntrack -L has the winner only.
        let list = ct.list(now);
        assert_eq!(list.lines().count(), 1, "{list}");
        assert!(list.contains("src=10.0.2.3"), "{list}");
    }

    /// Replies come through as long as it is there; none makes it ASSURED or live longer (`nf_conntrack_udp_packet()`).
    #[test]
    fn replies_do_not_prolong_it() {
        let mut ct = Conntrack::new(1);
        let (a, service) = ((A, 40000), (B, 53));
        let mut first = arrives(&mut ct, IPPROTO_UDP, a, service);
        let mut second = arrives(&mut ct, IPPROTO_UDP, a, service);
        dnat(&mut ct, &first, [10, 0, 2, 3], 53);
        dnat(&mut ct, &second, [10, 0, 2, 4], 53);
        leaves(&mut ct, &mut first);
        leaves(&mut ct, &mut second);
        let own = id(&second);
        for _ in 0..3 {
            let reply = arrives(&mut ct, IPPROTO_UDP, ([10, 0, 2, 4], 53), a);
            assert_eq!(id(&reply), own);
        }
        let loser = ct.get(own).unwrap();
        assert!(loser.status.has(CtStatus::SEEN_REPLY) && !loser.status.has(CtStatus::ASSURED));
        assert!(loser.expires_in(5 * SEC) <= SEC);
    }

    #[test]
    fn a_protocol_with_a_state_loses_the_second_packet() {
        let mut ct = Conntrack::new(1);
        let (a, b) = ((A, 40000), (B, 80));
        let mut first = arrives(&mut ct, 6, a, b);
        let mut second = arrives(&mut ct, 6, a, b);
        assert_eq!(leaves(&mut ct, &mut first), Verdict::Accept);
        assert_eq!(leaves(&mut ct, &mut second), Verdict::Drop);
        let stats = ct.stats();
        assert_eq!(
            (stats.clash_resolve, stats.insert_failed, stats.drop),
            (0, 1, 1)
        );
    }

    /// Replies of another flow would be taken for those of this one.
    #[test]
    fn nothing_helps_when_the_replies_are_anothers() {
        let mut ct = Conntrack::new(1);
        let (a, server) = ((A, 40000), ([10, 0, 2, 4], 53));
        let mut other = arrives(&mut ct, IPPROTO_UDP, a, server);
        let mut first = arrives(&mut ct, IPPROTO_UDP, a, (B, 53));
        let mut second = arrives(&mut ct, IPPROTO_UDP, a, (B, 53));
        dnat(&mut ct, &first, [10, 0, 2, 3], 53);
        dnat(&mut ct, &second, server.0, 53);
        for skb in [&mut other, &mut first] {
            assert_eq!(leaves(&mut ct, skb), Verdict::Accept);
        }
        assert_eq!(leaves(&mut ct, &mut second), Verdict::Drop);
        let stats = ct.stats();
        assert_eq!(
            (stats.clash_resolve, stats.insert_failed, stats.drop),
            (0, 1, 1)
        );
        assert_eq!(ct.iter().filter(|(_, conn)| conn.is_confirmed()).count(), 2);
    }
}
