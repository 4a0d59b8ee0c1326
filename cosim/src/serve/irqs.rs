//! Interrupts: each MSI-X message of the NIC signals the eventfd that the client gave for its vector.
//!
//! This is the part of a host's interrupt controller and VFIO driver: the client keeps the table that
//! its guest sees to itself and tells which vectors it wants; the table in the NIC is written here.

use std::fs::File;
use std::io::{self, Write};

use hwmodel::pci::BAR_MSIX_TABLE;
use hwmodel::{Device, MsixMessage};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_TYPE_MASK, VFIO_IRQ_SET_DATA_EVENTFD,
    VFIO_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_DATA_TYPE_MASK, VFIO_PCI_MSIX_IRQ_INDEX,
};

/// Message Address of every vector: a local APIC's range. The data is the vector's number.
const ADDRESS: u64 = *hwmodel::msix::RANGE.start();
/// Bytes of an entry of the MSI-X table (PCI 6.8.2).
const ENTRY: u32 = 16;

/// The vectors.
#[derive(Debug)]
pub struct Irqs {
    vectors: Vec<Vector>,
    /// Messages that became an interrupt.
    pub delivered: u64,
    /// Messages that nobody wanted.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Vector {
    eventfd: Option<File>,
    /// The NIC's entry says what `eventfd` says.
    written: bool,
}

impl Irqs {
    /// A table of this many vectors, all masked.
    pub fn new(vectors: u16) -> Self {
        Self {
            vectors: std::iter::repeat_with(Vector::default)
                .take(vectors.into())
                .collect(),
            delivered: 0,
            lost: 0,
        }
    }

    /// Does what `VFIO_DEVICE_SET_IRQS` asks for.
    ///
    /// # Errors
    /// `InvalidInput` for vectors that do not exist, and for actions that were not announced.
    pub fn set(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        if flags & VFIO_IRQ_SET_ACTION_TYPE_MASK != VFIO_IRQ_SET_ACTION_TRIGGER {
            return Err(invalid());
        }
        let off = flags & VFIO_IRQ_SET_DATA_TYPE_MASK == VFIO_IRQ_SET_DATA_NONE && count == 0;
        if index != VFIO_PCI_MSIX_IRQ_INDEX {
            // Switching off what does not exist is well.
            return if off { Ok(()) } else { Err(invalid()) };
        }
        if off {
            self.forget_client();
            return Ok(());
        }
        let end = start.checked_add(count).ok_or_else(invalid)?;
        let vectors = self
            .vectors
            .get_mut(start as usize..end as usize)
            .ok_or_else(invalid)?;
        match flags & VFIO_IRQ_SET_DATA_TYPE_MASK {
            VFIO_IRQ_SET_DATA_EVENTFD if fds.is_empty() || fds.len() == vectors.len() => {
                let mut fds = fds.into_iter();
                for vector in vectors {
                    vector.eventfd = fds.next();
                    vector.written = false;
                }
            }
            // A trigger by hand, to test that interrupts arrive.
            VFIO_IRQ_SET_DATA_NONE => {
                for eventfd in vectors.iter_mut().filter_map(|v| v.eventfd.as_mut()) {
                    signal(eventfd)?;
                }
            }
            _ => return Err(invalid()),
        }
        Ok(())
    }

    /// The client went away, and its eventfds with it.
    pub fn forget_client(&mut self) {
        self.vectors.fill_with(Vector::default);
    }

    /// The NIC's table was reset.
    pub fn forgotten(&mut self) {
        for vector in &mut self.vectors {
            vector.written = false;
        }
    }

    /// Brings the NIC's table up to date. Its registers must answer (Memory Space Enable).
    ///
    /// # Errors
    /// When the NIC fails.
    pub fn write_table(&mut self, nic: &mut impl Device) -> Result<(), hwmodel::Error> {
        for (number, vector) in self.vectors.iter_mut().enumerate() {
            if vector.written {
                continue;
            }
            let number = number as u32;
            let entry = BAR_MSIX_TABLE + ENTRY * number;
            let masked = u32::from(vector.eventfd.is_none());
            let fields = [ADDRESS as u32, (ADDRESS >> 32) as u32, number, masked];
            for (at, field) in (entry..).step_by(4).zip(fields) {
                nic.bar_write(at, 4, field)?;
            }
            vector.written = true;
        }
        Ok(())
    }

    /// Passes a message on.
    ///
    /// # Errors
    /// When the eventfd cannot be written.
    pub fn deliver(&mut self, message: &MsixMessage) -> io::Result<()> {
        let vector = self.vectors.get_mut(message.data as usize);
        let eventfd = vector
            .filter(|_| message.address == ADDRESS)
            .and_then(|vector| vector.eventfd.as_mut());
        match eventfd {
            Some(eventfd) => {
                self.delivered += 1;
                signal(eventfd)
            }
            None => {
                self.lost += 1;
                Ok(())
            }
        }
    }
}

fn signal(eventfd: &mut File) -> io::Result<()> {
    match eventfd.write_all(&1u64.to_ne_bytes()) {
        // Its counter is full: the client knows for long that there is something.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        result => result,
    }
}
