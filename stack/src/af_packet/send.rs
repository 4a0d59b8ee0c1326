//! `packet_snd()`: a frame goes to the queue of its device, past routing and netfilter's IP hooks.

use super::{ETH_P_ALL, PacketSocketType, SockAddrLl};
use crate::Ps;
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::napi::{ETH_P_8021Q, is_vlan};
use crate::skb::SkBuff;
use crate::socket::SocketId;
use crate::stack::Stack;
use crate::trace::Stage;
use crate::xmit::ETH_HLEN;

/// Bytes of a VLAN tag, which a frame may be longer for.
const VLAN_HLEN: usize = 4;

impl Stack {
    /// `sendto()`, or `send()` on the device that the socket is bound to when there is no `to`. `bytes`: a frame with its Ethernet header, or
    /// what follows it ([`PacketSocketType`]). Returns the bytes sent, which is all of them. What
    /// is lost from there on (Linux: `ENOBUFS`) is counted, and no error.
    ///
    /// # Errors
    /// No such socket, no device, a device that is down, more than it takes in one frame, a frame without a header; without `to` also
    /// [`StackError::NotConnected`] where a header has to be made.
    pub fn packet_send_to(
        &mut self,
        socket: SocketId,
        to: Option<&SockAddrLl>,
        bytes: &[u8],
        now: Ps,
    ) -> Result<usize, StackError> {
        self.now = self.now.max(now);
        let packet = self.packet.get(socket)?;
        let kind = packet.kind;
        let (dev, protocol) = match to {
            Some(to) => (to.ifindex, to.protocol),
            None => (packet.device, packet.protocol),
        };
        let device = self.device(dev).ok_or(StackError::NoDevice(dev))?;
        if !device.up {
            return Err(StackError::DeviceDown(dev));
        }
        let mut frame = Vec::with_capacity(ETH_HLEN + bytes.len());
        if kind == PacketSocketType::Dgram {
            frame.extend(to.ok_or(StackError::NotConnected)?.addr);
            frame.extend(device.mac);
            frame.extend(protocol.to_be_bytes());
        }
        let reserve = ETH_HLEN - frame.len();
        frame.extend(bytes);
        let Some(&[e0, e1]) = frame.get(12..ETH_HLEN).and_then(<[u8]>::first_chunk) else {
            return Err(StackError::InvalidHeader);
        };
        let in_frame = u16::from_be_bytes([e0, e1]);
        // packet_extra_vlan_len_allowed()
        let extra = if in_frame == ETH_P_8021Q {
            VLAN_HLEN
        } else {
            0
        };
        let (len, max) = (bytes.len(), self.mtu(dev) + reserve + extra);
        if len > max {
            return Err(StackError::MessageSize { len, max });
        }
        let mut skb = self
            .alloc_skb(dev, 0, frame.len())
            .ok_or(StackError::NoBuffers)?;
        if skb.put_slice(&frame).is_none() {
            self.kfree_skb(skb, DropReason::NoMem);
            return Err(StackError::NoBuffers);
        }
        skb.sk = Some(socket);
        let unknown = matches!(protocol, 0 | ETH_P_ALL) && kind == PacketSocketType::Raw;
        skb.protocol = if unknown { in_frame } else { protocol };
        packet_parse_headers(&mut skb);
        self.trace(&skb, Stage::Send);
        self.dev_queue_xmit(skb);
        self.flush_devices();
        Ok(bytes.len())
    }
}

/// `packet_parse_headers()`: the network header is behind the tags.
fn packet_parse_headers(skb: &mut SkBuff) {
    skb.reset_mac_header();
    let mut at = ETH_HLEN;
    if is_vlan(skb.protocol) {
        let ethertype = |at: usize| {
            let bytes = skb.data().get(at - 2..)?.first_chunk::<2>()?;
            Some(u16::from_be_bytes(*bytes))
        };
        while ethertype(at).is_some_and(is_vlan) && skb.len() >= at + VLAN_HLEN {
            at += VLAN_HLEN;
        }
    }
    skb.set_network_header(at);
    skb.set_transport_header(at);
}
