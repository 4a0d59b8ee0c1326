//! ARP (RFC 826) for IPv4 over Ethernet.

use crate::addr::MAC_BROADCAST;
use crate::drop_reason::DropReason;
use crate::fib::Scope;
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
            tip: Ipv4Addr::new(p[24], p[25], p[26], p[27]),
        })
    }
}

impl Stack {
    /// `arp_rcv()` and `arp_process()`.
    pub(crate) fn arp_rcv(&mut self, mut skb: SkBuff) {
        self.trace(&skb, Stage::ArpReceive);
        skb.skb_linearize();
        if skb.pkt_type == PktType::OtherHost {
            // Linux ends these as consumed, not as dropped.
            return self.consume_skb(skb, Consume::Arp);
        }
        match ArpPacket::parse(skb.data()) {
            Some(arp)
                if matches!(arp.op, ARPOP_REQUEST | ARPOP_REPLY)
                    && !arp.tip.is_multicast()
                    && !arp.tip.is_loopback() =>
            {
                self.arp_process(&skb, &arp);
                self.consume_skb(skb, Consume::Arp);
            }
            _ => self.kfree_skb(skb, DropReason::NotSpecified),
        }
    }

    fn arp_process(&mut self, skb: &SkBuff, arp: &ArpPacket) {
        let (dev, sip) = (skb.dev, IpAddr::V4(arp.sip));
        let target_is_local = self.fib.is_local(arp.tip.into());
        if arp.sip.is_unspecified() {
            // Duplicate address detection of somebody else (RFC 5227): it may know that the address is taken.
            if arp.op == ARPOP_REQUEST && target_is_local {
                self.arp_send(ARPOP_REPLY, dev, arp.tip, arp.sip, arp.sha, arp.sha, skb);
            }
            return;
        }
        let valid_source =
            !arp.sip.is_multicast() && !arp.sip.is_broadcast() && !self.fib.is_local(sip);
        if arp.op == ARPOP_REQUEST && target_is_local && valid_source {
            // neigh_event_ns(): whoever asks will soon be talked to.
            let update = NeighUpdate {
                mac: Some(arp.sha),
                state: NudState::Stale,
                overrides: true,
                weak_override: false,
                create: true,
            };
            self.neigh_update(dev, sip, update);
            return self.arp_send(ARPOP_REPLY, dev, arp.tip, arp.sip, arp.sha, arp.sha, skb);
        }
        // Replies and gratuitous announcements change what is known, but make nobody known (arp_accept is off).
        let gratuitous = arp.sip == arp.tip;
        let (now, locktime) = (self.now, self.neigh_conf.of(dev, sip).locktime);
        let Some(neigh) = self.neighbours.get_mut(dev, sip) else {
            return;
        };
        let overrides = gratuitous || now > neigh.updated + locktime;
        let answered = arp.op == ARPOP_REPLY && skb.pkt_type == PktType::Host;
        let state = if answered {
            NudState::Reachable
        } else {
            NudState::Stale
        };
        let update = NeighUpdate {
            mac: Some(arp.sha),
            state,
            overrides,
            weak_override: false,
            create: false,
        };
        self.neigh_update(dev, sip, update);
    }

    /// `arp_solicit()`: asks for `target`, from `source` if that is an address of this host, else from one that fits.
    pub(crate) fn arp_solicit(
        &mut self,
        dev: IfIndex,
        target: Ipv4Addr,
        source: Option<Ipv4Addr>,
        unicast: Option<[u8; 6]>,
    ) {
        let source = source
            .filter(|&s| self.fib.is_local(s.into()))
            .or_else(|| self.inet_select_addr(dev, target, Scope::LINK))
            .unwrap_or(Ipv4Addr::UNSPECIFIED);
        let dest = unicast.unwrap_or(MAC_BROADCAST);
        let none = SkBuff::default();
        self.arp_send(ARPOP_REQUEST, dev, source, target, dest, [0; 6], &none);
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
