//! Properties of the packed ring against an independent device.
//!
//! A random schedule makes buffers available, uses them, suppresses and asks for notifications on
//! both sides. Nothing may be lost, duplicated or changed, and nobody may sleep while there is
//! something to do without having been woken.

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::memory::{self, BusMemory};
use common::packed::{Chain, DeviceQueue, Element, Wish};
use driver::virtqueue::{Segment, Virtqueue};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    /// The driver makes a buffer available: lengths of its elements.
    Add {
        readable: Vec<u16>,
        writable: Vec<u16>,
    },
    /// The driver asks whether to ring, and does.
    Kick,
    /// The device takes up to n buffers.
    Take(usize),
    /// The device uses up to n of the buffers that it holds: one used descriptor each, or with
    /// IN_ORDER one for all. `pick` chooses which when the order is free; `part` how much is written.
    Use { n: usize, pick: usize, part: u8 },
    /// The driver takes up to n used buffers.
    Pop(usize),
    /// The driver wants no interrupts.
    Disable,
    /// The driver is done and goes to sleep until the next interrupt.
    Sleep { delayed: bool },
    /// The device states its wish: 0 always, 1 never, else at the descriptor n - 2 further on.
    Wish(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let lens = || prop::collection::vec(any::<u16>(), 0..4);
    prop_oneof![
        6 => (lens(), lens()).prop_map(|(readable, writable)| Op::Add { readable, writable }),
        3 => Just(Op::Kick),
        4 => (1..6usize).prop_map(Op::Take),
        4 => (1..5usize, any::<usize>(), any::<u8>())
            .prop_map(|(n, pick, part)| Op::Use { n, pick, part }),
        4 => (1..8usize).prop_map(Op::Pop),
        1 => Just(Op::Disable),
        2 => any::<bool>().prop_map(|delayed| Op::Sleep { delayed }),
        1 => (0..8u64).prop_map(Op::Wish),
    ]
}

/// A buffer between `add` and `pop`.
#[derive(Clone, Debug)]
struct Expected {
    elements: Vec<Element>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Awake,
    /// Does not want to hear of anything.
    Deaf,
    /// Wants to hear of the next used buffer.
    Asleep,
    /// Wants to hear when most is used; with EVENT_IDX of a later descriptor, at the latest of the last.
    AsleepDelayed,
}

struct Bench {
    mem: BusMemory,
    vq: Virtqueue<u64>,
    dev: DeviceQueue,
    in_order: bool,
    next_cookie: u64,
    /// Made available, not yet taken by the device.
    available: VecDeque<(u64, Expected)>,
    /// Held by the device.
    held: VecDeque<(u64, Chain)>,
    /// Used, not yet popped: cookie and length. In order of use.
    used: VecDeque<(u64, u32)>,
    /// Descriptors of buffers between add and pop.
    descriptors: BTreeMap<u64, usize>,
    driver: Driver,
    /// Counts that were made available since the last kick decision.
    unkicked: std::ops::Range<u64>,
    /// The device has seen an empty ring and waits for a doorbell for this count.
    device_asleep_at: Option<u64>,
}

impl Bench {
    fn new(size: u16, event_idx: bool, in_order: bool) -> Self {
        let (mut dma, mem) = memory::shared(1 << 20);
        let vq = Virtqueue::new(&mut dma, size, event_idx, in_order).unwrap();
        let dev = DeviceQueue::new(vq.addresses(), size, event_idx);
        Self {
            mem,
            vq,
            dev,
            in_order,
            next_cookie: 0,
            available: VecDeque::new(),
            held: VecDeque::new(),
            used: VecDeque::new(),
            descriptors: BTreeMap::new(),
            driver: Driver::Awake,
            unkicked: 0..0,
            device_asleep_at: None,
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Add { readable, writable } => self.add(readable, writable),
            Op::Kick => self.kick(),
            Op::Take(n) => (0..*n).for_each(|_| self.take()),
            Op::Use { n, pick, part } => self.put_used(*n, *pick, *part),
            Op::Pop(n) => (0..*n).for_each(|_| self.pop()),
            Op::Disable => {
                self.vq.disable_callbacks();
                self.driver = Driver::Deaf;
            }
            Op::Sleep { delayed } => self.sleep(*delayed),
            Op::Wish(n) => self.wish(*n),
        }
        self.check();
    }

    fn add(&mut self, readable: &[u16], writable: &[u16]) {
        let cookie = self.next_cookie;
        let segments = |lens: &[u16], kind: u64| -> Vec<Segment> {
            let addr = |i| cookie << 16 | kind << 8 | i;
            lens.iter()
                .zip(0..)
                .map(|(&l, i)| Segment {
                    addr: addr(i),
                    len: l.into(),
                })
                .collect()
        };
        let (readable, writable) = (segments(readable, 0), segments(writable, 1));
        let ndesc = readable.len() + writable.len();
        let room = usize::from(self.vq.num_free());
        let added = self.vq.add(&readable, &writable, cookie);
        if ndesc == 0 || ndesc > room {
            assert_eq!(added, Err(cookie));
            return;
        }
        assert_eq!(added, Ok(()));
        self.next_cookie += 1;
        let element = |writable| {
            move |s: &Segment| Element {
                addr: s.addr,
                len: s.len,
                writable,
            }
        };
        let elements: Vec<_> = readable
            .iter()
            .map(element(false))
            .chain(writable.iter().map(element(true)))
            .collect();
        self.unkicked.end += ndesc as u64;
        self.descriptors.insert(cookie, ndesc);
        self.available.push_back((cookie, Expected { elements }));
    }

    fn kick(&mut self) {
        let range = self.unkicked.end..self.unkicked.end;
        let range = std::mem::replace(&mut self.unkicked, range);
        let kicked = self.vq.needs_kick();
        assert!(
            kicked || !self.dev.doorbell_due(range.clone()),
            "lost doorbell for {range:?}"
        );
        // A wish in the past comes up again two laps later; else no doorbell without need.
        let (laps, added) = (2 * u64::from(self.dev.size), range.end - range.start);
        if added <= u64::from(self.dev.size) {
            let due = match self.dev.wish {
                Wish::At(count) => range.into_iter().any(|n| n % laps == count % laps),
                Wish::Always => added > 0,
                Wish::Never => false,
            };
            assert_eq!(kicked, due);
        }
        if kicked {
            self.device_asleep_at = None;
        }
    }

    fn take(&mut self) {
        let Some(chain) = self.dev.take(&self.mem).unwrap() else {
            // The next thing that is made available must ring, unless the wish says otherwise.
            self.device_asleep_at = Some(self.dev.taken);
            return;
        };
        self.device_asleep_at = None;
        let (cookie, expected) = self.available.pop_front().expect("invented a buffer");
        assert_eq!(chain.elements, expected.elements);
        assert!(
            self.held.iter().all(|(_, held)| held.id != chain.id),
            "id in use twice"
        );
        self.held.push_back((cookie, chain));
    }

    fn put_used(&mut self, n: usize, pick: usize, part: u8) {
        let n = n.min(self.held.len());
        if self.in_order && n > 0 {
            let batch: Vec<_> = self.held.drain(..n).collect();
            let ndesc = batch.iter().map(|(_, chain)| chain.elements.len()).sum();
            let (_, last) = batch.last().unwrap();
            let len = written(last, part);
            self.dev
                .put_used(&self.mem, last.id, len, ndesc, len > 0)
                .unwrap();
            let last = n - 1;
            self.used
                .extend(batch.iter().enumerate().map(|(i, (cookie, chain))| {
                    (*cookie, if i == last { len } else { chain.writable() })
                }));
        } else {
            for _ in 0..n {
                let (cookie, chain) = self.held.remove(pick % self.held.len()).unwrap();
                let len = written(&chain, part);
                let ndesc = chain.elements.len();
                self.dev
                    .put_used(&self.mem, chain.id, len, ndesc, len > 0)
                    .unwrap();
                self.used.push_back((cookie, len));
            }
        }
        if self.dev.interrupt_due(&self.mem).unwrap() {
            assert_ne!(self.driver, Driver::Deaf, "interrupt though disabled");
            self.driver = Driver::Awake;
        }
    }

    fn pop(&mut self) {
        assert_eq!(self.vq.has_used(), !self.used.is_empty());
        match (self.vq.pop().unwrap(), self.used.pop_front()) {
            (None, None) => {}
            (Some(got), Some((cookie, len))) => {
                assert_eq!((got.cookie, got.len, got.claimed), (cookie, len, len));
                self.descriptors.remove(&cookie).expect("popped twice");
            }
            (got, expected) => panic!("popped {got:?}, expected {expected:?}"),
        }
    }

    fn sleep(&mut self, delayed: bool) {
        let idle = if delayed {
            self.vq.enable_callbacks_delayed()
        } else {
            self.vq.enable_callbacks()
        };
        assert_eq!(idle, self.used.is_empty());
        self.driver = match (idle, delayed) {
            (false, _) => Driver::Deaf,
            (true, false) => Driver::Asleep,
            (true, true) => Driver::AsleepDelayed,
        };
        if !idle {
            self.vq.disable_callbacks();
        }
    }

    fn wish(&mut self, n: u64) {
        let wish = match n {
            0 => Wish::Always,
            1 => Wish::Never,
            _ if self.dev.event_idx => Wish::At(self.dev.taken + n - 2),
            _ => Wish::Always,
        };
        self.dev.set_wish(&self.mem, wish).unwrap();
        // As a driver must, the device looks again after it has stated its wish.
        self.device_asleep_at = None;
    }

    fn check(&self) {
        let descriptors: usize = self.descriptors.values().sum();
        assert_eq!(
            usize::from(self.vq.num_free()) + descriptors,
            usize::from(self.vq.size())
        );
        if self.driver == Driver::Asleep {
            assert!(
                self.used.is_empty(),
                "the driver sleeps on {} used buffers",
                self.used.len()
            );
        }
        // What was added while asleep moves the last one out of sight of a delayed wish.
        if self.driver == Driver::AsleepDelayed && !self.used.is_empty() {
            assert!(
                !self.held.is_empty() || !self.available.is_empty(),
                "all used, no interrupt"
            );
        }
        if let (Some(at), Wish::Always) = (self.device_asleep_at, self.dev.wish) {
            assert!(
                self.unkicked.start <= at,
                "the device sleeps on available buffers"
            );
        }
    }

    /// Everything comes back in the end.
    fn drain(&mut self) {
        while !self.descriptors.is_empty() {
            self.take();
            self.put_used(1, 0, 255);
            self.pop();
            self.check();
        }
        assert_eq!(self.vq.num_free(), self.vq.size());
        self.pop();
    }
}

fn written(chain: &Chain, part: u8) -> u32 {
    (u64::from(chain.writable()) * u64::from(part) / 255) as u32
}

fn sizes() -> impl Strategy<Value = u16> {
    prop_oneof![1..20u16, Just(64), Just(100), Just(255), Just(256)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_and_nobody_oversleeps(
        size in sizes(),
        event_idx: bool,
        in_order: bool,
        ops in prop::collection::vec(op(), 1..400),
    ) {
        let mut bench = Bench::new(size, event_idx, in_order);
        for op in &ops {
            bench.step(op);
        }
        bench.drain();
    }

    /// A device that writes anything anywhere in the ring, at any time.
    #[test]
    fn a_hostile_device_cannot_break_the_driver(
        size in 1..40u16,
        event_idx: bool,
        in_order: bool,
        ops in prop::collection::vec((op(), any::<u16>(), any::<[u8; 16]>()), 1..200),
    ) {
        let (mut dma, mem) = memory::shared(1 << 20);
        let mut vq = Virtqueue::new(&mut dma, size, event_idx, in_order).unwrap();
        let at = vq.addresses();
        let mut outstanding = BTreeMap::new();
        let mut next = 0u64;
        for (op, slot, garbage) in ops {
            match op {
                Op::Add { readable, writable } => {
                    let segments = |lens: &[u16]| -> Vec<Segment> {
                        lens.iter().map(|&len| Segment { addr: 0, len: len.into() }).collect()
                    };
                    let (r, w) = (segments(&readable), segments(&writable));
                    if vq.add(&r, &w, next).is_ok() {
                        outstanding.insert(next, w.iter().map(|s| s.len).sum::<u32>());
                        next += 1;
                    }
                }
                Op::Kick => _ = vq.needs_kick(),
                Op::Pop(n) => for _ in 0..n {
                    let (broken, due) = (vq.is_broken(), vq.has_used());
                    match vq.pop() {
                        Ok(None) => prop_assert!(!due),
                        Ok(Some(used)) => {
                            prop_assert!(!broken);
                            let offered = outstanding.remove(&used.cookie);
                            prop_assert!(offered.is_some(), "not outstanding");
                            prop_assert!(used.len <= offered.unwrap());
                        }
                        Err(_) => {
                            prop_assert!(!broken && vq.is_broken());
                            prop_assert!(!vq.has_used());
                        }
                    }
                },
                Op::Disable => vq.disable_callbacks(),
                Op::Sleep { delayed: false } => _ = vq.enable_callbacks(),
                Op::Sleep { delayed: true } => _ = vq.enable_callbacks_delayed(),
                Op::Wish(_) => mem.write(at.device, &garbage[..4]).unwrap(),
                Op::Take(_) | Op::Use { .. } => {
                    // Half of the garbage has plausible flags and ids, else little would get through.
                    let mut desc = garbage;
                    if garbage[0] & 1 != 0 {
                        desc[12..14].copy_from_slice(&(slot % size).to_le_bytes());
                        let flags: u16 = if garbage[0] & 2 != 0 { 0x8080 } else { 0 };
                        desc[14..].copy_from_slice(&flags.to_le_bytes());
                    }
                    mem.write(at.desc + 16 * u64::from(slot % size), &desc).unwrap();
                }
            }
        }
        vq.reset(|cookie| { outstanding.remove(&cookie); });
        prop_assert!(outstanding.is_empty(), "a cookie got lost");
        prop_assert_eq!(vq.num_free(), size);
        prop_assert_eq!(vq.add(&[], &[Segment { addr: 0, len: 1 }], 0), Ok(()));
    }
}

#[test]
fn ring_sizes_are_limited() {
    let (mut dma, _) = memory::shared(1 << 20);
    for size in [0, 32769, 65535] {
        assert!(Virtqueue::<()>::new(&mut dma, size, true, true).is_err());
    }
    assert_eq!(
        Virtqueue::<()>::new(&mut dma, 32768, true, true)
            .unwrap()
            .size(),
        32768
    );
}

#[test]
fn a_full_ring_of_the_largest_size_wraps() {
    let mut bench = Bench::new(32768, true, true);
    for _ in 0..3 {
        for _ in 0..32768 {
            bench.add(&[1], &[]);
        }
        assert_eq!(bench.vq.num_free(), 0);
        bench.kick();
        for _ in 0..32768 {
            bench.take();
        }
        bench.put_used(32768, 0, 0);
        for _ in 0..32768 {
            bench.pop();
        }
        bench.check();
    }
}
