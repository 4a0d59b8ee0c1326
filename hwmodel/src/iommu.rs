//! The IOMMU: which bus addresses the device may use, and what memory they mean.

use crate::memory::HostMemory;
use std::{collections::BTreeMap, ops::Range};

/// Granularity of mappings, bytes.
pub const PAGE: u64 = 4096;

/// What the device may do with a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// The device reads (`DMA_TO_DEVICE`).
    Read,
    /// The device writes (`DMA_FROM_DEVICE`).
    Write,
    /// Both (`DMA_BIDIRECTIONAL`).
    ReadWrite,
}

impl Permission {
    fn allows(self, access: Access) -> bool {
        matches!(
            (self, access),
            (Self::ReadWrite, _) | (Self::Read, Access::Read) | (Self::Write, Access::Write)
        )
    }
}

/// Direction of a DMA access, seen from the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The device reads host memory.
    Read,
    /// The device writes host memory.
    Write,
}

/// Why an access was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No mapping at this address; the device sees DECERR.
    #[error("not mapped")]
    NotMapped,
    /// The mapping does not allow this direction; the device sees SLVERR.
    #[error("direction not allowed")]
    Permission,
    /// Bus mastering is off; the device sees DECERR.
    #[error("bus mastering is off")]
    NotBusMaster,
}

/// A mapping that cannot be made or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// An address or length is not a multiple of [`PAGE`], or the length is 0.
    #[error("mapping of {len:#x} bytes at {iova:#x} to {phys:#x} is not in whole pages")]
    Unaligned {
        /// Bus address.
        iova: u64,
        /// Physical address.
        phys: u64,
        /// Bytes.
        len: u64,
    },
    /// The physical range is not host memory, or the bus range wraps.
    #[error("{len:#x} bytes from {phys:#x} are not host memory")]
    NotMemory {
        /// Physical address.
        phys: u64,
        /// Bytes.
        len: u64,
    },
    /// Part of the bus range is mapped already.
    #[error("bus address {iova:#x} is mapped already")]
    Overlap {
        /// Start of the mapping that is in the way.
        iova: u64,
    },
    /// There is no mapping of exactly this start and length.
    #[error("no mapping of {len:#x} bytes at {iova:#x}")]
    NoSuchMapping {
        /// Bus address.
        iova: u64,
        /// Bytes.
        len: u64,
    },
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    iova: u64,
    len: u64,
    phys: u64,
    permission: Permission,
}

/// The table of one device.
#[derive(Debug)]
pub struct IommuTable {
    mappings: BTreeMap<u64, Mapping>,
    /// The mapping of the newest translation in each direction: nearly always the next one's too.
    newest: [Option<Mapping>; 2],
    /// What mappings may point to.
    memory: HostMemory,
}

impl IommuTable {
    /// An empty table over `memory`: nothing may be accessed.
    #[must_use]
    pub fn new(memory: &HostMemory) -> Self {
        Self {
            mappings: BTreeMap::new(),
            newest: [None; 2],
            memory: memory.clone(),
        }
    }

    /// Mappings may point to `memory` from now on. Those that are there stay, and accesses through one
    /// whose memory is gone are refused.
    pub(crate) fn set_memory(&mut self, memory: &HostMemory) {
        self.memory = memory.clone();
    }

    /// Lets the device use `len` bytes from bus address `iova` for the memory at `phys`.
    ///
    /// # Errors
    /// [`MapError`]; the table is unchanged then.
    pub fn map(
        &mut self,
        iova: u64,
        len: u64,
        phys: u64,
        permission: Permission,
    ) -> Result<(), MapError> {
        if len == 0 || !(iova | len | phys).is_multiple_of(PAGE) {
            return Err(MapError::Unaligned { iova, phys, len });
        }
        let is_memory = usize::try_from(len).is_ok_and(|len| self.memory.ptr(phys, len).is_ok());
        if !is_memory || iova.checked_add(len).is_none() {
            return Err(MapError::NotMemory { phys, len });
        }
        if let Some((_, before)) = self.mappings.range(..iova + len).next_back()
            && before.iova + before.len > iova
        {
            return Err(MapError::Overlap { iova: before.iova });
        }
        self.mappings.insert(
            iova,
            Mapping {
                iova,
                len,
                phys,
                permission,
            },
        );
        Ok(())
    }

    /// Removes a mapping; later accesses to it are refused.
    ///
    /// # Errors
    /// When `map` was not called with the same address and length.
    pub fn unmap(&mut self, iova: u64, len: u64) -> Result<(), MapError> {
        match self.mappings.get(&iova) {
            Some(mapping) if mapping.len == len => {
                self.mappings.remove(&iova);
                self.newest = [None; 2];
                Ok(())
            }
            _ => Err(MapError::NoSuchMapping { iova, len }),
        }
    }

    /// Removes every mapping inside of `len` bytes from `iova`, in the manner of
    /// `VFIO_IOMMU_UNMAP_DMA`; the physical addresses that each of them meant.
    ///
    /// # Errors
    /// [`MapError::Overlap`] when a mapping is inside in part only; the table is unchanged then.
    pub fn unmap_range(&mut self, iova: u64, len: u64) -> Result<Vec<Range<u64>>, MapError> {
        let Some(last) = len.checked_sub(1).map(|most| iova.saturating_add(most)) else {
            return Ok(vec![]);
        };
        let reach = |m: &Mapping| m.iova + (m.len - 1);
        let before = self.mappings.range(..iova).next_back().map(|(_, m)| m);
        let newest = self.mappings.range(..=last).next_back().map(|(_, m)| m);
        if let Some(cut) = before.filter(|m| reach(m) >= iova) {
            return Err(MapError::Overlap { iova: cut.iova });
        }
        if let Some(cut) = newest.filter(|m| reach(m) > last) {
            return Err(MapError::Overlap { iova: cut.iova });
        }
        let inside: Vec<u64> = self.mappings.range(iova..=last).map(|m| *m.0).collect();
        self.newest = [None; 2];
        let removed = inside.iter().filter_map(|at| self.mappings.remove(at));
        Ok(removed.map(|m| m.phys..m.phys + m.len).collect())
    }

    /// Bytes that are mapped.
    #[must_use]
    pub fn mapped(&self) -> u64 {
        self.mappings.values().map(|m| m.len).sum()
    }

    /// The physical address of `len` bytes from `iova`, which must not cross a page.
    ///
    /// # Errors
    /// Why the access is refused.
    #[inline]
    pub fn translate(&mut self, iova: u64, len: u64, access: Access) -> Result<u64, Refusal> {
        let hit = self.newest[access as usize].filter(|m| m.covers(iova, len));
        let mapping = match hit {
            Some(mapping) => mapping,
            None => self
                .mappings
                .range(..=iova)
                .next_back()
                .map(|(_, m)| *m)
                .filter(|m| m.covers(iova, len))
                .ok_or(Refusal::NotMapped)?,
        };
        if !mapping.permission.allows(access) {
            return Err(Refusal::Permission);
        }
        self.newest[access as usize] = Some(mapping);
        Ok(mapping.phys + (iova - mapping.iova))
    }
}

impl Mapping {
    fn covers(&self, iova: u64, len: u64) -> bool {
        iova >= self.iova && iova - self.iova < self.len && len <= self.len - (iova - self.iova)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> IommuTable {
        IommuTable::new(&HostMemory::new(1 << 20).unwrap())
    }

    #[test]
    fn refuses_what_is_not_mapped() {
        let mut iommu = table();
        iommu
            .map(0x10_0000, 0x2000, 0x4000, Permission::ReadWrite)
            .unwrap();
        assert_eq!(iommu.translate(0x10_1ff0, 16, Access::Write), Ok(0x5ff0));
        assert_eq!(
            iommu.translate(0x10_1ff1, 16, Access::Write),
            Err(Refusal::NotMapped)
        );
        assert_eq!(
            iommu.translate(0x0f_fff0, 16, Access::Read),
            Err(Refusal::NotMapped)
        );
        assert_eq!(
            iommu.translate(u64::MAX - 8, 16, Access::Read),
            Err(Refusal::NotMapped)
        );
        iommu.unmap(0x10_0000, 0x2000).unwrap();
        assert_eq!(
            iommu.translate(0x10_1ff0, 16, Access::Write),
            Err(Refusal::NotMapped)
        );
        assert_eq!(iommu.mapped(), 0);
    }

    #[test]
    fn a_range_takes_whole_mappings_only() {
        let mut iommu = table();
        for at in [0, 4, 6] {
            iommu
                .map(at * PAGE, 2 * PAGE, PAGE, Permission::ReadWrite)
                .unwrap();
        }
        for (at, len, cut) in [(5, 2, 4), (4, 3, 6), (0, 1, 0), (1, 3, 0), (5, 1, 4)] {
            let result = iommu.unmap_range(at * PAGE, len * PAGE);
            assert_eq!(result, Err(MapError::Overlap { iova: cut * PAGE }));
        }
        assert_eq!(iommu.mapped(), 6 * PAGE);
        let removed = iommu.unmap_range(2 * PAGE, 4 * PAGE).unwrap();
        assert_eq!(removed, vec![PAGE..3 * PAGE]);
        assert_eq!(iommu.unmap_range(2 * PAGE, 2 * PAGE), Ok(vec![]));
        assert_eq!(iommu.unmap_range(0, 0), Ok(vec![]));
        assert_eq!(iommu.mapped(), 4 * PAGE);
        iommu.unmap_range(0, u64::MAX).unwrap();
        assert_eq!(iommu.mapped(), 0);
        assert_eq!(
            iommu.translate(0, 16, Access::Read),
            Err(Refusal::NotMapped)
        );
    }

    #[test]
    fn refuses_the_wrong_direction() {
        let mut iommu = table();
        iommu.map(0, PAGE, 0, Permission::Read).unwrap();
        iommu.map(PAGE, PAGE, PAGE, Permission::Write).unwrap();
        assert_eq!(iommu.translate(0, 64, Access::Read), Ok(0));
        assert_eq!(
            iommu.translate(0, 64, Access::Write),
            Err(Refusal::Permission)
        );
        assert_eq!(
            iommu.translate(PAGE, 64, Access::Read),
            Err(Refusal::Permission)
        );
        assert_eq!(iommu.translate(PAGE, 64, Access::Write), Ok(PAGE));
    }

    #[test]
    fn refuses_bad_mappings() {
        let mut iommu = table();
        assert!(matches!(
            iommu.map(1, PAGE, 0, Permission::Read),
            Err(MapError::Unaligned { .. })
        ));
        assert!(matches!(
            iommu.map(0, 2 << 20, 0, Permission::Read),
            Err(MapError::NotMemory { .. })
        ));
        iommu.map(PAGE, 2 * PAGE, 0, Permission::Read).unwrap();
        for iova in [PAGE, 2 * PAGE, 0] {
            assert_eq!(
                iommu.map(iova, 2 * PAGE, 0, Permission::Read),
                Err(MapError::Overlap { iova: PAGE })
            );
        }
        assert!(matches!(
            iommu.unmap(PAGE, PAGE),
            Err(MapError::NoSuchMapping { .. })
        ));
        iommu.map(0, PAGE, 0, Permission::Read).unwrap();
    }
}
