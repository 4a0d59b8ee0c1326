//! TCP sequence numbers after NAT changed the length of a payload (`nf_conntrack_seqadj.c`).

use super::conn::{CtId, CtInfo, CtStatus};
use super::table::Conntrack;
use super::tcp::{ACK, after, before};
use super::tuple::Dir;
use crate::checksum::{add, fold, sub};
use crate::skb::{CsumState, SkBuff};

/// What was added to one direction (`struct nf_ct_seqadj`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeqAdj {
    /// Sequence number of the last segment whose length changed.
    correction_pos: u32,
    /// Bytes added up to it.
    offset_before: i32,
    /// Bytes added behind it.
    offset_after: i32,
}

impl SeqAdj {
    /// `nf_ct_seq_offset()`: bytes added before `seq`.
    pub fn offset(&self, seq: u32) -> i32 {
        if after(seq, self.correction_pos) {
            self.offset_after
        } else {
            self.offset_before
        }
    }

    /// What to take from an acknowledgement of the other side, which knows the numbers as they were changed.
    fn ack_offset(&self, ack: u32) -> i32 {
        self.offset(ack.wrapping_sub(self.offset_before as u32))
    }
}

/// Changes the 32-bit number at `at` and mends the checksum at `check_at`, unless the device will compute that. At an odd place the bytes
/// of the number count as if swapped (RFC 1071 2.B).
fn replace32(bytes: &mut [u8], at: usize, new: u32, check_at: usize, partial: bool) -> Option<()> {
    let field = bytes.get_mut(at..)?.first_chunk_mut::<4>()?;
    let old = u32::from_be_bytes(*field);
    *field = new.to_be_bytes();
    if partial {
        return Some(());
    }
    let halves = |n: u32| {
        let n = if at.is_multiple_of(2) {
            n
        } else {
            n.rotate_left(8)
        };
        (n >> 16) + (n & 0xffff)
    };
    let check = bytes.get_mut(check_at..)?.first_chunk_mut::<2>()?;
    let sum = u32::from(!u16::from_be_bytes(*check));
    *check = (!fold(add(sub(sum, halves(old)), halves(new)))).to_be_bytes();
    Some(())
}

impl Conntrack {
    /// `nf_ct_seqadj_set()`: the segment at `seq` of this direction became `delta` bytes longer.
    pub(crate) fn seqadj_set(&mut self, id: CtId, dir: Dir, seq: u32, delta: i32) {
        let Some(conn) = self.get_mut(id).filter(|_| delta != 0) else {
            return;
        };
        conn.status |= CtStatus::SEQ_ADJUST;
        let this = &mut conn.seqadj[dir as usize];
        // A repetition of the last one counts once.
        if this.offset_before == this.offset_after || before(this.correction_pos, seq) {
            this.correction_pos = seq;
            this.offset_before = this.offset_after;
            this.offset_after = this.offset_after.wrapping_add(delta);
        }
    }

    /// `nf_ct_seq_adjust()`: gives a segment (data at the IP header, TCP header at `offset`) the numbers that its receiver knows. `None`: its
    /// header is cut off.
    pub(super) fn seq_adjust(
        &self,
        id: CtId,
        info: CtInfo,
        skb: &mut SkBuff,
        offset: usize,
    ) -> Option<()> {
        let seqadj = self.get(id)?.seqadj;
        let (this, other) = (
            seqadj[info.dir() as usize],
            seqadj[info.dir().reverse() as usize],
        );
        let partial = matches!(skb.csum, CsumState::Partial { .. });
        let bytes = skb.data_mut().get_mut(offset..)?;
        let header = bytes.first_chunk::<20>()?;
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (seq, ack, flags) = (word(4), word(8), header[13]);
        let options_end = usize::from(header[12] >> 4) * 4;
        replace32(
            bytes,
            4,
            seq.wrapping_add(this.offset(seq) as u32),
            16,
            partial,
        )?;
        if flags & ACK != 0 {
            let mine = |n: u32| n.wrapping_sub(other.ack_offset(n) as u32);
            replace32(bytes, 8, mine(ack), 16, partial)?;
            sack_adjust(bytes, options_end, &mine, partial)?;
        }
        Some(())
    }
}

/// `nf_ct_sack_adjust()`: the same for the blocks of selective acknowledgements.
fn sack_adjust(
    bytes: &mut [u8],
    end: usize,
    mine: &impl Fn(u32) -> u32,
    partial: bool,
) -> Option<()> {
    let mut at = 20;
    while at < end {
        match *bytes.get(at)? {
            0 => break,
            1 => at += 1,
            kind => {
                let len = usize::from(*bytes.get(at + 1)?);
                if len < 2 || at + len > end {
                    break;
                }
                if kind == 5 && len >= 10 && (len - 2).is_multiple_of(8) {
                    for edge in (at + 2..at + len).step_by(4) {
                        let old = u32::from_be_bytes(*bytes.get(edge..)?.first_chunk()?);
                        replace32(bytes, edge, mine(old), 16, partial)?;
                    }
                }
                at += len;
            }
        }
    }
    Some(())
}
