//! Automatic receive steering (virtio 5.1.6.5.6): a flow comes in where it last went out.

use super::{parse::Packet, rss::Key};

/// Flows that are remembered; a new one takes the place of the one with the same hash.
const FLOWS: usize = 1024;

/// Key of the device's own hash: it only has to spread flows, and to be the same in every run.
const KEY: [u8; 40] = [
    0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c,
    0x76, 0x2e, 0x71, 0x60, 0xf3, 0x8b, 0x4d, 0xa5, 0x6a, 0x78, 0x4d, 0x90, 0x45, 0x19, 0x0c, 0xfe,
    0x3e, 0x1d, 0x9b, 0x42, 0x6c, 0xf0, 0x85, 0x51,
];

/// What the driver's transmit queues have taught.
#[derive(Debug)]
pub(super) struct FlowTable {
    key: Key,
    /// Hash of the flow as received, and its pair.
    flows: Vec<Option<(u32, u16)>>,
}

impl FlowTable {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            key: Key::new(&KEY).unwrap_or_default(),
            flows: vec![None; FLOWS],
        }
    }

    /// Forgets all flows.
    pub fn clear(&mut self) {
        self.flows.fill(None);
    }

    /// A packet went out through transmit queue `pair`.
    pub fn learn(&mut self, frame: &[u8], packet: &Packet, pair: u16) {
        let hash = self.hash(frame, packet, true);
        self.flows[hash as usize % FLOWS] = Some((hash, pair));
    }

    /// The pair for a packet that comes in: its flow's, or one chosen by its hash.
    pub fn pair(&self, frame: &[u8], packet: &Packet, pairs: u16) -> u16 {
        let hash = self.hash(frame, packet, false);
        match self.flows[hash as usize % FLOWS] {
            Some((known, pair)) if known == hash && pair < pairs => pair,
            _ => (hash >> 16) as u16 % pairs,
        }
    }

    /// Hash of the flow in the direction of reception; `out`: the packet goes the other way.
    fn hash(&self, frame: &[u8], packet: &Packet, out: bool) -> u32 {
        let len = packet.address_len();
        let [mut from, mut to] = packet.addresses();
        let (mut from_port, mut to_port) = (packet.l4, packet.l4 + 2);
        if out {
            std::mem::swap(&mut from, &mut to);
            std::mem::swap(&mut from_port, &mut to_port);
        }
        let ports = if packet.has_ports() { 2 } else { 0 };
        let part = |at: usize, len: usize| frame.get(at..at + len).unwrap_or_default().iter();
        let input = part(from, len)
            .chain(part(to, len))
            .chain(part(from_port, ports))
            .chain(part(to_port, ports));
        self.key.toeplitz(input.copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(from: [u8; 4], to: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend(from);
        frame.extend(to);
        frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        frame.extend([0, 8, 0, 0]);
        frame
    }

    // shows (model): 5.1.6.5.6-1
    #[test]
    fn answers_come_in_where_the_question_went_out() {
        let mut table = FlowTable::new();
        let mut spread = [0; 8];
        for port in 0..200u16 {
            let out = datagram([10, 0, 0, 1], [10, 0, 0, 2], [1000 + port, 53]);
            let back = datagram([10, 0, 0, 2], [10, 0, 0, 1], [53, 1000 + port]);
            let packet = |frame: &[u8]| Packet::parse(frame, true).unwrap();
            spread[usize::from(table.pair(&back, &packet(&back), 8))] += 1;
            for pair in [port % 8, (port + 3) % 8] {
                table.learn(&out, &packet(&out), pair);
                assert_eq!(table.pair(&back, &packet(&back), 8), pair);
            }
            assert!(
                table.pair(&back, &packet(&back), 2) < 2,
                "of the pairs in use"
            );
        }
        assert!(spread.iter().all(|count| *count > 5), "{spread:?}");
    }
}
