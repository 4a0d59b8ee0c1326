//! The least of a virtio-net driver: two packed rings, one buffer per descriptor, no event index. It
//! stands on the specification alone and knows nothing of the driver crate.

use hwmodel::{Device, Error, Nic, Permission, pci};

/// Bus address of memory's first byte.
const BUS: u64 = 1 << 32;
/// Descriptors per ring.
const RING: u16 = 256;
const BUFFER: u64 = 2048;
/// struct virtio_net_hdr with num_buffers (virtio 5.1.6).
const HEADER: usize = 12;
const MSI: u32 = 0xfee0_0000;

const F_MAC: u64 = 1 << 5;
const F_VERSION_1: u64 = 1 << 32;
const F_ACCESS_PLATFORM: u64 = 1 << 33;
const F_RING_PACKED: u64 = 1 << 34;
/// 2.8.13: descriptor flags.
const WRITE: u16 = 1 << 1;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// One packed virtqueue (virtio 2.8) with a buffer behind each slot.
struct Ring {
    index: u16,
    base: u64,
    buffers: u64,
    next: u16,
    wrap: bool,
    used_next: u16,
    used_wrap: bool,
    /// Chains that the device has.
    pub free: u16,
}

/// A card under this driver.
pub struct Mini {
    pub nic: Nic,
    rx: Ring,
    tx: Ring,
}

impl Ring {
    fn new(index: u16) -> Self {
        let at = 0x1_0000 + u64::from(index) * 0x1_0000;
        let buffers = 0x10_0000 + u64::from(index) * u64::from(RING) * BUFFER;
        Self {
            index,
            base: at,
            buffers,
            next: 0,
            wrap: true,
            used_next: 0,
            used_wrap: true,
            free: RING,
        }
    }

    fn buffer(&self, id: u16) -> u64 {
        self.buffers + u64::from(id % RING) * BUFFER
    }

    /// Makes the buffer of the next slot available.
    fn offer(&mut self, nic: &Nic, len: u32, flags: u16) {
        let slot = self.base + u64::from(self.next) * 16;
        let memory = nic.memory();
        memory
            .write(slot, &(BUS + self.buffer(self.next)).to_le_bytes())
            .unwrap();
        memory.write(slot + 8, &len.to_le_bytes()).unwrap();
        memory.write(slot + 12, &self.next.to_le_bytes()).unwrap();
        let flags = flags | if self.wrap { AVAIL } else { USED };
        memory.write(slot + 14, &flags.to_le_bytes()).unwrap();
        self.free -= 1;
        self.next += 1;
        if self.next == RING {
            self.next = 0;
            self.wrap = !self.wrap;
        }
    }

    /// The ID and length of the next used element.
    fn take(&mut self, nic: &Nic) -> Option<(u16, u32)> {
        let mut slot = [0; 16];
        nic.memory()
            .read(self.base + u64::from(self.used_next) * 16, &mut slot)
            .unwrap();
        let flags = u16::from_le_bytes([slot[14], slot[15]]);
        let is = |bit: u16| flags & bit != 0;
        if is(AVAIL) != self.used_wrap || is(USED) != self.used_wrap {
            return None;
        }
        self.free += 1;
        self.used_next += 1;
        if self.used_next == RING {
            self.used_next = 0;
            self.used_wrap = !self.used_wrap;
        }
        let len = u32::from_le_bytes([slot[8], slot[9], slot[10], slot[11]]);
        Some((u16::from_le_bytes([slot[12], slot[13]]), len))
    }
}

impl Mini {
    /// Brings the card up: 3.1.1 of the specification, MSI-X vector 1 for receive, all receive buffers
    /// available.
    pub fn new(mut nic: Nic) -> Result<Self, Error> {
        nic.config_write(
            pci::COMMAND as u16,
            2,
            u32::from(pci::COMMAND_MEMORY | pci::COMMAND_MASTER),
        );
        nic.iommu()
            .map(BUS, 16 << 20, 0, Permission::ReadWrite)
            .expect("the table is empty");
        nic.config_write(
            pci::MSIX_CONTROL as u16,
            2,
            u32::from(pci::MSIX_CONTROL_ENABLE),
        );
        for (at, value) in [(0, MSI), (4, 0), (8, 0x41), (12, 0)] {
            nic.bar_write(pci::BAR_MSIX_TABLE + 16 + at, 4, value)?;
        }
        nic.bar_write(0x14, 1, 0)?;
        while nic.bar_read(0x14, 1)? != 0 {}
        nic.bar_write(0x14, 1, 3)?;
        let features = F_MAC | F_VERSION_1 | F_ACCESS_PLATFORM | F_RING_PACKED;
        for half in 0..2 {
            nic.bar_write(0x08, 4, half)?;
            nic.bar_write(0x0c, 4, (features >> (32 * half)) as u32)?;
        }
        nic.bar_write(0x14, 1, 0xb)?;
        assert_eq!(nic.bar_read(0x14, 1)?, 0xb, "FEATURES_OK is refused");
        let (rx, tx) = (Ring::new(0), Ring::new(1));
        for ring in [&rx, &tx] {
            nic.bar_write(0x16, 2, ring.index.into())?;
            nic.bar_write(0x18, 2, RING.into())?;
            nic.bar_write(0x1a, 2, if ring.index == 0 { 1 } else { 0xffff })?;
            for (register, offset) in [(0x20, 0), (0x28, 0x2000), (0x30, 0x3000)] {
                let address = BUS + ring.base + offset;
                nic.bar_write(register, 4, address as u32)?;
                nic.bar_write(register + 4, 4, (address >> 32) as u32)?;
            }
            nic.bar_write(0x1c, 2, 1)?;
        }
        nic.bar_write(0x14, 1, 0xf)?;
        let mut mini = Self { nic, rx, tx };
        mini.refill()?;
        // Posted writes: the device runs when it answers.
        assert_eq!(mini.nic.bar_read(0x14, 1)?, 0xf);
        Ok(mini)
    }

    /// Gives all free receive buffers to the device and rings.
    pub fn refill(&mut self) -> Result<(), Error> {
        while self.rx.free > 0 {
            self.rx.offer(&self.nic, BUFFER as u32, WRITE);
        }
        self.ring(0)
    }

    /// Takes the next received frame into `frame`, without its header; false when there is none.
    pub fn receive(&mut self, frame: &mut Vec<u8>) -> bool {
        let Some((id, len)) = self.rx.take(&self.nic) else {
            return false;
        };
        frame.resize(len as usize, 0);
        self.nic
            .memory()
            .read(self.rx.buffer(id), frame)
            .expect("inside");
        frame.drain(..HEADER);
        true
    }

    /// Queues a frame to be sent; false when the ring is full. [`Mini::ring`] tells the device.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        while self.tx.take(&self.nic).is_some() {}
        if self.tx.free == 0 {
            return false;
        }
        let at = self.tx.buffer(self.tx.next);
        self.nic.memory().write(at, &[0; HEADER]).expect("inside");
        self.nic
            .memory()
            .write(at + HEADER as u64, frame)
            .expect("inside");
        self.tx.offer(&self.nic, (HEADER + frame.len()) as u32, 0);
        true
    }

    /// Notifies the device of a queue's new buffers.
    pub fn ring(&mut self, queue: u16) -> Result<(), Error> {
        let doorbell = pci::BAR_NOTIFY + u32::from(queue) * pci::NOTIFY_OFF_MULTIPLIER;
        self.nic.bar_write(doorbell, 2, queue.into())
    }
}
