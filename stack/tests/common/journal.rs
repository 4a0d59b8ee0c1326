//! A tracer that writes down each stage with the packet as it was there.
#![allow(dead_code)]

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use stack::{PacketId, SkBuff, Stack, Stage, Tracer};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// Lines by packet, packets in order of appearance.
#[derive(Default)]
pub struct Journal {
    packets: Vec<(PacketId, Vec<String>)>,
}

impl Journal {
    /// Of all packets of `stack` from now on.
    pub fn of(stack: &mut Stack) -> Rc<RefCell<Self>> {
        let journal = Rc::new(RefCell::new(Self::default()));
        stack.set_tracer(Box::new(Rc::clone(&journal)));
        journal
    }

    /// What was written since the last call, a paragraph per packet.
    pub fn take(&mut self) -> String {
        let packets = std::mem::take(&mut self.packets);
        let paragraph = |(id, lines): (PacketId, Vec<String>)| format!("#{id}\n{}", lines.join(""));
        packets.into_iter().map(paragraph).collect()
    }
}

impl Tracer for Journal {
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        let line = format!("  {:<28}{}\n", stage.to_string(), described(skb));
        match self.packets.iter_mut().find(|(id, _)| *id == skb.id) {
            Some((_, lines)) => lines.push(line),
            None => self.packets.push((skb.id, vec![line])),
        }
    }
}

/// Addresses, ports and mark; as far as the driver's frame has become a packet.
fn described(skb: &SkBuff) -> String {
    // A frame from the driver has no header positions yet.
    let bytes = match skb.network_offset() == skb.mac_offset() {
        true => skb.mac_bytes().get(14..).unwrap_or_default(),
        false => skb.network_bytes(),
    };
    let Ok(packet) = SlicedPacket::from_ip(bytes) else {
        return "no IP".to_owned();
    };
    let Some(NetSlice::Ipv4(ip)) = packet.net else {
        return "no IPv4".to_owned();
    };
    let [src, dst]: [Ipv4Addr; 2] = [ip.header().source_addr(), ip.header().destination_addr()];
    let what = match packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            let (sport, dport) = (udp.source_port(), udp.destination_port());
            format!("UDP {src}:{sport} > {dst}:{dport}")
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let (sport, dport) = (tcp.source_port(), tcp.destination_port());
            format!("TCP {src}:{sport} > {dst}:{dport}")
        }
        _ => format!("ICMP {src} > {dst}"),
    };
    format!("{what} mark {}", skb.mark)
}
