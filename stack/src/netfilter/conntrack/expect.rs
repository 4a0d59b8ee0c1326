//! Connections that are expected because another one announced them (`nf_conntrack_expect.c`).

use super::conn::{CtId, CtZone, NfCt};
use super::table::Conntrack;
use super::tuple::{Dir, Tuple};
use crate::{Ps, SEC};
use std::net::IpAddr;

/// How long an announced connection is waited for (`ftp_exp_policy`).
const TIMEOUT: Ps = 300 * SEC;

/// What the first packet of an expected connection looks like, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Who will come. Its port is not known.
    pub src: IpAddr,
    /// Where to.
    pub dst: IpAddr,
    /// Destination port.
    pub dst_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// Who announced it.
    pub master: CtId,
    /// When it is no longer waited for.
    pub expires: Ps,
    /// With NAT: the port as it was announced, and the direction of the connection in terms of its master.
    pub(crate) follow: Option<(u16, Dir)>,
}

impl Expectation {
    fn covers(&self, tuple: &Tuple) -> bool {
        self.src == tuple.src
            && self.dst == tuple.dst
            && self.dst_port == tuple.dst_port
            && self.protocol == tuple.protocol
    }

    fn same_target(&self, other: &Self) -> bool {
        self.src == other.src
            && self.dst == other.dst
            && self.dst_port == other.dst_port
            && self.protocol == other.protocol
    }
}

impl Conntrack {
    /// `conntrack -L expect`: what is waited for, the oldest first.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.expected.iter()
    }

    /// `nf_ct_expect_related()`: expects a connection from now on. Each master waits for one at a time: an older one is forgotten. `false`:
    /// another master waits for the same.
    pub(crate) fn expect_related(&mut self, mut expected: Expectation, now: Ps) -> bool {
        self.expected.retain(|e| e.expires > now);
        let other = |e: &Expectation| e.same_target(&expected) && e.master != expected.master;
        if self.expected.iter().any(other) {
            return false;
        }
        self.expected.retain(|e| e.master != expected.master);
        if self.expected.len() >= self.config.expect_max {
            return false;
        }
        expected.expires = now.saturating_add(TIMEOUT);
        self.expected.push(expected);
        true
    }

    /// `nft_ct_expect_obj_eval()`: a rule expects a connection from the other end of this one to port `dport` here. `None`: it does not begin, or has
    /// announced `size` of them; `false`: another one waits for the same.
    pub(crate) fn expect_by_rule(
        &mut self,
        nfct: NfCt,
        (protocol, dport): (u8, u16),
        (timeout, size): (Ps, u8),
        now: Ps,
    ) -> Option<bool> {
        let conn = self.get(nfct.id).filter(|conn| !conn.is_confirmed())?;
        let other = conn.tuple(nfct.info.dir().reverse());
        let expected = Expectation {
            src: other.src,
            dst: other.dst,
            dst_port: dport,
            protocol,
            master: nfct.id,
            expires: now.saturating_add(timeout),
            follow: None,
        };
        self.expected.retain(|e| e.expires > now);
        let own = self.expected.iter().filter(|e| e.master == nfct.id);
        if own.count() >= usize::from(size) {
            return None;
        }
        // What it waits for already, it waits for again.
        self.expected
            .retain(|e| e.master != nfct.id || !e.same_target(&expected));
        let clash = self.expected.iter().any(|e| e.same_target(&expected));
        if clash || self.expected.len() >= self.config.expect_max {
            return Some(false);
        }
        self.expected.push(expected);
        Some(true)
    }

    /// `nf_ct_find_expectation()`: takes out what this packet was expected by.
    pub(super) fn find_expectation(
        &mut self,
        tuple: &Tuple,
        zone: CtZone,
        now: Ps,
    ) -> Option<Expectation> {
        let at = self.expected.iter().position(|e| {
            let master = self.get(e.master);
            e.covers(tuple)
                && e.expires > now
                && master.is_some_and(|m| m.is_confirmed() && m.zone == zone)
        })?;
        Some(self.expected.remove(at))
    }

    /// `nf_ct_remove_expectations()`: nobody waits any more for what `master` announced.
    pub(super) fn remove_expectations(&mut self, master: CtId) {
        if !self.expected.is_empty() {
            self.expected.retain(|e| e.master != master);
        }
    }
}
