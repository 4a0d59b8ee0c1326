//! The TCP header (RFC 9293 3.1) and its options as checked values.

use super::seq::Seq;
use smallvec::SmallVec;

/// Shortest header in bytes.
pub(crate) const TCP_HLEN: usize = 20;
/// Longest one.
pub(crate) const MAX_TCP_HEADER: usize = 60;
/// A header that is being written; one of ours is never longer.
pub(super) type HeaderBytes = SmallVec<[u8; TCP_HLEN + 20]>;
/// Offset of the checksum in the header.
pub(crate) const CHECK_OFFSET: u16 = 16;

/// Control bits, as in the header's byte 13.
pub(crate) mod flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
}

const OPT_EOL: u8 = 0;
const OPT_NOP: u8 = 1;
const OPT_MSS: u8 = 2;
const OPT_WINDOW: u8 = 3;
const OPT_SACK_PERM: u8 = 4;
const OPT_TIMESTAMP: u8 = 8;

/// Largest window scale (RFC 7323 2.3).
const MAX_WSCALE: u8 = 14;

/// What the options said (`struct tcp_options_received`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Maximum segment size in bytes.
    pub mss: Option<u16>,
    /// Window scale, at most 14.
    pub wscale: Option<u8>,
    /// SACK permitted.
    pub sack_ok: bool,
    /// Timestamp value and echo reply.
    pub tstamp: Option<(u32, u32)>,
}

impl Options {
    /// `tcp_parse_options()`: unknown and malformed options end or are passed over, as RFC 9293 3.2 demands (MUST-6).
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            match kind {
                OPT_EOL => break,
                OPT_NOP => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let Some(len) = rest.first().map(|&l| usize::from(l)).filter(|&l| l >= 2) else {
                break;
            };
            let Some(body) = bytes.get(2..len) else { break };
            match (kind, body) {
                (OPT_MSS, &[a, b]) => options.mss = Some(u16::from_be_bytes([a, b])),
                (OPT_WINDOW, &[shift]) => options.wscale = Some(shift.min(MAX_WSCALE)),
                (OPT_SACK_PERM, &[]) => options.sack_ok = true,
                (OPT_TIMESTAMP, &[a, b, c, d, e, f, g, h]) => {
                    options.tstamp = Some((
                        u32::from_be_bytes([a, b, c, d]),
                        u32::from_be_bytes([e, f, g, h]),
                    ));
                }
                _ => {}
            }
            bytes = bytes.get(len..).unwrap_or_default();
        }
        options
    }

    /// `tcp_options_write()`: in Linux's order and with its padding. At most 20 bytes.
    pub fn write(&self, out: &mut HeaderBytes) {
        if let Some(mss) = self.mss {
            out.extend([OPT_MSS, 4]);
            out.extend(mss.to_be_bytes());
        }
        if let Some((value, echo)) = self.tstamp {
            out.extend(if self.sack_ok {
                [OPT_SACK_PERM, 2]
            } else {
                [OPT_NOP, OPT_NOP]
            });
            out.extend([OPT_TIMESTAMP, 10]);
            out.extend(value.to_be_bytes());
            out.extend(echo.to_be_bytes());
        } else if self.sack_ok {
            out.extend([OPT_NOP, OPT_NOP, OPT_SACK_PERM, 2]);
        }
        if let Some(shift) = self.wscale {
            out.extend([OPT_NOP, OPT_WINDOW, 3, shift]);
        }
    }
}

/// A received segment without its payload (`struct tcp_skb_cb`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub sport: u16,
    pub dport: u16,
    pub seq: Seq,
    pub ack: Seq,
    /// [`flag`]s.
    pub flags: u8,
    /// As in the header, not scaled.
    pub window: u16,
    /// Header in bytes, options included.
    pub header_len: usize,
    /// Payload bytes.
    pub len: usize,
    pub options: Options,
}

impl Segment {
    /// `None`: shorter than its own length field says, or than a header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let h = bytes.first_chunk::<TCP_HLEN>()?;
        let header_len = usize::from(h[12] >> 4) * 4;
        let options = bytes.get(TCP_HLEN..header_len)?;
        Some(Self {
            sport: u16::from_be_bytes([h[0], h[1]]),
            dport: u16::from_be_bytes([h[2], h[3]]),
            seq: Seq(u32::from_be_bytes([h[4], h[5], h[6], h[7]])),
            ack: Seq(u32::from_be_bytes([h[8], h[9], h[10], h[11]])),
            flags: h[13],
            window: u16::from_be_bytes([h[14], h[15]]),
            header_len,
            len: bytes.len() - header_len,
            options: Options::parse(options),
        })
    }

    /// Whether the bit is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sequence numbers that it takes: payload, SYN and FIN (RFC 9293 3.4).
    pub fn seq_len(&self) -> u32 {
        // A segment is shorter than 64 KiB.
        self.len as u32 + u32::from(self.has(flag::SYN)) + u32::from(self.has(flag::FIN))
    }

    /// First sequence number behind it.
    pub fn end_seq(&self) -> Seq {
        self.seq + self.seq_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SYN of a recorded connection.
    const SYN: [u8; 40] = [
        0x9c, 0x41, 0, 80, 0xee, 0xf6, 0xd6, 0x8e, 0, 0, 0, 0, 0xa0, 0x02, 0xfa, 0xf0, 0, 0, 0, 0,
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0x25, 0x19, 0x12, 0xd2, 0, 0, 0, 0, 1, 3, 3, 10,
    ];

    #[test]
    fn a_recorded_syn() {
        let s = Segment::parse(&SYN).unwrap();
        assert_eq!((s.sport, s.dport, s.window, s.len), (40001, 80, 64240, 0));
        assert_eq!((s.seq_len(), s.end_seq()), (1, Seq(0xeef6_d68f)));
        let expected = Options {
            mss: Some(1460),
            wscale: Some(10),
            sack_ok: true,
            tstamp: Some((0x2519_12d2, 0)),
        };
        assert_eq!(s.options, expected);
        let mut written = HeaderBytes::new();
        s.options.write(&mut written);
        assert_eq!(written[..], SYN[20..]);
    }

    #[test]
    fn malformed_headers_and_options() {
        assert!(Segment::parse(&SYN[..39]).is_none());
        let mut short = SYN;
        short[12] = 0x40;
        assert!(Segment::parse(&short).is_none());
        for bad in [
            &[2, 0][..],
            &[2, 1],
            &[2, 40, 1],
            &[3],
            &[8, 3, 1],
            &[1, 1, 0, 2, 4, 5, 6],
        ] {
            assert_eq!(Options::parse(bad), Options::default(), "{bad:?}");
        }
        assert_eq!(Options::parse(&[3, 3, 200]).wscale, Some(14));
    }
}
