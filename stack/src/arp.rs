//! ARP (RFC 826) for IPv4 over Ethernet.

use crate::addr::MAC_BROADCAST;
use crate::drop_reason::DropReason;
use crate::fib::{FlowKey, RouteType, Scope};
use crate::inetaddr::IfAddr;
use crate::ipv4::OutputFlow;
use crate::napi::{ETH_P_ARP, ETH_P_IP};
use crate::neigh::{NeighUpdate, NudState};
use crate::skb::{IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::net::{IpAddr, Ipv4Addr};

/// Length of a packet for IPv4 over Ethernet.
const ARP_LEN: usize = 28;
/// Hardware type Ethernet.
const ARPHRD_ETHER: u16 = 1;
/// Hardware type IEEE 802, accepted as Ethernet (RFC 1122 2.3.3).
const ARPHRD_IEEE802: u16 = 6;
const ARPOP_REQUEST: u16 = 1;
const ARPOP_REPLY: u16 = 2;

/// The fields of an ARP packet, checked to be about IPv4 over Ethernet.
struct ArpPacket {
    op: u16,
    sha: [u8; 6],
    sip: Ipv4Addr,
    tha: [u8; 6],
    tip: Ipv4Addr,
}

impl ArpPacket {
    fn parse(data: &[u8]) -> Option<Self> {
        let p = data.first_chunk::<ARP_LEN>()?;
        let hardware = u16::from_be_bytes([p[0], p[1]]);
        let protocol = u16::from_be_bytes([p[2], p[3]]);
        if !matches!(hardware, ARPHRD_ETHER | ARPHRD_IEEE802)
            || protocol != ETH_P_IP
            || (p[4], p[5]) != (6, 4)
        {
            return None;
        }
        Some(Self {
            op: u16::from_be_bytes([p[6], p[7]]),
            sha: [p[8], p[9], p[10], p[11], p[12], p[13]],
            sip: Ipv4Addr::new(p[14], p[15], p[16], p[17]),
            tha: [p[18], p[19], p[20], p[21], p[22], p[23]],
            tip: Ipv4Addr::new(p[24], p[25], p[26], p[27]),
        })
    }
}

impl Stack {
    /// `arp_rcv()` and `arp_process()`.
    pub(crate) fn arp_rcv(&mut self, mut skb: SkBuff) {
        self.trace(&skb, Stage::ArpReceive);
        skb.skb_linearize();
        if skb.pkt_type == PktType::OtherHost || self.noarp(skb.dev).is_some() {
            // Linux ends these as consumed, not as dropped.
            return self.consume_skb(skb, Consume::Arp);
        }
        if skb.len() < ARP_LEN {
            return self.kfree_skb(skb, DropReason::PktTooSmall);
        }
        match ArpPacket::parse(skb.data()) {
            Some(arp)
                if matches!(arp.op, ARPOP_REQUEST | ARPOP_REPLY)
                    && !arp.tip.is_multicast()
                    && (!arp.tip.is_loopback()
                        || self.ipv4_conf.or(skb.dev, |c| c.route_localnet)) =>
            {
                if arp.sip == arp.tip && self.ipv4_conf.or(skb.dev, |c| c.drop_gratuitous_arp) {
                    return self.kfree_skb(skb, DropReason::NotSpecified);
                }
                self.arp_process(&skb, &arp);
                self.consume_skb(skb, Consume::Arp);
            }
            _ => self.kfree_skb(skb, DropReason::NotSpecified),
        }
    }

    fn arp_process(&mut self, skb: &SkBuff, arp: &ArpPacket) {
        let dev = skb.dev;
        if arp.sip.is_unspecified() {
            // Duplicate address detection of somebody else (RFC 5227): it may know that the address is taken.
            let own = arp.op == ARPOP_REQUEST && self.fib.is_local(arp.tip.into());
            if own && !self.arp_ignore(dev, arp.sip, arp.tip) {
                self.arp_send(ARPOP_REPLY, dev, arp.tip, arp.sip, arp.sha, arp.sha, skb);
            }
            return;
        }
        if arp.op == ARPOP_REQUEST {
            let flow = FlowKey {
                dst: arp.tip.to_bits(),
                src: arp.sip.to_bits(),
                iif: dev,
                ..FlowKey::default()
            };
            // A source that cannot be there is not answered; what it says is still looked at.
            if let Ok(route) = self.ip_route_input_flow(&flow, None) {
                let answer = match route.kind {
                    RouteType::Local => {
                        !self.arp_ignore(dev, arp.sip, arp.tip)
                            && !self.arp_filter(dev, arp.sip, arp.tip)
                    }
                    RouteType::Unicast => self.arp_proxy(dev, arp, route.oif),
                    _ => false,
                };
                if answer {
                    self.arp_answer(skb, arp);
                }
                if answer || route.kind == RouteType::Local {
                    return;
                }
            }
        }
        self.arp_learn(skb, arp);
    }

    /// `arp_fwd_proxy()`, `arp_fwd_pvlan()`, and `ip neigh add proxy`: whether a request for an address behind `oif` is answered.
    fn arp_proxy(&self, dev: IfIndex, arp: &ArpPacket, oif: IfIndex) -> bool {
        if oif == dev {
            return arp.sip != arp.tip && self.ipv4_conf.dev(dev).proxy_arp_pvlan != 0;
        }
        let medium = |dev| self.ipv4_conf.dev(dev).medium_id;
        let between = match (medium(dev), medium(oif)) {
            (0, _) => true,
            (-1, _) | (_, -1) => false,
            (here, there) => here != there,
        };
        (between && self.ipv4_conf.or(dev, |c| c.proxy_arp))
            || self.neighbours.is_proxy(dev, arp.tip.into())
    }

    /// `arp_filter()`: whether a request is left unanswered as the way to the asker does not go back through the device.
    fn arp_filter(&self, dev: IfIndex, sip: Ipv4Addr, tip: Ipv4Addr) -> bool {
        if !self.ipv4_conf.or(dev, |c| c.arp_filter) {
            return false;
        }
        let back = OutputFlow {
            saddr: Some(tip),
            ..OutputFlow::to(sip)
        };
        !matches!(self.ip_route_output_key(&back), Ok((route, _)) if route.oif == dev)
    }

    /// Whoever asks will soon be talked to (`neigh_event_ns()`), and is told that the address is here.
    fn arp_answer(&mut self, skb: &SkBuff, arp: &ArpPacket) {
        let update = NeighUpdate {
            mac: Some(arp.sha),
            state: NudState::Stale,
            overrides: true,
            weak_override: false,
            create: true,
        };
        self.neigh_update(skb.dev, arp.sip.into(), update);
        self.arp_send(
            ARPOP_REPLY,
            skb.dev,
            arp.tip,
            arp.sip,
            arp.sha,
            arp.sha,
            skb,
        );
    }

    /// Replies and announcements change what is known; with `arp_accept` they also make somebody known.
    fn arp_learn(&mut self, skb: &SkBuff, arp: &ArpPacket) {
        let (dev, sip) = (skb.dev, IpAddr::V4(arp.sip));
        let unicast = self.fib.addr_type(sip) == RouteType::Unicast
            && !arp.sip.is_multicast()
            && !arp.sip.is_broadcast();
        // arp_is_garp(): a reply also names the sender's own MAC address as target.
        let same = arp.op == ARPOP_REQUEST || arp.tha == arp.sha;
        let gratuitous = arp.sip == arp.tip && same && unicast;
        let create =
            self.arp_accept(dev, arp.sip) && (gratuitous || (arp.op == ARPOP_REPLY && unicast));
        let (now, locktime) = (self.now, self.neigh_conf.of(dev, sip).locktime);
        let overrides = match self.neighbours.get_mut(dev, sip) {
            Some(neigh) => gratuitous || now > neigh.updated + locktime,
            None if create => true,
            None => return,
        };
        let answered = arp.op == ARPOP_REPLY && skb.pkt_type == PktType::Host;
        let update = NeighUpdate {
            mac: Some(arp.sha),
            state: match answered {
                true => NudState::Reachable,
                false => NudState::Stale,
            },
            overrides,
            weak_override: false,
            create,
        };
        self.neigh_update(dev, sip, update);
    }

    /// `arp_accept()`.
    fn arp_accept(&self, dev: IfIndex, sip: Ipv4Addr) -> bool {
        match self.ipv4_conf.max(dev, |c| c.arp_accept) {
            1 => true,
            2 => self.inet_addr_onlink(dev, sip, Ipv4Addr::UNSPECIFIED),
            _ => false,
        }
    }

    /// `arp_ignore()`: whether a request of `sip` for an own address `tip` is left unanswered.
    fn arp_ignore(&self, dev: IfIndex, sip: Ipv4Addr, tip: Ipv4Addr) -> bool {
        let (devices, sip, scope) = match self.ipv4_conf.max(dev, |c| c.arp_ignore) {
            1 => (Some(dev), Ipv4Addr::UNSPECIFIED, Scope::HOST),
            2 => (Some(dev), sip, Scope::HOST),
            3 => (None, Ipv4Addr::UNSPECIFIED, Scope::LINK),
            8 => return true,
            _ => return false,
        };
        // inet_confirm_addr(): the address is on the device, and one of its networks holds both.
        let on = |a: &&IfAddr| devices.is_none_or(|dev| a.dev == dev);
        let own = |a: &&IfAddr| on(a) && a.v4() == Some(tip) && a.scope <= scope;
        let Some(own) = self.addrs.iter().find(own) else {
            return true;
        };
        let holds = |a: &IfAddr| {
            a.network().contains(tip.into())
                && (sip.is_unspecified() || a.network().contains(sip.into()))
        };
        !self.addrs.iter().any(|a| a.dev == own.dev && holds(a))
    }

    /// `arp_solicit()`: asks for `target`. `source`: of the packet that waits; `arp_announce` says whether it is shown.
    pub(crate) fn arp_solicit(
        &mut self,
        dev: IfIndex,
        target: Ipv4Addr,
        source: Option<Ipv4Addr>,
        unicast: Option<[u8; 6]>,
    ) {
        let announce = self.ipv4_conf.max(dev, |c| c.arp_announce);
        let shown = |s: &Ipv4Addr| {
            self.fib.is_local((*s).into())
                && match announce {
                    0 => true,
                    1 => self.inet_addr_onlink(dev, target, *s),
                    _ => false,
                }
        };
        let source = source
            .filter(shown)
            .or_else(|| self.inet_select_addr(dev, target, Scope::LINK))
            .unwrap_or(Ipv4Addr::UNSPECIFIED);
        let dest = unicast.unwrap_or(MAC_BROADCAST);
        let none = SkBuff::default();
        self.arp_send(ARPOP_REQUEST, dev, source, target, dest, [0; 6], &none);
    }

    /// `NETDEV_NOTIFY_PEERS`: announces every IPv4 address of a device by a gratuitous ARP request, and every IPv6 address by an
    /// unsolicited advertisement, e.g. after a move to another switch port. An unknown device is ignored.
    pub fn notify_peers(&mut self, dev: IfIndex) {
        self.arp_announce(dev);
        let own: Vec<IpAddr> = self.device_addrs(dev).map(|a| a.address()).collect();
        for address in own {
            if let IpAddr::V6(a) = address {
                self.ndisc_send_unsol_na(dev, a);
            }
        }
        self.flush_devices();
    }

    /// `inetdev_send_gratuitous_arp()`.
    pub(crate) fn arp_announce(&mut self, dev: IfIndex) {
        let none = SkBuff::default();
        let own: Vec<IpAddr> = self.device_addrs(dev).map(|a| a.address()).collect();
        for address in own {
            if let IpAddr::V4(a) = address {
                self.arp_send(ARPOP_REQUEST, dev, a, a, MAC_BROADCAST, [0; 6], &none);
            }
        }
    }

    /// `arp_send()`. `cause`: the packet that is answered.
    #[allow(clippy::too_many_arguments)]
    fn arp_send(
        &mut self,
        op: u16,
        dev: IfIndex,
        sip: Ipv4Addr,
        tip: Ipv4Addr,
        dest: [u8; 6],
        tha: [u8; 6],
        cause: &SkBuff,
    ) {
        let Some(sha) = self.device(dev).map(|d| d.mac) else {
            return;
        };
        let Some(mut skb) = self.alloc_skb(dev, 0, ARP_LEN) else {
            return;
        };
        let mut packet = [0u8; ARP_LEN];
        packet[..2].copy_from_slice(&ARPHRD_ETHER.to_be_bytes());
        packet[2..4].copy_from_slice(&ETH_P_IP.to_be_bytes());
        packet[4..6].copy_from_slice(&[6, 4]);
        packet[6..8].copy_from_slice(&op.to_be_bytes());
        packet[8..14].copy_from_slice(&sha);
        packet[14..18].copy_from_slice(&sip.octets());
        packet[18..24].copy_from_slice(&tha);
        packet[24..].copy_from_slice(&tip.octets());
        if skb.put_slice(&packet).is_none() {
            return self.kfree_skb(skb, DropReason::NoMem);
        }
        skb.protocol = ETH_P_ARP;
        skb.parent = cause.id;
        skb.reset_network_header();
        self.trace(&skb, Stage::Send);
        self.dev_hard_header_xmit(skb, dest);
    }
}
