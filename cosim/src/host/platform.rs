//! The simulated platform under the driver: its three traits over the modelled NIC and memory.

use std::sync::Arc;

use driver::{BusError, DmaMemory, DmaRegion, Interrupts, MsiMessage, PciRegisters, Width};
use hwmodel::pci::{BAR_NOTIFY, BAR0_LEN, NOTIFY_LEN};
use hwmodel::{Device, HostMemory, Permission};

use super::machine::Shared;

/// Bus address of host memory's first byte. Not 0, so that a physical address that is taken for a bus
/// address is refused by the IOMMU instead of working by chance.
const BUS_BASE: u64 = 0x1_0000_0000;
/// Pages of the IOMMU.
const PAGE: usize = 4096;
/// Where interrupt messages go (x86's local APIC range).
const MSI_ADDRESS: u64 = 0xfee0_0000;
/// First interrupt number of the NIC; `data` of its message for vector 0.
const MSI_FIRST: u32 = 0x40;
/// Vectors that this platform hands out: one for each queue of eight pairs, and some more.
const VECTORS: u16 = 32;
/// Where doorbells are in BAR0; only the trace wants to know.
const NOTIFY: std::ops::Range<u32> = BAR_NOTIFY..BAR_NOTIFY + NOTIFY_LEN;

/// Register access. A read stalls the CPU for the round trip, a write is posted.
pub struct SimPci<D>(pub Shared<D>);

impl<D: Device> PciRegisters for SimPci<D> {
    fn config_read(&mut self, offset: u16, width: Width) -> Result<u32, BusError> {
        let mut m = self.0.borrow_mut();
        let cost = m.costs.config_access;
        m.access(cost);
        Ok(m.device.config_read(offset, width.bytes()))
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32) -> Result<(), BusError> {
        let mut m = self.0.borrow_mut();
        let cost = m.costs.config_access;
        m.access(cost);
        m.device.config_write(offset, width.bytes(), value);
        Ok(())
    }

    fn bar_read(&mut self, bar: u8, offset: u32, width: Width) -> Result<u32, BusError> {
        let mut m = self.0.borrow_mut();
        check_bar(bar, offset, width)?;
        let cost = m.costs.mmio_read;
        m.access(cost);
        let value = m.device.bar_read(offset, width.bytes())?;
        let answered = m.device.now();
        m.cpu.stall_until(answered);
        Ok(value)
    }

    fn bar_write(
        &mut self,
        bar: u8,
        offset: u32,
        width: Width,
        value: u32,
    ) -> Result<(), BusError> {
        let mut m = self.0.borrow_mut();
        check_bar(bar, offset, width)?;
        let cost = m.costs.mmio_write;
        m.access(cost);
        if NOTIFY.contains(&offset) {
            // virtio 4.1.5.2: the queue's number is what is written.
            m.doorbell(value as u16);
        }
        m.device.bar_write(offset, width.bytes(), value)?;
        Ok(())
    }

    fn bar_len(&self, bar: u8) -> u64 {
        if bar == 0 { u64::from(BAR0_LEN) } else { 0 }
    }
}

fn check_bar(bar: u8, offset: u32, width: Width) -> Result<(), BusError> {
    if bar != 0 || u64::from(offset) + u64::from(width.bytes()) > u64::from(BAR0_LEN) {
        return Err(format!("there is nothing at BAR {bar} offset {offset:#x}").into());
    }
    Ok(())
}

/// DMA memory out of host memory, mapped for the NIC. What is dropped is not handed out again: a host
/// allocates at start only, and all memory goes with it.
pub struct SimDma<D> {
    machine: Shared<D>,
    next: usize,
}

impl<D> SimDma<D> {
    /// All of the machine's memory is free.
    pub fn new(machine: Shared<D>) -> Self {
        Self { machine, next: 0 }
    }
}

impl<D: Device> DmaMemory for SimDma<D> {
    fn alloc_coherent(&mut self, len: usize, align: usize) -> Result<DmaRegion, BusError> {
        if len == 0 || !align.is_power_of_two() || align > PAGE {
            return Err(format!("cannot allocate {len} bytes aligned to {align}").into());
        }
        // Whole pages: no two regions share a mapping, so a stray access is refused.
        let size = len.next_multiple_of(PAGE);
        let mut m = self.machine.borrow_mut();
        let memory: HostMemory = m.device.memory().clone();
        let ptr = memory.ptr(self.next as u64, size)?;
        let phys = self.next as u64;
        let bus = BUS_BASE + phys;
        m.device
            .iommu()
            .map(bus, size as u64, phys, Permission::ReadWrite)?;
        self.next += size;
        // SAFETY: `ptr` is `size` bytes of the mapping that the clone of `memory` keeps alive; `next`
        // only grows, so no other region overlaps; the model accesses it as the device does.
        Ok(unsafe { DmaRegion::new(ptr, bus, len, Arc::new(memory)) })
    }
}

/// Interrupt delivery: messages to the local APIC's range, one number per vector.
pub struct SimIrq;

impl SimIrq {
    /// The vector that a message's data stands for; `None` for none of ours.
    pub fn vector_of(address: u64, data: u32) -> Option<u16> {
        let vector = data
            .checked_sub(MSI_FIRST)
            .filter(|v| *v < u32::from(VECTORS))?;
        (address == MSI_ADDRESS).then_some(vector as u16)
    }
}

impl Interrupts for SimIrq {
    fn vectors(&self) -> u16 {
        VECTORS
    }

    fn message(&mut self, vector: u16) -> Result<Option<MsiMessage>, BusError> {
        if vector >= VECTORS {
            return Err(format!("there are {VECTORS} vectors").into());
        }
        Ok(Some(MsiMessage {
            address: MSI_ADDRESS,
            data: MSI_FIRST + u32::from(vector),
        }))
    }
}
