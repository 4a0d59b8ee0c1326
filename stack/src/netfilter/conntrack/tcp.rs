//! TCP's state machine (`nf_conntrack_tcp_packet()`); the windows are in [`super::tcp_window`].
//!
//! We are in the middle: what we saw may not have arrived, and what we did not see cannot have. A packet that contradicts what both ends
//! can know is INVALID; one that may be right although it does not fit (a SYN in the middle of a connection: one end may have restarted)
//! is let through and remembered, for the answer tells.

use super::config::{CtConfig, TcpTimeouts};
use super::conn::CtStatus;
use super::tuple::Dir;
use crate::{Ps, SEC};

/// `enum tcp_conntrack`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum TcpState {
    None,
    SynSent,
    SynRecv,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Close,
    SynSent2,
}

impl TcpState {
    /// `tcp_conntrack_names`.
    pub const fn name(self) -> &'static str {
        match self {
            TcpState::None => "NONE",
            TcpState::SynSent => "SYN_SENT",
            TcpState::SynRecv => "SYN_RECV",
            TcpState::Established => "ESTABLISHED",
            TcpState::FinWait => "FIN_WAIT",
            TcpState::CloseWait => "CLOSE_WAIT",
            TcpState::LastAck => "LAST_ACK",
            TcpState::TimeWait => "TIME_WAIT",
            TcpState::Close => "CLOSE",
            TcpState::SynSent2 => "SYN_SENT2",
        }
    }

    /// `tcp_can_early_drop()`: the connection is about to end.
    pub const fn can_early_drop(self) -> bool {
        matches!(
            self,
            TcpState::FinWait
                | TcpState::LastAck
                | TcpState::TimeWait
                | TcpState::Close
                | TcpState::CloseWait
        )
    }
}

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// Shortest header in bytes.
const TCP_HLEN: usize = 20;

/// What the flags say, as far as states are concerned (`enum tcp_bit_set`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
    None,
}

/// A segment, checked (`tcp_error()`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub seq: u32,
    pub ack_seq: u32,
    pub flags: u8,
    pub window: u16,
    pub options: &'a [u8],
    /// Sequence number behind the segment, SYN and FIN counted (`segment_seq_plus_len()`).
    pub end: u32,
}

impl<'a> Segment<'a> {
    /// `header`: bytes from the TCP header on, options included; `len`: of header and payload together. `None`: cut off, or flags that
    /// no TCP sends together.
    pub fn new(header: &'a [u8], len: usize) -> Option<Self> {
        let fixed = header.first_chunk::<TCP_HLEN>()?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        if header_len < TCP_HLEN || header_len > len {
            return None;
        }
        let flags = fixed[13];
        if !flags_are_valid(flags) {
            return None;
        }
        let word = |at: usize| {
            u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        let seq = word(4);
        let phantom = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        Some(Self {
            seq,
            ack_seq: word(8),
            flags,
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            options: header.get(TCP_HLEN..header_len)?,
            // An IP packet is at most 65535 bytes long.
            end: seq
                .wrapping_add((len - header_len) as u32)
                .wrapping_add(phantom),
        })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// `get_conntrack_index()`.
    pub fn kind(&self) -> Kind {
        if self.has(RST) {
            Kind::Rst
        } else if self.has(SYN) {
            if self.has(ACK) {
                Kind::SynAck
            } else {
                Kind::Syn
            }
        } else if self.has(FIN) {
            Kind::Fin
        } else if self.has(ACK) {
            Kind::Ack
        } else {
            Kind::None
        }
    }
}

/// `tcp_valid_flags`: PSH, ECE and CWR go with everything.
fn flags_are_valid(flags: u8) -> bool {
    matches!(
        flags & !(ECE | CWR | PSH),
        f if f == SYN
            || f == SYN | URG
            || f == SYN | ACK
            || f == RST
            || f == RST | ACK
            || f == FIN | ACK
            || f == FIN | ACK | URG
            || f == ACK
            || f == ACK | URG
    )
}

/// What one side sent, as far as windows are concerned (`struct ip_ct_tcp_state`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Behind the last byte sent.
    pub td_end: u32,
    /// Behind the last byte that it may send: the other side's acknowledgement and window.
    pub td_maxend: u32,
    /// Largest window that it offered.
    pub td_maxwin: u32,
    /// Highest acknowledgement.
    pub td_maxack: u32,
    /// Window scale.
    pub td_scale: u8,
    pub flags: u8,
}

/// Bits of [`Seen::flags`] and [`TcpTrack::last_flags`] (`IP_CT_TCP_FLAG_*`).
pub(super) mod flag {
    /// The side offered window scaling.
    pub const WINDOW_SCALE: u8 = 0x01;
    /// It may send selective acknowledgements.
    pub const SACK_PERM: u8 = 0x02;
    /// It closed first.
    pub const CLOSE_INIT: u8 = 0x04;
    /// Its windows are not checked.
    pub const BE_LIBERAL: u8 = 0x08;
    /// It sent something that is not acknowledged.
    pub const DATA_UNACKNOWLEDGED: u8 = 0x10;
    /// `td_maxack` holds.
    pub const MAXACK_SET: u8 = 0x20;
    /// A challenge ACK (RFC 5961) may come.
    pub const EXP_CHALLENGE_ACK: u8 = 0x40;
    /// Both sides sent a SYN.
    pub const SIMULTANEOUS_OPEN: u8 = 0x80;
}

/// `struct ip_ct_tcp`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpTrack {
    pub state: TcpState,
    pub(super) seen: [Seen; 2],
    pub(super) last_dir: Dir,
    pub(super) last_kind: Kind,
    pub(super) retrans: u8,
    pub(super) last_seq: u32,
    pub(super) last_ack: u32,
    pub(super) last_end: u32,
    pub(super) last_win: u16,
    pub(super) last_wscale: u8,
    pub(super) last_flags: u8,
}

impl TcpTrack {
    pub fn new() -> Self {
        Self {
            state: TcpState::None,
            seen: [Seen::default(); 2],
            last_dir: Dir::Original,
            last_kind: Kind::None,
            retrans: 0,
            last_seq: 0,
            last_ack: 0,
            last_end: 0,
            last_win: 0,
            last_wscale: 0,
            last_flags: 0,
        }
    }

    /// Behind the last byte that the original direction sent.
    pub fn original_end(&self) -> u32 {
        self.seen[0].td_end
    }
}

/// `before()`: in sequence space (RFC 9293 3.4).
pub(super) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// `after()`.
pub(super) fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

/// An entry of the state table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The state after the packet.
    To(TcpState),
    /// `sIG`: it may be valid or not; the answer will tell.
    Ignore,
    /// `sIV`.
    Invalid,
}

/// `tcp_conntracks`: by direction, kind of segment, state.
const TABLE: [[[Next; 10]; 6]; 2] = {
    const SS: Next = Next::To(TcpState::SynSent);
    const SR: Next = Next::To(TcpState::SynRecv);
    const ES: Next = Next::To(TcpState::Established);
    const FW: Next = Next::To(TcpState::FinWait);
    const CW: Next = Next::To(TcpState::CloseWait);
    const LA: Next = Next::To(TcpState::LastAck);
    const TW: Next = Next::To(TcpState::TimeWait);
    const CL: Next = Next::To(TcpState::Close);
    const S2: Next = Next::To(TcpState::SynSent2);
    const IG: Next = Next::Ignore;
    const IV: Next = Next::Invalid;
    [
        // NO, SS, SR, ES, FW, CW, LA, TW, CL, S2
        [
            [SS, SS, IG, IG, IG, IG, IG, SS, SS, S2], // syn
            [IV, IV, SR, IV, IV, IV, IV, IV, IV, SR], // syn ack
            [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV], // fin
            [ES, IV, ES, ES, CW, CW, TW, TW, CL, IV], // ack
            [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL], // rst
            [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV],
        ],
        [
            [IV, S2, IV, IV, IV, IV, IV, SS, IV, S2], // syn
            [IV, SR, IG, IG, IG, IG, IG, IG, IG, SR], // syn ack
            [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV], // fin
            [IV, IG, SR, ES, CW, CW, TW, TW, CL, IG], // ack
            [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL], // rst
            [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV],
        ],
    ]
};

/// What the tracker is told besides the segment.
pub(super) struct Context<'a> {
    pub dir: Dir,
    pub status: CtStatus,
    /// Time that the connection has left.
    pub expires_in: Ps,
    /// What NAT added to the sequence numbers that this segment acknowledges (`nf_ct_seq_offset()`).
    pub ack_offset: i32,
    pub config: &'a CtConfig,
    /// How long it lives in each state.
    pub times: &'a TcpTimeouts,
}

/// What becomes of the segment and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpVerdict {
    /// It belongs to the connection, which lives for `timeout` from now on; `None`: its life does not change.
    Accept {
        timeout: Option<Ps>,
        /// The state changed.
        changed: bool,
        /// Both sides were heard: the connection is assured from now on.
        assured: bool,
    },
    /// INVALID. The connection lives for at most this time.
    Invalid { shorten: Option<Ps> },
    /// A new connection between the same ports: this one goes, and the segment is looked up again.
    Repeat,
    /// A refused connection is none: the segment belongs to it, and it goes.
    Kill { changed: bool },
}

const IGNORED: TcpVerdict = TcpVerdict::Accept {
    timeout: None,
    changed: false,
    assured: false,
};
const INVALID: TcpVerdict = TcpVerdict::Invalid { shorten: None };

impl TcpTrack {
    /// `tcp_new()`: begins a connection with `segment`; `false`: it cannot begin one.
    pub(super) fn begin(&mut self, segment: &Segment<'_>, config: &CtConfig) -> bool {
        let picked_up = match TABLE[0][segment.kind() as usize][TcpState::None as usize] {
            Next::To(TcpState::SynSent) => false,
            Next::To(_) if config.tcp_loose => true,
            _ => return false,
        };
        *self = Self::new();
        let sender = &mut self.seen[0];
        sender.td_end = segment.end;
        sender.td_maxwin = u32::from(segment.window).max(1);
        if picked_up {
            // Its history is lost: window scales are not known, so windows are not held against it.
            sender.td_maxend = sender.td_end.wrapping_add(sender.td_maxwin);
            for seen in &mut self.seen {
                seen.flags = flag::SACK_PERM | flag::BE_LIBERAL;
            }
        } else {
            sender.td_maxend = sender.td_end;
            sender.options(segment.options);
        }
        true
    }

    /// `nf_conntrack_tcp_packet()`, for a connection that has begun.
    pub(super) fn packet(&mut self, segment: &Segment<'_>, cx: &Context<'_>) -> TcpVerdict {
        let (old, kind, dir) = (self.state, segment.kind(), cx.dir);
        let other = dir.reverse() as usize;
        let mut new = match TABLE[dir as usize][kind as usize][old as usize] {
            Next::To(TcpState::SynSent) if old >= TcpState::TimeWait => {
                // A SYN to a closed connection reopens it (RFC 1122 4.2.2.13): its conditions are not looked at, for the end does that.
                let closed_in_order =
                    (self.seen[0].flags | self.seen[1].flags) & flag::CLOSE_INIT != 0;
                if closed_in_order || (self.last_dir == dir && self.last_kind == Kind::Rst) {
                    return TcpVerdict::Repeat;
                }
                return self.ignored(segment, cx);
            }
            Next::To(new) => new,
            Next::Ignore if self.answers_ignored_syn(segment, dir) => {
                self.resync(dir);
                return self.in_window_or_not(segment, cx, TcpState::SynSent, TcpState::SynRecv);
            }
            Next::Ignore => return self.ignored(segment, cx),
            Next::Invalid => return INVALID,
        };
        match new {
            // RFC 5961 4: a SYN in the middle of a connection is answered with an ACK, which must not be taken for the last one.
            TcpState::TimeWait
                if old == TcpState::LastAck
                    && kind == Kind::Ack
                    && self.last_dir != dir
                    && self.last_kind == Kind::Syn
                    && self.last_flags & flag::EXP_CHALLENGE_ACK != 0 =>
            {
                self.last_flags &= !flag::EXP_CHALLENGE_ACK;
                return IGNORED;
            }
            TcpState::SynSent2 => self.last_flags |= flag::SIMULTANEOUS_OPEN,
            TcpState::SynRecv
                if dir == Dir::Reply
                    && kind == Kind::Ack
                    && self.last_flags & flag::SIMULTANEOUS_OPEN != 0 =>
            {
                new = TcpState::Established;
            }
            TcpState::Close if kind == Kind::Rst => match self.reset(segment, cx, other) {
                Reset::Check(state) => new = state,
                Reset::Believe => return self.accepted(segment, cx, old, new),
                Reset::Invalid => return INVALID,
            },
            _ => {}
        }
        self.in_window_or_not(segment, cx, old, new)
    }

    fn in_window_or_not(
        &mut self,
        segment: &Segment<'_>,
        cx: &Context<'_>,
        old: TcpState,
        new: TcpState,
    ) -> TcpVerdict {
        use super::tcp_window::InWindow;
        match self.in_window(segment, cx) {
            InWindow::Accept => self.accepted(segment, cx, old, new),
            InWindow::Ignore => IGNORED,
            InWindow::Invalid => TcpVerdict::Invalid {
                shorten: self.handle_invalid(segment.kind(), cx),
            },
        }
    }

    /// A SYN/ACK that acknowledges a SYN which was let through as doubtful: both ends agree, and we were wrong.
    fn answers_ignored_syn(&self, segment: &Segment<'_>, dir: Dir) -> bool {
        segment.kind() == Kind::SynAck
            && self.last_kind == Kind::Syn
            && self.last_dir != dir
            && segment.ack_seq == self.last_end
    }

    /// Takes over what the doubtful SYN said.
    fn resync(&mut self, dir: Dir) {
        self.last_flags &= !flag::EXP_CHALLENGE_ACK;
        let client = &mut self.seen[self.last_dir as usize];
        client.td_end = self.last_end;
        client.td_maxend = self.last_end;
        client.td_maxwin = u32::from(self.last_win).max(1);
        client.td_scale = self.last_wscale;
        client.flags = self.last_flags;
        // nf_ct_tcp_state_reset()
        let server = &mut self.seen[dir as usize];
        *server = Seen {
            flags: server.flags & flag::BE_LIBERAL,
            ..Seen::default()
        };
    }

    /// Lets a doubtful segment through, and remembers it.
    fn ignored(&mut self, segment: &Segment<'_>, cx: &Context<'_>) -> TcpVerdict {
        let kind = segment.kind();
        self.last_kind = kind;
        self.last_dir = cx.dir;
        self.last_seq = segment.seq;
        self.last_end = segment.end;
        self.last_win = segment.window;
        if kind == Kind::Syn && cx.dir == Dir::Original {
            let mut seen = Seen::default();
            seen.options(segment.options);
            self.last_flags = seen.flags & (flag::WINDOW_SCALE | flag::SACK_PERM);
            self.last_wscale = if seen.flags & flag::WINDOW_SCALE != 0 {
                seen.td_scale
            } else {
                0
            };
            if self.state == TcpState::LastAck {
                self.last_flags |= flag::EXP_CHALLENGE_ACK;
            }
        }
        if self.state == TcpState::SynSent && kind == Kind::Ack && cx.dir == Dir::Reply {
            self.last_ack = segment.ack_seq;
        }
        IGNORED
    }

    /// A reset: is it believed?
    fn reset(&self, segment: &Segment<'_>, cx: &Context<'_>, other: usize) -> Reset {
        let (old, seq) = (self.state, segment.seq);
        // What is closing may have been reused already; its numbers say nothing.
        if old.can_early_drop() {
            return Reset::Believe;
        }
        let mut new = TcpState::Close;
        let peer = &self.seen[other];
        if peer.flags & flag::MAXACK_SET != 0 && self.last_kind != Kind::Syn {
            let established = old == TcpState::Established && cx.status.has(CtStatus::ASSURED);
            if seq == 0 && !established {
                return Reset::Check(new);
            }
            if before(seq, peer.td_maxack) && !cx.config.tcp_ignore_invalid_rst {
                return Reset::Invalid;
            }
            let follows_data =
                self.last_kind == Kind::Ack && self.last_dir == cx.dir && seq == self.last_end;
            if !established || seq == peer.td_maxack || follows_data {
                return Reset::Check(new);
            }
            // RFC 5961 3.2: not exactly the next number: a challenge ACK may follow, and the connection goes on.
            new = old;
        }
        let after_doubtful_syn = cx.status.has(CtStatus::SEEN_REPLY) && self.last_kind == Kind::Syn;
        let after_half_open = !cx.status.has(CtStatus::ASSURED) && self.last_kind == Kind::Ack;
        if (after_doubtful_syn || after_half_open) && segment.ack_seq == self.last_end {
            return Reset::Believe;
        }
        if old == TcpState::SynSent
            && self.last_kind == Kind::Ack
            && self.last_dir == Dir::Reply
            && seq == self.last_ack
        {
            return Reset::Believe;
        }
        Reset::Check(new)
    }

    /// The segment is in the window: the connection goes into `new`.
    fn accepted(
        &mut self,
        segment: &Segment<'_>,
        cx: &Context<'_>,
        old: TcpState,
        new: TcpState,
    ) -> TcpVerdict {
        let kind = segment.kind();
        self.last_kind = kind;
        self.last_dir = cx.dir;
        self.state = new;
        if old != new && new == TcpState::FinWait {
            self.seen[cx.dir as usize].flags |= flag::CLOSE_INIT;
        }
        let times = cx.times;
        let usual = times.of(new);
        let unacknowledged =
            (self.seen[0].flags | self.seen[1].flags) & flag::DATA_UNACKNOWLEDGED != 0;
        let mut timeout = if self.retrans >= cx.config.tcp_max_retrans && usual > times.max_retrans
        {
            times.max_retrans
        } else if kind == Kind::Rst {
            times.close
        } else if unacknowledged && usual > times.unacknowledged {
            times.unacknowledged
        } else if self.last_win == 0 && usual > times.max_retrans {
            times.max_retrans
        } else {
            usual
        };
        let mut assured = false;
        if !cx.status.has(CtStatus::SEEN_REPLY) {
            if kind == Kind::Rst {
                return TcpVerdict::Kill {
                    changed: old != new,
                };
            }
            // A repeated SYN does not make it live longer: it could go on for ever.
            if kind == Kind::Syn && old == TcpState::SynSent {
                return TcpVerdict::Accept {
                    timeout: None,
                    changed: old != new,
                    assured: false,
                };
            }
            // Picked up in the middle: nobody has answered yet.
            if new == TcpState::Established {
                timeout = timeout.min(times.unacknowledged);
            }
        } else if !cx.status.has(CtStatus::ASSURED)
            && matches!(old, TcpState::SynRecv | TcpState::Established)
            && new == TcpState::Established
        {
            assured = true;
        }
        TcpVerdict::Accept {
            timeout: Some(timeout),
            changed: old != new,
            assured,
        }
    }

    /// `nf_tcp_handle_invalid()`: ends that we do not agree with say goodbye to each other: the connection must not stay for days.
    fn handle_invalid(&mut self, kind: Kind, cx: &Context<'_>) -> Option<Ps> {
        if !cx.status.has(CtStatus::ASSURED)
            || cx.status.has(CtStatus::FIXED_TIMEOUT)
            || !matches!(kind, Kind::Rst | Kind::Fin)
        {
            return None;
        }
        if self.last_dir != cx.dir && matches!(self.last_kind, Kind::Fin | Kind::Rst) {
            let limit = cx.times.unacknowledged;
            (cx.expires_in >= 120 * SEC && cx.expires_in > limit).then_some(limit)
        } else {
            self.last_kind = kind;
            self.last_dir = cx.dir;
            None
        }
    }
}

/// What [`TcpTrack::reset`] says.
enum Reset {
    /// If it is in the window, this is the new state.
    Check(TcpState),
    /// It is, whatever the window.
    Believe,
    /// Before what was acknowledged.
    Invalid,
}
