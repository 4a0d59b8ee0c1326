//! XDP, GRO and segmentation.

use crate::common::{MAC, PEER};
use crate::counting;
use stack::{IfIndex, NetDeviceOps, NetFeatures, PagePool, SkBuff, Stack, StackConfig};
use std::cell::RefCell;
use std::rc::Rc;

/// Frames of one poll.
const BATCH: usize = 16;

/// A device that receives the same frames in every poll.
struct Source {
    frames: Vec<Vec<u8>>,
    left: usize,
    sent: usize,
    features: NetFeatures,
    pool: PagePool,
}

impl NetDeviceOps for Source {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.sent += 1;
        drop(skb);
        Ok(())
    }
    fn flush(&mut self) {}
    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.left);
        self.left -= n;
        for frame in self.frames.iter().take(n) {
            let mut page = self.pool.alloc().expect("a page");
            page.as_mut_slice()[64..64 + frame.len()].copy_from_slice(frame);
            rx.push(SkBuff::build(page, 64, frame.len()));
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
        self.features
    }
    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

fn router(frames: Vec<Vec<u8>>, features: NetFeatures) -> (Stack, IfIndex, Rc<RefCell<Source>>) {
    let source = Rc::new(RefCell::new(Source {
        frames,
        left: 0,
        sent: 0,
        features,
        pool: PagePool::heap(512, 2048),
    }));
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ..StackConfig::default()
    });
    let dev = stack.add_device("eth0", Box::new(Rc::clone(&source)));
    // Everything leaves through the device that it came from; nobody is told that there is a shorter way.
    for place in ["all", "eth0"] {
        let setting = format!("net.ipv4.conf.{place}.send_redirects=0");
        stack.sysctl(&setting).expect("a setting");
    }
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

/// Allocations of one poll, when everything has its size.
fn allocations(stack: &mut Stack, dev: IfIndex, source: &Rc<RefCell<Source>>) -> usize {
    let mut last = 0;
    for _ in 0..5 {
        source.borrow_mut().left = BATCH;
        stack.napi_schedule(dev);
        let before = counting::allocations();
        while stack.net_rx_action(0) {}
        last = counting::allocations() - before;
    }
    last
}

fn tcp(n: usize) -> Vec<u8> {
    let mut tcp = etherparse::TcpHeader::new(5000, 80, n as u32 * 1000, 500);
    tcp.ack = true;
    let (from, to) = ([192, 0, 2, 10], [198, 51, 100, 30]);
    let mut ip =
        etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, from, to).expect("header");
    ip.identification = n as u16;
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2(PEER, MAC)
        .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
        .tcp_header(tcp)
        .write(&mut frame, &[0x5a; 1000])
        .expect("written");
    frame
}

#[test]
fn xdp_allocates_nothing() {
    let elf = include_bytes!("../data/bpf/layering.o");
    for port in [7, 8, 9] {
        let mut frame = Vec::new();
        etherparse::PacketBuilder::ethernet2(PEER, MAC)
            .ipv4([192, 0, 2, 10], [198, 51, 100, 30], 64)
            .udp(port, port)
            .write(&mut frame, b"payload")
            .expect("written");
        let (mut stack, dev, source) = router(vec![frame; BATCH], NetFeatures::default());
        stack.xdp_attach(dev, elf, "xdp").expect("attached");
        assert_eq!(allocations(&mut stack, dev, &source), 0, "port {port}");
        let stats = stack.xdp_stats(dev).expect("a program");
        assert_eq!(stats.drop + stats.tx + stats.pass, 5 * BATCH as u64);
    }
}

#[test]
fn gro_and_gso_allocate_nothing() {
    let tso = NetFeatures {
        hw_csum: true,
        sg: true,
        tso4: true,
        gro: true,
        ..NetFeatures::default()
    };
    for (features, sent) in [(tso, 1), (NetFeatures { tso4: false, ..tso }, BATCH)] {
        let (mut stack, dev, source) = router((0..BATCH).map(tcp).collect(), features);
        let allocations = allocations(&mut stack, dev, &source);
        assert_eq!(source.borrow().sent, 5 * sent);
        assert_eq!(allocations, 0, "{BATCH} packets");
    }
}

#[test]
fn what_fits_no_pages_of_the_device_is_segmented() {
    let features = NetFeatures {
        hw_csum: true,
        sg: true,
        tso4: true,
        gro: true,
        ..NetFeatures::default()
    };
    // 40 pieces are more than a driver takes, and 40 kB more than it has pages of 2 KiB for at once.
    let (mut stack, dev, source) = router((0..40).map(tcp).collect(), features);
    source.borrow_mut().left = 40;
    stack.napi_schedule(dev);
    while stack.net_rx_action(0) {}
    assert_eq!((source.borrow().sent, stack.stats().dropped), (40, 0));
}
