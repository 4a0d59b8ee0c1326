//! The receive softirq: polling drivers, and handing their frames to the protocols.

use crate::Ps;
use crate::drop_reason::DropReason;
use crate::gro::Gro;
use crate::gso::Layout;
use crate::hook::{Family, Hook};
use crate::netdev::{DeviceKind, NapiState, NetDevice};
use crate::skb::{CsumState, IfIndex, PacketId, PktType, SkBuff, Vlan};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use crate::xmit::ETH_HLEN;

/// Frames per poll of one device (`NAPI_POLL_WEIGHT`).
pub const NAPI_POLL_WEIGHT: usize = 64;

/// EtherType of IPv4.
pub const ETH_P_IP: u16 = 0x0800;
/// EtherType of ARP.
pub const ETH_P_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETH_P_IPV6: u16 = 0x86dd;
/// EtherType of a customer VLAN tag (802.1Q).
pub(crate) const ETH_P_8021Q: u16 = 0x8100;
/// EtherType of a service VLAN tag (802.1ad).
pub(crate) const ETH_P_8021AD: u16 = 0x88a8;
/// `eth_type_vlan()`.
pub(crate) fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETH_P_8021Q | ETH_P_8021AD)
}
/// Smaller values of the type field are lengths of 802.3 frames.
const ETH_P_802_3_MIN: u16 = 0x0600;
/// What such frames are reported as (`ETH_P_802_2`).
const ETH_P_802_2: u16 = 0x0004;

impl Stack {
    /// The device's interrupt came (and the driver masked it): puts it on the poll list, with its first queue pair if it has several.
    pub fn napi_schedule(&mut self, ifindex: IfIndex) {
        self.napi_schedule_queue(ifindex, 0);
    }

    /// [`napi_schedule`](Self::napi_schedule) of the NAPI instance of queue pair `queue`; one that the device does not have is passed over.
    pub fn napi_schedule_queue(&mut self, ifindex: IfIndex, queue: u16) {
        let device = self.device_mut(ifindex);
        let Some(napi) = device.and_then(|device| device.napi.get_mut(usize::from(queue))) else {
            return;
        };
        match napi {
            NapiState::Idle => {
                *napi = NapiState::Scheduled;
                self.poll_list.push_back((ifindex, queue));
            }
            // The end of the poll that is going on must not forget it.
            NapiState::Polling => *napi = NapiState::Missed,
            NapiState::Scheduled | NapiState::Missed => {}
        }
    }

    /// The receive softirq: polls the scheduled devices, at most 64 frames each and
    /// [`netdev_budget`](crate::StackConfig::netdev_budget) together, and delivers every frame before its device is told that the poll
    /// is complete. `true`: work is left, call again.
    pub fn net_rx_action(&mut self, now: Ps) -> bool {
        self.now = self.now.max(now);
        self.process_backlog();
        let mut budget = self.config.netdev_budget;
        // Devices that want another poll go to the end of the list for the next round, as in Linux's repoll list.
        for _ in 0..self.poll_list.len() {
            let Some((dev, queue)) = self.poll_list.pop_front() else {
                break;
            };
            let work = self.napi_poll(dev, queue);
            budget = budget.saturating_sub(work);
            if budget == 0 && !self.poll_list.is_empty() {
                self.stats.time_squeeze += 1;
                break;
            }
        }
        self.flush_devices();
        self.softirq_pending()
    }

    /// `local_softirq_pending()` for the receive softirq: a device waits for its poll, so [`net_rx_action`](Self::net_rx_action) has work
    /// even without a further interrupt. Sending through `lo` raises it, and so does a transmit queue that waits for a buffer.
    pub fn softirq_pending(&self) -> bool {
        !self.poll_list.is_empty() || !self.backlog.is_empty()
    }

    /// `dev_loopback_xmit()`: the packet is received through the device that it was to leave through, once whoever sends it is done.
    pub(crate) fn dev_loopback_xmit(&mut self, mut skb: SkBuff) {
        skb.iif = skb.dev;
        skb.pkt_type = PktType::Outgoing;
        if skb.csum == CsumState::None {
            skb.csum = CsumState::Unnecessary;
        }
        skb.reset_mac_header();
        self.backlog.push_back(skb);
    }

    /// `process_backlog()`: what was sent to this host itself meanwhile.
    fn process_backlog(&mut self) {
        for _ in 0..self.backlog.len() {
            if let Some(mut skb) = self.backlog.pop_front() {
                skb.parent = skb.id;
                skb.id = self.new_packet_id();
                self.netif_receive_skb(skb);
            }
        }
    }

    /// `__napi_poll()` of one NAPI instance; returns the frames received.
    fn napi_poll(&mut self, dev: IfIndex, queue: u16) -> usize {
        let instance = usize::from(queue);
        let mut rx_list = std::mem::take(&mut self.rx_list);
        let Some(device) = self.device_mut(dev) else {
            self.rx_list = rx_list;
            return 0;
        };
        if let Some(napi) = device.napi.get_mut(instance) {
            *napi = NapiState::Polling;
        }
        let work = device.ops.poll_queue(queue, NAPI_POLL_WEIGHT, &mut rx_list);
        // The poll took transmitted frames back: the queue may go on.
        device.tx_stopped = false;
        device.no_page = false;
        self.stats.polls += 1;
        self.qdisc_run(dev);
        let mut gro = std::mem::take(&mut self.gro);
        let is_ifb = |device: &NetDevice| device.kind == DeviceKind::Ifb;
        let is_ifb = self.device(dev).is_some_and(is_ifb);
        for skb in rx_list.drain(..) {
            match is_ifb {
                true => self.ifb_ri_tasklet(dev, skb),
                false => self.napi_gro_receive(dev, skb, &mut gro),
            }
        }
        gro.flush();
        for skb in gro.ready.drain(..) {
            self.netif_receive_skb(skb);
        }
        self.gro = gro;
        self.rx_list = rx_list;
        let Some(device) = self.device_mut(dev) else {
            return work;
        };
        let Some(napi) = device.napi.get_mut(instance) else {
            return work;
        };
        // With work missed, interrupts stay off.
        if work < NAPI_POLL_WEIGHT
            && *napi == NapiState::Polling
            && device.ops.complete_queue(queue)
        {
            *napi = NapiState::Idle;
        } else {
            *napi = NapiState::Scheduled;
            self.poll_list.push_back((dev, queue));
        }
        work
    }

    /// `napi_gro_receive()`: the frame is merged, held, or goes on; what it makes go on before it does too.
    fn napi_gro_receive(&mut self, dev: IfIndex, mut skb: SkBuff, gro: &mut Gro) {
        skb.dev = dev;
        skb.iif = dev;
        // Frames that come back through lo keep their number.
        if skb.id == PacketId::NONE || dev != IfIndex::LO {
            skb.id = self.new_packet_id();
        }
        if skb.tstamp == 0 {
            skb.tstamp = self.now;
        }
        self.stats.received += 1;
        if let Some(device) = self.device_mut(dev) {
            device.stats.rx_packets += 1;
            device.stats.rx_bytes += skb.len() as u64;
        }
        self.trace(&skb, Stage::NapiPoll);
        if !self.is_up(dev) {
            self.count_rx_drop(dev);
            return self.kfree_skb(skb, DropReason::DevReady);
        }
        if !self.do_xdp(dev, &mut skb) {
            return;
        }
        self.trace(&skb, Stage::GroReceive);
        if let Err(reason) = self.eth_type_trans(&mut skb) {
            // skb_vlan_untag() is no business of the device.
            if reason != DropReason::NotSpecified {
                self.count_rx_drop(dev);
            }
            return self.kfree_skb(skb, reason);
        }
        let features = self.device(dev).map(|device| device.features);
        if !features.is_some_and(|features| features.gro) {
            return self.netif_receive_skb(skb);
        }
        let forward = features.is_some_and(|features| features.gro_udp_fwd);
        let sockets = &self.sockets;
        let merge_udp = |skb: &SkBuff, layout: &Layout| sockets.gro_wanted(skb, layout, forward);
        if let Some(rest) = gro.receive(skb, merge_udp) {
            self.consume_skb(rest, Consume::Gro);
        }
        for skb in gro.ready.drain(..) {
            self.netif_receive_skb(skb);
        }
    }

    /// `netif_receive_skb()`. Data starts at the network header.
    pub(crate) fn netif_receive_skb(&mut self, skb: SkBuff) {
        let orig_dev = skb.dev;
        self.netif_receive_skb_core(skb, orig_dev);
    }

    /// `__netif_receive_skb_core()`: packet sockets, tc ingress, netfilter ingress, then the protocol. `orig_dev`: the device that the frame
    /// came in through first.
    pub(crate) fn netif_receive_skb_core(&mut self, mut skb: SkBuff, orig_dev: IfIndex) {
        let (dev, netdev, none) = (skb.dev, Family::Netdev, IfIndex::NONE);
        self.trace(&skb, Stage::NetifReceive);
        // The last socket gets its frame (pt_prev) when the next one who wants it is found: a classifier makes it one who had it before.
        let tapped = self.packet_rcv_all(&skb) && !self.ingress_active(dev);
        if !self.nf_hook(Hook::TcIngress, netdev, &mut skb, dev, none) {
            return self.count_rx_drop(dev);
        }
        // What ends there is counted there.
        if !self.sch_handle_ingress(&mut skb) {
            return;
        }
        skb.nf_skip_egress = false;
        if !self.nf_hook(Hook::NetdevIngress, netdev, &mut skb, dev, none) {
            return self.count_rx_drop(dev);
        }
        skb.redirected = None;
        self.deliver_skb(skb, orig_dev, tapped);
    }

    /// Whether there are classifiers or hooks at the ingress of a device.
    fn ingress_active(&self, dev: IfIndex) -> bool {
        self.device(dev).is_some_and(|d| d.clsact.is_some())
            || [Hook::TcIngress, Hook::NetdevIngress]
                .iter()
                .any(|&hook| self.hooks.is_active(hook, dev))
    }

    /// The part of `__netif_receive_skb_core()` behind the classifiers, where packets from an ifb come in, too. `tapped`: a packet
    /// socket has it, so that it is not lost if nobody else wants it.
    pub(crate) fn deliver_skb(&mut self, mut skb: SkBuff, orig_dev: IfIndex, mut tapped: bool) {
        let dev = skb.dev;
        if let Some(vlan) = skb.vlan.take() {
            tapped = false;
            if let Some(vlan_dev) = self.vlan_find_dev(dev, vlan) {
                return self.vlan_do_receive(vlan_dev, skb, orig_dev);
            }
            // A frame of a VLAN that nobody here is in is for somebody else. Id 0 is a priority tag only.
            if vlan.id() != 0 {
                skb.pkt_type = PktType::OtherHost;
            }
        }
        if skb.pkt_type == PktType::OtherHost
            && let Some(device) = self.device_mut(dev)
        {
            device.stats.rx_otherhost_dropped += 1;
        }
        tapped |= self.packet_rcv_type(&skb, orig_dev);
        match skb.protocol {
            ETH_P_IP => self.ip_rcv(skb),
            ETH_P_IPV6 if self.config.ipv6 => match self.ipv6_conf.dev(dev).disable_ipv6 {
                0 => self.ipv6_rcv(skb),
                _ => self.kfree_skb(skb, DropReason::Ipv6Disabled),
            },
            ETH_P_ARP => self.arp_rcv(skb),
            _ if tapped => self.consume_skb(skb, Consume::Tapped),
            _ => {
                self.count_rx_drop(dev);
                self.kfree_skb(skb, DropReason::UnhandledProto);
            }
        }
    }

    /// `eth_type_trans()` and `skb_vlan_untag()`: afterwards data starts at the network header. `Err`: the frame is too short.
    fn eth_type_trans(&mut self, skb: &mut SkBuff) -> Result<(), DropReason> {
        skb.reset_mac_header();
        // With a VLAN tag; everything deeper is pulled by its protocol.
        skb.pskb_may_pull(skb.len().min(ETH_HLEN + 4));
        let header = skb.data().first_chunk::<ETH_HLEN>();
        let header = *header.ok_or(DropReason::PktTooSmall)?;
        let [d0, d1, d2, d3, d4, d5, ..] = header;
        let dest = [d0, d1, d2, d3, d4, d5];
        let device = self.device_mut(skb.dev);
        let device = device.ok_or(DropReason::PktTooSmall)?;
        skb.pkt_type = if dest == device.mac {
            PktType::Host
        } else if dest == crate::addr::MAC_BROADCAST {
            PktType::Broadcast
        } else if d0 & 1 != 0 {
            PktType::Multicast
        } else {
            PktType::OtherHost
        };
        if skb.pkt_type == PktType::Multicast {
            device.stats.multicast += 1;
        }
        skb.protocol = u16::from_be_bytes([header[12], header[13]]);
        skb.pull(ETH_HLEN).ok_or(DropReason::PktTooSmall)?;
        if is_vlan(skb.protocol) && skb.vlan.is_none() && !vlan_untag(skb, &header) {
            return Err(DropReason::NotSpecified);
        }
        if skb.protocol < ETH_P_802_3_MIN {
            skb.protocol = ETH_P_802_2;
        }
        skb.reset_network_header();
        skb.set_transport_header(0);
        Ok(())
    }

    pub(crate) fn count_rx_drop(&mut self, dev: IfIndex) {
        if let Some(device) = self.device_mut(dev) {
            device.stats.rx_dropped += 1;
        }
    }
}

/// Takes the outer VLAN tag out of the frame: the MAC addresses move up by its 4 bytes.
pub(crate) fn vlan_untag(skb: &mut SkBuff, header: &[u8; ETH_HLEN]) -> bool {
    let Some(&[tci0, tci1, type0, type1]) = skb.data().first_chunk::<4>() else {
        return false;
    };
    skb.vlan = Some(Vlan {
        proto: skb.protocol,
        tci: u16::from_be_bytes([tci0, tci1]),
    });
    skb.protocol = u16::from_be_bytes([type0, type1]);
    let mut untagged = *header;
    untagged[12..].copy_from_slice(&[type0, type1]);
    let moved = skb.skb_pull_rcsum(4).and_then(|()| {
        skb.push(ETH_HLEN)?.copy_from_slice(&untagged);
        skb.reset_mac_header();
        skb.pull(ETH_HLEN)
    });
    if let CsumState::Partial { start, .. } = &mut skb.csum {
        *start = start.saturating_sub(4);
    }
    moved.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StackConfig;

    #[test]
    fn the_softirq_is_pending_while_a_device_waits_for_its_poll() {
        let mut stack = Stack::new(StackConfig::default());
        assert!(!stack.softirq_pending());
        let socket = stack
            .udp_bind("127.0.0.1".parse().unwrap(), 9)
            .expect("a socket");
        stack
            .udp_send_to(socket, "127.0.0.1:9".parse().unwrap(), b"x", 0)
            .expect("sent");
        assert!(stack.softirq_pending());
        while stack.net_rx_action(0) {}
        assert!(!stack.softirq_pending());
        stack.napi_schedule(IfIndex(7)); // no such device
        assert!(!stack.softirq_pending());
    }
}
