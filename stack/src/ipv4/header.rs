//! The IPv4 header (RFC 791 3.1) as a checked view: making one checks the length once, reading cannot fail.

use crate::checksum;
use std::net::Ipv4Addr;

/// Don't-fragment bit of the `frag_off` field.
pub(crate) const IP_DF: u16 = 0x4000;
/// More-fragments bit.
pub(crate) const IP_MF: u16 = 0x2000;
/// Fragment offset in units of 8 bytes.
pub(crate) const IP_OFFSET: u16 = 0x1fff;

/// Bytes that begin with a header whose length field fits them.
#[derive(Clone, Copy)]
pub(crate) struct Ipv4Header<'a> {
    fixed: &'a [u8; 20],
    options: &'a [u8],
}

impl<'a> Ipv4Header<'a> {
    /// `None` when the version is not 4, or the header length is less than 20 bytes or more than there are.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<20>()?;
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        if fixed[0] >> 4 != 4 {
            return None;
        }
        Some(Self {
            fixed,
            options: rest.get(..header_len.checked_sub(20)?)?,
        })
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.fixed[at], self.fixed[at + 1]])
    }

    /// Header length in bytes, options included.
    pub fn header_len(&self) -> usize {
        20 + self.options.len()
    }

    pub fn tos(&self) -> u8 {
        self.fixed[1]
    }

    pub fn tot_len(&self) -> usize {
        usize::from(self.u16(2))
    }

    pub fn id(&self) -> u16 {
        self.u16(4)
    }

    /// Flags and fragment offset.
    pub fn frag_off(&self) -> u16 {
        self.u16(6)
    }

    /// Fragment offset in bytes.
    pub fn offset(&self) -> usize {
        usize::from(self.frag_off() & IP_OFFSET) * 8
    }

    /// `ip_is_fragment()`.
    pub fn is_fragment(&self) -> bool {
        self.frag_off() & (IP_MF | IP_OFFSET) != 0
    }

    pub fn ttl(&self) -> u8 {
        self.fixed[8]
    }

    pub fn protocol(&self) -> u8 {
        self.fixed[9]
    }

    pub fn saddr(&self) -> Ipv4Addr {
        Ipv4Addr::from([
            self.fixed[12],
            self.fixed[13],
            self.fixed[14],
            self.fixed[15],
        ])
    }

    pub fn daddr(&self) -> Ipv4Addr {
        Ipv4Addr::from([
            self.fixed[16],
            self.fixed[17],
            self.fixed[18],
            self.fixed[19],
        ])
    }

    /// Whether the header checksum is right (`ip_fast_csum()`).
    pub fn checksum_ok(&self) -> bool {
        let sum = checksum::add(checksum::sum(self.fixed), checksum::sum(self.options));
        checksum::fold(sum) == 0xffff
    }
}

/// Writes a 16-bit field; positions outside of `bytes` change nothing.
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<2>())
    {
        *field = value.to_be_bytes();
    }
}

/// `ip_send_check()`: sets the header checksum. `packet` begins with a header of `header_len` bytes.
pub(crate) fn send_check(packet: &mut [u8], header_len: usize) {
    put16(packet, 10, 0);
    let check = checksum::checksum(packet.get(..header_len).unwrap_or_default());
    put16(packet, 10, check);
}

/// `ip_decrease_ttl()`: one less, and the checksum mended.
pub(crate) fn decrease_ttl(packet: &mut [u8]) {
    if let Some(header) = packet.first_chunk_mut::<20>() {
        let old = u16::from_be_bytes([header[8], header[9]]);
        let new = old.wrapping_sub(0x0100);
        let check = checksum::replace16(u16::from_be_bytes([header[10], header[11]]), old, new);
        header[8..10].copy_from_slice(&new.to_be_bytes());
        header[10..12].copy_from_slice(&check.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x1e, 0x11, 0x26, 0x40, 0x00, 0x40, 0x11, 0x13, 0xa7, 10, 0, 1, 2, 10, 0,
        1, 1,
    ];

    #[test]
    fn fields_of_a_recorded_header() {
        let h = Ipv4Header::new(&HEADER).unwrap();
        assert_eq!(
            (h.header_len(), h.tot_len(), h.id(), h.ttl(), h.protocol()),
            (20, 30, 0x1126, 64, 17)
        );
        assert_eq!((h.frag_off(), h.is_fragment()), (IP_DF, false));
        assert!(h.checksum_ok());
    }

    #[test]
    fn impossible_lengths() {
        assert!(Ipv4Header::new(&HEADER[..19]).is_none());
        for first in [0x44, 0x46, 0x55] {
            let mut bytes = HEADER;
            bytes[0] = first;
            assert!(Ipv4Header::new(&bytes).is_none(), "{first:#x}");
        }
    }

    #[test]
    fn ttl_down_keeps_the_checksum_right() {
        let mut bytes = HEADER;
        for _ in 0..64 {
            decrease_ttl(&mut bytes);
            assert!(Ipv4Header::new(&bytes).unwrap().checksum_ok());
        }
        let before = bytes;
        send_check(&mut bytes, 20);
        assert_eq!(bytes, before);
    }
}
