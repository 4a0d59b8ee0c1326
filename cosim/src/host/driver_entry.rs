//! The driver as the kernel path sees it.

use std::cell::RefCell;
use std::rc::Rc;

use hwmodel::Device;
use stack::{NetDeviceOps, NetFeatures, PagePool, SkBuff};

use super::Net;
use super::machine::Shared;

/// Calls the driver. Before one that looks at the rings the NIC catches up with the CPU.
pub struct DriverEntry<D: Device> {
    pub machine: Shared<D>,
    pub net: Rc<RefCell<Net<D>>>,
}

impl<D: Device> DriverEntry<D> {
    fn catch_up(&self) {
        self.machine.borrow_mut().catch_up();
    }
}

impl<D: Device> NetDeviceOps for DriverEntry<D> {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.catch_up();
        self.net.start_xmit(skb)
    }

    fn flush(&mut self) {
        self.catch_up();
        self.net.flush();
    }

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        self.catch_up();
        self.net.poll(budget, rx)
    }

    fn complete(&mut self) -> bool {
        self.catch_up();
        self.net.complete()
    }

    fn num_queues(&self) -> u16 {
        self.net.num_queues()
    }

    fn poll_queue(&mut self, queue: u16, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        self.catch_up();
        self.net.poll_queue(queue, budget, rx)
    }

    fn complete_queue(&mut self, queue: u16) -> bool {
        self.catch_up();
        self.net.complete_queue(queue)
    }

    fn tx_ready(&self) -> bool {
        self.net.tx_ready()
    }

    fn link_up(&self) -> bool {
        self.net.link_up()
    }

    fn mtu(&self) -> u16 {
        self.net.mtu()
    }

    fn mac(&self) -> [u8; 6] {
        self.net.mac()
    }

    fn features(&self) -> NetFeatures {
        self.net.features()
    }

    fn tx_pool(&self) -> PagePool {
        self.net.tx_pool()
    }
}
