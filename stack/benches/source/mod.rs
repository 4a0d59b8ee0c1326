//! A device that delivers the same frames over and over, already in DMA buffers, as a driver would, and a router with it.

use stack::{CsumState, IfIndex, NetDeviceOps, NetFeatures, PagePool, SkBuff, Stack, StackConfig};
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
pub const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
/// Frames of one poll.
pub const BATCH: usize = 64;

pub struct Source {
    pool: PagePool,
    frames: Vec<Vec<u8>>,
    features: NetFeatures,
    pub left: usize,
    pub sent: u64,
}

impl NetDeviceOps for Source {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.sent += 1;
        drop(black_box(skb));
        Ok(())
    }
    fn flush(&mut self) {}
    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.left);
        for i in 0..n {
            let Some(mut page) = self.pool.alloc() else {
                return i;
            };
            let frame = &self.frames[(self.left - i) % self.frames.len()];
            // What the device's DMA does; part of the measured time.
            page.as_mut_slice()[64..64 + frame.len()].copy_from_slice(frame);
            let mut skb = SkBuff::build(page, 64, frame.len());
            skb.csum = CsumState::Unnecessary;
            rx.push(skb);
        }
        self.left -= n;
        n
    }
    fn complete(&mut self) -> bool {
        self.left == 0
    }
    fn link_up(&self) -> bool {
        true
    }
    fn mtu(&self) -> u16 {
        1500
    }
    fn mac(&self) -> [u8; 6] {
        MAC
    }
    fn features(&self) -> NetFeatures {
        self.features
    }
    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

/// A router with one device, which everything comes in and goes out through.
pub fn router(
    mut frames: Vec<Vec<u8>>,
    features: NetFeatures,
) -> (Stack, IfIndex, Rc<RefCell<Source>>) {
    // They are taken from the end.
    frames.reverse();
    frames.rotate_right(1);
    let source = Rc::new(RefCell::new(Source {
        pool: PagePool::heap(1024, 2048),
        frames,
        features,
        left: 0,
        sent: 0,
    }));
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ..StackConfig::default()
    });
    let dev = stack.add_device("eth0", Box::new(Rc::clone(&source)));
    for cidr in ["192.0.2.20/24", "198.51.100.1/24"] {
        stack
            .add_addr(dev, cidr.parse().expect("cidr"))
            .expect("address");
    }
    for neighbour in ["192.0.2.10", "198.51.100.30"] {
        stack.add_neighbour(dev, neighbour.parse().expect("address"), PEER);
    }
    (stack, dev, source)
}
