//! TCP windows (`tcp_in_window()`), after "Real Stateful TCP Packet Filtering in IP Filter" by Guido van Rooij.
//!
//! For the sender S and the receiver R of a segment, with the highest acknowledgement in it (`sack`, selective ones included):
//!
//! 1. it does not begin beyond what R offered: `seq ≤ S.td_maxend`
//! 2. it does not end before what R can still want: `end ≥ S.td_end − R.td_maxwin`
//! 3. it does not acknowledge what was not sent: `sack ≤ R.td_end`
//! 4. nor what was acknowledged long ago: `sack ≥ R.td_end − max(S.td_maxwin, 66000)`

use super::tcp::{
    ACK, Context, Kind, RST, SYN, Seen, Segment, TcpState, TcpTrack, after, before, flag,
};
use super::tuple::Dir;

/// Least reach of old acknowledgements (`MAXACKWINCONST`).
const MAX_ACK_WINDOW: u32 = 66_000;
/// `TCP_MAX_WSCALE` (RFC 7323 2.3).
const MAX_WSCALE: u8 = 14;

/// Option kinds.
const EOL: u8 = 0;
const NOP: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const SACK_PERM: u8 = 4;
const SACK: u8 = 5;

/// `enum nf_ct_tcp_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InWindow {
    Accept,
    /// Outside, but harmless: passed on without consequences.
    Ignore,
    Invalid,
}

/// The options of a header up to the first malformed one: kind and value.
fn options(mut list: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let (&kind, rest) = list.split_first()?;
            match kind {
                EOL => return None,
                NOP => list = rest,
                _ => {
                    let len = usize::from(*rest.first()?);
                    let value = list.get(2..len)?;
                    list = list.get(len..)?;
                    return Some((kind, value));
                }
            }
        }
    })
}

impl Seen {
    /// `tcp_options()`: of a SYN. Without options everything stays.
    pub(super) fn options(&mut self, list: &[u8]) {
        if list.is_empty() {
            return;
        }
        self.td_scale = 0;
        self.flags &= flag::BE_LIBERAL;
        for (kind, value) in options(list) {
            match (kind, value) {
                (SACK_PERM, []) => self.flags |= flag::SACK_PERM,
                (WINDOW_SCALE, &[scale]) => {
                    self.td_scale = scale.min(MAX_WSCALE);
                    self.flags |= flag::WINDOW_SCALE;
                }
                _ => {}
            }
        }
    }
}

/// `tcp_sack()`: the highest byte that is acknowledged, selectively or not.
fn highest_sack(list: &[u8], ack: u32) -> u32 {
    let block = |value: &[u8]| value.len() >= 8 && value.len().is_multiple_of(8);
    let Some((_, blocks)) = options(list).find(|(kind, value)| *kind == SACK && block(value))
    else {
        return ack;
    };
    blocks.chunks_exact(8).fold(ack, |highest, block| {
        let edge = u32::from_be_bytes([block[4], block[5], block[6], block[7]]);
        if after(edge, highest) { edge } else { highest }
    })
}

impl TcpTrack {
    /// `tcp_init_sender()`: a SYN or SYN/ACK opens this direction.
    fn init_sender(&mut self, segment: &Segment<'_>, dir: Dir) {
        let sender = &mut self.seen[dir as usize];
        sender.td_end = segment.end;
        sender.td_maxend = segment.end;
        sender.td_maxwin = u32::from(segment.window).max(1);
        sender.options(segment.options);
        // RFC 7323 2.2: only if both sides scale, any does.
        let both = self.seen.iter().all(|s| s.flags & flag::WINDOW_SCALE != 0);
        if dir == Dir::Reply && !both {
            for seen in &mut self.seen {
                seen.td_scale = 0;
            }
        }
    }

    /// `tcp_in_window()`.
    pub(super) fn in_window(&mut self, segment: &Segment<'_>, cx: &Context<'_>) -> InWindow {
        let dir = cx.dir;
        let (s, r) = (dir as usize, dir.reverse() as usize);
        let (mut seq, mut end) = (segment.seq, segment.end);
        let mut ack = segment.ack_seq;
        let mut sack = if self.seen[r].flags & flag::SACK_PERM != 0 {
            highest_sack(segment.options, ack)
        } else {
            ack
        };
        // What NAT added to the numbers of the other side, it does not know of.
        ack = ack.wrapping_sub(cx.ack_offset as u32);
        sack = sack.wrapping_sub(cx.ack_offset as u32);

        if self.seen[s].td_maxwin == 0 {
            if segment.has(SYN) {
                self.init_sender(segment, dir);
                if !segment.has(ACK) {
                    return InWindow::Accept; // simultaneous open
                }
            } else {
                self.first_sight(segment, s, r, sack);
            }
        } else if segment.has(SYN)
            && after(end, self.seen[s].td_end)
            && matches!(self.state, TcpState::SynSent | TcpState::SynRecv)
        {
            // RFC 9293 3.4.3: a TCP that begins anew uses higher numbers.
            self.init_sender(segment, dir);
            if dir == Dir::Reply && !segment.has(ACK) {
                return InWindow::Accept;
            }
        }

        // Without an acknowledgement, and with the 0 in resets of broken TCPs, that part is taken as right.
        if !segment.has(ACK) || (segment.has(RST) && ack == 0) {
            ack = self.seen[r].td_end;
            sack = ack;
        }
        // A reset that answers a SYN.
        if segment.has(RST) && seq == 0 && self.state == TcpState::SynSent {
            seq = self.seen[s].td_end;
            end = seq;
        }
        if let Some(outside) = self.outside(s, r, seq, end, sack) {
            let liberal = self.seen[s].flags & flag::BE_LIBERAL != 0 || cx.config.tcp_be_liberal;
            return if liberal { InWindow::Accept } else { outside };
        }
        self.advance(segment, s, r, end, ack, sack);
        if segment.kind() == Kind::Ack {
            self.count_retrans(segment, dir, seq, ack, end);
        }
        InWindow::Accept
    }

    /// The first segment of this direction that we see, in the middle of the connection.
    fn first_sight(&mut self, segment: &Segment<'_>, s: usize, r: usize, sack: u32) {
        let sender = &mut self.seen[s];
        sender.td_end = segment.end;
        sender.td_maxwin = (u32::from(segment.window) << sender.td_scale).max(1);
        sender.td_maxend = segment.end.wrapping_add(sender.td_maxwin);
        let receiver = &mut self.seen[r];
        if receiver.td_maxwin == 0 {
            // Nothing was seen of the other side either: 3 and 4 must hold until that happens.
            receiver.td_end = sack;
            receiver.td_maxend = sack;
        } else if sack == receiver.td_end.wrapping_add(1) {
            // Most likely the answer to a keepalive.
            receiver.td_end = sack;
        }
    }

    /// Which of the four conditions fails, if any.
    fn outside(&mut self, s: usize, r: usize, seq: u32, end: u32, sack: u32) -> Option<InWindow> {
        let receiver = self.seen[r];
        let sender = &mut self.seen[s];
        let reach = sender.td_maxwin.max(MAX_ACK_WINDOW);
        let ack_not_seen = !before(sack, receiver.td_end.wrapping_add(1));
        let ack_too_old = !after(sack, receiver.td_end.wrapping_sub(reach).wrapping_sub(1));
        let lower = sender
            .td_end
            .wrapping_sub(receiver.td_maxwin)
            .wrapping_sub(1);
        let beyond_lower = after(end, lower);
        if !before(seq, sender.td_maxend.wrapping_add(1)) {
            let overshot = end.wrapping_sub(sender.td_maxend).wrapping_add(1);
            let by_little = receiver.td_maxwin != 0
                && beyond_lower
                && !ack_too_old
                && overshot <= receiver.td_maxwin
                && !ack_not_seen;
            if by_little {
                // More than the window allows, as some TCPs do: its acknowledgement must not look wrong.
                sender.td_end = end;
                sender.flags |= flag::DATA_UNACKNOWLEDGED;
                return Some(InWindow::Ignore);
            }
            return Some(InWindow::Invalid);
        }
        if ack_not_seen {
            return Some(InWindow::Invalid);
        }
        if receiver.td_maxwin != 0 && !beyond_lower {
            return Some(InWindow::Ignore);
        }
        ack_too_old.then_some(InWindow::Ignore)
    }

    /// What a segment in the window tells of both sides.
    fn advance(
        &mut self,
        segment: &Segment<'_>,
        s: usize,
        r: usize,
        end: u32,
        ack: u32,
        sack: u32,
    ) {
        let mut win = u32::from(segment.window);
        let sender = &mut self.seen[s];
        if !segment.has(SYN) {
            win <<= sender.td_scale;
        }
        let old_maxend = sender.td_maxend;
        sender.td_maxwin = sender
            .td_maxwin
            .max(win.wrapping_add(sack.wrapping_sub(ack)));
        if after(end, sender.td_end) {
            sender.td_end = end;
            sender.flags |= flag::DATA_UNACKNOWLEDGED;
        }
        if segment.has(ACK) {
            if sender.flags & flag::MAXACK_SET == 0 || after(ack, sender.td_maxack) {
                sender.td_maxack = ack;
            }
            sender.flags |= flag::MAXACK_SET;
        }
        let receiver = &mut self.seen[r];
        if receiver.td_maxwin != 0 && after(end, old_maxend) {
            receiver.td_maxwin = receiver
                .td_maxwin
                .wrapping_add(end.wrapping_sub(old_maxend));
        }
        let right_edge = sack.wrapping_add(win);
        if after(right_edge, receiver.td_maxend.wrapping_sub(1)) {
            // A closed window still lets a probe of one byte in.
            receiver.td_maxend = right_edge.wrapping_add(u32::from(win == 0));
        }
        if ack == receiver.td_end {
            receiver.flags &= !flag::DATA_UNACKNOWLEDGED;
        }
    }

    /// The same acknowledgement again and again: the other side does not answer.
    fn count_retrans(&mut self, segment: &Segment<'_>, dir: Dir, seq: u32, ack: u32, end: u32) {
        let same = self.last_dir == dir
            && self.last_seq == seq
            && self.last_ack == ack
            && self.last_end == end
            && self.last_win == segment.window;
        if same {
            self.retrans = self.retrans.saturating_add(1);
        } else {
            self.last_dir = dir;
            self.last_seq = seq;
            self.last_ack = ack;
            self.last_end = end;
            self.last_win = segment.window;
            self.retrans = 0;
        }
    }
}
