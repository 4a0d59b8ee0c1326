//! The PCI function that a client sees: the NIC, its interrupts, and the client's memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use hwmodel::pci::{COMMAND, COMMAND_MEMORY, DEVICE_CONTROL};
use hwmodel::{GuestDevice, Permission};

use super::client::{Region, Reply, Request};
use super::irqs::Irqs;
use super::negotiation::{Event, Negotiation};
use super::statistics::Statistics;
use crate::error::Error;

/// Memory of the client, as it was mapped.
#[derive(Debug)]
struct GuestMemory {
    len: u64,
    file: File,
    offset: u64,
    permission: Permission,
}

/// What clients did, counted over all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Clients that went away.
    pub clients: u64,
    /// Resets of the function: by the client, by FLR, or because the client went away.
    pub resets: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Ranges of memory that came without a file: the NIC cannot reach them.
    pub without_file: u64,
}

/// The function.
pub struct Function<D: GuestDevice> {
    pub(super) nic: D,
    pub(super) irqs: Irqs,
    pub(super) negotiation: Negotiation,
    pub(super) statistics: Statistics,
    pub(super) asked: Asked,
    memory: BTreeMap<u64, GuestMemory>,
    /// The memory was taken away from the NIC, although the client did not ask for it.
    revoked: bool,
    /// News for the person that watches.
    pub(super) events: Vec<Event>,
}

impl<D: GuestDevice> Function<D> {
    /// A function after power-on.
    pub fn new(mut nic: D) -> Self {
        Self {
            irqs: Irqs::new(nic.vectors()),
            nic,
            negotiation: Negotiation::default(),
            statistics: Statistics::default(),
            asked: Asked::default(),
            memory: BTreeMap::new(),
            revoked: false,
            events: vec![],
        }
    }

    /// Does what a client asks for; the answer, unless none is wanted.
    ///
    /// # Errors
    /// When the NIC fails. What is wrong with the request is in the answer.
    pub fn handle(&mut self, request: Request) -> Result<Option<Reply>, Error> {
        let reply = match request {
            Request::Read {
                region,
                offset,
                len,
            } => Ok(self.read(region, offset, len)?),
            Request::Write {
                region,
                offset,
                data,
            } => {
                self.write(region, offset, &data)?;
                if region == Region::Bar0 {
                    return Ok(None);
                }
                Ok(vec![])
            }
            Request::Map {
                iova,
                len,
                file,
                offset,
                permission,
            } => self.map(iova, len, file, offset, permission),
            Request::Unmap { iova, len } => self.unmap(iova, len),
            Request::SetIrqs {
                index,
                flags,
                start,
                count,
                fds,
            } => {
                let set = self.irqs.set(index, flags, start, count, fds);
                self.write_table()?;
                set.map(|()| vec![])
            }
            Request::Reset => {
                self.reset()?;
                Ok(vec![])
            }
            Request::Gone => {
                self.asked.clients += 1;
                self.unmap(0, u64::MAX).ok();
                self.irqs.forget_client();
                self.reset()?;
                return Ok(None);
            }
        };
        self.asked.refused += u64::from(reply.is_err());
        Ok(Some(reply))
    }

    /// Takes all of the client's memory away from the NIC, or gives it back.
    ///
    /// # Errors
    /// When the memory cannot be mapped again.
    pub fn set_revoked(&mut self, revoked: bool) -> io::Result<()> {
        if revoked == std::mem::replace(&mut self.revoked, revoked) {
            return Ok(());
        }
        if revoked {
            return self
                .nic
                .dma_unmap(0, u64::MAX)
                .map(drop)
                .map_err(io::Error::other);
        }
        for (iova, m) in &self.memory {
            self.nic
                .dma_map(*iova, m.len, &m.file, m.offset, m.permission)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// The device status, without a trace of having looked.
    ///
    /// # Errors
    /// When the NIC fails.
    pub fn device_status(&mut self) -> Result<u8, Error> {
        self.with_registers(|nic| nic.bar_read(hwmodel::pci::BAR_COMMON_CFG + 0x14, 1))
            .map(|status| status as u8)
    }

    /// Adds the NIC's counters since the last call to [`Function::statistics`].
    ///
    /// # Errors
    /// When the NIC fails.
    pub fn collect(&mut self) -> Result<(), Error> {
        let mut statistics = std::mem::take(&mut self.statistics);
        let collected = self.with_registers(|nic| statistics.collect(nic));
        self.statistics = statistics;
        collected
    }

    /// Runs `access` while the registers answer, whatever the guest did with Memory Space Enable.
    fn with_registers<T>(
        &mut self,
        access: impl FnOnce(&mut D) -> Result<T, hwmodel::Error>,
    ) -> Result<T, Error> {
        let command = self.nic.config_read(COMMAND as u16, 2);
        let answering = command | u32::from(COMMAND_MEMORY);
        self.nic.config_write(COMMAND as u16, 2, answering);
        let result = access(&mut self.nic).map_err(failed);
        self.nic.config_write(COMMAND as u16, 2, command);
        result
    }

    fn read(&mut self, region: Region, offset: u32, len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(len);
        for (at, width) in accesses(offset, len) {
            let value = match region {
                Region::Config => self.nic.config_read(at as u16, width),
                Region::Bar0 => {
                    let value = self.nic.bar_read(at, width).map_err(failed)?;
                    self.events.extend(self.negotiation.read(at, width, value));
                    value
                }
            };
            bytes.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
        }
        Ok(bytes)
    }

    fn write(&mut self, region: Region, offset: u32, data: &[u8]) -> Result<(), Error> {
        let mut rest = data;
        for (at, width) in accesses(offset, data.len()) {
            let (now, later) = rest.split_at(usize::from(width));
            rest = later;
            let value = now.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b));
            match region {
                Region::Bar0 => {
                    self.nic.bar_write(at, width, value).map_err(failed)?;
                    self.events
                        .extend(self.negotiation.written(at, width, value));
                }
                Region::Config => self.config_write(at, width, value)?,
            }
        }
        Ok(())
    }

    fn config_write(&mut self, at: u32, width: u8, value: u32) -> Result<(), Error> {
        // Initiate Function Level Reset is the top bit of Device Control (PCIe 7.5.3.4).
        let flr = (DEVICE_CONTROL as u32 + 1).checked_sub(at);
        if flr.is_some_and(|b| b < u32::from(width) && value >> (8 * b) & 0x80 != 0) {
            return self.reset();
        }
        self.nic.config_write(at as u16, width, value);
        self.write_table()
    }

    fn reset(&mut self) -> Result<(), Error> {
        // A reset clears the NIC's counters.
        self.collect()?;
        self.statistics.cleared();
        self.asked.resets += 1;
        self.negotiation.reset();
        self.irqs.forgotten();
        self.nic.function_reset().map_err(failed)
    }

    /// Writes what the NIC's MSI-X table lacks, once its registers answer.
    fn write_table(&mut self) -> Result<(), Error> {
        let command = self.nic.config_read(COMMAND as u16, 2);
        if command & u32::from(COMMAND_MEMORY) != 0 {
            self.irqs.write_table(&mut self.nic).map_err(failed)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        iova: u64,
        len: u64,
        file: Option<File>,
        offset: u64,
        permission: Option<Permission>,
    ) -> Reply {
        // What the NIC may not use or cannot reach stays unmapped: an access is refused and counted.
        let Some(permission) = permission else {
            return Ok(vec![]);
        };
        let Some(file) = file else {
            self.asked.without_file += 1;
            return Ok(vec![]);
        };
        if !self.revoked {
            self.nic
                .dma_map(iova, len, &file, offset, permission)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        }
        let memory = GuestMemory {
            len,
            file,
            offset,
            permission,
        };
        self.memory.insert(iova, memory);
        Ok(vec![])
    }

    fn unmap(&mut self, iova: u64, len: u64) -> Reply {
        self.nic
            .dma_unmap(iova, len)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let end = iova.saturating_add(len);
        self.memory.retain(|at, _| *at < iova || *at >= end);
        Ok(vec![])
    }
}

/// An error of the NIC, which ends the program.
pub(super) fn failed(error: hwmodel::Error) -> Error {
    Error::machine("the NIC stopped", error)
}

/// The naturally aligned accesses of 1, 2 and 4 bytes that cover `len` bytes from `offset`.
fn accesses(offset: u32, len: usize) -> impl Iterator<Item = (u32, u8)> {
    let end = offset + len as u32;
    let mut at = offset;
    std::iter::from_fn(move || {
        let fits = |w: &u8| at.is_multiple_of(u32::from(*w)) && u32::from(*w) <= end - at;
        let width = [4, 2, 1].into_iter().find(fits)?;
        let access = (at, width);
        at += u32::from(width);
        Some(access)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_are_natural() {
        let of = |offset, len| accesses(offset, len).collect::<Vec<_>>();
        assert_eq!(of(0, 8), [(0, 4), (4, 4)]);
        assert_eq!(of(1, 8), [(1, 1), (2, 2), (4, 4), (8, 1)]);
        assert_eq!(of(6, 2), [(6, 2)]);
        assert_eq!(of(7, 0), []);
        assert_eq!(of(0xfffe, 2), [(0xfffe, 2)]);
        assert_eq!(of(0, 4096).len(), 1024);
    }
}
