//! In the steady state the driver allocates nothing per packet.

mod common;
#[path = "../../stack/tests/counting/mod.rs"]
mod counting;

use std::cell::RefCell;
use std::rc::Rc;

use common::function::Function;
use common::memory;
use common::pci::{Msi, Pci, vector_of};
use counting::allocations;
use driver::{Feature, Options, VirtioNet};
use stack::{NetDeviceOps, SkBuff};

#[test]
fn no_allocation_per_packet() {
    let (dma, mem) = memory::shared(16 << 20);
    let dev = Rc::new(RefCell::new(Function::new(mem, Feature::BASIC.bits(), 3)));
    let options = Options {
        rx_queue_size: 100,
        tx_queue_size: 30,
        ..Options::default()
    };
    let mut net = VirtioNet::probe(Pci(dev.clone()), dma, Msi { vectors: 3 }, options).unwrap();
    let pool = net.tx_pool();
    let mut rx: Vec<SkBuff> = Vec::with_capacity(64);
    let hdr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    // Of the driver's part only: the device's is free to allocate.
    let mut allocated = 0;
    for round in 0..2000 {
        for n in 0..=round % 7 {
            assert!(dev.borrow_mut().receive(hdr, &[n as u8; 200]));
        }
        while let Some(message) = { dev.borrow_mut().messages.pop_front() } {
            let before = allocations();
            let mut softirq = || {
                if net.handle_irq(vector_of(message)).schedule_napi == 0 {
                    return;
                }
                loop {
                    while net.poll(64, &mut rx) == 64 {}
                    // Every frame goes back, and one of our own with each.
                    for skb in rx.drain(..) {
                        assert!(net.start_xmit(skb).is_ok());
                        let mut own = SkBuff::alloc(&pool, 64, 100).unwrap();
                        own.put(100).unwrap().fill(1);
                        assert!(net.start_xmit(own).is_ok());
                    }
                    net.flush();
                    if net.complete() {
                        return;
                    }
                }
            };
            softirq();
            // Until then the cache of skb heads fills.
            if round >= 100 {
                allocated += allocations() - before;
            }
        }
        dev.borrow_mut().transmit();
        dev.borrow_mut().sent.clear();
    }
    let stats = net.stats();
    assert!(stats.rx_packets > 7000 && stats.tx_packets == 2 * stats.rx_packets);
    assert_eq!((stats.tx_bounce, stats.tx_busy), (0, 0));
    assert_eq!(allocated, 0);
}
