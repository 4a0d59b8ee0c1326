//! A driver of one model, step by step as the specification tells one: the opposite end.

use hwmodel::{Device, ModelConfig, ModelNic, Permission, Ps, WireFrame, model::feature};
use std::collections::HashMap;

/// Bus address of physical address 0.
pub const BUS: u64 = 0x12_0000_0000;
pub const MEMORY: usize = 64 << 20;
pub const MSI: u64 = 0xfee0_1000;
pub const US: Ps = 1_000_000;

/// Bits of device_status (2.1).
pub const NEEDS_RESET: u32 = 64;
const COMMON: u32 = 0;
const DEVICE: u32 = 0x2000;
const NOTIFY: u32 = 0x3000;
const TABLE: u32 = 0x4000;

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

/// A part of a buffer: bus address, bytes, written by the device.
pub type Part = (u64, u32, bool);

/// Driver's side of a packed ring (2.8).
pub struct Ring {
    pub size: u16,
    pub desc: u64,
    pub driver: u64,
    pub device: u64,
    next: u16,
    avail_wrap: bool,
    used: u16,
    used_wrap: bool,
    ids: Vec<u16>,
    /// Parts and ring entries of each buffer that is with the device.
    pending: HashMap<u16, (Vec<Part>, u16)>,
}

impl Ring {
    /// Descriptors that can be made available.
    pub fn free(&self) -> u16 {
        let taken: u16 = self.pending.values().map(|(_, count)| count).sum();
        self.size - taken
    }

    /// Whether another buffer can be made available.
    pub fn has_id(&self) -> bool {
        !self.ids.is_empty()
    }
}

/// A used buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    pub len: u32,
    pub parts: Vec<Part>,
}

/// A received frame with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub hdr: Vec<u8>,
    pub frame: Vec<u8>,
}

impl Received {
    pub fn le16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.hdr[at], self.hdr[at + 1]])
    }
}

pub struct Bench<D = ModelNic> {
    pub nic: D,
    queue_pairs: u16,
    pub features: u64,
    pub rings: HashMap<u16, Ring>,
    next: u64,
}

impl Bench {
    /// A model: [`Bench::with`].
    pub fn new(config: ModelConfig) -> Self {
        let queue_pairs = config.queue_pairs;
        let nic = ModelNic::new(ModelConfig {
            memory: MEMORY,
            ..config
        });
        Self::with(nic.unwrap(), queue_pairs)
    }

    /// One that is at work: `features` (with the required ones), and rings of `size` for all queues.
    pub fn start(config: ModelConfig, features: u64, size: u16) -> Self {
        let mut bench = Self::new(config);
        bench.bring_up(features, size);
        bench
    }
}

impl<D: Device> Bench<D> {
    /// A card with all its memory mapped, MSI-X on, vector of each queue its number + 1.
    pub fn with(mut nic: D, queue_pairs: u16) -> Self {
        let len = MEMORY as u64;
        nic.iommu().map(BUS, len, 0, Permission::ReadWrite).unwrap();
        nic.config_write(0x04, 2, 6);
        let queues = 2 * u32::from(queue_pairs) + 2;
        for vector in 0..queues {
            let entry = TABLE + 16 * vector;
            let address = MSI as u32 + 16 * vector;
            for (word, value) in [address, 0, 0x40 + vector, 0].into_iter().enumerate() {
                nic.bar_write(entry + 4 * word as u32, 4, value).unwrap();
            }
        }
        nic.config_write(0x82, 2, 0x8000);
        Self {
            nic,
            queue_pairs,
            features: 0,
            rings: HashMap::new(),
            next: 0x1000,
        }
    }

    pub fn bring_up(&mut self, features: u64, size: u16) {
        assert!(self.negotiate(features), "{features:#x} refused");
        for queue in 0..self.queues() {
            self.enable(queue, size);
        }
        self.driver_ok();
        // Behind the posted write: the device is at work.
        self.status();
    }

    /// Queue pairs that are used with the negotiated features.
    pub fn pairs(&self) -> u16 {
        let several = self.features & (feature::MQ | feature::RSS) != 0;
        if several { self.queue_pairs } else { 1 }
    }

    /// Queues that are used with the negotiated features.
    pub fn queues(&self) -> u16 {
        2 * self.pairs() + u16::from(self.features & feature::CTRL_VQ != 0)
    }

    pub fn negotiate(&mut self, features: u64) -> bool {
        let features = features | feature::REQUIRED | feature::ACCESS_PLATFORM | feature::MAC;
        self.reset();
        self.features = features;
        self.write(0x14, 1, 1);
        self.write(0x14, 1, 3);
        for half in 0..2 {
            self.write(0x08, 4, half);
            self.write(0x0c, 4, (features >> (32 * half)) as u32);
        }
        self.write(0x14, 1, 11);
        self.write(0x10, 2, 0);
        self.status() & 8 != 0
    }

    pub fn driver_ok(&mut self) {
        self.write(0x14, 1, 15);
    }

    /// 2.4.1.
    pub fn reset(&mut self) {
        self.write(0x14, 1, 0);
        let limit = self.nic.now() + 100 * US;
        while self.status() != 0 {
            assert!(self.nic.now() < limit, "the reset takes too long");
        }
        self.rings.clear();
    }

    /// Feature bits that are offered.
    pub fn offered(&mut self) -> u64 {
        let half = |bench: &mut Self, half| {
            bench.write(0x00, 4, half);
            u64::from(bench.read(0x04, 4))
        };
        half(self, 0) | half(self, 1) << 32
    }

    /// The first `count` counters of the vendor region, each in two halves.
    pub fn counters(&mut self, count: u32) -> Vec<u64> {
        let mut word = |at| u64::from(self.nic.bar_read(at, 4).unwrap());
        (0..count)
            .map(|index| word(0x6100 + 8 * index) | word(0x6104 + 8 * index) << 32)
            .collect()
    }

    pub fn status(&mut self) -> u32 {
        self.read(0x14, 1)
    }

    pub fn read(&mut self, field: u32, width: u8) -> u32 {
        self.nic.bar_read(COMMON + field, width).unwrap()
    }

    pub fn write(&mut self, field: u32, width: u8, value: u32) {
        self.nic.bar_write(COMMON + field, width, value).unwrap();
    }

    pub fn device_config(&mut self, at: u32, width: u8) -> u32 {
        self.nic.bar_read(DEVICE + at, width).unwrap()
    }

    /// Bus address of fresh zeros; pages are not shared.
    pub fn alloc(&mut self, len: usize) -> u64 {
        let at = self.next;
        self.next = (at + len as u64).next_multiple_of(4096);
        if self.next > MEMORY as u64 - (1 << 20) {
            self.next = 0x10_0000;
        }
        BUS + at
    }

    pub fn poke(&mut self, at: u64, bytes: &[u8]) {
        self.nic.memory().write(at - BUS, bytes).unwrap();
    }

    pub fn peek(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.nic.memory().read(at - BUS, &mut bytes).unwrap();
        bytes
    }

    /// 4.1.5.1.3.
    pub fn enable(&mut self, queue: u16, size: u16) {
        self.enable_elsewhere(queue, size, |places| places);
    }

    /// As [`enable`](Self::enable), with other bus addresses for the device: those that `place` makes of
    /// descriptor ring, driver area and device area.
    pub fn enable_elsewhere(
        &mut self,
        queue: u16,
        size: u16,
        place: impl Fn([u64; 3]) -> [u64; 3],
    ) {
        let desc = self.alloc(usize::from(size) * 16);
        let (driver, device) = (self.alloc(4), self.alloc(4));
        self.poke(desc, &vec![0; usize::from(size) * 16]);
        self.poke(driver, &[0; 4]);
        self.poke(device, &[0; 4]);
        self.enable_at(queue, size, place([desc, driver, device]));
        self.rings.insert(
            queue,
            Ring {
                size,
                desc,
                driver,
                device,
                next: 0,
                avail_wrap: true,
                used: 0,
                used_wrap: true,
                ids: (0..size).rev().collect(),
                pending: HashMap::new(),
            },
        );
    }

    pub fn enable_at(&mut self, queue: u16, size: u16, [desc, driver, device]: [u64; 3]) {
        self.write(0x16, 2, queue.into());
        self.write(0x18, 2, size.into());
        self.write(0x1a, 2, u32::from(queue) + 1);
        for (field, address) in [(0x20, desc), (0x28, driver), (0x30, device)] {
            self.write(field, 4, address as u32);
            self.write(field + 4, 4, (address >> 32) as u32);
        }
        self.write(0x1c, 2, 1);
        assert_eq!(self.read(0x1c, 2), 1, "queue {queue} is not enabled");
    }

    /// 2.6.1.
    pub fn reset_queue(&mut self, queue: u16) {
        self.write(0x16, 2, queue.into());
        self.write(0x3a, 2, 1);
        let limit = self.nic.now() + 100 * US;
        while self.read(0x3a, 2) != 0 {
            assert!(self.nic.now() < limit, "the reset takes too long");
        }
        assert_eq!(self.read(0x1c, 2), 0);
        self.rings.remove(&queue);
    }

    fn ring(&mut self, queue: u16) -> &mut Ring {
        self.rings.get_mut(&queue).expect("an enabled queue")
    }

    /// Makes a buffer available (2.8.21), its first descriptor last.
    pub fn post(&mut self, queue: u16, parts: &[Part]) {
        let ring = self.ring(queue);
        let id = ring.ids.pop().expect("a free id");
        let mut writes = Vec::new();
        for (index, (addr, len, write)) in parts.iter().enumerate() {
            let mut flags = if ring.avail_wrap { 1 << 7 } else { 1 << 15 };
            if *write {
                flags |= WRITE;
            }
            if index + 1 < parts.len() {
                flags |= NEXT;
            }
            let at = ring.desc + 16 * u64::from(ring.next);
            writes.push((at, descriptor(*addr, *len, id, flags)));
            ring.next += 1;
            if ring.next == ring.size {
                ring.next = 0;
                ring.avail_wrap = !ring.avail_wrap;
            }
        }
        let count = parts.len() as u16;
        ring.pending.insert(id, (parts.to_vec(), count));
        for (at, bytes) in writes.iter().rev() {
            self.poke(*at, bytes);
        }
    }

    /// The same with a table of descriptors (2.8.8).
    pub fn post_indirect(&mut self, queue: u16, parts: &[Part]) {
        let table: Vec<u8> = parts
            .iter()
            .flat_map(|(addr, len, write)| {
                descriptor(*addr, *len, 0, if *write { WRITE } else { 0 })
            })
            .collect();
        let at = self.alloc(table.len());
        self.poke(at, &table);
        let ring = self.ring(queue);
        let id = ring.ids.pop().expect("a free id");
        let flags = INDIRECT | if ring.avail_wrap { 1 << 7 } else { 1 << 15 };
        let place = ring.desc + 16 * u64::from(ring.next);
        ring.next += 1;
        if ring.next == ring.size {
            ring.next = 0;
            ring.avail_wrap = !ring.avail_wrap;
        }
        ring.pending.insert(id, (parts.to_vec(), 1));
        let bytes = descriptor(at, table.len() as u32, id, flags);
        self.poke(place, &bytes);
    }

    pub fn kick(&mut self, queue: u16) {
        let at = NOTIFY + 4 * u32::from(queue);
        self.nic.bar_write(at, 2, queue.into()).unwrap();
    }

    /// Whether the device wants to be told of buffers (2.8.14): its flags.
    pub fn device_event(&mut self, queue: u16) -> u16 {
        let at = self.ring(queue).device;
        let bytes = self.peek(at, 4);
        u16::from_le_bytes([bytes[2], bytes[3]])
    }

    /// Asks for notifications (2.8.14).
    pub fn set_driver_event(&mut self, queue: u16, off_wrap: u16, flags: u16) {
        let at = self.ring(queue).driver;
        let [a, b] = off_wrap.to_le_bytes();
        let [c, d] = flags.to_le_bytes();
        self.poke(at, &[a, b, c, d]);
    }

    /// Takes the next used buffer (2.8.21).
    pub fn used(&mut self, queue: u16) -> Option<Used> {
        let ring = &self.rings[&queue];
        let bytes = self.peek(ring.desc + 16 * u64::from(ring.used), 16);
        let flags = u16::from_le_bytes([bytes[14], bytes[15]]);
        let (avail, used) = (flags & 1 << 7 != 0, flags & 1 << 15 != 0);
        if avail != ring.used_wrap || used != ring.used_wrap {
            return None;
        }
        let id = u16::from_le_bytes([bytes[12], bytes[13]]);
        let len = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        // 2.8.13: WRITE tells that bytes were written. Some may have been before a frame was found too long.
        assert!(len == 0 || flags & WRITE != 0, "{len} bytes and no WRITE");
        let ring = self.ring(queue);
        let (parts, count) = ring
            .pending
            .remove(&id)
            .expect("an id that is with the device");
        ring.ids.push(id);
        ring.used += count;
        if ring.used >= ring.size {
            ring.used -= ring.size;
            ring.used_wrap = !ring.used_wrap;
        }
        Some(Used { len, parts })
    }

    pub fn hdr_len(&self) -> usize {
        if self.features & feature::HASH_REPORT != 0 {
            20
        } else {
            12
        }
    }

    /// Makes `count` receive buffers of `len` bytes available and rings.
    pub fn fill(&mut self, queue: u16, count: u16, len: u32) {
        for _ in 0..count {
            let at = self.alloc(len as usize);
            self.post(queue, &[(at, len, true)]);
        }
        self.kick(queue);
    }

    /// Takes a received frame out of as many buffers as its header says.
    pub fn receive(&mut self, queue: u16) -> Option<Received> {
        let first = self.used(queue)?;
        let mut bytes = self.content(&first);
        assert!(bytes.len() >= self.hdr_len(), "a buffer without header");
        let buffers = u16::from_le_bytes([bytes[10], bytes[11]]);
        for _ in 1..buffers {
            let next = self.used(queue).expect("all buffers of a frame together");
            bytes.extend(self.content(&next));
        }
        let frame = bytes.split_off(self.hdr_len());
        Some(Received { hdr: bytes, frame })
    }

    /// What the device wrote into a used buffer.
    pub fn content(&self, used: &Used) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, len, _) in used.parts.iter().filter(|part| part.2) {
            let rest = used.len as usize - bytes.len();
            bytes.extend(self.peek(*at, rest.min(*len as usize)));
        }
        bytes
    }

    /// Sends a frame with this header (the first 12 bytes), and rings.
    pub fn send(&mut self, queue: u16, hdr: [u8; 12], frame: &[u8]) {
        self.queue_frame(queue, hdr, frame);
        self.kick(queue);
    }

    /// The same without the doorbell.
    pub fn queue_frame(&mut self, queue: u16, hdr: [u8; 12], frame: &[u8]) {
        let mut bytes = hdr.to_vec();
        bytes.resize(self.hdr_len(), 0);
        bytes.extend(frame);
        let at = self.alloc(bytes.len());
        self.poke(at, &bytes);
        self.post(queue, &[(at, bytes.len() as u32, false)]);
    }

    /// Sends a command on the control queue; its answer.
    pub fn command(&mut self, command: &[u8]) -> u8 {
        let queue = self.queues() - 1;
        let at = self.alloc(command.len().max(1));
        let ack = self.alloc(1);
        self.poke(at, command);
        self.poke(ack, &[0xee]);
        let (head, data) = command.split_at(command.len().min(2));
        let mut parts = vec![(at, head.len() as u32, false)];
        if !data.is_empty() {
            parts.push((at + 2, data.len() as u32, false));
        }
        parts.push((ack, 1, true));
        self.post(queue, &parts);
        self.kick(queue);
        let limit = self.nic.now() + 100 * US;
        let used = loop {
            self.run(5 * US);
            match self.used(queue) {
                Some(used) => break used,
                None => assert!(self.nic.now() < limit, "no answer"),
            }
        };
        assert_eq!(used.len, 1);
        self.peek(ack, 1)[0]
    }

    /// Runs for so long.
    pub fn run(&mut self, time: Ps) {
        let until = self.nic.now() + time;
        while self.nic.now() < until {
            // A register read runs the clock and leaves what comes where it is.
            self.read(0x12, 2);
        }
    }

    /// A frame on the wire, now.
    pub fn wire(&mut self, frame: &[u8]) {
        let now = self.nic.now();
        self.nic.wire_send(WireFrame::new(now, frame.to_vec()));
    }

    /// Frames that left the card.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.nic.take_wire())
            .map(|frame| frame.bytes)
            .collect()
    }

    /// Vectors of the messages that came.
    pub fn messages(&mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.nic.take_msix())
            .map(|message| {
                let vector = (message.address - MSI) / 16;
                assert_eq!(message.data, 0x40 + vector as u32);
                vector as u16
            })
            .collect()
    }
}

fn descriptor(addr: u64, len: u32, id: u16, flags: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&addr.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&id.to_le_bytes());
    bytes[14..].copy_from_slice(&flags.to_le_bytes());
    bytes
}
