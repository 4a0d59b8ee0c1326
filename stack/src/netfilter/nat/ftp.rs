//! FTP through NAT (`nf_nat_ftp.c`): the address that a line announces becomes the translated one.

use super::{NatManip, NatRange};
use crate::Ps;
use crate::checksum::{self, add, fold};
use crate::hook::{Family, Verdict};
use crate::ipv4::IPPROTO_TCP;
use crate::ipv4::header::{put16, send_check};
use crate::ipv6::IPV6_HLEN;
use crate::netfilter::conntrack::{
    Announced, Conntrack, CtId, Expectation, FtpType, NfCt, addresses,
};
use crate::skb::{CsumState, NET_SKB_PAD, SkBuff};
use crate::xmit::ETH_HLEN;
use std::net::IpAddr;

/// Ports that are tried (`nf_nat_exp_find_port()`).
const MAX_ATTEMPTS: u32 = 128;

/// `nf_nat_ftp_fmt_cmd()`.
fn announce(kind: FtpType, addr: IpAddr, port: u16) -> String {
    match (kind, addr) {
        (FtpType::Port | FtpType::Pasv, IpAddr::V4(a)) => {
            let [a, b, c, d] = a.octets();
            format!("{a},{b},{c},{d},{},{}", port >> 8, port & 0xff)
        }
        (FtpType::Eprt, IpAddr::V4(a)) => format!("|1|{a}|{port}|"),
        (FtpType::Eprt, IpAddr::V6(a)) => {
            // %pI6: all groups, all digits.
            let groups = a.segments().map(|group| format!("{group:04x}"));
            format!("|2|{}|{port}|", groups.join(":"))
        }
        // PORT and 227 have no form for IPv6; nothing else is found there.
        (FtpType::Epsv, _) | (_, IpAddr::V6(_)) => format!("|||{port}|"),
    }
}

impl Conntrack {
    /// `nf_nat_ftp()`: expects the connection where it will really come to, and says so in the packet.
    pub(in crate::netfilter) fn nf_nat_ftp(
        &mut self,
        skb: &mut SkBuff,
        nfct: NfCt,
        offset: usize,
        announced: &Announced,
        expected: Expectation,
        now: Ps,
    ) -> Verdict {
        let dir = nfct.info.dir();
        let mut expected = Expectation {
            follow: Some((announced.port, dir.reverse())),
            ..expected
        };
        // The same port if it can be, else another one above.
        let range = u32::from(u16::MAX - announced.port);
        for _ in 0..=range.min(MAX_ATTEMPTS) {
            if self.expect_related(expected, now) {
                let text = announce(announced.kind, expected.dst, expected.dst_port);
                let place = (announced.at, announced.len);
                return match self.mangle_tcp_packet(skb, nfct, offset, place, text.as_bytes()) {
                    Some(()) => Verdict::Accept,
                    None => Verdict::Drop,
                };
            }
            if range == 0 {
                break;
            }
            let step = (self.random() % u64::from(range)) as u16;
            expected.dst_port = announced.port + step;
        }
        Verdict::Drop
    }

    /// `nf_nat_follow_master()`: a connection that was expected is translated as the one that announced it.
    pub(in crate::netfilter) fn nf_nat_follow_master(
        &mut self,
        id: CtId,
        expected: &Expectation,
        now: Ps,
    ) {
        let (Some((port, dir)), Some(master)) = (expected.follow, self.get(expected.master)) else {
            return;
        };
        let tuple = *master.tuple(dir.reverse());
        let at = |address| NatRange {
            addrs: Some((address, address)),
            ..NatRange::default()
        };
        self.nat_setup_info(id, &at(tuple.dst), NatManip::Src, now);
        let to = NatRange {
            ports: Some((port, port)),
            ..at(tuple.src)
        };
        self.nat_setup_info(id, &to, NatManip::Dst, now);
    }

    /// `nf_nat_mangle_tcp_packet()`: puts `text` in place of `len` bytes, `at` bytes into the payload; TCP header at `offset`. Later sequence
    /// numbers are adjusted from then on. `None`: that place is not in the packet.
    fn mangle_tcp_packet(
        &mut self,
        skb: &mut SkBuff,
        nfct: NfCt,
        offset: usize,
        (at, len): (usize, usize),
        text: &[u8],
    ) -> Option<()> {
        let family = match skb.data().first()? >> 4 {
            6 => Family::Ipv6,
            _ => Family::Ipv4,
        };
        let mut packet = skb.to_vec();
        let header = packet.get(offset..)?.first_chunk::<20>()?;
        let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let start = offset + usize::from(header[12] >> 4) * 4 + at;
        packet.get(start..start + len)?;
        packet.splice(start..start + len, text.iter().copied());
        // An IP packet's length field has 16 bits.
        let total = u16::try_from(packet.len()).ok()?;
        match family {
            Family::Ipv6 => put16(&mut packet, 4, total.checked_sub(IPV6_HLEN as u16)?),
            _ => {
                let header_len = usize::from(packet.first()? & 0x0f) * 4;
                put16(&mut packet, 2, total);
                send_check(&mut packet, header_len);
            }
        }
        // nf_nat_csum_recalc()
        let (src, dst) = addresses(&packet, family)?;
        let pseudo = checksum::pseudo_header(src, dst, IPPROTO_TCP, (packet.len() - offset) as u32);
        if let CsumState::Partial { .. } = skb.csum {
            put16(&mut packet, offset + 16, fold(pseudo));
        } else {
            put16(&mut packet, offset + 16, 0);
            let sum = add(checksum::sum(packet.get(offset..)?), pseudo);
            put16(&mut packet, offset + 16, !fold(sum));
        }
        let mut longer = SkBuff::alloc_heap(NET_SKB_PAD + ETH_HLEN, packet.len());
        longer.put_slice(&packet)?;
        longer.copy_meta(skb);
        longer.reset_network_header();
        longer.set_transport_header(offset);
        longer.forget_csum_complete();
        *skb = longer;
        self.seqadj_set(
            nfct.id,
            nfct.info.dir(),
            seq,
            text.len() as i32 - len as i32,
        );
        Some(())
    }
}
