//! Time per forwarded packet with connection tracking and NAT: of connections that are known, and of ones that are new (made, confirmed and
//! ended again). No simulated hardware: the device is two queues.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stack::{CsumState, IfIndex, NetDeviceOps, NetFeatures, PagePool, SkBuff, Stack, StackConfig};
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
const BATCH: usize = 64;
/// Offset of the UDP source port in the frame.
const SPORT: usize = 34;

/// Delivers the same frame over and over, each of a batch with another source port, already in DMA buffers, as a driver would.
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
        for _ in 0..n {
            let Some(mut page) = self.pool.alloc() else {
                return 0;
            };
            self.left -= 1;
            // What the device's DMA does; part of the measured time.
            let bytes = &mut page.as_mut_slice()[64..64 + self.frame.len()];
            bytes.copy_from_slice(&self.frame);
            bytes[SPORT..SPORT + 2].copy_from_slice(&(20_000 + self.left as u16).to_be_bytes());
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

/// A router with one port: from 192.0.2.10 to 198.51.100.30 behind 192.0.2.30.
fn router(rules: &str) -> (Stack, IfIndex, Rc<RefCell<Source>>) {
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], [198, 51, 100, 30], 64)
        .udp(1, 9)
        .write(&mut frame, &[0x5a; 18])
        .expect("built");
    // Without a checksum, as it would differ with the port.
    frame[40..42].fill(0);
    let source = Rc::new(RefCell::new(Source {
        pool: PagePool::heap(512, 2048),
        frame,
        left: 0,
        sent: 0,
    }));
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ipv6: false,
        ..StackConfig::default()
    });
    let dev = stack.add_device("eth0", Box::new(Rc::clone(&source)));
    for cidr in ["192.0.2.20/24", "198.51.100.20/24"] {
        stack
            .add_addr(dev, cidr.parse().expect("cidr"))
            .expect("address");
    }
    for neighbour in ["192.0.2.10", "198.51.100.30"] {
        stack.add_neighbour(dev, neighbour.parse().expect("address"), PEER);
    }
    if !rules.is_empty() {
        stack.nft(rules).expect("rules");
    }
    (stack, dev, source)
}

fn batch(stack: &mut Stack, dev: IfIndex, source: &Rc<RefCell<Source>>) {
    source.borrow_mut().left = BATCH;
    stack.napi_schedule(dev);
    while stack.net_rx_action(0) {}
}

const TRACK: &str = "table ip t { chain c { type filter hook forward priority 0; ct state established,new accept; drop; }; }";
const NAT: &str =
    "table ip t { chain post { type nat hook postrouting priority 100; masquerade; }; }";

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("nat");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, rules) in [("forward", ""), ("conntrack", TRACK), ("masquerade", NAT)] {
        let (mut stack, dev, source) = router(rules);
        group.bench_function(format!("{name}/established"), |b| {
            b.iter(|| batch(&mut stack, dev, &source));
        });
        assert!(source.borrow().sent > 0 && stack.stats().dropped == 0);
        if rules.is_empty() {
            continue;
        }
        let (mut stack, dev, source) = router(rules);
        group.bench_function(format!("{name}/new"), |b| {
            b.iter(|| {
                batch(&mut stack, dev, &source);
                stack.conntrack_mut().flush(0);
            });
        });
        assert!(source.borrow().sent > 0 && stack.stats().dropped == 0);
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
