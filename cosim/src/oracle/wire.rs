//! The router's end of a veth pair: what comes in was put there, what goes out is kept.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use stack::{
    CsumState, IfIndex, NET_SKB_PAD, NetDeviceOps, NetFeatures, PacketId, PagePool, SkBuff,
};

use super::frame::{Check, ETH_HLEN, Ip, be16, check, check_offset};

/// MTU of a veth device in bytes, and the largest that can be set.
const MTU: u16 = 1500;
const MAX_MTU: u16 = u16::MAX;
/// Bytes of a buffer: a packet of the largest MTU fits.
const BUF_SIZE: usize = NET_SKB_PAD + ETH_HLEN + MAX_MTU as usize;
/// Buffers of a device. What left is in none.
const BUFFERS: usize = 32;

/// A frame that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The packet in it.
    pub id: PacketId,
    /// It was made in `r`: it came in through no device.
    pub made_here: bool,
}

/// The device.
pub struct Wire {
    mac: [u8; 6],
    /// Checksums are handed on as they are, done or not.
    veth: bool,
    pool: PagePool,
    incoming: VecDeque<Vec<u8>>,
    /// Frames that left, in order, until somebody takes them.
    pub outgoing: Vec<Left>,
}

impl Wire {
    /// A veth device with this MAC address: it computes no checksum and leaves that to whoever is last.
    pub fn new(mac: [u8; 6]) -> Rc<RefCell<Self>> {
        Self::with(mac, true)
    }

    /// A device that knows nothing of checksums.
    pub fn plain(mac: [u8; 6]) -> Rc<RefCell<Self>> {
        Self::with(mac, false)
    }

    fn with(mac: [u8; 6], veth: bool) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            mac,
            veth,
            pool: PagePool::heap(BUFFERS, BUF_SIZE),
            incoming: VecDeque::new(),
            outgoing: Vec::new(),
        }))
    }

    /// Puts a frame on the wire; the next poll delivers it.
    pub fn put(&mut self, frame: Vec<u8>) {
        self.incoming.push_back(frame);
    }
}

/// What the sender's kernel knew and a capture does not hold: a checksum field with the pseudo header's sum was left to a device, and veth
/// hands such a packet on as it is.
fn csum_state(frame: &[u8]) -> CsumState {
    let Some(packet) = frame.get(ETH_HLEN..).filter(|_| be16(frame, 12) == 0x0800) else {
        return CsumState::None;
    };
    match Ip::parse(packet) {
        Some(ip) if check(packet, &ip) == Check::Partial => CsumState::Partial {
            start: (ETH_HLEN + ip.header_len) as u16,
            offset: check_offset(ip.protocol).unwrap_or(0) as u16,
        },
        _ => CsumState::None,
    }
}

impl NetDeviceOps for Wire {
    fn link_kind(&self) -> Option<&'static str> {
        self.veth.then_some("veth")
    }

    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.outgoing.push(Left {
            bytes: skb.to_vec(),
            id: skb.id,
            made_here: skb.iif == IfIndex::NONE,
        });
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.incoming.len());
        for frame in self.incoming.drain(..n) {
            let csum = match self.veth {
                true => csum_state(&frame),
                false => CsumState::None,
            };
            let mut skb = SkBuff::alloc(&self.pool, NET_SKB_PAD, frame.len())
                .unwrap_or_else(|| SkBuff::alloc_heap(NET_SKB_PAD, frame.len()));
            // There is room: that is how it was made.
            let _ = skb.put_slice(&frame);
            skb.csum = csum;
            rx.push(skb);
        }
        n
    }

    fn complete(&mut self) -> bool {
        self.incoming.is_empty()
    }

    fn link_up(&self) -> bool {
        true
    }

    fn mtu(&self) -> u16 {
        MTU
    }

    fn max_mtu(&self) -> u16 {
        MAX_MTU
    }

    fn set_mac(&mut self, mac: [u8; 6]) -> bool {
        self.mac = mac;
        true
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn features(&self) -> NetFeatures {
        NetFeatures {
            hw_csum: self.veth,
            rx_csum: self.veth,
            ..NetFeatures::default()
        }
    }

    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::DATAGRAM;
    use super::*;

    #[test]
    fn a_checksum_that_was_left_to_the_device_is_seen() {
        let partial = CsumState::Partial {
            start: 34,
            offset: 6,
        };
        assert_eq!(csum_state(&DATAGRAM), partial);
        let mut other = DATAGRAM;
        other[40] ^= 1;
        assert_eq!(csum_state(&other), CsumState::None);
        assert_eq!(csum_state(&DATAGRAM[..20]), CsumState::None);
    }
}
