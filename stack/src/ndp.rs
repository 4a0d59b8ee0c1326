//! Neighbour discovery (RFC 4861): solicitations, advertisements and redirects. Router solicitations and router advertisements are
//! validated and then ignored.

use crate::addr::solicited_node;
use crate::dad::Dad;
use crate::drop_reason::DropReason;
use crate::fib::{Route, RouteType};
use crate::ipv4::Flow;
use crate::ipv6::header::Ipv6Header;
use crate::ipv6::{IPPROTO_ICMPV6, IPV6_HLEN};
use crate::neigh::{NeighUpdate, NudState};
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::net::{IpAddr, Ipv6Addr};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// Bytes of a solicitation or advertisement before its options.
const ND_HLEN: usize = 24;
/// Option: source link-layer address.
const OPT_SOURCE_LL: u8 = 1;
/// Option: target link-layer address.
pub(crate) const OPT_TARGET_LL: u8 = 2;
/// Option: the packet that was redirected.
pub(crate) const OPT_REDIRECTED: u8 = 4;
/// Option: nonce (RFC 3971 5.3.2).
const OPT_NONCE: u8 = 14;
/// Flags of advertisements (RFC 4861 4.4).
const NA_ROUTER: u8 = 0x80;
const NA_SOLICITED: u8 = 0x40;
const NA_OVERRIDE: u8 = 0x20;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The options of a message that matter here.
#[derive(Default)]
struct Options {
    source_ll: Option<[u8; 6]>,
    target_ll: Option<[u8; 6]>,
    /// As a number, big endian.
    nonce: Option<u64>,
    /// Whether a packet is quoted.
    redirected: bool,
}

impl Options {
    /// `ndisc_parse_options()`: RFC 4861 4.6; lengths count 8 bytes each and none is 0.
    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        while !bytes.is_empty() {
            let (&kind, &len) = (bytes.first()?, bytes.get(1)?);
            let option = bytes
                .get(..usize::from(len) * 8)
                .filter(|o| !o.is_empty())?;
            let mac = option
                .get(2..)
                .and_then(|rest| rest.first_chunk::<6>())
                .copied();
            match kind {
                OPT_SOURCE_LL => options.source_ll = mac,
                OPT_TARGET_LL => options.target_ll = mac,
                OPT_NONCE => options.nonce = mac.map(nonce_of),
                OPT_REDIRECTED => options.redirected = true,
                _ => {}
            }
            bytes = &bytes[option.len()..];
        }
        Some(options)
    }
}

/// A nonce as a number.
fn nonce_of([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The address at bytes 8 to 23 of a message.
fn target(message: &[u8]) -> Option<Ipv6Addr> {
    let octets = message.get(8..ND_HLEN)?.first_chunk::<16>()?;
    Some(Ipv6Addr::from(*octets))
}

impl Stack {
    /// `ndisc_rcv()`: data at the ICMPv6 header, checksum already verified.
    pub(crate) fn ndisc_rcv(&mut self, skb: SkBuff, flow: Flow) {
        self.trace(&skb, Stage::NdiscReceive);
        match self.ndisc_process(&skb, flow) {
            Ok(()) => self.consume_skb(skb, Consume::Ndisc),
            Err(reason) => self.kfree_skb(skb, reason),
        }
    }

    fn ndisc_process(&mut self, skb: &SkBuff, flow: Flow) -> Result<(), DropReason> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (flow.src, flow.dst) else {
            return Err(DropReason::NotSpecified);
        };
        // RFC 6980: not in fragments.
        if skb.fragmented {
            return Err(DropReason::Ipv6NdiscFrag);
        }
        // RFC 4861 6.1, 7.1: a hop limit of 255 proves that no router forwarded it.
        if Ipv6Header::new(skb.network_bytes()).is_none_or(|h| h.hop_limit() != 255) {
            return Err(DropReason::Ipv6NdiscHopLimit);
        }
        let message = skb.data();
        let (kind, code) = (
            message.first().copied().unwrap_or(0),
            message.get(1).copied().unwrap_or(0),
        );
        if code != 0 {
            return Err(DropReason::Ipv6NdiscBadCode);
        }
        match kind {
            NEIGHBOUR_SOLICITATION => self.ndisc_recv_ns(skb, src, dst),
            NEIGHBOUR_ADVERTISEMENT => self.ndisc_recv_na(skb, dst),
            // RFC 4861 6.1.2
            ROUTER_ADVERTISEMENT if !src.is_unicast_link_local() => Err(DropReason::NotSpecified),
            ROUTER_SOLICITATION | ROUTER_ADVERTISEMENT => {
                let fixed = if kind == ROUTER_SOLICITATION { 8 } else { 16 };
                let options = message.get(fixed..).ok_or(DropReason::PktTooSmall)?;
                Options::parse(options)
                    .map(|_| ())
                    .ok_or(DropReason::Ipv6NdiscBadOptions)
            }
            REDIRECT => self.ndisc_redirect_rcv(skb, src),
            _ => Ok(()),
        }
    }

    /// `ndisc_redirect_rcv()`: RFC 4861 8.1, and whether the packet that it quotes is this host's.
    fn ndisc_redirect_rcv(&mut self, skb: &SkBuff, src: Ipv6Addr) -> Result<(), DropReason> {
        let message = skb.data();
        if !src.is_unicast_link_local() {
            return Err(DropReason::NotSpecified);
        }
        let gateway = target(message).ok_or(DropReason::PktTooSmall)?;
        let dst = message.get(24..40).and_then(|b| b.first_chunk::<16>());
        let dst = Ipv6Addr::from(*dst.ok_or(DropReason::PktTooSmall)?);
        let options = Options::parse(&message[40..]).ok_or(DropReason::Ipv6NdiscBadOptions)?;
        let on_link = gateway == dst;
        if dst.is_multicast() || !(on_link || gateway.is_unicast_link_local()) {
            return Err(DropReason::NotSpecified);
        }
        let (target_ll, dev) = (options.target_ll, skb.dev);
        if options.redirected && !self.redirect_quotes_own(&message[40..]) {
            return Ok(());
        }
        if self.rt6_do_redirect(dev, src, gateway, dst) {
            let update = NeighUpdate {
                mac: target_ll,
                state: NudState::Stale,
                overrides: true,
                weak_override: true,
                create: true,
            };
            self.neigh_update(dev, gateway.into(), update);
            if let Some(neigh) = self.neighbours.get_mut(dev, gateway.into()) {
                neigh.router |= !on_link;
            }
        }
        Ok(())
    }

    /// Whether the packet in the redirected-header option, among these options, came from an address of this host.
    fn redirect_quotes_own(&self, mut options: &[u8]) -> bool {
        while let [kind, len, ..] = *options {
            let len = usize::from(len) * 8;
            let (Some(option), true) = (options.get(..len), len > 0) else {
                return false;
            };
            if kind == OPT_REDIRECTED {
                let quoted = option.get(8..).and_then(Ipv6Header::new);
                return quoted.is_some_and(|h| self.fib.is_local(h.saddr().into()));
            }
            options = &options[len..];
        }
        false
    }

    /// `ndisc_recv_ns()`: RFC 4861 7.1.1 and 7.2.3.
    fn ndisc_recv_ns(
        &mut self,
        skb: &SkBuff,
        src: Ipv6Addr,
        dst: Ipv6Addr,
    ) -> Result<(), DropReason> {
        let message = skb.data();
        let wanted = target(message).ok_or(DropReason::PktTooSmall)?;
        if wanted.is_multicast() {
            return Err(DropReason::NotSpecified);
        }
        let dad = src.is_unspecified();
        if dad && !is_solicited_node(dst) {
            return Err(DropReason::NotSpecified);
        }
        let options = message
            .get(ND_HLEN..)
            .and_then(Options::parse)
            .ok_or(DropReason::Ipv6NdiscBadOptions)?;
        if dad && options.source_ll.is_some() {
            return Err(DropReason::NotSpecified);
        }
        match self.ifa_v6(skb.dev, wanted).map(|ifa| ifa.dad) {
            // All routers of the network have it, each says so of itself. Without the random delay of RFC 4861 7.2.7.
            None if self.is_anycast(skb.dev, wanted) => {}
            None => return Err(DropReason::Ipv6NdiscNsOtherHost),
            Some(Dad::Done) => {}
            Some(state) => {
                // RFC 4862 5.4.3: another host asks for it too, unless it is this one's own question that came back (RFC 7527 4.2).
                let own = match state {
                    Dad::Probing { nonce, .. } => nonce != 0 && options.nonce == Some(nonce),
                    _ => false,
                };
                if dad && !own {
                    self.addrconf_dad_failure(skb.dev, wanted);
                }
                return Err(DropReason::NotSpecified);
            }
        }
        if dad {
            // Somebody wants our address: everybody is told that it is taken.
            self.ndisc_send_na(skb, wanted, ALL_NODES, false);
            return Ok(());
        }
        // Only a solicitation to the group must say who asks; a probe by unicast need not.
        if let Some(mac) = options.source_ll {
            let update = NeighUpdate {
                mac: Some(mac),
                state: NudState::Stale,
                overrides: true,
                weak_override: false,
                create: true,
            };
            self.neigh_update(skb.dev, src.into(), update);
        } else if dst.is_multicast() {
            return Err(DropReason::NotSpecified);
        }
        self.ndisc_send_na(skb, wanted, src, true);
        Ok(())
    }

    /// `ndisc_recv_na()`: RFC 4861 7.1.2 and 7.2.5.
    fn ndisc_recv_na(&mut self, skb: &SkBuff, dst: Ipv6Addr) -> Result<(), DropReason> {
        let message = skb.data();
        let about = target(message).ok_or(DropReason::PktTooSmall)?;
        let flags = message.get(4).copied().unwrap_or(0);
        let solicited = flags & NA_SOLICITED != 0;
        if about.is_multicast() || (dst.is_multicast() && solicited) {
            return Err(DropReason::NotSpecified);
        }
        let options = message
            .get(ND_HLEN..)
            .and_then(Options::parse)
            .ok_or(DropReason::Ipv6NdiscBadOptions)?;
        // Somebody else claims our address. While it is tentative it is not ours; else there is nothing to do about it.
        if self.ifa_v6(skb.dev, about).is_some() {
            self.addrconf_dad_failure(skb.dev, about);
            return Err(DropReason::NotSpecified);
        }
        let update = NeighUpdate {
            mac: options.target_ll,
            state: if solicited {
                NudState::Reachable
            } else {
                NudState::Stale
            },
            overrides: flags & NA_OVERRIDE != 0,
            weak_override: true,
            create: false,
        };
        self.neigh_update(skb.dev, about.into(), update);
        if let Some(neigh) = self.neighbours.get_mut(skb.dev, about.into()) {
            neigh.router = flags & NA_ROUTER != 0;
        }
        Ok(())
    }

    /// `ndisc_send_na()`: tells `dst` that `address` is here.
    fn ndisc_send_na(&mut self, cause: &SkBuff, address: Ipv6Addr, dst: Ipv6Addr, solicited: bool) {
        // RFC 4861 7.2.7: who asked first keeps the router that answered first.
        let anycast = self.ifa_v6(cause.dev, address).is_none();
        let source = match anycast {
            true => self.ipv6_select_addr(cause.dev, dst).unwrap_or(address),
            false => address,
        };
        let mut flags = if anycast { 0 } else { NA_OVERRIDE };
        if solicited {
            flags |= NA_SOLICITED;
        }
        if self.ipv6_conf.all.forwarding != 0 {
            flags |= NA_ROUTER;
        }
        let Some(mac) = self.device(cause.dev).map(|d| d.mac) else {
            return;
        };
        let option = Some((OPT_TARGET_LL, mac));
        let message = (NEIGHBOUR_ADVERTISEMENT, flags, address, option);
        self.ndisc_send(cause.dev, message, source, dst, cause);
    }

    /// `ndisc_send_unsol_na()`: tells everybody on the link that `address` is here.
    pub(crate) fn ndisc_send_unsol_na(&mut self, dev: IfIndex, address: Ipv6Addr) {
        let mut none = SkBuff::default();
        none.dev = dev;
        self.ndisc_send_na(&none, address, ALL_NODES, false);
    }

    /// `ndisc_solicit()`: asks for `wanted`, from `source` if that is an address of the device, else from one that fits. Unicast probes
    /// find their way through the neighbour table, which still has the old MAC address.
    pub(crate) fn ndisc_solicit(
        &mut self,
        dev: IfIndex,
        wanted: Ipv6Addr,
        source: Option<Ipv6Addr>,
        unicast: Option<[u8; 6]>,
    ) {
        // ndisc_send_ns(): without a link-local address nobody is asked.
        let link_local = || {
            let own = self.device_addrs(dev).map(|cidr| cidr.address());
            own.filter_map(|a| match a {
                IpAddr::V6(a) if a.is_unicast_link_local() => Some(a),
                _ => None,
            })
            .next()
        };
        let own = source
            .filter(|&s| self.has_addr(dev, s))
            .or_else(link_local);
        let Some(own) = own else { return };
        let dst = if unicast.is_some() {
            wanted
        } else {
            solicited_node(wanted)
        };
        let Some(mac) = self.device(dev).map(|d| d.mac) else {
            return;
        };
        let option = Some((OPT_SOURCE_LL, mac));
        let message = (NEIGHBOUR_SOLICITATION, 0, wanted, option);
        self.ndisc_send(dev, message, own, dst, &SkBuff::default());
    }

    /// `ndisc_send_ns()` of [`dad`](crate::dad): who has `address`? From nobody yet (RFC 4862 5.4.2). `nonce`: 48 bits, 0: none.
    pub(crate) fn ndisc_send_dad_ns(&mut self, dev: IfIndex, address: Ipv6Addr, nonce: u64) {
        let [_, _, nonce @ ..] = nonce.to_be_bytes();
        let option = (nonce != [0; 6]).then_some((OPT_NONCE, nonce));
        let message = (NEIGHBOUR_SOLICITATION, 0, address, option);
        let (from, to) = (Ipv6Addr::UNSPECIFIED, solicited_node(address));
        self.ndisc_send(dev, message, from, to, &SkBuff::default());
    }

    /// Builds and sends a message: (type, flags, target, an option of six bytes).
    fn ndisc_send(
        &mut self,
        dev: IfIndex,
        (kind, flags, about, option): (u8, u8, Ipv6Addr, Option<(u8, [u8; 6])>),
        src: Ipv6Addr,
        dst: Ipv6Addr,
        cause: &SkBuff,
    ) {
        let Some(mut skb) = self.alloc_skb(dev, IPV6_HLEN, ND_HLEN + 8) else {
            return;
        };
        let mut message = [0u8; ND_HLEN + 8];
        message[0] = kind;
        message[4] = flags;
        message[8..ND_HLEN].copy_from_slice(&about.octets());
        let mut len = ND_HLEN;
        if let Some((option, value)) = option {
            message[ND_HLEN..ND_HLEN + 2].copy_from_slice(&[option, 1]);
            message[ND_HLEN + 2..].copy_from_slice(&value);
            len += 8;
        }
        if skb.put_slice(&message[..len]).is_none() {
            return self.kfree_skb(skb, DropReason::NoMem);
        }
        skb.parent = cause.id;
        self.trace(&skb, Stage::Send);
        let kind = if dst.is_multicast() {
            RouteType::Multicast
        } else {
            RouteType::Unicast
        };
        let route = Route::link(kind, dev);
        self.icmpv6_push(skb, src, dst, 0, route, 255);
    }
}

/// Whether a packet that this host makes is a message of neighbour discovery. These have a device from the start (`ndisc_alloc_skb()`), and
/// hooks see it as the one that they came in through; what else is made here gets one on its way out.
pub(crate) fn is_ndisc(skb: &SkBuff) -> bool {
    let packet = skb.network_bytes();
    packet.get(6) == Some(&IPPROTO_ICMPV6)
        && matches!(packet.get(IPV6_HLEN), Some(ROUTER_SOLICITATION..=REDIRECT))
}

/// Whether `group` is a solicited-node group, `ff02::1:ff00:0/104`.
fn is_solicited_node(group: Ipv6Addr) -> bool {
    let o = group.octets();
    solicited_node(Ipv6Addr::from([
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, o[13], o[14], o[15],
    ])) == group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_lengths_and_macs() {
        let ok = Options::parse(&[1, 1, 2, 0, 0, 0, 0, 9, 14, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(
            (ok.source_ll, ok.target_ll),
            (Some([2, 0, 0, 0, 0, 9]), None)
        );
        for bad in [
            &[1u8, 0, 0, 0, 0, 0, 0, 0][..],
            &[1, 2, 0, 0, 0, 0, 0, 0],
            &[1],
        ] {
            assert!(Options::parse(bad).is_none());
        }
    }

    #[test]
    fn solicited_node_groups() {
        assert!(is_solicited_node("ff02::1:ff12:3456".parse().unwrap()));
        assert!(!is_solicited_node("ff02::1".parse().unwrap()));
    }
}
