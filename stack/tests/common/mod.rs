//! A device made of two queues, and a host around it.
#![allow(dead_code)]

use stack::{
    CsumState, IfIndex, NetDeviceOps, NetFeatures, PagePool, Ps, SkBuff, Stack, StackConfig,
    TraceLog,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// One second in simulated time.
pub const SEC: Ps = 1_000_000_000_000;

/// What a [`TestDevice`] shares with the test.
pub struct Wire {
    /// Frames that the next polls deliver.
    pub rx: VecDeque<(Vec<u8>, CsumState)>,
    /// Frames that were sent.
    pub tx: Vec<Vec<u8>>,
    /// Checksum states of the frames that were sent.
    pub tx_csum: Vec<CsumState>,
    /// Free places in the transmit ring.
    pub tx_room: usize,
    /// Doorbells.
    pub flushes: usize,
    /// Carrier.
    pub link: bool,
    /// MTU.
    pub mtu: u16,
    pub features: NetFeatures,
    pub pool: PagePool,
    pub mac: [u8; 6],
}

impl Wire {
    pub fn new(mac: [u8; 6]) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            rx: VecDeque::new(),
            tx: Vec::new(),
            tx_csum: Vec::new(),
            tx_room: usize::MAX,
            flushes: 0,
            link: true,
            mtu: 1500,
            features: NetFeatures::default(),
            pool: PagePool::heap(512, 2048),
            mac,
        }))
    }
}

impl NetDeviceOps for Wire {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        if self.tx_room == 0 {
            return Err(skb);
        }
        assert!(
            skb.is_in(&self.pool),
            "a frame in a buffer that the device cannot reach"
        );
        assert!(skb.headroom() >= 12, "no room for the virtio header");
        self.tx_room -= 1;
        self.tx.push(skb.to_vec());
        self.tx_csum.push(skb.csum);
        Ok(())
    }

    fn flush(&mut self) {
        self.flushes += 1;
    }

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let mut n = 0;
        while n < budget {
            let Some((frame, csum)) = self.rx.pop_front() else {
                break;
            };
            let mut skb = match self.pool.alloc() {
                Some(mut page) if frame.len() + 64 <= page.len() => {
                    page.as_mut_slice()[64..64 + frame.len()].copy_from_slice(&frame);
                    SkBuff::build(page, 64, frame.len())
                }
                _ => SkBuff::from_vec(frame),
            };
            skb.csum = csum;
            rx.push(skb);
            n += 1;
        }
        n
    }

    fn complete(&mut self) -> bool {
        self.rx.is_empty()
    }

    fn tx_ready(&self) -> bool {
        self.tx_room > 0
    }

    fn link_up(&self) -> bool {
        self.link
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn features(&self) -> NetFeatures {
        self.features
    }

    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

/// Sections of tests/data/bpf/bounds.c whose programs leave their memory.
pub const LEAVES_ITS_MEMORY: [&str; 16] = [
    "xdp/read_end",
    "xdp/read_across",
    "xdp/read_before",
    "xdp/write_end",
    "xdp/write_before",
    "xdp/stack_above",
    "xdp/stack_below",
    "xdp/write_context",
    "xdp/read_context",
    "xdp/array_end",
    "xdp/null",
    "xdp/helper_key",
    "xdp/helper_value",
    "xdp/helper_map",
    "xdp/number",
    "xdp/moved",
];

/// The MAC address of the host under test.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
/// The MAC address of its neighbour.
pub const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];

/// A host with one device: 192.0.2.20/24, fd00:9::2/64; its neighbour 192.0.2.10, fd00:9::1 is known.
pub struct Host {
    pub stack: Stack,
    pub dev: IfIndex,
    pub wire: Rc<RefCell<Wire>>,
    pub log: Rc<RefCell<TraceLog>>,
    pub now: Ps,
}

impl Host {
    pub fn new(config: StackConfig) -> Self {
        Self::with_wire(config, Wire::new(MAC))
    }

    pub fn with_wire(config: StackConfig, wire: Rc<RefCell<Wire>>) -> Self {
        let mut stack = Stack::new(config);
        let dev = stack.add_device("eth0", Box::new(Rc::clone(&wire)));
        stack
            .add_addr(dev, "192.0.2.20/24".parse().unwrap())
            .unwrap();
        stack
            .add_addr(dev, "fd00:9::2/64".parse().unwrap())
            .unwrap();
        stack.add_neighbour(dev, "192.0.2.10".parse().unwrap(), PEER);
        stack.add_neighbour(dev, "fd00:9::1".parse().unwrap(), PEER);
        let log = Rc::new(RefCell::new(TraceLog::default()));
        stack.set_tracer(Box::new(Rc::clone(&log)));
        Self {
            stack,
            dev,
            wire,
            log,
            now: 0,
        }
    }

    /// Frames arrive; the stack works until nothing is left.
    pub fn receive<I: IntoIterator<Item = Vec<u8>>>(&mut self, frames: I) {
        let queued = frames.into_iter().map(|f| (f, CsumState::None));
        self.wire.borrow_mut().rx.extend(queued);
        self.stack.napi_schedule(self.dev);
        while self.stack.net_rx_action(self.now) {}
    }

    /// Time passes, with all timers on the way.
    pub fn run_until(&mut self, until: Ps) {
        while let Some(at) = self.stack.next_timer().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.run_timers(self.now);
            while self.stack.net_rx_action(self.now) {}
        }
        self.now = until;
    }

    /// Takes what was sent.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.wire.borrow_mut().tx)
    }

    /// Every packet has ended exactly once or is waiting somewhere.
    pub fn assert_balanced(&self) {
        let s = self.stack.stats();
        let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
        assert_eq!(s.received + s.built, ended, "{s:?}");
    }

    /// The stages of all packets since the last call, one line per packet.
    pub fn journeys(&mut self) -> String {
        let events = std::mem::take(&mut self.log.borrow_mut().events);
        let mut packets: Vec<(u64, Vec<String>)> = Vec::new();
        for (id, _, stage) in events {
            match packets.iter_mut().find(|p| p.0 == id.0) {
                Some(p) => p.1.push(stage.to_string()),
                None => packets.push((id.0, vec![stage.to_string()])),
            }
        }
        let lines: Vec<String> = packets
            .iter()
            .map(|(id, s)| format!("{id}: {}", s.join(" > ")))
            .collect();
        lines.join("\n")
    }
}

/// An Ethernet frame from the neighbour to the host.
pub fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [MAC, PEER].concat();
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}
