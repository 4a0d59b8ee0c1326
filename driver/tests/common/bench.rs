//! The driver and the software function together, with what a host does for them.

use std::cell::RefCell;
use std::rc::Rc;

use driver::{Error, Feature, FileDma, NetDevHandle, Options, VirtioNet};
use stack::{NetDeviceOps, SkBuff};

use super::function::{Function, Sent};
use super::memory;
use super::pci::{Msi, Pci, vector_of};

/// An ordinary received frame.
pub const HDR_PLAIN: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
/// A received frame with verified checksum.
pub const DATA_VALID: [u8; 12] = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

pub type Net = VirtioNet<Pci, FileDma, Msi>;

/// Driver and device.
pub struct Bench {
    pub dev: Rc<RefCell<Function>>,
    pub net: NetDevHandle<Pci, FileDma, Msi>,
}

impl Bench {
    pub fn new(options: Options) -> Self {
        Self::with(options, |_| ())
    }

    pub fn with(options: Options, prepare: impl FnOnce(&mut Function)) -> Self {
        let (dev, net) = probe(options, 3, prepare);
        Self {
            dev,
            net: Rc::new(RefCell::new(net.unwrap())),
        }
    }

    /// Delivers all messages; true when the device is to be polled.
    pub fn interrupts(&self) -> bool {
        let mut schedule = false;
        while let Some(message) = { self.dev.borrow_mut().messages.pop_front() } {
            schedule |= self
                .net
                .borrow_mut()
                .handle_irq(vector_of(message))
                .schedule_napi
                != 0;
        }
        schedule
    }

    /// As the stack does on its poll list.
    pub fn napi(&mut self, budget: usize) -> Vec<SkBuff> {
        let mut rx = Vec::new();
        loop {
            while self.net.poll(budget, &mut rx) == budget {}
            if self.net.complete() {
                return rx;
            }
        }
    }

    pub fn skb(&self, len: usize, fill: u8) -> SkBuff {
        let mut skb = SkBuff::alloc(&self.net.tx_pool(), 64, len).unwrap();
        skb.put_slice(&vec![fill; len]).unwrap();
        skb
    }

    pub fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.dev.borrow_mut().sent)
    }

    pub fn assert_clean(&self) {
        assert_eq!(self.dev.borrow().violations, [""; 0]);
    }
}

pub fn probe(
    options: Options,
    vectors: u16,
    prepare: impl FnOnce(&mut Function),
) -> (Rc<RefCell<Function>>, Result<Net, Error>) {
    let (dma, mem) = memory::shared(64 << 20);
    let mut function = Function::new(mem, Feature::BASIC.bits() | 1 << 28, vectors);
    prepare(&mut function);
    let dev = Rc::new(RefCell::new(function));
    let net = VirtioNet::probe(Pci(dev.clone()), dma, Msi { vectors }, options);
    (dev, net)
}

pub fn frame(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed))
        .collect()
}

/// A frame in and a frame out.
pub fn works(bench: &mut Bench) {
    assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(333, 7)));
    assert!(bench.interrupts());
    let got = bench.napi(64);
    assert_eq!(got[0].data(), frame(333, 7));
    let skb = bench.skb(99, 3);
    bench.net.start_xmit(skb).unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    assert_eq!(bench.sent().pop().unwrap().frame, [3; 99]);
}
