//! Segments out: `tcp_transmit_skb()`, `tcp_write_xmit()`, acknowledgements, resets, SYN-ACKs.

use super::header::{CHECK_OFFSET, HeaderBytes, Options, TCP_HLEN, flag};
use super::seq::Seq;
use super::sock::{Pair, Request, TcpSock, TcpSocketId, TcpState};
use crate::checksum;
use crate::drop_reason::DropReason;
use crate::ipv4::options::SavedOptions;
use crate::ipv4::{IPPROTO_TCP, IPV4_HLEN, Ipv4Send, Upper};
use crate::ipv6::{IPV6_HLEN, Ipv6Send};
use crate::skb::{CsumState, IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use crate::validate_xmit::fill_checksum;
use crate::xmit::ETH_HLEN;
use crate::{MS, Ps};
use std::net::IpAddr;
use std::ops::Range;

/// Initial window in segments (RFC 6928).
pub(super) const TCP_INIT_CWND: u32 = 10;
/// `tcp_rmem`: room for received bytes, half of the default buffer of 131072 bytes.
const RECEIVE_SPACE: u32 = 65536;
/// Window scale that Linux 6.18 offers: `tcp_rmem[2]` is 32 MiB.
pub(super) const WSCALE: u8 = 10;
/// `net.ipv4.route.min_adv_mss`, `net.ipv6.route.min_adv_mss`.
const MIN_ADV_MSS: u32 = 256;
const MIN_ADV_MSS6: u32 = 1220;
/// `net.ipv4.tcp_min_snd_mss`, of payload and TCP options together.
const TCP_MIN_SND_MSS: u32 = 48;
/// Bytes that the timestamp option takes with its padding.
const TSTAMP_ALIGNED: u32 = 12;

/// The network header's part of a segment, for either family.
#[derive(Clone, Copy)]
pub(super) enum TcpSend {
    V4(Ipv4Send),
    V6(Ipv6Send),
}

impl TcpSend {
    /// IPv4 routers must not fragment it.
    pub fn whole(self) -> Self {
        match self {
            Self::V4(send) => Self::V4(Ipv4Send {
                dont_fragment: true,
                ..send
            }),
            v6 => v6,
        }
    }

    /// With another type of service (traffic class).
    pub fn with_tos(self, tos: u8) -> Self {
        match self {
            Self::V4(send) => Self::V4(Ipv4Send { tos, ..send }),
            Self::V6(send) => Self::V6(Ipv6Send {
                traffic_class: tos,
                ..send
            }),
        }
    }
}

/// `tcp_select_initial_window()`: whole segments of the buffer's space.
pub(super) fn initial_window(mss: u32) -> u32 {
    match RECEIVE_SPACE / mss.max(1) {
        0 => RECEIVE_SPACE,
        segments => segments * mss,
    }
}

/// The clock of the timestamp option: milliseconds (RFC 7323 5.4), plus an offset per connection.
pub(super) fn tcp_time_stamp(now: Ps, offset: u32) -> u32 {
    // The option is 32 bits wide and wraps.
    ((now / MS) as u32).wrapping_add(offset)
}

/// What the way of a segment depends on besides its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub tos: u8,
    pub mark: u32,
    /// The way (IPv6) is that of a packet without a source address.
    pub unsourced: bool,
}

impl Stack {
    /// A buffer for a segment of `len` bytes from `src` to `dst`, with its route. `None`: there is no way or no memory; it is sent again when
    /// its timer says so. `dev`: the link of an IPv6 link-local destination. The buffer has the mark of `way`.
    pub(super) fn tcp_alloc(
        &mut self,
        (src, dst): Pair,
        dev: IfIndex,
        len: usize,
        way: Way,
    ) -> Option<(SkBuff, TcpSend)> {
        let upper = Upper {
            tos: way.tos,
            mark: way.mark,
            ..Upper::new(IPPROTO_TCP, (src.port(), dst.port()))
        };
        let (reserve, oif, send) = match (src.ip(), dst.ip()) {
            (IpAddr::V4(saddr), IpAddr::V4(daddr)) => {
                let (route, _) = self
                    .ip_route_output(daddr, Some(saddr), IfIndex::NONE, upper)
                    .ok()?;
                let send = Ipv4Send {
                    saddr,
                    daddr,
                    protocol: IPPROTO_TCP,
                    tos: 0,
                    dont_fragment: self.ip_dont_fragment(&route, dst.ip()),
                    route,
                };
                (IPV4_HLEN, route.oif, TcpSend::V4(send))
            }
            (IpAddr::V6(saddr), IpAddr::V6(daddr)) => {
                let scope = if daddr.is_unicast_link_local() {
                    dev
                } else {
                    IfIndex::NONE
                };
                let (route, _) = self
                    .ip6_route_output(
                        daddr,
                        (!way.unsourced).then_some(saddr),
                        scope,
                        Upper { tos: 0, ..upper },
                    )
                    .ok()?;
                let send = Ipv6Send {
                    saddr,
                    daddr,
                    next_header: IPPROTO_TCP,
                    traffic_class: 0,
                    hop_limit: self.ip6_dst_hoplimit(&route),
                    route,
                    mtu: self.mtu(route.oif),
                };
                (IPV6_HLEN, route.oif, TcpSend::V6(send))
            }
            _ => return None,
        };
        let mut skb = self.alloc_skb(oif, reserve, len)?;
        skb.mark = way.mark;
        Some((skb, send))
    }

    /// `ip_queue_xmit()`: the network header and on. `id`: IPv4 identification.
    pub(super) fn tcp_ip_xmit(&mut self, mut skb: SkBuff, send: TcpSend, id: u16) {
        match send {
            TcpSend::V4(send) => self.ip_send_skb_id(skb, send, id),
            TcpSend::V6(send) => {
                // ip6_xmit()
                skb.ignore_df = true;
                self.ip6_send_skb(skb, send)
            }
        };
    }

    /// `tcp_advertise_mss()`: what fits the way out.
    pub(super) fn tcp_advmss(&mut self, pair: &Pair, unsourced: bool) -> u32 {
        let upper = Upper::new(IPPROTO_TCP, (pair.0.port(), pair.1.port()));
        let (route, headers, least, told) = match (pair.0.ip(), pair.1.ip()) {
            (IpAddr::V4(own), IpAddr::V4(to)) => {
                let found = self.ip_route_output(to, Some(own), IfIndex::NONE, upper);
                let route = found.ok().map(|(route, _)| route);
                let told = self.fib.v4.advmss(route.as_ref());
                (route, IPV4_HLEN, MIN_ADV_MSS, told)
            }
            (IpAddr::V6(own), IpAddr::V6(to)) => {
                let own = (!unsourced).then_some(own);
                let found = self.ip6_route_output(to, own, super::scope_of(pair.1), upper);
                let route = found.ok().map(|(route, _)| route);
                let told = self.fib.v6.advmss(route.as_ref());
                (route, IPV6_HLEN, MIN_ADV_MSS6, told)
            }
            _ => return 536,
        };
        if told != 0 {
            return told.clamp(88, 65495);
        }
        // ipv4_default_advmss(), ip6_default_advmss()
        let mtu = route.map_or(0, |route| self.dst_mtu(&route, pair.1.ip()));
        let most = mtu.saturating_sub(headers + TCP_HLEN) as u32;
        // An MTU is a 16-bit number; 65535 + 1 of lo is told as 65535.
        most.max(least).clamp(88, 65495)
    }

    /// Sends the SYN-ACK of a request (`tcp_v4_send_synack()`); it has no IPv4 identification.
    pub(super) fn tcp_send_synack(&mut self, pair: &Pair, request: &Request) {
        let advmss = self.tcp_advmss(pair, false);
        let options = Options {
            mss: Some(advmss as u16),
            wscale: request.options.wscale.map(|_| WSCALE),
            sack_ok: request.options.sack_ok,
            tstamp: request
                .options
                .tstamp
                .map(|(theirs, _)| (tcp_time_stamp(self.now, request.ts_offset), theirs)),
        };
        let segment = Out {
            seq: request.isn,
            ack: request.irs + 1,
            flags: flag::SYN | flag::ACK,
            window: request.rcv_wnd.min(65535) as u16,
            options,
            payload: [&[]; 2],
        };
        // tcp_v4_send_synack()
        let tos = if self.config.tcp_reflect_tos {
            request.tos
        } else {
            0
        };
        let ip = Ip {
            id: 0,
            tos,
            mark: request.mark,
            unsourced: false,
            opt: &request.opt,
        };
        self.tcp_transmit_skb(pair, &segment, ip);
    }

    /// The connection's SYN.
    pub(super) fn tcp_send_syn(&mut self, sock: &mut TcpSock, seq: Seq) {
        let advmss = self.tcp_advmss(&sock.pair, sock.unsourced);
        let options = Options {
            mss: Some(advmss as u16),
            wscale: self.config.tcp_window_scaling.then_some(WSCALE),
            sack_ok: self.config.tcp_sack,
            tstamp: (self.config.tcp_timestamps)
                .then(|| (tcp_time_stamp(self.now, sock.ts_offset), 0)),
        };
        let segment = Out {
            seq,
            ack: Seq(0),
            flags: flag::SYN,
            window: sock.rcv_wnd.min(65535) as u16,
            options,
            payload: [&[]; 2],
        };
        let id = sock.next_ip_id();
        let ip = Ip::of(sock, id);
        self.tcp_transmit_skb(&sock.pair, &segment, ip);
    }

    /// `tcp_send_ack()`.
    pub(super) fn tcp_send_ack(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        self.tcp_send_segment(id, sock, sock.snd_nxt, flag::ACK, 0..0);
    }

    /// A segment of an established connection: current acknowledgement, window and timestamps. `payload`: bytes of the write queue; fewer
    /// when it has fewer.
    pub(super) fn tcp_send_segment(
        &mut self,
        id: TcpSocketId,
        sock: &mut TcpSock,
        seq: Seq,
        flags: u8,
        payload: Range<usize>,
    ) {
        let window = sock.select_window();
        if flags & flag::ACK != 0 {
            // tcp_event_ack_sent(): nothing to acknowledge is left.
            sock.quick = sock.quick.saturating_sub(1);
            self.tcp_stop_delack(id, sock);
        }
        let ip_id = sock.next_ip_id();
        let segment = Out {
            seq,
            ack: sock.rcv_nxt,
            flags,
            window,
            options: sock.tstamp_option(self.now),
            payload: sock.queued(payload),
        };
        self.tcp_transmit_skb(&sock.pair, &segment, Ip::of(sock, ip_id));
    }

    /// `tcp_transmit_skb()`: header, options, payload; the checksum is left to the device if it can.
    fn tcp_transmit_skb(&mut self, pair: &Pair, segment: &Out<'_>, ip: Ip<'_>) {
        let mut header = HeaderBytes::new();
        header.extend(pair.0.port().to_be_bytes());
        header.extend(pair.1.port().to_be_bytes());
        header.extend(segment.seq.0.to_be_bytes());
        header.extend(segment.ack.0.to_be_bytes());
        header.extend([0, segment.flags]);
        header.extend(segment.window.to_be_bytes());
        header.extend([0; 4]);
        segment.options.write(&mut header);
        // At most 40 bytes long, so the offset fits 4 bits.
        header[12] = ((header.len() / 4) << 4) as u8;
        let (src, dst, dev) = (pair.0.ip(), pair.1.ip(), super::scope_of(pair.1));
        let [first, second] = segment.payload;
        let len = header.len() + first.len() + second.len();
        // The socket has the way that it found before it had a type of service.
        let way = Way {
            tos: 0,
            mark: ip.mark,
            unsourced: ip.unsourced,
        };
        let Some((mut skb, send)) = self.tcp_alloc(*pair, dev, len, way) else {
            return;
        };
        let pseudo = checksum::pseudo_header(src, dst, IPPROTO_TCP, len as u32);
        header[16..18].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        if skb
            .put_slice(&header)
            .and_then(|()| skb.put_slice(first))
            .and_then(|()| skb.put_slice(second))
            .is_none()
        {
            return self.kfree_skb(skb, DropReason::NoMem);
        }
        if self.device(skb.dev).is_some_and(|d| d.features.hw_csum) {
            let network = match src {
                IpAddr::V4(_) => IPV4_HLEN + ip.opt.len(),
                IpAddr::V6(_) => IPV6_HLEN,
            };
            skb.csum = CsumState::Partial {
                start: (ETH_HLEN + network) as u16,
                offset: CHECK_OFFSET,
            };
        } else {
            fill_checksum(&mut skb, 0, usize::from(CHECK_OFFSET));
        }
        self.trace(&skb, Stage::Send);
        // ip_build_and_send_pkt(): what is so short is never fragmented.
        let send = match segment.flags & (flag::SYN | flag::ACK) {
            flags if flags == flag::SYN | flag::ACK => send.whole(),
            _ => send,
        };
        match send.with_tos(ip.tos) {
            TcpSend::V4(send) if ip.opt.len() != 0 => {
                let options = ip.opt.build(self.inet_current_timestamp());
                self.ip_send_skb_options(skb, send, ip.id, &options);
            }
            send => self.tcp_ip_xmit(skb, send, ip.id),
        }
    }

    /// `tcp_write_xmit()`: sends what the windows of both ends allow, then the FIN.
    pub(super) fn tcp_write_xmit(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        if !sock.may_send() {
            return;
        }
        loop {
            let sent = (sock.snd_nxt - sock.snd_una) as usize;
            let queued = sock.write_queue.len();
            if sent > queued {
                break; // the FIN went out
            }
            let window = sock.snd_wnd.min(sock.cwnd) as usize;
            let len = (queued - sent)
                .min(sock.mss as usize)
                .min(window.saturating_sub(sent));
            let last = sent + len == queued;
            let fin = last && sock.fin_queued;
            if len == 0 && !(fin && queued == sent) {
                break;
            }
            let seq = sock.snd_nxt;
            let push = if last && len > 0 { flag::PSH } else { 0 };
            let flags = flag::ACK | push | if fin { flag::FIN } else { 0 };
            // tcp_event_data_sent(): an answer within the acknowledgement timeout makes it a conversation.
            if len > 0 && self.now.saturating_sub(sock.lrcvtime) < sock.ato {
                sock.pingpong = true;
            }
            self.tcp_send_segment(id, sock, seq, flags, sent..sent + len);
            sock.snd_nxt = seq + len as u32 + u32::from(fin);
            if sock.snd_nxt.after(sock.snd_max) {
                sock.snd_max = sock.snd_nxt;
            }
            if sock.timed.is_none() && sock.retries == 0 {
                sock.timed = Some((sock.snd_nxt, self.now));
            }
        }
        let outstanding = sock.snd_nxt != sock.snd_una;
        // With a closed window one byte probes it (RFC 9293 3.8.6.1); the retransmission timer does that, too.
        let probe = !outstanding && !sock.write_queue.is_empty();
        if (outstanding || probe) && sock.retransmit_at.is_none() {
            self.tcp_rearm_rto(id, sock);
        }
    }

    /// `tcp_send_active_reset()`.
    pub(super) fn tcp_send_active_reset(&mut self, id: TcpSocketId, sock: &mut TcpSock) {
        self.tcp_send_segment(id, sock, sock.snd_nxt, flag::RST | flag::ACK, 0..0);
    }
}

/// A segment to be sent.
struct Out<'a> {
    seq: Seq,
    ack: Seq,
    flags: u8,
    /// As it stands in the header.
    window: u16,
    options: Options,
    /// A ring's bytes lie in two pieces.
    payload: [&'a [u8]; 2],
}

/// What a segment's IP header is made of.
#[derive(Clone, Copy)]
struct Ip<'a> {
    /// IPv4 identification.
    id: u16,
    tos: u8,
    mark: u32,
    /// As [`Way`] has it.
    unsourced: bool,
    opt: &'a SavedOptions,
}

impl<'a> Ip<'a> {
    fn of(sock: &'a TcpSock, id: u16) -> Self {
        Self {
            id,
            tos: sock.tos,
            mark: sock.mark,
            unsourced: sock.unsourced,
            opt: &sock.opt,
        }
    }
}

impl TcpSock {
    /// Whether the state lets data or the FIN out.
    fn may_send(&self) -> bool {
        matches!(
            self.state,
            TcpState::Established
                | TcpState::CloseWait
                | TcpState::FinWait1
                | TcpState::Closing
                | TcpState::LastAck
        )
    }

    /// Bytes of the write queue; fewer when it has fewer.
    fn queued(&self, range: Range<usize>) -> [&[u8]; 2] {
        let (first, second) = self.write_queue.as_slices();
        let part = |slice: &[u8], before: usize| {
            let within = |at: usize| at.saturating_sub(before).min(slice.len());
            within(range.start)..within(range.end)
        };
        [
            first.get(part(first, 0)).unwrap_or_default(),
            second.get(part(second, first.len())).unwrap_or_default(),
        ]
    }

    fn next_ip_id(&mut self) -> u16 {
        let id = self.ip_id;
        self.ip_id = id.wrapping_add(1);
        id
    }

    /// `tcp_select_window()`: what is free, in units of the scale, rounded up; what was offered is never taken back.
    fn select_window(&mut self) -> u16 {
        // The window never shrank below what was received, so this does not wrap.
        let current = self.rcv_wnd.saturating_sub(self.rcv_nxt - self.rcv_wup);
        // Bounded by the window, so it fits.
        let waiting = self.receive_queue.len() as u32;
        let free = self.rcv_ssthresh.min(RECEIVE_SPACE.saturating_sub(waiting));
        let unit = 1u32 << self.rcv_wscale;
        let new = free.div_ceil(unit) * unit;
        self.rcv_wnd = new.max(current.div_ceil(unit) * unit);
        self.rcv_wup = self.rcv_nxt;
        (self.rcv_wnd >> self.rcv_wscale).min(65535) as u16
    }

    /// The payload that segments carry: the peer's MSS less the options of every segment.
    pub(super) fn set_mss(&mut self, peer: Option<u16>, advmss: u32) {
        // RFC 9293 3.7.1: without the option 536.
        let mss = u32::from(peer.unwrap_or(536)).min(advmss);
        // __tcp_mtu_to_mss(); at most 40 bytes of options.
        let mss = mss
            .saturating_sub(self.opt.len() as u32)
            .max(TCP_MIN_SND_MSS);
        self.mss = mss - if self.tstamp_ok { TSTAMP_ALIGNED } else { 0 };
        self.cwnd = TCP_INIT_CWND * self.mss;
        self.rcv_mss = self.mss.min(self.rcv_wnd / 2).clamp(88, 536);
    }
}

/// What a SYN-ACK's window counts in: the timestamps' room is taken off.
pub(super) fn request_window(advmss: u32, options: &Options) -> u32 {
    initial_window(
        advmss
            - if options.tstamp.is_some() {
                TSTAMP_ALIGNED
            } else {
                0
            },
    )
}
