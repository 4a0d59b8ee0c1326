use crate::{
    Ps,
    bridge::{Address, PinsOut},
    iommu::Access,
};

/// Bytes of a full beat: HostDataWidth is 128.
pub(super) const BEAT: u64 = 16;
/// AxBURST INCR (AMBA AXI A3.4.1).
const INCR: u8 = 0b01;

/// An AXI4 channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Write address.
    Aw,
    /// Write data.
    W,
    /// Read address.
    Ar,
}

/// A rule of AMBA AXI that the device broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A burst type other than INCR, which is all that the device uses.
    #[error("burst type {0:#04b} is not INCR")]
    BurstType(u8),
    /// A beat wider than the bus, or a narrow one in a burst.
    #[error("beats of {0} bytes")]
    Size(u64),
    /// A3.4.1: a burst must not cross a 4 KiB boundary.
    #[error("{len} bytes from {addr:#x} cross a 4 KiB boundary")]
    Boundary {
        /// Bus address.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// A3.2.1: once valid, a channel must stay valid and unchanged until ready.
    #[error("valid or its payload changed before ready")]
    Unstable,
    /// `wlast` is not on the last beat, or is on another one.
    #[error("wlast is {last} on beat {beat} of {beats}")]
    Last {
        /// What `wlast` said.
        last: bool,
        /// Number of the beat, from 1.
        beat: u16,
        /// Beats that the address announced.
        beats: u16,
    },
    /// A3.4.3: a strobe outside of the bytes that the burst covers.
    #[error("strobe {strobe:#06x} outside of {allowed:#06x}")]
    Strobe {
        /// What `wstrb` said.
        strobe: u16,
        /// Bytes of the beat that belong to the burst.
        allowed: u16,
    },
}

/// The device broke the bus protocol: an error of the RTL, which ends the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{at} ps: AXI {channel:?}: {violation}")]
pub struct AxiError {
    /// Picoseconds.
    pub at: Ps,
    /// Where.
    pub channel: Channel,
    /// What.
    pub violation: Violation,
}

/// An address that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Burst {
    pub id: u8,
    pub addr: u64,
    pub beats: u16,
    /// log2 of the bytes of a beat.
    pub size: u8,
    kind: u8,
}

impl From<Address> for Burst {
    fn from(address: Address) -> Self {
        Self {
            id: address.id,
            addr: address.addr,
            beats: u16::from(address.len) + 1,
            size: address.size,
            kind: address.burst,
        }
    }
}

impl Burst {
    pub(super) fn of(out: &PinsOut, access: Access) -> Self {
        let read = Address {
            addr: out.m_axi_araddr,
            cycle: 0,
            id: out.m_axi_arid,
            len: out.m_axi_arlen,
            size: out.m_axi_arsize,
            burst: out.m_axi_arburst,
        };
        let write = Address {
            addr: out.m_axi_awaddr,
            cycle: 0,
            id: out.m_axi_awid,
            len: out.m_axi_awlen,
            size: out.m_axi_awsize,
            burst: out.m_axi_awburst,
        };
        Self::from(match access {
            Access::Read => read,
            Access::Write => write,
        })
    }

    pub(super) fn check(&self) -> Result<(), Violation> {
        if self.kind != INCR {
            return Err(Violation::BurstType(self.kind));
        }
        let size = 1u64 << self.size;
        if size > BEAT || (size < BEAT && self.beats > 1) {
            return Err(Violation::Size(size));
        }
        if (self.addr & 0xfff) + self.len() > 0x1000 {
            return Err(Violation::Boundary {
                addr: self.addr,
                len: self.len(),
            });
        }
        Ok(())
    }

    /// Bytes from the address to the end of the last beat.
    pub(super) fn len(&self) -> u64 {
        let size = 1u64 << self.size;
        u64::from(self.beats) * size - (self.addr & (size - 1))
    }

    /// Which bytes of the bus beat number `index` (from 0) belongs to the burst.
    #[inline]
    pub(super) fn lanes(&self, index: u16) -> u16 {
        if index > 0 {
            return u16::MAX; // only full beats follow another one
        }
        let size = 1u64 << self.size;
        let first = self.addr & (BEAT - 1);
        let end = if self.beats == 1 {
            (self.addr & (BEAT - 1) & !(size - 1)) + size
        } else {
            BEAT
        };
        ((1u32 << end) - (1u32 << first)) as u16
    }
}
