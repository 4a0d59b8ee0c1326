//! What receivers do with [`CsumState`] (include/linux/skbuff.h, "Checksumming of received packets by device").

use super::{CsumState, SkBuff};
use crate::checksum::{self, fold};

/// Checksums that one device can vouch for besides the first (`SKB_MAX_CSUM_LEVEL`).
const SKB_MAX_CSUM_LEVEL: u8 = 3;

impl SkBuff {
    /// `skb_csum_unnecessary()`: whether somebody vouches for the checksum that is current.
    #[inline]
    pub fn skb_csum_unnecessary(&self) -> bool {
        self.csum_valid
            || matches!(
                self.csum,
                CsumState::Unnecessary | CsumState::Partial { .. }
            )
    }

    /// Whether the transport checksum over the data is right, without noting the answer. `pseudo`: sum of the pseudo header, 0 for ICMP.
    pub fn checksum_ok(&self, pseudo: u32) -> bool {
        if self.skb_csum_unnecessary() {
            return true;
        }
        if let CsumState::Complete(sum) = self.csum
            && fold(checksum::add(sum, pseudo)) == 0xffff
        {
            return true;
        }
        // A device that is wrong must not cost a good packet.
        fold(checksum::add(self.skb_checksum(0, self.len()), pseudo)) == 0xffff
    }

    /// `skb_checksum_validate()`: as [`checksum_ok`](Self::checksum_ok), but the answer is kept: what was summed in software is
    /// [`CsumState::Complete`] after that, and one level of [`CsumState::Unnecessary`] is used up, so that an encapsulated packet is judged on
    /// its own.
    pub fn skb_checksum_validate(&mut self, pseudo: u32) -> bool {
        if self.skb_csum_unnecessary() {
            self.csum_valid = true;
            self.decr_checksum_unnecessary();
            return true;
        }
        if let CsumState::Complete(sum) = self.csum
            && fold(checksum::add(sum, pseudo)) == 0xffff
        {
            self.csum_valid = true;
            return true;
        }
        // __skb_checksum_complete()
        let sum = self.skb_checksum(0, self.len());
        self.csum = CsumState::Complete(sum);
        self.csum_valid = fold(checksum::add(sum, pseudo)) == 0xffff;
        self.csum_valid
    }

    /// `__skb_incr_checksum_unnecessary()`: one more checksum, from the outside in, was found right.
    pub fn incr_checksum_unnecessary(&mut self) {
        match self.csum {
            CsumState::Unnecessary => {
                self.csum_level = (self.csum_level + 1).min(SKB_MAX_CSUM_LEVEL);
            }
            CsumState::None => {
                self.csum = CsumState::Unnecessary;
                self.csum_level = 0;
            }
            CsumState::Complete(_) | CsumState::Partial { .. } => {}
        }
    }

    /// `__skb_decr_checksum_unnecessary()`: the outermost checksum that was vouched for is used.
    pub fn decr_checksum_unnecessary(&mut self) {
        if self.csum == CsumState::Unnecessary {
            match self.csum_level.checked_sub(1) {
                Some(level) => self.csum_level = level,
                None => self.csum = CsumState::None,
            }
        }
    }

    /// `skb_pull_rcsum()`: removes `n` bytes at the front and takes them out of a [`CsumState::Complete`] sum. `None` (and nothing
    /// changed) when [`data`](Self::data) has fewer.
    pub fn skb_pull_rcsum(&mut self, n: usize) -> Option<()> {
        if let CsumState::Complete(sum) = self.csum {
            let gone = checksum::sum(self.data().get(..n)?);
            let rest = checksum::sub(sum, gone);
            // The next byte is the high byte of a word again.
            let rest = if n % 2 == 1 {
                checksum::swap(rest)
            } else {
                rest
            };
            self.csum = CsumState::Complete(rest);
        }
        self.pull(n)
    }

    /// `skb_checksum_none_assert()`, `skb_forward_csum()`: the bytes change in a way that a sum over the packet does not survive.
    pub fn forget_csum_complete(&mut self) {
        if let CsumState::Complete(_) = self.csum {
            self.csum = CsumState::None;
        }
        self.csum_valid = false;
    }
}
