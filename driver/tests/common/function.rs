//! A virtio network PCI function: configuration space, registers, MSI-X, queue pairs, a control queue.
//!
//! It lies in BARs and at offsets of its own choice, so that a driver that does not follow the
//! capabilities finds nothing; and it writes down whatever the specification forbids a driver.

use std::collections::VecDeque;

use driver::{MsiMessage, RingAddresses, Width};

use super::memory::BusMemory;
use super::packed::{Chain, DeviceQueue, Wish};
use super::pci::config_space;

pub const REGISTER_BAR: u8 = 2;
pub const COMMON: u32 = 0x100;
pub const ISR: u32 = 0x3f1;
pub const DEVICE: u32 = 0x800;
pub const NOTIFY: u32 = 0x1000;
pub const NOTIFY_MULTIPLIER: u32 = 8;
pub const TABLE_BAR: u8 = 4;
pub const TABLE: u32 = 0x20;
pub const MSIX_CAP: usize = 0x40;

pub const HDR: usize = 12;
/// Queues at the most: seven pairs and the control queue.
const QUEUES: usize = 15;
/// `rss_max_key_size`, `rss_max_indirection_table_length` and `supported_hash_types`.
pub const RSS: (u8, u16, u32) = (40, 64, 0x3f);
const F_CTRL_VQ: u64 = 1 << 17;
const F_EVENT_IDX: u64 = 1 << 29;
const F_RING_PACKED: u64 = 1 << 34;
const F_IN_ORDER: u64 = 1 << 35;

#[derive(Clone, Copy, Debug, Default)]
pub struct QueueRegs {
    pub size: u16,
    pub vector: u16,
    pub enable: u16,
    pub reset_reads: u32,
    pub desc: u64,
    pub driver: u64,
    pub device: u64,
}

/// A frame that the device sent, with the header that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub hdr: [u8; HDR],
    pub frame: Vec<u8>,
    pub ndesc: usize,
}

pub struct Function {
    pub config: [u8; 256],
    pub mem: BusMemory,
    pub offered: u64,
    pub accepted: u64,
    pub num_queues: u16,
    /// `max_virtqueue_pairs`.
    pub pairs: u16,
    pub queue_max: [u16; QUEUES],
    pub mac: [u8; 6],
    pub net_status: u16,
    pub mtu: u16,
    pub generation: u8,
    /// Changes of the configuration that still happen while it is being read.
    pub tear: u32,
    pub status: u8,
    /// Reads of `device_status` that a reset takes; so for a queue's.
    pub reset_takes: u32,
    reset_reads: u32,
    pub refuse_features: bool,
    pub refuse_vector: bool,
    pub regs: [QueueRegs; QUEUES],
    pub queues: [Option<DeviceQueue>; QUEUES],
    config_vector: u16,
    feature_select: [u32; 2],
    queue_select: u16,
    pub table: Vec<u8>,
    pub messages: VecDeque<MsiMessage>,
    pub doorbells: [u64; QUEUES],
    /// Commands that came over the control queue: class, number, data.
    pub commands: Vec<(u8, u8, Vec<u8>)>,
    /// What commands are answered with; nothing when it is `None`.
    pub ack: Option<u8>,
    /// Frames that are sent before the transmit doorbell's write is over.
    pub transmit_at_doorbell: usize,
    pub sent: Vec<Sent>,
    /// Reads that are answered with a lie, in order; `None` is an honest one.
    pub lies: VecDeque<Option<u32>>,
    pub fail_writes: bool,
    pub violations: Vec<String>,
}

impl Function {
    pub fn new(mem: BusMemory, offered: u64, vectors: u16) -> Self {
        Self {
            config: config_space(vectors),
            mem,
            offered,
            accepted: 0,
            num_queues: 2,
            pairs: 1,
            queue_max: [256; QUEUES],
            mac: [2, 0, 0, 0, 0, 0x0b],
            net_status: 1,
            mtu: 1500,
            generation: 0,
            tear: 0,
            status: 0x0f, // as some other driver left it
            reset_takes: 3,
            reset_reads: 0,
            refuse_features: false,
            refuse_vector: false,
            regs: [QueueRegs::default(); QUEUES],
            queues: [const { None }; QUEUES],
            config_vector: 0xffff,
            feature_select: [0; 2],
            queue_select: 0,
            table: (0..usize::from(vectors) * 16)
                .map(|i| u8::from(i % 16 == 12))
                .collect(),
            messages: VecDeque::new(),
            doorbells: [0; QUEUES],
            commands: Vec::new(),
            ack: Some(0),
            transmit_at_doorbell: 0,
            sent: Vec::new(),
            lies: VecDeque::new(),
            fail_writes: false,
            violations: Vec::new(),
        }
    }

    pub(super) fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    pub fn negotiated(&self, bit: u64) -> bool {
        self.accepted & bit != 0
    }

    fn reset(&mut self) {
        self.status = 0;
        self.accepted = 0;
        self.reset_reads = self.reset_takes;
        self.config_vector = 0xffff;
        for i in 0..QUEUES {
            self.regs[i] = QueueRegs {
                size: self.queue_max[i],
                vector: 0xffff,
                ..Default::default()
            };
            self.queues[i] = None;
        }
    }

    pub(super) fn read(&mut self, offset: u32, width: Width) -> u32 {
        let bytes = u32::from(width.bytes());
        if (DEVICE..DEVICE + 24).contains(&offset) {
            return self.read_device(offset - DEVICE, bytes);
        }
        if offset == ISR {
            self.violation("ISR read with MSI-X enabled");
            return 0;
        }
        let q = usize::from(self.queue_select);
        let there = q < self.last_queue();
        let regs = self.regs.get(q).copied().filter(|_| there);
        let regs = regs.unwrap_or_default();
        match (offset.wrapping_sub(COMMON), bytes) {
            (0x04, 4) => half(self.offered, self.feature_select[0]),
            (0x0c, 4) => half(self.accepted, self.feature_select[1]),
            (0x10, 2) => self.config_vector.into(),
            (0x12, 2) => match self.num_queues {
                2 => self.last_queue() as u32,
                lie => lie.into(),
            },
            (0x14, 1) => {
                if self.reset_reads > 0 {
                    self.reset_reads -= 1;
                    return 0x80;
                }
                self.status.into()
            }
            (0x15, 1) => {
                if self.tear > 0 {
                    self.tear -= 1;
                    self.generation = self.generation.wrapping_add(1);
                    self.mac[5] = self.mac[5].wrapping_add(1);
                }
                self.generation.into()
            }
            (0x16, 2) => self.queue_select.into(),
            (0x18, 2) => regs.size.into(),
            (0x1a, 2) => regs.vector.into(),
            (0x1c, 2) => regs.enable.into(),
            (0x1e, 2) => 1 + 2 * u32::from(self.queue_select), // not the index
            (0x3a, 2) => {
                if regs.reset_reads > 0 {
                    self.regs[q].reset_reads -= 1;
                    return 1;
                }
                0
            }
            _ => {
                self.violation(format!("{bytes} bytes read at {offset:#x}"));
                0
            }
        }
    }

    fn read_device(&mut self, field: u32, bytes: u32) -> u32 {
        match (field, bytes) {
            (0..6, 1) => self.mac[field as usize].into(),
            (6, 2) => self.net_status.into(),
            (8, 2) => self.pairs.into(),
            (10, 2) => self.mtu.into(),
            (12, 4) => 10_000,
            (16, 1) => 1,
            (17, 1) => RSS.0.into(),
            (18, 2) => RSS.1.into(),
            (20, 4) => RSS.2,
            _ => {
                self.violation(format!(
                    "{bytes} bytes read at {field} of the configuration"
                ));
                0
            }
        }
    }

    pub(super) fn write(&mut self, offset: u32, width: Width, value: u32) {
        let bytes = u32::from(width.bytes());
        if (NOTIFY..NOTIFY + 0x100).contains(&offset) {
            return self.doorbell(offset - NOTIFY, bytes, value);
        }
        let q = usize::from(self.queue_select);
        let field = offset.wrapping_sub(COMMON);
        if (0x18..0x3c).contains(&field) && q >= self.last_queue() {
            return self.violation(format!("write to queue {q}"));
        }
        if matches!(field, 0x18 | 0x20..0x38) && self.regs[q].enable != 0 {
            self.violation("queue field written while enabled");
        }
        match (field, bytes) {
            (0x00, 4) => self.feature_select[0] = value,
            (0x08, 4) => self.feature_select[1] = value,
            (0x0c, 4) => {
                if self.status & 8 != 0 {
                    self.violation("features written after FEATURES_OK");
                }
                let shift = 32 * self.feature_select[1];
                self.accepted &= !(0xffff_ffff << shift);
                self.accepted |= u64::from(value) << shift;
            }
            (0x10, 2) => self.config_vector = self.vector(value),
            (0x14, 1) => self.set_status(value as u8),
            (0x16, 2) => self.queue_select = value as u16,
            (0x18, 2) => {
                if value == 0 || value > u32::from(self.queue_max[q]) {
                    self.violation(format!("queue size {value}"));
                }
                self.regs[q].size = value as u16;
            }
            (0x1a, 2) => self.regs[q].vector = self.vector(value),
            (0x1c, 2) => self.enable_queue(q, value),
            (0x20, 4) => set_low(&mut self.regs[q].desc, value),
            (0x24, 4) => set_high(&mut self.regs[q].desc, value),
            (0x28, 4) => set_low(&mut self.regs[q].driver, value),
            (0x2c, 4) => set_high(&mut self.regs[q].driver, value),
            (0x30, 4) => set_low(&mut self.regs[q].device, value),
            (0x34, 4) => set_high(&mut self.regs[q].device, value),
            (0x3a, 2) if value == 1 => {
                self.regs[q] = QueueRegs {
                    size: self.queue_max[q],
                    vector: 0xffff,
                    reset_reads: self.reset_takes,
                    ..Default::default()
                };
                self.queues[q] = None;
            }
            _ => self.violation(format!("{bytes} bytes written at {offset:#x}: {value:#x}")),
        }
    }

    /// A vector outside of the table must not be asked for; a refusal reads back as NO_VECTOR.
    fn vector(&mut self, value: u32) -> u16 {
        if value != 0xffff && value as usize >= self.table.len() / 16 {
            self.violation(format!("vector {value}"));
        }
        if self.refuse_vector {
            0xffff
        } else {
            value as u16
        }
    }

    fn set_status(&mut self, value: u8) {
        if value == 0 {
            return self.reset();
        }
        if self.reset_reads > 0 {
            self.violation("status written during reset");
        }
        if self.status & !value & !8 != 0 {
            self.violation(format!(
                "status bits cleared: {:#x} to {value:#x}",
                self.status
            ));
        }
        let order: [(u8, u8); 3] = [(2, 1), (8, 2), (4, 8)];
        for (bit, before) in order {
            if value & bit != 0 && self.status & bit == 0 && self.status & before == 0 {
                self.violation(format!("status {value:#x} after {:#x}", self.status));
            }
        }
        self.status = value;
        let bad = self.accepted & !self.offered != 0 || self.accepted & F_RING_PACKED == 0;
        if self.refuse_features || bad {
            self.status &= !8;
        }
    }

    fn enable_queue(&mut self, q: usize, value: u32) {
        if value != 1 || self.status & 8 == 0 {
            return self.violation(format!(
                "queue_enable = {value} in status {:#x}",
                self.status
            ));
        }
        let regs = &mut self.regs[q];
        regs.enable = 1;
        if !regs.desc.is_multiple_of(16)
            || !regs.driver.is_multiple_of(4)
            || !regs.device.is_multiple_of(4)
        {
            self.violations.push("misaligned ring".into());
        }
        let at = RingAddresses {
            desc: regs.desc,
            driver: regs.driver,
            device: regs.device,
        };
        let (size, event_idx) = (regs.size, self.accepted & F_EVENT_IDX != 0);
        match self.mem.read(at.desc, usize::from(size) * 16) {
            Ok(ring) if ring.iter().any(|&b| b != 0) && q % 2 == 1 => {
                self.violation("transmit ring not zeroed");
            }
            Ok(_) => {}
            Err(fault) => self.violation(format!("ring: {fault:?}")),
        }
        self.queues[q] = Some(DeviceQueue::new(at, size, event_idx));
    }

    fn doorbell(&mut self, offset: u32, bytes: u32, value: u32) {
        if self.status & 4 == 0 {
            self.violation("doorbell before DRIVER_OK");
        }
        // queue_notify_off is 1 for queue 0, 3 for queue 1, and so on.
        let queue = value as usize;
        if bytes != 2 || offset != 8 * (1 + 2 * value) || queue >= self.last_queue() {
            return self.violation(format!("doorbell: {bytes} bytes at {offset}: {value}"));
        }
        self.doorbells[queue] += 1;
        if queue == 1 && self.transmit_at_doorbell > 0 {
            self.transmit_up_to(self.transmit_at_doorbell);
        }
        if self.negotiated(F_CTRL_VQ) && queue + 1 == self.last_queue() {
            self.control(queue);
        }
    }

    /// Number of queues: the pairs, and the control queue behind all of them (5.1.2).
    fn last_queue(&self) -> usize {
        2 * usize::from(self.pairs) + usize::from(self.offered & F_CTRL_VQ != 0)
    }

    /// Takes the commands of the control queue (5.1.6.5) and answers them.
    fn control(&mut self, queue: usize) {
        let Some(ack) = self.ack else { return };
        while let Some(chain) = self.take(queue) {
            let mut bytes = Vec::new();
            for element in chain.elements.iter().filter(|e| !e.writable) {
                let part = self.mem.read(element.addr, element.len as usize);
                bytes.extend(part.unwrap());
            }
            let (class, number) = (bytes.remove(0), bytes.remove(0));
            self.commands.push((class, number, bytes));
            match &chain.elements[..] {
                [.., last] if last.writable && last.len == 1 => {
                    self.mem.write(last.addr, &[ack]).unwrap();
                }
                _ => self.violation("no room for an answer"),
            }
            self.put_used(queue, chain.id, 1, chain.elements.len());
        }
    }

    fn msix_control(&self) -> u16 {
        u16::from_le_bytes([self.config[MSIX_CAP + 2], self.config[MSIX_CAP + 3]])
    }

    fn interrupt(&mut self, vector: u16) {
        let entry = usize::from(vector) * 16;
        let enabled = self.msix_control() & 0xc000 == 0x8000 && self.config[4] & 4 != 0;
        let Some(entry) = self.table.get(entry..entry + 16).filter(|_| enabled) else {
            return;
        };
        if entry[12] & 1 == 0 {
            self.messages.push_back(MsiMessage {
                address: u64::from_le_bytes(entry[..8].try_into().unwrap()),
                data: u32::from_le_bytes(entry[8..12].try_into().unwrap()),
            });
        }
    }

    /// Changes the configuration under `change` and announces it.
    pub fn change_config(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.generation = self.generation.wrapping_add(1);
        self.interrupt(self.config_vector);
    }

    fn running(&mut self, q: usize) -> Option<(&mut DeviceQueue, &BusMemory)> {
        if self.status & (4 | 64 | 128) != 4 {
            return None;
        }
        Some((self.queues[q].as_mut()?, &self.mem))
    }

    fn used(&mut self, q: usize) {
        if let Some((queue, mem)) = self.running(q) {
            match queue.interrupt_due(mem) {
                Ok(true) => self.interrupt(self.regs[q].vector),
                Ok(false) => {}
                Err(v) => self.violation(format!("queue {q}: {v:?}")),
            }
        }
    }

    pub fn set_wish(&mut self, q: usize, wish: Wish) {
        if let Some((queue, mem)) = self.running(q) {
            queue.set_wish(mem, wish).unwrap();
        }
    }

    fn take(&mut self, q: usize) -> Option<Chain> {
        let (queue, mem) = self.running(q)?;
        match queue.take(mem) {
            Ok(chain) => chain,
            Err(v) => {
                self.violation(format!("queue {q}: {v:?}"));
                None
            }
        }
    }

    fn put_used(&mut self, q: usize, id: u16, len: u32, ndesc: usize) {
        if let Some((queue, mem)) = self.running(q) {
            queue.put_used(mem, id, len, ndesc, len > 0).unwrap();
        }
    }

    /// Puts a frame with its header into the next receive buffer and announces it; false when
    /// there is no buffer or it is too short.
    pub fn receive(&mut self, hdr: [u8; HDR], frame: &[u8]) -> bool {
        self.receive_at(0, hdr, frame)
    }

    /// The same into the receive queue of `pair`.
    pub fn receive_at(&mut self, pair: usize, hdr: [u8; HDR], frame: &[u8]) -> bool {
        let Some(chain) = self.take(2 * pair) else {
            return false;
        };
        let bytes = [&hdr[..], frame].concat();
        let mut rest = &bytes[..];
        for element in &chain.elements {
            if !element.writable {
                self.violation("readable receive buffer");
            }
            let (now, later) = rest.split_at(rest.len().min(element.len as usize));
            if let Err(fault) = self.mem.write(element.addr, now) {
                self.violation(format!("receive: {fault:?}"));
            }
            rest = later;
        }
        let fits = rest.is_empty();
        let len = if fits { bytes.len() as u32 } else { 0 };
        self.put_used(2 * pair, chain.id, len, chain.elements.len());
        self.used(2 * pair);
        fits
    }

    /// Puts a frame with its header over as many receive buffers as it takes (5.1.6.4 with
    /// MRG_RXBUF) and announces them at once; false when there are not enough.
    pub fn receive_merged(&mut self, mut hdr: [u8; HDR], frame: &[u8]) -> bool {
        let (mut chains, mut room) = (Vec::new(), 0);
        while room < HDR + frame.len() {
            let Some(chain) = self.take(0) else {
                return false;
            };
            room += chain.writable() as usize;
            chains.push(chain);
        }
        hdr[10..].copy_from_slice(&(chains.len() as u16).to_le_bytes());
        let bytes = [&hdr[..], frame].concat();
        let mut rest = &bytes[..];
        for chain in &chains {
            let before = rest.len();
            for element in &chain.elements {
                let (now, later) = rest.split_at(rest.len().min(element.len as usize));
                if let Err(fault) = self.mem.write(element.addr, now) {
                    self.violation(format!("receive: {fault:?}"));
                }
                rest = later;
            }
            let len = (before - rest.len()) as u32;
            self.put_used(0, chain.id, len, chain.elements.len());
        }
        self.used(0);
        true
    }

    /// Sends everything that is available.
    pub fn transmit(&mut self) {
        self.transmit_up_to(usize::MAX);
    }

    /// Sends up to `limit` frames. With IN_ORDER one used descriptor stands for all.
    pub fn transmit_up_to(&mut self, limit: usize) {
        self.transmit_at(0, limit);
    }

    /// The same of the transmit queue of `pair`.
    pub fn transmit_at(&mut self, pair: usize, limit: usize) {
        let q = 2 * pair + 1;
        let mut ndesc = 0;
        let mut last = None;
        for _ in 0..limit {
            let Some(chain) = self.take(q) else { break };
            let mut bytes = Vec::new();
            for element in &chain.elements {
                if element.writable {
                    self.violation("writable transmit buffer");
                }
                match self.mem.read(element.addr, element.len as usize) {
                    Ok(part) => bytes.extend(part),
                    Err(fault) => self.violation(format!("transmit: {fault:?}")),
                }
            }
            if bytes.len() < HDR {
                self.violation("no room for a header");
                bytes.resize(HDR, 0);
            }
            let frame = bytes.split_off(HDR);
            let hdr = bytes.try_into().unwrap();
            self.sent.push(Sent {
                hdr,
                frame,
                ndesc: chain.elements.len(),
            });
            if self.negotiated(F_IN_ORDER) {
                ndesc += chain.elements.len();
                last = Some(chain.id);
            } else {
                self.put_used(q, chain.id, 0, chain.elements.len());
            }
        }
        if let Some(id) = last {
            self.put_used(q, id, 0, ndesc);
        }
        self.used(q);
    }
}

fn half(bits: u64, select: u32) -> u32 {
    if select < 2 {
        (bits >> (32 * select)) as u32
    } else {
        0
    }
}

fn set_low(field: &mut u64, value: u32) {
    *field = *field & !0xffff_ffff | u64::from(value);
}

fn set_high(field: &mut u64, value: u32) {
    *field = *field & 0xffff_ffff | u64::from(value) << 32;
}
