//! A router that is also a host, and how often it asks for memory.

use crate::common::{MAC, PEER};
use crate::counting;
use stack::{
    CsumState, IfIndex, NetDeviceOps, NetFeatures, PagePool, SkBuff, SocketId, Stack, StackConfig,
};
use std::cell::RefCell;
use std::rc::Rc;

/// Frames of one poll.
pub const BATCH: usize = 32;
/// Between two polls: one millisecond.
pub const MS: u64 = 1_000_000_000;

/// Receives the same frames in every poll, and takes what is sent.
pub struct Wire {
    pub frames: Vec<Vec<u8>>,
    pool: PagePool,
    features: NetFeatures,
    left: usize,
    pub sent: usize,
    /// The last frame that was sent, as far as it is in one piece.
    pub last: Vec<u8>,
}

impl NetDeviceOps for Wire {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.sent += 1;
        self.last.clear();
        self.last.extend_from_slice(skb.data());
        Ok(())
    }
    fn flush(&mut self) {}
    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.left);
        for frame in self.frames.iter().take(n) {
            let mut page = self.pool.alloc().expect("a page");
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

/// What the host has and receives.
pub struct Scene<'a> {
    /// Frames of every round, at most [`BATCH`].
    pub frames: Vec<Vec<u8>>,
    /// An nft ruleset.
    pub rules: &'a str,
    /// Lines of `tc`.
    pub tc: &'a [&'a str],
    /// The application sends back what it reads.
    pub echo: bool,
    /// What both devices can.
    pub features: NetFeatures,
}

impl Scene<'_> {
    pub fn new(frames: Vec<Vec<u8>>) -> Self {
        Self {
            frames,
            rules: "",
            tc: &[],
            echo: false,
            features: NetFeatures {
                hw_csum: true,
                rx_csum: true,
                gro: true,
                ..NetFeatures::default()
            },
        }
    }
}

/// Networks 192.0.2.0/24 and fd00:1::/64 on eth0, 198.51.100.0/24 and fd00:2::/64 on eth1; a UDP socket at port 9.
pub struct Host {
    pub stack: Stack,
    dev: IfIndex,
    pub input: Rc<RefCell<Wire>>,
    pub output: Rc<RefCell<Wire>>,
    /// For IPv4 and IPv6.
    sockets: [SocketId; 2],
    echo: bool,
    pub now: u64,
}

/// What became of the packets of some rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Left through either device.
    pub sent: usize,
    /// Datagrams that the application read.
    pub read: usize,
    /// Dropped on the way.
    pub dropped: usize,
}

impl Host {
    pub fn new(scene: Scene<'_>) -> Self {
        let pool = PagePool::heap(2048, 2048);
        let wire = |frames| {
            Rc::new(RefCell::new(Wire {
                frames,
                pool: pool.clone(),
                features: scene.features,
                left: 0,
                sent: 0,
                last: Vec::with_capacity(2048),
            }))
        };
        let (input, output) = (wire(scene.frames), wire(Vec::new()));
        let mut stack = Stack::new(StackConfig {
            ip_forward: true,
            ipv6_forward: true,
            ..StackConfig::default()
        });
        let dev = stack.add_device("eth0", Box::new(Rc::clone(&input)));
        let far = stack.add_device("eth1", Box::new(Rc::clone(&output)));
        for (dev, cidr) in [
            (dev, "192.0.2.1/24"),
            (dev, "fd00:1::1/64"),
            (far, "198.51.100.1/24"),
            (far, "fd00:2::1/64"),
        ] {
            stack.add_addr(dev, cidr.parse().unwrap()).unwrap();
        }
        for (dev, address) in [
            (dev, "192.0.2.10"),
            (dev, "fd00:1::10"),
            (far, "198.51.100.30"),
            (far, "fd00:2::30"),
        ] {
            stack.add_neighbour(dev, address.parse().unwrap(), PEER);
        }
        if !scene.rules.is_empty() {
            stack.nft(scene.rules).unwrap();
        }
        for line in scene.tc {
            stack.tc(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        let sockets = ["0.0.0.0", "::"].map(|any| stack.udp_bind(any.parse().unwrap(), 9).unwrap());
        Self {
            stack,
            dev,
            input,
            output,
            sockets,
            echo: scene.echo,
            now: MS,
        }
    }

    /// One interrupt, and what is due before the next one.
    pub fn interrupt(&mut self) {
        self.now += MS;
        {
            let mut input = self.input.borrow_mut();
            input.left = input.frames.len();
        }
        self.stack.napi_schedule(self.dev);
        while self.stack.net_rx_action(self.now) {}
        while let Some(at) = self.stack.next_timer().filter(|at| *at < self.now + MS) {
            self.stack.run_timers(at);
            while self.stack.net_rx_action(at) {}
        }
    }

    /// The same, and an application that reads. Returns the datagrams read.
    fn round(&mut self) -> usize {
        self.interrupt();
        let mut read = 0;
        for socket in self.sockets {
            while let Some(datagram) = self.stack.udp_recv_from(socket) {
                read += 1;
                if self.echo {
                    let sent = (self.stack).udp_send_to(
                        socket,
                        datagram.src,
                        datagram.payload(),
                        self.now,
                    );
                    sent.unwrap();
                }
            }
        }
        read
    }

    fn counted(&self) -> Count {
        Count {
            sent: self.input.borrow().sent + self.output.borrow().sent,
            read: 0,
            dropped: self.stack.stats().dropped as usize,
        }
    }
}

/// Rounds that are counted.
pub const ROUNDS: usize = 50;

/// Runs until everything that grows has grown. Then counts: what became of the packets of [`ROUNDS`], and how often these asked for memory.
pub fn counts(scene: Scene<'_>) -> (Count, usize) {
    let mut host = Host::new(scene);
    for _ in 0..100 {
        host.round();
    }
    let (allocations, before) = (counting::allocations(), host.counted());
    let read = (0..ROUNDS).map(|_| host.round()).sum();
    let allocations = counting::allocations() - allocations;
    let after = host.counted();
    let count = Count {
        sent: after.sent - before.sent,
        read,
        dropped: after.dropped - before.dropped,
    };
    (count, allocations)
}

/// No memory is asked for; and what has to become of the packets of one round.
pub fn steady(what: &str, scene: Scene<'_>, (sent, read, dropped): (usize, usize, usize)) {
    let expected = Count {
        sent: ROUNDS * sent,
        read: ROUNDS * read,
        dropped: ROUNDS * dropped,
    };
    assert_eq!(counts(scene), (expected, 0), "{what}");
}
