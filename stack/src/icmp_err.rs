//! What an ICMP or ICMPv6 error says to the socket whose packet it quotes: `icmp_socket_deliver()`, `icmpv6_notify()`, `icmp_err_convert`,
//! `icmpv6_err_convert()`, `__udp4_lib_err()`, `__udp6_lib_err()`.

use crate::error::StackError;
use crate::hook::Family;
use crate::icmp::{self, unreach};
use crate::icmpv6;
use crate::ipv4::header::Ipv4Header;
use crate::ipv4::{IPPROTO_TCP, IPPROTO_UDP};
use crate::ipv6::exthdr::Upper;
use crate::ipv6::find_upper;
use crate::ipv6::header::Ipv6Header;
use crate::skb::SkBuff;
use crate::stack::Stack;
use crate::tcp::remote_addr;
use std::net::{IpAddr, SocketAddr};

/// Bytes of the quoted transport header that must be there.
const QUOTED: usize = 8;
/// Last code of destination unreachable (`NR_ICMP_UNREACH`).
const NR_ICMP_UNREACH: u8 = 15;

/// What an error means to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpErr {
    /// What the application is told.
    pub error: StackError,
    /// A connected datagram socket is told, too.
    pub hard: bool,
    /// A connection that is being made for a listener is given up.
    pub drop_request: bool,
}

/// The packet that an error quotes.
pub(crate) struct Quote<'a> {
    /// From its IP header on.
    pub bytes: &'a [u8],
    pub protocol: u8,
    /// Of what `protocol` names.
    pub offset: usize,
    /// It is a fragment other than the first: what looks like ports is none.
    pub later_fragment: bool,
    /// This host's end.
    pub own: SocketAddr,
    pub peer: SocketAddr,
    /// Who says so.
    pub offender: IpAddr,
    /// TCP's sequence number.
    seq: u32,
}

impl<'a> Quote<'a> {
    /// What `skb` quotes, which is a packet of the error's own family.
    fn of(skb: &'a SkBuff, family: Family) -> Option<Self> {
        let bytes = skb.data().get(icmp::ICMP_HLEN..)?;
        let (src, dst, upper): (IpAddr, IpAddr, Upper) = match family {
            Family::Ipv4 => {
                let header = Ipv4Header::new(bytes)?;
                let upper = Upper {
                    protocol: header.protocol(),
                    offset: header.header_len(),
                    later_fragment: header.offset() != 0,
                };
                (header.saddr().into(), header.daddr().into(), upper)
            }
            _ => {
                let header = Ipv6Header::new(bytes)?;
                let (src, dst) = (header.saddr().into(), header.daddr().into());
                (src, dst, find_upper(bytes)?)
            }
        };
        let offender = match family {
            Family::Ipv4 => Ipv4Header::new(skb.network_bytes())?.saddr().into(),
            _ => Ipv6Header::new(skb.network_bytes())?.saddr().into(),
        };
        let &[s0, s1, d0, d1, seq @ ..] = bytes.get(upper.offset..)?.first_chunk::<QUOTED>()?;
        Some(Self {
            bytes,
            protocol: upper.protocol,
            offset: upper.offset,
            later_fragment: upper.later_fragment,
            own: SocketAddr::new(src, u16::from_be_bytes([s0, s1])),
            peer: remote_addr(dst, u16::from_be_bytes([d0, d1]), skb.iif),
            offender,
            seq: u32::from_be_bytes(seq),
        })
    }
}

/// `icmp_err_convert`, and what is no code of it. `None`: nobody is told.
fn icmp_err_convert(kind: u8, code: u8, peer: SocketAddr) -> Option<IcmpErr> {
    let ip = peer.ip();
    let (error, hard) = match (kind, code) {
        (icmp::TIME_EXCEEDED, icmp::EXC_FRAGTIME) => return None,
        (icmp::TIME_EXCEEDED, _) => (StackError::HostUnreachable(ip), false),
        (icmp::PARAMETERPROB, _) => (StackError::ProtocolError(ip), true),
        (icmp::DEST_UNREACH, code) => match code {
            // ICMP_NET_UNREACH, ICMP_NET_UNR_TOS
            0 | 11 => (StackError::NetUnreachable(ip), false),
            // ICMP_HOST_UNREACH, ICMP_HOST_UNR_TOS
            1 | 12 => (StackError::HostUnreachable(ip), false),
            2 => (StackError::NoProtocol(ip), true),
            3 => (StackError::ConnectionRefused(peer), true),
            4 => (StackError::PathTooNarrow(ip), true),
            // ICMP_SR_FAILED
            5 => (StackError::SourceRouteFailed(ip), false),
            // ICMP_NET_UNKNOWN, ICMP_NET_ANO
            6 | 9 => (StackError::NetUnreachable(ip), true),
            // ICMP_HOST_UNKNOWN
            7 => (StackError::HostDown(ip), true),
            // ICMP_HOST_ISOLATED
            8 => (StackError::NotOnNetwork(ip), true),
            // ICMP_HOST_ANO, ICMP_PKT_FILTERED, ICMP_PREC_VIOLATION, ICMP_PREC_CUTOFF
            10 | 13..=NR_ICMP_UNREACH => (StackError::HostUnreachable(ip), true),
            _ => return None,
        },
        _ => return None,
    };
    let no_way = kind == icmp::DEST_UNREACH && (code == unreach::NET || code == unreach::HOST);
    Some(IcmpErr {
        error,
        hard,
        drop_request: kind != icmp::DEST_UNREACH || no_way,
    })
}

/// `icmpv6_err_convert()`.
fn icmpv6_err_convert(kind: u8, code: u8, peer: SocketAddr) -> IcmpErr {
    let ip = peer.ip();
    let (error, hard) = match (kind, code) {
        (icmpv6::DEST_UNREACH, icmpv6::NOROUTE) => (StackError::NetUnreachable(ip), false),
        (icmpv6::DEST_UNREACH, icmpv6::NOT_NEIGHBOUR | icmpv6::ADDR_UNREACH) => {
            (StackError::HostUnreachable(ip), false)
        }
        // ICMPV6_POLICY_FAIL, ICMPV6_REJECT_ROUTE
        (icmpv6::DEST_UNREACH, icmpv6::ADM_PROHIBITED | 5 | 6) => {
            (StackError::Permission(ip), true)
        }
        (icmpv6::DEST_UNREACH, icmpv6::PORT_UNREACH) => (StackError::ConnectionRefused(peer), true),
        (icmpv6::DEST_UNREACH | icmpv6::PARAMPROB, _) => (StackError::ProtocolError(ip), true),
        (icmpv6::PKT_TOOBIG, _) => (StackError::PathTooNarrow(ip), true),
        (icmpv6::TIME_EXCEED, _) => (StackError::HostUnreachable(ip), false),
        // RFC 4443 2.4 (a): errors of unknown types go to the upper layer.
        _ => (StackError::ProtocolError(ip), false),
    };
    IcmpErr {
        error,
        hard,
        drop_request: hard,
    }
}

impl Stack {
    /// `icmp_socket_deliver()`, `icmpv6_notify()`: an error message, data at its header, goes to the sockets that can have sent what it quotes.
    /// `info`: [`SockExtendedErr::info`](crate::SockExtendedErr::info).
    pub(crate) fn icmp_socket_deliver(&mut self, skb: &SkBuff, family: Family, info: u32) {
        let Some(&[kind, code]) = skb.data().first_chunk() else {
            return;
        };
        let Some(quote) = Quote::of(skb, family) else {
            return;
        };
        let convert = |peer| match family {
            Family::Ipv4 => icmp_err_convert(kind, code, peer),
            _ => Some(icmpv6_err_convert(kind, code, peer)),
        };
        let mut portless = quote.peer;
        portless.set_port(0);
        self.raw_icmp_error(skb, &quote, (kind, code), convert(portless).as_ref(), info);
        let Some(err) = convert(quote.peer).filter(|_| !quote.later_fragment) else {
            return;
        };
        match quote.protocol {
            // What is too long for the path is no error to TCP, which sends less.
            IPPROTO_TCP if !matches!(err.error, StackError::PathTooNarrow(_)) => {
                self.tcp_err((quote.own, quote.peer), quote.seq, err);
            }
            IPPROTO_UDP => self.udp_err(quote.own, quote.peer, err),
            _ => {}
        }
    }

    /// `__udp4_lib_err()`, `__udp6_lib_err()` without `IP_RECVERR`: only a connected socket knows whose error it is, and hears only of hard ones.
    fn udp_err(&mut self, own: SocketAddr, peer: SocketAddr, err: IcmpErr) {
        let Some(id) = self.sockets.lookup_connected(own, peer) else {
            return;
        };
        let no_discovery = own.is_ipv4() && self.config.ip_no_pmtu_disc != 0;
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        // IP_PMTUDISC_DONT
        let narrow = matches!(err.error, StackError::PathTooNarrow(_));
        let unasked = narrow && no_discovery && !socket.dont_fragment;
        if socket.remote.is_some() && err.hard && !unasked {
            socket.error = Some(err.error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        "10.0.1.2:80".parse().unwrap()
    }

    #[test]
    fn codes_that_nobody_hears_of() {
        for (kind, code) in [(3, 16), (11, 1), (4, 0), (5, 1), (0, 0)] {
            assert_eq!(icmp_err_convert(kind, code, peer()), None, "{kind} {code}");
        }
    }

    /// `tcp_req_err()`'s callers.
    #[test]
    fn what_gives_a_request_up() {
        let dropped = |kind, code| icmp_err_convert(kind, code, peer()).map(|e| e.drop_request);
        for (kind, code, expected) in [
            (3, 0, true),
            (3, 1, true),
            (3, 3, false),
            (11, 0, true),
            (12, 0, true),
        ] {
            assert_eq!(dropped(kind, code), Some(expected), "{kind} {code}");
        }
        for (kind, code, expected) in [(1, 0, false), (1, 1, true), (3, 0, false), (4, 1, true)] {
            let err = icmpv6_err_convert(kind, code, peer());
            assert_eq!(err.drop_request, expected, "{kind} {code}");
        }
    }
}
