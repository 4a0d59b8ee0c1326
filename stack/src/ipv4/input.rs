//! `ip_rcv()` to the transport protocols.

use super::IPV4_HLEN;
use super::header::{IP_OFFSET, Ipv4Header};
use super::options::{BadOptions, EchoedOptions, Entries, IpOptions, SavedOptions};
use super::route::OutputFlow;
use crate::MS;
use crate::drop_reason::DropReason;
use crate::fib::{RouteType, Scope};
use crate::hook::{Family, Hook};
use crate::icmp::{self, unreach};
use crate::igmp::IPPROTO_IGMP;
use crate::reassembly::FragUser;
use crate::reassembly::Pieces;
use crate::skb::{IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::tcp::header::TCP_HLEN;
use crate::trace::{Consume, Stage};
use crate::udp::UDP_HLEN;
use std::net::{IpAddr, Ipv4Addr};

/// Protocol number of ICMP.
pub(crate) const IPPROTO_ICMP: u8 = 1;
/// Protocol number of TCP.
pub(crate) const IPPROTO_TCP: u8 = 6;
/// Protocol number of UDP.
pub(crate) const IPPROTO_UDP: u8 = 17;

/// Bytes at the front of a packet in pieces that are made linear on receive: IPv4 header with options, TCP header with options.
const MAX_LINEAR_HEADERS: usize = 120;

/// Where a datagram came from and goes to, for the transport protocols of both families.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// To a group or to everybody: nothing is answered, and several sockets may get it.
    pub to_many: bool,
}

impl Stack {
    /// `ip_rcv()`.
    pub(crate) fn ip_rcv(&mut self, mut skb: SkBuff) {
        if let Err(reason) = ip_rcv_core(&mut skb) {
            return self.kfree_skb(skb, reason);
        }
        let dev = skb.dev;
        if self.nf_hook(Hook::PreRouting, Family::Ipv4, &mut skb, dev, IfIndex::NONE) {
            self.ip_rcv_finish(skb);
        }
    }

    /// `ip_rcv_finish()`: routing, options, then local delivery or forwarding.
    fn ip_rcv_finish(&mut self, mut skb: SkBuff) {
        // A hook may have changed the packet: its header is looked at again.
        let Some(header) = Ipv4Header::new(skb.data()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        let (has_options, protocol) = (header.header_len() > 20, header.protocol());
        if skb.pkt_type == PktType::Host {
            early_demux(&mut skb.pieces, protocol);
        }
        // skb_valid_dst(): what this host sent to many has its route from there.
        let kept = skb.dst.filter(|_| skb.pkt_type == PktType::Outgoing);
        let routed = kept.map_or_else(|| self.ip_route_input(&skb), Ok);
        // What the lookup refused has a route that says so, and its options are looked at like those of others.
        let martian = matches!(&routed, Err(no_route) if no_route.error.is_none());
        if let Ok(route) = routed {
            skb.dst = Some(route);
            self.trace(&skb, Stage::RouteInput);
        }
        if has_options
            && !martian
            && let Err(error) = self.ip_rcv_options(&mut skb)
        {
            if let Some(pointer) = error.pointer {
                // The pointer is the high byte of the message's second word.
                self.icmp_send(&skb, icmp::PARAMETERPROB, 0, u32::from(pointer) << 24);
            }
            let reason = match error.pointer {
                Some(_) => DropReason::IpInHdr,
                None => DropReason::NotSpecified,
            };
            return self.kfree_skb(skb, reason);
        }
        let route = match routed {
            Ok(route) => route,
            Err(no_route) => {
                // ip_error()
                let sender = Ipv4Header::new(skb.data()).map(|h| h.saddr().into());
                if let Some((code, sender)) = no_route.unreach_code.zip(sender)
                    && self.icmp_limiter.allow_no_route(self.now, sender)
                {
                    self.icmp_send(&skb, icmp::DEST_UNREACH, code, 0);
                }
                return self.kfree_skb(skb, no_route.reason);
            }
        };
        // RFC 1122 3.3.6: what is sent to many on the link is for many.
        let l2_many = matches!(skb.pkt_type, PktType::Broadcast | PktType::Multicast);
        if l2_many
            && !matches!(route.kind, RouteType::Broadcast | RouteType::Multicast)
            && (self.ipv4_conf).or(skb.dev, |c| c.drop_unicast_in_l2_multicast)
        {
            return self.kfree_skb(skb, DropReason::UnicastInL2Multicast);
        }
        match route.kind {
            _ if route.directed => self.ip_forward(skb),
            RouteType::Unicast => self.ip_forward(skb),
            _ => self.ip_local_deliver(skb),
        }
    }

    /// `ip_rcv_options()`: they are looked at, and this host enters itself where they ask for it.
    fn ip_rcv_options(&self, skb: &mut SkBuff) -> Result<(), BadOptions> {
        let Some(header) = Ipv4Header::new(skb.data()) else {
            return Ok(());
        };
        let (saddr, daddr, end) = (header.saddr(), header.daddr(), header.header_len());
        // fib_compute_spec_dst()
        let way_back = || self.ip_route_output_key(&OutputFlow::to(saddr));
        let address = match skb.dst {
            Some(route) if route.kind == RouteType::Local => Some(daddr),
            _ if saddr.is_unspecified() => self.inet_select_addr(skb.dev, saddr, Scope::LINK),
            _ => way_back().ok().map(|(_, own)| own),
        };
        let own = Entries {
            address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            time: self.inet_current_timestamp(),
            elsewhere: &|address| self.is_elsewhere(address),
        };
        let mut opt = IpOptions::NONE;
        let list = skb.data_mut().get_mut(IPV4_HLEN..end);
        let compiled = opt.compile(list.unwrap_or_default(), &own);
        skb.opt = opt;
        compiled
    }

    /// `ip_options_echo()`: the options of an answer from `address` to the packet `skb`; `None`: it does not let itself be answered.
    pub(crate) fn ip_options_echo(&self, skb: &SkBuff, address: Ipv4Addr) -> Option<EchoedOptions> {
        if skb.opt == IpOptions::NONE {
            return Some(EchoedOptions::new());
        }
        let own = Entries {
            address,
            time: self.inet_current_timestamp(),
            elsewhere: &|address| self.is_elsewhere(address),
        };
        skb.opt.echo(skb.network_bytes(), &own)
    }

    /// `tcp_v4_save_options()`: what every packet from `address` that answers the SYN `skb` has; nothing where it does not let itself be answered.
    pub(crate) fn tcp_v4_save_options(&self, skb: &SkBuff, address: IpAddr) -> SavedOptions {
        let (true, IpAddr::V4(address)) = (skb.opt != IpOptions::NONE, address) else {
            return SavedOptions::NONE;
        };
        let own = Entries {
            address,
            time: self.inet_current_timestamp(),
            elsewhere: &|address| self.is_elsewhere(address),
        };
        let saved = skb.opt.save(skb.network_bytes(), &own);
        saved.unwrap_or(SavedOptions::NONE)
    }

    fn is_elsewhere(&self, address: Ipv4Addr) -> bool {
        self.fib.v4.addr_type(address.to_bits()) == RouteType::Unicast
    }

    /// `inet_current_timestamp()`: milliseconds since midnight UT; time begins at a midnight.
    pub(crate) fn inet_current_timestamp(&self) -> u32 {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        (self.now / MS % DAY) as u32
    }

    /// `ip_local_deliver()`: fragments are put together before the hook sees them.
    fn ip_local_deliver(&mut self, skb: SkBuff) {
        self.trace(&skb, Stage::LocalDeliver);
        let fragment = Ipv4Header::new(skb.data()).is_some_and(|h| h.is_fragment());
        let whole = if fragment {
            self.ip_defrag(skb, FragUser::LocalDeliver)
        } else {
            Some(skb)
        };
        let Some(mut skb) = whole else { return };
        let dev = skb.dev;
        if self.nf_hook(Hook::LocalIn, Family::Ipv4, &mut skb, dev, IfIndex::NONE) {
            self.ip_local_deliver_finish(skb);
        }
    }

    /// `ip_local_deliver_finish()` and `ip_protocol_deliver_rcu()`.
    fn ip_local_deliver_finish(&mut self, mut skb: SkBuff) {
        let Some(header) = Ipv4Header::new(skb.data()) else {
            return self.kfree_skb(skb, DropReason::IpInHdr);
        };
        let to_many = matches!(skb.dst, Some(r) if r.kind != RouteType::Local);
        let flow = Flow {
            src: header.saddr().into(),
            dst: header.daddr().into(),
            to_many,
        };
        let (protocol, header_len) = (header.protocol(), header.header_len());
        if skb.pull(header_len).is_none() {
            return self.kfree_skb(skb, DropReason::PktTooSmall);
        }
        skb.set_transport_header(0);
        let raw = self.raw_local_deliver(&skb, protocol, &flow);
        match protocol {
            IPPROTO_ICMP => self.icmp_rcv(skb, flow),
            IPPROTO_UDP => self.udp_rcv(skb, flow),
            IPPROTO_TCP => self.tcp_rcv(skb, flow),
            IPPROTO_IGMP => self.igmp_rcv(skb),
            _ if raw => self.consume_skb(skb, Consume::Tapped),
            _ => {
                self.icmp_send(&skb, icmp::DEST_UNREACH, unreach::PROTOCOL, 0);
                self.kfree_skb(skb, DropReason::IpNoProto);
            }
        }
    }

    /// `arp_error_report()` / `ipv4_link_failure()`: the next hop does not answer.
    pub(crate) fn ipv4_link_failure(&mut self, skb: &SkBuff) {
        self.icmp_send(skb, icmp::DEST_UNREACH, unreach::HOST, 0);
    }
}

/// `ip_rcv_core()`: the header is sound, and the packet is as long as it says. Ethernet padding is cut off.
fn ip_rcv_core(skb: &mut SkBuff) -> Result<(), DropReason> {
    if skb.pkt_type == PktType::OtherHost {
        return Err(DropReason::OtherHost);
    }
    skb.opt = IpOptions::NONE;
    // With options and a transport header that netfilter may look at.
    skb.pskb_may_pull(skb.len().min(MAX_LINEAR_HEADERS));
    let header = Ipv4Header::new(skb.data()).ok_or(DropReason::IpInHdr)?;
    if !header.checksum_ok() {
        return Err(DropReason::IpCsum);
    }
    let (tot_len, header_len) = (header.tot_len(), header.header_len());
    if skb.len() < tot_len {
        return Err(DropReason::PktTooSmall);
    }
    if tot_len < header_len {
        return Err(DropReason::IpInHdr);
    }
    skb.trim(tot_len);
    skb.set_transport_header(header_len);
    Ok(())
}

/// `tcp_v4_early_demux()`, `udp_v4_early_demux()`, and IPv6's: they pull the transport header, which matters to a packet in pieces.
pub(crate) fn early_demux(pieces: &mut Option<Box<Pieces>>, protocol: u8) {
    let header_len = match protocol {
        IPPROTO_TCP => TCP_HLEN,
        IPPROTO_UDP => UDP_HLEN,
        _ => return,
    };
    if let Some(pieces) = pieces {
        pieces.pull(header_len);
    }
}

/// Whether the packet that begins with `network` is a fragment other than the first.
pub(crate) fn is_later_fragment(header: &Ipv4Header<'_>) -> bool {
    header.frag_off() & IP_OFFSET != 0
}
