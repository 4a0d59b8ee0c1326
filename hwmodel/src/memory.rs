//! Host memory: shared mappings that the device, the driver and, through the files, another process
//! can see.

use crate::bridge::Beat;
use memmap2::{MmapOptions, MmapRaw};
use std::{fs::File, io, os::unix::fs::MetadataExt, ptr::NonNull, sync::Arc};

/// Shared mappings of files, each at physical addresses of its own. Address 0 is the first byte of
/// the anonymous file that [`HostMemory::new`] makes; [`HostMemory::attach`] adds other files behind
/// it, such as the memory of a virtual machine. Clones share the bytes; what is attached later is in
/// the clone that attached it only.
///
/// All sides touch it while others may, so access is by copy or through raw pointers, never by
/// reference.
#[derive(Debug, Clone)]
pub struct HostMemory {
    /// One per file, the largest first, because that is where most accesses go.
    regions: Vec<Region>,
    /// Physical address of the next region. Only grows, so that an address which was in flight when
    /// its region went away never means another one.
    next: u64,
    /// The anonymous one.
    file: Arc<File>,
}

#[derive(Debug, Clone)]
struct Region {
    start: u64,
    len: u64,
    map: Arc<MmapRaw>,
    /// Device and inode: a file may come under many descriptors.
    file: (u64, u64),
    /// Where the mapping begins in the file, bytes.
    offset: u64,
    /// Parts that were attached and not detached.
    uses: usize,
}

/// An access that is not inside the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {phys:#x} are outside of host memory")]
pub struct OutOfMemory {
    /// Physical address.
    pub phys: u64,
    /// Bytes.
    pub len: usize,
}

/// Regions begin at multiples of this, with at least as much between them.
const REGION_GAP: u64 = 1 << 21;

impl HostMemory {
    /// `len` bytes of zeros, rounded up to pages of 4 KiB.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(4096);
        let fd = rustix::fs::memfd_create(c"wirepath", rustix::fs::MemfdFlags::CLOEXEC)?;
        let file = File::from(fd);
        file.set_len(len as u64)?;
        let mut memory = Self {
            regions: Vec::new(),
            next: 0,
            file: Arc::new(file.try_clone()?),
        };
        memory.attach(&file, 0, len as u64)?;
        Ok(memory)
    }

    /// Adds `len` bytes of `file` from `offset`; their physical address. A file is mapped once and as
    /// a whole, however many parts of it are attached. Whoever has it must not shorten it: an access
    /// to what is not there any more kills the process.
    ///
    /// # Errors
    /// When the file does not hold the range or cannot be mapped for reading and writing.
    pub fn attach(&mut self, file: &File, offset: u64, len: u64) -> io::Result<u64> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let end = offset.checked_add(len).ok_or(invalid("the range wraps"))?;
        if len == 0 {
            return Err(invalid("the range is empty"));
        }
        let metadata = file.metadata()?;
        let id = (metadata.dev(), metadata.ino());
        let holds = |r: &&mut Region| r.file == id && offset >= r.offset && end - r.offset <= r.len;
        if let Some(region) = self.regions.iter_mut().find(holds) {
            region.uses += 1;
            return Ok(region.start + (offset - region.offset));
        }
        if metadata.is_file() && end > metadata.len() {
            return Err(invalid("the file ends before the range does"));
        }
        // A device has no length to tell.
        let (from, len) = match metadata.is_file() {
            true => (0, metadata.len()),
            false => (offset, len),
        };
        let map_len = usize::try_from(len).map_err(|_| invalid("too long"))?;
        let start = self.next;
        let next = start
            .checked_add(len)
            .and_then(|end| end.checked_next_multiple_of(REGION_GAP))
            .and_then(|end| end.checked_add(REGION_GAP))
            .ok_or(invalid("physical addresses are used up"))?;
        let map = MmapOptions::new().offset(from).len(map_len).map_raw(file)?;
        let region = Region {
            start,
            len,
            map: Arc::new(map),
            file: id,
            offset: from,
            uses: 1,
        };
        let place = self.regions.partition_point(|other| other.len >= len);
        self.regions.insert(place, region);
        self.next = next;
        Ok(start + (offset - from))
    }

    /// Takes back a part that begins at `phys`, an address that [`HostMemory::attach`] gave. With its
    /// last part the file goes; the anonymous one stays. False when there is no file at `phys`.
    pub fn detach(&mut self, phys: u64) -> bool {
        let at = |r: &Region| r.start != 0 && phys.wrapping_sub(r.start) < r.len;
        let Some(region) = self.regions.iter_mut().find(|r| at(r)) else {
            return false;
        };
        region.uses -= 1;
        self.regions.retain(|region| region.uses > 0);
        true
    }

    /// Bytes of all regions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.regions.iter().map(|region| region.map.len()).sum()
    }

    /// Whether every region was taken away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// The anonymous file, to be mapped by another process.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where `len` bytes from `phys` are mapped, all in one region. The memory stays mapped while a
    /// clone lives that has the region.
    ///
    /// # Errors
    /// When they are not all inside.
    #[inline]
    pub fn ptr(&self, phys: u64, len: usize) -> Result<NonNull<u8>, OutOfMemory> {
        let error = OutOfMemory { phys, len };
        for region in &self.regions {
            let offset = phys.wrapping_sub(region.start);
            if offset < region.len && len as u64 <= region.len - offset {
                // SAFETY: offset + len <= length of the mapping, which is a usize.
                let at = unsafe { region.map.as_mut_ptr().add(offset as usize) };
                return NonNull::new(at).ok_or(error);
            }
        }
        Err(error)
    }

    /// Copies from memory to `to`.
    ///
    /// # Errors
    /// When the range is not inside; nothing is copied then.
    #[inline]
    pub fn read(&self, phys: u64, to: &mut [u8]) -> Result<(), OutOfMemory> {
        let from = self.ptr(phys, to.len())?;
        // SAFETY: `from` is valid for the length, and `to`, a Rust reference, cannot be part of a
        // mapping that is only handed out as raw pointers.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    /// Copies `from` to memory.
    ///
    /// # Errors
    /// When the range is not inside; nothing is copied then.
    #[inline]
    pub fn write(&self, phys: u64, from: &[u8]) -> Result<(), OutOfMemory> {
        let to = self.ptr(phys, from.len())?;
        // SAFETY: as in read().
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), from.len()) };
        Ok(())
    }

    /// Appends `count` times 16 bytes, each as two little-endian words, to `beats`. All or nothing.
    #[inline]
    pub(crate) fn read_beats(
        &self,
        phys: u64,
        count: usize,
        beats: &mut Vec<Beat>,
    ) -> Result<(), OutOfMemory> {
        let from = self
            .ptr(phys, size_of::<Beat>() * count)?
            .cast::<[u64; 2]>();
        beats.extend((0..count).map(|index| {
            // SAFETY: `from` is valid for `count` of them.
            let data = unsafe { from.add(index).read_unaligned() };
            Beat {
                data: data.map(u64::from_le),
            }
        }));
        Ok(())
    }

    /// Writes those of 16 bytes whose bit in `strobe` is set.
    #[inline]
    pub(crate) fn write_beat(
        &self,
        phys: u64,
        data: [u64; 2],
        strobe: u16,
    ) -> Result<(), OutOfMemory> {
        let value = u128::from(data[1]) << 64 | u128::from(data[0]);
        let bytes = value.to_le_bytes();
        if strobe == u16::MAX {
            return self.write(phys, &bytes);
        }
        // Strobes of a burst are contiguous as a rule: one copy per run.
        let mut rest = strobe;
        while rest != 0 {
            let first = rest.trailing_zeros() as usize;
            let run = (rest >> first).trailing_ones() as usize;
            self.write(phys + first as u64, &bytes[first..first + run])?;
            let done = first + run;
            rest = if done == 16 { 0 } else { rest >> done << done };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        let memory = HostMemory::new(5000).unwrap();
        assert_eq!(memory.len(), 8192);
        assert!(memory.write(8190, &[1, 2]).is_ok());
        assert_eq!(
            memory.write(8191, &[1, 2]),
            Err(OutOfMemory { phys: 8191, len: 2 })
        );
        assert!(memory.ptr(u64::MAX, 2).is_err());
        let mut two = [0; 2];
        memory.read(8190, &mut two).unwrap();
        assert_eq!(two, [1, 2]);
    }

    #[test]
    fn files_are_apart_and_never_come_back_at_the_same_place() {
        let other = HostMemory::new(1 << 16).unwrap();
        let mut memory = HostMemory::new(4096).unwrap();
        let first = memory.attach(other.file(), 4096, 8192).unwrap();
        assert_eq!(memory.len(), 4096 + (1 << 16), "the whole file");
        memory.write(first + 10, b"guest").unwrap();
        memory.write(10, b"own").unwrap();
        let mut bytes = [0; 5];
        other.read(4096 + 10, &mut bytes).unwrap();
        assert_eq!(&bytes, b"guest");
        let end = first - 4096 + (1 << 16);
        assert!(memory.write(end - 1, &[0; 2]).is_err());
        assert!(memory.ptr(first - 4097, 1).is_err());

        assert!(memory.detach(first));
        assert!(!memory.detach(first));
        assert!(!memory.detach(0), "the anonymous file stays");
        assert!(memory.read(first, &mut bytes).is_err());
        let second = memory.attach(other.file(), 0, 4096).unwrap();
        assert!(second >= end);
        assert!(memory.read(first, &mut bytes).is_err());
        memory.read(10, &mut bytes[..3]).unwrap();
        assert_eq!(&bytes[..3], b"own");
    }

    #[test]
    fn parts_of_a_file_share_its_mapping() {
        let other = HostMemory::new(1 << 16).unwrap();
        let mut memory = HostMemory::new(4096).unwrap();
        let low = memory.attach(other.file(), 0, 4096).unwrap();
        // The same file under another descriptor.
        let again = other.file().try_clone().unwrap();
        let high = memory.attach(&again, 0xf000, 4096).unwrap();
        assert_eq!(high - low, 0xf000);
        assert!(memory.detach(low));
        memory.write(high, b"still").unwrap();
        // What was added to the file since then needs a mapping of its own.
        other.file().set_len(1 << 17).unwrap();
        let grown = memory.attach(&again, 1 << 16, 4096).unwrap();
        memory.write(grown, b"grown").unwrap();
        assert!(memory.detach(high) && memory.detach(grown));
        assert_eq!(memory.len(), 4096);
    }

    #[test]
    fn what_a_file_does_not_hold_is_not_attached() {
        let other = HostMemory::new(8192).unwrap();
        let mut memory = HostMemory::new(4096).unwrap();
        for (offset, len) in [(4096, 8192), (8192, 4096), (u64::MAX - 4095, 8192), (0, 0)] {
            assert!(
                memory.attach(other.file(), offset, len).is_err(),
                "{offset:#x} {len:#x}"
            );
        }
        assert_eq!(memory.len(), 4096);
    }

    #[test]
    fn strobes_choose_bytes() {
        let memory = HostMemory::new(4096).unwrap();
        for strobe in [0u16, 1, 0x8000, 0xffff, 0x0ff0, 0xa5c3] {
            memory.write(0, &[0xee; 16]).unwrap();
            memory
                .write_beat(0, [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908], strobe)
                .unwrap();
            let mut bytes = [0; 16];
            memory.read(0, &mut bytes).unwrap();
            for (lane, byte) in bytes.into_iter().enumerate() {
                let expected = if strobe >> lane & 1 == 1 {
                    lane as u8
                } else {
                    0xee
                };
                assert_eq!(byte, expected, "strobe {strobe:#06x}, lane {lane}");
            }
        }
    }

    #[test]
    fn a_beat_is_little_endian() {
        let memory = HostMemory::new(4096).unwrap();
        memory.write(32, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
        let mut beats = Vec::new();
        memory.read_beats(32, 2, &mut beats).unwrap();
        let data: Vec<_> = beats.iter().map(|beat| beat.data).collect();
        assert_eq!(data, [[0x0807_0605_0403_0201, 9], [0, 0]]);
        assert!(memory.read_beats(4096 - 16, 2, &mut beats).is_err());
        assert_eq!(beats.len(), 2);
    }

    #[test]
    fn another_mapping_of_the_file_sees_the_bytes() {
        let memory = HostMemory::new(4096).unwrap();
        memory.write(7, b"shared").unwrap();
        let mut bytes = [0; 6];
        std::os::unix::fs::FileExt::read_exact_at(memory.file(), &mut bytes, 7).unwrap();
        assert_eq!(&bytes, b"shared");
    }
}
