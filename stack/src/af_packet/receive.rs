//! Where packet sockets see frames: `packet_rcv()`, and the places from which it is called.

use super::{
    ARPHRD_ETHER, ARPHRD_LOOPBACK, ETH_P_ALL, PacketFrame, PacketSocket, PacketSocketType,
    SockAddrLl,
};
use crate::drop_reason::DropReason;
use crate::napi::is_vlan;
use crate::skb::{IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::trace::Stage;
use crate::xmit::ETH_HLEN;

impl PacketSocket {
    fn on(&self, dev: IfIndex) -> bool {
        self.device == IfIndex::NONE || self.device == dev
    }
}

impl Stack {
    /// `__netif_receive_skb_core()`, `ptype_all`: a received frame, data at its network header. `true`: somebody took it.
    #[inline]
    pub(crate) fn packet_rcv_all(&mut self, skb: &SkBuff) -> bool {
        let dev = skb.dev;
        !self.packet.table.is_empty()
            && self.packet_received(skb, |s| s.protocol == ETH_P_ALL && s.on(dev))
    }

    /// `deliver_ptype_list_skb()`: the same behind the classifiers, for sockets of the frame's EtherType. `orig_dev`: the device that it
    /// came in through, where `skb.dev` may be a VLAN on it.
    #[inline]
    pub(crate) fn packet_rcv_type(&mut self, skb: &SkBuff, orig_dev: IfIndex) -> bool {
        let (dev, protocol) = (skb.dev, skb.protocol);
        !self.packet.table.is_empty()
            && self.packet_received(skb, |s| {
                s.protocol == protocol && protocol != ETH_P_ALL && (s.on(dev) || s.on(orig_dev))
            })
    }

    fn packet_received(&mut self, skb: &SkBuff, sees: impl Fn(&PacketSocket) -> bool) -> bool {
        let seen = self.packet.table.iter().any(&sees);
        // PACKET_LOOPBACK: what this host sent to many and hears itself was seen going out.
        if seen && skb.pkt_type != PktType::Outgoing {
            self.packet_tap(skb, sees);
        }
        seen
    }

    /// `dev_queue_xmit_nit()`: a frame that the driver is about to get, data at its Ethernet header.
    #[inline]
    pub(crate) fn dev_queue_xmit_nit(&mut self, skb: &SkBuff) {
        // Nearly always there is no socket, and every packet asks.
        if !self.packet.table.is_empty() {
            self.packet_sent(skb);
        }
    }

    #[inline(never)] // The test before it is inlined then.
    fn packet_sent(&mut self, skb: &SkBuff) {
        let (dev, sk) = (skb.dev, skb.sk);
        let sees = |s: &PacketSocket| {
            // skb_loop_sk(): not what it sent itself.
            s.protocol == ETH_P_ALL && s.on(dev) && !s.ignore_outgoing && sk != Some(s.id)
        };
        if !self.packet.table.iter().any(sees) {
            return;
        }
        // The driver writes in front of the frame, and reaches its own buffers only: it keeps the original.
        let mut copy = skb.skb_copy();
        copy.pkt_type = PktType::Outgoing;
        copy.reset_mac_header();
        let network = usize::try_from(copy.network_offset());
        if network.is_err() || network.is_ok_and(|at| at > copy.len()) {
            copy.reset_network_header();
        }
        self.packet_tap(&copy, sees);
    }

    /// Gives a copy to every socket that `sees` the frame, the newest first.
    fn packet_tap(&mut self, skb: &SkBuff, sees: impl Fn(&PacketSocket) -> bool) {
        for at in (0..self.packet.table.len()).rev() {
            if !sees(&self.packet.table[at]) {
                continue;
            }
            let mut copy = skb.skb_clone();
            // nf_reset_ct(): the clone never had a hold of it.
            copy.nfct = None;
            copy.dst = None;
            copy.id = self.new_packet_id();
            copy.parent = skb.id;
            self.stats.built += 1;
            self.packet_rcv(at, copy);
        }
    }

    /// `packet_rcv()`: into the queue of the socket in place `at`.
    fn packet_rcv(&mut self, at: usize, mut skb: SkBuff) {
        let socket = &mut self.packet.table[at];
        let kind = socket.kind;
        socket.stats.packets += 1;
        if socket.rmem_alloc >= socket.rcvbuf {
            socket.stats.drops += 1;
            return self.kfree_skb(skb, DropReason::PacketSockError);
        }
        // The application reads it as one slice.
        skb.skb_linearize();
        skb.detach_if_scarce();
        let mut addr = SockAddrLl {
            protocol: skb.protocol,
            ifindex: skb.dev,
            hatype: match skb.dev {
                IfIndex::LO => ARPHRD_LOOPBACK,
                _ => ARPHRD_ETHER,
            },
            pkttype: skb.pkt_type,
            addr: [0; 6],
        };
        let header = skb.mac_bytes();
        if let Some(source) = header.get(6..).and_then(<[u8]>::first_chunk) {
            addr.addr = *source;
        }
        match kind {
            PacketSocketType::Raw => {
                // A tag that the stack put into the frame is what the frame says it is (vlan_insert_tag_set_proto()).
                let ethertype = ethertype(header, ETH_HLEN - 2);
                if let Some(tag) = ethertype.filter(|&ethertype| is_vlan(ethertype)) {
                    addr.protocol = tag;
                }
                skb.rewind_to_mac();
            }
            PacketSocketType::Dgram => {
                if is_vlan(skb.protocol) {
                    addr.protocol = vlan_get_protocol_dgram(header);
                }
                skb.rewind_to_network();
            }
        }
        self.trace(&skb, Stage::SocketQueue);
        let socket = &mut self.packet.table[at];
        socket.rmem_alloc += skb.truesize();
        socket.queue.push_back(PacketFrame {
            addr,
            vlan: skb.vlan,
            tstamp: skb.tstamp,
            skb,
        });
    }
}

fn ethertype(frame: &[u8], at: usize) -> Option<u16> {
    let bytes = frame.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*bytes))
}

/// `vlan_get_protocol_dgram()`: what is behind the tags of a frame that has some; 0: nothing.
fn vlan_get_protocol_dgram(frame: &[u8]) -> u16 {
    let mut types = (ETH_HLEN + 2..).step_by(4);
    loop {
        match types.next().and_then(|at| ethertype(frame, at)) {
            Some(tag) if is_vlan(tag) => {}
            found => return found.unwrap_or(0),
        }
    }
}
