//! Time per packet of the receive path: an echo request becomes a reply in the driver's hands; a datagram reaches its socket and is read; a
//! datagram is forwarded. No simulated hardware: the device is two queues.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stack::{CsumState, IfIndex, NetDeviceOps, NetFeatures, PagePool, SkBuff, Stack, StackConfig};
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
const BATCH: usize = 64;

/// Delivers the same frame over and over, already in DMA buffers, as a driver would.
struct Source {
    pool: PagePool,
    frame: Vec<u8>,
    left: usize,
    sent: u64,
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
        self.left -= n;
        for _ in 0..n {
            let Some(mut page) = self.pool.alloc() else {
                return 0;
            };
            // What the device's DMA does; part of the measured time.
            page.as_mut_slice()[64..64 + self.frame.len()].copy_from_slice(&self.frame);
            let mut skb = SkBuff::build(page, 64, self.frame.len());
            skb.csum = CsumState::None;
            rx.push(skb);
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
        NetFeatures {
            hw_csum: true,
            rx_csum: true,
            ..NetFeatures::default()
        }
    }
    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

fn host(frame: Vec<u8>) -> (Stack, IfIndex, Rc<RefCell<Source>>) {
    let source = Rc::new(RefCell::new(Source {
        pool: PagePool::heap(512, 2048),
        frame,
        left: 0,
        sent: 0,
    }));
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ..StackConfig::default()
    });
    let dev = stack.add_device("eth0", Box::new(Rc::clone(&source)));
    for cidr in ["192.0.2.20/24", "fd00:9::2/64"] {
        stack
            .add_addr(dev, cidr.parse().expect("cidr"))
            .expect("address");
    }
    for neighbour in ["192.0.2.10", "192.0.2.30"] {
        stack.add_neighbour(dev, neighbour.parse().expect("address"), PEER);
    }
    (stack, dev, source)
}

fn packet(len: usize, build: impl Fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
    let mut bytes = Vec::new();
    build(&mut bytes, &vec![0x5a; len - 42]);
    assert_eq!(bytes.len(), len);
    bytes
}

fn bench(c: &mut Criterion) {
    use etherparse::PacketBuilder;
    let (a, b, other) = ([192, 0, 2, 10], [192, 0, 2, 20], [192, 0, 2, 30]);
    let eth = || PacketBuilder::ethernet2(PEER, MAC);
    let mut group = c.benchmark_group("stack");
    group.throughput(Throughput::Elements(BATCH as u64));
    for len in [60, 1514] {
        let ping = packet(len, |v, p| {
            eth()
                .ipv4(a, b, 64)
                .icmpv4_echo_request(1, 2)
                .write(v, p)
                .expect("built")
        });
        let udp = packet(len, |v, p| {
            eth().ipv4(a, b, 64).udp(1, 9).write(v, p).expect("built")
        });
        let forward = packet(len, |v, p| {
            eth()
                .ipv4(a, other, 64)
                .udp(1, 9)
                .write(v, p)
                .expect("built")
        });
        for (name, frame) in [("icmp_echo", ping), ("forward", forward)] {
            let (mut stack, dev, source) = host(frame);
            group.bench_function(format!("{name}/{len}"), |bencher| {
                bencher.iter(|| {
                    source.borrow_mut().left = BATCH;
                    stack.napi_schedule(dev);
                    while stack.net_rx_action(0) {}
                });
            });
            assert!(source.borrow().sent > 0 && stack.stats().dropped == 0);
        }
        let (mut stack, dev, source) = host(udp);
        let socket = stack
            .udp_bind("0.0.0.0".parse().expect("address"), 9)
            .expect("socket");
        group.bench_function(format!("udp_echo/{len}"), |bencher| {
            bencher.iter(|| {
                source.borrow_mut().left = BATCH;
                stack.napi_schedule(dev);
                while stack.net_rx_action(0) {}
                while let Some(datagram) = stack.udp_recv_from(socket) {
                    stack
                        .udp_send_to(socket, datagram.src, datagram.payload(), 0)
                        .expect("sent");
                }
            });
        });
        assert_eq!(stack.stats().dropped, 0);
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
