//! A host with one card: capabilities, registers, memory, queues, step by step as the specification
//! tells a driver to.

use crate::ring::{DriverRing, Events, Memory, RingConfig, RingError};
use hwmodel::{CYCLE_PS, Device, HostMemory, MsixMessage, Nic, NicConfig, Permission, Ps};

/// What a run can fail with, for people.
#[derive(Debug)]
pub struct Fail(pub String);

impl From<String> for Fail {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Fail {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<hwmodel::Error> for Fail {
    fn from(error: hwmodel::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<RingError> for Fail {
    fn from(error: RingError) -> Self {
        Self(error.to_string())
    }
}

impl From<hwmodel::MapError> for Fail {
    fn from(error: hwmodel::MapError) -> Self {
        Self(error.to_string())
    }
}

/// Receive queue (virtio 5.1.2).
pub const RX: usize = 0;
/// Transmit queue.
pub const TX: usize = 1;

/// Feature bits (virtio 5.1.3, 6).
pub mod feature {
    pub const CSUM: u64 = 1 << 0;
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const MAC: u64 = 1 << 5;
    pub const HOST_TSO4: u64 = 1 << 11;
    pub const HOST_TSO6: u64 = 1 << 12;
    pub const HOST_ECN: u64 = 1 << 13;
    pub const STATUS: u64 = 1 << 16;
    pub const CTRL_VQ: u64 = 1 << 17;
    pub const MQ: u64 = 1 << 22;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const VERSION_1: u64 = 1 << 32;
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    pub const RING_PACKED: u64 = 1 << 34;
    pub const IN_ORDER: u64 = 1 << 35;
    pub const RING_RESET: u64 = 1 << 40;
    pub const HOST_USO: u64 = 1 << 56;
    /// All of transmit segmentation, and what it needs.
    pub const SEGMENTATION: u64 = CSUM | HOST_TSO4 | HOST_TSO6 | HOST_ECN | HOST_USO;
    /// What every driver here takes.
    pub const BASE: u64 = VERSION_1 | ACCESS_PLATFORM | RING_PACKED | RING_RESET | MAC | STATUS;
}

/// Bits of device_status (2.1).
pub mod status {
    pub const ACKNOWLEDGE: u32 = 1;
    pub const DRIVER: u32 = 2;
    pub const DRIVER_OK: u32 = 4;
    pub const FEATURES_OK: u32 = 8;
    pub const NEEDS_RESET: u32 = 64;
}

/// Offsets in the common configuration (4.1.4.3).
pub mod common {
    pub const DEVICE_FEATURE_SELECT: u32 = 0x00;
    pub const DEVICE_FEATURE: u32 = 0x04;
    pub const DRIVER_FEATURE_SELECT: u32 = 0x08;
    pub const DRIVER_FEATURE: u32 = 0x0c;
    pub const CONFIG_MSIX_VECTOR: u32 = 0x10;
    pub const NUM_QUEUES: u32 = 0x12;
    pub const DEVICE_STATUS: u32 = 0x14;
    pub const CONFIG_GENERATION: u32 = 0x15;
    pub const QUEUE_SELECT: u32 = 0x16;
    pub const QUEUE_SIZE: u32 = 0x18;
    pub const QUEUE_MSIX_VECTOR: u32 = 0x1a;
    pub const QUEUE_ENABLE: u32 = 0x1c;
    pub const QUEUE_NOTIFY_OFF: u32 = 0x1e;
    pub const QUEUE_DESC: u32 = 0x20;
    pub const QUEUE_DRIVER: u32 = 0x28;
    pub const QUEUE_DEVICE: u32 = 0x30;
    pub const QUEUE_RESET: u32 = 0x3a;
}

/// Statistics in the vendor region, in the order of `nic_pkg::stat_e`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)] // each has its place, whoever looks at it
pub enum Stat {
    /// Good frames from the wire.
    RxFrames,
    /// Bytes of good frames, FCS not included.
    RxBytes,
    /// Dropped: frame check sequence wrong.
    RxBadFcs,
    /// Dropped: shorter than 64 bytes with FCS.
    RxRunt,
    /// Dropped: longer than the limit.
    RxOversize,
    /// Dropped: control character inside the frame or bad preamble.
    RxError,
    /// Dropped: receive store full.
    RxNoSpace,
    /// Dropped: receive queue not enabled or device stopped.
    RxDisabled,
    /// Dropped: longer than the buffer chain that was offered.
    RxTruncated,
    /// Delivered with DATA_VALID.
    RxCsumValid,
    /// Frames sent.
    TxFrames,
    /// Bytes of frames sent, padding included, FCS not.
    TxBytes,
    /// Dropped: illegal virtio_net_hdr or frame length.
    TxMalformed,
    /// Frames whose checksum was inserted.
    TxCsum,
    /// Frames cut because data was not there in time (never).
    TxUnderrun,
    /// Receive buffers used.
    RxBuffers,
    /// Transmit chains used.
    TxBuffers,
    /// Error responses on the AXI master.
    DmaError,
    /// Dropped: receive mode, address table or VLAN filter.
    RxFiltered,
    /// Segments that went into coalesced frames of two or more.
    RxCoalesced,
    /// Frames of two or more segments that they became.
    RxLroFrames,
    /// Chains that asked for segmentation and got it.
    TxGso,
    /// Frames that segmentation made.
    TxSegments,
    /// Control commands answered with VIRTIO_NET_OK.
    CtrlOk,
    /// Control commands answered with VIRTIO_NET_ERR.
    CtrlErr,
    /// Dropped: its queue was without buffers, and others must go on.
    RxNoBuffer,
    /// PAUSE frames taken by the MAC (also in `RxFrames`).
    RxPause,
    /// Dropped: other MAC control frames (also in `RxFrames`).
    RxMacCtrl,
    /// PAUSE frames sent (also in `TxFrames`).
    TxPause,
}

/// Counters in [`Stat`]'s order.
pub type Stats = [u64; 29];

/// Where the capabilities say that structures are in BAR0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Map {
    pub common: u32,
    pub notify: u32,
    pub notify_multiplier: u32,
    pub isr: u32,
    pub device: u32,
    pub msix: u16,
    pub msix_table: u32,
    pub msix_pba: u32,
}

/// Bus address of physical address 0: bus addresses need more than 32 bits.
pub const BUS_OFFSET: u64 = 0x12_3400_0000;
/// Physical place of rings, of receive and of transmit buffers, and their bytes.
pub const RINGS: (u64, u64) = (0x10_0000, 0x20_0000);
pub const RX_BUFFERS: (u64, u64) = (0x40_0000, 0x80_0000);
pub const TX_BUFFERS: (u64, u64) = (0xc0_0000, 0x80_0000);
/// Physical place of indirect tables, and of commands and their answers.
pub const TABLES: (u64, u64) = (0x140_0000, 0x20_0000);
pub const COMMANDS: (u64, u64) = (0x160_0000, 0x1_0000);
/// From a queue's structures to those of the next.
const RING_STRIDE: u64 = 0x1_0000;
/// Address of the message of vector 0; the others follow in steps of 16.
pub const MSIX_ADDRESS: u32 = 0xfee0_1000;
/// Message data of vector 0.
pub const MSIX_DATA: u32 = 0x4100;

/// Memory under bus addresses.
pub struct Bus(pub HostMemory);

impl Memory for Bus {
    fn read(&self, addr: u64, to: &mut [u8]) {
        assert!(
            self.0.read(addr - BUS_OFFSET, to).is_ok(),
            "testbench address {addr:#x}"
        );
    }

    fn write(&mut self, addr: u64, from: &[u8]) {
        assert!(
            self.0.write(addr - BUS_OFFSET, from).is_ok(),
            "testbench address {addr:#x}"
        );
    }
}

/// Bytes of memory.
pub const MEMORY: usize = 32 << 20;

/// A card and what its driver knows of it.
pub struct Host<D = Nic> {
    pub nic: D,
    pub bus: Bus,
    pub map: Map,
}

impl Host {
    /// Powers a card on and looks at it: [`Host::with`].
    pub fn new(config: NicConfig) -> Result<Self, Fail> {
        let memory = MEMORY;
        Self::with(Nic::new(NicConfig { memory, ..config })?)
    }

    /// The vector that a message belongs to.
    pub fn vector(message: &MsixMessage) -> Result<usize, Fail> {
        let vector = message.data.wrapping_sub(MSIX_DATA);
        let address = MSIX_ADDRESS.wrapping_add(vector.wrapping_mul(16));
        if vector < 18 && message.address == u64::from(address) {
            Ok(vector as usize)
        } else {
            Err(format!("message {message:x?}").into())
        }
    }
}

impl<D: Device> Host<D> {
    /// Walks a card's capabilities (4.1.4) and maps memory for it.
    pub fn with(mut nic: D) -> Result<Self, Fail> {
        // Rings both ways, buffers only the way that data goes.
        for ((at, len), permission) in [
            (RINGS, Permission::ReadWrite),
            (RX_BUFFERS, Permission::Write),
            (TX_BUFFERS, Permission::Read),
            (TABLES, Permission::Read),
            (COMMANDS, Permission::ReadWrite),
        ] {
            nic.iommu().map(at + BUS_OFFSET, len, at, permission)?;
        }
        let map = walk(&mut nic)?;
        enable_bus(&mut nic);
        let bus = Bus(nic.memory().clone());
        Ok(Self { nic, bus, map })
    }

    pub fn read(&mut self, field: u32, width: u8) -> Result<u32, Fail> {
        Ok(self.nic.bar_read(self.map.common + field, width)?)
    }

    pub fn write(&mut self, field: u32, width: u8, value: u32) -> Result<(), Fail> {
        Ok(self.nic.bar_write(self.map.common + field, width, value)?)
    }

    fn write64(&mut self, field: u32, value: u64) -> Result<(), Fail> {
        self.write(field, 4, value as u32)?;
        self.write(field + 4, 4, (value >> 32) as u32)
    }

    pub fn status(&mut self) -> Result<u32, Fail> {
        self.read(common::DEVICE_STATUS, 1)
    }

    /// 2.4.1: resets the device and waits until it is done; `limit` bounds the wait.
    pub fn reset(&mut self, limit: Ps) -> Result<(), Fail> {
        self.write(common::DEVICE_STATUS, 1, 0)?;
        let until = self.nic.now() + limit;
        while self.status()? != 0 {
            if self.nic.now() > until {
                return Err(format!("device_status is not 0 {limit} ps after reset").into());
            }
        }
        Ok(())
    }

    pub fn offered(&mut self) -> Result<u64, Fail> {
        let mut features = 0;
        for half in 0..2 {
            self.write(common::DEVICE_FEATURE_SELECT, 4, half)?;
            features |= u64::from(self.read(common::DEVICE_FEATURE, 4)?) << (32 * half);
        }
        Ok(features)
    }

    /// 3.1.1 steps 1 to 6: whether the device took `features`.
    pub fn negotiate(&mut self, features: u64) -> Result<bool, Fail> {
        self.reset(50_000_000)?;
        let known = status::ACKNOWLEDGE | status::DRIVER;
        self.write(common::DEVICE_STATUS, 1, status::ACKNOWLEDGE)?;
        self.write(common::DEVICE_STATUS, 1, known)?;
        for half in 0..2 {
            self.write(common::DRIVER_FEATURE_SELECT, 4, half)?;
            self.write(common::DRIVER_FEATURE, 4, (features >> (32 * half)) as u32)?;
        }
        self.write(common::DEVICE_STATUS, 1, known | status::FEATURES_OK)?;
        Ok(self.status()? & status::FEATURES_OK != 0)
    }

    /// Entries of the MSI-X table: one for configuration changes and one for each queue.
    pub fn vectors(&mut self) -> u32 {
        (self.nic.config_read(self.map.msix + 2, 2) & 0x7ff) + 1
    }

    /// Fills the MSI-X table, unmasked, and enables MSI-X; vector 0 is for configuration changes.
    pub fn enable_msix(&mut self) -> Result<(), Fail> {
        for vector in 0..self.vectors() {
            let entry = self.map.msix_table + 16 * vector;
            for (word, value) in [MSIX_ADDRESS + 16 * vector, 0, MSIX_DATA + vector, 0]
                .into_iter()
                .enumerate()
            {
                self.nic.bar_write(entry + 4 * word as u32, 4, value)?;
            }
        }
        let control = self.map.msix + 2;
        let value = self.nic.config_read(control, 2) & 0x3fff;
        self.nic.config_write(control, 2, value | 0x8000);
        self.write(common::CONFIG_MSIX_VECTOR, 2, 0)?;
        Ok(())
    }

    /// 4.1.5.1.3: sets queue `index` up with `size` descriptors and enables it. `skew` moves its
    /// structures in memory.
    pub fn enable_queue<T: Copy>(
        &mut self,
        index: usize,
        size: u16,
        skew: u64,
        features: u64,
        first_id: u16,
    ) -> Result<DriverRing<T>, Fail> {
        let base = RINGS.0 + BUS_OFFSET + RING_STRIDE * index as u64;
        let config = RingConfig {
            size,
            desc: base + 0x1000 + skew % 512 * 16,
            driver: base + skew % 64 * 4,
            device: base + 0x400 + skew % 63 * 4,
            write: index.is_multiple_of(2), // the control queue, too: its answers
            in_order: features & feature::IN_ORDER != 0,
        };
        self.bus.write(base, &vec![0; RING_STRIDE as usize]);
        let ring = DriverRing::new(config, first_id);
        ring.set_events(&mut self.bus, Events::Disable);
        self.enable_ring(index, &config)?;
        Ok(ring)
    }

    /// The register part of [`enable_queue`](Self::enable_queue).
    pub fn enable_ring(&mut self, index: usize, config: &RingConfig) -> Result<(), Fail> {
        let vector = index as u32 + 1;
        self.write(common::QUEUE_SELECT, 2, index as u32)?;
        self.write(common::QUEUE_SIZE, 2, config.size.into())?;
        self.write(common::QUEUE_MSIX_VECTOR, 2, vector)?;
        self.write64(common::QUEUE_DESC, config.desc)?;
        self.write64(common::QUEUE_DRIVER, config.driver)?;
        self.write64(common::QUEUE_DEVICE, config.device)?;
        self.write(common::QUEUE_ENABLE, 2, 1)?;
        if self.read(common::QUEUE_MSIX_VECTOR, 2)? != vector {
            return Err(format!("queue {index} refuses its vector").into());
        }
        if self.read(common::QUEUE_ENABLE, 2)? != 1 {
            return Err(format!("queue {index} of {} is not enabled", config.size).into());
        }
        Ok(())
    }

    pub fn driver_ok(&mut self) -> Result<(), Fail> {
        let all = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;
        self.write(common::DEVICE_STATUS, 1, all)
    }

    /// 4.1.5.2, without NOTIFICATION_DATA.
    pub fn kick(&mut self, index: usize) -> Result<(), Fail> {
        let at = self.map.notify + index as u32 * self.map.notify_multiplier;
        Ok(self.nic.bar_write(at, 2, index as u32)?)
    }

    /// All counters of the vendor region, low halves first.
    pub fn stats(&mut self) -> Result<Stats, Fail> {
        let mut stats = Stats::default();
        for (index, counter) in (0u32..).zip(&mut stats) {
            let at = 0x6100 + 8 * index;
            let low = self.nic.bar_read(at, 4)?;
            *counter = u64::from(low) | u64::from(self.nic.bar_read(at + 4, 4)?) << 32;
        }
        Ok(stats)
    }

    /// Runs for `cycles`; messages and frames that come meanwhile stay to be taken.
    pub fn run(&mut self, cycles: u64) -> Result<(), Fail> {
        // A register read runs the clock and leaves what comes where it is.
        let until = self.nic.now() + cycles * CYCLE_PS;
        while self.nic.now() < until {
            self.read(common::NUM_QUEUES, 2)?;
        }
        Ok(())
    }
}

/// Memory space and bus mastering on (PCI 6.2.2).
pub fn enable_bus(nic: &mut impl Device) {
    nic.config_write(0x04, 2, 0x0006);
}

/// 4.1.4: the capability list.
fn walk(nic: &mut impl Device) -> Result<Map, Fail> {
    if nic.config_read(0, 4) != 0x1041_1af4 {
        return Err("not a modern virtio network card".into());
    }
    let mut map = Map::default();
    let mut at = nic.config_read(0x34, 1) as u16;
    let mut seen = 0u32;
    for _ in 0..48 {
        if at == 0 {
            break;
        }
        let offset = nic.config_read(at + 8, 4);
        match (nic.config_read(at, 1), nic.config_read(at + 3, 1)) {
            (0x09, kind @ 1..=4) if seen & 1 << kind == 0 => {
                seen |= 1 << kind;
                if nic.config_read(at + 4, 1) != 0 {
                    return Err("a structure that is not in BAR 0".into());
                }
                match kind {
                    1 => map.common = offset,
                    2 => {
                        map.notify = offset;
                        map.notify_multiplier = nic.config_read(at + 16, 4);
                    }
                    3 => map.isr = offset,
                    _ => map.device = offset,
                }
            }
            (0x11, _) => {
                seen |= 1;
                map.msix = at;
                map.msix_table = nic.config_read(at + 4, 4) & !7;
                map.msix_pba = nic.config_read(at + 8, 4) & !7;
            }
            _ => {}
        }
        at = nic.config_read(at + 1, 1) as u16;
    }
    if seen == 0b11111 {
        Ok(map)
    } else {
        Err(format!("capabilities {seen:#b}").into())
    }
}
