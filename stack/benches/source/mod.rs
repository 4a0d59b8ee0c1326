//! A driver without a device, which delivers the same frames over and over in DMA buffers, and a router between two of them.

pub mod rules;

use stack::{CsumState, IfIndex, NetDeviceOps, NetFeatures, PagePool, SkBuff, Stack, StackConfig};
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

/// MAC address of the host's devices.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
/// MAC address of everybody else.
pub const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
/// Frames of one poll.
pub const BATCH: usize = 64;
/// Offset of the source port of UDP over IPv4 in a frame.
const SPORT: usize = 34;

/// What a [`Source`] does besides repeating its frames.
#[derive(Clone, Copy, Default)]
pub struct Options {
    /// What the device can.
    pub features: NetFeatures,
    /// The device did not verify checksums.
    pub csum_none: bool,
    /// Each frame of a batch gets another UDP source port: a flow of its own.
    pub vary_port: bool,
}

/// The driver. Sent packets end in it.
pub struct Source {
    pool: PagePool,
    frames: Vec<Vec<u8>>,
    options: Options,
    /// Frames still to be delivered.
    pub left: usize,
    /// Packets delivered.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
}

impl Source {
    /// Delivers `frames` in turn, in pages of `pool`.
    pub fn new(frames: Vec<Vec<u8>>, options: Options, pool: &PagePool) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            pool: pool.clone(),
            frames,
            options,
            left: 0,
            received: 0,
            sent: 0,
        }))
    }
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
            self.left -= 1;
            let number = BATCH - 1 - self.left % BATCH;
            let frame = &self.frames[number % self.frames.len()];
            // What the device's DMA does; part of the measured time.
            let bytes = &mut page.as_mut_slice()[64..64 + frame.len()];
            bytes.copy_from_slice(frame);
            if self.options.vary_port {
                let port = 20_000 + number as u16;
                bytes[SPORT..SPORT + 2].copy_from_slice(&port.to_be_bytes());
            }
            let mut skb = SkBuff::build(page, 64, frame.len());
            if !self.options.csum_none {
                skb.csum = CsumState::Unnecessary;
            }
            rx.push(skb);
            self.received += 1;
        }
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
        self.options.features
    }
    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

/// A UDP datagram in an Ethernet frame to the router, `payload` bytes long and without checksum, so that ports may change.
pub fn udp_frame(dst: [u8; 4], port: u16, payload: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], dst, 64)
        .udp(port, port)
        .write(&mut frame, &vec![0x5a; payload])
        .expect("built");
    frame[40..42].fill(0);
    frame
}

/// Destination behind the router.
pub const FAR: [u8; 4] = [198, 51, 100, 30];

/// A router: what comes in through eth0 (192.0.2.20/24) goes out through eth1 (198.51.100.1/24).
pub struct Router {
    /// The host.
    pub stack: Stack,
    /// eth0.
    pub dev: IfIndex,
    /// Driver of eth0.
    pub input: Rc<RefCell<Source>>,
    /// Driver of eth1.
    pub output: Rc<RefCell<Source>>,
}

impl Router {
    /// Receives `frames` in turn.
    pub fn new(frames: Vec<Vec<u8>>, options: Options) -> Self {
        // One memory for both devices, as with two ports of one IOMMU domain: nothing is copied.
        let pool = PagePool::heap(1024, 2048);
        let input = Source::new(frames, options, &pool);
        let output = Source::new(Vec::new(), options, &pool);
        let mut stack = Stack::new(StackConfig {
            ip_forward: true,
            ..StackConfig::default()
        });
        let dev = stack.add_device("eth0", Box::new(Rc::clone(&input)));
        let far = stack.add_device("eth1", Box::new(Rc::clone(&output)));
        for (dev, cidr) in [(dev, "192.0.2.20/24"), (far, "198.51.100.1/24")] {
            stack
                .add_addr(dev, cidr.parse().expect("cidr"))
                .expect("address");
        }
        stack.add_neighbour(dev, "192.0.2.10".parse().expect("address"), PEER);
        stack.add_neighbour(far, FAR.into(), PEER);
        Self {
            stack,
            dev,
            input,
            output,
        }
    }

    /// The same with rules.
    pub fn with_rules(frames: Vec<Vec<u8>>, options: Options, rules: &str) -> Self {
        let mut router = Self::new(frames, options);
        if !rules.is_empty() {
            router.stack.nft(rules).expect("rules");
        }
        router
    }

    /// One interrupt: [`BATCH`] frames.
    pub fn batch(&mut self) {
        self.input.borrow_mut().left = BATCH;
        self.stack.napi_schedule(self.dev);
        while self.stack.net_rx_action(0) {}
    }

    /// Nothing was lost, and what came in went out, perhaps merged.
    pub fn check(&self) {
        assert_eq!(self.stack.stats().dropped, 0);
        let (received, sent) = (self.input.borrow().received, self.output.borrow().sent);
        assert!(received == 0 || sent > 0, "nothing was sent on");
    }
}
