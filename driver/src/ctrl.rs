//! The control virtqueue (virtio 5.1.2, 5.1.6.5): one command at a time, and the driver waits for the
//! answer.

use crate::dma::{DmaMemory, DmaRegion};
use crate::error::Error;
use crate::registers::PciRegisters;
use crate::transport::{Doorbell, Transport, status};
use crate::virtqueue::{Segment, Virtqueue};

/// Descriptors of a command: what the device reads, and its answer.
pub const MIN_SIZE: u16 = 2;
/// Descriptors that are more than enough.
pub const SIZE: u16 = 16;

/// Bytes of the memory that a command lies in.
const REGION: usize = 4096;
/// Where the device writes its answer.
const ACK: usize = REGION - 1;
/// Bytes of class and command (`struct virtio_net_ctrl`).
const HEADER: usize = 2;
/// VIRTIO_NET_OK; everything else is a refusal.
const OK: u8 = 0;
/// In place of an answer while there is none.
const NO_ANSWER: u8 = 0xff;

/// Longest data of a command, bytes.
pub const MAX_DATA: usize = ACK - HEADER;

/// Class and number of a command (virtio 5.1.6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// VIRTIO_NET_CTRL_*: class.
    pub class: u8,
    /// Number within the class.
    pub number: u8,
}

impl Command {
    /// VIRTIO_NET_CTRL_RX_PROMISC.
    pub const RX_PROMISC: Self = Self::new(0, 0);
    /// VIRTIO_NET_CTRL_RX_ALLMULTI.
    pub const RX_ALLMULTI: Self = Self::new(0, 1);
    /// VIRTIO_NET_CTRL_MAC_TABLE_SET.
    pub const MAC_TABLE_SET: Self = Self::new(1, 0);
    /// VIRTIO_NET_CTRL_MAC_ADDR_SET.
    pub const MAC_ADDR_SET: Self = Self::new(1, 1);
    /// VIRTIO_NET_CTRL_VLAN_ADD.
    pub const VLAN_ADD: Self = Self::new(2, 0);
    /// VIRTIO_NET_CTRL_VLAN_DEL.
    pub const VLAN_DEL: Self = Self::new(2, 1);
    /// VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET.
    pub const MQ_VQ_PAIRS_SET: Self = Self::new(4, 0);
    /// VIRTIO_NET_CTRL_MQ_RSS_CONFIG.
    pub const MQ_RSS_CONFIG: Self = Self::new(4, 1);
    /// VIRTIO_NET_CTRL_NOTF_COAL_TX_SET.
    pub const NOTF_COAL_TX_SET: Self = Self::new(6, 0);
    /// VIRTIO_NET_CTRL_NOTF_COAL_RX_SET.
    pub const NOTF_COAL_RX_SET: Self = Self::new(6, 1);

    const fn new(class: u8, number: u8) -> Self {
        Self { class, number }
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.class, self.number)
    }
}

/// The driver's half of the control queue.
pub struct ControlQueue {
    /// Its index.
    pub index: u16,
    /// The ring.
    pub vq: Virtqueue<()>,
    /// Where its doorbell is.
    pub doorbell: Option<Doorbell>,
    region: DmaRegion,
}

impl ControlQueue {
    /// Memory for the queue with this `index`; `size`: descriptors, at least [`MIN_SIZE`].
    pub fn new<D: DmaMemory>(
        dma: &mut D,
        index: u16,
        size: u16,
        event_idx: bool,
        in_order: bool,
    ) -> Result<Self, Error> {
        let what = "control commands";
        let region = dma
            .alloc_coherent(REGION, 4096)
            .map_err(|source| Error::Dma { what, source })?;
        if region.len() < REGION {
            let source = "the platform's region is too short".into();
            return Err(Error::Dma { what, source });
        }
        let mut vq = Virtqueue::new(dma, size, event_idx, in_order)?;
        // The driver waits for each answer.
        vq.disable_callbacks();
        Ok(Self {
            index,
            vq,
            doorbell: None,
            region,
        })
    }

    /// Empties the ring. The device must not be using the queue.
    pub fn reset(&mut self) {
        self.vq.reset(|()| ());
        self.vq.disable_callbacks();
    }

    /// Sends a command and waits for its answer, `poll_limit` reads of `device_status` at the most.
    ///
    /// # Errors
    /// [`Error::ControlRefused`] when the device says no; all others mean that it is broken.
    pub fn command<P: PciRegisters>(
        &mut self,
        transport: &mut Transport<P>,
        command: Command,
        data: &[u8],
        poll_limit: u32,
    ) -> Result<(), Error> {
        let broken = Error::ControlTimeout { command };
        if data.len() > MAX_DATA {
            return Err(Error::ControlTooLong {
                command,
                len: data.len(),
            });
        }
        self.write(0, &[command.class, command.number]);
        self.write(HEADER, data);
        self.write(ACK, &[NO_ANSWER]);
        let at = self.region.bus_addr();
        let request = Segment {
            addr: at,
            len: (HEADER + data.len()) as u32,
        };
        let answer = Segment {
            addr: at + ACK as u64,
            len: 1,
        };
        if self.vq.add(&[request], &[answer], ()).is_err() {
            return Err(broken);
        }
        if self.vq.needs_kick()
            && let Some(doorbell) = self.doorbell
        {
            transport.ring(doorbell)?;
        }
        for _ in 0..poll_limit.max(1) {
            match self.vq.pop() {
                Ok(Some(_)) => {
                    return match self.answer() {
                        OK => Ok(()),
                        ack => Err(Error::ControlRefused { command, ack }),
                    };
                }
                // The read also waits: it comes back from the device.
                Ok(None) if transport.status()? & status::DEVICE_NEEDS_RESET == 0 => {}
                Ok(None) | Err(_) => break,
            }
        }
        Err(broken)
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= REGION);
        // SAFETY: in bounds by the assertion and `new`; the region is ours (DmaRegion::new), and the device
        // has no command in it: the one before was answered, or its queue is broken until a reset.
        unsafe {
            let to = self.region.as_ptr().as_ptr().add(at);
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    fn answer(&self) -> u8 {
        // SAFETY: in bounds by `new`; volatile because the device writes it. `pop` fenced before.
        unsafe { self.region.as_ptr().as_ptr().add(ACK).read_volatile() }
    }
}
