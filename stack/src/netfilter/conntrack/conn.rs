//! One connection (`struct nf_conn`), and a packet's reference to it.

use super::ftp::FtpMaster;
use super::helper::Helper;
use super::seqadj::SeqAdj;
use super::tcp::{TcpState, TcpTrack};
use super::timeout::CtTimeouts;
use super::tuple::{Dir, Tuple};
use crate::Ps;
use crate::skb::IfIndex;
use std::ops::{BitOr, BitOrAssign};

/// Names one connection. An entry that is gone is not found under its old name, even when its place has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// What a packet means to its connection (`enum ip_conntrack_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtInfo {
    /// Original direction, and both sides were seen.
    Established,
    /// Original direction: an error about the connection, or the first packet of one that was expected.
    Related,
    /// Original direction, and no answer was seen yet.
    New,
    /// Reply direction.
    EstablishedReply,
    /// Reply direction: an error about the connection.
    RelatedReply,
    /// The packet is not to be tracked (`notrack`, neighbour discovery).
    Untracked,
}

impl CtInfo {
    /// `CTINFO2DIR`.
    pub const fn dir(self) -> Dir {
        match self {
            CtInfo::EstablishedReply | CtInfo::RelatedReply => Dir::Reply,
            _ => Dir::Original,
        }
    }
}

/// In which directions a zone counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneDir {
    /// In both.
    #[default]
    Both,
    /// Only packets of the original direction are told apart by it (`ct original zone`).
    Original,
    /// Only replies are (`ct reply zone`).
    Reply,
}

/// A conntrack zone: equal tuples in different zones are different connections. Zone 0 is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtZone {
    /// The number.
    pub id: u16,
    /// In which directions it counts.
    pub dir: ZoneDir,
}

impl CtZone {
    /// `nf_ct_zone_id()`: the zone that packets of direction `dir` are looked up in.
    pub fn id_of(self, dir: Dir) -> u16 {
        match (self.dir, dir) {
            (ZoneDir::Both, _)
            | (ZoneDir::Original, Dir::Original)
            | (ZoneDir::Reply, Dir::Reply) => self.id,
            _ => 0,
        }
    }
}

/// A packet's reference to its connection (`skb->_nfct`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NfCt {
    /// The connection. It finds nothing for untracked packets and templates.
    pub id: CtId,
    /// What the packet means to it.
    pub info: CtInfo,
}

/// Index of references that name no connection.
const NO_CONNECTION: u32 = u32::MAX;
/// Index of templates; the generation holds the zone.
const TEMPLATE: u32 = u32::MAX - 1;

impl NfCt {
    /// What `notrack` leaves on a packet.
    pub const UNTRACKED: NfCt = NfCt {
        id: CtId {
            index: NO_CONNECTION,
            generation: 0,
        },
        info: CtInfo::Untracked,
    };

    /// What `ct zone set` leaves on a packet before tracking: its connection will be in `zone` (`nf_ct_tmpl_alloc()`).
    pub const fn template(zone: CtZone) -> Self {
        Self {
            id: CtId {
                index: TEMPLATE,
                generation: (zone.dir as u32) << 16 | zone.id as u32,
            },
            info: CtInfo::New,
        }
    }

    /// `nf_conntrack_attach()`: the reference of an error about a packet that has this one: related, in the other direction. `None` for
    /// untracked packets and templates.
    pub(super) fn attach(self) -> Option<Self> {
        if self.id.index >= TEMPLATE {
            return None;
        }
        let info = match self.info.dir() {
            Dir::Original => CtInfo::RelatedReply,
            Dir::Reply => CtInfo::Related,
        };
        Some(Self { info, ..self })
    }

    /// The zone of a template; `None` when it is none.
    pub fn template_zone(self) -> Option<CtZone> {
        if self.id.index != TEMPLATE {
            return None;
        }
        let dir = match self.id.generation >> 16 {
            0 => ZoneDir::Both,
            1 => ZoneDir::Original,
            _ => ZoneDir::Reply,
        };
        Some(CtZone {
            id: self.id.generation as u16,
            dir,
        })
    }
}

/// Status bits (`IPS_*`, the values of nft's `ct status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtStatus(pub u32);

impl CtStatus {
    /// It was expected by another connection.
    pub const EXPECTED: Self = Self(1 << 0);
    /// Packets of both directions were seen.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// Not to be evicted when the table is full.
    pub const ASSURED: Self = Self(1 << 2);
    /// It is in the table: its first packet left this host or reached a socket.
    pub const CONFIRMED: Self = Self(1 << 3);
    /// Its source is translated.
    pub const SRC_NAT: Self = Self(1 << 4);
    /// Its destination is translated.
    pub const DST_NAT: Self = Self(1 << 5);
    /// TCP sequence numbers are adjusted.
    pub const SEQ_ADJUST: Self = Self(1 << 6);
    /// Source NAT was decided.
    pub const SRC_NAT_DONE: Self = Self(1 << 7);
    /// Destination NAT was decided.
    pub const DST_NAT_DONE: Self = Self(1 << 8);
    /// It is being removed.
    pub const DYING: Self = Self(1 << 9);
    /// Its timeout does not change.
    pub const FIXED_TIMEOUT: Self = Self(1 << 10);
    /// It lost a clash: only its reply direction is in the table.
    pub const NAT_CLASH: Self = Self(1 << 12);
    /// A helper was assigned by a rule.
    pub const HELPER: Self = Self(1 << 13);
    /// Translated in either way.
    pub const NAT_MASK: Self = Self(Self::SRC_NAT.0 | Self::DST_NAT.0);
    /// NAT was decided in either way.
    pub const NAT_DONE_MASK: Self = Self(Self::SRC_NAT_DONE.0 | Self::DST_NAT_DONE.0);

    /// Whether any bit of `bits` is set.
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
}

impl BitOr for CtStatus {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for CtStatus {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What the tracker of a protocol remembers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proto {
    /// TCP's state machine and windows.
    Tcp(TcpTrack),
    /// UDP: from when on packets both ways make it a stream.
    Udp { stream_from: Ps },
    /// Nothing.
    Other,
}

/// Packets and bytes of one direction, with `net.netfilter.nf_conntrack_acct`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtCounter {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the IP header on.
    pub bytes: u64,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// The first packet's direction, as the packet was when it came.
    pub original: Tuple,
    /// What replies look like when they come: the inverse of `original`, but for NAT.
    pub reply: Tuple,
    /// What is known of it.
    pub status: CtStatus,
    /// `ct mark`.
    pub mark: u32,
    /// `ct label`: 128 bits.
    pub labels: u128,
    /// Its zone.
    pub zone: CtZone,
    /// Packets and bytes by direction ([`Dir`] as index); `None`: not counted.
    pub counters: Option<[CtCounter; 2]>,
    /// The number that `conntrack -o id` shows.
    pub id: u32,
    /// The connection that expected this one.
    pub master: Option<CtId>,
    /// Masquerade: the device that it left through; its loss ends the connection.
    pub masq_index: IfIndex,
    pub(crate) proto: Proto,
    /// Who looks into its packets for connections that will follow.
    pub(crate) helper: Option<Helper>,
    /// What the FTP helper remembers.
    pub(super) ftp: FtpMaster,
    /// Not confirmed: packets that refer to it.
    pub(super) refs: u32,
    /// By direction: what NAT did to sequence numbers.
    pub(super) seqadj: [SeqAdj; 2],
    /// Events that are wanted (`ct event set`).
    pub(super) event_mask: u16,
    /// Confirmed: when it ends. Before that: how long it is to live from its confirmation on.
    pub(super) timeout: Ps,
    /// Lives of its own, instead of the sysctls'.
    pub(super) timeouts: Option<Box<CtTimeouts>>,
    /// Events that were not reported yet, as bits of [`super::event`].
    pub(super) events: u16,
    /// When the expiry queue will look at it; never after `timeout` but for a fixed one.
    pub(super) scheduled: Ps,
}

impl Conn {
    /// The tuple of one direction.
    pub fn tuple(&self, dir: Dir) -> &Tuple {
        match dir {
            Dir::Original => &self.original,
            Dir::Reply => &self.reply,
        }
    }

    /// `nf_ct_is_confirmed()`.
    pub fn is_confirmed(&self) -> bool {
        self.status.has(CtStatus::CONFIRMED)
    }

    /// `nf_ct_expires()`: time left at `now`.
    pub fn expires_in(&self, now: Ps) -> Ps {
        if self.is_confirmed() {
            self.timeout.saturating_sub(now)
        } else {
            self.timeout
        }
    }

    /// `nf_ct_is_expired()`.
    pub(super) fn is_expired(&self, now: Ps) -> bool {
        self.is_confirmed() && self.timeout <= now
    }

    /// A TCP connection of which only the SYN was seen: the number behind it.
    pub(crate) fn tcp_syn_end(&self) -> Option<u32> {
        match &self.proto {
            Proto::Tcp(tcp) if tcp.state == TcpState::SynSent => Some(tcp.original_end()),
            _ => None,
        }
    }

    /// `nf_nat_may_kill()`, `nf_seq_has_advanced()`: a translated TCP connection that is closed, so that packets of the old one cannot be
    /// taken for those of a new one whose numbers begin at `end`.
    /// `already_closed()`: TCP that is done.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&self.proto, Proto::Tcp(tcp) if matches!(tcp.state, TcpState::TimeWait | TcpState::Close))
    }

    pub(crate) fn may_be_replaced(&self, end: u32) -> bool {
        let keep = CtStatus::FIXED_TIMEOUT | CtStatus::DYING;
        matches!(&self.proto, Proto::Tcp(tcp) if tcp.state >= TcpState::TimeWait
            && (end.wrapping_sub(tcp.original_end()) as i32) > 0)
            && self.status.has(CtStatus::SRC_NAT)
            && !self.status.has(keep)
    }

    /// `ct helper`: the name of its helper.
    pub fn helper_name(&self) -> Option<&'static str> {
        self.helper.map(Helper::name)
    }

    /// The name of the TCP state, as `conntrack -L` shows it; `None` for other protocols.
    pub fn tcp_state(&self) -> Option<&'static str> {
        match &self.proto {
            Proto::Tcp(tcp) => Some(tcp.state.name()),
            _ => None,
        }
    }
}
