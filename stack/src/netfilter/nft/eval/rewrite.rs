//! Writing into the packet: `nft_payload_set_eval()`, `nft_exthdr_tcp_set_eval()`. Checksums follow.

use super::Run;
use super::load::bits;
use crate::checksum;
use crate::netfilter::nft::expr::{ExtKind, Exthdr};
use crate::netfilter::nft::program::SetPayloadOp;
use crate::netfilter::nft::proto::Base;
use crate::skb::{CsumState, SoftSum};

/// A field of 128 bits that starts within a byte, widened to whole 16-bit words.
const SPAN: usize = 20;

/// `CSUM_MANGLED_0`: a checksum of zero would say that there is none.
const CSUM_MANGLED_0: u16 = 0xffff;

/// `nft_csum_replace()`: the checksum after `old` (a sum) gave way to `new`.
fn csum_replace(check: u16, old: u32, new: u32) -> u16 {
    let sum = checksum::add(checksum::sub(u32::from(!check), old), new);
    match !checksum::fold(sum) {
        0 => CSUM_MANGLED_0,
        check => check,
    }
}

impl Run<'_> {
    /// `None` when the packet does not reach so far: the rule ends.
    pub(super) fn set_payload(&mut self, set: &SetPayloadOp, value: u128) -> Option<()> {
        let base = self.position(set.base)?;
        if set.base == Base::Link && self.skb.vlan.is_some() {
            return self.set_link(set, value);
        }
        let (offset, len) = (usize::from(set.offset), usize::from(set.len));
        // Sums are over 16-bit words.
        let first = offset / 16 * 2;
        let end = (offset + len).div_ceil(16) * 2;
        let at = base + first as isize;
        let mut old = [0; SPAN];
        let old = old.get_mut(..end - first)?;
        // A field in the packet's last byte has no second one: nft reads what there is.
        let readable = (offset + len).div_ceil(8) - first;
        let n = if self.copy(at, old).is_some() {
            old.len()
        } else {
            self.copy(at, old.get_mut(..readable)?)?;
            readable
        };
        let mut new = [0; SPAN];
        let new = new.get_mut(..old.len())?;
        new.copy_from_slice(old);
        put_bits(new, offset - first * 8, len, value);
        let (before, after) = (checksum::sum(old), checksum::sum(new));
        let transport = matches!(set.base, Base::Transport | Base::Inner);
        let partial = matches!(self.skb.csum, CsumState::Partial { .. });
        // A checksum that is yet to be computed covers its own header.
        if !(transport && partial) {
            if let Some(offset) = set.csum {
                let field = base + offset as isize;
                let mut check = [0; 2];
                self.copy(field, &mut check)?;
                let check = csum_replace(u16::from_be_bytes(check), before, after);
                self.write(field, &check.to_be_bytes())?;
            }
            if set.pseudo {
                self.l4_checksum(before, after);
            }
        }
        let uncovered = set.base == Base::Network && set.csum.is_none() && !set.pseudo;
        if uncovered
            && self.skb.soft_sum == SoftSum::Right
            && checksum::fold(before) != checksum::fold(after)
        {
            self.skb.soft_sum = SoftSum::Stale;
        }
        let bytes = &new[..n];
        // The written field may be the checksum itself; it is written last.
        self.write(at, bytes)?;
        self.changed();
        Some(())
    }

    /// The tag that the device took out is changed where it is kept (`nft_payload_set_vlan()`).
    fn set_link(&mut self, set: &SetPayloadOp, value: u128) -> Option<()> {
        let position = self.position(Base::Link)?;
        let mut vlan = self.skb.vlan?;
        let mut header = [0; 18];
        self.copy(position, &mut header[..12])?;
        header[12..14].copy_from_slice(&vlan.proto.to_be_bytes());
        header[14..16].copy_from_slice(&vlan.tci.to_be_bytes());
        self.copy(position + 12, &mut header[16..18])?;
        let (offset, len) = (usize::from(set.offset), usize::from(set.len));
        if offset + len > header.len() * 8 {
            return None;
        }
        put_bits(&mut header, offset, len, value);
        vlan.proto = u16::from_be_bytes([header[12], header[13]]);
        vlan.tci = u16::from_be_bytes([header[14], header[15]]);
        self.skb.vlan = Some(vlan);
        self.write(position, &header[..12])?;
        self.write(position + 12, &header[16..18])
    }

    /// `nft_payload_l4csum_update()`: the pseudo header changed. Where there is no checksum nothing is done.
    fn l4_checksum(&mut self, before: u32, after: u32) -> Option<()> {
        let transport = self.position(Base::Transport)?;
        let offset = match self.packet.l4proto? {
            6 => 16,
            17 | 136 => 6,
            58 => 2,
            _ => return None,
        };
        let at = transport + offset;
        let mut check = [0; 2];
        self.copy(at, &mut check)?;
        let check = u16::from_be_bytes(check);
        // UDP without a checksum stays so.
        if self.packet.l4proto == Some(17) && check == 0 {
            return None;
        }
        let partial = matches!(self.skb.csum, CsumState::Partial { .. });
        let check = if partial {
            // The field holds the sum of the pseudo header, not its complement.
            let sum = checksum::add(checksum::sub(u32::from(check), before), after);
            checksum::fold(sum)
        } else {
            csum_replace(check, before, after)
        };
        self.write(at, &check.to_be_bytes())
    }

    /// A sum over the whole packet that a device gave is not right any more; software sums again. Nor are the bytes at hand.
    fn changed(&mut self) {
        self.packet.refresh(self.skb);
        if let CsumState::Complete(_) = self.skb.csum {
            self.skb.csum = CsumState::None;
        }
    }

    /// Writes `bytes` at `at` bytes behind (before, when negative) the network header.
    fn write(&mut self, at: isize, bytes: &[u8]) -> Option<()> {
        let from_data = at + self.skb.network_offset();
        if let Ok(from_data) = usize::try_from(from_data) {
            if !self.skb.pskb_may_pull(from_data + bytes.len()) {
                return None;
            }
            let to = self
                .skb
                .data_mut()
                .get_mut(from_data..from_data + bytes.len())?;
            to.copy_from_slice(bytes);
            return Some(());
        }
        // In front of the data: the Ethernet header was pulled.
        let back = from_data.unsigned_abs();
        self.skb.push(back)?;
        let written = self.skb.data_mut().get_mut(..bytes.len()).map(|to| {
            to.copy_from_slice(bytes);
        });
        self.skb.pull(back)?;
        written
    }

    /// A TCP option's field gets `value` and the checksum follows. Without the option nothing is done and the rule goes on; a maximum
    /// segment size is never made larger (`nft_exthdr_tcp_set_eval()`).
    pub(super) fn set_tcp_option(&mut self, e: Exthdr, value: u128) -> Option<()> {
        let (ExtKind::TcpOption(number), Some(field)) = (e.kind, e.field) else {
            return None;
        };
        let (option, option_len) = self.tcp_option(number)?;
        let first = usize::from(field.offset / 8);
        let len = field.dtype.bits() as usize / 8;
        if first + len > option_len {
            return None;
        }
        let at = option as isize + first as isize;
        let mut old = [0; 4];
        let old = old.get_mut(..len)?;
        self.copy(at, old)?;
        let bytes = value.to_be_bytes();
        let new = bytes.get(16 - len..)?;
        if number == 2 && len == 2 && bits(old, 0, 16) <= value {
            return Some(());
        }
        self.replace_in_tcp(at, old, new)
    }

    /// No-operations take the option's place (`nft_exthdr_tcp_strip_eval()`). Without it the rule goes on; `None`: the packet is not TCP.
    pub(super) fn reset_tcp_option(&mut self, number: u8) -> Option<()> {
        if self.packet.l4proto != Some(6) || self.packet.later_fragment {
            return None;
        }
        let Some((option, len)) = self.tcp_option(number) else {
            return Some(());
        };
        // Options are at most 40 bytes.
        let mut old = [0; 40];
        let old = old.get_mut(..len)?;
        self.copy(option as isize, old)?;
        self.replace_in_tcp(option as isize, old, &[TCPOPT_NOP; 40][..len])
    }

    /// Writes `new` over `old`, as long, in the TCP header, and the checksum follows.
    fn replace_in_tcp(&mut self, at: isize, old: &[u8], new: &[u8]) -> Option<()> {
        let partial = matches!(self.skb.csum, CsumState::Partial { .. });
        if !partial {
            let check_at = self.packet.thoff as isize + 16;
            let mut check = [0; 2];
            self.copy(check_at, &mut check)?;
            // At an odd offset the bytes are in the other half of the words.
            let odd = (at as usize - self.packet.thoff) % 2 == 1;
            let sum = |bytes: &[u8]| {
                let sum = checksum::fold(checksum::sum(bytes));
                u32::from(if odd { sum.swap_bytes() } else { sum })
            };
            let check = u16::from_be_bytes(check);
            let sum = checksum::add(checksum::sub(u32::from(!check), sum(old)), sum(new));
            self.write(check_at, &(!checksum::fold(sum)).to_be_bytes())?;
        }
        self.write(at, new)?;
        self.changed();
        Some(())
    }
}

/// Kind of the option that does nothing.
const TCPOPT_NOP: u8 = 1;

/// Puts the lowest `len` bits of `value` behind the first `skip` bits of `span`.
fn put_bits(span: &mut [u8], skip: usize, len: usize, value: u128) {
    for i in 0..len {
        let bit = skip + len - 1 - i;
        let mask = 0x80 >> (bit % 8);
        if let Some(byte) = span.get_mut(bit / 8) {
            if value >> i & 1 == 1 {
                *byte |= mask;
            } else {
                *byte &= !mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_put_where_they_are_read() {
        let mut span = [0xff, 0x00, 0xff];
        put_bits(&mut span, 6, 8, 0b0101_1010);
        assert_eq!(bits(&span, 6, 8), 0b0101_1010);
        assert_eq!((span[0] >> 2, span[1] & 3, span[2]), (0x3f, 0, 0xff));
    }

    #[test]
    fn checksums_are_mended() {
        let old = [
            0x45, 0, 0, 0x1e, 0x11, 0x26, 0x40, 0, 0x40, 0x11, 0, 0, 10, 0, 1, 2, 10, 0, 1, 1,
        ];
        let check = checksum::checksum(&old);
        let mut new = old;
        new[16..20].copy_from_slice(&[192, 0, 2, 1]);
        let mended = csum_replace(
            check,
            checksum::sum(&old[16..20]),
            checksum::sum(&new[16..20]),
        );
        assert_eq!(mended, checksum::checksum(&new));
    }
}
