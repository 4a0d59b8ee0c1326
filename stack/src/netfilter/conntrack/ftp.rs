//! FTP's control connection announces data connections (`nf_conntrack_ftp.c`): the client's PORT (RFC 959) and EPRT (RFC 2428) say where the
//! server shall connect to, the server's answers 227 and 229 where the client shall.
//!
//! Only what begins a line is looked at: who writes the rest of a line does not know that it is read.

use super::conn::{CtInfo, CtStatus, NfCt};
use super::expect::Expectation;
use super::table::Conntrack;
use super::tcp::before;
use super::tuple::Dir;
use crate::Ps;
use crate::hook::Verdict;
use crate::ipv4::IPPROTO_TCP;
use crate::skb::SkBuff;
use std::net::{IpAddr, Ipv4Addr};

/// What is remembered of a control connection (`struct nf_ct_ftp_master`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FtpMaster {
    /// By direction: sequence numbers at which lines begin.
    lines: [Lines; 2],
}

/// At most two numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    starts: [u32; 2],
    known: usize,
}

impl Lines {
    /// `find_nl_seq()`.
    fn begin_at(&self, seq: u32) -> bool {
        self.starts.iter().take(self.known).any(|&s| s == seq)
    }

    /// `update_nl_seq()`: of two the older one goes.
    fn note(&mut self, seq: u32) {
        if self.begin_at(seq) {
            return;
        }
        let at = match self.known {
            0 | 1 => {
                self.known += 1;
                self.known - 1
            }
            _ => usize::from(!before(self.starts[0], self.starts[1])),
        };
        if let Some(start) = self.starts.get_mut(at) {
            *start = seq;
        }
    }
}

/// How an address is announced (`enum nf_ct_ftp_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FtpType {
    /// `PORT 10,0,1,2,156,64`
    Port,
    /// `227 Entering Passive Mode (10,0,2,2,156,64)`
    Pasv,
    /// `EPRT |1|10.0.1.2|40000|`
    Eprt,
    /// `229 Entering Extended Passive Mode (|||40000|)`
    Epsv,
}

/// An address and port in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub kind: FtpType,
    /// None is said in [`FtpType::Epsv`].
    pub addr: Option<IpAddr>,
    pub port: u16,
    /// Where in the payload.
    pub at: usize,
    pub len: usize,
}

/// What `find_pattern()` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A command that is cut off or malformed: without the rest of it the connection cannot be tracked.
    Partial,
    Address(Announced),
}

/// `try_number()`: `N` decimal numbers with `sep` between and something else behind, `term` if that is given; and their length.
fn numbers<const N: usize>(text: &[u8], sep: u8, term: Option<u8>) -> Option<([u32; N], usize)> {
    let mut numbers = [0u32; N];
    let mut i = 0;
    for (len, &c) in text.iter().enumerate() {
        match c {
            b'0'..=b'9' => {
                let number = numbers.get_mut(i)?;
                *number = number.wrapping_mul(10).wrapping_add(u32::from(c - b'0'));
            }
            _ if c == sep => i += 1,
            _ => return (i == N - 1 && term.is_none_or(|t| t == c)).then_some((numbers, len)),
        }
    }
    None
}

/// `try_rfc959()`: address and port as six bytes.
fn six(text: &[u8], term: Option<u8>) -> Option<(IpAddr, u16, usize)> {
    let ([a, b, c, d, high, low], len) = numbers::<6>(text, b',', term)?;
    let addr = Ipv4Addr::from_bits((a << 24) | (b << 16) | (c << 8) | d);
    // As the kernel does: what is no byte spills over.
    Some((addr.into(), ((high << 8) | low) as u16, len))
}

/// `get_port()`: a number between delimiters; and how long all of it is.
fn port(text: &[u8], start: usize, delim: u8) -> Option<(u16, usize)> {
    let mut port = 0u16;
    for (i, &c) in text.iter().enumerate().skip(start) {
        match c {
            b'0'..=b'9' => port = port.wrapping_mul(10).wrapping_add(u16::from(c - b'0')),
            _ if c == delim => return (port != 0).then_some((port, i + 1)),
            _ => break,
        }
    }
    None
}

/// Printable, and no digit.
fn is_delimiter(c: u8) -> bool {
    c.is_ascii_graphic() && !c.is_ascii_digit()
}

/// `try_eprt()`.
fn eprt(text: &[u8], v4: bool) -> Option<(IpAddr, u16, usize)> {
    let &[delim, family, second, ref rest @ ..] = text else {
        return None;
    };
    if !is_delimiter(delim) || second != delim || family != if v4 { b'1' } else { b'2' } {
        return None;
    }
    let (addr, len): (IpAddr, usize) = if v4 {
        let ([a, b, c, d], len) = numbers::<4>(rest, b'.', Some(delim))?;
        (
            Ipv4Addr::from_bits((a << 24) | (b << 16) | (c << 8) | d).into(),
            len,
        )
    } else {
        let len = rest.iter().position(|&c| c == delim)?;
        let text = std::str::from_utf8(rest.get(..len)?).ok()?;
        (IpAddr::V6(text.parse().ok()?), len)
    };
    let (port, len) = port(text, 3 + len + 1, delim)?;
    Some((addr, port, len))
}

/// `try_epsv_response()`.
fn epsv(text: &[u8]) -> Option<(u16, usize)> {
    match text {
        &[delim, a, b, _, ..] if is_delimiter(delim) && a == delim && b == delim => {
            port(text, 3, delim)
        }
        _ => None,
    }
}

/// `find_pattern()` for each pattern of the direction.
pub(crate) fn find(text: &[u8], dir: Dir, v4: bool) -> Found {
    let patterns: [(FtpType, &[u8; 4], Option<u8>); 2] = match dir {
        Dir::Original => [
            (FtpType::Port, b"PORT", Some(b' ')),
            (FtpType::Eprt, b"EPRT", Some(b' ')),
        ],
        Dir::Reply => [
            (FtpType::Pasv, b"227 ", None),
            (FtpType::Epsv, b"229 ", Some(b'(')),
        ],
    };
    for (kind, pattern, skip) in patterns {
        if text.is_empty() {
            continue;
        }
        if text.len() <= pattern.len() {
            if pattern
                .get(..text.len())
                .is_some_and(|p| p.eq_ignore_ascii_case(text))
            {
                return Found::Partial;
            }
            continue;
        }
        let (begin, rest) = text.split_at(pattern.len());
        if !begin.eq_ignore_ascii_case(pattern) {
            continue;
        }
        let skipped = match skip {
            Some(skip) => rest.iter().position(|&c| c == skip).map(|at| at + 1),
            // try_rfc1123(): the address may stand in parentheses or not.
            None => rest.iter().position(u8::is_ascii_digit),
        };
        let Some((skipped, numbers)) = skipped.and_then(|at| Some((at, rest.get(at..)?))) else {
            return Found::Partial;
        };
        let parsed = match kind {
            FtpType::Port => six(numbers, Some(b'\r')).map(|(a, p, l)| (Some(a), p, l)),
            FtpType::Pasv => six(numbers, None).map(|(a, p, l)| (Some(a), p, l)),
            FtpType::Eprt => eprt(numbers, v4).map(|(a, p, l)| (Some(a), p, l)),
            FtpType::Epsv => epsv(numbers).map(|(p, l)| (None, p, l)),
        };
        return match parsed {
            Some((addr, port, len)) => Found::Address(Announced {
                kind,
                addr,
                port,
                at: pattern.len() + skipped,
                len,
            }),
            None => Found::Partial,
        };
    }
    Found::Nothing
}

impl Conntrack {
    /// `help()`: looks into a segment of a control connection; TCP header at `offset`.
    pub(super) fn ftp_help(
        &mut self,
        skb: &mut SkBuff,
        nfct: NfCt,
        offset: usize,
        now: Ps,
    ) -> Verdict {
        if !matches!(nfct.info, CtInfo::Established | CtInfo::EstablishedReply) {
            return Verdict::Accept;
        }
        skb.skb_linearize();
        let dir = nfct.info.dir();
        let Some(header) = skb.data().get(offset..).and_then(|h| h.first_chunk::<20>()) else {
            return Verdict::Accept;
        };
        let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let data_at = offset + usize::from(header[12] >> 4) * 4;
        let Some(text) = skb.data().get(data_at..).filter(|t| !t.is_empty()) else {
            return Verdict::Accept;
        };
        let (ends_line, end) = (text.ends_with(b"\n"), seq.wrapping_add(text.len() as u32));
        let Some(conn) = self.get(nfct.id) else {
            return Verdict::Accept;
        };
        let begins_line = conn.ftp.lines[dir as usize].begin_at(seq);
        let found = match begins_line {
            true => find(text, dir, conn.original.src.is_ipv4()),
            false => Found::Nothing,
        };
        let verdict = match found {
            Found::Nothing => Verdict::Accept,
            Found::Partial => return Verdict::Drop,
            Found::Address(announced) => self.ftp_expect(skb, nfct, offset, &announced, now),
        };
        if ends_line && let Some(conn) = self.get_mut(nfct.id) {
            conn.ftp.lines[dir as usize].note(end);
        }
        verdict
    }

    /// Expects the announced connection, and with NAT announces it with another address.
    fn ftp_expect(
        &mut self,
        skb: &mut SkBuff,
        nfct: NfCt,
        offset: usize,
        announced: &Announced,
        now: Ps,
    ) -> Verdict {
        let Some(conn) = self.get(nfct.id) else {
            return Verdict::Accept;
        };
        let dir = nfct.info.dir();
        let (this, other) = (conn.tuple(dir), conn.tuple(dir.reverse()));
        // `loose` is off: nobody announces somebody else's address.
        if announced.addr.is_some_and(|addr| addr != this.src) {
            return Verdict::Accept;
        }
        let expected = Expectation {
            src: other.src,
            dst: other.dst,
            dst_port: announced.port,
            protocol: IPPROTO_TCP,
            master: nfct.id,
            expires: 0,
            follow: None,
        };
        if conn.status.has(CtStatus::NAT_MASK) {
            return self.nf_nat_ftp(skb, nfct, offset, announced, expected, now);
        }
        match self.expect_related(expected, now) {
            true => Verdict::Accept,
            false => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(found: Found) -> (Option<String>, u16, usize, usize) {
        match found {
            Found::Address(a) => (a.addr.map(|a| a.to_string()), a.port, a.at, a.len),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_four_forms() {
        let find = |text: &str, dir| address(super::find(text.as_bytes(), dir, true));
        let v4 = Some("10.0.1.2".to_owned());
        assert_eq!(
            find("PORT 10,0,1,2,156,64\r\n", Dir::Original),
            (v4.clone(), 40000, 5, 15)
        );
        assert_eq!(find("port 10,0,1,2,156,64\r\n", Dir::Original).1, 40000);
        assert_eq!(
            find(
                "227 Entering Passive Mode (10,0,1,2,156,64).\r\n",
                Dir::Reply
            ),
            (v4.clone(), 40000, 27, 15)
        );
        assert_eq!(
            find("EPRT |1|10.0.1.2|40000|\r\n", Dir::Original),
            (v4, 40000, 5, 18)
        );
        assert_eq!(
            find(
                "229 Entering Extended Passive Mode (|||40000|)\r\n",
                Dir::Reply
            ),
            (None, 40000, 36, 9)
        );
        let six = super::find(b"EPRT |2|fd00::2|40000|\r\n", Dir::Original, false);
        assert_eq!(address(six).0.as_deref(), Some("fd00::2"));
    }

    #[test]
    fn what_is_none_or_cut_off() {
        let find = |text: &str, dir| super::find(text.as_bytes(), dir, true);
        assert_eq!(find("USER me\r\n", Dir::Original), Found::Nothing);
        assert_eq!(find("PO", Dir::Original), Found::Partial);
        assert_eq!(find("PORT 10,0,1,2,156", Dir::Original), Found::Partial);
        assert_eq!(
            find("EPRT |2|10.0.1.2|40000|\r\n", Dir::Original),
            Found::Partial
        );
        assert_eq!(
            find("EPRT |1|10.0.1.2|0|\r\n", Dir::Original),
            Found::Partial
        );
        assert_eq!(find("227 no address here\r\n", Dir::Reply), Found::Partial);
    }

    proptest! {
        #[test]
        fn any_line(text in "(PORT|EPRT|227|229)? ?[(|0-9,.:a-f\r]{0,40}", reply: bool, v4: bool) {
            let dir = if reply { Dir::Reply } else { Dir::Original };
            if let Found::Address(a) = find(text.as_bytes(), dir, v4) {
                prop_assert!(a.at + a.len <= text.len());
            }
        }
    }
}
