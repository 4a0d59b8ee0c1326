//! A packet meets its connection (`nf_conntrack_in()`), and a new connection enters the table (`nf_confirm()`).

use super::conn::{CtId, CtInfo, CtStatus, CtZone, NfCt, Proto};
use super::event;
use super::helper::Helper;
use super::table::Conntrack;
use super::tcp::{Context, Segment, TcpState, TcpTrack, TcpVerdict};
use super::tuple::{Dir, IPPROTO_GRE, L4, Tuple};
use crate::checksum::pseudo_header;
use crate::hook::{Family, Hook, HookState, Verdict};
use crate::ipv4::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
use crate::ipv6::IPPROTO_ICMPV6;
use crate::skb::{CsumState, IfIndex, SkBuff, SoftSum};
use crate::udp::UDP_HLEN;
use crate::{Ps, SEC};

/// After this time of traffic both ways, UDP is a stream (`stream_ts`).
const UDP_STREAM_AFTER: Ps = 2 * SEC;

/// Bytes of a packet that trackers and NAT look at: headers of both layers, and for ICMP errors those of the quoted packet.
const HEADERS: usize = 256;

/// Makes the headers lie in one piece, however the packet was received.
fn pull_headers(skb: &mut SkBuff) {
    if skb.is_nonlinear() {
        skb.pskb_may_pull(HEADERS.min(skb.len()));
    }
}

/// What a protocol's tracker says of a packet.
enum Tracked {
    Accept,
    Invalid,
    /// The connection is gone: look up again.
    Repeat,
}

impl Conntrack {
    /// `nf_conntrack_in()`: `skb` (data at the IP header) gets its reference; without one afterwards it is INVALID. It is dropped when the
    /// table is full.
    pub(crate) fn nf_conntrack_in(&mut self, skb: &mut SkBuff, state: &HookState) -> Verdict {
        let mut zone = CtZone::default();
        if let Some(nfct) = skb.nfct {
            match nfct.template_zone() {
                Some(wanted) => zone = wanted,
                // Seen before (it came back through lo), or not to be tracked.
                None => return Verdict::Accept,
            }
            skb.nfct = None;
        }
        pull_headers(skb);
        let Some(l4) = L4::of(skb.data(), state.family) else {
            self.stats_mut().invalid += 1;
            return Verdict::Accept;
        };
        if matches!(l4.protocol, IPPROTO_ICMP | IPPROTO_ICMPV6) {
            if !self.handle_icmp(skb, state, l4, zone) {
                self.stats_mut().error += 1;
                return Verdict::Accept;
            }
            if skb.nfct.is_some() {
                return Verdict::Accept;
            }
        }
        // A connection can be reopened once per packet: what replaces it is new.
        for _ in 0..2 {
            let nfct = match self.resolve_normal(skb, state, l4, zone) {
                Ok(Some(nfct)) => nfct,
                Ok(None) => break,
                Err(full) => return full,
            };
            match self.handle_packet(skb, state, l4, nfct) {
                Tracked::Accept => {
                    skb.nfct = Some(nfct);
                    self.saw_reply(nfct);
                    return Verdict::Accept;
                }
                Tracked::Invalid => {
                    self.put(Some(nfct));
                    break;
                }
                Tracked::Repeat => {
                    self.kill(nfct.id, state.now);
                    self.put(Some(nfct));
                }
            }
        }
        self.stats_mut().invalid += 1;
        Verdict::Accept
    }

    /// The first packet in the reply direction: the connection has two ends.
    fn saw_reply(&mut self, nfct: NfCt) {
        if nfct.info != CtInfo::EstablishedReply {
            return;
        }
        if let Some(conn) = self
            .get_mut(nfct.id)
            .filter(|c| !c.status.has(CtStatus::SEEN_REPLY))
        {
            conn.status |= CtStatus::SEEN_REPLY;
            conn.events |= event::REPLY;
        }
    }

    /// `resolve_normal_ct()`: finds or makes the connection. `Ok(None)`: the packet cannot begin one.
    fn resolve_normal(
        &mut self,
        skb: &SkBuff,
        state: &HookState,
        l4: L4,
        zone: CtZone,
    ) -> Result<Option<NfCt>, Verdict> {
        let Some(tuple) = Tuple::of(skb.data(), state.family, l4) else {
            return Ok(None);
        };
        let (id, dir) = match self.find(&tuple, zone, state.now) {
            Some(found) => found,
            None => {
                let Some(reply) = tuple.invert() else {
                    return Ok(None);
                };
                let Some(id) = self.alloc(tuple, reply, zone, state.now) else {
                    self.stats_mut().drop += 1;
                    return Err(Verdict::Drop);
                };
                self.init_expected(id, &tuple, zone, state.now);
                (id, Dir::Original)
            }
        };
        let status = self.get(id).map_or(CtStatus::default(), |c| c.status);
        let info = match dir {
            Dir::Reply => CtInfo::EstablishedReply,
            Dir::Original if status.has(CtStatus::SEEN_REPLY) => CtInfo::Established,
            Dir::Original if status.has(CtStatus::EXPECTED) => CtInfo::Related,
            Dir::Original => CtInfo::New,
        };
        Ok(Some(NfCt { id, info }))
    }

    /// What `init_conntrack()` does about a connection that was expected.
    fn init_expected(&mut self, id: CtId, tuple: &Tuple, zone: CtZone, now: Ps) {
        if self.expected.is_empty() {
            return;
        }
        let Some(expected) = self.find_expectation(tuple, zone, now) else {
            return;
        };
        let mark = self.get(expected.master).map_or(0, |master| master.mark);
        if let Some(conn) = self.get_mut(id) {
            conn.status |= CtStatus::EXPECTED;
            conn.master = Some(expected.master);
            conn.mark = mark;
        }
        self.nf_nat_follow_master(id, &expected, now);
    }

    /// `nf_conntrack_handle_packet()`.
    fn handle_packet(
        &mut self,
        skb: &mut SkBuff,
        state: &HookState,
        l4: L4,
        nfct: NfCt,
    ) -> Tracked {
        match l4.protocol {
            IPPROTO_TCP => self.tcp_packet(skb, state, l4, nfct),
            IPPROTO_UDP => self.udp_packet(skb, state, l4, nfct),
            IPPROTO_ICMP => {
                self.icmp_packet(skb, state, nfct, Family::Ipv4, self.config.icmp_timeout)
            }
            IPPROTO_ICMPV6 => {
                self.icmp_packet(skb, state, nfct, Family::Ipv6, self.config.icmpv6_timeout)
            }
            IPPROTO_GRE => self.gre_packet(skb, state, nfct),
            _ => {
                self.refresh_acct(skb, nfct, self.config.generic_timeout, state.now);
                Tracked::Accept
            }
        }
    }

    /// `nf_ct_refresh_acct()`.
    fn refresh_acct(&mut self, skb: &SkBuff, nfct: NfCt, timeout: Ps, now: Ps) {
        self.refresh(nfct.id, timeout, now);
        self.account(skb, nfct);
    }

    fn account(&mut self, skb: &SkBuff, nfct: NfCt) {
        let counters = self.get_mut(nfct.id).and_then(|c| c.counters.as_mut());
        if let Some(counters) = counters {
            let counter = &mut counters[nfct.info.dir() as usize];
            counter.packets += 1;
            counter.bytes += skb.len() as u64;
        }
    }

    /// `nf_checksum()`, where it is looked at: what this host sends is right, and later hooks saw it already.
    pub(super) fn checksum_ok(&self, skb: &mut SkBuff, state: &HookState, l4: L4) -> bool {
        if !self.config.checksum || state.hook != Hook::PreRouting {
            return true;
        }
        let pseudo = match super::tuple::addresses(skb.data(), state.family) {
            Some((src, dst)) if l4.protocol != IPPROTO_ICMP => {
                pseudo_header(src, dst, l4.protocol, (skb.len() - l4.offset) as u32)
            }
            _ => 0,
        };
        let before = skb.csum;
        if skb.skb_pull_rcsum(l4.offset).is_none() {
            return false;
        }
        let ok = skb.checksum_ok(pseudo);
        // The bytes that were pulled are still there.
        let _ = skb.push(l4.offset);
        skb.csum = before;
        if ok && !skb.skb_csum_unnecessary() {
            skb.csum = CsumState::Unnecessary;
            skb.csum_level = 0;
            if before == CsumState::None {
                skb.soft_sum = SoftSum::Right;
            }
        }
        ok
    }

    /// `nf_conntrack_udp_packet()`.
    fn udp_packet(&mut self, skb: &mut SkBuff, state: &HookState, l4: L4, nfct: NfCt) -> Tracked {
        let len = skb.len().saturating_sub(l4.offset);
        let header = skb
            .data()
            .get(l4.offset..)
            .and_then(|h| h.first_chunk::<UDP_HLEN>());
        let Some(&[_, _, _, _, l0, l1, c0, c1]) = header else {
            return Tracked::Invalid;
        };
        let said = usize::from(u16::from_be_bytes([l0, l1]));
        if said > len || said < UDP_HLEN {
            return Tracked::Invalid;
        }
        if (c0, c1) != (0, 0) && !self.checksum_ok(skb, state, l4) {
            return Tracked::Invalid;
        }
        let now = state.now;
        let (once, stream) = (self.config.udp_timeout, self.config.udp_timeout_stream);
        let Some(conn) = self.get_mut(nfct.id) else {
            return Tracked::Invalid;
        };
        if !conn.is_confirmed() {
            conn.proto = Proto::Udp {
                stream_from: now.saturating_add(UDP_STREAM_AFTER),
            };
        }
        let long = matches!(conn.proto, Proto::Udp { stream_from } if now > stream_from);
        let [once, stream] = match &conn.timeouts {
            Some(own) => own.udp,
            None => [once, stream],
        };
        let both_ways = conn.status.has(CtStatus::SEEN_REPLY);
        if both_ways && long && !conn.status.has(CtStatus::ASSURED | CtStatus::NAT_CLASH) {
            conn.status |= CtStatus::ASSURED;
            conn.events |= event::ASSURED;
        }
        let timeout = if both_ways && long { stream } else { once };
        self.refresh_acct(skb, nfct, timeout, now);
        Tracked::Accept
    }

    /// `nf_conntrack_gre_packet()`
    fn gre_packet(&mut self, skb: &SkBuff, state: &HookState, nfct: NfCt) -> Tracked {
        let (once, stream) = (self.config.gre_timeout, self.config.gre_timeout_stream);
        let Some(conn) = self.get_mut(nfct.id) else {
            return Tracked::Invalid;
        };
        let both_ways = conn.status.has(CtStatus::SEEN_REPLY);
        if both_ways && !conn.status.has(CtStatus::ASSURED | CtStatus::NAT_CLASH) {
            conn.status |= CtStatus::ASSURED;
            conn.events |= event::ASSURED;
        }
        let timeout = if both_ways { stream } else { once };
        self.refresh_acct(skb, nfct, timeout, state.now);
        Tracked::Accept
    }

    /// `nf_conntrack_icmp_packet()`, `nf_conntrack_icmpv6_packet()`.
    fn icmp_packet(
        &mut self,
        skb: &SkBuff,
        state: &HookState,
        nfct: NfCt,
        family: Family,
        timeout: Ps,
    ) -> Tracked {
        // Only queries begin connections.
        let query = self
            .get(nfct.id)
            .is_some_and(|c| c.original.is_icmp_query());
        if state.family != family || !query {
            return Tracked::Invalid;
        }
        self.refresh_acct(skb, nfct, timeout, state.now);
        Tracked::Accept
    }

    /// `nf_conntrack_tcp_packet()`.
    fn tcp_packet(&mut self, skb: &mut SkBuff, state: &HookState, l4: L4, nfct: NfCt) -> Tracked {
        if !self.checksum_ok(skb, state, l4) {
            return Tracked::Invalid;
        }
        let len = skb.len().saturating_sub(l4.offset);
        let Some(segment) = skb
            .data()
            .get(l4.offset..)
            .and_then(|h| Segment::new(h, len))
        else {
            return Tracked::Invalid;
        };
        let now = state.now;
        let dir = nfct.info.dir();
        let Some(slot) = self.conn_and_config(nfct.id) else {
            return Tracked::Invalid;
        };
        let (conn, config) = slot;
        if !conn.is_confirmed() {
            let mut track = TcpTrack::new();
            if !track.begin(&segment, config) {
                return Tracked::Invalid;
            }
            conn.proto = Proto::Tcp(track);
        }
        let cx = Context {
            dir,
            status: conn.status,
            expires_in: conn.expires_in(now),
            // What the other side acknowledges was numbered anew by NAT.
            ack_offset: conn.seqadj[dir.reverse() as usize].offset(segment.ack_seq.wrapping_sub(1)),
            config,
            times: conn.timeouts.as_deref().map_or(&config.tcp, |own| &own.tcp),
        };
        let Proto::Tcp(track) = &mut conn.proto else {
            return Tracked::Invalid;
        };
        match track.packet(&segment, &cx) {
            TcpVerdict::Accept {
                timeout,
                changed,
                assured,
            } => {
                if changed {
                    conn.events |= event::PROTOINFO;
                }
                if assured {
                    conn.status |= CtStatus::ASSURED;
                    conn.events |= event::ASSURED;
                }
                if let Some(timeout) = timeout {
                    self.refresh_acct(skb, nfct, timeout, now);
                }
                Tracked::Accept
            }
            TcpVerdict::Invalid { shorten } => {
                if let Some(timeout) = shorten {
                    self.refresh(nfct.id, timeout, now);
                }
                Tracked::Invalid
            }
            TcpVerdict::Repeat => Tracked::Repeat,
            TcpVerdict::Kill { changed } => {
                if changed {
                    conn.events |= event::PROTOINFO;
                }
                self.account(skb, nfct);
                self.kill(nfct.id, now);
                Tracked::Accept
            }
        }
    }

    /// `nf_conntrack_tcp_set_closing()`: a rule rejected the connection.
    pub(crate) fn tcp_set_closing(&mut self, id: CtId, now: Ps) {
        let close = self.config.tcp.close;
        let Some(conn) = self.get_mut(id).filter(|c| c.is_confirmed()) else {
            return;
        };
        let Proto::Tcp(track) = &mut conn.proto else {
            return;
        };
        if track.state != TcpState::Close {
            track.state = TcpState::Close;
            conn.events |= event::PROTOINFO;
            self.refresh(id, close, now);
        }
    }

    /// `nf_confirm()`: the packet gets through; a new connection enters the table, and what happened to it is reported.
    pub(crate) fn nf_confirm(&mut self, skb: &mut SkBuff, state: &HookState) -> Verdict {
        let Some(nfct) = skb.nfct else {
            return Verdict::Accept;
        };
        let Some(conn) = self.get(nfct.id) else {
            return Verdict::Accept;
        };
        if conn.status.has(CtStatus::DYING) {
            // The packet that ended it leaves this host: nobody asks for it any more.
            if state.hook == Hook::PostRouting && state.oif != Some(IfIndex::LO) {
                self.put(skb.nfct.take());
            }
            return Verdict::Accept;
        }
        if conn.helper.is_some() || conn.status.has(CtStatus::SEQ_ADJUST) {
            let verdict = self.help_and_adjust(skb, nfct, state);
            if verdict != Verdict::Accept {
                return verdict;
            }
        }
        let Some(conn) = self.get(nfct.id) else {
            return Verdict::Accept;
        };
        // Errors about a packet do not confirm its connection.
        if !conn.is_confirmed() && nfct.info.dir() == Dir::Original {
            let verdict = self.confirm(skb, nfct, state.now);
            if verdict == Verdict::Drop {
                return verdict;
            }
        }
        if let Some(nfct) = skb.nfct {
            self.deliver(nfct.id, state.now);
        }
        Verdict::Accept
    }

    /// What `nf_confirm()` does before confirmation: the helper, and sequence numbers if they were to be adjusted before.
    fn help_and_adjust(&mut self, skb: &mut SkBuff, nfct: NfCt, state: &HookState) -> Verdict {
        let Some(conn) = self.get(nfct.id) else {
            return Verdict::Accept;
        };
        // Errors have nothing to look into.
        if nfct.info == CtInfo::RelatedReply {
            return Verdict::Accept;
        }
        let looped = state.iif == Some(IfIndex::LO) || state.oif == Some(IfIndex::LO);
        let (helper, adjust) = (
            conn.helper,
            conn.status.has(CtStatus::SEQ_ADJUST) && !looped,
        );
        let Some(l4) = L4::of(skb.data(), state.family).filter(|l4| l4.protocol == IPPROTO_TCP)
        else {
            return Verdict::Accept;
        };
        if helper == Some(Helper::Ftp) {
            let verdict = self.ftp_help(skb, nfct, l4.offset, state.now);
            if verdict != Verdict::Accept {
                return verdict;
            }
        }
        if adjust
            && self
                .seq_adjust(nfct.id, nfct.info, skb, l4.offset)
                .is_none()
        {
            return Verdict::Drop;
        }
        Verdict::Accept
    }

    /// `__nf_conntrack_confirm()`.
    fn confirm(&mut self, skb: &mut SkBuff, nfct: NfCt, now: Ps) -> Verdict {
        let Some(conn) = self.get(nfct.id) else {
            return Verdict::Accept;
        };
        let (zone, original, reply) = (conn.zone, conn.original, conn.reply);
        let event = match conn.master {
            Some(_) => event::RELATED,
            None => event::NEW,
        };
        let clash = self
            .find(&original, zone, now)
            .or_else(|| self.find_reply(&reply, zone, now));
        if let Some((winner, _)) = clash {
            return self.resolve_clash(skb, nfct, winner, now);
        }
        self.insert(nfct.id, now);
        self.cache_event(nfct.id, event);
        Verdict::Accept
    }
}
