//! Generic receive offload (net/core/gro.c): packets of one flow that follow each other become one large packet, which the rest of the
//! stack handles once. Segmentation on transmit takes it apart again into exactly the packets that came.
//!
//! ```text
//! napi_gro_receive ─► same flow held? ─┬─► merges: its payload is appended to the held packet
//!                                      ├─► breaks the flow: the held one goes up, then this one (or it is held instead)
//!                                      └─► no: held, or goes up at once when nothing can follow it
//! ```
//!
//! Everything that is held goes up at the end of the poll, as a kernel with less than 1000 ticks per second does it (`gro_flush_normal()`);
//! so nothing waits here between polls.

mod network;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use crate::gso::Layout;
use crate::ipv4::IPPROTO_TCP;
use crate::skb::{CsumState, Gso, GsoType, SkBuff};
use network::same_network_flow;

/// Lists by flow hash (`GRO_HASH_BUCKETS`).
const GRO_HASH_BUCKETS: usize = 8;
/// Packets in one list (`MAX_GRO_SKBS`).
const MAX_GRO_SKBS: usize = 8;
/// A merged packet stays below this from its network header on (`GRO_LEGACY_MAX_SIZE`).
const GRO_MAX_SIZE: usize = 65536;

/// Packets that wait for their successors.
#[derive(Default)]
pub(crate) struct Gro {
    buckets: [Vec<Held>; GRO_HASH_BUCKETS],
    /// What goes up, in order; the caller takes it after each call.
    pub ready: Vec<SkBuff>,
}

/// One held packet with what `NAPI_GRO_CB` says of it. Data starts at the network header.
struct Held {
    skb: SkBuff,
    layout: Layout,
    /// Packets in it.
    count: u16,
    /// Payload of its first packet, which is that of all but the last.
    size: usize,
    /// The IPv4 identifications are all the same.
    fixed_id: bool,
}

impl Held {
    /// Bytes of payload.
    fn payload_len(&self) -> usize {
        self.skb.len() - self.layout.payload
    }

    /// The transport header.
    fn header(&self) -> &[u8] {
        let range = self.layout.transport..self.layout.payload;
        self.skb.data().get(range).unwrap_or_default()
    }

    /// `skb_gro_receive()`: appends the payload of `packet`. `false` (and nothing changed): the result would be too long.
    fn append(&mut self, packet: &mut Packet) -> bool {
        let len = packet.payload_len();
        if packet.flush || self.skb.len() + len >= GRO_MAX_SIZE {
            return false;
        }
        self.count += packet.count;
        self.skb.append(&mut packet.skb, packet.layout.payload);
        true
    }
}

/// A packet that just came.
struct Packet {
    skb: SkBuff,
    layout: Layout,
    /// It cannot be merged, and nothing of its flow after it.
    flush: bool,
    /// Packets in it: a device may have merged some.
    count: u16,
}

impl Packet {
    fn payload_len(&self) -> usize {
        self.skb.len() - self.layout.payload
    }

    fn header(&self) -> &[u8] {
        let range = self.layout.transport..self.layout.payload;
        self.skb.data().get(range).unwrap_or_default()
    }

    /// `skb_gro_checksum_validate()`: whether the transport checksum is right; it counts as verified after that.
    fn checksum_validate(&mut self) -> bool {
        if self.skb.skb_csum_unnecessary() {
            return true;
        }
        let transport = self.layout.transport;
        let len = self.skb.len() - transport;
        let pseudo = self.layout.pseudo_sum(self.skb.data(), len);
        let sum = self.skb.skb_checksum(transport, len);
        if crate::checksum::fold(crate::checksum::add(sum, pseudo)) != 0xffff {
            return false;
        }
        self.skb.incr_checksum_unnecessary();
        true
    }
}

/// What a transport protocol says of a packet and the held one of its flow.
struct Judgement {
    /// The payload went to the held packet.
    merged: bool,
    /// The held packet goes up.
    flush_held: bool,
    /// The packet is not to be held.
    flush: bool,
}

impl Gro {
    /// `dev_gro_receive()`: `skb`'s data starts at the network header, its Ethernet header is in place. `merge_udp`: whether datagrams like
    /// this one are wanted merged. Returns what is left of the packet if its payload was appended to a held one; else it is held, or among
    /// what goes up.
    pub fn receive(
        &mut self,
        mut skb: SkBuff,
        merge_udp: impl FnOnce(&SkBuff, &Layout) -> bool,
    ) -> Option<SkBuff> {
        skb.pskb_may_pull(skb.len().min(MAX_HEADERS));
        let Some((layout, flush)) = network::gro_receive(&skb) else {
            return self.normal(skb);
        };
        let is_tcp = layout.protocol == IPPROTO_TCP;
        let mut packet = Packet {
            flush,
            // Only TCP packets that a device merged are merged further.
            count: match skb.gso.kind {
                GsoType::None => 1,
                _ => skb.gso.segs.max(1),
            },
            skb,
            layout,
        };
        packet.flush |= packet.skb.gso.kind == GsoType::UdpL4;
        if is_tcp {
            if !packet.flush && !packet.checksum_validate() {
                return self.normal(packet.skb);
            }
        } else if !merge_udp(&packet.skb, &packet.layout) || !udp::acceptable(&mut packet) {
            return self.normal(packet.skb);
        }
        let bucket = packet.skb.hash as usize % GRO_HASH_BUCKETS;
        let list = &mut self.buckets[bucket];
        let found = list.iter().rposition(|held| same_flow(held, &packet));
        let held = found.and_then(|at| list.get_mut(at));
        let judgement = if is_tcp {
            tcp::gro_receive(held, &mut packet)
        } else {
            udp::gro_receive(held, &mut packet)
        };
        if judgement.flush_held
            && let Some(at) = found
        {
            let held = list.remove(at);
            self.ready.push(complete(held));
        }
        if judgement.merged {
            return Some(packet.skb);
        }
        if judgement.flush {
            return self.normal(packet.skb);
        }
        // gro_flush_oldest()
        if list.len() >= MAX_GRO_SKBS {
            let oldest = list.remove(0);
            self.ready.push(complete(oldest));
        }
        let size = match packet.skb.gso.size {
            0 => packet.payload_len(),
            size => usize::from(size),
        };
        list.push(Held {
            size,
            skb: packet.skb,
            layout: packet.layout,
            count: packet.count,
            fixed_id: false,
        });
        None
    }

    /// `gro_normal_one()`.
    fn normal(&mut self, skb: SkBuff) -> Option<SkBuff> {
        self.ready.push(skb);
        None
    }

    /// `napi_gro_flush()`: everything goes up, in each list the oldest first.
    pub fn flush(&mut self) {
        for list in &mut self.buckets {
            self.ready.extend(list.drain(..).map(complete));
        }
    }
}

/// IPv6 with extension headers, TCP with options.
const MAX_HEADERS: usize = 256 + 60;

/// `gro_list_prepare()` and what the network and transport layers compare: link, addresses, protocol, ports.
fn same_flow(held: &Held, packet: &Packet) -> bool {
    let (a, b) = (&held.skb, &packet.skb);
    a.hash == b.hash
        && a.vlan == b.vlan
        && held.layout.ipv6 == packet.layout.ipv6
        && held.layout.protocol == packet.layout.protocol
        && held.header().get(..4) == packet.header().get(..4)
        && same_network_flow(held, packet)
        && a.mac_bytes().get(..14) == b.mac_bytes().get(..14)
}

/// `napi_gro_complete()`: the headers say what the packet is now, and the checksum is left to be filled in.
fn complete(mut held: Held) -> SkBuff {
    if held.count == 1 {
        return held.skb;
    }
    let layout = held.layout;
    let len = held.skb.len();
    let pseudo = layout.pseudo_sum(held.skb.data(), len - layout.transport);
    let is_tcp = layout.protocol == IPPROTO_TCP;
    let start = (-held.skb.mac_offset()).max(0) as usize + layout.transport;
    let packet = held.skb.data_mut();
    network::gro_complete(packet, &layout, len);
    let header = packet.get_mut(layout.transport..).unwrap_or_default();
    let (kind, offset, cwr) = if is_tcp {
        tcp::gro_complete(header, pseudo, layout.ipv6)
    } else {
        udp::gro_complete(header, pseudo, len - layout.transport)
    };
    held.skb.csum = CsumState::Partial {
        start: start as u16,
        offset,
    };
    held.skb.csum_valid = false;
    held.skb.gso = Gso {
        kind,
        size: held.size as u16,
        segs: held.count,
        ecn: false,
        accecn: cwr,
        fixed_id: held.fixed_id && !layout.ipv6,
    };
    held.skb
}
